package easyrtc

import (
	"encoding/json"

	"github.com/rtcsignal/rtcsignal/internal/socketio"
)

// A Message is one message of the protocol: what a packet of Socket.IO carries. Messages
// are plain data: they may be copied and read by several goroutines.
type Message interface {
	// Validate reports what is wrong with the message as it stands, whatever the
	// state of the connection. The error is a [*ValidationError].
	Validate() error

	wireType() string // the discriminator; closes the set
	event() string    // the event of Socket.IO that carries it, or ""
	packet() *Packet  // nil for messages without one
}

// Fields are members of a JSON object by name, as they stand on the wire.
type Fields map[string]json.RawMessage

// An ID numbers the events of one side of a connection. The zero ID is none.
type ID = socketio.ID

// NumberID returns the ID of that number.
func NumberID(n uint64) ID { return socketio.NewID(n) }

// The events of Socket.IO that carry messages.
const (
	EventAuth = "easyrtcAuth" // client to server
	EventCmd  = "easyrtcCmd"
	EventMsg  = "easyrtcMsg"
)

// A Packet is what Socket.IO adds to a message. Clients and servers fill it in.
type Packet struct {
	// ID is the number of an event that wants an acknowledgement, and in an
	// acknowledgement that of the event it is for. Servers ignore events without one.
	ID ID
	// Ack is set in an acknowledgement.
	Ack bool
	// Attachments are binary parts of MsgData. In its JSON each is an object
	// {"_placeholder":true,"num":0} with its index.
	Attachments [][]byte

	checked bool // raw members come out of a scanned text
}

func (p *Packet) packet() *Packet { return p }

// ConnectPacket opens the connection, from the client, and says that it is open, from the
// server. To servers of Engine.IO 3 the client sends none.
type ConnectPacket struct {
	Namespace string          // "" is the only one that EasyRTC uses
	Payload   json.RawMessage // an object; from the server with the sid of Socket.IO
}

// DisconnectPacket ends what ConnectPacket began and leaves the carrier open.
type DisconnectPacket struct {
	Namespace string
}

// ConnectErrorPacket refuses a ConnectPacket.
//
// Server to client.
type ConnectErrorPacket struct {
	Namespace string
	Payload   json.RawMessage // an object with a message, from old servers a text
}

// Authenticate logs in. It is answered with a [Token] or an [ErrorMessage].
//
// Client to server.
type Authenticate struct {
	Packet  `json:"-"`
	MsgData *AuthenticateData `json:"msgData,omitempty"`
	Extra   Fields            `json:"-"`
}

// AuthenticateData say who logs in, and where. A nil member is absent.
type AuthenticateData struct {
	APIVersion      *string                `json:"apiVersion,omitempty"` // needed; any matching text is as good as another
	ApplicationName *string                `json:"applicationName,omitempty"`
	EasyrtcSID      *string                `json:"easyrtcsid,omitempty"` // of a session, which connections share
	Username        *string                `json:"username,omitempty"`
	Credential      json.RawMessage        `json:"credential,omitempty"` // for the server application; an object or an array
	SetPresence     *PresenceUpdate        `json:"setPresence,omitempty"`
	RoomJoin        map[string]RoomRequest `json:"roomJoin,omitzero"` // empty joins the default room
	SetUserCfg      json.RawMessage        `json:"setUserCfg,omitempty"`
	Extra           Fields                 `json:"-"`
}

// A RoomRequest names a room to join or to leave.
type RoomRequest struct {
	RoomName      string          `json:"roomName,omitempty"`      // as the key of the map
	RoomParameter json.RawMessage `json:"roomParameter,omitempty"` // to join; for the server application
	Extra         Fields          `json:"-"`
}

// A PresenceUpdate changes a presence. A nil member leaves it as it is.
type PresenceUpdate struct {
	Show   *Show           `json:"show,omitempty"`
	Status *string         `json:"status,omitempty"`
	Type   json.RawMessage `json:"type,omitempty"`
	Extra  Fields          `json:"-"`
}

// Offer is an offer to another client, or from it.
type Offer struct {
	Packet          `json:"-"`
	TargetEasyrtcID string          `json:"targetEasyrtcid,omitempty"` // client to server
	SenderEasyrtcID string          `json:"senderEasyrtcid,omitempty"` // server to client
	MsgData         json.RawMessage `json:"msgData,omitempty"`         // a [SessionDescription]
	EasyrtcID       string          `json:"easyrtcid,omitempty"`       // the receiver's; server to client
	ServerTime      int64           `json:"serverTime,omitempty"`      // in ms of Unix time; server to client
	Extra           Fields          `json:"-"`
}

// Answer is an answer to another client, or from it. Its members are those of [Offer].
type Answer struct {
	Packet          `json:"-"`
	TargetEasyrtcID string          `json:"targetEasyrtcid,omitempty"`
	SenderEasyrtcID string          `json:"senderEasyrtcid,omitempty"`
	MsgData         json.RawMessage `json:"msgData,omitempty"` // a [SessionDescription]
	EasyrtcID       string          `json:"easyrtcid,omitempty"`
	ServerTime      int64           `json:"serverTime,omitempty"`
	Extra           Fields          `json:"-"`
}

// Candidate is an ICE candidate for another client, or from it. Its members are those of
// [Offer].
type Candidate struct {
	Packet          `json:"-"`
	TargetEasyrtcID string          `json:"targetEasyrtcid,omitempty"`
	SenderEasyrtcID string          `json:"senderEasyrtcid,omitempty"`
	MsgData         json.RawMessage `json:"msgData,omitempty"` // an [ICECandidate]
	EasyrtcID       string          `json:"easyrtcid,omitempty"`
	ServerTime      int64           `json:"serverTime,omitempty"`
	Extra           Fields          `json:"-"`
}

// Reject refuses an offer. Its members are those of [Offer].
type Reject struct {
	Packet          `json:"-"`
	TargetEasyrtcID string          `json:"targetEasyrtcid,omitempty"`
	SenderEasyrtcID string          `json:"senderEasyrtcid,omitempty"`
	MsgData         json.RawMessage `json:"msgData,omitempty"` // must be absent
	EasyrtcID       string          `json:"easyrtcid,omitempty"`
	ServerTime      int64           `json:"serverTime,omitempty"`
	Extra           Fields          `json:"-"`
}

// Hangup ends a call. Its members are those of [Offer].
type Hangup struct {
	Packet          `json:"-"`
	TargetEasyrtcID string          `json:"targetEasyrtcid,omitempty"`
	SenderEasyrtcID string          `json:"senderEasyrtcid,omitempty"`
	MsgData         json.RawMessage `json:"msgData,omitempty"` // must be absent
	EasyrtcID       string          `json:"easyrtcid,omitempty"`
	ServerTime      int64           `json:"serverTime,omitempty"`
	Extra           Fields          `json:"-"`
}

// GetICEConfig asks for an [ICEConfig].
//
// Client to server.
type GetICEConfig struct {
	Packet  `json:"-"`
	MsgData json.RawMessage `json:"msgData,omitempty"` // absent, null or empty
	Extra   Fields          `json:"-"`
}

// GetRoomList asks for a [RoomList].
//
// Client to server.
type GetRoomList struct {
	Packet  `json:"-"`
	MsgData json.RawMessage `json:"msgData,omitempty"` // must be absent
	Extra   Fields          `json:"-"`
}

// RoomJoin joins rooms. It is answered with their [RoomData].
//
// Client to server.
type RoomJoin struct {
	Packet  `json:"-"`
	MsgData *RoomJoinData `json:"msgData,omitempty"`
	Extra   Fields        `json:"-"`
}

// RoomJoinData name the rooms.
type RoomJoinData struct {
	RoomJoin map[string]RoomRequest `json:"roomJoin,omitzero"`
	Extra    Fields                 `json:"-"`
}

// RoomLeave leaves rooms. It is answered with a [RoomData] that names them.
//
// Client to server.
type RoomLeave struct {
	Packet  `json:"-"`
	MsgData *RoomLeaveData `json:"msgData,omitempty"`
	Extra   Fields         `json:"-"`
}

// RoomLeaveData name the rooms.
type RoomLeaveData struct {
	RoomLeave map[string]RoomRequest `json:"roomLeave,omitzero"`
	Extra     Fields                 `json:"-"`
}

// SetRoomAPIField replaces what the client shows of itself in a room. It is answered with
// a [RoomData].
//
// Client to server.
type SetRoomAPIField struct {
	Packet  `json:"-"`
	MsgData *SetRoomAPIFieldData `json:"msgData,omitempty"`
	Extra   Fields               `json:"-"`
}

// SetRoomAPIFieldData hold the room and the fields.
type SetRoomAPIFieldData struct {
	SetRoomAPIField *RoomAPIField `json:"setRoomApiField,omitempty"`
	Extra           Fields        `json:"-"`
}

// A RoomAPIField is what a client shows of itself in a room.
type RoomAPIField struct {
	RoomName string `json:"roomName,omitempty"`
	// Field is an object of [Field] by name, as browsers send it; servers take any object
	// or array of less than 4096 UTF-16 units.
	Field json.RawMessage `json:"field,omitempty"`
	Extra Fields          `json:"-"`
}

// SetPresence changes the presence of the client in all its rooms. It is answered with a
// [RoomData].
//
// Client to server.
type SetPresence struct {
	Packet  `json:"-"`
	MsgData *SetPresenceData `json:"msgData,omitempty"`
	Extra   Fields           `json:"-"`
}

// SetPresenceData hold the presence.
type SetPresenceData struct {
	SetPresence *PresenceUpdate `json:"setPresence,omitempty"`
	Extra       Fields          `json:"-"`
}

// SetUserCfg is what browsers say about their peer connections. Servers take it and do
// nothing with it.
//
// Client to server.
type SetUserCfg struct {
	Packet  `json:"-"`
	MsgData *SetUserCfgData `json:"msgData,omitempty"`
	Extra   Fields          `json:"-"`
}

// SetUserCfgData hold the configuration.
type SetUserCfgData struct {
	SetUserCfg *UserCfg `json:"setUserCfg,omitempty"`
	Extra      Fields   `json:"-"`
}

// A UserCfg describes a client and those it is connected with. Its members are objects.
type UserCfg struct {
	P2PList      json.RawMessage `json:"p2pList,omitempty"`
	UserSettings json.RawMessage `json:"userSettings,omitempty"`
	Extra        Fields          `json:"-"`
}

// StillAlive says that the client lives, to servers whose [Token] asks for it.
//
// Client to server.
type StillAlive struct {
	Packet  `json:"-"`
	MsgData json.RawMessage `json:"msgData,omitempty"`
	Extra   Fields          `json:"-"`
}

// Msg is a message between applications: to a client, to a room, or without a target to
// the server application. As an acknowledgement it is the answer of the latter.
type Msg struct {
	Packet          `json:"-"`
	MsgType         string          `json:"-"`                         // any text
	SenderEasyrtcID string          `json:"senderEasyrtcid,omitempty"` // server to client; absent from the server application
	TargetEasyrtcID string          `json:"targetEasyrtcid,omitempty"`
	TargetRoom      string          `json:"targetRoom,omitempty"`
	TargetGroup     string          `json:"targetGroup,omitempty"` // no server has groups
	MsgData         json.RawMessage `json:"msgData,omitempty"`     // any JSON
	EasyrtcID       string          `json:"easyrtcid,omitempty"`   // the receiver's; server to client
	ServerTime      int64           `json:"serverTime,omitempty"`  // in ms of Unix time; server to client
	Extra           Fields          `json:"-"`
}

// Ack acknowledges an event and says nothing else.
type Ack struct {
	Packet `json:"-"`
	Extra  Fields `json:"-"`
}

// ErrorMessage says that something was refused, mostly as an acknowledgement.
//
// Server to client.
type ErrorMessage struct {
	Packet     `json:"-"`
	ServerTime int64  `json:"serverTime,omitempty"`
	MsgData    *Error `json:"msgData,omitempty"`
	EasyrtcID  string `json:"easyrtcid,omitempty"`
	Extra      Fields `json:"-"`
}

// Token is the answer to [Authenticate].
//
// Server to client.
type Token struct {
	Packet  `json:"-"`
	MsgData *TokenData `json:"msgData,omitempty"`
	Extra   Fields     `json:"-"`
}

// TokenData are all that a client needs to begin.
type TokenData struct {
	RoomData    map[string]*Room `json:"roomData"` // the rooms that it has joined
	Application *Application     `json:"application"`
	EasyrtcID   string           `json:"easyrtcid"` // the client's, as long as it is connected
	ICEConfig   *ICEServers      `json:"iceConfig"`
	ServerTime  int64            `json:"serverTime"`     // in ms of Unix time
	Field       FieldMap         `json:"field,omitzero"` // of the connection
	SessionData *Session         `json:"sessionData,omitempty"`
	// StillAliveInterval is how often to send a [StillAlive], in ms; 0 is never. Only
	// open-easyrtc 2.0.5 to 2.0.17 say it.
	StillAliveInterval *int64 `json:"stillAliveInterval,omitempty"`
	Extra              Fields `json:"-"`
}

// An Application is what a client is told of it.
type Application struct {
	ApplicationName string   `json:"applicationName"`
	Field           FieldMap `json:"field,omitzero"`
	Extra           Fields   `json:"-"`
}

// A FieldMap holds what the server application has set, by name.
type FieldMap map[string]Field

// A Field is a named value.
type Field struct {
	FieldName  string          `json:"fieldName"`
	FieldValue json.RawMessage `json:"fieldValue,omitempty"` // any JSON
	Extra      Fields          `json:"-"`
}

// A Session is what several connections of one user share.
type Session struct {
	EasyrtcSID    string        `json:"easyrtcsid"`
	SessionStatus SessionStatus `json:"sessionStatus,omitempty"`
	Field         FieldMap      `json:"field,omitzero"`
	Extra         Fields        `json:"-"`
}

// RoomData says what has changed in rooms.
//
// Server to client.
type RoomData struct {
	Packet     `json:"-"`
	MsgData    *RoomDataData `json:"msgData,omitempty"`
	EasyrtcID  string        `json:"easyrtcid,omitempty"`
	ServerTime int64         `json:"serverTime,omitempty"`
	Extra      Fields        `json:"-"`
}

// RoomDataData hold rooms by name.
type RoomDataData struct {
	RoomData map[string]*Room `json:"roomData"`
	Extra    Fields           `json:"-"`
}

// A Room is what a client is told of one.
type Room struct {
	RoomName        string               `json:"roomName"`
	RoomStatus      RoomStatus           `json:"roomStatus"`
	ClientList      map[string]*Occupant `json:"clientList,omitzero"` // all, with RoomStatusJoin
	ClientListDelta *ClientListDelta     `json:"clientListDelta,omitempty"`
	Field           FieldMap             `json:"field,omitzero"` // all that is shared
	Extra           Fields               `json:"-"`
}

// A ClientListDelta says who has come, changed or gone.
type ClientListDelta struct {
	UpdateClient map[string]*Occupant     `json:"updateClient,omitzero"`
	RemoveClient map[string]RemovedClient `json:"removeClient,omitzero"`
	Extra        Fields                   `json:"-"`
}

// A RemovedClient has left a room.
type RemovedClient struct {
	EasyrtcID string `json:"easyrtcid"`
	Extra     Fields `json:"-"`
}

// An Occupant is a client in a room.
type Occupant struct {
	EasyrtcID    string    `json:"easyrtcid"`
	RoomJoinTime int64     `json:"roomJoinTime,omitempty"` // in ms of Unix time
	Presence     *Presence `json:"presence,omitempty"`
	// APIField is what the client shows of itself there, see [Occupant.APIFields]. In an
	// update its absence says nothing.
	APIField json.RawMessage `json:"apiField,omitempty"`
	Username *string         `json:"username,omitempty"`
	Extra    Fields          `json:"-"`
}

// A Presence says whether a client may be disturbed.
type Presence struct {
	Show   Show            `json:"show"`
	Status *string         `json:"status"` // null until it is set
	Type   json.RawMessage `json:"type,omitempty"`
	Extra  Fields          `json:"-"`
}

// SessionData says what has changed in the session of the client.
//
// Server to client.
type SessionData struct {
	Packet     `json:"-"`
	MsgData    *SessionDataData `json:"msgData,omitempty"`
	EasyrtcID  string           `json:"easyrtcid,omitempty"`
	ServerTime int64            `json:"serverTime,omitempty"`
	Extra      Fields           `json:"-"`
}

// SessionDataData hold the session.
type SessionDataData struct {
	SessionData *Session `json:"sessionData,omitempty"`
	Extra       Fields   `json:"-"`
}

// ICEConfig says which ICE servers to use from now on.
//
// Server to client.
type ICEConfig struct {
	Packet `json:"-"`
	// MsgData holds the servers.
	MsgData *ICEConfigData `json:"msgData,omitempty"`
	// EasyrtcID is the receiver's, and ServerTime in ms of Unix time; both are absent in an
	// acknowledgement.
	EasyrtcID  string `json:"easyrtcid,omitempty"`
	ServerTime int64  `json:"serverTime,omitempty"`
	// Extra are members of other names.
	Extra Fields `json:"-"`
}

// ICEConfigData hold the ICE servers.
type ICEConfigData struct {
	ICEConfig *ICEServers `json:"iceConfig,omitempty"`
	Extra     Fields      `json:"-"`
}

// ICEServers are the ICE servers of an application.
type ICEServers struct {
	ICEServers []ICEServer `json:"iceServers"`
	Extra      Fields      `json:"-"`
}

// An ICEServer is a STUN or a TURN server.
type ICEServer struct {
	URLs       URLs   `json:"urls,omitzero"`
	URL        string `json:"url,omitempty"` // in place of URLs; only servers before 1.1
	Username   string `json:"username,omitempty"`
	Credential string `json:"credential,omitempty"`
	Extra      Fields `json:"-"`
}

// RoomList is the answer to [GetRoomList].
//
// Server to client.
type RoomList struct {
	Packet  `json:"-"`
	MsgData *RoomListData `json:"msgData,omitempty"`
	Extra   Fields        `json:"-"`
}

// RoomListData hold all rooms of the application by name.
type RoomListData struct {
	RoomList map[string]ListedRoom `json:"roomList"`
	Extra    Fields                `json:"-"`
}

// A ListedRoom is one of a [RoomList].
type ListedRoom struct {
	RoomName      string `json:"roomName"`
	NumberClients int    `json:"numberClients"`
	Extra         Fields `json:"-"`
}

// ForwardToURL sends a browser to another page.
//
// Server to client.
type ForwardToURL struct {
	Packet     `json:"-"`
	MsgData    *ForwardToURLData `json:"msgData,omitempty"`
	EasyrtcID  string            `json:"easyrtcid,omitempty"`
	ServerTime int64             `json:"serverTime,omitempty"`
	Extra      Fields            `json:"-"`
}

// ForwardToURLData say where to.
type ForwardToURLData struct {
	ForwardToURL *Forward        `json:"forwardToUrl,omitempty"`
	NewWindow    json.RawMessage `json:"newWindow,omitempty"`
	Extra        Fields          `json:"-"`
}

// A Forward is the address of a page.
type Forward struct {
	URL   string `json:"url"`
	Extra Fields `json:"-"`
}

// Unknown is a message of a type, or in an event, that the protocol does not have. It
// survives a round trip and may be sent.
type Unknown struct {
	Packet
	Event string // "" for an acknowledgement
	Type  string // its msgType, when Args is nil
	// Args are the arguments of the packet if they are something else than one object with
	// a msgType. With an Event that has no name they begin with what stands in its place.
	Args  []json.RawMessage
	Extra Fields // the members of the object but for msgType
}

// Reconnected tells the application that a lost connection has been replaced. It does not
// exist on the wire. The client has logged in again, has a new id and is in its rooms.
type Reconnected struct {
	Token *Token
}

// What the codec and the errors call each message, and the event that carries it.

func (m *Authenticate) wireType() string       { return "authenticate" }
func (m *Offer) wireType() string              { return "offer" }
func (m *Answer) wireType() string             { return "answer" }
func (m *Candidate) wireType() string          { return "candidate" }
func (m *Reject) wireType() string             { return "reject" }
func (m *Hangup) wireType() string             { return "hangup" }
func (m *GetICEConfig) wireType() string       { return "getIceConfig" }
func (m *GetRoomList) wireType() string        { return "getRoomList" }
func (m *RoomJoin) wireType() string           { return "roomJoin" }
func (m *RoomLeave) wireType() string          { return "roomLeave" }
func (m *SetRoomAPIField) wireType() string    { return "setRoomApiField" }
func (m *SetPresence) wireType() string        { return "setPresence" }
func (m *SetUserCfg) wireType() string         { return "setUserCfg" }
func (m *StillAlive) wireType() string         { return "stillAlive" }
func (m *ErrorMessage) wireType() string       { return "error" }
func (m *RoomData) wireType() string           { return "roomData" }
func (m *SessionData) wireType() string        { return "sessionData" }
func (m *ICEConfig) wireType() string          { return "iceConfig" }
func (m *ForwardToURL) wireType() string       { return "forwardToUrl" }
func (m *Ack) wireType() string                { return "ack" }
func (m *Token) wireType() string              { return "token" }
func (m *RoomList) wireType() string           { return "roomList" }
func (m *Msg) wireType() string                { return m.MsgType }
func (m *Unknown) wireType() string            { return m.Type }
func (m *ConnectPacket) wireType() string      { return "connect" }
func (m *DisconnectPacket) wireType() string   { return "disconnect" }
func (m *ConnectErrorPacket) wireType() string { return "connect_error" }
func (m *Reconnected) wireType() string        { return "reconnected" }

func (m *Authenticate) event() string    { return EventAuth }
func (m *Offer) event() string           { return EventCmd }
func (m *Answer) event() string          { return EventCmd }
func (m *Candidate) event() string       { return EventCmd }
func (m *Reject) event() string          { return EventCmd }
func (m *Hangup) event() string          { return EventCmd }
func (m *GetICEConfig) event() string    { return EventCmd }
func (m *GetRoomList) event() string     { return EventCmd }
func (m *RoomJoin) event() string        { return EventCmd }
func (m *RoomLeave) event() string       { return EventCmd }
func (m *SetRoomAPIField) event() string { return EventCmd }
func (m *SetPresence) event() string     { return EventCmd }
func (m *SetUserCfg) event() string      { return EventCmd }
func (m *StillAlive) event() string      { return EventCmd }
func (m *ErrorMessage) event() string    { return EventCmd }
func (m *RoomData) event() string        { return EventCmd }
func (m *SessionData) event() string     { return EventCmd }
func (m *ICEConfig) event() string       { return EventCmd }
func (m *ForwardToURL) event() string    { return EventCmd }
func (m *Ack) event() string             { return "" }
func (m *Token) event() string           { return "" }
func (m *RoomList) event() string        { return "" }
func (m *Msg) event() string             { return EventMsg }
func (m *Unknown) event() string         { return m.Event }

func (m *ConnectPacket) event() string      { return "" }
func (m *DisconnectPacket) event() string   { return "" }
func (m *ConnectErrorPacket) event() string { return "" }
func (m *Reconnected) event() string        { return "" }

func (m *ConnectPacket) packet() *Packet      { return nil }
func (m *DisconnectPacket) packet() *Packet   { return nil }
func (m *ConnectErrorPacket) packet() *Packet { return nil }
func (m *Reconnected) packet() *Packet        { return nil }

// clone returns a message of its own with the same content, for a packet of its own.
func clone(m Message) Message {
	switch m := m.(type) {
	case *Authenticate:
		return copied(m)
	case *Offer:
		return copied(m)
	case *Answer:
		return copied(m)
	case *Candidate:
		return copied(m)
	case *Reject:
		return copied(m)
	case *Hangup:
		return copied(m)
	case *GetICEConfig:
		return copied(m)
	case *GetRoomList:
		return copied(m)
	case *RoomJoin:
		return copied(m)
	case *RoomLeave:
		return copied(m)
	case *SetRoomAPIField:
		return copied(m)
	case *SetPresence:
		return copied(m)
	case *SetUserCfg:
		return copied(m)
	case *StillAlive:
		return copied(m)
	case *Msg:
		return copied(m)
	case *Ack:
		return copied(m)
	case *ErrorMessage:
		return copied(m)
	case *Token:
		return copied(m)
	case *RoomData:
		return copied(m)
	case *SessionData:
		return copied(m)
	case *ICEConfig:
		return copied(m)
	case *RoomList:
		return copied(m)
	case *ForwardToURL:
		return copied(m)
	case *Unknown:
		return copied(m)
	}
	return m
}

func copied[M any](m *M) *M {
	c := *m
	return &c
}
