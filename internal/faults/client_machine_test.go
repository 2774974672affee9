package faults

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// A clientMachine is a client's, of any protocol, with as much of a server as lets it in. The
// server is mute unless it is being asked to let somebody in.
type clientMachine struct {
	start    func(now time.Time) // on a new connection, up to the end of the handshake
	enter    func(now time.Time) // makes a newcomer a member; nil where start does
	hear     func(now time.Time) // the server says something for the application
	call     func(now time.Time) error
	lost     func(now time.Time)
	deadline func() (time.Time, bool)
	expire   func(now time.Time)

	handshake time.Duration // after which a newcomer gives up; 0 for never
	patience  time.Duration // that a call has; 0 where nothing is called
	beat      time.Duration // after which a member says something by itself; 0 for never
	silence   time.Duration // that a member bears; 0 for any

	mute                       bool // the server does not let anybody in
	sent, heard, closed, calls int  // how often; calls are those that are over
}

// newClientMachines are what makes the client machines there are.
var newClientMachines = map[string]func() *clientMachine{
	"cuttlefish client": newCuttlefishClient, "cuttlefish device": newCuttlefishDevice,
	"easyrtc": newEasyrtcClient, "galene": newGaleneClient, "mediasoupproto": newMediasoupClient,
	"msejsonrpc": newMSEClient,
}

func newCuttlefishClient() *clientMachine {
	m := cuttlefish.NewClientMachine(cuttlefish.ClientConfig{DeviceID: room})
	r := &clientMachine{handshake: 10 * time.Second, deadline: m.Deadline}
	apply := r.cuttlefish
	receive := func(now time.Time, msg cuttlefish.Message) { apply(m.Receive(now, msg)) }
	r.start = func(now time.Time) {
		apply(m.Start(now))
		if !r.mute {
			receive(now, &cuttlefish.Config{})
			receive(now, &cuttlefish.DeviceInfoMsg{})
		}
	}
	r.hear = func(now time.Time) { receive(now, &cuttlefish.DeviceMsg{Payload: []byte("1")}) }
	r.lost = func(now time.Time) { apply(m.Lost(now)) }
	r.expire = func(now time.Time) { apply(m.Expire(now)) }
	return r
}

func newCuttlefishDevice() *clientMachine {
	m := cuttlefish.NewDeviceMachine(cuttlefish.DeviceConfig{DeviceID: room})
	r := &clientMachine{handshake: 10 * time.Second, deadline: m.Deadline}
	apply := r.cuttlefish
	r.start = func(now time.Time) {
		apply(m.Start(now))
		if !r.mute {
			apply(m.Receive(now, &cuttlefish.Config{}))
		}
	}
	r.hear = func(now time.Time) { apply(m.Receive(now, &cuttlefish.ClientMsg{ClientID: 1, Payload: []byte("1")})) }
	r.lost = func(now time.Time) { apply(m.Lost(now)) }
	r.expire = func(now time.Time) { apply(m.Expire(now)) }
	return r
}

func (r *clientMachine) cuttlefish(fx cuttlefish.Effects) {
	r.sent += len(fx.Send)
	r.heard += len(fx.Deliver)
	if fx.Close != nil {
		r.closed++
	}
}

func newEasyrtcClient() *clientMachine {
	m := easyrtc.NewClientMachine(easyrtc.ClientConfig{})
	r := &clientMachine{
		handshake: 15 * time.Second, patience: 10 * time.Second, beat: 20 * time.Second, deadline: m.Deadline,
	}
	const token = `{"msgType":"token","msgData":{"roomData":{},"application":{"applicationName":"default"},` +
		`"easyrtcid":"me","iceConfig":{"iceServers":[]},"stillAliveInterval":20000,"serverTime":5}}`
	var apply func(now time.Time, fx easyrtc.Effects)
	receive := func(now time.Time, text string) {
		msg, err := easyrtc.Decode([]byte(text))
		if err != nil {
			panic(err) // the row is wrong
		}
		apply(now, m.Receive(now, msg))
	}
	apply = func(now time.Time, fx easyrtc.Effects) {
		r.sent += len(fx.Send)
		r.heard += len(fx.Deliver)
		r.calls += len(fx.Done)
		if fx.Close != nil {
			r.closed++
		}
		for _, msg := range fx.Send {
			switch msg.(type) {
			case *easyrtc.ConnectPacket:
				if !r.mute {
					receive(now, `0{"sid":"x"}`)
				}
			case *easyrtc.Authenticate:
				text, _ := easyrtc.Encode(msg)
				id, _, _ := strings.Cut(strings.TrimPrefix(string(text), "2"), "[")
				receive(now, "3"+id+"["+token+"]")
			}
		}
	}
	r.start = func(now time.Time) { apply(now, m.Start(now)) }
	r.enter = func(now time.Time) {
		fx, err := m.Send(now, (&easyrtc.Login{Username: "u"}).Message())
		if err != nil {
			panic(err) // the row is wrong
		}
		apply(now, fx)
		r.calls = 0
	}
	r.hear = func(now time.Time) {
		receive(now, `2["easyrtcMsg",{"msgType":"say","senderEasyrtcid":"bob","msgData":1}]`)
	}
	r.call = func(now time.Time) error {
		fx, err := m.Send(now, &easyrtc.Msg{MsgType: "say", TargetEasyrtcID: "bob", MsgData: []byte("1")})
		apply(now, fx)
		return err
	}
	r.lost = func(now time.Time) { apply(now, m.Lost(now)) }
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	return r
}

func newGaleneClient() *clientMachine {
	m := galene.NewClientMachine(galene.ClientConfig{})
	r := &clientMachine{
		handshake: 15 * time.Second, patience: 15 * time.Second, beat: 15 * time.Second, silence: 45 * time.Second,
		deadline: m.Deadline,
	}
	var apply func(now time.Time, fx galene.Effects)
	apply = func(now time.Time, fx galene.Effects) {
		r.sent += len(fx.Send)
		r.heard += len(fx.Deliver)
		r.calls += len(fx.Done)
		if fx.Close != nil {
			r.closed++
		}
		for _, msg := range fx.Send {
			switch msg.(type) {
			case *galene.Handshake:
				if !r.mute {
					apply(now, m.Receive(now, &galene.Handshake{Version: []string{galene.Version}}))
				}
			case *galene.Join:
				name := "u"
				apply(now, m.Receive(now, &galene.Joined{
					Kind: galene.JoinedJoin, Group: room, Username: &name, Permissions: galene.Permissions{"op", "token", "message"},
				}))
			}
		}
	}
	r.start = func(now time.Time) { apply(now, m.Start(now)) }
	r.enter = func(now time.Time) {
		name := "u"
		fx, err := m.Send(now, &galene.Join{Kind: galene.JoinJoin, Group: room, Username: &name})
		if err != nil {
			panic(err) // the row is wrong
		}
		apply(now, fx)
		r.calls = 0
	}
	r.hear = func(now time.Time) {
		apply(now, m.Receive(now, &galene.Chat{Source: "bob", Value: galene.NewText("x")}))
	}
	r.call = func(now time.Time) error {
		fx, err := m.Send(now, &galene.GroupAction{Kind: galene.GroupListTokens})
		apply(now, fx)
		return err
	}
	r.lost = func(now time.Time) { apply(now, m.Lost(now)) }
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	return r
}

func newMediasoupClient() *clientMachine {
	m := mediasoupproto.NewClientMachine(mediasoupproto.ClientConfig{})
	r := &clientMachine{patience: 30 * time.Second, deadline: m.Deadline}
	var apply func(now time.Time, fx mediasoupproto.Effects)
	answer := func(now time.Time, id mediasoupproto.ID, result string) {
		apply(now, m.Receive(now, &mediasoupproto.Response{
			Head: mediasoupproto.Head{RequestID: id}, Result: []byte(result),
		}))
	}
	apply = func(now time.Time, fx mediasoupproto.Effects) {
		r.sent += len(fx.Send)
		r.heard += len(fx.Deliver)
		r.calls += len(fx.Done)
		if fx.Close != nil {
			r.closed++
		}
		for _, msg := range fx.Send {
			switch msg := msg.(type) {
			case *mediasoupproto.QueryRoom:
				if !m.Ready() { // it is the machine's own, before it comes back
					answer(now, msg.RequestID, `{"rtpCapabilities":{"codecs":[],"headerExtensions":[],"fecMechanisms":[]}}`)
				}
			case *mediasoupproto.Join:
				answer(now, msg.RequestID, `{"peers":[]}`)
			}
		}
	}
	r.start = func(now time.Time) { apply(now, m.Start(now)) }
	r.enter = func(now time.Time) {
		fx, err := m.Send(now, &mediasoupproto.Join{
			PeerName: "u", RTPCapabilities: mediasoupproto.DefaultCapabilities(),
		})
		if err != nil {
			panic(err) // the row is wrong
		}
		apply(now, fx)
		r.calls = 0
	}
	r.hear = func(now time.Time) {
		apply(now, m.Receive(now, &mediasoupproto.Application{Method: "say", Data: []byte("1")}))
	}
	r.call = func(now time.Time) error {
		fx, err := m.Send(now, &mediasoupproto.QueryRoom{})
		apply(now, fx)
		return err
	}
	r.lost = func(now time.Time) { apply(now, m.Lost(now)) }
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	return r
}

func newMSEClient() *clientMachine {
	m := msejsonrpc.NewClientMachine(msejsonrpc.ClientConfig{Token: "T"})
	r := &clientMachine{
		handshake: 15 * time.Second, patience: 10 * time.Second, beat: 20 * time.Second, silence: 30 * time.Second,
		deadline: m.Deadline,
	}
	var apply func(now time.Time, fx msejsonrpc.Effects)
	answer := func(now time.Time, id msejsonrpc.ID, text string) {
		result, err := json.Marshal(text)
		if err != nil {
			panic(fmt.Sprint(text, " is no text: ", err))
		}
		apply(now, m.Receive(now, &msejsonrpc.Response{ID: id, Result: result}))
	}
	apply = func(now time.Time, fx msejsonrpc.Effects) {
		r.sent += len(fx.Send)
		r.heard += len(fx.Deliver)
		r.calls += len(fx.Done)
		if fx.Close != nil {
			r.closed++
		}
		for _, msg := range fx.Send {
			switch msg := msg.(type) {
			case *msejsonrpc.Auth:
				if !r.mute {
					answer(now, msg.ID, "authenticated")
				}
			case *msejsonrpc.Start:
				answer(now, msg.ID, "started")
			}
		}
	}
	r.start = func(now time.Time) { apply(now, m.Start(now)) }
	r.hear = func(now time.Time) {
		apply(now, m.Receive(now, &msejsonrpc.ICECandidate{Candidate: []byte(`""`)}))
	}
	r.call = func(now time.Time) error {
		fx, err := m.Send(now, &msejsonrpc.WhoAmI{})
		apply(now, fx)
		return err
	}
	r.lost = func(now time.Time) { apply(now, m.Lost(now)) }
	r.expire = func(now time.Time) { apply(now, m.Expire(now)) }
	return r
}
