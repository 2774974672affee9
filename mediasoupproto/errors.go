package mediasoupproto

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/kept"
	"github.com/rtcsignal/rtcsignal/internal/link"
)

// A DecodeError says why bytes are not a message. It holds nothing of them that its
// text would show, because they may contain secrets.
type DecodeError struct {
	Type  string // the method, when it was found
	Field string // path of the member, or "" for the message as a whole
	Err   error

	// RequestID is that of the request, when it was found. A server answers it; all else
	// that cannot be decoded is ignored, as protoo does.
	RequestID ID

	kind    FrameKind
	subject uint32 // the id that the message is about, when it was found and something stands in Field
}

// Error says what is wrong and where.
func (e *DecodeError) Error() string {
	var b strings.Builder
	b.WriteString("mediasoupproto: decode")
	if e.Type != "" {
		b.WriteString(" " + e.Type)
	}
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	return b.String() + ": " + e.Err.Error()
}

// Unwrap returns what is wrong, without the place.
func (e *DecodeError) Unwrap() error { return e.Err }

// A ValidationError says which member of a message breaks a rule.
type ValidationError struct {
	Type   string // the message's
	Field  string // path such as rtpParameters.codecs[0].payloadType
	Reason string
	// Answer is what a server answers: the text of mediasoup 2.6.19 where it has one.
	Answer *Error
}

// Error says what is wrong and where.
func (e *ValidationError) Error() string {
	return fmt.Sprintf("mediasoupproto: invalid %s: %s: %s", e.Type, e.Field, e.Reason)
}

// A StateError says that a message may not be sent in a state.
type StateError struct {
	State    fmt.Stringer
	Type     string
	Required []string // the states in which it may be sent, sorted; none: this side never sends it
}

// Error names the message, and the state and the states that allow it if there are any.
func (e *StateError) Error() string {
	if len(e.Required) == 0 {
		return fmt.Sprintf("mediasoupproto: cannot send %s", e.Type)
	}
	return fmt.Sprintf("mediasoupproto: cannot send %s while %s (only while %s)", e.Type, e.State, strings.Join(e.Required, " or "))
}

// The codes of [Error] that the demo of mediasoup uses.
const (
	CodeNoPeer    = 400 // a message before the join
	CodeForbidden = 403 // a join by another name than the connection's
	CodeFailed    = 500 // all else
)

// An Error is what a server answers when it refuses a request. It is also what a hook of a
// server returns to say it to the client.
type Error struct {
	Code   int    // not in every framing
	Reason string // such as "Error: Transport not found"
}

// NewError returns what a server answers for a JavaScript error: name is Error, TypeError or
// InvalidStateError.
func NewError(name, message string) *Error {
	return &Error{Code: CodeFailed, Reason: name + ": " + message}
}

// Error returns the reason.
func (e *Error) Error() string {
	if e.Code == 0 || e.Code == CodeFailed {
		return "mediasoupproto: " + e.Reason
	}
	return fmt.Sprintf("mediasoupproto: %s (%d)", e.Reason, e.Code)
}

// Is reports whether target is an [*Error] of the same reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && e.Reason == t.Reason
}

// The errors that a server gives most often, for comparison with [errors.Is] and to be
// returned from hooks. They must not be changed.
var (
	ErrRoomClosed          = NewError("InvalidStateError", "Room closed") // also of a peer that has left; see [ErrLeft]
	ErrNoPeer              = &Error{Code: CodeNoPeer, Reason: "no mediasoup Peer"}
	ErrPeerExists          = &Error{Code: CodeFailed, Reason: "already have a mediasoup Peer"}
	ErrOtherName           = &Error{Code: CodeForbidden, Reason: "that is not your corresponding mediasoup Peer name"}
	ErrNotAuthorised       = &Error{Code: CodeForbidden, Reason: "not authorised"}
	ErrSpy                 = &Error{Code: CodeForbidden, Reason: "spy peers are not allowed"}
	ErrPlainRTP            = &Error{Code: CodeForbidden, Reason: "plain RTP transports are not allowed"}
	ErrTransportNotFound   = NewError("Error", "Transport not found")
	ErrConsumerNotFound    = NewError("Error", "Consumer not found")
	ErrConsumerEnabled     = NewError("InvalidStateError", "Consumer already enabled")
	ErrRequestTimeout      = NewError("Error", "request timeout")
	errWebRTCTransport     = NewError("TypeError", "WebRtcTransport not found")
	errEnableOverTransport = NewError("TypeError", "Transport not found")
	errProducerExists      = NewError("Error", "a Producer with same producerId already exists")
	errTransportExists     = NewError("Error", "a Transport with same transportId already exists")
	errTooManyOf           = NewError("Error", "too many of them")
	errInternal            = NewError("Error", "internal error")
	errRestartPlain        = NewError("TypeError", "transport.changeUfragPwd is not a function")
)

// What ends a session besides the peer, and what a request may end with, to be tested with
// errors.Is.
var (
	// ErrSlowConsumer: the application did not read what arrived for it.
	ErrSlowConsumer = link.ErrSlowConsumer
	// ErrSlowPeer: the peer did not read what was sent to it.
	ErrSlowPeer = link.ErrSlowPeer
	// ErrFlood: the peer kept sending faster than its limits.
	ErrFlood = link.ErrFlood
	// ErrTooMuchState: the server made the client keep more than its StateBytes.
	ErrTooMuchState = kept.ErrTooMuch
	// ErrHandshakeTimeout: the server did not let the client into its room again in time.
	ErrHandshakeTimeout = errors.New("mediasoupproto: handshake timed out")
	// ErrCallTimeout: the server did not answer in time.
	ErrCallTimeout = errors.New("mediasoupproto: no answer in time")
	// ErrTooManyCalls: as many requests wait for their answer as may.
	ErrTooManyCalls = errors.New("mediasoupproto: too many requests wait for their answer")
	// ErrConnectionLost: the connection ended before the answer came.
	ErrConnectionLost = errors.New("mediasoupproto: connection lost")
	// ErrLeft: the peer has left or was closed before the answer came. It is the client that says
	// so; a server says [ErrRoomClosed].
	ErrLeft = errors.New("mediasoupproto: room closed")
	// ErrTransportClosed: the transport was closed before the request went out.
	ErrTransportClosed = errors.New("mediasoupproto: transport closed")
	// ErrMandatoryCodec: the room demands a codec that the client does not have.
	ErrMandatoryCodec = errors.New("mediasoupproto: mandatory room codecs not supported")
	// ErrUnsupportedCodecs: none of a consumer's codecs can be received.
	ErrUnsupportedCodecs = errors.New("mediasoupproto: unsupported codecs")
	// ErrServerClosed: the server has been closed.
	ErrServerClosed = link.ErrServerClosed
	// ErrTooManyConnections: the server has as many as it may.
	ErrTooManyConnections = link.ErrTooManyConnections
)

var (
	errNotOnWire       = errors.New("does not exist on the wire")
	errEmpty           = errors.New("empty")
	errBinary          = errors.New("binary message")
	errNoKind          = errors.New("neither request, response nor notification")
	errReserved        = errors.New("is reserved")
	errNotOpen         = errors.New("mediasoupproto: the server has not opened the connection")
	errTooBig          = errors.New("too big")
	errNotRequest      = errors.New("is a notification in a request")
	errNotNotification = errors.New("is no notification")
	errNoMethod        = errors.New("wrong or missing")
)
