// Command bot-mediasoup-echo joins a room of a server of mediasoup 2, receives everything that
// the others send, and sends it back to the room.
//
//	go run ./examples/bot-mediasoup-echo -server ws://127.0.0.1:3443 -room lobby
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

func main() {
	server := flag.String("server", "ws://127.0.0.1:3443", "`address` of the server")
	room := flag.String("room", "lobby", "`name` of the room")
	user := flag.String("user", "echo", "`name` of the bot")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *server, *room, *user); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server, room, user string) error {
	address, err := mediasouphttp.URL(server, room, user)
	if err != nil {
		return err
	}
	client, err := mediasouphttp.Connect(ctx, address, &mediasouphttp.DialOptions{Reconnect: true})
	if err != nil {
		return err
	}
	defer client.Close()
	var peer *mediasouppion.Peer // set before Run calls a hook
	peer, _, err = mediasouppion.Join(ctx, client, &mediasoupproto.Join{PeerName: user}, &mediasouppion.Options{
		OnTrack: func(c *mediasouppion.Consumer, track *webrtc.TrackRemote) {
			if err := echo(ctx, peer, c, track); err != nil && ctx.Err() == nil {
				log.Printf("%s of %s: %v", c.Kind(), c.PeerName(), err)
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

// echo sends back what a consumer receives, until that ends.
func echo(ctx context.Context, peer *mediasouppion.Peer, c *mediasouppion.Consumer, remote *webrtc.TrackRemote) error {
	if _, _, err := remote.ReadRTP(); err != nil { // the codec is known from the first packet on
		return nil // it has ended before it began
	}
	local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, string(c.Kind()), c.PeerName())
	if err != nil {
		return err
	}
	appData, err := json.Marshal(map[string]string{"echoOf": c.PeerName()})
	if err != nil {
		return err
	}
	sent, err := peer.Publish(ctx, local, &mediasouppion.PublishOptions{
		AppData: appData,
		Once:    true, // what it sends ends with the connection as well
		OnKeyFrame: func(webrtc.TrackLocal) {
			_ = c.RequestKeyFrame() // it is asked for again
		},
	})
	if err != nil {
		return err
	}
	defer sent.Close()
	fmt.Printf("sending %s of %s back\n", c.Kind(), c.PeerName())
	defer fmt.Printf("%s of %s has ended\n", c.Kind(), c.PeerName())
	if c.Kind() == mediasoupproto.Video {
		_ = c.RequestKeyFrame() // nobody has seen the last one
	}
	for {
		var packet *rtp.Packet
		if packet, _, err = remote.ReadRTP(); err != nil {
			return nil
		}
		packet.Extension, packet.Extensions = false, nil // their ids are those of the other direction
		if err := local.WriteRTP(packet); err != nil {
			return err
		}
	}
}
