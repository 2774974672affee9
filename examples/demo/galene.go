package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/examples/kit/watch"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

// A galeneServer is a server with one group, on a port of its own.
type galeneServer struct {
	place     place
	group     string // URL
	endpoint  string
	signaling *galene.Server
	router    *galenepion.Router
	handler   *galenehttp.Handler
	web       *http.Server
}

func newGaleneServer(p place) (*galeneServer, error) {
	s := &galeneServer{place: p, router: galenepion.NewRouter(&galenepion.RouterOptions{Settings: p.settings()})}
	s.signaling = galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{"demo": {
			Group:    galene.Group{DisplayName: "Demo", Public: true},
			Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "present"},
		}},
		Router: s.router,
	})
	s.handler = galenehttp.NewHandler(s.signaling, &galenehttp.Options{Static: watch.Files()})
	listener, err := p.listen()
	if err != nil {
		return nil, err
	}
	s.group = "http://" + listener.Addr().String() + "/group/demo/"
	s.endpoint = "ws://" + listener.Addr().String() + "/ws"
	s.web = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.web.Serve(listener) }() // ends with close
	return s, nil
}

func (s *galeneServer) close() error {
	return errors.Join(s.web.Close(), s.signaling.Close(), s.handler.Close(), s.router.Close())
}

// playGalene is a bot that sends the test clip, and back to users what they write to it
// alone and the files that they send, until ctx ends.
func playGalene(ctx context.Context, server *galeneServer, ready func()) error {
	video, err := webrtc.NewTrackLocalStaticSample(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "clip")
	if err != nil {
		return err
	}
	audio, err := webrtc.NewTrackLocalStaticSample(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "clip")
	if err != nil {
		return err
	}
	client, _, err := galenehttp.Join(ctx, server.group, "publisher", "", nil)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	var peer *galenepion.Peer
	peer = galenepion.NewPeer(client, &galenepion.Options{
		Settings: server.place.settings(),
		OnMessage: func(m galene.Message) {
			if chat, ok := m.(*galene.Chat); ok && chat.Dest != "" {
				_ = client.Send(&galene.Chat{Dest: chat.Source, Value: chat.Value})
			}
		},
		OnFile: func(f *galenepion.IncomingFile) {
			working.Go(func() {
				var content bytes.Buffer
				if f.Accept(ctx, &content) == nil {
					_ = peer.SendFile(ctx, f.Source, &galenepion.File{Name: f.Name, Size: f.Size, Content: &content})
				}
			})
		},
	})
	defer peer.Close()
	player := &clip.Player{Video: video, Audio: audio}
	working.Go(func() {
		_, err := peer.Publish(ctx, &galenepion.PublishOptions{
			Label:      "camera",
			OnKeyFrame: func(webrtc.TrackLocal) { player.RequestKeyFrame() },
		}, video, audio)
		if err == nil {
			ready()
			_ = player.Play(ctx)
		}
	})
	return peer.Run(ctx)
}

// runGalene has two bots meet in a group of a server that forwards what they send.
func runGalene(ctx context.Context, r *result) error {
	r.Roles = "server, publisher, receiver"
	server, err := newGaleneServer(inside())
	if err != nil {
		return err
	}
	defer server.close()
	r.step("server with the group %s", server.group)

	stop, err := publish(ctx, "publisher", func(ctx context.Context, ready func()) error {
		return playGalene(ctx, server, ready)
	})
	if err != nil {
		return err
	}
	defer stop()
	r.step("publisher joined and sends its camera: VP8, Opus")
	err = watchGalene(ctx, server, r)
	stats := server.signaling.Stats()
	r.Messages = stats.MessagesRead + stats.MessagesWritten
	return err
}

// watchGalene is a bot that waits for enough media of both tracks, and for its own words
// and a file to come back.
func watchGalene(ctx context.Context, server *galeneServer, r *result) error {
	client, joined, err := galenehttp.Join(ctx, server.group, "receiver", "", nil)
	if err != nil {
		return err
	}
	defer client.Close()
	r.step("receiver joined as %s, may %v", *joined.Username, joined.Permissions)

	const message = "an echo in the chat"
	began := time.Now()
	w := newWatcher(r)
	file := bytes.Repeat([]byte("file"), 64<<10)
	var working sync.WaitGroup
	defer working.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var peer *galenepion.Peer
	peer = galenepion.NewPeer(client, &galenepion.Options{
		Settings: server.place.settings(),
		OnTrack: func(s *galenepion.Subscription, track *webrtc.TrackRemote) {
			w.state(webrtc.PeerConnectionStateConnected)
			w.track(s.Label+" "+track.Kind().String(), track)
		},
		OnMessage: func(m galene.Message) {
			switch m := m.(type) {
			case *galene.User:
				if m.Kind == galene.UserAdd && *m.Username == "publisher" {
					_ = client.ChatTo(m.ID, message)
					working.Go(func() {
						_ = peer.SendFile(ctx, m.ID, &galenepion.File{
							Name: "file.txt", Size: int64(len(file)), Content: bytes.NewReader(file),
						})
					})
				}
			case *galene.Chat:
				if text, _ := galene.Text(m.Value); text == message {
					w.got("the echo in the chat")
				}
			}
		},
		OnFile: func(f *galenepion.IncomingFile) {
			working.Go(func() {
				var content bytes.Buffer
				if f.Accept(ctx, &content) == nil && bytes.Equal(content.Bytes(), file) {
					w.got(fmt.Sprintf("the file of %d bytes", len(file)))
				}
			})
		},
	})
	defer peer.Close()
	if err := client.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideo}}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- peer.Run(ctx) }()
	return w.wait(began, "request", 4, ended) // video, audio, chat, file
}

// serveGalene keeps a server and a publisher up for browsers, bots and Galène's clients.
func serveGalene(ctx context.Context, p place, ready func(*site)) error {
	server, err := newGaleneServer(p)
	if err != nil {
		return err
	}
	defer server.close()
	return playGalene(ctx, server, func() {
		ready(&site{
			What:      "a group in which a bot sends its camera, and says back what it is told",
			Watch:     server.group,
			Endpoints: []link{{"group, for bots and Galène's clients", server.group}, {"WebSocket", server.endpoint}},
			Bot:       "./examples/bot-galene-recorder -for 10s -group " + server.group,
		})
	})
}
