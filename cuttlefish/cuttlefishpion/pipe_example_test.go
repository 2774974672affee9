package cuttlefishpion_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// local keeps the example on the loopback interface.
func local() (s webrtc.SettingEngine) {
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	return s
}

// A device, a client that presses its home button, and the server between them, in one
// process. Over a network the connections come from package cuttlefishhttp.
func Example() {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	server := cuttlefish.NewServer(nil)
	defer server.Close()
	pipe := func(serve func(context.Context, transport.Conn) error) transport.Conn {
		near, far := transport.Pipe()
		go serve(ctx, far)
		return near
	}

	registered, err := cuttlefish.ConnectDevice(ctx, pipe(server.ServeDevice), "cvd-1", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer registered.Close()
	pressed := make(chan cuttlefish.ControlCommand, 1)
	device := cuttlefishpion.NewDevice(registered, &cuttlefishpion.DeviceOptions{
		Settings:  local(),
		OnControl: func(_ *cuttlefishpion.DevicePeer, c cuttlefish.ControlCommand) { pressed <- c },
	})
	defer device.Close()
	go device.Run(ctx)

	connected, err := cuttlefish.ConnectClient(ctx, pipe(server.ServeClient), "cvd-1", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer connected.Close()
	var client *cuttlefishpion.Client
	client = cuttlefishpion.NewClient(connected, &cuttlefishpion.ClientOptions{
		Settings: local(),
		OnState: func(s webrtc.PeerConnectionState) {
			if s == webrtc.PeerConnectionStateConnected {
				err := client.SendControl(&cuttlefish.ButtonCommand{Button: cuttlefish.ButtonHome, State: cuttlefish.ButtonDown})
				if err != nil {
					log.Print(err)
				}
			}
		},
	})
	defer client.Close()
	go client.Run(ctx)

	command := (<-pressed).(*cuttlefish.ButtonCommand)
	fmt.Println(command.Button, command.State)
	stop()
	// Output: home down
}
