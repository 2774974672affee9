// Package transport is what the protocol packages know about a connection:
// whole messages in both directions and a way to close with a code.
//
// [Conn] is small so that any WebSocket library fits behind it in a page of code
// (examples/transport-gorilla shows one), which package conntest then checks.
// Ready-made connections live in the packages below this one: wsconn on
// github.com/coder/websocket, engineio over any other Conn, with enginehttp over
// HTTP, unixpacket on a unix SEQPACKET socket. [Pipe] is a pair in memory, for
// tests and for programs that hold both ends.
package transport

import (
	"errors"
	"fmt"
	"time"
)

// DefaultWriteTimeout is how long a Conn of this module waits for a peer that
// does not read before it gives the connection up.
const DefaultWriteTimeout = 5 * time.Second

// DefaultReadLimit is the size in bytes of the largest message that a Conn of
// this module reads unless told otherwise: an offer with ten audio and ten
// video sections is 58 kB, and real servers take up to 1 MiB.
const DefaultReadLimit = 1 << 20

// A Conn carries whole messages in both directions.
//
// One goroutine may call Read while another calls Write. Close may be called
// at any time, more than once and by anyone, and unblocks both.
//
// It has no contexts on purpose: in the common WebSocket libraries the end of a
// context during a read or a blocked write ruins the connection for everybody.
type Conn interface {
	// Read returns the next message, appended to buf[:0]; it may return a
	// larger buffer. The caller owns the result. After the peer's close it
	// fails with a [*CloseError], after this side's Close with [ErrClosed],
	// after a message over the limit with [ErrMessageTooBig]. The first cause
	// of the end stays the error of every later Read.
	Read(buf []byte) (MessageType, []byte, error)

	// Write sends one message and does not keep msg. It blocks at most for the
	// Conn's own write time-out, after which the connection is broken and the
	// error is [ErrWriteTimeout]. Once the cause of the connection's end is
	// known, Write fails with it as Read does.
	Write(typ MessageType, msg []byte) error

	// Close ends the connection. It tells the peer the code and the reason
	// where the carrier can, and returns nil when the connection has already
	// ended. It may block for the write time-out, never longer.
	Close(code StatusCode, reason string) error
}

// A BatchWriter is a [Conn] that sends several messages with one system call.
// The same rules hold as for Write.
type BatchWriter interface {
	WriteBatch(typ MessageType, msgs [][]byte) error
}

// A LazyReader is a [Conn] that takes a buffer only once a message has begun to
// arrive, so that an idle connection has none. ReadLazy is Read into what buffer
// returns; it may call it again, and then needs what it was given before no more.
type LazyReader interface {
	ReadLazy(buffer func() []byte) (MessageType, []byte, error)
}

// ReadLazy reads from a Conn as from a [LazyReader], if it is one. It is for Conns
// that wrap others.
func ReadLazy(c Conn, buffer func() []byte) (MessageType, []byte, error) {
	if l, ok := c.(LazyReader); ok {
		return l.ReadLazy(buffer)
	}
	return c.Read(buffer())
}

// MessageType tells text from binary messages. What an unexpected binary
// message gets is the protocol's decision, so a Conn hands both on.
type MessageType int

// The types of messages, with the values of RFC 6455.
const (
	Text   MessageType = 1
	Binary MessageType = 2
)

// String returns "text" or "binary".
func (t MessageType) String() string {
	switch t {
	case Text:
		return "text"
	case Binary:
		return "binary"
	}
	return fmt.Sprintf("MessageType(%d)", int(t))
}

// A StatusCode says why a connection was closed. The values are those of
// RFC 6455, section 7.4; the protocols add their own from 4000 on.
type StatusCode int

// The codes that this module sends or reports.
const (
	StatusNormal          StatusCode = 1000
	StatusGoingAway       StatusCode = 1001
	StatusProtocolError   StatusCode = 1002
	StatusUnsupportedData StatusCode = 1003 // binary where text is spoken
	StatusNoStatus        StatusCode = 1005 // reported only: a close frame without a code
	StatusAbnormal        StatusCode = 1006 // reported only: the carrier ended without a close frame
	StatusInvalidPayload  StatusCode = 1007 // not UTF-8, not JSON
	StatusPolicyViolation StatusCode = 1008
	StatusMessageTooBig   StatusCode = 1009
	StatusInternalError   StatusCode = 1011
	StatusTryAgainLater   StatusCode = 1013
)

// A CloseError is what Read returns after the peer closed the connection.
// Carriers without close codes report [StatusAbnormal].
type CloseError struct {
	Code   StatusCode
	Reason string
}

// Error returns the code and the reason.
func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("transport: peer closed the connection with %d", e.Code)
	}
	return fmt.Sprintf("transport: peer closed the connection with %d: %s", e.Code, e.Reason)
}

// Errors that every Conn returns, possibly wrapped.
var (
	// ErrClosed: this side closed the connection.
	ErrClosed = errors.New("transport: connection closed")
	// ErrMessageTooBig: the peer sent a message over the read limit, or the
	// carrier cannot take one of this size. The connection is closed.
	ErrMessageTooBig = errors.New("transport: message too big")
	// ErrWriteTimeout: the peer did not read for the write time-out. The
	// connection is closed.
	ErrWriteTimeout = errors.New("transport: peer did not read in time")
)
