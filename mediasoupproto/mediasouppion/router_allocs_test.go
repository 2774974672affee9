//go:build !race

package mediasouppion

import (
	"testing"

	"github.com/pion/srtp/v3"
	"github.com/stretchr/testify/require"
)

// TestForwardingAllocatesNothing goes through decryption and encryption. The race detector
// empties their pools at random.
func TestForwardingAllocatesNothing(t *testing.T) {
	for name, profile := range map[string]srtp.ProtectionProfile{"GCM": profileGCM, "CM": profileCM} {
		t.Run(name, func(t *testing.T) {
			c, alice, bob, _ := video(t, profile)
			bob.sink.deaf = true
			s := videoSource(1 << 20)
			var packets [][]byte
			for range 400 {
				b, err := s.next().Marshal()
				require.NoError(t, err)
				b, err = alice.out.EncryptRTP(nil, b, nil)
				require.NoError(t, err)
				packets = append(packets, b)
			}
			n := 0
			take := func() {
				copy(c.w.in[:], packets[n])
				alice.transport.packet(c.w, c.w.in[:len(packets[n])], c.now)
				n++
			}
			for range 100 {
				take()
			}
			require.Zero(t, testing.AllocsPerRun(200, take))
			require.EqualValues(t, 301, c.room.consumers[mediaID(bobID, 21)].traffic.packets)
		})
	}
}
