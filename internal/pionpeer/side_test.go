package pionpeer_test

import (
	"sync"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
)

// A side is one of two Sessions, with a record of what its functions heard and a route for what it sends.
type side struct {
	*pionpeer.Session
	t         *testing.T
	states    chan webrtc.PeerConnectionState
	causes    chan error               // what OnEnd heard
	tracks    chan *webrtc.TrackRemote // each once its first packet is there
	ended     chan string              // ids of the tracks that ended
	keyFrames chan string              // ids of the tracks
	channels  chan *webrtc.DataChannel
	errs      chan error

	mu    sync.Mutex
	sent  []any // webrtc.SessionDescription, webrtc.ICECandidateInit
	route func(message any)
}

// newSide makes a session that is not started. Set what is special about it in change, which may be nil.
func newSide(t *testing.T, change func(*pionpeer.SessionConfig)) *side {
	t.Helper()
	s := &side{
		t:         t,
		states:    make(chan webrtc.PeerConnectionState, 100),
		causes:    make(chan error, 100),
		tracks:    make(chan *webrtc.TrackRemote, 100),
		ended:     make(chan string, 100),
		keyFrames: make(chan string, 1000),
		channels:  make(chan *webrtc.DataChannel, 100),
		errs:      make(chan error, 1000),
		route:     func(any) {},
	}
	cfg := pionpeer.SessionConfig{
		Name:            "testpion",
		API:             pionpeer.LazyAPI(nil, loopback.Settings()),
		SendDescription: func(d webrtc.SessionDescription) error { s.pass(d); return nil },
		SendCandidate:   func(c webrtc.ICECandidateInit) error { s.pass(c); return nil },
		OnError:         func(err error) { s.errs <- err },
		OnChannel: func(ch *webrtc.DataChannel) {
			ch.OnMessage(func(m webrtc.DataChannelMessage) {
				if m.IsString {
					_ = ch.SendText(string(m.Data))
				}
			})
			s.channels <- ch
		},
		OnTrack: func(track *webrtc.TrackRemote) {
			for n := 0; ; n++ {
				if _, _, err := track.ReadRTP(); err != nil {
					s.ended <- track.ID()
					return
				}
				if n == 0 {
					s.tracks <- track
				}
			}
		},
		OnKeyFrame: func(track webrtc.TrackLocal) {
			select {
			case s.keyFrames <- track.ID():
			default:
			}
		},
		OnState: func(state webrtc.PeerConnectionState) { s.states <- state },
		OnEnd:   func(cause error) { s.causes <- cause },
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	s.Session, err = pionpeer.NewSession(cfg)
	require.NoError(t, err)
	t.Cleanup(s.Discard)
	return s
}

func (s *side) pass(message any) {
	s.mu.Lock()
	s.sent = append(s.sent, message)
	route := s.route
	s.mu.Unlock()
	route(message)
}

func (s *side) setRoute(route func(message any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.route = route
}

// receive gives a message of the other side to this one.
func (s *side) receive(message any) {
	switch m := message.(type) {
	case webrtc.SessionDescription:
		_ = s.Description(m)
	case webrtc.ICECandidateInit:
		_ = s.Candidate(m)
	}
}

func (s *side) record() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]any(nil), s.sent...)
}

// offers returns those that were sent.
func (s *side) offers() (ds []webrtc.SessionDescription) {
	for _, m := range s.record() {
		if d, ok := m.(webrtc.SessionDescription); ok && d.Type == webrtc.SDPTypeOffer {
			ds = append(ds, d)
		}
	}
	return ds
}

func meet(a, b *side) {
	a.setRoute(b.receive)
	b.setRoute(a.receive)
}

// newSides makes two sessions that hear each other and are not started.
func newSides(t *testing.T, changeA, changeB func(*pionpeer.SessionConfig)) (impolite, polite *side) {
	t.Helper()
	impolite = newSide(t, changeA)
	polite = newSide(t, func(cfg *pionpeer.SessionConfig) {
		cfg.Polite = true
		if changeB != nil {
			changeB(cfg)
		}
	})
	meet(impolite, polite)
	return impolite, polite
}

// connect starts both sides; a offers.
func connect(a, b *side) {
	a.t.Helper()
	a.begin()
	b.begin()
	a.Negotiate()
	a.awaitState(webrtc.PeerConnectionStateConnected)
	b.awaitState(webrtc.PeerConnectionStateConnected)
}

// begin starts a session that has something to offer.
func (s *side) begin() {
	s.t.Helper()
	_, err := s.PeerConnection().CreateDataChannel("first", nil)
	require.NoError(s.t, err)
	s.Start()
}

func (s *side) awaitState(want webrtc.PeerConnectionState) {
	s.t.Helper()
	await(s.t, "state "+want.String(), s.states, func(got webrtc.PeerConnectionState) bool { return got == want })
}

func (s *side) awaitTrack(id string) (track *webrtc.TrackRemote) {
	s.t.Helper()
	await(s.t, "track "+id, s.tracks, func(got *webrtc.TrackRemote) bool { track = got; return got.ID() == id })
	return track
}

func (s *side) awaitEndOf(id string) {
	s.t.Helper()
	await(s.t, "end of track "+id, s.ended, func(got string) bool { return got == id })
}

// awaitEnd waits until nothing of the session runs and returns the cause, which all who can say it must agree on.
func (s *side) awaitEnd() error {
	s.t.Helper()
	await(s.t, "end", s.Done(), func(struct{}) bool { return true })
	require.Len(s.t, s.causes, 1)
	cause := <-s.causes
	require.Equal(s.t, s.Err(), cause)
	require.Equal(s.t, webrtc.PeerConnectionStateClosed, s.PeerConnection().ConnectionState())
	return cause
}

// requireEcho sends a text over a new data channel and waits for it to come back.
func (s *side) requireEcho(text string) {
	s.t.Helper()
	echo := make(chan string, 1)
	require.NoError(s.t, s.Change(func(pc *webrtc.PeerConnection) error {
		ch, err := pc.CreateDataChannel(text, nil)
		if err != nil {
			return err
		}
		ch.OnOpen(func() { _ = ch.SendText(text) })
		ch.OnMessage(func(m webrtc.DataChannelMessage) { echo <- string(m.Data) })
		return nil
	}))
	await(s.t, "echo", echo, func(got string) bool { return got == text })
}
