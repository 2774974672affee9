package interop

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for an event of a peer before it fails.
const patience = 20 * time.Second

// A journal holds what has happened, for a test to wait on. Its zero value is empty; its
// methods may be called concurrently.
type journal[T any] struct {
	mu      sync.Mutex
	entries []T
	waiting chan struct{} // closed by the next entry; nil while nobody waits
}

func (j *journal[T]) add(entry T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
	if j.waiting != nil {
		close(j.waiting)
		j.waiting = nil
	}
}

// from returns the entries from the nth one on, and what is closed when there are more.
func (j *journal[T]) from(n int) ([]T, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.waiting == nil {
		j.waiting = make(chan struct{})
	}
	return j.entries[n:], j.waiting
}

// await returns the first entry of type E for which match, unless it is nil, says yes. It
// waits for it where necessary.
func await[E, T any](t testing.TB, what string, j *journal[T], match func(E) bool) E {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for seen := 0; ; {
		entries, more := j.from(seen)
		for _, entry := range entries {
			if e, ok := any(entry).(E); ok && (match == nil || match(e)) {
				return e
			}
		}
		seen += len(entries)
		select {
		case <-more:
		case <-limit.C:
			all, _ := j.from(0)
			require.FailNow(t, "no "+what, "but %+v", all)
		}
	}
}

// is returns a match for one value.
func is[T comparable](want T) func(T) bool { return func(got T) bool { return got == want } }
