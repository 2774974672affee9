package msejsonrpc

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// addSequences gives a fuzz test random sequences that are long enough for the peers in
// them to meet each other.
func addSequences(f *testing.F) {
	for n := range uint64(200) {
		seed := make([]byte, 50+n*5)
		r := rand.New(rand.NewPCG(n, 0))
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(seed)
	}
}

// choices are what the fuzzer wants, byte by byte; zero after its end.
type choices struct{ data []byte }

func (s *choices) next(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := int(s.data[0])
	s.data = s.data[1:]
	return b % n
}

// FuzzServerMachine decodes its input into connections that come, say anything, are
// decided upon, run out of time and leave, and demands after each step that the machine
// speaks to those only who are there, and that their states move as documented.
func FuzzServerMachine(f *testing.F) {
	addSequences(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		newChaos(t, &choices{data}).run()
	})
}

// chaos drives a machine from a script and keeps the account of who is there.
type chaos struct {
	t       *testing.T
	choices *choices
	cfg     ServerConfig
	machine *ServerMachine
	now     time.Time
	last    PeerID
	states  map[PeerID]ServerState // of those who are connected
	asked   map[PeerID]Question    // undecided
	old     []Question             // decided or given up
}

func newChaos(t *testing.T, s *choices) *chaos {
	flags := s.next(64)
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
	return &chaos{
		t: t, choices: s, cfg: cfg, now: start, machine: NewServerMachine(cfg),
		states: make(map[PeerID]ServerState), asked: make(map[PeerID]Question),
	}
}

func (c *chaos) run() {
	for steps := 0; len(c.choices.data) > 0 && steps < 500; steps++ {
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

func (c *chaos) step() {
	switch c.choices.next(12) {
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
		c.now = c.now.Add(time.Duration(c.choices.next(16)) * time.Second)
		c.check(c.machine.Expire(c.now), nil)
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "an alarm that has passed")
		}
	}
}

// connect lets one come, unless there are many.
func (c *chaos) connect() bool {
	if len(c.states) >= 12 {
		return false
	}
	c.last++
	c.states[c.last] = ServerNew
	c.check(c.machine.Connect(c.now, c.last, Connection{}), nil)
	return true
}

// arrive lets one come and authenticate, mostly with success, and perhaps start.
func (c *chaos) arrive() {
	if !c.connect() {
		return
	}
	id := c.last
	c.check(c.machine.Receive(c.now, id, sayAuth), nil)
	c.decide(id)
	if c.choices.next(2) == 1 {
		c.check(c.machine.Receive(c.now, id, sayStart), nil)
		c.decide(id)
	}
}

// receive lets one say something, while it waits for a decision only rarely.
func (c *chaos) receive(id PeerID) {
	if _, waits := c.asked[id]; waits && c.choices.next(8) != 0 {
		c.decide(id)
		return
	}
	in := stimuli[c.choices.next(len(stimuli))]
	msg, err := in.decoded(7)
	if err != nil {
		c.check(c.machine.Malformed(c.now, id, err), nil)
		return
	}
	c.check(c.machine.Receive(c.now, id, msg), nil)
}

// somebody is a connection, or one that has gone or never was.
func (c *chaos) somebody() PeerID { return PeerID(c.choices.next(int(c.last) + 2)) }

// decide answers the question about a connection, or one that was answered before.
func (c *chaos) decide(id PeerID) {
	var d Decision
	switch c.choices.next(10) {
	case 9:
		d.Refuse = ErrAuthorizationFailed
	case 8:
		d.Refuse = ErrInternal
	case 7:
		d.Identity = &Identity{ValidTo: "tomorrow"}
	default:
		d.Identity = &Identity{
			UserID: fmt.Sprint("u", c.choices.next(3)), RoomID: fmt.Sprint("r", c.choices.next(2)),
			Role: []Role{RoleUser, RoleAdmin, ""}[c.choices.next(3)],
		}
		if c.choices.next(2) == 1 {
			d.Identity.ValidTo = NewDate(c.now.Add(time.Duration(c.choices.next(30)-5) * time.Second))
		}
	}
	q, ok := c.asked[id]
	if !ok {
		if len(c.old) > 0 {
			q = c.old[c.choices.next(len(c.old))]
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

func (c *chaos) disconnect(id PeerID) {
	c.gone(id)
	c.check(c.machine.Disconnect(c.now, id), nil)
}

// gone takes a connection from the account.
func (c *chaos) gone(id PeerID) {
	delete(c.states, id)
	if q, ok := c.asked[id]; ok {
		delete(c.asked, id)
		c.old = append(c.old, q)
	}
}

// check holds the effects of a step against the account. admitted is the question that the
// step has answered with success.
func (c *chaos) check(fx ServerEffects, admitted *Question) {
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

// FuzzClientMachine decodes its input into what an application and a server do to a
// client, and demands that each request of the application's has exactly one reply.
func FuzzClientMachine(f *testing.F) {
	addSequences(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		newClientChaos(t, &choices{data}).run()
	})
}

// clientChaos drives a client's machine from a script and keeps the account of the
// requests under way.
type clientChaos struct {
	t        *testing.T
	choices  *choices
	cfg      ClientConfig
	machine  *ClientMachine
	now      time.Time
	underWay map[Message]bool
	was      ClientState
}

func newClientChaos(t *testing.T, s *choices) *clientChaos {
	flags := s.next(16)
	cfg := ClientConfig{NoStart: flags&1 != 0, Pending: 4}
	if flags&2 != 0 {
		cfg.Token = "T"
	}
	if flags&4 != 0 {
		cfg.Heartbeat = 3 * time.Second
	}
	if flags&8 != 0 {
		cfg.CallTimeout = -1
	}
	return &clientChaos{
		t: t, choices: s, cfg: cfg, machine: NewClientMachine(cfg), now: start, underWay: make(map[Message]bool),
	}
}

func (c *clientChaos) run() {
	for steps := 0; len(c.choices.data) > 0 && steps < 500; steps++ {
		c.was = c.machine.State()
		c.step()
	}
	c.check(c.machine.Lost(c.now))
	require.Empty(c.t, c.underWay, "requests without a reply")
	_, due := c.machine.Deadline()
	require.False(c.t, due)
}

func (c *clientChaos) step() {
	switch c.choices.next(16) {
	case 0:
		if c.choices.next(4) == 0 {
			c.machine.SetToken([]string{"T", "U", ""}[c.choices.next(3)])
		}
		fx := c.machine.Start(c.now)
		c.was = ClientConnected // which it was for a moment
		c.check(fx)
	case 1:
		if c.choices.next(4) == 0 {
			c.check(c.machine.Lost(c.now))
		}
	case 2, 3, 4, 5:
		c.send()
	case 6, 7, 8, 9, 10:
		c.succeed()
	case 11:
		c.now = c.now.Add(time.Duration(c.choices.next(8)) * time.Second)
		c.check(c.machine.Expire(c.now))
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "an alarm that has passed")
		}
	default:
		in := stimuli[c.choices.next(len(stimuli))]
		msg, err := in.decoded(c.machine.last - uint64(min(c.choices.next(3), int(c.machine.last))))
		if err != nil {
			if c.choices.next(4) == 0 || err.Type != "" {
				c.check(c.machine.Malformed(c.now, err))
			}
			return
		}
		c.check(c.machine.Receive(c.now, msg))
	}
}

// send lets the application send something.
func (c *clientChaos) send() {
	var msg Message
	switch c.choices.next(10) {
	case 0, 1:
		msg = &Auth{Token: "T", Version: Version}
	case 2, 3:
		msg = &Start{}
	case 4:
		msg = &Ping{ID: NumberID(c.machine.last)}
	case 5:
		msg = &WhoAmI{}
	case 6:
		msg = &Unknown{Type: "novelty", ID: NumberID(c.machine.last + 1)}
	case 7:
		msg = &SDPOffer{Offer: []byte(`"o"`)}
	default:
		m, err := stimuli[c.choices.next(len(stimuli))].decoded(c.machine.last + 1)
		if err != nil {
			return
		}
		msg = m
		if _, goodbye := msg.(*Disconnect); goodbye && c.choices.next(4) != 0 {
			return
		}
	}
	fx, err := c.machine.Send(c.now, msg)
	if err != nil {
		require.Zero(c.t, fx)
		require.Equal(c.t, c.was, c.machine.State())
		return
	}
	require.NotEmpty(c.t, fx.Send)
	require.Equal(c.t, msg.wireType(), fx.Send[0].wireType())
	if isCall(fx.Send[0]) {
		c.underWay[msg] = true
	}
	c.check(fx)
}

// succeed answers the oldest request under way as a server would.
func (c *clientChaos) succeed() {
	if len(c.machine.pending) == 0 {
		return
	}
	p := c.machine.pending[0]
	result := map[string]string{
		"ping": `"pong"`, "auth": `"authenticated"`, "start": `"started"`, "whoami": `{}`, "novelty": `7`,
	}[p.method]
	c.check(c.machine.Receive(c.now, &Response{ID: p.id, Result: []byte(result)}))
}

// check holds the effects of a step against the account.
func (c *clientChaos) check(fx Effects) {
	state := c.machine.State()
	if c.was == ClientIdle || c.was == ClientClosed {
		require.Zero(c.t, fx, "without a connection")
	}
	for _, m := range fx.Send {
		require.NoError(c.t, m.Validate())
		_, err := Encode(m)
		require.NoError(c.t, err)
	}
	for _, m := range fx.Deliver {
		_, again := m.(*Reconnected)
		require.True(c.t, again || m.Validate() == nil || m.wireType() == "novelty", "%s", wireText(m))
	}
	for _, r := range fx.Done {
		require.True(c.t, c.underWay[r.Request], "a second reply")
		delete(c.underWay, r.Request)
		require.True(c.t, r.Err != nil || r.Response != nil && r.Response.Error == nil)
	}
	require.Equal(c.t, fx.Close != nil, state == ClientClosed && c.was != ClientClosed)
	waits, own := 0, 0
	for _, p := range c.machine.pending {
		if p.request == nil {
			own++
			continue
		}
		require.True(c.t, c.underWay[p.request])
		waits++
	}
	require.Equal(c.t, len(c.underWay), waits)
	require.LessOrEqual(c.t, waits, c.cfg.Pending)
	require.LessOrEqual(c.t, own, 2, "a heartbeat and a handshake")
	if c.machine.Ready() {
		require.Contains(c.t, anyClientState, state)
	}
}
