package jsonx

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Append appends the struct that v points to as a JSON object: the discriminator
// and its value first (both may be ""), then the fields in their order, then the
// members of Extra by name. Raw values are written as they are, after a check; an
// empty one is written as null. There is no newline.
func Append(dst []byte, discriminator, value string, v any) ([]byte, error) {
	const members = 2 // the level of what stands in an object that is the whole text
	return appendStruct(dst, discriminator, value, reflect.ValueOf(v).Elem(), members)
}

// AppendAt is [Append] without a discriminator for a struct that is part of a text, with
// its members at that level, see [CheckAt].
func AppendAt(dst []byte, v any, level int) ([]byte, error) {
	return appendStruct(dst, "", "", reflect.ValueOf(v).Elem(), level)
}

// AppendMembers appends the members of a struct to an object that has begun, each after a
// comma, and does not end it. They stand at that level, see [CheckAt]. Those that the object
// has already, which are called taken, may not be in Extra.
func AppendMembers(dst []byte, v any, level int, taken ...string) ([]byte, error) {
	source := reflect.ValueOf(v).Elem()
	p := planOf(source.Type())
	if p.extra >= 0 && source.Field(p.extra).Len() > 0 {
		extra := rawMap(source.Field(p.extra))
		for _, name := range taken {
			if _, ok := extra[name]; ok {
				return dst, &Error{Field: name, Err: fmt.Errorf("%w: Extra holds a member of the message", ErrDuplicate)}
			}
		}
	}
	return appendFields(dst, p, "", source, level)
}

// AppendExtra appends further members of an object, each after a comma, by name. They
// stand at that level, see [CheckAt]. Those that the struct of declares and the
// discriminator may not be among them.
func AppendExtra(dst []byte, extra map[string]json.RawMessage, of any, discriminator string, level int) ([]byte, error) {
	return appendExtra(dst, extra, planOf(reflect.TypeOf(of).Elem()), discriminator, level)
}

// CheckExtra checks further members of an object in the same way. The error has the name
// of the member.
func CheckExtra(extra map[string]json.RawMessage, of any, discriminator string, level int) *Error {
	if len(extra) == 0 {
		return nil
	}
	for _, name := range sortedNames(extra) {
		var err error
		switch {
		case name == discriminator && name != "" || Declares(of, name):
			err = ErrDeclared
		case !utf8.ValidString(name):
			err = ErrUTF8
		case len(extra[name]) == 0:
			err = ErrMissing
		default:
			err = CheckAt(extra[name], level)
		}
		if e, ok := errors.AsType[*Error](err); ok {
			return &Error{Field: name, Err: e.Err}
		}
		if err != nil {
			return &Error{Field: name, Err: err}
		}
	}
	return nil
}

// AppendChecked is [Append] for a struct whose raw values come out of a scanned
// text, so that a relay does not check them twice.
func AppendChecked(dst []byte, discriminator, value string, v any) ([]byte, error) {
	return appendStruct(dst, discriminator, value, reflect.ValueOf(v).Elem(), 0)
}

// appendStruct appends a struct whose members stand at level depth, see [appender].
func appendStruct(dst []byte, discriminator, value string, source reflect.Value, depth int) ([]byte, error) {
	p := planOf(source.Type())
	start := len(dst)
	var err error
	if discriminator != "" {
		dst = append(dst, `,"`...)
		dst = append(dst, discriminator...)
		dst = append(dst, `":`...)
		if dst, err = AppendString(dst, value); err != nil {
			return dst[:start], &Error{Field: discriminator, Err: err}
		}
	}
	if dst, err = appendFields(dst, p, discriminator, source, depth); err != nil {
		return dst[:start], err
	}
	if len(dst) == start {
		return append(dst, "{}"...), nil
	}
	dst[start] = '{' // in place of the first comma
	return append(dst, '}'), nil
}

// appendFields appends the members of a struct, each after a comma.
func appendFields(dst []byte, p *plan, discriminator string, source reflect.Value, depth int) ([]byte, error) {
	var err error
	for i := range p.fields {
		f := &p.fields[i]
		fv := source.Field(f.index)
		if f.omit != nil && f.omit(fv) {
			continue
		}
		dst = append(dst, f.prefix...)
		if dst, err = f.append(dst, fv, depth); err != nil {
			return dst, within(f.name, err)
		}
	}
	if p.extra >= 0 && source.Field(p.extra).Len() > 0 {
		return appendExtra(dst, rawMap(source.Field(p.extra)), p, discriminator, depth)
	}
	return dst, nil
}

// Declares reports whether the struct v, or the one that it points to, names a member,
// which then may not be in its Extra. A nil v names none.
func Declares(v any, name string) bool {
	if v == nil {
		return false
	}
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return planOf(t).declares(name)
}

var extraType = reflect.TypeFor[map[string]json.RawMessage]()

// rawMap returns a map of raw values, whatever its type is called.
func rawMap(v reflect.Value) map[string]json.RawMessage {
	return v.Convert(extraType).Interface().(map[string]json.RawMessage)
}

func appendExtra(dst []byte, extra map[string]json.RawMessage, p *plan, discriminator string, depth int) ([]byte, error) {
	if len(extra) == 0 {
		return dst, nil
	}
	for _, name := range sortedNames(extra) {
		if name == discriminator && name != "" || p.declares(name) {
			return dst, &Error{Field: name, Err: fmt.Errorf("%w: Extra holds a member of the message", ErrDuplicate)}
		}
		dst = append(dst, ',')
		var err error
		if dst, err = AppendString(dst, name); err != nil {
			return dst, &Error{Field: name, Err: err}
		}
		dst = append(dst, ':')
		raw := extra[name]
		switch {
		case len(raw) == 0:
			dst = append(dst, "null"...)
			continue
		case depth > 0:
			if err := CheckAt(raw, depth); err != nil {
				return dst, &Error{Field: name, Err: err}
			}
		}
		dst = append(dst, raw...)
	}
	return dst, nil
}

// sortedNames returns the names of raw values in their order.
func sortedNames(values map[string]json.RawMessage) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// AppendString appends s as a JSON string, without escapes for HTML.
func AppendString(dst []byte, s string) ([]byte, error) {
	dst, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		return dst, ErrUTF8
	}
	return dst, nil
}
