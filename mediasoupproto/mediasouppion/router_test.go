package mediasouppion

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

func TestForwardingWorksWithBothProtections(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]srtp.ProtectionProfile{"GCM": profileGCM, "CM": profileCM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, alice, bob, _ := video(t, profile)
			s := videoSource(10)
			for range 200 { // the sequence numbers and timestamps of the source begin again meanwhile
				c.now = c.now.Add(10 * time.Millisecond)
				alice.send(s.next())
			}
			media, _ := bob.got()
			require.Len(t, media, 200)
			for i, p := range media {
				require.Equal(t, s.sent[i].Payload, p.Payload)
				require.Equal(t, media[0].SequenceNumber+uint16(i), p.SequenceNumber)
				require.Equal(t, media[0].Timestamp+900*uint32(i), p.Timestamp)
				require.EqualValues(t, videoOut, p.SSRC)
			}
		})
	}
}

func TestEveryConsumerHasNumbersOfItsOwn(t *testing.T) {
	t.Parallel()
	c, alice, bob, consumer := video(t, profileGCM)
	carol, dave := c.join(daveID-1, profileCM), c.join(daveID, profileGCM)
	s := videoSource(5)
	for range 3 {
		alice.send(s.next())
	}
	m := videoConsumer(carol.transport.id, mediaID(aliceID, 11))
	m.RTPParameters.Encodings[0].SSRC = 77
	c.consume(daveID-1, 21, m)
	m = videoConsumer(dave.transport.id, mediaID(aliceID, 11))
	*m.RTPParameters.Codecs[0].PayloadType = 35 // not what is sent
	c.consume(daveID, 21, m)
	for range 7 {
		alice.send(s.next())
	}
	first, _ := bob.got()
	none, _ := dave.got()
	require.Len(t, first, 10)
	require.Empty(t, none)
	c.room.PauseConsumer(consumer, true)
	c.now = c.now.Add(time.Minute)
	c.room.PauseConsumer(consumer, false)
	for range 10 {
		alice.send(s.next())
	}
	second, _ := carol.got()
	require.Len(t, second, 15)
	for i, p := range second {
		require.EqualValues(t, 77, p.SSRC)
		require.Equal(t, second[0].SequenceNumber+uint16(i), p.SequenceNumber)
		require.Equal(t, second[0].Timestamp+900*uint32(i), p.Timestamp)
	}
	for i, p := range first {
		require.Equal(t, first[0].Timestamp+900*uint32(i), p.Timestamp)
	}
}

func TestASourceThatBeginsAgainGoesOnForTheConsumer(t *testing.T) {
	t.Parallel()
	c, alice, bob, _ := video(t, profileGCM)
	s := videoSource(1)
	alice.send(s.next())
	alice.sendRTCP(&rtcp.SenderReport{SSRC: videoSSRC, NTPTime: 77 << 32})
	c.pass(reportInterval)
	before, got := bob.got()
	require.Len(t, control[*rtcp.SenderReport](got), 1)
	s.n += 20_000
	for range 3 { // the first one might be an error
		alice.send(s.next())
	}
	c.pass(reportInterval)
	after, got := bob.got()
	require.Len(t, after, 2)
	require.Equal(t, before[0].SequenceNumber+1, after[0].SequenceNumber)
	require.InDelta(t, 90000, after[0].Timestamp-before[0].Timestamp, 90)
	require.Empty(t, control[*rtcp.SenderReport](got), "its clock is not known any more")
}

func TestALostPacketComesAgainInTheStreamForThat(t *testing.T) {
	t.Parallel()
	c, alice, bob, consumer := video(t, profileGCM)
	s := videoSource(10)
	for range 100 {
		alice.send(s.next())
	}
	sent, _ := bob.got()
	nack := &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: videoOut, Nacks: []rtcp.NackPair{
		{PacketID: sent[20].SequenceNumber, LostPackets: 1 | 1<<15},
	}}
	bob.sendRTCP(nack)
	again, _ := bob.got()
	require.Len(t, again, 3)
	for i, n := range []int{20, 21, 36} {
		require.EqualValues(t, videoOutRTX, again[i].SSRC)
		require.EqualValues(t, roomRTX, again[i].PayloadType)
		require.Equal(t, again[0].SequenceNumber+uint16(i), again[i].SequenceNumber)
		original := restored(again[i])
		require.Equal(t, sent[n].SequenceNumber, original.SequenceNumber)
		require.Equal(t, sent[n].Timestamp, original.Timestamp)
		require.Equal(t, sent[n].Payload, original.Payload)
		require.Equal(t, sent[n].GetExtension(roomTime), original.GetExtension(roomTime))
	}

	// What was never sent is not made up, before the first packet or after the last one.
	nack.Nacks = []rtcp.NackPair{{PacketID: sent[0].SequenceNumber - 2}, {PacketID: sent[99].SequenceNumber + 1}}
	bob.sendRTCP(nack)
	again, _ = bob.got()
	require.Empty(t, again)

	// Who asks without end gets so much a second.
	nack.Nacks = []rtcp.NackPair{{PacketID: sent[20].SequenceNumber, LostPackets: 0xffff}}
	for range 100 {
		bob.sendRTCP(nack)
	}
	again, _ = bob.got()
	require.Len(t, again, maxResent-3)
	c.pass(reportInterval)
	bob.sendRTCP(nack)
	again, _ = bob.got()
	require.Len(t, again, 17)
	require.EqualValues(t, 103, c.room.consumers[consumer].nacks)
}

func TestALostPacketComesAgainAsItWasWithoutAStreamForThat(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	alice, bob := c.join(aliceID, profileGCM), c.join(bobID, profileGCM)
	m := videoConsumer(bob.transport.id, c.produce(aliceID, 11, videoProducer(alice.transport.id)))
	m.RTPParameters.Encodings[0].RTX = nil
	c.consume(bobID, 21, m)
	s := videoSource(10)
	alice.send(s.next())
	alice.send(s.next())
	first := append([][]byte(nil), bob.sink.sent...)
	sent, _ := bob.got()
	bob.sendRTCP(&rtcp.TransportLayerNack{MediaSSRC: videoOut, Nacks: []rtcp.NackPair{{PacketID: sent[0].SequenceNumber}}})
	require.Len(t, bob.sink.sent, 1)
	require.Equal(t, first[0], bob.sink.sent[0], "not a byte else may be encrypted with the same number")
}

func TestWhatAProducerLosesIsAskedForAgain(t *testing.T) {
	t.Parallel()
	c, alice, bob, _ := video(t, profileCM)
	s := videoSource(1000)
	for range 10 {
		alice.send(s.next())
	}
	bob.got()
	lost := []*rtp.Packet{s.next(), s.next()}
	alice.send(s.next())
	_, asked := alice.got()
	nacks := control[*rtcp.TransportLayerNack](asked)
	require.Len(t, nacks, 1)
	require.EqualValues(t, videoSSRC, nacks[0].MediaSSRC)
	require.Equal(t, []uint16{lost[0].SequenceNumber, lost[1].SequenceNumber}, nacks[0].Nacks[0].PacketList())

	// One comes as RTX, the other one never.
	alice.send(repeated(lost[0], 7))
	media, _ := bob.got()
	require.Len(t, media, 2)
	require.Equal(t, media[0].SequenceNumber-2, media[1].SequenceNumber, "it has its place in the order")
	require.Equal(t, lost[0].Payload, media[1].Payload)
	old := *s.sent[0]
	for i := range uint16(2) {
		old.SequenceNumber = s.sent[0].SequenceNumber - 10_000 + i
		alice.send(repeated(&old, 18+i)) // of another count
	}
	alice.send(repeated(lost[0], 8))
	alice.send(lost[0])
	media, _ = bob.got()
	require.Empty(t, media, "once is enough")

	times := 1
	for range 30 {
		c.pass(retryAfter)
		_, asked = alice.got()
		for _, n := range control[*rtcp.TransportLayerNack](asked) {
			require.Equal(t, []uint16{lost[1].SequenceNumber}, n.Nacks[0].PacketList())
			times++
		}
	}
	require.Equal(t, maxRetries, times)
	stats, err := c.room.ProducerStats(mediaID(aliceID, 11))
	require.NoError(t, err)
	require.Contains(t, string(stats[0]), `"packetsRepaired":1,`)
	require.Contains(t, string(stats[0]), `"packetsLost":2,`)
}

func TestPacketsThatOnlyMeasureAreNotRepeated(t *testing.T) {
	t.Parallel()
	_, alice, bob, consumer := video(t, profileCM)
	s := videoSource(10)
	alice.send(s.next())
	probe := repeated(s.next(), 1)
	probe.Payload, probe.Padding, probe.PaddingSize = nil, true, 200
	alice.send(probe)
	probe = repeated(s.next(), 2)
	probe.Payload, probe.Padding, probe.PaddingSize = probe.Payload[:2], true, 200
	alice.send(probe)
	media, _ := bob.got()
	require.Len(t, media, 1)
	padded := s.next()
	padded.Padding, padded.PaddingSize = true, 7
	alice.send(padded)
	media, _ = bob.got()
	require.Len(t, media, 1)
	require.Equal(t, padded.Payload, media[0].Payload)
	require.EqualValues(t, 7, media[0].PaddingSize)
	require.EqualValues(t, 2, bob.core.room.consumers[consumer].traffic.packets)
}

func TestPacketsOfImpossiblePaddingAreDropped(t *testing.T) {
	t.Parallel()
	_, alice, bob, _ := video(t, profileCM)
	s := videoSource(1)
	for _, last := range []byte{0, 100} {
		p := s.next()
		p.Payload = []byte{0x10, 0, 0, last}
		b, err := p.Marshal()
		require.NoError(t, err)
		b[0] |= 0x20
		b, err = alice.out.EncryptRTP(nil, b, nil)
		require.NoError(t, err)
		alice.transport.packet(alice.core.w, b, alice.core.now)
	}
	media, _ := bob.got()
	require.Empty(t, media)
}

func TestAKeyFrameIsAskedForInTheWayThatTheProducerKnows(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	alice, bob := c.join(aliceID, profileGCM), c.join(bobID, profileGCM)
	m := videoProducer(alice.transport.id)
	m.RTPParameters.Codecs[0].RTCPFeedback = []mediasoupproto.RTCPFeedback{{Type: "ccm", Parameter: "fir"}}
	c.consume(bobID, 21, videoConsumer(bob.transport.id, c.produce(aliceID, 11, m)))
	c.pass(keyFrameTime)
	_, asked := alice.got()
	firs := control[*rtcp.FullIntraRequest](asked)
	require.Len(t, firs, 2)
	require.Len(t, asked, 2)
	for i, f := range firs {
		require.Equal(t, []rtcp.FIREntry{{SSRC: videoSSRC, SequenceNumber: uint8(i + 1)}}, f.FIR)
	}
}

func TestAKeyFrameIsNotAskedForTooOften(t *testing.T) {
	t.Parallel()
	c, alice, bob, consumer := video(t, profileCM)
	s := videoSource(1 << 20)
	s.n = 1
	alice.send(s.next())
	plis := func() int {
		_, got := alice.got()
		return len(control[*rtcp.PictureLossIndication](got))
	}
	for range 20 {
		c.pass(tickInterval)
	}
	require.Equal(t, 2, plis(), "in a second without a key frame")
	s.n = 0
	key := s.next()
	key.SequenceNumber++ // after the first one
	key.SequenceNumber++
	alice.send(key)
	for range 20 {
		c.pass(tickInterval)
	}
	require.Zero(t, plis(), "after the key frame")

	pli := &rtcp.PictureLossIndication{MediaSSRC: videoOut}
	for range 10 {
		bob.sendRTCP(pli, &rtcp.FullIntraRequest{MediaSSRC: videoOut, FIR: []rtcp.FIREntry{{SSRC: videoOut}}})
		c.room.RequestKeyFrame(consumer)
	}
	require.Equal(t, 1, plis())
	bob.sendRTCP(pli)
	s.n = 0
	key = s.next()
	key.SequenceNumber += 3
	alice.send(key)
	require.Zero(t, plis(), "what is on its way is for all")
	bob.sendRTCP(pli)
	require.Zero(t, plis(), "too soon")
	c.pass(keyFrameTime)
	require.Equal(t, 1, plis(), "but not forgotten")
}

func TestAPauseIsSeamlessForTheConsumer(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]func(*room, bool){
		"consumer": func(r *room, paused bool) { r.PauseConsumer(mediaID(bobID, 21), paused) },
		"producer": func(r *room, paused bool) { r.PauseProducer(mediaID(aliceID, 11), paused) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, alice, bob, _ := video(t, profileGCM)
			s := videoSource(10)
			send := func(n int) []*rtp.Packet {
				for range n {
					c.now = c.now.Add(10 * time.Millisecond)
					alice.send(s.next())
				}
				media, _ := bob.got()
				return media
			}
			before := send(15)
			require.Len(t, before, 15)
			pause(c.room, true)
			require.Empty(t, send(70_000), "more than the numbers that there are")
			c.pass(reportInterval)
			_, asked := alice.got()
			require.Empty(t, control[*rtcp.PictureLossIndication](asked), "nobody needs a key frame")
			require.Empty(t, control[*rtcp.TransportLayerNack](asked))
			pause(c.room, false)
			_, asked = alice.got()
			require.Len(t, control[*rtcp.PictureLossIndication](asked), 1)
			after := send(30)
			require.Len(t, after, 25, "from the next key frame on")
			last, first := before[14], after[0]
			require.Equal(t, last.SequenceNumber+1, first.SequenceNumber)
			require.InDelta(t, (70_006*10+1000)*90, first.Timestamp-last.Timestamp, 90)
			bob.sendRTCP(&rtcp.TransportLayerNack{
				MediaSSRC: videoOut, Nacks: []rtcp.NackPair{{PacketID: last.SequenceNumber, LostPackets: 1}},
			})
			again, _ := bob.got()
			require.Len(t, again, 1, "only what is of the same piece")
			require.Equal(t, first.Payload, restored(again[0]).Payload)
		})
	}
}

func TestAProducerIsToldWhatArrives(t *testing.T) {
	t.Parallel()
	c, alice, _, _ := video(t, profileCM)
	c.room.engine.maxIncoming = 500_000
	s := videoSource(10)
	for i := range 200 {
		p := s.next()
		if i%4 != 1 {
			alice.send(p)
		}
	}
	alice.sendRTCP(&rtcp.SenderReport{SSRC: videoSSRC, NTPTime: 0x0001_0002_0003_0004, RTPTime: 5})
	alice.got()
	c.pass(reportInterval)
	_, got := alice.got()
	reports := control[*rtcp.ReceiverReport](got)
	require.Len(t, reports, 1)
	require.Len(t, reports[0].Reports, 1)
	r := reports[0].Reports[0]
	require.EqualValues(t, videoSSRC, r.SSRC)
	require.EqualValues(t, 50, r.TotalLost)
	require.EqualValues(t, 64, r.FractionLost)
	require.EqualValues(t, 65699-65536, r.LastSequenceNumber&0xffff)
	require.EqualValues(t, 0x0002_0003, r.LastSenderReport)
	require.EqualValues(t, 65536, r.Delay)
	remb := control[*rtcp.ReceiverEstimatedMaximumBitrate](got)
	require.Len(t, remb, 1)
	require.InDelta(t, 500_000, remb[0].Bitrate, 5000)
	require.Equal(t, []uint32{videoSSRC}, remb[0].SSRCs)
}

func TestAConsumerIsToldTheProducersClock(t *testing.T) {
	t.Parallel()
	c, alice, bob, consumer := video(t, profileCM)
	s := videoSource(10)
	alice.send(s.next())
	media, _ := bob.got()
	alice.sendRTCP(&rtcp.SenderReport{SSRC: videoSSRC, NTPTime: 77 << 32, RTPTime: s.sent[0].Timestamp + 90})
	c.now = c.now.Add(500 * time.Millisecond)
	c.pass(500 * time.Millisecond)
	_, got := bob.got()
	reports := control[*rtcp.SenderReport](got)
	require.Len(t, reports, 1)
	require.EqualValues(t, videoOut, reports[0].SSRC)
	require.EqualValues(t, uint64(78<<32), reports[0].NTPTime)
	require.EqualValues(t, media[0].Timestamp+90+90000, reports[0].RTPTime)
	names := control[*rtcp.SourceDescription](got)
	require.Len(t, names, 1)
	require.Equal(t, "someone", names[0].Chunks[0].Items[0].Text)

	c.now = c.now.Add(80 * time.Millisecond)
	bob.sendRTCP(&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{
		SSRC: videoOut, FractionLost: 9, TotalLost: 11, LastSenderReport: 78 << 16, Delay: 65536 / 50,
	}}})
	k := c.room.consumers[consumer]
	require.InDelta(t, 60, k.roundTrip.Seconds()*1000, 1)
	require.EqualValues(t, 9, k.fraction)
	require.EqualValues(t, 11, k.lost)
}

func simulcast(transport mediasoupproto.MediaID) *mediasoupproto.MediaProducer {
	m := videoProducer(transport)
	m.RTPParameters.Encodings = nil
	for i, p := range []mediasoupproto.Profile{
		mediasoupproto.ProfileHigh, mediasoupproto.ProfileLow, mediasoupproto.ProfileMedium,
	} {
		m.RTPParameters.Encodings = append(m.RTPParameters.Encodings, mediasoupproto.Encoding{
			SSRC: videoSSRC + uint32(i), Profile: p,
		})
	}
	return m
}

func TestTheProfileOfSeveralStreamsIsChosen(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	alice, bob := c.join(aliceID, profileGCM), c.join(bobID, profileGCM)
	p := c.produce(aliceID, 11, simulcast(alice.transport.id))
	consumer := c.consume(bobID, 21, videoConsumer(bob.transport.id, p))
	sources := map[mediasoupproto.Profile]*source{}
	for i, p := range []mediasoupproto.Profile{"high", "low", "medium"} {
		sources[p] = videoSource(10)
		sources[p].ssrc += uint32(i)
		sources[p].n = 100 * i
	}
	var all []*rtp.Packet
	run := func(profiles ...mediasoupproto.Profile) {
		for range 50 {
			for _, p := range profiles {
				alice.send(sources[p].next())
			}
			c.pass(100 * time.Millisecond)
			media, _ := bob.got()
			all = append(all, media...)
		}
	}
	told := func() (profiles []mediasoupproto.Profile) {
		for len(c.events.profiles) > 0 {
			profiles = append(profiles, (<-c.events.profiles).profile)
		}
		return profiles
	}
	last := func() mediasoupproto.Profile { return c.room.consumers[consumer].current.profile }

	run("low")
	require.Equal(t, mediasoupproto.ProfileLow, last(), "the only one")
	run("low", "medium", "high")
	require.Equal(t, mediasoupproto.ProfileHigh, last(), "the best one by default")
	c.room.SetPreferredProfile(consumer, mediasoupproto.ProfileMedium)
	run("low", "medium", "high")
	require.Equal(t, mediasoupproto.ProfileMedium, last())
	run("low", "high")
	require.Equal(t, mediasoupproto.ProfileLow, last(), "the next lower one")
	run("high")
	require.Equal(t, mediasoupproto.ProfileHigh, last(), "better than nothing")
	require.Equal(t, []mediasoupproto.Profile{"low", "high", "medium", "low", "high"}, told())

	for i, p := range all[1:] {
		require.Equal(t, all[i].SequenceNumber+1, p.SequenceNumber)
		require.Positive(t, int32(p.Timestamp-all[i].Timestamp))
		require.EqualValues(t, videoOut, p.SSRC)
	}
}

func TestStreamsWithoutSSRCAreRecognised(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	alice, bob := c.join(aliceID, profileGCM), c.join(bobID, profileGCM)
	first, second := videoProducer(alice.transport.id), videoProducer(alice.transport.id)
	first.RTPParameters.Encodings = []mediasoupproto.Encoding{{}}
	second.RTPParameters.Encodings = []mediasoupproto.Encoding{{}}
	second.RTPParameters.MuxID = "2"
	s, other, same := videoSource(10), videoSource(10), videoSource(10)
	other.ssrc, same.ssrc = 4444, 5555

	p := c.produce(aliceID, 11, first)
	c.consume(bobID, 21, videoConsumer(bob.transport.id, p))
	named := s.next() // of mid 1
	alice.send(named)
	require.EqualValues(t, videoSSRC, c.room.producers[p].streams[0].ssrc)
	alice.send(same.next())
	require.Len(t, alice.transport.streams, 1, "a second stream of the same producer")

	q := c.produce(aliceID, 12, second)
	packet := other.next()
	packet.SetExtension(clientMD, []byte("2"))
	alice.send(packet)
	require.EqualValues(t, 4444, c.room.producers[q].streams[0].ssrc)
	bob.got()
	third := same.next() // of no mid: it may be either's
	third.Extension, third.Extensions = false, nil
	third.PayloadType = cRTX
	alice.send(third)
	require.Len(t, alice.transport.streams, 2)

	alice.send(repeated(s.next(), 9))
	media, _ := bob.got()
	require.Len(t, media, 1, "RTX of a producer that does not announce it, by its mid")
	c.room.CloseProducer(p)
	c.room.CloseProducer(q)
	require.Empty(t, alice.transport.streams)
	require.Zero(t, alice.transport.learned)
}

func TestRIDsTellStreamsApart(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	alice := c.join(aliceID, profileGCM)
	m := simulcast(alice.transport.id)
	for i := range m.RTPParameters.Encodings {
		e := &m.RTPParameters.Encodings[i]
		e.SSRC, e.EncodingID = 0, string(e.Profile)+"1"
	}
	m.RTPParameters.HeaderExtensions = append(m.RTPParameters.HeaderExtensions,
		mediasoupproto.HeaderExtension{URI: mediasoupproto.ExtensionRTPStreamID, ID: 6})
	p := c.room.producers[c.produce(aliceID, 11, m)]
	s := videoSource(10)
	alice.send(s.next())
	require.Empty(t, alice.transport.streams, "without a rid it is not to be told")
	packet := s.next()
	packet.SetExtension(6, []byte("medium1"))
	alice.send(packet)
	require.Equal(t, mediasoupproto.ProfileMedium, p.streams[1].profile)
	require.EqualValues(t, videoSSRC, p.streams[1].ssrc)
}
