package mediasouppion

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

func TestAnEngineSaysWhereItListens(t *testing.T) {
	t.Parallel()
	loopback, loopback6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	listen := []ListenAddress{
		{IP: loopback}, {IP: loopback6}, {IP: loopback, Announced: netip.MustParseAddr("203.0.113.7")},
	}
	yes := true
	for name, test := range map[string]struct {
		options    *mediasoupproto.TransportOptions
		priorities []uint32
	}{
		"no preference": {nil, []uint32{1078862079, 1078862079, 1078862079}},
		"IPv4": {
			&mediasoupproto.TransportOptions{PreferIPv4: &yes},
			[]uint32{1081422079, 1078862079, 1081422079},
		},
		"IPv6 and UDP": {
			&mediasoupproto.TransportOptions{PreferIPv6: &yes, PreferUDP: &yes},
			[]uint32{1080142079, 1082702079, 1080142079},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, r, _ := newTestRoom(t, &EngineOptions{Listen: listen})
			result, err := r.CreateTransport(mediaID(1, 1), &mediasoupproto.CreateTransport{Options: test.options})
			require.NoError(t, err)
			var priorities []uint32
			var ips []string
			for _, c := range result.ICECandidates {
				priorities = append(priorities, c.Priority)
				ips = append(ips, c.Family+" "+c.IP)
				require.NotZero(t, c.Port)
				require.Equal(t, "udpcandidate host udp", c.Foundation+" "+c.Type+" "+c.Protocol)
			}
			require.Equal(t, test.priorities, priorities)
			require.Equal(t, []string{"ipv4 127.0.0.1", "ipv6 ::1", "ipv4 203.0.113.7"}, ips)
			require.Equal(t, e.Port(), result.ICECandidates[0].Port)
			require.True(t, result.ICEParameters.ICELite)
			require.Equal(t, mediasoupproto.DTLSRoleAuto, result.DTLSParameters.Role)
			require.Equal(t, "sha-256", result.DTLSParameters.Fingerprints[0].Algorithm)
			require.Regexp(t, `^([0-9A-F]{2}:){31}[0-9A-F]{2}$`, result.DTLSParameters.Fingerprints[0].Value)
		})
	}
}

func TestAnEngineThatCannotListenIsNone(t *testing.T) {
	t.Parallel()
	refuse := errors.New("refused")
	opened := new(atomic.Int32)
	certificate, err := newCertificate()
	require.NoError(t, err)
	certificate.PrivateKey = nil
	loopback := netip.MustParseAddr("127.0.0.1")
	for name, opts := range map[string]EngineOptions{
		"no address":        {Listen: []ListenAddress{{}}},
		"any address":       {Listen: []ListenAddress{{IP: netip.IPv4Unspecified()}}},
		"ports in disorder": {PortMin: 2, PortMax: 1},
		"a last port only":  {PortMax: 1},
		"no key":            {Certificate: certificate},
		"a foreign address": {Listen: []ListenAddress{{IP: loopback}, {IP: netip.MustParseAddr("192.0.2.1")}}},
		"a socket of no UDP": {ListenPacket: func(string, string) (net.PacketConn, error) {
			return net.ListenPacket("unixgram", "")
		}},
		"the second one": {
			Listen: []ListenAddress{{IP: loopback}, {IP: loopback}},
			ListenPacket: func(network, address string) (net.PacketConn, error) {
				if opened.Add(1) > 1 {
					return nil, refuse
				}
				return net.ListenPacket(network, address)
			},
		},
	} {
		e, err := NewEngine(&opts)
		require.Error(t, err, name)
		require.Nil(t, e, name)
	}
}

func TestATransportWithoutAPortIsRefused(t *testing.T) {
	t.Parallel()
	no := false
	_, r, _ := newTestRoom(t, nil)
	_, err := r.CreateTransport(mediaID(1, 1), &mediasoupproto.CreateTransport{
		Options: &mediasoupproto.TransportOptions{UDP: &no},
	})
	require.ErrorIs(t, err, mediasoupproto.ErrNoPort)
	_, err = r.CreateTransport(mediaID(1, 1), &mediasoupproto.CreateTransport{
		PlainRTPParameters: &mediasoupproto.PlainRTPParameters{IP: "192.0.2.1", Port: 9},
	})
	require.ErrorIs(t, err, mediasoupproto.ErrPlainRTP)
	require.ErrorIs(t, r.UpdateTransport(mediaID(1, 1), &mediasoupproto.UpdateTransport{}), errUnknown)

	_, r, _ = newTestRoom(t, &EngineOptions{PortMin: 41000, PortMax: 41001})
	for id := uint32(1); ; id++ {
		_, err = r.CreateTransport(mediaID(1, id), &mediasoupproto.CreateTransport{})
		if err != nil {
			require.ErrorIs(t, err, mediasoupproto.ErrNoPort)
			require.LessOrEqual(t, id, uint32(3))
			break
		}
	}
}

func TestAnEngineOpensNoRoomAfterItsEnd(t *testing.T) {
	t.Parallel()
	e, r, _ := newTestRoom(t, nil)
	_, err := r.CreateTransport(mediaID(1, 1), &mediasoupproto.CreateTransport{})
	require.NoError(t, err)
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	_, err = e.OpenRoom(t.Context(), "room", nil, newEvents())
	require.ErrorIs(t, err, ErrEngineClosed)
	_, err = r.CreateTransport(mediaID(1, 2), &mediasoupproto.CreateTransport{})
	require.ErrorIs(t, err, errRoomClosed)
}

func TestTheLastKnownFingerprintCounts(t *testing.T) {
	t.Parallel()
	_, r, _ := newTestRoom(t, nil)
	print := func(algorithm, value string) mediasoupproto.Fingerprint {
		return mediasoupproto.Fingerprint{Algorithm: algorithm, Value: value}
	}
	for name, test := range map[string]struct {
		all  []mediasoupproto.Fingerprint
		want string
	}{
		"one":          {[]mediasoupproto.Fingerprint{print("sha-256", "A")}, "A"},
		"several":      {[]mediasoupproto.Fingerprint{print("sha-512", "A"), print("sha-256", "B")}, "B"},
		"unknown last": {[]mediasoupproto.Fingerprint{print("sha-384", "A"), print("sha-3", "B")}, "A"},
		"weak last":    {[]mediasoupproto.Fingerprint{print("sha-256", "A"), print("sha-1", "B")}, "A"},
		"weak only":    {[]mediasoupproto.Fingerprint{print("sha-1", "B")}, ""},
		"none":         {nil, ""},
	} {
		d := newTransport(t.Context(), r, mediaID(1, 1)).dtls
		err := d.expect(&mediasoupproto.DTLSParameters{Fingerprints: test.all})
		require.Equal(t, test.want, d.fingerprint.Value, name)
		require.Equal(t, test.want == "", err != nil, name)
		d.cancel()
	}
	require.False(t, matches(print("sha-256", ""), nil))
	require.False(t, matches(print("sha-1", "DA:39"), nil))
	require.True(t, matches(print("SHA-224",
		"d1:4a:02:8c:2a:3a:2b:c9:47:61:02:bb:28:82:34:c4:15:a2:b0:1f:82:8e:a6:2a:c5:b3:e4:2f"), nil), "in lower case")
}

func TestAnotherCertificateThanAnnouncedIsRefused(t *testing.T) {
	t.Parallel()
	for _, role := range []mediasoupproto.DTLSRole{mediasoupproto.DTLSRoleClient, mediasoupproto.DTLSRoleServer} {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			_, r, _ := newTestRoom(t, &EngineOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			c := &client{t: t, room: r, id: mediaID(1, 1), agent: newAgent(t)}
			certificate, err := newCertificate()
			require.NoError(t, err)
			result, err := r.CreateTransport(c.id, &mediasoupproto.CreateTransport{
				DTLSParameters: &mediasoupproto.DTLSParameters{
					Role: role, Fingerprints: r.engine.fingerprints, // somebody else's
				},
			})
			require.NoError(t, err)
			c.connectICE(t.Context(), result)
			err = c.handshake(t.Context(), dtlsOptions(*certificate), role)
			if role == mediasoupproto.DTLSRoleServer {
				require.Error(t, err)
			} else if err == nil {
				_, err = c.dtls.Read(make([]byte, 10)) // the alert
				require.Error(t, err)
			}
			<-r.transports[c.id].dtls.done
			require.Equal(t, "failed", r.transports[c.id].dtls.state())
			require.Nil(t, r.transports[c.id].in)
			require.Contains(t, log.String(), `msg="mediasouppion: no DTLS with a client" peer=1 transport=1`)
		})
	}
}

func TestAClientThatSaysGoodbyeGetsNoMore(t *testing.T) {
	t.Parallel()
	_, r, _ := newTestRoom(t, nil)
	c := dial(t, r, aliceID, 1, mediasoupproto.DTLSRoleClient, false)
	d := r.transports[c.id].dtls
	// The client has shaken hands a little earlier than the engine.
	require.Eventually(t, func() bool { return d.state() == "connected" }, waitTime, time.Millisecond)
	require.NoError(t, c.dtls.Close())
	<-d.done
	require.Equal(t, "closed", d.state())
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Nil(t, r.transports[c.id].out)
}

func TestMediaSurviveLosses(t *testing.T) {
	t.Parallel()
	alice, bob, _ := connect(t, &EngineOptions{ListenPacket: listenLossy})
	s := videoSource(50)
	video := enable(t, bob, 21, videoConsumer(bob.id, mediaID(aliceID, 11)))
	enable(t, bob, 20, audioConsumer(bob.id, mediaID(aliceID, 10)))
	alice.pump(audioSource().next)
	alice.pump(s.next)
	alice.answerNACKs(s)

	// Bob asks for what is missing, like a browser, until 300 packets are there without a gap.
	have := map[uint16]bool{}
	var first, next uint16
	for asked := 0; len(have) == 0 || next-first < 300; asked++ {
		p := await(t, bob.rtp, "video", func(p *rtp.Packet) bool { return p.SSRC == videoOut || p.SSRC == videoOutRTX })
		if p.SSRC == videoOutRTX {
			p = restored(p)
		}
		if len(have) == 0 {
			first, next = p.SequenceNumber, p.SequenceNumber
		}
		have[p.SequenceNumber] = true
		for have[next] {
			next++
		}
		if int16(p.SequenceNumber-next) > 0 && asked%5 == 0 {
			var missing []uint16
			for n := next; n != p.SequenceNumber && len(missing) < 20; n++ {
				if !have[n] {
					missing = append(missing, n)
				}
			}
			bob.sendRTCP(&rtcp.TransportLayerNack{
				MediaSSRC: videoOut, Nacks: rtcp.NackPairsFromSequenceNumbers(missing),
			})
		}
	}
	await(t, bob.rtp, "audio", ofSSRC(audioOut))
	r := bob.room
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Positive(t, r.consumers[video].resent)
	require.Positive(t, r.producers[mediaID(aliceID, 11)].streams[0].nacks)
	require.Positive(t, r.producers[mediaID(aliceID, 11)].streams[0].receiver.repaired)
}

// answerNACKs sends again what is asked for, as RTX.
func (c *client) answerNACKs(s *source) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(c.t.Context())
	go func() {
		defer close(done)
		seq := uint16(0)
		for {
			select {
			case <-ctx.Done():
				return
			case p := <-c.rtcp:
				n, ok := p.(*rtcp.TransportLayerNack)
				if !ok {
					continue
				}
				for _, pair := range n.Nacks {
					for _, lost := range pair.PacketList() {
						if p := s.missed(lost); p != nil {
							c.sendRTP(repeated(p, seq))
							seq++
						}
					}
				}
			}
		}
	}()
	c.t.Cleanup(func() { cancel(); <-done })
}

func TestMediaGoOnAfterARestartOfICE(t *testing.T) {
	t.Parallel()
	alice, bob, _ := connect(t, nil)
	enable(t, bob, 20, audioConsumer(bob.id, mediaID(aliceID, 10)))
	alice.pump(audioSource().next)
	await(t, bob.rtp, "audio", nil)
	for _, c := range []*client{alice, bob} {
		before := c.room.transports[c.id].path.Load()
		parameters, err := c.room.RestartTransport(c.id)
		require.NoError(t, err)
		remote, err := c.agent.GetRemoteCandidates()
		require.NoError(t, err)
		require.NoError(t, c.agent.Restart("", ""))
		require.NoError(t, c.agent.SetRemoteCredentials(parameters.UsernameFragment, parameters.Password))
		for _, x := range slices.Clone(remote) {
			require.NoError(t, c.agent.AddRemoteCandidate(x))
		}
		require.NoError(t, c.agent.GatherCandidates())
		p := await(t, bob.rtp, "audio", nil)
		await(t, bob.rtp, "audio over the new path", func(*rtp.Packet) bool {
			return *c.room.transports[c.id].path.Load() != *before
		})
		for range 20 {
			next := await(t, bob.rtp, "audio", nil)
			require.Equal(t, uint32(audioOut), next.SSRC)
			require.Positive(t, int16(next.SequenceNumber-p.SequenceNumber))
			p = next
		}
	}
}

func TestStatisticsSayWhatWent(t *testing.T) {
	t.Parallel()
	alice, bob, _ := connect(t, nil)
	r := bob.room
	producer := mediaID(aliceID, 11)
	stats, err := r.ProducerStats(producer)
	require.NoError(t, err)
	require.Empty(t, stats, "before the first packet")
	video := enable(t, bob, 21, videoConsumer(bob.id, producer))
	stats, err = r.ConsumerStats(video)
	require.NoError(t, err)
	require.Len(t, stats, 1)
	alice.pump(videoSource(10).next)
	await(t, bob.rtp, "video", nil)
	alice.sendRTCP(&rtcp.SenderReport{SSRC: videoSSRC, NTPTime: 1 << 32})
	for range 2 { // a bitrate is that between two reports
		await(t, alice.rtcp, "report", func(p rtcp.Packet) bool { _, ok := p.(*rtcp.ReceiverReport); return ok })
		await(t, bob.rtcp, "report", func(p rtcp.Packet) bool { _, ok := p.(*rtcp.SenderReport); return ok })
	}

	stats, err = r.ConsumerStats(video)
	require.NoError(t, err)
	streams, err := (&mediasoupproto.ConsumerStats{Stats: stats}).Streams()
	require.NoError(t, err)
	require.Len(t, streams, 2)
	in, out := streams[0], streams[1]
	require.Equal(t, mediasoupproto.StatsInboundRTP, in.Type)
	require.EqualValues(t, videoSSRC, in.SSRC)
	require.Equal(t, "video/VP8", in.MimeType)
	require.Positive(t, in.Bitrate)
	require.EqualValues(t, 1, in.TransportID)
	require.Equal(t, mediasoupproto.StatsOutboundRTP, out.Type)
	require.EqualValues(t, videoOut, out.SSRC)
	require.Equal(t, in.ID, out.InboundRTPID)
	require.Positive(t, out.PacketCount)
	require.Positive(t, out.Bitrate)
	require.GreaterOrEqual(t, out.ByteCount, 800*out.PacketCount)

	stats, err = r.TransportStats(bob.id)
	require.NoError(t, err)
	states, err := (&mediasoupproto.TransportStats{Stats: stats}).Transport()
	require.NoError(t, err)
	require.Len(t, states, 1)
	s := states[0]
	require.Equal(t, "connected", s.DTLSState)
	require.Contains(t, []string{"connected", "completed"}, s.ICEConnectionState)
	require.Greater(t, *s.BytesSent, 800*out.PacketCount)
	require.Positive(t, *s.BytesReceived)
	require.Equal(t, "127.0.0.1", s.ICESelectedTuple.LocalIP)
	require.Equal(t, "127.0.0.1", s.ICESelectedTuple.RemoteIP)
	require.Equal(t, r.engine.Port(), s.ICESelectedTuple.LocalPort)
}

// A brokenConn cannot be read.
type brokenConn struct{ net.PacketConn }

func (brokenConn) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, errors.New("broken") }

func TestABrokenSocketEndsItsTransports(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	_, r, ev := newTestRoom(t, &EngineOptions{
		PortMin: 40000, PortMax: 40999, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		ListenPacket: func(network, address string) (net.PacketConn, error) {
			conn, err := net.ListenPacket(network, address)
			return brokenConn{conn}, err
		},
	})
	_, err := r.CreateTransport(mediaID(1, 1), &mediasoupproto.CreateTransport{})
	require.NoError(t, err)
	require.Equal(t, mediaID(1, 1), await(t, ev.closed, "end", nil))
	require.Contains(t, log.String(), `msg="mediasouppion: a socket fails"`)
	r.CloseTransport(mediaID(1, 1))
}

func TestBothProtectionsAreSpoken(t *testing.T) {
	t.Parallel()
	for _, profile := range []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80} {
		for _, role := range []mediasoupproto.DTLSRole{mediasoupproto.DTLSRoleClient, mediasoupproto.DTLSRoleServer} {
			_, r, _ := newTestRoom(t, nil)
			c := dial(t, r, aliceID, 1, role, false, dtls.WithSRTPProtectionProfiles(profile))
			chosen, ok := c.dtls.SelectedSRTPProtectionProfile()
			require.True(t, ok)
			require.Equal(t, profile, chosen)
			require.NoError(t, r.CreateProducer(mediaID(aliceID, 10), audioProducer(c.id)))
			enable(t, c, 20, audioConsumer(c.id, mediaID(aliceID, 10)))
			c.pump(audioSource().next)
			await(t, c.rtp, "its own audio", ofSSRC(audioOut))
		}
	}
}
