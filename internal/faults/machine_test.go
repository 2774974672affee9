package faults

import (
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// A machine is a server's, of any protocol. Whatever it asks is allowed.
type machine struct {
	connect    func(now time.Time, id int)
	disconnect func(now time.Time, id int)
	receive    func(now time.Time, id int, text string) error
	deadline   func() (time.Time, bool)
	expire     func(now time.Time)
	len        func() int

	// silence is after how long of it a member is closed; 0 for never.
	silence time.Duration
	enter   func(id int) []string // what a client says to be in the room
	say     func(id int) string   // what it says there

	sent   int         // messages since this was last cleared
	closed map[int]int // how often a connection was to be closed
}

func newMachine() *machine { return &machine{closed: make(map[int]int)} }

func newCuttlefishMachine() *machine {
	r, m := newMachine(), cuttlefish.NewServerMachine(cuttlefish.ServerConfig{WaitForDevice: true})
	var apply func(now time.Time, fx cuttlefish.ServerEffects)
	apply = func(now time.Time, fx cuttlefish.ServerEffects) {
		r.sent += len(fx.Send)
		for _, c := range fx.Close {
			r.closed[int(c.Peer)]++
		}
		for _, q := range fx.Ask {
			apply(now, m.Decide(now, q.Ticket, cuttlefish.Decision{}))
		}
	}
	r.connect = func(now time.Time, id int) {
		role := cuttlefish.RoleClient
		if id == 1 {
			role = cuttlefish.RoleDevice
		}
		apply(now, m.Connect(now, cuttlefish.PeerID(id), cuttlefish.Connection{Role: role}))
	}
	r.disconnect = func(now time.Time, id int) { apply(now, m.Disconnect(now, cuttlefish.PeerID(id))) }
	r.receive = func(now time.Time, id int, text string) error {
		msg, err := cuttlefish.Decode([]byte(text))
		if err == nil {
			apply(now, m.Receive(now, cuttlefish.PeerID(id), msg))
		}
		return err
	}
	r.deadline, r.len = m.Deadline, m.Len
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	r.enter = func(id int) []string {
		if id == 1 {
			return []string{`{"message_type":"register","device_id":"lobby"}`}
		}
		return []string{`{"message_type":"connect","device_id":"lobby"}`}
	}
	r.say = func(id int) string {
		if id == 1 {
			return `{"message_type":"forward","client_id":1,"payload":1}`
		}
		return `{"message_type":"forward","payload":1}`
	}
	return r
}

func newEasyrtcMachine() *machine {
	r, m := newMachine(), easyrtc.NewServerMachine(easyrtc.ServerConfig{
		NewID: easyrtc.NewEasyrtcID, NewSID: easyrtc.NewEasyrtcID, StillAliveInterval: time.Minute,
	})
	r.silence = time.Minute + 10*time.Second // its grace
	var apply func(now time.Time, fx easyrtc.ServerEffects)
	apply = func(now time.Time, fx easyrtc.ServerEffects) {
		r.sent += len(fx.Send)
		for _, c := range fx.Close {
			r.closed[int(c.Peer)]++
		}
		for _, q := range fx.Ask {
			apply(now, m.Decide(now, q.Ticket, easyrtc.Decision{EasyrtcID: q.Client.EasyrtcID}))
		}
	}
	r.connect = func(now time.Time, id int) {
		apply(now, m.Connect(now, easyrtc.PeerID(id), easyrtc.Connection{EngineIO: 4}))
	}
	r.disconnect = func(now time.Time, id int) { apply(now, m.Disconnect(now, easyrtc.PeerID(id))) }
	r.receive = func(now time.Time, id int, text string) error {
		msg, err := easyrtc.Decode([]byte(text))
		if err == nil {
			apply(now, m.Receive(now, easyrtc.PeerID(id), msg))
		}
		return err
	}
	r.deadline, r.len = m.Deadline, m.Len
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	r.enter = func(int) []string {
		return []string{`0`, `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta"}}]`}
	}
	r.say = func(int) string {
		return `21["easyrtcMsg",{"msgType":"say","targetRoom":"default","msgData":1}]`
	}
	return r
}

func newGaleneMachine() *machine {
	r, m := newMachine(), galene.NewServerMachine(galene.ServerConfig{})
	r.silence = galene.DeadAfter
	var apply func(now time.Time, fx galene.ServerEffects)
	apply = func(now time.Time, fx galene.ServerEffects) {
		r.sent += len(fx.Send)
		for _, c := range fx.Close {
			r.closed[int(c.Peer)]++
		}
		for _, q := range fx.Ask {
			apply(now, m.Decide(now, q.Ticket, galene.Decision{
				Group: &galene.Group{Name: room}, Grant: galene.Grant{Username: "u", Permissions: []galene.Permission{"message"}},
			}))
		}
	}
	r.connect = func(now time.Time, id int) {
		apply(now, m.Connect(now, galene.PeerID(id), galene.Connection{}))
	}
	r.disconnect = func(now time.Time, id int) { apply(now, m.Disconnect(now, galene.PeerID(id))) }
	r.receive = func(now time.Time, id int, text string) error {
		msg, err := galene.Decode([]byte(text))
		if err == nil {
			apply(now, m.Receive(now, galene.PeerID(id), msg))
		}
		return err
	}
	r.deadline, r.len = m.Deadline, m.Len
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	r.enter = func(id int) []string {
		return []string{
			fmt.Sprintf(`{"type":"handshake","version":["2"],"id":"c%d"}`, id),
			`{"type":"join","kind":"join","group":"lobby","username":"u"}`,
		}
	}
	r.say = func(int) string { return `{"type":"chat","value":"x"}` }
	return r
}

func newMediasoupMachine() *machine {
	r, m := newMachine(), mediasoupproto.NewServerMachine(mediasoupproto.ServerConfig{})
	var apply func(now time.Time, fx mediasoupproto.ServerEffects)
	apply = func(now time.Time, fx mediasoupproto.ServerEffects) {
		r.sent += len(fx.Send)
		for _, c := range fx.Close {
			r.closed[int(c.Peer)]++
		}
		for _, q := range fx.Ask {
			apply(now, m.Decide(now, q.Ticket, mediasoupproto.Decision{Result: []byte("1")}))
		}
	}
	r.connect = func(now time.Time, id int) {
		apply(now, m.Connect(now, mediasoupproto.PeerID(id), mediasoupproto.Connection{Room: room}))
	}
	r.disconnect = func(now time.Time, id int) { apply(now, m.Disconnect(now, mediasoupproto.PeerID(id))) }
	r.receive = func(now time.Time, id int, text string) error {
		msg, err := mediasoupproto.Decode([]byte(text))
		if err == nil {
			apply(now, m.Receive(now, mediasoupproto.PeerID(id), msg))
		}
		return err
	}
	r.deadline, r.len = m.Deadline, m.Len
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	r.enter = func(id int) []string {
		caps, err := mediasoupproto.Encode(&mediasoupproto.Join{
			Head: mediasoupproto.Head{RequestID: "1"}, PeerName: fmt.Sprint("p", id),
			RTPCapabilities: mediasoupproto.DefaultCapabilities(),
		})
		if err != nil {
			panic(err) // the row is wrong
		}
		return []string{string(caps)}
	}
	r.say = func(int) string { return `{"request":true,"id":2,"method":"say","data":1}` }
	return r
}

func newMSEMachine() *machine {
	r, m := newMachine(), msejsonrpc.NewServerMachine(msejsonrpc.ServerConfig{Chat: true})
	var apply func(now time.Time, fx msejsonrpc.ServerEffects)
	apply = func(now time.Time, fx msejsonrpc.ServerEffects) {
		r.sent += len(fx.Send)
		for _, c := range fx.Close {
			r.closed[int(c.Peer)]++
		}
		for _, q := range fx.Ask {
			apply(now, m.Decide(now, q.Ticket, msejsonrpc.Decision{Identity: &msejsonrpc.Identity{RoomID: room}}))
		}
	}
	r.connect = func(now time.Time, id int) {
		apply(now, m.Connect(now, msejsonrpc.PeerID(id), msejsonrpc.Connection{}))
	}
	r.disconnect = func(now time.Time, id int) { apply(now, m.Disconnect(now, msejsonrpc.PeerID(id))) }
	r.receive = func(now time.Time, id int, text string) error {
		msg, err := msejsonrpc.Decode([]byte(text))
		if err == nil {
			apply(now, m.Receive(now, msejsonrpc.PeerID(id), msg))
		}
		return err
	}
	r.deadline, r.len = m.Deadline, m.Len
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	r.enter = func(int) []string {
		var f msejsonrpc.RequestFactory
		var texts []string
		for _, m := range []msejsonrpc.Message{f.Auth("T"), f.Start()} {
			text, err := msejsonrpc.Encode(m)
			if err != nil {
				panic(err) // the row is wrong
			}
			texts = append(texts, string(text))
		}
		return texts
	}
	r.say = func(int) string { return `{"jsonrpc":"2.0","method":"ping","id":9}` }
	return r
}
