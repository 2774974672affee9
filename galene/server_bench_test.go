package galene

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// benchSizes are the sizes of a chat message: a line, and a page.
var benchSizes = []struct {
	name string
	text string
}{{"0.3kB", strings.Repeat("x", 200)}, {"6kB", strings.Repeat("x", 5900)}}

// benchWindow is how many messages are under way at once.
const benchWindow = 16

// benchOptions are those of a server with one group, without limits.
func benchOptions() *ServerOptions {
	return &ServerOptions{
		Groups:        Groups{"test": {Wildcard: &MemoryUser{AnyPassword: true, Set: "present"}}},
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

// A crowd is a server with members on sinks.
type crowd struct {
	srv     *Server
	conns   []*sink
	written atomic.Int64
	each    int64         // messages after which a token is due
	done    chan struct{} // gets them
}

// newCrowd returns n members of one group, whose joining is over.
func newCrowd(tb testing.TB, n int) *crowd {
	c := &crowd{srv: NewServer(benchOptions()), each: 1, done: make(chan struct{}, benchWindow)}
	// Whoever comes k-th gets a handshake, joined and k users, and k-1 are told of it.
	settled := make(chan struct{})
	var due, arrived atomic.Int64
	arriving := func(messages int) {
		if arrived.Add(int64(messages)) == due.Load() {
			settled <- struct{}{}
		}
	}
	var served sync.WaitGroup
	var counting atomic.Bool
	for i := range n {
		conn := newSink(func(messages int) {
			if counting.Load() {
				c.count(messages)
			} else {
				arriving(messages)
			}
		})
		c.conns = append(c.conns, conn)
		served.Go(func() { _ = c.srv.Serve(context.Background(), conn) })
		due.Add(int64(2 + i + 1 + i))
		conn.feed <- fmt.Appendf(nil, `{"type":"handshake","version":["2"],"id":"id-%d"}`, i)
		conn.feed <- fmt.Appendf(nil, `{"type":"join","kind":"join","group":"test","username":"user-%d","password":""}`, i)
		<-settled
	}
	counting.Store(true)
	tb.Cleanup(func() {
		require.NoError(tb, c.srv.Close())
		served.Wait()
	})
	return c
}

// count gives a token for every each messages that have been written.
func (c *crowd) count(messages int) {
	after := c.written.Add(int64(messages))
	for due := after/c.each - (after-int64(messages))/c.each; due > 0; due-- {
		c.done <- struct{}{}
	}
}

// say feeds the first member's messages to the server, each one when another has been
// written to all who receive it.
func (c *crowd) say(b *testing.B, text []byte, receivers int) {
	c.each = int64(receivers)
	for range benchWindow {
		c.conns[0].feed <- text
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	for b.Loop() {
		<-c.done
		c.conns[0].feed <- text
	}
	for range benchWindow {
		<-c.done
	}
	runtime.ReadMemStats(&after)
	deliveries := float64(b.N * receivers)
	b.ReportMetric(deliveries/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/deliveries, "allocs/delivery")
}

// BenchmarkBroadcast is a chat message to everybody in a group, its sender included, from
// the bytes that arrive to those that leave.
func BenchmarkBroadcast(b *testing.B) {
	for _, members := range []int{10, 100, 1000} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("members=%d/size=%s", members, size.name), func(b *testing.B) {
				newCrowd(b, members).say(b, []byte(`{"type":"chat","value":"`+size.text+`"}`), members)
			})
		}
	}
}

// BenchmarkDirectedChat is a chat message to one of two members.
func BenchmarkDirectedChat(b *testing.B) {
	for _, size := range benchSizes {
		b.Run("size="+size.name, func(b *testing.B) {
			newCrowd(b, 2).say(b, []byte(`{"type":"chat","dest":"id-1","value":"`+size.text+`"}`), 1)
		})
	}
}

// BenchmarkJoin is a client that comes, joins a group in which others are, and goes.
func BenchmarkJoin(b *testing.B) {
	for _, others := range []int{2, 50} {
		b.Run(fmt.Sprintf("members=%d", others), func(b *testing.B) {
			c := newCrowd(b, others)
			c.each = int64(others) // who are told of the coming and of the going
			b.ReportAllocs()
			for b.Loop() {
				c.visit()
			}
		})
	}
}

// visit is one client's stay.
func (c *crowd) visit() {
	told := make(chan struct{}, 1)
	want := int64(len(c.conns)) + 3 // a handshake, joined, itself and the others
	var got atomic.Int64
	conn := newSink(func(messages int) {
		if after := got.Add(int64(messages)); after >= want && after-int64(messages) < want {
			told <- struct{}{}
		}
	})
	served := make(chan error, 1)
	go func() { served <- c.srv.Serve(context.Background(), conn) }()
	conn.feed <- []byte(`{"type":"handshake","version":["2"],"id":"id-visitor"}`)
	conn.feed <- []byte(`{"type":"join","kind":"join","group":"test","username":"visitor","password":""}`)
	<-told
	<-c.done
	_ = conn.Close(transport.StatusNormal, "")
	<-served
	<-c.done
}

// A machineCrowd is the members of a group on a machine alone.
type machineCrowd struct {
	*ServerMachine
	now  time.Time
	desc *Group
}

func newMachineCrowd(n int) *machineCrowd {
	c := &machineCrowd{
		ServerMachine: NewServerMachine(ServerConfig{}), desc: &Group{Name: "test"},
		now: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
	}
	for i := range n {
		c.enter(PeerID(i+1), fmt.Sprintf("id-%d", i))
	}
	return c
}

// enter makes a connection a member and returns how many messages that causes.
func (c *machineCrowd) enter(peer PeerID, id string) int {
	username := id
	c.Connect(c.now, peer, Connection{})
	n := len(c.Receive(c.now, peer, &Handshake{Version: []string{Version}, ID: id}).Send)
	fx := c.Receive(c.now, peer, &Join{Kind: JoinJoin, Group: "test", Username: &username})
	fx = c.Decide(c.now, fx.Ask[0].Ticket, Decision{Group: c.desc, Grant: Grant{
		Username: username, Permissions: Permissions{PermissionPresent, PermissionMessage},
	}})
	return n + len(fx.Send)
}

// BenchmarkServerMachine is what the benchmarks above cost without codec, queues and
// goroutines.
func BenchmarkServerMachine(b *testing.B) {
	run := func(name string, members int, step func(c *machineCrowd) int, want int) {
		b.Run(fmt.Sprintf("%s/members=%d", name, members), func(b *testing.B) {
			c := newMachineCrowd(members)
			b.ReportAllocs()
			for b.Loop() {
				if n := step(c); n != want {
					b.Fatal("messages sent: ", n)
				}
			}
		})
	}
	chat := &Chat{Value: NewText(benchSizes[0].text)}
	broadcast := func(c *machineCrowd) int { return len(c.Receive(c.now, 1, chat).Send) }
	for _, members := range []int{10, 100, 1000} {
		run("broadcast", members, broadcast, members)
	}
	directed := &Chat{Dest: "id-1", Value: NewText(benchSizes[0].text)}
	run("directed", 2, func(c *machineCrowd) int { return len(c.Receive(c.now, 1, directed).Send) }, 1)
	visit := func(c *machineCrowd) int {
		const visitor = 1 << 20
		n := c.enter(visitor, "id-visitor")
		return n + len(c.Disconnect(c.now, visitor).Send)
	}
	for _, members := range []int{2, 50} {
		run("join", members, visit, 3+3*members)
	}
}

func TestBenchmarksOfTheServerCountEveryDelivery(t *testing.T) {
	t.Parallel()
	for _, members := range []int{2, 10} {
		c := newCrowd(t, members)
		c.each = int64(members)
		for range 3 {
			c.conns[0].feed <- []byte(`{"type":"chat","value":"hello"}`)
			<-c.done
		}
		require.EqualValues(t, 3*members, c.written.Load())
		c.visit() // of whose coming and going each is told
		require.EqualValues(t, 5*members, c.written.Load())
		stats := c.srv.Stats()
		require.EqualValues(t, 2*members+3+2, stats.MessagesRead)
	}
}
