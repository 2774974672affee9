// Command bot-cuttlefish-device is an Android device that is none: it registers with a
// Cuttlefish signaling server and shows each client a moving test picture with a tone.
// What a client types, touches or presses is printed, and what it sends on adb-channel
// comes back.
//
//	go run ./examples/bot-cuttlefish-device -server ws://127.0.0.1:8443
//	go run ./examples/bot-cuttlefish-device -server unix:///run/cuttlefish/operator
//
// The second form joins today's operator, over its socket for devices.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
)

func main() {
	server := flag.String("server", "ws://127.0.0.1:8443", "`address` of the signaling server")
	id := flag.String("id", "cvd-bot", "`name` of the device")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *server, *id); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server, id string) error {
	info, err := cuttlefish.EncodeDeviceInfo(&cuttlefish.DeviceInfo{
		Displays: []cuttlefish.Display{{
			StreamID: cuttlefish.DisplayStreamID(0), XRes: 320, YRes: 240, DPI: 160, IsTouch: true,
		}},
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
	player := &clip.Player{Video: display, Audio: audio}
	go func() { _ = player.Play(ctx) }() // ends with ctx

	// snippet:bot
	signaling, err := cuttlefishhttp.ConnectDevice(ctx, server, id, &cuttlefishhttp.DialDeviceOptions{
		Device:    &cuttlefish.DeviceOptions{DeviceInfo: info},
		Reconnect: true,
	})
	if err != nil {
		return err
	}
	defer signaling.Close()
	fmt.Println("registered as", id)
	bot := cuttlefishpion.NewDevice(signaling, &cuttlefishpion.DeviceOptions{
		Tracks: []webrtc.TrackLocal{display, audio},
		OnInput: func(p *cuttlefishpion.DevicePeer, e cuttlefish.InputEvent) {
			fmt.Printf("client %d: %T %+v\n", p.ClientID(), e, e)
		},
		OnControl: func(p *cuttlefishpion.DevicePeer, c cuttlefish.ControlCommand) {
			fmt.Printf("client %d: %T %+v\n", p.ClientID(), c, c)
		},
		OnChannel:  echo,
		OnKeyFrame: func(*cuttlefishpion.DevicePeer, webrtc.TrackLocal) { player.RequestKeyFrame() },
	})
	defer bot.Close()
	return bot.Run(ctx)
	// end snippet
}

// echo sends back what arrives on a channel such as adb-channel.
func echo(p *cuttlefishpion.DevicePeer, ch *webrtc.DataChannel) {
	fmt.Printf("client %d opens %s\n", p.ClientID(), ch.Label())
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		send := ch.Send
		if m.IsString {
			send = func(b []byte) error { return ch.SendText(string(b)) }
		}
		if err := send(m.Data); err != nil {
			slog.Warn("echo failed", "channel", ch.Label(), "error", err)
		}
	})
}
