package msejsonrpc

import (
	"encoding/json"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A RequestFactory makes the messages that a client sends, with ids that count from 1. It
// is the counterpart of the RequestFactory in the protocol document, for those who have a
// loop of their own instead of a [Client]. The zero value is ready. It is not safe for
// concurrent use.
type RequestFactory struct {
	Form Form // of descriptions and candidates

	last uint64
}

func (f *RequestFactory) next() ID {
	f.last++
	return NumberID(f.last)
}

// Ping makes a [*Ping]; see [Response.Pong].
func (f *RequestFactory) Ping() *Ping { return &Ping{ID: f.next()} }

// Auth makes an [*Auth] for [Version]; see [Response.Authenticated].
func (f *RequestFactory) Auth(token string) *Auth {
	return &Auth{ID: f.next(), Token: token, Version: Version}
}

// Start makes a [*Start]; see [Response.Started].
func (f *RequestFactory) Start() *Start { return &Start{ID: f.next()} }

// WhoAmI makes a [*WhoAmI]; see [Response.Identity].
func (f *RequestFactory) WhoAmI() *WhoAmI { return &WhoAmI{ID: f.next()} }

// ICECandidate makes an [*ICECandidate], as [NewICECandidate] does.
func (f *RequestFactory) ICECandidate(c ICECandidateInit) *ICECandidate {
	return NewICECandidate(c, f.Form)
}

// SDPOffer makes an [*SDPOffer], as [NewSDPOffer] does.
func (f *RequestFactory) SDPOffer(d SessionDescription) *SDPOffer { return NewSDPOffer(d, f.Form) }

// Disconnect makes a [*Disconnect].
func (f *RequestFactory) Disconnect() *Disconnect { return &Disconnect{} }

// Chat makes a [*Chat] to the users of these ids, or to everybody.
func (f *RequestFactory) Chat(message string, attachment json.RawMessage, to ...string) *Chat {
	return &Chat{To: to, Message: message, Attachment: attachment}
}

// The results of the protocol document.
const (
	resultPong          = "pong"
	resultAuthenticated = "authenticated"
	resultStarted       = "started"
)

// Pong reports whether the response is the success of a [*Ping]. It is, with
// [Response.Authenticated], [Response.Started] and [Response.Identity], the counterpart
// of the ResponseAdapter in the protocol document; like that, it looks at the result
// alone, not at the id.
func (m *Response) Pong() bool { return m.is(resultPong) }

// Authenticated reports whether the response is the success of an [*Auth].
func (m *Response) Authenticated() bool { return m.is(resultAuthenticated) }

// Started reports whether the response is the success of a [*Start].
func (m *Response) Started() bool { return m.is(resultStarted) }

func (m *Response) is(result string) bool {
	text, ok := jsonx.Text(m.Result)
	return ok && m.Error == nil && string(text) == result
}

// The texts of the results, shared by all responses: nobody writes to them.
var (
	rawPong          = json.RawMessage(`"pong"`)
	rawAuthenticated = json.RawMessage(`"authenticated"`)
	rawStarted       = json.RawMessage(`"started"`)
)

// Pong makes the success response to a [*Ping], which a server sends.
func (m *Ping) Pong() *Response { return &Response{ID: m.ID, Result: rawPong} }

// Authenticated makes the success response to an [*Auth].
func (m *Auth) Authenticated() *Response { return &Response{ID: m.ID, Result: rawAuthenticated} }

// Started makes the success response to a [*Start].
func (m *Start) Started() *Response { return &Response{ID: m.ID, Result: rawStarted} }

// Identity makes the success response to a [*WhoAmI]. It fails for texts that are not
// UTF-8 and for further members that are not JSON.
func (m *WhoAmI) Identity(i *Identity) (*Response, error) {
	b, err := jsonx.AppendAt(nil, i, memberLevel+1)
	if err != nil {
		return nil, invalidMember("whoami", "result.", err)
	}
	return &Response{ID: m.ID, Result: b}, nil
}

// NewErrorResponse makes an error response. A message that has no id, or none that could
// be read, is answered with [NullID].
func NewErrorResponse(id ID, err *Error) *Response {
	if id == AbsentID {
		id = NullID
	}
	return &Response{ID: id, Error: err}
}
