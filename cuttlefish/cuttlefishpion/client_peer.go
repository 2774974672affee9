package cuttlefishpion

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// A clientPeer is one peer connection of a client.
type clientPeer struct {
	session  *pionpeer.Session
	control  *pionpeer.Outbox
	input    *pionpeer.Outbox // nil when input-channel is not among the labels
	controls sync.Once        // the device opens device-control once

	// Guarded by the client's lock.
	channels map[string]*webrtc.DataChannel
	answered bool // the device's first offer; from then on the client may offer
	replaced bool // by a newer one
}

// newPeer makes a peer connection with the channels of the client. They must be there
// before the answer, or the client would have to offer.
func (c *Client) newPeer(servers []cuttlefish.ICEServer) (*clientPeer, error) {
	p := &clientPeer{channels: make(map[string]*webrtc.DataChannel)}
	send := func(payload cuttlefish.Payload) error { return c.send(p, payload) }
	var err error
	p.session, err = pionpeer.NewSession(pionpeer.SessionConfig{
		Name:           "cuttlefishpion",
		API:            c.api,
		Configuration:  configurationOf(c.opts.Configuration, servers),
		Polite:         true,
		MaxPending:     c.opts.MaxPending,
		MaxChannels:    c.opts.MaxChannels,
		ConnectTimeout: c.opts.ConnectTimeout,
		Logger:         c.log,

		SendDescription: func(d webrtc.SessionDescription) error { return send(describe(d)) },
		SendCandidate:   sendCandidates(send, clientCandidate),
		OnChannel:       func(ch *webrtc.DataChannel) { c.channelOpened(p, ch) },
		OnTrack:         c.opts.OnTrack,
		OnKeyFrame:      c.opts.OnKeyFrame,
		OnState:         func(s webrtc.PeerConnectionState) { c.changed(p, s) },
		OnEnd:           func(cause error) { c.forget(p, cause) },
	})
	if err != nil {
		return nil, err
	}
	p.control = pionpeer.NewOutbox(p.session)
	for _, label := range c.opts.Labels {
		if err := c.open(p, label); err != nil {
			p.session.Discard()
			return nil, err
		}
	}
	return p, nil
}

func (c *Client) open(p *clientPeer, label string) error {
	ch, err := p.session.PeerConnection().CreateDataChannel(label, nil)
	if err != nil {
		return fmt.Errorf("cuttlefishpion: open %s: %w", label, err)
	}
	if label == cuttlefish.LabelInput {
		p.input = pionpeer.NewOutbox(p.session)
		p.input.Attach(ch)
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
	p.control.Attach(ch)
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
		old.session.End(nil)
	}
	c.present, c.last = p, nil
	c.sessions.Go(func() { <-p.session.Done() })
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
			_ = p.session.AddTrack(t) // one that is ending needs none
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
		err = p.session.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: payload.SDP})
	case *cuttlefish.Answer:
		err = p.session.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: payload.SDP})
	case *cuttlefish.DeviceCandidate:
		err = p.session.Candidate(candidateOf(payload))
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
		p.session.End(cause)
		return
	}
	if _, ok := errors.AsType[*cuttlefish.PayloadError](cause); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.note(cause)
	}
}
