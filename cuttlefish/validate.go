package cuttlefish

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// invalid returns a [*ValidationError], or nil when the reason is "".
func invalid(typ, field, reason string) error {
	if reason == "" {
		return nil
	}
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

func present(typ, field, value string) error {
	if value == "" {
		return invalid(typ, field, "missing")
	}
	return utf8Text(typ, field, value)
}

// utf8Text demands texts that can be written.
func utf8Text(typ, field string, values ...string) error {
	for _, value := range values {
		if !utf8.ValidString(value) {
			return invalid(typ, field, "not UTF-8")
		}
	}
	return nil
}

func positive(typ, field string, n int) error {
	if n < 1 {
		return invalid(typ, field, "must be at least 1")
	}
	return nil
}

func notNegative(typ, field string, n int) error {
	if n < 0 {
		return invalid(typ, field, "negative")
	}
	return nil
}

// memberLevel is the level of what stands in a message's members, see [jsonx.CheckAt].
const memberLevel = 2

// anyJSON checks a member of any JSON type; null counts as present.
func anyJSON(typ, field string, raw json.RawMessage, required bool) error {
	return anyJSONAt(typ, field, raw, required, memberLevel)
}

func anyJSONAt(typ, field string, raw json.RawMessage, required bool, level int) error {
	if len(raw) == 0 {
		if required {
			return invalid(typ, field, "missing")
		}
		return nil
	}
	if err := jsonx.CheckAt(raw, level); err != nil {
		return invalid(typ, field, err.Error())
	}
	return nil
}

// validate checks the further members of message m.
func (f Fields) validate(m Message, typ string) error {
	return f.validateAt(m, typ, "", discriminator, memberLevel)
}

// validateAt checks the further members of an object at path, which the struct of
// describes, if any, and whose type is told by the member called discriminator, if any.
func (f Fields) validateAt(of any, typ, path, discriminator string, level int) error {
	if path != "" {
		path += "."
	}
	if err := jsonx.CheckExtra(f, of, discriminator, level); err != nil {
		return invalid(typ, path+err.Field, err.Err.Error())
	}
	return nil
}

// Validate demands a device id and JSON in device_info.
func (m *Register) Validate() error {
	return first(
		present("register", "device_id", m.DeviceID),
		anyJSON("register", "device_info", m.DeviceInfo, false),
		m.Extra.validate(m, "register"))
}

// Validate demands a payload, null included, and a positive client id if there is
// one.
func (m *Forward) Validate() error {
	var err error
	if id, ok := m.Client(); ok {
		err = positive("forward", "client_id", id)
	}
	return first(err, anyJSON("forward", "payload", m.Payload, true), m.Extra.validate(m, "forward"))
}

// Validate demands that each ICE server has URLs.
func (m *Config) Validate() error {
	return first(validateICEServers("config", m.ICEServers), m.Extra.validate(m, "config"))
}

func validateICEServers(typ string, servers []ICEServer) error {
	for i := range servers {
		s, path := &servers[i], fmt.Sprintf("ice_servers[%d]", i)
		if len(s.URLs) == 0 {
			return invalid(typ, path+".urls", "missing")
		}
		if j := slices.Index(s.URLs, ""); j >= 0 {
			return invalid(typ, fmt.Sprintf("%s.urls[%d]", path, j), "empty")
		}
		if err := first(
			utf8Text(typ, path+".urls", s.URLs...),
			utf8Text(typ, path+".username", s.Username),
			utf8Text(typ, path+".credential", s.Credential),
			utf8Text(typ, path+".credentialType", s.CredentialType),
			s.Extra.validateAt(s, typ, path, "", memberLevel+2)); err != nil {
			return err
		}
	}
	return nil
}

// Validate demands a positive client id and a payload.
func (m *ClientMsg) Validate() error {
	return first(
		positive("client_msg", "client_id", m.ClientID),
		anyJSON("client_msg", "payload", m.Payload, true),
		m.Extra.validate(m, "client_msg"))
}

// Validate demands a positive client id.
func (m *ClientDisconnected) Validate() error {
	return first(positive("client_disconnected", "client_id", m.ClientID), m.Extra.validate(m, "client_disconnected"))
}

// Validate demands a device id.
func (m *Connect) Validate() error {
	return first(present("connect", "device_id", m.DeviceID), m.Extra.validate(m, "connect"))
}

// Validate demands JSON in device_info; null is allowed, the C++ server sends it for
// a device that registered none.
func (m *DeviceInfoMsg) Validate() error {
	return first(anyJSON("device_info", "device_info", m.DeviceInfo, true), m.Extra.validate(m, "device_info"))
}

// Validate demands a payload.
func (m *DeviceMsg) Validate() error {
	return first(anyJSON("device_msg", "payload", m.Payload, true), m.Extra.validate(m, "device_msg"))
}

// Validate demands a text.
func (m *Error) Validate() error {
	return first(present("error", "error", m.Text), m.Extra.validate(m, "error"))
}

// Validate demands a type that is not one of the known ones.
func (m *Unknown) Validate() error {
	if _, known := registry[m.Type]; known {
		return invalid(m.Type, discriminator, "is a known type: use its struct")
	}
	return first(present("unknown", discriminator, m.Type), m.Extra.validate(nil, m.Type))
}

// Validate always fails: the message does not exist on the wire.
func (*Reconnected) Validate() error {
	return invalid("reconnected", discriminator, errNotOnWire.Error())
}
