package galenepion_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

// A router is a media router of a test's own.
type router func(ctx context.Context, m *galene.MediaMember) error

func (r router) Serve(ctx context.Context, m *galene.MediaMember) error { return r(ctx, m) }

// refuser returns a router that fails each first offer of a stream with a text.
func refuser(text string) router {
	return func(ctx context.Context, m *galene.MediaMember) error {
		for msg := range m.Messages(ctx) {
			if offer, ok := msg.(*galene.Offer); ok {
				_ = m.Fail(offer.ID, text)
			}
		}
		return nil
	}
}

func TestPublishWaitsForWhoWantsTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a"})
	published := heard.New[*galenepion.Publication]()
	track := piontest.Video(t, "v")
	piontest.Run(t, func(ctx context.Context) error {
		pub, err := a.Publish(ctx, nil, track)
		if err == nil {
			published.Add(pub)
		}
		return err
	})
	heard.AwaitOf(t, a.line().Said, func(*galene.Offer) bool { return true })
	b := w.join(plan{name: "b"})
	require.Empty(t, published.All())
	require.NoError(t, b.client.Request(all))
	heard.Next(t, "publication", published)
	b.flows.RequireMedia(t, "v")
}

func TestPublishGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		heard.AwaitOf(t, a.line().Said, func(*galene.Offer) bool { return true })
		cancel()
	}()
	_, err := a.Publish(ctx, &galenepion.PublishOptions{ID: "mine"}, piontest.Video(t, "v"))
	require.ErrorIs(t, err, context.Canceled)
	heard.AwaitOf(t, a.line().Said, func(m *galene.Close) bool { return m.ID == "mine" })
}

func TestNothingCannotBePublished(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t)
	_, err := a.Publish(t.Context(), nil)
	require.ErrorIs(t, err, galenepion.ErrNoTracks)
}

func TestIDOfAStreamIsUsedOnce(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pub := a.publish(&galenepion.PublishOptions{ID: "mine"}, piontest.Video(t, "v"))
	require.Equal(t, "mine", pub.ID())
	require.Equal(t, "mine", b.requireStream().ID)
	_, err := a.Publish(t.Context(), &galenepion.PublishOptions{ID: "mine"}, piontest.Video(t, "other"))
	require.ErrorIs(t, err, galenepion.ErrDuplicateID)
	b.flows.RequireMedia(t, "v")
}

func TestUnpublishedStreamEnds(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	states := heard.New[webrtc.PeerConnectionState]()
	pub := a.publish(&galenepion.PublishOptions{
		OnState: func(s webrtc.PeerConnectionState) { states.Add(s) },
	}, piontest.Video(t, "v"))
	s := b.requireStream()
	b.flows.RequireMedia(t, "v")
	is := func(want webrtc.PeerConnectionState) func(webrtc.PeerConnectionState) bool {
		return func(got webrtc.PeerConnectionState) bool { return got == want }
	}
	heard.Await(t, "connected", states, is(webrtc.PeerConnectionStateConnected))
	pub.Unpublish()
	pub.Unpublish()
	<-pub.Done()
	require.NoError(t, pub.Err())
	require.NoError(t, b.requireClosed(s))
	<-s.Done()
	b.flows.RequireOnly(t)
	heard.Await(t, "closed", states, is(webrtc.PeerConnectionStateClosed))
	b.requireQuiet()
}

func TestReplacementTakesTheSlotOfAStream(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	old := a.publish(&galenepion.PublishOptions{Label: "camera"}, piontest.Video(t, "v"))
	first := b.requireStream()
	b.flows.RequireMedia(t, "v")
	oldID := old.ID()
	pub := a.publish(&galenepion.PublishOptions{Label: "camera", Replace: old}, piontest.Video(t, "w"))
	<-old.Done()
	require.NoError(t, old.Err())
	second := b.requireStream()
	require.Same(t, first, second.Replaces)
	require.Equal(t, pub.ID(), second.ID)
	require.ErrorIs(t, b.requireClosed(first), galenepion.ErrReplaced)
	b.flows.RequireMedia(t, "w")
	b.flows.RequireOnly(t, "w")
	for _, m := range a.line().Said.All() {
		_, isClose := m.(*galene.Close)
		require.False(t, isClose, "the offer says what becomes of the old stream")
	}
	offer := heard.AwaitOf(t, a.line().Said, func(m *galene.Offer) bool { return m.ID == pub.ID() })
	require.Equal(t, oldID, offer.Replace)
	require.NoError(t, pub.Restart())
	again := heard.AwaitOf(t, a.line().Said, func(m *galene.Offer) bool { return m.ID == pub.ID() })
	require.Empty(t, again.Replace, "it is said once")
	b.flows.RequireMedia(t, "w")
}

func TestStreamThatHasEndedCanBeReplaced(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	old := a.publish(nil, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
	old.Unpublish()
	b.requireClosed(b.requireStream())
	a.publish(&galenepion.PublishOptions{Replace: old}, piontest.Video(t, "w"))
	require.Nil(t, b.requireStream().Replaces)
	b.flows.RequireMedia(t, "w")
}

func ufragOf(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r\n")
	return ufrag
}

func TestICERestartsUnderTheMediaWhoeverAsks(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pub := a.publish(nil, piontest.Video(t, "v"), piontest.Sound(t, "s"))
	s := b.requireStream()
	b.flows.RequireMedia(t, "v", "s")
	pcs := []*webrtc.PeerConnection{pub.PeerConnection(), s.PeerConnection()}
	seen := make(map[string]bool)
	expect := func() {
		t.Helper()
		for _, ufrag := range []string{
			ufragOf(heard.AwaitOf(t, a.line().Said, func(*galene.Offer) bool { return true }).SDP),
			ufragOf(heard.AwaitOf(t, b.line().Said, func(*galene.Answer) bool { return true }).SDP),
		} {
			require.NotEmpty(t, ufrag)
			require.False(t, seen[ufrag])
			seen[ufrag] = true
		}
		b.flows.RequireMedia(t, "v", "s")
	}
	expect()
	require.NoError(t, pub.Restart())
	expect()
	require.NoError(t, s.Renegotiate())
	expect()
	require.NoError(t, pub.Restart())
	expect()
	require.Equal(t, pcs, []*webrtc.PeerConnection{pub.PeerConnection(), s.PeerConnection()})
	require.Empty(t, b.streams.All(), "the stream is the same")
	b.flows.RequireOnly(t, "v", "s")
	a.requireQuiet()
	b.requireQuiet()
}

// Each renegotiate that comes while an offer is out makes one offer more at most.
func TestRenegotiationWaitsForTheAnswer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.publish(nil, piontest.Video(t, "v"))
	s := b.requireStream()
	b.flows.RequireMedia(t, "v")
	for range 5 {
		require.NoError(t, s.Renegotiate())
	}
	b.flows.RequireMedia(t, "v")
	heard.AwaitOf(t, b.line().Said, func(*galene.Answer) bool { return true })
	heard.AwaitOf(t, b.line().Said, func(*galene.Answer) bool { return true })
	b.flows.RequireMedia(t, "v")
	var order []string
	for _, m := range a.line().Said.All() {
		if _, ok := m.(*galene.Offer); ok {
			order = append(order, "offer")
		}
	}
	require.LessOrEqual(t, len(order), 6)
	a.requireQuiet()
}

func TestRefusalSaysWhatTheServerSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{Router: refuser("no thanks")})
	a := w.join(plan{name: "a"})
	_, err := a.Publish(t.Context(), nil, piontest.Video(t, "v"))
	require.ErrorIs(t, err, &galene.Error{Text: "no thanks"})
	_, err = a.Publish(t.Context(), nil, piontest.Video(t, "v"))
	require.ErrorIs(t, err, &galene.Error{Text: "no thanks"})
}

func TestRefusalWithoutAReasonIsARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{Router: refuser("")})
	a := w.join(plan{name: "a"})
	_, err := a.Publish(t.Context(), nil, piontest.Video(t, "v"))
	require.ErrorIs(t, err, &galene.Error{Text: "the server has aborted the stream"})
}

func TestRefusalsGetTheirReasonsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{Router: router(func(ctx context.Context, m *galene.MediaMember) error {
		var ids []string
		for msg := range m.Messages(ctx) {
			offer, ok := msg.(*galene.Offer)
			if !ok {
				continue
			}
			if ids = append(ids, offer.ID); len(ids) < 2 {
				continue
			}
			for _, id := range ids {
				_ = m.Send(&galene.Abort{ID: id})
			}
			for _, id := range ids {
				_ = m.Send(&galene.UserMessage{Kind: galene.UserMessageError, Value: galene.NewText("not " + id)})
			}
		}
		return nil
	})})
	a := w.join(plan{name: "a"})
	errs := make(chan error, 1)
	go func() {
		_, err := a.Publish(t.Context(), &galenepion.PublishOptions{ID: "one"}, piontest.Video(t, "v"))
		errs <- err
	}()
	_, err := a.Publish(t.Context(), &galenepion.PublishOptions{ID: "two"}, piontest.Video(t, "w"))
	require.ErrorIs(t, err, &galene.Error{Text: "not two"})
	require.ErrorIs(t, <-errs, &galene.Error{Text: "not one"})
}

func TestPublishingNeedsThePermission(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	op := w.join(plan{name: "op"})
	a := w.join(plan{name: "a"})
	require.NoError(t, op.client.UserAction(galene.UserUnpresent, a.client.ID()))
	heard.Await(t, "change", a.messages, func(m galene.Message) bool {
		j, ok := m.(*galene.Joined)
		return ok && j.Kind == galene.JoinedChange
	})
	_, err := a.Publish(t.Context(), nil, piontest.Video(t, "v"))
	var refusal *galene.PermissionError
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, galene.PermissionPresent, refusal.Required)
	require.NotErrorIs(t, err, galenepion.ErrSignaling)
}

func TestStreamComesBackWithThePermission(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pub := a.publish(&galenepion.PublishOptions{Label: "camera"}, piontest.Video(t, "v"))
	once := a.publish(&galenepion.PublishOptions{Once: true}, piontest.Video(t, "once"))
	b.flows.RequireMedia(t, "v", "once")
	first := pub.ID()
	require.NoError(t, b.client.UserAction(galene.UserUnpresent, a.client.ID()))
	<-once.Done()
	require.ErrorIs(t, once.Err(), &galene.Error{Text: "permission denied"})
	require.NoError(t, b.requireClosed(b.requireStream()))
	require.NoError(t, b.requireClosed(b.requireStream()))
	b.flows.RequireOnly(t)

	require.NoError(t, b.client.UserAction(galene.UserPresent, a.client.ID()))
	s := b.requireStream()
	require.Equal(t, "camera", s.Label)
	require.NotEqual(t, first, s.ID)
	require.Equal(t, s.ID, pub.ID())
	b.flows.RequireMedia(t, "v")
	b.flows.RequireOnly(t, "v")
	require.NoError(t, pub.Err())
}

func TestStreamComesBackWithTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a", redial: true})
	b := w.join(plan{name: "b", request: all, redial: true})
	pub := a.publish(&galenepion.PublishOptions{Label: "camera"}, piontest.Video(t, "v"))
	once := a.publish(&galenepion.PublishOptions{Once: true}, piontest.Video(t, "once"))
	b.flows.RequireMedia(t, "v", "once")
	first, second := b.requireStream(), b.requireStream()
	a.cut()
	<-once.Done()
	require.ErrorIs(t, once.Err(), galenepion.ErrDisconnected)
	b.requireClosed(first)
	b.requireClosed(second)
	again := b.requireStream()
	require.Equal(t, "camera", again.Label)
	require.NotContains(t, []string{first.ID, second.ID}, again.ID)
	b.flows.RequireMedia(t, "v")
	b.flows.RequireOnly(t, "v")

	b.cut()
	require.ErrorIs(t, b.requireClosed(again), galenepion.ErrDisconnected)
	b.requireStream()
	b.flows.RequireMedia(t, "v")
	b.flows.RequireOnly(t, "v")
	require.NoError(t, pub.Err())
}

// What the second one answers with is another peer connection than the first one's.
func TestStreamGoesToTheNextUserWhenTheFirstOneHasLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{})
	a := w.join(plan{name: "a"})
	b := w.join(plan{name: "b", request: all})
	pub := a.publish(&galenepion.PublishOptions{Label: "camera"}, piontest.Video(t, "v"))
	b.flows.RequireMedia(t, "v")
	for range 2 {
		require.NoError(t, b.Close())
		require.NoError(t, b.client.Close())
		b = w.join(plan{name: "b", request: all})
		b.flows.RequireMedia(t, "v")
		require.Equal(t, "camera", b.requireStream().Label)
	}
	require.NoError(t, pub.Err())
}

// answerer returns a router that changes the answers of another peer connection.
func answerer(t *testing.T, change func(answer string) string) router {
	return func(ctx context.Context, m *galene.MediaMember) error {
		for msg := range m.Messages(ctx) {
			offer, ok := msg.(*galene.Offer)
			if !ok {
				continue
			}
			pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
			if err != nil {
				return err
			}
			defer pc.GracefulClose()
			err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP})
			if err != nil {
				return err
			}
			answer, err := pc.CreateAnswer(nil)
			if err != nil {
				return err
			}
			_ = m.Send(&galene.Answer{ID: offer.ID, SDP: change(answer.SDP)})
		}
		return nil
	}
}

func TestCodecThatTheGroupDoesNotAllowIsAnError(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(string) string{
		"another codec": strings.NewReplacer("VP8/90000", "other/90000").Replace,
		"rejected":      strings.NewReplacer("m=video 9 ", "m=video 0 ").Replace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, galene.ServerOptions{Router: answerer(t, change)})
			a := w.join(plan{name: "a"})
			_, err := a.Publish(t.Context(), &galenepion.PublishOptions{ID: "mine"}, piontest.Video(t, "v"))
			require.ErrorIs(t, err, galenepion.ErrCodec)
			heard.AwaitOf(t, a.line().Said, func(m *galene.Close) bool { return m.ID == "mine" })
		})
	}
}

func TestAnswerThatIsNoneEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, galene.ServerOptions{Router: answerer(t, func(string) string { return "x" })})
	a := w.join(plan{name: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		heard.Next(t, "warning", a.warnings)
		cancel()
	}()
	_, err := a.Publish(ctx, nil, piontest.Video(t, "v"))
	require.ErrorIs(t, err, context.Canceled)
}

func TestKeyFramesAreAskedForAndHeardOf(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	wanted := heard.New[string]()
	a.publish(&galenepion.PublishOptions{OnKeyFrame: func(track webrtc.TrackLocal) { wanted.Add(track.ID()) }},
		piontest.Video(t, "v"), piontest.Sound(t, "s"))
	f := b.flows.Require(t, "v")
	require.NoError(t, f.Of.(*galenepion.Subscription).RequestKeyFrame(f.Track))
	require.Equal(t, "v", heard.Next(t, "request for a key frame", wanted))
}

func TestEncodingsOfATrackAreOfferedAsOne(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	var tracks []webrtc.TrackLocal
	for _, rid := range []string{"h", "l"} {
		track, err := webrtc.NewTrackLocalStaticRTP(
			webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "v", "stream", webrtc.WithRTPStreamID(rid))
		require.NoError(t, err)
		tracks = append(tracks, track)
	}
	pub := a.publish(nil, append(tracks, piontest.Sound(t, "s"))...)
	b.flows.RequireMedia(t, "s")
	offer := heard.AwaitOf(t, a.line().Said, func(*galene.Offer) bool { return true })
	require.Equal(t, 1, strings.Count(offer.SDP, "m=video"))
	require.Contains(t, offer.SDP, "a=rid:h send")
	require.Contains(t, offer.SDP, "a=rid:l send")
	require.Contains(t, offer.SDP, "a=simulcast:send h;l")
	pub.Unpublish()
	b.requireClosed(b.requireStream())
}

// The network cannot be in a bubble, but whoever waits for an answer has none.
func TestOfferWaitsForItsAnswerAsLongAsTheApplication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, galene.ServerOptions{})
		a := w.join(plan{name: "a"})
		ctx, cancel := context.WithTimeout(t.Context(), 10*galenepion.DefaultConnectTimeout)
		defer cancel()
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "v", "v")
		require.NoError(t, err)
		start := time.Now()
		_, err = a.Publish(ctx, nil, track)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 10*galenepion.DefaultConnectTimeout, time.Since(start))
		require.NoError(t, a.Close())
	})
}
