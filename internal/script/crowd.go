package script

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// crowdWindow is how many messages of [Crowd.Pump] are under way at once.
const crowdWindow = 16

// A sink is a Conn that reads what it is fed and counts what is written, which it discards.
type sink struct {
	feed    chan []byte
	closed  chan struct{}
	once    sync.Once
	written func(messages int)
}

func newSink(written func(messages int)) *sink {
	return &sink{feed: make(chan []byte, crowdWindow), closed: make(chan struct{}), written: written}
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

// A Crowd is clients of a server, for its benchmarks: what they say is fed to the server, and
// what they hear is counted and thrown away.
type Crowd struct {
	serve   func(ctx context.Context, conn transport.Conn) error
	members []*sink
	heard   atomic.Int64
	each    int64         // messages after which a token is due
	done    chan struct{} // gets them
}

// NewCrowd returns n clients whose arrival is over. serve and stop are methods of the server;
// enter returns what the i-th client says, and how many messages it and those before it hear
// because of that.
func NewCrowd(
	tb testing.TB, n int, serve func(ctx context.Context, conn transport.Conn) error, stop func() error,
	enter func(i int) (says []string, caused int),
) *Crowd {
	c := &Crowd{serve: serve, each: 1, done: make(chan struct{}, crowdWindow)}
	settled := make(chan struct{})
	var due, arrived atomic.Int64
	var counting atomic.Bool
	var served sync.WaitGroup
	for i := range n {
		member := newSink(func(messages int) {
			if counting.Load() {
				c.count(messages)
			} else if arrived.Add(int64(messages)) == due.Load() {
				settled <- struct{}{}
			}
		})
		c.members = append(c.members, member)
		served.Go(func() { _ = serve(context.Background(), member) })
		says, caused := enter(i)
		due.Add(int64(caused))
		for _, text := range says {
			member.feed <- []byte(text)
		}
		<-settled
	}
	counting.Store(true)
	tb.Cleanup(func() {
		require.NoError(tb, stop())
		served.Wait()
	})
	return c
}

// count gives a token for every each messages that have been heard.
func (c *Crowd) count(messages int) {
	after := c.heard.Add(int64(messages))
	for due := after/c.each - (after-int64(messages))/c.each; due > 0; due-- {
		c.done <- struct{}{}
	}
}

// Await says how many messages [Crowd.Heard] waits for from now on. It is called while none
// is under way.
func (c *Crowd) Await(each int) { c.each = int64(each) }

// Say feeds a message of the first client to the server.
func (c *Crowd) Say(text string) { c.members[0].feed <- []byte(text) }

// Heard waits until as many messages as [Crowd.Await] said have been heard once more.
func (c *Crowd) Heard() { <-c.done }

// Count returns how many messages have been heard since all were there.
func (c *Crowd) Count() int64 { return c.heard.Load() }

// Pump has the first client say a text over and over, each time that another one has been
// heard by all of its receivers.
func (c *Crowd) Pump(b *testing.B, text string, receivers int) {
	c.Await(receivers)
	data := []byte(text)
	for range crowdWindow {
		c.members[0].feed <- data
	}
	b.ReportAllocs()
	for b.Loop() {
		<-c.done
		c.members[0].feed <- data
	}
	for range crowdWindow {
		<-c.done
	}
}

// Visit is the stay of one more client, which says something, hears some messages, and goes.
// before, which may be nil, is called before it goes.
func (c *Crowd) Visit(says []string, hears int, before func()) {
	told := make(chan struct{}, 1)
	var got atomic.Int64
	visitor := newSink(func(messages int) {
		if after := got.Add(int64(messages)); after >= int64(hears) && after-int64(messages) < int64(hears) {
			told <- struct{}{}
		}
	})
	served := make(chan struct{})
	go func() {
		_ = c.serve(context.Background(), visitor)
		close(served)
	}()
	for _, text := range says {
		visitor.feed <- []byte(text)
	}
	<-told
	if before != nil {
		before()
	}
	_ = visitor.Close(transport.StatusNormal, "")
	<-served
}
