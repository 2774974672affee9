// Command bot-easyrtc-echo joins a room of an EasyRTC server, takes every call, and sends
// back what it gets: sound, picture, and messages on the data channel or through the server.
//
//	go run ./examples/bot-easyrtc-echo -server http://127.0.0.1:8080 -room default
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

func main() {
	server := flag.String("server", "http://127.0.0.1:8080", "`address` of the server")
	application := flag.String("application", "default", "`name` of the application")
	room := flag.String("room", "default", "`name` of the room")
	user := flag.String("user", "echo", "user `name`")
	version := flag.Int("eio", 4, "`version` of Engine.IO, 3 or 4")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	login := &easyrtc.Login{Application: *application, Username: *user, Rooms: []string{*room}}
	if err := run(ctx, *server, login, engineio.Version(*version)); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server string, login *easyrtc.Login, version engineio.Version) error {
	e := &echo{ctx: ctx, calls: make(map[*easyrtcpion.Call]*media)}
	// snippet:bot
	client, token, err := easyrtchttp.Login(ctx, server, login, &easyrtchttp.DialOptions{
		HTTP:      &enginehttp.Options{Version: version},
		Reconnect: true,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	fmt.Println("waiting for calls as", token.EasyrtcID)
	peer := easyrtcpion.NewPeer(client, &easyrtcpion.Options{
		OnCall:     e.accept,
		OnTrack:    e.track,
		OnKeyFrame: e.keyFrame,
		OnData: func(c *easyrtcpion.Call, m *easyrtc.DataMessage) {
			bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			if err := c.Send(bounded, m.MsgType, m.MsgData); err != nil {
				log.Print(err)
			}
		},
		OnMessage: func(m easyrtc.Message) {
			if msg, ok := m.(*easyrtc.Msg); ok && msg.TargetEasyrtcID == client.EasyrtcID() {
				_ = client.Send(&easyrtc.Msg{MsgType: msg.MsgType, MsgData: msg.MsgData, TargetEasyrtcID: msg.SenderEasyrtcID})
			}
		},
		OnClosed: e.closed,
	})
	defer peer.Close()
	return peer.Run(ctx)
	// end snippet
}

// An echo knows what each call gets and sends.
type echo struct {
	ctx context.Context

	mu    sync.Mutex
	calls map[*easyrtcpion.Call]*media
}

// media are the tracks that a call sends, and what they are copies of, by kind.
type media struct {
	local  map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP
	remote map[webrtc.RTPCodecType]*webrtc.TrackRemote
}

// accept takes a call, with a track of each kind to send back on.
func (e *echo) accept(in *easyrtcpion.IncomingCall) {
	m := &media{
		local:  make(map[webrtc.RTPCodecType]*webrtc.TrackLocalStaticRTP),
		remote: make(map[webrtc.RTPCodecType]*webrtc.TrackRemote),
	}
	var tracks []webrtc.TrackLocal
	for kind, mime := range map[webrtc.RTPCodecType]string{
		webrtc.RTPCodecTypeVideo: webrtc.MimeTypeVP8, webrtc.RTPCodecTypeAudio: webrtc.MimeTypeOpus,
	} {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, kind.String(), "echo")
		if err != nil {
			log.Print(err)
			in.Reject()
			return
		}
		m.local[kind] = track
		tracks = append(tracks, track)
	}
	e.mu.Lock()
	defer e.mu.Unlock() // until the call is known to the other hooks
	call, err := in.Accept(tracks...)
	if err != nil {
		log.Print(err)
		return
	}
	e.calls[call] = m
	fmt.Println("call of", in.EasyrtcID)
}

func (e *echo) media(c *easyrtcpion.Call) *media {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[c]
}

// track copies what arrives, if it has the codec of what is sent.
func (e *echo) track(c *easyrtcpion.Call, remote *webrtc.TrackRemote) {
	m := e.media(c)
	if m == nil {
		return
	}
	e.mu.Lock()
	local, taken := m.local[remote.Kind()], m.remote[remote.Kind()] != nil
	m.remote[remote.Kind()] = remote
	e.mu.Unlock()
	if local == nil || taken || !strings.EqualFold(local.Codec().MimeType, remote.Codec().MimeType) {
		log.Printf("%s of %s is not sent back", remote.Codec().MimeType, c.EasyrtcID())
		return
	}
	for {
		packet, _, err := remote.ReadRTP()
		if err != nil {
			return
		}
		packet.Extension, packet.Extensions = false, nil // their ids are those of the other direction
		if err := local.WriteRTP(packet); err != nil {
			return
		}
	}
}

// keyFrame asks the caller for what it asks for.
func (e *echo) keyFrame(c *easyrtcpion.Call, track webrtc.TrackLocal) {
	m := e.media(c)
	if m == nil {
		return
	}
	e.mu.Lock()
	remote := m.remote[track.Kind()]
	e.mu.Unlock()
	if remote != nil {
		_ = c.RequestKeyFrame(remote) // it is asked for again
	}
}

func (e *echo) closed(c *easyrtcpion.Call, err error) {
	e.mu.Lock()
	delete(e.calls, c)
	e.mu.Unlock()
	if err != nil {
		fmt.Printf("end of the call of %s: %v\n", c.EasyrtcID(), err)
		return
	}
	fmt.Println("end of the call of", c.EasyrtcID())
}
