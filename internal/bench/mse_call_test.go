package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkMSECall measures a ping and its answer, alone and among several on one
// connection.
func BenchmarkMSECall(b *testing.B) {
	for _, carrier := range mseCarriers {
		for _, callers := range []int{1, 16} {
			for _, l := range mseLibraries {
				b.Run(fmt.Sprintf("carrier=%s/callers=%d/lib=%s", carrier.name, callers, l.name), func(b *testing.B) {
					call := carrier.join(l, b)
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
		for _, l := range mseLibraries {
			t.Run(carrier.name+"/"+l.name, func(t *testing.T) {
				t.Parallel()
				call := carrier.join(l, t)
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
