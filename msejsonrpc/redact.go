package msejsonrpc

import "log/slog"

// hidden stands for a token in logs.
const hidden = "[hidden]"

// LogValue hides the token.
func (m *Auth) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", m.ID.String()), slog.String("token", hidden), slog.String("version", m.Version))
}

// Redact returns a message for a log, without the token of an [*Auth]. It is for
// transport.Logged. What is no message is not shown.
func Redact(data []byte) []byte {
	m, err := Decode(data)
	if err != nil {
		return []byte(hidden)
	}
	auth, ok := m.(*Auth)
	if !ok {
		return data
	}
	b, err := Encode(&Auth{ID: auth.ID, Token: hidden, Version: auth.Version})
	if err != nil {
		return []byte(hidden)
	}
	return b
}
