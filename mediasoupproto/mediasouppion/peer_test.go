package mediasouppion_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

func TestTwoBotsHearAndSeeEachOther(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	for _, from := range []*bot{a, b} {
		from.publish(piontest.Sound(t, "s"), nil)
		from.publish(picture(t), nil)
	}
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio), flow(b, mediasoupproto.Video))
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio), flow(a, mediasoupproto.Video))
	a.requireQuiet()
	b.requireQuiet()
}

func TestNewcomerReceivesWhatIsSentAlready(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a := w.join("a", plan{})
	a.publish(piontest.Sound(t, "s"), nil)
	a.publish(picture(t), nil)
	b := w.join("b", plan{})
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio), flow(a, mediasoupproto.Video))
	b.flows.RequireOnly(t, flow(a, mediasoupproto.Audio), flow(a, mediasoupproto.Video))
}

func TestPeerThatLeavesTakesItsConsumersAlong(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.publish(piontest.Sound(t, "s"), nil)
	pr := a.publish(picture(t), nil)
	audio, video := b.requireConsumer(mediasoupproto.Audio), b.requireConsumer(mediasoupproto.Video)
	require.NotNil(t, pr.PeerConnection())
	require.NotNil(t, video.PeerConnection())
	require.NoError(t, a.client.Leave(nil))
	require.NoError(t, b.requireClosed(audio))
	require.NoError(t, b.requireClosed(video))
	require.Nil(t, video.PeerConnection())
	b.flows.RequireOnly(t)
	heard.AwaitOf(t, b.messages, heard.Any[*mediasoupproto.PeerClosed])
	require.NoError(t, a.Close())
	<-pr.Done()
}

func TestClosedPeerEndsAllAndTellsTheServer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pr := a.publish(piontest.Sound(t, "s"), nil)
	c := b.requireConsumer(mediasoupproto.Audio)
	require.NoError(t, a.Close())
	<-pr.Done()
	<-a.Done()
	require.NoError(t, pr.Err())
	require.NoError(t, a.Err())
	require.NoError(t, b.requireClosed(c))
	require.Equal(t, mediasoupproto.ClientJoined, a.client.State(), "the client stays in the room")
	_, err := a.Publish(a.patience(), piontest.Sound(t, "s"), nil)
	require.ErrorIs(t, err, mediasouppion.ErrClosed)
	require.ErrorIs(t, pr.Pause(nil), mediasouppion.ErrClosed)
	require.ErrorIs(t, pr.ReplaceTrack(a.patience(), piontest.Sound(t, "s")), mediasouppion.ErrClosed)
}

func TestPeerEndsWithItsClient(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	pr := a.publish(piontest.Sound(t, "s"), nil)
	c := b.requireConsumer(mediasoupproto.Audio)
	b.line().Cut()
	require.Error(t, heard.Next(t, "end", b.ran))
	require.Error(t, b.requireClosed(c))
	a.line().Cut()
	<-pr.Done()
	require.Error(t, pr.Err())
	<-a.Done()
	require.Error(t, a.Err())
}

func TestPeerThatIsThrownOutEndsAllAndMayJoinAgain(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a, b := w.join("a", plan{}), w.join("b", plan{})
	pr := a.publish(piontest.Sound(t, "s"), nil)
	c := b.requireConsumer(mediasoupproto.Audio)
	require.NoError(t, w.server.Session("", "a").ClosePeer([]byte(`"out"`)))
	<-pr.Done()
	require.ErrorIs(t, pr.Err(), mediasoupproto.ErrLeft)
	require.NoError(t, b.requireClosed(c))
	m := heard.AwaitOf(t, a.messages, heard.Any[*mediasoupproto.Closed])
	require.JSONEq(t, `"out"`, string(m.AppData))
	_, err := a.Publish(a.patience(), piontest.Sound(t, "s"), nil)
	require.Error(t, err)
	_, err = a.client.Join(a.patience(), &mediasoupproto.Join{PeerName: "a", RTPCapabilities: a.Capabilities()})
	require.NoError(t, err)
	a.publish(piontest.Sound(t, "s"), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	require.Empty(t, a.consumers.All())
	b.publish(piontest.Sound(t, "s"), nil)
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
}

func TestPeerOfAnApplicationThatJoinsByItselfIsTold(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	b := w.join("b", plan{})
	b.publish(piontest.Sound(t, "s"), nil)
	a := w.join("a", plan{})
	first := a.requireConsumer(mediasoupproto.Audio)
	require.NoError(t, w.server.Session("", "a").ClosePeer(nil))
	require.ErrorIs(t, a.requireClosed(first), mediasoupproto.ErrLeft)
	heard.AwaitOf(t, a.messages, heard.Any[*mediasoupproto.Closed])
	_, err := a.client.Join(a.patience(), &mediasoupproto.Join{PeerName: "a", RTPCapabilities: a.Capabilities()})
	require.NoError(t, err)
	a.Joined()
	a.Joined()
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
	a.flows.RequireOnly(t, flow(b, mediasoupproto.Audio))
	a.requireQuiet()
}

func TestICERestartsBothWaysWhileMediaFlow(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.publish(piontest.Sound(t, "s"), nil)
	b.publish(piontest.Sound(t, "s"), nil)
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	for range 3 {
		a.line().Said.Forget()
		require.NoError(t, a.Restart(a.patience()))
		heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.RestartTransport])
		heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.RestartTransport])
		a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
		b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	}
	a.flows.RequireOnly(t, flow(b, mediasoupproto.Audio))
	b.flows.RequireOnly(t, flow(a, mediasoupproto.Audio))
}

func TestRestartOfAPeerWithoutTransportsDoesNothing(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t)
	require.NoError(t, a.Restart(a.patience()))
}

// A network is that of a server. It loses packets when a test says so.
type network struct {
	net.PacketConn
	lost   *atomic.Bool  // all of them
	drops  *atomic.Int64 // one of so many that come or go, media only; 0 is none
	passed *atomic.Int64
}

// newLossyWorld makes a world on a network.
func newLossyWorld(t *testing.T) (*network, *botWorld) {
	t.Helper()
	n := &network{lost: new(atomic.Bool), drops: new(atomic.Int64), passed: new(atomic.Int64)}
	w := newEngineWorld(t, &mediasouppion.EngineOptions{
		ListenPacket: func(network, address string) (net.PacketConn, error) {
			socket := *n
			var err error
			socket.PacketConn, err = net.ListenPacket(network, address)
			return &socket, err
		},
	})
	return n, w
}

func (n *network) drop(packet []byte) bool {
	every := n.drops.Load()
	media := len(packet) > 1 && packet[0]>>6 == 2 && (packet[1] < 192 || packet[1] > 223)
	return n.lost.Load() || every > 0 && media && n.passed.Add(1)%every == 0
}

func (n *network) WriteTo(b []byte, addr net.Addr) (int, error) {
	if n.drop(b) {
		return len(b), nil
	}
	return n.PacketConn.WriteTo(b, addr)
}

func (n *network) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		read, addr, err := n.PacketConn.ReadFrom(b)
		if err != nil || !n.drop(b[:read]) {
			return read, addr, err
		}
	}
}

func TestBotWhosePathIsLostRestartsICE(t *testing.T) {
	t.Parallel()
	n, w := newLossyWorld(t)
	a, b := w.join("a", plan{alert: true}), w.join("b", plan{})
	pr := a.publish(piontest.Sound(t, "s"), nil)
	b.publish(piontest.Sound(t, "s"), nil)
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	a.line().Said.Forget()
	n.lost.Store(true)
	heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.RestartTransport])
	heard.AwaitOf(t, a.line().Said, heard.Any[*mediasoupproto.RestartTransport])
	n.lost.Store(false)
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	require.NoError(t, pr.Err())
	a.flows.RequireOnly(t, flow(b, mediasoupproto.Audio))
}

func TestBotWhosePathStaysLostEndsWhatWentOverIt(t *testing.T) {
	t.Parallel()
	n, w := newLossyWorld(t)
	a := w.join("a", plan{
		alert: true, opts: mediasouppion.Options{ConnectTimeout: 2 * time.Second},
	})
	b := w.join("b", plan{})
	b.publish(piontest.Sound(t, "s"), nil)
	pr := a.publish(piontest.Sound(t, "s"), nil)
	mine, theirs := b.requireConsumer(mediasoupproto.Audio), a.requireConsumer(mediasoupproto.Audio)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	n.lost.Store(true)
	require.ErrorIs(t, a.requireClosed(theirs), mediasouppion.ErrFailed)
	<-pr.Done()
	require.ErrorIs(t, pr.Err(), mediasouppion.ErrFailed)
	require.NoError(t, b.requireClosed(mine), "the server is told")

	n.lost.Store(false)
	a.publish(piontest.Sound(t, "s"), nil)
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	_, err := a.Consume(a.patience(), theirs.Info(), nil)
	require.NoError(t, err)
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
}

func TestServerThatCannotBeReachedIsGivenUp(t *testing.T) {
	t.Parallel()
	n, w := newLossyWorld(t)
	n.lost.Store(true)
	a := w.join("a", plan{
		alert: true, manual: true, opts: mediasouppion.Options{ConnectTimeout: 200 * time.Millisecond},
	})
	b := w.join("b", plan{})
	b.publish(piontest.Sound(t, "s"), nil)
	_, err := a.Consume(a.patience(), heard.Next(t, "consumer", a.offered), nil)
	require.ErrorIs(t, err, mediasouppion.ErrConnectTimeout)
	pr := a.publish(piontest.Sound(t, "s"), nil) // the server cannot know
	<-pr.Done()
	require.ErrorIs(t, pr.Err(), mediasouppion.ErrConnectTimeout)
}

func TestLostVideoPacketsAreSentAgainBothWays(t *testing.T) {
	t.Parallel()
	n, w := newLossyWorld(t)
	sender, receiver := w.join("sender", plan{}), w.join("receiver", plan{unread: true})
	sender.publish(picture(t), nil)
	c := receiver.requireConsumer(mediasoupproto.Video)
	n.drops.Store(7) // of those that come to the server, and of those that go
	requireNoGaps(t, c)
	require.Positive(t, n.passed.Load())
}

// requireNoGaps reads packets of a consumer, in any order, until there are many without a
// gap between them.
func requireNoGaps(t *testing.T, c *mediasouppion.Consumer) {
	t.Helper()
	seen := make(map[uint16]bool)
	require.NoError(t, c.Track().SetReadDeadline(time.Now().Add(heard.Patience)))
	for {
		packet, _, err := c.Track().ReadRTP()
		require.NoError(t, err, "%d packets", len(seen))
		seen[packet.SequenceNumber] = true
		run := 0
		for n := packet.SequenceNumber; seen[n]; n-- {
			run++
		}
		if run > 50 {
			return
		}
	}
}

func TestBotIsBackAfterALossOfTheConnection(t *testing.T) {
	t.Parallel()
	w := newBotWorld(t)
	a := w.join("a", plan{redial: true})
	b := w.join("b", plan{})
	pr := a.publish(piontest.Sound(t, "s"), &mediasouppion.PublishOptions{AppData: []byte(`{"source":"mic"}`)})
	once := a.publish(picture(t), &mediasouppion.PublishOptions{Once: true})
	b.publish(piontest.Sound(t, "s"), nil)
	theirs, mine := a.requireConsumer(mediasoupproto.Audio), b.requireConsumer(mediasoupproto.Audio)
	id := pr.ID()
	require.NoError(t, pr.Pause(nil))
	a.line().Cut()
	require.ErrorIs(t, a.requireClosed(theirs), mediasouppion.ErrDisconnected)
	require.NoError(t, b.requireClosed(mine))
	<-once.Done()
	require.ErrorIs(t, once.Err(), mediasouppion.ErrDisconnected)

	again := b.requireConsumer(mediasoupproto.Audio)
	require.JSONEq(t, `{"source":"mic"}`, string(again.Info().AppData))
	require.NotEqual(t, id, pr.ID())
	require.True(t, pr.Paused())
	require.NoError(t, pr.Resume(nil))
	a.flows.RequireMedia(t, flow(b, mediasoupproto.Audio))
	b.flows.RequireMedia(t, flow(a, mediasoupproto.Audio))
	require.NoError(t, pr.Err())
}
