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
	limit   int
	failed  error // what FailAll said
}

// A Call waits for one answer.
type Call[K comparable, V any] struct {
	table *Table[K, V]
	key   K
	done  chan struct{} // closed when value and err are set
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
// [ErrTooMany], or with what [Table.FailAll] said. Each call must be waited for with
// [Call.Wait] or given up with [Call.Cancel].
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
	c := &Call[K, V]{table: t, key: key, done: make(chan struct{})}
	t.pending[key] = c
	return c, nil
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
	close(c.done)
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
		close(c.done)
	}
}

// Len returns how many calls wait.
func (t *Table[K, V]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pending)
}

// Wait returns the answer, or why there is none: what [Table.FailAll] said, or that ctx
// has ended, which gives the call up. An answer that is there counts even then.
func (c *Call[K, V]) Wait(ctx context.Context) (V, error) {
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
	}
	c.Cancel()
	select {
	case <-c.done:
		return c.value, c.err
	default:
		return c.value, ctx.Err()
	}
}

// Cancel gives the call up: its key may be used again, and its answer is dropped. After
// the answer it does nothing.
func (c *Call[K, V]) Cancel() {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	if c.table.pending[c.key] == c {
		delete(c.table.pending, c.key)
	}
}
