//go:build !race

package msejsonrpc

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The tests in this file keep what the benchmarks show. The race detector allocates as
// well, and so would other tests in parallel.

func TestDecodeAllocatesTheMessageAndWhatItHolds(t *testing.T) {
	requireAllocs(t, map[string]float64{
		"ping":         1, // the message
		"auth":         3, // and its two strings
		"pong":         1, // whose result all pongs share
		"iceCandidate": 2,
		"sdpOffer":     2,
	}, func(text []byte, _ Message) error {
		_, err := Decode(text)
		return err
	})
}

func TestAppendingAMessageAllocatesAtMostOnce(t *testing.T) {
	var queue []byte
	requireAllocs(t, map[string]float64{
		"ping":         0,
		"auth":         1, // the view of Extra as a map, as below
		"pong":         0,
		"iceCandidate": 1,
		"sdpOffer":     1,
	}, func(_ []byte, m Message) (err error) {
		queue, err = appendMessage(queue[:0], m)
		return err
	})
}

func TestValidateAllocatesOnlyWhatItReads(t *testing.T) {
	requireAllocs(t, map[string]float64{
		"ping":         0,
		"auth":         0,
		"pong":         0,
		"iceCandidate": 3, // the line, the fragment, the index of the section
		"sdpOffer":     2, // the description without its escapes
	}, func(_ []byte, m Message) error { return m.Validate() })
}

// requireAllocs demands at most so many allocations of use for each of the texts.
func requireAllocs(t *testing.T, most map[string]float64, use func(text []byte, m Message) error) {
	t.Helper()
	require.Len(t, most, len(benchTexts))
	for _, tt := range benchTexts {
		text := []byte(tt.text)
		m, err := Decode(text)
		require.NoError(t, err)
		require.NoError(t, use(text, m))
		allocs := testing.AllocsPerRun(200, func() { _ = use(text, m) })
		require.LessOrEqual(t, allocs, most[tt.name], tt.name)
	}
}

// TestBenchmarksReadAndWriteTheSame keeps the benchmarks honest.
func TestBenchmarksReadAndWriteTheSame(t *testing.T) {
	for _, tt := range benchTexts {
		m, err := Decode([]byte(tt.text))
		require.NoError(t, err)
		require.NoError(t, m.Validate())
		b, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, tt.text, string(b))
	}
	require.InDelta(t, 5500, len(benchTexts[4].text), 250)
}

// TestPingAllocatesAtMostFiveTimes counts both sides and the whole way: the request and the
// answer, each where it is made and where it arrives, and the effects of the step that sends
// the request.
func TestPingAllocatesAtMostFiveTimes(t *testing.T) {
	srv := NewServer(&ServerOptions{AllowAll: true, Limits: Limits{Messages: -1, Bytes: -1}})
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), far) }()
	client, err := Connect(t.Context(), near, &ClientOptions{Token: "token"})
	require.NoError(t, err)
	allocs := testing.AllocsPerRun(500, func() { _ = client.Ping(context.Background()) })
	require.NoError(t, client.Ping(t.Context()))
	require.NoError(t, client.Close())
	require.NoError(t, <-served)
	require.NoError(t, srv.Close())
	require.LessOrEqual(t, allocs, 5.0)
}
