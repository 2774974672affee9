package galenepion_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

// routerWants wants these kinds of everything.
func routerWants(kinds ...galene.TrackKind) map[string][]galene.TrackKind {
	return map[string][]galene.TrackKind{"": kinds}
}

func TestRequestsChooseTheTracksOfStreams(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender := h.join("sender", nil)
	sender.publish("s", "camera", "", routerSound(t), routerVideo(t))
	viewer := h.join("viewer", routerWants(galene.TrackAudio))
	viewer.awaitMedia("s/audio")
	viewer.awaitOnly("s/audio")
	require.Equal(t, 1, viewer.offered("s"))

	require.NoError(t, viewer.request(routerAll))
	viewer.awaitMedia("s/audio", "s/video")
	require.Equal(t, 2, viewer.offered("s"))

	require.NoError(t, viewer.request(routerWants(galene.TrackVideo)))
	viewer.awaitOnly("s/video")
	viewer.awaitMedia("s/video")

	require.NoError(t, viewer.request(routerAll))
	viewer.awaitMedia("s/audio", "s/video")
	require.Equal(t, 4, viewer.offered("s"), "one for each change")

	// What changes nothing is not negotiated.
	require.NoError(t, viewer.request(map[string][]galene.TrackKind{
		"camera": {galene.TrackVideo, galene.TrackAudio, "smell"},
	}))
	require.NoError(t, viewer.request(nil))
	viewer.awaitClose("s")
	viewer.awaitOnly()
	require.Equal(t, 4, viewer.offered("s"))

	require.NoError(t, viewer.request(routerAll))
	viewer.awaitMedia("s/audio", "s/video")
	require.Equal(t, 5, viewer.offered("s"))
	require.Equal(t, 0, sender.offered("s"), "nobody gets what it sends")
}

func TestRequestsChooseByLabelAndElseTheDefault(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender := h.join("sender", nil)
	for _, label := range []string{"camera", "screenshare", ""} {
		sender.publish("s-"+label, label, "", routerSound(t), routerVideo(t))
	}
	viewer := h.join("viewer", map[string][]galene.TrackKind{
		"camera": {galene.TrackAudio}, "screenshare": {}, "": {galene.TrackVideo},
	})
	viewer.awaitMedia("s-camera/audio", "s-/video")
	viewer.awaitOnly("s-camera/audio", "s-/video")
	require.NoError(t, viewer.request(map[string][]galene.TrackKind{"screenshare": {galene.TrackVideo}}))
	viewer.awaitMedia("s-screenshare/video")
	viewer.awaitOnly("s-screenshare/video")
	viewer.awaitClose("s-camera")
	viewer.awaitClose("s-")
	require.Equal(t, 1, viewer.offered("s-screenshare"))
}

func TestRequestOfOneStreamGoesBeforeThoseByLabel(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender := h.join("sender", nil)
	for _, id := range []string{"one", "two"} {
		sender.publish(id, "camera", "", routerSound(t), routerVideo(t))
	}
	viewer := h.join("viewer", routerAll)
	viewer.awaitOnly("one/audio", "one/video", "two/audio", "two/video")

	require.NoError(t, viewer.client.RequestStream("one", []galene.TrackKind{galene.TrackAudio}))
	viewer.awaitOnly("one/audio", "two/audio", "two/video")
	require.NoError(t, viewer.request(routerWants(galene.TrackVideo)))
	viewer.awaitOnly("one/audio", "two/video")
	require.NoError(t, viewer.client.RequestStream("one", nil))
	viewer.awaitOnly("one/video", "two/video")

	require.NoError(t, viewer.client.RequestStream("one", []galene.TrackKind{}))
	viewer.awaitClose("one")
	viewer.awaitOnly("two/video")
	offered := viewer.offered("one")
	sender.publish("three", "camera", "", routerVideo(t)) // the streams are looked at again
	viewer.awaitMedia("three/video", "two/video")
	require.Equal(t, offered, viewer.offered("one"))
	require.NoError(t, viewer.request(routerAll))
	viewer.awaitMedia("one/audio", "one/video", "two/audio", "two/video", "three/video")
}

func TestLateMemberGetsEverythingThatRuns(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	var want []string
	for _, name := range []string{"a", "b"} {
		h.join(name, nil).publish(name, "camera", "", routerSound(t), routerVideo(t))
		want = append(want, name+"/audio", name+"/video")
	}
	h.join("early", routerAll).awaitMedia(want...)
	late := h.join("late", routerAll)
	late.awaitMedia(want...)
	late.awaitOnly(want...)
	for _, name := range []string{"a", "b"} {
		require.Equal(t, 1, late.offered(name), "both tracks at once")
	}
}

func TestMemberWhoAbortsAStreamGetsItAgainWithTheNextRequest(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender := h.join("sender", nil)
	sender.publish("s", "camera", "", routerSound(t))
	viewer := h.join("viewer", nil)
	viewer.note(func() { viewer.refuse = true })
	require.NoError(t, viewer.request(routerAll))
	viewer.awaitClose("s")
	viewer.note(func() { viewer.refuse = false })
	sender.publish("other", "camera", "", routerSound(t))
	viewer.awaitMedia("other/audio")
	require.Equal(t, 1, viewer.offered("s"))
	require.NoError(t, viewer.request(routerAll))
	viewer.awaitMedia("s/audio", "other/audio")
	require.Equal(t, 2, viewer.offered("s"))

	require.NoError(t, viewer.client.Send(&galene.Abort{ID: "s"}), "while it arrives")
	viewer.awaitClose("s")
	viewer.awaitOnly("other/audio")
}

func TestTracksThatComeAndGoAreNegotiated(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sound, video := routerSound(t), routerVideo(t)
	session := sender.publish("s", "camera", "", sound)
	viewer.awaitMedia("s/audio")
	require.NoError(t, session.AddTrack(video))
	viewer.awaitMedia("s/audio", "s/video")
	require.NoError(t, session.RemoveTrack(sound))
	viewer.awaitOnly("s/video")
	viewer.awaitMedia("s/video")
	require.NoError(t, session.AddTrack(sound))
	viewer.awaitMedia("s/audio", "s/video")
	require.Equal(t, 4, viewer.offered("s"))
}

func TestOnlyTheFirstTrackOfAKindIsForwarded(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.publish("s", "camera", "",
		routerTrack(t, "video/VP8", 1, ""), routerTrack(t, "video/VP8", 2, ""), routerSound(t))
	viewer.awaitMedia("s/video", "s/audio")
	viewer.awaitOnly("s/video", "s/audio")
	viewer.awaitLayer("s", 1)
	viewer.awaitMedia("s/video")
	viewer.mu.Lock()
	defer viewer.mu.Unlock()
	packets := viewer.flow("s", "video").packets
	first := slices.IndexFunc(packets, func(p routerPacket) bool { return p.layer == 1 })
	for _, p := range packets[first:] { // before that, it may not have been there yet
		require.EqualValues(t, 1, p.layer)
	}
}

func TestGroupsAreSeparate(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	for _, group := range []string{"g", "h"} {
		h.joinGroup(group, "sender", nil).publish("same", "camera", "", routerSound(t))
	}
	for _, group := range []string{"g", "h"} {
		viewer := h.joinGroup(group, "viewer", routerAll)
		viewer.awaitMedia("same/audio")
		viewer.awaitOnly("same/audio")
		require.Equal(t, 1, h.router.Streams(group))
	}
	require.Zero(t, h.router.Streams("nowhere"))
}
