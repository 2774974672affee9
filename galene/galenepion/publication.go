package galenepion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// PublishOptions say how a stream is published. Nil and zero fields mean the defaults.
//
// The hooks are called as those of [Options].
type PublishOptions struct {
	// Label says what the stream is, such as "camera" or "screenshare": others request
	// streams by it.
	Label string
	// ID is the stream's; "" makes one that nobody else has. It is used once: a stream that
	// is published again gets another one.
	ID string
	// Replace is the publication whose place the new one takes, and which ends.
	Replace *Publication
	// Once ends the publication when the connection to the server or the permission to
	// publish is lost. Otherwise it is published again after that.
	Once bool

	// OnKeyFrame hears that somebody needs a key frame of a track.
	OnKeyFrame func(webrtc.TrackLocal)
	// OnState hears of the states of the present peer connection, one after the other.
	// After Closed, which a peer connection that has been replaced does not tell, there may
	// be another one, see Once.
	OnState func(webrtc.PeerConnectionState)
}

// A Publication is a stream that a client sends. Its methods may be called concurrently.
type Publication struct {
	peer      *Peer
	opts      PublishOptions
	tracks    []webrtc.TrackLocal
	confirmed chan struct{} // closed with the first answer
	done      chan struct{}

	// Guarded by the peer's lock.
	stream   *upStream // the present one; nil while it waits to be published again
	answered bool      // closed is confirmed
	refused  bool      // the server has aborted it, and may say why
	over     bool
	err      error
}

// An upStream is one stream id of a publication, with its peer connection.
type upStream struct {
	publication *Publication
	id, replace string
	session     *pionpeer.Session

	// Guarded by the peer's lock.
	fingerprint string // of who answered
	dead        bool   // the peer connection has ended
	asked       bool   // for an offer that is not out yet
}

// Publish offers tracks as one stream, at most one of sound and one of picture, and waits
// until the server has accepted or refused them. A refusal is a [*galene.Error], a
// [*galene.PermissionError] or [ErrCodec]. The end of ctx withdraws the offer.
//
// Tracks of the same ID, stream ID and kind but different RIDs are encodings of one track,
// the best one first. Their packets need not say which one they are of.
//
// A server that relays streams between two users accepts nothing before the second one is
// there and wants the stream.
func (p *Peer) Publish(ctx context.Context, opts *PublishOptions, tracks ...webrtc.TrackLocal) (*Publication, error) {
	pub := &Publication{peer: p, tracks: tracks, confirmed: make(chan struct{}), done: make(chan struct{})}
	if opts != nil {
		pub.opts = *opts
	}
	err := pub.begin()
	if err == nil {
		select {
		case <-pub.confirmed:
			return pub, nil
		case <-pub.done:
			if err = pub.Err(); err == nil {
				err = ErrClosed
			}
		case <-ctx.Done():
			pub.Unpublish()
			err = ctx.Err()
		}
	}
	return nil, fmt.Errorf("galenepion: publish: %w", err)
}

// begin makes the first offer.
func (pub *Publication) begin() error {
	p := pub.peer
	if len(pub.tracks) == 0 {
		return ErrNoTracks
	}
	p.mu.Lock()
	p.publications[pub] = true
	p.mu.Unlock()
	replace := ""
	if old := pub.opts.Replace; old != nil {
		replace = old.retire()
		pub.opts.Replace = nil
	}
	id := pub.opts.ID
	if id == "" {
		id = galene.NewID()
	}
	err := pub.offer(nil, id, replace)
	if err != nil {
		pub.end(err, false)
		if replace != "" {
			p.send(&galene.Close{ID: replace})
		}
	}
	return err
}

// retire ends a publication whose place another one takes, and returns its stream, which the
// server is told of by the other one.
func (pub *Publication) retire() (id string) {
	pub.peer.mu.Lock()
	if u := pub.stream; u != nil && !pub.over {
		id = u.id
	}
	pub.peer.mu.Unlock()
	pub.end(nil, false)
	return id
}

// offer begins a peer connection in place of the old one, unless that is not the present one
// any more.
func (pub *Publication) offer(old *upStream, id, replace string) error {
	p := pub.peer
	u := &upStream{publication: pub, id: id, replace: replace}
	var err error
	u.session, err = p.session(pionpeer.SessionConfig{
		Patient:         true,
		SendOnly:        true,
		SendDescription: u.sendDescription,
		SendCandidate:   func(c webrtc.ICECandidateInit) error { return p.sendCandidate(u.id, c) },
		OnKeyFrame:      pub.opts.OnKeyFrame,
		OnFailed:        func() bool { u.session.Restart(); return true },
		OnState:         u.changed,
		OnEnd:           u.ended,
	})
	if err != nil {
		return err
	}
	senders, err := pub.addTracks(u.session)
	if err != nil {
		u.session.Discard()
		return err
	}

	p.mu.Lock()
	switch {
	case p.closed || pub.over:
		err = ErrClosed
	case p.up[id] != nil || p.down[id] != nil:
		err = ErrDuplicateID
	}
	if err != nil || pub.stream != old {
		p.mu.Unlock()
		u.session.Discard()
		return err
	}
	pub.stream, p.up[id] = u, u
	if old != nil {
		delete(p.up, old.id)
		old.session.End(nil)
	}
	p.start(u.session)
	for _, read := range senders {
		p.work.Go(read)
	}
	p.mu.Unlock()
	u.session.Negotiate()
	return nil
}

// addTracks adds the tracks to a session. What it returns reads what comes back about
// tracks of several encodings.
func (pub *Publication) addTracks(s *pionpeer.Session) (readers []func(), err error) {
	for _, encodings := range encodingsOf(pub.tracks) {
		if encodings[0].RID() == "" {
			if err := s.AddTrack(encodings[0]); err != nil {
				return nil, err
			}
			continue
		}
		var t *webrtc.RTPTransceiver
		mid := func() string { return t.Mid() }
		t, err := s.PeerConnection().AddTransceiverFromTrack(&encoding{encodings[0], mid}, webrtc.RTPTransceiverInit{
			Direction: webrtc.RTPTransceiverDirectionSendonly,
		})
		if err != nil {
			return nil, fmt.Errorf("add track %s: %w", encodings[0].ID(), err)
		}
		for _, track := range encodings[1:] {
			if err := t.Sender().AddEncoding(&encoding{track, mid}); err != nil {
				return nil, fmt.Errorf("add encoding %s of track %s: %w", track.RID(), track.ID(), err)
			}
		}
		for _, track := range encodings {
			readers = append(readers, func() { pub.readFeedback(t.Sender(), track) })
		}
	}
	return readers, nil
}

// readFeedback reads the RTCP packets about an encoding until its sender stops.
func (pub *Publication) readFeedback(sender *webrtc.RTPSender, track webrtc.TrackLocal) {
	buf := make([]byte, 1500)
	for {
		n, _, err := sender.ReadSimulcast(buf, track.RID())
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil || pub.opts.OnKeyFrame == nil {
			continue
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				pub.opts.OnKeyFrame(track)
			}
		}
	}
}

func (u *upStream) sendDescription(d webrtc.SessionDescription) error {
	replace := u.replace
	u.replace = "" // it is said once
	u.publication.peer.mu.Lock()
	u.asked = false
	u.publication.peer.mu.Unlock()
	return u.publication.peer.client.Send(&galene.Offer{
		ID: u.id, Replace: replace, Label: u.publication.opts.Label, SDP: d.SDP,
	})
}

// changed tells the application of a state, unless another peer connection has taken the
// place of this one.
func (u *upStream) changed(state webrtc.PeerConnectionState) {
	pub := u.publication
	pub.peer.mu.Lock()
	present := pub.stream == u || pub.stream == nil
	pub.peer.mu.Unlock()
	if present && pub.opts.OnState != nil {
		pub.opts.OnState(state)
	}
}

// ended hears that the peer connection ends.
func (u *upStream) ended(cause error) {
	pub := u.publication
	p := pub.peer
	p.mu.Lock()
	u.dead = true
	if pub.over || pub.stream != u || cause == nil {
		// The other side may have ended it: then it asks for another one, or aborts.
		again := u.asked && pub.stream == u && !pub.over
		p.mu.Unlock()
		if again {
			pub.again(u)
		}
		return
	}
	// The connection to the server may come back, and so may the permission.
	waits := errors.Is(cause, ErrSignaling) && p.suspend(pub)
	p.mu.Unlock()
	if refusal, ok := errors.AsType[*galene.PermissionError](cause); ok {
		cause = refusal // nothing has been lost
	}
	switch {
	case waits:
	case errors.Is(cause, webrtc.ErrUnsupportedCodec):
		pub.end(fmt.Errorf("%w: %w", ErrCodec, cause), true)
	default:
		pub.end(cause, true)
	}
}

// suspend makes a publication wait for a connection or the permission, unless it is not to
// be published again. Called with the lock held.
func (p *Peer) suspend(pub *Publication) bool {
	if pub.opts.Once || !pub.answered || pub.refused {
		return false
	}
	if u := pub.stream; u != nil {
		delete(p.up, u.id)
		u.session.End(nil)
	}
	pub.stream = nil
	return true
}

// resume publishes again what waits for it.
func (p *Peer) resume() {
	p.mu.Lock()
	var waiting []*Publication
	if p.present {
		for pub := range p.publications {
			if pub.answered && !pub.refused && pub.stream == nil {
				waiting = append(waiting, pub)
			}
		}
	}
	p.mu.Unlock()
	for _, pub := range waiting {
		pub.again(nil)
	}
}

// again publishes under a new id, in place of the old stream if there is one.
func (pub *Publication) again(old *upStream) {
	replace := ""
	if old != nil {
		replace = old.id
	}
	if err := pub.offer(old, galene.NewID(), replace); err != nil {
		pub.end(err, true)
	}
}

// answered takes an answer.
func (p *Peer) answered(m *galene.Answer) error {
	p.mu.Lock()
	u := p.up[m.ID]
	if u == nil {
		p.mu.Unlock()
		return nil
	}
	pub := u.publication
	fingerprint := fingerprintOf(m.SDP)
	other := u.fingerprint != "" && u.fingerprint != fingerprint
	u.fingerprint = fingerprint
	dead := u.dead
	p.mu.Unlock()
	switch {
	case other || dead:
		// Somebody else has answered, to whom the peer connection is of no use.
		pub.again(u)
		return nil
	case rejectsAll(m.SDP):
		pub.end(ErrCodec, true)
		return nil
	}
	if err := u.session.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: m.SDP}); err != nil {
		return ignoreClosed(err)
	}
	return ignoreClosed(u.session.Do(func() {
		if u.session.PeerConnection().CurrentRemoteDescription() != nil { // it was not refused
			pub.confirm()
		}
	}))
}

// confirm notes that the server has accepted the stream.
func (pub *Publication) confirm() {
	p := pub.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	if !pub.answered {
		pub.answered = true
		close(pub.confirmed)
	}
}

// renegotiate makes a new offer: the path to the server, or to whom it relays, is lost.
func (p *Peer) renegotiate(id string) {
	p.mu.Lock()
	u := p.up[id]
	dead := u != nil && u.dead
	if u != nil {
		u.asked = true
	}
	p.mu.Unlock()
	switch {
	case u == nil:
	case dead:
		u.publication.again(u)
	default:
		u.session.Restart()
	}
}

// A refusal is a stream that the server has aborted and for which it has not said why.
type refusal struct {
	publication *Publication
	late        *time.Timer
}

// reasonAfter is how long after an abort its reason may come. Galène sends it at once, or
// none.
const reasonAfter = 500 * time.Millisecond

// aborted ends a stream that the server refuses. The reason follows. A stream that ends
// because the client may not publish any more waits for the permission.
func (p *Peer) aborted(id string) {
	p.mu.Lock()
	u := p.up[id]
	if u == nil {
		p.mu.Unlock()
		return
	}
	pub := u.publication
	if !p.present && p.suspend(pub) {
		p.mu.Unlock()
		return
	}
	delete(p.up, id)
	u.session.End(nil)
	pub.stream, pub.refused = nil, true
	r := &refusal{publication: pub}
	r.late = time.AfterFunc(reasonAfter, func() { p.refuse(r, "the server has aborted the stream") })
	p.refused = append(p.refused, r)
	p.mu.Unlock()
}

// explain gives an error of the server to the stream that has waited longest for one.
func (p *Peer) explain(text string) {
	p.mu.Lock()
	if len(p.refused) == 0 {
		p.mu.Unlock()
		return
	}
	r := p.refused[0]
	p.mu.Unlock()
	r.late.Stop()
	p.refuse(r, text)
}

func (p *Peer) refuse(r *refusal, text string) {
	p.mu.Lock()
	for i, other := range p.refused {
		if other == r {
			p.refused = append(p.refused[:i:i], p.refused[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	r.publication.end(&galene.Error{Text: text}, false)
}

// end ends a publication; the first cause counts.
func (pub *Publication) end(cause error, tell bool) {
	p := pub.peer
	p.mu.Lock()
	if pub.over {
		p.mu.Unlock()
		return
	}
	pub.over, pub.err = true, cause
	delete(p.publications, pub)
	u := pub.stream
	if u != nil {
		delete(p.up, u.id)
	}
	p.mu.Unlock()
	if u != nil {
		if tell {
			p.send(&galene.Close{ID: u.id})
		}
		u.session.End(nil)
	}
	close(pub.done)
}

// Unpublish ends the publication. It does not wait for the peer connection.
func (pub *Publication) Unpublish() { pub.end(nil, true) }

// Restart makes a new offer that restarts ICE, for a network that has changed.
func (pub *Publication) Restart() error {
	s := pub.session()
	if s == nil {
		return ErrClosed
	}
	s.Restart()
	return nil
}

// ID returns the id of the stream, which changes when it is published again; then it is ""
// until the stream is offered.
func (pub *Publication) ID() string {
	pub.peer.mu.Lock()
	defer pub.peer.mu.Unlock()
	if pub.stream == nil {
		return ""
	}
	return pub.stream.id
}

// Label returns the label of the stream.
func (pub *Publication) Label() string { return pub.opts.Label }

// PeerConnection returns the Pion side of the present peer connection, or nil, for
// statistics. Its negotiation and its callbacks belong to the Peer.
func (pub *Publication) PeerConnection() *webrtc.PeerConnection {
	if s := pub.session(); s != nil {
		return s.PeerConnection()
	}
	return nil
}

func (pub *Publication) session() *pionpeer.Session {
	pub.peer.mu.Lock()
	defer pub.peer.mu.Unlock()
	if pub.over || pub.stream == nil || pub.stream.dead {
		return nil
	}
	return pub.stream.session
}

// Done is closed when the publication has ended.
func (pub *Publication) Done() <-chan struct{} { return pub.done }

// Err returns why the publication ended: nil before that, and when the application ended or
// replaced it.
func (pub *Publication) Err() error {
	pub.peer.mu.Lock()
	defer pub.peer.mu.Unlock()
	return pub.err
}
