package jsonx

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

// An Object is a JSON object that has been checked and cut into its top-level
// members. It points into the text that was scanned. The zero Object is ready for
// [Object.Scan], which may be called again and then reuses the memory.
type Object struct {
	scanner
	members []member
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

// Cut is [Scan] for a member of a text that has been scanned: it looks for the members of
// that, and does not check it again.
func Cut(value []byte) (*Object, error) {
	w, err := walkThrough(value, '{')
	if err != nil {
		return nil, &Error{Offset: w.space(0), Err: ErrNotObject}
	}
	o := objects.Get().(*Object)
	o.members = o.members[:0]
	for m, ok := w.next(); ok; m, ok = w.next() {
		o.members = append(o.members, m)
	}
	o.data, o.unescaped = w.data, w.unescaped
	return o, nil
}

// Free gives o back. Nothing that points into the scanned text is touched, nor are names.
func (o *Object) Free() {
	if cap(o.members) > 64 || cap(o.names) > 256 {
		return
	}
	o.reset(nil)
	o.members = o.members[:0]
	objects.Put(o)
}

type member struct {
	name       span
	start, end int // of the value
}

// Scan checks data as one JSON object, in one pass and (but for objects of many
// members) without allocating. Its errors are of type [*Error].
func (o *Object) Scan(data []byte) error {
	o.reset(data)
	o.members = o.members[:0]
	i := o.space(0)
	if i < len(data) && data[i] != '{' {
		if err := Check(data); err != nil {
			return err
		}
		return &Error{Offset: i, Err: ErrNotObject}
	}
	if i >= len(data) {
		return o.fail(i, ErrSyntax)
	}
	end, err := o.object(i, 1, o)
	if err != nil {
		return err
	}
	return o.scanner.end(end)
}

// Len returns the number of top-level members.
func (o *Object) Len() int { return len(o.members) }

// Member returns the name and the value of a top-level member, in their order.
func (o *Object) Member(i int) (name []byte, value json.RawMessage) {
	m := o.members[i]
	return o.text(m.name), o.data[m.start:m.end]
}

// Get returns the value of a top-level member as it stands in the text.
func (o *Object) Get(name string) (value json.RawMessage, ok bool) {
	i := o.find(name)
	if i < 0 {
		return nil, false
	}
	return o.data[o.members[i].start:o.members[i].end], true
}

func (o *Object) find(name string) int {
	for i := range o.members {
		if m := &o.members[i]; m.name.end-m.name.start == len(name) && string(o.text(m.name)) == name {
			return i
		}
	}
	return -1
}

// Take returns the value of a top-level member and removes it from o, for a member that is
// read by other means than [Object.Decode].
func (o *Object) Take(name string) (value json.RawMessage, ok bool) {
	i := o.find(name)
	if i < 0 {
		return nil, false
	}
	m := o.members[i]
	o.members = slices.Delete(o.members, i, i+1)
	return o.data[m.start:m.end], true
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
	w, err := walkThrough(object, '{')
	if err != nil {
		return nil, false
	}
	for m, ok := w.next(); ok; m, ok = w.next() {
		if string(w.text(m.name)) == name {
			return object[m.start:m.end], true
		}
	}
	return nil, false
}

// String is [Text] for a text of its own.
func String(value json.RawMessage) (text string, ok bool) {
	b, ok := Text(value)
	if len(b) == len(value)-len(`""`) { // it points into the value
		return string(b), ok
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), ok
}

// Text returns the text of a checked JSON value that is a string.
func Text(value json.RawMessage) (text []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	if text = value[1 : len(value)-1]; isEscaped(text) {
		text = unquote(make([]byte, 0, len(text)), text)
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
	return o.decode(v, discriminator, useOf(share))
}

// DecodeOwned is [Object.Decode] for a text that belongs to the struct from then on:
// strings and raw fields point into it, and strings lose their escapes where they stand.
// Nobody may read the text, or o, any more, even after an error.
func (o *Object) DecodeOwned(v any, discriminator string) error {
	return o.decode(v, discriminator, own)
}

func (o *Object) decode(v any, discriminator string, u use) error {
	target := reflect.ValueOf(v).Elem()
	p := planOf(target.Type())
	next := 0
	for i := range o.members {
		name, value := o.Member(i)
		if discriminator != "" && string(name) == discriminator {
			continue
		}
		var err error
		if next, err = p.store(target, next, name, value, u); err != nil {
			return err
		}
	}
	return nil
}

// store stores one member of an object in a struct. It looks for its field from the index
// next on, as most members come in the order of the fields, and returns the next index.
func (p *plan) store(target reflect.Value, next int, name, value []byte, u use) (int, error) {
	if i := p.find(next, name); i >= 0 {
		f := &p.fields[i]
		if err := f.decode(value, target.Field(f.index), u); err != nil {
			return 0, within(f.name, err)
		}
		return i + 1, nil
	}
	if p.extra < 0 {
		return next, nil
	}
	extra := target.Field(p.extra)
	if extra.IsNil() {
		extra.Set(reflect.MakeMap(extra.Type()))
	}
	if u == copied {
		value = bytes.Clone(value)
	}
	rawMap(extra)[string(name)] = slices.Clip(value)
	return next, nil
}

// DecodeChecked is [Object.Decode] for an object that is a member of a scanned text.
func DecodeChecked(value json.RawMessage, v any, share bool) error {
	return decodeStruct(value, reflect.ValueOf(v).Elem(), useOf(share))
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
