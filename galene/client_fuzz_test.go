package galene

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// FuzzClientMachine decodes its input into what a server and an application say, time that
// passes, and connections that are lost and opened, and demands after each step what always
// holds. The same input must have the same effects.
func FuzzClientMachine(f *testing.F) {
	for _, seed := range script.Seeds(200, 50, 5, 1) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, second := newClientChaos(t, data), newClientChaos(t, data)
		first.run()
		second.run()
		require.Equal(t, first.transcript.String(), second.transcript.String())
	})
}

// A clientChaos drives a machine from a script and keeps the account of what is under way.
type clientChaos struct {
	t          *testing.T
	choices    script.Choices
	machine    *ClientMachine
	now        time.Time
	state      ClientState
	calls      []Message // that have not come to their end
	ids        []string  // of the connections
	transcript strings.Builder
}

func newClientChaos(t *testing.T, data []byte) *clientChaos {
	c := &clientChaos{t: t, choices: data, now: clientDawn}
	cfg := ClientConfig{NewID: countedIDs(), Pending: 4}
	if c.choices.Next(2) == 1 {
		cfg.Versions = []string{"2", "1"}
	}
	c.machine = NewClientMachine(cfg)
	return c
}

func (c *clientChaos) run() {
	for steps := 0; len(c.choices) > 0 && steps < 300; steps++ {
		c.step()
	}
	c.check(c.machine.Lost(c.now), nil)
	require.Empty(c.t, c.calls, "everybody who waits is told")
	require.Zero(c.t, c.machine.Expire(c.now.Add(time.Hour)))
}

// clientShortcuts lead to where more can happen, one after the other.
var clientShortcuts = []Message{
	ClientIdle:        nil,
	ClientHandshaking: &Handshake{Version: []string{"2"}},
	ClientReady:       nil,
	ClientJoining: &Joined{Kind: JoinedJoin, Group: "g", Username: new("u"),
		Permissions: Permissions{PermissionOp, PermissionPresent, PermissionMessage, PermissionToken, PermissionRecord}},
	ClientJoined:  &Offer{ID: "d", Source: "b", SDP: "v=0"},
	ClientLeaving: &Joined{Kind: JoinedLeave, Group: "g"},
	ClientClosed:  nil,
}

func (c *clientChaos) step() {
	c.state = c.machine.State()
	switch c.choices.Next(10) {
	case 0, 1, 2:
		in := clientStimuli[c.choices.Next(len(clientStimuli))]
		msg, err := in.Decoded(decodeStimulus)
		if err != nil {
			if c.choices.Next(4) == 0 { // which is the end each time
				c.check(c.machine.Malformed(c.now, asDecodeError(err)), nil)
			}
			return
		}
		c.check(c.machine.Receive(c.now, msg), nil)
	case 3, 4, 5:
		in := clientStimuli[c.choices.Next(len(clientStimuli))]
		if msg, err := in.Decoded(decodeStimulus); err == nil {
			c.send(msg)
		}
	case 6:
		c.now = c.now.Add(time.Duration(c.choices.Next(20)) * time.Second)
		c.check(c.machine.Expire(c.now), nil)
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "a deadline that has passed")
		}
	case 7:
		if c.choices.Next(3) == 0 {
			c.check(c.machine.Lost(c.now), nil)
		}
	default:
		c.advance()
	}
}

// advance does what leads on.
func (c *clientChaos) advance() {
	switch c.state {
	case ClientIdle:
		c.check(c.machine.Start(c.now), nil)
	case ClientReady:
		c.send(&Join{Kind: JoinJoin, Group: "g", Username: new("u")})
	case ClientClosed:
		c.check(c.machine.Lost(c.now), nil)
	case ClientJoined:
		c.check(c.machine.Receive(c.now, clientShortcuts[ClientJoined]), nil)
		c.state = c.machine.State()
		c.send(&Offer{ID: "u", SDP: "v=0"})
	default:
		c.check(c.machine.Receive(c.now, clientShortcuts[c.state]), nil)
	}
}

func (c *clientChaos) send(msg Message) {
	before := clientText(msg)
	fx, err := c.machine.Send(c.now, msg)
	fmt.Fprintf(&c.transcript, "%v\n", err)
	require.Equal(c.t, before, clientText(msg), "what is given stays as it is")
	if err != nil {
		require.Zero(c.t, fx)
		require.Equal(c.t, c.state, c.machine.State())
		return
	}
	require.Len(c.t, fx.Send, 1)
	require.Empty(c.t, fx.Done)
	if hasReply(msg) {
		c.calls = append(c.calls, msg)
	}
	c.check(fx, msg)
}

// clientNeighbours are the states that one step may lead to.
var clientNeighbours = map[ClientState][]ClientState{
	ClientIdle:        {ClientIdle, ClientHandshaking},
	ClientHandshaking: {ClientHandshaking, ClientReady, ClientJoining, ClientIdle, ClientClosed},
	ClientReady:       {ClientReady, ClientJoining, ClientIdle, ClientClosed},
	ClientJoining:     {ClientJoining, ClientReady, ClientJoined, ClientIdle, ClientClosed},
	ClientJoined:      {ClientJoined, ClientLeaving, ClientReady, ClientIdle, ClientClosed},
	ClientLeaving:     {ClientLeaving, ClientReady, ClientIdle, ClientClosed},
	ClientClosed:      {ClientClosed, ClientIdle},
}

// check demands what holds after each step.
func (c *clientChaos) check(fx Effects, sent Message) {
	m := c.machine
	fmt.Fprintf(&c.transcript, "%v%s\n", m.State(), clientEffects(fx, nil))
	require.Contains(c.t, clientNeighbours[c.state], m.State(), "from %v", c.state)
	for _, msg := range fx.Send {
		require.NoError(c.t, msg.Validate())
		b, err := dialectOf(m.Version()).Encode(msg)
		require.NoError(c.t, err)
		if m.Version() == Version {
			require.NoError(c.t, Check(b), "%s", b)
		}
		if h, ok := msg.(*Handshake); ok {
			require.NotContains(c.t, c.ids, h.ID, "an id is used once")
			c.ids = append(c.ids, h.ID)
		}
		if r, ok := msg.(*RequestStream); ok {
			require.True(c.t, m.down[r.ID])
		}
	}
	for _, done := range fx.Done {
		i := slices.Index(c.calls, done.Request)
		require.GreaterOrEqual(c.t, i, 0, "the end of what did not begin")
		c.calls = slices.Delete(c.calls, i, i+1)
		require.True(c.t, done.Response != nil || done.Err != nil)
	}
	if sent != nil {
		require.Nil(c.t, fx.Close, "nothing that is sent ends the connection")
	}
	for id := range m.up {
		require.False(c.t, m.down[id], "a stream in both directions")
	}
	for id := range m.ended {
		require.True(c.t, m.down[id])
	}
	require.LessOrEqual(c.t, len(m.pending), 4)
	for _, u := range fx.Deliver {
		if u, ok := u.(*User); ok && u.Kind != UserDelete && u.Kind != "novelty" {
			require.Same(c.t, u, m.Users()[u.ID])
		}
	}
	require.Equal(c.t, m.State() == ClientJoined || m.State() == ClientLeaving, m.Group() != "")
	switch m.State() {
	case ClientIdle, ClientClosed:
		require.Empty(c.t, c.calls, "the end of everything that waits")
		requireClientForgets(c.t, m)
		require.False(c.t, m.Ready())
	case ClientJoining:
	default:
		if m.Group() == "" {
			require.Empty(c.t, m.Permissions())
		}
	}
	c.state = m.State()
}
