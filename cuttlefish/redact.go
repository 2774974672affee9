package cuttlefish

import (
	"encoding/json"
	"log/slog"
	"slices"
)

// hidden stands for a secret in logs.
const hidden = "[hidden]"

// LogValue hides the credentials of TURN servers.
func (m *Config) LogValue() slog.Value { return serversValue(m.ICEServers) }

// LogValue hides the credentials of TURN servers.
func (p *RequestOffer) LogValue() slog.Value { return serversValue(p.ICEServers) }

func serversValue(servers []ICEServer) slog.Value {
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URLs...)
	}
	return slog.GroupValue(slog.Any("ice_servers", urls))
}

// Redact returns a message for a log, without the credentials of TURN servers, which are in
// a [*Config] and in a [*RequestOffer]. It is for transport.Logged. What is no message is not
// shown, nor a payload that is none, nor further members beside credentials.
func Redact(data []byte) []byte {
	m, err := Decode(data)
	if err != nil {
		return []byte(hidden)
	}
	var ok bool
	switch m := m.(type) {
	case *Config:
		m.ICEServers, m.Extra = hideServers(m.ICEServers), nil
		ok = true
	case *Forward:
		m.Payload, ok = redactPayload(m.Payload)
	case *ClientMsg:
		m.Payload, ok = redactPayload(m.Payload)
	case *DeviceMsg:
		m.Payload, ok = redactPayload(m.Payload)
	}
	if !ok {
		return data
	}
	b, err := Encode(m)
	if err != nil {
		return []byte(hidden)
	}
	return b
}

// redactPayload returns a payload without credentials, and false for one that has none.
func redactPayload(data json.RawMessage) (redacted json.RawMessage, changed bool) {
	if data == nil {
		return nil, false
	}
	p, err := DecodePayload(data)
	if err != nil {
		return json.RawMessage(`"` + hidden + `"`), true
	}
	r, ok := p.(*RequestOffer)
	if !ok {
		return data, false
	}
	r.ICEServers, r.Extra = hideServers(r.ICEServers), nil
	redacted, err = EncodePayload(r)
	if err != nil {
		return json.RawMessage(`"` + hidden + `"`), true
	}
	return redacted, true
}

func hideServers(servers []ICEServer) []ICEServer {
	servers = slices.Clone(servers)
	for i := range servers {
		s := &servers[i]
		if s.Username != "" {
			s.Username = hidden
		}
		if s.Credential != "" {
			s.Credential = hidden
		}
		s.Extra = nil
	}
	return servers
}
