package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/internal/interop/firefox"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// The envelopes of testdata/mediasoup/server.js and of the page.
const (
	overProtoo   = "protoo"
	overProtoo2  = "protoo2"
	overSocketIO = "socket.io"
)

// mediasoupWorker is the part of the real server that has to be compiled.
const mediasoupWorker = "node_modules/mediasoup/worker/out/Release/mediasoup-worker"

// mediaIP returns an IPv4 address of this machine that is not of the loopback interface, with
// which Firefox does not exchange media. The test is skipped when there is none.
func mediaIP(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("no address for media: this machine has no IPv4 address but that of the loopback interface")
	return ""
}

// A realMediasoup is a real server: see testdata/mediasoup/server.js.
type realMediasoup struct {
	t        *testing.T
	envelope string
	url      string // of its WebSocket, without the query
	api      string
}

// startMediasoup starts a real server that speaks in an envelope, which ends with the test. The
// test is skipped when the server is not installed. Arguments are further ones of
// testdata/mediasoup/server.js.
func startMediasoup(t *testing.T, envelope string, arguments ...string) *realMediasoup {
	t.Helper()
	if _, err := os.Stat(mediasoupWorker); err != nil {
		t.Skip("mediasoup 2.6.19 is absent: npm ci in internal/interop installs it where there are Python 2, make and g++")
	}
	node := easyrtcNode(t, "mediasoup", "protoo-server", "protoo-server-2", "socket.io")
	args := append([]string{
		filepath.Join("testdata", "mediasoup", "server.js"), "--ip", mediaIP(t), "--envelope", envelope,
	}, arguments...)
	cmd := exec.Command(node, args...) // it lives until its input ends
	cmd.Env = append(os.Environ(), "DEBUG=mediasoup:WARN*,mediasoup:ERROR*", "DEBUG_COLORS=no")
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	var stderr bytes.Buffer
	first := make(firstLine, 1)
	cmd.Stdout, cmd.Stderr = first, &stderr
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends says nothing
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		if !peer.Await(patience, func() bool {
			select {
			case <-ended:
				return true
			default:
				return false
			}
		}) {
			_ = cmd.Process.Kill()
			<-ended
			t.Error("mediasoup does not end")
		}
		if t.Failed() {
			t.Logf("what mediasoup has to say:\n%s", stderr.String())
		}
		if strings.Contains(stderr.String(), "crash: ") {
			t.Errorf("mediasoup: %s", stderr.String())
		}
	})
	var is struct {
		Port                      int
		Node, Mediasoup, Envelope string
	}
	select {
	case line := <-first:
		require.NoError(t, json.Unmarshal(line, &is))
	case <-ended:
		require.FailNow(t, "mediasoup does not start")
	case <-bounded(t).Done():
		require.FailNow(t, "mediasoup does not listen")
	}
	t.Logf("mediasoup %s, %s, Node.js %s", is.Mediasoup, is.Envelope, is.Node)
	return &realMediasoup{
		t: t, envelope: envelope,
		url: fmt.Sprintf("ws://127.0.0.1:%d", is.Port), api: fmt.Sprintf("http://127.0.0.1:%d/api", is.Port),
	}
}

// A firstLine takes the first thing that a program writes, which is a line.
type firstLine chan []byte

func (f firstLine) Write(data []byte) (int, error) {
	select {
	case f <- bytes.Clone(data):
	default:
	}
	return len(data), nil
}

// apiClient keeps no connection for later.
var apiClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// do has the server execute a command of testdata/mediasoup/server.js, and returns its value.
func (r *realMediasoup) do(command string, members map[string]any) json.RawMessage {
	r.t.Helper()
	all := map[string]any{"do": command}
	maps.Copy(all, members)
	body, err := json.Marshal(all)
	require.NoError(r.t, err)
	response, err := apiClient.Post(r.api, "application/json", bytes.NewReader(body))
	require.NoError(r.t, err, command)
	defer response.Body.Close()
	var reply struct {
		Value json.RawMessage
		Error string
	}
	require.NoError(r.t, json.NewDecoder(response.Body).Decode(&reply), command)
	require.Empty(r.t, reply.Error, command)
	return reply.Value
}

// A mediasoupState is what a real server knows of a room.
type mediasoupState struct {
	Peers []mediasoupPeerState `json:"peers"`
}

type mediasoupPeerState struct {
	Name       string `json:"name"`
	Spy        bool   `json:"spy"`
	Transports []struct {
		ID        uint32 `json:"id"`
		Direction string `json:"direction"`
		ICEState  string `json:"iceState"`
		DTLSState string `json:"dtlsState"`
	} `json:"transports"`
	Producers []mediasoupPart `json:"producers"`
	Consumers []mediasoupPart `json:"consumers"`
}

// A mediasoupPart is a producer or a consumer.
type mediasoupPart struct {
	ID               uint32          `json:"id"`
	Kind             string          `json:"kind"`
	Of               string          `json:"of"` // who is consumed
	Producer         uint32          `json:"producer"`
	Transport        uint32          `json:"transport"` // 0 while it has none
	Enabled          bool            `json:"enabled"`
	LocallyPaused    bool            `json:"locallyPaused"`
	RemotelyPaused   bool            `json:"remotelyPaused"`
	SourcePaused     bool            `json:"sourcePaused"`
	PreferredProfile string          `json:"preferredProfile"`
	EffectiveProfile *string         `json:"effectiveProfile"`
	RTPParameters    json.RawMessage `json:"rtpParameters"`
}

// awaitNoRoom waits until all rooms have closed. What a transport or a producer that closes tells
// JavaScript reaches all that have its id, whatever their room, as long as one worker has them.
func (r *realMediasoup) awaitNoRoom() {
	r.t.Helper()
	require.True(r.t, peer.Await(patience, func() bool {
		var rooms []string
		require.NoError(r.t, json.Unmarshal(r.do("rooms", nil), &rooms))
		return len(rooms) == 0
	}), "rooms of the real server do not close")
}

// state returns what the server knows of a room.
func (r *realMediasoup) state(room string) mediasoupState {
	r.t.Helper()
	var s mediasoupState
	require.NoError(r.t, json.Unmarshal(r.do("state", map[string]any{"room": room}), &s))
	return s
}

// peer returns what it knows of somebody in a room.
func (r *realMediasoup) peer(room, name string) mediasoupPeerState {
	r.t.Helper()
	for _, p := range r.state(room).Peers {
		if p.Name == name {
			return p
		}
	}
	require.FailNow(r.t, "no peer "+name)
	return mediasoupPeerState{}
}

// A mediasoupTab is a page of any browser.
type mediasoupTab interface {
	Run(js string)
	Await(js string)
	Reload()
	Console() []string
	Exceptions() []string
}

// A mediasoupBrowser opens pages. text returns the string that an expression becomes.
type mediasoupBrowser struct {
	version string
	open    func(t *testing.T, url string) (tab mediasoupTab, text func(js string) string)
}

// inChromium starts Chromium.
func inChromium(t *testing.T) *mediasoupBrowser {
	t.Helper()
	b := chromium.Start(t)
	return &mediasoupBrowser{b.Version(), func(t *testing.T, url string) (mediasoupTab, func(string) string) {
		p := b.Open(t, url)
		return p, func(js string) string { return chromium.Eval[string](p, js) }
	}}
}

// inFirefox starts Firefox.
func inFirefox(t *testing.T) *mediasoupBrowser {
	t.Helper()
	b := firefox.Start(t)
	return &mediasoupBrowser{b.Version(), func(t *testing.T, url string) (mediasoupTab, func(string) string) {
		p := b.Open(t, url)
		return p, func(js string) string { return firefox.Eval[string](p, js) }
	}}
}

// mediasoupBundle makes the script of the page once.
var mediasoupBundle = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("node", filepath.Join("testdata", "mediasoup", "page", "bundle.js")).Output()
})

// mediasoupFiles serves the page.
func mediasoupFiles(t *testing.T) http.Handler {
	t.Helper()
	easyrtcNode(t, "esbuild", "mediasoup-client", "protoo-client", "protoo-client-2", "socket.io-client")
	bundle, err := mediasoupBundle()
	require.NoError(t, err)
	files := http.NewServeMux()
	files.Handle("/", http.FileServerFS(os.DirFS(filepath.Join("testdata", "mediasoup", "page"))))
	files.HandleFunc("/bundle.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "page.js", time.Time{}, bytes.NewReader(bundle))
	})
	return files
}

// A mediasoupPage is a page with an unmodified mediasoup-client, and its user. What the user can
// do and sees is described in testdata/mediasoup/page/page.js.
type mediasoupPage struct {
	mediasoupTab
	t    *testing.T
	text func(js string) string
	name string // while in a room
}

// openMediasoupPage opens a page for a server with the URL of a WebSocket, which speaks in an
// envelope.
func openMediasoupPage(t *testing.T, b *mediasoupBrowser, url, envelope string) *mediasoupPage {
	t.Helper()
	web := httptest.NewServer(mediasoupFiles(t))
	t.Cleanup(web.Close)
	tab, text := b.open(t, fmt.Sprintf("%s/?url=%s&envelope=%s", web.URL, url, envelope))
	p := &mediasoupPage{mediasoupTab: tab, t: t, text: text}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("journal of %s:\n%s", p.name,
				text(`user.journal.map(e => JSON.stringify(e).slice(0, 300)).join('\n')`))
		}
	})
	p.Await(`typeof user === 'object'`)
	return p
}

// js returns a call of one of the user's methods.
func (p *mediasoupPage) js(method string, args ...any) string {
	p.t.Helper()
	texts := make([]string, len(args))
	for i, a := range args {
		text, err := json.Marshal(a)
		require.NoError(p.t, err)
		texts[i] = string(text)
	}
	return "user." + method + "(" + strings.Join(texts, ", ") + ")"
}

// does calls one of the user's methods.
func (p *mediasoupPage) does(method string, args ...any) {
	p.t.Helper()
	p.Run(p.js(method, args...))
}

// gets calls one of the user's methods and returns its value.
func gets[T any](p *mediasoupPage, method string, args ...any) T {
	p.t.Helper()
	text := p.text(fmt.Sprintf(`Promise.resolve(%s).then(v => JSON.stringify(v) ?? 'null')`, p.js(method, args...)))
	var v T
	require.NoError(p.t, json.Unmarshal([]byte(text), &v), "%s: %s", method, text)
	return v
}

// A mediasoupOutcome is what has become of something that mediasoup-client was asked for.
type mediasoupOutcome struct {
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

// asks calls a method that has an outcome, and returns it.
func (p *mediasoupPage) asks(method string, args ...any) mediasoupOutcome {
	p.t.Helper()
	return gets[mediasoupOutcome](p, method, args...)
}

// sees waits for an entry of a type in the user's journal.
func (p *mediasoupPage) sees(typ string, want wanted) {
	p.t.Helper()
	p.Await(p.js("saw", typ, want))
}

// forgets empties the user's journal.
func (p *mediasoupPage) forgets() {
	p.t.Helper()
	p.Run(`user.journal.length = 0`)
}

// join joins the room of that name, with what the user's join takes besides.
func (p *mediasoupPage) join(room, name string, more wanted) {
	p.t.Helper()
	o := wanted{"in": room, "name": name}
	maps.Copy(o, more)
	p.name = name
	require.Empty(p.t, p.asks("join", o).Error)
}

// send sends audio or video, and returns the id of the producer. Audio has to come before video
// in Chromium: mediasoup-client numbers the header extensions of its offer so that Chromium
// refuses audio later.
func (p *mediasoupPage) send(kind string, o wanted) uint32 {
	p.t.Helper()
	outcome := p.asks("send", kind, o)
	require.Empty(p.t, outcome.Error, kind)
	var id uint32
	require.NoError(p.t, json.Unmarshal(outcome.Value, &id))
	return id
}

// A mediasoupFlow is what a browser's stats say of a producer or consumer.
type mediasoupFlow struct {
	ID      uint32  `json:"id"`
	Kind    string  `json:"kind"`
	Peer    string  `json:"peer"`
	Packets int     `json:"packets"`
	Bytes   int     `json:"bytes"`
	Frames  int     `json:"frames"`
	Energy  float64 `json:"energy"`
	Width   int     `json:"width"`
	Codec   string  `json:"codec"`
}

// decodes waits until the page decodes more pictures, or sound, of somebody's producer of a kind
// than it has. It returns what it has received by then.
func (p *mediasoupPage) decodes(kind, of string) mediasoupFlow {
	p.t.Helper()
	which := fmt.Sprintf(`find(f => f.kind === %q && f.peer === %q)`, kind, of)
	before := mediasoupFlow{}
	for _, f := range gets[[]mediasoupFlow](p, "received") {
		if f.Kind == kind && f.Peer == of {
			before = f
		}
	}
	p.Await(fmt.Sprintf(`user.received().then(all => all.%s).then(f => f && (f.kind === 'video' ?
		f.frames > %d : f.packets > %d && f.energy > %g))`, which, before.Frames+5, before.Packets+10, before.Energy+1e-4))
	for _, f := range gets[[]mediasoupFlow](p, "received") {
		if f.Kind == kind && f.Peer == of {
			return f
		}
	}
	require.FailNow(p.t, "consumer has gone")
	return mediasoupFlow{}
}

// requireQuiet demands that the page had nothing to complain about.
func (p *mediasoupPage) requireQuiet() {
	p.t.Helper()
	require.Empty(p.t, gets[[]map[string]any](p, "entries", "failed"))
	require.Empty(p.t, p.Exceptions())
}

// TestMediasoupPagesMeetOnTheRealServer has no code of ours in it: it shows that the pages and
// the real server do what the other tests demand of them.
func TestMediasoupPagesMeetOnTheRealServer(t *testing.T) {
	type browser = func(*testing.T) *mediasoupBrowser
	for _, c := range []struct {
		name       string
		alice, bob browser // the same one is started once
	}{
		{"Chromium and Chromium", inChromium, nil},
		{"Chromium and Firefox", inChromium, inFirefox},
		{"Firefox and Firefox", inFirefox, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startMediasoup(t, overProtoo)
			ofAlice := c.alice(t)
			ofBob := ofAlice
			if c.bob != nil {
				ofBob = c.bob(t)
			}
			alice := openMediasoupPage(t, ofAlice, s.url, s.envelope)
			bob := openMediasoupPage(t, ofBob, s.url, s.envelope)
			start := time.Now()
			alice.join("room", "alice", wanted{"appData": wanted{"displayName": "Alice"}})
			alice.send("audio", wanted{"appData": wanted{"source": "mic"}})
			bob.join("room", "bob", nil)
			alice.send("video", nil)
			bob.send("audio", nil)
			bob.send("video", nil)
			bob.sees("peer", wanted{"event": "newpeer", "name": "alice", "appData": wanted{"displayName": "Alice"}})
			for _, p := range []struct{ p, other *mediasoupPage }{{alice, bob}, {bob, alice}} {
				for _, kind := range []string{"audio", "video"} {
					f := p.p.decodes(kind, p.other.name)
					t.Logf("%s receives %s after %v: %+v", p.p.name, kind, time.Since(start).Round(time.Millisecond), f)
				}
			}
			alice.does("restartIce")
			alice.Await(alice.js("entries", "answered", wanted{"method": "restartTransport"}) + `.length === 2`)
			bob.decodes("video", "alice")
			alice.decodes("video", "bob")
			t.Logf("media goes on with new ICE credentials after %v", time.Since(start).Round(time.Millisecond))
			alice.does("leave", wanted{"why": "bye"})
			bob.sees("peer", wanted{"event": "close", "name": "alice", "originator": "remote", "appData": wanted{"why": "bye"}})
			alice.requireQuiet()
			bob.requireQuiet()
		})
	}
}

// TestMediasoupRealServerDoesWhatATestTellsIt is about testdata/mediasoup/server.js and its commands,
// in each envelope.
func TestMediasoupRealServerDoesWhatATestTellsIt(t *testing.T) {
	b := inChromium(t)
	for _, envelope := range []string{overProtoo, overProtoo2, overSocketIO} {
		t.Run(envelope, func(t *testing.T) {
			s := startMediasoup(t, envelope)
			alice, bob := openMediasoupPage(t, b, s.url, envelope), openMediasoupPage(t, b, s.url, envelope)
			nowhere := wanted{"name": "alice", "query": wanted{"roomId": ""}}
			require.Contains(t, alice.asks("join", nowhere).Error, "no connection")
			alice.forgets()
			alice.join("room", "alice", nil)
			mic := alice.send("audio", nil)
			bob.join("room", "bob", nil)
			bob.decodes("audio", "alice")

			require.Equal(t, mic, s.peer("room", "alice").Producers[0].ID)
			heard := s.peer("room", "bob").Consumers[0]
			require.Equal(t, mic, heard.Producer)
			require.Equal(t, "alice", heard.Of)
			require.True(t, heard.Enabled)
			ofProducer := map[string]any{"room": "room", "peer": "alice", "id": mic, "appData": "by a test"}
			ofConsumer := map[string]any{"room": "room", "peer": "bob", "id": heard.ID, "appData": "by a test"}
			byTest := wanted{"event": "pause", "originator": "remote", "appData": "by a test"}
			s.do("pauseProducer", ofProducer)
			alice.sees("producer", byTest)
			bob.sees("consumer", wanted{"event": "pause", "originator": "remote"})
			bob.forgets()
			s.do("resumeProducer", ofProducer)
			bob.sees("consumer", wanted{"event": "resume", "originator": "remote"})
			bob.decodes("audio", "alice")
			s.do("pauseConsumer", ofConsumer)
			bob.sees("consumer", byTest)
			s.do("resumeConsumer", ofConsumer)
			bob.does("pauseConsumer", heard.ID)
			eventually(t, "pause", func() bool { return s.peer("room", "bob").Consumers[0].RemotelyPaused })
			bob.does("resumeConsumer", heard.ID)
			bob.does("enableStats", "consumer", heard.ID, 1000)
			bob.sees("consumer", wanted{"event": "stats", "id": heard.ID})
			require.Contains(t, string(s.do("stats", map[string]any{
				"room": "room", "peer": "alice", "kind": "producer", "id": mic,
			})), `"inbound-rtp"`)
			require.Contains(t, string(s.do("journal", map[string]any{"room": "room"})), `"method":"enableConsumerStats"`)

			s.do("closeProducer", ofProducer)
			alice.sees("producer", wanted{"event": "close", "originator": "remote", "appData": "by a test"})
			bob.sees("consumer", wanted{"event": "close", "id": heard.ID, "originator": "remote"})
			transport := s.peer("room", "alice").Transports[0].ID
			s.do("closeTransport", map[string]any{"room": "room", "peer": "alice", "id": transport})
			alice.sees("received", wanted{"method": "transportClosed", "body": wanted{"id": transport}})
			alice.does("renewTransport", "send")
			alice.send("audio", nil)
			bob.decodes("audio", "alice")
			s.do("notify", map[string]any{"room": "room", "peer": "bob", "method": "news", "data": wanted{"n": 1}})
			bob.sees("told", wanted{"method": "news", "data": wanted{"n": 1}})

			s.do("closePeer", map[string]any{"room": "room", "peer": "alice", "appData": "kicked"})
			alice.sees("room", wanted{"event": "close", "originator": "remote", "appData": "kicked"})
			bob.sees("peer", wanted{"event": "close", "name": "alice", "appData": "kicked"})
			require.JSONEq(t, `["bob"]`, string(alice.asks("rejoin", "again").Value))
			bob.sees("peer", wanted{"event": "newpeer", "name": "alice", "appData": "again"})

			alice.forgets()
			s.do("cut", map[string]any{"room": "room", "peer": "alice"})
			alice.sees("line", wanted{"state": "disconnected"})
			alice.sees("answered", wanted{"method": "join", "body": wanted{}}) // joins again by itself
			s.do("closeRoom", map[string]any{"room": "room"})
			for _, p := range []*mediasoupPage{alice, bob} {
				p.sees("received", wanted{"method": "closed"})
				p.requireQuiet()
			}
		})
	}
}
