package cuttlefishpion

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

// sessionConfig says what a session is made from and whom it tells. The functions are
// called under no lock and required unless they say otherwise.
type sessionConfig struct {
	api            *webrtc.API
	configuration  webrtc.Configuration
	polite         bool
	maxPending     int
	maxChannels    int
	connectTimeout time.Duration
	log            *slog.Logger

	// sendPayload sends what the negotiation says, candidate makes its candidates.
	sendPayload func(cuttlefish.Payload) error
	candidate   func(webrtc.ICECandidateInit) cuttlefish.Payload
	// sendonly leaves it to the other side to offer media of its own.
	sendonly bool
	// negotiationFailed hears of what the other side sent and Pion refused.
	negotiationFailed func(error)
	// channel hears of the data channels that the other side opens.
	channel func(*webrtc.DataChannel)
	// track and keyFrame may be nil.
	track    func(*webrtc.TrackRemote)
	keyFrame func(webrtc.TrackLocal)
	// state hears of each state that lasts long enough to be seen, and of Closed last.
	state func(webrtc.PeerConnectionState)
	// ended is called with the cause when the end begins, before anything is closed.
	ended func(error)
}

// A session is one peer connection with its negotiation, from its making to its end.
// Its methods may be called concurrently.
type session struct {
	cfg     sessionConfig
	pc      *webrtc.PeerConnection
	peer    *pionpeer.Peer
	changed chan struct{} // capacity 1: look at the state of pc
	ending  chan struct{} // closed when the end begins
	done    chan struct{} // closed when nothing of the session runs any more

	senders map[webrtc.TrackLocal]*webrtc.RTPSender // of the goroutine that negotiates

	mu       sync.Mutex
	err      error
	over     bool
	running  bool // offers may go out
	channels int  // opened by the other side so far
	work     sync.WaitGroup
}

// newSession makes a session that waits for start.
func newSession(cfg sessionConfig) (*session, error) {
	pc, err := cfg.api.NewPeerConnection(cfg.configuration)
	if err != nil {
		return nil, fmt.Errorf("cuttlefishpion: new peer connection: %w", err)
	}
	s := &session{
		cfg:     cfg,
		pc:      pc,
		changed: make(chan struct{}, 1),
		ending:  make(chan struct{}),
		done:    make(chan struct{}),
		senders: make(map[webrtc.TrackLocal]*webrtc.RTPSender),
	}
	s.peer = pionpeer.New(pc, pionpeer.Config{
		SendDescription: s.sendDescription,
		SendCandidate:   s.sendCandidate,
		OnError:         func(err error) { cfg.negotiationFailed(negotiationError(err)) },
		Polite:          cfg.polite,
		MaxPending:      cfg.maxPending,
	})
	pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { signal(s.changed) })
	pc.OnDataChannel(s.channelOpened)
	pc.OnTrack(s.trackArrived)
	return s, nil
}

// start begins the life of the session. Tracks that were added before are in the
// first offer.
func (s *session) start() {
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	go s.run()
}

// run watches the peer connection and cleans up after it.
func (s *session) run() {
	defer close(s.done)
	s.watch()
	s.cfg.ended(s.cause())
	if err := s.peer.Close(); err != nil {
		s.cfg.log.Debug("cuttlefishpion: closing a peer connection", "error", err)
	}
	s.work.Wait()
	s.cfg.state(webrtc.PeerConnectionStateClosed)
}

// watch returns when the end begins.
func (s *session) watch() {
	timeout := time.NewTimer(s.cfg.connectTimeout)
	defer timeout.Stop()
	state := webrtc.PeerConnectionStateNew
	for {
		select {
		case <-s.ending:
			return
		case <-s.peer.Done():
			s.end(negotiationError(s.peer.Err()))
		case <-timeout.C:
			s.end(ErrConnectTimeout)
		case <-s.changed:
			now := s.pc.ConnectionState()
			if now == state {
				continue
			}
			state = now
			switch now {
			case webrtc.PeerConnectionStateClosed: // by the other side, see SettingEngine.DisableCloseByDTLS
				s.end(nil)
				continue
			case webrtc.PeerConnectionStateConnected:
				timeout.Stop()
			case webrtc.PeerConnectionStateFailed:
				s.end(ErrFailed)
			}
			s.cfg.state(now)
		}
	}
}

// end begins the end. The first cause counts; nil is an orderly one.
func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over, s.err = true, err
	close(s.ending)
}

func (s *session) isEnding() bool {
	select {
	case <-s.ending:
		return true
	default:
		return false
	}
}

func (s *session) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// spawn runs f in a goroutine that the session waits for, unless it is over.
func (s *session) spawn(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.work.Go(f)
	}
}

// description takes an offer or an answer of the other side.
func (s *session) description(typ webrtc.SDPType, sdp string) error {
	return negotiationError(s.peer.Description(webrtc.SessionDescription{Type: typ, SDP: sdp}))
}

// candidate takes a candidate of the other side.
func (s *session) candidate(c webrtc.ICECandidateInit) error {
	return negotiationError(s.peer.Candidate(c))
}

func negotiationError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cuttlefishpion: negotiation: %w", err)
}

func (s *session) sendDescription(d webrtc.SessionDescription) error {
	if s.cfg.sendonly && d.Type == webrtc.SDPTypeOffer {
		var remote string
		if r := s.pc.RemoteDescription(); r != nil {
			remote = r.SDP
		}
		var err error
		if d.SDP, err = sendonly(d.SDP, remote); err != nil {
			return err
		}
	}
	var p cuttlefish.Payload = &cuttlefish.Offer{SDP: d.SDP}
	if d.Type == webrtc.SDPTypeAnswer {
		p = &cuttlefish.Answer{SDP: d.SDP}
	}
	return s.send(p)
}

// sendCandidate skips the end of candidates, for which the protocol has no word: the
// real device ends the peer connection over it.
func (s *session) sendCandidate(c webrtc.ICECandidateInit) error {
	if c.Candidate == "" {
		return nil
	}
	return s.send(s.cfg.candidate(c))
}

// send ends the session when it fails: the negotiation cannot go on without it.
func (s *session) send(p cuttlefish.Payload) error {
	if s.isEnding() {
		return nil
	}
	if err := s.cfg.sendPayload(p); err != nil {
		s.end(fmt.Errorf("%w: %w", ErrSignaling, err))
	}
	return nil
}

// addTrack sends track to the other side, after a negotiation if the session runs.
func (s *session) addTrack(track webrtc.TrackLocal) error {
	return s.change(func(pc *webrtc.PeerConnection) error {
		if s.senders[track] != nil {
			return nil
		}
		sender, err := pc.AddTrack(track)
		if err != nil {
			return fmt.Errorf("cuttlefishpion: add track %s: %w", track.ID(), err)
		}
		s.senders[track] = sender
		s.spawn(func() { s.readFeedback(sender, track) })
		return nil
	})
}

func (s *session) removeTrack(track webrtc.TrackLocal) error {
	return s.change(func(pc *webrtc.PeerConnection) error {
		sender := s.senders[track]
		if sender == nil {
			return nil
		}
		delete(s.senders, track)
		if err := pc.RemoveTrack(sender); err != nil {
			return fmt.Errorf("cuttlefishpion: remove track %s: %w", track.ID(), err)
		}
		return nil
	})
}

// change changes what is sent between two steps of the negotiation.
func (s *session) change(f func(*webrtc.PeerConnection) error) error {
	err := s.peer.Do(func(pc *webrtc.PeerConnection) error {
		if err := f(pc); err != nil {
			s.end(err)
		}
		return nil
	})
	if err != nil {
		return ErrClosed
	}
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if running {
		s.peer.Negotiate()
	}
	return nil
}

// readFeedback reads the RTCP packets about a track, which the interceptors of Pion
// see only when somebody reads them.
func (s *session) readFeedback(sender *webrtc.RTPSender, track webrtc.TrackLocal) {
	buf := make([]byte, 1500)
	for {
		n, _, err := sender.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil || s.cfg.keyFrame == nil {
			continue
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				s.cfg.keyFrame(track)
			}
		}
	}
}

func (s *session) trackArrived(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	s.spawn(func() {
		buf := make([]byte, 1500)
		for {
			if _, _, err := receiver.Read(buf); err != nil {
				return
			}
		}
	})
	if s.cfg.track != nil {
		s.spawn(func() { s.cfg.track(track) })
	}
}

func (s *session) channelOpened(ch *webrtc.DataChannel) {
	s.mu.Lock()
	s.channels++
	excess := s.channels > s.cfg.maxChannels
	s.mu.Unlock()
	if excess {
		s.end(ErrTooManyChannels)
		return
	}
	s.cfg.channel(ch)
}
