package cuttlefish

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
	Type  string // message_type, when it was found
	Field string // path of the member, or "" for the message as a whole
	Err   error

	frame string // bounded; goes back to its sender only
}

// Error says what is wrong and where.
func (e *DecodeError) Error() string {
	var b strings.Builder
	b.WriteString("cuttlefish: decode")
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
	Type   string // message_type, or the payload's type
	Field  string // path such as ice_servers[0].urls
	Reason string
}

// Error says what is wrong and where.
func (e *ValidationError) Error() string {
	return fmt.Sprintf("cuttlefish: invalid %s: %s: %s", e.Type, e.Field, e.Reason)
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
		return fmt.Sprintf("cuttlefish: cannot send %s", e.Type)
	}
	return fmt.Sprintf("cuttlefish: cannot send %s while %s (only while %s)", e.Type, e.State, strings.Join(e.Required, " or "))
}

// What ends a session besides the peer, to be tested with errors.Is.
var (
	// ErrSlowConsumer: the application did not read what arrived for it.
	ErrSlowConsumer = link.ErrSlowConsumer
	// ErrSlowPeer: the peer did not read what was sent to it.
	ErrSlowPeer = link.ErrSlowPeer
	// ErrFlood: the peer kept sending faster than its limits.
	ErrFlood = link.ErrFlood
	// ErrTooMuchState: the server made the client or the device keep more than its StateBytes.
	ErrTooMuchState = kept.ErrTooMuch
	// ErrHandshakeTimeout: the peer did not finish the handshake in time.
	ErrHandshakeTimeout = errors.New("cuttlefish: handshake timed out")
	// ErrServerClosed: the server has been closed.
	ErrServerClosed = link.ErrServerClosed
	// ErrTooManyConnections: the server has as many as it may.
	ErrTooManyConnections = link.ErrTooManyConnections
)

// The texts of the real servers. On the document's endpoints they are those of the
// original C++ server (staging/host/frontend/webrtc_operator), or, where that one is
// silent, of the Go server of November 2021; on the operator's endpoints those of
// today's operator (frontend/src/liboperator/operator/operator.go). The double spaces
// and newlines are theirs.
const (
	textInvalidJSON    = "Received Invalid JSON"
	textInvalidFormat  = "Invalid message format: '%s'"
	textUnknownType    = "Unknown message type: %s"
	textBinary         = "Received a binary message"
	textNoDeviceID     = "Missing device id in registration request"
	textRegistered     = "Device already registered: %s"
	textTaken          = "Device id already taken:  %s\n"
	textNoClientID     = "Forward failed: Missing or invalid client id"
	textNoPayload      = "Forward failed: Missing payload"
	textUnknownClient  = "Forward failed: Unknown client %d"
	textConnectNoID    = "Invalid connection request: Missing device id"
	textNoDevice       = "Connection failed: Device not found: '%s'"
	textNotConnected   = "Forward failed: No device associated to client"
	textConnectedTwice = "Attempt to connect to multiple devices over same websocket"
	textClientNoPay    = "Forward failed: No payload present in message"
	textDeviceGone     = "Device disconnected"

	textOperatorNoDeviceID = "Missing device_id"
	textOperatorNoClientID = "Device forward message missing client id"
	textOperatorNoPayload  = "Device forward message missing payload"
	textOperatorNoClient   = "Client disconnected:  %d\n"
	textOperatorNoDevice   = "Device not found"

	// Ours: no real server has these limits or hooks.
	textTooBig        = "Forward failed: Message too large for the device"
	textTooManyOffer  = "Forward failed: Too many request-offer messages"
	textBadPayload    = "Forward failed: Invalid payload: %s"
	textTooMany       = "Too many %s"
	textLongDeviceID  = "Device id too long"
	textBigDeviceInfo = "Device info too large"
	textWaited        = "Connection failed: Device did not register in time: '%s'"
	textInternal      = "Internal server error"
)
