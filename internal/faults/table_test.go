package faults

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A protocol is a row of the table.
type protocol struct {
	name string
	// presence says that the host is told of guests that have gone.
	presence bool
	// silent is how long a connection that says nothing may stay, by the documentation of the
	// server and of its carrier.
	silent time.Duration
	// lingers is how long somebody may still count whose connections are lost, 0 where there
	// is one connection, whose end everybody sees.
	lingers time.Duration
	tls     bool // below everything
	// serve makes a server and what it is reached by.
	serve func(s settings) *server
	// dial opens a connection for a host or a guest.
	dial func(ctx context.Context, at place, name string, host bool) (transport.Conn, error)
	// join makes a member of the room of what dial has opened.
	join func(ctx context.Context, conn transport.Conn, name string, host bool, again comeback) (*voice, error)
	// machine makes a server's machine; see the tests of clocks.
	machine func() *machine
	// lost is what a request says whose connection is lost, unless it says what has ended it.
	lost error
}

// protocols is the table.
var protocols = []protocol{cuttlefishRow, easyrtcRow, galeneRow, mediasoupRow, mseRow}

// carried is the table, and what has other carriers than a WebSocket on TCP.
var carried = append(slices.Clone(protocols), pollingRow, overTLS(galeneRow))

// each runs a test for every protocol.
func each(t *testing.T, test func(t *testing.T, p *protocol)) { eachOf(t, protocols, test) }

// eachOf runs a test for some rows.
func eachOf(t *testing.T, rows []protocol, test func(t *testing.T, p *protocol)) {
	for i := range rows {
		p := &rows[i]
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// settings are what tests want of a server beyond the defaults.
type settings struct {
	limits  link.Limits    // of what a peer sends
	carrier wsconn.Options // of its WebSockets; of Engine.IO only the WriteTimeout
	// Engine.IO notices after both that a client has gone; 0 are the defaults.
	pingInterval, pingTimeout time.Duration
}

// A server is one of some protocol. Its room is the only one in use.
type server struct {
	http.Handler
	close    func() error
	sessions func() int // how many connections the server has
	members  func() int // how many members the room has
}

// A place is where a server is.
type place struct {
	url    string
	client *http.Client // nil dials the loopback interface
	addr   string       // of the loopback interface
}

// A comeback says how a client comes back; a nil redial lets it end.
type comeback struct {
	redial  func(ctx context.Context) (transport.Conn, error)
	backoff link.Backoff
	inbox   int // how many messages may wait for it, as the options of clients have it
}

// What somebody hears.
type occurrence struct {
	kind occurrenceKind
	who  string // is known to the host by this
	text string
}

type occurrenceKind int

const (
	other occurrenceKind = iota
	said
	left
	back // its own connection is another one now
)

// A voice is a member of a room in the words that protocols have in common.
type voice struct {
	next   func(ctx context.Context) (occurrence, error)
	say    func(text string) error      // a guest to the host, and maybe to others
	answer func(who, text string) error // the host to a guest, and maybe to others
	close  func() error
	done   <-chan struct{}
	err    func() error
}

// A party is somebody in a room, who notes what it hears. A host answers guests.
type party struct {
	*voice
	name   string
	pumped chan struct{} // after the last occurrence

	mu      sync.Mutex
	heard   []occurrence
	changed chan struct{}
	quiet   bool // keeps nothing
}

const answerMark = "re:"

func newParty(v *voice, name string, host bool) *party {
	p := &party{voice: v, name: name, pumped: make(chan struct{}), changed: make(chan struct{})}
	go p.pump(host)
	return p
}

func (p *party) pump(host bool) {
	defer close(p.pumped)
	for {
		o, err := p.next(context.Background())
		if err != nil {
			return
		}
		if o.kind == other {
			continue
		}
		mark := strings.HasPrefix(o.text, answerMark)
		if o.kind == said && host == mark {
			continue // its own, or not for it
		}
		if host && o.kind == said {
			_ = p.answer(o.who, answerMark+o.text) // the guest may be gone
		}
		p.mu.Lock()
		if !p.quiet {
			p.heard = append(p.heard, o)
		}
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
}

// patience is how long anybody waits for what must come, in a bubble's time or on a loaded
// machine.
const patience = 5 * time.Minute

var errMissed = errors.New("faults: what was waited for did not come")

// await returns the first occurrence that fits and forgets those before it.
func (p *party) await(ctx context.Context, fits func(o occurrence) bool) (occurrence, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		p.mu.Lock()
		for i, o := range p.heard {
			if fits(o) {
				p.heard = p.heard[i+1:]
				p.mu.Unlock()
				return o, nil
			}
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-p.pumped:
			return occurrence{}, fmt.Errorf("%w: %s has ended: %w", errMissed, p.name, errors.Join(p.err()))
		case <-ctx.Done():
			return occurrence{}, fmt.Errorf("%w: %s: %w", errMissed, p.name, ctx.Err())
		}
	}
}

// hush makes the party keep nothing of what it hears.
func (p *party) hush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = true
}

// take returns what has been heard since the last call.
func (p *party) take() []occurrence {
	p.mu.Lock()
	defer p.mu.Unlock()
	heard := p.heard
	p.heard = nil
	return heard
}

// roundTrip says something that nobody has said before and waits until the host has answered.
func (p *party) roundTrip(ctx context.Context, text string) error {
	if err := p.say(text); err != nil {
		return err
	}
	_, err := p.await(ctx, func(o occurrence) bool { return o.kind == said && o.text == answerMark+text })
	return err
}

// end closes the party and waits for its pump.
func (p *party) end() {
	_ = p.close()
	<-p.pumped
}

// A world is a server with its network. The port may be another one after a restart.
type world struct {
	real  bool // on the loopback interface, in real time
	t     testing.TB
	p     *protocol
	set   settings
	srv   *server
	web   *http.Server
	taps  func(client *wire) // sees each new connection, before it is used; may be nil
	place place

	served chan struct{}

	mu      sync.Mutex
	port    *port
	dials   []time.Time // when somebody tried
	wires   []*wire
	parties []*party
}

// newWorld starts a server in memory, inside a bubble.
func newWorld(t testing.TB, p *protocol, set settings) *world {
	w := &world{t: t, p: p, set: set}
	w.place = w.through(nil)
	w.start()
	t.Cleanup(w.abandon)
	return w
}

// through is where the server in memory is for somebody whose connections go past a tap, as
// soon as they are there.
func (w *world) through(tap func(client *wire)) place {
	return w.p.place("example.com", func(context.Context, string, string) (net.Conn, error) {
		c, err := w.wire()
		if err != nil {
			return nil, err // not a nil *wire
		}
		if tap != nil {
			tap(c)
		}
		return c, nil
	})
}

// place is where a server is that is dialled in some way.
func (p *protocol) place(addr string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) place {
	scheme := "http://"
	if p.tls {
		scheme = "https://"
	}
	return place{url: scheme + addr, addr: addr, client: &http.Client{Transport: &http.Transport{
		DialContext: dial, TLSClientConfig: trusting, DisableKeepAlives: true,
	}}}
}

// newRealWorld starts a server on the loopback interface.
func newRealWorld(t testing.TB, p *protocol, set settings) *world {
	w := &world{t: t, p: p, set: set, real: true}
	w.start()
	t.Cleanup(w.abandon)
	return w
}

// abandon ends what a test that has failed leaves behind, which would hide why it failed.
func (w *world) abandon() {
	if !w.t.Failed() {
		return
	}
	for _, p := range w.parties {
		go p.close()
	}
	for _, c := range w.wires {
		c.reset()
	}
	_ = w.web.Close()
	_ = w.srv.close()
}

// headerTimeout is what programs that copy the examples have.
const headerTimeout = 10 * time.Second

// start starts the server, or another one in its place.
func (w *world) start() {
	w.srv = w.p.serve(w.set)
	w.web = &http.Server{
		Handler: w.srv, ReadHeaderTimeout: headerTimeout, ErrorLog: log.New(io.Discard, "", 0),
	}
	var at net.Listener
	if w.real {
		var err error
		at, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(w.t, err)
		w.place = w.p.place(at.Addr().String(), new(net.Dialer).DialContext)
		if !w.p.tls {
			w.place.client = nil
		}
	} else {
		w.mu.Lock()
		w.port = newPort()
		at = w.port
		w.mu.Unlock()
	}
	if w.p.tls {
		at = tls.NewListener(at, trusted)
	}
	served := make(chan struct{})
	w.served = served
	web := w.web
	go func() {
		defer close(served)
		_ = web.Serve(at)
	}()
}

// stop stops the server as a program does that is told to.
func (w *world) stop() {
	_ = w.web.Close()
	<-w.served
	require.NoError(w.t, w.srv.close())
}

// wire opens a connection.
func (w *world) wire() (*wire, error) {
	w.mu.Lock()
	at := w.port
	w.dials = append(w.dials, time.Now())
	w.mu.Unlock()
	client, err := at.dial()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.wires = append(w.wires, client)
	w.mu.Unlock()
	if w.taps != nil {
		w.taps(client)
	}
	return client, nil
}

// dialed returns when somebody has tried to connect since the last call.
func (w *world) dialed() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.dials
	w.dials = nil
	return all
}

// A visit says how somebody comes to a room.
type visit struct {
	name     string
	host     bool
	comeback bool
	backoff  link.Backoff
	wrap     func(c transport.Conn) transport.Conn // nil for none
	tap      func(client *wire)                    // see [world.through]; nil for none
}

// enter makes a party, or returns why there is none.
func (p *protocol) enter(ctx context.Context, at place, v visit) (*party, error) {
	dial := func(ctx context.Context) (transport.Conn, error) {
		c, err := p.dial(ctx, at, v.name, v.host)
		if err == nil && v.wrap != nil {
			c = v.wrap(c)
		}
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	again := comeback{backoff: v.backoff, inbox: -1}
	if v.comeback {
		again.redial = dial
	}
	voice, err := p.join(ctx, conn, v.name, v.host, again)
	if err != nil {
		return nil, err
	}
	return newParty(voice, v.name, v.host), nil
}

// try is [protocol.enter] for this world.
func (w *world) try(v visit) (*party, error) {
	at := w.place
	if v.tap != nil {
		at = w.through(v.tap)
	}
	p, err := w.p.enter(context.Background(), at, v)
	if err == nil {
		w.mu.Lock()
		w.parties = append(w.parties, p)
		w.mu.Unlock()
	}
	return p, err
}

// enter is try for those who must get in.
func (w *world) enter(v visit) *party {
	w.t.Helper()
	p, err := w.try(v)
	require.NoError(w.t, err)
	return p
}

// host is the one who answers.
func (w *world) host() *party { return w.enter(visit{name: "host", host: true}) }

func TestAGuestIsAnsweredAndMissed(t *testing.T) {
	t.Parallel()
	eachOf(t, carried, func(t *testing.T, p *protocol) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, p, settings{})
			host := w.host()
			guest := w.enter(visit{name: "guest"})
			require.NoError(t, guest.roundTrip(t.Context(), "hello"))
			o, err := host.await(t.Context(), func(o occurrence) bool { return o.kind == said })
			require.NoError(t, err)
			require.Equal(t, "hello", o.text)
			require.Equal(t, 2, w.srv.sessions())
			guest.end()
			require.NoError(t, guest.err())
			if p.presence {
				gone, err := host.await(t.Context(), func(o occurrence) bool { return o.kind == left })
				require.NoError(t, err)
				require.Equal(t, o.who, gone.who)
			}
			w.requireAlone()
			host.end()
			w.stop()
			w.requireEmpty()
		})
	})
}
