package pionpeer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/webrtc/v4"
)

// offerIfRequested makes the offer that Negotiate or Restart asked for, unless one is out: then its answer comes first.
func (p *Peer) offerIfRequested() {
	if p.offer != nil {
		return
	}
	p.mu.Lock()
	// What has come since next found nothing comes first: the offer may have been asked for because of it.
	requested, restart := p.offering && !p.ended && len(p.inbox) == 0, p.restart
	if requested {
		p.offering, p.restart = false, false
	}
	p.mu.Unlock()
	if !requested {
		return
	}

	if p.cfg.Polite {
		if err := p.assignMIDs(); err != nil {
			p.end(fmt.Errorf("pionpeer: offering: %w", err))
			return
		}
	}
	restart = restart && p.pc.CurrentRemoteDescription() != nil
	if restart && !p.awaitICE() {
		return
	}
	offer, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err != nil {
		p.end(fmt.Errorf("pionpeer: offering: %w", err))
		return
	}
	if !strings.Contains(offer.SDP, "\nm=") {
		p.cfg.OnError(ErrNothingToOffer)
		return
	}
	if !p.cfg.Polite {
		if err := p.pc.SetLocalDescription(offer); err != nil {
			p.end(fmt.Errorf("pionpeer: offering: %w", err))
			return
		}
	}
	p.offer, p.offerRestarts = &offer, restart
	p.send(offer)
}

// assignMIDs names the transceivers that Pion would number. An offer that is withdrawn leaves its names behind in the
// transceivers, and a number would then be taken for the section of that number in the other side's offer.
func (p *Peer) assignMIDs() error {
	for _, t := range p.pc.GetTransceivers() {
		if t.Mid() != "" {
			continue
		}
		if err := t.SetMid("p" + strconv.Itoa(p.mids)); err != nil {
			return err
		}
		p.mids++
	}
	return nil
}

func (p *Peer) remoteDescription(d webrtc.SessionDescription) {
	if d.Type == webrtc.SDPTypeUnknown {
		d.Type = webrtc.SDPTypeOffer
		if p.offer != nil && !strings.Contains(d.SDP, "a=setup:actpass") {
			d.Type = webrtc.SDPTypeAnswer
		}
	}
	desc, err := parseDescription(d)
	if err != nil {
		p.cfg.OnError(&DescriptionError{fmt.Errorf("pionpeer: remote %s: %w", d.Type, err)})
		return
	}
	if d.Type == webrtc.SDPTypeOffer {
		p.remoteOffer(desc)
	} else {
		p.remoteAnswer(desc)
	}
}

func (p *Peer) remoteOffer(desc *description) {
	if p.offer != nil {
		if !p.cfg.Polite {
			return
		}
		p.withdraw()
	}
	if p.pc.CurrentRemoteDescription() != nil && !p.awaitICE() {
		return
	}
	desc.chooseRole(p.remoteRole)
	open, err := p.keepSections(desc)
	if err == nil {
		err = p.pc.SetRemoteDescription(desc.SessionDescription)
	}
	if err != nil {
		p.end(fmt.Errorf("pionpeer: remote offer: %w", err))
		return
	}
	for _, mid := range desc.mids {
		if !p.ours[mid] {
			p.theirs[mid] = true
		}
	}
	p.addCandidates(p.remote.described(desc.ufrags))
	answer, err := p.pc.CreateAnswer(nil)
	if err == nil {
		restore := p.hideSenders(desc.mids)
		err = p.pc.SetLocalDescription(answer)
		restore()
	}
	open()
	if err != nil {
		p.end(fmt.Errorf("pionpeer: answering: %w", err))
		return
	}
	if p.remoteRole == "" {
		p.remoteRole = oppositeRole(roleOf(answer.SDP))
	}
	p.send(answer)
}

// keepSections makes sections outlast an offer that has them inactive. Pion would stop their transceivers for good: the
// sender of one in which we send, because the next track is not announced there yet or because the other side pauses it;
// and a receiver that waits for the next track of the other side, which Pion replaces only once it has had one. Until
// open is called such sections say inactive in return, as they must.
func (p *Peer) keepSections(desc *description) (open func(), err error) {
	kept := make(map[string]*webrtc.RTPTransceiver)
	for _, t := range p.pc.GetTransceivers() {
		if r := t.Receiver(); r != nil && len(r.Tracks()) > 0 {
			continue
		}
		kept[t.Mid()] = t
	}
	mids, err := desc.openInactive(func(mid string) bool { return kept[mid] != nil })
	if err != nil {
		return nil, err
	}
	var opens []func()
	for _, mid := range mids {
		t := kept[mid]
		if restore := p.hideSender(t); restore != nil {
			_ = t.SetSender(t.Sender(), nil) // and with that it is inactive
			opens = append(opens, restore)
		}
	}
	return func() {
		for _, f := range opens {
			f()
		}
	}, nil
}

// withdraw forgets our offer, which Pion has not seen yet, and asks for another one.
func (p *Peer) withdraw() {
	p.offer = nil
	p.requestOffer(p.offerRestarts)
}

// awaitICE waits until Pion has started ICE for the first negotiation, which it does by itself at once, and reports
// false when the Peer has ended instead. A further remote offer before that looks to Pion like a restart of ICE.
func (p *Peer) awaitICE() bool {
	select {
	case <-p.ice:
		return true
	case <-p.closed:
		return false
	}
}

// hideSenders keeps the senders of sections that are not being negotiated out of the transceivers until restore is
// called. Pion starts whatever has been in an offer, even in one that was withdrawn, and the other side would get media
// of sources that nobody has announced.
func (p *Peer) hideSenders(negotiated []string) (restore func()) {
	var restores []func()
	for _, t := range p.pc.GetTransceivers() {
		if slices.Contains(negotiated, t.Mid()) {
			continue
		}
		if restore := p.hideSender(t); restore != nil {
			restores = append(restores, restore)
		}
	}
	return func() {
		for _, f := range restores {
			f()
		}
	}
}

// hideSender puts another sender, which nobody starts, into the place of the one that t has, and returns nil if it has
// none.
func (p *Peer) hideSender(t *webrtc.RTPTransceiver) (restore func()) {
	s := t.Sender()
	if s == nil || s.Track() == nil {
		return nil
	}
	track := s.Track()
	substitute, err := webrtc.NewAPI().NewRTPSender(track, p.pc.SCTP().Transport())
	if err != nil {
		return nil
	}
	_ = t.SetSender(substitute, track)
	return func() {
		// The track is the one that s has, so all that can fail is to set it once more.
		_ = t.SetSender(s, track)
	}
}

func (p *Peer) remoteAnswer(desc *description) {
	if p.offer == nil {
		p.cfg.OnError(ErrUnexpectedAnswer)
		return
	}
	err := p.applyAnswer(desc)
	if err != nil {
		p.end(fmt.Errorf("pionpeer: remote answer: %w", err))
		return
	}
	p.offer = nil
	for _, t := range p.pc.GetTransceivers() {
		if mid := t.Mid(); !p.theirs[mid] && slices.Contains(desc.mids, mid) {
			p.ours[mid] = true
		}
	}
	if p.remoteRole == "" {
		p.remoteRole = roleOf(desc.SDP)
	}
	p.addCandidates(p.remote.described(desc.ufrags))
}

func (p *Peer) applyAnswer(desc *description) error {
	offer := *p.offer
	if p.cfg.Polite {
		if err := p.pc.SetLocalDescription(offer); err != nil {
			return err
		}
	}
	rejected, err := desc.completeRejected(offer)
	if err != nil {
		return err
	}
	for _, mid := range rejected {
		if err := p.stopTransceiver(mid); err != nil {
			return err
		}
	}
	return p.pc.SetRemoteDescription(desc.SessionDescription)
}

// stopTransceiver ends the media of a section that the other side rejected. Pion would try to start its sender and
// fail with ErrUnsupportedCodec.
func (p *Peer) stopTransceiver(mid string) error {
	for _, t := range p.pc.GetTransceivers() {
		if t.Mid() != mid {
			continue
		}
		if s := t.Sender(); s != nil && s.Track() != nil {
			if err := p.pc.RemoveTrack(s); err != nil {
				return err
			}
		}
		return t.Stop()
	}
	return nil
}

// send sends a description and then the local candidates that waited for it.
func (p *Peer) send(d webrtc.SessionDescription) {
	if err := p.cfg.SendDescription(d); err != nil {
		p.cfg.OnError(fmt.Errorf("pionpeer: sending the %s: %w", d.Type, err))
		return
	}
	for _, c := range p.local.described(firstUfrag(d.SDP)) {
		p.sendCandidate(c)
	}
}

func (p *Peer) sendCandidate(c webrtc.ICECandidateInit) {
	if err := p.cfg.SendCandidate(c); err != nil {
		p.cfg.OnError(fmt.Errorf("pionpeer: sending a candidate: %w", err))
	}
}

func (p *Peer) localCandidate(c *webrtc.ICECandidate) {
	if init, ok := p.local.gathered(c); ok {
		p.sendCandidate(init)
	}
}

func (p *Peer) remoteCandidate(c webrtc.ICECandidateInit) {
	ready, err := p.remote.received(c)
	if err != nil {
		p.cfg.OnError(err)
		return
	}
	if ready {
		p.addCandidates([]webrtc.ICECandidateInit{c})
	}
}

func (p *Peer) addCandidates(cs []webrtc.ICECandidateInit) {
	for _, c := range cs {
		if err := p.pc.AddICECandidate(c); err != nil {
			p.cfg.OnError(fmt.Errorf("pionpeer: remote candidate: %w", err))
		}
	}
}
