// Command conformance puts a signaling server to the test, for people who write one: it plays
// conversations with the server and tells where the server does otherwise than the protocol's
// document says, and whether a real server does the same.
//
//	go run ./examples/conformance -protocol cuttlefish -url ws://127.0.0.1:8443
//	go run ./examples/conformance -protocol galene -url ws://127.0.0.1:8443/ws -param group=test \
//		-param user=ada -param password=any -param op=moderator -param oppassword=moderator
//	go run ./examples/conformance -protocol mse -url ws://127.0.0.1:8444/mse -param token=eyJ…
//	go run ./examples/conformance -protocol easyrtc -url http://127.0.0.1:8080 -junit report.xml
//	go run ./examples/conformance -protocol easyrtc -list
//	go run ./examples/conformance -protocol mediasoup -listen 127.0.0.1:3443 -for 30s
//
// A case ends in one of four ways: passed, when the server does what the document says; known,
// when it does what one of the real servers does instead; failed, when it does what nobody else
// does; skipped, when it needs something that has not been given (-param NAME=VALUE). The exit
// status is 0 when no case has failed, 1 when one has. It is 2, and there is no report, when nothing
// could be tested: not one connection came about, or every case was skipped for want of a -param.
//
// With -like NAME, what is not as that reference does it fails, too: -like document accepts the
// document alone. -list prints the references and the cases.
//
// With -listen it is clients that are put to the test: what they send to the server of -url, or to
// one of our own that lets everybody in, is decoded, validated and followed, until -for is over or
// the tool is interrupted. A client fails that sends what is no message of the protocol, breaks its
// rules, or comes at the wrong time. (Galène's group is then test.)
//
// The tool opens many connections at a time, each case with names of its own, so that several
// runs against one server do not disturb each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
)

// protocols are what can be tested, by the names of flags.
var protocols = map[string]func() (*suite.Protocol, error){
	"cuttlefish": cuttlefishProtocol,
	"easyrtc":    easyrtcProtocol,
	"galene":     galeneProtocol,
	"mediasoup":  mediasoupProtocol,
	"mse":        mseProtocol,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	case failed:
		os.Exit(1)
	}
}

// params are the values of -param.
type params map[string]string

// String returns nothing: there are none at first.
func (p params) String() string { return "" }

// Set takes NAME=VALUE.
func (p params) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("it is not NAME=VALUE")
	}
	p[name] = value
	return nil
}

// addresses say what to look at when no connection comes about.
var addresses = map[string]string{
	"cuttlefish": "is it the address of such a server? Today's operator needs -param socket=PATH, too",
	"easyrtc":    "is it the address of such a server?",
	"galene":     "is the address whole? That of Galène ends in /ws",
	"mediasoup":  "is it the address of such a server?",
	"mse":        "is the address whole? That of server-mse ends in /mse",
}

// A dialer knows whether a server can be tested at all.
type dialer struct {
	dial func(ctx context.Context, server *suite.Server, args []string) (suite.Peer, error)

	mu     sync.Mutex
	opened bool  // a connection came about
	err    error // why the first one did not
}

func (d *dialer) Dial(ctx context.Context, server *suite.Server, args []string) (suite.Peer, error) {
	peer, err := d.dial(ctx, server, args)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = d.opened || err == nil
	if d.err == nil {
		d.err = err
	}
	return peer, err
}

// check returns an error if a report says nothing about the server. That one connection is refused as
// it should be says nothing when whole is true, that is when all cases were played, and all others are
// refused, too.
func (d *dialer) check(report *suite.Report, whole bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.opened:
		return nil
	case d.err == nil:
		return fmt.Errorf("nothing could be tested: the first case %s, which -param gives", report.Results[0].Why)
	case whole || report.Counts.Passed+report.Counts.Known == 0:
		return fmt.Errorf("nothing could be tested: %w: %s", d.err, addresses[report.Protocol])
	}
	return nil
}

// run returns whether a case has failed; an error means that nothing is known.
func run(ctx context.Context, args []string, out io.Writer) (failed bool, err error) {
	given := make(params)
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	name := flags.String("protocol", "", "the protocol's `name`: "+strings.Join(names(), ", "))
	url := flags.String("url", "", "`address` of the server")
	only := flags.String("run", "", "play the cases only whose TOPIC: NAME matches this `expression`")
	like := flags.String("like", "", "fail where the server is not like this `reference`; document means the document")
	list := flags.Bool("list", false, "print the references and the cases, and play none")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	junit := flags.String("junit", "", "write the report as JUnit does into this `file`")
	timeout := flags.Duration("timeout", suite.DefaultTimeout, "how long to wait for what must come")
	quiet := flags.Duration("quiet", suite.DefaultQuiet, "how long to wait for what must not come")
	listen := flags.String("listen", "", "put clients to the test that connect to this `address`")
	limit := flags.Duration("for", 0, "how `long` with -listen; 0 is until an interrupt")
	parallel := flags.Int("parallel", suite.DefaultParallel, "cases at a `time`")
	flags.Var(given, "param", "a `NAME=VALUE` that some cases need; may be repeated")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	load, ok := protocols[*name]
	if *name == "" {
		return false, fmt.Errorf("-protocol is missing: one of %s", strings.Join(names(), ", "))
	}
	if !ok {
		return false, fmt.Errorf("there is no protocol %q: -protocol is one of %s", *name, strings.Join(names(), ", "))
	}
	p, err := load()
	if err != nil {
		return false, err
	}
	choose, err := regexp.Compile(*only)
	if err != nil {
		return false, err
	}
	chosen := func(c *suite.Case) bool { return choose.MatchString(c.Topic + ": " + c.Name) }
	if *list {
		return false, printList(out, p, chosen)
	}
	if *listen != "" {
		bounded, cancel := ctx, context.CancelFunc(func() {})
		if *limit > 0 {
			bounded, cancel = context.WithTimeout(ctx, *limit)
		}
		defer cancel()
		progress := out
		if *asJSON {
			progress = io.Discard
		}
		report, err := (&watch{protocol: *name, listen: *listen, target: *url, out: progress}).run(bounded)
		if err != nil {
			return false, err
		}
		return report.Counts.Failed > 0, write(report, out, *asJSON, *junit)
	}
	if *url == "" {
		return false, errors.New("-url is missing")
	}
	if *like != "" && !slices.ContainsFunc(p.References, func(r suite.Reference) bool { return r.Name == *like }) {
		return false, fmt.Errorf("there is no reference %q: see -list", *like)
	}
	server := &suite.Server{URL: *url, Params: given}
	watched := &dialer{dial: p.Dial}
	p.Dial = watched.Dial
	results, err := suite.Run(ctx, p, server, &suite.Options{
		Timeout: *timeout, Quiet: *quiet, Parallel: *parallel, Choose: chosen,
	})
	if err != nil {
		return false, err
	}
	if len(results) == 0 {
		return false, fmt.Errorf("no case matches %q", *only)
	}
	report := suite.NewReport(p, server, results)
	if err := watched.check(report, *only == ""); err != nil {
		return false, err
	}
	if *like != "" {
		report.Demand(*like)
	}
	return report.Counts.Failed > 0, write(report, out, *asJSON, *junit)
}

func names() []string {
	var all []string
	for name := range protocols {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func printList(out io.Writer, p *suite.Protocol, chosen func(*suite.Case) bool) error {
	var b strings.Builder
	for _, r := range p.References {
		fmt.Fprintf(&b, "@%-12s %s\n", r.Name, r.Title)
	}
	for _, c := range p.Cases {
		if chosen(c) {
			fmt.Fprintf(&b, "%s: %s\n", c.Topic, c.Name)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func write(report *suite.Report, out io.Writer, asJSON bool, junit string) error {
	if junit != "" {
		f, err := os.Create(junit)
		if err != nil {
			return err
		}
		if err := errors.Join(report.WriteJUnit(f), f.Close()); err != nil {
			return err
		}
	}
	if asJSON {
		return report.WriteJSON(out)
	}
	return report.WriteText(out)
}

// closeTime bounds the closing of a connection.
const closeTime = 2 * time.Second
