package faults

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// A tappedPlace is a server on the loopback interface that is dialled through a tap, and whose
// connections can be killed.
type tappedPlace struct {
	place
	tap recording

	mu    sync.Mutex
	conns []*net.TCPConn
}

func newTappedPlace(at place) *tappedPlace {
	p := new(tappedPlace)
	p.place = place{url: at.url, client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.conns = append(p.conns, c.(*net.TCPConn))
			return &tappedConn{c, p}, nil
		},
	}}}
	return p
}

type tappedConn struct {
	net.Conn
	place *tappedPlace
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.place.tap.tap(b)
	return c.Conn.Write(b)
}

// kill resets all connections.
func (p *tappedPlace) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}
