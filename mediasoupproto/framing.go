package mediasoupproto

import (
	"encoding/json"
	"strconv"
	"sync/atomic"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A Framing puts messages into the messages of a connection and finds them again. mediasoup
// leaves that to applications; [Protoo] is what its own demo uses, and the default
// everywhere. Its methods may be called concurrently.
type Framing interface {
	// Open does to a connection what must happen before its first frame, and between
	// frames. Most framings return conn. client is set on the side that has opened it.
	Open(conn transport.Conn, client bool) transport.Conn
	// Parse reads a frame, which may point into data. What a frame of mediasoup's has for data
	// is checked afterwards, also for duplicate names and UTF-8; what stands around it, and the
	// data of the application and of responses, is Parse's to check. After an error the message
	// is ignored, and nobody is answered.
	Parse(typ transport.MessageType, data []byte) (Frame, error)
	// AppendHead appends what stands in front of a frame's data, and AppendTail what
	// stands behind it. An error has no data. They must not keep the frame.
	AppendHead(dst []byte, f *Frame) ([]byte, error)
	AppendTail(dst []byte, f *Frame) []byte
}

// A FrameKind says what a frame is.
type FrameKind int

// The kinds of frames.
const (
	FrameRequest FrameKind = iota + 1
	FrameResponse
	FrameNotification
)

// A Frame is a message of the connection without its data's meaning.
type Frame struct {
	Kind   FrameKind
	ID     ID              // a number: of a request, and of the one that a response answers
	Method string          // [MethodRequest], [MethodNotification], or of the application's own; "" in a response
	Data   json.RawMessage // nil is an empty object
	Error  *Error          // of a response; nil is a success
}

// protooFraming is the framing of protoo, from version 3 on or of version 2.
type protooFraming struct {
	two  bool
	next atomic.Uint32
}

var (
	// Protoo is the framing of protoo 3 and 4: {"request":true,"id":1,"method":…,"data":…}.
	// Its WebSockets speak the subprotocol "protoo".
	Protoo Framing = &protooFraming{}
	// Protoo2 is that of protoo 2, in which notifications are requests that get an empty
	// answer.
	Protoo2 Framing = &protooFraming{two: true}
	// TypeBody is the bare form {"type":"mediasoup-request","id":1,"body":{}}. A response
	// has the type mediasoup-response, the id of its request, and a body or an error, which
	// is a text.
	TypeBody Framing = typeBody{}
	// SocketIO is that of Socket.IO: events called mediasoup-request, whose
	// acknowledgement is an error or null and the response, and mediasoup-notification. Its
	// connections carry Engine.IO messages; see package transport/engineio.
	SocketIO Framing = socketIO{}
)

// Subprotocol is that of the WebSockets of [Protoo] and [Protoo2].
const Subprotocol = "protoo"

// CloseByServer is the status with which servers of protoo close a connection for good, and
// CloseByServerReason its reason: clients do not connect again.
const (
	CloseByServer       transport.StatusCode = 4000
	CloseByServerReason                      = "closed by protoo-server"
)

func (*protooFraming) Open(conn transport.Conn, _ bool) transport.Conn { return conn }

func (p *protooFraming) Parse(typ transport.MessageType, data []byte) (f Frame, err error) {
	if typ == transport.Binary {
		return f, errBinary
	}
	o, err := jsonx.Scan(data)
	if err != nil {
		return f, err
	}
	defer o.Free()
	get := func(name string) json.RawMessage {
		value, _ := o.Get(name)
		return value
	}
	switch {
	case truthy(get("request")):
		f.Kind = FrameRequest
	case truthy(get("response")):
		f.Kind = FrameResponse
	case truthy(get("notification")):
		f.Kind = FrameNotification
	default:
		return f, errNoKind
	}
	if f.Kind != FrameResponse {
		method, ok := jsonx.Text(get("method"))
		if !ok {
			return f, &jsonx.Error{Field: "method", Err: jsonx.ErrType}
		}
		f.Method = string(method)
	}
	if f.Kind != FrameNotification {
		id := get("id")
		if !isNumber(id) {
			return f, &jsonx.Error{Field: "id", Err: jsonx.ErrType}
		}
		f.ID = ID(id)
	}
	if f.Kind == FrameResponse && !truthy(get("ok")) {
		f.Error = protooError(get("errorCode"), get("errorReason"))
		return f, nil
	}
	if data := get("data"); truthy(data) {
		f.Data = data
	}
	if f.Kind == FrameRequest && f.Method == MethodNotification {
		f.Kind = FrameNotification
	}
	return f, nil
}

func protooError(code, reason json.RawMessage) *Error {
	e := new(Error)
	if n, err := jsonx.Int(code); err == nil {
		e.Code = int(n)
	}
	if text, ok := jsonx.Text(reason); ok {
		e.Reason = string(text)
	}
	return e
}

func (p *protooFraming) AppendHead(dst []byte, f *Frame) ([]byte, error) {
	var err error
	switch {
	case f.Kind == FrameResponse && f.Error != nil:
		dst = append(dst, `{"response":true,"id":`...)
		dst = append(dst, f.ID...)
		dst = append(dst, `,"errorCode":`...)
		dst = strconv.AppendInt(dst, int64(f.Error.Code), 10)
		dst = append(dst, `,"errorReason":`...)
		return jsonx.AppendString(dst, f.Error.Reason)
	case f.Kind == FrameResponse:
		dst = append(dst, `{"response":true,"id":`...)
		dst = append(dst, f.ID...)
		return append(dst, `,"ok":true,"data":`...), nil
	case f.Kind == FrameRequest || p.two || f.ID != "":
		dst = append(dst, `{"request":true,"id":`...)
		if f.ID == "" {
			const first = 10_000_000 // above those of requests, whose answers are awaited
			dst = strconv.AppendUint(dst, first+uint64(p.next.Add(1)), 10)
		}
		dst = append(dst, f.ID...)
		dst = append(dst, `,"method":`...)
	default:
		dst = append(dst, `{"notification":true,"method":`...)
	}
	if dst, err = jsonx.AppendString(dst, f.Method); err != nil {
		return dst, &jsonx.Error{Field: "method", Err: err}
	}
	return append(dst, `,"data":`...), nil
}

func (*protooFraming) AppendTail(dst []byte, _ *Frame) []byte { return append(dst, '}') }

// typeBody is the framing of those who send what mediasoup-client gives them in an object
// of their own.
type typeBody struct{}

const methodResponse = "mediasoup-response"

func (typeBody) Open(conn transport.Conn, _ bool) transport.Conn { return conn }

func (typeBody) Parse(typ transport.MessageType, data []byte) (f Frame, err error) {
	if typ == transport.Binary {
		return f, errBinary
	}
	o, err := jsonx.Scan(data)
	if err != nil {
		return f, err
	}
	defer o.Free()
	text, ok := o.Text("type")
	if !ok {
		return f, &jsonx.Error{Field: "type", Err: jsonx.ErrType}
	}
	f.Method = string(text)
	if id, ok := o.Get("id"); ok && !jsonx.IsNull(id) {
		if !isNumber(id) {
			return f, &jsonx.Error{Field: "id", Err: jsonx.ErrType}
		}
		f.ID = ID(id)
	}
	if body, _ := o.Get("body"); truthy(body) {
		f.Data = body
	}
	switch {
	case f.Method == methodResponse:
		f.Kind, f.Method = FrameResponse, ""
		if reason, _ := o.Get("error"); truthy(reason) {
			code, _ := o.Get("code")
			f.Error = protooError(code, nil)
			f.Error.Reason = reasonOf(reason)
			f.Data = nil
		}
	case f.Method == MethodNotification, f.Method != MethodRequest && f.ID == "":
		f.Kind = FrameNotification
	default:
		f.Kind = FrameRequest
	}
	if f.ID == "" && f.Kind != FrameNotification {
		return f, &jsonx.Error{Field: "id", Err: jsonx.ErrMissing}
	}
	return f, nil
}

func (typeBody) AppendHead(dst []byte, f *Frame) ([]byte, error) {
	method := f.Method
	if f.Kind == FrameResponse {
		method = methodResponse
	}
	dst = append(dst, `{"type":`...)
	dst, err := jsonx.AppendString(dst, method)
	if err != nil {
		return dst, &jsonx.Error{Field: "type", Err: err}
	}
	if f.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = append(dst, f.ID...)
	}
	if f.Error != nil {
		if f.Error.Code != 0 {
			dst = append(dst, `,"code":`...)
			dst = strconv.AppendInt(dst, int64(f.Error.Code), 10)
		}
		return jsonx.AppendString(append(dst, `,"error":`...), f.Error.text())
	}
	return append(dst, `,"body":`...), nil
}

func (typeBody) AppendTail(dst []byte, _ *Frame) []byte { return append(dst, '}') }

// text is the reason, where an empty one would be a success.
func (e *Error) text() string {
	if e.Reason == "" {
		return "Error"
	}
	return e.Reason
}

// truthy reports whether JavaScript takes a checked JSON value for true.
func truthy(value json.RawMessage) bool {
	if len(value) == 0 {
		return false
	}
	switch value[0] {
	case 'f', 'n':
		return false
	case '"':
		return len(value) > len(`""`)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		n, err := strconv.ParseFloat(string(value), 64)
		return err != nil || n != 0
	}
	return true
}

// maxID bounds the length of a number that is echoed.
const maxID = 32

// isNumber reports whether a value is a number in JSON that can be echoed.
func isNumber(value json.RawMessage) bool {
	return len(value) > 0 && len(value) <= maxID && (value[0] == '-' || '0' <= value[0] && value[0] <= '9') &&
		jsonx.Check(value) == nil
}
