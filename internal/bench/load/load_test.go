package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/bench/hub"
	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

// TestMain has the test binary be a server when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		main()
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "-hub" {
		if err := hub.Serve(); err != nil {
			panic(err)
		}
		return
	}
	repotest.Main(m)
}

// TestEveryScenarioRuns measures each once, and short, on our servers and the bare relay: what
// comes of it is not looked at, but that it comes.
func TestEveryScenarioRuns(t *testing.T) {
	t.Parallel()
	small := []scenario{
		relay("candidates", candidate, 2, 1), relay("offers", offer, 2, 8), calls(2), broadcast(5, 2), joins(2), joins(5),
		idleMemory(40), drains(20),
	}
	for _, s := range scenarios {
		if s.inside != nil {
			small = append(small, s)
		}
	}
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			o := &options{rounds: 1, during: 20 * time.Millisecond, progress: io.Discard}
			for _, s := range small {
				if !s.fits(p) {
					continue
				}
				r, err := measureRow(t.Context(), p, s, o)
				require.NoError(t, err)
				for _, name := range r.order {
					if s.inside != nil || name == "bare" || name == ours {
						require.Empty(t, r.Servers[name].Error, "%s: %s", s.name, name)
					}
				}
				column := r.Servers[ours]
				if !strings.HasPrefix(s.name, "allocations") {
					require.NotZero(t, column.Rate+column.Memory, s.name)
				}
				if strings.HasPrefix(s.name, "SIGTERM") {
					require.EqualValues(t, 100, column.Rate, "of the members are told")
				}
			}
		})
	}
}

func TestAQuietPairStaysQuietBesideAFlood(t *testing.T) {
	t.Parallel()
	o := &options{rounds: 1, during: 200 * time.Millisecond, progress: io.Discard}
	for _, p := range protocols {
		if s := flood(); s.fits(p) {
			_, err := measureOnce(p, s, ours, o)
			require.NoError(t, err, p.name) // nothing is lost
		}
	}
}

func TestATableAndAChartAreWritten(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	dir := t.TempDir()
	o := &options{
		rounds: 2, during: 20 * time.Millisecond, out: &out, progress: io.Discard,
		jsonFile: filepath.Join(dir, "table.json"), chartFile: filepath.Join(dir, "chart.svg"),
	}
	require.NoError(t, measure(t.Context(), o, "^candidates, 64 pairs", "cuttlefish"))
	require.Contains(t, out.String(), "rtcsignal")
	data, err := os.ReadFile(o.jsonFile)
	require.NoError(t, err)
	require.Contains(t, string(data), `"ratio_to_bare"`)
	data, err = os.ReadFile(o.chartFile)
	require.NoError(t, err)
	require.Contains(t, string(data), "rtcsignal</text>")
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
	}
	require.Error(t, measure(t.Context(), o, "no such scenario", ""))
	require.Error(t, measure(t.Context(), o, "(", ""))
}

func TestAHistogramKeepsQuantiles(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	h, other := new(histogram), new(histogram)
	for i := range 10_000 {
		d := time.Duration(i*i) * time.Microsecond
		all = append(all, d)
		if i%2 == 0 {
			h.add(d)
		} else {
			other.add(d)
		}
	}
	h.merge(other)
	h.merge(nil)
	slices.Sort(all)
	for _, part := range []float64{0.01, 0.5, 0.9, 0.99} {
		want := all[int(part*float64(len(all)))]
		require.InEpsilon(t, float64(want), float64(h.quantile(part)), 0.07)
		require.GreaterOrEqual(t, h.quantile(part), want)
	}
	require.Zero(t, new(histogram).quantile(0.5))
	for _, d := range []time.Duration{0, 1, 15, 16, 17, 1 << 20, 1<<40 + 12345} {
		require.GreaterOrEqual(t, upper(class(d)), d)
	}
}
