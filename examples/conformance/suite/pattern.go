package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// values are what names stand for: decoded JSON, with numbers as json.Number.
type values map[string]any

var (
	variable = regexp.MustCompile(`\$[A-Za-z][A-Za-z0-9]*`)
	whole    = regexp.MustCompile(`"\$[A-Za-z][A-Za-z0-9]*"`) // a text that is nothing else
)

func decode(data []byte) (any, error) {
	if !json.Valid(data) {
		return nil, fmt.Errorf("%q is not JSON", data)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	return v, d.Decode(&v)
}

// fill puts values in place of names: a whole text becomes the value, within a text what is a
// text or a number. make gives names without a value one.
func (v values) fill(text string, make func(name string) any) string {
	get := func(name string) any {
		value, ok := v[name]
		if !ok {
			value = make(name)
			v[name] = value
		}
		return value
	}
	text = whole.ReplaceAllStringFunc(text, func(s string) string {
		out, _ := json.Marshal(get(s[2 : len(s)-1])) // it was JSON
		return string(out)
	})
	return variable.ReplaceAllStringFunc(text, func(s string) string { return fmt.Sprint(get(s[1:])) })
}

// match compares a value with a pattern, and returns the values with what the pattern's names
// stand for now.
func (v values) match(pattern, data []byte) (values, bool) {
	want, err := decode(pattern)
	if err != nil {
		return v, bytes.Equal(pattern, data)
	}
	if jsonx.Check(data) != nil { // stricter than decode: no name comes twice, all is UTF-8
		return v, false
	}
	got, err := decode(data)
	if err != nil {
		return v, false
	}
	next := maps.Clone(v)
	if next == nil {
		next = make(values)
	}
	return next, next.equal(want, got)
}

// equal adds to v.
func (v values) equal(want, got any) bool {
	switch want := want.(type) {
	case string:
		return v.equalText(want, got)
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return false
		}
		_, more := want["..."]
		for name, value := range got {
			w, known := want[name]
			if !known && !more || known && !v.equal(w, value) {
				return false
			}
		}
		for name := range want {
			if _, ok := got[name]; !ok && name != "..." {
				return false
			}
		}
		return true
	case []any:
		got, ok := got.([]any)
		if !ok {
			return false
		}
		if n := len(want); n > 0 && want[n-1] == "..." {
			want = want[:n-1]
			if len(got) < len(want) {
				return false
			}
			got = got[:len(want)]
		}
		if len(got) != len(want) {
			return false
		}
		for i := range want {
			if !v.equal(want[i], got[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(want, got)
}

func (v values) equalText(want string, got any) bool {
	if want == "$_" {
		return true
	}
	if expression, ok := strings.CutPrefix(want, "~"); ok {
		text, ok := got.(string)
		re, err := regexp.Compile(v.put(expression, regexp.QuoteMeta)) // a value may be the server's
		return ok && err == nil && re.MatchString(text)
	}
	if name, ok := strings.CutPrefix(want, "$"); ok && variable.FindString(want) == want {
		value, ok := v[name]
		if !ok {
			v[name] = got
			return true
		}
		return reflect.DeepEqual(value, got)
	}
	return got == v.known(want)
}

// known puts values in place of the names within a text that have one.
func (v values) known(text string) string {
	return v.put(text, func(s string) string { return s })
}

// put puts what form makes of values in place of the names within a text that have one.
func (v values) put(text string, form func(string) string) string {
	return variable.ReplaceAllStringFunc(text, func(s string) string {
		if value, ok := v[s[1:]]; ok {
			return form(fmt.Sprint(value))
		}
		return s
	})
}
