package mediasouppion

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/pion/rtp"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// The bounds of the router.
const (
	maxLearned   = 64                     // SSRCs per transport that nobody has announced
	activeTime   = 2 * time.Second        // after its last packet, a stream of several is not chosen
	keyFrameTime = 500 * time.Millisecond // between two requests
	maxResent    = 500                    // packets per second and consumer
	cacheTime    = 10 * time.Second       // after its last packet, nothing of a stream is sent again
)

// A payload is what the packets of a producer with one payload type are.
type payload struct {
	known bool
	rtx   bool
	room  uint8 // the payload type in the room
	apt   uint8 // of rtx: the producer's payload type that is repeated
	clock uint32
	codec videoCodec
}

// A producer takes media of a client. The room's lock guards it, its streams and consumers.
type producer struct {
	room      *room
	transport *transport
	id        mediasoupproto.MediaID
	kind      mediasoupproto.Kind
	paused    bool
	payloads  [128]payload
	mimeTypes [128]string
	extension [][2]uint8 // ids that are forwarded, the producer's and the room's
	midID     uint8      // ids of the extensions that name a stream; 0 is none
	ridID     uint8
	mid       string
	nack, fir bool
	streams   []*layer // the lowest profile first
	consumers []*consumer
}

// A layer is one encoding of a producer.
type layer struct {
	producer *producer
	profile  mediasoupproto.Profile
	rid      string
	ssrc     uint32 // 0 until it is known
	rtxSSRC  uint32
	id       string // in the statistics

	receiver receiver
	cache    packetCache
	seen     time.Time // the last packet
	asked    time.Time // for a key frame
	answered bool      // since then, by a key frame
	again    bool      // it has been asked for after the answer, too soon
	payload  uint8     // of the last packet

	reportNTP   uint64 // the client's clock in its last report, 0 before it
	reportStamp uint32
	reportAt    time.Time

	traffic  traffic
	plis     int64
	firs     int64
	nacks    int64
	fraction uint8
}

// A traffic counts what goes one way.
type traffic struct {
	packets, bytes int64
	before         int64 // bytes at the last look
	at             time.Time
	bitrate        int64
}

func (t *traffic) add(n int) {
	t.packets++
	t.bytes += int64(n)
}

// look computes the bitrate since the last one.
func (t *traffic) look(now time.Time) {
	if passed := now.Sub(t.at); !t.at.IsZero() && passed > 0 {
		t.bitrate = int64(float64(t.bytes-t.before) * 8 / passed.Seconds())
	}
	t.before, t.at = t.bytes, now
}

func newProducer(r *room, t *transport, id mediasoupproto.MediaID, m *mediasoupproto.MediaProducer) *producer {
	p := &producer{
		room: r, transport: t, id: id, kind: m.Kind, paused: m.Paused,
		nack: m.Kind == mediasoupproto.Video, // audio only if it says so
	}
	if m.RTPParameters.MuxID != mediasoupproto.NullMuxID {
		p.mid = string(m.RTPParameters.MuxID)
	}
	for i := range m.RTPParameters.Codecs {
		p.addCodec(&m.RTPParameters.Codecs[i], m.Mapping)
	}
	for _, x := range m.RTPParameters.HeaderExtensions {
		switch x.URI {
		case mediasoupproto.ExtensionMID:
			p.midID = x.ID
		case mediasoupproto.ExtensionRTPStreamID:
			p.ridID = x.ID
		case mediasoupproto.ExtensionAudioLevel, mediasoupproto.ExtensionAbsSendTime:
			// More than these two do not go together in the session descriptions of browsers.
			if to := m.Mapping.HeaderExtensions[x.ID]; to >= 1 && to <= 14 && len(p.extension) < 2 {
				p.extension = append(p.extension, [2]uint8{x.ID, to})
			}
		}
	}
	for _, profile := range []mediasoupproto.Profile{
		"", mediasoupproto.ProfileLow, mediasoupproto.ProfileMedium, mediasoupproto.ProfileHigh,
	} {
		for i := range m.RTPParameters.Encodings {
			if e := &m.RTPParameters.Encodings[i]; strings.TrimPrefix(string(e.Profile), "default") == string(profile) {
				s := &layer{producer: p, profile: profile, rid: e.EncodingID, ssrc: e.SSRC, id: newSecret(16)}
				if e.RTX != nil {
					s.rtxSSRC = e.RTX.SSRC
				}
				p.streams = append(p.streams, s)
			}
		}
	}
	if len(p.streams) == 0 {
		p.streams = []*layer{{producer: p, id: newSecret(16)}}
	}
	if p.kind == mediasoupproto.Audio {
		for _, s := range p.streams {
			s.cache.size = cacheAudio
		}
	}
	return p
}

func (p *producer) addCodec(c *mediasoupproto.CodecParameters, m *mediasoupproto.RTPMapping) {
	if c.PayloadType == nil || *c.PayloadType > 127 {
		return
	}
	to, ok := m.PayloadTypes[*c.PayloadType]
	if !ok || to > 127 {
		return
	}
	pl := payload{known: true, room: to, clock: c.ClockRate, codec: codecOf(c.Name, c.MimeType)}
	if strings.EqualFold(c.Name, "rtx") || strings.HasSuffix(strings.ToLower(c.MimeType), "/rtx") {
		pl.rtx = true
		if pl.apt, ok = c.APT(); !ok || pl.apt > 127 {
			return
		}
	}
	if pl.clock == 0 {
		pl.clock = 90000
	}
	p.payloads[*c.PayloadType] = pl
	p.mimeTypes[*c.PayloadType] = c.MimeType
	pli := false
	for _, f := range c.RTCPFeedback {
		switch {
		case f.Type == "nack" && f.Parameter == "":
			p.nack = true
		case f.Type == "nack" && f.Parameter == "pli":
			pli = true
		case f.Type == "ccm" && f.Parameter == "fir":
			p.fir = true
		}
	}
	if pli {
		p.fir = false // one is enough
	}
}

// recognise says what stream an SSRC is that the parameters do not tell: by the extensions
// that name it, or by the payload type if it leaves no choice.
func (t *transport) recognise(b []byte, ssrc uint32) inbound {
	if t.learned >= maxLearned || len(t.producers) == 0 {
		return inbound{}
	}
	if _, err := t.header.Unmarshal(b); err != nil {
		return inbound{}
	}
	var found inbound
	for _, p := range t.producers {
		pl := p.payloads[t.header.PayloadType&127]
		if !pl.known || !p.named(&t.header) {
			continue
		}
		s := p.unknownStream(&t.header, pl.rtx)
		if s == nil {
			continue
		}
		if found.stream != nil {
			return inbound{}
		}
		found = inbound{stream: s, rtx: pl.rtx}
	}
	return found
}

// named reports whether a packet does not name another section than the producer's.
func (p *producer) named(h *rtp.Header) bool {
	if p.midID == 0 || p.mid == "" {
		return true
	}
	mid := h.GetExtension(p.midID)
	return len(mid) == 0 || string(mid) == p.mid
}

// unknownStream returns the stream that a packet may be of, if there is just one.
func (p *producer) unknownStream(h *rtp.Header, rtx bool) *layer {
	var rid []byte
	if p.ridID != 0 {
		rid = h.GetExtension(p.ridID)
	}
	var found *layer
	for _, s := range p.streams {
		switch {
		case rtx && s.rtxSSRC != 0 || !rtx && s.ssrc != 0:
			continue
		case len(rid) > 0 && s.rid != "" && string(rid) == s.rid:
			return s
		case len(p.streams) > 1:
			continue // which one is not to be guessed
		}
		found = s
	}
	return found
}

// learn keeps what an SSRC is, once a packet has proved to be the client's.
func (t *transport) learn(ssrc uint32, in inbound) {
	t.learned++
	in.learned = true
	t.streams[ssrc] = in
	if in.rtx {
		in.stream.rtxSSRC = ssrc
	} else {
		in.stream.ssrc = ssrc
	}
}

// take forwards a packet, which is decrypted.
func (p *producer) take(w *scratch, in inbound, b []byte, h *rtp.Header, now time.Time) {
	s := in.stream
	n := 12 + 4*int(b[0]&15)
	if h.Extension {
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	body := b[n:]
	padding := 0
	if h.Padding {
		if len(body) > 0 {
			padding = int(body[len(body)-1])
		}
		if padding == 0 || padding > len(body) {
			return
		}
	}
	pl := p.payloads[h.PayloadType&127]
	if !pl.known || pl.rtx != in.rtx {
		return
	}
	if in.rtx {
		// A repeated packet has its own number before the body. Without one it only measures
		// the path.
		if len(body) <= 2+padding {
			return
		}
		h.SequenceNumber = binary.BigEndian.Uint16(body)
		h.PayloadType = pl.apt
		body = body[2:]
		if pl = p.payloads[pl.apt]; !pl.known || pl.rtx || s.receiver.far(h.SequenceNumber) {
			return
		}
	}
	seq, what := s.receiver.add(h.SequenceNumber, p.nack && !p.paused)
	if what == arrivalDuplicate {
		return
	}
	s.count(in.rtx, len(b), h, pl, now)
	if what == arrivalRestart {
		s.restart()
	}
	if p.paused {
		return
	}
	key := p.kind == mediasoupproto.Audio || pl.codec.beginsKeyFrame(body)
	plain := w.build(p, pl, h, body)
	if plain == nil {
		return
	}
	s.answered = s.answered || key
	if p.nack {
		s.cache.put(seq, plain)
	}
	for _, c := range p.consumers {
		c.forward(w, s, seq, plain, pl, key, now)
	}
	if what == arrivalNew && len(s.receiver.missing) > 0 {
		s.requestMissing(w, now)
	}
}

func (s *layer) count(rtx bool, n int, h *rtp.Header, pl payload, now time.Time) {
	if s.seen.IsZero() || now.After(s.seen) {
		s.seen = now
	}
	s.payload = h.PayloadType
	s.traffic.add(n)
	if rtx {
		s.receiver.repaired++
		return
	}
	s.receiver.packets++
	s.receiver.measure(h.Timestamp, now.Sub(s.producer.room.engine.began), pl.clock)
}

// restart makes those who receive the stream begin again, since its count did.
func (s *layer) restart() {
	s.reportNTP = 0 // its clock may be another one as well
	for _, c := range s.producer.consumers {
		if c.current == s {
			c.stop()
		}
	}
}

// build writes a packet as all consumers get it but for the numbers, or returns nil for one
// that is too long to be sent again.
func (w *scratch) build(p *producer, pl payload, h *rtp.Header, body []byte) []byte {
	b := w.plain[:12]
	b[0], b[1] = 0x80, pl.room
	if h.Padding {
		b[0] |= 0x20
	}
	if h.Marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], h.SequenceNumber)
	binary.BigEndian.PutUint32(b[4:], h.Timestamp)
	binary.BigEndian.PutUint32(b[8:], 0)
	if h.Extension {
		b = appendExtensions(b, p, h)
	}
	if len(b)+len(body) > len(w.plain)-16 {
		return nil
	}
	return append(b, body...)
}

func appendExtensions(b []byte, p *producer, h *rtp.Header) []byte {
	begin := len(b)
	for _, x := range p.extension {
		value := h.GetExtension(x[0])
		if len(value) == 0 || len(value) > 16 {
			continue
		}
		if len(b) == begin {
			b = append(b, 0xbe, 0xde, 0, 0)
		}
		b = append(b, x[1]<<4|uint8(len(value)-1))
		b = append(b, value...)
	}
	if len(b) == begin {
		return b
	}
	for (len(b)-begin)%4 != 0 {
		b = append(b, 0)
	}
	b[0] |= 0x10
	binary.BigEndian.PutUint16(b[begin+2:], uint16((len(b)-begin)/4-1))
	return b
}

// A consumer gets the media of a producer. The room's lock guards it.
type consumer struct {
	id        mediasoupproto.MediaID
	room      *room
	transport *transport
	producer  *producer
	kind      mediasoupproto.Kind
	mimeType  string
	paused    bool
	preferred mediasoupproto.Profile
	ssrc      uint32
	rtxSSRC   uint32
	takes     [128]bool  // payload types of the room
	rtx       [128]uint8 // payload types in which others are repeated; 0 is none
	cname     string
	statsID   string

	current   *layer // what is forwarded; nil: nothing
	target    *layer // what shall be, from its next key frame on
	rebase    rebase
	start     uint16
	rtxSeq    uint16
	effective mediasoupproto.Profile

	traffic   traffic
	resent    int64
	budget    int // of packets that may be sent again
	plis      int64
	firs      int64
	nacks     int64
	lost      int64
	fraction  uint8
	roundTrip time.Duration
	srMiddle  uint32 // of the last report sent
	srAt      time.Time
	srSent    bool
}

func newConsumer(r *room, t *transport, id mediasoupproto.MediaID, m *mediasoupproto.MediaConsumer) *consumer {
	c := &consumer{
		id: id, room: r, transport: t, kind: m.Kind, paused: m.Paused, preferred: m.PreferredProfile,
		start: uint16(randomUint32() & 0x7fff), rtxSeq: uint16(randomUint32() & 0x7fff), budget: maxResent,
		statsID: newSecret(16),
	}
	for i := range m.RTPParameters.Codecs {
		k := &m.RTPParameters.Codecs[i]
		if k.PayloadType == nil || *k.PayloadType > 127 {
			continue
		}
		if apt, ok := k.APT(); ok && strings.HasSuffix(strings.ToLower(k.Name+k.MimeType), "rtx") {
			c.rtx[apt&127] = *k.PayloadType
			continue
		}
		c.takes[*k.PayloadType] = true
		if c.mimeType == "" {
			c.mimeType = k.MimeType
		}
	}
	if len(m.RTPParameters.Encodings) > 0 {
		e := &m.RTPParameters.Encodings[0]
		c.ssrc = e.SSRC
		if e.RTX != nil {
			c.rtxSSRC = e.RTX.SSRC
		}
	}
	if k := m.RTPParameters.RTCP; k != nil && k.CNAME != nil && len(*k.CNAME) < 256 {
		c.cname = *k.CNAME
	}
	return c
}

// ready reports whether the consumer can receive.
func (c *consumer) ready() bool {
	return !c.paused && c.producer != nil && !c.producer.paused && c.transport.out != nil
}

// stop ends the piece: what comes next begins with a key frame.
func (c *consumer) stop() {
	c.current = nil
	c.rebase.stop()
}

// forward sends a packet to the consumer, if it is of the stream that it gets.
func (c *consumer) forward(
	w *scratch, s *layer, seq int64, plain []byte, pl payload, key bool, now time.Time,
) {
	if !c.ready() || !c.takes[pl.room] {
		return
	}
	stamp := binary.BigEndian.Uint32(plain[4:])
	if c.current != s {
		if c.target != s || !key {
			return
		}
		c.current = s
		c.rebase.begin(seq, stamp, c.start, now, pl.clock)
		c.tellProfile()
	}
	out, outStamp, ok := c.rebase.next(seq, stamp, now)
	if !ok {
		return
	}
	// The packet is the others' as well: its numbers are put back for the next one.
	binary.BigEndian.PutUint16(plain[2:], out)
	binary.BigEndian.PutUint32(plain[4:], outStamp)
	binary.BigEndian.PutUint32(plain[8:], c.ssrc)
	if c.transport.sendRTP(w, plain) {
		c.traffic.add(len(plain))
	}
	binary.BigEndian.PutUint32(plain[4:], stamp)
}

// tellProfile says which stream the consumer gets, when that has changed.
func (c *consumer) tellProfile() {
	profile := mediasoupproto.ProfileDefault
	if len(c.producer.streams) > 1 && c.current.profile != "" {
		profile = c.current.profile
	}
	if c.effective != profile {
		c.effective = profile
		c.room.events.EffectiveProfile(c.id, profile)
	}
}

// choose finds the stream that the consumer shall get.
func (c *consumer) choose(now time.Time) {
	if c.producer == nil {
		return
	}
	streams := c.producer.streams
	if len(streams) == 1 {
		c.target = streams[0]
		return
	}
	var best *layer
	for _, s := range streams { // the lowest first
		if s.seen.IsZero() || now.Sub(s.seen) > activeTime {
			continue
		}
		if best == nil || rank(s.profile) <= rank(c.preferred) {
			best = s
		}
	}
	if best != nil {
		c.target = best
	} else if c.target == nil {
		c.target = streams[len(streams)-1]
	}
}

func rank(p mediasoupproto.Profile) int {
	switch p {
	case mediasoupproto.ProfileLow:
		return 1
	case mediasoupproto.ProfileMedium:
		return 2
	case mediasoupproto.ProfileHigh:
		return 3
	}
	return 4
}

// waits reports whether the consumer needs a key frame to go on.
func (c *consumer) waits() bool {
	return c.ready() && c.kind == mediasoupproto.Video && c.target != nil && c.current != c.target
}
