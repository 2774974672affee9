package jsonx

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// within puts a path in front of that of an error.
func within(path string, err error) *Error {
	if e, ok := err.(*Error); ok {
		return &Error{Field: path + e.Field, Err: e.Err}
	}
	return &Error{Field: path, Err: err}
}

// decodeStruct stores a JSON object in a struct.
func decodeStruct(value []byte, v reflect.Value, u use) error {
	w, err := walkThrough(value, '{')
	if err != nil {
		return err
	}
	p, next := planOf(v.Type()), 0
	for m, ok := w.next(); ok; m, ok = w.next() {
		if next, err = p.store(v, next, w.text(m.name), value[m.start:m.end], u); err != nil {
			return within(".", err)
		}
	}
	return nil
}

func appendNested(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	dst, err := appendStruct(dst, "", "", v, deeper(depth))
	if err != nil {
		return dst, within(".", err)
	}
	return dst, nil
}

// deeper returns the level below depth; 0, where nothing is checked, stays.
func deeper(depth int) int {
	if depth == 0 {
		return 0
	}
	return depth + 1
}

// slice returns how a JSON array is read and written. A null is read as nil, and nil
// is written as [].
func slice(t reflect.Type) (decoder, appender) {
	decode, add := accessors(t.Elem())
	return func(value []byte, v reflect.Value, u use) error {
			if IsNull(value) {
				v.SetZero()
				return nil
			}
			w, err := walkThrough(value, '[')
			if err != nil {
				return err
			}
			var first [linear]span // the elements that there is room for before they are known to be what they should
			n := 0
			for p, ok := w.element(); ok; p, ok = w.element() {
				first[n] = p
				if n++; n == linear {
					break
				}
			}
			v.Set(reflect.MakeSlice(t, n, n))
			for i, p := range first[:n] {
				if err := decode(value[p.start:p.end], v.Index(i), u); err != nil {
					return within(index(i), err)
				}
			}
			if n < linear {
				return nil
			}
			for p, ok := w.element(); ok; p, ok = w.element() {
				if n == v.Cap() {
					v.Grow(1)
				}
				v.SetLen(n + 1)
				if err := decode(value[p.start:p.end], v.Index(n), u); err != nil {
					return within(index(n), err)
				}
				n++
			}
			return nil
		}, func(dst []byte, v reflect.Value, depth int) (_ []byte, err error) {
			dst = append(dst, '[')
			for i := range v.Len() {
				if i > 0 {
					dst = append(dst, ',')
				}
				if dst, err = add(dst, v.Index(i), deeper(depth)); err != nil {
					return dst, within(index(i), err)
				}
			}
			return append(dst, ']'), nil
		}
}

func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// object returns how a JSON object is read into a map and written, in the order of its
// names. A null is read as nil, and nil is written as {}.
func object(t reflect.Type) (decoder, appender) {
	if t.ConvertibleTo(extraType) {
		return rawObject(t)
	}
	decode, add := accessors(t.Elem())
	return func(value []byte, v reflect.Value, u use) error {
			if IsNull(value) {
				v.SetZero()
				return nil
			}
			w, err := walkThrough(value, '{')
			v.Set(reflect.MakeMap(t))
			for m, ok := w.next(); ok; m, ok = w.next() {
				name, elem := string(w.text(m.name)), reflect.New(t.Elem()).Elem()
				if err := decode(value[m.start:m.end], elem, u); err != nil {
					return within("."+name, err)
				}
				v.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), elem)
			}
			return err
		}, func(dst []byte, v reflect.Value, depth int) (_ []byte, err error) {
			values := make(map[string]reflect.Value, v.Len())
			for key, value := range v.Seq2() {
				values[key.String()] = value
			}
			dst = append(dst, '{')
			for i, name := range slices.Sorted(maps.Keys(values)) {
				if i > 0 {
					dst = append(dst, ',')
				}
				if dst, err = AppendString(dst, name); err != nil {
					return dst, within("."+name, err)
				}
				dst = append(dst, ':')
				if dst, err = add(dst, values[name], deeper(depth)); err != nil {
					return dst, within("."+name, err)
				}
			}
			return append(dst, '}'), nil
		}
}

// rawObject is [object] for a map of raw values, without a reflection of each.
func rawObject(t reflect.Type) (decoder, appender) {
	return func(value []byte, v reflect.Value, u use) error {
			if IsNull(value) {
				v.SetZero()
				return nil
			}
			values := make(map[string]json.RawMessage)
			w, err := walkThrough(value, '{')
			for m, ok := w.next(); ok; m, ok = w.next() {
				member := value[m.start:m.end]
				if u == copied {
					member = bytes.Clone(member)
				}
				values[string(w.text(m.name))] = slices.Clip(member)
			}
			v.Set(reflect.ValueOf(values).Convert(t))
			return err
		}, func(dst []byte, v reflect.Value, depth int) (_ []byte, err error) {
			values := rawMap(v)
			dst = append(dst, '{')
			for i, name := range sortedNames(values) {
				if i > 0 {
					dst = append(dst, ',')
				}
				if dst, err = AppendString(dst, name); err != nil {
					return dst, within("."+name, err)
				}
				dst = append(dst, ':')
				if dst, err = appendRaw(dst, values[name], deeper(depth)); err != nil {
					return dst, within("."+name, err)
				}
			}
			return append(dst, '}'), nil
		}
}

// A walk goes through the members or the elements of a checked JSON value, an object or an
// array.
type walk struct {
	scanner
	i int // where the next one begins
}

// walkThrough returns a walk that has not begun. It fails for a value that begins with
// another bracket.
func walkThrough(value []byte, bracket byte) (walk, error) {
	w := walk{scanner: scanner{data: value}}
	i := w.space(0)
	if i >= len(value) || value[i] != bracket {
		return w, ErrType
	}
	w.i = w.space(i + 1)
	return w, nil
}

// next returns the next member, and reports false behind the last one.
func (w *walk) next() (m member, ok bool) {
	data := w.data
	if w.i >= len(data) || data[w.i] != '"' {
		return m, false
	}
	end := stringEnd(data, w.i)
	m.start = w.space(w.space(end) + 1) // behind the colon
	if m.start >= len(data) {
		return m, false
	}
	m.name = w.name(w.i, end, isEscaped(data[w.i:end]))
	m.end = skip(data, m.start)
	w.i = w.space(w.space(m.end) + 1) // behind the comma
	return m, true
}

// element is next for an array.
func (w *walk) element() (p span, ok bool) {
	if w.i >= len(w.data) || w.data[w.i] == ']' {
		return p, false
	}
	p.start, p.end = w.i, skip(w.data, w.i)
	if w.i = w.space(p.end); w.i < len(w.data) && w.data[w.i] == ',' {
		w.i = w.space(w.i + 1)
	}
	return p, p.end > p.start
}

// Elements calls f for every element of a checked JSON value, which is an array, until f
// fails. It returns what f does, or [ErrType] for a value that is none.
func Elements(array json.RawMessage, f func(i int, element []byte) error) error {
	w, err := walkThrough(array, '[')
	if err != nil {
		return err
	}
	n := 0
	for p, ok := w.element(); ok; p, ok = w.element() {
		if err := f(n, array[p.start:p.end]); err != nil {
			return err
		}
		n++
	}
	return nil
}
