package cuttlefish

import (
	"fmt"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultHandshakeTimeout is how long each side waits for the other's part of the
// handshake.
const DefaultHandshakeTimeout = 10 * time.Second

// A ClientState is where a client's connection stands.
type ClientState int

// The states of a client, in their order.
const (
	ClientIdle       ClientState = iota // no connection
	ClientConnecting                    // connect sent, no config yet
	ClientWaiting                       // config received; the device may not be there yet
	ClientReady                         // device_info received: forward away
	ClientClosed                        // over
)

var clientStates = [...]string{"idle", "connecting", "waiting", "ready", "closed"}

// String returns the state's name.
func (s ClientState) String() string { return stateName(clientStates[:], int(s)) }

// A DeviceState is where a device's connection stands.
type DeviceState int

// The states of a device, in their order.
const (
	DeviceIdle        DeviceState = iota // no connection
	DeviceRegistering                    // register sent, no config yet
	DeviceRegistered                     // config received: clients may come
	DeviceClosed                         // over
)

var deviceStates = [...]string{"idle", "registering", "registered", "closed"}

// String returns the state's name.
func (s DeviceState) String() string { return stateName(deviceStates[:], int(s)) }

// A ServerState is where one connection of a server stands.
type ServerState int

// The states of a server's connection. Device connections go from New over Deciding
// to Registered; client connections from New over Deciding to Attached, or to Waiting
// first.
const (
	ServerNew        ServerState = iota // nothing received yet
	ServerDeciding                      // the application has been asked
	ServerRegistered                    // a device that clients can find
	ServerWaiting                       // a client whose device is not there yet
	ServerAttached                      // a client with its device
)

var serverStates = [...]string{"new", "deciding", "registered", "waiting", "attached"}

// String returns the state's name.
func (s ServerState) String() string { return stateName(serverStates[:], int(s)) }

func stateName(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return fmt.Sprintf("state(%d)", i)
	}
	return names[i]
}

// stateError says that m may be sent in the states required only.
func stateError(state fmt.Stringer, m Message, required ...fmt.Stringer) *StateError {
	e := &StateError{State: state, Type: name(m)}
	for _, s := range required {
		e.Required = append(e.Required, s.String())
	}
	slices.Sort(e.Required)
	return e
}

// Effects are what a step of [ClientMachine] or [DeviceMachine] asks of its driver,
// carried out in the order of the fields.
type Effects struct {
	Send    []Message
	Deliver []Message    // to the application
	Close   *CloseReason // after the sends; nil keeps the connection
}

// A CloseReason says how to close a connection and why.
type CloseReason struct {
	Code   transport.StatusCode
	Reason string // in the close frame
	Err    error  // what the session's error is then
	Final  bool   // connecting again is of no use
}
