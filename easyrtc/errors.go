package easyrtc

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
	Type  string // the message's, when it was found
	Field string // path of the member, or "" for the message as a whole
	Err   error

	// Event and ID are those of the packet, when they were found. A server answers an
	// event that has an ID with Code; without one the packet is no packet.
	Event string
	ID    ID
	Code  ErrorCode

	ack ID // that of an acknowledgement
}

// Error says what is wrong and where.
func (e *DecodeError) Error() string {
	var b strings.Builder
	b.WriteString("easyrtc: decode")
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
	Field  string // path such as msgData.roomJoin["x"].roomName
	Reason string
	Code   ErrorCode // what a server answers; "" for what servers send
}

// Error says what is wrong and where.
func (e *ValidationError) Error() string {
	return fmt.Sprintf("easyrtc: invalid %s: %s: %s", e.Type, e.Field, e.Reason)
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
		return fmt.Sprintf("easyrtc: cannot send %s", e.Type)
	}
	return fmt.Sprintf("easyrtc: cannot send %s while %s (only while %s)", e.Type, e.State, strings.Join(e.Required, " or "))
}

// An Error is what a server answers when it refuses something. It is also what a hook of a
// server returns to say it to the client; an empty ErrorText becomes that of the code.
type Error struct {
	ErrorCode ErrorCode `json:"errorCode"`
	ErrorText string    `json:"errorText"`
	Extra     Fields    `json:"-"`
}

// NewError returns the Error of a code with its text.
func NewError(code ErrorCode) *Error { return &Error{ErrorCode: code, ErrorText: code.Text()} }

// Error returns the text and the code.
func (e *Error) Error() string {
	text := e.ErrorText
	if text == "" {
		text = e.ErrorCode.Text()
	}
	return fmt.Sprintf("easyrtc: %s (%s)", text, e.ErrorCode)
}

// Is reports whether target is an [*Error] of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && e.ErrorCode == t.ErrorCode
}

// The errors that a server gives most often, for comparison with [errors.Is] and to be
// returned from hooks. They must not be changed.
var (
	ErrLoginBadAuth      = NewError(CodeLoginBadAuth)
	ErrLoginBadStructure = NewError(CodeLoginBadStructure)
	ErrLoginBadRoom      = NewError(CodeLoginBadRoom)
	ErrLoginGenFail      = NewError(CodeLoginGenFail)
	ErrLoginTimeout      = NewError(CodeLoginTimeout)
	ErrBadData           = NewError(CodeMsgRejectBadData)
	ErrBadRoom           = NewError(CodeMsgRejectBadRoom)
	ErrBadStructure      = NewError(CodeMsgRejectBadStructure)
	ErrBadType           = NewError(CodeMsgRejectBadType)
	ErrBadSize           = NewError(CodeMsgRejectBadSize)
	ErrGenFail           = NewError(CodeMsgRejectGenFail)
	ErrNoTarget          = NewError(CodeMsgRejectTarget)
	ErrNoTargetRoom      = NewError(CodeMsgRejectTargetRoom)
	ErrNoTargetGroup     = NewError(CodeMsgRejectTargetGroup)
)

// What ends a session or a call besides the peer, to be tested with errors.Is.
var (
	// ErrSlowConsumer: the application did not read what arrived for it.
	ErrSlowConsumer = link.ErrSlowConsumer
	// ErrSlowPeer: the peer did not read what was sent to it.
	ErrSlowPeer = link.ErrSlowPeer
	// ErrFlood: the peer kept sending faster than its limits.
	ErrFlood = link.ErrFlood
	// ErrTooMuchState: the server made the client keep more than its StateBytes.
	ErrTooMuchState = kept.ErrTooMuch
	// ErrHandshakeTimeout: the server did not open the connection in time.
	ErrHandshakeTimeout = errors.New("easyrtc: handshake timed out")
	// ErrVersion: the server speaks Engine.IO 3, the client 4.
	ErrVersion = errors.New("easyrtc: the server speaks Engine.IO 3")
	// ErrNamespace: the server does not let the client in.
	ErrNamespace = errors.New("easyrtc: the server refuses the connection")
	// ErrDisconnected: the server has thrown the client out.
	ErrDisconnected = errors.New("easyrtc: disconnected by the server")
	// ErrCallTimeout: the server did not answer in time.
	ErrCallTimeout = errors.New("easyrtc: no answer in time")
	// ErrTooManyCalls: as many messages wait for their answer as may.
	ErrTooManyCalls = errors.New("easyrtc: too many messages wait for their answer")
	// ErrConnectionLost: the connection ended before the answer came.
	ErrConnectionLost = errors.New("easyrtc: connection lost")
	// ErrUnexpectedReply: the server answered with a message of another type.
	ErrUnexpectedReply = errors.New("easyrtc: unexpected answer")
	// ErrServerClosed: the server has been closed.
	ErrServerClosed = link.ErrServerClosed
	// ErrTooManyConnections: the server has as many as it may.
	ErrTooManyConnections = link.ErrTooManyConnections
)

var errNotOnWire = errors.New("does not exist on the wire")
