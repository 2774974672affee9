package interop

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// deviceID is that of every device: each test has a server of its own.
const deviceID = "cvd-1"

// A device is our device. It plays the clip on its display and with its sound, adds a
// second display when it is told to, sends back what comes on adb-channel, and keeps
// what its clients do.
type device struct {
	*cuttlefishpion.Device
	controls journal[cuttlefish.ControlCommand]
	inputs   journal[cuttlefish.InputEvent]
	tracks   journal[webrtc.RTPCodecType] // from clients, each when its first packet is there
}

// startDevice registers a device at an address of [cuttlefishhttp.ConnectDevice]. filePort is
// where its page is served, 0 when nowhere.
func startDevice(t *testing.T, address string, filePort int) *device {
	t.Helper()
	info, err := cuttlefish.EncodeDeviceInfo(&cuttlefish.DeviceInfo{
		Displays: []cuttlefish.Display{{
			StreamID: cuttlefish.DisplayStreamID(0), XRes: clip.Width, YRes: clip.Height, DPI: 160, IsTouch: true,
		}},
		AudioStreams: []cuttlefish.AudioStream{{StreamID: cuttlefish.AudioStreamID}},
		Hardware:     map[string]json.RawMessage{"CPUs": json.RawMessage(`"2"`)},
	})
	require.NoError(t, err)
	opts := &cuttlefish.DeviceOptions{DeviceInfo: info}
	if filePort != 0 {
		opts.DevicePort = &filePort
	}
	signaling, err := cuttlefishhttp.ConnectDevice(t.Context(), address, deviceID,
		&cuttlefishhttp.DialDeviceOptions{Device: opts})
	require.NoError(t, err)

	display, sound := newDisplay(t, 0), newSound(t)
	second := newDisplay(t, 1)
	d := new(device)
	player := &clip.Player{Video: both{display, second}, Audio: sound}
	d.Device = cuttlefishpion.NewDevice(signaling, &cuttlefishpion.DeviceOptions{
		Tracks:        []webrtc.TrackLocal{display, sound},
		Settings:      loopback.Settings(),
		Configuration: withoutServers,
		OnControl: func(_ *cuttlefishpion.DevicePeer, c cuttlefish.ControlCommand) {
			switch c := c.(type) {
			case *cuttlefish.AddDisplay:
				d.AddTrack(second)
			case *cuttlefish.RemoveDisplay:
				if c.DisplayID == "1" {
					d.RemoveTrack(second)
				}
			}
			d.controls.add(c)
		},
		OnInput:    func(_ *cuttlefishpion.DevicePeer, e cuttlefish.InputEvent) { d.inputs.add(e) },
		OnKeyFrame: func(*cuttlefishpion.DevicePeer, webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnChannel: func(_ *cuttlefishpion.DevicePeer, ch *webrtc.DataChannel) {
			if ch.Label() == cuttlefish.LabelADB {
				ch.OnMessage(func(m webrtc.DataChannelMessage) { echo(ch, m) })
			}
		},
		OnTrack: func(_ *cuttlefishpion.DevicePeer, track *webrtc.TrackRemote) {
			readTrack(track, func(n int) {
				if n == 1 {
					d.tracks.add(track.Kind())
				}
			})
		},
	})
	require.NoError(t, d.SendEvent(&cuttlefish.ControlEvent{Event: cuttlefish.EventBootCompleted}))

	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = d.Run(ctx) })
	running.Go(func() { _ = player.Play(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		require.NoError(t, d.Close())
		require.NoError(t, signaling.Close())
	})
	return d
}

// awaitButton waits until a client has pressed and released a button.
func (d *device) awaitButton(t *testing.T, b cuttlefish.Button) {
	t.Helper()
	for _, state := range []cuttlefish.ButtonState{cuttlefish.ButtonDown, cuttlefish.ButtonUp} {
		await(t, "button "+string(b)+" "+string(state), &d.controls, func(c *cuttlefish.ButtonCommand) bool {
			return c.Button == b && c.State == state
		})
	}
}

// awaitTouch waits until a client has put a finger on the first display, inside it, and
// lifted it.
func (d *device) awaitTouch(t *testing.T) {
	t.Helper()
	for _, down := range []cuttlefish.Down{true, false} {
		await(t, "touch, down "+strconv.FormatBool(bool(down)), &d.inputs, func(e *cuttlefish.MultiTouch) bool {
			return e.Down == down && e.DeviceLabel == cuttlefish.DisplayStreamID(0) && e.Validate() == nil &&
				e.X[0] > 0 && e.X[0] < clip.Width && e.Y[0] > 0 && e.Y[0] < clip.Height
		})
	}
}

// awaitKey waits until a client has pressed and released a key.
func (d *device) awaitKey(t *testing.T, code string) {
	t.Helper()
	for _, typ := range []cuttlefish.KeyEventType{cuttlefish.KeyDown, cuttlefish.KeyUp} {
		await(t, string(typ)+" of "+code, &d.inputs, func(e *cuttlefish.Keyboard) bool {
			return e.Keycode == code && e.EventType == typ
		})
	}
}
