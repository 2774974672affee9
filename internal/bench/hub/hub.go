// Package hub is a server of github.com/centrifugal/centrifuge, which is what people take who
// write their own signaling: it stands beside Galène in what both can do. Command serve runs it
// in a process of its own, so that nobody else has in memory what it links.
package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
)

// newServer is a server with the defaults of centrifuge, of which everybody may subscribe to and
// publish into every channel, and what ends it.
func newServer() (h http.Handler, shutdown func() error, err error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: new(centrifuge.Credentials)}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, done centrifuge.PublishCallback) {
			done(centrifuge.PublishReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return nil, nil, err
	}
	return centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}),
		func() error { return node.Shutdown(context.Background()) }, nil
}

// Serve serves on a port of loopback, which it tells as {"port":1234} on the standard output,
// until the standard input ends.
func Serve() error {
	handler, shutdown, err := newServer()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, shutdown())
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = shutdown()
		_ = web.Close()
	}()
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
