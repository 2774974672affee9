package easyrtc

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// benchOptions are those of a server without limits, whose clients are called c0, c1 and so
// on.
func benchOptions() *ServerOptions {
	var n atomic.Int64
	return &ServerOptions{
		AllowAll: true, ServerConfig: ServerConfig{
			NewID: func() string { return fmt.Sprint("c", n.Add(1)-1) }, RoomConnections: -1, Rooms: -1,
		},
		QueueMessages: -1, QueueBytes: -1, Limits: Limits{Messages: -1, Bytes: -1},
	}
}

// newCrowd returns n clients in one room, whose logins are over.
func newCrowd(tb testing.TB, n int) *script.Crowd {
	srv := NewServer(benchOptions())
	return script.NewCrowd(tb, n, srv.Serve, srv.Close, func(i int) ([]string, int) {
		return []string{"0", fmt.Sprintf(
			`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","username":"user-%d"}}]`, i,
		)}, 2 + 2*i // a connect packet and a token, and the others hear of it twice
	})
}

// benchSays has one of n clients say a text over and over, of which each hears something.
func benchSays(b *testing.B, n int, text string) {
	c := newCrowd(b, n)
	b.SetBytes(int64(len(text)))
	c.Pump(b, text, n)
}

func BenchmarkServerRelay(b *testing.B) {
	for _, bb := range []struct{ name, text string }{
		{"offer 6kB", `21["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"c1","msgData":{"type":"offer","sdp":"` +
			strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\\r\\n", 130) + `"}}]`},
		{"candidate", `21["easyrtcCmd",{"msgType":"candidate","targetEasyrtcid":"c1","msgData":{"type":"candidate","label":0,` +
			`"id":"0","candidate":"candidate:1 1 udp 2122260223 192.0.2.1 54400 typ host generation 0"}}]`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			benchSays(b, 2, bb.text) // the relay and its acknowledgement
		})
	}
}

func BenchmarkServerRoomDelta(b *testing.B) {
	for _, n := range []int{2, 100} {
		b.Run(fmt.Sprint(n, " members"), func(b *testing.B) {
			benchSays(b, n, `21["easyrtcCmd",{"msgType":"setPresence","msgData":{"setPresence":{"show":"away","status":"x"}}}]`)
		})
	}
}

func BenchmarkServerRoomMessage(b *testing.B) {
	for _, n := range []int{2, 100} {
		b.Run(fmt.Sprint(n, " members"), func(b *testing.B) {
			benchSays(b, n, `21["easyrtcMsg",{"msgType":"chat","targetRoom":"default","msgData":{"text":"hello"}}]`)
		})
	}
}

// BenchmarkServerLogin is a client that comes, logs in and goes, while others are in the
// room.
func BenchmarkServerLogin(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprint("room of ", n), func(b *testing.B) {
			c := newCrowd(b, n)
			c.Await(math.MaxInt)
			login := []string{"0",
				`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","username":"u"}}]`}
			b.ReportAllocs()
			for b.Loop() {
				c.Visit(login, 2, nil)
			}
		})
	}
}

// BenchmarkClientCall is a command of a client over memory and its acknowledgement.
func BenchmarkClientCall(b *testing.B) {
	s := NewServer(benchOptions())
	near, far := transport.Pipe()
	go func() { _ = s.Serve(context.Background(), far) }()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	c, err := Connect(ctx, near, nil)
	require.NoError(b, err)
	_, err = c.Login(ctx, &Login{})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.SendToServer(ctx, "m", nil); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, c.Close())
	require.NoError(b, s.Close())
}
