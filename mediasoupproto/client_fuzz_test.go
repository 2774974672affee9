package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// FuzzClientMachine decodes its input into what a server and an application say, answers and
// refusals, time that passes, and connections that are lost and opened, and demands after each
// step what always holds. The same input must have the same effects.
func FuzzClientMachine(f *testing.F) {
	for _, seed := range script.Seeds(60, 50, 5, 1) {
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
	owed       []Message // requests that the server has not answered, on this connection
	peers      []*PeerInfo
	text       string // of peers
	transcript strings.Builder
}

func newClientChaos(t *testing.T, data []byte) *clientChaos {
	c := &clientChaos{t: t, choices: data, now: clientDawn}
	cfg := ClientConfig{Pending: 6}
	if c.choices.Next(2) == 1 {
		next := uint64(0)
		cfg.NewID = func() uint64 { next++; return next % 8 }
	}
	if c.choices.Next(4) == 1 {
		cfg.HandshakeTimeout = -1
	}
	c.machine = NewClientMachine(cfg)
	return c
}

func (c *clientChaos) run() {
	for steps := 0; len(c.choices) > 0 && steps < 300; steps++ {
		c.step()
	}
	c.state = c.machine.State()
	c.check(c.machine.Lost(c.now), nil)
	require.Empty(c.t, c.calls, "everybody who waits is told")
	require.Zero(c.t, c.machine.Expire(c.now.Add(time.Hour)))
}

func (c *clientChaos) step() {
	c.state = c.machine.State()
	switch c.choices.Next(12) {
	case 0, 1, 2:
		in := clientStimuli[c.choices.Next(len(clientStimuli))]
		msg, err := in.Decoded(decodeStimulus)
		if err != nil {
			if c.choices.Next(8) == 0 { // which may be the end
				c.check(c.machine.Malformed(c.now, asDecodeError(err)), nil)
			}
			return
		}
		c.check(c.machine.Receive(c.now, msg), nil)
	case 3, 4, 5, 6:
		in := clientStimuli[c.choices.Next(len(clientStimuli))]
		if msg, err := in.Decoded(decodeStimulus); err == nil {
			c.send(msg)
		}
	case 7:
		c.now = c.now.Add(time.Duration(c.choices.Next(20)) * time.Second)
		c.check(c.machine.Expire(c.now), nil)
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "a deadline that has passed")
		}
	case 8:
		if c.choices.Next(4) == 0 {
			c.check(c.machine.Lost(c.now), nil)
		}
	case 9:
		c.answer(c.choices.Next(3) > 0)
	default:
		c.advance()
	}
}

// answer answers one of the requests that were sent.
func (c *clientChaos) answer(grant bool) {
	if len(c.owed) == 0 {
		return
	}
	i := c.choices.Next(len(c.owed))
	request := c.owed[i]
	c.owed = slices.Delete(c.owed, i, i+1)
	r := &Response{Head: Head{RequestID: request.head().RequestID}}
	switch {
	case !grant:
		r.Error = []*Error{ErrTransportNotFound, ErrNotAuthorised, ErrRoomClosed}[c.choices.Next(3)]
	default:
		results := []string{
			clientBob, clientRoom, `{}`, `{"peers":7,"rtpCapabilities":7}`,
			`{"peers":[null,{"name":"bob","consumers":[5]},{"name":"carol"}],"paused":true,"preferredProfile":"low"}`,
		}
		r.Result = json.RawMessage(results[c.choices.Next(len(results))])
	}
	c.check(c.machine.Receive(c.now, r), nil)
}

// advance does what leads on.
func (c *clientChaos) advance() {
	switch c.state {
	case ClientIdle:
		c.check(c.machine.Start(c.now), nil)
	case ClientNew, ClientLeft:
		if len(c.owed) > 0 {
			c.answer(true)
		} else {
			c.send(joinOf(c.t, "alice"))
		}
	case ClientClosed:
		c.check(c.machine.Lost(c.now), nil)
		c.state = c.machine.State()
		c.check(c.machine.Start(c.now), nil)
	default:
		c.answer(true)
	}
}

func (c *clientChaos) send(msg Message) {
	before, h := clientText(msg), Head{}
	if msg.head() != nil {
		h = *msg.head()
	}
	fx, err := c.machine.Send(c.now, msg)
	fmt.Fprintf(&c.transcript, "%v\n", err)
	require.Equal(c.t, before, clientText(msg), "what is given stays as it is")
	if msg.head() != nil {
		require.Equal(c.t, h, *msg.head())
	}
	if err != nil {
		require.Zero(c.t, fx)
		require.Equal(c.t, c.state, c.machine.State())
		return
	}
	require.LessOrEqual(c.t, len(fx.Send), 1)
	if isRequest(msg) {
		c.calls = append(c.calls, msg)
	}
	c.check(fx, msg)
}

// clientNeighbours are the states that one step may lead to.
var clientNeighbours = map[ClientState][]ClientState{
	ClientIdle:    {ClientIdle, ClientNew},
	ClientNew:     {ClientNew, ClientJoining, ClientIdle, ClientClosed},
	ClientJoining: {ClientJoining, ClientNew, ClientJoined, ClientLeft, ClientIdle, ClientClosed},
	ClientJoined:  {ClientJoined, ClientLeft, ClientIdle, ClientClosed},
	ClientLeft:    {ClientLeft, ClientJoining, ClientIdle, ClientClosed},
	ClientClosed:  {ClientClosed, ClientNew},
}

// check demands what holds after each step.
func (c *clientChaos) check(fx Effects, sent Message) {
	m := c.machine
	fmt.Fprintf(&c.transcript, "%v%s\n", m.State(), clientEffects(fx, nil))
	require.Contains(c.t, clientNeighbours[c.state], m.State(), "from %v", c.state)
	if m.State() == ClientIdle || m.State() == ClientClosed || c.state == ClientIdle {
		c.owed = nil
	}
	for _, msg := range fx.Send {
		require.NoError(c.t, msg.Validate())
		for _, framing := range []Framing{Protoo, Protoo2, TypeBody, SocketIO} {
			_, err := EncodeFramed(framing, msg)
			require.NoError(c.t, err, "%T", msg)
		}
		if isRequest(msg) {
			require.NotEqual(c.t, m.State(), ClientClosed)
			for _, p := range c.owed {
				waits := slices.ContainsFunc(m.pending, func(x *pendingCall) bool { return x.sent == p })
				require.False(c.t, waits && p.head().RequestID == msg.head().RequestID, "an id for two")
			}
			c.owed = append(c.owed, msg)
		}
		if p, ok := msg.(*CreateProducer); ok {
			require.True(c.t, m.lanes[p.TransportID].busy)
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
		require.Empty(c.t, fx.Deliver)
	}
	require.Equal(c.t, fx.Close != nil, m.State() == ClientClosed && c.state != ClientClosed)
	requireClientModel(c.t, m)
	own := 0
	for _, p := range m.pending {
		if p.request == nil {
			own++
		}
	}
	require.Equal(c.t, len(c.calls), len(m.pending)-own+m.queued)
	require.LessOrEqual(c.t, len(m.pending)-own+m.queued, 6)
	require.LessOrEqual(c.t, len(m.owners), len(c.calls))
	if c.text != "" {
		require.Equal(c.t, c.text, peersText(c.t, c.peers), "what was handed out has changed")
	}
	c.peers = m.Peers()
	c.text = peersText(c.t, c.peers)
	if m.State() == ClientIdle || m.State() == ClientClosed {
		require.Empty(c.t, c.calls, "the end of everything that waits")
		requireClientForgets(c.t, m)
	}
	if m.State() == ClientJoined || m.State() == ClientLeft {
		require.True(c.t, m.Ready())
	}
	if own > 0 {
		require.False(c.t, m.Ready())
		require.Equal(c.t, 1, own)
		require.Len(c.t, m.pending, 1)
	}
	c.state = m.State()
}
