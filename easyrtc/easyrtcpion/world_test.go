package easyrtcpion_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtcpion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A world is a server to which clients connect through pipes. Their ids are their names;
// who comes again gets a number behind it.
type world struct {
	t      *testing.T
	server *easyrtc.Server

	mu     sync.Mutex
	logins map[string]int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, logins: make(map[string]int)}
	w.server = easyrtc.NewServer(&easyrtc.ServerOptions{
		Authenticate: w.authenticate,
		Limits:       easyrtc.Limits{Messages: -1, Bytes: -1}, // a test says more in a second than anybody else
	})
	t.Cleanup(func() { require.NoError(t, w.server.Close()) })
	return w
}

func (w *world) authenticate(_ context.Context, _ *easyrtc.ServerSession, l *easyrtc.LoginRequest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.EasyrtcID = l.Username
	if n := w.logins[l.Username]; n > 0 {
		l.EasyrtcID = fmt.Sprint(l.Username, n)
	}
	w.logins[l.Username]++
	return nil
}

// dial opens a connection that a test can watch.
func (w *world) dial() *wire { return piontest.Dial(w.server.Serve, easyrtc.Decode) }

// A plan says how a member is made.
type plan struct {
	name   string
	opts   easyrtcpion.Options
	rooms  []string // none is the default one
	redial bool     // after a loss
	accept []webrtc.TrackLocal
	manual bool // calls are recorded and not accepted
	echo   bool // messages are sent back
}

// A member is a client in the world with its peer, which runs, and with a record of what
// its hooks heard.
type member struct {
	*easyrtcpion.Peer
	t        *testing.T
	client   *easyrtc.Client
	incoming *heard.Record[*easyrtcpion.IncomingCall]
	accepted *heard.Record[*easyrtcpion.Call]
	closed   *heard.Record[closing]
	opened   *heard.Record[*easyrtcpion.Call]
	messages *heard.Record[said]
	received *heard.Record[string] // names of own streams
	files    *heard.Record[*easyrtcpion.IncomingFiles]
	other    *heard.Record[easyrtc.Message]
	warnings *heard.Record[string]
	ran      *heard.Record[error] // what Run returned

	flows *piontest.Flows

	mu   sync.Mutex
	wire *wire // the present one
}

// said is a message on a data channel.
type said struct{ from, msgType, data string }

// A closing is what OnClosed heard.
type closing struct {
	call *easyrtcpion.Call
	err  error
}

// join makes a member.
func (w *world) join(p plan) *member {
	w.t.Helper()
	m := &member{
		t:        w.t,
		incoming: heard.New[*easyrtcpion.IncomingCall](),
		accepted: heard.New[*easyrtcpion.Call](),
		closed:   heard.New[closing](),
		opened:   heard.New[*easyrtcpion.Call](),
		messages: heard.New[said](),
		received: heard.New[string](),
		files:    heard.New[*easyrtcpion.IncomingFiles](),
		other:    heard.New[easyrtc.Message](),
		warnings: heard.New[string](),
		ran:      heard.New[error](),
		wire:     w.dial(),
		flows:    piontest.NewFlows(),
	}
	m.client = w.connect(m, p)
	m.Peer = easyrtcpion.NewPeer(m.client, m.options(p))
	w.t.Cleanup(func() { require.NoError(w.t, m.Close()) })
	piontest.Run(w.t, func(ctx context.Context) error {
		m.ran.Add(m.Run(ctx))
		return nil
	})
	return m
}

func (w *world) connect(m *member, p plan) *easyrtc.Client {
	w.t.Helper()
	opts := easyrtc.ClientOptions{Backoff: easyrtc.Backoff{Min: time.Millisecond, Max: time.Millisecond}}
	if p.redial {
		opts.Redial = func(context.Context) (transport.Conn, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.wire = w.dial()
			return m.wire, nil
		}
	}
	client, err := easyrtc.Connect(w.t.Context(), m.wire, &opts)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, client.Close()) })
	_, err = client.Login(w.t.Context(), &easyrtc.Login{Username: p.name, Rooms: p.rooms})
	require.NoError(w.t, err)
	return client
}

// options are those of a plan, with hooks that record.
func (m *member) options(p plan) *easyrtcpion.Options {
	o := p.opts
	if o.API == nil {
		o.Settings = loopback.Settings()
	}
	o.Logger = heard.Warnings(m.warnings)
	o.OnMessage = func(msg easyrtc.Message) { m.other.Add(msg) }
	o.OnTrack = func(c *easyrtcpion.Call, track *webrtc.TrackRemote) { m.flows.Receive(track.ID(), c, track) }
	o.OnOpen = func(c *easyrtcpion.Call) { m.opened.Add(c) }
	o.OnStreamReceived = func(_ *easyrtcpion.Call, name string) { m.received.Add(name) }
	o.OnClosed = func(c *easyrtcpion.Call, err error) { m.closed.Add(closing{c, err}) }
	o.OnFiles = func(f *easyrtcpion.IncomingFiles) { m.files.Add(f) }
	o.OnCall = func(in *easyrtcpion.IncomingCall) {
		if p.manual {
			m.incoming.Add(in)
			return
		}
		if c, err := in.Accept(p.accept...); err == nil {
			m.accepted.Add(c)
		}
	}
	o.OnData = func(c *easyrtcpion.Call, d *easyrtc.DataMessage) {
		m.messages.Add(said{c.EasyrtcID(), d.MsgType, string(d.MsgData)})
		if p.echo {
			_ = c.Send(context.Background(), "echo", d.MsgData) // the end of the call ends it
		}
	}
	return &o
}

// newPair makes a caller and a callee that know each other. The id of the caller, alice, is
// the smaller one.
func newPair(t *testing.T, alice, bob plan) (caller, callee *member) {
	t.Helper()
	w := newWorld(t)
	alice.name, bob.name = "alice", "bob"
	caller, callee = w.join(alice), w.join(bob)
	caller.meet(callee)
	return caller, callee
}

// id returns the client's.
func (m *member) id() string { return m.client.EasyrtcID() }

// meet waits until a member knows another one.
func (m *member) meet(other *member) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), heard.Patience)
	defer cancel()
	_, err := m.client.AwaitOccupant(ctx, "default", func(o *easyrtc.Occupant) bool { return o.EasyrtcID == other.id() })
	require.NoError(m.t, err)
}

// patience bounds what a test waits for.
func (m *member) patience() context.Context {
	ctx, cancel := context.WithTimeout(m.t.Context(), heard.Patience)
	m.t.Cleanup(cancel)
	return ctx
}

// call calls another member, who accepts.
func (m *member) call(other *member, tracks ...webrtc.TrackLocal) *easyrtcpion.Call {
	m.t.Helper()
	c, err := m.Call(m.patience(), other.id(), tracks...)
	require.NoError(m.t, err)
	return c
}

// requireCall waits for a call that was accepted and connected.
func (m *member) requireCall() *easyrtcpion.Call {
	m.t.Helper()
	c := heard.Next(m.t, "call", m.accepted)
	require.NoError(m.t, c.AwaitConnected(m.patience()))
	return c
}

// requireEcho says something on the data channel to a member that sends it back.
func (m *member) requireEcho(c *easyrtcpion.Call, data string) {
	m.t.Helper()
	require.NoError(m.t, c.Send(m.patience(), "say", []byte(data)))
	require.Equal(m.t, data, m.awaitMessage("echo").data)
}

func (m *member) awaitMessage(msgType string) said {
	m.t.Helper()
	return heard.Await(m.t, "message "+msgType, m.messages, func(s said) bool { return s.msgType == msgType })
}

// requireClosed waits for the end of a call.
func (m *member) requireClosed(c *easyrtcpion.Call) error {
	m.t.Helper()
	end := heard.Await(m.t, "end of a call", m.closed, func(c2 closing) bool { return c2.call == c })
	require.Equal(m.t, end.err, c.Err())
	return end.err
}

// requireQuiet checks that nothing was refused.
func (m *member) requireQuiet() {
	m.t.Helper()
	require.Empty(m.t, m.warnings.All())
}

// line returns the present connection to the server.
func (m *member) line() *wire {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wire
}

// A wire is a client's end of a connection.
type wire = piontest.Wire[easyrtc.Message]

// inject makes a client hear what the server has not said.
func inject(w *wire, m easyrtc.Message) error {
	msg, err := easyrtc.Encode(m)
	if err != nil {
		return err
	}
	return w.Theirs.Write(transport.Text, msg)
}

// isCall reports whether a message is a description or a candidate.
func isCall(m easyrtc.Message) bool {
	switch m.(type) {
	case *easyrtc.Offer, *easyrtc.Answer, *easyrtc.Candidate:
		return true
	}
	return false
}

// count returns how many messages of a type are in a record.
func count[M easyrtc.Message](r *heard.Record[easyrtc.Message]) (n int) {
	for _, m := range r.All() {
		if _, ok := m.(M); ok {
			n++
		}
	}
	return n
}
