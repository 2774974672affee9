package galenepion_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/transport"
)

// routerUfrag returns the user name fragment of a description.
func routerUfrag(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r\n")
	return ufrag
}

func (g *routerGuest) awaitOffer(id string) *galene.Offer {
	g.t.Helper()
	return routerAwait(g, "offer of "+id, func(m *galene.Offer) bool { return m.ID == id })
}

func (g *routerGuest) awaitError(part string) {
	g.t.Helper()
	routerAwait(g, "error "+part, func(m *galene.UserMessage) bool {
		text, ok := galene.Text(m.Value)
		return ok && m.Kind == galene.UserMessageError && m.Privileged && strings.Contains(text, part)
	})
}

func (g *routerGuest) awaitAbort(id string) {
	g.t.Helper()
	routerAwait(g, "abort of "+id, func(m *galene.Abort) bool { return m.ID == id })
}

// requireNone checks that none of the messages so far satisfies no.
func (g *routerGuest) requireNone(what string, no func(galene.Message) bool) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.heard {
		require.False(g.t, no(m), what)
	}
}

func routerIsClose(m galene.Message) bool {
	_, ok := m.(*galene.Close)
	return ok
}

func TestStreamThatReplacesAnotherIsOneOfferToItsReceivers(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("old", "camera", "", routerSound(t), routerVideo(t))
	viewer.awaitMedia("old/audio", "old/video")
	require.Empty(t, viewer.awaitOffer("old").Replace)

	sender.unpublish("old") // as the browser does
	sender.publish("new", "camera", "old", routerVideo(t))
	viewer.awaitMedia("new/video")
	viewer.awaitOnly("new/video")
	require.Equal(t, "old", viewer.awaitOffer("new").Replace)
	require.Equal(t, 1, h.router.Streams("g"))

	sender.publish("newest", "camera", "new", routerSound(t))
	viewer.awaitMedia("newest/audio")
	viewer.awaitOnly("newest/audio")
	require.Equal(t, "new", viewer.awaitOffer("newest").Replace)
	viewer.requireNone("nobody closes what is replaced", routerIsClose)

	late := h.join("late", routerAll)
	late.awaitMedia("newest/audio")
	require.Empty(t, late.awaitOffer("newest").Replace, "it never had the others")
}

func TestOfStreamsThatReplaceEachOtherInARowOneIsLeft(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sound := routerSound(t)
	sender.publish("0", "camera", "", sound)
	viewer.awaitMedia("0/audio")
	const last = 8
	for i := range last {
		id := fmt.Sprint(i + 1)
		sender.publish(id, "camera", fmt.Sprint(i), sound)
		sender.await("own offer", func() bool { return sender.sent[id] > 0 })
		if i%3 == 1 {
			viewer.awaitOffer(id)
		}
	}
	want := fmt.Sprint(last, "/audio")
	viewer.awaitMedia(want)
	viewer.awaitOnly(want)
	viewer.mu.Lock()
	defer viewer.mu.Unlock()
	require.Len(t, viewer.downs, 1, "the others have been replaced")
	for _, m := range viewer.heard {
		require.False(t, routerIsClose(m), "nobody closes what is replaced")
	}
	require.Equal(t, 1, h.router.Streams("g"))
}

func TestStreamThatIsReplacedByOneThatIsNotWantedIsClosed(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender := h.join("sender", nil)
	viewer := h.join("viewer", map[string][]galene.TrackKind{"camera": {galene.TrackAudio}})
	sender.publish("old", "camera", "", routerSound(t))
	sender.publish("video", "camera", "", routerSound(t), routerVideo(t))
	viewer.awaitMedia("old/audio", "video/audio")
	sender.publish("new", "screenshare", "old", routerSound(t))
	viewer.awaitClose("old")
	viewer.awaitOnly("video/audio")
	sender.publish("silent", "camera", "video", routerVideo(t))
	viewer.awaitClose("video")
	viewer.awaitOnly()
}

func TestStreamWhoseReplacementIsRefusedIsClosed(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("old", "camera", "", routerSound(t))
	viewer.awaitMedia("old/audio")
	require.NoError(t, sender.client.Send(&galene.Offer{ID: "new", Replace: "old", SDP: "nonsense"}))
	sender.awaitAbort("new")
	viewer.awaitClose("old")
	require.Zero(t, h.router.Streams("g"))
}

func TestStreamThatIsClosedIsClosedForItsReceivers(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	for range 3 { // under the same id
		sender.publish("s", "camera", "", routerSound(t), routerVideo(t))
		viewer.awaitMedia("s/audio", "s/video")
		sender.unpublish("s")
		require.NoError(t, sender.client.Send(&galene.Close{ID: "s"}))
		viewer.awaitClose("s")
		viewer.awaitOnly()
	}
	require.Equal(t, 3, viewer.offered("s"))
}

func TestStreamsOfAMemberWhoMayNotPresentAnyMoreEnd(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("one", "camera", "", routerSound(t))
	sender.publish("two", "camera", "", routerVideo(t))
	viewer.awaitMedia("one/audio", "two/video")
	require.NoError(t, viewer.client.UserAction(galene.UserUnpresent, sender.client.ID()))
	for _, id := range []string{"one", "two"} {
		sender.awaitAbort(id)
		viewer.awaitClose(id)
	}
	viewer.awaitOnly()

	require.NoError(t, viewer.client.UserAction(galene.UserPresent, sender.client.ID()))
	routerAwait(sender, "permission", func(m *galene.Joined) bool {
		return m.Kind == galene.JoinedChange && m.Permissions.Has(galene.PermissionPresent)
	})
	sender.publish("three", "camera", "", routerSound(t))
	viewer.awaitMedia("three/audio")
	require.Equal(t, 1, h.router.Streams("g"))
}

func TestReceiverGetsAnICERestartWhenItAsks(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("s", "camera", "", routerSound(t))
	viewer.awaitMedia("s/audio")
	first := viewer.awaitOffer("s")
	require.NoError(t, viewer.client.Send(&galene.Renegotiate{ID: "s"}))
	second := viewer.awaitOffer("s")
	require.NotEqual(t, routerUfrag(first.SDP), routerUfrag(second.SDP))
	viewer.awaitMedia("s/audio")

	// While an offer is out, any number of requests is one offer after the answer.
	viewer.note(func() { viewer.stuck = true })
	require.NoError(t, viewer.client.Send(&galene.Renegotiate{ID: "s"}))
	third := viewer.awaitOffer("s")
	for range 3 {
		require.NoError(t, viewer.client.Send(&galene.Renegotiate{ID: "s"}))
	}
	viewer.note(func() { viewer.stuck = false })
	viewer.answer(third)
	fourth := viewer.awaitOffer("s")
	require.NotEqual(t, routerUfrag(third.SDP), routerUfrag(fourth.SDP))
	viewer.awaitMedia("s/audio")
	require.Equal(t, 4, viewer.offered("s"))
}

func TestSenderMayRestartICE(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	session := sender.publish("s", "camera", "", routerSound(t))
	viewer.awaitMedia("s/audio")
	isAnswer := func(m *galene.Answer) bool { return m.ID == "s" }
	first := routerAwait(sender, "answer", isAnswer)
	session.Restart()
	second := routerAwait(sender, "answer", isAnswer)
	require.NotEqual(t, routerUfrag(first.SDP), routerUfrag(second.SDP))
	viewer.awaitMedia("s/audio")
	require.Equal(t, 1, viewer.offered("s"))
}

func TestPathThatFailsIsTriedAgainOnBothSides(t *testing.T) {
	t.Parallel()
	settings := loopback.Settings()
	settings.SetICETimeouts(100*time.Millisecond, 200*time.Millisecond, 50*time.Millisecond)
	h := newRouterHallOver(t, settings, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", nil)
	sender.setMute(true)
	viewer.setMute(true)
	viewer.note(func() { viewer.stuck = true })
	sender.publish("s", "camera", "", routerSound(t))
	routerAwait(sender, "renegotiate", func(m *galene.Renegotiate) bool { return m.ID == "s" })
	require.NoError(t, viewer.request(routerAll))
	first := viewer.awaitOffer("s")
	viewer.answer(first)
	restart := viewer.awaitOffer("s")
	require.NotEqual(t, routerUfrag(first.SDP), routerUfrag(restart.SDP))
	viewer.setMute(false)
	viewer.note(func() { viewer.stuck = false })
	viewer.answer(restart)
	viewer.awaitMedia("s/audio")
}

func TestStreamThatIsNotConnectedInTimeEnds(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{ConnectTimeout: 3 * time.Second})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.setMute(true)
	viewer.note(func() { viewer.stuck = true })
	sender.publish("dark", "camera", "", routerSound(t))
	sender.awaitAbort("dark")
	sender.awaitError("not connected in time")
	sender.setMute(false)
	sender.publish("bright", "camera", "", routerSound(t))
	viewer.awaitOffer("bright")
	viewer.awaitClose("bright")
	viewer.note(func() { viewer.stuck = false })
	require.NoError(t, viewer.request(routerAll))
	viewer.awaitMedia("bright/audio")
}

func TestDescriptionThatIsNoneEndsTheStreamAndSaysWhy(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	const section = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
	valid := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
	for sdp, text := range map[string]string{
		"nonsense":                          "sdp:",
		valid:                               "no media section",
		valid + section + "a=mid:0\r\n":     "no ICE credentials",
		valid + strings.Repeat(section, 65): "too many media sections",
		valid + section + strings.Repeat("a=rid:x send\r\n", 17):                   "too many encodings",
		valid + section + "a=simulcast:send 1" + strings.Repeat(";2", 16) + "\r\n": "too many encodings",
	} {
		id := galene.NewID() // what was aborted does not come again
		require.NoError(t, sender.client.Send(&galene.Offer{ID: id, SDP: sdp}))
		sender.awaitAbort(id)
		sender.awaitError(text)
	}

	sender.publish("s", "camera", "", routerSound(t))
	viewer.awaitMedia("s/audio")
	require.NoError(t, sender.client.Send(&galene.Offer{ID: "s", SDP: valid}))
	sender.awaitAbort("s")
	sender.awaitError("no media section")
	viewer.awaitClose("s")

	sender.publish("again", "camera", "", routerSound(t))
	viewer.awaitMedia("again/audio")
	viewer.note(func() { viewer.stuck = true })
	require.NoError(t, viewer.client.Send(&galene.Renegotiate{ID: "again"}))
	viewer.awaitOffer("again")
	viewer.awaitOffer("again")
	require.NoError(t, viewer.client.Send(&galene.Answer{ID: "again", SDP: valid}))
	viewer.awaitClose("again")
	viewer.awaitError("no media section")
}

func TestReceiverThatClosesItsPeerConnectionIsToldOfTheEnd(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("s", "camera", "", routerSound(t))
	viewer.awaitMedia("s/audio")
	viewer.drop("s")
	viewer.awaitClose("s")
	require.NoError(t, viewer.request(routerAll))
	viewer.awaitMedia("s/audio")
}

func TestStreamsOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{Streams: 2})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("one", "camera", "", routerSound(t))
	viewer.publish("two", "camera", "", routerSound(t))
	viewer.awaitMedia("one/audio")
	require.Equal(t, 2, h.router.Streams("g"))
	sender.publish("three", "camera", "", routerSound(t))
	sender.awaitAbort("three")
	sender.awaitError("too many streams")
	sender.publish("four", "camera", "one", routerSound(t))
	viewer.awaitMedia("four/audio")
	viewer.requireNone("it has been replaced", routerIsClose)
}

func TestTracksOverTheLimitAreNotForwarded(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{Tracks: 1})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("s", "camera", "", routerSound(t), routerVideo(t))
	viewer.await("a track", func() bool { return len(viewer.flows) == 1 && len(viewer.flows[0].packets) > 2 })
	require.Equal(t, 1, viewer.offered("s"))
}

func TestGroupsHaveTheCodecsThatTheyName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		codecs []string
		want   []string
	}{
		{nil, []string{"111 opus/48000/2", "96 VP8/90000"}},
		{[]string{"nothing known"}, []string{"111 opus/48000/2", "96 VP8/90000"}},
		{[]string{"VP8", "vp8", "pcmu"}, []string{"0 PCMU/8000", "96 VP8/90000"}},
		{[]string{"vp9", "g722"}, []string{"9 G722/8000", "98 VP9/90000"}},
		{[]string{"h264", "pcma"}, []string{"8 PCMA/8000", "102 H264/90000"}},
		{[]string{"av1", "opus"}, []string{"111 opus/48000/2", "35 AV1/90000"}},
	} {
		t.Run(fmt.Sprint(test.codecs), func(t *testing.T) {
			t.Parallel()
			h := newRouterHall(t, galenepion.RouterOptions{}, test.codecs...)
			sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
			var tracks []*routerSource
			for i, codec := range test.want {
				_, name, _ := strings.Cut(codec, " ")
				name, _, _ = strings.Cut(name, "/")
				tracks = append(tracks, routerTrack(t, []string{"audio/", "video/"}[i]+name, byte(i), ""))
			}
			sender.publish("s", "camera", "", tracks...)
			viewer.awaitMedia("s/audio", "s/video")
			offer := viewer.awaitOffer("s")
			for _, codec := range test.want {
				require.Contains(t, offer.SDP, "a=rtpmap:"+codec)
			}
			require.NotContains(t, offer.SDP, "rtx")
			require.NotContains(t, offer.SDP, "transport-cc")
			require.NotContains(t, offer.SDP, "a=candidate")
			for _, feedback := range []string{"goog-remb", "nack", "nack pli", "ccm fir"} {
				payload, _, _ := strings.Cut(test.want[1], " ")
				require.Equal(t, 1, strings.Count(offer.SDP, "a=rtcp-fb:"+payload+" "+feedback+" \r\n")+
					strings.Count(offer.SDP, "a=rtcp-fb:"+payload+" "+feedback+"\r\n"), feedback)
			}
		})
	}
}

func TestSenderOfACodecThatAGroupDoesNotHaveGetsAnAnswer(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("s", "camera", "", routerTrack(t, webrtc.MimeTypePCMU, 1, ""))
	answer := routerAwait(sender, "answer", func(m *galene.Answer) bool { return m.ID == "s" })
	require.Contains(t, answer.SDP, "opus")
	require.NotContains(t, answer.SDP, "PCMU")
	sender.publish("other", "camera", "s", routerSound(t))
	viewer.awaitMedia("other/audio")
	sender.requireNone("it is not refused", func(m galene.Message) bool {
		_, ok := m.(*galene.Abort)
		return ok
	})
}

func TestMembersComeAndGoWithoutATrace(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	host := h.join("host", routerAll)
	host.publish("host", "camera", "", routerSound(t))
	sound := routerSound(t)
	for i := range 30 {
		guest := h.join(fmt.Sprint("guest ", i), routerAll)
		id := fmt.Sprint("guest-", i)
		guest.publish(id, "camera", "", sound)
		switch i % 3 {
		case 0:
			guest.awaitMedia("host/audio")
			host.awaitMedia(id + "/audio")
		case 1:
			guest.awaitOffer("host")
		}
		guest.leave()
	}
	host.awaitOnly()
	require.Equal(t, 1, h.router.Streams("g"))
	host.leave()
	require.Zero(t, h.router.Streams("g"))
}

func TestRouterThatIsClosedEndsTheMediaOfItsMembers(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("s", "camera", "", routerSound(t))
	viewer.awaitMedia("s/audio")
	require.NoError(t, h.router.Close())
	require.NoError(t, h.router.Close())
	for _, g := range []*routerGuest{sender, viewer} {
		select {
		case <-g.client.Done():
		case <-time.After(routerPatience):
			require.FailNow(t, "the connection has not ended")
		}
		var e *transport.CloseError
		require.ErrorAs(t, g.client.Err(), &e)
		require.Equal(t, transport.StatusInternalError, e.Code)
	}
	require.Zero(t, h.router.Streams("g"))
	require.ErrorIs(t, h.router.Serve(context.Background(), new(galene.MediaMember)), galenepion.ErrClosed)
}

func TestStreamWithoutAPeerConnectionIsKeptForAWhileOnly(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("s", "camera", "", routerSound(t))
	viewer.awaitMedia("s/audio")
	sender.unpublish("s") // and nothing is said
	sender.awaitAbort("s")
	sender.awaitError("connection failed")
	viewer.awaitClose("s")
	sender.publish("again", "camera", "", routerSound(t))
	viewer.awaitMedia("again/audio")
}

func TestWhatMakesNoSenseHurtsNoStream(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("s", "camera", "", routerSound(t))
	viewer.awaitMedia("s/audio")
	answer := viewer.session("s").PeerConnection().LocalDescription().SDP
	ufrag := "of nobody"
	for _, candidate := range []string{"", "nonsense", "candidate:1 1 udp 1 127.0.0.1 1 typ host", "candidate:"} {
		for _, u := range []*string{nil, &ufrag} {
			ice := galene.NewICE("s", galene.ICECandidateInit{Candidate: candidate, UsernameFragment: u})
			require.NoError(t, sender.client.Send(ice))
			ice = galene.NewICE("s", galene.ICECandidateInit{Candidate: candidate, UsernameFragment: u})
			require.NoError(t, viewer.client.Send(ice))
		}
	}
	require.NoError(t, viewer.client.Send(&galene.Answer{ID: "s", SDP: answer}), "to no offer")
	require.NoError(t, viewer.request(map[string][]galene.TrackKind{"": {"audio", "audio", "", "nothing"}}))
	viewer.awaitMedia("s/audio")
	require.NoError(t, viewer.client.Send(&galene.Renegotiate{ID: "s"}))
	viewer.await("another offer", func() bool { return viewer.offers["s"] == 2 })
	viewer.awaitMedia("s/audio")
	for _, g := range []*routerGuest{sender, viewer} {
		g.requireNone("nothing ends", func(m galene.Message) bool {
			_, abort := m.(*galene.Abort)
			return abort || routerIsClose(m)
		})
	}
}

func TestMemberWhoComesLateGetsManyStreams(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sound := routerSound(t)
	var want []string
	for i := range 2 {
		sender := h.join(fmt.Sprint("sender ", i), nil)
		for j := range 8 {
			id := fmt.Sprint(i, "-", j)
			sender.publish(id, "camera", "", sound)
			want = append(want, id+"/audio")
		}
	}
	first := h.join("first", routerAll)
	first.awaitMedia(want...)
	late := h.join("late", routerAll)
	late.awaitMedia(want...)
	late.awaitOnly(want...)
	require.NoError(t, late.request(nil))
	late.awaitOnly()
	for _, name := range want {
		id, _, _ := strings.Cut(name, "/")
		late.awaitClose(id)
		require.Equal(t, 1, late.offered(id))
	}
}
