package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// A liveInspector is examples/inspector before a real server, with its page in a browser from
// the start.
type liveInspector struct {
	*inspectorPage
	protocol string
	clients  string // where they go instead of to the server
}

// openLiveInspector starts an inspector that knows nothing but the address of a server.
func openLiveInspector(t *testing.T, b *chromium.Browser, protocol, target string) *liveInspector {
	t.Helper()
	clients, ui := startInspector(t, protocol, target)
	p := &inspectorPage{b.Open(t, ui), t, strings.TrimSuffix(ui, "/")}
	p.Await(`document.getElementById('empty').textContent.includes('Nothing has come')`)
	return &liveInspector{p, protocol, clients}
}

// shows waits until the page shows an arrow of each of these names while it is recording.
func (i *liveInspector) shows(names ...string) {
	i.t.Helper()
	i.Await(`document.getElementById('lamp').title === 'recording'`)
	for _, name := range names {
		var answers strings.Builder // which have the names of what they answer in theirs, and crowd these out of the view
		for _, answer := range []string{"ack (", "response "} {
			if !strings.HasPrefix(name, answer) {
				fmt.Fprintf(&answers, ` -name:"%s"`, answer)
			}
		}
		i.search(fmt.Sprintf(`name:"%s"`, name) + answers.String())
		i.Await(fmt.Sprintf(`[...document.querySelectorAll('.row .label b')].some(b => b.textContent === %q)`, name))
	}
	i.search("")
}

// stands waits until the page shows that the client's side of a connection has come to a state with
// an arrow of a name.
func (i *liveInspector) stands(conn, name, state string) {
	i.t.Helper()
	i.search(fmt.Sprintf(`conn:%s name:"%s" state:%s`, conn, name, state))
	i.Await(fmt.Sprintf(`[...document.querySelectorAll('.row > .state')].some(s => s.title === %q)`,
		"the client's side: "+state))
	i.search("")
}

// A liveArrow is an arrow of the inspector's API.
type liveArrow struct {
	Number, Seq, Size      int
	Time, Conn, From, Kind string
	Name, About            string
	Client, Server         string
	Problems               []struct{ Kind, Text string }
}

// ask asks the inspector's API for something, and has what it says read.
func (i *liveInspector) ask(path string, read func(r io.Reader) error) {
	i.t.Helper()
	r, err := http.NewRequestWithContext(bounded(i.t), http.MethodGet, i.url+"/api/recordings"+path, nil)
	require.NoError(i.t, err)
	resp, err := apiClient.Do(r)
	require.NoError(i.t, err)
	defer resp.Body.Close()
	require.Equal(i.t, http.StatusOK, resp.StatusCode, path)
	require.NoError(i.t, read(resp.Body), path)
}

// file returns what the API has to say of something.
func (i *liveInspector) file(path string) (text string) {
	i.t.Helper()
	i.ask(path, func(r io.Reader) error {
		data, err := io.ReadAll(r)
		text = string(data)
		return err
	})
	return text
}

// arrows returns those of a recording that there are by now.
func (i *liveInspector) arrows(recording string) (arrows []liveArrow) {
	i.t.Helper()
	type summary struct {
		ID     string
		Arrows int
	}
	var all []summary
	require.NoError(i.t, json.Unmarshal([]byte(i.file("")), &all))
	at := slices.IndexFunc(all, func(s summary) bool { return s.ID == recording })
	require.GreaterOrEqual(i.t, at, 0, "no recording %s", recording)
	i.ask("/"+recording+"/arrows", func(r io.Reader) error {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 16<<20)
		for len(arrows) < all[at].Arrows && lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok || !strings.HasPrefix(data, "[") {
				continue
			}
			var more []liveArrow
			if err := json.Unmarshal([]byte(data), &more); err != nil {
				return err
			}
			arrows = append(arrows, more...)
		}
		return lines.Err()
	})
	require.GreaterOrEqual(i.t, len(arrows), all[at].Arrows)
	return arrows
}

// httpRequests are those of an address that are of no connection.
const httpRequests = "http"

// ended waits until a number of connections have been closed, and returns all arrows.
func (i *liveInspector) ended(conns int) (arrows []liveArrow) {
	i.t.Helper()
	eventually(i.t, "end of the connections", func() bool {
		arrows = i.arrows("live")
		last := make(map[string]liveArrow)
		for _, a := range arrows {
			last[a.Conn] = a
		}
		delete(last, httpRequests)
		return len(last) == conns && !slices.ContainsFunc(slices.Collect(maps.Values(last)), func(a liveArrow) bool {
			return a.Client != "closed" || a.Server != "closed"
		})
	})
	i.search("kind:lifecycle name:closed")
	i.Await(fmt.Sprintf(`(rows => rows.length === %d && rows.every(r =>
		[...r.querySelectorAll('.state')].map(s => s.textContent).join() === 'closed,closed'))`+
		`([...document.querySelectorAll('.row')])`, conns))
	i.search("")
	i.Await(fmt.Sprintf(`(lanes => lanes.length === %d && lanes.every(l => l.classList.contains('closed')))`+
		`([...document.querySelectorAll('.name')])`, conns))
	return arrows
}

// said returns the names of the messages from a side of a connection, each once.
func said(arrows []liveArrow, conn, from string) []string {
	names := make(map[string]bool)
	for _, a := range arrows {
		if a.Conn == conn && a.From == from && a.Kind == "message" {
			names[a.Name] = true
		}
	}
	return keys(names)
}

// requireSound demands that the inspector found nothing wrong with what correct peers have said,
// but for what servers have refused by these messages. A request may come too late for its session.
func (i *liveInspector) requireSound(arrows []liveArrow, refusals ...string) {
	i.t.Helper()
	got, refused := []string{}, 0
	for _, a := range arrows {
		for _, p := range a.Problems {
			require.Equal(i.t, "refused", p.Kind, "%s: %+v", p.Text, a)
		}
		if len(a.Problems) == 0 {
			continue
		}
		refused++
		if a.Kind == "message" {
			got = append(got, a.Name)
		}
	}
	require.ElementsMatch(i.t, refusals, got)
	require.Equal(i.t, "no problems", i.text("#problem-count"))
	count := fmt.Sprintf("%d refusals", refused)
	if refused == 1 {
		count = "1 refusal"
	}
	require.Equal(i.t, count, i.text("#refusals"))
}

// requireDiscreet demands that nothing of the secrets, an expression, is on the page when it shows the
// first message of a client by a name, in any of the arrows' details or in the export, which has
// masked in their places.
func (i *liveInspector) requireDiscreet(arrows []liveArrow, name, secrets, masked string) {
	i.t.Helper()
	secret := regexp.MustCompile(secrets)
	export := i.file("/live/export")
	require.Contains(i.t, export, masked)
	require.Empty(i.t, secret.FindString(export), "in the export")
	hidden := false
	for _, a := range arrows {
		detail := i.file(fmt.Sprintf("/live/arrows/%d", a.Number))
		require.Empty(i.t, secret.FindString(detail), "%s of arrow %d: %s", a.Name, a.Number, detail)
		hidden = hidden || strings.Contains(detail, "[hidden]")
	}
	require.True(i.t, hidden, "the details hide nothing")
	at := slices.IndexFunc(arrows, func(a liveArrow) bool { return a.From == "client" && a.Name == name })
	require.GreaterOrEqual(i.t, at, 0, "no %s", name)
	i.search("from:client name:" + name)
	i.press(fmt.Sprintf("#row-%d", arrows[at].Number))
	i.awaitDetail(arrows[at].Number)
	i.search("")
	require.Contains(i.t, i.text("#detail .raw"), "[hidden]")
	require.Empty(i.t, secret.FindString(chromium.Eval[string](i.Page, `document.documentElement.textContent +
		[...document.querySelectorAll('[title]')].map(e => e.title).join('\n')`)), "on the page")
	i.press(`#detail [title="Close (Esc)"]`)
}

// requireSameAgain exports the recording and imports the file, all on the page.
func (i *liveInspector) requireSameAgain(arrows []liveArrow) {
	i.t.Helper()
	shown := i.text("#shown")
	i.Run(`fetch(document.getElementById('export').href).then(r => r.blob()).then(file => {
		const files = new DataTransfer(), input = document.getElementById('file');
		files.items.add(new File([file], 'again.jsonl'));
		input.files = files.files;
		input.dispatchEvent(new Event('change'));
	})`)
	i.Await(fmt.Sprintf(`document.querySelector('#recordings option:checked').textContent === 'again.jsonl (%s)' &&
		document.getElementById('shown').textContent === %q`, i.protocol, shown))
	require.Equal(i.t, arrows, i.arrows(chromium.Eval[string](i.Page, `document.getElementById('recordings').value`)))
	i.requireQuiet()
}

// An inspectedEasyRTC is a real server behind an inspector, which is looked at while pages talk.
type inspectedEasyRTC struct {
	*realEasyRTC
	inspector *liveInspector
}

func (h inspectedEasyRTC) origin() string { return h.inspector.clients }

func (h inspectedEasyRTC) members(room string) []string {
	h.t.Helper()
	h.inspector.shows("token (authenticate)", "offer", "answer", "candidate", "hangup", "chat", "roomJoin",
		"setRoomApiField", "setPresence")
	h.inspector.stands("2", "token", "ready")
	return h.realEasyRTC.members(room)
}

func (h inspectedEasyRTC) complain(id, code, text string) {
	h.t.Helper()
	h.inspector.shows("roomLeave", "reject", "iceConfig (getIceConfig)")
	h.realEasyRTC.complain(id, code, text)
	h.inspector.shows("error")
}

func TestInspectorShowsEasyRTCPagesTalkThroughTheRealServer(t *testing.T) {
	browser := chromium.Start(t)
	r := startRealEasyRTC(t, easyrtc218, easyrtcSettings{
		io:    `{"cors": {"origin": "*"}}`,
		hooks: `{"deny": [{"password": "wrong"}], "refuse": ["closed"], "ice": [{"urls": ["stun:127.0.0.1:9"]}]}`,
	})
	for _, way := range easyrtcTransports[:2] {
		t.Run(way.name, func(t *testing.T) {
			i := openLiveInspector(t, browser, "easyrtc", r.url)
			talkThroughEasyRTC(t, browser, inspectedEasyRTC{r, i}, easyrtc218, way.transports, way.ends)
			for id := range r.do("state", nil).Apps["default"].Connections { // bob is there still
				r.do("disconnect", map[string]any{"easyrtcid": id, "close": true})
			}
			// One who is denied, alice, bob, and carol from another origin.
			arrows := i.ended(4)
			i.requireSound(arrows, "error (authenticate)", "error (roomJoin)", "error")
			both := []string{"candidate", "hangup", "chat", "ack (candidate)", "ack (hangup)", "ack (chat)"}
			for _, conn := range []string{"2", "3"} {
				require.Subset(t, said(arrows, conn, "client"), append(both, "authenticate", "roomJoin", "setUserCfg"))
				require.Subset(t, said(arrows, conn, "server"), append(both, "token (authenticate)", "roomData"))
			}
			require.Contains(t, said(arrows, "2", "client"), "offer") // bob, only where calls cross
			require.Subset(t, said(arrows, "3", "server"), []string{"offer", "ack (answer)"})
			require.Contains(t, said(arrows, "3", "client"), "answer")
			require.Subset(t, said(arrows, "2", "server"), []string{"answer", "ack (offer)"})
			carriers := map[string]bool{}
			for _, a := range arrows {
				carriers[a.Name] = carriers[a.Name] || a.Kind == "carrier"
			}
			require.Equal(t, way.transports == nil, carriers["poll"] && carriers["upgrade"])
			i.requireDiscreet(arrows, "authenticate", `\b(right|wrong)\b`, `\"password\":\"*****\"`)
			i.requireSameAgain(arrows)
		})
	}
}

func TestInspectorShowsGaleneWebUIsMeetOnTheRealServer(t *testing.T) {
	browser := galeneUI(t)
	static, err := filepath.Abs(peer.Path(t, "web UI of Galène", "GALENE_STATIC"))
	require.NoError(t, err)
	passwords := map[string]string{"alice": "the-cat-sat", "bob": "on-the-mat"}
	target := startGaleneWith(t, map[string]object{"inspected": {"users": object{
		"alice": object{"password": passwords["alice"], "permissions": "op"},
		"bob":   object{"password": passwords["bob"], "permissions": "present"},
	}}}, "-static", static)
	i := openLiveInspector(t, browser, "galene", "ws://"+target.addr)
	s := &galeneServer{addr: strings.TrimPrefix(i.clients, "http://")}
	enter := func(p *galenePage, user string, media bool) {
		p.login(user, passwords[user], media)
		p.Await(fmt.Sprintf(`serverConnection?.group === group && serverConnection.username === %q`, user))
	}
	alice, bob := openGalenePage(t, browser, s, "inspected"), openGalenePage(t, browser, s, "inspected")
	// Who comes while the server waits for the tracks of a stream may never be offered it.
	enter(alice, "alice", false)
	enter(bob, "bob", true)
	t.Logf("%s at alice's: %s", browser.Version(), alice.plays(bob.id()))
	alice.Run(`document.getElementById('presentbutton').click()`)
	t.Logf("at bob's: %s", bob.plays(alice.id()))
	for _, p := range []*galenePage{alice, bob} {
		host := chromium.Eval[string](p.Page, `new URL(serverConnection.socket.url).host`)
		require.Equal(t, s.addr, host, "the page is past the inspector")
	}
	i.shows("handshake", "join", "joined", "request", "offer", "answer", "ice", "user add")
	i.stands("1", "joined", "joined")
	alice.command("hello bob")
	bob.shows("hello bob", "")
	bob.command("hello alice")
	alice.shows("hello alice", "")
	i.shows("chat")
	alice.command("/kick bob enough of you")
	bob.warns("enough of you")
	alice.lists("alice")
	i.shows("useraction kick", "usermessage kicked", "user delete")
	i.stands("2", "closed", "closed")
	alice.Run(`serverConnection.close()`)
	alice.quiet()
	bob.quiet()
	arrows := i.ended(2)
	i.requireSound(arrows)
	both := []string{"handshake", "offer", "answer", "ice", "chat"}
	for _, conn := range []string{"1", "2"} {
		require.Subset(t, said(arrows, conn, "client"), append(both, "join", "request"))
		require.Subset(t, said(arrows, conn, "server"), append(both, "joined", "user add"))
	}
	i.requireDiscreet(arrows, "join", passwords["alice"]+"|"+passwords["bob"], `\"password\":\"***********\"`)
	i.requireSameAgain(arrows)
}

func TestInspectorShowsMediasoupPagesMeetOnTheRealServer(t *testing.T) {
	browser := chromium.Start(t)
	ofChromium := &mediasoupBrowser{browser.Version(), func(t *testing.T, url string) (mediasoupTab, func(string) string) {
		p := browser.Open(t, url)
		return p, func(js string) string { return chromium.Eval[string](p, js) }
	}}
	for _, c := range []struct {
		name  string
		ofBob func(*testing.T) *mediasoupBrowser
	}{
		{"Chromium and Chromium", func(*testing.T) *mediasoupBrowser { return ofChromium }},
		{"Chromium and Firefox", inFirefox},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startMediasoup(t, overProtoo)
			ofBob := c.ofBob(t)
			i := openLiveInspector(t, browser, "mediasoup", s.url)
			i.haveMediasoupPagesMeet(ofChromium, ofBob, s.envelope)
			arrows := i.ended(2)
			i.requireSound(arrows)
			require.Subset(t, said(arrows, "1", "client"), []string{"pauseProducer", "resumeProducer", "leave"})
			require.Subset(t, said(arrows, "2", "client"), []string{"pauseConsumer", "resumeConsumer"})
			for _, conn := range []string{"1", "2"} {
				require.Subset(t, said(arrows, conn, "client"), []string{
					"queryRoom", "join", "createTransport", "updateTransport", "createProducer", "enableConsumer",
					"restartTransport",
				})
				require.Subset(t, said(arrows, conn, "server"), []string{
					"response queryRoom", "response join", "response createTransport", "response createProducer",
					"newConsumer", "response enableConsumer", "response restartTransport",
				})
			}
			require.Contains(t, said(arrows, "1", "server"), "newPeer")
			require.Subset(t, said(arrows, "2", "server"), []string{"consumerPaused", "consumerResumed", "peerClosed"})
			i.requireDiscreet(arrows, "join", `open-sesame|Front-door`, `token=***********`)
			i.requireSameAgain(arrows)
		})
	}
}

// haveMediasoupPagesMeet has two pages send, receive, pause and leave through the inspector.
func (i *liveInspector) haveMediasoupPagesMeet(ofAlice, ofBob *mediasoupBrowser, envelope string) {
	url := strings.Replace(i.clients, "http", "ws", 1)
	alice := openMediasoupPage(i.t, ofAlice, url, envelope)
	bob := openMediasoupPage(i.t, ofBob, url, envelope)
	alice.join("room", "alice", wanted{"appData": wanted{"key": "Front-door"}, "query": wanted{"token": "open-sesame"}})
	alice.send("audio", wanted{"appData": wanted{"source": "mic"}})
	i.shows("join", "createTransport", "createProducer")
	i.stands("1", "response join", "joined")
	bob.join("room", "bob", nil)
	camera := alice.send("video", nil)
	bob.send("audio", nil)
	bob.send("video", nil)
	bob.sees("peer", wanted{"event": "newpeer", "name": "alice", "appData": wanted{"key": "Front-door"}})
	for _, m := range []struct{ p, other *mediasoupPage }{{alice, bob}, {bob, alice}} {
		for _, kind := range []string{"audio", "video"} {
			i.t.Logf("%s receives %s: %+v", m.p.name, kind, m.p.decodes(kind, m.other.name))
		}
	}
	i.shows("newPeer", "newConsumer", "enableConsumer", "response enableConsumer")

	alice.does("pauseProducer", camera)
	bob.sees("consumer", wanted{"event": "pause", "originator": "remote"})
	i.shows("pauseProducer", "consumerPaused")
	alice.does("resumeProducer", camera)
	bob.sees("consumer", wanted{"event": "resume", "originator": "remote"})
	seen := bob.decodes("video", "alice")
	bob.does("pauseConsumer", seen.ID)
	bob.does("resumeConsumer", seen.ID)
	bob.decodes("video", "alice")
	for _, p := range []*mediasoupPage{alice, bob} {
		p.does("restartIce")
		p.Await(p.js("entries", "answered", wanted{"method": "restartTransport"}) + `.length === 2`)
	}
	bob.decodes("video", "alice")
	alice.decodes("video", "bob")
	alice.does("leave", wanted{"why": "bye"})
	bob.sees("peer", wanted{"event": "close", "name": "alice", "originator": "remote", "appData": wanted{"why": "bye"}})
	i.shows("leave", "peerClosed")
	i.stands("1", "leave", "left")
	for _, p := range []*mediasoupPage{alice, bob} {
		p.does("hangup")
		p.requireQuiet()
	}
}
