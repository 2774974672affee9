package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// ours is the name of this module's server in every row.
const ours = "rtcsignal"

// A row is a scenario of a protocol.
type row struct {
	Protocol string            `json:"protocol"`
	Scenario string            `json:"scenario"`
	Unit     string            `json:"unit"`
	Servers  map[string]column `json:"servers"`
	// Beside is what this module's server did of what each of the others did.
	Beside map[string]ratios `json:"rtcsignal_to,omitempty"`
	order  []string
}

// A column is what a server did in a scenario: medians.
type column struct {
	Rate   float64       `json:"rate"`
	Ratio  float64       `json:"ratio_to_bare,omitempty"`
	CPU    time.Duration `json:"cpu_ns,omitempty"`
	P50    time.Duration `json:"p50_ns,omitempty"`
	P99    time.Duration `json:"p99_ns,omitempty"`
	Memory float64       `json:"memory_bytes,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// ratios are medians of those that the rounds had, 0 where there is none.
type ratios struct {
	Rate   float64 `json:"rate,omitempty"`
	CPU    float64 `json:"cpu,omitempty"`
	Memory float64 `json:"memory,omitempty"`
}

// A contender is a server, or a library, in a scenario.
type contender struct {
	name string
	run  func(*options) (sample, error)
}

// contenders are those of a row, in the order of their turns.
func contenders(p *protocol, s scenario) (all []contender) {
	if s.inside != nil {
		for _, l := range s.inside(p) {
			all = append(all, contender(l))
		}
		return all
	}
	names := targets(p)
	if s.also != nil {
		names = append(names, s.also(p)...)
	}
	for _, name := range names {
		all = append(all, contender{name, func(o *options) (sample, error) { return measureOnce(p, s, name, o) }})
	}
	return all
}

// measureRow measures the servers of a protocol by turns. Each run has a fresh server. One that
// fails is not measured any more, and has no column; but others than ours have a second try, because
// a busy machine is too much for some of them.
func measureRow(ctx context.Context, p *protocol, s scenario, o *options) (*row, error) {
	r := &row{Protocol: p.name, Scenario: s.name, Unit: s.unit, Servers: make(map[string]column)}
	samples := make(map[string][]sample)
	all := contenders(p, s)
	for _, c := range all {
		r.order = append(r.order, c.name)
	}
	rounds := o.rounds
	if s.rounds != 0 {
		rounds = min(rounds, s.rounds)
	}
	for round := range rounds {
		for _, c := range all {
			if r.Servers[c.name].Error != "" {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			got, err := c.run(o)
			if err != nil && c.name != ours && !errors.Is(err, errAbsent) {
				got, err = c.run(o)
			}
			if err != nil {
				r.Servers[c.name] = column{Error: err.Error()}
				fmt.Fprintf(o.progress, "%s, %s: round %d, %s: %s\n", p.name, s.name, round+1, c.name, firstLine(err.Error()))
				continue
			}
			samples[c.name] = append(samples[c.name], got)
			fmt.Fprintf(o.progress, "%s, %s: round %d, %s: %s\n", p.name, s.name, round+1, c.name, got.summary(s.unit))
		}
	}
	for name, all := range samples {
		if r.Servers[name].Error == "" {
			r.Servers[name] = columnOf(all, samples["bare"])
		}
	}
	r.compare(samples)
	return r, nil
}

// compare sets Beside.
func (r *row) compare(samples map[string][]sample) {
	if r.Servers[ours].Error != "" {
		return
	}
	r.Beside = make(map[string]ratios)
	for name, others := range samples {
		if name == ours || r.Servers[name].Error != "" {
			continue
		}
		r.Beside[name] = ratios{
			Rate:   medianRatio(samples[ours], others, func(s sample) float64 { return s.rate }),
			CPU:    medianRatio(samples[ours], others, func(s sample) float64 { return float64(s.cpu) }),
			Memory: medianRatio(samples[ours], others, func(s sample) float64 { return s.memory }),
		}
	}
}

// summary is what a sample says of itself in a line.
func (s sample) summary(unit string) string {
	if s.rate == 0 && s.memory > 0 {
		return fmt.Sprintf("%.1f kB", s.memory/1000)
	}
	return number(s.rate) + " " + unit
}

// number writes small ones with more digits.
func number(f float64) string {
	if f < 100 && f != float64(int(f)) {
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

func measureOnce(p *protocol, s scenario, name string, o *options) (sample, error) {
	var flags []string
	if name == ours && o.profile != "" {
		flags = append(flags, "-profile", o.profile)
	}
	if s.limited {
		flags = append(flags, "-limits")
	}
	var t *target
	var err error
	if name == "centrifuge" {
		t, err = startCentrifuge(o.programs)
	} else {
		t, err = startTarget(p, name, flags...)
	}
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
	return column{
		Rate:   median(all, func(s sample) float64 { return s.rate }),
		Ratio:  medianRatio(all, bare, value),
		CPU:    time.Duration(median(all, func(s sample) float64 { return float64(s.cpu) })),
		P50:    time.Duration(median(all, func(s sample) float64 { return float64(s.p50) })),
		P99:    time.Duration(median(all, func(s sample) float64 { return float64(s.p99) })),
		Memory: median(all, func(s sample) float64 { return s.memory }),
	}
}

func median(all []sample, of func(sample) float64) float64 {
	values := make([]float64, len(all))
	for i, s := range all {
		values[i] = of(s)
	}
	return middle(values)
}

// medianRatio is the median of the ratios of samples to those of the same rounds, 0 if there is
// none.
func medianRatio(all, others []sample, of func(sample) float64) float64 {
	if len(all) != len(others) {
		return 0
	}
	var values []float64
	for i := range all {
		if other := of(others[i]); other != 0 {
			values = append(values, of(all[i])/other)
		}
	}
	return middle(values)
}

// middle is the median, 0 of nothing. It sorts values.
func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

func printRows(out io.Writer, rows []*row) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROTOCOL\tSCENARIO\tSERVER\tRATE\tOF BARE\tCPU EACH\tP50\tP99\tMEMORY")
	for _, r := range rows {
		for _, name := range r.order {
			c := r.Servers[name]
			if c.Error != "" {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Protocol, r.Scenario, name, firstLine(c.Error))
				continue
			}
			rate, ratio, memory := "", "", ""
			if r.Unit != "" {
				rate = number(c.Rate) + " " + r.Unit
			}
			if c.Ratio != 0 {
				ratio = fmt.Sprintf("%.2f", c.Ratio)
			}
			if c.Memory > 0 {
				memory = fmt.Sprintf("%.1f kB", c.Memory/1000)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Protocol, r.Scenario, name, rate, ratio,
				length(c.CPU, 100*time.Nanosecond), length(c.P50, time.Microsecond), length(c.P99, time.Microsecond), memory)
		}
	}
	return t.Flush()
}

// firstLine leaves what a server has said besides out of a table.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// length writes a duration, but not 0.
func length(d, unit time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.Round(unit).String()
}
