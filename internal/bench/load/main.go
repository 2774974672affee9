// Command load measures servers beside each other: those of this module, the real ones of the
// same protocols, and a bare relay on coder/websocket that moves the same bytes without looking
// at them. Its table of what this module aims at, with what was measured and a verdict on each,
// comes from one command in internal/bench:
//
//	go run ./load
//
// It takes about half an hour. Parts of it, and files besides:
//
//	go run ./load -scenario 'candidates, 64' -protocol cuttlefish -rounds 9
//	go run ./load -json table.json -svg chart.svg
//
// Absolute figures mean nothing on a machine that others use, so each round measures all
// servers one after the other, and a ratio is the median of those that the rounds had. The
// generator and the servers are processes on one machine and talk over loopback. In our servers
// the limits of how much a client may send are off, but where a flood is measured, and so is
// that of who is in a room of EasyRTC, in both servers; everything else has its default. Codecs
// and libraries are measured in the process itself, by turns as well.
//
// At the knee 64 pairs are told candidates at a rate, by one goroutine that tells what is due
// every millisecond; what it tells late counts from when it was due. The rate is the highest of
// a geometric row with a p99 of 10 ms and nothing lost, and one fails only when two runs of it,
// some time apart, do.
//
// The real servers are found as package interop finds them: CUTTLEFISH_OPERATOR_BIN and GALENE_BIN
// name programs, open-easyrtc and mediasoup are in ../interop/node_modules after npm ci there.
// One that is absent is left out by name, and a target that needs it is not measured. The server
// of github.com/centrifugal/centrifuge beside Galène is in package hub, and is built by go build.
// Memory is asked of ten thousand connections, for which ulimit -n has to be 10,500 or more.
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
	"time"

	"github.com/rtcsignal/rtcsignal/internal/bench/ping"
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
	// programs is a folder for servers that are built, "" to have none.
	programs string
}

// scenarios are all of them, in the order of the table.
var scenarios = []scenario{
	few(relay("candidates", candidate, 1, 1)), few(relay("candidates", candidate, 16, 1)),
	relay("candidates", candidate, 64, 1), few(relay("candidates", candidate, 16, 8)),
	few(relay("offers", offer, 1, 1)), few(relay("offers", offer, 16, 1)),
	relay("offers", offer, 64, 1), few(relay("offers", offer, 16, 8)),
	few(calls(1)), few(calls(16)),
	few(broadcast(2, 1)), few(broadcast(10, 8)), few(broadcast(100, 1)), broadcast(100, 8), few(broadcast(1000, 8)),
	joins(2), joins(50), idleMemory(10_000),
	knee(64), stall(), flood(), drains(1_000),
	decodes("small", small), decodes("large", large),
	pings("in memory", func(l ping.Library) (*ping.Session, error) { return l.Memory() }),
	pings("over WebSocket", func(l ping.Library) (*ping.Session, error) { return l.WebSocket() }),
	allocations("cuttlefish", "scan of an offer", allocationsOfScan),
	allocations("cuttlefish", "relay of an offer", allocationsOfRelay),
	allocations("galene", "decode of a chat", allocationsOfChat),
	allocations("mse", "call and answer", allocationsOfPing),
}

// few has three rounds at most of a scenario that no target is about.
func few(s scenario) scenario {
	s.rounds = 3
	return s
}

func main() {
	serving := flag.String("serve", "", "be this `server`; for the program itself")
	profile := flag.String("profile", "", "have our servers write a CPU profile into this `file`")
	limited := flag.Bool("limits", false, "that server has its default limits")
	socket := flag.String("socket", "", "`path` of the socket of that server")
	only := flag.String("scenario", "", "measure those only whose names match this `expression`")
	names := flag.String("protocol", "", "measure these `names` only, separated by commas")
	rounds := flag.Int("rounds", 5, "how `often` each server is measured, at most")
	during := flag.Duration("for", time.Second, "how `long` each time")
	jsonFile := flag.String("json", "", "write the results into this `file` as well")
	chartFile := flag.String("svg", "", "draw the ratios into this `file`")
	flag.Parse()
	var err error
	if *serving != "" {
		err = serve(*serving, *socket, *limited, *profile)
	} else {
		err = measureAll(&options{
			rounds: *rounds, during: *during, out: os.Stdout, progress: os.Stderr,
			jsonFile: *jsonFile, chartFile: *chartFile, profile: *profile,
		}, *only, *names)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// measureAll measures until the end or an interrupt.
func measureAll(o *options, only, names string) (err error) {
	if o.programs, err = os.MkdirTemp("", "load"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.programs)) }()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return measure(ctx, o, only, names)
}

// results are what the file of -json has.
type results struct {
	Rows    []*row    `json:"rows"`
	Targets []verdict `json:"targets"`
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
	verdicts := judge(goals, rows)
	err = errors.Join(printRows(o.out, rows), printVerdicts(o.out, verdicts))
	if o.jsonFile != "" {
		data, e := json.MarshalIndent(results{rows, verdicts}, "", "  ")
		err = errors.Join(err, e, os.WriteFile(o.jsonFile, append(data, '\n'), 0o644))
	}
	if o.chartFile != "" {
		err = errors.Join(err, os.WriteFile(o.chartFile, []byte(chart(rows, goals)), 0o644))
	}
	return err
}
