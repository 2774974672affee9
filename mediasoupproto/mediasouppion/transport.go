package mediasouppion

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// consentTime is how long a client may be silent before its transport counts as disconnected, and
// nothing is sent to it any more.
// maxAddresses is how many addresses a transport is known to come from.
const (
	consentTime  = 30 * time.Second
	maxAddresses = 16
)

// A route is where a transport sends to.
type route struct {
	socket *socket
	to     netip.AddrPort
}

// A transport is a client's. Without other words its fields are guarded by the room's lock.
type transport struct {
	room    *room
	id      mediasoupproto.MediaID
	sockets []*socket
	shared  bool // the sockets, with other transports
	closed  bool

	path     atomic.Pointer[route]
	sent     atomic.Int64
	received atomic.Int64

	current   *credentials
	previous  *credentials // until the first check with the current ones
	paths     []route      // all that may come from, the oldest first
	lastCheck time.Time
	lastSign  time.Time // of life: a check, or media that only the client can have sent
	nominated bool

	dtls   *dtlsSession
	in     *srtp.Context // nil before the end of the handshake
	out    *srtp.Context
	header rtp.Header // of what is received

	ssrc       uint32 // in the reports
	producers  []*producer
	consumers  map[uint32]*consumer // by what they are sent with
	streams    map[uint32]inbound   // by what arrives
	learned    int                  // streams that have no SSRC in their parameters
	rtcpFrom   map[uint32]struct{}  // who reports, but for streams
	enabled    int                  // consumers until now: Firefox reports on each by another name
	lastReport time.Time
	remb       int64 // what the client says that it can receive, in bit/s
}

// inbound is what an SSRC is.
type inbound struct {
	stream  *layer
	rtx     bool
	learned bool // not from the parameters
}

// start announces the transport to its sockets.
func (t *transport) start() {
	for _, s := range t.sockets {
		s.add(t.current)
	}
}

// restart makes new credentials. The previous ones are good until the new ones are used.
func (t *transport) restart() {
	if t.previous != nil {
		t.unlist(t.previous)
	}
	t.previous, t.current = t.current, newCredentials(t)
	t.start()
}

func (t *transport) unlist(c *credentials) {
	for _, s := range t.sockets {
		s.remove(c)
	}
}

// heard takes a valid check, which may choose the path. It reports whether to answer it.
func (t *transport) heard(c *credentials, s *socket, from netip.AddrPort, nominate bool, now time.Time) bool {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	if t.closed || c != t.current && c != t.previous {
		return false
	}
	ok, fresh := s.take(from, t, now)
	if !ok {
		return false
	}
	if fresh {
		t.know(route{s, from})
	}
	first := t.path.Load() == nil
	if c == t.current && t.previous != nil {
		t.unlist(t.previous)
		t.previous = nil
		first = true
	}
	t.lastCheck, t.lastSign = now, now
	t.nominated = t.nominated || nominate
	if first || nominate && *t.path.Load() != (route{s, from}) {
		t.path.Store(&route{s, from})
	}
	t.dtls.begin()
	return true
}

// know remembers an address, and forgets the oldest one that is not in use.
func (t *transport) know(p route) {
	t.paths = append(t.paths, p)
	if len(t.paths) <= maxAddresses {
		return
	}
	oldest := 0
	if used := t.path.Load(); used != nil && *used == t.paths[0] {
		oldest = 1
	}
	t.paths[oldest].socket.drop(t.paths[oldest].to, t)
	t.paths = append(t.paths[:oldest], t.paths[oldest+1:]...)
}

// packet takes one that is no check, from an address that has proved itself.
func (t *transport) packet(w *scratch, b []byte, now time.Time) {
	t.received.Add(int64(len(b)))
	switch {
	case b[0] >= 20 && b[0] < 64:
		t.dtls.conn.put(b)
	case b[0]>>6 == 2 && len(b) >= 12:
		r := t.room
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.closed || t.in == nil {
			return
		}
		if b[1] >= 192 && b[1] < 224 {
			t.rtcp(w, b, now)
		} else {
			t.rtp(w, b, now)
		}
	}
}

// rtcp takes reports and requests of the client.
func (t *transport) rtcp(w *scratch, b []byte, now time.Time) {
	from := binary.BigEndian.Uint32(b[4:])
	_, known := t.rtcpFrom[from]
	if !known {
		_, known = t.streams[from]
	}
	if !known && len(t.rtcpFrom) >= maxLearned+t.enabled {
		return
	}
	plain, err := t.in.DecryptRTCP(b, b, nil)
	if err != nil {
		return
	}
	t.lastSign = now
	if !known {
		t.rtcpFrom[from] = struct{}{}
	}
	t.feedback(w, plain, now)
}

// rtp takes a packet of a producer. What nobody has announced is not looked at, lest there is
// something to remember for every SSRC.
func (t *transport) rtp(w *scratch, b []byte, now time.Time) {
	ssrc := binary.BigEndian.Uint32(b[8:])
	in, known := t.streams[ssrc]
	if !known {
		if in = t.recognise(b, ssrc); in.stream == nil {
			return
		}
	}
	plain, err := t.in.DecryptRTP(b, b, &t.header)
	if err != nil {
		return
	}
	t.lastSign = now
	if !known {
		t.learn(ssrc, in)
	}
	in.stream.producer.take(w, in, plain, &t.header, now)
}

// send sends something that is encrypted already, if there is a path.
func (t *transport) send(b []byte) {
	p := t.path.Load()
	if p == nil {
		return
	}
	t.sent.Add(int64(len(b)))
	p.socket.conn.WriteToUDPAddrPort(b, p.to)
}

// sendRTP encrypts a packet and sends it.
func (t *transport) sendRTP(w *scratch, plain []byte) bool {
	b, err := t.out.EncryptRTP(w.out[:0], plain, &w.header)
	if err != nil {
		return false
	}
	t.send(b)
	return true
}

// sendRTCP encrypts reports and sends them.
func (t *transport) sendRTCP(w *scratch, plain []byte) {
	if t.out == nil {
		return
	}
	if b, err := t.out.EncryptRTCP(w.out[:0], plain, nil); err == nil {
		t.send(b)
	}
}

func (t *transport) count(received, sent int) {
	t.received.Add(int64(received))
	t.sent.Add(int64(sent))
}

// mute stops sending to a client that has not been heard of for long: another one may have its
// address by now. The next check begins anew.
func (t *transport) mute(now time.Time) {
	if !t.lastSign.IsZero() && now.Sub(t.lastSign) > consentTime {
		t.path.Store(nil)
	}
}

// secure begins with the media, when the handshake is over.
func (t *transport) secure(in, out *srtp.Context) {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	if !t.closed {
		t.in, t.out = in, out
	}
}

// fail ends a transport whose socket has failed.
func (t *transport) fail(err error) {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	if !t.closed {
		t.room.events.TransportClosed(t.id, err)
	}
}

// close forgets the transport, without waiting. The caller holds the room's lock.
func (t *transport) close() {
	t.closed = true
	t.in, t.out = nil, nil
	t.unlist(t.current)
	if t.previous != nil {
		t.unlist(t.previous)
	}
	for _, p := range t.paths {
		p.socket.drop(p.to, t)
	}
	t.paths = nil
	dtls, sockets := t.dtls, t.sockets
	t.room.group.Go(func() {
		dtls.close()
		t.path.Store(nil)
		if !t.shared {
			for _, s := range sockets {
				s.close()
			}
		}
	})
}

// iceState is what the statistics call it.
func (t *transport) iceState(now time.Time) string {
	switch {
	case t.lastCheck.IsZero():
		return "new"
	case now.Sub(t.lastCheck) > consentTime:
		return "disconnected"
	case t.nominated:
		return "completed"
	}
	return "connected"
}

// state returns the statistics.
func (t *transport) state(now time.Time) *mediasoupproto.TransportState {
	received, sent := t.received.Load(), t.sent.Load()
	s := &mediasoupproto.TransportState{
		Type: mediasoupproto.StatsTransport, ID: t.id.ID, Timestamp: t.room.engine.stamp(now),
		BytesReceived: &received, BytesSent: &sent,
		DTLSState: t.dtls.state(), ICEConnectionState: t.iceState(now),
	}
	if p := t.path.Load(); p != nil {
		s.ICESelectedTuple = &mediasoupproto.ICETuple{
			LocalIP: p.socket.announced.String(), LocalPort: p.socket.port, Protocol: "udp",
			RemoteIP: p.to.Addr().String(), RemotePort: p.to.Port(),
		}
	}
	if t.remb > 0 {
		s.LocalAvailableSendBW = &mediasoupproto.AvailableSend{Bitrate: t.remb}
	}
	if limit := int64(t.room.engine.maxIncoming); limit > 0 {
		s.RemoteAvailableSendBW = &mediasoupproto.AvailableSend{Bitrate: limit}
	}
	return s
}

func newTransport(ctx context.Context, r *room, id mediasoupproto.MediaID) *transport {
	t := &transport{
		room: r, id: id, ssrc: randomUint32() | 1,
		consumers: make(map[uint32]*consumer), streams: make(map[uint32]inbound),
		rtcpFrom: make(map[uint32]struct{}),
	}
	t.current = newCredentials(t)
	t.dtls = newDTLSSession(ctx, t)
	return t
}
