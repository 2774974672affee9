package mediasouppion

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/stun/v4"
)

// maxPacket is more than what a client sends in one datagram: a longer one is cut off, and
// fails its authentication. maxErrors is how often in a row a socket may fail, with
// pauses. kernelBuffer, in bytes, holds the key frames of several clients.
const (
	maxPacket    = 2048
	maxErrors    = 50
	errorPause   = 10 * time.Millisecond
	kernelBuffer = 2 << 20
)

// A udpConn is a socket that does not allocate for its addresses.
type udpConn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	Close() error
}

// A plainConn is any other socket.
type plainConn struct{ net.PacketConn }

func (c plainConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := c.ReadFrom(b)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	a, _ := addrPort(from)
	return n, a, nil
}

func (c plainConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return c.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	if u, ok := a.(*net.UDPAddr); ok && u != nil {
		ap := u.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
	}
	if a == nil {
		return netip.AddrPort{}, false
	}
	ap, err := netip.ParseAddrPort(a.String())
	return ap, err == nil
}

// A socket is a UDP port of one transport, or of all. Packets belong to the transport that
// has answered a check from where they come.
type socket struct {
	conn      udpConn
	announced netip.Addr
	port      uint16
	log       *slog.Logger
	done      chan struct{} // when nothing reads any more

	mu      sync.RWMutex
	byUfrag map[string]*credentials
	byAddr  map[netip.AddrPort]holder
}

// A holder is whose packets come from an address, proved by a check at some time.
type holder struct {
	transport *transport
	at        time.Time
}

// holdTime is how long an address is a transport's after a check: another client, who could
// only forge its address, does not get it before. Clients check every few seconds.
const holdTime = 15 * time.Second

func newSocket(conn net.PacketConn, announced netip.Addr, port uint16, log *slog.Logger) *socket {
	s := &socket{
		announced: announced, port: port, log: log, done: make(chan struct{}),
		byUfrag: make(map[string]*credentials), byAddr: make(map[netip.AddrPort]holder),
	}
	if u, ok := conn.(udpConn); ok {
		s.conn = u
	} else {
		s.conn = plainConn{conn}
	}
	if u, ok := conn.(*net.UDPConn); ok {
		// The system may give less.
		u.SetReadBuffer(kernelBuffer)
		u.SetWriteBuffer(kernelBuffer)
	}
	return s
}

// A scratch is what a goroutine works with, so that it allocates nothing for a packet.
type scratch struct {
	in     [maxPacket]byte
	plain  [maxPacket]byte // of what is sent, before encryption
	again  [maxPacket]byte // likewise, of what is sent again
	out    [maxPacket + 64]byte
	header rtp.Header // of what is sent
	check  stun.Message
	answer stun.Message
}

// read serves the socket until it is closed.
func (s *socket) read() {
	defer close(s.done)
	w := new(scratch)
	for failed := 0; ; {
		n, from, err := s.conn.ReadFromUDPAddrPort(w.in[:])
		switch {
		case err == nil:
			failed = 0
		case errors.Is(err, net.ErrClosed):
			return
		default:
			if failed++; failed == maxErrors {
				s.log.Error("mediasouppion: a socket fails", "port", s.port, "error", err)
				s.fail(err)
				return
			}
			// It may be short of memory for a moment.
			time.Sleep(errorPause)
			continue
		}
		s.packet(w, w.in[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now())
	}
}

// packet takes one from the socket: the first byte tells what it is, as in RFC 7983.
func (s *socket) packet(w *scratch, b []byte, from netip.AddrPort, now time.Time) {
	if len(b) == 0 {
		return
	}
	if b[0] < 4 {
		s.checkPacket(w, b, from, now)
		return
	}
	if t := s.of(from); t != nil {
		t.packet(w, b, now)
	}
}

func (s *socket) of(from netip.AddrPort) *transport {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byAddr[from].transport
}

// checkPacket answers a connectivity check of somebody who knows a transport's password, and
// nobody else.
func (s *socket) checkPacket(w *scratch, b []byte, from netip.AddrPort, now time.Time) {
	c, ok := parseCheck(&w.check, b)
	if !ok {
		return
	}
	s.mu.RLock()
	cred := s.byUfrag[string(c.ufrag)]
	s.mu.RUnlock()
	if cred == nil || !cred.verify(&w.check) {
		return
	}
	code := stun.ErrorCode(0)
	if c.controlled {
		code = stun.CodeRoleConflict // those who are lite never control
	} else if !cred.transport.heard(cred, s, from, c.useCandidate, now) {
		return
	}
	if answer := cred.reply(&w.answer, &w.check, from, code); answer != nil {
		cred.transport.count(len(b), len(answer))
		s.conn.WriteToUDPAddrPort(answer, from)
	}
}

func (s *socket) add(c *credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byUfrag[c.ufrag] = c
}

func (s *socket) remove(c *credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byUfrag, c.ufrag)
}

// take makes what comes from an address belong to a transport, unless it is another one's. It
// reports whether it does, and whether that is new.
func (s *socket) take(from netip.AddrPort, t *transport, now time.Time) (ok, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.byAddr[from]
	if h.transport != nil && h.transport != t && now.Sub(h.at) < holdTime {
		return false, false
	}
	s.byAddr[from] = holder{transport: t, at: now}
	return true, h.transport != t
}

func (s *socket) drop(from netip.AddrPort, t *transport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byAddr[from].transport == t {
		delete(s.byAddr, from)
	}
}

// fail ends the transports of a socket that cannot be read.
func (s *socket) fail(err error) {
	s.mu.RLock()
	transports := make(map[*transport]struct{})
	for _, c := range s.byUfrag {
		transports[c.transport] = struct{}{}
	}
	s.mu.RUnlock()
	for t := range transports {
		t.fail(err)
	}
}

// close ends the socket and waits for who reads it.
func (s *socket) close() {
	s.conn.Close()
	<-s.done
}
