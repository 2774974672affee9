package mediasoupproto

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"

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

// LogValue hides the password of ICE.
func (r *CreateTransportResult) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("iceParameters", r.ICEParameters), slog.Int("iceCandidates", len(r.ICECandidates)))
}

// LogValue hides the password of ICE.
func (r *RestartTransportResult) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("iceParameters", r.ICEParameters))
}

// LogValue hides the result, which may be one with a password.
func (m *Response) LogValue() slog.Value {
	if m.Error != nil {
		return slog.GroupValue(slog.String("id", string(m.RequestID)), slog.String("error", m.Error.Error()))
	}
	return slog.GroupValue(slog.String("id", string(m.RequestID)), slog.Int("bytes", len(m.Result)))
}

// LogValue hides the data.
func (m *Application) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", string(m.RequestID)), slog.String("method", m.Method), slog.Int("bytes", len(m.Data)))
}

// Redact returns a copy of a message of [Protoo] as it stands on the wire, with "[hidden]" in
// place of what is secret: the passwords of ICE and the data of the application, which may hold
// tokens. Answers to requests of the application cannot be told from others. What is no JSON is hidden as a whole. It is for transport.Logged.
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
	if frame, ok := v.(map[string]any); ok && ofApplication(frame) {
		frame["data"] = hidden
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

// ofApplication reports whether a frame is not mediasoup's.
func ofApplication(frame map[string]any) bool {
	method, ok := frame["method"]
	_, data := frame["data"]
	return ok && data && method != MethodRequest && method != MethodNotification
}

// hide replaces the secrets in a value. Names of other letters are not the protocol's, and yet
// may have been meant.
func hide(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if strings.EqualFold(name, "password") || strings.EqualFold(name, "appData") {
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
