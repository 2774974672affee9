package mediasouppion

import (
	"bytes"
	"testing"

	"github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
)

// A datagram as long as the buffer leaves more behind its short authentication tag than the
// copy for the consumers has room for.
func TestAPacketTooLongToForwardIsNotSentAgain(t *testing.T) {
	t.Parallel()
	_, alice, bob, _ := video(t, profileCM)
	s := videoSource(10)
	alice.send(s.next())
	first, _ := bob.got()
	require.Len(t, first, 1)
	require.True(t, first[0].Extension)
	for size := maxPacket - 40; size <= maxPacket; size++ {
		long := s.next()
		header, err := long.Header.Marshal()
		require.NoError(t, err)
		const tag = 10
		long.Payload = bytes.Repeat([]byte{0x10}, size-len(header)-tag)
		alice.send(long)
	}
	alice.send(s.next())
	nack := &rtcp.TransportLayerNack{MediaSSRC: videoOut}
	for i := range uint16(50) {
		nack.Nacks = append(nack.Nacks, rtcp.NackPair{PacketID: first[0].SequenceNumber + i})
	}
	require.NotPanics(t, func() { bob.sendRTCP(nack) })
	require.Positive(t, bob.core.room.consumers[mediaID(bobID, 21)].resent)
}

func TestGapAfterGapLeavesTheNewestToAskFor(t *testing.T) {
	t.Parallel()
	var r receiver
	var want []int64
	r.add(1, true)
	for last, i := int64(1), 0; i < 200; i++ {
		step := int64(1 + i*37%900)
		for n := last + 1; n < last+step; n++ {
			want = append(want, n)
		}
		last += step
		r.add(uint16(last), true)
		want = want[max(len(want)-maxMissing, 0):]
		require.Len(t, r.missing, len(want))
	}
	for i, m := range r.missing {
		require.Equal(t, want[i], m.seq)
	}
}
