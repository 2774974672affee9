// Command bot-easyrtc-caller joins a room of an EasyRTC server, calls everybody who is there
// or comes, and shows them a test clip with sound. What it gets back it counts, until it leaves.
//
//	go run ./examples/bot-easyrtc-caller -server http://127.0.0.1:8080 -room default -for 30s
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

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

func main() {
	server := flag.String("server", "http://127.0.0.1:8080", "`address` of the server")
	application := flag.String("application", "default", "`name` of the application")
	room := flag.String("room", "default", "`name` of the room")
	user := flag.String("user", "caller", "user `name`")
	version := flag.Int("eio", 4, "`version` of Engine.IO, 3 or 4")
	limit := flag.Duration("for", 10*time.Second, "how long to stay")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	login := &easyrtc.Login{Application: *application, Username: *user, Rooms: []string{*room}}
	if err := run(ctx, *server, login, engineio.Version(*version)); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server string, login *easyrtc.Login, version engineio.Version) error {
	video, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "clip")
	if err != nil {
		return err
	}
	audio, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "clip")
	if err != nil {
		return err
	}
	player := &clip.Player{Video: video, Audio: audio}
	client, _, err := easyrtchttp.Login(ctx, server, login, &easyrtchttp.DialOptions{
		HTTP: &enginehttp.Options{Version: version}, Reconnect: true,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	peer := easyrtcpion.NewPeer(client, &easyrtcpion.Options{
		OnTrack:    count,
		OnKeyFrame: func(*easyrtcpion.Call, webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnOpen:     func(c *easyrtcpion.Call) { go greet(ctx, c) },
		OnData: func(c *easyrtcpion.Call, m *easyrtc.DataMessage) {
			fmt.Println(c.EasyrtcID(), "says", m.MsgType, string(m.MsgData))
		},
	})
	ended := make(chan error, 1)
	go func() { ended <- peer.Run(ctx) }()
	calling := &caller{peer: peer, busy: make(map[[2]string]bool), tracks: []webrtc.TrackLocal{video, audio}}
	defer calling.work.Wait()
	defer peer.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	calling.work.Go(func() { _ = player.Play(ctx) }) // ends with ctx
	room := login.Rooms[0]
	for {
		o, err := client.AwaitOccupant(ctx, room, func(o *easyrtc.Occupant) bool {
			return o.EasyrtcID != client.EasyrtcID() && !calling.isBusy(client.EasyrtcID(), o.EasyrtcID)
		})
		if err != nil {
			return <-ended
		}
		calling.call(ctx, client.EasyrtcID(), o)
	}
}

// A caller calls each client once for each of its own ids, of which a lost connection costs one.
type caller struct {
	peer   *easyrtcpion.Peer
	tracks []webrtc.TrackLocal
	work   sync.WaitGroup

	mu   sync.Mutex
	busy map[[2]string]bool
}

func (c *caller) isBusy(own, other string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy[[2]string{own, other}]
}

func (c *caller) call(ctx context.Context, own string, o *easyrtc.Occupant) {
	c.mu.Lock()
	c.busy[[2]string{own, o.EasyrtcID}] = true
	c.mu.Unlock()
	c.work.Go(func() {
		call, err := c.peer.Call(ctx, o.EasyrtcID, c.tracks...)
		if err != nil {
			fmt.Println(o.EasyrtcID, "does not take the call:", err)
			return
		}
		fmt.Println(o.EasyrtcID, "takes the call")
		<-call.Done()
		if err := call.Err(); err != nil {
			fmt.Println(o.EasyrtcID, "has gone:", err)
			return
		}
		fmt.Println(o.EasyrtcID, "has gone")
	})
}

func greet(ctx context.Context, c *easyrtcpion.Call) {
	if err := c.Send(ctx, "greeting", []byte(`"hello"`)); err != nil {
		log.Print(err)
	}
}

// count counts the packets of a track until it ends.
func count(c *easyrtcpion.Call, track *webrtc.TrackRemote) {
	packets := 0
	for {
		if _, _, err := track.ReadRTP(); err != nil {
			fmt.Println(packets, "packets of", track.Kind(), "from", c.EasyrtcID())
			return
		}
		packets++
	}
}
