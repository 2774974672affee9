// Package kept bounds what a client keeps of what its server says.
//
// A [Bound] is told what is added, which is cheap, and looks at all that there is only when
// much has been added since it did so last. Hence nobody has to tell it what has been taken
// away or replaced, and nothing that was forgotten to be told can be wrong for long.
package kept

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
)

// ErrTooMuch: there is more than a [Bound] allows.
var ErrTooMuch = errors.New("rtcsignal: the server makes the client keep too much")

// DefaultBytes is what a [Bound] allows by default.
const DefaultBytes = 64 << 20

// entry is what one more value costs besides itself: its place in a map or a list.
const entry = 64

// recount is the share of the limit that has to be added before all is counted again. What
// that costs is a small multiple of what it cost to send and to decode so much.
const recount = 8

// A Bound is a limit of bytes. The zero value is one of [DefaultBytes]. It is not safe for
// concurrent use.
type Bound struct {
	limit   int
	counted int // when all was counted last
	added   int // since then
}

// NewBound returns a bound: 0 means [DefaultBytes], a negative number none.
func NewBound(limit int) Bound { return Bound{limit: limit} }

// Limit returns how many bytes the bound allows, or a negative number.
func (b *Bound) Limit() int {
	if b.limit == 0 {
		return DefaultBytes
	}
	return b.limit
}

// Keep notes values that are kept from now on, which are pointers or maps and belong to
// nobody else yet, and makes them [Own].
func (b *Bound) Keep(values ...any) {
	if b.limit >= 0 {
		Own(values...)
		b.added += entry + Size(values...)
	}
}

// Check returns [ErrTooMuch] when there is more than the bound allows. count returns all that
// is kept, see [Size]; it is called seldom, so that up to an eighth more may be there for a
// while.
func (b *Bound) Check(count func() int) error {
	limit := b.Limit()
	if limit < 0 || b.counted+b.added <= limit || b.counted <= limit && b.added <= limit/recount {
		return nil
	}
	b.counted, b.added = count(), 0
	if b.counted > limit {
		return ErrTooMuch
	}
	return nil
}

// Size returns about how many bytes of memory there are behind the values: what their texts,
// lists, maps and pointers hold, at any depth. What is shared counts as often as it is
// found. There must be no cycles.
func Size(values ...any) (n int) {
	for _, v := range values {
		if v := reflect.ValueOf(v); v.IsValid() {
			n += behind(v)
		}
	}
	return n
}

// Own gives the values, which are pointers or maps, texts of their own at any depth, in place.
// Those of a message that was decoded are parts of its text, all of which would be kept with
// the smallest of them. Fields that are not exported are left as they are.
func Own(values ...any) {
	for _, v := range values {
		if v := reflect.ValueOf(v); v.IsValid() {
			own(v)
		}
	}
}

func own(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(strings.Clone(v.String()))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.CanSet() {
				v.SetBytes(bytes.Clone(v.Bytes()))
			}
			return
		}
		fallthrough
	case reflect.Array:
		if refers(v.Type().Elem().Kind()) {
			for i := range v.Len() {
				own(v.Index(i))
			}
		}
	case reflect.Map:
		for it := v.MapRange(); v.CanInterface() && it.Next(); {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			key.Set(it.Key())
			elem.Set(it.Value())
			own(key)
			own(elem)
			v.SetMapIndex(key, elem)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			own(v.Elem())
		}
	case reflect.Struct:
		n := v.NumField()
		for i := range n { // Fields would allocate
			own(v.Field(i))
		}
	}
}

// header is what a map costs before there is anything in it, and group how many elements it
// has room for at least.
const header, group = 48, 8

// behind returns the size of what a value refers to, without the value itself.
func behind(v reflect.Value) (n int) {
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Slice:
		n = v.Cap() * int(v.Type().Elem().Size())
		if refers(v.Type().Elem().Kind()) {
			for i := range v.Len() {
				n += behind(v.Index(i))
			}
		}
	case reflect.Array:
		if refers(v.Type().Elem().Kind()) {
			for i := range v.Len() {
				n += behind(v.Index(i))
			}
		}
	case reflect.Map:
		if v.IsNil() {
			return 0
		}
		slots := max(group, v.Len()+v.Len()/2) // of which an eighth to a half is empty
		n = header + slots*int(1+v.Type().Key().Size()+v.Type().Elem().Size())
		for it := v.MapRange(); it.Next(); {
			n += behind(it.Key()) + behind(it.Value())
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			n = int(v.Elem().Type().Size()) + behind(v.Elem())
		}
	case reflect.Struct:
		fields := v.NumField()
		for i := range fields { // Fields would allocate
			n += behind(v.Field(i))
		}
	}
	return n
}

// refers reports whether a value of a kind may refer to something.
func refers(k reflect.Kind) bool {
	return k == reflect.String || k == reflect.Slice || k == reflect.Array || k == reflect.Map ||
		k == reflect.Pointer || k == reflect.Interface || k == reflect.Struct
}
