package easyrtc

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
	"time"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
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
// client told just that; any other error is logged, and the client is told what
// open-easyrtc says in its place: LOGIN_BAD_AUTH after Authenticate, LOGIN_GEN_FAIL after
// the others at a login, MSG_REJECT_BAD_ROOM after AuthorizeRoomCreate and
// AuthorizeRoomJoin later, MSG_REJECT_GEN_FAIL after the rest.
type ServerOptions struct {
	// ServerConfig holds the rules of the protocol that are left to the server. NewID, NewSID
	// and AskCommands are set by the server unless they are set here.
	ServerConfig

	// Authenticate looks at a login before anything comes of it, and may change what the
	// client becomes. Nil refuses every login, unless AllowAll is set.
	Authenticate func(ctx context.Context, s *ServerSession, l *LoginRequest) error
	// AllowAll lets everybody in who says a valid name, as open-easyrtc does by default.
	AllowAll bool

	// AuthorizeRoomCreate is asked before a client makes a room by joining it, and returns
	// what the room has in the way of fields; nil lets it happen.
	AuthorizeRoomCreate func(ctx context.Context, s *ServerSession, r *RoomEntry) (FieldMap, error)
	// AuthorizeRoomJoin is asked before a client joins a room, at its login or later; nil
	// lets it happen.
	AuthorizeRoomJoin func(ctx context.Context, s *ServerSession, r *RoomEntry) error
	// ICEServersFor returns the ICE servers of a client, at its login and whenever it
	// asks; nil are those of the configuration.
	ICEServersFor func(ctx context.Context, s *ServerSession, c ClientInfo) ([]ICEServer, error)
	// Message answers a message without a target, which is for the server application: with
	// a [*Msg] of any type, or nil for a plain acknowledgement.
	Message func(ctx context.Context, s *ServerSession, m *Msg) (*Msg, error)
	// AuthorizeCommand is asked about each command and each message of a client that is
	// logged in, before it is carried out; nil lets all happen. It must not change the
	// message.
	AuthorizeCommand func(ctx context.Context, s *ServerSession, m Message) error

	// OnAuthenticated hears of each login after it has happened, and OnDisconnected afterwards of
	// its end, in the goroutine of the connection, or in that of [ServerSession.Disconnect].
	OnAuthenticated func(ctx context.Context, s *ServerSession)
	OnDisconnected  func(ctx context.Context, s *ServerSession, c ClientInfo)

	Connections   int    // at once; default 20,000, negative without a limit
	Newcomers     int    // of them not logged in; default half, more end the oldest one
	QueueMessages int    // waiting for one connection; default 1024, more end it
	QueueBytes    int    // their bytes; default 4 MiB
	MessageBytes  int    // of the largest message, with its attachments; default 1 MB, more end the connection
	Limits        Limits // of what one connection may send

	Logger *slog.Logger // nil discards
}

// A LoginRequest is a login that a hook decides about. It may change what says so.
type LoginRequest struct {
	Application string
	Username    string // may be changed
	Credential  json.RawMessage
	Message     *Authenticate // all that the client says; not to be changed
	// Again is set for a client that is logged in, and gets a new credential, a new name or
	// more rooms.
	Again bool

	EasyrtcID    string   // what the client will be; may be changed, unless somebody has it or Again is set
	Field        FieldMap // of the connection; may be set
	SessionField FieldMap // of the session, if the client names one; may be set
}

// A RoomEntry is a client that joins a room.
type RoomEntry struct {
	Client    ClientInfo // at its login, who it is going to be
	Room      string
	Parameter json.RawMessage // an object or an array, or nil
	// Credential is what the client logs in with, or has logged in with; nil without one.
	Credential json.RawMessage
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
	gone     map[PeerID][]ClientInfo
}

// A ServerSession is one connection of a server. Its methods may be called
// concurrently.
type ServerSession struct {
	server *Server
	member link.Member[*ServerSession, Message]
	decode Decoder
	values context.Context // of Serve; it does not end

	entering bool // the application has not heard of its login yet; under the hub's lock
}

// NewServer returns a server without connections.
func NewServer(opts *ServerOptions) *Server {
	s := &Server{gone: make(map[PeerID][]ClientInfo)}
	if opts != nil {
		s.opts = *opts
	}
	if s.log = s.opts.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	cfg := s.opts.ServerConfig
	if cfg.NewID == nil {
		cfg.NewID = NewEasyrtcID
	}
	if cfg.NewSID == nil {
		cfg.NewSID = newSID
	}
	cfg.AskCommands = cfg.AskCommands || s.opts.AuthorizeCommand != nil
	s.machine = NewServerMachine(cfg)
	s.hub = link.NewHub[*ServerSession, Message](stepped{s}, s.opts.Connections, s.opts.Newcomers)
	return s
}

// alphabet is what open-easyrtc makes ids of, and two letters more.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewEasyrtcID returns an id that nobody can guess: 16 letters and digits.
func NewEasyrtcID() string {
	var id [16]byte
	for i := 0; i < len(id); {
		var random [24]byte
		_, _ = rand.Read(random[:]) // never fails
		for _, b := range random {
			if b &= 63; int(b) < len(alphabet) && i < len(id) {
				id[i] = alphabet[b]
				i++
			}
		}
	}
	return string(id[:])
}

// newSID returns an id for Socket.IO.
func newSID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Serve serves a client until its connection has ended. It owns conn, which carries
// Engine.IO messages; see the packages transport/engineio and enginehttp. The version of
// Engine.IO is what its method EngineIO says, as an *engineio.Conn has it, or that of the
// connection that a method Unwrap() transport.Conn returns; 4 without either. The end of
// ctx ends the connection with 1001. It returns nil after an orderly end, why the
// connection ended otherwise.
func (s *Server) Serve(ctx context.Context, conn transport.Conn) error {
	sess := &ServerSession{server: s, values: context.WithoutCancel(ctx)}
	sess.member.Session = sess
	sess.decode = Decoder{Limit: max(cmp.Or(s.opts.MessageBytes, DefaultMessageBytes), 0), trusted: true}
	opts := link.Options[Message]{
		Append: appendMessage, Parts: attachments, Size: size,
		QueueMessages: cmp.Or(s.opts.QueueMessages, DefaultQueueMessages),
		QueueBytes:    cmp.Or(s.opts.QueueBytes, DefaultQueueBytes),
		Limits:        link.Limits(s.opts.Limits), Counters: &s.counters, Answer: acknowledges,
	}
	begin := func(now time.Time) {
		s.apply(s.machine.Connect(now, sess.ID(), Connection{EngineIO: socketio.Version(conn)}))
	}
	err := s.hub.Serve(ctx, conn, &sess.member, opts, begin, sess.run)
	if link.Orderly(err) {
		return nil
	}
	return fmt.Errorf("easyrtc: serve: %w", err)
}

// run reads until the connection has ended.
func (s *ServerSession) run(ctx context.Context) error {
	defer func() {
		s.server.step(func(now time.Time) ServerEffects { return s.server.machine.Disconnect(now, s.ID()) })
		s.server.disconnected(ctx, s)
	}()
	return s.member.RunFrames(func(typ transport.MessageType, f *link.Frame) {
		m, err := decoded(s.decode.Decode(typ, f.Data))
		f.Free()
		if errors.Is(err, socketio.ErrTooBig) {
			s.server.counters.TooBig.Add(1)
		}
		if err != link.ErrMore {
			s.server.receive(ctx, s, m, err)
		}
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
		_, logsIn := q.Message.(*Authenticate)
		s.step(func(now time.Time) ServerEffects {
			fx := s.decided(now, q.Ticket, d)
			_, in := s.machine.Client(sess.ID()) // before others, who may end it at once
			logsIn = logsIn && in
			sess.entering = logsIn
			return fx
		})
		if logsIn {
			s.authenticated(ctx, sess)
		}
	}
	s.disconnected(ctx, sess)
}

// authenticated tells the application of a login. Called under no lock.
func (s *Server) authenticated(ctx context.Context, sess *ServerSession) {
	defer s.hub.Locked(func() { sess.entering = false })
	if s.opts.OnAuthenticated != nil {
		s.opts.OnAuthenticated(ctx, sess)
	}
}

// disconnected tells the application of logins of a connection that have ended, unless it is still
// to hear of one that is new.
func (s *Server) disconnected(ctx context.Context, sess *ServerSession) {
	if s.opts.OnDisconnected == nil {
		return
	}
	var gone []ClientInfo
	s.hub.Locked(func() {
		if !sess.entering {
			gone = s.gone[sess.ID()]
			delete(s.gone, sess.ID())
		}
	})
	for _, c := range gone {
		s.opts.OnDisconnected(ctx, sess, c)
	}
}

// decided gives the machine a decision. Called under the hub's lock.
func (s *Server) decided(now time.Time, t Ticket, d Decision) ServerEffects {
	fx := s.machine.Decide(now, t, d)
	if state, _ := s.machine.State(t.Peer); state == ServerReady {
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
	var last *common
	for i, d := range fx.Send {
		msg := d.Message
		if data, ok := msg.(*RoomData); ok && data.MsgData != nil {
			if last == nil || last.data != data.MsgData {
				last = nil
				if i+1 < len(fx.Send) {
					next, ok := fx.Send[i+1].Message.(*RoomData)
					if ok && next.MsgData == data.MsgData {
						last = &common{data: data.MsgData}
					}
				}
			}
			if last != nil && !data.Ack {
				msg = &shared{data, last}
			}
		}
		s.hub.Deliver(uint64(d.To), msg)
	}
	if s.opts.OnDisconnected != nil {
		for _, d := range fx.Gone {
			s.gone[d.Peer] = append(s.gone[d.Peer], d.Client)
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

// decide asks the application. Called under no lock.
func (s *Server) decide(ctx context.Context, sess *ServerSession, q Question) (d Decision) {
	if s.opts.AuthorizeCommand != nil {
		if _, isLogin := q.Message.(*Authenticate); !isLogin {
			if d.Refuse = s.refusal(ctx, sess, s.opts.AuthorizeCommand(ctx, sess, q.Message), ErrGenFail); d.Refuse != nil {
				return d
			}
		}
	}
	switch msg := q.Message.(type) {
	case *Authenticate:
		s.decideLogin(ctx, sess, q, msg, &d)
	case *RoomJoin:
		s.decideRooms(ctx, sess, q, &d, ErrBadRoom)
	case *GetICEConfig:
		s.decideICE(ctx, sess, q.Client, &d, ErrGenFail)
	case *Msg:
		if s.opts.Message == nil || msg.TargetEasyrtcID != "" || msg.TargetRoom != "" {
			break
		}
		reply, err := s.opts.Message(ctx, sess, msg)
		if d.Refuse = s.refusal(ctx, sess, err, ErrGenFail); d.Refuse == nil && reply != nil {
			out := *reply
			out.Ack = true
			if err := out.Validate(); err != nil {
				d.Refuse = s.refusal(ctx, sess, err, ErrGenFail)
			}
			d.Reply = &out
		}
	}
	return d
}

func (s *Server) decideLogin(ctx context.Context, sess *ServerSession, q Question, msg *Authenticate, d *Decision) {
	state, _ := sess.State()
	l := &LoginRequest{
		Application: q.Client.Application, Username: q.Client.Username, Credential: msg.MsgData.Credential,
		Message: msg, Again: state == ServerReady, EasyrtcID: q.Client.EasyrtcID,
	}
	var err error = ErrLoginBadAuth
	if s.opts.Authenticate != nil {
		err = s.opts.Authenticate(ctx, sess, l)
	} else if s.opts.AllowAll {
		err = nil
	}
	if err == nil {
		err = s.checkGrant(l)
	}
	if d.Refuse = s.refusal(ctx, sess, err, ErrLoginBadAuth); d.Refuse != nil {
		return
	}
	d.EasyrtcID, d.Field, d.SessionField = l.EasyrtcID, l.Field, l.SessionField
	if d.Anonymous = l.Username == ""; l.Username != q.Client.Username {
		d.Username = l.Username
	}
	q.Client.EasyrtcID, q.Client.Username = l.EasyrtcID, l.Username
	s.decideRooms(ctx, sess, q, d, ErrLoginGenFail)
	s.decideICE(ctx, sess, q.Client, d, ErrLoginGenFail)
}

// checkGrant checks what a hook has made of a login.
func (s *Server) checkGrant(l *LoginRequest) error {
	if l.Username != "" && !s.machine.rules.Username(l.Username) {
		return &ValidationError{Type: "authenticate", Field: "msgData.username", Reason: reasonLine}
	}
	return errors.Join(checkFields("connection", l.Field), checkFields("session", l.SessionField))
}

func (s *Server) decideRooms(ctx context.Context, sess *ServerSession, q Question, d *Decision, otherwise *Error) {
	if s.opts.AuthorizeRoomCreate == nil && s.opts.AuthorizeRoomJoin == nil {
		return
	}
	d.Rooms = make(map[string]RoomDecision, len(q.Rooms))
	credential := sess.Credential()
	if login, ok := q.Message.(*Authenticate); ok && login.MsgData.Credential != nil {
		credential = login.MsgData.Credential
	}
	for _, r := range q.Rooms {
		entry := &RoomEntry{Client: q.Client, Room: r.Name, Parameter: r.Parameter, Credential: credential}
		room := RoomDecision{MustExist: !r.New && s.opts.AuthorizeRoomCreate != nil}
		var err error
		if r.New && s.opts.AuthorizeRoomCreate != nil {
			room.Field, err = s.opts.AuthorizeRoomCreate(ctx, sess, entry)
		}
		if err == nil && s.opts.AuthorizeRoomJoin != nil {
			err = s.opts.AuthorizeRoomJoin(ctx, sess, entry)
		}
		if err == nil {
			err = checkFields("room", room.Field)
		}
		room.Refuse = s.refusal(ctx, sess, err, otherwise)
		d.Rooms[r.Name] = room
	}
}

func (s *Server) decideICE(ctx context.Context, sess *ServerSession, c ClientInfo, d *Decision, otherwise *Error) {
	if s.opts.ICEServersFor == nil || d.Refuse != nil {
		return
	}
	servers, err := s.opts.ICEServersFor(ctx, sess, c)
	if err == nil {
		all := &ICEServers{ICEServers: append([]ICEServer{}, servers...)}
		err = (&ICEConfig{MsgData: &ICEConfigData{ICEConfig: all}}).Validate()
	}
	d.Refuse, d.ICEServers = s.refusal(ctx, sess, err, otherwise), servers
}

// refusal returns what to tell a client whose wish a hook has refused, nil if it has not.
func (s *Server) refusal(ctx context.Context, sess *ServerSession, err error, otherwise *Error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok && e.ErrorCode != "" && (&ErrorMessage{MsgData: e}).Validate() == nil {
		return e
	}
	s.log.ErrorContext(ctx, "easyrtc: a decision failed", "peer", sess.ID(), "error", err)
	return otherwise
}

// ErrUnknownPeer: no client of that name is logged in.
var ErrUnknownPeer = errors.New("easyrtc: unknown peer")

// Send validates and queues an event for a client that is logged in, and never blocks: a
// [*Msg], an [*ICEConfig], a [*ForwardToURL], an [*ErrorMessage], or any other. Whom it is
// for and the time are filled in. The error is a [*ValidationError] or [ErrUnknownPeer].
func (s *Server) Send(id PeerID, m Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	ok := false
	s.step(func(now time.Time) (fx ServerEffects) {
		fx, ok = s.machine.Push(now, id, m)
		return fx
	})
	if !ok {
		return ErrUnknownPeer
	}
	return nil
}

// SendTo is [Server.Send] by easyrtcid.
func (s *Server) SendTo(easyrtcid string, m Message) error {
	id, ok := s.Peer(easyrtcid)
	if !ok {
		return ErrUnknownPeer
	}
	return s.Send(id, m)
}

// Peer returns the connection of an easyrtcid, and false when it is not logged in.
func (s *Server) Peer(easyrtcid string) (id PeerID, ok bool) {
	s.hub.Locked(func() { id, ok = s.machine.Peer(easyrtcid) })
	return id, ok
}

// AddApplication makes an application, or gives one that exists these fields. Clients hear
// of them when they log in.
func (s *Server) AddApplication(name string, field FieldMap) error {
	if !s.machine.rules.ApplicationName(name) {
		return &ValidationError{Type: "application", Field: "applicationName", Reason: reasonName}
	}
	if err := checkFields("application", field); err != nil {
		return err
	}
	s.hub.Locked(func() { s.machine.AddApplication(name, field) })
	return nil
}

// AddRoom makes a room, which stays when it is empty, or gives one that exists these
// fields, of which all in it are told.
func (s *Server) AddRoom(application, name string, field FieldMap) error {
	if !s.machine.rules.ApplicationName(application) || !s.machine.rules.RoomName(name) {
		return &ValidationError{Type: "room", Field: "roomName", Reason: reasonName}
	}
	if err := checkFields("room", field); err != nil {
		return err
	}
	s.step(func(now time.Time) ServerEffects { return s.machine.AddRoom(now, application, name, field) })
	return nil
}

// checkFields checks that fields can be written wherever they stand; deepest in a room.
func checkFields(typ string, field FieldMap) error {
	if len(field) == 0 {
		return nil
	}
	m := &RoomData{MsgData: &RoomDataData{RoomData: map[string]*Room{"room": {Field: field}}}}
	if err := m.Validate(); err != nil {
		return &ValidationError{Type: typ, Field: "field", Reason: err.Error()}
	}
	return nil
}

// Rooms returns the rooms of an application by name; nil when there is none of that name.
func (s *Server) Rooms(application string) (rooms map[string]ListedRoom) {
	s.hub.Locked(func() { rooms = s.machine.Rooms(application) })
	return rooms
}

// Occupants returns who is in a room, in the order of joining. They must not be changed.
func (s *Server) Occupants(application, room string) (occupants []*Occupant) {
	s.hub.Locked(func() { occupants = s.machine.Occupants(application, room) })
	return occupants
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

// Client returns who the client is, and false unless it is logged in.
func (s *ServerSession) Client() (c ClientInfo, ok bool) {
	s.server.hub.Locked(func() { c, ok = s.server.machine.Client(s.ID()) })
	return c, ok
}

// Credential returns what the client has logged in with. It must not be changed.
func (s *ServerSession) Credential() (credential json.RawMessage) {
	s.server.hub.Locked(func() { credential = s.server.machine.Credential(s.ID()) })
	return credential
}

// Send is [Server.Send] for this connection.
func (s *ServerSession) Send(m Message) error { return s.server.Send(s.ID(), m) }

// SetSessionField changes fields of the client's session, of which all its connections are
// told. Without a session it returns [ErrUnknownPeer].
func (s *ServerSession) SetSessionField(field FieldMap) error {
	if err := checkFields("session", field); err != nil {
		return err
	}
	ok := false
	s.server.step(func(now time.Time) (fx ServerEffects) {
		fx, ok = s.server.machine.SetSessionField(now, s.ID(), field)
		return fx
	})
	if !ok {
		return ErrUnknownPeer
	}
	return nil
}

// Disconnect throws the client out, and leaves its carrier open: a browser does not come
// back by itself then.
func (s *ServerSession) Disconnect() {
	s.server.step(func(now time.Time) ServerEffects { return s.server.machine.ThrowOut(now, s.ID()) })
	s.server.disconnected(s.values, s)
}

// Close ends the connection after what is queued for it.
func (s *ServerSession) Close(code transport.StatusCode, reason string) {
	s.member.Close(code, reason)
}
