package cuttlefish

import (
	"encoding/json"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A Payload is what device and client say to each other inside forward, client_msg
// and device_msg: a [*RequestOffer], an [*Offer], an [*Answer], a [*DeviceCandidate],
// a [*ClientCandidate], a [*PayloadError] or an [*UnknownPayload]. The protocol
// document leaves it open; every device, page and client since 2020 speaks it.
//
// The client asks with request-offer, the device offers first. Later either side may
// offer. A candidate has another shape in each direction.
type Payload interface {
	// Validate reports what the other side would refuse. The error is a
	// [*ValidationError].
	Validate() error

	payloadType() string // closes the set
}

// RequestOffer asks the device to build a peer connection and to offer. Asking again
// replaces the peer connection.
//
// Client to device.
type RequestOffer struct {
	// ICEServers are used by the device in addition to those of its config. The
	// browser sends a copy of its own config.
	ICEServers []ICEServer `json:"ice_servers,omitempty"`
	Extra      Fields      `json:"-"`
}

// Offer is an SDP offer: the first one from the device, later ones from the side
// whose media has changed.
type Offer struct {
	SDP   string `json:"sdp"`
	Extra Fields `json:"-"`
}

// Answer is an SDP answer.
type Answer struct {
	SDP   string `json:"sdp"`
	Extra Fields `json:"-"`
}

// DeviceCandidate is a device's ICE candidate, with its members side by side. The
// device announces no end of candidates.
//
// Device to client.
type DeviceCandidate struct {
	Candidate  string `json:"candidate"`
	Mid        string `json:"mid"`
	MLineIndex int    `json:"mLineIndex"`
	Extra      Fields `json:"-"`
}

// ClientCandidate is a client's ICE candidate, as an RTCIceCandidateInit below
// "candidate". The real device ends the peer connection over an empty candidate and
// over a missing sdpMid or sdpMLineIndex.
//
// Client to device.
type ClientCandidate struct {
	Candidate ICECandidateInit `json:"candidate"`
	Extra     Fields           `json:"-"`
}

// ICECandidateInit is an RTCIceCandidateInit. It converts to and from the type of the
// same name in github.com/pion/webrtc.
type ICECandidateInit struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex"`
	UsernameFragment *string `json:"usernameFragment"`
}

// PayloadError says what the other side did not like. A device sends it when it ends
// the peer connection.
type PayloadError struct {
	Text  string `json:"error"`
	Extra Fields `json:"-"`
}

// Error returns the other side's text.
func (p *PayloadError) Error() string { return "cuttlefish: other side says: " + p.Text }

// UnknownPayload is a payload of a type that this package does not know, such as the
// adb-message of devices of 2020.
type UnknownPayload struct {
	Type  string
	Extra Fields
}

const payloadDiscriminator = "type"

func (*RequestOffer) payloadType() string     { return "request-offer" }
func (*Offer) payloadType() string            { return "offer" }
func (*Answer) payloadType() string           { return "answer" }
func (*DeviceCandidate) payloadType() string  { return "ice-candidate" }
func (*ClientCandidate) payloadType() string  { return "ice-candidate" }
func (*PayloadError) payloadType() string     { return "error" }
func (p *UnknownPayload) payloadType() string { return p.Type }

// DecodePayload reads a payload. It does not validate and does not keep data. Which
// of the two shapes an ice-candidate has is told by its member candidate: a string or
// an object. Its error is a [*DecodeError].
func DecodePayload(data json.RawMessage) (Payload, error) {
	o, name, err := scanVariant(data, "payload", payloadDiscriminator)
	if err != nil {
		return nil, err
	}
	defer o.Free()
	var p Payload
	switch name {
	case "request-offer":
		p = new(RequestOffer)
	case "offer":
		p = new(Offer)
	case "answer":
		p = new(Answer)
	case "ice-candidate":
		p = new(DeviceCandidate)
		if value, _ := o.Get("candidate"); jsonx.IsObject(value) {
			p = new(ClientCandidate)
		}
	case "error":
		p = new(PayloadError)
	default:
		r, err := decodeVariant(o, payloadDiscriminator, name, new(rest))
		if err != nil {
			return nil, err
		}
		return &UnknownPayload{Type: name, Extra: r.Extra}, nil
	}
	return decodeVariant(o, payloadDiscriminator, name, p)
}

// EncodePayload writes a payload, type first.
func EncodePayload(p Payload) (json.RawMessage, error) {
	var v any = p
	if u, ok := p.(*UnknownPayload); ok {
		v = &rest{u.Extra}
	}
	return encodeVariant("payload", payloadDiscriminator, p.payloadType(), v)
}

// Validate demands that each ICE server has URLs.
func (p *RequestOffer) Validate() error {
	return first(validateICEServers("request-offer", p.ICEServers), p.Extra.validateVariant(p, "request-offer", payloadDiscriminator))
}

// Validate demands an SDP.
func (p *Offer) Validate() error {
	return first(present("offer", "sdp", p.SDP), p.Extra.validateVariant(p, "offer", payloadDiscriminator))
}

// Validate demands an SDP.
func (p *Answer) Validate() error {
	return first(present("answer", "sdp", p.SDP), p.Extra.validateVariant(p, "answer", payloadDiscriminator))
}

// Validate demands a candidate and an index that is not negative.
func (p *DeviceCandidate) Validate() error {
	return first(
		present("ice-candidate", "candidate", p.Candidate),
		notNegative("ice-candidate", "mLineIndex", p.MLineIndex),
		p.Extra.validateVariant(p, "ice-candidate", payloadDiscriminator))
}

// Validate demands what the real device demands: a candidate that is not empty, its
// sdpMid and its sdpMLineIndex.
func (p *ClientCandidate) Validate() error {
	c := p.Candidate
	var err error
	switch {
	case c.SDPMid == nil:
		err = invalid("ice-candidate", "candidate.sdpMid", "missing")
	case c.SDPMLineIndex == nil:
		err = invalid("ice-candidate", "candidate.sdpMLineIndex", "missing")
	}
	return first(present("ice-candidate", "candidate.candidate", c.Candidate), err, p.Extra.validateVariant(p, "ice-candidate", payloadDiscriminator))
}

// Validate demands a text.
func (p *PayloadError) Validate() error {
	return first(present("error", "error", p.Text), p.Extra.validateVariant(p, "error", payloadDiscriminator))
}

// Validate demands a type.
func (p *UnknownPayload) Validate() error {
	return first(present("payload", payloadDiscriminator, p.Type), p.Extra.validateVariant(nil, p.Type, payloadDiscriminator))
}

// checkPayload is the strict check of a server: a payload of a known or unknown type
// whose members are what the other side takes.
func checkPayload(data json.RawMessage) error {
	p, err := DecodePayload(data)
	if err != nil {
		return err
	}
	return p.Validate()
}

// isRequestOffer peeks at the type of a payload that has been scanned before.
func isRequestOffer(data json.RawMessage) bool {
	value, _ := jsonx.Peek(data, payloadDiscriminator)
	typ, _ := jsonx.Text(value)
	return string(typ) == "request-offer"
}
