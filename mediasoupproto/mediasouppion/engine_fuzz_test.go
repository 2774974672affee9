package mediasouppion

import (
	"encoding/binary"
	"testing"

	"github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
)

// FuzzPackets takes whatever a client of valid keys may send: a length and a packet, as often
// as there are bytes. What is sent on must be readable.
func FuzzPackets(f *testing.F) {
	seed := func(packets ...[]byte) {
		var b []byte
		for _, p := range packets {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(p))), p...)
		}
		f.Add(b)
	}
	s := videoSource(2)
	var media [][]byte
	for range 4 {
		p := s.next()
		p.Payload = p.Payload[:8]
		b, err := p.Marshal()
		require.NoError(f, err)
		media = append(media, b)
		b, err = repeated(p, uint16(s.n)).Marshal()
		require.NoError(f, err)
		media = append(media, b)
	}
	seed(media...)
	seed(media[0], media[7], media[4])
	report := rtcp.ReceptionReport{SSRC: videoOut, FractionLost: 3}
	reports, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.SenderReport{SSRC: videoSSRC, NTPTime: 1 << 40, Reports: []rtcp.ReceptionReport{report}},
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{report}},
		&rtcp.TransportLayerNack{MediaSSRC: videoOut, Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 0xffff}}},
		&rtcp.PictureLossIndication{MediaSSRC: videoOut},
		&rtcp.FullIntraRequest{MediaSSRC: videoOut, FIR: []rtcp.FIREntry{{SSRC: videoOut}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{videoOut}},
	})
	require.NoError(f, err)
	seed(media[0], reports, media[2])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<14 {
			return
		}
		c, alice, bob, _ := video(t, profileGCM)
		c.consume(aliceID, 21, videoConsumer(alice.transport.id, mediaID(aliceID, 11)))
		for len(b) > 2 {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2, 1500)
			packet := b[2 : 2+n]
			b = b[2+n:]
			c.pass(tickInterval)
			if len(packet) < 12 || packet[0]>>6 != 2 {
				continue
			}
			var err error
			if packet[1] >= 192 && packet[1] < 224 {
				packet, err = alice.out.EncryptRTCP(nil, packet, nil)
			} else {
				packet, err = alice.out.EncryptRTP(nil, packet, nil)
			}
			if err == nil {
				alice.transport.packet(c.w, packet, c.now)
			}
		}
		alice.got()
		bob.got()
		for _, id := range []uint32{11, 21} {
			c.room.ProducerStats(mediaID(aliceID, id))
			c.room.ConsumerStats(mediaID(aliceID, id))
		}
	})
}
