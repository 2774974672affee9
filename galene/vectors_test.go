package galene

import (
	"encoding/json"
	"go/ast"
	"go/token"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/rtcsignal/rtcsignal/internal/script"
)

// A vector is one text with what is to come of it.
type vector struct {
	script.Vector
	checked    string // what Check says of a text that decodes, or ""
	unwritable string // what Encode says, or ""
	in         map[Dialect]string
}

func readVectors(tb testing.TB) (all []vector) {
	tb.Helper()
	for _, v := range script.Vectors(tb) {
		one := vector{Vector: v, in: map[Dialect]string{}}
		for _, s := range v.More {
			text := string(s.Data)
			switch s.Name {
			case "check":
				require.NotEmpty(tb, text, v.Name)
				one.checked = text
			case "unwritable":
				require.NotEmpty(tb, text, v.Name)
				one.unwritable = text
			case "in 1", "in 0.4", "in document": // empty: as it came
				if text == "" {
					text = v.Wire
				}
				one.in[map[string]Dialect{"in 1": DialectV1, "in 0.4": Dialect04, "in document": DialectDocument}[s.Name]] = text
			default:
				require.Fail(tb, "unknown section", "%s: %s", v.Name, s.Name)
			}
		}
		all = append(all, one)
	}
	return all
}

func TestVectorsDecodeValidateAndEncode(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			m, err := Decode([]byte(v.Wire))
			checked := Check([]byte(v.Wire))
			if err != nil {
				require.Nil(t, m)
				require.EqualError(t, err, v.Problem)
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
			if err := m.Validate(); v.Problem != "" {
				require.EqualError(t, err, v.Problem)
				require.IsType(t, new(ValidationError), err)
			} else {
				require.NoError(t, err)
			}
			requireWrites(t, Encode, v, m, v.Encoded)
		})
	}
}

func TestVectorsEncodeInTheirDialects(t *testing.T) {
	t.Parallel()
	seen := map[Dialect]int{}
	for _, v := range readVectors(t) {
		m, err := Decode([]byte(v.Wire))
		if err != nil {
			require.Empty(t, v.in, v.Name)
			continue
		}
		if v.unwritable == "" {
			b, err := Encode(m)
			require.NoError(t, err)
			same, err := DialectV2.Encode(m)
			require.NoError(t, err)
			require.Equal(t, string(b), string(same), "%s: the dialect of Encode", v.Name)
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
	if v.unwritable == "" {
		script.Written(t, v.Vector, m, want, encode, Decode)
		return
	}
	b, err := encode(m)
	require.EqualError(t, err, v.unwritable, v.Name)
	require.Nil(t, b, v.Name)
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

	var covered script.Covered
	for _, v := range readVectors(t) {
		if m, err := Decode([]byte(v.Wire)); err == nil {
			covered.Add(m, v.Problem)
		}
	}
	covered.Compare(t, types, docs, zeroIsValid, new(ValidationError))
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
		m, err := Decode([]byte(v.Wire))
		if err != nil || v.Problem != "" {
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
		if v.Problem != "" {
			continue
		}
		m, err := Decode([]byte(v.Wire))
		require.NoError(t, err)
		extra := extraOf(m)
		for name, raw := range bad {
			extra[name] = raw
			err = m.Validate()
			require.IsType(t, new(ValidationError), err, v.Name)
			require.Equal(t, name, err.(*ValidationError).Field, v.Name)
			_, err = Encode(m)
			if len(raw) > 0 { // an empty one is written as null
				require.Error(t, err, "%s: %s", v.Name, name)
			}
			delete(extra, name)
		}
		require.NoError(t, m.Validate(), v.Name)
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
