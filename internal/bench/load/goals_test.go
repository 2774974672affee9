package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAVerdictIsOfTheFigureAndItsBound(t *testing.T) {
	t.Parallel()
	const protocol, name = "galene", "joins"
	measured := func(c column, beside ratios) *row {
		return &row{
			Protocol: protocol, Scenario: name, Servers: map[string]column{ours: c, "real": {Rate: 1}},
			Beside: map[string]ratios{"real": beside},
		}
	}
	absent := measured(column{Rate: 10}, ratios{})
	absent.Servers["real"] = column{Error: "REAL_BIN is not set: absent\nmore"}
	of := func(beside ratios) *row { return measured(column{}, beside) }
	only := func(c column) *row { return measured(c, ratios{}) }
	for _, tt := range []struct {
		figure                figure
		bound                 bound
		row                   *row
		ours, target, verdict string
	}{
		{rateTo("real"), atLeast(1.5), of(ratios{Rate: 1.5}), "1.50 x", ">= 1.50 x real", "met"},
		{rateTo("real"), atLeast(1.5), of(ratios{Rate: 1.4}), "1.40 x", ">= 1.50 x real", "missed"},
		{rateTo("real"), bound{}, of(ratios{Rate: 3}), "3.00 x", "real", "no target"},
		{rateTo("real"), atLeast(1.5), absent, "", ">= 1.50 x real", "not measured: real: REAL_BIN is not set: absent"},
		{rateTo("real"), atLeast(1.5), only(column{Error: "lost\nmore"}), "", ">= 1.50 x real", "missed: lost"},
		{cpuTo("real"), atMost(0.6), of(ratios{CPU: 0.6}), "0.60 x", "<= 0.60 x real", "met"},
		{cpuTo("real"), atMost(0.6), of(ratios{CPU: 0.7}), "0.70 x", "<= 0.60 x real", "missed"},
		{cpuTo("real"), atMost(0.6), of(ratios{}), "", "<= 0.60 x real", "not measured: the time was too short"},
		{memoryTo("real"), atMost(0.15), of(ratios{Memory: 0.1}), "0.100 x", "<= 0.150 x real", "met"},
		{timeTo("real"), atMost(0.3), of(ratios{Rate: 4}), "0.25 x", "<= 0.30 x real", "met"},
		{timeTo("real"), atMost(0.3), of(ratios{Rate: 2}), "0.50 x", "<= 0.30 x real", "missed"},
		{timeTo("real"), atMost(0.3), of(ratios{}), "", "<= 0.30 x real", "not measured: the time was too short"},
		{rateItself("%.0f"), atMost(0), only(column{}), "0", "<= 0", "met"},
		{rateItself("%.0f"), atMost(0), only(column{Rate: 1}), "1", "<= 0", "missed"},
		{rateItself("%.0f"), atLeast(5), absent, "10", ">= 5", "met"},
		{p99Itself, atMost(5), only(column{P99: 4900 * time.Microsecond}), "4.90 ms", "<= 5.00 ms", "met"},
		{memoryItself, atMost(14_000), only(column{Memory: 15e3}), "15000 bytes", "<= 14000 bytes", "missed"},
		{dropped, atMost(1), only(column{Rate: 0.5}), "0.50 s", "<= 1.00 s", "met"},
		{dropped, atMost(1), only(column{}), "never", "<= 1.00 s", "missed"},
	} {
		want := verdict{protocol, "it", tt.ours, tt.target, tt.verdict}
		g := goal{"it", protocol, name, tt.figure, tt.bound}
		require.Equal(t, []verdict{want}, judge([]goal{g}, []*row{tt.row}))
		g.scenario = "another"
		require.Empty(t, judge([]goal{g}, []*row{tt.row}), "that row has been left out")
	}
}

func TestVerdictsAreATable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, printVerdicts(&out, nil))
	require.Empty(t, out.String())
	require.NoError(t, printVerdicts(&out, []verdict{{"galene", "joins", "1.50 x", ">= 1.30 x real", "met"}}))
	require.Equal(t, "\nTARGETS\nPROTOCOL  WHAT   OURS    TARGET          VERDICT\n"+
		"galene    joins  1.50 x  >= 1.30 x real  met\n", out.String())
}

func TestEachGoalIsOfSomethingThatIsMeasured(t *testing.T) {
	t.Parallel()
	for _, g := range goals {
		p := protocols[slices.IndexFunc(protocols, func(p *protocol) bool { return p.name == g.protocol })]
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == g.scenario })
		require.GreaterOrEqual(t, i, 0, g.scenario)
		require.True(t, scenarios[i].fits(p), "%s: %s", g.protocol, g.scenario)
		if g.figure.beside != "" {
			all := contenders(p, scenarios[i])
			require.True(t, slices.ContainsFunc(all, func(c contender) bool { return c.name == g.figure.beside }),
				"%s: %s: %s", g.protocol, g.scenario, g.figure.beside)
		}
	}
}

func TestRatiosAreThoseOfTheSameRounds(t *testing.T) {
	t.Parallel()
	// A machine that gets slower from round to round.
	r := &row{Servers: map[string]column{"broken": {Error: "it"}}}
	samples := map[string][]sample{
		ours:     {{rate: 300, cpu: 10, memory: 1}, {rate: 180, cpu: 20, memory: 2}, {rate: 40, cpu: 90, memory: 3}},
		"real":   {{rate: 100, cpu: 20, memory: 10}, {rate: 60, cpu: 40, memory: 20}, {rate: 20, cpu: 90, memory: 30}},
		"broken": {{rate: 1}},
	}
	r.compare(samples)
	require.Equal(t, map[string]ratios{"real": {Rate: 3, CPU: 0.5, Memory: 0.1}}, r.Beside)
	c := columnOf(samples[ours], samples["real"])
	require.InDelta(t, 3, c.Ratio, 1e-9)
	require.InDelta(t, 180, c.Rate, 1e-9)
	require.Zero(t, columnOf(samples[ours], nil).Ratio)

	r = &row{Servers: map[string]column{ours: {Error: "it"}}}
	r.compare(samples)
	require.Empty(t, r.Beside)
}

func TestOthersHaveASecondTryAndOursHasNot(t *testing.T) {
	t.Parallel()
	tries := make(map[string]int)
	s := scenario{name: "of libraries", unit: "each", rounds: 2, inside: func(*protocol) (all []library) {
		for _, name := range []string{ours, "shaky", "broken", "absent"} {
			all = append(all, library{name, func(*options) (sample, error) {
				tries[name]++
				switch {
				case name == "absent":
					return sample{}, errAbsent
				case name == "broken", tries[name] == 1:
					return sample{}, errLost
				}
				return sample{rate: 2}, nil
			}})
		}
		return all
	}}
	o := &options{rounds: 5, progress: io.Discard}
	r, err := measureRow(t.Context(), protocols[0], s, o)
	require.NoError(t, err)
	require.Equal(t, map[string]int{ours: 1, "shaky": 3, "broken": 2, "absent": 1}, tries)
	require.Equal(t, map[string]column{
		ours: {Error: "lost"}, "shaky": {Rate: 2}, "broken": {Error: "lost"}, "absent": {Error: "absent"},
	}, r.Servers)
}

func TestTheKneeIsFoundThoughOneRunFails(t *testing.T) {
	t.Parallel()
	for knee, want := range kneeRates {
		for bad := range 20 {
			runs := 0
			best, err := findKnee(kneeRates, func(rate float64) (sample, bool, error) {
				runs++
				return sample{rate: rate}, rate <= want && runs != bad, nil
			})
			require.NoError(t, err)
			require.InDelta(t, want, best.rate, 0, "%d, run %d", knee, bad)
			require.LessOrEqual(t, runs, 14)
		}
		tries := make(map[float64]int)
		best, err := findKnee(kneeRates, func(rate float64) (sample, bool, error) {
			tries[rate]++
			return sample{rate: rate}, rate <= want && tries[rate] == 2, nil
		})
		require.NoError(t, err)
		require.InDelta(t, want, best.rate, 0, "each first try fails")
	}
}

func TestAKneeBelowAllRatesIsAnError(t *testing.T) {
	t.Parallel()
	_, err := findKnee(kneeRates, func(rate float64) (sample, bool, error) { return sample{rate: rate}, false, nil })
	require.EqualError(t, err, "p99 is beyond 10ms at 4000 a second")
	failure := errors.New("nobody answers")
	_, err = findKnee(kneeRates, func(rate float64) (sample, bool, error) { return sample{}, false, failure })
	require.ErrorIs(t, err, failure)
}

// A clock is a link that remembers when something was written.
type clock struct {
	nobody
	written []time.Time
	stuck   time.Duration // how long the first write takes
}

func (c *clock) write([]byte) error {
	if len(c.written) == 0 {
		time.Sleep(c.stuck)
	}
	c.written = append(c.written, time.Now())
	return nil
}

func pacedStreams(n int, rate float64, during time.Duration) (streams []*stream, clocks []*clock) {
	for range n {
		c := new(clock)
		m := &member{link: c, tell: func(string) []byte { return nil }}
		clocks = append(clocks, c)
		streams = append(streams, newStream(m, "", most(n, rate, during)))
	}
	return streams, clocks
}

func TestAPacerTellsAllByTurnsAtItsRate(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{160, 4000, 60_000} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				streams, clocks := pacedStreams(3, rate, time.Second)
				began := time.Now()
				require.NoError(t, pace(streams, rate, time.Second))
				total := 0
				for i, c := range clocks {
					total += len(c.written)
					require.InDelta(t, rate/3, len(c.written), 1)
					for k, at := range c.written {
						exact := time.Duration(float64(k*3+i+1) / rate * float64(time.Second))
						require.InDelta(t, float64(exact), float64(at.Sub(began)), float64(burst+time.Microsecond))
						require.Equal(t, at.Sub(streams[i].began), time.Duration(streams[i].sent[k].Load()))
					}
				}
				require.EqualValues(t, rate, total)
			})
		})
	}
}

func TestWhatIsToldTooLateCountsFromWhenItWasDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		streams, clocks := pacedStreams(1, 1000, time.Second)
		clocks[0].stuck = 100 * time.Millisecond
		require.NoError(t, pace(streams, 1000, time.Second))
		require.Len(t, clocks[0].written, 1000)
		for k, at := range clocks[0].written {
			due := time.Duration(k+1) * time.Millisecond
			require.Equal(t, due, time.Duration(streams[0].sent[k].Load()))
			require.Equal(t, max(due, 101*time.Millisecond), at.Sub(streams[0].began))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		streams, clocks := pacedStreams(1, 1000, time.Second)
		clocks[0].stuck = time.Minute
		require.ErrorIs(t, pace(streams, 1000, time.Second), errLate)
	})
}

func TestBothWaysReadTheSameOfEachText(t *testing.T) {
	t.Parallel()
	for _, p := range protocols {
		for _, tt := range texts[p.name] {
			carried, err := tt.ours([]byte(tt.wire))
			require.NoError(t, err, tt.wire)
			require.NotEmpty(t, carried, tt.wire)
			twice, err := tt.twice([]byte(tt.wire))
			require.NoError(t, err, tt.wire)
			require.Equal(t, twice, carried)
		}
	}
	require.InDelta(t, 5500, len(texts["galene"][1].wire), 250)
}
