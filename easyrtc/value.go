package easyrtc

import (
	"encoding/json"
	"errors"
	"unicode/utf16"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// URLs are the addresses of an ICE server. Old servers send a text in place of an array; it
// is written as it was read.
type URLs struct {
	List   []string
	Single bool // a text, not an array
}

// MarshalJSON writes an array, or the text.
func (u URLs) MarshalJSON() ([]byte, error) {
	if u.Single && len(u.List) == 1 {
		return jsonx.AppendString(nil, u.List[0])
	}
	dst := []byte{'['}
	for i, url := range u.List {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = jsonx.AppendString(dst, url); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// UnmarshalJSON reads an array of texts, or a text.
func (u *URLs) UnmarshalJSON(data []byte) error {
	if text, ok := jsonx.Text(data); ok {
		*u = URLs{List: []string{string(text)}, Single: true}
		return nil
	}
	*u = URLs{List: []string{}}
	return jsonx.Elements(data, func(_ int, element []byte) error {
		text, ok := jsonx.Text(element)
		if !ok {
			return jsonx.ErrType
		}
		u.List = append(u.List, string(text))
		return nil
	})
}

// IsZero reports whether there is no member.
func (u URLs) IsZero() bool { return u.List == nil }

// NewICEServer returns an ICE server of these addresses.
func NewICEServer(urls ...string) ICEServer { return ICEServer{URLs: URLs{List: urls}} }

// Addresses returns the URLs of the server, in whichever form they came.
func (s *ICEServer) Addresses() []string {
	if len(s.URLs.List) == 0 && s.URL != "" {
		return []string{s.URL}
	}
	return s.URLs.List
}

// A SessionDescription is the MsgData of [Offer] and [Answer].
type SessionDescription struct {
	Type  string `json:"type"`
	SDP   string `json:"sdp"`
	Extra Fields `json:"-"`
}

// An ICECandidate is the MsgData of [Candidate].
type ICECandidate struct {
	Type      string  `json:"type"`            // "candidate"
	Label     *int    `json:"label,omitempty"` // the index of the media section
	ID        *string `json:"id,omitempty"`    // its mid
	Candidate string  `json:"candidate"`       // "" says that there are no more, which browsers refuse
	Extra     Fields  `json:"-"`
}

// NewOffer returns an offer to another client. The error is about a text that is not
// UTF-8.
func NewOffer(target, sdp string) (*Offer, error) {
	b, err := jsonx.Append(nil, "", "", &SessionDescription{Type: "offer", SDP: sdp})
	return &Offer{TargetEasyrtcID: target, MsgData: b}, err
}

// NewAnswer returns an answer to another client. The error is about a text that is not
// UTF-8.
func NewAnswer(target, sdp string) (*Answer, error) {
	b, err := jsonx.Append(nil, "", "", &SessionDescription{Type: "answer", SDP: sdp})
	return &Answer{TargetEasyrtcID: target, MsgData: b}, err
}

// NewCandidate returns a candidate for another client, of the media section of that index
// and mid. The error is about a text that is not UTF-8.
func NewCandidate(target, candidate string, label int, mid string) (*Candidate, error) {
	b, err := jsonx.Append(nil, "", "", &ICECandidate{Type: "candidate", Label: &label, ID: &mid, Candidate: candidate})
	return &Candidate{TargetEasyrtcID: target, MsgData: b}, err
}

// SessionDescription returns what is offered. The error is a [*ValidationError].
func (m *Offer) SessionDescription() (*SessionDescription, error) {
	return description("offer", m.MsgData)
}

// SessionDescription returns what is answered. The error is a [*ValidationError].
func (m *Answer) SessionDescription() (*SessionDescription, error) {
	return description("answer", m.MsgData)
}

func description(typ string, data json.RawMessage) (*SessionDescription, error) {
	d := new(SessionDescription)
	if err := unmarshal(typ, data, d); err != nil {
		return nil, err
	}
	if d.SDP == "" {
		return nil, &ValidationError{Type: typ, Field: "msgData.sdp", Reason: "missing"}
	}
	return d, nil
}

// ICECandidate returns the candidate. The error is a [*ValidationError].
func (m *Candidate) ICECandidate() (*ICECandidate, error) {
	c := new(ICECandidate)
	if err := unmarshal("candidate", m.MsgData, c); err != nil {
		return nil, err
	}
	return c, nil
}

// unmarshal reads msgData of a message into the struct that v points to.
func unmarshal(typ string, data json.RawMessage, v any) error {
	err := jsonx.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	e := &ValidationError{Type: typ, Field: "msgData", Reason: err.Error()}
	if x, ok := errors.AsType[*jsonx.Error](err); ok && x.Field != "" {
		e.Field, e.Reason = "msgData."+x.Field, x.Err.Error()
	}
	return e
}

// APIFields returns what the client shows of itself, if it has the form that browsers
// send: fields by name. The error is a [*ValidationError].
func (o *Occupant) APIFields() (FieldMap, error) {
	if jsonx.IsNull(o.APIField) {
		return nil, nil
	}
	var r struct {
		Fields FieldMap `json:"f"`
	}
	err := jsonx.Check(o.APIField)
	if err == nil {
		err = jsonx.Unmarshal(append(append([]byte(`{"f":`), o.APIField...), '}'), &r)
	}
	if err != nil {
		return nil, &ValidationError{Type: "roomData", Field: "apiField", Reason: "not fields by name"}
	}
	return r.Fields, nil
}

// JSON returns the fields as an object, for [RoomAPIField]. A nil FieldMap is an empty one.
// The error is about values that are not JSON and texts that are not UTF-8.
func (f FieldMap) JSON() (json.RawMessage, error) {
	b, err := jsonx.Append(nil, "", "", &struct {
		Fields FieldMap `json:"f"`
	}{f})
	if err != nil {
		return nil, err
	}
	b = b[len(`{"f":`) : len(b)-1]
	if string(b) == "null" {
		b = []byte("{}")
	}
	return b, nil
}

// Set adds a field, or replaces it.
func (f FieldMap) Set(name string, value json.RawMessage) {
	f[name] = Field{FieldName: name, FieldValue: value}
}

// units returns the length of a text in UTF-16 units, in which the limits of the protocol
// are.
func units(text string) (n int) {
	for _, r := range text {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}
