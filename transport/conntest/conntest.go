// Package conntest checks that a transport.Conn behaves as the interface says.
// Whoever writes a Conn of his own calls [Run] from a test:
//
//	func TestConn(t *testing.T) {
//		conntest.Run(t, func(t *testing.T) (a, b transport.Conn) { ... }, nil)
//	}
package conntest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// Options say what the carrier under test lacks. Nil means a carrier that can
// do everything that WebSocket can.
type Options struct {
	// NoCloseCodes: the peer of a Close sees transport.StatusAbnormal.
	NoCloseCodes bool
	// NoMessageTypes: every message is read as transport.Text.
	NoMessageTypes bool
	// NoEmptyMessages: an empty message cannot be sent.
	NoEmptyMessages bool
	// NoUnreadMessages: nothing is buffered on the way, so Write returns only
	// when the peer has read.
	NoUnreadMessages bool
	// MaxMessage is the size in bytes of the largest message that the tests
	// send; the default is 200,000.
	MaxMessage int
	// ReadLimit is the read limit in bytes of both ends, which is then tested;
	// by default it is not.
	ReadLimit int
	// WriteTimeout is the write time-out of both ends. With it a peer that does
	// not read is tested, which takes this time; by default it is not.
	WriteTimeout time.Duration
}

// A suite is one carrier under test.
type suite struct {
	Options
	pair func(t *testing.T) (a, b transport.Conn)
}

// Run tests the connections that pair makes, each time a new one whose two ends
// are a and b. Run closes both ends; pair's t.Cleanup is for the rest. The
// tests run as parallel sub-tests.
func Run(t *testing.T, pair func(t *testing.T) (a, b transport.Conn), opts *Options) {
	t.Helper()
	s := &suite{pair: pair}
	if opts != nil {
		s.Options = *opts
	}
	if s.MaxMessage == 0 {
		s.MaxMessage = 200_000
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
		skip bool
	}{
		{"MessagesArriveWholeAndInOrder", messagesArrive, false},
		{"WriteDoesNotKeepTheMessage", writeDoesNotKeep, false},
		{"ReadAppendsToTheStartOfTheBuffer", readAppends, false},
		{"BothDirectionsAreIndependent", bothDirections, false},
		{"BatchArrivesAsSingleMessages", batchArrives, false},
		{"PeerReadsCodeAndReasonOfClose", peerReadsClose, false},
		{"MessagesBeforeCloseAreDelivered", closeDelivers, s.NoUnreadMessages},
		{"OwnCloseIsErrClosed", ownClose, false},
		{"CloseUnblocksRead", closeUnblocksRead, false},
		{"CloseUnblocksWrite", closeUnblocksWrite, false},
		{"CloseMayBeCalledByAnyoneAtOnce", concurrentCloses, false},
		{"MessageOverLimitEndsTheConnection", messageOverLimit, s.ReadLimit == 0},
		{"PeerThatDoesNotReadIsGivenUp", peerDoesNotRead, s.WriteTimeout == 0},
	} {
		if !test.skip {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t, s)
			})
		}
	}
}

// connect makes a pair that is closed after the test. Both ends close at once,
// because a carrier may wait for the peer's answer.
func (s *suite) connect(t *testing.T) (a, b transport.Conn) {
	a, b = s.pair(t)
	t.Cleanup(func() {
		var wg sync.WaitGroup
		for _, c := range []transport.Conn{a, b} {
			wg.Go(func() { _ = c.Close(transport.StatusNormal, "") })
		}
		wg.Wait()
	})
	return a, b
}

// typ returns how a message of type typ is read.
func (s *suite) typ(typ transport.MessageType) transport.MessageType {
	if s.NoMessageTypes {
		return transport.Text
	}
	return typ
}

// closing returns what the peer of Close(code, reason) reads.
func (s *suite) closing(code transport.StatusCode, reason string) *transport.CloseError {
	if s.NoCloseCodes {
		return &transport.CloseError{Code: transport.StatusAbnormal}
	}
	return &transport.CloseError{Code: code, Reason: reason}
}

// requireClosed checks that every Read and Write of c reports the same.
func requireClosed(t *testing.T, c transport.Conn, check func(error)) {
	t.Helper()
	for range 3 {
		_, _, err := c.Read(nil)
		check(err)
		check(c.Write(transport.Text, []byte("late")))
	}
}

// drain reads c until it fails and returns the error on the channel.
func drain(c transport.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		var buf []byte
		for {
			var err error
			if _, buf, err = c.Read(buf); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

// message returns n bytes of valid text that differ by n.
func message(n int) []byte {
	msg := make([]byte, n)
	for i := range msg {
		msg[i] = 'a' + byte((i+n)%26)
	}
	return msg
}

func messagesArrive(t *testing.T, s *suite) {
	a, b := s.connect(t)
	// The edges of the three lengths of a WebSocket frame, and of buffers.
	sizes := []int{0, 1, 125, 126, 1000, 1024, 1025, 4082, 4083, 4096, 5500, 65535, 65536, 65537, s.MaxMessage}
	types := []transport.MessageType{transport.Text, transport.Binary}
	written := make(chan error, 1)
	skip := func(size int) bool { return size > s.MaxMessage || size == 0 && s.NoEmptyMessages }
	go func() {
		for _, size := range sizes {
			for _, typ := range types {
				if skip(size) {
					continue
				}
				if err := a.Write(typ, message(size)); err != nil {
					written <- fmt.Errorf("%v of %d bytes: %w", typ, size, err)
					return
				}
			}
		}
		written <- nil
	}()
	var buf []byte
	for _, size := range sizes {
		for _, want := range types {
			if skip(size) {
				continue
			}
			typ, msg, err := b.Read(buf)
			require.NoError(t, err)
			require.Equal(t, s.typ(want), typ)
			require.True(t, bytes.Equal(message(size), msg), "message of %d bytes", size)
			buf = msg
		}
	}
	require.NoError(t, <-written)
}

func writeDoesNotKeep(t *testing.T, s *suite) {
	a, b := s.connect(t)
	written := make(chan error, 1)
	go func() {
		msg := []byte("first")
		err := a.Write(transport.Text, msg)
		copy(msg, "-----")
		written <- errors.Join(err, a.Write(transport.Text, []byte("second")))
	}()
	for _, want := range []string{"first", "second"} {
		_, msg, err := b.Read(nil)
		require.NoError(t, err)
		require.Equal(t, want, string(msg))
	}
	require.NoError(t, <-written)
}

func readAppends(t *testing.T, s *suite) {
	a, b := s.connect(t)
	written := make(chan error, 1)
	go func() {
		for range 3 {
			if err := a.Write(transport.Text, []byte("hello")); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for _, buf := range [][]byte{nil, []byte("xy"), bytes.Repeat([]byte("z"), 4096)} {
		_, msg, err := b.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "hello", string(msg))
		if cap(buf) >= 4096 {
			require.Same(t, &buf[0], &msg[0], "a buffer with room must be used")
		}
	}
	require.NoError(t, <-written)
}

func bothDirections(t *testing.T, s *suite) {
	const messages = 200
	a, b := s.connect(t)
	var wg sync.WaitGroup
	failed := make(chan error, 4)
	for _, c := range []transport.Conn{a, b} {
		wg.Go(func() {
			for i := range messages {
				if err := c.Write(transport.Text, message(1+i)); err != nil {
					failed <- err
					return
				}
			}
		})
		wg.Go(func() {
			var buf []byte
			for i := range messages {
				_, msg, err := c.Read(buf)
				if err != nil {
					failed <- err
					return
				}
				if !bytes.Equal(message(1+i), msg) {
					failed <- fmt.Errorf("message %d is %q", i, msg)
					return
				}
				buf = msg
			}
		})
	}
	wg.Wait()
	close(failed)
	require.NoError(t, <-failed)
}

func batchArrives(t *testing.T, s *suite) {
	a, b := s.connect(t)
	w, ok := a.(transport.BatchWriter)
	if !ok {
		t.Skip("not a transport.BatchWriter")
	}
	var msgs [][]byte
	for _, size := range []int{1, 150, 5500, 70_000, 2, 1000, 30_000, 30_000, 30_000, 3} {
		msgs = append(msgs, message(min(size, s.MaxMessage)))
	}
	written := make(chan error, 1)
	go func() {
		written <- errors.Join(w.WriteBatch(transport.Binary, nil), w.WriteBatch(transport.Binary, msgs), a.Write(transport.Text, []byte("after")))
	}()
	for i, want := range msgs {
		typ, msg, err := b.Read(nil)
		require.NoError(t, err)
		require.Equal(t, s.typ(transport.Binary), typ)
		require.True(t, bytes.Equal(want, msg), "message %d of the batch", i)
	}
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "after", string(msg))
	require.NoError(t, <-written)
}

func peerReadsClose(t *testing.T, s *suite) {
	a, b := s.connect(t)
	closed := make(chan error, 1)
	go func() { closed <- a.Close(4001, "gone fishing") }()
	requireClosed(t, b, func(err error) {
		ce, ok := errors.AsType[*transport.CloseError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, s.closing(4001, "gone fishing"), ce)
	})
	require.NoError(t, <-closed)
	require.NoError(t, b.Close(transport.StatusNormal, ""), "the connection has already ended")
}

func closeDelivers(t *testing.T, s *suite) {
	a, b := s.connect(t)
	for i := range 10 {
		require.NoError(t, a.Write(transport.Text, message(100+i)))
	}
	closed := make(chan error, 1)
	go func() { closed <- a.Close(transport.StatusGoingAway, "") }()
	for i := range 10 {
		_, msg, err := b.Read(nil)
		require.NoError(t, err)
		require.Equal(t, message(100+i), msg)
	}
	_, _, err := b.Read(nil)
	require.Equal(t, s.closing(transport.StatusGoingAway, ""), err)
	require.NoError(t, <-closed)
}

func ownClose(t *testing.T, s *suite) {
	a, b := s.connect(t)
	ended := drain(b)
	require.NoError(t, a.Close(transport.StatusNormal, ""))
	requireClosed(t, a, func(err error) { require.ErrorIs(t, err, transport.ErrClosed) })
	require.NoError(t, a.Close(4002, "again"))
	require.Equal(t, s.closing(transport.StatusNormal, ""), <-ended)
}

func closeUnblocksRead(t *testing.T, s *suite) {
	a, b := s.connect(t)
	own, peer := drain(a), drain(b)
	require.NoError(t, a.Close(transport.StatusNormal, ""))
	require.ErrorIs(t, <-own, transport.ErrClosed)
	require.Equal(t, s.closing(transport.StatusNormal, ""), <-peer)
}

func closeUnblocksWrite(t *testing.T, s *suite) {
	a, _ := s.connect(t)
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		msg := message(s.MaxMessage)
		for range 1000 { // more than any carrier buffers
			if err := a.Write(transport.Text, msg); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	<-begun
	require.NoError(t, a.Close(transport.StatusGoingAway, ""))
	err := <-ended
	// Close may wait as long as Write does, so that the write's end comes first.
	require.True(t, errors.Is(err, transport.ErrClosed) || errors.Is(err, transport.ErrWriteTimeout), "%v", err)
}

func concurrentCloses(t *testing.T, s *suite) {
	a, b := s.connect(t)
	endedA, endedB := drain(a), drain(b)
	var wg sync.WaitGroup
	failed := make(chan error, 20)
	for i := range 20 {
		c := a
		if i%2 == 1 {
			c = b
		}
		wg.Go(func() { failed <- c.Close(transport.StatusNormal, "") })
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	require.Error(t, <-endedA)
	require.Error(t, <-endedB)
}

func messageOverLimit(t *testing.T, s *suite) {
	a, b := s.connect(t)
	written := make(chan error, 1)
	go func() {
		written <- a.Write(transport.Text, message(s.ReadLimit))
		_ = a.Write(transport.Text, message(s.ReadLimit+1)) // may fail when the peer closes meanwhile
	}()
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Len(t, msg, s.ReadLimit)
	require.NoError(t, <-written)
	for range 3 {
		_, _, err = b.Read(nil)
		require.ErrorIs(t, err, transport.ErrMessageTooBig)
	}
	ended := drain(a)
	require.NoError(t, b.Close(transport.StatusNormal, ""))
	ce, ok := errors.AsType[*transport.CloseError](<-ended)
	require.True(t, ok)
	require.Equal(t, s.closing(transport.StatusMessageTooBig, "").Code, ce.Code)
}

func peerDoesNotRead(t *testing.T, s *suite) {
	a, b := s.connect(t)
	msg := message(s.MaxMessage)
	var err error
	for range 1000 { // more than any carrier buffers
		if err = a.Write(transport.Text, msg); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, transport.ErrWriteTimeout)
	requireClosed(t, a, func(err error) { require.ErrorIs(t, err, transport.ErrWriteTimeout) })
	require.NoError(t, a.Close(transport.StatusNormal, ""))
	ce, ok := errors.AsType[*transport.CloseError](<-drain(b))
	require.True(t, ok)
	require.Equal(t, transport.StatusAbnormal, ce.Code)
}
