// Command bot-cuttlefish-client watches a device through a Cuttlefish signaling server:
// it asks for an offer, counts the media that arrives, presses the home button, and
// records the first display as IVF when told where.
//
//	go run ./examples/bot-cuttlefish-client -server http://127.0.0.1:8443 -id cvd-bot
//	go run ./examples/bot-cuttlefish-client -via document -record display.ivf
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/recording"
)

// ways are the endpoints that a server may have.
var ways = map[string]cuttlefishhttp.Via{
	"auto":      cuttlefishhttp.ViaAuto,
	"document":  cuttlefishhttp.ViaDocument,
	"websocket": cuttlefishhttp.ViaWebSocket,
	"polling":   cuttlefishhttp.ViaPolling,
}

func main() {
	server := flag.String("server", "http://127.0.0.1:8443", "`address` of the signaling server")
	id := flag.String("id", "cvd-bot", "`name` of the device")
	via := flag.String("via", "auto", "endpoints to use: auto, document, websocket or polling")
	record := flag.String("record", "", "`file` for the video of display_0, if it is VP8")
	limit := flag.Duration("for", 10*time.Second, "how long to watch")
	flag.Parse()
	way, ok := ways[*via]
	if !ok {
		log.Fatalf("-via %s: no such way", *via)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, *server, *id, way, *record); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server, id string, via cuttlefishhttp.Via, record string) error {
	signaling, err := cuttlefishhttp.ConnectClient(ctx, server, id, &cuttlefishhttp.DialOptions{Via: via})
	if err != nil {
		return err
	}
	defer signaling.Close()
	if info, err := cuttlefish.DecodeDeviceInfo(signaling.DeviceInfo()); err == nil {
		fmt.Printf("%s has %d display(s)\n", id, len(info.Displays))
	}

	bot := cuttlefishpion.NewClient(signaling, &cuttlefishpion.ClientOptions{
		OnTrack: func(track *webrtc.TrackRemote) {
			if err := watch(track, record); err != nil {
				log.Printf("%s: %v", track.StreamID(), err)
			}
		},
		OnEvent: func(e *cuttlefish.ControlEvent) { fmt.Println("device:", e.Event) },
		OnState: func(s webrtc.PeerConnectionState) { fmt.Println("connection", s) },
	})
	defer bot.Close()
	go pressHome(ctx, bot)
	return bot.Run(ctx)
}

// pressHome presses and releases the home button once a second.
func pressHome(ctx context.Context, bot *cuttlefishpion.Client) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
		}
		for _, state := range []cuttlefish.ButtonState{cuttlefish.ButtonDown, cuttlefish.ButtonUp} {
			// Fails until the device's channel is there.
			_ = bot.SendControl(&cuttlefish.ButtonCommand{Button: cuttlefish.ButtonHome, State: state})
		}
	}
}

// watch counts the packets of a track until it ends, and records the first display.
func watch(track *webrtc.TrackRemote, record string) error {
	if track.StreamID() != cuttlefish.DisplayStreamID(0) || track.Codec().MimeType != webrtc.MimeTypeVP8 {
		record = ""
	}
	packets, bytes, err := recording.Count(track, record)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s, %d packets, %d bytes\n", track.StreamID(), track.Codec().MimeType, packets, bytes)
	return nil
}
