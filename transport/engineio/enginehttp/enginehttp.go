// Package enginehttp carries Engine.IO connections, the lower layer of
// Socket.IO, over HTTP: by WebSocket, by long polling, and by polling that
// changes to WebSocket, which is what browsers do unless told otherwise.
//
// [Handler] makes an http.Handler that hands each connection to a function, as
// that of package wsconn does. [Dial] opens a connection to a server. The
// connections are of the type [*Conn]. A nil *[Options] means the documented
// defaults.
//
//	mux.Handle("/socket.io/", enginehttp.Handler(serve, nil))
//
//	conn, err := enginehttp.Dial(ctx, "https://example.org", nil)
//
// # Long polling
//
// What waits to be sent and what was received but not read is bounded; Write
// blocks while the queue is full, for WriteTimeout at most, as does the request
// that brings messages to a server which does not read them. A client that ends
// its pending request, as a page does that is closed, ends the session at once;
// one that just stays away ends it by its missing heartbeat.
//
// Polling has no close codes: the peer of a Close reads a *transport.CloseError
// with code 1006, as after a lost connection. Close waits until the peer has
// fetched what was written, for WriteTimeout at most.
//
// In revision 4 polling cannot carry text with the byte 0x1E, which JSON never
// contains: Write refuses it, and the connection stays. Clients and servers of
// Socket.IO 1 encode text as UTF-8 twice when they poll. What such a client sends
// is read, see [engineio.UndoDoubleUTF8]; what it is sent must be ASCII, as with
// the option ASCII, since nothing tells it from a client of Socket.IO 2, and so
// must what Dial sends to such a server.
//
// # Cost
//
// A session that has changed to WebSocket costs what one costs that began
// there: Read reads the WebSocket itself, and no goroutine or request of the
// polling is left.
package enginehttp

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/httpbody"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// The defaults of [Options] that are not those of package engineio.
const (
	DefaultReadLimit      = engineio.DefaultMaxPayload
	DefaultUpgradeTimeout = 10 * time.Second
	DefaultBodyTimeout    = httpbody.DefaultTimeout
	DefaultMaxConns       = 20_000
)

// The names of the transports.
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// ErrNotRead: the application did not read what a polling client had sent for
// the write time-out, and the session has ended. It wraps a
// *transport.CloseError with code 1006.
var ErrNotRead error = notRead{}

type notRead struct{}

func (notRead) Error() string { return "enginehttp: messages were not read in time" }

func (notRead) Unwrap() error { return &transport.CloseError{Code: transport.StatusAbnormal} }

// Options configure a [Handler] or a [Dial]. The zero value of a field means its
// default. Options are only read and may be shared.
type Options struct {
	// Version is the protocol's revision that Dial speaks; the default is
	// [engineio.V4]. A Handler speaks both.
	Version engineio.Version

	// RefuseV3 makes a Handler refuse clients of Socket.IO 1 and 2.
	RefuseV3 bool

	// Transports are what Dial uses, in order. The default is [WebSocket]
	// alone. Polling, then WebSocket, changes to WebSocket when the server
	// offers that; WebSocket, then Polling, polls when no WebSocket could be
	// opened. A Handler serves both.
	Transports []string

	// PingInterval and PingTimeout are what a Handler announces and keeps, see
	// package engineio; the defaults are those of that package.
	PingInterval time.Duration
	PingTimeout  time.Duration

	// ReadLimit is the size in bytes of the largest WebSocket message, type
	// included, and of the largest body of a polling request or answer that is
	// read. A Handler announces it. The default is [DefaultReadLimit].
	ReadLimit int

	// WriteTimeout bounds a Write, and Close as a whole; the default is
	// [transport.DefaultWriteTimeout].
	WriteTimeout time.Duration

	// BodyTimeout is how long the body of a request to a Handler may take to come, after
	// which the session ends; the default is [DefaultBodyTimeout], a negative value means
	// that of the http.Server alone.
	BodyTimeout time.Duration

	// UpgradeTimeout is how long a change from polling to WebSocket may take;
	// the default is [DefaultUpgradeTimeout].
	UpgradeTimeout time.Duration

	// OriginPatterns lists origins of other hosts whose pages a Handler lets
	// poll, by the headers of CORS, and connect with WebSocket, as
	// wsconn.Options does. Without them only pages of the request's own host
	// can do so.
	OriginPatterns []string

	// AllowAnyOrigin lets the pages of any host poll and connect. Servers of
	// Socket.IO check no origin of a WebSocket.
	AllowAnyOrigin bool

	// AllowCredentials lets pages of other hosts poll with their visitor's
	// cookies, which clients of Socket.IO 1 and 2 always do.
	AllowCredentials bool

	// ASCII writes every character beyond ASCII in the messages of a polling
	// connection of revision 3 as JSON escapes it, so that peers of Socket.IO 1
	// understand it as well. It is for messages that have such characters in
	// JSON texts only, as those of Socket.IO do.
	ASCII bool

	// MaxConns is how many connections a Handler serves at once; further
	// requests are answered with 503. The default is [DefaultMaxConns], a
	// negative value means no limit.
	MaxConns int

	// Gate limits how many connections of one address a Handler serves at once; further
	// requests are answered with 429. Handlers may share it. The default is no limit.
	Gate *wsconn.Gate

	// HandshakeTimeout bounds Dial up to the server's first answer, and the
	// wait for the Engine.IO handshake after it; the default is
	// [engineio.DefaultHandshakeTimeout].
	HandshakeTimeout time.Duration

	// Header is sent with each request of Dial.
	Header http.Header

	// TLSConfig is for https and wss addresses in Dial. It is ignored with an
	// HTTPClient.
	TLSConfig *tls.Config

	// HTTPClient makes the requests of Dial; the default is a client of its own
	// that obeys the proxy variables of the environment and keeps no cookies,
	// which some load balancers need for polling. A Timeout of the client must
	// allow for polls that take a ping interval.
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
	if r.Version == 0 {
		r.Version = engineio.V4
	}
	if len(r.Transports) == 0 {
		r.Transports = []string{WebSocket}
	}
	if r.ReadLimit <= 0 {
		r.ReadLimit = DefaultReadLimit
	}
	if r.WriteTimeout <= 0 {
		r.WriteTimeout = transport.DefaultWriteTimeout
	}
	if r.UpgradeTimeout <= 0 {
		r.UpgradeTimeout = DefaultUpgradeTimeout
	}
	if r.MaxConns == 0 {
		r.MaxConns = DefaultMaxConns
	}
	if r.HandshakeTimeout <= 0 {
		r.HandshakeTimeout = engineio.DefaultHandshakeTimeout
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	return &r
}

// check returns what is wrong with the options of a Dial.
func (o *Options) check() error {
	if o.Version != engineio.V3 && o.Version != engineio.V4 {
		return errors.New("no such version of Engine.IO")
	}
	for i, name := range o.Transports {
		if name != Polling && name != WebSocket || slices.Contains(o.Transports[:i], name) {
			return errors.New("no such list of transports")
		}
	}
	return nil
}

// websocket returns the options of a WebSocket connection. Engine.IO has
// heartbeats of its own.
func (o *Options) websocket() *wsconn.Options {
	return &wsconn.Options{
		ReadLimit:        int64(o.ReadLimit),
		WriteTimeout:     o.WriteTimeout,
		PingInterval:     -1,
		OriginPatterns:   o.OriginPatterns,
		AllowAnyOrigin:   o.AllowAnyOrigin,
		HandshakeTimeout: o.HandshakeTimeout,
		Header:           o.Header,
		TLSConfig:        o.TLSConfig,
		HTTPClient:       o.HTTPClient,
		Logger:           o.Logger,
	}
}

// engine returns the options of an Engine.IO connection of version v.
func (o *Options) engine(v engineio.Version) *engineio.Options {
	return &engineio.Options{
		Version:          v,
		PingInterval:     o.PingInterval,
		PingTimeout:      o.PingTimeout,
		MaxPayload:       o.ReadLimit,
		HandshakeTimeout: o.HandshakeTimeout,
	}
}

// A Conn is a connection of this package: a transport.Conn and a
// transport.BatchWriter.
type Conn struct {
	*engineio.Conn
	line *line // nil when it began as a WebSocket
}

// Transport returns the name of the transport that the connection uses now,
// [Polling] or [WebSocket]. It may be called at any time.
func (c *Conn) Transport() string {
	if c.line != nil && c.line.up.Load() == nil {
		return Polling
	}
	return WebSocket
}
