package cuttlefish

import (
	"encoding/json"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/kept"
	"github.com/rtcsignal/rtcsignal/transport"
)

// ClientConfig says how a [ClientMachine] behaves.
type ClientConfig struct {
	DeviceID string // of the device to connect to
	Dialect  Dialect
	// HandshakeTimeout bounds the wait for the config (the operator's dialect: for
	// the device_info); default 10 s, negative without a limit. The wait for a
	// device that has not registered yet has no limit of its own.
	HandshakeTimeout time.Duration
	// StateBytes bounds the memory of the last config and the device_info, which the client keeps; default
	// 64 MiB, negative without a limit.
	StateBytes int
}

// A ClientMachine is the client's side without I/O, clock or goroutine.
//
//	idle --Start: connect--> connecting --config--> waiting --device_info--> ready
//
// In the operator's dialect it starts in waiting. An error from the server ends it in
// every state. It is not safe for concurrent use.
type ClientMachine struct {
	cfg      ClientConfig
	state    ClientState
	again    bool // a connection was lost before
	deadline time.Time
	bound    kept.Bound // of what follows
	config   *Config
	info     json.RawMessage
}

// NewClientMachine returns a machine in [ClientIdle].
func NewClientMachine(cfg ClientConfig) *ClientMachine {
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = DefaultHandshakeTimeout
	}
	return &ClientMachine{cfg: cfg, bound: kept.NewBound(cfg.StateBytes)}
}

// State returns where the connection stands.
func (m *ClientMachine) State() ClientState { return m.state }

// Config returns the server's last config, or nil.
func (m *ClientMachine) Config() *Config { return m.config }

// DeviceInfo returns what the device registered last, or nil.
func (m *ClientMachine) DeviceInfo() json.RawMessage { return m.info }

// Start begins the handshake on a new connection.
func (m *ClientMachine) Start(now time.Time) Effects {
	m.state = ClientConnecting
	if m.cfg.Dialect == DialectOperator {
		m.state = ClientWaiting
	}
	if m.cfg.HandshakeTimeout > 0 {
		m.deadline = now.Add(m.cfg.HandshakeTimeout)
	}
	return Effects{Send: []Message{&Connect{DeviceID: m.cfg.DeviceID}}}
}

// Send checks a message of the application: a [*Forward] without a client id, while
// ready, or an [*Unknown] at any time. The error is a [*ValidationError] or a
// [*StateError].
func (m *ClientMachine) Send(_ time.Time, msg Message) (Effects, error) {
	if err := msg.Validate(); err != nil {
		return Effects{}, err
	}
	switch msg := msg.(type) {
	case *Forward:
		if m.state != ClientReady {
			return Effects{}, stateError(m.state, msg, ClientReady)
		}
		if _, ok := msg.Client(); ok {
			return Effects{}, invalid("forward", "client_id", "a client names none")
		}
		if m.cfg.Dialect == DialectOperator && !jsonx.IsObject(msg.Payload) && !jsonx.IsNull(msg.Payload) {
			return Effects{}, invalid("forward", "payload", "the operator takes an object or null")
		}
	case *Unknown:
		if m.state == ClientIdle || m.state == ClientClosed || m.cfg.Dialect == DialectOperator {
			return Effects{}, stateError(m.state, msg, ClientConnecting, ClientWaiting, ClientReady)
		}
	default:
		return Effects{}, stateError(m.state, msg)
	}
	return Effects{Send: []Message{msg}}, nil
}

// Receive takes a message of the server. Everything but the device's payloads before
// its device_info is delivered.
func (m *ClientMachine) Receive(_ time.Time, msg Message) Effects {
	if m.state == ClientIdle || m.state == ClientClosed {
		return Effects{}
	}
	fx := Effects{Deliver: []Message{msg}}
	switch msg := msg.(type) {
	case *Config:
		m.config = msg
		m.bound.Keep(msg)
		if m.state == ClientConnecting {
			m.state = ClientWaiting
			m.deadline = time.Time{}
		}
	case *DeviceInfoMsg:
		m.bound.Keep(msg)
		m.info = msg.DeviceInfo
		m.deadline = time.Time{}
		if m.state != ClientReady && m.again {
			fx.Deliver = []Message{&Reconnected{}, msg}
		}
		m.state = ClientReady
	case *DeviceMsg:
		if m.state != ClientReady {
			return m.close(transport.StatusProtocolError, "device_msg before device_info",
				stateError(m.state, msg, ClientReady))
		}
	case *Error:
		return m.close(transport.StatusNormal, "", msg)
	}
	if err := m.bound.Check(func() int { return kept.Size(m.config, m.info) }); err != nil {
		fx = m.close(transport.StatusPolicyViolation, "too much state", err)
		fx.Close.Final = true
	}
	return fx
}

// Malformed takes what could not be decoded. It ends the session: the C++ server's
// error frames are not always JSON, and it closes after them.
func (m *ClientMachine) Malformed(_ time.Time, err *DecodeError) Effects {
	if m.state == ClientIdle || m.state == ClientClosed {
		return Effects{}
	}
	return m.close(transport.StatusInvalidPayload, "not a message", err)
}

// Deadline returns when [ClientMachine.Expire] is due.
func (m *ClientMachine) Deadline() (time.Time, bool) { return m.deadline, !m.deadline.IsZero() }

// Expire ends a handshake that takes too long.
func (m *ClientMachine) Expire(now time.Time) Effects {
	if m.deadline.IsZero() || now.Before(m.deadline) {
		return Effects{}
	}
	return m.close(transport.StatusPolicyViolation, "handshake timed out", ErrHandshakeTimeout)
}

// Lost tells the machine that its connection has ended. [ClientMachine.Start] may
// follow; then the application gets a [*Reconnected].
func (m *ClientMachine) Lost(time.Time) Effects {
	m.again = m.again || m.state == ClientReady
	m.state = ClientIdle
	m.deadline = time.Time{}
	return Effects{}
}

func (m *ClientMachine) close(code transport.StatusCode, reason string, err error) Effects {
	m.again = m.again || m.state == ClientReady
	m.state = ClientClosed
	m.deadline = time.Time{}
	return Effects{Close: &CloseReason{Code: code, Reason: reason, Err: err}}
}
