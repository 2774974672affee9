package faults

import (
	"context"
	"net"
	"sync"
)

// A tappedPlace is a server on the loopback interface that is dialled through a tap, and whose
// connections can be killed.
type tappedPlace struct {
	place
	tap recording

	mu     sync.Mutex
	conns  []*net.TCPConn
	killed bool
}

func newTappedPlace(p *protocol, at place) *tappedPlace {
	tapped := new(tappedPlace)
	tapped.place = p.place(at.addr, func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		tapped.mu.Lock()
		defer tapped.mu.Unlock()
		if tapped.killed {
			_ = c.Close()
			return nil, net.ErrClosed
		}
		tapped.conns = append(tapped.conns, c.(*net.TCPConn))
		return &tappedConn{c, tapped}, nil
	})
	return tapped
}

type tappedConn struct {
	net.Conn
	place *tappedPlace
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.place.tap.tap(b)
	return c.Conn.Write(b)
}

// kill resets all connections; there will be no others.
func (p *tappedPlace) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	for _, c := range p.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}
