package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
)

// firstPort is that of the page of a demo that stays up. The servers have those behind it.
const firstPort = 8100

// A place is where a server listens, and which addresses its media and those of its bots take.
type place struct {
	ip    netip.Addr
	port  int // 0 takes a free one
	media []netip.Addr
}

// inside is where a session needs nothing of the machine but its loopback interface.
func inside() place {
	ip := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return place{ip: ip, media: []netip.Addr{ip}}
}

// outside is where browsers find a server. Its media take the IPv4 addresses of the machine, and
// 127.0.0.1 only if there is no other: Firefox exchanges no media with that, and fails when it is
// among those of a peer that makes the offer.
func outside(addr string) (place, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil || ip.IsUnspecified() {
		return place{}, fmt.Errorf("%q is no IP address of this machine", addr)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return place{}, err
	}
	p := place{ip: ip}
	for _, a := range addresses {
		network, err := netip.ParsePrefix(a.String())
		if err == nil && network.Addr().Is4() && network.Addr().IsGlobalUnicast() {
			p.media = append(p.media, network.Addr())
		}
	}
	if p.media == nil {
		p.media = inside().media
	}
	return p, nil
}

// at returns the same place with another port.
func (p place) at(port int) place {
	p.port = port
	return p
}

// listen opens the port of the place, or a free one if somebody else has that.
func (p place) listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(p.ip.String(), strconv.Itoa(p.port)))
	if err != nil && p.port != 0 {
		return net.Listen("tcp", net.JoinHostPort(p.ip.String(), "0"))
	}
	return listener, err
}

// settings are for peer connections.
func (p place) settings() webrtc.SettingEngine {
	s := loopback.Settings()
	s.SetIPFilter(func(ip net.IP) bool {
		a, ok := netip.AddrFromSlice(ip)
		return ok && slices.Contains(p.media, a.Unmap())
	})
	return s
}

// engine forwards the media of mediasoup.
func (p place) engine() (*mediasouppion.Engine, error) {
	opts := new(mediasouppion.EngineOptions)
	for _, ip := range p.media {
		opts.Listen = append(opts.Listen, mediasouppion.ListenAddress{IP: ip})
	}
	return mediasouppion.NewEngine(opts)
}
