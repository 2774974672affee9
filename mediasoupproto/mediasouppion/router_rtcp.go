package mediasouppion

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/pion/rtcp"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// maxReports is how many a packet has at most, by its count of five bits.
const maxReports = 31

// feedback takes RTCP, which is decrypted. Each part is read for itself, so that one that
// cannot be read does not hide the others.
func (t *transport) feedback(w *scratch, b []byte, now time.Time) {
	for len(b) >= 8 {
		size := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if b[0]>>6 != 2 || size > len(b) {
			return
		}
		part := b[:size]
		b = b[size:]
		if size < 8 {
			continue
		}
		switch count := part[0] & 0x1f; rtcp.PacketType(part[1]) {
		case rtcp.TypeSenderReport:
			if len(part) >= 28 {
				t.takeSenderReport(part, now)
				t.takeReports(part[28:], count, now)
			}
		case rtcp.TypeReceiverReport:
			t.takeReports(part[8:], count, now)
		case rtcp.TypeTransportSpecificFeedback:
			if count == rtcp.FormatTLN {
				t.takeNACK(w, part, now)
			}
		case rtcp.TypePayloadSpecificFeedback:
			t.takePayloadFeedback(w, part, count, now)
		}
	}
}

// takeSenderReport keeps what a producer's clock says.
func (t *transport) takeSenderReport(part []byte, now time.Time) {
	in, ok := t.streams[binary.BigEndian.Uint32(part[4:])]
	if !ok || in.rtx {
		return
	}
	in.stream.reportNTP = binary.BigEndian.Uint64(part[8:])
	in.stream.reportStamp = binary.BigEndian.Uint32(part[16:])
	in.stream.reportAt = now
}

// takeReports takes what a client says of what it receives.
func (t *transport) takeReports(b []byte, count uint8, now time.Time) {
	for ; count > 0 && len(b) >= 24; count, b = count-1, b[24:] {
		ssrc := binary.BigEndian.Uint32(b)
		c := t.consumers[ssrc]
		if c == nil || ssrc != c.ssrc {
			continue
		}
		c.fraction = b[4]
		c.lost = int64(int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8)
		last, delay := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
		if c.srSent && last == c.srMiddle {
			took := now.Sub(c.srAt) - time.Duration(float64(delay)/65536*float64(time.Second))
			c.roundTrip = max(took, 0)
		}
	}
}

// takePayloadFeedback takes requests for key frames, and estimates.
func (t *transport) takePayloadFeedback(w *scratch, part []byte, format uint8, now time.Time) {
	switch format {
	case rtcp.FormatPLI:
		if len(part) < 12 {
			return
		}
		if c := t.consumers[binary.BigEndian.Uint32(part[8:])]; c != nil {
			c.plis++
			c.requestKeyFrame(w, now)
		}
	case rtcp.FormatFIR:
		for b := part[min(12, len(part)):]; len(b) >= 8; b = b[8:] {
			if c := t.consumers[binary.BigEndian.Uint32(b)]; c != nil {
				c.firs++
				c.requestKeyFrame(w, now)
			}
		}
	case rtcp.FormatREMB:
		var remb rtcp.ReceiverEstimatedMaximumBitrate
		if remb.Unmarshal(part) == nil && remb.Bitrate >= 0 && remb.Bitrate < 1e12 {
			t.remb = int64(remb.Bitrate)
		}
	}
}

// takeNACK sends again what a consumer has lost.
func (t *transport) takeNACK(w *scratch, part []byte, now time.Time) {
	if len(part) < 12 {
		return
	}
	c := t.consumers[binary.BigEndian.Uint32(part[8:])]
	if c == nil || !c.ready() || c.current == nil {
		return
	}
	c.nacks++
	for b := part[12:]; len(b) >= 4; b = b[4:] {
		first, more := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		c.resend(w, first)
		for i := range 16 {
			if more&(1<<i) != 0 {
				c.resend(w, first+uint16(i)+1)
			}
		}
	}
}

// resend repeats a packet: in the stream for that, if the client knows one.
func (c *consumer) resend(w *scratch, seq uint16) {
	source, ok := c.rebase.source(seq)
	if !ok || c.budget <= 0 {
		return
	}
	packet := c.current.cache.get(source)
	if len(packet) < 12 {
		return
	}
	c.budget--
	head := 12
	if packet[0]&0x10 != 0 {
		head += 4 + 4*int(binary.BigEndian.Uint16(packet[14:]))
	}
	b := append(w.again[:0], packet[:head]...)
	stamp := binary.BigEndian.Uint32(b[4:]) + c.rebase.stretch
	binary.BigEndian.PutUint32(b[4:], stamp)
	if pt := c.rtx[b[1]&127]; c.rtxSSRC != 0 && pt != 0 && len(packet)+2 <= len(w.again) {
		b[1] = b[1]&0x80 | pt
		binary.BigEndian.PutUint16(b[2:], c.rtxSeq)
		binary.BigEndian.PutUint32(b[8:], c.rtxSSRC)
		b = binary.BigEndian.AppendUint16(b, seq)
		c.rtxSeq++
	} else {
		// Byte for byte what was sent before: another text must not be encrypted so.
		binary.BigEndian.PutUint16(b[2:], seq)
		binary.BigEndian.PutUint32(b[8:], c.ssrc)
	}
	b = append(b, packet[head:]...)
	if c.transport.sendRTP(w, b) {
		c.resent++
	}
}

// requestKeyFrame asks for one of the stream that the consumer gets, or shall get.
func (c *consumer) requestKeyFrame(w *scratch, now time.Time) {
	if c.kind != mediasoupproto.Video || !c.ready() || c.target == nil {
		return
	}
	c.target.requestKeyFrame(w, now)
}

// requestKeyFrame asks the client for one. Soon after another request that is left to the
// answer to that one, or for later when there was an answer.
func (s *layer) requestKeyFrame(w *scratch, now time.Time) {
	p := s.producer
	if s.ssrc == 0 || p.transport.out == nil {
		return
	}
	if !s.asked.IsZero() && now.Sub(s.asked) < keyFrameTime {
		s.again = s.again || s.answered
		return
	}
	s.asked, s.answered, s.again = now, false, false
	var request rtcp.Packet
	if p.fir {
		s.firs++
		request = &rtcp.FullIntraRequest{
			SenderSSRC: p.transport.ssrc, MediaSSRC: s.ssrc,
			FIR: []rtcp.FIREntry{{SSRC: s.ssrc, SequenceNumber: uint8(s.firs)}},
		}
	} else {
		s.plis++
		request = &rtcp.PictureLossIndication{SenderSSRC: p.transport.ssrc, MediaSSRC: s.ssrc}
	}
	p.transport.write(w, request)
}

// requestMissing asks for what has not come.
func (s *layer) requestMissing(w *scratch, now time.Time) {
	t := s.producer.transport
	if t.out == nil {
		return
	}
	var space [maxMissing]uint16
	seqs, gaveUp := s.receiver.requests(space[:0], now)
	if len(seqs) > 0 {
		s.nacks++
		t.write(w, &rtcp.TransportLayerNack{
			SenderSSRC: t.ssrc, MediaSSRC: s.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
		})
	}
	if gaveUp && s.producer.kind == mediasoupproto.Video {
		for _, c := range s.producer.consumers {
			if c.current == s && c.ready() {
				s.requestKeyFrame(w, now)
				break
			}
		}
	}
}

func (t *transport) write(w *scratch, packets ...rtcp.Packet) {
	if b, err := rtcp.Marshal(packets); err == nil {
		t.sendRTCP(w, b)
	}
}

// tick looks after the room: what has to be asked for again, and reports.
func (r *room) tick(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.producers {
		for _, s := range p.streams {
			if s.cache.data != nil && now.Sub(s.seen) > cacheTime {
				s.cache.free()
			}
			if len(s.receiver.missing) > 0 && !p.paused {
				s.requestMissing(&r.scratch, now)
			}
			if s.again && !p.paused {
				s.requestKeyFrame(&r.scratch, now)
			}
		}
		for _, c := range p.consumers {
			if len(p.streams) > 1 {
				c.choose(now)
			}
			if c.waits() {
				c.requestKeyFrame(&r.scratch, now)
			}
		}
	}
	for _, t := range r.transports {
		t.mute(now)
		if now.Sub(t.lastReport) >= reportInterval {
			t.lastReport = now
			t.report(&r.scratch, now)
		}
	}
}

// report tells a client what arrives of its streams, and how the clocks of those that it
// receives go.
func (t *transport) report(w *scratch, now time.Time) {
	for _, c := range t.consumers {
		c.budget = maxResent
		c.traffic.look(now)
	}
	var reports []rtcp.ReceptionReport
	var limited []uint32
	for _, p := range t.producers {
		for _, s := range p.streams {
			s.traffic.look(now)
			if s.ssrc != 0 && s.receiver.started {
				reports = append(reports, s.reception(now))
				limited = append(limited, s.ssrc)
			}
		}
	}
	if t.out == nil {
		return
	}
	for some := range slices.Chunk(reports, maxReports) {
		t.write(w, &rtcp.ReceiverReport{SSRC: t.ssrc, Reports: some})
	}
	if limit := t.room.engine.maxIncoming; limit > 0 && len(limited) > 0 {
		t.write(w, &rtcp.ReceiverEstimatedMaximumBitrate{
			SenderSSRC: t.ssrc, Bitrate: float32(limit), SSRCs: limited[:min(len(limited), 255)],
		})
	}
	for ssrc, c := range t.consumers {
		if ssrc == c.ssrc {
			c.report(w, now)
		}
	}
}

func (s *layer) reception(now time.Time) rtcp.ReceptionReport {
	s.fraction = s.receiver.report()
	r := rtcp.ReceptionReport{
		SSRC: s.ssrc, FractionLost: s.fraction, TotalLost: uint32(min(max(s.receiver.lost(), 0), 0x7fffff)),
		LastSequenceNumber: uint32(s.receiver.last), Jitter: uint32(s.receiver.jitter),
	}
	if s.reportNTP != 0 {
		r.LastSenderReport = uint32(s.reportNTP >> 16)
		r.Delay = uint32(now.Sub(s.reportAt).Seconds() * 65536)
	}
	return r
}

// report writes the producer's clock as if it were the server's, so that the sounds and
// pictures of one client stay together.
func (c *consumer) report(w *scratch, now time.Time) {
	s := c.current
	if s == nil || s.reportNTP == 0 || !c.ready() || !c.rebase.running {
		return
	}
	passed := now.Sub(s.reportAt)
	clock := c.producer.payloads[s.payload&127].clock
	ntp := s.reportNTP + uint64(passed.Seconds()*(1<<32))
	sr := &rtcp.SenderReport{
		SSRC: c.ssrc, NTPTime: ntp,
		RTPTime:     s.reportStamp + uint32(passed.Seconds()*float64(clock)) + c.rebase.stretch,
		PacketCount: uint32(c.traffic.packets), OctetCount: uint32(c.traffic.bytes),
	}
	c.srMiddle, c.srAt, c.srSent = uint32(ntp>>16), now, true
	packets := []rtcp.Packet{sr}
	if c.cname != "" {
		packets = append(packets, &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
			Source: c.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: c.cname}},
		}}})
	}
	c.transport.write(w, packets...)
}
