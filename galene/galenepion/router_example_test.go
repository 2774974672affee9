package galenepion_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// local keeps the example on the loopback interface.
func local() (s webrtc.SettingEngine) {
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(net.IP.IsLoopback)
	return s
}

// join connects a member to a server in the same process; bots connect with package
// galenehttp.
func join(ctx context.Context, server *galene.Server, name string) *galene.Client {
	near, far := transport.Pipe()
	go server.Serve(ctx, far)
	client, err := galene.Connect(ctx, near, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Join(ctx, &galene.Join{Group: "lab", Username: &name, Password: "any"}); err != nil {
		log.Fatal(err)
	}
	return client
}

// A server with its media, a member who speaks and one who listens.
func ExampleRouter() {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	router := galenepion.NewRouter(&galenepion.RouterOptions{Settings: local()})
	defer router.Close()
	server := galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{"lab": {Users: map[string]galene.MemoryUser{
			"ada": {Password: "any", Set: "present"},
			"bob": {Password: "any", Set: "present"},
		}}},
		Router: router,
	})
	defer server.Close()

	heard := make(chan string, 1)
	bob := join(ctx, server, "bob")
	defer bob.Close()
	listener := galenepion.NewPeer(bob, &galenepion.Options{
		Settings: local(),
		OnTrack: func(s *galenepion.Subscription, track *webrtc.TrackRemote) {
			heard <- fmt.Sprint(s.Username, "'s ", s.Label, ": ", track.Codec().MimeType)
			<-ctx.Done()
		},
	})
	defer listener.Close()
	go listener.Run(ctx)
	if err := bob.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio}}); err != nil {
		log.Fatal(err)
	}

	ada := join(ctx, server, "ada")
	defer ada.Close()
	speaker := galenepion.NewPeer(ada, &galenepion.Options{Settings: local()})
	defer speaker.Close()
	go speaker.Run(ctx)
	voice, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "ada")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := speaker.Publish(ctx, &galenepion.PublishOptions{Label: "camera"}, voice); err != nil {
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
	// Output: ada's camera: audio/opus
}
