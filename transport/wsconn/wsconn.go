// Package wsconn carries transport.Conn over WebSocket, on
// github.com/coder/websocket.
//
// [Dial] opens a connection to a server. [Handler] is an http.Handler that
// hands each connection to a function; [Accept] does the same step inside a
// handler of your own. [New] adapts a connection that coder/websocket already
// made. A nil *[Options] means the documented defaults everywhere.
//
// # What a Conn of this package does
//
// Limits: a message over ReadLimit ends the connection with 1009; a peer that
// does not read for WriteTimeout is cut; so is one that answers no ping for
// PongTimeout. A Handler answers requests over MaxConns with 503, and with a
// [Gate] those of an address that has too many connections with 429.
//
// The end: the first cause is kept. Every Read reports it, and every Write
// once it is known: a *transport.CloseError for the peer's close frame (1005
// when the frame had no code, 1006 when the connection ended without a frame),
// transport.ErrClosed after this side's Close, transport.ErrMessageTooBig,
// transport.ErrWriteTimeout, [ErrPongTimeout]. The application calls Close in
// each of these cases, as with any connection. Until it does, a connection that
// failed for the peer's fault stays for WriteTimeout at most, so that the peer
// can read why.
//
// Close sends the code, waits for the peer's answer and cuts the connection
// after WriteTimeout in all, also when the peer reads nothing or a Write is
// blocked. A reason is cut to the 123 bytes that fit a close frame. Close with
// 1005 sends a frame without a code, Close with 1006 cuts at once; a code that
// RFC 6455 reserves otherwise cuts too and is the only error of Close.
//
// Text messages are handed on without a check of their UTF-8, and no
// compression is negotiated.
//
// # Reading is not optional
//
// Pongs and close frames are seen only while Read runs. A connection that
// nobody reads for PingInterval and PongTimeout together ends with
// [ErrPongTimeout].
//
// # Cost
//
// Connections from Accept, Handler and Dial own the network connection: an idle
// accepted one keeps 1 KiB buffers and no goroutine of this package, Read into
// the caller's buffer and Write do not allocate, and they are
// transport.BatchWriters. Connections from New, and from Dial with an
// HTTPClient, work the same without batches.
package wsconn

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The defaults of [Options].
const (
	DefaultPingInterval     = 20 * time.Second
	DefaultPongTimeout      = 25 * time.Second
	DefaultHandshakeTimeout = 15 * time.Second
)

// Options configure a connection. The zero value of a field means its default.
// Options are only read and may be shared.
type Options struct {
	// ReadLimit is the size in bytes of the largest message that is read; the
	// default is [transport.DefaultReadLimit], a negative value means no limit.
	ReadLimit int64

	// WriteTimeout bounds a Write, and Close as a whole; the default is
	// [transport.DefaultWriteTimeout]. Pings and pongs have five seconds at
	// most even when it is longer.
	WriteTimeout time.Duration

	// PingInterval is the time between an answered ping and the next one; the
	// default is [DefaultPingInterval], a negative value means no pings.
	PingInterval time.Duration

	// PongTimeout is how long a peer may stay silent after a ping before it is
	// cut; the default is [DefaultPongTimeout]. Any byte from the peer counts:
	// a pong waits behind the message that is being sent.
	PongTimeout time.Duration

	// Subprotocols are offered by Dial and accepted by Accept and Handler, in
	// order of preference. [Subprotocol] tells which was agreed.
	Subprotocols []string

	// OriginPatterns lists further origins that Accept and Handler let in: as
	// patterns of path.Match for the host, or for scheme://host when they
	// contain "://". Requests without an Origin and from the request's own host
	// always pass.
	OriginPatterns []string

	// AllowAnyOrigin turns the origin check off: any web page may then connect
	// with its visitor's cookies.
	AllowAnyOrigin bool

	// MaxConns is how many connections a Handler serves at once; further
	// requests are answered with 503. The default is no limit.
	MaxConns int

	// Gate limits how many connections of one address a Handler serves at once; further
	// requests are answered with 429. Handlers may share it. The default is no limit.
	Gate *Gate

	// HandshakeTimeout bounds Dial up to the server's answer; the default is
	// [DefaultHandshakeTimeout]. On the server http.Server's ReadHeaderTimeout
	// has this role.
	HandshakeTimeout time.Duration

	// Header is sent with the handshake of Dial.
	Header http.Header

	// Host overrides the Host header of Dial.
	Host string

	// TLSConfig is for wss addresses in Dial. It is ignored with an HTTPClient.
	TLSConfig *tls.Config

	// HTTPClient makes the handshake of Dial; the default is a client of its
	// own that obeys the proxy variables of the environment. With an HTTPClient
	// the network connection is the client's, so the Conn is not a BatchWriter.
	HTTPClient *http.Client

	// Logger receives refused handshakes and failures of a Handler's function.
	// The default discards them.
	Logger *slog.Logger
}

// withDefaults returns a copy of o in which every field has its value.
func (o *Options) withDefaults() *Options {
	var r Options
	if o != nil {
		r = *o
	}
	if r.ReadLimit == 0 {
		r.ReadLimit = transport.DefaultReadLimit
	}
	r.ReadLimit = max(r.ReadLimit, -1)
	if r.WriteTimeout <= 0 {
		r.WriteTimeout = transport.DefaultWriteTimeout
	}
	if r.PingInterval == 0 {
		r.PingInterval = DefaultPingInterval
	}
	if r.PongTimeout <= 0 {
		r.PongTimeout = DefaultPongTimeout
	}
	if r.HandshakeTimeout <= 0 {
		r.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	return &r
}
