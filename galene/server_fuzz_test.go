package galene

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
)

// FuzzServerMachine decodes its input into connections that come, say anything, are
// decided upon, send and receive streams, run out of time and leave, and demands after each
// step that the machine speaks to those only who are there, that nobody receives what
// nobody sends, and that two runs are alike.
func FuzzServerMachine(f *testing.F) {
	for n, seed := range script.Seeds(100, 100, 8, 0) {
		if n%3 == 0 {
			seed = append([]byte{4 + byte(n/3%2)}, append(seed, seed...)...) // two who call each other
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		once := newServerChaos(t, data).run()
		require.Equal(t, once, newServerChaos(t, data).run(), "the machine is not deterministic")
	})
}

// A serverChaos drives a machine from a script of bytes and keeps the account of who is
// there.
type serverChaos struct {
	t       *testing.T
	choices script.Choices
	machine *ServerMachine
	most    int      // connections
	groups  []string // that are joined
	now     time.Time
	last    PeerID
	live    map[PeerID]bool
	asked   map[PeerID]Question
	members map[PeerID]bool // whose media has begun
	record  []string        // groups that a recorder is to be connected to
	journal strings.Builder
}

func newServerChaos(t *testing.T, data []byte) *serverChaos {
	c := &serverChaos{t: t, choices: data, now: serverDawn}
	c.live, c.asked, c.members = make(map[PeerID]bool), make(map[PeerID]Question), make(map[PeerID]bool)
	flags := c.choices.Next(16)
	c.most, c.groups = 8, []string{"g", "g/h", "k"}
	if flags&4 != 0 { // two who call each other, and sometimes a third
		c.most, c.groups = 3, c.groups[:1]
	}
	c.machine = NewServerMachine(ServerConfig{
		Media: flags&1 != 0, Recorder: flags&2 != 0,
		HistoryMessages: 3, HistoryBytes: 100, DataBytes: 40, Streams: 3, EmptyGroups: 2,
	})
	return c
}

func (c *serverChaos) run() string {
	for steps := 0; len(c.choices) > 0 && steps < 600; steps++ {
		c.step()
	}
	for _, id := range slices.Sorted(maps.Keys(c.live)) {
		c.check(c.machine.Disconnect(c.now, id))
		delete(c.live, id)
	}
	require.Empty(c.t, c.members, "whose media has no end")
	require.Zero(c.t, c.machine.Expire(c.now.Add(time.Hour)))
	requireNobodyLeft(c.t, c.machine)
	return c.journal.String()
}

func (c *serverChaos) step() {
	switch c.choices.Next(16) {
	case 0:
		c.connect(Connection{Address: "192.0.2.1:1"})
	case 1, 2:
		if c.connect(Connection{}) {
			c.check(c.machine.Receive(c.now, c.last, &Handshake{Version: []string{Version}, ID: c.client(c.last)}))
			c.join(c.last)
			c.decide(c.last)
		}
	case 3:
		if len(c.record) > 0 {
			group := c.record[0]
			c.record = c.record[1:]
			if c.connect(Connection{System: group}) {
				c.check(c.machine.Receive(c.now, c.last, &Handshake{ID: c.client(c.last)}))
				c.join(c.last)
			}
		}
	case 4:
		c.join(c.somebody())
		c.decide(c.last)
	case 5:
		c.decide(c.somebody())
	case 6:
		id := c.somebody()
		if c.choices.Next(3) != 0 {
			return
		}
		c.check(c.machine.Disconnect(c.now, id))
		delete(c.live, id)
	case 7:
		c.now = c.now.Add(time.Duration(c.choices.Next(12)) * time.Second)
		c.check(c.machine.Expire(c.now))
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "an alarm that has passed")
		}
	case 8:
		if c.choices.Next(4) == 0 {
			c.check(c.machine.Update(c.now, c.group()))
		}
	case 9:
		c.route()
	case 10:
		if c.choices.Next(8) == 0 {
			c.check(c.machine.Kick(c.now, c.somebody(), "bye"))
		}
	default:
		c.receive(c.somebody())
	}
}

func (c *serverChaos) connect(as Connection) bool {
	if len(c.live) >= c.most {
		return false
	}
	c.last++
	c.live[c.last] = true
	c.check(c.machine.Connect(c.now, c.last, as))
	return true
}

// client is the id of a client, which is not always its own.
func (c *serverChaos) client(id PeerID) string {
	if c.choices.Next(16) == 0 {
		return []string{"", "c1"}[c.choices.Next(2)]
	}
	return fmt.Sprint("c", id)
}

// somebody is a connection, or one that has gone or never was.
func (c *serverChaos) somebody() PeerID {
	if c.choices.Next(16) != 0 {
		if ids := slices.Sorted(maps.Keys(c.live)); len(ids) > 0 {
			return ids[c.choices.Next(len(ids))]
		}
	}
	return PeerID(c.choices.Next(int(c.last) + 2))
}

// join lets one ask for a group, unless it is in one: that would end it.
func (c *serverChaos) join(id PeerID) {
	if m, ok := c.machine.Member(id); !ok || m.Group != "" && c.choices.Next(16) != 0 {
		return
	}
	username := []string{"", "ann", "ben", "/"}[c.choices.Next(4)]
	c.say(id, &Join{Kind: JoinJoin, Group: c.groups[c.choices.Next(len(c.groups))], Username: &username})
}

func (c *serverChaos) group() *Group {
	flags := c.choices.Next(64)
	g := &Group{
		Name: c.groups[c.choices.Next(len(c.groups))], AllowRecording: true,
		Autolock: flags&7 == 7, Autokick: flags&56 == 56, HistoryAge: time.Minute,
	}
	if flags&9 == 9 {
		g.MaxClients = 2
	}
	if flags == 1 {
		g.Redirect = "https://elsewhere.example"
	}
	return g
}

// decide answers the question about a connection.
func (c *serverChaos) decide(id PeerID) {
	q, ok := c.asked[id]
	if !ok {
		return
	}
	delete(c.asked, id)
	d := Decision{Group: c.group(), Grant: Grant{Username: "ann"}}
	switch c.choices.Next(8) {
	case 0:
		d = Decision{Refuse: ErrNotAuthorised}
	case 1:
		d.Grant.Permissions = nil
	case 2, 3:
		d.Grant.Permissions = asSpeaker
	default:
		d.Grant.Permissions = asOperator
	}
	if q.Token != nil {
		d.Tokens = []*Token{q.Token}
	}
	c.check(c.machine.Decide(c.now, q.Ticket, d))
	require.Zero(c.t, c.machine.Decide(c.now, q.Ticket, d), "an answer to what was answered")
}

// receive lets one say something; while it waits for a decision only rarely.
func (c *serverChaos) receive(id PeerID) {
	if _, waits := c.asked[id]; waits && c.choices.Next(8) != 0 {
		c.decide(id)
		return
	}
	self, _ := c.machine.Member(id)
	other, _ := c.machine.Member(c.somebody())
	switch c.choices.Next(9) {
	case 0:
		c.say(id, &Offer{ID: c.stream(), Label: []string{"", "camera"}[c.choices.Next(2)], SDP: "v=0"})
	case 1:
		c.say(id, &Offer{ID: c.stream(), Replace: c.stream(), SDP: "v=0"})
	case 2:
		kinds := map[string][]TrackKind{"": {TrackAudio}}
		switch c.choices.Next(5) {
		case 1:
			kinds = nil
		case 2:
			kinds = map[string][]TrackKind{"camera": {TrackVideo}}
		}
		c.say(id, &Request{Request: kinds})
	case 3:
		stream := c.streamOf(id)
		c.say(id, []Message{
			&Answer{ID: stream, SDP: "v=0"}, &ICE{ID: stream, Candidate: json.RawMessage(`{}`)}, &Close{ID: stream},
			&Abort{ID: stream}, &Renegotiate{ID: stream}, &Offer{ID: stream, SDP: "v=0 again"},
		}[c.choices.Next(6)])
	case 4:
		c.say(id, &Chat{
			ID: []string{"", "x"}[c.choices.Next(2)], Dest: []string{"", other.ID}[c.choices.Next(2)],
			Value: json.RawMessage(`"hello hello hello"`),
		})
	case 5:
		c.say(id, &GroupAction{Kind: []GroupActionKind{GroupRecord, GroupUnrecord, GroupListTokens}[c.choices.Next(3)]})
	default:
		in := harmless[c.choices.Next(len(harmless))]
		if c.choices.Next(32) == 31 {
			in = serverStimuli[c.choices.Next(len(serverStimuli))]
		}
		msg, err := in.decoded(self.ID, other.ID)
		if err != nil {
			c.check(c.machine.Malformed(c.now, id, err))
			return
		}
		c.say(id, msg)
	}
}

// harmless are the stimuli that do not end the connection of a member who may do everything
// and has no streams.
var harmless = slices.DeleteFunc(slices.Clone(serverStimuli), func(in serverStimulus) bool {
	m := NewServerMachine(ServerConfig{})
	m.Connect(serverDawn, subject, Connection{})
	shakeHands(m, subject, "a")
	enterGroup(m, subject, "ann", asOperator)
	msg, err := in.decoded("a", "b")
	return err != nil || len(m.Receive(serverDawn, subject, msg).Close) > 0
})

// streamOf is a stream that one sends or receives, if there is one.
func (c *serverChaos) streamOf(id PeerID) string {
	p := c.machine.peers[id]
	if p == nil {
		return c.stream()
	}
	ids := slices.Sorted(maps.Keys(p.down))
	for _, s := range p.up {
		ids = append(ids, s.id)
	}
	if len(ids) == 0 {
		return c.stream()
	}
	return ids[c.choices.Next(len(ids))]
}

func (c *serverChaos) stream() string { return fmt.Sprint("s", c.choices.Next(5)) }

func (c *serverChaos) say(id PeerID, msg Message) { c.check(c.machine.Receive(c.now, id, msg)) }

// route lets the media router say something to one.
func (c *serverChaos) route() {
	id := c.somebody()
	stream := c.streamOf(id)
	msg := []Message{
		&Offer{ID: c.stream(), SDP: "v=0"}, &Offer{ID: c.stream(), Replace: c.stream(), SDP: "v=0"},
		&Answer{ID: stream, SDP: "v=0"}, &ICE{ID: stream, Candidate: json.RawMessage(`{}`)}, &Close{ID: stream},
		&Abort{ID: stream}, &Renegotiate{ID: stream}, &UserMessage{Kind: UserMessageError},
	}[c.choices.Next(8)]
	if !c.members[id] {
		return
	}
	fx, ok := c.machine.Media(c.now, id, msg)
	require.True(c.t, ok || len(fx.Send) == 0, "refused and done")
	c.check(fx)
}

// check holds the effects of a step against the account.
func (c *serverChaos) check(fx ServerEffects) {
	for _, d := range fx.Send {
		require.True(c.t, c.live[d.To], "a message to nobody: %s", wireTextOf(d.Message))
		_, err := Encode(d.Message)
		require.NoError(c.t, err)
		fmt.Fprintf(&c.journal, "%d %s\n", d.To, wireTextOf(d.Message))
	}
	for _, q := range fx.Ask {
		require.True(c.t, c.live[q.Ticket.Peer])
		c.asked[q.Ticket.Peer] = q
	}
	for _, e := range fx.Media {
		require.True(c.t, c.machine.cfg.Media)
		j, ok := e.Message.(*Joined)
		switch {
		case ok && j.Kind == JoinedJoin:
			require.False(c.t, c.members[e.Peer], "twice in a group")
			c.members[e.Peer] = true
		case ok:
			require.True(c.t, c.members[e.Peer])
			delete(c.members, e.Peer)
		default:
			require.True(c.t, c.members[e.Peer], "media of nobody: %s", wireTextOf(e.Message))
		}
		fmt.Fprintf(&c.journal, "%d routes %s\n", e.Peer, wireTextOf(e.Message))
	}
	require.True(c.t, len(fx.Record) == 0 || c.machine.cfg.Recorder)
	c.record = append(c.record, fx.Record...)
	for _, closing := range fx.Close {
		require.True(c.t, c.live[closing.Peer], "closed twice")
		delete(c.live, closing.Peer)
		delete(c.asked, closing.Peer)
	}
	c.inspect()
}

// inspect holds the machine against the account and its groups against their members.
func (c *serverChaos) inspect() {
	m := c.machine
	for id := range m.peers {
		require.True(c.t, c.live[id], "somebody who has gone")
	}
	require.LessOrEqual(c.t, m.clock.Len(), m.Len())
	in := make(map[PeerID]bool)
	for name, g := range m.groups {
		require.Equal(c.t, name, g.desc.Name)
		require.Len(c.t, g.byID, len(g.members))
		up := 0
		for _, p := range g.members {
			require.Same(c.t, g, p.group)
			require.Same(c.t, p, m.peers[p.id])
			require.Same(c.t, p, g.byID[p.client])
			require.False(c.t, in[p.id], "in two groups")
			in[p.id] = true
			require.Equal(c.t, ServerJoined, p.state)
			require.LessOrEqual(c.t, len(p.up), 4, "one more while it replaces another")
			for _, s := range p.up {
				require.Same(c.t, p, s.owner)
				require.Same(c.t, s, g.streams[s.id])
				require.LessOrEqual(c.t, len(s.candidates), relayCandidates)
				if s.receiver != nil {
					require.Same(c.t, g, s.receiver.group)
				}
				up++
			}
			for id, s := range p.down {
				require.Equal(c.t, id, s.id)
				require.NotSame(c.t, p, s.owner)
				require.Same(c.t, g, s.owner.group, "a stream of nobody")
			}
		}
		require.Len(c.t, g.streams, up)
		require.LessOrEqual(c.t, len(g.history), 3)
		require.Len(c.t, g.times, len(g.history))
		require.Equal(c.t, len(g.members) == 0, slices.Contains(m.empty, g), name)
	}
	for id, p := range m.peers {
		require.Equal(c.t, p.group != nil, in[id])
	}
}
