package interop

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// everything requests all streams.
var everything = map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideo}}

// onGaleneMedia runs a test against the real server and against ours with the router of
// galenepion.
func onGaleneMedia(t *testing.T, test func(t *testing.T, s *galeneServer)) {
	t.Helper()
	t.Run("galene", func(t *testing.T) { test(t, startGalene(t)) })
	t.Run("ours", func(t *testing.T) { test(t, startRouted(t)) })
}

// startRouted starts our server with the router of galenepion.
func startRouted(t *testing.T) *galeneServer {
	t.Helper()
	router := galenepion.NewRouter(&galenepion.RouterOptions{Settings: loopback.Settings()})
	t.Cleanup(func() { require.NoError(t, router.Close()) })
	return startOurGalene(t, galene.ServerOptions{Router: router})
}

// settings are for peer connections with a server. The real one has no candidates of the
// loopback interface.
func (s *galeneServer) settings() webrtc.SettingEngine {
	settings := loopback.Settings()
	if s.real {
		settings.SetIPFilter(func(net.IP) bool { return true })
	}
	return settings
}

// A galeneBot is a client with media.
type galeneBot struct {
	*galeneClient
	*galenepion.Peer
	streams journal[*galenepion.Subscription]
	flows   journal[*galeneFlow]
	closed  journal[galeneClosed]
	files   journal[*galenepion.IncomingFile]
}

// A galeneFlow is a track that a bot receives.
type galeneFlow struct {
	stream  *galenepion.Subscription
	track   *webrtc.TrackRemote
	packets atomic.Int64
	bytes   atomic.Int64
	ended   atomic.Bool
}

// A galeneClosed is what a bot is told of the end of a stream.
type galeneClosed struct {
	stream *galenepion.Subscription
	err    error
}

// bot joins a group with a bot. opts may be nil.
func (s *galeneServer) bot(t *testing.T, group, user string, opts *galenepion.Options) *galeneBot {
	t.Helper()
	c := s.unread(t, nil)
	b := &galeneBot{galeneClient: c}
	name := user
	_, err := c.Join(bounded(t), &galene.Join{Group: group, Username: &name, Password: passwordOf(user)})
	require.NoError(t, err)
	o := galenepion.Options{Settings: s.settings()}
	if opts != nil {
		o = *opts
	}
	o.OnStream = b.streams.add
	o.OnClosed = func(stream *galenepion.Subscription, err error) { b.closed.add(galeneClosed{stream, err}) }
	o.OnFile = b.files.add
	o.OnMessage = c.got.add
	o.OnTrack = func(stream *galenepion.Subscription, track *webrtc.TrackRemote) {
		f := &galeneFlow{stream: stream, track: track}
		b.flows.add(f)
		defer f.ended.Store(true)
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			f.packets.Add(1)
			f.bytes.Add(int64(len(packet.Payload)))
		}
	}
	b.Peer = galenepion.NewPeer(c.Client, &o)
	c.listen(func() error { return b.Run(context.Background()) }, c.Close)
	t.Cleanup(func() { _ = b.Peer.Close() })
	return b
}

// Close ends both.
func (b *galeneBot) Close() {
	_ = b.Peer.Close()
	_ = b.Client.Close()
}

// flow waits for a track of a stream.
func (b *galeneBot) flow(stream string, kind webrtc.RTPCodecType) *galeneFlow {
	b.t.Helper()
	return await(b.t, kind.String()+" of a stream", &b.flows, func(f *galeneFlow) bool {
		return f.stream.ID == stream && f.track.Kind() == kind && !f.ended.Load()
	})
}

// stream waits for a stream of somebody.
func (b *galeneBot) stream(id string) *galenepion.Subscription {
	b.t.Helper()
	return await(b.t, "stream", &b.streams, func(s *galenepion.Subscription) bool { return s.ID == id })
}

// gone waits for the end of a stream.
func (b *galeneBot) gone(stream *galenepion.Subscription) error {
	b.t.Helper()
	return await(b.t, "end of a stream", &b.closed, func(c galeneClosed) bool { return c.stream == stream }).err
}

// runs waits until packets of a flow have come, from now on.
func (f *galeneFlow) runs(t *testing.T) {
	t.Helper()
	const some = 10
	before := f.packets.Load()
	eventually(t, "packets of "+f.track.Kind().String(), func() bool { return f.packets.Load() >= before+some })
}

// clipTracks are sound and picture of the clip, which play until the test ends.
func clipTracks(t *testing.T) []webrtc.TrackLocal {
	t.Helper()
	video, audio := newTrack(t, webrtc.MimeTypeVP8, "video"), newTrack(t, webrtc.MimeTypeOpus, "audio")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = clip.Play(ctx, video, audio) // fails only when a peer connection is closing
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return []webrtc.TrackLocal{audio, video}
}

func newTrack(t *testing.T, mime, id string) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, id, "clip")
	require.NoError(t, err)
	return track
}

// publish publishes the clip.
func (b *galeneBot) publish(label string, tracks ...webrtc.TrackLocal) *galenepion.Publication {
	b.t.Helper()
	if tracks == nil {
		tracks = clipTracks(b.t)
	}
	pub, err := b.Publish(bounded(b.t), &galenepion.PublishOptions{Label: label}, tracks...)
	require.NoError(b.t, err)
	return pub
}
