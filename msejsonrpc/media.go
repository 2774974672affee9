package msejsonrpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A Form says how descriptions and candidates are written. Both are read at any time.
type Form int

const (
	// FormString writes an "ice candidate value" and an "sdp offer value" as strings:
	// the candidate line and the SDP. It is the default. The type of a description is
	// not told then, and the section of a candidate is the first, as with BUNDLE.
	FormString Form = iota
	// FormObject writes RTCIceCandidateInit and RTCSessionDescriptionInit, which lose
	// nothing.
	FormObject
)

// A SessionDescription is the content of an [SDPOffer], as in
// RTCSessionDescriptionInit. Without a type, as the string form has it, a description is
// the answer while an offer of the receiver's is pending, and an offer otherwise.
type SessionDescription struct {
	Type string // "offer", "answer" or ""
	SDP  string
}

// An ICECandidateInit is the content of an [ICECandidate], as in RTCIceCandidateInit. An
// empty candidate is the end of the candidates.
type ICECandidateInit struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex"`
	UsernameFragment *string `json:"usernameFragment"`
}

// NewSDPOffer returns the message for a description, whose texts must be UTF-8.
func NewSDPOffer(d SessionDescription, form Form) *SDPOffer {
	b := make([]byte, 0, len(d.SDP)+len(d.SDP)/16+32)
	if form == FormString {
		return &SDPOffer{Offer: written(jsonx.AppendString(b, d.SDP))}
	}
	return &SDPOffer{Offer: written(jsonx.Append(b, "", "", &struct {
		Type string `json:"type,omitempty"`
		SDP  string `json:"sdp"`
	}{d.Type, d.SDP}))}
}

// written returns what was written, or for a text that is not UTF-8 a value that
// Validate refuses for that reason.
func written(b []byte, err error) json.RawMessage {
	if err != nil {
		return json.RawMessage("\"\xff\"")
	}
	return b
}

// NewICECandidate returns the message for a candidate, whose texts must be UTF-8. In the
// string form a user name fragment that the line lacks is added to it, as browsers write
// it.
func NewICECandidate(c ICECandidateInit, form Form) *ICECandidate {
	if form == FormObject {
		return &ICECandidate{Candidate: objectOf(c)}
	}
	line := c.Candidate
	named := strings.Contains(line, " ufrag ") || strings.HasSuffix(line, " ufrag")
	if line != "" && !named && c.UsernameFragment != nil && isWord(*c.UsernameFragment) {
		line += " ufrag " + *c.UsernameFragment
	}
	return &ICECandidate{Candidate: written(jsonx.AppendString(make([]byte, 0, len(line)+8), line))}
}

// objectOf writes a candidate in the object form. It is a function of its own so that
// candidates in the other form stay off the heap.
func objectOf(c ICECandidateInit) json.RawMessage { return written(jsonx.Append(nil, "", "", &c)) }

// isWord reports whether a text may stand in a candidate line as one value, without
// bringing attributes or lines of its own.
func isWord(text string) bool { return text != "" && !strings.ContainsAny(text, " \r\n") }

// ufrag returns the user name fragment that a candidate line names, or "".
func ufrag(line string) string {
	_, rest, ok := strings.Cut(line, " ufrag ")
	if !ok {
		return ""
	}
	fragment, _, _ := strings.Cut(rest, " ")
	return fragment
}

// Description returns the description in the message, from the string or the object
// form. The error is a [*ValidationError].
func (m *SDPOffer) Description() (SessionDescription, error) {
	d, err := m.description()
	if err != nil {
		return SessionDescription{}, invalidMember("sdpOffer", "params.offer", err)
	}
	return d, nil
}

func (m *SDPOffer) description() (d SessionDescription, err error) {
	o, text, err := stringOrObject(bytes.Trim(m.Offer, " \t\r\n"))
	if err != nil {
		return d, err
	}
	if o == nil {
		if text == "" {
			return d, errEmpty
		}
		return SessionDescription{SDP: text}, nil
	}
	defer o.Free()
	var ok bool
	if d.SDP, ok = textOf(o, "sdp"); !ok || d.SDP == "" {
		return d, &jsonx.Error{Field: ".sdp", Err: errNotText(ok, d.SDP)}
	}
	if _, has := o.Get("type"); has {
		if d.Type, ok = textOf(o, "type"); !ok || d.Type != "offer" && d.Type != "answer" {
			return d, &jsonx.Error{Field: ".type", Err: errDescriptionType}
		}
	}
	return d, nil
}

var errDescriptionType = errors.New("neither offer nor answer")

func errNotText(ok bool, text string) error {
	if ok && text == "" {
		return errEmpty
	}
	return jsonx.ErrType
}

// Init returns the candidate in the message, from the string or the object form. The
// empty string, null and an object whose candidate is empty, null or missing are the end
// of the candidates. A candidate that names no section is of the first. The error is a
// [*ValidationError].
func (m *ICECandidate) Init() (ICECandidateInit, error) {
	c, err := m.init()
	if err != nil {
		return ICECandidateInit{}, invalidMember("iceCandidate", "params.candidate", err)
	}
	if c.SDPMid == nil && c.SDPMLineIndex == nil {
		c.SDPMLineIndex = new(uint16)
	}
	if fragment := ufrag(c.Candidate); c.UsernameFragment == nil && fragment != "" {
		c.UsernameFragment = &fragment
	}
	return c, nil
}

func (m *ICECandidate) init() (c ICECandidateInit, err error) {
	raw := bytes.Trim(m.Candidate, " \t\r\n")
	if string(raw) == "null" {
		return c, nil
	}
	o, text, err := stringOrObject(raw)
	if err != nil {
		return c, err
	}
	if o == nil {
		return ICECandidateInit{Candidate: text}, nil
	}
	defer o.Free()
	var nullable struct {
		Candidate        *string `json:"candidate"`
		SDPMid           *string `json:"sdpMid"`
		SDPMLineIndex    *uint16 `json:"sdpMLineIndex"`
		UsernameFragment *string `json:"usernameFragment"`
	}
	if err := o.Decode(&nullable, "", false); err != nil {
		if e, ok := errors.AsType[*jsonx.Error](err); ok {
			return c, &jsonx.Error{Field: "." + e.Field, Err: e.Err}
		}
		return c, err
	}
	c = ICECandidateInit{SDPMid: nullable.SDPMid, SDPMLineIndex: nullable.SDPMLineIndex, UsernameFragment: nullable.UsernameFragment}
	if nullable.Candidate != nil {
		c.Candidate = *nullable.Candidate
	}
	return c, nil
}

// stringOrObject reads a value, without white space around it, that is one of both: o is
// nil for a string and must be freed otherwise.
func stringOrObject(raw json.RawMessage) (o *jsonx.Object, text string, err error) {
	if len(raw) == 0 {
		return nil, "", errMissing
	}
	if err := jsonx.CheckAt(raw, paramsLevel); err != nil {
		return nil, "", err
	}
	if raw[0] == '{' {
		o, err = jsonx.Scan(raw)
		return o, "", err
	}
	text, ok := jsonx.String(raw)
	if !ok {
		return nil, "", jsonx.ErrType
	}
	return nil, text, nil
}

// isText reports whether a value is a string that is not empty, as most are, without
// reading it.
func isText(raw json.RawMessage) bool {
	return len(raw) > 2 && raw[0] == '"' && raw[1] != '"' && jsonx.CheckAt(raw, paramsLevel) == nil
}

func textOf(o *jsonx.Object, name string) (string, bool) {
	value, _ := o.Get(name)
	return jsonx.String(value)
}
