package easyrtc

import (
	"bytes"
	"cmp"
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
// Three peers have no connection: what the application says is sent by the client, and it
// hears what Next returns; calls hears how the messages end that are acknowledged, and rooms
// what the client knows of its rooms whenever that has changed.
const (
	clientsApplication = "app"
	clientsCalls       = "calls"
	clientsRooms       = "rooms"
)

func isNoServer(peer string) bool {
	return peer == clientsApplication || peer == clientsCalls || peer == clientsRooms
}

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
	Redial   bool
	EngineIO int
	Relogin  json.RawMessage // the msgData that a new connection logs in with
	Pending  int
}

func readClientScene(t *testing.T, s *script.Script) (sc clientScene) {
	s.Config(t, &sc)
	return sc
}

func (sc clientScene) relogin() *Authenticate {
	if sc.Relogin == nil {
		return nil
	}
	return loginOf(string(sc.Relogin))
}

// loginOf returns the message of a login.
func loginOf(data string) *Authenticate {
	m, err := Decode([]byte(`2["easyrtcAuth",{"msgType":"authenticate","msgData":` + data + `}]`))
	if err != nil {
		panic(err)
	}
	return m.(*Authenticate)
}

// clientDawn is when the tests' clocks begin: when those of synctest do.
var clientDawn = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// clientText is a message as the tests of the client show it.
func clientText(m Message) string {
	if _, ok := m.(*Reconnected); ok {
		return `"reconnected"`
	}
	b, err := Encode(m)
	if err != nil {
		return fmt.Sprintf("%T", m)
	}
	return string(b)
}

func heardByClient(m Message) script.Event { return packetEvent([]byte(clientText(m))) }

// clientNews is an event that has no message.
func clientNews(what, about string, err error) script.Event {
	if err == nil {
		return script.Event{Data: fmt.Appendf(nil, `{%q:%q}`, what, about)}
	}
	text := strings.TrimPrefix(err.Error(), "easyrtc: connect: ")
	line, _ := json.Marshal(strings.TrimPrefix(text, "easyrtc: "))
	return script.Event{Data: fmt.Appendf(nil, `{%q:%q,"error":%s}`, what, about, line)}
}

func clientEnd(err error) script.Event {
	if err == nil || link.Orderly(err) {
		return clientNews("ended", "in order", nil)
	}
	return clientNews("ended", "", err)
}

// clientRooms is what a client knows of its rooms.
func clientRooms(rooms map[string]*Room) string {
	b, err := Encode(&RoomData{MsgData: &RoomDataData{RoomData: rooms}})
	if err != nil {
		panic(err)
	}
	_, b, _ = bytes.Cut(b, []byte(`"roomData":`))
	return string(bytes.TrimSuffix(b, []byte("}}]")))
}

// hasReply reports whether a message of the application waits for an acknowledgement.
func hasReply(m Message) bool {
	p := m.packet()
	return p != nil && !p.Ack
}

// A clientWire is a machine with the codec around it: packets in, packets out. It is a
// target of scripts.
type clientWire struct {
	scene   clientScene
	machine *ClientMachine
	decoder *Decoder
	now     time.Time
	events  map[string][]script.Event
	rooms   string // that have been told
	peer    string // the server's present end; "" without a connection
	opened  bool   // once
	over    bool
}

func newClientWire(sc clientScene) *clientWire {
	return &clientWire{
		scene: sc, now: clientDawn, rooms: "null", events: make(map[string][]script.Event),
		machine: NewClientMachine(ClientConfig{EngineIO: sc.EngineIO, Pending: sc.Pending}),
	}
}

func (w *clientWire) tell(peer string, e script.Event) { w.events[peer] = append(w.events[peer], e) }

func (w *clientWire) Open(peer string, args []string) error {
	if isNoServer(peer) {
		return nil
	}
	if len(args) != 0 || w.peer != "" || w.over {
		return fmt.Errorf("cannot open %s", peer)
	}
	w.peer, w.decoder = peer, &Decoder{Limit: 2 * DefaultMessageBytes}
	if login := w.scene.relogin(); login != nil {
		w.machine.SetLogin(login)
	}
	w.apply(w.machine.Start(w.now))
	return nil
}

func (w *clientWire) Send(peer string, m script.Message) error {
	m = sentPacket(m)
	if peer == clientsApplication {
		return w.say(m.Data)
	}
	if w.peer != peer {
		return transport.ErrClosed
	}
	typ := transport.Text
	if m.Binary {
		typ = transport.Binary
	}
	switch msg, err := w.decoder.Decode(typ, m.Data); {
	case err != nil:
		w.apply(w.machine.Malformed(w.now, asDecodeError(err)))
	case msg != nil:
		w.apply(w.machine.Receive(w.now, msg))
	}
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
		w.tell(clientsCalls, clientNews("done", msg.wireType(), err))
	default:
		w.tell(clientsApplication, clientNews("refused", msg.wireType(), err))
	}
	return nil
}

func (w *clientWire) Close(peer string, code int) error {
	if peer == clientsApplication {
		w.apply(w.machine.Close(w.now))
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
	if peer == clientsRooms {
		return newRooms(&w.rooms, w.machine.Rooms())
	}
	events := w.events[peer]
	if len(events) == 0 {
		return script.Event{}, false
	}
	w.events[peer] = events[1:]
	return events[0], true
}

// newRooms tells what a client knows of its rooms if it is something else than last time.
func newRooms(last *string, rooms map[string]*Room) (script.Event, bool) {
	text := clientRooms(rooms)
	if text == "{}" {
		text = "null"
	}
	if text == *last {
		return script.Event{}, false
	}
	*last = text
	return script.Event{Data: []byte(text)}, true
}

// apply carries out effects, as the driver does.
func (w *clientWire) apply(fx Effects) {
	for _, m := range fx.Send {
		data, err := Encode(m)
		if err != nil {
			panic(err)
		}
		w.tell(w.peer, packetEvent(data))
		for _, a := range attachments(m) {
			w.tell(w.peer, packetEvent(a))
		}
	}
	for _, m := range fx.Deliver {
		w.tell(clientsApplication, heardByClient(m))
	}
	for _, r := range fx.Done {
		w.tell(clientsCalls, clientNews("done", r.Request.wireType(), r.Err))
	}
	w.opened = w.opened || w.machine.Ready()
	if fx.Close != nil && w.peer != "" {
		w.close(fx.Close)
	}
}

func (w *clientWire) close(c *CloseReason) {
	w.tell(w.peer, script.Event{Closed: int(c.Code)})
	w.peer, w.over = "", c.Final || !w.scene.Redial || !w.opened
	w.apply(w.machine.Lost(w.now))
	if w.over {
		w.tell(clientsApplication, clientEnd(c.Err))
	}
}

// lose ends the connection from the server's side.
func (w *clientWire) lose(cause error) {
	w.peer = ""
	w.apply(w.machine.Lost(w.now))
	switch w.over = !w.scene.Redial || !w.opened; {
	case !w.over:
	case !w.opened: // however orderly, it was too early
		w.tell(clientsApplication, clientNews("ended", "", cause))
	default:
		w.tell(clientsApplication, clientEnd(cause))
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
	rooms string

	mu     sync.Mutex
	opened bool
	client *Client
}

func newClientPipes(sc clientScene) *clientPipes {
	ctx, cancel := context.WithCancel(context.Background())
	return &clientPipes{scene: sc, dials: make(chan transport.Conn), ctx: ctx, stop: cancel, rooms: "null"}
}

func (p *clientPipes) Open(peer string, args []string) error {
	if isNoServer(peer) {
		p.Appear(peer)
		return nil
	}
	if len(args) != 0 {
		return fmt.Errorf("cannot open %s", peer)
	}
	connect := func(_ context.Context, conn transport.Conn) error { p.dials <- conn; return nil }
	if !p.opened {
		p.opened = true
		connect = p.connect
	}
	p.Connect(peer, func(ctx context.Context, conn transport.Conn) error {
		return connect(ctx, versioned{conn, cmp.Or(p.scene.EngineIO, 4)})
	})
	return nil
}

// connect is the application.
func (p *clientPipes) connect(_ context.Context, conn transport.Conn) error {
	opts := &ClientOptions{Pending: p.scene.Pending}
	if p.scene.Redial {
		opts.Redial = func(ctx context.Context) (transport.Conn, error) {
			select {
			case conn := <-p.dials:
				return conn, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if p.scene.Relogin != nil {
			opts.Relogin = func(context.Context, *Authenticate) (*Authenticate, error) { return p.scene.relogin(), nil }
		}
	}
	c, err := Connect(p.ctx, conn, opts)
	if err != nil {
		p.Tell(clientsApplication, clientNews("ended", "", err))
		return err
	}
	p.mu.Lock()
	p.client = c
	p.mu.Unlock()
	for {
		m, err := c.Next(p.ctx)
		if err != nil {
			p.Tell(clientsApplication, clientEnd(err))
			return err
		}
		p.Tell(clientsApplication, heardByClient(m))
	}
}

func (p *clientPipes) connected() *Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

func (p *clientPipes) Send(peer string, m script.Message) error {
	m = sentPacket(m)
	if peer != clientsApplication {
		return p.Ends.Send(peer, m)
	}
	msg, err := Decode(m.Data)
	if err != nil {
		return err
	}
	c := p.connected()
	if hasReply(msg) {
		p.work.Go(func() {
			_, err := c.Call(p.ctx, msg)
			p.Tell(clientsCalls, clientNews("done", msg.wireType(), err))
		})
		synctest.Wait()
		return nil
	}
	if err := c.Send(msg); err != nil {
		p.Tell(clientsApplication, clientNews("refused", msg.wireType(), err))
	}
	return nil
}

func (p *clientPipes) Close(peer string, code int) error {
	if peer != clientsApplication {
		return p.Ends.Close(peer, code)
	}
	c := p.connected()
	if c == nil {
		return errors.New("there is no client yet")
	}
	return c.Close()
}

func (p *clientPipes) Next(peer string, expected bool) (script.Event, bool) {
	if peer == clientsRooms {
		synctest.Wait()
		if c := p.connected(); c != nil {
			return newRooms(&p.rooms, c.Rooms())
		}
		return script.Event{}, false
	}
	e, ok := p.Ends.Next(peer, expected)
	if ok && e.Closed == 0 && !isNoServer(peer) {
		e = packetEvent(e.Data)
	}
	return e, ok
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
	require.Empty(t, m.Rooms())
	require.Empty(t, m.pending)
	_, due := m.Deadline()
	require.False(t, due, "a deadline for nothing")
}
