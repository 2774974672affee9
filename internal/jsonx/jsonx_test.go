package jsonx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { repotest.Main(m) }

type fields map[string]json.RawMessage

type server struct {
	URLs  []string `json:"urls"`
	Extra fields   `json:"-"`
}

type sample struct {
	ID      int             `json:"id"`
	Name    string          `json:"name,omitempty"`
	On      bool            `json:"on,omitzero"`
	Port    *int            `json:"port,omitzero"`
	Note    *string         `json:"note,omitzero"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Servers []server        `json:"servers"`
	Extra   fields          `json:"-"`
}

func TestCheckKeepsTheRules(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"object", `{"a":1,"b":[true,false,null],"c":{"a":-1.5e+3}}`, nil},
		{"white space", " \t\r\n{ \"a\" : [ ] } \n", nil},
		{"string", `"x"`, nil},
		{"escapes", `"\"\\\/\b\f\n\r\té\ud83d\ude00"`, nil},
		{"lone surrogate", `"\ud800"`, nil},
		{"depth 64", deep(64), nil},
		{"depth 65", deep(65), jsonx.ErrDepth},
		{"depth 10000", deep(10000), jsonx.ErrDepth},
		{"object depth 65", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), jsonx.ErrDepth},
		{"empty", "", jsonx.ErrSyntax},
		{"only space", "  ", jsonx.ErrSyntax},
		{"trailing", `{} x`, jsonx.ErrSyntax},
		{"two values", `{}{}`, jsonx.ErrSyntax},
		{"comment", `/* c */ {}`, jsonx.ErrSyntax},
		{"bare name", `{a:1}`, jsonx.ErrSyntax},
		{"trailing comma", `[1,]`, jsonx.ErrSyntax},
		{"trailing comma in object", `{"a":1,}`, jsonx.ErrSyntax},
		{"leading zero", `01`, jsonx.ErrSyntax},
		{"plus", `+1`, jsonx.ErrSyntax},
		{"no fraction", `1.`, jsonx.ErrSyntax},
		{"no exponent", `1e`, jsonx.ErrSyntax},
		{"control character", "\"a\x01\"", jsonx.ErrSyntax},
		{"open string", `"abcdefghijk`, jsonx.ErrSyntax},
		{"bad escape", `"\x"`, jsonx.ErrSyntax},
		{"short unicode escape", `"\u12"`, jsonx.ErrSyntax},
		{"invalid UTF-8", "\"abcdefgh\xff\"", jsonx.ErrUTF8},
		{"surrogate as UTF-8", "\"\xed\xa0\x80\"", jsonx.ErrUTF8},
		{"overlong", "\"\xc0\xaf\"", jsonx.ErrUTF8},
		{"byte order mark", "\xef\xbb\xbf{}", jsonx.ErrSyntax},
		{"duplicate", `{"a":1,"a":2}`, jsonx.ErrDuplicate},
		{"duplicate by escape", `{"a":1,"\u0061":2}`, jsonx.ErrDuplicate},
		{"duplicate below", `{"x":[{"b":1,"c":2,"b":3}]}`, jsonx.ErrDuplicate},
		{"same name on two levels", `{"a":{"a":{"a":1}},"b":{"a":1}}`, nil},
		{"case variants differ", `{"a":1,"A":2}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := jsonx.Check([]byte(tt.text))
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tt.want)
		})
	}
}

func TestCheckFindsDuplicatesInLargeObjectsInLinearTime(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("{")
	for i := range 100_000 {
		fmt.Fprintf(&b, `"%d":0,`, i)
	}
	require.NoError(t, jsonx.Check([]byte(b.String()+`"x":1}`)))
	require.ErrorIs(t, jsonx.Check([]byte(b.String()+`"77":1}`)), jsonx.ErrDuplicate)
}

func TestDecodeMatchesNamesExactlyAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	var v sample
	require.NoError(t, jsonx.Unmarshal([]byte(
		`{"id":7,"ID":8,"n\u0061me":"\u00e9","payload": {"b": 1,  "a":2} ,"servers":[{"urls":["x"],"URLs":1}],"port":1.0,"z":null}`), &v))
	require.Equal(t, sample{
		ID: 7, Name: "é", Port: new(1),
		Payload: json.RawMessage(`{"b": 1,  "a":2}`),
		Servers: []server{{URLs: []string{"x"}, Extra: fields{"URLs": json.RawMessage("1")}}},
		Extra:   fields{"ID": json.RawMessage("8"), "z": json.RawMessage("null")},
	}, v)
}

func TestDecodeNamesThePathOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, path string
		want       error
	}{
		{`{"id":"1"}`, "id", jsonx.ErrType},
		{`{"id":1.5}`, "id", jsonx.ErrType},
		{`{"id":null}`, "id", jsonx.ErrType},
		{`{"id":[]}`, "id", jsonx.ErrType},
		{`{"id":12345678901234567890}`, "id", jsonx.ErrRange},
		{`{"id":1e300}`, "id", jsonx.ErrRange},
		{`{"name":null}`, "name", jsonx.ErrType},
		{`{"on":"true"}`, "on", jsonx.ErrType},
		{`{"port":"80"}`, "port", jsonx.ErrType},
		{`{"servers":[{"urls":[]},{"urls":"x"}]}`, "servers[1].urls", jsonx.ErrType},
		{`{"servers":{}}`, "servers", jsonx.ErrType},
		{`[]`, "", jsonx.ErrNotObject},
		{`null`, "", jsonx.ErrNotObject},
		{`[`, "", jsonx.ErrSyntax},
	} {
		var v sample
		err := jsonx.Unmarshal([]byte(tt.text), &v)
		require.ErrorIs(t, err, tt.want, tt.text)
		e, ok := errors.AsType[*jsonx.Error](err)
		require.True(t, ok, tt.text)
		require.Equal(t, tt.path, e.Field, tt.text)
	}
}

func TestIntTakesWhatIsAnIntegerInValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "-5": -5, "1.0": 1, "1e2": 100, "9007199254740993": 9007199254740993, "-0": 0,
	} {
		n, err := jsonx.Int([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, n, text)
	}
	for text, want := range map[string]error{
		"1.5": jsonx.ErrType, `"1"`: jsonx.ErrType, "null": jsonx.ErrType, "": jsonx.ErrType,
		"9223372036854775808": jsonx.ErrRange, "9007199254740993.0": jsonx.ErrRange, "1e16": jsonx.ErrRange, "1e999999999": jsonx.ErrRange,
	} {
		_, err := jsonx.Int([]byte(text))
		require.ErrorIs(t, err, want, text)
	}
}

func TestPeekFindsWhatScanFinds(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"type":"a"}`, ` { "x" : [1,{"type":"no"},"]"] , "type" : {"a":[]} } `, `{"x":-1.5e3,"t\u0079pe":true,"y":1}`,
		`{"x":"type","y":null}`, `{}`, `[]`, `"type"`, `{"type":12}`, `{"a":{},"type":[[[]],{}],"b":1}`,
	} {
		var want, got json.RawMessage
		if o, err := jsonx.Scan([]byte(text)); err == nil {
			want, _ = o.Get("type")
			o.Free()
		}
		got, ok := jsonx.Peek([]byte(text), "type")
		require.Equal(t, want != nil, ok, text)
		require.Equal(t, string(want), string(got), text)
	}
}

func TestAppendWritesInOrderAndKeepsRawBytes(t *testing.T) {
	t.Parallel()
	b, err := jsonx.Append([]byte("x"), "type", "sample", &sample{
		ID: 1, Name: "<&>\n", Payload: json.RawMessage(`{ "a" : 1 }`),
		Extra: fields{"z": json.RawMessage("1"), "b": json.RawMessage(`[ ]`)},
	})
	require.NoError(t, err)
	require.Equal(t, `x{"type":"sample","id":1,"name":"<&>\n","payload":{ "a" : 1 },"servers":[],"b":[ ],"z":1}`, string(b))

	b, err = jsonx.Append(nil, "", "", &struct {
		A string `json:"a,omitempty"`
	}{})
	require.NoError(t, err)
	require.Equal(t, `{}`, string(b))
}

func TestAppendRefusesWhatWouldNotBeJSON(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]*sample{
		"payload":  {Payload: json.RawMessage(`{"a":1`)},
		"name":     {Name: "\xff"},
		"extra":    {Extra: fields{"extra": json.RawMessage("x")}},
		"id":       {Extra: fields{"id": json.RawMessage("1")}},
		"type":     {Extra: fields{"type": json.RawMessage("1")}},
		"a deeper": {Extra: fields{"a deeper": json.RawMessage(strings.Repeat("[", 64) + strings.Repeat("]", 64))}},
	} {
		b, err := jsonx.Append([]byte("kept"), "type", "sample", v)
		e, ok := errors.AsType[*jsonx.Error](err)
		require.True(t, ok, name)
		require.Equal(t, name, e.Field)
		require.Equal(t, "kept", string(b))
	}
}

func FuzzCheckAgreesWithTheStrictLibrary(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,{"b":"c\u00e9"}]}`, `"\ud800"`, `{"a":1,"a":2}`, "[\"\xff\"]", `1e5`, `-`, `{"":{"":null}} `, `{"x":[1,"]"],"type":{"a":[]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := jsonx.Check(data)
		if errors.Is(err, jsonx.ErrDepth) {
			return
		}
		strict, lenient := jsontext.Value(data).IsValid(), jsontext.Value(data).IsValid(jsontext.AllowInvalidUTF8(true))
		// Between the two lie lone surrogates written as escapes, which pass here, and
		// invalid UTF-8, which does not.
		if strict && err != nil || !lenient && err == nil && !bytes.Contains(data, []byte(`\u`)) {
			t.Fatalf("%q: strict %v, lenient %v, here %v", data, strict, lenient, err)
		}
		var o jsonx.Object
		if o.Scan(data) == nil {
			want, found := o.Get("type")
			got, ok := jsonx.Peek(data, "type")
			if found != ok || string(want) != string(got) {
				t.Fatalf("%q: Peek finds %q", data, got)
			}
		}
		if o.Scan(data) == nil != (err == nil && jsonx.IsObject(data)) {
			t.Fatalf("%q: Scan and Check differ", data)
		}
	})
}

func FuzzDecodeAppendIsAFixedPoint(f *testing.F) {
	f.Add([]byte(`{"id":7,"name":"x","payload":{"b": 1},"servers":[{"urls":["x"],"u":1}],"port":1.0,"z":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v, w sample
		if jsonx.Unmarshal(data, &v) != nil {
			return
		}
		once, err := jsonx.Append(nil, "", "", &v)
		require.NoError(t, err)
		require.NoError(t, jsonx.Unmarshal(once, &w), "%s", once)
		twice, err := jsonx.Append(nil, "", "", &w)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))
	})
}

func BenchmarkScan(b *testing.B) {
	offer, _ := json.Marshal(strings.Repeat("a=candidate:1 1 udp 2113937151 192.168.0.1 54400 typ host\r\n", 90))
	data := []byte(`{"message_type":"forward","client_id":1,"payload":{"type":"offer","sdp":` + string(offer) + `}}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		o, err := jsonx.Scan(data)
		if err != nil {
			b.Fatal(err)
		}
		o.Free()
	}
}
