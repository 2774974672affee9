package galene

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/rtcsignal/rtcsignal/internal/script"
)

// A vector is one text with what is to come of it.
type vector struct {
	name       string // file and number
	wire       string
	from       string
	problem    string // what Decode or Validate says, or ""
	checked    string // what Check says of a text that decodes, or ""
	unwritable string // what Encode says, or ""
	encoded    string // what Encode writes; the wire unless the vector says otherwise
	in         map[Dialect]string
}

// readVectors returns the vectors of testdata/vectors. A file holds one or more, each
// of which begins with its wire.
func readVectors(tb testing.TB) []vector {
	tb.Helper()
	files, err := filepath.Glob("testdata/vectors/*.txtar")
	require.NoError(tb, err)
	require.NotEmpty(tb, files)
	var all []vector
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(tb, err)
		base := strings.TrimSuffix(filepath.Base(file), ".txtar")
		i := 0
		for _, s := range script.Parse(data) {
			text := strings.TrimSpace(string(s.Data))
			if s.Name == "wire" {
				i++
				all = append(all, vector{
					name: fmt.Sprintf("%s/%d", base, i), wire: text, encoded: text, in: map[Dialect]string{},
				})
				continue
			}
			require.NotZero(tb, i, "%s begins with %s", file, s.Name)
			v := &all[len(all)-1]
			switch s.Name {
			case "from":
				v.from = text
			case "error":
				require.NotEmpty(tb, text, v.name)
				v.problem = text
			case "check":
				require.NotEmpty(tb, text, v.name)
				v.checked = text
			case "valid":
				require.Empty(tb, text, v.name)
			case "unwritable":
				require.NotEmpty(tb, text, v.name)
				v.unwritable = text
			case "encoded":
				v.encoded = text
			case "in 1", "in 0.4", "in document": // empty: as it came
				if text == "" {
					text = v.wire
				}
				v.in[map[string]Dialect{"in 1": DialectV1, "in 0.4": Dialect04, "in document": DialectDocument}[s.Name]] = text
			default:
				require.Fail(tb, "unknown section", "%s: %s", v.name, s.Name)
			}
		}
	}
	return all
}

func TestVectorsDecodeValidateAndEncode(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, v.from)
			m, err := Decode([]byte(v.wire))
			checked := Check([]byte(v.wire))
			if err != nil {
				require.Nil(t, m)
				require.EqualError(t, err, v.problem)
				require.IsType(t, new(DecodeError), err)
				require.IsType(t, new(DecodeError), checked, "Check refuses no less than Decode")
				return
			}
			if v.checked != "" {
				require.EqualError(t, checked, v.checked)
				require.IsType(t, new(DecodeError), checked)
			} else {
				require.NoError(t, checked)
			}
			if err := m.Validate(); v.problem != "" {
				require.EqualError(t, err, v.problem)
				require.IsType(t, new(ValidationError), err)
			} else {
				require.NoError(t, err)
			}
			requireWrites(t, Encode, v, m, v.encoded)
		})
	}
}

func TestVectorsEncodeInTheirDialects(t *testing.T) {
	t.Parallel()
	seen := map[Dialect]int{}
	for _, v := range readVectors(t) {
		m, err := Decode([]byte(v.wire))
		if err != nil {
			require.Empty(t, v.in, v.name)
			continue
		}
		if v.unwritable == "" {
			b, err := Encode(m)
			require.NoError(t, err)
			same, err := DialectV2.Encode(m)
			require.NoError(t, err)
			require.Equal(t, string(b), string(same), "%s: the dialect of Encode", v.name)
		}
		for dialect, want := range v.in {
			seen[dialect]++
			v.unwritable = ""
			requireWrites(t, dialect.Encode, v, m, want)
		}
	}
	require.Len(t, seen, 3)
	require.Greater(t, min(seen[DialectV1], seen[Dialect04], seen[DialectDocument]), 5)
}

// requireWrites demands that encode writes m as it is to be, and again what comes of that.
func requireWrites(t *testing.T, encode func(Message) ([]byte, error), v vector, m Message, want string) {
	t.Helper()
	b, err := encode(m)
	if v.unwritable != "" {
		require.EqualError(t, err, v.unwritable, v.name)
		require.Nil(t, b, v.name)
		return
	}
	require.NoError(t, err, v.name)
	require.Equal(t, want, string(b), v.name)
	again, err := Decode(b)
	require.NoError(t, err, v.name)
	same, err := encode(again)
	require.NoError(t, err, v.name)
	require.Equal(t, want, string(same), v.name)
	if want == v.wire {
		require.Equal(t, m, again, v.name)
	}
}

// zeroIsValid are the types that need no member.
var zeroIsValid = map[string]bool{
	"Handshake": true, "Ping": true, "Pong": true, "Chat": true, "ChatHistory": true, "UserMessage": true, "Request": true,
}

func TestEveryMessageHasADocCommentAVectorAndAValidate(t *testing.T) {
	t.Parallel()
	docs, types := repotest.Types(t, "wireType")
	delete(types, "Reconnected") // does not exist on the wire
	require.Len(t, types, len(registry)+1, "and Unknown")

	seen := map[string]reflect.Type{}
	refused := map[string]bool{}
	for _, v := range readVectors(t) {
		m, err := Decode([]byte(v.wire))
		if err != nil {
			continue
		}
		typ := reflect.TypeOf(m).Elem()
		if v.problem == "" {
			seen[typ.Name()] = typ
		} else {
			refused[typ.Name()] = true
		}
	}
	for name := range types {
		require.NotEmpty(t, docs[name], "%s has no doc comment", name)
		require.Contains(t, seen, name, "%s has no valid vector", name)
		zero := reflect.New(seen[name]).Interface().(Message)
		if zeroIsValid[name] {
			require.NoError(t, zero.Validate(), name)
			continue
		}
		require.IsType(t, new(ValidationError), zero.Validate(), name)
		require.True(t, refused[name], "%s has no vector that Validate refuses", name)
	}
	require.IsType(t, new(ValidationError), new(Reconnected).Validate())
}

func TestRegistryConstructsTheTypesThatItNames(t *testing.T) {
	t.Parallel()
	require.Len(t, registry, 19)
	for typ, construct := range registry {
		m := construct()
		require.Equal(t, typ, m.wireType())
		require.Equal(t, typ, name(m))
		require.Equal(t, strings.ToLower(typ), strings.ToLower(reflect.TypeOf(m).Elem().Name()))
		m2 := construct()
		if reflect.TypeOf(m).Elem().Size() > 0 {
			require.NotSame(t, m, m2, "each message is its own")
		}
		b, err := Encode(m)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(b), `{"type":"`+typ+`"`), "%s", b)
	}
}

// Every kind that the package names is in a vector of its type, and valid there.
func TestEveryKindHasAVector(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range readVectors(t) {
		m, err := Decode([]byte(v.wire))
		if err != nil || v.problem != "" {
			continue
		}
		value := reflect.ValueOf(m).Elem()
		if kind := value.FieldByName("Kind"); kind.IsValid() {
			seen[kind.Type().Name()+" "+kind.String()] = true
		}
		for _, p := range permissionsOf(m) {
			seen["Permission "+string(p)] = true
		}
	}
	kinds := 0
	for _, f := range repotest.Files(t, false) {
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				c := spec.(*ast.ValueSpec)
				typ, ok := c.Type.(*ast.Ident)
				if !ok || !strings.HasSuffix(typ.Name, "Kind") || typ.Name == "TrackKind" {
					continue
				}
				kinds++
				text := strings.Trim(c.Values[0].(*ast.BasicLit).Value, `"`)
				require.True(t, seen[typ.Name+" "+text], "no vector of %s", c.Names[0].Name)
			}
		}
	}
	require.Equal(t, 2+5+3+3+10+9+10, kinds)
}

func permissionsOf(m Message) Permissions {
	switch m := m.(type) {
	case *Joined:
		return m.Permissions
	case *User:
		return m.Permissions
	}
	return nil
}

// extraOf returns the further members that a message has, made if they are nil.
func extraOf(m Message) Fields {
	f := reflect.ValueOf(m).Elem().FieldByName("Extra")
	if f.IsNil() {
		f.Set(reflect.MakeMap(f.Type()))
	}
	return f.Interface().(Fields)
}

func TestValidateRefusesFurtherMembersThatWouldNotEncode(t *testing.T) {
	t.Parallel()
	bad := Fields{
		"acme": []byte("{bad"), "acme_empty": {}, "acme_two": []byte("1 2"), "acme_utf8": []byte("\"\xff\""),
		"acme_deep": []byte(nestedArrays(64)), "type": []byte(`"ping"`),
	}
	checked := 0
	for _, v := range readVectors(t) {
		if v.problem != "" {
			continue
		}
		m, err := Decode([]byte(v.wire))
		require.NoError(t, err)
		extra := extraOf(m)
		for name, raw := range bad {
			extra[name] = raw
			err = m.Validate()
			require.IsType(t, new(ValidationError), err, v.name)
			require.Equal(t, name, err.(*ValidationError).Field, v.name)
			_, err = Encode(m)
			if len(raw) > 0 { // an empty one is written as null
				require.Error(t, err, "%s: %s", v.name, name)
			}
			delete(extra, name)
		}
		require.NoError(t, m.Validate(), v.name)
		checked++
	}
	require.Greater(t, checked, 100)
}

// Every type of message keeps what it does not know, whatever it is, byte for byte.
func TestMembersThatAreNotKnownSurviveInEveryType(t *testing.T) {
	t.Parallel()
	for typ, construct := range registry {
		m := construct()
		extra := extraOf(m)
		extra["zork"] = json.RawMessage(`{ "b":1.0,"a":[null] }`)
		extra["Acme"] = json.RawMessage(`"\u00e9"`)
		b, err := Encode(m)
		require.NoError(t, err, typ)
		require.True(t, strings.HasSuffix(string(b), `,"Acme":"\u00e9","zork":{ "b":1.0,"a":[null] }}`), "%s", b)
		again, err := Decode(b)
		require.NoError(t, err, typ)
		require.Equal(t, extra, extraOf(again), typ)
	}
}

// The members that a struct declares are known to the classes, or may be anything.
func TestEveryDeclaredMemberHasItsClass(t *testing.T) {
	t.Parallel()
	free := map[string]bool{"value": true, "request": true, "labels": true}
	for typ, construct := range registry {
		m := reflect.TypeOf(construct()).Elem()
		for field := range m.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			require.Equal(t, free[name], classOf([]byte(name)) == anything, "%s.%s", typ, name)
		}
	}
	for field := range reflect.TypeFor[Status]().Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			require.NotEqual(t, anything, classInStatus([]byte(name)), name)
		}
	}
	for field := range reflect.TypeFor[ICECandidateInit]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		require.NotEqual(t, anything, classInCandidate([]byte(name)), name)
	}
}

func nestedArrays(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
