package mediasoupproto

import (
	"encoding/json"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// RTPCapabilities are what a room or a client can receive.
type RTPCapabilities struct {
	Codecs           []CodecCapability           `json:"codecs"`
	HeaderExtensions []HeaderExtensionCapability `json:"headerExtensions,omitzero"`
	FECMechanisms    []json.RawMessage           `json:"fecMechanisms,omitzero"`
	Extra            Fields                      `json:"-"`
}

// A CodecCapability is a codec of [RTPCapabilities].
type CodecCapability struct {
	Kind                 Kind           `json:"kind,omitempty"`
	Name                 string         `json:"name"`
	MimeType             string         `json:"mimeType,omitempty"`
	ClockRate            uint32         `json:"clockRate,omitempty"`
	Channels             uint16         `json:"channels,omitempty"` // of audio
	PreferredPayloadType uint8          `json:"preferredPayloadType"`
	RTCPFeedback         []RTCPFeedback `json:"rtcpFeedback,omitzero"`
	Parameters           Fields         `json:"parameters,omitzero"`
	Extra                Fields         `json:"-"`
}

// An RTCPFeedback is a kind of feedback for a codec, such as nack with the parameter pli.
type RTCPFeedback struct {
	Type      string `json:"type"`
	Parameter string `json:"parameter,omitempty"`
	Extra     Fields `json:"-"`
}

// A HeaderExtensionCapability is a header extension of [RTPCapabilities].
type HeaderExtensionCapability struct {
	Kind             Kind   `json:"kind,omitempty"` // "" is both
	URI              string `json:"uri"`
	PreferredID      uint8  `json:"preferredId"`
	PreferredEncrypt *bool  `json:"preferredEncrypt,omitempty"`
	Extra            Fields `json:"-"`
}

// The URIs of the header extensions that a mediasoup server offers.
const (
	ExtensionAudioLevel       = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	ExtensionTOffset          = "urn:ietf:params:rtp-hdrext:toffset"
	ExtensionAbsSendTime      = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	ExtensionVideoOrientation = "urn:3gpp:video-orientation"
	ExtensionMID              = "urn:ietf:params:rtp-hdrext:sdes:mid"
	ExtensionRTPStreamID      = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
)

// RTPParameters are how the media of a producer or a consumer are sent.
type RTPParameters struct {
	MuxID            MuxID             `json:"muxId,omitempty"` // of a producer
	Codecs           []CodecParameters `json:"codecs"`
	HeaderExtensions []HeaderExtension `json:"headerExtensions,omitzero"`
	Encodings        []Encoding        `json:"encodings,omitzero"`
	RTCP             *RTCPParameters   `json:"rtcp,omitempty"`
	Extra            Fields            `json:"-"`
}

// A MuxID is the mid of a producer's media section: "" if there is none, or [NullMuxID].
type MuxID string

// NullMuxID is a null in place of a mid, as clients without session descriptions write it.
const NullMuxID MuxID = "\x00"

// MarshalJSON writes the mid, or null.
func (id MuxID) MarshalJSON() ([]byte, error) {
	if id == NullMuxID {
		return []byte("null"), nil
	}
	return jsonx.AppendString(nil, string(id))
}

// UnmarshalJSON reads the mid, or null. An empty text is an error.
func (id *MuxID) UnmarshalJSON(data []byte) error {
	if jsonx.IsNull(data) {
		*id = NullMuxID
		return nil
	}
	text, ok := jsonx.Text(data)
	switch {
	case !ok:
		return jsonx.ErrType
	case len(text) == 0:
		return errEmpty
	}
	*id = MuxID(text)
	return nil
}

// CodecParameters are a codec that is sent.
type CodecParameters struct {
	Name         string         `json:"name,omitempty"`
	MimeType     string         `json:"mimeType,omitempty"`
	ClockRate    uint32         `json:"clockRate,omitempty"`
	PayloadType  *uint8         `json:"payloadType,omitempty"`
	Channels     uint16         `json:"channels,omitempty"`
	RTCPFeedback []RTCPFeedback `json:"rtcpFeedback,omitzero"`
	Parameters   Fields         `json:"parameters,omitzero"`
	Extra        Fields         `json:"-"`
}

// A HeaderExtension is a header extension that is sent.
type HeaderExtension struct {
	URI        string          `json:"uri"`
	ID         uint8           `json:"id,omitempty"`
	Encrypt    *bool           `json:"encrypt,omitempty"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Extra      Fields          `json:"-"`
}

// An Encoding is one stream. A browser tells of it by its SSRC, or by its RID.
type Encoding struct {
	SSRC             uint32  `json:"ssrc,omitempty"`
	RTX              *RTX    `json:"rtx,omitempty"`
	FEC              *FEC    `json:"fec,omitempty"`
	CodecPayloadType *uint8  `json:"codecPayloadType,omitempty"`
	EncodingID       string  `json:"encodingId,omitempty"` // RID
	Profile          Profile `json:"profile,omitempty"`    // of several streams
	Extra            Fields  `json:"-"`
}

// An RTX is the stream of an [Encoding] that repeats lost packets.
type RTX struct {
	SSRC  uint32 `json:"ssrc,omitempty"`
	Extra Fields `json:"-"`
}

// An FEC is the stream of an [Encoding] that makes up for lost packets.
type FEC struct {
	Mechanism string `json:"mechanism,omitempty"`
	SSRC      uint32 `json:"ssrc,omitempty"`
	Extra     Fields `json:"-"`
}

// RTCPParameters are how RTCP goes with the media.
type RTCPParameters struct {
	CNAME       *string `json:"cname,omitempty"`
	SSRC        uint32  `json:"ssrc,omitempty"`
	ReducedSize *bool   `json:"reducedSize,omitempty"`
	Mux         *bool   `json:"mux,omitempty"`
	Extra       Fields  `json:"-"`
}

// isRTX reports whether a codec repeats the packets of another one.
func isRTX(name string) bool { return strings.EqualFold(name, "rtx") }

// apt returns the payload type that the packets of an rtx codec belong to.
func apt(parameters Fields) (payloadType uint8, ok bool) {
	n, err := jsonx.Int(parameters["apt"])
	return uint8(n), err == nil && n >= 0 && n < 256
}

// APT returns the payload type whose packets the rtx codec repeats.
func (c *CodecParameters) APT() (payloadType uint8, ok bool) { return apt(c.Parameters) }

// APT returns the payload type whose packets the rtx codec repeats.
func (c *CodecCapability) APT() (payloadType uint8, ok bool) { return apt(c.Parameters) }

// TransportOptions say which candidates the server has for a transport. A nil field is the
// server's default: UDP and TCP, without a preference.
type TransportOptions struct {
	// UDP and TCP are the protocols that there are candidates of.
	UDP *bool `json:"udp,omitempty"`
	TCP *bool `json:"tcp,omitempty"`
	// PreferIPv4 and the like say which candidates are to be better than the others.
	PreferIPv4 *bool  `json:"preferIPv4,omitempty"`
	PreferIPv6 *bool  `json:"preferIPv6,omitempty"`
	PreferUDP  *bool  `json:"preferUdp,omitempty"`
	PreferTCP  *bool  `json:"preferTcp,omitempty"`
	Extra      Fields `json:"-"`
}

// ICEParameters are the server's.
type ICEParameters struct {
	UsernameFragment string `json:"usernameFragment"`
	Password         string `json:"password"`
	ICELite          bool   `json:"iceLite,omitempty"`
	Extra            Fields `json:"-"`
}

// An ICECandidate is one of the server's, of component 1.
type ICECandidate struct {
	Foundation string `json:"foundation"`
	Priority   uint32 `json:"priority"`
	Family     string `json:"family,omitempty"` // "ipv4" or "ipv6"
	IP         string `json:"ip"`
	Port       uint16 `json:"port"`
	Type       string `json:"type"`              // "host"
	Protocol   string `json:"protocol"`          // "udp" or "tcp"
	TCPType    string `json:"tcpType,omitempty"` // "passive"
	Extra      Fields `json:"-"`
}

// DTLSParameters are those of one side. Clients take the last fingerprint, servers the last
// one whose algorithm they know.
type DTLSParameters struct {
	Role         DTLSRole      `json:"role,omitempty"` // "" is DTLSRoleAuto
	Fingerprints []Fingerprint `json:"fingerprints,omitzero"`
	Extra        Fields        `json:"-"`
}

// A Fingerprint is that of a certificate. Servers compare its value as a text, in upper case.
type Fingerprint struct {
	Algorithm string `json:"algorithm,omitempty"` // such as sha-256
	Value     string `json:"value,omitempty"`     // such as AB:CD
	Extra     Fields `json:"-"`
}

// PlainRTPParameters are where a transport without ICE and DTLS sends.
type PlainRTPParameters struct {
	IP    string `json:"ip,omitempty"`
	Port  uint16 `json:"port,omitempty"`
	Extra Fields `json:"-"`
}

// PeerInfo is what others are told of a peer.
type PeerInfo struct {
	Consumers []*ConsumerInfo `json:"consumers"`
	Name      string          `json:"name"`
	AppData   json.RawMessage `json:"appData,omitempty"`
	Extra     Fields          `json:"-"`
}

// ConsumerInfo is what a peer is told of another one's producer, through a consumer of its
// own.
type ConsumerInfo struct {
	ID               uint32          `json:"id"`
	Kind             Kind            `json:"kind"`
	RTPParameters    *RTPParameters  `json:"rtpParameters,omitempty"`
	Paused           bool            `json:"paused"`
	PreferredProfile Profile         `json:"preferredProfile,omitempty"`
	EffectiveProfile *Profile        `json:"effectiveProfile"`  // nil: not known yet
	AppData          json.RawMessage `json:"appData,omitempty"` // the producer's
	PeerName         string          `json:"peerName,omitempty"`
	Extra            Fields          `json:"-"`
}
