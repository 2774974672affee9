package mediasouppion_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

// A bot that shows a picture to a room and counts what the others send.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	address, err := mediasouphttp.URL("wss://mediasoup.example.org:3443", "lobby", "bot") // as the demo has it
	if err != nil {
		log.Fatal(err)
	}
	client, err := mediasouphttp.Connect(ctx, address, &mediasouphttp.DialOptions{Reconnect: true})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	bot, _, err := mediasouppion.Join(ctx, client, &mediasoupproto.Join{PeerName: "bot"}, &mediasouppion.Options{
		OnTrack: func(c *mediasouppion.Consumer, track *webrtc.TrackRemote) {
			packets := 0
			for {
				if _, _, err := track.ReadRTP(); err != nil {
					break
				}
				packets++
			}
			fmt.Println(c.PeerName(), c.Kind(), packets)
		},
	})
	if err != nil {
		log.Fatal(err) // a *mediasoupproto.Error: what the server says
	}
	picture, err := webrtc.NewTrackLocalStaticSample(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "bot")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if _, err := bot.Publish(ctx, picture, nil); err != nil {
			log.Print(err)
		}
		// Samples of picture may be written from here on.
	}()
	log.Print(bot.Run(ctx))
}
