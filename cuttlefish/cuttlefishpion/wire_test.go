package cuttlefishpion_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A tap is a connection that keeps what is written to it.
type tap struct {
	transport.Conn

	mu      sync.Mutex
	written [][]byte
}

func (c *tap) Write(typ transport.MessageType, msg []byte) error {
	c.mu.Lock()
	c.written = append(c.written, append([]byte(nil), msg...))
	c.mu.Unlock()
	return c.Conn.Write(typ, msg)
}

// payloads returns what was forwarded.
func (c *tap) payloads(t *testing.T) (all []cuttlefish.Payload) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, data := range c.written {
		m, err := cuttlefish.Decode(data)
		require.NoError(t, err)
		if f, ok := m.(*cuttlefish.Forward); ok {
			p, err := cuttlefish.DecodePayload(f.Payload)
			require.NoError(t, err)
			all = append(all, p)
		}
	}
	return all
}

// What the real device and the real Go client refuse must not be said: a candidate
// before its description, an empty one, one of the other side's shape, one without the
// section that it belongs to.
func TestWhatIsSaidIsWhatRealPeersTake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deviceTap, clientTap := &tap{Conn: w.dial(w.server.ServeDevice)}, &tap{Conn: w.dial(w.server.ServeClient)}
	signalingDevice, err := cuttlefish.ConnectDevice(t.Context(), deviceTap, deviceID, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, signalingDevice.Close()) })
	signalingClient, err := cuttlefish.ConnectClient(t.Context(), clientTap, deviceID, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, signalingClient.Close()) })

	d := w.newDevice(signalingDevice, cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0), sound(t)}})
	c := w.newClient(signalingClient, cuttlefishpion.ClientOptions{})
	c.AddTrack(microphone(t))
	c.awaitTrack("display_0")
	heard.Await(t, "microphone", d.tracks, func(id string) bool { return id == "mic" })
	pc := d.Peer(1).PeerConnection()
	require.Contains(t, pc.CurrentLocalDescription().SDP, "a=setup:passive", "the device stays the server of DTLS")

	said := deviceTap.payloads(t)
	require.IsType(t, &cuttlefish.Offer{}, said[0])
	require.Contains(t, said[0].(*cuttlefish.Offer).SDP, "m=application")
	require.Contains(t, said[0].(*cuttlefish.Offer).SDP, "msid:display_0 display_0")
	require.Contains(t, said[0].(*cuttlefish.Offer).SDP, "msid:audio-0 audio-0")
	for _, p := range said[1:] {
		switch p := p.(type) {
		case *cuttlefish.DeviceCandidate:
			require.NoError(t, p.Validate())
		default:
			require.IsType(t, &cuttlefish.Answer{}, p)
		}
	}
	said = clientTap.payloads(t)
	require.Equal(t, &cuttlefish.RequestOffer{ICEServers: serverICE}, said[0])
	require.IsType(t, &cuttlefish.Answer{}, said[1])
	for _, p := range said[2:] {
		switch p := p.(type) {
		case *cuttlefish.ClientCandidate:
			require.NoError(t, p.Validate())
		default:
			require.IsType(t, &cuttlefish.Offer{}, p)
		}
	}
}

func TestICEServersAreThoseOfTheConfigAndOfTheClient(t *testing.T) {
	t.Parallel()
	ofServer := webrtc.ICEServer{URLs: []string{"stun:127.0.0.1:9"}}
	ofClient := webrtc.ICEServer{URLs: []string{"turn:127.0.0.1:9"}, Username: "u", Credential: "p"}
	own := []cuttlefish.ICEServer{{URLs: ofClient.URLs, Username: "u", Credential: "p"}}
	for _, c := range []struct {
		name           string
		ignore         bool
		device, client []webrtc.ICEServer
	}{
		{"both", false, []webrtc.ICEServer{ofServer, ofServer, ofClient}, []webrtc.ICEServer{ofServer, ofClient}},
		{"without the client's", true, []webrtc.ICEServer{ofServer}, []webrtc.ICEServer{ofServer, ofClient}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			device, client := heard.New[[]webrtc.ICEServer](), heard.New[[]webrtc.ICEServer]()
			w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{
				IgnoreClientICEServers: c.ignore,
				Configuration: func(s []webrtc.ICEServer) webrtc.Configuration {
					device.Add(s)
					return webrtc.Configuration{}
				},
			})
			bot := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{
				ICEServers: own,
				Configuration: func(s []webrtc.ICEServer) webrtc.Configuration {
					client.Add(s)
					return webrtc.Configuration{}
				},
			})
			bot.awaitEcho("hello on adb-channel")
			require.Equal(t, [][]webrtc.ICEServer{c.device}, device.All())
			require.Equal(t, [][]webrtc.ICEServer{c.client}, client.All())
		})
	}
}

func TestLastEventOfEachNameIsSaidAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
	rotation := func(degrees string) *cuttlefish.ControlEvent {
		return &cuttlefish.ControlEvent{
			Event: cuttlefish.EventScreenChanged, Metadata: cuttlefish.Fields{"rotation": []byte(`"` + degrees + `"`)},
		}
	}
	started, completed := &cuttlefish.ControlEvent{Event: cuttlefish.EventBootStarted}, &cuttlefish.ControlEvent{Event: cuttlefish.EventBootCompleted}
	for _, e := range []*cuttlefish.ControlEvent{rotation("0"), started, rotation("90"), completed} {
		require.NoError(t, d.SendEvent(e))
	}
	require.Error(t, d.SendEvent(&cuttlefish.ControlEvent{}), "without a name")
	c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	for _, want := range []*cuttlefish.ControlEvent{started, rotation("90"), completed} {
		require.Equal(t, want, heard.Next(t, "event", c.events))
	}
}

// More than the buffer of the data channel holds must wait, in order.
func TestLargeEventsArriveInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{})
	c := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	c.awaitEcho("hello on adb-channel")
	const events = 100
	filler := json.RawMessage(`"` + strings.Repeat("x", 20_000) + `"`)
	for i := range events {
		require.NoError(t, d.SendEvent(&cuttlefish.ControlEvent{
			Event:    cuttlefish.EventLightsUpdate,
			Metadata: cuttlefish.Fields{"i": json.RawMessage(strconv.Itoa(i)), "filler": filler},
		}))
	}
	for i := range events {
		require.Equal(t, strconv.Itoa(i), string(heard.Next(t, "event", c.events).Metadata["i"]))
	}
}

func TestOnPeerGivesOneClientWhatOthersDoNotGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	private := display(t, 7)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{OnPeer: func(p *cuttlefishpion.DevicePeer) {
		if p.ClientID() == 1 {
			_ = p.AddTrack(private)
			_ = p.SendEvent(&cuttlefish.ControlEvent{Event: cuttlefish.EventCaptureImage})
		}
	}})
	one := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	one.awaitTrack("display_7")
	one.awaitEvent(cuttlefish.EventCaptureImage)
	two := w.newClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	two.awaitEcho("hello on adb-channel")
	require.Empty(t, d.Peer(2).PeerConnection().GetSenders())
	require.NoError(t, d.Peer(1).RemoveTrack(private))
	heard.Await(t, "end of display_7", one.ended, func(id string) bool { return id == "display_7" })
}

func TestApplicationsMayKeepTheirOwnLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signaling := w.signalDevice(nil)
	own := cuttlefishpion.NewDevice(signaling, nil)
	other := w.newRawClient()
	for _, m := range []cuttlefish.Message{&cuttlefish.Config{}, &cuttlefish.Error{Text: "x"}, &cuttlefish.Unknown{Type: "x"}} {
		handled, err := own.Handle(m)
		require.NoError(t, err)
		require.False(t, handled)
	}
	handled, err := own.Handle(&cuttlefish.ClientDisconnected{ClientID: 1})
	require.NoError(t, err)
	require.True(t, handled)
	handled, err = own.Handle(&cuttlefish.ClientMsg{ClientID: 1, Payload: []byte(`{"type":"answer","sdp":"x"}`)})
	require.ErrorIs(t, err, cuttlefishpion.ErrNoPeer)
	require.True(t, handled)
	require.Equal(t, &cuttlefish.PayloadError{Text: cuttlefishpion.ErrNoPeer.Error()}, other.next())
	require.NoError(t, own.Close())
	_, err = own.Handle(&cuttlefish.ClientMsg{ClientID: 1, Payload: []byte(requestOffer)})
	require.ErrorIs(t, err, cuttlefishpion.ErrClosed)

	c := w.idleClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	for _, m := range []cuttlefish.Message{
		&cuttlefish.Config{}, &cuttlefish.DeviceInfoMsg{}, &cuttlefish.DeviceMsg{Payload: []byte(`{"type":"adb-message"}`)},
	} {
		handled, err := c.Handle(m)
		require.NoError(t, err)
		require.False(t, handled)
	}
	require.ErrorIs(t, c.SendControl(&cuttlefish.RefreshDisplay{}), cuttlefishpion.ErrNoPeer)
	require.ErrorIs(t, c.RequestKeyFrame(nil), cuttlefishpion.ErrNoPeer)
	_, err = c.Handle(&cuttlefish.DeviceMsg{Payload: []byte(`{"type":"offer","sdp":"x"}`)})
	require.ErrorIs(t, err, cuttlefishpion.ErrNoPeer)
	require.NoError(t, c.Err(), "an offer that comes too late changes nothing")
	_, err = c.Handle(&cuttlefish.DeviceMsg{Payload: []byte(`{"type":"error","error":"late"}`)})
	require.ErrorContains(t, err, "late")
	require.ErrorContains(t, c.Err(), "late")
	require.NoError(t, c.RequestOffer())
	require.NoError(t, c.Err())
	require.Error(t, c.SendControl(&cuttlefish.AddDisplay{}), "that is not valid")
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.RequestOffer(), cuttlefishpion.ErrClosed)
}

func TestInputNeedsItsLabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signalDevice(nil)
	c := cuttlefishpion.NewClient(w.signalClient(nil), &cuttlefishpion.ClientOptions{Labels: []string{}, Configuration: withoutServers})
	require.NoError(t, c.RequestOffer())
	require.ErrorContains(t, c.SendInput(&cuttlefish.MouseMove{}), "not among the labels")
	require.NoError(t, c.Close())
}

func TestCloseEndsConnectionsThatAreBeingMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.newDevice(w.signalDevice(nil), cuttlefishpion.DeviceOptions{Tracks: []webrtc.TrackLocal{display(t, 0)}})
	c := w.idleClient(w.signalClient(nil), cuttlefishpion.ClientOptions{})
	c.AddTrack(microphone(t))
	run(t, c.Run)
	d.awaitState(1, webrtc.PeerConnectionStateConnecting)
	var closing sync.WaitGroup
	closing.Go(func() { _ = d.Close() })
	closing.Go(func() { _ = c.Close() })
	closing.Wait()
	require.Empty(t, d.Peers())
	require.Nil(t, c.PeerConnection())
	d.awaitState(1, webrtc.PeerConnectionStateClosed)
	c.awaitState(webrtc.PeerConnectionStateClosed)
	require.ErrorIs(t, d.Run(cancelled(t)), context.Canceled)
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
