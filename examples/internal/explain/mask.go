package explain

import (
	"bytes"
	"encoding/json"
	"io"
)

// mentions reports whether members of these names, which are in lower case, may be in a JSON
// text, in whatever letters.
func mentions(data []byte, names ...string) bool {
	if bytes.Contains(data, []byte(`\u`)) {
		return true
	}
	plain := bytes.ToLower(data)
	for _, name := range names {
		if bytes.Contains(plain, []byte(name)) {
			return true
		}
	}
	return false
}

// maskMembers returns a JSON text with the values of secret members replaced.
func maskMembers(data []byte, secret func(name string) bool) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out []byte
	copied := 0
	var open []bool // of each object and array that is open, whether it is an object
	isName := false
	for {
		token, err := d.Token()
		switch {
		case err == io.EOF && len(open) == 0:
			if out == nil {
				return data, nil
			}
			return append(out, data[copied:]...), nil
		case err != nil:
			return nil, err
		}
		name, isText := token.(string)
		switch delim, _ := token.(json.Delim); {
		case delim == '{' || delim == '[':
			open = append(open, delim == '{')
			isName = delim == '{'
			continue
		case delim != 0:
			open = open[:len(open)-1]
		case isName && isText:
			if isName = false; !secret(name) {
				continue
			}
			var value json.RawMessage
			if err := d.Decode(&value); err != nil {
				return nil, err
			}
			end := int(d.InputOffset())
			out = append(append(out, data[copied:end-len(value)]...), `"`+hidden+`"`...)
			copied = end
		}
		isName = len(open) > 0 && open[len(open)-1]
	}
}
