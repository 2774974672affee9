// Command server-mediasoup is a signaling server for mediasoup 2 that moves no media: its
// clients join rooms, make transports, producers and consumers, and are told of each other, as
// with the demo of mediasoup, but nothing is ever received. It is for tests of clients, and
// prints what they do:
//
//	go run ./examples/server-mediasoup
//	go run ./examples/server-mediasoup -framing socketio
//
// Clients of protoo connect to ws://127.0.0.1:3443/?roomId=lobby&peerName=alice, those of
// Socket.IO to http://127.0.0.1:3443 with the same query, and those of the framing typebody to
// the same WebSocket without a subprotocol. For media, see examples/server-mediasoup-sfu.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3443", "`address` to listen on")
	framing := flag.String("framing", "protoo", "`name` of the framing: protoo, protoo2, socketio, typebody")
	anyOrigin := flag.Bool("any-origin", false, "let the pages of other hosts connect")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *framing, *anyOrigin); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, framing string, anyOrigin bool) error {
	opts := &mediasoupproto.ServerOptions{
		Connection:       mediasouphttp.Connection,
		AllowAll:         true, // or Authenticate, which looks at the join
		OnJoined:         printJoined,
		AuthorizeRequest: printRequest,
		Message:          answer,
		Logger:           slog.Default(), // and no Media, which would move something
	}
	switch framing {
	case "protoo":
	case "protoo2":
		opts.Framing = mediasoupproto.Protoo2
	case "socketio":
		opts.Framing = mediasoupproto.SocketIO
	case "typebody":
		opts.Framing = mediasoupproto.TypeBody
	default:
		return fmt.Errorf("there is no framing %q", framing)
	}
	srv := mediasoupproto.NewServer(opts)
	defer srv.Close()

	sockets := &wsconn.Options{AllowAnyOrigin: anyOrigin, Logger: slog.Default()}
	var handler http.Handler = mediasouphttp.NewHandler(srv, &mediasouphttp.Options{WebSocket: sockets})
	switch framing {
	case "socketio":
		handler = enginehttp.Handler(srv.Serve, &enginehttp.Options{AllowAnyOrigin: anyOrigin, Logger: slog.Default()})
	case "typebody": // has no subprotocol
		handler = wsconn.Handler(srv.Serve, sockets)
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	log.Printf("serving on ws://%s/?roomId=lobby&peerName=NAME", listener.Addr())
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// printJoined says who has joined.
func printJoined(ctx context.Context, s *mediasoupproto.ServerSession) {
	peer, ok := s.Peer()
	if !ok {
		return // it has gone already
	}
	fmt.Printf("%s joins %s with the data %q\n", peer.PeerName, peer.Room, peer.AppData)
	context.AfterFunc(ctx, func() { fmt.Printf("%s has gone\n", peer.PeerName) })
}

// printRequest says what somebody asks for, and lets it happen.
func printRequest(_ context.Context, s *mediasoupproto.ServerSession, m mediasoupproto.Message) error {
	peer, _ := s.Peer()
	switch m := m.(type) {
	case *mediasoupproto.CreateTransport:
		fmt.Printf("%s opens transport %d to %s\n", peer.PeerName, m.ID, m.Direction)
	case *mediasoupproto.CreateProducer:
		fmt.Printf("%s sends %s as producer %d\n", peer.PeerName, m.Kind, m.ID)
	case *mediasoupproto.EnableConsumer:
		fmt.Printf("%s receives consumer %d\n", peer.PeerName, m.ID)
	case *mediasoupproto.RestartTransport:
		fmt.Printf("%s restarts ICE of transport %d\n", peer.PeerName, m.ID)
	}
	return nil
}

// answer takes the messages of the application, as mediasoup's demo does with one of them.
func answer(
	_ context.Context, s *mediasoupproto.ServerSession, m *mediasoupproto.Application,
) (json.RawMessage, error) {
	peer, _ := s.Peer()
	fmt.Printf("%s says %s with the data %q\n", peer.PeerName, m.Method, m.Data)
	if m.Method == "change-display-name" {
		return nil, nil // an empty answer
	}
	return nil, &mediasoupproto.Error{
		Code: mediasoupproto.CodeNoPeer, Reason: fmt.Sprintf("unknown request method %q", m.Method),
	}
}
