package galenepion_test

import (
	"bytes"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

// newGroup makes a world whose server forwards between any number of users.
func newGroup(t *testing.T) *world {
	t.Helper()
	r := galenepion.NewRouter(&galenepion.RouterOptions{Settings: loopback.Settings()})
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return newWorld(t, galene.ServerOptions{Router: r})
}

func TestThreeMembersSeeEachOtherThroughARouter(t *testing.T) {
	t.Parallel()
	w := newGroup(t)
	a := w.join(plan{name: "a", request: all})
	b := w.join(plan{name: "b", request: all})
	c := w.join(plan{name: "c", request: all})
	for _, m := range []*member{a, b, c} {
		m.publish(&galenepion.PublishOptions{Label: "camera"}, piontest.Video(t, "v"), piontest.Sound(t, "s"))
	}
	for _, m := range []*member{a, b, c} {
		from := make(map[string]bool)
		for range 2 {
			from[m.requireStream().Source] = true
		}
		require.Len(t, from, 2)
		require.NotContains(t, from, m.client.ID())
		m.flows.Await(t, "four tracks", func(flows []*piontest.Flow) bool {
			live := 0
			for _, f := range flows {
				if !f.Ended && f.Packets > 2 {
					live++
				}
			}
			return live == 4
		})
		m.requireQuiet()
	}
}

func TestStreamOfARouterDoesWhatIsAskedOfIt(t *testing.T) {
	t.Parallel()
	w := newGroup(t)
	a := w.join(plan{name: "a"})
	b := w.join(plan{name: "b", request: all})
	pub := a.publish(nil, piontest.Video(t, "v"), piontest.Sound(t, "s"))
	s := b.requireStream()
	tracks := func(n int) {
		t.Helper()
		b.flows.Await(t, "tracks", func(flows []*piontest.Flow) bool {
			live := 0
			for _, f := range flows {
				if f.Of == s && !f.Ended && f.Packets > 2 {
					live++
				}
			}
			return live == n
		})
	}
	tracks(2)
	require.NoError(t, s.Request([]galene.TrackKind{galene.TrackAudio}))
	tracks(1)
	require.NoError(t, s.Request(nil))
	tracks(2)
	require.NoError(t, s.Renegotiate())
	require.NoError(t, pub.Restart())
	tracks(2)
	require.NoError(t, s.Request([]galene.TrackKind{}))
	require.NoError(t, b.requireClosed(s))
	require.NoError(t, b.client.Request(all))
	s = b.requireStream()
	tracks(2)
	s.Abort()
	require.NoError(t, b.requireClosed(s))
	require.NoError(t, b.client.Request(all))
	s = b.requireStream()
	tracks(2)
	first := s
	pub = a.publish(&galenepion.PublishOptions{Replace: pub}, piontest.Video(t, "v"), piontest.Sound(t, "s"))
	s = b.requireStream()
	require.Same(t, first, s.Replaces)
	tracks(2)
	pub.Unpublish()
	require.NoError(t, b.requireClosed(s))
	a.requireQuiet()
	b.requireQuiet()
}

// The router tells the encodings apart by what their packets say, and asks for a key frame
// of the one that somebody wants.
func TestEncodingsOfATrackAreToldApart(t *testing.T) {
	t.Parallel()
	w := newGroup(t)
	a := w.join(plan{name: "a"})
	b := w.join(plan{name: "b", request: all})
	wanted := heard.New[string]()
	var tracks []webrtc.TrackLocal
	for i, rid := range []string{"h", "l"} {
		track, err := webrtc.NewTrackLocalStaticSample(
			webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "v", "v", webrtc.WithRTPStreamID(rid))
		require.NoError(t, err)
		tracks = append(tracks, track)
		// Key frames of VP8, as far as anybody looks at them.
		piontest.Play(t, track, append([]byte{0}, bytes.Repeat([]byte{byte(i)}, 99)...))
	}
	a.publish(&galenepion.PublishOptions{OnKeyFrame: func(track webrtc.TrackLocal) { wanted.Add(track.RID()) }}, tracks...)
	s := b.requireStream()
	media := func(flows []*piontest.Flow) bool { return len(flows) > 0 && flows[len(flows)-1].Packets > 2 }
	b.flows.Await(t, "media", media)
	heard.Await(t, "request for a key frame of h", wanted, func(rid string) bool { return rid == "h" })
	require.NoError(t, s.Request([]galene.TrackKind{galene.TrackVideoLow}))
	heard.Await(t, "request for a key frame of l", wanted, func(rid string) bool { return rid == "l" })
	b.flows.Await(t, "media", media)
}

func TestStreamComesBackThroughARouter(t *testing.T) {
	t.Parallel()
	w := newGroup(t)
	a := w.join(plan{name: "a", redial: true})
	b := w.join(plan{name: "b", request: all, redial: true})
	a.publish(nil, piontest.Video(t, "v"))
	s := b.requireStream()
	b.flows.Await(t, "media", func(flows []*piontest.Flow) bool { return len(flows) > 0 && flows[0].Packets > 2 })

	require.NoError(t, b.client.UserAction(galene.UserUnpresent, a.client.ID()))
	require.NoError(t, b.requireClosed(s))
	require.NoError(t, b.client.UserAction(galene.UserPresent, a.client.ID()))
	s = b.requireStream()
	a.cut()
	require.NoError(t, b.requireClosed(s))
	s = b.requireStream()
	b.cut()
	require.ErrorIs(t, b.requireClosed(s), galenepion.ErrDisconnected)
	s = b.requireStream()
	b.flows.Await(t, "media", func(flows []*piontest.Flow) bool {
		last := flows[len(flows)-1]
		return last.Of == s && !last.Ended && last.Packets > 2
	})
}
