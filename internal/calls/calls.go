// Package calls matches answers with the requests that wait for them, for the protocols
// that number their requests.
package calls

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// DefaultLimit is how many calls of a [Table] wait at once.
const DefaultLimit = 1024

// Why a call cannot begin.
var (
	// ErrDuplicate: a call of that key waits already.
	ErrDuplicate = errors.New("rtcsignal: a call of that id is pending")
	// ErrTooMany: as many calls wait as may.
	ErrTooMany = errors.New("rtcsignal: too many calls are pending")
)

// A Table holds the calls that wait for their answer, by key. Its methods may be called
// concurrently; none blocks.
type Table[K comparable, V any] struct {
	mu      sync.Mutex
	pending map[K]*Call[K, V]
	spare   []*Call[K, V] // given up, for later ones
	limit   int
	failed  error // what FailAll said
}

// spares is how many calls a [Table] keeps for later ones.
const spares = 16

// A Call waits for one answer. Besides whoever added it, only its Table knows it, and only
// until it has its answer: so one that was given up is used again.
type Call[K comparable, V any] struct {
	table *Table[K, V]
	key   K
	done  chan struct{} // holds a token when value and err are set
	value V
	err   error
}

// NewTable returns a table without calls, in which limit calls may wait at once: 0 means
// [DefaultLimit], a negative number any.
func NewTable[K comparable, V any](limit int) *Table[K, V] {
	if limit == 0 {
		limit = DefaultLimit
	}
	return &Table[K, V]{pending: make(map[K]*Call[K, V]), limit: limit}
}

// Add begins a call, before its request goes out. It fails with [ErrDuplicate], with
// [ErrTooMany], or with what [Table.FailAll] said. Each call should be given up with
// [Call.Cancel] in the end, also one that was waited for with [Call.Wait].
func (t *Table[K, V]) Add(key K) (*Call[K, V], error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil {
		return nil, t.failed
	}
	if _, ok := t.pending[key]; ok {
		return nil, fmt.Errorf("%w: %v", ErrDuplicate, key)
	}
	if t.limit > 0 && len(t.pending) >= t.limit {
		return nil, ErrTooMany
	}
	c := t.call()
	c.key = key
	t.pending[key] = c
	return c, nil
}

// call returns a call without a key. Called under the lock.
func (t *Table[K, V]) call() *Call[K, V] {
	last := len(t.spare) - 1
	if last < 0 {
		return &Call[K, V]{table: t, done: make(chan struct{}, 1)}
	}
	c := t.spare[last]
	t.spare[last] = nil
	t.spare = t.spare[:last]
	c.table = t
	return c
}

// Resolve gives a call its answer. It reports false, and drops the answer, when no call
// of that key waits: it was never made, was given up, or has its answer.
func (t *Table[K, V]) Resolve(key K, value V) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.pending[key]
	if !ok {
		return false
	}
	delete(t.pending, key)
	c.value = value
	c.done <- struct{}{}
	return true
}

// FailAll ends every call, and every later Add, with err. The first error stands.
func (t *Table[K, V]) FailAll(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil {
		t.failed = err
	}
	for key, c := range t.pending {
		delete(t.pending, key)
		c.err = t.failed
		c.done <- struct{}{}
	}
}

// Len returns how many calls wait.
func (t *Table[K, V]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pending)
}

// Wait returns the answer, or why there is none: what [Table.FailAll] said, or that ctx
// has ended, after which no answer comes. An answer that is there counts even then.
func (c *Call[K, V]) Wait(ctx context.Context) (V, error) {
	select {
	case <-c.done:
		return c.answer()
	case <-ctx.Done():
	}
	c.table.mu.Lock()
	c.forget()
	c.table.mu.Unlock()
	select {
	case <-c.done:
		return c.answer()
	default:
		return c.value, ctx.Err()
	}
}

// answer returns the answer and leaves it there.
func (c *Call[K, V]) answer() (V, error) {
	c.done <- struct{}{}
	return c.value, c.err
}

// forget makes the key free for another call. Called under the lock.
func (c *Call[K, V]) forget() {
	if c.table.pending[c.key] == c {
		delete(c.table.pending, c.key)
	}
}

// Cancel gives the call up: its key may be used again, and its answer is dropped. The call
// must not be used any more.
func (c *Call[K, V]) Cancel() {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	c.forget()
	select {
	case <-c.done:
	default:
	}
	*c = Call[K, V]{done: c.done} // a further use panics, until it is another call
	if len(t.spare) < spares {
		t.spare = append(t.spare, c)
	}
}
