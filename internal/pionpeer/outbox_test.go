package pionpeer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// openOutbox attaches o to a channel of s and returns what comes back from the other side, which echoes.
func openOutbox(s *side, o *pionpeer.Outbox) (*webrtc.DataChannel, <-chan string) {
	s.t.Helper()
	ch, err := s.PeerConnection().CreateDataChannel("outbox", nil)
	require.NoError(s.t, err)
	echoes := make(chan string, 1000)
	ch.OnMessage(func(m webrtc.DataChannelMessage) { echoes <- string(m.Data) })
	o.Attach(ch)
	return ch, echoes
}

// requireInOrder takes n texts, which begin with their numbers, and calls each with every one.
func requireInOrder(t *testing.T, echoes <-chan string, n int, each func()) {
	t.Helper()
	for i := range n {
		each()
		await(t, "echo", echoes, func(got string) bool {
			require.True(t, strings.HasPrefix(got, fmt.Sprintf("%d:", i)), "%d: %.20s", i, got)
			return true
		})
	}
}

func TestOutboxKeepsWhatComesBeforeItsChannel(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, nil)
	o := pionpeer.NewOutbox(a.Session)
	text := []byte("0:before the channel exists")
	require.NoError(t, o.Send(text))
	clear(text)
	_, echoes := openOutbox(a, o)
	require.NoError(t, o.Send([]byte("1:before it is open")))
	connect(a, b)
	requireInOrder(t, echoes, 2, func() {})
	require.NoError(t, o.Send([]byte("0:after")))
	requireInOrder(t, echoes, 1, func() {})
}

func TestOutboxTakesNoMoreThanTheBufferHolds(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, nil)
	o := pionpeer.NewOutbox(a.Session)
	ch, echoes := openOutbox(a, o)
	const texts, size = 100, 20_000
	for i := range texts {
		require.NoError(t, o.Send(fmt.Appendf(nil, "%d:%s", i, strings.Repeat("x", size))))
	}
	connect(a, b)
	highest := uint64(0)
	requireInOrder(t, echoes, texts, func() { highest = max(highest, ch.BufferedAmount()) })
	require.LessOrEqual(t, highest, uint64(256<<10+size+10))
}

func TestOutboxOfASlowPeerEndsTheSession(t *testing.T) {
	t.Parallel()
	a := newSide(t, nil)
	o := pionpeer.NewOutbox(a.Session)
	a.Start()
	for range 256 {
		require.NoError(t, o.Send([]byte("x")))
	}
	require.ErrorIs(t, o.Send([]byte("x")), pionpeer.ErrSlowPeer)
	require.ErrorIs(t, a.awaitEnd(), pionpeer.ErrSlowPeer)
	require.ErrorIs(t, o.Send([]byte("x")), pionpeer.ErrClosed)
}

func TestOutboxWhoseChannelTheOtherSideClosesTakesNoMore(t *testing.T) {
	t.Parallel()
	a, b := newSides(t, nil, nil)
	o := pionpeer.NewOutbox(a.Session)
	own, echoes := openOutbox(a, o)
	closed := make(chan struct{})
	own.OnClose(func() { close(closed) })
	require.NoError(t, o.Send([]byte("0:")))
	connect(a, b)
	requireInOrder(t, echoes, 1, func() {})
	await(t, "channel", b.channels, func(ch *webrtc.DataChannel) bool {
		if ch.Label() != own.Label() {
			return false
		}
		require.NoError(t, ch.Close())
		return true
	})
	<-closed
	again := time.NewTicker(10 * time.Millisecond) // the first one finds out
	defer again.Stop()
	await(t, "refusal", again.C, func(time.Time) bool { return errors.Is(o.Send([]byte("x")), pionpeer.ErrClosed) })
	require.NoError(t, a.Err(), "the rest of the session lives")
}
