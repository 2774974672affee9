package mediasouppion

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
)

var (
	errRoomClosed = errors.New("mediasouppion: the room is closed")
	errUnknown    = errors.New("mediasouppion: no such transport, producer or consumer")
	errSSRC       = errors.New("mediasouppion: the SSRC is in use")
)

// A room is one of an [Engine]. One lock guards all that is in it, for packets and for calls.
type room struct {
	engine *Engine
	ctx    context.Context
	cancel context.CancelFunc
	events mediasoupproto.MediaEvents
	group  sync.WaitGroup // of transports that end

	mu         sync.Mutex
	closed     bool
	transports map[mediasoupproto.MediaID]*transport
	producers  map[mediasoupproto.MediaID]*producer
	consumers  map[mediasoupproto.MediaID]*consumer
	scratch    scratch
}

func newRoom(ctx context.Context, e *Engine, events mediasoupproto.MediaEvents) *room {
	r := &room{
		engine: e, events: events,
		transports: make(map[mediasoupproto.MediaID]*transport),
		producers:  make(map[mediasoupproto.MediaID]*producer),
		consumers:  make(map[mediasoupproto.MediaID]*consumer),
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

func randomUint32() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])
}

// stamp is the time of statistics, in ms since the engine began.
func (e *Engine) stamp(now time.Time) int64 { return now.Sub(e.began).Milliseconds() }

// CreateTransport implements [mediasoupproto.MediaRoom]. There are candidates for UDP only.
func (r *room) CreateTransport(
	id mediasoupproto.MediaID, m *mediasoupproto.CreateTransport,
) (*mediasoupproto.CreateTransportResult, error) {
	if m.PlainRTPParameters != nil {
		return nil, mediasoupproto.ErrPlainRTP
	}
	if m.Options != nil && m.Options.UDP != nil && !*m.Options.UDP {
		return nil, mediasoupproto.ErrNoPort
	}
	// Not under the lock: looking for a port may take long when there are none left.
	sockets, shared, err := r.engine.listenFor()
	if err != nil {
		return nil, err
	}
	result, err := r.createTransport(id, m, sockets, shared)
	if err != nil && !shared {
		for _, s := range sockets {
			s.close()
		}
	}
	return result, err
}

func (r *room) createTransport(
	id mediasoupproto.MediaID, m *mediasoupproto.CreateTransport, sockets []*socket, shared bool,
) (*mediasoupproto.CreateTransportResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errRoomClosed
	}
	t := newTransport(r.ctx, r, id)
	if m.DTLSParameters != nil {
		if err := t.dtls.expect(m.DTLSParameters); err != nil {
			t.dtls.cancel()
			return nil, err
		}
	}
	t.sockets, t.shared = sockets, shared
	r.transports[id] = t
	t.start()
	return &mediasoupproto.CreateTransportResult{
		ICEParameters: t.parameters(),
		ICECandidates: t.candidates(m.Options),
		DTLSParameters: &mediasoupproto.DTLSParameters{
			Role: m.DTLSParameters.AnswerRole(), Fingerprints: slices.Clone(r.engine.fingerprints),
		},
	}, nil
}

func (t *transport) parameters() *mediasoupproto.ICEParameters {
	return &mediasoupproto.ICEParameters{
		UsernameFragment: t.current.ufrag, Password: t.current.password, ICELite: true,
	}
}

// candidates are those of the sockets, with the priorities of mediasoup: all addresses are
// equal but for the client's preference.
func (t *transport) candidates(o *mediasoupproto.TransportOptions) []mediasoupproto.ICECandidate {
	prefers := func(b *bool) bool { return b != nil && *b }
	candidates := make([]mediasoupproto.ICECandidate, 0, len(t.sockets))
	for _, s := range t.sockets {
		local := uint32(20000)
		family := "ipv4"
		if s.announced.Is6() {
			family = "ipv6"
		}
		if o != nil {
			if family == "ipv4" && prefers(o.PreferIPv4) || family == "ipv6" && prefers(o.PreferIPv6) {
				local += 10000
			}
			if prefers(o.PreferUDP) {
				local += 5000
			}
		}
		candidates = append(candidates, mediasoupproto.ICECandidate{
			Foundation: "udpcandidate", Priority: 64<<24 | local<<8 | 255, Family: family,
			IP: s.announced.String(), Port: s.port, Type: "host", Protocol: "udp",
		})
	}
	return candidates
}

// UpdateTransport implements [mediasoupproto.MediaRoom].
func (r *room) UpdateTransport(id mediasoupproto.MediaID, m *mediasoupproto.UpdateTransport) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.transports[id]
	if t == nil || m.DTLSParameters == nil {
		return errUnknown
	}
	return t.dtls.expect(m.DTLSParameters)
}

// RestartTransport implements [mediasoupproto.MediaRoom].
func (r *room) RestartTransport(id mediasoupproto.MediaID) (*mediasoupproto.ICEParameters, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.transports[id]
	if t == nil {
		return nil, errUnknown
	}
	t.restart()
	return t.parameters(), nil
}

// CloseTransport implements [mediasoupproto.MediaRoom].
func (r *room) CloseTransport(id mediasoupproto.MediaID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.transports[id]
	if t == nil {
		return
	}
	for _, p := range slices.Clone(t.producers) {
		r.closeProducer(p)
	}
	for _, c := range t.consumers {
		r.closeConsumer(c)
	}
	delete(r.transports, id)
	t.close()
}

// CreateProducer implements [mediasoupproto.MediaRoom].
func (r *room) CreateProducer(id mediasoupproto.MediaID, m *mediasoupproto.MediaProducer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.transports[m.Transport]
	if t == nil || r.producers[id] != nil {
		return errUnknown
	}
	p := newProducer(r, t, id, m)
	ssrcs := make(map[uint32]inbound)
	for _, s := range p.streams {
		for _, in := range []inbound{{stream: s}, {stream: s, rtx: true}} {
			ssrc := s.ssrc
			if in.rtx {
				ssrc = s.rtxSSRC
			}
			_, taken := t.streams[ssrc]
			_, twice := ssrcs[ssrc]
			switch {
			case ssrc == 0:
			case (taken || twice) && !in.rtx:
				return errSSRC
			case taken || twice: // as that of the media: there is nothing to be told apart
				s.rtxSSRC = 0
			default:
				ssrcs[ssrc] = in
			}
		}
	}
	maps.Copy(t.streams, ssrcs)
	t.producers = append(t.producers, p)
	r.producers[id] = p
	return nil
}

// PauseProducer implements [mediasoupproto.MediaRoom].
func (r *room) PauseProducer(id mediasoupproto.MediaID, paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.producers[id]
	if p == nil || p.paused == paused {
		return
	}
	p.paused = paused
	now := r.engine.now()
	for _, s := range p.streams {
		s.receiver.missing = s.receiver.missing[:0]
	}
	for _, c := range p.consumers {
		c.stop()
		c.requestKeyFrame(&r.scratch, now)
	}
}

// CloseProducer implements [mediasoupproto.MediaRoom].
func (r *room) CloseProducer(id mediasoupproto.MediaID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.producers[id]; p != nil {
		r.closeProducer(p)
	}
}

func (r *room) closeProducer(p *producer) {
	delete(r.producers, p.id)
	t := p.transport
	t.producers = slices.DeleteFunc(t.producers, func(other *producer) bool { return other == p })
	for ssrc, in := range t.streams {
		if in.stream.producer == p {
			if in.learned {
				t.learned--
			}
			delete(t.streams, ssrc)
		}
	}
	for _, c := range p.consumers {
		c.stop()
		c.producer, c.target = nil, nil
	}
	p.consumers = nil
}

// EnableConsumer implements [mediasoupproto.MediaRoom]. The effective profile is told with
// the first packet.
func (r *room) EnableConsumer(
	id mediasoupproto.MediaID, m *mediasoupproto.MediaConsumer,
) (mediasoupproto.Profile, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, p := r.transports[m.Transport], r.producers[m.Producer]
	if t == nil || p == nil || r.consumers[id] != nil {
		return "", errUnknown
	}
	c := newConsumer(r, t, id, m)
	if c.ssrc == 0 || t.consumers[c.ssrc] != nil || c.rtxSSRC != 0 && t.consumers[c.rtxSSRC] != nil {
		return "", errSSRC
	}
	t.consumers[c.ssrc] = c
	if c.rtxSSRC != 0 {
		t.consumers[c.rtxSSRC] = c
	}
	t.enabled++
	r.consumers[id] = c
	c.producer = p
	p.consumers = append(p.consumers, c)
	now := r.engine.now()
	c.choose(now)
	c.requestKeyFrame(&r.scratch, now)
	return "", nil
}

// PauseConsumer implements [mediasoupproto.MediaRoom].
func (r *room) PauseConsumer(id mediasoupproto.MediaID, paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.consumers[id]
	if c == nil || c.paused == paused {
		return
	}
	c.paused = paused
	c.stop()
	c.requestKeyFrame(&r.scratch, r.engine.now())
}

// SetPreferredProfile implements [mediasoupproto.MediaRoom].
func (r *room) SetPreferredProfile(id mediasoupproto.MediaID, p mediasoupproto.Profile) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.consumers[id]; c != nil {
		c.preferred = p
		c.choose(r.engine.now())
		if c.waits() {
			c.requestKeyFrame(&r.scratch, r.engine.now())
		}
	}
}

// RequestKeyFrame implements [mediasoupproto.MediaRoom].
func (r *room) RequestKeyFrame(id mediasoupproto.MediaID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.consumers[id]; c != nil {
		c.requestKeyFrame(&r.scratch, r.engine.now())
	}
}

// CloseConsumer implements [mediasoupproto.MediaRoom].
func (r *room) CloseConsumer(id mediasoupproto.MediaID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.consumers[id]; c != nil {
		r.closeConsumer(c)
	}
}

func (r *room) closeConsumer(c *consumer) {
	delete(r.consumers, c.id)
	delete(c.transport.consumers, c.ssrc)
	if c.rtxSSRC != 0 {
		delete(c.transport.consumers, c.rtxSSRC)
	}
	if p := c.producer; p != nil {
		p.consumers = slices.DeleteFunc(p.consumers, func(other *consumer) bool { return other == c })
	}
}

// TransportStats implements [mediasoupproto.MediaRoom].
func (r *room) TransportStats(id mediasoupproto.MediaID) ([]json.RawMessage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.transports[id]
	if t == nil {
		return nil, errUnknown
	}
	b, err := t.state(r.engine.now()).JSON()
	return []json.RawMessage{b}, err
}

// ProducerStats implements [mediasoupproto.MediaRoom].
func (r *room) ProducerStats(id mediasoupproto.MediaID) ([]json.RawMessage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.producers[id]
	if p == nil {
		return nil, errUnknown
	}
	now := r.engine.now()
	stats := []*mediasoupproto.RTPStreamStats{}
	for _, s := range p.streams {
		if !s.seen.IsZero() {
			stats = append(stats, s.stats(now))
		}
	}
	return raw(stats)
}

// ConsumerStats implements [mediasoupproto.MediaRoom].
func (r *room) ConsumerStats(id mediasoupproto.MediaID) ([]json.RawMessage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.consumers[id]
	if c == nil {
		return nil, errUnknown
	}
	now := r.engine.now()
	stats := []*mediasoupproto.RTPStreamStats{}
	if c.current != nil {
		stats = append(stats, c.current.stats(now))
	}
	return raw(append(stats, c.stats(now)))
}

func raw(stats []*mediasoupproto.RTPStreamStats) ([]json.RawMessage, error) {
	all := make([]json.RawMessage, len(stats))
	for i, s := range stats {
		b, err := s.JSON()
		if err != nil {
			return nil, err
		}
		all[i] = b
	}
	return all, nil
}

func (s *layer) stats(now time.Time) *mediasoupproto.RTPStreamStats {
	jitter := int64(s.receiver.jitter)
	return &mediasoupproto.RTPStreamStats{
		Type: mediasoupproto.StatsInboundRTP, ID: s.id, Timestamp: s.producer.room.engine.stamp(now),
		SSRC: s.ssrc, MediaType: s.producer.kind, Kind: s.producer.kind, MimeType: s.producer.mimeTypes[s.payload&127],
		PacketCount: s.traffic.packets, ByteCount: s.traffic.bytes, Bitrate: s.traffic.bitrate,
		PacketsLost: max(s.receiver.lost(), 0), FractionLost: int64(s.fraction),
		PacketsDiscarded: s.receiver.discarded, PacketsRepaired: s.receiver.repaired,
		FIRCount: s.firs, PLICount: s.plis, NACKCount: s.nacks,
		TransportID: s.producer.transport.id.ID, Jitter: &jitter,
	}
}

func (c *consumer) stats(now time.Time) *mediasoupproto.RTPStreamStats {
	roundTrip := float64(c.roundTrip) / float64(time.Millisecond)
	stats := &mediasoupproto.RTPStreamStats{
		Type: mediasoupproto.StatsOutboundRTP, ID: c.statsID, Timestamp: c.room.engine.stamp(now),
		SSRC: c.ssrc, MediaType: c.kind, Kind: c.kind, MimeType: c.mimeType,
		PacketCount: c.traffic.packets, ByteCount: c.traffic.bytes, Bitrate: c.traffic.bitrate,
		PacketsLost: c.lost, FractionLost: int64(c.fraction), PacketsRepaired: c.resent,
		FIRCount: c.firs, PLICount: c.plis, NACKCount: c.nacks,
		TransportID: c.transport.id.ID, RoundTripTime: &roundTrip,
	}
	if c.current != nil {
		stats.InboundRTPID = c.current.id
	}
	return stats
}

// Close implements [mediasoupproto.MediaRoom].
func (r *room) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		for _, t := range r.transports {
			t.close()
		}
		clear(r.transports)
		clear(r.producers)
		clear(r.consumers)
	}
	r.mu.Unlock()
	r.cancel()
	r.group.Wait()
	r.engine.forget(r)
}
