package mediasoupproto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serverDawn is when the tests of a server's machine begin.
var serverDawn = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// requireNobodyLeft demands that a machine has forgotten everybody.
func requireNobodyLeft(t testing.TB, m *ServerMachine) {
	t.Helper()
	require.Zero(t, m.Len())
	require.Empty(t, m.conns)
	require.Empty(t, m.rooms)
	require.Empty(t, m.waiting, "results for nobody")
	require.Zero(t, m.clock.Len(), "an alarm for nobody")
	_, due := m.Deadline()
	require.False(t, due)
}

func TestServerDoesWhatMediasoupDoes(t *testing.T) {
	t.Parallel()
	lines := wireLines(t)
	used := make(map[string]bool)
	for len(lines) > 0 {
		n := slices.IndexFunc(lines, func(l wireLine) bool { return l.flow != lines[0].flow })
		if n < 0 {
			n = len(lines)
		}
		flow := lines[:n]
		lines = lines[n:]
		if number := flow[0].flow[:2]; number >= "50" {
			continue // of clients alone
		}
		for _, l := range flow {
			used[l.place()] = true
		}
		t.Run(flow[0].flow, func(t *testing.T) {
			t.Parallel()
			newServerReplay(t, flow).play()
		})
	}
	for place, e := range serverReplayExceptions {
		require.True(t, used[place], place)
		require.NotEmpty(t, e.why, place)
	}
}

// A serverReplay plays what the clients and the application of a trace did on a machine, and
// its media, and compares what each client heard.
type serverReplay struct {
	t       *testing.T
	lines   []wireLine
	machine *ServerMachine
	now     time.Time
	ids     []uint32 // of the consumers to come, with their SSRCs
	known   map[uint32]bool
	peers   map[string]PeerID
	names   map[PeerID]string
	asked   map[string][]MediaOp // by peer and request, or by what is to be told
	request string               // the key of the present one
	heard   map[string][]string
	wanted  map[string][]wantedLine
}

// A wantedLine is what a client must hear.
type wantedLine struct{ place, line string }

func newServerReplay(t *testing.T, lines []wireLine) *serverReplay {
	r := &serverReplay{
		t: t, lines: lines, now: serverDawn, known: make(map[uint32]bool),
		peers: make(map[string]PeerID), names: make(map[PeerID]string), asked: make(map[string][]MediaOp),
		heard: make(map[string][]string), wanted: make(map[string][]wantedLine),
	}
	r.machine = NewServerMachine(ServerConfig{
		Capabilities: roomOfTrace(t, lines), JoinTimeout: -1, AllowSpies: true, AllowPlainRTP: true,
		Transports: 100, Producers: 100,
		NewID: func() uint32 {
			if len(r.ids) == 0 {
				return 0
			}
			id := r.ids[0]
			r.ids = r.ids[1:]
			return id
		},
	})
	return r
}

// roomOfTrace returns what the room of a trace can do. Where nobody has asked it is that of
// all others.
func roomOfTrace(t *testing.T, lines []wireLine) *RTPCapabilities {
	for i := range lines {
		if !lines[i].is("c2s", "request", "queryRoom") {
			continue
		}
		var result QueryRoomResult
		require.NoError(t, unmarshalResult("queryRoom", answerOf(lines, i).Body, &result))
		return result.RTPCapabilities
	}
	caps, err := GenerateRoomRTPCapabilities(DefaultCodecs())
	require.NoError(t, err)
	return caps
}

func (r *serverReplay) play() {
	for i := range r.lines {
		l := &r.lines[i]
		e, excepted := serverReplayExceptions[l.place()]
		if excepted && e.skip {
			continue
		}
		switch l.Dir {
		case "c2s":
			r.says(i, l)
		case "s2c":
			if !excepted || e.ours != "" {
				r.told(l)
			}
			r.want(l)
		case "api":
			r.call(l)
		}
	}
	for name := range r.heard {
		require.Contains(r.t, r.wanted, name)
	}
	for name, wanted := range r.wanted {
		for i, w := range wanted {
			require.Less(r.t, i, len(r.heard[name]), "%s hears nothing of %s", name, w.place)
			require.Equal(r.t, w.line, r.heard[name][i], "%s at %s", name, w.place)
		}
		require.Len(r.t, r.heard[name], len(wanted), "%s hears more", name)
	}
	for _, name := range sortedKeys(r.peers) {
		r.apply(r.machine.Disconnect(r.now, r.peers[name]))
	}
	for _, ops := range r.asked {
		for _, op := range ops {
			require.Empty(r.t, r.machine.MediaDone(r.now, op.Ticket, MediaResult{}).Send)
		}
	}
	requireNobodyLeft(r.t, r.machine)
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (r *serverReplay) peer(name string) PeerID {
	id, ok := r.peers[name]
	if !ok {
		id = PeerID(len(r.peers) + 1)
		r.peers[name], r.names[id] = id, name
		r.apply(r.machine.Connect(r.now, id, Connection{}))
	}
	return id
}

// says plays a line of a client.
func (r *serverReplay) says(i int, l *wireLine) {
	peer := r.peer(l.Peer)
	if answer := answerOf(r.lines, i); l.Kind == "request" {
		r.request = l.Peer + " " + string(l.RID)
		if !strings.HasPrefix(l.flow, "42") { // whose requests do not wait for each other
			r.ids = r.ids[:0]
		}
		for j := i + 1; answer != nil && j < len(r.lines); j++ {
			r.coming(&r.lines[j])
			if &r.lines[j] == answer {
				break
			}
		}
	}
	msg, err := DecodePayload(ID(l.RID), l.Body)
	if err != nil {
		r.apply(r.machine.Malformed(r.now, peer, asDecodeError(err)))
		return
	}
	r.apply(r.machine.Receive(r.now, peer, msg))
	r.request = ""
}

// coming has the machine make the ids of the consumers that a line tells of.
func (r *serverReplay) coming(l *wireLine) {
	add := func(c ConsumerInfo) {
		if c.ID == 0 || c.RTPParameters == nil || r.known[c.ID] {
			return
		}
		r.known[c.ID] = true
		ssrc, rtx := uint32(0), uint32(0)
		for _, e := range c.RTPParameters.Encodings {
			ssrc, rtx = e.SSRC, e.rtxSSRC()
		}
		if rtx == 0 {
			rtx = c.ID // asked for and not used
		}
		r.ids = append(r.ids, c.ID, ssrc, rtx)
	}
	var body struct {
		ConsumerInfo
		Peers []struct{ Consumers []ConsumerInfo }
	}
	if json.Unmarshal(l.Body, &body) != nil || l.Dir != "s2c" {
		return
	}
	add(body.ConsumerInfo)
	for _, p := range body.Peers {
		for _, c := range p.Consumers {
			add(c)
		}
	}
}

// told plays what the media did before a client heard of it.
func (r *serverReplay) told(l *wireLine) {
	if l.Kind == "response" || l.Kind == "error" {
		r.answered(l)
		return
	}
	var body struct {
		Method  string
		ID      uint32
		Stats   []json.RawMessage
		Profile Profile
	}
	require.NoError(r.t, json.Unmarshal(l.Body, &body))
	switch id := (MediaID{r.peers[l.Peer], body.ID}); body.Method {
	case "consumerEffectiveProfileChanged":
		r.apply(r.machine.EffectiveProfile(r.now, id, body.Profile))
	case "transportStats", "producerStats", "consumerStats":
		key := fmt.Sprint(mediaOfStats[body.Method], id)
		for range 10 {
			if len(r.asked[key]) > 0 {
				break
			}
			at, ok := r.machine.Deadline()
			require.True(r.t, ok, l.place())
			r.now = at
			r.apply(r.machine.Expire(at))
		}
		r.done(key, MediaResult{Stats: body.Stats})
	case "closed":
		if heard := r.heard[l.Peer]; !strings.Contains(heard[len(heard)-1], `"method":"closed"`) {
			fx, ok := r.machine.ClosePeer(r.now, id.Peer, nil) // which a flow does not say at its end
			require.True(r.t, ok, l.place())
			r.apply(fx)
		}
	}
}

var mediaOfStats = map[string]MediaKind{
	"transportStats": MediaTransportStats, "producerStats": MediaProducerStats, "consumerStats": MediaConsumerStats,
}

// answered plays the media's answer to what a request wanted of them.
func (r *serverReplay) answered(l *wireLine) {
	key := l.Peer + " " + string(l.RID)
	if len(r.asked[key]) == 0 {
		return
	}
	var body struct {
		CreateTransportResult
		EffectiveProfile Profile
	}
	_ = json.Unmarshal(l.Body, &body)
	op := r.asked[key][0]
	result := MediaResult{Effective: body.EffectiveProfile}
	switch op.Kind {
	case MediaCreateTransport:
		result.Transport = new(CreateTransportResult)
		require.NoError(r.t, unmarshalResult("createTransport", l.Body, result.Transport))
		if l.Kind == "error" {
			m, _ := op.Message.(*CreateTransport)
			var err error
			if result.Transport, err = (&nullRoom{engine: new(NullEngine)}).CreateTransport(op.ID, m); err != nil {
				result.Err = err.(*Error)
			}
		}
	case MediaRestartTransport:
		result.ICE = body.ICEParameters
	}
	r.done(key, result)
}

// done answers the first operation of a key.
func (r *serverReplay) done(key string, result MediaResult) {
	if ops := r.asked[key]; len(ops) > 0 {
		r.asked[key] = ops[1:]
		r.apply(r.machine.MediaDone(r.now, ops[0].Ticket, result))
	}
}

// call plays what the application did.
func (r *serverReplay) call(l *wireLine) {
	var c struct {
		Call    string
		ID      uint32
		AppData json.RawMessage
		Profile Profile
	}
	require.NoError(r.t, json.Unmarshal(l.Body, &c))
	id := MediaID{r.peers[l.Peer], c.ID}
	m := r.machine
	ok := true
	var fx ServerEffects
	switch c.Call {
	case "producer.pause", "producer.resume":
		fx, ok = m.PauseProducer(r.now, id, c.Call == "producer.pause", c.AppData)
	case "consumer.pause", "consumer.resume":
		fx, ok = m.PauseConsumer(r.now, id, c.Call == "consumer.pause", c.AppData)
	case "producer.close":
		fx, ok = m.CloseProducer(r.now, id, c.AppData)
	case "transport.close":
		fx, ok = m.CloseTransport(r.now, id, c.AppData)
	case "consumer.setPreferredProfile":
		fx, ok = m.SetPreferredProfile(r.now, id, c.Profile)
		require.Equal(r.t, c.Profile.IsPreference(), ok, l.place())
		ok = true
	case "room.close":
		fx, ok = m.CloseRoom(r.now, "")
	case "producer.setPreferredProfile": // of the media alone, and nobody is told
	default:
		require.Fail(r.t, c.Call, l.place())
	}
	require.True(r.t, ok, l.place())
	r.apply(fx)
}

// apply carries out effects: joins are let in, producers begin at once, and what else the
// media are asked for waits for the line that tells what became of it.
func (r *serverReplay) apply(fx ServerEffects) {
	for _, d := range fx.Send {
		name := r.names[d.To]
		r.heard[name] = append(r.heard[name], heardLine(r.t, d.Message))
	}
	require.Empty(r.t, fx.Close)
	for _, op := range fx.Media {
		switch {
		case op.Ticket == Ticket{}:
		case op.Kind == MediaCreateProducer, op.Kind == MediaUpdateTransport:
			defer func() { r.apply(r.machine.MediaDone(r.now, op.Ticket, MediaResult{})) }()
		case op.Kind >= MediaTransportStats:
			key := fmt.Sprint(op.Kind, op.ID)
			r.asked[key] = append(r.asked[key], op)
		default:
			r.asked[r.request] = append(r.asked[r.request], op)
		}
	}
	for _, q := range fx.Ask {
		r.apply(r.machine.Decide(r.now, q.Ticket, Decision{}))
	}
}

// heardLine is what a client hears, without a framing and without the order of members.
func heardLine(t *testing.T, m Message) string {
	if resp, ok := m.(*Response); ok {
		if resp.Error != nil {
			return fmt.Sprintf("%s %s", resp.RequestID, resp.Error.Reason)
		}
		return fmt.Sprintf("%s %s", resp.RequestID, sortedJSON(t, append(resp.Result, "{}"[min(2, len(resp.Result)*2):]...)))
	}
	data, err := EncodePayload(m)
	require.NoError(t, err)
	return sortedJSON(t, data)
}

// sortedJSON returns a value with its members by name.
func sortedJSON(t *testing.T, data []byte) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

// want adds a line to what a client must hear.
func (r *serverReplay) want(l *wireLine) {
	line := ""
	switch l.Kind {
	case "response":
		line = fmt.Sprintf("%s %s", l.RID, sortedJSON(r.t, l.Body))
	case "error":
		line = fmt.Sprintf("%s %s", l.RID, l.refusal(r.t).Reason)
	case "notification":
		line = sortedJSON(r.t, l.Body)
	case "rejected":
		return // nothing on the wire
	}
	if e, ok := serverReplayExceptions[l.place()]; ok {
		require.NotEqual(r.t, e.ours, line, "%s: no exception", l.place())
		if e.ours == "" {
			return
		}
		line = e.ours
	}
	r.wanted[l.Peer] = append(r.wanted[l.Peer], wantedLine{l.place(), line})
}

// A serverReplayException is where our server does otherwise than mediasoup.
type serverReplayException struct {
	ours string // in place of what the client hears there; "" is nothing
	skip bool   // the line is not played
	why  string
}
