package cuttlefish_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/transport"
)

// What can be encoded need not make sense; Validate says why, and which member it is.
func ExampleMessage_validate() {
	m, err := cuttlefish.Decode([]byte(`{"message_type":"connect","device_id":""}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = m.Validate()
	if e, ok := errors.AsType[*cuttlefish.ValidationError](err); ok {
		fmt.Println(e.Type, e.Field)
	}
	fmt.Println(err)
	// Output:
	// connect device_id
	// cuttlefish: invalid connect: device_id: missing
}

// The machine of a device, driven by hand: whoever drives it sends and delivers what it asks
// for, and tells the time.
func ExampleDeviceMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := cuttlefish.NewDeviceMachine(cuttlefish.DeviceConfig{DeviceID: "cvd-1"})
	show := func(fx cuttlefish.Effects) {
		for _, m := range fx.Send {
			b, err := cuttlefish.Encode(m)
			fmt.Println("send", string(b), err)
		}
		for _, m := range fx.Deliver {
			fmt.Printf("deliver %T\n", m)
		}
		fmt.Println(machine.State())
	}
	show(machine.Start(now))
	at, _ := machine.Deadline()
	fmt.Println("the config must be here in", at.Sub(now))
	show(machine.Receive(now, &cuttlefish.Config{}))
	show(machine.Receive(now, &cuttlefish.ClientMsg{ClientID: 1, Payload: []byte(`{"type":"request-offer"}`)}))
	// Output:
	// send {"message_type":"register","device_id":"cvd-1"} <nil>
	// registering
	// the config must be here in 10s
	// deliver *cuttlefish.Config
	// registered
	// deliver *cuttlefish.ClientMsg
	// registered
}

// The machine of a client in today's dialect, whose config comes over HTTP.
func ExampleClientMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := cuttlefish.NewClientMachine(cuttlefish.ClientConfig{
		DeviceID: "cvd-1", Dialect: cuttlefish.DialectOperator,
	})
	machine.Start(now)
	fmt.Println(machine.State())
	fx := machine.Receive(now, &cuttlefish.DeviceInfoMsg{})
	fmt.Println(machine.State(), len(fx.Deliver))
	fx = machine.Receive(now, &cuttlefish.Error{Text: "Device disconnected"})
	fmt.Println(machine.State(), fx.Close.Err)
	// Output:
	// waiting
	// ready 1
	// closed cuttlefish: peer says: Device disconnected
}

// A machine is a server without connections: whoever drives it brings the messages, and
// carries out what it asks for.
func ExampleServerMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := cuttlefish.NewServerMachine(cuttlefish.ServerConfig{})
	var show func(fx cuttlefish.ServerEffects)
	show = func(fx cuttlefish.ServerEffects) {
		for _, d := range fx.Send {
			b, err := cuttlefish.Encode(d.Message)
			if err != nil {
				fmt.Println(err)
			}
			fmt.Println("to", d.To, string(b))
		}
		for _, q := range fx.Ask { // whether it may come
			show(machine.Decide(now, q.Ticket, cuttlefish.Decision{}))
		}
	}
	const device, client = 1, 2
	show(machine.Connect(now, device, cuttlefish.Connection{Role: cuttlefish.RoleDevice}))
	show(machine.Connect(now, client, cuttlefish.Connection{Role: cuttlefish.RoleClient}))
	show(machine.Receive(now, device, &cuttlefish.Register{DeviceID: "cvd-1"}))
	show(machine.Receive(now, client, &cuttlefish.Connect{DeviceID: "cvd-1"}))
	show(machine.Receive(now, client, &cuttlefish.Forward{Payload: []byte(`{"type":"request-offer"}`)}))
	fmt.Println(machine.State(client))
	show(machine.Disconnect(now, client))
	// Output:
	// to 1 {"message_type":"config","ice_servers":[]}
	// to 2 {"message_type":"config","ice_servers":[]}
	// to 2 {"message_type":"device_info","device_info":null}
	// to 1 {"message_type":"client_msg","client_id":1,"payload":{"type":"request-offer"}}
	// attached true
	// to 1 {"message_type":"client_disconnected","client_id":1}
}

// A device, a client and the server between them, over memory. Over a network the
// connections come from package cuttlefishhttp.
func ExampleServer() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := cuttlefish.NewServer(&cuttlefish.ServerOptions{
		ICEServers: []cuttlefish.ICEServer{{URLs: []string{"stun:stun.example.org"}}},
		AuthorizeClient: func(_ context.Context, _ *cuttlefish.ServerSession, c *cuttlefish.Connect) error {
			if c.DeviceID != "cvd-1" {
				return &cuttlefish.Error{Text: "not for you"}
			}
			return nil
		},
	})
	pipe := func(serve func(context.Context, transport.Conn) error) transport.Conn {
		near, far := transport.Pipe()
		go func() { _ = serve(context.Background(), far) }()
		return near
	}
	device, err := cuttlefish.ConnectDevice(ctx, pipe(server.ServeDevice), "cvd-1", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := cuttlefish.ConnectClient(ctx, pipe(server.ServeClient), "cvd-1", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := client.SendPayload(&cuttlefish.RequestOffer{}); err != nil {
		fmt.Println(err)
	}
	for m, err := range device.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if m, ok := m.(*cuttlefish.ClientMsg); ok {
			fmt.Printf("device: client %d says %s\n", m.ClientID, m.Payload)
			fmt.Println(device.SendPayload(m.ClientID, &cuttlefish.Offer{SDP: "v=0"}))
			break
		}
	}
	for m, err := range client.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if m, ok := m.(*cuttlefish.DeviceMsg); ok {
			fmt.Printf("client: the device says %s\n", m.Payload)
			break
		}
	}
	_, err = cuttlefish.ConnectClient(ctx, pipe(server.ServeClient), "cvd-2", nil)
	fmt.Println(err)
	fmt.Println(client.Close(), device.Close(), server.Close())
	// Output:
	// device: client 1 says {"type":"request-offer"}
	// <nil>
	// client: the device says {"type":"offer","sdp":"v=0"}
	// cuttlefish: connect to device "cvd-2": cuttlefish: peer says: not for you
	// <nil> <nil> <nil>
}

// Credentials of TURN servers do not belong into logs.
func ExampleRedact() {
	fmt.Println(string(cuttlefish.Redact([]byte(
		`{"message_type":"config","ice_servers":[{"urls":["turn:turn.example.org"],"username":"u","credential":"secret"}]}`))))
	// Output:
	// {"message_type":"config","ice_servers":[{"urls":["turn:turn.example.org"],"username":"[hidden]","credential":"[hidden]"}]}
}

// A client hears what its device has registered, then what the device says, and at the end
// why it ended.
func ExampleConnectClient() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := cuttlefish.NewServer(nil)
	near, far := transport.Pipe()
	go func() { _ = server.ServeDevice(context.Background(), far) }()
	device, err := cuttlefish.ConnectDevice(ctx, near, "cvd-1", &cuttlefish.DeviceOptions{DeviceInfo: []byte(`{"displays":[]}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	near, far = transport.Pipe()
	go func() { _ = server.ServeClient(context.Background(), far) }()
	client, err := cuttlefish.ConnectClient(ctx, near, "cvd-1", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.State(), string(client.DeviceInfo()))
	_ = device.Close()
	for m, err := range client.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		if m, ok := m.(*cuttlefish.DeviceMsg); ok {
			fmt.Printf("the device says %s\n", m.Payload)
		}
	}
	fmt.Println(client.Close(), server.Close())
	// Output:
	// ready {"displays":[]}
	// cuttlefish: peer says: Device disconnected
	// <nil> <nil>
}
