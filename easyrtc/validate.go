package easyrtc

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
)

// MaxAPIField is how long an api field must stay below, in UTF-16 units of its JSON.
const MaxAPIField = 4096

// Rules say which names a server takes. A nil one is that of open-easyrtc 2.1.8; the
// MatchString of a regexp fits.
type Rules struct {
	APIVersion      func(string) bool
	ApplicationName func(string) bool
	RoomName        func(string) bool
	GroupName       func(string) bool
	EasyrtcID       func(string) bool
	EasyrtcSID      func(string) bool
	Username        func(string) bool
	PresenceShow    func(string) bool
	PresenceStatus  func(string) bool
}

func (r Rules) withDefaults() *Rules {
	set := func(f *func(string) bool, g func(string) bool) {
		if *f == nil {
			*f = g
		}
	}
	set(&r.APIVersion, func(s string) bool { return isName(s, "_.+-", 32) })
	set(&r.ApplicationName, ValidName)
	set(&r.RoomName, func(s string) bool { return ValidName(s) && s != proto })
	set(&r.GroupName, ValidName)
	set(&r.EasyrtcID, ValidName)
	set(&r.EasyrtcSID, func(s string) bool { return isName(s, "_.%-", 100) })
	set(&r.Username, func(s string) bool { return s != "" && isLine(s, 64) })
	set(&r.PresenceShow, func(s string) bool {
		return slices.Contains([]Show{ShowAway, ShowChat, ShowDND, ShowXA}, Show(s))
	})
	set(&r.PresenceStatus, func(s string) bool { return isLine(s, 255) })
	return &r
}

// proto as a key would make a browser change the nature of an object where it should add
// a member.
const proto = "__proto__"

var defaultRules = Rules{}.withDefaults()

// ValidName reports whether a text may be the name of an application, of a room or of a
// group, or an easyrtcid: 1 to 32 letters, digits and any of "_.-".
func ValidName(name string) bool { return isName(name, "_.-", 32) }

// isName reports whether s has 1 to most letters, digits and others.
func isName(s, others string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return false
		}
	}
	return true
}

// isLine reports whether s has at most so many UTF-16 units, and one line, as a dot in a
// regular expression of JavaScript understands it.
func isLine(s string, most int) bool {
	return units(s) <= most && !strings.ContainsAny(s, "\n\r\u2028\u2029")
}

// codeOf returns what open-easyrtc answers when a member of a message from a client is not
// what it should be. A field of "" stands for the message as a whole.
func codeOf(event, typ, field string) ErrorCode {
	switch event {
	case EventAuth:
		switch field {
		case "", "msgType":
			return CodeLoginBadAuth
		case "msgData", "msgData.apiVersion", "msgData.roomJoin":
			return CodeLoginBadStructure
		}
		return CodeMsgRejectBadStructure
	case EventMsg:
		switch field {
		case "msgType":
			return CodeMsgRejectBadType
		case "targetEasyrtcid":
			return CodeMsgRejectTarget
		case "targetRoom":
			return CodeMsgRejectTargetRoom
		case "targetGroup":
			return CodeMsgRejectTargetGroup
		}
		return CodeMsgRejectBadStructure
	case EventCmd:
		_, fromClients := clientCommands[typ]
		switch {
		case field == "msgType", typ != "" && !fromClients:
			return CodeMsgRejectBadType
		case field == "msgData":
			return CodeMsgRejectBadData
		case field == "msgData.setRoomApiField.roomName":
			return CodeMsgRejectBadRoom
		}
		return CodeMsgRejectBadStructure
	}
	return ""
}

// clientCommands are the types of easyrtcCmd that clients send.
var clientCommands = map[string]struct{}{
	"offer": {}, "answer": {}, "candidate": {}, "reject": {}, "hangup": {},
	"getIceConfig": {}, "getRoomList": {}, "roomJoin": {}, "roomLeave": {},
	"setRoomApiField": {}, "setPresence": {}, "setUserCfg": {}, "stillAlive": {},
}

// invalid is a *ValidationError for a member of m, with the code that it has there.
func invalid(m Message, field, reason string) *ValidationError {
	e := &ValidationError{Type: m.wireType(), Field: field, Reason: reason}
	if p := m.packet(); p != nil && !p.Ack {
		e.Code = codeOf(m.event(), e.Type, field)
	}
	return e
}

const (
	reasonMissing  = "missing"
	reasonEmpty    = "empty, or neither an object nor an array"
	reasonPresent  = "must be absent"
	reasonName     = "not a valid name"
	reasonKey      = "not the name of its key"
	reasonNoObject = "neither an object nor an array"
	reasonBinary   = "has attachments, which nobody keeps"
	reasonSize     = "too long or nested too deeply"
	reasonLine     = "not one line of that length"
)

// isContainer reports whether a checked JSON value is an object or an array: what the real
// server calls an object.
func isContainer(value json.RawMessage) bool {
	return len(value) > 0 && (value[0] == '{' || value[0] == '[')
}

// isEmpty reports whether a checked JSON value is a container without content.
func isEmpty(value json.RawMessage) bool {
	return isContainer(value) && len(bytes.TrimLeft(value[1:len(value)-1], " \t\r\n")) == 0
}

// Validate reports whether the payload is an object or absent.
func (m *ConnectPacket) Validate() error { return validate(m, defaultRules) }

// Validate reports whether the namespace can be written.
func (m *DisconnectPacket) Validate() error { return validate(m, defaultRules) }

// Validate reports whether the payload is an object, a text or absent.
func (m *ConnectErrorPacket) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse the login for.
func (m *Authenticate) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *Offer) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *Answer) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *Candidate) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *Reject) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *Hangup) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *GetICEConfig) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *GetRoomList) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *RoomJoin) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *RoomLeave) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *SetRoomAPIField) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *SetPresence) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *SetUserCfg) Validate() error { return validate(m, defaultRules) }

// Validate reports what a server with the default rules would refuse.
func (m *StillAlive) Validate() error { return validate(m, defaultRules) }

// Validate reports whether the targets are names; what the message says is anybody's.
func (m *Msg) Validate() error { return validate(m, defaultRules) }

// Validate reports whether the message can be written.
func (m *Ack) Validate() error { return validate(m, defaultRules) }

// Validate reports whether all is there that clients need.
func (m *ErrorMessage) Validate() error { return validate(m, defaultRules) }

// Validate reports whether all is there that clients need.
func (m *Token) Validate() error { return validate(m, defaultRules) }

// Validate reports whether all is there that clients need.
func (m *RoomData) Validate() error { return validate(m, defaultRules) }

// Validate reports whether all is there that clients need.
func (m *SessionData) Validate() error { return validate(m, defaultRules) }

// Validate reports whether all is there that clients need.
func (m *ICEConfig) Validate() error { return validate(m, defaultRules) }

// Validate reports whether all is there that clients need.
func (m *RoomList) Validate() error { return validate(m, defaultRules) }

// Validate reports whether all is there that clients need.
func (m *ForwardToURL) Validate() error { return validate(m, defaultRules) }

// Validate reports whether the message can be written: any type may be sent, but for the events that
// Socket.IO keeps for itself.
func (m *Unknown) Validate() error { return validate(m, defaultRules) }

// Validate always fails: the message does not exist on the wire.
func (*Reconnected) Validate() error {
	return &ValidationError{Type: "reconnected", Field: "msgType", Reason: "does not exist on the wire"}
}

// validate checks what Validate does, under the rules of a server.
func validate(m Message, r *Rules) error {
	var err *ValidationError
	switch m := m.(type) {
	case *Authenticate:
		err = m.check(r)
	case *Offer:
		err = checkSignal(m, m.TargetEasyrtcID, m.SenderEasyrtcID, m.MsgData, r)
	case *Answer:
		err = checkSignal(m, m.TargetEasyrtcID, m.SenderEasyrtcID, m.MsgData, r)
	case *Candidate:
		err = checkSignal(m, m.TargetEasyrtcID, m.SenderEasyrtcID, m.MsgData, r)
	case *Reject:
		err = checkSignalEnd(m, m.TargetEasyrtcID, m.SenderEasyrtcID, m.MsgData, r)
	case *Hangup:
		err = checkSignalEnd(m, m.TargetEasyrtcID, m.SenderEasyrtcID, m.MsgData, r)
	case *GetICEConfig:
		if v := m.MsgData; len(v) > 0 && !jsonx.IsNull(v) && (isContainer(v) && !isEmpty(v) || v[0] == '"' && len(v) > 2) {
			err = invalid(m, "msgData", "must be absent or empty")
		}
	case *GetRoomList:
		if m.MsgData != nil {
			err = invalid(m, "msgData", reasonPresent)
		}
	case *RoomJoin:
		switch {
		case m.MsgData == nil:
			err = invalid(m, "msgData", reasonMissing)
		case len(m.MsgData.RoomJoin) == 0:
			err = invalid(m, "msgData.roomJoin", "missing or empty")
		default:
			err = checkRooms(m, "msgData.roomJoin", m.MsgData.RoomJoin, r)
		}
	case *RoomLeave:
		switch {
		case m.MsgData == nil:
			err = invalid(m, "msgData", reasonMissing)
		case m.MsgData.RoomLeave == nil:
			err = invalid(m, "msgData.roomLeave", reasonMissing)
		default:
			err = checkRooms(m, "msgData.roomLeave", m.MsgData.RoomLeave, r)
		}
	case *SetRoomAPIField:
		err = m.check(r)
	case *SetPresence:
		switch {
		case len(m.Attachments) > 0:
			err = invalid(m, "msgData.setPresence", reasonBinary)
		case m.MsgData == nil:
			err = invalid(m, "msgData", reasonMissing)
		case m.MsgData.SetPresence == nil:
			err = invalid(m, "msgData.setPresence", reasonMissing)
		default:
			err = checkPresence(m, m.MsgData.SetPresence, r)
		}
	case *SetUserCfg:
		err = m.check()
	case *Msg:
		err = m.check(r)
	default:
		err = checkPushed(m)
	}
	if err != nil {
		return err
	}
	return encodable(m)
}

func (m *Authenticate) check(r *Rules) *ValidationError {
	d := m.MsgData
	if d == nil {
		return invalid(m, "msgData", reasonMissing)
	}
	if d.APIVersion == nil {
		return invalid(m, "msgData.apiVersion", reasonMissing)
	}
	if !r.APIVersion(*d.APIVersion) { // no longer LOGIN_BAD_STRUCTURE
		return &ValidationError{
			Type: m.wireType(), Field: "msgData.apiVersion", Reason: reasonName, Code: CodeMsgRejectBadStructure,
		}
	}
	for _, t := range []struct {
		field  string
		text   *string
		valid  func(string) bool
		reason string
	}{
		{"msgData.applicationName", d.ApplicationName, r.ApplicationName, reasonName},
		{"msgData.easyrtcsid", d.EasyrtcSID, r.EasyrtcSID, reasonName},
		{"msgData.username", d.Username, r.Username, reasonLine},
	} {
		if t.text != nil && !t.valid(*t.text) {
			return invalid(m, t.field, t.reason)
		}
	}
	if c := d.Credential; c != nil && (!isContainer(c) || isEmpty(c)) {
		return invalid(m, "msgData.credential", reasonEmpty)
	}
	if err := checkRooms(m, "msgData.roomJoin", d.RoomJoin, r); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.RoomJoin)) {
		if p := d.RoomJoin[name].RoomParameter; p != nil && !isContainer(p) {
			return invalid(m, roomPath("msgData.roomJoin", name)+".roomParameter", reasonNoObject)
		}
	}
	if d.SetPresence != nil {
		return checkPresence(m, d.SetPresence, r)
	}
	return nil
}

// roomPath is the path of a room's request.
func roomPath(field, name string) string { return field + `["` + name + `"]` }

func checkRooms(m Message, field string, rooms map[string]RoomRequest, r *Rules) *ValidationError {
	for _, name := range slices.Sorted(maps.Keys(rooms)) {
		switch {
		case !r.RoomName(name):
			return invalid(m, roomPath(field, name), reasonName)
		case rooms[name].RoomName != name:
			return invalid(m, roomPath(field, name)+".roomName", reasonKey)
		}
	}
	return nil
}

func checkPresence(m Message, p *PresenceUpdate, r *Rules) *ValidationError {
	switch {
	case p.Show == nil && p.Status == nil && p.Type == nil && len(p.Extra) == 0:
		return invalid(m, "msgData.setPresence", "empty")
	case p.Show != nil && !r.PresenceShow(string(*p.Show)):
		return invalid(m, "msgData.setPresence.show", "none of away, chat, dnd, xa")
	case p.Status != nil && !r.PresenceStatus(*p.Status):
		return invalid(m, "msgData.setPresence.status", reasonLine)
	case p.Type != nil && isTooBig(p.Type, 9): // all in the rooms get it, and all who come
		return &ValidationError{
			Type: m.wireType(), Field: "msgData.setPresence.type", Reason: reasonSize, Code: CodeMsgRejectBadSize,
		}
	}
	return nil
}

func checkSignal(m Message, target, sender string, data json.RawMessage, r *Rules) *ValidationError {
	if !isContainer(data) || isEmpty(data) {
		return invalid(m, "msgData", reasonEmpty)
	}
	return checkParty(m, target, sender, r)
}

func checkSignalEnd(m Message, target, sender string, data json.RawMessage, r *Rules) *ValidationError {
	if data != nil {
		return invalid(m, "msgData", reasonPresent)
	}
	return checkParty(m, target, sender, r)
}

// checkParty checks who is at the other end: the target on the way to the server, the
// sender on the way from it.
func checkParty(m Message, target, sender string, r *Rules) *ValidationError {
	if target == "" && sender != "" {
		target = sender
	}
	if !r.EasyrtcID(target) {
		return invalid(m, "targetEasyrtcid", reasonName)
	}
	return nil
}

func (m *SetRoomAPIField) check(r *Rules) *ValidationError {
	switch {
	case m.MsgData == nil:
		return invalid(m, "msgData", reasonMissing)
	case m.MsgData.SetRoomAPIField == nil:
		return invalid(m, "msgData.setRoomApiField", reasonMissing)
	}
	s := m.MsgData.SetRoomAPIField
	switch {
	case len(m.Attachments) > 0:
		return invalid(m, "msgData.setRoomApiField", reasonBinary)
	case s.RoomName == "" && s.Field == nil && len(s.Extra) == 0:
		return invalid(m, "msgData.setRoomApiField", "empty")
	case !r.RoomName(s.RoomName):
		return invalid(m, "msgData.setRoomApiField.roomName", reasonName)
	case s.Field == nil:
		return nil
	case !isContainer(s.Field):
		return invalid(m, "msgData.setRoomApiField.field", reasonNoObject)
	case hasMember(s.Field, proto):
		return invalid(m, "msgData.setRoomApiField.field."+proto, reasonName)
	case isTooBig(s.Field, 8):
		return &ValidationError{
			Type: m.wireType(), Field: "msgData.setRoomApiField.field", Reason: reasonSize, Code: CodeMsgRejectBadSize,
		}
	}
	return nil
}

func (m *SetUserCfg) check() *ValidationError {
	switch {
	case m.MsgData == nil:
		return invalid(m, "msgData", reasonMissing)
	case m.MsgData.SetUserCfg == nil:
		return invalid(m, "msgData.setUserCfg", reasonMissing)
	}
	c := m.MsgData.SetUserCfg
	if c.P2PList == nil && c.UserSettings == nil && len(c.Extra) == 0 {
		return invalid(m, "msgData.setUserCfg", "empty")
	}
	if c.P2PList != nil && (!isContainer(c.P2PList) || isEmpty(c.P2PList)) {
		return invalid(m, "msgData.setUserCfg.p2pList", reasonEmpty)
	}
	if c.UserSettings != nil && (!isContainer(c.UserSettings) || isEmpty(c.UserSettings)) {
		return invalid(m, "msgData.setUserCfg.userSettings", reasonEmpty)
	}
	return nil
}

func (m *Msg) check(r *Rules) *ValidationError {
	switch {
	case m.Ack:
		return nil
	case m.TargetEasyrtcID != "" && !r.EasyrtcID(m.TargetEasyrtcID):
		return invalid(m, "targetEasyrtcid", reasonName)
	case m.TargetGroup != "" && !r.GroupName(m.TargetGroup): // before the room, as in the original
		return invalid(m, "targetGroup", reasonName)
	case m.TargetRoom != "" && !r.RoomName(m.TargetRoom):
		return invalid(m, "targetRoom", reasonName)
	}
	return nil
}

// checkPushed checks what servers send, and the rest.
func checkPushed(m Message) *ValidationError {
	missing := func(is bool, field string) *ValidationError {
		if !is {
			return nil
		}
		return invalid(m, field, reasonMissing)
	}
	switch m := m.(type) {
	case *ErrorMessage:
		return missing(m.MsgData == nil || m.MsgData.ErrorCode == "", "msgData.errorCode")
	case *Token:
		switch d := m.MsgData; {
		case d == nil:
			return missing(true, "msgData")
		case d.EasyrtcID == "":
			return missing(true, "msgData.easyrtcid")
		case d.Application == nil: // browsers fail without it
			return missing(true, "msgData.application")
		default:
			return missing(d.ICEConfig == nil || d.ICEConfig.ICEServers == nil, "msgData.iceConfig.iceServers")
		}
	case *RoomData:
		return missing(m.MsgData == nil || m.MsgData.RoomData == nil, "msgData.roomData")
	case *SessionData:
		return missing(m.MsgData == nil || m.MsgData.SessionData == nil, "msgData.sessionData")
	case *ICEConfig:
		return missing(m.MsgData == nil || m.MsgData.ICEConfig == nil || m.MsgData.ICEConfig.ICEServers == nil,
			"msgData.iceConfig.iceServers")
	case *RoomList:
		return missing(m.MsgData == nil || m.MsgData.RoomList == nil, "msgData.roomList")
	case *ForwardToURL:
		return missing(m.MsgData == nil || m.MsgData.ForwardToURL == nil || m.MsgData.ForwardToURL.URL == "",
			"msgData.forwardToUrl.url")
	case *Unknown:
		if !m.Ack && m.Event == "" && (len(m.Args) == 0 || !isNameless(m.Args[0])) {
			return invalid(m, "event", reasonMissing)
		}
		if socketio.Reserved(m.Event) {
			return invalid(m, "event", "reserved")
		}
	}
	return nil
}

// isNameless reports whether an argument may stand in place of the name of an event: a
// number, as in Socket.IO, or an empty text.
func isNameless(arg json.RawMessage) bool {
	return len(arg) > 0 && (arg[0] == '-' || '0' <= arg[0] && arg[0] <= '9' || string(arg) == `""`)
}

func hasMember(value json.RawMessage, name string) bool {
	if !jsonx.IsObject(value) {
		return false
	}
	_, ok := jsonx.Peek(value, name)
	return ok
}

// isTooBig reports whether a checked value may not be told to a room, where it stands at
// that level of a [RoomData]. A number may be long as it is written and short as
// JSON.stringify would write it: what is kept is bounded as well.
func isTooBig(value json.RawMessage, level int) bool {
	const bytesPerUnit = 6 // of an escape
	return jsonUnits(value) >= MaxAPIField || len(compact(value)) > bytesPerUnit*MaxAPIField ||
		jsonx.CheckAt(value, level) != nil
}

// jsonUnits returns the length of a checked JSON value in UTF-16 units, as JSON.stringify
// would write it: without white space, with few escapes.
func jsonUnits(value json.RawMessage) (n int) {
	for i := 0; i < len(value); {
		switch c := value[i]; c {
		case ' ', '\t', '\r', '\n':
			i++
		case '"':
			end := i + 1
			for value[end] != '"' {
				if value[end] == '\\' {
					end++
				}
				end++
			}
			n += stringUnits(value[i+1 : end])
			i = end + 1
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			end := i + 1
			for end < len(value) && strings.IndexByte("+-.eE0123456789", value[end]) >= 0 {
				end++
			}
			n += numberUnits(value[i:end])
			i = end
		default:
			n++
			i++
		}
	}
	return n
}

// stringUnits takes what stands between the quotes of a text.
func stringUnits(quoted []byte) (n int) {
	n = 2
	for i := 0; i < len(quoted); {
		if quoted[i] != '\\' {
			r, size := utf8.DecodeRune(quoted[i:])
			n += utf16.RuneLen(r)
			i += size
			continue
		}
		if quoted[i+1] != 'u' {
			if n++; quoted[i+1] != '/' {
				n++
			}
			i += 2
			continue
		}
		r := hexRune(quoted[i+2:])
		i += 6
		switch {
		case utf16.IsSurrogate(r):
			isPair := bytes.HasPrefix(quoted[i:], []byte(`\u`)) &&
				utf16.DecodeRune(r, hexRune(quoted[i+2:])) != utf8.RuneError
			if isPair {
				n, i = n+2, i+6
			} else {
				n += 6
			}
		case r >= 0x20 && r != '"' && r != '\\':
			n++
		case strings.ContainsRune("\"\\\b\f\n\r\t", r):
			n += 2
		default:
			n += 6
		}
	}
	return n
}

// hexRune reads the four digits of an escape.
func hexRune(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(n)
}

// numberUnits returns the length of a number as JavaScript writes it.
func numberUnits(text []byte) int {
	f, err := strconv.ParseFloat(string(text), 64)
	switch {
	case err != nil:
		return len("null") // too big
	case f == 0:
		return len("0")
	}
	b, _ := json.Marshal(f) // in the same notation
	return len(b)
}

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// encodable reports whether the codec can write a message that the application has made.
func encodable(m Message) error {
	if p := m.packet(); p != nil && (p.checked || p.Ack && len(p.Attachments) == 0 && isPlainAck(m)) {
		return nil
	}
	b := scratch.Get().(*[]byte)
	defer scratch.Put(b)
	text, err := appendMessage((*b)[:0], m)
	if cap(text) <= 64<<10 {
		*b = text
	}
	if err == nil && len(attachments(m)) > 0 {
		_, err = DecodeBinary(text, attachments(m))
	}
	if err == nil {
		return nil
	}
	if d, ok := errors.AsType[*DecodeError](err); ok {
		err = d.Err
	}
	e := invalid(m, "", err.Error())
	if x, ok := errors.AsType[*jsonx.Error](err); ok && x.Field != "" {
		e = invalid(m, x.Field, x.Err.Error())
	}
	return e
}

func isPlainAck(m Message) bool {
	a, ok := m.(*Ack)
	return ok && len(a.Extra) == 0
}
