package engineio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

const (
	// maxInterval is the longest ping interval or time-out of a handshake:
	// beyond what a timer of JavaScript can wait.
	maxInterval = math.MaxInt32 * time.Millisecond
	// maxNesting is how deep JSON may be nested.
	maxNesting = 64
)

// A Handshake is the data of an Open packet.
type Handshake struct {
	SID          string        // the session's id
	Upgrades     []string      // transports that the session may change to
	PingInterval time.Duration // whole milliseconds on the wire, as PingTimeout
	PingTimeout  time.Duration
	MaxPayload   int // bytes that the server takes at once; 0 when it does not say
}

// MarshalJSON encodes h as the wire has it.
func (h Handshake) MarshalJSON() ([]byte, error) {
	upgrades := h.Upgrades
	if upgrades == nil {
		upgrades = []string{}
	}
	return json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload,omitempty"`
	}{h.SID, upgrades, h.PingInterval.Milliseconds(), h.PingTimeout.Milliseconds(), h.MaxPayload})
}

// UnmarshalJSON decodes the wire's form. The id, the interval and the time-out
// must be there, names must not repeat, and unknown ones are ignored.
func (h *Handshake) UnmarshalJSON(data []byte) error {
	members, err := object(data)
	if err != nil {
		return fmt.Errorf("engineio: bad handshake: %w", err)
	}
	var r Handshake
	var interval, timeout int64
	for name, to := range map[string]any{
		"sid": &r.SID, "upgrades": &r.Upgrades, "maxPayload": &r.MaxPayload,
		"pingInterval": &interval, "pingTimeout": &timeout,
	} {
		if value, ok := members[name]; ok {
			if err := json.Unmarshal(value, to); err != nil {
				return fmt.Errorf("engineio: bad handshake: %s: %w", name, err)
			}
		}
	}
	const most = int64(maxInterval / time.Millisecond)
	switch {
	case r.SID == "":
		return errors.New("engineio: bad handshake: no sid")
	case interval < 1 || interval > most:
		return errors.New("engineio: bad handshake: pingInterval out of range")
	case timeout < 1 || timeout > most:
		return errors.New("engineio: bad handshake: pingTimeout out of range")
	case r.MaxPayload < 0:
		return errors.New("engineio: bad handshake: negative maxPayload")
	}
	r.PingInterval = time.Duration(interval) * time.Millisecond
	r.PingTimeout = time.Duration(timeout) * time.Millisecond
	*h = r
	return nil
}

// object splits a JSON object more strictly than encoding/json does, which
// ignores the case of names and takes the last of equal ones.
func object(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	if err := checkNames(data); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return nil, errors.New("not an object")
	}
	return members, nil
}

// checkNames looks for repeated names, at any depth, in valid JSON.
func checkNames(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	// The names of each object that is open, nil for an array; name says
	// whether a name comes next.
	var open []map[string]bool
	name := false
	for {
		token, err := d.Token()
		if err != nil {
			return nil // the end
		}
		if delim, ok := token.(json.Delim); ok && (delim == '{' || delim == '[') {
			if len(open) == maxNesting {
				return errors.New("nested too deep")
			}
			var names map[string]bool
			if delim == '{' {
				names = make(map[string]bool)
			}
			open = append(open, names)
			name = delim == '{'
			continue
		} else if ok {
			open = open[:len(open)-1]
		} else if text, ok := token.(string); ok && name {
			names := open[len(open)-1]
			if names[text] {
				return fmt.Errorf("name %q twice", text)
			}
			names[text] = true
			name = false
			continue
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
}
