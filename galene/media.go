package galene

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// An ICECandidateInit is the content of an [ICE], as in RTCIceCandidateInit.
type ICECandidateInit struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex"`
	UsernameFragment *string `json:"usernameFragment"`
}

// NewICE returns the message for a candidate of a stream.
func NewICE(id string, c ICECandidateInit) *ICE {
	b, err := jsonx.Append(make([]byte, 0, len(c.Candidate)+96), "", "", &c)
	if err != nil {
		b = json.RawMessage("\"\xff\"") // which Validate refuses for that reason
	}
	return &ICE{ID: id, Candidate: b}
}

// Init returns the candidate in the message. The error is a [*ValidationError].
//
// Galène leaves usernameFragment null and writes it into the candidate itself; it is
// returned in both places.
func (m *ICE) Init() (ICECandidateInit, error) {
	var c ICECandidateInit
	if jsonx.IsNull(m.Candidate) {
		return c, invalid("ice", "candidate", "missing")
	}
	if err := jsonx.Unmarshal(m.Candidate, &c); err != nil {
		return c, invalidMember("ice", "candidate", err)
	}
	if c.UsernameFragment == nil {
		if ufrag := ufragOf(c.Candidate); ufrag != "" {
			c.UsernameFragment = &ufrag
		}
	}
	return c, nil
}

// ufragOf returns the user name fragment that a candidate line names, or "".
func ufragOf(line string) string {
	_, rest, ok := strings.Cut(line, " ufrag ")
	if !ok {
		return ""
	}
	ufrag, _, _ := strings.Cut(rest, " ")
	return ufrag
}

// An RTCConfiguration is what a peer connection is made with, as in the browsers'
// RTCConfiguration.
type RTCConfiguration struct {
	ICEServers         []ICEServer `json:"iceServers,omitempty"`
	ICETransportPolicy string      `json:"iceTransportPolicy,omitempty"` // "relay", or "" for all
	Extra              Fields      `json:"-"`
}

// An ICEServer is a STUN or TURN server. Its credentials may end some time after they were
// given out.
type ICEServer struct {
	URLs           []string `json:"urls"`
	Username       string   `json:"username,omitempty"`
	Credential     string   `json:"credential,omitempty"`
	CredentialType string   `json:"credentialType,omitempty"` // "password"
	Extra          Fields   `json:"-"`
}

// Configuration returns what the server says about ICE. The error is a
// [*ValidationError].
func (m *Joined) Configuration() (*RTCConfiguration, error) {
	c := new(RTCConfiguration)
	if jsonx.IsNull(m.RTCConfiguration) {
		return c, nil
	}
	if err := jsonx.Unmarshal(m.RTCConfiguration, c); err != nil {
		return nil, invalidMember("joined", "rtcConfiguration", err)
	}
	return c, nil
}

// JSON returns the configuration as [Joined] has it. The error is about texts that are
// not UTF-8.
func (c *RTCConfiguration) JSON() (json.RawMessage, error) {
	if c == nil {
		return json.RawMessage("{}"), nil
	}
	return jsonx.Append(nil, "", "", c)
}

// Text returns the value of a message if it is a string.
func Text(value json.RawMessage) (text string, ok bool) {
	if jsonx.Check(value) != nil {
		return "", false
	}
	return jsonx.String(value)
}

// NewText returns a value that is a string. What is not UTF-8 is replaced.
func NewText(text string) json.RawMessage {
	b, err := jsonx.AppendString(make([]byte, 0, len(text)+2), text)
	if err != nil {
		b, _ = jsonx.AppendString(nil, strings.ToValidUTF8(text, "\uFFFD"))
	}
	return b
}

// unmarshal reads a value that must be an object, for the messages of a type.
func unmarshal(typ string, value json.RawMessage, v any) error {
	if jsonx.IsNull(value) {
		return invalid(typ, "value", "missing")
	}
	if err := jsonx.Unmarshal(value, v); err != nil {
		return invalidMember(typ, "value", err)
	}
	return nil
}

// invalidMember puts the path of an error behind that of the member.
func invalidMember(typ, field string, err error) error {
	if e, ok := errors.AsType[*jsonx.Error](err); ok {
		if e.Field != "" {
			field += "." + e.Field
		}
		err = e.Err
	}
	return invalid(typ, field, err.Error())
}
