package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

var errUnfit = errors.New("unfit")

// plain is how the tests write: a message is its text, and "unfit" cannot be written.
func plain() Options[string] {
	return Options[string]{
		Append: func(dst []byte, m string) ([]byte, error) {
			if m == "unfit" {
				return append(dst, "half of it"...), errUnfit
			}
			return append(dst, m...), nil
		},
		Size:   func(m string) int { return len(m) },
		Limits: Unlimited,
	}
}

// run starts a Link on one end of a pipe and returns the other end and what Run returns.
func run(opts Options[string], receive func(string)) (l *Link[string], peer transport.Conn, end <-chan error) {
	near, far := transport.Pipe()
	l = New(near, opts)
	done := make(chan error, 1)
	go func() {
		done <- l.Run(func(_ transport.MessageType, msg []byte) {
			if receive != nil {
				receive(string(msg))
			}
		})
	}()
	return l, far, done
}

// readAll reads until the connection ends.
func readAll(c transport.Conn) (messages []string, end error) {
	for {
		_, msg, err := c.Read(nil)
		if err != nil {
			return messages, err
		}
		messages = append(messages, string(msg))
	}
}

func TestQueuedMessagesPrecedeTheClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, peer, end := run(plain(), nil)
		require.NoError(t, l.Send("a"))
		require.NoError(t, l.Send("b"))
		l.Close(transport.StatusPolicyViolation, "bye", nil)
		require.ErrorIs(t, l.Send("late"), transport.ErrClosed)
		messages, err := readAll(peer)
		require.Equal(t, []string{"a", "b"}, messages)
		require.Equal(t, &transport.CloseError{Code: transport.StatusPolicyViolation, Reason: "bye"}, err)
		require.ErrorIs(t, <-end, transport.ErrClosed)
	})
}

func TestAbortDropsWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, peer, end := run(plain(), nil)
		require.NoError(t, l.Send("a"))
		synctest.Wait() // the writer is stuck with it
		require.NoError(t, l.Send("b"))
		l.Abort(transport.StatusMessageTooBig, "", nil)
		synctest.Wait()
		messages, err := readAll(peer)
		require.Empty(t, messages)
		require.Equal(t, &transport.CloseError{Code: transport.StatusMessageTooBig}, err)
		require.ErrorIs(t, <-end, transport.ErrClosed)
	})
}

func TestFirstCauseStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := errors.New("first")
		l, peer, end := run(plain(), nil)
		require.NoError(t, l.Err())
		require.False(t, l.Ending())
		l.Close(4000, "first", first)
		l.Abort(4001, "second", errors.New("second"))
		require.NoError(t, peer.Close(4002, "third"))
		require.Equal(t, first, <-end)
		require.Equal(t, first, l.Err())
		require.Equal(t, first, l.Send("late"))
		require.True(t, l.Ending())
	})
}

func TestPeersCloseIsTheCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, peer, end := run(plain(), nil)
		require.NoError(t, peer.Close(4000, "enough"))
		want := &transport.CloseError{Code: 4000, Reason: "enough"}
		require.Equal(t, want, <-end)
		require.Equal(t, want, l.Send("late"))
	})
}

func TestFullQueueEndsThePeerAndBlocksNobody(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*Options[string]){
		"messages": func(o *Options[string]) { o.QueueMessages = 3 },
		"bytes":    func(o *Options[string]) { o.QueueBytes = 12 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts := plain()
				set(&opts)
				l, peer, end := run(opts, nil)
				begin := time.Now()
				for range 1 + 3 {
					require.NoError(t, l.Send("1234"))
					synctest.Wait() // what is being written, the first one, does not count
				}
				require.Equal(t, ErrSlowPeer, l.Send("1234"))
				require.Equal(t, ErrSlowPeer, l.Send("1234"))
				require.Equal(t, ErrSlowPeer, <-end)
				require.Zero(t, time.Since(begin))
				_, err := readAll(peer)
				require.Equal(t, &transport.CloseError{Code: transport.StatusTryAgainLater, Reason: "too slow"}, err)
			})
		})
	}
}

func TestQueueHasRoomAgainAfterWriting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := plain()
		opts.QueueMessages, opts.QueueBytes = 2, 8
		l, peer, end := run(opts, nil)
		for range 10 {
			require.NoError(t, l.Send("1234"))
			require.NoError(t, l.Send("1234"))
			for range 2 {
				_, _, err := peer.Read(nil)
				require.NoError(t, err)
			}
			synctest.Wait()
		}
		require.NoError(t, l.Send(strings.Repeat("x", 100)), "one message alone may be larger than the queue")
		l.Abort(transport.StatusNormal, "", nil)
		<-end
	})
}

func TestNegativeQueueLimitsAreNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := plain()
		opts.QueueMessages, opts.QueueBytes = -1, -1
		l, _, end := run(opts, nil)
		for range 2 * DefaultQueueMessages {
			require.NoError(t, l.Send(strings.Repeat("x", DefaultQueueBytes/DefaultQueueMessages)))
		}
		l.Abort(transport.StatusNormal, "", nil)
		<-end
	})
}

func TestPeerThatDoesNotReadIsGivenUpAfterTheWriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _, end := run(plain(), nil)
		begin := time.Now()
		require.NoError(t, l.Send("a"))
		require.Equal(t, ErrSlowPeer, <-end)
		require.Equal(t, transport.DefaultWriteTimeout, time.Since(begin))
	})
}

func TestWriterExistsOnlyWhileSomethingIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, peer, end := run(plain(), nil)
		writes := func() bool {
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.writing
		}
		for range 2 {
			require.False(t, writes())
			require.NoError(t, l.Send("a"))
			require.True(t, writes())
			_, _, err := peer.Read(nil)
			require.NoError(t, err)
		}
		require.False(t, writes())
		l.Close(transport.StatusNormal, "", nil)
		<-end
	})
}

// A gated conn lets each write through when it is told to, and reads nothing until it is
// closed.
type gated struct {
	gate   chan error
	closed chan struct{}
	once   sync.Once
	mu     sync.Mutex
	writes [][]string // what went out together
}

func newGated() *gated { return &gated{gate: make(chan error), closed: make(chan struct{})} }

func (c *gated) Read([]byte) (transport.MessageType, []byte, error) {
	<-c.closed
	return 0, nil, transport.ErrClosed
}

func (c *gated) Write(_ transport.MessageType, msg []byte) error {
	return c.WriteBatch(transport.Text, [][]byte{msg})
}

func (c *gated) WriteBatch(_ transport.MessageType, msgs [][]byte) error {
	var texts []string
	for _, m := range msgs {
		texts = append(texts, string(m))
	}
	select {
	case err := <-c.gate:
		if err != nil {
			return err
		}
	case <-c.closed:
		return transport.ErrClosed
	}
	// The messages must not have changed while the write was blocked.
	for i, m := range msgs {
		if string(m) != texts[i] {
			panic("message changed")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, texts)
	return nil
}

func (c *gated) Close(transport.StatusCode, string) error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func TestMessageThatCannotBeEncodedEndsTheConnectionBehindThoseBeforeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, peer, end := run(plain(), func(string) {})
		require.NoError(t, l.Send("a"))
		synctest.Wait()
		for _, m := range []string{"b", "unfit", "c"} {
			require.NoError(t, l.Send(m))
		}
		for _, want := range []string{"a", "b"} {
			_, got, err := peer.Read(nil)
			require.NoError(t, err)
			require.Equal(t, want, string(got))
		}
		_, _, err := peer.Read(nil)
		var closed *transport.CloseError
		require.ErrorAs(t, err, &closed)
		require.Equal(t, transport.StatusInternalError, closed.Code)
		require.ErrorIs(t, <-end, errUnfit)
	})
}

func TestWhatIsQueuedGoesOutTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newGated()
		l := New(c, plain())
		for _, m := range []string{"a", "", "b"} {
			require.NoError(t, l.Send(m))
			synctest.Wait()
		}
		c.gate <- nil // "a", alone
		synctest.Wait()
		for n := range 5 {
			require.NoError(t, l.Send(fmt.Sprint(n)))
		}
		c.gate <- nil // "b", without those that have no text
		c.gate <- nil
		synctest.Wait()
		large := strings.Repeat("x", 10<<10)
		for range 6 {
			require.NoError(t, l.Send(large))
		}
		for range 2 {
			c.gate <- nil
		}
		synctest.Wait()
		l.Close(transport.StatusNormal, "", nil)
		require.ErrorIs(t, l.Run(nil), transport.ErrClosed)
		require.Equal(t, [][]string{{"a"}, {"b"}, {"0", "1", "2", "3", "4"}}, c.writes[:3])
		var sizes []int
		for _, batch := range c.writes[3:] {
			sizes = append(sizes, len(batch))
		}
		require.Equal(t, []int{4, 2}, sizes, "a batch ends with the message that passes 32 KiB")
	})
}

func TestFailedWriteLeavesTheCauseToTheReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	t.Run("who knows more", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newGated()
			l := New(c, plain())
			require.NoError(t, l.Send("a"))
			c.gate <- broken
			synctest.Wait()
			require.NoError(t, l.Err())
			go c.Close(transport.StatusNormal, "")
			require.ErrorIs(t, l.Run(nil), transport.ErrClosed)
		})
	})
	t.Run("who knows nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newGated()
			l := New(c, plain())
			require.NoError(t, l.Send("a"))
			c.gate <- broken
			begin := time.Now()
			require.Equal(t, broken, l.Run(nil))
			require.Equal(t, transport.DefaultWriteTimeout, time.Since(begin))
		})
	})
	t.Run("at the end", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newGated()
			l := New(c, plain())
			require.NoError(t, l.Send("a"))
			synctest.Wait()
			require.NoError(t, l.Send("b"))
			l.Close(transport.StatusNormal, "", nil)
			c.gate <- broken
			require.ErrorIs(t, l.Run(nil), transport.ErrClosed)
			require.Empty(t, c.writes)
		})
	})
}

func TestNothingIsReceivedAfterTheEndHasBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var received []string
		l, peer, end := run(plain(), func(m string) { received = append(received, m) })
		require.NoError(t, peer.Write(transport.Text, []byte("a")))
		synctest.Wait()
		require.NoError(t, l.Send("blocks the writer"))
		synctest.Wait()
		l.Close(transport.StatusNormal, "", nil)
		require.NoError(t, peer.Write(transport.Text, []byte("b")), "the reader goes on, so that the peer can")
		_, err := readAll(peer)
		require.Error(t, err)
		<-end
		require.Equal(t, []string{"a"}, received)
	})
}

func TestManyMessagesArriveWhole(t *testing.T) {
	t.Parallel()
	near, far := transport.Pipe()
	opts := plain()
	opts.QueueMessages, opts.QueueBytes = -1, -1
	a, b := New(near, opts), New(far, opts)
	var want, got []string
	for n := range 1000 {
		size := rand.N(200)
		if n%50 == 0 {
			size = rand.N(200 << 10)
		}
		want = append(want, string(bytes.Repeat([]byte{byte('a' + n%26)}, size+1)))
	}
	var group sync.WaitGroup
	group.Go(func() { _ = a.Run(nil) })
	group.Go(func() {
		_ = b.Run(func(_ transport.MessageType, m []byte) {
			got = append(got, string(m))
			for i := range m { // it is the receiver's until it returns
				m[i] = 0
			}
		})
	})
	for _, m := range want {
		require.NoError(t, a.Send(m))
	}
	a.Close(transport.StatusNormal, "", nil)
	group.Wait()
	require.Equal(t, len(want), len(got))
	for i := range want {
		require.True(t, want[i] == got[i], "message %d", i)
	}
}

func TestCountersCountMessagesAndBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := plain()
		opts.Counters = new(Counters)
		l, peer, end := run(opts, nil)
		require.NoError(t, peer.Write(transport.Text, []byte("12345")))
		require.NoError(t, l.Send("123"))
		require.NoError(t, l.Send("1"))
		l.Close(transport.StatusNormal, "", nil)
		_, _ = readAll(peer)
		<-end
		c := opts.Counters
		require.Equal(t, [4]uint64{1, 5, 2, 4}, [4]uint64{c.MessagesRead.Load(), c.BytesRead.Load(), c.MessagesWritten.Load(), c.BytesWritten.Load()})
	})
}

// flood writes messages until that fails and returns why.
func flood(peer transport.Conn, size int) error {
	msg := make([]byte, size)
	for range 1 << 20 { // the end takes a moment, in which the reader goes on
		if err := peer.Write(transport.Text, msg); err != nil {
			return err
		}
	}
	return nil
}

func TestReaderPausesAndThenEndsAFlood(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]Limits{
		"messages": {Messages: 10, MessageBurst: 5, Bytes: -1, Patience: time.Second},
		"bytes":    {Messages: -1, Bytes: 1000, ByteBurst: 500, Patience: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts := plain()
				opts.Limits = limits
				received := 0
				_, peer, end := run(opts, func(string) { received++ })
				begin := time.Now()
				require.Equal(t, &transport.CloseError{Code: transport.StatusPolicyViolation, Reason: "too many messages"}, flood(peer, 100))
				require.Equal(t, ErrFlood, <-end)
				require.Equal(t, 5+10, received, "the burst, and ten a second for a second")
				require.InDelta(t, 1, time.Since(begin).Seconds(), 0.001)
			})
		})
	}
}

func TestPeerWithinItsRateIsNeverCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := plain()
		opts.Limits = Limits{Messages: 10, MessageBurst: 5, Bytes: -1, Patience: time.Second}
		l, peer, end := run(opts, nil)
		for range 100 { // each burst pauses the reader for half a second, and quiet forgives it
			for range 10 {
				require.NoError(t, peer.Write(transport.Text, nil))
			}
			time.Sleep(2 * time.Second)
		}
		require.NoError(t, l.Err())
		l.Close(transport.StatusNormal, "", nil)
		<-end
	})
}

func TestPausedReaderEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := plain()
		opts.Limits = Limits{Messages: 0.001, MessageBurst: 1, Patience: time.Hour * 1000}
		l, peer, end := run(opts, nil)
		require.NoError(t, peer.Write(transport.Text, nil))
		require.NoError(t, peer.Write(transport.Text, nil))
		synctest.Wait()
		begin := time.Now()
		l.Close(transport.StatusNormal, "", nil)
		<-end
		require.Zero(t, time.Since(begin))
	})
}

func TestDefaultLimitsLetTwoLargestMessagesPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(Limits{})
		for range 2 {
			wait, flooded := p.take(transport.DefaultReadLimit, false)
			require.Zero(t, wait)
			require.False(t, flooded)
		}
		wait, flooded := p.take(transport.DefaultReadLimit, false)
		require.Equal(t, 4*time.Second, wait, "1 MiB at 256 KiB a second")
		require.False(t, flooded)
	})
}

func TestOrderlyEnds(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		transport.ErrClosed:                      true,
		io.EOF:                                   true,
		fmt.Errorf("x: %w", transport.ErrClosed): true,
		&transport.CloseError{Code: 1000}:        true,
		&transport.CloseError{Code: 1001}:        true,
		&transport.CloseError{Code: 1005}:        true,
		&transport.CloseError{Code: 1006}:        false,
		&transport.CloseError{Code: 1008}:        false,
		&transport.CloseError{Code: 4000}:        false,
		ErrSlowPeer:                              false,
		transport.ErrWriteTimeout:                false,
	} {
		require.Equal(t, want, Orderly(err), "%v", err)
	}
	require.False(t, Orderly(nil))
}
