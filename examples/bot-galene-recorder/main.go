// Command bot-galene-recorder joins a group of a Galène server and writes what the others
// send into files: pictures as IVF (VP8, VP9 and AV1), sound as Ogg (Opus).
//
//	go run ./examples/bot-galene-recorder -into recordings -for 1m
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/examples/kit/recording"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

func main() {
	group := flag.String("group", "http://127.0.0.1:8443/group/test/", "`URL` of the group, with ?token= if there is one")
	user := flag.String("user", "recorder", "user `name`")
	password := flag.String("password", "", "`password`, unless the URL has a token")
	into := flag.String("into", ".", "`folder` for the files")
	limit := flag.Duration("for", time.Minute, "how long to stay")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, *group, *user, *password, *into); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, group, user, password, into string) error {
	client, _, err := galenehttp.Join(ctx, group, user, password, &galenehttp.DialOptions{Reconnect: true})
	if err != nil {
		return err
	}
	defer client.Close()
	folder := &recording.Folder{Path: into}
	peer := galenepion.NewPeer(client, &galenepion.Options{
		OnTrack: func(s *galenepion.Subscription, track *webrtc.TrackRemote) {
			if err := s.RequestKeyFrame(track); err != nil && track.Kind() == webrtc.RTPCodecTypeVideo {
				log.Print(err)
			}
			if err := folder.Record(s.Username, track); err != nil {
				log.Print(err)
			}
		},
		OnClosed: func(s *galenepion.Subscription, err error) { fmt.Printf("%s of %s has ended\n", s.Label, s.Username) },
	})
	defer peer.Close()
	if err := client.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideo}}); err != nil {
		return err
	}
	return peer.Run(ctx)
}
