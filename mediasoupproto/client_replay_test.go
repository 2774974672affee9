package mediasoupproto

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// clientReplayExceptions are what mediasoup-client says, tells or does otherwise than our
// client: the lines of the traces, by flow and number, or names of events
// and peers.
var clientReplayExceptions = map[string]string{
	"producer.unhandled":              "the media layer's",
	"consumer.unhandled":              "the media layer's",
	"transport.connectionstatechange": "the media layer's",
	"nocons":                          "came without consumers, and is half there for mediasoup-client",
	"50:36":                           "that a consumer is received already is known to the media layer",
	"50:41":                           "the media layer does not say the same twice",
	"50:45":                           "who wants a profile that does not exist is told so",
	"50:58":                           "the media layer does not say the same twice",
	"50:64":                           "another track is the media layer's",
	"50:78":                           "whether there is a connection is known to the media layer",
	"50:92":                           "the producers of a transport end with it",
	"50:105":                          "the media layer's",
	"50:111":                          "who leaves twice is told so",
	"51:16":                           "the peer is there, though its consumers are not",
	"51:46":                           "what is said twice is told twice",
	"51:49":                           "a consumer has its id, whoever it is of",
	"51:53":                           "the application is told of it",
	"51:58":                           "a consumer has its id, whoever it is of",
	"51:64":                           "which producers there are is known to the media layer",
	"51:70":                           "which transports there are is known to the media layer",
	"51:86":                           "the application is told of it",
	"51:95":                           "which transports there are is known to the media layer",
	"51:105":                          "the media layer's",
	"51:106":                          "the media layer's",
	"51:107":                          "the media layer's",
}

// TestClientTakesPartInTheTraces lets a client machine do what the application of
// mediasoup-client did in its flows. It must say the same in the same order, and what is told
// and comes of the calls must be the same.
func TestClientTakesPartInTheTraces(t *testing.T) {
	t.Parallel()
	lines := wireLines(t)
	unused, calls := maps.Clone(clientReplayExceptions), maps.Clone(clientCalls)
	flows := 0
	for from := 0; from < len(lines); {
		to := from
		for to < len(lines) && lines[to].flow == lines[from].flow {
			to++
		}
		if lines[from].scripted() {
			r := &clientReplay{
				TB: t, lines: lines[from:to], flow: lines[from].flow[:2], unused: unused, calls: calls,
				ids: map[string]ID{}, taken: map[int]bool{}, outcomes: map[string]*outcome{},
			}
			r.begin()
			for r.at = range r.lines {
				r.step(&r.lines[r.at])
			}
			require.Empty(t, r.sent, r.flow)
			require.Empty(t, r.events, r.flow)
			flows++
		}
		from = to
	}
	require.Equal(t, 3, flows)
	require.Empty(t, unused)
	require.Empty(t, calls)
}

// An outcome is what became of a call.
type outcome struct {
	err   error
	value string
}

// A clientReplay is a client in a flow.
type clientReplay struct {
	testing.TB
	lines  []wireLine
	flow   string // its number
	at     int
	unused map[string]string
	calls  map[string]clientCall

	machine  *ClientMachine
	then     map[Message]func(r Reply)
	common   *ExtendedRTPCapabilities
	sent     []Message
	ids      map[string]ID // ours, by theirs
	taken    map[int]bool  // lines that the application has looked at
	outcomes map[string]*outcome
	events   []string
}

// begin makes a client in a room of its own.
func (r *clientReplay) begin() {
	r.machine, r.then = NewClientMachine(ClientConfig{}), map[Message]func(Reply){}
	r.apply(r.machine.Start(clientDawn))
}

// excused reports whether a line or an event is an exception.
func (r *clientReplay) excused(what string) bool {
	_, ok := clientReplayExceptions[what]
	if ok {
		delete(r.unused, what)
	}
	return ok
}

func (r *clientReplay) step(l *wireLine) {
	place := fmt.Sprintf("%s:%d", r.flow, l.number)
	var body struct {
		Call, Event, State string
		Args               json.RawMessage
		OK                 bool
		Value              json.RawMessage
		Peers              *int
	}
	if l.Dir != "c2s" && l.Dir != "s2c" {
		require.NoError(r, json.Unmarshal(l.Body, &body), place)
	}
	switch {
	case l.Dir == "api":
		do, ok := clientCalls[r.flow+" "+body.Call]
		require.True(r, ok, "%s: %s", place, body.Call)
		delete(r.calls, r.flow+" "+body.Call)
		if r.excused(place) {
			r.outcomes[body.Call] = nil
			return
		}
		do(r, body.Call)
	case l.Dir == "c2s":
		r.says(l, place)
	case l.Dir == "s2c":
		require.Empty(r, r.sent, place)
		r.hears(l, place)
	case l.Dir == "event":
		if r.excused(body.Event) || r.excused(place) {
			return
		}
		require.NotEmpty(r, r.events, place)
		require.JSONEq(r, `["`+body.Event+`",`+string(body.Args)+`]`, r.events[0], place)
		r.events = r.events[1:]
	case l.Dir == "result" && l.Kind == "result":
		r.ends(body.Call, body.OK, string(body.Value), place)
	case l.Dir == "result" && l.Kind == "state" && body.State != "":
		states := map[string]ClientState{"joined": ClientJoined, "closed": ClientLeft}
		require.Equal(r, states[body.State], r.machine.State(), place)
		if body.Peers != nil {
			require.Len(r, r.machine.Peers(), *body.Peers, place)
		}
	}
}

// says compares what we say with what the client of the trace said.
func (r *clientReplay) says(l *wireLine, place string) {
	if r.excused(place) {
		return
	}
	require.NotEmpty(r, r.sent, place)
	msg := r.sent[0]
	r.sent = r.sent[1:]
	got, err := EncodePayload(msg)
	require.NoError(r, err, place)
	requireSameJSON(r, l.Body, got, place)
	require.Equal(r, l.Kind == "request", isRequest(msg), place)
	r.ids[string(l.RID)] = msg.head().RequestID
}

// hears gives the client what the server says. What mediasoup-client rejects or logs as an
// error must be ignored.
func (r *clientReplay) hears(l *wireLine, place string) {
	if l.Kind == "response" {
		id, ok := r.ids[string(l.RID)]
		require.True(r, ok, place)
		r.apply(r.machine.Receive(clientDawn, &Response{Head: Head{RequestID: id}, Result: l.Body}))
		return
	}
	told, events := r.events, 0
	var fx Effects
	if m, err := DecodePayload("", l.Body); err != nil {
		fx = r.machine.Malformed(clientDawn, asDecodeError(err))
	} else {
		if gone, ok := m.(*PeerClosed); ok {
			r.peerClosed(gone)
		}
		if gone, ok := m.(*Closed); ok && r.machine.State() == ClientJoined {
			r.left("remote", gone.AppData)
		}
		events = len(r.events) - len(told)
		fx = r.machine.Receive(clientDawn, m)
	}
	r.apply(fx)
	if r.excused(place) {
		r.events = told
		require.NotEmpty(r, fx.Deliver, "%s is no exception", place)
		return
	}
	refused := false
	if r.at+1 < len(r.lines) {
		next := r.lines[r.at+1]
		refused = next.Kind == "rejected" ||
			next.Dir == "log" && strings.Contains(string(next.Body), "receiveNotification() failed")
	}
	if refused {
		require.Empty(r, fx.Deliver, place)
		require.Zero(r, events, place)
		return
	}
	require.Len(r, fx.Deliver, 1, place)
}

// ends compares what came of a call.
func (r *clientReplay) ends(call string, ok bool, value, place string) {
	if r.excused(place) {
		return
	}
	got, ended := r.outcomes[call]
	require.True(r, ended, "%s: %s has not come to its end", place, call)
	if got == nil { // it was an exception
		return
	}
	require.Equal(r, ok, got.err == nil, "%s: %v", place, got.err)
	if got.value != "" {
		require.Equal(r, value, got.value, place)
	}
	delete(r.outcomes, call)
}

func (r *clientReplay) done(call string, err error) { r.outcomes[call] = &outcome{err: err} }

func (r *clientReplay) doneWith(call string, value bool) {
	r.outcomes[call] = &outcome{value: fmt.Sprint(value)}
}

// tell notes an event as mediasoup-client would tell it.
func (r *clientReplay) tell(event string, args ...any) {
	b, err := json.Marshal([]any{event, args})
	require.NoError(r, err)
	r.events = append(r.events, string(b))
}

// send sends a message of the application.
func (r *clientReplay) send(msg Message, then func(err error)) {
	if leave, ok := msg.(*Leave); ok && r.machine.State() == ClientJoined {
		r.left("local", leave.AppData)
	}
	fx, err := r.machine.Send(clientDawn, msg)
	if err != nil || !isRequest(msg) {
		then(err)
	} else {
		r.then[msg] = func(reply Reply) { then(reply.Err) }
	}
	if err != nil {
		return
	}
	r.apply(fx)
	switch msg := msg.(type) {
	case *PauseConsumer:
		r.tell("consumer.pause", msg.ID, "local", msg.AppData)
	case *ResumeConsumer:
		r.tell("consumer.resume", msg.ID, "local", msg.AppData)
	case *PauseProducer:
		r.tell("producer.pause", msg.ID, "local", msg.AppData)
	case *ResumeProducer:
		r.tell("producer.resume", msg.ID, "local", msg.AppData)
	case *CloseProducer:
		r.tell("producer.close", msg.ID, "local", msg.AppData)
	case *CloseTransport:
		r.tell("transport.close", msg.ID, "local", msg.AppData)
	}
}

// left tells of the end of a room, with the peers that are known now.
func (r *clientReplay) left(by string, appData json.RawMessage) {
	r.tell("room.close", by, appData)
	for _, p := range r.machine.Peers() {
		if r.excused(p.Name) {
			continue
		}
		r.tell("peer.close", p.Name, by, nil)
		for _, c := range p.Consumers {
			r.tell("consumer.close", c.ID, by)
		}
	}
}

func (r *clientReplay) peerClosed(gone *PeerClosed) {
	for _, p := range r.machine.Peers() {
		if p.Name == gone.Name {
			r.tell("peer.close", p.Name, "remote", gone.AppData)
			for _, c := range p.Consumers {
				r.tell("consumer.close", c.ID, "remote")
			}
		}
	}
}

// newConsumer tells of what can be received.
func (r *clientReplay) newConsumer(c *ConsumerInfo) {
	r.tell("peer.newconsumer", c.PeerName, c.ID, c.Kind,
		map[string]bool{"supported": r.common.CanReceive(c.RTPParameters), "paused": c.Paused})
}

func (r *clientReplay) apply(fx Effects) {
	require.Nil(r, fx.Close)
	r.sent = append(r.sent, fx.Send...)
	for _, m := range fx.Deliver {
		r.delivered(m)
	}
	for _, reply := range fx.Done {
		if reply.Err == nil {
			r.succeeded(reply)
		}
		then := r.then[reply.Request]
		require.NotNil(r, then)
		delete(r.then, reply.Request)
		then(reply)
	}
}

func (r *clientReplay) succeeded(reply Reply) {
	switch m := reply.Request.(type) {
	case *Join:
		joined, err := reply.Response.Join()
		require.NoError(r, err)
		for _, p := range joined.Peers {
			for _, c := range p.Consumers {
				r.newConsumer(c)
			}
		}
	case *CreateProducer:
		if r.flow != "53" { // where nobody listened
			r.tell("producer.handled", m.ID)
		}
	case *EnableConsumer:
		enabled, err := reply.Response.EnableConsumer()
		require.NoError(r, err)
		if enabled.EffectiveProfile != nil {
			r.tell("consumer.effectiveprofilechange", m.ID, enabled.EffectiveProfile)
		}
		r.tell("consumer.handled", m.ID)
	}
}

func (r *clientReplay) delivered(m Message) {
	switch m := m.(type) {
	case *NewPeer:
		r.tell("room.newpeer", m.Name, m.AppData)
		for _, c := range m.Consumers {
			r.newConsumer(c)
		}
	case *NewConsumer:
		r.newConsumer(m.Info())
	case *ConsumerClosed:
		r.tell("consumer.close", m.ID, "remote")
	case *ConsumerPaused:
		r.tell("consumer.pause", m.ID, "remote", m.AppData)
	case *ConsumerResumed:
		r.tell("consumer.resume", m.ID, "remote", m.AppData)
	case *ConsumerPreferredProfileSet:
		r.tell("consumer.preferredprofile", m.ID)
	case *ConsumerEffectiveProfileChanged:
		r.tell("consumer.effectiveprofilechange", m.ID, m.Profile)
	case *ConsumerStats:
		r.tell("consumer.stats", m.ID, m.Stats)
	case *TransportStats:
		r.tell("transport.stats", m.ID, m.Stats)
	case *TransportClosed:
		r.tell("transport.close", m.ID)
	case *ProducerPaused:
		r.tell("producer.pause", m.ID, "remote", m.AppData)
	case *ProducerResumed:
		r.tell("producer.resume", m.ID, "remote", m.AppData)
	case *ProducerClosed:
		r.tell("producer.close", m.ID, "remote", m.AppData)
	case *ProducerStats:
		r.tell("producer.stats", m.ID, m.Stats)
	case *PeerClosed, *Closed: // noted before, with what was known
	default:
		require.Fail(r, "not expected", "%T", m)
	}
}

// next returns the next message of a method that the client of the trace said: its ids and
// its data are the application's choice.
func (r *clientReplay) next(method string) Message {
	for i := r.at; i < len(r.lines); i++ {
		l := &r.lines[i]
		if r.taken[i] || !l.is("c2s", "request", method) && !l.is("c2s", "notification", method) {
			continue
		}
		r.taken[i] = true
		m, err := payloadOf(l)
		require.NoError(r, err, l.place())
		m.head().RequestID = ""
		switch m := m.(type) {
		case *Join: // what the client can receive is ours to compute, and how it sends
			m.RTPCapabilities = r.common.RTPCapabilities()
		case *CreateProducer:
			p := r.common.SendingRTPParameters(m.Kind)
			p.MuxID, p.Encodings, p.RTCP = m.RTPParameters.MuxID, m.RTPParameters.Encodings, m.RTPParameters.RTCP
			m.RTPParameters = p
		}
		return m
	}
	require.Fail(r, "there is none", "%s %s", r.flow, method)
	return nil
}

var errNoCapabilities = errors.New("the room can do nothing")

// enter computes what the client and a room have in common, and joins.
func (r *clientReplay) enter(call string, room *RTPCapabilities, mandatory []uint8, then func()) {
	device := capabilitiesOf(r, scriptedDevice)
	r.common = ExtendRTPCapabilities(device, room)
	switch missing, err := r.common.Unsupported(room, mandatory); {
	case room == nil:
		r.done(call, errNoCapabilities)
	case err != nil:
		r.done(call, err)
	case len(missing) > 0:
		r.done(call, ErrMandatoryCodec)
	default:
		r.send(r.next("join"), func(err error) {
			r.done(call, err)
			if then != nil && err == nil {
				then()
			}
		})
	}
}
