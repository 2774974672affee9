package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/examples/kit/viewer"
)

// cuttlefishDevice is the id of the demo's device.
const cuttlefishDevice = "cvd-demo"

// A cuttlefishServer is a signaling server on a port of its own.
type cuttlefishServer struct {
	place     place
	signaling *cuttlefish.Server
	handler   *cuttlefishhttp.Handler
	web       *http.Server
	addr      string
}

func newCuttlefishServer(p place) (*cuttlefishServer, error) {
	listener, err := p.listen()
	if err != nil {
		return nil, err
	}
	s := &cuttlefishServer{place: p, signaling: cuttlefish.NewServer(nil), addr: listener.Addr().String()}
	s.handler = cuttlefishhttp.NewHandler(s.signaling, &cuttlefishhttp.Options{
		Files: viewer.Files, Fallback: viewer.Index(),
	})
	s.web = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.web.Serve(listener) }() // ends with close
	return s, nil
}

func (s *cuttlefishServer) close() error {
	return errors.Join(s.web.Close(), s.handler.Close(), s.signaling.Close())
}

// playCuttlefishDevice is a device that shows the test clip and echoes on every data
// channel, until ctx ends.
func playCuttlefishDevice(ctx context.Context, server *cuttlefishServer, registered func()) error {
	info, err := cuttlefish.EncodeDeviceInfo(&cuttlefish.DeviceInfo{
		Displays: []cuttlefish.Display{
			{StreamID: cuttlefish.DisplayStreamID(0), XRes: 320, YRes: 240, DPI: 160, IsTouch: true},
		},
		AudioStreams: []cuttlefish.AudioStream{{StreamID: cuttlefish.AudioStreamID}},
	})
	if err != nil {
		return err
	}
	display, err := cuttlefishpion.NewDisplayTrack(webrtc.MimeTypeVP8, 0)
	if err != nil {
		return err
	}
	audio, err := cuttlefishpion.NewAudioTrack(webrtc.MimeTypeOpus)
	if err != nil {
		return err
	}
	signaling, err := cuttlefishhttp.ConnectDevice(ctx, "ws://"+server.addr, cuttlefishDevice,
		&cuttlefishhttp.DialDeviceOptions{Device: &cuttlefish.DeviceOptions{DeviceInfo: info}})
	if err != nil {
		return err
	}
	defer signaling.Close()
	registered()
	player := &clip.Player{Video: display, Audio: audio}
	device := cuttlefishpion.NewDevice(signaling, &cuttlefishpion.DeviceOptions{
		Tracks:     []webrtc.TrackLocal{display, audio},
		Settings:   server.place.settings(),
		OnKeyFrame: func(*cuttlefishpion.DevicePeer, webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnChannel: func(_ *cuttlefishpion.DevicePeer, ch *webrtc.DataChannel) {
			ch.OnMessage(func(m webrtc.DataChannelMessage) { _ = ch.Send(m.Data) })
		},
	})
	defer device.Close()
	var playing sync.WaitGroup
	defer playing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	playing.Go(func() { _ = player.Play(ctx) })
	return device.Run(ctx)
}

// runCuttlefish has a device and a client meet through a server, over the endpoints of
// the protocol document.
func runCuttlefish(ctx context.Context, r *result) error {
	r.Roles = "server, device, client"
	server, err := newCuttlefishServer(inside())
	if err != nil {
		return err
	}
	defer server.close()
	r.step("server on ws://%s/register_device and /connect_client", server.addr)

	stop, err := publish(ctx, "device", func(ctx context.Context, ready func()) error {
		return playCuttlefishDevice(ctx, server, ready)
	})
	if err != nil {
		return err
	}
	defer stop()
	r.step("device %s registered: a display (VP8) and sound (Opus)", cuttlefishDevice)
	err = watchCuttlefishDevice(ctx, server, r)
	stats := server.signaling.Stats()
	r.Messages = stats.MessagesRead + stats.MessagesWritten
	return err
}

// watchCuttlefishDevice is a client that waits for enough media of both tracks and for
// an echo on adb-channel.
func watchCuttlefishDevice(ctx context.Context, server *cuttlefishServer, r *result) error {
	signaling, err := cuttlefishhttp.ConnectClient(ctx, "ws://"+server.addr, cuttlefishDevice, &cuttlefishhttp.DialOptions{
		Via: cuttlefishhttp.ViaDocument,
	})
	if err != nil {
		return err
	}
	defer signaling.Close()
	r.step("client connected to the device, device_info of %d bytes", len(signaling.DeviceInfo()))

	asked := time.Now()
	const message = "an echo through adb-channel"
	w := newWatcher(r)
	client := cuttlefishpion.NewClient(signaling, &cuttlefishpion.ClientOptions{
		Labels:   []string{cuttlefish.LabelInput, cuttlefish.LabelADB},
		Settings: server.place.settings(),
		OnState:  w.state,
		OnTrack:  func(track *webrtc.TrackRemote) { w.track(track.StreamID(), track) },
		OnChannel: func(ch *webrtc.DataChannel) {
			if ch.Label() != cuttlefish.LabelADB {
				return
			}
			ch.OnOpen(func() { _ = ch.SendText(message) })
			ch.OnMessage(func(m webrtc.DataChannelMessage) {
				if string(m.Data) == message {
					w.got("the echo on adb-channel")
				}
			})
		},
	})
	defer client.Close()
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	return w.wait(asked, "request-offer", 3, ended) // display, sound, echo
}

// serveCuttlefish keeps a server and a device up for browsers.
func serveCuttlefish(ctx context.Context, p place, ready func(*site)) error {
	server, err := newCuttlefishServer(p)
	if err != nil {
		return err
	}
	defer server.close()
	return playCuttlefishDevice(ctx, server, func() {
		ready(&site{
			What:  "a device that shows its display, and takes touches, keys and buttons",
			Watch: "http://" + server.addr + "/devices/" + cuttlefishDevice + "/files/view.html",
			Endpoints: []link{
				{"devices", "ws://" + server.addr + "/register_device"},
				{"clients", "ws://" + server.addr + "/connect_client"},
				{"clients of today's operator", "ws://" + server.addr + "/devices/" + cuttlefishDevice + "/connect"},
			},
			Bot: "./examples/bot-cuttlefish-client -server http://" + server.addr + " -id " + cuttlefishDevice,
		})
	})
}
