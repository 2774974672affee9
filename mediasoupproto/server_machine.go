package mediasoupproto

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/alarm"
	"github.com/rtcsignal/rtcsignal/transport"
)

// The limits of a server.
const (
	DefaultRooms         = 10_000
	DefaultPeers         = 1_000 // of one room
	DefaultTransports    = 16    // of one peer
	DefaultProducers     = 32    // of one peer
	DefaultRoomProducers = 1_000
	DefaultMediaPending  = 64 // requests of one peer for which the media are not ready yet
	DefaultPeerBytes     = 256 << 10
	DefaultRoomBytes     = 16 << 20
)

// MaxRTPParameters is the size in bytes of the largest parameters of a producer, as in
// mediasoup.
const MaxRTPParameters = 64 << 10

// ServerConfig says how a [ServerMachine] behaves. Zero fields mean the defaults, a negative
// duration or number no limit.
type ServerConfig struct {
	Rules Rules // what messages of clients must keep; default [Compat]

	// Capabilities are those of every room; nil are those of [DefaultCodecs] with the two
	// header extensions that browsers can have in any order.
	Capabilities *RTPCapabilities

	// NewID makes the ids of consumers and their SSRCs. It is asked again for one that is
	// in use. Nil counts, for tests.
	NewID func() uint32

	AllowSpies    bool // peers that nobody is shown; refused otherwise
	AllowPlainRTP bool // transports without ICE and DTLS, if the media engine has them; refused otherwise

	JoinTimeout   time.Duration // for a connection's first join; default 15 s
	Rooms         int           // with peers; default 10,000
	Peers         int           // of one room; default 1,000
	Transports    int           // of one peer; default 16
	Producers     int           // of one peer; default 32
	RoomProducers int           // default 1,000
	Pending       int           // requests of one peer that wait for the media engine; default 64
	PeerBytes     int           // of the data and parameters that a server keeps of one peer; default 256 KiB
	RoomBytes     int           // of all peers of one room; default 16 MiB

	// AskRequests asks the application about each request of a peer. Joins and the messages
	// of the application are always asked about.
	AskRequests bool
}

// A PeerID names a connection of a server. It is never used twice.
type PeerID uint64

// A Connection says what a new connection is.
type Connection struct {
	Room string
	// PeerName is the only name that the connection may join by. An older connection of
	// the same room and name is closed at once, before anybody is asked about a join: where
	// that matters, whoever says PeerName has checked that it is the client's. "" leaves the
	// name to the join.
	PeerName string
}

// ServerEffects are what a step of [ServerMachine] asks of its driver, carried out in
// the order of the fields.
type ServerEffects struct {
	Send  []Delivery
	Ask   []Question
	Media []MediaOp // for the media engine; those of one room in their order
	Gone  []Departure
	Close []Closing
}

// A Delivery is a message to a connection. Those of a broadcast are the same message, one
// after the other.
type Delivery struct {
	To      PeerID
	Message Message
}

// A Ticket names a question, or a [MediaOp] whose result is awaited. The zero Ticket is
// none.
type Ticket struct {
	Peer   PeerID
	number uint64
}

// A Question is a message that the application decides about, through
// [ServerMachine.Decide]: a [*Join], an [*Application], or another request. Further messages
// of that connection wait until then.
type Question struct {
	Ticket  Ticket
	Message Message
}

// A Decision answers a [Question]. The zero Decision lets it happen.
type Decision struct {
	Refuse *Error          // nil agrees
	Result json.RawMessage // of an [*Application] that is a request
}

// A Departure is the end of a peer: it has left, was thrown out, or its connection is gone.
type Departure struct {
	Peer     PeerID
	Room     string
	PeerName string
	AppData  json.RawMessage // that it had joined with
}

// A Closing ends a connection after what was sent to it.
type Closing struct {
	Peer   PeerID
	Code   transport.StatusCode
	Reason string
}

// A ServerMachine is the server's side with all its connections and rooms, without I/O,
// clock or goroutine.
//
//	new ──join──▶ joining ──Decide──▶ joined ──leave, closed──▶ left ──join──▶ joining
//
// What it wants of the media goes out as [MediaOp] and comes back through
// [ServerMachine.MediaDone]. It keeps nothing of a connection after
// [ServerMachine.Disconnect] or after it asked to close it. It is not safe for concurrent
// use.
type ServerMachine struct {
	cfg     ServerConfig
	conns   map[PeerID]*conn
	rooms   map[string]*room
	open    int // rooms with peers
	clock   alarm.Clock[clockKey]
	tickets uint64
	waiting map[uint64]*mediaWait // by the number of the ticket
	ids     uint32                // made without NewID
	now     time.Time             // of the present step

	canDo  json.RawMessage // what queryRoom is answered
	cannot error           // why it is not

	lateJoins bool // joins are answered with a lateAnswer
}

// A clockKey names a deadline: of a join, or of the next statistics.
type clockKey struct {
	peer PeerID
	kind MediaKind // 0: of the join
	id   uint32
}

// A conn is one connection.
type conn struct {
	id     PeerID
	room   *room
	bound  string // the only name that it may have
	state  ServerState
	before ServerState // joining
	peer   *peer       // while joined
	asked  Message
	ticket uint64
}

// NewServerMachine returns a machine without connections.
func NewServerMachine(cfg ServerConfig) *ServerMachine {
	if cfg.Capabilities == nil {
		cfg.Capabilities = DefaultCapabilities()
	}
	cfg.JoinTimeout = cmp.Or(cfg.JoinTimeout, DefaultJoinTimeout)
	cfg.Rooms = cmp.Or(cfg.Rooms, DefaultRooms)
	cfg.Peers = cmp.Or(cfg.Peers, DefaultPeers)
	cfg.Transports = cmp.Or(cfg.Transports, DefaultTransports)
	cfg.Producers = cmp.Or(cfg.Producers, DefaultProducers)
	cfg.RoomProducers = cmp.Or(cfg.RoomProducers, DefaultRoomProducers)
	cfg.Pending = cmp.Or(cfg.Pending, DefaultMediaPending)
	cfg.PeerBytes = cmp.Or(cfg.PeerBytes, DefaultPeerBytes)
	cfg.RoomBytes = cmp.Or(cfg.RoomBytes, DefaultRoomBytes)
	m := &ServerMachine{
		cfg: cfg, conns: make(map[PeerID]*conn), rooms: make(map[string]*room), waiting: make(map[uint64]*mediaWait),
	}
	m.canDo, m.cannot = appendResult(&QueryRoomResult{
		RTPCapabilities: cfg.Capabilities, MandatoryCodecPayloadTypes: []uint8{},
	})
	return m
}

// DefaultCapabilities returns the capabilities of a room with [DefaultCodecs], and with the
// two header extensions that Chromium takes in whatever order media are sent:
// [ExtensionAudioLevel] and [ExtensionAbsSendTime].
func DefaultCapabilities() *RTPCapabilities {
	caps, err := GenerateRoomRTPCapabilities(DefaultCodecs())
	if err != nil {
		panic(err) // not with these
	}
	kept := caps.HeaderExtensions[:0]
	for _, ext := range caps.HeaderExtensions {
		if ext.URI == ExtensionAudioLevel || ext.URI == ExtensionAbsSendTime {
			kept = append(kept, ext)
		}
	}
	caps.HeaderExtensions = kept
	return caps
}

// State returns where a connection stands, and false when the machine knows none of that
// name.
func (m *ServerMachine) State(id PeerID) (ServerState, bool) {
	c, ok := m.conns[id]
	if !ok {
		return 0, false
	}
	return c.state, true
}

// Len returns the number of connections.
func (m *ServerMachine) Len() int { return len(m.conns) }

// A PeerState is what a server knows of a connection. It must not be changed.
type PeerState struct {
	Room       string
	PeerName   string // "" before the join, unless the connection has but one
	Joined     bool
	Spy        bool
	AppData    json.RawMessage
	Transports []uint32        // by id
	Producers  []ProducerState // in the order of their creation
	Consumers  []ConsumerInfo  // by id
}

// A ProducerState is a producer of a [PeerState].
type ProducerState struct {
	ID            uint32
	Kind          Kind
	Transport     uint32
	RTPParameters *RTPParameters
	Paused        bool
	AppData       json.RawMessage
}

// Peer returns what is known of a connection, and false when the machine knows none of that
// name.
func (m *ServerMachine) Peer(id PeerID) (s PeerState, ok bool) {
	c, ok := m.conns[id]
	if !ok {
		return s, false
	}
	s = PeerState{Room: c.room.name, PeerName: c.bound}
	if p := c.peer; p != nil {
		s.PeerName, s.Joined, s.Spy, s.AppData = p.name, true, p.spy, p.appData
		s.Transports = slices.Sorted(maps.Keys(p.transports))
		for _, pr := range p.sending {
			if pr.ready {
				s.Producers = append(s.Producers, ProducerState{
					ID: pr.id.ID, Kind: pr.kind, Transport: pr.transport.id.ID, RTPParameters: pr.parameters,
					Paused: pr.paused(), AppData: pr.appData,
				})
			}
		}
		for _, id := range slices.Sorted(maps.Keys(p.consumers)) {
			s.Consumers = append(s.Consumers, *p.consumers[id].info())
		}
	}
	return s, true
}

// Find returns the connection of a peer that has joined a room.
func (m *ServerMachine) Find(room, peerName string) (PeerID, bool) {
	if r := m.rooms[room]; r != nil {
		if p := r.names[peerName]; p != nil {
			return p.conn.id, true
		}
	}
	return 0, false
}

// Connect takes a new connection.
func (m *ServerMachine) Connect(now time.Time, id PeerID, info Connection) ServerEffects {
	m.now = now
	var fx ServerEffects
	r := m.rooms[info.Room]
	if r == nil {
		r = &room{name: info.Room, names: make(map[string]*peer), bound: make(map[string]*conn)}
		m.rooms[info.Room] = r
	}
	r.conns++
	c := &conn{id: id, room: r, bound: info.PeerName}
	m.conns[id] = c
	if info.PeerName != "" {
		if old := r.bound[info.PeerName]; old != nil {
			m.drop(&fx, old, CloseByServer, CloseByServerReason)
		}
		r.bound[info.PeerName] = c
	}
	if m.cfg.JoinTimeout > 0 {
		m.clock.Set(clockKey{peer: id}, now.Add(m.cfg.JoinTimeout))
	}
	return fx
}

// Receive takes a message of a connection.
func (m *ServerMachine) Receive(now time.Time, id PeerID, msg Message) ServerEffects {
	m.now = now
	var fx ServerEffects
	c, ok := m.conns[id]
	if !ok || c.asked != nil {
		return fx
	}
	switch msg := msg.(type) {
	case *Response: // of a client of protoo 2 to a notification
	case *Application:
		m.ask(&fx, c, msg)
	case *QueryRoom:
		m.queryRoom(&fx, c, msg)
	case *Join:
		m.join(&fx, c, msg)
	default:
		m.ofPeer(&fx, c, msg)
	}
	return fx
}

// ofPeer takes what only a peer of the room may say.
func (m *ServerMachine) ofPeer(fx *ServerEffects, c *conn, msg Message) {
	h := msg.head()
	if kindOf(msg) == FrameNotification {
		if c.peer != nil {
			m.notification(fx, c, msg)
		}
		if h != nil && h.RequestID != "" {
			m.answer(fx, c, h.RequestID, nil)
		}
		return
	}
	if err := c.mayRequest(); err != nil {
		m.refuse(fx, c, h.RequestID, err)
		return
	}
	switch msg.(type) {
	case *CreateTransport, *RestartTransport, *CreateProducer, *EnableConsumer:
	default:
		m.refuse(fx, c, h.RequestID, NewError("Error", `unknown request method "`+msg.wireType()+`"`))
		return
	}
	if m.cfg.AskRequests {
		m.ask(fx, c, msg)
		return
	}
	m.request(fx, c, msg)
}

// mayRequest returns why a connection has no peer that could ask for something.
func (c *conn) mayRequest() *Error {
	switch {
	case c.peer != nil:
		return nil
	case c.state == ServerLeft:
		return ErrRoomClosed
	}
	return ErrNoPeer
}

// request carries out a request of a peer.
func (m *ServerMachine) request(fx *ServerEffects, c *conn, msg Message) {
	id := msg.head().RequestID
	if m.cfg.Pending > 0 && c.peer.pending >= m.cfg.Pending {
		m.refuse(fx, c, id, ErrRequestTimeout)
		return
	}
	var err *Error
	switch msg := msg.(type) {
	case *CreateTransport:
		err = m.createTransport(fx, c.peer, msg)
	case *RestartTransport:
		err = m.restartTransport(fx, c.peer, msg)
	case *CreateProducer:
		err = m.createProducer(fx, c.peer, msg)
	case *EnableConsumer:
		err = m.enableConsumer(fx, c.peer, msg)
	}
	if err != nil {
		m.refuse(fx, c, id, err)
	}
}

// ask asks the driver.
func (m *ServerMachine) ask(fx *ServerEffects, c *conn, msg Message) {
	m.tickets++
	c.asked, c.ticket = msg, m.tickets
	fx.Ask = append(fx.Ask, Question{Ticket: Ticket{c.id, m.tickets}, Message: msg})
}

// Malformed takes what a connection sent and could not be decoded. A request is answered, and parameters that are none end
// their transport; all else is ignored, as it is by protoo and mediasoup, unless it is too big.
func (m *ServerMachine) Malformed(now time.Time, id PeerID, err *DecodeError) ServerEffects {
	m.now = now
	var fx ServerEffects
	c, ok := m.conns[id]
	switch {
	case !ok || c.asked != nil:
	case err.Err == errTooBig:
		m.drop(&fx, c, transport.StatusMessageTooBig, "")
	case err.kind == FrameNotification:
		if c.peer != nil && err.Type == (*UpdateTransport)(nil).wireType() {
			if t := c.peer.transport(err.subject); t != nil {
				m.serverClosesTransport(&fx, t, nil)
			}
		}
		if err.RequestID != "" {
			m.answer(&fx, c, err.RequestID, nil)
		}
	case err.RequestID == "":
	case err.Type != "join" && err.Type != "queryRoom" && c.peer == nil:
		m.refuse(&fx, c, err.RequestID, c.mayRequest())
	default:
		m.refuse(&fx, c, err.RequestID, answerTo(err))
	}
	return fx
}

// Decide answers a question. A ticket whose connection has gone is ignored.
func (m *ServerMachine) Decide(now time.Time, t Ticket, d Decision) ServerEffects {
	m.now = now
	var fx ServerEffects
	c, ok := m.conns[t.Peer]
	if !ok || c.asked == nil || c.ticket != t.number {
		return fx
	}
	msg := c.asked
	c.asked = nil
	id := msg.head().RequestID
	join, isJoin := msg.(*Join)
	_, ofApplication := msg.(*Application)
	switch {
	case isJoin:
		m.admit(&fx, c, join, d)
	case ofApplication && id == "":
	case d.Refuse != nil:
		m.refuse(&fx, c, id, d.Refuse)
	case ofApplication:
		m.answer(&fx, c, id, d.Result)
	default:
		if err := c.mayRequest(); err != nil { // the server application has closed the peer meanwhile
			m.refuse(&fx, c, id, err)
			return fx
		}
		m.request(&fx, c, msg)
	}
	return fx
}

// Disconnect takes the end of a connection, whoever ended it.
func (m *ServerMachine) Disconnect(now time.Time, id PeerID) ServerEffects {
	m.now = now
	var fx ServerEffects
	if c, ok := m.conns[id]; ok {
		m.gone(&fx, c)
	}
	return fx
}

// Deadline returns when [ServerMachine.Expire] is due.
func (m *ServerMachine) Deadline() (time.Time, bool) { return m.clock.Next() }

// Expire ends the connections that did not join in time, and asks for the statistics that
// are due.
func (m *ServerMachine) Expire(now time.Time) ServerEffects {
	m.now = now
	var fx ServerEffects
	for {
		key, ok := m.clock.Pop(now)
		if !ok {
			return fx
		}
		c := m.conns[key.peer]
		switch {
		case c == nil:
		case key.kind == 0:
			m.drop(&fx, c, transport.StatusPolicyViolation, "join timed out")
		case c.peer != nil:
			m.statsDue(&fx, c.peer, key)
		}
	}
}

// answer answers a request. A nil result is an empty one.
func (m *ServerMachine) answer(fx *ServerEffects, c *conn, id ID, result json.RawMessage) {
	fx.send(c, &Response{Head: Head{RequestID: id, kind: FrameResponse}, Result: result})
}

// refuse answers a request with an error.
func (m *ServerMachine) refuse(fx *ServerEffects, c *conn, id ID, err *Error) {
	fx.send(c, &Response{Head: Head{RequestID: id, kind: FrameResponse}, Error: err})
}

// answerWith answers a request with a struct.
func (m *ServerMachine) answerWith(fx *ServerEffects, c *conn, id ID, result any) {
	data, err := appendResult(result)
	if err != nil {
		m.refuse(fx, c, id, errInternal) // texts of an engine that are not UTF-8
		return
	}
	m.answer(fx, c, id, data)
}

// drop ends a connection after what was sent to it.
func (m *ServerMachine) drop(fx *ServerEffects, c *conn, code transport.StatusCode, reason string) {
	fx.Close = append(fx.Close, Closing{Peer: c.id, Code: code, Reason: reason})
	m.gone(fx, c)
}

// gone forgets a connection.
func (m *ServerMachine) gone(fx *ServerEffects, c *conn) {
	if m.conns[c.id] != c {
		return
	}
	delete(m.conns, c.id)
	m.clock.Clear(clockKey{peer: c.id})
	if c.peer != nil {
		m.leave(fx, c.peer, nil)
	}
	r := c.room
	if r.bound[c.bound] == c {
		delete(r.bound, c.bound)
	}
	if r.conns--; r.conns == 0 {
		delete(m.rooms, r.name)
	}
}

// newID returns an id that is not taken.
func (m *ServerMachine) newID(taken func(id uint32) bool) uint32 {
	const tries = 100
	for range tries {
		if m.cfg.NewID == nil {
			break
		}
		if id := m.cfg.NewID(); id != 0 && !taken(id) {
			return id
		}
	}
	for {
		m.ids++
		if id := 10_000_000 + m.ids; id != 0 && !taken(id) {
			return id
		}
	}
}

func (fx *ServerEffects) send(c *conn, msg Message) {
	fx.Send = append(fx.Send, Delivery{c.id, msg})
}
