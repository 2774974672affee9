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
// for its Open, which a protocol adds. The zero value is ready. The functions are set
// before the first peer comes; nil stands for what it says.
type Ends struct {
	// Say makes what is sent of what the script has: itself.
	Say func(m Message) Message
	// Hear makes what the script has of what is received: itself.
	Hear func(data []byte, binary bool) Event
	// End makes what the script has of the end of a connection: its code.
	End func(c *transport.CloseError) []Event

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
	e.Appear(peer)
	e.attach(peer, near)
	go func() { _ = serve(context.Background(), far) }()
	go e.read(peer, near)
}

// Appear brings a peer without a connection into being, such as the application: what
// happens to it is told by [Ends.Tell].
func (e *Ends) Appear(peer string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ends == nil {
		e.ends = make(map[string]*end)
	}
	p := new(end)
	if old := e.ends[peer]; old != nil {
		p.events = old.events
	}
	e.ends[peer] = p
}

// Attach gives a peer that has appeared a connection and reads from it until its end. It
// reports false at once when there is no such peer.
func (e *Ends) Attach(peer string, conn transport.Conn) bool {
	if !e.attach(peer, conn) {
		return false
	}
	e.read(peer, conn)
	return true
}

func (e *Ends) attach(peer string, conn transport.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.ends[peer]
	if p != nil {
		p.conn = conn
	}
	return p != nil
}

// Tell adds what happens to a peer. One that is not there does not hear it.
func (e *Ends) Tell(peer string, events ...Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.ends[peer]; p != nil {
		p.events = append(p.events, events...)
	}
}

func (e *Ends) read(peer string, conn transport.Conn) {
	for {
		typ, data, err := conn.Read(nil)
		if closed, ok := errors.AsType[*transport.CloseError](err); ok {
			if e.End != nil {
				e.Tell(peer, e.End(closed)...)
			} else {
				e.Tell(peer, Event{Closed: int(closed.Code)})
			}
		}
		if err != nil {
			return // without a CloseError: it closed the connection itself
		}
		ev := Event{Data: data}
		if e.Hear != nil {
			ev = e.Hear(data, typ == transport.Binary)
		}
		e.Tell(peer, ev)
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

// Send implements [Target]. It does not wait for a server that reads nothing for now, such
// as one that asks its application.
func (e *Ends) Send(peer string, m Message) error {
	conn := e.conn(peer)
	if conn == nil {
		return transport.ErrClosed
	}
	if e.Say != nil {
		m = e.Say(m)
	}
	result := make(chan error, 1)
	go func() { result <- conn.Write(m.Type(), m.Data) }()
	synctest.Wait()
	select {
	case err := <-result:
		return err
	default:
		return nil
	}
}

// Close implements [Target].
func (e *Ends) Close(peer string, code int) error {
	conn := e.conn(peer)
	if conn == nil {
		return transport.ErrClosed
	}
	err := conn.Close(transport.StatusCode(code), "")
	synctest.Wait()
	return err
}

// CloseAll closes all connections in order. Some may have ended before, which is an error of
// each of them.
func (e *Ends) CloseAll() error {
	e.mu.Lock()
	var conns []transport.Conn
	for _, p := range e.ends {
		if p.conn != nil {
			conns = append(conns, p.conn)
		}
	}
	e.mu.Unlock()
	var errs []error
	for _, conn := range conns {
		errs = append(errs, conn.Close(transport.StatusNormal, ""))
	}
	synctest.Wait()
	return errors.Join(errs...)
}

// Wait implements [Target].
func (e *Ends) Wait(d time.Duration) error {
	time.Sleep(d)
	synctest.Wait()
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
