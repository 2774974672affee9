package galene

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// memberLevel is the level of what stands in a message's members, see [jsonx.CheckAt].
const memberLevel = 2

func invalid(typ, field, reason string) error {
	return &ValidationError{Type: typ, Field: field, Reason: reason}
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

// A rule is about the members of one type of message.
type rule string

// present demands a text that can be written.
func (r rule) present(field, value string) error {
	if value == "" {
		return invalid(string(r), field, errMissing.Error())
	}
	return r.text(field, value)
}

func (r rule) text(field, value string) error {
	if !utf8.ValidString(value) {
		return invalid(string(r), field, jsonx.ErrUTF8.Error())
	}
	return nil
}

func (r rule) pointer(field string, value *string) error {
	if value == nil {
		return nil
	}
	return r.text(field, *value)
}

func textsOf[T ~string](r rule, field string, values []T) error {
	for i, value := range values {
		if !utf8.ValidString(string(value)) {
			return invalid(string(r), field+"["+strconv.Itoa(i)+"]", jsonx.ErrUTF8.Error())
		}
	}
	return nil
}

// sender checks what a message says about who sent it.
func (r rule) sender(source string, username *string) error {
	return first(r.text("source", source), r.pointer("username", username))
}

// raw checks a member of any JSON type, which may be absent.
func (r rule) raw(field string, value json.RawMessage) error {
	if len(value) == 0 {
		return nil
	}
	if err := jsonx.CheckAt(value, memberLevel); err != nil {
		if e, ok := errors.AsType[*jsonx.Error](err); ok {
			err = e.Err
		}
		return invalid(string(r), field, err.Error())
	}
	return nil
}

func (r rule) fields(field string, values Fields) error {
	if err := jsonx.CheckExtra(values, nil, "", memberLevel+1); err != nil {
		return invalid(string(r), field+"."+err.Field, err.Err.Error())
	}
	return nil
}

func (r rule) time(t Time) error {
	if t == "" {
		return nil
	}
	if _, ok := t.Time(); !ok {
		return invalid(string(r), "time", "not RFC 3339")
	}
	return nil
}

// extra checks the further members of a message.
func extra(m Message, values Fields) error {
	if len(values) == 0 {
		return nil
	}
	var of any = m
	if _, ok := m.(*Unknown); ok {
		of = nil
	}
	if err := jsonx.CheckExtra(values, of, "type", memberLevel); err != nil {
		return invalid(m.wireType(), err.Field, err.Err.Error())
	}
	// What stands there is read as the member that it is called.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := bytes.TrimLeft(values[name], " \t\r\n")
		if !classOf([]byte(name)).takes(value) {
			return invalid(m.wireType(), name, jsonx.ErrType.Error())
		}
		if err := checkBelow([]byte(name), value); err != nil {
			return invalid(m.wireType(), err.Field, err.Err.Error())
		}
	}
	return nil
}

// Validate demands texts that can be written.
func (m *Handshake) Validate() error {
	const r rule = "handshake"
	return first(textsOf(r, "version", m.Version), r.text("id", m.ID), extra(m, m.Extra))
}

// Validate checks the further members.
func (m *Ping) Validate() error { return extra(m, m.Extra) }

// Validate checks the further members.
func (m *Pong) Validate() error { return extra(m, m.Extra) }

// Validate demands a kind that exists, a group, for joining a user name or a token, and data
// that is JSON.
func (m *Join) Validate() error {
	const r rule = "join"
	switch {
	case m.Kind != JoinJoin && m.Kind != JoinLeave:
		return invalid("join", "kind", "neither join nor leave")
	case !ValidName(m.Group):
		return invalid("join", "group", ErrIllegalGroupName.Text)
	case m.Kind == JoinJoin && m.Username == nil && m.Token == "":
		return invalid("join", "username", "neither a user name nor a token")
	case m.Username != nil && *m.Username != "" && !ValidName(*m.Username):
		return invalid("join", "username", "illegal user name")
	}
	return first(r.text("group", m.Group), r.pointer("username", m.Username), r.text("password", m.Password),
		r.text("token", m.Token), r.fields("data", m.Data), extra(m, m.Extra))
}

// Validate demands a kind, for a refusal a reason, for a redirection an address.
func (m *Joined) Validate() error {
	const r rule = "joined"
	if (m.Kind == JoinedFail || m.Kind == JoinedRedirect) && m.Value == "" {
		return invalid("joined", "value", errMissing.Error())
	}
	if !jsonx.IsNull(m.RTCConfiguration) {
		if _, err := m.Configuration(); err != nil {
			return err
		}
	}
	return first(r.present("kind", string(m.Kind)), r.text("error", string(m.Error)), r.pointer("username", m.Username),
		textsOf(r, "permissions", m.Permissions), m.Status.validate(r), r.fields("data", m.Data), r.text("group", m.Group),
		r.text("value", m.Value), r.raw("rtcConfiguration", m.RTCConfiguration), extra(m, m.Extra))
}

func (s *Status) validate(r rule) error {
	if s == nil {
		return nil
	}
	for _, member := range [...]struct{ field, value string }{
		{"status.name", s.Name}, {"status.redirect", s.Redirect}, {"status.location", s.Location},
		{"status.endpoint", s.Endpoint}, {"status.displayName", s.DisplayName}, {"status.description", s.Description},
		{"status.authServer", s.AuthServer}, {"status.authPortal", s.AuthPortal},
	} {
		if err := r.text(member.field, member.value); err != nil {
			return err
		}
	}
	if err := jsonx.CheckExtra(s.Extra, s, "", memberLevel+1); err != nil {
		return invalid(string(r), "status."+err.Field, err.Err.Error())
	}
	return nil
}

// Validate demands a kind and an id.
func (m *User) Validate() error {
	const r rule = "user"
	return first(r.present("kind", string(m.Kind)), r.present("id", m.ID), r.pointer("username", m.Username),
		textsOf(r, "permissions", m.Permissions), r.fields("data", m.Data), extra(m, m.Extra))
}

// Validate demands a value that is JSON, if there is one, and a time in RFC 3339.
func (m *Chat) Validate() error {
	const r rule = "chat"
	return first(r.text("kind", string(m.Kind)), r.text("id", m.ID), r.sender(m.Source, m.Username), r.text("dest", m.Dest),
		r.raw("value", m.Value), r.time(m.Time), extra(m, m.Extra))
}

// Validate demands a value that is JSON, if there is one, and a time in RFC 3339.
func (m *ChatHistory) Validate() error {
	const r rule = "chathistory"
	return first(r.text("kind", string(m.Kind)), r.text("id", m.ID), r.sender(m.Source, m.Username),
		r.raw("value", m.Value), r.time(m.Time), extra(m, m.Extra))
}

// Validate demands a value that is JSON, if there is one, and a time in RFC 3339.
func (m *UserMessage) Validate() error {
	const r rule = "usermessage"
	return first(r.text("kind", string(m.Kind)), r.text("error", string(m.Error)), r.text("id", m.ID),
		r.sender(m.Source, m.Username), r.text("dest", m.Dest), r.raw("value", m.Value), r.time(m.Time), extra(m, m.Extra))
}

// Validate demands a kind that exists, because a server closes the connection for any
// other, a destination, and the value that the kind has.
func (m *UserAction) Validate() error {
	const r rule = "useraction"
	switch m.Kind {
	case UserOp, UserUnop, UserPresent, UserUnpresent, UserShutUp, UserUnshutUp, UserKick, UserIdentify:
	case UserSetData:
		if !jsonx.IsObject(m.Value) {
			return invalid("useraction", "value", "not an object")
		}
	default:
		return invalid("useraction", "kind", "unknown")
	}
	return first(r.present("dest", m.Dest), r.sender(m.Source, m.Username), r.raw("value", m.Value), extra(m, m.Extra))
}

// Validate demands a kind that exists, because a server closes the connection for any
// other, and the value that the kind has.
func (m *GroupAction) Validate() error {
	const r rule = "groupaction"
	switch m.Kind {
	case GroupLock, GroupUnlock, GroupRecord, GroupUnrecord, GroupSubgroups, GroupListTokens:
	case GroupClearChat:
		if !jsonx.IsNull(m.Value) {
			if _, err := clearChatOf("groupaction", m.Value); err != nil {
				return err
			}
		}
	case GroupSetData:
		if !jsonx.IsObject(m.Value) {
			return invalid("groupaction", "value", "not an object")
		}
	case GroupMakeToken, GroupEditToken:
		if _, err := m.TokenRequest(); err != nil {
			return invalid("groupaction", "value", err.(*Error).Text)
		}
	default:
		return invalid("groupaction", "kind", "unknown")
	}
	return first(r.sender(m.Source, m.Username), r.raw("value", m.Value), extra(m, m.Extra))
}

// Validate demands labels and kinds that can be written.
func (m *Request) Validate() error {
	const r rule = "request"
	for label, kinds := range m.Request {
		if err := first(r.text("request", label), textsOf(r, "request."+label, kinds)); err != nil {
			return err
		}
	}
	if m.Tracks != nil && m.Request != nil {
		return invalid("request", "request", "of two dialects")
	}
	return first(r.fields("request", m.Tracks), extra(m, m.Extra))
}

// Validate demands an id.
func (m *RequestStream) Validate() error {
	const r rule = "requestStream"
	return first(r.present("id", m.ID), textsOf(r, "request", m.Request), extra(m, m.Extra))
}

// Validate demands an id and a description.
func (m *Offer) Validate() error {
	const r rule = "offer"
	for mid, label := range m.Labels {
		if err := first(r.text("labels", mid), r.text("labels."+mid, label)); err != nil {
			return err
		}
	}
	return first(r.present("id", m.ID), r.present("sdp", m.SDP), r.text("kind", m.Kind), r.text("replace", m.Replace),
		r.sender(m.Source, m.Username), r.text("label", m.Label), extra(m, m.Extra))
}

// Validate demands an id and a description.
func (m *Answer) Validate() error {
	const r rule = "answer"
	return first(r.present("id", m.ID), r.present("sdp", m.SDP), extra(m, m.Extra))
}

// Validate demands an id and a candidate.
func (m *ICE) Validate() error {
	const r rule = "ice"
	if err := r.present("id", m.ID); err != nil {
		return err
	}
	if _, err := m.Init(); err != nil {
		return err
	}
	if err := checkBelow([]byte("candidate"), m.Candidate); err != nil {
		return invalid("ice", err.Field, err.Err.Error())
	}
	return first(r.raw("candidate", m.Candidate), extra(m, m.Extra))
}

// Validate demands an id.
func (m *Renegotiate) Validate() error {
	return first(rule("renegotiate").present("id", m.ID), extra(m, m.Extra))
}

// Validate demands an id.
func (m *Close) Validate() error { return first(rule("close").present("id", m.ID), extra(m, m.Extra)) }

// Validate demands an id.
func (m *Abort) Validate() error { return first(rule("abort").present("id", m.ID), extra(m, m.Extra)) }

// Validate demands a type that this package does not know.
func (m *Unknown) Validate() error {
	if registry[m.Type] != nil {
		return invalid(m.Type, "type", "is a known one")
	}
	return first(rule("unknown").present("type", m.Type), extra(m, m.Extra))
}

// Validate always fails: the message does not exist on the wire.
func (*Reconnected) Validate() error { return invalid("reconnected", "type", errNotOnWire.Error()) }
