package cuttlefish

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/link"
)

func nestedArrays(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

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
		"null":                         {"null", "", "", jsonx.ErrNotObject},
		"array":                        {`[{"message_type":"connect","device_id":"a"}]`, "", "", jsonx.ErrNotObject},
		"number":                       {"1", "", "", jsonx.ErrNotObject},
		"string":                       {`"connect"`, "", "", jsonx.ErrNotObject},
		"trailing object":              {`{"message_type":"connect","device_id":"a"}{}`, "", "", jsonx.ErrSyntax},
		"trailing word":                {`{"message_type":"connect","device_id":"a"} x`, "", "", jsonx.ErrSyntax},
		"trailing NUL":                 {"{\"message_type\":\"connect\",\"device_id\":\"a\"}\x00", "", "", jsonx.ErrSyntax},
		"comment":                      {`/* c */{"message_type":"connect","device_id":"a"}`, "", "", jsonx.ErrSyntax},
		"byte order mark":              {"\ufeff{\"message_type\":\"connect\",\"device_id\":\"a\"}", "", "", jsonx.ErrSyntax},
		"name without quotes":          {`{message_type:"connect"}`, "", "", jsonx.ErrSyntax},
		"comma at the end":             {`{"message_type":"connect","device_id":"a",}`, "", "", jsonx.ErrSyntax},
		"not a number":                 {`{"message_type":"forward","client_id":NaN}`, "", "", jsonx.ErrSyntax},
		"leading zero":                 {`{"message_type":"forward","client_id":01}`, "", "", jsonx.ErrSyntax},
		"invalid UTF-8 in a string":    {"{\"message_type\":\"connect\",\"device_id\":\"\xff\"}", "", "", jsonx.ErrUTF8},
		"invalid UTF-8 in a name":      {"{\"message_type\":\"connect\",\"\xc3\":1}", "", "", jsonx.ErrUTF8},
		"invalid UTF-8 in a payload":   {"{\"message_type\":\"forward\",\"payload\":{\"a\":[\"\xed\xa0\x80\"]}}", "", "", jsonx.ErrUTF8},
		"duplicate type":               {`{"message_type":"connect","message_type":"connect"}`, "", "", jsonx.ErrDuplicate},
		"duplicate by an escape":       {`{"message_type":"connect","device_id":"a","d\u0065vice_id":"b"}`, "", "", jsonx.ErrDuplicate},
		"duplicate in a payload":       {`{"message_type":"forward","payload":{"sdp":"a","sdp":"b"}}`, "", "", jsonx.ErrDuplicate},
		"duplicate further member":     {`{"message_type":"connect","device_id":"a","x":1,"x":1}`, "", "", jsonx.ErrDuplicate},
		"duplicate in an ICE server":   {`{"message_type":"config","ice_servers":[{"urls":[],"urls":["stun:x"]}]}`, "", "", jsonx.ErrDuplicate},
		"65 levels":                    {`{"message_type":"forward","payload":` + nestedArrays(64) + `}`, "", "", jsonx.ErrDepth},
		"10,000 levels":                {`{"message_type":"forward","payload":` + nestedArrays(9999) + `}`, "", "", jsonx.ErrDepth},
		"10,000 levels without an end": {strings.Repeat(`{"a":`, 10_000), "", "", jsonx.ErrDepth},
		"type in another case":         {`{"Message_Type":"connect","device_id":"a"}`, "", "message_type", errMissing},
		"type null":                    {`{"message_type":null,"device_id":"a"}`, "", "message_type", jsonx.ErrType},
		"type number":                  {`{"message_type":1}`, "", "message_type", jsonx.ErrType},
		"type array":                   {`{"message_type":["connect"]}`, "", "message_type", jsonx.ErrType},
		"id string":                    {`{"message_type":"client_msg","client_id":"1","payload":1}`, "client_msg", "client_id", jsonx.ErrType},
		"id null":                      {`{"message_type":"client_msg","client_id":null,"payload":1}`, "client_msg", "client_id", jsonx.ErrType},
		"id null in a forward":         {`{"message_type":"forward","client_id":null,"payload":1}`, "forward", "client_id", jsonx.ErrType},
		"id fraction":                  {`{"message_type":"client_msg","client_id":1.5,"payload":1}`, "client_msg", "client_id", jsonx.ErrType},
		"id bool":                      {`{"message_type":"client_msg","client_id":true,"payload":1}`, "client_msg", "client_id", jsonx.ErrType},
		"id object":                    {`{"message_type":"client_msg","client_id":{},"payload":1}`, "client_msg", "client_id", jsonx.ErrType},
		"id beyond int64":              {`{"message_type":"client_msg","client_id":12345678901234567890,"payload":1}`, "client_msg", "client_id", jsonx.ErrRange},
		"id beyond an exact float":     {`{"message_type":"client_msg","client_id":9007199254740993.0,"payload":1}`, "client_msg", "client_id", jsonx.ErrRange},
		"id of a huge exponent":        {`{"message_type":"client_msg","client_id":1e999999999,"payload":1}`, "client_msg", "client_id", jsonx.ErrRange},
		"device id null":               {`{"message_type":"connect","device_id":null}`, "connect", "device_id", jsonx.ErrType},
		"ICE servers object":           {`{"message_type":"config","ice_servers":{}}`, "config", "ice_servers", jsonx.ErrType},
		"ICE server null":              {`{"message_type":"config","ice_servers":[null]}`, "config", "ice_servers[0]", jsonx.ErrType},
		"ICE URL null":                 {`{"message_type":"config","ice_servers":[{"urls":["a",null]}]}`, "config", "ice_servers[0].urls[1]", jsonx.ErrType},
		"ICE user name number":         {`{"message_type":"config","ice_servers":[{},{"username":1}]}`, "config", "ice_servers[1].username", jsonx.ErrType},
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
			require.LessOrEqual(t, len(e.frame), excerptLength+len("…"))
		})
	}
}

func TestDecodeTakesIdsThatAreIntegersInValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1": 1, "1.0": 1, "1e2": 100, "120e-1": 12, "0": 0, "-1": -1, "-0": 0,
		"9007199254740993":    9007199254740993, // 2^53+1: a float64 would lose it
		"9223372036854775807": 9223372036854775807,
		"9007199254740991.0":  9007199254740991,
	} {
		m, err := Decode([]byte(`{"message_type":"client_disconnected","client_id":` + text + `}`))
		if want != int64(int(want)) { // where an int has 32 bits
			require.ErrorIs(t, err, jsonx.ErrRange, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, &ClientDisconnected{ClientID: int(want)}, m, text)
	}
}

func TestDecodeMatchesNamesExactlyAtEveryLevel(t *testing.T) {
	t.Parallel()
	m, err := Decode([]byte(`{"message_type":"connect","device_id":"a","Device_ID":"b","DEVICE_ID":"c"}`))
	require.NoError(t, err)
	require.Equal(t, &Connect{DeviceID: "a", Extra: Fields{
		"Device_ID": json.RawMessage(`"b"`), "DEVICE_ID": json.RawMessage(`"c"`),
	}}, m)

	m, err = Decode([]byte(`{"message_type":"config","ice_servers":[{"urls":["a"],"URLS":["b"],"UserName":"c"}]}`))
	require.NoError(t, err)
	require.Equal(t, &Config{ICEServers: []ICEServer{{URLs: []string{"a"}, Extra: Fields{
		"URLS": json.RawMessage(`["b"]`), "UserName": json.RawMessage(`"c"`),
	}}}}, m)

	m, err = Decode([]byte(`{"message\u005ftype":"c\u006fnnect","device_id":"\u0061"}`))
	require.NoError(t, err)
	require.Equal(t, &Connect{DeviceID: "a"}, m, "an escaped name is the same name")
}

func TestDecodeTakes64Levels(t *testing.T) {
	t.Parallel()
	text := `{"message_type":"forward","payload":` + nestedArrays(63) + `}`
	m, err := Decode([]byte(text))
	require.NoError(t, err)
	require.NoError(t, m.Validate())
	b, err := Encode(m)
	require.NoError(t, err)
	require.Equal(t, text, string(b))
}

func TestPayloadThatWouldNestTooDeeplyInItsEnvelopeIsRefusedBefore(t *testing.T) {
	t.Parallel()
	deep := json.RawMessage(nestedArrays(64))
	require.IsType(t, new(ValidationError), (&Forward{Payload: deep}).Validate())
	_, err := Encode(&Forward{Payload: deep})
	require.ErrorIs(t, err, jsonx.ErrDepth)
	_, err = decodePayload(0, &link.Frame{Data: []byte(`{"a":` + nestedArrays(63) + `}`)})
	require.ErrorIs(t, err, jsonx.ErrDepth, "the operator's clients send payloads without an envelope")
	m, err := decodePayload(0, &link.Frame{Data: []byte(`{"a":` + nestedArrays(62) + `}`)})
	require.NoError(t, err)
	require.NoError(t, m.Validate())
}

func TestDecodeKeepsALargePayloadByteForByte(t *testing.T) {
	t.Parallel()
	payload := `{ "sdp" : "` + strings.Repeat(`a\u0061é`, 1<<20/9) + `" }`
	require.Greater(t, len(payload), 1<<20-16)
	m, err := Decode([]byte(`{"message_type":"device_msg","payload":` + payload + `}`))
	require.NoError(t, err)
	require.Equal(t, payload, string(m.(*DeviceMsg).Payload))
	b, err := Encode(m)
	require.NoError(t, err)
	require.Equal(t, `{"message_type":"device_msg","payload":`+payload+`}`, string(b))
}

func TestDecodeDoesNotKeepTheData(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		want, err := v.format.decode([]byte(v.Wire))
		if err != nil {
			continue
		}
		data := []byte(v.Wire)
		m, err := v.format.decode(data)
		require.NoError(t, err)
		clear(data)
		require.Equal(t, want, m, v.Name)
	}
}

func TestErrorsDoNotShowWhatWasDecoded(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, text := range []string{
		`{"message_type":"config","ice_servers":[{"urls":[],"credential":["` + secret + `"]}]}`,
		`{"message_type":"register","device_id":{"` + secret + `":1}}`,
		`{"` + secret + `":1,"` + secret + `":2}`,
		`{"message_type":"forward","client_id":"` + secret + `"}`,
		`"` + secret + `"`, secret,
	} {
		_, err := Decode([]byte(text))
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		message Message
		want    error
	}{
		"payload that is not JSON":     {&Forward{Payload: json.RawMessage(`{`)}, jsonx.ErrSyntax},
		"payload of two values":        {&Forward{Payload: json.RawMessage(`1 2`)}, jsonx.ErrSyntax},
		"payload with a duplicate":     {&Forward{Payload: json.RawMessage(`{"a":1,"a":2}`)}, jsonx.ErrDuplicate},
		"device id not UTF-8":          {&Connect{DeviceID: "\xff"}, jsonx.ErrUTF8},
		"URL not UTF-8":                {&Config{ICEServers: []ICEServer{{URLs: []string{"\xff"}}}}, jsonx.ErrUTF8},
		"further member of a message":  {&Connect{Extra: Fields{"device_id": json.RawMessage(`"b"`)}}, jsonx.ErrDuplicate},
		"type as a further member":     {&Connect{Extra: Fields{"message_type": json.RawMessage(`"b"`)}}, jsonx.ErrDuplicate},
		"further member of ICE server": {&Config{ICEServers: []ICEServer{{Extra: Fields{"urls": json.RawMessage(`[]`)}}}}, jsonx.ErrDuplicate},
		"reconnected":                  {&Reconnected{}, errNotOnWire},
	} {
		b, err := Encode(tt.message)
		require.ErrorIs(t, err, tt.want, name)
		require.Nil(t, b, name)
		require.True(t, strings.HasPrefix(err.Error(), "cuttlefish: encode "), err)
	}
}

// A driver encodes where nobody waits for an error: what does not encode must not be
// valid.
func TestValidateRefusesWhatDoesNotEncode(t *testing.T) {
	t.Parallel()
	one := json.RawMessage("1")
	for _, m := range []Message{
		&Register{DeviceID: "\xff"},
		&Register{DeviceID: "a", DeviceInfo: json.RawMessage(`{`)},
		&Register{DeviceID: "a", Extra: Fields{"device_port": one}},
		&Forward{Payload: json.RawMessage(`{"a":1,"a":2}`)},
		&Forward{Payload: one, Extra: Fields{"client_id": one}},
		&Forward{Payload: one, Extra: Fields{"\xff": one}},
		&Config{ICEServers: []ICEServer{{URLs: []string{"\xff"}}}},
		&Config{ICEServers: []ICEServer{{URLs: []string{"a"}, Username: "\xff"}}},
		&Config{ICEServers: []ICEServer{{URLs: []string{"a"}, Credential: "\xff"}}},
		&Config{ICEServers: []ICEServer{{URLs: []string{"a"}, CredentialType: "\xff"}}},
		&Config{ICEServers: []ICEServer{{URLs: []string{"a"}, Extra: Fields{"urls": one}}}},
		&ClientMsg{ClientID: 1, Payload: one, Extra: Fields{"payload": one}},
		&ClientDisconnected{ClientID: 1, Extra: Fields{"message_type": one}},
		&Connect{DeviceID: "\xff"},
		&DeviceInfoMsg{DeviceInfo: json.RawMessage(`1 2`)},
		&DeviceMsg{Payload: json.RawMessage("\"\xff\"")},
		&Error{Text: "\xff"},
		&Error{Text: "a", Extra: Fields{"error": one}},
		&Unknown{Type: "\xff"},
		&Unknown{Type: "a", Extra: Fields{"b": json.RawMessage(nestedArrays(64))}},
	} {
		_, err := Encode(m)
		require.Error(t, err, "%#v", m)
		require.IsType(t, new(ValidationError), m.Validate(), "%#v", m)
	}
}

func TestEncodeWritesEmptyListsAsArraysAndFurtherMembersByName(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]Message{
		`{"message_type":"config","ice_servers":[]}`:                   &Config{},
		`{"message_type":"config","ice_servers":[{"urls":[]}]}`:        &Config{ICEServers: []ICEServer{{}}},
		`{"message_type":"connect","device_id":"a","b":2,"c":null}`:    &Connect{DeviceID: "a", Extra: Fields{"c": nil, "b": json.RawMessage("2")}},
		`{"message_type":"forward","payload":null}`:                    &Forward{Payload: json.RawMessage("null")},
		`{"message_type":"forward"}`:                                   &Forward{},
		`{"message_type":"x"}`:                                         &Unknown{Type: "x"},
		`{"error":"a\"b\n"}`:                                           &Error{Text: "a\"b\n"},
		`{"message_type":"register","device_id":"a","device_port":0}`:  &Register{DeviceID: "a", DevicePort: new(0)},
		`{"message_type":"forward","client_id":0,"payload":{"a": 1 }}`: &Forward{ClientID: new(0), Payload: json.RawMessage(`{"a": 1 }`)},
	} {
		b, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
}

func TestEncodeDoesNotEscapeForHTML(t *testing.T) {
	t.Parallel()
	b, err := Encode(&Connect{DeviceID: "<a&b>\u2028é😀"})
	require.NoError(t, err)
	require.Equal(t, "{\"message_type\":\"connect\",\"device_id\":\"<a&b>\u2028é😀\"}", string(b))
}

func TestForwardTellsTheClient(t *testing.T) {
	t.Parallel()
	id, ok := (&Forward{ClientID: new(7)}).Client()
	require.True(t, ok)
	require.Equal(t, 7, id)
	_, ok = (&Forward{}).Client()
	require.False(t, ok)
}
