// Command bot-mediasoup-recorder joins a room of a server of mediasoup 2 and writes what the
// others send into files: pictures as IVF (VP8, VP9) or as H.264 streams, sound as Ogg (Opus).
//
//	go run ./examples/bot-mediasoup-recorder -into recordings -for 1m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
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
	"github.com/pion/webrtc/v4/pkg/media/h264writer"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"

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
	r := &recorder{into: into}
	peer, _, err := mediasouppion.Join(ctx, client, join, &mediasouppion.PeerOptions{
		OnTrack: func(c *mediasouppion.Consumer, track *webrtc.TrackRemote) {
			if err := r.record(c, track); err != nil {
				log.Print(err)
			}
		},
		OnClosed: func(c *mediasouppion.Consumer, err error) { fmt.Printf("%s of %s has ended\n", c.Kind(), c.PeerName()) },
		Logger:   slog.Default(),
	})
	if err != nil {
		return err
	}
	defer peer.Close()
	return peer.Run(ctx)
}

// A recorder writes tracks into files.
type recorder struct {
	into  string
	files atomic.Int64
}

// record writes a track into a file of its own, until it ends. Its codec is known from the
// first packet on.
func (r *recorder) record(c *mediasouppion.Consumer, track *webrtc.TrackRemote) error {
	packet, _, err := track.ReadRTP()
	if err != nil {
		return ended(err)
	}
	name := fmt.Sprintf("%03d-%s-%s", r.files.Add(1), plain(c.PeerName()), c.Kind())
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
		packets++
		if err := write(file, packet); err != nil {
			return err
		}
		if packet, _, err = track.ReadRTP(); err != nil {
			return ended(err)
		}
	}
}

// ended returns nil when a track has ended in order.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
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
	switch strings.ToLower(codec.MimeType) {
	case strings.ToLower(webrtc.MimeTypeOpus):
		name += ".ogg"
		w, err := oggwriter.New(name, codec.ClockRate, codec.Channels)
		return w, name, err
	case strings.ToLower(webrtc.MimeTypeH264):
		name += ".h264"
		w, err := h264writer.New(name)
		return w, name, err
	}
	name += ".ivf"
	w, err := ivfwriter.New(name, ivfwriter.WithCodec(codec.MimeType))
	return w, name, err
}

// plain returns what of a peer's name may stand in that of a file.
func plain(peerName string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, peerName)
}
