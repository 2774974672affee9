package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// A MediaKind says what a [MediaOp] wants.
type MediaKind int

// The kinds of operations: each is the method of [MediaEngine] or [MediaRoom] of that name.
const (
	MediaOpenRoom MediaKind = iota + 1
	MediaCloseRoom
	MediaCreateTransport
	MediaUpdateTransport
	MediaRestartTransport
	MediaCloseTransport
	MediaCreateProducer
	MediaPauseProducer
	MediaCloseProducer
	MediaEnableConsumer
	MediaPauseConsumer
	MediaSetPreferredProfile
	MediaRequestKeyFrame
	MediaCloseConsumer
	MediaTransportStats
	MediaProducerStats
	MediaConsumerStats
)

// A MediaOp is something that a [MediaEngine] is to do. The members that are set are the
// arguments of the method.
type MediaOp struct {
	Kind     MediaKind
	Room     string
	Ticket   Ticket // of the [MediaResult] that is awaited, or none
	ID       MediaID
	Message  Message // a *CreateTransport or an *UpdateTransport
	Producer *MediaProducer
	Consumer *MediaConsumer
	Paused   bool
	Profile  Profile
}

// A MediaResult is what became of a [MediaOp].
type MediaResult struct {
	Err       *Error
	Transport *CreateTransportResult
	ICE       *ICEParameters
	Effective Profile // of a consumer; "" is not known yet
	Stats     []json.RawMessage
}

// A mediaWait is an operation whose result is awaited.
type mediaWait struct {
	kind      MediaKind
	peer      *peer
	request   ID
	transport *mediaTransport
	producer  *producer
	consumer  *consumer
	stats     *statsTimer
}

// A mediaTransport is a transport of a peer.
type mediaTransport struct {
	id     MediaID
	peer   *peer
	plain  bool
	remote bool // the client's parameters are known
	ready  bool
	closed bool
	stats  *statsTimer
	ssrcs  map[uint32]bool // of its producers
	muxIDs map[MuxID]bool
	rids   map[string]bool
}

// A producer sends.
type producer struct {
	id         MediaID
	peer       *peer
	transport  *mediaTransport
	kind       Kind
	parameters *RTPParameters
	mapping    *RTPMapping
	consumable *RTPParameters
	appData    json.RawMessage
	locally    bool // paused by the server
	remotely   bool // paused by the client
	ready      bool
	closed     bool
	consumers  []*consumer
	stats      *statsTimer
	bytes      int
}

func (pr *producer) paused() bool { return pr.locally || pr.remotely }

// A consumer receives what a producer of another peer sends.
type consumer struct {
	id         MediaID
	peer       *peer
	producer   *producer
	parameters *RTPParameters
	ssrcs      [2]uint32       // taken for it, though the parameters need not have both
	transport  *mediaTransport // while it is enabled, or about to be
	enabled    bool
	locally    bool // paused by the server
	remotely   bool // paused by the client
	preferred  Profile
	effective  Profile // "" is not known yet
	closed     bool
	stats      *statsTimer
}

func (c *consumer) info() *ConsumerInfo {
	return &ConsumerInfo{
		ID: c.id.ID, Kind: c.producer.kind, RTPParameters: c.parameters,
		Paused:           c.enabled && (c.locally || c.producer.paused()), // as mediasoup, which learns it later
		PreferredProfile: c.preferred, EffectiveProfile: known(c.effective),
		AppData: c.producer.appData, PeerName: c.producer.peer.name,
	}
}

func known(p Profile) *Profile {
	if p == "" {
		return nil
	}
	return &p
}

// await asks for an operation and remembers what for.
func (m *ServerMachine) await(fx *ServerEffects, w *mediaWait, op MediaOp) {
	m.tickets++
	m.waiting[m.tickets] = w
	if w.request != "" {
		w.peer.pending++
	}
	op.Kind, op.Ticket, op.Room = w.kind, Ticket{w.peer.conn.id, m.tickets}, w.peer.conn.room.name
	fx.Media = append(fx.Media, op)
}

// media asks for an operation without a result.
func (m *ServerMachine) media(fx *ServerEffects, p *peer, op MediaOp) {
	op.Room = p.conn.room.name
	fx.Media = append(fx.Media, op)
}

// MediaDone takes the result of an operation that has a Ticket.
func (m *ServerMachine) MediaDone(now time.Time, t Ticket, r MediaResult) ServerEffects {
	m.now = now
	var fx ServerEffects
	w, ok := m.waiting[t.number]
	if !ok {
		return fx
	}
	delete(m.waiting, t.number)
	if w.request != "" {
		w.peer.pending--
	}
	switch w.kind {
	case MediaCreateTransport:
		m.transportCreated(&fx, w, r)
	case MediaUpdateTransport:
		if r.Err != nil && !w.transport.closed {
			m.serverClosesTransport(&fx, w.transport, nil)
		}
	case MediaRestartTransport:
		m.transportRestarted(&fx, w, r)
	case MediaCreateProducer:
		m.producerCreated(&fx, w, r)
	case MediaEnableConsumer:
		m.consumerEnabled(&fx, w, r)
	default:
		m.statsDone(&fx, w, r)
	}
	return fx
}

// here reports whether the one who asked is still there. A connection that is gone hears
// nothing.
func (m *ServerMachine) here(p *peer) bool { return m.conns[p.conn.id] == p.conn }

// late answers a request whose object has been closed meanwhile.
func (m *ServerMachine) late(fx *ServerEffects, w *mediaWait, what string) {
	if m.here(w.peer) {
		m.refuse(fx, w.peer.conn, w.request, NewError("InvalidStateError", what+" closed"))
	}
}

// createTransport begins a transport.
func (m *ServerMachine) createTransport(fx *ServerEffects, p *peer, msg *CreateTransport) *Error {
	if msg.PlainRTPParameters != nil && !m.cfg.AllowPlainRTP {
		return ErrPlainRTP
	}
	if err := m.check(&CreateTransport{ID: msg.ID, Direction: DirectionSend}); err != nil { // its id alone
		return err
	}
	if p.transports[msg.ID] != nil {
		return errTransportExists
	}
	if err := m.check(msg); err != nil {
		return err
	}
	if m.cfg.Transports > 0 && len(p.transports) >= m.cfg.Transports {
		return errTooManyOf
	}
	t := &mediaTransport{
		id: MediaID{p.conn.id, msg.ID}, peer: p, plain: msg.PlainRTPParameters != nil,
		remote: msg.DTLSParameters != nil || msg.PlainRTPParameters != nil && msg.PlainRTPParameters.IP != "",
		ssrcs:  make(map[uint32]bool), muxIDs: make(map[MuxID]bool), rids: make(map[string]bool),
	}
	p.transports[msg.ID] = t
	m.await(fx, &mediaWait{kind: MediaCreateTransport, peer: p, request: msg.RequestID, transport: t},
		MediaOp{ID: t.id, Message: msg})
	return nil
}

func (m *ServerMachine) transportCreated(fx *ServerEffects, w *mediaWait, r MediaResult) {
	t := w.transport
	switch {
	case t.closed:
		m.late(fx, w, "Transport")
	case r.Err != nil:
		m.endTransport(fx, t, nil)
		m.refuse(fx, w.peer.conn, w.request, r.Err)
	default:
		t.ready = true
		m.answerWith(fx, w.peer.conn, w.request, r.Transport)
	}
}

// transport returns a transport that a client may use.
func (p *peer) transport(id uint32) *mediaTransport {
	if t := p.transports[id]; t != nil && t.ready {
		return t
	}
	return nil
}

func (m *ServerMachine) restartTransport(fx *ServerEffects, p *peer, msg *RestartTransport) *Error {
	t := p.transport(msg.ID)
	switch {
	case t == nil:
		return ErrTransportNotFound
	case t.plain:
		return errRestartPlain
	}
	if err := m.check(msg); err != nil {
		return err
	}
	m.await(fx, &mediaWait{kind: MediaRestartTransport, peer: p, request: msg.RequestID, transport: t}, MediaOp{ID: t.id})
	return nil
}

func (m *ServerMachine) transportRestarted(fx *ServerEffects, w *mediaWait, r MediaResult) {
	switch {
	case w.transport.closed:
		m.late(fx, w, "Transport")
	case r.Err != nil:
		m.refuse(fx, w.peer.conn, w.request, r.Err)
	default:
		m.answerWith(fx, w.peer.conn, w.request, &RestartTransportResult{ICEParameters: r.ICE})
	}
}

// updateTransport takes the client's parameters. When they cannot be taken, the transport
// ends.
func (m *ServerMachine) updateTransport(fx *ServerEffects, p *peer, msg *UpdateTransport) {
	t := p.transport(msg.ID)
	given := msg.DTLSParameters != nil
	if t != nil && t.plain {
		given = msg.PlainRTPParameters != nil
	}
	switch {
	case t == nil || !given:
	case m.check(msg) != nil, t.remote && !t.plain:
		m.serverClosesTransport(fx, t, nil)
	default:
		t.remote = true
		m.await(fx, &mediaWait{kind: MediaUpdateTransport, peer: p, transport: t}, MediaOp{ID: t.id, Message: msg})
	}
}

// endTransport closes a transport with its producers, whose consumers are told of it by
// tell, and disables what is received over it.
func (m *ServerMachine) endTransport(fx *ServerEffects, t *mediaTransport, tell func(*consumer)) {
	t.closed = true
	delete(t.peer.transports, t.id.ID)
	m.stopStats(t.stats, clockKey{t.peer.conn.id, MediaTransportStats, t.id.ID})
	for _, pr := range slices.Clone(t.peer.sending) {
		if pr.transport == t {
			m.endProducer(fx, pr, tell)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.peer.consumers)) {
		if c := t.peer.consumers[id]; c.transport == t {
			m.disable(fx, c)
		}
	}
	m.media(fx, t.peer, MediaOp{Kind: MediaCloseTransport, ID: t.id})
}

// serverClosesTransport also tells its owner.
func (m *ServerMachine) serverClosesTransport(fx *ServerEffects, t *mediaTransport, appData json.RawMessage) {
	fx.send(t.peer.conn, &TransportClosed{ID: t.id.ID, AppData: appData})
	m.endTransport(fx, t, tellConsumerClosed(fx))
}

func tellConsumerClosed(fx *ServerEffects) func(c *consumer) {
	return func(c *consumer) {
		fx.send(c.peer.conn, &ConsumerClosed{ID: c.id.ID, PeerName: c.producer.peer.name})
	}
}

// maxCodecs is how many codecs of a producer can have payload types of their own. Each is looked
// for among all.
const maxCodecs = 256

// createProducer checks a producer in the order in which mediasoup does: its kind, its codecs
// against those of the room, its transport, and then what only mediasoup's worker looks at.
func (m *ServerMachine) createProducer(fx *ServerEffects, p *peer, msg *CreateProducer) *Error {
	c := checker{rules: m.cfg.Rules, typ: msg.wireType()}
	if e := c.kind(msg); e != nil {
		return e.Answer
	}
	if p.spy {
		return NewError("Error", "spy peers cannot create producers")
	}
	params := msg.RTPParameters
	if params == nil || params.Codecs == nil {
		return c.createProducer(msg).Answer
	}
	if len(params.Codecs) > maxCodecs {
		return NewError("Error", "duplicated codec.payloadType")
	}
	mapping, err := mapProducer(params, m.cfg.Capabilities)
	if err != nil {
		return err
	}
	t := p.transport(msg.TransportID)
	switch {
	case t == nil:
		return errWebRTCTransport
	case msg.ID == 0:
		return errProducerID
	case p.producers[msg.ID] != nil:
		return errProducerExists
	}
	if e := c.producer(msg); e != nil {
		if e.Answer == nil {
			return NewError("TypeError", "wrong "+e.Field)
		}
		return e.Answer
	}
	n := sizeOf(params)
	if n > MaxRTPParameters {
		return NewError("Error", "request too big")
	}
	if err := t.listens(params); err != nil {
		return err
	}
	r := p.conn.room
	switch {
	case m.cfg.Producers > 0 && len(p.producers) >= m.cfg.Producers,
		m.cfg.RoomProducers > 0 && r.producers >= m.cfg.RoomProducers:
		return errTooManyOf
	}
	n += len(msg.AppData) + sizeOfFields(msg.Extra)
	if err := m.keeps(r, p.bytes, n); err != nil {
		return err
	}
	pr := &producer{
		id: MediaID{p.conn.id, msg.ID}, peer: p, transport: t, kind: msg.Kind, parameters: params, mapping: mapping,
		consumable: consumable(params, m.cfg.Capabilities, mapping), appData: msg.AppData, remotely: msg.Paused, bytes: n,
	}
	t.listen(params, true)
	p.keep(n)
	p.producers[msg.ID] = pr
	p.sending = append(p.sending, pr)
	r.producers++
	wait := &mediaWait{kind: MediaCreateProducer, peer: p, request: msg.RequestID, transport: t, producer: pr}
	m.await(fx, wait, MediaOp{
		ID: pr.id,
		Producer: &MediaProducer{
			Transport: t.id, Kind: pr.kind, RTPParameters: params, Mapping: mapping, Paused: pr.remotely,
		},
	})
	return nil
}

// sizeOf returns the length of parameters or capabilities in bytes.
func sizeOf(v any) int {
	b, err := appendResult(v)
	if err != nil {
		return math.MaxInt32 // which nothing has room for
	}
	return len(b)
}

// listens reports why the packets of a further producer could not be told from those of the
// others on a transport.
func (t *mediaTransport) listens(p *RTPParameters) *Error {
	for i := range p.Encodings {
		e := &p.Encodings[i]
		for _, ssrc := range []uint32{e.SSRC, e.rtxSSRC()} {
			if t.ssrcs[ssrc] {
				return NewError("Error", fmt.Sprintf("ssrc already exists in RTP listener [ssrc:%d]", ssrc))
			}
		}
	}
	if t.muxIDs[p.MuxID] {
		return NewError("Error", fmt.Sprintf("muxId already exists in RTP listener [muxId:'%s']", p.MuxID))
	}
	for i := range p.Encodings {
		if rid := p.Encodings[i].EncodingID; t.rids[rid] {
			return NewError("Error", fmt.Sprintf("rid already exists in RTP listener [rid:'%s']", rid))
		}
	}
	return nil
}

// listen adds what the packets of a producer are known by, or removes it.
func (t *mediaTransport) listen(p *RTPParameters, on bool) {
	for i := range p.Encodings {
		e := &p.Encodings[i]
		set(t.ssrcs, e.SSRC, on)
		set(t.ssrcs, e.rtxSSRC(), on)
		set(t.rids, e.EncodingID, on)
	}
	if p.MuxID != NullMuxID {
		set(t.muxIDs, p.MuxID, on)
	}
}

// set adds a key to a set, or removes it. The zero key stands for none.
func set[K comparable](s map[K]bool, key K, on bool) {
	var none K
	switch {
	case key == none:
	case on:
		s[key] = true
	default:
		delete(s, key)
	}
}

func (e *Encoding) rtxSSRC() uint32 {
	if e.RTX == nil {
		return 0
	}
	return e.RTX.SSRC
}

func (m *ServerMachine) producerCreated(fx *ServerEffects, w *mediaWait, r MediaResult) {
	pr := w.producer
	switch {
	case pr.closed:
		m.late(fx, w, "Producer")
	case r.Err != nil:
		m.endProducer(fx, pr, nil)
		m.refuse(fx, w.peer.conn, w.request, r.Err)
	default:
		pr.ready = true
		others := w.peer.conn.room.peers
		fx.Send = slices.Grow(fx.Send, len(others))
		for _, other := range others {
			if other == pr.peer {
				continue
			}
			info := m.consume(other, pr).info()
			fx.send(other.conn, &NewConsumer{
				ID: info.ID, Kind: info.Kind, RTPParameters: info.RTPParameters, Paused: info.Paused,
				PreferredProfile: info.PreferredProfile, EffectiveProfile: info.EffectiveProfile,
				AppData: info.AppData, PeerName: info.PeerName,
			})
		}
		m.answer(fx, w.peer.conn, w.request, nil)
	}
}

// consume gives a peer a consumer of a producer.
func (m *ServerMachine) consume(p *peer, pr *producer) *consumer {
	newSSRC := func() uint32 {
		ssrc := m.newID(func(id uint32) bool { return p.ssrcs[id] })
		p.ssrcs[ssrc] = true
		return ssrc
	}
	id := m.newID(func(id uint32) bool { return p.consumers[id] != nil })
	ssrcs := [2]uint32{newSSRC(), newSSRC()}
	c := &consumer{
		id: MediaID{p.conn.id, id}, peer: p, producer: pr, preferred: ProfileDefault, ssrcs: ssrcs,
		parameters: consumerParameters(pr.consumable, p.caps, ssrcs[0], ssrcs[1]),
	}
	p.consumers[id] = c
	pr.consumers = append(pr.consumers, c)
	return c
}

// endProducer closes a producer with its consumers, of which tell, unless it is nil, tells
// their peers.
func (m *ServerMachine) endProducer(fx *ServerEffects, pr *producer, tell func(*consumer)) {
	pr.closed = true
	p := pr.peer
	for _, c := range pr.consumers {
		if tell != nil && c.peer.conn.peer == c.peer {
			tell(c)
		}
		m.endConsumer(fx, c)
	}
	pr.consumers = nil
	delete(p.producers, pr.id.ID)
	p.sending = slices.DeleteFunc(p.sending, func(other *producer) bool { return other == pr })
	p.conn.room.producers--
	p.keep(-pr.bytes)
	pr.transport.listen(pr.parameters, false)
	m.stopStats(pr.stats, clockKey{p.conn.id, MediaProducerStats, pr.id.ID})
	m.media(fx, p, MediaOp{Kind: MediaCloseProducer, ID: pr.id})
}

// endConsumer closes a consumer. Its producer is about to forget it.
func (m *ServerMachine) endConsumer(fx *ServerEffects, c *consumer) {
	m.disable(fx, c)
	c.closed = true
	delete(c.peer.consumers, c.id.ID)
	for _, ssrc := range c.ssrcs {
		delete(c.peer.ssrcs, ssrc)
	}
	m.stopStats(c.stats, clockKey{c.peer.conn.id, MediaConsumerStats, c.id.ID})
}

// forget closes a consumer whose peer leaves.
func (m *ServerMachine) forget(fx *ServerEffects, c *consumer) {
	m.endConsumer(fx, c)
	pr := c.producer
	pr.consumers = slices.DeleteFunc(pr.consumers, func(other *consumer) bool { return other == c })
}

// disable ends the media of a consumer, which may be enabled again.
func (m *ServerMachine) disable(fx *ServerEffects, c *consumer) {
	if c.transport == nil {
		return
	}
	c.transport, c.enabled, c.effective = nil, false, ""
	m.media(fx, c.peer, MediaOp{Kind: MediaCloseConsumer, ID: c.id})
}

// enableConsumer begins to send to a client.
func (m *ServerMachine) enableConsumer(fx *ServerEffects, p *peer, msg *EnableConsumer) *Error {
	c := p.consumers[msg.ID]
	t := p.transport(msg.TransportID)
	switch {
	case c == nil:
		return ErrConsumerNotFound
	case t == nil:
		return errEnableOverTransport
	case c.transport != nil:
		return ErrConsumerEnabled
	case len(c.parameters.Codecs) == 0:
		return NewError("Error", "empty rtpParameters.codecs")
	}
	if err := m.check(msg); err != nil {
		return err
	}
	c.transport = t
	c.remotely = c.remotely || msg.Paused
	if msg.PreferredProfile.IsPreference() {
		c.preferred = msg.PreferredProfile
	}
	m.await(fx, &mediaWait{kind: MediaEnableConsumer, peer: p, request: msg.RequestID, transport: t, consumer: c}, MediaOp{
		ID: c.id,
		Consumer: &MediaConsumer{
			Transport: t.id, Producer: c.producer.id, Kind: c.producer.kind, RTPParameters: c.parameters,
			Paused: c.locally || c.remotely, PreferredProfile: c.preferred,
		},
	})
	return nil
}

func (m *ServerMachine) consumerEnabled(fx *ServerEffects, w *mediaWait, r MediaResult) {
	c := w.consumer
	switch {
	case c.closed:
		m.late(fx, w, "Consumer")
	case c.transport != w.transport:
		m.late(fx, w, "Transport")
	case r.Err != nil:
		m.disable(fx, c)
		m.refuse(fx, w.peer.conn, w.request, r.Err)
	default:
		c.enabled = true
		if r.Effective != "" {
			c.effective = r.Effective
		}
		m.answerWith(fx, w.peer.conn, w.request, &EnableConsumerResult{
			Paused: c.locally || c.producer.paused(), PreferredProfile: c.preferred, EffectiveProfile: known(c.effective),
		})
	}
}

// notification takes a notification of a peer. What makes no sense is ignored, as by
// mediasoup.
func (m *ServerMachine) notification(fx *ServerEffects, c *conn, msg Message) {
	p := c.peer
	invalid := m.check(msg) != nil
	if l, ok := msg.(*Leave); ok {
		appData := l.AppData
		tooBig := m.cfg.PeerBytes > 0 && len(appData) > m.cfg.PeerBytes
		if invalid || tooBig { // nobody is held back, but such data cannot be told
			appData = nil
		}
		m.leave(fx, p, appData)
		return
	}
	if _, ok := msg.(*UpdateTransport); !ok && invalid {
		return
	}
	switch msg := msg.(type) {
	case *UpdateTransport:
		m.updateTransport(fx, p, msg)
	case *CloseTransport:
		if t := p.transports[msg.ID]; t != nil {
			m.endTransport(fx, t, tellConsumerClosed(fx))
		}
	case *PauseProducer:
		if pr := p.producers[msg.ID]; pr != nil {
			m.pause(fx, pr, pr.locally, true)
		}
	case *ResumeProducer:
		if pr := p.producers[msg.ID]; pr != nil {
			m.pause(fx, pr, pr.locally, false)
		}
	case *CloseProducer:
		if pr := p.producers[msg.ID]; pr != nil {
			m.endProducer(fx, pr, tellConsumerClosed(fx))
		}
	case *PauseConsumer:
		if c := p.consumers[msg.ID]; c != nil {
			m.pauseConsumer(fx, c, c.locally, true)
		}
	case *ResumeConsumer:
		if c := p.consumers[msg.ID]; c != nil {
			m.pauseConsumer(fx, c, c.locally, false)
		}
	case *SetConsumerPreferredProfile:
		if c := p.consumers[msg.ID]; c != nil {
			m.prefer(fx, c, msg.Profile)
		}
	default:
		m.statsWish(fx, p, msg)
	}
}

// pause pauses or resumes a producer, and tells those who receive it when that makes a
// difference to them.
func (m *ServerMachine) pause(fx *ServerEffects, pr *producer, locally, remotely bool) {
	was := pr.paused()
	pr.locally, pr.remotely = locally, remotely
	is := pr.paused()
	if was == is {
		return
	}
	m.media(fx, pr.peer, MediaOp{Kind: MediaPauseProducer, ID: pr.id, Paused: is})
	for _, c := range pr.consumers {
		switch {
		case !c.enabled || c.locally:
		case is:
			fx.send(c.peer.conn, &ConsumerPaused{ID: c.id.ID, PeerName: pr.peer.name})
		default:
			fx.send(c.peer.conn, &ConsumerResumed{ID: c.id.ID, PeerName: pr.peer.name})
		}
	}
}

func (m *ServerMachine) pauseConsumer(fx *ServerEffects, c *consumer, locally, remotely bool) {
	was := c.locally || c.remotely
	c.locally, c.remotely = locally, remotely
	if is := locally || remotely; is != was && c.transport != nil {
		m.media(fx, c.peer, MediaOp{Kind: MediaPauseConsumer, ID: c.id, Paused: is})
	}
}

func (m *ServerMachine) prefer(fx *ServerEffects, c *consumer, p Profile) {
	c.preferred = p
	if c.transport != nil {
		m.media(fx, c.peer, MediaOp{Kind: MediaSetPreferredProfile, ID: c.id, Profile: p})
	}
}
