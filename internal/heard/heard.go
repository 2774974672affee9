// Package heard keeps what hooks hear until a test asks for it.
package heard

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long a test waits for an event before it fails.
const Patience = 30 * time.Second

// A Record keeps what hooks have heard. Its methods may be called concurrently.
type Record[T any] struct {
	mu    sync.Mutex
	heard []T
	more  chan struct{} // capacity 1
}

// New returns an empty record.
func New[T any]() *Record[T] { return &Record[T]{more: make(chan struct{}, 1)} }

// Add adds what a hook has heard.
func (r *Record[T]) Add(v T) {
	r.mu.Lock()
	r.heard = append(r.heard, v)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// More returns a channel that holds a token when something has been added. Only one
// goroutine at a time may wait for it or call [Await].
func (r *Record[T]) More() <-chan struct{} { return r.more }

// All returns what no test has asked for.
func (r *Record[T]) All() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.heard)
}

// Forget empties the record.
func (r *Record[T]) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = nil
}

// Take takes the first value that satisfies ok out of the record, if there is one. The
// others stay.
func (r *Record[T]) Take(ok func(T) bool) (v T, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.heard, ok)
	if i < 0 {
		return v, false
	}
	v = r.heard[i]
	r.heard = slices.Delete(r.heard, i, i+1)
	return v, true
}

// Await takes the first value that satisfies ok out of a record, and waits for it. The test
// fails when there is none within [Patience]; what says what it waited for. One goroutine at
// a time may call it.
func Await[T any](tb testing.TB, what string, r *Record[T], ok func(T) bool) T {
	tb.Helper()
	timeout := time.NewTimer(Patience)
	defer timeout.Stop()
	for {
		if v, found := r.Take(ok); found {
			return v
		}
		select {
		case <-r.more:
		case <-timeout.C:
			require.FailNow(tb, "no "+what)
		}
	}
}

// Next takes whatever comes first.
func Next[T any](tb testing.TB, what string, r *Record[T]) T {
	tb.Helper()
	return Await(tb, what, r, func(T) bool { return true })
}

// Warnings returns a logger whose warnings and errors are recorded, with their
// attributes.
func Warnings(r *Record[string]) *slog.Logger { return slog.New(warner{r}) }

type warner struct{ heard *Record[string] }

func (w warner) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (w warner) WithAttrs([]slog.Attr) slog.Handler               { return w }
func (w warner) WithGroup(string) slog.Handler                    { return w }

func (w warner) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	w.heard.Add(text)
	return nil
}

// AwaitOf is [Await] for values of one type among those of an interface type.
func AwaitOf[E, T any](tb testing.TB, r *Record[T], ok func(E) bool) E {
	tb.Helper()
	v := Await(tb, reflect.TypeFor[E]().String(), r, func(v T) bool {
		e, is := any(v).(E)
		return is && ok(e)
	})
	return any(v).(E)
}

// Any satisfies what waits for any value.
func Any[T any](T) bool { return true }
