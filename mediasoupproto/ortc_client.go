package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ExtendedRTPCapabilities are what a client and a room have in common, in the order of the
// room. They say what the client can send, and what it can receive.
type ExtendedRTPCapabilities struct {
	Codecs           []ExtendedCodec
	HeaderExtensions []ExtendedHeaderExtension
}

// An ExtendedCodec is a codec that a client and a room have in common.
type ExtendedCodec struct {
	Name               string
	MimeType           string
	Kind               Kind
	ClockRate          uint32
	Channels           uint16 // of audio
	Parameters         Fields // the room's
	SendPayloadType    uint8  // the client's
	RecvPayloadType    uint8  // the room's
	SendRTXPayloadType uint8  // 0: without rtx
	RecvRTXPayloadType uint8  // likewise; both have one or neither
	RTCPFeedback       []RTCPFeedback
}

// An ExtendedHeaderExtension is a header extension that a client and a room have in common.
type ExtendedHeaderExtension struct {
	URI    string
	Kind   Kind  // "" is both
	SendID uint8 // the client's
	RecvID uint8 // the room's
}

// ExtendRTPCapabilities returns what a client has in common with a room. A nil argument has
// nothing.
func ExtendRTPCapabilities(local, room *RTPCapabilities) *ExtendedRTPCapabilities {
	e := new(ExtendedRTPCapabilities)
	if local == nil || room == nil {
		return e
	}
	for i := range room.Codecs {
		theirs := &room.Codecs[i]
		if isRTX(theirs.Name) {
			continue
		}
		at := slices.IndexFunc(local.Codecs, func(c CodecCapability) bool { return matchLocal(&c, theirs) })
		if at < 0 {
			continue
		}
		ours := &local.Codecs[at]
		c := ExtendedCodec{
			Name: theirs.Name, MimeType: mimeTypeOf(theirs), Kind: theirs.Kind, ClockRate: theirs.ClockRate,
			Channels: theirs.Channels, Parameters: cloneFields(theirs.Parameters),
			SendPayloadType: ours.PreferredPayloadType, RecvPayloadType: theirs.PreferredPayloadType,
			RTCPFeedback: commonFeedback(ours.RTCPFeedback, theirs.RTCPFeedback),
		}
		if c.Kind == "" {
			c.Kind = ours.Kind
		}
		send, recv := rtxOf(local, c.SendPayloadType), rtxOf(room, c.RecvPayloadType)
		repeats := codecKey{kind: c.Kind, name: "rtx", clockRate: c.ClockRate}
		if send != nil && recv != nil && matchCodecs(recv.key(), repeats) {
			c.SendRTXPayloadType, c.RecvRTXPayloadType = send.PreferredPayloadType, recv.PreferredPayloadType
		}
		e.Codecs = append(e.Codecs, c)
	}
	for _, theirs := range room.HeaderExtensions {
		at := slices.IndexFunc(local.HeaderExtensions, func(x HeaderExtensionCapability) bool {
			return x.URI == theirs.URI && sameKind(x.Kind, theirs.Kind)
		})
		if at < 0 {
			continue
		}
		e.HeaderExtensions = append(e.HeaderExtensions, ExtendedHeaderExtension{
			URI: theirs.URI, Kind: theirs.Kind,
			SendID: local.HeaderExtensions[at].PreferredID, RecvID: theirs.PreferredID,
		})
	}
	return e
}

// matchLocal reports whether a codec of a client is one of the room's. Audio of a client has
// one channel unless it says how many; video has none, whatever it says.
func matchLocal(local, room *CodecCapability) bool {
	channels := max(local.Channels, 1)
	if isVideo(local) {
		channels = 0
	}
	switch {
	case !strings.EqualFold(mimeTypeOf(local), mimeTypeOf(room)):
		return false
	case local.ClockRate != room.ClockRate, channels != room.Channels:
		return false
	case strings.EqualFold(mimeTypeOf(room), "video/h264"):
		return samePacketization(local.Parameters, room.Parameters)
	}
	return true
}

func isVideo(c *CodecCapability) bool {
	return c.Kind == Video || c.Kind == "" && strings.HasPrefix(strings.ToLower(c.MimeType), "video/")
}

// mimeTypeOf returns the type of a codec, made of its kind and name if it has none.
func mimeTypeOf(c *CodecCapability) string {
	if c.MimeType != "" {
		return c.MimeType
	}
	return string(c.Kind) + "/" + c.Name
}

func commonFeedback(local, room []RTCPFeedback) []RTCPFeedback {
	common := []RTCPFeedback{}
	for _, f := range local {
		for _, r := range room {
			if f.Type == r.Type && f.Parameter == r.Parameter {
				common = append(common, RTCPFeedback{Type: f.Type, Parameter: f.Parameter})
				break
			}
		}
	}
	return common
}

// rtxOf returns the codec that repeats the packets of another one, or nil.
func rtxOf(caps *RTPCapabilities, payloadType uint8) *CodecCapability {
	for i := range caps.Codecs {
		c := &caps.Codecs[i]
		if !isRTX(c.Name) {
			continue
		}
		if of, ok := c.APT(); ok && of == payloadType {
			return c
		}
	}
	return nil
}

// aptFields are the parameters of an rtx codec.
func aptFields(payloadType uint8) Fields {
	return Fields{"apt": json.RawMessage(strconv.Itoa(int(payloadType)))}
}

// RTPCapabilities returns what the client can receive, as [Join] says it: in the numbers of
// the room.
func (e *ExtendedRTPCapabilities) RTPCapabilities() *RTPCapabilities {
	caps := &RTPCapabilities{
		Codecs: []CodecCapability{}, HeaderExtensions: []HeaderExtensionCapability{}, FECMechanisms: []json.RawMessage{},
	}
	for i := range e.Codecs {
		c := &e.Codecs[i]
		caps.Codecs = append(caps.Codecs, CodecCapability{
			Kind: c.Kind, Name: c.Name, MimeType: c.MimeType, ClockRate: c.ClockRate, Channels: c.Channels,
			PreferredPayloadType: c.RecvPayloadType, RTCPFeedback: cloneFeedback(c.RTCPFeedback),
			Parameters: cloneFields(c.Parameters),
		})
		if c.RecvRTXPayloadType != 0 {
			caps.Codecs = append(caps.Codecs, CodecCapability{
				Kind: c.Kind, Name: "rtx", MimeType: string(c.Kind) + "/rtx", ClockRate: c.ClockRate,
				PreferredPayloadType: c.RecvRTXPayloadType, Parameters: aptFields(c.RecvPayloadType),
			})
		}
	}
	for _, x := range e.HeaderExtensions {
		caps.HeaderExtensions = append(caps.HeaderExtensions, HeaderExtensionCapability{
			Kind: x.Kind, URI: x.URI, PreferredID: x.RecvID,
		})
	}
	return caps
}

// Unsupported returns those codecs of the room that it demands and the client does not have.
// mandatory are their payload types, see [QueryRoomResult]. It fails when the room does not
// have one either.
func (e *ExtendedRTPCapabilities) Unsupported(room *RTPCapabilities, mandatory []uint8) ([]CodecCapability, error) {
	var missing []CodecCapability
	for _, payloadType := range mandatory {
		if e.receives(payloadType) {
			continue
		}
		c := codecOf(room, payloadType)
		if c == nil {
			return nil, fmt.Errorf("mediasoupproto: mandatory codec PT %d not found in remote codecs", payloadType)
		}
		missing = append(missing, cloneCapability(c))
	}
	return missing, nil
}

func codecOf(caps *RTPCapabilities, payloadType uint8) *CodecCapability {
	if caps == nil {
		return nil
	}
	for i := range caps.Codecs {
		if caps.Codecs[i].PreferredPayloadType == payloadType {
			return &caps.Codecs[i]
		}
	}
	return nil
}

func (e *ExtendedRTPCapabilities) receives(payloadType uint8) bool {
	return slices.ContainsFunc(e.Codecs, func(c ExtendedCodec) bool { return c.RecvPayloadType == payloadType })
}

// CanSend reports whether the client can send media of a kind to the room.
func (e *ExtendedRTPCapabilities) CanSend(kind Kind) bool { return e.codec(kind) != nil }

// codec returns the codec that media of a kind are sent with: the first one of the room.
func (e *ExtendedRTPCapabilities) codec(kind Kind) *ExtendedCodec {
	for i := range e.Codecs {
		if e.Codecs[i].Kind == kind {
			return &e.Codecs[i]
		}
	}
	return nil
}

// CanReceive reports whether the client can receive what a consumer has, by its first codec.
func (e *ExtendedRTPCapabilities) CanReceive(p *RTPParameters) bool {
	return p != nil && len(p.Codecs) > 0 && p.Codecs[0].PayloadType != nil && e.receives(*p.Codecs[0].PayloadType)
}

// SendingRTPParameters returns how the client sends media of a kind, in its own numbers, or
// nil if it cannot. The caller fills in the MuxID, the Encodings and RTCP.
func (e *ExtendedRTPCapabilities) SendingRTPParameters(kind Kind) *RTPParameters {
	c := e.codec(kind)
	if c == nil {
		return nil
	}
	p := &RTPParameters{
		MuxID: NullMuxID,
		Codecs: []CodecParameters{{
			Name: c.Name, MimeType: c.MimeType, ClockRate: c.ClockRate, PayloadType: new(c.SendPayloadType),
			Channels: c.Channels, RTCPFeedback: cloneFeedback(c.RTCPFeedback), Parameters: cloneFields(c.Parameters),
		}},
		HeaderExtensions: []HeaderExtension{},
		Encodings:        []Encoding{},
		RTCP:             new(RTCPParameters),
	}
	if c.SendRTXPayloadType != 0 {
		p.Codecs = append(p.Codecs, CodecParameters{
			Name: "rtx", MimeType: string(c.Kind) + "/rtx", ClockRate: c.ClockRate, PayloadType: new(c.SendRTXPayloadType),
			Parameters: aptFields(c.SendPayloadType),
		})
	}
	for _, x := range e.HeaderExtensions {
		if sameKind(x.Kind, kind) {
			p.HeaderExtensions = append(p.HeaderExtensions, HeaderExtension{URI: x.URI, ID: x.SendID})
		}
	}
	return p
}
