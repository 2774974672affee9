package easyrtc

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/alarm"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// The limits of a server.
const (
	DefaultRoomConnections = 100    // in one room, as in open-easyrtc
	DefaultRooms           = 10_000 // in one application
	DefaultRoomsEach       = 100    // of one connection
	DefaultApplications    = 100
	DefaultSessions        = 10_000 // in one application
)

// ServerConfig says how a [ServerMachine] behaves. Zero fields mean the defaults, a negative
// duration or number no limit.
type ServerConfig struct {
	Rules Rules // of names

	// NewID makes the easyrtcid of a connection, NewSID its id in Socket.IO. Ids must not
	// be guessed, and an easyrtcid that is in use is asked for again.
	NewID, NewSID func() string

	ConnectTimeout     time.Duration // for the connect packet; default 45 s
	LoginTimeout       time.Duration // for the login after that; default 15 s
	StillAliveInterval time.Duration // between two StillAlive; 0, the default, asks for none
	StillAliveGrace    time.Duration // how much later one may come; default 10 s

	DefaultApplication string // whose name a login may leave out; default "default"
	DefaultRoom        string // joined by a login that names none; default "default"
	NoDefaultRoom      bool   // such a login joins none
	NoNewApplications  bool   // a login to one that ServerMachine.AddApplication did not make fails
	NoNewRooms         bool   // likewise rooms

	RoomConnections int // in one room; default 100
	// Rooms bounds those of one application; default 10,000. Clients make rooms and nobody
	// deletes them: when there are more, one in which nobody is goes.
	Rooms int
	// RoomsEach bounds those that one connection is in; default 100. A message that names
	// more to join is refused, and nobody is asked about them.
	RoomsEach    int
	Applications int // that clients make; default 100, of which those in which nobody is go first
	Sessions     int // of one application; default 10,000, of which those without a connection go first
	// DropEmptyRooms deletes rooms that clients have made with their last occupant. The
	// original keeps them.
	DropEmptyRooms bool

	ICEServers       []ICEServer // of all clients, unless a hook says otherwise
	ApplicationField FieldMap    // what every application begins with
	RoomField        FieldMap    // every room
	ConnectionField  FieldMap    // every connection

	// AskCommands asks the application about each command and each message of a client that
	// is logged in. Logins, joins of rooms, ICE servers and messages without a target are
	// always asked about.
	AskCommands bool
}

// A PeerID names a connection of a server. It is never used twice.
type PeerID uint64

// A Connection says what a new connection is.
type Connection struct {
	EngineIO int // the version that it speaks; 3 or 4, which is the default
}

// ServerEffects are what a step of [ServerMachine] asks of its driver, carried out in the
// order of the fields.
type ServerEffects struct {
	Send  []Delivery
	Ask   []Question
	Gone  []Departure // who has logged out
	Close []Closing
}

// A Delivery is a message to a connection.
type Delivery struct {
	To      PeerID
	Message Message
}

// A Departure is the end of a login.
type Departure struct {
	Peer   PeerID
	Client ClientInfo
}

// A Ticket names a question.
type Ticket struct {
	Peer   PeerID
	number uint64 // of the question among those about that connection
}

// A Question is a message that the application decides about, through
// [ServerMachine.Decide]. Further messages of that connection wait until then.
type Question struct {
	Ticket  Ticket
	Message Message
	Client  ClientInfo     // with an [*Authenticate], who it would become
	Rooms   []RoomQuestion // that the message joins, by name
}

// A RoomQuestion is about a room to be joined.
type RoomQuestion struct {
	Name      string
	New       bool            // it does not exist yet
	Parameter json.RawMessage // an object or an array, or nil
}

// A Decision answers a [Question]. The zero Decision lets it happen.
type Decision struct {
	Refuse *Error // what to tell the client; a login that fails disconnects it

	EasyrtcID    string // of a login: in place of the one in the Question
	Username     string // of a login: in place of what the client says
	Anonymous    bool   // of a login: without a name, whatever the client says
	Field        FieldMap
	SessionField FieldMap
	Rooms        map[string]RoomDecision // those that are not in it are joined
	ICEServers   []ICEServer             // nil: those of the configuration
	Reply        Message                 // to a [Msg] without a target: a *Msg or an *Ack, which nil stands for
}

// A RoomDecision is about one room.
type RoomDecision struct {
	Refuse *Error
	Field  FieldMap // of a new room, besides what every room begins with
	// MustExist refuses the room if it is not there any more: nobody was asked whether it may
	// be made.
	MustExist bool
}

// A Closing ends a connection after what was sent to it.
type Closing struct {
	Peer   PeerID
	Code   transport.StatusCode
	Reason string
}

// ClientInfo is who a client is. It must not be changed.
type ClientInfo struct {
	Application string
	EasyrtcID   string
	EasyrtcSID  string // "" without a session
	Username    string // "" without one
	Rooms       []string
}

// A ServerMachine is the server's side, with all connections, applications and rooms of
// one server, without I/O, clock or goroutine. It is not safe for concurrent use.
//
//	opening ──connect──▶ connected ──authenticate──▶ ready ──disconnect──▶ disconnected
//
// A login that fails leads from connected to disconnected, and connect back from there.
type ServerMachine struct {
	cfg   ServerConfig
	rules *Rules
	conns map[PeerID]*conn
	apps  map[string]*application
	ids   map[string]*conn // connections by easyrtcid
	made  int              // applications that clients have made
	alarm alarm.Clock[PeerID]
	count uint64 // ids made without NewID
}

// A conn is one connection.
type conn struct {
	peer     PeerID
	state    ServerState
	engineIO int
	next     uint64 // id of the next event to it
	asked    Message
	tickets  uint64
	until    time.Time // when it must be logged in, unless it is or was; zero for never

	id         string
	app        *application // nil until it is logged in
	username   string
	credential json.RawMessage
	presence   *Presence
	session    *session
	field      FieldMap
	ice        []ICEServer
	rooms      []*membership // in the order of joining
}

// NewServerMachine returns a machine without connections, with the default application.
func NewServerMachine(cfg ServerConfig) *ServerMachine {
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, DefaultConnectTimeout)
	cfg.LoginTimeout = cmp.Or(cfg.LoginTimeout, DefaultLoginTimeout)
	cfg.StillAliveGrace = cmp.Or(cfg.StillAliveGrace, DefaultStillAliveGrace)
	cfg.DefaultApplication = cmp.Or(cfg.DefaultApplication, "default")
	cfg.DefaultRoom = cmp.Or(cfg.DefaultRoom, "default")
	cfg.RoomConnections = cmp.Or(cfg.RoomConnections, DefaultRoomConnections)
	cfg.Rooms = cmp.Or(cfg.Rooms, DefaultRooms)
	cfg.RoomsEach = cmp.Or(cfg.RoomsEach, DefaultRoomsEach)
	cfg.Applications = cmp.Or(cfg.Applications, DefaultApplications)
	cfg.Sessions = cmp.Or(cfg.Sessions, DefaultSessions)
	if cfg.ICEServers == nil {
		cfg.ICEServers = []ICEServer{}
	}
	m := &ServerMachine{
		cfg: cfg, rules: cfg.Rules.withDefaults(),
		conns: make(map[PeerID]*conn), apps: make(map[string]*application), ids: make(map[string]*conn),
	}
	m.AddApplication(cfg.DefaultApplication, nil)
	return m
}

// State returns where a connection stands, and false when the machine knows none of that name.
func (m *ServerMachine) State(id PeerID) (ServerState, bool) {
	c, ok := m.conns[id]
	if !ok {
		return 0, false
	}
	return c.state, true
}

// Len returns the number of connections.
func (m *ServerMachine) Len() int { return len(m.conns) }

// Client returns who a connection is, and false unless it is logged in.
func (m *ServerMachine) Client(id PeerID) (ClientInfo, bool) {
	c, ok := m.conns[id]
	if !ok || c.state != ServerReady {
		return ClientInfo{}, false
	}
	return c.info(), true
}

// MaxCredential is the size in bytes of the largest credential that is kept after the login.
const MaxCredential = 64 << 10

// Credential returns what a connection has logged in with, unless it is larger than
// [MaxCredential]. The answer must not be changed.
func (m *ServerMachine) Credential(id PeerID) json.RawMessage {
	if c, ok := m.conns[id]; ok {
		return c.credential
	}
	return nil
}

// Peer returns the connection of an easyrtcid, and false when it is not logged in.
func (m *ServerMachine) Peer(easyrtcid string) (PeerID, bool) {
	c, ok := m.ids[easyrtcid]
	if !ok || c.state != ServerReady {
		return 0, false
	}
	return c.peer, true
}

func (c *conn) info() ClientInfo {
	info := ClientInfo{EasyrtcID: c.id, Username: c.username}
	if c.app != nil {
		info.Application = c.app.name
	}
	if c.session != nil {
		info.EasyrtcSID = c.session.sid
	}
	for _, mb := range c.rooms {
		info.Rooms = append(info.Rooms, mb.room.name)
	}
	return info
}

// Connect takes a new connection.
func (m *ServerMachine) Connect(now time.Time, id PeerID, info Connection) ServerEffects {
	var fx ServerEffects
	c := &conn{peer: id, engineIO: cmp.Or(info.EngineIO, 4)}
	if m.cfg.ConnectTimeout > 0 && m.cfg.LoginTimeout > 0 { // who connects again and again gains no time
		c.until = now.Add(4 * (m.cfg.ConnectTimeout + m.cfg.LoginTimeout))
	}
	m.conns[id] = c
	if c.engineIO == 3 {
		m.open(&fx, now, c)
	} else {
		m.deadline(now, c, m.cfg.ConnectTimeout)
	}
	return fx
}

// deadline ends a connection after d, unless it is negative.
func (m *ServerMachine) deadline(now time.Time, c *conn, d time.Duration) {
	if d > 0 {
		at := now.Add(d)
		if c.state != ServerReady && !c.until.IsZero() && at.After(c.until) {
			at = c.until
		}
		m.alarm.Set(c.peer, at)
	} else {
		m.alarm.Clear(c.peer)
	}
}

// open says that a connection is open, and gives it a new id.
func (m *ServerMachine) open(fx *ServerEffects, now time.Time, c *conn) {
	c.state, c.next, c.id = ServerConnected, 0, m.newID()
	m.ids[c.id] = c
	hello := new(ConnectPacket)
	if c.engineIO != 3 {
		sid := ""
		if m.cfg.NewSID != nil {
			sid = m.cfg.NewSID()
		} else {
			m.count++
			sid = fmt.Sprintf("sid-%d", m.count)
		}
		hello.Payload, _ = json.Marshal(map[string]string{"sid": sid}) // never fails
	}
	fx.Send = append(fx.Send, Delivery{c.peer, hello})
	m.deadline(now, c, m.cfg.LoginTimeout)
}

// newID returns an easyrtcid that nobody has. A NewID that repeats itself is not asked for
// ever.
func (m *ServerMachine) newID() string {
	const tries = 100
	for range tries {
		if m.cfg.NewID == nil {
			break
		}
		if id := m.cfg.NewID(); m.ids[id] == nil {
			return id
		}
	}
	for {
		m.count++
		if id := fmt.Sprintf("client-%d", m.count); m.ids[id] == nil {
			return id
		}
	}
}

// Receive takes a message of a connection.
func (m *ServerMachine) Receive(now time.Time, id PeerID, msg Message) ServerEffects {
	var fx ServerEffects
	c, ok := m.conns[id]
	if !ok {
		return fx
	}
	switch msg := msg.(type) {
	case *ConnectPacket:
		m.connect(&fx, now, c, msg)
		return fx
	case *DisconnectPacket:
		if msg.Namespace != "" || c.state != ServerConnected && c.state != ServerReady {
			m.close(&fx, now, c)
		} else {
			m.leave(&fx, now, c)
			m.deadline(now, c, m.cfg.ConnectTimeout)
		}
		return fx
	case *ConnectErrorPacket:
		m.close(&fx, now, c)
		return fx
	}
	if c.state != ServerConnected && c.state != ServerReady {
		m.close(&fx, now, c) // as Socket.IO does with what is out of place
		return fx
	}
	p := msg.packet()
	if p == nil || p.Ack || c.asked != nil {
		return fx
	}
	if u, ok := msg.(*Unknown); ok && u.Args != nil {
		p = &Packet{} // Socket.IO hands the acknowledgement over in the wrong place
	}
	m.event(&fx, now, c, msg, p.ID)
	return fx
}

// connect takes a connect packet.
func (m *ServerMachine) connect(fx *ServerEffects, now time.Time, c *conn, msg *ConnectPacket) {
	switch {
	case msg.Namespace != "":
		fx.Send = append(fx.Send, Delivery{c.peer, &ConnectErrorPacket{
			Namespace: msg.Namespace, Payload: json.RawMessage(`{"message":"Invalid namespace"}`),
		}})
	case c.state == ServerConnected || c.state == ServerReady:
		m.close(fx, now, c)
	default:
		m.open(fx, now, c)
	}
}

// event takes an event that wants the acknowledgement id.
func (m *ServerMachine) event(fx *ServerEffects, now time.Time, c *conn, msg Message, id ID) {
	_, acks := id.Number()
	switch event := msg.event(); {
	case event == EventAuth:
		m.auth(fx, now, c, msg, id)
	case c.state != ServerReady || !acks || event != EventCmd && event != EventMsg:
		// Nobody listens.
	default:
		if _, ofClients := clientCommands[msg.wireType()]; event == EventCmd && !ofClients {
			m.refuse(fx, now, c, id, ErrBadType)
			return
		}
		if err := validate(msg, m.rules); err != nil {
			m.refuse(fx, now, c, id, errorOf(err))
			return
		}
		if msg, ok := msg.(*Msg); ok {
			if err := m.checkTarget(c, msg); err != nil {
				m.refuse(fx, now, c, id, err)
				return
			}
		}
		if m.tooMany(roomsIn(msg)) {
			m.refuse(fx, now, c, id, errRoomFull)
			return
		}
		if q, ok := m.question(c, msg); ok {
			c.asked = msg
			fx.Ask = append(fx.Ask, q)
			return
		}
		m.command(fx, now, c, msg, Decision{})
	}
}

// errorOf returns what a client hears of a *ValidationError.
func errorOf(err error) *Error {
	if e, ok := err.(*ValidationError); ok && e.Code != "" {
		return NewError(e.Code)
	}
	return ErrBadStructure
}

// question returns what the application is asked about a message, if it is.
func (m *ServerMachine) question(c *conn, msg Message) (Question, bool) {
	var rooms []RoomQuestion
	switch msg := msg.(type) {
	case *RoomJoin:
		rooms = c.app.questions(msg.MsgData.RoomJoin)
	case *GetICEConfig:
	case *Msg:
		if !m.cfg.AskCommands && (msg.TargetEasyrtcID != "" || msg.TargetRoom != "") {
			return Question{}, false
		}
	default:
		if !m.cfg.AskCommands {
			return Question{}, false
		}
	}
	return Question{Ticket: m.ticket(c), Message: msg, Client: c.info(), Rooms: rooms}, true
}

func (m *ServerMachine) ticket(c *conn) Ticket {
	c.tickets++
	return Ticket{Peer: c.peer, number: c.tickets}
}

// Malformed takes what a connection sent and could not be decoded.
func (m *ServerMachine) Malformed(now time.Time, id PeerID, err *DecodeError) ServerEffects {
	var fx ServerEffects
	c, ok := m.conns[id]
	if !ok {
		return fx
	}
	_, acks := err.ID.Number()
	switch {
	case err.Event == "", c.state != ServerConnected && c.state != ServerReady:
		m.close(&fx, now, c)
	case c.asked != nil:
	case err.Event == EventAuth && !acks:
		m.throwOut(&fx, now, c)
	case err.Event == EventAuth:
		m.refuse(&fx, now, c, err.ID, NewError(err.Code))
		m.throwOut(&fx, now, c)
	case c.state == ServerReady && acks:
		m.refuse(&fx, now, c, err.ID, NewError(cmp.Or(err.Code, CodeMsgRejectBadStructure)))
	}
	return fx
}

// Decide answers a question. A ticket whose connection has gone is ignored.
func (m *ServerMachine) Decide(now time.Time, t Ticket, d Decision) ServerEffects {
	var fx ServerEffects
	c, ok := m.conns[t.Peer]
	if !ok || c.tickets != t.number || c.asked == nil {
		return fx
	}
	msg := c.asked
	c.asked = nil
	login, isLogin := msg.(*Authenticate)
	switch {
	case isLogin:
		m.login(&fx, now, c, login, d)
	case d.Refuse != nil:
		m.refuse(&fx, now, c, msg.packet().ID, d.Refuse)
	default:
		m.command(&fx, now, c, msg, d)
	}
	return fx
}

// Disconnect takes the end of a connection, whoever ended it.
func (m *ServerMachine) Disconnect(now time.Time, id PeerID) ServerEffects {
	var fx ServerEffects
	c, ok := m.conns[id]
	if !ok {
		return fx
	}
	m.leave(&fx, now, c)
	delete(m.conns, id)
	m.alarm.Clear(id)
	return fx
}

// leave takes the end of a login, or of what might have become one.
func (m *ServerMachine) leave(fx *ServerEffects, now time.Time, c *conn) {
	if c.state == ServerReady {
		fx.Gone = append(fx.Gone, Departure{c.peer, c.info()})
		c.app.clients--
	}
	c.state, c.asked = ServerDisconnected, nil
	for len(c.rooms) > 0 {
		m.leaveRoom(fx, now, c.rooms[0])
	}
	if c.session != nil {
		c.session.remove(c)
	}
	if m.ids[c.id] == c {
		delete(m.ids, c.id)
	}
	*c = conn{peer: c.peer, state: c.state, engineIO: c.engineIO, tickets: c.tickets, until: c.until}
}

// throwOut disconnects a client and leaves the carrier open, as Socket.IO does. If nothing
// comes any more, it is closed.
func (m *ServerMachine) throwOut(fx *ServerEffects, now time.Time, c *conn) {
	m.leave(fx, now, c)
	fx.Send = append(fx.Send, Delivery{c.peer, new(DisconnectPacket)})
	m.deadline(now, c, m.cfg.ConnectTimeout)
}

// close ends a connection without a word: that is how Socket.IO does it. What it still
// says is nobody's.
func (m *ServerMachine) close(fx *ServerEffects, now time.Time, c *conn) {
	m.leave(fx, now, c)
	delete(m.conns, c.peer)
	m.alarm.Clear(c.peer)
	fx.Close = append(fx.Close, Closing{Peer: c.peer, Code: transport.StatusNoStatus})
}

// Deadline returns when [ServerMachine.Expire] is due.
func (m *ServerMachine) Deadline() (time.Time, bool) { return m.alarm.Next() }

// Expire ends the connections that took too long to connect, to log in or to show that they live.
func (m *ServerMachine) Expire(now time.Time) ServerEffects {
	var fx ServerEffects
	for {
		id, ok := m.alarm.Pop(now)
		if !ok {
			return fx
		}
		c := m.conns[id]
		switch c.state {
		case ServerConnected:
			m.emit(&fx, now, c, &ErrorMessage{MsgData: ErrLoginTimeout})
			m.throwOut(&fx, now, c)
		case ServerReady:
			m.throwOut(&fx, now, c)
		}
		m.close(&fx, now, c)
	}
}

// emit sends an event to a client. msg is its own from then on.
func (m *ServerMachine) emit(fx *ServerEffects, now time.Time, c *conn, msg Message) {
	p := msg.packet()
	p.ID, p.Ack = socketio.NewID(c.next), false
	c.next++
	stamp(msg, c.id, now.UnixMilli())
	fx.Send = append(fx.Send, Delivery{c.peer, msg})
}

// stamp fills in whom an event is for, and the time.
func stamp(msg Message, id string, ms int64) {
	switch msg := msg.(type) {
	case *Offer:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *Answer:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *Candidate:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *Reject:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *Hangup:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *Msg:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *ErrorMessage:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *RoomData:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *SessionData:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *ICEConfig:
		msg.EasyrtcID, msg.ServerTime = id, ms
	case *ForwardToURL:
		msg.EasyrtcID, msg.ServerTime = id, ms
	}
}

// reply sends the acknowledgement of an event. msg is its own from then on.
func (m *ServerMachine) reply(fx *ServerEffects, c *conn, id ID, msg Message) {
	p := msg.packet()
	p.ID, p.Ack = id, true
	fx.Send = append(fx.Send, Delivery{c.peer, msg})
}

func (m *ServerMachine) refuse(fx *ServerEffects, now time.Time, c *conn, id ID, err *Error) {
	if err.ErrorText == "" {
		err = &Error{ErrorCode: err.ErrorCode, ErrorText: err.ErrorCode.Text(), Extra: err.Extra}
	}
	m.reply(fx, c, id, &ErrorMessage{ServerTime: now.UnixMilli(), MsgData: err})
}
