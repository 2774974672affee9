package wsconn

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxHeld is how many bytes a corked netConn holds before it writes them, and
// the largest message for which a copy is cheaper than a second system call.
const maxHeld = 64 << 10

// heldBuffers are the buffers of corked connections: an idle one has none.
var heldBuffers = sync.Pool{New: func() any { return new([]byte) }}

// A netConn is the network connection beneath a WebSocket connection that this
// package made. It gives every write a deadline and can be corked.
type netConn struct {
	net.Conn
	timeout time.Duration
	buffer  int    // size of coder/websocket's write buffer above it
	early   []byte // what net/http had read ahead of the handshake's end; the reader's

	heard  atomic.Bool // something was read since this was last cleared
	failed atomic.Bool // a read has failed

	mu      sync.Mutex
	held    *[]byte   // not nil while corked
	renewed time.Time // when the write deadline was last set
}

func (c *netConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		if !c.heard.Load() {
			c.heard.Store(true)
		}
		// A TLS connection may report its end along with its last bytes; it
		// does so again on the next call.
		return n, nil
	}
	if err != nil {
		c.failed.Store(true)
	}
	return n, err
}

func (c *netConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return c.send(p)
	}
	if len(*c.held)+len(p) > maxHeld {
		if err := c.flush(); err != nil {
			return 0, err
		}
		if len(p) >= maxHeld {
			return c.send(p)
		}
	}
	*c.held = append(*c.held, p...)
	return len(p), nil
}

// cork holds back what is written until uncork.
func (c *netConn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = heldBuffers.Get().(*[]byte)
}

// uncork writes what was held back.
func (c *netConn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flush()
	heldBuffers.Put(c.held)
	c.held = nil
	return err
}

// flush is called with mu held, while corked.
func (c *netConn) flush() error {
	p := *c.held
	*c.held = p[:0]
	if len(p) == 0 {
		return nil
	}
	_, err := c.send(p)
	return err
}

// send is called with mu held. Setting a deadline costs a tenth of a small
// write, so it is renewed only when an eighth of it has passed: a write has
// between seven eighths of the time-out and all of it.
func (c *netConn) send(p []byte) (int, error) {
	if now := time.Now(); now.Sub(c.renewed) > c.timeout/8 {
		if err := c.SetWriteDeadline(now.Add(c.timeout)); err != nil {
			return 0, err
		}
		c.renewed = now
	}
	return c.Conn.Write(p)
}

// cut ends the connection without a word. Close of a TLS connection may wait
// for a peer that does not read, so cut goes beneath it.
func (c *netConn) cut() { c.lowest().Close() }

// lowest returns the connection beneath TLS, if there is such.
func (c *netConn) lowest() net.Conn {
	if t, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c.Conn
}
