package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/examples/kit/mseviewer"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msejwt"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// mseLabel is the data channel of the demo.
const mseLabel = "data"

// An mseServer is a media server on a port of its own.
type mseServer struct {
	place     place
	key       msejwt.Key
	signaling *msejsonrpc.Server
	web       *http.Server
	addr      string
}

func newMSEServer(p place) (*mseServer, error) {
	s := &mseServer{place: p, key: msejwt.Key{Algorithm: msejwt.HS256, Key: []byte(rand.Text() + rand.Text())}}
	verifier, err := msejwt.New(&msejwt.Options{Keys: []msejwt.Key{s.key}})
	if err != nil {
		return nil, err
	}
	rooms := msepion.NewRooms(&msepion.RoomsOptions{Settings: p.settings()})
	s.signaling = msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		Authenticate: verifier.Authenticate, Handle: rooms.Handle,
	})
	listener, err := p.listen()
	if err != nil {
		return nil, err
	}
	s.addr = listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/mse", wsconn.Handler(s.signaling.Serve, nil))
	mux.Handle("/", mseviewer.Handler())
	s.web = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.web.Serve(listener) }() // ends with close
	return s, nil
}

func (s *mseServer) close() error { return errors.Join(s.web.Close(), s.signaling.Close()) }

// token signs a token for a user, as a token service would.
func (s *mseServer) token(user string) (string, error) {
	return s.key.Sign(&msejwt.Claims{
		UserID: user, RoomID: "demo", Role: msejsonrpc.RoleUser, ExpiresAt: time.Now().Add(24 * time.Hour),
	})
}

// join connects a user and starts its session.
func (s *mseServer) join(ctx context.Context, user string) (*msejsonrpc.Client, error) {
	token, err := s.token(user)
	if err != nil {
		return nil, err
	}
	conn, err := wsconn.Dial(ctx, "ws://"+s.addr+"/mse", nil)
	if err != nil {
		return nil, err
	}
	return msejsonrpc.Connect(ctx, conn, &msejsonrpc.ClientOptions{Token: token})
}

// playMSE is a bot that sends the test clip and echoes on the data channel, until ctx
// ends.
func playMSE(ctx context.Context, server *mseServer, joined func()) error {
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
	signaling, err := server.join(ctx, "publisher")
	if err != nil {
		return err
	}
	defer signaling.Close()
	joined()
	player := &clip.Player{Video: video, Audio: audio}
	bot := msepion.NewPeer(signaling, &msepion.Options{
		Labels:     []string{mseLabel},
		Settings:   server.place.settings(),
		OfferAfter: time.Millisecond, // it knows that it is the first
		OnKeyFrame: func(webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnChannel: func(ch *webrtc.DataChannel) {
			ch.OnMessage(func(m webrtc.DataChannelMessage) { _ = ch.Send(m.Data) })
		},
	})
	defer bot.Close()
	bot.AddTrack(video)
	bot.AddTrack(audio)
	var playing sync.WaitGroup
	defer playing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	playing.Go(func() { _ = player.Play(ctx) })
	return bot.Run(ctx)
}

// runMSE has two bots meet in a room of a media server, which forwards what they send.
func runMSE(ctx context.Context, r *result) error {
	r.Roles = "server, publisher, receiver"
	server, err := newMSEServer(inside())
	if err != nil {
		return err
	}
	defer server.close()
	r.step("media server on ws://%s/mse, JSON Web Tokens", server.addr)

	stop, err := publish(ctx, "publisher", func(ctx context.Context, ready func()) error {
		return playMSE(ctx, server, ready)
	})
	if err != nil {
		return err
	}
	defer stop()
	r.step("publisher authenticated and started: VP8, Opus, a data channel")
	err = watchMSE(ctx, server, r)
	stats := server.signaling.Stats()
	r.Messages = stats.MessagesRead + stats.MessagesWritten
	return err
}

// watchMSE is a bot that waits for enough media of both tracks and for its own words to
// come back.
func watchMSE(ctx context.Context, server *mseServer, r *result) error {
	signaling, err := server.join(ctx, "receiver")
	if err != nil {
		return err
	}
	defer signaling.Close()
	r.step("receiver authenticated and started")

	began := time.Now()
	const message = "an echo through the room"
	w := newWatcher(r)
	bot := msepion.NewPeer(signaling, &msepion.Options{
		Labels:     []string{mseLabel},
		Settings:   server.place.settings(),
		OfferAfter: time.Millisecond,
		OnState:    w.state,
		OnTrack:    func(track *webrtc.TrackRemote) { w.track(track.ID(), track) },
		OnChannel: func(ch *webrtc.DataChannel) {
			echoed := make(chan struct{})
			done := sync.OnceFunc(func() {
				w.got("the echo on the data channel")
				close(echoed)
			})
			ch.OnMessage(func(m webrtc.DataChannelMessage) {
				if string(m.Data) == message {
					done()
				}
			})
			// The publisher's channel may open later than this one.
			ch.OnOpen(func() { go repeat(ctx, echoed, func() { _ = ch.SendText(message) }) })
		},
	})
	defer bot.Close()
	ended := make(chan error, 1)
	go func() { ended <- bot.Run(ctx) }()
	return w.wait(began, "start", 3, ended) // video, audio, echo
}

// repeat calls f ten times a second until done.
func repeat(ctx context.Context, done <-chan struct{}, f func()) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		f()
		select {
		case <-tick.C:
		case <-done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// serveMSE keeps a server and a publisher up for browsers.
func serveMSE(ctx context.Context, p place, ready func(*site)) error {
	server, err := newMSEServer(p)
	if err != nil {
		return err
	}
	defer server.close()
	browser, err := server.token("browser")
	if err != nil {
		return err
	}
	bot, err := server.token("bot")
	if err != nil {
		return err
	}
	return playMSE(ctx, server, func() {
		ready(&site{
			What:      "a room in which a bot sends picture and sound, and the browser may send its camera",
			Watch:     "http://" + server.addr + "/#join=1&token=" + browser,
			Endpoints: []link{{"clients, with a token", "ws://" + server.addr + "/mse"}},
			Bot:       "./examples/bot-mse-receiver -server ws://" + server.addr + "/mse -token " + bot,
		})
	})
}
