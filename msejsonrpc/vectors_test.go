package msejsonrpc

import (
	"encoding/json"
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/rtcsignal/rtcsignal/internal/script"
)

// A vector is one text with what is to come of it.
type vector struct {
	script.Vector
	code string // of a DecodeError, with " for " and the id when there is one to answer to
}

func readVectors(tb testing.TB) (all []vector) {
	tb.Helper()
	for _, v := range script.Vectors(tb) {
		one := vector{Vector: v}
		for _, s := range v.More {
			require.Equal(tb, "code", s.Name, v.Name)
			one.code = string(s.Data)
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
			if err != nil {
				require.Nil(t, m)
				require.EqualError(t, err, v.Problem)
				e, ok := err.(*DecodeError)
				require.True(t, ok)
				code := strconv.Itoa(int(e.Code))
				if !e.ID.IsNotification() {
					code += " for " + e.ID.String()
				}
				require.Equal(t, v.code, code)
				return
			}
			require.Empty(t, v.code, "decodes after all")
			if err := m.Validate(); v.Problem != "" {
				require.EqualError(t, err, v.Problem)
				require.IsType(t, new(ValidationError), err)
			} else {
				require.NoError(t, err)
			}
			script.Written(t, v.Vector, m, v.Encoded, Encode, Decode)
		})
	}
}

// The document's own examples, whose members come in another order now and then.
func TestDocumentVectorsEncodeToTheSameValue(t *testing.T) {
	t.Parallel()
	documents := 0
	for _, v := range readVectors(t) {
		if !strings.HasPrefix(v.Name, "document-") {
			continue
		}
		documents++
		require.Empty(t, v.Problem, v.Name)
		m, err := Decode([]byte(v.Wire))
		require.NoError(t, err, v.Name)
		b, err := Encode(m)
		require.NoError(t, err, v.Name)
		require.JSONEq(t, v.Wire, string(b), v.Name)
	}
	require.Equal(t, 12+7, documents, "messages and errors")
}

// zeroIsValid are the types that need no member: a goodbye, and a chat message without
// words to everybody.
var zeroIsValid = map[string]bool{"Disconnect": true, "Chat": true}

func TestEveryMessageHasADocCommentAVectorAndAValidate(t *testing.T) {
	t.Parallel()
	docs, messages := repotest.Types(t, "wireType")
	delete(messages, "Reconnected") // does not exist on the wire
	require.Len(t, messages, len(registry)+2, "and Response and Unknown")

	var covered script.Covered
	for _, v := range readVectors(t) {
		if m, err := Decode([]byte(v.Wire)); err == nil {
			covered.Add(m, v.Problem)
		}
	}
	covered.Compare(t, messages, docs, zeroIsValid, new(ValidationError))
	require.IsType(t, new(ValidationError), new(Reconnected).Validate())
}

func TestRegistryConstructsTheTypesThatItNames(t *testing.T) {
	t.Parallel()
	require.Len(t, registry, 8)
	for method, construct := range registry {
		m := construct()
		require.Equal(t, method, m.wireType())
		require.Equal(t, method, name(m))

		id, envelope := m.head()
		v := reflect.ValueOf(m).Elem()
		require.Same(t, v.FieldByName("ID").Addr().Interface(), id, method)
		require.Same(t, v.FieldByName("Envelope").Addr().Interface(), envelope, method)
		require.NotSame(t, construct(), m, "each message is its own")
	}
}

// withExtras returns the maps of further members that a message has, made if they are
// nil, with the path of each in an error.
func withExtras(m Message) map[string]Fields {
	maps := map[string]Fields{}
	for _, member := range []string{"Extra", "Envelope"} {
		f := reflect.ValueOf(m).Elem().FieldByName(member)
		if !f.IsValid() {
			continue
		}
		if f.IsNil() {
			f.Set(reflect.MakeMap(f.Type()))
		}
		path := ""
		if _, ok := m.(call); ok && member == "Extra" {
			path = "params."
		}
		maps[path] = f.Interface().(Fields)
	}
	if r, ok := m.(*Response); ok && r.Error != nil {
		if r.Error.Extra == nil {
			r.Error.Extra = Fields{}
		}
		maps["error."] = r.Error.Extra
	}
	return maps
}

func TestValidateRefusesFurtherMembersThatWouldNotEncode(t *testing.T) {
	t.Parallel()
	bad := map[string]json.RawMessage{
		"acme": []byte("{bad"), "acme_empty": {}, "acme_two": []byte("1 2"), "acme_utf8": []byte("\"\xff\""),
		"acme_deep": []byte(nestedArrays(64)),
	}
	checked := 0
	for _, v := range readVectors(t) {
		if v.Problem != "" {
			continue
		}
		m, err := Decode([]byte(v.Wire))
		require.NoError(t, err)
		for path, extra := range withExtras(m) {
			for name, raw := range bad {
				extra[name] = raw
				err = m.Validate()
				require.IsType(t, new(ValidationError), err, v.Name)
				require.Equal(t, path+name, err.(*ValidationError).Field, v.Name)
				delete(extra, name)
			}
			require.NoError(t, m.Validate(), v.Name)
			checked++
		}
	}
	require.Greater(t, checked, 100)
}

// rules is how many rules doc.go has.
const rules = 33

var (
	ruleFile = regexp.MustCompile(`^rule-(\d\d)-[a-z0-9-]+\.txtar$`)
	ruleTest = regexp.MustCompile(`Rule(\d+)`)
	ruleDoc  = regexp.MustCompile(`(?m)^ +(\d+)\. `)
)

func TestEveryRuleHasAVectorAScriptOrATest(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	stated := ruleDoc.FindAllStringSubmatch(strings.ReplaceAll(string(doc), "//", ""), -1)
	require.Len(t, stated, rules)

	places := make(map[int][]string)
	note := func(number, place string) {
		n, err := strconv.Atoi(number)
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, 1, place)
		require.LessOrEqual(t, n, rules, place)
		places[n] = append(places[n], place)
	}
	for _, folder := range []string{"vectors", "scripts"} {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "rule-*"))
		require.NoError(t, err)
		for _, file := range files {
			found := ruleFile.FindStringSubmatch(filepath.Base(file))
			require.NotNil(t, found, "%s: a rule is named by two digits and words", file)
			note(found[1], file)
		}
	}
	for _, f := range repotest.Files(t, true) {
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			for _, found := range ruleTest.FindAllStringSubmatch(fn.Name.Name, -1) {
				note(found[1], fn.Name.Name)
			}
		}
	}
	for i, match := range stated {
		require.Equal(t, strconv.Itoa(i+1), match[1], "rules are counted")
		require.NotEmpty(t, places[i+1], "rule %d has neither a vector nor a script nor a test", i+1)
	}
}
