package pionpeer

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// inboxOf is that of a client: it has messages, and then ends with err, or waits if that is nil.
func inboxOf(err error, messages ...int) func(context.Context) iter.Seq2[int, error] {
	return func(ctx context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for _, m := range messages {
				if ctx.Err() != nil {
					yield(0, ctx.Err())
					return
				}
				if !yield(m, nil) {
					return
				}
			}
			if err == nil {
				<-ctx.Done()
				err = ctx.Err()
			}
			if !errors.Is(err, errOrderly) {
				yield(0, err)
			}
		}
	}
}

var errOrderly, errLost = errors.New("orderly"), errors.New("lost")

// TestLastMessagesOfAClientAreHandedOn is about a peer that ends with its client, which may still
// have messages.
func TestLastMessagesOfAClientAreHandedOn(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	close(over)
	for range 100 {
		var seen []int
		var cause error
		err := Run(t.Context(), inboxOf(errOrderly, 1, 2, 3), errLost, Handler[int]{
			Package: "x", Closed: over, Ended: over, Log: slog.New(slog.DiscardHandler),
			Handle: func(m int) (bool, error) { return m == 2, errors.New("not grave") },
			Other:  func(m int) { seen = append(seen, m) },
			Shut:   func(err error) { cause = err },
		})
		require.NoError(t, err)
		require.Equal(t, []int{1, 3}, seen)
		require.Equal(t, errLost, cause)
	}
}

func TestRunEndsWithItsPeerOrItsContextOrItsClient(t *testing.T) {
	t.Parallel()
	closed, cancelled := make(chan struct{}), make(chan struct{})
	close(closed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx    context.Context
		closed chan struct{}
		end    error
		want   error
		shut   bool
	}{
		{t.Context(), closed, nil, ErrClosed, false},
		{ctx, cancelled, nil, context.Canceled, false},
		{t.Context(), cancelled, errLost, errLost, true},
	} {
		shut := false
		err := Run(c.ctx, inboxOf(c.end), nil, Handler[int]{
			Package: "x", Closed: c.closed, Ended: make(chan struct{}), Log: slog.New(slog.DiscardHandler),
			Handle: func(int) (bool, error) { return true, nil }, Shut: func(error) { shut = true },
		})
		require.ErrorIs(t, err, c.want)
		require.ErrorContains(t, err, "x: ")
		require.Equal(t, c.shut, shut)
	}
}
