package mediasouppion

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
)

// Many producers that send a packet each, and then nothing, must not hold a second of video each.
func TestACacheIsAsLargeAsWhatWasSentLately(t *testing.T) {
	t.Parallel()
	c, alice, bob, _ := video(t, profileGCM)
	s := videoSource(10)
	alice.send(s.next())
	cache := &c.room.producers[mediaID(aliceID, 11)].streams[0].cache
	require.Len(t, cache.data, cacheBegins)
	for range 2000 {
		alice.send(s.next())
	}
	require.Len(t, cache.data, cacheBytes)
	sent, _ := bob.got()
	nack := &rtcp.TransportLayerNack{MediaSSRC: videoOut, Nacks: []rtcp.NackPair{
		{PacketID: sent[len(sent)-1].SequenceNumber},
	}}
	again := func() int {
		bob.sendRTCP(nack)
		media, _ := bob.got()
		return len(media)
	}
	c.pass(cacheTime)
	require.Equal(t, 1, again())
	c.pass(tickInterval)
	require.Nil(t, cache.data)
	require.Zero(t, again())

	c.now = c.now.Add(time.Hour) // and then the source goes on
	alice.send(s.next())
	media, _ := bob.got()
	nack.Nacks[0].PacketID = media[0].SequenceNumber
	require.Equal(t, 1, again())
}

// What a cache had keeps its place while it grows.
func TestACacheThatGrowsLosesNothing(t *testing.T) {
	t.Parallel()
	var c packetCache
	packet := make([]byte, 1001)
	for i := range int64(cacheBytes / len(packet)) {
		packet[0], packet[len(packet)-1] = byte(i), byte(i>>8)
		c.put(i, packet)
		for _, n := range []int64{0, i / 2, i} {
			b := c.get(n)
			require.Len(t, b, len(packet), "%d of %d", n, i)
			require.Equal(t, byte(n), b[0])
			require.Equal(t, byte(n>>8), b[len(b)-1])
		}
	}
}
