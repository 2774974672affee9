package jsonx

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A plan is how the members of a struct type are read and written.
type plan struct {
	fields []field
	extra  int // index of the field Extra, or -1
}

// A use says what a struct does with the text that it is read from.
type use int

const (
	copied use = iota // it has strings and raw fields of its own
	shared            // they point into the text
	own               // and strings lose their escapes in it
)

func useOf(share bool) use {
	if share {
		return shared
	}
	return copied
}

// A decoder stores a checked JSON value. Its errors hold a path below the value, such as
// [0].urls or .urls.
type decoder func(value []byte, v reflect.Value, u use) error

// An appender writes a value. Raw values in it are checked as standing at level depth
// of the text, unless that is 0.
type appender func(dst []byte, v reflect.Value, depth int) ([]byte, error)

type field struct {
	name   string
	prefix string // ,"name":
	index  int
	omit   func(reflect.Value) bool // nil: always written
	decode decoder
	append appender
}

// find returns the index of the field of that name, or -1, looking from the index next on.
func (p *plan) find(next int, name []byte) int {
	for i := next; i < len(p.fields); i++ {
		if p.fields[i].name == string(name) {
			return i
		}
	}
	for i := range next {
		if p.fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

func (p *plan) declares(name string) bool { return p.find(0, []byte(name)) >= 0 }

var plans sync.Map // reflect.Type -> *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p, _ := plans.LoadOrStore(t, newPlan(t))
	return p.(*plan)
}

// newPlan reads the tags of a struct type: `json:"name"`, `json:"name,omitempty"`
// (left out when empty) and `json:"name,omitzero"`; and its field Extra, a map of the
// members that no other field has.
func newPlan(t reflect.Type) *plan {
	p := &plan{extra: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Name == "Extra" && f.Type.ConvertibleTo(extraType):
			p.extra = i
			continue
		case name == "-" || !f.IsExported():
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
		if f.Type.Kind() == reflect.Pointer && fd.omit == nil {
			fd.decode = nullable(fd.decode)
		}
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
	b, err := AppendString(nil, s)
	if err != nil {
		panic(err) // a struct tag of this module
	}
	return b
}

var rawType = reflect.TypeFor[json.RawMessage]()

// accessors returns how values of a type are read and written: the types that
// messages consist of directly, all others through the JSON library.
func accessors(t reflect.Type) (decoder, appender) {
	switch {
	case t == rawType:
		return decodeRaw, appendRawField
	case t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return decodeOther, appendOther
	}
	switch t.Kind() {
	case reflect.String:
		return decodeString, appendString
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16, reflect.Int8:
		return decodeInt, appendInt
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		return decodeUint, appendUint
	case reflect.Bool:
		return decodeBool, appendBool
	case reflect.Pointer:
		return pointer(t)
	case reflect.Struct:
		return decodeStruct, appendNested
	case reflect.Slice:
		return slice(t)
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return object(t)
		}
	}
	return decodeOther, appendOther
}

func pointer(t reflect.Type) (decoder, appender) {
	decode, add := accessors(t.Elem())
	return func(value []byte, v reflect.Value, u use) error {
			elem := reflect.New(t.Elem())
			if err := decode(value, elem.Elem(), u); err != nil {
				return err
			}
			v.Set(elem)
			return nil
		}, func(dst []byte, v reflect.Value, depth int) ([]byte, error) {
			if v.IsNil() {
				return append(dst, "null"...), nil
			}
			return add(dst, v.Elem(), depth)
		}
}

// nullable takes null for nil, for the fields that write it so.
func nullable(decode decoder) decoder {
	return func(value []byte, v reflect.Value, u use) error {
		if IsNull(value) {
			v.SetZero()
			return nil
		}
		return decode(value, v, u)
	}
}

func decodeRaw(value []byte, v reflect.Value, u use) error {
	if u == copied {
		value = bytes.Clone(value)
	}
	v.SetBytes(slices.Clip(value)) // what is appended to it must not run into the rest of the text
	return nil
}

func appendRawField(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	return appendRaw(dst, v.Bytes(), depth)
}

func appendRaw(dst, raw []byte, depth int) ([]byte, error) {
	if len(raw) == 0 {
		return append(dst, "null"...), nil
	}
	if depth > 0 {
		if err := CheckAt(raw, depth); err != nil {
			return dst, err
		}
	}
	return append(dst, raw...), nil
}

func decodeString(value []byte, v reflect.Value, u use) error {
	if len(value) < len(`""`) || value[0] != '"' {
		return ErrType
	}
	text := value[1 : len(value)-1]
	switch escaped := isEscaped(text); {
	case escaped && u == own:
		text = unquote(text[:0], text)
	case escaped:
		text = unquote(make([]byte, 0, len(text)), text)
	case u == copied:
		v.SetString(string(text))
		return nil
	}
	v.SetString(unsafe.String(unsafe.SliceData(text), len(text))) // the text does not change
	return nil
}

func appendString(dst []byte, v reflect.Value, _ int) ([]byte, error) {
	return AppendString(dst, v.String())
}

func decodeInt(value []byte, v reflect.Value, _ use) error {
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
	switch {
	case err != nil || math.Abs(f) >= 1<<53: // where integers are no longer told apart
		return 0, ErrRange
	case f != math.Trunc(f):
		return 0, ErrType
	}
	return int64(f), nil
}

func appendInt(dst []byte, v reflect.Value, _ int) ([]byte, error) {
	return strconv.AppendInt(dst, v.Int(), 10), nil
}

func decodeUint(value []byte, v reflect.Value, _ use) error {
	n, err := Int(value)
	if err != nil {
		return err
	}
	if n < 0 || v.OverflowUint(uint64(n)) {
		return ErrRange
	}
	v.SetUint(uint64(n))
	return nil
}

func appendUint(dst []byte, v reflect.Value, _ int) ([]byte, error) {
	return strconv.AppendUint(dst, v.Uint(), 10), nil
}

func decodeBool(value []byte, v reflect.Value, _ use) error {
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

func appendBool(dst []byte, v reflect.Value, _ int) ([]byte, error) {
	return strconv.AppendBool(dst, v.Bool()), nil
}

// lenient is for text that the scanner has already checked more strictly.
var lenient = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func decodeOther(value []byte, v reflect.Value, _ use) error {
	err := jsonv2.Unmarshal(value, v.Addr().Interface(), lenient)
	switch e, ok := errors.AsType[*jsonv2.SemanticError](err); {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return ErrRange
	case ok && e.Err != nil:
		return e.Err
	}
	return ErrType
}

func appendOther(dst []byte, v reflect.Value, _ int) ([]byte, error) {
	b, err := jsonv2.Marshal(v.Interface(), jsonv2.Deterministic(true))
	if err != nil {
		return dst, err
	}
	return append(dst, b...), nil
}
