// Command bot-galene-echo joins a group of a Galène server and sends back to the group
// what a user sends there: each stream with its sound and picture, and what is written to
// the bot alone in the chat.
//
//	go run ./examples/bot-galene-echo -group https://galene.example.org/group/test/ -user echo
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
)

func main() {
	group := flag.String("group", "http://127.0.0.1:8443/group/test/", "`URL` of the group, with ?token= if there is one")
	user := flag.String("user", "echo", "user `name`")
	password := flag.String("password", "", "`password`, unless the URL has a token")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *group, *user, *password); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, group, user, password string) error {
	client, _, err := galenehttp.Join(ctx, group, user, password, &galenehttp.DialOptions{Reconnect: true})
	if err != nil {
		return err
	}
	defer client.Close()
	e := &echo{ctx: ctx, client: client, streams: make(map[*galenepion.Subscription]*stream)}
	e.peer = galenepion.NewPeer(client, &galenepion.Options{
		OnTrack:   e.track,
		OnClosed:  e.closed,
		OnMessage: e.message,
	})
	defer e.peer.Close()
	if err := client.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideo}}); err != nil {
		return err
	}
	return e.peer.Run(ctx)
}

type echo struct {
	ctx    context.Context
	client *galene.Client
	peer   *galenepion.Peer

	mu      sync.Mutex
	streams map[*galenepion.Subscription]*stream
}

// A stream is what is sent back of another one: that with the tracks that have arrived
// so far.
type stream struct {
	tracks  []webrtc.TrackLocal
	sources map[webrtc.TrackLocal]*webrtc.TrackRemote
	sent    *galenepion.Publication
	timer   *time.Timer
}

// track sends a track back, together with the other one of its stream.
func (e *echo) track(s *galenepion.Subscription, remote *webrtc.TrackRemote) {
	local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.Kind().String(), s.ID)
	if err != nil {
		log.Print(err)
		return
	}
	e.mu.Lock()
	st := e.streams[s]
	if st == nil {
		st = &stream{sources: make(map[webrtc.TrackLocal]*webrtc.TrackRemote)}
		e.streams[s] = st
	}
	st.tracks = append(st.tracks, local)
	st.sources[local] = remote
	if st.timer != nil {
		st.timer.Stop()
	}
	st.timer = time.AfterFunc(200*time.Millisecond, func() { e.publish(s, st) })
	e.mu.Unlock()
	for {
		packet, _, err := remote.ReadRTP()
		if err != nil {
			return
		}
		packet.Extension, packet.Extensions = false, nil // their ids are those of the other connection
		if err := local.WriteRTP(packet); err != nil {
			return
		}
	}
}

// publish sends the tracks of a stream that have arrived, in place of what it sent before.
func (e *echo) publish(s *galenepion.Subscription, st *stream) {
	e.mu.Lock()
	tracks, last := append([]webrtc.TrackLocal(nil), st.tracks...), st.sent
	e.mu.Unlock()
	sent, err := e.peer.Publish(e.ctx, &galenepion.PublishOptions{
		Label:   s.Label,
		Replace: last,
		Once:    true, // what it sends ends with the connection as well
		OnKeyFrame: func(t webrtc.TrackLocal) {
			if remote := e.source(st, t); remote != nil {
				_ = s.RequestKeyFrame(remote) // it is asked for again
			}
		},
	}, tracks...)
	if err != nil {
		log.Printf("%s of %s: %v", s.Label, s.Username, err)
		return
	}
	fmt.Printf("sending %s of %s back\n", s.Label, s.Username)
	e.mu.Lock()
	defer e.mu.Unlock()
	st.sent = sent
	if e.streams[s] != st { // it has ended meanwhile
		sent.Unpublish()
	}
}

func (e *echo) source(st *stream, t webrtc.TrackLocal) *webrtc.TrackRemote {
	e.mu.Lock()
	defer e.mu.Unlock()
	return st.sources[t]
}

// closed ends what is sent back of a stream that has ended.
func (e *echo) closed(s *galenepion.Subscription, _ error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := e.streams[s]
	delete(e.streams, s)
	if st == nil {
		return
	}
	st.timer.Stop()
	if st.sent != nil {
		st.sent.Unpublish()
	}
}

// message answers what is written to the bot alone.
func (e *echo) message(m galene.Message) {
	chat, ok := m.(*galene.Chat)
	if !ok || chat.Dest != e.client.ID() {
		return
	}
	if text, ok := galene.Text(chat.Value); ok {
		if err := e.client.ChatTo(chat.Source, text); err != nil {
			log.Print(err)
		}
	}
}
