package galene

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// population is a machine with peers 1, 2, … that are in the group g as operators.
func population(cfg ServerConfig, members int) *ServerMachine {
	m := NewServerMachine(cfg)
	for id := PeerID(1); id <= PeerID(members); id++ {
		m.Connect(serverDawn, id, Connection{})
		shakeHands(m, id, fmt.Sprint("c", id))
		enterGroup(m, id, fmt.Sprint("u", id), asOperator)
	}
	return m
}

// heardBy returns the messages of a step for one peer.
func heardBy(fx ServerEffects, to PeerID) []string {
	var list []string
	for _, d := range fx.Send {
		if d.To == to {
			list = append(list, wireTextOf(d.Message))
		}
	}
	return list
}

func TestAServersConnectionGoesThroughItsStates(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	requireState := func(want ServerState) {
		t.Helper()
		state, ok := m.State(1)
		require.True(t, ok)
		require.Equal(t, want, state)
	}
	m.Connect(serverDawn, 1, Connection{Address: "192.0.2.1:1"})
	requireState(ServerHandshaking)
	require.Equal(t, 1, m.Len())
	member, ok := m.Member(1)
	require.True(t, ok)
	require.Equal(t, Member{Peer: 1, Address: "192.0.2.1:1"}, member)
	shakeHands(m, 1, "a")
	requireState(ServerReady)
	fx := m.Receive(serverDawn, 1, &Join{Kind: JoinJoin, Group: "g", Username: new(string)})
	requireState(ServerReady)
	m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{Refuse: ErrNotAuthorised})
	requireState(ServerReady)
	enterGroup(m, 1, "ann", asSpeaker)
	requireState(ServerJoined)
	member, _ = m.Member(1)
	require.Equal(t, Member{
		Peer: 1, Group: "g", ID: "a", Username: "ann", Permissions: asSpeaker, Address: "192.0.2.1:1",
	}, member)
	m.Receive(serverDawn, 1, &Join{Kind: JoinLeave, Group: "g"})
	requireState(ServerReady)
	member, _ = m.Member(1)
	require.Equal(t, Member{Peer: 1, ID: "a", Address: "192.0.2.1:1"}, member, "nothing is left of who it was")
	m.Disconnect(serverDawn, 1)
	_, ok = m.State(1)
	require.False(t, ok)
	requireNobodyLeft(t, m)
	require.Equal(t, "handshaking ready joined state(7)",
		fmt.Sprint(ServerHandshaking, " ", ServerReady, " ", ServerJoined, " ", ServerState(7)))
}

func TestAConnectionThatGoesWhileItIsDecidedIsForgotten(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	m.Connect(serverDawn, 1, Connection{})
	shakeHands(m, 1, "a")
	fx := m.Receive(serverDawn, 1, &Join{Kind: JoinJoin, Group: "g", Username: new(string)})
	require.Len(t, fx.Ask, 1)
	require.Zero(t, m.Disconnect(serverDawn, 1))
	require.Zero(t, m.Decide(serverDawn, fx.Ask[0].Ticket, admitAs("", asOperator)))
	requireNobodyLeft(t, m)

	// A member whose token action is under way.
	m = population(ServerConfig{}, 1)
	fx = m.Receive(serverDawn, 1, &GroupAction{Kind: GroupListTokens})
	require.Len(t, fx.Ask, 1)
	m.Disconnect(serverDawn, 1)
	require.Zero(t, m.Decide(serverDawn, fx.Ask[0].Ticket, Decision{}))
	requireNobodyLeft(t, m)
}

func TestAPeerIsNotGivenUpWhileItIsDecided(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	m.Connect(serverDawn, 1, Connection{})
	shakeHands(m, 1, "a")
	fx := m.Receive(serverDawn, 1, &Join{Kind: JoinJoin, Group: "g", Username: new(string)})
	now := serverDawn
	for range 12 { // two minutes, in which nobody reads what it says
		now = now.Add(ServerTick)
		require.Empty(t, m.Expire(now).Close)
	}
	m.Decide(now, fx.Ask[0].Ticket, admitAs("", asOperator))
	require.Empty(t, m.Expire(now.Add(PingAfter)).Close, "it is heard from now on")
	for range 4 {
		now = now.Add(ServerTick)
		require.Empty(t, m.Expire(now).Close)
	}
	require.Len(t, m.Expire(now.Add(ServerTick)).Close, 1)
	requireNobodyLeft(t, m)
}

func TestTheHandshakesTimerIsAnOption(t *testing.T) {
	t.Parallel()
	for timeout, ends := range map[time.Duration]time.Duration{
		0: DefaultHandshakeTimeout, time.Second: time.Second, -1: 0,
	} {
		m := NewServerMachine(ServerConfig{HandshakeTimeout: timeout})
		m.Connect(serverDawn, 1, Connection{})
		at, due := m.Deadline()
		require.Equal(t, ends > 0, due)
		if due {
			require.Equal(t, serverDawn.Add(ends), at)
			require.Empty(t, m.Expire(at.Add(-1)).Close)
			require.Len(t, m.Expire(at).Close, 1)
		}
	}
}

func TestEveryMessageMayTellItsSenderAndMustTellTheTruth(t *testing.T) {
	t.Parallel()
	for _, in := range serverStimuli {
		var members map[string]json.RawMessage
		if json.Unmarshal([]byte(in.wire), &members) != nil || members["type"] == nil || len(in.wire) > serverStimuliLimit {
			continue
		}
		for _, tt := range []struct{ name, lie, text string }{
			{"source", `"somebody"`, "spoofed client id"},
			{"username", `"somebody"`, "spoofed username"}, {"username", `""`, "spoofed username"},
		} {
			isJoin := string(members["type"]) == `"join"`
			lying := maps.Clone(members)
			delete(lying, "source")
			lying[tt.name] = json.RawMessage(tt.lie)
			text, err := json.Marshal(lying)
			require.NoError(t, err)
			m := population(ServerConfig{}, 1)
			msg, err := decoder(serverStimuliLimit, true)(0, text)
			if err != nil {
				continue // of another JSON type in any case
			}
			fx := m.Receive(serverDawn, 1, msg)
			if isJoin && tt.name == "username" {
				require.NotContains(t, fmt.Sprint(heardBy(fx, 1)), "spoofed", in.name)
				continue
			}
			require.Equal(t, []Closing{{1, 1002, tt.text}}, fx.Close, "%s: %s", in.name, text)
			require.Contains(t, heardBy(fx, 1)[0], tt.text)
		}
	}
}

func TestIDsAreCountedWithoutNewID(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 1)
	for n := range 3 {
		fx := m.Receive(serverDawn, 1, &Chat{Value: NewText("x")})
		require.Equal(t, fmt.Sprint("id-", n+1), fx.Send[0].Message.(*Chat).ID)
	}
	ids := []string{"one", "two"}
	m = population(ServerConfig{NewID: func() string {
		id := ids[0]
		ids = ids[1:]
		return id
	}}, 1)
	require.Equal(t, "one", m.Receive(serverDawn, 1, &Chat{}).Send[0].Message.(*Chat).ID)
	m.Receive(serverDawn, 1, &Chat{ID: "mine"})
	m.Receive(serverDawn, 1, &Chat{Dest: "c1"})
	require.Equal(t, "two", m.Receive(serverDawn, 1, &Chat{}).Send[0].Message.(*Chat).ID)
}

func TestWhatWasSentDoesNotChangeAfterwards(t *testing.T) {
	t.Parallel()
	m := population(ServerConfig{}, 3)
	var sent []Delivery
	var before []string
	keep := func(fx ServerEffects) {
		for _, d := range fx.Send {
			sent, before = append(sent, d), append(before, wireTextOf(d.Message))
		}
	}
	member, _ := m.Member(2)
	keep(m.Receive(serverDawn, 1, &UserAction{Kind: UserSetData, Dest: "c1", Value: []byte(`{"x":1}`)}))
	keep(m.Receive(serverDawn, 1, &GroupAction{Kind: GroupSetData, Value: []byte(`{"x":1}`)}))
	for _, kind := range []UserActionKind{UserUnop, UserOp, UserUnpresent, UserPresent, UserShutUp, UserUnshutUp} {
		keep(m.Receive(serverDawn, 1, &UserAction{Kind: kind, Dest: "c2"}))
	}
	keep(m.Receive(serverDawn, 1, &UserAction{Kind: UserSetData, Dest: "c1", Value: []byte(`{"x":null,"y":2}`)}))
	keep(m.Receive(serverDawn, 1, &GroupAction{Kind: GroupSetData, Value: []byte(`{"x":null,"y":2}`)}))
	keep(m.Receive(serverDawn, 1, &Chat{Value: NewText("x")}))
	keep(m.Receive(serverDawn, 1, &GroupAction{Kind: GroupClearChat}))
	keep(m.Disconnect(serverDawn, 2))
	for i, d := range sent {
		require.Equal(t, before[i], wireTextOf(d.Message))
	}
	require.Equal(t, asOperator, member.Permissions)
}
