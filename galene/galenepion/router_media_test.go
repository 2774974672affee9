package galenepion_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

func routerEncodings(t *testing.T) (high, middle, low *routerSource) {
	t.Helper()
	return routerTrack(t, webrtc.MimeTypeVP8, 1, "h"), routerTrack(t, webrtc.MimeTypeVP8, 2, "m"),
		routerTrack(t, webrtc.MimeTypeVP8, 3, "l")
}

func TestSimulcastIsForwardedInItsFirstOrItsLastEncoding(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender := h.join("sender", nil)
	high, middle, low := routerEncodings(t)
	sender.publishSimulcast("s", high, middle, low)
	best, small := h.join("best", routerAll), h.join("small", routerWants(galene.TrackVideoLow))
	best.awaitLayer("s", 1)
	small.awaitLayer("s", 3)

	changer := h.join("changer", routerAll)
	changer.awaitLayer("s", 1)
	for range 3 {
		require.NoError(t, changer.client.RequestStream("s", []galene.TrackKind{galene.TrackVideoLow}))
		changer.awaitLayer("s", 3)
		require.NoError(t, changer.client.RequestStream("s", []galene.TrackKind{galene.TrackVideo}))
		changer.awaitLayer("s", 1)
	}
	require.NoError(t, changer.client.RequestStream("s", nil))
	changer.awaitMedia("s/video")
	require.Equal(t, 1, changer.offered("s"), "a change of the encoding needs no negotiation")
	changer.awaitOnly("s/video")

	changer.mu.Lock()
	defer changer.mu.Unlock()
	packets := changer.flow("s", "video").packets
	slices.SortStableFunc(packets, func(a, b routerPacket) int { return int(int16(a.sequence - b.sequence)) })
	changes, missing := 0, 0
	for i, p := range packets[1:] {
		before := packets[i]
		require.NotEqualValues(t, 2, p.layer)
		require.False(t, p.extension, "its number means nothing here")
		missing += int(p.sequence-before.sequence) - 1
		passed := p.timestamp - before.timestamp
		require.NotZero(t, passed)
		require.Less(t, passed, uint32(90000), "time goes on as it did")
		if p.layer != before.layer {
			changes++
			require.True(t, p.key, "with a key frame")
			require.EqualValues(t, 1, p.sequence-before.sequence)
		}
	}
	require.GreaterOrEqual(t, changes, 6)
	require.Zero(t, missing)
}

func TestEncodingThatTheSenderHoldsBackIsReplacedByOneThatFlows(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	high, middle, low := routerEncodings(t)
	h.join("sender", nil).publishSimulcast("s", high, middle, low)
	best, small := h.join("best", routerAll), h.join("small", routerWants(galene.TrackVideoLow))
	best.awaitLayer("s", 1)
	small.awaitLayer("s", 3)
	high.pause(true)
	best.awaitLayer("s", 2)
	low.pause(true)
	small.awaitLayer("s", 2)
	middle.pause(true)
	low.pause(false)
	best.awaitLayer("s", 3)
	small.awaitLayer("s", 3)
	high.pause(false)
	best.awaitLayer("s", 1)
	small.awaitMedia("s/video")
	require.Equal(t, 1, best.offered("s"))
	require.Equal(t, 1, small.offered("s"))
}

func TestVideoInOneEncodingIsWhatThoseGetWhoWantASmallOne(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	h.join("sender", nil).publish("s", "camera", "", routerVideo(t), routerSound(t))
	viewer := h.join("viewer", routerWants(galene.TrackVideoLow))
	viewer.awaitMedia("s/video")
	viewer.awaitOnly("s/video")
	require.NoError(t, viewer.request(routerWants(galene.TrackVideo)))
	require.NoError(t, viewer.request(routerWants(galene.TrackVideo, galene.TrackAudio)))
	viewer.awaitMedia("s/video", "s/audio")
	require.Equal(t, 2, viewer.offered("s"))
}

// requireEverything waits until more than this many packets have come without a gap.
func (g *routerGuest) requireEverything(stream string, count int) {
	g.t.Helper()
	g.await("packets without a gap", func() bool {
		f := g.flow(stream, "video")
		if f == nil || len(f.packets) < count {
			return false
		}
		seen := make(map[uint16]bool)
		for _, p := range f.packets {
			seen[p.sequence] = true
		}
		first := f.packets[0].sequence
		for i := range uint16(count) {
			if !seen[first+i] {
				return false
			}
		}
		return true
	})
}

func TestLostPacketsAreRepeatedByTheRouter(t *testing.T) {
	t.Parallel()
	loss := &routerLossy{every: 10, seen: make(map[uint16]bool)}
	h := newRouterHall(t, galenepion.RouterOptions{API: loss.api(t)})
	h.join("sender", nil).publish("s", "camera", "", routerVideo(t))
	h.join("viewer", routerAll).requireEverything("s", 200)
	loss.mu.Lock()
	defer loss.mu.Unlock()
	require.Greater(t, loss.lost, 10)
}

func TestLostPacketsAreRepeatedByTheSender(t *testing.T) {
	t.Parallel()
	loss := &routerLossy{every: 10, seen: make(map[uint16]bool)}
	api := loss.api(t)
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender, viewer := h.join("sender", nil), h.join("viewer", routerAll)
	sender.api = func() (*webrtc.API, error) { return api, nil }
	sender.publish("s", "camera", "", routerVideo(t))
	viewer.requireEverything("s", 200)
	loss.mu.Lock()
	defer loss.mu.Unlock()
	require.Greater(t, loss.lost, 10)
}

func TestSenderIsAskedForAKeyFrameForEachNewReceiver(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	video := routerVideo(t)
	h.join("sender", nil).publish("s", "camera", "", routerSound(t), video)
	for _, name := range []string{"one", "two", "three"} {
		viewer := h.join(name, routerAll)
		viewer.await("key frame", func() bool {
			f := viewer.flow("s", "video")
			return f != nil && slices.ContainsFunc(f.packets, func(p routerPacket) bool { return p.key })
		})
	}
}

func TestSenderIsAskedForAKeyFrameTwiceASecondAtMost(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	video := routerVideo(t)
	h.join("sender", nil).publish("s", "camera", "", video)
	viewers := []*routerGuest{h.join("one", routerAll), h.join("two", routerAll)}
	for _, v := range viewers {
		v.awaitMedia("s/video")
	}
	const asked = 4
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	timeout := time.After(routerPatience)
	<-video.asked
	begin := time.Now()
	for heard := 0; heard < asked; {
		for i, v := range viewers {
			v.mu.Lock()
			f := v.flow("s", "video")
			v.mu.Unlock()
			ssrc := uint32(f.remote.SSRC())
			packet := []rtcp.Packet{
				&rtcp.PictureLossIndication{MediaSSRC: ssrc},
				&rtcp.FullIntraRequest{MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc}}},
			}[i]
			require.NoError(t, f.session.PeerConnection().WriteRTCP([]rtcp.Packet{packet}))
		}
		select {
		case <-video.asked:
			heard++
		case <-again.C:
		case <-timeout:
			require.FailNow(t, "not asked")
		}
	}
	require.Greater(t, time.Since(begin), 1400*time.Millisecond)
}

func TestSenderIsToldTheBitRateThatItsReceiversCanTake(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{Bitrate: 1_000_000})
	sender := h.join("sender", nil)
	high, middle, low := routerEncodings(t)
	sender.publishSimulcast("many", high, middle, low)
	sender.publish("one", "camera", "", routerVideo(t))
	rate := func(stream string, bits float32) {
		t.Helper()
		sender.await(fmt.Sprint("bit rate ", bits, " of ", stream), func() bool { return sender.rembs[stream] == bits })
	}
	rate("one", 500_000)
	rate("many", 500_000)
	a := h.join("a", routerAll)
	rate("one", 1_000_000)
	rate("many", 1_000_000)
	a.report("one", 600_000)
	a.report("many", 600_000)
	rate("one", 600_000)
	rate("many", 600_000)
	b := h.join("b", routerAll)
	change := b.report("one", 400_000)
	b.report("many", 700_000)
	rate("one", 400_000)
	rate("many", 700_000)
	change(1)
	rate("one", 200_000)
	a.leave()
	b.leave()
	rate("one", 500_000)
	rate("many", 500_000)
}

func TestReceiverWhoDoesNotAnswerKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	h := newRouterHall(t, galenepion.RouterOptions{})
	sender := h.join("sender", nil)
	stuck := h.join("stuck", nil)
	stuck.note(func() { stuck.stuck = true })
	require.NoError(t, stuck.request(routerAll))
	sender.publish("s", "camera", "", routerSound(t), routerVideo(t))
	stuck.awaitOffer("s")
	viewer := h.join("viewer", routerAll)
	viewer.awaitMedia("s/audio", "s/video")
	require.NoError(t, stuck.request(routerWants(galene.TrackAudio)))
	require.NoError(t, stuck.request(nil))
	stuck.awaitClose("s")
	require.Equal(t, 1, stuck.offered("s"), "one offer at a time")
}
