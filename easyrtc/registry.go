package easyrtc

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
