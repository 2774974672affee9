package pionpeer_test

import (
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

func TestSessionTellsWhatTheOtherSideSaysAboutATrack(t *testing.T) {
	t.Parallel()
	rates := make(chan float32, 100)
	one := feed(t, "one")
	a, b := newSides(t, func(cfg *pionpeer.SessionConfig) {
		cfg.OnFeedback = func(track webrtc.TrackLocal, packets []rtcp.Packet) {
			for _, p := range packets {
				if remb, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok && track == one {
					rates <- remb.Bitrate
				}
			}
		}
	}, nil)
	require.NoError(t, a.AddTrack(one))
	require.NoError(t, a.AddTrack(feed(t, "two")))
	connect(a, b)
	remote := b.awaitTrack("one")
	require.NoError(t, b.PeerConnection().WriteRTCP([]rtcp.Packet{
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 500_000, SSRCs: []uint32{uint32(remote.SSRC())}},
	}))
	await(t, "bit rate", rates, func(bits float32) bool { return bits == 500_000 })
}
