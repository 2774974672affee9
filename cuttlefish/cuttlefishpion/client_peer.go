package cuttlefishpion

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
)

// A clientPeer is one peer connection of a client.
type clientPeer struct {
	session  *session
	control  *outbox
	input    *outbox   // nil when input-channel is not among the labels
	controls sync.Once // the device opens device-control once

	// Guarded by the client's lock.
	channels map[string]*webrtc.DataChannel
	answered bool // the device's first offer; from then on the client may offer
	replaced bool // by a newer one
}

// newPeer makes a peer connection with the channels of the client. They must be there
// before the answer, or the client would have to offer.
func (c *Client) newPeer(servers []cuttlefish.ICEServer) (*clientPeer, error) {
	api, err := c.api()
	if err != nil {
		return nil, err
	}
	p := &clientPeer{channels: make(map[string]*webrtc.DataChannel)}
	p.session, err = newSession(sessionConfig{
		api:            api,
		configuration:  configurationOf(c.opts.Configuration, servers),
		polite:         true,
		maxPending:     c.opts.MaxPending,
		maxChannels:    c.opts.MaxChannels,
		connectTimeout: c.opts.ConnectTimeout,
		log:            c.log,

		sendPayload:       func(payload cuttlefish.Payload) error { return c.send(p, payload) },
		candidate:         clientCandidate,
		negotiationFailed: func(err error) { c.log.Warn("cuttlefishpion: negotiation", "error", err) },
		channel:           func(ch *webrtc.DataChannel) { c.channelOpened(p, ch) },
		track:             c.opts.OnTrack,
		keyFrame:          c.opts.OnKeyFrame,
		state:             func(s webrtc.PeerConnectionState) { c.changed(p, s) },
		ended:             func(cause error) { c.forget(p, cause) },
	})
	if err != nil {
		return nil, err
	}
	p.control = newOutbox(p.session)
	for _, label := range c.opts.Labels {
		if err := c.open(p, label); err != nil {
			_ = p.session.peer.Close()
			return nil, err
		}
	}
	return p, nil
}

func (c *Client) open(p *clientPeer, label string) error {
	ch, err := p.session.pc.CreateDataChannel(label, nil)
	if err != nil {
		return fmt.Errorf("cuttlefishpion: open %s: %w", label, err)
	}
	if label == cuttlefish.LabelInput {
		p.input = newOutbox(p.session)
		p.input.attach(ch)
		return nil
	}
	c.keep(p, ch)
	return nil
}

// keep gives a channel to the application.
func (c *Client) keep(p *clientPeer, ch *webrtc.DataChannel) {
	c.mu.Lock()
	p.channels[ch.Label()] = ch
	c.mu.Unlock()
	if c.opts.OnChannel != nil {
		c.opts.OnChannel(ch)
	}
}

// channelOpened takes a channel that the device has opened.
func (c *Client) channelOpened(p *clientPeer, ch *webrtc.DataChannel) {
	control := false
	if ch.Label() == cuttlefish.LabelDeviceControl {
		p.controls.Do(func() { control = true })
	}
	if !control {
		c.keep(p, ch)
		return
	}
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		e, err := cuttlefish.DecodeControlEvent(m.Data)
		if err != nil {
			c.log.Warn("cuttlefishpion: bad control event", "error", err)
		} else if c.opts.OnEvent != nil {
			c.opts.OnEvent(e)
		}
	})
	p.control.attach(ch)
}

// enter makes a peer connection the present one and asks the device for its offer.
func (c *Client) enter(p *clientPeer, request json.RawMessage) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if err := c.signaling.Forward(request); err != nil {
		return err
	}
	if old := c.present; old != nil {
		old.replaced = true
		old.session.end(nil)
	}
	c.present, c.last = p, nil
	c.sessions.Go(func() { <-p.session.done })
	return nil
}

// forget takes a peer connection that is about to end away and tells the device why.
// Both happen under the lock and once: a peer connection that has been replaced has
// nothing to say.
func (c *Client) forget(p *clientPeer, cause error) {
	text := complaint(cause)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.present != p {
		return
	}
	c.present = nil
	c.note(cause)
	if text != nil {
		_ = c.signaling.Forward(text) // its signaling may have ended
	}
}

// note keeps the cause of an end, and ends Run over a failure. Called under the lock.
func (c *Client) note(cause error) {
	c.last = cause
	if c.failed != nil && cause != nil && !errors.Is(cause, ErrSignaling) {
		c.failed(cause)
	}
}

// changed tells the application of a state.
func (c *Client) changed(p *clientPeer, s webrtc.PeerConnectionState) {
	c.mu.Lock()
	replaced := p.replaced
	c.mu.Unlock()
	if !replaced && c.opts.OnState != nil {
		c.opts.OnState(s)
	}
}

// send sends what the negotiation says. After the first answer come the tracks of the
// client: a device that gets an offer before its own is answered has no use for it.
func (c *Client) send(p *clientPeer, payload cuttlefish.Payload) error {
	if err := c.signaling.SendPayload(payload); err != nil {
		return err
	}
	if _, ok := payload.(*cuttlefish.Answer); !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.answered {
		p.answered = true
		for _, t := range c.tracks {
			_ = p.session.addTrack(t) // one that is ending needs none
		}
	}
	return nil
}

// receive takes a device's payload.
func (c *Client) receive(data json.RawMessage) (handled bool, err error) {
	payload, err := cuttlefish.DecodePayload(data)
	if err != nil {
		return true, err
	}
	if u, ok := payload.(*cuttlefish.UnknownPayload); ok {
		c.log.Info("cuttlefishpion: unknown payload", "type", u.Type)
		return false, nil
	}
	if err := payload.Validate(); err != nil {
		return true, err
	}
	if e, ok := payload.(*cuttlefish.PayloadError); ok {
		return true, e
	}
	p := c.peer()
	if p == nil {
		return true, ErrNoPeer
	}
	switch payload := payload.(type) {
	case *cuttlefish.Offer:
		err = p.session.description(webrtc.SDPTypeOffer, payload.SDP)
	case *cuttlefish.Answer:
		err = p.session.description(webrtc.SDPTypeAnswer, payload.SDP)
	case *cuttlefish.DeviceCandidate:
		err = p.session.candidate(candidateOf(payload))
	default:
		err = errors.New("cuttlefishpion: a payload that only clients send")
	}
	return true, err
}

// refuse ends the peer connection over a payload of the device. What the device says
// about an end may arrive after it, and then says why; anything else that comes too
// late changes nothing.
func (c *Client) refuse(cause error) {
	if p := c.peer(); p != nil {
		c.forget(p, cause)
		p.session.end(cause)
		return
	}
	if _, ok := errors.AsType[*cuttlefish.PayloadError](cause); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.note(cause)
	}
}

// clientCandidate writes a candidate as a client does. The real device ends the peer
// connection when the section is not named in both ways.
func clientCandidate(c webrtc.ICECandidateInit) cuttlefish.Payload {
	if c.SDPMid == nil {
		c.SDPMid = new(string)
	}
	if c.SDPMLineIndex == nil {
		c.SDPMLineIndex = new(uint16)
	}
	return &cuttlefish.ClientCandidate{Candidate: cuttlefish.ICECandidateInit(c)}
}

// candidateOf reads a device's candidate.
func candidateOf(c *cuttlefish.DeviceCandidate) webrtc.ICECandidateInit {
	return webrtc.ICECandidateInit{
		Candidate:     c.Candidate,
		SDPMid:        &c.Mid,
		SDPMLineIndex: new(uint16(min(c.MLineIndex, math.MaxUint16))),
	}
}
