package interop

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// A lossyNet drops some of the RTP packets that go through its sockets, in both directions. It
// drops nothing else, so that what is lost is told of at once.
type lossyNet struct {
	mu      sync.Mutex
	chance  *rand.Rand // always the same
	in, out map[uint32]*lossyStream
	calm    atomic.Bool // drops nothing
	broken  atomic.Bool // drops everything
}

// A lossyStream counts the packets of an SSRC.
type lossyStream struct{ passed, dropped int }

// lossPercent is how many of 100 packets are dropped.
const lossPercent = 5

func newLossyNet() *lossyNet {
	return &lossyNet{
		chance: rand.New(rand.NewPCG(1, 2)),
		in:     make(map[uint32]*lossyStream), out: make(map[uint32]*lossyStream),
	}
}

// listen opens a socket.
func (n *lossyNet) listen(network, address string) (net.PacketConn, error) {
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return &lossyConn{conn, n}, nil
}

// drops decides about a packet. RTP is what RFC 7983 and RFC 5761 say; its header is in the clear.
func (n *lossyNet) drops(streams map[uint32]*lossyStream, b []byte) bool {
	if n.broken.Load() {
		return true
	}
	if n.calm.Load() || len(b) < 12 || b[0]>>6 != 2 || b[1] >= 192 && b[1] < 224 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ssrc := binary.BigEndian.Uint32(b[8:])
	s := streams[ssrc]
	if s == nil {
		s = new(lossyStream)
		streams[ssrc] = s
	}
	if n.chance.IntN(100) < lossPercent {
		s.dropped++
		return true
	}
	s.passed++
	return false
}

// of returns the counts of an SSRC in one direction.
func (n *lossyNet) of(streams map[uint32]*lossyStream, ssrc uint32) lossyStream {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := streams[ssrc]; s != nil {
		return *s
	}
	return lossyStream{}
}

// total returns the counts of all streams in one direction.
func (n *lossyNet) total(streams map[uint32]*lossyStream) (all lossyStream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range maps.Values(streams) {
		all.passed += s.passed
		all.dropped += s.dropped
	}
	return all
}

// A lossyConn hides what *net.UDPConn has besides, so that all goes through it.
type lossyConn struct {
	net.PacketConn
	lossy *lossyNet
}

func (c *lossyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || !c.lossy.drops(c.lossy.in, b[:n]) {
			return n, from, err
		}
	}
}

func (c *lossyConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.lossy.drops(c.lossy.out, b) {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// lossySettings are those of peer connections that lose packets.
func lossySettings(t *testing.T, n *lossyNet) *webrtc.SettingEngine {
	t.Helper()
	ip := mediaIP(t)
	m := &lossyMux{lossy: n, ip: ip, conns: make(map[string]net.PacketConn)}
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	settings := botSettings(t)
	settings.SetICEUDPMux(m)
	return &settings
}

// A lossyMux opens a socket for each ICE agent. It is what ICE asks for one, as if they shared it:
// a server that is lite does not look at the candidates.
type lossyMux struct {
	lossy *lossyNet
	ip    string
	mu    sync.Mutex
	conns map[string]net.PacketConn // by ufrag
}

func (m *lossyMux) GetConn(ufrag string, _ net.Addr) (net.PacketConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if conn := m.conns[ufrag]; conn != nil {
		return conn, nil
	}
	conn, err := m.lossy.listen("udp4", net.JoinHostPort(m.ip, "0"))
	if err == nil {
		m.conns[ufrag] = conn
	}
	return conn, err
}

func (m *lossyMux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if conn := m.conns[ufrag]; conn != nil {
		_ = conn.Close()
		delete(m.conns, ufrag)
	}
}

func (m *lossyMux) GetListenAddresses() []net.Addr {
	const discard = 9 // of RFC 863, where nobody answers
	return []net.Addr{&net.UDPAddr{IP: net.ParseIP(m.ip), Port: discard}}
}

func (m *lossyMux) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		_ = conn.Close() // what ICE has closed already is an error
	}
	return nil
}

// A tally says which packets of a stream have come.
type tally struct {
	mu      sync.Mutex
	first   int64 // extended sequence number
	last    int64
	present map[int64]bool
}

func (y *tally) add(sequence uint16) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.present == nil {
		y.first = 1<<16 | int64(sequence)
		y.present, y.last = make(map[int64]bool), y.first
	}
	extended := y.last + int64(int16(sequence-uint16(y.last)))
	y.last = max(y.last, extended)
	y.present[extended] = true
}

// count returns how many packets there are from the first one on.
func (y *tally) count() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.present)
}

// end returns the number of the last packet.
func (y *tally) end() int64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.last
}

// missing returns the packets up to a number that have not come.
func (y *tally) missing(end int64) (all []int64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for n := y.first; n <= end; n++ {
		if !y.present[n] {
			all = append(all, n)
		}
	}
	return all
}

// rtxOf returns the SSRC of what is sent again of a consumer.
func rtxOf(t *testing.T, info *mediasoupproto.ConsumerInfo) uint32 {
	t.Helper()
	require.NotNil(t, info.RTPParameters.Encodings[0].RTX)
	return info.RTPParameters.Encodings[0].RTX.SSRC
}

// repairs waits until the server says that a producer's packets were asked for and have come
// again.
func (b *mediasoupBot) repairs(producer uint32) {
	b.t.Helper()
	b.forgets()
	require.NoError(b.t, b.client.Send(&mediasoupproto.EnableProducerStats{ID: producer, Interval: 1000}))
	isTold(b, func(m *mediasoupproto.ProducerStats) bool {
		all, err := m.Streams()
		require.NoError(b.t, err)
		if m.ID != producer || len(all) != 1 {
			return false
		}
		b.t.Logf("the server says of what %s sends: %d packets, asked %d times, %d repaired",
			b.name, all[0].PacketCount, all[0].NACKCount, all[0].PacketsRepaired)
		return all[0].NACKCount > 0 && all[0].PacketsRepaired > 0
	})
}

// isAsked waits until the server says that it was asked for a consumer's packets.
func (b *mediasoupBot) isAsked(consumer uint32) {
	b.t.Helper()
	b.forgets()
	require.NoError(b.t, b.client.Send(&mediasoupproto.EnableConsumerStats{ID: consumer, Interval: 1000}))
	isTold(b, func(m *mediasoupproto.ConsumerStats) bool {
		all, err := m.Streams()
		require.NoError(b.t, err)
		if m.ID != consumer || len(all) != 2 {
			return false
		}
		own := all[1]
		b.t.Logf("the server says of what %s gets: %d packets, asked %d times, %d repaired",
			b.name, own.PacketCount, own.NACKCount, own.PacketsRepaired)
		return own.NACKCount > 0 && own.PacketsRepaired > 0
	})
}

// TestMediasoupBotsMissNothingDespiteLoss has a bot's packets get lost on their way to the server
// and, once more, on their way to another bot.
func TestMediasoupBotsMissNothingDespiteLoss(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		ofAlice, ofBob := newLossyNet(), newLossyNet()
		ofAlice.calm.Store(true)
		ofBob.calm.Store(true)
		got := new(tally)
		alice := joinMediasoup(t, h, "alice", botPlan{settings: lossySettings(t, ofAlice)})
		bob := joinMediasoup(t, h, "bob", botPlan{
			settings: lossySettings(t, ofBob),
			onPacket: func(f *botFlow, sequence uint16) {
				if f.consumer.Kind() == mediasoupproto.Video {
					got.add(sequence)
				}
			},
		})
		_, camera := alice.sends()
		seen := bob.gets(mediasoupproto.Video, "alice")
		// Not before: when the first packet of a key frame comes late, the real server begins with
		// it, and has thrown away those that came before it.
		ofAlice.calm.Store(false)
		ofBob.calm.Store(false)
		const enough = 400
		before := got.count()
		eventually(t, "packets", func() bool { return got.count() >= before+enough })
		end := got.end()
		complete := poll(t, func() bool { return len(got.missing(end)) == 0 })
		require.True(t, complete, "missing %v from %d to %d", got.missing(end), got.first, end)

		info := seen.consumer.Info()
		sent, again := ofBob.of(ofBob.in, info.RTPParameters.Encodings[0].SSRC), ofBob.of(ofBob.in, rtxOf(t, info))
		t.Logf("from the server: %+v, again: %+v; to the server in all: %+v", sent, again, ofAlice.total(ofAlice.out))
		require.NotZero(t, sent.dropped)
		lost := sent.dropped + again.dropped + ofAlice.total(ofAlice.out).dropped
		require.GreaterOrEqual(t, again.passed, sent.dropped/2, "the last ones may be on their way")
		require.LessOrEqual(t, again.passed, 2*lost, "what has come again is not asked for")
		require.NotZero(t, ofAlice.total(ofAlice.out).dropped)
		alice.repairs(camera.ID())
		bob.isAsked(info.ID)
		alice.requireRunning()
		bob.requireRunning()
	})
}

// TestMediasoupBotWhoseNetworkBreaksFindsAnotherPath has a bot restart ICE by itself until that
// helps.
func TestMediasoupBotWhoseNetworkBreaksFindsAnotherPath(t *testing.T) {
	onMediasoupHosts(t, overProtoo, func(t *testing.T, h mediasoupHost) {
		lossy := newLossyNet()
		settings := lossySettings(t, lossy)
		settings.SetICETimeouts(500*time.Millisecond, time.Second, 100*time.Millisecond)
		alice, bob := joinMediasoup(t, h, "alice", botPlan{settings: settings}), joinMediasoup(t, h, "bob", botPlan{})
		_, camera := alice.sends()
		bob.sends()
		meet(alice, bob)
		seen, back := bob.flow(mediasoupproto.Video, "alice"), alice.flow(mediasoupproto.Video, "bob")
		for range 2 {
			before := h.restarts("alice")
			lossy.broken.Store(true)
			eventually(t, "restarts of both transports", func() bool { return h.restarts("alice") >= before+2 })
			lossy.broken.Store(false)
			bob.goesOn(seen)
			alice.goesOn(back)
		}
		require.NoError(t, camera.Err())
		require.Empty(t, alice.closedFlows())
		require.Empty(t, bob.closedFlows())
	})
}

// TestMediasoupPageDecodesABotDespiteLoss has the bot's packets get lost in both directions.
func TestMediasoupPageDecodesABotDespiteLoss(t *testing.T) {
	onMediasoupPages(t, inChromium, func(t *testing.T, h mediasoupHost, browser *mediasoupBrowser) {
		lossy := newLossyNet()
		alice := enterPage(t, h, browser, "alice")
		alice.send("audio", nil)
		alice.send("video", nil)
		bot := joinMediasoup(t, h, "bot", botPlan{settings: lossySettings(t, lossy)})
		_, camera := bot.sends()
		seen := bot.gets(mediasoupproto.Video, "alice")
		for range 10 {
			f := alice.decodes("video", "bot")
			bot.goesOn(seen)
			t.Logf("%+v", f)
		}
		bot.repairs(camera.ID())
		eventually(t, "packets that come again", func() bool {
			return lossy.of(lossy.in, rtxOf(t, seen.consumer.Info())).passed > 0
		})
		bot.isAsked(seen.consumer.ID())
		require.NotZero(t, lossy.total(lossy.in).dropped)
		require.NotZero(t, lossy.total(lossy.out).dropped)
		alice.requireQuiet()
	})
}

// TestMediasoupPagesMeetOnOurServerDespiteLoss has all packets of our server get lost, in both
// directions.
func TestMediasoupPagesMeetOnOurServerDespiteLoss(t *testing.T) {
	for _, pair := range mediasoupPairs[:2] {
		t.Run(pair.name, func(t *testing.T) {
			t.Parallel() // with the other pair only: browsers need the processor
			lossy := newLossyNet()
			s, _ := startMediasoupSFUAt(t, "127.0.0.1:0", overProtoo, mediasoupproto.ServerOptions{}, lossy.listen)
			pages := s.openPages(pair.browsers, 2)
			alice, bob := pages[0], pages[1]
			for i, name := range []string{"alice", "bob"} {
				pages[i].join(botRoom, name, nil)
				pages[i].send("audio", nil)
				pages[i].send("video", nil)
			}
			for range 10 {
				bob.decodes("video", "alice")
				alice.decodes("video", "bob")
			}
			for _, p := range []struct{ p, other *mediasoupPage }{{alice, bob}, {bob, alice}} {
				p.p.Await(`user.received().then(all => all.some(f => f.kind === 'video' && f.nacks > 0))`)
				p.p.Await(`user.sent().then(all => all.some(f => f.kind === 'video' && f.nacks > 0 && f.repaired > 0))`)
				t.Logf("%s receives %+v", p.p.name, gets[[]mediasoupLoss](p.p, "received"))
				t.Logf("%s sends %+v", p.p.name, gets[[]mediasoupLoss](p.p, "sent"))
				p.p.decodes("video", p.other.name)
				p.p.decodes("audio", p.other.name)
				p.p.requireQuiet()
			}
			require.NotZero(t, lossy.total(lossy.in).dropped)
			require.NotZero(t, lossy.total(lossy.out).dropped)
		})
	}
}

// A mediasoupLoss is what a browser's stats say of lost packets.
type mediasoupLoss struct {
	Kind     string `json:"kind"`
	Packets  int    `json:"packets"`
	Frames   int    `json:"frames"`
	NACKs    int    `json:"nacks"`
	Repaired int    `json:"repaired"`
}
