package galene

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// In the scripts of the client the script is the server. Its peers, of any names, are the
// server's ends of the client's connections, one after the other; opening the first one is
// what Connect does, opening another one lets the client connect again.
//
// Two peers have no connection: what the application says is sent by the client, and it
// hears what Next returns; calls hears how the joins and the actions end that are answered.
const (
	theApplication = "app"
	theCalls       = "calls"
)

func TestClientScriptsOnTheMachine(t *testing.T) {
	script.OnMachine(t, script.Client(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		return newClientWire(readClientScene(t, s)), func(*testing.T) {}
	})
}

func TestClientScriptsOnTheDriver(t *testing.T) {
	script.OnDriver(t, script.Client(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		p := newClientPipes(readClientScene(t, s))
		return p, p.end
	})
}

// A clientScene is the config section of a script.
type clientScene struct {
	Versions []string
	Redial   bool
	Rejoin   json.RawMessage // the join that a new connection begins with
}

func readClientScene(t *testing.T, s *script.Script) (sc clientScene) {
	s.Config(t, &sc)
	return sc
}

func (sc clientScene) rejoin() *Join {
	if sc.Rejoin == nil {
		return nil
	}
	m, err := Decode(sc.Rejoin)
	if err != nil {
		panic(err)
	}
	return m.(*Join)
}

// countedIDs makes the ids c1, c2 and so on.
func countedIDs() func() string {
	n := 0
	return func() string {
		n++
		return fmt.Sprint("c", n)
	}
}

// clientEpoch is when the tests' clocks begin: when those of synctest do.
var clientEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// clientText is a message as the tests of the client show it.
func clientText(m Message) string {
	if _, ok := m.(*Reconnected); ok {
		return `{"type":"reconnected"}`
	}
	b, err := Encode(m)
	if err != nil {
		return name(m)
	}
	return string(b)
}

func heardByClient(m Message) script.Event {
	if u, ok := m.(*User); ok && u.Initial {
		return script.Event{Data: fmt.Appendf(nil, `{"initial":%s}`, clientText(m))}
	}
	return script.Event{Data: []byte(clientText(m))}
}

// clientNews is an event that has no message.
func clientNews(what, about string, err error) script.Event {
	if err == nil {
		return script.Event{Data: fmt.Appendf(nil, `{%q:%q}`, what, about)}
	}
	text := strings.TrimPrefix(err.Error(), "galene: connect: ")
	line, _ := json.Marshal(strings.TrimPrefix(text, "galene: "))
	return script.Event{Data: fmt.Appendf(nil, `{%q:%q,"error":%s}`, what, about, line)}
}

func clientEnd(err error) script.Event {
	if err == nil || link.Orderly(err) {
		return clientNews("ended", "in order", nil)
	}
	return clientNews("ended", "", err)
}

// hasReply reports whether a message of the application is a call.
func hasReply(m Message) bool {
	_, isJoin := m.(*Join)
	return isJoin || answerTo(m) != ""
}

// A clientWire is a machine with the codec around it: bytes in, bytes out. It is a target of
// scripts.
type clientWire struct {
	scene   clientScene
	machine *ClientMachine
	decode  func(typ transport.MessageType, data []byte) (Message, error)
	now     time.Time
	events  map[string][]script.Event
	peer    string // the server's present end; "" without a connection
	over    bool
}

func newClientWire(sc clientScene) *clientWire {
	return &clientWire{
		scene: sc, decode: decoder(DefaultMessageBytes, false), now: clientEpoch,
		machine: NewClientMachine(ClientConfig{Versions: sc.Versions, NewID: countedIDs()}),
		events:  make(map[string][]script.Event),
	}
}

func (w *clientWire) tell(peer string, e script.Event) { w.events[peer] = append(w.events[peer], e) }

func (w *clientWire) Open(peer string, args []string) error {
	if len(args) != 0 || w.peer != "" || w.over {
		return fmt.Errorf("cannot open %s", peer)
	}
	if peer == theApplication || peer == theCalls {
		return nil
	}
	w.peer = peer
	if join := w.scene.rejoin(); join != nil {
		w.machine.SetJoin(join)
	}
	w.apply(w.machine.Start(w.now))
	return nil
}

func (w *clientWire) Send(peer string, m script.Message) error {
	if peer == theApplication {
		return w.say(m.Data)
	}
	if w.peer != peer {
		return transport.ErrClosed
	}
	typ := transport.Text
	if m.Binary {
		typ = transport.Binary
	}
	msg, err := w.decode(typ, m.Data)
	if err != nil {
		w.apply(w.machine.Malformed(w.now, asDecodeError(err)))
		return nil
	}
	w.apply(w.machine.Receive(w.now, msg))
	return nil
}

// say sends a message of the application.
func (w *clientWire) say(data []byte) error {
	msg, err := Decode(data)
	if err != nil {
		return err
	}
	fx, err := w.machine.Send(w.now, msg)
	switch {
	case err == nil:
		w.apply(fx)
	case hasReply(msg):
		w.tell(theCalls, clientNews("done", msg.wireType(), err))
	default:
		w.tell(theApplication, clientNews("refused", msg.wireType(), err))
	}
	return nil
}

func (w *clientWire) Close(peer string, code int) error {
	if peer == theApplication {
		w.close(&CloseReason{Code: transport.StatusCode(code), Final: true})
		return nil
	}
	if w.peer != peer {
		return transport.ErrClosed
	}
	w.lose(&transport.CloseError{Code: transport.StatusCode(code)})
	return nil
}

func (w *clientWire) Wait(d time.Duration) error {
	until := w.now.Add(d)
	for {
		at, ok := w.machine.Deadline()
		if !ok || at.After(until) {
			break
		}
		if at.After(w.now) {
			w.now = at
		}
		w.apply(w.machine.Expire(w.now))
	}
	w.now = until
	return nil
}

func (w *clientWire) Next(peer string, _ bool) (script.Event, bool) {
	events := w.events[peer]
	if len(events) == 0 {
		return script.Event{}, false
	}
	w.events[peer] = events[1:]
	return events[0], true
}

// apply carries out effects, as the driver does.
func (w *clientWire) apply(fx Effects) {
	for _, m := range fx.Send {
		data, err := dialectOf(w.machine.Version()).Encode(m)
		if err != nil {
			panic(err)
		}
		w.tell(w.peer, script.Event{Data: data})
	}
	for _, m := range fx.Deliver {
		w.tell(theApplication, heardByClient(m))
	}
	for _, r := range fx.Done {
		w.tell(theCalls, clientNews("done", r.Request.wireType(), r.Err))
	}
	if fx.Close != nil && w.peer != "" {
		w.close(fx.Close)
	}
}

func (w *clientWire) close(c *CloseReason) {
	w.tell(w.peer, script.Event{Closed: int(c.Code)})
	w.peer, w.over = "", c.Final || !w.scene.Redial
	w.apply(w.machine.Lost(w.now))
	if w.over {
		w.tell(theApplication, clientEnd(c.Err))
	}
}

// lose ends the connection from the server's side.
func (w *clientWire) lose(cause error) {
	w.peer = ""
	fx := w.machine.Lost(w.now)
	w.apply(fx)
	if w.over = fx.Close != nil || !w.scene.Redial || !w.machine.ready; !w.over {
		return
	}
	switch {
	case fx.Close != nil:
		w.tell(theApplication, clientEnd(fx.Close.Err))
	case !w.machine.ready: // however orderly, it was too early
		w.tell(theApplication, clientNews("ended", "", cause))
	default:
		w.tell(theApplication, clientEnd(cause))
	}
}

// clientPipes is a client over pipes. It is a target of scripts.
type clientPipes struct {
	script.Ends
	scene clientScene
	dials chan transport.Conn
	ctx   context.Context
	stop  func()
	work  sync.WaitGroup

	mu     sync.Mutex
	opened bool
	client *Client
}

func newClientPipes(sc clientScene) *clientPipes {
	ctx, cancel := context.WithCancel(context.Background())
	return &clientPipes{scene: sc, dials: make(chan transport.Conn), ctx: ctx, stop: cancel}
}

func (p *clientPipes) Open(peer string, args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("cannot open %s", peer)
	}
	if peer == theApplication || peer == theCalls {
		p.Appear(peer)
		return nil
	}
	connect := func(_ context.Context, conn transport.Conn) error { p.dials <- conn; return nil }
	if !p.opened {
		p.opened = true
		connect = p.connect
	}
	p.Connect(peer, connect)
	return nil
}

// connect is the application.
func (p *clientPipes) connect(_ context.Context, conn transport.Conn) error {
	opts := &ClientOptions{Versions: p.scene.Versions, NewID: countedIDs()}
	if p.scene.Redial {
		opts.Redial = func(ctx context.Context) (transport.Conn, error) {
			select {
			case conn := <-p.dials:
				return conn, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if p.scene.Rejoin != nil {
			opts.Rejoin = func(context.Context, *Join) (*Join, error) { return p.scene.rejoin(), nil }
		}
	}
	c, err := Connect(p.ctx, conn, opts)
	if err != nil {
		p.Tell(theApplication, clientNews("ended", "", err))
		return err
	}
	p.mu.Lock()
	p.client = c
	p.mu.Unlock()
	for {
		m, err := c.Next(p.ctx)
		if err != nil {
			p.Tell(theApplication, clientEnd(err))
			return err
		}
		p.Tell(theApplication, heardByClient(m))
	}
}

func (p *clientPipes) connected() *Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

func (p *clientPipes) Send(peer string, m script.Message) error {
	if peer != theApplication {
		return p.Ends.Send(peer, m)
	}
	msg, err := Decode(m.Data)
	if err != nil {
		return err
	}
	c := p.connected()
	if hasReply(msg) {
		p.work.Go(func() {
			_, err := c.call(p.ctx, msg)
			p.Tell(theCalls, clientNews("done", msg.wireType(), err))
		})
		synctest.Wait()
		return nil
	}
	if err := c.Send(msg); err != nil {
		p.Tell(theApplication, clientNews("refused", msg.wireType(), err))
	}
	return nil
}

func (p *clientPipes) Close(peer string, code int) error {
	if peer != theApplication {
		return p.Ends.Close(peer, code)
	}
	c := p.connected()
	if c == nil {
		return errors.New("there is no client yet")
	}
	return c.Close()
}

// end closes the client and demands that it has forgotten everything.
func (p *clientPipes) end(t *testing.T) {
	synctest.Wait()
	if c := p.connected(); c != nil {
		require.NoError(t, c.Close())
		p.work.Wait()
		require.Zero(t, c.calls.Len())
		requireClientForgets(t, c.machine)
	}
	p.stop()
}

// requireClientForgets demands that nothing of a connection that has ended is left.
func requireClientForgets(t testing.TB, m *ClientMachine) {
	t.Helper()
	require.Contains(t, []ClientState{ClientIdle, ClientClosed}, m.State())
	require.Empty(t, m.Group())
	require.Empty(t, m.Username())
	require.Empty(t, m.Permissions())
	require.Nil(t, m.Status())
	require.Empty(t, m.Data())
	require.Empty(t, m.Users())
	require.Empty(t, m.up)
	require.Empty(t, m.down)
	require.Empty(t, m.ended)
	require.Empty(t, m.pending)
	require.Nil(t, m.joining)
	_, due := m.Deadline()
	require.False(t, due, "a deadline for nothing")
}
