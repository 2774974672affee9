package pionpeer_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// patience is how long a test waits for an event before it fails.
const patience = 20 * time.Second

// newConnection makes a PeerConnection that stays on the loopback interface. Without codecs, it rejects all media.
func newConnection(t *testing.T, codecs bool) *webrtc.PeerConnection {
	t.Helper()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIPFilter(net.IP.IsLoopback)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// The role stays with the one who has it, whoever offers next.
	require.NoError(t, settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer))

	var engine webrtc.MediaEngine
	var interceptors interceptor.Registry
	if codecs {
		require.NoError(t, engine.RegisterDefaultCodecs())
		require.NoError(t, webrtc.RegisterDefaultInterceptors(&engine, &interceptors))
	}
	pc, err := webrtc.NewAPI(
		webrtc.WithSettingEngine(settings),
		webrtc.WithMediaEngine(&engine),
		webrtc.WithInterceptorRegistry(&interceptors),
	).NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	return pc
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

// addTrack adds a track and feeds it until the test ends.
func (e *end) addTrack(id string) {
	e.t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, id, id)
	require.NoError(e.t, err)
	_, err = e.pc.AddTrack(track)
	require.NoError(e.t, err)

	ctx, stop := context.WithCancel(e.t.Context())
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
	e.t.Cleanup(func() { stop(); feeding.Wait() })
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

func TestFirstNegotiationConnectsMediaAndChannels(t *testing.T) {
	t.Parallel()
	for _, offerer := range []string{"impolite", "polite"} {
		t.Run(offerer+" offers", func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			if offerer == "polite" {
				a, b = b, a
			}
			a.addTrack("from-a")
			a.addChannel("hello")
			b.addTrack("from-b")
			a.Negotiate()
			a.awaitConnected()
			b.awaitConnected()
			b.awaitTrack("from-a")
			a.awaitTrack("from-b")
			a.awaitEcho("hello")
			a.awaitSend("end")
			b.awaitSend("end")

			a.requireTrickleOrder(1)
			b.requireTrickleOrder(1)
			require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 1)
			require.Len(t, b.descriptions(webrtc.SDPTypeAnswer), 1)
			a.requireNoErrors()
			b.requireNoErrors()
		})
	}
}

// A description that takes its time must not be overtaken: Pion gathers meanwhile.
func TestCandidatesWaitWhileTheDescriptionIsBeingSent(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	gathered := make(chan struct{})
	a.pc.OnICEGatheringStateChange(func(s webrtc.ICEGatheringState) {
		if s == webrtc.ICEGatheringStateComplete {
			close(gathered)
		}
	})
	a.setRoute(func(m any) {
		if _, ok := m.(webrtc.SessionDescription); ok {
			<-gathered
		}
	})
	a.addChannel("x")
	a.Negotiate()
	a.awaitSend("end")
	a.requireTrickleOrder(1)
}

func TestNegotiationNeededMayDriveThePeer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.pc.OnNegotiationNeeded(a.Negotiate)
	b.pc.OnNegotiationNeeded(b.Negotiate)
	a.addTrack("one")
	a.addChannel("x")
	b.awaitTrack("one")
	a.awaitEcho("x")
	b.addTrack("two")
	a.awaitTrack("two")
	a.addTrack("three")
	b.awaitTrack("three")
	a.requireNoErrors()
	b.requireNoErrors()
}

func TestEitherSideRenegotiates(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")

	for _, step := range []struct {
		from, to *end
		id       string
	}{{a, b, "a1"}, {b, a, "b1"}, {b, a, "b2"}, {a, b, "a2"}} {
		step.from.addTrack(step.id)
		step.from.Negotiate()
		step.to.awaitTrack(step.id)
	}
	a.requireNoErrors()
	b.requireNoErrors()
	require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 3)
	require.Len(t, b.descriptions(webrtc.SDPTypeOffer), 2)
}

func TestRequestsDuringANegotiationBecomeOneOffer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	held := make(chan any, 100)
	b.setRoute(func(m any) { held <- m })
	a.addChannel("x")
	a.Negotiate()
	b.awaitSend("answer")
	a.addTrack("late")
	for range 10 {
		a.Negotiate()
	}
	a.settle()
	require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 1, "the second waits for the first answer")

	b.setRoute(a.receive)
	for len(held) > 0 {
		a.receive(<-held)
	}
	b.awaitTrack("late")
	a.settle()
	require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 2)
	a.requireNoErrors()
	b.requireNoErrors()
}

// crossOffers makes both ends offer before either has the other's offer.
func crossOffers(a, b *end) {
	toA, toB := make(chan any, 1000), make(chan any, 1000)
	a.setRoute(func(m any) { toB <- m })
	b.setRoute(func(m any) { toA <- m })
	a.Negotiate()
	b.Negotiate()
	a.awaitSend("offer")
	b.awaitSend("offer")
	a.settle()
	b.settle()
	join(a, b)
	for len(toA) > 0 {
		a.receive(<-toA)
	}
	for len(toB) > 0 {
		b.receive(<-toB)
	}
}

func TestCrossingOffersAreSettled(t *testing.T) {
	t.Parallel()
	t.Run("first negotiation", func(t *testing.T) {
		t.Parallel()
		impolite, polite := newPair(t)
		impolite.addTrack("from-impolite")
		impolite.addChannel("x")
		polite.addTrack("from-polite")
		polite.addChannel("y")
		crossOffers(impolite, polite)
		polite.awaitTrack("from-impolite")
		impolite.awaitTrack("from-polite")
		impolite.awaitEcho("x")
		polite.awaitEcho("y")
		impolite.settle()
		require.Len(t, impolite.descriptions(webrtc.SDPTypeOffer), 1)
		require.Len(t, impolite.descriptions(webrtc.SDPTypeAnswer), 1, "of the offer that was made again")
		require.Len(t, polite.descriptions(webrtc.SDPTypeOffer), 2)
		impolite.requireTrickleOrder(1)
		polite.requireTrickleOrder(1)
		impolite.requireNoErrors()
		polite.requireNoErrors()
	})
	t.Run("different kinds at the same place", func(t *testing.T) {
		t.Parallel()
		impolite, polite := newPair(t)
		impolite.addTrack("video")
		polite.addChannel("y")
		_, err := polite.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio)
		require.NoError(t, err)
		crossOffers(impolite, polite)
		polite.awaitTrack("video")
		polite.awaitEcho("y")
		impolite.requireNoErrors()
		polite.requireNoErrors()
	})
	t.Run("renegotiation", func(t *testing.T) {
		t.Parallel()
		impolite, polite := newPair(t)
		impolite.addChannel("x")
		impolite.Negotiate()
		impolite.awaitEcho("x")
		impolite.awaitSend("offer")
		for _, id := range []string{"1", "2", "3"} {
			impolite.addTrack("i" + id)
			polite.addTrack("p" + id)
			crossOffers(impolite, polite)
			polite.awaitTrack("i" + id)
			impolite.awaitTrack("p" + id)
			polite.awaitSend("offer")
			impolite.awaitSend("answer")
			polite.settle()
		}
		impolite.requireNoErrors()
		polite.requireNoErrors()
	})
	t.Run("with a restart by the polite one", func(t *testing.T) {
		t.Parallel()
		impolite, polite := newPair(t)
		d := impolite.addChannel("x")
		impolite.Negotiate()
		impolite.awaitEcho("x")
		impolite.awaitSend("offer")
		impolite.addTrack("i")
		polite.Restart()
		crossOffers(impolite, polite)
		polite.awaitTrack("i")
		require.NoError(t, d.SendText("still here"))
		impolite.awaitEcho("still here")
		impolite.requireNoErrors()
		polite.requireNoErrors()
	})
}

// Pion starts a sender that has once been in an offer; the other side would get media that nobody has announced.
func TestWithdrawnOffersStartNoSender(t *testing.T) {
	t.Parallel()
	impolite, polite := newEnd(t, endOptions{}), newEnd(t, endOptions{polite: true}) // nothing reaches the impolite one
	impolite.addTrack("i")
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "p", "p")
	require.NoError(t, err)
	watched := &watchedTrack{TrackLocal: track}
	sender, err := polite.pc.AddTrack(watched)
	require.NoError(t, err)
	polite.Negotiate()
	polite.awaitSend("offer")
	impolite.setRoute(polite.receive)
	impolite.Negotiate()
	polite.awaitSend("answer")
	polite.awaitSend("offer")
	require.Same(t, sender, polite.pc.GetSenders()[0])
	require.False(t, watched.started.Load())
}

// A watchedTrack tells whether its sender was started.
type watchedTrack struct {
	webrtc.TrackLocal
	started atomic.Bool
}

func (w *watchedTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	w.started.Store(true)
	return w.TrackLocal.Bind(c)
}

// A further offer before Pion has started ICE looks to it like a restart.
func TestOfferRightAfterTheFirstIsNoRestart(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	stalled, release := make(chan struct{}, 100), make(chan struct{})
	a.pc.OnNegotiationNeeded(func() { // runs where Pion would start ICE
		stalled <- struct{}{}
		<-release
	})
	goOn := sync.OnceFunc(func() { close(release) })
	defer goOn()
	a.addTrack("a")
	<-stalled
	b.addChannel("x")
	b.Negotiate()
	a.awaitSend("answer")
	b.addTrack("b")
	b.Negotiate()
	b.awaitSend("offer")
	b.awaitSend("offer")
	handled := make(chan struct{})
	require.NoError(t, a.Do(func(*webrtc.PeerConnection) error { close(handled); return nil }))
	select {
	case <-handled:
		require.FailNow(t, "the second offer did not wait")
	case <-time.After(50 * time.Millisecond): // it would take a few
	}
	goOn()
	a.awaitTrack("b")
	b.awaitEcho("x")
	answers := a.descriptions(webrtc.SDPTypeAnswer)
	require.Len(t, answers, 2)
	require.Equal(t, ufragOfSDP(answers[0].SDP), ufragOfSDP(answers[1].SDP))
	a.requireNoErrors()
	b.requireNoErrors()
}

func TestRestartBeginsANewGeneration(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	d := a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")
	a.awaitSend("end")
	b.awaitSend("end")

	for i, from := range []*end{a, b} {
		from.Restart()
		a.awaitSend("end")
		b.awaitSend("end")
		a.settle()
		a.requireTrickleOrder(i + 2)
		b.requireTrickleOrder(i + 2)
		text := "after restart " + string(rune('1'+i))
		require.NoError(t, d.SendText(text))
		a.awaitEcho(text)
	}
	a.requireNoErrors()
	b.requireNoErrors()
}

func TestRestartBeforeTheFirstNegotiationIsAnOffer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.addChannel("x")
	a.Restart()
	a.awaitEcho("x")
	require.Len(t, a.descriptions(webrtc.SDPTypeOffer), 1)
	a.requireNoErrors()
	b.requireNoErrors()
}

// Only the offerer's candidates reach the other side, and before their offer, so a lost one is a lost connection.
func TestCandidatesBeforeTheirDescriptionAreKept(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, endOptions{}), newEnd(t, endOptions{})
	early := make(chan any, 100)
	a.setRoute(func(m any) { early <- m })
	b.setRoute(func(m any) {
		if _, ok := m.(webrtc.SessionDescription); ok {
			a.receive(m)
		}
	})
	deliver := func() {
		t.Helper()
		a.awaitSend("end")
		var offer any
		for len(early) > 0 {
			m := <-early
			if _, ok := m.(webrtc.SessionDescription); ok {
				offer = m
				continue
			}
			b.receive(m)
		}
		b.settle()
		b.receive(offer)
	}
	d := a.addChannel("x")
	a.Negotiate()
	deliver()
	a.awaitEcho("x")

	a.Restart()
	deliver()
	b.awaitSend("answer")
	b.awaitSend("answer")
	require.NoError(t, d.SendText("again"))
	a.awaitEcho("again")
	a.requireNoErrors()
	b.requireNoErrors()
}

func TestDescriptionsWithoutATypeNegotiate(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	untyped := func(to *end) func(any) {
		return func(m any) {
			if d, ok := m.(webrtc.SessionDescription); ok {
				m = webrtc.SessionDescription{SDP: d.SDP}
			}
			to.receive(m)
		}
	}
	a.setRoute(untyped(b))
	b.setRoute(untyped(a))
	a.addChannel("x")
	b.addTrack("b")
	a.Negotiate()
	b.Negotiate() // crosses or follows the other offer
	a.awaitEcho("x")
	a.awaitTrack("b")
	a.requireNoErrors()
	b.requireNoErrors()
}

// Peers such as the Cuttlefish client library take the data channel and reject all media, without a=mid.
func TestRejectedSectionsLeaveTheRestWorking(t *testing.T) {
	t.Parallel()
	for _, polite := range []bool{false, true} {
		a, b := newEnd(t, endOptions{polite: polite}), newEnd(t, endOptions{noCodecs: true})
		join(a, b)
		d := a.addChannel("x")
		a.addTrack("video1")
		a.addTrack("video2")
		a.Negotiate()
		a.awaitEcho("x")
		answers := b.descriptions(webrtc.SDPTypeAnswer)
		require.Len(t, answers, 1)
		require.Contains(t, answers[0].SDP, "m=video 0 ")
		require.Equal(t, 1, strings.Count(answers[0].SDP, "a=mid:"), "a peer that leaves it out is what this is about")

		a.addTrack("video3")
		a.Negotiate()
		b.awaitSend("answer")
		b.awaitSend("answer")
		a.settle()
		require.NoError(t, d.SendText("still here"))
		a.awaitEcho("still here")
		a.requireNoErrors()
		b.requireNoErrors()
	}
}

// Pion takes the codecs of the first section of a kind for those of all, also when that one is rejected and has none.
func TestRejectedFirstSectionLeavesTheSecondWorking(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	b.setRoute(func(m any) {
		if d, ok := m.(webrtc.SessionDescription); ok {
			session, rest, _ := strings.Cut(d.SDP, "m=video")
			_, rest, _ = strings.Cut(rest, "m=video")
			d.SDP = strings.Replace(session, "BUNDLE 0 1", "BUNDLE 1", 1) +
				"m=video 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\nm=video" + rest
			m = d
		}
		a.receive(m)
	})
	a.addTrack("video1")
	a.addTrack("video2")
	a.Negotiate()
	b.awaitTrack("video2")
	a.requireNoErrors()
	require.Nil(t, a.pc.GetTransceivers()[0].Sender(), "the rejected track is not sent")
}

func TestRejectionDoesNotNegotiateForEver(t *testing.T) {
	t.Parallel()
	a, b := newEnd(t, endOptions{}), newEnd(t, endOptions{noCodecs: true})
	join(a, b)
	needed := make(chan struct{}, 100)
	a.pc.OnNegotiationNeeded(func() { needed <- struct{}{}; a.Negotiate() })
	d := a.addChannel("x")
	a.addTrack("video")
	a.awaitEcho("x")
	require.NoError(t, d.SendText("idle"))
	a.awaitEcho("idle")
	a.settle()
	require.LessOrEqual(t, len(a.descriptions(webrtc.SDPTypeOffer)), 2)
	a.requireNoErrors()
}

func TestGarbageIsReportedAndChangesNothing(t *testing.T) {
	t.Parallel()
	good := func(t *testing.T) string {
		e := newEnd(t, endOptions{})
		e.addTrack("video")
		e.addChannel("x")
		e.Negotiate()
		e.awaitSend("offer")
		return e.descriptions(webrtc.SDPTypeOffer)[0].SDP
	}(t)
	without := func(prefix string) string {
		return strings.Join(slices.DeleteFunc(strings.Split(good, "\r\n"), func(line string) bool {
			return strings.HasPrefix(line, prefix)
		}), "\r\n")
	}
	for name, sdp := range map[string]string{
		"empty":          "",
		"no SDP":         "hello\x00\xff",
		"no sections":    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
		"no mid":         without("a=mid"),
		"no ufrag":       without("a=ice-ufrag"),
		"no password":    without("a=ice-pwd"),
		"no fingerprint": without("a=fingerprint"),
		"cut off":        good[:len(good)/2] + "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			for _, kind := range []webrtc.SDPType{webrtc.SDPTypeOffer, webrtc.SDPTypeAnswer, webrtc.SDPTypeUnknown} {
				require.NoError(t, b.Description(webrtc.SessionDescription{Type: kind, SDP: sdp}))
				await(t, "error", b.errs, func(err error) bool { return strings.HasPrefix(err.Error(), "pionpeer: ") })
			}
			a.addChannel("x")
			a.Negotiate()
			a.awaitEcho("x")
			require.NoError(t, b.Err())
		})
	}
}

func TestGarbageCandidatesAreReported(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	garbage := []string{"garbage", "candidate:", "candidate:1 1 udp x 127.0.0.1 9 typ host", "candidate:1 1 udp 1 127.0.0.1 99999 typ host"}
	for _, c := range garbage {
		require.NoError(t, b.Candidate(webrtc.ICECandidateInit{Candidate: c}))
	}
	a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")
	require.NotEmpty(t, b.errs)
	require.NoError(t, b.Err())
}

func TestAnswerWithoutAnOfferIsReported(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")
	a.receive(b.descriptions(webrtc.SDPTypeAnswer)[0])
	a.awaitError(pionpeer.ErrUnexpectedAnswer)
	require.NoError(t, a.Err())
}

func TestProvisionalAnswersAndRollbacksAreRefused(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	require.ErrorContains(t, a.Description(webrtc.SessionDescription{Type: webrtc.SDPTypePranswer}), "pranswer")
	require.ErrorContains(t, a.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeRollback}), "rollback")
}

func TestNothingToOfferIsReported(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	a.Negotiate()
	a.awaitError(pionpeer.ErrNothingToOffer)
	a.addChannel("x")
	a.Negotiate()
	a.awaitEcho("x")
	b.requireNoErrors()
}

// After such an answer Pion can neither go on nor go back.
func TestAnswerThatPionCannotApplyEndsThePeer(t *testing.T) {
	t.Parallel()
	a, b := newPair(t)
	b.setRoute(func(m any) {
		if d, ok := m.(webrtc.SessionDescription); ok {
			d.SDP = strings.NewReplacer("VP8/90000", "other/90000").Replace(d.SDP)
			m = d
		}
		a.receive(m)
	})
	a.addTrack("video")
	a.Negotiate()
	await(t, "end", a.Done(), func(struct{}) bool { return true })
	require.ErrorIs(t, a.Err(), webrtc.ErrUnsupportedCodec)
	require.Equal(t, webrtc.PeerConnectionStateClosed, a.pc.ConnectionState())
	require.ErrorIs(t, a.Candidate(webrtc.ICECandidateInit{}), pionpeer.ErrClosed)
}

func TestFailedSendsAreReported(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	errs := make(chan error, 100)
	pc := newConnection(t, true)
	p := pionpeer.New(pc, pionpeer.Config{
		SendDescription: func(webrtc.SessionDescription) error { return broken },
		SendCandidate:   func(webrtc.ICECandidateInit) error { return broken },
		OnError:         func(err error) { errs <- err },
	})
	_, err := pc.CreateDataChannel("x", nil)
	require.NoError(t, err)
	p.Negotiate()
	await(t, "error", errs, func(err error) bool { return errors.Is(err, broken) })
	require.NoError(t, p.Err())
	require.NoError(t, p.Close())
}

func TestReceivedInputIsBounded(t *testing.T) {
	t.Parallel()
	const pending = 5
	a := newEnd(t, endOptions{pending: pending})
	entered, release := make(chan struct{}), make(chan struct{})
	require.NoError(t, a.Do(func(*webrtc.PeerConnection) error {
		close(entered)
		<-release
		return nil
	}))
	<-entered
	for range pending {
		require.NoError(t, a.Candidate(webrtc.ICECandidateInit{Candidate: "x"}))
	}
	require.ErrorIs(t, a.Candidate(webrtc.ICECandidateInit{Candidate: "x"}), pionpeer.ErrOverflow)
	require.ErrorIs(t, a.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer}), pionpeer.ErrOverflow)
	close(release)
	a.settle()

	require.NoError(t, a.Candidate(webrtc.ICECandidateInit{Candidate: "x"}))
	a.awaitError(pionpeer.ErrOverflow) // no description came for the first ones
}

func TestDoRunsInOrderAndReportsItsError(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	var order []int
	for i := range 100 {
		require.NoError(t, a.Do(func(pc *webrtc.PeerConnection) error {
			order = append(order, i)
			return nil
		}))
	}
	failed := errors.New("failed")
	require.NoError(t, a.Do(func(*webrtc.PeerConnection) error { return failed }))
	a.awaitError(failed)
	require.True(t, slices.IsSorted(order))
	require.Len(t, order, 100)
}

func TestCloseDuringANegotiation(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"offer", "answer", "candidate", "end"} {
		for _, polite := range []bool{false, true} {
			t.Run(moment, func(t *testing.T) {
				t.Parallel()
				a, b := newEnd(t, endOptions{polite: polite}), newEnd(t, endOptions{})
				join(a, b)
				a.addTrack("video")
				a.addChannel("x")
				a.Negotiate()
				sender := a
				if moment == "answer" {
					sender = b
				}
				sender.awaitSend(moment)
				var closing sync.WaitGroup
				for range 3 {
					closing.Go(func() { _ = a.Close() })
					closing.Go(func() { _ = b.Close() })
				}
				closing.Wait()
				for _, e := range []*end{a, b} {
					<-e.Done()
					require.NoError(t, e.Err())
					require.Equal(t, webrtc.SignalingStateClosed, e.pc.SignalingState())
					require.ErrorIs(t, e.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer}), pionpeer.ErrClosed)
					require.ErrorIs(t, e.Candidate(webrtc.ICECandidateInit{}), pionpeer.ErrClosed)
					require.ErrorIs(t, e.Do(func(*webrtc.PeerConnection) error { return nil }), pionpeer.ErrClosed)
					e.Negotiate()
					e.Restart()
				}
			})
		}
	}
}

func TestCloseOfAFreshPeer(t *testing.T) {
	t.Parallel()
	a := newEnd(t, endOptions{})
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
}
