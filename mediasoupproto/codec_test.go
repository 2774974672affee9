package mediasoupproto

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// request and note put a payload into a frame of protoo.
func request(payload string) []byte {
	return []byte(`{"request":true,"id":7,"method":"mediasoup-request","data":` + payload + `}`)
}

func note(payload string) []byte {
	return []byte(`{"notification":true,"method":"mediasoup-notification","data":` + payload + `}`)
}

func TestDecodeRefusesWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	deep := nestedArrays
	for _, tt := range []struct {
		text []byte
		want error
	}{
		{request(`{"method":"queryRoom","method":"queryRoom"}`), jsonx.ErrDuplicate},
		{request(`{"method":"queryRoom","metho\u0064":"queryRoom"}`), jsonx.ErrDuplicate},
		{request(`{"method":"join","rtpCapabilities":{"codecs":[],"codecs":[]}}`), jsonx.ErrDuplicate},
		{request(`{"method":"join","appData":{"a":{"b":1,"b":1}}}`), jsonx.ErrDuplicate},
		{note(`{"method":"foo","notification":true,"a":[{"b":1,"b":2}]}`), jsonx.ErrDuplicate},
		{note(`{"method":"leave","notification":true,"notification":true}`), jsonx.ErrDuplicate},
		{[]byte(`{"response":true,"id":7,"ok":true,"data":{"a":1,"a":1}}`), jsonx.ErrDuplicate},
		{[]byte(`{"notification":true,"method":"chat","data":{"a":1,"a":1}}`), jsonx.ErrDuplicate},
		{request("{\"method\":\"join\",\"peerName\":\"\xff\"}"), jsonx.ErrUTF8},
		{request("{\"method\":\"join\",\"\xed\xa0\x80\":1}"), jsonx.ErrUTF8},
		{note("{\"method\":\"\xc0\x80\",\"notification\":true}"), jsonx.ErrUTF8},
		{[]byte("{\"notification\":true,\"method\":\"chat\",\"data\":\"\xff\"}"), jsonx.ErrUTF8},
		{request(`{"method":"queryRoom",}`), jsonx.ErrSyntax},
		{request(`{"method":"queryRoom"`), jsonx.ErrSyntax},
		{request(`{"method":queryRoom}`), jsonx.ErrSyntax},
		{request(`{'method':'queryRoom'}`), jsonx.ErrSyntax},
		{request("{\"method\":\"query\nRoom\"}"), jsonx.ErrSyntax},
		{request(`{"method":"restartTransport","id":01}`), jsonx.ErrSyntax},
		{request(`{"method":"restartTransport","id":NaN}`), jsonx.ErrSyntax},
		{append(request(`{}`), 0), jsonx.ErrSyntax},
		{append(request(`{}`), "{}"...), jsonx.ErrSyntax},
		{append([]byte("\ufeff"), request(`{}`)...), jsonx.ErrSyntax},
		{nil, jsonx.ErrSyntax},
		{request(`{"method":"join","appData":` + deep(63) + `}`), jsonx.ErrDepth},
		{[]byte(`{"notification":true,"method":"chat","data":` + deep(64) + `}`), jsonx.ErrDepth},
		{[]byte(`{"request":true,"acme":` + strings.Repeat("[", 1<<20)), jsonx.ErrDepth},
		{[]byte(`[]`), jsonx.ErrNotObject},
		{[]byte(`"request"`), jsonx.ErrNotObject},
		{[]byte(`5`), jsonx.ErrNotObject},
	} {
		m, err := Decode(tt.text)
		require.Nil(t, m, "%.80s", tt.text)
		require.IsType(t, new(DecodeError), err, "%.80s", tt.text)
		require.ErrorIs(t, err, tt.want, "%.80s", tt.text)
		require.Empty(t, err.(*DecodeError).RequestID, "%.80s: there is nothing to answer", tt.text)
		require.True(t, strings.HasPrefix(err.Error(), "mediasoupproto: decode: "), err.Error())
	}
}

// Names are those of the wire and nothing else: what looks like one is a further member.
func TestNamesMatchExactly(t *testing.T) {
	t.Parallel()
	m, err := Decode(request(`{"method":"join","peername":"a","PeerName":"b","rtpCapabilities":{"Codecs":[],"codecs":[],
		"headerExtensions":[{"URI":"x","uri":"u","preferredId":1,"preferredID":2}]},"SPY":true}`))
	require.NoError(t, err)
	j := m.(*Join)
	require.Empty(t, j.PeerName)
	require.False(t, j.Spy)
	require.Equal(t, Fields{"peername": raw(`"a"`), "PeerName": raw(`"b"`), "SPY": raw(`true`)}, j.Extra)
	require.Equal(t, Fields{"Codecs": raw(`[]`)}, j.RTPCapabilities.Extra)
	x := j.RTPCapabilities.HeaderExtensions[0]
	require.Equal(t, uint8(1), x.PreferredID)
	require.Equal(t, Fields{"URI": raw(`"x"`), "preferredID": raw(`2`)}, x.Extra)
	_, err = Decode(request(`{"Method":"queryRoom"}`))
	require.ErrorIs(t, err, errNoMethod)
}

func TestDecodeErrorsNameTheMemberAndTheRequestToAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text []byte
		want DecodeError
		says string
	}{
		{
			request(`{"method":"join","peerName":5}`),
			DecodeError{Type: "join", Field: "peerName", Err: jsonx.ErrType, RequestID: "7", kind: FrameRequest},
			"mediasoupproto: decode join: peerName: wrong JSON type",
		},
		{
			request(`{"method":"createProducer","rtpParameters":{"codecs":[{},{"rtcpFeedback":[{"type":1}]}]}}`),
			DecodeError{
				Type: "createProducer", Field: "rtpParameters.codecs[1].rtcpFeedback[0].type", Err: jsonx.ErrType,
				RequestID: "7", kind: FrameRequest,
			},
			"mediasoupproto: decode createProducer: rtpParameters.codecs[1].rtcpFeedback[0].type: wrong JSON type",
		},
		{
			request(`{"method":"restartTransport","id":1e300}`),
			DecodeError{Type: "restartTransport", Field: "id", Err: jsonx.ErrRange, RequestID: "7", kind: FrameRequest},
			"mediasoupproto: decode restartTransport: id: number out of range",
		},
		{
			note(`{"method":"pauseProducer","notification":true,"id":null}`),
			DecodeError{Type: "pauseProducer", Field: "id", Err: jsonx.ErrType, kind: FrameNotification},
			"mediasoupproto: decode pauseProducer: id: wrong JSON type",
		},
		{
			[]byte(`{"request":true,"id":7,"method":"mediasoup-notification","data":{"method":"leave"}}`), // protoo 2
			DecodeError{Type: "leave", Field: "notification", Err: errNotNotification, RequestID: "7", kind: FrameNotification},
			"mediasoupproto: decode leave: notification: is no notification",
		},
		{
			request(`5`),
			DecodeError{Err: jsonx.ErrNotObject, RequestID: "7", kind: FrameRequest},
			"mediasoupproto: decode: not a JSON object",
		},
		{
			[]byte(`{"request":true,"id":"7","method":"mediasoup-request"}`),
			DecodeError{Field: "id", Err: jsonx.ErrType},
			"mediasoupproto: decode: id: wrong JSON type",
		},
	} {
		m, err := Decode(tt.text)
		require.Nil(t, m, string(tt.text))
		require.Equal(t, &tt.want, err, string(tt.text))
		require.EqualError(t, err, tt.says)
	}
}

func TestErrorsOfDecodeHoldNothingOfTheText(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, text := range [][]byte{
		request(`{"method":"join","peerName":5,"appData":"` + secret + `"}`),
		request(`{"method":"join","peerName":["` + secret + `"]}`),
		request(`{"method":["` + secret + `"]}`),
		request(`"` + secret + `"`),
		[]byte(`{"request":true,"id":"` + secret + `","method":"m"}`),
		[]byte(`{"request":true,"method":"` + secret + `",}`),
		[]byte(secret),
	} {
		_, err := Decode(text)
		require.Error(t, err, string(text))
		require.NotContains(t, err.Error(), secret)
	}
}

// The envelope of mediasoup is checked as mediasoup does.
func TestThePayloadSaysWhetherItIsANotification(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string][2]error{ // of a request, and of a notification
		``:                       {nil, errNotNotification},
		`,"notification":true`:   {errNotRequest, nil},
		`,"notification":false`:  {nil, errNotNotification},
		`,"notification":null`:   {nil, errNotNotification},
		`,"notification":0`:      {nil, errNotNotification},
		`,"notification":""`:     {nil, errNotNotification},
		`,"notification":1`:      {errNotRequest, errNotNotification},
		`,"notification":"true"`: {errNotRequest, errNotNotification},
		`,"notification":{}`:     {errNotRequest, errNotNotification},
	} {
		_, err := DecodePayload("7", []byte(`{"method":"queryRoom","target":"room"`+flag+`}`))
		require.ErrorIs(t, err, want[0], flag)
		_, err = DecodePayload("", []byte(`{"method":"leave","target":"peer"`+flag+`}`))
		require.ErrorIs(t, err, want[1], flag)
	}
	for _, method := range []string{``, `,"method":null`, `,"method":5`, `,"method":["leave"]`} {
		_, err := DecodePayload("", []byte(`{"notification":true`+method+`}`))
		require.ErrorIs(t, err, errNoMethod)
		require.EqualError(t, err, "mediasoupproto: decode: method: wrong or missing")
	}
}

// The target is nobody's business, but stays as it was.
func TestTargetsSurviveAsTheyCame(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"method":"queryRoom","target":"room"}`,
		`{"method":"queryRoom","target":"peer"}`,
		`{"method":"queryRoom"}`,
		`{"method":"queryRoom","target":null,"notification":false}`,
		`{"method":"queryRoom","target":"room","notification":0,"a":1}`,
		`{"method":"enableConsumer","target":"peer","id":1,"transportId":2,"paused":true}`,
		`{"method":"pauseProducer","target":{"a":[ 1 ]},"id":1}`,
		`{"method":"leave","target":"peer"}`,
		`{"method":"queryroom","target":"room"}`,
		`{"method":"foo"}`,
	} {
		m, err := DecodePayload("7", []byte(payload))
		require.NoError(t, err)
		b, err := EncodePayload(m)
		require.NoError(t, err)
		require.Equal(t, payload, string(b))
	}
	for _, payload := range []string{
		`{"method":"leave","target":"peer","notification":true}`,
		`{"method":"leave","target":"room","notification":true}`,
		`{"method":"leave","notification":true}`,
		`{"method":"queryRoom","target":"peer","notification":true}`,
		`{"method":"queryRoom","target":"room","notification":true}`,
		`{"method":"foo","target":"peer","notification":true,"id":"x"}`,
	} {
		m, err := DecodePayload("", []byte(payload))
		require.NoError(t, err)
		b, err := EncodePayload(m)
		require.NoError(t, err)
		require.Equal(t, payload, string(b))
	}
}

// What stands in the wrong place is not known there.
func TestAMethodInTheWrongPlaceIsUnknown(t *testing.T) {
	t.Parallel()
	for typ, def := range registry {
		right, wrong := []byte(`{"method":"`+typ+`"}`), []byte(`{"method":"`+typ+`","notification":true}`)
		id := ID("7")
		if def.kind == FrameNotification {
			right, wrong, id = wrong, right, ""
		}
		m, err := DecodePayload(id, right)
		require.NoError(t, err, typ)
		require.IsType(t, def.construct(), m)
		if id == "" {
			id = "7"
		} else {
			id = ""
		}
		m, err = DecodePayload(id, wrong)
		require.NoError(t, err, typ)
		require.IsType(t, new(Unknown), m)
		require.Equal(t, typ, m.wireType())
		require.NoError(t, m.Validate())
		require.Equal(t, id == "7", kindOf(m) == FrameRequest)
	}
	require.Error(t, (&Unknown{Type: "leave"}).Validate(), "it has a type")
	require.NoError(t, (&Unknown{Type: "foo"}).Validate())
}

// What an application makes itself is a request if it has a number.
func TestAnUnknownMessageWithANumberIsARequest(t *testing.T) {
	t.Parallel()
	b, err := Encode(&Unknown{Type: "foo", Extra: Fields{"a": raw("1")}})
	require.NoError(t, err)
	require.Equal(t, string(note(`{"method":"foo","target":"peer","notification":true,"a":1}`)), string(b))
	b, err = Encode(&Unknown{Head: Head{RequestID: "7"}, Type: "foo", Extra: Fields{"a": raw("1")}})
	require.NoError(t, err)
	require.Equal(t, string(request(`{"method":"foo","target":"peer","a":1}`)), string(b))
	b, err = EncodePayload(&Response{Head: Head{RequestID: "7"}, Result: raw(`{"a":1}`)})
	require.NoError(t, err)
	require.Equal(t, `{"a":1}`, string(b))
	require.Equal(t, FrameResponse, kindOf(new(Response)))
	require.Equal(t, FrameNotification, kindOf(newShared(new(Leave))))
}

func TestLevelsAreCountedFromTheFrame(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{62: nil, 63: jsonx.ErrDepth} {
		payload := `{"method":"foo","target":"peer","a":` + nestedArrays(n) + `}`
		_, err := Decode(request(payload))
		require.ErrorIs(t, err, want)
		m, err := DecodePayload("7", []byte(payload))
		require.ErrorIs(t, err, want, "what would be too deep in a frame")
		if want != nil {
			require.Equal(t, ID("7"), err.(*DecodeError).RequestID)
			continue
		}
		for _, f := range framings {
			b, err := EncodeFramed(f, m)
			require.NoError(t, err)
			again, err := DecodeFramed(f, transport.Text, b)
			require.NoError(t, err)
			require.Equal(t, m, again)
		}
	}
}

func TestSpacesAndEscapesChangeNothing(t *testing.T) {
	t.Parallel()
	want, err := Decode(request(`{"method":"join","target":"room","peerName":"a","spy":true}`))
	require.NoError(t, err)
	for _, payload := range []string{
		" { \"method\" : \"join\" ,\r\n\t\"target\" : \"room\" , \"peerName\" : \"a\" , \"spy\" : true } ",
		`{"spy":true,"peerName":"a","target":"room","method":"join"}`,
		`{"m\u0065thod":"jo\u0069n","target":"\u0072oom","p\u0065erName":"\u0061","spy":true}`,
	} {
		m, err := Decode(request(payload))
		require.NoError(t, err)
		require.Equal(t, want, m)
	}
	number, err := Decode(request(`{"method":"restartTransport","target":"peer","id":1.5e1}`))
	require.NoError(t, err)
	require.Equal(t, uint32(15), number.(*RestartTransport).ID)
}

// An absent member is not null, and null is not a member of a type that has none.
func TestNullIsKeptWhereItMayBeAndRefusedElsewhere(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]json.RawMessage{
		`{"method":"leave","notification":true}`:                  nil,
		`{"method":"leave","notification":true,"appData":null}`:   raw("null"),
		`{"method":"leave","notification":true,"appData":[ 1.0]}`: raw("[ 1.0]"),
	} {
		m, err := DecodePayload("", []byte(payload))
		require.NoError(t, err)
		require.Equal(t, want, m.(*Leave).AppData)
		b, err := EncodePayload(m)
		require.NoError(t, err)
		require.Equal(t, payload, string(b))
	}
	m, err := DecodePayload("7", []byte(`{"method":"createProducer","rtpParameters":{"muxId":null,"codecs":[]}}`))
	require.NoError(t, err)
	require.Equal(t, NullMuxID, m.(*CreateProducer).RTPParameters.MuxID)
	m, err = DecodePayload("7", []byte(`{"method":"join","rtpCapabilities":{"codecs":null,"headerExtensions":null}}`))
	require.NoError(t, err)
	require.Equal(t, new(RTPCapabilities), m.(*Join).RTPCapabilities, "null is no list, and Validate sees that")
	m, err = DecodePayload("", []byte(`{"method":"newConsumer","notification":true,"effectiveProfile":null}`))
	require.NoError(t, err)
	require.Nil(t, m.(*NewConsumer).EffectiveProfile)
	for _, member := range []string{
		`"rtpCapabilities":null`, `"peerName":null`, `"spy":null`, `"rtpCapabilities":{"codecs":[null]}`,
		`"rtpCapabilities":{"codecs":[{"clockRate":null}]}`, `"spy":1`, `"spy":"true"`,
	} {
		_, err := DecodePayload("7", []byte(`{"method":"join",`+member+`}`))
		require.ErrorIs(t, err, jsonx.ErrType, member)
	}
}

func TestEncodeRefusesWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	head := Head{RequestID: "7"}
	for want, m := range map[string]Message{
		"mediasoupproto: encode nothing: does not exist on the wire":     nil,
		"mediasoupproto: encode reconnected: does not exist on the wire": &Reconnected{},
		"mediasoupproto: encode queryRoom: id: missing":                  &QueryRoom{},
		"mediasoupproto: encode queryRoom: id: wrong JSON type":          &QueryRoom{Head: Head{RequestID: "x"}},
		"mediasoupproto: encode response: id: missing":                   &Response{},
		"mediasoupproto: encode join: peerName: invalid UTF-8":           &Join{Head: head, PeerName: "\xff"},
		"mediasoupproto: encode join: appData: not JSON":                 &Join{Head: head, AppData: raw("no")},
		"mediasoupproto: encode leave: appData: nested too deeply":       &Leave{AppData: raw(nestedArrays(63))},
		"mediasoupproto: encode leave: target: duplicate member name: Extra holds a member of the message": &Leave{
			Extra: Fields{"target": raw(`"peer"`)},
		},
		"mediasoupproto: encode join: rtpCapabilities.codecs[0].parameters.a: not JSON": &Join{
			Head: head, RTPCapabilities: &RTPCapabilities{Codecs: []CodecCapability{{Parameters: Fields{"a": raw("{")}}}},
		},
		"mediasoupproto: encode \xff: method: invalid UTF-8":                &Unknown{Type: "\xff"},
		"mediasoupproto: encode application message: method: is reserved":   &Application{Method: MethodNotification},
		"mediasoupproto: encode application message: method: invalid UTF-8": &Application{Method: "\xff"},
		"mediasoupproto: encode application message: not JSON at byte 0":    &Application{Method: "a", Data: raw("x")},
		"mediasoupproto: encode response: duplicate member name at byte 7": &Response{
			Head: head, Result: raw(`{"a":1,"a":1}`),
		},
		"mediasoupproto: encode response: invalid UTF-8": &Response{Head: head, Error: &Error{Reason: "\xff"}},
		"mediasoupproto: encode transportStats: stats[1]: not JSON": &TransportStats{
			Stats: []json.RawMessage{raw("1"), raw("x")},
		},
	} {
		b, err := Encode(m)
		require.Nil(t, b)
		require.ErrorContains(t, err, want)
	}
	_, err := EncodePayload(&Response{Head: head, Error: new(Error)})
	require.Error(t, err, "an error has no payload")
	_, err = EncodePayload(nil)
	require.ErrorIs(t, err, errNotOnWire)
}

func TestEncodeDoesNotEscapeForHTML(t *testing.T) {
	t.Parallel()
	b, err := Encode(&PeerClosed{Name: "<&>\u2028\"\u0007"})
	require.NoError(t, err)
	require.Equal(t, string(note(`{"method":"peerClosed","target":"peer","notification":true,`+
		"\"name\":\"<&>\u2028\\\"\\u0007\"}")), string(b))
}

// Members stand in the order of their struct, maps in that of their names.
func TestEncodeWritesTheMembersInTheirOrder(t *testing.T) {
	t.Parallel()
	no := false
	cname := ""
	m := &CreateProducer{
		Head: Head{RequestID: "7"}, ID: 1, Kind: Video, TransportID: 2, AppData: raw("null"),
		Extra: Fields{"z": raw("1"), "b": raw("2")},
		RTPParameters: &RTPParameters{
			MuxID: "0",
			Codecs: []CodecParameters{{
				Name: "VP8", MimeType: "video/VP8", ClockRate: 90000, PayloadType: new(uint8(0)), RTCPFeedback: []RTCPFeedback{},
				Parameters: Fields{"b": raw("1"), "a": raw(`"x"`)},
			}},
			HeaderExtensions: []HeaderExtension{{URI: "u", ID: 3, Encrypt: &no}},
			Encodings:        []Encoding{{SSRC: 4, RTX: &RTX{SSRC: 5}, Profile: ProfileLow}, {EncodingID: "r"}},
			RTCP:             &RTCPParameters{CNAME: &cname, Mux: &no},
		},
	}
	b, err := EncodePayload(m)
	require.NoError(t, err)
	require.Equal(t, `{"method":"createProducer","target":"peer","id":1,"kind":"video","transportId":2,"rtpParameters":`+
		`{"muxId":"0","codecs":[{"name":"VP8","mimeType":"video/VP8","clockRate":90000,"payloadType":0,"rtcpFeedback":[],`+
		`"parameters":{"a":"x","b":1}}],"headerExtensions":[{"uri":"u","id":3,"encrypt":false}],`+
		`"encodings":[{"ssrc":4,"rtx":{"ssrc":5},"profile":"low"},{"encodingId":"r"}],"rtcp":{"cname":"","mux":false}},`+
		`"paused":false,"appData":null,"b":2,"z":1}`, string(b))
	again, err := DecodePayload("7", b)
	require.NoError(t, err)
	m.kind = FrameRequest
	require.Equal(t, m, again)
}

// Clients break without these lists.
func TestListsThatMustBeThereAreWrittenWhenTheyAreNil(t *testing.T) {
	t.Parallel()
	result, err := appendResult(&JoinResult{Peers: []*PeerInfo{{Name: "a"}}})
	require.NoError(t, err)
	require.Equal(t, `{"peers":[{"consumers":[],"name":"a"}]}`, string(result))
	result, err = appendResult(new(JoinResult))
	require.NoError(t, err)
	require.Equal(t, `{"peers":[]}`, string(result))
	b, err := EncodePayload(&ProducerStats{ID: 5})
	require.NoError(t, err)
	require.Equal(t, `{"method":"producerStats","target":"peer","notification":true,"id":5,"stats":[]}`, string(b))
}

func TestResponsesAreReadAsTheirRequestWantsThem(t *testing.T) {
	t.Parallel()
	of := func(result string) *Response { return &Response{Head: Head{RequestID: "7"}, Result: raw(result)} }
	room, err := of(`{"rtpCapabilities":{"codecs":[]},"mandatoryCodecPayloadTypes":[100,0]}`).QueryRoom()
	require.NoError(t, err)
	require.Equal(t, []uint8{100, 0}, room.MandatoryCodecPayloadTypes)
	room, err = of(``).QueryRoom()
	require.NoError(t, err)
	require.Equal(t, new(QueryRoomResult), room)
	enabled, err := of(`{"paused":true,"preferredProfile":"default","effectiveProfile":"low","a":1}`).EnableConsumer()
	require.NoError(t, err)
	require.Equal(t, ProfileLow, *enabled.EffectiveProfile)
	require.Equal(t, Fields{"a": raw("1")}, enabled.Extra)
	for result, want := range map[string]string{
		`[]`:          "mediasoupproto: decode join: not a JSON object",
		`5`:           "mediasoupproto: decode join: not a JSON object",
		`{"peers":5}`: "mediasoupproto: decode join: peers: wrong JSON type",
		`{"peers":[{"name":"a"},{"consumers":[{"id":-1}]}]}`: "mediasoupproto: decode join: peers[1].consumers[0].id: " +
			"number out of range",
	} {
		_, err := of(result).Join()
		require.EqualError(t, err, want)
		require.IsType(t, new(DecodeError), err)
	}
	refused := &Response{Error: ErrTransportNotFound}
	_, err = refused.CreateTransport()
	require.Equal(t, error(ErrTransportNotFound), err)
	_, err = refused.RestartTransport()
	require.ErrorIs(t, err, ErrTransportNotFound)
}

// Whoever reads a connection reads the next message into the same memory.
func TestDecodeKeepsNothingOfWhatItIsGiven(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		want, err := v.decode()
		if err != nil {
			continue
		}
		text := []byte(v.Wire)
		got, err := Decode(text)
		require.NoError(t, err, v.Name)
		for i := range text {
			text[i] = '#'
		}
		require.Equal(t, want, got, v.Name)
	}
}

// Bytes that are appended to a member must not run into the next one.
func TestMembersOfAMessageDoNotGrowIntoEachOther(t *testing.T) {
	t.Parallel()
	m, err := Decode(request(`{"method":"join","appData":[1],"a":2,"peerName":"alice"}`))
	require.NoError(t, err)
	j := m.(*Join)
	_ = append(j.AppData, "#########"...)
	_ = append(j.Extra["a"], "#########"...)
	require.Equal(t, "alice", j.PeerName)
	require.Equal(t, raw("2"), j.Extra["a"])
}

func TestTheDecoderOfAConnectionHasALimit(t *testing.T) {
	t.Parallel()
	text := request(`{"method":"queryRoom","target":"room"}`)
	_, err := decoder(Protoo, len(text))(transport.Text, text)
	require.NoError(t, err)
	_, err = decoder(Protoo, len(text)-1)(transport.Text, text)
	require.ErrorIs(t, err, errTooBig)
	require.IsType(t, new(DecodeError), err)
	_, err = decoder(Protoo, 0)(transport.Text, text)
	require.NoError(t, err, "0 is none")
	_, err = decoder(Protoo, 0)(transport.Binary, text)
	require.ErrorIs(t, err, errBinary)
}

// A shared message is encoded once and is as if it were not.
func TestASharedMessageIsTheSameForEverybody(t *testing.T) {
	t.Parallel()
	one := &PeerClosed{Name: "alice", AppData: raw(`{"why":"bye"}`)}
	many := newShared(one)
	for _, f := range []Framing{Protoo, TypeBody, SocketIO} {
		want, err := EncodeFramed(f, one)
		require.NoError(t, err)
		for range 2 {
			b, err := appendMessage(f, nil, many)
			require.NoError(t, err)
			require.Equal(t, string(want), string(b))
		}
	}
	one.Name = "bob" // too late
	b, err := EncodePayload(many)
	require.NoError(t, err)
	require.Contains(t, string(b), "alice")
	broken := newShared(&PeerClosed{Name: "\xff"})
	for range 2 {
		b, err := appendMessage(Protoo, []byte("before"), broken)
		require.Error(t, err)
		require.Equal(t, "before", string(b))
	}
}

// The estimate of a message's size spares the writer from growing its buffer.
func TestSizesAreEnoughForMostMessages(t *testing.T) {
	t.Parallel()
	lines := wireLines(t)
	enough, count := 0, 0
	for i := range lines {
		l := &lines[i]
		if l.Dir != "c2s" && l.Dir != "s2c" || l.Kind != "request" && l.Kind != "notification" {
			continue
		}
		m, err := payloadOf(l)
		if err != nil {
			continue
		}
		b, err := Encode(m)
		require.NoError(t, err)
		count++
		if size(m) >= len(b) {
			enough++
		}
		require.Less(t, size(m), 8*len(b)+1000, "%T", m)
	}
	require.Greater(t, enough, count*9/10)
}
