package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
)

// An easyrtcVersion is a version of EasyRTC with the Socket.IO that it works with, by the
// names of their folders in node_modules.
type easyrtcVersion struct {
	name    string
	easyrtc string
	server  string // Socket.IO's server
	client  string // and its client
	// camera is whether easyrtc.js can open it in today's browsers: that of 1.1.0 makes an URL
	// of a stream, and that of 2.0 waits nine seconds for a size that it does not see.
	camera bool
	// glare is whether a data channel survives calls that cross.
	glare bool
	// deaf is whether a page that is called may miss that its data channel is open: then it
	// says nothing on it, which happens to 1.1.0 on its own server as well.
	deaf bool
}

// The versions of EasyRTC that are in use. From 2.1 on they speak Engine.IO 4, before it 3.
var (
	easyrtc218 = easyrtcVersion{
		name: "open-easyrtc 2.1.8", easyrtc: "open-easyrtc", server: "socket.io", client: "socket.io-client",
		camera: true, glare: true,
	}
	easyrtc2020 = easyrtcVersion{
		name: "open-easyrtc 2.0.20", easyrtc: "open-easyrtc-2.0.20", server: "socket.io-2", client: "socket.io-client-2",
	}
	easyrtc2017 = easyrtcVersion{
		name: "open-easyrtc 2.0.17", easyrtc: "open-easyrtc-2.0.17", server: "socket.io-2", client: "socket.io-client-2",
	}
	easyrtc110 = easyrtcVersion{
		name: "easyrtc 1.1.0", easyrtc: "easyrtc", server: "socket.io-1", client: "socket.io-client-1", deaf: true,
	}
)

// An easyrtcReport is a line that testdata/easyrtc/server.js has written.
type easyrtcReport struct {
	Port     int    `json:"port"` // of the first line, with the versions
	Node     string `json:"node"`
	EasyRTC  string `json:"easyrtc"`
	SocketIO string `json:"socket.io"`

	Event     string          `json:"event"` // authenticate, roomJoin, message, disconnect or crash
	EasyRTCID string          `json:"easyrtcid"`
	Username  string          `json:"username"`
	Room      string          `json:"room"`
	Parameter json.RawMessage `json:"parameter"`
	Text      string          `json:"text"`

	Reply int                   `json:"reply"` // to a command, by its number
	Error string                `json:"error"`
	Apps  map[string]easyrtcApp `json:"apps"` // of the command state
}

// An easyrtcApp is the state of an application in a real server.
type easyrtcApp struct {
	Connections map[string]struct {
		Username string `json:"username"`
		Rooms    map[string]struct {
			APIField json.RawMessage `json:"apiField"`
		} `json:"rooms"`
	} `json:"connections"`
	Rooms    map[string][]string `json:"rooms"` // ids of the members by name
	Sessions []string            `json:"sessions"`
}

// easyrtcReports puts what a server writes into a journal.
type easyrtcReports struct {
	journal[easyrtcReport]
	rest []byte // of a line that is not whole
}

func (r *easyrtcReports) Write(data []byte) (int, error) {
	r.rest = append(r.rest, data...)
	for {
		line, rest, whole := bytes.Cut(r.rest, []byte("\n"))
		if !whole {
			return len(data), nil
		}
		var report easyrtcReport
		if err := json.Unmarshal(line, &report); err != nil {
			report = easyrtcReport{Event: "crash", Text: string(line)}
		}
		r.add(report)
		r.rest = rest
	}
}

// A realEasyRTC is a real server, which serves its pages as well.
type realEasyRTC struct {
	t        *testing.T
	url      string
	reports  easyrtcReports
	stdin    io.WriteCloser // its end ends the server
	commands int
}

// easyrtcSettings are JSON objects for a real server, nothing where empty.
type easyrtcSettings struct {
	options string // of EasyRTC
	io      string // of Socket.IO
	hooks   string // see server.js
}

// easyrtcNode returns Node.js. The test is skipped when it or a package is not there.
func easyrtcNode(t *testing.T, packages ...string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no Node.js: node is not in PATH")
	}
	for _, name := range packages {
		if _, err := os.Stat(filepath.Join("node_modules", name)); err != nil {
			t.Skipf("%s is not installed: run npm ci in internal/interop", name)
		}
	}
	return node
}

// startRealEasyRTC starts a real server, which ends with the test.
func startRealEasyRTC(t *testing.T, v easyrtcVersion, s easyrtcSettings) *realEasyRTC {
	t.Helper()
	node := easyrtcNode(t, "express", v.easyrtc, v.server, v.client)
	args := []string{
		filepath.Join("testdata", "easyrtc", "server.js"), "--package", v.easyrtc, "--socketio", v.server,
	}
	for flag, value := range map[string]string{"--options": s.options, "--io": s.io, "--hooks": s.hooks} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	r := &realEasyRTC{t: t}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), node, args...)
	cmd.Stdout, cmd.Stderr = &r.reports, &stderr
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	r.stdin = stdin
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // how a killed program ends says nothing
		crashes, _ := r.reports.from(0)
		for _, c := range crashes {
			if c.Event == "crash" {
				t.Errorf("%s: %s", v.name, c.Text)
			}
		}
		if t.Failed() {
			t.Logf("%s: %s", v.name, stderr.String())
		}
	})
	first := await(t, "port of "+v.name, &r.reports.journal, func(e easyrtcReport) bool { return e.Port != 0 })
	r.url = fmt.Sprintf("http://127.0.0.1:%d", first.Port)
	t.Logf("EasyRTC %s, Socket.IO %s, Node.js %s", first.EasyRTC, first.SocketIO, first.Node)
	return r
}

// do has the server execute a command of server.js, and returns its reply.
func (r *realEasyRTC) do(command string, members map[string]any) easyrtcReport {
	r.t.Helper()
	r.commands++
	all := map[string]any{"id": r.commands, "do": command}
	maps.Copy(all, members)
	require.NoError(r.t, json.NewEncoder(r.stdin).Encode(all))
	reply := await(r.t, "reply to "+command, &r.reports.journal, func(e easyrtcReport) bool {
		return e.Reply == r.commands
	})
	require.Empty(r.t, reply.Error, command)
	return reply
}

// easyrtcFiles serves the pages, easyrtc.js and Socket.IO's client from a server of Go.
func easyrtcFiles() http.Handler {
	files := http.NewServeMux()
	files.Handle("/", http.FileServerFS(os.DirFS(filepath.Join("testdata", "easyrtc"))))
	files.Handle("/node_modules/", http.StripPrefix("/node_modules/", http.FileServerFS(os.DirFS("node_modules"))))
	return files
}

// An easyrtcPage is a page with an unmodified easyrtc.js, and its user. What the user can do
// and sees is described in testdata/easyrtc/page.js.
type easyrtcPage struct {
	*chromium.Page
	t  *testing.T
	id string // while logged in
}

// openEasyRTCPage opens the page for a version of easyrtc.js.
func openEasyRTCPage(t *testing.T, b *chromium.Browser, origin string, v easyrtcVersion) *easyrtcPage {
	t.Helper()
	p := &easyrtcPage{Page: b.Open(t, fmt.Sprintf("%s/page.html?easyrtc=%s&io=%s", origin, v.easyrtc, v.client)), t: t}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("journal of the page:\n%s", chromium.Eval[string](p.Page,
				`user.journal.map(e => JSON.stringify(e).slice(0, 300)).join('\n')`))
		}
	})
	p.Await(`typeof user === 'object'`)
	return p
}

// js returns a call of one of the user's methods.
func (p *easyrtcPage) js(method string, args ...any) string {
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
func (p *easyrtcPage) does(method string, args ...any) {
	p.t.Helper()
	p.Run(p.js(method, args...))
}

// An easyrtcOutcome is what has become of something that easyrtc.js has asked the server.
type easyrtcOutcome struct {
	Value json.RawMessage `json:"value"`
	Code  string          `json:"code"`
	Text  string          `json:"text"`
}

// asks calls a method that has an outcome, and returns it.
func (p *easyrtcPage) asks(method string, args ...any) easyrtcOutcome {
	p.t.Helper()
	return chromium.Eval[easyrtcOutcome](p.Page, p.js(method, args...))
}

// A wanted is members of an entry of the user's journal, or of any other object of
// JavaScript.
type wanted map[string]any

// connect logs in with what the user's connect takes.
func (p *easyrtcPage) connect(o wanted) {
	p.t.Helper()
	got := p.asks("connect", o)
	require.Empty(p.t, got.Code, got.Text)
	p.id = chromium.Eval[string](p.Page, p.js("id"))
	require.NotEmpty(p.t, p.id)
}

// sees waits for an entry of a type in the user's journal.
func (p *easyrtcPage) sees(typ string, want wanted) {
	p.t.Helper()
	p.Await(p.js("saw", typ, want))
}

// meets waits until the page knows that somebody is in a room.
func (p *easyrtcPage) meets(id, room string) {
	p.t.Helper()
	p.Await(fmt.Sprintf("%q in %s", id, p.js("occupants", room)))
}

// forgets empties the user's journal.
func (p *easyrtcPage) forgets() {
	p.t.Helper()
	p.Run(`user.journal.length = 0`)
}

// requireVideo demands that the page decodes more pictures of a peer than it has, and
// receives sound.
func (p *easyrtcPage) requireVideo(id string) {
	p.t.Helper()
	stats := p.js("stats", id)
	before := chromium.Eval[int](p.Page, stats+`.then(s => s.frames)`)
	p.Await(fmt.Sprintf(`%s.then(s => s.frames > %d && s.audio > 0)`, stats, before+5))
}

// requireQuiet demands that easyrtc.js had nothing to complain about.
func (p *easyrtcPage) requireQuiet() {
	p.t.Helper()
	require.Empty(p.t, chromium.Eval[[]map[string]any](p.Page, p.js("entries", "error")))
	require.Empty(p.t, p.Exceptions())
}

// A nafPage is a page with an unmodified networked-aframe, and its user: see
// testdata/easyrtc/naf.js.
type nafPage struct {
	*easyrtcPage
}

// openNAFPage opens the page.
func openNAFPage(t *testing.T, b *chromium.Browser, origin string) *nafPage {
	t.Helper()
	p := &nafPage{&easyrtcPage{Page: b.Open(t, origin+"/naf.html"), t: t}}
	p.Await(`typeof user === 'object'`)
	return p
}

// enter enters a room with an adapter of networked-aframe, easyrtc or wseasyrtc, with camera
// and microphone where the adapter can use them.
func (p *nafPage) enter(adapter, url, room string) {
	p.t.Helper()
	p.does("connect", adapter, url, room, true)
	p.sees("connected", nil)
	p.id = chromium.Eval[string](p.Page, p.js("id"))
}

// exchange waits until two pages in the same room have found each other, and has them talk
// until one leaves.
func (p *nafPage) exchange(adapter string, peer *nafPage) {
	p.t.Helper()
	for _, c := range []struct{ p, peer *nafPage }{{p, peer}, {peer, p}} {
		c.p.sees("open", wanted{"with": c.peer.id})
		if adapter == "easyrtc" {
			c.p.Await(c.p.js("media", c.peer.id) + `.then(m => m.audio === 1 && m.video === 1)`)
		}
	}
	for _, method := range []string{"broadcast", "broadcastGuaranteed"} {
		p.does(method, wanted{"by": method})
		peer.sees("data", wanted{"from": p.id, "data": wanted{"by": method}})
	}
	for _, method := range []string{"send", "sendGuaranteed"} {
		peer.does(method, p.id, wanted{"by": method})
		p.sees("data", wanted{"from": peer.id, "data": wanted{"by": method}})
	}
	peer.does("disconnect")
	p.sees("close", wanted{"with": peer.id})
}
