package cuttlefish

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/kept"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DeviceConfig says how a [DeviceMachine] behaves.
type DeviceConfig struct {
	DeviceID   string          // not empty; whoever knows it may connect
	DeviceInfo json.RawMessage // any JSON, see [DeviceInfo]; nil registers none
	DevicePort *int            // TCP port of the device's file server, for today's operator
	Dialect    Dialect
	// HandshakeTimeout bounds the wait for the config; default 10 s, negative without
	// a limit.
	HandshakeTimeout time.Duration
	// StateBytes bounds the memory of the last config, which the device keeps; default
	// 64 MiB, negative without a limit.
	StateBytes int
}

// A DeviceMachine is the device's side without I/O, clock or goroutine.
//
//	idle --Start: register--> registering --config--> registered
//
// An error while registering is a refusal and ends it; once registered it is
// delivered. It is not safe for concurrent use.
type DeviceMachine struct {
	cfg      DeviceConfig
	state    DeviceState
	again    bool // a registration was lost before
	deadline time.Time
	bound    kept.Bound // of what follows
	config   *Config
}

// NewDeviceMachine returns a machine in [DeviceIdle].
func NewDeviceMachine(cfg DeviceConfig) *DeviceMachine {
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = DefaultHandshakeTimeout
	}
	return &DeviceMachine{cfg: cfg, bound: kept.NewBound(cfg.StateBytes)}
}

// State returns where the connection stands.
func (m *DeviceMachine) State() DeviceState { return m.state }

// Config returns the server's last config, or nil.
func (m *DeviceMachine) Config() *Config { return m.config }

// Start registers the device on a new connection.
func (m *DeviceMachine) Start(now time.Time) Effects {
	m.state = DeviceRegistering
	if m.cfg.HandshakeTimeout > 0 {
		m.deadline = now.Add(m.cfg.HandshakeTimeout)
	}
	return Effects{Send: []Message{&Register{
		DeviceID: m.cfg.DeviceID, DeviceInfo: m.cfg.DeviceInfo, DevicePort: m.cfg.DevicePort,
	}}}
}

// Send checks a message of the application: a [*Forward] with a client id, while
// registered, or an [*Unknown] at any time. The error is a [*ValidationError] or a
// [*StateError].
func (m *DeviceMachine) Send(_ time.Time, msg Message) (Effects, error) {
	if err := msg.Validate(); err != nil {
		return Effects{}, err
	}
	switch msg := msg.(type) {
	case *Forward:
		if m.state != DeviceRegistered {
			return Effects{}, stateError(m.state, msg, DeviceRegistered)
		}
		if _, ok := msg.Client(); !ok {
			return Effects{}, invalid("forward", "client_id", "missing")
		}
		if m.cfg.Dialect == DialectOperator && jsonx.IsNull(msg.Payload) {
			return Effects{}, invalid("forward", "payload", "the operator takes no null")
		}
	case *Unknown:
		if m.state == DeviceIdle || m.state == DeviceClosed || m.cfg.Dialect == DialectOperator {
			return Effects{}, stateError(m.state, msg, DeviceRegistering, DeviceRegistered)
		}
	default:
		return Effects{}, stateError(m.state, msg)
	}
	return Effects{Send: []Message{msg}}, nil
}

// Receive takes a message of the server and delivers it. The Go servers' way to say
// that a client has left, an error after a forward to it, becomes a
// [*ClientDisconnected].
func (m *DeviceMachine) Receive(_ time.Time, msg Message) Effects {
	if m.state == DeviceIdle || m.state == DeviceClosed {
		return Effects{}
	}
	fx := Effects{Deliver: []Message{msg}}
	switch msg := msg.(type) {
	case *Config:
		m.config = msg
		m.bound.Keep(msg)
		m.deadline = time.Time{}
		if m.state == DeviceRegistering && m.again {
			fx.Deliver = []Message{&Reconnected{}, msg}
		}
		m.state = DeviceRegistered
	case *ClientMsg:
		if m.state != DeviceRegistered {
			return m.close(transport.StatusProtocolError, "client_msg before config",
				stateError(m.state, msg, DeviceRegistered))
		}
	case *Error:
		if m.state == DeviceRegistering {
			return m.close(transport.StatusNormal, "", msg)
		}
		var id int
		if n, err := fmt.Sscanf(msg.Text, textOperatorNoClient, &id); n == 1 && err == nil {
			fx.Deliver = []Message{&ClientDisconnected{ClientID: id}}
		}
	}
	if err := m.bound.Check(func() int { return kept.Size(m.config) }); err != nil {
		fx = m.close(transport.StatusPolicyViolation, "too much state", err)
		fx.Close.Final = true
	}
	return fx
}

// Malformed takes what could not be decoded. It ends the session: the C++ server's
// error frames are not always JSON, and it closes after them.
func (m *DeviceMachine) Malformed(_ time.Time, err *DecodeError) Effects {
	if m.state == DeviceIdle || m.state == DeviceClosed {
		return Effects{}
	}
	return m.close(transport.StatusInvalidPayload, "not a message", err)
}

// Deadline returns when [DeviceMachine.Expire] is due.
func (m *DeviceMachine) Deadline() (time.Time, bool) { return m.deadline, !m.deadline.IsZero() }

// Expire ends a handshake that takes too long.
func (m *DeviceMachine) Expire(now time.Time) Effects {
	if m.deadline.IsZero() || now.Before(m.deadline) {
		return Effects{}
	}
	return m.close(transport.StatusPolicyViolation, "handshake timed out", ErrHandshakeTimeout)
}

// Lost tells the machine that its connection has ended, and with it every client id.
// [DeviceMachine.Start] may follow; then the application gets a [*Reconnected].
func (m *DeviceMachine) Lost(time.Time) Effects {
	m.again = m.again || m.state == DeviceRegistered
	m.state = DeviceIdle
	m.deadline = time.Time{}
	return Effects{}
}

func (m *DeviceMachine) close(code transport.StatusCode, reason string, err error) Effects {
	m.again = m.again || m.state == DeviceRegistered
	m.state = DeviceClosed
	m.deadline = time.Time{}
	return Effects{Close: &CloseReason{Code: code, Reason: reason, Err: err}}
}
