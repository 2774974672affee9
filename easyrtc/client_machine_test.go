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

// A clientStimulus is something that a client's machine may be given in any state: received
// or, if it is a message, sent.
type clientStimulus struct {
	name string
	wire string
	msg  Message // instead of wire, what has no encoding
}

const (
	clientToken = `[{"msgType":"token","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"join",` +
		`"clientList":{"me":{"easyrtcid":"me","roomJoinTime":5}}}},"application":{"applicationName":"default"},` +
		`"easyrtcid":"me","iceConfig":{"iceServers":[]},"serverTime":5}}]`
	clientLogin  = `2["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1"}}]`
	clientHangup = `2["easyrtcCmd",{"msgType":"hangup","targetEasyrtcid":"bob"}]`
)

// clientStimuli hold every message of the registry, with what makes a difference for a
// client, and what is no message. Of the calls 0 to 2 some wait in some states, 9 never.
var clientStimuli = []clientStimulus{
	{name: "connect", wire: `0{"sid":"x"}`},
	{name: "connect to another namespace", wire: `0/foo,{"sid":"x"}`},
	{name: "disconnect", wire: `1`},
	{name: "disconnect from another namespace", wire: `1/foo,`},
	{name: "connect_error", wire: `4{"message":"Invalid namespace"}`},
	{name: "connect_error of another namespace", wire: `4/foo,{"message":"Invalid namespace"}`},

	{name: "authenticate", wire: clientLogin},
	{name: "authenticate without msgData", wire: `2["easyrtcAuth",{"msgType":"authenticate"}]`},
	{name: "offer", wire: `2["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"bob","msgData":{"type":"offer","sdp":"v=0"}}]`},
	{name: "offer without msgData", wire: `2["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"bob"}]`},
	{name: "answer", wire: `2["easyrtcCmd",{"msgType":"answer","targetEasyrtcid":"bob","msgData":{"type":"answer","sdp":"v=0"}}]`},
	{name: "candidate", wire: `2["easyrtcCmd",{"msgType":"candidate","targetEasyrtcid":"bob","msgData":{"candidate":"c"}}]`},
	{name: "reject", wire: `2["easyrtcCmd",{"msgType":"reject","targetEasyrtcid":"bob"}]`},
	{name: "hangup", wire: clientHangup},
	{name: "getIceConfig", wire: `2["easyrtcCmd",{"msgType":"getIceConfig","msgData":{}}]`},
	{name: "getRoomList", wire: `2["easyrtcCmd",{"msgType":"getRoomList"}]`},
	{name: "roomJoin", wire: `2["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"r":{"roomName":"r"}}}}]`},
	{name: "roomJoin of none", wire: `2["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{}}}]`},
	{name: "roomLeave", wire: `2["easyrtcCmd",{"msgType":"roomLeave","msgData":{"roomLeave":{"r":{"roomName":"r"}}}}]`},
	{name: "setRoomApiField", wire: `2["easyrtcCmd",{"msgType":"setRoomApiField","msgData":{"setRoomApiField":{"roomName":"r","field":{}}}}]`},
	{name: "setPresence", wire: `2["easyrtcCmd",{"msgType":"setPresence","msgData":{"setPresence":{"show":"away"}}}]`},
	{name: "setUserCfg", wire: `2["easyrtcCmd",{"msgType":"setUserCfg","msgData":{"setUserCfg":{"userSettings":{"a":1}}}}]`},
	{name: "stillAlive", wire: `2["easyrtcCmd",{"msgType":"stillAlive","msgData":{}}]`},
	{name: "a message", wire: `2["easyrtcMsg",{"msgType":"m","targetRoom":"default","msgData":1}]`},
	{name: "an event of the application", wire: `2["novelty",1]`},
	{name: "a command of the application", wire: `2["easyrtcCmd",{"msgType":"novelty","x":1}]`},

	{name: "received offer with an id", wire: `27["easyrtcCmd",{"msgType":"offer","senderEasyrtcid":"bob","easyrtcid":"me","msgData":{"type":"offer","sdp":"v=0"},"serverTime":5}]`},
	{name: "received roomData, update", wire: `27["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"update","clientListDelta":{"updateClient":{"bob":{"easyrtcid":"bob"}}}}}},"easyrtcid":"me","serverTime":5}]`},
	{name: "received roomData, leave", wire: `27["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":{"default":{"roomName":"default","roomStatus":"leave"}}},"easyrtcid":"me","serverTime":5}]`},
	{name: "received roomData without msgData", wire: `27["easyrtcCmd",{"msgType":"roomData"}]`},
	{name: "received sessionData", wire: `27["easyrtcCmd",{"msgType":"sessionData","msgData":{"sessionData":{"easyrtcsid":"s"}}}]`},
	{name: "received iceConfig", wire: `27["easyrtcCmd",{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[]}}}]`},
	{name: "received forwardToUrl", wire: `27["easyrtcCmd",{"msgType":"forwardToUrl","msgData":{"forwardToUrl":{"url":"u"}}}]`},
	{name: "received error", wire: `27["easyrtcCmd",{"msgType":"error","msgData":{"errorCode":"SERVER_SHUTDOWN","errorText":"bye"}}]`},
	{name: "received message without an id", wire: `2["easyrtcMsg",{"msgType":"m","msgData":1}]`},
	{name: "received event without a name", wire: `27[7]`},
	{name: "received reserved event", wire: `27["connect",1]`},
	{name: "received binary message", msg: &Msg{Packet: Packet{ID: NumberID(7), Attachments: [][]byte{{1}}}, MsgType: "m",
		MsgData: []byte(`{"_placeholder":true,"num":0}`)}},

	{name: "ack 0", wire: `30[{"msgType":"ack"}]`},
	{name: "ack 1", wire: `31[{"msgType":"ack"}]`},
	{name: "ack 9", wire: `39[{"msgType":"ack"}]`},
	{name: "ack without an id", wire: `3[{"msgType":"ack"}]`},
	{name: "ack 1 without arguments", wire: `31[]`},
	{name: "error 0", wire: `30[{"msgType":"error","serverTime":5,"msgData":{"errorCode":"LOGIN_BAD_AUTH","errorText":"no"}}]`},
	{name: "error 1", wire: `31[{"msgType":"error","serverTime":5,"msgData":{"errorCode":"MSG_REJECT_BAD_DATA","errorText":"no"}}]`},
	{name: "error 1 without msgData", wire: `31[{"msgType":"error"}]`},
	{name: "token 0", wire: `30` + clientToken},
	{name: "token 0 without msgData", wire: `30[{"msgType":"token"}]`},
	{name: "token 1", wire: `31` + clientToken},
	{name: "roomData 1", wire: `31[{"msgType":"roomData","msgData":{"roomData":{"r":{"roomName":"r","roomStatus":"join","clientList":{}}}}}]`},
	{name: "roomList 1", wire: `31[{"msgType":"roomList","msgData":{"roomList":{}}}]`},
	{name: "iceConfig 1", wire: `31[{"msgType":"iceConfig","msgData":{"iceConfig":{"iceServers":[]}}}]`},
	{name: "a message 1", wire: `31[{"msgType":"m"}]`},
	{name: "roomData 1 of a wrong type", wire: `31[{"msgType":"roomData","msgData":7}]`},
	{name: "token 0 of a wrong type", wire: `30[{"msgType":"token","msgData":7}]`},
	{name: "iceConfig 9 of a wrong type", wire: `39[{"msgType":"iceConfig","msgData":7}]`},

	{name: "reconnected", msg: new(Reconnected)},

	{name: "nothing", wire: ``},
	{name: "not a packet", wire: `hello`},
	{name: "not JSON", wire: `2["easyrtcCmd",{`},
	{name: "duplicate member", wire: `2["easyrtcCmd",{"msgType":"hangup","msgType":"hangup"}]`},
	{name: "no msgType", wire: `27["easyrtcCmd",{}]`},
	{name: "no object", wire: `27["easyrtcCmd",7]`},
	{name: "wrong type of a member", wire: `27["easyrtcCmd",{"msgType":"roomData","msgData":7}]`},
	{name: "wrong type of a member, no id", wire: `2["easyrtcCmd",{"msgType":"roomData","msgData":7}]`},
	{name: "too big", wire: `2["novelty","` + strings.Repeat("x", clientTooBig) + `"]`},
}

// clientTooBig is the limit of the decoder in these tests.
const clientTooBig = 1000

func (s clientStimulus) decoded() (Message, *DecodeError) {
	if s.msg != nil {
		return s.msg, nil
	}
	m, err := (&Decoder{Limit: clientTooBig}).Decode(transport.Text, []byte(s.wire))
	if err != nil {
		return nil, asDecodeError(err)
	}
	return m, nil
}

func TestClientStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	have, names := make(map[string]bool), make(map[string]bool)
	for _, in := range clientStimuli {
		require.False(t, names[in.name], in.name)
		names[in.name] = true
		if m, err := in.decoded(); err == nil {
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

// clientAfter returns a machine after some steps: "> " is received, "< " is sent.
func clientAfter(t *testing.T, cfg ClientConfig, steps ...string) *ClientMachine {
	t.Helper()
	m := NewClientMachine(cfg)
	for _, step := range steps {
		switch step {
		case "start":
			m.Start(clientDawn)
			continue
		case "lost":
			m.Lost(clientDawn)
			continue
		}
		msg, err := Decode([]byte(step[2:]))
		require.NoError(t, err, step)
		if step[0] == '>' {
			m.Receive(clientDawn, msg)
			continue
		}
		_, err = m.Send(clientDawn, msg)
		require.NoError(t, err, step)
	}
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
		clientRows(t, &b, func() *ClientMachine {
			m := clientAfter(t, w.cfg, w.steps...)
			require.Equal(t, w.state, m.State(), w.name)
			return m
		})
	}
	b.Compare(t, "client")
}

// clientRows takes every step from a state, twice each: the same must come of it.
func clientRows(t *testing.T, b *script.Table, begin func() *ClientMachine) {
	row := func(name string, msg Message, step func(m *ClientMachine) (Effects, error)) {
		once := func() string {
			m := begin()
			fx, err := step(m)
			if m.State() == ClientIdle || m.State() == ClientClosed {
				requireClientForgets(t, m)
			}
			ready := ""
			if m.Ready() {
				ready = " and ready"
			}
			return m.State().String() + ready + clientEffects(msg, fx, err)
		}
		result := once()
		require.Equal(t, result, once(), "the machine is not deterministic")
		b.Row(name, result)
	}
	row("start", nil, func(m *ClientMachine) (Effects, error) { return m.Start(clientDawn), nil })
	row("lost", nil, func(m *ClientMachine) (Effects, error) { return m.Lost(clientDawn), nil })
	row("close", nil, func(m *ClientMachine) (Effects, error) { return m.Close(clientDawn), nil })
	for _, after := range []time.Duration{5 * time.Second, DefaultCallTimeout, DefaultHandshakeTimeout} {
		row(fmt.Sprintf("just before %v", after), nil, func(m *ClientMachine) (Effects, error) {
			return m.Expire(clientDawn.Add(after - 1)), nil
		})
		row(fmt.Sprintf("after %v", after), nil, func(m *ClientMachine) (Effects, error) {
			return m.Expire(clientDawn.Add(after)), nil
		})
	}
	for _, in := range clientStimuli {
		msg, err := in.decoded()
		row(in.name, msg, func(m *ClientMachine) (Effects, error) {
			if err != nil {
				return m.Malformed(clientDawn, err), nil
			}
			return m.Receive(clientDawn, msg), nil
		})
	}
	for _, in := range clientStimuli {
		if msg, err := in.decoded(); err == nil {
			row("send "+in.name, msg, func(m *ClientMachine) (Effects, error) { return m.Send(clientDawn, msg) })
		}
	}
	row("send nothing at all", nil, func(m *ClientMachine) (Effects, error) { return m.Send(clientDawn, nil) })
}

// clientEffects tells what a step with a message asks for.
func clientEffects(msg Message, fx Effects, err error) string {
	var b strings.Builder
	short := func(err error) string { return strings.TrimPrefix(err.Error(), "easyrtc: ") }
	for _, m := range fx.Send {
		text := clientText(m)
		if head, rest, _ := strings.Cut(text, "["); msg != nil && strings.HasSuffix(clientText(msg), rest) && rest != "" {
			text = "it as " + head
		}
		fmt.Fprintf(&b, ", send %s", text)
	}
	for _, m := range fx.Deliver {
		text := "it"
		if m != msg {
			text = clientText(m)
		}
		fmt.Fprintf(&b, ", deliver %s", text)
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
	if e, ok := errors.AsType[*StateError](err); ok {
		fmt.Fprintf(&b, ", error only while %q", e.Required)
	} else if err != nil {
		fmt.Fprintf(&b, ", error %s", short(err))
	}
	return b.String()
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
