package msejsonrpc

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// Decode reads one message. It does not validate and does not keep data. Its error is a
// [*DecodeError], whose Code is what a server answers.
//
// Member names match exactly; a duplicate name, invalid UTF-8, data after the object and
// nesting beyond 64 levels are errors, and so is a batch. A method that is not known
// becomes an [*Unknown]; members that are not known are kept. Params that a method does
// not have may be null, an object or an array.
func Decode(data []byte) (Message, error) {
	o, err := jsonx.Scan(data)
	if err != nil {
		code := CodeParseError
		switch {
		case errors.Is(err, jsonx.ErrNotObject):
			code = CodeInvalidObject
		case errors.Is(err, jsonx.ErrDuplicate), errors.Is(err, jsonx.ErrDepth):
			if json.Valid(data) { // also behind the place of the error
				code = CodeInvalidObject
			}
		}
		return nil, decodeError("", code, NullID, err)
	}
	defer o.Free()
	version, ok := o.Get("jsonrpc")
	if text, isText := jsonx.Text(version); !isText || string(text) != "2.0" {
		return nil, invalidObject("jsonrpc", ok, errVersion)
	}
	id := AbsentID
	if token, ok := o.Get("id"); ok {
		if id, ok = parseID(token); !ok {
			return nil, invalidObject("id", true, jsonx.ErrType)
		}
	}
	value, ok := o.Get("method")
	if !ok {
		return decodeResponse(o, id)
	}
	method, ok := jsonx.Text(value)
	switch {
	case !ok:
		return nil, invalidObject("method", true, jsonx.ErrType)
	case len(method) == 0:
		return nil, invalidObject("method", true, errEmpty)
	}
	if construct, ok := registry[string(method)]; ok {
		return decodeCall(o, construct(), id)
	}
	m := &Unknown{Type: string(method), ID: id}
	var r rest
	if err := o.Decode(&r, "method", false); err != nil {
		return nil, decodeError(m.Type, CodeInvalidObject, NullID, err)
	}
	m.Extra = r.Extra
	return m, nil
}

// rest takes the members that a message does not name. The typed ones are only left out.
type rest struct {
	ID      skipped `json:"id"`
	JSONRPC skipped `json:"jsonrpc"`
	Extra   Fields  `json:"-"`
}

// callRest is rest for a known method, responseRest for a response.
type callRest struct {
	ID      skipped `json:"id"`
	JSONRPC skipped `json:"jsonrpc"`
	Params  skipped `json:"params"`
	Extra   Fields  `json:"-"`
}

type responseRest struct {
	ID      skipped `json:"id"`
	JSONRPC skipped `json:"jsonrpc"`
	Result  skipped `json:"result"`
	Error   skipped `json:"error"`
	Extra   Fields  `json:"-"`
}

// What the three say about names, without a value.
var (
	restMembers     = new(rest)
	callMembers     = new(callRest)
	responseMembers = new(responseRest)
)

// skipped is a member that was read by other means.
type skipped struct{}

// UnmarshalJSON reads nothing.
func (*skipped) UnmarshalJSON([]byte) error { return nil }

// decodeCall reads the params of a known method.
func decodeCall(o *jsonx.Object, m call, id ID) (Message, error) {
	at, envelope := m.head()
	*at = id
	known := 2 // method and jsonrpc
	if id != AbsentID {
		known++
	}
	params, ok := o.Get("params")
	if ok {
		known++
	}
	if o.Len() > known {
		var r callRest
		if err := o.Decode(&r, "method", false); err != nil {
			return nil, decodeError(m.wireType(), CodeInvalidObject, NullID, err)
		}
		*envelope = r.Extra
	}
	switch {
	case jsonx.IsObject(params):
		if err := jsonx.DecodeChecked(params, m, false); err != nil {
			return nil, paramsError(m, id, err)
		}
	case hasParams(m.wireType()) && !ok:
		return nil, paramsError(m, id, errMissing)
	case hasParams(m.wireType()), ok && params[0] != 'n' && params[0] != '[':
		return nil, paramsError(m, id, jsonx.ErrType)
	}
	return m, nil
}

// decodeResponse reads a message without a method.
func decodeResponse(o *jsonx.Object, id ID) (Message, error) {
	result, hasResult := o.Get("result")
	value, hasError := o.Get("error")
	if !hasResult && !hasError {
		return nil, decodeError("", CodeInvalidObject, id, errNoKind)
	}
	short := new(shortResponse)
	m := &short.Response
	m.ID = id
	known := 1 // jsonrpc
	if id != AbsentID {
		known++
	}
	if hasResult {
		m.Result = append(short.room[:0:len(short.room)], result...)
		known++
	}
	if hasError {
		known++
		m.Error = new(Error)
		if !jsonx.IsObject(value) {
			return nil, decodeError(typeResponse, CodeInvalidObject, id, &jsonx.Error{Field: "error", Err: jsonx.ErrType})
		}
		if err := decodeErrorMember(value, m.Error); err != nil {
			return nil, decodeError(typeResponse, CodeInvalidObject, id, err)
		}
	}
	if o.Len() > known {
		var r responseRest
		if err := o.Decode(&r, "method", false); err != nil {
			return nil, decodeError(typeResponse, CodeInvalidObject, id, err)
		}
		m.Extra = r.Extra
	}
	return m, nil
}

// A shortResponse is a response with room for the results of the protocol document.
type shortResponse struct {
	Response
	room [len(resultAuthenticated) + 2]byte
}

// decodeErrorMember reads the member error. Its code must be there: 0 is one as well.
func decodeErrorMember(value json.RawMessage, e *Error) error {
	if _, ok := jsonx.Peek(value, "code"); !ok {
		return &jsonx.Error{Field: "error.code", Err: errMissing}
	}
	err := jsonx.DecodeChecked(value, e, false)
	if x, ok := errors.AsType[*jsonx.Error](err); ok {
		return &jsonx.Error{Field: "error" + dotted(x.Field), Err: x.Err}
	}
	return err
}

// typeResponse is what errors call a message without a method.
const typeResponse = "response"

func dotted(field string) string {
	if field == "" || field[0] == '.' || field[0] == '[' {
		return field
	}
	return "." + field
}

func paramsError(m call, id ID, err error) *DecodeError {
	field := ""
	if x, ok := errors.AsType[*jsonx.Error](err); ok {
		field, err = x.Field, x.Err
	}
	return decodeError(m.wireType(), CodeInvalidParams, id, &jsonx.Error{Field: "params" + dotted(field), Err: err})
}

// invalidObject is about a member of the envelope.
func invalidObject(field string, there bool, err error) *DecodeError {
	if !there {
		err = errMissing
	}
	return decodeError("", CodeInvalidObject, NullID, &jsonx.Error{Field: field, Err: err})
}

func decodeError(typ string, code ErrorCode, id ID, err error) *DecodeError {
	e := &DecodeError{Type: typ, Err: err, ID: id, Code: code}
	if x, ok := errors.AsType[*jsonx.Error](err); ok && x.Offset == 0 {
		e.Field, e.Err = x.Field, x.Err
	}
	return e
}

// Encode writes one message as the protocol document does: id, method, jsonrpc, params,
// then Envelope by name; in params the members in the document's order, then Extra by
// name. The id of a notification is null, that of [AbsentID] left out. Raw members are
// written as they are. There is no newline. It fails for raw members that are not JSON
// and for strings that are not UTF-8.
func Encode(m Message) ([]byte, error) {
	b, err := appendMessage(make([]byte, 0, size(m)), m)
	if err != nil {
		return nil, fmt.Errorf("msejsonrpc: encode %s: %w", name(m), err)
	}
	return b, nil
}

// appendMessage appends the encoding of m.
func appendMessage(dst []byte, m Message) ([]byte, error) {
	switch m := m.(type) {
	case call:
		return appendCall(dst, m)
	case *Response:
		return appendResponse(dst, m)
	case *Unknown:
		dst = appendID(dst, m.ID)
		dst = append(dst, `"method":`...)
		dst, err := jsonx.AppendString(dst, m.Type)
		if err != nil {
			return dst, err
		}
		dst = append(dst, `,"jsonrpc":"2.0"`...)
		return appendRest(dst, restMembers, m.Extra, "method")
	}
	return dst, errNotOnWire
}

func appendCall(dst []byte, m call) ([]byte, error) {
	id, envelope := m.head()
	dst = appendID(dst, *id)
	dst = append(dst, `"method":"`...)
	dst = append(dst, m.wireType()...)
	dst = append(dst, `","jsonrpc":"2.0"`...)
	if hasParams(m.wireType()) || len(extraOf(m)) > 0 {
		dst = append(dst, `,"params":`...)
		var err error
		if dst, err = jsonx.AppendAt(dst, m, paramsLevel); err != nil {
			return dst, err
		}
	}
	return appendRest(dst, callMembers, *envelope, "method")
}

// paramsLevel is the level of the members of params, see [jsonx.CheckAt].
const paramsLevel = 3

func appendResponse(dst []byte, m *Response) ([]byte, error) {
	dst = appendID(dst, m.ID)
	dst = append(dst, `"jsonrpc":"2.0"`...)
	if m.Result != nil {
		if err := jsonx.CheckAt(m.Result, memberLevel); err != nil {
			return dst, err
		}
		dst = append(dst, `,"result":`...)
		dst = append(dst, m.Result...)
	}
	if m.Error != nil {
		dst = append(dst, `,"error":`...)
		var err error
		if dst, err = jsonx.AppendAt(dst, m.Error, memberLevel+1); err != nil {
			return dst, err
		}
	}
	return appendRest(dst, responseMembers, m.Extra, "method")
}

// appendID begins an object with its id.
func appendID(dst []byte, id ID) []byte {
	dst = append(dst, '{')
	if id == AbsentID {
		return dst
	}
	dst = append(dst, `"id":`...)
	dst = id.append(dst)
	return append(dst, ',')
}

// appendRest appends the further members of an object and ends it.
func appendRest(dst []byte, of any, extra Fields, discriminator string) ([]byte, error) {
	if len(extra) > 0 {
		var err error
		if dst, err = jsonx.AppendExtra(dst, extra, of, discriminator, memberLevel); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// extraOf returns the further members of the params of a method that has none.
func extraOf(m call) Fields {
	switch m := m.(type) {
	case *Ping:
		return m.Extra
	case *Start:
		return m.Extra
	case *WhoAmI:
		return m.Extra
	case *Disconnect:
		return m.Extra
	}
	return nil
}

// name is what errors call a message.
func name(m Message) string {
	switch m := m.(type) {
	case *Response:
		return typeResponse
	case *Reconnected:
		return "reconnected"
	default:
		return m.wireType()
	}
}

// size estimates the encoded length of a message in bytes.
func size(m Message) int {
	const envelope, params = 64, 96 // params: with an envelope around them
	switch m := m.(type) {
	case *Auth:
		return params + len(m.Token)
	case *ICECandidate:
		return params + len(m.Candidate)
	case *SDPOffer:
		return params + len(m.Offer)
	case *Chat:
		return params + len(m.Message) + len(m.Attachment)
	case *Response:
		return envelope + len(m.Result)
	}
	return envelope
}

// decoder reads messages of at most limit bytes, as both sides do.
func decoder(limit int) func(typ transport.MessageType, data []byte) (Message, error) {
	return func(typ transport.MessageType, data []byte) (Message, error) {
		switch {
		case typ == transport.Binary:
			return nil, &DecodeError{Err: errBinary, Code: CodeInvalidObject}
		case limit > 0 && len(data) > limit:
			return nil, &DecodeError{Err: errTooBig, Code: CodeInvalidObject}
		}
		return Decode(data)
	}
}
