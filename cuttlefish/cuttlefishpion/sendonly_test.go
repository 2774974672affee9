package cuttlefishpion

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

func TestDeviceAsksForMediaOnlyWhereTheClientSendsSome(t *testing.T) {
	t.Parallel()
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(loopback.Settings())).NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pc.GracefulClose()) })
	for n := range 3 {
		track, err := NewDisplayTrack(webrtc.MimeTypeVP8, n)
		require.NoError(t, err)
		_, err = pc.AddTrack(track)
		require.NoError(t, err)
	}
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	})
	require.NoError(t, err)
	offer, err := pc.CreateOffer(nil)
	require.NoError(t, err)

	first, err := sendonly(offer.SDP, "")
	require.NoError(t, err)
	require.Equal(t, []string{"sendonly", "sendonly", "sendonly", "recvonly"}, directions(first))
	require.Equal(t, offer.SDP, strings.ReplaceAll(first, "a=sendonly", "a=sendrecv"), "nothing else changes")

	var remote strings.Builder
	remote.WriteString("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")
	for mid, direction := range []string{"recvonly", "sendrecv", "sendonly", "inactive"} {
		fmt.Fprintf(&remote, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:%d\r\na=%s\r\n", mid, direction)
	}
	later, err := sendonly(offer.SDP, remote.String())
	require.NoError(t, err)
	require.Equal(t, []string{"sendonly", "sendrecv", "sendrecv", "recvonly"}, directions(later))
}

// directions returns those of the media sections of an SDP.
func directions(text string) []string {
	all := []string{"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"}
	var found []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); slices.Contains(all, line) {
			found = append(found, strings.TrimPrefix(line, "a="))
		}
	}
	return found
}
