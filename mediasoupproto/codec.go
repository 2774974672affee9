package mediasoupproto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A method is what the registry knows of a message.
type method struct {
	construct func() Message
	kind      FrameKind
	target    Target
}

// registry holds the messages by their method.
var registry = map[string]method{
	"queryRoom":        {func() Message { return new(QueryRoom) }, FrameRequest, TargetRoom},
	"join":             {func() Message { return new(Join) }, FrameRequest, TargetRoom},
	"createTransport":  {func() Message { return new(CreateTransport) }, FrameRequest, TargetPeer},
	"restartTransport": {func() Message { return new(RestartTransport) }, FrameRequest, TargetPeer},
	"createProducer":   {func() Message { return new(CreateProducer) }, FrameRequest, TargetPeer},
	"enableConsumer":   {func() Message { return new(EnableConsumer) }, FrameRequest, TargetPeer},

	"leave":                       notification(func() Message { return new(Leave) }),
	"updateTransport":             notification(func() Message { return new(UpdateTransport) }),
	"closeTransport":              notification(func() Message { return new(CloseTransport) }),
	"enableTransportStats":        notification(func() Message { return new(EnableTransportStats) }),
	"disableTransportStats":       notification(func() Message { return new(DisableTransportStats) }),
	"pauseProducer":               notification(func() Message { return new(PauseProducer) }),
	"resumeProducer":              notification(func() Message { return new(ResumeProducer) }),
	"closeProducer":               notification(func() Message { return new(CloseProducer) }),
	"enableProducerStats":         notification(func() Message { return new(EnableProducerStats) }),
	"disableProducerStats":        notification(func() Message { return new(DisableProducerStats) }),
	"updateProducer":              notification(func() Message { return new(UpdateProducer) }),
	"pauseConsumer":               notification(func() Message { return new(PauseConsumer) }),
	"resumeConsumer":              notification(func() Message { return new(ResumeConsumer) }),
	"setConsumerPreferredProfile": notification(func() Message { return new(SetConsumerPreferredProfile) }),
	"enableConsumerStats":         notification(func() Message { return new(EnableConsumerStats) }),
	"disableConsumerStats":        notification(func() Message { return new(DisableConsumerStats) }),

	"closed":                          notification(func() Message { return new(Closed) }),
	"newPeer":                         notification(func() Message { return new(NewPeer) }),
	"peerClosed":                      notification(func() Message { return new(PeerClosed) }),
	"newConsumer":                     notification(func() Message { return new(NewConsumer) }),
	"consumerClosed":                  notification(func() Message { return new(ConsumerClosed) }),
	"consumerPaused":                  notification(func() Message { return new(ConsumerPaused) }),
	"consumerResumed":                 notification(func() Message { return new(ConsumerResumed) }),
	"consumerPreferredProfileSet":     notification(func() Message { return new(ConsumerPreferredProfileSet) }),
	"consumerEffectiveProfileChanged": notification(func() Message { return new(ConsumerEffectiveProfileChanged) }),
	"consumerStats":                   notification(func() Message { return new(ConsumerStats) }),
	"transportClosed":                 notification(func() Message { return new(TransportClosed) }),
	"transportStats":                  notification(func() Message { return new(TransportStats) }),
	"producerPaused":                  notification(func() Message { return new(ProducerPaused) }),
	"producerResumed":                 notification(func() Message { return new(ProducerResumed) }),
	"producerClosed":                  notification(func() Message { return new(ProducerClosed) }),
	"producerStats":                   notification(func() Message { return new(ProducerStats) }),
}

func notification(construct func() Message) method {
	return method{construct, FrameNotification, TargetPeer}
}

// Decode reads one message in the framing of [Protoo]. It does not validate and does not keep
// data. Its error is a [*DecodeError].
//
// Member names match exactly; a duplicate name, invalid UTF-8, data after the object and
// nesting beyond 64 levels are errors, and so is the wrong JSON type of a member that the
// protocol knows. A method that is not known becomes an [*Unknown], one that is not
// mediasoup's an [*Application]; members of a payload that are not known are kept.
func Decode(data []byte) (Message, error) { return DecodeFramed(Protoo, transport.Text, data) }

// DecodeFramed is [Decode] for any framing.
func DecodeFramed(framing Framing, typ transport.MessageType, data []byte) (Message, error) {
	f, err := framing.Parse(typ, bytes.Clone(data))
	if err != nil {
		return nil, decodeError("", err)
	}
	if checks(framing) {
		return decodeWith(jsonx.Cut, &f)
	}
	return decodeFrame(&f)
}

// checks reports whether a framing is one of this package's, which check the data of a frame
// with all the rest. Anybody else's may put them together from anything.
func checks(framing Framing) bool {
	switch framing.(type) {
	case *protooFraming, typeBody, socketIO:
		return true
	}
	return false
}

// DecodePayload reads what mediasoup itself has to say, without a framing: a request, which
// the id is for, or with an empty one a notification. It does not keep data.
func DecodePayload(id ID, data []byte) (Message, error) {
	f := &Frame{Kind: FrameRequest, ID: id, Method: MethodRequest, Data: bytes.Clone(data)}
	if id == "" {
		f.Kind, f.Method = FrameNotification, MethodNotification
	}
	if err := jsonx.CheckAt(f.Data, payloadLevel-1); err != nil { // as deep as in a frame
		e := decodeError("", err)
		e.RequestID, e.kind = f.ID, f.Kind
		return nil, e
	}
	return decodeWith(jsonx.Cut, f)
}

// decodeFrame reads a frame, whose data it keeps.
func decodeFrame(f *Frame) (Message, error) { return decodeWith(jsonx.Scan, f) }

// decodeWith is decodeFrame with a scan for the data: [jsonx.Cut] when they have been checked.
func decodeWith(scan scanFunc, f *Frame) (Message, error) {
	switch {
	case f.Kind == FrameResponse:
		return &Response{Head: Head{RequestID: f.ID, kind: f.Kind}, Result: f.Data, Error: f.Error}, nil
	case f.Method == MethodRequest && f.Kind == FrameNotification:
		return nil, decodeError("", errNoKind)
	case f.Method != MethodRequest && f.Method != MethodNotification:
		return &Application{Head: Head{RequestID: f.ID, kind: f.Kind}, Method: f.Method, Data: f.Data}, nil
	}
	m, err := decodePayloadWith(scan, f)
	if err == nil {
		return m, nil
	}
	e := decodeError("", err)
	if x, ok := err.(*DecodeError); ok {
		e = x
	}
	e.RequestID, e.kind = f.ID, f.Kind
	return nil, e
}

type scanFunc func(data []byte) (*jsonx.Object, error)

func decodePayload(f *Frame) (Message, error) { return decodePayloadWith(jsonx.Scan, f) }

func decodePayloadWith(scan scanFunc, f *Frame) (Message, error) {
	data := f.Data
	if data == nil {
		data = json.RawMessage("{}")
	}
	o, err := scan(data)
	if err != nil {
		return nil, err
	}
	defer o.Free()
	target, _ := o.Take("target")
	flag, _ := o.Take("notification")
	name, ok := o.Text("method")
	if f.Kind == FrameRequest && truthy(flag) {
		return nil, decodeError(string(name), &jsonx.Error{Field: "notification", Err: errNotRequest})
	}
	if f.Kind == FrameNotification && string(flag) != "true" {
		return nil, decodeError(string(name), &jsonx.Error{Field: "notification", Err: errNotNotification})
	}
	if !ok {
		return nil, &jsonx.Error{Field: "method", Err: errNoMethod}
	}
	def, known := registry[string(name)]
	if !known || def.kind != f.Kind {
		m := &Unknown{Type: string(name)}
		m.Head = Head{RequestID: f.ID, kind: f.Kind}
		var rest struct {
			Extra Fields `json:"-"`
		}
		if err := o.Decode(&rest, "method", true); err != nil {
			return nil, decodeError(m.Type, err)
		}
		m.Extra = rest.Extra
		if !isTarget(target, TargetPeer) || flag != nil && f.Kind == FrameRequest {
			m.form = &form{target, flag}
		}
		return m, nil
	}
	m := def.construct()
	h := m.head()
	h.RequestID, h.kind = f.ID, f.Kind
	if err := o.Decode(m, "method", true); err != nil {
		e := decodeError(string(name), err)
		member, _, _ := strings.Cut(e.Field, ".")
		wrong, _ := o.Get(member)
		id, _ := o.Get("id")
		if n, err := jsonx.Int(id); err == nil && n == int64(uint32(n)) && truthy(wrong) {
			e.subject = uint32(n)
		}
		return nil, e
	}
	if !isTarget(target, def.target) || flag != nil && f.Kind == FrameRequest {
		h.form = &form{target, flag}
	}
	return m, nil
}

func isTarget(value json.RawMessage, target Target) bool {
	text, ok := jsonx.Text(value)
	return ok && string(text) == string(target)
}

func decodeError(typ string, err error) *DecodeError {
	e := &DecodeError{Type: typ, Err: err}
	if x, ok := errors.AsType[*jsonx.Error](err); ok && x.Offset == 0 {
		e.Field, e.Err = x.Field, x.Err
	}
	return e
}

// Encode writes one message in the framing of [Protoo]: in its data the method first, the
// target, and the mark of a notification, then the members in the order of the struct, then
// Extra by name. Raw members are written as they are. There is no newline. It fails for raw
// members that are not JSON and for strings that are not UTF-8.
func Encode(m Message) ([]byte, error) { return EncodeFramed(Protoo, m) }

// EncodeFramed is [Encode] for any framing.
func EncodeFramed(framing Framing, m Message) ([]byte, error) {
	b, err := appendMessage(framing, make([]byte, 0, size(m)), m)
	if err != nil {
		return nil, fmt.Errorf("mediasoupproto: encode %s: %w", name(m), err)
	}
	return b, nil
}

// EncodePayload writes what mediasoup itself has to say, without a framing.
func EncodePayload(m Message) ([]byte, error) {
	b, err := appendPayload(make([]byte, 0, size(m)), m)
	if err != nil {
		return nil, fmt.Errorf("mediasoupproto: encode %s: %w", name(m), err)
	}
	return b, nil
}

// appendMessage appends the encoding of m in a framing.
func appendMessage(framing Framing, dst []byte, m Message) ([]byte, error) {
	if late, ok := m.(*lateAnswer); ok {
		m = late.response()
	}
	f, err := frameOf(m)
	if err != nil {
		return dst, err
	}
	if f.ID != "" && !isNumber(json.RawMessage(f.ID)) {
		return dst, &jsonx.Error{Field: "id", Err: jsonx.ErrType}
	}
	p := outgoing.Get().(*Frame)
	defer func() {
		*p = Frame{}
		outgoing.Put(p)
	}()
	*p = f
	start := len(dst)
	if dst, err = framing.AppendHead(dst, p); err == nil && p.Error == nil {
		dst, err = appendPayload(dst, m)
	}
	if err != nil {
		return dst[:start], err
	}
	return framing.AppendTail(dst, p), nil
}

// outgoing holds frames for [Framing.AppendHead], which a broadcast needs many of.
var outgoing = sync.Pool{New: func() any { return new(Frame) }}

// frameOf returns the frame that a message goes out in, without its data.
func frameOf(m Message) (f Frame, err error) {
	switch m := m.(type) {
	case nil, *Reconnected:
		return f, errNotOnWire
	case *shared:
		return frameOf(m.Message)
	case *Response:
		if m.RequestID == "" {
			return f, &jsonx.Error{Field: "id", Err: jsonx.ErrMissing}
		}
		return Frame{Kind: FrameResponse, ID: m.RequestID, Error: m.Error}, nil
	case *Application:
		f = Frame{Kind: FrameNotification, ID: m.RequestID, Method: m.Method}
		if m.RequestID != "" {
			f.Kind = FrameRequest
		}
		if m.Method == MethodRequest || m.Method == MethodNotification {
			return f, &jsonx.Error{Field: "method", Err: errReserved}
		}
		return f, nil
	}
	h := m.head()
	f = Frame{Kind: kindOf(m), ID: h.RequestID, Method: MethodNotification}
	if f.Kind == FrameRequest {
		f.Method = MethodRequest
		if f.ID == "" {
			return f, &jsonx.Error{Field: "id", Err: jsonx.ErrMissing}
		}
	}
	return f, nil
}

// kindOf returns what a message is: a request or a notification.
func kindOf(m Message) FrameKind {
	switch m := m.(type) {
	case *shared:
		return kindOf(m.Message)
	case *Response:
		return FrameResponse
	case *Unknown:
		if m.kind != 0 {
			return m.kind
		}
	case *Application:
	default:
		if def, ok := registry[m.wireType()]; ok {
			return def.kind
		}
	}
	if h := m.head(); h != nil && h.RequestID != "" {
		return FrameRequest
	}
	return FrameNotification
}

// payloadLevel is the level of the members of a payload in its frame, see [jsonx.CheckAt].
const payloadLevel = 3

// appendPayload appends the data of m.
func appendPayload(dst []byte, m Message) ([]byte, error) {
	switch m := m.(type) {
	case nil, *Reconnected:
		return dst, errNotOnWire
	case *shared:
		return m.append(dst)
	case *Response:
		if m.Error != nil {
			return dst, errNotOnWire
		}
		return appendData(dst, m.Result)
	case *Application:
		return appendData(dst, m.Data)
	}
	h, kind, target := m.head(), kindOf(m), TargetPeer
	u, unknown := m.(*Unknown)
	if def, ok := registry[m.wireType()]; ok && !unknown {
		target = def.target
	}
	dst = append(dst, `{"method":`...)
	dst, err := jsonx.AppendString(dst, m.wireType())
	if err != nil {
		return dst, &jsonx.Error{Field: "method", Err: err}
	}
	switch {
	case h.form == nil:
		dst = append(dst, `,"target":"`...)
		dst = append(dst, target...)
		dst = append(dst, '"')
	case h.form.target != nil:
		dst = append(append(dst, `,"target":`...), h.form.target...)
	}
	switch {
	case kind == FrameNotification:
		dst = append(dst, `,"notification":true`...)
	case h.form != nil && h.form.notification != nil:
		dst = append(append(dst, `,"notification":`...), h.form.notification...)
	}
	if unknown {
		dst, err = jsonx.AppendMembers(dst, &struct {
			Extra Fields `json:"-"`
		}{u.Extra}, payloadLevel, "method", "target", "notification")
	} else {
		dst, err = jsonx.AppendMembers(dst, m, payloadLevel, "method", "target", "notification")
	}
	return append(dst, '}'), err
}

func appendData(dst []byte, data json.RawMessage) ([]byte, error) {
	if len(data) == 0 {
		return append(dst, "{}"...), nil
	}
	if err := jsonx.CheckAt(data, payloadLevel-1); err != nil {
		return dst, err
	}
	return append(dst, data...), nil
}

// appendResult returns a result as a Response has it.
func appendResult(v any) (json.RawMessage, error) {
	return jsonx.AppendAt(nil, v, payloadLevel)
}

// unmarshalResult reads the result of a request.
func unmarshalResult(request string, data json.RawMessage, v any) error {
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	if err := jsonx.Unmarshal(data, v); err != nil {
		return decodeError(request, err)
	}
	return nil
}

// QueryRoom returns the result of a [QueryRoom]. Its error is a [*DecodeError].
func (m *Response) QueryRoom() (*QueryRoomResult, error) {
	return result[QueryRoomResult](m, "queryRoom")
}

// Join returns the result of a [Join]. Its error is a [*DecodeError].
func (m *Response) Join() (*JoinResult, error) { return result[JoinResult](m, "join") }

// CreateTransport returns the result of a [CreateTransport]. Its error is a [*DecodeError].
func (m *Response) CreateTransport() (*CreateTransportResult, error) {
	return result[CreateTransportResult](m, "createTransport")
}

// RestartTransport returns the result of a [RestartTransport]. Its error is a
// [*DecodeError].
func (m *Response) RestartTransport() (*RestartTransportResult, error) {
	return result[RestartTransportResult](m, "restartTransport")
}

// EnableConsumer returns the result of an [EnableConsumer]. Its error is a [*DecodeError].
func (m *Response) EnableConsumer() (*EnableConsumerResult, error) {
	return result[EnableConsumerResult](m, "enableConsumer")
}

func result[T any](m *Response, request string) (*T, error) {
	if m.Error != nil {
		return nil, m.Error
	}
	v := new(T)
	if err := unmarshalResult(request, m.Result, v); err != nil {
		return nil, err
	}
	return v, nil
}

// name is what errors call a message.
func name(m Message) string {
	switch m := m.(type) {
	case nil:
		return "nothing"
	case *Application:
		return "application message"
	default:
		return m.wireType()
	}
}

// size estimates the encoded length of a message in bytes: what its texts have, and
// something for the names of the members and all that is short.
func size(m Message) int {
	const names, parameters = 200, 900
	switch m := m.(type) {
	case *shared:
		return m.size
	case *lateAnswer:
		return m.size
	case *Response:
		return names + len(m.Result)
	case *Application:
		return names + len(m.Data)
	case *Join:
		return names + 3*parameters + len(m.AppData)
	case *CreateTransport:
		return 2*names + len(m.AppData)
	case *UpdateTransport:
		return 2 * names
	case *UpdateProducer:
		return names + parameters
	case *CreateProducer:
		return names + parameters + len(m.AppData)
	case *NewConsumer:
		return names + parameters + len(m.AppData)
	case *NewPeer:
		return names + len(m.Consumers)*parameters + len(m.AppData)
	case *PeerClosed:
		return names + len(m.AppData)
	case *Leave:
		return names + len(m.AppData)
	case *Closed:
		return names + len(m.AppData)
	case *ConsumerStats:
		return names + sizeOfAll(m.Stats)
	case *ProducerStats:
		return names + sizeOfAll(m.Stats)
	case *TransportStats:
		return names + sizeOfAll(m.Stats)
	case *Unknown:
		n := names + len(m.Type)
		for name, value := range m.Extra {
			n += len(name) + len(value)
		}
		return n
	}
	return names
}

func sizeOfAll(values []json.RawMessage) (n int) {
	for _, value := range values {
		n += len(value) + 1
	}
	return n
}

// decoder reads messages of at most limit bytes.
func decoder(framing Framing, limit int) func(typ transport.MessageType, data []byte) (Message, error) {
	return func(typ transport.MessageType, data []byte) (Message, error) {
		if limit > 0 && len(data) > limit {
			return nil, &DecodeError{Err: errTooBig}
		}
		return DecodeFramed(framing, typ, data)
	}
}
