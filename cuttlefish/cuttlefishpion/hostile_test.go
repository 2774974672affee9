package cuttlefishpion_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

const requestOffer = `{"type":"request-offer"}`

// answerOfNobody has all that Pion looks for, but no address.
const answerOfNobody = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" +
	"c=IN IP4 0.0.0.0\r\na=setup:active\r\na=mid:0\r\na=sctp-port:5000\r\na=ice-ufrag:aaaa\r\na=ice-pwd:bbbbbbbbbbbbbbbbbbbbbbbb\r\n" +
	"a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n"

// payload encodes a payload for Forward.
func payload(t *testing.T, p cuttlefish.Payload) string {
	t.Helper()
	b, err := cuttlefish.EncodePayload(p)
	require.NoError(t, err)
	return string(b)
}

func TestBadPayloadCostsItsSenderThePeerConnectionAndNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{
		Tracks:        []webrtc.TrackLocal{display(t, 0)},
		MaxPeers:      100,
		Configuration: func(s []webrtc.ICEServer) webrtc.Configuration { return webrtc.Configuration{ICEServers: s} },
	})
	good := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	good.awaitTrack("display_0")
	good.awaitEcho("hello on adb-channel")

	const sdp = `v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n`
	for i, bad := range []string{
		`null`, `[]`, `0`, `"offer"`, `true`, `{}`,
		`{"type":1}`, `{"type":null}`, `{"type":""}`, `{"Type":"request-offer"}`, `{"type":"foo"}`,
		`{"type":"adb-message","payload":"x"}`,
		`{"type":"offer"}`, `{"type":"offer","sdp":""}`, `{"type":"offer","sdp":1}`, `{"type":"offer","sdp":"x"}`,
		`{"type":"offer","sdp":"` + sdp + `"}`,
		`{"type":"offer","sdp":"` + sdp + `m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\n"}`,
		`{"type":"answer"}`, `{"type":"answer","sdp":null}`, `{"type":"answer","sdp":"` + strings.Repeat("m=", 100) + `"}`,
		`{"type":"answer","sdp":"` + sdp + `m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n"}`,
		`{"type":"ice-candidate"}`, `{"type":"ice-candidate","candidate":null}`, `{"type":"ice-candidate","candidate":{}}`,
		`{"type":"ice-candidate","candidate":{"candidate":"","sdpMid":"0","sdpMLineIndex":0}}`,
		`{"type":"ice-candidate","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMLineIndex":0}}`,
		`{"type":"ice-candidate","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMid":"0"}}`,
		`{"type":"ice-candidate","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMid":"0","sdpMLineIndex":-1}}`,
		`{"type":"ice-candidate","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMid":0,"sdpMLineIndex":0}}`,
		`{"type":"ice-candidate","candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","mid":"0","mLineIndex":0}`,
		`{"type":"request-offer","ice_servers":{}}`, `{"type":"request-offer","ice_servers":[{"urls":"stun:x"}]}`,
		`{"type":"request-offer","ice_servers":[{"urls":["http://example.org"]}]}`,
		`{"type":"request-offer","ice_servers":[{"urls":["turn:example.org"]}]}`,
		`{"type":"request-offer","ice_servers":[` + strings.Repeat(`{"urls":["stun:example.org"]},`, 16) + `{"urls":["stun:example.org"]}]}`,
	} {
		c := w.newRawClient()
		c.forward(bad)
		require.NotEmpty(t, awaitPayload[*cuttlefish.PayloadError](c).Text, "before an offer: %s", bad)

		c.forward(requestOffer)
		awaitPayload[*cuttlefish.Offer](c)
		c.forward(bad)
		require.NotEmpty(t, awaitPayload[*cuttlefish.PayloadError](c).Text, "after an offer: %s", bad)
		if strings.Contains(bad, "request-offer") && !strings.Contains(bad, "Type") {
			continue // the end of the one before is none of its fault
		}
		require.Error(t, d.awaitState(2+i, webrtc.PeerConnectionStateClosed).err, "%s", bad)
	}
	require.NoError(t, good.Channel(cuttlefish.LabelADB).SendText("still here"))
	good.awaitEcho("still here")
	require.Len(t, d.Peers(), 1)
}

// A candidate that cannot be parsed is noticed only after the answer, for which it waits.
func TestUnusableCandidateEndsTheConnectedPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
	c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	c.awaitEcho("hello on adb-channel")
	require.NoError(t, c.signaling.Forward(json.RawMessage(`{"type":"ice-candidate","candidate":{"candidate":"x","sdpMid":"0","sdpMLineIndex":0}}`)))
	require.Error(t, d.awaitState(1, webrtc.PeerConnectionStateClosed).err)
	require.Error(t, heard.Next(t, "end of Run", c.ran))
}

func TestErrorIsNotAnsweredWithAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
	c := w.newRawClient()
	c.forward(`{"type":"error","error":"too early"}`)
	c.forward(requestOffer)
	require.IsType(t, &cuttlefish.Offer{}, c.next())
	c.forward(`{"type":"error","error":"no thanks"}`)
	require.EqualError(t, d.awaitState(1, webrtc.PeerConnectionStateClosed).err, "cuttlefish: other side says: no thanks")
	c.forward(requestOffer)
	for {
		switch p := c.next().(type) {
		case *cuttlefish.Offer:
			return
		case *cuttlefish.DeviceCandidate: // of the first peer connection
		default:
			require.Fail(t, "unexpected payload", "%T", p)
		}
	}
}

func TestDeviceKeepsItsLimits(t *testing.T) {
	t.Parallel()
	t.Run("peer connections", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{MaxPeers: 1})
		one, two := w.newRawClient(), w.newRawClient()
		one.forward(requestOffer)
		awaitPayload[*cuttlefish.Offer](one)
		two.forward(requestOffer)
		require.Equal(t, cuttlefishpion.ErrTooManyPeers.Error(), awaitPayload[*cuttlefish.PayloadError](two).Text)
		one.forward(requestOffer)
		awaitPayload[*cuttlefish.Offer](one)
		require.NoError(t, one.Close())
		d.awaitState(1, webrtc.PeerConnectionStateClosed)
		d.awaitState(1, webrtc.PeerConnectionStateClosed)
	})
	t.Run("pending candidates", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{MaxPending: 4})
		c := w.newRawClient()
		c.forward(requestOffer)
		for i := range 10 {
			c.forward(fmt.Sprintf(`{"type":"ice-candidate","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 %d typ host","sdpMid":"0","sdpMLineIndex":0}}`, i+1))
		}
		awaitPayload[*cuttlefish.PayloadError](c)
		require.ErrorContains(t, d.awaitState(1, webrtc.PeerConnectionStateClosed).err, "too much pending")
	})
	t.Run("time", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{ConnectTimeout: time.Second})
		for i, answer := range []string{"", answerOfNobody} {
			c := w.newRawClient()
			c.forward(requestOffer)
			awaitPayload[*cuttlefish.Offer](c)
			if answer != "" {
				c.forward(payload(t, &cuttlefish.Answer{SDP: answer}))
			}
			require.Equal(t, cuttlefishpion.ErrConnectTimeout.Error(), awaitPayload[*cuttlefish.PayloadError](c).Text)
			require.ErrorIs(t, d.awaitState(i+1, webrtc.PeerConnectionStateClosed).err, cuttlefishpion.ErrConnectTimeout)
		}
	})
	t.Run("data channels", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{MaxChannels: 3})
		c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		c.awaitEcho("hello on adb-channel")
		pc := c.PeerConnection()
		_, err := pc.CreateDataChannel("third", nil)
		require.NoError(t, err)
		heard.Await(t, "third channel", d.labels, func(l string) bool { return l == "third" })
		_, err = pc.CreateDataChannel("fourth", nil)
		require.NoError(t, err)
		require.ErrorIs(t, d.awaitState(1, webrtc.PeerConnectionStateClosed).err, cuttlefishpion.ErrTooManyChannels)
	})
	t.Run("events that nobody takes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
		c := w.newRawClient()
		c.forward(requestOffer)
		awaitPayload[*cuttlefish.Offer](c)
		p := d.Peer(1)
		var err error
		for range 1000 {
			if err = p.SendEvent(&cuttlefish.ControlEvent{Event: cuttlefish.EventBootStarted}); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, cuttlefishpion.ErrSlowPeer)
		require.ErrorIs(t, d.awaitState(1, webrtc.PeerConnectionStateClosed).err, cuttlefishpion.ErrSlowPeer)
	})
}

func TestClientSurvivesWhatADeviceMustNotSend(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		`null`, `[]`, `{}`, `{"type":"request-offer"}`, `{"type":"offer"}`,
		`{"type":"ice-candidate","candidate":{"candidate":"x","sdpMid":"0","sdpMLineIndex":0}}`,
		`{"type":"ice-candidate","candidate":"x","mid":"0","mLineIndex":-1}`,
	} {
		t.Run(bad, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			signaling := w.signalDevice(nil)
			c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
			require.NoError(t, signaling.Forward(1, json.RawMessage(bad)))
			require.Error(t, heard.Next(t, "end of Run", c.ran))
			require.Error(t, c.Err())
			for m, err := range signaling.Messages(t.Context()) {
				require.NoError(t, err)
				if m, ok := m.(*cuttlefish.ClientMsg); ok && strings.Contains(string(m.Payload), `"error"`) {
					return
				}
			}
		})
	}
	t.Run("but not what changes nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
		c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
		c.awaitEcho("hello on adb-channel")
		for _, odd := range []string{
			`{"type":"adb-message","payload":"x"}`, `{"type":"answer","sdp":"x"}`, `{"type":"offer","sdp":"x"}`,
			`{"type":"ice-candidate","candidate":"x","mid":"0","mLineIndex":99999}`,
		} {
			require.NoError(t, d.signaling.Forward(1, json.RawMessage(odd)))
		}
		d.AddTrack(display(t, 0))
		c.awaitTrack("display_0")
		require.NoError(t, c.Err())
	})
}

func TestBadTextOnAControlChannelIsSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
	c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	c.awaitEcho("hello on adb-channel")
	own, err := c.PeerConnection().CreateDataChannel(cuttlefish.LabelInput, nil)
	require.NoError(t, err)
	own.OnOpen(func() {
		for _, text := range []string{``, `null`, `{`, `{"type":1}`, `{"type":"mouseMove","x":5,"y":6}`} {
			_ = own.SendText(text)
		}
	})
	require.Equal(t, &cuttlefish.MouseMove{X: 5, Y: 6}, heard.Next(t, "input", d.inputs))
}

// libhoclient answers with every media section rejected and without a=mid, has no name
// for the section of a candidate, and may send one before its answer.
func TestClientThatRejectsAllMediaGetsItsChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0), sound(t)}})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(loopback.Settings()), webrtc.WithMediaEngine(new(webrtc.MediaEngine))).
		NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pc.GracefulClose()) })
	echo := heard.New[string]()
	ch, err := pc.CreateDataChannel(cuttlefish.LabelADB, nil)
	require.NoError(t, err)
	ch.OnOpen(func() { _ = ch.SendText("hello") })
	ch.OnMessage(func(m webrtc.DataChannelMessage) { echo.Add(string(m.Data)) })

	c := w.newRawClient()
	c.forward(`{"type":"request-offer","ice_servers":[{"urls":["stun:127.0.0.1:9"],"credentialType":"password"}]}`)
	offer, ok := c.next().(*cuttlefish.Offer)
	require.True(t, ok, "the offer comes before any candidate")
	gathered := webrtc.GatheringCompletePromise(pc)
	require.NoError(t, pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP}))
	answer, err := pc.CreateAnswer(nil)
	require.NoError(t, err)
	require.NoError(t, pc.SetLocalDescription(answer))
	<-gathered
	answered := pc.LocalDescription().SDP
	rejected := strings.Split(answered, "m=")
	var bare strings.Builder
	bare.WriteString(rejected[0])
	var candidate string
	for _, section := range rejected[1:] {
		lines := strings.Split(section, "\r\n")
		for _, l := range lines {
			if l, ok := strings.CutPrefix(l, "a=candidate:"); ok {
				candidate = "candidate:" + l
			}
		}
		if strings.HasPrefix(section, "application") {
			bare.WriteString("m=" + strings.Join(withoutCandidates(lines), "\r\n"))
		} else {
			bare.WriteString("m=" + strings.Split(section, " ")[0] + " 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\n")
		}
	}
	require.NotEmpty(t, candidate)
	c.forward(`{"type":"ice-candidate","candidate":{"candidate":"` + candidate + `","sdpMid":"","sdpMLineIndex":0,"usernameFragment":null}}`)
	c.forward(payload(t, &cuttlefish.Answer{SDP: bare.String()}))
	d.awaitState(1, webrtc.PeerConnectionStateConnected)
	require.Equal(t, "hello", heard.Next(t, "echo", echo))
	d.AddTrack(display(t, 1))
	awaitPayload[*cuttlefish.Offer](c)
}

func withoutCandidates(lines []string) (kept []string) {
	for _, l := range lines {
		if !strings.HasPrefix(l, "a=candidate:") && l != "a=end-of-candidates" {
			kept = append(kept, l)
		}
	}
	return kept
}

// The shapes are those of Chromium, which hides its addresses behind names of mDNS.
func TestCandidatesOfBrowsersAreTaken(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]ice.MulticastDNSMode{
		"without mDNS": ice.MulticastDNSModeDisabled, "with mDNS": ice.MulticastDNSModeQueryOnly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := loopback.Settings()
			settings.SetICEMulticastDNSMode(mode)
			codecs := new(webrtc.MediaEngine)
			require.NoError(t, codecs.RegisterDefaultCodecs())
			w := newWorld(t)
			d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{
				API: webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(codecs)),
			})
			c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
			c.awaitEcho("hello on adb-channel")
			for _, candidate := range []string{
				"candidate:1 1 udp 2113937151 4d9f9e5c-8a43-4c4b-a1a5-0d2ae3f0c0c1.local 54321 typ host generation 0 network-cost 999",
				"candidate:2 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active generation 0 network-id 1",
				"candidate:3 1 udp 1677729535 127.0.0.1 9 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag none network-cost 999",
				"candidate:4 1 udp 2113939711 fe80::1 50000 typ host generation 0",
				"candidate:5 1 udp 1 nonsense.invalid 50000 typ host",
			} {
				require.NoError(t, c.signaling.SendPayload(&cuttlefish.ClientCandidate{Candidate: cuttlefish.ICECandidateInit{
					Candidate: candidate, SDPMid: new("0"), SDPMLineIndex: new(uint16(0)), UsernameFragment: new(""),
				}}))
			}
			d.AddTrack(display(t, 0))
			c.awaitTrack("display_0")
			require.NoError(t, d.Peer(1).Err())
		})
	}
}
