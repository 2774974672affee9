package cuttlefishpion_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishpion"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/transport"
)

// patience is how long a test waits for an event before it fails.
const patience = 20 * time.Second

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
	states    *record[state]
	controls  *record[cuttlefish.ControlCommand]
	inputs    *record[cuttlefish.InputEvent]
	tracks    *record[string]
	keyFrames *record[string]
	labels    *record[string]
}

// newDevice runs a device that echoes on every channel it does not know.
func (w *world) newDevice(signaling *cuttlefish.Device, opts cuttlefishpion.DeviceOptions) *device {
	w.t.Helper()
	d := &device{
		t:         w.t,
		signaling: signaling,
		states:    newRecord[state](),
		controls:  newRecord[cuttlefish.ControlCommand](),
		inputs:    newRecord[cuttlefish.InputEvent](),
		tracks:    newRecord[string](),
		keyFrames: newRecord[string](),
		labels:    newRecord[string](),
	}
	opts.Settings = loopback.Settings()
	if opts.Configuration == nil {
		opts.Configuration = withoutServers
	}
	opts.OnState = func(p *cuttlefishpion.DevicePeer, s webrtc.PeerConnectionState) {
		d.states.add(state{p.ClientID(), s, p.Err()})
	}
	opts.OnControl = func(_ *cuttlefishpion.DevicePeer, c cuttlefish.ControlCommand) { d.controls.add(c) }
	opts.OnInput = func(_ *cuttlefishpion.DevicePeer, e cuttlefish.InputEvent) { d.inputs.add(e) }
	opts.OnTrack = func(_ *cuttlefishpion.DevicePeer, track *webrtc.TrackRemote) {
		drain(track, func() { d.tracks.add(track.StreamID()) })
	}
	opts.OnKeyFrame = func(_ *cuttlefishpion.DevicePeer, track webrtc.TrackLocal) { d.keyFrames.add(track.ID()) }
	opts.OnChannel = func(_ *cuttlefishpion.DevicePeer, ch *webrtc.DataChannel) {
		d.labels.add(ch.Label())
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
	states    *record[webrtc.PeerConnectionState]
	events    *record[*cuttlefish.ControlEvent]
	tracks    *record[*webrtc.TrackRemote] // each once its first packet is there
	ended     *record[string]              // ids of the streams that ended
	echoes    *record[string]
	ran       *record[error] // what Run returned
}

// newClient runs a client that says hello on adb-channel.
func (w *world) newClient(signaling *cuttlefish.Client, opts cuttlefishpion.ClientOptions) *client {
	w.t.Helper()
	c := w.idleClient(signaling, opts)
	run(w.t, func(ctx context.Context) error {
		c.ran.add(c.Run(ctx))
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
		states:    newRecord[webrtc.PeerConnectionState](),
		events:    newRecord[*cuttlefish.ControlEvent](),
		tracks:    newRecord[*webrtc.TrackRemote](),
		ended:     newRecord[string](),
		echoes:    newRecord[string](),
		ran:       newRecord[error](),
	}
	opts.Settings = loopback.Settings()
	if opts.Configuration == nil {
		opts.Configuration = withoutServers
	}
	opts.Labels = []string{cuttlefish.LabelInput, cuttlefish.LabelADB}
	opts.OnState = func(s webrtc.PeerConnectionState) { c.states.add(s) }
	opts.OnEvent = func(e *cuttlefish.ControlEvent) { c.events.add(e) }
	opts.OnTrack = func(track *webrtc.TrackRemote) {
		drain(track, func() { c.tracks.add(track) })
		c.ended.add(track.StreamID())
	}
	opts.OnChannel = func(ch *webrtc.DataChannel) {
		ch.OnOpen(func() { _ = ch.SendText("hello on " + ch.Label()) })
		ch.OnMessage(func(m webrtc.DataChannelMessage) { c.echoes.add(string(m.Data)) })
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

// A record keeps what hooks have heard until a test asks for it.
type record[T any] struct {
	mu    sync.Mutex
	heard []T
	more  chan struct{} // capacity 1
}

func newRecord[T any]() *record[T] { return &record[T]{more: make(chan struct{}, 1)} }

func (r *record[T]) add(v T) {
	r.mu.Lock()
	r.heard = append(r.heard, v)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// all returns what no test has asked for.
func (r *record[T]) all() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.heard)
}

func (r *record[T]) take(ok func(T) bool) (v T, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.heard, ok)
	if i < 0 {
		return v, false
	}
	v = r.heard[i]
	r.heard = slices.Delete(r.heard, i, i+1)
	return v, true
}

// await takes the first value that satisfies ok out of the record, which waits for it.
// The others stay. One goroutine at a time may call it.
func await[T any](t *testing.T, what string, r *record[T], ok func(T) bool) T {
	t.Helper()
	timeout := time.After(patience)
	for {
		if v, found := r.take(ok); found {
			return v
		}
		select {
		case <-r.more:
		case <-timeout:
			require.FailNow(t, "no "+what)
		}
	}
}

// next takes whatever comes first.
func next[T any](t *testing.T, what string, r *record[T]) T {
	t.Helper()
	return await(t, what, r, func(T) bool { return true })
}

func (d *device) awaitState(client int, s webrtc.PeerConnectionState) state {
	d.t.Helper()
	return await(d.t, s.String(), d.states, func(got state) bool { return got.client == client && got.state == s })
}

func (c *client) awaitState(s webrtc.PeerConnectionState) {
	c.t.Helper()
	await(c.t, s.String(), c.states, func(got webrtc.PeerConnectionState) bool { return got == s })
}

func (c *client) awaitTrack(stream string) *webrtc.TrackRemote {
	c.t.Helper()
	return await(c.t, stream, c.tracks, func(track *webrtc.TrackRemote) bool {
		return track.StreamID() == stream && track.ID() == stream
	})
}

func (c *client) awaitEcho(text string) {
	c.t.Helper()
	await(c.t, "echo of "+text, c.echoes, func(got string) bool { return got == text })
}

func (c *client) awaitEvent(name cuttlefish.EventName) {
	c.t.Helper()
	await(c.t, string(name), c.events, func(e *cuttlefish.ControlEvent) bool { return e.Event == name })
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
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
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
