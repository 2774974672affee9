package interop

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// enough is how many packets of a stream make it one that plays.
const enough = 25

// A client is our client. It keeps what the device sends.
type client struct {
	*cuttlefishpion.Client
	start    time.Time
	events   journal[cuttlefish.EventName]
	messages journal[string]              // on channels other than device-control
	open     journal[*webrtc.DataChannel] // likewise
	playing  journal[string]              // ids of streams that have had enough packets
	packets  atomic.Int64                 // of all streams
}

// startClient connects a client to the device.
func startClient(t *testing.T, url string, via cuttlefishhttp.Via) *client {
	t.Helper()
	c := &client{start: time.Now()}
	signaling, err := cuttlefishhttp.ConnectClient(t.Context(), url, deviceID, &cuttlefishhttp.DialOptions{Via: via})
	require.NoError(t, err)
	c.Client = cuttlefishpion.NewClient(signaling, &cuttlefishpion.ClientOptions{
		Labels:        []string{cuttlefish.LabelInput, cuttlefish.LabelADB},
		Settings:      loopback.Settings(),
		Configuration: withoutServers,
		OnEvent:       func(e *cuttlefish.ControlEvent) { c.events.add(e.Event) },
		OnChannel: func(ch *webrtc.DataChannel) {
			ch.OnOpen(func() { c.open.add(ch) })
			ch.OnMessage(func(m webrtc.DataChannelMessage) {
				c.messages.add(string(m.Data))
				if ch.Label() != cuttlefish.LabelADB { // the device sends that one back
					echo(ch, m)
				}
			})
		},
		OnTrack: func(track *webrtc.TrackRemote) {
			readTrack(track, func(n int) {
				c.packets.Add(1)
				if n == enough {
					c.playing.add(track.StreamID())
				}
			})
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		require.NoError(t, c.Close())
		require.NoError(t, signaling.Close())
	})
	return c
}

// converse lets a client and a device do all that they can, and returns what was seen.
func converse(t *testing.T, d *device, c *client) string {
	t.Helper()
	await(t, "picture", &c.playing, is(cuttlefish.DisplayStreamID(0)))
	toVideo := time.Since(c.start)
	await(t, "sound", &c.playing, is(cuttlefish.AudioStreamID))

	await(t, "last event of before", &c.events, is(cuttlefish.EventBootCompleted))
	require.NoError(t, d.SendEvent(&cuttlefish.ControlEvent{
		Event: cuttlefish.EventScreenChanged, Metadata: cuttlefish.RotationMetadata(90),
	}))
	await(t, "event", &c.events, is(cuttlefish.EventScreenChanged))
	for _, state := range []cuttlefish.ButtonState{cuttlefish.ButtonDown, cuttlefish.ButtonUp} {
		require.NoError(t, c.SendControl(&cuttlefish.ButtonCommand{Button: cuttlefish.ButtonHome, State: state}))
	}
	d.awaitButton(t, cuttlefish.ButtonHome)
	for _, typ := range []cuttlefish.KeyEventType{cuttlefish.KeyDown, cuttlefish.KeyUp} {
		require.NoError(t, c.SendInput(&cuttlefish.Keyboard{EventType: typ, Keycode: "KeyA"}))
	}
	d.awaitKey(t, "KeyA")

	adb := await(t, "adb-channel", &c.open, func(ch *webrtc.DataChannel) bool { return ch.Label() == cuttlefish.LabelADB })
	sent := time.Now()
	require.NoError(t, adb.Send([]byte("to the device and back")))
	await(t, "echo by the device", &c.messages, is("to the device and back"))
	roundTrip := time.Since(sent)
	var echoes journal[string]
	peers := d.Peers()
	require.Len(t, peers, 1)
	ch, err := peers[0].PeerConnection().CreateDataChannel("of the device", nil)
	require.NoError(t, err)
	ch.OnMessage(func(m webrtc.DataChannelMessage) { echoes.add(string(m.Data)) })
	ch.OnOpen(func() { _ = ch.SendText("to the client and back") }) // what is awaited
	await(t, "echo by the client", &echoes, is("to the client and back"))

	require.NoError(t, c.SendControl(&cuttlefish.AddDisplay{Width: clip.Width, Height: clip.Height, DPI: 160, RefreshRateHz: 20}))
	await(t, "picture of a second display", &c.playing, is(cuttlefish.DisplayStreamID(1)))
	microphone, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", "mic")
	require.NoError(t, err)
	speak(t, microphone)
	c.AddTrack(microphone)
	await(t, "microphone", &d.tracks, is(webrtc.RTPCodecTypeAudio))
	return fmt.Sprintf("%d packets of the picture after %v, echo in %v, second display and microphone negotiated, %d RTP packets",
		enough, toVideo.Round(time.Millisecond), roundTrip.Round(10*time.Microsecond), c.packets.Load())
}

// speak plays the tone into a track until the test ends.
func speak(t *testing.T, track clip.Sink) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var speaking sync.WaitGroup
	speaking.Go(func() { _ = clip.Play(ctx, nil, track) })
	t.Cleanup(func() { stop(); speaking.Wait() })
}
