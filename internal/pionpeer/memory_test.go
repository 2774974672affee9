package pionpeer_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// A network carries packets between peer connections in memory, and loses all of them when a test says so.
type network struct {
	mu    sync.Mutex
	lost  bool
	ports map[int]*memoryConn
}

func newNetwork() *network { return &network{ports: make(map[int]*memoryConn)} }

func (n *network) lose(lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = lost
}

// settings returns those of one peer connection, which fails a second after the last packet.
func (n *network) settings(t *testing.T) webrtc.SettingEngine {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &memoryConn{
		network:  n,
		addr:     &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1000 + len(n.ports)},
		incoming: make(chan packet, 1000),
		closed:   make(chan struct{}),
	}
	n.ports[c.addr.Port] = c
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: c})
	t.Cleanup(func() { _ = mux.Close() })
	s := loopback.Settings()
	s.SetICEUDPMux(mux)
	s.SetICETimeouts(500*time.Millisecond, 500*time.Millisecond, 100*time.Millisecond)
	return s
}

type packet struct {
	data []byte
	from net.Addr
}

// newSides makes two sessions on the network, of which only a notices a failure.
func (n *network) newSides(t *testing.T, changeA func(*pionpeer.SessionConfig)) (a, b *side) {
	t.Helper()
	return newSides(t, func(cfg *pionpeer.SessionConfig) {
		cfg.API = pionpeer.LazyAPI(nil, n.settings(t))
		changeA(cfg)
	}, func(cfg *pionpeer.SessionConfig) {
		cfg.API = pionpeer.LazyAPI(nil, n.settings(t))
		cfg.OnFailed = func() bool { return true }
	})
}

// A memoryConn is one address of a network.
type memoryConn struct {
	network  *network
	addr     *net.UDPAddr
	incoming chan packet
	once     sync.Once
	closed   chan struct{}
}

func (c *memoryConn) ReadFrom(buf []byte) (int, net.Addr, error) {
	select {
	case p := <-c.incoming:
		return copy(buf, p.data), p.from, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *memoryConn) WriteTo(data []byte, to net.Addr) (int, error) {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if peer := n.ports[to.(*net.UDPAddr).Port]; peer != nil && !n.lost {
		select {
		case peer.incoming <- packet{append([]byte(nil), data...), c.addr}:
		default:
		}
	}
	return len(data), nil
}

func (c *memoryConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *memoryConn) LocalAddr() net.Addr              { return c.addr }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
