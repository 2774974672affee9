package easyrtc

import (
	"encoding/json"
	"log/slog"
)

// hidden stands for a secret in logs.
const hidden = "[hidden]"

var hiddenJSON = json.RawMessage(`"` + hidden + `"`)

// LogValue hides the credential, the session and the parameters of rooms.
func (m *Authenticate) LogValue() slog.Value {
	d := m.MsgData
	if d == nil {
		return slog.GroupValue(slog.String("id", m.ID.String()))
	}
	return slog.GroupValue(
		slog.String("id", m.ID.String()), slog.String("applicationName", orEmpty(d.ApplicationName)),
		slog.String("username", orEmpty(d.Username)), slog.Bool("credential", d.Credential != nil),
		slog.Bool("easyrtcsid", d.EasyrtcSID != nil), slog.Int("roomJoin", len(d.RoomJoin)))
}

// LogValue hides the parameters of rooms.
func (m *RoomJoin) LogValue() slog.Value {
	rooms := 0
	if m.MsgData != nil {
		rooms = len(m.MsgData.RoomJoin)
	}
	return slog.GroupValue(slog.String("id", m.ID.String()), slog.Int("roomJoin", rooms))
}

// LogValue hides the credentials of TURN servers and the session.
func (m *Token) LogValue() slog.Value {
	if m.MsgData == nil {
		return slog.GroupValue(slog.String("id", m.ID.String()))
	}
	return slog.GroupValue(slog.String("id", m.ID.String()), slog.String("easyrtcid", m.MsgData.EasyrtcID),
		slog.Int("roomData", len(m.MsgData.RoomData)))
}

// LogValue hides the credentials of TURN servers.
func (m *ICEConfig) LogValue() slog.Value {
	servers := 0
	if m.MsgData != nil && m.MsgData.ICEConfig != nil {
		servers = len(m.MsgData.ICEConfig.ICEServers)
	}
	return slog.GroupValue(slog.String("id", m.ID.String()), slog.Int("iceServers", servers))
}

// LogValue hides the session.
func (m *SessionData) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", m.ID.String()), slog.String("easyrtcid", m.EasyrtcID))
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Redact returns a packet for a log, without credentials, sessions, the parameters of rooms
// and the credentials of TURN servers. It is for transport.Logged. What is no message of
// the protocol is not shown, and neither are packets with attachments.
func Redact(data []byte) []byte {
	m, err := Decode(data)
	if err != nil {
		return []byte(hidden)
	}
	switch m := m.(type) {
	case *Authenticate:
		m.Extra = nil
		if d := m.MsgData; d != nil {
			if d.Credential != nil {
				d.Credential = hiddenJSON
			}
			if d.EasyrtcSID != nil {
				d.EasyrtcSID = new(hidden)
			}
			hideParameters(d.RoomJoin)
			d.Extra = nil
		}
	case *RoomJoin:
		m.Extra = nil
		if m.MsgData != nil {
			hideParameters(m.MsgData.RoomJoin)
			m.MsgData.Extra = nil
		}
	case *Token:
		m.Extra = nil
		if d := m.MsgData; d != nil {
			hideServers(d.ICEConfig)
			hideSession(d.SessionData)
			d.Extra = nil
		}
	case *ICEConfig:
		m.Extra = nil
		if m.MsgData != nil {
			hideServers(m.MsgData.ICEConfig)
			m.MsgData.Extra = nil
		}
	case *SessionData:
		m.Extra = nil
		if m.MsgData != nil {
			hideSession(m.MsgData.SessionData)
			m.MsgData.Extra = nil
		}
	case *ConnectPacket:
		if m.Payload == nil {
			return data
		}
		m.Payload = json.RawMessage("{}")
	case *Unknown:
		return []byte(hidden)
	default:
		return data
	}
	b, err := Encode(m)
	if err != nil {
		return []byte(hidden)
	}
	return b
}

func hideParameters(rooms map[string]RoomRequest) {
	for name, r := range rooms {
		if r.RoomParameter != nil {
			r.RoomParameter = hiddenJSON
		}
		r.Extra = nil
		rooms[name] = r
	}
}

func hideServers(c *ICEServers) {
	if c == nil {
		return
	}
	c.Extra = nil
	for i := range c.ICEServers {
		s := &c.ICEServers[i]
		if s.Username != "" {
			s.Username = hidden
		}
		if s.Credential != "" {
			s.Credential = hidden
		}
		s.Extra = nil
	}
}

func hideSession(s *Session) {
	if s != nil {
		s.EasyrtcSID, s.Extra = hidden, nil
	}
}
