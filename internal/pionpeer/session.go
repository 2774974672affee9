package pionpeer

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// The defaults of [SessionConfig].
const (
	DefaultMaxChannels    = 64
	DefaultConnectTimeout = 30 * time.Second
)

// SessionConfig says what a [Session] is made from and whom it tells. Zero fields mean the defaults.
//
// The functions are called under no lock. They must not block for long, with the exception of OnTrack, and must not
// call [Session.Close], which waits for them. None is called before [Session.Start], unless the caller negotiates.
type SessionConfig struct {
	// Name begins the texts of errors and log records: the package's, such as "galenepion". Required.
	Name string
	// API makes the peer connection, see [LazyAPI]. Required.
	API           func() (*webrtc.API, error)
	Configuration webrtc.Configuration

	Polite         bool          // see [Config.Polite]
	MaxPending     int           // see [Config.MaxPending]
	MaxChannels    int           // data channels that the other side opens in the life of the session; default 64
	ConnectTimeout time.Duration // from Start until connected; default 30 s
	// Patient is for another side that may not be there yet: ConnectTimeout counts from its first description.
	Patient bool
	// SendOnly gives each track that is added a media section that asks for nothing in return. Otherwise Pion adds
	// tracks where the other side sends some too, and offers to receive wherever it sends.
	SendOnly bool

	// SendDescription and SendCandidate send what the negotiation says, see [Config]. They are called one at a time.
	// The negotiation cannot go on without what they send: an error ends the session with [ErrSignaling]. Required.
	SendDescription func(webrtc.SessionDescription) error
	SendCandidate   func(webrtc.ICECandidateInit) error
	// OnError hears of what the other side sent and Pion refused. The session goes on. nil logs it.
	OnError func(error)
	// OnChannel gets a data channel that the other side opens, before its first message.
	OnChannel func(*webrtc.DataChannel)
	// OnTrack gets what the other side sends, in a goroutine of its own. It may read until the track ends and must
	// return then.
	OnTrack func(*webrtc.TrackRemote)
	// OnKeyFrame hears that the other side needs a key frame of a track.
	OnKeyFrame func(webrtc.TrackLocal)
	// OnFeedback gets all RTCP packets about a track, before OnKeyFrame.
	OnFeedback func(webrtc.TrackLocal, []rtcp.Packet)
	// OnFailed hears that the network path is lost, or that none was found, and reports whether something is done
	// about it, such as [Session.Restart]. The session then has ConnectTimeout to be connected again, counted from the
	// first failure, or what is left of it when it never was. Otherwise, and when nil, it ends with [ErrFailed].
	OnFailed func() bool
	// OnState hears of each state that lasts long enough to be seen, one after the other, and of Closed last.
	OnState func(webrtc.PeerConnectionState)
	// OnEnd hears the cause when the end begins, nil for an orderly one. The signaling may still be told of it, and a
	// successor may begin.
	OnEnd func(cause error)

	Logger *slog.Logger // nil discards
}

// A Session is one peer connection with its negotiation, from its making to its end. Its methods may be called
// concurrently and from its functions, except for [Session.Close].
//
// Beside what belongs to its [Peer], it takes over OnConnectionStateChange, OnDataChannel and OnTrack of the peer
// connection and reads the RTCP packets of all tracks, which the interceptors of Pion see only when somebody does.
type Session struct {
	cfg     SessionConfig
	log     *slog.Logger
	pc      *webrtc.PeerConnection
	peer    *Peer
	state   func() webrtc.PeerConnectionState // of pc
	changed chan struct{}                     // capacity 1: look at the state
	ending  chan struct{}                     // closed when the end begins
	done    chan struct{}                     // closed when nothing of the session runs any more

	heard chan struct{} // closed with the first description of the other side
	hear  func()        // closes heard

	senders map[webrtc.TrackLocal]*webrtc.RTPSender // of the goroutine that negotiates

	mu       sync.Mutex
	err      error
	over     bool
	running  bool // offers may go out
	channels int  // opened by the other side so far
	work     sync.WaitGroup
}

// NewSession makes a session that waits for [Session.Start], or for [Session.Discard]. Until then the caller may add
// data channels, transceivers and tracks to it.
func NewSession(cfg SessionConfig) (*Session, error) {
	cfg.MaxChannels = cmp.Or(cfg.MaxChannels, DefaultMaxChannels)
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, DefaultConnectTimeout)
	api, err := cfg.API()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Name, err)
	}
	pc, err := api.NewPeerConnection(cfg.Configuration)
	if err != nil {
		return nil, fmt.Errorf("%s: new peer connection: %w", cfg.Name, err)
	}
	s := &Session{
		cfg:     cfg,
		log:     cfg.Logger,
		pc:      pc,
		state:   pc.ConnectionState,
		changed: make(chan struct{}, 1),
		ending:  make(chan struct{}),
		done:    make(chan struct{}),
		heard:   make(chan struct{}),
		senders: make(map[webrtc.TrackLocal]*webrtc.RTPSender),
	}
	s.hear = sync.OnceFunc(func() { close(s.heard) })
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.peer = New(pc, Config{
		SendDescription: s.sendDescription,
		SendCandidate:   s.sendCandidate,
		OnError:         s.refused,
		Polite:          cfg.Polite,
		MaxPending:      cfg.MaxPending,
	})
	pc.OnConnectionStateChange(func(webrtc.PeerConnectionState) { signal(s.changed) })
	pc.OnDataChannel(s.channelOpened)
	pc.OnTrack(s.trackArrived)
	return s, nil
}

// Start begins the life of the session, once. It offers nothing by itself: see [Session.Negotiate].
func (s *Session) Start() {
	s.mu.Lock()
	begin := !s.running
	s.running = true
	s.mu.Unlock()
	if begin {
		go s.run()
	}
}

// Discard closes a session that is not going to be started and waits for it. It tells nobody.
func (s *Session) Discard() {
	s.End(nil)
	s.mu.Lock()
	begin := !s.running
	s.running = true
	s.mu.Unlock()
	if begin {
		s.close()
		close(s.done)
	}
	<-s.done
}

// run watches the peer connection and cleans up after it.
func (s *Session) run() {
	defer close(s.done)
	s.watch()
	if s.cfg.OnEnd != nil {
		s.cfg.OnEnd(s.Err())
	}
	s.close()
	s.tell(webrtc.PeerConnectionStateClosed)
}

// watch returns when the end begins.
func (s *Session) watch() {
	timeout := time.NewTimer(s.cfg.ConnectTimeout)
	defer timeout.Stop()
	var heard <-chan struct{}
	if s.cfg.Patient {
		timeout.Stop()
		heard = s.heard
	}
	late, connected := ErrConnectTimeout, false
	state := webrtc.PeerConnectionStateNew
	for {
		select {
		case <-s.ending:
			return
		case <-s.peer.Done():
			s.End(s.negotiation(s.peer.Err()))
		case <-heard:
			heard = nil
			if !connected {
				timeout.Reset(s.cfg.ConnectTimeout)
			}
		case <-timeout.C:
			s.End(late)
		case <-s.changed:
			now := s.state()
			if now == state {
				continue
			}
			state = now
			switch now {
			case webrtc.PeerConnectionStateClosed:
				// By a negotiation that failed, or else by the other side, see SettingEngine.DisableCloseByDTLS.
				s.End(s.negotiation(s.peer.Err()))
				continue
			case webrtc.PeerConnectionStateConnected:
				connected = true
				timeout.Stop()
			case webrtc.PeerConnectionStateFailed:
				late = ErrFailed
				if s.cfg.OnFailed == nil || !s.cfg.OnFailed() {
					s.End(ErrFailed)
				} else if connected {
					connected = false
					timeout.Reset(s.cfg.ConnectTimeout)
				}
			}
			s.tell(now)
		}
	}
}

func (s *Session) tell(state webrtc.PeerConnectionState) {
	if s.cfg.OnState != nil {
		s.cfg.OnState(state)
	}
}

// close closes the peer connection and waits for what the session has started.
func (s *Session) close() {
	if err := s.peer.Close(); err != nil {
		s.log.Debug(s.cfg.Name+": closing a peer connection", "error", err)
	}
	s.work.Wait()
}

// End begins the end and does not wait for it. The first cause counts; nil is an orderly one.
func (s *Session) End(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over, s.err = true, cause
	close(s.ending)
}

// Close ends a session that is or will be started, and waits for it and its functions.
func (s *Session) Close() {
	s.End(nil)
	<-s.done
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session ended or is about to; nil before and after an orderly end.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// PeerConnection returns the Pion side, for statistics and data channels.
func (s *Session) PeerConnection() *webrtc.PeerConnection { return s.pc }

func (s *Session) isEnding() bool {
	select {
	case <-s.ending:
		return true
	default:
		return false
	}
}

// spawn runs f in a goroutine that the session waits for, unless it is over.
func (s *Session) spawn(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.work.Go(f)
	}
}

// Negotiate makes an offer as soon as no other one is out.
func (s *Session) Negotiate() { s.peer.Negotiate() }

// Restart makes an offer that restarts ICE, as soon as no other one is out.
func (s *Session) Restart() { s.peer.Restart() }

// Description takes a description of the other side, see [Peer.Description].
func (s *Session) Description(d webrtc.SessionDescription) error {
	s.hear()
	return s.negotiation(s.peer.Description(d))
}

// Do runs f between two steps of the negotiation, after what came before the call, unless the session ends first. It
// returns [ErrClosed] if f will not run.
func (s *Session) Do(f func()) error {
	return s.peer.Do(func(*webrtc.PeerConnection) error {
		f()
		return nil
	})
}

// Candidate takes a candidate of the other side, see [Peer.Candidate].
func (s *Session) Candidate(c webrtc.ICECandidateInit) error {
	return s.negotiation(s.peer.Candidate(c))
}

func (s *Session) negotiation(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: negotiation: %w", s.cfg.Name, err)
}

func (s *Session) refused(err error) {
	if s.cfg.OnError != nil {
		s.cfg.OnError(s.negotiation(err))
		return
	}
	s.log.Warn(s.cfg.Name+": negotiation", "error", err)
}

func (s *Session) sendDescription(d webrtc.SessionDescription) error {
	if !s.isEnding() {
		s.sent(s.cfg.SendDescription(d))
	}
	return nil
}

func (s *Session) sendCandidate(c webrtc.ICECandidateInit) error {
	if !s.isEnding() {
		s.sent(s.cfg.SendCandidate(c))
	}
	return nil
}

func (s *Session) sent(err error) {
	if err != nil {
		s.End(fmt.Errorf("%w: %w", ErrSignaling, err))
	}
}

// AddTrack sends a track to the other side, with a new offer if the session runs. It does nothing for one that is sent
// already. The error is [ErrClosed]; a track that Pion refuses ends the session.
func (s *Session) AddTrack(track webrtc.TrackLocal) error {
	return s.Change(func(pc *webrtc.PeerConnection) error {
		if s.senders[track] != nil {
			return nil
		}
		sender, err := s.add(pc, track)
		if err != nil {
			return fmt.Errorf("%s: add track %s: %w", s.cfg.Name, track.ID(), err)
		}
		s.senders[track] = sender
		s.spawn(func() { s.readFeedback(sender, track) })
		return nil
	})
}

func (s *Session) add(pc *webrtc.PeerConnection, track webrtc.TrackLocal) (*webrtc.RTPSender, error) {
	if !s.cfg.SendOnly {
		// In an inactive section Pion would send and nothing else. Only one side may do that, or both do.
		restore, err := s.hideReceivers(pc, track, func(t *webrtc.RTPTransceiver) bool {
			return t.Direction() == webrtc.RTPTransceiverDirectionInactive && s.peer.theirs[t.Mid()]
		})
		if err != nil {
			return nil, err
		}
		defer restore()
		return pc.AddTrack(track)
	}
	if hasFreeSection(pc, track.Kind()) {
		// The other side may not be able to receive there, unless it has asked for something.
		restore, err := s.hideReceivers(pc, track, func(t *webrtc.RTPTransceiver) bool {
			return t.Direction() != webrtc.RTPTransceiverDirectionSendonly
		})
		if err != nil {
			return nil, err
		}
		defer restore()
		return pc.AddTrack(track)
	}
	t, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	})
	if err != nil {
		return nil, err
	}
	return t.Sender(), nil
}

// hasFreeSection reports whether a track was sent in a section of ours and both sides know that it is not any more.
// Then AddTrack of Pion, too, takes it for another one.
func hasFreeSection(pc *webrtc.PeerConnection, kind webrtc.RTPCodecType) bool {
	free := make(map[string]bool) // by mid
	for _, t := range pc.GetTransceivers() {
		if t.Kind() == kind && t.Sender() == nil && t.Receiver() == nil && t.Mid() != "" {
			free[t.Mid()] = true
		}
	}
	if len(free) == 0 {
		return false
	}
	for _, d := range []*webrtc.SessionDescription{pc.CurrentLocalDescription(), pc.CurrentRemoteDescription()} {
		agreed := inactiveSections(d)
		maps.DeleteFunc(free, func(mid string, _ bool) bool { return !agreed[mid] })
	}
	return len(free) > 0
}

// hideReceivers keeps AddTrack of Pion away from sections of the other side, used or free, until restore is called.
func (s *Session) hideReceivers(
	pc *webrtc.PeerConnection, track webrtc.TrackLocal, which func(*webrtc.RTPTransceiver) bool,
) (restore func(), err error) {
	api, err := s.cfg.API()
	if err != nil {
		return nil, err
	}
	var restores []func()
	for _, t := range pc.GetTransceivers() {
		if t.Kind() != track.Kind() || t.Receiver() == nil || t.Sender() != nil || !which(t) {
			continue
		}
		substitute, err := api.NewRTPSender(track, pc.SCTP().Transport())
		if err != nil {
			continue
		}
		_ = t.SetSender(substitute, track) // of the same kind
		restores = append(restores, func() { _ = t.SetSender(substitute, nil) })
	}
	return func() {
		for _, f := range restores {
			f()
		}
	}, nil
}

// RemoveTrack takes a track away from the other side, with a new offer if the session runs. It does nothing for one
// that is not sent. The error is [ErrClosed].
func (s *Session) RemoveTrack(track webrtc.TrackLocal) error {
	return s.Change(func(pc *webrtc.PeerConnection) error {
		sender := s.senders[track]
		if sender == nil {
			return nil
		}
		delete(s.senders, track)
		err := pc.RemoveTrack(sender)
		if err != nil && !errors.Is(err, webrtc.ErrSenderNotCreatedByConnection) { // the other side has rejected it
			return fmt.Errorf("%s: remove track %s: %w", s.cfg.Name, track.ID(), err)
		}
		return nil
	})
}

// Change runs f between two steps of the negotiation, in the order of the calls, and then offers what has changed if
// the session runs. An error of f ends the session. Change returns [ErrClosed] if f will not run.
func (s *Session) Change(f func(*webrtc.PeerConnection) error) error {
	err := s.peer.Do(func(pc *webrtc.PeerConnection) error {
		if err := f(pc); err != nil {
			s.End(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if running {
		s.peer.Negotiate()
	}
	return nil
}

// RequestKeyFrame asks the other side for a key frame of a track, with a picture loss indication. A viewer that begins
// to decode needs one.
func (s *Session) RequestKeyFrame(track *webrtc.TrackRemote) error {
	err := s.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
	if err != nil {
		return fmt.Errorf("%s: request a key frame: %w", s.cfg.Name, err)
	}
	return nil
}

// readFeedback reads the RTCP packets about a track until its sender stops.
func (s *Session) readFeedback(sender *webrtc.RTPSender, track webrtc.TrackLocal) {
	buf := make([]byte, 1500)
	for {
		n, _, err := sender.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		if s.cfg.OnFeedback != nil {
			s.cfg.OnFeedback(track, packets)
		}
		if s.cfg.OnKeyFrame == nil {
			continue
		}
		for _, p := range packets {
			switch p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				s.cfg.OnKeyFrame(track)
			}
		}
	}
}

func (s *Session) trackArrived(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	read := receiver.Read
	if rid := track.RID(); rid != "" { // each encoding of a simulcast has its own
		read = func(buf []byte) (int, interceptor.Attributes, error) { return receiver.ReadSimulcast(buf, rid) }
	}
	s.spawn(func() {
		buf := make([]byte, 1500)
		for {
			if _, _, err := read(buf); err != nil {
				return
			}
		}
	})
	if s.cfg.OnTrack != nil {
		s.spawn(func() { s.cfg.OnTrack(track) })
	}
}

func (s *Session) channelOpened(ch *webrtc.DataChannel) {
	s.mu.Lock()
	s.channels++
	excess := s.channels > s.cfg.MaxChannels
	s.mu.Unlock()
	switch {
	case excess:
		s.End(ErrTooManyChannels)
	case s.cfg.OnChannel != nil:
		s.cfg.OnChannel(ch)
	}
}
