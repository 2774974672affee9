package easyrtc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// serverDawn is when the tests of a server's machine begin.
var serverDawn = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// countedIDs returns a function that returns prefix-1, prefix-2 and so on.
func countedIDs(prefix string) func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("%s-%d", prefix, n) }
}

// requireNobodyLeft demands that a machine has forgotten everybody.
func requireNobodyLeft(t testing.TB, m *ServerMachine) {
	t.Helper()
	require.Zero(t, m.Len())
	require.Empty(t, m.ids)
	require.Zero(t, m.alarm.Len(), "an alarm for nobody")
	_, due := m.Deadline()
	require.False(t, due)
	made := 0
	for name, app := range m.apps {
		require.Equal(t, name, app.name)
		if app.byClient {
			made++
		}
		for name, r := range app.rooms {
			require.Equal(t, name, r.name)
			require.Empty(t, r.members, name)
			require.Empty(t, m.Occupants(app.name, name))
			require.False(t, r.byClient && m.cfg.DropEmptyRooms, "an empty room: %s", name)
		}
		for sid, s := range app.sessions {
			require.Empty(t, s.conns, sid)
		}
		for name, r := range m.Rooms(app.name) {
			require.Equal(t, ListedRoom{RoomName: name}, r)
		}
	}
	require.Equal(t, made, m.made)
}

// A serverScene is the config section of a script: the server's options, and what its hooks
// do. A login says with its credential what becomes of it, see sceneCredential, and a room's
// parameter whether it may be joined.
type serverScene struct {
	ServerConfig
	Ask    map[string]ErrorCode   // types of messages that are refused; not nil: all are asked about
	Create map[string]sceneRoom   // by room
	ICE    map[string][]ICEServer // by user; nil fails
}

type sceneRoom struct {
	Refuse ErrorCode
	Fail   bool
	Field  FieldMap
}

// A sceneCredential is what a login in a script is to become.
type sceneCredential struct {
	Refuse          ErrorCode
	Fail, Anonymous bool
	ID, Username    string
	Field, Session  FieldMap
}

func readServerScene(t *testing.T, s *script.Script) (sc serverScene) {
	s.Config(t, &sc)
	return sc
}

var errScene = errors.New("the hook has failed")

func sceneError(code ErrorCode, fail bool) error {
	switch {
	case fail:
		return errScene
	case code != "":
		return &Error{ErrorCode: code}
	}
	return nil
}

// options are what the server of a scene is made with.
func (sc serverScene) options() *ServerOptions {
	opts := &ServerOptions{ServerConfig: sc.ServerConfig}
	opts.NewID, opts.NewSID = countedIDs("id"), countedIDs("sid")
	opts.Authenticate = func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
		var c sceneCredential
		if l.Credential != nil && l.Credential[0] == '{' {
			if err := json.Unmarshal(l.Credential, &c); err != nil {
				return err
			}
		}
		if c.ID != "" {
			l.EasyrtcID = c.ID
		}
		if c.Username != "" || c.Anonymous {
			l.Username = c.Username
		}
		l.Field, l.SessionField = c.Field, c.Session
		return sceneError(c.Refuse, c.Fail)
	}
	opts.AuthorizeRoomCreate = func(_ context.Context, _ *ServerSession, r *RoomEntry) (FieldMap, error) {
		room := sc.Create[r.Room]
		return room.Field, sceneError(room.Refuse, room.Fail)
	}
	opts.AuthorizeRoomJoin = func(_ context.Context, _ *ServerSession, r *RoomEntry) error {
		var p sceneRoom
		if r.Parameter != nil && r.Parameter[0] == '{' {
			if err := json.Unmarshal(r.Parameter, &p); err != nil {
				return err
			}
		}
		return sceneError(p.Refuse, p.Fail)
	}
	opts.Message = func(_ context.Context, _ *ServerSession, m *Msg) (*Msg, error) {
		switch m.MsgType {
		case "echo":
			return &Msg{Packet: Packet{Attachments: m.Attachments}, MsgType: "echoed", MsgData: m.MsgData}, nil
		case "fail":
			return nil, errScene
		case "refuse":
			return nil, &Error{ErrorCode: "NO_SUCH_THING"}
		}
		return nil, nil
	}
	if sc.ICE != nil {
		opts.ICEServersFor = func(_ context.Context, _ *ServerSession, c ClientInfo) ([]ICEServer, error) {
			servers, ok := sc.ICE[c.Username]
			if ok && servers == nil {
				return nil, errScene
			}
			return servers, nil
		}
	}
	if sc.Ask != nil {
		opts.AuthorizeCommand = func(_ context.Context, _ *ServerSession, m Message) error {
			code, ok := sc.Ask[m.wireType()]
			return sceneError(code, ok && code == "")
		}
	}
	return opts
}

// theApplication is the peer in scripts that is the server's application. What it says is an
// applicationCall; it hears what comes of it.
const theApplication = "app"

// An applicationCall is one of these.
type applicationCall struct {
	Push        string          // to a client, by easyrtcid, a Packet
	Packet      json.RawMessage // ["easyrtcMsg",{…}]
	Session     string          // of a client, gets Field
	Throw       string          // a client, out
	Room        string          // of Application, gets Field
	Application string          // gets Field
	Field       FieldMap
	Rooms       string    // of an application
	Occupants   [2]string // of an application, a room
	Len         bool      // how many connections there are
}

// call carries out what the application says.
func (a applicationCall) call(m *ServerMachine, now time.Time) (fx ServerEffects, answer any) {
	peer, _ := m.Peer(a.Push + a.Session + a.Throw)
	answer = true
	switch {
	case a.Push != "":
		msg, err := Decode(append([]byte("2"), a.Packet...))
		if err == nil {
			err = msg.Validate()
		}
		if err != nil {
			return fx, err.Error()
		}
		fx, answer = m.Push(now, peer, msg)
	case a.Session != "":
		fx, answer = m.SetSessionField(now, peer, a.Field)
	case a.Throw != "":
		fx = m.ThrowOut(now, peer)
	case a.Room != "":
		fx = m.AddRoom(now, a.Application, a.Room, a.Field)
	case a.Application != "":
		m.AddApplication(a.Application, a.Field)
	case a.Rooms != "":
		numbers := make(map[string]int)
		for name, r := range m.Rooms(a.Rooms) {
			numbers[name] = r.NumberClients
		}
		answer = numbers
	case a.Occupants != [2]string{}:
		ids := []string{}
		for _, o := range m.Occupants(a.Occupants[0], a.Occupants[1]) {
			ids = append(ids, o.EasyrtcID)
		}
		answer = ids
	default:
		answer = m.Len()
	}
	return fx, answer
}

func decodeCall(data []byte) (a applicationCall, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return a, d.Decode(&a)
}

func answerEvent(answer any) script.Event {
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return script.Event{Data: text}
}

// packetEvent is a packet as scripts have it: 430[…] becomes {"430":[…]}. Other messages
// stay as they are.
func packetEvent(data []byte) script.Event {
	n := 0
	for n < len(data) && (data[n] == '-' || '0' <= data[n] && data[n] <= '9') {
		n++
	}
	if n == 0 && len(data) > 0 && data[0] == '/' || n == 1 && len(data) > 1 && data[1] == '/' {
		n = bytes.IndexByte(data, ',') + 1
	}
	if n == 0 || n == len(data) {
		return script.Event{Data: data}
	}
	head, _ := json.Marshal("4" + string(data[:n]))
	return script.Event{Data: fmt.Appendf(nil, "{%s:%s}", head, data[n:])}
}

// sentPacket is the packet behind the character of Engine.IO that scripts have in front.
func sentPacket(m script.Message) script.Message {
	if !m.Binary && len(m.Data) > 0 && m.Data[0] == '4' {
		m.Data = m.Data[1:]
	}
	return m
}

// heardPacket is what arrives at an end of a pipe.
func heardPacket(data []byte, binary bool) script.Event {
	if binary {
		return script.Event{Data: data}
	}
	return packetEvent(data)
}

// A serverWire is a machine with the codec and the hooks around it: packets in, packets out.
// It is a target of scripts, inside a bubble of synctest.
type serverWire struct {
	script.ServerWire[PeerID, ServerEffects, *Decoder]
	server *Server // its machine and its decisions, not its connections
}

func newServerWire(sc serverScene) *serverWire {
	w := &serverWire{server: NewServer(sc.options())}
	w.Machine, w.Apply = w.server.machine, w.apply
	return w
}

func (w *serverWire) Open(name string, args []string) error {
	p := w.Appear(name)
	if name == theApplication {
		return nil
	}
	p.Own = &Decoder{Limit: DefaultMessageBytes, trusted: true}
	w.Number(p)
	var c Connection
	if len(args) > 0 {
		c.EngineIO = 3
	}
	w.apply(w.server.machine.Connect(time.Now(), p.ID, c))
	return nil
}

func (w *serverWire) Send(name string, m script.Message) error {
	if name == theApplication {
		a, err := decodeCall(m.Data)
		if err != nil {
			return err
		}
		fx, answer := a.call(w.server.machine, time.Now())
		w.Peer(name).Hear(answerEvent(answer))
		w.apply(fx)
		return nil
	}
	p, err := w.Present(name)
	if err != nil {
		return err
	}
	msg, err := p.Own.Decode(m.Type(), sentPacket(m).Data)
	switch {
	case err != nil:
		w.apply(w.server.machine.Malformed(time.Now(), p.ID, asDecodeError(err)))
	case msg != nil:
		w.apply(w.server.machine.Receive(time.Now(), p.ID, msg))
	}
	return nil
}

// apply carries out effects, as the driver does.
func (w *serverWire) apply(fx ServerEffects) {
	for _, d := range fx.Send {
		p := w.Of(d.To)
		data, err := Encode(d.Message)
		if err != nil {
			panic(err)
		}
		if p.Gone {
			continue
		}
		p.Hear(packetEvent(data))
		for _, a := range attachments(d.Message) {
			p.Hear(script.Event{Data: a})
		}
	}
	for _, c := range fx.Close {
		p := w.Of(c.Peer)
		p.Gone = true
		p.Hear(script.Event{Closed: int(c.Code)})
	}
	for _, q := range fx.Ask {
		d := w.server.decide(context.Background(), &ServerSession{server: w.server}, q)
		w.apply(w.server.machine.Decide(time.Now(), q.Ticket, d))
	}
}

// end disconnects everybody and checks that the machine has forgotten them.
func (w *serverWire) end(t *testing.T) {
	w.DisconnectAll()
	requireNobodyLeft(t, w.server.machine)
}

// serverPipes are raw ends of pipes to a server. They are a target of scripts.
type serverPipes struct {
	script.Ends
	server *Server
}

// engineIO3 is a connection of version 3 of Engine.IO.
type engineIO3 struct{ transport.Conn }

func (engineIO3) EngineIO() engineio.Version { return engineio.V3 }

func newServerPipes(sc serverScene) *serverPipes {
	p := &serverPipes{server: NewServer(sc.options())}
	p.Say, p.Hear = sentPacket, heardPacket
	return p
}

func (p *serverPipes) Open(name string, args []string) error {
	if name == theApplication {
		p.Appear(name)
		return nil
	}
	p.Connect(name, func(ctx context.Context, conn transport.Conn) error {
		if len(args) > 0 {
			conn = engineIO3{conn}
		}
		return p.server.Serve(ctx, conn)
	})
	synctest.Wait() // it has its number
	return nil
}

func (p *serverPipes) Send(name string, m script.Message) error {
	if name != theApplication {
		return p.Ends.Send(name, m)
	}
	a, err := decodeCall(m.Data)
	if err != nil {
		return err
	}
	var answer any
	p.server.step(func(now time.Time) (fx ServerEffects) {
		fx, answer = a.call(p.server.machine, now)
		return fx
	})
	p.Tell(name, answerEvent(answer))
	return nil
}

// end closes everything and checks that the server has forgotten it.
func (p *serverPipes) end(t *testing.T) {
	_ = p.CloseAll() // the server may have been first
	require.NoError(t, p.server.Close())
	synctest.Wait()
	requireNobodyLeft(t, p.server.machine)
	require.Empty(t, p.server.gone)
	for range p.server.Sessions() {
		require.Fail(t, "a session that nobody has")
	}
}
