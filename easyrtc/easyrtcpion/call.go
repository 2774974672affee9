package easyrtcpion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

const (
	// maxHeld is how many candidates of ours wait for the answer.
	maxHeld = 256
	// crossWait is how long an offer that crosses ours within a call waits for the answer to
	// ours. A browser gives its own offer up there, whatever the ids, answers ours and then
	// offers again; a Peer with the greater id keeps its offer and does not answer.
	crossWait = 500 * time.Millisecond
)

// An IncomingCall is a call of another client. Exactly one of Accept and Reject is to be
// called.
type IncomingCall struct {
	EasyrtcID string // the caller's

	peer *Peer
	over chan struct{} // closed when it does not wait any more

	// Guarded by the peer's lock.
	seen       bool // in a room of this client
	offer      webrtc.SessionDescription
	candidates []webrtc.ICECandidateInit
}

// Accept answers the call and sends these tracks. It does not wait for the connection, see
// [Call.Connected]. The error is [ErrClosed] when the caller has given up.
func (in *IncomingCall) Accept(tracks ...webrtc.TrackLocal) (*Call, error) {
	p := in.peer
	c, err := p.newCall(in.EasyrtcID, tracks, false)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed || p.incoming[in.EasyrtcID] != in {
		p.mu.Unlock()
		c.discard()
		return nil, ErrClosed
	}
	delete(p.incoming, in.EasyrtcID)
	close(in.over)
	c.seen, c.trickle = in.seen, true
	p.enter(c)
	err = c.session.Description(in.offer)
	for _, candidate := range in.candidates {
		_ = c.session.Candidate(candidate) // as many as one side may have waiting
	}
	p.mu.Unlock()
	p.publish()
	c.session.Start()
	c.becomeActive()
	if err != nil {
		c.end(err, c.hangup())
		return nil, err
	}
	return c, nil
}

// Reject refuses the call.
func (in *IncomingCall) Reject() {
	p := in.peer
	p.mu.Lock()
	waits := p.incoming[in.EasyrtcID] == in
	if waits {
		delete(p.incoming, in.EasyrtcID)
		close(in.over)
	}
	p.mu.Unlock()
	if waits {
		p.send(&easyrtc.Reject{TargetEasyrtcID: in.EasyrtcID})
	}
}

// Done is closed when the call has been accepted or rejected, and when the caller has given
// up or is gone.
func (in *IncomingCall) Done() <-chan struct{} { return in.over }

// A Call is a call with another client, from its offer or acceptance to its end. Its methods
// may be called concurrently and from hooks, except for [Call.Close].
type Call struct {
	peer     *Peer
	id       string
	own      string // this client's id when the call began
	outgoing bool
	polite   bool // gives in when offers cross
	session  *pionpeer.Session
	outlet   *outlet
	data     *dataChannel

	active    chan struct{} // closed when the call is accepted
	connected chan struct{} // closed when media or data can flow
	connect   func()        // closes connected
	gone      chan struct{} // closed when the end begins
	done      chan struct{} // closed when it is over

	// Guarded by the peer's lock.
	ending   bool
	accepted bool
	seen     bool // the other client, in a room of this one
	trickle  bool // candidates may go out
	gathered bool // the last of them has
	half     bool // the other client wants to know
	held     []easyrtc.Message
	offering bool                       // an offer of ours is not answered
	crossed  *webrtc.SessionDescription // an offer of the other client that waits for that
	crossing *time.Timer
	err      error
	tracks   []webrtc.TrackLocal
	streams  map[string]bool // of the other client, by id
}

// Call calls another client, sends these tracks, and returns when the call has been
// accepted. It waits as long as ctx allows: the protocol has no limit. The error is
// [ErrRejected], a [*easyrtc.Error] of the server such as when nobody has the id, [ErrBusy],
// or why it ended before. When that client's call waits to be accepted, it is.
func (p *Peer) Call(ctx context.Context, easyrtcid string, tracks ...webrtc.TrackLocal) (*Call, error) {
	c, err := p.begin(easyrtcid, tracks)
	if err != nil {
		return nil, fmt.Errorf("easyrtcpion: call: %w", err)
	}
	select {
	case <-c.active:
		return c, nil
	case <-ctx.Done():
		c.end(ctx.Err(), c.hangup())
	case <-c.gone:
	}
	<-c.done
	if c.isActive() && c.Err() == nil { // it was hung up at once
		return c, nil
	}
	err = c.Err()
	if err == nil {
		err = ErrClosed
	}
	return nil, fmt.Errorf("easyrtcpion: call: %w", err)
}

// begin offers a call, or accepts the one that waits.
func (p *Peer) begin(id string, tracks []webrtc.TrackLocal) (*Call, error) {
	if in, err := p.waiting(id); in != nil {
		return in.Accept(tracks...)
	} else if err != nil {
		return nil, err
	}
	c, err := p.newCall(id, tracks, true)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	in, err := p.waitingLocked(id)
	if err != nil || in != nil {
		p.mu.Unlock()
		c.discard()
		if in != nil { // it has come meanwhile
			return in.Accept(tracks...)
		}
		return nil, err
	}
	c.seen = p.sharesRoom(id)
	p.enter(c)
	p.mu.Unlock()
	p.publish() // before the offer: the name of a stream is looked up when it arrives
	c.session.Start()
	c.session.Negotiate()
	return c, nil
}

func (p *Peer) waiting(id string) (*IncomingCall, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waitingLocked(id)
}

// waitingLocked returns the call of another client that waits to be accepted, or whether
// there can be a new one. Called with the lock held.
func (p *Peer) waitingLocked(id string) (*IncomingCall, error) {
	switch {
	case p.closed:
		return nil, ErrClosed
	case p.incoming[id] != nil:
		return p.incoming[id], nil
	case p.calls[id] != nil && p.calls[id].own == p.client.EasyrtcID(): // any other is about to end
		return nil, ErrBusy
	case len(p.calls)+len(p.incoming) >= p.opts.MaxCalls:
		return nil, ErrTooManyCalls
	}
	return nil, nil
}

// newCall makes a call that nobody knows yet.
func (p *Peer) newCall(id string, tracks []webrtc.TrackLocal, outgoing bool) (*Call, error) {
	own := p.client.EasyrtcID()
	c := &Call{
		peer: p, id: id, own: own, outgoing: outgoing, polite: own < id,
		tracks: slices.Clone(tracks), streams: make(map[string]bool),
		active: make(chan struct{}), connected: make(chan struct{}),
		gone: make(chan struct{}), done: make(chan struct{}),
	}
	c.connect = sync.OnceFunc(func() { close(c.connected) })
	c.data = newDataChannel(c)
	c.outlet = newOutlet(c)
	session, err := pionpeer.NewSession(pionpeer.SessionConfig{
		Name:           "easyrtcpion",
		API:            p.api,
		Configuration:  p.configuration(),
		Polite:         c.polite,
		MaxPending:     p.opts.MaxPending,
		MaxChannels:    p.opts.MaxChannels,
		ConnectTimeout: p.opts.ConnectTimeout,
		Patient:        true,
		Logger:         p.log,

		SendDescription: c.sendDescription,
		SendCandidate:   c.sendCandidate,
		OnChannel:       c.channelOpened,
		OnTrack:         c.trackArrived,
		OnKeyFrame: func(t webrtc.TrackLocal) {
			if p.opts.OnKeyFrame != nil {
				p.opts.OnKeyFrame(c, t)
			}
		},
		OnState: c.changed,
		OnEnd:   c.sessionEnded,
	})
	if err != nil {
		return nil, err
	}
	c.session = session
	if err := c.prepare(tracks); err != nil {
		session.Discard()
		return nil, err
	}
	return c, nil
}

// prepare adds what the first offer or answer has.
func (c *Call) prepare(tracks []webrtc.TrackLocal) error {
	pc, opts := c.session.PeerConnection(), &c.peer.opts
	for _, t := range tracks {
		if err := c.session.AddTrack(t); err != nil {
			return err
		}
	}
	if !c.outgoing {
		return nil
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		refused := kind == webrtc.RTPCodecTypeAudio && opts.NoAudio || kind == webrtc.RTPCodecTypeVideo && opts.NoVideo
		sends := slices.ContainsFunc(tracks, func(t webrtc.TrackLocal) bool { return t.Kind() == kind })
		if refused || sends {
			continue
		}
		_, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{
			Direction: webrtc.RTPTransceiverDirectionRecvonly,
		})
		if err != nil {
			return err
		}
	}
	if opts.NoData {
		return nil
	}
	ch, err := pc.CreateDataChannel(easyrtc.DataChannelLabel, nil)
	if err != nil {
		return err
	}
	c.data.attach(ch)
	return nil
}

// enter makes a call known. Called with the lock held, while the peer is not closed.
func (p *Peer) enter(c *Call) {
	p.calls[c.id] = c
	p.work.Go(c.outlet.run)
	p.work.Go(func() {
		<-c.session.Done()
		p.mu.Lock()
		accepted, err := c.accepted, c.err
		p.mu.Unlock()
		if accepted && p.opts.OnClosed != nil {
			p.opts.OnClosed(c, err)
		}
		close(c.done)
	})
}

// discard closes a call that has not been entered.
func (c *Call) discard() { c.session.Discard() }

// sendDescription queues an offer or an answer. What the other side's offer had no section
// for is offered after its answer.
func (c *Call) sendDescription(d webrtc.SessionDescription) error {
	if d.Type == webrtc.SDPTypeOffer {
		m, err := easyrtc.NewOffer(c.id, d.SDP)
		if err != nil {
			return err
		}
		c.setOffering(true)
		return c.outlet.add(m)
	}
	m, err := easyrtc.NewAnswer(c.id, d.SDP)
	c.setOffering(false) // it was withdrawn if there was one
	if err == nil {
		err = c.outlet.add(m)
	}
	if err == nil {
		c.becomeActive()
		if c.lacks(d) {
			c.session.Negotiate()
		}
	}
	return err
}

func (c *Call) setOffering(offering bool) {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	c.offering = offering
}

// offered takes a further offer of the other client. Called with the peer's lock held.
func (c *Call) offered(d webrtc.SessionDescription) error {
	if !c.polite || !c.accepted || !c.offering || c.ending {
		return c.session.Description(d)
	}
	c.crossed = &d
	if c.crossing == nil {
		c.crossing = time.AfterFunc(crossWait, c.yield)
	}
	return nil
}

// yield answers an offer that has crossed ours.
func (c *Call) yield() {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	if c.crossed != nil && !c.ending {
		_ = c.session.Description(*c.crossed) // one that is ending needs none
	}
	c.crossed, c.crossing = nil, nil
}

// answered takes an answer. Called with the peer's lock held.
func (c *Call) answered(d webrtc.SessionDescription) error {
	c.offering = false
	if c.crossing != nil {
		c.crossing.Stop()
		c.crossed, c.crossing = nil, nil
	}
	return c.session.Description(d)
}

// lacks reports whether a track of ours is not in a description.
func (c *Call) lacks(d webrtc.SessionDescription) bool {
	parsed, err := d.Unmarshal()
	if err != nil {
		return false
	}
	mids := make(map[string]bool)
	for _, m := range parsed.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		mids[mid] = true
	}
	return slices.ContainsFunc(c.session.PeerConnection().GetTransceivers(), func(t *webrtc.RTPTransceiver) bool {
		s := t.Sender()
		return s != nil && s.Track() != nil && !mids[t.Mid()]
	})
}

// sendCandidate sends a candidate, or keeps it until the answer.
func (c *Call) sendCandidate(init webrtc.ICECandidateInit) error {
	if init.Candidate == "" {
		c.gatheringDone()
		return nil
	}
	var label int
	var mid string
	if init.SDPMLineIndex != nil {
		label = int(*init.SDPMLineIndex)
	}
	if init.SDPMid != nil {
		mid = *init.SDPMid
	}
	m, err := easyrtc.NewCandidate(c.id, init.Candidate, label, mid)
	if err != nil {
		return err
	}
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	if c.trickle {
		return c.outlet.add(m)
	}
	if len(c.held) < maxHeld {
		c.held = append(c.held, m)
	}
	return nil
}

// gatheringDone tells a client that wants to know that there are no more candidates.
func (c *Call) gatheringDone() {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	c.gathered = true
	if c.half {
		_ = c.outlet.add(easyrtc.NewICEGatheringDone(c.id)) // a call that is ending needs none
	}
}

// halfTrickle is the other client's word that it can wait for an answer itself.
func (c *Call) halfTrickle() {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	again := c.half
	c.half = true
	c.release()
	if c.gathered && !again {
		_ = c.outlet.add(easyrtc.NewICEGatheringDone(c.id))
	}
}

// release lets the candidates go. Called with the peer's lock held.
func (c *Call) release() {
	c.trickle = true
	for _, m := range c.held {
		_ = c.outlet.add(m) // a call that is ending needs none
	}
	c.held = nil
}

// becomeActive notes that the call is accepted, by an answer of either side.
func (c *Call) becomeActive() {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	c.release()
	if !c.accepted && !c.ending {
		c.accepted = true
		close(c.active)
	}
}

func (c *Call) isActive() bool {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.accepted
}

func (c *Call) hangup() easyrtc.Message { return &easyrtc.Hangup{TargetEasyrtcID: c.id} }

// end begins the end of the call. The first cause counts; last is the last thing to say to
// the other client, or nil.
func (c *Call) end(cause error, last easyrtc.Message) {
	p := c.peer
	p.mu.Lock()
	if c.ending {
		p.mu.Unlock()
		return
	}
	c.ending, c.err, c.held = true, cause, nil
	if p.calls[c.id] == c {
		delete(p.calls, c.id)
	}
	if c.crossing != nil {
		c.crossing.Stop()
	}
	close(c.gone)
	p.mu.Unlock()
	if last != nil {
		p.send(last)
	}
	c.session.Start() // one that has not run yet ends too
	c.session.End(cause)
}

// sessionEnded ends the call when its session has ended by itself. The other client notices
// the loss of a path itself, and without a cause it is the one that has ended the session: the
// end of a peer connection may be faster than the word of it.
func (c *Call) sessionEnded(cause error) {
	var last easyrtc.Message
	switch {
	case cause == nil:
		c.peer.expectHangup(c)
	case !errors.Is(cause, ErrFailed):
		last = c.hangup()
	}
	c.end(cause, last)
}

func (c *Call) changed(state webrtc.PeerConnectionState) {
	if state == webrtc.PeerConnectionStateConnected {
		c.connect()
	}
	if c.peer.opts.OnState != nil {
		c.peer.opts.OnState(c, state)
	}
}

// EasyrtcID returns the id of the other client.
func (c *Call) EasyrtcID() string { return c.id }

// Outgoing reports whether this client has made the call.
func (c *Call) Outgoing() bool { return c.outgoing }

// Connected is closed when the peer connection is there.
func (c *Call) Connected() <-chan struct{} { return c.connected }

// AwaitConnected waits until the peer connection is there. The error is that of ctx, why the
// call ended, or [ErrClosed].
func (c *Call) AwaitConnected(ctx context.Context) error { return c.await(ctx, c.connected) }

func (c *Call) await(ctx context.Context, what <-chan struct{}) error {
	select {
	case <-what:
		return nil
	default:
	}
	select {
	case <-what:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.gone:
		return c.cause()
	}
}

// cause returns why a call that is ending cannot do something.
func (c *Call) cause() error {
	if err := c.Err(); err != nil {
		return err
	}
	return ErrClosed
}

// AddTrack sends a further track, with a new offer.
func (c *Call) AddTrack(track webrtc.TrackLocal) error {
	p := c.peer
	p.mu.Lock()
	if !slices.Contains(c.tracks, track) {
		c.tracks = append(c.tracks, track)
	}
	p.mu.Unlock()
	p.publish()
	return c.session.AddTrack(track)
}

// RemoveTrack takes a track away, with a new offer.
func (c *Call) RemoveTrack(track webrtc.TrackLocal) error {
	p := c.peer
	p.mu.Lock()
	c.tracks = slices.DeleteFunc(c.tracks, func(t webrtc.TrackLocal) bool { return t == track })
	p.mu.Unlock()
	return c.session.RemoveTrack(track)
}

// Restart makes an offer that restarts ICE, for a network that has changed.
func (c *Call) Restart() { c.session.Restart() }

// RequestKeyFrame asks the other client for a key frame of a track, with a picture loss
// indication. A viewer that begins to decode needs one.
func (c *Call) RequestKeyFrame(track *webrtc.TrackRemote) error {
	return c.session.RequestKeyFrame(track)
}

// PeerConnection returns the Pion side, for statistics and for channels of the application's
// own. Its negotiation and its callbacks belong to the call.
func (c *Call) PeerConnection() *webrtc.PeerConnection { return c.session.PeerConnection() }

// Hangup ends the call and does not wait for that.
func (c *Call) Hangup() { c.end(nil, c.hangup()) }

// Close ends the call and waits for it and its hooks.
func (c *Call) Close() error {
	c.Hangup()
	<-c.done
	return nil
}

// Done is closed when the call is over.
func (c *Call) Done() <-chan struct{} { return c.done }

// Err returns why the call ended; nil before, and after a hangup on either side.
func (c *Call) Err() error {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.err
}
