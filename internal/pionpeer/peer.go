// Package pionpeer is what all signaling protocols do alike with a Pion PeerConnection. A [Session] is its whole life:
// negotiation, states, time to connect, tracks, the limit of data channels, and the order of its end. A [Peer] is the
// negotiation alone.
//
// The negotiation keeps the order that peers rely on and that Pion leaves to its user: a description goes out before
// the candidates that belong to it, a received candidate waits for its description, at most one offer is out at a time,
// and offers that cross each other are settled.
//
// Facts about Pion v4.2 that shape it:
//   - OnICECandidate fires before the caller of SetLocalDescription has had a chance to send the description.
//   - A candidate without a remote description is an error, and one of another ICE generation is dropped.
//   - An offer cannot be rolled back. A polite [Peer] therefore keeps its offer out of Pion until the answer is there.
//   - An answer that rejects a section in which a track is sent is refused unless the track is removed first.
//   - Each answer chooses the role of DTLS anew, up to v4.2.20, and browsers refuse one that differs from the role
//     that they have.
package pionpeer

import (
	"fmt"
	"sync"

	"github.com/pion/webrtc/v4"
)

// DefaultMaxPending is how much received input waits at most when [Config.MaxPending] is zero.
const DefaultMaxPending = 256

// Config says how a [Peer] reaches its counterpart. The functions are called from one goroutine, one at a time and
// without a lock; they must not block for long and must not call [Peer.Close].
type Config struct {
	// SendDescription sends an offer or an answer. Required.
	SendDescription func(webrtc.SessionDescription) error
	// SendCandidate sends a local candidate, always after the description that it belongs to. Required. The empty
	// Candidate ends the candidates of a generation; a protocol without a word for that skips it.
	SendCandidate func(webrtc.ICECandidateInit) error
	// OnError hears of errors that do not end the Peer: input that makes no sense, a failed send. nil discards them.
	OnError func(error)
	// Polite yields when two offers cross: the received one is answered and the own one is made again afterwards.
	// Otherwise the received one is ignored. Exactly one of two peers is polite where both may offer.
	//
	// The first candidates of a polite peer go out when its first offer is answered, not before.
	Polite bool
	// MaxPending bounds the received descriptions and candidates that wait to be handled, and separately the candidates
	// that wait for a description and those of one ICE generation. 0 means DefaultMaxPending.
	MaxPending int
}

// A Peer is the negotiation of one PeerConnection. Its methods may be called by several goroutines and from Pion's
// callbacks, except for [Peer.Close].
//
// All descriptions and candidates of the PeerConnection belong to the Peer, and so do its OnICECandidate and the
// OnConnectionStateChange of its ICETransport; the other callbacks, tracks and data channels are the caller's.
type Peer struct {
	pc     *webrtc.PeerConnection
	cfg    Config
	wake   chan struct{} // capacity 1: there is something to do
	done   chan struct{} // closed when nothing of the Peer runs any more
	closed chan struct{} // closed when no more input is taken
	ice    chan struct{} // closed when Pion has started ICE

	mu       sync.Mutex
	inbox    []func()
	received int // how much of inbox comes from the remote side
	offering bool
	restart  bool // the next offer restarts ICE
	ended    bool
	err      error

	// The rest belongs to the goroutine of run, closeErr to everybody once done is closed.
	closeErr      error
	offer         *webrtc.SessionDescription // ours, out and unanswered
	offerRestarts bool
	mids          int             // assigned so far, see assignMIDs
	ours, theirs  map[string]bool // mids of the sections that this or the other side has offered first
	remoteRole    string          // of the other side in DTLS, as a=setup has it; "" until the first answer
	local         localCandidates
	remote        remoteCandidates
}

// New starts the negotiation of pc, which must be fresh, and takes it over: [Peer.Close] closes it.
//
// It offers nothing by itself. A caller whose changes to pc are to be negotiated at once sets
// pc.OnNegotiationNeeded(peer.Negotiate), others call [Peer.Negotiate].
func New(pc *webrtc.PeerConnection, cfg Config) *Peer {
	if cfg.MaxPending <= 0 {
		cfg.MaxPending = DefaultMaxPending
	}
	if cfg.OnError == nil {
		cfg.OnError = func(error) {}
	}
	p := &Peer{
		pc:     pc,
		cfg:    cfg,
		wake:   make(chan struct{}, 1),
		closed: make(chan struct{}),
		done:   make(chan struct{}),
		ice:    make(chan struct{}),
		remote: remoteCandidates{max: cfg.MaxPending},
		ours:   make(map[string]bool),
		theirs: make(map[string]bool),
	}
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		_ = p.enqueue(false, func() { p.localCandidate(c) })
	})
	started := sync.OnceFunc(func() { close(p.ice) })
	pc.SCTP().Transport().ICETransport().OnConnectionStateChange(func(webrtc.ICETransportState) { started() })
	go p.run()
	return p
}

// Negotiate makes an offer as soon as no other one is out. Requests that wait are one offer.
func (p *Peer) Negotiate() { p.requestOffer(false) }

// Restart makes an offer that restarts ICE, as soon as no other one is out. Before the first negotiation it is
// Negotiate.
func (p *Peer) Restart() { p.requestOffer(true) }

func (p *Peer) requestOffer(restart bool) {
	p.mu.Lock()
	p.offering = true
	p.restart = p.restart || restart
	p.mu.Unlock()
	signal(p.wake)
}

// Description takes a description from the remote side; it is handled in the order of arrival and a failure is
// reported to OnError. A description of unknown type, which some protocols leave to the receiver, is an answer while
// an offer is out, unless its DTLS role is still open, as in offers only.
//
// It returns ErrClosed or ErrOverflow, or an error for a provisional answer or a rollback, which are not supported.
func (p *Peer) Description(d webrtc.SessionDescription) error {
	switch d.Type {
	case webrtc.SDPTypeOffer, webrtc.SDPTypeAnswer, webrtc.SDPTypeUnknown:
		return p.enqueue(true, func() { p.remoteDescription(d) })
	default:
		return fmt.Errorf("pionpeer: a description of type %s is not supported", d.Type)
	}
}

// Candidate takes a candidate from the remote side. It waits for the description that has its user name fragment, or
// for the first one if it names none. It returns ErrClosed or ErrOverflow.
func (p *Peer) Candidate(c webrtc.ICECandidateInit) error {
	return p.enqueue(true, func() { p.remoteCandidate(c) })
}

// Do runs f between two steps of the negotiation, in the order of the calls: the place for changes that must not
// fall into the middle of a negotiation. An error of f goes to OnError. It returns ErrClosed if f will not run.
func (p *Peer) Do(f func(*webrtc.PeerConnection) error) error {
	return p.enqueue(false, func() {
		if err := f(p.pc); err != nil {
			p.cfg.OnError(err)
		}
	})
}

// Close ends the negotiation, closes the PeerConnection and waits until all of its goroutines have ended. It must not
// be called from a function of Config or a callback of Pion, which it would wait for; there, use another goroutine.
// The error is that of closing the PeerConnection; later calls return the same.
func (p *Peer) Close() error {
	p.end(nil)
	<-p.done
	return p.closeErr
}

// Done is closed when the Peer and its PeerConnection have ended.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Err is why the Peer ended: an error of Pion after which the PeerConnection cannot be used, nil after Close, while the
// Peer runs, and when it was the other side's closing that came into the middle of a negotiation.
func (p *Peer) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Peer) enqueue(received bool, f func()) error {
	p.mu.Lock()
	switch {
	case p.ended:
		p.mu.Unlock()
		return ErrClosed
	case received && p.received >= p.cfg.MaxPending:
		p.mu.Unlock()
		return ErrOverflow
	}
	if received {
		p.received++
	}
	p.inbox = append(p.inbox, f)
	p.mu.Unlock()
	signal(p.wake)
	return nil
}

// signal wakes who waits for c, a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// end stops the intake; only the first cause counts.
func (p *Peer) end(err error) {
	if err != nil && p.pc.SignalingState() == webrtc.SignalingStateClosed {
		err = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended, p.err = true, err
	close(p.closed)
}

// run is the only goroutine that negotiates, so no lock is held while Pion or the caller's functions run.
func (p *Peer) run() {
	defer close(p.done)
	defer p.closeConnection()
	for {
		select {
		case <-p.closed:
			return
		case <-p.wake:
		}
		for f := range p.next {
			f()
		}
		p.offerIfRequested()
	}
}

// next yields the inbox until it is empty or the Peer has ended.
func (p *Peer) next(yield func(func()) bool) {
	for {
		p.mu.Lock()
		batch := p.inbox
		p.inbox, p.received = nil, 0
		p.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, f := range batch {
			select {
			case <-p.closed:
				return
			default:
			}
			if !yield(f) {
				return
			}
		}
	}
}

func (p *Peer) closeConnection() {
	if err := p.pc.GracefulClose(); err != nil {
		p.closeErr = fmt.Errorf("pionpeer: closing: %w", err)
	}
}
