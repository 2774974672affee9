package mediasouppion_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A botWorld is a server with an engine to which bots connect through pipes. Everybody may
// join its one room.
type botWorld struct {
	t      *testing.T
	server *mediasoupproto.Server
	// serve serves a connection of a bot of this name.
	serve func(name string) func(context.Context, transport.Conn) error
}

// newBotWorld makes a world with audio and video.
func newBotWorld(t *testing.T) *botWorld {
	t.Helper()
	return newEngineWorld(t, nil)
}

func newEngineWorld(t *testing.T, opts *mediasouppion.EngineOptions) *botWorld {
	t.Helper()
	engine, err := mediasouppion.NewEngine(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	return newWorldOf(t, mediasoupproto.ServerOptions{Media: engine})
}

func newWorldOf(t *testing.T, opts mediasoupproto.ServerOptions) *botWorld {
	t.Helper()
	opts.AllowAll = true
	opts.Limits = mediasoupproto.Limits{Messages: -1, Bytes: -1} // a test says more in a second than anybody else
	w := &botWorld{t: t, server: mediasoupproto.NewServer(&opts)}
	w.serve = func(string) func(context.Context, transport.Conn) error { return w.server.Serve }
	t.Cleanup(func() { require.NoError(t, w.server.Close()) })
	return w
}

// A wire is a client's end of a connection.
type wire = piontest.Wire[mediasoupproto.Message]

func (w *botWorld) dial(name string) *wire {
	return piontest.Dial(w.serve(name), mediasoupproto.Decode)
}

// A plan says how a bot is made.
type plan struct {
	opts   mediasouppion.Options
	redial bool // after a loss
	manual bool // consumers are recorded and not received
	alert  bool // it soon notices that its path is lost
	unread bool // nobody reads what is received
	// callTimeout is for the answers of the server; 0 is the default.
	callTimeout time.Duration
}

// A bot is a client in the room with its peer, which runs, and with a record of what its
// hooks heard.
type bot struct {
	*mediasouppion.Peer
	t         *testing.T
	name      string
	client    *mediasoupproto.Client
	offered   *heard.Record[*mediasoupproto.ConsumerInfo]
	consumers *heard.Record[*mediasouppion.Consumer] // with a track
	closed    *heard.Record[closing]
	messages  *heard.Record[mediasoupproto.Message]
	warnings  *heard.Record[string]
	ran       *heard.Record[error] // what Run returned

	flows *piontest.Flows // by flow

	mu   sync.Mutex
	wire *wire // the present one
}

// A closing is what OnClosed heard.
type closing struct {
	consumer *mediasouppion.Consumer
	err      error
}

// flow names what arrives of a bot.
func flow(from *bot, kind mediasoupproto.Kind) string { return from.name + " " + string(kind) }

// join makes a bot that receives everything.
func (w *botWorld) join(name string, p plan) *bot {
	w.t.Helper()
	b := &bot{
		t:         w.t,
		name:      name,
		offered:   heard.New[*mediasoupproto.ConsumerInfo](),
		consumers: heard.New[*mediasouppion.Consumer](),
		closed:    heard.New[closing](),
		messages:  heard.New[mediasoupproto.Message](),
		warnings:  heard.New[string](),
		ran:       heard.New[error](),
		flows:     piontest.NewFlows(),
		wire:      w.dial(name),
	}
	opts := mediasoupproto.ClientOptions{
		CallTimeout: p.callTimeout,
		Backoff:     mediasoupproto.Backoff{Min: time.Millisecond, Max: time.Millisecond},
	}
	if p.redial {
		opts.Redial = func(context.Context) (transport.Conn, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.wire = w.dial(name)
			return b.wire, nil
		}
	}
	var err error
	b.client, err = mediasoupproto.Connect(w.t.Context(), b.wire, &opts)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, b.client.Close()) })
	b.Peer, _, err = mediasouppion.Join(b.patience(), b.client, &mediasoupproto.Join{PeerName: name}, b.options(p))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, b.Close()) })
	piontest.Run(w.t, func(ctx context.Context) error {
		b.ran.Add(b.Run(ctx))
		return nil
	})
	return b
}

// options are those of a plan, with hooks that record.
func (b *bot) options(p plan) *mediasouppion.Options {
	o := p.opts
	o.Settings = loopback.Settings()
	if p.alert {
		o.Settings.SetICETimeouts(500*time.Millisecond, 500*time.Millisecond, 100*time.Millisecond)
	}
	o.Logger = heard.Warnings(b.warnings)
	if p.manual {
		o.OnConsumer = func(info *mediasoupproto.ConsumerInfo) { b.offered.Add(info) }
	}
	o.OnTrack = func(c *mediasouppion.Consumer, track *webrtc.TrackRemote) {
		b.consumers.Add(c)
		if p.unread {
			return
		}
		b.flows.Receive(fmt.Sprintf("%s %s", c.PeerName(), c.Kind()), c, track)
	}
	o.OnClosed = func(c *mediasouppion.Consumer, err error) { b.closed.Add(closing{c, err}) }
	o.OnMessage = func(m mediasoupproto.Message) { b.messages.Add(m) }
	return &o
}

// newPair makes two bots that receive everything.
func newPair(t *testing.T) (sender, receiver *bot) {
	t.Helper()
	w := newBotWorld(t)
	return w.join("sender", plan{}), w.join("receiver", plan{})
}

// patience bounds what a test waits for.
func (b *bot) patience() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), heard.Patience)
	b.t.Cleanup(cancel)
	return ctx
}

// publish publishes a track, which the server takes.
func (b *bot) publish(track webrtc.TrackLocal, opts *mediasouppion.PublishOptions) *mediasouppion.Producer {
	b.t.Helper()
	pr, err := b.Publish(b.patience(), track, opts)
	require.NoError(b.t, err)
	return pr
}

// requireConsumer waits for a consumer with its track.
func (b *bot) requireConsumer(kind mediasoupproto.Kind) *mediasouppion.Consumer {
	b.t.Helper()
	return heard.Await(b.t, "consumer of "+string(kind), b.consumers, func(c *mediasouppion.Consumer) bool {
		return c.Kind() == kind
	})
}

// requireClosed waits for the end of a consumer.
func (b *bot) requireClosed(c *mediasouppion.Consumer) error {
	b.t.Helper()
	end := heard.Await(b.t, "end of a consumer", b.closed, func(end closing) bool { return end.consumer == c })
	require.Equal(b.t, end.err, c.Err())
	return end.err
}

// requireQuiet checks that nothing was refused.
func (b *bot) requireQuiet() {
	b.t.Helper()
	require.Empty(b.t, b.warnings.All())
}

// line returns the present connection to the server.
func (b *bot) line() *wire {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wire
}

// inject makes a bot hear what the server has not said.
func (b *bot) inject(m mediasoupproto.Message) {
	b.t.Helper()
	msg, err := mediasoupproto.Encode(m)
	require.NoError(b.t, err)
	require.NoError(b.t, b.line().Theirs.Write(transport.Text, msg))
}

// keyFrame is a frame of VP8 that servers take for a key frame.
var keyFrame = []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x10, 0, 0x10, 0}

// picture makes a track of key frames that is fed until the test ends.
func picture(t *testing.T) *webrtc.TrackLocalStaticSample {
	t.Helper()
	vp8 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}
	track, err := webrtc.NewTrackLocalStaticSample(vp8, "video", "v")
	require.NoError(t, err)
	piontest.Play(t, track, keyFrame)
	return track
}

// requireNone checks that there is no message of a type in a record.
func requireNone[M mediasoupproto.Message](t *testing.T, r *heard.Record[mediasoupproto.Message]) {
	t.Helper()
	for _, m := range r.All() {
		_, is := m.(M)
		require.False(t, is, "%T", m)
	}
}
