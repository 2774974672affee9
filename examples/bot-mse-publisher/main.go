// Command bot-mse-publisher joins a media server over MSE JSON-RPC and sends a moving test
// picture with a tone, and on the data channel "data" back whatever arrives there.
//
//	go run ./examples/server-mse
//	go run ./examples/bot-mse-publisher -token eyJ…
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

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func main() {
	server := flag.String("server", "ws://127.0.0.1:8444/mse", "`address` of the media server")
	token := flag.String("token", "", "`JWT` to authenticate with")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *server, *token); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server, token string) error {
	if token == "" {
		return errors.New("-token is missing: examples/server-mse prints some")
	}
	video, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "clip")
	if err != nil {
		return err
	}
	audio, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "clip")
	if err != nil {
		return err
	}
	player := &clip.Player{Video: video, Audio: audio}
	go func() { _ = player.Play(ctx) }() // ends with ctx

	// snippet:bot
	dial := func(ctx context.Context) (transport.Conn, error) { return wsconn.Dial(ctx, server, nil) }
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	signaling, err := msejsonrpc.Connect(ctx, conn, &msejsonrpc.ClientOptions{Token: token, Redial: dial})
	if err != nil {
		return err
	}
	defer signaling.Close()
	bot := msepion.NewPeer(signaling, &msepion.Options{
		Labels:     []string{"data"},
		OnChannel:  echo,
		OnKeyFrame: func(webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnState:    func(s webrtc.PeerConnectionState) { fmt.Println("connection", s) },
	})
	defer bot.Close()
	bot.AddTrack(video)
	bot.AddTrack(audio)
	return bot.Run(ctx)
	// end snippet
}

// echo sends back what arrives on a channel, once: what comes from another echo goes no
// further.
func echo(ch *webrtc.DataChannel) {
	const prefix = "echo: "
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		text := string(m.Data)
		if len(text) >= len(prefix) && text[:len(prefix)] == prefix {
			return
		}
		if err := ch.SendText(prefix + text); err != nil {
			log.Print(err)
		}
	})
}
