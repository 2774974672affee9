package msejsonrpc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// FuzzClientMachine decodes its input into what an application and a server do to a
// client, and demands that each request of the application's has exactly one reply.
func FuzzClientMachine(f *testing.F) {
	for _, seed := range script.Seeds(200, 50, 5, 0) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		newClientChaos(t, data).run()
	})
}

// clientChaos drives a client's machine from a script and keeps the account of the
// requests under way.
type clientChaos struct {
	t        *testing.T
	choices  script.Choices
	cfg      ClientConfig
	machine  *ClientMachine
	now      time.Time
	underWay map[Message]bool
	was      ClientState
}

func newClientChaos(t *testing.T, choices script.Choices) *clientChaos {
	flags := choices.Next(16)
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
		t: t, choices: choices, cfg: cfg, machine: NewClientMachine(cfg), now: start, underWay: make(map[Message]bool),
	}
}

func (c *clientChaos) run() {
	for steps := 0; len(c.choices) > 0 && steps < 500; steps++ {
		c.was = c.machine.State()
		c.step()
	}
	c.check(c.machine.Lost(c.now))
	require.Empty(c.t, c.underWay, "requests without a reply")
	_, due := c.machine.Deadline()
	require.False(c.t, due)
}

func (c *clientChaos) step() {
	switch c.choices.Next(16) {
	case 0:
		if c.choices.Next(4) == 0 {
			c.machine.SetToken([]string{"T", "U", ""}[c.choices.Next(3)])
		}
		fx := c.machine.Start(c.now)
		c.was = ClientConnected // which it was for a moment
		c.check(fx)
	case 1:
		if c.choices.Next(4) == 0 {
			c.check(c.machine.Lost(c.now))
		}
	case 2, 3, 4, 5:
		c.send()
	case 6, 7, 8, 9, 10:
		c.succeed()
	case 11:
		c.now = c.now.Add(time.Duration(c.choices.Next(8)) * time.Second)
		c.check(c.machine.Expire(c.now))
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "an alarm that has passed")
		}
	default:
		in := stimuli[c.choices.Next(len(stimuli))]
		msg, err := in.decoded(c.machine.last - uint64(min(c.choices.Next(3), int(c.machine.last))))
		if err != nil {
			if c.choices.Next(4) == 0 || err.Type != "" {
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
	switch c.choices.Next(10) {
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
		m, err := stimuli[c.choices.Next(len(stimuli))].decoded(c.machine.last + 1)
		if err != nil {
			return
		}
		msg = m
		if _, goodbye := msg.(*Disconnect); goodbye && c.choices.Next(4) != 0 {
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
