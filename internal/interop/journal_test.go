package interop

import (
	"iter"
	"strings"
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

// A hearing is what a client of ours is told, for a test to look at in its order.
type hearing[M any] struct {
	t    *testing.T
	text func(M) ([]byte, error) // shows a message
	got  journal[M]
	seen int // how many of got the test has looked at
	err  error
	over chan struct{} // closed when there is nothing more to come
}

func newHearing[M any](t *testing.T, text func(M) ([]byte, error)) *hearing[M] {
	return &hearing[M]{t: t, text: text, over: make(chan struct{})}
}

// listen runs what reads the messages until the end, which is that of the test at the latest:
// end brings it about.
func (c *hearing[M]) listen(read func() error, end func() error) {
	go func() {
		defer close(c.over)
		c.err = read()
	}()
	c.t.Cleanup(func() {
		_ = end()
		<-c.over
	})
}

// all reads messages until there are no more.
func (c *hearing[M]) all(messages iter.Seq2[M, error]) error {
	for m, err := range messages {
		if err != nil {
			return err
		}
		c.got.add(m)
	}
	return nil
}

// ended waits for the client's end and returns its cause.
func (c *hearing[M]) ended() error {
	c.t.Helper()
	select {
	case <-c.over:
	case <-bounded(c.t).Done():
		require.FailNow(c.t, "the client does not end")
	}
	return c.err
}

// show returns messages as text.
func (c *hearing[M]) show(messages []M) string {
	var lines []string
	for _, m := range messages {
		b, err := c.text(m)
		if err != nil {
			b = []byte(err.Error())
		}
		lines = append(lines, string(b))
	}
	return strings.Join(lines, "\n")
}

// before returns what came after the first from messages and before the last one that a test
// has looked at.
func (c *hearing[M]) before(from int) []M {
	all, _ := c.got.from(from)
	return all[:c.seen-from-1]
}

// nextOf returns the next message of a type for which match, unless it is nil, says yes, after
// the last one that it has returned.
func nextOf[E, M any](c *hearing[M], what string, match func(E) bool) E {
	c.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	over := false
	for from := c.seen; ; {
		entries, more := c.got.from(c.seen)
		for _, m := range entries {
			c.seen++
			if e, ok := any(m).(E); ok && (match == nil || match(e)) {
				return e
			}
		}
		all, _ := c.got.from(from)
		if over {
			require.FailNow(c.t, "no "+what, "the client has ended: %v, after %s", c.err, c.show(all))
		}
		select {
		case <-more:
		case <-c.over:
			over = true // what came last may not have been looked at
		case <-limit.C:
			require.FailNow(c.t, "no "+what, "but %s", c.show(all))
		}
	}
}
