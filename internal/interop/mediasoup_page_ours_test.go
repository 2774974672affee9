package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouppion"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A mediasoupSFU is a server of ours, with the engine of mediasouppion.
type mediasoupSFU struct {
	t        *testing.T
	srv      *mediasoupproto.Server
	envelope string
	url      string          // of its WebSocket, without the query
	requests journal[string] // name and type of each, unless the test has a hook for them
}

// startMediasoupSFU starts a server of ours that speaks in an envelope, which ends with the
// test. Its media take an address that Firefox takes as well.
func startMediasoupSFU(t *testing.T, envelope string, opts mediasoupproto.ServerOptions) *mediasoupSFU {
	t.Helper()
	s, _ := startMediasoupSFUAt(t, "127.0.0.1:0", envelope, opts, nil)
	return s
}

// startMediasoupSFUAt starts a server at an address, whose engine opens its sockets with listen
// unless that is nil. stop ends it before the test does.
func startMediasoupSFUAt(
	t *testing.T, address, envelope string, opts mediasoupproto.ServerOptions,
	listen func(network, address string) (net.PacketConn, error),
) (s *mediasoupSFU, stop func()) {
	t.Helper()
	ip, err := netip.ParseAddr(mediaIP(t))
	require.NoError(t, err)
	engine, err := mediasouppion.NewEngine(&mediasouppion.EngineOptions{
		Listen: []mediasouppion.ListenAddress{{IP: ip}}, ListenPacket: listen,
	})
	require.NoError(t, err)
	opts.Media, opts.AllowAll, opts.Connection = engine, true, mediasouphttp.Connection
	switch envelope {
	case overProtoo2:
		opts.Framing = mediasoupproto.Protoo2
	case overSocketIO:
		opts.Framing = mediasoupproto.SocketIO
	}
	s = &mediasoupSFU{t: t, envelope: envelope}
	if opts.AuthorizeRequest == nil {
		opts.AuthorizeRequest = func(_ context.Context, sess *mediasoupproto.ServerSession, m mediasoupproto.Message) error {
			if p, ok := sess.Peer(); ok {
				s.requests.add(fmt.Sprintf("%s %T", p.PeerName, m))
			}
			return nil
		}
	}
	s.srv = mediasoupproto.NewServer(&opts)
	var handler http.Handler
	if envelope == overSocketIO {
		handler = enginehttp.Handler(s.srv.Serve, &enginehttp.Options{AllowAnyOrigin: true})
	} else {
		handler = mediasouphttp.NewHandler(s.srv, &mediasouphttp.Options{
			WebSocket: &wsconn.Options{AllowAnyOrigin: true}, // the page comes from elsewhere
		})
	}
	web := httptest.NewUnstartedServer(handler)
	require.NoError(t, web.Listener.Close())
	web.Listener, err = net.Listen("tcp", address)
	require.NoError(t, err)
	web.Start()
	s.url = strings.Replace(web.URL, "http", "ws", 1)
	stop = sync.OnceFunc(func() {
		require.NoError(t, s.srv.Close())
		require.NoError(t, engine.Close())
		web.Close()
	})
	t.Cleanup(stop)
	return s, stop
}

// open opens a page for the server.
func (s *mediasoupSFU) open(b *mediasoupBrowser) *mediasoupPage {
	s.t.Helper()
	return openMediasoupPage(s.t, b, s.url, s.envelope)
}

// peer returns what the server knows of somebody in a room.
func (s *mediasoupSFU) peer(room, name string) mediasoupproto.PeerState {
	s.t.Helper()
	sess := s.srv.Session(room, name)
	require.NotNil(s.t, sess, name)
	state, ok := sess.Peer()
	require.True(s.t, ok, name)
	return state
}

// id returns what the server calls something of somebody.
func (s *mediasoupSFU) id(room, name string, id uint32) mediasoupproto.MediaID {
	s.t.Helper()
	sess := s.srv.Session(room, name)
	require.NotNil(s.t, sess, name)
	return mediasoupproto.MediaID{Peer: sess.ID(), ID: id}
}

// seeEachOther demands that everybody decodes what everybody else sends of these kinds.
func seeEachOther(t *testing.T, since time.Time, pages []*mediasoupPage, kinds ...string) {
	t.Helper()
	for _, p := range pages {
		for _, other := range pages {
			if p == other {
				continue
			}
			for _, kind := range kinds {
				f := p.decodes(kind, other.name)
				t.Logf("%s receives %s of %s after %v: %+v",
					p.name, kind, other.name, time.Since(since).Round(time.Millisecond), f)
			}
		}
	}
}

// addresses returns where the page's transports send from, as the server sees it, by direction.
func (p *mediasoupPage) addresses() map[string]string {
	p.t.Helper()
	addresses := make(map[string]string)
	for _, direction := range []string{"send", "recv"} {
		p.does("enableStats", "transport", direction, 1000)
		addresses[direction] = p.moves(direction, "")
	}
	return addresses
}

// moves waits until a transport of the page sends from another address, as it does when a restart
// of ICE is over, and returns that. The page has asked for the statistics of the transport.
func (p *mediasoupPage) moves(direction, from string) string {
	p.t.Helper()
	now := p.js("last", "transport", wanted{"event": "stats", "direction": direction}) +
		`?.stats[0].iceSelectedTuple?.remotePort ?? ''`
	p.Await(fmt.Sprintf(`!['', %q].includes(String(%s))`, from, now))
	return p.text(`String(` + now + `)`)
}

// mediasoupPairs are browsers that meet.
var mediasoupPairs = []struct {
	name     string
	browsers []func(*testing.T) *mediasoupBrowser // the last one is used for the rest
}{
	{"Chromium and Chromium", []func(*testing.T) *mediasoupBrowser{inChromium}},
	{"Chromium and Firefox", []func(*testing.T) *mediasoupBrowser{inChromium, inFirefox}},
	{"Firefox and Firefox", []func(*testing.T) *mediasoupBrowser{inFirefox}},
}

// openMediasoupPages starts browsers and opens n pages in them.
func (s *mediasoupSFU) openPages(browsers []func(*testing.T) *mediasoupBrowser, n int) []*mediasoupPage {
	s.t.Helper()
	var pages []*mediasoupPage
	var browser *mediasoupBrowser
	for i := range n {
		if i < len(browsers) {
			browser = browsers[i](s.t)
			s.t.Log(browser.version)
		}
		pages = append(pages, s.open(browser))
	}
	return pages
}

// TestMediasoupPagesMeetOnOurServer demands of our server what
// TestMediasoupPagesMeetOnTheRealServer has shown of the real one, and that peers come again.
func TestMediasoupPagesMeetOnOurServer(t *testing.T) {
	for _, pair := range mediasoupPairs {
		t.Run(pair.name, func(t *testing.T) {
			s := startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{})
			pages := s.openPages(pair.browsers, 2)
			alice, bob := pages[0], pages[1]
			start := time.Now()
			alice.join("room", "alice", wanted{"appData": wanted{"displayName": "Alice"}})
			alice.send("audio", wanted{"appData": wanted{"source": "mic"}})
			bob.join("room", "bob", nil)
			alice.send("video", nil)
			bob.send("audio", nil)
			bob.send("video", nil)
			bob.sees("peer", wanted{"event": "newpeer", "name": "alice", "appData": wanted{"displayName": "Alice"}})
			seeEachOther(t, start, pages, "audio", "video")

			start = time.Now()
			for _, p := range pages {
				before := p.addresses()
				p.does("restartIce")
				p.Await(p.js("entries", "answered", wanted{"method": "restartTransport"}) + `.length === 2`)
				for direction, address := range before {
					p.moves(direction, address)
				}
			}
			seeEachOther(t, start, pages, "audio", "video")

			start = time.Now()
			alice.does("leave", wanted{"why": "bye"})
			bob.sees("peer", wanted{"event": "close", "name": "alice", "originator": "remote", "appData": wanted{"why": "bye"}})
			require.Empty(t, s.peer("room", "bob").Consumers)
			for _, p := range pages {
				p.requireQuiet()
				p.forgets()
			}
			require.JSONEq(t, `["bob"]`, string(alice.asks("rejoin", wanted{"displayName": "again"}).Value))
			bob.sees("peer", wanted{"event": "newpeer", "name": "alice", "appData": wanted{"displayName": "again"}})
			alice.send("audio", nil)
			alice.send("video", nil)
			seeEachOther(t, start, pages, "audio", "video")
			for _, p := range pages {
				p.requireQuiet()
			}
		})
	}
}

// TestThreeMediasoupPagesMeetOnOurServer has the third one come when the others send already, and
// the first one go.
func TestThreeMediasoupPagesMeetOnOurServer(t *testing.T) {
	s := startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{})
	pages := s.openPages([]func(*testing.T) *mediasoupBrowser{inChromium, inFirefox}, 3)
	start := time.Now()
	for i, name := range []string{"alice", "bob", "carol"} {
		p := pages[i]
		p.join("room", name, nil)
		p.send("audio", nil)
		p.send("video", nil)
	}
	seeEachOther(t, start, pages, "audio", "video")
	start = time.Now()
	pages[0].does("hangup")
	for _, p := range pages[1:] {
		p.sees("peer", wanted{"event": "close", "name": "alice", "originator": "remote"})
	}
	seeEachOther(t, start, pages[1:], "audio", "video")
	require.Len(t, s.peer("room", "bob").Consumers, 2)
	for _, p := range pages[1:] {
		p.requireQuiet()
	}
}

// hearsButSeesNothing waits until no packet of somebody's video arrives for as long as some of
// the audio do, which is several pictures.
func (p *mediasoupPage) hearsButSeesNothing(of string) {
	p.t.Helper()
	packets := func() (n int) {
		for _, f := range gets[[]mediasoupFlow](p, "received") {
			if f.Kind == "video" && f.Peer == of {
				n = f.Packets
			}
		}
		return n
	}
	eventually(p.t, "a standing picture of "+of, func() bool {
		before := packets()
		p.decodes("audio", of)
		return packets() == before
	})
}

// TestMediasoupPagesPauseOnOurServer pauses a producer and a consumer, by their pages and by the
// server application, in Chromium and Firefox.
func TestMediasoupPagesPauseOnOurServer(t *testing.T) {
	for _, pair := range mediasoupPairs[1:] {
		t.Run(pair.name, func(t *testing.T) {
			s := startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{})
			pages := s.openPages(pair.browsers, 2)
			alice, bob := pages[0], pages[1]
			alice.join("room", "alice", nil)
			bob.join("room", "bob", nil)
			alice.send("audio", nil)
			camera := alice.send("video", nil)
			bob.decodes("video", "alice")
			var seen uint32
			for _, c := range s.peer("room", "bob").Consumers {
				if c.Kind == mediasoupproto.Video {
					seen = c.ID
				}
			}
			ofProducer, ofConsumer := s.id("room", "alice", camera), s.id("room", "bob", seen)
			byTest := json.RawMessage(`"by a test"`)
			for _, way := range []struct {
				name          string
				pause, resume func()
				told          bool // the page that receives
			}{
				{
					"the page that sends",
					func() { alice.does("pauseProducer", camera) }, func() { alice.does("resumeProducer", camera) }, true,
				},
				{
					"the page that receives",
					func() { bob.does("pauseConsumer", seen) }, func() { bob.does("resumeConsumer", seen) }, false,
				},
				{
					"the server, of the producer",
					func() { require.NoError(t, s.srv.PauseProducer(ofProducer, byTest)) },
					func() { require.NoError(t, s.srv.ResumeProducer(ofProducer, byTest)) }, true,
				},
				{
					"the server, of the consumer",
					func() { require.NoError(t, s.srv.PauseConsumer(ofConsumer, byTest)) },
					func() { require.NoError(t, s.srv.ResumeConsumer(ofConsumer, byTest)) }, true,
				},
			} {
				bob.forgets()
				way.pause()
				if way.told {
					bob.sees("consumer", wanted{"event": "pause", "id": seen, "originator": "remote"})
				}
				bob.hearsButSeesNothing("alice")
				way.resume()
				if way.told {
					bob.sees("consumer", wanted{"event": "resume", "id": seen, "originator": "remote"})
				}
				start := time.Now()
				f := bob.decodes("video", "alice")
				t.Logf("%s: pictures again after %v: %+v", way.name, time.Since(start).Round(time.Millisecond), f)
			}
			for _, p := range pages {
				p.requireQuiet()
			}
		})
	}
}

// TestMediasoupPageOfAPausedProducerIsTold has a page come that finds a producer paused, and gets
// its pictures later.
func TestMediasoupPageOfAPausedProducerIsTold(t *testing.T) {
	s := startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{})
	pages := s.openPages([]func(*testing.T) *mediasoupBrowser{inChromium, inFirefox}, 2)
	alice, bob := pages[0], pages[1]
	alice.join("room", "alice", nil)
	camera := alice.send("video", wanted{"paused": true})
	bob.join("room", "bob", nil)
	bob.sees("answered", wanted{"method": "enableConsumer", "body": wanted{"paused": true}})
	alice.does("resumeProducer", camera)
	bob.sees("consumer", wanted{"event": "resume", "originator": "remote"})
	bob.decodes("video", "alice")
	bob.sees("consumer", wanted{"event": "effectiveprofilechange", "profile": "default"})
	for _, p := range pages {
		p.requireQuiet()
	}
}

// TestChromiumSendsVideoBeforeAudioToOurServer is what fails where a room has all header
// extensions of mediasoup.
func TestChromiumSendsVideoBeforeAudioToOurServer(t *testing.T) {
	s := startMediasoupSFU(t, overProtoo, mediasoupproto.ServerOptions{})
	pages := s.openPages([]func(*testing.T) *mediasoupBrowser{inChromium, inFirefox}, 2)
	start := time.Now()
	for i, name := range []string{"alice", "bob"} {
		pages[i].join("room", name, nil)
		pages[i].send("video", nil)
		pages[i].send("audio", nil)
	}
	seeEachOther(t, start, pages, "audio", "video")
	for _, p := range pages {
		p.requireQuiet()
	}
}

// answerMediasoupEcho is a server application that sends back what it is asked to.
func answerMediasoupEcho(
	_ context.Context, _ *mediasoupproto.ServerSession, m *mediasoupproto.Application,
) (json.RawMessage, error) {
	if m.Method == "echo" {
		return m.Data, nil
	}
	return nil, &mediasoupproto.Error{Code: mediasoupproto.CodeNoPeer, Reason: "not that"}
}

// TestOurMediasoupServerDoesWhatATestTellsIt demands of our server, in each envelope, what
// TestMediasoupRealServerDoesWhatATestTellsIt has shown of the real one.
func TestOurMediasoupServerDoesWhatATestTellsIt(t *testing.T) {
	b := inChromium(t)
	for _, envelope := range []string{overProtoo, overProtoo2, overSocketIO} {
		t.Run(envelope, func(t *testing.T) {
			s := startMediasoupSFU(t, envelope, mediasoupproto.ServerOptions{Message: answerMediasoupEcho})
			alice, bob := s.open(b), s.open(b)
			if envelope != overSocketIO {
				nowhere := wanted{"name": "alice", "query": wanted{"roomId": ""}}
				require.Contains(t, alice.asks("join", nowhere).Error, "no connection")
				alice.forgets()
			}
			alice.join("room", "alice", nil)
			mic := alice.send("audio", nil)
			bob.join("room", "bob", nil)
			bob.decodes("audio", "alice")
			require.JSONEq(t, `{"n":1}`, string(bob.asks("say", "echo", wanted{"n": 1}).Value))
			require.Contains(t, bob.asks("say", "other", nil).Error, "not that")
			require.NoError(t, s.srv.SendRoom("room", &mediasoupproto.Application{Method: "news", Data: []byte(`{"n":1}`)}))
			for _, p := range []*mediasoupPage{alice, bob} {
				p.sees("told", wanted{"method": "news", "data": wanted{"n": 1}})
			}

			require.Equal(t, mic, s.peer("room", "alice").Producers[0].ID)
			heard := s.peer("room", "bob").Consumers[0]
			byTest := json.RawMessage(`"by a test"`)
			bob.does("enableStats", "consumer", heard.ID, 1000)
			bob.sees("consumer", wanted{"event": "stats", "id": heard.ID})
			alice.does("enableStats", "producer", mic, 1000)
			alice.sees("producer", wanted{"event": "stats", "id": mic})
			alice.does("enableStats", "transport", "send", 1000)
			alice.sees("transport", wanted{"event": "stats", "direction": "send"})

			require.NoError(t, s.srv.CloseProducer(s.id("room", "alice", mic), byTest))
			alice.sees("producer", wanted{"event": "close", "originator": "remote", "appData": "by a test"})
			bob.sees("consumer", wanted{"event": "close", "id": heard.ID, "originator": "remote"})
			transport := s.peer("room", "alice").Transports[0]
			require.NoError(t, s.srv.CloseTransport(s.id("room", "alice", transport), nil))
			alice.sees("received", wanted{"method": "transportClosed", "body": wanted{"id": transport}})
			alice.does("renewTransport", "send")
			alice.send("audio", nil)
			bob.decodes("audio", "alice")

			require.NoError(t, s.srv.Session("room", "alice").ClosePeer(json.RawMessage(`"kicked"`)))
			alice.sees("room", wanted{"event": "close", "originator": "remote", "appData": "kicked"})
			bob.sees("peer", wanted{"event": "close", "name": "alice", "appData": "kicked"})
			require.JSONEq(t, `["bob"]`, string(alice.asks("rejoin", "again").Value))
			bob.sees("peer", wanted{"event": "newpeer", "name": "alice", "appData": "again"})

			alice.forgets()
			s.srv.Session("room", "alice").Close(1011, "")
			alice.sees("line", wanted{"state": "disconnected"})
			alice.sees("answered", wanted{"method": "join", "body": wanted{}}) // joins again by itself
			require.NoError(t, s.srv.CloseRoom("room"))
			for _, p := range []*mediasoupPage{alice, bob} {
				p.sees("received", wanted{"method": "closed"})
				p.requireQuiet()
			}
		})
	}
}
