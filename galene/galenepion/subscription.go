package galenepion

import (
	"errors"
	"slices"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// A Subscription is a stream that a client receives. What it is and whose it is does not
// change. Its methods may be called concurrently.
type Subscription struct {
	ID       string
	Label    string // such as "camera" or "screenshare"; "" from some senders
	Source   string // client id of the sender
	Username string // of the sender
	// Replaces is the stream whose place this one takes, or nil. It ends with
	// [ErrReplaced] after [Options.OnStream] has got this one.
	Replaces *Subscription

	peer *Peer
	done chan struct{}

	// Guarded by the peer's lock.
	session     *pionpeer.Session // nil before the first answer
	fingerprint string            // of the sender's side
	dead        bool              // the sender has ended the peer connection
	over        bool
	err         error
}

// offered takes an offer: of a new stream, or about one that there is.
func (p *Peer) offered(m *galene.Offer) error {
	fingerprint := fingerprintOf(m.SDP)
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: m.SDP}
	p.mu.Lock()
	s := p.down[m.ID]
	full := s == nil && len(p.down) >= p.opts.MaxStreams && p.down[m.Replace] == nil
	if p.closed || full || p.opts.OnStream == nil && p.opts.OnTrack == nil {
		p.mu.Unlock()
		p.send(&galene.Abort{ID: m.ID})
		return nil
	}
	known := s != nil
	if known && !s.dead && s.session != nil && s.fingerprint == fingerprint {
		session := s.session
		p.mu.Unlock()
		return ignoreClosed(session.Description(offer))
	}
	if !known {
		s = &Subscription{
			ID: m.ID, Label: m.Label, Source: m.Source, Replaces: p.down[m.Replace],
			peer: p, done: make(chan struct{}),
		}
		if m.Username != nil {
			s.Username = *m.Username
		}
		p.down[m.ID] = s
	}
	p.mu.Unlock()
	if !known {
		if p.opts.OnStream != nil {
			p.opts.OnStream(s)
		}
		if s.Replaces != nil {
			s.Replaces.end(ErrReplaced)
		}
	}
	return s.connect(offer, fingerprint)
}

// connect answers an offer with a new peer connection, in place of the present one.
func (s *Subscription) connect(offer webrtc.SessionDescription, fingerprint string) error {
	p := s.peer
	var session *pionpeer.Session
	cfg := pionpeer.SessionConfig{
		SendDescription: func(d webrtc.SessionDescription) error {
			return ignoreUnknown(p.client.Send(&galene.Answer{ID: s.ID, SDP: d.SDP}))
		},
		SendCandidate: func(c webrtc.ICECandidateInit) error { return p.sendCandidate(s.ID, c) },
		OnFailed: func() bool {
			p.send(&galene.Renegotiate{ID: s.ID})
			return true
		},
		OnEnd: func(cause error) { s.ended(session, cause) },
	}
	if p.opts.OnTrack != nil {
		cfg.OnTrack = func(track *webrtc.TrackRemote) { p.opts.OnTrack(s, track) }
	}
	session, err := p.session(cfg)
	if err != nil {
		s.abort(err)
		return err
	}
	p.mu.Lock()
	if p.closed || s.over {
		p.mu.Unlock()
		session.Discard()
		return nil
	}
	if s.session != nil {
		s.session.End(nil)
	}
	s.session, s.fingerprint, s.dead = session, fingerprint, false
	p.start(session)
	p.mu.Unlock()
	return ignoreClosed(session.Description(offer))
}

func ignoreUnknown(err error) error {
	if errors.Is(err, galene.ErrUnknownStream) {
		return nil
	}
	return err
}

// ended hears that a peer connection ends.
func (s *Subscription) ended(session *pionpeer.Session, cause error) {
	p := s.peer
	p.mu.Lock()
	present := s.session == session
	s.dead = s.dead || present
	p.mu.Unlock()
	// The sender may have ended it: then it offers another one, or the stream is closed.
	if present && cause != nil && !errors.Is(cause, ErrSignaling) {
		s.abort(cause)
	}
}

// closeStream ends a stream that the server has closed. Those of unknown ids are normal.
func (p *Peer) closeStream(id string) {
	p.mu.Lock()
	s := p.down[id]
	p.mu.Unlock()
	if s != nil {
		s.end(nil)
	}
}

// end forgets a stream; the first cause counts.
func (s *Subscription) end(cause error) bool {
	p := s.peer
	p.mu.Lock()
	if s.over {
		p.mu.Unlock()
		return false
	}
	s.over, s.err = true, cause
	if p.down[s.ID] == s {
		delete(p.down, s.ID)
	}
	session := s.session
	p.mu.Unlock()
	if session != nil {
		session.End(nil)
	}
	close(s.done)
	if p.opts.OnClosed != nil {
		p.opts.OnClosed(s, cause)
	}
	return true
}

func (s *Subscription) abort(cause error) {
	if s.end(cause) {
		s.peer.send(&galene.Abort{ID: s.ID})
	}
}

// Abort ends the stream for the client. The server offers it again after the next
// [galene.Client.Request].
func (s *Subscription) Abort() { s.abort(nil) }

// Request says which tracks of the stream are wanted, in place of what
// [galene.Client.Request] says; none ends the stream, nil goes back to that. It does
// nothing for a stream that has ended.
func (s *Subscription) Request(kinds []galene.TrackKind) error {
	if s.isOver() {
		return nil
	}
	return ignoreUnknown(s.peer.client.RequestStream(s.ID, slices.Clone(kinds)))
}

// Renegotiate asks the sender for an offer that restarts ICE, for a network that has
// changed. It does nothing for a stream that has ended.
func (s *Subscription) Renegotiate() error {
	if s.isOver() {
		return nil
	}
	return ignoreUnknown(s.peer.client.Send(&galene.Renegotiate{ID: s.ID}))
}

func (s *Subscription) isOver() bool {
	s.peer.mu.Lock()
	defer s.peer.mu.Unlock()
	return s.over
}

// RequestKeyFrame asks the sender for a key frame of a track, with a picture loss
// indication. A viewer that begins to decode needs one.
func (s *Subscription) RequestKeyFrame(track *webrtc.TrackRemote) error {
	s.peer.mu.Lock()
	session := s.session
	s.peer.mu.Unlock()
	if session == nil {
		return ErrClosed
	}
	return session.RequestKeyFrame(track)
}

// PeerConnection returns the Pion side of the stream, for statistics, or nil before it has
// been answered. Its negotiation and its callbacks belong to the Peer.
func (s *Subscription) PeerConnection() *webrtc.PeerConnection {
	s.peer.mu.Lock()
	defer s.peer.mu.Unlock()
	if s.session == nil {
		return nil
	}
	return s.session.PeerConnection()
}

// Done is closed when the stream has ended.
func (s *Subscription) Done() <-chan struct{} { return s.done }

// Err returns why the stream ended, as [Options.OnClosed] has it.
func (s *Subscription) Err() error {
	s.peer.mu.Lock()
	defer s.peer.mu.Unlock()
	return s.err
}
