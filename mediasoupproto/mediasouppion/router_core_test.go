package mediasouppion

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// A fakeSocket is a socket that keeps what is sent.
type fakeSocket struct {
	deaf bool
	sent [][]byte
}

func (s *fakeSocket) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) { select {} }

func (s *fakeSocket) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	if !s.deaf {
		s.sent = append(s.sent, bytes.Clone(b))
	}
	return len(b), nil
}

func (s *fakeSocket) Close() error { return nil }

// A core is a room without network, at a time that the test says.
type core struct {
	t      testing.TB
	room   *room
	events *events
	w      *scratch
	now    time.Time
}

func newCore(t testing.TB) *core {
	ev := newEvents()
	now := time.Unix(1_000_000, 0)
	e := &Engine{began: now, rooms: make(map[*room]struct{})}
	c := &core{t: t, room: newRoom(context.Background(), e, ev), events: ev, w: new(scratch), now: now}
	e.now = func() time.Time { return c.now }
	t.Cleanup(c.room.cancel)
	return c
}

// An end is a client of a core.
type end struct {
	core      *core
	transport *transport
	sink      *fakeSocket
	in, out   *srtp.Context
}

func srtpContext(t testing.TB, secret byte, profile srtp.ProtectionProfile, opts ...srtp.ContextOption) *srtp.Context {
	key, _ := profile.KeyLen()
	salt, _ := profile.SaltLen()
	c, err := srtp.CreateContext(bytes.Repeat([]byte{secret}, key), bytes.Repeat([]byte{secret}, salt), profile, opts...)
	require.NoError(t, err)
	return c
}

func (c *core) join(peer mediasoupproto.PeerID, profile srtp.ProtectionProfile) *end {
	id := mediaID(peer, 1)
	e := &end{core: c, sink: &fakeSocket{}, transport: newTransport(c.room.ctx, c.room, id)}
	c.room.transports[id] = e.transport
	e.transport.path.Store(&route{socket: &socket{conn: e.sink}})
	e.transport.in = srtpContext(c.t, 1, profile,
		srtp.SRTPReplayProtection(replayWindowRTP), srtp.SRTCPReplayProtection(replayWindowRTCP))
	e.transport.out = srtpContext(c.t, 2, profile)
	e.out = srtpContext(c.t, 1, profile)
	e.in = srtpContext(c.t, 2, profile)
	return e
}

const (
	profileGCM = srtp.ProtectionProfileAeadAes128Gcm
	profileCM  = srtp.ProtectionProfileAes128CmHmacSha1_80
)

func (e *end) send(p *rtp.Packet) {
	b, err := p.Marshal()
	require.NoError(e.core.t, err)
	b, err = e.out.EncryptRTP(nil, b, nil)
	require.NoError(e.core.t, err)
	e.transport.packet(e.core.w, b, e.core.now)
}

func (e *end) sendRTCP(packets ...rtcp.Packet) {
	b, err := rtcp.Marshal(packets)
	require.NoError(e.core.t, err)
	b, err = e.out.EncryptRTCP(nil, b, nil)
	require.NoError(e.core.t, err)
	e.transport.packet(e.core.w, b, e.core.now)
}

// got returns what has been sent to the client since the last time.
func (e *end) got() (media []*rtp.Packet, control []rtcp.Packet) {
	for _, b := range e.sink.sent {
		if b[1] >= 192 && b[1] < 224 {
			plain, err := e.in.DecryptRTCP(nil, b, nil)
			require.NoError(e.core.t, err)
			packets, err := rtcp.Unmarshal(plain)
			require.NoError(e.core.t, err)
			control = append(control, packets...)
			continue
		}
		plain, err := e.in.DecryptRTP(nil, b, nil)
		require.NoError(e.core.t, err)
		p := new(rtp.Packet)
		require.NoError(e.core.t, p.Unmarshal(plain))
		media = append(media, p)
	}
	e.sink.sent = nil
	return media, control
}

// pass lets time go by.
func (c *core) pass(d time.Duration) {
	c.now = c.now.Add(d)
	c.room.tick(c.now)
}

func (c *core) produce(peer mediasoupproto.PeerID, id uint32, m *mediasoupproto.MediaProducer) mediasoupproto.MediaID {
	require.NoError(c.t, c.room.CreateProducer(mediaID(peer, id), m))
	return mediaID(peer, id)
}

func (c *core) consume(peer mediasoupproto.PeerID, id uint32, m *mediasoupproto.MediaConsumer) mediasoupproto.MediaID {
	_, err := c.room.EnableConsumer(mediaID(peer, id), m)
	require.NoError(c.t, err)
	return mediaID(peer, id)
}

// video has alice send video to bob, both with a protection profile.
func video(t testing.TB, profile srtp.ProtectionProfile) (c *core, alice, bob *end, consumer mediasoupproto.MediaID) {
	c = newCore(t)
	alice, bob = c.join(aliceID, profile), c.join(bobID, profile)
	p := c.produce(aliceID, 11, videoProducer(alice.transport.id))
	consumer = c.consume(bobID, 21, videoConsumer(bob.transport.id, p))
	alice.got()
	return c, alice, bob, consumer
}

// restored is the packet that an RTX packet repeats.
func restored(p *rtp.Packet) *rtp.Packet {
	original := *p
	original.SequenceNumber = uint16(p.Payload[0])<<8 | uint16(p.Payload[1])
	original.Payload = p.Payload[2:]
	return &original
}

// repeated makes the RTX packet of a producer's packet.
func repeated(p *rtp.Packet, seq uint16) *rtp.Packet {
	again := *p
	again.SSRC, again.PayloadType, again.SequenceNumber = videoRTX, cRTX, seq
	again.Payload = append([]byte{byte(p.SequenceNumber >> 8), byte(p.SequenceNumber)}, p.Payload...)
	return &again
}

func control[T rtcp.Packet](packets []rtcp.Packet) (found []T) {
	for _, p := range packets {
		if v, ok := p.(T); ok {
			found = append(found, v)
		}
	}
	return found
}
