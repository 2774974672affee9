package interop

import (
	"errors"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
)

func newDisplay(t *testing.T, n int) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := cuttlefishpion.NewDisplayTrack(webrtc.MimeTypeVP8, n)
	require.NoError(t, err)
	return track
}

func newSound(t *testing.T) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := cuttlefishpion.NewAudioTrack(webrtc.MimeTypeOpus)
	require.NoError(t, err)
	return track
}

// both are two displays with the same picture.
type both [2]clip.Sink

// WriteSample writes the sample to both displays.
func (b both) WriteSample(s media.Sample) error {
	return errors.Join(b[0].WriteSample(s), b[1].WriteSample(s))
}

// readTrack reads a track until it ends and says how many packets it has had after each.
func readTrack(track *webrtc.TrackRemote, packets func(n int)) {
	for n := 1; ; n++ {
		if _, _, err := track.ReadRTP(); err != nil {
			return
		}
		packets(n)
	}
}

// echo sends a message back as it came.
func echo(ch *webrtc.DataChannel, m webrtc.DataChannelMessage) {
	if m.IsString {
		_ = ch.SendText(string(m.Data)) // the other side waits for it
		return
	}
	_ = ch.Send(m.Data)
}

// withoutServers leaves out the ICE servers of the signaling server: everything is on
// loopback, and the operator's is on the internet.
func withoutServers([]webrtc.ICEServer) webrtc.Configuration { return webrtc.Configuration{} }
