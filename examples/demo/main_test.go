package main

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

func TestFailureIsInTheTableAndTheResult(t *testing.T) {
	t.Parallel()
	broken := protocol{name: "broken", run: func(context.Context, *result) error { return errors.New("it broke") }}
	var out strings.Builder
	err := runAll(t.Context(), &out, []protocol{broken}, &options{limit: time.Second})
	require.ErrorContains(t, err, "broken: it broke")
	require.Contains(t, out.String(), "FAILED")

	out.Reset()
	require.Error(t, runAll(t.Context(), &out, []protocol{broken}, &options{limit: time.Second, json: true}))
	require.JSONEq(t, `[{"protocol":"broken","roles":"","signaling_messages":0,"time_to_connected_ns":0,
		"rtp_packets":0,"rtp_bytes":0,"verdict":"FAILED","error":"it broke"}]`, out.String())
}

func TestProtocolThatTakesTooLongFails(t *testing.T) {
	t.Parallel()
	slow := protocol{name: "slow", run: func(ctx context.Context, _ *result) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	require.Error(t, runAll(t.Context(), io.Discard, []protocol{slow}, &options{limit: time.Millisecond}))
}

func TestProtocolsRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	var met sync.WaitGroup
	met.Add(2)
	meet := func(context.Context, *result) error {
		met.Done()
		met.Wait()
		return nil
	}
	pair := []protocol{{name: "one", run: meet}, {name: "two", run: meet}}
	require.NoError(t, runAll(t.Context(), io.Discard, pair, &options{limit: time.Minute}))
}

func TestProtocolsRunInTurnWhenTheyAreTold(t *testing.T) {
	t.Parallel()
	var running atomic.Int32
	alone := func(context.Context, *result) error {
		defer running.Add(-1)
		if running.Add(1) > 1 {
			return errors.New("not alone")
		}
		runtime.Gosched()
		return nil
	}
	var chosen []protocol
	for range 20 {
		chosen = append(chosen, protocol{name: "alone", run: alone})
	}
	require.NoError(t, runAll(t.Context(), io.Discard, chosen, &options{limit: time.Minute, oneByOne: true}))
}

func TestTableIsInOrderAndItsLinesAreWhole(t *testing.T) {
	t.Parallel()
	const steps = 100
	secondEnded := make(chan struct{})
	chosen := []protocol{
		{name: "first", run: func(_ context.Context, r *result) error {
			for range steps {
				r.step("goes on")
			}
			<-secondEnded
			return nil
		}},
		{name: "second", run: func(_ context.Context, r *result) error {
			defer close(secondEnded)
			for range steps {
				r.step("goes on")
			}
			return nil
		}},
	}
	var out strings.Builder
	require.NoError(t, runAll(t.Context(), &out, chosen, &options{limit: time.Minute}))
	progress, table, ok := strings.Cut(out.String(), "\n\n")
	require.True(t, ok)
	lines := strings.Split(progress, "\n")
	require.Len(t, lines, 2*steps)
	for _, line := range lines {
		require.Regexp(t, `^ +[0-9.]+s  (first|second) +goes on$`, line)
	}
	require.Regexp(t, `^PROTOCOL .*\nfirst .*ok\nsecond .*ok\n$`, table)
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
