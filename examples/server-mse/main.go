// Command server-mse is a media server that speaks MSE JSON-RPC: clients of a room see and
// hear each other and share data channels. They authenticate with JSON Web Tokens, signed
// with a secret that the token service knows as well:
//
//	go run ./examples/server-mse -secret "$(openssl rand -hex 32)"
//
// Without a secret it makes one up and prints tokens for two users, and an address for a
// browser:
//
//	go run ./examples/server-mse
//	go run ./examples/bot-mse-publisher -token eyJ…    # in a second terminal
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/examples/kit/mseviewer"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msejwt"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8444", "`address` to listen on")
	secret := flag.String("secret", "", "`text` of 32 bytes at least that signs the tokens (HS256)")
	development := flag.Bool("development", false, "answer whoami and relay chat")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *secret, *development); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, secret string, development bool) error {
	key := msejwt.Key{Algorithm: msejwt.HS256, Key: []byte(secret)}
	if secret == "" {
		key.Key = []byte(rand.Text() + rand.Text())
		if err := printTokens(key, addr); err != nil {
			return err
		}
	}

	// snippet:server
	verifier, err := msejwt.New(&msejwt.Options{
		Keys:     []msejwt.Key{key},
		Audience: "media",
		Address:  func(ctx context.Context) string { return wsconn.Request(ctx).RemoteAddr },
		Logger:   slog.Default(),
	})
	if err != nil {
		return err
	}
	rooms := msepion.NewRooms(&msepion.RoomsOptions{Logger: slog.Default()})
	srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		ServerConfig: msejsonrpc.ServerConfig{WhoAmI: development, Chat: development},
		Authenticate: verifier.Authenticate,
		Handle:       rooms.Handle,
		OnExpired: func(s *msejsonrpc.ServerSession) {
			s.Close(transport.StatusPolicyViolation, "token expired")
		},
		Logger: slog.Default(),
	})
	defer srv.Close()
	http.Handle("/mse", wsconn.Handler(srv.Serve, nil))
	// end snippet

	http.Handle("/", mseviewer.Handler())
	web := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	log.Printf("serving on ws://%s/mse", addr)
	if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// printTokens signs tokens as a token service would.
func printTokens(key msejwt.Key, addr string) error {
	for _, user := range []string{"alice", "bob"} {
		now := time.Now()
		token, err := key.Sign(&msejwt.Claims{
			Audience: []string{"media"}, Domain: "example.org", RoomID: "lobby",
			UserID: user, Role: msejsonrpc.RoleUser, Agent: msejsonrpc.AgentWeb,
			IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		})
		if err != nil {
			return err
		}
		fmt.Printf("token of %s, for an hour:\n%s\nin a browser: http://%s/#token=%s\n\n", user, token, addr, token)
	}
	return nil
}
