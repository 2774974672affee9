// Command demo runs every protocol of the module once, in one process but over real
// WebSockets and with real WebRTC media on the loopback interface: a signaling server,
// a bot that publishes and a bot that receives. It prints a line for each step and a
// table at the end, and exits with status 1 when anything failed.
//
//	go run ./examples/demo
//	go run ./examples/demo -protocol cuttlefish -json
//	go run ./examples/demo -serve
//
// With -serve the servers and the publishing bots stay up, and the addresses for a
// browser are printed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A protocol is one row of the table.
type protocol struct {
	name string
	// run has a session and fills the result as it goes.
	run func(ctx context.Context, r *result) error
	// serve keeps a server and a publishing bot up until ctx ends, and says where.
	serve func(ctx context.Context, ready func(what, url string)) error
}

var protocols = []protocol{
	{"cuttlefish", runCuttlefish, serveCuttlefish},
	{"mse", runMSE, serveMSE},
	{"galene", runGalene, serveGalene},
	{"easyrtc", runEasyRTC, serveEasyRTC},
	{"mediasoup", runMediasoup, serveMediasoup},
}

func main() {
	only := flag.String("protocol", "", "run only these `names`, separated by commas")
	asJSON := flag.Bool("json", false, "print the results as JSON instead of a table")
	stay := flag.Bool("serve", false, "keep servers and publishing bots up for browsers")
	limit := flag.Duration("timeout", 20*time.Second, "time for each protocol")
	flag.Parse()

	chosen, err := choose(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *stay {
		err = serve(ctx, chosen)
	} else {
		err = runAll(ctx, os.Stdout, chosen, *limit, *asJSON)
	}
	if err != nil {
		slog.Error("demo failed", "error", err)
		stop()
		os.Exit(1)
	}
}

// choose returns the protocols of a list of names, all of them for an empty one.
func choose(list string) ([]protocol, error) {
	if list == "" {
		return protocols, nil
	}
	var chosen []protocol
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(protocols, func(p protocol) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no protocol %q", name)
		}
		chosen = append(chosen, protocols[i])
	}
	return chosen, nil
}

func runAll(ctx context.Context, w io.Writer, chosen []protocol, limit time.Duration, asJSON bool) error {
	var progress io.Writer
	if !asJSON {
		progress = w
	}
	var results []*result
	for _, p := range chosen {
		r := newResult(p.name, progress)
		bounded, cancel := context.WithTimeout(ctx, limit)
		r.finish(p.run(bounded, r))
		cancel()
		results = append(results, r)
	}
	if asJSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		if err := out.Encode(results); err != nil {
			return err
		}
	} else {
		printTable(w, results)
	}
	var failed error
	for _, r := range results {
		if r.Error != "" {
			failed = errors.Join(failed, fmt.Errorf("%s: %s", r.Protocol, r.Error))
		}
	}
	return failed
}

// serve runs until ctx ends or a protocol fails.
func serve(ctx context.Context, chosen []protocol) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failures := make(chan error)
	for _, p := range chosen {
		go func() {
			failures <- p.serve(ctx, func(what, url string) { fmt.Printf("%-12s %-40s %s\n", p.name, what, url) })
		}()
	}
	fmt.Println("Ctrl-C ends the demo.")
	var failed error
	for range chosen {
		if err := <-failures; err != nil && !errors.Is(err, context.Canceled) {
			failed = errors.Join(failed, err)
			cancel()
		}
	}
	return failed
}
