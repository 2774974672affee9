package msepion_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/piontest"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A world is a server to which clients connect through pipes. Tokens are
// "domain/room/user".
type world struct {
	t      *testing.T
	server *msejsonrpc.Server
}

func newWorld(t *testing.T, opts msejsonrpc.ServerOptions) *world {
	t.Helper()
	opts.Authenticate = authenticate
	w := &world{t, msejsonrpc.NewServer(&opts)}
	t.Cleanup(func() { require.NoError(t, w.server.Close()) })
	return w
}

func authenticate(_ context.Context, _ *msejsonrpc.ServerSession, auth *msejsonrpc.Auth) (*msejsonrpc.Identity, error) {
	parts := strings.Split(auth.Token, "/")
	if len(parts) != 3 {
		return nil, msejsonrpc.ErrAuthorizationFailed
	}
	return &msejsonrpc.Identity{Domain: parts[0], RoomID: parts[1], UserID: parts[2]}, nil
}

// dial opens a connection; up carries what the client says and down what the server says.
func (w *world) dial() (up, down *wire) {
	ours, theirs := transport.Pipe()
	up, down = newWire(w.t, ours), newWire(w.t, theirs)
	go func() {
		_ = w.server.Serve(context.Background(), down)
		close(down.served)
	}()
	return up, down
}

// signal connects a client over conn; opts may be nil.
func (w *world) signal(conn transport.Conn, token string, opts *msejsonrpc.ClientOptions) *msejsonrpc.Client {
	w.t.Helper()
	o := msejsonrpc.ClientOptions{}
	if opts != nil {
		o = *opts
	}
	o.Token = token
	c, err := msejsonrpc.Connect(w.t.Context(), conn, &o)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, c.Close()) })
	return c
}

// A plan says how a side is made.
type plan struct {
	form   msejsonrpc.Form
	opts   msepion.Options
	tracks []webrtc.TrackLocal
	loop   bool // an own one instead of Run; then the peer connection has started when the bot is there
}

// A pair is the two peers of one session, both running, and what they say to each other.
type pair struct {
	world          *world
	server, client *bot
	up, down       *wire
}

// newPair makes a pair; its server has bots for any number of sessions, see [pair.nextServer].
func newPair(t *testing.T, server, client plan) *pair {
	t.Helper()
	return newPairOver(t, server, client, func(up, down *wire) {})
}

// newPairOver makes a pair whose wires are prepared before anything is said.
func newPairOver(t *testing.T, server, client plan, prepare func(up, down *wire)) *pair {
	t.Helper()
	w, servers := newHost(t, server)
	p := &pair{world: w}
	p.up, p.down = w.dial()
	prepare(p.up, p.down)
	p.client = newBot(t, client, w.signal(p.up, "d/r/client", &msejsonrpc.ClientOptions{Form: client.form}))
	if client.loop {
		require.NoError(t, p.client.Start())
	}
	p.client.run()
	p.server = heard.Next(t, "session", servers)
	return p
}

// newHost makes a server that runs a bot for each session and tells of it.
func newHost(t *testing.T, server plan) (*world, *heard.Record[*bot]) {
	t.Helper()
	servers := heard.New[*bot]()
	return newWorld(t, msejsonrpc.ServerOptions{
		Form:   server.form,
		Limits: msejsonrpc.Limits{Messages: -1, Bytes: -1}, // a test says more in a second than anybody else
		Handle: func(ctx context.Context, s *msejsonrpc.ServerSession) error {
			b := newBot(t, server, s)
			if server.loop {
				if err := b.Start(); err != nil {
					return err
				}
			}
			servers.Add(b)
			err := b.live(ctx, s.Messages)
			b.ran.Add(err)
			return err
		},
	}), servers
}

// A bot is a peer with a record of what its hooks heard. It sends back what it gets on
// data channels that the other side has opened.
type bot struct {
	*msepion.Peer
	t         *testing.T
	client    *msejsonrpc.Client // nil for a server's
	loop      bool
	states    *heard.Record[webrtc.PeerConnectionState]
	opened    *heard.Record[string] // labels
	texts     *heard.Record[said]
	keyFrames *heard.Record[string] // ids of tracks
	warnings  *heard.Record[string]
	ran       *heard.Record[error] // what Run returned

	flows *piontest.Flows
}

// said is what came on a data channel.
type said struct {
	label, data string
	text        bool
}

// newBot makes a bot that does not run, for a *msejsonrpc.Client or *msejsonrpc.ServerSession.
func newBot(t *testing.T, p plan, signaling any) *bot {
	b := &bot{
		t:         t,
		loop:      p.loop,
		states:    heard.New[webrtc.PeerConnectionState](),
		opened:    heard.New[string](),
		texts:     heard.New[said](),
		keyFrames: heard.New[string](),
		warnings:  heard.New[string](),
		ran:       heard.New[error](),
		flows:     piontest.NewFlows(),
	}
	opts := p.opts
	opts.Settings = loopback.Settings()
	opts.Logger = heard.Warnings(b.warnings)
	opts.OnState = func(s webrtc.PeerConnectionState) { b.states.Add(s) }
	opts.OnTrack = func(track *webrtc.TrackRemote) { b.flows.Receive(name(track), nil, track) }
	if p.opts.OnTrack != nil {
		opts.OnTrack = p.opts.OnTrack
	}
	opts.OnKeyFrame = func(track webrtc.TrackLocal) { b.keyFrames.Add(track.ID()) }
	opts.OnChannel = func(ch *webrtc.DataChannel) {
		if p.opts.OnChannel != nil {
			p.opts.OnChannel(ch)
			return
		}
		own := slices.Contains(opts.Labels, ch.Label())
		ch.OnOpen(func() { b.opened.Add(ch.Label()) })
		ch.OnMessage(func(m webrtc.DataChannelMessage) {
			b.texts.Add(said{ch.Label(), string(m.Data), m.IsString})
			if !own {
				_ = ch.SendText("echo of " + string(m.Data))
			}
		})
	}
	switch s := signaling.(type) {
	case *msejsonrpc.Client:
		b.client = s
		b.Peer = msepion.NewPeer(s, &opts)
	case *msejsonrpc.ServerSession:
		b.Peer = msepion.NewServerPeer(s, &opts)
	}
	for _, track := range p.tracks {
		b.AddTrack(track)
	}
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// run runs the bot until the test ends.
func (b *bot) run() {
	piontest.Run(b.t, func(ctx context.Context) error {
		b.ran.Add(b.live(ctx, b.client.Messages))
		return nil
	})
}

// live is Run, or a loop of the application's own.
func (b *bot) live(ctx context.Context, messages func(context.Context) iter.Seq2[msejsonrpc.Message, error]) error {
	if !b.loop {
		return b.Run(ctx)
	}
	for m, err := range messages(ctx) {
		if err != nil {
			return err
		}
		if _, err := b.Handle(m); err != nil {
			return err
		}
	}
	return b.Close()
}

// name is how tests call a track: its stream and its id, or one of them if they are equal.
func name(track *webrtc.TrackRemote) string {
	if track.StreamID() == track.ID() {
		return track.ID()
	}
	return track.StreamID() + "/" + track.ID()
}

func (b *bot) awaitState(s webrtc.PeerConnectionState) {
	b.t.Helper()
	heard.Await(b.t, s.String(), b.states, func(got webrtc.PeerConnectionState) bool { return got == s })
}

func (b *bot) awaitConnected() {
	b.t.Helper()
	b.awaitState(webrtc.PeerConnectionStateConnected)
}

// requireEcho sends a text on a channel of its own that is open, and waits for it to come
// back.
func (b *bot) requireEcho(label, text string) {
	b.t.Helper()
	require.NoError(b.t, b.Channel(label).SendText(text))
	heard.Await(b.t, "echo of "+text, b.texts, func(s said) bool { return s == said{label, "echo of " + text, true} })
}

func (b *bot) awaitOpen(label string) {
	b.t.Helper()
	heard.Await(b.t, "channel "+label, b.opened, func(got string) bool { return got == label })
}

// requireQuiet checks that nothing was refused.
func (b *bot) requireQuiet() {
	b.t.Helper()
	require.Empty(b.t, b.warnings.All())
}

// A wire is one end of a connection. It keeps what is written to it, and may hold it back
// or change it.
type wire struct {
	transport.Conn
	t       *testing.T
	said    *heard.Record[msejsonrpc.Message] // as it is delivered
	reached *heard.Record[msejsonrpc.Message] // before anything is held back or changed
	served  chan struct{}                     // closed when the server has nothing to do with it any more

	mu     sync.Mutex
	change func(m msejsonrpc.Message) []msejsonrpc.Message // nil lets everything through
	held   bool
	queue  []msejsonrpc.Message
}

func newWire(t *testing.T, conn transport.Conn) *wire {
	return &wire{
		Conn: conn, t: t,
		said: heard.New[msejsonrpc.Message](), reached: heard.New[msejsonrpc.Message](),
		served: make(chan struct{}),
	}
}

func (w *wire) Write(typ transport.MessageType, msg []byte) error {
	m, err := msejsonrpc.Decode(msg)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reached.Add(m) // under the lock: unless it is held back, it is on its way before the next hold
	messages := []msejsonrpc.Message{m}
	if w.change != nil {
		messages = w.change(m)
	}
	if w.held && (len(w.queue) > 0 || isMedia(m)) {
		w.queue = append(w.queue, messages...)
		return nil
	}
	return w.deliver(messages)
}

// deliver writes messages. Called under the lock, which keeps them in order.
func (w *wire) deliver(messages []msejsonrpc.Message) error {
	for _, m := range messages {
		data, err := msejsonrpc.Encode(m)
		if err != nil {
			return err
		}
		w.said.Add(m)
		if err := w.Conn.Write(transport.Text, data); err != nil {
			return err
		}
	}
	return nil
}

// hold keeps everything back that is written from the next description or candidate on,
// until release.
func (w *wire) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = true
}

func isMedia(m msejsonrpc.Message) bool {
	switch m.(type) {
	case *msejsonrpc.SDPOffer, *msejsonrpc.ICECandidate:
		return true
	}
	return false
}

func (w *wire) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = false
	queue := w.queue
	w.queue = nil
	_ = w.deliver(queue)
}

// awaitServed waits until the server has nothing to do with the connection any more.
func (w *wire) awaitServed() {
	w.t.Helper()
	select {
	case <-w.served:
	case <-time.After(heard.Patience):
		require.FailNow(w.t, "the connection is not over")
	}
}

// inject writes what no client would write.
func (w *wire) inject(raw string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.Conn.Write(transport.Text, []byte(raw)) // it may be over already
}

// A description is one as it stands on a wire.
type description struct {
	offer bool // in the string form, an offer is what leaves the role of DTLS open
	sdp   string
}

func describe(m msejsonrpc.Message) (description, bool) {
	offer, ok := m.(*msejsonrpc.SDPOffer)
	if !ok {
		return description{}, false
	}
	d, err := offer.Description()
	if err != nil {
		return description{}, false
	}
	return description{strings.Contains(d.SDP, "a=setup:actpass"), d.SDP}, true
}

// ufrag returns the user name fragment of ICE.
func (d description) ufrag() string {
	_, rest, _ := strings.Cut(d.sdp, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r\n")
	return ufrag
}

// sections counts those that are not of data channels.
func (d description) sections() int {
	return strings.Count(d.sdp, "\nm=") - strings.Count(d.sdp, "\nm=application")
}

// descriptions returns those that were delivered and that no test has awaited.
func (w *wire) descriptions() (all []description) {
	for _, m := range w.said.All() {
		if d, ok := describe(m); ok {
			all = append(all, d)
		}
	}
	return all
}

// count returns how many offers and answers were delivered and not awaited.
func (w *wire) count() (offers, answers int) {
	for _, d := range w.descriptions() {
		if d.offer {
			offers++
		} else {
			answers++
		}
	}
	return offers, answers
}

// awaitDescription takes the first offer or answer out of a record of a wire.
func awaitDescription(t *testing.T, r *heard.Record[msejsonrpc.Message], offer bool) description {
	t.Helper()
	what := "answer"
	if offer {
		what = "offer"
	}
	m := heard.Await(t, what+" on the wire", r, func(m msejsonrpc.Message) bool {
		d, ok := describe(m)
		return ok && d.offer == offer
	})
	d, _ := describe(m)
	return d
}
