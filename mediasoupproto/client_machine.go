package mediasoupproto

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/kept"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultPending is how many requests of a client wait at once, for their answer or for
// that of another one.
const DefaultPending = 256

// maxEarly is how many notifications wait for the answer to a join.
const maxEarly = 4096

// ClientConfig says how a [ClientMachine] behaves. Zero fields mean the defaults, a
// negative duration or number no limit.
type ClientConfig struct {
	// NewID makes the ids of requests, which must differ from those that wait; nil counts.
	NewID func() uint64

	HandshakeTimeout time.Duration // to be in the room again after a loss; default 15 s
	CallTimeout      time.Duration // for an answer; default 30 s
	Pending          int           // requests that wait; default 256
	// StateBytes bounds the memory of what the client keeps of what the server says about
	// the room; default 64 MiB.
	StateBytes int
}

// A ClientMachine is the client's side without I/O, clock or goroutine. It also keeps what
// the server says about the room: its peers and what can be received from them.
//
//	idle ──Start──▶ new ──join──▶ joining ──answer──▶ joined ──leave, closed──▶ left
//
// A refusal leads from joining back to new, and a join from left to joining. What belongs to
// one transport goes out one after the other, each when the one before has been answered, as
// mediasoup-client does it: the server refuses a producer on a transport that is not there
// yet. It is not safe for concurrent use.
type ClientMachine struct {
	cfg     ClientConfig
	state   ClientState
	ids     uint64
	pending []*pendingCall // sent, in the order of their deadlines
	queued  int            // requests in lanes
	lanes   map[uint32]*lane
	owners  map[ownedKey]uint32 // producers and consumers that are being created, by their transport

	room      *QueryRoomResult
	join      *Join // the last one that succeeded, or is about to
	spy       bool
	peers     []*PeerInfo // replaced, never changed in place
	consumers map[uint32]string
	early     []Message  // came before the answer to the join
	bound     kept.Bound // of what the server says

	again     bool // the room is entered again after a loss
	lost      bool // there was a connection before
	handshake time.Time
}

// A pendingCall is a request that has been sent.
type pendingCall struct {
	id       ID
	request  Message // as it was given to Send; nil when it is the machine's own
	sent     Message
	lane     *lane // nil is none
	deadline time.Time
}

// A lane holds what waits for a transport. It is there while a request is under way.
type lane struct {
	transport uint32
	busy      bool
	queue     []queuedMessage
}

type queuedMessage struct{ given, out Message }

// An ownedKey names a producer or a consumer.
type ownedKey struct {
	consumer bool
	id       uint32
}

// NewClientMachine returns a machine in [ClientIdle].
func NewClientMachine(cfg ClientConfig) *ClientMachine {
	cfg.HandshakeTimeout = cmp.Or(cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, DefaultCallTimeout)
	cfg.Pending = cmp.Or(cfg.Pending, DefaultPending)
	m := &ClientMachine{cfg: cfg, bound: kept.NewBound(cfg.StateBytes)}
	m.reset()
	return m
}

func (m *ClientMachine) reset() {
	m.lanes, m.owners = make(map[uint32]*lane), make(map[ownedKey]uint32)
	m.peers, m.consumers, m.early, m.queued = nil, make(map[uint32]string), nil, 0
}

// State returns where the connection stands.
func (m *ClientMachine) State() ClientState { return m.state }

// Ready reports whether the client is connected, and in the room if it was there before the
// connection was lost.
func (m *ClientMachine) Ready() bool {
	return m.state >= ClientNew && m.state < ClientClosed && !m.again
}

// Room returns what the room can do, or nil before that is known. It must not be changed.
func (m *ClientMachine) Room() *QueryRoomResult { return m.room }

// Joined returns the last join, or nil. It must not be changed.
func (m *ClientMachine) Joined() *Join {
	if m.state != ClientJoined {
		return nil
	}
	return m.join
}

// Peers returns the other peers in the order of their joining, with what can be received
// from them. They must not be changed.
func (m *ClientMachine) Peers() []*PeerInfo { return m.peers }

// SetJoin changes what the client joins again with after a loss. It is for a client that has
// joined.
func (m *ClientMachine) SetJoin(join *Join) {
	if m.join != nil {
		m.join = join
	}
}

// Start begins the session on a new connection.
func (m *ClientMachine) Start(now time.Time) Effects {
	var fx Effects
	m.fail(&fx, ErrConnectionLost)
	m.state = ClientNew
	m.reset()
	m.handshake = time.Time{}
	if m.again = m.lost && m.join != nil; m.again {
		if m.cfg.HandshakeTimeout > 0 {
			m.handshake = now.Add(m.cfg.HandshakeTimeout)
		}
		m.send(&fx, now, nil, &QueryRoom{}, nil)
	} else if m.lost {
		fx.Deliver = append(fx.Deliver, &Reconnected{})
	}
	m.lost = true
	return fx
}

// Send checks a message of the application against the state of the client. What becomes of
// a request is told by a [Reply]. The error is a [*ValidationError], a [*StateError],
// [ErrSpySends], [ErrUnsupportedCodecs] or [ErrTooManyCalls].
func (m *ClientMachine) Send(now time.Time, msg Message) (Effects, error) {
	var fx Effects
	required := allowedStates(msg)
	if m.again && required != nil { // not before the room is entered again
		required = inRoom
	}
	if !slices.Contains(required, m.state) {
		return fx, stateError(m.state, msg, required...)
	}
	out := m.prepared(msg)
	if err := out.Validate(); err != nil {
		return fx, err
	}
	if err := writable(out); err != nil {
		return fx, err
	}
	if err := m.allowed(out); err != nil {
		return fx, err
	}
	if isRequest(out) && m.cfg.Pending > 0 && len(m.pending)+m.queued >= m.cfg.Pending {
		return fx, ErrTooManyCalls
	}
	switch out := out.(type) {
	case *Join:
		m.state = ClientJoining
		m.send(&fx, now, msg, out, nil)
		return fx, nil
	case *Leave:
		fx.Send = append(fx.Send, out)
		m.left(&fx)
		return fx, nil
	case *CloseTransport:
		fx.Send = append(fx.Send, out)
		m.closeLane(&fx, out.ID)
		return fx, nil
	}
	m.dispatch(&fx, now, msg, out)
	return fx, nil
}

// writable refuses what has no encoding, such as texts that are not UTF-8: the connection
// would end of it.
func writable(msg Message) error {
	var err error
	switch msg := msg.(type) {
	case *Application:
		_, err = jsonx.AppendString(nil, msg.Method)
		err = within("method", err)
	case *Response:
		if msg.Error != nil {
			_, err = jsonx.AppendString(nil, msg.Error.Reason)
			err = within("error", err)
		}
	case *Join, *CreateTransport, *UpdateTransport, *CreateProducer, *UpdateProducer, *Unknown: // which have texts
		_, err = appendPayload(make([]byte, 0, size(msg)), msg)
	}
	if err == nil {
		return nil
	}
	e := decodeError("", err)
	return &ValidationError{Type: name(msg), Field: e.Field, Reason: e.Err.Error()}
}

func within(field string, err error) error {
	if err == nil {
		return nil
	}
	return &jsonx.Error{Field: field, Err: err}
}

// ErrSpySends: a spy wants to send.
var ErrSpySends = errors.New("mediasoupproto: a spy peer cannot send media to the room")

// allowed refuses what the server is known to refuse.
func (m *ClientMachine) allowed(msg Message) error {
	switch msg := msg.(type) {
	case *CreateProducer:
		if m.spy {
			return ErrSpySends
		}
	case *CreateTransport:
		if m.spy && msg.Direction == DirectionSend {
			return ErrSpySends
		}
	case *EnableConsumer:
		if c := m.consumer(msg.ID); c != nil && c.RTPParameters != nil && !m.receives(c.RTPParameters) {
			return ErrUnsupportedCodecs
		}
	}
	return nil
}

// receives reports whether the client has said that it can receive the first codec.
func (m *ClientMachine) receives(p *RTPParameters) bool {
	if len(p.Codecs) == 0 || p.Codecs[0].PayloadType == nil {
		return false
	}
	return slices.ContainsFunc(m.join.RTPCapabilities.Codecs, func(c CodecCapability) bool {
		return c.PreferredPayloadType == *p.Codecs[0].PayloadType
	})
}

// prepared returns a message as it goes out, a copy unless nothing is to be changed.
func (m *ClientMachine) prepared(msg Message) Message {
	const least = int64(MinStatsInterval / time.Millisecond)
	switch msg := msg.(type) {
	case *EnableTransportStats:
		c := *msg
		c.Interval = max(c.Interval, least)
		return &c
	case *EnableProducerStats:
		c := *msg
		c.Interval = max(c.Interval, least)
		return &c
	case *EnableConsumerStats:
		c := *msg
		c.Interval = max(c.Interval, least)
		return &c
	}
	if !isRequest(msg) {
		return msg
	}
	switch msg := msg.(type) { // their ids are the machine's
	case *QueryRoom:
		c := *msg
		return &c
	case *Join:
		c := *msg
		return &c
	case *CreateTransport:
		c := *msg
		return &c
	case *RestartTransport:
		c := *msg
		return &c
	case *CreateProducer:
		c := *msg
		return &c
	case *EnableConsumer:
		c := *msg
		return &c
	case *Application:
		c := *msg
		return &c
	case *Unknown:
		c := *msg
		return &c
	}
	return msg
}

// isRequest reports whether a message gets an answer. An application's message and an unknown
// one are requests when they have an id, which is replaced.
func isRequest(msg Message) bool { return kindOf(msg) == FrameRequest }

var (
	connected  = []ClientState{ClientNew, ClientJoining, ClientJoined, ClientLeft}
	beforeJoin = []ClientState{ClientNew, ClientLeft}
	inRoom     = []ClientState{ClientJoined}
)

// allowedStates returns the states in which a client may send a message.
func allowedStates(msg Message) []ClientState {
	switch msg.(type) {
	case *QueryRoom, *Application, *Unknown, *Response:
		return connected
	case *Join:
		return beforeJoin
	case *CreateTransport, *RestartTransport, *CreateProducer, *EnableConsumer, *Leave, *UpdateTransport, *CloseTransport,
		*EnableTransportStats, *DisableTransportStats, *PauseProducer, *ResumeProducer, *CloseProducer,
		*EnableProducerStats, *DisableProducerStats, *UpdateProducer, *PauseConsumer, *ResumeConsumer,
		*SetConsumerPreferredProfile, *EnableConsumerStats, *DisableConsumerStats:
		return inRoom
	}
	return nil
}

// send sends a message. A request gets an id.
func (m *ClientMachine) send(fx *Effects, now time.Time, given, out Message, l *lane) {
	if isRequest(out) {
		p := &pendingCall{id: m.newID(), request: given, sent: out, lane: l}
		if m.cfg.CallTimeout > 0 {
			p.deadline = now.Add(m.cfg.CallTimeout)
			for _, earlier := range slices.Backward(m.pending) {
				if !earlier.deadline.After(p.deadline) {
					break
				}
				earlier.deadline = p.deadline // the clock has gone back
			}
		}
		out.head().RequestID = p.id
		m.pending = append(m.pending, p)
	}
	fx.Send = append(fx.Send, out)
}

func (m *ClientMachine) newID() ID {
	const tries = 100
	taken := func(id ID) bool {
		return slices.ContainsFunc(m.pending, func(p *pendingCall) bool { return p.id == id })
	}
	for range tries {
		if m.cfg.NewID == nil {
			break
		}
		if id := NumberID(m.cfg.NewID()); !taken(id) {
			return id
		}
	}
	for {
		m.ids++
		if id := ID(strconv.FormatUint(m.ids, 10)); !taken(id) {
			return id
		}
	}
}

// Receive takes a message of the server.
func (m *ClientMachine) Receive(now time.Time, msg Message) Effects {
	var fx Effects
	if m.state == ClientIdle || m.state == ClientClosed {
		return fx
	}
	if r, ok := msg.(*Response); ok {
		m.response(&fx, now, r)
		m.check(&fx)
		return fx
	}
	switch msg := msg.(type) {
	case *Application:
		fx.Deliver = append(fx.Deliver, msg)
		return fx
	case *Unknown:
		fx.Ignored = append(fx.Ignored, msg)
		acknowledge(&fx, msg)
		return fx
	}
	acknowledge(&fx, msg)
	switch {
	case kindOf(msg) == FrameRequest, m.state == ClientNew, m.state == ClientLeft:
		fx.Ignored = append(fx.Ignored, msg)
	case m.state == ClientJoining && len(m.early) >= maxEarly:
		m.end(&fx, ErrSlowConsumer)
	case m.state == ClientJoining:
		m.early = append(m.early, msg)
		m.bound.Keep(msg)
	default:
		m.notification(&fx, msg)
	}
	m.check(&fx)
	return fx
}

// check ends the session when the server makes the client keep too much.
func (m *ClientMachine) check(fx *Effects) {
	if m.state == ClientClosed {
		return
	}
	if err := m.bound.Check(m.kept); err != nil {
		m.end(fx, err)
		fx.Close.Code, fx.Close.Reason, fx.Close.Final = transport.StatusPolicyViolation, "too much state", true
	}
}

// kept returns the size of what the client keeps of what the server says.
func (m *ClientMachine) kept() int { return kept.Size(m.room, m.peers, m.consumers, m.early) }

// acknowledge answers what has an id: requests, of which a client takes none but the
// application's, and the notifications of a server of protoo 2.
func acknowledge(fx *Effects, msg Message) {
	h := msg.head()
	if h == nil || h.RequestID == "" {
		return
	}
	answer := &Response{Head: Head{RequestID: h.RequestID}}
	if kindOf(msg) == FrameRequest {
		answer.Error = NewError("Error", `unknown request method "`+name(msg)+`"`)
	}
	fx.Send = append(fx.Send, answer)
}

// left takes the client out of the room.
func (m *ClientMachine) left(fx *Effects) {
	m.fail(fx, ErrLeft)
	m.state, m.join = ClientLeft, nil
	m.reset()
}

// fail ends all requests.
func (m *ClientMachine) fail(fx *Effects, err error) {
	for _, p := range m.pending {
		if p.request != nil {
			fx.Done = append(fx.Done, Reply{Request: p.request, Err: err})
		}
	}
	m.pending = nil
	lanes := make([]uint32, 0, len(m.lanes))
	for id := range m.lanes {
		lanes = append(lanes, id)
	}
	slices.Sort(lanes)
	for _, id := range lanes {
		for _, q := range m.lanes[id].queue {
			if isRequest(q.out) {
				fx.Done = append(fx.Done, Reply{Request: q.given, Err: err})
			}
		}
	}
	clear(m.lanes)
	m.queued = 0
}

// Malformed takes what could not be decoded: a request is answered, all else is ignored.
func (m *ClientMachine) Malformed(_ time.Time, err *DecodeError) Effects {
	var fx Effects
	switch {
	case m.state == ClientIdle, m.state == ClientClosed:
	case err.Err == errTooBig:
		m.end(&fx, err)
		fx.Close.Code = transport.StatusMessageTooBig
	case err.RequestID == "":
	case err.kind == FrameNotification:
		fx.Send = append(fx.Send, &Response{Head: Head{RequestID: err.RequestID}})
	default:
		fx.Send = append(fx.Send, &Response{Head: Head{RequestID: err.RequestID}, Error: answerTo(err)})
	}
	return fx
}

// Deadline returns when [ClientMachine.Expire] is due.
func (m *ClientMachine) Deadline() (at time.Time, ok bool) {
	if len(m.pending) > 0 && m.cfg.CallTimeout > 0 {
		at, ok = m.pending[0].deadline, true
	}
	if !m.handshake.IsZero() && (!ok || m.handshake.Before(at)) {
		at, ok = m.handshake, true
	}
	return at, ok
}

// Expire gives up the requests that were not answered in time, or the connection if the room
// was not entered again.
func (m *ClientMachine) Expire(now time.Time) Effects {
	var fx Effects
	if !m.handshake.IsZero() && !now.Before(m.handshake) {
		m.end(&fx, ErrHandshakeTimeout)
		return fx
	}
	for len(m.pending) > 0 && m.cfg.CallTimeout > 0 && !now.Before(m.pending[0].deadline) {
		p := m.pending[0]
		m.pending = m.pending[1:]
		if p.request == nil { // without which the room is not entered again
			m.end(&fx, ErrCallTimeout)
			return fx
		}
		if _, ok := p.sent.(*Join); ok {
			fx.Ignored = append(fx.Ignored, m.early...)
			m.state, m.early = ClientNew, nil
		}
		m.done(&fx, now, p, nil, ErrCallTimeout)
	}
	return fx
}

// end gives the connection up.
func (m *ClientMachine) end(fx *Effects, err error) {
	fx.Close = &CloseReason{Code: transport.StatusNormal, Err: err}
	if e, ok := errors.AsType[*Error](err); ok && e.Code == CodeForbidden {
		fx.Close.Final = true
	}
	m.state, m.handshake = ClientClosed, time.Time{}
	m.fail(fx, ErrConnectionLost)
}

// Lost tells the machine that its connection has ended. The machine may be started again.
func (m *ClientMachine) Lost(time.Time) Effects {
	var fx Effects
	m.fail(&fx, ErrConnectionLost)
	if m.state != ClientClosed {
		m.state = ClientIdle
	}
	m.handshake = time.Time{}
	m.reset()
	return fx
}

// appDataOf returns any JSON for a message, or nil for an empty one.
func appDataOf(appData json.RawMessage) json.RawMessage {
	if len(appData) == 0 {
		return nil
	}
	return appData
}
