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
const DefaultConnections = link.DefaultConnections

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
	Newcomers     int    // of them neither registered nor connected to a device; default half, more end the oldest one
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
	hub      *link.Hub[*ServerSession, Message]
	machine  *ServerMachine // stepped under the hub's lock
}

// A ServerSession is one connection of a server. Its methods may be called
// concurrently.
type ServerSession struct {
	server *Server
	conn   Connection
	member link.Member[*ServerSession, Message]
	decode serverDecoder

	mu       sync.Mutex
	deviceID string
}

// NewServer returns a server without connections.
func NewServer(opts *ServerOptions) *Server {
	s := new(Server)
	if opts != nil {
		s.opts = *opts
	}
	if s.log = s.opts.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.machine = NewServerMachine(s.opts.ServerConfig)
	s.hub = link.NewHub[*ServerSession, Message](stepped{s}, s.opts.Connections, s.opts.Newcomers)
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
	sess := &ServerSession{server: s, conn: c, decode: newServerDecoder(c)}
	sess.member.Session = sess
	opts := link.Options[Message]{
		Append: serverAppender(c), Done: free, Size: size,
		QueueMessages: s.opts.QueueMessages, QueueBytes: s.opts.QueueBytes,
		Limits: link.Limits(s.opts.Limits), Counters: &s.counters,
	}
	begin := func(now time.Time) { s.apply(s.machine.Connect(now, sess.ID(), c)) }
	err := s.hub.Serve(ctx, conn, &sess.member, opts, begin, func(ctx context.Context) error {
		if opening != nil {
			s.receive(ctx, sess, opening, nil)
		}
		return sess.member.RunFrames(func(typ transport.MessageType, f *link.Frame) {
			m, err := sess.decode(typ, f)
			if forward, ok := m.(*Forward); !ok || forward.frame == nil {
				f.Free()
			}
			s.receive(ctx, sess, m, err)
		})
	})
	if link.Orderly(err) {
		return nil
	}
	return fmt.Errorf("cuttlefish: serve %s: %w", c.Role, err)
}

// receive steps the machine with a message and answers what it asks.
func (s *Server) receive(ctx context.Context, sess *ServerSession, m Message, err error) {
	var questions []Question
	s.hub.Step(func(now time.Time) {
		if err != nil {
			e, ok := errors.AsType[*DecodeError](err)
			if !ok {
				e = &DecodeError{Err: err}
			}
			questions = s.apply(s.machine.Malformed(now, sess.ID(), e))
			return
		}
		questions = s.apply(s.machine.Receive(now, sess.ID(), m))
	})
	for _, q := range questions {
		d := s.decide(ctx, sess, q.Message)
		s.hub.Step(func(now time.Time) {
			s.apply(s.machine.Decide(now, q.Ticket, d))
			if state, _ := s.machine.State(sess.ID()); state >= ServerRegistered {
				s.hub.Admit(uint64(sess.ID()))
			}
		})
	}
}

// apply carries out the effects of a step under the hub's lock, except for the
// questions, which it returns.
func (s *Server) apply(fx ServerEffects) []Question {
	for _, d := range fx.Send {
		s.hub.Deliver(uint64(d.To), d.Message)
	}
	for _, c := range fx.Close {
		s.hub.End(uint64(c.Peer), c.Code, c.Reason)
	}
	return fx.Ask
}

// stepped is a server's machine as the hub sees it.
type stepped struct{ *Server }

func (s stepped) Disconnect(now time.Time, id uint64) { s.apply(s.machine.Disconnect(now, PeerID(id))) }
func (s stepped) Deadline() (time.Time, bool)         { return s.machine.Deadline() }
func (s stepped) Expire(now time.Time)                { s.apply(s.machine.Expire(now)) }

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
	if ok, err := s.hub.Send(uint64(id), m); ok {
		return err
	}
	return ErrUnknownPeer
}

// Sessions returns the connections that are open at the time of the call, in the order
// in which they came.
func (s *Server) Sessions() iter.Seq[*ServerSession] { return slices.Values(s.hub.Sessions()) }

// Device returns a registered device.
func (s *Server) Device(id string) (device DeviceEntry, ok bool) {
	s.hub.Locked(func() { device, ok = s.machine.Device(id) })
	return device, ok
}

// Devices returns the devices that are registered at the time of the call, by id.
func (s *Server) Devices() iter.Seq[DeviceEntry] {
	var all []DeviceEntry
	s.hub.Locked(func() { all = slices.Collect(s.machine.Devices()) })
	return slices.Values(all)
}

// Options returns what the server was made with, for what answers in its name by
// other means than a connection. What it refers to must not be changed.
func (s *Server) Options() ServerOptions { return s.opts }

// Stats returns what the server has read and written on all connections.
func (s *Server) Stats() Stats { return statsOf(&s.counters) }

// Close ends every connection with 1001 after what is queued for it, and waits for
// them. Later connections are closed at once.
func (s *Server) Close() error {
	s.hub.Close()
	return nil
}

// ID returns the name of the connection within its server.
func (s *ServerSession) ID() PeerID { return PeerID(s.member.ID()) }

// State returns where the connection stands, and false when it has ended.
func (s *ServerSession) State() (state ServerState, ok bool) {
	s.server.hub.Locked(func() { state, ok = s.server.machine.State(s.ID()) })
	return state, ok
}

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

// Send is [Server.Send] for this connection.
func (s *ServerSession) Send(m Message) error { return s.server.Send(s.ID(), m) }

// Close ends the connection after what is queued for it.
func (s *ServerSession) Close(code transport.StatusCode, reason string) {
	s.member.Close(code, reason)
}

func (s *ServerSession) name(deviceID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deviceID = deviceID
}
