// Command server-galene-relay is a server for calls between two people that speaks the
// protocol of Galène and touches no media: it passes on what the two browsers say to each
// other, and their peer connections meet. Galène's own web client runs on it; take the
// folder static of a copy of github.com/jech/galene:
//
//	git clone https://github.com/jech/galene
//	go run ./examples/server-galene-relay -static galene/static
//
// Every name is a group of its own: open http://127.0.0.1:8443/group/calls/ann/ in two
// windows of a browser.
package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8443", "`address` to listen on")
	static := flag.String("static", "", "`folder` with Galène's web client")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *static); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, static string) error {
	var files fs.FS
	if static != "" {
		files = os.DirFS(static)
	}
	srv := galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{"calls": {
			Group:    galene.Group{AutoSubgroups: true, MaxClients: 2},
			Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "present"},
		}},
		Logger: slog.Default(),
	})
	defer srv.Close()
	handler := galenehttp.NewHandler(srv, &galenehttp.Options{Static: files, Logger: slog.Default()})
	defer handler.Close()
	web := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	log.Printf("serving on http://%s/group/calls/", addr)
	if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
