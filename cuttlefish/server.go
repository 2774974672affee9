package cuttlefish

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultConnections is how many connections a server holds at once.
const DefaultConnections = 20_000

// ServerOptions say how a [Server] behaves. Nil and zero fields mean the defaults.
type ServerOptions struct {
	// ServerConfig holds the rules and limits of the registry.
	ServerConfig

	// ICEServers are what every device and client is told to use.
	ICEServers []ICEServer
	// ICEServersFor returns the ICE servers of one connection instead, for TURN
	// credentials that are made for it. It is called once for each device and client,
	// after it was authorized, under no lock. Devices and clients should get the same
	// URLs.
	ICEServersFor func(ctx context.Context, s *ServerSession) ([]ICEServer, error)

	// AuthorizeDevice decides whether a device may register. It is called under no
	// lock; the connection waits for it, no other does. An [*Error] goes to the
	// device as it is; any other error is logged and said to be internal. Nil admits
	// every device, which the protocol document has in mind for development only.
	AuthorizeDevice func(ctx context.Context, s *ServerSession, r *Register) error
	// AuthorizeClient decides in the same way whether a client may connect.
	AuthorizeClient func(ctx context.Context, s *ServerSession, c *Connect) error

	Connections   int    // at once; default 20,000, negative without a limit
	QueueMessages int    // waiting for one connection; default 256, more end it
	QueueBytes    int    // their bytes; default 1 MiB
	Limits        Limits // of what one connection may send

	Logger *slog.Logger // nil discards
}

// A Server is a signaling server: one registry, and as many connections as come to
// [Server.ServeDevice], [Server.ServeClient] and their operator's counterparts. Its
// methods may be called concurrently.
//
// Nothing that one connection does makes another wait: a peer that does not read
// loses its connection when its queue is full.
type Server struct {
	opts     ServerOptions
	log      *slog.Logger
	counters link.Counters
	serving  sync.WaitGroup

	mu       sync.Mutex // guards what follows; held for steps of the machine and for queueing only
	machine  *ServerMachine
	sessions map[PeerID]*ServerSession
	last     PeerID
	timer    *time.Timer
	closed   bool
}

// A ServerSession is one connection of a server. Its methods may be called
// concurrently.
type ServerSession struct {
	server *Server
	id     PeerID
	conn   Connection
	link   *link.Link[Message]
	decode serverDecoder
	giveUp context.CancelFunc // ends the context of the hooks

	mu       sync.Mutex
	deviceID string
}

// NewServer returns a server without connections.
func NewServer(opts *ServerOptions) *Server {
	s := &Server{sessions: make(map[PeerID]*ServerSession)}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Connections == 0 {
		s.opts.Connections = DefaultConnections
	}
	if s.log = s.opts.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.machine = NewServerMachine(s.opts.ServerConfig)
	return s
}

// ServeDevice serves a device on the document's /register_device until its connection
// ends. It owns conn. The end of ctx ends the connection with 1001. It returns nil
// after an orderly end, why the connection ended otherwise.
func (s *Server) ServeDevice(ctx context.Context, conn transport.Conn) error {
	return s.serve(ctx, conn, Connection{RoleDevice, DialectDocument}, nil)
}

// ServeClient serves a client on the document's /connect_client, as
// [Server.ServeDevice] does a device.
func (s *Server) ServeClient(ctx context.Context, conn transport.Conn) error {
	return s.serve(ctx, conn, Connection{RoleClient, DialectDocument}, nil)
}

// ServeOperatorDevice serves a device on today's operator's device socket.
func (s *Server) ServeOperatorDevice(ctx context.Context, conn transport.Conn) error {
	return s.serve(ctx, conn, Connection{RoleDevice, DialectOperator}, nil)
}

// ServeOperatorClient serves a client of today's operator: of /devices/{id}/connect, or
// of the polling set.
func (s *Server) ServeOperatorClient(ctx context.Context, conn transport.Conn, deviceID string) error {
	return s.serve(ctx, conn, Connection{RoleClient, DialectOperator}, &Connect{DeviceID: deviceID})
}

// serve runs a connection. opening is what the peer has said by other means.
func (s *Server) serve(ctx context.Context, conn transport.Conn, c Connection, opening Message) error {
	l := link.New(conn, link.Options[Message]{
		Append: serverAppender(c), Done: free, Size: size,
		QueueMessages: s.opts.QueueMessages, QueueBytes: s.opts.QueueBytes,
		Limits: link.Limits(s.opts.Limits), Counters: &s.counters,
	})
	sess := &ServerSession{server: s, conn: c, link: l, decode: newServerDecoder(c)}
	hooks, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	sess.giveUp = giveUp
	if err := s.open(sess); err != nil {
		code := transport.StatusTryAgainLater
		if errors.Is(err, ErrServerClosed) {
			code = transport.StatusGoingAway
		}
		_ = conn.Close(code, "")
		return err
	}
	defer s.serving.Done()
	defer s.forget(sess) // even when a hook panics
	stop := context.AfterFunc(ctx, func() {
		l.Close(transport.StatusGoingAway, "", ctx.Err()) // before a hook returns the end as its error
		giveUp()
	})
	defer stop()
	if opening != nil {
		s.receive(hooks, sess, opening, nil)
	}
	err := l.RunFrames(func(typ transport.MessageType, f *link.Frame) {
		m, err := sess.decode(typ, f)
		if forward, ok := m.(*Forward); !ok || forward.frame == nil {
			f.Free()
		}
		s.receive(hooks, sess, m, err)
	})
	if link.Orderly(err) {
		return nil
	}
	return fmt.Errorf("cuttlefish: serve %s: %w", c.Role, err)
}

// errTooManyConnections is what serve returns over the limit.
var errTooManyConnections = errors.New("cuttlefish: too many connections")

// open gives a connection its name.
func (s *Server) open(sess *ServerSession) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrServerClosed
	case over(len(s.sessions), s.opts.Connections):
		return errTooManyConnections
	}
	s.last++
	sess.id = s.last
	s.sessions[sess.id] = sess
	s.serving.Add(1)
	s.apply(s.machine.Connect(time.Now(), sess.id, sess.conn))
	return nil
}

// forget takes a connection that has ended from the registry.
func (s *Server) forget(sess *ServerSession) {
	s.step(func(now time.Time) ServerEffects {
		delete(s.sessions, sess.id)
		return s.machine.Disconnect(now, sess.id)
	})
}

// receive steps the machine with a message and answers what it asks.
func (s *Server) receive(ctx context.Context, sess *ServerSession, m Message, err error) {
	questions := s.step(func(now time.Time) ServerEffects {
		if err != nil {
			e, ok := errors.AsType[*DecodeError](err)
			if !ok {
				e = &DecodeError{Err: err}
			}
			return s.machine.Malformed(now, sess.id, e)
		}
		return s.machine.Receive(now, sess.id, m)
	})
	for _, q := range questions {
		d := s.decide(ctx, sess, q.Message)
		s.step(func(now time.Time) ServerEffects { return s.machine.Decide(now, q.Ticket, d) })
	}
}

// step runs a step of the machine and carries out what it asks for, except for the
// questions, which it returns.
func (s *Server) step(f func(now time.Time) ServerEffects) []Question {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(f(time.Now()))
}

// apply queues deliveries and closings. Called under the lock.
func (s *Server) apply(fx ServerEffects) []Question {
	var slow []PeerID
	for _, d := range fx.Send {
		if to, ok := s.sessions[d.To]; ok && errors.Is(to.link.Send(d.Message), ErrSlowPeer) {
			slow = append(slow, d.To)
		}
	}
	for _, c := range fx.Close {
		if sess, ok := s.sessions[c.Peer]; ok {
			sess.link.Close(c.Code, c.Reason, nil)
			sess.giveUp()
		}
	}
	for _, id := range slow { // closing may take a while with a peer that does not read
		s.apply(s.machine.Disconnect(time.Now(), id))
	}
	s.alarm()
	return fx.Ask
}

// alarm sets the clock to the machine's next deadline. Called under the lock.
func (s *Server) alarm() {
	at, ok := s.machine.Deadline()
	switch {
	case !ok && s.timer != nil:
		s.timer.Stop()
	case ok && s.timer == nil:
		s.timer = time.AfterFunc(time.Until(at), func() { s.step(s.machine.Expire) })
	case ok:
		s.timer.Reset(time.Until(at))
	}
}

// decide asks the application. Called under no lock.
func (s *Server) decide(ctx context.Context, sess *ServerSession, m Message) Decision {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var err error
	switch m := m.(type) {
	case *Register:
		sess.name(m.DeviceID)
		if s.opts.AuthorizeDevice != nil {
			err = s.opts.AuthorizeDevice(ctx, sess, m)
		}
	case *Connect:
		sess.name(m.DeviceID)
		if s.opts.AuthorizeClient != nil {
			err = s.opts.AuthorizeClient(ctx, sess, m)
		}
	}
	d := Decision{ICEServers: s.opts.ICEServers}
	if err == nil && s.opts.ICEServersFor != nil {
		d.ICEServers, err = s.opts.ICEServersFor(ctx, sess)
	}
	if err == nil {
		err = validateICEServers("config", d.ICEServers)
	}
	if err == nil {
		return d
	}
	refusal, ok := errors.AsType[*Error](err)
	if !ok {
		s.log.ErrorContext(ctx, "cuttlefish: deciding on a connection failed",
			"role", sess.conn.Role, "device", sess.DeviceID(), "error", err)
		refusal = &Error{Text: textInternal}
	}
	return Decision{Refuse: refusal}
}

// ErrUnknownPeer: no connection of that name is open.
var ErrUnknownPeer = errors.New("cuttlefish: unknown peer")

// Send validates and queues a message for a connection, past the machine, and never
// blocks. It is for messages of the application's own types and for a new [*Config].
func (s *Server) Send(id PeerID, m Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	sess, ok := s.sessions[id]
	s.mu.Unlock()
	if !ok {
		return ErrUnknownPeer
	}
	return sess.link.Send(m)
}

// Sessions returns the connections that are open at the time of the call, in the order
// in which they came.
func (s *Server) Sessions() iter.Seq[*ServerSession] {
	s.mu.Lock()
	all := make([]*ServerSession, 0, len(s.sessions))
	for _, sess := range s.sessions {
		all = append(all, sess)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *ServerSession) int { return int(a.id) - int(b.id) })
	return slices.Values(all)
}

// Device returns a registered device.
func (s *Server) Device(id string) (DeviceEntry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machine.Device(id)
}

// Devices returns the devices that are registered at the time of the call, by id.
func (s *Server) Devices() iter.Seq[DeviceEntry] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Values(slices.Collect(s.machine.Devices()))
}

// Options returns what the server was made with, for what answers in its name by
// other means than a connection. What it refers to must not be changed.
func (s *Server) Options() ServerOptions { return s.opts }

// Stats returns what the server has read and written on all connections.
func (s *Server) Stats() Stats { return statsOf(&s.counters) }

// Close ends every connection with 1001 after what is queued for it, and waits for
// them. Later connections are closed at once.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, sess := range s.sessions {
		sess.link.Close(transport.StatusGoingAway, "server closed", nil)
		sess.giveUp()
	}
	s.mu.Unlock()
	s.serving.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	return nil
}

// ID returns the name of the connection within its server.
func (s *ServerSession) ID() PeerID { return s.id }

// Role returns what the connection is for.
func (s *ServerSession) Role() Role { return s.conn.Role }

// Dialect returns how the connection speaks.
func (s *ServerSession) Dialect() Dialect { return s.conn.Dialect }

// DeviceID returns the device that the connection registered or asked for, or "" when
// it has not yet.
func (s *ServerSession) DeviceID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deviceID
}

// State returns where the connection stands, and false when it has ended.
func (s *ServerSession) State() (ServerState, bool) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	return s.server.machine.State(s.id)
}

// Close ends the connection after what is queued for it.
func (s *ServerSession) Close(code transport.StatusCode, reason string) {
	s.link.Close(code, reason, nil)
}

func (s *ServerSession) name(deviceID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deviceID = deviceID
}
