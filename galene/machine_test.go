package galene

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A serverStimulus is something that a server's machine may hear in any state. SELF and
// OTHER in it are client ids, UP and DOWN streams, where there are such.
type serverStimulus struct{ name, wire string }

// serverStimuli holds every message of the registry with its important variants, and what
// is no message.
var serverStimuli = []serverStimulus{
	{"handshake", `{"type":"handshake","version":["2"],"id":"SELF"}`},
	{"handshake of version 1", `{"type":"handshake","version":["1"],"id":"SELF"}`},
	{"handshake without version and id", `{"type":"handshake"}`},
	{"ping", `{"type":"ping"}`},
	{"ping of another", `{"type":"ping","source":"OTHER"}`},
	{"ping under another name", `{"type":"ping","username":"somebody"}`},
	{"pong", `{"type":"pong"}`},
	{"join", `{"type":"join","kind":"join","group":"g","username":"u","password":"p","data":{"a":1}}`},
	{"join with a token", `{"type":"join","kind":"join","group":"g","token":"t"}`},
	{"join without a name", `{"type":"join","kind":"join","group":"g"}`},
	{"join of no group", `{"type":"join","kind":"join","group":"/","username":"u"}`},
	{"leave", `{"type":"join","kind":"leave","group":"g"}`},
	{"leave of another group", `{"type":"join","kind":"leave","group":"h"}`},
	{"join of no kind", `{"type":"join","group":"g","username":"u"}`},
	{"joined", `{"type":"joined","kind":"join","group":"g"}`},
	{"user", `{"type":"user","kind":"add","id":"x"}`},
	{"chat", `{"type":"chat","value":"hello"}`},
	{"chat again", `{"type":"chat","id":"said","value":"hello"}`},
	{"chat to the other", `{"type":"chat","dest":"OTHER","value":"hello"}`},
	{"chat to nobody", `{"type":"chat","dest":"nobody","value":"hello"}`},
	{"chat without echo", `{"type":"chat","noecho":true,"value":"hello"}`},
	{"caption", `{"type":"chat","kind":"caption","value":"hello"}`},
	{"chathistory", `{"type":"chathistory","value":"hello"}`},
	{"usermessage", `{"type":"usermessage","kind":"info","value":"x"}`},
	{"usermessage to the other", `{"type":"usermessage","kind":"novelty","dest":"OTHER","value":{}}`},
	{"usermessage kicked", `{"type":"usermessage","kind":"kicked","dest":"OTHER"}`},
	{"useraction op of the other", `{"type":"useraction","kind":"op","dest":"OTHER"}`},
	{"useraction unop of oneself", `{"type":"useraction","kind":"unop","dest":"SELF"}`},
	{"useraction present of the other", `{"type":"useraction","kind":"present","dest":"OTHER"}`},
	{"useraction unpresent of the other", `{"type":"useraction","kind":"unpresent","dest":"OTHER"}`},
	{"useraction unpresent of oneself", `{"type":"useraction","kind":"unpresent","dest":"SELF"}`},
	{"useraction shutup of nobody", `{"type":"useraction","kind":"shutup","dest":"nobody"}`},
	{"useraction unshutup of the other", `{"type":"useraction","kind":"unshutup","dest":"OTHER"}`},
	{"useraction kick of the other", `{"type":"useraction","kind":"kick","dest":"OTHER","value":"bye"}`},
	{"useraction kick of oneself", `{"type":"useraction","kind":"kick","dest":"SELF"}`},
	{"useraction identify of the other", `{"type":"useraction","kind":"identify","dest":"OTHER"}`},
	{"useraction setdata of oneself", `{"type":"useraction","kind":"setdata","dest":"SELF","value":{"b":2}}`},
	{"useraction setdata of the other", `{"type":"useraction","kind":"setdata","dest":"OTHER","value":{"b":2}}`},
	{"useraction setstatus", `{"type":"useraction","kind":"setstatus","dest":"SELF","value":{}}`},
	{"groupaction lock", `{"type":"groupaction","kind":"lock","value":"later"}`},
	{"groupaction unlock", `{"type":"groupaction","kind":"unlock"}`},
	{"groupaction clearchat", `{"type":"groupaction","kind":"clearchat"}`},
	{"groupaction clearchat of one", `{"type":"groupaction","kind":"clearchat","value":{"id":"x","userId":"OTHER"}}`},
	{"groupaction clearchat, bad", `{"type":"groupaction","kind":"clearchat","value":7}`},
	{"groupaction record", `{"type":"groupaction","kind":"record"}`},
	{"groupaction unrecord", `{"type":"groupaction","kind":"unrecord"}`},
	{"groupaction subgroups", `{"type":"groupaction","kind":"subgroups"}`},
	{"groupaction setdata", `{"type":"groupaction","kind":"setdata","value":{"topic":"x"}}`},
	{"groupaction maketoken", `{"type":"groupaction","kind":"maketoken","value":{"group":"g","expires":1000}}`},
	{"groupaction maketoken, bad", `{"type":"groupaction","kind":"maketoken"}`},
	{"groupaction edittoken", `{"type":"groupaction","kind":"edittoken","value":{"token":"t","expires":-1}}`},
	{"groupaction listtokens", `{"type":"groupaction","kind":"listtokens"}`},
	{"groupaction novelty", `{"type":"groupaction","kind":"novelty"}`},
	{"request", `{"type":"request","request":{"":["audio","video"]}}`},
	{"request of nothing", `{"type":"request","request":{}}`},
	{"requestStream", `{"type":"requestStream","id":"DOWN","request":["audio"]}`},
	{"requestStream of nothing", `{"type":"requestStream","id":"DOWN","request":[]}`},
	{"requestStream of the default", `{"type":"requestStream","id":"DOWN"}`},
	{"requestStream of an unknown one", `{"type":"requestStream","id":"no","request":["audio"]}`},
	{"offer", `{"type":"offer","id":"new","label":"camera","sdp":"v=0"}`},
	{"offer again", `{"type":"offer","id":"UP","label":"other","sdp":"v=0 again"}`},
	{"offer in place of another", `{"type":"offer","id":"new","replace":"UP","sdp":"v=0"}`},
	{"offer of the other's stream", `{"type":"offer","id":"DOWN","sdp":"v=0"}`},
	{"offer without id", `{"type":"offer","sdp":"v=0"}`},
	{"answer", `{"type":"answer","id":"DOWN","sdp":"v=0"}`},
	{"answer to an unknown one", `{"type":"answer","id":"no","sdp":"v=0"}`},
	{"answer without id", `{"type":"answer","sdp":"v=0"}`},
	{"ice up", `{"type":"ice","id":"UP","candidate":{"candidate":"c"}}`},
	{"ice down", `{"type":"ice","id":"DOWN","candidate":{"candidate":"c"}}`},
	{"ice of an unknown one", `{"type":"ice","id":"no","candidate":{"candidate":"c"}}`},
	{"ice without a candidate", `{"type":"ice","id":"UP"}`},
	{"renegotiate", `{"type":"renegotiate","id":"DOWN"}`},
	{"renegotiate of one's own", `{"type":"renegotiate","id":"UP"}`},
	{"renegotiate without id", `{"type":"renegotiate"}`},
	{"close", `{"type":"close","id":"UP"}`},
	{"close of the other's", `{"type":"close","id":"DOWN"}`},
	{"close without id", `{"type":"close"}`},
	{"abort", `{"type":"abort","id":"DOWN"}`},
	{"abort of one's own", `{"type":"abort","id":"UP"}`},
	{"abort without id", `{"type":"abort"}`},
	{"novelty", `{"type":"novelty","a":1}`},

	{"nothing", ``},
	{"not JSON", `{"type":`},
	{"a list", `[]`},
	{"null", `null`},
	{"no type", `{}`},
	{"an id of another type", `{"type":"ping","id":7}`},
	{"two messages", `{"type":"ping"} {"type":"ping"}`},
	{"too big", `{"type":"chat","value":"` + strings.Repeat("x", 1000) + `"}`},
}

// serverStimuliLimit is the limit of the decoder in these tests.
const serverStimuliLimit = 1000

// decoded returns the message for a peer, or what is wrong with it.
func (s serverStimulus) decoded(self, other string) (Message, *DecodeError) {
	text := strings.NewReplacer("SELF", self, "OTHER", other, "UP", "of-"+self, "DOWN", "of-"+other).Replace(s.wire)
	m, err := decoder(serverStimuliLimit, true)(transport.Text, []byte(text))
	if err == nil {
		return m, nil
	}
	return nil, asDecodeError(err)
}

func TestServerStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	types, names := make(map[string]bool), make(map[string]bool)
	for _, in := range serverStimuli {
		require.False(t, names[in.name], in.name)
		names[in.name] = true
		if m, err := in.decoded("a", "b"); err == nil {
			types[m.wireType()] = true
		}
	}
	for typ := range registry {
		require.True(t, types[typ], typ)
	}
}

// The peers of TestServerMachineInEveryState.
const (
	subject   PeerID = 1
	companion PeerID = 2 // in its group, an operator
)

var peerNames = map[PeerID]string{subject: "it", companion: "the other"}

var (
	asOperator = Permissions{
		PermissionOp, PermissionPresent, PermissionMessage, PermissionCaption, PermissionToken, PermissionRecord,
	}
	asSpeaker = Permissions{PermissionPresent, PermissionMessage}
)

func shakeHands(m *ServerMachine, id PeerID, client string) {
	m.Receive(serverDawn, id, &Handshake{Version: []string{Version}, ID: client})
}

// enterGroup lets a peer that has shaken hands into the group g.
func enterGroup(m *ServerMachine, id PeerID, username string, permissions Permissions) ServerEffects {
	fx := m.Receive(serverDawn, id, &Join{Kind: JoinJoin, Group: "g", Username: &username})
	return m.Decide(serverDawn, fx.Ask[0].Ticket, admitAs(username, permissions))
}

func admitAs(username string, permissions Permissions) Decision {
	return Decision{
		Group: &Group{Name: "g", AllowRecording: true, AutoSubgroups: true, MaxClients: 5},
		Grant: Grant{Username: username, Permissions: permissions},
	}
}

type serverWay struct {
	name  string
	state ServerState
	way   func(m *ServerMachine)
}

func TestServerMachineInEveryState(t *testing.T) {
	t.Parallel()
	shaken := func(m *ServerMachine) { shakeHands(m, subject, "a") }
	joined := func(permissions ...Permission) func(m *ServerMachine) {
		return func(m *ServerMachine) { shaken(m); enterGroup(m, subject, "ann", permissions) }
	}
	says := func(m *ServerMachine, id PeerID, msg Message) { m.Receive(serverDawn, id, msg) }
	everything := &Request{Request: map[string][]TrackKind{"": {TrackAudio, TrackVideo}}}
	calling := func(m *ServerMachine) {
		joined(asOperator...)(m)
		says(m, subject, everything)
		says(m, companion, everything)
		says(m, subject, &Offer{ID: "of-a", Label: "camera", SDP: "v=0"})
		says(m, companion, &Offer{ID: "of-b", SDP: "v=0"})
		if m.cfg.Media {
			m.Media(serverDawn, subject, &Offer{ID: "of-b", SDP: "v=0"})
			m.Media(serverDawn, companion, &Offer{ID: "of-a", SDP: "v=0"})
		}
	}
	ways := []serverWay{
		{"handshaking", ServerHandshaking, func(*ServerMachine) {}},
		{"ready", ServerReady, shaken},
		{"ready, asked about a join", ServerReady, func(m *ServerMachine) {
			shaken(m)
			username := "ann"
			says(m, subject, &Join{Kind: JoinJoin, Group: "g", Username: &username})
		}},
		{"joined as an operator", ServerJoined, joined(asOperator...)},
		{"joined as a speaker", ServerJoined, joined(asSpeaker...)},
		{"joined as an observer", ServerJoined, joined()},
		{"joined, asked about a token", ServerJoined, func(m *ServerMachine) {
			joined(asOperator...)(m)
			says(m, subject, &GroupAction{Kind: GroupListTokens})
		}},
		{"joined, sending and receiving", ServerJoined, calling},
		{"left", ServerReady, func(m *ServerMachine) {
			calling(m)
			says(m, subject, &Join{Kind: JoinLeave, Group: "g"})
		}},
	}
	for file, media := range map[string]bool{"server": false, "server-media": true} {
		var b script.Table
		for _, w := range ways {
			if media && w.name != "joined, sending and receiving" && w.name != "joined as a speaker" {
				continue
			}
			b.State(w.name)
			serverRows(t, &b, ServerConfig{Media: media, Recorder: true}, w)
		}
		b.Compare(t, file)
	}
}

func serverRows(t *testing.T, b *script.Table, cfg ServerConfig, w serverWay) {
	row := func(name string, step func(m *ServerMachine) ServerEffects) {
		b.Twice(t, name, func() string {
			m := NewServerMachine(cfg)
			m.Connect(serverDawn, companion, Connection{Address: "192.0.2.2:2"})
			shakeHands(m, companion, "b")
			enterGroup(m, companion, "ben", asOperator)
			says := &Chat{ID: "said", Value: json.RawMessage(`"before"`)}
			m.Receive(serverDawn, companion, says)
			m.Connect(serverDawn, subject, Connection{Address: "192.0.2.1:1"})
			w.way(m)
			state, ok := m.State(subject)
			require.True(t, ok)
			require.Equal(t, w.state, state)
			fx := step(m)
			result := serverState(m) + serverEffects(fx)
			m.Disconnect(serverDawn, subject)
			m.Disconnect(serverDawn, companion)
			requireNobodyLeft(t, m)
			return result
		})
	}
	for _, in := range serverStimuli {
		row(in.name, func(m *ServerMachine) ServerEffects {
			msg, err := in.decoded("a", "b")
			if err != nil {
				return m.Malformed(serverDawn, subject, err)
			}
			return m.Receive(serverDawn, subject, msg)
		})
	}
	ticket := func(m *ServerMachine) Ticket { return Ticket{subject, m.tickets} }
	for _, d := range []struct {
		name string
		Decision
	}{
		{"admit", admitAs("ann", asSpeaker)},
		{"admit under an illegal name", admitAs("/", asSpeaker)},
		{"admit to a redirection", Decision{Group: &Group{Redirect: "https://x.example"}}},
		{"admit without a group", Decision{}},
		{"refuse", Decision{Refuse: ErrNotAuthorised}},
		{"refuse with an id", Decision{Refuse: ErrNeedUsername}},
		{"one token", Decision{Tokens: []*Token{{Token: "t", Group: "g"}}}},
		{"two tokens", Decision{Tokens: []*Token{{Token: "t", Group: "g"}, {Token: "u", Group: "g"}}}},
	} {
		row(d.name, func(m *ServerMachine) ServerEffects { return m.Decide(serverDawn, ticket(m), d.Decision) })
	}
	row("admit with another ticket", func(m *ServerMachine) ServerEffects {
		return m.Decide(serverDawn, Ticket{subject, 99}, admitAs("ann", asSpeaker))
	})
	row("disconnect", func(m *ServerMachine) ServerEffects { return m.Disconnect(serverDawn, subject) })
	row("the other disconnects", func(m *ServerMachine) ServerEffects { return m.Disconnect(serverDawn, companion) })
	row("kicked by the server", func(m *ServerMachine) ServerEffects { return m.Kick(serverDawn, subject, "bye") })
	row("the group changes", func(m *ServerMachine) ServerEffects {
		return m.Update(serverDawn, &Group{Name: "g", Description: "new"})
	})
	row("another group changes", func(m *ServerMachine) ServerEffects { return m.Update(serverDawn, &Group{Name: "h"}) })
	row("just before the handshake's end", func(m *ServerMachine) ServerEffects {
		m.Receive(serverDawn.Add(9*time.Second), companion, &Pong{})
		return m.Expire(serverDawn.Add(DefaultHandshakeTimeout - 1))
	})
	row("at the handshake's end", func(m *ServerMachine) ServerEffects { return m.Expire(serverDawn.Add(DefaultHandshakeTimeout)) })
	row("after 20 s", func(m *ServerMachine) ServerEffects { return m.Expire(serverDawn.Add(20*time.Second + 1)) })
	row("after 45 s", func(m *ServerMachine) ServerEffects { return m.Expire(serverDawn.Add(45*time.Second + 1)) })
	if cfg.Media {
		routerRows(row)
	}
}

// routerRows adds what a media router may say.
func routerRows(row func(name string, step func(m *ServerMachine) ServerEffects)) {
	for _, msg := range []Message{
		&Offer{ID: "of-b", SDP: "v=0", Replace: "x"},
		&Offer{ID: "of-a", SDP: "v=0"}, &Offer{ID: "no", SDP: "v=0"},
		&Answer{ID: "of-a", SDP: "v=0"}, &Answer{ID: "of-b", SDP: "v=0"},
		&ICE{ID: "of-a", Candidate: json.RawMessage(`{}`)}, &ICE{ID: "of-b", Candidate: json.RawMessage(`{}`)},
		&ICE{ID: "no", Candidate: json.RawMessage(`{}`)},
		&Renegotiate{ID: "of-a"}, &Renegotiate{ID: "of-b"},
		&Close{ID: "of-b"}, &Close{ID: "of-a"}, &Abort{ID: "of-a"}, &Abort{ID: "of-b"},
		&UserMessage{Kind: UserMessageError, Value: json.RawMessage(`"why"`)},
		&Ping{}, &Joined{Kind: JoinedJoin},
	} {
		row("router: "+wireTextOf(msg), func(m *ServerMachine) ServerEffects {
			again := msg
			if o, ok := msg.(*Offer); ok { // which the machine fills in
				c := *o
				again = &c
			}
			if u, ok := msg.(*UserMessage); ok {
				c := *u
				again = &c
			}
			fx, ok := m.Media(serverDawn, subject, again)
			if !ok && (len(fx.Send) > 0 || len(fx.Media) > 0) {
				panic("refused and done")
			}
			return fx
		})
	}
}

func serverState(m *ServerMachine) string {
	if s, ok := m.State(subject); ok {
		return s.String()
	}
	return "gone"
}

// serverEffects tells what a step asks for.
func serverEffects(fx ServerEffects) string {
	var b strings.Builder
	for _, d := range fx.Send {
		fmt.Fprintf(&b, ", send %s %s", peerNames[d.To], wireTextOf(d.Message))
	}
	for _, q := range fx.Ask {
		fmt.Fprintf(&b, ", ask %s", wireTextOf(q.Message))
		if q.Token != nil {
			fmt.Fprintf(&b, " about %s", value(q.Token))
		}
	}
	for _, e := range fx.Media {
		fmt.Fprintf(&b, ", route %s %s", peerNames[e.Peer], wireTextOf(e.Message))
	}
	for _, group := range fx.Record {
		fmt.Fprintf(&b, ", record %s", group)
	}
	for _, c := range fx.Close {
		fmt.Fprintf(&b, ", close %s %d %q", peerNames[c.Peer], c.Code, c.Reason)
	}
	return b.String()
}

func TestServerMachineIgnoresPeersThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	for _, in := range serverStimuli {
		msg, err := in.decoded("a", "b")
		if err != nil {
			require.Zero(t, m.Malformed(serverDawn, 1, err))
			continue
		}
		require.Zero(t, m.Receive(serverDawn, 1, msg))
	}
	require.Zero(t, m.Disconnect(serverDawn, 1))
	require.Zero(t, m.Decide(serverDawn, Ticket{Peer: 1}, Decision{}))
	require.Zero(t, m.Kick(serverDawn, 1, "x"))
	require.Zero(t, m.Update(serverDawn, &Group{Name: "g"}))
	require.Zero(t, m.Expire(serverDawn.Add(time.Hour)))
	fx, ok := m.Media(serverDawn, 1, &Close{ID: "x"})
	require.Zero(t, fx)
	require.False(t, ok)
	_, known := m.State(1)
	require.False(t, known)
	_, known = m.Member(1)
	require.False(t, known)
	requireNobodyLeft(t, m)
}
