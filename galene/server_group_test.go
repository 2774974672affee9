package galene

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// histories are the values of the history that a newcomer of the group g hears.
func histories(m *ServerMachine, now time.Time) []string {
	const visitor PeerID = 1000
	m.Connect(now, visitor, Connection{})
	m.Receive(now, visitor, &Handshake{Version: []string{Version}, ID: "visitor"})
	username := "visitor"
	fx := m.Receive(now, visitor, &Join{Kind: JoinJoin, Group: "g", Username: &username})
	fx = m.Decide(now, fx.Ask[0].Ticket, admitAs(username, asOperator))
	var list []string
	for _, d := range fx.Send {
		if h, ok := d.Message.(*ChatHistory); ok {
			text, _ := Text(h.Value)
			list = append(list, text)
		}
	}
	m.Disconnect(now, visitor)
	return list
}

func TestTheHistoryIsBounded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cfg  ServerConfig
		size int
		want int
	}{
		"by default to 50 messages": {ServerConfig{}, 10, 50},
		"by default to 1 MiB":       {ServerConfig{}, 100 << 10, 10},
		"to as many as it says":     {ServerConfig{HistoryMessages: 7}, 10, 7},
		"to as much as it says":     {ServerConfig{HistoryBytes: 1050}, 98, 10},
		"not at all":                {ServerConfig{HistoryMessages: -1, HistoryBytes: -1}, 100 << 10, 60},
		"to nothing":                {ServerConfig{HistoryBytes: 5}, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := population(tt.cfg, 1)
			for n := range 60 {
				m.Receive(serverDawn, 1, &Chat{Value: NewText(fmt.Sprintf("%02d", n) + strings.Repeat("x", tt.size-2))})
			}
			got := histories(m, serverDawn)
			require.Len(t, got, tt.want)
			for i, text := range got {
				require.Equal(t, fmt.Sprintf("%02d", 60-tt.want+i), text[:2], "the newest, in their order")
			}
			// Room is counted anew when messages are cleared.
			m.Receive(serverDawn, 1, &GroupAction{Kind: GroupClearChat})
			require.Empty(t, histories(m, serverDawn))
			require.Zero(t, m.groups["g"].bytes)
		})
	}
}

func TestAnIDIsFreeAgainWhenItsMessageIsForgotten(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{HistoryMessages: 2}, 1)
	say := func(id string) string { return heardBy(m.Receive(serverDawn, 1, &Chat{ID: id}), 1)[0] }
	require.Contains(t, say("x"), `"id":"x"`)
	require.Contains(t, say("x"), "duplicate message id")
	say("y")
	say("z")
	require.Contains(t, say("x"), `"id":"x"`)
}

func TestGroupsThatHaveNothingToRememberAreForgotten(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before []Message
		kept   bool
	}{
		"nothing":               {nil, false},
		"private words":         {[]Message{&Chat{Dest: "c1"}, &UserMessage{Kind: "x"}}, false},
		"chat":                  {[]Message{&Chat{}}, true},
		"chat that was cleared": {[]Message{&Chat{}, &GroupAction{Kind: GroupClearChat}}, false},
		"a lock":                {[]Message{&GroupAction{Kind: GroupLock}}, true},
		"a lock that is undone": {[]Message{&GroupAction{Kind: GroupLock}, &GroupAction{Kind: GroupUnlock}}, false},
		"data":                  {[]Message{&GroupAction{Kind: GroupSetData, Value: []byte(`{"x":1}`)}}, true},
		"data that is deleted": {[]Message{
			&GroupAction{Kind: GroupSetData, Value: []byte(`{"x":1}`)}, &GroupAction{Kind: GroupSetData, Value: []byte(`{"x":null}`)},
		}, false},
		"data of a user": {[]Message{&UserAction{Kind: UserSetData, Dest: "c1", Value: []byte(`{"x":1}`)}}, false},
	} {
		m := population(ServerConfig{}, 1)
		for _, msg := range tt.before {
			m.Receive(serverDawn, 1, msg)
		}
		m.Disconnect(serverDawn, 1)
		require.Equal(t, tt.kept, len(m.groups) > 0, name)
		requireNobodyLeft(t, m)
	}
}

func TestSoManyEmptyGroupsAreKeptForSoLong(t *testing.T) {
	t.Parallel()
	visit := func(m *ServerMachine, now time.Time, group string) {
		m.Connect(now, 1, Connection{})
		m.Receive(now, 1, &Handshake{Version: []string{Version}, ID: "c"})
		username := "u"
		fx := m.Receive(now, 1, &Join{Kind: JoinJoin, Group: group, Username: &username})
		m.Decide(now, fx.Ask[0].Ticket, Decision{Group: &Group{HistoryAge: time.Hour}, Grant: Grant{"u", asOperator}})
		m.Receive(now, 1, &Chat{Value: NewText("x")})
		m.Disconnect(now, 1)
	}
	m := NewServerMachine(ServerConfig{EmptyGroups: 3})
	for _, group := range []string{"a", "b", "c", "a", "d"} { // a was left again after the others
		visit(m, serverDawn, group)
	}
	require.Len(t, m.groups, 3)
	require.NotContains(t, m.groups, "b")
	visit(m, serverDawn.Add(time.Hour+1), "e")
	require.Len(t, m.groups, 1, "the history of the others is too old")
	requireNobodyLeft(t, m)

	m = NewServerMachine(ServerConfig{EmptyGroups: -1})
	for n := range 2000 {
		visit(m, serverDawn, fmt.Sprint("g", n))
	}
	require.Len(t, m.groups, 2000)
	m = NewServerMachine(ServerConfig{})
	for n := range 1500 {
		visit(m, serverDawn, fmt.Sprint("g", n))
	}
	require.Len(t, m.groups, 1000)
}

func TestRefusedJoinsLeaveNoGroupBehind(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	m.Connect(serverDawn, 1, Connection{})
	shakeHands(m, 1, "c")
	username := "u"
	for n, g := range []*Group{
		{Redirect: "https://x.example"}, {NotBefore: serverDawn.Add(1)}, {Expires: serverDawn.Add(-1)}, {Autokick: true}, {Autolock: true},
	} {
		fx := m.Receive(serverDawn, 1, &Join{Kind: JoinJoin, Group: fmt.Sprint("g", n), Username: &username})
		fx = m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{Group: g, Grant: Grant{"u", asSpeaker}})
		require.NotContains(t, heardBy(fx, 1)[0], `"kind":"join"`)
		require.Empty(t, m.groups)
	}
}

func TestTheTimeWindowIncludesItsEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		g      Group
		refuse *Error
	}{
		"opens now":         {Group{NotBefore: serverDawn}, nil},
		"opens in a moment": {Group{NotBefore: serverDawn.Add(1)}, ErrNotOpenYet},
		"closes now":        {Group{Expires: serverDawn}, nil},
		"closed":            {Group{Expires: serverDawn.Add(-1)}, ErrClosed},
	} {
		for _, permissions := range []Permissions{asSpeaker, asOperator} {
			m := NewServerMachine(ServerConfig{})
			m.Connect(serverDawn, 1, Connection{})
			shakeHands(m, 1, "c")
			fx := m.Receive(serverDawn, 1, &Join{Kind: JoinJoin, Group: "g", Username: new(string)})
			m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{Group: &tt.g, Grant: Grant{"u", permissions}})
			state, _ := m.State(1)
			passes := tt.refuse == nil || permissions.Has(PermissionOp)
			require.Equal(t, passes, state == ServerJoined, name)
		}
	}
}

func TestAChangedDescriptionIsToldOnce(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	g := *m.groups["g"].desc
	for name, change := range map[string]func(g *Group){
		"DisplayName": func(g *Group) { g.DisplayName = "x" }, "Description": func(g *Group) { g.Description = "x" },
		"Contact": func(g *Group) { g.Contact = "x" }, "Public": func(g *Group) { g.Public = true },
		"Redirect": func(g *Group) { g.Redirect = "x" }, "MaxClients": func(g *Group) { g.MaxClients = 7 },
		"HistoryAge": func(g *Group) { g.HistoryAge = 7 }, "NotBefore": func(g *Group) { g.NotBefore = serverDawn },
		"Expires": func(g *Group) { g.Expires = serverDawn }, "AllowRecording": func(g *Group) { g.AllowRecording = !g.AllowRecording },
		"UnrestrictedTokens": func(g *Group) { g.UnrestrictedTokens = true }, "AuthServer": func(g *Group) { g.AuthServer = "x" },
		"AuthPortal": func(g *Group) { g.AuthPortal = "x" }, "CanChangePassword": func(g *Group) { g.CanChangePassword = true },
		"Codecs": func(g *Group) { g.Codecs = []string{"vp9"} }, "Users": func(g *Group) { g.Users = []string{"x"} },
		"Autolock": func(g *Group) { g.Autolock = true }, "Autokick": func(g *Group) { g.Autokick = true },
	} {
		changed := g
		change(&changed)
		require.Len(t, m.Update(serverDawn, &changed).Send, 2, name)
		again := changed
		require.Empty(t, m.Update(serverDawn, &again).Send, name)
		m.Update(serverDawn, &g)
	}
	require.Equal(t, 2, len(m.groups["g"].members))
}

func TestOccupationIsWhatThePublicMayKnow(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 2)
	n, locked := m.occupation("g")
	require.Equal(t, 2, n)
	require.False(t, locked)
	require.Equal(t, []string{"g"}, m.occupied())
	m.Receive(serverDawn, 1, &GroupAction{Kind: GroupLock})
	n, locked = m.occupation("g")
	require.Equal(t, 2, n)
	require.True(t, locked)
	m.Disconnect(serverDawn, 1)
	m.Disconnect(serverDawn, 2)
	n, locked = m.occupation("g")
	require.Zero(t, n)
	require.True(t, locked, "which it remembers")
	require.Empty(t, m.occupied())
	n, locked = m.occupation("elsewhere")
	require.Zero(t, n)
	require.False(t, locked)
}

func TestAServerThatDoesNotRecordSaysSo(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 1)
	fx := m.Receive(serverDawn, 1, &GroupAction{Kind: GroupRecord})
	require.Empty(t, fx.Record)
	require.Contains(t, heardBy(fx, 1)[0], "this server does not record")
	m = population(ServerConfig{Recorder: true}, 1)
	require.Equal(t, []string{"g"}, m.Receive(serverDawn, 1, &GroupAction{Kind: GroupRecord}).Record)
	require.Empty(t, m.Receive(serverDawn, 1, &GroupAction{Kind: GroupRecord}).Record)
	m.unrecorded("g") // it could not be connected
	require.Equal(t, []string{"g"}, m.Receive(serverDawn, 1, &GroupAction{Kind: GroupRecord}).Record)
	m.unrecorded("elsewhere")
}

func TestAGroupHasSoManyMembers(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{2: 2, 0: 1000, -1: 1010} {
		m := NewServerMachine(ServerConfig{Members: limit})
		join := func(id PeerID, group string) *Joined {
			m.Connect(serverDawn, id, Connection{})
			shakeHands(m, id, fmt.Sprint("c", id))
			username := "u"
			fx := m.Receive(serverDawn, id, &Join{Kind: JoinJoin, Group: group, Username: &username})
			fx = m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{Group: &Group{}, Grant: Grant{username, asOperator}})
			require.Empty(t, fx.Close)
			return fx.Send[0].Message.(*Joined)
		}
		for id := range PeerID(1010) {
			joined := join(id+1, "g")
			if int(id) >= want {
				require.Equal(t, JoinedFail, joined.Kind)
				require.Equal(t, "too many users", joined.Value)
			} else {
				require.Equal(t, JoinedJoin, joined.Kind)
			}
		}
		require.Len(t, m.groups["g"].members, want)
		require.Equal(t, JoinedJoin, join(9999, "other").Kind)
	}
}

func TestNamesThatAreTooLongAreNoNames(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		client, group, username int // lengths
		refusal                 string
	}{
		"long enough":      {nameBytes, nameBytes, nameBytes, ""},
		"a long id":        {nameBytes + 1, 1, 1, "internal server error"},
		"a long group":     {1, nameBytes + 1, 1, "illegal group name"},
		"a long user name": {1, 1, nameBytes + 1, "not authorised"},
	} {
		m := NewServerMachine(ServerConfig{})
		m.Connect(serverDawn, 1, Connection{})
		shakeHands(m, 1, strings.Repeat("c", tt.client))
		username := strings.Repeat("u", tt.username)
		fx := m.Receive(serverDawn, 1, &Join{Kind: JoinJoin, Group: strings.Repeat("g", tt.group), Username: &username})
		for _, q := range fx.Ask {
			fx = m.Decide(serverDawn, q.Ticket, Decision{Group: &Group{}, Grant: Grant{username, asOperator}})
		}
		joined := fx.Send[0].Message.(*Joined)
		require.Equal(t, tt.refusal, joined.Value, name)
		require.Equal(t, tt.refusal == "", joined.Kind == JoinedJoin, name)
		if tt.refusal != "" {
			require.Empty(t, m.groups, name)
		}
	}
}

func TestWhatIsRememberedDoesNotHoldTheMessagesThatItCameWith(t *testing.T) {
	// Not parallel: it looks at the heap.
	padding := strings.Repeat("x", 512<<10)
	padded := func(text string) Message {
		m, err := Decode([]byte(text[:len(text)-1] + `,"padding":"` + padding + `"}`))
		require.NoError(t, err)
		return m
	}
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	m := NewServerMachine(ServerConfig{})
	for id := PeerID(1); id <= 16; id++ {
		group := fmt.Sprint("g", id/2)
		m.Connect(serverDawn, id, Connection{})
		m.Receive(serverDawn, id, padded(fmt.Sprintf(`{"type":"handshake","id":"c%d","version":["2"]}`, id)))
		fx := m.Receive(serverDawn, id, padded(`{"type":"join","kind":"join","group":"`+group+`","username":"u","data":{"a":"b"}}`))
		username := *fx.Ask[0].Message.(*Join).Username
		m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{Group: &Group{}, Grant: Grant{username, asOperator}})
		for n := range 3 {
			for _, text := range []string{
				`{"type":"chat","kind":"me","id":"i%d","value":"hello"}`,
				`{"type":"useraction","kind":"setdata","dest":"c` + fmt.Sprint(id) + `","value":{"k%d":"v"}}`,
				`{"type":"groupaction","kind":"setdata","value":{"k%d":"v"}}`,
				`{"type":"groupaction","kind":"lock","value":"locked %d"}`,
				`{"type":"request","request":{"camera%d":["audio"]}}`,
				`{"type":"offer","id":"s` + fmt.Sprint(id) + `-%d","label":"camera","sdp":"v=0"}`,
				`{"type":"ice","id":"s` + fmt.Sprint(id) + `-0","candidate":{"candidate":"%d"}}`,
			} {
				m.Receive(serverDawn, id, padded(fmt.Sprintf(text, n)))
			}
		}
	}
	require.Equal(t, 16, m.Len())
	after := heap()
	require.Less(t, after-min(before, after), uint64(2<<20), "of 180 MiB that were said")
	runtime.KeepAlive(m)
}
