package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/bench/ping"
)

// mseCarriers are the ways to join client and server of a library.
var mseCarriers = []struct {
	name string
	open func(ping.Library) (*ping.Session, error)
}{
	{"memory", func(l ping.Library) (*ping.Session, error) { return l.Memory() }},
	{"websocket", func(l ping.Library) (*ping.Session, error) { return l.WebSocket() }},
}

// msePing returns the ping of a session that lasts until the end of the test.
func msePing(tb testing.TB, open func(ping.Library) (*ping.Session, error), l ping.Library) mseCaller {
	s, err := open(l)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s.Ping
}

// An mseCaller sends a ping, waits for its answer and fails unless that is "pong".
type mseCaller func(ctx context.Context) error

// BenchmarkMSECall measures a ping and its answer, alone and among several on one
// connection.
func BenchmarkMSECall(b *testing.B) {
	for _, carrier := range mseCarriers {
		for _, callers := range []int{1, 16} {
			for _, l := range ping.Libraries {
				b.Run(fmt.Sprintf("carrier=%s/callers=%d/lib=%s", carrier.name, callers, l.Name), func(b *testing.B) {
					call := msePing(b, carrier.open, l)
					b.ReportAllocs()
					if callers > 1 {
						callTogether(b, call, callers)
						return
					}
					for b.Loop() {
						if err := call(context.Background()); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// callTogether shares b.N calls among callers, which b.Loop cannot.
func callTogether(b *testing.B, call mseCaller, callers int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var work sync.WaitGroup
	b.ResetTimer()
	for range callers {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(context.Background()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	b.StopTimer()
}

func TestMSECallOfEachLibraryReturnsPong(t *testing.T) {
	t.Parallel()
	for _, carrier := range mseCarriers {
		for _, l := range ping.Libraries {
			t.Run(carrier.name+"/"+l.Name, func(t *testing.T) {
				t.Parallel()
				call := msePing(t, carrier.open, l)
				require.NoError(t, call(t.Context()))

				var wrong atomic.Int32
				var work sync.WaitGroup
				for range 16 {
					work.Go(func() {
						for range 8 {
							if call(context.Background()) != nil {
								wrong.Add(1)
							}
						}
					})
				}
				work.Wait()
				require.Zero(t, wrong.Load())
			})
		}
	}
}
