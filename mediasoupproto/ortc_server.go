package mediasoupproto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A supportedCodec is one that rooms may have.
type supportedCodec struct {
	CodecCapability
	static bool // its payload type is
}

// supportedCodecs are those of mediasoup, in the order in which they are looked for.
var supportedCodecs = func() []supportedCodec {
	audio := func(name string, clockRate uint32, channels uint16) supportedCodec {
		return supportedCodec{CodecCapability: CodecCapability{
			Kind: Audio, Name: name, MimeType: "audio/" + name, ClockRate: clockRate, Channels: channels,
		}}
	}
	static := func(name string, clockRate uint32, payloadType uint8) supportedCodec {
		c := audio(name, clockRate, 1)
		c.PreferredPayloadType, c.static = payloadType, true
		return c
	}
	video := func(name, packetization string) supportedCodec {
		c := supportedCodec{CodecCapability: CodecCapability{
			Kind: Video, Name: name, MimeType: "video/" + name, ClockRate: 90000,
			RTCPFeedback: []RTCPFeedback{
				{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "goog-remb"},
			},
		}}
		if packetization != "" {
			c.Parameters = Fields{packetizationMode: json.RawMessage(packetization)}
		}
		return c
	}
	return []supportedCodec{
		audio("opus", 48000, 2),
		static("PCMU", 8000, 0), static("PCMA", 8000, 8),
		audio("ISAC", 32000, 1), audio("ISAC", 16000, 1),
		static("G722", 8000, 9),
		audio("iLBC", 8000, 1),
		audio("SILK", 24000, 1), audio("SILK", 16000, 1), audio("SILK", 12000, 1), audio("SILK", 8000, 1),
		static("CN", 32000, 13), static("CN", 16000, 13), static("CN", 8000, 13),
		audio("telephone-event", 48000, 1), audio("telephone-event", 32000, 1),
		audio("telephone-event", 16000, 1), audio("telephone-event", 8000, 1),
		video("VP8", ""), video("VP9", ""), video("H264", "0"), video("H264", "1"), video("H265", ""),
	}
}()

// packetizationMode is the parameter by which codecs called H264 differ.
const packetizationMode = "packetization-mode"

// dynamicPayloadTypes are given to codecs in this order.
var dynamicPayloadTypes = func() (all []uint8) {
	for _, span := range [][2]uint8{{100, 127}, {96, 99}, {77, 95}, {35, 71}} {
		for payloadType := span[0]; payloadType <= span[1]; payloadType++ {
			all = append(all, payloadType)
		}
	}
	return all
}()

// DefaultCodecs returns the codecs of the rooms of mediasoup's demo: opus, VP8 and H264, to
// be passed to [GenerateRoomRTPCapabilities].
func DefaultCodecs() []CodecCapability {
	return []CodecCapability{
		{Kind: Audio, Name: "opus", MimeType: "audio/opus", ClockRate: 48000, Channels: 2, Parameters: Fields{
			"useinbandfec": json.RawMessage("1"),
		}},
		{Kind: Video, Name: "VP8", MimeType: "video/VP8", ClockRate: 90000, Parameters: Fields{
			"x-google-start-bitrate": json.RawMessage("1500"),
		}},
		{Kind: Video, Name: "H264", MimeType: "video/H264", ClockRate: 90000, Parameters: Fields{
			packetizationMode:         json.RawMessage("1"),
			"profile-level-id":        json.RawMessage(`"42e01f"`),
			"level-asymmetry-allowed": json.RawMessage("1"),
		}},
	}
}

// GenerateRoomRTPCapabilities returns what a room with these codecs says of itself: it gives
// them payload types, adds to each of video one for repeated packets, and all the header
// extensions that mediasoup knows. Of a codec the kind, the name, the clock rate and the
// channels count, of H264 the packetization mode, and its parameters are kept. It fails for
// codecs that mediasoup does not know, and for none at all.
func GenerateRoomRTPCapabilities(codecs []CodecCapability) (*RTPCapabilities, error) {
	if len(codecs) == 0 {
		return nil, errors.New("mediasoupproto: a room without codecs")
	}
	room := &RTPCapabilities{
		Codecs: []CodecCapability{}, HeaderExtensions: roomHeaderExtensions(), FECMechanisms: []json.RawMessage{},
	}
	free := dynamicPayloadTypes
	for i := range codecs {
		given := &codecs[i]
		at := slices.IndexFunc(supportedCodecs, func(s supportedCodec) bool {
			return given.Kind == s.Kind && matchCapabilities(given, &s.CodecCapability)
		})
		if at < 0 {
			return nil, fmt.Errorf("mediasoupproto: codec %q is not supported", mimeTypeOf(given))
		}
		s := &supportedCodecs[at]
		c := cloneCapability(&s.CodecCapability)
		if c.RTCPFeedback == nil {
			c.RTCPFeedback = []RTCPFeedback{}
		}
		if c.Parameters == nil {
			c.Parameters = Fields{}
		}
		maps.Copy(c.Parameters, cloneFields(given.Parameters))
		needed := 0
		if !s.static {
			needed++
		}
		if c.Kind == Video {
			needed++
		}
		if len(free) < needed {
			return nil, errors.New("mediasoupproto: too many codecs")
		}
		if !s.static {
			c.PreferredPayloadType, free = free[0], free[1:]
		} else if codecOf(room, c.PreferredPayloadType) != nil {
			return nil, fmt.Errorf("mediasoupproto: two codecs of the payload type %d", c.PreferredPayloadType)
		}
		room.Codecs = append(room.Codecs, c)
		if c.Kind == Video {
			room.Codecs = append(room.Codecs, CodecCapability{
				Kind: Video, Name: "rtx", MimeType: "video/rtx", ClockRate: c.ClockRate, PreferredPayloadType: free[0],
				Parameters: aptFields(c.PreferredPayloadType),
			})
			free = free[1:]
		}
	}
	return room, nil
}

func roomHeaderExtensions() (all []HeaderExtensionCapability) {
	for _, x := range []struct {
		uri   string
		kinds []Kind
	}{
		{ExtensionAudioLevel, []Kind{Audio}},
		{ExtensionTOffset, []Kind{Video}},
		{ExtensionAbsSendTime, []Kind{Audio, Video}},
		{ExtensionVideoOrientation, []Kind{Video}},
		{ExtensionMID, []Kind{Audio, Video}},
		{ExtensionRTPStreamID, []Kind{Video}},
	} {
		id := uint8(1)
		if len(all) > 0 {
			id += all[len(all)-1].PreferredID
		}
		for _, kind := range x.kinds {
			all = append(all, HeaderExtensionCapability{
				Kind: kind, URI: x.uri, PreferredID: id, PreferredEncrypt: new(false),
			})
		}
	}
	return all
}

// A codecKey is what two codecs have in common that are the same.
type codecKey struct {
	kind       Kind // "" is not known
	name       string
	clockRate  uint32
	channels   uint16
	parameters Fields
}

func matchCodecs(a, b codecKey) bool {
	audio := a.kind == Audio || b.kind == Audio
	switch {
	case !sameKind(a.kind, b.kind), !strings.EqualFold(a.name, b.name), a.clockRate != b.clockRate:
		return false
	case audio && max(a.channels, 1) != max(b.channels, 1):
		return false
	case strings.EqualFold(a.name, "h264"):
		return samePacketization(a.parameters, b.parameters)
	}
	return true
}

func (c *CodecCapability) key() codecKey {
	return codecKey{c.Kind, c.Name, c.ClockRate, c.Channels, c.Parameters}
}

func (c *CodecParameters) key() codecKey {
	return codecKey{kindIn(c.Extra), c.Name, c.ClockRate, c.Channels, c.Parameters}
}

// kindIn returns the kind among members that parameters do not need to have, and which counts
// where it is.
func kindIn(extra Fields) Kind {
	value := extra["kind"]
	if text, ok := jsonx.Text(value); ok {
		return Kind(text)
	}
	if truthy(value) {
		return Kind(value) // like nothing else
	}
	return ""
}

func matchCapabilities(a, b *CodecCapability) bool { return matchCodecs(a.key(), b.key()) }

func sameKind(a, b Kind) bool { return a == "" || b == "" || a == b }

// samePacketization compares two packetization modes as numbers. What is no number is like
// nothing else.
func samePacketization(a, b Fields) bool {
	m, ok := packetization(a)
	n, also := packetization(b)
	return ok && also && m == n
}

func packetization(parameters Fields) (mode int64, ok bool) {
	value := parameters[packetizationMode]
	if len(value) == 0 || jsonx.IsNull(value) {
		return 0, true
	}
	mode, err := jsonx.Int(value)
	return mode, err == nil
}

// The texts of the errors of JavaScript that clients of mediasoup may know.
const (
	textNoParameters = "Cannot read properties of undefined (reading 'codecs')"
	textNoName       = "Cannot read properties of undefined (reading 'toLowerCase')"
	textNoRTX        = "Cannot read properties of undefined (reading 'apt')"
)

// undefined is what JavaScript writes for a member that is absent.
const undefined = "undefined"

func orUndefined(text string) string {
	if text == "" {
		return undefined
	}
	return text
}

// checkCapabilities returns what is wrong with the capabilities of a client that joins, or
// nil. mediasoup lets clients without a list of header extensions in, and then fails for
// everybody else; those are refused.
func checkCapabilities(caps, room *RTPCapabilities) *Error {
	switch {
	case caps == nil:
		return NewError("TypeError", textNoParameters)
	case caps.Codecs == nil:
		return NewError("TypeError", "rtpCapabilities.codecs is not iterable")
	case caps.HeaderExtensions == nil:
		return errNoHeaderExtensions
	}
	for i := range caps.Codecs {
		c := &caps.Codecs[i]
		theirs := codecOf(room, c.PreferredPayloadType)
		switch {
		case theirs != nil && c.Name == "":
			return NewError("TypeError", textNoName)
		case theirs == nil || !matchCapabilities(c, theirs):
			return NewError("Error", fmt.Sprintf("unsupported codec [name:%s, preferredPayloadType:%d]",
				orUndefined(c.Name), c.PreferredPayloadType))
		}
	}
	for _, x := range caps.HeaderExtensions {
		if !slices.ContainsFunc(room.HeaderExtensions, func(r HeaderExtensionCapability) bool {
			return x.PreferredID == r.PreferredID && x.URI == r.URI && sameKind(x.Kind, r.Kind)
		}) {
			return NewError("Error", fmt.Sprintf("unsupported header extension [kind:%s, uri:%s]",
				orUndefined(string(x.Kind)), orUndefined(x.URI)))
		}
	}
	return nil
}

// mapProducer returns how the packets of a producer are called in its room, or why it does
// not go there. What has no payload type or id is left out.
func mapProducer(p *RTPParameters, room *RTPCapabilities) (*RTPMapping, *Error) {
	wrong := func(name, format string, args ...any) (*RTPMapping, *Error) {
		return nil, NewError("Error", "wrong RTP parameters: "+name+": "+fmt.Sprintf(format, args...))
	}
	switch {
	case p == nil:
		return wrong("TypeError", textNoParameters)
	case p.Codecs == nil:
		return wrong("TypeError", "params.codecs is not iterable")
	}
	m := &RTPMapping{PayloadTypes: map[uint8]uint8{}, HeaderExtensions: map[uint8]uint8{}}
	of := make([]*CodecCapability, len(p.Codecs)) // the room's for each of media
	for i := range p.Codecs {
		c := &p.Codecs[i]
		switch {
		case c.Name == "":
			return wrong("TypeError", textNoName)
		case isRTX(c.Name):
			continue
		}
		at := slices.IndexFunc(room.Codecs, func(r CodecCapability) bool { return matchCodecs(c.key(), r.key()) })
		if at < 0 {
			return wrong("Error", "unsupported codec [name:%s, payloadType:%s]", c.Name, payloadTypeText(c))
		}
		of[i] = &room.Codecs[at]
		if c.PayloadType != nil {
			m.PayloadTypes[*c.PayloadType] = of[i].PreferredPayloadType
		}
	}
	for i := range p.Codecs {
		c := &p.Codecs[i]
		if !isRTX(c.Name) {
			continue
		}
		if c.Parameters == nil {
			return wrong("TypeError", textNoRTX)
		}
		media := mediaOf(p.Codecs, c)
		if media < 0 {
			return wrong("Error", "no media codec found for RTX PT %s", payloadTypeText(c))
		}
		rtx := rtxOf(room, of[media].PreferredPayloadType)
		if rtx == nil {
			return wrong("Error", "no RTX codec found in capabilities [capabilities codec PT:%d]",
				of[media].PreferredPayloadType)
		}
		if c.PayloadType != nil {
			m.PayloadTypes[*c.PayloadType] = rtx.PreferredPayloadType
		}
	}
	for _, x := range p.HeaderExtensions {
		id, ok := roomExtension(room, &x)
		if !ok {
			text := undefined
			if x.ID != 0 {
				text = strconv.Itoa(int(x.ID))
			}
			return wrong("Error", "unsupported header extensions [uri:\"%s\", id:%s]", orUndefined(x.URI), text)
		}
		if x.ID != 0 {
			m.HeaderExtensions[x.ID] = id
		}
	}
	return m, nil
}

func payloadTypeText(c *CodecParameters) string {
	if c.PayloadType == nil {
		return undefined
	}
	return strconv.Itoa(int(*c.PayloadType))
}

// mediaOf returns the index of the codec whose packets an rtx codec repeats, or -1.
func mediaOf(codecs []CodecParameters, rtx *CodecParameters) int {
	apt, ok := rtx.APT()
	return slices.IndexFunc(codecs, func(c CodecParameters) bool {
		return ok && !isRTX(c.Name) && c.PayloadType != nil && *c.PayloadType == apt
	})
}

func roomExtension(room *RTPCapabilities, x *HeaderExtension) (id uint8, ok bool) {
	kind := kindIn(x.Extra)
	for _, r := range room.HeaderExtensions {
		if r.URI == x.URI && sameKind(r.Kind, kind) {
			return r.PreferredID, true
		}
	}
	return 0, false
}

// consumable returns the parameters of a producer in the numbers of its room. The mapping is
// that of [mapProducer].
func consumable(p *RTPParameters, room *RTPCapabilities, m *RTPMapping) *RTPParameters {
	q := &RTPParameters{
		Codecs:           []CodecParameters{},
		HeaderExtensions: []HeaderExtension{},
		Encodings:        []Encoding{},
		RTCP:             cloneRTCP(p.RTCP),
	}
	for i := range p.Codecs {
		c := &p.Codecs[i]
		if isRTX(c.Name) || c.PayloadType == nil {
			continue
		}
		payloadType, ok := m.PayloadTypes[*c.PayloadType]
		media := codecOf(room, payloadType)
		if !ok || media == nil || q.codec(payloadType) != nil { // two codecs may be the same to the room
			continue
		}
		q.Codecs = append(q.Codecs, parametersOf(media))
		if rtx := rtxOf(room, payloadType); rtx != nil {
			q.Codecs = append(q.Codecs, parametersOf(rtx))
		}
	}
	for _, x := range p.HeaderExtensions {
		id, ok := roomExtension(room, &x)
		if !ok || x.URI == ExtensionMID || q.extension(id) { // a consumer has a mid of its own
			continue
		}
		q.HeaderExtensions = append(q.HeaderExtensions, HeaderExtension{URI: x.URI, ID: id})
	}
	for i := range p.Encodings {
		q.Encodings = append(q.Encodings, cloneEncoding(&p.Encodings[i]))
	}
	return q
}

// extension reports whether there is a header extension of an id.
func (p *RTPParameters) extension(id uint8) bool {
	return slices.ContainsFunc(p.HeaderExtensions, func(x HeaderExtension) bool { return x.ID == id })
}

// parametersOf returns a codec of a room as one that is sent.
func parametersOf(c *CodecCapability) CodecParameters {
	return CodecParameters{
		Name: c.Name, MimeType: mimeTypeOf(c), ClockRate: c.ClockRate, PayloadType: new(c.PreferredPayloadType),
		Channels: c.Channels, RTCPFeedback: cloneFeedback(c.RTCPFeedback), Parameters: cloneFields(c.Parameters),
	}
}

// consumerParameters returns how what is [consumable] is sent to a client of these
// capabilities: as one stream of the SSRC, and one for repeated packets if the client has
// such a codec. There are no codecs if the client has none of them. It shares what it is made
// of: a room has as many as peers times producers.
func consumerParameters(consumable *RTPParameters, caps *RTPCapabilities, ssrc, rtxSSRC uint32) *RTPParameters {
	q := &RTPParameters{
		Codecs:           make([]CodecParameters, 0, len(consumable.Codecs)),
		HeaderExtensions: make([]HeaderExtension, 0, len(consumable.HeaderExtensions)),
		Encodings:        []Encoding{{SSRC: ssrc}},
		RTCP:             consumable.RTCP,
	}
	for i := range consumable.Codecs {
		c := &consumable.Codecs[i]
		theirs := codecOf(caps, *c.PayloadType)
		if theirs == nil {
			continue
		}
		q.Codecs = append(q.Codecs, CodecParameters{
			Name: c.Name, MimeType: c.MimeType, ClockRate: c.ClockRate, PayloadType: c.PayloadType,
			Channels: c.Channels, RTCPFeedback: theirs.RTCPFeedback, Parameters: c.Parameters,
		})
		if isRTX(c.Name) {
			q.Encodings[0].RTX = &RTX{SSRC: rtxSSRC}
		}
	}
	for _, x := range consumable.HeaderExtensions {
		announced := func(c HeaderExtensionCapability) bool { return c.PreferredID == x.ID }
		if slices.ContainsFunc(caps.HeaderExtensions, announced) {
			q.HeaderExtensions = append(q.HeaderExtensions, x)
		}
	}
	return q
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

func cloneFields(f Fields) Fields {
	c := maps.Clone(f)
	for name, value := range c {
		c[name] = bytes.Clone(value)
	}
	return c
}

func cloneFeedback(feedback []RTCPFeedback) []RTCPFeedback {
	c := slices.Clone(feedback)
	for i := range c {
		c[i].Extra = cloneFields(c[i].Extra)
	}
	return c
}

func cloneCapability(c *CodecCapability) CodecCapability {
	d := *c
	d.RTCPFeedback, d.Parameters, d.Extra = cloneFeedback(c.RTCPFeedback), cloneFields(c.Parameters), cloneFields(c.Extra)
	return d
}

func cloneEncoding(e *Encoding) Encoding {
	d := *e
	d.RTX, d.FEC, d.CodecPayloadType = clonePointer(e.RTX), clonePointer(e.FEC), clonePointer(e.CodecPayloadType)
	d.Extra = cloneFields(e.Extra)
	if d.RTX != nil {
		d.RTX.Extra = cloneFields(d.RTX.Extra)
	}
	if d.FEC != nil {
		d.FEC.Extra = cloneFields(d.FEC.Extra)
	}
	return d
}

func cloneRTCP(r *RTCPParameters) *RTCPParameters {
	d := clonePointer(r)
	if d != nil {
		d.CNAME, d.ReducedSize, d.Mux = clonePointer(r.CNAME), clonePointer(r.ReducedSize), clonePointer(r.Mux)
		d.Extra = cloneFields(r.Extra)
	}
	return d
}
