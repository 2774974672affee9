package easyrtc

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A serverStimulus is something that a server's machine may hear in any state: a packet
// behind the character of Engine.IO, with its attachments. SELF, OTHER and FAR in it are
// easyrtcids: its own, that of one in its rooms, that of one in another application.
type serverStimulus struct {
	name, wire string
	binary     []string
}

// event is an event of the type and with the rest of the object.
func event(name, event, typ, rest string) serverStimulus {
	return serverStimulus{name: name, wire: fmt.Sprintf(`427[%q,{"msgType":%q%s}]`, event, typ, rest)}
}

func login(name, data string) serverStimulus {
	return event("login "+name, EventAuth, "authenticate", `,"msgData":`+data)
}

func cmd(name, typ, rest string) serverStimulus { return event(name, EventCmd, typ, rest) }
func msg(name, rest string) serverStimulus      { return event("msg "+name, EventMsg, "x", rest) }

// nested is a command whose data are of its own name once more.
func nested(typ, name, data string) serverStimulus {
	return cmd(strings.TrimSpace(typ+" "+name), typ, fmt.Sprintf(`,"msgData":{%q:{%s}}`, typ, data))
}

func roomJoin(name, data string) serverStimulus { return nested("roomJoin", name, data) }
func apiField(name, data string) serverStimulus { return nested("setRoomApiField", name, data) }
func presence(name, data string) serverStimulus { return nested("setPresence", name, data) }
func userCfg(name, data string) serverStimulus  { return nested("setUserCfg", name, data) }

// serverStimuli holds every message of the registry with its important variants, and what
// is no message.
var serverStimuli = slices.Concat([]serverStimulus{
	{name: "connect", wire: `40`},
	{name: "connect with a payload", wire: `40{"token":"x"}`},
	{name: "connect to a namespace", wire: `40/foo,`},
	{name: "disconnect", wire: `41`},
	{name: "disconnect from a namespace", wire: `41/foo,`},
	{name: "connect error", wire: `44{"message":"x"}`},
	{name: "ack", wire: `430[{"msgType":"ack"}]`},
	{name: "ack of an unknown event", wire: `4399[{"msgType":"ack"}]`},
	{name: "ack that says error", wire: `430[{"msgType":"error","msgData":{"errorCode":"x","errorText":""}}]`},
	{name: "ack without arguments", wire: `430[]`},
	{name: "binary ack", wire: `461-0[{"a":{"_placeholder":true,"num":0}}]`, binary: []string{"x"}},
	{name: "event of no name", wire: `427[5,{"msgType":"offer"}]`},
	{name: "event of another name", wire: `427["novelty",{"msgType":"offer"}]`},
	{name: "reserved event", wire: `427["disconnect"]`},
	{name: "event of a namespace", wire: `42/foo,7["easyrtcCmd",{"msgType":"getRoomList"}]`},
	{name: "event of the default namespace", wire: `42/,7["easyrtcCmd",{"msgType":"getRoomList"}]`},
	{name: "event with too long an id", wire: `421234567890123456["easyrtcCmd",{"msgType":"getRoomList"}]`},
	{name: "event that is an object", wire: `427{"msgType":"getRoomList"}`},
	{name: "not JSON", wire: `427["easyrtcCmd",{`},
	{name: "a name twice", wire: `427["easyrtcCmd",{"msgType":"getRoomList","msgType":"getRoomList"}]`},
	roomJoin("of a room twice", `"x":{"roomName":"x"},"x":{"roomName":"x"}`),
	{name: "not UTF-8", wire: "427[\"easyrtcMsg\",{\"msgType\":\"\xff\"}]"},
	{name: "nothing", wire: `4`},
	{name: "unknown packet", wire: `47`},
},
	oddArguments(EventAuth, "authenticate"), oddArguments(EventCmd, "getRoomList"), oddArguments(EventMsg, "x"),
	loginStimuli, signalStimuli, commandStimuli, msgStimuli,
)

var loginStimuli = []serverStimulus{
	login("of nobody in particular", `{"apiVersion":"1"}`),
	login("with everything", `{"apiVersion":"1","applicationName":"default","easyrtcsid":"s","username":"Eve",`+
		`"credential":{"a":1},"setPresence":{"show":"dnd"},"setUserCfg":7,"more":1,`+
		`"roomJoin":{"x":{"roomName":"x"},"default":{"roomName":"default","roomParameter":{"p":1}}}}`),
	login("to another application", `{"apiVersion":"1","applicationName":"other"}`),
	login("with an array for a credential", `{"apiVersion":"1","credential":[1]}`),
	login("without data", `null`),
	login("with an array", `[]`),
	login("without a version", `{}`),
	login("with a number for a version", `{"apiVersion":1}`),
	login("with an improper version", `{"apiVersion":"a b"}`),
	login("to an improper application", `{"apiVersion":"1","applicationName":""}`),
	login("with null for an application", `{"apiVersion":"1","applicationName":null}`),
	login("with an improper session", `{"apiVersion":"1","easyrtcsid":"a b"}`),
	login("with null for a session", `{"apiVersion":"1","easyrtcsid":null}`),
	login("with an empty name", `{"apiVersion":"1","username":""}`),
	login("with two lines for a name", `{"apiVersion":"1","username":"a\nb"}`),
	login("with null for a name", `{"apiVersion":"1","username":null}`),
	login("with a text for a credential", `{"apiVersion":"1","credential":"x"}`),
	login("with an empty credential", `{"apiVersion":"1","credential":{}}`),
	login("with null for a credential", `{"apiVersion":"1","credential":null}`),
	login("into a text", `{"apiVersion":"1","roomJoin":"x"}`),
	login("into null", `{"apiVersion":"1","roomJoin":null}`),
	login("into an array", `{"apiVersion":"1","roomJoin":[{"roomName":"0"}]}`),
	login("into no room", `{"apiVersion":"1","roomJoin":{}}`),
	login("into an improper room", `{"apiVersion":"1","roomJoin":{"a b":{"roomName":"a b"}}}`),
	login("into __proto__", `{"apiVersion":"1","roomJoin":{"__proto__":{"roomName":"__proto__"}}}`),
	login("into a room of another name", `{"apiVersion":"1","roomJoin":{"a":{"roomName":"b"}}}`),
	login("into a room without a name", `{"apiVersion":"1","roomJoin":{"a":{}}}`),
	login("into a room that is null", `{"apiVersion":"1","roomJoin":{"a":null}}`),
	login("with a text for a parameter", `{"apiVersion":"1","roomJoin":{"a":{"roomName":"a","roomParameter":"x"}}}`),
	login("with an empty presence", `{"apiVersion":"1","setPresence":{}}`),
	login("with an improper presence", `{"apiVersion":"1","setPresence":{"show":"here"}}`),
	login("with null for a status", `{"apiVersion":"1","setPresence":{"status":null}}`),
	event("login of another type", EventAuth, "login", `,"msgData":{"apiVersion":"1"}`),
	{name: "login without an id", wire: `42["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1"}}]`},
	{name: "bad login without an id", wire: `42["easyrtcAuth",{"msgType":"authenticate"}]`},
	{name: "malformed login without an id", wire: `42["easyrtcAuth",{"msgType":"authenticate","msgData":7}]`},
}

var signalStimuli = []serverStimulus{
	cmd("offer", "offer", `,"targetEasyrtcid":"OTHER","msgData":{"type":"offer","sdp":"v=0"}`),
	cmd("offer to oneself", "offer", `,"targetEasyrtcid":"SELF","msgData":{"sdp":"v=0"}`),
	cmd("offer to nobody", "offer", `,"targetEasyrtcid":"nobody","msgData":{"sdp":"v=0"}`),
	cmd("offer to another application", "offer", `,"targetEasyrtcid":"FAR","msgData":{"sdp":"v=0"}`),
	cmd("offer to nothing", "offer", `,"targetEasyrtcid":"","msgData":{"sdp":"v=0"}`),
	cmd("offer to an improper id", "offer", `,"targetEasyrtcid":"a b","msgData":{"sdp":"v=0"}`),
	cmd("offer to a number", "offer", `,"targetEasyrtcid":5,"msgData":{"sdp":"v=0"}`),
	cmd("offer without a target", "offer", `,"msgData":{"sdp":"v=0"}`),
	cmd("offer of nothing", "offer", `,"targetEasyrtcid":"OTHER"`),
	cmd("offer of nothing to nobody", "offer", `,"targetEasyrtcid":"a b"`),
	cmd("offer of a text", "offer", `,"targetEasyrtcid":"OTHER","msgData":"v=0"`),
	cmd("offer that is forged", "offer", `,"targetEasyrtcid":"OTHER","msgData":{"sdp":"v=0"}`+forged),
	cmd("answer", "answer", `,"targetEasyrtcid":"OTHER","msgData":{"type":"answer","sdp":"v=0"}`),
	cmd("answer of nothing", "answer", `,"targetEasyrtcid":"OTHER","msgData":null`),
	cmd("candidate", "candidate", `,"targetEasyrtcid":"OTHER","msgData":{"type":"candidate","candidate":"c"}`),
	cmd("candidate in an array", "candidate", `,"targetEasyrtcid":"OTHER","msgData":[0]`),
	cmd("candidate of nothing", "candidate", `,"targetEasyrtcid":"OTHER","msgData":{}`),
	cmd("reject", "reject", `,"targetEasyrtcid":"OTHER"`),
	cmd("reject with data", "reject", `,"targetEasyrtcid":"OTHER","msgData":null`),
	cmd("reject of nobody", "reject", `,"targetEasyrtcid":"nobody"`),
	cmd("hangup", "hangup", `,"targetEasyrtcid":"OTHER"`),
	cmd("hangup with data", "hangup", `,"targetEasyrtcid":"OTHER","msgData":{}`),
	cmd("hangup without a target", "hangup", ``),
	{
		name: "offer with an attachment", binary: []string{"x"},
		wire: `451-7["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"OTHER","msgData":[{"_placeholder":true,"num":0}]}]`,
	},
	{
		name: "hangup with an attachment", binary: []string{"x"},
		wire: `451-7["easyrtcCmd",{"msgType":"hangup","targetEasyrtcid":"OTHER","evil":{"_placeholder":true,"num":0}}]`,
	},
}

var commandStimuli = []serverStimulus{
	cmd("getIceConfig", "getIceConfig", ``),
	cmd("getIceConfig of an object", "getIceConfig", `,"msgData":{}`),
	cmd("getIceConfig of null", "getIceConfig", `,"msgData":null`),
	cmd("getIceConfig of a number", "getIceConfig", `,"msgData":7`),
	cmd("getIceConfig with data", "getIceConfig", `,"msgData":{"a":1}`),
	cmd("getRoomList", "getRoomList", ``),
	cmd("getRoomList with data", "getRoomList", `,"msgData":{}`),
	cmd("getRoomList of null", "getRoomList", `,"msgData":null`),
	{name: "malformed roomJoin without an id", wire: `42["easyrtcCmd",{"msgType":"roomJoin","msgData":7}]`},
	{name: "getRoomList without an id", wire: `42["easyrtcCmd",{"msgType":"getRoomList"}]`},
	roomJoin("", `"x":{"roomName":"x","roomParameter":{"p":1}}`),
	roomJoin("of two", `"y":{"roomName":"y","roomParameter":"p"},"default":{"roomName":"default"}`),
	cmd("roomJoin without data", "roomJoin", ``),
	cmd("roomJoin of a text", "roomJoin", `,"msgData":"x"`),
	cmd("roomJoin without rooms", "roomJoin", `,"msgData":{}`),
	cmd("roomJoin of null", "roomJoin", `,"msgData":{"roomJoin":null}`),
	cmd("roomJoin of an array", "roomJoin", `,"msgData":{"roomJoin":[{"roomName":"0"}]}`),
	roomJoin("of nothing", ``),
	roomJoin("of an improper name", `"a b":{"roomName":"a b"}`),
	roomJoin("of __proto__", `"__proto__":{"roomName":"__proto__"}`),
	roomJoin("of another name", `"a":{"roomName":"b"}`),
	cmd("roomLeave", "roomLeave", `,"msgData":{"roomLeave":{"default":{"roomName":"default"}}}`),
	nested("roomLeave", "of two", `"x":{"roomName":"x"},"nowhere":{"roomName":"nowhere"}`),
	cmd("roomLeave of nothing", "roomLeave", `,"msgData":{"roomLeave":{}}`),
	cmd("roomLeave of an array", "roomLeave", `,"msgData":{"roomLeave":[]}`),
	cmd("roomLeave without rooms", "roomLeave", `,"msgData":{}`),
	cmd("roomLeave without data", "roomLeave", ``),
	cmd("roomLeave of another name", "roomLeave", `,"msgData":{"roomLeave":{"a":{"roomName":"b"}}}`),
	apiField("", `"roomName":"default","field":{"a":{"fieldName":"a","fieldValue":1}}`),
	apiField("of an array", `"roomName":"default","field":[1]`),
	apiField("of nothing", `"roomName":"default","field":{}`),
	apiField("without a field", `"roomName":"default"`),
	apiField("elsewhere", `"roomName":"nowhere","field":{}`),
	apiField("of a text elsewhere", `"roomName":"nowhere","field":"x"`),
	apiField("of an improper room", `"roomName":"a b","field":"x"`),
	apiField("without a room", `"field":{}`),
	apiField("of null", `"roomName":"default","field":null`),
	apiField("of __proto__", `"roomName":"default","field":{"__proto__":{}}`),
	apiField("of 4096 units", `"roomName":"default","field":{"a":"`+strings.Repeat("x", 4088)+`"}`),
	apiField("that is empty", ``),
	cmd("setRoomApiField without data", "setRoomApiField", ``),
	presence("", `"show":"away","status":"lunch","type":null`),
	presence("of something unknown", `"foo":1`),
	presence("of nothing", ``),
	presence("of an improper show", `"show":"AWAY"`),
	presence("of two lines", `"status":"a\nb"`),
	presence("of null", `"show":null`),
	cmd("setPresence in an array", "setPresence", `,"msgData":[]`),
	cmd("setPresence without data", "setPresence", ``),
	userCfg("", `"p2pList":{"OTHER":{}},"userSettings":{"a":1},"apiField":{"b":2}`),
	userCfg("of an empty list", `"p2pList":{}`),
	userCfg("of null", `"userSettings":null`),
	userCfg("of nothing", ``),
	cmd("setUserCfg without data", "setUserCfg", ``),
	cmd("stillAlive", "stillAlive", `,"msgData":{}`),
	cmd("error", "error", `,"msgData":{"errorCode":"x","errorText":"y"}`),
	cmd("roomData", "roomData", `,"msgData":{"roomData":{}}`),
	cmd("roomData of a text", "roomData", `,"msgData":"x"`),
	cmd("sessionData", "sessionData", `,"msgData":{"sessionData":{"easyrtcsid":"s"}}`),
	cmd("iceConfig", "iceConfig", `,"msgData":{"iceConfig":{"iceServers":[]}}`),
	cmd("forwardToUrl", "forwardToUrl", `,"msgData":{"forwardToUrl":{"url":"https://evil.example"}}`),
	cmd("token as a command", "token", ``),
	cmd("authenticate as a command", "authenticate", `,"msgData":{"apiVersion":"1"}`),
	cmd("command of no type", "", ``),
}

var msgStimuli = []serverStimulus{
	msg("to the application", ``),
	msg("to the other", `,"targetEasyrtcid":"OTHER","msgData":null`),
	msg("to the other in the room", `,"targetEasyrtcid":"OTHER","targetRoom":"default","msgData":"hi"`),
	msg("to the other in another room", `,"targetEasyrtcid":"OTHER","targetRoom":"nowhere"`),
	msg("to the other in a group", `,"targetEasyrtcid":"OTHER","targetGroup":"g"`),
	msg("to oneself", `,"targetEasyrtcid":"SELF"`),
	msg("to oneself in an improper room", `,"targetEasyrtcid":"SELF","targetRoom":"a b"`),
	msg("to nobody", `,"targetEasyrtcid":"nobody"`),
	msg("to nobody in another room", `,"targetEasyrtcid":"nobody","targetRoom":"nowhere"`),
	msg("to another application", `,"targetEasyrtcid":"FAR"`),
	msg("to an improper id", `,"targetEasyrtcid":"a b"`),
	msg("to an improper everything", `,"targetEasyrtcid":"a b","targetRoom":"a b","targetGroup":"a b"`),
	msg("to an improper room and group", `,"targetRoom":"a b","targetGroup":"a b"`),
	msg("to null", `,"targetEasyrtcid":null`),
	msg("to the room", `,"targetRoom":"default","msgData":[1]`),
	msg("to another room", `,"targetRoom":"nowhere"`),
	msg("to an improper room", `,"targetRoom":"a b"`),
	msg("to an empty room", `,"targetRoom":""`),
	msg("to the null room", `,"targetRoom":null`),
	msg("to a group", `,"targetGroup":"g"`),
	msg("to an improper group", `,"targetGroup":"a b"`),
	msg("to the null group", `,"targetGroup":null`),
	msg("to a group in the room", `,"targetRoom":"default","targetGroup":"g"`),
	msg("that is forged", `,"targetEasyrtcid":"OTHER"`+forged),
	event("msg of an empty type", EventMsg, "", `,"targetEasyrtcid":"OTHER"`),
	{name: "msg without an id", wire: `42["easyrtcMsg",{"msgType":"x","targetEasyrtcid":"OTHER"}]`},
	{
		name: "msg with attachments", binary: []string{"x", "y"},
		wire: `452-7["easyrtcMsg",{"msgType":"x","targetEasyrtcid":"OTHER","msgData":` +
			`[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]}]`,
	},
	{
		name: "msg with a placeholder of nothing", binary: []string{"x"},
		wire: `451-7["easyrtcMsg",{"msgType":"x","msgData":{"_placeholder":true,"num":1}}]`,
	},
}

// forged are members that are the server's to say, and one that is nobody's.
const forged = `,"senderEasyrtcid":"FAR","easyrtcid":"FAR","serverTime":1,"evil":true`

// oddArguments are events whose argument is no object with a type, or not alone.
func oddArguments(name, typ string) []serverStimulus {
	var list []serverStimulus
	for _, args := range []string{
		``, `,null`, `,"x"`, `,7`, `,true`, `,[]`, `,{}`, `,{"msgType":null}`, `,{"msgType":7}`,
		fmt.Sprintf(`,{"msgType":%q},{}`, typ),
	} {
		list = append(list, serverStimulus{
			name: name + " [" + strings.TrimPrefix(args, ",") + "]", wire: fmt.Sprintf(`427[%q%s]`, name, args),
		})
	}
	return list
}

// decoded returns the message for a connection, or what is wrong with it.
func (s serverStimulus) decoded(self, other, far string) (m Message, wrong *DecodeError) {
	text := strings.NewReplacer("SELF", self, "OTHER", other, "FAR", far).Replace(s.wire)
	d := Decoder{Limit: DefaultMessageBytes, trusted: true}
	m, err := d.Decode(transport.Text, []byte(text[1:]))
	for _, b := range s.binary {
		if err == nil {
			m, err = d.Decode(transport.Binary, []byte(b))
		}
	}
	if err != nil {
		return nil, asDecodeError(err)
	}
	return m, nil
}

// given gives a stimulus to a machine.
func (s serverStimulus) given(m *ServerMachine, now time.Time, id PeerID, self, other, far string) ServerEffects {
	msg, err := s.decoded(self, other, far)
	if err != nil {
		return m.Malformed(now, id, err)
	}
	return m.Receive(now, id, msg)
}

func TestServerStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	types, names := make(map[string]bool), make(map[string]bool)
	for _, in := range serverStimuli {
		require.False(t, names[in.name], in.name)
		names[in.name] = true
		if m, err := in.decoded("a", "b", "c"); err == nil && m.packet() != nil && !m.packet().Ack {
			types[m.event()+" "+m.wireType()] = true
		}
	}
	for event, registered := range constructors {
		for typ := range registered {
			require.True(t, event == "" || types[event+" "+typ], "%s %s", event, typ)
		}
	}
}

// The connections of TestServerMachineInEveryState. Their easyrtcids are c1 to c3.
const (
	subject   PeerID = 1
	companion PeerID = 2 // in the rooms default and x
	stranger  PeerID = 3 // in another application
)

var serverPeerNames = map[PeerID]string{subject: "it", companion: "the other", stranger: "the stranger"}

func numberedIDs() func() string {
	n := 0
	return func() string { n++; return fmt.Sprint("c", n) }
}

// enter logs a new connection in.
func enter(m *ServerMachine, id PeerID, data *AuthenticateData) ServerEffects {
	m.Connect(serverDawn, id, Connection{})
	m.Receive(serverDawn, id, new(ConnectPacket))
	data.APIVersion = new("1")
	fx := m.Receive(serverDawn, id, &Authenticate{Packet: Packet{ID: NumberID(0)}, MsgData: data})
	return m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{})
}

func intoRooms(names ...string) map[string]RoomRequest {
	rooms := make(map[string]RoomRequest)
	for _, name := range names {
		rooms[name] = RoomRequest{RoomName: name}
	}
	return rooms
}

// A serverWay leads the subject into a state.
type serverWay struct {
	name  string
	state ServerState
	cfg   ServerConfig
	way   func(m *ServerMachine)
}

func serverWays() []serverWay {
	login := &Authenticate{Packet: Packet{ID: NumberID(5)}, MsgData: &AuthenticateData{
		APIVersion: new("1"), Username: new("Sue"), EasyrtcSID: new("s"), RoomJoin: intoRooms("x", "y"),
	}}
	opening := func(m *ServerMachine) { m.Connect(serverDawn, subject, Connection{}) }
	connected := func(m *ServerMachine) { opening(m); m.Receive(serverDawn, subject, new(ConnectPacket)) }
	ready := func(rooms ...string) func(m *ServerMachine) {
		return func(m *ServerMachine) {
			enter(m, subject, &AuthenticateData{EasyrtcSID: new("s"), RoomJoin: intoRooms(rooms...)})
		}
	}
	asked := func(cfg ServerConfig, name string, msg Message) serverWay {
		*msg.packet() = Packet{ID: NumberID(5)}
		return serverWay{name, ServerReady, cfg, func(m *ServerMachine) {
			ready("default")(m)
			if fx := m.Receive(serverDawn, subject, msg); len(fx.Ask) != 1 {
				panic("not asked")
			}
		}}
	}
	return []serverWay{
		{name: "opening", way: opening},
		{"connected", ServerConnected, ServerConfig{}, connected},
		{"connected with Engine.IO 3", ServerConnected, ServerConfig{}, func(m *ServerMachine) {
			m.Connect(serverDawn, subject, Connection{EngineIO: 3})
		}},
		{"connected, asked about a login", ServerConnected, ServerConfig{}, func(m *ServerMachine) {
			connected(m)
			m.Receive(serverDawn, subject, login)
		}},
		{"ready in the default room", ServerReady, ServerConfig{}, ready()},
		{
			"ready in two rooms, has to say that it lives", ServerReady,
			ServerConfig{StillAliveInterval: 20 * time.Second}, ready("x", "default"),
		},
		{"ready in no room", ServerReady, ServerConfig{NoDefaultRoom: true}, ready()},
		asked(ServerConfig{}, "ready, asked about another login", login),
		asked(ServerConfig{}, "ready, asked about rooms", &RoomJoin{
			MsgData: &RoomJoinData{RoomJoin: intoRooms("x", "y")},
		}),
		asked(ServerConfig{}, "ready, asked about ICE servers", &GetICEConfig{}),
		asked(ServerConfig{}, "ready, asked about a message for the application", &Msg{MsgType: "x"}),
		asked(ServerConfig{AskCommands: true}, "ready, asked about an offer", &Offer{
			TargetEasyrtcID: "c1", MsgData: json.RawMessage(`{"sdp":"v=0"}`),
		}),
		asked(ServerConfig{AskCommands: true}, "ready, asked about a message for the other", &Msg{
			MsgType: "x", TargetEasyrtcID: "c1", TargetRoom: "default",
		}),
		{"disconnected", ServerDisconnected, ServerConfig{}, func(m *ServerMachine) {
			ready("x", "default")(m)
			m.Receive(serverDawn, subject, new(DisconnectPacket))
		}},
		{"thrown out", ServerDisconnected, ServerConfig{}, func(m *ServerMachine) {
			ready("x", "default")(m)
			m.ThrowOut(serverDawn, subject)
		}},
	}
}

func TestServerMachineInEveryState(t *testing.T) {
	t.Parallel()
	var b script.Table
	for _, w := range serverWays() {
		b.State(w.name)
		serverRows(t, &b, w)
	}
	b.Compare(t, "server")
}

func serverRows(t *testing.T, b *script.Table, w serverWay) {
	row := func(name string, step func(m *ServerMachine) ServerEffects) {
		b.Twice(t, name, func() string {
			cfg := w.cfg
			cfg.NewID, cfg.NewSID = numberedIDs(), countedIDs("sid")
			m := NewServerMachine(cfg)
			enter(m, companion, &AuthenticateData{Username: new("Ben"), RoomJoin: intoRooms("default", "x")})
			enter(m, stranger, &AuthenticateData{ApplicationName: new("other"), RoomJoin: intoRooms("default", "x")})
			w.way(m)
			state, ok := m.State(subject)
			require.True(t, ok)
			require.Equal(t, w.state, state)
			fx := step(m)
			result := serverStateOf(m, subject) + serverEffects(fx)
			for _, c := range fx.Close {
				require.False(t, slices.ContainsFunc([]PeerID{subject, companion, stranger}, func(id PeerID) bool {
					_, ok := m.State(id)
					return ok && id == c.Peer
				}), "closed and still there")
			}
			m.Disconnect(serverDawn, subject)
			m.Disconnect(serverDawn, companion)
			m.Disconnect(serverDawn, stranger)
			requireNobodyLeft(t, m)
			return result
		})
	}
	for _, in := range serverStimuli {
		row(in.name, func(m *ServerMachine) ServerEffects { return in.given(m, serverDawn, subject, "c3", "c1", "c2") })
	}
	ticket := func(m *ServerMachine) Ticket { return Ticket{subject, m.conns[subject].tickets} }
	for _, d := range []struct {
		name string
		Decision
	}{
		{"let it happen", Decision{}},
		{"refuse it", Decision{Refuse: ErrLoginBadAuth}},
		{"refuse it with a text", Decision{Refuse: &Error{ErrorCode: "NO", ErrorText: "No."}}},
		{"refuse it without a text", Decision{Refuse: &Error{ErrorCode: "NO"}}},
		{"another id", Decision{EasyrtcID: "z"}},
		{"the other's id", Decision{EasyrtcID: "c1"}},
		{"the stranger's id", Decision{EasyrtcID: "c2"}},
		{"its own id", Decision{EasyrtcID: "c3"}},
		{"an improper id", Decision{EasyrtcID: "a b"}},
		{"an id that browsers stumble over", Decision{EasyrtcID: proto}},
		{"another name", Decision{Username: "Zoe"}},
		{"no name", Decision{Anonymous: true}},
		{"with fields", Decision{Field: fieldsOf("a"), SessionField: fieldsOf("b"), Rooms: map[string]RoomDecision{
			"x": {Field: fieldsOf("c")}, "y": {Field: fieldsOf("d")},
		}}},
		{"not into x", Decision{Rooms: map[string]RoomDecision{"x": {Refuse: ErrBadRoom}}}},
		{"not into y", Decision{Rooms: map[string]RoomDecision{"y": {Refuse: &Error{ErrorCode: "NO"}}}}},
		{"not into a new y", Decision{Rooms: map[string]RoomDecision{"y": {MustExist: true}, "x": {MustExist: true}}}},
		{"with ICE servers", Decision{ICEServers: []ICEServer{NewICEServer("stun:s.example")}}},
		{"with a reply", Decision{Reply: &Msg{MsgType: "re", MsgData: json.RawMessage(`1`)}}},
		{"with an ack", Decision{Reply: new(Ack)}},
	} {
		row("decided: "+d.name, func(m *ServerMachine) ServerEffects {
			return m.Decide(serverDawn, ticket(m), d.Decision)
		})
	}
	row("decided: with another ticket", func(m *ServerMachine) ServerEffects {
		t := ticket(m)
		t.number--
		return m.Decide(serverDawn, t, Decision{})
	})
	row("decided: too late", func(m *ServerMachine) ServerEffects {
		t := ticket(m)
		m.Receive(serverDawn, subject, new(DisconnectPacket))
		return m.Decide(serverDawn, t, Decision{})
	})
	row("decided: after the other has gone", func(m *ServerMachine) ServerEffects {
		m.Disconnect(serverDawn, companion)
		return m.Decide(serverDawn, ticket(m), Decision{})
	})
	row("connection lost", func(m *ServerMachine) ServerEffects { return m.Disconnect(serverDawn, subject) })
	row("the other's connection lost", func(m *ServerMachine) ServerEffects {
		return m.Disconnect(serverDawn, companion)
	})
	row("thrown out", func(m *ServerMachine) ServerEffects { return m.ThrowOut(serverDawn, subject) })
	row("a field of the default room", func(m *ServerMachine) ServerEffects {
		return m.AddRoom(serverDawn, "default", "default", fieldsOf("f"))
	})
	row("a field of the session", func(m *ServerMachine) ServerEffects {
		fx, _ := m.SetSessionField(serverDawn, subject, fieldsOf("f"))
		return fx
	})
	for _, msg := range []Message{
		&Msg{MsgType: "x", MsgData: json.RawMessage(`1`)},
		&ICEConfig{MsgData: &ICEConfigData{ICEConfig: &ICEServers{ICEServers: []ICEServer{}}}},
		&ForwardToURL{MsgData: &ForwardToURLData{ForwardToURL: &Forward{URL: "https://x.example"}}},
		&ErrorMessage{MsgData: NewError(CodeServerShutdown)}, &Unknown{Event: EventCmd, Type: "novelty"},
		new(Ack), new(ConnectPacket),
	} {
		row("pushed: "+msg.wireType(), func(m *ServerMachine) ServerEffects {
			fx, ok := m.Push(serverDawn, subject, msg)
			require.Equal(t, ok, len(fx.Send) > 0)
			require.True(t, msg.packet() == nil || msg.packet().ID == ID{}, "the application's message has changed")
			return fx
		})
	}
	for _, d := range []time.Duration{
		DefaultLoginTimeout - 1, DefaultLoginTimeout, 30*time.Second - 1, 30 * time.Second,
		DefaultConnectTimeout - 1, DefaultConnectTimeout,
	} {
		row("after "+d.String(), func(m *ServerMachine) ServerEffects { return m.Expire(serverDawn.Add(d)) })
	}
}

func fieldsOf(names ...string) FieldMap {
	f := make(FieldMap)
	for _, name := range names {
		f.Set(name, json.RawMessage(`1`))
	}
	return f
}

// wireTextOf returns a message as it is written, with the number of its attachments.
func wireTextOf(m Message) string {
	data, err := Encode(m)
	if err != nil {
		panic(err)
	}
	if n := len(attachments(m)); n > 0 {
		return fmt.Sprintf("4%s and %d binary", data, n)
	}
	return "4" + string(data)
}

func serverStateOf(m *ServerMachine, id PeerID) string {
	if s, ok := m.State(id); ok {
		return s.String()
	}
	return "gone"
}

// serverEffects tells what a step asks for.
func serverEffects(fx ServerEffects) string {
	var b strings.Builder
	for _, d := range fx.Send {
		fmt.Fprintf(&b, ", send %s %s", serverPeerNames[d.To], wireTextOf(d.Message))
	}
	for _, q := range fx.Ask {
		text := wireTextOf(q.Message)
		if len(text) > 100 { // a login with everything
			text = text[:100] + "…"
		}
		fmt.Fprintf(&b, ", ask about %s of %+v", text, q.Client)
		for _, r := range q.Rooms {
			fmt.Fprintf(&b, ", room %s %t %s", r.Name, r.New, r.Parameter)
		}
	}
	for _, d := range fx.Gone {
		fmt.Fprintf(&b, ", gone %s %+v", serverPeerNames[d.Peer], d.Client)
	}
	for _, c := range fx.Close {
		fmt.Fprintf(&b, ", close %s %d %q", serverPeerNames[c.Peer], c.Code, c.Reason)
	}
	return b.String()
}

func TestServerMachineIgnoresPeersThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	for _, in := range serverStimuli {
		require.Zero(t, in.given(m, serverDawn, subject, "a", "b", "c"), in.name)
	}
	require.Zero(t, m.Disconnect(serverDawn, subject))
	require.Zero(t, m.ThrowOut(serverDawn, subject))
	require.Zero(t, m.Decide(serverDawn, Ticket{Peer: subject}, Decision{}))
	require.Zero(t, m.Expire(serverDawn.Add(time.Hour)))
	fx, ok := m.Push(serverDawn, subject, &Msg{MsgType: "x"})
	require.Zero(t, fx)
	require.False(t, ok)
	fx, ok = m.SetSessionField(serverDawn, subject, fieldsOf("f"))
	require.Zero(t, fx)
	require.False(t, ok)
	_, known := m.State(subject)
	require.False(t, known)
	_, known = m.Client(subject)
	require.False(t, known)
	_, known = m.Peer("c1")
	require.False(t, known)
	require.Nil(t, m.Credential(subject))
	require.Nil(t, m.Rooms("nowhere"))
	require.Nil(t, m.Occupants("nowhere", "default"))
	require.Nil(t, m.Occupants("default", "nowhere"))
	requireNobodyLeft(t, m)
}
