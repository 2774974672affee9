//go:build !race

package galene

import (
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests in this file keep what the benchmarks show. The race detector allocates as
// well, and so would other tests in parallel.

func TestDecodeAllocatesTheMessageAndWhatItHolds(t *testing.T) {
	requireCodecAllocs(t, map[string]float64{
		"ping":   2, // the message, and the text that all its members point into
		"chat":   3, // and the user name
		"user":   8, // and permissions and data
		"joined": 7, // and the status
		"offer":  3, // as the description loses its escapes in the text
		"ice":    2,
	}, func(text []byte, _ Message) error {
		_, err := Decode(text)
		return err
	})
}

func TestAnOfferCostsLittleMoreThanItsSize(t *testing.T) {
	i := slices.IndexFunc(codecBenchTexts, func(tt struct{ name, text string }) bool { return tt.name == "offer" })
	text := []byte(codecBenchTexts[i].text)
	const runs = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		_, err := Decode(text)
		require.NoError(t, err)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, float64(after.TotalAlloc-before.TotalAlloc)/runs, 1.2*float64(len(text)))
}

func TestCheckAllocatesNoMoreThanDecode(t *testing.T) {
	requireCodecAllocs(t, map[string]float64{"ping": 2, "chat": 3, "user": 8, "joined": 7, "offer": 3, "ice": 2},
		func(text []byte, _ Message) error { return Check(text) })
}

func TestAppendingAMessageAllocatesForItsDataAlone(t *testing.T) {
	var queue []byte
	requireCodecAllocs(t, map[string]float64{"ping": 0, "chat": 0, "user": 2, "joined": 0, "offer": 0, "ice": 0},
		func(_ []byte, m Message) (err error) {
			queue, err = appendMessage(queue[:0], m)
			return err
		})
}

func TestValidateAllocatesOnlyWhatItReads(t *testing.T) {
	requireCodecAllocs(t, map[string]float64{
		"ping": 0, "chat": 0, "user": 1, "joined": 9, // the configuration
		"offer": 0, "ice": 5, // the candidate
	}, func(_ []byte, m Message) error { return m.Validate() })
}

// requireCodecAllocs demands at most so many allocations of use for each of the texts.
func requireCodecAllocs(t *testing.T, most map[string]float64, use func(text []byte, m Message) error) {
	t.Helper()
	require.Len(t, most, len(codecBenchTexts))
	for _, tt := range codecBenchTexts {
		text := []byte(tt.text)
		m, err := Decode(text)
		require.NoError(t, err)
		require.NoError(t, use(text, m))
		allocs := testing.AllocsPerRun(200, func() { _ = use(text, m) })
		require.LessOrEqual(t, allocs, most[tt.name], tt.name)
	}
}

// TestCodecBenchmarksReadAndWriteTheSame keeps the benchmarks honest.
func TestCodecBenchmarksReadAndWriteTheSame(t *testing.T) {
	for _, tt := range codecBenchTexts {
		m, err := Decode([]byte(tt.text))
		require.NoError(t, err)
		require.NoError(t, m.Validate())
		require.NoError(t, Check([]byte(tt.text)))
		b, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, tt.text, string(b))
	}
	require.InDelta(t, 5500, len(codecBenchTexts[4].text), 250)
}
