// Command server-mediasoup-sfu is a videoconferencing server for mediasoup-client 2, without
// Node.js and worker processes: the peers of a room see and hear each other. Bots need nothing
// else:
//
//	go run ./examples/server-mediasoup-sfu
//	go run ./examples/bot-mediasoup-publisher   # in a second terminal
//	go run ./examples/bot-mediasoup-recorder    # in a third
//
// It has a page for browsers, which needs mediasoup-client as one file:
//
//	npm install mediasoup-client@2.4.12 esbuild
//	npx esbuild mediasoup-client --bundle --format=iife --global-name=mediasoupClient \
//		--define:global=globalThis --outfile=mediasoup-client.js
//	go run ./examples/server-mediasoup-sfu -client mediasoup-client.js
//
// Then open http://127.0.0.1:3443/ in a few windows. Firefox does not exchange media with
// 127.0.0.1: give it another address of this machine with -ip. Browsers let pages use the
// camera that come from 127.0.0.1, or over HTTPS.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

//go:embed page
var embedded embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:3443", "`address` to listen on for signaling")
	ip := flag.String("ip", "127.0.0.1", "IP `address` for media")
	announced := flag.String("announced", "", "IP `address` that clients send media to, when it is another one")
	port := flag.Uint("port", 0, "UDP `port` for media; 0 takes a free one")
	client := flag.String("client", "", "`file` with mediasoup-client, for the page")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listen, err := listenAddress(*ip, *announced)
	if err == nil && *port > 65535 {
		err = errors.New("no such port")
	}
	if err == nil {
		err = run(ctx, *addr, listen, uint16(*port), *client)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func listenAddress(ip, announced string) (listen mediasouppion.ListenAddress, err error) {
	if listen.IP, err = netip.ParseAddr(ip); err == nil && announced != "" {
		listen.Announced, err = netip.ParseAddr(announced)
	}
	return listen, err
}

func run(ctx context.Context, addr string, listen mediasouppion.ListenAddress, port uint16, client string) error {
	page, err := fs.Sub(embedded, "page")
	if err != nil {
		return err
	}
	// snippet:server
	engine, err := mediasouppion.NewEngine(&mediasouppion.EngineOptions{
		Listen: []mediasouppion.ListenAddress{listen},
		Port:   port,
	})
	if err != nil {
		return err
	}
	defer engine.Close()
	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		AllowAll: true, // or Authenticate, which looks at the join
		Media:    engine,
		Logger:   slog.Default(),
	})
	defer srv.Close()
	handler := mediasouphttp.NewHandler(srv, &mediasouphttp.Options{Static: page}) // /?roomId=lobby&peerName=alice
	// end snippet

	files := http.NewServeMux()
	files.Handle("/", handler)
	if client != "" {
		files.HandleFunc("GET /mediasoup-client.js", func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, client)
		})
	}
	web := &http.Server{Handler: files, ReadHeaderTimeout: 10 * time.Second}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	log.Printf("serving on http://%s/, media on %s", listener.Addr(), netip.AddrPortFrom(listen.IP, engine.Port()))
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
