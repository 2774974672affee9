package easyrtcpion_test

import (
	"encoding/json"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
)

func TestTracksComeAndGoInBothDirections(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{echo: true})
	out := caller.call(callee) // with nothing but data
	in := callee.requireCall()
	caller.requireEcho(out, "1")
	for range 3 {
		a, b := piontest.Video(t, "a"), piontest.Video(t, "b")
		require.NoError(t, out.AddTrack(a))
		callee.flows.RequireMedia(t, "a")
		require.NoError(t, in.AddTrack(b))
		caller.flows.RequireMedia(t, "b")
		callee.flows.RequireMedia(t, "a")

		require.NoError(t, out.RemoveTrack(a))
		callee.flows.RequireOnly(t)
		caller.flows.RequireMedia(t, "b")
		require.NoError(t, in.RemoveTrack(b))
		caller.flows.RequireOnly(t)
	}
	caller.requireEcho(out, "2")
	require.Empty(t, caller.incoming.All())
	caller.requireQuiet()
	callee.requireQuiet()
}

func TestACalleeSendsMoreThanItIsAskedFor(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t,
		plan{opts: easyrtcpion.Options{NoAudio: true, NoVideo: true}},
		plan{accept: []webrtc.TrackLocal{piontest.Video(t, "v"), piontest.Sound(t, "s")}})
	caller.call(callee)
	caller.flows.RequireMedia(t, "v", "s")
	caller.requireQuiet()
	callee.requireQuiet()
}

func TestSeveralTracksOfOneKindArriveInACall(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{accept: []webrtc.TrackLocal{piontest.Video(t, "b1"), piontest.Video(t, "b2")}})
	caller.call(callee, piontest.Video(t, "a1"), piontest.Video(t, "a2"), piontest.Video(t, "a3"))
	caller.flows.RequireMedia(t, "b1", "b2")
	callee.flows.RequireMedia(t, "a1", "a2", "a3")
	caller.flows.RequireOnly(t, "b1", "b2")
	callee.flows.RequireOnly(t, "a1", "a2", "a3")
}

func TestStreamsAreNamedInTheRooms(t *testing.T) {
	t.Parallel()
	caller, callee := newPair(t, plan{}, plan{})
	fields := easyrtc.FieldMap{}
	fields.Set("color", json.RawMessage(`"blue"`))
	require.NoError(t, caller.client.SetAPIField(caller.patience(), "default", fields))
	c := caller.call(callee, piontest.Feed(t, webrtc.MimeTypeVP8, "v", "camera"), piontest.Feed(t, webrtc.MimeTypeOpus, "s", "camera"),
		piontest.Feed(t, webrtc.MimeTypeVP8, "d", "desktop"))
	in := callee.requireCall()
	callee.flows.RequireMedia(t, "v", "s", "d")
	require.Equal(t, "camera", in.StreamName("camera"))
	require.Equal(t, "desktop", in.StreamName("desktop"))
	require.Equal(t, easyrtc.DefaultStream, in.StreamName("other"))

	own := callee.client.Occupants("default")[caller.id()]
	known, err := own.APIFields()
	require.NoError(t, err)
	require.JSONEq(t, `"blue"`, string(known["color"].FieldValue), "what the application shows stays")
	require.JSONEq(t, `{"camera":"camera","desktop":"desktop"}`, string(known[easyrtc.MediaIDsField].FieldValue))

	heard.Await(t, "word of the camera", caller.received, func(s string) bool { return s == "camera" })
	heard.Await(t, "word of the desktop", caller.received, func(s string) bool { return s == "desktop" })
	require.Empty(t, caller.received.All(), "one for each stream")

	require.NoError(t, c.AddTrack(piontest.Feed(t, webrtc.MimeTypeVP8, "x", "extra")))
	heard.Await(t, "word of the new stream", caller.received, func(s string) bool { return s == "extra" })
	require.Equal(t, "extra", in.StreamName("extra"))
}

func TestAViewerAsksForAKeyFrame(t *testing.T) {
	t.Parallel()
	asked := heard.New[string]()
	caller, callee := newPair(t, plan{opts: easyrtcpion.Options{
		OnKeyFrame: func(_ *easyrtcpion.Call, t webrtc.TrackLocal) { asked.Add(t.ID()) },
	}}, plan{})
	caller.call(callee, piontest.Video(t, "v"))
	in := callee.requireCall()
	require.NoError(t, in.RequestKeyFrame(callee.flows.Require(t, "v").Track))
	require.Equal(t, "v", heard.Next(t, "request for a key frame", asked))
	require.NotEmpty(t, in.PeerConnection().GetStats())
	require.NoError(t, in.PeerConnection().WriteRTCP([]rtcp.Packet{&rtcp.ReceiverReport{}}))
}
