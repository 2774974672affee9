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
func decodeStruct(value []byte, v reflect.Value, share bool) error {
	p := planOf(v.Type())
	return eachMember(value, func(name, value []byte) error {
		if err := p.store(v, name, value, share); err != nil {
			return within(".", err)
		}
		return nil
	})
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
	return func(value []byte, v reflect.Value, share bool) error {
			if IsNull(value) {
				v.SetZero()
				return nil
			}
			n := 0
			if err := eachElement(value, func(int, []byte) error { n++; return nil }); err != nil {
				return err
			}
			v.Set(reflect.MakeSlice(t, 0, min(n, linear))) // more when it is known to be what it should
			return eachElement(value, func(i int, value []byte) error {
				if i == v.Cap() {
					v.Grow(1)
				}
				v.SetLen(i + 1)
				if err := decode(value, v.Index(i), share); err != nil {
					return within(index(i), err)
				}
				return nil
			})
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
	return func(value []byte, v reflect.Value, share bool) error {
			if IsNull(value) {
				v.SetZero()
				return nil
			}
			v.Set(reflect.MakeMap(t))
			return eachMember(value, func(name, value []byte) error {
				elem := reflect.New(t.Elem()).Elem()
				if err := decode(value, elem, share); err != nil {
					return within("."+string(name), err)
				}
				v.SetMapIndex(reflect.ValueOf(string(name)).Convert(t.Key()), elem)
				return nil
			})
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
	return func(value []byte, v reflect.Value, share bool) error {
			if IsNull(value) {
				v.SetZero()
				return nil
			}
			values := make(map[string]json.RawMessage)
			err := eachMember(value, func(name, value []byte) error {
				if !share {
					value = bytes.Clone(value)
				}
				values[string(name)] = slices.Clip(value)
				return nil
			})
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

// eachMember calls f for every member of a checked JSON value, an object, until one
// fails.
func eachMember(object []byte, f func(name, value []byte) error) error {
	s := scanner{data: object}
	i := s.space(0)
	if i >= len(object) || object[i] != '{' {
		return ErrType
	}
	for i = s.space(i + 1); i < len(object) && object[i] == '"'; {
		end, escaped, err := s.str(i)
		if err != nil {
			return err
		}
		name := object[i+1 : end-1]
		if escaped {
			name = unquote(object[i:end])
		}
		i = s.space(s.space(end) + 1) // behind the colon
		if end, err = s.skip(i); err != nil {
			return err
		}
		if err := f(name, object[i:end]); err != nil {
			return err
		}
		i = s.space(s.space(end) + 1) // behind the comma
	}
	return nil
}

// Elements calls f for every element of a checked JSON value, which is an array, until f
// fails. It returns what f does, or [ErrType] for a value that is none.
func Elements(array json.RawMessage, f func(i int, element []byte) error) error {
	return eachElement(array, f)
}

// eachElement calls f for every element of a checked JSON value, an array, until one
// fails.
func eachElement(array []byte, f func(i int, value []byte) error) error {
	s := scanner{data: array}
	i := s.space(0)
	if i >= len(array) || array[i] != '[' {
		return ErrType
	}
	i = s.space(i + 1)
	for n := 0; i < len(array) && array[i] != ']'; n++ {
		end, err := s.skip(i)
		if err != nil {
			return err
		}
		if err := f(n, array[i:end]); err != nil {
			return err
		}
		if i = s.space(end); i < len(array) && array[i] == ',' {
			i = s.space(i + 1)
		}
	}
	return nil
}
