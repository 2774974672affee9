package mediasoupproto

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// framings are all that there are, by name.
var framings = map[string]Framing{
	"protoo": Protoo, "protoo 2": Protoo2, "type and body": TypeBody, "socket.io": SocketIO,
}

// A framed is a text with the frame that is in it, or with what is wrong.
type framed struct {
	text string
	want Frame
	err  error
}

func requireFrames(t *testing.T, framing Framing, all []framed) {
	t.Helper()
	for _, tt := range all {
		before := tt.text
		f, err := framing.Parse(transport.Text, []byte(tt.text))
		if tt.err != nil {
			require.ErrorIs(t, err, tt.err, tt.text)
			continue
		}
		require.NoError(t, err, tt.text)
		require.Equal(t, tt.want, f, tt.text)
		require.Equal(t, before, tt.text)
	}
	_, err := framing.Parse(transport.Binary, []byte(all[0].text))
	require.ErrorIs(t, err, errBinary)
}

func raw(text string) json.RawMessage { return json.RawMessage(text) }

// The shapes of protoo are told by truth, in one order, and what is not needed is not looked at.
func TestProtooTakesWhatProtooTakes(t *testing.T) {
	t.Parallel()
	request := Frame{Kind: FrameRequest, ID: "7", Method: "m"}
	notification := Frame{Kind: FrameNotification, Method: "m"}
	response := Frame{Kind: FrameResponse, ID: "7"}
	with := func(f Frame, data string) Frame {
		f.Data = raw(data)
		return f
	}
	failed := func(code int, reason string) Frame {
		return Frame{Kind: FrameResponse, ID: "7", Error: &Error{Code: code, Reason: reason}}
	}
	for _, framing := range []Framing{Protoo, Protoo2} {
		requireFrames(t, framing, []framed{
			{text: `{"request":true,"id":7,"method":"m","data":{"a":1}}`, want: with(request, `{"a":1}`)},
			{text: ` { "data" : { } , "method" : "m" , "id" : 7 , "request" : true } `, want: with(request, `{ }`)},
			{text: `{"request":true,"id":7,"method":"m"}`, want: request},
			{text: `{"request":true,"id":7,"method":"m","data":null}`, want: request},
			{text: `{"request":true,"id":7,"method":"m","data":0}`, want: request},
			{text: `{"request":true,"id":7,"method":"m","data":-0.0e5}`, want: request},
			{text: `{"request":true,"id":7,"method":"m","data":""}`, want: request},
			{text: `{"request":true,"id":7,"method":"m","data":false}`, want: request},
			{text: `{"request":true,"id":7,"method":"m","data":[]}`, want: with(request, `[]`)},
			{text: `{"request":true,"id":7,"method":"m","data":"0"}`, want: with(request, `"0"`)},
			{text: `{"request":true,"id":7,"method":"m","data":1e400}`, want: with(request, `1e400`)},
			{text: `{"request":1,"id":7,"method":"m"}`, want: request},
			{text: `{"request":"no","id":7,"method":"m"}`, want: request},
			{text: `{"request":[],"id":7,"method":"m"}`, want: request},
			{text: `{"request":{},"response":true,"notification":true,"id":7,"method":"m","ok":true}`, want: request},
			{text: `{"request":false,"response":true,"notification":true,"id":7,"method":"m","ok":true}`, want: response},
			{text: `{"request":null,"response":0,"notification":true,"id":7,"method":"m"}`, want: notification},
			{text: `{"request":true,"id":-1.5e3,"method":""}`, want: Frame{Kind: FrameRequest, ID: "-1.5e3"}},
			{text: `{"request":true,"id":0,"method":"m","acme":1}`, want: Frame{Kind: FrameRequest, ID: "0", Method: "m"}},
			{text: `{"notification":true,"method":"m","data":{}}`, want: with(notification, `{}`)},
			{text: `{"notification":true,"id":"no number","method":"m"}`, want: notification},
			{text: `{"response":true,"id":7,"ok":true,"data":{}}`, want: with(response, `{}`)},
			{text: `{"response":true,"id":7,"ok":"yes","data":0,"method":5}`, want: response},
			{text: `{"response":true,"id":7,"ok":true,"errorCode":500,"errorReason":"no"}`, want: response},
			{text: `{"response":true,"id":7,"errorCode":500,"errorReason":"no","data":{}}`, want: failed(500, "no")},
			{text: `{"response":true,"id":7,"ok":false,"errorCode":403,"errorReason":"no"}`, want: failed(403, "no")},
			{text: `{"response":true,"id":7}`, want: failed(0, "")},
			{text: `{"response":true,"id":7,"ok":0,"errorCode":"500","errorReason":5}`, want: failed(0, "")},
			{text: `{"response":true,"id":7,"errorCode":1.5,"errorReason":null}`, want: failed(0, "")},
			{
				text: `{"request":true,"id":7,"method":"mediasoup-notification","data":{}}`,
				want: Frame{Kind: FrameNotification, ID: "7", Method: MethodNotification, Data: raw(`{}`)},
			},
			{
				text: `{"notification":true,"method":"mediasoup-request","data":{}}`,
				want: Frame{Kind: FrameNotification, Method: MethodRequest, Data: raw(`{}`)},
			},

			{text: `{}`, err: errNoKind},
			{text: `{"id":7,"method":"m"}`, err: errNoKind},
			{text: `{"Request":true,"id":7,"method":"m"}`, err: errNoKind},
			{text: `{"request":true,"method":"m"}`, err: jsonx.ErrType},
			{text: `{"request":true,"id":"7","method":"m"}`, err: jsonx.ErrType},
			{text: `{"request":true,"id":null,"method":"m"}`, err: jsonx.ErrType},
			{text: `{"request":true,"id":7}`, err: jsonx.ErrType},
			{text: `{"request":true,"id":7,"method":7}`, err: jsonx.ErrType},
			{text: `{"notification":true}`, err: jsonx.ErrType},
			{text: `{"response":true,"ok":true}`, err: jsonx.ErrType},
			{text: `{"response":true,"id":[7],"ok":true}`, err: jsonx.ErrType},
			{text: `{"response":true,"id":` + strings.Repeat("1", 33) + `,"ok":true}`, err: jsonx.ErrType},
			{text: `[]`, err: jsonx.ErrNotObject},
			{text: `"request"`, err: jsonx.ErrNotObject},
			{text: `null`, err: jsonx.ErrNotObject},
			{text: ``, err: jsonx.ErrSyntax},
			{text: `{"request":true,"request":true,"id":7,"method":"m"}`, err: jsonx.ErrDuplicate},
			{text: `{"request":true,"id":7,"method":"m"} {}`, err: jsonx.ErrSyntax},
			{text: "{\"request\":true,\"id\":7,\"method\":\"\xff\"}", err: jsonx.ErrUTF8},
		})
	}
}

func TestTypeAndBodyHasOneShape(t *testing.T) {
	t.Parallel()
	failed := func(code int, reason string) Frame {
		return Frame{Kind: FrameResponse, ID: "7", Error: &Error{Code: code, Reason: reason}}
	}
	requireFrames(t, TypeBody, []framed{
		{
			text: `{"type":"mediasoup-request","id":7,"body":{"a":1}}`,
			want: Frame{Kind: FrameRequest, ID: "7", Method: MethodRequest, Data: raw(`{"a":1}`)},
		},
		{
			text: `{"type":"mediasoup-notification","body":{}}`,
			want: Frame{Kind: FrameNotification, Method: MethodNotification, Data: raw(`{}`)},
		},
		{
			text: `{"type":"mediasoup-notification","id":7}`,
			want: Frame{Kind: FrameNotification, ID: "7", Method: MethodNotification},
		},
		{text: `{"type":"chat","body":"hello"}`, want: Frame{Kind: FrameNotification, Method: "chat", Data: raw(`"hello"`)}},
		{text: `{"type":"chat","id":null}`, want: Frame{Kind: FrameNotification, Method: "chat"}},
		{text: `{"type":"chat","id":7}`, want: Frame{Kind: FrameRequest, ID: "7", Method: "chat"}},
		{
			text: `{"type":"mediasoup-response","id":7,"body":{}}`,
			want: Frame{Kind: FrameResponse, ID: "7", Data: raw(`{}`)},
		},
		{text: `{"type":"mediasoup-response","id":7,"error":""}`, want: Frame{Kind: FrameResponse, ID: "7"}},
		{text: `{"type":"mediasoup-response","id":7,"error":null}`, want: Frame{Kind: FrameResponse, ID: "7"}},
		{text: `{"type":"mediasoup-response","id":7,"error":"no","body":{}}`, want: failed(0, "no")},
		{text: `{"type":"mediasoup-response","id":7,"code":403,"error":"no"}`, want: failed(403, "no")},
		{text: `{"type":"mediasoup-response","id":7,"code":"x","error":{"message":"no"}}`, want: failed(0, "no")},
		{text: `{"type":"mediasoup-response","id":7,"error":{"a":1}}`, want: failed(0, `{"a":1}`)},
		{text: `{"type":"mediasoup-response","id":7,"error":true}`, want: failed(0, "true")},

		{text: `{"type":"mediasoup-request","body":{}}`, err: jsonx.ErrMissing},
		{text: `{"type":"mediasoup-response","body":{}}`, err: jsonx.ErrMissing},
		{text: `{"type":"chat","id":"7"}`, err: jsonx.ErrType},
		{text: `{"type":7}`, err: jsonx.ErrType},
		{text: `{"body":{}}`, err: jsonx.ErrType},
		{text: `[]`, err: jsonx.ErrNotObject},
	})
}

func TestSocketIOHasEventsAndAcknowledgements(t *testing.T) {
	t.Parallel()
	failed := func(reason string) Frame {
		return Frame{Kind: FrameResponse, ID: "7", Error: &Error{Code: CodeFailed, Reason: reason}}
	}
	requireFrames(t, SocketIO, []framed{
		{
			text: `27["mediasoup-request",{"a":1}]`,
			want: Frame{Kind: FrameRequest, ID: "7", Method: MethodRequest, Data: raw(`{"a":1}`)},
		},
		{
			text: `2["mediasoup-notification",{}]`,
			want: Frame{Kind: FrameNotification, Method: MethodNotification, Data: raw(`{}`)},
		},
		{
			text: `27["mediasoup-notification",{}]`,
			want: Frame{Kind: FrameNotification, ID: "7", Method: MethodNotification, Data: raw(`{}`)},
		},
		{
			text: `2/,7["mediasoup-request",{},"more"]`,
			want: Frame{Kind: FrameRequest, ID: "7", Method: MethodRequest, Data: raw(`{}`)},
		},
		{text: `27["mediasoup-request"]`, want: Frame{Kind: FrameRequest, ID: "7", Method: MethodRequest}},
		{text: `20["mediasoup-request",null]`, want: Frame{Kind: FrameRequest, ID: "0", Method: MethodRequest}},
		{text: `2["chat","hello"]`, want: Frame{Kind: FrameNotification, Method: "chat", Data: raw(`"hello"`)}},
		{text: `27["chat"]`, want: Frame{Kind: FrameRequest, ID: "7", Method: "chat"}},
		{text: `37[null,{"a":1}]`, want: Frame{Kind: FrameResponse, ID: "7", Data: raw(`{"a":1}`)}},
		{text: `37[]`, want: Frame{Kind: FrameResponse, ID: "7"}},
		{text: `37[0]`, want: Frame{Kind: FrameResponse, ID: "7"}},
		{text: `37["",false]`, want: Frame{Kind: FrameResponse, ID: "7"}},
		{text: `37["no",{}]`, want: failed("no")},
		{text: `37[{"message":"no"}]`, want: failed("no")},
		{text: `37[{"message":5}]`, want: failed(`{"message":5}`)},
		{text: `37[500]`, want: failed("500")},

		{text: `2["mediasoup-request",{}]`, err: jsonx.ErrMissing},
		{text: `3[null,{}]`, err: errNoKind},
		{text: `0`, err: errNoKind},
		{text: `1`, err: errNoKind},
		{text: `4{"message":"no"}`, err: errNoKind},
		{text: `51-7["mediasoup-request",{"_placeholder":true,"num":0}]`, err: errNoKind},
		{text: `61-7[null,{"_placeholder":true,"num":0}]`, err: errNoKind},
		{text: `27[7]`, err: jsonx.ErrType},
		{text: `27["disconnect"]`, err: socketio.ErrPayload},
		{text: `27{}`, err: socketio.ErrPayload},
		{text: `2/room,7["mediasoup-request",{}]`, err: socketio.ErrNamespace},
		{text: `9`, err: socketio.ErrType},
		{text: `27["mediasoup-request",{"a":1,"a":1}]`, err: jsonx.ErrDuplicate},
		{text: `27["mediasoup-request",` + nestedArrays(64) + `]`, err: jsonx.ErrDepth},
		{text: `37[null,` + nestedArrays(64) + `]`, err: jsonx.ErrDepth},
	})
}

// Every message goes through every framing and is the same again.
func TestEveryFramingCarriesEveryMessage(t *testing.T) {
	t.Parallel()
	for framing, f := range framings {
		count := 0
		for _, v := range readVectors(t) {
			m, err := v.decode()
			if err != nil || v.Problem != "" {
				continue
			}
			if m.head().RequestID == "-1.5e3" { // which Socket.IO has no room for
				m.head().RequestID = "12"
			}
			b, err := EncodeFramed(f, m)
			require.NoError(t, err, "%s: %s", framing, v.Name)
			again, err := DecodeFramed(f, transport.Text, b)
			require.NoError(t, err, "%s: %s: %s", framing, v.Name, b)
			_, application := m.(*Application)
			switch notification := m.head().kind == FrameNotification; {
			case f == Protoo2 && notification && application:
				require.NotEmpty(t, again.head().RequestID)
				*again.head() = *m.head() // all of an application's are requests
			case f == Protoo2 && notification:
				require.NotEmpty(t, again.head().RequestID)
				again.head().RequestID = ""
			}
			switch m := m.(type) {
			case *Application:
				if m.Data == nil {
					m.Data = raw(`{}`)
				}
			case *Response:
				if m.Error == nil && m.Result == nil {
					m.Result = raw(`{}`)
				}
				if m.Error != nil && f == SocketIO {
					m.Error.Code = CodeFailed // there is no room for another one
				}
				if m.Error != nil && m.Error.Reason == "" && (f == SocketIO || f == TypeBody) {
					m.Error.Reason = "Error"
				}
			}
			require.Equal(t, m, again, "%s: %s: %s", framing, v.Name, b)
			count++
		}
		require.Greater(t, count, 80)
	}
}

func TestFramingsWriteWhatTheirPeersRead(t *testing.T) {
	t.Parallel()
	leave := func(id ID) Message {
		m := new(Leave)
		m.RequestID = id
		return m
	}
	query := &QueryRoom{Head: Head{RequestID: "7"}}
	const q, l = `{"method":"queryRoom","target":"room"}`, `{"method":"leave","target":"peer","notification":true}`
	yes := &Response{Head: Head{RequestID: "7"}, Result: raw(`{"peers":[]}`)}
	empty := &Response{Head: Head{RequestID: "7"}}
	no := &Response{Head: Head{RequestID: "7"}, Error: &Error{Code: 403, Reason: `no "way"`}}
	bare := &Response{Head: Head{RequestID: "7"}, Error: new(Error)}
	chat := &Application{Method: "chat", Data: raw(`"hi"`)}
	ask := &Application{Head: Head{RequestID: "7"}, Method: "ask"}
	for framing, texts := range map[string][]struct {
		m    Message
		want string
	}{
		"protoo": {
			{query, `{"request":true,"id":7,"method":"mediasoup-request","data":` + q + `}`},
			{leave(""), `{"notification":true,"method":"mediasoup-notification","data":` + l + `}`},
			{leave("7"), `{"request":true,"id":7,"method":"mediasoup-notification","data":` + l + `}`},
			{yes, `{"response":true,"id":7,"ok":true,"data":{"peers":[]}}`},
			{empty, `{"response":true,"id":7,"ok":true,"data":{}}`},
			{no, `{"response":true,"id":7,"errorCode":403,"errorReason":"no \"way\""}`},
			{bare, `{"response":true,"id":7,"errorCode":0,"errorReason":""}`},
			{chat, `{"notification":true,"method":"chat","data":"hi"}`},
			{ask, `{"request":true,"id":7,"method":"ask","data":{}}`},
		},
		"protoo 2": {
			{query, `{"request":true,"id":7,"method":"mediasoup-request","data":` + q + `}`},
			{leave("7"), `{"request":true,"id":7,"method":"mediasoup-notification","data":` + l + `}`},
			{ask, `{"request":true,"id":7,"method":"ask","data":{}}`},
		},
		"type and body": {
			{query, `{"type":"mediasoup-request","id":7,"body":` + q + `}`},
			{leave(""), `{"type":"mediasoup-notification","body":` + l + `}`},
			{yes, `{"type":"mediasoup-response","id":7,"body":{"peers":[]}}`},
			{empty, `{"type":"mediasoup-response","id":7,"body":{}}`},
			{no, `{"type":"mediasoup-response","id":7,"code":403,"error":"no \"way\""}`},
			{bare, `{"type":"mediasoup-response","id":7,"error":"Error"}`},
			{chat, `{"type":"chat","body":"hi"}`},
			{ask, `{"type":"ask","id":7,"body":{}}`},
		},
		"socket.io": {
			{query, `27["mediasoup-request",` + q + `]`},
			{leave(""), `2["mediasoup-notification",` + l + `]`},
			{yes, `37[null,{"peers":[]}]`},
			{empty, `37[null,{}]`},
			{no, `37["no \"way\""]`},
			{bare, `37["Error"]`},
			{chat, `2["chat","hi"]`},
			{ask, `27["ask",{}]`},
		},
	} {
		for _, tt := range texts {
			b, err := EncodeFramed(framings[framing], tt.m)
			require.NoError(t, err, framing)
			require.Equal(t, tt.want, string(b), framing)
		}
	}
}

// A client of protoo 2 gives its notifications numbers that no request in flight has.
func TestNotificationsOfProtoo2AreRequestsOfTheirOwnNumbers(t *testing.T) {
	t.Parallel()
	framing := &protooFraming{two: true}
	seen := map[ID]bool{}
	for range 100 {
		for _, m := range []Message{new(Leave), &Application{Method: "chat"}} {
			b, err := EncodeFramed(framing, m)
			require.NoError(t, err)
			again, err := DecodeFramed(framing, transport.Text, b)
			require.NoError(t, err)
			id := again.head().RequestID
			require.Len(t, id, 8) // those of requests have 7
			require.False(t, seen[id])
			seen[id] = true
			require.Empty(t, m.head().RequestID)
		}
	}
}

func TestFramingsRefuseWhatTheyCannotCarry(t *testing.T) {
	t.Parallel()
	with := func(id ID) Message { return &QueryRoom{Head: Head{RequestID: id}} }
	for _, framing := range framings {
		for _, id := range []ID{"", "x", `"7"`, "1x", "-", "01", "1 2", "{}", ID(strings.Repeat("1", 33))} {
			_, err := EncodeFramed(framing, with(id))
			require.Error(t, err, id)
		}
		for _, m := range []Message{
			&Application{Method: MethodRequest}, &Application{Method: "\xff"}, &Response{Result: raw(`{}`)},
			&Response{Head: Head{RequestID: "7"}, Result: raw(`{`)}, &Application{Method: "a", Data: raw(`1 2`)},
			&Response{Head: Head{RequestID: "7"}, Error: &Error{Reason: "\xff"}}, nil, &Reconnected{},
			&Application{Method: "a", Data: raw(nestedArrays(64))},
		} {
			b, err := EncodeFramed(framing, m)
			require.Error(t, err)
			require.Nil(t, b)
		}
		b, err := EncodeFramed(framing, &Application{Method: "a", Data: raw(nestedArrays(63))})
		require.NoError(t, err)
		_, err = DecodeFramed(framing, transport.Text, b)
		require.NoError(t, err)
	}
	for _, id := range []ID{"-1", "1.5", "9223372036854775808"} {
		_, err := EncodeFramed(SocketIO, with(id))
		require.EqualError(t, err, "mediasoupproto: encode queryRoom: id: number out of range")
	}
	_, err := EncodeFramed(SocketIO, &Application{Method: "disconnect"})
	require.EqualError(t, err, "mediasoupproto: encode application message: method: is reserved")
}

func TestTruthIsThatOfJavaScript(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "false": false, "null": false, `""`: false, "0": false, "-0": false, "0.0": false, "0e9": false,
		"1e-999": false,

		"true": true, `"0"`: true, `"false"`: true, "1": true, "-1": true, "0.1": true, "1e999": true,
		"{}": true, "[]": true,
	} {
		require.Equal(t, want, truthy(raw(text)), text)
	}
}

// What is between two ends is not changed by framings that need nothing to open.
func TestOnlySocketIOOpensItsConnections(t *testing.T) {
	t.Parallel()
	near, far := transport.Pipe()
	for _, framing := range []Framing{Protoo, Protoo2, TypeBody} {
		require.Same(t, near, framing.Open(near, true))
		require.Same(t, far, framing.Open(far, false))
	}
	opened := SocketIO.Open(near, true)
	require.NotSame(t, near, opened)
	require.Same(t, near, opened.(interface{ Unwrap() transport.Conn }).Unwrap())
}
