package msejsonrpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultConnections is how many connections a server holds at once.
const DefaultConnections = link.DefaultConnections

// ServerOptions say how a [Server] behaves. Nil and zero fields mean the defaults.
type ServerOptions struct {
	// ServerConfig holds the rules of the protocol that are left to the server.
	ServerConfig

	Form Form // how SendOffer and SendCandidate write

	// Authenticate decides about the token of an auth and says whom it stands for. It is
	// called under no lock; the connection waits for it, no other does. An [*Error] goes
	// to the client as it is, [ErrAuthorizationFailed] for a token that is refused; any
	// other error is logged and said to be internal. Nil refuses every token, unless
	// AllowAll is set. Package msejwt has one for JSON Web Tokens.
	Authenticate func(ctx context.Context, s *ServerSession, auth *Auth) (*Identity, error)
	// AllowAll lets everybody in, whatever the token, for development. Who they are is not
	// known.
	AllowAll bool
	// AuthorizeStart decides in the same way whether a client may start; return
	// [ErrUnauthorizedAccess] to refuse it. Nil asks nobody but the entitlements.
	AuthorizeStart func(ctx context.Context, s *ServerSession) error
	// Handle is the session of a client from start to end, in a goroutine of its own: it
	// reads what the client sends with Next or Messages, and sends. ctx ends with the
	// connection. When Handle returns, the connection is closed, with 1011 after an
	// error. Nil discards what clients send.
	Handle func(ctx context.Context, s *ServerSession) error
	// OnExpired hears of an active session whose token has expired: what happens to its
	// media is the application's decision. It is called under no lock and must not block.
	OnExpired func(s *ServerSession)
	// OnIgnored hears of messages that broke the rules without asking for an answer. It
	// is called under no lock and must not block.
	OnIgnored func(s *ServerSession, v Violation)

	Connections   int    // at once; default 20,000, negative without a limit
	Newcomers     int    // of them not authenticated; default half, more end the oldest one
	Inbox         int    // messages waiting for Handle; default 256, more end the session
	QueueMessages int    // waiting for one connection; default 256, more end it
	QueueBytes    int    // their bytes; default 1 MiB
	MessageBytes  int    // of the largest message; default 256 KiB, more end the connection with 1009
	Limits        Limits // of what one connection may send

	Logger *slog.Logger // nil discards
}

// A Server is a server's side for as many connections as come to [Server.Serve]. Its
// methods may be called concurrently.
//
// Nothing that one connection does makes another wait: a peer that does not read loses
// its connection when its queue is full.
type Server struct {
	opts     ServerOptions
	log      *slog.Logger
	counters link.Counters
	hub      *link.Hub[*ServerSession, Message]
	machine  *ServerMachine // stepped under the hub's lock
	decode   func(typ transport.MessageType, data []byte) (Message, error)
}

// A ServerSession is one connection of a server. Its methods may be called
// concurrently.
type ServerSession struct {
	server *Server
	member link.Member[*ServerSession, Message]
	inbox  *link.Inbox[Message]

	work     sync.WaitGroup // Handle
	slow     atomic.Bool    // Handle does not read
	panicked string         // what Handle did, with its stack; read after work
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
	s.decode = decoder(cmp.Or(s.opts.MessageBytes, DefaultMessageBytes))
	s.machine = NewServerMachine(s.opts.ServerConfig)
	s.hub = link.NewHub[*ServerSession, Message](stepped{s}, s.opts.Connections, s.opts.Newcomers)
	return s
}

// Serve serves a client until its connection and its Handle have ended. It owns conn.
// The end of ctx ends the connection with 1001. It returns nil after an orderly end, why
// the connection ended otherwise.
func (s *Server) Serve(ctx context.Context, conn transport.Conn) error {
	sess := &ServerSession{server: s, inbox: link.NewInbox[Message](s.opts.Inbox)}
	sess.member.Session = sess
	opts := link.Options[Message]{
		Append: appendMessage, Size: size,
		QueueMessages: s.opts.QueueMessages, QueueBytes: s.opts.QueueBytes,
		Limits: link.Limits(s.opts.Limits), Counters: &s.counters,
	}
	begin := func(now time.Time) { s.apply(s.machine.Connect(now, sess.ID(), Connection{})) }
	err := s.hub.Serve(ctx, conn, &sess.member, opts, begin, sess.run)
	if link.Orderly(err) {
		return nil
	}
	return fmt.Errorf("msejsonrpc: serve: %w", err)
}

// run reads until the connection has ended, and waits for Handle.
func (s *ServerSession) run(ctx context.Context) error {
	err := transport.ErrClosed // for a panic of a hook
	defer func() {
		s.inbox.End(err)
		s.work.Wait()
		if s.panicked != "" {
			panic(s.panicked) // here those who called Serve can recover it, as from the other hooks
		}
	}()
	err = s.member.RunFrames(func(typ transport.MessageType, f *link.Frame) {
		m, err := s.server.decode(typ, f.Data)
		f.Free()
		s.server.receive(ctx, s, m, err)
	})
	if s.slow.Load() {
		err = ErrSlowConsumer
	}
	// The connection has ended, however long Handle takes to hear of it.
	s.server.step(func(now time.Time) ServerEffects { return s.server.machine.Disconnect(now, s.ID()) })
	return err
}

// receive steps the machine with a message and answers what it asks.
func (s *Server) receive(ctx context.Context, sess *ServerSession, m Message, err error) {
	fx := s.step(func(now time.Time) ServerEffects {
		if err != nil {
			e, ok := errors.AsType[*DecodeError](err)
			if !ok {
				e = &DecodeError{Err: err, Code: CodeParseError}
			}
			return s.machine.Malformed(now, sess.ID(), e)
		}
		return s.machine.Receive(now, sess.ID(), m)
	})
	if s.opts.OnIgnored != nil {
		for _, v := range fx.Ignored {
			s.opts.OnIgnored(sess, v)
		}
	}
	for _, q := range fx.Ask {
		d := s.decide(ctx, sess, q.Message)
		decided := s.step(func(now time.Time) ServerEffects { return s.decided(now, q.Ticket, d) })
		if d.Refuse != nil || len(decided.Send) == 0 || ctx.Err() != nil {
			continue // or the connection ended while the application thought about it
		}
		if _, ok := q.Message.(*Start); ok && s.opts.Handle != nil {
			sess.work.Go(func() { s.handle(ctx, sess) })
		}
	}
}

// handle runs the application's side of an active session.
func (s *Server) handle(ctx context.Context, sess *ServerSession) {
	code := transport.StatusInternalError // for a panic
	defer func() {
		if p := recover(); p != nil {
			sess.panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
		}
		sess.Close(code, "")
	}()
	err := s.opts.Handle(ctx, sess)
	if err == nil || ctx.Err() != nil {
		code = transport.StatusNormal
		return
	}
	s.log.ErrorContext(ctx, "msejsonrpc: a session failed", "session", sess.ID(), "error", err)
}

// decided gives the machine a decision. Called under the hub's lock.
func (s *Server) decided(now time.Time, t Ticket, d Decision) ServerEffects {
	fx := s.machine.Decide(now, t, d)
	if state, _ := s.machine.State(t.Peer); state >= ServerAuthorized {
		s.hub.Admit(uint64(t.Peer))
	}
	return fx
}

// step runs a step of the machine under the hub's lock, carries out what it asks for,
// and returns the rest: of Send only its length means anything then.
func (s *Server) step(f func(now time.Time) ServerEffects) (fx ServerEffects) {
	s.hub.Step(func(now time.Time) {
		fx = f(now)
		s.apply(fx)
	})
	return fx
}

// apply queues deliveries and closings. Called under the hub's lock.
func (s *Server) apply(fx ServerEffects) {
	for _, d := range fx.Send {
		s.hub.Deliver(uint64(d.To), d.Message)
	}
	for _, d := range fx.Deliver {
		if m := s.hub.Member(uint64(d.To)); m != nil && s.opts.Handle != nil && !m.Session.inbox.Put(d.Message) {
			s.log.Warn("msejsonrpc: the application is too slow for a session", "session", d.To)
			m.Session.slow.Store(true)
			m.Close(transport.StatusInternalError, "application too slow")
		}
	}
	for _, id := range fx.Expired {
		if m := s.hub.Member(uint64(id)); m != nil && s.opts.OnExpired != nil {
			go s.opts.OnExpired(m.Session)
		}
	}
	for _, c := range fx.Close {
		s.hub.End(uint64(c.Peer), c.Code, c.Reason)
	}
	s.machine.carriedOut(fx.Send)
}

// stepped is a server's machine as the hub sees it.
type stepped struct{ *Server }

func (s stepped) Disconnect(now time.Time, id uint64) { s.apply(s.machine.Disconnect(now, PeerID(id))) }
func (s stepped) Deadline() (time.Time, bool)         { return s.machine.Deadline() }
func (s stepped) Expire(now time.Time)                { s.apply(s.machine.Expire(now)) }

// decide asks the application. Called under no lock.
func (s *Server) decide(ctx context.Context, sess *ServerSession, m Message) (d Decision) {
	var err error
	switch m := m.(type) {
	case *Auth:
		err = ErrAuthorizationFailed
		if s.opts.Authenticate != nil {
			d.Identity, err = s.opts.Authenticate(ctx, sess, m)
		} else if s.opts.AllowAll {
			d.Identity, err = new(Identity), nil
		}
		if err == nil {
			_, err = validTo(d.Identity)
		}
	case *Start:
		if s.opts.AuthorizeStart != nil {
			err = s.opts.AuthorizeStart(ctx, sess)
		}
	}
	if err == nil {
		return d
	}
	refusal, ok := errors.AsType[*Error](err)
	if ok {
		if invalid := refusal.validate(); invalid != nil { // it cannot be written
			ok, err = false, invalid
		}
	}
	if !ok {
		s.log.ErrorContext(ctx, "msejsonrpc: a decision failed", "session", sess.ID(), "method", m.wireType(), "error", err)
		refusal = ErrInternal
	}
	return Decision{Refuse: refusal}
}

// ErrUnknownPeer: no connection of that name is open.
var ErrUnknownPeer = errors.New("msejsonrpc: unknown peer")

// Send validates and queues a message for a connection, past the machine, and never
// blocks. It is for descriptions and candidates of an active session and for messages of
// the application's own methods.
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

// Identity returns whom the client has authenticated as, or nil before it has and after
// the end. It must not be changed.
func (s *ServerSession) Identity() (i *Identity) {
	s.server.hub.Locked(func() { i = s.server.machine.Identity(s.ID()) })
	return i
}

// Send validates and queues a message and never blocks. Descriptions and candidates are
// for active sessions. The error is a [*ValidationError], a [*StateError] or why the
// connection has ended.
func (s *ServerSession) Send(m Message) error {
	switch m.(type) {
	case *ICECandidate, *SDPOffer:
		if state, ok := s.State(); ok && state != ServerActive {
			return &StateError{State: state, Type: m.wireType(), Required: []string{ServerActive.String()}}
		}
	case *Ping, *Auth, *Start, *WhoAmI, *Disconnect: // what only clients send
		state, _ := s.State()
		return &StateError{State: state, Type: m.wireType()}
	}
	if err := m.Validate(); err != nil {
		return err
	}
	return s.member.Send(m)
}

// SendOffer sends a description, an offer or an answer. It does not block.
func (s *ServerSession) SendOffer(d SessionDescription) error {
	return s.Send(NewSDPOffer(d, s.server.opts.Form))
}

// SendCandidate sends a candidate, or with an empty one the end of the candidates. It
// does not block.
func (s *ServerSession) SendCandidate(c ICECandidateInit) error {
	return s.Send(NewICECandidate(c, s.server.opts.Form))
}

// Chat sends a chat message to the client, from the application. It does not block.
func (s *ServerSession) Chat(message string, attachment json.RawMessage, to ...string) error {
	return s.Send(&Chat{To: to, Message: message, Attachment: attachment})
}

// Next returns the next message of the client for Handle: a description or a candidate.
// After the end it returns io.EOF when that was orderly, its cause otherwise. The end of
// ctx does not hurt the session. When the connection ends, which ends Handle's ctx, Next
// still returns what came before that.
func (s *ServerSession) Next(ctx context.Context) (Message, error) {
	m, err := s.inbox.Next(ctx)
	if err != nil && ctx.Err() != nil && s.member.Ending() {
		return s.inbox.Next(context.WithoutCancel(ctx)) // the inbox ends with the connection
	}
	return m, err
}

// Messages returns what Next returns, one by one. An error comes last, except for the
// orderly end.
func (s *ServerSession) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return link.Each(ctx, s.Next)
}

// Close ends the connection after what is queued for it.
func (s *ServerSession) Close(code transport.StatusCode, reason string) {
	s.member.Close(code, reason)
}
