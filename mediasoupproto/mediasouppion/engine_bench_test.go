package mediasouppion

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// BenchmarkForward takes a packet of video, decrypts it, and encrypts it for all consumers.
// The packets that are sent count.
func BenchmarkForward(b *testing.B) {
	for _, consumers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("GCM/%d", consumers), func(b *testing.B) { benchmarkForward(b, consumers, false) })
	}
	b.Run("CM/10", func(b *testing.B) { benchmarkForward(b, 10, true) })
}

func benchmarkForward(b *testing.B, consumers int, cm bool) {
	profile := profileGCM
	if cm {
		profile = profileCM
	}
	c := newCore(b)
	alice := c.join(aliceID, profile)
	p := c.produce(aliceID, 11, videoProducer(alice.transport.id))
	for i := range consumers {
		peer := bobID + mediasoupproto.PeerID(i)
		e := c.join(peer, profile)
		e.sink.deaf = true
		c.consume(peer, 21, videoConsumer(e.transport.id, p))
	}
	s := videoSource(1 << 20)
	plain, err := s.next().Marshal()
	require.NoError(b, err)
	seq := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		// The client's encryption is a part of what is measured.
		binary.BigEndian.PutUint16(plain[2:], seq)
		seq++
		packet, err := alice.out.EncryptRTP(c.w.in[:0], plain, &c.w.header)
		if err != nil {
			b.Fatal(err)
		}
		alice.transport.packet(c.w, packet, c.now)
	}
	b.ReportMetric(float64(b.N)*float64(consumers)/b.Elapsed().Seconds(), "sent/s")
}

// BenchmarkForwardOverSockets is the same with a socket to send to, which nobody reads.
func BenchmarkForwardOverSockets(b *testing.B) {
	const consumers = 10
	listen := func() *net.UDPConn {
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		require.NoError(b, err)
		b.Cleanup(func() { conn.Close() })
		return conn
	}
	from, to := listen(), listen()
	c := newCore(b)
	alice := c.join(aliceID, profileGCM)
	p := c.produce(aliceID, 11, videoProducer(alice.transport.id))
	for i := range consumers {
		peer := bobID + mediasoupproto.PeerID(i)
		e := c.join(peer, profileGCM)
		e.transport.path.Store(&route{socket: &socket{conn: from}, to: to.LocalAddr().(*net.UDPAddr).AddrPort()})
		c.consume(peer, 21, videoConsumer(e.transport.id, p))
	}
	plain, err := videoSource(1 << 20).next().Marshal()
	require.NoError(b, err)
	seq := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		binary.BigEndian.PutUint16(plain[2:], seq)
		seq++
		packet, err := alice.out.EncryptRTP(c.w.in[:0], plain, &c.w.header)
		if err != nil {
			b.Fatal(err)
		}
		alice.transport.packet(c.w, packet, c.now)
	}
	b.ReportMetric(float64(b.N)*consumers/b.Elapsed().Seconds(), "sent/s")
}

// BenchmarkCheckOfAStranger is what a check costs whose name nobody has.
func BenchmarkCheckOfAStranger(b *testing.B) {
	c := newCore(b)
	s := &socket{conn: &fakeSocket{}, byUfrag: map[string]*credentials{}, byAddr: map[netip.AddrPort]holder{}}
	m := strangersCheck()
	b.ReportAllocs()
	for b.Loop() {
		s.packet(c.w, m, here, c.now)
	}
}
