package wsconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/rtcsignal/rtcsignal/transport"
)

// Bytes of a close frame that are left for the reason, RFC 6455, section 5.5.
const maxReason = 123

// frameHeader is the longest header of a frame, RFC 6455, section 5.2.
const frameHeader = 14

// New adapts a connection that coder/websocket made. The Conn takes it over:
// nothing else may read it, write it, or set its read limit. Of the options,
// those of the handshake do not apply.
//
// When the network ends inside a message, coder/websocket 1.8.15 may hand its
// beginning on as if it were whole, and New sees no more than that. Connections
// from Dial, Accept and Handler report 1006.
func New(ws *websocket.Conn, opts *Options) transport.Conn {
	return newConn(ws, nil, opts.withDefaults())
}

// Subprotocol returns the subprotocol that the handshake agreed on, or "" when
// there is none or c is not a Conn of this package.
func Subprotocol(c transport.Conn) string {
	if s, ok := c.(interface{ subprotocol() string }); ok {
		return s.subprotocol()
	}
	return ""
}

// A conn is a Conn on a WebSocket connection of which it may know nothing else.
type conn struct {
	ws           *websocket.Conn
	net          *netConn // nil when the network connection is somebody else's
	writeTimeout time.Duration

	writing sync.Mutex  // two writers at once, which Conn forbids, must not mix up the cork
	stalled *time.Timer // cuts after a blocked Write; nil with net, which has deadlines
	heard   atomic.Bool // a message was read since the last ping; with net, net knows better
	ended   atomic.Bool // cause is set
	keepalive

	mu     sync.Mutex
	cause  error         // why the connection ended, the first reason only
	closed chan struct{} // after the first Close, which has made it; another one waits for that
}

func newConn(ws *websocket.Conn, nc *netConn, o *Options) *conn {
	ws.SetReadLimit(o.ReadLimit)
	c := &conn{ws: ws, net: nc, writeTimeout: o.WriteTimeout}
	if nc == nil {
		c.stalled = time.AfterFunc(o.WriteTimeout, func() { c.fail(transport.ErrWriteTimeout) })
		c.stalled.Stop()
	}
	c.startKeepalive(o)
	return c
}

func (c *conn) subprotocol() string { return c.ws.Subprotocol() }

func (c *conn) Read(buf []byte) (transport.MessageType, []byte, error) {
	return c.ReadLazy(func() []byte { return buf })
}

func (c *conn) ReadLazy(buffer func() []byte) (transport.MessageType, []byte, error) {
	if c.ended.Load() {
		return 0, nil, c.firstCause()
	}
	typ, r, err := c.ws.Reader(context.Background())
	var buf []byte
	if err == nil {
		buf, err = c.readAll(r, buffer()[:0])
	}
	if err != nil {
		return 0, nil, c.readError(err)
	}
	// What arrives while Close waits for the peer's answer is not delivered.
	if c.ended.Load() {
		return 0, nil, c.firstCause()
	}
	if !c.heard.Load() {
		c.heard.Store(true)
	}
	return transport.MessageType(typ), buf, nil
}

// readAll is io.ReadAll into the caller's buffer.
func (c *conn) readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(512, len(buf)))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			// coder/websocket 1.8.15 also reports the end of the network
			// connection inside a message as the message's end.
			if c.net != nil && c.net.failed.Load() {
				return nil, io.ErrUnexpectedEOF
			}
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readError records why reading failed and returns the first cause.
func (c *conn) readError(err error) error {
	if ce, ok := errors.AsType[websocket.CloseError](err); ok {
		// The frame was answered and the connection ended by coder/websocket.
		return c.end(&transport.CloseError{
			Code:   transport.StatusCode(ce.Code),
			Reason: strings.ToValidUTF8(ce.Reason, "\uFFFD"),
		})
	}
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return c.linger(transport.ErrMessageTooBig)
	case timedOut(err):
		return c.fail(transport.ErrWriteTimeout) // of a pong
	case networkEnded(err):
		return c.fail(&transport.CloseError{Code: transport.StatusAbnormal})
	}
	return c.linger(fmt.Errorf("wsconn: peer broke the WebSocket protocol: %w", err))
}

func (c *conn) Write(typ transport.MessageType, msg []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	// A frame that does not fit coder/websocket's buffer would take two system
	// calls, or more.
	if c.net != nil && len(msg)+frameHeader > c.net.buffer && len(msg) < maxHeld {
		c.net.cork()
		return c.writeError(cmp.Or(c.write(typ, msg), c.net.uncork()))
	}
	return c.writeError(c.write(typ, msg))
}

func (c *conn) write(typ transport.MessageType, msg []byte) error {
	// Other values would be sent as the opcodes of control frames.
	if typ != transport.Text && typ != transport.Binary {
		return fmt.Errorf("no such type of message: %v", typ)
	}
	if c.stalled != nil {
		c.stalled.Reset(c.writeTimeout)
		defer c.stalled.Stop()
	}
	return c.ws.Write(context.Background(), websocket.MessageType(typ), msg)
}

// writeError returns the first cause once there is one. A failed write alone is
// none, except for a time-out: the reader may yet find the peer's close frame.
func (c *conn) writeError(err error) error {
	if err == nil {
		return nil
	}
	if timedOut(err) {
		return c.fail(transport.ErrWriteTimeout)
	}
	if c.ended.Load() {
		return c.firstCause()
	}
	return fmt.Errorf("wsconn: write: %w", err)
}

func (c *conn) Close(code transport.StatusCode, reason string) error {
	c.mu.Lock()
	if closed := c.closed; closed != nil {
		c.mu.Unlock()
		<-closed // rather than a sync.Once, behind which the time of a synctest bubble stands still
		return nil
	}
	closed := make(chan struct{})
	c.closed = closed
	c.mu.Unlock()
	defer close(closed)
	c.end(transport.ErrClosed)
	return c.shut(code, reason)
}

func (c *conn) shut(code transport.StatusCode, reason string) error {
	if code == transport.StatusAbnormal {
		c.cut()
		return nil
	}
	if !sendable(code) {
		c.cut()
		return fmt.Errorf("wsconn: close: status code %d cannot be sent", code)
	}
	// coder/websocket alone would wait for five seconds to write the frame and
	// five more for the answer.
	limit := time.AfterFunc(c.writeTimeout, c.cut)
	defer limit.Stop()
	// However this fails, the connection has ended afterwards.
	_ = c.ws.Close(websocket.StatusCode(code), cutReason(reason))
	return nil
}

// end records why the connection ended and returns the first cause.
func (c *conn) end(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
		c.ended.Store(true)
		c.stopKeepalive()
	}
	return c.cause
}

func (c *conn) firstCause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// fail is end for causes after which the peer cannot be told anything.
func (c *conn) fail(cause error) error {
	cause = c.end(cause)
	c.cut()
	return cause
}

// linger is end for causes that the peer was just told in a close frame. Ending
// the network connection with the peer's data unread could destroy that frame
// on its way, so Close gets the time to read the data.
func (c *conn) linger(cause error) error {
	cause = c.end(cause)
	time.AfterFunc(c.writeTimeout, c.cut)
	return cause
}

// cut ends the network connection, which unblocks everybody.
func (c *conn) cut() {
	if c.net != nil {
		c.net.cut()
		// Frees what coder/websocket holds. It waits for a Close that is under
		// way, which the line above has unblocked.
		_ = c.ws.CloseNow()
		return
	}
	// CloseNow would wait up to 15 s for a Close that is under way. A reader
	// whose context has ended closes the connection in any case.
	c.ws.CloseRead(endedContext)
}

var endedContext = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// timedOut reports whether err is the write deadline's, or that of the five
// seconds that coder/websocket gives to control frames.
func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// networkEnded reports whether err comes from the network connection rather
// than from what the peer sent over it.
func networkEnded(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// sendable reports whether a close frame can carry code, or can have none.
func sendable(code transport.StatusCode) bool {
	switch code {
	case transport.StatusNoStatus:
		return true
	case 1004, transport.StatusAbnormal:
		return false
	}
	return 1000 <= code && code <= 1014 || 3000 <= code && code <= 4999
}

// cutReason makes reason fit a close frame, in whole characters.
func cutReason(reason string) string {
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason
	for !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// A batchConn is a conn that owns its network connection and can cork it.
type batchConn struct{ *conn }

func (c batchConn) WriteBatch(typ transport.MessageType, msgs [][]byte) error {
	if len(msgs) == 0 {
		return nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.net.cork()
	var err error
	for _, msg := range msgs {
		if err = c.write(typ, msg); err != nil {
			break
		}
	}
	return c.writeError(cmp.Or(err, c.net.uncork()))
}
