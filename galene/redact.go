package galene

import (
	"log/slog"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// hidden stands for a secret in logs.
const hidden = "[hidden]"

// LogValue hides the password and the token.
func (m *Join) LogValue() slog.Value {
	username := ""
	if m.Username != nil {
		username = *m.Username
	}
	return slog.GroupValue(
		slog.String("kind", string(m.Kind)), slog.String("group", m.Group), slog.String("username", username),
		slog.Bool("password", m.Password != ""), slog.Bool("token", m.Token != ""))
}

// LogValue hides the credentials of TURN servers.
func (m *Joined) LogValue() slog.Value {
	username := ""
	if m.Username != nil {
		username = *m.Username
	}
	return slog.GroupValue(
		slog.String("kind", string(m.Kind)), slog.String("group", m.Group), slog.String("username", username),
		slog.Any("permissions", m.Permissions), slog.String("error", string(m.Error)), slog.String("value", m.Value))
}

// LogValue hides the value, which may be a token.
func (m *UserMessage) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", string(m.Kind)), slog.String("source", m.Source),
		slog.String("dest", m.Dest), slog.Int("value", len(m.Value)))
}

// LogValue hides the value, which may be a token.
func (m *GroupAction) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", string(m.Kind)), slog.String("source", m.Source),
		slog.Int("value", len(m.Value)))
}

// LogValue hides the token itself.
func (t *Token) LogValue() slog.Value {
	return slog.GroupValue(slog.String("token", hidden), slog.String("group", t.Group),
		slog.Any("permissions", t.Permissions), slog.String("expires", t.Expires))
}

// Redact returns a message for a log, without passwords, tokens and the credentials of
// TURN servers. It is for transport.Logged. What is no message is not shown, and further
// members of messages that have secrets are not either: Galène does not look at the case
// of names.
func Redact(data []byte) []byte {
	m, err := Decode(data)
	if err != nil {
		return []byte(hidden)
	}
	switch m := m.(type) {
	case *Join:
		if m.Password != "" {
			m.Password = hidden
		}
		if m.Token != "" {
			m.Token = hidden
		}
		m.Extra = nil
	case *Joined:
		m.RTCConfiguration, m.Extra = nil, nil
	case *UserMessage:
		if m.Kind != UserMessageToken && m.Kind != UserMessageTokenList {
			return unlessSecret(data)
		}
		m.Value, m.Extra = NewText(hidden), nil
	case *GroupAction:
		if m.Kind != GroupMakeToken && m.Kind != GroupEditToken {
			return unlessSecret(data)
		}
		m.Value, m.Extra = NewText(hidden), nil
	default:
		return unlessSecret(data)
	}
	b, err := Encode(m)
	if err != nil {
		return []byte(hidden)
	}
	return b
}

// unlessSecret returns the text of a message that has no secrets, unless one of its
// members is called like a secret.
func unlessSecret(data []byte) []byte {
	o, err := jsonx.Scan(data)
	if err != nil {
		return []byte(hidden)
	}
	defer o.Free()
	for i := range o.Len() {
		name, _ := o.Member(i)
		for _, secret := range [...]string{"password", "token", "rtcConfiguration"} {
			if strings.EqualFold(string(name), secret) {
				return []byte(hidden)
			}
		}
	}
	return data
}
