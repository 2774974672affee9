package msejsonrpc

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// FuzzServerMachine decodes its input into connections that come, say anything, are
// decided upon, run out of time and leave, and demands after each step that the machine
// speaks to those only who are there, and that their states move as documented.
func FuzzServerMachine(f *testing.F) {
	for _, seed := range script.Seeds(200, 50, 5, 0) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		newServerChaos(t, data).run()
	})
}

// serverChaos drives a machine from a script and keeps the account of who is there.
type serverChaos struct {
	t       *testing.T
	choices script.Choices
	cfg     ServerConfig
	machine *ServerMachine
	now     time.Time
	last    PeerID
	states  map[PeerID]ServerState // of those who are connected
	asked   map[PeerID]Question    // undecided
	old     []Question             // decided or given up
}

func newServerChaos(t *testing.T, choices script.Choices) *serverChaos {
	flags := choices.Next(64)
	cfg := ServerConfig{
		WhoAmI: flags&1 != 0, Chat: flags&2 != 0, LenientVersion: flags&4 != 0, HideCallOrder: flags&8 != 0,
		AuthTimeout: 10 * time.Second, StartTimeout: 20 * time.Second,
	}
	if flags&16 != 0 {
		cfg.Entitlements = map[string][]Role{"start": {RoleUser}, "chat": {RoleAdmin}, "sdpOffer": {RoleUser, RoleAdmin}}
	}
	if flags&32 != 0 {
		cfg.Violations, cfg.AuthAttempts = 2, 2
	}
	return &serverChaos{
		t: t, choices: choices, cfg: cfg, now: start, machine: NewServerMachine(cfg),
		states: make(map[PeerID]ServerState), asked: make(map[PeerID]Question),
	}
}

func (c *serverChaos) run() {
	for steps := 0; len(c.choices) > 0 && steps < 500; steps++ {
		c.step()
	}
	for _, id := range slices.Sorted(maps.Keys(c.states)) {
		c.disconnect(id)
	}
	for _, q := range append(c.old, slices.Collect(maps.Values(c.asked))...) {
		require.Zero(c.t, c.machine.Decide(c.now, q.Ticket, Decision{}), "an answer about nobody")
	}
	require.Zero(c.t, c.machine.Expire(c.now.Add(time.Hour)))
	requireNothingLeft(c.t, c.machine)
}

func (c *serverChaos) step() {
	switch c.choices.Next(12) {
	case 0:
		c.connect()
	case 1, 2:
		c.arrive()
	case 3, 4, 5, 6, 7:
		c.receive(c.somebody())
	case 8, 9:
		c.decide(c.somebody())
	case 10:
		c.disconnect(c.somebody())
	case 11:
		c.now = c.now.Add(time.Duration(c.choices.Next(16)) * time.Second)
		c.check(c.machine.Expire(c.now), nil)
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "an alarm that has passed")
		}
	}
}

// connect lets one come, unless there are many.
func (c *serverChaos) connect() bool {
	if len(c.states) >= 12 {
		return false
	}
	c.last++
	c.states[c.last] = ServerNew
	c.check(c.machine.Connect(c.now, c.last, Connection{}), nil)
	return true
}

// arrive lets one come and authenticate, mostly with success, and perhaps start.
func (c *serverChaos) arrive() {
	if !c.connect() {
		return
	}
	id := c.last
	c.check(c.machine.Receive(c.now, id, sayAuth), nil)
	c.decide(id)
	if c.choices.Next(2) == 1 {
		c.check(c.machine.Receive(c.now, id, sayStart), nil)
		c.decide(id)
	}
}

// receive lets one say something, while it waits for a decision only rarely.
func (c *serverChaos) receive(id PeerID) {
	if _, waits := c.asked[id]; waits && c.choices.Next(8) != 0 {
		c.decide(id)
		return
	}
	in := stimuli[c.choices.Next(len(stimuli))]
	msg, err := in.decoded(7)
	if err != nil {
		c.check(c.machine.Malformed(c.now, id, err), nil)
		return
	}
	c.check(c.machine.Receive(c.now, id, msg), nil)
}

// somebody is a connection, or one that has gone or never was.
func (c *serverChaos) somebody() PeerID { return PeerID(c.choices.Next(int(c.last) + 2)) }

// decide answers the question about a connection, or one that was answered before.
func (c *serverChaos) decide(id PeerID) {
	var d Decision
	switch c.choices.Next(10) {
	case 9:
		d.Refuse = ErrAuthorizationFailed
	case 8:
		d.Refuse = ErrInternal
	case 7:
		d.Identity = &Identity{ValidTo: "tomorrow"}
	default:
		d.Identity = &Identity{
			UserID: fmt.Sprint("u", c.choices.Next(3)), RoomID: fmt.Sprint("r", c.choices.Next(2)),
			Role: []Role{RoleUser, RoleAdmin, ""}[c.choices.Next(3)],
		}
		if c.choices.Next(2) == 1 {
			d.Identity.ValidTo = NewDate(c.now.Add(time.Duration(c.choices.Next(30)-5) * time.Second))
		}
	}
	q, ok := c.asked[id]
	if !ok {
		if len(c.old) > 0 {
			q = c.old[c.choices.Next(len(c.old))]
			require.Zero(c.t, c.machine.Decide(c.now, q.Ticket, d), "a second answer")
		}
		return
	}
	delete(c.asked, id)
	c.old = append(c.old, q)
	fx := c.machine.Decide(c.now, q.Ticket, d)
	require.Len(c.t, fx.Send, 1, "the answer")
	if d.Refuse == nil && fx.Send[0].Message.(*Response).Error == nil {
		c.check(fx, &q)
	} else {
		c.check(fx, nil)
	}
}

func (c *serverChaos) disconnect(id PeerID) {
	c.gone(id)
	c.check(c.machine.Disconnect(c.now, id), nil)
}

// gone takes a connection from the account.
func (c *serverChaos) gone(id PeerID) {
	delete(c.states, id)
	if q, ok := c.asked[id]; ok {
		delete(c.asked, id)
		c.old = append(c.old, q)
	}
}

// check holds the effects of a step against the account. admitted is the question that the
// step has answered with success.
func (c *serverChaos) check(fx ServerEffects, admitted *Question) {
	before := maps.Clone(c.states)
	there := func(id PeerID, what string) {
		require.Contains(c.t, before, id, "%s %d, who is not there", what, id)
	}
	for _, d := range fx.Send {
		there(d.To, "a message to")
		require.NoError(c.t, d.Message.Validate())
		_, err := Encode(d.Message)
		require.NoError(c.t, err)
		_, isChat := d.Message.(*Chat)
		require.False(c.t, isChat && (!c.cfg.Chat || before[d.To] == ServerNew), "chat to a stranger")
	}
	for _, d := range fx.Deliver {
		there(d.To, "a delivery from")
		require.Equal(c.t, ServerActive, before[d.To], "media before start")
	}
	for _, v := range fx.Ignored {
		there(v.Peer, "a violation of")
		require.Error(c.t, v.Err)
	}
	for _, id := range fx.Expired {
		there(id, "the expiry of")
		require.Equal(c.t, ServerActive, before[id])
	}
	for _, q := range fx.Ask {
		there(q.Ticket.Peer, "a question about")
		require.NotContains(c.t, c.asked, q.Ticket.Peer, "two questions about one connection")
		c.asked[q.Ticket.Peer] = q
	}
	for _, closing := range fx.Close {
		require.Contains(c.t, c.states, closing.Peer, "%d is closed twice", closing.Peer)
		c.gone(closing.Peer)
		_, known := c.machine.State(closing.Peer)
		require.False(c.t, known, "%d is closed and remembered", closing.Peer)
	}
	require.Equal(c.t, len(c.states), c.machine.Len())
	for id, was := range c.states {
		want := was
		if admitted != nil && admitted.Ticket.Peer == id {
			want = ServerActive
			if _, ok := admitted.Message.(*Auth); ok {
				want = ServerAuthorized
			}
		}
		state, known := c.machine.State(id)
		require.True(c.t, known)
		require.Equal(c.t, want, state)
		require.Equal(c.t, state != ServerNew, c.machine.Identity(id) != nil)
		c.states[id] = state
	}
	require.LessOrEqual(c.t, c.machine.clock.Len(), len(c.states))
	inRooms := 0
	for key, members := range c.machine.rooms {
		require.NotEmpty(c.t, members, "an empty room")
		for id, p := range members {
			require.True(c.t, c.states[id] != ServerNew && p == c.machine.peers[id] && p.room() == key)
			inRooms++
		}
	}
	if c.cfg.Chat {
		for _, state := range c.states {
			if state != ServerNew {
				inRooms--
			}
		}
		require.Zero(c.t, inRooms, "somebody is in no room, or in two")
	}
}
