package galenepion

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// The defaults of [Options].
const (
	DefaultMaxStreams     = 256
	DefaultMaxPending     = pionpeer.DefaultMaxPending
	DefaultMaxFiles       = 8
	DefaultConnectTimeout = pionpeer.DefaultConnectTimeout
)

// Options say what a [Peer] receives and whom it tells what happens. Nil and zero fields
// mean the defaults.
//
// The hooks are called under no lock. They must not block for long, with the exception of
// OnTrack, and must not call [Peer.Close], which waits for them; there, use another
// goroutine.
type Options struct {
	// OnStream gets a stream that the server offers, before it is answered: call
	// [Subscription.Abort] there if it is not wanted. A new stream that takes the place of
	// another one names it in Replaces. A peer without OnStream and OnTrack wants none.
	OnStream func(*Subscription)
	// OnTrack gets what a stream brings, in a goroutine of its own. It may read until the
	// track ends and must return then. After [Subscription.Request] a stream may bring
	// further tracks.
	OnTrack func(*Subscription, *webrtc.TrackRemote)
	// OnClosed hears that a stream has ended: nil when its sender or the application ended
	// it, [ErrReplaced], or why it failed.
	OnClosed func(*Subscription, error)
	// OnFile gets a file that another user wants to send, to be accepted or rejected now or
	// later. Without it files are rejected.
	OnFile func(*IncomingFile)
	// OnMessage gets what [Peer.Run] reads and is not about streams or files.
	OnMessage func(galene.Message)

	// API makes the peer connections. Nil makes one of Settings and Pion's default
	// codecs and interceptors.
	API      *webrtc.API
	Settings webrtc.SettingEngine
	// Configuration is for all peer connections, in place of what the server says.
	Configuration *webrtc.Configuration

	MaxStreams     int           // received at once, more are aborted; default 256
	MaxPending     int           // descriptions and candidates of one stream that wait; default 256
	MaxFiles       int           // transfers with one user at once, in each direction; default 8
	ConnectTimeout time.Duration // from the first answer until connected, and after a failure; default 30 s

	Logger *slog.Logger // nil discards
}

// A Peer sends and receives the media of one client, and files. There is a peer connection
// for each stream. Its methods may be called concurrently, except for Handle and Run.
//
// The client must have joined its group before anything is published.
type Peer struct {
	client *galene.Client
	opts   Options
	log    *slog.Logger
	api    func() (*webrtc.API, error)
	quit   chan struct{} // closed by Close
	work   sync.WaitGroup

	mu           sync.Mutex // held for looking things up and for queueing only
	closed       bool
	err          error // why it was closed; nil after Close
	present      bool  // the client may publish
	publications map[*Publication]bool
	up           map[string]*upStream     // by id
	down         map[string]*Subscription // by id
	refused      []*refusal               // aborted streams whose reason is to come
	files        map[fileKey]*transfer
}

// NewPeer returns the peer of a client. It does nothing by itself before [Peer.Run], or
// before messages are given to [Peer.Handle]. It ends with the client.
func NewPeer(client *galene.Client, opts *Options) *Peer {
	p := &Peer{
		client:       client,
		quit:         make(chan struct{}),
		publications: make(map[*Publication]bool),
		up:           make(map[string]*upStream),
		down:         make(map[string]*Subscription),
		files:        make(map[fileKey]*transfer),
		present:      client.Permissions().Has(galene.PermissionPresent),
	}
	if opts != nil {
		p.opts = *opts
	}
	p.opts.MaxStreams = cmp.Or(p.opts.MaxStreams, DefaultMaxStreams)
	p.opts.MaxFiles = cmp.Or(p.opts.MaxFiles, DefaultMaxFiles)
	if p.log = p.opts.Logger; p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.api = pionpeer.LazyAPI(p.opts.API, p.opts.Settings)
	p.work.Go(func() {
		select {
		case <-client.Done():
			p.shut(cmp.Or(client.Err(), ErrDisconnected))
		case <-p.quit:
		}
	})
	return p
}

// Run handles the messages of the client until that, ctx or the peer ends, then closes the
// peer. It returns nil after an orderly end of the client, or the cause.
func (p *Peer) Run(ctx context.Context) error {
	defer p.Close()
	return pionpeer.Run(ctx, p.client.Messages, ErrDisconnected, pionpeer.Handler[galene.Message]{
		Package: "galenepion", Closed: p.quit, Ended: p.client.Done(),
		Handle: p.Handle, Other: p.opts.OnMessage, Shut: p.shut, Log: p.log,
	})
}

// Handle takes a message of the client, for an application with a loop of its own; one
// goroutine calls it with all of them, in the order of arrival. handled is false for a
// message that is not about streams or files. The error is about a message that the peer
// could not use, which is not grave.
func (p *Peer) Handle(m galene.Message) (handled bool, err error) {
	switch m := m.(type) {
	case *galene.Offer:
		return true, p.offered(m)
	case *galene.Answer:
		return true, p.answered(m)
	case *galene.ICE:
		return true, p.candidate(m)
	case *galene.Renegotiate:
		p.renegotiate(m.ID)
		return true, nil
	case *galene.Close:
		p.closeStream(m.ID)
		return true, nil
	case *galene.Abort:
		p.aborted(m.ID)
		return true, nil
	case *galene.UserMessage:
		switch {
		case m.Kind == galene.UserMessageFileTransfer:
			return true, p.fileMessage(m)
		case m.Kind == galene.UserMessageError && m.Privileged && m.Source == "":
			text, _ := galene.Text(m.Value)
			p.explain(text)
		}
	case *galene.Joined:
		p.permitted(m)
	case *galene.User:
		if m.Kind == galene.UserDelete {
			p.userGone(m.ID)
		}
	case *galene.Reconnected:
		p.reconnected()
	}
	return false, nil
}

// candidate gives a candidate to its stream. Those of streams that are gone are normal.
func (p *Peer) candidate(m *galene.ICE) error {
	init, err := m.Init()
	if err != nil {
		return err
	}
	var s *pionpeer.Session
	p.mu.Lock()
	if u := p.up[m.ID]; u != nil {
		s = u.session
	} else if d := p.down[m.ID]; d != nil {
		s = d.session
	}
	p.mu.Unlock()
	if s == nil {
		return nil
	}
	return ignoreClosed(s.Candidate(webrtc.ICECandidateInit(init)))
}

func ignoreClosed(err error) error {
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// permitted takes note of what the client may do.
func (p *Peer) permitted(m *galene.Joined) {
	p.mu.Lock()
	p.present = m.Permissions.Has(galene.PermissionPresent)
	p.mu.Unlock()
	p.resume()
}

// reconnected begins anew on another connection: the server has forgotten all streams.
func (p *Peer) reconnected() {
	p.mu.Lock()
	p.present = p.client.Permissions().Has(galene.PermissionPresent)
	var over []*Publication
	for pub := range p.publications {
		if !p.suspend(pub) {
			over = append(over, pub)
		}
	}
	subscriptions, files := p.subscriptions(), p.transfers()
	p.forgetRefusals()
	p.mu.Unlock()
	for _, pub := range over {
		pub.end(ErrDisconnected, false)
	}
	for _, s := range subscriptions {
		s.end(ErrDisconnected)
	}
	for _, f := range files {
		f.step(fileEvent{fileGone, ErrDisconnected})
	}
	p.resume()
}

// forgetRefusals gives up the reasons of aborted streams. Called with the lock held.
func (p *Peer) forgetRefusals() {
	for _, r := range p.refused {
		r.late.Stop()
	}
	p.refused = nil
}

// subscriptions and transfers return what there is. Called with the lock held.
func (p *Peer) subscriptions() (all []*Subscription) {
	for _, s := range p.down {
		all = append(all, s)
	}
	return all
}

func (p *Peer) transfers() (all []*transfer) {
	for _, f := range p.files {
		all = append(all, f)
	}
	return all
}

// configuration returns what a new peer connection is made with.
func (p *Peer) configuration() (webrtc.Configuration, error) {
	if c := p.opts.Configuration; c != nil {
		return *c, nil
	}
	c, err := p.client.RTCConfiguration()
	if err != nil {
		return webrtc.Configuration{}, err
	}
	out := webrtc.Configuration{ICETransportPolicy: webrtc.NewICETransportPolicy(c.ICETransportPolicy)}
	for _, s := range c.ICEServers {
		server := webrtc.ICEServer{URLs: s.URLs, Username: s.Username}
		if s.Credential != "" {
			server.Credential = s.Credential
		}
		out.ICEServers = append(out.ICEServers, server)
	}
	return out, nil
}

// session makes a session with what all of them have in common.
func (p *Peer) session(cfg pionpeer.SessionConfig) (*pionpeer.Session, error) {
	configuration, err := p.configuration()
	if err != nil {
		return nil, err
	}
	cfg.Name = "galenepion"
	cfg.API = p.api
	cfg.Configuration = configuration
	cfg.MaxPending = p.opts.MaxPending
	cfg.ConnectTimeout = p.opts.ConnectTimeout
	cfg.Logger = p.log
	return pionpeer.NewSession(cfg)
}

// sendCandidate sends a candidate of a stream. There is no word for the end of the
// candidates, and a stream may have ended in the meantime.
func (p *Peer) sendCandidate(id string, c webrtc.ICECandidateInit) error {
	if c.Candidate == "" {
		return nil
	}
	err := p.client.Send(galene.NewICE(id, galene.ICECandidateInit(c)))
	if errors.Is(err, galene.ErrUnknownStream) {
		return nil
	}
	return err
}

// send sends what nobody waits for: it fails only when there is nobody to tell.
func (p *Peer) send(m galene.Message) {
	if err := p.client.Send(m); err != nil {
		p.log.Debug("galenepion: send", "error", err)
	}
}

// start starts a session that the peer waits for. Called with the lock held, while the peer
// is not closed.
func (p *Peer) start(s *pionpeer.Session) {
	p.work.Go(func() { <-s.Done() })
	s.Start()
}

// Close ends all streams and file transfers and waits for them and their hooks. The client
// stays the caller's.
func (p *Peer) Close() error {
	p.shut(nil)
	p.work.Wait()
	return nil
}

func (p *Peer) shut(cause error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed, p.err = true, cause
	close(p.quit)
	var publications []*Publication
	for pub := range p.publications {
		publications = append(publications, pub)
	}
	subscriptions, files := p.subscriptions(), p.transfers()
	p.forgetRefusals()
	p.mu.Unlock()
	for _, pub := range publications {
		pub.end(cause, true)
	}
	for _, s := range subscriptions {
		s.abort(cause)
	}
	for _, f := range files {
		f.step(fileEvent{fileBroken, cmp.Or(cause, ErrClosed)})
	}
}

// Done is closed when the peer has been closed or its client has ended.
func (p *Peer) Done() <-chan struct{} { return p.quit }
