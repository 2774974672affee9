package jsonx_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// strange are strings in which it matters where an escape begins and what it stands for.
var strange = []string{
	`""`, `"a"`, `"\""`, `"\\"`, `"\\\""`, `"\\\\"`, `"a\\"`,
	`"1234567\""`, `"12345678\""`, `"1234567\\"`,
	`"\/\b\f\n\r\t"`, `"a=x\r\na=y\r\n"`, `"\u0041\u00e9\u20ac"`, `"\ud83d\ude00!"`, `"\ud83d"`, `"\ude00"`,
	`"\ud83d\ud83d\ude00"`, `"\ud83d\u0041"`, `"\ud83d\n"`, `"\ud83dude00"`, `"\uD83D\uDE00"`, `"é€😀"`, `"é\"€\\😀"`,
	`"` + strings.Repeat(`\"`, 40) + `"`, `"` + strings.Repeat(`\\`, 40) + `"`, `"` + strings.Repeat("x", 40) + `\""`,
}

func TestStringsLoseTheirEscapesAsInTheStrictLibrary(t *testing.T) {
	t.Parallel()
	for _, s := range strange {
		require.NoError(t, jsonx.Check([]byte(s)), s)
		want, _ := jsontext.AppendUnquote(nil, s) // an error is about a lone surrogate
		text, ok := jsonx.Text(json.RawMessage(s))
		require.True(t, ok, s)
		require.Equal(t, string(want), string(text), s)
		got, ok := jsonx.String(json.RawMessage(s))
		require.True(t, ok, s)
		require.Equal(t, string(want), got, s)
	}
	for _, s := range []string{``, `"`, `1`, `12`, `null`, `{}`, `["a"]`} {
		_, ok := jsonx.String(json.RawMessage(s))
		require.False(t, ok, s)
	}
}

func TestStringDoesNotPointIntoTheValue(t *testing.T) {
	t.Parallel()
	for _, s := range strange {
		value := []byte(s)
		got, _ := jsonx.String(value)
		want := strings.Clone(got)
		clear(value)
		require.Equal(t, want, got)
	}
}

// texts is a struct for strings at several places.
type texts struct {
	Name  string                     `json:"name"`
	More  []string                   `json:"more"`
	Named map[string]string          `json:"named"`
	Below *texts                     `json:"below,omitempty"`
	Raw   json.RawMessage            `json:"raw"`
	Extra map[string]json.RawMessage `json:"-"`
}

// textsOf returns an object that has a string at all of them.
func textsOf(s string) string {
	return `{"name":` + s + `,"more":["a",` + s + `,` + s + `],"named":{` + s + `:` + s + `},"raw":` + s +
		`,"below":{"name":` + s + `,"raw":[` + s + `],"more":[],"named":{},"\u0079":` + s + `},"x\n":` + s + `}`
}

func TestDecodeOwnedReadsWhatDecodeReads(t *testing.T) {
	t.Parallel()
	for _, s := range strange {
		text := textsOf(s)
		var want, got texts
		require.NoError(t, jsonx.Unmarshal([]byte(text), &want), text)
		o, err := jsonx.Scan([]byte(text))
		require.NoError(t, err)
		require.NoError(t, o.DecodeOwned(&got, ""))
		o.Free()
		require.Equal(t, want, got)
	}
}

func TestDecodeOwnedUnescapesInPlace(t *testing.T) {
	t.Parallel()
	text := []byte(`{"name":"a\r\n\u00e9","raw":"a\n"}`)
	first, last := unsafe.SliceData(text), &text[len(text)-1]
	o, err := jsonx.Scan(text)
	require.NoError(t, err)
	defer o.Free()
	var got texts
	require.NoError(t, o.DecodeOwned(&got, ""))
	require.Equal(t, "a\r\né", got.Name)
	require.Equal(t, `"a\n"`, string(got.Raw))
	at := uintptr(unsafe.Pointer(unsafe.StringData(got.Name)))
	require.Greater(t, at, uintptr(unsafe.Pointer(first)))
	require.Less(t, at, uintptr(unsafe.Pointer(last)))
}

func TestCutFindsTheMembersThatScanFinds(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, ` { "a" : -1.5e3 , "b" : [ { "c" : "]}\"" } ] , "\u0064" : "\\" } `,
		`{"":null,"a":{"a":{"a":[]}},"é":"` + strings.Repeat(`\"`, 20) + `"}`, textsOf(`"\\\"{["`),
	} {
		requireSameCut(t, []byte(text))
	}
	for text, at := range map[string]int{``: 0, `1`: 0, ` "{}"`: 1, "\n[{}]": 1, `null`: 0} {
		_, err := jsonx.Cut([]byte(text))
		require.Equal(t, &jsonx.Error{Offset: at, Err: jsonx.ErrNotObject}, err, text)
	}
}

// requireSameCut compares Cut with Scan, which must succeed.
func requireSameCut(t *testing.T, text []byte) {
	t.Helper()
	scanned, err := jsonx.Scan(text)
	require.NoError(t, err)
	defer scanned.Free()
	cut, err := jsonx.Cut(text)
	require.NoError(t, err)
	defer cut.Free()
	require.Equal(t, scanned.Len(), cut.Len())
	for i := range scanned.Len() {
		wantName, wantValue := scanned.Member(i)
		name, value := cut.Member(i)
		require.Equal(t, string(wantName), string(name))
		require.Equal(t, string(wantValue), string(value))
	}
}

func TestNamesOutliveTheirObject(t *testing.T) {
	t.Parallel()
	o, err := jsonx.Scan([]byte(`{"\u0061":{"\u0062":1},"\u0063":2}`))
	require.NoError(t, err)
	first, _ := o.Member(0)
	second, _ := o.Member(1)
	o.Free()
	other, err := jsonx.Scan([]byte(`{"\u0078":{"\u0079":1},"\u007a":2}`))
	require.NoError(t, err)
	defer other.Free()
	require.Equal(t, "ac", string(first)+string(second))
}

func TestMembersAreFoundInAnyOrder(t *testing.T) {
	t.Parallel()
	members := []string{`"name":"a"`, `"more":["b"]`, `"named":{"c":"d"}`, `"raw":1`, `"x":2`}
	want := texts{
		Name: "a", More: []string{"b"}, Named: map[string]string{"c": "d"}, Raw: json.RawMessage("1"),
		Extra: map[string]json.RawMessage{"x": json.RawMessage("2")},
	}
	for range members {
		for range members {
			var got texts
			require.NoError(t, jsonx.Unmarshal([]byte("{"+strings.Join(members, ",")+"}"), &got))
			require.Equal(t, want, got)
			members = append(members[1:], members[0])
		}
		members[0], members[2] = members[2], members[0]
	}
}

func TestArraysOfAnyLengthAreReadInTheirOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 15, 16, 17, 100} {
		want := make([]string, n)
		for i := range want {
			want[i] = strings.Repeat("x", i)
		}
		b, err := json.Marshal(map[string]any{"more": want})
		require.NoError(t, err)
		var got texts
		require.NoError(t, jsonx.Unmarshal(b, &got))
		require.Equal(t, want, got.More)
	}
	for _, n := range []int{0, 15, 16, 17} {
		text := `{"more":[` + strings.Repeat(`"",`, n) + `1]}`
		err := jsonx.Unmarshal([]byte(text), new(texts))
		require.ErrorContains(t, err, "more["+string(mustJSON(t, n))+"]")
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

// What reads checked text only must bear any other.
func FuzzTextThatWasNotCheckedIsBorne(f *testing.F) {
	for _, s := range strange {
		f.Add([]byte(textsOf(s)))
		f.Add([]byte(textsOf(s)[:20]))
	}
	f.Add([]byte(`{"`))
	f.Add([]byte(`{"a"`))
	f.Add([]byte(`{"a":,,"b":]`))
	f.Add([]byte(`["\`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, err := jsonx.Cut(data); err == nil {
			o.Free()
		}
		jsonx.Peek(data, "a")
		jsonx.Text(data)
		_ = jsonx.Elements(data, func(int, []byte) error { return nil })
		_ = jsonx.DecodeChecked(data, new(texts), false)
		if o, err := jsonx.Scan(data); err == nil {
			o.Free()
			requireSameCut(t, data)
			var want, got texts
			wantErr := jsonx.Unmarshal(data, &want)
			o, err := jsonx.Scan(append([]byte{}, data...))
			require.NoError(t, err)
			defer o.Free()
			require.Equal(t, wantErr, o.DecodeOwned(&got, ""))
			if wantErr == nil {
				require.Equal(t, want, got)
			}
		}
		if jsonx.Check(data) != nil || len(data) == 0 || data[0] != '"' {
			return
		}
		value := []byte(strings.TrimRight(string(data), " \t\r\n"))
		want, _ := jsontext.AppendUnquote(nil, value)
		got, _ := jsonx.Text(value)
		require.Equal(t, string(want), string(got))
	})
}
