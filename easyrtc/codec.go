package easyrtc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// constructors make the messages of an event by their msgType.
var constructors = map[string]map[string]func() Message{
	EventAuth: {
		"authenticate": func() Message { return new(Authenticate) },
	},
	EventCmd: {
		"offer":           func() Message { return new(Offer) },
		"answer":          func() Message { return new(Answer) },
		"candidate":       func() Message { return new(Candidate) },
		"reject":          func() Message { return new(Reject) },
		"hangup":          func() Message { return new(Hangup) },
		"getIceConfig":    func() Message { return new(GetICEConfig) },
		"getRoomList":     func() Message { return new(GetRoomList) },
		"roomJoin":        func() Message { return new(RoomJoin) },
		"roomLeave":       func() Message { return new(RoomLeave) },
		"setRoomApiField": func() Message { return new(SetRoomAPIField) },
		"setPresence":     func() Message { return new(SetPresence) },
		"setUserCfg":      func() Message { return new(SetUserCfg) },
		"stillAlive":      func() Message { return new(StillAlive) },
		"error":           func() Message { return new(ErrorMessage) },
		"roomData":        func() Message { return new(RoomData) },
		"sessionData":     func() Message { return new(SessionData) },
		"iceConfig":       func() Message { return new(ICEConfig) },
		"forwardToUrl":    func() Message { return new(ForwardToURL) },
	},
	"": { // acknowledgements; all other types are a Msg
		"ack":       func() Message { return new(Ack) },
		"error":     func() Message { return new(ErrorMessage) },
		"token":     func() Message { return new(Token) },
		"roomData":  func() Message { return new(RoomData) },
		"iceConfig": func() Message { return new(ICEConfig) },
		"roomList":  func() Message { return new(RoomList) },
	},
}

// Decode reads one packet of Socket.IO, as an Engine.IO message carries it, without
// attachments. It does not validate and does not keep data. Its error is a [*DecodeError].
//
// Member names match exactly; a duplicate name, invalid UTF-8 and an argument that nests
// beyond 64 levels are errors, and so is the wrong JSON type of a member that the protocol
// knows. Types and events that are not known become an [*Unknown]; members that are not
// known are kept.
func Decode(data []byte) (Message, error) { return DecodeBinary(data, nil) }

// DecodeBinary is [Decode] for a packet and its attachments, which it keeps. A [Decoder]
// puts them together.
func DecodeBinary(data []byte, attachments [][]byte) (Message, error) {
	return decode(bytes.Clone(data), attachments, false)
}

// A Decoder reads the messages of one connection as they come in, one call after the
// other. The zero Decoder is ready.
type Decoder struct {
	// Limit bounds the bytes of a message with all its attachments; 0 is none.
	Limit int

	trusted bool
	parts   socketio.Assembler
}

// Decode takes the next message of the carrier. It returns nil while attachments of a
// message are due. It does not keep data. The error is a [*DecodeError], and those that
// have no ID leave the connection in a state that nobody knows.
func (d *Decoder) Decode(typ transport.MessageType, data []byte) (Message, error) {
	d.parts.Limit = d.Limit
	if d.Limit > 0 && len(data) > d.Limit {
		return nil, &DecodeError{Err: socketio.ErrTooBig}
	}
	text, attachments, ok, err := d.parts.Feed(typ, data)
	switch {
	case err != nil:
		return nil, &DecodeError{Err: err}
	case !ok:
		return nil, nil
	case attachments == nil:
		text = bytes.Clone(data)
	}
	return decode(text, attachments, d.trusted)
}

// decode reads a packet. The message points into text, so that its texts need not be
// copied one by one. With trusted its raw members are not checked again when a relay
// encodes them.
func decode(text []byte, attachments [][]byte, trusted bool) (Message, error) {
	p, err := socketio.Parse(text)
	if err == nil && p.Attachments != len(attachments) {
		err = socketio.ErrIncomplete
	}
	if err != nil {
		return nil, &DecodeError{Err: err}
	}
	switch p.Type {
	case socketio.Connect, socketio.Disconnect, socketio.ConnectError:
		return decodeControl(p)
	}
	isAck := p.Type == socketio.Ack || p.Type == socketio.BinaryAck
	pkt := Packet{ID: p.ID, Ack: isAck, Attachments: attachments, checked: trusted}
	event, object, ok := cut(p)
	if p.Namespace != socketio.Default {
		return nil, &DecodeError{Err: socketio.ErrNamespace}
	}
	if ok {
		o, err := jsonx.Scan(object)
		if err == nil {
			defer o.Free()
			if p.Attachments > 0 || attachments != nil {
				err = socketio.CheckPlaceholders(object, p.Attachments)
			}
			if err != nil {
				return nil, &DecodeError{Err: err}
			}
			return decodeObject(pkt, event, o)
		}
	}
	args, err := socketio.Arguments(p)
	if err != nil {
		return nil, decodeError(nil, err)
	}
	return decodeArguments(pkt, args)
}

// cut returns what stands in a packet of one object, ["easyrtcCmd",{…}] or [{…}], which
// most are. Nothing of it has been checked.
func cut(p socketio.Packet) (event string, object []byte, ok bool) {
	data := bytes.TrimRight(p.Data, " \t\r\n")
	if len(data) < 2 || data[0] != '[' || data[len(data)-1] != ']' {
		return "", nil, false
	}
	data = data[1 : len(data)-1]
	if p.Type == socketio.Ack || p.Type == socketio.BinaryAck {
		return "", data, true
	}
	for _, name := range [...]string{EventCmd, EventMsg, EventAuth} {
		if n := len(name); len(data) > n+3 && data[0] == '"' && string(data[1:n+1]) == name && string(data[n+1:n+3]) == `",` {
			return name, data[n+3:], true
		}
	}
	return "", nil, false
}

func decodeControl(p socketio.Packet) (Message, error) {
	if err := socketio.CheckPayload(p); err != nil {
		return nil, decodeError(nil, err)
	}
	namespace := p.Namespace
	if namespace == socketio.Default {
		namespace = ""
	}
	var payload json.RawMessage
	if len(p.Data) > 0 {
		payload = p.Data
	}
	switch p.Type {
	case socketio.Connect:
		return &ConnectPacket{Namespace: namespace, Payload: payload}, nil
	case socketio.Disconnect:
		return &DisconnectPacket{Namespace: namespace}, nil
	}
	return &ConnectErrorPacket{Namespace: namespace, Payload: payload}, nil
}

// decodeArguments reads a packet of any arguments.
func decodeArguments(pkt Packet, args []json.RawMessage) (Message, error) {
	m := &Unknown{Packet: pkt, Args: args}
	if !pkt.Ack {
		name, _ := jsonx.Text(args[0])
		if len(name) == 0 {
			return m, nil
		}
		m.Event, m.Args = string(name), args[1:]
	}
	if m.Args == nil {
		m.Args = []json.RawMessage{}
	}
	if len(m.Args) != 1 || !jsonx.IsObject(m.Args[0]) {
		if _, known := constructors[m.Event]; known && !pkt.Ack && len(m.Args) == 1 || m.Event == EventMsg && len(m.Args) == 1 {
			code := codeOf(m.Event, "", "")
			if jsonx.IsNull(m.Args[0]) {
				code = CodeMsgRejectBadStructure
			} else if m.Event != EventAuth && m.Args[0][0] == '[' {
				code = CodeMsgRejectBadType
			}
			return nil, &DecodeError{Event: m.Event, ID: pkt.ID, Code: code, Err: jsonx.ErrNotObject}
		}
		return m, nil
	}
	o, err := jsonx.Scan(m.Args[0])
	if err != nil {
		return nil, decodeError(nil, err)
	}
	defer o.Free()
	return decodeObject(pkt, m.Event, o)
}

// decodeObject reads the object of an event or an acknowledgement.
func decodeObject(pkt Packet, event string, o *jsonx.Object) (Message, error) {
	value, ok := o.Get("msgType")
	typ, isText := jsonx.Text(value)
	types, known := constructors[event]
	isMsg := event == EventMsg
	if !isText {
		if known && !pkt.Ack || isMsg {
			err := jsonx.ErrType
			if !ok {
				err = jsonx.ErrMissing
			}
			return nil, &DecodeError{Event: event, ID: pkt.ID, Field: "msgType", Code: codeOf(event, "", "msgType"), Err: err}
		}
		return decodeUnknown(pkt, event, "", o)
	}
	if construct, ok := types[string(typ)]; ok {
		return fill(construct(), pkt, event, o)
	}
	if isMsg || pkt.Ack {
		return fill(&Msg{MsgType: string(typ)}, pkt, event, o)
	}
	return decodeUnknown(pkt, event, string(typ), o)
}

// fill stores the members of o in m.
func fill(m Message, pkt Packet, event string, o *jsonx.Object) (Message, error) {
	*m.packet() = pkt
	err := checkMembers(m, o)
	if err == nil {
		err = o.Decode(m, "msgType", true)
	}
	if err == nil {
		return m, nil
	}
	e := decodeError(m, cmp.Or(firstProblem(m, o), err))
	if data, _ := o.Get("msgData"); e.Code == CodeMsgRejectBadData && e.Err == jsonx.ErrType && isContainer(data) {
		e.Code = CodeMsgRejectBadStructure // an array is an object without the member that is due
	}
	return nil, e
}

var errEmpty = errors.New("empty")

// checkMembers refuses what would be lost in the members of m: an empty name, which is not
// the same as none, and a null in place of a map. Of several targets the original looks at
// the room last.
func checkMembers(m Message, o *jsonx.Object) error {
	switch m.(type) {
	case *Offer, *Answer, *Candidate, *Reject, *Hangup, *Msg:
		for _, name := range [...]string{"targetEasyrtcid", "targetGroup", "targetRoom"} {
			switch value, ok := o.Get(name); {
			case ok && !isText(value):
				return &jsonx.Error{Field: name, Err: jsonx.ErrType}
			case ok && len(value) == len(`""`):
				return &jsonx.Error{Field: name, Err: errEmpty}
			}
		}
	case *Authenticate:
		data, _ := o.Get("msgData")
		if rooms, ok := peek(data, "roomJoin"); ok && !jsonx.IsObject(rooms) {
			return &jsonx.Error{Field: "msgData.roomJoin", Err: jsonx.ErrNotObject}
		}
	case *SetRoomAPIField:
		data, _ := o.Get("msgData")
		field, _ := peek(data, "setRoomApiField")
		if name, ok := peek(field, "roomName"); ok && string(name) == `""` {
			return &jsonx.Error{Field: "msgData.setRoomApiField.roomName", Err: errEmpty}
		}
	}
	return nil
}

// firstProblem is what the original finds first in a message in which more is wrong, if
// that is not the first on the wire.
func firstProblem(m Message, o *jsonx.Object) error {
	data, ok := o.Get("msgData")
	switch m.(type) {
	case *Authenticate:
		switch version, ok := jsonx.Peek(data, "apiVersion"); {
		case !jsonx.IsObject(data):
			return nil
		case !ok:
			return &jsonx.Error{Field: "msgData.apiVersion", Err: jsonx.ErrMissing}
		case !isText(version):
			return &jsonx.Error{Field: "msgData.apiVersion", Err: jsonx.ErrType}
		}
		return checkMembers(m, o)
	case *Offer, *Answer, *Candidate:
		if !isContainer(data) || isEmpty(data) {
			return &jsonx.Error{Field: "msgData", Err: errors.New(reasonEmpty)}
		}
	case *Reject, *Hangup:
		if ok {
			return &jsonx.Error{Field: "msgData", Err: errors.New(reasonPresent)}
		}
	}
	return nil
}

func peek(value json.RawMessage, name string) (member json.RawMessage, ok bool) {
	if !jsonx.IsObject(value) {
		return nil, false
	}
	return jsonx.Peek(value, name)
}

func isText(value json.RawMessage) bool { return len(value) > 0 && value[0] == '"' }

func decodeUnknown(pkt Packet, event, typ string, o *jsonx.Object) (Message, error) {
	m := &Unknown{Packet: pkt, Event: event, Type: typ}
	var r struct {
		Extra Fields `json:"-"`
	}
	discriminator := "msgType"
	if _, isText := o.Text("msgType"); !isText {
		discriminator = ""
	}
	if err := o.Decode(&r, discriminator, true); err != nil {
		return nil, decodeError(m, err)
	}
	if m.Extra = r.Extra; discriminator == "" { // no message of this protocol, but somebody's
		text, err := appendObject(nil, r.Extra)
		if err != nil {
			return nil, decodeError(m, err)
		}
		m.Extra, m.Args = nil, []json.RawMessage{text}
	}
	return m, nil
}

func appendObject(dst []byte, members Fields) ([]byte, error) {
	return jsonx.Append(dst, "", "", &struct {
		Extra Fields `json:"-"`
	}{members})
}

// decodeError says where m is wrong, or with a nil m that the packet is.
func decodeError(m Message, err error) *DecodeError {
	e := &DecodeError{Err: err}
	if x, ok := errors.AsType[*jsonx.Error](err); ok && x.Offset == 0 {
		e.Field, e.Err = x.Field, x.Err
	}
	if m != nil {
		e.Event, e.Type = m.event(), m.wireType()
		switch p := m.packet(); {
		case p == nil:
		case p.Ack:
			e.ack = p.ID
		default:
			e.ID, e.Code = p.ID, codeOf(e.Event, e.Type, e.Field)
		}
	}
	return e
}

// Encode writes one packet of Socket.IO but for its attachments: in the object msgType
// first, then the members in the order of the struct, then Extra by name. Raw members are
// written as they are. There is no newline. It fails for raw members that are not JSON and
// for strings that are not UTF-8.
func Encode(m Message) ([]byte, error) {
	if m == nil {
		return nil, fmt.Errorf("easyrtc: encode nothing: %w", errNotOnWire)
	}
	b, err := appendMessage(make([]byte, 0, size(m)), m)
	if err != nil {
		return nil, fmt.Errorf("easyrtc: encode %s: %w", m.wireType(), err)
	}
	return b, nil
}

// appendMessage appends the encoding of m.
func appendMessage(dst []byte, m Message) ([]byte, error) {
	switch m := m.(type) {
	case *ConnectPacket:
		return appendControl(dst, socketio.Packet{Type: socketio.Connect, Namespace: m.Namespace, Data: m.Payload})
	case *DisconnectPacket:
		return appendControl(dst, socketio.Packet{Type: socketio.Disconnect, Namespace: m.Namespace})
	case *ConnectErrorPacket:
		return appendControl(dst, socketio.Packet{Type: socketio.ConnectError, Namespace: m.Namespace, Data: m.Payload})
	case *Reconnected, nil:
		return dst, errNotOnWire
	}
	pkt := *m.packet()
	switch m.(type) {
	case *Ack, *Token, *RoomList: // which are nothing else
		pkt.Ack = true
	}
	dst, err := appendStart(dst, pkt, m.event())
	if err != nil {
		return dst, err
	}
	switch m := m.(type) {
	case *Unknown:
		dst, err = m.appendArguments(dst)
	case *shared:
		dst, err = m.append(dst)
	default:
		if m.packet().checked {
			dst, err = jsonx.AppendChecked(dst, "msgType", m.wireType(), m)
		} else {
			dst, err = jsonx.Append(dst, "msgType", m.wireType(), m)
		}
	}
	return append(dst, ']'), err
}

// appendStart appends what stands in front of a packet's object.
func appendStart(dst []byte, pkt Packet, event string) ([]byte, error) {
	p := socketio.Packet{Type: socketio.Event, ID: pkt.ID}
	if pkt.Ack {
		p.Type = socketio.Ack
	}
	if p.Attachments = len(pkt.Attachments); p.Attachments > 0 {
		p.Type += socketio.BinaryEvent - socketio.Event
	}
	dst = append(socketio.Append(dst, p), '[')
	if pkt.Ack || event == "" {
		return dst, nil
	}
	dst, err := jsonx.AppendString(dst, event)
	return append(dst, ','), err
}

func appendControl(dst []byte, p socketio.Packet) ([]byte, error) {
	err := socketio.CheckNamespace(p.Namespace)
	if err == nil {
		err = socketio.CheckPayload(p)
	}
	if err != nil {
		return dst, err
	}
	return socketio.Append(dst, p), nil
}

func (m *Unknown) appendArguments(dst []byte) ([]byte, error) {
	if m.Args == nil {
		return jsonx.Append(dst, "msgType", m.Type, &struct {
			Extra Fields `json:"-"`
		}{m.Extra})
	}
	if len(m.Args) == 0 && dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	for i, arg := range m.Args {
		if err := jsonx.Check(arg); err != nil {
			return dst, err
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, arg...)
	}
	return dst, nil
}

// attachments are the binary messages that follow the encoding of m.
func attachments(m Message) [][]byte {
	if m == nil {
		return nil
	}
	if p := m.packet(); p != nil {
		return p.Attachments
	}
	return nil
}

// size estimates the encoded length of a message in bytes, with its attachments: what its
// texts have, and something for the names of the members and all that is short.
func size(m Message) int {
	const names = 160
	n := names
	for _, a := range attachments(m) {
		n += len(a)
	}
	switch m := m.(type) {
	case *Offer:
		return n + len(m.MsgData)
	case *Answer:
		return n + len(m.MsgData)
	case *Candidate:
		return n + len(m.MsgData)
	case *Msg:
		return n + len(m.MsgType) + len(m.MsgData)
	case *Authenticate:
		if m.MsgData != nil {
			n += len(m.MsgData.Credential) + names*len(m.MsgData.RoomJoin)
		}
	case *SetRoomAPIField:
		if m.MsgData != nil && m.MsgData.SetRoomAPIField != nil {
			n += len(m.MsgData.SetRoomAPIField.Field)
		}
	case *Token:
		if m.MsgData != nil {
			n += 4*names + sizeOfRooms(m.MsgData.RoomData)
		}
	case *RoomData:
		if m.MsgData != nil {
			n += sizeOfRooms(m.MsgData.RoomData)
		}
	case *shared:
		return n + sizeOfRooms(m.MsgData.RoomData)
	case *RoomList:
		if m.MsgData != nil {
			n += names * len(m.MsgData.RoomList)
		}
	case *ICEConfig:
		if m.MsgData != nil && m.MsgData.ICEConfig != nil {
			n += names * len(m.MsgData.ICEConfig.ICEServers)
		}
	case *Unknown:
		for _, arg := range m.Args {
			n += len(arg)
		}
		return n + len(m.Event) + len(m.Type) + sizeOf(m.Extra)
	}
	return n
}

func sizeOfRooms(rooms map[string]*Room) (n int) {
	const names, occupant = 100, 180
	for name, r := range rooms {
		n += names + 2*len(name)
		if r == nil {
			continue
		}
		for _, o := range r.ClientList {
			n += occupant + len(o.APIField) + sizeOfPresence(o.Presence)
		}
		if r.ClientListDelta != nil {
			for _, o := range r.ClientListDelta.UpdateClient {
				n += occupant + len(o.APIField) + sizeOfPresence(o.Presence)
			}
			n += names * len(r.ClientListDelta.RemoveClient)
		}
		for name, f := range r.Field {
			n += names + 2*len(name) + len(f.FieldValue)
		}
	}
	return n
}

func sizeOfPresence(p *Presence) int {
	if p == nil {
		return 0
	}
	return len(p.Type)
}

// sizeOf returns the length of members of any JSON.
func sizeOf(values Fields) (n int) {
	for name, value := range values {
		n += len(name) + len(value)
	}
	return n
}
