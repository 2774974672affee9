package mediasouppion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

// PublishOptions say how a track is published. Nil and zero fields mean the defaults.
//
// The hooks are called as those of [Options].
type PublishOptions struct {
	Paused  bool            // from the beginning
	AppData json.RawMessage // any JSON, for the others
	// HeaderExtensions are in the packets of the track. The room must have them.
	HeaderExtensions []mediasoupproto.HeaderExtension
	// Once ends the producer when the connection to the server is lost. Otherwise it is
	// published again after that.
	Once bool

	// OnKeyFrame hears that somebody needs a key frame of the track.
	OnKeyFrame func(webrtc.TrackLocal)
}

// A Producer is a track that a client sends. Its methods may be called concurrently.
type Producer struct {
	peer *Peer
	kind mediasoupproto.Kind
	opts PublishOptions
	done chan struct{}

	// Guarded by the peer's lock.
	track        webrtc.TrackLocal
	paused       bool // by the application
	serverPaused bool
	path         *path // over which it is or will be sent; nil while it waits
	sender       *webrtc.RTPSender
	line         *timeline // of what the sender sends
	codec        webrtc.PayloadType
	id           uint32
	created      bool // the server has it
	once         bool // created has been set before
	over         bool
	err          error
}

// Publish sends a track as one stream, and waits until the server has taken it. A refusal is
// a [*mediasoupproto.Error] or [ErrCodec]. The end of ctx withdraws it.
func (p *Peer) Publish(ctx context.Context, track webrtc.TrackLocal, opts *PublishOptions) (*Producer, error) {
	pr := &Producer{peer: p, track: track, done: make(chan struct{})}
	if opts != nil {
		pr.opts = *opts
	}
	pr.paused = pr.opts.Paused
	if err := pr.begin(ctx); err != nil {
		return nil, fmt.Errorf("mediasouppion: publish: %w", err)
	}
	return pr, nil
}

func (pr *Producer) begin(ctx context.Context) error {
	p := pr.peer
	if pr.track == nil {
		return errNoTrack
	}
	pr.kind = mediasoupproto.Kind(pr.track.Kind().String())
	if len(ofKind(p.codecs, pr.kind)) == 0 {
		return ErrCodec
	}
	w, err := pr.assign()
	if err == nil {
		if err = w.do(ctx, func() error { return w.publish(pr) }); err != nil {
			pr.end(err, true)
		}
	}
	return err
}

// assign gives the producer a path.
func (pr *Producer) assign() (*path, error) {
	p := pr.peer
	for {
		w, err := p.path(mediasoupproto.DirectionSend)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		current, over := p.send == w, pr.over
		if current && !over {
			pr.path = w
			p.producers[pr] = true
		}
		p.mu.Unlock()
		switch {
		case over:
			return nil, ErrClosed
		case current:
			return w, nil
		}
	}
}

// publish begins to send a producer. It runs in the goroutine of the path.
func (w *path) publish(pr *Producer) error {
	p := w.peer
	p.mu.Lock()
	track, gone := pr.track, pr.over || pr.path != w
	p.mu.Unlock()
	if gone {
		return ErrClosed
	}
	out := &outgoing{TrackLocal: track, line: new(timeline)}
	sender, err := w.addTrack(out)
	if err != nil {
		return err
	}
	if err := w.ended(w.negotiate(false)); err != nil {
		return err
	}
	err = w.produce(pr, sender, out)
	if err != nil {
		if !isLoss(err) {
			w.removeTrack(sender)
		}
		return err
	}
	return nil
}

// produce tells the server of a track that has been negotiated.
func (w *path) produce(pr *Producer, sender *webrtc.RTPSender, out *outgoing) error {
	p := w.peer
	codec, err := out.result()
	if err != nil {
		return err
	}
	mid := ""
	for _, t := range w.pc.GetTransceivers() {
		if t.Sender() == sender {
			mid = t.Mid()
		}
	}
	parameters, err := p.rtpParameters(pr, mid, sender.GetParameters().Encodings, codec)
	if err != nil {
		return err
	}
	id := mediasoupproto.NewID()
	p.mu.Lock()
	if pr.over || pr.path != w {
		p.mu.Unlock()
		return ErrClosed
	}
	paused := pr.paused
	// From here on the end of the producer tells the server, and takes the track away.
	pr.id, pr.sender, pr.line, pr.codec, pr.serverPaused = id, sender, out.line, codec.PayloadType, false
	p.mu.Unlock()
	err = p.client.CreateProducer(w.ctx, &mediasoupproto.CreateProducer{
		ID: id, Kind: pr.kind, TransportID: w.id, RTPParameters: parameters, Paused: paused, AppData: pr.opts.AppData,
	})
	if _, refused := errors.AsType[*mediasoupproto.Error](err); err != nil && !refused {
		p.tell(&mediasoupproto.CloseProducer{ID: id}) // the server may have it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		pr.sender = nil
		return err
	}
	if pr.path != w {
		return ErrClosed
	}
	pr.created, pr.once = true, true
	if pr.paused != paused && !pr.over {
		defer p.tell(pr.pause(pr.paused, nil))
	}
	p.work.Go(func() { pr.readFeedback(sender) })
	return nil
}

// rtpParameters returns how the packets of a track are sent.
func (p *Peer) rtpParameters(
	pr *Producer, mid string, encodings []webrtc.RTPEncodingParameters, bound webrtc.RTPCodecParameters,
) (*mediasoupproto.RTPParameters, error) {
	codecs := withRTX(p.codecs, uint8(bound.PayloadType))
	if len(codecs) == 0 || len(encodings) != 1 {
		return nil, ErrCodec
	}
	parameters := &mediasoupproto.RTPParameters{
		MuxID:            mediasoupproto.MuxID(mid),
		HeaderExtensions: append([]mediasoupproto.HeaderExtension{}, pr.opts.HeaderExtensions...),
		RTCP: &mediasoupproto.RTCPParameters{
			CNAME: new(p.cname), ReducedSize: new(true), Mux: new(true),
		},
	}
	for i := range codecs {
		c := &codecs[i]
		for j := range p.caps.Codecs {
			if of := &p.caps.Codecs[j]; of.PreferredPayloadType == c.payloadType {
				parameters.Codecs = append(parameters.Codecs, mediasoupproto.CodecParameters{
					Name: of.Name, MimeType: of.MimeType, ClockRate: of.ClockRate, PayloadType: new(c.payloadType),
					Channels: of.Channels, RTCPFeedback: of.RTCPFeedback, Parameters: of.Parameters,
				})
			}
		}
	}
	encoding := mediasoupproto.Encoding{SSRC: uint32(encodings[0].SSRC)}
	if rtx := uint32(encodings[0].RTX.SSRC); rtx != 0 && len(codecs) == 2 {
		encoding.RTX = &mediasoupproto.RTX{SSRC: rtx}
	}
	parameters.Encodings = []mediasoupproto.Encoding{encoding}
	return parameters, nil
}

// addTrack puts a track into a section of its own: one that is free, or a new one.
func (w *path) addTrack(track webrtc.TrackLocal) (*webrtc.RTPSender, error) {
	for _, t := range w.pc.GetTransceivers() {
		// The server has been told that nothing is sent in a section whose sender is gone:
		// that is negotiated at once.
		if t.Kind() == track.Kind() && t.Sender() == nil {
			return w.pc.AddTrack(track)
		}
	}
	t, err := w.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	})
	if err != nil {
		return nil, fmt.Errorf("add track %s: %w", track.ID(), err)
	}
	return t.Sender(), nil
}

// removeTrack stops sending a track, unless that has been done.
func (w *path) removeTrack(sender *webrtc.RTPSender) {
	err := w.pc.RemoveTrack(sender)
	if errors.Is(err, webrtc.ErrSenderNotCreatedByConnection) {
		return
	}
	if err != nil {
		_ = w.ended(fmt.Errorf("mediasouppion: remove track: %w", err))
		return
	}
	_ = w.ended(w.negotiate(false))
}

// readFeedback reads the RTCP packets about a track until its sender stops. The interceptors
// see them only when somebody does.
func (pr *Producer) readFeedback(sender *webrtc.RTPSender) {
	buf := make([]byte, 1500)
	for {
		n, _, err := sender.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil || pr.opts.OnKeyFrame == nil {
			continue
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				pr.peer.mu.Lock()
				track := pr.track
				pr.peer.mu.Unlock()
				pr.opts.OnKeyFrame(track)
			}
		}
	}
}

// suspend makes a producer wait for another connection, unless it is not to be published
// again. Called with the lock held.
func (p *Peer) suspend(pr *Producer) bool {
	if pr.opts.Once || !pr.once || pr.over || p.closed {
		return false
	}
	pr.path, pr.sender, pr.created = nil, nil, false
	return true
}

// resume publishes again what waits for it.
func (p *Peer) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pr := range p.producers {
		if pr.path != nil || p.closed {
			continue
		}
		p.work.Go(func() {
			w, err := pr.assign()
			if err == nil {
				err = w.do(p.ctx, func() error { return w.publish(pr) })
			}
			p.mu.Lock()
			waits := err != nil && isLoss(err) && p.suspend(pr)
			p.mu.Unlock()
			if err != nil && !waits {
				pr.end(fmt.Errorf("mediasouppion: publish again: %w", err), true)
			}
		})
	}
}

// end ends a producer; the first cause counts.
func (pr *Producer) end(cause error, tell bool) {
	p := pr.peer
	p.mu.Lock()
	if pr.over {
		p.mu.Unlock()
		return
	}
	pr.over, pr.err = true, cause
	delete(p.producers, pr)
	w, sender, id := pr.path, pr.sender, pr.id
	p.mu.Unlock()
	if sender != nil {
		if tell {
			p.tell(&mediasoupproto.CloseProducer{ID: id})
		}
		w.enqueue(func() { w.removeTrack(sender) })
	}
	close(pr.done)
}

// Close ends the producer. It does not wait for anything.
func (pr *Producer) Close() error {
	pr.end(nil, true)
	return nil
}

// pause returns the message of a pause. Called with the lock held.
func (pr *Producer) pause(paused bool, appData json.RawMessage) mediasoupproto.Message {
	if paused {
		return &mediasoupproto.PauseProducer{ID: pr.id, AppData: appData}
	}
	return &mediasoupproto.ResumeProducer{ID: pr.id, AppData: appData}
}

// Pause has the server drop what is sent; the others hear of it. appData is any JSON for the
// server application, or nil.
func (pr *Producer) Pause(appData json.RawMessage) error { return pr.setPaused(true, appData) }

// Resume ends a [Producer.Pause]. It does not end a pause of the server's.
func (pr *Producer) Resume(appData json.RawMessage) error { return pr.setPaused(false, appData) }

func (pr *Producer) setPaused(paused bool, appData json.RawMessage) error {
	p := pr.peer
	p.mu.Lock()
	defer p.mu.Unlock() // so that what is said last is what is so
	switch {
	case pr.over:
		return ErrClosed
	case pr.paused == paused:
		return nil
	}
	pr.paused = paused
	if !pr.created {
		return nil // that goes out with the next creation
	}
	return p.client.Send(pr.pause(paused, appData))
}

// Paused reports whether the producer is paused, by the application or by the server.
func (pr *Producer) Paused() bool {
	pr.peer.mu.Lock()
	defer pr.peer.mu.Unlock()
	return pr.paused || pr.serverPaused
}

// ReplaceTrack sends another track of the same codec in place of the present one. The error
// is [ErrCodec] if it has another one, and the present one goes on.
func (pr *Producer) ReplaceTrack(ctx context.Context, track webrtc.TrackLocal) error {
	p := pr.peer
	if track == nil {
		return errNoTrack
	}
	if mediasoupproto.Kind(track.Kind().String()) != pr.kind {
		return ErrCodec
	}
	p.mu.Lock()
	w, over := pr.path, pr.over
	if !over && w == nil {
		pr.track = track // for the next publication
	}
	p.mu.Unlock()
	switch {
	case over:
		return ErrClosed
	case w == nil:
		return nil
	}
	return w.do(ctx, func() error {
		p.mu.Lock()
		sender, present := pr.sender, pr.path == w && !pr.over
		out := &outgoing{TrackLocal: track, line: pr.line, replaces: true, want: pr.codec}
		if present && sender == nil {
			pr.track = track
		}
		p.mu.Unlock()
		if !present {
			return ErrClosed
		}
		if sender == nil {
			return nil
		}
		if err := sender.ReplaceTrack(out); err != nil {
			return fmt.Errorf("%w: %w", ErrCodec, err)
		}
		p.mu.Lock()
		pr.track = track
		p.mu.Unlock()
		return nil
	})
}

// ID returns the id of the producer, which changes when it is published again; until that
// has happened it is the old one.
func (pr *Producer) ID() uint32 {
	pr.peer.mu.Lock()
	defer pr.peer.mu.Unlock()
	return pr.id
}

// Kind returns whether it is audio or video.
func (pr *Producer) Kind() mediasoupproto.Kind { return pr.kind }

// PeerConnection returns the Pion side of the present transport, or nil, for statistics. Its
// negotiation and its callbacks belong to the Peer.
func (pr *Producer) PeerConnection() *webrtc.PeerConnection {
	pr.peer.mu.Lock()
	defer pr.peer.mu.Unlock()
	if pr.path == nil || pr.over {
		return nil
	}
	return pr.path.pc
}

// Done is closed when the producer has ended.
func (pr *Producer) Done() <-chan struct{} { return pr.done }

// Err returns why the producer ended: nil before that, and when the application ended it.
func (pr *Producer) Err() error {
	pr.peer.mu.Lock()
	defer pr.peer.mu.Unlock()
	return pr.err
}

// An outgoing is a track whose codec becomes known when Pion starts to send it. Pion has half
// of a description behind it when a track then refuses all codecs, so it is not told.
type outgoing struct {
	webrtc.TrackLocal
	line     *timeline
	replaces bool
	want     webrtc.PayloadType // of one that replaces another one

	mu    sync.Mutex
	codec webrtc.RTPCodecParameters
	err   error
	bound bool
}

// RID implements [webrtc.TrackLocal]: an encoding of several is a stream of its own here.
func (o *outgoing) RID() string { return "" }

// Bind implements [webrtc.TrackLocal].
func (o *outgoing) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codec, err := o.TrackLocal.Bind(boundContext{ctx, o.line.attach(ctx.WriteStream())})
	if err == nil && !o.replaces {
		o.line.setRate(codec.ClockRate)
	}
	if err == nil && o.replaces && codec.PayloadType != o.want {
		_ = o.TrackLocal.Unbind(ctx)
		err = ErrCodec
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.codec, o.err, o.bound = codec, err, err == nil
	if codecs := ctx.CodecParameters(); err != nil && !o.replaces && len(codecs) > 0 {
		return codecs[0], nil
	}
	return codec, err
}

// Unbind implements [webrtc.TrackLocal].
func (o *outgoing) Unbind(ctx webrtc.TrackLocalContext) error {
	o.mu.Lock()
	bound := o.bound
	o.bound = false
	o.mu.Unlock()
	if !bound {
		return nil
	}
	return o.TrackLocal.Unbind(ctx)
}

// result returns the codec of the track, or [ErrCodec].
func (o *outgoing) result() (webrtc.RTPCodecParameters, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err != nil:
		return o.codec, fmt.Errorf("%w: %w", ErrCodec, o.err)
	case !o.bound:
		return o.codec, ErrCodec
	}
	return o.codec, nil
}
