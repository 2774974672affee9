// Command bot-galene-recorder joins a group of a Galène server and writes what the others
// send into files: pictures as IVF (VP8, VP9 and AV1), sound as Ogg (Opus).
//
//	go run ./examples/bot-galene-recorder -into recordings -for 1m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"

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
	r := &recorder{into: into}
	peer := galenepion.NewPeer(client, &galenepion.Options{
		OnTrack: func(s *galenepion.Subscription, track *webrtc.TrackRemote) {
			if err := s.RequestKeyFrame(track); err != nil && track.Kind() == webrtc.RTPCodecTypeVideo {
				log.Print(err)
			}
			if err := r.record(s, track); err != nil {
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

// A recorder writes tracks into files.
type recorder struct {
	into  string
	files atomic.Int64
}

// record writes a track into a file of its own, until it ends.
func (r *recorder) record(s *galenepion.Subscription, track *webrtc.TrackRemote) error {
	name := fmt.Sprintf("%03d-%s-%s", r.files.Add(1), plain(s.Username), track.Kind())
	file, name, err := r.open(name, track.Codec())
	if err != nil {
		return err
	}
	packets := 0
	defer func() {
		if err := file.Close(); err != nil {
			log.Print(err)
		}
		fmt.Printf("%s: %d packets\n", name, packets)
	}()
	for {
		packet, _, err := track.ReadRTP()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		packets++
		if err := write(file, packet); err != nil {
			return err
		}
	}
}

// write writes a packet. Those without a payload only keep a path open.
func write(w media.Writer, packet *rtp.Packet) error {
	if len(packet.Payload) == 0 {
		return nil
	}
	return w.WriteRTP(packet)
}

func (r *recorder) open(name string, codec webrtc.RTPCodecParameters) (media.Writer, string, error) {
	name = filepath.Join(r.into, name)
	if strings.EqualFold(codec.MimeType, webrtc.MimeTypeOpus) {
		name += ".ogg"
		w, err := oggwriter.New(name, codec.ClockRate, codec.Channels)
		return w, name, err
	}
	name += ".ivf"
	w, err := ivfwriter.New(name, ivfwriter.WithCodec(codec.MimeType))
	return w, name, err
}

// plain returns what of a user's name may stand in that of a file.
func plain(username string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, username)
}
