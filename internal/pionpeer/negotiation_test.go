package pionpeer_test

import (
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

func TestFirstNegotiationConnectsMediaAndChannels(t *testing.T) {
	t.Parallel()
	for _, offerer := range []string{"impolite", "polite"} {
		t.Run(offerer+" offers", func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			if offerer == "polite" {
				a, b = b, a
			}
			a.addTrack("from-a")
			a.addChannel("hello")
			b.addTrack("from-b")
			a.Negotiate()
			a.awaitConnected()
			b.awaitConnected()
			b.awaitTrack("from-a")
			a.awaitTrack("from-b")
			a.awaitEcho("hello")
			a.awaitSend("end")
			b.awaitSend("end")

			a.requireTrickleOrder(1)
			b.requireTrickleOrder(1)
			require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 1)
			require.Len(t, b.descriptions(webrtc.SDPTypeAnswer), 1)
			a.requireNoErrors()
			b.requireNoErrors()
		})
	}
}

// A description that takes its time must not be overtaken: Pion gathers meanwhile.
func TestCandidatesWaitWhileTheDescriptionIsBeingSent(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	gathered := make(chan struct{})
	a.pc.OnICEGatheringStateChange(func(s webrtc.ICEGatheringState) {
		if s == webrtc.ICEGatheringStateComplete {
			close(gathered)
		}
	})
	a.setRoute(func(m any) {
		if _, ok := m.(webrtc.SessionDescription); ok {
			<-gathered
		}
	})
	a.addChannel("x")
	a.Negotiate()
	a.awaitSend("end")
	a.requireTrickleOrder(1)
}

func TestNegotiationNeededMayDriveThePeer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.pc.OnNegotiationNeeded(a.Negotiate)
	b.pc.OnNegotiationNeeded(b.Negotiate)
	a.addTrack("one")
	a.addChannel("x")
	b.awaitTrack("one")
	a.awaitEcho("x")
	b.addTrack("two")
	a.awaitTrack("two")
	a.addTrack("three")
	b.awaitTrack("three")
	a.requireNoErrors()
	b.requireNoErrors()
}

func TestEitherSideRenegotiates(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")

	for _, step := range []struct {
		from, to *end
		id       string
	}{{a, b, "a1"}, {b, a, "b1"}, {b, a, "b2"}, {a, b, "a2"}} {
		step.from.addTrack(step.id)
		step.from.Negotiate()
		step.to.awaitTrack(step.id)
	}
	a.requireNoErrors()
	b.requireNoErrors()
	require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 3)
	require.Len(t, b.descriptions(webrtc.SDPTypeOffer), 2)
}

func TestRequestsDuringANegotiationBecomeOneOffer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	held := make(chan any, 100)
	b.setRoute(func(m any) { held <- m })
	a.addChannel("x")
	a.Negotiate()
	b.awaitSend("answer")
	a.addTrack("late")
	for range 10 {
		a.Negotiate()
	}
	a.settle()
	require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 1, "the second waits for the first answer")

	b.setRoute(a.receive)
	for len(held) > 0 {
		a.receive(<-held)
	}
	b.awaitTrack("late")
	a.settle()
	require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 2)
	a.requireNoErrors()
	b.requireNoErrors()
}

func TestDescriptionsWithoutATypeNegotiate(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	untyped := func(to *end) func(any) {
		return func(m any) {
			if d, ok := m.(webrtc.SessionDescription); ok {
				m = webrtc.SessionDescription{SDP: d.SDP}
			}
			to.receive(m)
		}
	}
	a.setRoute(untyped(b))
	b.setRoute(untyped(a))
	a.addChannel("x")
	b.addTrack("b")
	a.Negotiate()
	b.Negotiate() // crosses or follows the other offer
	a.awaitEcho("x")
	a.awaitTrack("b")
	a.requireNoErrors()
	b.requireNoErrors()
}
