package pionpeer_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

var errBroken = errors.New("broken")

func TestSessionCarriesTracksBothWays(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, nil)
	require.NoError(t, a.AddTrack(feed(t, "a1")))
	connect(a, b)
	b.awaitTrack("a1")
	require.Len(t, a.offers(), 1, "what was added before Start is in the first offer")

	second, fromB := feed(t, "a2"), feed(t, "b1")
	for range 2 {
		require.NoError(t, a.AddTrack(second))
		require.NoError(t, a.AddTrack(second), "is sent once")
		b.awaitTrack("a2")
		require.Len(t, a.PeerConnection().GetSenders(), 2)
		require.NoError(t, a.RemoveTrack(second))
		require.NoError(t, a.RemoveTrack(second))
		b.awaitEndOf("a2")
	}
	require.NoError(t, b.AddTrack(fromB))
	a.awaitTrack("b1")
	require.NoError(t, b.RemoveTrack(feed(t, "never added")))
	require.NoError(t, a.Err())
	require.NoError(t, b.Err())
	require.Empty(t, a.errs)
	require.Empty(t, b.errs)
}

func TestSessionOffersNothingByItself(t *testing.T) {
	t.Parallel()
	a := newSide(t, nil)
	require.NoError(t, a.AddTrack(feed(t, "a")))
	a.begin()
	require.NoError(t, a.Change(func(*webrtc.PeerConnection) error {
		require.Empty(t, a.offers())
		return nil
	}))
	await(t, "offer after a change", a.hears(), func(m any) bool {
		d, ok := m.(webrtc.SessionDescription)
		return ok && d.Type == webrtc.SDPTypeOffer
	})
}

// hears returns what the side sends from now on.
func (s *side) hears() <-chan any {
	c := make(chan any, 1000)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.sent {
		c <- m
	}
	s.route = func(m any) { c <- m }
	return c
}

func TestSessionAsksForNothingInReturnWhenItIsToSendOnly(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, func(cfg *pionpeer.SessionConfig) { cfg.SendOnly = true }, nil)
	track := feed(t, "a1")
	require.NoError(t, a.AddTrack(track))
	require.NoError(t, b.AddTrack(feed(t, "b1")))
	connect(a, b)
	b.awaitTrack("a1")
	first := a.offers()[0].SDP
	require.Contains(t, first, "a=sendonly")
	require.NotContains(t, strings.Split(first, "m=application")[0], "a=sendrecv")
	require.NoError(t, a.RemoveTrack(track))
	b.awaitEndOf("a1")
	require.NoError(t, a.AddTrack(track))
	b.awaitTrack("a1")
}

func TestSessionSaysTheEndOfCandidatesAfterThem(t *testing.T) {
	t.Parallel()
	a := newSide(t, nil)
	sent := a.hears()
	a.begin()
	a.Negotiate()
	_, first := (<-sent).(webrtc.SessionDescription)
	require.True(t, first)
	candidates := 0
	await(t, "end of candidates", sent, func(m any) bool {
		if m.(webrtc.ICECandidateInit).Candidate == "" {
			return true
		}
		candidates++
		return false
	})
	require.NotZero(t, candidates)
}

func TestKeyFrameRequestReachesTheSenderOfTheTrack(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, nil)
	require.NoError(t, a.AddTrack(feed(t, "one")))
	require.NoError(t, a.AddTrack(feed(t, "two")))
	connect(a, b)
	remote := b.awaitTrack("two")
	require.NoError(t, b.RequestKeyFrame(remote))
	await(t, "request for a key frame", a.keyFrames, func(id string) bool {
		require.Equal(t, "two", id)
		return true
	})
	b.Close()
	require.ErrorContains(t, b.RequestKeyFrame(remote), "testpion: request a key frame: ")
}

func TestChannelsOfTheOtherSideAreLimited(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, func(cfg *pionpeer.SessionConfig) { cfg.MaxChannels = 3 }, nil)
	connect(a, b) // with the first channel
	b.requireEcho("second")
	b.requireEcho("third")
	require.NoError(t, a.Err())
	_, err := b.PeerConnection().CreateDataChannel("fourth", nil)
	require.NoError(t, err)
	require.ErrorIs(t, a.awaitEnd(), pionpeer.ErrTooManyChannels)
	require.Len(t, a.channels, 3)
	require.NoError(t, b.awaitEnd())
}

func TestSessionWithoutHooksLives(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, func(cfg *pionpeer.SessionConfig) {
		cfg.OnError, cfg.OnChannel, cfg.OnTrack, cfg.OnKeyFrame, cfg.OnState, cfg.OnEnd = nil, nil, nil, nil, nil, nil
	})
	require.NoError(t, a.AddTrack(feed(t, "a")))
	require.NoError(t, b.AddTrack(feed(t, "b")))
	a.begin()
	b.Start()
	a.Negotiate()
	require.NoError(t, a.RequestKeyFrame(a.awaitTrack("b")))
	require.NoError(t, b.Candidate(webrtc.ICECandidateInit{Candidate: "garbage"}))
	b.Close()
	require.NoError(t, b.Err())
	require.NoError(t, a.awaitEnd(), "the other side has closed it")
}

func TestFirstCauseOfAnEndCounts(t *testing.T) {
	t.Parallel()
	a := newSide(t, nil)
	a.Start()
	a.End(errBroken)
	a.End(errors.New("second"))
	a.Close()
	require.Equal(t, errBroken, a.awaitEnd())
	require.Equal(t, webrtc.PeerConnectionStateClosed, <-a.states, "and nothing before it")
}

func TestEndIsToldBeforeAnythingIsClosed(t *testing.T) {
	t.Parallel()
	var a *side
	heard := make(chan string, 10)
	a = newSide(t, func(cfg *pionpeer.SessionConfig) {
		cfg.OnEnd = func(error) { heard <- "end while " + a.PeerConnection().ConnectionState().String() }
		cfg.OnState = func(s webrtc.PeerConnectionState) {
			heard <- s.String()
			select {
			case <-a.Done():
				heard <- "done too early"
			default:
			}
		}
	})
	a.Start()
	a.Close()
	close(heard)
	var all []string
	for h := range heard {
		all = append(all, h)
	}
	require.Equal(t, []string{"end while new", "closed"}, all)
}

func TestCloseOfTheOtherSideIsAnOrderlyEnd(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, nil)
	connect(a, b)
	a.Close()
	require.NoError(t, a.awaitEnd())
	require.NoError(t, b.awaitEnd())
	b.awaitState(webrtc.PeerConnectionStateClosed)
}

func TestWhatCannotBeSentEndsTheSession(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*pionpeer.SessionConfig){
		"description": func(cfg *pionpeer.SessionConfig) {
			cfg.SendDescription = func(webrtc.SessionDescription) error { return errBroken }
			cfg.SendCandidate = func(webrtc.ICECandidateInit) error { panic("a candidate of an offer that is not out") }
		},
		"candidate": func(cfg *pionpeer.SessionConfig) {
			cfg.SendCandidate = func(webrtc.ICECandidateInit) error { return errBroken }
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a := newSide(t, change)
			a.begin()
			a.Negotiate()
			cause := a.awaitEnd()
			require.ErrorIs(t, cause, pionpeer.ErrSignaling)
			require.ErrorIs(t, cause, errBroken)
		})
	}
}

// After such an answer Pion can neither go on nor go back.
func TestAnswerThatPionCannotApplyEndsTheSession(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, nil)
	b.setRoute(func(m any) {
		if d, ok := m.(webrtc.SessionDescription); ok {
			d.SDP = strings.NewReplacer("VP8/90000", "other/90000").Replace(d.SDP)
			m = d
		}
		a.receive(m)
	})
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "a", "a")
	require.NoError(t, err)
	require.NoError(t, a.AddTrack(track))
	a.begin()
	a.Negotiate()
	cause := a.awaitEnd()
	require.ErrorIs(t, cause, webrtc.ErrUnsupportedCodec)
	require.ErrorContains(t, cause, "testpion: negotiation: ")
}

func TestFailedChangeEndsTheSession(t *testing.T) {
	t.Parallel()
	a := newSide(t, nil)
	a.Start()
	require.NoError(t, a.Change(func(*webrtc.PeerConnection) error { return errBroken }))
	require.Equal(t, errBroken, a.awaitEnd())
}

func TestWhatPionRefusesIsReportedOrLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a, b := newSides(t, nil, func(cfg *pionpeer.SessionConfig) {
		cfg.OnError = nil
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	for _, s := range []*side{a, b} {
		require.NoError(t, s.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: "x"}))
	}
	await(t, "error", a.errs, func(err error) bool {
		require.ErrorContains(t, err, "testpion: negotiation: pionpeer: remote offer: ")
		return true
	})
	connect(a, b)
	b.Close()
	require.Contains(t, log.String(), `msg="testpion: negotiation" error="pionpeer: remote offer: `)
}

func TestEndedSessionTakesNothing(t *testing.T) {
	t.Parallel()
	a := newSide(t, nil)
	o := pionpeer.NewOutbox(a.Session)
	a.Start()
	a.Close()
	a.Close()
	a.Start()
	a.Negotiate()
	a.Restart()
	require.ErrorIs(t, a.AddTrack(feed(t, "a")), pionpeer.ErrClosed)
	require.ErrorIs(t, a.RemoveTrack(feed(t, "a")), pionpeer.ErrClosed)
	require.ErrorIs(t, a.Change(func(*webrtc.PeerConnection) error { return nil }), pionpeer.ErrClosed)
	err := a.Candidate(webrtc.ICECandidateInit{})
	require.ErrorIs(t, err, pionpeer.ErrClosed)
	require.ErrorContains(t, err, "testpion: negotiation: ")
	require.ErrorIs(t, a.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer}), pionpeer.ErrClosed)
	require.ErrorIs(t, o.Send(nil), pionpeer.ErrClosed)
	require.NoError(t, a.awaitEnd())
}

func TestDiscardedSessionTellsNobody(t *testing.T) {
	t.Parallel()
	a := newSide(t, nil)
	require.NoError(t, a.AddTrack(feed(t, "a")))
	a.Discard()
	a.Start()
	<-a.Done()
	require.Equal(t, webrtc.PeerConnectionStateClosed, a.PeerConnection().ConnectionState())
	require.Empty(t, a.states)
	require.Empty(t, a.causes)
	a.Close()
	a.Discard()
}

// The negotiation has taken such a track away already.
func TestTrackThatTheOtherSideRejectsCanBeRemoved(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, func(cfg *pionpeer.SessionConfig) {
		cfg.API = func() (*webrtc.API, error) { return newAPI(t, loopback.Settings(), false), nil }
	})
	track := feed(t, "a")
	require.NoError(t, a.AddTrack(track))
	connect(a, b)
	require.NoError(t, a.RemoveTrack(track))
	a.requireEcho("still here")
	require.NoError(t, a.Err())
}

func TestSessionThatCannotBeMadeSaysWhose(t *testing.T) {
	t.Parallel()
	_, err := pionpeer.NewSession(pionpeer.SessionConfig{
		Name: "testpion",
		API:  func() (*webrtc.API, error) { return nil, errBroken },
	})
	require.EqualError(t, err, "testpion: broken")
	_, err = pionpeer.NewSession(pionpeer.SessionConfig{
		Name:          "testpion",
		API:           pionpeer.LazyAPI(nil, loopback.Settings()),
		Configuration: webrtc.Configuration{ICEServers: []webrtc.ICEServer{{URLs: []string{"http://127.0.0.1"}}}},
	})
	require.ErrorContains(t, err, "testpion: new peer connection: ")
}

func TestLazyAPIIsTheGivenOneOrMadeOnce(t *testing.T) {
	t.Parallel()
	given := webrtc.NewAPI()
	api, err := pionpeer.LazyAPI(given, webrtc.SettingEngine{})()
	require.NoError(t, err)
	require.Same(t, given, api)

	lazy := pionpeer.LazyAPI(nil, loopback.Settings())
	api, err = lazy()
	require.NoError(t, err)
	again, err := lazy()
	require.NoError(t, err)
	require.Same(t, api, again)
}
