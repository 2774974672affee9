// Package gorilla is an example: a transport.Conn over github.com/gorilla/websocket.
// Every protocol of this module then works on connections of that library.
//
// It leaves out what transport/wsconn has beyond the interface: pings and
// batches. A message over the limit of SetReadLimit and a peer that stops
// reading end the connection as they should.
package gorilla

import (
	"bytes"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/rtcsignal/rtcsignal/transport"
)

// Conn is a transport.Conn over a connection of gorilla/websocket, which
// already allows one reader beside one writer.
type Conn struct {
	ws    *websocket.Conn
	buf   bytes.Buffer
	cause atomic.Pointer[error] // why the connection ended, the first reason only
}

// New adapts a connection, of which it takes over all reading and writing.
func New(ws *websocket.Conn) *Conn { return &Conn{ws: ws} }

// Read returns the next message.
func (c *Conn) Read(buf []byte) (transport.MessageType, []byte, error) {
	if cause := c.cause.Load(); cause != nil {
		return 0, nil, *cause // gorilla panics when it is asked too often
	}
	typ, r, err := c.ws.NextReader()
	if err == nil {
		c.buf.Reset()
		_, err = c.buf.ReadFrom(r)
	}
	if err != nil {
		return 0, nil, c.end(err)
	}
	return transport.MessageType(typ), append(buf[:0], c.buf.Bytes()...), nil
}

// Write sends one message.
func (c *Conn) Write(typ transport.MessageType, msg []byte) error {
	_ = c.ws.SetWriteDeadline(time.Now().Add(transport.DefaultWriteTimeout))
	if err := c.ws.WriteMessage(int(typ), msg); err != nil {
		return c.end(err)
	}
	return nil
}

// Close sends a close frame, where the code can be sent, and ends the
// connection. It does not wait for the peer's answer as transport/wsconn does,
// so the frame may be lost when the peer is still sending.
func (c *Conn) Close(code transport.StatusCode, reason string) error {
	c.end(transport.ErrClosed)
	if code != transport.StatusAbnormal {
		frame := websocket.FormatCloseMessage(int(code), reason)
		_ = c.ws.WriteControl(websocket.CloseMessage, frame, time.Now().Add(transport.DefaultWriteTimeout))
	}
	_ = c.ws.Close()
	return nil
}

// end says err in the words of package transport and returns the first such.
func (c *Conn) end(err error) error {
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
		err = &transport.CloseError{Code: transport.StatusCode(ce.Code), Reason: ce.Text}
	} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		err = transport.ErrWriteTimeout
	} else if errors.Is(err, websocket.ErrReadLimit) {
		err = transport.ErrMessageTooBig
	} else if !errors.Is(err, transport.ErrClosed) {
		err = &transport.CloseError{Code: transport.StatusAbnormal}
	}
	c.cause.CompareAndSwap(nil, &err)
	return *c.cause.Load()
}
