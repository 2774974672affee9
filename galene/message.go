package galene

import (
	"encoding/json"
)

// A Message is one message of the protocol: a [*Handshake], … an [*Abort] or an
// [*Unknown]. Messages are plain data: they may be copied and read by several goroutines.
//
// Source and Username say who sends a message. A client may leave them out; what it says
// there must be true, or the server closes the connection.
type Message interface {
	// Validate reports what is wrong with the message as it stands, whatever the
	// state of the connection. The error is a [*ValidationError].
	Validate() error

	wireType() string // the discriminator; closes the set
}

// Fields are members of a JSON object by name, as they stand on the wire.
type Fields map[string]json.RawMessage

// Handshake is the first message in both directions. The server's has no ID.
type Handshake struct {
	Version []string `json:"version,omitempty"` // those that the sender speaks, see [Version]
	ID      string   `json:"id,omitempty"`      // of the client; unique in its group
	Extra   Fields   `json:"-"`
}

// Version is the version of the protocol that today's servers speak.
const Version = "2"

// Ping asks for a [Pong], in both directions.
type Ping struct {
	Extra Fields `json:"-"`
}

// Pong answers a [Ping].
type Pong struct {
	Extra Fields `json:"-"`
}

// Join joins a group or leaves it. It is answered with a [Joined].
//
// Client to server.
type Join struct {
	Kind     JoinKind `json:"kind"`
	Username *string  `json:"username,omitempty"` // nil with a token that names the user; "" is anonymous
	Password string   `json:"password,omitempty"`
	Token    string   `json:"token,omitempty"` // in place of a password
	Data     Fields   `json:"data,omitempty"`  // of the user; any JSON
	Group    string   `json:"group"`
	Extra    Fields   `json:"-"`
}

// Joined says what became of a [Join], and later what has changed for the client or its
// group.
//
// Server to client.
type Joined struct {
	Kind        JoinedKind  `json:"kind"`
	Error       ErrorID     `json:"error,omitempty"`       // of JoinedFail, for some causes
	Username    *string     `json:"username,omitempty"`    // that the client has from now on
	Permissions Permissions `json:"permissions,omitempty"` // of the client
	Status      *Status     `json:"status,omitempty"`      // of the group
	// Data is what the group's operators have set. In a JoinedChange about permissions
	// it is absent although the group has data.
	Data  Fields `json:"data,omitempty"`
	Group string `json:"group,omitempty"`
	// Value is the reason of JoinedFail, and where to go of JoinedRedirect.
	Value string `json:"value,omitempty"`
	// RTCConfiguration is for every new peer connection: an RTCConfiguration, see
	// [Joined.Configuration].
	RTCConfiguration json.RawMessage `json:"rtcConfiguration,omitempty"`
	Extra            Fields          `json:"-"`
}

// A Status describes a group, over HTTP and in [Joined].
type Status struct {
	Name              string `json:"name"`
	Redirect          string `json:"redirect,omitempty"` // the group is elsewhere
	Location          string `json:"location,omitempty"` // URL of the group
	Endpoint          string `json:"endpoint,omitempty"` // URL of the WebSocket
	DisplayName       string `json:"displayName,omitempty"`
	Description       string `json:"description,omitempty"`
	AuthServer        string `json:"authServer,omitempty"` // URL, see package galenehttp
	AuthPortal        string `json:"authPortal,omitempty"`
	Locked            bool   `json:"locked,omitempty"`
	ClientCount       *int   `json:"clientCount,omitempty"` // nil when it is not public
	CanChangePassword bool   `json:"canChangePassword,omitempty"`
	Extra             Fields `json:"-"`
}

// User tells of a member of the group, the client itself included.
//
// Server to client.
type User struct {
	Kind        UserKind    `json:"kind"`
	ID          string      `json:"id"`
	Username    *string     `json:"username,omitempty"`
	Permissions Permissions `json:"permissions,omitempty"` // all of them; none with UserDelete
	Data        Fields      `json:"data,omitempty"`        // all of it
	Extra       Fields      `json:"-"`
	// Initial, which is not on the wire, is set by [ClientMachine] for those who were in
	// the group when the client joined.
	Initial bool `json:"-"`
}

// Chat is a message of one user to the group, or with Dest to one member.
type Chat struct {
	Kind       ChatKind        `json:"kind,omitempty"`
	ID         string          `json:"id,omitempty"` // of the message; a client may leave it to the server
	Source     string          `json:"source,omitempty"`
	Dest       string          `json:"dest,omitempty"`
	Username   *string         `json:"username,omitempty"`
	Privileged bool            `json:"privileged,omitempty"` // the server says that the sender is an operator
	Value      json.RawMessage `json:"value,omitempty"`      // a string, but for applications of their own
	NoEcho     bool            `json:"noecho,omitempty"`     // not to the sender
	Time       Time            `json:"time,omitempty"`       // set by the server
	Extra      Fields          `json:"-"`
}

// ChatHistory is a [Chat] that was sent before the client joined.
//
// Server to client, after [JoinedJoin].
type ChatHistory struct {
	Kind     ChatKind        `json:"kind,omitempty"`
	ID       string          `json:"id,omitempty"`
	Source   string          `json:"source,omitempty"`
	Username *string         `json:"username,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`
	Time     Time            `json:"time,omitempty"`
	Extra    Fields          `json:"-"`
}

// UserMessage is a message to the program of a user rather than to its reader. What says
// error, warning, info, kicked, mute, clearchat, token, tokenlist or userinfo must be
// obeyed or shown only if it is Privileged.
type UserMessage struct {
	Kind       UserMessageKind `json:"kind,omitempty"`
	Error      ErrorID         `json:"error,omitempty"` // of a token action
	ID         string          `json:"id,omitempty"`    // of UserMessageKicked: who did it
	Source     string          `json:"source,omitempty"`
	Dest       string          `json:"dest,omitempty"`
	Username   *string         `json:"username,omitempty"`
	Privileged bool            `json:"privileged,omitempty"` // from the server or an operator
	Value      json.RawMessage `json:"value,omitempty"`
	NoEcho     bool            `json:"noecho,omitempty"`
	Time       Time            `json:"time,omitempty"`
	Extra      Fields          `json:"-"`
}

// UserAction does something to a member.
//
// Client to server; what comes of it is seen by its effect.
type UserAction struct {
	Kind     UserActionKind  `json:"kind"`
	Source   string          `json:"source,omitempty"`
	Dest     string          `json:"dest,omitempty"`
	Username *string         `json:"username,omitempty"` // of the sender
	Value    json.RawMessage `json:"value,omitempty"`
	Extra    Fields          `json:"-"`
}

// GroupAction does something to the group.
//
// Client to server; what comes of it is seen by its effect.
type GroupAction struct {
	Kind     GroupActionKind `json:"kind"`
	Source   string          `json:"source,omitempty"`
	Username *string         `json:"username,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`
	Extra    Fields          `json:"-"`
}

// Request says which streams the client wants, in place of what it said before.
//
// Client to server, once joined.
type Request struct {
	// Request holds, by label of a stream, which tracks of it are wanted; "" is for all
	// other labels. Nil wants nothing.
	Request map[string][]TrackKind `json:"request,omitzero"`
	// Tracks is what the dialect of the protocol document has instead: by label of a
	// track, true, false or the largest bit rate.
	Tracks Fields `json:"-"`
	Extra  Fields `json:"-"`
}

// RequestStream says which tracks of one stream the client wants.
//
// Client to server, for a stream that it receives: an ID that the server does not know
// ends the connection.
type RequestStream struct {
	ID      string      `json:"id"`
	Request []TrackKind `json:"request,omitzero"` // nil: as [Request] says; empty: the stream is closed
	Extra   Fields      `json:"-"`
}

// Offer begins a stream or negotiates it anew. Who sends the media sends the offer.
type Offer struct {
	Kind     string            `json:"kind,omitempty"` // "renegotiate" from some clients; means nothing
	ID       string            `json:"id"`             // of the stream
	Replace  string            `json:"replace,omitempty"`
	Source   string            `json:"source,omitempty"`
	Username *string           `json:"username,omitempty"`
	SDP      string            `json:"sdp"`
	Label    string            `json:"label,omitempty"`  // fixed by the first offer of an ID
	Labels   map[string]string `json:"labels,omitempty"` // by mid, in the dialect of the protocol document
	Extra    Fields            `json:"-"`
}

// Answer answers an [Offer].
type Answer struct {
	ID    string `json:"id"`
	SDP   string `json:"sdp"`
	Extra Fields `json:"-"`
}

// ICE carries a candidate of a stream. There is no end of the candidates: a null closes
// the connection.
type ICE struct {
	ID        string          `json:"id"`
	Candidate json.RawMessage `json:"candidate,omitempty"` // an RTCIceCandidateInit, see [ICE.Init]
	Extra     Fields          `json:"-"`
}

// Renegotiate asks the sender of a stream for a new offer with an ICE restart.
type Renegotiate struct {
	ID    string `json:"id"`
	Extra Fields `json:"-"`
}

// Close ends a stream, from its sender's side. It may come for streams that were never
// offered.
type Close struct {
	ID    string `json:"id"`
	Extra Fields `json:"-"`
}

// Abort asks the sender of a stream to close it.
type Abort struct {
	ID    string `json:"id"`
	Extra Fields `json:"-"`
}

// Unknown is a message of a type that this package does not know. It survives a round
// trip, and may be sent; a server closes the connection for it.
type Unknown struct {
	Type  string
	Extra Fields // every member but type
}

// Reconnected tells the application that a lost connection has been replaced and its group
// joined again, under a new client id. It does not exist on the wire. Streams are gone:
// what was sent must be offered again, what was received is offered again.
type Reconnected struct{}

func (*Handshake) wireType() string     { return "handshake" }
func (*Ping) wireType() string          { return "ping" }
func (*Pong) wireType() string          { return "pong" }
func (*Join) wireType() string          { return "join" }
func (*Joined) wireType() string        { return "joined" }
func (*User) wireType() string          { return "user" }
func (*Chat) wireType() string          { return "chat" }
func (*ChatHistory) wireType() string   { return "chathistory" }
func (*UserMessage) wireType() string   { return "usermessage" }
func (*UserAction) wireType() string    { return "useraction" }
func (*GroupAction) wireType() string   { return "groupaction" }
func (*Request) wireType() string       { return "request" }
func (*RequestStream) wireType() string { return "requestStream" }
func (*Offer) wireType() string         { return "offer" }
func (*Answer) wireType() string        { return "answer" }
func (*ICE) wireType() string           { return "ice" }
func (*Renegotiate) wireType() string   { return "renegotiate" }
func (*Close) wireType() string         { return "close" }
func (*Abort) wireType() string         { return "abort" }
func (m *Unknown) wireType() string     { return m.Type }
func (*Reconnected) wireType() string   { return "" }

// registry holds a constructor for each type.
var registry = map[string]func() Message{
	"handshake":     func() Message { return new(Handshake) },
	"ping":          func() Message { return new(Ping) },
	"pong":          func() Message { return new(Pong) },
	"join":          func() Message { return new(Join) },
	"joined":        func() Message { return new(Joined) },
	"user":          func() Message { return new(User) },
	"chat":          func() Message { return new(Chat) },
	"chathistory":   func() Message { return new(ChatHistory) },
	"usermessage":   func() Message { return new(UserMessage) },
	"useraction":    func() Message { return new(UserAction) },
	"groupaction":   func() Message { return new(GroupAction) },
	"request":       func() Message { return new(Request) },
	"requestStream": func() Message { return new(RequestStream) },
	"offer":         func() Message { return new(Offer) },
	"answer":        func() Message { return new(Answer) },
	"ice":           func() Message { return new(ICE) },
	"renegotiate":   func() Message { return new(Renegotiate) },
	"close":         func() Message { return new(Close) },
	"abort":         func() Message { return new(Abort) },
}
