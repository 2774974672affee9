package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/kept"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A Machine is the state machine of a client's side, stepped by an [Endpoint] under
// the Endpoint's lock. It does no I/O and reads no clock.
type Machine[M any] interface {
	Start(now time.Time) Effects[M]
	Receive(now time.Time, m M) Effects[M]
	Malformed(now time.Time, err error) Effects[M]
	Deadline() (time.Time, bool)
	Expire(now time.Time) Effects[M]
	// Lost tells the machine that its connection has ended. Whether it starts
	// again on a new one is up to the Endpoint.
	Lost(now time.Time, cause error) Effects[M]
}

// Effects are what a step asks for, carried out in the order of the fields.
type Effects[M any] struct {
	Send    []M
	Deliver []M      // to the application
	Close   *Closing // after the sends; nil keeps the connection
}

// Closing says how to close a connection and what the session's error is then.
type Closing struct {
	Code   transport.StatusCode
	Reason string
	Err    error
	Final  bool // do not connect again
}

// EndpointOptions say how an [Endpoint] drives its machine.
type EndpointOptions[M any] struct {
	Options[M]
	// Decode reads a message, under no lock. It must not keep data. With [ErrMore] it
	// says that the message goes on with the next one of the carrier.
	Decode func(typ transport.MessageType, data []byte) (M, error)
	// Ready says whether the machine's handshake is done. It is called under the
	// lock, after each step.
	Ready func() bool
	// Inbox is how many messages wait for the application; default 256, negative
	// without a limit.
	Inbox int
	// InboxBytes is how many bytes of memory they may have; default [kept.DefaultBytes],
	// negative without a limit.
	InboxBytes int
	// Redial opens a new connection after one that had become ready was lost; nil
	// ends the session instead.
	Redial  func(ctx context.Context) (transport.Conn, error)
	Backoff Backoff
}

// Backoff says how long to wait before a new connection: Min, doubling up to Max,
// each time a random share between half of that and all of it. Zero fields mean
// 1 s, 30 s and 100 attempts without a success in between.
type Backoff struct {
	Min, Max time.Duration
	Attempts int
}

func (b Backoff) withDefaults() Backoff {
	if b.Min == 0 {
		b.Min = time.Second
	}
	if b.Max == 0 {
		b.Max = 30 * time.Second
	}
	if b.Attempts == 0 {
		b.Attempts = 100
	}
	return b
}

func (b Backoff) delay(attempt int) time.Duration {
	d := b.Min << min(attempt, 30)
	if d <= 0 || d > b.Max {
		d = b.Max
	}
	return d/2 + rand.N(d/2+1)
}

// An Endpoint is the client's side of a protocol: it owns the connection, steps the
// machine, and keeps what arrives for the application. Its methods may be called
// concurrently, Open once and first.
type Endpoint[M any] struct {
	machine Machine[M]
	opts    EndpointOptions[M]
	inbox   *Inbox[M]
	ctx     context.Context // ends when the session should
	cancel  context.CancelFunc
	done    chan struct{}
	strike  func() // expire, as one value
	wire    int    // bytes read of a message that is not complete; the reader's

	mu      sync.Mutex
	link    *Link[M] // of the present connection
	clock   clock
	final   error // set when the session must not go on: its cause
	ended   bool
	opened  bool // the machine has been ready once
	failed  int  // attempts since it was ready last
	waiting []waiter
}

type waiter struct {
	ready func() bool
	done  chan struct{}
}

// NewEndpoint returns the driver of a machine.
func NewEndpoint[M any](m Machine[M], opts EndpointOptions[M]) *Endpoint[M] {
	opts.Backoff = opts.Backoff.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	bound := kept.NewBound(opts.InboxBytes)
	e := &Endpoint[M]{
		machine: m, opts: opts, inbox: NewInbox[M](opts.Inbox),
		ctx: ctx, cancel: cancel, done: make(chan struct{}),
	}
	e.inbox.maxBytes = bound.Limit()
	e.strike = e.expire
	return e
}

// Open starts the machine on conn and waits until it is ready. When ctx or the
// session ends first, the connection is closed, without waiting for its goroutines,
// and Open returns why.
func (e *Endpoint[M]) Open(ctx context.Context, conn transport.Conn) error {
	e.start(conn)
	go e.run()
	err := e.Await(ctx, e.opts.Ready)
	if err == nil {
		return nil
	}
	e.Stop(transport.StatusNormal, "", err)
	if err == io.EOF { // however orderly, it was too early
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.final
	}
	return err
}

// Await waits until ready, which is called under the lock after each step, says
// true. It returns the session's error when that ends first, and io.EOF when it
// ended in order.
func (e *Endpoint[M]) Await(ctx context.Context, ready func() bool) error {
	e.mu.Lock()
	if ready() {
		e.mu.Unlock()
		return nil
	}
	w := waiter{ready, make(chan struct{})}
	e.waiting = append(e.waiting, w)
	e.mu.Unlock()
	var err error
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-e.done:
		if err = e.Err(); err == nil {
			err = io.EOF
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	left := len(e.waiting)
	e.waiting = slices.DeleteFunc(e.waiting, func(other waiter) bool { return other.done == w.done })
	if len(e.waiting) == left { // ready before the end
		return nil
	}
	return err
}

// Do runs a step of the machine under the lock and carries out its effects. The
// step's error is returned and nothing is carried out then.
func (e *Endpoint[M]) Do(step func(now time.Time) (Effects[M], error)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.final != nil {
		return e.final
	}
	fx, err := step(time.Now())
	if err != nil {
		return err
	}
	return e.apply(fx)
}

// Locked calls f under the lock that the machine is stepped under.
func (e *Endpoint[M]) Locked(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// Next returns the next message for the application: after the end io.EOF when it
// was orderly, its cause otherwise.
func (e *Endpoint[M]) Next(ctx context.Context) (M, error) { return e.inbox.Next(ctx) }

// All returns what Next returns, one by one; the orderly end ends the sequence, any
// other error is its last element.
func (e *Endpoint[M]) All(ctx context.Context) iter.Seq2[M, error] {
	return e.inbox.All(ctx)
}

// Stop ends the session after what is queued has been written. cause is what Err
// says; a nil one makes the end orderly.
func (e *Endpoint[M]) Stop(code transport.StatusCode, reason string, cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finish(code, reason, cause)
}

// Close is an orderly Stop that waits for the goroutines.
func (e *Endpoint[M]) Close() {
	e.Stop(transport.StatusNormal, "", nil)
	<-e.done
}

// Done is closed when the session has ended and its goroutines have.
func (e *Endpoint[M]) Done() <-chan struct{} { return e.done }

// Err returns why the session ended; nil before, and nil after an orderly end.
func (e *Endpoint[M]) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended || Orderly(e.final) {
		return nil
	}
	return e.final
}

// finish makes the session end with its present connection. Called under the lock.
func (e *Endpoint[M]) finish(code transport.StatusCode, reason string, cause error) {
	if cause == nil {
		cause = transport.ErrClosed
	}
	if e.final == nil {
		e.final = cause
	}
	e.cancel()
	if e.link != nil {
		e.link.Close(code, reason, cause)
	}
}

// start gives the machine a new connection.
func (e *Endpoint[M]) start(conn transport.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.link, e.wire = New(conn, e.opts.Options), 0
	if e.final != nil {
		e.link.Abort(transport.StatusNormal, "", e.final)
		return
	}
	_ = e.apply(e.machine.Start(time.Now()))
}

// run reads from the present connection and opens the next one, until the end.
func (e *Endpoint[M]) run() {
	defer close(e.done)
	for {
		err := e.link.Run(e.receive)
		if !e.reopen(err) {
			break
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	e.cancel()
	e.clock.set(time.Time{}, false, nil)
	e.inbox.End(e.final)
}

// receive is one message from the wire.
func (e *Endpoint[M]) receive(typ transport.MessageType, data []byte) {
	m, err := e.opts.Decode(typ, data)
	e.wire += len(data)
	if err == ErrMore {
		return
	}
	wire := e.wire
	e.wire = 0
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		_ = e.apply(e.machine.Malformed(time.Now(), err))
		return
	}
	_ = e.applyOf(e.machine.Receive(time.Now(), m), wire)
}

// small is how long a message may be on the wire without being measured when it waits for
// the application: those of which there are many are small, and their number has a limit.
const small = 512

// apply carries out the effects of a step. Called under the lock.
func (e *Endpoint[M]) apply(fx Effects[M]) error { return e.applyOf(fx, small+1) }

// applyOf is apply for the effects of a message of wire bytes.
func (e *Endpoint[M]) applyOf(fx Effects[M], wire int) error {
	var err error
	for _, m := range fx.Send {
		err = errors.Join(err, e.link.Send(m))
	}
	for _, m := range fx.Deliver {
		bytes := small
		if e.inbox.maxBytes >= 0 && (wire > small || len(fx.Deliver) > 1) {
			bytes = max(wire, kept.Size(m)) // whose parts may be those of the text
		}
		if !e.inbox.put(m, bytes) {
			e.finish(transport.StatusPolicyViolation, "application too slow", ErrSlowConsumer)
			break
		}
	}
	if c := fx.Close; c != nil {
		if c.Final || e.opts.Redial == nil {
			e.finish(c.Code, c.Reason, c.Err)
		} else {
			e.link.Close(c.Code, c.Reason, c.Err)
		}
	}
	if e.opts.Ready() {
		e.opened, e.failed = true, 0
	}
	e.waiting = deleteReady(e.waiting)
	e.alarm()
	return err
}

func deleteReady(waiting []waiter) []waiter {
	kept := waiting[:0]
	for _, w := range waiting {
		if w.ready() {
			close(w.done)
			continue
		}
		kept = append(kept, w)
	}
	clear(waiting[len(kept):])
	return kept
}

// alarm sets the clock to the machine's next deadline. Called under the lock.
func (e *Endpoint[M]) alarm() {
	at, ok := e.machine.Deadline()
	e.clock.set(at, ok, e.strike)
}

func (e *Endpoint[M]) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clock.struck()
	if e.ended || e.link.Ending() {
		return
	}
	if at, ok := e.machine.Deadline(); ok && !time.Now().Before(at) {
		_ = e.apply(e.machine.Expire(time.Now()))
		return
	}
	e.alarm()
}

// reopen opens the next connection after one ended with err, or reports that the
// session is over.
func (e *Endpoint[M]) reopen(err error) bool {
	e.mu.Lock()
	_ = e.apply(e.machine.Lost(time.Now(), err))
	if (e.opts.Redial == nil || !e.opened) && e.final == nil {
		e.final = err
	}
	over := e.final != nil
	e.mu.Unlock()
	for !over {
		e.mu.Lock()
		attempt := e.failed
		e.failed++
		e.mu.Unlock()
		if attempt >= e.opts.Backoff.Attempts {
			break
		}
		if !e.sleep(e.opts.Backoff.delay(attempt)) {
			return false
		}
		conn, dialErr := e.opts.Redial(e.ctx)
		if dialErr == nil {
			e.start(conn)
			return true
		}
		err = dialErr
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.final == nil {
		e.final = fmt.Errorf("rtcsignal: no connection after %d attempts: %w", e.opts.Backoff.Attempts, err)
	}
	return false
}

func (e *Endpoint[M]) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.ctx.Done():
		return false
	}
}
