package easyrtcpion

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// The defaults of [Options].
const (
	DefaultMaxCalls       = 256
	DefaultMaxPending     = pionpeer.DefaultMaxPending
	DefaultMaxChannels    = pionpeer.DefaultMaxChannels
	DefaultMaxFiles       = 8
	DefaultConnectTimeout = pionpeer.DefaultConnectTimeout
)

// Options say what a [Peer] takes and whom it tells what happens. Nil and zero fields mean
// the defaults.
//
// The hooks are called under no lock. They must not block for long, with the exception of
// OnTrack, and must not call [Peer.Close] or [Call.Close], which wait for them; there, use
// another goroutine.
type Options struct {
	// OnCall gets a call of another client, to be accepted or rejected now or later. Without
	// it calls are rejected.
	OnCall func(*IncomingCall)
	// OnTrack gets what the other client sends, in a goroutine of its own. It may read until
	// the track ends and must return then. [Call.StreamName] names its stream.
	OnTrack func(*Call, *webrtc.TrackRemote)
	// OnOpen hears that messages can be sent to the other client without the server.
	OnOpen func(*Call)
	// OnData gets what the other client sends in this way, one after the other.
	OnData func(*Call, *easyrtc.DataMessage)
	// OnChannel gets the data channels that the other client opens, before their first
	// message; the one of the protocol only with NoData.
	OnChannel func(*Call, *webrtc.DataChannel)
	// OnStreamReceived hears that a stream of this client has arrived, by its name.
	OnStreamReceived func(*Call, string)
	// OnKeyFrame hears that the other client needs a key frame of a track.
	OnKeyFrame func(*Call, webrtc.TrackLocal)
	// OnState hears of the states of a call's peer connection, one after the other, and of
	// Closed last.
	OnState func(*Call, webrtc.PeerConnectionState)
	// OnClosed hears that a call that was accepted is over: nil after a hangup on either
	// side, or why.
	OnClosed func(*Call, error)
	// OnFiles gets files that another client wants to send, to be accepted or rejected now
	// or later. Without it they are rejected.
	OnFiles func(*IncomingFiles)
	// OnMessage gets what [Peer.Run] reads and is not about calls or files.
	OnMessage func(easyrtc.Message)

	// API makes the peer connections. Nil makes one of Settings and Pion's default
	// codecs and interceptors.
	API      *webrtc.API
	Settings webrtc.SettingEngine
	// Configuration is for all peer connections, in place of the ICE servers of the
	// server.
	Configuration *webrtc.Configuration

	NoData           bool // without the data channel of the protocol
	NoAudio, NoVideo bool // a caller does not ask for more of it than it sends itself

	MaxCalls       int           // at once, with those that are neither accepted nor rejected; default 256
	MaxPending     int           // descriptions and candidates of one call that wait; default 256
	MaxChannels    int           // that the other client opens in the life of a call; default 64
	MaxFiles       int           // transfers with one client at once, in each direction; default 8
	MaxData        int           // of a message on the data channel, in UTF-16 units; default 1 Mi
	ConnectTimeout time.Duration // from the answer until connected; default 30 s

	Logger *slog.Logger // nil discards
}

// A Peer makes and takes the calls of one client. Its methods may be called concurrently,
// except for Handle and Run.
type Peer struct {
	client *easyrtc.Client
	opts   Options
	log    *slog.Logger
	api    func() (*webrtc.API, error)
	quit   chan struct{} // closed by Close
	stop   context.CancelFunc
	ctx    context.Context // ends with quit
	work   sync.WaitGroup

	mu       sync.Mutex // held for looking things up and for queueing only
	closed   bool
	calls    map[string]*Call         // by the other client's id
	incoming map[string]*IncomingCall // that wait, likewise
	farewell map[string]bool          // whose hangup of a call that is over is to come
	outFiles map[fileKey]*outgoingFiles
	inFiles  map[fileKey]*IncomingFiles
	lastSeq  int64                    // of an offer of files
	sending  map[string]chan struct{} // capacity 1: who sends files to a client
}

// NewPeer returns the peer of a client. It does nothing by itself before [Peer.Run], or
// before messages are given to [Peer.Handle]. It ends with the client.
func NewPeer(client *easyrtc.Client, opts *Options) *Peer {
	p := &Peer{
		client:   client,
		quit:     make(chan struct{}),
		calls:    make(map[string]*Call),
		incoming: make(map[string]*IncomingCall),
		farewell: make(map[string]bool),
		outFiles: make(map[fileKey]*outgoingFiles),
		inFiles:  make(map[fileKey]*IncomingFiles),
		sending:  make(map[string]chan struct{}),
	}
	if opts != nil {
		p.opts = *opts
	}
	p.opts.MaxCalls = cmp.Or(p.opts.MaxCalls, DefaultMaxCalls)
	p.opts.MaxPending = cmp.Or(p.opts.MaxPending, DefaultMaxPending)
	p.opts.MaxFiles = cmp.Or(p.opts.MaxFiles, DefaultMaxFiles)
	if p.log = p.opts.Logger; p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.api = pionpeer.LazyAPI(p.opts.API, p.opts.Settings)
	p.ctx, p.stop = context.WithCancel(context.Background())
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
	return pionpeer.Run(ctx, p.client.Messages, ErrDisconnected, pionpeer.Handler[easyrtc.Message]{
		Package: "easyrtcpion", Closed: p.quit, Ended: p.client.Done(),
		Handle: p.Handle, Other: p.opts.OnMessage, Shut: p.shut, Log: p.log,
	})
}

// Handle takes a message of the client, for an application with a loop of its own; one
// goroutine calls it with all of them, in the order of arrival. handled is false for a
// message that is not about calls or files, and for the news of rooms. The error is about a
// message that the peer could not use, which is not grave.
func (p *Peer) Handle(m easyrtc.Message) (handled bool, err error) {
	switch m := m.(type) {
	case *easyrtc.Offer:
		return true, p.offered(m)
	case *easyrtc.Answer:
		return true, p.answered(m)
	case *easyrtc.Candidate:
		return true, p.candidate(m)
	case *easyrtc.Reject:
		p.rejected(m.SenderEasyrtcID)
		return true, nil
	case *easyrtc.Hangup:
		p.hungUp(m.SenderEasyrtcID)
		return true, nil
	case *easyrtc.Msg:
		return p.message(m)
	case *easyrtc.RoomData:
		p.checkRooms()
	case *easyrtc.Reconnected:
		p.disconnected(ErrDisconnected, m.Token.MsgData.EasyrtcID)
	}
	return false, nil
}

// offered takes an offer: of a call that begins, or of one that goes on.
func (p *Peer) offered(m *easyrtc.Offer) error {
	d, err := m.SessionDescription()
	if err != nil {
		return err
	}
	id := m.SenderEasyrtcID
	if id == "" {
		return errNoSender
	}
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: d.SDP}
	p.mu.Lock()
	delete(p.farewell, id)
	c, in := p.calls[id], p.incoming[id]
	refuse := p.closed || p.opts.OnCall == nil || len(p.calls)+len(p.incoming) >= p.opts.MaxCalls
	switch {
	case c != nil:
		err = c.offered(offer)
	case in != nil: // it replaces the one before
		in.offer, in.candidates = offer, nil
	case !refuse:
		in = &IncomingCall{EasyrtcID: id, peer: p, offer: offer, over: make(chan struct{})}
		in.seen = p.sharesRoom(id)
		p.incoming[id] = in
		p.mu.Unlock()
		p.opts.OnCall(in)
		return nil
	}
	p.mu.Unlock()
	if c == nil && in == nil {
		p.send(&easyrtc.Reject{TargetEasyrtcID: id})
	}
	return ignoreClosed(err)
}

func (p *Peer) answered(m *easyrtc.Answer) error {
	d, err := m.SessionDescription()
	if err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.farewell, m.SenderEasyrtcID)
	c := p.calls[m.SenderEasyrtcID]
	if c != nil {
		err = c.answered(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: d.SDP})
	}
	p.mu.Unlock()
	if c != nil {
		c.becomeActive()
	}
	return ignoreClosed(err)
}

// candidate gives a candidate to its call. Those of calls that are over are normal, and so
// are the empty ones of some browsers.
func (p *Peer) candidate(m *easyrtc.Candidate) error {
	d, err := m.ICECandidate()
	if err != nil {
		return err
	}
	if d.Candidate == "" {
		return nil
	}
	init := webrtc.ICECandidateInit{Candidate: d.Candidate, SDPMid: d.ID}
	if d.Label != nil && *d.Label >= 0 && *d.Label < 1<<16 {
		init.SDPMLineIndex = new(uint16(*d.Label))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := m.SenderEasyrtcID
	if c := p.calls[id]; c != nil {
		return ignoreClosed(c.session.Candidate(init))
	}
	if in := p.incoming[id]; in != nil {
		if len(in.candidates) >= p.opts.MaxPending {
			return pionpeer.ErrOverflow
		}
		in.candidates = append(in.candidates, init)
	}
	return nil
}

func (p *Peer) rejected(id string) {
	if c := p.call(id); c != nil {
		var cause error
		if !c.isActive() {
			cause = ErrRejected
		}
		c.end(cause, nil)
	}
	p.withdraw(id, func(*IncomingCall) bool { return true })
}

// hungUp is rejected in other words: a browser that gives up before it answers may say
// either.
func (p *Peer) hungUp(id string) {
	p.mu.Lock()
	late := p.farewell[id]
	delete(p.farewell, id)
	p.mu.Unlock()
	if !late {
		p.rejected(id)
	}
}

// expectHangup notes that the other side of a call has closed it before its hangup is here,
// which must not end the next call. What the other side offers or answers comes after that.
func (p *Peer) expectHangup(c *Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[c.id] == c && len(p.farewell) < p.opts.MaxCalls {
		p.farewell[c.id] = true
	}
}

// withdraw ends the offer of another client that waits.
func (p *Peer) withdraw(id string, which func(*IncomingCall) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if in := p.incoming[id]; in != nil && which(in) {
		delete(p.incoming, id)
		close(in.over)
	}
}

// message takes a message of another client that goes with a call or is about files.
func (p *Peer) message(m *easyrtc.Msg) (handled bool, err error) {
	id := m.SenderEasyrtcID
	if id == "" {
		return false, nil
	}
	switch m.MsgType {
	case easyrtc.MsgDataChannelPrimed:
		if c := p.call(id); c != nil {
			c.primed(nil)
		}
		return true, nil
	case easyrtc.MsgStreamReceived:
		name, err := m.StreamReceived()
		if c := p.call(id); err == nil && c != nil && p.opts.OnStreamReceived != nil {
			p.opts.OnStreamReceived(c, name)
		}
		return true, err
	case easyrtc.MsgSupportHalfTrickleICE:
		if c := p.call(id); c != nil {
			c.halfTrickle()
		}
		return true, nil
	case easyrtc.MsgICEGatheringDone:
		return true, nil
	}
	return p.fileMessage(id, m.MsgType, m.MsgData)
}

func (p *Peer) call(id string) *Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[id]
}

// CallWith returns the call with another client, or nil.
func (p *Peer) CallWith(easyrtcid string) *Call { return p.call(easyrtcid) }

// Calls returns the present calls in no order.
func (p *Peer) Calls() (all []*Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		all = append(all, c)
	}
	return all
}

// sharesRoom reports whether another client is in a room of this one.
func (p *Peer) sharesRoom(id string) bool { return isIn(p.client.Rooms(), id) }

func isIn(rooms map[string]*easyrtc.Room, id string) bool {
	for _, r := range rooms {
		if r.ClientList[id] != nil {
			return true
		}
	}
	return false
}

// checkRooms ends what there is with clients that are gone.
func (p *Peer) checkRooms() {
	rooms := p.client.Rooms()
	present := func(id string) bool { return isIn(rooms, id) }
	p.mu.Lock()
	var gone []*Call
	for id, c := range p.calls {
		if c.seen && !present(id) {
			gone = append(gone, c)
		}
		c.seen = c.seen || present(id)
	}
	maps.DeleteFunc(p.farewell, func(id string, _ bool) bool { return !present(id) })
	for id, in := range p.incoming {
		if in.seen && !present(id) {
			delete(p.incoming, id)
			close(in.over)
			continue
		}
		in.seen = in.seen || present(id)
	}
	files := p.filesOf(func(id string, seen *bool) bool {
		left := *seen && !present(id)
		*seen = *seen || present(id)
		return left
	})
	p.mu.Unlock()
	for _, c := range gone {
		c.end(ErrGone, nil)
	}
	for _, f := range files {
		f.fail(ErrGone)
	}
}

// disconnected ends everything but the calls that were made under a new id already: the
// application may know of it first.
func (p *Peer) disconnected(cause error, own string) {
	p.mu.Lock()
	var calls []*Call
	for _, c := range p.calls {
		if c.own != own || own == "" {
			calls = append(calls, c)
		}
	}
	for id, in := range p.incoming {
		delete(p.incoming, id)
		close(in.over)
	}
	clear(p.farewell)
	files := p.filesOf(func(string, *bool) bool { return true })
	p.mu.Unlock()
	for _, c := range calls {
		c.end(cause, nil)
	}
	for _, f := range files {
		f.fail(cause)
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// configuration returns what a new peer connection is made with.
func (p *Peer) configuration() webrtc.Configuration {
	if c := p.opts.Configuration; c != nil {
		return *c
	}
	var out webrtc.Configuration
	for _, s := range p.client.ICEServers() {
		urls := s.Addresses()
		if len(urls) == 0 {
			continue
		}
		server := webrtc.ICEServer{URLs: urls, Username: s.Username}
		if s.Credential != "" {
			server.Credential = s.Credential
		}
		out.ICEServers = append(out.ICEServers, server)
	}
	return out
}

// send sends what nobody waits for: it fails only when there is nobody to tell.
func (p *Peer) send(m easyrtc.Message) {
	if err := p.client.Send(m); err != nil {
		p.log.Debug("easyrtcpion: send", "error", err)
	}
}

// Close hangs up all calls, ends all file transfers and waits for them and their hooks. The
// client stays the caller's.
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
	p.closed = true
	close(p.quit)
	var calls []*Call
	for _, c := range p.calls {
		calls = append(calls, c)
	}
	var callers []string
	for id, in := range p.incoming {
		callers = append(callers, id)
		delete(p.incoming, id)
		close(in.over)
	}
	files := p.filesOf(func(string, *bool) bool { return true })
	p.mu.Unlock()
	for _, id := range callers {
		p.send(&easyrtc.Reject{TargetEasyrtcID: id})
	}
	for _, c := range calls {
		c.end(cause, &easyrtc.Hangup{TargetEasyrtcID: c.id})
	}
	for _, f := range files {
		f.fail(cmp.Or(cause, ErrClosed))
	}
	p.stop()
}

// Done is closed when the peer has been closed or its client has ended.
func (p *Peer) Done() <-chan struct{} { return p.quit }
