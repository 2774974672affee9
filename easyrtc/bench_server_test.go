package easyrtc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// benchWindow is how many messages are under way at once.
const benchWindow = 16

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

// A sink is a Conn that reads what it is fed and counts what is written, which it discards.
type sink struct {
	feed    chan []byte
	closed  chan struct{}
	once    sync.Once
	written func(messages int)
}

func newSink(written func(messages int)) *sink {
	return &sink{feed: make(chan []byte, benchWindow), closed: make(chan struct{}), written: written}
}

func (c *sink) Read(buf []byte) (transport.MessageType, []byte, error) {
	select {
	case text := <-c.feed:
		return transport.Text, append(buf[:0], text...), nil
	case <-c.closed:
		return 0, nil, transport.ErrClosed
	}
}

func (c *sink) Write(transport.MessageType, []byte) error {
	c.written(1)
	return nil
}

func (c *sink) WriteBatch(_ transport.MessageType, msgs [][]byte) error {
	c.written(len(msgs))
	return nil
}

func (c *sink) Close(transport.StatusCode, string) error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// A crowd is a server with clients in one room, on sinks.
type crowd struct {
	srv     *Server
	conns   []*sink
	written atomic.Int64
	each    int64         // messages after which a token is due
	done    chan struct{} // gets them
}

// newCrowd returns n clients whose logins are over.
func newCrowd(tb testing.TB, n int) *crowd {
	c := &crowd{srv: NewServer(benchOptions()), each: 1, done: make(chan struct{}, benchWindow)}
	// Whoever comes k-th gets a connect packet and a token, and k-1 hear of it twice.
	settled := make(chan struct{})
	var due, arrived atomic.Int64
	var counting atomic.Bool
	var served sync.WaitGroup
	for i := range n {
		conn := newSink(func(messages int) {
			if counting.Load() {
				c.count(messages)
			} else if arrived.Add(int64(messages)) == due.Load() {
				settled <- struct{}{}
			}
		})
		c.conns = append(c.conns, conn)
		served.Go(func() { _ = c.srv.Serve(context.Background(), conn) })
		due.Add(int64(2 + 2*i))
		conn.feed <- []byte("0")
		conn.feed <- fmt.Appendf(nil,
			`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","username":"user-%d"}}]`, i)
		<-settled
	}
	counting.Store(true)
	tb.Cleanup(func() {
		require.NoError(tb, c.srv.Close())
		served.Wait()
	})
	return c
}

func (c *crowd) count(messages int) {
	after := c.written.Add(int64(messages))
	for due := after/c.each - (after-int64(messages))/c.each; due > 0; due-- {
		c.done <- struct{}{}
	}
}

// pump has a client say a text over and over, of which each client hears something, and
// keeps some of them under way.
func (c *crowd) pump(b *testing.B, each int, text string) {
	c.each = int64(each)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	underway := 0
	for b.Loop() {
		if underway == benchWindow {
			<-c.done
			underway--
		}
		c.conns[0].feed <- []byte(text)
		underway++
	}
	for ; underway > 0; underway-- {
		<-c.done
	}
}

func BenchmarkServerRelay(b *testing.B) {
	for _, bb := range []struct{ name, text string }{
		{"offer 6kB", `21["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"c1","msgData":{"type":"offer","sdp":"` +
			strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\\r\\n", 130) + `"}}]`},
		{"candidate", `21["easyrtcCmd",{"msgType":"candidate","targetEasyrtcid":"c1","msgData":{"type":"candidate","label":0,` +
			`"id":"0","candidate":"candidate:1 1 udp 2122260223 192.0.2.1 54400 typ host generation 0"}}]`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			newCrowd(b, 2).pump(b, 2, bb.text) // the relay and its acknowledgement
		})
	}
}

func BenchmarkServerRoomDelta(b *testing.B) {
	for _, n := range []int{2, 100} {
		b.Run(fmt.Sprint(n, " members"), func(b *testing.B) {
			newCrowd(b, n).pump(b, n, `21["easyrtcCmd",{"msgType":"setPresence","msgData":{"setPresence":{"show":"away","status":"x"}}}]`)
		})
	}
}

func BenchmarkServerRoomMessage(b *testing.B) {
	for _, n := range []int{2, 100} {
		b.Run(fmt.Sprint(n, " members"), func(b *testing.B) {
			newCrowd(b, n).pump(b, n, `21["easyrtcMsg",{"msgType":"chat","targetRoom":"default","msgData":{"text":"hello"}}]`)
		})
	}
}

// BenchmarkServerLogin is a client that comes, logs in and goes, while others are in the
// room.
func BenchmarkServerLogin(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprint("room of ", n), func(b *testing.B) {
			c := newCrowd(b, n)
			c.each = 1 << 60
			login := []byte(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","username":"u"}}]`)
			b.ReportAllocs()
			for b.Loop() {
				heard := make(chan struct{}, 2)
				var got atomic.Int64
				conn := newSink(func(messages int) {
					if got.Add(int64(messages)) == 2 {
						heard <- struct{}{}
					}
				})
				served := make(chan struct{})
				go func() {
					_ = c.srv.Serve(context.Background(), conn)
					close(served)
				}()
				conn.feed <- []byte("0")
				conn.feed <- login
				<-heard
				_ = conn.Close(transport.StatusNormal, "")
				<-served
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
