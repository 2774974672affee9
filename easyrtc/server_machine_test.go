package easyrtc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// population is a machine with connections 1, 2, … that are logged in as c1, c2, … and are
// in these rooms.
func population(cfg ServerConfig, n int, rooms ...string) *ServerMachine {
	if cfg.NewID == nil {
		cfg.NewID = numberedIDs()
	}
	m := NewServerMachine(cfg)
	for id := PeerID(1); id <= PeerID(n); id++ {
		enter(m, id, &AuthenticateData{RoomJoin: intoRooms(rooms...)})
	}
	return m
}

// heardBy returns the messages of a step for one connection.
func heardBy(fx ServerEffects, to PeerID) []string {
	var list []string
	for _, d := range fx.Send {
		if d.To == to {
			list = append(list, wireTextOf(d.Message))
		}
	}
	return list
}

// worldOf tells all that a machine knows of applications, rooms and sessions, and which ids
// are those of clients.
func worldOf(m *ServerMachine) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.apps)) {
		app := m.apps[name]
		fmt.Fprintf(&b, "%s %v\n", name, app.field)
		for _, name := range slices.Sorted(maps.Keys(app.rooms)) {
			fmt.Fprintf(&b, "  room %s %v", name, app.rooms[name].field)
			for _, mb := range app.rooms[name].members {
				entry, err := json.Marshal(mb.entry)
				fmt.Fprintf(&b, " %s %v", entry, err)
			}
			b.WriteString("\n")
		}
		for _, sid := range slices.Sorted(maps.Keys(app.sessions)) {
			fmt.Fprintf(&b, "  session %s %v %d\n", sid, app.sessions[sid].field, len(app.sessions[sid].conns))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.ids)) {
		if peer, ok := m.Peer(id); ok {
			fmt.Fprintf(&b, "%d is %s\n", peer, id)
		}
	}
	return b.String()
}

func TestAServersConnectionGoesThroughItsStates(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{NewID: numberedIDs()})
	requireState := func(want ServerState, client bool) {
		t.Helper()
		state, ok := m.State(1)
		require.True(t, ok)
		require.Equal(t, want, state)
		_, ok = m.Client(1)
		require.Equal(t, client, ok)
		require.Equal(t, client, m.Credential(1) != nil)
	}
	m.Connect(serverDawn, 1, Connection{})
	requireState(ServerOpening, false)
	m.Receive(serverDawn, 1, new(ConnectPacket))
	requireState(ServerConnected, false)
	_, ok := m.Peer("c1")
	require.False(t, ok, "it is not logged in")
	login := &Authenticate{Packet: Packet{ID: NumberID(0)}, MsgData: &AuthenticateData{
		APIVersion: new("1"), Username: new("ann"), EasyrtcSID: new("s"),
		Credential: json.RawMessage(`{"p":1}`), RoomJoin: intoRooms("b", "a"),
	}}
	fx := m.Receive(serverDawn, 1, login)
	requireState(ServerConnected, false)
	require.Equal(t, []RoomQuestion{{Name: "a", New: true}, {Name: "b", New: true}}, fx.Ask[0].Rooms)
	m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{})
	requireState(ServerReady, true)
	client, _ := m.Client(1)
	require.Equal(t, ClientInfo{
		Application: "default", EasyrtcID: "c1", EasyrtcSID: "s", Username: "ann", Rooms: []string{"a", "b"},
	}, client)
	require.JSONEq(t, `{"p":1}`, string(m.Credential(1)))
	peer, ok := m.Peer("c1")
	require.True(t, ok)
	require.Equal(t, PeerID(1), peer)
	fx = m.Receive(serverDawn, 1, new(DisconnectPacket))
	require.Equal(t, []Departure{{1, client}}, fx.Gone)
	requireState(ServerDisconnected, false)
	m.Receive(serverDawn, 1, new(ConnectPacket))
	requireState(ServerConnected, false)
	require.Empty(t, m.Disconnect(serverDawn, 1).Gone, "it had not logged in again")
	requireNobodyLeft(t, m)
}

func TestNothingIsLeftOfALoginThatFails(t *testing.T) {
	t.Parallel()
	type attempt struct {
		name string
		try  func(m *ServerMachine) ServerEffects
	}
	var attempts []attempt
	for _, in := range serverStimuli {
		if strings.HasPrefix(in.name, "login") || strings.HasPrefix(in.name, EventAuth) {
			attempts = append(attempts, attempt{in.name, func(m *ServerMachine) ServerEffects {
				fx := in.given(m, serverDawn, 2, "c2", "c1", "c9")
				for _, q := range fx.Ask {
					fx = m.Decide(serverDawn, q.Ticket, Decision{Refuse: ErrLoginBadAuth})
				}
				return fx
			}})
		}
	}
	everything := &Authenticate{Packet: Packet{ID: NumberID(0)}, MsgData: &AuthenticateData{
		APIVersion: new("1"), ApplicationName: new("new"), Username: new("eve"), EasyrtcSID: new("t"),
		SetPresence: &PresenceUpdate{Show: new(ShowDND)}, RoomJoin: intoRooms("a", "new", "z"),
	}}
	known := copied(everything)
	known.MsgData = copied(everything.MsgData)
	known.MsgData.ApplicationName = nil
	known.MsgData.EasyrtcSID = new("s")
	fields := fieldsOf("f")
	for name, d := range map[string]Decision{
		"the first room":  {Rooms: map[string]RoomDecision{"a": {Refuse: ErrBadRoom}, "new": {Field: fields}}},
		"the last room":   {Rooms: map[string]RoomDecision{"z": {Refuse: ErrBadRoom}, "new": {Field: fields}}},
		"a room that was": {Rooms: map[string]RoomDecision{"z": {MustExist: true}}},
		"the id":          {EasyrtcID: "c1", Field: fields, SessionField: fields},
		"an improper id":  {EasyrtcID: "", Refuse: ErrLoginGenFail, Username: "x", Field: fields, SessionField: fields},
	} {
		for where, login := range map[string]*Authenticate{"a new application": everything, "an old one": known} {
			attempts = append(attempts, attempt{name + " in " + where, func(m *ServerMachine) ServerEffects {
				return m.Decide(serverDawn, m.Receive(serverDawn, 2, login).Ask[0].Ticket, d)
			}})
		}
	}
	for _, a := range attempts {
		m := population(ServerConfig{}, 1, "a", "b")
		login := &Authenticate{Packet: Packet{ID: NumberID(1)}, MsgData: &AuthenticateData{
			APIVersion: new("1"), EasyrtcSID: new("s"), RoomJoin: intoRooms("a"),
		}}
		m.Decide(serverDawn, m.Receive(serverDawn, 1, login).Ask[0].Ticket, Decision{SessionField: fieldsOf("mine")})
		m.Connect(serverDawn, 2, Connection{})
		m.Receive(serverDawn, 2, new(ConnectPacket))
		before := worldOf(m)
		fx := a.try(m)
		require.Equal(t, before, worldOf(m), a.name)
		require.Empty(t, heardBy(fx, 1), a.name)
		require.Empty(t, fx.Gone, a.name)
		said := heardBy(fx, 2)
		require.Equal(t, "41", said[len(said)-1], a.name)
		state, _ := m.State(2)
		require.Equal(t, ServerDisconnected, state, a.name)
		m.Disconnect(serverDawn, 1)
		m.Disconnect(serverDawn, 2)
		requireNobodyLeft(t, m)
	}
}

func TestWhiteSpaceInWhatIsSentToManyIsNotKept(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	space := strings.Repeat(" ", 1<<16)
	for _, in := range []serverStimulus{
		apiField("", `"roomName":"default","field":{`+space+`"a":[1,`+space+`" 2"]}`),
		presence("", `"type":{`+space+`"b":" "}`),
	} {
		for _, line := range heardBy(in.given(m, serverDawn, 1, "c1", "c2", ""), 2) {
			require.Less(t, len(line), 1000)
		}
	}
	o := m.Occupants("default", "default")[0]
	require.Equal(t, `{"a":[1," 2"]}`, string(o.APIField))
	require.Equal(t, `{"b":" "}`, string(o.Presence.Type))
}

func TestAnIDThatIsInUseIsAskedForAgain(t *testing.T) {
	t.Parallel()
	ids := []string{"a", "a", "a", "b", "b", "a", "c"}
	m := NewServerMachine(ServerConfig{NewID: func() string {
		id := ids[0]
		ids = ids[1:]
		return id
	}})
	for id := PeerID(1); id <= 3; id++ {
		enter(m, id, new(AuthenticateData))
	}
	for id, want := range []string{"a", "b", "c"} {
		client, ok := m.Client(PeerID(id + 1))
		require.True(t, ok)
		require.Equal(t, want, client.EasyrtcID)
	}
}

func TestAnIDIsTakenBeforeTheLogin(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{}) // its own ids are numbered
	greeted := make(map[string]bool)
	for id := PeerID(3); id >= 1; id-- {
		m.Connect(serverDawn, id, Connection{})
		greeted[heardBy(m.Receive(serverDawn, id, new(ConnectPacket)), id)[0]] = true
	}
	require.Len(t, greeted, 3, "an id of Socket.IO that is another's")
	m.Disconnect(serverDawn, 2)
	enter(m, 2, new(AuthenticateData))
	mine, _ := m.Client(2)
	login := &Authenticate{Packet: Packet{ID: NumberID(0)}, MsgData: &AuthenticateData{APIVersion: new("1")}}
	q := m.Receive(serverDawn, 1, login).Ask[0]
	require.NotEqual(t, mine.EasyrtcID, q.Client.EasyrtcID)
	fx := m.Receive(serverDawn, 2, &Authenticate{Packet: Packet{ID: NumberID(1)}, MsgData: login.MsgData})
	fx = m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{EasyrtcID: q.Client.EasyrtcID})
	require.Contains(t, heardBy(fx, 2)[0], "LOGIN_GEN_FAIL")
	m.Decide(serverDawn, q.Ticket, Decision{})
	client, ok := m.Client(1)
	require.True(t, ok)
	require.Equal(t, q.Client.EasyrtcID, client.EasyrtcID)
}

func TestWhoSharesOneRoomDoesNotHearOfOthers(t *testing.T) {
	t.Parallel()
	anything := func(name string) bool { return name != "" }
	m := population(ServerConfig{Rules: Rules{RoomName: anything}, NewID: numberedIDs()}, 0)
	enter(m, 1, &AuthenticateData{RoomJoin: intoRooms("a", "b", "a/b", `a"b`)})
	enter(m, 2, &AuthenticateData{RoomJoin: intoRooms("a", "b")})
	enter(m, 3, &AuthenticateData{RoomJoin: intoRooms("a/b")})
	enter(m, 4, &AuthenticateData{RoomJoin: intoRooms(`a"b`, "a")})
	fx := m.Receive(serverDawn, 1, &SetPresence{
		Packet: Packet{ID: NumberID(5)}, MsgData: &SetPresenceData{SetPresence: &PresenceUpdate{Show: new(ShowAway)}},
	})
	heard := make(map[PeerID][]string)
	for _, d := range fx.Send[1:] {
		heard[d.To] = slices.Sorted(maps.Keys(d.Message.(*RoomData).MsgData.RoomData))
	}
	require.Equal(t, map[PeerID][]string{2: {"a", "b"}, 3: {"a/b"}, 4: {"a", `a"b`}}, heard)
}

func TestAServerHasRulesOfItsOwn(t *testing.T) {
	t.Parallel()
	only := func(want string) func(string) bool { return func(s string) bool { return s == want } }
	m := population(ServerConfig{Rules: Rules{
		APIVersion: only("1"), ApplicationName: only("app 1"), RoomName: only("room 1"), GroupName: only("group 1"),
		EasyrtcID: only("id 1"), EasyrtcSID: only("sid 1"), Username: only(""),
		PresenceShow: only("busy"), PresenceStatus: only("\n"),
	}}, 0)
	login := func(data *AuthenticateData, d Decision) ServerEffects {
		m.Connect(serverDawn, 1, Connection{})
		m.Receive(serverDawn, 1, new(ConnectPacket))
		fx := m.Receive(serverDawn, 1, &Authenticate{Packet: Packet{ID: NumberID(0)}, MsgData: data})
		if len(fx.Ask) > 0 {
			return m.Decide(serverDawn, fx.Ask[0].Ticket, d)
		}
		return fx
	}
	whole := func() *AuthenticateData {
		return &AuthenticateData{
			APIVersion: new("1"), ApplicationName: new("app 1"), EasyrtcSID: new("sid 1"), Username: new(""),
			RoomJoin: intoRooms("room 1"), SetPresence: &PresenceUpdate{Show: new(Show("busy")), Status: new("\n")},
		}
	}
	ready := Decision{EasyrtcID: "id 1"}
	login(whole(), ready)
	client, ok := m.Client(1)
	require.True(t, ok)
	require.Equal(t, "id 1", client.EasyrtcID)
	for _, step := range []struct {
		in   serverStimulus
		want ErrorCode
	}{
		{msg("", `,"targetRoom":"room"`), CodeMsgRejectTargetRoom},
		{msg("", `,"targetGroup":"group"`), CodeMsgRejectTargetGroup},
		{msg("", `,"targetEasyrtcid":"c1"`), CodeMsgRejectTarget},
		{cmd("", "hangup", `,"targetEasyrtcid":"c1"`), CodeMsgRejectBadStructure},
		{presence("", `"show":"away"`), CodeMsgRejectBadStructure},
		{presence("", `"status":"x"`), CodeMsgRejectBadStructure},
	} {
		fx := step.in.given(m, serverDawn, 1, "", "", "")
		require.Contains(t, heardBy(fx, 1)[0], `"`+string(step.want)+`"`, step.in.wire)
	}
	fx := msg("", `,"targetRoom":"room 1"`).given(m, serverDawn, 1, "", "", "")
	require.Equal(t, []string{`437[{"msgType":"ack"}]`}, heardBy(fx, 1))
	for name, change := range map[string]func(d *AuthenticateData, decision *Decision){
		"version":     func(d *AuthenticateData, _ *Decision) { d.APIVersion = new("2") },
		"application": func(d *AuthenticateData, _ *Decision) { d.ApplicationName = new("app") },
		"session":     func(d *AuthenticateData, _ *Decision) { d.EasyrtcSID = new("sid") },
		"name":        func(d *AuthenticateData, _ *Decision) { d.Username = new("x") },
		"room":        func(d *AuthenticateData, _ *Decision) { d.RoomJoin = intoRooms("room") },
		"id":          func(_ *AuthenticateData, decision *Decision) { decision.EasyrtcID = "c1" },
	} {
		m.Disconnect(serverDawn, 1)
		data, d := whole(), ready
		change(data, &d)
		require.Contains(t, heardBy(login(data, d), 1)[0], `"msgType":"error"`, name)
	}
	m.Disconnect(serverDawn, 1)
	requireNobodyLeft(t, m)
}

func TestWhatAMachineHasGivenOutDoesNotChange(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{RoomField: fieldsOf("all")}, 2, "a", "b")
	type sent struct {
		msg  Message
		text string
	}
	var all []sent
	step := func(fx ServerEffects) {
		for _, q := range fx.Ask {
			fx = m.Decide(serverDawn, q.Ticket, Decision{})
		}
		for _, d := range fx.Send {
			all = append(all, sent{d.Message, wireTextOf(d.Message)})
		}
	}
	occupants := m.Occupants("default", "a")
	first := wireTextOf(&RoomData{MsgData: &RoomDataData{RoomData: map[string]*Room{
		"a": {ClientListDelta: &ClientListDelta{UpdateClient: map[string]*Occupant{"c1": occupants[0]}}},
	}}})
	for _, in := range serverStimuli {
		if in.name == "disconnect" || strings.HasPrefix(in.name, "login") && in.name != loginStimuli[0].name {
			continue
		}
		if _, err := in.decoded("c1", "c2", "c9"); err == nil {
			step(in.given(m, serverDawn, 1, "c1", "c2", "c9"))
		}
		if m.Len() < 2 {
			enter(m, 1, &AuthenticateData{RoomJoin: intoRooms("a", "b", "default")})
		}
	}
	step(m.AddRoom(serverDawn, "default", "a", fieldsOf("more")))
	require.Greater(t, len(all), 100)
	for _, s := range all {
		require.Equal(t, s.text, wireTextOf(s.msg))
	}
	require.Equal(t, first, wireTextOf(&RoomData{MsgData: &RoomDataData{RoomData: map[string]*Room{
		"a": {ClientListDelta: &ClientListDelta{UpdateClient: map[string]*Occupant{"c1": occupants[0]}}},
	}}}))
	require.Equal(t, fieldsOf("all"), m.cfg.RoomField, "the configuration has changed")
}

func TestAMessageThatIsPushedBelongsToTheApplication(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	msg := &Msg{MsgType: "x", MsgData: json.RawMessage(`1`)}
	for id := PeerID(1); id <= 2; id++ {
		fx, ok := m.Push(serverDawn, id, msg)
		require.True(t, ok)
		require.NotSame(t, msg, fx.Send[0].Message)
	}
	require.Equal(t, &Msg{MsgType: "x", MsgData: json.RawMessage(`1`)}, msg)
}

func TestARoomThatHasGoneIsNotMadeUnasked(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{DropEmptyRooms: true}, 2)
	join := func(id PeerID) Question {
		fx := m.Receive(serverDawn, id, &RoomJoin{
			Packet: Packet{ID: NumberID(1)}, MsgData: &RoomJoinData{RoomJoin: intoRooms("den")},
		})
		return fx.Ask[0]
	}
	m.Decide(serverDawn, join(1).Ticket, Decision{})
	q := join(2)
	require.False(t, q.Rooms[0].New)
	m.Receive(serverDawn, 1, new(DisconnectPacket))
	require.NotContains(t, m.Rooms("default"), "den")
	fx := m.Decide(serverDawn, q.Ticket, Decision{Rooms: map[string]RoomDecision{"den": {MustExist: true}}})
	require.Contains(t, heardBy(fx, 2)[0], "MSG_REJECT_BAD_ROOM")
	require.NotContains(t, m.Rooms("default"), "den")
	m.Decide(serverDawn, join(2).Ticket, Decision{})
	require.Contains(t, m.Rooms("default"), "den")
}

func TestWhoIsClosedIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	fx := serverStimulus{wire: `47`}.given(m, serverDawn, 1, "", "", "")
	require.Len(t, fx.Close, 1)
	require.Len(t, fx.Gone, 1)
	require.Len(t, heardBy(fx, 2), 1, "who goes is missed")
	require.Equal(t, 1, m.Len())
	require.Zero(t, m.Receive(serverDawn, 1, &GetRoomList{Packet: Packet{ID: NumberID(1)}}), "somebody who has gone")
	require.Zero(t, serverStimulus{wire: `47`}.given(m, serverDawn, 1, "", "", ""), "closed twice")
	require.Zero(t, m.Disconnect(serverDawn, 1))
}

func TestNobodyIsAskedAboutTooManyRooms(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{RoomsEach: 2}, 1)
	many := intoRooms("a", "b", "c")
	fx := m.Receive(serverDawn, 1, &RoomJoin{Packet: Packet{ID: NumberID(1)}, MsgData: &RoomJoinData{RoomJoin: many}})
	require.Empty(t, fx.Ask)
	require.Contains(t, heardBy(fx, 1)[0], "MSG_REJECT_BAD_ROOM")
	fx = m.Receive(serverDawn, 1, &Authenticate{
		Packet: Packet{ID: NumberID(2)}, MsgData: &AuthenticateData{APIVersion: new("1"), RoomJoin: many},
	})
	require.Empty(t, fx.Ask)
	require.Contains(t, heardBy(fx, 1)[0], "LOGIN_GEN_FAIL")
	require.Equal(t, map[string]ListedRoom{"default": {RoomName: "default"}}, m.Rooms("default"))
}

func TestARoomHoldsAHundred(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, DefaultRoomConnections)
	require.Equal(t, DefaultRoomConnections, m.Rooms("default")["default"].NumberClients)
	last := PeerID(DefaultRoomConnections + 1)
	fx := enter(m, last, new(AuthenticateData))
	require.Len(t, fx.Send, 2)
	require.Contains(t, heardBy(fx, last)[0], "LOGIN_GEN_FAIL")
	fx = m.Receive(serverDawn, 7, &Msg{Packet: Packet{ID: NumberID(1)}, MsgType: "x", TargetRoom: "default"})
	require.Len(t, fx.Send, DefaultRoomConnections)
	for i, d := range fx.Send[:DefaultRoomConnections-1] { // in the order of joining, then the sender's answer
		want := PeerID(i + 1)
		if want >= 7 {
			want++
		}
		require.Equal(t, want, d.To)
	}
	fx = m.Disconnect(serverDawn, 7)
	require.Len(t, fx.Send, DefaultRoomConnections-1)
	require.Len(t, m.Occupants("default", "default"), DefaultRoomConnections-1)
}

func TestEventsOfALoginAreNumberedFromZero(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 1)
	numbers := func() (ids []string) {
		for range 3 {
			fx, ok := m.Push(serverDawn, 1, &Msg{MsgType: "x"})
			require.True(t, ok)
			ids = append(ids, fx.Send[0].Message.packet().ID.String())
		}
		return ids
	}
	require.Equal(t, []string{"0", "1", "2"}, numbers())
	m.Receive(serverDawn, 1, new(DisconnectPacket))
	m.Receive(serverDawn, 1, new(ConnectPacket))
	login := &Authenticate{Packet: Packet{ID: NumberID(9)}, MsgData: &AuthenticateData{APIVersion: new("1")}}
	fx := m.Receive(serverDawn, 1, login)
	fx = m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{})
	require.Equal(t, "9", fx.Send[0].Message.packet().ID.String())
	require.Equal(t, []string{"0", "1", "2"}, numbers())
}

func TestAnswersToOldQuestionsAreDropped(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 1)
	ask := func(id uint64) Ticket {
		fx := m.Receive(serverDawn, 1, &GetICEConfig{Packet: Packet{ID: NumberID(id)}})
		require.Len(t, fx.Ask, 1)
		return fx.Ask[0].Ticket
	}
	first := ask(1)
	require.Zero(t, m.Receive(serverDawn, 1, &GetRoomList{Packet: Packet{ID: NumberID(2)}}), "it waits")
	require.Len(t, m.Decide(serverDawn, first, Decision{}).Send, 1)
	require.Zero(t, m.Decide(serverDawn, first, Decision{}), "answered twice")
	second := ask(3)
	require.Zero(t, m.Decide(serverDawn, first, Decision{}), "an answer to the one before")
	m.Receive(serverDawn, 1, new(DisconnectPacket))
	m.Receive(serverDawn, 1, new(ConnectPacket))
	login := &Authenticate{Packet: Packet{ID: NumberID(0)}, MsgData: &AuthenticateData{APIVersion: new("1")}}
	require.Len(t, m.Receive(serverDawn, 1, login).Ask, 1)
	require.Zero(t, m.Decide(serverDawn, second, Decision{}), "an answer to who it was before")
	state, _ := m.State(1)
	require.Equal(t, ServerConnected, state)
	require.Zero(t, m.Expire(serverDawn.Add(DefaultLoginTimeout-time.Nanosecond)))
}
