package galene

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A Dialect is a form in which the protocol has been written over the years. [Decode]
// reads all of them; [Encode] writes [DialectV2], as everybody does who is still alive.
type Dialect int

// The dialects, from the present one back.
const (
	DialectV2       Dialect = iota // Galène 0.7 and later: version "2"
	DialectV1                      // Galène 0.5 to 0.6: version "1" or none; times in milliseconds
	Dialect04                      // Galène 0.4: permissions as an object, the data of users called status
	DialectDocument                // the protocol document of April 2021: streams with a label for each track
)

var dialects = [...]string{"2", "1", "0.4", "document"}

// String returns the dialect's name.
func (d Dialect) String() string { return stateName(dialects[:], int(d)) }

// Encode is [Encode] in this dialect. It writes the members that exist in the message,
// whether the dialect has them or not.
func (d Dialect) Encode(m Message) ([]byte, error) {
	b, err := d.append(make([]byte, 0, size(m)), m)
	if err != nil {
		return nil, fmt.Errorf("galene: encode %s: %w", name(m), err)
	}
	return b, nil
}

func (d Dialect) append(dst []byte, m Message) ([]byte, error) {
	if d == DialectV2 {
		return appendMessage(dst, m)
	}
	if s, ok := m.(*shared); ok {
		m = s.Message
	}
	var tracks Fields
	if r, ok := m.(*Request); ok && r.Tracks != nil {
		tracks = r.Tracks
		m = &Request{Extra: r.Extra}
	}
	b, err := appendMessage(nil, m)
	if err != nil {
		return dst, err
	}
	return d.rewrite(dst, b, m, tracks)
}

// rewrite appends the encoding of m in an old dialect, made from that of today.
func (d Dialect) rewrite(dst, b []byte, m Message, tracks Fields) ([]byte, error) {
	o, err := jsonx.Scan(b)
	if err != nil {
		return dst, err
	}
	defer o.Free()
	_, isUser := m.(*User)
	_, isJoined := m.(*Joined)
	_, isAction := m.(*UserAction)
	w := objectWriter{dst: append(dst, '{')}
	objects := d >= Dialect04
	for i := range o.Len() {
		name, value := o.Member(i)
		switch declared := jsonx.Declares(m, string(name)); string(name) {
		case "kind":
			if objects && isAction && string(value) == `"setdata"` {
				value = json.RawMessage(`"setstatus"`)
			}
		case "time":
			if declared {
				value, err = millis(value)
			}
		case "username":
			if _, isJoin := m.(*Join); declared && !isJoin && string(value) == `""` {
				continue
			}
		case "permissions":
			if declared && objects {
				value = permissionObject(value)
			}
		case "data":
			if _, both := o.Get("status"); objects && isUser && !both {
				name = []byte("status")
			}
		}
		if err != nil {
			return dst, err
		}
		w.member(name, value)
	}
	if objects && (isUser || isJoined) && !w.has("permissions") {
		w.member([]byte("permissions"), []byte("{}"))
	}
	if d == Dialect04 && isUser && !w.has("status") && m.(*User).Kind != UserDelete {
		status := "null"
		if m.(*User).Data != nil {
			status = "{}"
		}
		w.member([]byte("status"), []byte(status))
	}
	if tracks != nil {
		b, err := jsonx.Append(nil, "", "", &struct {
			Extra Fields `json:"-"`
		}{tracks})
		if err != nil {
			return dst, err
		}
		w.member([]byte("request"), b)
	}
	return append(w.dst, '}'), nil
}

// An objectWriter writes members whose names need no escapes, as those that were
// scanned.
type objectWriter struct {
	dst   []byte
	names []string
}

func (w *objectWriter) member(name []byte, value json.RawMessage) {
	if len(w.names) > 0 {
		w.dst = append(w.dst, ',')
	}
	w.names = append(w.names, string(name))
	w.dst, _ = jsonx.AppendString(w.dst, string(name)) // which was scanned
	w.dst = append(w.dst, ':')
	w.dst = append(w.dst, value...)
}

func (w *objectWriter) has(name string) bool { return slices.Contains(w.names, name) }

// millis returns a time of today as version 1 writes it.
func millis(value json.RawMessage) (json.RawMessage, error) {
	s, _ := jsonx.Text(value)
	t, ok := Time(s).Time()
	digits := strconv.FormatInt(t.UnixMilli(), 10)
	if _, again := fromMillis(digits); !ok || !again { // it may be of year 0 in its zone alone
		return nil, &jsonx.Error{Field: "time", Err: errTime}
	}
	return json.RawMessage(digits), nil
}

// permissionObject returns a list of permissions as an object.
func permissionObject(list json.RawMessage) json.RawMessage {
	var p struct {
		Permissions Permissions `json:"permissions"`
	}
	_ = jsonx.DecodeChecked(slices.Concat([]byte(`{"permissions":`), list, []byte("}")), &p, false) // it was written by us
	slices.Sort(p.Permissions)
	w := objectWriter{dst: []byte{'{'}}
	for _, permission := range slices.Compact(p.Permissions) {
		w.member([]byte(permission), []byte("true"))
	}
	return append(w.dst, '}')
}

// A shape says how a message differs from what today's server writes.
type shape int

const (
	withNull shape = 1 << iota // a member of a known name is null
	old                        // of version 1

	today shape = 0
)

// nullIsAbsence reports whether a null in a type of message is as good as no member: it is
// but where any JSON may stand.
func nullIsAbsence(typ string, name []byte) bool {
	return classOf(name) != anything || typ == "joined" && string(name) == "value"
}

// scalars reports whether the values of an object are booleans and numbers.
func scalars(object json.RawMessage) bool {
	found := false
	o, err := jsonx.Scan(object)
	if err != nil {
		return false
	}
	defer o.Free()
	for i := range o.Len() {
		switch _, value := o.Member(i); value[0] {
		case '[', '{', '"', 'n':
			return false
		}
		found = true
	}
	return found
}

// decodeShape stores a message of another shape than that of today: what it has is
// rewritten and decoded again.
func decodeShape(o *jsonx.Object, m Message) error {
	w := objectWriter{dst: []byte{'{'}}
	_, isUser := m.(*User)
	request, isRequest := m.(*Request)
	for i := range o.Len() {
		name, value := o.Member(i)
		switch {
		case string(name) == "type":
			continue
		case isUser && string(name) == "status": // of the user
			if jsonx.IsNull(value) {
				continue
			}
			if _, both := o.Get("data"); !both {
				name = []byte("data")
			}
		case isRequest && string(name) == "request" && jsonx.IsObject(value) && scalars(value):
			var r struct {
				Extra Fields `json:"-"`
			}
			if err := jsonx.DecodeChecked(value, &r, false); err != nil {
				return &jsonx.Error{Field: "request", Err: err}
			}
			request.Tracks = r.Extra
			continue
		case value[0] == 'n' && nullIsAbsence(m.wireType(), name) && jsonx.Declares(m, string(name)):
			continue
		case string(name) == "time" && jsonx.Declares(m, "time") && value[0] != '"':
			t, ok := fromMillis(string(value))
			if !ok {
				return &jsonx.Error{Field: "time", Err: errTime}
			}
			value, _ = jsonx.AppendString(nil, string(t))
		case string(name) == "permissions" && jsonx.Declares(m, "permissions") && value[0] == '{':
			list, err := permissionList(value)
			if err != nil {
				return err
			}
			value = list
		}
		w.member(name, value)
	}
	again, err := jsonx.Scan(append(w.dst, '}'))
	if err != nil {
		return err
	}
	defer again.Free()
	return again.DecodeOwned(m, "")
}

// permissionList returns an object of booleans as the list of those that are true.
func permissionList(object json.RawMessage) (json.RawMessage, error) {
	o, err := jsonx.Scan(object)
	if err != nil {
		return nil, err
	}
	defer o.Free()
	list := []byte{'['}
	for i := range o.Len() {
		name, value := o.Member(i)
		switch {
		case string(value) == "false":
			continue
		case string(value) != "true":
			return nil, &jsonx.Error{Field: "permissions." + string(name), Err: jsonx.ErrType}
		}
		if len(list) > 1 {
			list = append(list, ',')
		}
		list, _ = jsonx.AppendString(list, string(name))
	}
	return append(bytes.Clone(list), ']'), nil
}
