package cuttlefishpion_test

import (
	"context"
	"log"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A device with one display, whose home button a client can press.
func ExampleDevice() {
	ctx := context.Background()
	conn, err := wsconn.Dial(ctx, "ws://127.0.0.1:8443/register_device", nil)
	if err != nil {
		log.Fatal(err)
	}
	signaling, err := cuttlefish.ConnectDevice(ctx, conn, "cvd-1", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer signaling.Close()

	display, err := cuttlefishpion.NewDisplayTrack(webrtc.MimeTypeVP8, 0)
	if err != nil {
		log.Fatal(err)
	}
	// An encoder calls display.WriteSample for each frame.
	device := cuttlefishpion.NewDevice(signaling, &cuttlefishpion.DeviceOptions{
		Tracks: []webrtc.TrackLocal{display},
		OnControl: func(p *cuttlefishpion.DevicePeer, c cuttlefish.ControlCommand) {
			if b, ok := c.(*cuttlefish.ButtonCommand); ok && b.Button == cuttlefish.ButtonHome {
				log.Printf("client %d: home %s", p.ClientID(), b.State)
			}
		},
		OnChannel: func(_ *cuttlefishpion.DevicePeer, ch *webrtc.DataChannel) {
			ch.OnMessage(func(m webrtc.DataChannelMessage) {
				if err := ch.Send(m.Data); err != nil {
					log.Print(err)
				}
			})
		},
	})
	log.Print(device.Run(ctx))
}

// A client that counts the packets of each display and the sound, and presses a button.
func ExampleClient() {
	ctx := context.Background()
	conn, err := wsconn.Dial(ctx, "ws://127.0.0.1:8443/connect_client", nil)
	if err != nil {
		log.Fatal(err)
	}
	signaling, err := cuttlefish.ConnectClient(ctx, conn, "cvd-1", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer signaling.Close()

	var client *cuttlefishpion.Client
	client = cuttlefishpion.NewClient(signaling, &cuttlefishpion.ClientOptions{
		OnTrack: func(track *webrtc.TrackRemote) {
			packets := 0
			for {
				if _, _, err := track.ReadRTP(); err != nil {
					log.Printf("%s: %d packets", track.StreamID(), packets)
					return
				}
				packets++
			}
		},
		OnState: func(s webrtc.PeerConnectionState) {
			if s != webrtc.PeerConnectionStateConnected {
				return
			}
			for _, state := range []cuttlefish.ButtonState{cuttlefish.ButtonDown, cuttlefish.ButtonUp} {
				command := &cuttlefish.ButtonCommand{Button: cuttlefish.ButtonHome, State: state}
				if err := client.SendControl(command); err != nil {
					log.Print(err)
				}
			}
		},
	})
	log.Print(client.Run(ctx))
}
