package mediasouppion

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// EngineOptions say where an [Engine] listens and what it offers. The zero value, and nil,
// listen on 127.0.0.1, which serves clients of the same machine.
type EngineOptions struct {
	// Listen are the addresses of the server. Every transport has a candidate for each.
	Listen []ListenAddress
	// Port is the UDP port that all transports share on every address; 0 takes a free one.
	// One goroutine serves it. It is unused when PortMin and PortMax are set, which clients
	// need that send over several transports from one port of their own; browsers do not.
	Port uint16
	// PortMin and PortMax are the first and the last port of those of which every transport
	// takes one per address. Each port has a goroutine, so that the transports of several
	// rooms use several processors.
	PortMin, PortMax uint16
	// ListenPacket opens a socket, for the networks udp4 and udp6. Nil is
	// [net.ListenPacket]. Sockets that are no [*net.UDPConn] are slower.
	ListenPacket func(network, address string) (net.PacketConn, error)
	// Certificate is the server's, with its key; nil makes one that is forgotten at the end.
	// Its leaf is what clients are told the fingerprint of.
	Certificate *tls.Certificate
	// MaxIncomingBitrate, in bit/s, is what a client is told that it may send over one
	// transport. With 0 it is told nothing and goes by its losses.
	MaxIncomingBitrate uint64

	Logger *slog.Logger // nil discards
}

// A ListenAddress is where an [Engine] listens, and what it calls that.
type ListenAddress struct {
	IP netip.Addr
	// Announced is the address that clients send to, when it is not IP: that of a server
	// behind a NAT, or one of those of an unspecified IP, which needs it.
	Announced netip.Addr
}

func (a ListenAddress) announced() netip.Addr {
	if a.Announced.IsValid() {
		return a.Announced.Unmap()
	}
	return a.IP.Unmap()
}

// tickInterval is how often the rooms are looked after: repeated requests for lost packets
// and key frames. reportInterval is how often there are reports.
const (
	tickInterval   = 50 * time.Millisecond
	reportInterval = time.Second
)

// ErrEngineClosed is what an [Engine] returns after its end.
var ErrEngineClosed = errors.New("mediasouppion: the engine is closed")

// An Engine is a [mediasoupproto.MediaEngine] that forwards the media of a room from each
// producer to its consumers: an SFU for the clients of mediasoup, browsers and others. It is
// ICE-lite over UDP, and needs no worker process. Its methods may be called concurrently.
type Engine struct {
	listen       []ListenAddress
	portMin      uint16
	portMax      uint16
	listenPacket func(network, address string) (net.PacketConn, error)
	certificate  tls.Certificate
	fingerprints []mediasoupproto.Fingerprint
	maxIncoming  uint64
	log          *slog.Logger
	now          func() time.Time
	began        time.Time

	sockets []*socket // that all transports share
	group   sync.WaitGroup
	stop    chan struct{}

	mu     sync.Mutex
	rooms  map[*room]struct{}
	closed bool
}

// NewEngine returns an engine that listens, if its ports are shared. Close ends it.
func NewEngine(opts *EngineOptions) (*Engine, error) {
	if opts == nil {
		opts = &EngineOptions{}
	}
	e := &Engine{
		listen: opts.Listen, portMin: opts.PortMin, portMax: opts.PortMax, listenPacket: opts.ListenPacket,
		maxIncoming: opts.MaxIncomingBitrate, log: opts.Logger, now: time.Now, began: time.Now(),
		stop: make(chan struct{}), rooms: make(map[*room]struct{}),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.listenPacket == nil {
		e.listenPacket = net.ListenPacket
	}
	if len(e.listen) == 0 {
		e.listen = []ListenAddress{{IP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}
	}
	for _, a := range e.listen {
		if !a.IP.IsValid() || !a.announced().IsValid() || a.announced().IsUnspecified() {
			return nil, fmt.Errorf("mediasouppion: nobody can be told to send to %v", a.IP)
		}
	}
	if e.portMin > e.portMax || e.portMin == 0 && e.portMax != 0 {
		return nil, fmt.Errorf("mediasouppion: no ports from %d to %d", e.portMin, e.portMax)
	}
	if err := e.identify(opts.Certificate); err != nil {
		return nil, err
	}
	if e.portMax == 0 {
		for _, a := range e.listen {
			s, err := e.open(a, opts.Port)
			if err != nil {
				for _, s := range e.sockets {
					s.close()
				}
				return nil, err
			}
			e.sockets = append(e.sockets, s)
		}
	}
	e.group.Go(e.tick)
	return e, nil
}

// identify takes the certificate, or makes one.
func (e *Engine) identify(given *tls.Certificate) error {
	if given == nil {
		c, err := newCertificate()
		if err != nil {
			return err
		}
		given = c
	}
	if len(given.Certificate) == 0 || given.PrivateKey == nil {
		return errors.New("mediasouppion: a certificate without its key")
	}
	e.certificate = *given
	sum := sha256.Sum256(given.Certificate[0])
	e.fingerprints = []mediasoupproto.Fingerprint{{Algorithm: "sha-256", Value: colonHex(sum[:])}}
	return nil
}

// newCertificate makes a certificate as browsers do: for 30 days, of nobody.
func newCertificate() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "WebRTC"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(0, 0, 30),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Port returns the port that the transports share on the first address, or 0.
func (e *Engine) Port() uint16 {
	if len(e.sockets) == 0 {
		return 0
	}
	return e.sockets[0].port
}

// OpenRoom implements [mediasoupproto.MediaEngine]. The error is [ErrEngineClosed].
func (e *Engine) OpenRoom(
	ctx context.Context, _ string, _ *mediasoupproto.RTPCapabilities, events mediasoupproto.MediaEvents,
) (mediasoupproto.MediaRoom, error) {
	r := newRoom(ctx, e, events)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrEngineClosed
	}
	e.rooms[r] = struct{}{}
	return r, nil
}

// Close ends the engine and the media of its rooms, and waits for that.
func (e *Engine) Close() error {
	e.mu.Lock()
	rooms := make([]*room, 0, len(e.rooms))
	for r := range e.rooms {
		rooms = append(rooms, r)
	}
	if !e.closed {
		e.closed = true
		close(e.stop)
	}
	e.mu.Unlock()
	for _, r := range rooms {
		r.Close()
	}
	for _, s := range e.sockets {
		s.close()
	}
	e.group.Wait()
	return nil
}

func (e *Engine) forget(r *room) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.rooms, r)
}

// tick looks after the rooms until the end.
func (e *Engine) tick() {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	var rooms []*room
	for {
		select {
		case <-e.stop:
			return
		case <-ticker.C:
		}
		e.mu.Lock()
		rooms = rooms[:0]
		for r := range e.rooms {
			rooms = append(rooms, r)
		}
		e.mu.Unlock()
		for _, r := range rooms {
			r.tick(time.Now())
		}
		clear(rooms)
	}
}

// listenFor opens the sockets of a transport, or returns those that all share.
func (e *Engine) listenFor() (sockets []*socket, shared bool, err error) {
	if e.portMax == 0 {
		return e.sockets, true, nil
	}
	for _, a := range e.listen {
		s, err := e.openAny(a)
		if err != nil {
			for _, s := range sockets {
				s.close()
			}
			return nil, false, err
		}
		sockets = append(sockets, s)
	}
	return sockets, false, nil
}

// openAny tries all ports of the range, from one of them on.
func (e *Engine) openAny(a ListenAddress) (*socket, error) {
	n := int(e.portMax-e.portMin) + 1
	for first, i := mathrand.IntN(n), 0; i < n; i++ {
		s, err := e.open(a, e.portMin+uint16((first+i)%n))
		if err == nil || errors.Is(err, ErrEngineClosed) {
			return s, err
		}
	}
	return nil, mediasoupproto.ErrNoPort
}

func (e *Engine) open(a ListenAddress, port uint16) (*socket, error) {
	network := "udp4"
	ip := a.IP.Unmap()
	if ip.Is6() {
		network = "udp6"
	}
	conn, err := e.listenPacket(network, net.JoinHostPort(ip.String(), strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	local, ok := addrPort(conn.LocalAddr())
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("mediasouppion: %v is no UDP address", conn.LocalAddr())
	}
	s := newSocket(conn, a.announced(), local.Port(), e.log)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		conn.Close()
		return nil, ErrEngineClosed
	}
	e.group.Go(s.read)
	return s, nil
}

// colonHex writes bytes as fingerprints are written.
func colonHex(b []byte) string {
	const digits = "0123456789ABCDEF"
	text := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			text = append(text, ':')
		}
		text = append(text, digits[c>>4], digits[c&15])
	}
	return string(text)
}
