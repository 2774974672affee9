package msepion

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

func TestSenderIsAskedForOneKeyFrameInAWhileHoweverManyWantOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := NewRooms(nil)
		room := roomID{"d", "r"}
		sender := &member{rooms: r, room: room, sources: make(map[webrtc.TrackLocal]*source)}
		viewer := &member{rooms: r, room: room}
		stranger := &member{rooms: r, room: roomID{"d", "other"}}
		r.rooms[room] = map[*member]bool{sender: true, viewer: true}
		r.rooms[stranger.room] = map[*member]bool{stranger: true}
		var tracks []webrtc.TrackLocal
		for _, id := range []string{"one", "two"} {
			track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, id, id)
			require.NoError(t, err)
			sender.sources[track] = &source{remote: new(webrtc.TrackRemote)}
			tracks = append(tracks, track)
		}
		wanted := func(m *member, track webrtc.TrackLocal) bool {
			t.Helper()
			who, remote := m.wanted(track)
			if remote == nil {
				require.Nil(t, who)
				return false
			}
			require.Same(t, sender, who)
			require.Same(t, sender.sources[track].remote, remote)
			return true
		}
		for range 3 {
			require.True(t, wanted(viewer, tracks[0]))
			require.True(t, wanted(viewer, tracks[1]), "each track for itself")
			require.False(t, wanted(viewer, tracks[0]))
			require.False(t, wanted(stranger, tracks[0]))
			time.Sleep(keyFrameInterval - time.Nanosecond)
			require.False(t, wanted(viewer, tracks[0]))
			time.Sleep(time.Nanosecond)
		}
		delete(sender.sources, tracks[0])
		require.False(t, wanted(viewer, tracks[0]), "it has ended")
	})
}
