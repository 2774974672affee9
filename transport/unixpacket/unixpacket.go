// Package unixpacket carries transport.Conn over a unix SEQPACKET socket: one
// datagram is one message. Cuttlefish devices talk to their operator this way.
//
// The carrier knows neither types of messages nor close codes. Both types are
// written alike and read as transport.Text; the peer of a Close reads a
// *transport.CloseError with code 1006. An empty datagram cannot be told from
// the end of the connection: received, it is reported as that end, and Write
// refuses to send one.
//
// Linux and most BSDs have such sockets. Elsewhere Dial and Listen fail.
package unixpacket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultReadLimit is the size in bytes of the largest message that is read
// unless told otherwise. Linux sends no more than about 208 KiB in a datagram
// by default (net.core.wmem_default).
const DefaultReadLimit = 256 << 10

const network = "unixpacket"

// Options configure a connection. The zero value of a field means its default.
// Options are only read and may be shared.
type Options struct {
	// ReadLimit is the size in bytes of the largest message that is read; the
	// default is [DefaultReadLimit]. A connection that reads keeps a buffer of
	// this size.
	ReadLimit int

	// WriteTimeout bounds a Write; the default is
	// [transport.DefaultWriteTimeout].
	WriteTimeout time.Duration

	// Logger receives failures of the function given to [Serve]. The default
	// discards them.
	Logger *slog.Logger
}

// withDefaults returns a copy of o in which every field has its value.
func (o *Options) withDefaults() *Options {
	var r Options
	if o != nil {
		r = *o
	}
	if r.ReadLimit <= 0 {
		r.ReadLimit = DefaultReadLimit
	}
	if r.WriteTimeout <= 0 {
		r.WriteTimeout = transport.DefaultWriteTimeout
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	return &r
}

// Dial connects to the socket at path; ctx bounds only that.
func Dial(ctx context.Context, path string, opts *Options) (transport.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, path)
	if err != nil {
		return nil, fmt.Errorf("unixpacket: %w", err)
	}
	return New(c.(*net.UnixConn), opts), nil
}

// New adapts a connected SEQPACKET socket, which it takes over.
func New(c *net.UnixConn, opts *Options) transport.Conn {
	o := opts.withDefaults()
	return &conn{socket: c, limit: o.ReadLimit, timeout: o.WriteTimeout}
}

type conn struct {
	socket  *net.UnixConn
	limit   int
	timeout time.Duration

	// What does not fit the buffer of a read is lost, and nothing tells how
	// much it was. So datagrams are read here and copied to the caller's
	// buffer, which need not have room for the limit. Made by the first Read.
	datagram []byte

	mu    sync.Mutex
	cause error // why the connection ended, the first reason only
}

func (c *conn) Read(buf []byte) (transport.MessageType, []byte, error) {
	if c.datagram == nil {
		c.datagram = make([]byte, c.limit+1)
	}
	n, err := c.socket.Read(c.datagram)
	switch {
	case err != nil:
		return 0, nil, c.end(&transport.CloseError{Code: transport.StatusAbnormal})
	case n > c.limit:
		return 0, nil, c.end(transport.ErrMessageTooBig)
	}
	return transport.Text, append(buf[:0], c.datagram[:n]...), nil
}

func (c *conn) Write(_ transport.MessageType, msg []byte) error {
	if len(msg) == 0 {
		return errors.New("unixpacket: write: an empty message would read as the end of the connection")
	}
	err := c.socket.SetWriteDeadline(time.Now().Add(c.timeout))
	if err == nil {
		_, err = c.socket.Write(msg)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.end(transport.ErrWriteTimeout)
	case errors.Is(err, syscall.EMSGSIZE):
		return c.end(transport.ErrMessageTooBig)
	}
	return c.end(&transport.CloseError{Code: transport.StatusAbnormal})
}

// Close ends the connection; the carrier has no place for a code and a reason.
func (c *conn) Close(transport.StatusCode, string) error {
	c.end(transport.ErrClosed)
	return nil
}

// end closes the socket and returns why the connection ended first.
func (c *conn) end(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
		c.socket.Close()
	}
	return c.cause
}
