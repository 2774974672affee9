package galene

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/alarm"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// Limits of a [ServerMachine] that Galène has as well.
const (
	DefaultHistoryMessages = 50
	DefaultHistoryAge      = 4 * time.Hour
)

// ServerConfig says how a [ServerMachine] behaves. Zero fields mean the defaults, a negative
// duration or number no limit.
type ServerConfig struct {
	// NewID makes the ids of chat messages and the tokens of invitations, which nobody may
	// guess. Nil counts, for tests.
	NewID func() string
	// RTCConfiguration is for the peer connections of the clients; nil is {}. See
	// [ServerMachine.SetRTCConfiguration].
	RTCConfiguration json.RawMessage
	// Media hands the messages about streams to the driver, for a [MediaRouter].
	// Otherwise they are relayed between the two members of a group, whose peer
	// connections then meet without the server; no third one gets any media.
	Media bool
	// Recorder says that the driver can record.
	Recorder bool

	HandshakeTimeout time.Duration // default 15 s
	JoinTimeout      time.Duration // from connecting to the first group, after which 1008 follows; default 5 min
	HistoryMessages  int           // of a group; default 50
	HistoryBytes     int           // their values; default 1 MiB
	DataBytes        int           // of a user's or a group's data; default 64 KiB
	Streams          int           // that one member sends at once; default 32
	OfferBytes       int           // of a member's streams, kept for the other one without a MediaRouter; default 2 MiB
	Members          int           // of a group, whatever its MaxClients and who they are; default 1000
	EmptyGroups      int           // that are kept for their history, lock or data; default 1000
}

// A PeerID names a connection of a server. It is never used twice.
type PeerID uint64

// A Connection says what a new connection is.
type Connection struct {
	Address string // of the client, for those operators who ask
	// System is the name of the group that a recorder may join, without credentials.
	System string
	// Program says that the client is no user: nobody can write to it or change what it may
	// do.
	Program bool
}

// ServerEffects are what a step of [ServerMachine] asks of its driver, carried out in
// the order of the fields.
type ServerEffects struct {
	Send   []Delivery
	Ask    []Question
	Media  []MediaEvent
	Record []string // groups that a recorder is to be connected to
	Close  []Closing
}

// A Delivery is a message to a connection. Those of a broadcast are the same message, one
// after the other.
type Delivery struct {
	To      PeerID
	Message Message
}

// A Ticket names a question.
type Ticket struct {
	Peer PeerID
	n    uint64
}

// A Question asks about a join, or for a token to be stored or to be found. It is answered
// through [ServerMachine.Decide]; until then the connection must send nothing more to the
// machine.
type Question struct {
	Ticket  Ticket
	Message Message // a *Join, or a *GroupAction about tokens
	Group   string  // of the action
	Token   *Token  // to be stored, or with the new times of the token of that name
}

// A Decision answers a [Question].
type Decision struct {
	Refuse *Error   // nil agrees
	Group  *Group   // of a join
	Grant  Grant    // of a join
	Tokens []*Token // of an action: the one that was stored, or all of the group
}

// A MediaEvent tells a [MediaRouter] of a member.
type MediaEvent struct {
	Peer PeerID
	// Message is about a stream, or what the member wants; a *Joined of kind join begins
	// the member's stay, one of kind leave ends it.
	Message Message
}

// A Closing ends a connection after what was sent to it.
type Closing struct {
	Peer   PeerID
	Code   transport.StatusCode // StatusAbnormal: without a close frame
	Reason string
}

// A ServerMachine is the server's side with all its connections and groups, without I/O,
// clock or goroutine.
//
//	handshaking ──handshake──▶ ready ──join──▶ joined ──leave──▶ ready
//
// It asks about every join and every token action. It keeps nothing of a connection after
// [ServerMachine.Disconnect] or after it asked to close it. It is not safe for concurrent
// use.
type ServerMachine struct {
	cfg     ServerConfig
	peers   map[PeerID]*peer
	groups  map[string]*group
	empty   []*group // without members, in the order of their last one's leaving
	tickets uint64
	ids     uint64
	clock   alarm.Clock[PeerID]
	now     time.Time // of the present step
}

// A peer is a connection.
type peer struct {
	id       PeerID
	address  string
	system   string
	program  bool
	state    ServerState
	client   string // the client's id
	received time.Time
	until    time.Time // when it must have joined a group; zero for who has

	question *Question // that the driver has been asked
	ticket   uint64

	// While it is in a group.
	group       *group
	username    string
	permissions Permissions // replaced, never changed in place
	data        Fields      // likewise
	arrival     *User       // its introduction; nil when something has changed since
	up          []*stream
	down        map[string]*stream
	lost        map[string]bool // ids of streams that were in down
	request     map[string]bool // by label: whether any track of it is wanted; "" is for the others
}

// isUser reports whether there is a user behind a connection.
func (p *peer) isUser() bool { return p.system == "" && !p.program }

// NewServerMachine returns a machine without connections.
func NewServerMachine(cfg ServerConfig) *ServerMachine {
	cfg.HandshakeTimeout = cmp.Or(cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	cfg.JoinTimeout = cmp.Or(cfg.JoinTimeout, 5*time.Minute)
	cfg.HistoryMessages = cmp.Or(cfg.HistoryMessages, DefaultHistoryMessages)
	cfg.HistoryBytes = cmp.Or(cfg.HistoryBytes, 1<<20)
	cfg.DataBytes = cmp.Or(cfg.DataBytes, 64<<10)
	cfg.Streams = cmp.Or(cfg.Streams, 32)
	cfg.OfferBytes = cmp.Or(cfg.OfferBytes, 2<<20)
	cfg.Members = cmp.Or(cfg.Members, 1000)
	cfg.EmptyGroups = cmp.Or(cfg.EmptyGroups, 1000)
	m := &ServerMachine{cfg: cfg, peers: make(map[PeerID]*peer), groups: make(map[string]*group)}
	m.SetRTCConfiguration(cfg.RTCConfiguration)
	return m
}

// SetRTCConfiguration changes what clients are told from now on; nil is {}.
func (m *ServerMachine) SetRTCConfiguration(c json.RawMessage) {
	if len(c) == 0 {
		c = json.RawMessage("{}")
	}
	m.cfg.RTCConfiguration = c
}

// State returns where a connection stands, and false when the machine knows none of that
// name.
func (m *ServerMachine) State(id PeerID) (ServerState, bool) {
	p, ok := m.peers[id]
	if !ok {
		return 0, false
	}
	return p.state, true
}

// Len returns the number of connections.
func (m *ServerMachine) Len() int { return len(m.peers) }

// Member returns what is known of a connection's user. Before it has joined, there is
// nothing but the id.
func (m *ServerMachine) Member(id PeerID) (member Member, ok bool) {
	p, ok := m.peers[id]
	if !ok {
		return Member{}, false
	}
	member = Member{Peer: id, ID: p.client, Username: p.username, Permissions: p.permissions, Data: p.data, Address: p.address}
	if p.group != nil {
		member.Group = p.group.desc.Name
	}
	return member, true
}

// A Member is a user of a server. Its maps and slices must not be changed.
type Member struct {
	Peer        PeerID
	Group       string // "" before it has joined one
	ID          string // of the client
	Username    string
	Permissions Permissions
	Data        Fields
	Address     string
}

// Connect takes a new connection.
func (m *ServerMachine) Connect(now time.Time, id PeerID, c Connection) ServerEffects {
	m.now = now
	p := &peer{id: id, address: c.Address, system: c.System, program: c.Program, received: now}
	m.peers[id] = p
	if g := m.groups[c.System]; g != nil && g.recording && g.recorder == nil {
		g.recorder = p
	}
	if m.cfg.JoinTimeout > 0 {
		p.until = now.Add(m.cfg.JoinTimeout)
	}
	if m.cfg.HandshakeTimeout > 0 {
		m.clock.Set(id, now.Add(m.cfg.HandshakeTimeout))
	}
	return ServerEffects{}
}

// Receive takes a message of a connection.
func (m *ServerMachine) Receive(now time.Time, id PeerID, msg Message) ServerEffects {
	m.now = now
	var fx ServerEffects
	p, ok := m.peers[id]
	switch {
	case !ok:
	case p.question != nil:
		m.drop(&fx, p, transport.StatusPolicyViolation, "message before the answer")
	case p.state == ServerHandshaking:
		m.shake(&fx, p, msg)
	default:
		p.received = now
		m.receive(&fx, p, msg)
	}
	return fx
}

// shake takes the first message of a connection.
func (m *ServerMachine) shake(fx *ServerEffects, p *peer, msg Message) {
	h, ok := msg.(*Handshake)
	if !ok {
		m.drop(fx, p, transport.StatusProtocolError, "you must handshake first")
		return
	}
	p.state, p.client, p.received = ServerReady, strings.Clone(h.ID), m.now
	m.tick(p)
	fx.send(p, &Handshake{Version: []string{Version}})
	if !slices.Contains(h.Version, Version) {
		m.tell(fx, p, UserMessageWarning, "This client is using an unknown protocol version.\n"+
			"Perhaps it needs upgrading?\n"+
			"Trying to continue, things may break.")
	}
}

func (m *ServerMachine) tick(p *peer) { m.clock.Set(p.id, m.now.Add(ServerTick)) }

// receive takes a message after the handshake.
func (m *ServerMachine) receive(fx *ServerEffects, p *peer, msg Message) {
	source, username := senderOf(msg)
	_, isJoin := msg.(*Join)
	switch {
	case source != "" && source != p.client:
		m.fatal(fx, p, transport.StatusProtocolError, "spoofed client id")
		return
	case username != nil && *username != p.username && !isJoin:
		m.fatal(fx, p, transport.StatusProtocolError, "spoofed username")
		return
	}
	switch msg := msg.(type) {
	case *Ping:
		fx.send(p, &Pong{})
	case *Pong:
	case *Join:
		m.join(fx, p, msg)
	case *Chat:
		m.chat(fx, p, msg)
	case *UserMessage:
		m.userMessage(fx, p, msg)
	case *UserAction:
		if m.joined(fx, p) {
			m.userAction(fx, p, msg)
		}
	case *GroupAction:
		if m.joined(fx, p) {
			m.groupAction(fx, p, msg)
		}
	case *Request, *RequestStream, *Offer, *Answer, *ICE, *Renegotiate, *Close, *Abort:
		m.media(fx, p, msg)
	default:
		m.fatal(fx, p, transport.StatusProtocolError, "unexpected message")
	}
}

// senderOf returns what a message says about who sent it.
func senderOf(msg Message) (source string, username *string) {
	var extra Fields
	switch msg := msg.(type) {
	case *Chat:
		return msg.Source, msg.Username
	case *UserMessage:
		return msg.Source, msg.Username
	case *UserAction:
		return msg.Source, msg.Username
	case *GroupAction:
		return msg.Source, msg.Username
	case *Offer:
		return msg.Source, msg.Username
	case *Join:
		username, extra = msg.Username, msg.Extra
	case *Joined:
		username, extra = msg.Username, msg.Extra
	case *User:
		username, extra = msg.Username, msg.Extra
	case *ChatHistory:
		return msg.Source, msg.Username
	case *Handshake:
		extra = msg.Extra
	case *Ping:
		extra = msg.Extra
	case *Pong:
		extra = msg.Extra
	case *Request:
		extra = msg.Extra
	case *RequestStream:
		extra = msg.Extra
	case *Answer:
		extra = msg.Extra
	case *ICE:
		extra = msg.Extra
	case *Renegotiate:
		extra = msg.Extra
	case *Close:
		extra = msg.Extra
	case *Abort:
		extra = msg.Extra
	case *Unknown:
		extra = msg.Extra
	}
	if text, ok := jsonx.Text(extra["source"]); ok {
		source = string(text)
	}
	if text, ok := jsonx.Text(extra["username"]); ok && username == nil {
		name := string(text)
		username = &name
	}
	return source, username
}

// joined reports whether a connection is in a group, and tells it otherwise.
func (m *ServerMachine) joined(fx *ServerEffects, p *peer) bool {
	if p.group == nil {
		m.fail(fx, p, "join a group first")
	}
	return p.group != nil
}

// may reports whether a member has permissions, and tells it otherwise.
func (m *ServerMachine) may(fx *ServerEffects, p *peer, required ...Permission) bool {
	for _, r := range required {
		if !p.permissions.Has(r) {
			m.fail(fx, p, ErrNotAuthorised.Text)
			return false
		}
	}
	return true
}

// ask asks the driver.
func (m *ServerMachine) ask(fx *ServerEffects, p *peer, q Question) {
	m.tickets++
	q.Ticket = Ticket{p.id, m.tickets}
	p.ticket, p.question = m.tickets, &q
	fx.Ask = append(fx.Ask, q)
}

// Malformed takes what a connection sent and could not be decoded, which ends it.
func (m *ServerMachine) Malformed(now time.Time, id PeerID, err *DecodeError) ServerEffects {
	m.now = now
	var fx ServerEffects
	p, ok := m.peers[id]
	switch {
	case !ok:
	case err.Err == errTooBig:
		m.drop(&fx, p, transport.StatusMessageTooBig, "")
	case p.state == ServerHandshaking && err.Err == errNoType:
		m.drop(&fx, p, transport.StatusProtocolError, "you must handshake first")
	case p.state == ServerHandshaking:
		m.drop(&fx, p, transport.StatusAbnormal, "")
	case err.Err == errNoType:
		m.fatal(&fx, p, transport.StatusProtocolError, "unexpected message")
	default:
		m.drop(&fx, p, transport.StatusInternalError, "")
	}
	return fx
}

// Decide answers a question. A ticket whose connection has gone is ignored.
func (m *ServerMachine) Decide(now time.Time, t Ticket, d Decision) ServerEffects {
	m.now = now
	var fx ServerEffects
	p, ok := m.peers[t.Peer]
	if !ok || p.question == nil || p.ticket != t.n {
		return fx
	}
	q := *p.question
	p.question = nil
	p.received = now // it could not be heard meanwhile
	switch msg := q.Message.(type) {
	case *Join:
		m.admit(&fx, p, msg, d)
	case *GroupAction:
		m.tokens(&fx, p, msg, d)
	}
	return fx
}

// Disconnect takes the end of a connection, whoever ended it.
func (m *ServerMachine) Disconnect(now time.Time, id PeerID) ServerEffects {
	m.now = now
	var fx ServerEffects
	if p, ok := m.peers[id]; ok {
		m.gone(&fx, p)
	}
	return fx
}

// Deadline returns when [ServerMachine.Expire] is due.
func (m *ServerMachine) Deadline() (time.Time, bool) { return m.clock.Next() }

// Expire pings the connections that were silent, and ends those that were for too long or
// did not shake hands.
func (m *ServerMachine) Expire(now time.Time) ServerEffects {
	m.now = now
	var fx ServerEffects
	for {
		id, ok := m.clock.Pop(now)
		if !ok {
			return fx
		}
		p := m.peers[id]
		silence := now.Sub(p.received)
		switch {
		case p.state == ServerHandshaking:
			m.drop(&fx, p, transport.StatusAbnormal, "")
			continue
		case silence > DeadAfter && p.question == nil:
			m.drop(&fx, p, transport.StatusInternalError, "")
			continue
		case !p.until.IsZero() && !now.Before(p.until) && p.question == nil:
			m.drop(&fx, p, transport.StatusPolicyViolation, "no group joined")
			continue
		case silence > PingAfter:
			fx.send(p, &Ping{})
		}
		m.tick(p)
	}
}

// tell sends a user message of the server's own.
func (m *ServerMachine) tell(fx *ServerEffects, p *peer, kind UserMessageKind, text string) {
	fx.send(p, &UserMessage{Kind: kind, Dest: p.client, Privileged: true, Value: NewText(text)})
}

// fail tells of an error that does not end the connection.
func (m *ServerMachine) fail(fx *ServerEffects, p *peer, text string) {
	m.tell(fx, p, UserMessageError, text)
}

// fatal tells of an error that does.
func (m *ServerMachine) fatal(fx *ServerEffects, p *peer, code transport.StatusCode, text string) {
	m.fail(fx, p, text)
	m.drop(fx, p, code, text)
}

// drop ends a connection after what was sent to it.
func (m *ServerMachine) drop(fx *ServerEffects, p *peer, code transport.StatusCode, reason string) {
	fx.Close = append(fx.Close, Closing{Peer: p.id, Code: code, Reason: reason})
	m.gone(fx, p)
}

// gone forgets a connection.
func (m *ServerMachine) gone(fx *ServerEffects, p *peer) {
	if m.peers[p.id] != p {
		return
	}
	delete(m.peers, p.id)
	m.clock.Clear(p.id)
	m.leave(fx, p)
	if g := m.groups[p.system]; g != nil && g.recorder == p {
		g.recording, g.recorder = false, nil
	}
}

// newID returns an id that nobody can guess, or in tests the next one.
func (m *ServerMachine) newID() string {
	if m.cfg.NewID != nil {
		return m.cfg.NewID()
	}
	m.ids++
	return "id-" + strconv.FormatUint(m.ids, 10)
}

func (fx *ServerEffects) send(p *peer, msg Message) {
	fx.Send = append(fx.Send, Delivery{p.id, msg})
}

// broadcast sends a message to everybody in a group.
func (fx *ServerEffects) broadcast(g *group, msg Message) {
	fx.Send = slices.Grow(fx.Send, len(g.members))
	for _, p := range g.members {
		fx.Send = append(fx.Send, Delivery{p.id, msg})
	}
}
