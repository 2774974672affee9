package jsonx

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A plan is how the members of a struct type are read and written.
type plan struct {
	fields []field
	extra  int // index of the field Extra, or -1
}

type field struct {
	name   string
	prefix string // ,"name":
	index  int
	omit   func(reflect.Value) bool // nil: always written
	decode func(value []byte, v reflect.Value, share bool) error
	append func(dst []byte, v reflect.Value, check bool) ([]byte, error)
}

func (p *plan) field(name []byte) *field {
	for i := range p.fields {
		if p.fields[i].name == string(name) {
			return &p.fields[i]
		}
	}
	return nil
}

var plans sync.Map // reflect.Type -> *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p, _ := plans.LoadOrStore(t, newPlan(t))
	return p.(*plan)
}

// newPlan reads the tags of a struct type: `json:"name"`, `json:"name,omitempty"`
// (left out when empty), `json:"name,omitzero"` and one `json:",embed"`.
func newPlan(t reflect.Type) *plan {
	p := &plan{extra: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case options == "embed":
			p.extra = i
			continue
		}
		fd := field{name: name, prefix: "," + string(mustQuote(name)) + ":", index: i}
		switch options {
		case "omitempty":
			fd.omit = empty
		case "omitzero":
			fd.omit = reflect.Value.IsZero
		}
		fd.decode, fd.append = accessors(f.Type)
		p.fields = append(p.fields, fd)
	}
	return p
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	}
	return v.IsZero()
}

func mustQuote(s string) []byte {
	b, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		panic(err) // a struct tag of this module
	}
	return b
}

var rawType = reflect.TypeFor[json.RawMessage]()

// accessors returns how values of a type are read and written: the types that
// messages consist of directly, all others through the JSON library.
func accessors(t reflect.Type) (
	decode func([]byte, reflect.Value, bool) error,
	append_ func([]byte, reflect.Value, bool) ([]byte, error),
) {
	switch {
	case t == rawType:
		return decodeRaw, appendRaw
	case t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return decodeOther, appendOther
	}
	switch t.Kind() {
	case reflect.String:
		return decodeString, appendString
	case reflect.Int, reflect.Int64, reflect.Int32:
		return decodeInt, appendInt
	case reflect.Bool:
		return decodeBool, appendBool
	case reflect.Pointer:
		switch t.Elem().Kind() {
		case reflect.String, reflect.Int, reflect.Int64, reflect.Int32, reflect.Bool:
			return pointer(t)
		}
	}
	return decodeOther, appendOther
}

func pointer(t reflect.Type) (
	func([]byte, reflect.Value, bool) error,
	func([]byte, reflect.Value, bool) ([]byte, error),
) {
	dec, app := accessors(t.Elem())
	return func(value []byte, v reflect.Value, share bool) error {
			elem := reflect.New(t.Elem())
			if err := dec(value, elem.Elem(), share); err != nil {
				return err
			}
			v.Set(elem)
			return nil
		}, func(dst []byte, v reflect.Value, check bool) ([]byte, error) {
			if v.IsNil() {
				return append(dst, "null"...), nil
			}
			return app(dst, v.Elem(), check)
		}
}

func decodeRaw(value []byte, v reflect.Value, share bool) error {
	if !share {
		value = bytes.Clone(value)
	}
	v.SetBytes(value)
	return nil
}

func appendRaw(dst []byte, v reflect.Value, check bool) ([]byte, error) {
	raw := v.Bytes()
	if len(raw) == 0 {
		return append(dst, "null"...), nil
	}
	if check {
		if err := checkAt(raw, 2); err != nil {
			return dst, err
		}
	}
	return append(dst, raw...), nil
}

func decodeString(value []byte, v reflect.Value, _ bool) error {
	text, ok := Text(value)
	if !ok {
		return ErrType
	}
	v.SetString(string(text))
	return nil
}

func appendString(dst []byte, v reflect.Value, _ bool) ([]byte, error) {
	dst, err := jsontext.AppendQuote(dst, v.String())
	if err != nil {
		return dst, ErrUTF8
	}
	return dst, nil
}

func decodeInt(value []byte, v reflect.Value, _ bool) error {
	n, err := Int(value)
	if err != nil {
		return err
	}
	if v.OverflowInt(n) {
		return ErrRange
	}
	v.SetInt(n)
	return nil
}

// Int returns a checked JSON value as an integer. A number such as 1.0 or 1e2
// counts, as it does for jsoncpp and for JavaScript, as long as it is exact.
func Int(value json.RawMessage) (int64, error) {
	if len(value) == 0 || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, ErrType
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, strconv.ErrRange) {
		return 0, ErrRange
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || f != math.Trunc(f) {
		return 0, ErrType
	}
	if math.Abs(f) > 1<<53 {
		return 0, ErrRange
	}
	return int64(f), nil
}

func appendInt(dst []byte, v reflect.Value, _ bool) ([]byte, error) {
	return strconv.AppendInt(dst, v.Int(), 10), nil
}

func decodeBool(value []byte, v reflect.Value, _ bool) error {
	switch string(value) {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	default:
		return ErrType
	}
	return nil
}

func appendBool(dst []byte, v reflect.Value, _ bool) ([]byte, error) {
	return strconv.AppendBool(dst, v.Bool()), nil
}

// rawUnmarshaler keeps raw values as they stand; the library alone would compact
// them through their UnmarshalJSON.
var rawUnmarshaler = jsonv2.UnmarshalFromFunc(func(d *jsontext.Decoder, raw *json.RawMessage) error {
	value, err := d.ReadValue()
	*raw = append((*raw)[:0:0], value...)
	return err
})

// lenient is for text that the scanner has already checked more strictly.
var lenient = jsonv2.JoinOptions(
	jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsonv2.WithUnmarshalers(rawUnmarshaler))

func decodeOther(value []byte, v reflect.Value, _ bool) error {
	err := jsonv2.Unmarshal(value, v.Addr().Interface(), lenient)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		inner := e.Err
		if inner == nil {
			inner = ErrType
		}
		return &Error{Field: path("", string(e.JSONPointer)), Err: inner}
	}
	return ErrType
}

func appendOther(dst []byte, v reflect.Value, _ bool) ([]byte, error) {
	b, err := jsonv2.Marshal(v.Interface(), jsonv2.Deterministic(true))
	if err != nil {
		return dst, err
	}
	return append(dst, b...), nil
}
