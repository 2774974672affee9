package mediasouppion

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// handshakeTime is how long a handshake may last; maxRecords is how many datagrams of it wait.
const (
	handshakeTime = 30 * time.Second
	maxRecords    = 64
)

// maxFingerprint is more than the longest one has: what is kept of one that matches nothing.
const maxFingerprint = 3 * sha512.Size

// The sizes of the windows in which repeated packets are found.
const (
	replayWindowRTP  = 1024
	replayWindowRTCP = 128
)

var (
	errFingerprint  = mediasoupproto.NewError("TypeError", "unsupported remote fingerprint algorithm")
	errWrongPeer    = errors.New("mediasouppion: another certificate than the one announced")
	errNoProtection = errors.New("mediasouppion: no protection profile in common")
)

// A dtlsSession is the handshake of a transport, which gives the keys of its media.
type dtlsSession struct {
	transport *transport
	conn      *dtlsConn
	ctx       context.Context
	cancel    context.CancelFunc

	mu          sync.Mutex
	stateText   string
	server      bool
	fingerprint mediasoupproto.Fingerprint // the client's; of no algorithm before it is known
	reached     bool                       // there is a path
	running     bool
	closed      bool
	done        chan struct{} // of what runs
}

func newDTLSSession(ctx context.Context, t *transport) *dtlsSession {
	d := &dtlsSession{transport: t, stateText: "new", done: make(chan struct{})}
	d.ctx, d.cancel = context.WithCancel(ctx)
	d.conn = newDTLSConn(t.send)
	return d
}

// expect takes the client's parameters.
func (d *dtlsSession) expect(p *mediasoupproto.DTLSParameters) error {
	known := -1
	for i, f := range p.Fingerprints {
		if digest(f.Algorithm, nil) != nil {
			known = i
		}
	}
	if known < 0 {
		return errFingerprint
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fingerprint = p.Fingerprints[known]
	d.fingerprint.Value = strings.Clone(d.fingerprint.Value[:min(len(d.fingerprint.Value), maxFingerprint)])
	d.server = p.AnswerRole() == mediasoupproto.DTLSRoleServer
	d.run()
	return nil
}

// begin says that there is a path to the client.
func (d *dtlsSession) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reached = true
	d.run()
}

func (d *dtlsSession) run() {
	if d.running || d.closed || !d.reached || d.fingerprint.Algorithm == "" {
		return
	}
	d.running = true
	d.stateText = "connecting"
	go func() {
		defer close(d.done)
		err := d.serve()
		d.mu.Lock()
		failed := d.stateText == "connecting" && err != nil
		d.stateText = "closed"
		if failed {
			d.stateText = "failed"
		}
		closed := d.closed
		d.mu.Unlock()
		if id := d.transport.id; failed && !closed {
			d.transport.room.engine.log.Info("mediasouppion: no DTLS with a client",
				"peer", id.Peer, "transport", id.ID, "error", err)
		}
	}()
}

// serve shakes hands, and stays until the end, since the client may not have heard of it.
func (d *dtlsSession) serve() error {
	conn, err := d.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(d.ctx, handshakeTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	in, out, err := d.keys(conn)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.stateText = "connected"
	d.mu.Unlock()
	d.transport.secure(in, out)
	defer d.transport.secure(nil, nil)
	defer context.AfterFunc(d.ctx, func() { conn.Close() })()
	// There is no data over DTLS without data channels.
	for b := make([]byte, maxPacket); ; {
		if _, err := conn.Read(b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (d *dtlsSession) open() (*dtls.Conn, error) {
	e := d.transport.room.engine
	options := []dtls.Option{
		dtls.WithCertificates(e.certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		// The fingerprint is what tells who the client is.
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(d.verify),
	}
	d.mu.Lock()
	server := d.server
	d.mu.Unlock()
	if !server {
		clientOptions := make([]dtls.ClientOption, len(options))
		for i, o := range options {
			clientOptions[i] = o
		}
		return dtls.ClientWithOptions(d.conn, d.conn.RemoteAddr(), clientOptions...)
	}
	serverOptions := []dtls.ServerOption{
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(true), // the check has proved the address
	}
	for _, o := range options {
		serverOptions = append(serverOptions, o)
	}
	return dtls.ServerWithOptions(d.conn, d.conn.RemoteAddr(), serverOptions...)
}

// verify compares the client's certificate with its fingerprint.
func (d *dtlsSession) verify(certificates [][]byte, _ [][]*x509.Certificate) error {
	d.mu.Lock()
	expected := d.fingerprint
	d.mu.Unlock()
	if len(certificates) == 0 || !matches(expected, certificates[0]) {
		return errWrongPeer
	}
	return nil
}

func matches(expected mediasoupproto.Fingerprint, certificate []byte) bool {
	sum := digest(expected.Algorithm, certificate)
	if sum == nil {
		return false
	}
	value := strings.ToUpper(expected.Value)
	return subtle.ConstantTimeCompare([]byte(value), []byte(colonHex(sum))) == 1
}

// digest returns that of a certificate, or nil if the algorithm is unknown or too weak.
func digest(algorithm string, b []byte) []byte {
	switch strings.ToLower(algorithm) {
	case "sha-224":
		sum := sha256.Sum224(b)
		return sum[:]
	case "sha-256":
		sum := sha256.Sum256(b)
		return sum[:]
	case "sha-384":
		sum := sha512.Sum384(b)
		return sum[:]
	case "sha-512":
		sum := sha512.Sum512(b)
		return sum[:]
	}
	return nil
}

// keys returns the contexts for what is received and what is sent.
func (d *dtlsSession) keys(conn *dtls.Conn) (in, out *srtp.Context, err error) {
	var c srtp.Config
	switch p, _ := conn.SelectedSRTPProtectionProfile(); p {
	case dtls.SRTP_AEAD_AES_128_GCM:
		c.Profile = srtp.ProtectionProfileAeadAes128Gcm
	case dtls.SRTP_AES128_CM_HMAC_SHA1_80:
		c.Profile = srtp.ProtectionProfileAes128CmHmacSha1_80
	default:
		return nil, nil, errNoProtection
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, nil, errNoProtection
	}
	d.mu.Lock()
	client := !d.server
	d.mu.Unlock()
	if err := c.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return nil, nil, err
	}
	in, err = srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile,
		srtp.SRTPReplayProtection(replayWindowRTP), srtp.SRTCPReplayProtection(replayWindowRTCP))
	if err != nil {
		return nil, nil, err
	}
	out, err = srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile)
	return in, out, err
}

func (d *dtlsSession) state() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stateText
}

// close ends the session, telling the client, and waits for it.
func (d *dtlsSession) close() {
	d.mu.Lock()
	d.closed = true
	running := d.running
	d.mu.Unlock()
	d.cancel()
	if running {
		<-d.done
	}
	d.conn.Close()
}

// A dtlsConn is what the handshake reads and writes: datagrams of any address of the client.
// When too many wait, the oldest one is dropped, since the newest is what the client waits for.
type dtlsConn struct {
	write func([]byte)

	mu       sync.Mutex
	cond     *sync.Cond
	records  [][]byte
	deadline time.Time
	timer    *time.Timer
	closed   bool
}

func newDTLSConn(write func([]byte)) *dtlsConn {
	c := &dtlsConn{write: write}
	c.cond = sync.NewCond(&c.mu)
	return c
}

// put gives a datagram to read; b is copied.
func (c *dtlsConn) put(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if len(c.records) >= maxRecords {
		c.records = append(c.records[:0], c.records[1:]...)
	}
	c.records = append(c.records, append([]byte(nil), b...))
	c.cond.Broadcast()
}

// ReadFrom implements [net.PacketConn].
func (c *dtlsConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, nil, net.ErrClosed
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return 0, nil, os.ErrDeadlineExceeded
		case len(c.records) > 0:
			n := copy(b, c.records[0])
			c.records = append(c.records[:0], c.records[1:]...)
			return n, c.RemoteAddr(), nil
		}
		c.cond.Wait()
	}
}

// WriteTo implements [net.PacketConn].
func (c *dtlsConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	c.write(b)
	return len(b), nil
}

// Close implements [net.PacketConn].
func (c *dtlsConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.records = nil
	if c.timer != nil {
		c.timer.Stop()
	}
	c.cond.Broadcast()
	return nil
}

// SetReadDeadline implements [net.PacketConn].
func (c *dtlsConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.deadline = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 && !c.closed {
		c.timer = time.AfterFunc(wait, func() {
			// Under the lock, nobody is about to wait without having seen the time.
			c.mu.Lock()
			defer c.mu.Unlock()
			c.cond.Broadcast()
		})
	}
	c.cond.Broadcast()
	return nil
}

// SetDeadline implements [net.PacketConn].
func (c *dtlsConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline implements [net.PacketConn]. Writing does not wait.
func (c *dtlsConn) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements [net.PacketConn].
func (c *dtlsConn) LocalAddr() net.Addr { return dtlsAddr{} }

// RemoteAddr is the same for all addresses of the client, which may change.
func (c *dtlsConn) RemoteAddr() net.Addr { return dtlsAddr{} }

type dtlsAddr struct{}

func (dtlsAddr) Network() string { return "udp" }
func (dtlsAddr) String() string  { return "client" }
