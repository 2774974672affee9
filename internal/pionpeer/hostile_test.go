package pionpeer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

func TestGarbageIsReportedAndChangesNothing(t *testing.T) {
	t.Parallel()
	good := func(t *testing.T) string {
		e := newEnd(t, endOptions{})
		e.addTrack("video")
		e.addChannel("x")
		e.Negotiate()
		e.awaitSend("offer")
		return e.descriptions(webrtc.SDPTypeOffer)[0].SDP
	}(t)
	without := func(prefix string) string {
		return strings.Join(slices.DeleteFunc(strings.Split(good, "\r\n"), func(line string) bool {
			return strings.HasPrefix(line, prefix)
		}), "\r\n")
	}
	for name, sdp := range map[string]string{
		"empty":          "",
		"no SDP":         "hello\x00\xff",
		"no sections":    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
		"no mid":         without("a=mid"),
		"no ufrag":       without("a=ice-ufrag"),
		"no password":    without("a=ice-pwd"),
		"no fingerprint": without("a=fingerprint"),
		"cut off":        good[:len(good)/2] + "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			for _, kind := range []webrtc.SDPType{webrtc.SDPTypeOffer, webrtc.SDPTypeAnswer, webrtc.SDPTypeUnknown} {
				require.NoError(t, b.Description(webrtc.SessionDescription{Type: kind, SDP: sdp}))
				await(t, "error", b.errs, func(err error) bool {
					_, ok := errors.AsType[*pionpeer.DescriptionError](err)
					return strings.HasPrefix(err.Error(), "pionpeer: ") && (ok || kind != webrtc.SDPTypeOffer)
				})
			}
			a.addChannel("x")
			a.Negotiate()
			a.awaitEcho("x")
			require.NoError(t, b.Err())
		})
	}
}

func TestGarbageCandidatesAreReported(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	garbage := []string{"garbage", "candidate:", "candidate:1 1 udp x 127.0.0.1 9 typ host", "candidate:1 1 udp 1 127.0.0.1 99999 typ host"}
	for _, c := range garbage {
		require.NoError(t, b.Candidate(webrtc.ICECandidateInit{Candidate: c}))
	}
	a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")
	require.NotEmpty(t, b.errs)
	require.NoError(t, b.Err())
}

func TestAnswerWithoutAnOfferIsReported(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")
	a.receive(b.descriptions(webrtc.SDPTypeAnswer)[0])
	a.awaitError(pionpeer.ErrUnexpectedAnswer)
	require.NoError(t, a.Err())
}

func TestProvisionalAnswersAndRollbacksAreRefused(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	require.ErrorContains(t, a.Description(webrtc.SessionDescription{Type: webrtc.SDPTypePranswer}), "pranswer")
	require.ErrorContains(t, a.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeRollback}), "rollback")
}

// After such an answer Pion can neither go on nor go back.
func TestAnswerThatPionCannotApplyEndsThePeer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	b.setRoute(func(m any) {
		if d, ok := m.(webrtc.SessionDescription); ok {
			d.SDP = strings.NewReplacer("VP8/90000", "other/90000").Replace(d.SDP)
			m = d
		}
		a.receive(m)
	})
	a.addTrack("video")
	a.Negotiate()
	await(t, "end", a.Done(), func(struct{}) bool { return true })
	require.ErrorIs(t, a.Err(), webrtc.ErrUnsupportedCodec)
	require.Equal(t, webrtc.PeerConnectionStateClosed, a.pc.ConnectionState())
	require.ErrorIs(t, a.Candidate(webrtc.ICECandidateInit{}), pionpeer.ErrClosed)
}

func TestReceivedInputIsBounded(t *testing.T) {
	t.Parallel()
	const pending = 5
	a := newEnd(t, endOptions{pending: pending})
	entered, release := make(chan struct{}), make(chan struct{})
	require.NoError(t, a.Do(func(*webrtc.PeerConnection) error {
		close(entered)
		<-release
		return nil
	}))
	<-entered
	for range pending {
		require.NoError(t, a.Candidate(webrtc.ICECandidateInit{Candidate: "x"}))
	}
	require.ErrorIs(t, a.Candidate(webrtc.ICECandidateInit{Candidate: "x"}), pionpeer.ErrOverflow)
	require.ErrorIs(t, a.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer}), pionpeer.ErrOverflow)
	close(release)
	a.settle()

	require.NoError(t, a.Candidate(webrtc.ICECandidateInit{Candidate: "x"}))
	a.awaitError(pionpeer.ErrOverflow) // no description came for the first ones
}
