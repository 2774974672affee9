package easyrtc

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/alarm"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/kept"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultPending is how many messages of a client wait for their acknowledgement.
const DefaultPending = 1024

// ClientConfig says how a [ClientMachine] behaves. Zero fields mean the defaults, a
// negative duration or number no limit.
type ClientConfig struct {
	// EngineIO is the version that the connection speaks: 4 is the default, with 3 the
	// server speaks first.
	EngineIO         int
	HandshakeTimeout time.Duration // default 15 s
	CallTimeout      time.Duration // for an acknowledgement; default 10 s
	Pending          int           // messages without their acknowledgement; default 1024
	// StateBytes bounds the memory of what the client keeps of what the server says about
	// its rooms and about itself; default 64 MiB.
	StateBytes int
}

// A ClientMachine is the client's side without I/O, clock or goroutine. It also keeps what
// the server says: the rooms of the client and who is in them.
//
//	idle ──Start──▶ opening ──connect──▶ connected ──authenticate──▶ authenticating ──token──▶ ready
//
// After a loss it logs in again by itself, with the rooms, the api fields and the presence
// that the client had. It is not safe for concurrent use.
type ClientMachine struct {
	cfg   ClientConfig
	state ClientState

	token     *TokenData
	rooms     map[string]*Room
	changes   uint64 // of rooms and what is in them, counted
	handshake time.Time
	bound     kept.Bound // of what the server says

	last    uint64 // ids given
	pending map[uint64]pendingCall
	alarm   alarm.Clock[uint64] // of pending, and of stillAlive
	still   time.Duration       // between two of them
	alive   time.Time           // when the next one is due

	login    *Authenticate            // what to log in again with
	requests map[string]RoomRequest   // the rooms that the application has joined
	fields   map[string]*RoomAPIField // what it shows of itself there
	presence *PresenceUpdate          // and everywhere
	again    bool                     // the login is a repetition after a loss
}

// A pendingCall is a message that waits for its acknowledgement.
type pendingCall struct {
	request Message // as it was given to Send; nil for the machine's own
	sent    Message
}

// stillAlive is no id of a message.
const stillAlive = ^uint64(0)

// NewClientMachine returns a machine in [ClientIdle].
func NewClientMachine(cfg ClientConfig) *ClientMachine {
	cfg.EngineIO = cmp.Or(cfg.EngineIO, 4)
	cfg.HandshakeTimeout = cmp.Or(cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, DefaultCallTimeout)
	cfg.Pending = cmp.Or(cfg.Pending, DefaultPending)
	return &ClientMachine{
		cfg: cfg, bound: kept.NewBound(cfg.StateBytes), pending: make(map[uint64]pendingCall),
		requests: make(map[string]RoomRequest), fields: make(map[string]*RoomAPIField),
	}
}

// State returns where the connection stands.
func (m *ClientMachine) State() ClientState { return m.state }

// Ready reports whether the connection is open, and the client logged in again if it was
// before a connection was lost.
func (m *ClientMachine) Ready() bool {
	return m.state >= ClientConnected && m.state < ClientClosed && !m.again
}

// Token returns what the server said when the client logged in, or nil before. Its
// ICEConfig, Field and SessionData are the newest ones, its RoomData is that of the login.
// It must not be changed.
func (m *ClientMachine) Token() *TokenData { return m.token }

// Rooms returns the rooms of the client by name, with those in them. They must not be
// changed.
func (m *ClientMachine) Rooms() map[string]*Room { return m.rooms }

// SetEngineIO changes the version that the next connection speaks.
func (m *ClientMachine) SetEngineIO(version int) { m.cfg.EngineIO = cmp.Or(version, 4) }

// SetLogin changes what the client logs in again with after a loss, such as a fresh
// credential. Its rooms and its presence are those that the client has then.
func (m *ClientMachine) SetLogin(login *Authenticate) {
	if m.login != nil {
		m.login = login
	}
}

// Start begins the session on a new connection.
func (m *ClientMachine) Start(now time.Time) Effects {
	var fx Effects
	m.reset(&fx, ClientOpening)
	if m.cfg.HandshakeTimeout > 0 {
		m.handshake = now.Add(m.cfg.HandshakeTimeout)
	}
	if m.cfg.EngineIO != 3 {
		fx.Send = append(fx.Send, &ConnectPacket{})
	}
	return fx
}

// reset forgets a connection.
func (m *ClientMachine) reset(fx *Effects, state ClientState) {
	for _, id := range slices.Sorted(maps.Keys(m.pending)) {
		m.done(fx, id, nil, ErrConnectionLost)
	}
	m.state, m.handshake, m.last, m.still = state, time.Time{}, 0, 0
	m.alarm = alarm.Clock[uint64]{}
	if m.rooms != nil {
		m.rooms = nil
		m.changes++
	}
}

// done ends a pending call.
func (m *ClientMachine) done(fx *Effects, id uint64, response Message, err error) {
	call := m.pending[id]
	delete(m.pending, id)
	m.alarm.Clear(id)
	if call.request != nil {
		fx.Done = append(fx.Done, Reply{Request: call.request, Response: response, Err: err})
	}
}

// Send checks a message of the application against the state and gives it an id. What
// becomes of it is told by a [Reply]. The error is a [*ValidationError], a [*StateError] or
// [ErrTooManyCalls].
func (m *ClientMachine) Send(now time.Time, msg Message) (Effects, error) {
	if msg == nil {
		return Effects{}, &StateError{State: m.state, Type: "nothing"}
	}
	if required := allowedStates(msg); !slices.Contains(required, m.state) {
		return Effects{}, stateError(m.state, msg, required...)
	}
	if err := msg.Validate(); err != nil {
		return Effects{}, err
	}
	var fx Effects
	switch out := msg.(type) {
	case *Ack:
		fx.Send = append(fx.Send, out)
		return fx, nil
	case *Msg:
		if out.Ack {
			fx.Send = append(fx.Send, out)
			return fx, nil
		}
	}
	if m.cfg.Pending > 0 && len(m.pending) >= m.cfg.Pending {
		return Effects{}, ErrTooManyCalls
	}
	m.send(&fx, now, msg, msg)
	if _, ok := msg.(*Authenticate); ok && m.state == ClientConnected {
		m.state = ClientAuthenticating
	}
	return fx, nil
}

// send gives a message its id.
func (m *ClientMachine) send(fx *Effects, now time.Time, msg, request Message) {
	out := clone(msg)
	p := out.packet()
	p.ID, p.Ack, p.checked = NumberID(m.last), false, false
	m.pending[m.last] = pendingCall{request: request, sent: out}
	if m.cfg.CallTimeout > 0 {
		m.alarm.Set(m.last, now.Add(m.cfg.CallTimeout))
	}
	m.last++
	fx.Send = append(fx.Send, out)
}

// allowedStates returns the states in which a client may send a message.
func allowedStates(msg Message) []ClientState {
	switch msg := msg.(type) {
	case *Authenticate: // more than once: a login may change the credential
		return []ClientState{ClientConnected, ClientReady}
	case *Offer, *Answer, *Candidate, *Reject, *Hangup, *GetICEConfig, *GetRoomList, *RoomJoin, *RoomLeave,
		*SetRoomAPIField, *SetPresence, *SetUserCfg, *StillAlive, *Msg, *Ack:
		return []ClientState{ClientReady}
	case *Unknown:
		if !msg.Ack {
			return []ClientState{ClientConnected, ClientReady}
		}
	}
	return nil
}

// Receive takes a message of the server.
func (m *ClientMachine) Receive(now time.Time, msg Message) Effects {
	var fx Effects
	if m.still > 0 && m.alive.Sub(now) > m.still { // the clock has gone back
		m.beat(now)
	}
	switch msg := msg.(type) {
	case *ConnectPacket:
		if msg.Namespace != "" {
			return fx
		}
		if m.cfg.EngineIO != 3 && msg.Payload == nil { // only servers of Engine.IO 3 say no sid
			m.close(&fx, ErrVersion)
			return fx
		}
		m.connected(&fx, now)
		return fx
	case *ConnectErrorPacket:
		if m.state == ClientOpening && msg.Namespace == "" {
			m.close(&fx, fmt.Errorf("%w: %s", ErrNamespace, reason(msg.Payload)))
		}
		return fx
	case *DisconnectPacket:
		if m.state > ClientOpening && m.state < ClientClosed && msg.Namespace == "" {
			m.close(&fx, ErrDisconnected)
		}
		return fx
	}
	if m.state <= ClientOpening || m.state == ClientClosed {
		return fx
	}
	p := msg.packet()
	if p == nil {
		return fx
	}
	if p.Ack {
		m.acknowledged(&fx, now, msg)
		m.check(&fx)
		return fx
	}
	if _, ok := p.ID.Number(); ok {
		fx.Send = append(fx.Send, &Ack{Packet: Packet{ID: p.ID, Ack: true}})
	}
	switch msg := msg.(type) {
	case *RoomData:
		if msg.MsgData != nil {
			m.fold(msg.MsgData.RoomData)
		}
	case *ICEConfig:
		m.setICE(msg)
	case *SessionData:
		if msg.MsgData != nil && msg.MsgData.SessionData != nil && m.token != nil {
			token := *m.token
			token.SessionData = msg.MsgData.SessionData
			m.token = &token
			m.bound.Keep(token.SessionData)
		}
	}
	fx.Deliver = append(fx.Deliver, msg)
	m.check(&fx)
	return fx
}

// check ends the session when the server makes the client keep too much.
func (m *ClientMachine) check(fx *Effects) {
	if m.state == ClientClosed {
		return
	}
	if err := m.bound.Check(m.kept); err != nil {
		m.close(fx, err)
		fx.Close.Code, fx.Close.Reason = transport.StatusPolicyViolation, "too much state"
	}
}

// kept returns the size of what the client keeps of what the server says.
func (m *ClientMachine) kept() int { return kept.Size(m.token, m.rooms, m.requests) }

// reason returns what a ConnectErrorPacket says.
func reason(payload json.RawMessage) string {
	if text, ok := jsonx.Text(payload); ok {
		return string(text)
	}
	value, _ := jsonx.Peek(payload, "message")
	text, _ := jsonx.Text(value)
	return string(text)
}

func (m *ClientMachine) setICE(msg *ICEConfig) {
	if msg.MsgData == nil || msg.MsgData.ICEConfig == nil || m.token == nil {
		return
	}
	token := *m.token
	token.ICEConfig = msg.MsgData.ICEConfig
	m.token = &token
	m.bound.Keep(token.ICEConfig)
}

// connected begins to log in again, if there is something to log in with.
func (m *ClientMachine) connected(fx *Effects, now time.Time) {
	if m.state != ClientOpening {
		return
	}
	m.state, m.handshake = ClientConnected, time.Time{}
	if m.login == nil {
		return
	}
	login := *m.login
	data := *login.MsgData
	data.RoomJoin, data.SetPresence = nil, m.presence
	if len(m.requests) > 0 {
		data.RoomJoin = maps.Clone(m.requests)
	}
	login.MsgData = &data
	m.send(fx, now, &login, nil)
	m.state = ClientAuthenticating
}

// close ends the session for good: the server would only repeat itself.
func (m *ClientMachine) close(fx *Effects, err error) {
	m.reset(fx, ClientClosed)
	fx.Close = &CloseReason{Code: transport.StatusNormal, Err: err, Final: true}
}

// acknowledged takes an acknowledgement.
func (m *ClientMachine) acknowledged(fx *Effects, now time.Time, msg Message) {
	id, _ := msg.packet().ID.Number()
	call, ok := m.pending[id]
	if !ok {
		return
	}
	if e, ok := msg.(*ErrorMessage); ok {
		err := NewError(CodeMsgRejectGenFail)
		if e.MsgData != nil {
			err = e.MsgData
		}
		m.done(fx, id, msg, err)
		if _, ok := call.sent.(*Authenticate); ok {
			m.close(fx, err) // the server disconnects
		}
		return
	}
	switch sent := call.sent.(type) {
	case *Authenticate:
		token, ok := msg.(*Token)
		if !ok || token.MsgData == nil {
			m.failed(fx, id, msg, ErrUnexpectedReply)
			return
		}
		m.loggedIn(fx, now, sent, token)
	case *RoomJoin:
		maps.Copy(m.requests, sent.MsgData.RoomJoin)
	case *RoomLeave:
		for name := range sent.MsgData.RoomLeave {
			delete(m.requests, name)
			delete(m.fields, name)
		}
	case *SetRoomAPIField:
		m.fields[sent.MsgData.SetRoomAPIField.RoomName] = sent.MsgData.SetRoomAPIField
	case *SetPresence:
		m.presence = merged(m.presence, sent.MsgData.SetPresence)
	}
	switch msg := msg.(type) {
	case *RoomData:
		if msg.MsgData != nil {
			m.fold(msg.MsgData.RoomData)
		}
	case *ICEConfig:
		m.setICE(msg)
	}
	m.done(fx, id, msg, nil)
}

// failed ends a pending call whose acknowledgement has not come, or is none. After a login
// nobody knows where the connection stands then.
func (m *ClientMachine) failed(fx *Effects, id uint64, response Message, err error) {
	_, login := m.pending[id].sent.(*Authenticate)
	m.done(fx, id, response, err)
	if login {
		m.reset(fx, ClientClosed)
		fx.Close = &CloseReason{Code: transport.StatusNormal, Err: err}
	}
}

// merged returns a presence with a later change.
func merged(p, change *PresenceUpdate) *PresenceUpdate {
	if p == nil {
		return change
	}
	out := *p
	if change.Show != nil {
		out.Show = change.Show
	}
	if change.Status != nil {
		out.Status = change.Status
	}
	if change.Type != nil {
		out.Type = change.Type
	}
	return &out
}

// loggedIn takes the token.
func (m *ClientMachine) loggedIn(fx *Effects, now time.Time, sent *Authenticate, token *Token) {
	m.state, m.token = ClientReady, token.MsgData
	m.bound.Keep(token.MsgData)
	m.rooms = nil
	m.fold(token.MsgData.RoomData)
	m.login = remembered(m.login, sent)
	maps.Copy(m.requests, sent.MsgData.RoomJoin)
	others := make(map[string]RoomRequest) // the default room
	for name := range token.MsgData.RoomData {
		if _, ok := m.requests[name]; !ok {
			others[name] = RoomRequest{RoomName: name}
		}
	}
	if m.again && len(others) > 0 { // which the client had left
		m.send(fx, now, &RoomLeave{MsgData: &RoomLeaveData{RoomLeave: others}}, nil)
	} else {
		maps.Copy(m.requests, others)
	}
	if p := sent.MsgData.SetPresence; p != nil {
		m.presence = merged(m.presence, p)
	}
	m.still = 0
	if ms := token.MsgData.StillAliveInterval; ms != nil && *ms > 0 {
		m.still = time.Duration(min(*ms, 1<<31)) * time.Millisecond
		m.beat(now)
	}
	if !m.again {
		return
	}
	m.again = false
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		if m.rooms[name] != nil {
			m.send(fx, now, &SetRoomAPIField{MsgData: &SetRoomAPIFieldData{SetRoomAPIField: m.fields[name]}}, nil)
		}
	}
	fx.Deliver = append(fx.Deliver, &Reconnected{Token: token})
}

// remembered returns what to log in again with after a login and a later one, which need not
// say again who the client is.
func remembered(login, later *Authenticate) *Authenticate {
	if login == nil {
		return later
	}
	out, data := *later, *later.MsgData
	data.Username = cmp.Or(data.Username, login.MsgData.Username)
	data.EasyrtcSID = cmp.Or(data.EasyrtcSID, login.MsgData.EasyrtcSID)
	if data.Credential == nil {
		data.Credential = login.MsgData.Credential
	}
	out.MsgData = &data
	return &out
}

// fold takes what the server says about rooms. Rooms and occupants that the application
// may have are replaced, not changed.
func (m *ClientMachine) fold(rooms map[string]*Room) {
	m.bound.Keep(rooms)
	for name, news := range rooms {
		if news == nil {
			continue
		}
		m.changes++
		if news.RoomStatus == RoomStatusLeave {
			delete(m.rooms, name)
			continue
		}
		if m.rooms == nil {
			m.rooms = make(map[string]*Room)
		}
		old := m.rooms[name]
		if old == nil {
			old = &Room{RoomName: name}
		}
		room := &Room{RoomName: name, RoomStatus: RoomStatusJoin, ClientList: old.ClientList, Field: old.Field}
		if news.RoomStatus == RoomStatusJoin {
			room.ClientList, room.Field = news.ClientList, nil
		}
		if news.Field != nil {
			room.Field = news.Field
		}
		if delta := news.ClientListDelta; delta != nil {
			room.ClientList = delta.apply(room.ClientList)
		}
		m.rooms[name] = room
	}
}

// apply returns a list of clients with the changes. What an update does not say about a
// client that is known stays.
func (d *ClientListDelta) apply(list map[string]*Occupant) map[string]*Occupant {
	list = maps.Clone(list)
	if list == nil {
		list = make(map[string]*Occupant)
	}
	for id, news := range d.UpdateClient {
		old := list[id]
		if old == nil || news == nil {
			if news != nil {
				list[id] = news
			}
			continue
		}
		merged := *news
		if merged.APIField == nil {
			merged.APIField = old.APIField
		}
		if merged.Presence == nil {
			merged.Presence = old.Presence
		}
		if merged.Username == nil {
			merged.Username = old.Username
		}
		merged.RoomJoinTime = cmp.Or(merged.RoomJoinTime, old.RoomJoinTime)
		list[id] = &merged
	}
	for id := range d.RemoveClient {
		delete(list, id)
	}
	return list
}

// Malformed takes what could not be decoded: an event that is none is the sender's fault and is
// left out, an acknowledgement is an error of the call; a packet that is none ends the
// connection.
func (m *ClientMachine) Malformed(_ time.Time, err *DecodeError) Effects {
	var fx Effects
	switch {
	case m.state == ClientIdle, m.state == ClientClosed:
	case err.Event == "" && err.Type == "":
		m.reset(&fx, ClientClosed)
		fx.Close = &CloseReason{Code: transport.StatusNoStatus, Err: err}
	case m.state == ClientOpening: // nothing is heard yet
	default:
		if id, ok := err.ack.Number(); ok {
			if _, pending := m.pending[id]; pending {
				m.failed(&fx, id, nil, err)
			}
			break
		}
		if _, ok := err.ID.Number(); ok {
			fx.Send = append(fx.Send, &Ack{Packet: Packet{ID: err.ID, Ack: true}})
		}
	}
	return fx
}

// Deadline returns when [ClientMachine.Expire] is due.
func (m *ClientMachine) Deadline() (time.Time, bool) {
	if !m.handshake.IsZero() {
		return m.handshake, true
	}
	return m.alarm.Next()
}

// beat sets the time of the next [StillAlive].
func (m *ClientMachine) beat(now time.Time) {
	m.alive = now.Add(m.still)
	m.alarm.Set(stillAlive, m.alive)
}

// Expire gives up what has taken too long, and sends a [StillAlive] when it is time.
func (m *ClientMachine) Expire(now time.Time) Effects {
	var fx Effects
	if !m.handshake.IsZero() {
		if !now.Before(m.handshake) {
			m.reset(&fx, ClientClosed)
			fx.Close = &CloseReason{Code: transport.StatusNormal, Err: ErrHandshakeTimeout}
		}
		return fx
	}
	for {
		id, ok := m.alarm.Pop(now)
		switch {
		case !ok:
			return fx
		case id == stillAlive:
			if m.cfg.Pending <= 0 || len(m.pending) < m.cfg.Pending { // however short the interval is
				m.send(&fx, now, &StillAlive{MsgData: json.RawMessage("{}")}, nil)
			}
			m.beat(now)
		default:
			m.failed(&fx, id, nil, ErrCallTimeout)
		}
		if fx.Close != nil {
			return fx
		}
	}
}

// Close ends the session on the application's word: servers that hear of it tell the other
// clients at once.
func (m *ClientMachine) Close(time.Time) Effects {
	var fx Effects
	if m.state > ClientOpening && m.state < ClientClosed {
		fx.Send = append(fx.Send, &DisconnectPacket{})
	}
	m.reset(&fx, ClientClosed)
	fx.Close = &CloseReason{Code: transport.StatusNormal, Final: true}
	return fx
}

// Lost tells the machine that its connection has ended. The rooms are void, and so are the
// ids of all clients.
func (m *ClientMachine) Lost(time.Time) Effects {
	var fx Effects
	m.again = m.login != nil
	m.reset(&fx, ClientIdle)
	return fx
}
