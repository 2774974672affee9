package mediasouppion_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// enter brings a peer into the room of a server in the same process; bots connect with
// package mediasouphttp. The peer stays on the loopback interface.
func enter(ctx context.Context, server *mediasoupproto.Server, name string, opts mediasouppion.Options) *mediasouppion.Peer {
	opts.Settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	opts.Settings.SetIncludeLoopbackCandidate(true)
	opts.Settings.SetIPFilter(net.IP.IsLoopback)
	near, far := transport.Pipe()
	go server.Serve(ctx, far)
	client, err := mediasoupproto.Connect(ctx, near, nil)
	if err != nil {
		log.Fatal(err)
	}
	peer, _, err := mediasouppion.Join(ctx, client, &mediasoupproto.Join{PeerName: name}, &opts)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		_ = peer.Run(ctx)
		_ = client.Close()
	}()
	return peer
}

// A server with its media, a peer who speaks and one who listens.
func ExampleEngine() {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	engine, err := mediasouppion.NewEngine(nil) // which serves this machine
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	server := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{AllowAll: true, Media: engine})
	defer server.Close()

	heard := make(chan string, 1)
	listener := enter(ctx, server, "bob", mediasouppion.Options{
		OnTrack: func(c *mediasouppion.Consumer, track *webrtc.TrackRemote) {
			if _, _, err := track.ReadRTP(); err == nil {
				heard <- fmt.Sprint(c.PeerName(), "'s ", c.Kind(), ": ", track.Codec().MimeType)
			}
			<-ctx.Done()
		},
	})
	defer listener.Close()

	speaker := enter(ctx, server, "ada", mediasouppion.Options{})
	defer speaker.Close()
	voice, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2,
	}, "audio", "ada")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := speaker.Publish(ctx, voice, nil); err != nil {
		log.Fatal(err)
	}
	go func() { // a microphone
		const interval = 20 * time.Millisecond
		for samples := time.Tick(interval); ctx.Err() == nil; <-samples {
			_ = voice.WriteSample(media.Sample{Data: []byte{0xf8, 0xff, 0xfe}, Duration: interval})
		}
	}()
	fmt.Println(<-heard)
	stop()
	// Output: ada's audio: audio/opus
}
