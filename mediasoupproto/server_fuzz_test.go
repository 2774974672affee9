package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// FuzzServerMachine decodes its input into connections that come, say anything, are decided
// upon, wait for the media, run out of time and leave, and demands after each step that the
// machine speaks to those only who are there, that each request is answered once, that what
// it says can be written, that rooms, peers, producers and consumers agree, and that two runs
// are alike.
func FuzzServerMachine(f *testing.F) {
	for _, seed := range script.Seeds(60, 100, 20, 0) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		once := newServerChaos(t, data).run()
		require.Equal(t, once, newServerChaos(t, data).run(), "the machine is not deterministic")
	})
}

// chaosMessages are what connections say in serverChaos. ID is one of few ids, and CONSUMER
// one of few consumers.
var chaosMessages = []string{
	`queryRoom#REQ`,
	`join#REQ {"peerName":"NAME","rtpCapabilities":@caps,"appData":@deep:1ID}`,
	`join#REQ {"peerName":"NAME","rtpCapabilities":@opuscaps,"spy":true}`,
	`createTransport#REQ {"id":ID,"dtlsParameters":@dtls}`,
	`createTransport#REQ {"id":ID}`,
	`createTransport#REQ {"id":ID,"options":{},"plainRtpParameters":{}}`,
	`restartTransport#REQ {"id":ID}`,
	`createProducer#REQ {"id":ID,"kind":"audio","transportId":ID,"rtpParameters":@opus:ID,"appData":@deep:50}`,
	`createProducer#REQ {"id":ID,"kind":"audio","transportId":ID,"rtpParameters":@opus:ID}`,
	`createProducer#REQ {"id":ID,"kind":"video","transportId":ID,"rtpParameters":@vp8:ID,"paused":true}`,
	`enableConsumer#REQ {"id":CONSUMER,"transportId":ID}`,
	`enableConsumer#REQ {"id":CONSUMER,"transportId":ID,"paused":true,"preferredProfile":"low"}`,
	`enableConsumer#REQ {"id":CONSUMER,"transportId":ID}`,
	`leave {"appData":@deep:1ID}`,
	`updateTransport {"id":ID,"dtlsParameters":@dtls}`,
	`updateTransport {"id":ID,"plainRtpParameters":{"ip":"127.0.0.1","port":1}}`,
	`closeTransport {"id":ID}`,
	`enableTransportStats {"id":ID}`,
	`disableTransportStats {"id":ID}`,
	`pauseProducer {"id":ID}`,
	`resumeProducer {"id":ID}`,
	`closeProducer {"id":ID}`,
	`enableProducerStats {"id":ID,"interval":3000}`,
	`disableProducerStats {"id":ID}`,
	`updateProducer {"id":ID}`,
	`pauseConsumer {"id":CONSUMER}`,
	`resumeConsumer {"id":CONSUMER}`,
	`setConsumerPreferredProfile {"id":CONSUMER,"profile":"high"}`,
	`enableConsumerStats {"id":CONSUMER}`,
	`disableConsumerStats {"id":CONSUMER}`,
	`app-x#REQ {}`,
	`app-x {}`,
	`foo#REQ {}`,
	`newPeer {"name":"NAME","consumers":[]}`,
	`createTransport#REQ {"id":"x"}`,
	`{"request":true,"id":REQ,"method":"mediasoup-request","data":[]}`,
	`{"request":true,"id":REQ,"method":"mediasoup-notification","data":{"method":"leave","notification":true}}`,
	`{"request":`,
}

var chaosCalls = []string{
	"closeRoom", "closePeer", "closeTransport", "pauseProducer", "resumeProducer", "closeProducer", "pauseConsumer",
	"resumeConsumer", "setPreferredProfile", "requestKeyFrame", "effectiveProfile",
}

// A serverChaos drives a machine from a script of bytes and keeps the account of who is
// there.
type serverChaos struct {
	t        *testing.T
	choices  script.Choices
	machine  *ServerMachine
	now      time.Time
	last     PeerID
	requests int
	live     map[PeerID]map[ID]bool // requests without an answer
	in       map[PeerID]bool        // that have joined
	asked    map[PeerID]Question
	ops      []MediaOp
	rooms    map[string]bool // that the media have open
	journal  strings.Builder
}

func newServerChaos(t *testing.T, data []byte) *serverChaos {
	c := &serverChaos{t: t, choices: data, now: serverDawn, rooms: make(map[string]bool), in: make(map[PeerID]bool)}
	c.live, c.asked = make(map[PeerID]map[ID]bool), make(map[PeerID]Question)
	flags := c.choices.Next(16)
	c.machine = NewServerMachine(ServerConfig{
		AllowSpies: flags&1 != 0, AllowPlainRTP: flags&2 != 0, AskRequests: flags&12 == 12,
		Rooms: 2, Peers: 4, Transports: 3, Producers: 3, RoomProducers: 7, Pending: 4, PeerBytes: 2000, RoomBytes: 6000,
	})
	return c
}

func (c *serverChaos) run() string {
	for steps := 0; len(c.choices) > 0 && steps < 500; steps++ {
		c.step()
	}
	// Whoever is there has all answers once everything has been decided and done.
	for len(c.asked) > 0 || len(c.ops) > 0 {
		for _, id := range slices.Sorted(maps.Keys(c.asked)) {
			c.decide(id)
		}
		c.done()
	}
	for id, open := range c.live {
		require.Empty(c.t, open, "requests of %d without an answer", id)
	}
	for _, id := range slices.Sorted(maps.Keys(c.live)) {
		c.disconnect(id)
	}
	for len(c.ops) > 0 {
		c.done()
	}
	require.Zero(c.t, c.machine.Expire(c.now.Add(time.Hour)))
	require.Empty(c.t, c.rooms, "media without anybody")
	requireNobodyLeft(c.t, c.machine)
	return c.journal.String()
}

func (c *serverChaos) step() {
	switch c.choices.Next(16) {
	case 0:
		c.connect()
	case 1, 2: // somebody comes to send and to receive
		if !c.connect() {
			break
		}
		id := c.last
		for _, text := range []string{chaosMessages[1], chaosMessages[3], chaosMessages[8]} {
			c.say(id, strings.ReplaceAll(text, `:ID`, `:1`))
			c.decide(id)
			for len(c.ops) > 0 && c.choices.Next(4) > 0 {
				c.done()
			}
		}
	case 3, 4:
		c.decide(c.somebody())
	case 5, 6:
		c.done()
	case 7:
		if id := c.somebody(); c.choices.Next(4) == 0 {
			c.disconnect(id)
		}
	case 8:
		c.now = c.now.Add(time.Duration(c.choices.Next(12)) * time.Second)
		c.check(c.machine.Expire(c.now))
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "an alarm that has passed")
		}
	case 9:
		c.administer()
	case 10, 11: // somebody receives
		id := c.somebody()
		c.say(id, `enableConsumer#REQ {"id":CONSUMER,"transportId":1}`)
		for len(c.ops) > 0 && c.choices.Next(3) > 0 {
			c.done()
		}
	default:
		c.say(c.somebody(), chaosMessages[c.choices.Next(len(chaosMessages))])
	}
}

func (c *serverChaos) connect() bool {
	if len(c.live) >= 8 {
		return false
	}
	c.last++
	c.live[c.last] = make(map[ID]bool)
	info := Connection{Room: []string{"", "r", "q"}[c.choices.Next(6)%3*c.choices.Next(2)]}
	if c.choices.Next(4) == 0 {
		info.PeerName = c.name()
	}
	c.check(c.machine.Connect(c.now, c.last, info))
	return c.live[c.last] != nil
}

func (c *serverChaos) name() string {
	return []string{"ann", "ben", "cat", "dan", "eve"}[c.choices.Next(5)]
}

func (c *serverChaos) disconnect(id PeerID) {
	delete(c.live, id)
	delete(c.asked, id)
	c.check(c.machine.Disconnect(c.now, id))
}

// somebody returns one who is there, or nobody.
func (c *serverChaos) somebody() PeerID {
	ids := slices.Sorted(maps.Keys(c.live))
	if len(ids) == 0 {
		return 0
	}
	return ids[c.choices.Next(len(ids))]
}

// id returns one of few ids, mostly 1.
func (c *serverChaos) id() string {
	return fmt.Sprint([]int{1, 1, 1, 2, 2, 3, 0, 1}[c.choices.Next(8)])
}

// consumer returns the id of a consumer of a peer, or one of nobody's.
func (c *serverChaos) consumer(id PeerID) uint32 {
	p, ok := c.machine.Peer(id)
	if !ok || len(p.Consumers) == 0 {
		return 7
	}
	return p.Consumers[c.choices.Next(len(p.Consumers))].ID
}

// say plays a message. A driver reads none while its connection is asked about.
func (c *serverChaos) say(id PeerID, text string) {
	open := c.live[id]
	if _, asked := c.asked[id]; asked || open == nil {
		return
	}
	for strings.Contains(text, "ID") {
		text = strings.Replace(text, "ID", c.id(), 1)
	}
	text = strings.ReplaceAll(text, "NAME", c.name())
	text = strings.ReplaceAll(text, "CONSUMER", fmt.Sprint(c.consumer(id)))
	if strings.Contains(text, "REQ") {
		c.requests++
		req := fmt.Sprint(c.requests)
		open[ID(req)] = true
		text = strings.ReplaceAll(text, "REQ", req)
	}
	fmt.Fprintf(&c.journal, "%d says %s\n", id, text)
	frame := sceneSays(Protoo, script.Message{Data: []byte(text)})
	m, err := decoder(Protoo, 10_000)(transport.Text, frame.Data)
	if err != nil {
		c.check(c.machine.Malformed(c.now, id, asDecodeError(err)))
		return
	}
	c.check(c.machine.Receive(c.now, id, m))
}

func (c *serverChaos) decide(id PeerID) {
	q, ok := c.asked[id]
	if !ok {
		return
	}
	delete(c.asked, id)
	var d Decision
	if c.choices.Next(8) == 7 {
		d.Refuse = ErrNotAuthorised
	}
	c.check(c.machine.Decide(c.now, q.Ticket, d))
}

// done answers the oldest operation, as media do that carry out one after the other.
func (c *serverChaos) done() {
	if len(c.ops) == 0 {
		return
	}
	op := c.ops[0]
	c.ops = c.ops[1:]
	result := nullResult(op)
	switch c.choices.Next(8) {
	case 6:
		result.Effective = ProfileDefault
	case 7:
		result = refusedResult(op)
	}
	c.check(c.machine.MediaDone(c.now, op.Ticket, result))
	require.Zero(c.t, c.machine.MediaDone(c.now, op.Ticket, result), "answered twice")
}

func (c *serverChaos) administer() {
	id := c.somebody()
	p, _ := c.machine.Peer(id)
	call := applicationCall{
		Call: chaosCalls[c.choices.Next(len(chaosCalls))], Room: p.Room, Peer: p.PeerName, ID: uint32(c.choices.Next(4)),
		Profile: []Profile{ProfileLow, ProfileHigh, ProfileNone}[c.choices.Next(3)], AppData: json.RawMessage("7"),
	}
	if strings.Contains(call.Call, "onsumer") || strings.HasSuffix(call.Call, "rofile") {
		call.ID = c.consumer(id)
	}
	fmt.Fprintf(&c.journal, "call %+v\n", call)
	fx, _ := call.call(c.machine, c.now)
	c.check(fx)
}

// check carries out effects and holds them against the account.
func (c *serverChaos) check(fx ServerEffects) {
	for _, d := range fx.Send {
		open := c.live[d.To]
		require.NotNil(c.t, open, "told to somebody who is gone: %T", d.Message)
		data, err := EncodeFramed(Protoo, d.Message)
		require.NoError(c.t, err, "%T", d.Message)
		again, err := Decode(data)
		require.NoError(c.t, err, "%s", data)
		fmt.Fprintf(&c.journal, "%d hears %s\n", d.To, data)
		if resp, ok := d.Message.(*Response); ok {
			require.True(c.t, open[resp.RequestID], "answered without a question: %s", data)
			delete(open, resp.RequestID)
			continue
		}
		require.NoError(c.t, again.Validate(), "%s", data)
		state, _ := c.machine.State(d.To)
		require.True(c.t, c.in[d.To] || state == ServerJoined, "told to who has not joined: %s", data)
		if _, closed := d.Message.(*Closed); closed {
			require.NotEqual(c.t, ServerJoined, state)
			delete(c.in, d.To) // who hears nothing more
		}
	}
	clear(c.in)
	for id := range c.live {
		state, _ := c.machine.State(id)
		c.in[id] = state == ServerJoined
	}
	for _, q := range fx.Ask {
		require.NotContains(c.t, c.asked, q.Ticket.Peer)
		c.asked[q.Ticket.Peer] = q
	}
	for _, op := range fx.Media {
		fmt.Fprintf(&c.journal, "media %s %+v %v %v\n", mediaNames[op.Kind], op.ID, op.Paused, op.Profile)
		switch op.Kind {
		case MediaOpenRoom:
			require.False(c.t, c.rooms[op.Room])
			c.rooms[op.Room] = true
		case MediaCloseRoom:
			require.True(c.t, c.rooms[op.Room])
			delete(c.rooms, op.Room)
		default:
			require.True(c.t, c.rooms[op.Room], "%s without a room", mediaNames[op.Kind])
		}
		if op.Ticket != (Ticket{}) {
			c.ops = append(c.ops, op)
		}
	}
	for _, closing := range fx.Close {
		require.NotNil(c.t, c.live[closing.Peer], "closed twice")
		delete(c.live, closing.Peer)
		delete(c.asked, closing.Peer)
	}
	c.inspect()
}

// inspect holds the machine against the account, and its rooms against their peers.
func (c *serverChaos) inspect() {
	m := c.machine
	require.Len(c.t, m.conns, len(c.live))
	require.Len(c.t, m.waiting, len(c.ops))
	require.LessOrEqual(c.t, len(m.rooms), len(m.conns))
	require.LessOrEqual(c.t, m.open, 2)
	require.Len(c.t, c.rooms, m.open)
	for name, r := range m.rooms {
		require.Equal(c.t, name, r.name)
		require.Len(c.t, r.names, len(r.peers))
		require.LessOrEqual(c.t, len(r.peers), 4)
		require.Equal(c.t, len(r.peers) > 0, c.rooms[name])
		producers, bytes := 0, 0
		for _, p := range r.peers {
			require.Same(c.t, p, r.names[p.name])
			require.Same(c.t, p, p.conn.peer)
			require.Same(c.t, p.conn, m.conns[p.conn.id])
			c.inspectPeer(p)
			producers += len(p.producers)
			bytes += p.bytes
		}
		require.Equal(c.t, producers, r.producers)
		require.Equal(c.t, bytes, r.bytes)
		require.LessOrEqual(c.t, r.bytes, 6000)
		require.LessOrEqual(c.t, r.producers, 7)
	}
	for id, conn := range m.conns {
		require.Equal(c.t, conn.state == ServerJoined, conn.peer != nil, id)
		require.Equal(c.t, conn.state == ServerJoining || conn.asked != nil, c.asked[id] != Question{}, id)
	}
}

func (c *serverChaos) inspectPeer(p *peer) {
	require.LessOrEqual(c.t, len(p.transports), 3)
	require.Len(c.t, p.sending, len(p.producers))
	require.Len(c.t, p.ssrcs, 2*len(p.consumers))
	require.GreaterOrEqual(c.t, p.pending, 0)
	require.LessOrEqual(c.t, p.pending, 4)
	require.LessOrEqual(c.t, p.bytes, 2000)
	pending := 0
	for _, w := range c.machine.waiting {
		if w.peer == p && w.request != "" {
			pending++
		}
	}
	require.Equal(c.t, pending, p.pending)
	ssrcs := make(map[*mediaTransport]int)
	for _, pr := range p.sending {
		require.Same(c.t, pr, p.producers[pr.id.ID])
		require.Same(c.t, pr.transport, p.transports[pr.transport.id.ID], "over a transport that is closed")
		require.False(c.t, pr.closed)
		for i := range pr.parameters.Encodings {
			ssrcs[pr.transport]++
			if pr.parameters.Encodings[i].rtxSSRC() != 0 {
				ssrcs[pr.transport]++
			}
		}
		for _, consumer := range pr.consumers {
			require.Same(c.t, consumer, consumer.peer.consumers[consumer.id.ID])
		}
		if pr.ready {
			require.Len(c.t, pr.consumers, len(p.conn.room.peers)-1)
		}
	}
	for _, t := range p.transports {
		require.False(c.t, t.closed)
		require.LessOrEqual(c.t, len(t.ssrcs), ssrcs[t])
	}
	for id, consumer := range p.consumers {
		require.Equal(c.t, id, consumer.id.ID)
		require.False(c.t, consumer.closed)
		require.Contains(c.t, consumer.producer.consumers, consumer)
		require.False(c.t, consumer.producer.closed)
		if t := consumer.transport; t != nil {
			require.Same(c.t, t, p.transports[t.id.ID])
		} else {
			require.False(c.t, consumer.enabled)
		}
	}
}
