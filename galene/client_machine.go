package galene

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/kept"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultPending is how many token actions and identifications of a client wait for their
// answer.
const DefaultPending = 64

// ClientConfig says how a [ClientMachine] behaves. Zero fields mean the defaults, a
// negative duration or number no limit.
type ClientConfig struct {
	// Versions are those that the client speaks, the best one first; default [Version].
	// With "1" among them the client takes servers of version 1 and older, too.
	Versions []string
	// NewID makes the id of the client in its group, a new one for each connection,
	// because the server may not have noticed yet that the last one is gone. It must be
	// different from everybody's else; nil counts, for tests.
	NewID func() string

	HandshakeTimeout time.Duration // default 15 s
	CallTimeout      time.Duration // for the answer to a join or a token action; default 15 s
	Heartbeat        time.Duration // silence before a ping; default 15 s
	Silence          time.Duration // silence after which the connection counts as lost; default 45 s
	RequestAgain     time.Duration // from joining to the repetition of the request; default 1 s
	Pending          int           // token actions without their answer; default 64
	// StateBytes bounds the memory of what the client keeps of what the server says about
	// the group; default 64 MiB.
	StateBytes int
}

// A ClientMachine is the client's side without I/O, clock or goroutine. It also keeps what
// the server says about the group: its members, its status, and which streams there are.
//
//	idle ──Start──▶ handshaking ──handshake──▶ ready
//	ready ──join──▶ joining ──joined──▶ joined ──leave──▶ leaving ──joined──▶ ready
//
// A refusal leads from joining back to ready. It is not safe for concurrent use.
type ClientMachine struct {
	cfg     ClientConfig
	state   ClientState
	version string // that the server has chosen; "" for the oldest ones
	id      string
	ids     int // made without NewID

	group       string
	username    string
	permissions Permissions
	status      *Status
	data        Fields
	rtc         []byte // the newest configuration
	users       map[string]*User
	changes     uint64          // of users, counted
	initial     int             // members that are still to be told of after joining
	deleted     Fields          // data that may not have been deleted after all, see joined and user
	up, down    map[string]bool // streams by id
	ended       map[string]bool // those of down that the client has asked to end
	aborted     map[string]bool // those that were of up: what the application still says about them is too late
	early       []*ICE          // of streams that are not known yet
	request     *Request        // the last one
	bound       kept.Bound      // of what the server says

	join    *Join   // what to join again with
	joining Message // as it was given to Send; nil when it is the machine's own
	again   bool    // the join is a repetition after a loss
	modern  bool    // somebody has a permission of 0.9, so the server knows them
	ready   bool    // there has been a handshake
	kicked  *KickedError
	// restarting says that the server throws everybody out because it is going to stop: the
	// next one may be there soon.
	restarting bool
	pending    []pendingCall
	received   time.Time // when something came last

	// Deadlines: of the handshake, the join, the request, the next ping.
	handshake, answer, repeat, beat time.Time
}

// A pendingCall is an action that waits for its answer.
type pendingCall struct {
	request  Message // nil once it has been given up
	answer   UserMessageKind
	deadline time.Time
}

// NewClientMachine returns a machine in [ClientIdle].
func NewClientMachine(cfg ClientConfig) *ClientMachine {
	if len(cfg.Versions) == 0 {
		cfg.Versions = []string{Version}
	}
	cfg.HandshakeTimeout = cmp.Or(cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, DefaultCallTimeout)
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, DefaultHeartbeat)
	cfg.Silence = cmp.Or(cfg.Silence, DefaultSilence)
	cfg.RequestAgain = cmp.Or(cfg.RequestAgain, DefaultRequestAgain)
	cfg.Pending = cmp.Or(cfg.Pending, DefaultPending)
	return &ClientMachine{cfg: cfg, bound: kept.NewBound(cfg.StateBytes)}
}

// State returns where the connection stands.
func (m *ClientMachine) State() ClientState { return m.state }

// Ready reports whether the handshake is over, and with it the joining of the group that
// there was before a connection was lost.
func (m *ClientMachine) Ready() bool {
	return m.state >= ClientReady && m.state < ClientClosed && !m.again
}

// ID returns the client's id on the present connection.
func (m *ClientMachine) ID() string { return m.id }

// Version returns the version of the protocol that the server has chosen, "" when it is so
// old that it says none.
func (m *ClientMachine) Version() string { return m.version }

// Group returns the name of the group that the client is in, or "".
func (m *ClientMachine) Group() string { return m.group }

// Username returns the name that the client has in its group.
func (m *ClientMachine) Username() string { return m.username }

// Permissions returns what the client may do in its group. They must not be changed.
func (m *ClientMachine) Permissions() Permissions { return m.permissions }

// Status returns what the server said last about the group, or nil. It must not be changed.
func (m *ClientMachine) Status() *Status { return m.status }

// Data returns what the group's operators have set. It must not be changed.
func (m *ClientMachine) Data() Fields { return m.data }

// RTCConfiguration returns the newest configuration for peer connections as JSON, or nil.
func (m *ClientMachine) RTCConfiguration() []byte { return m.rtc }

// Users returns the members of the group, the client included, by id. They must not be
// changed.
func (m *ClientMachine) Users() map[string]*User { return m.users }

// SetJoin changes what the client joins its group again with after a loss, such as a fresh
// token. It is for a client that has joined.
func (m *ClientMachine) SetJoin(join *Join) {
	if m.join != nil {
		m.join = join
	}
}

// Start begins the session on a new connection.
func (m *ClientMachine) Start(now time.Time) Effects {
	var fx Effects
	m.end(&fx, ClientHandshaking)
	m.kicked, m.restarting = nil, false
	m.received = now
	if m.cfg.HandshakeTimeout > 0 {
		m.handshake = now.Add(m.cfg.HandshakeTimeout)
	}
	if m.cfg.NewID != nil {
		m.id = m.cfg.NewID()
	} else {
		m.ids++
		m.id = "client-" + strconv.Itoa(m.ids)
	}
	fx.Send = append(fx.Send, &Handshake{Version: m.cfg.Versions, ID: m.id})
	return fx
}

// Send checks a message of the application against the state and the permissions of the
// client, and fills in who sends it. What becomes of a [Join] and of a [GroupAction] about
// tokens is told by a [Reply]. The error is a [*ValidationError], a [*StateError], a
// [*PermissionError], [ErrUnknownStream] or [ErrTooManyCalls].
func (m *ClientMachine) Send(now time.Time, msg Message) (Effects, error) {
	if required := allowedStates(msg); !slices.Contains(required, m.state) {
		return Effects{}, stateError(m.state, msg, required...)
	}
	out, err := m.signed(msg)
	if err != nil {
		return Effects{}, err
	}
	if err := out.Validate(); err != nil {
		return Effects{}, err
	}
	if err := fits(out); err != nil {
		return Effects{}, err
	}
	for _, p := range requiredPermissions(out) {
		if m.lacks(p, out) {
			return Effects{}, &PermissionError{Type: msg.wireType(), Required: p}
		}
	}
	switch out := out.(type) {
	case *Join:
		err = m.sendJoin(now, msg, out)
	case *Request:
		err = m.sendRequest(out)
	default:
		err = m.sendStream(out)
	}
	if answer := answerTo(out); answer != "" {
		err = m.await(now, msg, answer)
	}
	if err != nil {
		return Effects{}, err
	}
	return Effects{Send: []Message{out}}, nil
}

// answerTo returns the kind of user message that answers a message, or "".
func answerTo(msg Message) UserMessageKind {
	switch msg := msg.(type) {
	case *UserAction:
		if msg.Kind == UserIdentify {
			return UserMessageUserInfo
		}
	case *GroupAction:
		switch msg.Kind {
		case GroupMakeToken, GroupEditToken:
			return UserMessageToken
		case GroupListTokens:
			return UserMessageTokenList
		}
	}
	return ""
}

// lacks reports whether the server would refuse a message, which needs a permission. Before
// 0.9 everybody might chat and clear the chat, and nobody had the permission to chat.
func (m *ClientMachine) lacks(p Permission, msg Message) bool {
	if m.permissions.Has(p) || m.version != Version {
		return false
	}
	if action, ok := msg.(*GroupAction); ok && action.Kind == GroupClearChat {
		return m.modern
	}
	return m.modern || p != PermissionMessage && p != PermissionCaption
}

// learn takes note of permissions that somebody has.
func (m *ClientMachine) learn(p Permissions) {
	m.modern = m.modern || p.Has(PermissionMessage) || p.Has(PermissionCaption)
}

// fits refuses what is larger than servers take. Only what is long is measured.
func fits(msg Message) error {
	const escapes = 6 // what one byte of a text becomes at most
	if size(msg) < DefaultMessageBytes/escapes {
		return nil
	}
	if b, err := Encode(msg); err == nil && len(b) > DefaultMessageBytes {
		return invalid(msg.wireType(), "length", errTooBig.Error())
	}
	return nil
}

func (m *ClientMachine) await(now time.Time, msg Message, answer UserMessageKind) error {
	if m.cfg.Pending > 0 && len(m.pending) >= m.cfg.Pending {
		return ErrTooManyCalls
	}
	p := pendingCall{request: msg, answer: answer}
	if m.cfg.CallTimeout > 0 {
		p.deadline = now.Add(m.cfg.CallTimeout)
	}
	m.pending = append(m.pending, p)
	return nil
}

var (
	anyClientState = []ClientState{ClientReady, ClientJoining, ClientJoined, ClientLeaving}
	whileReady     = []ClientState{ClientReady}
	whileJoined    = []ClientState{ClientJoined}
)

// allowedStates returns the states in which a client may send a message.
func allowedStates(msg Message) []ClientState {
	switch msg := msg.(type) {
	case *Ping, *Pong, *Unknown:
		return anyClientState
	case *Join:
		if msg.Kind == JoinLeave {
			return whileJoined
		}
		return whileReady
	case *Chat, *UserMessage, *UserAction, *GroupAction, *Request, *RequestStream,
		*Offer, *Answer, *ICE, *Renegotiate, *Close, *Abort:
		return whileJoined
	}
	return nil
}

// requiredPermissions returns those that a client needs for a message.
func requiredPermissions(msg Message) Permissions {
	switch msg := msg.(type) {
	case *Chat:
		if msg.Kind == ChatCaption {
			return Permissions{PermissionCaption}
		}
		return Permissions{PermissionMessage}
	case *UserMessage:
		return Permissions{PermissionMessage}
	case *UserAction:
		if msg.Kind != UserSetData {
			return Permissions{PermissionOp}
		}
	case *GroupAction:
		switch msg.Kind {
		case GroupRecord, GroupUnrecord:
			return Permissions{PermissionRecord}
		case GroupMakeToken:
			return Permissions{PermissionToken}
		case GroupEditToken, GroupListTokens:
			return Permissions{PermissionOp, PermissionToken}
		}
		return Permissions{PermissionOp}
	case *Offer:
		return Permissions{PermissionPresent}
	}
	return nil
}

// signed returns a message with the client's id and user name in it, a copy unless nothing
// is missing. Others than these it may not have.
func (m *ClientMachine) signed(msg Message) (Message, error) {
	source, username := m.id, m.username
	out := msg
	var s *string
	var u **string
	switch msg := msg.(type) {
	case *Chat:
		c := *msg
		out, s, u = &c, &c.Source, &c.Username
	case *UserMessage:
		c := *msg
		out, s, u = &c, &c.Source, &c.Username
	case *UserAction:
		c := *msg
		out, s, u = &c, &c.Source, &c.Username
		if c.Kind == UserSetData && c.Dest == "" {
			c.Dest = m.id
		}
	case *GroupAction:
		c := *msg
		out, s, u = &c, &c.Source, &c.Username
	case *Offer:
		c := *msg
		out, s, u = &c, &c.Source, &c.Username
	default:
		return msg, nil
	}
	switch {
	case *s != "" && *s != source:
		return nil, invalid(msg.wireType(), "source", "is not the client's id")
	case *u != nil && **u != username:
		return nil, invalid(msg.wireType(), "username", "is not the client's user name")
	}
	*s, *u = source, &username
	return out, nil
}

// Receive takes a message of the server.
func (m *ClientMachine) Receive(now time.Time, msg Message) Effects {
	var fx Effects
	if m.state == ClientIdle || m.state == ClientClosed {
		return fx
	}
	m.received, m.beat = now, time.Time{}
	if m.state == ClientHandshaking {
		m.shake(&fx, now, msg)
		return fx
	}
	switch msg := msg.(type) {
	case *Ping:
		fx.Send = append(fx.Send, &Pong{})
	case *Joined:
		m.joined(&fx, now, msg)
	case *User:
		m.user(&fx, msg)
	case *Chat, *ChatHistory:
		if m.hears() {
			fx.Deliver = append(fx.Deliver, msg)
		}
	case *UserMessage:
		m.userMessage(&fx, msg)
	case *Offer, *Answer, *ICE, *Renegotiate, *Close, *Abort:
		m.stream(&fx, msg)
	case *Unknown: // of tomorrow
		fx.Deliver = append(fx.Deliver, msg)
	}
	if err := m.bound.Check(m.kept); err != nil {
		m.close(&fx, transport.StatusPolicyViolation, "too much state", err, true)
	}
	return fx
}

// kept returns the size of what the client keeps of what the server says.
func (m *ClientMachine) kept() int {
	return kept.Size(m.username, m.permissions, m.status, m.data, m.deleted, m.rtc, m.users, m.down, m.ended, m.early)
}

// shake takes the first message of the server.
func (m *ClientMachine) shake(fx *Effects, now time.Time, msg Message) {
	h, ok := msg.(*Handshake)
	switch {
	case !ok:
		m.close(fx, transport.StatusProtocolError, "", fmt.Errorf("%w: it begins with %q", ErrVersion, name(msg)), true)
		return
	case !m.agree(h.Version):
		m.close(fx, transport.StatusProtocolError, "", fmt.Errorf("%w: %q", ErrVersion, h.Version), true)
		return
	}
	m.handshake = time.Time{}
	m.state = ClientReady
	if m.join != nil && m.ready {
		m.again = true
		_ = m.sendJoin(now, nil, m.join)
		fx.Send = append(fx.Send, m.join)
	} else if m.ready {
		fx.Deliver = append(fx.Deliver, &Reconnected{})
	}
	m.ready = true
}

// agree chooses a version that both sides speak. Servers of the time before versions say
// none.
func (m *ClientMachine) agree(versions []string) bool {
	for _, v := range m.cfg.Versions {
		if slices.Contains(versions, v) {
			m.version = v
			return true
		}
	}
	m.version = ""
	return len(versions) == 0 && slices.Contains(m.cfg.Versions, "1")
}

// Malformed takes what could not be decoded, which ends the connection.
func (m *ClientMachine) Malformed(_ time.Time, err *DecodeError) Effects {
	var fx Effects
	switch {
	case m.state == ClientIdle || m.state == ClientClosed:
	case err.Err == errTooBig:
		m.close(&fx, transport.StatusMessageTooBig, "message too big", err, false)
	default:
		m.close(&fx, transport.StatusInvalidPayload, "not a message", err, false)
	}
	return fx
}

// Deadline returns when [ClientMachine.Expire] is due.
func (m *ClientMachine) Deadline() (at time.Time, ok bool) {
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	earlier(m.handshake)
	earlier(m.answer)
	earlier(m.repeat)
	for _, p := range m.pending {
		earlier(p.deadline)
	}
	if m.state >= ClientReady && m.state < ClientClosed {
		if m.cfg.Heartbeat > 0 {
			earlier(m.nextBeat())
		}
		if m.cfg.Silence > 0 {
			earlier(m.received.Add(m.cfg.Silence))
		}
	}
	return at, !at.IsZero()
}

// nextBeat returns when to ping: after a silence, and again after each ping.
func (m *ClientMachine) nextBeat() time.Time {
	if m.beat.IsZero() {
		return m.received.Add(m.cfg.Heartbeat)
	}
	return m.beat
}

// Expire gives up what has taken too long, and pings when it is time.
func (m *ClientMachine) Expire(now time.Time) Effects {
	var fx Effects
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if m.state == ClientIdle || m.state == ClientClosed {
		return fx
	}
	switch {
	case due(m.handshake):
		m.close(&fx, transport.StatusPolicyViolation, "handshake timed out", ErrHandshakeTimeout, false)
		return fx
	case due(m.answer): // where the server stands is not known any more
		if m.joining != nil {
			fx.Done = append(fx.Done, Reply{Request: m.joining, Err: ErrCallTimeout})
			m.joining, m.join = nil, nil
		}
		m.close(&fx, transport.StatusPolicyViolation, "no answer to join", ErrCallTimeout, false)
		return fx
	}
	if m.state < ClientReady {
		return fx
	}
	if m.cfg.Silence > 0 && due(m.received.Add(m.cfg.Silence)) {
		m.close(&fx, transport.StatusPolicyViolation, "server is silent", ErrHeartbeat, false)
		return fx
	}
	for i := range m.pending {
		// One about tokens stays, so that its answer is not taken for that of the next one.
		if p := &m.pending[i]; due(p.deadline) {
			fx.Done = append(fx.Done, Reply{Request: p.request, Err: ErrCallTimeout})
			p.request, p.deadline = nil, time.Time{}
		}
	}
	m.pending = slices.DeleteFunc(m.pending, func(p pendingCall) bool {
		return p.request == nil && p.answer == UserMessageUserInfo
	})
	if due(m.repeat) {
		m.repeat = time.Time{}
		if m.request != nil && m.state == ClientJoined {
			fx.Send = append(fx.Send, m.request)
		}
	}
	if m.cfg.Heartbeat > 0 && due(m.nextBeat()) {
		m.beat = now.Add(m.cfg.Heartbeat)
		fx.Send = append(fx.Send, &Ping{})
	}
	return fx
}

// Lost tells the machine that its connection has ended. [ClientMachine.Start] may follow;
// then the application gets a [*Reconnected] once its group has been joined again. A client
// that was thrown out stays out, unless everybody was because the server stops.
func (m *ClientMachine) Lost(time.Time) Effects {
	var fx Effects
	if m.kicked != nil {
		m.close(&fx, transport.StatusNormal, "", m.kicked, !m.restarting)
		return fx
	}
	m.end(&fx, ClientIdle)
	return fx
}

// end fails what is pending and forgets the connection.
func (m *ClientMachine) end(fx *Effects, state ClientState) {
	if m.joining != nil {
		fx.Done = append(fx.Done, Reply{Request: m.joining, Err: ErrConnectionLost})
		m.join = nil
	}
	for _, p := range m.pending {
		if p.request != nil {
			fx.Done = append(fx.Done, Reply{Request: p.request, Err: ErrConnectionLost})
		}
	}
	m.joining, m.pending, m.again, m.modern = nil, nil, false, false
	m.clear()
	m.group, m.state = "", state
	m.handshake, m.answer, m.repeat, m.beat = time.Time{}, time.Time{}, time.Time{}, time.Time{}
}

func (m *ClientMachine) close(fx *Effects, code transport.StatusCode, reason string, err error, final bool) {
	m.end(fx, ClientClosed)
	fx.Close = &CloseReason{Code: code, Reason: reason, Err: err, Final: final}
}
