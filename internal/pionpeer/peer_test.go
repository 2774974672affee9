package pionpeer_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

func TestNothingToOfferIsReported(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.Negotiate()
	a.awaitError(pionpeer.ErrNothingToOffer)
	a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")
	b.requireNoErrors()
}

func TestFailedSendsAreReported(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	errs := make(chan error, 100)
	pc := newConnection(t, true)
	p := pionpeer.New(pc, pionpeer.Config{
		SendDescription: func(webrtc.SessionDescription) error { return broken },
		SendCandidate:   func(webrtc.ICECandidateInit) error { return broken },
		OnError:         func(err error) { errs <- err },
	})
	_, err := pc.CreateDataChannel("x", nil)
	require.NoError(t, err)
	p.Negotiate()
	await(t, "error", errs, func(err error) bool { return errors.Is(err, broken) })
	require.NoError(t, p.Err())
	require.NoError(t, p.Close())
}

func TestPeerWhosePeerConnectionTheOtherSideHasClosedEndsWithoutAnError(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	require.NoError(t, a.pc.Close())
	a.Negotiate()
	<-a.Done()
	require.NoError(t, a.Err())
}

func TestDoRunsInOrderAndReportsItsError(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	var order []int
	for i := range 100 {
		require.NoError(t, a.Do(func(pc *webrtc.PeerConnection) error {
			order = append(order, i)
			return nil
		}))
	}
	failed := errors.New("failed")
	require.NoError(t, a.Do(func(*webrtc.PeerConnection) error { return failed }))
	a.awaitError(failed)
	require.True(t, slices.IsSorted(order))
	require.Len(t, order, 100)
}

func TestCloseDuringANegotiation(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"offer", "answer", "candidate", "end"} {
		for _, polite := range []bool{false, true} {
			t.Run(moment, func(t *testing.T) {
				t.Parallel()
				a, b := newEnd(t, endOptions{polite: polite}), newEnd(t, endOptions{})
				join(a, b)
				a.addTrack("video")
				a.addChannel("x")
				a.Negotiate()
				sender := a
				if moment == "answer" {
					sender = b
				}
				sender.awaitSend(moment)
				var closing sync.WaitGroup
				for range 3 {
					closing.Go(func() { _ = a.Close() })
					closing.Go(func() { _ = b.Close() })
				}
				closing.Wait()
				for _, e := range []*end{a, b} {
					<-e.Done()
					require.NoError(t, e.Err())
					require.Equal(t, webrtc.SignalingStateClosed, e.pc.SignalingState())
					require.ErrorIs(t, e.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer}), pionpeer.ErrClosed)
					require.ErrorIs(t, e.Candidate(webrtc.ICECandidateInit{}), pionpeer.ErrClosed)
					require.ErrorIs(t, e.Do(func(*webrtc.PeerConnection) error { return nil }), pionpeer.ErrClosed)
					e.Negotiate()
					e.Restart()
				}
			})
		}
	}
}

func TestCloseOfAFreshPeer(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
}
