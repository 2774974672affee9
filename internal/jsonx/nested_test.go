package jsonx_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

type tree struct {
	Leaf  leaf                       `json:"leaf"`
	Kids  []leaf                     `json:"kids"`
	Named map[string]json.RawMessage `json:"named"`
	Next  *leaf                      `json:"next"`
	Extra fields                     `json:"-"`
}

type leaf struct {
	Name  string  `json:"name"`
	Index *uint16 `json:"index"`
	Ports []int   `json:"ports,omitempty"`
	Rate  float64 `json:"rate,omitzero"`
	Extra fields  `json:"-"`
}

// nested is a text that Append writes exactly so: raw values keep their white space,
// their numbers and even a lone surrogate, as JSON.stringify writes it.
const nested = `{"leaf":{"name":"a","index":3,"ports":[1,-2],"rate":29.97,"x":{ "b": 1.0, "a":"\ud800" }},` +
	`"kids":[{"name":"","index":null},{"name":"b","index":null,"y":[ ]}],` +
	`"named":{"a":12345678901234567890,"b":{ }},"next":{"name":"c","index":65535},"z":1e3}`

func TestNestedMembersSurviveByteForByte(t *testing.T) {
	t.Parallel()
	var v tree
	require.NoError(t, jsonx.Unmarshal([]byte(nested), &v))
	require.Equal(t, []int{1, -2}, v.Leaf.Ports)
	require.Equal(t, fields{"y": json.RawMessage("[ ]")}, v.Kids[1].Extra)
	for _, add := range []func([]byte, string, string, any) ([]byte, error){jsonx.Append, jsonx.AppendChecked} {
		b, err := add(nil, "", "", &v)
		require.NoError(t, err)
		require.Equal(t, nested, string(b))
	}
}

func TestNestedZeroValuesAreWrittenAsEmptyContainers(t *testing.T) {
	t.Parallel()
	b, err := jsonx.Append(nil, "", "", new(tree))
	require.NoError(t, err)
	require.Equal(t, `{"leaf":{"name":"","index":null},"kids":[],"named":{},"next":null}`, string(b))

	v := tree{Kids: []leaf{{}}, Named: map[string]json.RawMessage{"a": nil}, Next: new(leaf)}
	require.NoError(t, jsonx.Unmarshal([]byte(`{"kids":null,"named":null,"next":null}`), &v))
	require.Equal(t, tree{}, v)
	require.NoError(t, jsonx.Unmarshal([]byte(`{"kids":[ ],"named":{ }}`), &v))
	require.Equal(t, tree{Kids: []leaf{}, Named: map[string]json.RawMessage{}}, v)
}

func TestNestedErrorsNameTheWholePath(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, path string
		want       error
	}{
		{`{"leaf":null}`, "leaf", jsonx.ErrType},
		{`{"leaf":[]}`, "leaf", jsonx.ErrType},
		{`{"leaf":{"name":null}}`, "leaf.name", jsonx.ErrType},
		{`{"leaf":{"index":-1}}`, "leaf.index", jsonx.ErrRange},
		{`{"leaf":{"index":65536}}`, "leaf.index", jsonx.ErrRange},
		{`{"leaf":{"ports":[1,2.5]}}`, "leaf.ports[1]", jsonx.ErrType},
		{`{"leaf":{"rate":"1"}}`, "leaf.rate", jsonx.ErrType},
		{`{"leaf":{"rate":1e999}}`, "leaf.rate", jsonx.ErrRange},
		{`{"kids":[{},null]}`, "kids[1]", jsonx.ErrType},
		{`{"kids":[{},{"ports":{}}]}`, "kids[1].ports", jsonx.ErrType},
		{`{"named":[]}`, "named", jsonx.ErrType},
		{`{"next":1}`, "next", jsonx.ErrType},
	} {
		err := jsonx.Unmarshal([]byte(tt.text), new(tree))
		require.ErrorIs(t, err, tt.want, tt.text)
		e, ok := errors.AsType[*jsonx.Error](err)
		require.True(t, ok, tt.text)
		require.Equal(t, tt.path, e.Field, tt.text)
	}
}

func TestAppendRefusesWhatDecodeWouldRefuseAtEveryLevel(t *testing.T) {
	t.Parallel()
	deep := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
	}
	for _, tt := range []struct {
		path     string
		deepest  int // how deep a value may be there
		withDeep func(json.RawMessage) *tree
	}{
		{"z", 63, func(raw json.RawMessage) *tree { return &tree{Extra: fields{"z": raw}} }},
		{"named.a", 62, func(raw json.RawMessage) *tree { return &tree{Named: map[string]json.RawMessage{"a": raw}} }},
		{"leaf.x", 62, func(raw json.RawMessage) *tree { return &tree{Leaf: leaf{Extra: fields{"x": raw}}} }},
		{"kids[0].x", 61, func(raw json.RawMessage) *tree { return &tree{Kids: []leaf{{Extra: fields{"x": raw}}}} }},
	} {
		b, err := jsonx.Append(nil, "", "", tt.withDeep(deep(tt.deepest)))
		require.NoError(t, err, tt.path)
		require.NoError(t, jsonx.Unmarshal(b, new(tree)), tt.path)

		for _, bad := range []json.RawMessage{deep(tt.deepest + 1), json.RawMessage(`{"a":1,"a":2}`), json.RawMessage(`1 2`)} {
			_, err = jsonx.Append(nil, "", "", tt.withDeep(bad))
			e, ok := errors.AsType[*jsonx.Error](err)
			require.True(t, ok, "%s: %v", tt.path, err)
			require.Equal(t, tt.path, e.Field)
		}
	}
}
