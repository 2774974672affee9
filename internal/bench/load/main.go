// Command load measures servers beside each other: those of this module, the real ones of the
// same protocols, and a bare relay on coder/websocket that moves the same bytes without looking
// at them. It runs in internal/bench:
//
//	go run ./load                               # everything, about half an hour
//	go run ./load -scenario 'candidates, 64' -protocol cuttlefish -rounds 9
//	go run ./load -json table.json -svg chart.svg
//
// Absolute figures mean nothing on a machine that others use, so each round measures all
// servers one after the other, and what is printed are the medians of the ratios that the
// rounds had. The generator and the servers are processes on one machine and talk over
// loopback. Limits of how much a client may send are off in our servers, but where a flood is
// measured; everything else has its default.
//
// The real servers are found as package interop finds them: CUTTLEFISH_OPERATOR_BIN and GALENE_BIN
// name programs, open-easyrtc and mediasoup are in ../interop/node_modules after npm ci there.
// One that is absent is left out by name.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// options are what the flags say.
type options struct {
	scenarios *regexp.Regexp
	protocols []string
	rounds    int
	during    time.Duration
	out       io.Writer
	progress  io.Writer
	jsonFile  string
	chartFile string
	profile   string
}

// scenarios are all of them, in the order of the table.
var scenarios = []scenario{
	relay("candidates", candidate, 1, 1), relay("candidates", candidate, 8, 1),
	relay("candidates", candidate, 16, 1), relay("candidates", candidate, 64, 1),
	relay("candidates", candidate, 16, 8),
	relay("offers", offer, 1, 1), relay("offers", offer, 8, 1),
	relay("offers", offer, 16, 1), relay("offers", offer, 64, 1),
	relay("offers", offer, 16, 8),
	calls(1), calls(16),
	broadcast(2, 1), broadcast(10, 8), broadcast(100, 1), broadcast(100, 8), broadcast(1000, 8),
	joins(2), joins(50), idleMemory(5_000), idleMemory(10_000),
	knee(), stall(), flood(), drains(1_000),
}

func main() {
	serving := flag.String("serve", "", "be this `server`; for the program itself")
	profile := flag.String("profile", "", "have our servers write a CPU profile into this `file`")
	limited := flag.Bool("limits", false, "that server has its default limits")
	socket := flag.String("socket", "", "`path` of the socket of that server")
	only := flag.String("scenario", "", "measure those only whose names match this `expression`")
	names := flag.String("protocol", "", "measure these `names` only, separated by commas")
	rounds := flag.Int("rounds", 5, "how often each server is measured")
	during := flag.Duration("for", time.Second, "how `long` each time")
	jsonFile := flag.String("json", "", "write the results into this `file` as well")
	chartFile := flag.String("svg", "", "draw the ratios into this `file`")
	flag.Parse()
	var err error
	if *serving != "" {
		err = serve(*serving, *socket, *limited, *profile)
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		err = measure(ctx, &options{
			rounds: *rounds, during: *during, out: os.Stdout, progress: os.Stderr,
			jsonFile: *jsonFile, chartFile: *chartFile, profile: *profile,
		}, *only, *names)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// A row is a scenario of a protocol.
type row struct {
	Protocol string            `json:"protocol"`
	Scenario string            `json:"scenario"`
	Unit     string            `json:"unit"`
	Servers  map[string]column `json:"servers"`
	order    []string
}

// A column is what a server did in a scenario: medians.
type column struct {
	Rate   float64       `json:"rate,omitempty"`
	Ratio  float64       `json:"ratio_to_bare,omitempty"`
	CPU    time.Duration `json:"cpu_ns,omitempty"`
	P50    time.Duration `json:"p50_ns,omitempty"`
	P99    time.Duration `json:"p99_ns,omitempty"`
	Memory float64       `json:"memory_bytes,omitempty"`
	Error  string        `json:"error,omitempty"`
}

func measure(ctx context.Context, o *options, only, names string) error {
	var err error
	if o.scenarios, err = regexp.Compile(only); err != nil {
		return err
	}
	if names != "" {
		o.protocols = strings.Split(names, ",")
	}
	var rows []*row
	for _, p := range protocols {
		if o.protocols != nil && !slices.Contains(o.protocols, p.name) {
			continue
		}
		for _, s := range scenarios {
			if !s.fits(p) || !o.scenarios.MatchString(s.name) {
				continue
			}
			r, err := measureRow(ctx, p, s, o)
			if err != nil {
				return err
			}
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return errors.New("nothing matches")
	}
	err = printRows(o.out, rows)
	if o.jsonFile != "" {
		data, e := json.MarshalIndent(rows, "", "  ")
		err = errors.Join(err, e, os.WriteFile(o.jsonFile, append(data, '\n'), 0o644))
	}
	if o.chartFile != "" {
		err = errors.Join(err, os.WriteFile(o.chartFile, []byte(chart(rows)), 0o644))
	}
	return err
}

// measureRow measures the servers of a protocol by turns. Each run has a fresh server.
func measureRow(ctx context.Context, p *protocol, s scenario, o *options) (*row, error) {
	r := &row{Protocol: p.name, Scenario: s.name, Unit: s.unit, Servers: make(map[string]column), order: targets(p)}
	samples := make(map[string][]sample)
	for round := range o.rounds {
		for _, name := range r.order {
			if r.Servers[name].Error != "" {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			got, err := measureOnce(p, s, name, o)
			if err != nil {
				r.Servers[name] = column{Error: err.Error()}
				continue
			}
			samples[name] = append(samples[name], got)
			fmt.Fprintf(o.progress, "%s, %s: round %d, %s: %.0f %s\n", p.name, s.name, round+1, name, got.rate, s.unit)
		}
	}
	for name, all := range samples {
		if r.Servers[name].Error == "" {
			r.Servers[name] = columnOf(all, samples["bare"])
		}
	}
	return r, nil
}

func measureOnce(p *protocol, s scenario, name string, o *options) (sample, error) {
	var flags []string
	if name == "rtcsignal" && o.profile != "" {
		flags = append(flags, "-profile", o.profile)
	}
	if s.limited {
		flags = append(flags, "-limits")
	}
	t, err := startTarget(p, name, flags...)
	if err != nil {
		return sample{}, err
	}
	defer t.end()
	return s.run(p, t, o)
}

// columnOf takes the medians of samples, of which each has one of the bare relay beside it.
func columnOf(all, bare []sample) column {
	value := func(s sample) float64 {
		if s.rate == 0 {
			return s.memory
		}
		return s.rate
	}
	c := column{
		Rate:   median(all, func(i int) float64 { return all[i].rate }),
		CPU:    time.Duration(median(all, func(i int) float64 { return float64(all[i].cpu) })),
		P50:    time.Duration(median(all, func(i int) float64 { return float64(all[i].p50) })),
		P99:    time.Duration(median(all, func(i int) float64 { return float64(all[i].p99) })),
		Memory: median(all, func(i int) float64 { return all[i].memory }),
	}
	if len(bare) == len(all) {
		c.Ratio = median(all, func(i int) float64 {
			if value(bare[i]) == 0 {
				return 0
			}
			return value(all[i]) / value(bare[i])
		})
	}
	return c
}

func median(all []sample, of func(i int) float64) float64 {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = of(i)
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

func printRows(out io.Writer, rows []*row) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROTOCOL\tSCENARIO\tSERVER\tRATE\tOF BARE\tCPU EACH\tP50\tP99\tMEMORY EACH")
	for _, r := range rows {
		for _, name := range r.order {
			c := r.Servers[name]
			if c.Error != "" {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Protocol, r.Scenario, name, c.Error)
				continue
			}
			memory := ""
			if c.Memory > 0 {
				memory = fmt.Sprintf("%.1f KB", c.Memory/1000)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%.0f %s\t%.2f\t%v\t%v\t%v\t%s\n", r.Protocol, r.Scenario, name, c.Rate, r.Unit,
				c.Ratio, c.CPU.Round(100*time.Nanosecond), c.P50.Round(time.Microsecond), c.P99.Round(time.Microsecond), memory)
		}
	}
	return t.Flush()
}
