package galene

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// Decode reads one message of any dialect. It does not validate and does not keep data.
// Its error is a [*DecodeError].
//
// Member names match exactly; a duplicate name, invalid UTF-8, data after the object and
// nesting beyond 64 levels are errors, and so is the wrong JSON type of a member that the
// protocol knows, in whatever message. A null counts as absent, as it does for Galène. A
// type that is not known becomes an [*Unknown]; members that are not known are kept.
func Decode(data []byte) (Message, error) { return decode(data, false) }

// Check reports whether Galène's present server takes data for a message. What it returns
// an error for would end the connection there, before anybody looks at what the message
// says, and the shapes of version 1 of the protocol are among that; besides, it refuses
// whatever Decode does. It does not look at what stands below rtcConfiguration, which no
// client sends. The error is a [*DecodeError].
func Check(data []byte) error {
	_, err := decode(data, true)
	return err
}

// decode reads a message; strictly, as Galène's present server does.
//
// The message points into a copy of data, in which its texts lose their escapes, so that
// they need not be copied one by one.
func decode(data []byte, strict bool) (Message, error) {
	text := append(make([]byte, 0, len(data)), data...)
	o, err := jsonx.Scan(text)
	if err != nil {
		if errors.Is(err, jsonx.ErrNotObject) && jsonx.IsNull(data) {
			return nil, &DecodeError{Field: "type", Err: errNoType} // for the real server a null is an empty object
		}
		return nil, decodeError("", err)
	}
	defer o.Free()
	value, ok := o.Get("type")
	typ, isText := jsonx.Text(value)
	absent := !ok || jsonx.IsNull(value)
	if !absent && !isText {
		return nil, &DecodeError{Field: "type", Err: jsonx.ErrType}
	}
	shape, err := checkMembers(o, string(typ), strict)
	switch {
	case err != nil:
		return nil, decodeError(string(typ), err)
	case absent:
		return nil, &DecodeError{Field: "type", Err: errNoType}
	}
	construct, ok := registry[string(typ)]
	if !ok {
		m := &Unknown{Type: string(typ)}
		var r struct {
			Extra Fields `json:"-"`
		}
		if err := o.Decode(&r, "type", true); err != nil {
			return nil, decodeError(m.Type, err)
		}
		m.Extra = r.Extra
		return m, nil
	}
	m := construct()
	if shape != today {
		if err := decodeShape(o, m); err != nil {
			return nil, decodeError(m.wireType(), err)
		}
		return m, nil
	}
	if err := o.DecodeOwned(m, "type"); err != nil {
		return nil, decodeError(m.wireType(), err)
	}
	return m, nil
}

func decodeError(typ string, err error) *DecodeError {
	e := &DecodeError{Type: typ, Err: err}
	if x, ok := errors.AsType[*jsonx.Error](err); ok && x.Offset == 0 {
		e.Field, e.Err = x.Field, x.Err
	}
	return e
}

// Encode writes one message in [DialectV2]: the type first, then the members in the order
// of the struct, then Extra by name. Empty members are left out, as the real server leaves
// them out. Raw members are written as they are. There is no newline. It fails for raw
// members that are not JSON and for strings that are not UTF-8.
func Encode(m Message) ([]byte, error) {
	b, err := appendMessage(make([]byte, 0, size(m)), m)
	if err != nil {
		return nil, fmt.Errorf("galene: encode %s: %w", name(m), err)
	}
	return b, nil
}

// appendMessage appends the encoding of m.
func appendMessage(dst []byte, m Message) ([]byte, error) {
	switch m := m.(type) {
	case *Unknown:
		return jsonx.Append(dst, "type", m.Type, &struct {
			Extra Fields `json:"-"`
		}{m.Extra})
	case *Request:
		if m.Tracks != nil {
			return dst, errTracks
		}
	case *Reconnected, nil:
		return dst, errNotOnWire
	case *shared:
		return m.append(dst)
	}
	return jsonx.Append(dst, "type", m.wireType(), m)
}

// name is what errors call a message.
func name(m Message) string {
	switch m.(type) {
	case nil:
		return "nothing"
	case *Reconnected:
		return "reconnected"
	}
	return m.wireType()
}

// size estimates the encoded length of a message in bytes: what its texts have, and
// something for the names of the members and all that is short.
func size(m Message) int {
	const names = 160
	switch m := m.(type) {
	case *shared:
		return m.size
	case *Handshake:
		return names + len(m.ID) + sizeOf(m.Extra)
	case *Ping:
		return names + sizeOf(m.Extra)
	case *Pong:
		return names + sizeOf(m.Extra)
	case *Join:
		return names + len(m.Group) + len(m.Password) + len(m.Token) + sizeOf(m.Data) + sizeOf(m.Extra) + sizeOfPointer(m.Username)
	case *Joined:
		return 3*names + len(m.Value) + len(m.RTCConfiguration) + sizeOf(m.Data) + sizeOf(m.Extra)
	case *User:
		return names + sizeOf(m.Data) + sizeOf(m.Extra)
	case *Chat:
		return names + len(m.Kind) + len(m.ID) + len(m.Source) + len(m.Dest) + len(m.Value) +
			sizeOf(m.Extra) + sizeOfPointer(m.Username)
	case *ChatHistory:
		return names + len(m.Kind) + len(m.ID) + len(m.Source) + len(m.Value) +
			sizeOf(m.Extra) + sizeOfPointer(m.Username)
	case *UserMessage:
		return names + len(m.Kind) + len(m.ID) + len(m.Source) + len(m.Dest) + len(m.Value) +
			sizeOf(m.Extra) + sizeOfPointer(m.Username)
	case *UserAction:
		return names + len(m.Dest) + len(m.Value) + sizeOf(m.Extra)
	case *GroupAction:
		return names + len(m.Value) + sizeOf(m.Extra)
	case *Request:
		n := names + sizeOf(m.Tracks) + sizeOf(m.Extra)
		for label, kinds := range m.Request {
			n += len(label) + sizeOfTexts(kinds)
		}
		return n
	case *RequestStream:
		return names + len(m.ID) + sizeOfTexts(m.Request) + sizeOf(m.Extra)
	case *Offer:
		n := names + len(m.Kind) + len(m.ID) + len(m.Replace) + len(m.Label) + sizeOfSDP(m.SDP) + sizeOf(m.Extra)
		for mid, label := range m.Labels {
			n += len(mid) + len(label)
		}
		return n
	case *Answer:
		return names + len(m.ID) + sizeOfSDP(m.SDP) + sizeOf(m.Extra)
	case *ICE:
		return names + len(m.ID) + len(m.Candidate) + sizeOf(m.Extra)
	case *Renegotiate:
		return names + len(m.ID) + sizeOf(m.Extra)
	case *Close:
		return names + len(m.ID) + sizeOf(m.Extra)
	case *Abort:
		return names + len(m.ID) + sizeOf(m.Extra)
	case *Unknown:
		return names + len(m.Type) + sizeOf(m.Extra)
	}
	return names
}

func sizeOfPointer(text *string) int {
	if text == nil {
		return 0
	}
	return len(*text)
}

func sizeOfTexts[T ~string](texts []T) (n int) {
	for _, text := range texts {
		n += len(text)
	}
	return n
}

func sizeOfSDP(sdp string) int { return len(sdp) + len(sdp)/16 } // its line ends are escaped

// sizeOf returns the length of members of any JSON.
func sizeOf(values Fields) (n int) {
	for name, value := range values {
		n += len(name) + len(value)
	}
	return n
}

// decoder reads messages of at most limit bytes. Galène takes binary messages for text.
func decoder(limit int, strict bool) func(typ transport.MessageType, data []byte) (Message, error) {
	return func(_ transport.MessageType, data []byte) (Message, error) {
		if limit > 0 && len(data) > limit {
			return nil, &DecodeError{Err: errTooBig}
		}
		return decode(data, strict)
	}
}

// A class is the JSON type that a member has in every message, or below one of them.
type class int

const (
	anything class = iota
	text
	texts
	boolean
	object
	permissions // texts, or an object of booleans
	timestamp   // a text, or a number
	count       // an integer
	index       // an integer of 16 bits
)

// classOf returns the class of a member, as Galène's server declares it.
func classOf(name []byte) class {
	switch string(name) {
	case "kind", "error", "id", "replace", "source", "dest", "username", "password", "token", "group", "sdp", "label":
		return text
	case "version":
		return texts
	case "privileged", "noecho":
		return boolean
	case "status", "data", "candidate", "rtcConfiguration":
		return object
	case "permissions":
		return permissions
	case "time":
		return timestamp
	}
	return anything
}

// checkMembers checks the types of the members that the protocol knows, and says whether
// they have the shape of today.
func checkMembers(o *jsonx.Object, typ string, strict bool) (s shape, err error) {
	for i := range o.Len() {
		name, value := o.Member(i)
		c := classOf(name)
		if !strict && (typ == "request" && string(name) == "request" && jsonx.IsObject(value) && scalars(value) ||
			typ == "user" && string(name) == "status") {
			s |= old
		}
		switch value[0] {
		case 'n':
			if nullIsAbsence(typ, name) {
				s |= withNull
			}
			continue
		case '{':
			if c == permissions && !strict {
				s |= old
				continue
			}
		case '"', 't', 'f', '[':
		default:
			if c == timestamp && !strict {
				s |= old
				continue
			}
		}
		if !c.takes(value) {
			return s, &jsonx.Error{Field: string(name), Err: jsonx.ErrType}
		}
		if strict {
			if err := checkBelow(name, value); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// takes reports whether a member of a class may have a value: whether the real server does
// not close the connection for it.
func (c class) takes(value json.RawMessage) bool {
	if c == anything {
		return true
	}
	switch value[0] {
	case 'n':
		return true
	case '"':
		return c == text || c == timestamp
	case '{':
		return c == object
	case '[':
		return c == texts || c == permissions
	case 't', 'f':
		return c == boolean
	}
	switch c {
	case count:
		_, err := strconv.ParseInt(string(value), 10, 64)
		return err == nil
	case index:
		_, err := strconv.ParseUint(string(value), 10, 16)
		return err == nil
	}
	return false
}

// checkBelow checks the types of what stands in a member that the protocol knows, for
// which the real server closes the connection, too.
func checkBelow(name []byte, value json.RawMessage) *jsonx.Error {
	var classBelow func(name []byte) class
	switch string(name) {
	case "version", "permissions":
		return checkTexts(string(name), value)
	case "candidate":
		classBelow = classInCandidate
	case "status":
		classBelow = classInStatus
	default:
		return nil
	}
	o, err := jsonx.Scan(value)
	if err != nil {
		return nil // a null
	}
	defer o.Free()
	for i := range o.Len() {
		below, value := o.Member(i)
		if !classBelow(below).takes(value) {
			return &jsonx.Error{Field: string(name) + "." + string(below), Err: jsonx.ErrType}
		}
	}
	return nil
}

// checkTexts checks that the elements of an array are texts, or null.
func checkTexts(name string, array json.RawMessage) *jsonx.Error {
	wrong := -1
	_ = jsonx.Elements(array, func(i int, element []byte) error {
		if element[0] != '"' && element[0] != 'n' {
			wrong = i
			return jsonx.ErrType
		}
		return nil
	}) // a null has none
	if wrong < 0 {
		return nil
	}
	return &jsonx.Error{Field: name + "[" + strconv.Itoa(wrong) + "]", Err: jsonx.ErrType}
}

func classInCandidate(name []byte) class {
	switch string(name) {
	case "candidate", "sdpMid", "usernameFragment":
		return text
	case "sdpMLineIndex":
		return index
	}
	return anything
}

func classInStatus(name []byte) class {
	switch string(name) {
	case "name", "redirect", "location", "endpoint", "displayName", "description", "authServer", "authPortal":
		return text
	case "locked", "canChangePassword":
		return boolean
	case "clientCount":
		return count
	}
	return anything
}
