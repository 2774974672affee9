package galenepion

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	// forwardKeyFrameInterval is how often a sender is asked for a key frame of an encoding
	// at most, however many receivers want one.
	forwardKeyFrameInterval = 500 * time.Millisecond
	// forwardKeyFramePatience is how long a change of the encoding waits for a key frame of
	// the new one. Some codecs and senders have none that could be recognised.
	forwardKeyFramePatience = 5 * time.Second
	// forwardSettling is how long a receiver may lose what it is sent first, because it
	// learns later than we do that it is connected. Key frames do not count until then.
	forwardSettling = 200 * time.Millisecond
	// forwardQueue is how many packets wait for one receiver of a stream. What exceeds it
	// is lost, as on a network that is too slow.
	forwardQueue = 256
	// forwardStartBitrate is what a receiver of video can take before it has said anything,
	// and forwardLeastBitrate what is supposed to get through always, in bit/s.
	forwardStartBitrate, forwardLeastBitrate = 1_000_000, 100_000
	// forwardLimitAge is how long what a receiver says about its network is believed.
	forwardLimitAge = 5 * time.Second
)

// A forwardLayer is an encoding of a track as it arrives: one of a simulcast, or the only
// one. Its methods may be called concurrently.
type forwardLayer struct {
	codec webrtc.RTPCodecCapability
	order int // within the simulcast, as offered
	rid   string
	ask   func() // the sender for a key frame; nil for audio

	followers atomic.Pointer[[]*forward] // copied on change

	mu    sync.Mutex
	ended bool
	asked time.Time
	timer *time.Timer // of a request that waits for its turn; nil when none does
}

// follow makes f one of those that get the packets.
func (l *forwardLayer) follow(f *forward) {
	l.change(func(all []*forward) []*forward {
		if slices.Contains(all, f) {
			return all
		}
		return append(slices.Clone(all), f)
	})
}

// leave takes f out of those that get the packets.
func (l *forwardLayer) leave(f *forward) {
	l.change(func(all []*forward) []*forward {
		return slices.DeleteFunc(slices.Clone(all), func(other *forward) bool { return other == f })
	})
}

func (l *forwardLayer) change(f func([]*forward) []*forward) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		all := f(l.all())
		l.followers.Store(&all)
	}
}

func (l *forwardLayer) all() []*forward {
	if all := l.followers.Load(); all != nil {
		return *all
	}
	return nil
}

// end is for an encoding that does not arrive any more.
func (l *forwardLayer) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.followers.Store(nil)
	if l.timer != nil {
		l.timer.Stop()
	}
}

// keyFrame asks the sender for a key frame, now or as soon as it may be asked again.
func (l *forwardLayer) keyFrame() {
	if l.mayAsk() {
		l.ask()
	}
}

func (l *forwardLayer) mayAsk() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ask == nil || l.ended || l.timer != nil {
		return false
	}
	now := time.Now()
	if wait := forwardKeyFrameInterval - now.Sub(l.asked); wait > 0 {
		l.timer = time.AfterFunc(wait, l.askLater)
		return false
	}
	l.asked = now
	return true
}

func (l *forwardLayer) askLater() {
	l.mu.Lock()
	ended := l.ended
	l.timer, l.asked = nil, time.Now()
	l.mu.Unlock()
	if !ended {
		l.ask()
	}
}

// write gives a packet to the followers, who share its payload. It never waits.
func (l *forwardLayer) write(p *rtp.Packet) {
	followers := l.all()
	if len(followers) == 0 {
		return
	}
	in := forwardPacket{
		sequence: p.SequenceNumber, timestamp: p.Timestamp, marker: p.Marker,
		payload: slices.Clone(p.Payload), // the reader's buffer is used again
		key:     l.ask == nil || forwardIsKeyFrame(l.codec.MimeType, p.Payload),
	}
	now, wanted := time.Now(), false
	for _, f := range followers {
		wanted = f.write(now, l, in) || wanted
	}
	if wanted {
		l.keyFrame()
	}
}

// limits returns the bit rates that the slowest and the fastest follower can take, in
// bit/s. Without followers both are 0.
func (l *forwardLayer) limits(now time.Time) (slowest, fastest uint64) {
	for i, f := range l.all() {
		bits := f.lossless.Load()
		if heard := f.limit.Load(); heard != nil && now.Sub(heard.at) < forwardLimitAge {
			bits = min(bits, heard.bits)
		}
		if i == 0 {
			slowest = bits
		}
		slowest, fastest = min(slowest, bits), max(fastest, bits)
	}
	return slowest, fastest
}

// A forwardPacket is what is left of a packet: other members know neither its extensions,
// whose numbers mean something else to them, nor its SSRC and payload type.
type forwardPacket struct {
	sequence  uint16
	timestamp uint32
	marker    bool
	key       bool // a key frame begins
	payload   []byte
}

// forwardOut is a packet on its way to a receiver.
type forwardOut struct {
	track *forward
	forwardPacket
}

type forwardLimit struct {
	bits uint64 // per second
	at   time.Time
}

// A forward is a track as one receiver gets it: packets of one encoding, with sequence
// numbers and timestamps that go on when another one takes its place. Its methods may be
// called concurrently.
type forward struct {
	*webrtc.TrackLocalStaticRTP

	queue    chan<- forwardOut
	ssrc     atomic.Uint32
	limit    atomic.Pointer[forwardLimit] // that the receiver has told; nil when it has told none
	lossless atomic.Uint64                // the bit rate at which little is lost, as far as is known

	mu      sync.Mutex
	stopped bool
	bound   time.Time // when the receiver could be reached; zero before that
	current *forwardLayer
	next    *forwardLayer // takes the place of current with its next key frame
	since   time.Time     // next waits
	needs   bool          // a key frame, because the receiver has had none yet

	joint     bool   // the next packet of current follows one of another encoding
	started   bool   // something has been sent
	oldest    uint16 // of current, in its own numbers; what is older belongs before the joint
	newest    uint16 // of current, in its own numbers
	sequence  uint16 // what is added to those of current
	timestamp uint32 // what is added to those of current
	last      forwardPacket
	lastAt    time.Time
}

func newForward(codec webrtc.RTPCodecCapability, id, stream string, queue chan<- forwardOut) (*forward, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(codec, id, stream)
	if err != nil {
		return nil, err
	}
	f := &forward{TrackLocalStaticRTP: track, queue: queue}
	f.lossless.Store(forwardStartBitrate)
	return f, nil
}

// Bind is called by Pion when the receiver can be reached.
func (f *forward) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codec, err := f.TrackLocalStaticRTP.Bind(ctx)
	if err == nil {
		f.ssrc.Store(uint32(ctx.SSRC()))
		f.mu.Lock()
		f.bound, f.needs = time.Now(), true
		f.mu.Unlock()
		f.keyFrame()
	}
	return codec, err
}

// feedback takes note of what the receiver says about its network. One goroutine at a time
// may call it.
func (f *forward) feedback(packets []rtcp.Packet) {
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			if p.Bitrate > 0 {
				f.limit.Store(&forwardLimit{uint64(p.Bitrate), time.Now()})
			}
		case *rtcp.ReceiverReport:
			f.lost(p.Reports)
		case *rtcp.SenderReport: // of one who sends, too
			f.lost(p.Reports)
		}
	}
}

// lost moves the bit rate by what is lost, as senders do that know nothing else.
func (f *forward) lost(reports []rtcp.ReceptionReport) {
	for _, r := range reports {
		if r.SSRC != f.ssrc.Load() {
			continue
		}
		bits, loss := f.lossless.Load(), uint64(r.FractionLost) // of 256
		switch {
		case loss < 5: // 2 %
			bits += bits / 20
		case loss > 26: // 10 %
			bits -= bits * loss / 512
		}
		f.lossless.Store(min(max(bits, forwardLeastBitrate), math.MaxInt32))
	}
}

// keyFrame asks for a key frame of what the receiver gets.
func (f *forward) keyFrame() {
	f.mu.Lock()
	l := f.current
	f.mu.Unlock()
	if l != nil {
		l.keyFrame()
	}
}

// aim makes l the encoding that the receiver gets: at once when it gets none, because it
// is new or because live says that the present one is over, and else with a key frame.
func (f *forward) aim(l *forwardLayer, live func(*forwardLayer) bool) {
	f.mu.Lock()
	if f.stopped || l == f.current && f.next == nil || l == f.next && live(f.current) {
		f.mu.Unlock()
		return
	}
	left := []*forwardLayer{f.next, f.current}
	f.next = nil
	switch {
	case l == f.current:
	case f.current == nil || !live(f.current):
		f.current, f.joint = l, true
		f.needs = true
	default:
		f.next, f.since = l, time.Now()
	}
	left = slices.DeleteFunc(left, func(other *forwardLayer) bool {
		return other == nil || other == f.current || other == f.next
	})
	bound := !f.bound.IsZero()
	f.mu.Unlock()
	for _, other := range left {
		other.leave(f)
	}
	l.follow(f)
	if bound {
		l.keyFrame()
	}
}

// stop is for a track that the receiver does not get any more.
func (f *forward) stop() {
	f.mu.Lock()
	f.stopped = true
	left := []*forwardLayer{f.current, f.next}
	f.current, f.next = nil, nil
	f.mu.Unlock()
	for _, l := range left {
		if l != nil {
			l.leave(f)
		}
	}
}

// write takes a packet of an encoding and reports whether a key frame of that is wanted.
func (f *forward) write(now time.Time, l *forwardLayer, p forwardPacket) (wanted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bound.IsZero() || l != f.current && l != f.next {
		return false
	}
	if l == f.next {
		if !p.key && now.Sub(f.since) < forwardKeyFramePatience {
			return true
		}
		old := f.current
		f.current, f.next, f.joint = l, nil, true
		defer old.leave(f)
	}
	f.renumber(now, &p)
	if p.key && now.Sub(f.bound) >= forwardSettling {
		f.needs = false
	}
	return f.needs
}

// renumber gives a packet of the current encoding the numbers of the receiver and puts it
// into the queue. Called under the lock.
func (f *forward) renumber(now time.Time, p *forwardPacket) {
	in := p.sequence
	if f.joint {
		f.joint, f.oldest, f.newest = false, in, in
		if f.started {
			passed := max(1, uint32(now.Sub(f.lastAt).Seconds()*float64(f.Codec().ClockRate)))
			f.sequence = f.last.sequence + 1 - in
			f.timestamp = f.last.timestamp + passed - p.timestamp
		}
	}
	if int16(in-f.oldest) < 0 {
		return
	}
	if int16(in-f.newest) > 0 {
		f.newest = in
		if f.newest-f.oldest > 1<<14 { // or else it would look newer some day
			f.oldest = f.newest - 1<<13
		}
	}
	p.sequence += f.sequence
	p.timestamp += f.timestamp
	if !f.started || int16(p.sequence-f.last.sequence) > 0 {
		f.started, f.last, f.lastAt = true, *p, now
		f.last.payload = nil
	}
	select {
	case f.queue <- forwardOut{f, *p}:
	default:
	}
}

// forwardPump writes the packets of a queue until done is closed. It is the only one that
// waits for a receiver.
func forwardPump(queue <-chan forwardOut, done <-chan struct{}) {
	var p rtp.Packet
	for {
		select {
		case <-done:
			return
		case out := <-queue:
			p = rtp.Packet{
				Header: rtp.Header{
					Version: 2, SequenceNumber: out.sequence, Timestamp: out.timestamp, Marker: out.marker,
				},
				Payload: out.payload,
			}
			_ = out.track.WriteRTP(&p) // what fails here is a connection that is ending
		}
	}
}

// forwardIsKeyFrame reports whether a payload begins a key frame, from which a decoder can
// begin. Of codecs that are not known here, every packet does.
func forwardIsKeyFrame(mime string, payload []byte) bool {
	at := func(i int) byte {
		if i < len(payload) {
			return payload[i]
		}
		return 0
	}
	switch {
	case strings.EqualFold(mime, webrtc.MimeTypeVP8): // RFC 7741, 4.2 and 4.3
		if at(0)&0x10 == 0 || at(0)&0x07 != 0 {
			return false
		}
		size := 1
		if at(0)&0x80 != 0 {
			size = 2
			if at(1)&0x80 != 0 {
				size++
				if at(2)&0x80 != 0 {
					size++
				}
			}
			if at(1)&0x40 != 0 {
				size++
			}
			if at(1)&0x30 != 0 {
				size++
			}
		}
		return len(payload) > size && payload[size]&0x01 == 0
	case strings.EqualFold(mime, webrtc.MimeTypeVP9): // RFC 9628, 4.2: begins a frame, not predicted from another
		if at(0)&0x48 != 0x08 {
			return false
		}
		layer := 1 // of the byte with the layers
		if at(0)&0x80 != 0 {
			layer = 2
			if at(1)&0x80 != 0 {
				layer = 3
			}
		}
		return at(0)&0x20 == 0 || at(layer)>>1&0x07 == 0 // the lowest spatial layer
	case strings.EqualFold(mime, webrtc.MimeTypeH264): // RFC 6184, 5.2: an IDR slice, or parameters before one
		switch at(0) & 0x1f {
		case 5, 7:
			return true
		case 24: // STAP-A
			for rest := payload[1:]; len(rest) > 2; {
				size := int(rest[0])<<8 | int(rest[1])
				if t := rest[2] & 0x1f; t == 5 || t == 7 {
					return true
				}
				rest = rest[min(2+size, len(rest)):]
			}
		case 28: // FU-A
			return at(1)&0x80 != 0 && (at(1)&0x1f == 5 || at(1)&0x1f == 7)
		}
		return false
	case strings.EqualFold(mime, webrtc.MimeTypeAV1): // a new coded video sequence
		return at(0)&0x08 != 0
	}
	return true
}
