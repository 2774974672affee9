package mediasoupproto

import (
	"fmt"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The timers of both sides.
const (
	// DefaultHandshakeTimeout is how long a client that was in a room takes at most to be
	// there again on a new connection.
	DefaultHandshakeTimeout = 15 * time.Second
	// DefaultCallTimeout is how long a client waits for an answer, as mediasoup-client does.
	DefaultCallTimeout = 30 * time.Second
	// DefaultJoinTimeout is how long a server waits for a connection's first join.
	DefaultJoinTimeout = 15 * time.Second
	// MinStatsInterval is the least time between two statistics; less counts as this.
	MinStatsInterval = time.Second
)

// A ClientState is where a client's connection stands.
type ClientState int

// The states of a client, in their order.
const (
	ClientIdle    ClientState = iota // no connection
	ClientNew                        // not in the room
	ClientJoining                    // join sent
	ClientJoined                     // in the room
	ClientLeft                       // out of the room, by its own will or the server's; may join again
	ClientClosed                     // over
)

var clientStates = [...]string{"idle", "new", "joining", "joined", "left", "closed"}

// String returns the state's name.
func (s ClientState) String() string { return stateName(clientStates[:], int(s)) }

// A ServerState is where one connection of a server stands.
type ServerState int

// The states of a server's connection.
const (
	ServerNew     ServerState = iota // no peer of the room
	ServerJoining                    // the application is asked about its join
	ServerJoined                     // a peer of the room
	ServerLeft                       // not any more; may join again
)

var serverStates = [...]string{"new", "joining", "joined", "left"}

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
	Deliver []Message    // to the application
	Done    []Reply      // requests that have been answered, or will not be
	Ignored []Message    // what the server had no reason to say
	Close   *CloseReason // after the sends; nil keeps the connection
}

// A Reply is what became of a request.
type Reply struct {
	Request  Message   // as it was given to [ClientMachine.Send]
	Response *Response // nil when none came
	Err      error     // nil after a success; an [*Error] is the server's
}

// A CloseReason says how to close a connection and why.
type CloseReason struct {
	Code   transport.StatusCode
	Reason string // in the close frame
	Err    error  // what the session's error is then; nil for an orderly end
	Final  bool   // connecting again is of no use
}
