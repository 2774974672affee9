// Command demo runs every protocol of the module once, in one process but over real
// WebSockets and with real WebRTC media on the loopback interface: a signaling server,
// a bot that publishes and a bot that receives. It prints a line for each step and a
// table at the end, and exits with status 1 when anything failed. The protocols run at the
// same time, or with -one-by-one in turn.
//
//	go run ./examples/demo
//	go run ./examples/demo -one-by-one
//	go run ./examples/demo -protocol cuttlefish -json
//	go run ./examples/demo -serve
//
// With -serve the servers and the publishing bots stay up for browsers and other bots. A page
// on port 8100 leads to all of them; cuttlefish has port 8101, mse 8102, galene 8103, easyrtc
// 8104 and mediasoup 8105. Where one of these is taken, the system chooses another. They
// listen on 127.0.0.1 unless -addr names another address of the machine. Media take its IPv4
// addresses other than that: browsers offer none of the loopback interface, so on a machine
// without any network the pages have no picture.
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
	"sync"
	"syscall"
	"time"
)

// A protocol is one row of the table.
type protocol struct {
	name string
	port int // behind that of the page
	// run has a session and fills the result as it goes.
	run func(ctx context.Context, r *result) error
	// serve keeps a server and a publishing bot up until ctx ends, and says what is there.
	serve func(ctx context.Context, p place, ready func(*site)) error
}

var protocols = []protocol{
	{"cuttlefish", 1, runCuttlefish, serveCuttlefish},
	{"mse", 2, runMSE, serveMSE},
	{"galene", 3, runGalene, serveGalene},
	{"easyrtc", 4, runEasyRTC, serveEasyRTC},
	{"mediasoup", 5, runMediasoup, serveMediasoup},
}

func main() {
	only := flag.String("protocol", "", "run only these `names`, separated by commas")
	asJSON := flag.Bool("json", false, "print the results as JSON instead of a table")
	oneByOne := flag.Bool("one-by-one", false, "run the protocols in turn")
	stay := flag.Bool("serve", false, "keep servers and publishing bots up for browsers")
	addr := flag.String("addr", "127.0.0.1", "IP `address` of this machine to listen on, with -serve")
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
		var where place
		if where, err = outside(*addr); err == nil {
			err = serve(ctx, os.Stdout, chosen, where.at(firstPort))
		}
	} else {
		err = runAll(ctx, os.Stdout, chosen, &options{limit: *limit, oneByOne: *oneByOne, json: *asJSON})
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

// options say how protocols run.
type options struct {
	limit    time.Duration // of each
	oneByOne bool
	json     bool
}

func runAll(ctx context.Context, w io.Writer, chosen []protocol, opts *options) error {
	var progress io.Writer
	if !opts.json {
		progress = &lines{w: w}
	}
	results := make([]*result, len(chosen))
	var sessions sync.WaitGroup
	for i, p := range chosen {
		sessions.Go(func() {
			r := newResult(p.name, progress)
			results[i] = r
			bounded, cancel := context.WithTimeout(ctx, opts.limit)
			defer cancel()
			r.finish(p.run(bounded, r))
		})
		if opts.oneByOne {
			sessions.Wait()
		}
	}
	sessions.Wait()
	if opts.json {
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
