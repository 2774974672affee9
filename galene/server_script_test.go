package galene

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestScriptsOnTheServerMachine(t *testing.T) {
	script.OnMachine(t, script.Server(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		w := newServerWire(readServerScene(t, s))
		return w, w.end
	})
}

func TestScriptsOnTheServer(t *testing.T) {
	script.OnDriver(t, script.Server(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		p := newServerPipes(readServerScene(t, s))
		return p, p.end
	})
}

// A serverScene is the config section of a script: the server's options.
type serverScene struct {
	ServerConfig
	Groups Groups // those of the traces by default
}

func readServerScene(t *testing.T, s *script.Script) (sc serverScene) {
	s.Config(t, &sc)
	return sc
}

// options are what the server of a scene is made with, but for its recorder.
func (sc serverScene) options() *ServerOptions {
	opts := &ServerOptions{ServerConfig: sc.ServerConfig, Groups: sc.Groups, Tokens: new(Tokens)}
	if sc.Groups == nil {
		opts.Groups = traceGroups()
	}
	if opts.NewID == nil {
		opts.NewID = countIDs()
	}
	return opts
}

// countIDs returns the ids that a machine without NewID makes.
func countIDs() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("id-%d", n) }
}

// traceGroups are the groups of the server that the traces were taken from.
func traceGroups() Groups {
	users := map[string]MemoryUser{
		"alice": {Password: "apw", Set: "op"}, "bob": {Password: "bpw", Set: "present"},
		"carol": {Password: "cpw", Set: "message"}, "dave": {Password: "dpw", Set: "observe"},
		"erin": {Password: "epw", Set: "caption"}, "zed": {Password: "zpw", Set: "admin"},
	}
	described := func(g Group) *MemoryGroup {
		g.CanChangePassword = true
		return &MemoryGroup{Group: g, Users: users}
	}
	return Groups{
		"test": described(Group{
			DisplayName: "Test group", Description: "A group for traces",
			Public: true, AllowRecording: true, AutoSubgroups: true,
		}),
		"open": {
			Group:    Group{CanChangePassword: true},
			Wildcard: &MemoryUser{AnyPassword: true, Set: "present"},
		},
		"wild": {
			Group:    Group{CanChangePassword: true, UnrestrictedTokens: true},
			Wildcard: &MemoryUser{Password: "1234", Set: "present"},
		},
		"autolock": described(Group{Autolock: true}),
		"autokick": described(Group{Autokick: true}),
	}
}

// recorder is the peer in scripts that is connected to a group that is to be recorded, if
// it was opened.
const recorder = "recorder"

// A serverWire is a machine with the codec and the stores around it: bytes in, bytes out.
// It is a target of scripts, inside a bubble of synctest.
//
// What a close frame says is an event of its own before the end: {"reason":"…"}.
type serverWire struct {
	script.ServerWire[PeerID, ServerEffects, *wirePatience]
	server *Server // its machine and its decisions, not its connections
	late   []lateDecision
	routed []MediaEvent // of a machine with media
}

// wirePatience is how a peer waits for a decision.
type wirePatience struct {
	waits   bool
	pending []script.Message
}

// A lateDecision is one about bad credentials.
type lateDecision struct {
	at time.Time
	q  Question
	d  Decision
}

func newServerWire(sc serverScene) *serverWire {
	opts := sc.options()
	opts.RefusalDelay = -1 // the wire's own
	opts.Record = func(context.Context, string, transport.Conn) error { return nil }
	w := &serverWire{server: NewServer(opts)}
	w.Machine, w.Apply = slowMachine{w.server.machine, w}, w.apply
	return w
}

// A slowMachine is a machine whose late decisions come in time.
type slowMachine struct {
	*ServerMachine
	wire *serverWire
}

// next returns when the machine or a decision is due, and whether it is the decision.
func (m slowMachine) next() (at time.Time, ok, late bool) {
	at, ok = m.ServerMachine.Deadline()
	if l := m.wire.late; len(l) > 0 && (!ok || l[0].at.Before(at)) {
		return l[0].at, true, true
	}
	return at, ok, false
}

func (m slowMachine) Deadline() (time.Time, bool) {
	at, ok, _ := m.next()
	return at, ok
}

func (m slowMachine) Expire(now time.Time) ServerEffects {
	if _, _, late := m.next(); late {
		l := m.wire.late[0]
		m.wire.late = m.wire.late[1:]
		m.wire.decided(l.q, l.d)
		return ServerEffects{}
	}
	return m.ServerMachine.Expire(now)
}

func (w *serverWire) Open(name string, args []string) error {
	p := w.Appear(name)
	p.Own = new(wirePatience)
	if name == recorder {
		return nil
	}
	c := Connection{}
	if len(args) > 0 {
		c.Address = args[0]
	}
	w.Number(p)
	w.apply(w.server.machine.Connect(time.Now(), p.ID, c))
	return nil
}

func (w *serverWire) Send(name string, m script.Message) error {
	p, err := w.Present(name)
	if err != nil {
		return err
	}
	if p.Own.waits {
		p.Own.pending = append(p.Own.pending, m)
		return nil
	}
	msg, err := w.server.decode(transport.Text, m.Data)
	if err != nil {
		w.apply(w.server.machine.Malformed(time.Now(), p.ID, asDecodeError(err)))
		return nil
	}
	w.apply(w.server.machine.Receive(time.Now(), p.ID, msg))
	return nil
}

// apply carries out effects, as the driver does.
func (w *serverWire) apply(fx ServerEffects) {
	for _, d := range fx.Send {
		p := w.Of(d.To)
		data, err := Encode(d.Message)
		if err != nil {
			panic(err)
		}
		if !p.Gone {
			p.Hear(heard(data))
		}
	}
	w.routed = append(w.routed, fx.Media...)
	for _, group := range fx.Record {
		if p := w.Peer(recorder); p != nil {
			w.Number(p)
			w.apply(w.server.machine.Connect(time.Now(), p.ID, Connection{System: group}))
		}
	}
	for _, c := range fx.Close {
		p := w.Of(c.Peer)
		p.Gone = true
		p.Hear(ended(c.Code, c.Reason)...)
	}
	for _, q := range fx.Ask {
		w.Of(q.Ticket.Peer).Own.waits = true
		d := w.server.decide(context.Background(), new(ServerSession), q)
		if d.Refuse == nil || !d.Refuse.Is(ErrNotAuthorised) {
			w.decided(q, d)
			continue
		}
		w.late = append(w.late, lateDecision{time.Now().Add(DefaultRefusalDelay), q, d})
	}
}

// decided steps the machine with a decision, and with what the peer has sent meanwhile.
func (w *serverWire) decided(q Question, d Decision) {
	w.apply(w.server.machine.Decide(time.Now(), q.Ticket, d))
	p := w.Of(q.Ticket.Peer)
	own := p.Own
	own.waits = false
	for len(own.pending) > 0 && !own.waits && !p.Gone {
		m := own.pending[0]
		own.pending = own.pending[1:]
		if err := w.Send(p.Name, m); err != nil {
			panic(err)
		}
	}
}

// end disconnects everybody and checks that the machine has forgotten them.
func (w *serverWire) end(t *testing.T) {
	w.DisconnectAll()
	requireNobodyLeft(t, w.server.machine)
}

// requireNobodyLeft demands that a machine has forgotten everybody, and of groups all but
// what they remember.
func requireNobodyLeft(t testing.TB, m *ServerMachine) {
	t.Helper()
	require.Zero(t, m.Len())
	require.Len(t, m.groups, len(m.empty))
	for _, g := range m.empty {
		require.Same(t, g, m.groups[g.desc.Name])
		require.Empty(t, g.members)
		require.Empty(t, g.byID)
		require.Empty(t, g.streams)
		require.True(t, len(g.history) > 0 || g.locked != nil || len(g.data) > 0, "nothing to remember")
	}
	if m.cfg.EmptyGroups >= 0 {
		require.LessOrEqual(t, len(m.empty), m.cfg.EmptyGroups)
	}
	require.Zero(t, m.clock.Len(), "an alarm for nobody")
	_, due := m.Deadline()
	require.False(t, due)
}

// heard is a message that a peer hears. Times are in UTC, whatever the zone of the machine
// that the tests run on.
func heard(data []byte) script.Event {
	return script.Event{Data: instants.ReplaceAllFunc(data, func(text []byte) []byte {
		at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(text))
		if err != nil {
			return text
		}
		return []byte(at.UTC().Format(`"` + time.RFC3339Nano + `"`))
	})}
}

var instants = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`)

// ended is the end of a peer's connection.
func ended(code transport.StatusCode, reason string) []script.Event {
	events := []script.Event{{Closed: int(code)}}
	if reason != "" {
		text, _ := json.Marshal(reason)
		events = slices.Insert(events, 0, script.Event{Data: fmt.Appendf(nil, `{"reason":%s}`, text)})
	}
	return events
}

// serverPipes are raw ends of pipes to a server. They are a target of scripts.
type serverPipes struct {
	script.Ends
	server *Server
}

type addressKey struct{}

// An address is one in the words of a script.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func newServerPipes(sc serverScene) *serverPipes {
	p := new(serverPipes)
	p.Hear = func(data []byte, _ bool) script.Event { return heard(data) }
	p.End = func(c *transport.CloseError) []script.Event { return ended(c.Code, c.Reason) }
	opts := sc.options()
	opts.Record = func(_ context.Context, _ string, conn transport.Conn) error {
		p.Attach(recorder, conn)
		return nil
	}
	opts.Address = func(ctx context.Context) net.Addr { return ctx.Value(addressKey{}).(address) }
	p.server = NewServer(opts)
	return p
}

func (p *serverPipes) Open(name string, args []string) error {
	if name == recorder {
		p.Appear(name)
		return nil
	}
	p.Connect(name, func(ctx context.Context, conn transport.Conn) error {
		return p.server.Serve(context.WithValue(ctx, addressKey{}, address(strings.Join(args, ""))), conn)
	})
	synctest.Wait() // it has its number
	return nil
}

// end closes everything and checks that the server has forgotten it.
func (p *serverPipes) end(t *testing.T) {
	require.NoError(t, p.CloseAll())
	require.NoError(t, p.server.Close())
	synctest.Wait()
	requireNobodyLeft(t, p.server.machine)
	require.Empty(t, p.server.media)
	require.Empty(t, slices.Collect(p.server.Sessions()))
}

// wireTextOf returns a message as it is written.
func wireTextOf(m Message) string {
	data, err := Encode(m)
	if err != nil {
		return cmp.Or(name(m), "nothing")
	}
	return string(data)
}
