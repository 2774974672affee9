package mediasoupproto

import (
	"bytes"
	"encoding/json"
	"log/slog"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// hidden stands for a secret in logs.
const hidden = "[hidden]"

// LogValue hides the data of the application.
func (m *Join) LogValue() slog.Value {
	return slog.GroupValue(slog.String("peerName", m.PeerName), slog.Bool("spy", m.Spy), slog.Bool("appData", m.AppData != nil))
}

// LogValue hides the password.
func (p *ICEParameters) LogValue() slog.Value {
	return slog.GroupValue(slog.String("usernameFragment", p.UsernameFragment))
}

// Redact returns a copy of a message of [Protoo] as it stands on the wire, with "[hidden]" in
// place of what is secret: the passwords of ICE and the data of the application, which may hold
// tokens. What is no JSON is hidden as a whole. It is for transport.Logged.
func Redact(data []byte) []byte {
	out, err := redact(bytes.TrimSpace(data))
	if err != nil {
		return []byte(hidden)
	}
	return out
}

func redact(value json.RawMessage) ([]byte, error) {
	if jsonx.Check(value) != nil {
		return nil, jsonx.ErrSyntax
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	hide(v)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// hide replaces the secrets in a value.
func hide(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if name == "password" || name == "appData" {
				v[name] = hidden
				continue
			}
			hide(value)
		}
	case []any:
		for _, value := range v {
			hide(value)
		}
	}
}
