// Command bot-mediasoup-publisher joins a room of a server of mediasoup 2 and sends a moving
// test picture with a tone:
//
//	go run ./examples/server-mediasoup-sfu
//	go run ./examples/bot-mediasoup-publisher
//	go run ./examples/bot-mediasoup-publisher -server wss://mediasoup.example.org:3443 -room lobby -user bot
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

func main() {
	server := flag.String("server", "ws://127.0.0.1:3443", "`address` of the server")
	room := flag.String("room", "lobby", "`name` of the room")
	user := flag.String("user", "publisher", "`name` of the bot")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *server, *room, *user); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server, room, user string) error {
	video, err := webrtc.NewTrackLocalStaticSample(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "bot")
	if err != nil {
		return err
	}
	audio, err := webrtc.NewTrackLocalStaticSample(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "bot")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var playing sync.WaitGroup
	defer playing.Wait()
	defer cancel()

	// snippet:bot
	address, err := mediasouphttp.URL(server, room, user)
	if err != nil {
		return err
	}
	client, err := mediasouphttp.Connect(ctx, address, &mediasouphttp.DialOptions{Reconnect: true})
	if err != nil {
		return err
	}
	defer client.Close()
	peer, joined, err := mediasouppion.Join(ctx, client, &mediasoupproto.Join{PeerName: user}, &mediasouppion.Options{
		OnMessage: printEvent,
		Logger:    slog.Default(),
	})
	if err != nil {
		return err
	}
	defer peer.Close()
	ended := make(chan error, 1)
	go func() { ended <- peer.Run(ctx) }()
	player := &clip.Player{Video: video, Audio: audio}
	for _, track := range []webrtc.TrackLocal{audio, video} {
		if _, err := peer.Publish(ctx, track, &mediasouppion.PublishOptions{
			AppData:    []byte(`{"source":"bot"}`),
			OnKeyFrame: func(webrtc.TrackLocal) { player.RequestKeyFrame() },
		}); err != nil {
			return err
		}
	}
	// end snippet

	fmt.Printf("sending to %s, others there: %d\n", room, len(joined.Peers))
	playing.Go(func() { _ = player.Play(ctx) })
	return <-ended
}

// printEvent says who comes and goes.
func printEvent(m mediasoupproto.Message) {
	switch m := m.(type) {
	case *mediasoupproto.NewPeer:
		fmt.Println(m.Name, "has joined")
	case *mediasoupproto.PeerClosed:
		fmt.Println(m.Name, "has gone")
	case *mediasoupproto.Closed:
		fmt.Println("thrown out of the room")
	case *mediasoupproto.Reconnected:
		fmt.Println("connected again")
	}
}
