package easyrtc_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

func ExampleEncode() {
	offer, err := easyrtc.NewOffer("LkNTMJ87kL9kEmai", "v=0")
	if err != nil {
		fmt.Println(err)
		return
	}
	offer.ID = easyrtc.NumberID(7) // by which the acknowledgement is known; a Client counts
	b, err := easyrtc.Encode(offer)
	fmt.Println(string(b), err)
	// Output:
	// 27["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"LkNTMJ87kL9kEmai","msgData":{"type":"offer","sdp":"v=0"}}] <nil>
}

// What can be encoded need not make sense; Validate says why, and which member it is.
func ExampleMessage_validate() {
	m, err := easyrtc.Decode([]byte(`21["easyrtcCmd",{"msgType":"offer","msgData":{"type":"offer","sdp":"v=0"}}]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = m.Validate()
	if e, ok := errors.AsType[*easyrtc.ValidationError](err); ok {
		fmt.Println(e.Type, e.Field)
	}
	fmt.Println(err)
	// Output:
	// offer targetEasyrtcid
	// easyrtc: invalid offer: targetEasyrtcid: not a valid name
}

// Credentials do not belong into logs.
func ExampleRedact() {
	fmt.Println(string(easyrtc.Redact([]byte(
		`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"username":"alice","credential":{"password":"secret"}}}]`))))
	// Output:
	// 20["easyrtcAuth",{"msgType":"authenticate","msgData":{"username":"alice","credential":"[hidden]"}}]
}

// The machine of a client, driven by hand: whoever drives it sends and delivers what it asks
// for, and tells the time.
func ExampleClientMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := easyrtc.NewClientMachine(easyrtc.ClientConfig{})
	show := func(fx easyrtc.Effects, err error) {
		if err != nil {
			fmt.Println(err)
		}
		for _, m := range fx.Send {
			b, err := easyrtc.Encode(m)
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
	receive := func(wire string) {
		m, err := easyrtc.Decode([]byte(wire))
		if err != nil {
			fmt.Println(err)
			return
		}
		show(machine.Receive(now, m), nil)
	}
	show(machine.Start(now), nil)
	receive(`0{"sid":"DVysjo1v3TUibKlZAAAA"}`)
	show(machine.Send(now, (&easyrtc.Login{Application: "demo", Username: "alice"}).Message()))
	receive(`30[{"msgType":"error","msgData":{"errorCode":"LOGIN_BAD_AUTH","errorText":"no"}}]`)
	// Output:
	// send 0
	// opening
	// connected
	// send 20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","applicationName":"demo","username":"alice"}}]
	// authenticating
	// done *easyrtc.Authenticate: easyrtc: no (LOGIN_BAD_AUTH)
	// closed
}

// A machine is a server without connections: whoever drives it brings the messages, and
// carries out what it asks for.
func ExampleServerMachine() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	machine := easyrtc.NewServerMachine(easyrtc.ServerConfig{})
	var show func(fx easyrtc.ServerEffects)
	show = func(fx easyrtc.ServerEffects) {
		for _, q := range fx.Ask { // who may log in
			show(machine.Decide(now, q.Ticket, easyrtc.Decision{EasyrtcID: "alice-1"}))
		}
		for _, d := range fx.Send {
			switch m := d.Message.(type) {
			case *easyrtc.Token:
				fmt.Println("to", d.To, "token of", m.MsgData.EasyrtcID, "in", len(m.MsgData.RoomData), "room")
			default:
				fmt.Printf("to %d %T\n", d.To, d.Message)
			}
		}
		for _, c := range fx.Close {
			fmt.Println("close", c.Peer, c.Code)
		}
	}
	receive := func(wire string) {
		m, err := easyrtc.Decode([]byte(wire))
		if err != nil {
			fmt.Println(err)
			return
		}
		show(machine.Receive(now, 1, m))
		fmt.Println(machine.State(1))
	}
	show(machine.Connect(now, 1, easyrtc.Connection{}))
	receive(`0`)
	receive(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","username":"alice"}}]`)
	receive(`21["easyrtcCmd",{"msgType":"getRoomList"}]`)
	receive(`1`)
	// Output:
	// to 1 *easyrtc.ConnectPacket
	// connected true
	// to 1 token of alice-1 in 1 room
	// ready true
	// to 1 *easyrtc.RoomList
	// ready true
	// disconnected true
}
