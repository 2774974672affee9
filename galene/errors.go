package galene

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
}

// Error says what is wrong and where.
func (e *DecodeError) Error() string {
	var b strings.Builder
	b.WriteString("galene: decode")
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
	Field  string // path such as candidate.sdpMid
	Reason string
}

// Error says what is wrong and where.
func (e *ValidationError) Error() string {
	return fmt.Sprintf("galene: invalid %s: %s: %s", e.Type, e.Field, e.Reason)
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
		return fmt.Sprintf("galene: cannot send %s", e.Type)
	}
	return fmt.Sprintf("galene: cannot send %s while %s (only while %s)", e.Type, e.State, strings.Join(e.Required, " or "))
}

// A PermissionError says that a client lacks a permission. The message was not sent: the
// server would have answered "not authorised".
type PermissionError struct {
	Type     string
	Required Permission
}

// Error names the message and the permission.
func (e *PermissionError) Error() string {
	return fmt.Sprintf("galene: %s needs the permission %q", e.Type, e.Required)
}

// An Error is what a server answers when it refuses something: a join or a token action
// (with an ID for some causes), and with an Abort of a stream. It is also what a hook of a
// server returns to say it to the client.
type Error struct {
	ID       ErrorID
	Text     string
	Redirect string // of a join: the URL of the group, which is elsewhere
	Username string // of a join: the name that was accepted nevertheless
}

// Error returns the text.
func (e *Error) Error() string {
	if e.Redirect != "" {
		return "galene: the group is at " + e.Redirect
	}
	if e.ID != "" && string(e.ID) != e.Text {
		return fmt.Sprintf("galene: %s (%s)", e.Text, e.ID)
	}
	return "galene: " + e.Text
}

// Is reports whether target is an [*Error] of the same ID, if it has one of a join, or
// otherwise of the same text and, if target has one, of the same ID. The texts that belong
// to the IDs of a join have changed over the years.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	switch {
	case !ok:
		return false
	case t.ID == ErrorNeedUsername, t.ID == ErrorDuplicateUsername:
		return e.ID == t.ID
	}
	return e.Text == t.Text && (t.ID == "" || e.ID == t.ID) && e.Redirect == t.Redirect
}

// The errors of Galène with their texts, for comparison with [errors.Is] and to be returned
// from hooks. They must not be changed.
var (
	ErrNotAuthorised     = &Error{Text: "not authorised"} // a join with bad credentials, too
	ErrNeedUsername      = &Error{ID: ErrorNeedUsername, Text: "username required"}
	ErrDuplicateUsername = &Error{ID: ErrorDuplicateUsername, Text: "not authorised: this username is taken"}
	ErrNoGroup           = &Error{Text: "group does not exist"}
	ErrIllegalGroupName  = &Error{Text: "illegal group name"}
	ErrLocked            = &Error{Text: "this group is locked"}
	ErrNotOpenYet        = &Error{Text: "this group is not open yet"}
	ErrClosed            = &Error{Text: "this group is closed"}
	ErrNoOperators       = &Error{Text: "there are no operators in this group"}
	ErrTooManyUsers      = &Error{Text: "too many users"}
	ErrInternal          = &Error{Text: "internal server error"}
)

// A KickedError ends a client that an operator, or the server, has thrown out.
type KickedError struct {
	By      string // client id; "" for the server
	ByName  string
	Message string
}

// Error says who did it and what he said.
func (e *KickedError) Error() string {
	if e.ByName == "" {
		return "galene: kicked out: " + e.Message
	}
	return fmt.Sprintf("galene: kicked out by %s: %s", e.ByName, e.Message)
}

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
	// ErrHandshakeTimeout: the server did not answer the handshake in time.
	ErrHandshakeTimeout = errors.New("galene: handshake timed out")
	// ErrVersion: the server speaks none of the versions that the client does, or does not
	// begin with a handshake.
	ErrVersion = errors.New("galene: the server speaks another version of the protocol")
	// ErrHeartbeat: the server was silent for too long.
	ErrHeartbeat = errors.New("galene: the server is silent")
	// ErrCallTimeout: the server did not answer a join or a token action in time.
	ErrCallTimeout = errors.New("galene: no answer in time")
	// ErrTooManyCalls: as many token actions wait for their answer as may.
	ErrTooManyCalls = errors.New("galene: too many actions are pending")
	// ErrUnknownStream: there is no stream of that id, any more or yet.
	ErrUnknownStream = errors.New("galene: unknown stream")
	// ErrConnectionLost: the connection ended before the answer came.
	ErrConnectionLost = errors.New("galene: connection lost")
	// ErrServerClosed: the server has been closed.
	ErrServerClosed = link.ErrServerClosed
	// ErrTooManyConnections: the server has as many as it may.
	ErrTooManyConnections = link.ErrTooManyConnections
)

var (
	errMissing   = errors.New("missing")
	errNoType    = errors.New("missing") // of the member type: an object, but no message
	errTime      = errors.New("not a time")
	errTooBig    = errors.New("message too big")
	errTracks    = errors.New("tracks exist in the dialect of the protocol document only")
	errNotOnWire = errors.New("does not exist on the wire")
)
