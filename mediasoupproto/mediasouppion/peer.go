package mediasouppion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// The defaults of [Options].
const (
	DefaultMaxConsumers   = 256
	DefaultConnectTimeout = pionpeer.DefaultConnectTimeout
)

// Options say what a [Peer] receives and whom it tells what happens. Nil and zero fields
// mean the defaults.
//
// The hooks are called under no lock. They must not block for long, with the exception of
// OnTrack, and must not call [Peer.Close], which waits for them; there, use another
// goroutine. [Peer.Publish] and [Peer.Consume] wait for the server: a hook that calls them
// does that in another goroutine, too.
type Options struct {
	// OnConsumer hears what another peer sends, which [Peer.Consume] receives, now or later.
	// Without it all is received if there is an OnTrack, and nothing otherwise.
	OnConsumer func(*mediasoupproto.ConsumerInfo)
	// OnTrack gets what a consumer receives, in a goroutine of its own. It may read until
	// the track ends and must return then. The track knows its codec from the first packet
	// on; see also [Consumer.Info].
	OnTrack func(*Consumer, *webrtc.TrackRemote)
	// OnClosed hears that a consumer that was received has ended: nil when its producer or
	// the application ended it, or why it failed.
	OnClosed func(*Consumer, error)
	// OnMessage gets what [Peer.Run] reads and does not deal with. Who comes and goes, and
	// pauses and profiles, are among it.
	OnMessage func(mediasoupproto.Message)

	// Codec chooses among the room's codecs. Those that repeat the packets of another one
	// go with it. Nil takes all.
	Codec func(*mediasoupproto.CodecCapability) bool
	// Settings are those of the peer connections, which set a few of their own.
	Settings webrtc.SettingEngine
	// Interceptors are those of the peer connections. Nil are requests for lost packets,
	// answers to them, and reports.
	Interceptors *interceptor.Registry
	// Configuration is that of the peer connections. A server of mediasoup needs none.
	Configuration webrtc.Configuration
	// TransportOptions are those of the transports. Nil asks for no TCP, which is not used.
	TransportOptions *mediasoupproto.TransportOptions

	MaxConsumers   int           // received at once; default 256
	ConnectTimeout time.Duration // from the server's answer until connected, and after a failure; default 30 s

	Logger *slog.Logger // nil discards
}

// A Peer sends and receives the media of one client. There is a transport with a peer
// connection for each direction, made when it is needed. Its methods may be called
// concurrently, except for Handle and Run.
type Peer struct {
	client *mediasoupproto.Client
	opts   Options
	log    *slog.Logger
	api    *webrtc.API
	caps   *mediasoupproto.RTPCapabilities
	codecs []codec
	cname  string
	ctx    context.Context // ends with the peer
	cancel context.CancelFunc
	begin  sync.Once
	work   sync.WaitGroup

	mu         sync.Mutex // held for looking things up and for queueing only
	closed     bool
	err        error // why it was closed; nil after Close
	send, recv *path // the present ones, or nil
	producers  map[*Producer]bool
	consumers  map[uint32]*Consumer // received, by id
	known      map[uint32]*offered  // what the server has told of, by id
}

// An offered is a consumer that the server has told of.
type offered struct {
	peerName string
	enabled  *path // over which the server sends it
}

// Join brings a client into its room with all of the room's codecs that the peer can have,
// or with those of m if it says some, and returns its peer. What the others send already is
// handed out by [Peer.Run], or with the first message of [Peer.Handle].
//
// The error is a [*mediasoupproto.Error] when the server refuses, or
// [mediasoupproto.ErrMandatoryCodec].
func Join(
	ctx context.Context, client *mediasoupproto.Client, m *mediasoupproto.Join, opts *Options,
) (*Peer, *mediasoupproto.JoinResult, error) {
	fail := func(err error) (*Peer, *mediasoupproto.JoinResult, error) {
		return nil, nil, fmt.Errorf("mediasouppion: join: %w", err)
	}
	room, err := client.QueryRoom(ctx)
	if err != nil {
		return fail(err)
	}
	p, err := NewPeer(client, room, opts)
	if err != nil {
		return fail(err)
	}
	join := *m
	if join.RTPCapabilities == nil {
		join.RTPCapabilities = p.Capabilities()
	}
	result, err := client.Join(ctx, &join)
	if err != nil {
		_ = p.Close()
		return fail(err)
	}
	return p, result, nil
}

// NewPeer returns the peer of a client whose room is as the server has said. The client must
// join with its [Peer.Capabilities], and the peer must be told with [Peer.Joined] if it runs
// by then; [Join] does all that. The peer does nothing by itself before [Peer.Run], or before
// messages are given to [Peer.Handle]. It ends with the client.
//
// The error is [ErrParameters] or [mediasoupproto.ErrMandatoryCodec].
func NewPeer(client *mediasoupproto.Client, room *mediasoupproto.QueryRoomResult, opts *Options) (*Peer, error) {
	p := &Peer{
		client:    client,
		producers: make(map[*Producer]bool),
		consumers: make(map[uint32]*Consumer),
		known:     make(map[uint32]*offered),
		cname:     randomText(16), // a length with which servers of mediasoup 2 write correct RTCP
	}
	if opts != nil {
		p.opts = *opts
	}
	p.opts.MaxConsumers = cmp.Or(p.opts.MaxConsumers, DefaultMaxConsumers)
	p.opts.ConnectTimeout = cmp.Or(p.opts.ConnectTimeout, DefaultConnectTimeout)
	if p.opts.TransportOptions == nil {
		p.opts.TransportOptions = &mediasoupproto.TransportOptions{TCP: new(false)}
	}
	if p.log = p.opts.Logger; p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if p.caps, p.codecs, err = capabilities(room, p.opts.Codec); err != nil {
		return nil, err
	}
	if p.api, err = newAPI(p.codecs, p.opts.Settings, p.opts.Interceptors, p.primary); err != nil {
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(func() {
		select {
		case <-client.Done():
			p.shut(cmp.Or(client.Err(), ErrDisconnected))
		case <-p.ctx.Done():
		}
	})
	return p, nil
}

// capabilities returns what a bot can have of a room: its codecs, by its payload types.
func capabilities(
	room *mediasoupproto.QueryRoomResult, accept func(*mediasoupproto.CodecCapability) bool,
) (*mediasoupproto.RTPCapabilities, []codec, error) {
	if room == nil || room.RTPCapabilities == nil {
		return nil, nil, fmt.Errorf("%w: no rtpCapabilities", ErrParameters)
	}
	taken := make(map[uint8]bool) // payload types
	var all []codec
	for i := range room.RTPCapabilities.Codecs {
		c := &room.RTPCapabilities.Codecs[i]
		one, err := newCodec(c)
		if err != nil {
			return nil, nil, err
		}
		if one.isRTX() || accept == nil || accept(c) {
			all = append(all, one)
		}
		if taken[one.payloadType] {
			return nil, nil, fmt.Errorf("%w: two codecs %d", ErrParameters, one.payloadType)
		}
		taken[one.payloadType] = true
	}
	caps := &mediasoupproto.RTPCapabilities{
		Codecs:           []mediasoupproto.CodecCapability{},
		HeaderExtensions: []mediasoupproto.HeaderExtensionCapability{},
	}
	has := make(map[int]bool)
	for i := range all {
		has[int(all[i].payloadType)] = !all[i].isRTX()
	}
	var codecs []codec
	for i := range all {
		c := &all[i]
		if c.isRTX() && !has[c.apt] {
			continue
		}
		for j := range room.RTPCapabilities.Codecs {
			if of := &room.RTPCapabilities.Codecs[j]; of.PreferredPayloadType == c.payloadType {
				caps.Codecs = append(caps.Codecs, c.capability(of.Parameters))
			}
		}
		codecs = append(codecs, *c)
	}
	for _, pt := range room.MandatoryCodecPayloadTypes {
		if !has[int(pt)] {
			return nil, nil, fmt.Errorf("%w: payload type %d", mediasoupproto.ErrMandatoryCodec, pt)
		}
	}
	for _, e := range room.RTPCapabilities.HeaderExtensions {
		switch e.URI {
		case mediasoupproto.ExtensionAudioLevel, mediasoupproto.ExtensionAbsSendTime,
			mediasoupproto.ExtensionVideoOrientation:
			caps.HeaderExtensions = append(caps.HeaderExtensions, mediasoupproto.HeaderExtensionCapability{
				Kind: e.Kind, URI: e.URI, PreferredID: e.PreferredID,
			})
		}
	}
	return caps, codecs, nil
}

func (c *codec) capability(parameters mediasoupproto.Fields) mediasoupproto.CodecCapability {
	out := mediasoupproto.CodecCapability{
		Name: c.name, MimeType: c.mimeType(), Kind: c.kind, ClockRate: c.clockRate, Channels: c.channels,
		PreferredPayloadType: c.payloadType, Parameters: parameters,
	}
	if !c.isRTX() {
		out.RTCPFeedback = append([]mediasoupproto.RTCPFeedback{}, c.feedback...)
	}
	return out
}

// newAPI returns what makes peer connections with exactly these codecs.
func newAPI(
	codecs []codec, settings webrtc.SettingEngine, interceptors *interceptor.Registry, primary func(rtx uint32) uint32,
) (*webrtc.API, error) {
	engine := new(webrtc.MediaEngine)
	for i := range codecs {
		c := &codecs[i]
		capability := webrtc.RTPCodecCapability{
			MimeType: c.mimeType(), ClockRate: c.clockRate, Channels: c.channels, SDPFmtpLine: c.fmtp,
		}
		for _, f := range c.feedback {
			capability.RTCPFeedback = append(capability.RTCPFeedback, webrtc.RTCPFeedback{
				Type: f.Type, Parameter: f.Parameter,
			})
		}
		err := engine.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: capability, PayloadType: webrtc.PayloadType(c.payloadType),
		}, webrtc.NewRTPCodecType(string(c.kind)))
		if err != nil {
			return nil, fmt.Errorf("%w: codec %d: %w", ErrParameters, c.payloadType, err)
		}
	}
	if interceptors == nil {
		interceptors = new(interceptor.Registry)
		responder, err := nack.NewResponderInterceptor()
		if err != nil {
			return nil, fmt.Errorf("mediasouppion: %w", err)
		}
		interceptors.Add(responder)
		interceptors.Add(requesterFactory{primary})
		if err := webrtc.ConfigureRTCPReports(interceptors); err != nil {
			return nil, fmt.Errorf("mediasouppion: %w", err)
		}
	}
	settings.DisableMediaEngineMultipleCodecs(false) // each section has its own
	settings.SetFireOnTrackBeforeFirstRTP(true)      // a consumer is enabled once it can be received
	settings.DisableCloseByDTLS(true)                // the server says what it closes
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(engine),
		webrtc.WithSettingEngine(settings),
		webrtc.WithInterceptorRegistry(interceptors),
	), nil
}

const digits = "0123456789abcdefghijklmnopqrstuvwxyz"

func randomText(n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = digits[rand.IntN(len(digits))]
	}
	return string(text)
}

// Capabilities returns what the client has to join with: the room's codecs that the peer
// takes, by the room's payload types. They must not be changed.
func (p *Peer) Capabilities() *mediasoupproto.RTPCapabilities { return p.caps }

// Run handles the messages of the client until that, ctx or the peer ends, then closes the
// peer. It returns nil after an orderly end of the client, or the cause.
func (p *Peer) Run(ctx context.Context) error {
	defer p.Close()
	p.announceKnown()
	return pionpeer.Run(ctx, p.client.Messages, ErrDisconnected, pionpeer.Handler[mediasoupproto.Message]{
		Package: "mediasouppion", Closed: p.ctx.Done(), Ended: p.client.Done(),
		Handle: p.Handle, Other: p.opts.OnMessage, Shut: p.shut, Log: p.log,
	})
}

// Handle takes a message of the client, for an application with a loop of its own; one
// goroutine calls it with all of them, in the order of arrival. handled is false for a
// message that the application may want to know of. The error is about a message that the
// peer could not use, which is not grave. The first call, whose message may be nil, hands out
// what is there already.
func (p *Peer) Handle(m mediasoupproto.Message) (handled bool, err error) {
	p.announceKnown()
	switch m := m.(type) {
	case *mediasoupproto.NewConsumer:
		p.announce(m.Info())
		return true, nil
	case *mediasoupproto.NewPeer:
		p.announceAll([]*mediasoupproto.PeerInfo{{Name: m.Name, Consumers: m.Consumers}})
	case *mediasoupproto.ConsumerClosed:
		p.forget(func(id uint32, _ *offered) bool { return id == m.ID })
		return true, nil
	case *mediasoupproto.PeerClosed:
		p.forget(func(_ uint32, o *offered) bool { return o.peerName == m.Name })
	case *mediasoupproto.ConsumerPaused:
		p.consumer(m.ID, func(c *Consumer) { c.sourcePaused, c.told = true, true })
	case *mediasoupproto.ConsumerResumed:
		p.consumer(m.ID, func(c *Consumer) { c.sourcePaused, c.told = false, true })
	case *mediasoupproto.ConsumerPreferredProfileSet:
		p.consumer(m.ID, func(c *Consumer) { c.preferred = m.Profile })
	case *mediasoupproto.ConsumerEffectiveProfileChanged:
		p.consumer(m.ID, func(c *Consumer) { c.effective = m.Profile })
	case *mediasoupproto.ProducerPaused:
		p.producer(m.ID, func(pr *Producer) { pr.serverPaused = true })
	case *mediasoupproto.ProducerResumed:
		p.producer(m.ID, func(pr *Producer) { pr.serverPaused = false })
	case *mediasoupproto.ProducerClosed:
		if pr := p.producer(m.ID, func(*Producer) {}); pr != nil {
			pr.end(ErrClosedByServer, false)
		}
		return true, nil
	case *mediasoupproto.TransportClosed:
		p.mu.Lock()
		w := p.send
		if w == nil || w.id != m.ID {
			w = p.recv
		}
		p.mu.Unlock()
		if w != nil && w.id == m.ID {
			w.end(ErrClosedByServer, false)
		}
		return true, nil
	case *mediasoupproto.Closed:
		p.reset(mediasoupproto.ErrLeft, false)
	case *mediasoupproto.Reconnected:
		p.reset(ErrDisconnected, m.Joined != nil)
		if m.Joined != nil {
			p.announceAll(m.Joined.Peers)
		}
		p.resume()
	}
	return false, nil
}

// consumer changes the state of a consumer that is received.
func (p *Peer) consumer(id uint32, change func(*Consumer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.consumers[id]; c != nil {
		change(c)
	}
}

// producer changes the state of a producer, and returns it unless there is none.
func (p *Peer) producer(id uint32, change func(*Producer)) *Producer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pr := range p.producers {
		if pr.created && pr.id == id {
			change(pr)
			return pr
		}
	}
	return nil
}

// announceKnown hands out what was there when the client joined.
func (p *Peer) announceKnown() { p.begin.Do(p.Joined) }

// Joined hands out what the others send already, after a join that the application has made
// by itself: see [NewPeer], or one after the server has thrown the client out. What has been
// handed out is not handed out again.
func (p *Peer) Joined() { p.announceAll(p.client.Peers()) }

func (p *Peer) announceAll(peers []*mediasoupproto.PeerInfo) {
	for _, peer := range peers {
		if peer == nil {
			continue
		}
		for _, info := range peer.Consumers {
			if info == nil {
				continue
			}
			if info.PeerName == "" {
				named := *info
				named.PeerName = peer.Name
				info = &named
			}
			p.announce(info)
		}
	}
}

// announce hands out what the server tells of, once.
func (p *Peer) announce(info *mediasoupproto.ConsumerInfo) {
	p.mu.Lock()
	if p.closed || p.known[info.ID] != nil {
		p.mu.Unlock()
		return
	}
	p.known[info.ID] = &offered{peerName: info.PeerName}
	all := p.opts.OnConsumer == nil && p.opts.OnTrack != nil
	if all {
		p.work.Go(func() {
			if _, err := p.Consume(p.ctx, info, nil); err != nil && !errors.Is(err, ErrClosed) && p.ctx.Err() == nil {
				p.log.Warn("mediasouppion: not received", "consumer", info.ID, "error", err)
			}
		})
	}
	p.mu.Unlock()
	if p.opts.OnConsumer != nil {
		p.opts.OnConsumer(info)
	}
}

// forget ends what the server has ended.
func (p *Peer) forget(which func(id uint32, o *offered) bool) {
	p.mu.Lock()
	var ended []*Consumer
	for id, o := range p.known {
		if !which(id, o) {
			continue
		}
		delete(p.known, id)
		if c := p.consumers[id]; c != nil {
			ended = append(ended, c)
		}
	}
	p.mu.Unlock()
	for _, c := range ended {
		c.end(nil)
	}
}

// reset ends all that the server has forgotten. Producers wait to be published again if
// there is another connection.
func (p *Peer) reset(cause error, again bool) {
	p.mu.Lock()
	clear(p.known)
	paths := p.paths()
	var waiting []*Producer
	for pr := range p.producers {
		if again && p.suspend(pr) {
			continue
		}
		waiting = append(waiting, pr)
	}
	p.mu.Unlock()
	for _, w := range paths {
		w.end(cause, false)
	}
	for _, pr := range waiting {
		pr.end(cause, false)
	}
}

// paths returns those that there are. Called with the lock held.
func (p *Peer) paths() (all []*path) {
	for _, w := range []*path{p.send, p.recv} {
		if w != nil {
			all = append(all, w)
		}
	}
	return all
}

// Restart restarts ICE on all transports, for a network that has changed. It waits until the
// server has taken it, not until there is a new path.
func (p *Peer) Restart(ctx context.Context) error {
	p.mu.Lock()
	paths := p.paths()
	p.mu.Unlock()
	var errs []error
	for _, w := range paths {
		err := w.do(ctx, func() error {
			if w.server == nil {
				return nil
			}
			return w.ended(w.negotiate(true))
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("mediasouppion: restart: %w", err))
		}
	}
	return errors.Join(errs...)
}

// tell sends what nobody waits for: it fails only when there is nobody to tell.
func (p *Peer) tell(m mediasoupproto.Message) {
	if err := p.client.Send(m); err != nil {
		p.log.Debug("mediasouppion: send", "error", err)
	}
}

// Close ends all producers and consumers, closes the transports and waits for all that. The
// client stays the caller's, and in its room. A client that leaves its room closes its peer,
// too: the server has forgotten what the peer has.
func (p *Peer) Close() error {
	p.shut(nil)
	p.work.Wait()
	return nil
}

func (p *Peer) shut(cause error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed, p.err = true, cause
	paths := p.paths()
	var producers []*Producer
	for pr := range p.producers {
		producers = append(producers, pr)
	}
	p.mu.Unlock()
	for _, w := range paths {
		w.end(cause, true)
	}
	for _, pr := range producers { // that wait for a path
		pr.end(cause, false)
	}
	p.cancel()
}

// Done is closed when the peer has been closed or its client has ended.
func (p *Peer) Done() <-chan struct{} { return p.ctx.Done() }

// Err returns why the peer ended: nil before that and after [Peer.Close].
func (p *Peer) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
