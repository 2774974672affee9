package galene

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
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

// DefaultRefusalDelay is how long a client with bad credentials waits for its answer.
const DefaultRefusalDelay = 200 * time.Millisecond

// ServerOptions say how a [Server] behaves. Nil and zero fields mean the defaults.
type ServerOptions struct {
	// ServerConfig holds the rules of the protocol that are left to the server. NewID,
	// Media and Recorder are set by the server.
	ServerConfig

	// Groups are the groups that there are, and who may join them. Nil has none.
	Groups GroupStore
	// Tokens keeps the invitations that operators make. Nil keeps them in memory.
	Tokens TokenStore
	// Router moves the media; package galenepion has one for groups of any size. Nil
	// relays the streams between the two members of a group.
	Router MediaRouter
	// Record records a group, in a goroutine of its own, from a record action to
	// unrecord or until nobody is left: over conn it speaks with the server as a client
	// that may join the group, under any name, without credentials. ctx ends with conn. Nil
	// does not record.
	Record func(ctx context.Context, group string, conn transport.Conn) error
	// Address says where a client is, from the context of [Server.Serve]: operators may
	// ask for it. Nil does not tell.
	Address func(ctx context.Context) net.Addr

	RefusalDelay time.Duration // of the answer to bad credentials; default 200 ms, negative none

	Connections   int    // at once; default 20,000, negative without a limit
	Newcomers     int    // of them in no group so far; default half, more end the oldest one
	Inbox         int    // messages of a member waiting for Router; default 256, more end the connection
	QueueMessages int    // waiting for one connection; default 4096, more end it: who joins is told of all members at once
	QueueBytes    int    // their bytes; default 4 MiB
	MessageBytes  int    // of the largest message; default 1 MiB, more end the connection with 1009
	Limits        Limits // of what one connection may send

	Logger *slog.Logger // nil discards
}

// A MediaRouter moves the media of a server's members.
type MediaRouter interface {
	// Serve is the media of one member, from its joining a group to its leaving, in a
	// goroutine of its own: it reads offers, answers, candidates and requests with Next
	// or Messages, and sends. ctx ends when the member leaves, and Next returns io.EOF.
	// An error closes the connection with 1011; after nil the member goes on without media.
	// A stream that ended otherwise than by its
	// member comes as a [*Close], too; those who receive it have been told already.
	Serve(ctx context.Context, m *MediaMember) error
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
	media    map[PeerID]*MediaMember
	decode   func(typ transport.MessageType, data []byte) (Message, error)
	work     sync.WaitGroup // recorders
}

// A ServerSession is one connection of a server. Its methods may be called
// concurrently.
type ServerSession struct {
	server *Server
	member link.Member[*ServerSession, Message]
	ctx    context.Context // of the hooks
	system string

	work     sync.WaitGroup // the media router
	mu       sync.Mutex
	panicked string // what the media router did, with its stack
}

// NewServer returns a server without connections.
func NewServer(opts *ServerOptions) *Server {
	s := &Server{media: make(map[PeerID]*MediaMember)}
	if opts != nil {
		s.opts = *opts
	}
	if s.log = s.opts.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.Groups == nil {
		s.opts.Groups = Groups{}
	}
	if s.opts.Tokens == nil {
		s.opts.Tokens = new(Tokens)
	}
	s.opts.RefusalDelay = cmp.Or(s.opts.RefusalDelay, DefaultRefusalDelay)
	cfg := s.opts.ServerConfig
	cfg.Media, cfg.Recorder = s.opts.Router != nil, s.opts.Record != nil
	if cfg.NewID == nil {
		cfg.NewID = NewID
	}
	s.decode = decoder(cmp.Or(s.opts.MessageBytes, DefaultMessageBytes), true)
	s.machine = NewServerMachine(cfg)
	s.hub = link.NewHub[*ServerSession, Message](stepped{s}, s.opts.Connections, s.opts.Newcomers)
	return s
}

// Serve serves a client until its connection has ended. It owns conn. The end of ctx ends
// the connection with 1001. It returns nil after an orderly end, why the connection ended
// otherwise.
func (s *Server) Serve(ctx context.Context, conn transport.Conn) error {
	return s.serveAddress(ctx, conn, Connection{})
}

// ServeProgram is [Server.Serve] for a client that is no user, such as one that publishes a
// stream for somebody else: members cannot write to it, and operators not change what it
// may do.
func (s *Server) ServeProgram(ctx context.Context, conn transport.Conn) error {
	return s.serveAddress(ctx, conn, Connection{Program: true})
}

// serveAddress is serve for a client that has an address.
func (s *Server) serveAddress(ctx context.Context, conn transport.Conn, c Connection) error {
	if s.opts.Address != nil {
		if addr := s.opts.Address(ctx); addr != nil {
			c.Address = addr.String()
		}
	}
	return s.serve(ctx, conn, c)
}

func (s *Server) serve(ctx context.Context, conn transport.Conn, c Connection) error {
	sess := &ServerSession{server: s, system: c.System}
	sess.member.Session = sess
	opts := link.Options[Message]{
		Append: appendMessage, Size: size,
		QueueMessages: cmp.Or(s.opts.QueueMessages, DefaultQueueMessages),
		QueueBytes:    cmp.Or(s.opts.QueueBytes, DefaultQueueBytes),
		Limits:        link.Limits(s.opts.Limits), Counters: &s.counters,
	}
	begin := func(now time.Time) {
		s.apply(s.machine.Connect(now, sess.ID(), c))
		if c.System != "" {
			s.hub.Admit(uint64(sess.ID()))
		}
	}
	err := s.hub.Serve(ctx, conn, &sess.member, opts, begin, sess.run)
	if link.Orderly(err) {
		return nil
	}
	return fmt.Errorf("galene: serve: %w", err)
}

// run reads until the connection has ended, and waits for the media router.
func (s *ServerSession) run(ctx context.Context) error {
	s.ctx = ctx
	defer func() {
		// The connection has ended, however long the router takes to hear of it.
		s.server.step(func(now time.Time) ServerEffects { return s.server.machine.Disconnect(now, s.ID()) })
		s.work.Wait()
		if s.panicked != "" {
			panic(s.panicked) // here those who called Serve can recover it, as from the other hooks
		}
	}()
	return s.member.RunFrames(func(typ transport.MessageType, f *link.Frame) {
		m, err := s.server.decode(typ, f.Data)
		f.Free()
		s.server.receive(ctx, s, m, err)
	})
}

// receive steps the machine with a message and answers what it asks.
func (s *Server) receive(ctx context.Context, sess *ServerSession, m Message, err error) {
	fx := s.step(func(now time.Time) ServerEffects {
		if err != nil {
			return s.machine.Malformed(now, sess.ID(), asDecodeError(err))
		}
		return s.machine.Receive(now, sess.ID(), m)
	})
	for _, q := range fx.Ask {
		d := s.decide(ctx, sess, q)
		s.step(func(now time.Time) ServerEffects { return s.decided(now, q.Ticket, d) })
	}
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
	return fx
}

// apply queues deliveries and closings. Called under the hub's lock.
func (s *Server) apply(fx ServerEffects) {
	for i := 0; i < len(fx.Send); {
		n := 1 // how many get the same message
		for i+n < len(fx.Send) && fx.Send[i+n].Message == fx.Send[i].Message {
			n++
		}
		msg := fx.Send[i].Message
		if n > 1 {
			msg = share(msg)
		}
		for _, d := range fx.Send[i : i+n] {
			s.hub.Deliver(uint64(d.To), msg)
		}
		i += n
	}
	for _, e := range fx.Media {
		s.route(e)
	}
	for _, group := range fx.Record {
		s.record(group)
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

// route hands an event to the media of a member. Called under the hub's lock.
func (s *Server) route(e MediaEvent) {
	if j, ok := e.Message.(*Joined); ok && j.Kind == JoinedJoin {
		if m := s.hub.Member(uint64(e.Peer)); m != nil {
			s.media[e.Peer] = s.serveMedia(m.Session)
		}
		return
	}
	m := s.media[e.Peer]
	if m == nil {
		return
	}
	if _, ok := e.Message.(*Joined); ok {
		delete(s.media, e.Peer)
		m.end()
		return
	}
	if !m.served.Load() && !m.inbox.Put(e.Message) {
		s.log.Warn("galene: the media router is too slow for a member", "peer", e.Peer)
		s.hub.End(uint64(e.Peer), transport.StatusInternalError, "")
	}
}

// serveMedia begins the media of a member. Called under the hub's lock.
func (s *Server) serveMedia(sess *ServerSession) *MediaMember {
	who, _ := s.machine.Member(sess.ID())
	m := &MediaMember{
		Member: who, Codecs: s.machine.codecs(sess.ID()),
		server: s, inbox: link.NewInbox[Message](s.opts.Inbox),
	}
	ctx, cancel := context.WithCancel(sess.ctx)
	m.cancel = cancel
	sess.work.Go(func() {
		defer cancel()
		defer m.served.Store(true)
		defer func() {
			if p := recover(); p != nil {
				sess.mu.Lock()
				sess.panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
				sess.mu.Unlock()
				sess.Close(transport.StatusInternalError, "")
			}
		}()
		if err := s.opts.Router.Serve(ctx, m); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "galene: the media of a member failed", "peer", sess.ID(), "error", err)
			sess.Close(transport.StatusInternalError, "")
		}
	})
	return m
}

// record connects a recorder to a group. Called under the hub's lock.
func (s *Server) record(group string) {
	ours, theirs := transport.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s.work.Go(func() {
		defer cancel()
		err := s.serve(context.Background(), ours, Connection{System: group})
		if errors.Is(err, ErrTooManyConnections) || errors.Is(err, ErrServerClosed) {
			s.hub.Locked(func() { s.machine.unrecorded(group) })
		}
	})
	s.work.Go(func() {
		defer theirs.Close(transport.StatusNormal, "")
		defer func() { // nobody has called Serve, who could recover it
			if p := recover(); p != nil {
				s.log.Error("galene: a recording panicked", "group", group, "panic", p, "stack", string(debug.Stack()))
			}
		}()
		err := s.opts.Record(ctx, group, theirs)
		if err != nil && !link.Orderly(err) && !errors.Is(err, context.Canceled) {
			s.log.Error("galene: a recording failed", "group", group, "error", err)
		}
	})
}

// decide asks the application. Called under no lock.
func (s *Server) decide(ctx context.Context, sess *ServerSession, q Question) (d Decision) {
	var err error
	switch msg := q.Message.(type) {
	case *Join:
		d, err = s.admit(ctx, msg)
	case *GroupAction:
		d.Tokens, err = s.keepToken(ctx, q, msg)
	}
	if err == nil {
		return d
	}
	refusal, ok := errors.AsType[*Error](err)
	if !ok || rule("joined").text("value", refusal.Text) != nil {
		s.log.ErrorContext(ctx, "galene: a decision failed", "peer", sess.ID(), "type", q.Message.wireType(), "error", err)
		refusal = ErrInternal
	}
	if refusal.Is(ErrNotAuthorised) && s.opts.RefusalDelay > 0 {
		t := time.NewTimer(s.opts.RefusalDelay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return Decision{Refuse: refusal}
}

// admit looks at the group and the credentials of a join.
func (s *Server) admit(ctx context.Context, join *Join) (d Decision, err error) {
	if d.Group, err = s.opts.Groups.Group(ctx, join.Group); err != nil {
		return d, err
	}
	if d.Group.Redirect != "" {
		return d, &Error{Text: "group is elsewhere", Redirect: d.Group.Redirect}
	}
	c := Credentials{Username: join.Username, Password: join.Password, Token: join.Token}
	if c.Token == "" && c.Username == nil {
		return d, ErrInternal // as in Galène
	}
	if c.Token != "" {
		switch t, err := s.opts.Tokens.Token(ctx, c.Token); {
		case err == nil:
			grant, err := redeem(t, d.Group, c, time.Now())
			d.Grant = grant
			return d, err
		case !errors.Is(err, ErrNoToken):
			return d, err
		}
	}
	grant, err := s.opts.Groups.Authenticate(ctx, d.Group, c)
	if err != nil {
		return d, err
	}
	if grant.Username != "" && !ValidName(grant.Username) {
		return d, ErrNotAuthorised
	}
	d.Grant = *grant
	return d, nil
}

// redeem returns what a token gives.
func redeem(t *Token, g *Group, c Credentials, now time.Time) (Grant, error) {
	switch {
	case t.Valid(g.Name, now) != nil && (t.Username != nil || c.Username != nil):
		return Grant{}, ErrNotAuthorised
	case t.Username != nil:
		return Grant{Username: *t.Username, Permissions: t.Permissions}, nil
	case c.Username == nil:
		return Grant{}, ErrNeedUsername
	case slices.Contains(g.Users, *c.Username):
		return Grant{}, ErrDuplicateUsername
	case *c.Username != "" && !ValidName(*c.Username):
		return Grant{}, ErrNotAuthorised
	}
	return Grant{Username: *c.Username, Permissions: t.Permissions}, nil
}

// keepToken carries out a token action.
func (s *Server) keepToken(ctx context.Context, q Question, msg *GroupAction) ([]*Token, error) {
	switch msg.Kind {
	case GroupListTokens:
		return s.opts.Tokens.List(ctx, q.Group)
	case GroupEditToken:
		old, err := s.opts.Tokens.Token(ctx, q.Token.Token)
		if err != nil {
			return nil, err
		}
		if old.Group != q.Group {
			return nil, ErrNoToken
		}
		edited := *old
		edited.Expires, edited.NotBefore = cmp.Or(q.Token.Expires, old.Expires), cmp.Or(q.Token.NotBefore, old.NotBefore)
		return []*Token{&edited}, s.opts.Tokens.Put(ctx, &edited)
	}
	return []*Token{q.Token}, s.opts.Tokens.Put(ctx, q.Token)
}

// ErrUnknownPeer: no connection of that name is open.
var ErrUnknownPeer = errors.New("galene: unknown peer")

// Send validates and queues a message for a connection, past the machine, and never
// blocks. It is for chat, user messages and messages of types of the application's own.
func (s *Server) Send(id PeerID, m Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if ok, err := s.hub.Send(uint64(id), m); ok {
		return err
	}
	return ErrUnknownPeer
}

// Update takes the new description of a group, of which its members are told at once. See
// also [GroupStore].
func (s *Server) Update(g *Group) {
	s.step(func(now time.Time) ServerEffects { return s.machine.Update(now, g) })
}

// SetRTCConfiguration changes what clients are told from now on, such as the credentials of
// a TURN server. The error is about texts that are not UTF-8.
func (s *Server) SetRTCConfiguration(c *RTCConfiguration) error {
	b, err := c.JSON()
	if err != nil {
		return err
	}
	s.hub.Locked(func() { s.machine.SetRTCConfiguration(b) })
	return nil
}

// Status returns what may be said of a group over HTTP to those who are not in it. The
// error is [ErrNoGroup] or that of the [GroupStore].
func (s *Server) Status(ctx context.Context, name string) (*Status, error) {
	if !ValidName(name) {
		return nil, ErrNoGroup
	}
	g, err := s.opts.Groups.Group(ctx, name)
	if err != nil {
		return nil, err
	}
	status := &Status{Name: name, DisplayName: g.DisplayName, Description: g.Description, Redirect: g.Redirect}
	if g.Redirect != "" {
		return status, nil
	}
	status.AuthServer, status.AuthPortal = g.AuthServer, g.AuthPortal
	if g.Public {
		s.hub.Locked(func() {
			n, locked := s.machine.occupation(name)
			status.ClientCount, status.Locked = &n, locked
		})
	}
	return status, nil
}

// PublicGroups returns the status of all groups that are public, by name.
func (s *Server) PublicGroups(ctx context.Context) ([]*Status, error) {
	names, err := s.opts.Groups.Names(ctx)
	if err != nil {
		return nil, err
	}
	s.hub.Locked(func() { names = append(names, s.machine.occupied()...) })
	slices.Sort(names)
	var public []*Status
	for _, name := range slices.Compact(names) {
		status, err := s.Status(ctx, name)
		switch {
		case errors.Is(err, ErrNoGroup):
			continue
		case err != nil:
			return nil, err
		case status.ClientCount != nil:
			public = append(public, status)
		}
	}
	return public, nil
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
	s.work.Wait()
	return nil
}

// ID returns the name of the connection within its server.
func (s *ServerSession) ID() PeerID { return PeerID(s.member.ID()) }

// State returns where the connection stands, and false when it has ended.
func (s *ServerSession) State() (state ServerState, ok bool) {
	s.server.hub.Locked(func() { state, ok = s.server.machine.State(s.ID()) })
	return state, ok
}

// Member returns what is known of the user, and false when the connection has ended.
func (s *ServerSession) Member() (m Member, ok bool) {
	s.server.hub.Locked(func() { m, ok = s.server.machine.Member(s.ID()) })
	return m, ok
}

// Send is [Server.Send] for this connection.
func (s *ServerSession) Send(m Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	return s.member.Send(m)
}

// Kick throws the user out, with a text.
func (s *ServerSession) Kick(text string) {
	s.server.step(func(now time.Time) ServerEffects { return s.server.machine.Kick(now, s.ID(), text) })
}

// Close ends the connection after what is queued for it.
func (s *ServerSession) Close(code transport.StatusCode, reason string) {
	s.member.Close(code, reason)
}

// A MediaMember is a member of a group as a [MediaRouter] sees it. Its methods may be
// called concurrently. What Member says is as it was on joining.
type MediaMember struct {
	Member
	Codecs []string // of the group, see [Group]

	server *Server
	inbox  *link.Inbox[Message]
	cancel context.CancelFunc
	ended  atomic.Bool // the member has left
	served atomic.Bool // the router has done with it: what comes is of no interest
}

// Next returns the next message of the member: an [*Offer] with who sends it, an
// [*Answer], an [*ICE], a [*Renegotiate] or an [*Abort] for a stream that it has been
// offered, a [*Close] for one that it sent, a [*Request] or a [*RequestStream]. After the
// member has left it returns io.EOF. The end of ctx does not hurt the member.
func (m *MediaMember) Next(ctx context.Context) (Message, error) {
	msg, err := m.inbox.Next(ctx)
	if err != nil && m.ended.Load() { // the end of Serve's ctx was found first; nothing waits any more
		return m.inbox.Next(context.Background())
	}
	return msg, err
}

// Messages returns what Next returns, one by one, until the member leaves.
func (m *MediaMember) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return link.Each(ctx, m.Next)
}

// Send queues a message for the member and never blocks: an [*Offer] of another member's
// stream, whose label and sender are filled in, an [*Answer], an [*ICE], a [*Renegotiate],
// a [*Close] or an [*Abort], or a [*UserMessage] that says why. It must not be used any
// more. For a stream that is gone it returns [ErrUnknownStream] and sends nothing.
func (m *MediaMember) Send(msg Message) error {
	if err := msg.Validate(); err != nil {
		return err
	}
	ok := false
	m.server.step(func(now time.Time) (fx ServerEffects) {
		if m.server.media[m.Peer] != m { // it has left
			return fx
		}
		fx, ok = m.server.machine.Media(now, m.Peer, msg)
		return fx
	})
	if !ok {
		return ErrUnknownStream
	}
	return nil
}

// Fail refuses a stream of the member, or ends it, and says why.
func (m *MediaMember) Fail(id, text string) error {
	err := m.Send(&Abort{ID: id})
	if err == nil && text != "" {
		err = m.Send(&UserMessage{Kind: UserMessageError, Value: NewText(text)})
	}
	return err
}

// end tells the router that the member has left.
func (m *MediaMember) end() {
	m.ended.Store(true)
	m.inbox.End(nil)
	m.cancel()
}
