package msepion

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// The defaults of [Options].
const (
	DefaultOfferAfter     = 500 * time.Millisecond
	DefaultMaxPending     = pionpeer.DefaultMaxPending
	DefaultMaxChannels    = pionpeer.DefaultMaxChannels
	DefaultConnectTimeout = pionpeer.DefaultConnectTimeout
)

// Options say what a [Peer] opens and whom it tells what happens. Nil and zero fields
// mean the defaults.
//
// The hooks are called under no lock. They must not block for long, with the exception
// of OnTrack, and must not call Close, which waits for them; there, use another
// goroutine.
type Options struct {
	// Labels are the data channels to open with each peer connection.
	Labels []string
	// Setup adds more to a new peer connection before it is negotiated: transceivers to
	// receive with, channels of other kinds. An error is that of Start.
	Setup func(*webrtc.PeerConnection) error

	// OnTrack gets what the other side sends, in a goroutine of its own. It may read
	// until the track ends and must return then.
	OnTrack func(*webrtc.TrackRemote)
	// OnChannel gets each data channel before its first message arrives, those of Labels
	// and those that the other side opens: set its OnOpen and OnMessage.
	OnChannel func(*webrtc.DataChannel)
	// OnKeyFrame hears that the other side needs a key frame of a track.
	OnKeyFrame func(webrtc.TrackLocal)
	// OnState hears of the states of the present peer connection, one after the other,
	// and of Closed last; then [Peer.Err] says why. A peer connection that has been
	// replaced says no more.
	OnState func(webrtc.PeerConnectionState)

	// OfferAfter is how long a peer that has something to offer waits for the first offer
	// of the other side. Default 500 ms for a client and nothing for a server; negative:
	// it makes the first offer only when told to, by AddTrack after the start or by
	// Negotiate.
	OfferAfter time.Duration

	// API makes the peer connections. Nil makes one of Settings and Pion's default
	// codecs and interceptors.
	API           *webrtc.API
	Settings      webrtc.SettingEngine
	Configuration webrtc.Configuration // ICE servers, above all: the protocol has no message for them

	MaxPending     int           // descriptions and candidates that wait, and candidates of the other side; default 256
	MaxChannels    int           // channels that the other side opens in the life of a peer connection; default 64
	ConnectTimeout time.Duration // from the start until connected, and after a failure; default 30 s

	Logger *slog.Logger // nil discards
}

// signaling is what both sides of package msejsonrpc have in common.
type signaling interface {
	SendOffer(msejsonrpc.SessionDescription) error
	SendCandidate(msejsonrpc.ICECandidateInit) error
	Messages(ctx context.Context) iter.Seq2[msejsonrpc.Message, error]
}

// A Peer is one end of an MSE session, with one peer connection at a time. Its methods
// may be called concurrently, except for Handle.
type Peer struct {
	signaling signaling
	polite    bool
	opts      Options
	log       *slog.Logger
	api       func() (*webrtc.API, error)
	sessions  sync.WaitGroup

	mu      sync.Mutex // held for looking things up and for queueing only
	closed  bool
	present *connection // nil before the start and after an end
	last    error       // why the one before ended
	failed  func(error) // ends Run
	tracks  []webrtc.TrackLocal
}

// A connection is one peer connection of a peer.
type connection struct {
	session *pionpeer.Session

	// Guarded by the peer's lock.
	channels map[string]*webrtc.DataChannel
	heard    bool // a description of the other side
	replaced bool // by a newer one
	offer    *time.Timer
}

// NewPeer returns the peer of a client, whose session must be active. It does nothing
// before [Peer.Run] or [Peer.Start].
func NewPeer(signaling *msejsonrpc.Client, opts *Options) *Peer {
	return newPeer(signaling, true, DefaultOfferAfter, opts)
}

// NewServerPeer returns the server's peer of a session, for [msejsonrpc.ServerOptions.Handle].
// It does nothing before [Peer.Run] or [Peer.Start].
func NewServerPeer(signaling *msejsonrpc.ServerSession, opts *Options) *Peer {
	return newPeer(signaling, false, 0, opts)
}

func newPeer(s signaling, polite bool, offerAfter time.Duration, opts *Options) *Peer {
	p := &Peer{signaling: s, polite: polite}
	if opts != nil {
		p.opts = *opts
	}
	p.opts.OfferAfter = cmp.Or(p.opts.OfferAfter, offerAfter)
	if p.log = p.opts.Logger; p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.api = pionpeer.LazyAPI(p.opts.API, p.opts.Settings)
	return p
}

// Run starts a peer connection and handles the messages of the signaling until that or
// ctx ends or the peer connection fails, then ends the peer connection and waits for it.
// It returns nil after an orderly end of signaling, or the cause. It may be called again,
// one call at a time.
//
// Run goes on after an orderly end of the peer connection: see [Options.OnState] and
// [Peer.Start].
func (p *Peer) Run(ctx context.Context) error {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer p.hangUp()
	p.onFailure(cancel)
	defer p.onFailure(nil)

	if err := p.Start(); err != nil {
		return err
	}
	for m, err := range p.signaling.Messages(running) {
		switch cause := context.Cause(running); {
		case cause != nil && ctx.Err() == nil:
			return cause
		case err != nil:
			return fmt.Errorf("msepion: %w", err)
		}
		if _, err := p.Handle(m); err != nil {
			p.log.Warn("msepion: refused a message", "error", err)
		}
	}
	return nil
}

func (p *Peer) onFailure(f func(error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = f
}

// Handle takes a message of the signaling, for an application with a loop of its own; one
// goroutine calls it, in the order of arrival, after Start. handled is false for a message
// that is not about the peer connection.
func (p *Peer) Handle(m msejsonrpc.Message) (handled bool, err error) {
	switch m := m.(type) {
	case *msejsonrpc.SDPOffer:
		d, err := m.Description()
		if err == nil {
			err = p.description(d)
		}
		return true, err
	case *msejsonrpc.ICECandidate:
		c, err := m.Init()
		if err != nil {
			return true, err
		}
		session := p.session()
		if session == nil {
			return true, ErrNoPeer
		}
		return true, session.Candidate(webrtc.ICECandidateInit(c))
	case *msejsonrpc.Reconnected:
		return true, p.Start()
	}
	return false, nil
}

func (p *Peer) description(d msejsonrpc.SessionDescription) error {
	p.mu.Lock()
	c := p.present
	if c != nil {
		c.heard = true
	}
	p.mu.Unlock()
	if c == nil {
		return ErrNoPeer
	}
	return c.session.Description(webrtc.SessionDescription{Type: webrtc.NewSDPType(d.Type), SDP: d.SDP})
}

// Start begins a new peer connection, which replaces the present one. It does not wait
// for the other side.
func (p *Peer) Start() error {
	c, err := p.connect()
	if err == nil {
		if err = p.enter(c); err != nil {
			c.session.Discard()
		}
	}
	if err != nil {
		return fmt.Errorf("msepion: start: %w", err)
	}
	return nil
}

// connect makes a peer connection.
func (p *Peer) connect() (*connection, error) {
	c := &connection{channels: make(map[string]*webrtc.DataChannel)}
	var err error
	c.session, err = pionpeer.NewSession(pionpeer.SessionConfig{
		Name:           "msepion",
		API:            p.api,
		Configuration:  p.opts.Configuration,
		Polite:         p.polite,
		MaxPending:     p.opts.MaxPending,
		MaxChannels:    p.opts.MaxChannels,
		ConnectTimeout: p.opts.ConnectTimeout,
		SendOnly:       true,
		Logger:         p.log,

		SendDescription: func(d webrtc.SessionDescription) error { return p.sendDescription(c, d) },
		SendCandidate: func(init webrtc.ICECandidateInit) error {
			return p.signaling.SendCandidate(msejsonrpc.ICECandidateInit(init))
		},
		OnChannel:  func(ch *webrtc.DataChannel) { p.keep(c, ch) },
		OnTrack:    p.opts.OnTrack,
		OnKeyFrame: p.opts.OnKeyFrame,
		OnFailed:   func() bool { return p.recover(c) },
		OnState:    func(s webrtc.PeerConnectionState) { p.changed(c, s) },
		OnEnd:      func(cause error) { p.forget(c, cause) },
	})
	if err != nil {
		return nil, err
	}
	if err := p.prepare(c); err != nil {
		c.session.Discard()
		return nil, err
	}
	return c, nil
}

// prepare adds what the first offer has.
func (p *Peer) prepare(c *connection) error {
	pc := c.session.PeerConnection()
	for _, label := range p.opts.Labels {
		ch, err := pc.CreateDataChannel(label, nil)
		if err != nil {
			return fmt.Errorf("open %s: %w", label, err)
		}
		p.keep(c, ch)
	}
	if p.opts.Setup != nil {
		return p.opts.Setup(pc)
	}
	return nil
}

// keep gives a channel to the application.
func (p *Peer) keep(c *connection, ch *webrtc.DataChannel) {
	p.mu.Lock()
	c.channels[ch.Label()] = ch
	p.mu.Unlock()
	if p.opts.OnChannel != nil {
		p.opts.OnChannel(ch)
	}
}

// enter makes a peer connection the present one, with the tracks of the peer.
func (p *Peer) enter(c *connection) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if old := p.present; old != nil {
		old.replaced = true
		old.session.End(nil)
	}
	for _, t := range p.tracks {
		_ = c.session.AddTrack(t) // it is new, and not ending
	}
	p.present, p.last = c, nil
	p.sessions.Go(func() { <-c.session.Done() })
	c.session.Start()
	switch something := p.hasSomething(c); {
	case !something || p.opts.OfferAfter < 0:
	case p.opts.OfferAfter == 0:
		c.session.Negotiate()
	default:
		c.offer = time.AfterFunc(p.opts.OfferAfter, func() { p.offerFirst(c) })
	}
	return nil
}

// hasSomething reports whether there is something to offer.
func (p *Peer) hasSomething(c *connection) bool {
	return len(p.tracks) > 0 || len(p.opts.Labels) > 0 || len(c.session.PeerConnection().GetTransceivers()) > 0
}

// offerFirst offers when the other side has not.
func (p *Peer) offerFirst(c *connection) {
	p.mu.Lock()
	heard := c.heard
	p.mu.Unlock()
	if !heard {
		c.session.Negotiate()
	}
}

// forget takes a peer connection that is about to end away.
func (p *Peer) forget(c *connection, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.offer != nil {
		c.offer.Stop()
	}
	if p.present != c {
		return
	}
	p.present, p.last = nil, cause
	if p.failed != nil && cause != nil {
		p.failed(cause)
	}
}

// changed tells the application of a state.
func (p *Peer) changed(c *connection, s webrtc.PeerConnectionState) {
	p.mu.Lock()
	replaced := c.replaced
	p.mu.Unlock()
	if !replaced && p.opts.OnState != nil {
		p.opts.OnState(s)
	}
}

// recover reports that something is done about a network path that was lost: the client
// restarts ICE, the server waits for it.
func (p *Peer) recover(c *connection) bool {
	if p.polite {
		c.session.Restart()
	}
	return true
}

// sendDescription sends a description. What the other side's offer had no section for
// is offered after its answer.
func (p *Peer) sendDescription(c *connection, d webrtc.SessionDescription) error {
	err := p.signaling.SendOffer(msejsonrpc.SessionDescription{Type: d.Type.String(), SDP: d.SDP})
	if err == nil && d.Type == webrtc.SDPTypeAnswer && p.lacks(c, d) {
		c.session.Negotiate()
	}
	return err
}

// lacks reports whether something of ours is not in a description.
func (p *Peer) lacks(c *connection, d webrtc.SessionDescription) bool {
	parsed, err := d.Unmarshal()
	if err != nil {
		return false
	}
	channels := false
	mids := make(map[string]bool)
	for _, m := range parsed.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		mids[mid] = true
		channels = channels || m.MediaName.Media == "application"
	}
	if len(p.opts.Labels) > 0 && !channels {
		return true
	}
	return slices.ContainsFunc(c.session.PeerConnection().GetTransceivers(), func(t *webrtc.RTPTransceiver) bool {
		return t.Direction() != webrtc.RTPTransceiverDirectionInactive && !mids[t.Mid()]
	})
}

// AddTrack sends a track to the other side, with an offer if there is a peer connection,
// and with the peer connections that follow.
func (p *Peer) AddTrack(track webrtc.TrackLocal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.tracks, track) {
		return
	}
	p.tracks = append(p.tracks, track)
	if p.present != nil {
		_ = p.present.session.AddTrack(track) // one that is ending needs none
	}
}

// RemoveTrack takes a track away from the other side, with an offer.
func (p *Peer) RemoveTrack(track webrtc.TrackLocal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracks = slices.DeleteFunc(p.tracks, func(t webrtc.TrackLocal) bool { return t == track })
	if p.present != nil {
		_ = p.present.session.RemoveTrack(track) // one that is ending has none
	}
}

// Negotiate makes an offer, after the application has changed the peer connection itself.
func (p *Peer) Negotiate() error { return p.with((*pionpeer.Session).Negotiate) }

// Restart makes an offer that restarts ICE, for a network that has changed.
func (p *Peer) Restart() error { return p.with((*pionpeer.Session).Restart) }

func (p *Peer) with(f func(*pionpeer.Session)) error {
	s := p.session()
	if s == nil {
		return ErrNoPeer
	}
	f(s)
	return nil
}

// RequestKeyFrame asks the other side for a key frame of a track, with a picture loss
// indication. A viewer that begins to decode needs one.
func (p *Peer) RequestKeyFrame(track *webrtc.TrackRemote) error {
	s := p.session()
	if s == nil {
		return ErrNoPeer
	}
	return s.RequestKeyFrame(track)
}

// Channel returns a data channel of the present peer connection that OnChannel has got,
// or nil.
func (p *Peer) Channel(label string) *webrtc.DataChannel {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.present == nil {
		return nil
	}
	return p.present.channels[label]
}

// PeerConnection returns the Pion side of the present peer connection, or nil, for
// statistics and for channels of the application's own. Its negotiation and its
// callbacks belong to the Peer, except for those of the channels.
func (p *Peer) PeerConnection() *webrtc.PeerConnection {
	if s := p.session(); s != nil {
		return s.PeerConnection()
	}
	return nil
}

// Err returns why the last peer connection ended. It is nil while there is one and after
// an orderly end.
func (p *Peer) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// Close ends the peer connection and waits for it and its hooks. No other one can be
// started. The signaling stays the caller's.
func (p *Peer) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.hangUp()
	return nil
}

func (p *Peer) hangUp() {
	if s := p.session(); s != nil {
		s.End(nil)
	}
	p.sessions.Wait()
}

func (p *Peer) session() *pionpeer.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.present == nil {
		return nil
	}
	return p.present.session
}
