package cuttlefish

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/link"
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

// A serverScene is the config section of a script.
type serverScene struct {
	ServerConfig
	ICEServers []ICEServer
	Refuse     map[string]string // device id -> text of the application
}

func readServerScene(t *testing.T, s *script.Script) (sc serverScene) {
	s.Config(t, &sc)
	return sc
}

func (sc serverScene) decide(m Message) Decision {
	var id string
	switch m := m.(type) {
	case *Register:
		id = m.DeviceID
	case *Connect:
		id = m.DeviceID
	}
	if text, ok := sc.Refuse[id]; ok {
		return Decision{Refuse: &Error{Text: text}}
	}
	return Decision{ICEServers: sc.ICEServers}
}

// connection reads the words after open: a role, the operator's dialect, and there a
// client's device id.
func connection(args []string) (c Connection, opening Message, err error) {
	switch len(args) {
	case 3:
		opening = &Connect{DeviceID: args[2]}
		fallthrough
	case 2:
		c.Dialect = DialectOperator
	}
	if len(args) > 0 && args[0] == "client" {
		c.Role = RoleClient
	}
	wants := []string{c.Role.String()}
	if c.Dialect == DialectOperator {
		wants = append(wants, "operator")
	}
	if opening != nil {
		wants = append(wants, args[2])
	}
	if fmt.Sprint(wants) != fmt.Sprint(args) || (opening != nil) != (c == Connection{RoleClient, DialectOperator}) {
		err = fmt.Errorf("cannot open %q", args)
	}
	return c, opening, err
}

// start is when the tests' clocks begin.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A serverWire is a machine with the codec around it and an application that decides at once:
// bytes in, bytes out. It is a target of scripts.
type serverWire struct {
	script.ServerWire[PeerID, ServerEffects, wireCodec]
	scene   serverScene
	machine *ServerMachine
}

// A wireCodec is that of a peer's dialect.
type wireCodec struct {
	decode serverDecoder
	append func([]byte, Message) ([]byte, error)
}

func newServerWire(sc serverScene) *serverWire {
	w := &serverWire{scene: sc, machine: NewServerMachine(sc.ServerConfig)}
	w.Machine, w.Apply = w.machine, w.apply
	return w
}

func (w *serverWire) Open(name string, args []string) error {
	c, opening, err := connection(args)
	if err != nil {
		return err
	}
	p := w.Appear(name)
	p.Own = wireCodec{newServerDecoder(c), serverAppender(c)}
	w.Number(p)
	w.apply(w.machine.Connect(time.Now(), p.ID, c))
	if opening != nil {
		w.apply(w.machine.Receive(time.Now(), p.ID, opening))
	}
	return nil
}

func (w *serverWire) Send(name string, m script.Message) error {
	p, err := w.Present(name)
	if err != nil {
		return err
	}
	msg, err := p.Own.decode(m.Type(), &link.Frame{Data: m.Data})
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

// apply carries out effects, as the driver does.
func (w *serverWire) apply(fx ServerEffects) {
	for _, d := range fx.Send {
		p := w.Of(d.To)
		data, err := p.Own.append(nil, d.Message)
		if err != nil {
			panic(err)
		}
		if len(data) > 0 && !p.Gone {
			p.Hear(script.Event{Data: data})
		}
	}
	for _, c := range fx.Close {
		p := w.Of(c.Peer)
		p.Hear(script.Event{Closed: int(c.Code)})
		w.Disconnect(p) // as its reader will
	}
	for _, q := range fx.Ask {
		w.apply(w.machine.Decide(time.Now(), q.Ticket, w.scene.decide(q.Message)))
	}
}

// serverPipes are raw ends of pipes to a server. They are a target of scripts.
type serverPipes struct {
	script.Ends
	server *Server
}

func newServerPipes(sc serverScene) *serverPipes {
	ask := func(m Message) error {
		if refusal := sc.decide(m).Refuse; refusal != nil {
			return refusal
		}
		return nil
	}
	return &serverPipes{server: NewServer(&ServerOptions{
		ServerConfig: sc.ServerConfig, ICEServers: sc.ICEServers,
		AuthorizeDevice: func(_ context.Context, _ *ServerSession, r *Register) error { return ask(r) },
		AuthorizeClient: func(_ context.Context, _ *ServerSession, c *Connect) error { return ask(c) },
	})}
}

func (p *serverPipes) Open(name string, args []string) error {
	c, opening, err := connection(args)
	if err != nil {
		return err
	}
	p.Connect(name, func(ctx context.Context, conn transport.Conn) error { return p.server.serve(ctx, conn, c, opening) })
	return nil
}

// end closes everything and checks that the server has forgotten it.
func (p *serverPipes) end(t *testing.T) {
	require.NoError(t, p.server.Close())
	synctest.Wait()
	require.Zero(t, p.server.machine.Len())
	require.Empty(t, p.server.hub.Sessions())
}
