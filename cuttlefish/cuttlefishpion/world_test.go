package cuttlefishpion_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/transport"
)

const deviceID = "cvd-1"

// serverICE is what the server's config says. Nobody listens there.
var serverICE = []cuttlefish.ICEServer{{URLs: []string{"stun:127.0.0.1:9"}}}

// A world is a server to which devices and clients connect through pipes.
type world struct {
	t      *testing.T
	server *cuttlefish.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, cuttlefish.ServerConfig{})
}

func newWorldOf(t *testing.T, cfg cuttlefish.ServerConfig) *world {
	t.Helper()
	w := &world{t, cuttlefish.NewServer(&cuttlefish.ServerOptions{ServerConfig: cfg, ICEServers: serverICE})}
	t.Cleanup(func() { require.NoError(t, w.server.Close()) })
	return w
}

func (w *world) dial(serve func(context.Context, transport.Conn) error) transport.Conn {
	ours, theirs := transport.Pipe()
	go func() { _ = serve(context.Background(), theirs) }()
	return ours
}

// signalDevice registers a device; opts may be nil.
func (w *world) signalDevice(opts *cuttlefish.DeviceOptions) *cuttlefish.Device {
	w.t.Helper()
	d, err := cuttlefish.ConnectDevice(w.t.Context(), w.dial(w.server.ServeDevice), deviceID, opts)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, d.Close()) })
	return d
}

// signalClient connects a client; opts may be nil.
func (w *world) signalClient(opts *cuttlefish.ClientOptions) *cuttlefish.Client {
	w.t.Helper()
	c, err := cuttlefish.ConnectClient(w.t.Context(), w.dial(w.server.ServeClient), deviceID, opts)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, c.Close()) })
	return c
}

// A state is what an OnState hook has heard.
type state struct {
	client int
	state  webrtc.PeerConnectionState
	err    error
}

// A device is a running Device with a record of what its hooks heard.
type device struct {
	*cuttlefishpion.Device
	t         *testing.T
	signaling *cuttlefish.Device
	states    *heard.Record[state]
	controls  *heard.Record[cuttlefish.ControlCommand]
	inputs    *heard.Record[cuttlefish.InputEvent]
	tracks    *heard.Record[string]
	keyFrames *heard.Record[string]
	labels    *heard.Record[string]
}

// newDevice runs a device that echoes on every channel it does not know.
func (w *world) newDevice(signaling *cuttlefish.Device, opts cuttlefishpion.DeviceOptions) *device {
	w.t.Helper()
	d := &device{
		t:         w.t,
		signaling: signaling,
		states:    heard.New[state](),
		controls:  heard.New[cuttlefish.ControlCommand](),
		inputs:    heard.New[cuttlefish.InputEvent](),
		tracks:    heard.New[string](),
		keyFrames: heard.New[string](),
		labels:    heard.New[string](),
	}
	opts.Settings = loopback.Settings()
	if opts.Configuration == nil {
		opts.Configuration = withoutServers
	}
	opts.OnState = func(p *cuttlefishpion.DevicePeer, s webrtc.PeerConnectionState) {
		d.states.Add(state{p.ClientID(), s, p.Err()})
	}
	opts.OnControl = func(_ *cuttlefishpion.DevicePeer, c cuttlefish.ControlCommand) { d.controls.Add(c) }
	opts.OnInput = func(_ *cuttlefishpion.DevicePeer, e cuttlefish.InputEvent) { d.inputs.Add(e) }
	opts.OnTrack = func(_ *cuttlefishpion.DevicePeer, track *webrtc.TrackRemote) {
		drain(track, func() { d.tracks.Add(track.StreamID()) })
	}
	opts.OnKeyFrame = func(_ *cuttlefishpion.DevicePeer, track webrtc.TrackLocal) { d.keyFrames.Add(track.ID()) }
	opts.OnChannel = func(_ *cuttlefishpion.DevicePeer, ch *webrtc.DataChannel) {
		d.labels.Add(ch.Label())
		ch.OnMessage(func(m webrtc.DataChannelMessage) { _ = ch.Send(m.Data) })
	}
	d.Device = cuttlefishpion.NewDevice(signaling, &opts)
	run(w.t, d.Run)
	w.t.Cleanup(func() { require.NoError(w.t, d.Close()) })
	return d
}

func withoutServers([]webrtc.ICEServer) webrtc.Configuration { return webrtc.Configuration{} }

// run runs f until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
}

// A client is a running Client with a record of what its hooks heard.
type client struct {
	*cuttlefishpion.Client
	t         *testing.T
	signaling *cuttlefish.Client
	states    *heard.Record[webrtc.PeerConnectionState]
	events    *heard.Record[*cuttlefish.ControlEvent]
	tracks    *heard.Record[*webrtc.TrackRemote] // each once its first packet is there
	ended     *heard.Record[string]              // ids of the streams that ended
	echoes    *heard.Record[string]
	ran       *heard.Record[error] // what Run returned
}

// newClient runs a client that says hello on adb-channel.
func (w *world) newClient(signaling *cuttlefish.Client, opts cuttlefishpion.ClientOptions) *client {
	w.t.Helper()
	c := w.idleClient(signaling, opts)
	run(w.t, func(ctx context.Context) error {
		c.ran.Add(c.Run(ctx))
		return nil
	})
	return c
}

// idleClient returns a client that does not run.
func (w *world) idleClient(signaling *cuttlefish.Client, opts cuttlefishpion.ClientOptions) *client {
	w.t.Helper()
	c := &client{
		t:         w.t,
		signaling: signaling,
		states:    heard.New[webrtc.PeerConnectionState](),
		events:    heard.New[*cuttlefish.ControlEvent](),
		tracks:    heard.New[*webrtc.TrackRemote](),
		ended:     heard.New[string](),
		echoes:    heard.New[string](),
		ran:       heard.New[error](),
	}
	opts.Settings = loopback.Settings()
	if opts.Configuration == nil {
		opts.Configuration = withoutServers
	}
	opts.Labels = []string{cuttlefish.LabelInput, cuttlefish.LabelADB}
	opts.OnState = func(s webrtc.PeerConnectionState) { c.states.Add(s) }
	opts.OnEvent = func(e *cuttlefish.ControlEvent) { c.events.Add(e) }
	opts.OnTrack = func(track *webrtc.TrackRemote) {
		drain(track, func() { c.tracks.Add(track) })
		c.ended.Add(track.StreamID())
	}
	opts.OnChannel = func(ch *webrtc.DataChannel) {
		ch.OnOpen(func() { _ = ch.SendText("hello on " + ch.Label()) })
		ch.OnMessage(func(m webrtc.DataChannelMessage) { c.echoes.Add(string(m.Data)) })
	}
	c.Client = cuttlefishpion.NewClient(signaling, &opts)
	w.t.Cleanup(func() { require.NoError(w.t, c.Close()) })
	return c
}

// drain reads a track until it ends and calls first after the first packet.
func drain(track *webrtc.TrackRemote, first func()) {
	for n := 0; ; n++ {
		if _, _, err := track.ReadRTP(); err != nil {
			return
		}
		if n == 0 {
			first()
		}
	}
}

// feed makes a track and writes to it until the test ends.
func feed(t *testing.T, make func() (*webrtc.TrackLocalStaticSample, error)) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := make()
	require.NoError(t, err)
	run(t, func(ctx context.Context) error {
		const interval = 10 * time.Millisecond
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				_ = track.WriteSample(media.Sample{Data: []byte{1, 2, 3}, Duration: interval})
			}
		}
	})
	return track
}

func display(t *testing.T, n int) *webrtc.TrackLocalStaticSample {
	t.Helper()
	return feed(t, func() (*webrtc.TrackLocalStaticSample, error) {
		return cuttlefishpion.NewDisplayTrack(webrtc.MimeTypeVP8, n)
	})
}

func sound(t *testing.T) *webrtc.TrackLocalStaticSample {
	t.Helper()
	return feed(t, func() (*webrtc.TrackLocalStaticSample, error) {
		return cuttlefishpion.NewAudioTrack(webrtc.MimeTypeOpus)
	})
}

func microphone(t *testing.T) *webrtc.TrackLocalStaticSample {
	t.Helper()
	return feed(t, func() (*webrtc.TrackLocalStaticSample, error) {
		return webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", "mic")
	})
}

func (d *device) awaitState(client int, s webrtc.PeerConnectionState) state {
	d.t.Helper()
	return heard.Await(d.t, s.String(), d.states, func(got state) bool { return got.client == client && got.state == s })
}

func (c *client) awaitState(s webrtc.PeerConnectionState) {
	c.t.Helper()
	heard.Await(c.t, s.String(), c.states, func(got webrtc.PeerConnectionState) bool { return got == s })
}

func (c *client) awaitTrack(stream string) *webrtc.TrackRemote {
	c.t.Helper()
	return heard.Await(c.t, stream, c.tracks, func(track *webrtc.TrackRemote) bool {
		return track.StreamID() == stream && track.ID() == stream
	})
}

func (c *client) awaitEcho(text string) {
	c.t.Helper()
	heard.Await(c.t, "echo of "+text, c.echoes, func(got string) bool { return got == text })
}

func (c *client) awaitEvent(name cuttlefish.EventName) {
	c.t.Helper()
	heard.Await(c.t, string(name), c.events, func(e *cuttlefish.ControlEvent) bool { return e.Event == name })
}

// rawClient reads payloads without a peer connection behind it.
type rawClient struct {
	*cuttlefish.Client
	t *testing.T
}

func (w *world) newRawClient() rawClient { return rawClient{w.signalClient(nil), w.t} }

// next returns the next payload.
func (c rawClient) next() cuttlefish.Payload {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), heard.Patience)
	defer cancel()
	for {
		m, err := c.Next(ctx)
		require.NoError(c.t, err)
		if m, ok := m.(*cuttlefish.DeviceMsg); ok {
			p, err := cuttlefish.DecodePayload(m.Payload)
			require.NoError(c.t, err)
			return p
		}
	}
}

// awaitPayload skips payloads until one of type P comes.
func awaitPayload[P cuttlefish.Payload](c rawClient) P {
	c.t.Helper()
	for {
		if p, ok := c.next().(P); ok {
			return p
		}
	}
}

func (c rawClient) forward(payload string) {
	c.t.Helper()
	require.NoError(c.t, c.Forward(json.RawMessage(payload)))
}
