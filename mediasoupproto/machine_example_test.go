package mediasoupproto_test

import (
	"context"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/transport"
)

// Keys do not belong into logs.
func ExampleRedact() {
	fmt.Println(string(mediasoupproto.Redact([]byte(
		`{"response":true,"id":5,"ok":true,"data":{"iceParameters":{"usernameFragment":"abcd","password":"secret","iceLite":true}}}`))))
	// Output:
	// {"data":{"iceParameters":{"iceLite":true,"password":"[hidden]","usernameFragment":"abcd"}},"id":5,"ok":true,"response":true}
}

// A server asks the application who may join, and lets it tell and throw out whom it likes.
func ExampleServer() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		Authenticate: func(_ context.Context, _ *mediasoupproto.ServerSession, j *mediasoupproto.Join) error {
			if j.PeerName == "mallory" {
				return &mediasoupproto.Error{Code: 403, Reason: "not you"}
			}
			return nil
		},
	})
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), far) }()
	client, err := mediasoupproto.Connect(ctx, near, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	capabilities := mediasoupproto.DefaultCapabilities()
	_, err = client.Join(ctx, &mediasoupproto.Join{PeerName: "mallory", RTPCapabilities: capabilities})
	fmt.Println(err, client.State())
	_, err = client.Join(ctx, &mediasoupproto.Join{PeerName: "alice", RTPCapabilities: capabilities})
	fmt.Println(err, client.State())
	fmt.Println(server.Session("", "alice").ClosePeer(nil))
	m, err := client.Next(ctx)
	fmt.Printf("%T %v %v\n", m, err, client.State())
	fmt.Println(client.Close(), <-served, server.Close())
	// Output:
	// mediasoupproto: not you (403) new
	// <nil> joined
	// <nil>
	// *mediasoupproto.Closed <nil> left
	// <nil> <nil> <nil>
}
