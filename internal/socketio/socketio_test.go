package socketio

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// packets are texts with their parts. Those that are written otherwise have as.
var packets = []struct {
	text string
	want Packet
	as   string
}{
	{text: "0", want: Packet{Type: Connect}},
	{text: `0{"token":"abc"}`, want: Packet{Type: Connect, Data: []byte(`{"token":"abc"}`)}},
	{text: `0{"sid":"lRHZ9Dz1uEQkzZxTAAAA"}`, want: Packet{Type: Connect, Data: []byte(`{"sid":"lRHZ9Dz1uEQkzZxTAAAA"}`)}},
	{text: "0/foo,", want: Packet{Type: Connect, Namespace: "/foo"}},
	{text: `0/foo,{"a":1}`, want: Packet{Type: Connect, Namespace: "/foo", Data: []byte(`{"a":1}`)}},
	{text: "0/foo", want: Packet{Type: Connect, Namespace: "/foo"}, as: "0/foo,"},
	{text: "0/,", want: Packet{Type: Connect}, as: "0"},
	{text: "0/", want: Packet{Type: Connect}, as: "0"},
	{text: "1", want: Packet{Type: Disconnect}},
	{text: "1/foo,", want: Packet{Type: Disconnect, Namespace: "/foo"}},
	{text: `2["event",{}]`, want: Packet{Type: Event, Data: []byte(`["event",{}]`)}},
	{text: `20["event",{}]`, want: Packet{Type: Event, ID: NewID(0), Data: []byte(`["event",{}]`)}},
	{text: `2999999999999999["event"]`, want: Packet{Type: Event, ID: NewID(999999999999999), Data: []byte(`["event"]`)}},
	{text: `2007["event"]`, want: Packet{Type: Event, ID: NewID(7), Data: []byte(`["event"]`)}, as: `27["event"]`},
	{text: `2/,0["event"]`, want: Packet{Type: Event, ID: NewID(0), Data: []byte(`["event"]`)}, as: `20["event"]`},
	{text: `2/foo,12["event"]`, want: Packet{Type: Event, Namespace: "/foo", ID: NewID(12), Data: []byte(`["event"]`)}},
	{text: `2/f-1/o:o?q=1,["event"]`, want: Packet{Type: Event, Namespace: "/f-1/o:o?q=1", Data: []byte(`["event"]`)}},
	{text: `2/é,["event"]`, want: Packet{Type: Event, Namespace: "/é", Data: []byte(`["event"]`)}},
	{text: `21-["event"]`, want: Packet{Type: Event, ID: NewID(1), Data: []byte(`-["event"]`)}},
	{text: `30[{"msgType":"ack"}]`, want: Packet{Type: Ack, ID: NewID(0), Data: []byte(`[{"msgType":"ack"}]`)}},
	{text: "3", want: Packet{Type: Ack}},
	{text: `4{"message":"no"}`, want: Packet{Type: ConnectError, Data: []byte(`{"message":"no"}`)}},
	{
		text: `4/foo,{"message":"Invalid namespace"}`,
		want: Packet{Type: ConnectError, Namespace: "/foo", Data: []byte(`{"message":"Invalid namespace"}`)},
	},
	{text: `4/foo,"no"`, want: Packet{Type: ConnectError, Namespace: "/foo", Data: []byte(`"no"`)}},
	{text: `51-["event",{}]`, want: Packet{Type: BinaryEvent, Attachments: 1, Data: []byte(`["event",{}]`)}},
	{text: `510-/foo,3["event"]`, want: Packet{
		Type: BinaryEvent, Attachments: 10, Namespace: "/foo", ID: NewID(3), Data: []byte(`["event"]`),
	}},
	{text: `502-["e"]`, want: Packet{Type: BinaryEvent, Attachments: 2, Data: []byte(`["e"]`)}, as: `52-["e"]`},
	{text: `63-0[1]`, want: Packet{Type: BinaryAck, Attachments: 3, ID: NewID(0), Data: []byte(`[1]`)}},
	{text: "2 [\"event\"]\n", want: Packet{Type: Event, Data: []byte(" [\"event\"]\n")}},
}

func TestParseCutsAPacketIntoItsParts(t *testing.T) {
	t.Parallel()
	for _, tt := range packets {
		want := tt.want
		if want.Namespace == "" {
			want.Namespace = Default
		}
		if want.Data == nil {
			want.Data = []byte{}
		}
		got, err := Parse([]byte(tt.text))
		require.NoError(t, err, tt.text)
		require.Equal(t, want, got, tt.text)
	}
}

func TestAppendWritesWhatParseReads(t *testing.T) {
	t.Parallel()
	for _, tt := range packets {
		want := tt.as
		if want == "" {
			want = tt.text
		}
		require.Equal(t, want, string(Append(nil, tt.want)), tt.text)
		parsed, err := Parse([]byte(tt.text))
		require.NoError(t, err)
		require.Equal(t, "before "+want, string(Append([]byte("before "), parsed)), tt.text)
	}
}

func TestParseRefusesWhatIsNoPacket(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want error
	}{
		{"", ErrType},
		{"7", ErrType},
		{"9", ErrType},
		{"/", ErrType},
		{" 2[]", ErrType},
		{"hello", ErrType},
		{"\x002[]", ErrType},
		{"5", ErrAttachments},
		{"5-[]", ErrAttachments},
		{`5["event"]`, ErrAttachments},
		{"51", ErrAttachments},
		{`51["event"]`, ErrAttachments},
		{`511-["event"]`, ErrAttachments},
		{`50-["event"]`, ErrAttachments},
		{`599-["event"]`, ErrAttachments},
		{`5001-["event"]`, ErrAttachments},
		{`5-1-["event"]`, ErrAttachments},
		{`5 1-["event"]`, ErrAttachments},
		{`6[1]`, ErrAttachments},
		{`611-[1]`, ErrAttachments},
		{`2` + strings.Repeat("1", 16) + `["event"]`, ErrID},
		{`2` + strings.Repeat("0", 16) + `["event"]`, ErrID},
		{`4299999999999999999999["event"]`, ErrID},
		{"0/" + strings.Repeat("x", 256) + ",", ErrNamespace},
		{"0/" + strings.Repeat("x", 256), ErrNamespace},
		{"0/\xff,", ErrNamespace},
		{"1/\xed\xa0\x80", ErrNamespace},
	} {
		_, err := Parse([]byte(tt.text))
		require.ErrorIs(t, err, tt.want, "%q", tt.text)
	}
	_, err := Parse([]byte("0/" + strings.Repeat("x", 255) + ","))
	require.NoError(t, err)
}

func TestNamespacesAreThoseThatParseReads(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "/", "/foo", "/é", "/a/b", "/" + strings.Repeat("x", 255)} {
		require.NoError(t, CheckNamespace(name), name)
		p, err := Parse(Append(nil, Packet{Type: Connect, Namespace: name}))
		require.NoError(t, err, name)
		if name == "" {
			name = Default
		}
		require.Equal(t, name, p.Namespace)
	}
	for _, name := range []string{"foo", "/a,b", ",", "/\xff", "/" + strings.Repeat("x", 256), " /foo"} {
		require.ErrorIs(t, CheckNamespace(name), ErrNamespace, "%q", name)
	}
}

func TestIDsAreNumbersOrNone(t *testing.T) {
	t.Parallel()
	var none ID
	_, ok := none.Number()
	require.False(t, ok)
	require.Empty(t, none.String())
	for _, number := range []uint64{0, 1, 999999999999999} {
		id := NewID(number)
		n, ok := id.Number()
		require.True(t, ok)
		require.Equal(t, number, n)
		require.NotEqual(t, none, id)
		require.Equal(t, id, NewID(number))
	}
	require.Equal(t, "0", NewID(0).String())
	require.Equal(t, "12", NewID(12).String())
}

func TestTypesHaveNames(t *testing.T) {
	t.Parallel()
	for typ, want := range map[Type]string{
		Connect: "connect", Disconnect: "disconnect", Event: "event", Ack: "ack", ConnectError: "connect error",
		BinaryEvent: "event", BinaryAck: "ack", '7': "Type(55)",
	} {
		require.Equal(t, want, typ.String())
	}
}

func TestArgumentsAreTheElementsOfThePacket(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", jsonx.MaxDepth) + strings.Repeat("]", jsonx.MaxDepth)
	for _, tt := range []struct {
		text string
		want []string
	}{
		{`2["event"]`, []string{`"event"`}},
		{`2["event",1]`, []string{`"event"`, "1"}},
		{"20 [ \"event\" ,\t{ \"a\" : 1 } , null ] \n", []string{`"event"`, `{ "a" : 1 }`, "null"}},
		{`2["",1]`, []string{`""`, "1"}},
		{`2[7,1]`, []string{"7", "1"}},
		{`2[-7]`, []string{"-7"}},
		{`2["constructor","a,b]"]`, []string{`"constructor"`, `"a,b]"`}},
		{`30[]`, nil},
		{`30["disconnect"]`, []string{`"disconnect"`}},
		{`30[null,{"msgType":"ack"}]`, []string{"null", `{"msgType":"ack"}`}},
		{`30[` + deep + `]`, []string{deep}},
		{`51-["event",{"_placeholder":true,"num":0}]`, []string{`"event"`, `{"_placeholder":true,"num":0}`}},
		{`61-0[{"_placeholder":true,"num":0}]`, []string{`{"_placeholder":true,"num":0}`}},
		{`2["event",{"_placeholder":true,"num":9}]`, []string{`"event"`, `{"_placeholder":true,"num":9}`}},
	} {
		p, err := Parse([]byte(tt.text))
		require.NoError(t, err, tt.text)
		args, err := Arguments(p)
		require.NoError(t, err, tt.text)
		var got []string
		for _, arg := range args {
			got = append(got, string(arg))
		}
		require.Equal(t, tt.want, got, tt.text)
	}
}

func TestArgumentsRefuseWhatEndsTheConnection(t *testing.T) {
	t.Parallel()
	tooDeep := strings.Repeat("[", jsonx.MaxDepth+1) + strings.Repeat("]", jsonx.MaxDepth+1)
	for _, tt := range []struct {
		text string
		want error
	}{
		{`2`, jsonx.ErrSyntax},
		{`20`, jsonx.ErrSyntax},
		{`30`, jsonx.ErrSyntax},
		{`2[`, jsonx.ErrSyntax},
		{`2["event",]`, jsonx.ErrSyntax},
		{`2["event"]]`, jsonx.ErrSyntax},
		{`2["event"]["event"]`, jsonx.ErrSyntax},
		{`2["event",{"a":1,"a":2}]`, jsonx.ErrDuplicate},
		{`2["event","` + "\xff" + `"]`, jsonx.ErrUTF8},
		{`2["event",` + tooDeep + `]`, jsonx.ErrDepth},
		{`2{}`, ErrPayload},
		{`2{"0":"event"}`, ErrPayload},
		{`2"event"`, ErrPayload},
		{`2null`, ErrPayload},
		{`30{}`, ErrPayload},
		{`30null`, ErrPayload},
		{`2[]`, ErrPayload},
		{`2[null]`, ErrPayload},
		{`2[true]`, ErrPayload},
		{`2[{}]`, ErrPayload},
		{`2[["event"]]`, ErrPayload},
		{`2["connect"]`, ErrPayload},
		{`2["connect_error"]`, ErrPayload},
		{`2["disconnect"]`, ErrPayload},
		{`2["disconnecting"]`, ErrPayload},
		{`2["newListener"]`, ErrPayload},
		{`2["removeListener"]`, ErrPayload},
		{`2["dis\u0063onnect"]`, ErrPayload},
		{`51-["disconnect"]`, ErrPayload},
		{`51-["event",{"_placeholder":true,"num":1}]`, ErrAttachments},
		{`61-0[{"_placeholder":true}]`, ErrAttachments},
	} {
		p, err := Parse([]byte(tt.text))
		require.NoError(t, err, tt.text)
		args, err := Arguments(p)
		require.ErrorIs(t, err, tt.want, tt.text)
		require.Nil(t, args, tt.text)
	}
}

func TestReservedEventsAreThoseOfSocketIO(t *testing.T) {
	t.Parallel()
	for _, event := range []string{
		"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
	} {
		require.True(t, Reserved(event), event)
	}
	for _, event := range []string{"", "Connect", "error", "message", "easyrtcAuth", "connection"} {
		require.False(t, Reserved(event), event)
	}
}

func TestPayloadsAreOfTheKindThatTheTypeHas(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want error
	}{
		{"0", nil},
		{"0{}", nil},
		{`0 {"token":"a"}`, nil},
		{"1", nil},
		{`4{"message":"no"}`, nil},
		{`4"no"`, nil},
		{"4", nil},
		{"0[]", ErrPayload},
		{`0"a"`, ErrPayload},
		{"0null", ErrPayload},
		{"0true", ErrPayload},
		{"1{}", ErrPayload},
		{"1null", ErrPayload},
		{"4[]", ErrPayload},
		{"4null", ErrPayload},
		{"0{", jsonx.ErrSyntax},
		{"0{}{}", jsonx.ErrSyntax},
		{"0 ", jsonx.ErrSyntax},
		{`0{"a":1,"a":1}`, jsonx.ErrDuplicate},
		{"4\"\xff\"", jsonx.ErrUTF8},
	} {
		p, err := Parse([]byte(tt.text))
		require.NoError(t, err, tt.text)
		if tt.want == nil {
			require.NoError(t, CheckPayload(p), tt.text)
		} else {
			require.ErrorIs(t, CheckPayload(p), tt.want, tt.text)
		}
	}
}

func TestPlaceholdersStandForAttachments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		attachments int
		data        string
		ok          bool
	}{
		{1, `[]`, true},
		{1, `["event",{"_placeholder":true,"num":0}]`, true},
		{1, `[{"num":0,"_placeholder":true}]`, true},
		{1, "[ { \"_placeholder\" : true , \"num\" : 0 } ]", true},
		{1, "[{\"_placeholder\"\t:\r\ntrue\n,\"num\":0\t}]", true},
		{1, `[{"_placeholder":true,"num":0,"a":[1],"b":{"c":"d"}}]`, true},
		{2, `[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`, true},
		{2, `[{"_placeholder":true,"num":1},{"_placeholder":true,"num":1}]`, true},
		{3, `[{"a":[{"b":{"_placeholder":true,"num":2}}]}]`, true},
		{10, `[{"_placeholder":true,"num":9}]`, true},
		{1, `[{"_placeholder":true,"num":0.0}]`, true},
		{1, `[{"_placeholder":false,"num":5}]`, true},
		{1, `[{"_placeholder":"true"}]`, false}, // old parsers take any value for true
		{1, `[{"_placeholder":false}]`, true},
		{1, `[{"_placeholder":null,"num":"__proto__"}]`, true},
		{1, `[{"_placeholder":1,"num":"__proto__"}]`, false},
		{1, `[{"num":0,"_placeholder":[]}]`, true},
		{1, `[{"_placeholder":1}]`, false},
		{1, `[{"_placeholder":null}]`, true},
		{1, `[{"_placeholder":{"a":true}}]`, false},
		{1, `[{"a":"_placeholder","b":true}]`, true},
		{1, `["_placeholder",true]`, true},
		{1, `[{"placeholder":true}]`, true},
		{1, `["{\"_placeholder\":true}"]`, true},
		{1, `[{"":true,"num":7}]`, true},
		{1, `[{"_placeholder":true,"num":1}]`, false},
		{1, `[{"_placeholder":true,"num":-1}]`, false},
		{1, `[{"_placeholder":true,"num":"0"}]`, false},
		{1, `[{"_placeholder":true,"num":null}]`, false},
		{1, `[{"_placeholder":true,"num":0.5}]`, false},
		{1, `[{"_placeholder":true,"num":1e99}]`, false},
		{1, `[{"_placeholder":true,"num":[0]}]`, false},
		{1, `[{"_placeholder":true,"num":{"num":0}}]`, false},
		{1, `[{"_placeholder":true}]`, false},
		{1, "[{\"_placeholder\":true }]", false},
		{1, "[{ \"_placeholder\" : true\n, \"num\" : 1 }]", false},
		{1, `[{"num":1,"_placeholder":true}]`, false},
		{1, `[{"\u005fplaceholder":true,"num":1}]`, false},
		{1, `[{"a":{"_placeholder":true,"num":1}}]`, false},
		{1, `[[[{"_placeholder":true}]]]`, false},
		{1, `[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, false},
		{1, `[{"_placeholder":true,"num":0,"a":{"_placeholder":true,"num":1}}]`, false},
		{1, `[{"a":{},"_placeholder":true}]`, false},
		{1, `[{"a":[],"_placeholder":true}]`, false},
		{0, `[{"_placeholder":true,"num":0}]`, false},
	} {
		require.True(t, json.Valid([]byte(tt.data)), tt.data)
		err := CheckPlaceholders([]byte(tt.data), tt.attachments)
		if tt.ok {
			require.NoError(t, err, tt.data)
		} else {
			require.ErrorIs(t, err, ErrAttachments, tt.data)
		}
	}
}

// A conn says which version of Engine.IO it speaks, or wraps one that does.
type conn struct {
	transport.Conn
	version engineio.Version
}

func (c conn) EngineIO() engineio.Version { return c.version }

type wrapped struct{ transport.Conn }

func (w wrapped) Unwrap() transport.Conn { return w.Conn }

func TestTheVersionIsThatOfTheConnectionOrOfWhatItWraps(t *testing.T) {
	t.Parallel()
	a, b := transport.Pipe()
	defer a.Close(transport.StatusNormal, "")
	defer b.Close(transport.StatusNormal, "")
	require.Equal(t, 4, Version(a))
	require.Equal(t, 4, Version(wrapped{a}))
	require.Equal(t, 3, Version(conn{a, engineio.V3}))
	require.Equal(t, 3, Version(wrapped{wrapped{conn{a, engineio.V3}}}))
	require.Equal(t, 4, Version(wrapped{conn{a, engineio.V4}}))
}
