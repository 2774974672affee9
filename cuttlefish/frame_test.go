package cuttlefish

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/stretchr/testify/require"
)

// Buffers of relayed payloads are used again. Under the race detector a freed one is
// overwritten, so a payload that was freed too early arrives damaged.
func TestRelayedPayloadsArriveWholeAndInOrderWhileBuffersAreReused(t *testing.T) {
	t.Parallel()
	const pairs, rounds = 8, 300
	s := NewServer(&ServerOptions{Limits: Limits{Messages: -1, Bytes: -1}, QueueMessages: -1, QueueBytes: -1})
	text := func(pair, n int, from string) json.RawMessage {
		return fmt.Appendf(nil, `{"from":%q,"pair":%d,"n":%d,"fill":%q}`, from, pair, n, strings.Repeat("é\n", n%200))
	}
	var all sync.WaitGroup
	for pair := range pairs {
		c := Connection{Dialect: Dialect(pair % 2)}
		id := fmt.Sprintf("cvd-%d", pair)
		device, client := transport.Pipe()
		far, other := transport.Pipe()
		all.Go(func() {
			if c.Dialect == DialectOperator {
				_ = s.ServeOperatorDevice(t.Context(), client)
			} else {
				_ = s.ServeDevice(t.Context(), client)
			}
		})
		d, err := ConnectDevice(t.Context(), device, id, &DeviceOptions{Dialect: c.Dialect, Inbox: -1, QueueMessages: -1, QueueBytes: -1})
		require.NoError(t, err)
		all.Go(func() {
			if c.Dialect == DialectOperator {
				_ = s.ServeOperatorClient(t.Context(), other, id)
			} else {
				_ = s.ServeClient(t.Context(), other)
			}
		})
		cl, err := ConnectClient(t.Context(), far, id, &ClientOptions{Dialect: c.Dialect, Inbox: -1, QueueMessages: -1, QueueBytes: -1})
		require.NoError(t, err)

		var relays sync.WaitGroup
		for n := range rounds {
			require.NoError(t, cl.Forward(text(pair, n, "client")))
			require.NoError(t, d.Forward(1, text(pair, n, "device")))
		}
		relays.Go(func() {
			n := 0
			for m, err := range d.Messages(t.Context()) {
				if m, ok := m.(*ClientMsg); ok {
					if string(m.Payload) != string(text(pair, n, "client")) {
						t.Errorf("message %d of client %d is damaged or out of order", n, pair)
					}
					if n++; n == rounds {
						return
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
		relays.Go(func() {
			n := 0
			for m, err := range cl.Messages(t.Context()) {
				if m, ok := m.(*DeviceMsg); ok {
					if string(m.Payload) != string(text(pair, n, "device")) {
						t.Errorf("message %d of device %d is damaged or out of order", n, pair)
					}
					if n++; n == rounds {
						return
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			relays.Wait()
			_ = cl.Close()
			_ = d.Close()
		})
	}
	all.Wait()
	require.NoError(t, s.Close())
}
