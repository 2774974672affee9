package cuttlefish

import (
	"encoding/json"

	"github.com/rtcsignal/rtcsignal/internal/link"
)

// A Message is one message of the protocol: a [*Register], … or an [*Unknown].
// Messages are plain data: they may be copied and read by several goroutines.
type Message interface {
	// Validate reports what is wrong with the message as it stands, whatever the
	// state of the connection. The error is a [*ValidationError].
	Validate() error

	wireType() string // "" for the messages without message_type; closes the set
}

// Fields are members of a JSON object by name, as they stand on the wire.
type Fields map[string]json.RawMessage

// Register makes a device known under its id. It is the first message of a device.
//
// Device to server.
type Register struct {
	DeviceID   string          `json:"device_id"`
	DeviceInfo json.RawMessage `json:"device_info,omitempty"` // any JSON; see [DeviceInfo] for what real devices send
	DevicePort *int            `json:"device_port,omitzero"`  // TCP port of the device's file server; today's operator
	Extra      Fields          `json:"-"`
}

// Forward carries a payload to the other side. A device names the client with
// ClientID; a client leaves it nil, because it talks to one device only.
//
// Device to server, client to server.
type Forward struct {
	ClientID *int            `json:"client_id,omitzero"`
	Payload  json.RawMessage `json:"payload,omitempty"` // any JSON; null differs from absent
	Extra    Fields          `json:"-"`

	frame *link.Frame // what Payload points into, in a server
}

// Client returns the client that a device's Forward is for.
func (m *Forward) Client() (id int, ok bool) {
	if m.ClientID == nil {
		return 0, false
	}
	return *m.ClientID, true
}

// Config tells a device or a client which ICE servers to use. It comes before
// anything else.
//
// Server to device, server to client.
type Config struct {
	ICEServers []ICEServer `json:"ice_servers"`
	Extra      Fields      `json:"-"`
}

// ICEServer is one STUN or TURN server, as in RTCIceServer.
type ICEServer struct {
	URLs           []string `json:"urls"` // always an array: the real device fails on a plain string
	Username       string   `json:"username,omitempty"`
	Credential     string   `json:"credential,omitempty"`
	CredentialType string   `json:"credentialType,omitempty"` // the Go client of the Host Orchestrator sends "password"
	Extra          Fields   `json:"-"`
}

// ClientMsg is a client's payload on its way to the device. Client ids count from 1
// for each registration of the device and are not used twice.
//
// Server to device.
type ClientMsg struct {
	ClientID int             `json:"client_id"`
	Payload  json.RawMessage `json:"payload"`
	Extra    Fields          `json:"-"`

	frame *link.Frame // what Payload points into, in a server
}

// ClientDisconnected tells a device that a client has left. The real device then
// closes that client's peer connection.
//
// Server to device. The C++ server sends it; the Go servers answer the next forward
// with an error instead, which [DeviceMachine] turns into this message.
type ClientDisconnected struct {
	ClientID int    `json:"client_id"`
	Extra    Fields `json:"-"`
}

// Connect attaches a client to a device. It is the first message of a client.
//
// Client to server.
type Connect struct {
	DeviceID string `json:"device_id"`
	Extra    Fields `json:"-"`
}

// DeviceInfoMsg tells a client what its device has registered, see [DeviceInfo].
// From here on the client may forward.
//
// Server to client.
type DeviceInfoMsg struct {
	DeviceInfo json.RawMessage `json:"device_info"`
	Extra      Fields          `json:"-"`
}

// DeviceMsg is a device's payload on its way to the client.
//
// Server to client.
type DeviceMsg struct {
	Payload json.RawMessage `json:"payload"`
	Extra   Fields          `json:"-"`

	frame *link.Frame // what Payload points into, in a server
}

// Error is what a server says when it refuses something. It has no message_type on
// the wire. It is also the error that a driver returns for it.
//
// Server to device, server to client.
type Error struct {
	Text  string `json:"error"`
	Extra Fields `json:"-"`
}

// Error returns the server's text.
func (m *Error) Error() string { return "cuttlefish: peer says: " + m.Text }

// Unknown is a message of a type that this package does not know. It survives a
// round trip, and may be sent: the protocol document allows new types.
type Unknown struct {
	Type  string
	Extra Fields
}

// Reconnected tells the application that a lost connection has been replaced. It
// does not exist on the wire. After it nothing of before holds: a device's client
// ids count from 1 again, a client's peer connection must be asked for again.
type Reconnected struct{}

func (*Register) wireType() string           { return "register" }
func (*Forward) wireType() string            { return "forward" }
func (*Config) wireType() string             { return "config" }
func (*ClientMsg) wireType() string          { return "client_msg" }
func (*ClientDisconnected) wireType() string { return "client_disconnected" }
func (*Connect) wireType() string            { return "connect" }
func (*DeviceInfoMsg) wireType() string      { return "device_info" }
func (*DeviceMsg) wireType() string          { return "device_msg" }
func (*Error) wireType() string              { return "" }
func (m *Unknown) wireType() string          { return m.Type }
func (*Reconnected) wireType() string        { return "" }

// registry holds a constructor for each message_type.
var registry = map[string]func() Message{
	"register":            func() Message { return new(Register) },
	"forward":             func() Message { return new(Forward) },
	"config":              func() Message { return new(Config) },
	"client_msg":          func() Message { return new(ClientMsg) },
	"client_disconnected": func() Message { return new(ClientDisconnected) },
	"connect":             func() Message { return new(Connect) },
	"device_info":         func() Message { return new(DeviceInfoMsg) },
	"device_msg":          func() Message { return new(DeviceMsg) },
}
