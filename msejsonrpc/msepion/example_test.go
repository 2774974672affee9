package msepion_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// local keeps the examples on the loopback interface.
func local() (s webrtc.SettingEngine) {
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	return s
}

// connect starts a session with a server in the same process; bots dial with package
// wsconn.
func connect(ctx context.Context, server *msejsonrpc.Server) *msejsonrpc.Client {
	ours, theirs := transport.Pipe()
	go server.Serve(ctx, theirs)
	client, err := msejsonrpc.Connect(ctx, ours, &msejsonrpc.ClientOptions{Token: "any"})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// A server that sends back what a client says, and a bot that talks to it.
func Example() {
	ctx := context.Background()
	server := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		AllowAll: true,
		Handle: func(ctx context.Context, s *msejsonrpc.ServerSession) error {
			return msepion.NewServerPeer(s, &msepion.Options{
				Settings: local(),
				OnChannel: func(ch *webrtc.DataChannel) {
					ch.OnMessage(func(m webrtc.DataChannelMessage) { _ = ch.SendText(string(m.Data)) })
				},
			}).Run(ctx)
		},
	})
	defer server.Close()

	signaling := connect(ctx, server)
	bot := msepion.NewPeer(signaling, &msepion.Options{
		Settings:   local(),
		Labels:     []string{"chat"},
		OfferAfter: time.Millisecond, // this server has nothing to offer
		OnChannel: func(ch *webrtc.DataChannel) {
			ch.OnOpen(func() { _ = ch.SendText("hello") })
			ch.OnMessage(func(m webrtc.DataChannelMessage) {
				fmt.Println(string(m.Data))
				_ = signaling.Send(&msejsonrpc.Disconnect{})
			})
		},
	})
	fmt.Println(bot.Run(ctx))
	// Output:
	// hello
	// <nil>
}

// A media server with rooms, a bot that sends its camera and one that watches.
func ExampleRooms() {
	ctx, stop := context.WithCancel(context.Background())
	rooms := msepion.NewRooms(&msepion.RoomsOptions{Settings: local()})
	server := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		AllowAll: true, // package msejwt knows who somebody is
		Handle:   rooms.Handle,
	})
	defer server.Close()

	camera, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "camera")
	if err != nil {
		log.Fatal(err)
	}
	sender := msepion.NewPeer(connect(ctx, server), &msepion.Options{Settings: local()})
	sender.AddTrack(camera)
	go sender.Run(ctx)
	go func() { // an encoder
		const interval = 20 * time.Millisecond
		for frames := time.Tick(interval); ctx.Err() == nil; <-frames {
			_ = camera.WriteSample(media.Sample{Data: []byte{0}, Duration: interval})
		}
	}()

	viewer := msepion.NewPeer(connect(ctx, server), &msepion.Options{
		Settings: local(),
		OnTrack: func(track *webrtc.TrackRemote) {
			fmt.Println("member", track.StreamID(), "sends", track.ID(), track.Codec().MimeType)
			stop()
		},
	})
	fmt.Println(viewer.Run(ctx))
	_ = sender.Close()
	// Output:
	// member 1.camera sends video video/VP8
	// msepion: context canceled
}
