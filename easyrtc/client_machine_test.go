package easyrtc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

const (
	clientToken = `[{"msgType":"token","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"join",` +
		`"clientList":{"me":{"easyrtcid":"me","roomJoinTime":5}}}},"application":{"applicationName":"default"},` +
		`"easyrtcid":"me","iceConfig":{"iceServers":[]},"serverTime":5}}]`
	clientLogin  = `2["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1"}}]`
	clientHangup = `2["easyrtcCmd",{"msgType":"hangup","targetEasyrtcid":"bob"}]`
)

// clientStimuli hold every message of the registry, with what makes a difference for a
// client, and what is no message. Of the calls 0 to 2 some wait in some states, 9 never.
var clientStimuli = []script.Stimulus[Message]{
	{Name: "connect", Wire: `0{"sid":"x"}`},
	{Name: "connect to another namespace", Wire: `0/foo,{"sid":"x"}`},
	{Name: "disconnect", Wire: `1`},
	{Name: "disconnect from another namespace", Wire: `1/foo,`},
	{Name: "connect_error", Wire: `4{"message":"Invalid namespace"}`},
	{Name: "connect_error of another namespace", Wire: `4/foo,{"message":"Invalid namespace"}`},

	{Name: "authenticate", Wire: clientLogin},
	{Name: "authenticate without msgData", Wire: `2["easyrtcAuth",{"msgType":"authenticate"}]`},
	{Name: "offer", Wire: `2["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"bob","msgData":{"type":"offer","sdp":"v=0"}}]`},
	{Name: "offer without msgData", Wire: `2["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"bob"}]`},
	{Name: "answer", Wire: `2["easyrtcCmd",{"msgType":"answer","targetEasyrtcid":"bob","msgData":{"type":"answer","sdp":"v=0"}}]`},
	{Name: "candidate", Wire: `2["easyrtcCmd",{"msgType":"candidate","targetEasyrtcid":"bob","msgData":{"candidate":"c"}}]`},
	{Name: "reject", Wire: `2["easyrtcCmd",{"msgType":"reject","targetEasyrtcid":"bob"}]`},
	{Name: "hangup", Wire: clientHangup},
	{Name: "getIceConfig", Wire: `2["easyrtcCmd",{"msgType":"getIceConfig","msgData":{}}]`},
	{Name: "getRoomList", Wire: `2["easyrtcCmd",{"msgType":"getRoomList"}]`},
	{Name: "roomJoin", Wire: `2["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"r":{"roomName":"r"}}}}]`},
	{Name: "roomJoin of none", Wire: `2["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{}}}]`},
	{Name: "roomLeave", Wire: `2["easyrtcCmd",{"msgType":"roomLeave","msgData":{"roomLeave":{"r":{"roomName":"r"}}}}]`},
	{Name: "setRoomApiField", Wire: `2["easyrtcCmd",{"msgType":"setRoomApiField","msgData":{"setRoomApiField":{"roomName":"r","field":{}}}}]`},
	{Name: "setPresence", Wire: `2["easyrtcCmd",{"msgType":"setPresence","msgData":{"setPresence":{"show":"away"}}}]`},
	{Name: "setUserCfg", Wire: `2["easyrtcCmd",{"msgType":"setUserCfg","msgData":{"setUserCfg":{"userSettings":{"a":1}}}}]`},
	{Name: "stillAlive", Wire: `2["easyrtcCmd",{"msgType":"stillAlive","msgData":{}}]`},
	{Name: "a message", Wire: `2["easyrtcMsg",{"msgType":"m","targetRoom":"default","msgData":1}]`},
	{Name: "an event of the application", Wire: `2["novelty",1]`},
	{Name: "a command of the application", Wire: `2["easyrtcCmd",{"msgType":"novelty","x":1}]`},

	{Name: "received offer with an id", Wire: `27["easyrtcCmd",{"msgType":"offer","senderEasyrtcid":"bob","easyrtcid":"me","msgData":{"type":"offer","sdp":"v=0"},"serverTime":5}]`},
	{Name: "received roomData, update", Wire: `27["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"update","clientListDelta":{"updateClient":{"bob":{"easyrtcid":"bob"}}}}}},"easyrtcid":"me","serverTime":5}]`},
	{Name: "received roomData, leave", Wire: `27["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"leave"}}},"easyrtcid":"me","serverTime":5}]`},
	{Name: "received roomData without msgData", Wire: `27["easyrtcCmd",{"msgType":"roomData"}]`},
	{Name: "received sessionData", Wire: `27["easyrtcCmd",{"msgType":"sessionData","msgData":{"sessionData":{"easyrtcsid":"s"}}}]`},
	{Name: "received iceConfig", Wire: `27["easyrtcCmd",{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[]}}}]`},
	{Name: "received forwardToUrl", Wire: `27["easyrtcCmd",{"msgType":"forwardToUrl","msgData":{"forwardToUrl":{"url":"u"}}}]`},
	{Name: "received error", Wire: `27["easyrtcCmd",{"msgType":"error","msgData":{"errorCode":"SERVER_SHUTDOWN","errorText":"bye"}}]`},
	{Name: "received message without an id", Wire: `2["easyrtcMsg",{"msgType":"m","msgData":1}]`},
	{Name: "received event without a name", Wire: `27[7]`},
	{Name: "received reserved event", Wire: `27["connect",1]`},
	{Name: "received binary message", Msg: &Msg{Packet: Packet{ID: NumberID(7), Attachments: [][]byte{{1}}}, MsgType: "m",
		MsgData: []byte(`{"_placeholder":true,"num":0}`)}},

	{Name: "ack 0", Wire: `30[{"msgType":"ack"}]`},
	{Name: "ack 1", Wire: `31[{"msgType":"ack"}]`},
	{Name: "ack 9", Wire: `39[{"msgType":"ack"}]`},
	{Name: "ack without an id", Wire: `3[{"msgType":"ack"}]`},
	{Name: "ack 1 without arguments", Wire: `31[]`},
	{Name: "error 0", Wire: `30[{"msgType":"error","serverTime":5,"msgData":{"errorCode":"LOGIN_BAD_AUTH","errorText":"no"}}]`},
	{Name: "error 1", Wire: `31[{"msgType":"error","serverTime":5,"msgData":{"errorCode":"MSG_REJECT_BAD_DATA","errorText":"no"}}]`},
	{Name: "error 1 without msgData", Wire: `31[{"msgType":"error"}]`},
	{Name: "token 0", Wire: `30` + clientToken},
	{Name: "token 0 without msgData", Wire: `30[{"msgType":"token"}]`},
	{Name: "token 1", Wire: `31` + clientToken},
	{Name: "roomData 1", Wire: `31[{"msgType":"roomData","msgData":{"roomData":{"r":{"roomName":"r","roomStatus":"join","clientList":{}}}}}]`},
	{Name: "roomList 1", Wire: `31[{"msgType":"roomList","msgData":{"roomList":{}}}]`},
	{Name: "iceConfig 1", Wire: `31[{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[]}}}]`},
	{Name: "a message 1", Wire: `31[{"msgType":"m"}]`},
	{Name: "roomData 1 of a wrong type", Wire: `31[{"msgType":"roomData","msgData":7}]`},
	{Name: "token 0 of a wrong type", Wire: `30[{"msgType":"token","msgData":7}]`},
	{Name: "iceConfig 9 of a wrong type", Wire: `39[{"msgType":"iceConfig","msgData":7}]`},

	{Name: "reconnected", Msg: new(Reconnected)},

	{Name: "nothing", Wire: ``},
	{Name: "not a packet", Wire: `hello`},
	{Name: "not JSON", Wire: `2["easyrtcCmd",{`},
	{Name: "duplicate member", Wire: `2["easyrtcCmd",{"msgType":"hangup","msgType":"hangup"}]`},
	{Name: "no msgType", Wire: `27["easyrtcCmd",{}]`},
	{Name: "no object", Wire: `27["easyrtcCmd",7]`},
	{Name: "wrong type of a member", Wire: `27["easyrtcCmd",{"msgType":"roomData","msgData":7}]`},
	{Name: "wrong type of a member, no id", Wire: `2["easyrtcCmd",{"msgType":"roomData","msgData":7}]`},
	{Name: "too big", Wire: `2["novelty","` + strings.Repeat("x", clientTooBig) + `"]`},
}

// clientTooBig is the limit of the decoder in these tests.
const clientTooBig = 1000

func decodeStimulus(wire string) (Message, error) {
	return (&Decoder{Limit: clientTooBig}).Decode(transport.Text, []byte(wire))
}

func TestClientStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	have, names := make(map[string]bool), make(map[string]bool)
	for _, in := range clientStimuli {
		require.False(t, names[in.Name], in.Name)
		names[in.Name] = true
		if m, err := in.Decoded(decodeStimulus); err == nil {
			have[fmt.Sprintf("%T", m)] = true
		}
	}
	for _, types := range constructors {
		for _, construct := range types {
			require.True(t, have[fmt.Sprintf("%T", construct())], "%T", construct())
		}
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
	m := NewClientMachine(cfg)
	script.After(t, m, clientDawn, Decode, steps...)
	return m
}

func TestClientMachineInEveryState(t *testing.T) {
	t.Parallel()
	login := []string{"start", `> 0{"sid":"x"}`, "< " + clientLogin, "> 30" + clientToken}
	after := func(steps ...string) []string { return append(login[:len(login):len(login)], steps...) }
	alive := strings.Replace(clientToken, `"serverTime"`, `"stillAliveInterval":5000,"serverTime"`, 1)
	join := `< 2["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"r":{"roomName":"r"}}}}]`
	leave := `< 2["easyrtcCmd",{"msgType":"roomLeave","msgData":{"roomLeave":{"default":{"roomName":"default"}}}}]`
	var b script.Table
	for _, w := range []clientWay{
		{"idle", ClientIdle, ClientConfig{}, nil},
		{"opening", ClientOpening, ClientConfig{}, login[:1]},
		{"opening with Engine.IO 3", ClientOpening, ClientConfig{EngineIO: 3}, login[:1]},
		{"connected", ClientConnected, ClientConfig{}, login[:2]},
		{"authenticating", ClientAuthenticating, ClientConfig{}, login[:3]},
		{"ready", ClientReady, ClientConfig{}, login},
		{"ready, with a hangup that waits", ClientReady, ClientConfig{}, after("< " + clientHangup)},
		{"ready, with a roomJoin that waits", ClientReady, ClientConfig{}, after(join)},
		{"ready, with a login that waits", ClientReady, ClientConfig{}, after("< " + clientLogin)},
		{"ready, with as many calls as may be", ClientReady, ClientConfig{Pending: 2}, after("< "+clientHangup, "< "+clientHangup)},
		{"ready, with stillAlive", ClientReady, ClientConfig{}, append(login[:3:3], "> 30"+alive)},
		{"ready, in no room", ClientReady, ClientConfig{}, after(leave,
			`> 31[{"msgType":"roomData","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"leave"}}}}]`)},
		{"lost, with a call", ClientIdle, ClientConfig{}, after("< "+clientHangup, "lost")},
		{"opening again", ClientOpening, ClientConfig{}, after("lost", "start")},
		{"authenticating again", ClientAuthenticating, ClientConfig{}, after("lost", "start", `> 0{"sid":"y"}`)},
		{"opening again without a login", ClientOpening, ClientConfig{}, []string{"start", `> 0{"sid":"x"}`, "lost", "start"}},
		{"closed", ClientClosed, ClientConfig{}, after("> 1")},
	} {
		b.State(w.name)
		everyClientState.Rows(t, &b, func() *ClientMachine {
			m := clientAfter(t, w.cfg, w.steps...)
			require.Equal(t, w.state, m.State(), w.name)
			return m
		})
	}
	b.Compare(t, "client")
}

var everyClientState = script.ClientStates[Message, Effects, *ClientMachine]{
	Dawn: clientDawn, Times: []time.Duration{5 * time.Second, DefaultCallTimeout, DefaultHandshakeTimeout},
	Steps: []script.ClientStep[Effects, *ClientMachine]{
		{Name: "close", Do: func(m *ClientMachine) Effects { return m.Close(clientDawn) }},
	},
	Stimuli: clientStimuli, Decode: decodeStimulus,
	Malformed: func(m *ClientMachine, err error) Effects { return m.Malformed(clientDawn, asDecodeError(err)) },
	Result: func(tb testing.TB, m *ClientMachine, given Message, fx Effects, err error) string {
		if m.State() == ClientIdle || m.State() == ClientClosed {
			requireClientForgets(tb, m)
		}
		ready := ""
		if m.Ready() {
			ready = " and ready"
		}
		return m.State().String() + ready + clientEffects(given, fx, err)
	},
}

// clientEffects tells what a step with a message asks for.
func clientEffects(msg Message, fx Effects, err error) string {
	send := func(m Message) string {
		text := clientText(m)
		if head, rest, _ := strings.Cut(text, "["); msg != nil && strings.HasSuffix(clientText(msg), rest) && rest != "" {
			return "it as " + head
		}
		return text
	}
	deliver := func(m Message) string {
		if m == msg {
			return "it"
		}
		return clientText(m)
	}
	speech := clientSpeech(nil)
	text := speech.Text(clientScript(fx), send, deliver)
	if e, ok := errors.AsType[*StateError](err); ok {
		text += fmt.Sprintf(", error only while %q", e.Required)
	} else if err != nil {
		text += ", error " + speech.Short(err)
	}
	return text
}

func TestMessagesThatAClientSendsAreItsOwn(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", `> 0{"sid":"x"}`, "< "+clientLogin, "> 30"+clientToken)
	msg := &Hangup{TargetEasyrtcID: "bob"}
	for i := range 3 {
		fx, err := m.Send(clientDawn, msg)
		require.NoError(t, err)
		require.Equal(t, []Message{&Hangup{Packet: Packet{ID: NumberID(uint64(i + 1))}, TargetEasyrtcID: "bob"}}, fx.Send)
	}
	require.Equal(t, &Hangup{TargetEasyrtcID: "bob"}, msg, "it may be sent again, and by others")
}

func TestRoomsThatTheApplicationHasAreNotChanged(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", `> 0{"sid":"x"}`, "< "+clientLogin, "> 30"+clientToken)
	token, before := m.Token(), m.Rooms()["default"]
	text := clientRooms(m.Rooms())
	for _, line := range []string{
		`2["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"update","clientListDelta":{"updateClient":{"me":{"easyrtcid":"me","username":"x"},"bob":{"easyrtcid":"bob"}},"removeClient":{"me":{"easyrtcid":"me"}}},"field":{}}}}}]`,
		`2["easyrtcCmd",{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[{"urls":["stun:192.0.2.1"]}]}}}]`,
		`2["easyrtcCmd",{"msgType":"sessionData","msgData":{"sessionData":{"easyrtcsid":"s"}}}]`,
	} {
		msg, err := Decode([]byte(line))
		require.NoError(t, err)
		m.Receive(clientDawn, msg)
	}
	require.Equal(t, text, clientRooms(map[string]*Room{"default": before}))
	require.Equal(t, text, clientRooms(token.RoomData))
	require.Empty(t, token.ICEConfig.ICEServers)
	require.Nil(t, token.SessionData)
	require.Equal(t, []string{"stun:192.0.2.1"}, m.Token().ICEConfig.ICEServers[0].Addresses())
	require.Equal(t, "s", m.Token().SessionData.EasyrtcSID)
	require.Contains(t, m.Rooms()["default"].ClientList, "bob")
	require.NotContains(t, m.Rooms()["default"].ClientList, "me")
}

func TestNegativeTimesOfAClientAreNone(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{HandshakeTimeout: -1, CallTimeout: -1, Pending: -1}, "start")
	_, due := m.Deadline()
	require.False(t, due)
	for _, line := range []string{`0{"sid":"x"}`, "30" + clientToken} {
		if line[0] == '3' {
			_, err := m.Send(clientDawn, loginOf(`{"apiVersion":"1"}`))
			require.NoError(t, err)
		}
		msg, err := Decode([]byte(line))
		require.NoError(t, err)
		m.Receive(clientDawn, msg)
	}
	for range 2 * DefaultPending {
		_, err := m.Send(clientDawn, &Hangup{TargetEasyrtcID: "bob"})
		require.NoError(t, err)
	}
	_, due = m.Deadline()
	require.False(t, due)
	require.Len(t, m.Lost(clientDawn).Done, 2*DefaultPending)
	requireClientForgets(t, m)
}

func TestRepliesOfALostConnectionComeInTheOrderOfTheirMessages(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", `> 0{"sid":"x"}`, "< "+clientLogin, "> 30"+clientToken)
	var sent []Message
	for i := range 20 {
		msg := &Msg{MsgType: fmt.Sprint(i)}
		_, err := m.Send(clientDawn, msg)
		require.NoError(t, err)
		sent = append(sent, msg)
	}
	fx := m.Lost(clientDawn)
	require.Len(t, fx.Done, len(sent))
	for i, r := range fx.Done {
		require.Same(t, sent[i], r.Request)
		require.Equal(t, ErrConnectionLost, r.Err)
		require.Nil(t, r.Response)
	}
}

// TestAClientRestoresWhatItShowedLast loses a connection, and demands what is sent on the
// next one.
func TestAClientRestoresWhatItShowedLast(t *testing.T) {
	t.Parallel()
	const (
		inR       = `[{"msgType":"roomData","msgData":{"roomData":{"r":{"roomName":"r","roomStatus":"join","clientList":{}}}}}]`
		outOfR    = `[{"msgType":"roomData","msgData":{"roomData":{"r":{"roomName":"r","roomStatus":"leave"}}}}]`
		ok        = `[{"msgType":"roomData","msgData":{"roomData":{}}}]`
		joinR     = `["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"r":{"roomName":"r"}}}}]`
		leaveR    = `["easyrtcCmd",{"msgType":"roomLeave","msgData":{"roomLeave":{"r":{"roomName":"r"}}}}]`
		showInR   = `["easyrtcCmd",{"msgType":"setRoomApiField","msgData":{"setRoomApiField":{"roomName":"r","field":{"k":1}}}}]`
		presence  = `["easyrtcCmd",{"msgType":"setPresence","msgData":{"setPresence":%s}}]`
		inDefault = `"default":{"roomName":"default"}`
	)
	for name, tt := range map[string]struct {
		steps []string // what is sent, and its answer
		login string   // the members of msgData on the next connection
		shows bool     // the api field in r
	}{
		"nothing": {nil, `"roomJoin":{` + inDefault + `}`, false},
		"a presence, member by member": {[]string{
			fmt.Sprintf(presence, `{"status":"a"}`), ok, fmt.Sprintf(presence, `{"show":"dnd"}`), ok,
			fmt.Sprintf(presence, `{"type":{"t":1}}`), ok, fmt.Sprintf(presence, `{"status":"b"}`), ok,
		}, `"setPresence":{"show":"dnd","status":"b","type":{"t":1}},"roomJoin":{` + inDefault + `}`, false},
		"an api field": {[]string{joinR, inR, showInR, ok}, `"roomJoin":{` + inDefault + `,"r":{"roomName":"r"}}`, true},
		"an api field in a room that it has left": {
			[]string{joinR, inR, showInR, ok, leaveR, outOfR}, `"roomJoin":{` + inDefault + `}`, false,
		},
		"an api field before it left": {
			[]string{joinR, inR, showInR, ok, leaveR, outOfR, joinR, inR}, `"roomJoin":{` + inDefault + `,"r":{"roomName":"r"}}`, false,
		},
		"what was refused": {[]string{joinR, badRoom, fmt.Sprintf(presence, `{"show":"xa"}`), badRoom, showInR, badRoom},
			`"roomJoin":{` + inDefault + `}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := []string{"start", `> 0{"sid":"x"}`, "< " + clientLogin, "> 30" + clientToken}
			for i := 0; i < len(tt.steps); i += 2 {
				steps = append(steps, "< 2"+tt.steps[i], fmt.Sprint("> 3", i/2+1, tt.steps[i+1]))
			}
			m := clientAfter(t, ClientConfig{}, append(steps, "lost", "start")...)
			hear := func(line string) (sent []string) {
				msg, err := Decode([]byte(line))
				require.NoError(t, err)
				for _, msg := range m.Receive(clientDawn, msg).Send {
					sent = append(sent, clientText(msg))
				}
				return sent
			}
			require.Equal(t, []string{
				`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1",` + tt.login + `}}]`,
			}, hear(`0{"sid":"y"}`))
			token := strings.Replace(clientToken, `"roomData":{`, `"roomData":{"r":{"roomName":"r","roomStatus":"join","clientList":{}},`, 1)
			if !strings.Contains(tt.login, `"r"`) {
				token = clientToken
			}
			var shows []string
			if tt.shows {
				shows = []string{"21" + showInR}
			}
			require.Equal(t, shows, hear("30"+token))
		})
	}
}
