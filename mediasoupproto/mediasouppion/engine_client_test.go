package mediasouppion

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// waitTime is how long the tests wait for what must come.
const waitTime = 20 * time.Second

// events keeps what an engine says.
type events struct {
	profiles chan profileEvent
	closed   chan mediasoupproto.MediaID
}

type profileEvent struct {
	consumer mediasoupproto.MediaID
	profile  mediasoupproto.Profile
}

func newEvents() *events {
	return &events{profiles: make(chan profileEvent, 100), closed: make(chan mediasoupproto.MediaID, 100)}
}

func (e *events) EffectiveProfile(id mediasoupproto.MediaID, p mediasoupproto.Profile) {
	e.profiles <- profileEvent{id, p}
}

func (e *events) TransportClosed(id mediasoupproto.MediaID, _ error) { e.closed <- id }

func mediaID(peer mediasoupproto.PeerID, id uint32) mediasoupproto.MediaID {
	return mediasoupproto.MediaID{Peer: peer, ID: id}
}

// newTestRoom opens a room of an engine that ends with the test.
func newTestRoom(t *testing.T, opts *EngineOptions) (*Engine, *room, *events) {
	t.Helper()
	e, err := NewEngine(opts)
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	ev := newEvents()
	m, err := e.OpenRoom(context.Background(), "room", nil, ev)
	require.NoError(t, err)
	return e, m.(*room), ev
}

// A client is a transport seen from the other side: a full ICE agent, DTLS and SRTP.
type client struct {
	t     *testing.T
	room  *room
	id    mediasoupproto.MediaID
	agent *ice.Agent
	conn  *ice.Conn
	pipe  *dtlsConn
	dtls  *dtls.Conn
	rtp   chan *rtp.Packet
	rtcp  chan rtcp.Packet

	mu  sync.Mutex
	in  *srtp.Context
	out *srtp.Context
}

func newAgent(t *testing.T) *ice.Agent {
	t.Helper()
	agent, err := ice.NewAgentWithOptions(
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithIncludeLoopback(), ice.WithIPFilter(net.IP.IsLoopback),
	)
	require.NoError(t, err)
	require.NoError(t, agent.SetRemoteICELite(true))
	require.NoError(t, agent.OnCandidate(func(ice.Candidate) {}))
	return agent
}

func (c *client) remoteCandidates(list []mediasoupproto.ICECandidate) {
	for _, x := range list {
		candidate, err := ice.NewCandidateHost(&ice.CandidateHostConfig{
			Network: "udp", Address: x.IP, Port: int(x.Port), Component: 1,
			Priority: x.Priority, Foundation: x.Foundation,
		})
		require.NoError(c.t, err)
		require.NoError(c.t, c.agent.AddRemoteCandidate(candidate))
	}
}

// dial makes a transport and connects to it. The role is the client's; when late is set, the
// engine is told of it with UpdateTransport.
func dial(
	t *testing.T, r *room, peer mediasoupproto.PeerID, id uint32, role mediasoupproto.DTLSRole, late bool,
	options ...dtls.Option,
) *client {
	t.Helper()
	certificate, err := newCertificate()
	require.NoError(t, err)
	sum := sha256.Sum256(certificate.Certificate[0])
	parameters := &mediasoupproto.DTLSParameters{
		Role: role, Fingerprints: []mediasoupproto.Fingerprint{{Algorithm: "sha-256", Value: colonHex(sum[:])}},
	}
	c := &client{
		t: t, room: r, id: mediaID(peer, id), agent: newAgent(t),
		rtp: make(chan *rtp.Packet, 4096), rtcp: make(chan rtcp.Packet, 4096),
	}
	create := &mediasoupproto.CreateTransport{ID: id}
	if !late {
		create.DTLSParameters = parameters
	}
	result, err := r.CreateTransport(c.id, create)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()
	c.connectICE(ctx, result)
	if late {
		require.NoError(t, r.UpdateTransport(c.id, &mediasoupproto.UpdateTransport{ID: id, DTLSParameters: parameters}))
	}
	require.NoError(t, c.handshake(ctx, append(dtlsOptions(*certificate), options...), role))
	return c
}

// connectICE finds the way to the engine.
func (c *client) connectICE(ctx context.Context, result *mediasoupproto.CreateTransportResult) {
	c.t.Helper()
	c.remoteCandidates(result.ICECandidates)
	require.NoError(c.t, c.agent.GatherCandidates())
	var err error
	c.conn, err = c.agent.Dial(ctx, result.ICEParameters.UsernameFragment, result.ICEParameters.Password)
	require.NoError(c.t, err)
	c.pipe = newDTLSConn(func(b []byte) { c.conn.Write(b) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read()
	}()
	c.t.Cleanup(func() { c.close(ended) })
}

func dtlsOptions(certificate tls.Certificate) []dtls.Option {
	return []dtls.Option{
		dtls.WithCertificates(certificate), dtls.WithInsecureSkipVerify(true),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_128_GCM),
	}
}

func (c *client) handshake(ctx context.Context, options []dtls.Option, role mediasoupproto.DTLSRole) error {
	var err error
	if role == mediasoupproto.DTLSRoleClient {
		o := make([]dtls.ClientOption, len(options))
		for i := range options {
			o[i] = options[i]
		}
		c.dtls, err = dtls.ClientWithOptions(c.pipe, dtlsAddr{}, o...)
	} else {
		o := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
		for i := range options {
			o = append(o, options[i])
		}
		c.dtls, err = dtls.ServerWithOptions(c.pipe, dtlsAddr{}, o...)
	}
	if err != nil {
		return err
	}
	if err := c.dtls.HandshakeContext(ctx); err != nil {
		return err
	}
	session := &dtlsSession{server: role != mediasoupproto.DTLSRoleClient}
	in, out, err := session.keys(c.dtls)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in, c.out = in, out
	return err
}

func (c *client) close(ended chan struct{}) {
	if c.dtls != nil {
		c.dtls.Close()
	}
	c.agent.GracefulClose()
	c.pipe.Close()
	<-ended
}

func (c *client) read() {
	for {
		b := make([]byte, maxPacket)
		n, err := c.conn.Read(b)
		if err != nil {
			return
		}
		b = b[:n]
		if b[0] < 128 {
			c.pipe.put(b)
			continue
		}
		c.mu.Lock()
		c.take(b)
		c.mu.Unlock()
	}
}

func (c *client) take(b []byte) {
	if c.in == nil {
		return
	}
	if b[1] >= 192 && b[1] < 224 {
		plain, err := c.in.DecryptRTCP(nil, b, nil)
		if err != nil {
			c.t.Errorf("RTCP of the engine: %v", err)
			return
		}
		packets, err := rtcp.Unmarshal(plain)
		if err != nil {
			c.t.Errorf("RTCP of the engine: %v", err)
		}
		for _, p := range packets {
			c.rtcp <- p
		}
		return
	}
	plain, err := c.in.DecryptRTP(nil, b, nil)
	p := new(rtp.Packet)
	if err != nil || p.Unmarshal(plain) != nil {
		c.t.Errorf("RTP of the engine: %v", err)
		return
	}
	c.rtp <- p
}

// sendRTP sends a packet. It does nothing before the handshake is over on the other side.
func (c *client) sendRTP(p *rtp.Packet) {
	b, err := p.Marshal()
	if err == nil {
		c.mu.Lock()
		b, err = c.out.EncryptRTP(nil, b, nil)
		c.mu.Unlock()
	}
	if err == nil {
		_, err = c.conn.Write(b)
	}
	if err != nil {
		c.t.Errorf("sending: %v", err)
	}
}

func (c *client) sendRTCP(packets ...rtcp.Packet) {
	b, err := rtcp.Marshal(packets)
	if err == nil {
		c.mu.Lock()
		b, err = c.out.EncryptRTCP(nil, b, nil)
		c.mu.Unlock()
	}
	if err == nil {
		_, err = c.conn.Write(b)
	}
	if err != nil {
		c.t.Errorf("sending: %v", err)
	}
}

// A pump sends the packets of next, one every few ms, until the test or stop ends it.
func (c *client) pump(next func() *rtp.Packet) (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				c.sendRTP(next())
			}
		}
	})
	stop = func() { cancel(); group.Wait() }
	c.t.Cleanup(stop)
	return stop
}

// await returns the first of what comes that is wanted.
func await[T any](t *testing.T, from <-chan T, what string, wanted func(T) bool) T {
	t.Helper()
	limit := time.NewTimer(waitTime)
	defer limit.Stop()
	for {
		select {
		case v := <-from:
			if wanted == nil || wanted(v) {
				return v
			}
		case <-limit.C:
			require.Fail(t, "nothing came", what)
		}
	}
}

func ofSSRC(ssrc uint32) func(*rtp.Packet) bool {
	return func(p *rtp.Packet) bool { return p.SSRC == ssrc }
}

func isPLI(p rtcp.Packet) bool { _, ok := p.(*rtcp.PictureLossIndication); return ok }

// A lossyConn loses some of the media that go through a socket, both ways.
type lossyConn struct {
	net.PacketConn
	mu   sync.Mutex
	rand *rand.Rand
}

func listenLossy(network, address string) (net.PacketConn, error) {
	conn, err := net.ListenPacket(network, address)
	return &lossyConn{PacketConn: conn, rand: rand.New(rand.NewPCG(1, 2))}, err
}

func (c *lossyConn) loses(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(b) > 0 && b[0] >= 128 && c.rand.IntN(100) < 5
}

func (c *lossyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || !c.loses(b[:n]) {
			return n, from, err
		}
	}
}

func (c *lossyConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.loses(b) {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// The parameters that the tests send with: as those of Chromium, with other payload types than
// the room's.
const (
	audioSSRC, videoSSRC, videoRTX    = 1111, 2222, 3333
	audioOut, videoOut, videoOutRTX   = 51111, 52222, 53333
	roomAudio, roomVideo, roomRTX     = 100, 101, 102
	clientAudio, clientVideo, cRTX    = 111, 96, 97
	clientLevel, clientTime, clientMD = 1, 3, 4
	roomLevel, roomTime               = 1, 5
)

func aptOf(n string) mediasoupproto.Fields {
	return mediasoupproto.Fields{"apt": []byte(n)}
}

func videoProducer(transport mediasoupproto.MediaID) *mediasoupproto.MediaProducer {
	feedback := []mediasoupproto.RTCPFeedback{
		{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"},
	}
	return &mediasoupproto.MediaProducer{
		Transport: transport, Kind: mediasoupproto.Video,
		RTPParameters: &mediasoupproto.RTPParameters{
			MuxID: "1",
			Codecs: []mediasoupproto.CodecParameters{
				{
					Name: "VP8", MimeType: "video/VP8", ClockRate: 90000, PayloadType: new(uint8(clientVideo)),
					RTCPFeedback: feedback,
				},
				{
					Name: "rtx", MimeType: "video/rtx", ClockRate: 90000, PayloadType: new(uint8(cRTX)), Parameters: aptOf("96"),
				},
			},
			HeaderExtensions: []mediasoupproto.HeaderExtension{
				{URI: mediasoupproto.ExtensionAbsSendTime, ID: clientTime},
				{URI: mediasoupproto.ExtensionMID, ID: clientMD},
			},
			Encodings: []mediasoupproto.Encoding{{SSRC: videoSSRC, RTX: &mediasoupproto.RTX{SSRC: videoRTX}}},
		},
		Mapping: &mediasoupproto.RTPMapping{
			PayloadTypes:     map[uint8]uint8{clientVideo: roomVideo, cRTX: roomRTX},
			HeaderExtensions: map[uint8]uint8{clientTime: roomTime, clientMD: 9},
		},
	}
}

func audioProducer(transport mediasoupproto.MediaID) *mediasoupproto.MediaProducer {
	return &mediasoupproto.MediaProducer{
		Transport: transport, Kind: mediasoupproto.Audio,
		RTPParameters: &mediasoupproto.RTPParameters{
			MuxID: "0",
			Codecs: []mediasoupproto.CodecParameters{
				{Name: "opus", MimeType: "audio/opus", ClockRate: 48000, Channels: 2, PayloadType: new(uint8(clientAudio))},
			},
			HeaderExtensions: []mediasoupproto.HeaderExtension{
				{URI: mediasoupproto.ExtensionAudioLevel, ID: clientLevel},
			},
			Encodings: []mediasoupproto.Encoding{{SSRC: audioSSRC}},
		},
		Mapping: &mediasoupproto.RTPMapping{
			PayloadTypes:     map[uint8]uint8{clientAudio: roomAudio},
			HeaderExtensions: map[uint8]uint8{clientLevel: roomLevel},
		},
	}
}

func videoConsumer(transport, producer mediasoupproto.MediaID) *mediasoupproto.MediaConsumer {
	cname := "someone"
	return &mediasoupproto.MediaConsumer{
		Transport: transport, Producer: producer, Kind: mediasoupproto.Video,
		PreferredProfile: mediasoupproto.ProfileDefault,
		RTPParameters: &mediasoupproto.RTPParameters{
			Codecs: []mediasoupproto.CodecParameters{
				{Name: "VP8", MimeType: "video/VP8", ClockRate: 90000, PayloadType: new(uint8(roomVideo))},
				{Name: "rtx", MimeType: "video/rtx", ClockRate: 90000, PayloadType: new(uint8(roomRTX)), Parameters: aptOf("101")},
			},
			Encodings: []mediasoupproto.Encoding{{SSRC: videoOut, RTX: &mediasoupproto.RTX{SSRC: videoOutRTX}}},
			RTCP:      &mediasoupproto.RTCPParameters{CNAME: &cname},
		},
	}
}

func audioConsumer(transport, producer mediasoupproto.MediaID) *mediasoupproto.MediaConsumer {
	return &mediasoupproto.MediaConsumer{
		Transport: transport, Producer: producer, Kind: mediasoupproto.Audio,
		PreferredProfile: mediasoupproto.ProfileDefault,
		RTPParameters: &mediasoupproto.RTPParameters{
			Codecs: []mediasoupproto.CodecParameters{
				{Name: "opus", MimeType: "audio/opus", ClockRate: 48000, Channels: 2, PayloadType: new(uint8(roomAudio))},
			},
			Encodings: []mediasoupproto.Encoding{{SSRC: audioOut}},
		},
	}
}

// A source makes packets. Every key of them is a key frame.
type source struct {
	mu      sync.Mutex
	ssrc    uint32
	payload uint8
	video   bool
	every   int
	n       int
	sent    []*rtp.Packet
}

func (s *source) next() *rtp.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &rtp.Packet{
		Header: rtp.Header{
			Version: 2, SSRC: s.ssrc, PayloadType: s.payload, SequenceNumber: uint16(65500 + s.n),
			Timestamp: 4_294_960_000 + uint32(900*s.n), Marker: true,
		},
		Payload: []byte{byte(s.n), byte(s.n >> 8)},
	}
	if s.video {
		first := byte(1)
		if s.n%s.every == 0 {
			first = 0
		}
		p.Payload = slices.Concat([]byte{0x10, first}, p.Payload, make([]byte, 800))
		p.SetExtension(clientTime, []byte{1, 2, 3})
		p.SetExtension(clientMD, []byte("1"))
	} else {
		p.SetExtension(clientLevel, []byte{0x85})
	}
	s.n++
	s.sent = append(s.sent, p)
	return p
}

// missed returns a packet that was sent before.
func (s *source) missed(seq uint16) *rtp.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.sent {
		if p.SequenceNumber == seq {
			return p
		}
	}
	return nil
}

// number is the one that the source gave to a packet.
func number(p *rtp.Packet) int {
	b := p.Payload
	if len(b) > 2 {
		b = b[2:]
	}
	return int(b[0]) | int(b[1])<<8
}

const (
	aliceID mediasoupproto.PeerID = iota + 1
	bobID
	daveID mediasoupproto.PeerID = 9
)
