package cuttlefish

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// FuzzServerMachine decodes its input into connections that come, say anything, are
// decided upon, run out of time and leave, and demands after each step that the machine
// speaks to those only who are there.
func FuzzServerMachine(f *testing.F) {
	for _, seed := range []string{
		"",
		"\x00\x01\x00\x00\x00\x00\x01\x01\x00\x00\x00\x04\x01\x00\x04\x00\x01\x00", // a device, a client, a forward each way
	} {
		f.Add([]byte(seed))
	}
	for _, seed := range script.Seeds(200, 100, 5, 0) {
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
	machine *ServerMachine
	now     time.Time
	last    PeerID
	alive   []PeerID            // connected, in the order of their coming
	asked   map[PeerID]Question // undecided
	old     []Question          // decided or given up
}

func newServerChaos(t *testing.T, choices script.Choices) *serverChaos {
	flags := choices.Next(16)
	return &serverChaos{
		t: t, choices: choices, now: start, asked: make(map[PeerID]Question),
		machine: NewServerMachine(ServerConfig{
			WaitForDevice: flags&1 != 0, ParkClients: flags&2 != 0,
			ReplaceExisting: flags&4 != 0, StrictPayloads: flags&8 != 0,
			HandshakeTimeout: 10 * time.Second, WaitTimeout: 20 * time.Second,
			Devices: 2, ClientsPerDevice: 2, Waiting: 3, WaitingPerDevice: 2, RequestOffers: 2, DeviceMessage: 120,
		}),
	}
}

func (c *serverChaos) run() {
	for steps := 0; len(c.choices) > 0 && steps < 500; steps++ {
		c.step()
	}
	for len(c.alive) > 0 {
		c.disconnect(c.alive[0])
	}
	for _, q := range append(c.old, values(c.asked)...) {
		c.check(c.machine.Decide(c.now, q.Ticket, Decision{}))
	}
	require.Zero(c.t, c.machine.Len())
	require.Empty(c.t, c.machine.devices)
	require.Empty(c.t, c.machine.waiting)
	require.Zero(c.t, c.machine.waits)
	_, due := c.machine.Deadline()
	require.False(c.t, due, "an alarm for nobody")
	require.Zero(c.t, c.machine.clock.Len())
}

func values(asked map[PeerID]Question) (all []Question) {
	for _, q := range asked {
		all = append(all, q)
	}
	return all
}

func (c *serverChaos) step() {
	switch c.choices.Next(12) {
	case 0:
		c.connect()
	case 1, 2, 3:
		c.arrive()
	case 4, 5, 6:
		if len(c.alive) > 0 {
			c.forward(c.alive[c.choices.Next(len(c.alive))])
		}
	case 7:
		c.check(c.machine.Receive(c.now, c.somebody(), c.message()))
	case 8:
		malformed := stimuli[c.choices.Next(len(stimuli))].err
		if malformed == nil {
			malformed = &DecodeError{Err: errMissing}
		}
		c.check(c.machine.Malformed(c.now, c.somebody(), malformed))
	case 9:
		c.decide(c.somebody())
	case 10:
		c.disconnect(c.somebody())
	case 11:
		c.now = c.now.Add(time.Duration(c.choices.Next(16)) * time.Second)
		c.check(c.machine.Expire(c.now))
		if at, due := c.machine.Deadline(); due {
			require.True(c.t, at.After(c.now), "an alarm that has passed")
		}
	}
}

// connect lets one come, unless there are many.
func (c *serverChaos) connect() (role Role, came bool) {
	if len(c.alive) >= 12 {
		return 0, false
	}
	c.last++
	c.alive = append(c.alive, c.last)
	role = Role(c.choices.Next(2))
	c.check(c.machine.Connect(c.now, c.last, Connection{role, Dialect(c.choices.Next(2))}))
	return role, true
}

// arrive lets one come and ask for a device, and mostly admits it.
func (c *serverChaos) arrive() {
	role, came := c.connect()
	if !came {
		return
	}
	var m Message = &Register{DeviceID: c.device()}
	if role == RoleClient {
		m = &Connect{DeviceID: c.device()}
	}
	c.check(c.machine.Receive(c.now, c.last, m))
	c.decide(c.last)
}

// forward lets one send a payload, to one of the first clients if it is a device.
func (c *serverChaos) forward(id PeerID) {
	m := &Forward{Payload: c.payload()}
	if c.machine.peers[id].conn.Role == RoleDevice {
		m.ClientID = new(1 + c.choices.Next(4))
	}
	c.check(c.machine.Receive(c.now, id, m))
}

func (c *serverChaos) device() string { return fmt.Sprint("cvd-", c.choices.Next(3)) }

func (c *serverChaos) payload() json.RawMessage {
	payloads := []string{
		`{"type":"request-offer"}`, `{"type":"answer","sdp":"v=0"}`, `null`, `7`, `"` + strings.Repeat("x", 100) + `"`, ``,
	}
	return json.RawMessage(payloads[c.choices.Next(len(payloads))])
}

// somebody is a connection, or one that has gone or never was.
func (c *serverChaos) somebody() PeerID { return PeerID(c.choices.Next(int(c.last) + 2)) }

// message is one with names and ids that are likely to meet.
func (c *serverChaos) message() Message {
	switch c.choices.Next(5) {
	case 0:
		return &Register{DeviceID: c.device(), DeviceInfo: c.payload()}
	case 1:
		return &Connect{DeviceID: c.device()}
	case 2:
		return &Forward{ClientID: new(c.choices.Next(6) - 1), Payload: c.payload()}
	case 3:
		return &Forward{Payload: c.payload()}
	}
	if m := stimuli[c.choices.Next(len(stimuli))].msg; m != nil {
		return m
	}
	return &Unknown{Type: "novelty"}
}

// decide answers the question about a connection, or one that was answered before.
func (c *serverChaos) decide(id PeerID) {
	d := Decision{}
	if c.choices.Next(8) == 7 {
		d.Refuse = &Error{Text: "no"}
	}
	q, ok := c.asked[id]
	if !ok {
		if len(c.old) == 0 {
			return
		}
		q = c.old[c.choices.Next(len(c.old))]
	}
	delete(c.asked, id)
	c.old = append(c.old, q)
	c.check(c.machine.Decide(c.now, q.Ticket, d))
}

func (c *serverChaos) disconnect(id PeerID) {
	c.gone(id)
	c.check(c.machine.Disconnect(c.now, id))
}

// gone takes a connection from the account.
func (c *serverChaos) gone(id PeerID) {
	for i, other := range c.alive {
		if other == id {
			c.alive = append(c.alive[:i:i], c.alive[i+1:]...)
		}
	}
	if q, ok := c.asked[id]; ok {
		delete(c.asked, id)
		c.old = append(c.old, q)
	}
}

// check holds the effects of a step against the account.
func (c *serverChaos) check(fx ServerEffects) {
	there := make(map[PeerID]bool)
	for _, id := range c.alive {
		there[id] = true
	}
	for _, d := range fx.Send {
		require.True(c.t, there[d.To], "%s to %d, who is not there", name(d.Message), d.To)
		_, err := Encode(d.Message)
		require.NoError(c.t, err)
	}
	for _, q := range fx.Ask {
		require.True(c.t, there[q.Ticket.Peer], "a question about %d, who is not there", q.Ticket.Peer)
		require.NotContains(c.t, c.asked, q.Ticket.Peer, "two questions about one connection")
		c.asked[q.Ticket.Peer] = q
	}
	for _, closing := range fx.Close {
		require.True(c.t, there[closing.Peer], "%d is closed twice", closing.Peer)
		there[closing.Peer] = false
		c.gone(closing.Peer)
		_, known := c.machine.State(closing.Peer)
		require.False(c.t, known, "%d is closed and remembered", closing.Peer)
	}
	require.Equal(c.t, len(c.alive), c.machine.Len())
	require.LessOrEqual(c.t, len(c.machine.devices), 2)
	waits := 0
	for id, clients := range c.machine.waiting {
		require.NotEmpty(c.t, clients, id)
		waits += len(clients)
	}
	require.Equal(c.t, waits, c.machine.waits)
	for id, d := range c.machine.devices {
		require.Equal(c.t, id, d.id)
		require.True(c.t, there[d.peer.id])
		require.LessOrEqual(c.t, len(d.clients), 2)
		for n, client := range d.clients {
			require.True(c.t, there[client.id] && client.clientID == n && client.device == d && n < d.next)
		}
	}
}
