package pionpeer_test

import (
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

// Peers such as the Cuttlefish client library take the data channel and reject all media, without a=mid.
func TestRejectedSectionsLeaveTheRestWorking(t *testing.T) {
	t.Parallel()
	for _, polite := range []bool{false, true} {
		a, b := newEnd(t, endOptions{polite: polite}), newEnd(t, endOptions{noCodecs: true})
		join(a, b)
		d := a.addChannel("x")
		a.addTrack("video1")
		a.addTrack("video2")
		a.Negotiate()
		a.awaitEcho("x")
		answers := b.descriptions(webrtc.SDPTypeAnswer)
		require.Len(t, answers, 1)
		require.Contains(t, answers[0].SDP, "m=video 0 ")
		require.Equal(t, 1, strings.Count(answers[0].SDP, "a=mid:"), "a peer that leaves it out is what this is about")

		a.addTrack("video3")
		a.Negotiate()
		b.awaitSend("answer")
		b.awaitSend("answer")
		a.settle()
		require.NoError(t, d.SendText("still here"))
		a.awaitEcho("still here")
		a.requireNoErrors()
		b.requireNoErrors()
	}
}

// Pion takes the codecs of the first section of a kind for those of all, also when that one is rejected and has none.
func TestRejectedFirstSectionLeavesTheSecondWorking(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	b.setRoute(func(m any) {
		if d, ok := m.(webrtc.SessionDescription); ok {
			session, rest, _ := strings.Cut(d.SDP, "m=video")
			_, rest, _ = strings.Cut(rest, "m=video")
			d.SDP = strings.Replace(session, "BUNDLE 0 1", "BUNDLE 1", 1) +
				"m=video 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\nm=video" + rest
			m = d
		}
		a.receive(m)
	})
	a.addTrack("video1")
	a.addTrack("video2")
	a.Negotiate()
	b.awaitTrack("video2")
	a.requireNoErrors()
	require.Nil(t, a.pc.GetTransceivers()[0].Sender(), "the rejected track is not sent")
}

func TestRejectionDoesNotNegotiateForEver(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, endOptions{}), newEnd(t, endOptions{noCodecs: true})
	join(a, b)
	needed := make(chan struct{}, 100)
	a.pc.OnNegotiationNeeded(func() { needed <- struct{}{}; a.Negotiate() })
	d := a.addChannel("x")
	a.addTrack("video")
	a.awaitEcho("x")
	require.NoError(t, d.SendText("idle"))
	a.awaitEcho("idle")
	a.settle()
	require.LessOrEqual(t, len(a.descriptions(webrtc.SDPTypeOffer)), 2)
	a.requireNoErrors()
}
