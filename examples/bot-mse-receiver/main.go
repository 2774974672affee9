// Command bot-mse-receiver joins a media server over MSE JSON-RPC, counts the media that
// the others in its room send, says hello on the data channel "data", and records the
// first video as IVF when told where.
//
//	go run ./examples/bot-mse-receiver -token eyJ…
//	go run ./examples/bot-mse-receiver -token eyJ… -record video.ivf -for 30s
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/examples/kit/recording"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func main() {
	server := flag.String("server", "ws://127.0.0.1:8444/mse", "`address` of the media server")
	token := flag.String("token", "", "`JWT` to authenticate with")
	record := flag.String("record", "", "`file` for the first video, if it is VP8")
	limit := flag.Duration("for", 10*time.Second, "how long to stay")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, *server, *token, *record); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server, token, record string) error {
	if token == "" {
		return errors.New("-token is missing: examples/server-mse prints some")
	}
	conn, err := wsconn.Dial(ctx, server, nil)
	if err != nil {
		return err
	}
	signaling, err := msejsonrpc.Connect(ctx, conn, &msejsonrpc.ClientOptions{Token: token})
	if errors.Is(err, msejsonrpc.ErrNotAuthorized) {
		return fmt.Errorf("the server does not take the token: %w", err)
	}
	if err != nil {
		return err
	}
	defer signaling.Close()

	var first sync.Once
	var bot *msepion.Peer
	bot = msepion.NewPeer(signaling, &msepion.Options{
		Labels: []string{"data"},
		OnTrack: func(track *webrtc.TrackRemote) {
			file := ""
			if track.Codec().MimeType == webrtc.MimeTypeVP8 {
				first.Do(func() { file = record })
				if err := bot.RequestKeyFrame(track); err != nil {
					log.Print(err)
				}
			}
			if err := receive(track, file); err != nil {
				log.Printf("%s of %s: %v", track.ID(), track.StreamID(), err)
			}
		},
		OnChannel: func(ch *webrtc.DataChannel) {
			ch.OnOpen(func() { _ = ch.SendText("hello") })
			ch.OnMessage(func(m webrtc.DataChannelMessage) { fmt.Printf("data: %q\n", m.Data) })
		},
		OnState: func(s webrtc.PeerConnectionState) { fmt.Println("connection", s) },
	})
	defer bot.Close()
	return bot.Run(ctx)
}

// receive counts the packets of a track until it ends, and records them.
func receive(track *webrtc.TrackRemote, record string) error {
	packets, bytes, err := recording.Count(track, record)
	if err != nil {
		return err
	}
	fmt.Printf("%s of %s: %s, %d packets, %d bytes\n",
		track.ID(), track.StreamID(), track.Codec().MimeType, packets, bytes)
	return nil
}
