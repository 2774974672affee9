package msejsonrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

func nestedArrays(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// documentText returns an example of the protocol document.
func documentText(tb testing.TB, name string) string {
	tb.Helper()
	for _, v := range readVectors(tb) {
		if v.Name == "document-"+name+"/1" {
			return v.Wire
		}
	}
	require.Fail(tb, "no such example", name)
	return ""
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text  string
		typ   string
		field string
		code  ErrorCode
		want  error
	}{
		"white space":                  {" \n\t\r", "", "", CodeParseError, jsonx.ErrSyntax},
		"trailing word":                {`{"id":1,"method":"ping","jsonrpc":"2.0"} x`, "", "", CodeParseError, jsonx.ErrSyntax},
		"trailing NUL":                 {"{\"id\":1,\"method\":\"ping\",\"jsonrpc\":\"2.0\"}\x00", "", "", CodeParseError, jsonx.ErrSyntax},
		"comment":                      {`/* c */{"id":1,"method":"ping","jsonrpc":"2.0"}`, "", "", CodeParseError, jsonx.ErrSyntax},
		"byte order mark":              {"\ufeff{\"id\":1,\"method\":\"ping\",\"jsonrpc\":\"2.0\"}", "", "", CodeParseError, jsonx.ErrSyntax},
		"name without quotes":          {`{id:1}`, "", "", CodeParseError, jsonx.ErrSyntax},
		"two lines":                    {"{\"method\":\"disconnect\",\"jsonrpc\":\"2.0\"}\n{\"method\":\"disconnect\",\"jsonrpc\":\"2.0\"}", "", "", CodeParseError, jsonx.ErrSyntax},
		"invalid UTF-8 in a token":     {"{\"id\":1,\"method\":\"auth\",\"jsonrpc\":\"2.0\",\"params\":{\"token\":\"\xff\"}}", "", "", CodeParseError, jsonx.ErrUTF8},
		"invalid UTF-8 in an id":       {"{\"id\":\"\xff\",\"method\":\"ping\",\"jsonrpc\":\"2.0\"}", "", "", CodeParseError, jsonx.ErrUTF8},
		"invalid UTF-8 in a name":      {"{\"id\":1,\"method\":\"ping\",\"jsonrpc\":\"2.0\",\"\xc3\":1}", "", "", CodeParseError, jsonx.ErrUTF8},
		"surrogate as UTF-8":           {"{\"id\":1,\"result\":\"\xed\xa0\x80\",\"jsonrpc\":\"2.0\"}", "", "", CodeParseError, jsonx.ErrUTF8},
		"65 levels":                    {`{"id":1,"jsonrpc":"2.0","result":` + nestedArrays(64) + `}`, "", "", CodeInvalidObject, jsonx.ErrDepth},
		"10,000 levels without an end": {strings.Repeat(`{"a":`, 10_000), "", "", CodeParseError, jsonx.ErrDepth},
		"duplicate and then a cut":     {`{"id":1,"id":1,"method":"ping`, "", "", CodeParseError, jsonx.ErrDuplicate},
		"duplicate in an attachment":   {`{"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"","attachment":{"a":{"b":1,"b":2}}}}`, "", "", CodeInvalidObject, jsonx.ErrDuplicate},
		"duplicate in error data":      {`{"id":1,"jsonrpc":"2.0","error":{"code":1,"data":{"a":1,"a":1}}}`, "", "", CodeInvalidObject, jsonx.ErrDuplicate},
		"token of an object":           {`{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":{"toString":1}}}`, "auth", "params.token", CodeInvalidParams, jsonx.ErrType},
		"user id of a number":          {`{"id":1,"method":"chat","jsonrpc":"2.0","params":{"to":["a",1]}}`, "chat", "params.to[1]", CodeInvalidParams, jsonx.ErrType},
		"error code of a string":       {`{"id":1,"jsonrpc":"2.0","error":{"code":"1"}}`, "response", "error.code", CodeInvalidObject, jsonx.ErrType},
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
			require.Equal(t, tt.code, e.Code)
		})
	}
}

func TestDecodeMatchesNamesExactlyAtEveryLevel(t *testing.T) {
	t.Parallel()
	m, err := Decode([]byte(`{"id":1,"method":"auth","jsonrpc":"2.0","ID":2,"Method":"ping","JsonRPC":"1.0",` +
		`"params":{"token":"a","Token":"b","TOKEN":"c","version":"1.0"}}`))
	require.NoError(t, err)
	require.Equal(t, &Auth{
		ID: NumberID(1), Token: "a", Version: "1.0",
		Extra:    Fields{"Token": json.RawMessage(`"b"`), "TOKEN": json.RawMessage(`"c"`)},
		Envelope: Fields{"ID": json.RawMessage(`2`), "Method": json.RawMessage(`"ping"`), "JsonRPC": json.RawMessage(`"1.0"`)},
	}, m)

	m, err = Decode([]byte(`{"id":1,"jsonrpc":"2.0","error":{"code":1,"message":"a","Message":"b","DATA":null},"Result":1}`))
	require.NoError(t, err)
	require.Equal(t, &Response{
		ID:    NumberID(1),
		Error: &Error{Code: 1, Message: "a", Extra: Fields{"Message": json.RawMessage(`"b"`), "DATA": json.RawMessage(`null`)}},
		Extra: Fields{"Result": json.RawMessage(`1`)},
	}, m)

	m, err = Decode([]byte(`{"m\u0065thod":"\u0061uth","id":1,"jsonrpc":"2.0","params":{"t\u006fken":"\u0061","version":"1.0"}}`))
	require.NoError(t, err)
	require.Equal(t, &Auth{ID: NumberID(1), Token: "a", Version: "1.0"}, m, "an escaped name is the same name")
}

// Every place that takes any JSON takes as many levels as the message has left.
func TestDecodeTakes64LevelsAndSoDoValidateAndEncode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		before  string
		deepest int
		after   string
	}{
		{`{"id":1,"jsonrpc":"2.0","result":`, 63, `}`},
		{`{"id":1,"jsonrpc":"2.0","error":{"code":1,"message":"","data":`, 62, `}}`},
		{`{"id":1,"jsonrpc":"2.0","error":{"code":1,"message":"","z":`, 62, `}}`},
		{`{"id":1,"method":"ping","jsonrpc":"2.0","z":`, 63, `}`},
		{`{"id":1,"method":"ping","jsonrpc":"2.0","params":{"z":`, 62, `}}`},
		{`{"id":1,"method":"acme","jsonrpc":"2.0","params":`, 63, `}`},
		{`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"","attachment":`, 62, `}}`},
		{`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"sdp":"a","z":`, 61, `}}}`},
		{`{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":{"z":`, 61, `}}}`},
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

func TestDecodeKeepsALargeOfferByteForByte(t *testing.T) {
	t.Parallel()
	offer := `{ "sdp" : "` + strings.Repeat(`a=\u0061é\r\n`, 200<<10/14) + `" }`
	text := `{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":` + offer + `}}`
	m, err := Decode([]byte(text))
	require.NoError(t, err)
	require.Equal(t, offer, string(m.(*SDPOffer).Offer))
	b, err := Encode(m)
	require.NoError(t, err)
	require.Equal(t, text, string(b))
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
		clear(data)
		require.Equal(t, want, m, v.Name)
	}
}

// Results have room in the message that they came with: one must not grow into another.
func TestDecodedResultsDoNotShareMemory(t *testing.T) {
	t.Parallel()
	var all []*Response
	for _, result := range []string{`"pong"`, `"authenticated"`, `"started"`, `{"a":"longer than any of the texts"}`, `1`} {
		m, err := Decode([]byte(`{"id":1,"jsonrpc":"2.0","result":` + result + `}`))
		require.NoError(t, err)
		all = append(all, m.(*Response))
		require.Equal(t, result, string(all[len(all)-1].Result))
	}
	for _, r := range all {
		before := string(r.Result)
		_ = append(r.Result, "overwritten?"...)
		require.Equal(t, before, string(r.Result))
	}
	require.Equal(t, `"authenticated"`, string(all[1].Result))
	require.Equal(t, `1`, string(all[4].Result))
}

func TestErrorsDoNotShowWhatWasDecoded(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, text := range []string{
		`{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":["` + secret + `"]}}`,
		`{"id":1,"method":"auth","jsonrpc":"2.0","params":"` + secret + `"}`,
		`{"id":1,"method":"auth","jsonrpc":"2.0","params":["` + secret + `","1.0"]}`,
		`{"id":1,"method":"auth","jsonrpc":"` + secret + `","params":{"token":"` + secret + `"}}`,
		`{"id":{"` + secret + `":1},"method":"auth","jsonrpc":"2.0"}`,
		`{"` + secret + `":1,"` + secret + `":2}`,
		`{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"` + secret,
		`{"id":1,"jsonrpc":"2.0","error":{"code":"` + secret + `"}}`,
		`"` + secret + `"`, secret,
	} {
		_, err := Decode([]byte(text))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), secret)
		require.NotContains(t, fmt.Sprintf("%+v", errors.Unwrap(err)), secret)
	}
}

func TestDecodeErrorUnwrapsToWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := Decode([]byte(`{"id":9,"method":"auth","jsonrpc":"2.0","params":{"token":1}}`))
	require.Equal(t, &DecodeError{Type: "auth", Field: "params.token", Err: jsonx.ErrType, ID: NumberID(9), Code: CodeInvalidParams}, err)
	require.ErrorIs(t, err, jsonx.ErrType)
}

func TestRule17BinaryAndTooBigMessagesAreRefusedUnread(t *testing.T) {
	t.Parallel()
	text := []byte(`{"id":1,"method":"ping","jsonrpc":"2.0"}`)
	for _, limit := range []int{len(text), len(text) + 1, 0, -1} {
		m, err := decoder(limit)(transport.Text, text)
		require.NoError(t, err, limit)
		require.Equal(t, &Ping{ID: NumberID(1)}, m)
	}
	m, err := decoder(len(text)-1)(transport.Text, text)
	require.Nil(t, m)
	require.ErrorIs(t, err, errTooBig)
	require.IsType(t, new(DecodeError), err)

	m, err = decoder(-1)(transport.Binary, text)
	require.Nil(t, m)
	require.ErrorIs(t, err, errBinary)
	require.IsType(t, new(DecodeError), err)
	_, err = decoder(1)(transport.Binary, text)
	require.ErrorIs(t, err, errBinary, "what it is comes before its size")
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	one, id := json.RawMessage("1"), NumberID(1) // nothing else is wrong with the messages
	for name, tt := range map[string]struct {
		message Message
		want    error
	}{
		"offer that is not JSON":            {&SDPOffer{Offer: json.RawMessage(`{`)}, jsonx.ErrSyntax},
		"candidate of two values":           {&ICECandidate{Candidate: json.RawMessage(`1 2`)}, jsonx.ErrSyntax},
		"attachment with a duplicate":       {&Chat{Attachment: json.RawMessage(`{"a":1,"a":2}`)}, jsonx.ErrDuplicate},
		"token not UTF-8":                   {&Auth{ID: id, Token: "\xff", Version: Version}, jsonx.ErrUTF8},
		"user id not UTF-8":                 {&Chat{To: []string{"a", "\xff"}}, jsonx.ErrUTF8},
		"method not UTF-8":                  {&Unknown{Type: "\xff"}, jsonx.ErrUTF8},
		"declared member in params":         {&Auth{ID: id, Token: "t", Version: Version, Extra: Fields{"token": one}}, jsonx.ErrDuplicate},
		"params in the envelope":            {&Ping{ID: id, Envelope: Fields{"params": one}}, jsonx.ErrDuplicate},
		"method in the envelope":            {&Ping{ID: id, Envelope: Fields{"method": one}}, jsonx.ErrDuplicate},
		"jsonrpc in an unknown message":     {&Unknown{Type: "a", Extra: Fields{"jsonrpc": one}}, jsonx.ErrDuplicate},
		"result that is not JSON":           {&Response{ID: id, Result: json.RawMessage(`pong`)}, jsonx.ErrSyntax},
		"result that is empty":              {&Response{ID: id, Result: json.RawMessage{}}, jsonx.ErrSyntax},
		"error in a response's Extra":       {&Response{ID: id, Result: one, Extra: Fields{"error": one}}, jsonx.ErrDuplicate},
		"method in a response's Extra":      {&Response{ID: id, Result: one, Extra: Fields{"method": json.RawMessage(`"ping"`)}}, jsonx.ErrDuplicate},
		"error message not UTF-8":           {&Response{ID: id, Error: &Error{Message: "\xff"}}, jsonx.ErrUTF8},
		"error data that is not JSON":       {&Response{ID: id, Error: &Error{Data: json.RawMessage(`}`)}}, jsonx.ErrSyntax},
		"declared member in error's Extra":  {&Response{ID: id, Error: &Error{Extra: Fields{"code": one}}}, jsonx.ErrDuplicate},
		"result that nests too deeply":      {&Response{ID: id, Result: json.RawMessage(nestedArrays(64))}, jsonx.ErrDepth},
		"error data that nests too deeply":  {&Response{ID: id, Error: &Error{Data: json.RawMessage(nestedArrays(63))}}, jsonx.ErrDepth},
		"attachment that nests too deeply":  {&Chat{Attachment: json.RawMessage(nestedArrays(63))}, jsonx.ErrDepth},
		"further member that is too deep":   {&Ping{ID: id, Extra: Fields{"a": json.RawMessage(nestedArrays(63))}}, jsonx.ErrDepth},
		"envelope member that is too deep":  {&Ping{ID: id, Envelope: Fields{"a": json.RawMessage(nestedArrays(64))}}, jsonx.ErrDepth},
		"offer of white space":              {&SDPOffer{Offer: json.RawMessage(" ")}, jsonx.ErrSyntax},
		"name of a further member no UTF-8": {&Ping{ID: id, Extra: Fields{"\xff": one}}, jsonx.ErrUTF8},
		"reconnected":                       {&Reconnected{}, errNotOnWire},
	} {
		b, err := Encode(tt.message)
		require.ErrorIs(t, err, tt.want, name)
		require.Nil(t, b, name)
		require.True(t, strings.HasPrefix(err.Error(), "msejsonrpc: encode "), err)
		// A driver encodes where nobody waits for an error: what does not encode must
		// not be valid.
		require.IsType(t, new(ValidationError), tt.message.Validate(), name)
	}
}

// Some of these would encode, but not to what they are.
func TestValidateRefusesWhatWouldDecodeAsSomethingElse(t *testing.T) {
	t.Parallel()
	one, pong := json.RawMessage("1"), json.RawMessage(`"pong"`)
	for _, tt := range []struct {
		want    string
		message Message
	}{
		{"ping: method: is a known method: use its struct", &Unknown{Type: "ping", ID: NumberID(1)}},
		{"unknown: method: missing", &Unknown{}},
		{"response: result: neither a result nor an error", &Response{ID: NumberID(1)}},
		{"response: result: both a result and an error", &Response{ID: NumberID(1), Result: one, Error: ErrParse}},
		{"response: id: a result needs one", &Response{Result: pong}},
		{"ping: id: a request needs one", &Ping{ID: AbsentID}},
		{"chat: params.to[0]: missing", &Chat{To: []string{""}}},
		{"sdpOffer: params.offer: empty", &SDPOffer{Offer: json.RawMessage(`""`)}},
		{"ping: params.a: missing", &Ping{ID: NumberID(1), Extra: Fields{"a": nil}}},
		{"disconnect: id: " + jsonx.ErrDeclared.Error(), &Disconnect{Envelope: Fields{"id": one}}},
		{"auth: params.token: " + jsonx.ErrDeclared.Error(), &Auth{ID: NumberID(1), Token: "t", Version: "1.0", Extra: Fields{"token": one}}},
		{"response: error.code: " + jsonx.ErrDeclared.Error(), &Response{Error: &Error{Extra: Fields{"code": one}}}},
		{"reconnected: method: does not exist on the wire", &Reconnected{}},
		{"acme: params: neither an object nor an array", &Unknown{Type: "acme", Extra: Fields{"params": json.RawMessage(`"a"`)}}},
		{"iceCandidate: params.candidate.sdpMLineIndex: number out of range", &ICECandidate{Candidate: json.RawMessage(`{"sdpMLineIndex":70000}`)}},
		{"sdpOffer: params.offer.type: " + errDescriptionType.Error(), &SDPOffer{Offer: json.RawMessage(`{"type":"x","sdp":"a"}`)}},
		{"chat: params.attachment: " + jsonx.ErrSyntax.Error(), &Chat{Attachment: json.RawMessage(` `)}},
		{"response: error.message: " + jsonx.ErrUTF8.Error(), &Response{Error: &Error{Message: "\xff"}}},
		{"auth: params.version: " + jsonx.ErrUTF8.Error(), &Auth{ID: NumberID(1), Token: "t", Version: "\xff"}},
		{"iceCandidate: params.candidate: " + errMissing.Error(), &ICECandidate{Candidate: json.RawMessage(" \n")}},
		{"sdpOffer: params.offer: " + jsonx.ErrDepth.Error(), &SDPOffer{Offer: json.RawMessage(`{"sdp":"a","x":` + nestedArrays(62) + `}`)}},
		{"iceCandidate: params.candidate: " + jsonx.ErrDepth.Error(), &ICECandidate{Candidate: json.RawMessage(`{"x":` + nestedArrays(62) + `}`)}},
		{"iceCandidate: params.candidate: " + jsonx.ErrDuplicate.Error(), &ICECandidate{Candidate: json.RawMessage(`{"x":1,"x":1}`)}},
		{"sdpOffer: params.offer: " + jsonx.ErrSyntax.Error(), &SDPOffer{Offer: json.RawMessage(`"a" "b"`)}},
		{"response: method: " + jsonx.ErrDeclared.Error(), &Response{ID: NumberID(1), Result: one, Extra: Fields{"method": one}}},
		{"start: jsonrpc: " + jsonx.ErrDeclared.Error(), &Start{ID: NumberID(1), Envelope: Fields{"jsonrpc": one}}},
		{"acme: id: " + jsonx.ErrDeclared.Error(), &Unknown{Type: "acme", Extra: Fields{"id": one}}},
		{"whoami: id: a request needs one", &WhoAmI{}},
		{"response: error.data: " + jsonx.ErrSyntax.Error(), &Response{Error: &Error{Data: json.RawMessage(`x`)}}},
		{"response: result: " + jsonx.ErrDuplicate.Error(), &Response{ID: NumberID(1), Result: json.RawMessage(`[{"a":1,"a":1}]`)}},
		{"chat: params.message: " + jsonx.ErrUTF8.Error(), &Chat{Message: "\xff"}},
		{"iceCandidate: params.candidate: " + jsonx.ErrType.Error(), &ICECandidate{Candidate: json.RawMessage(`true`)}},
		{"sdpOffer: params.offer.sdp: empty", &SDPOffer{Offer: json.RawMessage(`{"sdp":""}`)}},
		{"iceCandidate: params.candidate.usernameFragment: " + jsonx.ErrType.Error(), &ICECandidate{Candidate: json.RawMessage(`{"usernameFragment":1}`)}},
	} {
		require.EqualError(t, tt.message.Validate(), "msejsonrpc: invalid "+tt.want)
		require.IsType(t, new(ValidationError), tt.message.Validate())
	}
}

func TestEncodeWritesTheKeysInTheirOrder(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]Message{
		`{"id":1,"method":"ping","jsonrpc":"2.0"}`:                                                &Ping{ID: NumberID(1)},
		`{"id":null,"method":"disconnect","jsonrpc":"2.0"}`:                                       &Disconnect{},
		`{"method":"disconnect","jsonrpc":"2.0"}`:                                                 &Disconnect{ID: AbsentID},
		`{"id":null,"method":"disconnect","jsonrpc":"2.0","params":{"a":2},"b":1}`:                &Disconnect{Extra: Fields{"a": json.RawMessage("2")}, Envelope: Fields{"b": json.RawMessage("1")}},
		`{"id":1,"method":"start","jsonrpc":"2.0"}`:                                               &Start{ID: NumberID(1), Extra: Fields{}, Envelope: Fields{}},
		`{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"","version":"","a":1,"b":2}}`: &Auth{ID: NumberID(1), Extra: Fields{"b": json.RawMessage("2"), "a": json.RawMessage("1")}},
		`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":""}}`:             &Chat{},
		`{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{}}`:                         &ICECandidate{},
		`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{}}`:                             &SDPOffer{},
		`{"id":null,"method":"acme","jsonrpc":"2.0","a":1,"params":{"z":1}}`:                      &Unknown{Type: "acme", Extra: Fields{"params": json.RawMessage(`{"z":1}`), "a": json.RawMessage("1")}},
		`{"id":1,"jsonrpc":"2.0","result":null}`:                                                  &Response{ID: NumberID(1), Result: json.RawMessage("null")},
		`{"id":1,"jsonrpc":"2.0"}`:                                                                &Response{ID: NumberID(1)},
		`{"jsonrpc":"2.0","error":{"code":0,"message":""}}`:                                       &Response{ID: AbsentID, Error: new(Error)},
		`{"id":"a","jsonrpc":"2.0","result":1,"error":{"code":2,"message":"m","data":3,"z":4},"y":5}`: &Response{
			ID: StringID("a"), Result: json.RawMessage("1"), Extra: Fields{"y": json.RawMessage("5")},
			Error: &Error{Code: 2, Message: "m", Data: json.RawMessage("3"), Extra: Fields{"z": json.RawMessage("4")}},
		},
	} {
		b, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
}

func TestEncodeDoesNotEscapeForHTML(t *testing.T) {
	t.Parallel()
	b, err := Encode(&Chat{To: []string{"<a&b>"}, Message: "\u2028é😀\x7f\n"})
	require.NoError(t, err)
	require.Equal(t, "{\"id\":null,\"method\":\"chat\",\"jsonrpc\":\"2.0\",\"params\":{\"to\":[\"<a&b>\"],\"message\":\"\u2028é😀\x7f\\n\"}}", string(b))
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
		b, err := Encode(m)
		require.NoError(t, err)
		clear(b)
		require.Equal(t, same, m, v.Name)
	}
}

// size only saves growing the buffer, so it may be too small, but not for what is large.
func TestSizeCoversTheLargeMembers(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("a", 10_000)
	for _, m := range []Message{
		&Auth{Token: large}, &Chat{Message: large}, &Chat{Attachment: json.RawMessage(`"` + large + `"`)},
		NewSDPOffer(SessionDescription{SDP: large}, FormString), NewICECandidate(ICECandidateInit{Candidate: large}, FormObject),
		&Response{Result: json.RawMessage(`"` + large + `"`)},
	} {
		require.GreaterOrEqual(t, size(m), len(large), "%T", m)
	}
}

func TestRequestFactoryMakesTheDocumentsRequests(t *testing.T) {
	t.Parallel()
	var f RequestFactory
	for _, tt := range []struct {
		example string
		message Message
	}{ // the document counts in this order, too
		{"ping-request", f.Ping()},
		{"auth-request", f.Auth("appropriate jwt token")},
		{"start-request", f.Start()},
		{"whoami-request", f.WhoAmI()},
		{"iceCandidate", f.ICECandidate(ICECandidateInit{Candidate: "ice candidate value"})},
		{"sdpOffer", f.SDPOffer(SessionDescription{Type: "offer", SDP: "sdp offer value"})},
		{"disconnect", f.Disconnect()},
		{"chat", f.Chat("message", json.RawMessage(`"object"`))},
	} {
		require.NoError(t, tt.message.Validate(), tt.example)
		b, err := Encode(tt.message)
		require.NoError(t, err, tt.example)
		require.JSONEq(t, documentText(t, tt.example), string(b), tt.example)
	}
	require.Equal(t, NumberID(5), f.Ping().ID, "notifications do not use up ids")

	objects := RequestFactory{Form: FormObject}
	require.JSONEq(t, `{"type":"offer","sdp":"a"}`, string(objects.SDPOffer(SessionDescription{Type: "offer", SDP: "a"}).Offer))
	require.JSONEq(t, `{"candidate":"c","sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null}`,
		string(objects.ICECandidate(ICECandidateInit{Candidate: "c"}).Candidate))
	require.Equal(t, []string{"a", "b"}, f.Chat("m", nil, "a", "b").To)
}

func TestResponsesOfAServerAreTheDocuments(t *testing.T) {
	t.Parallel()
	var f RequestFactory
	identity := &Identity{
		Domain: "domain", Agent: "web or mobile", Role: "user - admin or super", UserID: "random string", RoomID: "random string",
		IPAddress: "client ip address", TokenIssued: "date the token is issued", ValidFrom: "token is valid from date", ValidTo: "token is valid to date",
	}
	ping, auth, start, whoami := f.Ping(), f.Auth("t"), f.Start(), f.WhoAmI()
	who, err := whoami.Identity(identity)
	require.NoError(t, err)
	related := StringID("related request id")
	required := CallOrderError("Required Method")
	for example, r := range map[string]*Response{
		"ping-response":              ping.Pong(),
		"auth-response":              auth.Authenticated(),
		"start-response":             start.Started(),
		"whoami-response":            who,
		"error-parse":                NewErrorResponse(NullID, ErrParse),
		"error-invalid-object":       NewErrorResponse(AbsentID, ErrInvalidObject),
		"error-method-not-found":     NewErrorResponse(related, ErrMethodNotFound),
		"error-invalid-params":       NewErrorResponse(related, ErrInvalidParams),
		"error-authorization-failed": NewErrorResponse(related, ErrAuthorizationFailed),
		"error-unauthorized-access":  NewErrorResponse(related, ErrUnauthorizedAccess),
		"error-invalid-call-order":   NewErrorResponse(NumberID(3), required),
	} {
		require.NoError(t, r.Validate(), example)
		b, err := Encode(r)
		require.NoError(t, err, example)
		require.JSONEq(t, documentText(t, example), string(b), example)
	}
	require.Equal(t, "Required Method", required.Required())
}

func TestMatchersTakeTheDocumentsResultsAlone(t *testing.T) {
	t.Parallel()
	matchers := map[string]func(*Response) bool{
		"ping-response":  (*Response).Pong,
		"auth-response":  (*Response).Authenticated,
		"start-response": (*Response).Started,
		"whoami-response": func(r *Response) bool {
			_, err := r.Identity()
			return err == nil
		},
	}
	responses := 0
	for _, v := range readVectors(t) {
		m, err := Decode([]byte(v.Wire))
		r, ok := m.(*Response)
		if err != nil || !ok || v.Problem != "" {
			continue
		}
		responses++
		for example, matches := range matchers {
			want := v.Name == "document-"+example+"/1"
			if !strings.HasPrefix(v.Name, "document-") { // of a rule: look at the value
				want = map[string]bool{
					"ping-response": string(r.Result) == `"pong"` || string(r.Result) == `"p\u006fng"`,
					"auth-response": string(r.Result) == `"authenticated"`, "start-response": string(r.Result) == `"started"`,
					"whoami-response": r.Error == nil && jsonx.IsObject(r.Result),
				}[example]
			}
			require.Equal(t, want, matches(r), "%s of %s", example, v.Name)
		}
	}
	require.Greater(t, responses, 30)
}

// An error and a result: neither can be trusted.
func TestMatchersTakeNoResultBesideAnError(t *testing.T) {
	t.Parallel()
	for _, r := range []*Response{{Error: ErrInternal}, {}} {
		for _, result := range []string{`"pong"`, `"authenticated"`, `"started"`, `{}`} {
			if r.Error != nil {
				r.Result = json.RawMessage(result)
			}
			require.False(t, r.Pong() || r.Authenticated() || r.Started(), result)
			_, err := r.Identity()
			e, ok := errors.AsType[*UnexpectedResultError](err)
			require.True(t, ok, result)
			require.Equal(t, "whoami", e.Type)
		}
	}
}

func TestErrorResponsesHaveAnIdAlways(t *testing.T) {
	t.Parallel()
	for id, want := range map[ID]string{NullID: "null", AbsentID: "null", NumberID(0): "0", StringID(""): `""`} {
		b, err := Encode(NewErrorResponse(id, ErrParse))
		require.NoError(t, err)
		require.Equal(t, `{"id":`+want+`,"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"}}`, string(b))
	}
}

func TestErrorIsComparedByItsCode(t *testing.T) {
	t.Parallel()
	all := []*Error{
		ErrParse, ErrInvalidObject, ErrMethodNotFound, ErrInvalidParams, ErrAuthorizationFailed, ErrUnauthorizedAccess, ErrInvalidCallOrder, ErrInternal,
	}
	for i, e := range all {
		said := &Error{Code: e.Code, Message: "in other words", Data: json.RawMessage("1")}
		for j, other := range all {
			require.Equal(t, i == j, errors.Is(fmt.Errorf("wrapped: %w", said), other), "%v, %v", e, other)
		}
	}
	require.ErrorIs(t, &Error{Code: CodeInvalidRequest}, ErrInvalidObject, "its name in JSON-RPC 2.0")
	require.ErrorIs(t, ErrInvalidObject, &Error{Code: CodeInvalidRequest})
	require.NotErrorIs(t, &Error{Code: CodeInvalidRequest}, ErrParse)
}

func TestErrNotAuthorizedIsInEveryErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	for _, e := range []*Error{ErrAuthorizationFailed, ErrUnauthorizedAccess, CallOrderError("auth")} {
		require.ErrorIs(t, e, ErrNotAuthorized)
	}
	for _, e := range []*Error{
		ErrParse, ErrInvalidObject, ErrMethodNotFound, ErrInvalidParams, ErrInternal, ErrInvalidCallOrder, CallOrderError("start"),
		{Code: CodeInvalidParams, Data: json.RawMessage(`{"required":"auth"}`)},
		{Code: CodeInvalidCallOrder, Data: json.RawMessage(`{"required":["auth"]}`)},
		{Code: CodeInvalidCallOrder, Data: json.RawMessage(`{"Required":"auth"}`)},
		{Code: CodeInvalidCallOrder, Data: json.RawMessage(`["auth"]`)},
		{Code: CodeInvalidCallOrder, Data: json.RawMessage(`{"required":"auth"`)},
	} {
		require.NotErrorIs(t, e, ErrNotAuthorized)
	}
}

func TestErrorSaysWhatThePeerSaid(t *testing.T) {
	t.Parallel()
	require.EqualError(t, ErrAuthorizationFailed, "msejsonrpc: Authorization Failed (-4001)")
	require.EqualError(t, CallOrderError("auth"), "msejsonrpc: Invalid Call Order (-6001): auth is required")
	secret := &UnexpectedResultError{Type: "ping", Result: json.RawMessage(`"hunter2"`)}
	require.EqualError(t, secret, "msejsonrpc: unexpected result of ping")
}

func TestIDsAreReadAndSetInEveryMessage(t *testing.T) {
	t.Parallel()
	id := NumberID(7)
	for method, construct := range registry {
		m := construct()
		require.Equal(t, NullID, idOf(m), method)
		given := numbered(m, id)
		require.Equal(t, NullID, idOf(m), "%s: numbered copies", method)
		want := NullID
		if isRequest(method) {
			want = id
		}
		require.Equal(t, want, idOf(given), method)
	}
	require.Equal(t, id, idOf(&Response{ID: id}))
	require.Equal(t, id, idOf(&Unknown{Type: "acme", ID: id}))
	require.Equal(t, NullID, idOf(&Reconnected{}))

	asked := map[string]bool{}
	takes := map[string]bool{}
	for method := range maps.Keys(registry) {
		asked[method], takes[method] = isRequest(method), hasParams(method)
	}
	require.Equal(t, map[string]bool{
		"ping": true, "auth": true, "start": true, "whoami": true,
		"iceCandidate": false, "sdpOffer": false, "disconnect": false, "chat": false,
	}, asked)
	require.Equal(t, map[string]bool{
		"ping": false, "auth": true, "start": false, "whoami": false,
		"iceCandidate": true, "sdpOffer": true, "disconnect": false, "chat": true,
	}, takes)
}
