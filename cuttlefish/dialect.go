package cuttlefish

import (
	"bytes"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A Dialect is a way in which the messages go over the wire. The messages are the
// same in both, and so are the machines.
type Dialect int

const (
	// DialectDocument is the protocol document: every message as it is, on
	// /register_device and /connect_client.
	DialectDocument Dialect = iota

	// DialectOperator is today's operator. A device speaks as in the document, over
	// a unix socket, but its message_type is not looked at. A client has no connect
	// message (the path of its URL says the device) and gets no config (it fetches
	// /infra_config); its payloads go out without a forward around them, and its
	// device_info comes without message_type.
	DialectOperator
)

// String returns "document" or "operator".
func (d Dialect) String() string {
	if d == DialectOperator {
		return "operator"
	}
	return "document"
}

// A Role is what a connection of a server is for.
type Role int

// The roles.
const (
	RoleDevice Role = iota
	RoleClient
)

// String returns "device" or "client".
func (r Role) String() string {
	if r == RoleClient {
		return "client"
	}
	return "device"
}

// A serverDecoder reads what a peer sends to a server. A [*Forward] takes the frame
// over; otherwise it is the caller's to free.
type serverDecoder func(transport.MessageType, *link.Frame) (Message, error)

// newServerDecoder returns how a server reads what a peer of that role sends.
func newServerDecoder(c Connection) serverDecoder {
	switch {
	case c.Dialect == DialectDocument:
		return func(typ transport.MessageType, f *link.Frame) (Message, error) {
			if typ == transport.Binary {
				return nil, &DecodeError{Err: errBinary}
			}
			return decode(f.Data, f)
		}
	case c.Role == RoleClient:
		return decodePayload
	}
	first := true
	return func(_ transport.MessageType, f *link.Frame) (Message, error) {
		var m Message = new(Forward)
		if first {
			first = false
			m = new(Register)
		}
		if string(bytes.TrimSpace(f.Data)) == "null" { // a message without members, for the operator
			return m, nil
		}
		return decodeAs(m, f.Data, f)
	}
}

// decodePayload reads a payload without an envelope: an object or null, as the
// operator demands. It nests no deeper than it may inside the client_msg to come.
func decodePayload(_ transport.MessageType, f *link.Frame) (Message, error) {
	data := f.Data
	if err := jsonx.CheckAt(data, memberLevel); err != nil {
		return nil, decodeError("", err, data)
	}
	if !jsonx.IsObject(data) && !jsonx.IsNull(data) {
		return nil, decodeError("forward", &jsonx.Error{Field: "payload", Err: jsonx.ErrNotObject}, data)
	}
	return &Forward{Payload: data, frame: f}, nil
}

// serverAppender returns how a server writes to a peer of that role.
func serverAppender(c Connection) func([]byte, Message) ([]byte, error) {
	if c.Dialect == DialectDocument || c.Role == RoleDevice {
		return func(dst []byte, m Message) ([]byte, error) { return appendMessage(dst, m, false) }
	}
	return func(dst []byte, m Message) ([]byte, error) {
		switch m := m.(type) {
		case *Config:
			return dst, nil
		case *DeviceInfoMsg:
			return jsonx.AppendChecked(dst, "", "", m)
		}
		return appendMessage(dst, m, false)
	}
}

// free ends the use of a message that has been written.
func free(m Message) {
	switch m := m.(type) {
	case *ClientMsg:
		m.frame.Free()
	case *DeviceMsg:
		m.frame.Free()
	}
}

// peerDecode is how a device or a client reads what a server sends: the same in both
// dialects.
func peerDecode(_ transport.MessageType, data []byte) (Message, error) { return Decode(data) }

// peerAppender returns how a device or a client writes to a server.
func peerAppender(d Dialect) func([]byte, Message) ([]byte, error) {
	return func(dst []byte, m Message) ([]byte, error) {
		if d == DialectOperator {
			switch m := m.(type) {
			case *Connect:
				return dst, nil
			case *Forward:
				if m.ClientID == nil {
					return append(dst, m.Payload...), nil
				}
			}
		}
		return appendMessage(dst, m, true)
	}
}

// size estimates the encoded length of a message in bytes.
func size(m Message) int {
	const envelope = 64
	switch m := m.(type) {
	case *Forward:
		return envelope + len(m.Payload)
	case *ClientMsg:
		return envelope + len(m.Payload)
	case *DeviceMsg:
		return envelope + len(m.Payload)
	case *DeviceInfoMsg:
		return envelope + len(m.DeviceInfo)
	case *Register:
		return envelope + len(m.DeviceID) + len(m.DeviceInfo)
	case *Error:
		return envelope + len(m.Text)
	case *Config:
		return envelope + 128*len(m.ICEServers)
	}
	return envelope
}
