// Package jsonx reads and writes the JSON objects of the signaling protocols
// under rules that encoding/json does not keep:
//
//   - member names match exactly, at every level;
//   - a duplicate name, invalid UTF-8, data after the value and nesting beyond
//     [MaxDepth] are errors;
//   - members that a struct does not name are kept, and written again;
//   - a [json.RawMessage] is taken and written byte for byte;
//   - a nil slice is written as [].
//
// A message is read in two steps. [Object.Scan] checks the whole text in one
// pass without allocating and remembers where the top-level members are, so a
// codec can look at the discriminator and a relay at the one member that it
// needs. [Object.Decode] then stores the members in a struct, and in the structs,
// slices and maps below it, under the same rules. Strings are written and types of
// other kinds are read by github.com/go-json-experiment/json, the upstream of
// encoding/json/v2. When that becomes part of the standard library, this package
// changes and nobody else: no type of it appears in a signature.
package jsonx

import (
	"errors"
	"strconv"
)

// MaxDepth is how deeply arrays and objects may nest. The real peers' messages
// nest at most eight levels.
const MaxDepth = 64

// What can be wrong with a text or a member. They are wrapped in an [*Error].
var (
	ErrSyntax    = errors.New("not JSON")
	ErrUTF8      = errors.New("invalid UTF-8")
	ErrDuplicate = errors.New("duplicate member name")
	ErrDepth     = errors.New("nested too deeply")
	ErrNotObject = errors.New("not a JSON object")
	ErrType      = errors.New("wrong JSON type")
	ErrRange     = errors.New("number out of range")
	ErrMissing   = errors.New("missing")
	ErrDeclared  = errors.New("is not a further member")
)

// An Error says what is wrong and where. It holds nothing of the text itself,
// which may contain secrets.
type Error struct {
	Field  string // path such as ice_servers[0].urls; "" for the text as a whole
	Offset int    // in bytes, where the text as a whole is wrong
	Err    error
}

// Error returns the path or the offset and what is wrong there.
func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Err.Error()
	}
	return e.Err.Error() + " at byte " + strconv.Itoa(e.Offset)
}

// Unwrap returns what is wrong, without the place.
func (e *Error) Unwrap() error { return e.Err }
