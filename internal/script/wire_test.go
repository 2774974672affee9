package script

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A bell is a server's machine that rings once, a minute after a peer has gone.
type bell struct {
	left []int
	due  time.Time
}

type peerID uint64

func (b *bell) Deadline() (time.Time, bool) { return b.due, !b.due.IsZero() }

func (b *bell) Expire(now time.Time) string {
	if now.Before(b.due) {
		panic("too early")
	}
	b.due = time.Time{}
	return "ring"
}

func (b *bell) Disconnect(now time.Time, peer peerID) string {
	b.left, b.due = append(b.left, int(peer)), now.Add(time.Minute)
	return "gone"
}

func TestServerWireStepsItsMachineAtItsDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := new(bell)
		var w ServerWire[peerID, string, int]
		w.Machine, w.Apply = b, func(fx string) { w.Peer("b").Hear(Event{Data: []byte(fx)}) }
		for _, name := range []string{"a", "b"} {
			w.Number(w.Appear(name))
		}
		require.ErrorIs(t, w.Close("nobody", 1000), transport.ErrClosed)
		require.NoError(t, w.Close("a", 1000))
		require.ErrorIs(t, w.Close("a", 1000), transport.ErrClosed, "it has gone")
		heard := func() (all []string) {
			for e, ok := w.Next("b", false); ok; e, ok = w.Next("b", false) {
				all = append(all, string(e.Data))
			}
			return all
		}
		require.Equal(t, []string{"gone"}, heard())
		require.NoError(t, w.Wait(time.Minute-1))
		require.Empty(t, heard())
		begin := time.Now()
		require.NoError(t, w.Wait(1))
		require.Equal(t, []string{"ring"}, heard())
		require.Equal(t, time.Duration(1), time.Since(begin))
		w.DisconnectAll()
		require.Equal(t, []int{1, 2}, b.left)
		w.Number(w.Appear("a"))
		require.Equal(t, peerID(3), w.Peer("a").ID, "nobody's number is given twice")
		require.Same(t, w.Peer("a"), w.Of(3))
	})
}

func TestEndsDoNotWaitForAServerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Ends{
			Say:  func(m Message) Message { return Message{Data: append([]byte("4"), m.Data...), Binary: m.Binary} },
			Hear: func(data []byte, binary bool) Event { require.True(t, binary); return Event{Data: data[1:]} },
			End:  func(c *transport.CloseError) []Event { return []Event{{Data: []byte(c.Reason)}, {Closed: int(c.Code)}} },
		}
		read := make(chan struct{})
		e.Connect("a", func(_ context.Context, conn transport.Conn) error {
			<-read
			_, data, err := conn.Read(nil)
			return errors.Join(err, conn.Write(transport.Binary, data), conn.Close(1008, "enough"))
		})
		require.NoError(t, e.Send("a", Message{Data: []byte("x")}))
		_, ok := e.Next("a", false)
		require.False(t, ok)
		close(read)
		for _, want := range []Event{{Data: []byte("x")}, {Data: []byte("enough")}, {Closed: 1008}} {
			got, ok := e.Next("a", true)
			require.True(t, ok)
			require.Equal(t, want, got)
		}
		require.Error(t, e.Send("a", Message{}), "it is closed")
		require.ErrorIs(t, e.Send("b", Message{}), transport.ErrClosed)
		require.False(t, e.Attach("b", nil), "nobody of that name has appeared")
		require.NoError(t, e.CloseAll())
	})
}

func TestCrowdCountsWhatItHears(t *testing.T) {
	t.Parallel()
	// Whatever one says is said to all who are there.
	var all []transport.Conn
	serve := func(_ context.Context, conn transport.Conn) error {
		all = append(all, conn)
		for {
			_, data, err := conn.Read(nil)
			if err != nil {
				return nil
			}
			for _, to := range all {
				_ = to.Write(transport.Text, data)
			}
		}
	}
	var c *Crowd
	stop := func() error {
		for _, m := range c.members {
			_ = m.Close(transport.StatusNormal, "")
		}
		return nil
	}
	c = NewCrowd(t, 3, serve, stop, func(i int) ([]string, int) { return []string{"hello"}, i + 1 })
	require.Zero(t, c.Count())
	c.Await(3)
	for range 5 {
		c.Say("x")
		c.Heard()
	}
	require.EqualValues(t, 15, c.Count())
	c.Visit([]string{"hello"}, 1, c.Heard)
	require.EqualValues(t, 18, c.Count())
}
