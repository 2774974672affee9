package easyrtc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// enter connects a client to a server over memory and logs it in. Over a network the
// connection comes from package enginehttp.
func enter(ctx context.Context, server *easyrtc.Server, l *easyrtc.Login) (*easyrtc.Client, error) {
	near, far := transport.Pipe()
	go func() { _ = server.Serve(context.Background(), far) }()
	client, err := easyrtc.Connect(ctx, near, nil)
	if err != nil {
		return nil, err
	}
	if _, err := client.Login(ctx, l); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// A packet of Socket.IO becomes a message of the protocol.
func ExampleDecode() {
	for _, packet := range []string{
		`20["easyrtcCmd",{"msgType":"offer","senderEasyrtcid":"bob","msgData":{"type":"offer","sdp":"v=0"}}]`,
		`30[{"msgType":"error","serverTime":1795217364552,"msgData":{"errorCode":"LOGIN_BAD_AUTH","errorText":"no"}}]`,
		`21["easyrtcMsg",{"msgType":"chat","msgType":"twice"}]`,
	} {
		m, err := easyrtc.Decode([]byte(packet))
		if err != nil {
			fmt.Println(err)
			continue
		}
		switch m := m.(type) {
		case *easyrtc.Offer:
			d, err := m.SessionDescription()
			fmt.Println("an offer of", m.SenderEasyrtcID, d.SDP, err)
		case *easyrtc.ErrorMessage:
			fmt.Println("refused:", m.MsgData.ErrorCode)
		}
	}
	// Output:
	// an offer of bob v=0 <nil>
	// refused: LOGIN_BAD_AUTH
	// easyrtc: decode: duplicate member name at byte 32
}

// A message of a WebSocket, as the tools of a browser show it, is a packet of Engine.IO.
func ExampleDecode_frame() {
	frame := []byte(`42["easyrtcCmd",{"msgType":"offer","senderEasyrtcid":"bob","msgData":{"type":"offer","sdp":"v=0"}}]`)
	p, err := engineio.ParsePacket(engineio.V4, transport.Text, frame)
	if err != nil || p.Type != engineio.Message { // a ping, say
		fmt.Println(p.Type, err)
		return
	}
	m, err := easyrtc.Decode(p.Data)
	if offer, ok := m.(*easyrtc.Offer); ok {
		d, err := offer.SessionDescription()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(offer.SenderEasyrtcID, "offers", len(d.SDP), "bytes of SDP")
	}
	fmt.Println(err)
	// Output:
	// bob offers 3 bytes of SDP
	// <nil>
}

// Two clients meet in a room, and one calls the other.
func ExampleClient() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
	alice, err := enter(ctx, server, &easyrtc.Login{Application: "demo", Username: "alice", Rooms: []string{"lobby"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	bob, err := enter(ctx, server, &easyrtc.Login{Application: "demo", Username: "bob", Rooms: []string{"lobby"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	isAlice := func(o *easyrtc.Occupant) bool { return o.Username != nil && *o.Username == "alice" }
	callee, err := bob.AwaitOccupant(ctx, "lobby", isAlice)
	if err != nil {
		fmt.Println(err)
		return
	}
	offer, err := easyrtc.NewOffer(callee.EasyrtcID, "v=0")
	if err == nil {
		_, err = bob.Call(ctx, offer)
	}
	fmt.Println("the server has it:", err == nil)
	for m, err := range alice.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if offer, ok := m.(*easyrtc.Offer); ok {
			caller := alice.Occupants("lobby")[offer.SenderEasyrtcID]
			fmt.Println(*caller.Username, "calls")
			_ = alice.Close() // which ends the loop
		}
	}
	_, err = bob.Call(ctx, &easyrtc.Hangup{TargetEasyrtcID: callee.EasyrtcID})
	fmt.Println(err, errors.Is(err, easyrtc.ErrNoTarget))
	fmt.Println(bob.Close(), server.Close())
	// Output:
	// the server has it: true
	// bob calls
	// easyrtc: Message rejected. Target easyrtcid is invalid, not using same application, or no longer online. (MSG_REJECT_TARGET_EASYRTCID) true
	// <nil> <nil>
}

// A server asks the application who may log in and what a room needs, and answers messages
// that have no other target.
func ExampleServer() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := easyrtc.NewServer(&easyrtc.ServerOptions{
		Authenticate: func(_ context.Context, _ *easyrtc.ServerSession, l *easyrtc.LoginRequest) error {
			var credential struct{ Password string }
			if json.Unmarshal(l.Credential, &credential) != nil || credential.Password != "secret" {
				return easyrtc.ErrLoginBadAuth
			}
			l.Username = "alice" // whatever the client says
			return nil
		},
		AuthorizeRoomJoin: func(_ context.Context, _ *easyrtc.ServerSession, r *easyrtc.RoomEntry) error {
			if r.Room == "staff" {
				return &easyrtc.Error{ErrorCode: "STAFF_ONLY", ErrorText: r.Client.Username + " is no staff"}
			}
			return nil
		},
		Message: func(_ context.Context, _ *easyrtc.ServerSession, m *easyrtc.Msg) (*easyrtc.Msg, error) {
			return &easyrtc.Msg{MsgType: "echo", MsgData: m.MsgData}, nil
		},
	})
	_, err := enter(ctx, server, &easyrtc.Login{Username: "mallory"})
	fmt.Println(err)
	client, err := enter(ctx, server, &easyrtc.Login{Credential: json.RawMessage(`{"password":"secret"}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.JoinRoom(ctx, "staff", nil)
	fmt.Println(err)
	answer, err := client.SendToServer(ctx, "ping", json.RawMessage(`"hello"`))
	if m, ok := answer.(*easyrtc.Msg); ok {
		fmt.Println(m.MsgType, string(m.MsgData), err)
	}
	fmt.Println(server.Rooms("default")["default"].NumberClients, "client")
	fmt.Println(client.Close(), server.Close())
	// Output:
	// easyrtc: Authentication for application failed. Socket will be disconnected. (LOGIN_BAD_AUTH)
	// easyrtc: alice is no staff (STAFF_ONLY)
	// echo "hello" <nil>
	// 1 client
	// <nil> <nil>
}

// The server application tells its clients something.
func ExampleServer_SendTo() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
	client, err := enter(ctx, server, &easyrtc.Login{Username: "alice"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range server.Occupants("default", "default") {
		if err := server.SendTo(o.EasyrtcID, &easyrtc.Msg{MsgType: "news", MsgData: json.RawMessage(`"hello"`)}); err != nil {
			fmt.Println(err)
		}
	}
	m, err := client.Next(ctx)
	if m, ok := m.(*easyrtc.Msg); ok {
		fmt.Println(m.MsgType, string(m.MsgData), m.SenderEasyrtcID == "", err)
	}
	fmt.Println(client.Close(), server.Close())
	// Output:
	// news "hello" true <nil>
	// <nil> <nil>
}
