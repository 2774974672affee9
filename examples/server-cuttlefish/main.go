// Command server-cuttlefish is a signaling server for Android Cuttlefish: the two
// WebSocket endpoints of the protocol document, everything that today's operator serves
// over HTTP, and its unix socket for devices.
//
//	go run ./examples/server-cuttlefish
//	go run ./examples/bot-cuttlefish-device     # in a second terminal
//
// Then http://127.0.0.1:8443/ lists the device, and a click plays it. Given a folder
// with the browser page of Android Cuttlefish (html_client), it serves that instead:
//
//	go run ./examples/server-cuttlefish -page path/to/html_client -socket /tmp/operator
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/examples/kit/viewer"
	"github.com/rtcsignal/rtcsignal/transport/unixpacket"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8443", "`address` to listen on")
	page := flag.String("page", "", "`folder` with a browser page, in place of the built-in one")
	socket := flag.String("socket", "", "`path` of a unix socket for devices of today")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *page, *socket); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, page, socket string) error {
	files := viewer.Files
	if page != "" {
		files = func(string) http.Handler { return http.FileServer(http.Dir(page)) }
	}

	// snippet:server
	srv := cuttlefish.NewServer(&cuttlefish.ServerOptions{Logger: slog.Default()})
	defer srv.Close()
	handler := cuttlefishhttp.NewHandler(srv, &cuttlefishhttp.Options{
		Files: files, Fallback: viewer.Index(), Logger: slog.Default(),
	})
	defer handler.Close()
	http.Handle("/", handler)
	// end snippet

	if socket != "" {
		listener, err := unixpacket.Listen(socket, nil)
		if err != nil {
			return err
		}
		defer listener.Close()
		go func() {
			if err := unixpacket.Serve(listener, srv.ServeOperatorDevice); err != nil {
				log.Print(err)
			}
		}()
	}

	web := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	log.Printf("serving on http://%s/", addr)
	if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
