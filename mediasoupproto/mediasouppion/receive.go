package mediasouppion

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// ConsumeOptions say how a consumer is received. Nil and zero fields mean the defaults.
type ConsumeOptions struct {
	Paused           bool                   // from the beginning
	PreferredProfile mediasoupproto.Profile // of several streams; default the best one
}

// A Consumer is what a client receives of another peer's producer. Its methods may be called
// concurrently.
type Consumer struct {
	peer   *Peer
	info   *mediasoupproto.ConsumerInfo
	codecs []codec
	ssrc   uint32
	rtx    uint32 // or 0
	done   chan struct{}
	ready  chan struct{} // closed when the track is there

	// Guarded by the peer's lock.
	path         *path
	track        *webrtc.TrackRemote
	enabled      bool // the application has it
	paused       bool // by the application
	sourcePaused bool // by anybody else
	told         bool // of that, after the server has begun to send
	preferred    mediasoupproto.Profile
	effective    mediasoupproto.Profile
	over         bool
	err          error
}

// Consume receives a consumer that the server has told of, and waits until that sends it.
// The error is a [*mediasoupproto.Error] when the server refuses,
// [mediasoupproto.ErrUnsupportedCodecs], [ErrDuplicate], [ErrTooManyConsumers],
// [ErrParameters], or why the consumer has ended meanwhile.
func (p *Peer) Consume(
	ctx context.Context, info *mediasoupproto.ConsumerInfo, opts *ConsumeOptions,
) (*Consumer, error) {
	c, err := p.newConsumer(info, opts)
	if err == nil {
		err = c.begin(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("mediasouppion: consume: %w", err)
	}
	return c, nil
}

// newConsumer checks what the server says of a consumer.
func (p *Peer) newConsumer(info *mediasoupproto.ConsumerInfo, opts *ConsumeOptions) (*Consumer, error) {
	if info == nil || info.RTPParameters == nil {
		return nil, fmt.Errorf("%w: no rtpParameters", ErrParameters)
	}
	c := &Consumer{peer: p, info: info, done: make(chan struct{}), ready: make(chan struct{})}
	if opts != nil {
		c.paused, c.preferred = opts.Paused, opts.PreferredProfile
	}
	codecs := info.RTPParameters.Codecs
	if len(codecs) > 0 && codecs[0].PayloadType != nil {
		c.codecs = withRTX(p.codecs, *codecs[0].PayloadType)
	}
	if len(c.codecs) == 0 || c.codecs[0].kind != info.Kind {
		return nil, mediasoupproto.ErrUnsupportedCodecs
	}
	if len(info.RTPParameters.Encodings) == 0 || info.RTPParameters.Encodings[0].SSRC == 0 {
		return nil, fmt.Errorf("%w: no SSRC", ErrParameters)
	}
	e := &info.RTPParameters.Encodings[0]
	c.ssrc = e.SSRC
	if e.RTX != nil && len(c.codecs) == 2 {
		c.rtx = e.RTX.SSRC
	}
	if c.rtx == c.ssrc {
		return nil, fmt.Errorf("%w: one SSRC for two streams", ErrParameters)
	}
	return c, nil
}

func (c *Consumer) begin(ctx context.Context) error {
	w, again, err := c.assign()
	if err != nil {
		return err
	}
	if err = c.enable(ctx, w, again); err != nil {
		c.end(err)
	}
	return err
}

// assign gives the consumer a path. again is set when the server sends it over this path
// already.
func (c *Consumer) assign() (w *path, again bool, err error) {
	p := c.peer
	for {
		w, err := p.path(mediasoupproto.DirectionRecv)
		if err != nil {
			return nil, false, err
		}
		p.mu.Lock()
		switch {
		case p.recv != w:
			p.mu.Unlock()
			continue
		case p.consumers[c.info.ID] != nil:
			err = ErrDuplicate
		case len(p.consumers) >= p.opts.MaxConsumers:
			err = ErrTooManyConsumers
		case p.sharesSSRC(c):
			err = fmt.Errorf("%w: the SSRC of another consumer", ErrParameters)
		default:
			c.path = w
			p.consumers[c.info.ID] = c
			o := p.known[c.info.ID]
			again = o != nil && o.enabled == w
		}
		p.mu.Unlock()
		return w, again, err
	}
}

// sharesSSRC reports whether another consumer has an SSRC of c. Called with the lock held.
func (p *Peer) sharesSSRC(c *Consumer) bool {
	for _, other := range p.consumers {
		for _, ssrc := range []uint32{c.ssrc, c.rtx} {
			if ssrc != 0 && (ssrc == other.ssrc || ssrc == other.rtx) {
				return true
			}
		}
	}
	return false
}

// primary returns the SSRC of the consumer whose packets are sent again by another one, or 0.
func (p *Peer) primary(rtx uint32) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.consumers {
		if c.rtx == rtx && rtx != 0 {
			return c.ssrc
		}
	}
	return 0
}

// enable has the server send the consumer once it can be received.
func (c *Consumer) enable(ctx context.Context, w *path, again bool) error {
	p := c.peer
	if err := w.do(ctx, func() error { return w.receive(c) }); err != nil {
		return err
	}
	select {
	case <-c.ready:
	case <-c.done:
		return c.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	paused, preferred := c.paused, c.preferred
	if c.over {
		p.mu.Unlock()
		return c.cause()
	}
	if o := p.known[c.info.ID]; o != nil {
		o.enabled = w
	}
	p.mu.Unlock()
	if again {
		// The application has closed it, which pauses it for good.
		if err := p.client.Send(c.pauseMessage(paused, nil)); err != nil {
			return err
		}
		if preferred != "" {
			p.tell(&mediasoupproto.SetConsumerPreferredProfile{ID: c.info.ID, Profile: preferred})
		}
		p.mu.Lock()
		if !c.told {
			c.sourcePaused = p.pausedByOthers(c.info)
		}
	} else {
		result, err := p.client.EnableConsumer(ctx, &mediasoupproto.EnableConsumer{
			ID: c.info.ID, TransportID: w.id, Paused: paused, PreferredProfile: preferred,
		})
		p.mu.Lock()
		if err != nil {
			_, refused := errors.AsType[*mediasoupproto.Error](err)
			if o := p.known[c.info.ID]; o != nil && refused {
				o.enabled = nil
			}
			p.mu.Unlock()
			if !refused { // the server may have it
				p.tell(c.pauseMessage(true, nil))
			}
			return err
		}
		if !c.told { // the answer is older
			c.sourcePaused = result.Paused
		}
		if result.EffectiveProfile != nil && c.effective == "" {
			c.effective = *result.EffectiveProfile
		}
		if c.preferred == "" {
			c.preferred = result.PreferredProfile
		}
	}
	defer p.mu.Unlock()
	if c.over {
		return cmp.Or(c.err, ErrClosed)
	}
	c.enabled = true
	if p.opts.OnTrack != nil && !p.closed {
		p.work.Go(func() { p.opts.OnTrack(c, c.Track()) })
	}
	if c.paused != paused {
		defer p.tell(c.pauseMessage(c.paused, nil))
	}
	return nil
}

// pausedByOthers returns what the client knows of a consumer.
func (p *Peer) pausedByOthers(info *mediasoupproto.ConsumerInfo) bool {
	for _, peer := range p.client.Peers() {
		for _, c := range peer.Consumers {
			if c.ID == info.ID {
				return c.Paused
			}
		}
	}
	return info.Paused
}

// cause returns why the consumer ended while somebody waited for it.
func (c *Consumer) cause() error { return cmp.Or(c.Err(), ErrClosed) }

// receive makes room for what a consumer receives. It runs in the goroutine of the path.
func (w *path) receive(c *Consumer) error {
	w.peer.mu.Lock()
	gone := c.over || c.path != w
	w.peer.mu.Unlock()
	if gone {
		return c.cause()
	}
	st := &stream{id: c.info.ID, ssrc: c.ssrc, rtx: c.rtx}
	free := slices.IndexFunc(w.sections, func(s section) bool {
		return s.stream == nil && s.kind == c.info.Kind && s.codecs[0].payloadType == c.codecs[0].payloadType &&
			len(s.codecs) == len(c.codecs)
	})
	if free < 0 {
		free = len(w.sections)
		w.sections = append(w.sections, section{
			mid: strconv.Itoa(free), kind: c.info.Kind, codecs: c.codecs,
		})
	}
	w.sections[free].stream, w.sections[free].direction = st, "sendonly"
	return w.ended(w.negotiate(false))
}

// dismiss takes the room of a consumer back. It runs in the goroutine of the path.
func (w *path) dismiss(id uint32) {
	for i := range w.sections {
		if s := &w.sections[i]; s.stream != nil && s.stream.id == id {
			// Not inactive: Pion would stop what is to receive here next, and use it all the
			// same. Its answer is inactive.
			s.stream, s.direction = nil, "recvonly"
			_ = w.ended(w.negotiate(false))
			return
		}
	}
}

// arrived hears from Pion that packets of a stream can be received.
func (w *path) arrived(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	p := w.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.consumers {
		if c.path != w || c.ssrc != uint32(track.SSRC()) || c.track != nil || p.closed {
			continue
		}
		c.track = track
		close(c.ready)
		p.work.Go(func() { // the interceptors see reports only when somebody reads them
			buf := make([]byte, 1500)
			for {
				if _, _, err := receiver.Read(buf); err != nil {
					return
				}
			}
		})
	}
}

// end ends a consumer; the first cause counts. It reports whether this is it.
func (c *Consumer) end(cause error) bool {
	p := c.peer
	p.mu.Lock()
	if c.over {
		p.mu.Unlock()
		return false
	}
	c.over, c.err = true, cause
	delete(p.consumers, c.info.ID)
	w, enabled := c.path, c.enabled
	p.mu.Unlock()
	w.enqueue(func() { w.dismiss(c.info.ID) })
	close(c.done)
	if enabled && p.opts.OnClosed != nil {
		p.opts.OnClosed(c, cause)
	}
	return true
}

// Close stops receiving. The server has no word for that: the consumer is paused there, and
// may be consumed again.
func (c *Consumer) Close() error {
	c.peer.mu.Lock()
	tell := c.enabled && !c.paused
	c.peer.mu.Unlock()
	if c.end(nil) && tell {
		c.peer.tell(c.pauseMessage(true, nil))
	}
	return nil
}

func (c *Consumer) pauseMessage(paused bool, appData json.RawMessage) mediasoupproto.Message {
	if paused {
		return &mediasoupproto.PauseConsumer{ID: c.info.ID, AppData: appData}
	}
	return &mediasoupproto.ResumeConsumer{ID: c.info.ID, AppData: appData}
}

// Pause has the server stop sending. appData is any JSON for the server application, or nil.
func (c *Consumer) Pause(appData json.RawMessage) error { return c.setPaused(true, appData) }

// Resume ends a [Consumer.Pause]. Video then begins with a key frame.
func (c *Consumer) Resume(appData json.RawMessage) error { return c.setPaused(false, appData) }

func (c *Consumer) setPaused(paused bool, appData json.RawMessage) error {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock() // so that what is said last is what is so
	switch {
	case c.over:
		return ErrClosed
	case c.paused == paused:
		return nil
	}
	c.paused = paused
	return p.client.Send(c.pauseMessage(paused, appData))
}

// Paused reports whether the consumer is paused: by the application, its producer, or the
// server.
func (c *Consumer) Paused() bool {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.paused || c.sourcePaused
}

// SetPreferredProfile says which stream is wanted of a producer that sends several.
func (c *Consumer) SetPreferredProfile(profile mediasoupproto.Profile) error {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.over {
		return ErrClosed
	}
	m := &mediasoupproto.SetConsumerPreferredProfile{ID: c.info.ID, Profile: profile}
	if err := p.client.Send(m); err != nil {
		return err
	}
	c.preferred = profile
	return nil
}

// PreferredProfile returns which stream is wanted.
func (c *Consumer) PreferredProfile() mediasoupproto.Profile {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.preferred
}

// EffectiveProfile returns which stream the server sends, or "" before the first packet.
func (c *Consumer) EffectiveProfile() mediasoupproto.Profile {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.effective
}

// RequestKeyFrame asks for a key frame, with a picture loss indication. The server asks for
// one by itself when it begins to send and when a pause ends.
func (c *Consumer) RequestKeyFrame() error {
	c.peer.mu.Lock()
	w, over, track := c.path, c.over, c.track
	c.peer.mu.Unlock()
	if over || track == nil {
		return ErrClosed
	}
	err := w.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: c.ssrc}})
	if err != nil {
		return fmt.Errorf("mediasouppion: request a key frame: %w", err)
	}
	return nil
}

// ID returns the id of the consumer.
func (c *Consumer) ID() uint32 { return c.info.ID }

// Kind returns whether it is audio or video.
func (c *Consumer) Kind() mediasoupproto.Kind { return c.info.Kind }

// PeerName returns the name of the peer that sends.
func (c *Consumer) PeerName() string { return c.info.PeerName }

// Info returns what the server has said of the consumer. It must not be changed.
func (c *Consumer) Info() *mediasoupproto.ConsumerInfo { return c.info }

// Track returns what is received. It has been nil before the consumer was returned or given
// to a hook, not after. Its codec is known from the first packet on.
func (c *Consumer) Track() *webrtc.TrackRemote {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.track
}

// PeerConnection returns the Pion side of the transport, or nil, for statistics. Its negotiation
// and its callbacks belong to the Peer.
func (c *Consumer) PeerConnection() *webrtc.PeerConnection {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	if c.path == nil || c.over {
		return nil
	}
	return c.path.pc
}

// Done is closed when the consumer has ended.
func (c *Consumer) Done() <-chan struct{} { return c.done }

// Err returns why the consumer ended, as [Options.OnClosed] has it.
func (c *Consumer) Err() error {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.err
}
