package galenepion_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/transport"
)

// all requests every stream.
var all = map[string][]galene.TrackKind{"": {galene.TrackAudio, galene.TrackVideo}}

// A world is a server to which clients connect through pipes. Everybody may join its group
// "test" as an operator.
type world struct {
	t      *testing.T
	server *galene.Server
}

// newWorld makes a world whose server relays between two users unless opts has a router.
func newWorld(t *testing.T, opts galene.ServerOptions) *world {
	t.Helper()
	opts.Groups = galene.Groups{"test": {Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "op"}}}
	opts.Limits = galene.Limits{Messages: -1, Bytes: -1} // a test says more in a second than anybody else
	w := &world{t, galene.NewServer(&opts)}
	t.Cleanup(func() { require.NoError(t, w.server.Close()) })
	return w
}

// dial opens a connection that a test can watch.
func (w *world) dial() *wire {
	return &wire{Wire: piontest.Dial(w.server.Serve, galene.Decode), late: heard.New[galene.Message]()}
}

// A plan says how a member is made.
type plan struct {
	name    string
	opts    galenepion.Options
	request map[string][]galene.TrackKind // nil requests nothing
	redial  bool                          // after a loss
	// settings are those of its peer connections; nil keeps them on the loopback interface.
	settings *webrtc.SettingEngine
}

// A member is a client in the group with its peer, which runs, and with a record of what
// its hooks heard.
type member struct {
	*galenepion.Peer
	t        *testing.T
	client   *galene.Client
	streams  *heard.Record[*galenepion.Subscription]
	closed   *heard.Record[closing]
	files    *heard.Record[*galenepion.IncomingFile]
	messages *heard.Record[galene.Message] // that are not about streams or files
	warnings *heard.Record[string]
	ran      *heard.Record[error] // what Run returned

	flows *piontest.Flows

	mu   sync.Mutex
	wire *wire // the present one
}

// A closing is what OnClosed heard.
type closing struct {
	stream *galenepion.Subscription
	err    error
}

// join makes a member that receives what it requests.
func (w *world) join(p plan) *member {
	w.t.Helper()
	m := &member{
		t:        w.t,
		streams:  heard.New[*galenepion.Subscription](),
		closed:   heard.New[closing](),
		files:    heard.New[*galenepion.IncomingFile](),
		messages: heard.New[galene.Message](),
		warnings: heard.New[string](),
		ran:      heard.New[error](),
		wire:     w.dial(),
		flows:    piontest.NewFlows(),
	}
	opts := galene.ClientOptions{Backoff: galene.Backoff{Min: time.Millisecond, Max: time.Millisecond}}
	if p.redial {
		opts.Redial = func(context.Context) (transport.Conn, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.wire = w.dial()
			return m.wire, nil
		}
	}
	var err error
	m.client, err = galene.Connect(w.t.Context(), m.wire, &opts)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, m.client.Close()) })
	_, err = m.client.Join(w.t.Context(), &galene.Join{Group: "test", Username: &p.name})
	require.NoError(w.t, err)

	o := p.opts
	o.Settings = loopback.Settings()
	if p.settings != nil {
		o.Settings = *p.settings
	}
	o.Logger = heard.Warnings(m.warnings)
	o.OnMessage = func(msg galene.Message) { m.messages.Add(msg) }
	o.OnTrack = func(s *galenepion.Subscription, track *webrtc.TrackRemote) { m.flows.Receive(track.ID(), s, track) }
	o.OnStream = func(s *galenepion.Subscription) {
		m.streams.Add(s)
		if p.opts.OnStream != nil {
			p.opts.OnStream(s)
		}
	}
	o.OnClosed = func(s *galenepion.Subscription, err error) { m.closed.Add(closing{s, err}) }
	if o.OnFile == nil {
		o.OnFile = func(f *galenepion.IncomingFile) { m.files.Add(f) }
	}
	m.Peer = galenepion.NewPeer(m.client, &o)
	w.t.Cleanup(func() { require.NoError(w.t, m.Close()) })
	piontest.Run(w.t, func(ctx context.Context) error {
		m.ran.Add(m.Run(ctx))
		return nil
	})
	if p.request != nil {
		require.NoError(w.t, m.client.Request(p.request))
	}
	return m
}

// newPair makes a sender, and a receiver of everything.
func newPair(t *testing.T) (sender, receiver *member) {
	t.Helper()
	w := newWorld(t, galene.ServerOptions{})
	sender = w.join(plan{name: "sender"})
	receiver = w.join(plan{name: "receiver", request: all})
	sender.meet(receiver)
	receiver.meet(sender)
	return sender, receiver
}

// meet waits until a member knows another one.
func (m *member) meet(other *member) {
	m.t.Helper()
	id := other.client.ID()
	if m.client.User(id) == nil {
		heard.Await(m.t, "user", m.messages, func(m galene.Message) bool {
			u, ok := m.(*galene.User)
			return ok && u.ID == id
		})
	}
}

// publish publishes tracks, which somebody receives.
func (m *member) publish(opts *galenepion.PublishOptions, tracks ...webrtc.TrackLocal) *galenepion.Publication {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), heard.Patience)
	defer cancel()
	pub, err := m.Publish(ctx, opts, tracks...)
	require.NoError(m.t, err)
	return pub
}

// cut breaks the connection to the server.
func (m *member) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wire.Cut()
}

// line returns the present connection to the server.
func (m *member) line() *wire {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wire
}

// requireStream waits for a stream that the server offers.
func (m *member) requireStream() *galenepion.Subscription {
	m.t.Helper()
	return heard.Next(m.t, "stream", m.streams)
}

// requireClosed waits for the end of a stream.
func (m *member) requireClosed(s *galenepion.Subscription) error {
	m.t.Helper()
	c := heard.Await(m.t, "end of a stream", m.closed, func(c closing) bool { return c.stream == s })
	require.Equal(m.t, c.err, s.Err())
	return c.err
}

// requireQuiet checks that nothing was refused.
func (m *member) requireQuiet() {
	m.t.Helper()
	require.Empty(m.t, m.warnings.All())
}

// A wire is a client's end of a connection.
type wire struct {
	*piontest.Wire[galene.Message]
	late *heard.Record[galene.Message] // candidates that went before their description

	mu    sync.Mutex
	holds bool
	held  []byte // a description
}

func (w *wire) Write(typ transport.MessageType, msg []byte) error {
	m, err := galene.Decode(msg)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m.(type) {
	case *galene.Offer, *galene.Answer:
		if w.holds {
			w.held = slices.Clone(msg)
			return nil
		}
	case *galene.ICE:
		if w.held == nil {
			break
		}
		if err := w.Wire.Write(typ, msg); err != nil {
			return err
		}
		msg, w.held, w.holds = w.held, nil, false
		w.late.Add(m)
	}
	return w.Wire.Write(typ, msg)
}

// candidatesFirst holds the next description back until one of its candidates has gone.
func (w *wire) candidatesFirst() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds = true
}
