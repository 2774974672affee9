package msejsonrpc

import (
	"fmt"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The timers of both sides.
const (
	// DefaultHandshakeTimeout is how long a client waits for the answers to auth and
	// start together.
	DefaultHandshakeTimeout = 15 * time.Second
	// DefaultCallTimeout is how long a client waits for any other answer.
	DefaultCallTimeout = 10 * time.Second
	// DefaultHeartbeat is how often a client pings.
	DefaultHeartbeat = 20 * time.Second
	// DefaultAuthTimeout is how long a server waits for a client to authenticate.
	DefaultAuthTimeout = 10 * time.Second
	// DefaultStartTimeout is how long it waits for start after that.
	DefaultStartTimeout = time.Minute
)

// A ClientState is where a client's connection stands.
type ClientState int

// The states of a client, in their order.
const (
	ClientIdle           ClientState = iota // no connection
	ClientConnected                         // not authenticated
	ClientAuthenticating                    // auth sent, for the first time or again
	ClientAuthorized                        // authenticated
	ClientStarting                          // start sent
	ClientActive                            // started: media away
	ClientClosed                            // over
)

var clientStates = [...]string{"idle", "connected", "authenticating", "authorized", "starting", "active", "closed"}

// String returns the state's name.
func (s ClientState) String() string { return stateName(clientStates[:], int(s)) }

// A ServerState is where one connection of a server stands.
type ServerState int

// The states of a server's connection. While the application is asked about an auth or
// a start, the state stays what it was.
const (
	ServerNew        ServerState = iota // not authenticated
	ServerAuthorized                    // authenticated
	ServerActive                        // started
)

var serverStates = [...]string{"new", "authorized", "active"}

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
	e := &StateError{State: state, Type: name(m)}
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
	Deliver []Message // to the application
	Done    []Reply   // requests that are over
	Ignored []Violation
	Close   *CloseReason // after the sends; nil keeps the connection
}

// A Reply is what became of a request.
type Reply struct {
	Request  Message   // as it was given to [ClientMachine.Send]
	Response *Response // nil when none came
	Err      error     // nil after a success
}

// A Violation is a message that broke the rules and could not be answered, because it
// asked for no answer.
type Violation struct {
	Peer PeerID // who sent it; 0 is a client's server
	Type string // the method, "response" for a response
	Err  error  // what was wrong; an [*Error] is what a request would have been told
}

// A CloseReason says how to close a connection and why.
type CloseReason struct {
	Code   transport.StatusCode
	Reason string // in the close frame
	Err    error  // what the session's error is then; nil for an orderly end
	Final  bool   // connecting again is of no use
}
