package bench

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkGaleneReceive measures the way of a chat message from a loopback socket to the
// application.
func BenchmarkGaleneReceive(b *testing.B) {
	for _, tt := range galeneTexts[1:3] {
		for _, l := range galeneLibraries {
			b.Run(fmt.Sprintf("message=%s/lib=%s", tt.name, l.name), func(b *testing.B) {
				feed, url := newGaleneFeed(b, tt.wire)
				next := feed.receiving(l.join(b, url))
				b.SetBytes(int64(len(tt.wire)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := next(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			})
		}
	}
}

func TestGaleneChatReachesTheApplicationOfEachLibrary(t *testing.T) {
	t.Parallel()
	for _, tt := range galeneTexts[1:3] {
		var want flatMessage
		require.NoError(t, json.Unmarshal([]byte(tt.wire), &want))
		for _, l := range galeneLibraries {
			t.Run(tt.name+"/"+l.name, func(t *testing.T) {
				t.Parallel()
				feed, url := newGaleneFeed(t, tt.wire)
				next := feed.receiving(l.join(t, url))
				for range 3 * galeneTogether * galeneAhead {
					chat, err := next()
					require.NoError(t, err)
					require.Equal(t, want.chat(), chat)
				}
			})
		}
	}
}
