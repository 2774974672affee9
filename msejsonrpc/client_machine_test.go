package msejsonrpc

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

// clientMachine returns a machine on which the steps of a way were taken.
func clientMachine(t *testing.T, cfg ClientConfig, way ...func(m *ClientMachine)) *ClientMachine {
	m := NewClientMachine(cfg)
	for _, step := range way {
		step(m)
	}
	return m
}

func begun(m *ClientMachine) { m.Start(start) }
func lost(m *ClientMachine)  { m.Lost(start) }

// sent sends a message of the application.
func sent(t *testing.T, msg Message) func(m *ClientMachine) {
	return func(m *ClientMachine) {
		_, err := m.Send(start, msg)
		require.NoError(t, err)
	}
}

// answered answers the latest request.
func answered(result string) func(m *ClientMachine) {
	return func(m *ClientMachine) {
		m.Receive(start, &Response{ID: NumberID(m.last), Result: fmt.Appendf(nil, "%q", result)})
	}
}

func refused(err *Error) func(m *ClientMachine) {
	return func(m *ClientMachine) { m.Receive(start, NewErrorResponse(NumberID(m.last), err)) }
}

type clientWay struct {
	name  string
	state ClientState
	cfg   ClientConfig
	steps []func(m *ClientMachine)
}

func TestClientMachineInEveryState(t *testing.T) {
	t.Parallel()
	type steps = []func(m *ClientMachine)
	auto, noStart, none := ClientConfig{Token: "T"}, ClientConfig{Token: "T", NoStart: true}, ClientConfig{}
	authenticated, started := answered("authenticated"), answered("started")
	auth := func() Message { return &Auth{Token: "U", Version: Version} }
	active := steps{begun, authenticated, started}
	for file, ways := range map[string][]clientWay{
		"client": {
			{"idle", ClientIdle, auto, nil},
			{"authenticating", ClientAuthenticating, auto, steps{begun}},
			{"starting", ClientStarting, auto, steps{begun, authenticated}},
			{"active", ClientActive, auto, active},
			{"active, with a ping under way", ClientActive, auto, append(slices.Clone(active), sent(t, &Ping{}))},
			{"active, with a whoami under way", ClientActive, auto, append(slices.Clone(active), sent(t, &WhoAmI{}))},
			{"active, with a novelty under way", ClientActive, auto,
				append(slices.Clone(active), sent(t, &Unknown{Type: "novelty", ID: NumberID(2)}))},
			{"lost, with a ping under way", ClientIdle, auto, append(slices.Clone(active), sent(t, &Ping{}), lost)},
			{"starting again", ClientStarting, auto, append(slices.Clone(active), lost, begun, authenticated)},
			{"closed", ClientClosed, auto, append(slices.Clone(active), sent(t, &Disconnect{}))},
		},
		"client-nostart": {
			{"connected", ClientConnected, none, steps{begun}},
			{"authenticating, by the application", ClientAuthenticating, none, steps{begun, sent(t, auth())}},
			{"authenticating, by itself", ClientAuthenticating, noStart, steps{begun}},
			{"authorized", ClientAuthorized, noStart, steps{begun, authenticated}},
			{"authenticating with a fresh token", ClientAuthenticating, noStart, steps{begun, authenticated, sent(t, auth())}},
			{"starting, by the application", ClientStarting, noStart, steps{begun, authenticated, sent(t, &Start{})}},
			{"active", ClientActive, noStart, steps{begun, authenticated, sent(t, &Start{}), started}},
			{"authenticating again", ClientAuthenticating, noStart, steps{begun, authenticated, lost, begun}},
		},
	} {
		var b script.Table
		for _, w := range ways {
			b.State(w.name)
			clientRows(t, &b, func() *ClientMachine {
				m := clientMachine(t, w.cfg, w.steps...)
				require.Equal(t, w.state, m.State())
				return m
			})
		}
		b.Compare(t, file)
	}
}

func clientRows(t *testing.T, b *script.Table, make func() *ClientMachine) {
	row := func(name string, step func(m *ClientMachine) (Effects, error)) {
		b.Twice(t, name, func() string {
			m := make()
			fx, err := step(m)
			return m.State().String() + effects(fx, err)
		})
	}
	row("start", func(m *ClientMachine) (Effects, error) { return m.Start(start), nil })
	row("lost", func(m *ClientMachine) (Effects, error) { return m.Lost(start), nil })
	for _, after := range []time.Duration{DefaultCallTimeout, DefaultHandshakeTimeout, DefaultHeartbeat} {
		row(fmt.Sprintf("just before %v", after), func(m *ClientMachine) (Effects, error) {
			return m.Expire(start.Add(after - 1)), nil
		})
		row(fmt.Sprintf("after %v", after), func(m *ClientMachine) (Effects, error) { return m.Expire(start.Add(after)), nil })
	}
	for _, in := range stimuli {
		row(in.name, func(m *ClientMachine) (Effects, error) {
			msg, err := in.decoded(m.last)
			if err != nil {
				return m.Malformed(start, err), nil
			}
			return m.Receive(start, msg), nil
		})
	}
	for _, in := range stimuli {
		if _, err := in.decoded(7); err == nil {
			row("send "+in.name, func(m *ClientMachine) (Effects, error) {
				msg, _ := in.decoded(7)
				return m.Send(start, msg)
			})
		}
	}
}

// effects tells what a step asks for.
func effects(fx Effects, err error) string {
	var b strings.Builder
	for _, m := range fx.Send {
		fmt.Fprintf(&b, ", send %s", tableText(m))
	}
	for _, m := range fx.Deliver {
		fmt.Fprintf(&b, ", deliver %s", tableText(m))
	}
	for _, r := range fx.Done {
		what := "success"
		if r.Err != nil {
			what = r.Err.Error()
		}
		fmt.Fprintf(&b, ", done %s: %s", r.Request.wireType(), brief(what))
	}
	for _, v := range fx.Ignored {
		fmt.Fprintf(&b, ", ignore %s: %s", v.Type, brief(v.Err.Error()))
	}
	if c := fx.Close; c != nil {
		fmt.Fprintf(&b, ", close %d %q", c.Code, c.Reason)
		if c.Err != nil {
			fmt.Fprintf(&b, ": %s", brief(c.Err.Error()))
		}
		if c.Final {
			b.WriteString(", for good")
		}
	}
	if err != nil {
		fmt.Fprintf(&b, ", error %s", brief(err.Error()))
	}
	return b.String()
}

// expireAt steps a client's machine at its next deadline, which must be after d.
func expireAt(t *testing.T, m *ClientMachine, d time.Duration) Effects {
	t.Helper()
	at, due := m.Deadline()
	require.True(t, due)
	require.Equal(t, start.Add(d), at)
	require.Zero(t, m.Expire(at.Add(-1)), "a moment too early")
	return m.Expire(at)
}

func activeMachine(t *testing.T, cfg ClientConfig) *ClientMachine {
	cfg.Token = "T"
	m := clientMachine(t, cfg, begun, answered("authenticated"), answered("started"))
	require.Equal(t, ClientActive, m.State())
	require.True(t, m.Ready())
	return m
}

func TestHeartbeatPingsAndWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	m := activeMachine(t, ClientConfig{})
	require.Equal(t, `, send {"id":3,"method":"ping"}`, effects(expireAt(t, m, 20*time.Second), nil))
	at, _ := m.Deadline()
	require.Equal(t, start.Add(30*time.Second), at, "the answer's")
	require.Zero(t, m.Receive(start.Add(21*time.Second), &Response{ID: NumberID(3), Result: rawPong}), "nobody asked")
	require.Equal(t, `, send {"id":4,"method":"ping"}`, effects(expireAt(t, m, 40*time.Second), nil))
	// An error is an answer as well.
	require.Zero(t, m.Receive(start.Add(41*time.Second), NewErrorResponse(NumberID(4), ErrMethodNotFound)))
	require.Equal(t, ClientActive, m.State())
	require.Equal(t, `, send {"id":5,"method":"ping"}`, effects(expireAt(t, m, 60*time.Second), nil))
	fx := expireAt(t, m, 70*time.Second)
	require.Equal(t, &CloseReason{
		Code: transport.StatusPolicyViolation, Reason: "no answer to the heartbeat", Err: ErrHeartbeat,
	}, fx.Close)
	require.Equal(t, ClientClosed, m.State())
	_, due := m.Deadline()
	require.False(t, due)
}

func TestHeartbeatDoesNotPileUp(t *testing.T) {
	t.Parallel()
	m := activeMachine(t, ClientConfig{Heartbeat: time.Second, CallTimeout: time.Minute})
	require.Len(t, expireAt(t, m, time.Second).Send, 1)
	for n := 2; n < 60; n++ {
		require.Zero(t, expireAt(t, m, time.Duration(n)*time.Second), "one is under way")
	}
	require.Len(t, m.pending, 1)
}

func TestHeartbeatGoesOnBeforeAuth(t *testing.T) {
	t.Parallel()
	m := clientMachine(t, ClientConfig{}, begun)
	require.Equal(t, ClientConnected, m.State())
	require.Len(t, expireAt(t, m, 20*time.Second).Send, 1)
}

func TestCallsTimeOutOneByOne(t *testing.T) {
	t.Parallel()
	m := activeMachine(t, ClientConfig{Heartbeat: -1})
	first, second := &WhoAmI{}, &Ping{}
	_, err := m.Send(start, first)
	require.NoError(t, err)
	_, err = m.Send(start.Add(time.Second), second)
	require.NoError(t, err)
	require.Equal(t, []Reply{{Request: first, Err: ErrCallTimeout}}, expireAt(t, m, 10*time.Second).Done)
	require.Equal(t, []Reply{{Request: second, Err: ErrCallTimeout}}, expireAt(t, m, 11*time.Second).Done)
	require.Equal(t, ClientActive, m.State())
	fx := m.Receive(start, &Response{ID: NumberID(3), Result: []byte(`{}`)})
	require.Equal(t, []Violation{{Type: "response", Err: errUnpaired}}, fx.Ignored, "too late")
}

func TestTimeoutOfAuthOrStartEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, msg := range []Message{&Auth{Token: "U", Version: Version}, &Start{}} {
		m := clientMachine(t, ClientConfig{Token: "T", NoStart: true}, begun, answered("authenticated"))
		sent(t, msg)(m)
		sent(t, &Ping{})(m)
		fx := expireAt(t, m, DefaultCallTimeout)
		require.Equal(t, []Reply{{Request: msg, Err: ErrCallTimeout}}, fx.Done[:1])
		require.Equal(t, ErrHandshakeTimeout, fx.Close.Err, "where the server stands is not known")
		require.False(t, fx.Close.Final)
	}
}

func TestHandshakeHasOneTimeout(t *testing.T) {
	t.Parallel()
	m := clientMachine(t, ClientConfig{Token: "T", HandshakeTimeout: time.Second}, begun)
	at, _ := m.Deadline()
	require.Equal(t, start.Add(time.Second), at)
	m.Receive(at.Add(-1), &Response{ID: NumberID(1), Result: rawAuthenticated})
	require.Equal(t, ClientStarting, m.State())
	require.False(t, m.Ready())
	fx := expireAt(t, m, time.Second)
	require.Equal(t, ErrHandshakeTimeout, fx.Close.Err)
	require.False(t, fx.Close.Final, "the next connection may be better")
}

func TestRule6EqualIDsArePairedInOrder(t *testing.T) {
	t.Parallel()
	m := activeMachine(t, ClientConfig{})
	ping, who, novelty := &Ping{ID: NumberID(7)}, &WhoAmI{ID: NumberID(7)}, &Unknown{Type: "novelty", ID: NumberID(7)}
	for _, msg := range []Message{ping, who, novelty} {
		_, err := m.Send(start, msg)
		require.NoError(t, err)
	}
	for _, want := range []struct {
		request Message
		result  string
	}{{ping, `"pong"`}, {who, `{"userId":"u"}`}, {novelty, `7`}} {
		r := &Response{ID: NumberID(7), Result: json.RawMessage(want.result)}
		require.Equal(t, []Reply{{Request: want.request, Response: r}}, m.Receive(start, r).Done)
	}
	require.Empty(t, m.pending)
}

func TestRule6IDsOfAClientCountUpFrom1(t *testing.T) {
	t.Parallel()
	m := clientMachine(t, ClientConfig{}, begun)
	auth := &Auth{Token: "T", Version: Version}
	for n, msg := range []Message{&Ping{}, &Ping{}, auth, &Ping{}} {
		before := idOf(msg)
		fx, err := m.Send(start, msg)
		require.NoError(t, err)
		require.Equal(t, NumberID(uint64(n+1)), idOf(fx.Send[0]))
		require.Equal(t, before, idOf(msg), "the application's message is its own")
	}
	// What cannot be sent takes no number; neither does what has one, but that is left out.
	_, err := m.Send(start, &Start{})
	require.Error(t, err)
	_, err = m.Send(start, &Ping{ID: StringID("x")})
	require.NoError(t, err)
	// The next connection goes on counting, so that an answer cannot be mistaken.
	m.Lost(start)
	m.Start(start)
	fx, err := m.Send(start, &Ping{})
	require.NoError(t, err)
	require.Equal(t, NumberID(5), idOf(fx.Send[0]))
}

func TestNumbersOfTheApplicationAreLeftOutWhileTheyAreUnderWay(t *testing.T) {
	t.Parallel()
	m := activeMachine(t, ClientConfig{CallTimeout: -1})
	novelty := func(n uint64) *Unknown { return &Unknown{Type: "novelty", ID: NumberID(n)} }
	for _, n := range []uint64{3, 4, 6} {
		sent(t, novelty(n))(m)
	}
	for _, want := range []uint64{5, 7} {
		fx, err := m.Send(start, &Ping{})
		require.NoError(t, err)
		require.Equal(t, NumberID(want), idOf(fx.Send[0]))
	}
	sent(t, novelty(8))(m)
	require.Equal(t, `, send {"id":9,"method":"ping"}`, effects(m.Expire(start.Add(DefaultHeartbeat)), nil))
}

func TestAnswersArePairedByTheValueOfANumber(t *testing.T) {
	t.Parallel()
	for wire, paired := range map[string]bool{
		`3`: true, `3.0`: true, `3e0`: true, `30e-1`: true, `0.3e1`: true, `"3"`: false, `3.5`: false, `-3`: false, `4`: false,
	} {
		m := activeMachine(t, ClientConfig{})
		_, err := m.Send(start, &Ping{})
		require.NoError(t, err)
		msg, err := Decode([]byte(`{"id":` + wire + `,"jsonrpc":"2.0","result":"pong"}`))
		require.NoError(t, err)
		fx := m.Receive(start, msg)
		require.Equal(t, paired, len(fx.Done) == 1, wire)
		require.Equal(t, paired, len(fx.Ignored) == 0, wire)
	}
	// Texts are compared as they stand.
	m := activeMachine(t, ClientConfig{})
	_, err := m.Send(start, &Ping{ID: StringID("a")})
	require.NoError(t, err)
	require.Len(t, m.Receive(start, &Response{ID: StringID("b"), Result: rawPong}).Ignored, 1)
	require.Len(t, m.Receive(start, &Response{ID: StringID("a"), Result: rawPong}).Done, 1)
}

func TestPendingRequestsAreLimited(t *testing.T) {
	t.Parallel()
	m := activeMachine(t, ClientConfig{Pending: 3})
	for range 3 {
		_, err := m.Send(start, &Ping{})
		require.NoError(t, err)
	}
	for _, msg := range []Message{&Ping{}, &WhoAmI{}, &Unknown{Type: "novelty", ID: NumberID(9)}} {
		fx, err := m.Send(start, msg)
		require.Equal(t, ErrTooManyCalls, err)
		require.Zero(t, fx)
	}
	// What has no answer does not count.
	for _, msg := range []Message{&Unknown{Type: "novelty"}, &SDPOffer{Offer: []byte(`"o"`)}, &Chat{}} {
		_, err := m.Send(start, msg)
		require.NoError(t, err)
	}
	m.Receive(start, &Response{ID: NumberID(3), Result: rawPong})
	fx, err := m.Send(start, &Ping{})
	require.NoError(t, err)
	require.Equal(t, NumberID(6), idOf(fx.Send[0]))
}

func TestEndOfTheConnectionFailsEveryPendingRequest(t *testing.T) {
	t.Parallel()
	ends := map[string]func(m *ClientMachine) Effects{
		"lost":      func(m *ClientMachine) Effects { return m.Lost(start) },
		"started":   func(m *ClientMachine) Effects { return m.Start(start) },
		"malformed": func(m *ClientMachine) Effects { return m.Malformed(start, &DecodeError{Err: errBinary}) },
		"disconnect": func(m *ClientMachine) Effects {
			fx, err := m.Send(start, &Disconnect{})
			require.NoError(t, err)
			return fx
		},
	}
	for name, end := range ends {
		m := activeMachine(t, ClientConfig{Heartbeat: time.Second})
		first, second := &Ping{}, &WhoAmI{}
		sent(t, first)(m)
		require.Len(t, m.Expire(start.Add(time.Second)).Send, 1) // the machine's own is told to nobody
		sent(t, second)(m)
		fx := end(m)
		want := []Reply{{Request: first, Err: ErrConnectionLost}, {Request: second, Err: ErrConnectionLost}}
		require.Equal(t, want, fx.Done, name)
		if name == "started" {
			continue
		}
		require.Empty(t, m.pending, name)
		require.False(t, m.Ready(), name)
		_, due := m.Deadline()
		require.False(t, due, name)
	}
}

func TestRefusalLeadsBackToWhereTheRequestCameFrom(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		m := clientMachine(t, ClientConfig{}, begun)
		want := ClientConnected
		if again {
			sent(t, &Auth{Token: "T", Version: Version})(m)
			answered("authenticated")(m)
			want = ClientAuthorized
		}
		for range 3 {
			sent(t, &Auth{Token: "U", Version: Version})(m)
			require.Equal(t, ClientAuthenticating, m.State())
			refused(ErrAuthorizationFailed)(m)
			require.Equal(t, want, m.State())
		}
	}
	m := clientMachine(t, ClientConfig{Token: "T", NoStart: true}, begun, answered("authenticated"))
	for range 3 {
		sent(t, &Start{})(m)
		require.Equal(t, ClientStarting, m.State())
		refused(ErrUnauthorizedAccess)(m)
		require.Equal(t, ClientAuthorized, m.State())
	}
}

func TestReconnectedComesWhenTheHandshakeIsOver(t *testing.T) {
	t.Parallel()
	m := activeMachine(t, ClientConfig{})
	m.Lost(start)
	m.SetToken("U")
	fx := m.Start(start)
	require.Equal(t, "U", fx.Send[0].(*Auth).Token)
	require.Empty(t, fx.Deliver)
	require.Empty(t, m.Receive(start, &Response{ID: NumberID(3), Result: rawAuthenticated}).Deliver)
	require.Equal(t, []Message{&Reconnected{}}, m.Receive(start, &Response{ID: NumberID(4), Result: rawStarted}).Deliver)
	require.True(t, m.Ready())
	// Without a handshake it comes at once.
	m = clientMachine(t, ClientConfig{}, begun)
	m.Lost(start)
	require.Equal(t, []Message{&Reconnected{}}, m.Start(start).Deliver)
}

func TestHandshakeThatWasNeverOverHasNoReconnected(t *testing.T) {
	t.Parallel()
	m := clientMachine(t, ClientConfig{Token: "T"}, begun, lost, begun, answered("authenticated"))
	require.Empty(t, m.Receive(start, &Response{ID: NumberID(m.last), Result: rawStarted}).Deliver)
	require.True(t, m.Ready())
}
