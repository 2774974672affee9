package pionpeer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// patience is how long a test waits for an event before it fails.
const patience = 20 * time.Second

// newConnection makes a PeerConnection that stays on the loopback interface. Without codecs, it rejects all media.
func newConnection(t *testing.T, codecs bool) *webrtc.PeerConnection {
	t.Helper()
	pc, err := newAPI(t, loopback.Settings(), codecs).NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	return pc
}

func newAPI(t *testing.T, settings webrtc.SettingEngine, codecs bool) *webrtc.API {
	t.Helper()
	// The role stays with the one who has it, whoever offers next.
	require.NoError(t, settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer))

	var engine webrtc.MediaEngine
	var interceptors interceptor.Registry
	if codecs {
		require.NoError(t, engine.RegisterDefaultCodecs())
		require.NoError(t, webrtc.RegisterDefaultInterceptors(&engine, &interceptors))
	}
	return webrtc.NewAPI(
		webrtc.WithSettingEngine(settings),
		webrtc.WithMediaEngine(&engine),
		webrtc.WithInterceptorRegistry(&interceptors),
	)
}

// An end is one of two Peers, with a record of what it sent and a route for it.
type end struct {
	*pionpeer.Peer
	t         *testing.T
	pc        *webrtc.PeerConnection
	connected chan struct{}
	tracks    chan string // ids of the tracks that arrived
	echoes    chan string // what channels made by echo received
	errs      chan error
	sends     chan string // "offer", "answer", "candidate" or "end", as they are sent

	mu    sync.Mutex
	sent  []any // webrtc.SessionDescription, webrtc.ICECandidateInit
	route func(message any)
}

type endOptions struct {
	polite   bool
	noCodecs bool
	pending  int
}

func newEnd(t *testing.T, opts endOptions) *end {
	t.Helper()
	e := &end{
		t:         t,
		pc:        newConnection(t, !opts.noCodecs),
		connected: make(chan struct{}),
		tracks:    make(chan string, 100),
		echoes:    make(chan string, 100),
		errs:      make(chan error, 1000),
		sends:     make(chan string, 1000),
		route:     func(any) {},
	}
	e.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			select {
			case <-e.connected:
			default:
				close(e.connected)
			}
		}
	})
	e.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { e.tracks <- track.ID() })
	e.pc.OnDataChannel(func(d *webrtc.DataChannel) {
		d.OnMessage(func(m webrtc.DataChannelMessage) { _ = d.Send(m.Data) })
	})
	e.Peer = pionpeer.New(e.pc, pionpeer.Config{
		SendDescription: func(d webrtc.SessionDescription) error {
			e.pass(d, d.Type.String())
			return nil
		},
		SendCandidate: func(c webrtc.ICECandidateInit) error {
			if c.Candidate == "" {
				e.pass(c, "end")
			} else {
				e.pass(c, "candidate")
			}
			return nil
		},
		OnError:    func(err error) { e.errs <- err },
		Polite:     opts.polite,
		MaxPending: opts.pending,
	})
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func (e *end) pass(message any, kind string) {
	e.mu.Lock()
	e.sent = append(e.sent, message)
	route := e.route
	e.mu.Unlock()
	route(message)
	e.sends <- kind
}

func (e *end) setRoute(route func(message any)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.route = route
}

// receive gives a message of the other end to this one.
func (e *end) receive(message any) {
	switch m := message.(type) {
	case webrtc.SessionDescription:
		_ = e.Description(m)
	case webrtc.ICECandidateInit:
		_ = e.Candidate(m)
	}
}

// join routes both ends to each other.
func join(a, b *end) {
	a.setRoute(b.receive)
	b.setRoute(a.receive)
}

func newPair(t *testing.T) (impolite, polite *end) {
	t.Helper()
	impolite, polite = newEnd(t, endOptions{}), newEnd(t, endOptions{polite: true})
	join(impolite, polite)
	return impolite, polite
}

// await waits for a value of c that satisfies ok.
func await[T any](t *testing.T, what string, c <-chan T, ok func(T) bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case v := <-c:
			if ok(v) {
				return
			}
		case <-timeout:
			require.FailNow(t, "no "+what)
		}
	}
}

func (e *end) awaitSend(kind string) {
	e.t.Helper()
	await(e.t, kind+" sent", e.sends, func(k string) bool { return k == kind })
}

func (e *end) awaitTrack(id string) {
	e.t.Helper()
	await(e.t, "track "+id, e.tracks, func(got string) bool { return got == id })
}

func (e *end) awaitConnected() {
	e.t.Helper()
	await(e.t, "connection", e.connected, func(struct{}) bool { return true })
}

func (e *end) awaitError(target error) {
	e.t.Helper()
	await(e.t, "error "+target.Error(), e.errs, func(err error) bool { return errors.Is(err, target) })
}

// settle returns when the Peer has handled everything that it was given before.
func (e *end) settle() {
	e.t.Helper()
	settled := make(chan struct{})
	require.NoError(e.t, e.Do(func(*webrtc.PeerConnection) error { close(settled); return nil }))
	await(e.t, "settling", settled, func(struct{}) bool { return true })
}

// addTrack adds a track that is fed.
func (e *end) addTrack(id string) {
	e.t.Helper()
	_, err := e.pc.AddTrack(feed(e.t, id))
	require.NoError(e.t, err)
}

// feed makes a track and writes to it until the test ends.
func feed(t *testing.T, id string) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, id, id)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var feeding sync.WaitGroup
	feeding.Go(func() {
		const interval = 10 * time.Millisecond
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = track.WriteSample(media.Sample{Data: []byte{1, 2, 3}, Duration: interval})
			}
		}
	})
	t.Cleanup(func() { stop(); feeding.Wait() })
	return track
}

// addChannel adds a data channel that sends its label when it is open; the other end echoes it.
func (e *end) addChannel(label string) *webrtc.DataChannel {
	e.t.Helper()
	d, err := e.pc.CreateDataChannel(label, nil)
	require.NoError(e.t, err)
	d.OnOpen(func() { _ = d.SendText(label) })
	d.OnMessage(func(m webrtc.DataChannelMessage) { e.echoes <- string(m.Data) })
	return d
}

func (e *end) awaitEcho(text string) {
	e.t.Helper()
	await(e.t, "echo of "+text, e.echoes, func(got string) bool { return got == text })
}

func (e *end) requireNoErrors() {
	e.t.Helper()
	require.NoError(e.t, e.Err())
	select {
	case err := <-e.errs:
		require.NoError(e.t, err)
	default:
	}
}

func (e *end) record() []any {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.sent)
}

func (e *end) descriptions(kind webrtc.SDPType) (ds []webrtc.SessionDescription) {
	for _, m := range e.record() {
		if d, ok := m.(webrtc.SessionDescription); ok && d.Type == kind {
			ds = append(ds, d)
		}
	}
	return ds
}

func ufragOfSDP(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r\n")
	return ufrag
}

// requireTrickleOrder checks that each candidate went out after the description of its generation and that there were
// as many generations with candidates as wanted.
func (e *end) requireTrickleOrder(generations int) {
	e.t.Helper()
	current := ""
	seen := map[string]bool{}
	for _, m := range e.record() {
		switch m := m.(type) {
		case webrtc.SessionDescription:
			current = ufragOfSDP(m.SDP)
			require.NotEmpty(e.t, current)
		case webrtc.ICECandidateInit:
			require.NotEmpty(e.t, current, "candidate before any description")
			require.NotNil(e.t, m.UsernameFragment)
			require.Equal(e.t, current, *m.UsernameFragment)
			seen[current] = true
		}
	}
	require.Len(e.t, seen, generations)
}
