package cuttlefish

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

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
	return nil
}

// anyJSON checks a member of any JSON type; null counts as present.
func anyJSON(typ, field string, raw json.RawMessage, required bool) error {
	if len(raw) == 0 {
		if required {
			return invalid(typ, field, "missing")
		}
		return nil
	}
	if err := jsonx.Check(raw); err != nil {
		return invalid(typ, field, err.Error())
	}
	return nil
}

func (f Fields) validate(typ string) error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if name == discriminator {
			return invalid(typ, name, "is not a further member")
		}
		if err := anyJSON(typ, name, f[name], true); err != nil {
			return err
		}
	}
	return nil
}

func clientID(typ string, id int) error {
	if id < 1 {
		return invalid(typ, "client_id", "must be at least 1")
	}
	return nil
}

// Validate demands a device id and JSON in device_info.
func (m *Register) Validate() error {
	return first(
		present("register", "device_id", m.DeviceID),
		anyJSON("register", "device_info", m.DeviceInfo, false),
		m.Extra.validate("register"))
}

// Validate demands a payload, null included, and a positive client id if there is
// one.
func (m *Forward) Validate() error {
	var err error
	if id, ok := m.Client(); ok {
		err = clientID("forward", id)
	}
	return first(err, anyJSON("forward", "payload", m.Payload, true), m.Extra.validate("forward"))
}

// Validate demands that each ICE server has URLs.
func (m *Config) Validate() error {
	return first(validateICEServers("config", m.ICEServers), m.Extra.validate("config"))
}

func validateICEServers(typ string, servers []ICEServer) error {
	for i, s := range servers {
		if len(s.URLs) == 0 {
			return invalid(typ, fmt.Sprintf("ice_servers[%d].urls", i), "missing")
		}
		if j := slices.Index(s.URLs, ""); j >= 0 {
			return invalid(typ, fmt.Sprintf("ice_servers[%d].urls[%d]", i, j), "empty")
		}
		if err := s.Extra.validate(typ); err != nil {
			return err
		}
	}
	return nil
}

// Validate demands a positive client id and a payload.
func (m *ClientMsg) Validate() error {
	return first(
		clientID("client_msg", m.ClientID),
		anyJSON("client_msg", "payload", m.Payload, true),
		m.Extra.validate("client_msg"))
}

// Validate demands a positive client id.
func (m *ClientDisconnected) Validate() error {
	return first(clientID("client_disconnected", m.ClientID), m.Extra.validate("client_disconnected"))
}

// Validate demands a device id.
func (m *Connect) Validate() error {
	return first(present("connect", "device_id", m.DeviceID), m.Extra.validate("connect"))
}

// Validate demands JSON in device_info; null is allowed, the C++ server sends it for
// a device that registered none.
func (m *DeviceInfoMsg) Validate() error {
	return first(anyJSON("device_info", "device_info", m.DeviceInfo, true), m.Extra.validate("device_info"))
}

// Validate demands a payload.
func (m *DeviceMsg) Validate() error {
	return first(anyJSON("device_msg", "payload", m.Payload, true), m.Extra.validate("device_msg"))
}

// Validate demands a text.
func (m *Error) Validate() error {
	return first(present("error", "error", m.Text), m.Extra.validate("error"))
}

// Validate demands a type that is not one of the known ones.
func (m *Unknown) Validate() error {
	if _, known := registry[m.Type]; known {
		return invalid(m.Type, discriminator, "is a known type: use its struct")
	}
	return first(present("unknown", discriminator, m.Type), m.Extra.validate(m.Type))
}

// Validate always fails: the message does not exist on the wire.
func (*Reconnected) Validate() error {
	return invalid("reconnected", discriminator, errNotOnWire.Error())
}
