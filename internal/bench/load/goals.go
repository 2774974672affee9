package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A goal is what this module wants of a row.
type goal struct {
	what               string
	protocol, scenario string
	figure             figure
	bound              bound
}

// A bound is a limit of a figure: ">=", "<=", or "" for one that is only shown.
type bound struct {
	sign  string
	value float64
}

func atLeast(value float64) bound { return bound{">=", value} }
func atMost(value float64) bound  { return bound{"<=", value} }

func (b bound) holds(value float64) bool {
	return b.sign == "" || b.sign == ">=" && value >= b.value || b.sign == "<=" && value <= b.value
}

// A figure is one number of a row, of this module's server.
type figure struct {
	of func(r *row) (float64, error)
	// format writes it.
	format func(float64) string
	// beside names what it is measured by, if it is a ratio.
	beside string
}

// A verdict is what came of a goal.
type verdict struct {
	Protocol string `json:"protocol"`
	What     string `json:"what"`
	Ours     string `json:"ours"`
	Target   string `json:"target"`
	Verdict  string `json:"verdict"` // met or missed, or not measured and why
}

// to is a figure of Beside.
func to(server, format string, of func(ratios) float64) figure {
	return figure{
		of: func(r *row) (float64, error) {
			if e := r.Servers[server].Error; e != "" {
				return 0, fmt.Errorf("%s: %s", server, e)
			}
			if value := of(r.Beside[server]); value != 0 {
				return value, nil
			}
			return 0, errShort
		},
		format: func(value float64) string { return fmt.Sprintf(format, value) },
		beside: server,
	}
}

var errShort = errors.New("the time was too short")

func rateTo(server string) figure {
	return to(server, "%.2f x", func(r ratios) float64 { return r.Rate })
}

func cpuTo(server string) figure {
	return to(server, "%.2f x", func(r ratios) float64 { return r.CPU })
}

func memoryTo(server string) figure {
	return to(server, "%.3f x", func(r ratios) float64 { return r.Memory })
}

// timeTo is how long ours takes, of what the other one takes.
func timeTo(library string) figure {
	return to(library, "%.2f x", func(r ratios) float64 {
		if r.Rate == 0 {
			return 0
		}
		return 1 / r.Rate
	})
}

// itself is a figure of the column of ours.
func itself(format string, of func(column) float64) figure {
	return figure{
		of:     func(r *row) (float64, error) { return of(r.Servers[ours]), nil },
		format: func(value float64) string { return fmt.Sprintf(format, value) },
	}
}

func rateItself(format string) figure {
	return itself(format, func(c column) float64 { return c.Rate })
}

var (
	memoryItself = itself("%.0f bytes", func(c column) float64 { return c.Memory })
	p99Itself    = itself("%.2f ms", func(c column) float64 { return float64(c.P99) / float64(time.Millisecond) })
	// dropped is when others heard that somebody has gone.
	dropped = figure{
		of: func(r *row) (float64, error) {
			if rate := r.Servers[ours].Rate; rate > 0 {
				return rate, nil
			}
			return 1e9, nil
		},
		format: func(value float64) string {
			if value == 1e9 {
				return "never"
			}
			return fmt.Sprintf("%.2f s", value)
		},
	}
)

const (
	candidates64 = "candidates, 64 pairs, window 1"
	offers64     = "offers, 64 pairs, window 1"
	broadcast100 = "broadcast to 100, window 8"
	joins2       = "joins, rooms of 2"
	joins50      = "joins, rooms of 50"
	kneeOf64     = "knee, candidates, 64 pairs, p99 of 10 ms"
	idle10000    = "memory, 10000 idle members"
	stallOf20    = "one of 20 stalls at 1,000 offers/s"
	besideFlood  = "four quiet pairs beside a flood"
	terminated   = "SIGTERM with 1000 members"
)

// goals are all of them, in the order of the table.
var goals = []goal{
	{"relay, candidates, 64 pairs", "cuttlefish", candidates64, rateTo("bare"), atLeast(0.85)},
	{"relay, candidates, 64 pairs", "cuttlefish", candidates64, rateTo("operator"), atLeast(1.8)},
	{"relay, offers, 64 pairs", "cuttlefish", offers64, rateTo("bare"), atLeast(0.75)},
	{"relay, offers, 64 pairs", "cuttlefish", offers64, rateTo("operator"), atLeast(3)},

	{"relay, candidates, 64 pairs", "easyrtc", candidates64, rateTo("open-easyrtc"), atLeast(1.5)},
	{"the same, CPU for each", "easyrtc", candidates64, cpuTo("open-easyrtc"), atMost(0.6)},
	{"the same, memory", "easyrtc", candidates64, memoryTo("open-easyrtc"), atMost(0.15)},
	{"relay, offers, 64 pairs", "easyrtc", offers64, rateTo("open-easyrtc"), atLeast(1.5)},
	{"the same, CPU for each", "easyrtc", offers64, cpuTo("open-easyrtc"), atMost(0.6)},
	{"the same, memory", "easyrtc", offers64, memoryTo("open-easyrtc"), atMost(0.15)},

	{"directed chat, candidates, 64 pairs", "galene", candidates64, rateTo("galene"), atLeast(1.4)},
	{"directed chat, offers, 64 pairs", "galene", offers64, rateTo("galene"), atLeast(3)},
	{broadcast100, "galene", broadcast100, rateTo("galene"), atLeast(2)},
	{broadcast100, "galene", broadcast100, rateTo("centrifuge"), atLeast(0.95)},

	{joins2, "cuttlefish", joins2, rateTo("operator"), atLeast(1.3)},
	{joins2, "galene", joins2, rateTo("galene"), atLeast(1.3)},
	{joins2, "easyrtc", joins2, rateTo("open-easyrtc"), atLeast(4)},
	{joins50, "galene", joins50, rateTo("galene"), atLeast(1.5)},
	{joins50, "easyrtc", joins50, rateTo("open-easyrtc"), atLeast(6)},

	{"knee, p99 of 10 ms", "cuttlefish", kneeOf64, rateTo("operator"), atLeast(1.4)},
	{"knee, p99 of 10 ms", "galene", kneeOf64, rateTo("galene"), atLeast(1.4)},
	{"knee, p99 of 10 ms", "easyrtc", kneeOf64, rateTo("open-easyrtc"), atLeast(1.4)},

	{"memory for each of 10,000 idle", "cuttlefish", idle10000, memoryItself, atMost(14_000)},
	{"memory for each of 10,000 idle", "easyrtc", idle10000, memoryItself, atMost(14_000)},
	{"memory for each of 10,000 idle", "galene", idle10000, memoryItself, atMost(14_000)},
	{"memory for each of 10,000 idle", "mediasoup", idle10000, memoryItself, atMost(14_000)},
	{"memory for each of 10,000 idle", "mse", idle10000, memoryItself, atMost(14_000)},

	{"allocations, scan of an offer", "cuttlefish", "allocations, scan of an offer", rateItself("%.0f"), atMost(0)},
	{"allocations, relay of an offer", "cuttlefish", "allocations, relay of an offer", rateItself("%.0f"), atMost(0)},
	{"allocations, decode of a chat", "galene", "allocations, decode of a chat", rateItself("%.0f"), atMost(8)},
	{"allocations, call and answer", "mse", "allocations, call and answer", rateItself("%.0f"), atMost(6)},

	{"time to decode, small", "cuttlefish", "decode, small", timeTo("encoding/json"), atMost(0.35)},
	{"time to decode, large", "cuttlefish", "decode, large", timeTo("encoding/json"), atMost(0.3)},
	{"time to decode, small", "easyrtc", "decode, small", timeTo("encoding/json"), atMost(0.35)},
	{"time to decode, large", "easyrtc", "decode, large", timeTo("encoding/json"), atMost(0.3)},
	{"time to decode, small", "galene", "decode, small", timeTo("encoding/json"), atMost(0.35)},
	{"time to decode, large", "galene", "decode, large", timeTo("encoding/json"), atMost(0.3)},
	{"time to decode, small", "mediasoup", "decode, small", timeTo("encoding/json"), atMost(0.35)},
	{"time to decode, large", "mediasoup", "decode, large", timeTo("encoding/json"), atMost(0.3)},
	{"time to decode, small", "mse", "decode, small", timeTo("encoding/json"), atMost(0.35)},
	{"time to decode, large", "mse", "decode, large", timeTo("encoding/json"), atMost(0.3)},

	{"ping in memory", "mse", "ping in memory", rateTo("xexp"), atLeast(4)},
	{"ping in memory", "mse", "ping in memory", rateTo("jrpc2"), bound{}},
	{"ping over WebSocket", "mse", "ping over WebSocket", rateTo("xexp"), atLeast(2)},
	{"ping over WebSocket", "mse", "ping over WebSocket", rateTo("jrpc2"), bound{}},

	{"a stalled one of 20 is dropped", "galene", stallOf20, dropped, atMost(1)},
	{"p99 of the others, who lose nothing", "galene", stallOf20, p99Itself, atMost(5)},
	{"a stalled one of 20 is dropped", "easyrtc", stallOf20, dropped, atMost(1)},
	{"p99 of the others, who lose nothing", "easyrtc", stallOf20, p99Itself, atMost(5)},

	{"p99 beside a flood", "cuttlefish", besideFlood, p99Itself, atMost(5)},
	{"the same, of the quiet p99", "cuttlefish", besideFlood, rateItself("%.2f x"), atMost(3)},
	{"p99 beside a flood", "easyrtc", besideFlood, p99Itself, atMost(5)},
	{"the same, of the quiet p99", "easyrtc", besideFlood, rateItself("%.2f x"), atMost(3)},
	{"p99 beside a flood", "galene", besideFlood, p99Itself, atMost(5)},
	{"the same, of the quiet p99", "galene", besideFlood, rateItself("%.2f x"), atMost(3)},

	{"1,000 told of a SIGTERM", "cuttlefish", terminated, rateItself("%.1f %%"), atLeast(100)},
	{"the last of them", "cuttlefish", terminated, p99Itself, atMost(1000)},
	{"1,000 told of a SIGTERM", "easyrtc", terminated, rateItself("%.1f %%"), atLeast(100)},
	{"the last of them", "easyrtc", terminated, p99Itself, atMost(1000)},
	{"1,000 told of a SIGTERM", "galene", terminated, rateItself("%.1f %%"), atLeast(100)},
	{"the last of them", "galene", terminated, p99Itself, atMost(1000)},
	{"1,000 told of a SIGTERM", "mediasoup", terminated, rateItself("%.1f %%"), atLeast(100)},
	{"the last of them", "mediasoup", terminated, p99Itself, atMost(1000)},
	{"1,000 told of a SIGTERM", "mse", terminated, rateItself("%.1f %%"), atLeast(100)},
	{"the last of them", "mse", terminated, p99Itself, atMost(1000)},
}

// judge gives the verdicts of goals on rows. A goal whose row has been left out has none.
func judge(goals []goal, rows []*row) (all []verdict) {
	for _, g := range goals {
		for _, r := range rows {
			if r.Protocol == g.protocol && r.Scenario == g.scenario {
				all = append(all, g.judge(r))
			}
		}
	}
	return all
}

func (g goal) judge(r *row) verdict {
	v := verdict{Protocol: g.protocol, What: g.what, Target: g.figure.beside}
	if g.bound.sign != "" {
		v.Target = strings.TrimSpace(g.bound.sign + " " + g.figure.format(g.bound.value) + " " + v.Target)
	}
	if e := r.Servers[ours].Error; e != "" {
		v.Verdict = "missed: " + firstLine(e)
		return v
	}
	value, err := g.figure.of(r)
	if err != nil {
		v.Verdict = "not measured: " + firstLine(err.Error())
		return v
	}
	v.Ours = g.figure.format(value)
	switch {
	case g.bound.sign == "":
		v.Verdict = "no target"
	case g.bound.holds(value):
		v.Verdict = "met"
	default:
		v.Verdict = "missed"
	}
	return v
}

func printVerdicts(out io.Writer, verdicts []verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nTARGETS\nPROTOCOL\tWHAT\tOURS\tTARGET\tVERDICT")
	for _, v := range verdicts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", v.Protocol, v.What, v.Ours, v.Target, v.Verdict)
	}
	return t.Flush()
}
