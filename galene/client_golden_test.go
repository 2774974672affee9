package galene

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A clientStimulus is something that a client's machine may be given in any state: received
// or, if it is a message, sent.
type clientStimulus struct {
	name string
	wire string
	msg  Message // instead of wire, what has no encoding
}

// clientStimuli hold every message of the registry, with what makes a difference for a
// client, and what is no message. The streams u and d exist where there are any, x does
// not.
var clientStimuli = []clientStimulus{
	{name: "handshake 2", wire: `{"type":"handshake","version":["2"]}`},
	{name: "handshake 1", wire: `{"type":"handshake","version":["1"]}`},
	{name: "handshake", wire: `{"type":"handshake"}`},
	{name: "handshake 3", wire: `{"type":"handshake","version":["3"]}`},
	{name: "ping", wire: `{"type":"ping"}`},
	{name: "pong", wire: `{"type":"pong"}`},

	{name: "join", wire: `{"type":"join","kind":"join","group":"g","username":"u"}`},
	{name: "join, token", wire: `{"type":"join","kind":"join","group":"g","token":"T"}`},
	{name: "join, nobody", wire: `{"type":"join","kind":"join","group":"g"}`},
	{name: "join, no group", wire: `{"type":"join","kind":"join","group":"","username":"u"}`},
	{name: "join leave", wire: `{"type":"join","kind":"leave","group":"g"}`},
	{name: "join leave another group", wire: `{"type":"join","kind":"leave","group":"h"}`},
	{name: "join of an unknown kind", wire: `{"type":"join","kind":"novelty","group":"g"}`},

	{name: "joined join",
		wire: `{"type":"joined","kind":"join","group":"g","username":"u","permissions":["message"],"status":{"name":"g","clientCount":2}}`},
	{name: "joined join, no group", wire: `{"type":"joined","kind":"join","username":"u"}`},
	{name: "joined fail", wire: `{"type":"joined","kind":"fail","group":"g","value":"this group is locked"}`},
	{name: "joined fail, need-username",
		wire: `{"type":"joined","kind":"fail","group":"g","error":"need-username","value":"username required"}`},
	{name: "joined fail, not authorised",
		wire: `{"type":"joined","kind":"fail","group":"g","username":"","value":"not authorised"}`},
	{name: "joined redirect",
		wire: `{"type":"joined","kind":"redirect","group":"g","value":"https://example.org/group/g/"}`},
	{name: "joined leave", wire: `{"type":"joined","kind":"leave","group":"g","username":"u"}`},
	{name: "joined change",
		wire: `{"type":"joined","kind":"change","group":"g","username":"u","permissions":["present"]}`},
	{name: "joined of an unknown kind", wire: `{"type":"joined","kind":"novelty","group":"g"}`},

	{name: "user add", wire: `{"type":"user","kind":"add","id":"b","username":"bob"}`},
	{name: "user add, oneself", wire: `{"type":"user","kind":"add","id":"c1","username":"u"}`},
	{name: "user change", wire: `{"type":"user","kind":"change","id":"b","username":"bob"}`},
	{name: "user change, oneself", wire: `{"type":"user","kind":"change","id":"c1","username":"u"}`},
	{name: "user delete", wire: `{"type":"user","kind":"delete","id":"b","username":"bob"}`},
	{name: "user of an unknown kind", wire: `{"type":"user","kind":"novelty","id":"b"}`},

	{name: "chat", wire: `{"type":"chat","value":"x"}`},
	{name: "chat to one", wire: `{"type":"chat","dest":"b","value":"x"}`},
	{name: "chat, caption", wire: `{"type":"chat","kind":"caption","value":"x"}`},
	{name: "chat of somebody else", wire: `{"type":"chat","source":"b","username":"bob","value":"x"}`},
	{name: "chat, not a text", wire: `{"type":"chat","value":{"a":[1]}}`},
	{name: "chathistory", wire: `{"type":"chathistory","source":"b","value":"x"}`},

	{name: "usermessage", wire: `{"type":"usermessage","kind":"novelty","value":"x"}`},
	{name: "usermessage error",
		wire: `{"type":"usermessage","kind":"error","dest":"c1","privileged":true,"value":"not authorised"}`},
	{name: "usermessage error, no client",
		wire: `{"type":"usermessage","kind":"error","dest":"c1","privileged":true,"value":"client not found"}`},
	{name: "usermessage kicked",
		wire: `{"type":"usermessage","kind":"kicked","id":"b","username":"bob","privileged":true,"value":"x"}`},
	{name: "usermessage kicked, unprivileged", wire: `{"type":"usermessage","kind":"kicked","id":"b","value":"x"}`},
	{name: "usermessage token",
		wire: `{"type":"usermessage","kind":"token","privileged":true,"value":{"token":"T","group":"g"}}`},
	{name: "usermessage token, refused",
		wire: `{"type":"usermessage","kind":"token","privileged":true,"error":"error","value":"bad time value"}`},
	{name: "usermessage token, bad", wire: `{"type":"usermessage","kind":"token","privileged":true,"value":"T"}`},
	{name: "usermessage token, unprivileged",
		wire: `{"type":"usermessage","kind":"token","value":{"token":"T","group":"g"}}`},
	{name: "usermessage token, forged",
		wire: `{"type":"usermessage","kind":"token","source":"b","privileged":true,"value":{"token":"T","group":"g"}}`},
	{name: "usermessage tokenlist", wire: `{"type":"usermessage","kind":"tokenlist","privileged":true,"value":[]}`},
	{name: "usermessage userinfo", wire: `{"type":"usermessage","kind":"userinfo","privileged":true,"value":{"id":"b"}}`},
	{name: "usermessage userinfo, another",
		wire: `{"type":"usermessage","kind":"userinfo","privileged":true,"value":{"id":"e"}}`},

	{name: "useraction op", wire: `{"type":"useraction","kind":"op","dest":"b"}`},
	{name: "useraction identify", wire: `{"type":"useraction","kind":"identify","dest":"b"}`},
	{name: "useraction setdata", wire: `{"type":"useraction","kind":"setdata","value":{}}`},
	{name: "useraction of an unknown kind", wire: `{"type":"useraction","kind":"novelty","dest":"b"}`},
	{name: "groupaction lock", wire: `{"type":"groupaction","kind":"lock"}`},
	{name: "groupaction clearchat", wire: `{"type":"groupaction","kind":"clearchat"}`},
	{name: "groupaction record", wire: `{"type":"groupaction","kind":"record"}`},
	{name: "groupaction maketoken", wire: `{"type":"groupaction","kind":"maketoken","value":{"group":"g","expires":1}}`},
	{name: "groupaction listtokens", wire: `{"type":"groupaction","kind":"listtokens"}`},
	{name: "groupaction of an unknown kind", wire: `{"type":"groupaction","kind":"novelty"}`},

	{name: "request", wire: `{"type":"request","request":{"":["audio"]}}`},
	{name: "request, nothing", wire: `{"type":"request"}`},
	{name: "request of the document", wire: `{"type":"request","request":{"audio":true}}`},
	{name: "requestStream u", wire: `{"type":"requestStream","id":"u","request":["audio"]}`},
	{name: "requestStream d", wire: `{"type":"requestStream","id":"d","request":["audio"]}`},
	{name: "requestStream x", wire: `{"type":"requestStream","id":"x","request":["audio"]}`},
	{name: "offer u", wire: `{"type":"offer","id":"u","sdp":"v=0"}`},
	{name: "offer d", wire: `{"type":"offer","id":"d","sdp":"v=0"}`},
	{name: "offer x", wire: `{"type":"offer","id":"x","sdp":"v=0"}`},
	{name: "offer x for u", wire: `{"type":"offer","id":"x","replace":"u","sdp":"v=0"}`},
	{name: "offer x for d", wire: `{"type":"offer","id":"x","replace":"d","sdp":"v=0"}`},
	{name: "offer without sdp", wire: `{"type":"offer","id":"u"}`},
	{name: "answer u", wire: `{"type":"answer","id":"u","sdp":"v=0"}`},
	{name: "answer d", wire: `{"type":"answer","id":"d","sdp":"v=0"}`},
	{name: "answer x", wire: `{"type":"answer","id":"x","sdp":"v=0"}`},
	{name: "ice u", wire: `{"type":"ice","id":"u","candidate":{"candidate":"c"}}`},
	{name: "ice d", wire: `{"type":"ice","id":"d","candidate":{"candidate":"c"}}`},
	{name: "ice x", wire: `{"type":"ice","id":"x","candidate":{"candidate":"c"}}`},
	{name: "ice d, null", wire: `{"type":"ice","id":"d","candidate":null}`},
	{name: "renegotiate u", wire: `{"type":"renegotiate","id":"u"}`},
	{name: "renegotiate d", wire: `{"type":"renegotiate","id":"d"}`},
	{name: "renegotiate x", wire: `{"type":"renegotiate","id":"x"}`},
	{name: "close u", wire: `{"type":"close","id":"u"}`},
	{name: "close d", wire: `{"type":"close","id":"d"}`},
	{name: "close x", wire: `{"type":"close","id":"x"}`},
	{name: "close without id", wire: `{"type":"close"}`},
	{name: "abort u", wire: `{"type":"abort","id":"u"}`},
	{name: "abort d", wire: `{"type":"abort","id":"d"}`},
	{name: "abort x", wire: `{"type":"abort","id":"x"}`},

	{name: "novelty", wire: `{"type":"novelty","x":1}`},
	{name: "reconnected", msg: new(Reconnected)},

	{name: "nothing", wire: ``},
	{name: "not JSON", wire: `{"type":`},
	{name: "null", wire: `null`},
	{name: "no type", wire: `{}`},
	{name: "wrong type of a member", wire: `{"type":"ping","kind":7}`},
	{name: "too big", wire: `{"type":"novelty","x":"` + strings.Repeat("x", clientTooBig) + `"}`},
}

// clientTooBig is the limit of the decoder in these tests.
const clientTooBig = 1000

func (s clientStimulus) decoded() (Message, *DecodeError) {
	if s.msg != nil {
		return s.msg, nil
	}
	m, err := decoder(clientTooBig, false)(transport.Text, []byte(s.wire))
	if err != nil {
		return nil, asDecodeError(err)
	}
	return m, nil
}

func TestClientStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	types, names := make(map[string]bool), make(map[string]bool)
	for _, in := range clientStimuli {
		require.False(t, names[in.name], in.name)
		names[in.name] = true
		if m, err := in.decoded(); err == nil {
			types[m.wireType()] = true
		}
	}
	for typ := range registry {
		require.True(t, types[typ], typ)
	}
}

type clientWay struct {
	name  string
	state ClientState
	cfg   ClientConfig
	steps []string // see clientAfter
}

// clientAfter returns a machine after some steps: "> " is received, "< " is sent.
func clientAfter(t *testing.T, cfg ClientConfig, steps ...string) *ClientMachine {
	t.Helper()
	cfg.NewID = countedIDs()
	m := NewClientMachine(cfg)
	for _, step := range steps {
		switch step {
		case "start":
			m.Start(clientEpoch)
			continue
		case "lost":
			m.Lost(clientEpoch)
			continue
		}
		msg, err := Decode([]byte(step[2:]))
		require.NoError(t, err, step)
		if step[0] == '>' {
			m.Receive(clientEpoch, msg)
			continue
		}
		_, err = m.Send(clientEpoch, msg)
		require.NoError(t, err, step)
	}
	return m
}

// What most tests begin with.
const (
	clientShaken = `> {"type":"handshake","version":["2"]}`
	clientJoins  = `< {"type":"join","kind":"join","group":"g","username":"u"}`
	clientIsOp   = `> {"type":"joined","kind":"join","group":"g","username":"u","permissions":` + clientOfOp +
		`,"status":{"name":"g","clientCount":1}}`
	clientIsHere  = `> {"type":"user","kind":"add","id":"c1","username":"u","permissions":` + clientOfOp + `}`
	clientOfOp    = `["op","present","message","caption","token","record"]`
	clientOffers  = `< {"type":"offer","id":"u","sdp":"v=0"}`
	clientOffered = `> {"type":"offer","id":"d","source":"b","sdp":"v=0"}`
)

func TestClientMachineInEveryState(t *testing.T) {
	t.Parallel()
	joined := []string{"start", clientShaken, clientJoins, clientIsOp, clientIsHere}
	after := func(base []string, steps ...string) []string { return append(base[:len(base):len(base)], steps...) }
	busy := after(joined, clientOffers, clientOffered, `< {"type":"request","request":{"":["audio"]}}`)
	waiting := after(joined, `< {"type":"groupaction","kind":"maketoken","value":{"group":"g","expires":1}}`,
		`< {"type":"groupaction","kind":"listtokens"}`, `< {"type":"useraction","kind":"identify","dest":"b"}`)
	both := ClientConfig{Versions: []string{"2", "1"}}
	for file, ways := range map[string][]clientWay{
		"client": {
			{"idle", ClientIdle, ClientConfig{}, nil},
			{"handshaking", ClientHandshaking, ClientConfig{}, []string{"start"}},
			{"ready", ClientReady, ClientConfig{}, joined[:2]},
			{"joining", ClientJoining, ClientConfig{}, joined[:3]},
			{"joined as an operator", ClientJoined, ClientConfig{}, joined},
			{"joined as an observer", ClientJoined, ClientConfig{}, after(joined[:3],
				`> {"type":"joined","kind":"join","group":"g","username":"u","status":{"name":"g","clientCount":2}}`,
				`> {"type":"user","kind":"add","id":"b","username":"bob","permissions":["message"]}`)},
			{"joined, with the streams u and d", ClientJoined, ClientConfig{}, busy},
			{"joined, with calls", ClientJoined, ClientConfig{}, waiting},
			{"leaving", ClientLeaving, ClientConfig{}, after(busy, `< {"type":"join","kind":"leave","group":"g"}`)},
			{"left", ClientReady, ClientConfig{}, after(busy, `< {"type":"join","kind":"leave","group":"g"}`,
				`> {"type":"joined","kind":"leave","group":"g"}`)},
			{"lost, with calls", ClientIdle, ClientConfig{}, after(waiting, "lost")},
			{"handshaking again", ClientHandshaking, ClientConfig{}, after(busy, "lost", "start")},
			{"joining again", ClientJoining, ClientConfig{}, after(busy, "lost", "start", clientShaken)},
			{"kicked", ClientJoined, ClientConfig{}, after(joined,
				`> {"type":"usermessage","kind":"kicked","id":"b","username":"bob","privileged":true,"value":"bye"}`)},
			{"closed", ClientClosed, ClientConfig{}, []string{"start", `> {"type":"ping"}`}},
		},
		"client-versions": {
			{"handshaking", ClientHandshaking, both, []string{"start"}},
			{"joining a server of version 1", ClientJoining, both,
				[]string{"start", `> {"type":"handshake","version":["1"]}`, clientJoins}},
			{"joining a server without a version", ClientJoining, both,
				[]string{"start", `> {"type":"handshake"}`, clientJoins}},
			{"joined to a server without a version", ClientJoined, both, []string{
				"start", `> {"type":"handshake"}`, clientJoins,
				`> {"type":"user","kind":"add","id":"c1","username":"u","permissions":{}}`,
				`> {"type":"joined","kind":"join","group":"g","username":"u","permissions":{}}`,
				`> {"type":"offer","id":"d","source":"b","sdp":"v=0"}`, `< {"type":"offer","id":"u","sdp":"v=0"}`}},
		},
	} {
		var b script.Table
		for _, w := range ways {
			b.State(w.name)
			clientRows(t, &b, func() *ClientMachine {
				m := clientAfter(t, w.cfg, w.steps...)
				require.Equal(t, w.state, m.State(), w.name)
				return m
			})
		}
		b.Compare(t, file)
	}
}

// clientRows takes every step from a state, twice each: the same must come of it.
func clientRows(t *testing.T, b *script.Table, begin func() *ClientMachine) {
	row := func(name string, step func(m *ClientMachine) (Effects, error)) {
		once := func() string {
			m := begin()
			fx, err := step(m)
			if m.State() == ClientIdle || m.State() == ClientClosed {
				requireClientForgets(t, m)
			}
			return m.State().String() + clientEffects(fx, err)
		}
		result := once()
		require.Equal(t, result, once(), "the machine is not deterministic")
		b.Row(name, result)
	}
	row("start", func(m *ClientMachine) (Effects, error) { return m.Start(clientEpoch), nil })
	row("lost", func(m *ClientMachine) (Effects, error) { return m.Lost(clientEpoch), nil })
	for _, after := range []time.Duration{DefaultRequestAgain, DefaultHeartbeat, DefaultSilence} {
		row(fmt.Sprintf("just before %v", after), func(m *ClientMachine) (Effects, error) {
			return m.Expire(clientEpoch.Add(after - 1)), nil
		})
		row(fmt.Sprintf("after %v", after), func(m *ClientMachine) (Effects, error) {
			return m.Expire(clientEpoch.Add(after)), nil
		})
	}
	for _, in := range clientStimuli {
		row(in.name, func(m *ClientMachine) (Effects, error) {
			msg, err := in.decoded()
			if err != nil {
				return m.Malformed(clientEpoch, err), nil
			}
			return m.Receive(clientEpoch, msg), nil
		})
	}
	for _, in := range clientStimuli {
		if _, err := in.decoded(); err == nil {
			row("send "+in.name, func(m *ClientMachine) (Effects, error) {
				msg, _ := in.decoded()
				return m.Send(clientEpoch, msg)
			})
		}
	}
	row("send nothing at all", func(m *ClientMachine) (Effects, error) { return m.Send(clientEpoch, nil) })
}

// clientEffects tells what a step asks for.
func clientEffects(fx Effects, err error) string {
	var b strings.Builder
	short := func(err error) string { return strings.TrimPrefix(err.Error(), "galene: ") }
	for _, m := range fx.Send {
		fmt.Fprintf(&b, ", send %s", clientText(m))
	}
	for _, m := range fx.Deliver {
		if u, ok := m.(*User); ok && u.Initial {
			b.WriteString(", deliver as one of the first")
		} else {
			b.WriteString(", deliver")
		}
		fmt.Fprintf(&b, " %s", clientText(m))
	}
	for _, r := range fx.Done {
		what := "success"
		if r.Err != nil {
			what = short(r.Err)
		}
		fmt.Fprintf(&b, ", done %s: %s", r.Request.wireType(), what)
	}
	if c := fx.Close; c != nil {
		fmt.Fprintf(&b, ", close %d %q", c.Code, c.Reason)
		if c.Err != nil {
			fmt.Fprintf(&b, ": %s", short(c.Err))
		}
		if c.Final {
			b.WriteString(", for good")
		}
	}
	if err != nil {
		fmt.Fprintf(&b, ", error %s", short(err))
	}
	return b.String()
}
