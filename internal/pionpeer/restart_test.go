package pionpeer_test

import (
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

// A further offer before Pion has started ICE looks to it like a restart.
func TestOfferRightAfterTheFirstIsNoRestart(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	stalled, release := make(chan struct{}, 100), make(chan struct{})
	a.pc.OnNegotiationNeeded(func() { // runs where Pion would start ICE
		stalled <- struct{}{}
		<-release
	})
	goOn := sync.OnceFunc(func() { close(release) })
	defer goOn()
	a.addTrack("a")
	<-stalled
	b.addChannel("x")
	b.Negotiate()
	a.awaitSend("answer")
	b.addTrack("b")
	b.Negotiate()
	b.awaitSend("offer")
	b.awaitSend("offer")
	handled := make(chan struct{})
	require.NoError(t, a.Do(func(*webrtc.PeerConnection) error { close(handled); return nil }))
	select {
	case <-handled:
		require.FailNow(t, "the second offer did not wait")
	case <-time.After(50 * time.Millisecond): // it would take a few
	}
	goOn()
	a.awaitTrack("b")
	b.awaitEcho("x")
	answers := a.descriptions(webrtc.SDPTypeAnswer)
	require.Len(t, answers, 2)
	require.Equal(t, ufragOfSDP(answers[0].SDP), ufragOfSDP(answers[1].SDP))
	a.requireNoErrors()
	b.requireNoErrors()
}

func TestRestartBeginsANewGeneration(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	d := a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")
	a.awaitSend("end")
	b.awaitSend("end")

	for i, from := range []*end{a, b} {
		from.Restart()
		a.awaitSend("end")
		b.awaitSend("end")
		a.settle()
		a.requireTrickleOrder(i + 2)
		b.requireTrickleOrder(i + 2)
		text := "after restart " + string(rune('1'+i))
		require.NoError(t, d.SendText(text))
		a.awaitEcho(text)
	}
	a.requireNoErrors()
	b.requireNoErrors()
}

func TestRestartBeforeTheFirstNegotiationIsAnOffer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.addChannel("x")
	a.Restart()
	a.awaitEcho("x")
	require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 1)
	a.requireNoErrors()
	b.requireNoErrors()
}

// Only the offerer's candidates reach the other side, and before their offer, so a lost one is a lost connection.
func TestCandidatesBeforeTheirDescriptionAreKept(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, endOptions{}), newEnd(t, endOptions{})
	early := make(chan any, 100)
	a.setRoute(func(m any) { early <- m })
	b.setRoute(func(m any) {
		if _, ok := m.(webrtc.SessionDescription); ok {
			a.receive(m)
		}
	})
	deliver := func() {
		t.Helper()
		a.awaitSend("end")
		var offer any
		for len(early) > 0 {
			m := <-early
			if _, ok := m.(webrtc.SessionDescription); ok {
				offer = m
				continue
			}
			b.receive(m)
		}
		b.settle()
		b.receive(offer)
	}
	d := a.addChannel("x")
	a.Negotiate()
	deliver()
	a.awaitEcho("x")

	a.Restart()
	deliver()
	b.awaitSend("answer")
	b.awaitSend("answer")
	require.NoError(t, d.SendText("again"))
	a.awaitEcho("again")
	a.requireNoErrors()
	b.requireNoErrors()
}
