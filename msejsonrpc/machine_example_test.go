package msejsonrpc_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
)

// What can be encoded need not make sense; Validate says why, and which member it is.
func ExampleMessage_validate() {
	m, err := msejsonrpc.Decode([]byte(`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"version":"1.0"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = m.Validate()
	if e, ok := errors.AsType[*msejsonrpc.ValidationError](err); ok {
		fmt.Println(e.Type, e.Field)
	}
	fmt.Println(err)
	// Output:
	// auth params.token
	// msejsonrpc: invalid auth: params.token: missing
}

// The machine of a client, driven by hand: whoever drives it sends and delivers what it asks
// for, and tells the time.
func ExampleClientMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := msejsonrpc.NewClientMachine(msejsonrpc.ClientConfig{Token: "T"})
	show := func(fx msejsonrpc.Effects) {
		for _, m := range fx.Send {
			b, err := msejsonrpc.Encode(m)
			if err != nil {
				fmt.Println(err)
			}
			fmt.Println("send", string(b))
		}
		fmt.Println(machine.State())
	}
	answer := func(id uint64, result string) {
		show(machine.Receive(now, &msejsonrpc.Response{ID: msejsonrpc.NumberID(id), Result: []byte(result)}))
	}
	show(machine.Start(now))
	answer(1, `"authenticated"`)
	answer(2, `"started"`)
	at, _ := machine.Deadline()
	fmt.Println("something happens in", at.Sub(now))
	show(machine.Expire(at)) // a ping
	// Output:
	// send {"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"T","version":"1.0"}}
	// authenticating
	// send {"id":2,"method":"start","jsonrpc":"2.0"}
	// starting
	// active
	// something happens in 20s
	// send {"id":3,"method":"ping","jsonrpc":"2.0"}
	// active
}

// A machine is a server without connections: whoever drives it brings the messages, and
// carries out what it asks for.
func ExampleServerMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := msejsonrpc.NewServerMachine(msejsonrpc.ServerConfig{})
	var show func(fx msejsonrpc.ServerEffects)
	show = func(fx msejsonrpc.ServerEffects) {
		for _, d := range fx.Send {
			b, err := msejsonrpc.Encode(d.Message)
			if err != nil {
				fmt.Println(err)
			}
			fmt.Println("to", d.To, string(b))
		}
		for _, q := range fx.Ask { // whether the token is good, and whether it may start
			show(machine.Decide(now, q.Ticket, msejsonrpc.Decision{Identity: &msejsonrpc.Identity{UserID: "u7"}}))
		}
		for _, d := range fx.Deliver {
			fmt.Printf("from %d to the application: %T\n", d.To, d.Message)
		}
	}
	receive := func(wire string) {
		m, err := msejsonrpc.Decode([]byte(wire))
		if err != nil {
			fmt.Println(err)
			return
		}
		show(machine.Receive(now, 1, m))
	}
	show(machine.Connect(now, 1, msejsonrpc.Connection{}))
	receive(`{"id":1,"method":"start","jsonrpc":"2.0"}`) // too early
	receive(`{"id":2,"method":"auth","jsonrpc":"2.0","params":{"token":"T","version":"1.0"}}`)
	receive(`{"id":3,"method":"start","jsonrpc":"2.0"}`)
	receive(`{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":""}}`)
	fmt.Println(machine.State(1))
	// Output:
	// to 1 {"id":1,"jsonrpc":"2.0","error":{"code":-6001,"message":"Invalid Call Order","data":{"required":"auth"}}}
	// to 1 {"id":2,"jsonrpc":"2.0","result":"authenticated"}
	// to 1 {"id":3,"jsonrpc":"2.0","result":"started"}
	// from 1 to the application: *msejsonrpc.ICECandidate
	// active true
}

// A server looks at tokens, says who may start, and has a session for each client.
func ExampleServer() {
	sessions := make(chan string, 1)
	server := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		ServerConfig: msejsonrpc.ServerConfig{WhoAmI: true},
		Authenticate: func(_ context.Context, _ *msejsonrpc.ServerSession, auth *msejsonrpc.Auth) (*msejsonrpc.Identity, error) {
			return &msejsonrpc.Identity{UserID: auth.Token, RoomID: "lobby"}, nil // see package msejwt
		},
		Handle: func(ctx context.Context, s *msejsonrpc.ServerSession) error {
			sessions <- s.Identity().UserID
			<-ctx.Done()
			return nil
		},
	})
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), far) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := msejsonrpc.Connect(ctx, near, &msejsonrpc.ClientOptions{Token: "alice"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("session of", <-sessions)
	me, err := client.WhoAmI(ctx)
	if err == nil {
		fmt.Println(me.UserID, me.RoomID)
	}
	fmt.Println(err, client.Disconnect(), <-served, server.Close())
	// Output:
	// session of alice
	// alice lobby
	// <nil> <nil> <nil> <nil>
}
