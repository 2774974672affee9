package cuttlefish

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/alarm"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/transport"
)

// ServerConfig says how a [ServerMachine] behaves. Zero fields mean the defaults, a negative
// duration or number no limit.
type ServerConfig struct {
	// WaitForDevice keeps a client whose device has not registered, the alternative
	// flow of the protocol document. Otherwise it is refused.
	WaitForDevice bool
	// ParkClients, with WaitForDevice, lets the clients of a device that leaves wait
	// for its next registration instead of ending them. They get a second
	// device_info then, which the browser's connector of 2020 only logs.
	ParkClients bool
	// ReplaceExisting lets a device take over an id that is registered, for devices
	// that come back before their old connection is known to be dead. Otherwise the
	// newcomer is refused and the holder notices nothing.
	ReplaceExisting bool
	// StrictPayloads refuses payloads that the real devices and pages would choke on.
	// Otherwise a payload is any JSON, as in the protocol document.
	StrictPayloads bool

	HandshakeTimeout time.Duration // from connection to register or connect; default 10 s
	WaitTimeout      time.Duration // of a client for its device; default 2 min

	Devices          int // default 10,000
	ClientsPerDevice int // default 100
	Waiting          int // clients without a device, in all; default 1,000
	WaitingPerDevice int // default 100
	RequestOffers    int // of one client a minute, because each costs the device a peer connection; default 30
	DeviceIDBytes    int // default 1,024
	DeviceInfoBytes  int // that a server keeps of a device; default 64 KiB
	// DeviceMessage is the largest message in bytes towards a device; default 65,535
	// in the document's dialect, because devices of 2020 to 2025 parse each 64 KiB
	// for themselves, and 128 KiB in the operator's, whose socket takes about 200 kB.
	DeviceMessage int
}

// The defaults of [ServerConfig].
const (
	DefaultWaitTimeout           = 2 * time.Minute
	DefaultDevices               = 10_000
	DefaultClientsPerDevice      = 100
	DefaultWaiting               = 1_000
	DefaultWaitingPerDevice      = 100
	DefaultRequestOffers         = 30
	DefaultDeviceIDBytes         = 1 << 10
	DefaultDeviceInfoBytes       = 64 << 10
	DefaultDeviceMessage         = 1<<16 - 1
	DefaultOperatorDeviceMessage = 128 << 10
)

// A PeerID names a connection of a server. It is never used twice.
type PeerID uint64

// A Connection says what a new connection is for and how it speaks.
type Connection struct {
	Role    Role
	Dialect Dialect
}

// ServerEffects are what a step of [ServerMachine] asks of its driver, carried out in
// the order of the fields.
type ServerEffects struct {
	Send  []Delivery
	Ask   []Question
	Close []Closing
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

// A Question asks the application whether a connection may register or connect. It is
// answered through [ServerMachine.Decide]; until then the connection must send
// nothing more to the machine.
type Question struct {
	Ticket  Ticket
	Message Message // a *Register or a *Connect
}

// A Decision answers a [Question].
type Decision struct {
	Refuse     *Error      // nil agrees
	ICEServers []ICEServer // for its config
}

// A Closing ends a connection after what was sent to it.
type Closing struct {
	Peer   PeerID
	Code   transport.StatusCode
	Reason string
}

// A DeviceEntry is what a server knows about a registered device.
type DeviceEntry struct {
	ID      string
	Peer    PeerID
	Info    json.RawMessage // nil when it registered none
	Port    int             // of its file server; 0 when it has none
	Clients int             // attached at present
}

// A ServerMachine is the registry and the relay of a server, with all its
// connections, without I/O, clock or goroutine. It asks about every register and
// every connect. It keeps nothing of a connection after [ServerMachine.Disconnect]
// or after it asked to close it. It is not safe for concurrent use.
type ServerMachine struct {
	cfg     ServerConfig
	peers   map[PeerID]*peer
	devices map[string]*device
	waiting map[string][]*peer // clients by the device they wait for, oldest first
	waits   int
	tickets uint64
	clock   alarm.Clock[PeerID]
	now     time.Time // of the present step
}

type peer struct {
	id       PeerID
	conn     Connection
	state    ServerState
	ticket   uint64
	question Message
	device   *device // the registration, or the device that a client is attached to
	clientID int
	wanted   string    // device id of a client
	offers   int       // request-offers since the minute began
	minute   time.Time // when it began
}

type device struct {
	id      string
	peer    *peer
	info    json.RawMessage
	port    int
	next    int // the next client id
	clients map[int]*peer
}

// NewServerMachine returns a machine without connections.
func NewServerMachine(cfg ServerConfig) *ServerMachine {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&cfg.Devices, DefaultDevices)
	def(&cfg.ClientsPerDevice, DefaultClientsPerDevice)
	def(&cfg.Waiting, DefaultWaiting)
	def(&cfg.WaitingPerDevice, DefaultWaitingPerDevice)
	def(&cfg.RequestOffers, DefaultRequestOffers)
	def(&cfg.DeviceIDBytes, DefaultDeviceIDBytes)
	def(&cfg.DeviceInfoBytes, DefaultDeviceInfoBytes)
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if cfg.WaitTimeout == 0 {
		cfg.WaitTimeout = DefaultWaitTimeout
	}
	return &ServerMachine{
		cfg:     cfg,
		peers:   make(map[PeerID]*peer),
		devices: make(map[string]*device),
		waiting: make(map[string][]*peer),
	}
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

// Device returns a registered device.
func (m *ServerMachine) Device(id string) (DeviceEntry, bool) {
	d, ok := m.devices[id]
	if !ok {
		return DeviceEntry{}, false
	}
	return d.entry(), true
}

// Devices returns the registered devices by id.
func (m *ServerMachine) Devices() iter.Seq[DeviceEntry] {
	return func(yield func(DeviceEntry) bool) {
		for _, id := range slices.Sorted(maps.Keys(m.devices)) {
			if !yield(m.devices[id].entry()) {
				return
			}
		}
	}
}

func (d *device) entry() DeviceEntry {
	return DeviceEntry{ID: d.id, Peer: d.peer.id, Info: d.info, Port: d.port, Clients: len(d.clients)}
}

// Len returns the number of connections.
func (m *ServerMachine) Len() int { return len(m.peers) }

// Connect takes a new connection.
func (m *ServerMachine) Connect(now time.Time, id PeerID, c Connection) ServerEffects {
	m.now = now
	p := &peer{id: id, conn: c}
	m.peers[id] = p
	m.expireAfter(p, m.cfg.HandshakeTimeout)
	return ServerEffects{}
}

// Receive takes a message of a connection.
func (m *ServerMachine) Receive(now time.Time, id PeerID, msg Message) ServerEffects {
	m.now = now
	var fx ServerEffects
	p, ok := m.peers[id]
	if !ok {
		return fx
	}
	if p.state == ServerDeciding {
		m.drop(&fx, p, transport.StatusPolicyViolation, "message before the answer")
		return fx
	}
	if p.conn.Role == RoleDevice {
		m.fromDevice(&fx, p, msg)
	} else {
		m.fromClient(&fx, p, msg)
	}
	return fx
}

func (m *ServerMachine) fromDevice(fx *ServerEffects, p *peer, msg Message) {
	switch msg := msg.(type) {
	case *Register:
		switch {
		case p.state == ServerRegistered:
			m.refuse(fx, p, transport.StatusPolicyViolation, fmt.Sprintf(textRegistered, p.device.id))
		case msg.DeviceID == "":
			m.refuse(fx, p, transport.StatusPolicyViolation, p.text(textNoDeviceID, textOperatorNoDeviceID))
		case m.tooLong(msg.DeviceID):
			m.refuse(fx, p, transport.StatusPolicyViolation, textLongDeviceID)
		case m.cfg.DeviceInfoBytes >= 0 && len(msg.DeviceInfo) > m.cfg.DeviceInfoBytes:
			m.refuse(fx, p, transport.StatusMessageTooBig, textBigDeviceInfo)
		default:
			m.ask(fx, p, msg)
		}
	case *Forward:
		m.forwardToClient(fx, p, msg)
	default:
		m.unexpected(fx, p, msg)
	}
}

func (m *ServerMachine) fromClient(fx *ServerEffects, p *peer, msg Message) {
	switch msg := msg.(type) {
	case *Connect:
		switch {
		case p.state != ServerNew:
			m.refuse(fx, p, transport.StatusPolicyViolation, textConnectedTwice)
		case msg.DeviceID == "":
			m.refuse(fx, p, transport.StatusPolicyViolation, textConnectNoID)
		case m.tooLong(msg.DeviceID):
			m.refuse(fx, p, transport.StatusPolicyViolation, textLongDeviceID)
		default:
			m.ask(fx, p, msg)
		}
	case *Forward:
		m.forwardToDevice(fx, p, msg)
	default:
		m.unexpected(fx, p, msg)
	}
}

// unexpected answers a message that this side of the server does not take: as the C++
// server, with an error that leaves the connection open.
func (m *ServerMachine) unexpected(fx *ServerEffects, p *peer, msg Message) {
	if e, ok := msg.(*Error); ok {
		b, _ := Encode(e)
		m.refuse(fx, p, transport.StatusInvalidPayload, fmt.Sprintf(textInvalidFormat, excerpt(b)))
		return
	}
	fx.send(p, &Error{Text: fmt.Sprintf(textUnknownType, excerpt([]byte(name(msg))))})
}

// Malformed takes what a connection sent and could not be decoded, and ends it.
func (m *ServerMachine) Malformed(now time.Time, id PeerID, err *DecodeError) ServerEffects {
	m.now = now
	var fx ServerEffects
	p, ok := m.peers[id]
	if !ok {
		return fx
	}
	switch {
	case err.Err == errBinary:
		m.refuse(&fx, p, transport.StatusUnsupportedData, textBinary)
	case p.conn.Dialect == DialectOperator: // which closes without a word
		m.drop(&fx, p, transport.StatusInvalidPayload, "invalid message")
	case p.conn.Role == RoleDevice && err.Type == "forward" && err.Field == "client_id":
		m.refuse(&fx, p, transport.StatusInvalidPayload, textNoClientID)
	case p.conn.Role == RoleDevice && err.Type == "register" && err.Field == "device_id":
		m.refuse(&fx, p, transport.StatusInvalidPayload, textNoDeviceID)
	case p.conn.Role == RoleClient && err.Type == "connect" && err.Field == "device_id":
		m.refuse(&fx, p, transport.StatusInvalidPayload, textConnectNoID)
	case err.frame != "":
		m.refuse(&fx, p, transport.StatusInvalidPayload, fmt.Sprintf(textInvalidFormat, err.frame))
	default:
		m.refuse(&fx, p, transport.StatusInvalidPayload, textInvalidJSON)
	}
	return fx
}

// Decide answers a question. A ticket whose connection has gone is ignored.
func (m *ServerMachine) Decide(now time.Time, t Ticket, d Decision) ServerEffects {
	m.now = now
	var fx ServerEffects
	p, ok := m.peers[t.Peer]
	if !ok || p.state != ServerDeciding || p.ticket != t.n {
		return fx
	}
	question := p.question
	p.state, p.question = ServerNew, nil
	if d.Refuse != nil {
		fx.send(p, d.Refuse)
		m.drop(&fx, p, transport.StatusPolicyViolation, "refused")
		return fx
	}
	config := &Config{ICEServers: d.ICEServers}
	switch q := question.(type) {
	case *Register:
		m.register(&fx, p, q, config)
	case *Connect:
		m.connect(&fx, p, q.DeviceID, config)
	}
	return fx
}

func (m *ServerMachine) register(fx *ServerEffects, p *peer, r *Register, config *Config) {
	if holder, taken := m.devices[r.DeviceID]; taken {
		if !m.cfg.ReplaceExisting {
			m.refuse(fx, p, transport.StatusPolicyViolation, fmt.Sprintf(textTaken, r.DeviceID))
			return
		}
		m.drop(fx, holder.peer, transport.StatusPolicyViolation, "replaced")
	}
	if over(len(m.devices), m.cfg.Devices) {
		m.refuse(fx, p, transport.StatusTryAgainLater, fmt.Sprintf(textTooMany, "devices"))
		return
	}
	d := &device{id: r.DeviceID, peer: p, info: r.DeviceInfo, next: 1, clients: make(map[int]*peer)}
	if r.DevicePort != nil {
		d.port = *r.DevicePort
	}
	m.devices[d.id] = d
	p.state, p.device = ServerRegistered, d
	m.clock.Clear(p.id)
	fx.send(p, config)
	waiting := m.waiting[d.id]
	delete(m.waiting, d.id)
	m.waits -= len(waiting)
	for _, c := range waiting {
		m.attach(fx, c, d)
	}
}

func (m *ServerMachine) connect(fx *ServerEffects, p *peer, id string, config *Config) {
	p.wanted = id
	d, ok := m.devices[id]
	switch {
	case ok:
		fx.send(p, config)
		m.attach(fx, p, d)
	case p.conn.Dialect == DialectOperator && !m.cfg.WaitForDevice:
		m.refuse(fx, p, transport.StatusPolicyViolation, textOperatorNoDevice)
	case !m.cfg.WaitForDevice:
		fx.send(p, config)
		m.refuse(fx, p, transport.StatusPolicyViolation, fmt.Sprintf(textNoDevice, id))
	case m.crowded(id):
		m.refuse(fx, p, transport.StatusTryAgainLater, fmt.Sprintf(textTooMany, "waiting clients"))
	default:
		fx.send(p, config)
		m.wait(p)
	}
}

// crowded reports whether no further client may wait for a device.
func (m *ServerMachine) crowded(id string) bool {
	return over(m.waits, m.cfg.Waiting) || over(len(m.waiting[id]), m.cfg.WaitingPerDevice)
}

// wait puts a client among those whose device is not there.
func (m *ServerMachine) wait(p *peer) {
	p.state = ServerWaiting
	m.waiting[p.wanted] = append(m.waiting[p.wanted], p)
	m.waits++
	m.expireAfter(p, m.cfg.WaitTimeout)
}

// attach gives a client its device and its id.
func (m *ServerMachine) attach(fx *ServerEffects, p *peer, d *device) {
	if over(len(d.clients), m.cfg.ClientsPerDevice) {
		p.state = ServerNew // it no longer waits
		m.refuse(fx, p, transport.StatusTryAgainLater, fmt.Sprintf(textTooMany, "clients"))
		return
	}
	p.state, p.device, p.clientID = ServerAttached, d, d.next
	m.clock.Clear(p.id)
	d.clients[p.clientID] = p
	d.next++
	info := d.info
	if len(info) == 0 {
		info = json.RawMessage(p.text("null", "{}"))
	}
	fx.send(p, &DeviceInfoMsg{DeviceInfo: info})
}

// forwardToClient relays a device's payload.
func (m *ServerMachine) forwardToClient(fx *ServerEffects, p *peer, f *Forward) {
	operator := p.conn.Dialect == DialectOperator
	id, ok := f.Client()
	switch {
	case !ok || operator && id == 0:
		m.refuse(fx, p, transport.StatusPolicyViolation, p.text(textNoClientID, textOperatorNoClientID))
		return
	case len(f.Payload) == 0 || operator && jsonx.IsNull(f.Payload):
		m.refuse(fx, p, transport.StatusPolicyViolation, p.text(textNoPayload, textOperatorNoPayload))
		return
	}
	d := p.device
	if d != nil && id >= 1 && id < d.next {
		c, there := d.clients[id]
		if !there {
			// An error here would make the real device reconnect.
			fx.send(p, &ClientDisconnected{ClientID: id})
			return
		}
		if m.strict(fx, p, f) {
			fx.send(c, &DeviceMsg{Payload: f.Payload, frame: f.frame})
		}
		return
	}
	if operator {
		fx.send(p, &Error{Text: fmt.Sprintf(textOperatorNoClient, id)})
		return
	}
	fx.send(p, &Error{Text: fmt.Sprintf(textUnknownClient, uint64(id))}) // the C++ server prints -1 as a size_t
}

// forwardToDevice relays a client's payload.
func (m *ServerMachine) forwardToDevice(fx *ServerEffects, p *peer, f *Forward) {
	switch {
	case p.state != ServerAttached:
		m.refuse(fx, p, transport.StatusPolicyViolation, textNotConnected)
		return
	case len(f.Payload) == 0:
		m.refuse(fx, p, transport.StatusPolicyViolation, textClientNoPay)
		return
	case !m.strict(fx, p, f):
		return
	case m.cfg.RequestOffers > 0 && isRequestOffer(f.Payload) && m.hammers(p):
		m.refuse(fx, p, transport.StatusPolicyViolation, textTooManyOffer)
		return
	}
	msg := &ClientMsg{ClientID: p.clientID, Payload: f.Payload, frame: f.frame}
	if over(size(msg), m.deviceMessage(p.device.peer)) {
		m.refuse(fx, p, transport.StatusMessageTooBig, textTooBig)
		return
	}
	fx.send(p.device.peer, msg)
}

func (m *ServerMachine) deviceMessage(device *peer) int {
	switch {
	case m.cfg.DeviceMessage != 0:
		return m.cfg.DeviceMessage
	case device.conn.Dialect == DialectOperator:
		return DefaultOperatorDeviceMessage
	}
	return DefaultDeviceMessage
}

// strict checks a payload when that was asked for, and refuses its sender.
func (m *ServerMachine) strict(fx *ServerEffects, p *peer, f *Forward) bool {
	if !m.cfg.StrictPayloads {
		return true
	}
	err := checkPayload(f.Payload)
	if err != nil {
		fault := "not an object with a type and its members"
		if bad, ok := errors.AsType[*ValidationError](err); ok {
			fault = bad.Type + ": " + bad.Field + ": " + bad.Reason
		}
		m.refuse(fx, p, transport.StatusPolicyViolation, fmt.Sprintf(textBadPayload, fault))
	}
	return err == nil
}

// hammers counts the request-offers of a client in the present minute.
func (m *ServerMachine) hammers(p *peer) bool {
	if m.now.Sub(p.minute) >= time.Minute {
		p.minute, p.offers = m.now, 0
	}
	p.offers++
	return p.offers > m.cfg.RequestOffers
}

// Disconnect takes the end of a connection, whoever ended it.
func (m *ServerMachine) Disconnect(now time.Time, id PeerID) ServerEffects {
	m.now = now
	var fx ServerEffects
	if p, ok := m.peers[id]; ok {
		m.leave(&fx, p)
	}
	return fx
}

// Deadline returns when [ServerMachine.Expire] is due.
func (m *ServerMachine) Deadline() (time.Time, bool) { return m.clock.Next() }

// Expire ends the connections whose time for the handshake or for their device to
// come is over.
func (m *ServerMachine) Expire(now time.Time) ServerEffects {
	m.now = now
	var fx ServerEffects
	for {
		id, ok := m.clock.Pop(now)
		if !ok {
			return fx
		}
		p := m.peers[id]
		if p.state == ServerWaiting {
			m.refuse(&fx, p, transport.StatusPolicyViolation, fmt.Sprintf(textWaited, p.wanted))
			continue
		}
		m.drop(&fx, p, transport.StatusPolicyViolation, "handshake timed out")
	}
}

// refuse ends a connection with an error.
func (m *ServerMachine) refuse(fx *ServerEffects, p *peer, code transport.StatusCode, text string) {
	fx.send(p, &Error{Text: text})
	m.drop(fx, p, code, "")
}

// drop ends a connection after what was sent to it.
func (m *ServerMachine) drop(fx *ServerEffects, p *peer, code transport.StatusCode, reason string) {
	fx.Close = append(fx.Close, Closing{Peer: p.id, Code: code, Reason: reason})
	m.leave(fx, p)
}

// leave forgets a connection and tells the other side.
func (m *ServerMachine) leave(fx *ServerEffects, p *peer) {
	delete(m.peers, p.id)
	m.clock.Clear(p.id)
	switch p.state {
	case ServerRegistered:
		d := p.device
		delete(m.devices, d.id)
		for _, id := range slices.Sorted(maps.Keys(d.clients)) {
			c := d.clients[id]
			delete(d.clients, id)
			c.state, c.device = ServerNew, nil
			if m.cfg.WaitForDevice && m.cfg.ParkClients && !m.crowded(d.id) {
				m.wait(c)
				continue
			}
			m.refuse(fx, c, transport.StatusNormal, textDeviceGone)
		}
	case ServerAttached:
		d := p.device
		delete(d.clients, p.clientID)
		if d.peer.conn.Dialect == DialectDocument { // today's operator leaves the call alone
			fx.send(d.peer, &ClientDisconnected{ClientID: p.clientID})
		}
	case ServerWaiting:
		m.waits--
		rest := slices.DeleteFunc(m.waiting[p.wanted], func(c *peer) bool { return c == p })
		if m.waiting[p.wanted] = rest; len(rest) == 0 {
			delete(m.waiting, p.wanted)
		}
	}
	p.state, p.device = ServerNew, nil
}

func (m *ServerMachine) ask(fx *ServerEffects, p *peer, msg Message) {
	m.tickets++
	p.state, p.ticket, p.question = ServerDeciding, m.tickets, msg
	fx.Ask = append(fx.Ask, Question{Ticket{p.id, p.ticket}, msg})
}

func (fx *ServerEffects) send(p *peer, msg Message) {
	fx.Send = append(fx.Send, Delivery{p.id, msg})
}

// text chooses between the document's server and the operator.
func (p *peer) text(document, operator string) string {
	if p.conn.Dialect == DialectOperator {
		return operator
	}
	return document
}

// tooLong reports whether nobody may have or ask for a device id.
func (m *ServerMachine) tooLong(id string) bool {
	return m.cfg.DeviceIDBytes >= 0 && len(id) > m.cfg.DeviceIDBytes
}

// over reports whether one more than n would be over a limit; negative limits are
// none.
func over(n, limit int) bool { return limit >= 0 && n >= limit }

func (m *ServerMachine) expireAfter(p *peer, d time.Duration) {
	if d > 0 {
		m.clock.Set(p.id, m.now.Add(d))
	} else {
		m.clock.Clear(p.id)
	}
}
