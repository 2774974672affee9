package cuttlefishpion_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestMediaControlInputAndChannelsWorkBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0), sound(t)}})
	require.NoError(t, d.SendEvent(&cuttlefish.ControlEvent{Event: cuttlefish.EventBootStarted}))
	c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})

	track := c.awaitTrack(cuttlefish.DisplayStreamID(0))
	c.awaitTrack(cuttlefish.AudioStreamID)
	c.awaitState(webrtc.PeerConnectionStateConnected)
	d.awaitState(1, webrtc.PeerConnectionStateConnected)
	c.awaitEcho("hello on adb-channel")

	c.awaitEvent(cuttlefish.EventBootStarted)
	require.NoError(t, d.SendEvent(&cuttlefish.ControlEvent{Event: cuttlefish.EventBootCompleted}))
	c.awaitEvent(cuttlefish.EventBootCompleted)
	press := &cuttlefish.ButtonCommand{Button: cuttlefish.ButtonHome, State: cuttlefish.ButtonDown}
	require.NoError(t, c.SendControl(press))
	require.Equal(t, press, heard.Next(t, "command", d.controls))
	move := &cuttlefish.MouseMove{X: 3, Y: 4}
	require.NoError(t, c.SendInput(move))
	require.Equal(t, move, heard.Next(t, "input", d.inputs))

	require.NoError(t, c.RequestKeyFrame(track))
	heard.Await(t, "request for a key frame", d.keyFrames, func(id string) bool { return id == "display_0" })
}

func TestDisplayAddedAndRemovedByTheDeviceComesAndGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0)}})
	c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	c.awaitTrack("display_0")
	second := display(t, 1)
	for range 2 {
		d.AddTrack(second)
		c.awaitTrack("display_1")
		d.RemoveTrack(second)
		heard.Await(t, "end of display_1", c.ended, func(id string) bool { return id == "display_1" })
	}
	d.AddTrack(second)
	c.awaitTrack("display_1")

	late := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	late.awaitTrack("display_1")
	d.RemoveTrack(second)
	require.NoError(t, d.Peer(2).AddTrack(display(t, 2)))
	late.awaitTrack("display_2")
	require.Len(t, d.Peers(), 2)
}

func TestMicrophoneOfTheClientReachesTheDevice(t *testing.T) {
	t.Parallel()
	t.Run("added while connected", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0), sound(t)}})
		c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		c.awaitTrack(cuttlefish.AudioStreamID)
		mic := microphone(t)
		c.AddTrack(mic)
		c.AddTrack(mic)
		heard.Await(t, "microphone", d.tracks, func(id string) bool { return id == "mic" })
		c.RemoveTrack(mic)
		c.AddTrack(microphone(t))
		heard.Await(t, "microphone again", d.tracks, func(id string) bool { return id == "mic" })
		require.NoError(t, c.Err())
	})
	t.Run("added before the first offer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{sound(t)}})
		c := w.idleClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		c.AddTrack(microphone(t))
		run(t, c.Run)
		c.awaitTrack(cuttlefish.AudioStreamID)
		heard.Await(t, "microphone", d.tracks, func(id string) bool { return id == "mic" })
	})
	t.Run("while the device adds a display", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0)}})
		c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		c.awaitTrack("display_0")
		c.AddTrack(microphone(t))
		d.AddTrack(display(t, 1))
		heard.Await(t, "microphone", d.tracks, func(id string) bool { return id == "mic" })
		c.awaitTrack("display_1")
	})
}

func TestRequestingAnOfferAgainReplacesThePeerConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0)}})
	c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	c.AddTrack(microphone(t))
	c.awaitTrack("display_0")
	heard.Await(t, "microphone", d.tracks, func(id string) bool { return id == "mic" })
	first, firstPC := d.Peer(1), c.PeerConnection()

	require.NoError(t, c.RequestOffer())
	c.awaitTrack("display_0")
	heard.Await(t, "microphone", d.tracks, func(id string) bool { return id == "mic" })
	<-first.Done()
	require.NoError(t, first.Err())
	require.ErrorIs(t, first.AddTrack(display(t, 1)), cuttlefishpion.ErrClosed)
	require.ErrorIs(t, first.SendEvent(&cuttlefish.ControlEvent{Event: cuttlefish.EventBootStarted}), cuttlefishpion.ErrClosed)
	require.NotSame(t, first, d.Peer(1))
	require.NotSame(t, firstPC, c.PeerConnection())

	require.NoError(t, c.Close())
	require.Equal(t, webrtc.PeerConnectionStateClosed, firstPC.ConnectionState())
	c.awaitState(webrtc.PeerConnectionStateClosed)
	require.NotContains(t, c.states.All(), webrtc.PeerConnectionStateClosed, "of the one that was replaced")
}

func TestClientThatLeavesTakesNothingFromTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0)}})
	one := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	one.awaitTrack("display_0")
	two := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	two.awaitTrack("display_0")
	two.awaitEcho("hello on adb-channel")

	require.NoError(t, one.signaling.Close())
	require.NoError(t, d.awaitState(1, webrtc.PeerConnectionStateClosed).err)
	require.Nil(t, d.Peer(1))
	require.NoError(t, two.Channel(cuttlefish.LabelADB).SendText("still here"))
	two.awaitEcho("still here")
	require.Len(t, d.Peers(), 1)
}

var quick = cuttlefish.Backoff{Min: time.Millisecond, Max: time.Millisecond}

func TestDeviceThatReconnectsBeginsAnew(t *testing.T) {
	t.Parallel()
	for _, parked := range []bool{false, true} {
		t.Run(fmt.Sprintf("clients parked: %t", parked), func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, cuttlefish.ServerConfig{WaitForDevice: true, ParkClients: parked})
			r := &piontest.Redialer{Dial: func() transport.Conn { return w.dial(w.server.ServeDevice) }}
			conn, _ := r.Redial(t.Context())
			signaling, err := cuttlefish.ConnectDevice(t.Context(), conn, deviceID, &cuttlefish.DeviceOptions{Redial: r.Redial, Backoff: quick})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, signaling.Close()) })
			d := w.newDevice(signaling, cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0)}})
			c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
			c.awaitTrack("display_0")
			d.awaitState(1, webrtc.PeerConnectionStateConnected)

			r.Cut()
			require.NoError(t, d.awaitState(1, webrtc.PeerConnectionStateClosed).err)
			if !parked {
				heard.Next(t, "end of Run", c.ran)
				c = w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
			}
			c.awaitTrack("display_0")
			d.awaitState(1, webrtc.PeerConnectionStateConnected)
			require.Empty(t, c.ran.All())
		})
	}
}

func TestClientThatReconnectsRequestsAnOfferAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0)}})
	r := &piontest.Redialer{Dial: func() transport.Conn { return w.dial(w.server.ServeClient) }}
	conn, _ := r.Redial(t.Context())
	signaling, err := cuttlefish.ConnectClient(t.Context(), conn, deviceID, &cuttlefish.ClientOptions{Redial: r.Redial, Backoff: quick})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, signaling.Close()) })
	c := w.newClient(signaling, cuttlefishpion.ClientOptions{})
	c.awaitTrack("display_0")

	r.Cut()
	d.awaitState(1, webrtc.PeerConnectionStateClosed)
	c.awaitTrack("display_0")
	d.awaitState(2, webrtc.PeerConnectionStateConnected)
}

func TestRunEndsWithAFailedPeerConnection(t *testing.T) {
	t.Parallel()
	ended := func(c *client) error {
		return heard.Next(t, "end of Run", c.ran)
	}
	t.Run("but not in order", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
		c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		c.awaitEcho("hello on adb-channel")
		require.NoError(t, d.Peer(1).Close())
		c.awaitState(webrtc.PeerConnectionStateClosed)
		require.NoError(t, c.Err())
		require.Nil(t, c.PeerConnection())
		require.Nil(t, c.Channel(cuttlefish.LabelADB))
		require.ErrorIs(t, c.SendInput(&cuttlefish.MouseMove{}), cuttlefishpion.ErrNoPeer)

		require.NoError(t, c.RequestOffer())
		c.awaitEcho("hello on adb-channel")
		require.Empty(t, c.ran.All())
	})
	t.Run("with what the device said", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
		c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		c.awaitEcho("hello on adb-channel")
		require.NoError(t, d.signaling.SendPayload(1, &cuttlefish.PayloadError{Text: "no more"}))
		said, ok := errors.AsType[*cuttlefish.PayloadError](ended(c))
		require.True(t, ok)
		require.Equal(t, "no more", said.Text)
		require.ErrorIs(t, c.Err(), said)
		d.awaitState(1, webrtc.PeerConnectionStateClosed)
	})
	t.Run("with signaling", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
		c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		c.awaitEcho("hello on adb-channel")
		require.NoError(t, c.signaling.Close())
		require.NoError(t, ended(c))
	})
	t.Run("with the context", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
		c := w.idleClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { c.ran.Add(c.Run(ctx)) }()
		c.awaitEcho("hello on adb-channel")
		cancel()
		require.ErrorIs(t, ended(c), context.Canceled)
		c.awaitState(webrtc.PeerConnectionStateClosed)
	})
}
