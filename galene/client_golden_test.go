package galene

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// clientStimuli hold every message of the registry, with what makes a difference for a
// client, and what is no message. The streams u and d exist where there are any, x does
// not.
var clientStimuli = []script.Stimulus[Message]{
	{Name: "handshake 2", Wire: `{"type":"handshake","version":["2"]}`},
	{Name: "handshake 1", Wire: `{"type":"handshake","version":["1"]}`},
	{Name: "handshake", Wire: `{"type":"handshake"}`},
	{Name: "handshake 3", Wire: `{"type":"handshake","version":["3"]}`},
	{Name: "ping", Wire: `{"type":"ping"}`},
	{Name: "pong", Wire: `{"type":"pong"}`},

	{Name: "join", Wire: `{"type":"join","kind":"join","group":"g","username":"u"}`},
	{Name: "join, token", Wire: `{"type":"join","kind":"join","group":"g","token":"T"}`},
	{Name: "join, nobody", Wire: `{"type":"join","kind":"join","group":"g"}`},
	{Name: "join, no group", Wire: `{"type":"join","kind":"join","group":"","username":"u"}`},
	{Name: "join leave", Wire: `{"type":"join","kind":"leave","group":"g"}`},
	{Name: "join leave another group", Wire: `{"type":"join","kind":"leave","group":"h"}`},
	{Name: "join of an unknown kind", Wire: `{"type":"join","kind":"novelty","group":"g"}`},

	{Name: "joined join",
		Wire: `{"type":"joined","kind":"join","group":"g","username":"u","permissions":["message"],"status":{"name":"g","clientCount":2}}`},
	{Name: "joined join, no group", Wire: `{"type":"joined","kind":"join","username":"u"}`},
	{Name: "joined fail", Wire: `{"type":"joined","kind":"fail","group":"g","value":"this group is locked"}`},
	{Name: "joined fail, need-username",
		Wire: `{"type":"joined","kind":"fail","group":"g","error":"need-username","value":"username required"}`},
	{Name: "joined fail, not authorised",
		Wire: `{"type":"joined","kind":"fail","group":"g","username":"","value":"not authorised"}`},
	{Name: "joined redirect",
		Wire: `{"type":"joined","kind":"redirect","group":"g","value":"https://example.org/group/g/"}`},
	{Name: "joined leave", Wire: `{"type":"joined","kind":"leave","group":"g","username":"u"}`},
	{Name: "joined change",
		Wire: `{"type":"joined","kind":"change","group":"g","username":"u","permissions":["present"]}`},
	{Name: "joined of an unknown kind", Wire: `{"type":"joined","kind":"novelty","group":"g"}`},

	{Name: "user add", Wire: `{"type":"user","kind":"add","id":"b","username":"bob"}`},
	{Name: "user add, oneself", Wire: `{"type":"user","kind":"add","id":"c1","username":"u"}`},
	{Name: "user change", Wire: `{"type":"user","kind":"change","id":"b","username":"bob"}`},
	{Name: "user change, oneself", Wire: `{"type":"user","kind":"change","id":"c1","username":"u"}`},
	{Name: "user delete", Wire: `{"type":"user","kind":"delete","id":"b","username":"bob"}`},
	{Name: "user of an unknown kind", Wire: `{"type":"user","kind":"novelty","id":"b"}`},

	{Name: "chat", Wire: `{"type":"chat","value":"x"}`},
	{Name: "chat to one", Wire: `{"type":"chat","dest":"b","value":"x"}`},
	{Name: "chat, caption", Wire: `{"type":"chat","kind":"caption","value":"x"}`},
	{Name: "chat of somebody else", Wire: `{"type":"chat","source":"b","username":"bob","value":"x"}`},
	{Name: "chat, not a text", Wire: `{"type":"chat","value":{"a":[1]}}`},
	{Name: "chathistory", Wire: `{"type":"chathistory","source":"b","value":"x"}`},

	{Name: "usermessage", Wire: `{"type":"usermessage","kind":"novelty","value":"x"}`},
	{Name: "usermessage error",
		Wire: `{"type":"usermessage","kind":"error","dest":"c1","privileged":true,"value":"not authorised"}`},
	{Name: "usermessage error, no client",
		Wire: `{"type":"usermessage","kind":"error","dest":"c1","privileged":true,"value":"client not found"}`},
	{Name: "usermessage kicked",
		Wire: `{"type":"usermessage","kind":"kicked","id":"b","username":"bob","privileged":true,"value":"x"}`},
	{Name: "usermessage kicked, unprivileged", Wire: `{"type":"usermessage","kind":"kicked","id":"b","value":"x"}`},
	{Name: "usermessage token",
		Wire: `{"type":"usermessage","kind":"token","privileged":true,"value":{"token":"T","group":"g"}}`},
	{Name: "usermessage token, refused",
		Wire: `{"type":"usermessage","kind":"token","privileged":true,"error":"error","value":"bad time value"}`},
	{Name: "usermessage token, bad", Wire: `{"type":"usermessage","kind":"token","privileged":true,"value":"T"}`},
	{Name: "usermessage token, unprivileged",
		Wire: `{"type":"usermessage","kind":"token","value":{"token":"T","group":"g"}}`},
	{Name: "usermessage token, forged",
		Wire: `{"type":"usermessage","kind":"token","source":"b","privileged":true,"value":{"token":"T","group":"g"}}`},
	{Name: "usermessage tokenlist", Wire: `{"type":"usermessage","kind":"tokenlist","privileged":true,"value":[]}`},
	{Name: "usermessage userinfo", Wire: `{"type":"usermessage","kind":"userinfo","privileged":true,"value":{"id":"b"}}`},
	{Name: "usermessage userinfo, another",
		Wire: `{"type":"usermessage","kind":"userinfo","privileged":true,"value":{"id":"e"}}`},

	{Name: "useraction op", Wire: `{"type":"useraction","kind":"op","dest":"b"}`},
	{Name: "useraction identify", Wire: `{"type":"useraction","kind":"identify","dest":"b"}`},
	{Name: "useraction setdata", Wire: `{"type":"useraction","kind":"setdata","value":{}}`},
	{Name: "useraction of an unknown kind", Wire: `{"type":"useraction","kind":"novelty","dest":"b"}`},
	{Name: "groupaction lock", Wire: `{"type":"groupaction","kind":"lock"}`},
	{Name: "groupaction clearchat", Wire: `{"type":"groupaction","kind":"clearchat"}`},
	{Name: "groupaction record", Wire: `{"type":"groupaction","kind":"record"}`},
	{Name: "groupaction maketoken", Wire: `{"type":"groupaction","kind":"maketoken","value":{"group":"g","expires":1}}`},
	{Name: "groupaction listtokens", Wire: `{"type":"groupaction","kind":"listtokens"}`},
	{Name: "groupaction of an unknown kind", Wire: `{"type":"groupaction","kind":"novelty"}`},

	{Name: "request", Wire: `{"type":"request","request":{"":["audio"]}}`},
	{Name: "request, nothing", Wire: `{"type":"request"}`},
	{Name: "request of the document", Wire: `{"type":"request","request":{"audio":true}}`},
	{Name: "requestStream u", Wire: `{"type":"requestStream","id":"u","request":["audio"]}`},
	{Name: "requestStream d", Wire: `{"type":"requestStream","id":"d","request":["audio"]}`},
	{Name: "requestStream x", Wire: `{"type":"requestStream","id":"x","request":["audio"]}`},
	{Name: "offer u", Wire: `{"type":"offer","id":"u","sdp":"v=0"}`},
	{Name: "offer d", Wire: `{"type":"offer","id":"d","sdp":"v=0"}`},
	{Name: "offer x", Wire: `{"type":"offer","id":"x","sdp":"v=0"}`},
	{Name: "offer x for u", Wire: `{"type":"offer","id":"x","replace":"u","sdp":"v=0"}`},
	{Name: "offer x for d", Wire: `{"type":"offer","id":"x","replace":"d","sdp":"v=0"}`},
	{Name: "offer without sdp", Wire: `{"type":"offer","id":"u"}`},
	{Name: "answer u", Wire: `{"type":"answer","id":"u","sdp":"v=0"}`},
	{Name: "answer d", Wire: `{"type":"answer","id":"d","sdp":"v=0"}`},
	{Name: "answer x", Wire: `{"type":"answer","id":"x","sdp":"v=0"}`},
	{Name: "ice u", Wire: `{"type":"ice","id":"u","candidate":{"candidate":"c"}}`},
	{Name: "ice d", Wire: `{"type":"ice","id":"d","candidate":{"candidate":"c"}}`},
	{Name: "ice x", Wire: `{"type":"ice","id":"x","candidate":{"candidate":"c"}}`},
	{Name: "ice d, null", Wire: `{"type":"ice","id":"d","candidate":null}`},
	{Name: "renegotiate u", Wire: `{"type":"renegotiate","id":"u"}`},
	{Name: "renegotiate d", Wire: `{"type":"renegotiate","id":"d"}`},
	{Name: "renegotiate x", Wire: `{"type":"renegotiate","id":"x"}`},
	{Name: "close u", Wire: `{"type":"close","id":"u"}`},
	{Name: "close d", Wire: `{"type":"close","id":"d"}`},
	{Name: "close x", Wire: `{"type":"close","id":"x"}`},
	{Name: "close without id", Wire: `{"type":"close"}`},
	{Name: "abort u", Wire: `{"type":"abort","id":"u"}`},
	{Name: "abort d", Wire: `{"type":"abort","id":"d"}`},
	{Name: "abort x", Wire: `{"type":"abort","id":"x"}`},

	{Name: "novelty", Wire: `{"type":"novelty","x":1}`},
	{Name: "reconnected", Msg: new(Reconnected)},

	{Name: "nothing", Wire: ``},
	{Name: "not JSON", Wire: `{"type":`},
	{Name: "null", Wire: `null`},
	{Name: "no type", Wire: `{}`},
	{Name: "wrong type of a member", Wire: `{"type":"ping","kind":7}`},
	{Name: "too big", Wire: `{"type":"novelty","x":"` + strings.Repeat("x", clientTooBig) + `"}`},
}

// clientTooBig is the limit of the decoder in these tests.
const clientTooBig = 1000

func decodeStimulus(wire string) (Message, error) {
	return decoder(clientTooBig, false)(transport.Text, []byte(wire))
}

func TestClientStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	types, names := make(map[string]bool), make(map[string]bool)
	for _, in := range clientStimuli {
		require.False(t, names[in.Name], in.Name)
		names[in.Name] = true
		if m, err := in.Decoded(decodeStimulus); err == nil {
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

// clientAfter returns a machine after some steps, see script.After.
func clientAfter(t *testing.T, cfg ClientConfig, steps ...string) *ClientMachine {
	t.Helper()
	cfg.NewID = countedIDs()
	m := NewClientMachine(cfg)
	script.After(t, m, clientDawn, Decode, steps...)
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
			everyClientState.Rows(t, &b, func() *ClientMachine {
				m := clientAfter(t, w.cfg, w.steps...)
				require.Equal(t, w.state, m.State(), w.name)
				return m
			})
		}
		b.Compare(t, file)
	}
}

var everyClientState = script.ClientStates[Message, Effects, *ClientMachine]{
	Dawn: clientDawn, Times: []time.Duration{DefaultRequestAgain, DefaultHeartbeat, DefaultSilence},
	Stimuli: clientStimuli, Decode: decodeStimulus,
	Malformed: func(m *ClientMachine, err error) Effects { return m.Malformed(clientDawn, asDecodeError(err)) },
	Result: func(tb testing.TB, m *ClientMachine, _ Message, fx Effects, err error) string {
		if m.State() == ClientIdle || m.State() == ClientClosed {
			requireClientForgets(tb, m)
		}
		return m.State().String() + clientEffects(fx, err)
	},
}

// clientEffects tells what a step asks for.
func clientEffects(fx Effects, err error) string {
	text := clientSpeech.Text(clientScript(fx), clientText, func(m Message) string {
		if u, ok := m.(*User); ok && u.Initial {
			return "as one of the first " + clientText(m)
		}
		return clientText(m)
	})
	if err != nil {
		text += ", error " + clientSpeech.Short(err)
	}
	return text
}
