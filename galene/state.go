package galene

import (
	"fmt"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// The timers of both sides.
const (
	// DefaultHandshakeTimeout is how long each side waits for the other's handshake.
	DefaultHandshakeTimeout = 15 * time.Second
	// DefaultCallTimeout is how long a client waits for the answer to a join or a token
	// action.
	DefaultCallTimeout = 15 * time.Second
	// DefaultHeartbeat is the silence after which a client pings.
	DefaultHeartbeat = 15 * time.Second
	// DefaultSilence is the silence after which a client takes its connection for lost.
	DefaultSilence = 45 * time.Second
	// DefaultRequestAgain is how long after joining a client repeats its request, because
	// Galène may forget to offer a stream that began when the client joined.
	DefaultRequestAgain = time.Second
	// ServerTick is how often a server looks at a connection: at one after more than
	// PingAfter of silence it pings, at one after more than DeadAfter it ends the
	// connection.
	ServerTick = 10 * time.Second
	PingAfter  = 20 * time.Second
	DeadAfter  = 45 * time.Second
)

// A ClientState is where a client's connection stands.
type ClientState int

// The states of a client, in their order.
const (
	ClientIdle        ClientState = iota // no connection
	ClientHandshaking                    // handshake sent
	ClientReady                          // in no group
	ClientJoining                        // join sent
	ClientJoined                         // in a group
	ClientLeaving                        // join of kind leave sent
	ClientClosed                         // over
)

var clientStates = [...]string{"idle", "handshaking", "ready", "joining", "joined", "leaving", "closed"}

// String returns the state's name.
func (s ClientState) String() string { return stateName(clientStates[:], int(s)) }

// A ServerState is where one connection of a server stands.
type ServerState int

// The states of a server's connection.
const (
	ServerHandshaking ServerState = iota // nothing received
	ServerReady                          // in no group; while the application is asked about a join, too
	ServerJoined                         // in a group
)

var serverStates = [...]string{"handshaking", "ready", "joined"}

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
	Done    []Reply      // joins and token actions that are over
	Close   *CloseReason // after the sends; nil keeps the connection
}

// A Reply is what became of a [Join] or a [GroupAction] about tokens.
type Reply struct {
	Request  Message // as it was given to [ClientMachine.Send]
	Response Message // a *Joined or a *UserMessage; nil when none came
	Err      error   // nil after a success
}

// A CloseReason says how to close a connection and why.
type CloseReason struct {
	Code   transport.StatusCode
	Reason string // in the close frame
	Err    error  // what the session's error is then; nil for an orderly end
	Final  bool   // connecting again is of no use
}
