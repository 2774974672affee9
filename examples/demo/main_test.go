package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { repotest.Main(m) }

func TestEveryProtocolPasses(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r := newResult(p.name, nil)
			require.NoError(t, p.run(ctx, r))
			require.NotZero(t, r.Messages)
			require.NotZero(t, r.Connected)
			require.GreaterOrEqual(t, r.Packets.Load(), uint64(2*enoughPackets))
			require.NotEmpty(t, r.Roles)
		})
	}
}

func TestEveryServerStaysUpUntilItIsTold(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			urls := 0
			err := p.serve(ctx, func(what, url string) {
				urls++
				require.NotEmpty(t, what)
				require.Contains(t, url, "://127.0.0.1:")
				cancel()
			})
			require.ErrorIs(t, err, context.Canceled)
			require.NotZero(t, urls)
		})
	}
}

func TestFailureIsInTheTableAndTheResult(t *testing.T) {
	t.Parallel()
	broken := protocol{name: "broken", run: func(context.Context, *result) error { return errors.New("it broke") }}
	var out strings.Builder
	err := runAll(t.Context(), &out, []protocol{broken}, time.Second, false)
	require.ErrorContains(t, err, "broken: it broke")
	require.Contains(t, out.String(), "FAILED")

	out.Reset()
	require.Error(t, runAll(t.Context(), &out, []protocol{broken}, time.Second, true))
	require.JSONEq(t, `[{"protocol":"broken","roles":"","signaling_messages":0,"time_to_connected_ns":0,
		"rtp_packets":0,"rtp_bytes":0,"verdict":"FAILED","error":"it broke"}]`, out.String())
}

func TestProtocolThatTakesTooLongFails(t *testing.T) {
	t.Parallel()
	slow := protocol{name: "slow", run: func(ctx context.Context, _ *result) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	require.Error(t, runAll(t.Context(), io.Discard, []protocol{slow}, time.Millisecond, false))
}

func TestChooseTakesNamesOrAll(t *testing.T) {
	t.Parallel()
	all, err := choose("")
	require.NoError(t, err)
	require.Len(t, all, len(protocols))
	one, err := choose("cuttlefish")
	require.NoError(t, err)
	require.Len(t, one, 1)
	_, err = choose("cuttlefish,nope")
	require.ErrorContains(t, err, `"nope"`)
}
