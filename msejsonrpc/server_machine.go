package msejsonrpc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/alarm"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultAuthAttempts is how many tokens of a connection are refused before it ends.
const DefaultAuthAttempts = 3

// ServerConfig says how a [ServerMachine] behaves. Zero fields mean the defaults, a negative
// duration or number no limit.
type ServerConfig struct {
	// WhoAmI answers whoami, which tells a client its address and its token's data. The
	// protocol document has it in development environments only; otherwise the method
	// does not exist.
	WhoAmI bool
	// Chat relays chat messages within a room, which the protocol document says is not
	// implemented. Otherwise they are ignored.
	Chat bool
	// LenientVersion takes an auth without a version for one of [Version].
	LenientVersion bool
	// HideCallOrder answers -5001 to a client that has not authenticated, in place of
	// -6001 with the required method.
	HideCallOrder bool
	// Entitlements are the roles that may use a method. A method without an entry is for
	// everybody who is authenticated; ping, auth and disconnect are for everybody.
	Entitlements map[string][]Role

	AuthTimeout  time.Duration // from connection to success of auth; default 10 s
	StartTimeout time.Duration // from there to start; default 60 s
	AuthAttempts int           // refused tokens; default 3
	// Violations is how many messages that cannot be answered a connection may send
	// before it is closed with 1008; 0 and negative: any.
	Violations int
}

// A PeerID names a connection of a server. It is never used twice.
type PeerID uint64

// A Connection says what a new connection is; there is nothing to say yet.
type Connection struct{}

// ServerEffects are what a step of [ServerMachine] asks of its driver, carried out in
// the order of the fields.
type ServerEffects struct {
	Send    []Delivery
	Deliver []Delivery // to the application, from the connection that To names
	Ask     []Question
	Ignored []Violation
	Expired []PeerID // active connections whose token has expired
	Close   []Closing
}

// A Delivery is a message to a connection.
type Delivery struct {
	To      PeerID
	Message Message
}

// A Ticket names a question.
type Ticket struct {
	Peer PeerID
	n    uint64
}

// A Question asks the application whether a connection may authenticate or start. It is
// answered through [ServerMachine.Decide]; until then the connection must send nothing
// more to the machine.
type Question struct {
	Ticket  Ticket
	Message Message // an *Auth or a *Start
}

// A Decision answers a [Question].
type Decision struct {
	Refuse   *Error    // nil agrees
	Identity *Identity // of an auth that was agreed to; one whose ValidTo cannot be read is a fault
}

// A Closing ends a connection after what was sent to it.
type Closing struct {
	Peer   PeerID
	Code   transport.StatusCode
	Reason string
}

// A ServerMachine is the server's side with all its connections, without I/O, clock or
// goroutine.
//
//	new ──auth──▶ authorized ──start──▶ active
//
// It asks about every auth and every start. It keeps nothing of a connection after
// [ServerMachine.Disconnect] or after it asked to close it. It is not safe for concurrent
// use.
type ServerMachine struct {
	cfg     ServerConfig
	peers   map[PeerID]*peer
	rooms   map[room]map[PeerID]*peer // of those who are authenticated; nil without Chat
	tickets uint64
	clock   alarm.Clock[PeerID]
	now     time.Time  // of the present step
	spare   []Delivery // for the next step, see carriedOut
}

type peer struct {
	id         PeerID
	state      ServerState
	question   Message // what the application has been asked about
	ticket     uint64
	identity   *Identity
	validTo    time.Time // zero: for ever
	refused    int       // tokens in a row
	violations int
}

// A room is where chat messages stay.
type room struct{ domain, id string }

// NewServerMachine returns a machine without connections.
func NewServerMachine(cfg ServerConfig) *ServerMachine {
	cfg.AuthTimeout = cmp.Or(cfg.AuthTimeout, DefaultAuthTimeout)
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, DefaultStartTimeout)
	cfg.AuthAttempts = cmp.Or(cfg.AuthAttempts, DefaultAuthAttempts)
	m := &ServerMachine{cfg: cfg, peers: make(map[PeerID]*peer)}
	if cfg.Chat {
		m.rooms = make(map[room]map[PeerID]*peer)
	}
	return m
}

// State returns where a connection stands, and false when the machine knows none of
// that name.
func (m *ServerMachine) State(id PeerID) (ServerState, bool) {
	p, ok := m.peers[id]
	if !ok {
		return 0, false
	}
	return p.state, true
}

// Identity returns whom a connection has authenticated as, or nil. It must not be
// changed.
func (m *ServerMachine) Identity(id PeerID) *Identity {
	if p, ok := m.peers[id]; ok {
		return p.identity
	}
	return nil
}

// Len returns the number of connections.
func (m *ServerMachine) Len() int { return len(m.peers) }

// Connect takes a new connection.
func (m *ServerMachine) Connect(now time.Time, id PeerID, _ Connection) ServerEffects {
	m.now = now
	p := &peer{id: id}
	m.peers[id] = p
	m.expireAfter(p, m.cfg.AuthTimeout)
	return ServerEffects{}
}

// Receive takes a message of a connection. The checks come in this order: whether the
// method exists, whether it is its turn and the client is entitled to it, its params.
func (m *ServerMachine) Receive(now time.Time, id PeerID, msg Message) ServerEffects {
	m.now = now
	fx := m.effects()
	p, ok := m.peers[id]
	switch {
	case !ok:
	case p.question != nil:
		m.drop(&fx, p, transport.StatusPolicyViolation, "message before the answer")
	default:
		m.receive(&fx, p, msg)
	}
	return fx
}

func (m *ServerMachine) receive(fx *ServerEffects, p *peer, msg Message) {
	c, ok := msg.(call)
	if !ok {
		if _, ok := msg.(*Unknown); ok {
			m.refuse(fx, p, msg.wireType(), idOf(msg), ErrMethodNotFound, nil)
			return
		}
		m.ignore(fx, p, name(msg), errNoRequest) // the server asks nothing
		return
	}
	if auth, ok := msg.(*Auth); ok && m.cfg.LenientVersion && auth.Version == "" {
		lenient := *auth
		lenient.Version = Version
		c = &lenient
	}
	if m.admits(fx, p, c.wireType(), idOf(c)) {
		if err := c.Validate(); err != nil {
			m.refuse(fx, p, c.wireType(), idOf(c), ErrInvalidParams, err)
			return
		}
		m.execute(fx, p, c)
	}
}

// admits reports whether a connection may use a method now, and refuses it otherwise.
func (m *ServerMachine) admits(fx *ServerEffects, p *peer, method string, id ID) bool {
	switch {
	case method == "chat" && !m.cfg.Chat && id.IsNotification():
		return false // the document lets nobody rely on it: not even worth a violation
	case method == "chat" && !m.cfg.Chat, method == "whoami" && !m.cfg.WhoAmI:
		m.refuse(fx, p, method, id, ErrMethodNotFound, nil)
		return false
	case isRequest(method) && id.IsNotification():
		// To execute it silently would be unsafe, to answer against both standards.
		m.ignore(fx, p, method, errNoID)
		return false
	}
	if err := m.order(p, method); err != nil {
		m.refuse(fx, p, method, id, err, nil)
		return false
	}
	return true
}

// order returns why it is not a method's turn, or not the client's to use it.
func (m *ServerMachine) order(p *peer, method string) *Error {
	switch method {
	case "ping", "disconnect":
		return nil
	case "auth":
		if p.state == ServerActive {
			return CallOrderError("disconnect")
		}
		return nil
	}
	media := method == "iceCandidate" || method == "sdpOffer"
	switch {
	case p.state == ServerNew && m.cfg.HideCallOrder:
		return ErrUnauthorizedAccess
	case p.state == ServerNew:
		return CallOrderError("auth")
	case !m.entitled(p, method):
		return ErrUnauthorizedAccess
	case !media && m.expired(p): // what happens to the media is the application's decision
		return ErrUnauthorizedAccess
	case method == "start" && p.state == ServerActive:
		return CallOrderError("disconnect")
	case media && p.state != ServerActive:
		return CallOrderError("start")
	}
	return nil
}

func (m *ServerMachine) entitled(p *peer, method string) bool {
	roles, ok := m.cfg.Entitlements[method]
	return !ok || slices.Contains(roles, p.identity.Role)
}

func (m *ServerMachine) expired(p *peer) bool {
	return !p.validTo.IsZero() && !m.now.Before(p.validTo)
}

// execute carries out a message that has passed every check.
func (m *ServerMachine) execute(fx *ServerEffects, p *peer, c call) {
	switch msg := c.(type) {
	case *Ping:
		fx.send(p, msg.Pong())
	case *Auth:
		if msg.Version != Version {
			fx.send(p, NewErrorResponse(msg.ID, unsupportedVersion))
			return
		}
		m.ask(fx, p, msg)
	case *Start:
		m.ask(fx, p, msg)
	case *WhoAmI:
		r, err := msg.Identity(p.identity)
		if err != nil {
			r = NewErrorResponse(msg.ID, ErrInternal)
		}
		fx.send(p, r)
	case *ICECandidate, *SDPOffer:
		fx.Deliver = append(fx.Deliver, Delivery{p.id, msg})
	case *Chat:
		m.relay(fx, p, msg)
	case *Disconnect:
		m.drop(fx, p, transport.StatusNormal, "")
	}
}

var unsupportedVersion = &Error{
	Code: CodeInvalidParams, Message: ErrInvalidParams.Message,
	Data: fmt.Appendf(nil, `{"supported":[%q]}`, Version),
}

// relay sends a chat message to the others in the room of its author.
func (m *ServerMachine) relay(fx *ServerEffects, p *peer, msg *Chat) {
	others := m.rooms[p.room()]
	relayed := &Chat{To: msg.To, Message: msg.Message, Attachment: msg.Attachment, Extra: msg.Extra}
	for _, id := range slices.Sorted(maps.Keys(others)) {
		other := others[id]
		if other != p && (len(msg.To) == 0 || slices.Contains(msg.To, other.identity.UserID)) {
			fx.send(other, relayed)
		}
	}
}

func (p *peer) room() room { return room{p.identity.Domain, p.identity.RoomID} }

// Malformed takes what a connection sent and could not be decoded. It is answered; only
// what is no text message of a bearable size ends the connection.
func (m *ServerMachine) Malformed(now time.Time, id PeerID, err *DecodeError) ServerEffects {
	m.now = now
	fx := m.effects()
	p, ok := m.peers[id]
	switch {
	case !ok:
	case p.question != nil:
		m.drop(&fx, p, transport.StatusPolicyViolation, "message before the answer")
	case err.Err == errBinary:
		m.drop(&fx, p, transport.StatusUnsupportedData, "binary message")
	case err.Err == errTooBig:
		m.drop(&fx, p, transport.StatusMessageTooBig, "message too big")
	case err.Type == typeResponse:
		m.ignore(&fx, p, typeResponse, errNoRequest)
	case err.Code == CodeInvalidParams:
		if m.admits(&fx, p, err.Type, err.ID) {
			m.refuseParams(&fx, p, err)
		}
	case err.Code == CodeParseError:
		fx.send(p, NewErrorResponse(NullID, ErrParse))
	default:
		fx.send(p, NewErrorResponse(NullID, ErrInvalidObject))
	}
	return fx
}

func (m *ServerMachine) refuseParams(fx *ServerEffects, p *peer, err *DecodeError) {
	if err.Type == "disconnect" { // a goodbye is never refused
		m.drop(fx, p, transport.StatusNormal, "")
		return
	}
	m.refuse(fx, p, err.Type, err.ID, ErrInvalidParams, err)
}

// Decide answers a question. A ticket whose connection has gone is ignored.
func (m *ServerMachine) Decide(now time.Time, t Ticket, d Decision) ServerEffects {
	m.now = now
	fx := m.effects()
	p, ok := m.peers[t.Peer]
	if !ok || p.question == nil || p.ticket != t.n {
		return fx
	}
	question := p.question
	p.question = nil
	switch q := question.(type) {
	case *Auth:
		m.authenticate(&fx, p, q, d)
	case *Start:
		if d.Refuse != nil {
			fx.send(p, NewErrorResponse(q.ID, d.Refuse))
			break
		}
		p.state = ServerActive
		m.clock.Clear(p.id)
		if !p.validTo.IsZero() {
			m.clock.Set(p.id, p.validTo)
		}
		fx.send(p, q.Started())
	}
	return fx
}

func (m *ServerMachine) authenticate(fx *ServerEffects, p *peer, q *Auth, d Decision) {
	until, err := validTo(d.Identity)
	if d.Refuse == nil && err != nil {
		d.Refuse = ErrInternal
	}
	if d.Refuse != nil {
		fx.send(p, NewErrorResponse(q.ID, d.Refuse))
		if d.Refuse.Code == CodeInternalError { // not the client's fault
			return
		}
		if p.refused++; m.cfg.AuthAttempts > 0 && p.refused >= m.cfg.AuthAttempts {
			m.drop(fx, p, transport.StatusPolicyViolation, "not authenticated")
		}
		return
	}
	m.leaveRoom(p)
	p.refused, p.identity = 0, cmp.Or(d.Identity, new(Identity))
	p.validTo = until
	if p.state == ServerNew { // a fresh token does not put start off
		p.state = ServerAuthorized
		m.expireAfter(p, m.cfg.StartTimeout)
	}
	m.enterRoom(p)
	fx.send(p, q.Authenticated())
}

// validTo returns when an identity ends, the zero time for never. A date that cannot be
// read is an error, so that it does not last for ever.
func validTo(i *Identity) (time.Time, error) {
	if i == nil || i.ValidTo == "" {
		return time.Time{}, nil
	}
	t, ok := i.ValidTo.Time()
	if !ok {
		return t, errValidTo
	}
	return t, nil
}

var errValidTo = errors.New("msejsonrpc: the identity's ValidTo is of no known format")

func (m *ServerMachine) enterRoom(p *peer) {
	if m.rooms == nil {
		return
	}
	members := m.rooms[p.room()]
	if members == nil {
		members = make(map[PeerID]*peer)
		m.rooms[p.room()] = members
	}
	members[p.id] = p
}

func (m *ServerMachine) leaveRoom(p *peer) {
	if m.rooms == nil || p.identity == nil {
		return
	}
	members := m.rooms[p.room()]
	if delete(members, p.id); len(members) == 0 {
		delete(m.rooms, p.room())
	}
}

// Disconnect takes the end of a connection, whoever ended it.
func (m *ServerMachine) Disconnect(now time.Time, id PeerID) ServerEffects {
	m.now = now
	if p, ok := m.peers[id]; ok {
		m.leave(p)
	}
	return ServerEffects{}
}

// Deadline returns when [ServerMachine.Expire] is due.
func (m *ServerMachine) Deadline() (time.Time, bool) { return m.clock.Next() }

// Expire ends the connections that took too long to authenticate or to start, and tells
// of the tokens that have expired.
func (m *ServerMachine) Expire(now time.Time) ServerEffects {
	m.now = now
	fx := m.effects()
	for {
		id, ok := m.clock.Pop(now)
		if !ok {
			return fx
		}
		switch p := m.peers[id]; p.state {
		case ServerNew:
			m.drop(&fx, p, transport.StatusPolicyViolation, "not authenticated in time")
		case ServerAuthorized:
			m.drop(&fx, p, transport.StatusPolicyViolation, "not started in time")
		case ServerActive:
			fx.Expired = append(fx.Expired, id)
		}
	}
}

// refuse answers a message that has an id, and only notes one that has none. why is the
// reason, if there is more to say than the error itself.
func (m *ServerMachine) refuse(fx *ServerEffects, p *peer, method string, id ID, say *Error, why error) {
	if !id.IsNotification() {
		fx.send(p, NewErrorResponse(id, say))
		return
	}
	if why == nil {
		why = say
	}
	m.ignore(fx, p, method, why)
}

// ignore notes a message that cannot be answered.
func (m *ServerMachine) ignore(fx *ServerEffects, p *peer, method string, why error) {
	fx.Ignored = append(fx.Ignored, Violation{Peer: p.id, Type: method, Err: why})
	if p.violations++; m.cfg.Violations > 0 && p.violations > m.cfg.Violations {
		m.drop(fx, p, transport.StatusPolicyViolation, "too many violations")
	}
}

// drop ends a connection after what was sent to it.
func (m *ServerMachine) drop(fx *ServerEffects, p *peer, code transport.StatusCode, reason string) {
	fx.Close = append(fx.Close, Closing{Peer: p.id, Code: code, Reason: reason})
	m.leave(p)
}

// leave forgets a connection.
func (m *ServerMachine) leave(p *peer) {
	m.leaveRoom(p)
	delete(m.peers, p.id)
	m.clock.Clear(p.id)
}

func (m *ServerMachine) ask(fx *ServerEffects, p *peer, msg Message) {
	m.tickets++
	p.ticket, p.question = m.tickets, msg
	fx.Ask = append(fx.Ask, Question{Ticket{p.id, p.ticket}, msg})
}

func (m *ServerMachine) expireAfter(p *peer, d time.Duration) {
	m.clock.Clear(p.id)
	if d > 0 {
		m.clock.Set(p.id, m.now.Add(d))
	}
}

// effects returns the effects of a step that has just begun.
func (m *ServerMachine) effects() ServerEffects {
	fx := ServerEffects{Send: m.spare}
	m.spare = nil
	return fx
}

// carriedOut takes the sends of a step back, from a driver that has done with them, so that
// an answer to each message does not cost a slice.
func (m *ServerMachine) carriedOut(sent []Delivery) {
	clear(sent)
	if cap(sent) <= 16 {
		m.spare = sent[:0]
	}
}

func (fx *ServerEffects) send(p *peer, msg Message) {
	fx.Send = append(fx.Send, Delivery{p.id, msg})
}
