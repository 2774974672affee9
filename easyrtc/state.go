package easyrtc

import (
	"fmt"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The timers of both sides.
const (
	// DefaultHandshakeTimeout is how long a client waits for the server's connect packet.
	DefaultHandshakeTimeout = 15 * time.Second
	// DefaultCallTimeout is how long a client waits for an acknowledgement. EasyRTC has no
	// such limit, and some messages are never acknowledged.
	DefaultCallTimeout = 10 * time.Second
	// DefaultConnectTimeout is how long a server waits for a client's connect packet, as
	// Socket.IO does.
	DefaultConnectTimeout = 45 * time.Second
	// DefaultLoginTimeout is how long it then waits for the login. The original waits for
	// ever.
	DefaultLoginTimeout = 15 * time.Second
	// DefaultStillAliveGrace is how much later than its interval a [StillAlive] may come.
	DefaultStillAliveGrace = 10 * time.Second
)

// A ClientState is where a client's connection stands.
type ClientState int

// The states of a client, in their order.
const (
	ClientIdle           ClientState = iota // no connection
	ClientOpening                           // waiting for the server's connect packet
	ClientConnected                         // not logged in
	ClientAuthenticating                    // login sent
	ClientReady                             // logged in
	ClientClosed                            // over
)

var clientStates = [...]string{"idle", "opening", "connected", "authenticating", "ready", "closed"}

// String returns the state's name.
func (s ClientState) String() string { return stateName(clientStates[:], int(s)) }

// A ServerState is where one connection of a server stands.
type ServerState int

// The states of a server's connection.
const (
	ServerOpening      ServerState = iota // waiting for the client's connect packet
	ServerConnected                       // not logged in
	ServerReady                           // logged in
	ServerDisconnected                    // logged out or thrown out; the client may connect again
)

var serverStates = [...]string{"opening", "connected", "ready", "disconnected"}

// String returns the state's name.
func (s ServerState) String() string { return stateName(serverStates[:], int(s)) }

func stateName(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return fmt.Sprintf("state(%d)", i)
	}
	return names[i]
}

// stateError says that m may be sent in the states required only.
func stateError(state fmt.Stringer, m Message, required ...ClientState) *StateError {
	e := &StateError{State: state, Type: m.wireType()}
	for _, s := range required {
		e.Required = append(e.Required, s.String())
	}
	slices.Sort(e.Required)
	return e
}

// Effects are what a step of [ClientMachine] asks of its driver, carried out in the
// order of the fields.
type Effects struct {
	Send    []Message
	Deliver []Message    // to the application
	Done    []Reply      // messages that have been acknowledged, or will not be
	Close   *CloseReason // after the sends; nil keeps the connection
}

// A Reply is what became of a message.
type Reply struct {
	Request  Message // as it was given to [ClientMachine.Send]
	Response Message // the acknowledgement; nil when none came
	Err      error   // nil after a success
}

// A CloseReason says how to close a connection and why.
type CloseReason struct {
	Code   transport.StatusCode
	Reason string // in the close frame
	Err    error  // what the session's error is then; nil for an orderly end
	Final  bool   // connecting again is of no use
}
