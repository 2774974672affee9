package msejsonrpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestScriptsOnTheServerMachine(t *testing.T) {
	script.OnMachine(t, script.Server(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		return newServerWire(readServerScene(t, s)), func(*testing.T) {}
	})
}

func TestScriptsOnTheServer(t *testing.T) {
	script.OnDriver(t, script.Server(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		p := newServerPipes(readServerScene(t, s))
		return p, p.end
	})
}

// A serverScene is the config section of a script: the server's options and its application.
type serverScene struct {
	ServerConfig
	MessageBytes int
	// Tokens are what the application knows about tokens; others are refused. Without
	// a config section every token is good.
	Tokens map[string]holder
	// RefuseStart are the user ids that may not start, with what they are told; for
	// null the application fails.
	RefuseStart map[string]*Error

	everybody bool
}

// A holder is whom a token stands for.
type holder struct {
	Identity
	Lasts  string // how long from auth on; "" is for ever
	Refuse *Error // in place of it all
	Fails  bool   // the application does
}

func readServerScene(t *testing.T, s *script.Script) (sc serverScene) {
	sc.everybody = !s.Config(t, &sc)
	return sc
}

var errApplication = errors.New("the application fails")

// authenticate decides about a token.
func (sc serverScene) authenticate(token string, now time.Time) (*Identity, error) {
	h, ok := sc.Tokens[token]
	switch {
	case sc.everybody:
		return new(Identity), nil
	case !ok:
		return nil, ErrAuthorizationFailed
	case h.Refuse != nil:
		return nil, h.Refuse
	case h.Fails:
		return nil, errApplication
	}
	i := h.Identity
	if h.Lasts != "" {
		d, err := time.ParseDuration(h.Lasts)
		if err != nil {
			panic(err)
		}
		i.ValidTo = NewDate(now.Add(d))
	}
	return &i, nil
}

// authorize decides about a start.
func (sc serverScene) authorize(i *Identity) error {
	refusal, ok := sc.RefuseStart[i.UserID]
	switch {
	case !ok:
		return nil
	case refusal == nil:
		return errApplication
	}
	return refusal
}

// app is the peer in scripts that is the server's application. It hears, in lines of its
// own, what a client sends to it, whose token has expired, and which messages were
// ignored; and it says {"to":"c1","message":{}}.
const app = "app"

// heard is a line that the application hears.
func heard(what string, about string, more ...string) script.Event {
	line := fmt.Appendf(nil, "{%q:%q", what, about)
	for i := 0; i < len(more); i += 2 {
		line = fmt.Appendf(line, ",%q:%s", more[i], more[i+1])
	}
	return script.Event{Data: append(line, '}')}
}

func heardMessage(from string, m Message) script.Event {
	return heard("from", from, "message", wireText(m))
}

func heardViolation(from string, v Violation) script.Event {
	why, _ := json.Marshal(strings.TrimPrefix(v.Err.Error(), "msejsonrpc: "))
	typ, _ := json.Marshal(v.Type)
	return heard("ignored", from, "type", string(typ), "why", string(why))
}

// said reads a line that the application says.
func said(line []byte) (to string, m Message, err error) {
	var l struct {
		To      string
		Message json.RawMessage
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return "", nil, err
	}
	m, err = Decode(l.Message)
	return l.To, m, err
}

// start is when the tests' clocks begin: when those of synctest do.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// A serverWire is a machine with the codec around it and an application that decides at once:
// bytes in, bytes out. It is a target of scripts.
type serverWire struct {
	script.ServerWire[PeerID, ServerEffects, struct{}]
	scene   serverScene
	machine *ServerMachine
	decode  func(typ transport.MessageType, data []byte) (Message, error)
}

func newServerWire(sc serverScene) *serverWire {
	w := &serverWire{
		scene: sc, machine: NewServerMachine(sc.ServerConfig),
		decode: decoder(cmp.Or(sc.MessageBytes, DefaultMessageBytes)),
	}
	w.Machine, w.Apply = w.machine, w.apply
	return w
}

func (w *serverWire) Open(name string, args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("cannot open %q", args)
	}
	p := w.Appear(name)
	if name == app {
		return nil
	}
	w.Number(p)
	w.apply(w.machine.Connect(time.Now(), p.ID, Connection{}))
	return nil
}

func (w *serverWire) Send(name string, m script.Message) error {
	if name == app {
		to, msg, err := said(m.Data)
		if err != nil {
			return err
		}
		w.apply(ServerEffects{Send: []Delivery{{w.Peer(to).ID, msg}}})
		return nil
	}
	p, err := w.Present(name)
	if err != nil {
		return err
	}
	msg, err := w.decode(m.Type(), m.Data)
	if err != nil {
		bad, ok := errors.AsType[*DecodeError](err)
		if !ok {
			return fmt.Errorf("not a DecodeError: %w", err)
		}
		w.apply(w.machine.Malformed(time.Now(), p.ID, bad))
		return nil
	}
	w.apply(w.machine.Receive(time.Now(), p.ID, msg))
	return nil
}

// tell lets the application hear something, if it is in the script.
func (w *serverWire) tell(e script.Event) {
	if p := w.Peer(app); p != nil {
		p.Hear(e)
	}
}

// apply carries out effects, as the driver does.
func (w *serverWire) apply(fx ServerEffects) {
	for _, d := range fx.Send {
		p := w.Of(d.To)
		data, err := Encode(d.Message)
		if err != nil {
			panic(err)
		}
		if !p.Gone {
			p.Hear(script.Event{Data: data})
		}
	}
	for _, d := range fx.Deliver {
		w.tell(heardMessage(w.Of(d.To).Name, d.Message))
	}
	for _, v := range fx.Ignored {
		w.tell(heardViolation(w.Of(v.Peer).Name, v))
	}
	for _, id := range fx.Expired {
		w.tell(heard("expired", w.Of(id).Name))
	}
	for _, c := range fx.Close {
		p := w.Of(c.Peer)
		p.Hear(script.Event{Closed: int(c.Code)})
		w.Disconnect(p) // as its reader will
	}
	for _, q := range fx.Ask {
		w.apply(w.machine.Decide(time.Now(), q.Ticket, w.decide(q)))
	}
}

func (w *serverWire) decide(q Question) (d Decision) {
	var err error
	switch m := q.Message.(type) {
	case *Auth:
		d.Identity, err = w.scene.authenticate(m.Token, time.Now())
	case *Start:
		err = w.scene.authorize(w.machine.Identity(q.Ticket.Peer))
	}
	if err != nil {
		refusal, ok := errors.AsType[*Error](err)
		if !ok {
			refusal = ErrInternal
		}
		return Decision{Refuse: refusal}
	}
	return d
}

// serverPipes are raw ends of pipes to a server. They are a target of scripts.
type serverPipes struct {
	script.Ends
	server *Server
	names  []string // of the connections, in their order
}

func newServerPipes(sc serverScene) *serverPipes {
	p := new(serverPipes)
	p.server = NewServer(&ServerOptions{
		ServerConfig: sc.ServerConfig, MessageBytes: sc.MessageBytes,
		Authenticate: func(_ context.Context, _ *ServerSession, auth *Auth) (*Identity, error) {
			return sc.authenticate(auth.Token, time.Now())
		},
		AuthorizeStart: func(_ context.Context, s *ServerSession) error { return sc.authorize(s.Identity()) },
		Handle: func(ctx context.Context, s *ServerSession) error {
			for m, err := range s.Messages(ctx) {
				if err != nil {
					return err
				}
				p.tell(heardMessage(p.name(s), m))
			}
			return nil
		},
		OnExpired: func(s *ServerSession) { p.tell(heard("expired", p.name(s))) },
		OnIgnored: func(s *ServerSession, v Violation) { p.tell(heardViolation(p.name(s), v)) },
	})
	return p
}

func (p *serverPipes) name(s *ServerSession) string { return p.names[s.ID()-1] }

func (p *serverPipes) tell(e script.Event) { p.Tell(app, e) }

func (p *serverPipes) Open(name string, args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("cannot open %q", args)
	}
	if name == app {
		p.Appear(name)
		return nil
	}
	p.names = append(p.names, name)
	p.Connect(name, p.server.Serve)
	synctest.Wait() // it has its number
	return nil
}

func (p *serverPipes) Send(name string, m script.Message) error {
	if name != app {
		return p.Ends.Send(name, m)
	}
	to, msg, err := said(m.Data)
	if err != nil {
		return err
	}
	return p.session(to).Send(msg)
}

func (p *serverPipes) session(name string) *ServerSession {
	for s := range p.server.Sessions() {
		if p.name(s) == name {
			return s
		}
	}
	return nil
}

// end closes everything and checks that the server has forgotten it.
func (p *serverPipes) end(t *testing.T) {
	require.NoError(t, p.server.Close())
	synctest.Wait()
	requireNothingLeft(t, p.server.machine)
	require.Empty(t, slices.Collect(p.server.Sessions()))
}

// requireNothingLeft demands that a machine has forgotten everybody.
func requireNothingLeft(t *testing.T, m *ServerMachine) {
	t.Helper()
	require.Zero(t, m.Len())
	require.Empty(t, m.rooms)
	require.Zero(t, m.clock.Len(), "an alarm for nobody")
	_, due := m.Deadline()
	require.False(t, due)
}
