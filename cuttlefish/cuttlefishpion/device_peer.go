package cuttlefishpion

import (
	"fmt"
	"log/slog"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// A DevicePeer is the peer connection of a [Device] with one client. A client that asks
// for an offer again gets a new one. Its methods may be called concurrently.
type DevicePeer struct {
	clientID int
	log      *slog.Logger
	session  *pionpeer.Session
	control  *pionpeer.Outbox
}

// newPeer makes the peer connection for a client and gives it what all clients get.
func (d *Device) newPeer(clientID int, r *cuttlefish.RequestOffer) (*DevicePeer, error) {
	servers, err := d.iceServers(r)
	if err != nil {
		return nil, err
	}
	if err := d.admit(); err != nil {
		return nil, err
	}
	p := &DevicePeer{clientID: clientID, log: d.log.With("client", clientID)}
	send := func(payload cuttlefish.Payload) error { return d.signaling.SendPayload(clientID, payload) }
	cfg := pionpeer.SessionConfig{
		Name:           "cuttlefishpion",
		API:            d.api,
		Configuration:  configurationOf(d.opts.Configuration, servers),
		MaxPending:     d.opts.MaxPending,
		MaxChannels:    d.opts.MaxChannels,
		ConnectTimeout: d.opts.ConnectTimeout,
		Logger:         p.log,

		SendDescription: func(desc webrtc.SessionDescription) error {
			desc, err := p.withoutRequests(desc)
			if err != nil {
				p.session.End(err)
				return nil
			}
			return send(describe(desc))
		},
		SendCandidate: sendCandidates(send, deviceCandidate),
		OnError:       func(err error) { p.session.End(err) },
		OnChannel:     func(ch *webrtc.DataChannel) { d.channelOpened(p, ch) },
		OnState: func(s webrtc.PeerConnectionState) {
			if d.opts.OnState != nil {
				d.opts.OnState(p, s)
			}
		},
		OnEnd: func(cause error) { d.forget(p, cause) },
	}
	if d.opts.OnTrack != nil {
		cfg.OnTrack = func(t *webrtc.TrackRemote) { d.opts.OnTrack(p, t) }
	}
	if d.opts.OnKeyFrame != nil {
		cfg.OnKeyFrame = func(t webrtc.TrackLocal) { d.opts.OnKeyFrame(p, t) }
	}
	if p.session, err = pionpeer.NewSession(cfg); err != nil {
		return nil, err
	}
	if err := d.openControl(p); err != nil {
		p.session.Discard()
		return nil, err
	}
	if err := d.enter(p); err != nil {
		p.session.Discard()
		return nil, err
	}
	return p, nil
}

// withoutRequests returns what goes out in place of a description: an offer leaves it to
// the client to offer media of its own.
func (p *DevicePeer) withoutRequests(d webrtc.SessionDescription) (webrtc.SessionDescription, error) {
	if d.Type != webrtc.SDPTypeOffer {
		return d, nil
	}
	var remote string
	if r := p.session.PeerConnection().RemoteDescription(); r != nil {
		remote = r.SDP
	}
	var err error
	d.SDP, err = sendonly(d.SDP, remote)
	return d, err
}

// admit checks the limit. Those that are ending have the same one for themselves: a
// client that reloads its page needs a new peer connection before the old one is gone.
func (d *Device) admit() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return ErrClosed
	case len(d.peers) >= d.opts.MaxPeers || d.ending > d.opts.MaxPeers:
		return ErrTooManyPeers
	}
	return nil
}

// openControl creates the control channel. It must be there before the first offer,
// which has no section for data channels otherwise.
func (d *Device) openControl(p *DevicePeer) error {
	ch, err := p.session.PeerConnection().CreateDataChannel(cuttlefish.LabelDeviceControl, nil)
	if err != nil {
		return fmt.Errorf("cuttlefishpion: open %s: %w", cuttlefish.LabelDeviceControl, err)
	}
	p.control = pionpeer.NewOutbox(p.session)
	p.control.Attach(ch)
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		c, err := cuttlefish.DecodeControlCommand(m.Data)
		if err != nil {
			p.log.Warn("cuttlefishpion: bad control command", "error", err)
		} else if d.opts.OnControl != nil {
			d.opts.OnControl(p, c)
		}
	})
	return nil
}

// enter makes a peer known and gives it the tracks and the last events, so that it
// misses and repeats none that come at the same time.
func (d *Device) enter(p *DevicePeer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	d.peers[p.clientID] = p
	for _, t := range d.tracks {
		_ = p.session.AddTrack(t) // a session that has just begun takes it
	}
	for _, e := range d.events {
		_ = p.control.Send(e.text)
	}
	d.sessions.Go(func() {
		<-p.session.Done()
		d.mu.Lock()
		d.ending--
		d.mu.Unlock()
	})
	return nil
}

// channelOpened takes a channel that the client has opened.
func (d *Device) channelOpened(p *DevicePeer, ch *webrtc.DataChannel) {
	if ch.Label() != cuttlefish.LabelInput || d.opts.OnInput == nil {
		if d.opts.OnChannel != nil {
			d.opts.OnChannel(p, ch)
		}
		return
	}
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		e, err := cuttlefish.DecodeInput(m.Data)
		if err != nil {
			p.log.Warn("cuttlefishpion: bad input event", "error", err)
		} else {
			d.opts.OnInput(p, e)
		}
	})
}

// ClientID returns the id of the client, which the server gave it.
func (p *DevicePeer) ClientID() int { return p.clientID }

// PeerConnection returns the Pion side, for statistics and for channels of the
// application's own. Its negotiation and its callbacks belong to the Device, except for
// those of the channels.
func (p *DevicePeer) PeerConnection() *webrtc.PeerConnection { return p.session.PeerConnection() }

// AddTrack sends a track to this client alone, with a new offer. The error is
// [ErrClosed]; a track that Pion refuses ends the peer connection.
func (p *DevicePeer) AddTrack(track webrtc.TrackLocal) error { return p.session.AddTrack(track) }

// RemoveTrack takes a track away from this client, with a new offer. The error is
// [ErrClosed].
func (p *DevicePeer) RemoveTrack(track webrtc.TrackLocal) error { return p.session.RemoveTrack(track) }

// SendEvent sends an event to this client alone and never blocks. It waits for the
// control channel to open. The error is a [*cuttlefish.ValidationError], [ErrClosed] or
// [ErrSlowPeer].
func (p *DevicePeer) SendEvent(e *cuttlefish.ControlEvent) error {
	text, err := encodeEvent(e)
	if err != nil {
		return err
	}
	return p.control.Send(text)
}

// Close ends the peer connection and waits for it and its hooks. The client may ask
// for a new one.
func (p *DevicePeer) Close() error {
	p.session.Close()
	return nil
}

// Done is closed when the peer connection has ended.
func (p *DevicePeer) Done() <-chan struct{} { return p.session.Done() }

// Err returns why the peer connection ended; nil before and after an orderly end.
func (p *DevicePeer) Err() error { return p.session.Err() }
