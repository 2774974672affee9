package cuttlefish

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A stimulus is something that a machine may meet in any state.
type stimulus struct {
	name string
	msg  Message // nil for what could not be decoded
	err  *DecodeError
}

// stimuli holds every message of the registry, some of them in several forms, the
// messages that are not in it, and each kind of what is no message.
var stimuli = []stimulus{
	message(`{"message_type":"register","device_id":"cvd-9","device_info":{"n":9}}`, "register"),
	message(`{"message_type":"register"}`, "register without device_id"),
	message(`{"message_type":"connect","device_id":"cvd-1"}`, "connect"),
	message(`{"message_type":"connect","device_id":"cvd-9"}`, "connect to nobody"),
	message(`{"message_type":"connect"}`, "connect without device_id"),
	message(`{"message_type":"forward","client_id":1,"payload":{"type":"offer"}}`, "forward"),
	message(`{"message_type":"forward","client_id":9,"payload":{"type":"offer"}}`, "forward to nobody"),
	message(`{"message_type":"forward","client_id":0,"payload":{"type":"offer"}}`, "forward to 0"),
	message(`{"message_type":"forward","payload":{"type":"offer"}}`, "forward without client_id"),
	message(`{"message_type":"forward","client_id":1}`, "forward without payload"),
	message(`{"message_type":"forward","client_id":1,"payload":null}`, "forward of null"),
	message(`{"message_type":"forward","payload":7}`, "forward of a number"),
	message(`{"message_type":"config","ice_servers":[{"urls":["stun:a"]}]}`, "config"),
	message(`{"message_type":"client_msg","client_id":1,"payload":1}`, "client_msg"),
	message(`{"message_type":"client_disconnected","client_id":1}`, "client_disconnected"),
	message(`{"message_type":"device_info","device_info":{"n":1}}`, "device_info"),
	message(`{"device_info":{"n":1}}`, "device_info without type"),
	message(`{"message_type":"device_msg","payload":1}`, "device_msg"),
	message(`{"error":"some error"}`, "error"),
	message(`{"error":"Client disconnected:  3\n"}`, "error about a client"),
	message(`{"message_type":"novelty","a":1}`, "unknown"),
	{name: "reconnected", msg: &Reconnected{}},
	malformed(transport.Text, `{"message_type":`, "not JSON"),
	malformed(transport.Text, `[]`, "not an object"),
	malformed(transport.Text, `{}`, "no message_type"),
	malformed(transport.Text, `{"message_type":1}`, "message_type of another type"),
	malformed(transport.Text, `{"message_type":"register","device_id":7}`, "register with a bad device_id"),
	malformed(transport.Text, `{"message_type":"register","device_id":"a","device_port":"80"}`, "register with a bad port"),
	malformed(transport.Text, `{"message_type":"connect","device_id":7}`, "connect with a bad device_id"),
	malformed(transport.Text, `{"message_type":"forward","client_id":"1","payload":1}`, "forward with a bad client_id"),
	malformed(transport.Binary, `{}`, "binary"),
}

func message(wire, name string) stimulus {
	m, err := Decode([]byte(wire))
	if err != nil {
		panic(err)
	}
	return stimulus{name: name, msg: m}
}

func malformed(typ transport.MessageType, wire, name string) stimulus {
	_, err := newServerDecoder(Connection{})(typ, &link.Frame{Data: []byte(wire)})
	bad, ok := errors.AsType[*DecodeError](err)
	if !ok {
		panic(name)
	}
	return stimulus{name: "malformed: " + name, err: bad}
}

func TestStimuliHaveEveryMessageOfTheRegistry(t *testing.T) {
	t.Parallel()
	types := make(map[string]bool)
	for _, in := range stimuli {
		if in.msg != nil {
			types[in.msg.wireType()] = true
		}
	}
	for typ := range registry {
		require.True(t, types[typ], typ)
	}
}

// A table is what a machine does, state by state. It is compared with a file in
// testdata/machines, which is there to be read.
type table struct{ strings.Builder }

func (b *table) state(name string) { fmt.Fprintf(b, "\n%s\n", name) }

func (b *table) row(name, result string) { fmt.Fprintf(b, "  %-42s %s\n", name, result) }

func (b *table) compare(t *testing.T, name string) {
	path := filepath.Join("testdata", "machines", name+".txt")
	if script.Updating() {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "run with -update and read the difference")
}

// twice calls a step on two machines that are alike and demands the same of both.
func twice(t *testing.T, step func() string) string {
	once := step()
	require.Equal(t, once, step(), "the machine is not deterministic")
	return once
}

// endpoint is what the tests need of a [ClientMachine] and a [DeviceMachine].
type endpoint interface {
	machine
	Send(now time.Time, msg Message) (Effects, error)
}

func TestClientMachineInEveryState(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{DialectDocument, DialectOperator} {
		ready := func(m *ClientMachine) {
			m.Start(start)
			m.Receive(start, &DeviceInfoMsg{DeviceInfo: []byte(`{}`)})
		}
		states := []struct {
			name string
			way  func(m *ClientMachine)
		}{
			{"idle", func(*ClientMachine) {}},
			{"connecting", func(m *ClientMachine) { m.Start(start) }},
			{"waiting", func(m *ClientMachine) { m.Start(start); m.Receive(start, &Config{}) }},
			{"ready", ready},
			{"waiting again", func(m *ClientMachine) { ready(m); m.Lost(start); m.Start(start); m.Receive(start, &Config{}) }},
			{"closed", func(m *ClientMachine) { m.Start(start); m.Receive(start, &Error{Text: "no"}) }},
		}
		var b table
		for _, s := range states {
			b.state(s.name)
			endpointRows(t, &b, func() (endpoint, func() fmt.Stringer) {
				m := NewClientMachine(ClientConfig{DeviceID: "cvd-1", Dialect: d})
				s.way(m)
				return m, func() fmt.Stringer { return m.State() }
			})
		}
		b.compare(t, "client-"+d.String())
	}
}

func TestDeviceMachineInEveryState(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{DialectDocument, DialectOperator} {
		registered := func(m *DeviceMachine) {
			m.Start(start)
			m.Receive(start, &Config{})
		}
		states := []struct {
			name string
			way  func(m *DeviceMachine)
		}{
			{"idle", func(*DeviceMachine) {}},
			{"registering", func(m *DeviceMachine) { m.Start(start) }},
			{"registered", registered},
			{"registering again", func(m *DeviceMachine) { registered(m); m.Lost(start); m.Start(start) }},
			{"closed", func(m *DeviceMachine) { m.Start(start); m.Receive(start, &Error{Text: "no"}) }},
		}
		var b table
		for _, s := range states {
			b.state(s.name)
			endpointRows(t, &b, func() (endpoint, func() fmt.Stringer) {
				m := NewDeviceMachine(DeviceConfig{DeviceID: "cvd-1", DevicePort: new(8443), Dialect: d})
				s.way(m)
				return m, func() fmt.Stringer { return m.State() }
			})
		}
		b.compare(t, "device-"+d.String())
	}
}

func endpointRows(t *testing.T, b *table, make func() (endpoint, func() fmt.Stringer)) {
	row := func(name string, step func(m endpoint) (Effects, error)) {
		b.row(name, twice(t, func() string {
			m, state := make()
			fx, err := step(m)
			return fmt.Sprintf("%s%s", state(), effects(fx, err))
		}))
	}
	at := start.Add(DefaultHandshakeTimeout)
	row("start", func(m endpoint) (Effects, error) { return m.Start(start), nil })
	row("lost", func(m endpoint) (Effects, error) { return m.Lost(start), nil })
	row("a moment before the deadline", func(m endpoint) (Effects, error) { return m.Expire(at.Add(-1)), nil })
	row("the deadline", func(m endpoint) (Effects, error) {
		due, ok := m.Deadline()
		require.True(t, !ok || due.Equal(at), "a deadline at %v", due)
		return m.Expire(at), nil
	})
	for _, in := range stimuli {
		if in.msg == nil {
			row("receive "+in.name, func(m endpoint) (Effects, error) { return m.Malformed(start, in.err), nil })
			continue
		}
		row("receive "+in.name, func(m endpoint) (Effects, error) { return m.Receive(start, in.msg), nil })
	}
	for _, in := range stimuli {
		if in.msg != nil {
			row("send "+in.name, func(m endpoint) (Effects, error) { return m.Send(start, in.msg) })
		}
	}
}

// effects tells what a step asks for.
func effects(fx Effects, err error) string {
	var b strings.Builder
	for _, m := range fx.Send {
		fmt.Fprintf(&b, ", send %s", wireText(m))
	}
	for _, m := range fx.Deliver {
		fmt.Fprintf(&b, ", deliver %s", wireText(m))
	}
	if c := fx.Close; c != nil {
		fmt.Fprintf(&b, ", close %d %q: %v", c.Code, c.Reason, c.Err)
	}
	if err != nil {
		fmt.Fprintf(&b, ", error %v", err)
	}
	return b.String()
}

func wireText(m Message) string {
	data, err := Encode(m)
	if err != nil {
		return name(m)
	}
	return string(data)
}

// The peers of TestServerMachineInEveryState.
const (
	subject     PeerID = 1
	otherDevice PeerID = 2
	otherClient PeerID = 3
)

func TestServerMachineInEveryState(t *testing.T) {
	t.Parallel()
	for _, role := range []Role{RoleDevice, RoleClient} {
		for _, d := range []Dialect{DialectDocument, DialectOperator} {
			var b table
			for _, s := range serverWays(role) {
				b.state(s.name)
				serverRows(t, &b, s.name, func() *ServerMachine {
					m := NewServerMachine(ServerConfig{WaitForDevice: true})
					m.Connect(start, subject, Connection{role, d})
					s.way(m)
					return m
				})
			}
			b.compare(t, fmt.Sprintf("server-%s-%s", role, d))
		}
	}
}

type serverWay struct {
	name string
	way  func(m *ServerMachine)
}

// serverWays leads the subject into every state of its role. As a device it has a client
// that is there, 1, and one that has left, 2.
func serverWays(role Role) []serverWay {
	other := func(m *ServerMachine, id PeerID, role Role, msg Message) {
		m.Connect(start, id, Connection{Role: role})
		answer(m, m.Receive(start, id, msg), Decision{})
	}
	device := func(m *ServerMachine) { other(m, otherDevice, RoleDevice, &Register{DeviceID: "cvd-1"}) }
	if role == RoleDevice {
		return []serverWay{
			{"new", func(*ServerMachine) {}},
			{"deciding", func(m *ServerMachine) { m.Receive(start, subject, &Register{DeviceID: "cvd-1"}) }},
			{"registered", func(m *ServerMachine) {
				answer(m, m.Receive(start, subject, &Register{DeviceID: "cvd-1"}), Decision{})
				other(m, otherClient, RoleClient, &Connect{DeviceID: "cvd-1"})
				other(m, 4, RoleClient, &Connect{DeviceID: "cvd-1"})
				m.Disconnect(start, 4)
			}},
		}
	}
	return []serverWay{
		{"new", device},
		{"deciding", func(m *ServerMachine) { device(m); m.Receive(start, subject, &Connect{DeviceID: "cvd-1"}) }},
		{"waiting", func(m *ServerMachine) {
			answer(m, m.Receive(start, subject, &Connect{DeviceID: "cvd-1"}), Decision{})
		}},
		{"attached", func(m *ServerMachine) {
			device(m)
			answer(m, m.Receive(start, subject, &Connect{DeviceID: "cvd-1"}), Decision{})
		}},
	}
}

// answer decides on what a step asks.
func answer(m *ServerMachine, fx ServerEffects, d Decision) ServerEffects {
	for _, q := range fx.Ask {
		fx = m.Decide(start, q.Ticket, d)
	}
	return fx
}

func serverRows(t *testing.T, b *table, from string, make func() *ServerMachine) {
	row := func(name string, step func(m *ServerMachine) ServerEffects) {
		b.row(name, twice(t, func() string {
			m := make()
			state, _ := m.State(subject)
			require.Equal(t, from, state.String())
			fx := step(m)
			return serverState(m) + serverEffects(fx)
		}))
	}
	for _, in := range stimuli {
		row("receive "+in.name, func(m *ServerMachine) ServerEffects {
			if in.msg == nil {
				return m.Malformed(start, subject, in.err)
			}
			return m.Receive(start, subject, in.msg)
		})
	}
	ticket := func(m *ServerMachine) Ticket { return Ticket{subject, m.tickets} }
	row("admit", func(m *ServerMachine) ServerEffects { return m.Decide(start, ticket(m), Decision{}) })
	row("refuse", func(m *ServerMachine) ServerEffects {
		return m.Decide(start, ticket(m), Decision{Refuse: &Error{Text: "no"}})
	})
	row("admit with another ticket", func(m *ServerMachine) ServerEffects {
		return m.Decide(start, Ticket{subject, 99}, Decision{})
	})
	row("disconnect", func(m *ServerMachine) ServerEffects { return m.Disconnect(start, subject) })
	row("a moment before the handshake's end", func(m *ServerMachine) ServerEffects {
		return m.Expire(start.Add(DefaultHandshakeTimeout - 1))
	})
	row("the handshake's end", func(m *ServerMachine) ServerEffects { return m.Expire(start.Add(DefaultHandshakeTimeout)) })
	row("the wait's end", func(m *ServerMachine) ServerEffects { return m.Expire(start.Add(DefaultWaitTimeout)) })
}

func serverState(m *ServerMachine) string {
	if s, ok := m.State(subject); ok {
		return s.String()
	}
	return "gone"
}

// peerNames are how the tables call the others.
var peerNames = map[PeerID]string{subject: "it", otherDevice: "its device", otherClient: "client 1"}

func serverEffects(fx ServerEffects) string {
	var b strings.Builder
	for _, d := range fx.Send {
		fmt.Fprintf(&b, ", send %s %s", peerNames[d.To], wireText(d.Message))
	}
	for _, q := range fx.Ask {
		fmt.Fprintf(&b, ", ask %s", wireText(q.Message))
	}
	for _, c := range fx.Close {
		fmt.Fprintf(&b, ", close %s %d %q", peerNames[c.Peer], c.Code, c.Reason)
	}
	return b.String()
}

func TestServerMachineIgnoresPeersThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	for _, in := range stimuli {
		if in.msg == nil {
			require.Zero(t, m.Malformed(start, 1, in.err))
			continue
		}
		require.Zero(t, m.Receive(start, 1, in.msg))
	}
	require.Zero(t, m.Disconnect(start, 1))
	require.Zero(t, m.Decide(start, Ticket{Peer: 1}, Decision{}))
	require.Zero(t, m.Expire(start.Add(time.Hour)))
	_, known := m.State(1)
	require.False(t, known)
	_, due := m.Deadline()
	require.False(t, due)
}

func TestServerMachineForgetsAConnectionThatLeavesWhileDeciding(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	m.Connect(start, 1, Connection{})
	fx := m.Receive(start, 1, &Register{DeviceID: "cvd-1"})
	require.Len(t, fx.Ask, 1)
	require.Zero(t, m.Disconnect(start, 1))
	require.Zero(t, m.Decide(start, fx.Ask[0].Ticket, Decision{}))
	require.Zero(t, m.Len())
	_, registered := m.Device("cvd-1")
	require.False(t, registered)
}

func TestServerMachineTellsItsDevices(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	register := func(id PeerID, r *Register) {
		m.Connect(start, id, Connection{})
		answer(m, m.Receive(start, id, r), Decision{})
	}
	register(1, &Register{DeviceID: "cvd-2", DeviceInfo: []byte(`{"n":2}`), DevicePort: new(8443)})
	register(2, &Register{DeviceID: "cvd-1"})
	m.Connect(start, 3, Connection{Role: RoleClient})
	answer(m, m.Receive(start, 3, &Connect{DeviceID: "cvd-2"}), Decision{})

	two := DeviceEntry{ID: "cvd-2", Peer: 1, Info: []byte(`{"n":2}`), Port: 8443, Clients: 1}
	require.Equal(t, []DeviceEntry{{ID: "cvd-1", Peer: 2}, two}, slices.Collect(m.Devices()))
	for d := range m.Devices() { // which may be left early
		require.Equal(t, "cvd-1", d.ID)
		break
	}
	got, ok := m.Device("cvd-2")
	require.True(t, ok)
	require.Equal(t, two, got)
	require.Equal(t, 3, m.Len())
}

func TestNegativeLimitsAreNone(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{
		WaitForDevice: true, HandshakeTimeout: -1, WaitTimeout: -1, Devices: -1, ClientsPerDevice: -1,
		Waiting: -1, WaitingPerDevice: -1, RequestOffers: -1, DeviceMessage: -1,
		DeviceIDBytes: -1, DeviceInfoBytes: -1,
	})
	id := PeerID(0)
	join := func(role Role, msg Message) ServerEffects {
		id++
		m.Connect(start, id, Connection{Role: role})
		return answer(m, m.Receive(start, id, msg), Decision{})
	}
	for range DefaultWaiting + 1 {
		require.Empty(t, join(RoleClient, &Connect{DeviceID: "cvd-0"}).Close)
	}
	for n := range DefaultDevices + 1 {
		require.Empty(t, join(RoleDevice, &Register{DeviceID: fmt.Sprint("cvd-", n)}).Close)
	}
	_, due := m.Deadline()
	require.False(t, due)
	for range DefaultRequestOffers + 1 {
		require.Empty(t, m.Receive(start, 1, &Forward{Payload: []byte(`{"type":"request-offer"}`)}).Close)
	}
	text := fmt.Appendf(nil, "%q", strings.Repeat("x", 1<<20))
	require.Len(t, m.Receive(start, 1, &Forward{Payload: text}).Send, 1)
	require.Empty(t, join(RoleDevice, &Register{DeviceID: string(text), DeviceInfo: text}).Close)
	require.Empty(t, join(RoleClient, &Connect{DeviceID: string(text)}).Close)
}

func TestWhatIsKeptOfADeviceIsBounded(t *testing.T) {
	t.Parallel()
	id := func(n int) string { return strings.Repeat("d", n) }
	info := func(n int) json.RawMessage { return fmt.Appendf(nil, "%q", strings.Repeat("i", n-2)) }
	long, big := id(DefaultDeviceIDBytes+1), info(DefaultDeviceInfoBytes+1)
	given := ServerConfig{DeviceIDBytes: DefaultDeviceIDBytes, DeviceInfoBytes: DefaultDeviceInfoBytes}
	for _, cfg := range []ServerConfig{{}, given} {
		for _, dialect := range []Dialect{DialectDocument, DialectOperator} {
			m := NewServerMachine(cfg)
			join := func(peer PeerID, role Role, msg Message) ServerEffects {
				m.Connect(start, peer, Connection{Role: role, Dialect: dialect})
				fx := m.Receive(start, peer, msg)
				if len(fx.Ask) > 0 {
					return answer(m, fx, Decision{})
				}
				return fx
			}
			largest := &Register{DeviceID: id(DefaultDeviceIDBytes), DeviceInfo: info(DefaultDeviceInfoBytes)}
			require.Empty(t, join(1, RoleDevice, largest).Close)
			require.Empty(t, join(2, RoleClient, &Connect{DeviceID: id(DefaultDeviceIDBytes)}).Close)
			for i, c := range []struct {
				role Role
				msg  Message
				code transport.StatusCode
				text string
			}{
				{RoleDevice, &Register{DeviceID: long}, transport.StatusPolicyViolation, "Device id too long"},
				{RoleClient, &Connect{DeviceID: long}, transport.StatusPolicyViolation, "Device id too long"},
				{RoleDevice, &Register{DeviceID: "d", DeviceInfo: big}, transport.StatusMessageTooBig, "Device info too large"},
			} {
				peer := PeerID(3 + i)
				fx := join(peer, c.role, c.msg)
				require.Empty(t, fx.Ask, "nobody is asked")
				require.Equal(t, []Delivery{{peer, &Error{Text: c.text}}}, fx.Send)
				require.Equal(t, []Closing{{Peer: peer, Code: c.code}}, fx.Close)
			}
			require.Equal(t, 2, m.Len())
		}
	}
}

func TestStatesHaveNames(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for s := ClientIdle; s <= ClientClosed; s++ {
		names[s.String()] = true
	}
	require.Equal(t, []string{"closed", "connecting", "idle", "ready", "waiting"}, slices.Sorted(maps.Keys(names)))
	clear(names)
	for s := DeviceIdle; s <= DeviceClosed; s++ {
		names[s.String()] = true
	}
	require.Equal(t, []string{"closed", "idle", "registered", "registering"}, slices.Sorted(maps.Keys(names)))
	clear(names)
	for s := ServerNew; s <= ServerAttached; s++ {
		names[s.String()] = true
	}
	require.Equal(t, []string{"attached", "deciding", "new", "registered", "waiting"}, slices.Sorted(maps.Keys(names)))
	require.Equal(t, "state(9)", ServerState(9).String())
	require.Equal(t, "state(-1)", ClientState(-1).String())
}
