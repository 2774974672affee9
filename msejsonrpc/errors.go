package msejsonrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/link"
)

// An ErrorCode is the code of an [Error].
type ErrorCode int

// The codes of the protocol document, and two of JSON-RPC 2.0 that it lacks.
const (
	CodeParseError          ErrorCode = -32700 // not JSON; id null
	CodeInvalidObject       ErrorCode = -1001  // JSON, but no message; id null
	CodeMethodNotFound      ErrorCode = -32601
	CodeInvalidParams       ErrorCode = -32602
	CodeAuthorizationFailed ErrorCode = -4001 // the token was refused
	CodeUnauthorizedAccess  ErrorCode = -5001 // authenticated, but not entitled
	CodeInvalidCallOrder    ErrorCode = -6001 // data.required names the method to call first

	CodeInternalError  ErrorCode = -32603 // a fault of the server's
	CodeInvalidRequest ErrorCode = -32600 // what other JSON-RPC servers say for CodeInvalidObject
)

// The errors of the protocol document with their texts, for comparison with
// [errors.Is], which looks at the code alone, and to be returned from hooks. They must not
// be changed.
var (
	ErrParse               = &Error{Code: CodeParseError, Message: "Parse error"}
	ErrInvalidObject       = &Error{Code: CodeInvalidObject, Message: "Invalid json rpc 2.0 object"}
	ErrMethodNotFound      = &Error{Code: CodeMethodNotFound, Message: "Method not found"}
	ErrInvalidParams       = &Error{Code: CodeInvalidParams, Message: "Invalid params"}
	ErrAuthorizationFailed = &Error{Code: CodeAuthorizationFailed, Message: "Authorization Failed"}
	ErrUnauthorizedAccess  = &Error{Code: CodeUnauthorizedAccess, Message: "Unauthorized Access"}
	ErrInvalidCallOrder    = &Error{Code: CodeInvalidCallOrder, Message: "Invalid Call Order"}
	ErrInternal            = &Error{Code: CodeInternalError, Message: "Internal error"}
)

// A DecodeError says why bytes are not a message. It holds nothing of them that its
// text would show, because they may contain secrets.
type DecodeError struct {
	Type  string // the method, when it was found; "response" for a response
	Field string // path of the member, or "" for the message as a whole
	Err   error
	ID    ID        // of a message whose method or kind could be told, NullID otherwise
	Code  ErrorCode // what a server answers: CodeParseError, CodeInvalidObject or CodeInvalidParams
}

// Error says what is wrong and where.
func (e *DecodeError) Error() string {
	var b strings.Builder
	b.WriteString("msejsonrpc: decode")
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
	Type   string // the method; "response" for a response
	Field  string // path such as params.token
	Reason string
}

// Error says what is wrong and where.
func (e *ValidationError) Error() string {
	return fmt.Sprintf("msejsonrpc: invalid %s: %s: %s", e.Type, e.Field, e.Reason)
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
		return fmt.Sprintf("msejsonrpc: cannot send %s", e.Type)
	}
	return fmt.Sprintf("msejsonrpc: cannot send %s while %s (only while %s)", e.Type, e.State, strings.Join(e.Required, " or "))
}

// An Error is what a peer answers in place of a result. It is also the error that a
// driver returns for it, and what a hook returns to say it to the client.
type Error struct {
	Code    ErrorCode       `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"` // any JSON
	Extra   Fields          `json:"-"`
}

// Error returns the text and the code, and the method that is required.
func (e *Error) Error() string {
	s := fmt.Sprintf("msejsonrpc: %s (%d)", e.Message, e.Code)
	if method := e.Required(); method != "" {
		s += ": " + method + " is required"
	}
	return s
}

// Required returns the method that must be called first, as [CodeInvalidCallOrder]
// says, or "".
func (e *Error) Required() string {
	if e.Code != CodeInvalidCallOrder || !jsonx.IsObject(e.Data) || jsonx.Check(e.Data) != nil {
		return ""
	}
	value, _ := jsonx.Peek(e.Data, "required")
	method, _ := jsonx.Text(value)
	return string(method)
}

// Is reports whether target is an [*Error] of the same code, or [ErrNotAuthorized] for
// an error that says so. [CodeInvalidRequest] is taken for [CodeInvalidObject].
func (e *Error) Is(target error) bool {
	if target == ErrNotAuthorized {
		return e.Code == CodeAuthorizationFailed || e.Code == CodeUnauthorizedAccess || e.Required() == "auth"
	}
	t, ok := target.(*Error)
	return ok && e.Code.plain() == t.Code.plain()
}

func (c ErrorCode) plain() ErrorCode {
	if c == CodeInvalidRequest {
		return CodeInvalidObject
	}
	return c
}

// CallOrderError says that a method must be called first.
func CallOrderError(required string) *Error {
	text, _ := json.Marshal(required) // what is not UTF-8 is replaced
	return &Error{
		Code: CodeInvalidCallOrder, Message: ErrInvalidCallOrder.Message,
		Data: fmt.Appendf(nil, `{"required":%s}`, text),
	}
}

// An UnexpectedResultError says that a request was answered with a result that the
// protocol document does not know.
type UnexpectedResultError struct {
	Type   string          // the method
	Result json.RawMessage // as it came
}

// Error names the method. The result is not shown.
func (e *UnexpectedResultError) Error() string {
	return "msejsonrpc: unexpected result of " + e.Type
}

// What ends a session or a call besides the peer, to be tested with errors.Is.
var (
	// ErrSlowConsumer: the application did not read what arrived for it.
	ErrSlowConsumer = link.ErrSlowConsumer
	// ErrSlowPeer: the peer did not read what was sent to it.
	ErrSlowPeer = link.ErrSlowPeer
	// ErrFlood: the peer kept sending faster than its limits.
	ErrFlood = link.ErrFlood
	// ErrHandshakeTimeout: the server did not answer auth or start in time.
	ErrHandshakeTimeout = errors.New("msejsonrpc: handshake timed out")
	// ErrHeartbeat: the server did not answer a ping in time.
	ErrHeartbeat = errors.New("msejsonrpc: no answer to the heartbeat")
	// ErrCallTimeout: the server did not answer a request in time.
	ErrCallTimeout = errors.New("msejsonrpc: no answer in time")
	// ErrTooManyCalls: as many requests wait for their answer as may.
	ErrTooManyCalls = errors.New("msejsonrpc: too many requests are pending")
	// ErrConnectionLost: the connection ended before the answer came.
	ErrConnectionLost = errors.New("msejsonrpc: connection lost")
	// ErrNotAuthorized: the server says, in whatever way, that the client may not do
	// that: its token was refused, it has not sent one, or it is not entitled.
	ErrNotAuthorized = errors.New("msejsonrpc: not authorized")
	// ErrServerClosed: the server has been closed.
	ErrServerClosed = link.ErrServerClosed
	// ErrTooManyConnections: the server has as many as it may.
	ErrTooManyConnections = link.ErrTooManyConnections
)

var (
	errMissing   = errors.New("missing")
	errEmpty     = errors.New("empty")
	errVersion   = errors.New(`not "2.0"`)
	errNoKind    = errors.New("neither a method nor a response")
	errNotOnWire = errors.New("does not exist on the wire")
	errBinary    = errors.New("binary message")
	errTooBig    = errors.New("message too big")
	errUnpaired  = errors.New("answers no request")
	errNoRequest = errors.New("a response, but nothing was asked")
	errNoID      = errors.New("a request without an id")
)
