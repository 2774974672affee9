package galenepion_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A bot that shows a picture to a group, counts what the others send, and keeps the files
// that it is given.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	conn, err := wsconn.Dial(ctx, "wss://galene.example.org/ws", nil)
	if err != nil {
		log.Fatal(err)
	}
	client, err := galene.Connect(ctx, conn, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	name := "bot"
	if _, err := client.Join(ctx, &galene.Join{Group: "public", Username: &name}); err != nil {
		log.Fatal(err) // a *galene.Error: what the server says
	}

	bot := galenepion.NewPeer(client, &galenepion.Options{
		OnTrack: func(s *galenepion.Subscription, track *webrtc.TrackRemote) {
			packets := 0
			for {
				if _, _, err := track.ReadRTP(); err != nil {
					break
				}
				packets++
			}
			fmt.Println(s.Username, s.Label, track.Codec().MimeType, packets)
		},
		OnFile: func(f *galenepion.IncomingFile) {
			if f.Size > 1<<20 {
				f.Reject("too big")
				return
			}
			go keep(ctx, f)
		},
	})
	picture, err := webrtc.NewTrackLocalStaticSample(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "bot")
	if err != nil {
		log.Fatal(err)
	}
	go func() { // needs the answers that Run reads
		if _, err := bot.Publish(ctx, &galenepion.PublishOptions{Label: "camera"}, picture); err != nil {
			log.Print(err)
		}
		// Samples of picture may be written from here on.
	}()
	everything := map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideo}}
	if err := client.Request(everything); err != nil {
		log.Fatal(err)
	}
	log.Print(bot.Run(ctx))
}

// keep writes a file to a place of its own.
func keep(ctx context.Context, f *galenepion.IncomingFile) {
	w, err := os.CreateTemp("", "galene-*") // what the sender says is no path
	if err != nil {
		f.Reject("no place")
		return
	}
	defer w.Close()
	if err := f.Accept(ctx, w); err != nil {
		log.Print(err)
	}
}
