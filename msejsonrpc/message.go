package msejsonrpc

import (
	"encoding/json"
)

// A Message is one message of the protocol: a [*Ping], … a [*Response] or an [*Unknown].
// Messages are plain data: they may be copied and read by several goroutines.
//
// In a message with a method, Extra holds further members of params, and Envelope
// further members beside id, method, jsonrpc and params.
type Message interface {
	// Validate reports what is wrong with the message as it stands, whatever the
	// state of the connection. The error is a [*ValidationError].
	Validate() error

	wireType() string // the method; "" for a response; closes the set
}

// Fields are members of a JSON object by name, as they stand on the wire.
type Fields map[string]json.RawMessage

// Ping asks for a "pong". It is allowed in every state and serves as heartbeat.
//
// Request, client to server.
type Ping struct {
	ID       ID     `json:"-"`
	Extra    Fields `json:"-"`
	Envelope Fields `json:"-"`
}

// Auth authenticates the connection. Until start, it may be sent again with a fresh
// token.
//
// Request, client to server; answered with "authenticated".
type Auth struct {
	ID       ID     `json:"-"`
	Token    string `json:"token"`   // a JWT
	Version  string `json:"version"` // of the protocol: [Version]
	Extra    Fields `json:"-"`
	Envelope Fields `json:"-"`
}

// Version is the version of the protocol.
const Version = "1.0"

// Start starts the video service. From its answer on, descriptions and candidates go in
// both directions.
//
// Request, client to server, after auth; answered with "started".
type Start struct {
	ID       ID     `json:"-"`
	Extra    Fields `json:"-"`
	Envelope Fields `json:"-"`
}

// WhoAmI asks what the server knows about the client. Servers have it in development
// environments only.
//
// Request, client to server, after auth; answered with an [Identity].
type WhoAmI struct {
	ID       ID     `json:"-"`
	Extra    Fields `json:"-"`
	Envelope Fields `json:"-"`
}

// ICECandidate carries a candidate, or the end of the candidates.
//
// Notification, in both directions, after start.
type ICECandidate struct {
	ID        ID              `json:"-"`
	Candidate json.RawMessage `json:"candidate,omitempty"` // see [ICECandidate.Init]
	Extra     Fields          `json:"-"`
	Envelope  Fields          `json:"-"`
}

// SDPOffer carries a session description: an offer, or, as the protocol has no other
// method for it, the answer to one.
//
// Notification, in both directions, after start.
type SDPOffer struct {
	ID       ID              `json:"-"`
	Offer    json.RawMessage `json:"offer,omitempty"` // see [SDPOffer.Description]
	Extra    Fields          `json:"-"`
	Envelope Fields          `json:"-"`
}

// Disconnect ends the session; the server closes the connection.
//
// Notification, client to server.
type Disconnect struct {
	ID       ID     `json:"-"`
	Extra    Fields `json:"-"`
	Envelope Fields `json:"-"`
}

// Chat is a message to other clients. The protocol document says that it is not
// implemented, so both sides need an option for it. It does not say who wrote it.
//
// Notification, in both directions, after auth.
type Chat struct {
	ID         ID              `json:"-"`
	To         []string        `json:"to"` // user ids; empty: everybody in the room
	Message    string          `json:"message"`
	Attachment json.RawMessage `json:"attachment,omitempty"` // any JSON
	Extra      Fields          `json:"-"`
	Envelope   Fields          `json:"-"`
}

// Response answers a request with a result or an error.
//
// Server to client; and client to server for a request that the client does not know.
type Response struct {
	ID     ID
	Result json.RawMessage // nil when there is none; null is one
	Error  *Error
	Extra  Fields // further members beside id, jsonrpc, result and error
}

// Unknown is a message with a method that this package does not know. It survives a
// round trip, and may be sent.
type Unknown struct {
	Type  string // the method
	ID    ID
	Extra Fields // every member but id, method and jsonrpc: params is among them
}

// Reconnected tells the application that a lost connection has been replaced. It does
// not exist on the wire. After it the session begins anew: the server knows nothing of
// the peer connection that there was.
type Reconnected struct{}

func (*Ping) wireType() string         { return "ping" }
func (*Auth) wireType() string         { return "auth" }
func (*Start) wireType() string        { return "start" }
func (*WhoAmI) wireType() string       { return "whoami" }
func (*ICECandidate) wireType() string { return "iceCandidate" }
func (*SDPOffer) wireType() string     { return "sdpOffer" }
func (*Disconnect) wireType() string   { return "disconnect" }
func (*Chat) wireType() string         { return "chat" }
func (*Response) wireType() string     { return "" }
func (m *Unknown) wireType() string    { return m.Type }
func (*Reconnected) wireType() string  { return "" }

// registry holds a constructor for each method.
var registry = map[string]func() call{
	"ping":         func() call { return new(Ping) },
	"auth":         func() call { return new(Auth) },
	"start":        func() call { return new(Start) },
	"whoami":       func() call { return new(WhoAmI) },
	"iceCandidate": func() call { return new(ICECandidate) },
	"sdpOffer":     func() call { return new(SDPOffer) },
	"disconnect":   func() call { return new(Disconnect) },
	"chat":         func() call { return new(Chat) },
}

// A call is a message with one of the known methods.
type call interface {
	Message
	head() (*ID, *Fields) // its id and its envelope
}

func (m *Ping) head() (*ID, *Fields)         { return &m.ID, &m.Envelope }
func (m *Auth) head() (*ID, *Fields)         { return &m.ID, &m.Envelope }
func (m *Start) head() (*ID, *Fields)        { return &m.ID, &m.Envelope }
func (m *WhoAmI) head() (*ID, *Fields)       { return &m.ID, &m.Envelope }
func (m *ICECandidate) head() (*ID, *Fields) { return &m.ID, &m.Envelope }
func (m *SDPOffer) head() (*ID, *Fields)     { return &m.ID, &m.Envelope }
func (m *Disconnect) head() (*ID, *Fields)   { return &m.ID, &m.Envelope }
func (m *Chat) head() (*ID, *Fields)         { return &m.ID, &m.Envelope }

// idOf returns the id of a message.
func idOf(m Message) ID {
	switch m := m.(type) {
	case call:
		id, _ := m.head()
		return *id
	case *Response:
		return m.ID
	case *Unknown:
		return m.ID
	}
	return NullID
}

// numbered returns a copy of a request with an id.
func numbered(m Message, id ID) Message {
	switch m := m.(type) {
	case *Ping:
		c := *m
		c.ID = id
		return &c
	case *Auth:
		c := *m
		c.ID = id
		return &c
	case *Start:
		c := *m
		c.ID = id
		return &c
	case *WhoAmI:
		c := *m
		c.ID = id
		return &c
	}
	return m
}

// isRequest reports whether the document gives a method an answer.
func isRequest(method string) bool {
	switch method {
	case "ping", "auth", "start", "whoami":
		return true
	}
	return false
}

// hasParams reports whether the document gives a method members in params.
func hasParams(method string) bool {
	switch method {
	case "auth", "iceCandidate", "sdpOffer", "chat":
		return true
	}
	return false
}
