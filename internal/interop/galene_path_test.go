package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// An encoding is one of several of a track. Its packets say which one they are of, which
// Pion's tracks leave to their users.
type encoding struct {
	*webrtc.TrackLocalStaticRTP
	largest int // bytes of a frame that are sent; enough for those who only forward it

	header    atomic.Pointer[[]byte] // the header extension of all packets; nil before it is known
	sequence  uint16
	timestamp uint32
}

// lowFrame is what the low encoding has of a frame.
const lowFrame = 60

func newEncoding(t *testing.T, rid string, largest int) *encoding {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticRTP(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "clip", webrtc.WithRTPStreamID(rid))
	require.NoError(t, err)
	return &encoding{TrackLocalStaticRTP: track, largest: largest}
}

// name begins the sending: the mid and the rid are known once there is an answer.
func (e *encoding) name(t *testing.T, pc *webrtc.PeerConnection) {
	t.Helper()
	var header []byte
	for uri, value := range map[string]string{
		"urn:ietf:params:rtp-hdrext:sdes:mid":           pc.GetTransceivers()[0].Mid(),
		"urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id": e.RID(),
	} {
		for _, extension := range pc.GetTransceivers()[0].Sender().GetParameters().HeaderExtensions {
			if extension.URI == uri {
				header = append(header, byte(extension.ID)<<4|byte(len(value)-1))
				header = append(header, value...)
			}
		}
	}
	require.NotEmpty(t, header)
	for len(header)%4 != 0 {
		header = append(header, 0)
	}
	header = append([]byte{0xbe, 0xde, 0, byte(len(header) / 4)}, header...) // RFC 8285
	e.header.Store(&header)
}

// WriteSample sends a frame in packets: RFC 3550, section 5.1, and RFC 7741, section 4.2.
func (e *encoding) WriteSample(s media.Sample) error {
	header := e.header.Load()
	if header == nil {
		return nil
	}
	const most = 1000
	e.timestamp += uint32(s.Duration.Seconds() * 90_000)
	descriptor := byte(0x10) // the frame begins
	for frame := s.Data[:min(len(s.Data), e.largest)]; len(frame) > 0; descriptor = 0 {
		part := frame[:min(len(frame), most)]
		frame = frame[len(part):]
		packet := []byte{0x90, 0, byte(e.sequence >> 8), byte(e.sequence)}
		if len(frame) == 0 {
			packet[1] = 0x80 // and ends
		}
		e.sequence++
		packet = binary.BigEndian.AppendUint32(packet, e.timestamp)
		packet = append(packet, 0, 0, 0, 0) // the source, which Pion fills in
		packet = append(append(append(packet, *header...), descriptor), part...)
		if _, err := e.Write(packet); err != nil {
			return err
		}
	}
	return nil
}

func TestGaleneReceiverChoosesAnEncoding(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
		require.NoError(t, bob.Request(map[string][]galene.TrackKind{"": {galene.TrackVideo}}))
		high, low := newEncoding(t, "h", 1<<20), newEncoding(t, "l", lowFrame)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = clip.Play(ctx, both{high, low}, nil)
		}()
		defer func() {
			cancel()
			<-done
		}()
		pub := alice.publish("camera", high.TrackLocalStaticRTP, low.TrackLocalStaticRTP)
		high.name(t, pub.PeerConnection())
		low.name(t, pub.PeerConnection())
		stream := bob.stream(pub.ID())
		gets := func(low bool) {
			t.Helper()
			eventually(t, "the other encoding", func() bool {
				flows, _ := bob.flows.from(0)
				f := flows[len(flows)-1] // a change of the encoding may bring a new track
				packets, bytes := f.packets.Load(), f.bytes.Load()
				return moving(t, f) && low == ((f.bytes.Load()-bytes)/(f.packets.Load()-packets) < 2*lowFrame)
			})
		}
		bob.flow(pub.ID(), picture).runs(t)
		gets(false)
		require.NoError(t, stream.Request([]galene.TrackKind{galene.TrackVideoLow}))
		gets(true)
		require.NoError(t, stream.Request([]galene.TrackKind{galene.TrackVideo}))
		gets(false)
	})
}

func TestGaleneCodecThatTheGroupDoesNotAllowIsRefused(t *testing.T) {
	onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
		alice := s.bot(t, "test", "alice", nil)
		_, err := alice.Publish(bounded(t), nil, newTrack(t, webrtc.MimeTypeH264, "video"))
		t.Logf("a track of H.264: %v", err)
		require.ErrorIs(t, err, galenepion.ErrCodec)
		alice.publish("camera") // nothing else is hurt
	})
}

// A hole is a socket that can be made to swallow everything.
type hole struct {
	net.PacketConn
	dark atomic.Bool
}

func (h *hole) WriteTo(b []byte, addr net.Addr) (int, error) {
	if h.dark.Load() {
		return len(b), nil
	}
	return h.PacketConn.WriteTo(b, addr)
}

func (h *hole) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := h.PacketConn.ReadFrom(b)
		if err != nil || !h.dark.Load() {
			return n, addr, err
		}
	}
}

// TestGaleneMediaReturnAfterTheNetworkWasLost has the path of one side swallow everything,
// until that side restarts ICE.
func TestGaleneMediaReturnAfterTheNetworkWasLost(t *testing.T) {
	for _, lost := range []string{"sender", "receiver"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			onGaleneMedia(t, func(t *testing.T, s *galeneServer) {
				socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
				if s.real { // it has no candidates of loopback
					socket, err = net.ListenPacket("udp4", "0.0.0.0:0")
				}
				require.NoError(t, err)
				h := &hole{PacketConn: socket}
				mux := webrtc.NewICEUDPMux(nil, h)
				t.Cleanup(func() {
					_ = mux.Close()
					_ = socket.Close()
				})
				settings := s.settings()
				settings.SetICEUDPMux(mux)
				settings.SetICETimeouts(time.Second, 3*time.Second, 200*time.Millisecond)
				weak := &galenepion.Options{Settings: settings}
				var alice, bob *galeneBot
				if lost == "sender" {
					alice, bob = s.bot(t, "test", "alice", weak), s.bot(t, "test", "bob", nil)
				} else {
					alice, bob = s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", weak)
				}
				require.NoError(t, bob.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio}}))
				pub := alice.publish("camera")
				flow := bob.flow(pub.ID(), sound)
				flow.runs(t)
				pc := pub.PeerConnection()
				if lost == "receiver" {
					pc = bob.stream(pub.ID()).PeerConnection()
				}

				before := remoteUfrag(t, pc)
				h.dark.Store(true)
				eventually(t, "restart", func() bool { return remoteUfrag(t, pc) != before })
				h.dark.Store(false)
				flow.runs(t)
				eventually(t, "connection", func() bool { return pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected })
				require.NoError(t, pub.Err())
			})
		})
	}
}

// TestGaleneTwoMembersMeetWithoutARouter has our server relay the streams of two bots to each
// other.
func TestGaleneTwoMembersMeetWithoutARouter(t *testing.T) {
	t.Parallel()
	s := startOurGalene(t, galene.ServerOptions{})
	alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
	require.NoError(t, alice.Request(everything))
	require.NoError(t, bob.Request(everything))
	one, other := alice.publish("camera"), bob.publish("camera")
	for _, kind := range []webrtc.RTPCodecType{sound, picture} {
		bob.flow(one.ID(), kind).runs(t)
		alice.flow(other.ID(), kind).runs(t)
	}
	stream := alice.stream(other.ID())
	other.Unpublish()
	require.NoError(t, alice.gone(stream))

	third, err := alice.Publish(bounded(t), &galenepion.PublishOptions{Label: "camera", Replace: one}, clipTracks(t)...)
	require.NoError(t, err)
	require.NotNil(t, bob.stream(third.ID()).Replaces)
	bob.flow(third.ID(), picture).runs(t)

	id := bob.ID()
	bob.Close()
	expect(alice.galeneClient, "leaving", func(u *galene.User) bool { return u.Kind == galene.UserDelete && u.ID == id })
	carol := s.bot(t, "test", "carol", nil) // the next one to come
	require.NoError(t, carol.Request(everything))
	await(t, "picture", &carol.flows, func(f *galeneFlow) bool { return f.track.Kind() == picture }).runs(t)
}

// TestGaleneBotUsesTheRelayThatTheServerNames has the real server demand that all media go
// through its TURN server.
func TestGaleneBotUsesTheRelayThatTheServerNames(t *testing.T) {
	relay := fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t))
	s := startGaleneWith(t, nil, "-turn", relay, "-relay-only")
	alice, bob := s.bot(t, "test", "alice", nil), s.bot(t, "test", "bob", nil)
	c, err := alice.RTCConfiguration()
	require.NoError(t, err)
	require.Equal(t, "relay", c.ICETransportPolicy)
	require.NotEmpty(t, c.ICEServers)
	require.Contains(t, c.ICEServers[0].URLs[0], "turn:"+relay)
	require.NotEmpty(t, c.ICEServers[0].Credential)
	require.NoError(t, bob.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio}}))
	pub := alice.publish("camera")
	bob.flow(pub.ID(), sound).runs(t)
	sent := pub.PeerConnection().GetSenders()[0].Transport()
	received := bob.stream(pub.ID()).PeerConnection().GetReceivers()[0].Transport()
	for _, transport := range []*webrtc.DTLSTransport{sent, received} {
		pair, err := transport.ICETransport().GetSelectedCandidatePair()
		require.NoError(t, err)
		require.Equal(t, webrtc.ICECandidateTypeRelay, pair.Local.Typ)
	}
}
