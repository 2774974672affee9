package mediasouppion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// maxQueue bounds what waits to be done to a path: several things for each of the consumers
// and producers that there may be.
const maxQueue = 4096

// A path is a transport with its peer connection. What is done to it is done in one
// goroutine, one thing after the other, as its description goes from one state to the next:
// so no lock is held while Pion is called or the server is asked.
type path struct {
	peer      *Peer
	direction mediasoupproto.Direction
	id        uint32
	ctx       context.Context // ends with the path
	cancel    context.CancelFunc
	wake      chan struct{} // capacity 1: there is something to do
	changed   chan struct{} // capacity 1: look at the state
	ice       chan struct{} // closed when Pion has started ICE

	// Of the goroutine of run.
	pc       *webrtc.PeerConnection
	server   *serverSide // nil before the server's answer
	version  uint64      // of the server's description
	sections []section   // of a path that receives

	// Guarded by the peer's lock.
	queue   []func()
	created bool // the server may know it
	over    bool
	err     error
}

// path returns the present path of a direction, or begins one.
func (p *Peer) path(direction mediasoupproto.Direction) (*path, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, cmp.Or(p.err, ErrClosed)
	}
	present := &p.send
	if direction == mediasoupproto.DirectionRecv {
		present = &p.recv
	}
	if *present == nil {
		w := &path{
			peer: p, direction: direction, id: mediasoupproto.NewID(),
			wake:    make(chan struct{}, 1),
			changed: make(chan struct{}, 1),
			ice:     make(chan struct{}),
		}
		w.ctx, w.cancel = context.WithCancel(context.Background())
		*present = w
		p.work.Go(w.run)
	}
	return *present, nil
}

// run makes the peer connection, does what is asked for, and closes the peer connection.
func (w *path) run() {
	pc, err := w.peer.api.NewPeerConnection(w.peer.opts.Configuration)
	if err != nil {
		w.end(fmt.Errorf("mediasouppion: new peer connection: %w", err), false)
		return
	}
	w.peer.mu.Lock() // others may look at it
	w.pc = pc
	w.peer.mu.Unlock()
	defer func() {
		if err := pc.GracefulClose(); err != nil {
			w.peer.log.Debug("mediasouppion: closing a peer connection", "error", err)
		}
	}()
	started := make(chan struct{}, 1)
	pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { signal(w.changed) })
	pc.OnTrack(w.arrived)
	pc.SCTP().Transport().ICETransport().OnConnectionStateChange(func(webrtc.ICETransportState) {
		select {
		case started <- struct{}{}:
			close(w.ice)
		default: // not the first one
		}
	})
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.wake:
		}
		for f := range w.next {
			f()
		}
	}
}

// signal wakes who waits for c, a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// next yields the queue until it is empty or the path has ended.
func (w *path) next(yield func(func()) bool) {
	for {
		w.peer.mu.Lock()
		if w.over || len(w.queue) == 0 {
			w.peer.mu.Unlock()
			return
		}
		f := w.queue[0]
		w.queue = slices.Delete(w.queue, 0, 1)
		w.peer.mu.Unlock()
		if !yield(f) {
			return
		}
	}
}

// enqueue has f run, unless the path ends before that. It ends it when too much waits: the
// server tells of consumers faster than it lets them be received.
func (w *path) enqueue(f func()) {
	w.peer.mu.Lock()
	full := len(w.queue) >= maxQueue
	if !w.over && !full {
		w.queue = append(w.queue, f)
	}
	w.peer.mu.Unlock()
	if full {
		w.end(mediasoupproto.ErrFlood, true)
		return
	}
	signal(w.wake)
}

// do has f run and waits for it. The end of ctx gives up the wait only.
func (w *path) do(ctx context.Context, f func() error) error {
	result := make(chan error, 1)
	w.enqueue(func() { result <- f() })
	select {
	case err := <-result:
		return err
	case <-w.ctx.Done():
		return w.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cause returns why the path ended.
func (w *path) cause() error {
	w.peer.mu.Lock()
	defer w.peer.mu.Unlock()
	return cmp.Or(w.err, ErrClosed)
}

// ended ends the path after an error that leaves its description in the middle.
func (w *path) ended(err error) error {
	if err != nil {
		w.end(err, true)
	}
	return err
}

// end ends the path and what goes over it; the first cause counts.
func (w *path) end(cause error, tell bool) {
	p := w.peer
	p.mu.Lock()
	if w.over {
		p.mu.Unlock()
		return
	}
	w.over, w.err, w.queue = true, cause, nil
	tell = tell && w.created
	if p.send == w {
		p.send = nil
	}
	if p.recv == w {
		p.recv = nil
	}
	var producers []*Producer
	for pr := range p.producers {
		if pr.path == w && (!isLoss(cause) || !p.suspend(pr)) {
			producers = append(producers, pr)
		}
	}
	var consumers []*Consumer
	for _, c := range p.consumers {
		if c.path == w {
			consumers = append(consumers, c)
		}
	}
	p.mu.Unlock()
	w.cancel()
	if tell {
		if err := p.client.CloseTransport(w.id, nil); err != nil {
			p.log.Debug("mediasouppion: send", "error", err)
		}
	}
	for _, pr := range producers {
		pr.end(cause, false)
	}
	for _, c := range consumers {
		c.end(cause)
	}
}

// isLoss reports whether an error says that the connection to the server is lost. There may
// be another one.
func isLoss(err error) bool {
	_, state := errors.AsType[*mediasoupproto.StateError](err)
	return state || errors.Is(err, mediasoupproto.ErrConnectionLost)
}

// negotiate makes the peer connection and the server agree about what has changed. An error
// leaves the path useless.
func (w *path) negotiate(restart bool) error {
	if w.server != nil {
		// A description before that would look to Pion like a restart of ICE.
		select {
		case <-w.ice:
		case <-w.ctx.Done():
			return w.cause()
		}
	}
	if restart {
		parameters, err := w.peer.client.RestartTransport(w.ctx, w.id)
		if err != nil {
			return w.refused(err)
		}
		if err := w.server.setICE(parameters); err != nil {
			return err
		}
	}
	first := w.server == nil
	var err error
	if w.direction == mediasoupproto.DirectionSend {
		err = w.offer(restart)
	} else {
		err = w.answer()
	}
	if err == nil && first {
		w.peer.work.Go(w.watch)
	}
	return err
}

// refused returns the error of a request: why the path ended if that came first.
func (w *path) refused(err error) error {
	if w.ctx.Err() != nil {
		return w.cause()
	}
	return err
}

// offer negotiates a path that sends: ours is the offer.
func (w *path) offer(restart bool) error {
	offer, err := w.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err == nil {
		err = w.pc.SetLocalDescription(offer)
	}
	if err != nil {
		return fmt.Errorf("mediasouppion: offer: %w", err)
	}
	if w.server == nil {
		fingerprints, err := w.fingerprints()
		if err != nil {
			return err
		}
		err = w.create(&mediasoupproto.DTLSParameters{
			Role: mediasoupproto.DTLSRoleServer, Fingerprints: fingerprints,
		}, mediasoupproto.DTLSRoleClient)
		if err != nil {
			return err
		}
	}
	parsed, err := offer.Unmarshal()
	if err != nil {
		return fmt.Errorf("mediasouppion: offer: %w", err)
	}
	err = w.pc.SetRemoteDescription(w.description(webrtc.SDPTypeAnswer, "active", answerTo(parsed, w.peer.codecs)))
	if err != nil {
		return fmt.Errorf("mediasouppion: answer of the server: %w", err)
	}
	return nil
}

// answer negotiates a path that receives: the offer is the server's.
func (w *path) answer() error {
	first := w.server == nil
	if first {
		if err := w.create(nil, mediasoupproto.DTLSRoleAuto, mediasoupproto.DTLSRoleClient); err != nil {
			return err
		}
	}
	err := w.pc.SetRemoteDescription(w.description(webrtc.SDPTypeOffer, "actpass", w.sections))
	if err != nil {
		return fmt.Errorf("mediasouppion: offer of the server: %w", err)
	}
	answer, err := w.pc.CreateAnswer(nil)
	if err == nil {
		err = w.pc.SetLocalDescription(answer)
	}
	if err != nil {
		return fmt.Errorf("mediasouppion: answer: %w", err)
	}
	if !first {
		return nil
	}
	role := mediasoupproto.DTLSRoleServer
	if strings.Contains(answer.SDP, "a=setup:active") {
		role = mediasoupproto.DTLSRoleClient
	}
	fingerprints, err := w.fingerprints()
	if err != nil {
		return err
	}
	return w.peer.client.UpdateTransport(&mediasoupproto.UpdateTransport{
		ID:             w.id,
		DTLSParameters: &mediasoupproto.DTLSParameters{Role: role, Fingerprints: fingerprints},
	})
}

// create asks the server for the transport.
func (w *path) create(parameters *mediasoupproto.DTLSParameters, roles ...mediasoupproto.DTLSRole) error {
	w.peer.mu.Lock()
	w.created = true
	w.peer.mu.Unlock()
	result, err := w.peer.client.CreateTransport(w.ctx, &mediasoupproto.CreateTransport{
		ID: w.id, Direction: w.direction, Options: w.peer.opts.TransportOptions, DTLSParameters: parameters,
	})
	if err != nil {
		if _, ok := errors.AsType[*mediasoupproto.Error](err); ok {
			w.peer.mu.Lock()
			w.created = false
			w.peer.mu.Unlock()
		}
		return w.refused(err)
	}
	w.server, err = newServerSide(result, roles...)
	return err
}

func (w *path) description(typ webrtc.SDPType, setup string, sections []section) webrtc.SessionDescription {
	w.version++
	return webrtc.SessionDescription{Type: typ, SDP: w.server.description(w.version, setup, sections)}
}

// fingerprints returns those of the peer connection. Servers compare them in upper case.
func (w *path) fingerprints() ([]mediasoupproto.Fingerprint, error) {
	local, err := w.pc.SCTP().Transport().GetLocalParameters()
	if err != nil {
		return nil, fmt.Errorf("mediasouppion: %w", err)
	}
	var all []mediasoupproto.Fingerprint
	for _, f := range local.Fingerprints {
		all = append(all, mediasoupproto.Fingerprint{
			Algorithm: strings.ToLower(f.Algorithm), Value: strings.ToUpper(f.Value),
		})
	}
	return all, nil
}

// watch has ICE restarted when the network path is lost, and ends the path when that does
// not help in time.
func (w *path) watch() {
	timeout := time.NewTimer(w.peer.opts.ConnectTimeout)
	defer timeout.Stop()
	late, connected := ErrConnectTimeout, false
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-timeout.C:
			w.end(late, true)
		case <-w.changed:
			switch w.pc.ConnectionState() {
			case webrtc.PeerConnectionStateConnected:
				connected = true
				timeout.Stop()
			case webrtc.PeerConnectionStateFailed:
				late = ErrFailed
				if connected {
					connected = false
					timeout.Reset(w.peer.opts.ConnectTimeout)
				}
				w.enqueue(func() { _ = w.ended(w.negotiate(true)) })
			case webrtc.PeerConnectionStateClosed:
				w.end(ErrFailed, true)
			}
		}
	}
}
