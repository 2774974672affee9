package link

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultConnections is how many connections a [Hub] holds at once.
const DefaultConnections = 20_000

// Why a [Hub] takes no further connection.
var (
	// ErrServerClosed: the server has been closed.
	ErrServerClosed = errors.New("rtcsignal: server closed")
	// ErrTooManyConnections: it has as many as it may.
	ErrTooManyConnections = errors.New("rtcsignal: too many connections")
)

// A ServerMachine is the state machine of a server with all its connections, as a [Hub]
// steps it: under the Hub's lock. Its methods carry out what the step asks for with
// [Hub.Deliver] and [Hub.End].
type ServerMachine interface {
	// Disconnect takes the end of a connection, whoever ended it.
	Disconnect(now time.Time, id uint64)
	Deadline() (time.Time, bool)
	Expire(now time.Time)
}

// A Hub drives the server's side of a protocol: it numbers the connections, owns the lock
// that the machine is stepped under and its clock, and closes everything together. A
// connection has messages of type M and a session of type S. Its methods may be called
// concurrently; what says so must be called under its lock.
//
// Nothing that one connection does makes another wait: a peer that does not read loses
// its connection when its queue is full.
type Hub[S, M any] struct {
	machine ServerMachine
	limit   int // of members
	unknown int // of newcomers
	serving sync.WaitGroup
	strike  func() // the clock's step, as one value

	mu        sync.Mutex // held for steps of the machine and for queueing only
	members   map[uint64]*Member[S, M]
	newcomers list.List // *Member[S, M], who came first first
	last      uint64
	slow      []*Member[S, M] // found too slow by the present step
	clock     clock
	closed    bool
}

// A Member is one connection of a [Hub]. Session must be set before [Hub.Serve]; the
// methods may be called from then on, concurrently.
type Member[S, M any] struct {
	Session S

	id    uint64
	link  *Link[M]
	place *list.Element // among the newcomers; nil for who has been admitted
	slow  bool          // the machine has been told, or is about to be
}

// NewHub returns a Hub without connections, for connections of them at once: 0 means
// [DefaultConnections], a negative number any. Those that nobody has admitted yet are
// newcomers at most: 0 means half of the connections, a negative number as many.
func NewHub[S, M any](machine ServerMachine, connections, newcomers int) *Hub[S, M] {
	connections = cmp.Or(connections, DefaultConnections)
	h := &Hub[S, M]{
		machine: machine, limit: connections, unknown: cmp.Or(newcomers, (connections+1)/2),
		members: make(map[uint64]*Member[S, M]),
	}
	h.strike = func() { h.Step(h.expire) }
	return h
}

// Serve makes conn, which it owns, the connection of a new member until it has ended,
// and returns why. begin is called under the lock, as the first step; run reads, with
// [Member.RunFrames]. The context of run is for the application's hooks: it ends when the
// connection begins to, and has the values of ctx. The end of ctx ends the connection with 1001.
func (h *Hub[S, M]) Serve(
	ctx context.Context, conn transport.Conn, m *Member[S, M], opts Options[M],
	begin func(now time.Time), run func(ctx context.Context) error,
) error {
	m.link = New(conn, opts)
	hooks, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	m.link.onEnd = giveUp
	if err := h.enter(m, begin); err != nil {
		code := transport.StatusTryAgainLater
		if errors.Is(err, ErrServerClosed) {
			code = transport.StatusGoingAway
		}
		_ = conn.Close(code, "")
		return err
	}
	defer h.serving.Done()
	defer h.leave(m) // even when a hook panics
	stop := context.AfterFunc(ctx, func() { m.link.Close(transport.StatusGoingAway, "", ctx.Err()) })
	defer stop()
	return run(hooks)
}

func (h *Hub[S, M]) enter(m *Member[S, M], begin func(now time.Time)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return ErrServerClosed
	case h.limit > 0 && len(h.members) >= h.limit:
		m.link.opts.Counters.Refused.Add(1)
		return ErrTooManyConnections
	}
	if h.unknown > 0 && h.newcomers.Len() >= h.unknown {
		h.crowdOut()
	}
	h.last++
	m.id = h.last
	h.members[m.id] = m
	m.place = h.newcomers.PushBack(m)
	h.serving.Add(1)
	now := time.Now()
	begin(now)
	h.settle(now)
	return nil
}

// crowdOut ends the connection of the newcomer that has waited longest: peers that have
// no intention of being admitted wait longer than those that have. Called under the lock.
func (h *Hub[S, M]) crowdOut() {
	m := h.newcomers.Front().Value.(*Member[S, M])
	h.unlist(m)
	m.link.opts.Counters.Crowded.Add(1)
	m.link.Abort(transport.StatusTryAgainLater, "too many connections", ErrTooManyConnections)
}

// Admit says that a member is no newcomer any more, if there still is one of that number.
// Called under the lock.
func (h *Hub[S, M]) Admit(id uint64) {
	if m, ok := h.members[id]; ok {
		h.unlist(m)
	}
}

func (h *Hub[S, M]) unlist(m *Member[S, M]) {
	if m.place != nil {
		h.newcomers.Remove(m.place)
		m.place = nil
	}
}

func (h *Hub[S, M]) leave(m *Member[S, M]) {
	h.Step(func(now time.Time) {
		h.unlist(m)
		delete(h.members, m.id)
		h.machine.Disconnect(now, m.id)
	})
}

// Step calls f, which steps the machine, under the lock.
func (h *Hub[S, M]) Step(f func(now time.Time)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	f(now)
	h.settle(now)
}

// Locked calls f under the lock that the machine is stepped under.
func (h *Hub[S, M]) Locked(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// Deliver queues a message for a member, if there still is one of that number. Called
// under the lock.
func (h *Hub[S, M]) Deliver(id uint64, msg M) {
	if m, ok := h.members[id]; ok && !m.slow && errors.Is(m.link.Send(msg), ErrSlowPeer) {
		m.slow = true
		h.slow = append(h.slow, m)
	}
}

// End closes the connection of a member, if there still is one of that number, after
// what is queued for it. Called under the lock.
func (h *Hub[S, M]) End(id uint64, code transport.StatusCode, reason string) {
	if m, ok := h.members[id]; ok {
		m.Close(code, reason)
	}
}

// Member returns the member of a number, or nil. Called under the lock.
func (h *Hub[S, M]) Member(id uint64) *Member[S, M] { return h.members[id] }

// settle comes after each step: the machine hears of the members that were too slow for
// it, because closing may take a while with a peer that does not read, and the clock is
// set to its next deadline.
func (h *Hub[S, M]) settle(now time.Time) {
	for i := 0; i < len(h.slow); i++ { // telling the machine may find others
		h.machine.Disconnect(now, h.slow[i].id)
	}
	clear(h.slow)
	h.slow = h.slow[:0]
	at, ok := h.machine.Deadline()
	h.clock.set(at, ok && !h.over(), h.strike)
}

// over reports whether the Hub has been closed and nobody is left, for whom a clock would
// run. Called under the lock.
func (h *Hub[S, M]) over() bool { return h.closed && len(h.members) == 0 }

// expire is the clock's step. A step that had the lock when the clock struck may have put
// the deadline off.
func (h *Hub[S, M]) expire(now time.Time) {
	h.clock.struck()
	if at, ok := h.machine.Deadline(); ok && !now.Before(at) && !h.over() {
		h.machine.Expire(now)
	}
}

// Send queues a message for a member and reports false when there is none of that
// number.
func (h *Hub[S, M]) Send(id uint64, msg M) (ok bool, err error) {
	h.mu.Lock()
	m, ok := h.members[id]
	h.mu.Unlock()
	if !ok {
		return false, nil
	}
	return true, m.link.Send(msg)
}

// Sessions returns the sessions of the members at the time of the call, in the order in
// which they came.
func (h *Hub[S, M]) Sessions() []S {
	h.mu.Lock()
	all := make([]*Member[S, M], 0, len(h.members))
	for _, m := range h.members {
		all = append(all, m)
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(a, b *Member[S, M]) int { return cmp.Compare(a.id, b.id) })
	sessions := make([]S, len(all))
	for i, m := range all {
		sessions[i] = m.Session
	}
	return sessions
}

// Close ends every connection with 1001 after what is queued for it, and waits for
// them. Later connections are closed at once.
func (h *Hub[S, M]) Close() {
	h.mu.Lock()
	h.closed = true
	for _, m := range h.members {
		m.Close(transport.StatusGoingAway, "server closed")
	}
	h.mu.Unlock()
	h.serving.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock.set(time.Time{}, false, nil)
}

// ID returns the number of the connection within its Hub. It is never used twice.
func (m *Member[S, M]) ID() uint64 { return m.id }

// RunFrames is [Link.RunFrames].
func (m *Member[S, M]) RunFrames(receive func(typ transport.MessageType, f *Frame)) error {
	return m.link.RunFrames(receive)
}

// Send queues a message, see [Link.Send].
func (m *Member[S, M]) Send(msg M) error { return m.link.Send(msg) }

// Ending reports whether the end of the connection has begun.
func (m *Member[S, M]) Ending() bool { return m.link.Ending() }

// Close ends the connection after what is queued for it, and the context of its hooks at
// once.
func (m *Member[S, M]) Close(code transport.StatusCode, reason string) {
	m.link.Close(code, reason, nil)
}
