package interop

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/kit/clip"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/internal/pionpeer/loopback"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msejwt"
	"github.com/rtcsignal/rtcsignal/msejsonrpc/msepion"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// msePageFiles is our page for media servers.
const msePageFiles = "../../examples/kit/mseviewer/page"

// mseLabel is the data channel that the page opens.
const mseLabel = "data"

// A mediaServer is our media server with our page, listening on loopback. All its users
// are in one room.
type mediaServer struct {
	rooms *msepion.Rooms
	key   msejwt.Key
	url   string         // of the page, without a slash at the end
	gates journal[*gate] // one for each connection
	hold  atomic.Bool    // gates are holding from the beginning
}

func startMediaServer(t *testing.T, form msejsonrpc.Form) *mediaServer {
	t.Helper()
	s := &mediaServer{key: msejwt.Key{Algorithm: msejwt.HS256, Key: []byte(rand.Text() + rand.Text())}}
	verifier, err := msejwt.New(&msejwt.Options{Keys: []msejwt.Key{s.key}, Audience: "media"})
	require.NoError(t, err)
	s.rooms = msepion.NewRooms(&msepion.RoomsOptions{Settings: loopback.Settings()})
	signaling := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		Authenticate: verifier.Authenticate,
		Handle:       s.rooms.Handle,
		OnExpired: func(sess *msejsonrpc.ServerSession) {
			sess.Close(transport.StatusPolicyViolation, "token expired")
		},
		Form: form,
	})
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(msePageFiles)))
	mux.Handle("/mse", wsconn.Handler(func(ctx context.Context, conn transport.Conn) error {
		g := &gate{Conn: conn, holding: s.hold.Load()}
		s.gates.add(g)
		return signaling.Serve(ctx, g)
	}, nil))
	listener := httptest.NewServer(mux)
	s.url = listener.URL
	t.Cleanup(func() {
		_ = signaling.Close()
		listener.Close()
	})
	return s
}

// token returns what admits a user for a while.
func (s *mediaServer) token(t *testing.T, user string, valid time.Duration) string {
	t.Helper()
	token, err := s.key.Sign(&msejwt.Claims{
		Audience: []string{"media"}, Domain: "example.org", RoomID: "lobby", UserID: user,
		Role: msejsonrpc.RoleUser, Agent: msejsonrpc.AgentWeb, ExpiresAt: time.Now().Add(valid),
	})
	require.NoError(t, err)
	return token
}

// awaitMembers waits until there are so many members in the room.
func (s *mediaServer) awaitMembers(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d members", n), func() bool { return s.rooms.Members("example.org", "lobby") == n })
}

// eventually waits until a condition holds of which nobody tells. ok is for the goroutine
// of the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.True(t, poll(t, ok), "no "+what)
}

// poll reports whether a condition has come to hold.
func poll(t *testing.T, ok func() bool) bool {
	limit := bounded(t).Done()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-limit:
			return false
		}
	}
	return true
}

// A gate is the server's end of a connection. It keeps which descriptions go through it,
// and can hold back those of the server.
type gate struct {
	transport.Conn
	up, down journal[described] // of the client; of the server, before they are held

	mu      sync.Mutex
	holding bool
	held    [][]byte
}

// described says what a description is.
type described string

const (
	anOffer  described = "offer"
	anAnswer described = "answer"
)

// describe looks into a message. Strings do not say what they are, but only an offer
// leaves the role of DTLS open.
func describe(msg []byte) (d described, ok bool) {
	m, err := msejsonrpc.Decode(msg)
	if err != nil {
		return "", false
	}
	offer, ok := m.(*msejsonrpc.SDPOffer)
	switch {
	case !ok:
		return "", false
	case strings.Contains(string(offer.Offer), "a=setup:actpass"):
		return anOffer, true
	}
	return anAnswer, true
}

func (g *gate) Read(buf []byte) (transport.MessageType, []byte, error) {
	typ, msg, err := g.Conn.Read(buf)
	if d, ok := describe(msg); err == nil && ok {
		g.up.add(d)
	}
	return typ, msg, err
}

func (g *gate) Write(typ transport.MessageType, msg []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, ok := describe(msg)
	if ok {
		g.down.add(d)
	}
	if g.holding && (ok || len(g.held) > 0) {
		g.held = append(g.held, slices.Clone(msg))
		return nil
	}
	return g.Conn.Write(typ, msg)
}

// hold keeps back what the server says from its next description on.
func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = true
}

// release lets everything through.
func (g *gate) release(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, msg := range g.held {
		require.NoError(t, g.Conn.Write(transport.Text, msg))
	}
	g.holding, g.held = false, nil
}

// traffic counts descriptions.
type traffic struct{ clientOffers, clientAnswers, serverOffers, serverAnswers int }

func (g *gate) traffic() (n traffic) {
	n.clientOffers, n.clientAnswers = count(&g.up)
	n.serverOffers, n.serverAnswers = count(&g.down)
	return n
}

func count(j *journal[described]) (offers, answers int) {
	all, _ := j.from(0)
	for _, d := range all {
		if d == anOffer {
			offers++
		} else {
			answers++
		}
	}
	return offers, answers
}

// awaitOffers waits until one side has made n offers in all.
func awaitOffers(t *testing.T, who string, j *journal[described], n int) {
	t.Helper()
	seen := 0
	await(t, fmt.Sprintf("offer %d of the %s", n, who), j, func(d described) bool {
		if d == anOffer {
			seen++
		}
		return seen == n
	})
}

// await waits until exactly so many descriptions have been sent.
func (g *gate) await(t *testing.T, want traffic) {
	t.Helper()
	poll(t, func() bool { return g.traffic() == want })
	require.Equal(t, want, g.traffic())
}

// An mseBot is our client in Go. It sends the clip, keeps what it hears on the data
// channel, and sends it back.
type mseBot struct {
	*msepion.Peer
	signaling *msejsonrpc.Client
	track     *webrtc.TrackLocalStaticSample // one more, for AddTrack
	flows     journal[*flow]
	texts     journal[string]
	leave     func() // once more is no harm
}

// A flow is a track that arrives.
type flow struct {
	*webrtc.TrackRemote
	packets atomic.Int64
	ended   atomic.Bool
}

func startMSEBot(t *testing.T, s *mediaServer, user string) *mseBot {
	t.Helper()
	b, err := joinMSEBot(t, s, s.token(t, user, time.Hour))
	require.NoError(t, err)
	return b
}

// joinMSEBot is for goroutines other than the test's.
func joinMSEBot(t *testing.T, s *mediaServer, token string) (*mseBot, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b := new(mseBot)
	var tracks [3]*webrtc.TrackLocalStaticSample
	for i, what := range []struct{ mime, id, stream string }{
		{webrtc.MimeTypeVP8, "video", "clip"}, {webrtc.MimeTypeOpus, "audio", "clip"}, {webrtc.MimeTypeVP8, "video", "more"},
	} {
		var err error
		tracks[i], err = webrtc.NewTrackLocalStaticSample(
			webrtc.RTPCodecCapability{MimeType: what.mime}, what.id, what.stream)
		if err != nil {
			return nil, err
		}
	}
	b.track = tracks[2]
	conn, err := wsconn.Dial(ctx, "ws"+strings.TrimPrefix(s.url, "http")+"/mse", nil)
	if err != nil {
		return nil, err
	}
	b.signaling, err = msejsonrpc.Connect(ctx, conn, &msejsonrpc.ClientOptions{Token: token})
	if err != nil {
		return nil, err
	}
	player := &clip.Player{Video: both{tracks[0], b.track}, Audio: tracks[1]}
	b.Peer = msepion.NewPeer(b.signaling, &msepion.Options{
		Labels:     []string{mseLabel},
		Settings:   loopback.Settings(),
		OfferAfter: time.Millisecond, // it has the clip in any case
		OnKeyFrame: func(webrtc.TrackLocal) { player.RequestKeyFrame() },
		OnTrack:    b.receive,
		OnChannel: func(ch *webrtc.DataChannel) {
			ch.OnMessage(func(m webrtc.DataChannelMessage) {
				b.texts.add(string(m.Data))
				_ = ch.SendText("echo of " + string(m.Data)) // the page waits for it
			})
		},
	})
	b.AddTrack(tracks[0])
	b.AddTrack(tracks[1])
	living, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = b.Run(living) })
	running.Go(func() { _ = player.Play(living) })
	b.leave = func() {
		stop()
		running.Wait()
		_ = b.Close()
		_ = b.signaling.Close()
	}
	t.Cleanup(b.leave)
	return b, nil
}

func (b *mseBot) receive(track *webrtc.TrackRemote) {
	f := &flow{TrackRemote: track}
	defer f.ended.Store(true)
	readTrack(track, func(n int) {
		if f.packets.Store(int64(n)); n == 1 {
			b.flows.add(f)
		}
	})
}

// awaitPublished waits until the server forwards the clip.
func (b *mseBot) awaitPublished(t *testing.T, s *mediaServer) {
	t.Helper()
	viewer := startMSEBot(t, s, "first viewer")
	viewer.awaitFlow(t, webrtc.MimeTypeVP8)
	viewer.awaitFlow(t, webrtc.MimeTypeOpus)
	returned := []*flow{b.awaitFlow(t, webrtc.MimeTypeVP8), b.awaitFlow(t, webrtc.MimeTypeOpus)}
	viewer.leave()
	s.awaitMembers(t, 1)
	for _, f := range returned {
		f.awaitEnd(t)
	}
}

// awaitFlow returns a track with this codec that has not ended and is not in old.
func (b *mseBot) awaitFlow(t *testing.T, mime string, old ...*flow) *flow {
	t.Helper()
	return await(t, "track of "+mime, &b.flows, func(f *flow) bool {
		return !f.ended.Load() && f.Codec().MimeType == mime && !slices.Contains(old, f)
	})
}

// requireFlow demands that more arrives.
func requireFlow(t *testing.T, flows ...*flow) {
	t.Helper()
	for _, f := range flows {
		before := f.packets.Load()
		eventually(t, "more of "+f.StreamID()+"/"+f.ID(), func() bool { return f.packets.Load() > before+5 })
	}
}

func (f *flow) awaitEnd(t *testing.T) {
	t.Helper()
	eventually(t, "end of "+f.StreamID()+"/"+f.ID(), f.ended.Load)
}

// An msePage is our page in a tab.
type msePage struct {
	*chromium.Page
	t      *testing.T
	server *mediaServer
	gate   *gate // of its newest connection
}

// A wish is what the user of a page wants.
type wish struct {
	camera  bool // send camera and microphone
	objects bool // write descriptions and candidates as objects
}

// openMSEPage opens the page and joins.
func openMSEPage(t *testing.T, b *chromium.Browser, s *mediaServer, user string, w wish) *msePage {
	t.Helper()
	values := url.Values{"token": {s.token(t, user, time.Hour)}}
	if w.objects {
		values.Set("objects", "1")
	}
	p := &msePage{Page: b.Open(t, s.url+"/#"+values.Encode()), t: t, server: s}
	p.Run(fmt.Sprintf(`document.getElementById('camera').checked = %t`, w.camera))
	p.enter()
	return p
}

// join does what the user does to join with another token.
func (p *msePage) join(token string) {
	p.t.Helper()
	p.Run(fmt.Sprintf(`document.getElementById('token').value = %q`, token))
	p.enter()
}

// enter presses the button and waits for the connection, while nobody else connects.
func (p *msePage) enter() {
	p.t.Helper()
	before, _ := p.server.gates.from(0)
	p.press("join")
	eventually(p.t, "connection of the page", func() bool {
		now, _ := p.server.gates.from(len(before))
		if len(now) > 0 {
			p.gate = now[0]
		}
		return len(now) > 0
	})
}

// press presses a button.
func (p *msePage) press(id string) {
	p.t.Helper()
	p.Await(fmt.Sprintf(`!document.getElementById(%q).disabled`, id))
	p.Run(fmt.Sprintf(`document.getElementById(%q).click()`, id))
}

// awaitLine waits for a line in the page's log.
func (p *msePage) awaitLine(text string) {
	p.t.Helper()
	p.Await(fmt.Sprintf(`document.getElementById('log').textContent.split('\n').includes(%q)`, text))
}

// log returns what the page tells its user.
func (p *msePage) log() []string {
	p.t.Helper()
	text := chromium.Eval[string](p.Page, `document.getElementById('log').textContent`)
	return strings.Split(strings.TrimSpace(text), "\n")
}

// streams is what the page shows, without the numbers of the sessions that send it.
func (p *msePage) streams() []string {
	p.t.Helper()
	return chromium.Eval[[]string](p.Page,
		`[...document.querySelectorAll('video')].map(v => v.dataset.stream.replace(/^\d+\./, '')).sort()`)
}

// awaitStreams waits until the page shows so many streams.
func (p *msePage) awaitStreams(n int) {
	p.t.Helper()
	p.Await(fmt.Sprintf(`document.querySelectorAll('video').length === %d`, n))
}

// requirePictures demands that the page goes on showing and hearing each stream, decodes
// that many further frames of each and gets audio packets where there is sound.
func (p *msePage) requirePictures(frames int) {
	p.t.Helper()
	p.Run(`window.before = undefined`)
	p.Await(fmt.Sprintf(`session.pc.getStats().then(all => {
		const tracks = [...document.querySelectorAll('video')].flatMap(v => v.srcObject.getTracks()).map(t => t.id);
		const now = Object.fromEntries([...all.values()]
			.filter(s => s.type === 'inbound-rtp' && tracks.includes(s.trackIdentifier))
			.map(s => [s.trackIdentifier + s.mid, s.kind === 'video' ? s.framesDecoded : s.packetsReceived]));
		window.before ??= now;
		return tracks.length > 0 && Object.keys(now).length === tracks.length &&
			Object.entries(now).every(([id, n]) => n > (window.before[id] ?? 0) + %d) &&
			[...document.querySelectorAll('video')].every(v => v.videoWidth > 0 && v.currentTime > 0);
	})`, frames))
}

// requireQuiet demands that nothing went wrong in the page.
func (p *msePage) requireQuiet() {
	p.t.Helper()
	require.Empty(p.t, p.Exceptions())
	for _, line := range p.log() {
		require.NotContains(p.t, line, "Error")
	}
}
