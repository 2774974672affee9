package engineio

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A Conn carries the messages of an Engine.IO connection. It is a
// transport.Conn and a transport.BatchWriter, and closes with the codes of the
// connection beneath.
//
// A peer that breaks the protocol ends the connection: Read and Write then fail
// with [ErrProtocol], and the connection beneath is closed without a code (1005),
// or with 1007 for a text message that is not UTF-8. A Close packet of the
// server is the end for a Client, reported as a *transport.CloseError with code
// 1006; a Server ignores one, as the Node server does on a WebSocket.
type Conn struct {
	lower   transport.Conn
	version Version
	client  bool
	limit   time.Duration // of the handshake, in a client

	sid      atomic.Pointer[string]
	reading  bool        // Read was called; the reader's
	opened   bool        // the handshake was sent or read; the reader's
	since    time.Time   // the second in which controls came; the reader's
	controls int         // packets that are no messages
	writing  sync.Mutex  // heartbeats are written beside messages
	ended    atomic.Bool // cause is set

	mu    sync.Mutex
	cause error // why the connection ended, the first reason only
	heartbeat
}

// What a client may send besides messages, whose limits are the application's: so many
// packets a second, of so many bytes of data.
const (
	maxControls = 1000
	maxControl  = 128
)

// Server speaks Engine.IO as the server on conn, which it takes over, and sends
// the handshake. When that fails it has closed conn.
func Server(conn transport.Conn, opts *Options) (*Conn, error) {
	o := opts.withDefaults()
	c := &Conn{lower: conn, version: o.Version, opened: true}
	c.sid.Store(&o.SID)
	// Genuine servers of V3 announce no MaxPayload; that of Socket.IO 4 does,
	// also to clients of V3.
	data, err := Handshake{
		SID:          o.SID,
		Upgrades:     o.Upgrades,
		PingInterval: o.PingInterval,
		PingTimeout:  o.PingTimeout,
		MaxPayload:   o.MaxPayload,
	}.MarshalJSON()
	if err == nil {
		err = c.control(Packet{Type: Open, Data: data})
	}
	if err != nil {
		conn.Close(transport.StatusAbnormal, "")
		return nil, fmt.Errorf("engineio: sending the handshake: %w", err)
	}
	c.startHeartbeat(o.Version == V4, o.PingInterval, o.PingTimeout)
	return c, nil
}

// Client speaks Engine.IO as the client on conn, which it takes over. It does no
// I/O: the first Read reads the server's handshake, and Write need not wait for
// it.
func Client(conn transport.Conn, opts *Options) *Conn {
	o := opts.withDefaults()
	c := &Conn{lower: conn, version: o.Version, client: true, limit: o.HandshakeTimeout}
	c.sid.Store(new(string))
	return c
}

// EngineIO returns the version of the protocol.
func (c *Conn) EngineIO() Version { return c.version }

// SID returns the id of the session, which is empty in a Client that has not
// read the server's handshake yet. It may be called at any time.
func (c *Conn) SID() string { return *c.sid.Load() }

// Read returns the next message, see transport.Conn.
func (c *Conn) Read(buf []byte) (transport.MessageType, []byte, error) {
	return c.read(buf, nil)
}

// ReadLazy is Read for those who have no buffer while nothing arrives, see
// transport.LazyReader.
func (c *Conn) ReadLazy(buffer func() []byte) (transport.MessageType, []byte, error) {
	return c.read(nil, buffer)
}

// read is Read without buffer, ReadLazy with it.
func (c *Conn) read(buf []byte, buffer func() []byte) (transport.MessageType, []byte, error) {
	if !c.opened && !c.reading {
		c.reading = true
		c.startTimer(c.limit, func() { c.fail(ErrHandshakeTimeout, transport.StatusNoStatus) })
	}
	for {
		if c.ended.Load() {
			return 0, nil, c.firstCause()
		}
		var typ transport.MessageType
		var frame []byte
		var err error
		if buffer != nil {
			typ, frame, err = transport.ReadLazy(c.lower, buffer)
		} else {
			typ, frame, err = c.lower.Read(buf)
		}
		if err != nil {
			return 0, nil, c.end(err)
		}
		p, err := ParsePacket(c.version, typ, frame)
		if err != nil {
			return 0, nil, c.fail(err, transport.StatusNoStatus)
		}
		if p.Type == Message && c.opened {
			if !p.Binary && !utf8.Valid(p.Data) {
				return 0, nil, c.fail(errUTF8, transport.StatusInvalidPayload)
			}
			c.heard(p.Type)
			// The caller gets the buffer from its start, or it would shrink by
			// a byte with each message.
			return typ, frame[:copy(frame, p.Data)], nil
		}
		if err := c.handle(p); err != nil {
			return 0, nil, err
		}
		buf = frame
	}
}

// handle does what a packet other than a message asks for. An error means that
// the connection has ended.
func (c *Conn) handle(p Packet) error {
	if !c.opened {
		return c.open(p)
	}
	if !c.client {
		now := time.Now()
		if now.Sub(c.since) >= time.Second {
			c.since, c.controls = now, 0
		}
		if c.controls++; c.controls > maxControls || len(p.Data) > maxControl {
			return c.fail(errControl, transport.StatusNoStatus)
		}
	}
	switch p.Type {
	case Open:
		if c.client {
			return c.fail(errSecondOpen, transport.StatusNoStatus)
		}
	case Close:
		if c.client {
			return c.fail(&transport.CloseError{Code: transport.StatusAbnormal}, transport.StatusNoStatus)
		}
	case Ping:
		if c.pinger && !c.client {
			return c.fail(errPingDirection, transport.StatusNoStatus)
		}
		if !c.pinger {
			c.heard(Ping)
			return c.answer(p)
		}
	}
	c.heard(p.Type)
	return nil
}

var (
	errNoOpen        = fmt.Errorf("%w: no handshake", ErrProtocol)
	errSecondOpen    = fmt.Errorf("%w: second handshake", ErrProtocol)
	errControl       = fmt.Errorf("%w: too much that is no message", ErrProtocol)
	errPingDirection = fmt.Errorf("%w: ping from the wrong side", ErrProtocol)
)

// open reads the server's handshake.
func (c *Conn) open(p Packet) error {
	switch {
	case p.Type == Close:
		return c.fail(&transport.CloseError{Code: transport.StatusAbnormal}, transport.StatusNoStatus)
	case p.Type != Open || p.Binary:
		return c.fail(errNoOpen, transport.StatusNoStatus)
	}
	var h Handshake
	if err := json.Unmarshal(p.Data, &h); err != nil {
		return c.fail(fmt.Errorf("%w: %w", ErrProtocol, err), transport.StatusNoStatus)
	}
	c.opened = true
	c.sid.Store(&h.SID)
	c.startHeartbeat(c.version == V3, h.PingInterval, h.PingTimeout)
	return nil
}

// answer sends the pong for a ping.
func (c *Conn) answer(ping Packet) error {
	// A server's pong repeats the data, which a probe has; a client's does not.
	pong := Packet{Type: Pong}
	if !c.client && !ping.Binary {
		pong.Data = ping.Data
	}
	if err := c.control(pong); err != nil && c.ended.Load() {
		return c.firstCause()
	}
	return nil
}

// control sends a packet that is no message. Of its failures only a time-out is
// the end of the connection; for others the reader finds the cause.
func (c *Conn) control(p Packet) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	s := scratches.Get().(*scratch)
	defer s.free()
	_, s.buf = AppendPacket(s.buf[:0], c.version, p)
	err := c.writeError(c.lower.Write(transport.Text, s.buf))
	if err != nil && errors.Is(err, transport.ErrWriteTimeout) {
		return c.end(err)
	}
	return err
}

// Write sends one message, see transport.Conn.
func (c *Conn) Write(typ transport.MessageType, msg []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.ended.Load() {
		return c.firstCause()
	}
	prefix, err := c.prefix(typ)
	if err != nil {
		return err
	}
	if len(prefix) == 0 {
		return c.writeError(c.lower.Write(typ, msg))
	}
	s := scratches.Get().(*scratch)
	defer s.free()
	s.buf = append(append(s.buf[:0], prefix...), msg...)
	return c.writeError(c.lower.Write(typ, s.buf))
}

// WriteBatch sends several messages, with one system call where the connection
// beneath can.
func (c *Conn) WriteBatch(typ transport.MessageType, msgs [][]byte) error {
	if len(msgs) == 0 {
		return nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.ended.Load() {
		return c.firstCause()
	}
	prefix, err := c.prefix(typ)
	if err != nil {
		return err
	}
	if len(prefix) == 0 {
		return c.writeError(c.writeFrames(typ, msgs))
	}
	s := scratches.Get().(*scratch)
	defer s.free()
	return c.writeError(c.writeFrames(typ, s.prefixed(prefix, msgs)))
}

func (c *Conn) writeFrames(typ transport.MessageType, frames [][]byte) error {
	if b, ok := c.lower.(transport.BatchWriter); ok {
		return b.WriteBatch(typ, frames)
	}
	for _, f := range frames {
		if err := c.lower.Write(typ, f); err != nil {
			return err
		}
	}
	return nil
}

// prefix returns what precedes a message of type typ.
func (c *Conn) prefix(typ transport.MessageType) (string, error) {
	switch {
	case typ == transport.Text:
		return "4", nil
	case typ != transport.Binary:
		return "", fmt.Errorf("engineio: no such type of message: %v", typ)
	case c.version == V3:
		return "\x04", nil
	}
	return "", nil
}

// writeError returns the first cause of the connection's end where there is one.
func (c *Conn) writeError(err error) error {
	if err != nil && c.ended.Load() {
		return c.firstCause()
	}
	return err
}

// Close ends the connection, see transport.Conn.
func (c *Conn) Close(code transport.StatusCode, reason string) error {
	c.end(transport.ErrClosed)
	return c.lower.Close(code, reason)
}

// end records why the connection ended and returns the first cause.
func (c *Conn) end(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
		c.ended.Store(true)
		c.stopTimer()
	}
	return c.cause
}

func (c *Conn) firstCause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// fail ends the connection for the peer's fault and returns the first cause.
func (c *Conn) fail(cause error, code transport.StatusCode) error {
	cause = c.end(cause)
	// However this fails, the connection has ended afterwards.
	_ = c.lower.Close(code, "")
	return cause
}

// A scratch is the memory of a write: an idle connection has none.
type scratch struct {
	buf    []byte
	frames [][]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// The largest memory of a scratch that is kept.
const (
	maxScratch       = 128 << 10
	maxScratchFrames = 1024
)

func (s *scratch) free() {
	clear(s.frames)
	if cap(s.buf) > maxScratch || cap(s.frames) > maxScratchFrames {
		return
	}
	scratches.Put(s)
}

// prefixed returns msgs with a prefix before each.
func (s *scratch) prefixed(prefix string, msgs [][]byte) [][]byte {
	size := 0
	for _, m := range msgs {
		size += len(prefix) + len(m)
	}
	s.buf = slices.Grow(s.buf[:0], size) // it must not move below
	s.frames = s.frames[:0]
	for _, m := range msgs {
		from := len(s.buf)
		s.buf = append(append(s.buf, prefix...), m...)
		s.frames = append(s.frames, s.buf[from:len(s.buf):len(s.buf)])
	}
	return s.frames
}
