package jsonx

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// An Object is a JSON object that has been checked and cut into its top-level
// members. It points into the text that was scanned. The zero Object is ready for
// [Object.Scan], which may be called again and then reuses the memory.
type Object struct {
	members []member
	names   [][]byte // the scanner's scratch
}

var objects = sync.Pool{New: func() any { return new(Object) }}

// Scan is [Object.Scan] into an Object that a later call reuses, once it has been
// given back with [Object.Free].
func Scan(data []byte) (*Object, error) {
	o := objects.Get().(*Object)
	if err := o.Scan(data); err != nil {
		o.Free()
		return nil, err
	}
	return o, nil
}

// Free gives o back. Nothing that points into the scanned text is touched.
func (o *Object) Free() {
	if cap(o.members) > 64 || cap(o.names) > 256 {
		return
	}
	clear(o.members[:cap(o.members)])
	clear(o.names[:cap(o.names)])
	o.members, o.names = o.members[:0], o.names[:0]
	objects.Put(o)
}

type member struct {
	name  []byte // unescaped
	value []byte
}

// Scan checks data as one JSON object, in one pass and (but for objects of many
// members) without allocating. Its errors are of type [*Error].
func (o *Object) Scan(data []byte) error {
	o.members = o.members[:0]
	s := scanner{data: data, names: o.names[:0]}
	defer func() { o.names = s.names[:0] }()
	i := s.space(0)
	if i < len(data) && data[i] != '{' {
		if err := Check(data); err != nil {
			return err
		}
		return &Error{Offset: i, Err: ErrNotObject}
	}
	if i >= len(data) {
		return s.fail(i, ErrSyntax)
	}
	end, err := s.object(i, 1, o)
	if err != nil {
		return err
	}
	return s.end(end)
}

// Len returns the number of top-level members.
func (o *Object) Len() int { return len(o.members) }

// Member returns the name and the value of a top-level member, in their order.
func (o *Object) Member(i int) (name []byte, value json.RawMessage) {
	return o.members[i].name, o.members[i].value
}

// Get returns the value of a top-level member as it stands in the text.
func (o *Object) Get(name string) (value json.RawMessage, ok bool) {
	for i := range o.members {
		if string(o.members[i].name) == name {
			return o.members[i].value, true
		}
	}
	return nil, false
}

// Take returns the value of a top-level member and removes it from o, for a member that is
// read by other means than [Object.Decode].
func (o *Object) Take(name string) (value json.RawMessage, ok bool) {
	for i := range o.members {
		if string(o.members[i].name) == name {
			value = o.members[i].value
			o.members = slices.Delete(o.members, i, i+1)
			return value, true
		}
	}
	return nil, false
}

// Text returns the value of a top-level member that is a string. It points into
// the text unless the string holds escapes.
func (o *Object) Text(name string) (text []byte, ok bool) {
	value, _ := o.Get(name)
	return Text(value)
}

// Peek returns the value of a member of a checked JSON object, looking no further
// than it. It is for the one member that a relay wants to know of a value that is
// part of a text which has been scanned.
func Peek(object json.RawMessage, name string) (value json.RawMessage, ok bool) {
	_ = eachMember(object, func(n, v []byte) error {
		if string(n) != name {
			return nil
		}
		value, ok = v, true
		return errFound
	})
	return value, ok
}

var errFound = errors.New("found")

// skip returns the end of a checked value: of a string or a number at once, of a
// container where its brackets balance.
func (s *scanner) skip(i int) (end int, err error) {
	for depth := 0; ; {
		if i = s.space(i); i >= len(s.data) {
			return i, s.fail(i, ErrSyntax)
		}
		switch s.data[i] {
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':':
			i++
		case '"':
			if i, _, err = s.str(i); err != nil {
				return i, err
			}
		default:
			for i < len(s.data) && !strings.ContainsRune(",:]} \t\r\n", rune(s.data[i])) {
				i++
			}
		}
		if depth <= 0 {
			return i, nil
		}
	}
}

// Text returns the text of a checked JSON value that is a string.
func Text(value json.RawMessage) (text []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	text = value[1 : len(value)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		text = unquote(value)
	}
	return text, true
}

// IsObject reports whether a checked JSON value is an object.
func IsObject(value json.RawMessage) bool {
	value = bytes.TrimLeft(value, " \t\r\n")
	return len(value) > 0 && value[0] == '{'
}

// IsNull reports whether a checked JSON value is absent or null.
func IsNull(value json.RawMessage) bool {
	value = bytes.Trim(value, " \t\r\n")
	return len(value) == 0 || string(value) == "null"
}

// Decode stores the members of o in the struct that v points to. Members that the
// struct does not name go into its field Extra, a map[string]json.RawMessage or a
// type of that kind, if it has one. The member called discriminator, which the
// struct's type stands for, is left out.
//
// A null is kept by a raw field, empties a slice, a map or a pointer that is
// written as null when it is nil, and is of the wrong type anywhere else. With
// share, strings and raw fields point into the scanned text, which must not change
// any more; otherwise they are copies. Errors are of type [*Error] with the path of
// the member.
func (o *Object) Decode(v any, discriminator string, share bool) error {
	target := reflect.ValueOf(v).Elem()
	p := planOf(target.Type())
	for i := range o.members {
		m := &o.members[i]
		if discriminator != "" && string(m.name) == discriminator {
			continue
		}
		if err := p.store(target, m.name, m.value, share); err != nil {
			return err
		}
	}
	return nil
}

// store stores one member of an object in a struct.
func (p *plan) store(target reflect.Value, name, value []byte, share bool) error {
	if f := p.field(name); f != nil {
		if err := f.decode(value, target.Field(f.index), share); err != nil {
			return within(f.name, err)
		}
		return nil
	}
	if p.extra < 0 {
		return nil
	}
	extra := target.Field(p.extra)
	if extra.IsNil() {
		extra.Set(reflect.MakeMap(extra.Type()))
	}
	if !share {
		value = bytes.Clone(value)
	}
	rawMap(extra)[string(name)] = slices.Clip(value)
	return nil
}

// DecodeChecked is [Object.Decode] for an object that is a member of a scanned text.
func DecodeChecked(value json.RawMessage, v any, share bool) error {
	return decodeStruct(value, reflect.ValueOf(v).Elem(), share)
}

// Unmarshal decodes data as one JSON object into the struct that v points to,
// under the rules of the package.
func Unmarshal(data []byte, v any) error {
	o, err := Scan(data)
	if err != nil {
		return err
	}
	defer o.Free()
	return o.Decode(v, "", false)
}
