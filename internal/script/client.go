package script

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
	"github.com/rtcsignal/rtcsignal/transport"
)

// In the scripts of a client the script is the server. Its peers, of any names, are the
// server's ends of the client's connections, one after the other; opening the first one is
// what Connect does, opening another one lets the client connect again.
//
// Two peers have no connection. What the application says is sent by the client, and it
// hears what Next returns; "close" of it closes the client. Calls hears how the messages end
// that are answered. A protocol may add others.
const (
	App   = "app"
	Calls = "calls"
)

// A Speech is what scripts of a client must know of the messages of its protocol.
type Speech[M any] struct {
	Name   string                          // begins the texts of the package's errors
	Decode func(data []byte) (M, error)    // what the application says
	Heard  func(m M) Event                 // what the application hears
	Type   func(m M) string                // what the news call a message
	Asks   func(m M) bool                  // whether a message that the client sends is answered
	Extras map[string]func() (Event, bool) // other peers without a connection, by name
}

// aside reports whether a peer has no connection.
func (s *Speech[M]) aside(peer string) bool {
	return peer == App || peer == Calls || s.Extras[peer] != nil
}

// news is an event that has no message.
func (s *Speech[M]) news(what, about string, err error) Event {
	if err == nil {
		return Event{Data: fmt.Appendf(nil, `{%q:%q}`, what, about)}
	}
	text := strings.TrimPrefix(err.Error(), s.Name+": connect: ")
	line, _ := json.Marshal(strings.TrimPrefix(text, s.Name+": "))
	return Event{Data: fmt.Appendf(nil, `{%q:%q,"error":%s}`, what, about, line)}
}

// end is the end of a client.
func (s *Speech[M]) end(err error) Event {
	if err == nil || link.Orderly(err) {
		return s.news("ended", "in order", nil)
	}
	return s.news("ended", "", err)
}

// refused is a message that the client does not send.
func (s *Speech[M]) refused(m M, err error) (peer string, e Event) {
	if s.Asks(m) {
		return Calls, s.news("done", s.Type(m), err)
	}
	return App, s.news("refused", s.Type(m), err)
}

// ClientEffects are the effects of a step of a client's machine.
type ClientEffects[M any] struct {
	Send, Deliver []M
	Done          []ClientReply[M]
	Close         *ClientClose
}

// A ClientReply is what became of a message that is answered.
type ClientReply[M any] struct {
	Request M
	Err     error
}

// A ClientClose says how the machine closes its connection.
type ClientClose struct {
	Code   transport.StatusCode
	Reason string
	Err    error // of the client; nil for an orderly end
	Final  bool  // it does not connect again
}

// A ClientMachine is a client's machine.
type ClientMachine[M, E any] interface {
	Machine[E]
	Start(now time.Time) E
	Receive(now time.Time, m M) E
	Send(now time.Time, m M) (E, error)
	Lost(now time.Time) E
}

// A ClientWire is a client's machine with the codec around it, inside a bubble of synctest: a
// [Target]. The exported fields are set before the first peer comes.
type ClientWire[M, E any] struct {
	Speech[M]
	Machine  ClientMachine[M, E]
	Effects  func(E) ClientEffects[M]
	Redial   bool
	Opens    func()                           // before each connection; may be nil
	Ready    func() bool                      // whether Connect would return now
	Received func(now time.Time, m Message) E // what the client does with what the server sends
	Encode   func(m M) []Event                // what the server hears
	Quit     func(now time.Time, code int) E  // closes the client

	events map[string][]Event
	peer   string // the server's present end; "" without a connection
	ready  bool   // once
	over   bool
}

func (w *ClientWire[M, E]) tell(peer string, events ...Event) {
	if w.events == nil {
		w.events = make(map[string][]Event)
	}
	w.events[peer] = append(w.events[peer], events...)
}

// Open implements [Target].
func (w *ClientWire[M, E]) Open(peer string, args []string) error {
	if len(args) != 0 || !w.aside(peer) && (w.peer != "" || w.over) {
		return fmt.Errorf("cannot open %s", peer)
	}
	if w.aside(peer) {
		return nil
	}
	w.peer = peer
	if w.Opens != nil {
		w.Opens()
	}
	w.apply(w.Machine.Start(time.Now()))
	return nil
}

// Send implements [Target].
func (w *ClientWire[M, E]) Send(peer string, m Message) error {
	if peer == App {
		return w.say(m.Data)
	}
	if w.peer != peer {
		return transport.ErrClosed
	}
	w.apply(w.Received(time.Now(), m))
	return nil
}

// say sends a message of the application.
func (w *ClientWire[M, E]) say(data []byte) error {
	m, err := w.Decode(data)
	if err != nil {
		return err
	}
	fx, err := w.Machine.Send(time.Now(), m)
	if err != nil {
		w.tell(w.refused(m, err))
		return nil
	}
	w.apply(fx)
	return nil
}

// Close implements [Target].
func (w *ClientWire[M, E]) Close(peer string, code int) error {
	if peer == App {
		w.apply(w.Quit(time.Now(), code))
		return nil
	}
	if w.peer != peer {
		return transport.ErrClosed
	}
	w.lose(&transport.CloseError{Code: transport.StatusCode(code)})
	return nil
}

// Wait implements [Target].
func (w *ClientWire[M, E]) Wait(d time.Duration) error {
	Elapse(d, w.Machine, w.apply)
	return nil
}

// Next implements [Target].
func (w *ClientWire[M, E]) Next(peer string, _ bool) (Event, bool) {
	if extra := w.Extras[peer]; extra != nil {
		return extra()
	}
	events := w.events[peer]
	if len(events) == 0 {
		return Event{}, false
	}
	w.events[peer] = events[1:]
	return events[0], true
}

// apply carries out effects, as the driver does.
func (w *ClientWire[M, E]) apply(effects E) { w.carryOut(w.Effects(effects)) }

func (w *ClientWire[M, E]) carryOut(fx ClientEffects[M]) {
	for _, m := range fx.Send {
		w.tell(w.peer, w.Encode(m)...)
	}
	for _, m := range fx.Deliver {
		w.tell(App, w.Heard(m))
	}
	for _, r := range fx.Done {
		w.tell(Calls, w.news("done", w.Type(r.Request), r.Err))
	}
	w.ready = w.ready || w.Ready()
	if c := fx.Close; c != nil && w.peer != "" {
		w.tell(w.peer, Event{Closed: int(c.Code)})
		w.peer, w.over = "", c.Final || !w.Redial || !w.ready
		w.apply(w.Machine.Lost(time.Now()))
		if w.over {
			w.tell(App, w.end(c.Err))
		}
	}
}

// lose ends the connection from the server's side.
func (w *ClientWire[M, E]) lose(cause error) {
	w.peer = ""
	fx := w.Effects(w.Machine.Lost(time.Now()))
	w.carryOut(fx)
	w.over = fx.Close != nil || !w.Redial || !w.ready
	switch {
	case !w.over:
	case fx.Close != nil:
		w.tell(App, w.end(fx.Close.Err))
	case !w.ready: // however orderly, it was too early
		w.tell(App, w.news("ended", "", cause))
	default:
		w.tell(App, w.end(cause))
	}
}

// A Caller is a client as its application sees it.
type Caller[M any] interface {
	comparable
	Next(ctx context.Context) (M, error)
	Send(m M) error
	Close() error
}

// A Redial gives a client another connection.
type Redial = func(context.Context) (transport.Conn, error)

// ClientPipes are a client over pipes, inside a bubble of synctest: a [Target]. The exported
// fields are set before the first peer comes, and those of [Ends].
type ClientPipes[M any, C Caller[M]] struct {
	Ends
	Speech[M]
	Redials bool
	// Dial connects the client. again, which is nil without Redials, gets it another
	// connection.
	Dial func(ctx context.Context, conn transport.Conn, again Redial) (C, error)
	Wrap func(conn transport.Conn) transport.Conn  // makes the client's ends of connections; may be nil
	Call func(ctx context.Context, c C, m M) error // sends a message that is answered

	start  sync.Once
	dials  chan transport.Conn
	ctx    context.Context
	stop   func()
	work   sync.WaitGroup
	opened bool

	mu     sync.Mutex
	client C
}

// Open implements [Target].
func (p *ClientPipes[M, C]) Open(peer string, args []string) error {
	p.start.Do(func() {
		p.dials = make(chan transport.Conn)
		p.ctx, p.stop = context.WithCancel(context.Background())
	})
	if len(args) != 0 {
		return fmt.Errorf("cannot open %s", peer)
	}
	if p.aside(peer) {
		p.Appear(peer)
		return nil
	}
	use := p.run
	if p.opened {
		use = func(conn transport.Conn) error { p.dials <- conn; return nil }
	}
	p.opened = true
	p.Connect(peer, func(_ context.Context, conn transport.Conn) error {
		if p.Wrap != nil {
			conn = p.Wrap(conn)
		}
		return use(conn)
	})
	return nil
}

// run is the application.
func (p *ClientPipes[M, C]) run(conn transport.Conn) error {
	var again Redial
	if p.Redials {
		again = func(ctx context.Context) (transport.Conn, error) {
			select {
			case conn := <-p.dials:
				return conn, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	c, err := p.Dial(p.ctx, conn, again)
	if err != nil {
		p.Tell(App, p.news("ended", "", err))
		return err
	}
	p.mu.Lock()
	p.client = c
	p.mu.Unlock()
	for {
		m, err := c.Next(p.ctx)
		if err != nil {
			p.Tell(App, p.end(err))
			return err
		}
		p.Tell(App, p.Heard(m))
	}
}

// Client returns the client, once it is connected.
func (p *ClientPipes[M, C]) Client() (c C, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client, p.client != c
}

// Send implements [Target].
func (p *ClientPipes[M, C]) Send(peer string, m Message) error {
	if peer != App {
		return p.Ends.Send(peer, m)
	}
	msg, err := p.Decode(m.Data)
	if err != nil {
		return err
	}
	c, ok := p.Client()
	if !ok {
		return errNoClient
	}
	if p.Asks(msg) {
		p.work.Go(func() { p.Tell(Calls, p.news("done", p.Type(msg), p.Call(p.ctx, c, msg))) })
		synctest.Wait()
	} else if err := c.Send(msg); err != nil {
		p.Tell(App, p.news("refused", p.Type(msg), err))
	}
	return nil
}

var errNoClient = errors.New("there is no client yet")

// Close implements [Target].
func (p *ClientPipes[M, C]) Close(peer string, code int) error {
	if peer != App {
		return p.Ends.Close(peer, code)
	}
	c, ok := p.Client()
	if !ok {
		return errNoClient
	}
	return c.Close()
}

// Next implements [Target].
func (p *ClientPipes[M, C]) Next(peer string, expected bool) (Event, bool) {
	if extra := p.Extras[peer]; extra != nil {
		synctest.Wait()
		return extra()
	}
	return p.Ends.Next(peer, expected)
}

// Finish closes the client and then lets forgotten check that it knows nothing any more.
func (p *ClientPipes[M, C]) Finish(t *testing.T, forgotten func(c C)) {
	synctest.Wait()
	if c, ok := p.Client(); ok {
		require.NoError(t, c.Close())
		p.work.Wait()
		forgotten(c)
	}
	p.stop()
}
