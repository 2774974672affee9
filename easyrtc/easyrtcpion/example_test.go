package easyrtcpion_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// local keeps the example on the loopback interface.
func local() (s webrtc.SettingEngine) {
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	return s
}

// login logs in to a server in the same process; bots dial with package easyrtchttp.
func login(ctx context.Context, server *easyrtc.Server, name string) *easyrtc.Client {
	ours, theirs := transport.Pipe()
	go server.Serve(ctx, theirs)
	client, err := easyrtc.Connect(ctx, ours, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Login(ctx, &easyrtc.Login{Username: name}); err != nil {
		log.Fatal(err)
	}
	return client
}

// A bot that takes every call and sends back what it hears, and one that calls it.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
	defer server.Close()

	client := login(ctx, server, "parrot")
	defer client.Close()
	parrot := easyrtcpion.NewPeer(client, &easyrtcpion.Options{
		Settings: local(),
		OnCall: func(in *easyrtcpion.IncomingCall) {
			if _, err := in.Accept(); err != nil { // the caller has given up
				log.Print(err)
			}
		},
		OnData: func(c *easyrtcpion.Call, m *easyrtc.DataMessage) {
			bounded, cancel := context.WithTimeout(ctx, time.Second) // a hook must not wait for long
			defer cancel()
			_ = c.Send(bounded, m.MsgType, m.MsgData)
		},
	})
	go parrot.Run(ctx)

	heard := make(chan string)
	other := login(ctx, server, "caller")
	defer other.Close()
	caller := easyrtcpion.NewPeer(other, &easyrtcpion.Options{
		Settings: local(),
		OnData:   func(_ *easyrtcpion.Call, m *easyrtc.DataMessage) { heard <- m.MsgType + " " + string(m.MsgData) },
	})
	go caller.Run(ctx)

	call, err := caller.Call(ctx, client.EasyrtcID())
	if err != nil {
		log.Fatal(err)
	}
	if err := call.Send(ctx, "chat", []byte(`"hello"`)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-heard)
	fmt.Println(call.Close(), caller.Close(), parrot.Close())
	// Output:
	// chat "hello"
	// <nil> <nil> <nil>
}
