package mediasoupproto

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clientMessage is a message as the client's tests write it.
func clientMessage[M Message](t testing.TB, text string) M {
	t.Helper()
	m, err := decodeOfClient([]byte(text))
	require.NoError(t, err)
	return m.(M)
}

// joinedMachine returns a machine that has joined as alice, where bob has the consumer 7.
func joinedMachine(t testing.TB, cfg ClientConfig) *ClientMachine {
	t.Helper()
	m := clientAfter(t, cfg, "start", clientJoins)
	m.Receive(clientDawn, &Response{Head: Head{RequestID: m.pending[0].id}, Result: json.RawMessage(clientBob)})
	require.Equal(t, ClientJoined, m.State())
	return m
}

func TestWhatIsGivenToSendStaysAsItIs(t *testing.T) {
	t.Parallel()
	m := joinedMachine(t, ClientConfig{})
	given := &CreateTransport{Head: Head{RequestID: "77"}, ID: 1, Direction: DirectionSend}
	fx, err := m.Send(clientDawn, given)
	require.NoError(t, err)
	require.Equal(t, &CreateTransport{Head: Head{RequestID: "77"}, ID: 1, Direction: DirectionSend}, given)
	require.Equal(t, ID("2"), fx.Send[0].head().RequestID)
	fx = m.Receive(clientDawn, &Response{Head: Head{RequestID: "2"}})
	require.Len(t, fx.Done, 1)
	require.Same(t, given, fx.Done[0].Request)

	stats := &EnableConsumerStats{ID: 7, Interval: 3}
	fx, err = m.Send(clientDawn, stats)
	require.NoError(t, err)
	require.EqualValues(t, 3, stats.Interval)
	require.Equal(t, []Message{&EnableConsumerStats{ID: 7, Interval: 1000}}, fx.Send)
}

func TestIDsOfRequestsThatWaitDiffer(t *testing.T) {
	t.Parallel()
	next := uint64(0)
	m := joinedMachine(t, ClientConfig{NewID: func() uint64 { next++; return next / 3 }})
	seen := map[ID]bool{}
	for range 50 {
		fx, err := m.Send(clientDawn, new(QueryRoom))
		require.NoError(t, err)
		id := fx.Send[0].head().RequestID
		require.False(t, seen[id], id)
		seen[id] = true
	}

	// One that always says the same does not hang.
	m = joinedMachine(t, ClientConfig{NewID: func() uint64 { return 5 }})
	for i := range 3 {
		fx, err := m.Send(clientDawn, new(QueryRoom))
		require.NoError(t, err)
		require.Equal(t, []ID{"5", "1", "2"}[i], fx.Send[0].head().RequestID)
	}
	m.Receive(clientDawn, &Response{Head: Head{RequestID: "5"}, Result: json.RawMessage(clientRoom)})
	fx, err := m.Send(clientDawn, new(QueryRoom))
	require.NoError(t, err)
	require.Equal(t, ID("5"), fx.Send[0].head().RequestID, "which is free again")
}

func TestDeadlinesOfAClient(t *testing.T) {
	t.Parallel()
	m := NewClientMachine(ClientConfig{})
	at := func(d time.Duration) time.Time { return clientDawn.Add(d) }
	due := func(want time.Duration) {
		t.Helper()
		when, ok := m.Deadline()
		require.True(t, ok)
		require.Equal(t, want, when.Sub(clientDawn))
	}
	none := func() {
		t.Helper()
		_, ok := m.Deadline()
		require.False(t, ok)
	}
	none()
	m.Start(at(0))
	none()
	_, err := m.Send(at(0), new(QueryRoom))
	require.NoError(t, err)
	due(30 * time.Second)
	_, err = m.Send(at(time.Second), joinOf(t, "alice"))
	require.NoError(t, err)
	due(30 * time.Second)
	require.Zero(t, m.Expire(at(29*time.Second)))
	m.Receive(at(2*time.Second), &Response{Head: Head{RequestID: "1"}})
	due(31 * time.Second)
	m.Receive(at(2*time.Second), &Response{Head: Head{RequestID: "2"}})
	none()
	m.Lost(at(3 * time.Second))
	none()
	m.Start(at(5 * time.Second))
	due(20 * time.Second)
	m.Receive(at(19*time.Second), &Response{Head: Head{RequestID: "3"}})
	due(20 * time.Second)
	m.Receive(at(19*time.Second), &Response{Head: Head{RequestID: "4"}})
	require.Equal(t, ClientJoined, m.State())
	none()
}

// A client that waits for its room without a limit must not wait for an answer that it has
// given up.
func TestRoomThatDoesNotAnswerEndsTheConnectionHoweverLongMayBeWaited(t *testing.T) {
	t.Parallel()
	for answers, want := range []time.Duration{DefaultCallTimeout, DefaultCallTimeout + time.Second} {
		m := joinedMachine(t, ClientConfig{HandshakeTimeout: -1})
		m.Lost(clientDawn)
		m.Start(clientDawn)
		if answers > 0 {
			m.Receive(clientDawn.Add(time.Second), &Response{Head: Head{RequestID: "2"}, Result: json.RawMessage(clientRoom)})
			require.Equal(t, ClientJoining, m.State())
		}
		when, ok := m.Deadline()
		require.True(t, ok)
		require.Equal(t, want, when.Sub(clientDawn))
		fx := m.Expire(when)
		require.NotNil(t, fx.Close)
		require.Equal(t, ErrCallTimeout, fx.Close.Err)
		require.False(t, fx.Close.Final)
		require.Equal(t, ClientClosed, m.State())
		requireClientForgets(t, m)
	}
}

func TestSetJoinIsForThoseWhoHaveJoined(t *testing.T) {
	t.Parallel()
	other := joinOf(t, "other")
	m := clientAfter(t, ClientConfig{}, "start")
	m.SetJoin(other)
	m.Lost(clientDawn)
	require.Equal(t, []Message{new(Reconnected)}, m.Start(clientDawn).Deliver)

	m = joinedMachine(t, ClientConfig{})
	require.Equal(t, "alice", m.Joined().PeerName)
	m.Lost(clientDawn)
	m.SetJoin(other)
	fx := m.Start(clientDawn)
	require.Len(t, fx.Send, 1)
	require.IsType(t, new(QueryRoom), fx.Send[0])
	require.False(t, m.Ready())
	fx = m.Receive(clientDawn, &Response{Head: Head{RequestID: "2"}})
	require.Len(t, fx.Send, 1)
	require.Equal(t, "other", fx.Send[0].(*Join).PeerName)
	require.Empty(t, other.RequestID, "a copy is sent")
	require.False(t, m.Ready(), "the room is part of it")
	fx = m.Receive(clientDawn, &Response{Head: Head{RequestID: "3"}})
	require.True(t, m.Ready())
	require.Equal(t, []Message{&Reconnected{Room: new(QueryRoomResult), Joined: new(JoinResult)}}, fx.Deliver)
}

// Commands of one transport in any order go out in that order, one request at a time, while
// another transport has its own.
func TestCommandsOfATransportKeepTheirOrder(t *testing.T) {
	t.Parallel()
	m := joinedMachine(t, ClientConfig{})
	var given []Message
	command := func(n int, on uint32) Message {
		switch n % 4 {
		case 0:
			return &CreateTransport{ID: on, Direction: DirectionSend}
		case 1:
			p := clientMessage[*CreateProducer](t, clientProducer)
			p.Head, p.ID, p.TransportID = Head{}, on*100+uint32(n), on
			return p
		case 2:
			return &PauseProducer{ID: on*100 + uint32(n-1)}
		}
		return &RestartTransport{ID: on}
	}
	var wire []Message
	take := func(fx Effects) { wire = append(wire, fx.Send...) }
	for n := range 12 {
		for on := range uint32(2) {
			msg := command(n, on+1)
			given = append(given, msg)
			fx, err := m.Send(clientDawn, msg)
			require.NoError(t, err)
			take(fx)
			requireClientModel(t, m)
		}
	}
	require.Len(t, wire, 2, "the first of each")
	var done []Message
	for i := 0; i < len(wire); i++ {
		if !isRequest(wire[i]) {
			continue
		}
		r := &Response{Head: Head{RequestID: wire[i].head().RequestID}}
		if i%3 == 0 { // a refusal lets the next one go as well
			r.Error = ErrTransportNotFound
		}
		fx := m.Receive(clientDawn, r)
		require.Len(t, fx.Done, 1)
		done = append(done, fx.Done[0].Request)
		take(fx)
		requireClientModel(t, m)
	}
	of := func(on uint32, all []Message) (texts []string) {
		for _, msg := range all {
			if id := fmt.Sprint(on); m.laneOf(msg) == on || clientID(msg)/100 == on {
				texts = append(texts, id+clientText(msg))
			}
		}
		return texts
	}
	for on := range uint32(2) {
		require.Equal(t, of(on+1, given), of(on+1, wire))
		require.Len(t, of(on+1, wire), 12)
	}
	require.Len(t, done, 18)
	require.Empty(t, m.lanes)
	require.Empty(t, m.owners)
}

// clientID returns the id of a producer.
func clientID(msg Message) uint32 {
	if p, ok := msg.(*PauseProducer); ok {
		return p.ID
	}
	return 0
}

func TestPendingCountsWhatWaitsInLanes(t *testing.T) {
	t.Parallel()
	m := joinedMachine(t, ClientConfig{Pending: 5})
	for range 5 {
		_, err := m.Send(clientDawn, &CreateTransport{ID: 1, Direction: DirectionSend})
		require.NoError(t, err)
	}
	for _, msg := range []Message{
		new(QueryRoom), &RestartTransport{ID: 2}, &Application{Head: Head{RequestID: "0"}, Method: "a"},
	} {
		fx, err := m.Send(clientDawn, msg)
		require.Equal(t, ErrTooManyCalls, err)
		require.Zero(t, fx)
	}
	_, err := m.Send(clientDawn, &PauseProducer{ID: 9})
	require.NoError(t, err, "which nobody waits for")
	fx, err := m.Send(clientDawn, &CloseTransport{ID: 1})
	require.NoError(t, err)
	require.Len(t, fx.Done, 4)
	for _, r := range fx.Done {
		require.Equal(t, ErrTransportClosed, r.Err)
	}
	for range 4 {
		_, err = m.Send(clientDawn, new(QueryRoom))
		require.NoError(t, err)
	}
	_, err = m.Send(clientDawn, new(QueryRoom))
	require.Equal(t, ErrTooManyCalls, err, "the first one is still under way")
}

func TestJoinNeedsWhatTheServerNeeds(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start")
	for field, change := range map[string]func(*Join){
		"peerName":                         func(j *Join) { j.PeerName = "" },
		"rtpCapabilities":                  func(j *Join) { j.RTPCapabilities = nil },
		"rtpCapabilities.headerExtensions": func(j *Join) { j.RTPCapabilities = &RTPCapabilities{} },
		"appData":                          func(j *Join) { j.AppData = json.RawMessage("{") },
	} {
		join := joinOf(t, "alice")
		change(join)
		_, err := m.Send(clientDawn, join)
		e, ok := errors.AsType[*ValidationError](err)
		require.True(t, ok, "%s: %v", field, err)
		require.Equal(t, field, e.Field)
		require.Equal(t, ClientNew, m.State())
	}
}

// What is not UTF-8 must not get as far as the connection, which would end of it.
func TestTextsThatAreNotUTF8AreNotSent(t *testing.T) {
	t.Parallel()
	const bad = "\xff"
	in, out := joinedMachine(t, ClientConfig{}), clientAfter(t, ClientConfig{}, "start")
	join := joinOf(t, bad)
	codec := joinOf(t, "alice")
	codec.RTPCapabilities.Codecs[0].MimeType = bad
	producer := clientMessage[*CreateProducer](t, clientProducer)
	producer.RTPParameters.RTCP.CNAME = new(bad)
	extra := &Leave{Extra: Fields{"x": json.RawMessage(`"` + bad + `"`)}}
	for field, tt := range map[string]struct {
		m   *ClientMachine
		msg Message
	}{
		"peerName": {out, join}, "rtpCapabilities.codecs[0].mimeType": {out, codec}, "rtpParameters.rtcp.cname": {in, producer},
		"method": {in, &Application{Method: bad}}, "error": {in, &Response{Head: Head{RequestID: "1"}, Error: &Error{Reason: bad}}},
		"x": {in, extra},
	} {
		state := tt.m.State()
		fx, err := tt.m.Send(clientDawn, tt.msg)
		require.Zero(t, fx)
		e, ok := errors.AsType[*ValidationError](err)
		require.True(t, ok, "%s: %v", field, err)
		require.Equal(t, field, e.Field)
		require.Equal(t, state, tt.m.State())
	}
	_, err := in.Send(clientDawn, &Unknown{Type: bad})
	_, ok := errors.AsType[*ValidationError](err)
	require.True(t, ok, "%v", err)
}

func TestAServerThatFloodsAClientThatJoinsIsLeft(t *testing.T) {
	t.Parallel()
	m := clientAfter(t, ClientConfig{}, "start", clientJoins)
	for i := range maxEarly {
		require.Nil(t, m.Receive(clientDawn, &PeerClosed{Name: fmt.Sprint(i)}).Close)
	}
	fx := m.Receive(clientDawn, &PeerClosed{Name: "one more"})
	require.NotNil(t, fx.Close)
	require.Equal(t, ErrSlowConsumer, fx.Close.Err)
	require.Len(t, fx.Done, 1)
	require.Equal(t, ErrConnectionLost, fx.Done[0].Err)
	require.Empty(t, m.Lost(clientDawn).Done)
	requireClientForgets(t, m)
	require.Empty(t, m.early)
}
