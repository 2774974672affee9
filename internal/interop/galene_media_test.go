package interop

import (
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

const (
	sound   = webrtc.RTPCodecTypeAudio
	picture = webrtc.RTPCodecTypeVideo
)

func TestGalenePublishedStreamReachesThoseWhoWantIt(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		carol := s.bot(t, "test", "carol", nil) // requests nothing
		require.NoError(t, bob.Request(everything))
		pub := alice.publish("camera")
		stream := bob.stream(pub.ID())
		require.Equal(t, "camera", stream.Label)
		require.Equal(t, alice.ID(), stream.Source)
		require.Equal(t, "alice", stream.Username)
		require.Nil(t, stream.Replaces)
		bob.flow(stream.ID, sound).runs(t)
		bob.flow(stream.ID, picture).runs(t)

		late := s.bot(t, "test", "dave", nil)
		require.NoError(t, late.Request(everything))
		late.flow(pub.ID(), sound).runs(t)
		late.flow(pub.ID(), picture).runs(t)

		pub.Unpublish()
		require.NoError(t, bob.gone(stream))
		require.NoError(t, late.gone(late.stream(pub.ID())))
		got, _ := carol.streams.from(0)
		require.Empty(t, got)
	})
}

func TestGaleneBothSidesOfACallPublish(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, alice.Request(everything))
		require.NoError(t, bob.Request(everything))
		one, other := alice.publish("camera"), bob.publish("camera")
		for _, kind := range []webrtc.RTPCodecType{sound, picture} {
			bob.flow(one.ID(), kind).runs(t)
			alice.flow(other.ID(), kind).runs(t)
		}
		stream := alice.stream(other.ID())
		bob.Close()
		require.NoError(t, alice.gone(stream))
		expect(alice.galeneClient, "leaving", func(u *galene.User) bool { return u.Kind == galene.UserDelete })
	})
}

func TestGaleneRequestsAreByLabel(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, bob.Request(map[string][]galene.TrackKind{
			"camera": {galene.TrackAudio}, "screenshare": {galene.TrackVideo}, "": {},
		}))
		camera, screen, other := alice.publish("camera"), alice.publish("screenshare"), alice.publish("other")
		bob.flow(camera.ID(), sound).runs(t)
		bob.flow(screen.ID(), picture).runs(t)
		flows, _ := bob.flows.from(0)
		require.Len(t, flows, 2)

		require.NoError(t, bob.Request(map[string][]galene.TrackKind{"": {galene.TrackVideo}}))
		bob.flow(other.ID(), picture).runs(t)
	})
}

func TestGaleneRequestsMayChange(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, bob.Request(everything))
		pub := alice.publish("camera")
		stream := bob.stream(pub.ID())
		bob.flow(pub.ID(), sound).runs(t)
		seen := bob.flow(pub.ID(), picture)
		seen.runs(t)

		require.NoError(t, bob.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio}}))
		stops(t, seen)
		bob.flow(pub.ID(), sound).runs(t)

		require.NoError(t, bob.Request(nil))
		require.NoError(t, bob.gone(stream))

		require.NoError(t, bob.Request(everything))
		again := await(t, "the stream again", &bob.streams, func(s *galenepion.Subscription) bool { return s != stream })
		require.Equal(t, pub.ID(), again.ID)
		for _, kind := range []webrtc.RTPCodecType{sound, picture} {
			await(t, "track again", &bob.flows, func(f *galeneFlow) bool {
				return f.stream == again && f.track.Kind() == kind
			}).runs(t)
		}
	})
}

// stops waits until no packets of a flow come any more.
func stops(t *testing.T, f *galeneFlow) {
	t.Helper()
	const quiet = 50 // looks without a packet: a quarter of a second, in which eight frames would come
	same, last := 0, int64(-1)
	eventually(t, "silence", func() bool {
		n := f.packets.Load()
		if same++; n != last {
			same, last = 0, n
		}
		return same >= quiet
	})
}

func TestGaleneOneStreamMayBeRequestedByItself(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, bob.Request(everything))
		one, other := alice.publish("camera"), alice.publish("screenshare")
		for _, pub := range []*galenepion.Publication{one, other} {
			bob.flow(pub.ID(), sound).runs(t)
			bob.flow(pub.ID(), picture).runs(t)
		}
		require.NoError(t, bob.stream(one.ID()).Request([]galene.TrackKind{galene.TrackAudio}))
		stops(t, bob.flow(one.ID(), picture))
		bob.flow(one.ID(), sound).runs(t)
		bob.flow(other.ID(), picture).runs(t)

		require.NoError(t, bob.stream(one.ID()).Request(nil)) // as it was
		eventually(t, "picture again", func() bool {
			flows, _ := bob.flows.from(0)
			for _, f := range flows {
				if f.stream.ID == one.ID() && f.track.Kind() == picture && !f.ended.Load() && f.packets.Load() > 0 && moving(t, f) {
					return true
				}
			}
			return false
		})

		stream := bob.stream(other.ID())
		require.NoError(t, stream.Request([]galene.TrackKind{}))
		require.NoError(t, bob.gone(stream))
	})
}

// moving reports whether packets of a flow come.
func moving(t *testing.T, f *galeneFlow) bool {
	before := f.packets.Load()
	return poll(t, func() bool { return f.packets.Load() > before+5 || f.ended.Load() }) && !f.ended.Load()
}

func TestGaleneStreamTakesThePlaceOfAnother(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, bob.Request(everything))
		first := alice.publish("camera")
		old := bob.stream(first.ID())
		bob.flow(old.ID, picture).runs(t)
		second, err := alice.Publish(bounded(t), &galenepion.PublishOptions{Label: "camera", Replace: first}, clipTracks(t)...)
		require.NoError(t, err)
		stream := bob.stream(second.ID())
		require.Same(t, old, stream.Replaces)
		require.ErrorIs(t, bob.gone(old), galenepion.ErrReplaced)
		bob.flow(second.ID(), sound).runs(t)
		bob.flow(second.ID(), picture).runs(t)
		<-first.Done()
		require.NoError(t, first.Err())
	})
}

func TestGaleneStreamsComeBackWithThePermission(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, alice.Request(everything))
		pub := bob.publish("camera")
		first := alice.stream(pub.ID())
		alice.flow(first.ID, picture).runs(t)

		require.NoError(t, alice.UserAction(galene.UserUnpresent, bob.ID()))
		require.NoError(t, alice.gone(first))
		expect(bob.galeneClient, "change", func(u *galene.User) bool {
			return u.ID == bob.ID() && !u.Permissions.Has(galene.PermissionPresent)
		})
		var missing *galene.PermissionError
		_, err := bob.Publish(bounded(t), nil, clipTracks(t)...)
		require.ErrorAs(t, err, &missing)

		require.NoError(t, alice.UserAction(galene.UserPresent, bob.ID()))
		again := await(t, "the stream again", &alice.streams, func(s *galenepion.Subscription) bool { return s != first })
		require.NotEqual(t, first.ID, again.ID)
		require.Equal(t, "camera", again.Label)
		alice.flow(again.ID, picture).runs(t)
	})
}

func TestGaleneAbortedStreamComesBackWithARequest(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, bob.Request(everything))
		pub := alice.publish("camera")
		stream := bob.stream(pub.ID())
		bob.flow(pub.ID(), sound).runs(t)
		stream.Abort()
		require.NoError(t, bob.gone(stream))
		bob.settle()
		require.NoError(t, bob.Request(everything))
		again := await(t, "the stream again", &bob.streams, func(s *galenepion.Subscription) bool { return s != stream })
		require.Equal(t, pub.ID(), again.ID)
		await(t, "sound again", &bob.flows, func(f *galeneFlow) bool { return f.stream == again && f.track.Kind() == sound }).runs(t)
	})
}

func TestGaleneBothSidesMayRestartICE(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, bob.Request(everything))
		pub := alice.publish("camera")
		stream := bob.stream(pub.ID())
		flow := bob.flow(pub.ID(), picture)
		flow.runs(t)
		before := remoteUfrag(t, pub.PeerConnection())
		require.NoError(t, pub.Restart())
		eventually(t, "restart of what is sent", func() bool { return remoteUfrag(t, pub.PeerConnection()) != before })
		flow.runs(t)

		before = remoteUfrag(t, stream.PeerConnection())
		require.NoError(t, stream.Renegotiate())
		eventually(t, "restart of what is received", func() bool { return remoteUfrag(t, stream.PeerConnection()) != before })
		flow.runs(t)
		require.Equal(t, webrtc.PeerConnectionStateConnected, pub.PeerConnection().ConnectionState())
		flows, _ := bob.flows.from(0)
		require.Len(t, flows, 2, "the same tracks")
	})
}

// remoteUfrag returns what changes at the other side with an ICE restart.
func remoteUfrag(t *testing.T, pc *webrtc.PeerConnection) string {
	t.Helper()
	d := pc.CurrentRemoteDescription()
	require.NotNil(t, d)
	_, rest, found := strings.Cut(d.SDP, "a=ice-ufrag:")
	require.True(t, found, d.SDP)
	ufrag, _, _ := strings.Cut(rest, "\r\n")
	return ufrag
}
