// Command bot-mediasoup-recorder joins a room of a server of mediasoup 2 and writes what the
// others send into files: pictures as IVF (VP8, VP9) or as H.264 streams, sound as Ogg (Opus).
//
//	go run ./examples/bot-mediasoup-recorder -into recordings -for 1m
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/h264writer"

	"github.com/rtcsignal/rtcsignal/examples/kit/recording"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

func main() {
	server := flag.String("server", "ws://127.0.0.1:3443", "`address` of the server")
	room := flag.String("room", "lobby", "`name` of the room")
	user := flag.String("user", "recorder", "`name` of the bot")
	spy := flag.Bool("spy", false, "be seen by nobody, which servers may refuse")
	into := flag.String("into", ".", "`folder` for the files")
	limit := flag.Duration("for", time.Minute, "how long to stay")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	join := &mediasoupproto.Join{PeerName: *user, Spy: *spy}
	if err := run(ctx, *server, *room, join, *into); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server, room string, join *mediasoupproto.Join, into string) error {
	address, err := mediasouphttp.URL(server, room, join.PeerName)
	if err != nil {
		return err
	}
	client, err := mediasouphttp.Connect(ctx, address, &mediasouphttp.DialOptions{Reconnect: true})
	if err != nil {
		return err
	}
	defer client.Close()
	folder := &recording.Folder{Path: into, Open: open}
	peer, _, err := mediasouppion.Join(ctx, client, join, &mediasouppion.Options{
		OnTrack: func(c *mediasouppion.Consumer, track *webrtc.TrackRemote) {
			if err := folder.Record(c.PeerName(), track); err != nil {
				log.Print(err)
			}
		},
		OnClosed: func(c *mediasouppion.Consumer, err error) {
			fmt.Printf("%s of %s has ended: %v\n", c.Kind(), c.PeerName(), cmp.Or(err, errSender))
		},
		OnMessage: func(m mediasoupproto.Message) {
			if _, ok := m.(*mediasoupproto.Closed); ok {
				fmt.Println("thrown out of the room")
				_ = client.Close() // which ends Run
			}
		},
		Logger: slog.Default(),
	})
	if err != nil {
		return err
	}
	defer peer.Close()
	return peer.Run(ctx)
}

// errSender is why a consumer ends in order.
var errSender = errors.New("by its sender")

// open creates the file of a track. H.264 has one that is nothing but its stream.
func open(name string, codec webrtc.RTPCodecParameters) (media.Writer, string, error) {
	if strings.EqualFold(codec.MimeType, webrtc.MimeTypeH264) {
		name += ".h264"
		w, err := h264writer.New(name)
		return w, name, err
	}
	return recording.Open(name, codec)
}
