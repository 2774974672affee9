package msejsonrpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A stimulus is something that a machine may meet in any state.
type stimulus struct {
	name   string
	wire   string  // ID in it stands for an id that is likely to be expected
	msg    Message // instead of wire, what has no encoding
	binary bool
}

// stimuli holds every message of the registry, valid and not, with and without an id;
// responses of every kind; and each kind of what is no message.
var stimuli = slices.Concat(
	method(`"ping"`, ``, `7`),
	method(`"auth"`, `{"token":"T","version":"1.0"}`, `["T","1.0"]`),
	[]stimulus{
		{name: "auth without token", wire: `{"id":ID,"method":"auth","jsonrpc":"2.0","params":{"version":"1.0"}}`},
		{name: "auth without version", wire: `{"id":ID,"method":"auth","jsonrpc":"2.0","params":{"token":"T"}}`},
		{name: "auth of another version", wire: `{"id":ID,"method":"auth","jsonrpc":"2.0","params":{"token":"T","version":"2.0"}}`},
	},
	method(`"start"`, ``, `"x"`),
	method(`"whoami"`, ``, `true`),
	method(`"iceCandidate"`, `{"candidate":"c"}`, `["c"]`),
	[]stimulus{
		{name: "iceCandidate, invalid", wire: `{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{}}`},
		{name: "iceCandidate, invalid, with id", wire: `{"id":ID,"method":"iceCandidate","jsonrpc":"2.0","params":{}}`},
	},
	method(`"sdpOffer"`, `{"offer":"o"}`, `"o"`),
	[]stimulus{
		{name: "sdpOffer, invalid", wire: `{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":7}}`},
		{name: "sdpOffer, invalid, with id", wire: `{"id":ID,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":7}}`},
	},
	method(`"disconnect"`, ``, `7`),
	method(`"chat"`, `{"to":[],"message":"m"}`, `[["u"],"m"]`),
	[]stimulus{
		{name: "chat, invalid", wire: `{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[""],"message":"m"}}`},
		{name: "chat, invalid, with id", wire: `{"id":ID,"method":"chat","jsonrpc":"2.0","params":{"to":[""],"message":"m"}}`},
	},
	method(`"novelty"`, `{"a":1}`, `7`),
	[]stimulus{
		{name: "response pong", wire: `{"id":ID,"jsonrpc":"2.0","result":"pong"}`},
		{name: "response authenticated", wire: `{"id":ID,"jsonrpc":"2.0","result":"authenticated"}`},
		{name: "response started", wire: `{"id":ID,"jsonrpc":"2.0","result":"started"}`},
		{name: "response of whoami", wire: `{"id":ID,"jsonrpc":"2.0","result":{"userId":"u"}}`},
		{name: "response null", wire: `{"id":ID,"jsonrpc":"2.0","result":null}`},
		{name: "response with a fraction", wire: `{"id":ID.0,"jsonrpc":"2.0","result":"authenticated"}`},
		{name: "response to another id", wire: `{"id":99,"jsonrpc":"2.0","result":"authenticated"}`},
		{name: "response to the id as text", wire: `{"id":"ID","jsonrpc":"2.0","result":"authenticated"}`},
		{name: "response to id null", wire: `{"id":null,"jsonrpc":"2.0","result":"authenticated"}`},
		{name: "response without id", wire: `{"jsonrpc":"2.0","result":"authenticated"}`},
		{name: "response -4001", wire: `{"id":ID,"jsonrpc":"2.0","error":{"code":-4001,"message":"Authorization Failed"}}`},
		{name: "response -5001", wire: `{"id":ID,"jsonrpc":"2.0","error":{"code":-5001,"message":"Unauthorized Access"}}`},
		{name: "response -6001, auth", wire: `{"id":ID,"jsonrpc":"2.0","error":{"code":-6001,"message":"Invalid Call Order","data":{"required":"auth"}}}`},
		{name: "response -6001, disconnect", wire: `{"id":ID,"jsonrpc":"2.0","error":{"code":-6001,"message":"Invalid Call Order","data":{"required":"disconnect"}}}`},
		{name: "response -32603", wire: `{"id":ID,"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"}}`},
		{name: "response -32700 to id null", wire: `{"id":null,"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"}}`},
		{name: "response -32600 without id", wire: `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"}}`},
		{name: "response with both", wire: `{"id":ID,"jsonrpc":"2.0","result":"authenticated","error":{"code":1,"message":"m"}}`},
		{name: "response with neither", wire: `{"id":ID,"jsonrpc":"2.0"}`},
		{name: "response with neither, made by hand", msg: &Response{ID: NumberID(1)}},
		{name: "response with neither nor id", wire: `{"jsonrpc":"2.0"}`},
		{name: "response with another error", wire: `{"id":ID,"jsonrpc":"2.0","error":"no"}`},
		{name: "response to 99 with another error", wire: `{"id":99,"jsonrpc":"2.0","error":"no"}`},
		{name: "response with an error without code", wire: `{"id":ID,"jsonrpc":"2.0","error":{"message":"m"}}`},
		{name: "response with a fraction as code", wire: `{"id":ID,"jsonrpc":"2.0","error":{"code":1.5,"message":"m"}}`},
		{name: "reconnected", msg: &Reconnected{}},

		{name: "nothing", wire: ``},
		{name: "not JSON", wire: `{"id":1,`},
		{name: "not UTF-8", wire: "{\"id\":\"\xff\"}"},
		{name: "a text", wire: `"ping"`},
		{name: "null", wire: `null`},
		{name: "an empty batch", wire: `[]`},
		{name: "a batch", wire: `[{"id":ID,"method":"ping","jsonrpc":"2.0"}]`},
		{name: "no jsonrpc", wire: `{"id":ID,"method":"ping"}`},
		{name: "another jsonrpc", wire: `{"id":ID,"method":"ping","jsonrpc":"1.0"}`},
		{name: "an empty method", wire: `{"id":ID,"method":"","jsonrpc":"2.0"}`},
		{name: "a method of another type", wire: `{"id":ID,"method":7,"jsonrpc":"2.0"}`},
		{name: "id true", wire: `{"id":true,"method":"ping","jsonrpc":"2.0"}`},
		{name: "id an array", wire: `{"id":[ID],"method":"ping","jsonrpc":"2.0"}`},
		{name: "id an object", wire: `{"id":{},"method":"ping","jsonrpc":"2.0"}`},
		{name: "duplicate id", wire: `{"id":ID,"id":ID,"method":"ping","jsonrpc":"2.0"}`},
		{name: "duplicate token", wire: `{"id":ID,"method":"auth","jsonrpc":"2.0","params":{"token":"T","token":"T","version":"1.0"}}`},
		{name: "nested too deeply", wire: `{"id":ID,"method":"ping","jsonrpc":"2.0","params":` + brackets(70) + `}`},
		{name: "binary", wire: `{"id":ID,"method":"ping","jsonrpc":"2.0"}`, binary: true},
		{name: "too big", wire: `{"id":ID,"method":"ping","jsonrpc":"2.0","params":["` + strings.Repeat("x", tooBig) + `"]}`},
	},
)

func brackets(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// tooBig is the limit of the decoder in these tests.
const tooBig = 1000

// method makes the stimuli that every method has: with an id, with null, without any, and
// with params of a type that is not for it.
func method(token, params, badParams string) []stimulus {
	name := token[1 : len(token)-1]
	if params != "" {
		params = `,"params":` + params
	}
	rest := `"method":` + token + `,"jsonrpc":"2.0"`
	return []stimulus{
		{name: name + " with id", wire: `{"id":ID,` + rest + params + `}`},
		{name: name + " with id null", wire: `{"id":null,` + rest + params + `}`},
		{name: name + " without id", wire: `{` + rest + params + `}`},
		{name: name + ", bad params", wire: `{"id":ID,` + rest + `,"params":` + badParams + `}`},
		{name: name + ", bad params, id null", wire: `{"id":null,` + rest + `,"params":` + badParams + `}`},
	}
}

// decoded returns the message, or what is wrong with it.
func (s stimulus) decoded(id uint64) (Message, *DecodeError) {
	if s.msg != nil {
		return s.msg, nil
	}
	typ := transport.Text
	if s.binary {
		typ = transport.Binary
	}
	m, err := decoder(tooBig)(typ, []byte(strings.ReplaceAll(s.wire, "ID", fmt.Sprint(id))))
	if err == nil {
		return m, nil
	}
	bad, ok := errors.AsType[*DecodeError](err)
	if !ok {
		panic(s.name)
	}
	return nil, bad
}

func TestStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	types := make(map[string]int)
	names := make(map[string]bool)
	for _, in := range stimuli {
		require.False(t, names[in.name], in.name)
		names[in.name] = true
		m, err := in.decoded(7)
		if err != nil {
			require.Zero(t, m, in.name)
			continue
		}
		types[m.wireType()]++
	}
	for typ := range registry {
		require.GreaterOrEqual(t, types[typ], 3, typ)
	}
}

func brief(s string) string { return strings.TrimPrefix(s, "msejsonrpc: ") }

// tableText is wireText without what every message has.
func tableText(m Message) string {
	text := strings.Replace(wireText(m), `,"jsonrpc":"2.0"`, "", 1)
	return strings.Replace(text, `"jsonrpc":"2.0",`, "", 1)
}

func wireText(m Message) string {
	data, err := Encode(m)
	if err != nil {
		return name(m)
	}
	return string(data)
}

// The peers of TestServerMachineInEveryState.
const (
	subject   PeerID = 1
	companion PeerID = 2 // in its room
)

type serverWay struct {
	name  string
	state ServerState
	way   func(m *ServerMachine)
}

var (
	sayAuth  = &Auth{ID: NumberID(1), Token: "T", Version: Version}
	sayStart = &Start{ID: NumberID(2)}
)

// admitted is a user whose token lasts for five minutes.
func admitted(role Role) Decision {
	return Decision{Identity: &Identity{UserID: "u", RoomID: "r", Role: role, ValidTo: NewDate(start.Add(5 * time.Minute))}}
}

func authorizedAs(role Role) func(m *ServerMachine) {
	return func(m *ServerMachine) { answer(m, m.Receive(start, subject, sayAuth), admitted(role)) }
}

func TestServerMachineInEveryState(t *testing.T) {
	t.Parallel()
	options := ServerConfig{
		WhoAmI: true, Chat: true, LenientVersion: true, HideCallOrder: true, Violations: 1,
		AuthTimeout: time.Second, StartTimeout: 2 * time.Second, AuthAttempts: 1,
		Entitlements: map[string][]Role{
			"start": {RoleUser}, "whoami": {RoleUser}, "chat": {RoleUser}, "sdpOffer": {RoleUser},
			"ping": nil, "auth": nil, "disconnect": nil, // which are for everybody
		},
	}
	asUser, asGuest := authorizedAs(RoleUser), authorizedAs("guest")
	asks := func(msg Message) func(m *ServerMachine) {
		return func(m *ServerMachine) { m.Receive(start, subject, msg) }
	}
	active := func(m *ServerMachine) { asUser(m); answer(m, m.Receive(start, subject, sayStart), Decision{}) }
	expired := func(m *ServerMachine) { m.now = start.Add(5 * time.Minute) }
	for file, tt := range map[string]struct {
		cfg  ServerConfig
		ways []serverWay
	}{
		"server": {ServerConfig{}, []serverWay{
			{"new", ServerNew, func(*ServerMachine) {}},
			{"new, asked about auth", ServerNew, asks(sayAuth)},
			{"authorized", ServerAuthorized, asUser},
			{"authorized, asked about auth", ServerAuthorized, func(m *ServerMachine) { asUser(m); asks(sayAuth)(m) }},
			{"authorized, asked about start", ServerAuthorized, func(m *ServerMachine) { asUser(m); asks(sayStart)(m) }},
			{"authorized, expired", ServerAuthorized, func(m *ServerMachine) { asUser(m); expired(m) }},
			{"active", ServerActive, active},
			{"active, expired", ServerActive, func(m *ServerMachine) { active(m); expired(m) }},
		}},
		"server-options": {options, []serverWay{
			{"new", ServerNew, func(*ServerMachine) {}},
			{"new, with a violation", ServerNew, asks(&Ping{})},
			{"new, asked about auth", ServerNew, asks(sayAuth)},
			{"authorized as user", ServerAuthorized, asUser},
			{"authorized as guest", ServerAuthorized, asGuest},
			{"authorized, expired", ServerAuthorized, func(m *ServerMachine) { asUser(m); expired(m) }},
			{"active", ServerActive, active},
			{"active, expired", ServerActive, func(m *ServerMachine) { active(m); expired(m) }},
		}},
	} {
		var b script.Table
		for _, w := range tt.ways {
			b.State(w.name)
			serverRows(t, &b, tt.cfg, w)
		}
		b.Compare(t, file)
	}
}

// answer decides on what a step asks.
func answer(m *ServerMachine, fx ServerEffects, d Decision) ServerEffects {
	for _, q := range fx.Ask {
		fx = m.Decide(start, q.Ticket, d)
	}
	return fx
}

func serverRows(t *testing.T, b *script.Table, cfg ServerConfig, w serverWay) {
	row := func(name string, step func(m *ServerMachine) ServerEffects) {
		b.Twice(t, name, func() string {
			m := NewServerMachine(cfg)
			m.Connect(start, companion, Connection{})
			identity := &Identity{UserID: "c", RoomID: "r", Role: RoleUser}
			answer(m, m.Receive(start, companion, sayAuth), Decision{Identity: identity})
			answer(m, m.Receive(start, companion, sayStart), Decision{}) // so that no time-out is its
			m.Connect(start, subject, Connection{})
			w.way(m)
			state, ok := m.State(subject)
			require.True(t, ok)
			require.Equal(t, w.state, state)
			fx := step(m)
			return serverState(m) + serverEffects(fx)
		})
	}
	for _, in := range stimuli {
		row(in.name, func(m *ServerMachine) ServerEffects {
			msg, err := in.decoded(7)
			if err != nil {
				return m.Malformed(m.now, subject, err)
			}
			return m.Receive(m.now, subject, msg)
		})
	}
	ticket := func(m *ServerMachine) Ticket { return Ticket{subject, m.tickets} }
	for _, d := range []struct {
		name string
		Decision
	}{
		{"admit", admitted(RoleUser)},
		{"admit somebody unknown", Decision{}},
		{"admit with a bad date", Decision{Identity: &Identity{ValidTo: "tomorrow"}}},
		{"refuse", Decision{Refuse: ErrAuthorizationFailed}},
		{"refuse in words", Decision{Refuse: &Error{Code: -7, Message: "Pay first", Data: []byte(`{"price":5}`)}}},
		{"fail", Decision{Refuse: ErrInternal}},
	} {
		row(d.name, func(m *ServerMachine) ServerEffects { return m.Decide(m.now, ticket(m), d.Decision) })
	}
	row("admit with another ticket", func(m *ServerMachine) ServerEffects {
		return m.Decide(m.now, Ticket{subject, 99}, admitted(RoleUser))
	})
	row("disconnect", func(m *ServerMachine) ServerEffects { return m.Disconnect(m.now, subject) })
	for _, after := range []time.Duration{DefaultAuthTimeout, DefaultStartTimeout, 5 * time.Minute} {
		row(fmt.Sprintf("just before %v", after), func(m *ServerMachine) ServerEffects {
			return m.Expire(start.Add(after - 1))
		})
		row(fmt.Sprintf("after %v", after), func(m *ServerMachine) ServerEffects { return m.Expire(start.Add(after)) })
	}
}

func serverState(m *ServerMachine) string {
	if s, ok := m.State(subject); ok {
		return s.String()
	}
	return "gone"
}

// peerNames are how the tables call the peers.
var peerNames = map[PeerID]string{subject: "it", companion: "its companion"}

func serverEffects(fx ServerEffects) string {
	var b strings.Builder
	for _, d := range fx.Send {
		fmt.Fprintf(&b, ", send %s %s", peerNames[d.To], tableText(d.Message))
	}
	for _, d := range fx.Deliver {
		fmt.Fprintf(&b, ", deliver from %s %s", peerNames[d.To], tableText(d.Message))
	}
	for _, q := range fx.Ask {
		fmt.Fprintf(&b, ", ask %s", tableText(q.Message))
	}
	for _, v := range fx.Ignored {
		fmt.Fprintf(&b, ", ignore %s: %s", v.Type, brief(v.Err.Error()))
	}
	for _, id := range fx.Expired {
		fmt.Fprintf(&b, ", %s has expired", peerNames[id])
	}
	for _, c := range fx.Close {
		fmt.Fprintf(&b, ", close %s %d %q", peerNames[c.Peer], c.Code, c.Reason)
	}
	return b.String()
}

func TestServerMachineIgnoresPeersThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{Chat: true})
	for _, in := range stimuli {
		msg, err := in.decoded(7)
		if err != nil {
			require.Zero(t, m.Malformed(start, 1, err))
			continue
		}
		require.Zero(t, m.Receive(start, 1, msg))
	}
	require.Zero(t, m.Disconnect(start, 1))
	require.Zero(t, m.Decide(start, Ticket{Peer: 1}, Decision{}))
	require.Zero(t, m.Expire(start.Add(time.Hour)))
	_, known := m.State(1)
	require.False(t, known)
	require.Nil(t, m.Identity(1))
	requireNothingLeft(t, m)
}

func TestServerMachineForgetsAConnectionThatLeavesWhileItIsDecided(t *testing.T) {
	t.Parallel()
	for _, question := range []Message{sayAuth, sayStart} {
		m := NewServerMachine(ServerConfig{Chat: true})
		m.Connect(start, subject, Connection{})
		if question == sayStart {
			authorizedAs(RoleUser)(m)
		}
		fx := m.Receive(start, subject, question)
		require.Len(t, fx.Ask, 1)
		require.Equal(t, question, fx.Ask[0].Message)
		require.Zero(t, m.Disconnect(start, subject))
		require.Zero(t, m.Decide(start, fx.Ask[0].Ticket, admitted(RoleUser)))
		requireNothingLeft(t, m)
	}
}

func TestServerMachineAnswersAQuestionOnce(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	m.Connect(start, subject, Connection{})
	first := m.Receive(start, subject, sayAuth).Ask[0].Ticket
	require.NotEmpty(t, m.Decide(start, first, Decision{Refuse: ErrAuthorizationFailed}).Send)
	require.Zero(t, m.Decide(start, first, admitted(RoleUser)))
	second := m.Receive(start, subject, sayAuth).Ask[0].Ticket
	require.NotEqual(t, first, second)
	require.Zero(t, m.Decide(start, first, admitted(RoleUser)), "an old ticket")
	require.Nil(t, m.Identity(subject))
	require.NotEmpty(t, m.Decide(start, second, admitted(RoleUser)).Send)
	require.Equal(t, "u", m.Identity(subject).UserID)
}

func TestServerMachineAdmitsNobodyForEverByAccident(t *testing.T) {
	t.Parallel()
	for _, date := range []Date{"tomorrow", "2001-01-01", "978307200", " "} {
		m := NewServerMachine(ServerConfig{})
		m.Connect(start, subject, Connection{})
		fx := answer(m, m.Receive(start, subject, sayAuth), Decision{Identity: &Identity{ValidTo: date}})
		require.Equal(t, NewErrorResponse(NumberID(1), ErrInternal), fx.Send[0].Message, date)
		require.Nil(t, m.Identity(subject))
	}
}

func TestTokenThatExpiresWhileStartIsDecidedExpiresAtOnce(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{StartTimeout: -1})
	m.Connect(start, subject, Connection{})
	authorizedAs(RoleUser)(m)
	fx := m.Receive(start, subject, sayStart)
	late := start.Add(time.Hour)
	require.Len(t, m.Decide(late, fx.Ask[0].Ticket, Decision{}).Send, 1)
	at, due := m.Deadline()
	require.True(t, due)
	require.False(t, at.After(late))
	require.Equal(t, []PeerID{subject}, m.Expire(late).Expired)
	require.Zero(t, m.Expire(late.Add(time.Hour)), "twice")
}

func TestChatGoesOutInTheOrderOfTheConnections(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{Chat: true})
	for id := range PeerID(50) {
		m.Connect(start, id, Connection{})
		answer(m, m.Receive(start, id, sayAuth), admitted(RoleUser))
	}
	fx := m.Receive(start, 7, &Chat{Message: "hi"})
	require.Len(t, fx.Send, 49)
	require.True(t, slices.IsSortedFunc(fx.Send, func(a, b Delivery) int { return int(a.To) - int(b.To) }))
	for _, d := range fx.Send {
		require.Same(t, fx.Send[0].Message, d.Message, "one message for all")
	}
}

func TestServerMachineExpiresManyInTheirOrder(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	for id := range PeerID(10) {
		m.Connect(start.Add(time.Duration(9-id)*time.Second), id, Connection{})
	}
	for id := PeerID(9); ; id-- {
		at, due := m.Deadline()
		require.True(t, due)
		fx := m.Expire(at)
		require.Equal(t, []Closing{{id, transport.StatusPolicyViolation, "not authenticated in time"}}, fx.Close)
		if id == 0 {
			break
		}
	}
	requireNothingLeft(t, m)
}

func TestNegativeLimitsAreNone(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{AuthTimeout: -1, StartTimeout: -1, AuthAttempts: -1, Violations: -1})
	m.Connect(start, subject, Connection{})
	for range 1000 {
		require.Empty(t, answer(m, m.Receive(start, subject, sayAuth), Decision{Refuse: ErrAuthorizationFailed}).Close)
		require.Empty(t, m.Receive(start, subject, &Unknown{Type: "novelty"}).Close)
	}
	answer(m, m.Receive(start, subject, sayAuth), Decision{})
	_, due := m.Deadline()
	require.False(t, due)

	c := NewClientMachine(ClientConfig{HandshakeTimeout: -1, CallTimeout: -1, Heartbeat: -1, Pending: -1})
	c.Start(start)
	for range 10 * DefaultPending {
		_, err := c.Send(start, &Ping{})
		require.NoError(t, err)
	}
	_, due = c.Deadline()
	require.False(t, due)
	c = NewClientMachine(ClientConfig{Token: "T", HandshakeTimeout: -1, CallTimeout: -1, Heartbeat: -1})
	c.Start(start)
	_, due = c.Deadline()
	require.False(t, due)
}

func TestStatesHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for s := ClientIdle; s <= ClientClosed; s++ {
		names = append(names, s.String())
	}
	require.Equal(t, []string{"idle", "connected", "authenticating", "authorized", "starting", "active", "closed"}, names)
	names = nil
	for s := ServerNew; s <= ServerActive; s++ {
		names = append(names, s.String())
	}
	require.Equal(t, []string{"new", "authorized", "active"}, names)
	require.Equal(t, "state(3)", ServerState(3).String())
	require.Equal(t, "state(-1)", ClientState(-1).String())
}
