package mediasouppion

import (
	"bytes"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

func TestUnknownSSRCsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	c, alice, bob, _ := video(t, profileGCM)
	for i := range uint32(1000) {
		s := videoSource(10)
		s.ssrc = 100_000 + i
		alice.send(s.next())
		alice.sendRTCP(&rtcp.ReceiverReport{SSRC: i})
	}
	media, _ := bob.got()
	require.Empty(t, media)
	require.Len(t, alice.transport.streams, 2)
	require.LessOrEqual(t, len(alice.transport.rtcpFrom), maxLearned)
	_, known := alice.transport.in.ROC(100_000)
	require.False(t, known)
	require.NotNil(t, c)
}

func TestAnSSRCIsUsedOnceOverATransport(t *testing.T) {
	t.Parallel()
	c, alice, bob, _ := video(t, profileGCM)
	require.ErrorIs(t, c.room.CreateProducer(mediaID(aliceID, 12), videoProducer(alice.transport.id)), errSSRC)
	require.Len(t, alice.transport.producers, 1)
	c.produce(bobID, 12, videoProducer(bob.transport.id)) // over another one it is another one

	m := audioProducer(alice.transport.id)
	m.RTPParameters.Encodings = append(m.RTPParameters.Encodings, m.RTPParameters.Encodings[0])
	require.ErrorIs(t, c.room.CreateProducer(mediaID(aliceID, 13), m), errSSRC)
	m.RTPParameters.Encodings = m.RTPParameters.Encodings[:1]
	m.RTPParameters.Encodings[0].RTX = &mediasoupproto.RTX{SSRC: audioSSRC}
	p := c.produce(aliceID, 13, m)
	require.False(t, alice.transport.streams[audioSSRC].rtx, "rtx of the same SSRC is none")
	require.Zero(t, c.room.producers[p].streams[0].rtxSSRC)

	_, err := c.room.EnableConsumer(mediaID(bobID, 22), videoConsumer(bob.transport.id, mediaID(aliceID, 11)))
	require.ErrorIs(t, err, errSSRC)
	again := videoConsumer(bob.transport.id, mediaID(aliceID, 11))
	again.RTPParameters.Encodings[0].SSRC = 0
	_, err = c.room.EnableConsumer(mediaID(bobID, 22), again)
	require.ErrorIs(t, err, errSSRC)
	_, err = c.room.EnableConsumer(mediaID(bobID, 21), videoConsumer(bob.transport.id, mediaID(aliceID, 11)))
	require.ErrorIs(t, err, errUnknown, "the id is in use")
}

func TestExtensionsThatDoNotFitAreLeftOut(t *testing.T) {
	t.Parallel()
	_, alice, bob, _ := video(t, profileGCM)
	s := videoSource(1)
	for size, want := range map[int]int{16: 16, 17: 0, 0: 0} {
		p := s.next()
		p.Extensions, p.Extension, p.ExtensionProfile = nil, true, rtp.ExtensionProfileTwoByte
		require.NoError(t, p.SetExtension(clientTime, bytes.Repeat([]byte{7}, size)))
		require.NoError(t, p.SetExtension(200, []byte{1}))
		alice.send(p)
		media, _ := bob.got()
		require.Len(t, media, 1)
		require.Len(t, media[0].GetExtension(roomTime), want)
		require.Equal(t, want > 0, media[0].Extension)
		require.Equal(t, p.Payload, media[0].Payload)
	}
}
