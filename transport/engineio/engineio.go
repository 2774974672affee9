// Package engineio speaks Engine.IO, the lower layer of Socket.IO, over any
// transport.Conn: revision 4 (Socket.IO 3 and 4) and revision 3 (1 and 2).
//
// [Server] and [Client] wrap a connection that carries Engine.IO packets, such
// as a WebSocket, and yield a [*Conn], which carries messages: the packets of
// the other types, with the handshake and the heartbeats, stay inside. Package
// enginehttp makes such connections over HTTP, long polling and the change from
// polling to WebSocket included.
//
//	c := engineio.Client(ws, nil)                    // ws is a transport.Conn
//	err := c.Write(transport.Text, []byte("hello"))  // "4hello" on the wire
//	typ, msg, err := c.Read(nil)
//
// [ParsePacket], [AppendPacket], [ParsePayload] and [AppendPayload] are the
// encodings alone: of WebSocket messages, and of the bodies of long polling.
//
// # Heartbeats
//
// In revision 4 the server pings and in revision 3 the client. The side that
// pings does so a ping interval after the handshake and after each pong, and
// gives the peer up that does not answer for the ping time-out; one other packet
// from the peer begins the time-out anew, since a pong waits behind what is
// being sent. The other side gives the peer up after the interval and the
// time-out together: without a ping on the server, without any packet on the
// client. The end is [ErrHeartbeat].
//
// Heartbeats are answered, and answers are seen, only while Read runs. An idle
// connection has a timer and no goroutine.
package engineio

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The defaults of [Options], which are those of the Socket.IO 4 server.
const (
	DefaultPingInterval     = 25 * time.Second
	DefaultPingTimeout      = 20 * time.Second
	DefaultMaxPayload       = 1_000_000
	DefaultHandshakeTimeout = 15 * time.Second
)

// A Version is a revision of the Engine.IO protocol, the EIO of its addresses.
type Version int

// The versions that this package speaks.
const (
	V3 Version = 3 // Socket.IO 1 and 2
	V4 Version = 4 // Socket.IO 3 and 4
)

// String returns the number.
func (v Version) String() string { return fmt.Sprint(int(v)) }

// Options configure a [Conn]. The zero value of a field means its default, nil
// means all defaults. Options are only read and may be shared.
type Options struct {
	// Version is the protocol's revision; the default is [V4]. Server and
	// Client panic when there is no such version.
	Version Version

	// SID is the session id that a Server announces; the default is a new one
	// of [NewSID].
	SID string

	// Upgrades are the transports that a Server offers to change to. The
	// change is the business of the connection beneath; the default is none.
	Upgrades []string

	// PingInterval and PingTimeout are what a Server announces and keeps, see
	// the package comment; the defaults are [DefaultPingInterval] and
	// [DefaultPingTimeout]. Both are rounded to milliseconds.
	PingInterval time.Duration
	PingTimeout  time.Duration

	// MaxPayload is the size in bytes of the largest message that a Server
	// announces to take; the default is [DefaultMaxPayload]. The limit
	// itself is the business of the connection beneath.
	MaxPayload int

	// HandshakeTimeout is how long the first Read of a Client waits for the
	// server's handshake; the default is [DefaultHandshakeTimeout].
	HandshakeTimeout time.Duration
}

// withDefaults returns a copy of o in which every field has its value.
func (o *Options) withDefaults() Options {
	var r Options
	if o != nil {
		r = *o
	}
	switch r.Version {
	case 0:
		r.Version = V4
	case V3, V4:
	default:
		panic(fmt.Sprintf("engineio: no such version: %d", r.Version))
	}
	if r.SID == "" {
		r.SID = NewSID()
	}
	r.PingInterval = milliseconds(r.PingInterval, DefaultPingInterval)
	r.PingTimeout = milliseconds(r.PingTimeout, DefaultPingTimeout)
	if r.MaxPayload <= 0 {
		r.MaxPayload = DefaultMaxPayload
	}
	if r.HandshakeTimeout <= 0 {
		r.HandshakeTimeout = DefaultHandshakeTimeout
	}
	return r
}

// milliseconds returns d as the wire can carry it.
func milliseconds(d, byDefault time.Duration) time.Duration {
	if d <= 0 {
		return byDefault
	}
	return min(max(d.Round(time.Millisecond), time.Millisecond), maxInterval)
}

// NewSID returns a session id that cannot be guessed, of 20 letters, digits,
// hyphens and underscores.
func NewSID() string {
	var random [15]byte
	rand.Read(random[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// Errors of a Conn and of the encodings, possibly wrapped.
var (
	// ErrHeartbeat: the peer did not ping, or did not answer a ping, in time.
	// The connection is closed. It wraps a *transport.CloseError with code
	// 1006, which is what a peer that vanished amounts to.
	ErrHeartbeat error = vanished("engineio: peer missed a heartbeat")

	// ErrHandshakeTimeout: the server sent no handshake in time. The connection
	// is closed. It wraps a *transport.CloseError with code 1006.
	ErrHandshakeTimeout error = vanished("engineio: no handshake in time")

	// ErrProtocol: what the peer sent is not Engine.IO. A connection is closed.
	ErrProtocol = errors.New("engineio: peer broke the protocol")
)

// vanished is the text of an error that means as much as a lost connection.
type vanished string

func (e vanished) Error() string { return string(e) }

func (vanished) Unwrap() error { return &transport.CloseError{Code: transport.StatusAbnormal} }
