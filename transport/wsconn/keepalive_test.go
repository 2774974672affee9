package wsconn_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestPeerThatDoesNotPongIsCut(t *testing.T) {
	t.Parallel()
	p, b := rawPair(t, &wsconn.Options{PingInterval: 10 * time.Millisecond, PongTimeout: 50 * time.Millisecond})
	_, _, err := b.Read(nil)
	require.ErrorIs(t, err, wsconn.ErrPongTimeout)
	requireAbnormal(t, err)
	require.ErrorIs(t, b.Write(transport.Text, nil), wsconn.ErrPongTimeout)
	first, _ := p.receive(t)
	require.Equal(t, byte(0x89), first)
	_, err = p.r.ReadByte()
	require.Error(t, err)
	require.NoError(t, b.Close(transport.StatusNormal, ""))
}

func TestPeerThatPongsStays(t *testing.T) {
	t.Parallel()
	p, b := rawPair(t, &wsconn.Options{PingInterval: time.Millisecond, PongTimeout: 10 * time.Second, WriteTimeout: brief})
	ended := make(chan error, 1)
	go func() {
		_, _, err := b.Read(nil)
		ended <- err
	}()
	for range 20 {
		first, payload := p.receive(t)
		require.Equal(t, byte(0x89), first)
		p.send(t, frame(0x8a, len(payload), payload))
	}
	require.NoError(t, b.Close(transport.StatusNormal, ""))
	require.ErrorIs(t, <-ended, transport.ErrClosed)
}

// TestPeerThatSendsWithoutPongStays: a pong may wait behind a long message.
func TestPeerThatSendsWithoutPongStays(t *testing.T) {
	t.Parallel()
	p, b := rawPair(t, &wsconn.Options{PingInterval: time.Millisecond, PongTimeout: brief, WriteTimeout: brief})
	ended := make(chan error, 1)
	go func() {
		_, _, err := b.Read(nil)
		ended <- err
	}()
	p.send(t, frame(0x81, 1000, ""))
	for range 3 {
		first, _ := p.receive(t)
		require.Equal(t, byte(0x89), first)
		p.send(t, []byte("x")) // the next ping comes since this was heard
	}
	require.ErrorIs(t, <-ended, wsconn.ErrPongTimeout)
}

func TestNegativePingIntervalMeansNoPings(t *testing.T) {
	t.Parallel()
	p, b := rawPair(t, &wsconn.Options{PingInterval: -1})
	closed := make(chan error, 1)
	go func() { closed <- b.Close(transport.StatusGoingAway, "") }()
	first, payload := p.receive(t)
	require.Equal(t, byte(0x88), first)
	p.send(t, frame(0x88, len(payload), payload))
	require.NoError(t, <-closed)
}
