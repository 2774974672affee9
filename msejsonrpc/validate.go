package msejsonrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// memberLevel is the level of what stands in a message's members, see [jsonx.CheckAt].
const memberLevel = 2

func invalid(typ, field, reason string) error {
	return &ValidationError{Type: typ, Field: field, Reason: reason}
}

// invalidMember puts the path of an error behind that of the member.
func invalidMember(typ, field string, err error) error {
	if e, ok := errors.AsType[*jsonx.Error](err); ok {
		field, err = field+e.Field, e.Err
	}
	return invalid(typ, field, err.Error())
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// present demands a text that can be written.
func present(typ, field, value string) error {
	if value == "" {
		return invalid(typ, field, "missing")
	}
	return utf8Text(typ, field, value)
}

func utf8Text(typ, field, value string) error {
	if !utf8.ValidString(value) {
		return invalid(typ, field, jsonx.ErrUTF8.Error())
	}
	return nil
}

// anyJSON checks a member of any JSON type; null counts as present.
func anyJSON(typ, field string, raw json.RawMessage, level int) error {
	if err := jsonx.CheckAt(raw, level); err != nil {
		return invalidMember(typ, field, bare(err))
	}
	return nil
}

// bare takes the place out of an error about a raw value as a whole.
func bare(err error) error {
	if e, ok := errors.AsType[*jsonx.Error](err); ok {
		return e.Err
	}
	return err
}

// request demands an id.
func request(m call) error {
	if id, _ := m.head(); id.IsNotification() {
		return invalid(m.wireType(), "id", "a request needs one")
	}
	return nil
}

// extras checks the further members of a message with a method.
func extras(m call, params Fields) error {
	_, envelope := m.head()
	if err := jsonx.CheckExtra(params, m, "", paramsLevel); err != nil {
		return invalid(m.wireType(), "params."+err.Field, err.Err.Error())
	}
	if err := jsonx.CheckExtra(*envelope, callMembers, "method", memberLevel); err != nil {
		return invalid(m.wireType(), err.Field, err.Err.Error())
	}
	return nil
}

// Validate demands an id.
func (m *Ping) Validate() error { return first(request(m), extras(m, m.Extra)) }

// Validate demands an id, a token and a version. Whether the version is supported is the
// server's decision.
func (m *Auth) Validate() error {
	return first(
		request(m),
		present("auth", "params.token", m.Token),
		present("auth", "params.version", m.Version),
		extras(m, m.Extra))
}

// Validate demands an id.
func (m *Start) Validate() error { return first(request(m), extras(m, m.Extra)) }

// Validate demands an id.
func (m *WhoAmI) Validate() error { return first(request(m), extras(m, m.Extra)) }

// Validate demands a candidate in one of its forms, see [ICECandidate.Init].
func (m *ICECandidate) Validate() error {
	var err error
	if !isText(m.Candidate) {
		_, err = m.Init()
	}
	return first(err, extras(m, m.Extra))
}

// Validate demands a description in one of its forms, see [SDPOffer.Description].
func (m *SDPOffer) Validate() error {
	var err error
	if !isText(m.Offer) {
		_, err = m.Description()
	}
	return first(err, extras(m, m.Extra))
}

// Validate demands nothing: a goodbye is never refused.
func (m *Disconnect) Validate() error { return extras(m, m.Extra) }

// Validate demands user ids that are not empty and an attachment that is JSON, if there
// is one.
func (m *Chat) Validate() error {
	for i, id := range m.To {
		if err := present("chat", fmt.Sprintf("params.to[%d]", i), id); err != nil {
			return err
		}
	}
	var err error
	if len(m.Attachment) > 0 {
		err = anyJSON("chat", "params.attachment", m.Attachment, paramsLevel)
	}
	return first(utf8Text("chat", "params.message", m.Message), err, extras(m, m.Extra))
}

// Validate demands either a result, null included, or an error, and an id with a result.
func (m *Response) Validate() error {
	var err error
	switch {
	case m.Result == nil && m.Error == nil:
		err = invalid(typeResponse, "result", "neither a result nor an error")
	case m.Result != nil && m.Error != nil:
		err = invalid(typeResponse, "result", "both a result and an error")
	case m.Result != nil && m.ID.IsNotification():
		err = invalid(typeResponse, "id", "a result needs one")
	case m.Result != nil:
		err = anyJSON(typeResponse, "result", m.Result, memberLevel)
	default:
		err = m.Error.validate()
	}
	if err != nil {
		return err
	}
	if err := jsonx.CheckExtra(m.Extra, responseMembers, "method", memberLevel); err != nil {
		return invalid(typeResponse, err.Field, err.Err.Error())
	}
	return nil
}

func (e *Error) validate() error {
	err := utf8Text(typeResponse, "error.message", e.Message)
	if err == nil && len(e.Data) > 0 {
		err = anyJSON(typeResponse, "error.data", e.Data, memberLevel+1)
	}
	if err != nil {
		return err
	}
	if err := jsonx.CheckExtra(e.Extra, e, "", memberLevel+1); err != nil {
		return invalid(typeResponse, "error."+err.Field, err.Err.Error())
	}
	return nil
}

// Validate demands a method that is not one of the known ones, and params that are an
// object or an array if there are any.
func (m *Unknown) Validate() error {
	if _, known := registry[m.Type]; known {
		return invalid(m.Type, "method", "is a known method: use its struct")
	}
	if err := present("unknown", "method", m.Type); err != nil {
		return err
	}
	if params, ok := m.Extra["params"]; ok && (len(params) == 0 || params[0] != '{' && params[0] != '[') {
		return invalid(m.Type, "params", "neither an object nor an array")
	}
	if err := jsonx.CheckExtra(m.Extra, restMembers, "method", memberLevel); err != nil {
		return invalid(m.Type, err.Field, err.Err.Error())
	}
	return nil
}

// Validate always fails: the message does not exist on the wire.
func (*Reconnected) Validate() error { return invalid("reconnected", "method", errNotOnWire.Error()) }
