package jsonx_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// brackets nests n arrays.
func brackets(n int) json.RawMessage {
	return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
}

func TestLenCountsTheMembersOfTheObjectAlone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		`{}`: 0, ` { } `: 0, `{"a":1}`: 1, `{"a":{"b":1,"c":2},"d":[{"e":1}]}`: 2, `{"":null,"A":1,"a":1}`: 3,
	} {
		o, err := jsonx.Scan([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, o.Len(), text)
		o.Free()
	}
	var o jsonx.Object
	require.Zero(t, o.Len())
	require.NoError(t, o.Scan([]byte(`{"a":1,"b":2}`)))
	require.NoError(t, o.Scan([]byte(`{"c":1}`)))
	require.Equal(t, 1, o.Len(), "a second Scan begins anew")
}

func TestMemberReturnsTheMembersInTheirOrder(t *testing.T) {
	t.Parallel()
	o, err := jsonx.Scan([]byte(` { "b" : [1, 2] , "\u0061" : "\u00e9" , "" : null } `))
	require.NoError(t, err)
	defer o.Free()
	for i, want := range []struct{ name, value string }{{"b", `[1, 2]`}, {"a", `"\u00e9"`}, {"", `null`}} {
		name, value := o.Member(i)
		require.Equal(t, want.name, string(name))
		require.Equal(t, want.value, string(value))
		got, ok := o.Get(want.name)
		require.True(t, ok)
		require.Equal(t, value, got)
	}
	require.Panics(t, func() { o.Member(3) })
}

func TestElementsCallsForEachUntilOneFails(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`[]`: nil, ` [ ] `: nil, `[1]`: {"1"}, ` [ "a,]" , {"b":[2]} ,null,[[]] ] `: {`"a,]"`, `{"b":[2]}`, "null", "[[]]"},
	} {
		var got []string
		require.NoError(t, jsonx.Elements(json.RawMessage(text), func(i int, element []byte) error {
			require.Len(t, got, i)
			got = append(got, string(element))
			return nil
		}), text)
		require.Equal(t, want, got, text)
	}
	calls := 0
	require.ErrorIs(t, jsonx.Elements(json.RawMessage(`[1,2,3]`), func(i int, _ []byte) error {
		calls++
		if i == 1 {
			return jsonx.ErrRange
		}
		return nil
	}), jsonx.ErrRange)
	require.Equal(t, 2, calls)
	for _, text := range []string{`null`, `{}`, `"a"`, `1`} {
		require.ErrorIs(t, jsonx.Elements(json.RawMessage(text), nil), jsonx.ErrType, text)
	}
}

// With share a string costs nothing, and costs what it must when it has escapes.
func TestStringsThatShareTheTextAreThoseOfTheText(t *testing.T) {
	t.Parallel()
	type texts struct {
		A string   `json:"a"`
		B *string  `json:"b"`
		C []string `json:"c"`
		D string   `json:"d"`
		E string   `json:"e"`
	}
	text := []byte(`{"a":"plain","b":"é","c":["x","","\ud800"],"d":"\u0061\n","e":""}`)
	var copied, shared texts
	for share, v := range map[bool]*texts{false: &copied, true: &shared} {
		o, err := jsonx.Scan(text)
		require.NoError(t, err)
		require.NoError(t, o.Decode(v, "", share))
		o.Free()
	}
	require.Equal(t, texts{A: "plain", B: new("é"), C: []string{"x", "", "\ufffd"}, D: "a\n"}, shared)
	require.Equal(t, copied, shared)
	begin := bytes.Index(text, []byte("plain"))
	require.Same(t, &text[begin], unsafe.StringData(shared.A))
	require.NotSame(t, &text[begin], unsafe.StringData(copied.A))
}

// Strings do not change: not even when something is appended to a raw member beside them.
func TestRawMembersThatShareTheTextDoNotGrowIntoIt(t *testing.T) {
	t.Parallel()
	var v sample
	text := []byte(`{"payload":{"a":1},"z":[1],"name":"old","id":1}`)
	before := string(text)
	o, err := jsonx.Scan(text)
	require.NoError(t, err)
	require.NoError(t, o.Decode(&v, "", true))
	o.Free()
	for _, raw := range []json.RawMessage{v.Payload, v.Extra["z"]} {
		require.Equal(t, len(raw), cap(raw))
		require.Len(t, append(raw, "overwritten"...), len(raw)+11)
	}
	require.Equal(t, before, string(text))
	require.Equal(t, "old", v.Name)
}

func TestDecodeCheckedReadsAMemberAsUnmarshalReadsAText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		nested, `{}`, ` { } `, `{"kids":null,"next":null}`, `{"leaf":{"":2}}`, `{"Leaf":{},"KIDS":[]}`,
		"{ \"leaf\" : {\n\"name\" : \"\\u00e9\" , \"index\" : 1.0 } , \"z\" : [ 1 , \"}\" ] }",
	} {
		var want tree
		require.NoError(t, jsonx.Unmarshal([]byte(text), &want), text)
		o, err := jsonx.Scan([]byte(`{"before":1,"inner":` + text + `,"after":2}`))
		require.NoError(t, err, text)
		inner, ok := o.Get("inner")
		require.True(t, ok, text)
		for _, share := range []bool{false, true} {
			var got tree
			require.NoError(t, jsonx.DecodeChecked(inner, &got, share), text)
			require.Equal(t, want, got, text)
		}
		o.Free()
	}
}

func TestDecodeCheckedSharesOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	for _, share := range []bool{false, true} {
		text := []byte(`{"named":{"a":"old"},"z":"old"}`)
		var v tree
		require.NoError(t, jsonx.DecodeChecked(text, &v, share))
		copy(text, strings.ReplaceAll(string(text), "old", "new"))
		want := map[bool]string{false: `"old"`, true: `"new"`}[share]
		require.Equal(t, want, string(v.Named["a"]))
		require.Equal(t, want, string(v.Extra["z"]))
	}
}

func TestDecodeCheckedNamesThePathFromTheMemberOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, path string
		want       error
	}{
		{`{"leaf":null}`, ".leaf", jsonx.ErrType},
		{`{"kids":[{},{"index":-1}]}`, ".kids[1].index", jsonx.ErrRange},
		{`{"named":[]}`, ".named", jsonx.ErrType},
	} {
		err := jsonx.DecodeChecked(json.RawMessage(tt.text), new(tree), false)
		var e *jsonx.Error
		require.ErrorAs(t, err, &e, tt.text)
		require.Equal(t, tt.path, e.Field, tt.text)
		require.ErrorIs(t, err, tt.want, tt.text)
	}
	for _, text := range []string{`[]`, `null`, `"a"`, `1`, `true`} {
		require.ErrorIs(t, jsonx.DecodeChecked(json.RawMessage(text), new(tree), false), jsonx.ErrType, text)
	}
}

func TestAppendAtWritesWhatAppendWrites(t *testing.T) {
	t.Parallel()
	for _, v := range []*tree{
		{},
		{Kids: []leaf{{Name: "a"}}, Extra: fields{"z": json.RawMessage(`{ "b": 1.0 }`), "a": json.RawMessage(`null`)}},
	} {
		want, err := jsonx.Append(nil, "", "", v)
		require.NoError(t, err)
		for level := 2; level < 6; level++ {
			got, err := jsonx.AppendAt([]byte("before"), v, level)
			require.NoError(t, err)
			require.Equal(t, "before"+string(want), string(got))
		}
	}
	got, err := jsonx.AppendAt([]byte(`,`), new(struct {
		A string `json:"a,omitempty"`
	}), 2)
	require.NoError(t, err)
	require.Equal(t, `,{}`, string(got))
}

// A message that can be written can be read: what stands below others may nest as much
// less deeply.
func TestAppendAtCountsTheLevelsAboveThePart(t *testing.T) {
	t.Parallel()
	for level := 2; level <= 6; level++ {
		deepest := jsonx.MaxDepth + 1 - level
		v := &tree{Extra: fields{"z": brackets(deepest)}}
		part, err := jsonx.AppendAt(nil, v, level)
		require.NoError(t, err, level)
		whole := strings.Repeat(`{"x":`, level-2) + string(part) + strings.Repeat("}", level-2)
		require.NoError(t, jsonx.Check([]byte(whole)), level)

		v.Extra["z"] = brackets(deepest + 1)
		b, err := jsonx.AppendAt([]byte("kept"), v, level)
		require.ErrorIs(t, err, jsonx.ErrDepth, level)
		require.Equal(t, "kept", string(b))
		var e *jsonx.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "z", e.Field)
	}
}

func TestAppendExtraWritesEachMemberAfterACommaByName(t *testing.T) {
	t.Parallel()
	b, err := jsonx.AppendExtra([]byte(`{"id":1`), fields{
		"z": json.RawMessage(`{ "a": 1.0 }`), "b": json.RawMessage(`"<&>"`), "": json.RawMessage(`1`), "é\n": nil,
	}, new(sample), "type", 2)
	require.NoError(t, err)
	require.Equal(t, `{"id":1,"":1,"b":"<&>","z":{ "a": 1.0 },"é\n":null`, string(b))

	for _, none := range []fields{nil, {}} {
		b, err = jsonx.AppendExtra([]byte(`{"id":1`), none, new(sample), "type", 2)
		require.NoError(t, err)
		require.Equal(t, `{"id":1`, string(b))
	}
}

// badExtras are members that stand beside those of a sample with the discriminator
// type, at level 3 of the text, and may not.
var badExtras = []struct {
	title, name string
	raw         json.RawMessage
	check, add  error // of CheckExtra and AppendExtra
}{
	{"declared", "servers", json.RawMessage(`[]`), jsonx.ErrDeclared, jsonx.ErrDuplicate},
	{"discriminator", "type", json.RawMessage(`"a"`), jsonx.ErrDeclared, jsonx.ErrDuplicate},
	{"name that is not UTF-8", "a\xff", json.RawMessage(`1`), jsonx.ErrUTF8, jsonx.ErrUTF8},
	{"not JSON", "z", json.RawMessage(`{`), jsonx.ErrSyntax, jsonx.ErrSyntax},
	{"two values", "z", json.RawMessage(`1 2`), jsonx.ErrSyntax, jsonx.ErrSyntax},
	{"only white space", "z", json.RawMessage(` `), jsonx.ErrSyntax, jsonx.ErrSyntax},
	{"duplicate below", "z", json.RawMessage(`[{"a":1,"a":2}]`), jsonx.ErrDuplicate, jsonx.ErrDuplicate},
	{"not UTF-8", "z", json.RawMessage("\"\xff\""), jsonx.ErrUTF8, jsonx.ErrUTF8},
	{"too deep", "z", brackets(jsonx.MaxDepth - 1), jsonx.ErrDepth, jsonx.ErrDepth},
}

func TestCheckExtraAndAppendExtraRefuseTheSameMembers(t *testing.T) {
	t.Parallel()
	for _, tt := range badExtras {
		extra := fields{"a": json.RawMessage(`1`), tt.name: tt.raw}
		err := jsonx.CheckExtra(extra, new(sample), "type", 3)
		require.NotNil(t, err, tt.title)
		require.Equal(t, tt.name, err.Field, tt.title)
		require.ErrorIs(t, err, tt.check, tt.title)

		_, add := jsonx.AppendExtra(nil, extra, new(sample), "type", 3)
		var e *jsonx.Error
		require.ErrorAs(t, add, &e, tt.title)
		require.Equal(t, tt.name, e.Field, tt.title)
		require.ErrorIs(t, add, tt.add, tt.title)
	}
}

// An empty value is written as null, but whoever checks first hears of it.
func TestCheckExtraRefusesAnEmptyValue(t *testing.T) {
	t.Parallel()
	for _, raw := range []json.RawMessage{nil, {}} {
		err := jsonx.CheckExtra(fields{"z": raw}, new(sample), "type", 2)
		require.NotNil(t, err)
		require.Equal(t, "z", err.Field)
		require.ErrorIs(t, err, jsonx.ErrMissing)
	}
}

func TestCheckExtraTakesWhatIsAFurtherMember(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string]fields{
		"none":             nil,
		"empty":            {},
		"null":             {"z": json.RawMessage(`null`)},
		"empty name":       {"": json.RawMessage(`1`)},
		"another case":     {"Servers": json.RawMessage(`1`), "TYPE": json.RawMessage(`1`)},
		"Go field, no tag": {"Extra": json.RawMessage(`1`)},
		"as deep as may":   {"z": brackets(jsonx.MaxDepth - 2)},
		"white space":      {"z": json.RawMessage(" { } \n")},
	} {
		require.Nil(t, jsonx.CheckExtra(extra, new(sample), "type", 3), name)
		b, err := jsonx.AppendExtra([]byte(`{"id":1`), extra, new(sample), "type", 3)
		require.NoError(t, err, name)
		require.NoError(t, jsonx.Check(append(b, '}')), name)
	}
	require.Nil(t, jsonx.CheckExtra(fields{"type": json.RawMessage(`1`)}, new(sample), "", 2), "there is no discriminator")
	require.Nil(t, jsonx.CheckExtra(fields{"id": json.RawMessage(`1`)}, nil, "", 2), "nothing is declared")
}

// The first by name, so that the same message always fails in the same way.
func TestCheckExtraNamesTheFirstMemberByName(t *testing.T) {
	t.Parallel()
	for range 20 {
		err := jsonx.CheckExtra(fields{"c": nil, "b": json.RawMessage(`{`), "a": json.RawMessage(`1`), "d": nil}, new(sample), "", 2)
		require.NotNil(t, err)
		require.Equal(t, "b", err.Field)
	}
}

func FuzzCheckExtraAcceptsWhatAppendExtraWrites(f *testing.F) {
	f.Add("a", []byte(`{"b":[1]}`), uint8(2))
	f.Add("id", []byte(`1`), uint8(3))
	f.Add("", []byte(` null `), uint8(2))
	f.Add("\xff", []byte(`"\ud800"`), uint8(64))
	f.Fuzz(func(t *testing.T, name string, raw []byte, level uint8) {
		extra, depth := fields{name: raw}, 2+int(level)%jsonx.MaxDepth
		checked := jsonx.CheckExtra(extra, new(sample), "type", depth)
		b, err := jsonx.AppendExtra([]byte(`{"id":1`), extra, new(sample), "type", depth)
		if len(raw) == 0 {
			require.NotNil(t, checked) // but is written as null
			return
		}
		require.Equal(t, checked == nil, err == nil, "%q: check %v, append %v", name, checked, err)
		if err == nil {
			require.NoError(t, jsonx.Check(append(b, '}')))
		}
	})
}
