package mediasoupproto

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// The errors about producers that need more than the message to be found.
var (
	errProducerID = NewError("Error", "Request has not numeric internal.producerId")
)

func unsupportedKind(kind Kind) *Error {
	if kind == "" {
		kind = "undefined"
	}
	return NewError("TypeError", "unsupported kind: "+string(kind))
}

// createProducer checks a producer as far as it can be without its room. A server looks at
// the codecs and at the transport in between, see [ServerMachine.createProducer].
func (c checker) createProducer(m *CreateProducer) *ValidationError {
	if e := c.kind(m); e != nil {
		return e
	}
	switch {
	case m.RTPParameters == nil:
		return c.fail("rtpParameters", "missing",
			NewError("Error", "wrong RTP parameters: TypeError: rtpParameters is missing"))
	case m.RTPParameters.Codecs == nil:
		return c.fail("rtpParameters.codecs", "missing",
			NewError("Error", "wrong RTP parameters: TypeError: params.codecs is not iterable"))
	case m.TransportID == 0:
		return c.fail("transportId", "missing", errWebRTCTransport)
	case m.ID == 0:
		return c.id(m.ID, errProducerID)
	}
	return c.producer(m)
}

func (c checker) kind(m *CreateProducer) *ValidationError {
	switch m.Kind {
	case Audio, Video, "depth":
		return nil
	}
	return c.fail("kind", "is neither audio nor video", unsupportedKind(m.Kind))
}

// producer checks what mediasoup's worker does.
func (c checker) producer(m *CreateProducer) *ValidationError {
	if m.Kind == "depth" {
		return c.worker("kind", "invalid media kind [kind:depth]")
	}
	return first(c.rtpParameters(m.RTPParameters), c.tooBig(m.RTPParameters), c.appData(m.AppData), c.extra(m.Extra, m))
}

// tooBig checks what a server measures by itself, see [ServerMachine.createProducer].
func (c checker) tooBig(p *RTPParameters) *ValidationError {
	if c.rules != Strict {
		return nil
	}
	if b, err := appendResult(p); err == nil && len(b) > MaxRTPParameters {
		return c.worker(atParameters, "request too big")
	}
	return nil
}

const (
	audioSubtypes = "|opus|pcma|pcmu|isac|g722|ilbc|silk|cn|telephone-event|"
	videoSubtypes = "|vp8|vp9|h264|h265|x-h264uc|rtx|ulpfec|x-ulpfecuc|flexfec|red|"
)

// atParameters is where the parameters of a producer stand.
const atParameters = "rtpParameters"

// An element is one of a list. Its path is written only when something is wrong with it.
type element struct {
	list string
	i    int
}

func (e element) String() string { return e.member("") }

// member returns the path of a member of the element, such as ".ssrc".
func (e element) member(name string) string { return e.list + "[" + strconv.Itoa(e.i) + "]" + name }

// rtpParameters checks the parameters of a producer.
func (c checker) rtpParameters(p *RTPParameters) *ValidationError {
	switch {
	case p == nil:
		return c.fail(atParameters, "missing", nil)
	case len(p.Codecs) == 0:
		return c.worker(atParameters+".codecs", lacking(p.Codecs)+" rtpParameters.codecs")
	}
	for i := range p.Codecs {
		if e := c.codec(element{atParameters + ".codecs", i}, &p.Codecs[i]); e != nil {
			return e
		}
	}
	if len(p.Encodings) == 0 {
		return c.worker(atParameters+".encodings", lacking(p.Encodings)+" rtpParameters.encodings")
	}
	for i := range p.Encodings {
		e := &p.Encodings[i]
		field := element{atParameters + ".encodings", i}
		switch {
		case e.FEC != nil && e.FEC.Mechanism == "":
			return c.worker(field.member(".fec.mechanism"), "missing RtpFecParameters.mechanism")
		case e.Profile == "":
		case e.Profile == ProfileNone || e.Profile == ProfileDefault:
			return c.worker(field.member(".profile"), "invalid profile")
		case !e.Profile.isOfEncoding():
			return c.worker(field.member(".profile"), "unknown profile")
		}
	}
	for i, h := range p.HeaderExtensions {
		field := element{atParameters + ".headerExtensions", i}
		switch {
		case h.URI == "":
			return c.worker(field.member(".uri"), "missing RtpHeaderExtensionParameters.uri")
		case h.ID == 0:
			return c.worker(field.member(".id"), "missing RtpHeaderExtensionParameters.id")
		}
	}
	if p.RTCP != nil && p.RTCP.CNAME != nil && *p.RTCP.CNAME == "" {
		return c.worker(atParameters+".rtcp.cname", "empty RtcpParameters.cname")
	}
	return first(c.payloadTypes(p), c.encodings(p), c.unique(p), c.depth(p))
}

// lacking is how mediasoup's worker calls a list that has nothing in it.
func lacking[T any](list []T) string {
	if list == nil {
		return "missing"
	}
	return "empty"
}

func (c checker) codec(field element, codec *CodecParameters) *ValidationError {
	if c.rules == Strict && codec.Name == "" {
		return c.fail(field.member(".name"), "missing", NewError("Error", "wrong RTP parameters: TypeError: "+textNoName))
	}
	if codec.MimeType == "" {
		return c.worker(field.member(".mimeType"), "missing RtpCodec.mimeType")
	}
	typ, subtype, ok := strings.Cut(strings.ToLower(codec.MimeType), "/")
	known := audioSubtypes + videoSubtypes[1:]
	switch {
	case !ok || typ == "" || subtype == "":
		return c.worker(field.member(".mimeType"), "wrong codec MIME")
	case typ != string(Audio) && typ != string(Video):
		return c.worker(field.member(".mimeType"), fmt.Sprintf("unknown codec MIME type '%s'", typ))
	case strings.Contains(subtype, "|") || !strings.Contains(known, "|"+subtype+"|"):
		return c.worker(field.member(".mimeType"), fmt.Sprintf("unknown codec MIME subtype '%s'", subtype))
	case codec.PayloadType == nil:
		return c.worker(field.member(".payloadType"), "missing RtpCodecParameters.payloadType")
	case codec.ClockRate == 0:
		return c.worker(field.member(".clockRate"), "missing RtpCodecParameters.clockRate")
	}
	for i := range codec.RTCPFeedback {
		if codec.RTCPFeedback[i].Type == "" {
			return c.worker(fmt.Sprintf("%s.rtcpFeedback[%d].type", field, i), "missing RtcpFeedback.type")
		}
	}
	if _, ok := codec.APT(); subtype == "rtx" && !ok {
		return c.worker(field.member(".parameters.apt"), "missing apt parameter in RTX RtpCodecParameters")
	}
	return nil
}

// payloadTypes checks that they tell the codecs apart.
func (c checker) payloadTypes(p *RTPParameters) *ValidationError {
	seen := map[uint8]bool{}
	media, lost := false, -1
	for i := range p.Codecs {
		pt := *p.Codecs[i].PayloadType
		if seen[pt] {
			return c.worker(element{atParameters + ".codecs", i}.member(".payloadType"), "duplicated codec.payloadType")
		}
		seen[pt] = true
		media = media || !p.Codecs[i].isFeature()
		if p.Codecs[i].subtype() != "rtx" {
			continue
		}
		apt, _ := p.Codecs[i].APT()
		switch of := p.codec(apt); {
		case of == nil:
			lost = i
		case of.subtype() == "rtx" || of.subtype() == "ulpfec" || of.subtype() == "flexfec":
			return c.worker(element{atParameters + ".codecs", i}.member(".parameters.apt"),
				fmt.Sprintf("apt in RTX codec points to a %s codec", strings.ToUpper(of.subtype())))
		}
	}
	if !media {
		return c.worker(atParameters+".codecs", "no media codecs found")
	}
	if lost >= 0 && c.rules == Strict {
		return c.fail(element{atParameters + ".codecs", lost}.member(".parameters.apt"), "is no codec's", NewError("Error",
			fmt.Sprintf("wrong RTP parameters: Error: no media codec found for RTX PT %d", *p.Codecs[lost].PayloadType)))
	}
	return nil
}

// subtype returns what stands behind the slash of the MIME type, in lower case.
func (c *CodecParameters) subtype() string {
	_, subtype, _ := strings.Cut(strings.ToLower(c.MimeType), "/")
	return subtype
}

// isFeature reports whether a codec is nothing without another one.
func (c *CodecParameters) isFeature() bool {
	switch c.subtype() {
	case "rtx", "ulpfec", "x-ulpfecuc", "flexfec", "red":
		return true
	}
	return false
}

func (c checker) encodings(p *RTPParameters) *ValidationError {
	profiles := map[Profile]bool{}
	for i := range p.Encodings {
		e := &p.Encodings[i]
		field := element{atParameters + ".encodings", i}
		if pt := e.CodecPayloadType; pt != nil {
			switch codec := p.codec(*pt); {
			case codec == nil:
				return c.worker(field.member(".codecPayloadType"), "unknown encoding.codecPayloadType")
			case codec.isFeature():
				return c.worker(field.member(".codecPayloadType"), "invalid encoding.codecPayloadType")
			}
		}
		if len(p.Encodings) > 1 && profiles[e.Profile] {
			return c.worker(field.member(".profile"), "duplicated encoding.profile")
		}
		profiles[e.Profile] = true
	}
	if len(p.Encodings) == 1 && p.Encodings[0].Profile != "" {
		return c.worker(atParameters+".encodings[0].profile", "invalid single encoding with non default profile")
	}
	return nil
}

// codec returns the codec of a payload type, or nil.
func (p *RTPParameters) codec(payloadType uint8) *CodecParameters {
	for i := range p.Codecs {
		if pt := p.Codecs[i].PayloadType; pt != nil && *pt == payloadType {
			return &p.Codecs[i]
		}
	}
	return nil
}

// unique checks that streams and header extensions can be told apart, which mediasoup does
// not look at within one producer.
func (c checker) unique(p *RTPParameters) *ValidationError {
	if c.rules != Strict {
		return nil
	}
	ssrcs, rids := map[uint32]bool{}, map[string]bool{}
	for i := range p.Encodings {
		e := &p.Encodings[i]
		field := element{atParameters + ".encodings", i}
		rtx := uint32(0)
		if e.RTX != nil {
			rtx = e.RTX.SSRC
		}
		switch {
		case e.SSRC != 0 && (ssrcs[e.SSRC] || e.SSRC == rtx):
			return c.fail(field.member(".ssrc"), "is another stream's", nil)
		case rtx != 0 && ssrcs[rtx]:
			return c.fail(field.member(".rtx.ssrc"), "is another stream's", nil)
		case e.EncodingID != "" && rids[e.EncodingID]:
			return c.fail(field.member(".encodingId"), "is another stream's", nil)
		case e.SSRC == 0 && e.EncodingID == "" && (p.MuxID == "" || p.MuxID == NullMuxID):
			return c.fail(field.String(), "has nothing that its packets can be known by", nil)
		}
		ssrcs[e.SSRC], ssrcs[rtx], rids[e.EncodingID] = true, true, true
		delete(ssrcs, 0)
		delete(rids, "")
	}
	ids := map[uint8]bool{}
	for i, h := range p.HeaderExtensions {
		if ids[h.ID] {
			return c.fail(element{atParameters + ".headerExtensions", i}.member(".id"), "is another extension's", nil)
		}
		ids[h.ID] = true
	}
	return nil
}

// depth checks the raw parts of parameters: those that are told to others must not nest too
// deeply there.
func (c checker) depth(p *RTPParameters) *ValidationError {
	e := first(c.shallow(atParameters, p.Extra))
	for i := range p.Codecs {
		codec := &p.Codecs[i]
		if len(codec.Parameters)+len(codec.Extra) > 0 {
			field := element{atParameters + ".codecs", i}
			e = first(e, c.shallow(field.member(".parameters"), codec.Parameters), c.shallow(field.String(), codec.Extra))
		}
		for j := range codec.RTCPFeedback {
			if extra := codec.RTCPFeedback[j].Extra; len(extra) > 0 {
				field := element{element{atParameters + ".codecs", i}.member(".rtcpFeedback"), j}
				e = first(e, c.shallow(field.String(), extra))
			}
		}
	}
	for i := range p.Encodings {
		enc, field := &p.Encodings[i], element{atParameters + ".encodings", i}
		if len(enc.Extra) > 0 {
			e = first(e, c.shallow(field.String(), enc.Extra))
		}
		if enc.RTX != nil && len(enc.RTX.Extra) > 0 {
			e = first(e, c.shallow(field.member(".rtx"), enc.RTX.Extra))
		}
		if enc.FEC != nil && len(enc.FEC.Extra) > 0 {
			e = first(e, c.shallow(field.member(".fec"), enc.FEC.Extra))
		}
	}
	for i := range p.HeaderExtensions {
		h, field := &p.HeaderExtensions[i], element{atParameters + ".headerExtensions", i}
		if len(h.Extra) > 0 {
			e = first(e, c.shallow(field.String(), h.Extra))
		}
		if h.Parameters != nil {
			e = first(e, c.raw(field.member(".parameters"), h.Parameters, parametersLevel))
		}
	}
	if p.RTCP != nil {
		e = first(e, c.shallow(atParameters+".rtcp", p.RTCP.Extra))
	}
	return e
}

// parametersLevel is [appDataLevel] for what stands in the parameters of a producer.
const parametersLevel = appDataLevel + 4

// shallow checks further members that are told to others.
func (c checker) shallow(field string, members Fields) *ValidationError {
	if len(members) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := jsonx.CheckAt(members[name], parametersLevel); err != nil {
			return c.fail(field+"."+name, reasonFor(err), NewError("TypeError", "wrong "+field))
		}
	}
	return nil
}

// plain checks where a transport without ICE and DTLS is to send.
func (c checker) plain(p *PlainRTPParameters) *ValidationError {
	if p.IP == "" && p.Port == 0 {
		return nil // not known yet
	}
	if _, err := netip.ParseAddr(p.IP); err != nil {
		return c.worker("plainRtpParameters.ip", fmt.Sprintf("invalid destination IP '%s'", p.IP))
	}
	if p.Port == 0 {
		return c.worker("plainRtpParameters.port", "missing data.port")
	}
	return nil
}

// answerTo returns what a server answers to a request that cannot be decoded.
func answerTo(e *DecodeError) *Error {
	switch {
	case e.Err == errNotRequest:
		return NewError("TypeError", "not a request")
	case e.Err == errNoMethod:
		return NewError("TypeError", "wrong/missing request method")
	case e.Type == "" && e.Field == "":
		return NewError("TypeError", "wrong request Object")
	}
	field, _, _ := strings.Cut(e.Field, ".")
	switch e.Type + " " + field {
	case "join peerName":
		return NewError("TypeError", "peerName must be a string")
	case "createTransport id":
		return NewError("Error", "Request has not numeric internal.transportId")
	case "createTransport dtlsParameters":
		return NewError("Error", dtlsReason(e.Field))
	case "restartTransport id":
		return ErrTransportNotFound
	case "createProducer id":
		return errProducerID
	case "createProducer transportId":
		return errWebRTCTransport
	case "createProducer rtpParameters":
		return NewError("Error", parametersReason(e))
	case "enableConsumer id":
		return ErrConsumerNotFound
	case "enableConsumer transportId":
		return errEnableOverTransport
	}
	return NewError("TypeError", "wrong "+e.Field)
}

func dtlsReason(field string) string {
	switch {
	case strings.HasSuffix(field, ".fingerprints"), !strings.Contains(field, "."):
		return "missing data.fingerprints"
	case strings.HasSuffix(field, "]"):
		return "wrong fingerprint"
	case strings.HasSuffix(field, ".role"):
		return "invalid remote role"
	}
	return "missing data.fingerprint.algorithm and/or data.fingerprint.value"
}

func parametersReason(e *DecodeError) string {
	switch {
	case e.Field == "rtpParameters.muxId" && e.Err == errEmpty:
		return "empty rtpParameters.muxId"
	case e.Field == "rtpParameters.codecs":
		return "wrong RTP parameters: TypeError: params.codecs is not iterable"
	case e.Field == "rtpParameters.encodings":
		return "missing rtpParameters.encodings"
	case strings.HasPrefix(e.Field, "rtpParameters.encodings[") && strings.HasSuffix(e.Field, "]"):
		return "RtpEncodingParameters is not an object"
	}
	return "wrong RTP parameters: TypeError: wrong " + e.Field
}
