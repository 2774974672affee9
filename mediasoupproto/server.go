package mediasoupproto

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/calls"
	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultConnections is how many connections a server holds at once.
const DefaultConnections = link.DefaultConnections

// The queue of a server's connection, by default.
const (
	DefaultQueueMessages = 1024
	DefaultQueueBytes    = 4 << 20
)

// ServerOptions say how a [Server] behaves. Nil and zero fields mean the defaults.
//
// The hooks are called in the goroutine of the connection that they are about, which reads
// no further meanwhile; nobody else waits. Their ctx has the values of that of
// [Server.Serve] and ends with the connection. A hook that returns an [*Error] has the
// client told just that; any other error is logged, and the client is told "not authorised"
// after Authenticate and
// AuthorizeRequest, "internal error" after Message.
type ServerOptions struct {
	// ServerConfig holds the rules of the protocol that are left to the server. NewID and
	// AskRequests are set by the server unless they are set here.
	ServerConfig

	Framing Framing // of all connections; default [Protoo]
	// Media moves the media; nil is a [NullEngine], for signaling alone.
	Media MediaEngine

	// Connection says in which room a new connection is, and by which name, unless that was
	// said by [WithConnection], as the handler of package mediasouphttp does. After an error
	// the connection is closed with 1008. Nil puts all into the room "", where they see each
	// other, and leaves the name to the join.
	Connection func(ctx context.Context) (Connection, error)
	// Authenticate looks at a join before anything comes of it, and may change its AppData,
	// which the others are shown. Nil refuses every join, unless AllowAll is set.
	Authenticate func(ctx context.Context, s *ServerSession, m *Join) error
	// AllowAll lets everybody in whose name is free, as mediasoup does.
	AllowAll bool
	// AuthorizeRequest is asked about each request of a peer: createTransport,
	// restartTransport, createProducer and enableConsumer; nil lets all happen. It must not
	// change the message.
	AuthorizeRequest func(ctx context.Context, s *ServerSession, m Message) error
	// Message takes the messages of the application, and returns the result of one that is a
	// request. Nil refuses the requests and ignores the rest.
	Message func(ctx context.Context, s *ServerSession, m *Application) (json.RawMessage, error)

	// OnJoined hears of each join after it has happened, in the goroutine of the connection,
	// whose end is that of ctx.
	OnJoined func(ctx context.Context, s *ServerSession)
	// OnLeft hears of the end of each peer after it has happened, and after OnJoined: it has
	// left, was thrown out, or its connection is gone. It is called in the goroutine that brought
	// that about, or in the one of OnJoined; its ctx does not end.
	OnLeft func(ctx context.Context, s *ServerSession, d Departure)

	Connections   int    // at once; default 20,000, negative without a limit
	Newcomers     int    // of them not joined; default half, more end the oldest one
	QueueMessages int    // waiting for one connection; default 1024, more end it
	QueueBytes    int    // their bytes; default 4 MiB
	MessageBytes  int    // of the largest message; default 1 MiB, more end the connection
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

	media   map[string]*mediaQueue // under the hub's lock
	left    []departed             // likewise; OnLeft has not heard of them yet
	working sync.WaitGroup
}

// A departed is what OnLeft is to hear.
type departed struct {
	sess *ServerSession
	Departure
}

// A ServerSession is one connection of a server. Its methods may be called
// concurrently.
type ServerSession struct {
	server *Server
	member link.Member[*ServerSession, Message]
	calls  *calls.Table[ID, *Response] // requests to the client
	values context.Context             // of Serve; it does not end

	entering bool // the application has not heard of its join yet; under the hub's lock
}

// NewServer returns a server without connections.
func NewServer(opts *ServerOptions) *Server {
	s := &Server{media: make(map[string]*mediaQueue)}
	if opts != nil {
		s.opts = *opts
	}
	if s.log = s.opts.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.Framing == nil {
		s.opts.Framing = Protoo
	}
	if s.opts.Media == nil {
		s.opts.Media = &NullEngine{NewText: newText}
	}
	cfg := s.opts.ServerConfig
	if cfg.NewID == nil {
		cfg.NewID = NewID
	}
	cfg.AskRequests = cfg.AskRequests || s.opts.AuthorizeRequest != nil
	s.machine = NewServerMachine(cfg)
	s.machine.lateJoins = true
	s.hub = link.NewHub[*ServerSession, Message](stepped{s}, s.opts.Connections, s.opts.Newcomers)
	return s
}

// newText returns n letters and digits that nobody can guess.
func newText(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz012345"
	text := make([]byte, n)
	_, _ = rand.Read(text) // never fails
	for i := range text {
		text[i] = alphabet[text[i]%32]
	}
	return string(text)
}

// socketIOSession returns an id of a session of Socket.IO.
func socketIOSession() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// connectionKey is that of a [Connection] in a context.
type connectionKey struct{}

// WithConnection returns a context for [Server.Serve] that says in which room the connection
// is, and by which name.
func WithConnection(ctx context.Context, c Connection) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// Serve serves a client until its connection has ended. It owns conn. The end of ctx ends
// the connection with 1001. It returns nil after an orderly end, why the connection ended
// otherwise.
func (s *Server) Serve(ctx context.Context, conn transport.Conn) error {
	info, known := ctx.Value(connectionKey{}).(Connection)
	if !known && s.opts.Connection != nil {
		var err error
		if info, err = s.opts.Connection(ctx); err != nil {
			s.log.InfoContext(ctx, "mediasoupproto: connection refused", "error", err)
			_ = conn.Close(transport.StatusPolicyViolation, "")
			return fmt.Errorf("mediasoupproto: serve: %w", err)
		}
	}
	sess := &ServerSession{server: s, calls: calls.NewTable[ID, *Response](0), values: context.WithoutCancel(ctx)}
	sess.member.Session = sess
	defer sess.calls.FailAll(ErrConnectionLost)
	opts := link.Options[Message]{
		Append: appender(s.opts.Framing), Size: size,
		QueueMessages: cmp.Or(s.opts.QueueMessages, DefaultQueueMessages),
		QueueBytes:    cmp.Or(s.opts.QueueBytes, DefaultQueueBytes),
		Limits:        link.Limits(s.opts.Limits), Counters: &s.counters,
		Answer: answersOf(s.opts.Framing),
	}
	begin := func(now time.Time) { s.apply(s.machine.Connect(now, sess.ID(), info)) }
	run := func(ctx context.Context) error {
		defer s.step(func(now time.Time) ServerEffects { return s.machine.Disconnect(now, sess.ID()) })
		s.tellLeft() // whom this connection has taken the place of
		decode := decoder(s.opts.Framing, max(cmp.Or(s.opts.MessageBytes, DefaultMessageBytes), 0))
		return sess.member.RunFrames(func(typ transport.MessageType, f *link.Frame) {
			m, err := decode(typ, f.Data)
			if len(f.Data) > maxSlack && err == nil {
				m = s.compacted(m)
			}
			f.Free()
			s.receive(ctx, sess, m, err)
		})
	}
	err := s.hub.Serve(ctx, s.opts.Framing.Open(conn, false), &sess.member, opts, begin, run)
	if link.Orderly(err) {
		return nil
	}
	return fmt.Errorf("mediasoupproto: serve: %w", err)
}

// maxSlack is how much of what a kept message came in may stay in memory beside it, in bytes.
const maxSlack = 4 << 10

// compacted returns a message of which something is kept as it is read from its own encoding. In
// memory the parts of a message have with them all that they came in, such as blanks and members
// of the frame, and the limits only count the parts. What is refused anyway stays as it is.
func (s *Server) compacted(m Message) Message {
	switch msg := m.(type) {
	case *Join:
		if msg.RTPCapabilities == nil || msg.RTPCapabilities.Codecs == nil {
			return m
		}
	case *CreateProducer:
	default:
		return m
	}
	if s.machine.cfg.Rules.validate(m) != nil {
		return m
	}
	f := Frame{Kind: FrameRequest, ID: m.head().RequestID}
	var err error
	if f.Data, err = appendPayload(nil, m); err != nil {
		return m
	}
	again, err := decodePayload(&f)
	if err != nil {
		return m
	}
	return again
}

// answersOf returns what recognises the answers that a client owes: those of protoo 2 to
// notifications.
func answersOf(framing Framing) func(typ transport.MessageType, msg []byte) bool {
	if framing != Protoo2 {
		return nil
	}
	return func(typ transport.MessageType, msg []byte) bool {
		f, err := framing.Parse(typ, msg)
		return err == nil && f.Kind == FrameResponse
	}
}

// receive steps the machine with a message and answers what it asks.
func (s *Server) receive(ctx context.Context, sess *ServerSession, m Message, err error) {
	if r, ok := m.(*Response); ok && sess.calls.Resolve(r.RequestID, r) {
		return
	}
	fx := s.step(func(now time.Time) ServerEffects {
		if err != nil {
			return s.machine.Malformed(now, sess.ID(), asDecodeError(err))
		}
		return s.machine.Receive(now, sess.ID(), m)
	})
	for _, q := range fx.Ask {
		d := s.decide(ctx, sess, q)
		_, joins := q.Message.(*Join)
		s.step(func(now time.Time) ServerEffects {
			fx := s.decided(now, q.Ticket, d)
			state, _ := s.machine.State(sess.ID()) // before others, who may end it at once
			joins = joins && state == ServerJoined
			sess.entering = joins
			return fx
		})
		if joins {
			s.tellJoined(ctx, sess)
		}
	}
}

// tellJoined tells the application of a join. Called under no lock.
func (s *Server) tellJoined(ctx context.Context, sess *ServerSession) {
	defer s.tellLeft()
	defer s.hub.Locked(func() { sess.entering = false })
	if s.opts.OnJoined != nil {
		s.opts.OnJoined(ctx, sess)
	}
}

// decide asks the application. Called under no lock.
func (s *Server) decide(ctx context.Context, sess *ServerSession, q Question) (d Decision) {
	var err error
	instead := ErrNotAuthorised
	switch msg := q.Message.(type) {
	case *Join:
		switch {
		case s.opts.Authenticate != nil:
			err = s.opts.Authenticate(ctx, sess, msg)
		case !s.opts.AllowAll:
			err = ErrNotAuthorised
		}
	case *Application:
		if s.opts.Message == nil {
			err = &Error{Code: CodeNoPeer, Reason: fmt.Sprintf("unknown request method %q", msg.Method)}
			break
		}
		instead = errInternal
		d.Result, err = s.opts.Message(ctx, sess, msg)
		if bad := (&Response{Head: Head{RequestID: "0"}, Result: d.Result}).Validate(); err == nil && bad != nil {
			d.Result, err = nil, bad
		}
	default:
		if s.opts.AuthorizeRequest != nil {
			err = s.opts.AuthorizeRequest(ctx, sess, msg)
		}
	}
	if err != nil {
		d.Refuse = s.refusal(ctx, sess, q.Message, err, instead)
	}
	return d
}

// refusal returns what a client hears of a hook's error.
func (s *Server) refusal(ctx context.Context, sess *ServerSession, m Message, err error, instead *Error) *Error {
	if e, ok := tellable(err); ok {
		return e
	}
	p, _ := sess.Peer()
	s.log.WarnContext(ctx, "mediasoupproto: refused",
		"message", name(m), "room", p.Room, "peer", p.PeerName, "connection", sess.ID(), "error", err)
	return instead
}

// tellable returns the [*Error] that an error is, if a client can be told it.
func tellable(err error) (*Error, bool) {
	e, ok := errors.AsType[*Error](err)
	return e, ok && e != nil && utf8.ValidString(e.Reason)
}

// decided gives the machine a decision. Called under the hub's lock.
func (s *Server) decided(now time.Time, t Ticket, d Decision) ServerEffects {
	fx := s.machine.Decide(now, t, d)
	if state, _ := s.machine.State(t.Peer); state == ServerJoined {
		s.hub.Admit(uint64(t.Peer))
	}
	return fx
}

// step runs a step of the machine under the hub's lock, carries out what it asks for,
// and returns the rest.
func (s *Server) step(f func(now time.Time) ServerEffects) (fx ServerEffects) {
	s.hub.Step(func(now time.Time) {
		fx = f(now)
		s.apply(fx)
	})
	s.tellLeft()
	return fx
}

// tellLeft tells the application of the peers that have ended, except those of whose joins it is
// still to hear. Called under no lock.
func (s *Server) tellLeft() {
	if s.opts.OnLeft == nil {
		return
	}
	var left []departed
	s.hub.Locked(func() {
		var later []departed
		for _, d := range s.left {
			if d.sess.entering {
				later = append(later, d)
			} else {
				left = append(left, d)
			}
		}
		s.left = later
	})
	for _, d := range left {
		s.opts.OnLeft(d.sess.values, d.sess, d.Departure)
	}
}

// apply queues deliveries, operations and closings. Called under the hub's lock.
func (s *Server) apply(fx ServerEffects) {
	var last *shared
	for i, d := range fx.Send {
		msg := d.Message
		switch {
		case last != nil && last.Message == msg:
			msg = last
		case i+1 < len(fx.Send) && fx.Send[i+1].Message == msg:
			last = newShared(msg)
			msg = last
		}
		s.hub.Deliver(uint64(d.To), msg)
	}
	for _, op := range fx.Media {
		s.enqueue(op)
	}
	if s.opts.OnLeft != nil {
		for _, d := range fx.Gone {
			if m := s.hub.Member(uint64(d.Peer)); m != nil {
				s.left = append(s.left, departed{m.Session, d})
			}
		}
	}
	for _, c := range fx.Close {
		s.hub.End(uint64(c.Peer), c.Code, c.Reason)
	}
}

// stepped is a server's machine as the hub sees it.
type stepped struct{ *Server }

func (s stepped) Disconnect(now time.Time, id uint64) { s.apply(s.machine.Disconnect(now, PeerID(id))) }
func (s stepped) Deadline() (time.Time, bool)         { return s.machine.Deadline() }
func (s stepped) Expire(now time.Time)                { s.apply(s.machine.Expire(now)) }

// ErrUnknownPeer: there is no such connection, peer, transport, producer or consumer.
var ErrUnknownPeer = errors.New("mediasoupproto: unknown peer")

// Send validates and queues a message for a connection, past the machine, and never blocks. It is
// for messages of the application, such as an [*Application]; the answer to a request is dropped,
// see [ServerSession.Ask]. The error is a [*ValidationError], a [*StateError] for what only
// clients send, [ErrUnknownPeer] or why the connection has ended.
func (s *Server) Send(id PeerID, m Message) error {
	if err := sendable(m); err != nil {
		return err
	}
	ok, err := s.hub.Send(uint64(id), m)
	if !ok {
		return ErrUnknownPeer
	}
	return err
}

// sendable returns why a server does not send a message.
func sendable(m Message) error {
	switch m.(type) {
	case *Application, *Unknown:
	default:
		if allowedStates(m) != nil { // a client's
			return stateError(ServerJoined, m)
		}
	}
	return m.Validate()
}

// SendRoom is [Server.Send] for all peers of a room.
func (s *Server) SendRoom(room string, m Message) error {
	if err := sendable(m); err != nil {
		return err
	}
	s.step(func(time.Time) (fx ServerEffects) {
		if r := s.machine.rooms[room]; r != nil {
			r.broadcast(&fx, m)
		}
		return fx
	})
	return nil
}

// Sessions returns the connections that are open at the time of the call, in the order in
// which they came.
func (s *Server) Sessions() iter.Seq[*ServerSession] { return slices.Values(s.hub.Sessions()) }

// Session returns the connection of a peer that has joined a room, or nil. Who has left it or
// was thrown out is found among [Server.Sessions].
func (s *Server) Session(room, peerName string) (sess *ServerSession) {
	s.hub.Locked(func() {
		if id, ok := s.machine.Find(room, peerName); ok {
			if m := s.hub.Member(uint64(id)); m != nil {
				sess = m.Session
			}
		}
	})
	return sess
}

// do runs a step that the application wants.
func (s *Server) do(f func(now time.Time) (ServerEffects, bool)) error {
	ok := false
	s.step(func(now time.Time) (fx ServerEffects) {
		fx, ok = f(now)
		return fx
	})
	if !ok {
		return ErrUnknownPeer
	}
	return nil
}

// checkAppData checks what the application gives for others.
func checkAppData(appData json.RawMessage) error {
	return (&Closed{AppData: appDataOf(appData)}).Validate()
}

// CloseRoom throws all peers out of a room. Like the methods below it returns
// [ErrUnknownPeer] when there is none, or a [*ValidationError] about the data.
func (s *Server) CloseRoom(name string) error {
	return s.do(func(now time.Time) (ServerEffects, bool) { return s.machine.CloseRoom(now, name) })
}

// CloseTransport closes a transport, of which its owner is told with the data.
func (s *Server) CloseTransport(id MediaID, appData json.RawMessage) error {
	return s.tell(appData, func(now time.Time, appData json.RawMessage) (ServerEffects, bool) {
		return s.machine.CloseTransport(now, id, appData)
	})
}

// PauseProducer pauses a producer, of which its owner is told with the data.
func (s *Server) PauseProducer(id MediaID, appData json.RawMessage) error {
	return s.tell(appData, func(now time.Time, appData json.RawMessage) (ServerEffects, bool) {
		return s.machine.PauseProducer(now, id, true, appData)
	})
}

// ResumeProducer ends what PauseProducer began. What the client has paused stays so.
func (s *Server) ResumeProducer(id MediaID, appData json.RawMessage) error {
	return s.tell(appData, func(now time.Time, appData json.RawMessage) (ServerEffects, bool) {
		return s.machine.PauseProducer(now, id, false, appData)
	})
}

// CloseProducer closes a producer, of which its owner is told with the data.
func (s *Server) CloseProducer(id MediaID, appData json.RawMessage) error {
	return s.tell(appData, func(now time.Time, appData json.RawMessage) (ServerEffects, bool) {
		return s.machine.CloseProducer(now, id, appData)
	})
}

// PauseConsumer pauses a consumer, of which its owner is told with the data.
func (s *Server) PauseConsumer(id MediaID, appData json.RawMessage) error {
	return s.tell(appData, func(now time.Time, appData json.RawMessage) (ServerEffects, bool) {
		return s.machine.PauseConsumer(now, id, true, appData)
	})
}

// ResumeConsumer ends what PauseConsumer began.
func (s *Server) ResumeConsumer(id MediaID, appData json.RawMessage) error {
	return s.tell(appData, func(now time.Time, appData json.RawMessage) (ServerEffects, bool) {
		return s.machine.PauseConsumer(now, id, false, appData)
	})
}

// SetPreferredProfile sets the stream that a consumer is to get, of which its owner is told.
func (s *Server) SetPreferredProfile(id MediaID, p Profile) error {
	return s.do(func(now time.Time) (ServerEffects, bool) { return s.machine.SetPreferredProfile(now, id, p) })
}

// RequestKeyFrame asks the producer of a consumer for a key frame.
func (s *Server) RequestKeyFrame(id MediaID) error {
	return s.do(func(now time.Time) (ServerEffects, bool) { return s.machine.RequestKeyFrame(now, id) })
}

func (s *Server) tell(appData json.RawMessage, f func(time.Time, json.RawMessage) (ServerEffects, bool)) error {
	if err := checkAppData(appData); err != nil {
		return err
	}
	return s.do(func(now time.Time) (ServerEffects, bool) { return f(now, appDataOf(appData)) })
}

// Stats returns what the server has read and written on all connections.
func (s *Server) Stats() Stats { return statsOf(&s.counters) }

// Close ends every connection with 1001 after what is queued for it, and waits for them and
// for the media. Later connections are closed at once.
func (s *Server) Close() error {
	s.hub.Close()
	s.working.Wait()
	return nil
}

// ID returns the name of the connection within its server.
func (s *ServerSession) ID() PeerID { return PeerID(s.member.ID()) }

// State returns where the connection stands, and false when it has ended.
func (s *ServerSession) State() (state ServerState, ok bool) {
	s.server.hub.Locked(func() { state, ok = s.server.machine.State(s.ID()) })
	return state, ok
}

// Peer returns what is known of the connection, and false when it has ended. It must not be
// changed.
func (s *ServerSession) Peer() (p PeerState, ok bool) {
	s.server.hub.Locked(func() { p, ok = s.server.machine.Peer(s.ID()) })
	return p, ok
}

// Ask sends a request of the application's own to the client and returns the result. A refusal
// is an [*Error]. The error is also what [Server.Send] says, [ErrTooManyCalls],
// [ErrConnectionLost], or why ctx has ended: clients need not answer.
func (s *ServerSession) Ask(ctx context.Context, method string, data json.RawMessage) (json.RawMessage, error) {
	m := &Application{Method: method, Data: data}
	pending, err := s.call(m)
	if err != nil {
		return nil, err
	}
	defer pending.Cancel()
	if err := s.Send(m); err != nil {
		return nil, err
	}
	r, err := pending.Wait(ctx)
	switch {
	case err != nil:
		return nil, err
	case r.Error != nil:
		return nil, r.Error
	}
	return r.Result, nil
}

// call begins a request to the client, which gets an id.
func (s *ServerSession) call(m *Application) (*calls.Call[ID, *Response], error) {
	for {
		m.RequestID = NumberID(newRequestID())
		pending, err := s.calls.Add(m.RequestID)
		switch {
		case errors.Is(err, calls.ErrDuplicate):
			continue
		case errors.Is(err, calls.ErrTooMany):
			return nil, ErrTooManyCalls
		}
		return pending, err
	}
}

// Send is [Server.Send] for this connection.
func (s *ServerSession) Send(m Message) error { return s.server.Send(s.ID(), m) }

// ClosePeer throws the peer out of its room, of which it and the others are told with the
// data. The connection stays, and may join again.
func (s *ServerSession) ClosePeer(appData json.RawMessage) error {
	return s.server.tell(appData, func(now time.Time, appData json.RawMessage) (ServerEffects, bool) {
		return s.server.machine.ClosePeer(now, s.ID(), appData)
	})
}

// Close ends the connection after what is queued for it. [CloseByServer] keeps clients of
// protoo from coming back by themselves.
func (s *ServerSession) Close(code transport.StatusCode, reason string) {
	s.member.Close(code, reason)
}
