package script

import (
	"context"
	"errors"
	"sync"
	"testing/synctest"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// Ends are raw ends of pipes to a server, inside a bubble of synctest: a [Target], but
// for its Open, which a protocol adds. The zero value is ready.
type Ends struct {
	mu   sync.Mutex
	ends map[string]*end
}

type end struct {
	conn   transport.Conn // nil for a peer without a connection
	events []Event
}

// Connect gives a peer a connection, whose other end serve gets in a goroutine of its
// own.
func (e *Ends) Connect(peer string, serve func(ctx context.Context, conn transport.Conn) error) {
	near, far := transport.Pipe()
	e.add(peer, near)
	go func() { _ = serve(context.Background(), far) }()
	go e.read(peer, near)
}

// Appear brings a peer without a connection into being, such as the application: what
// happens to it is told by [Ends.Tell].
func (e *Ends) Appear(peer string) { e.add(peer, nil) }

func (e *Ends) add(peer string, conn transport.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ends == nil {
		e.ends = make(map[string]*end)
	}
	e.ends[peer] = &end{conn: conn}
}

// Tell adds what happens to a peer. One that is not there does not hear it.
func (e *Ends) Tell(peer string, ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.ends[peer]; p != nil {
		p.events = append(p.events, ev)
	}
}

func (e *Ends) read(peer string, conn transport.Conn) {
	for {
		_, data, err := conn.Read(nil)
		if closed, ok := errors.AsType[*transport.CloseError](err); ok {
			e.Tell(peer, Event{Closed: int(closed.Code)})
		}
		if err != nil {
			return // without a CloseError: it closed the connection itself
		}
		e.Tell(peer, Event{Data: data})
	}
}

func (e *Ends) conn(peer string) transport.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.ends[peer]; p != nil {
		return p.conn
	}
	return nil
}

// Send implements [Target].
func (e *Ends) Send(peer string, m Message) error {
	conn := e.conn(peer)
	if conn == nil {
		return transport.ErrClosed
	}
	typ := transport.Text
	if m.Binary {
		typ = transport.Binary
	}
	return conn.Write(typ, m.Data)
}

// Close implements [Target].
func (e *Ends) Close(peer string, code int) error {
	conn := e.conn(peer)
	if conn == nil {
		return transport.ErrClosed
	}
	return conn.Close(transport.StatusCode(code), "")
}

// Wait implements [Target].
func (e *Ends) Wait(d time.Duration) error {
	time.Sleep(d)
	return nil
}

// Next implements [Target].
func (e *Ends) Next(peer string, _ bool) (Event, bool) {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.ends[peer]
	if p == nil || len(p.events) == 0 {
		return Event{}, false
	}
	ev := p.events[0]
	p.events = p.events[1:]
	return ev, true
}
