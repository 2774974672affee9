package faults

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// laneBytes is how much a lane holds that its reader has not taken, as the buffers of a
// kernel do.
const laneBytes = 64 << 10

// A lane is one direction of a connection in memory. It keeps the order of its bytes,
// however late they are.
type lane struct {
	mu       sync.Mutex
	parcels  []parcel
	held     int
	closed   bool  // by its writer: the reader gets io.EOF behind what is held
	err      error // of both ends; what is held is lost
	changed  chan struct{}
	delay    func() time.Duration // of each write; nil for none
	last     time.Time            // when the last parcel arrives
	deadline [2]time.Time         // of reads and writes
	tap      func(p []byte)       // sees what is written
}

// A parcel is what one write has sent.
type parcel struct {
	data []byte
	at   time.Time
}

const (
	reading = iota
	writing
)

func newLane() *lane { return &lane{changed: make(chan struct{})} }

// change does something to the lane and tells those who wait for it.
func (l *lane) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait waits for a change, or for a moment. It is called, and returns, with the lock.
func (l *lane) wait(side int, until time.Time) error {
	limit := l.deadline[side]
	if !limit.IsZero() && !time.Now().Before(limit) {
		return os.ErrDeadlineExceeded
	}
	if until.IsZero() || !limit.IsZero() && limit.Before(until) {
		until = limit
	}
	changed := l.changed
	l.mu.Unlock()
	defer l.mu.Lock()
	if until.IsZero() {
		<-changed
		return nil
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
	return nil
}

func (l *lane) read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		var next time.Time
		switch {
		case l.err != nil:
			return 0, l.err
		case len(l.parcels) > 0:
			first := &l.parcels[0]
			if next = first.at; next.After(time.Now()) {
				break
			}
			n := copy(p, first.data)
			if first.data = first.data[n:]; len(first.data) == 0 {
				l.parcels = l.parcels[1:]
			}
			l.held -= n
			close(l.changed)
			l.changed = make(chan struct{})
			return n, nil
		case l.closed:
			return 0, io.EOF
		}
		if err := l.wait(reading, next); err != nil {
			return 0, err
		}
	}
}

func (l *lane) write(p []byte) (done int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for done < len(p) {
		room := laneBytes - l.held
		switch {
		case l.err != nil:
			return done, l.err
		case l.closed:
			return done, net.ErrClosed
		case room <= 0:
			if err := l.wait(writing, time.Time{}); err != nil {
				return done, err
			}
			continue
		}
		part := append([]byte(nil), p[done:min(len(p), done+room)]...)
		at := time.Now()
		if l.delay != nil {
			at = at.Add(l.delay())
		}
		if at.Before(l.last) {
			at = l.last
		}
		l.last = at
		l.parcels = append(l.parcels, parcel{part, at})
		l.held += len(part)
		done += len(part)
		if l.tap != nil {
			l.tap(part)
		}
		close(l.changed)
		l.changed = make(chan struct{})
	}
	return done, nil
}

// A wire is one end of a connection in memory.
type wire struct {
	in, out *lane
	peer    *wire // the other end
}

func newWires() (client, server *wire) {
	up, down := newLane(), newLane()
	client, server = &wire{in: down, out: up}, &wire{in: up, out: down}
	client.peer, server.peer = server, client
	return client, server
}

func (w *wire) Read(p []byte) (int, error)  { return w.in.read(p) }
func (w *wire) Write(p []byte) (int, error) { return w.out.write(p) }

// Close closes the connection as a program does: the other end reads what is on its way,
// then the end, and cannot write any more.
func (w *wire) Close() error {
	w.out.change(func() { w.out.closed = true })
	w.in.change(func() {
		if w.in.err == nil {
			w.in.err = net.ErrClosed
		}
		w.in.parcels, w.in.held = nil, 0
	})
	return nil
}

// reset ends the connection as a network does: both ends lose what is on its way.
func (w *wire) reset() {
	for _, l := range []*lane{w.in, w.out} {
		l.change(func() {
			if l.err == nil {
				l.err = syscall.ECONNRESET
			}
			l.parcels, l.held = nil, 0
		})
	}
}

type address struct{}

func (address) Network() string { return "tcp" }
func (address) String() string  { return "127.0.0.1:1" }

func (w *wire) LocalAddr() net.Addr  { return address{} }
func (w *wire) RemoteAddr() net.Addr { return address{} }

func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

func (w *wire) SetReadDeadline(t time.Time) error {
	w.in.change(func() { w.in.deadline[reading] = t })
	return nil
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.out.change(func() { w.out.deadline[writing] = t })
	return nil
}

// A port is a listener of connections in memory.
type port struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	fail   chan error // what Accept fails with next
}

func newPort() *port {
	return &port{conns: make(chan net.Conn), closed: make(chan struct{}), fail: make(chan error, 16)}
}

func (p *port) Accept() (net.Conn, error) {
	select {
	case err := <-p.fail:
		return nil, err
	default:
	}
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.fail:
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *port) Addr() net.Addr { return address{} }

// dial connects to the port and returns the client's end.
func (p *port) dial() (*wire, error) {
	client, server := newWires()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, syscall.ECONNREFUSED
	}
}

func TestTheNetworkKeepsTheOrderOfBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newWires()
		delays := []time.Duration{3 * time.Second, time.Second, 2 * time.Second, 0}
		a.out.delay = func() (d time.Duration) {
			d, delays = delays[0], delays[1:]
			return d
		}
		begin := time.Now()
		for _, text := range []string{"on", "e ", "two"} {
			_, err := a.Write([]byte(text))
			require.NoError(t, err)
		}
		require.NoError(t, a.Close())
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		require.Equal(t, "one two", string(got))
		require.Equal(t, 3*time.Second, time.Since(begin))
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestTheNetworkHoldsOnlyWhatAKernelDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newWires()
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := a.Write(make([]byte, 2*laneBytes))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, laneBytes, n)
		_, err = io.ReadFull(b, make([]byte, laneBytes))
		require.NoError(t, err)
		require.NoError(t, b.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = b.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		a.reset()
		_, err = b.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}
