package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A cut says where a connection ends, and how.
type cut struct {
	message int  // counted from 0, in both directions
	before  bool // the message is lost, too
	how     string
}

func (c cut) String() string {
	when := "after"
	if c.before {
		when = "before"
	}
	return fmt.Sprintf("%s %s message %d", c.how, when, c.message)
}

// ways are how a connection ends without a word.
var ways = map[string]func(client *wire){
	"reset":            func(c *wire) { c.reset() },
	"closed by client": func(c *wire) { _ = c.Close() },
	"closed by server": func(c *wire) { _ = c.peer.Close() },
}

// A strand is what a client has of the network, which may be several connections.
type strand struct {
	mu    sync.Mutex
	wires []*wire
	torn  func(client *wire) // what happens to each new one; nil while there is none
}

func (s *strand) add(client *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.torn != nil {
		s.torn(client)
	}
	s.wires = append(s.wires, client)
}

// tear ends all connections, and those that come.
func (s *strand) tear(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn = ways[how]
	for _, c := range s.wires {
		s.torn(c)
	}
	s.wires = nil
}

// mend lets connections be.
func (s *strand) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn = nil
}

// A scissors is a client's connection that counts its messages and may be cut. The network is
// whole again once the client has noticed.
type scissors struct {
	transport.Conn
	strand *strand
	cut    *cut // nil never

	mu    sync.Mutex
	count int
	done  bool
}

// next counts a message and reports whether that is where the cut is.
func (s *scissors) next() (here bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	here = s.cut != nil && s.count == s.cut.message
	s.count++
	s.done = s.done || here
	return here
}

func (s *scissors) Read(buf []byte) (transport.MessageType, []byte, error) {
	typ, msg, err := s.Conn.Read(buf)
	if err != nil {
		return typ, msg, err
	}
	if s.next() {
		s.strand.tear(s.cut.how)
		if s.cut.before {
			return s.Conn.Read(msg)
		}
	}
	return typ, msg, nil
}

func (s *scissors) Write(typ transport.MessageType, msg []byte) error {
	here := s.next()
	if here && s.cut.before {
		s.strand.tear(s.cut.how)
	}
	err := s.Conn.Write(typ, msg)
	if here && !s.cut.before {
		s.strand.tear(s.cut.how)
	}
	return err
}

func (s *scissors) Close(code transport.StatusCode, reason string) error {
	err := s.Conn.Close(code, reason)
	s.strand.mend()
	return err
}

// Unwrap is for what a server or a client looks for in a carrier.
func (s *scissors) Unwrap() transport.Conn { return s.Conn }

func (s *scissors) state() (count int, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.done
}

// scissored returns a visit of a guest whose first connection is cut, if c is not nil.
func (w *world) scissored(c *cut, comeback bool) (visit, func() *scissors) {
	var first *scissors
	strand := new(strand)
	wrap := func(conn transport.Conn) transport.Conn {
		if first != nil {
			return conn
		}
		first = &scissors{Conn: conn, strand: strand, cut: c}
		return first
	}
	return visit{name: "guest", comeback: comeback, wrap: wrap, tap: strand.add}, func() *scissors { return first }
}

// requireMissed demands that the host has been told of the end of everybody whom it heard.
func (p *protocol) requireMissed(t *testing.T, heard []occurrence, where any) {
	t.Helper()
	gone := make(map[string]bool)
	for _, o := range heard {
		if o.kind == left {
			gone[o.who] = true
		}
	}
	for _, o := range heard {
		if p.presence && o.kind == said {
			require.True(t, gone[o.who], "%v: the host still sees who said %q", where, o.text)
		}
	}
}

// cuts are all that there are in a flow of so many messages.
func cuts(messages int) (all []cut) {
	for how := range ways {
		for i := range messages {
			all = append(all, cut{i, false, how}, cut{i, true, how})
		}
	}
	return all
}

func TestAClientWhoseConnectionIsCutSaysSoAndIsMissed(t *testing.T) {
	t.Parallel()
	eachOf(t, carried, func(t *testing.T, p *protocol) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, p, settings{})
			host := w.host()
			v, of := w.scissored(nil, false)
			guest := w.enter(v)
			require.NoError(t, guest.roundTrip(t.Context(), "hello"))
			synctest.Wait() // acknowledgements may come last
			messages, _ := of().state()
			guest.end()
			w.requireAlone()
			host.take()
			require.Greater(t, messages, 2)
			for _, c := range cuts(messages) {
				v, of := w.scissored(&c, false)
				guest, err := w.try(v)
				if err == nil {
					err = guest.roundTrip(t.Context(), c.String())
					synctest.Wait()
					if _, cut := of().state(); cut {
						<-guest.done
						err = guest.err()
					}
					guest.end()
				}
				_, cut := of().state()
				require.True(t, cut, "%v did not happen", c)
				require.Error(t, err, c)
				if closed, ok := errors.AsType[*transport.CloseError](err); ok {
					require.Equal(t, transport.StatusAbnormal, closed.Code, c)
				} else {
					require.ErrorIs(t, err, p.lost, c)
				}
				w.requireAlone()
				p.requireMissed(t, host.take(), c)
			}
			require.NoError(t, host.err())
			host.end()
			w.stop()
			w.requireEmpty()
			t.Logf("%d cuts", len(cuts(messages)))
		})
	})
}

// persist says something until it is answered: it may be lost with the connection, or come
// while there is none.
func (p *party) persist(ctx context.Context, text string) (err error) {
	for attempt := range 10 {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		err = p.roundTrip(try, fmt.Sprint(text, ", attempt ", attempt))
		cancel()
		if err == nil {
			return nil
		}
		time.Sleep(time.Second)
	}
	return err
}

func TestAClientWhoseConnectionIsCutComesBack(t *testing.T) {
	t.Parallel()
	eachOf(t, carried, func(t *testing.T, p *protocol) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, p, settings{})
			host := w.host()
			v, of := w.scissored(nil, true)
			guest := w.enter(v)
			synctest.Wait()
			entered, _ := of().state()
			require.NoError(t, guest.roundTrip(t.Context(), "hello"))
			synctest.Wait() // acknowledgements may come last
			messages, _ := of().state()
			guest.end()
			w.requireAlone()
			host.take()
			for _, c := range cuts(messages) {
				v, of := w.scissored(&c, true)
				guest, err := w.try(v)
				if err != nil {
					require.Less(t, c.message, entered, "%v: %v", c, err)
					continue
				}
				require.NoError(t, guest.persist(t.Context(), c.String()), c)
				synctest.Wait()
				_, cut := of().state()
				require.True(t, cut, c)
				require.NoError(t, guest.persist(t.Context(), "after "+c.String()), c)
				w.requireLeft(2)
				guest.end()
				require.NoError(t, guest.err(), c)
				w.requireAlone()
				p.requireMissed(t, host.take(), c)
			}
			host.end()
			w.stop()
			w.requireEmpty()
		})
	})
}
