package pionpeer_test

import (
	"sync/atomic"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

// crossOffers makes both ends offer before either has the other's offer.
func crossOffers(a, b *end) {
	toA, toB := make(chan any, 1000), make(chan any, 1000)
	a.setRoute(func(m any) { toB <- m })
	b.setRoute(func(m any) { toA <- m })
	a.Negotiate()
	b.Negotiate()
	a.awaitSend("offer")
	b.awaitSend("offer")
	a.settle()
	b.settle()
	join(a, b)
	for len(toA) > 0 {
		a.receive(<-toA)
	}
	for len(toB) > 0 {
		b.receive(<-toB)
	}
}

func TestCrossingOffersAreSettled(t *testing.T) {
	t.Parallel()
	t.Run("first negotiation", func(t *testing.T) {
		t.Parallel()
		impolite, polite := newPair(t)
		impolite.addTrack("from-impolite")
		impolite.addChannel("x")
		polite.addTrack("from-polite")
		polite.addChannel("y")
		crossOffers(impolite, polite)
		polite.awaitTrack("from-impolite")
		impolite.awaitTrack("from-polite")
		impolite.awaitEcho("x")
		polite.awaitEcho("y")
		impolite.settle()
		require.Len(t, impolite.descriptions(webrtc.SDPTypeOffer), 1)
		require.Len(t, impolite.descriptions(webrtc.SDPTypeAnswer), 1, "of the offer that was made again")
		require.Len(t, polite.descriptions(webrtc.SDPTypeOffer), 2)
		impolite.requireTrickleOrder(1)
		polite.requireTrickleOrder(1)
		impolite.requireNoErrors()
		polite.requireNoErrors()
	})
	t.Run("different kinds at the same place", func(t *testing.T) {
		t.Parallel()
		impolite, polite := newPair(t)
		impolite.addTrack("video")
		polite.addChannel("y")
		_, err := polite.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio)
		require.NoError(t, err)
		crossOffers(impolite, polite)
		polite.awaitTrack("video")
		polite.awaitEcho("y")
		impolite.requireNoErrors()
		polite.requireNoErrors()
	})
	t.Run("renegotiation", func(t *testing.T) {
		t.Parallel()
		impolite, polite := newPair(t)
		impolite.addChannel("x")
		impolite.Negotiate()
		impolite.awaitEcho("x")
		impolite.awaitSend("offer")
		for _, id := range []string{"1", "2", "3"} {
			impolite.addTrack("i" + id)
			polite.addTrack("p" + id)
			crossOffers(impolite, polite)
			polite.awaitTrack("i" + id)
			impolite.awaitTrack("p" + id)
			polite.awaitSend("offer")
			impolite.awaitSend("answer")
			polite.settle()
		}
		impolite.requireNoErrors()
		polite.requireNoErrors()
	})
	t.Run("with a restart by the polite one", func(t *testing.T) {
		t.Parallel()
		impolite, polite := newPair(t)
		d := impolite.addChannel("x")
		impolite.Negotiate()
		impolite.awaitEcho("x")
		impolite.awaitSend("offer")
		impolite.addTrack("i")
		polite.Restart()
		crossOffers(impolite, polite)
		polite.awaitTrack("i")
		require.NoError(t, d.SendText("still here"))
		impolite.awaitEcho("still here")
		impolite.requireNoErrors()
		polite.requireNoErrors()
	})
}

// Pion starts a sender that has once been in an offer; the other side would get media that nobody has announced.
func TestWithdrawnOffersStartNoSender(t *testing.T) {
	t.Parallel()
	impolite, polite := newEnd(t, endOptions{}), newEnd(t, endOptions{polite: true}) // nothing reaches the impolite one
	impolite.addTrack("i")
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "p", "p")
	require.NoError(t, err)
	watched := &watchedTrack{TrackLocal: track}
	sender, err := polite.pc.AddTrack(watched)
	require.NoError(t, err)
	polite.Negotiate()
	polite.awaitSend("offer")
	impolite.setRoute(polite.receive)
	impolite.Negotiate()
	polite.awaitSend("answer")
	polite.awaitSend("offer")
	require.Same(t, sender, polite.pc.GetSenders()[0])
	require.False(t, watched.started.Load())
}

// A watchedTrack tells whether its sender was started.
type watchedTrack struct {
	webrtc.TrackLocal
	started atomic.Bool
}

func (w *watchedTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	w.started.Store(true)
	return w.TrackLocal.Bind(c)
}
