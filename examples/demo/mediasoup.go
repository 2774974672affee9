package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/examples/kit/watch"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

const mediasoupRoom = "demo"

// A mediasoupServer is a server that forwards media, on a port of its own.
type mediasoupServer struct {
	place     place
	addr      string
	url       string
	signaling *mediasoupproto.Server
	engine    *mediasouppion.Engine
	web       *http.Server
}

func newMediasoupServer(p place) (*mediasoupServer, error) {
	engine, err := p.engine()
	if err != nil {
		return nil, err
	}
	s := &mediasoupServer{place: p, engine: engine, signaling: mediasoupproto.NewServer(&mediasoupproto.ServerOptions{
		AllowAll: true, Media: engine, Message: answerMediasoup,
	})}
	listener, err := p.listen()
	if err != nil {
		return nil, errors.Join(err, s.signaling.Close(), engine.Close())
	}
	s.addr = listener.Addr().String()
	s.url = "ws://" + s.addr
	s.web = &http.Server{
		Handler:           mediasouphttp.NewHandler(s.signaling, &mediasouphttp.Options{Static: watch.Files()}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = s.web.Serve(listener) }() // ends with close
	return s, nil
}

func (s *mediasoupServer) close() error {
	return errors.Join(s.web.Close(), s.signaling.Close(), s.engine.Close())
}

// answerMediasoup is the server application: it sends back what it is asked.
func answerMediasoup(
	_ context.Context, _ *mediasoupproto.ServerSession, m *mediasoupproto.Application,
) (json.RawMessage, error) {
	return m.Data, nil
}

// joinMediasoup brings a bot into the room.
func joinMediasoup(
	ctx context.Context, server *mediasoupServer, name string, opts *mediasouppion.Options,
) (*mediasoupproto.Client, *mediasouppion.Peer, error) {
	address, err := mediasouphttp.URL(server.url, mediasoupRoom, name)
	if err != nil {
		return nil, nil, err
	}
	client, err := mediasouphttp.Connect(ctx, address, nil)
	if err != nil {
		return nil, nil, err
	}
	opts.Settings = server.place.settings()
	peer, _, err := mediasouppion.Join(ctx, client, &mediasoupproto.Join{PeerName: name}, opts)
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return client, peer, nil
}

// playMediasoup is a bot that sends the test clip until ctx ends.
func playMediasoup(ctx context.Context, server *mediasoupServer, ready func()) error {
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
	client, peer, err := joinMediasoup(ctx, server, "publisher", new(mediasouppion.Options))
	if err != nil {
		return err
	}
	defer client.Close()
	defer peer.Close()
	ctx, cancel := context.WithCancel(ctx)
	var playing sync.WaitGroup
	defer playing.Wait()
	defer cancel()
	ended := make(chan error, 1)
	playing.Go(func() { ended <- peer.Run(ctx) })
	player := &clip.Player{Video: video, Audio: audio}
	for _, track := range []webrtc.TrackLocal{audio, video} {
		if _, err := peer.Publish(ctx, track, &mediasouppion.PublishOptions{
			OnKeyFrame: func(webrtc.TrackLocal) { player.RequestKeyFrame() },
		}); err != nil {
			return err
		}
	}
	ready()
	playing.Go(func() { _ = player.Play(ctx) })
	return <-ended
}

// runMediasoup has two bots meet in a room of a server that forwards what they send.
func runMediasoup(ctx context.Context, r *result) error {
	r.Roles = "server, publisher, receiver"
	server, err := newMediasoupServer(inside())
	if err != nil {
		return err
	}
	defer server.close()
	r.step("server %s, media on UDP port %d", server.url, server.engine.Port())

	stop, err := publish(ctx, "publisher", func(ctx context.Context, ready func()) error {
		return playMediasoup(ctx, server, ready)
	})
	if err != nil {
		return err
	}
	defer stop()
	r.step("publisher joined and has two producers: VP8, Opus")
	err = watchMediasoup(ctx, server, r)
	stats := server.signaling.Stats()
	r.Messages = stats.MessagesRead + stats.MessagesWritten
	return err
}

// watchMediasoup is a bot that waits for enough media of both producers, and for an answer of
// the server application.
func watchMediasoup(ctx context.Context, server *mediasoupServer, r *result) error {
	w := newWatcher(r)
	began := time.Now()
	client, peer, err := joinMediasoup(ctx, server, "receiver", &mediasouppion.Options{
		OnTrack: func(c *mediasouppion.Consumer, track *webrtc.TrackRemote) {
			w.state(webrtc.PeerConnectionStateConnected)
			w.track(string(c.Kind())+" of "+c.PeerName(), track)
		},
	})
	if err != nil {
		return err
	}
	defer client.Close()
	defer peer.Close()
	r.step("receiver joined, %d other in the room", len(client.Peers()))
	ended := make(chan error, 1)
	go func() { ended <- peer.Run(ctx) }()
	answer, err := client.Ask(ctx, "echo", []byte(`{"text":"an echo of the application"}`))
	if err != nil {
		return err
	}
	w.got("the answer " + string(answer))
	return w.wait(began, "joining", 3, ended) // video, audio, answer
}

// serveMediasoup keeps a server and a publisher up for browsers, bots and clients of mediasoup.
func serveMediasoup(ctx context.Context, p place, ready func(*site)) error {
	server, err := newMediasoupServer(p)
	if err != nil {
		return err
	}
	defer server.close()
	return playMediasoup(ctx, server, func() {
		ready(&site{
			What:  "a room in which a bot sends picture and sound, and the server says back what it is told",
			Watch: "http://" + server.addr + "/mediasoup.html?room=" + mediasoupRoom,
			Endpoints: []link{
				{"WebSocket of protoo", server.url + "/?roomId=" + mediasoupRoom + "&peerName=NAME"},
			},
			Bot: "./examples/bot-mediasoup-recorder -for 10s -server " + server.url + " -room " + mediasoupRoom,
		})
	})
}
