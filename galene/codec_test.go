package galene

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text  string
		typ   string
		field string
		want  error
	}{
		"nothing":                      {"", "", "", jsonx.ErrSyntax},
		"white space":                  {" \n\t\r", "", "", jsonx.ErrSyntax},
		"trailing word":                {`{"type":"ping"} x`, "", "", jsonx.ErrSyntax},
		"trailing NUL":                 {"{\"type\":\"ping\"}\x00", "", "", jsonx.ErrSyntax},
		"comment":                      {`/* c */{"type":"ping"}`, "", "", jsonx.ErrSyntax},
		"byte order mark":              {"\ufeff{\"type\":\"ping\"}", "", "", jsonx.ErrSyntax},
		"name without quotes":          {`{type:"ping"}`, "", "", jsonx.ErrSyntax},
		"two lines":                    {"{\"type\":\"ping\"}\n{\"type\":\"ping\"}", "", "", jsonx.ErrSyntax},
		"control character":            {"{\"type\":\"chat\",\"value\":\"\x01\"}", "", "", jsonx.ErrSyntax},
		"invalid UTF-8 in a password":  {"{\"type\":\"join\",\"password\":\"\xff\"}", "", "", jsonx.ErrUTF8},
		"invalid UTF-8 in a value":     {"{\"type\":\"chat\",\"value\":[\"\xff\"]}", "", "", jsonx.ErrUTF8},
		"invalid UTF-8 in a name":      {"{\"type\":\"ping\",\"\xc3\":1}", "", "", jsonx.ErrUTF8},
		"surrogate as UTF-8":           {"{\"type\":\"chat\",\"value\":\"\xed\xa0\x80\"}", "", "", jsonx.ErrUTF8},
		"65 levels":                    {`{"type":"chat","value":` + nestedArrays(64) + `}`, "", "", jsonx.ErrDepth},
		"10,000 levels without an end": {strings.Repeat(`{"a":`, 10_000), "", "", jsonx.ErrDepth},
		"duplicate in a value":         {`{"type":"chat","value":{"a":{"b":1,"b":2}}}`, "", "", jsonx.ErrDuplicate},
		"duplicate in data":            {`{"type":"user","data":{"a":1,"a":2}}`, "", "", jsonx.ErrDuplicate},
		"duplicate in permissions":     {`{"type":"user","permissions":{"op":true,"op":false}}`, "", "", jsonx.ErrDuplicate},
		"list":                         {`[{"type":"ping"}]`, "", "", jsonx.ErrNotObject},
		"no type":                      {`{}`, "", "type", errNoType},
		"null type":                    {`{"type": null }`, "", "type", errNoType},
		"null":                         {` null `, "", "type", errNoType},
		"type of a list":               {`{"type":["ping"]}`, "", "type", jsonx.ErrType},
		"password of an object":        {`{"type":"join","password":{"toString":1}}`, "join", "password", jsonx.ErrType},
		"version of numbers":           {`{"type":"handshake","version":["2",2]}`, "handshake", "version[1]", jsonx.ErrType},
		"status of an unknown message": {`{"type":"acme","status":5}`, "acme", "status", jsonx.ErrType},
		"clients out of range":         {`{"type":"joined","status":{"clientCount":1e300}}`, "joined", "status.clientCount", jsonx.ErrRange},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := Decode([]byte(tt.text))
			require.Nil(t, m)
			e, ok := err.(*DecodeError)
			require.True(t, ok, "%v", err)
			require.ErrorIs(t, e, tt.want)
			require.Equal(t, tt.typ, e.Type)
			require.Equal(t, tt.field, e.Field)
			require.IsType(t, new(DecodeError), Check([]byte(tt.text)))
		})
	}
}

func TestDecodeMatchesNamesExactly(t *testing.T) {
	t.Parallel()
	m, err := Decode([]byte(`{"type":"chat","Type":"ping","value":"a","Value":"b","VALUE":"c","USERNAME":5}`))
	require.NoError(t, err)
	require.Equal(t, &Chat{
		Value: json.RawMessage(`"a"`),
		Extra: Fields{"Type": json.RawMessage(`"ping"`), "Value": json.RawMessage(`"b"`), "VALUE": json.RawMessage(`"c"`), "USERNAME": json.RawMessage(`5`)},
	}, m)

	m, err = Decode([]byte(`{"t\u0079pe":"\u0063hat","v\u0061lue":"\u0061","id":"\u00e9"}`))
	require.NoError(t, err)
	require.Equal(t, &Chat{ID: "é", Value: json.RawMessage(`"\u0061"`)}, m, "an escaped name is the same name")
}

func TestAnAbsentUsernameIsNotAnEmptyOne(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"join", "joined", "user", "chat", "chathistory", "usermessage", "useraction", "groupaction", "offer"} {
		for text, want := range map[string]*string{
			`{"type":"` + typ + `"}`:                   nil,
			`{"type":"` + typ + `","username":null}`:   nil,
			`{"type":"` + typ + `","username":""}`:     new(""),
			`{"type":"` + typ + `","username":"null"}`: new("null"),
		} {
			m, err := Decode([]byte(text))
			require.NoError(t, err)
			require.Equal(t, want, reflect.ValueOf(m).Elem().FieldByName("Username").Interface(), text)
			b, err := Encode(m)
			require.NoError(t, err)
			require.Equal(t, want != nil, strings.Contains(string(b), `"username":`), "%s", b)
		}
	}
}

// Every place that takes any JSON takes as many levels as the message has left.
func TestDecodeTakes64LevelsAndSoDoValidateAndEncode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		before  string
		deepest int
		after   string
	}{
		{`{"type":"chat","value":`, 63, `}`},
		{`{"type":"usermessage","value":`, 63, `}`},
		{`{"type":"groupaction","kind":"lock","value":`, 63, `}`},
		{`{"type":"user","kind":"add","id":"a","data":{"x":`, 62, `}}`},
		{`{"type":"join","kind":"join","username":"a","data":{"x":`, 62, `},"group":"a"}`},
		{`{"type":"joined","kind":"join","status":{"name":"a","z":`, 62, `}}`},
		{`{"type":"joined","kind":"join","rtcConfiguration":{"z":`, 62, `}}`},
		{`{"type":"ice","id":"a","candidate":{"candidate":"","z":`, 62, `}}`},
		{`{"type":"ping","z":`, 63, `}`},
		{`{"type":"acme","z":`, 63, `}`},
	} {
		text := tt.before + nestedArrays(tt.deepest) + tt.after
		m, err := Decode([]byte(text))
		require.NoError(t, err, tt.before)
		require.NoError(t, m.Validate(), tt.before)
		b, err := Encode(m)
		require.NoError(t, err, tt.before)
		require.Equal(t, text, string(b))

		_, err = Decode([]byte(tt.before + nestedArrays(tt.deepest+1) + tt.after))
		require.ErrorIs(t, err, jsonx.ErrDepth, tt.before)
	}
}

func TestDecodeDoesNotKeepTheData(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		want, err := Decode([]byte(v.Wire))
		if err != nil {
			continue
		}
		data := []byte(v.Wire)
		m, err := Decode(data)
		require.NoError(t, err)
		require.Equal(t, v.Wire, string(data), "%s: its argument stays", v.Name)
		clear(data)
		require.Equal(t, want, m, v.Name)
	}
}

// The texts of a message share its memory: what is appended to a value must not run into
// its neighbours.
func TestDecodedMembersDoNotGrowIntoEachOther(t *testing.T) {
	t.Parallel()
	text := []byte(`{"type":"chat","value":{"a":1},"id":"m1","z":[1],"time":"2026-11-20T23:53:46Z"}`)
	m, err := Decode(text)
	require.NoError(t, err)
	want, err := Decode(text)
	require.NoError(t, err)
	chat := m.(*Chat)
	require.NotEmpty(t, append(chat.Value, "overwritten?"...))
	require.NotEmpty(t, append(chat.Extra["z"], "overwritten?"...))
	require.Equal(t, want, m)
}

func TestDecodeErrorSaysWhereAndWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := Decode([]byte(`{"type":"join","group":1}`))
	require.Equal(t, &DecodeError{Type: "join", Field: "group", Err: jsonx.ErrType}, err)
	require.ErrorIs(t, err, jsonx.ErrType)
	require.EqualError(t, err, "galene: decode join: group: wrong JSON type")
	require.EqualError(t, &DecodeError{Err: errTooBig}, "galene: decode: message too big")
	require.EqualError(t, &DecodeError{Type: "chat", Err: errTime}, "galene: decode chat: not a time")
}

func TestErrorsDoNotShowWhatWasDecoded(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, text := range []string{
		`{"type":"join","password":["` + secret + `"]}`,
		`{"type":"join","token":{"` + secret + `":1}}`,
		`{"type":"join","group":1,"password":"` + secret + `"}`,
		`{"type":"join","password":"` + secret,
		`{"type":["` + secret + `"]}`,
		`{"type":"joined","rtcConfiguration":"` + secret + `"}`,
		`{"` + secret + `":1,"` + secret + `":2}`,
		`"` + secret + `"`, secret,
	} {
		_, err := Decode([]byte(text))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), secret)
		require.NotContains(t, fmt.Sprintf("%+v", errors.Unwrap(err)), secret)
	}
}

func TestTooBigMessagesAreRefusedUnreadAndBinaryOnesAreTexts(t *testing.T) {
	t.Parallel()
	text := []byte(`{"type":"ping"}`)
	for _, limit := range []int{len(text), len(text) + 1, 0, -1} {
		for _, typ := range []transport.MessageType{transport.Text, transport.Binary} {
			m, err := decoder(limit, false)(typ, text)
			require.NoError(t, err, limit)
			require.Equal(t, &Ping{}, m)
		}
	}
	m, err := decoder(len(text)-1, false)(transport.Text, text)
	require.Nil(t, m)
	require.ErrorIs(t, err, errTooBig)
	require.IsType(t, new(DecodeError), err)

	old := []byte(`{"type":"chat","value":"x","time":1}`)
	_, err = decoder(0, false)(transport.Text, old)
	require.NoError(t, err)
	_, err = decoder(0, true)(transport.Text, old)
	require.ErrorIs(t, err, jsonx.ErrType, "a server takes no old shapes")
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	one := json.RawMessage("1")
	for name, tt := range map[string]struct {
		message Message
		want    error
	}{ // nothing else is wrong with the messages
		"value that is not JSON":         {&Chat{Value: json.RawMessage(`{`)}, jsonx.ErrSyntax},
		"value of two values":            {&UserMessage{Value: json.RawMessage(`1 2`)}, jsonx.ErrSyntax},
		"value of white space":           {&ChatHistory{Value: json.RawMessage(` `)}, jsonx.ErrSyntax},
		"value with a duplicate":         {&GroupAction{Kind: GroupLock, Value: json.RawMessage(`{"a":1,"a":2}`)}, jsonx.ErrDuplicate},
		"value that nests too deeply":    {&UserAction{Kind: UserKick, Dest: "a", Value: json.RawMessage(nestedArrays(64))}, jsonx.ErrDepth},
		"candidate that is not JSON":     {&ICE{ID: "a", Candidate: json.RawMessage(`{"candidate":""`)}, jsonx.ErrSyntax},
		"configuration that is not JSON": {&Joined{Kind: JoinedJoin, RTCConfiguration: json.RawMessage(`{]`)}, jsonx.ErrSyntax},
		"user data that is not JSON":     {&User{Kind: UserAdd, ID: "a", Data: Fields{"x": json.RawMessage(`x`)}}, jsonx.ErrSyntax},
		"user data too deep":             {&User{Kind: UserAdd, ID: "a", Data: Fields{"x": json.RawMessage(nestedArrays(63))}}, jsonx.ErrDepth},
		"data with a name no UTF-8":      {&Join{Kind: JoinJoin, Group: "a", Username: new(""), Data: Fields{"\xff": one}}, jsonx.ErrUTF8},
		"password not UTF-8":             {&Join{Kind: JoinJoin, Group: "a", Username: new(""), Password: "\xff"}, jsonx.ErrUTF8},
		"user name not UTF-8":            {&Chat{Username: new("\xff")}, jsonx.ErrUTF8},
		"version not UTF-8":              {&Handshake{Version: []string{"2", "\xff"}}, jsonx.ErrUTF8},
		"permission not UTF-8":           {&User{Kind: UserAdd, ID: "a", Permissions: Permissions{"\xff"}}, jsonx.ErrUTF8},
		"label not UTF-8":                {&Request{Request: map[string][]TrackKind{"\xff": nil}}, jsonx.ErrUTF8},
		"track not UTF-8":                {&RequestStream{ID: "a", Request: []TrackKind{"\xff"}}, jsonx.ErrUTF8},
		"label of a track not UTF-8":     {&Offer{ID: "a", SDP: "v=0", Labels: map[string]string{"0": "\xff"}}, jsonx.ErrUTF8},
		"mid not UTF-8":                  {&Offer{ID: "a", SDP: "v=0", Labels: map[string]string{"\xff": ""}}, jsonx.ErrUTF8},
		"name in a status not UTF-8":     {&Joined{Kind: JoinedJoin, Status: &Status{Name: "\xff"}}, jsonx.ErrUTF8},
		"further member of a status":     {&Joined{Kind: JoinedJoin, Status: &Status{Extra: Fields{"name": one}}}, jsonx.ErrDuplicate},
		"type not UTF-8":                 {&Unknown{Type: "\xff"}, jsonx.ErrUTF8},
		"declared member in Extra":       {&Chat{Extra: Fields{"value": one}}, jsonx.ErrDuplicate},
		"type in Extra":                  {&Ping{Extra: Fields{"type": one}}, jsonx.ErrDuplicate},
		"type in an unknown message":     {&Unknown{Type: "a", Extra: Fields{"type": one}}, jsonx.ErrDuplicate},
		"further member too deep":        {&Ping{Extra: Fields{"a": json.RawMessage(nestedArrays(64))}}, jsonx.ErrDepth},
		"name of a further member":       {&Ping{Extra: Fields{"\xff": one}}, jsonx.ErrUTF8},
		"reconnected":                    {&Reconnected{}, errNotOnWire},
		"shared and wrong":               {share(&Chat{Value: json.RawMessage(`{`)}), jsonx.ErrSyntax},
		"candidate not UTF-8":            {NewICE("a", ICECandidateInit{Candidate: "\xff"}), jsonx.ErrUTF8},
		"file name not UTF-8":            {NewFileTransfer("a", &FileTransfer{Type: FileCancel, ID: "f", Name: "\xff"}), jsonx.ErrUTF8},
	} {
		for _, dialect := range []Dialect{DialectV2, DialectV1, Dialect04, DialectDocument} {
			b, err := dialect.Encode(tt.message)
			require.ErrorIs(t, err, tt.want, name)
			require.Nil(t, b, name)
			require.True(t, strings.HasPrefix(err.Error(), "galene: encode "), err)
		}
		_, err := Encode(tt.message)
		require.ErrorIs(t, err, tt.want, name)
		// A driver encodes where nobody waits for an error: what does not encode must
		// not be valid.
		require.IsType(t, new(ValidationError), tt.message.Validate(), name)
	}
}

func TestEncodeOfNothingFails(t *testing.T) {
	t.Parallel()
	for _, dialect := range []Dialect{DialectV2, DialectV1, Dialect04, DialectDocument} {
		b, err := dialect.Encode(nil)
		require.EqualError(t, err, "galene: encode nothing: does not exist on the wire")
		require.Nil(t, b)
		_, err = dialect.Encode(&Reconnected{})
		require.EqualError(t, err, "galene: encode reconnected: does not exist on the wire")
	}
	_, err := Encode(nil)
	require.ErrorIs(t, err, errNotOnWire)
}

func TestASharedMessageIsEncodedOnceAndAsItIs(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		m, err := Decode([]byte(v.Wire))
		if err != nil || v.unwritable != "" {
			continue
		}
		s := share(m)
		require.Equal(t, m.wireType(), s.wireType())
		require.Equal(t, name(m), name(s))
		for range 2 {
			b, err := Encode(s)
			require.NoError(t, err)
			require.Equal(t, v.Encoded, string(b), v.Name)
		}
	}
	chat := &Chat{Value: json.RawMessage(`1`)}
	s := share(chat)
	before, err := s.append(nil)
	require.NoError(t, err)
	chat.Value = json.RawMessage(`2`)
	after, err := s.append([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, "x"+string(before), string(after))
}

func TestEncodeWritesTheMembersInTheirOrder(t *testing.T) {
	t.Parallel()
	extra := Fields{"z": json.RawMessage("2"), "b": json.RawMessage("1")}
	for want, m := range map[string]Message{
		`{"type":"ping"}`:             &Ping{},
		`{"type":"pong","b":1,"z":2}`: &Pong{Extra: extra},
		`{"type":"ping","e":null}`:    &Ping{Extra: Fields{"e": nil}},
		`{"type":"handshake"}`:        &Handshake{Extra: Fields{}},
		`{"type":"handshake","version":["2"],"id":"a","b":1,"z":2}`:                             &Handshake{Version: []string{Version}, ID: "a", Extra: extra},
		`{"type":"join","kind":"","group":""}`:                                                  &Join{},
		`{"type":"joined","kind":""}`:                                                           &Joined{},
		`{"type":"joined","kind":"","status":{"name":""}}`:                                      &Joined{Status: &Status{}},
		`{"type":"joined","kind":"","status":{"name":"","clientCount":0,"b":1,"z":2}}`:          &Joined{Status: &Status{ClientCount: new(0), Extra: extra}},
		`{"type":"user","kind":"","id":""}`:                                                     &User{Initial: true},
		`{"type":"chat"}`:                                                                       &Chat{},
		`{"type":"chathistory"}`:                                                                &ChatHistory{},
		`{"type":"usermessage"}`:                                                                &UserMessage{},
		`{"type":"useraction","kind":""}`:                                                       &UserAction{},
		`{"type":"groupaction","kind":""}`:                                                      &GroupAction{},
		`{"type":"request"}`:                                                                    &Request{},
		`{"type":"request","request":{}}`:                                                       &Request{Request: map[string][]TrackKind{}},
		`{"type":"request","request":{"":[],"a":["audio"],"b":[]}}`:                             &Request{Request: map[string][]TrackKind{"a": {TrackAudio}, "b": nil, "": {}}},
		`{"type":"requestStream","id":""}`:                                                      &RequestStream{},
		`{"type":"requestStream","id":"a","request":[]}`:                                        &RequestStream{ID: "a", Request: []TrackKind{}},
		`{"type":"offer","id":"","sdp":""}`:                                                     &Offer{},
		`{"type":"offer","id":"a","sdp":"","labels":{"0":"b","1":""}}`:                          &Offer{ID: "a", Labels: map[string]string{"1": "", "0": "b"}},
		`{"type":"answer","id":"","sdp":""}`:                                                    &Answer{},
		`{"type":"ice","id":""}`:                                                                &ICE{},
		`{"type":"renegotiate","id":""}`:                                                        &Renegotiate{},
		`{"type":"close","id":""}`:                                                              &Close{},
		`{"type":"abort","id":"","b":1,"z":2}`:                                                  &Abort{Extra: extra},
		`{"type":"acme","b":1,"z":2}`:                                                           &Unknown{Type: "acme", Extra: extra},
		`{"type":"ping","id":1}`:                                                                &Unknown{Type: "ping", Extra: Fields{"id": json.RawMessage("1")}},
		`{"type":"usermessage","kind":"token","privileged":true,"value":null}`:                  &UserMessage{Kind: "token", Privileged: true, Value: json.RawMessage("null")},
		`{"type":"chat","value":"<&>","noecho":true,"time":"2026-11-20T23:53:46Z","b":1,"z":2}`: &Chat{Value: NewText("<&>"), NoEcho: true, Time: "2026-11-20T23:53:46Z", Extra: extra},
	} {
		b, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
}

// A null in place of an array breaks programs that loop over it.
func TestEncodingNeverWritesNullForAnArrayOrAnObject(t *testing.T) {
	t.Parallel()
	for typ, construct := range registry {
		for _, fill := range []func(reflect.Value){
			func(v reflect.Value) { v.SetZero() },
			func(v reflect.Value) {
				if v.Kind() == reflect.Slice {
					v.Set(reflect.MakeSlice(v.Type(), 0, 0))
				} else {
					v.Set(reflect.MakeMap(v.Type()))
				}
			},
		} {
			m := construct()
			value := reflect.ValueOf(m).Elem()
			for _, f := range value.Fields() {
				if f.Kind() == reflect.Map || f.Kind() == reflect.Slice && f.Type() != reflect.TypeFor[json.RawMessage]() {
					fill(f)
				}
			}
			if r, ok := m.(*Request); ok {
				r.Tracks = nil
			}
			for _, dialect := range []Dialect{DialectV2, DialectV1, DialectDocument} {
				b, err := dialect.Encode(m)
				require.NoError(t, err, typ)
				require.NotContains(t, string(b), "null")
			}
		}
	}
	for _, v := range []json.RawMessage{
		value(&Token{}), value(&TokenRequest{}), value(&ClearChat{}), value(&UserInfo{}), value(&FileTransfer{}),
		value(&RTCConfiguration{}), value(&ICEServer{}),
	} {
		require.NotContains(t, string(v), "null")
	}
}

func TestEncodeDoesNotEscapeForHTML(t *testing.T) {
	t.Parallel()
	b, err := Encode(&Offer{ID: "<a&b>", SDP: "\u2028é😀\x7f\n"})
	require.NoError(t, err)
	require.Equal(t, "{\"type\":\"offer\",\"id\":\"<a&b>\",\"sdp\":\"\u2028é😀\x7f\\n\"}", string(b))
}

func TestEncodeDoesNotChangeTheMessage(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		m, err := Decode([]byte(v.Wire))
		if err != nil {
			continue
		}
		same, err := Decode([]byte(v.Wire))
		require.NoError(t, err)
		for _, dialect := range []Dialect{DialectV2, DialectV1, Dialect04, DialectDocument} {
			b, err := dialect.Encode(m)
			if err == nil {
				clear(b)
			}
			require.Equal(t, same, m, "%s in %s", v.Name, dialect)
		}
	}
}

// size only saves growing the buffer, so it may be too small, but not for what is large.
func TestSizeCoversTheLargeMembers(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("a", 10_000)
	for _, m := range []Message{
		&Offer{SDP: large}, &Answer{SDP: large}, &Chat{Value: NewText(large)}, &ChatHistory{Value: NewText(large)},
		&UserMessage{Value: NewText(large)}, &UserAction{Value: NewText(large)}, &GroupAction{Value: NewText(large)},
		NewICE("a", ICECandidateInit{Candidate: large}),
		&Joined{RTCConfiguration: NewText(large)}, share(&Offer{SDP: large}),
	} {
		require.GreaterOrEqual(t, size(m), len(large), "%T", m)
	}
}
