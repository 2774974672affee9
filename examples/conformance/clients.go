package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
	"github.com/rtcsignal/rtcsignal/examples/inspector/proxy"
	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/examples/internal/explain"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A server of our own, for clients that are put to the test, lets everybody in.
type server struct {
	http.Handler
	close func() error
}

// servers make one of each protocol.
var servers = map[string]func() server{
	"cuttlefish": func() server {
		srv := cuttlefish.NewServer(nil)
		handler := cuttlefishhttp.NewHandler(srv, nil)
		return server{handler, func() error { return errors.Join(handler.Close(), srv.Close()) }}
	},
	"easyrtc": func() server {
		srv := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
		return server{easyrtchttp.NewHandler(srv, nil), srv.Close}
	},
	"galene": func() server {
		router := galenepion.NewRouter(nil)
		anybody := &galene.MemoryUser{AnyPassword: true, Set: "op"}
		srv := galene.NewServer(&galene.ServerOptions{
			Groups: galene.Groups{"test": {Wildcard: anybody}}, Router: router, Address: galenehttp.Address,
		})
		handler := galenehttp.NewHandler(srv, nil)
		return server{handler, func() error { return errors.Join(handler.Close(), srv.Close(), router.Close()) }}
	},
	"mediasoup": func() server {
		srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{AllowAll: true})
		return server{mediasouphttp.NewHandler(srv, nil), srv.Close}
	},
	"mse": func() server {
		srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{AllowAll: true})
		return server{wsconn.Handler(srv.Serve, nil), srv.Close}
	},
}

// A watch is clients that are put to the test, at a server that is not.
type watch struct {
	protocol string
	listen   string
	target   string // of the server; "" for one of our own
	out      io.Writer

	results []*suite.Result
	conns   map[string]*suite.Result
}

// run stands before the server until ctx ends, and returns what it has seen.
func (w *watch) run(ctx context.Context) (*suite.Report, error) {
	protocol, err := explain.Find(w.protocol)
	if err != nil {
		return nil, err
	}
	if w.target == "" {
		own := servers[w.protocol]()
		address, stop, err := serveHTTP("127.0.0.1:0", own)
		if err != nil {
			return nil, errors.Join(err, own.close())
		}
		defer func() { _ = errors.Join(own.close(), stop()) }() // nobody is there any more
		w.target = "http://" + address
	}
	journal := capture.NewJournal(nil)
	p, err := proxy.New(&proxy.Options{Target: w.target, Journal: journal})
	if err != nil {
		return nil, err
	}
	address, stop, err := serveHTTP(w.listen, p)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	fmt.Fprintf(w.out, "clients: http://%s or ws://%s\n", address, address)
	w.conns = make(map[string]*suite.Result)
	recording := explain.NewRecording(protocol)
	last := 0
	for e := range journal.Follow(ctx, 0) {
		w.missed(e.Seq - last - 1)
		last = e.Seq
		w.see(recording.Explain(e))
	}
	if err := errors.Join(p.Close(), stop()); err != nil {
		return nil, err
	}
	rest, _ := journal.After(last)
	for _, e := range rest {
		w.missed(e.Seq - last - 1)
		last = e.Seq
		w.see(recording.Explain(e))
	}
	return suite.NewReport(&suite.Protocol{
		Name: w.protocol, References: []suite.Reference{{Name: suite.Document, Title: "the protocol document"}},
	}, &suite.Server{URL: w.target}, w.results), nil
}

// missed takes down that entries came too fast to be looked at.
func (w *watch) missed(n int) {
	if n <= 0 {
		return
	}
	w.results = append(w.results, &suite.Result{
		Name: "what was not seen", Topic: "clients", Verdict: suite.Failed,
		Why: fmt.Sprint(n, " entries came faster than they could be looked at"),
	})
}

// maxDiffers is how many mistakes of a connection are told of.
const maxDiffers = 100

// see takes down what is wrong with the messages of clients.
func (w *watch) see(arrows []explain.Arrow) {
	for _, a := range arrows {
		wrong := slices.DeleteFunc(slices.Clone(a.Problems), func(p explain.Problem) bool {
			return p.Kind == explain.Refused // which is no mistake
		})
		if a.From != capture.Client || a.Kind != explain.Message && len(wrong) == 0 {
			continue
		}
		r := w.conns[a.Conn]
		if r == nil {
			r = &suite.Result{
				Name: "connection " + a.Conn, Topic: "clients", Verdict: suite.Passed, Like: []string{suite.Document},
			}
			w.conns[a.Conn] = r
			w.results = append(w.results, r)
		}
		for _, p := range wrong {
			r.Verdict, r.Like = suite.Failed, nil
			if len(r.Differs) == maxDiffers {
				r.Why = fmt.Sprint("there are more than ", maxDiffers, " mistakes")
				break
			}
			r.Differs = append(r.Differs, suite.Difference{
				References: []string{suite.Document}, Line: a.Number, After: "client > " + cmp.Or(a.Name, "?") + " " + a.About,
				Want: []string{"a message of the protocol, in its place"}, Got: []string{string(p.Kind) + ": " + p.Text},
			})
			fmt.Fprintf(w.out, "connection %s: %s %s: %s\n", a.Conn, a.Name, a.About, p.Text)
		}
	}
}

// serveHTTP serves until it is stopped.
func serveHTTP(address string, handler http.Handler) (at string, stop func() error, err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, err
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	return listener.Addr().String(), func() error {
		err := web.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}
