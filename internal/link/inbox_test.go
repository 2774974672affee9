package link

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

func TestInboxHoldsAsManyMessagesAsItMay(t *testing.T) {
	t.Parallel()
	for limit, most := range map[int]int{0: DefaultQueueMessages, 3: 3} {
		b := NewInbox[int](limit)
		for round := range 3 { // what has been read makes room
			for n := range most {
				require.True(t, b.Put(n), "%d of %d in round %d", n, most, round)
			}
			require.False(t, b.Put(most))
			for n := range most {
				got, err := b.Next(t.Context())
				require.NoError(t, err)
				require.Equal(t, n, got)
			}
		}
	}
	b := NewInbox[int](-1)
	for n := range 10 * DefaultQueueMessages {
		require.True(t, b.Put(n))
	}
}

func TestInboxEndsAfterWhatItHolds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ cause, want error }{
		"this side's close":  {transport.ErrClosed, io.EOF},
		"the peer's close":   {&transport.CloseError{Code: transport.StatusGoingAway}, io.EOF},
		"a wrapped close":    {fmt.Errorf("x: %w", transport.ErrClosed), io.EOF},
		"the peer's refusal": {&transport.CloseError{Code: 4000}, &transport.CloseError{Code: 4000}},
		"a failure":          {ErrSlowConsumer, ErrSlowConsumer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := NewInbox[string](0)
			require.True(t, b.Put("a"))
			b.End(tt.cause)
			b.End(errRefused) // the first end stands
			got, err := b.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, "a", got)
			for range 2 {
				got, err = b.Next(t.Context())
				require.Equal(t, tt.want, err)
				require.Empty(t, got)
			}
		})
	}
}

// A pair is what a sequence yields at once.
type pair struct {
	m   string
	err error
}

func TestAllYieldsAnErrorLastAndNothingAtAnOrderlyEnd(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		end  error
		want []pair
	}{
		"orderly":             {t.Context(), transport.ErrClosed, []pair{{"a", nil}, {"b", nil}}},
		"failed":              {t.Context(), ErrFlood, []pair{{"a", nil}, {"b", nil}, {"", ErrFlood}}},
		"the caller's ending": {ended, nil, []pair{{"", context.Canceled}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := NewInbox[string](0)
			require.True(t, b.Put("a"))
			require.True(t, b.Put("b"))
			if tt.end != nil {
				b.End(tt.end)
			}
			var got []pair
			for m, err := range b.All(tt.ctx) {
				got = append(got, pair{m, err})
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestWhoBreaksOffLeavesTheRestInTheInbox(t *testing.T) {
	t.Parallel()
	b := NewInbox[string](0)
	require.True(t, b.Put("a"))
	require.True(t, b.Put("b"))
	b.End(ErrFlood)
	for _, want := range []pair{{"a", nil}, {"b", nil}, {"", ErrFlood}, {"", ErrFlood}} {
		for m, err := range b.All(t.Context()) {
			require.Equal(t, want, pair{m, err})
			break
		}
	}
}

func TestInboxForgetsWhatWasRead(t *testing.T) {
	t.Parallel()
	b := NewInbox[*int](-1)
	for range 3 {
		for range 100 {
			b.Put(new(int))
		}
		held := b.queue[:100]
		for range 100 {
			_, err := b.Next(t.Context())
			require.NoError(t, err)
		}
		for _, m := range held {
			require.Zero(t, m, "what was read is kept")
		}
	}
}

// A closing is a context that ends without a sound: Err says so, and Done does not yet.
type closing struct {
	context.Context
	ended atomic.Bool
}

func (c *closing) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

func TestReaderThatGivesUpDoesNotKeepAMessageFromAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewInbox[string](0)
		quitter := &closing{Context: context.Background()}
		quit, got := make(chan error, 1), make(chan pair, 1)
		go func() {
			_, err := b.Next(quitter)
			quit <- err
		}()
		synctest.Wait() // it is the first to be woken
		go func() {
			m, err := b.Next(t.Context())
			got <- pair{m, err}
		}()
		synctest.Wait()
		quitter.ended.Store(true)
		require.True(t, b.Put("a"))
		require.Equal(t, context.Canceled, <-quit)
		synctest.Wait()
		if len(got) == 0 {
			b.End(ErrFlood)
			t.Error("the message waits, and so does its reader")
		}
		require.Equal(t, pair{"a", nil}, <-got)
	})
}

func TestManyReadersAndWritersLoseNothing(t *testing.T) {
	t.Parallel()
	const writers, readers, each = 4, 4, 500
	b := NewInbox[int](-1)
	var sum, count atomic.Int64
	var reading, writing sync.WaitGroup
	for range readers {
		reading.Go(func() {
			for m, err := range b.All(context.Background()) {
				if err == nil {
					sum.Add(int64(m))
					count.Add(1)
				}
			}
		})
	}
	for range writers {
		writing.Go(func() {
			for n := range each {
				b.Put(n)
			}
		})
	}
	writing.Wait()
	b.End(transport.ErrClosed)
	reading.Wait()
	require.EqualValues(t, writers*each, count.Load())
	require.EqualValues(t, writers*each*(each-1)/2, sum.Load())
}
