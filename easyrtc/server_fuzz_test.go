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

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// FuzzServerMachine decodes its input into connections that come, say anything, are decided
// upon, run out of time and leave, and demands after each step that the machine speaks to
// those only who are there, that acknowledgements are for what was said, that events are
// numbered without gaps, that rooms and their occupants agree, and that two runs are alike.
func FuzzServerMachine(f *testing.F) {
	for _, seed := range script.Seeds(60, 100, 10, 0) {
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
	cfg     ServerConfig
	machine *ServerMachine
	now     time.Time
	last    PeerID
	live    map[PeerID]bool
	in      map[PeerID]bool   // that are logged in
	numbers map[PeerID]uint64 // the id of the next event to it
	asked   map[PeerID]Question
	journal strings.Builder
}

func newServerChaos(t *testing.T, data []byte) *serverChaos {
	c := &serverChaos{t: t, choices: data, now: serverDawn}
	c.live, c.in = make(map[PeerID]bool), make(map[PeerID]bool)
	c.numbers, c.asked = make(map[PeerID]uint64), make(map[PeerID]Question)
	flags := c.choices.Next(64)
	c.cfg = ServerConfig{
		NewID: numberedIDs(), RoomConnections: 4, Rooms: 5, RoomsEach: 3, Applications: 2, Sessions: 2,
		AskCommands: flags&1 != 0, DropEmptyRooms: flags&2 != 0, NoDefaultRoom: flags&4 != 0,
		NoNewRooms: flags&24 == 24, NoNewApplications: flags&40 == 40,
	}
	if flags&16 != 0 {
		c.cfg.StillAliveInterval = 20 * time.Second
	}
	c.machine = NewServerMachine(c.cfg)
	return c
}

func (c *serverChaos) run() string {
	for steps := 0; len(c.choices) > 0 && steps < 500; steps++ {
		c.step()
	}
	for _, id := range slices.Sorted(maps.Keys(c.live)) {
		c.disconnect(id)
	}
	require.Empty(c.t, c.in, "whose login has no end")
	require.Zero(c.t, c.machine.Expire(c.now.Add(time.Hour)))
	requireNobodyLeft(c.t, c.machine)
	return c.journal.String()
}

func (c *serverChaos) step() {
	switch c.choices.Next(16) {
	case 0:
		c.connect(3 + c.choices.Next(2))
	case 1, 2:
		if c.connect(4) {
			c.say(c.last, new(ConnectPacket))
			c.login(c.last)
			c.decide(c.last)
		}
	case 3:
		id := c.somebody()
		c.login(id)
		c.decide(id)
	case 4, 5:
		c.decide(c.somebody())
	case 6:
		id := c.somebody()
		if c.choices.Next(3) == 0 {
			c.disconnect(id)
		}
	case 7:
		c.now = c.now.Add(time.Duration(c.choices.Next(12)) * time.Second)
		c.check(0, ID{}, c.machine.Expire(c.now))
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "an alarm that has passed")
		}
	case 8:
		c.administer()
	case 9:
		id := c.somebody()
		if state, ok := c.machine.State(id); ok && state == ServerDisconnected {
			c.say(id, new(ConnectPacket))
		}
	default:
		c.receive(c.somebody())
	}
}

func (c *serverChaos) connect(engineIO int) bool {
	if len(c.live) >= 8 {
		return false
	}
	c.last++
	c.live[c.last] = true
	c.check(c.last, ID{}, c.machine.Connect(c.now, c.last, Connection{EngineIO: engineIO}))
	return true
}

func (c *serverChaos) disconnect(id PeerID) {
	fx := c.machine.Disconnect(c.now, id)
	delete(c.live, id) // who hears nothing of it
	delete(c.asked, id)
	c.check(0, ID{}, fx)
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

// client is the easyrtcid of somebody, or nobody's.
func (c *serverChaos) client() string {
	if client, ok := c.machine.Client(c.somebody()); ok {
		return client.EasyrtcID
	}
	return "nobody"
}

func (c *serverChaos) room() string {
	return []string{"default", "a", "b", "c", "d", "e", "f"}[c.choices.Next(7)]
}

func (c *serverChaos) rooms() map[string]RoomRequest {
	var names []string
	for range c.choices.Next(4) {
		names = append(names, c.room())
	}
	return intoRooms(names...)
}

func (c *serverChaos) id() ID {
	if c.choices.Next(32) == 31 {
		return ID{}
	}
	return NumberID(uint64(c.choices.Next(100)))
}

func (c *serverChaos) login(id PeerID) {
	d := &AuthenticateData{APIVersion: new("1"), RoomJoin: c.rooms()}
	flags := c.choices.Next(64)
	if flags&3 == 3 {
		d.ApplicationName = new([]string{"default", "x", "y", "z"}[c.choices.Next(4)])
	}
	if flags&4 != 0 {
		d.Username = new(fmt.Sprint("u", id))
	}
	if flags&8 != 0 {
		d.EasyrtcSID = new([]string{"s", "t", "u"}[c.choices.Next(3)])
	}
	if flags&48 == 48 {
		d.SetPresence = &PresenceUpdate{Show: new(ShowXA)}
	}
	c.say(id, &Authenticate{Packet: Packet{ID: c.id()}, MsgData: d})
}

// decide answers the question about a connection.
func (c *serverChaos) decide(id PeerID) {
	q, ok := c.asked[id]
	if !ok {
		return
	}
	delete(c.asked, id)
	d := Decision{}
	switch c.choices.Next(16) {
	case 0:
		d.Refuse = ErrGenFail
	case 1:
		d.EasyrtcID = c.client()
	case 2:
		d.EasyrtcID = fmt.Sprint("x", c.choices.Next(4))
	case 3:
		d.Username, d.Field, d.SessionField = "zoe", fieldsOf("f"), fieldsOf("g")
	case 4, 5:
		d.Rooms = map[string]RoomDecision{
			c.room(): {Refuse: ErrBadRoom}, c.room(): {Field: fieldsOf("r")}, c.room(): {MustExist: true},
		}
	case 6:
		d.Reply = &Msg{MsgType: "reply"}
	case 7:
		d.ICEServers = []ICEServer{NewICEServer("stun:s.example")}
	}
	c.check(id, q.Message.packet().ID, c.machine.Decide(c.now, q.Ticket, d))
	require.Zero(c.t, c.machine.Decide(c.now, q.Ticket, d), "an answer to what was answered")
}

// administer lets the application do something.
func (c *serverChaos) administer() {
	id := c.somebody()
	switch c.choices.Next(6) {
	case 0:
		c.check(0, ID{}, c.machine.AddRoom(c.now, []string{"default", "x", "w"}[c.choices.Next(3)], c.room(), fieldsOf("r")))
	case 1:
		c.machine.AddApplication([]string{"default", "x", "w"}[c.choices.Next(3)], fieldsOf("a"))
	case 2:
		fx, ok := c.machine.SetSessionField(c.now, id, fieldsOf("s"))
		require.Equal(c.t, ok, len(fx.Send) > 0)
		c.check(0, ID{}, fx)
	case 3, 4:
		fx, ok := c.machine.Push(c.now, id, &Msg{MsgType: "pushed"})
		require.Equal(c.t, ok, c.in[id])
		c.check(0, ID{}, fx)
	default:
		if c.choices.Next(4) == 0 {
			c.check(0, ID{}, c.machine.ThrowOut(c.now, id))
			delete(c.asked, id)
		}
	}
}

// receive lets one say something; while it waits for a decision only rarely.
func (c *serverChaos) receive(id PeerID) {
	if _, waits := c.asked[id]; waits && c.choices.Next(8) != 0 {
		c.decide(id)
		return
	}
	ref := Packet{ID: c.id()}
	data := json.RawMessage(`{"sdp":"v=0"}`)
	switch c.choices.Next(10) {
	case 0:
		c.say(id, &Offer{Packet: ref, TargetEasyrtcID: c.client(), MsgData: data})
	case 1:
		c.say(id, &Hangup{Packet: ref, TargetEasyrtcID: c.client()})
	case 2:
		c.say(id, &Msg{Packet: ref, MsgType: "x", TargetRoom: c.room()})
	case 3:
		c.say(id, &Msg{Packet: ref, MsgType: "x", TargetEasyrtcID: c.client(), MsgData: data})
	case 4, 5:
		if rooms := c.rooms(); len(rooms) > 0 {
			c.say(id, &RoomJoin{Packet: ref, MsgData: &RoomJoinData{RoomJoin: rooms}})
		}
	case 6:
		c.say(id, &RoomLeave{Packet: ref, MsgData: &RoomLeaveData{RoomLeave: c.rooms()}})
	case 7:
		field := json.RawMessage([]string{`{}`, `{"a":1}`, `[ 1 ]`}[c.choices.Next(3)])
		c.say(id, &SetRoomAPIField{Packet: ref, MsgData: &SetRoomAPIFieldData{
			SetRoomAPIField: &RoomAPIField{RoomName: c.room(), Field: field},
		}})
	case 8:
		change := &PresenceUpdate{Status: new(fmt.Sprint(c.choices.Next(4)))}
		c.say(id, &SetPresence{Packet: ref, MsgData: &SetPresenceData{SetPresence: change}})
	default:
		in := serverStimuli[c.choices.Next(len(serverStimuli))]
		if state, ok := c.machine.State(id); !ok || state != ServerReady || c.choices.Next(8) != 0 {
			in = harmless[c.choices.Next(len(harmless))]
		}
		msg, err := in.decoded(c.client(), c.client(), "c1")
		if err != nil {
			c.check(id, err.ID, c.machine.Malformed(c.now, id, err))
			return
		}
		c.say(id, msg)
	}
}

// harmless are the stimuli that do not end a login.
var harmless = slices.DeleteFunc(slices.Clone(serverStimuli), func(in serverStimulus) bool {
	m := NewServerMachine(ServerConfig{NewID: numberedIDs()})
	enter(m, subject, new(AuthenticateData))
	in.given(m, serverDawn, subject, "c1", "c2", "c3")
	_, ok := m.Client(subject)
	return !ok
})

func (c *serverChaos) say(id PeerID, msg Message) {
	var ref ID
	if p := msg.packet(); p != nil {
		ref = p.ID
	}
	c.check(id, ref, c.machine.Receive(c.now, id, msg))
}

// check holds the effects of a step against the account. said is the id of what from has
// said, which alone may be acknowledged, once.
func (c *serverChaos) check(from PeerID, said ID, fx ServerEffects) {
	acks := 0
	for _, d := range fx.Send {
		text := wireTextOf(d.Message)
		c.must(c.live[d.To], "a message to nobody: %s", text)
		fmt.Fprintf(&c.journal, "%d %s\n", d.To, text)
		p := d.Message.packet()
		switch {
		case p == nil:
			if _, ok := d.Message.(*ConnectPacket); ok {
				c.numbers[d.To] = 0
			}
		case p.Ack:
			acks++
			c.must(d.To == from, "an acknowledgement for %d: %s", d.To, text)
			c.must(p.ID == said && said != ID{}, "an acknowledgement of something else: %s", text)
		default:
			c.must(p.ID == NumberID(c.numbers[d.To]), "an event out of order: %s", text)
			c.numbers[d.To]++
		}
	}
	c.must(acks <= 1, "acknowledged twice")
	for _, q := range fx.Ask {
		c.must(c.live[q.Ticket.Peer], "a question about nobody")
		c.asked[q.Ticket.Peer] = q
	}
	for _, d := range fx.Gone {
		c.must(c.in[d.Peer], "%d is twice gone", d.Peer)
		delete(c.in, d.Peer)
		delete(c.asked, d.Peer)
	}
	for _, closing := range fx.Close {
		c.must(c.live[closing.Peer], "%d is closed twice", closing.Peer)
		delete(c.live, closing.Peer)
		delete(c.asked, closing.Peer)
	}
	c.inspect()
}

// must is require.True for what is asked often: it does nothing that costs unless it fails.
func (c *serverChaos) must(is bool, format string, args ...any) {
	if !is {
		c.t.Helper()
		require.Fail(c.t, fmt.Sprintf(format, args...), c.journal.String())
	}
}

// inspect holds the machine against the account and its rooms against their members.
func (c *serverChaos) inspect() {
	m := c.machine
	c.must(len(m.conns) == len(c.live), "%d connections in place of %d", len(m.conns), len(c.live))
	ids := 0
	for id, conn := range m.conns {
		c.must(c.live[id] && conn.peer == id, "%d has gone", id)
		ready := conn.state == ServerReady
		if ready {
			c.in[id] = true
		}
		c.must(ready == c.in[id] && ready == (conn.app != nil), "%d is %s", id, conn.state)
		if ready || conn.state == ServerConnected {
			c.must(m.ids[conn.id] == conn, "%d is not found by its id", id)
			ids++
		}
		c.must(ready || len(conn.rooms) == 0 && conn.session == nil && conn.credential == nil, "%d is a ghost", id)
		c.must(len(conn.rooms) <= c.cfg.RoomsEach, "%d is in %d rooms", id, len(conn.rooms))
		for _, mb := range conn.rooms {
			c.must(mb.conn == conn && conn.app.rooms[mb.room.name] == mb.room, "%d is in a room that is not there", id)
			c.must(slices.Contains(mb.room.members, mb), "%d is not in its room", id)
			c.must(mb.entry.EasyrtcID == conn.id && mb.entry.Presence == conn.presence, "%d is shown as it was", id)
		}
	}
	c.must(len(m.ids) == ids, "%d ids in place of %d", len(m.ids), ids)
	c.must(m.alarm.Len() <= m.Len(), "alarms for nobody")
	made := 0
	for name, app := range m.apps {
		c.must(app.name == name, "%s is %s", name, app.name)
		if app.byClient {
			made++
		}
		c.inspectRooms(app)
		clients := 0
		for _, conn := range m.conns {
			if conn.app == app {
				clients++
			}
		}
		c.must(app.clients == clients, "%d clients in %s, said to be %d", clients, name, app.clients)
		for sid, s := range app.sessions {
			c.must(s.sid == sid, "%s is %s", sid, s.sid)
			for _, conn := range s.conns {
				c.must(conn.session == s, "%d is not in its session", conn.peer)
			}
		}
	}
	c.must(made == m.made && made <= c.cfg.Applications, "%d applications, said to be %d", made, m.made)
}

func (c *serverChaos) inspectRooms(app *application) {
	byClient, vacant := 0, 0
	for name, r := range app.rooms {
		c.must(r.name == name && r.app == app, "room %s is %s", name, r.name)
		c.must(len(r.members) <= c.cfg.RoomConnections, "%d in room %s", len(r.members), name)
		if r.byClient {
			byClient++
			c.must(len(r.members) > 0 || !c.cfg.DropEmptyRooms, "nobody in room %s", name)
		}
		if r.byClient && len(r.members) == 0 {
			vacant++
			c.must(slices.Contains(app.vacant, r), "room %s is not known to be vacant", name)
		}
		for i, mb := range r.members {
			c.must(c.in[mb.conn.peer] && slices.Contains(mb.conn.rooms, mb), "%d is in room %s", mb.conn.peer, name)
			for _, other := range r.members[:i] {
				c.must(other.conn != mb.conn, "%d is twice in room %s", mb.conn.peer, name)
			}
		}
	}
	c.must(slices.IsSortedFunc(app.vacant, func(r, other *room) int { return strings.Compare(r.name, other.name) }),
		"vacant rooms out of order")
	c.must(len(app.vacant) == vacant, "%d vacant rooms, said to be %d", vacant, len(app.vacant))
	c.must(byClient <= c.cfg.Rooms, "%d rooms that clients have made", byClient)
}
