package script

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Vector is one text with what is to come of it.
type Vector struct {
	Name    string // file and number
	Wire    string
	From    string // whose text it is
	Problem string // what decoding or validating it says, or ""
	Encoded string // what it is written as; the wire unless the vector says otherwise
	More    []File // the sections that only some packages have; their text is trimmed
}

// Vectors returns the vectors of testdata/vectors. A file holds one or more, each of which
// begins with its wire.
//
//	-- wire --       the text
//	-- from --       whose it is
//	-- valid --      empty
//	-- error --      or this, with what is wrong
//	-- encoded --    what it is written as, unless it stays as it is
func Vectors(tb testing.TB) []Vector {
	tb.Helper()
	files, err := filepath.Glob("testdata/vectors/*.txtar")
	require.NoError(tb, err)
	require.NotEmpty(tb, files)
	var all []Vector
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(tb, err)
		base := strings.TrimSuffix(filepath.Base(file), ".txtar")
		first := len(all)
		for _, s := range Parse(data) {
			text := strings.TrimSpace(string(s.Data))
			if s.Name == "wire" {
				name := fmt.Sprintf("%s/%d", base, len(all)-first+1)
				all = append(all, Vector{Name: name, Wire: text, Encoded: text})
				continue
			}
			require.Greater(tb, len(all), first, "%s begins with %s", file, s.Name)
			v := &all[len(all)-1]
			switch s.Name {
			case "from":
				v.From = text
			case "error":
				require.NotEmpty(tb, text, v.Name)
				v.Problem = text
			case "valid":
				require.Empty(tb, text, v.Name)
			case "encoded":
				v.Encoded = text
			default:
				v.More = append(v.More, File{s.Name, []byte(text)})
			}
		}
		for _, v := range all[first:] {
			require.NotEmpty(tb, v.From, "%s: whose text is it?", v.Name)
		}
	}
	return all
}

// Written demands that encode writes m, which a vector decodes to, as want, and again what
// decode makes of that. Where want is the wire, decode makes the same message of it.
func Written[M any](
	tb testing.TB, v Vector, m M, want string, encode func(M) ([]byte, error), decode func([]byte) (M, error),
) {
	tb.Helper()
	b, err := encode(m)
	require.NoError(tb, err, v.Name)
	require.Equal(tb, want, string(b), v.Name)
	again, err := decode(b)
	require.NoError(tb, err, v.Name)
	same, err := encode(again)
	require.NoError(tb, err, v.Name)
	require.Equal(tb, want, string(same), v.Name)
	if want == v.Wire {
		require.Equal(tb, m, again, v.Name)
	}
}

// A Validator is a message, or part of one.
type Validator interface{ Validate() error }

// Covered is how the vectors cover the types of messages, by the name of the type.
type Covered struct {
	valid   map[string]reflect.Type // types of what is valid
	refused map[string]bool         // what Validate refuses
}

// Add adds what a vector decodes to, a pointer to a struct, and the problem that Validate
// has with it, or "".
func (c *Covered) Add(m Validator, problem string) {
	if c.valid == nil {
		c.valid, c.refused = make(map[string]reflect.Type), make(map[string]bool)
	}
	typ := reflect.TypeOf(m).Elem()
	if problem == "" {
		c.valid[typ.Name()] = typ
	} else {
		c.refused[typ.Name()] = true
	}
}

// Compare demands that each type has a doc comment and a valid vector, and that, unless its
// zero value is valid as zeros has it, Validate refuses that with an error of refusal's type,
// and the type has a vector that is refused.
func (c *Covered) Compare(
	tb testing.TB, types map[string]bool, docs map[string]string, zeros map[string]bool, refusal error,
) {
	tb.Helper()
	for name := range types {
		require.NotEmpty(tb, docs[name], "%s has no doc comment", name)
		require.Contains(tb, c.valid, name, "%s has no valid vector", name)
		zero := reflect.New(c.valid[name]).Interface().(Validator)
		if zeros[name] {
			require.NoError(tb, zero.Validate(), name)
			continue
		}
		require.IsType(tb, refusal, zero.Validate(), name)
		require.True(tb, c.refused[name], "%s has no vector that Validate refuses", name)
	}
}
