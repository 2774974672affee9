package interop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// TestMediasoupPagesChooseAmongStreamsOfOurServer has a page send several streams of its camera:
// Chromium says their SSRCs, Firefox their RIDs. The room has all header extensions of mediasoup,
// which RIDs need.
func TestMediasoupPagesChooseAmongStreamsOfOurServer(t *testing.T) {
	caps, err := mediasoupproto.GenerateRoomRTPCapabilities(mediasoupproto.DefaultCodecs())
	require.NoError(t, err)
	for _, c := range []struct {
		name   string
		sender func(*testing.T) *mediasoupBrowser
	}{{"Chromium sends", inChromium}, {"Firefox sends", inFirefox}} {
		t.Run(c.name, func(t *testing.T) {
			s := startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{
				ServerConfig: mediasoupproto.ServerConfig{Capabilities: caps},
			})
			alice, bob := s.open(c.sender(t)), s.open(inChromium(t))
			alice.join("room", "alice", nil)
			bob.join("room", "bob", nil)
			alice.send("audio", nil)
			alice.send("video", wanted{
				"simulcast": true, "constraints": wanted{"width": wanted{"exact": 640}, "height": wanted{"exact": 480}},
			})
			bob.decodes("video", "alice")
			var id uint32
			for _, c := range s.peer("room", "bob").Consumers {
				if c.Kind == mediasoupproto.Video {
					id = c.ID
				}
			}
			require.Len(t, s.peer("room", "alice").Producers[1].RTPParameters.Encodings, 3)
			for _, profile := range []string{"low", "medium", "low"} {
				bob.forgets()
				start := time.Now()
				bob.does("setPreferredProfile", id, profile)
				eventually(t, profile, func() bool {
					effective := s.peer("room", "bob").Consumers
					for _, c := range effective {
						if c.ID == id && c.EffectiveProfile != nil {
							return string(*c.EffectiveProfile) == profile
						}
					}
					return false
				})
				f := bob.decodes("video", "alice")
				t.Logf("%s after %v: %+v", profile, time.Since(start).Round(time.Millisecond), f)
			}
			for _, p := range []*mediasoupPage{alice, bob} {
				p.requireQuiet()
			}
		})
	}
}
