package msejsonrpc

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultPending is how many requests of a client wait for their answer at once.
const DefaultPending = 64

// ClientConfig says how a [ClientMachine] behaves. Zero fields mean the defaults, a
// negative duration or number no limit.
type ClientConfig struct {
	// Token is what the handshake authenticates with. Without one the application calls
	// auth and start itself.
	Token string
	// NoStart ends the handshake after auth: the application calls start itself.
	NoStart bool

	HandshakeTimeout time.Duration // for auth and start together; default 15 s
	CallTimeout      time.Duration // for each other answer; default 10 s
	// Heartbeat is how often a ping is sent; default 20 s, negative never. The answer
	// has CallTimeout, then the connection counts as lost.
	Heartbeat time.Duration
	Pending   int // requests without their answer; default 64
}

// A ClientMachine is the client's side without I/O, clock or goroutine.
//
//	idle ──Start──▶ connected ──auth──▶ authenticating ──"authenticated"──▶ authorized
//	authorized ──start──▶ starting ──"started"──▶ active
//
// A refusal goes back to where the request was sent from; disconnect closes in every
// state. It is not safe for concurrent use.
type ClientMachine struct {
	cfg     ClientConfig
	state   ClientState
	back    ClientState // where a refusal of auth leads
	shaking bool        // the handshake is not over
	ready   bool        // it has been once
	last    uint64      // id given to a request
	pending []pendingCall
	spare   []Reply // for the next one that is done, see carriedOut

	handshake time.Time // its deadline
	beat      time.Time // when the next ping is due
}

// A pendingCall is a request that waits for its answer.
type pendingCall struct {
	id       ID
	method   string
	request  Message // nil for the machine's own
	deadline time.Time
}

// NewClientMachine returns a machine in [ClientIdle].
func NewClientMachine(cfg ClientConfig) *ClientMachine {
	cfg.HandshakeTimeout = cmp.Or(cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, DefaultCallTimeout)
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, DefaultHeartbeat)
	cfg.Pending = cmp.Or(cfg.Pending, DefaultPending)
	return &ClientMachine{cfg: cfg}
}

// State returns where the connection stands.
func (m *ClientMachine) State() ClientState { return m.state }

// Ready reports whether the handshake is over: in [ClientConnected] without a token, in
// [ClientAuthorized] with NoStart, in [ClientActive] otherwise.
func (m *ClientMachine) Ready() bool {
	return !m.shaking && m.state != ClientIdle && m.state != ClientClosed
}

// SetToken changes the token of the next handshake.
func (m *ClientMachine) SetToken(token string) { m.cfg.Token = token }

// Start begins the session on a new connection.
func (m *ClientMachine) Start(now time.Time) Effects {
	var fx Effects
	m.end(&fx, ClientConnected)
	m.back = ClientConnected
	if m.cfg.Heartbeat > 0 {
		m.beat = now.Add(m.cfg.Heartbeat)
	}
	if m.cfg.Token == "" {
		m.settle(&fx)
		return fx
	}
	m.shaking = true
	if m.cfg.HandshakeTimeout > 0 {
		m.handshake = now.Add(m.cfg.HandshakeTimeout)
	}
	m.state = ClientAuthenticating
	m.own(&fx, now, &Auth{Token: m.cfg.Token, Version: Version})
	return fx
}

// settle ends the handshake.
func (m *ClientMachine) settle(fx *Effects) {
	m.shaking, m.handshake = false, time.Time{}
	if m.ready {
		fx.Deliver = append(fx.Deliver, &Reconnected{})
	}
	m.ready = true
}

// next returns the number of the next request: one that the application has not given to
// a request of its own that is under way.
func (m *ClientMachine) next() uint64 {
	n := m.last + 1
	for slices.ContainsFunc(m.pending, func(p pendingCall) bool { return p.id == NumberID(n) }) {
		n++
	}
	return n
}

// own sends a request of the machine's own.
func (m *ClientMachine) own(fx *Effects, now time.Time, msg call) {
	id := m.number(msg)
	fx.Send = append(fx.Send, msg)
	m.await(now, id, msg.wireType(), nil)
}

// number gives a request, which nobody else has, the next number.
func (m *ClientMachine) number(msg call) ID {
	m.last = m.next()
	id, _ := msg.head()
	*id = NumberID(m.last)
	return *id
}

func (m *ClientMachine) await(now time.Time, id ID, method string, request Message) {
	p := pendingCall{id: id, method: method, request: request}
	if m.cfg.CallTimeout > 0 && (request != nil || method == "ping") { // the handshake has its own
		p.deadline = now.Add(m.cfg.CallTimeout)
	}
	m.pending = append(m.pending, p)
}

// Send checks a message of the application against the call order. A request without an
// id gets the next number; what becomes of it is told by a [Reply]. The error is a
// [*ValidationError], a [*StateError] or [ErrTooManyCalls].
func (m *ClientMachine) Send(now time.Time, msg Message) (Effects, error) {
	required := m.allowed(msg)
	if !slices.Contains(required, m.state) {
		return Effects{}, stateError(m.state, msg, required...)
	}
	out := msg
	if isRequest(msg.wireType()) && idOf(msg).IsNotification() {
		out = numbered(msg, NumberID(m.next()))
	}
	if err := out.Validate(); err != nil {
		return Effects{}, err
	}
	fx := Effects{Send: []Message{out}}
	if isCall(out) {
		if m.cfg.Pending > 0 && len(m.pending) >= m.cfg.Pending {
			return Effects{}, ErrTooManyCalls
		}
		if out != msg {
			m.last = m.next()
		}
		m.await(now, idOf(out), out.wireType(), msg)
	}
	switch msg.(type) {
	case *Auth:
		m.back, m.state = m.state, ClientAuthenticating
	case *Start:
		m.state = ClientStarting
	case *Disconnect:
		m.close(&fx, transport.StatusNormal, "", nil, true)
	}
	return fx, nil
}

// request is Send for a request that nobody else has and that needs no copy.
func (m *ClientMachine) request(now time.Time, msg call) (Effects, error) {
	last := m.last
	m.number(msg)
	fx, err := m.Send(now, msg)
	if err != nil {
		m.last = last
	}
	return fx, err
}

// isCall reports whether a message has an answer: it is one of the requests, which get an
// id, or of a method that is not known and has one.
func isCall(m Message) bool {
	_, unknown := m.(*Unknown)
	return isRequest(m.wireType()) || unknown && !idOf(m).IsNotification()
}

var (
	anyClientState = []ClientState{
		ClientConnected, ClientAuthenticating, ClientAuthorized, ClientStarting, ClientActive,
	}
	beforeStart = []ClientState{ClientConnected, ClientAuthorized}
	afterAuth   = []ClientState{ClientAuthorized, ClientStarting, ClientActive}
)

// allowed returns the states in which a client may send a message.
func (m *ClientMachine) allowed(msg Message) []ClientState {
	switch msg.(type) {
	case *Ping, *Disconnect, *Unknown:
		return anyClientState
	case *Auth:
		return beforeStart
	case *Start:
		return afterAuth[:1]
	case *WhoAmI, *Chat:
		return afterAuth
	case *ICECandidate, *SDPOffer:
		return afterAuth[2:]
	}
	return nil
}

// Receive takes a message of the server.
func (m *ClientMachine) Receive(now time.Time, msg Message) Effects {
	var fx Effects
	if m.state == ClientIdle || m.state == ClientClosed {
		return fx
	}
	if m.beat.Sub(now) > m.cfg.Heartbeat { // the clock has gone back
		m.beat = now.Add(m.cfg.Heartbeat)
	}
	switch msg := msg.(type) {
	case *Response:
		m.response(&fx, now, msg)
	case *ICECandidate, *SDPOffer:
		if m.state != ClientActive {
			m.answer(&fx, msg, CallOrderError("start"))
			break
		}
		m.deliver(&fx, msg)
	case *Chat:
		if !m.authorized() {
			m.answer(&fx, msg, CallOrderError("auth"))
			break
		}
		m.deliver(&fx, msg)
	case *Unknown:
		if msg.ID.IsNotification() { // of a method of tomorrow
			fx.Deliver = append(fx.Deliver, msg)
			break
		}
		m.answer(&fx, msg, ErrMethodNotFound)
	default: // what only clients send
		m.answer(&fx, msg, ErrMethodNotFound)
	}
	return fx
}

// authorized reports whether the server knows the client: a fresh token does not change
// that while it is asked about.
func (m *ClientMachine) authorized() bool {
	return slices.Contains(afterAuth, m.state) || m.state == ClientAuthenticating && m.back == ClientAuthorized
}

func (m *ClientMachine) deliver(fx *Effects, msg Message) {
	if err := msg.Validate(); err != nil {
		m.refuse(fx, msg.wireType(), idOf(msg), ErrInvalidParams, err)
		return
	}
	fx.Deliver = append(fx.Deliver, msg)
}

// answer refuses a message of the server.
func (m *ClientMachine) answer(fx *Effects, msg Message, err *Error) {
	m.refuse(fx, name(msg), idOf(msg), err, err)
}

// refuse answers a message that has an id, and only notes one that has none.
func (m *ClientMachine) refuse(fx *Effects, method string, id ID, say *Error, why error) {
	if id.IsNotification() {
		fx.Ignored = append(fx.Ignored, Violation{Type: method, Err: why})
		return
	}
	fx.Send = append(fx.Send, NewErrorResponse(id, say))
}

// response pairs a response with the oldest request of its id.
func (m *ClientMachine) response(fx *Effects, now time.Time, r *Response) {
	if r.ID.IsNotification() {
		if err := r.Validate(); err != nil { // a result must say of what
			fx.Ignored = append(fx.Ignored, Violation{Type: typeResponse, Err: err})
			return
		}
		fx.Deliver = append(fx.Deliver, r) // about the connection, not about a call
		return
	}
	p, ok := m.take(r.ID)
	if !ok && r.Error != nil && r.Validate() == nil { // about a notification that was given an id
		fx.Deliver = append(fx.Deliver, r)
		return
	}
	if !ok {
		fx.Ignored = append(fx.Ignored, Violation{Type: typeResponse, Err: errUnpaired})
		return
	}
	m.done(fx, now, p, r, outcome(p.method, r))
}

func (m *ClientMachine) take(id ID) (p pendingCall, ok bool) {
	i := slices.IndexFunc(m.pending, func(p pendingCall) bool { return sameID(p.id, id) })
	if i < 0 {
		return p, false
	}
	p = m.pending[i]
	m.pending = slices.Delete(m.pending, i, i+1)
	return p, true
}

// sameID compares an id with the one that a server has made of it: 1 may come back as
// 1.0.
func sameID(sent, got ID) bool {
	if sent == got {
		return true
	}
	n, ok := sent.Number()
	if !ok || got.token == "" {
		return false
	}
	i, err := jsonx.Int(json.RawMessage(got.token))
	return err == nil && i > 0 && uint64(i) == n
}

// outcome returns what is wrong with a response to a request.
func outcome(method string, r *Response) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Error != nil {
		return r.Error
	}
	ok := true
	switch method {
	case "ping":
		ok = r.Pong()
	case "auth":
		ok = r.Authenticated()
	case "start":
		ok = r.Started()
	case "whoami":
		_, err := r.Identity()
		return err
	}
	if !ok {
		return &UnexpectedResultError{Type: method, Result: r.Result}
	}
	return nil
}

// done ends a request.
func (m *ClientMachine) done(fx *Effects, now time.Time, p pendingCall, r *Response, err error) {
	if p.request != nil {
		if fx.Done == nil {
			fx.Done, m.spare = m.spare, nil
		}
		fx.Done = append(fx.Done, Reply{Request: p.request, Response: r, Err: err})
	}
	switch {
	case p.method == "auth" && err == nil:
		m.state = ClientAuthorized
		if m.shaking && !m.cfg.NoStart {
			m.state = ClientStarting
			m.own(fx, now, &Start{})
			return
		}
	case p.method == "auth":
		m.state = m.back
	case p.method == "start" && err == nil:
		m.state = ClientActive
	case p.method == "start":
		m.state = ClientAuthorized
	default:
		return
	}
	switch {
	case !m.shaking:
	case err == nil:
		m.settle(fx)
	default:
		m.close(fx, transport.StatusNormal, "", err, isRefusal(err))
	}
}

// carriedOut takes the replies of a step back, from a driver that has done with them, so
// that each does not cost a slice.
func (m *ClientMachine) carriedOut(done []Reply) {
	clear(done)
	if m.spare == nil && cap(done) <= 4 {
		m.spare = done[:0]
	}
}

// isRefusal reports whether the same token will be refused again.
func isRefusal(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Is(ErrNotAuthorized)
}

// Malformed takes what could not be decoded. A broken response fails its request, broken
// params are answered as far as that is allowed, anything else ends the connection.
func (m *ClientMachine) Malformed(now time.Time, err *DecodeError) Effects {
	var fx Effects
	if m.state == ClientIdle || m.state == ClientClosed {
		return fx
	}
	switch {
	case err.Err == errBinary:
		m.close(&fx, transport.StatusUnsupportedData, "binary message", err, false)
	case err.Err == errTooBig:
		m.close(&fx, transport.StatusMessageTooBig, "message too big", err, false)
	case err.Type == typeResponse || err.Err == errNoKind:
		if p, ok := m.take(err.ID); ok {
			m.done(&fx, now, p, nil, err)
			break
		}
		fx.Ignored = append(fx.Ignored, Violation{Type: typeResponse, Err: err})
	case err.Code == CodeInvalidParams:
		m.malformedParams(&fx, err)
	default:
		m.close(&fx, transport.StatusInvalidPayload, "not a message", err, false)
	}
	return fx
}

func (m *ClientMachine) malformedParams(fx *Effects, err *DecodeError) {
	say := ErrInvalidParams
	switch {
	case err.Type != "iceCandidate" && err.Type != "sdpOffer" && err.Type != "chat":
		say = ErrMethodNotFound
	case err.Type == "chat" && !m.authorized():
		say = CallOrderError("auth")
	case err.Type != "chat" && m.state != ClientActive:
		say = CallOrderError("start")
	}
	m.refuse(fx, err.Type, err.ID, say, err)
}

// Deadline returns when [ClientMachine.Expire] is due.
func (m *ClientMachine) Deadline() (at time.Time, ok bool) {
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	earlier(m.handshake)
	earlier(m.beat)
	for _, p := range m.pending {
		earlier(p.deadline)
	}
	return at, !at.IsZero()
}

// Expire gives up what has taken too long, and pings when it is time.
func (m *ClientMachine) Expire(now time.Time) Effects {
	var fx Effects
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if due(m.handshake) {
		m.close(&fx, transport.StatusPolicyViolation, "handshake timed out", ErrHandshakeTimeout, false)
		return fx
	}
	for i := 0; i < len(m.pending); {
		p := m.pending[i]
		if !due(p.deadline) {
			i++
			continue
		}
		m.pending = slices.Delete(m.pending, i, i+1)
		switch {
		case p.request == nil:
			m.close(&fx, transport.StatusPolicyViolation, "no answer to the heartbeat", ErrHeartbeat, false)
			return fx
		case p.method == "auth" || p.method == "start":
			// Where the server stands is not known any more.
			fx.Done = append(fx.Done, Reply{Request: p.request, Err: ErrCallTimeout})
			m.close(&fx, transport.StatusPolicyViolation, "no answer to "+p.method, ErrHandshakeTimeout, false)
			return fx
		}
		m.done(&fx, now, p, nil, ErrCallTimeout)
	}
	if due(m.beat) {
		m.beat = now.Add(m.cfg.Heartbeat)
		if !m.beating() {
			m.own(&fx, now, &Ping{})
		}
	}
	return fx
}

// beating reports whether a ping of the machine's own waits for its answer.
func (m *ClientMachine) beating() bool {
	return slices.ContainsFunc(m.pending, func(p pendingCall) bool { return p.request == nil && p.method == "ping" })
}

// Lost tells the machine that its connection has ended. [ClientMachine.Start] may
// follow; then the application gets a [*Reconnected].
func (m *ClientMachine) Lost(time.Time) Effects {
	var fx Effects
	m.end(&fx, ClientIdle)
	return fx
}

// end fails what is pending.
func (m *ClientMachine) end(fx *Effects, state ClientState) {
	for _, p := range m.pending {
		if p.request != nil {
			fx.Done = append(fx.Done, Reply{Request: p.request, Err: ErrConnectionLost})
		}
	}
	m.state, m.shaking, m.pending = state, false, nil
	m.handshake, m.beat = time.Time{}, time.Time{}
}

func (m *ClientMachine) close(fx *Effects, code transport.StatusCode, reason string, err error, final bool) {
	m.end(fx, ClientClosed)
	fx.Close = &CloseReason{Code: code, Reason: reason, Err: err, Final: final}
}
