// Command inspector stands between clients and a server of any of the protocols and shows
// what they say to each other, as a sequence diagram in a browser: each message with its
// fields, what is wrong with it, and where both sides stand.
//
//	go run ./examples/inspector -protocol galene -listen 127.0.0.1:8081 -target ws://127.0.0.1:8443
//
// Clients, pages included, are pointed at the address of -listen instead of the server's. The
// diagram is at the address of -ui. Recordings are files of JSON lines: -save writes one as it
// goes, the page exports others, and -open, as often as wanted, shows them again. Without
// -target there are only files to see, and it says so.
//
// Passwords, tokens and the credentials of TURN servers are masked on the page and in files,
// as far as they are known to be such, unless -secrets is given. Whoever reaches the address
// of -ui sees everything, so it should be one of loopback. Media do not pass here.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/examples/inspector/page"
	"github.com/rtcsignal/rtcsignal/examples/inspector/proxy"
	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/examples/internal/explain"
)

// options are what the flags say.
type options struct {
	protocol, listen, ui, target string
	insecure, origin, secrets    bool
	open                         []string
	save                         string
	journal                      *capture.JournalOptions // nil outside of tests
	out, warnings                io.Writer
}

func main() {
	o := &options{out: os.Stdout, warnings: os.Stderr}
	flag.StringVar(&o.protocol, "protocol", "", "`name`: cuttlefish, mse, galene, easyrtc or mediasoup")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8081", "`address` to which clients go")
	flag.StringVar(&o.ui, "ui", "127.0.0.1:8082", "`address` of the page")
	flag.StringVar(&o.target, "target", "", "`address` of the server, such as ws://127.0.0.1:8443")
	flag.BoolVar(&o.insecure, "insecure", false, "take any certificate of the server")
	flag.BoolVar(&o.origin, "origin", false, "tell the server that every page is its own, if it refuses others")
	flag.Func("open", "`file` with a recording to show; may be given several times", func(name string) error {
		o.open = append(o.open, name)
		return nil
	})
	flag.StringVar(&o.save, "save", "", "`file` to write the recording to; it must not be there yet")
	flag.BoolVar(&o.secrets, "secrets", false, "show and save passwords and tokens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		slog.Error("inspector failed", "error", err)
		stop()
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, o *options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	shown := &page.Options{Protocol: o.protocol, Secrets: o.secrets, Logger: slog.Default()}
	for _, name := range o.open {
		f, err := read(name)
		if err != nil {
			return err
		}
		shown.Open = append(shown.Open, f)
	}
	var stops []func() error // what is to be ended, the last first
	defer func() {
		for i := len(stops) - 1; i >= 0; i-- {
			err = errors.Join(err, stops[i]())
		}
	}()
	if o.target != "" {
		shown.Live = capture.NewJournal(o.journal)
		p, err := proxy.New(&proxy.Options{
			Target: o.target, Journal: shown.Live, Insecure: o.insecure, RewriteOrigin: o.origin,
		})
		if err != nil {
			return err
		}
		if o.save != "" {
			stop, err := o.saveTo(shown.Live, fail)
			if err != nil {
				return err
			}
			stops = append(stops, stop)
		}
		addr, stop, err := serve(o.listen, p, fail)
		if err != nil {
			return err
		}
		stops = append(stops, stop, p.Close)
		shown.Listen = reach(addr)
		fmt.Fprintf(o.out, "clients: http://%[1]s or ws://%[1]s in place of %[2]s\n", shown.Listen, o.target)
	} else {
		fmt.Fprintln(o.out, "no -target: files only")
	}
	addr, stop, err := serve(o.ui, page.New(shown), fail)
	if err != nil {
		return err
	}
	stops = append(stops, stop)
	fmt.Fprintf(o.out, "look at: http://%s/\n", reach(addr))
	o.warn(addr)
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// check reports what is wrong with the flags.
func (o *options) check() error {
	if o.protocol != "" {
		if _, err := explain.Find(o.protocol); err != nil {
			return err
		}
	}
	switch {
	case o.target != "" && o.protocol == "":
		return errors.New("-target needs -protocol: cuttlefish, mse, galene, easyrtc or mediasoup")
	case o.target == "" && o.save != "":
		return errors.New("-save needs -target: without it there is nothing to save")
	}
	return nil
}

// warn says what is dangerous.
func (o *options) warn(ui string) {
	if host, _, err := net.SplitHostPort(ui); err == nil && host != "localhost" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			fmt.Fprintf(o.warnings, "warning: everybody who reaches %s sees what passes\n", ui)
		}
	}
	if o.secrets {
		fmt.Fprintln(o.warnings, "warning: passwords and tokens are shown on the page, and are in files")
	}
}

// read reads a recording.
func read(name string) (*capture.File, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	f, err := capture.Read(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// serve serves at an address until stop is called. If it cannot any longer, it fails.
func serve(address string, h http.Handler, fail func(error)) (addr string, stop func() error, err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, err
	}
	web := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fail(err)
		}
	}()
	stop = func() error {
		err := web.Close()
		<-ended
		return err
	}
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return "", nil, errors.Join(err, stop())
	}
	if given, _, err := net.SplitHostPort(address); err == nil && given == "localhost" {
		host = given
	}
	return net.JoinHostPort(host, port), stop, nil
}

// reach returns where somebody on this machine reaches a listener: that of all addresses by
// the name of loopback, which is the only one of them that the page always answers to.
func reach(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return addr
}

// saveTo writes what the journal has to the file until stop is called, and then what is left.
func (o *options) saveTo(j *capture.Journal, fail func(error)) (stop func() error, err error) {
	file, err := os.OpenFile(o.save, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := o.follow(ctx, j, file)
		if err != nil {
			fail(fmt.Errorf("saving: %w", err))
		}
		ended <- err
	}()
	return func() error {
		cancel()
		return errors.Join(<-ended, file.Close())
	}, nil
}

// follow writes entries as they come.
func (o *options) follow(ctx context.Context, j *capture.Journal, file io.Writer) error {
	buf := bufio.NewWriter(file)
	mask := page.Mask
	if o.secrets {
		mask = nil
	}
	w, err := capture.NewWriter(buf, o.protocol, o.target, mask)
	if err != nil {
		return err
	}
	seq := 0
	for last := false; ; {
		entries, more := j.After(seq)
		for _, e := range entries {
			if missing := e.Seq - seq - 1; missing > 0 {
				err := w.Write(capture.Entry{Time: e.Time, Kind: capture.Note, Reason: fmt.Sprint(
					missing, " entries are missing: they came faster than they could be saved")})
				if err != nil {
					return err
				}
			}
			seq = e.Seq
			if err := w.Write(e); err != nil {
				return err
			}
		}
		if err := buf.Flush(); err != nil || last {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			last = true
		}
	}
}
