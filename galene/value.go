package galene

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A Token is an invitation, the value of [UserMessageToken]. The URL of its group with
// "?token=" and the token leads into the group.
type Token struct {
	Token            string      `json:"token"`
	Group            string      `json:"group"`
	IncludeSubgroups bool        `json:"includeSubgroups,omitempty"`
	Username         *string     `json:"username,omitempty"` // nil: whoever comes chooses one
	Permissions      Permissions `json:"permissions"`
	Expires          string      `json:"expires,omitempty"` // RFC 3339
	NotBefore        string      `json:"not-before,omitempty"`
	IssuedAt         string      `json:"issuedAt,omitempty"`
	IssuedBy         *string     `json:"issuedBy,omitempty"`
	Extra            Fields      `json:"-"`
}

// Valid returns nil if the token leads into the group at that time, and otherwise why it
// does not.
func (t *Token) Valid(group string, now time.Time) error {
	below := t.IncludeSubgroups && (t.Group == "" || strings.HasPrefix(group, t.Group+"/")) // "" is above all
	if group != t.Group && !below {
		return errTokenGroup
	}
	expires, err := time.Parse(time.RFC3339, t.Expires)
	if err != nil || now.After(expires) {
		return errTokenExpired
	}
	if t.NotBefore == "" {
		return nil
	}
	if from, err := time.Parse(time.RFC3339, t.NotBefore); err != nil || now.Before(from) {
		return errTokenEarly
	}
	return nil
}

var (
	errTokenGroup   = errors.New("galene: token for another group")
	errTokenExpired = errors.New("galene: token has expired")
	errTokenEarly   = errors.New("galene: token is not valid yet")
)

// Token returns the token that a server made or changed. The error is an [*Error] that the
// server gave, or a [*ValidationError].
func (m *UserMessage) Token() (*Token, error) {
	if err := m.failure(UserMessageToken); err != nil {
		return nil, err
	}
	t := new(Token)
	if err := unmarshal("usermessage", m.Value, t); err != nil {
		return nil, err
	}
	return t, nil
}

// Tokens returns the tokens that a server listed. The error is as that of
// [UserMessage.Token].
func (m *UserMessage) Tokens() ([]*Token, error) {
	if err := m.failure(UserMessageTokenList); err != nil {
		return nil, err
	}
	if jsonx.IsNull(m.Value) {
		return nil, nil
	}
	var list struct {
		Tokens []*Token `json:"tokens"`
	}
	wrapped := append(append([]byte(`{"tokens":`), m.Value...), '}')
	if err := jsonx.Unmarshal(wrapped, &list); err != nil {
		return nil, invalid("usermessage", "value", "not a list of tokens")
	}
	return list.Tokens, nil
}

// failure returns what the server refused a token action with.
func (m *UserMessage) failure(kind UserMessageKind) error {
	switch {
	case m.Kind != kind:
		return invalid("usermessage", "kind", "is not "+string(kind))
	case m.Error != "":
		text, _ := Text(m.Value)
		return &Error{ID: m.Error, Text: text}
	}
	return nil
}

// A TokenRequest is the value of [GroupMakeToken], where it needs Group and Expires, and of
// [GroupEditToken], where it names the Token and has nothing else but the times.
type TokenRequest struct {
	Token       string      `json:"token,omitempty"`
	Group       string      `json:"group,omitempty"`
	Username    *string     `json:"username,omitempty"`
	Permissions Permissions `json:"permissions,omitzero"` // nil gives none
	Expires     TokenTime   `json:"expires,omitzero"`
	NotBefore   TokenTime   `json:"not-before,omitzero"`
	Extra       Fields      `json:"-"`
}

// A TokenTime is a time in a [TokenRequest]: an instant, or from now on. The zero value is
// none. In is rounded to milliseconds and may be negative.
type TokenTime struct {
	At time.Time
	In time.Duration
}

// MarshalJSON writes an instant as RFC 3339 and a duration as a number of milliseconds.
func (t TokenTime) MarshalJSON() ([]byte, error) {
	if !t.At.IsZero() {
		return json.Marshal(t.At)
	}
	return json.Marshal(t.In.Milliseconds())
}

// UnmarshalJSON reads what MarshalJSON writes, and null as none.
func (t *TokenTime) UnmarshalJSON(b []byte) error {
	*t = TokenTime{}
	if text, ok := jsonx.Text(b); ok {
		at, err := time.Parse(time.RFC3339, string(text))
		if err == nil {
			_, err = at.MarshalText() // some zones are read, but not written
		}
		if err != nil {
			return errBadTime
		}
		t.At = at
		return nil
	}
	if jsonx.IsNull(b) {
		return nil
	}
	var ms float64
	if err := json.Unmarshal(b, &ms); err != nil {
		return errBadTime
	}
	const year = 365 * 24 * float64(time.Hour/time.Millisecond)
	if ms < -200*year || ms > 200*year { // beyond what a Duration holds
		return errBadTime
	}
	whole, part := math.Modf(ms) // in nanoseconds the whole would be rounded
	t.In = time.Duration(whole)*time.Millisecond + time.Duration(part*float64(time.Millisecond))
	if t.In == 0 {
		t.In = -1 // as good as now, and not none
	}
	return nil
}

var errBadTime = errors.New("bad time value")

// IsZero reports whether no time is given.
func (t TokenTime) IsZero() bool { return t == TokenTime{} }

// at returns the instant, or the zero time for none.
func (t TokenTime) at(now time.Time) time.Time {
	switch {
	case t.IsZero():
		return time.Time{}
	case t.At.IsZero():
		return now.Add(t.In)
	}
	return t.At
}

// TokenRequest returns the value of a [GroupMakeToken] or a [GroupEditToken]. The error is
// an [*Error] with Galène's text.
func (m *GroupAction) TokenRequest() (*TokenRequest, error) {
	bad := func(text string) (*TokenRequest, error) { return nil, &Error{ID: ErrorOther, Text: text} }
	o, err := jsonx.Scan(m.Value)
	if err != nil {
		return bad("bad token value")
	}
	defer o.Free()
	r := new(TokenRequest)
	for i := range o.Len() {
		name, value := o.Member(i)
		if jsonx.IsNull(value) {
			continue
		}
		text, isText := jsonx.Text(value)
		switch string(name) {
		case "token", "username", "group":
			if !isText {
				return bad("bad string value")
			}
		}
		switch string(name) {
		case "token":
			r.Token = string(text)
		case "username":
			username := string(text)
			r.Username = &username
		case "group":
			r.Group = string(text)
		case "permissions":
			var p struct {
				Permissions Permissions `json:"permissions"`
			}
			if jsonx.Unmarshal(append(append([]byte(`{"permissions":`), value...), '}'), &p) != nil {
				return bad("bad string list")
			}
			r.Permissions = p.Permissions
		case "expires":
			err = r.Expires.UnmarshalJSON(value)
		case "not-before":
			err = r.NotBefore.UnmarshalJSON(value)
		default:
			if r.Extra == nil {
				r.Extra = make(Fields)
			}
			r.Extra[string(name)] = bytes.Clone(value)
		}
		if err != nil {
			return bad(err.Error())
		}
	}
	return r, nil
}

// A ClearChat is the value of [GroupClearChat] and of [UserMessageClearChat]: which
// messages are deleted. The zero value deletes all.
type ClearChat struct {
	ID     string `json:"id,omitempty"`     // of one message; needs UserID
	UserID string `json:"userId,omitempty"` // of its author; alone, all that he has written
	Extra  Fields `json:"-"`
}

// ClearChat returns which messages are deleted. The error is a [*ValidationError].
func (m *UserMessage) ClearChat() (*ClearChat, error) {
	if m.Kind != UserMessageClearChat {
		return nil, invalid("usermessage", "kind", "is not clearchat")
	}
	if jsonx.IsNull(m.Value) {
		return new(ClearChat), nil
	}
	return clearChatOf("usermessage", m.Value)
}

func clearChatOf(typ string, value json.RawMessage) (*ClearChat, error) {
	c := new(ClearChat)
	if err := unmarshal(typ, value, c); err != nil {
		return nil, err
	}
	if c.ID != "" && c.UserID == "" {
		return nil, invalid(typ, "value.userId", errMissing.Error())
	}
	return c, nil
}

// A UserInfo is the value of [UserMessageUserInfo], which answers [UserIdentify].
type UserInfo struct {
	ID       string `json:"id"`
	Username string `json:"username,omitempty"`
	Address  string `json:"address,omitempty"` // host and port
	Extra    Fields `json:"-"`
}

// UserInfo returns what the server knows of a user. The error is a [*ValidationError].
func (m *UserMessage) UserInfo() (*UserInfo, error) {
	if m.Kind != UserMessageUserInfo {
		return nil, invalid("usermessage", "kind", "is not userinfo")
	}
	u := new(UserInfo)
	if err := unmarshal("usermessage", m.Value, u); err != nil {
		return nil, err
	}
	return u, nil
}

// value writes a value whose texts are UTF-8.
func value(v any) json.RawMessage {
	b, err := jsonx.Append(nil, "", "", v)
	if err != nil {
		return nil
	}
	return b
}

// A FileTransferType says which step of a file transfer a message is.
type FileTransferType string

// The steps of a file transfer. The receiver makes the peer connection and its data
// channel, which is called "file"; the one who invited sends the bytes.
const (
	FileInvite FileTransferType = "invite" // to the receiver: Name, Size, MimeType
	FileOffer  FileTransferType = "offer"  // back: SDP
	FileAnswer FileTransferType = "answer" // forth: SDP
	FileICE    FileTransferType = "ice"    // both ways: Candidate, which browsers end with null
	FileCancel FileTransferType = "cancel" // both ways, at any time: Message; not answered
)

// A FileTransfer is the value of [UserMessageFileTransfer], between two users who both
// have [PermissionMessage]. A transfer is known by its id and the other user's.
type FileTransfer struct {
	Type      FileTransferType `json:"type"`
	Version   []string         `json:"version,omitempty"` // of invite and offer: [FileTransferVersion]
	ID        string           `json:"id"`
	Name      string           `json:"name,omitempty"`
	Size      *uint64          `json:"size,omitempty"` // in bytes
	MimeType  string           `json:"mimetype,omitempty"`
	SDP       string           `json:"sdp,omitempty"`
	Candidate json.RawMessage  `json:"candidate,omitempty"` // see [FileTransfer.Init]
	Message   string           `json:"message,omitempty"`
	Extra     Fields           `json:"-"`
}

// FileTransferVersion is the version of the file transfer protocol.
const FileTransferVersion = "1"

// NewFileTransfer returns the message that carries a step of a file transfer to a user.
func NewFileTransfer(dest string, f *FileTransfer) *UserMessage {
	b, err := jsonx.Append(nil, "", "", f)
	if err != nil {
		b = json.RawMessage("\"\xff\"") // which Validate refuses for that reason
	}
	return &UserMessage{Kind: UserMessageFileTransfer, Dest: dest, Value: b}
}

// FileTransfer returns the step of a file transfer. The error is a [*ValidationError].
func (m *UserMessage) FileTransfer() (*FileTransfer, error) {
	if m.Kind != UserMessageFileTransfer {
		return nil, invalid("usermessage", "kind", "is not filetransfer")
	}
	f := new(FileTransfer)
	if err := unmarshal("usermessage", m.Value, f); err != nil {
		return nil, err
	}
	switch {
	case f.Type == "":
		return nil, invalid("usermessage", "value.type", errMissing.Error())
	case f.ID == "":
		return nil, invalid("usermessage", "value.id", errMissing.Error())
	case f.Type == FileInvite && f.Size == nil:
		return nil, invalid("usermessage", "value.size", errMissing.Error())
	case (f.Type == FileOffer || f.Type == FileAnswer) && f.SDP == "":
		return nil, invalid("usermessage", "value.sdp", errMissing.Error())
	}
	return f, nil
}

// Init returns the candidate of a [FileICE] and false for the end of the candidates. The
// error is a [*ValidationError].
func (f *FileTransfer) Init() (c ICECandidateInit, ok bool, err error) {
	if jsonx.IsNull(f.Candidate) {
		return c, false, nil
	}
	c, err = (&ICE{Candidate: f.Candidate}).Init()
	if e, is := errors.AsType[*ValidationError](err); is {
		return c, false, invalid("usermessage", "value."+e.Field, e.Reason)
	}
	return c, true, nil
}

// objectOf writes the value of a message that is an object.
func objectOf(typ string, data Fields) (json.RawMessage, error) {
	if err := rule(typ).fields("value", data); err != nil {
		return nil, err
	}
	return value(&struct {
		Extra Fields `json:"-"`
	}{data}), nil
}
