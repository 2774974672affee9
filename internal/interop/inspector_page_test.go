package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/inspector/page"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
	"github.com/rtcsignal/rtcsignal/internal/interop/firefox"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// A galeneTrace is a recording of Galène's as the traces of this module's protocols have it.
type galeneTrace struct{ strings.Builder }

func (g *galeneTrace) line(members wanted) {
	data, err := json.Marshal(members)
	if err != nil {
		panic(err) // of strings and numbers
	}
	g.Write(append(data, '\n'))
}

func (g *galeneTrace) say(client, dir string, ms int, msg wanted) {
	g.line(wanted{"dir": dir, "client": client, "t": ms, "msg": msg})
}

// join has a client connect and join.
func (g *galeneTrace) join(client string, ms int) {
	g.line(wanted{"dir": "c2s", "client": client, "t": ms, "event": "ws-open"})
	g.say(client, "c2s", ms, wanted{"type": "handshake", "version": []string{"2"}, "id": "id-" + client})
	g.say(client, "s2c", ms+1, wanted{"type": "handshake", "version": []string{"2"}})
	g.say(client, "c2s", ms+2, wanted{
		"type": "join", "kind": "join", "group": "g", "username": client, "password": "hunter2",
	})
	g.say(client, "s2c", ms+3, wanted{
		"type": "joined", "kind": "join", "group": "g", "username": client, "permissions": []string{"present"},
	})
}

const inspectorSDP = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n"

// inspectorTrace has two clients, an offer, hostile words and something that is no message: 15 arrows.
func inspectorTrace() string {
	var g galeneTrace
	g.join("alice", 0)
	g.join("bob", 100)
	offer := wanted{
		"type": "offer", "id": "s1", "label": "camera", "source": "id-alice", "username": "alice", "sdp": inspectorSDP,
	}
	g.say("alice", "c2s", 200, offer)
	g.say("bob", "s2c", 201, offer)
	g.say("bob", "c2s", 300, wanted{
		"type": "chat", "source": "id-bob", "dest": "", "username": "<img src=x onerror='window.pwned=1'>",
		"value": "<script>window.pwned=2</script>",
	})
	g.line(wanted{"dir": "c2s", "client": "bob", "t": 400, "raw": `{"type":<img src=x onerror="window.pwned=3">`})
	g.line(wanted{"dir": "s2c", "client": "bob", "t": 401, "close": wanted{"code": 1002, "reason": "<b>bad</b>"}})
	return g.String()
}

// An inspectorPage is the inspector's page in a browser.
type inspectorPage struct {
	*chromium.Page
	t   *testing.T
	url string
}

func openInspector(t *testing.T, handler http.Handler, path string) *inspectorPage {
	t.Helper()
	browser := chromium.Start(t)
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections() // event streams end with their readers
		server.Close()
	})
	return &inspectorPage{browser.Open(t, server.URL+path), t, server.URL}
}

// upload gives the inspector a file before its page is opened.
func upload(t *testing.T, handler http.Handler, name, file string) {
	t.Helper()
	w := httptest.NewRecorder()
	url := "http://localhost/api/recordings?name=" + name
	handler.ServeHTTP(w, httptest.NewRequest("POST", url, strings.NewReader(file)))
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
}

// key presses a key.
func (p *inspectorPage) key(key string) {
	p.t.Helper()
	p.Run(fmt.Sprintf(`(document.activeElement.dispatchEvent(
		new KeyboardEvent('keydown', {key: %q, bubbles: true, cancelable: true})), undefined)`, key))
}

// press clicks on what a selector finds.
func (p *inspectorPage) press(selector string) {
	p.t.Helper()
	p.Await(fmt.Sprintf(`document.querySelector(%q) !== null`, selector))
	p.Run(fmt.Sprintf(`document.querySelector(%q).click()`, selector))
}

func (p *inspectorPage) search(text string) {
	p.t.Helper()
	p.Run(fmt.Sprintf(`{
		const s = document.getElementById('search'); s.value = %q; s.dispatchEvent(new Event('input'));}`, text))
}

// awaitNames waits until the rows are these, by the names on their arrows.
func (p *inspectorPage) awaitNames(names ...string) {
	p.t.Helper()
	want, err := json.Marshal(append([]string{}, names...)) // [] rather than null
	require.NoError(p.t, err)
	p.Await(fmt.Sprintf(`JSON.stringify([...document.querySelectorAll('.row')]
		.sort((a, b) => a.dataset.number - b.dataset.number)
		.map(r => r.querySelector('.label b').textContent)) === JSON.stringify(%s)`, want))
}

// awaitDetail waits until the details of an arrow are shown.
func (p *inspectorPage) awaitDetail(number int) {
	p.t.Helper()
	p.Await(fmt.Sprintf(`(d => d.dataset.loaded === '%d' && !d.hidden)(document.getElementById('detail'))`, number))
}

// text returns the text of what a selector finds.
func (p *inspectorPage) text(selector string) string {
	p.t.Helper()
	return chromium.Eval[string](p.Page,
		fmt.Sprintf(`document.querySelector(%q)?.textContent ?? 'there is none'`, selector))
}

// texts returns the texts of all that a selector finds.
func (p *inspectorPage) texts(selector string) []string {
	p.t.Helper()
	return chromium.Eval[[]string](p.Page,
		fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.textContent)`, selector))
}

// attribute returns an attribute of what a selector finds.
func (p *inspectorPage) attribute(selector, name string) string {
	p.t.Helper()
	return chromium.Eval[string](p.Page, fmt.Sprintf(`document.querySelector(%q)?.getAttribute(%q) ?? ''`, selector, name))
}

// requireQuiet demands that nothing has failed, that nobody else was asked for anything, and
// that nothing of a recording has become more than text.
func (p *inspectorPage) requireQuiet() {
	p.t.Helper()
	require.Empty(p.t, p.Exceptions())
	require.Empty(p.t, chromium.Eval[[]string](p.Page, fmt.Sprintf(
		`performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('%s/'))`, p.url)))
	require.Equal(p.t, "undefined", chromium.Eval[string](p.Page, `typeof window.pwned`))
	require.Zero(p.t, chromium.Eval[int](p.Page, `document.querySelectorAll('img, main script, main b b').length`))
}

var inspectorNames = []string{
	"open", "handshake", "handshake", "join", "joined", "open", "handshake", "handshake", "join", "joined",
	"offer", "offer", "chat", "unreadable", "closed 1002",
}

func TestInspectorShowsARecording(t *testing.T) {
	handler := page.New(nil)
	upload(t, handler, "two", inspectorTrace())
	p := openInspector(t, handler, "/")
	p.awaitNames(inspectorNames...)
	require.Equal(t, "15 arrows", p.text("#shown"))
	require.Equal(t, []string{"alice", "bob"}, p.texts(".name b"))
	require.Equal(t, []string{"up", "down"}, chromium.Eval[[]string](p.Page, `[2, 3].map(n =>
		document.querySelector('#row-' + n + ' .arrow').classList.contains('up') ? 'up' : 'down')`),
		"from the client, from the server")
	require.Equal(t, "unreadable", p.text("#row-14 .badge.of-decode"))
	require.Contains(t, p.text("#row-5 .arrow + .state"), "joined")
	require.Contains(t, p.text("#row-11 .time"), "0.200")
	require.Greater(t, chromium.Eval[float64](p.Page, `document.querySelector('#row-7 .arrow').offsetWidth -
		document.querySelector('#row-2 .arrow').offsetWidth`), 100.0, "bob's lane is behind alice's")
	p.requireQuiet()
}

func TestInspectorShowsARecordingInFirefox(t *testing.T) {
	browser := firefox.Start(t)
	handler := page.New(nil)
	upload(t, handler, "two", inspectorTrace())
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p := browser.Open(t, server.URL+"/#1/11")
	p.Await(`document.querySelectorAll('.row').length === 15`)
	p.Await(`document.querySelectorAll('#detail .section').length === 3`)
	p.Run(`document.getElementById('problems-only').click()`)
	p.Await(`document.querySelector('.row .badge.of-decode') !== null && document.querySelectorAll('.row').length < 5`)
	require.Empty(t, p.Exceptions())
}

func TestInspectorFiltersAndSearches(t *testing.T) {
	handler := page.New(nil)
	upload(t, handler, "two", inspectorTrace())
	p := openInspector(t, handler, "/")
	p.awaitNames(inspectorNames...)
	for _, c := range []struct {
		search string
		names  []string
	}{
		{"offer", []string{"offer", "offer"}},
		{"offer conn:bob", []string{"offer"}},
		{"conn:bob from:server", []string{"handshake", "joined", "offer", "closed 1002"}},
		{"name:join -from:server", []string{"join", "join"}},
		{"kind:life conn:alice", []string{"open"}},
		{"problem:decode", []string{"unreadable"}},
		{`"in g" conn:alice`, []string{"join", "joined"}},
		{"nothing-like-it", []string{}},
		{"", inspectorNames},
	} {
		p.search(c.search)
		p.awaitNames(c.names...)
	}
	require.True(t, chromium.Eval[bool](p.Page, `document.getElementById('empty').hidden`))
	p.Run(`{const c = document.getElementById('conn'); c.value = 'alice'; c.dispatchEvent(new Event('change'))}`)
	p.awaitNames("open", "handshake", "handshake", "join", "joined", "offer")
	p.press(".name")
	p.awaitNames(inspectorNames...)
	p.press("#kind-lifecycle")
	p.awaitNames("handshake", "handshake", "join", "joined", "handshake", "handshake", "join", "joined",
		"offer", "offer", "chat", "unreadable")
	p.press("#kind-message")
	p.awaitNames()
	require.Contains(t, p.text("#empty"), "Nothing is left")
	p.press("#kind-lifecycle")
	p.press("#kind-message")
	p.awaitNames(inspectorNames...)
	p.key("e")
	p.Await(`[...document.querySelectorAll('.row')].every(r => r.classList.contains('wrong'))`)
	p.key("e")
	p.key("N")
	p.awaitDetail(14)
	require.Contains(t, p.text(".problem"), "not a message")
	p.requireQuiet()
}

func TestInspectorShowsWhatIsInAMessage(t *testing.T) {
	handler := page.New(nil)
	upload(t, handler, "two", inspectorTrace())
	p := openInspector(t, handler, "/")
	p.awaitNames(inspectorNames...)
	p.press("#row-11")
	p.awaitDetail(11)
	require.Contains(t, p.text(".detail-head"), "client → server")
	require.Equal(t, "true", p.attribute("#row-11", "aria-selected"))
	require.Contains(t, p.text(".tree"), `label: "camera"`)
	require.Contains(t, p.text(".fold summary"), "audio, video")
	require.Equal(t, []string{
		"session 4 lines", "audio · mid 0 · sendonly · opus 4 lines", "video · mid 1 · sendonly · VP8 4 lines",
	}, p.texts(".section > summary"))
	p.press(`[data-mode=text]`)
	require.Contains(t, p.text("pre.text"), `"label": "camera"`)
	require.Contains(t, p.text(".raw"), `"type":"offer"`)

	p.key("l") // of alice there is no more
	p.awaitDetail(11)
	p.key("h")
	p.awaitDetail(5)
	p.key("k")
	p.awaitDetail(4)
	require.NotContains(t, p.text("#detail"), "hunter2")
	p.key("ArrowDown")
	p.awaitDetail(5)
	p.key("G")
	p.awaitDetail(15)
	p.key("[")
	p.awaitDetail(14)
	p.key("k")
	p.awaitDetail(13)
	require.Contains(t, p.text("#detail"), "<script>window.pwned=2</script>")
	p.key("Escape")
	p.Await(`document.getElementById('detail').hidden`)
	p.key("?")
	p.Await(`document.getElementById('help').open`)
	require.Contains(t, p.text("#help"), "next problem")
	p.requireQuiet()
}

func TestInspectorOpensAtTheArrowOfItsAddress(t *testing.T) {
	handler := page.New(nil)
	upload(t, handler, "first", inspectorTrace())
	upload(t, handler, "second", inspectorTrace())
	p := openInspector(t, handler, "/#2/12")
	p.awaitDetail(12)
	require.Equal(t, "2", chromium.Eval[string](p.Page, `document.getElementById('recordings').value`))
	p.Run(`location.hash = '#2/3'`)
	p.awaitDetail(3)
	p.Run(`location.hash = '#1/4'`)
	p.awaitDetail(4)
	require.Equal(t, "1", chromium.Eval[string](p.Page, `document.getElementById('recordings').value`))
	p.requireQuiet()
}

// fileOf makes a file in the page.
const fileOf = `const files = new DataTransfer(); files.items.add(new File([%q], %q));`

func TestInspectorImportsExportsAndRemoves(t *testing.T) {
	p := openInspector(t, page.New(nil), "/")
	p.Await(`document.getElementById('empty').textContent.includes('no recording')`)
	p.Run(`{` + fmt.Sprintf(fileOf, inspectorTrace(), "a.jsonl") + `
		const input = document.getElementById('file'); input.files = files.files; input.dispatchEvent(new Event('change'));}`)
	p.awaitNames(inspectorNames...)
	require.Equal(t, "a.jsonl (galene)", p.text("#recordings option"))

	resp, err := http.Get(chromium.Eval[string](p.Page, `document.getElementById('export').href`))
	require.NoError(t, err)
	defer resp.Body.Close()
	exported, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(exported), "camera")
	require.NotContains(t, string(exported), "hunter2")
	p.Run(`{` + fmt.Sprintf(fileOf, exported, "b.jsonl") + `
		dispatchEvent(new DragEvent('dragenter', {dataTransfer: files}));
		if (document.getElementById('drop').hidden) throw new Error('it does not say where to drop');
		document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: files, bubbles: true, cancelable: true}));}`)
	p.Await(`document.querySelector('#recordings option:checked').textContent === 'b.jsonl (galene)'`)
	p.awaitNames(inspectorNames...)

	p.Run(`{` + fmt.Sprintf(fileOf, "no recording", "c.txt") + `
		document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: files, bubbles: true, cancelable: true}));}`)
	p.Await(`document.getElementById('toast').textContent.startsWith('c.txt: ')`)
	p.press("#clear")
	p.Await(`document.querySelector('#recordings option:checked').textContent === 'a.jsonl (galene)'`)
	p.press("#clear")
	p.Await(`document.getElementById('empty').textContent.includes('no recording') &&
		document.querySelector('.row') === null`)
	p.requireQuiet()
}

func TestInspectorAsksForAProtocolThatNobodyTells(t *testing.T) {
	p := openInspector(t, page.New(nil), "/")
	p.Await(`document.getElementById('empty').textContent.includes('no recording')`)
	p.Run(`{` + fmt.Sprintf(fileOf, `{"inspector":1}`+"\n"+`{"kind":"note","reason":"hello"}`+"\n", "a.jsonl") + `
		document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: files, bubbles: true, cancelable: true}));}`)
	p.Await(`document.getElementById('choose').open`)
	p.Run(`document.getElementById('choose-protocol').value = 'mse'`)
	p.press("#choose button.main")
	p.Await(`document.querySelector('#recordings option')?.textContent === 'a.jsonl (mse)' &&
		document.querySelectorAll('.row').length === 1`)
	p.requireQuiet()
}

func TestInspectorShowsTwentyThousandArrows(t *testing.T) {
	const lines = 20_000
	var g galeneTrace
	for i := range 20 {
		g.join(fmt.Sprintf("client%d", i), i)
	}
	for i := range lines - 20*5 {
		g.say(fmt.Sprintf("client%d", i%20), "c2s", 100+i,
			wanted{"type": "chat", "source": "s", "dest": "", "value": fmt.Sprint("word", i)})
	}
	handler := page.New(nil)
	upload(t, handler, "long", g.String())
	p := openInspector(t, handler, "/")
	p.Await(`document.getElementById('shown').textContent === '20,000 arrows'`)
	const few = `(n => n > 10 && n < 200)(document.querySelectorAll('.row').length)`
	p.Await(few)
	start := time.Now()
	p.key("G")
	p.awaitDetail(lines)
	p.Await(`document.getElementById('row-20000') !== null && ` + few)
	p.key("g")
	p.awaitDetail(1)
	p.Run(`document.getElementById('diagram').scrollTop = 10000 * 28`)
	p.Await(`document.getElementById('row-10002') !== null && document.getElementById('row-1') === null && ` + few)
	p.search("conn:client7 chat")
	p.Await(`document.getElementById('shown').textContent === '995 of 20,000 arrows'`)
	require.Less(t, chromium.Eval[int](p.Page, `document.querySelectorAll('*').length`), 5000)
	t.Logf("from end to end, to the middle and a search: %v", time.Since(start).Round(time.Millisecond))
	p.requireQuiet()
}

// A liveRecording is the API of a recording that comes in, with arrows made by a test.
type liveRecording struct {
	http.Handler
	events chan string // to the one page
	clears chan struct{}
}

func newLiveRecording() *liveRecording {
	l := &liveRecording{events: make(chan string), clears: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/recordings", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `[{"id":"live","name":"live","protocol":"galene","live":true}]`)
	})
	mux.HandleFunc("DELETE /api/recordings/live", func(w http.ResponseWriter, r *http.Request) {
		l.clears <- struct{}{}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /api/recordings/live/arrows/{number}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"arrow":{},"detail":{"raw":"number %s"}}`, r.PathValue("number"))
	})
	mux.HandleFunc("GET /api/recordings/live/arrows", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case e := <-l.events:
				_, _ = io.WriteString(w, e)
			case <-r.Context().Done():
				return
			}
		}
	})
	mux.Handle("/", page.New(nil))
	l.Handler = mux
	return l
}

// send sends arrows of some numbers.
func (l *liveRecording) send(from, to int) {
	var arrows []wanted
	for n := from; n <= to; n++ {
		arrows = append(arrows, wanted{
			"number": n, "seq": n, "conn": "1", "from": "client", "kind": "message", "name": fmt.Sprint("m", n),
		})
	}
	data, err := json.Marshal(arrows)
	if err != nil {
		panic(err) // of strings and numbers
	}
	l.events <- fmt.Sprintf("event: arrows\ndata: %s\n\n", data)
}

const atTheEnd = `(d => d.scrollTop > 0 && d.scrollTop + d.clientHeight >= d.scrollHeight - 2)(
	document.getElementById('diagram'))`

func TestInspectorFollowsAndPauses(t *testing.T) {
	live := newLiveRecording()
	p := openInspector(t, live, "/")
	live.send(1, 100)
	p.Await(`document.getElementById('row-100') !== null && ` + atTheEnd)
	live.send(101, 200)
	p.Await(`document.getElementById('row-200') !== null && ` + atTheEnd)

	p.key("p")
	live.send(201, 300)
	p.Await(`document.getElementById('pause').textContent === 'Resume (100 new)'`)
	require.Equal(t, "200 arrows", p.text("#shown"))
	p.search("m2")
	p.Await(`document.getElementById('shown').textContent === '12 of 200 arrows'`) // m2, m20 to m29, m200
	p.search("")
	p.key("p")
	p.Await(`document.getElementById('shown').textContent === '300 arrows'`)

	require.Equal(t, "false", p.attribute("#follow", "aria-pressed"))
	p.key("f")
	p.Await(`document.getElementById('row-300') !== null && ` + atTheEnd)
	p.Run(`document.getElementById('diagram').scrollTop -= 500`)
	p.Await(`document.getElementById('follow').getAttribute('aria-pressed') === 'false'`)
	p.Run(`document.getElementById('diagram').scrollTop = 1e9`)
	p.Await(`document.getElementById('follow').getAttribute('aria-pressed') === 'true'`)

	p.key("k")
	p.key("g")
	p.awaitDetail(1)
	live.events <- "event: dropped\ndata: {\"oldest\":101}\n\n"
	p.Await(`document.getElementById('shown').textContent === '200 arrows'`)
	p.press("#clear")
	<-live.clears
	live.events <- "event: cleared\ndata: null\n\n"
	p.Await(`document.querySelector('.row') === null &&
		document.getElementById('empty').textContent.includes('Nothing has come')`)
	require.Contains(t, p.text("#empty"), "the proxy")
	live.send(301, 301)
	p.awaitNames("m301")
	p.requireQuiet()
}

// startInspector builds and starts examples/inspector before a server, and returns where clients go
// and where its page is.
func startInspector(t *testing.T, protocol, target string) (clients, ui string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "inspector")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./examples/inspector")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	p := peer.Start(t, exec.Command(program, "-protocol", protocol, "-target", target,
		"-listen", "127.0.0.1:0", "-ui", "127.0.0.1:0"))
	ready := regexp.MustCompile(`clients: (http://\S+) .*\n.*(http://127\S+/)\n`)
	require.True(t, peer.Await(patience, func() bool { return p.Ended() || ready.MatchString(p.Output()) }))
	require.False(t, p.Ended(), p.Output())
	found := ready.FindStringSubmatch(p.Output())
	return found[1], found[2]
}

func TestInspectorShowsAConversationAsItGoes(t *testing.T) {
	browser := chromium.Start(t)
	server := galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{"lab": {
			Users: map[string]galene.MemoryUser{"ada": {Password: "open sesame", Set: "present"}},
		}},
		Address: galenehttp.Address,
	})
	handler := galenehttp.NewHandler(server, nil)
	web := httptest.NewServer(handler)
	t.Cleanup(func() {
		require.NoError(t, handler.Close())
		require.NoError(t, server.Close())
		web.Close()
	})
	clients, ui := startInspector(t, "galene", web.URL)
	p := &inspectorPage{browser.Open(t, ui), t, strings.TrimSuffix(ui, "/")}
	p.Await(`document.getElementById('empty').textContent.includes('Nothing has come')`)
	require.Contains(t, p.text("#empty"), strings.TrimPrefix(clients, "http://"), "where clients go")

	c, _, err := galenehttp.Join(bounded(t), clients+"/group/lab/", "ada", "open sesame", nil)
	require.NoError(t, err)
	name := func(name string) string {
		return fmt.Sprintf(`[...document.querySelectorAll('.row .label b')].some(b => b.textContent === %q)`, name)
	}
	p.Await(name("joined"))
	p.search("name:join from:client")
	p.awaitNames("join")
	p.press(".row")
	p.Await(`document.querySelector('#detail .tree') !== null`)
	require.Contains(t, p.text(".tree"), `username: "ada"`)
	require.NotContains(t, p.text("#detail"), "open sesame")
	p.search("")
	require.Equal(t, "no problems", p.text("#problem-count"))
	require.NoError(t, c.Close())
	p.Await(`document.querySelector('.name.closed') !== null`)
	require.Equal(t, "no problems", p.text("#problem-count"))
	p.requireQuiet()
}
