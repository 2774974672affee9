package galene

import "log/slog"

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

// LogValue hides the value, which may be a token.
func (m *UserMessage) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", string(m.Kind)), slog.String("source", m.Source),
		slog.String("dest", m.Dest), slog.Int("value", len(m.Value)))
}

// Redact returns a message for a log, without passwords, tokens and the credentials of
// TURN servers. It is for transport.Logged. What is no message is not shown.
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
	case *Joined:
		m.RTCConfiguration = nil
	case *UserMessage:
		if m.Kind != UserMessageToken && m.Kind != UserMessageTokenList {
			return data
		}
		m.Value = NewText(hidden)
	case *GroupAction:
		if m.Kind != GroupMakeToken && m.Kind != GroupEditToken {
			return data
		}
		m.Value = NewText(hidden)
	default:
		return data
	}
	b, err := Encode(m)
	if err != nil {
		return []byte(hidden)
	}
	return b
}
