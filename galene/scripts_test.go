package galene

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
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
	server *Server // its machine and its decisions, not its connections
	peers  map[string]*wirePeer
	byID   map[PeerID]*wirePeer
	late   []lateDecision
	routed []MediaEvent // of a machine with media
}

type wirePeer struct {
	id      PeerID
	name    string
	events  []script.Event
	waits   bool // for a decision
	pending []script.Message
	gone    bool
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
	return &serverWire{server: NewServer(opts), peers: make(map[string]*wirePeer), byID: make(map[PeerID]*wirePeer)}
}

func (w *serverWire) Open(name string, args []string) error {
	p := &wirePeer{name: name, gone: true}
	if old := w.peers[name]; old != nil {
		p.events = old.events
	}
	w.peers[name] = p
	if name == recorder {
		return nil
	}
	c := Connection{}
	if len(args) > 0 {
		c.Address = args[0]
	}
	w.connect(p, c)
	return nil
}

func (w *serverWire) connect(p *wirePeer, c Connection) {
	p.id, p.gone = PeerID(len(w.byID)+1), false
	w.byID[p.id] = p
	w.apply(w.server.machine.Connect(time.Now(), p.id, c))
}

func (w *serverWire) Send(name string, m script.Message) error {
	p := w.peers[name]
	if p == nil || p.gone {
		return transport.ErrClosed
	}
	if p.waits {
		p.pending = append(p.pending, m)
		return nil
	}
	msg, err := w.server.decode(transport.Text, m.Data)
	if err != nil {
		w.apply(w.server.machine.Malformed(time.Now(), p.id, asDecodeError(err)))
		return nil
	}
	w.apply(w.server.machine.Receive(time.Now(), p.id, msg))
	return nil
}

func (w *serverWire) Close(name string, _ int) error {
	p := w.peers[name]
	if p == nil || p.gone {
		return transport.ErrClosed
	}
	p.gone = true
	w.apply(w.server.machine.Disconnect(time.Now(), p.id))
	return nil
}

func (w *serverWire) Wait(d time.Duration) error {
	until := time.Now().Add(d)
	for {
		at, ok := w.server.machine.Deadline()
		decides := len(w.late) > 0 && (!ok || w.late[0].at.Before(at))
		if decides {
			at = w.late[0].at
		}
		if !decides && !ok || at.After(until) {
			time.Sleep(time.Until(until))
			return nil
		}
		time.Sleep(time.Until(at))
		if !decides {
			w.apply(w.server.machine.Expire(time.Now()))
			continue
		}
		l := w.late[0]
		w.late = w.late[1:]
		w.decided(l.q, l.d)
	}
}

func (w *serverWire) Next(name string, _ bool) (script.Event, bool) {
	p := w.peers[name]
	if p == nil || len(p.events) == 0 {
		return script.Event{}, false
	}
	e := p.events[0]
	p.events = p.events[1:]
	return e, true
}

// apply carries out effects, as the driver does.
func (w *serverWire) apply(fx ServerEffects) {
	for _, d := range fx.Send {
		p := w.byID[d.To]
		data, err := Encode(d.Message)
		if err != nil {
			panic(err)
		}
		if !p.gone {
			p.events = append(p.events, heard(data))
		}
	}
	w.routed = append(w.routed, fx.Media...)
	for _, group := range fx.Record {
		if p := w.peers[recorder]; p != nil {
			w.connect(p, Connection{System: group})
		}
	}
	for _, c := range fx.Close {
		p := w.byID[c.Peer]
		p.gone = true
		p.events = append(p.events, ended(c.Code, c.Reason)...)
	}
	for _, q := range fx.Ask {
		p := w.byID[q.Ticket.Peer]
		p.waits = true
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
	p := w.byID[q.Ticket.Peer]
	p.waits = false
	for len(p.pending) > 0 && !p.waits && !p.gone {
		m := p.pending[0]
		p.pending = p.pending[1:]
		if err := w.Send(p.name, m); err != nil {
			panic(err)
		}
	}
}

// end disconnects everybody and checks that the machine has forgotten them.
func (w *serverWire) end(t *testing.T) {
	for _, p := range w.byID {
		if !p.gone {
			require.NoError(t, w.Close(p.name, 1000))
		}
	}
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
	server *Server

	mu   sync.Mutex
	ends map[string]*pipeEnd
}

type pipeEnd struct {
	conn   transport.Conn // nil before the recorder is connected
	events []script.Event
}

type addressKey struct{}

// An address is one in the words of a script.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func newServerPipes(sc serverScene) *serverPipes {
	p := &serverPipes{ends: make(map[string]*pipeEnd)}
	opts := sc.options()
	opts.Record = func(_ context.Context, _ string, conn transport.Conn) error {
		if p.connected(recorder, conn) {
			p.read(recorder, conn)
		}
		return nil
	}
	opts.Address = func(ctx context.Context) net.Addr { return ctx.Value(addressKey{}).(address) }
	p.server = NewServer(opts)
	return p
}

// connected gives a peer a connection, and reports whether there is such a peer.
func (p *serverPipes) connected(name string, conn transport.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.ends[name]
	if e != nil {
		e.conn = conn
	}
	return e != nil
}

func (p *serverPipes) Open(name string, args []string) error {
	p.mu.Lock()
	if p.ends[name] == nil {
		p.ends[name] = new(pipeEnd)
	}
	p.mu.Unlock()
	if name == recorder {
		return nil
	}
	near, far := transport.Pipe()
	p.connected(name, near)
	ctx := context.WithValue(context.Background(), addressKey{}, address(strings.Join(args, "")))
	go func() { _ = p.server.Serve(ctx, far) }()
	go p.read(name, near)
	synctest.Wait() // it has its number
	return nil
}

func (p *serverPipes) read(name string, conn transport.Conn) {
	for {
		_, data, err := conn.Read(nil)
		if closed, ok := errors.AsType[*transport.CloseError](err); ok {
			p.tell(name, ended(closed.Code, closed.Reason)...)
		}
		if err != nil {
			return // without a CloseError: it closed the connection itself
		}
		p.tell(name, heard(data))
	}
}

func (p *serverPipes) tell(name string, events ...script.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends[name].events = append(p.ends[name].events, events...)
}

func (p *serverPipes) conn(name string) transport.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.ends[name]; e != nil {
		return e.conn
	}
	return nil
}

func (p *serverPipes) Send(name string, m script.Message) error {
	conn := p.conn(name)
	if conn == nil {
		return transport.ErrClosed
	}
	typ := transport.Text
	if m.Binary {
		typ = transport.Binary
	}
	// While the server asks its stores it does not read, and a pipe holds nothing.
	go func() { _ = conn.Write(typ, m.Data) }()
	synctest.Wait()
	return nil
}

func (p *serverPipes) Close(name string, code int) error {
	conn := p.conn(name)
	if conn == nil {
		return transport.ErrClosed
	}
	err := conn.Close(transport.StatusCode(code), "")
	synctest.Wait()
	return err
}

func (p *serverPipes) Wait(d time.Duration) error {
	time.Sleep(d)
	synctest.Wait()
	return nil
}

func (p *serverPipes) Next(name string, _ bool) (script.Event, bool) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.ends[name]
	if e == nil || len(e.events) == 0 {
		return script.Event{}, false
	}
	ev := e.events[0]
	e.events = e.events[1:]
	return ev, true
}

// end closes everything and checks that the server has forgotten it.
func (p *serverPipes) end(t *testing.T) {
	for _, e := range p.ends {
		if e.conn != nil {
			require.NoError(t, e.conn.Close(transport.StatusNormal, ""))
		}
	}
	synctest.Wait()
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
