package link

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestTheInboxHasRoomAgainForWhatWasRead(t *testing.T) {
	t.Parallel()
	b := NewInbox[string](-1)
	b.maxBytes = 100
	for range 10 {
		require.True(t, b.put("one", 60))
		require.True(t, b.put("two", 40))
		require.False(t, b.put("three", 1))
		require.True(t, b.Put("of no size"))
		for range 3 {
			_, err := b.Next(t.Context())
			require.NoError(t, err)
		}
		require.Zero(t, b.bytes)
		require.True(t, b.put("too big, but alone", 1000))
		require.False(t, b.put("one", 1))
		_, err := b.Next(t.Context())
		require.NoError(t, err)
	}
}

func TestLargeMessagesFillTheInboxBeforeManyAreThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limit, size, fit int // fit: how many messages of the size may wait
	}{
		"large ones":         {100_000, 10_000, 10},
		"small ones":         {100_000, 1, 100_000 / small},
		"one that is larger": {100, 10_000, 1},
		"no limit":           {-1, 10_000, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHost(func(opts *EndpointOptions[string]) { opts.Inbox, opts.InboxBytes = -1, c.limit })
				h.open(t)
				text := strings.Repeat("x", c.size)
				for range c.fit {
					h.say(t, text)
				}
				synctest.Wait()
				require.NoError(t, h.Err())
				if c.limit > 0 {
					h.say(t, text)
					<-h.Done()
					require.ErrorIs(t, h.Err(), ErrSlowConsumer)
				}
				for range c.fit {
					require.Equal(t, text, h.next(t), "what fitted is still there")
				}
				h.Close()
			})
		})
	}
}
