package easyrtc

// A Show says whether a client may be disturbed.
type Show string

// The values of [Show].
const (
	ShowAway Show = "away"
	ShowChat Show = "chat" // available; what a client begins with
	ShowDND  Show = "dnd"  // do not disturb
	ShowXA   Show = "xa"   // away for longer
)

// A RoomStatus says what a [Room] is about.
type RoomStatus string

// The values of [RoomStatus].
const (
	RoomStatusJoin   RoomStatus = "join"   // the receiver has joined
	RoomStatusUpdate RoomStatus = "update" // clients or fields of the room have changed
	RoomStatusLeave  RoomStatus = "leave"  // the receiver has left
)

// A SessionStatus says what a [Session] is about.
type SessionStatus string

// SessionStatusUpdate: fields of the session have changed.
const SessionStatusUpdate SessionStatus = "update"

// An ErrorCode says what went wrong.
type ErrorCode string

// The codes of the protocol. A server application may have codes of its own. A login that
// fails, with whatever code, ends the connection; the others leave it as it is.
const (
	CodeBannedIPAddr          ErrorCode = "BANNED_IP_ADDR"
	CodeLoginAppAuthFail      ErrorCode = "LOGIN_APP_AUTH_FAIL"
	CodeLoginBadAppName       ErrorCode = "LOGIN_BAD_APP_NAME"
	CodeLoginBadAuth          ErrorCode = "LOGIN_BAD_AUTH"
	CodeLoginBadRoom          ErrorCode = "LOGIN_BAD_ROOM"
	CodeLoginBadStructure     ErrorCode = "LOGIN_BAD_STRUCTURE"
	CodeLoginBadUserCfg       ErrorCode = "LOGIN_BAD_USER_CFG"
	CodeLoginGenFail          ErrorCode = "LOGIN_GEN_FAIL"
	CodeLoginNoSockets        ErrorCode = "LOGIN_NO_SOCKETS"
	CodeLoginTimeout          ErrorCode = "LOGIN_TIMEOUT"
	CodeMsgRejectBadData      ErrorCode = "MSG_REJECT_BAD_DATA"
	CodeMsgRejectBadRoom      ErrorCode = "MSG_REJECT_BAD_ROOM"
	CodeMsgRejectBadField     ErrorCode = "MSG_REJECT_BAD_FIELD"
	CodeMsgRejectBadSize      ErrorCode = "MSG_REJECT_BAD_SIZE"
	CodeMsgRejectBadStructure ErrorCode = "MSG_REJECT_BAD_STRUCTURE"
	CodeMsgRejectBadType      ErrorCode = "MSG_REJECT_BAD_TYPE"
	CodeMsgRejectGenFail      ErrorCode = "MSG_REJECT_GEN_FAIL"
	CodeMsgRejectNoAuth       ErrorCode = "MSG_REJECT_NO_AUTH"
	CodeMsgRejectNoRoomList   ErrorCode = "MSG_REJECT_NO_ROOM_LIST"
	CodeMsgRejectPresence     ErrorCode = "MSG_REJECT_PRESENCE"
	CodeMsgRejectTarget       ErrorCode = "MSG_REJECT_TARGET_EASYRTCID"
	CodeMsgRejectTargetGroup  ErrorCode = "MSG_REJECT_TARGET_GROUP"
	CodeMsgRejectTargetRoom   ErrorCode = "MSG_REJECT_TARGET_ROOM"
	CodeServerShutdown        ErrorCode = "SERVER_SHUTDOWN"
)

// texts are those of open-easyrtc 2.1.8.
var texts = map[ErrorCode]string{
	CodeBannedIPAddr:          "Client IP address is banned. Socket will be disconnected.",
	CodeLoginAppAuthFail:      "Authentication for application failed. Socket will be disconnected.",
	CodeLoginBadAppName:       "Provided application name is improper. Socket will be disconnected.",
	CodeLoginBadAuth:          "Authentication for application failed. Socket will be disconnected.",
	CodeLoginBadRoom:          "Requested room is invalid or does not exist. Socket will be disconnected.",
	CodeLoginBadStructure:     "Authentication for application failed. The provided structure is improper. Socket will be disconnected.",
	CodeLoginBadUserCfg:       "Provided configuration options improper or invalid. Socket will be disconnected.",
	CodeLoginGenFail:          "Authentication failed. Socket will be disconnected.",
	CodeLoginNoSockets:        "No sockets available for account. Socket will be disconnected.",
	CodeLoginTimeout:          "Login has timed out. Socket will be disconnected.",
	CodeMsgRejectBadData:      "Message rejected. The provided msgData is improper.",
	CodeMsgRejectBadRoom:      "Message rejected. Requested room is invalid or does not exist.",
	CodeMsgRejectBadField:     "Message rejected. Problem with field structure or name.",
	CodeMsgRejectBadSize:      "Message rejected. Packet size is too large.",
	CodeMsgRejectBadStructure: "Message rejected. The provided structure is improper.",
	CodeMsgRejectBadType:      "Message rejected. The provided msgType is unsupported.",
	CodeMsgRejectGenFail:      "Message rejected. General failure occurred.",
	CodeMsgRejectNoAuth:       "Message rejected. Not logged in or client not authorized.",
	CodeMsgRejectNoRoomList:   "Message rejected. Room list unavailable.",
	CodeMsgRejectPresence:     "Message rejected. Presence could could not be set.",
	CodeMsgRejectTarget:       "Message rejected. Target easyrtcid is invalid, not using same application, or no longer online.",
	CodeMsgRejectTargetGroup:  "Message rejected. Target group is invalid or not defined.",
	CodeMsgRejectTargetRoom:   "Message rejected. Target room is invalid or not created.",
	CodeServerShutdown:        "Server is being shutdown. Socket will be disconnected.",
}

// Text returns the text that servers send with the code.
func (c ErrorCode) Text() string {
	if text, ok := texts[c]; ok {
		return text
	}
	return "Error occurred with error code: " + string(c)
}
