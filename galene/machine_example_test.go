package galene_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
)

// What can be encoded need not make sense; Validate says why, and which member it is.
func ExampleMessage_validate() {
	m, err := galene.Decode([]byte(`{"type":"offer","label":"camera","sdp":"v=0"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = m.Validate()
	if e, ok := errors.AsType[*galene.ValidationError](err); ok {
		fmt.Println(e.Type, e.Field)
	}
	fmt.Println(err)
	// Output:
	// offer id
	// galene: invalid offer: id: missing
}

// Passwords and tokens do not belong into logs.
func ExampleRedact() {
	fmt.Println(string(galene.Redact([]byte(`{"type":"join","group":"lab","username":"ada","password":"sesame"}`))))
	// Output:
	// {"type":"join","kind":"","username":"ada","password":"[hidden]","group":"lab"}
}

// The machine of a client, driven by hand: whoever drives it sends and delivers what it asks
// for, and tells the time.
func ExampleClientMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := galene.NewClientMachine(galene.ClientConfig{NewID: func() string { return "a1b2" }})
	show := func(fx galene.Effects, err error) {
		if err != nil {
			fmt.Println(err)
		}
		for _, m := range fx.Send {
			b, err := galene.Encode(m)
			if err != nil {
				fmt.Println(err)
			}
			fmt.Println("send", string(b))
		}
		for _, r := range fx.Done {
			fmt.Printf("done %T: %v\n", r.Request, r.Err)
		}
		fmt.Println(machine.State())
	}
	show(machine.Start(now), nil)
	show(machine.Receive(now, &galene.Handshake{Version: []string{galene.Version}}), nil)
	show(machine.Send(now, &galene.Chat{Value: galene.NewText("too early")}))
	show(machine.Send(now, &galene.Join{Kind: galene.JoinJoin, Group: "lab", Username: new("ada")}))
	show(machine.Receive(now, &galene.Joined{Kind: galene.JoinedFail, Group: "lab", Value: "not authorised"}), nil)
	// Output:
	// send {"type":"handshake","version":["2"],"id":"a1b2"}
	// handshaking
	// ready
	// galene: cannot send chat while ready (only while joined)
	// ready
	// send {"type":"join","kind":"join","username":"ada","group":"lab"}
	// joining
	// done *galene.Join: galene: not authorised
	// ready
}

// A machine is a server without connections: whoever drives it brings the messages, and
// carries out what it asks for.
func ExampleServerMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := galene.NewServerMachine(galene.ServerConfig{})
	var show func(fx galene.ServerEffects)
	show = func(fx galene.ServerEffects) {
		for _, d := range fx.Send {
			b, err := galene.Encode(d.Message)
			if err != nil {
				fmt.Println(err)
			}
			fmt.Println("to", d.To, string(b))
		}
		for _, q := range fx.Ask { // who may join
			join := q.Message.(*galene.Join)
			show(machine.Decide(now, q.Ticket, galene.Decision{
				Group: &galene.Group{Name: join.Group},
				Grant: galene.Grant{Username: *join.Username, Permissions: galene.Permissions{galene.PermissionMessage}},
			}))
		}
	}
	for id, name := range []string{"ada", "bob"} {
		id := galene.PeerID(id)
		show(machine.Connect(now, id, galene.Connection{}))
		show(machine.Receive(now, id, &galene.Handshake{Version: []string{galene.Version}, ID: name + "-1"}))
		show(machine.Receive(now, id, &galene.Join{Kind: galene.JoinJoin, Group: "lab", Username: &name}))
	}
	show(machine.Receive(now, 0, &galene.Chat{Source: "ada-1", Username: new("ada"), Dest: "bob-1", Value: galene.NewText("hello")}))
	show(machine.Disconnect(now, 1))
	// Output:
	// to 0 {"type":"handshake","version":["2"]}
	// to 0 {"type":"joined","kind":"join","username":"ada","permissions":["message"],"status":{"name":"lab","clientCount":1},"group":"lab","rtcConfiguration":{}}
	// to 0 {"type":"user","kind":"add","id":"ada-1","username":"ada","permissions":["message"]}
	// to 1 {"type":"handshake","version":["2"]}
	// to 1 {"type":"joined","kind":"join","username":"bob","permissions":["message"],"status":{"name":"lab","clientCount":2},"group":"lab","rtcConfiguration":{}}
	// to 1 {"type":"user","kind":"add","id":"bob-1","username":"bob","permissions":["message"]}
	// to 1 {"type":"user","kind":"add","id":"ada-1","username":"ada","permissions":["message"]}
	// to 0 {"type":"user","kind":"add","id":"bob-1","username":"bob","permissions":["message"]}
	// to 1 {"type":"chat","source":"ada-1","dest":"bob-1","username":"ada","value":"hello","time":"2000-01-01T00:00:00Z"}
	// to 0 {"type":"user","kind":"delete","id":"bob-1","username":"bob"}
}

// A server has groups, of which it tells those who look for one, and members, whom the
// application can tell something.
func ExampleServer() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := newServer()
	status, err := server.Status(ctx, "demo")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.DisplayName)
	bob, err := join(ctx, server, "bob", "guess")
	if err != nil {
		fmt.Println(err)
		return
	}
	for s := range server.Sessions() {
		fmt.Println(server.Send(s.ID(), &galene.UserMessage{
			Kind: galene.UserMessageInfo, Privileged: true, Value: galene.NewText("the room closes soon"),
		}))
	}
	for m, err := range bob.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		if said, ok := m.(*galene.UserMessage); ok {
			text, _ := galene.Text(said.Value)
			fmt.Println("bob reads:", text)
			_ = bob.Close() // which ends the loop
		}
	}
	_, err = join(ctx, server, "alice", "wrong")
	fmt.Println(err, errors.Is(err, galene.ErrNotAuthorised), server.Close())
	// Output:
	// A demonstration
	// <nil>
	// bob reads: the room closes soon
	// galene: not authorised true <nil>
}
