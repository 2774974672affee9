package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/examples/kit/watch"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

const easyrtcRoom = "demo"

// An easyrtcServer is a signaling server on a port of its own.
type easyrtcServer struct {
	place     place
	url       string
	signaling *easyrtc.Server
	web       *http.Server
}

func newEasyRTCServer(p place) (*easyrtcServer, error) {
	s := &easyrtcServer{place: p, signaling: easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})}
	listener, err := p.listen()
	if err != nil {
		return nil, err
	}
	s.url = "http://" + listener.Addr().String()
	s.web = &http.Server{
		Handler:           easyrtchttp.NewHandler(s.signaling, &easyrtchttp.Options{Static: watch.Files()}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = s.web.Serve(listener) }() // ends with close
	return s, nil
}

func (s *easyrtcServer) close() error { return errors.Join(s.web.Close(), s.signaling.Close()) }

// playEasyRTC is a bot that shows the test clip to all who call it, and sends back their
// messages, until ctx ends.
func playEasyRTC(ctx context.Context, server *easyrtcServer, ready func()) error {
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
	client, _, err := easyrtchttp.Login(ctx, server.url, &easyrtc.Login{
		Username: "publisher", Rooms: []string{easyrtcRoom},
	}, &easyrtchttp.DialOptions{
		HTTP: &enginehttp.Options{Transports: []string{enginehttp.Polling, enginehttp.WebSocket}}, // as browsers do
	})
	if err != nil {
		return err
	}
	defer client.Close()
	player := &clip.Player{Video: video, Audio: audio}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	working.Go(func() { _ = player.Play(ctx) })
	peer := easyrtcpion.NewPeer(client, &easyrtcpion.Options{
		Settings: server.place.settings(),
		OnCall: func(in *easyrtcpion.IncomingCall) {
			_, _ = in.Accept(video, audio) // an error says that the caller has gone
		},
		OnKeyFrame: func(*easyrtcpion.Call, webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnData: func(c *easyrtcpion.Call, m *easyrtc.DataMessage) {
			_ = c.Send(ctx, m.MsgType, m.MsgData)
		},
	})
	defer peer.Close()
	ready()
	return peer.Run(ctx)
}

// runEasyRTC has a bot call another one.
func runEasyRTC(ctx context.Context, r *result) error {
	r.Roles = "server, publisher, receiver"
	server, err := newEasyRTCServer(inside())
	if err != nil {
		return err
	}
	defer server.close()
	r.step("server %s", server.url)

	stop, err := publish(ctx, "publisher", func(ctx context.Context, ready func()) error {
		return playEasyRTC(ctx, server, ready)
	})
	if err != nil {
		return err
	}
	defer stop()
	r.step("publisher logged in by polling, changed to WebSocket, and waits for calls")
	err = watchEasyRTC(ctx, server, r)
	stats := server.signaling.Stats()
	r.Messages = stats.MessagesRead + stats.MessagesWritten
	return err
}

// watchEasyRTC is a bot that calls the other one, and waits for enough media of both tracks
// and for its own words to come back in one piece.
func watchEasyRTC(ctx context.Context, server *easyrtcServer, r *result) error {
	client, token, err := easyrtchttp.Login(ctx, server.url, &easyrtc.Login{
		Username: "receiver", Rooms: []string{easyrtcRoom},
	}, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	r.step("receiver logged in as %s", token.EasyrtcID)
	publisher, err := client.AwaitOccupant(ctx, easyrtcRoom, func(o *easyrtc.Occupant) bool {
		return o.Username != nil && *o.Username == "publisher"
	})
	if err != nil {
		return err
	}

	message := `"` + strings.Repeat("an echo, ", 500) + `"` // which takes several parts
	began := time.Now()
	w := newWatcher(r)
	var working sync.WaitGroup
	defer working.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	peer := easyrtcpion.NewPeer(client, &easyrtcpion.Options{
		Settings: server.place.settings(),
		OnState:  func(_ *easyrtcpion.Call, s webrtc.PeerConnectionState) { w.state(s) },
		OnTrack:  func(_ *easyrtcpion.Call, track *webrtc.TrackRemote) { w.track(track.Kind().String(), track) },
		OnOpen: func(c *easyrtcpion.Call) {
			working.Go(func() { _ = c.Send(ctx, "words", []byte(message)) })
		},
		OnData: func(_ *easyrtcpion.Call, m *easyrtc.DataMessage) {
			if string(m.MsgData) == message {
				w.got(fmt.Sprintf("the echo of %d bytes on the data channel", len(message)))
			}
		},
	})
	defer peer.Close()
	ended := make(chan error, 2)
	go func() { ended <- peer.Run(ctx) }()
	working.Go(func() {
		if _, err := peer.Call(ctx, publisher.EasyrtcID); err != nil {
			ended <- err
		}
	})
	return w.wait(began, "calling", 3, ended) // video, audio, echo
}

// serveEasyRTC keeps a server and a publisher up for browsers, bots and pages of EasyRTC.
func serveEasyRTC(ctx context.Context, p place, ready func(*site)) error {
	server, err := newEasyRTCServer(p)
	if err != nil {
		return err
	}
	defer server.close()
	return playEasyRTC(ctx, server, func() {
		ready(&site{
			What:      "a bot that takes calls, and says back what it is told over the data channel",
			Watch:     server.url + "/easyrtc.html?room=" + easyrtcRoom + "&user=publisher",
			Endpoints: []link{{"server, for the room " + easyrtcRoom, server.url}},
			Bot:       "./examples/bot-easyrtc-caller -server " + server.url + " -room " + easyrtcRoom,
		})
	})
}
