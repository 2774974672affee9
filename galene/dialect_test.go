package galene

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

func TestDialectsHaveNames(t *testing.T) {
	t.Parallel()
	for dialect, want := range map[Dialect]string{
		DialectV2: "2", DialectV1: "1", Dialect04: "0.4", DialectDocument: "document", 4: "state(4)", -1: "state(-1)",
	} {
		require.Equal(t, want, dialect.String())
	}
	require.Equal(t, DialectV2, Dialect(0), "the default")
}

func TestDialectEncodesAsItsTimeDid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		message Message
		want    map[Dialect]string
	}{
		{&User{Kind: UserAdd, ID: "a", Username: new(""), Permissions: Permissions{"present", "op", "present"}, Data: Fields{"b": json.RawMessage("1")}}, map[Dialect]string{
			DialectV2:       `{"type":"user","kind":"add","id":"a","username":"","permissions":["present","op","present"],"data":{"b":1}}`,
			DialectV1:       `{"type":"user","kind":"add","id":"a","permissions":["present","op","present"],"data":{"b":1}}`,
			Dialect04:       `{"type":"user","kind":"add","id":"a","permissions":{"op":true,"present":true},"status":{"b":1}}`,
			DialectDocument: `{"type":"user","kind":"add","id":"a","permissions":{"op":true,"present":true},"status":{"b":1}}`,
		}},
		{&User{Kind: UserAdd, ID: "a"}, map[Dialect]string{
			DialectV2:       `{"type":"user","kind":"add","id":"a"}`,
			DialectV1:       `{"type":"user","kind":"add","id":"a"}`,
			Dialect04:       `{"type":"user","kind":"add","id":"a","permissions":{},"status":null}`,
			DialectDocument: `{"type":"user","kind":"add","id":"a","permissions":{}}`,
		}},
		{&User{Kind: UserChange, ID: "a", Data: Fields{}}, map[Dialect]string{
			DialectV2: `{"type":"user","kind":"change","id":"a"}`,
			Dialect04: `{"type":"user","kind":"change","id":"a","permissions":{},"status":{}}`,
		}},
		{&User{Kind: UserDelete, ID: "a"}, map[Dialect]string{
			Dialect04:       `{"type":"user","kind":"delete","id":"a","permissions":{}}`,
			DialectDocument: `{"type":"user","kind":"delete","id":"a","permissions":{}}`,
		}},
		{&User{Kind: UserAdd, ID: "a", Data: Fields{"b": json.RawMessage("1")}, Extra: Fields{"status": json.RawMessage(`{"c":2}`)}}, map[Dialect]string{
			Dialect04: `{"type":"user","kind":"add","id":"a","data":{"b":1},"status":{"c":2},"permissions":{}}`,
		}},
		{&Joined{Kind: JoinedJoin, Username: new(""), Group: "a", Status: &Status{Name: "a"}, Data: Fields{"b": json.RawMessage("1")}}, map[Dialect]string{
			DialectV2:       `{"type":"joined","kind":"join","username":"","status":{"name":"a"},"data":{"b":1},"group":"a"}`,
			DialectV1:       `{"type":"joined","kind":"join","status":{"name":"a"},"data":{"b":1},"group":"a"}`,
			Dialect04:       `{"type":"joined","kind":"join","status":{"name":"a"},"data":{"b":1},"group":"a","permissions":{}}`,
			DialectDocument: `{"type":"joined","kind":"join","status":{"name":"a"},"data":{"b":1},"group":"a","permissions":{}}`,
		}},
		{&Join{Kind: JoinJoin, Username: new(""), Group: "a"}, map[Dialect]string{ // a client says it is anonymous
			DialectV2: `{"type":"join","kind":"join","username":"","group":"a"}`,
			DialectV1: `{"type":"join","kind":"join","username":"","group":"a"}`,
		}},
		{&Chat{Value: NewText("x"), Time: "2021-04-28T14:25:45.123+02:00"}, map[Dialect]string{
			DialectV2:       `{"type":"chat","value":"x","time":"2021-04-28T14:25:45.123+02:00"}`,
			DialectV1:       `{"type":"chat","value":"x","time":1619612745123}`,
			Dialect04:       `{"type":"chat","value":"x","time":1619612745123}`,
			DialectDocument: `{"type":"chat","value":"x","time":1619612745123}`,
		}},
		{&UserAction{Kind: UserSetData, Dest: "a", Value: json.RawMessage(`{"b":1}`)}, map[Dialect]string{
			DialectV2:       `{"type":"useraction","kind":"setdata","dest":"a","value":{"b":1}}`,
			DialectV1:       `{"type":"useraction","kind":"setdata","dest":"a","value":{"b":1}}`,
			Dialect04:       `{"type":"useraction","kind":"setstatus","dest":"a","value":{"b":1}}`,
			DialectDocument: `{"type":"useraction","kind":"setstatus","dest":"a","value":{"b":1}}`,
		}},
		{&Request{Tracks: Fields{"video": json.RawMessage("500000"), "audio": json.RawMessage("true")}, Extra: Fields{"z": json.RawMessage("1")}}, map[Dialect]string{
			DialectDocument: `{"type":"request","z":1,"request":{"audio":true,"video":500000}}`,
		}},
		{&Request{Tracks: Fields{}}, map[Dialect]string{DialectDocument: `{"type":"request","request":{}}`}},
		{&Offer{ID: "a", SDP: "v=0", Label: "camera", Labels: map[string]string{"0": "audio"}}, map[Dialect]string{
			DialectV2:       `{"type":"offer","id":"a","sdp":"v=0","label":"camera","labels":{"0":"audio"}}`,
			DialectDocument: `{"type":"offer","id":"a","sdp":"v=0","label":"camera","labels":{"0":"audio"}}`,
		}},
		{&Ping{Extra: Fields{"time": json.RawMessage(`"soon"`), "permissions": json.RawMessage(`["b","a"]`), "username": json.RawMessage(`""`)}}, map[Dialect]string{
			DialectDocument: `{"type":"ping","permissions":["b","a"],"time":"soon","username":""}`, // which are not its members
		}},
		{&Unknown{Type: "acme", Extra: Fields{"a\n": json.RawMessage(` [1]`)}}, map[Dialect]string{
			DialectV2:       `{"type":"acme","a\n": [1]}`,
			DialectDocument: `{"type":"acme","a\n":[1]}`,
		}},
	} {
		for dialect, want := range tt.want {
			b, err := dialect.Encode(tt.message)
			require.NoError(t, err, dialect)
			require.Equal(t, want, string(b), dialect)
			_, err = Decode(b)
			require.NoError(t, err, dialect)
			b, err = dialect.Encode(share(tt.message))
			require.NoError(t, err, dialect)
			require.Equal(t, want, string(b), dialect)
		}
	}
}

func TestADialectWithNumbersForTimesRefusesWhatIsNoTime(t *testing.T) {
	t.Parallel()
	m := &Chat{Value: NewText("x"), Time: "yesterday"}
	_, err := Encode(m)
	require.NoError(t, err)
	for _, dialect := range []Dialect{DialectV1, Dialect04, DialectDocument} {
		b, err := dialect.Encode(m)
		require.EqualError(t, err, "galene: encode chat: time: not a time")
		require.Nil(t, b)
	}
}

func TestTracksDoNotExistToday(t *testing.T) {
	t.Parallel()
	_, err := Encode(&Request{Tracks: Fields{"audio": json.RawMessage("true")}})
	require.EqualError(t, err, "galene: encode request: tracks exist in the dialect of the protocol document only")
	_, err = DialectDocument.Encode(&Request{Tracks: Fields{"audio": json.RawMessage("yes")}})
	require.ErrorIs(t, err, jsonx.ErrSyntax)
}

func TestOldShapesAreReadIntoTheMessagesOfToday(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Message{
		`{"type":"joined","kind":"join","permissions":{"op":true,"record":false,"present":true}}`: &Joined{Kind: JoinedJoin, Permissions: Permissions{"op", "present"}},
		`{"type":"user","kind":"add","id":"a","permissions":{}}`:                                  &User{Kind: UserAdd, ID: "a", Permissions: Permissions{}},
		`{"type":"user","kind":"add","id":"a","status":{"b":1}}`:                                  &User{Kind: UserAdd, ID: "a", Data: Fields{"b": json.RawMessage("1")}},
		`{"type":"user","kind":"add","id":"a","status":null}`:                                     &User{Kind: UserAdd, ID: "a"},
		`{"type":"user","kind":"add","id":"a","data":{"b":1},"status":{"c":2}}`:                   &User{Kind: UserAdd, ID: "a", Data: Fields{"b": json.RawMessage("1")}, Extra: Fields{"status": json.RawMessage(`{"c":2}`)}},
		`{"type":"chat","time":1619612745123}`:                                                    &Chat{Time: "2021-04-28T12:25:45.123Z"},
		`{"type":"chat","time":1619612745000,"value":{"time":1,"permissions":{"op":true}}}`:       &Chat{Time: "2021-04-28T12:25:45.000Z", Value: json.RawMessage(`{"time":1,"permissions":{"op":true}}`)},
		`{"type":"request","request":{"audio":true,"video":500000}}`:                              &Request{Tracks: Fields{"audio": json.RawMessage("true"), "video": json.RawMessage("500000")}},
		`{"type":"request","request":{}}`:                                                         &Request{Request: map[string][]TrackKind{}},
		`{"type":"offer","id":"a","sdp":"b","labels":{"0":"audio"}}`:                              &Offer{ID: "a", SDP: "b", Labels: map[string]string{"0": "audio"}},
		`{"type":"ping","permissions":{"op":true},"time":5,"status":{"a":1}}`: &Ping{Extra: Fields{
			"permissions": json.RawMessage(`{"op":true}`), "time": json.RawMessage("5"), "status": json.RawMessage(`{"a":1}`),
		}},
		`{"type":"chat","permissions":null,"kind":null,"z":null}`: &Chat{Extra: Fields{"permissions": json.RawMessage("null"), "z": json.RawMessage("null")}},
	} {
		m, err := Decode([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, m, text)
	}
}

// A server of today cannot know what they mean, and the real one closes the connection.
func TestCheckRefusesOldShapes(t *testing.T) {
	t.Parallel()
	for text, field := range map[string]string{
		`{"type":"user","kind":"add","id":"a","permissions":{}}`: "permissions",
		`{"type":"chat","time":1619612745123}`:                   "time",
		`{"type":"chat","time":-1}`:                              "time",
		`{"type":"request","request":{"audio":true}}`:            "request.audio",
		`{"type":"request","request":{"audio":0}}`:               "request.audio",
		`{"type":"acme","time":0}`:                               "time",
	} {
		_, err := Decode([]byte(text))
		require.NoError(t, err, text)
		err = Check([]byte(text))
		require.ErrorIs(t, err, jsonx.ErrType, text)
		require.Equal(t, field, err.(*DecodeError).Field, text)
	}
	for _, text := range []string{
		`{"type":"user","kind":"add","id":"a","status":{"b":1}}`, // ignored
		`{"type":"offer","id":"a","sdp":"b","labels":{"0":"audio"}}`,
		`{"type":"joined","version":null}`,
	} {
		require.NoError(t, Check([]byte(text)), text)
	}
}
