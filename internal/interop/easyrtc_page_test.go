package interop

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
)

// easyrtcTransports are the ways of a page to a server, as Socket.IO's option transports has
// them. Old pages only take those that begin with polling, in which the versions differ most.
var easyrtcTransports = []struct {
	name       string
	transports []string // nil for the default
	ends       string   // the transport that the page uses in the end
}{
	{"polling and upgrade", nil, "websocket"},
	{"WebSocket", []string{"websocket"}, "websocket"},
	{"polling", []string{"polling"}, "polling"},
}

// TestEasyRTCPagesTalkThroughTheRealServer has no code of ours in it: it shows that the pages
// and the real server do what the other tests demand of them.
func TestEasyRTCPagesTalkThroughTheRealServer(t *testing.T) {
	browser := chromium.Start(t)
	for _, v := range easyrtcPageVersions {
		t.Run(v.name, func(t *testing.T) {
			r := startRealEasyRTC(t, v, easyrtcSettings{
				io:    `{"cors": {"origin": "*"}}`,
				hooks: `{"deny": [{"password": "wrong"}], "refuse": ["closed"], "ice": [{"urls": ["stun:127.0.0.1:9"]}]}`,
			})
			for _, way := range easyrtcTransports {
				if v != easyrtc218 && way.name == "WebSocket" {
					continue
				}
				t.Run(way.name, func(t *testing.T) {
					talkThroughEasyRTC(t, browser, r, v, way.transports, way.ends)
				})
			}
		})
	}
}

// talkThroughEasyRTC has two pages do through a server whatever easyrtc.js can do.
func talkThroughEasyRTC(
	t *testing.T, browser *chromium.Browser, h easyrtcHost, v easyrtcVersion, transports []string, ends string,
) {
	login := func(user string) wanted {
		o := wanted{
			"username": user, "credential": wanted{"password": "right"}, "audio": true, "video": true, "foreign": !v.camera,
		}
		if transports != nil {
			o["transports"] = transports
		}
		return o
	}
	alice, bob := openEasyRTCPage(t, browser, h.origin(), v), openEasyRTCPage(t, browser, h.origin(), v)
	denied := login("alice")
	denied["credential"] = wanted{"password": "wrong"}
	require.Equal(t, "LOGIN_BAD_AUTH", alice.asks("connect", denied).Code)
	alice.Reload()
	alice.Await(`typeof user === 'object'`)

	start := time.Now()
	alice.connect(login("alice"))
	bob.connect(login("bob"))
	alice.meets(bob.id, "default")
	bob.meets(alice.id, "default")
	bob.Await(bob.js("occupants", "default") + `[` + quoted(t, alice.id) + `].username === 'alice'`)
	t.Logf("%s: two pages know each other after %v", browser.Version(), time.Since(start).Round(time.Millisecond))
	for _, p := range []*easyrtcPage{alice, bob} {
		p.Await(p.js("transport") + ` === '` + ends + `'`)
	}

	alice.does("call", bob.id)
	for _, c := range []struct{ p, peer *easyrtcPage }{{alice, bob}, {bob, alice}} {
		if c.p == alice || !v.deaf {
			c.p.sees("open", wanted{"with": c.peer.id})
		}
		c.p.sees("stream", wanted{"from": c.peer.id, "name": "default", "audio": 1, "video": 1})
		c.p.requireVideo(c.peer.id)
	}
	alice.sees("accepted", wanted{"to": bob.id, "accepted": true})
	long := strings.Repeat("0123456789", 500)
	alice.does("sendP2P", bob.id, "note", long)
	bob.sees("message", wanted{"from": alice.id, "msgType": "note", "msgData": long, "target": nil})
	if !v.deaf {
		bob.does("sendP2P", alice.id, "note", wanted{"n": 1})
		alice.sees("message", wanted{"from": bob.id, "msgData": wanted{"n": 1}, "target": nil})
	}
	bob.does("hangup", alice.id)
	alice.sees("close", wanted{"with": bob.id})
	alice.sees("ended", wanted{"from": bob.id, "name": "default"})

	require.Empty(t, alice.asks("send", bob.id, "chat", "hello").Code)
	bob.sees("message", wanted{
		"from": alice.id, "msgType": "chat", "msgData": "hello", "target": wanted{"targetEasyrtcid": bob.id},
	})
	require.Empty(t, alice.asks("join", "den", wanted{"pin": 1}).Code)
	require.Empty(t, bob.asks("join", "den").Code)
	require.Equal(t, "MSG_REJECT_BAD_ROOM", bob.asks("join", "closed").Code)
	require.Empty(t, bob.asks("send", wanted{"targetRoom": "den"}, "chat", "to all").Code)
	alice.sees("message", wanted{"from": bob.id, "msgData": "to all", "target": wanted{"targetRoom": "den"}})
	bob.does("setApiField", "den", "seat", 7)
	alice.Await(alice.js("apiField", "den", bob.id, "seat") + ` === 7`)
	bob.does("setPresence", "dnd", "busy")
	alice.Await(alice.js("occupants", "den") + `[` + quoted(t, bob.id) + `].presence.show === 'dnd'`)
	var list map[string]struct{ NumberClients int }
	require.NoError(t, json.Unmarshal(bob.asks("roomList").Value, &list))
	require.Equal(t, 2, list["den"].NumberClients)
	require.Equal(t, []string{alice.id, bob.id}, h.members("den"))
	bob.asks("leave", "den")
	alice.Await(`!(` + quoted(t, bob.id) + ` in ` + alice.js("occupants", "den") + `)`)
	require.Equal(t, "stun:127.0.0.1:9",
		chromium.Eval[string](alice.Page, alice.js("refreshIce")+`.then(servers => servers[0].urls[0])`))

	alice.forgets()
	bob.forgets()
	bob.does("accept", "reject")
	alice.does("call", bob.id)
	alice.sees("accepted", wanted{"to": bob.id, "accepted": false})
	bob.does("accept", "ask")
	alice.does("call", bob.id)
	bob.Await(bob.js("entries", "incoming") + `.length === 2`)
	bob.does("answer", alice.id, true)
	alice.sees("open", wanted{"with": bob.id})
	alice.does("hangup", bob.id)
	bob.sees("close", wanted{"with": alice.id})

	if v.glare {
		callEachOther(alice, bob)
	}

	elsewhere := httptest.NewServer(easyrtcFiles())
	t.Cleanup(elsewhere.Close)
	carol := openEasyRTCPage(t, browser, elsewhere.URL, v)
	o := login("carol")
	o["url"] = h.origin()
	carol.connect(o)
	alice.meets(carol.id, "default")
	carol.does("disconnect")
	alice.Await(`!(` + quoted(t, carol.id) + ` in ` + alice.js("occupants", "default") + `)`)

	h.complain(bob.id, "CUSTOM", "of the application")
	bob.sees("error", wanted{"code": "CUSTOM", "text": "of the application"})
	alice.requireQuiet()
	alice.does("disconnect")
	bob.Await(`!(` + quoted(t, alice.id) + ` in ` + bob.js("occupants", "default") + `)`)
}

// callEachOther has two pages send their offers before either sees that of the other.
func callEachOther(alice, bob *easyrtcPage) {
	alice.t.Helper()
	both := []*easyrtcPage{alice, bob}
	bob.idles(alice)
	alice.idles(bob)
	for _, p := range both {
		p.forgets()
		p.does("accept", "accept")
		p.does("hold")
	}
	alice.does("call", bob.id)
	bob.does("call", alice.id)
	for _, p := range both {
		p.sees("sent", wanted{"msgType": "offer"})
	}
	for _, p := range both {
		p.does("release")
	}
	alice.sees("open", wanted{"with": bob.id})
	bob.sees("open", wanted{"with": alice.id})
	alice.requireVideo(bob.id)
	bob.requireVideo(alice.id)
}

// idles waits until a page has no call with another one any more.
func (p *easyrtcPage) idles(peer *easyrtcPage) {
	p.t.Helper()
	p.Await(p.js("status", peer.id) + ` === easyrtc.NOT_CONNECTED`)
}

// quoted returns a string of JavaScript.
func quoted(t *testing.T, s string) string {
	t.Helper()
	text, err := json.Marshal(s)
	require.NoError(t, err)
	return string(text)
}

// TestEasyRTCNetworkedAframeMeetsThroughTheRealServer has no code of ours in it either.
func TestEasyRTCNetworkedAframeMeetsThroughTheRealServer(t *testing.T) {
	easyrtcNode(t, "networked-aframe")
	browser := chromium.Start(t)
	r := startRealEasyRTC(t, easyrtc218, easyrtcSettings{options: `{"roomDefaultEnable": false}`})
	for _, adapter := range []string{"easyrtc", "wseasyrtc"} {
		t.Run(adapter, func(t *testing.T) {
			alice, bob := openNAFPage(t, browser, r.url), openNAFPage(t, browser, r.url)
			alice.enter(adapter, r.url, "scene")
			bob.enter(adapter, r.url, "scene")
			alice.exchange(adapter, bob)
		})
	}
}

// TestEasyRTCRealServerDoesWhatATestTellsIt is about server.js and its hooks.
func TestEasyRTCRealServerDoesWhatATestTellsIt(t *testing.T) {
	browser := chromium.Start(t)
	for _, v := range []easyrtcVersion{easyrtc218, easyrtc2017, easyrtc110} {
		t.Run(v.name, func(t *testing.T) {
			r := startRealEasyRTC(t, v, easyrtcSettings{
				options: `{"appIceServers": [{"urls": "stun:127.0.0.1:1"}]}`,
				hooks: `{"expect": {"den": {"pin": "1"}}, "fields": {"connection": {"seat": 7}, "session": {"basket": []}},
					"answer": {"msgType": "heard", "msgData": [1]}}`,
			})
			p := openEasyRTCPage(t, browser, r.url, v)
			p.Run(`document.cookie = 'easyrtcsid=a-session'`)
			p.connect(wanted{"username": "alice"})
			login := await(t, "login", &r.reports.journal, func(e easyrtcReport) bool { return e.Event == "authenticate" })
			require.Equal(t, p.id, login.EasyRTCID)
			require.Equal(t, "alice", login.Username)
			require.Equal(t, "stun:127.0.0.1:1", chromium.Eval[string](p.Page, p.js("ice")+`[0].urls`))
			p.Await(p.js("fields") + `.connection?.seat?.fieldValue === 7`)

			require.Equal(t, "MSG_REJECT_BAD_ROOM", p.asks("join", "den", wanted{"pin": "2"}).Code)
			require.Empty(t, p.asks("join", "den", wanted{"pin": "1"}).Code)
			await(t, "parameter", &r.reports.journal, func(e easyrtcReport) bool {
				return e.Event == "roomJoin" && e.Room == "den" && string(e.Parameter) == `{"pin":"1"}`
			})
			require.JSONEq(t, `["heard", [1]]`, string(p.asks("sendServer", "question", "?").Value))
			await(t, "question", &r.reports.journal, func(e easyrtcReport) bool {
				return e.Event == "message" && e.EasyRTCID == p.id
			})

			p.Await(p.js("fields") + `.session?.basket?.fieldValue.length === 0`)
			r.do("field", map[string]any{"scope": "session", "easyrtcsid": "a-session", "name": "basket", "value": []int{5}})
			p.Await(p.js("fields") + `.session?.basket?.fieldValue[0] === 5`)
			r.do("field", map[string]any{"scope": "room", "room": "den", "name": "topic", "value": []int{1}})
			p.Await(p.js("fields", "den") + `.room?.topic?.fieldValue[0] === 1`)
			r.do("field", map[string]any{"scope": "application", "name": "motto", "value": "x"})
			r.do("field", map[string]any{"scope": "connection", "easyrtcid": p.id, "name": "seat", "value": 8})
			r.do("message", map[string]any{"easyrtcid": p.id, "msgType": "news", "msgData": "of today"})
			p.sees("server", wanted{"msgType": "news", "msgData": "of today"})
			r.do("error", map[string]any{"easyrtcid": p.id, "code": "SERVER_SHUTDOWN"})
			p.sees("error", wanted{"code": "SERVER_SHUTDOWN"})
			r.do("push", map[string]any{"easyrtcid": p.id, "msgType": "iceConfig", "msgData": map[string]any{
				"iceConfig": map[string]any{"iceServers": []any{map[string]any{"urls": "stun:127.0.0.1:2"}}}}})
			p.Await(p.js("ice") + `[0].urls === 'stun:127.0.0.1:2'`)
			r.do("hooks", map[string]any{"hooks": map[string]any{"ice": "error"}})
			require.False(t, chromium.Eval[bool](p.Page, p.js("refreshIce")+`.then(servers => servers !== null)`))

			state := r.do("state", nil).Apps["default"]
			require.Equal(t, "alice", state.Connections[p.id].Username)
			require.Contains(t, state.Connections[p.id].Rooms, "den")
			require.Equal(t, []string{"a-session"}, state.Sessions)
			r.do("disconnect", map[string]any{"easyrtcid": p.id})
			p.sees("gone", nil)
			await(t, "end", &r.reports.journal, func(e easyrtcReport) bool {
				return e.Event == "disconnect" && e.EasyRTCID == p.id
			})
			eventually(t, "removal", func() bool { // 1.1.0 calls it an end before it forgets the connection
				return len(r.do("state", nil).Apps["default"].Connections) == 0
			})
		})
	}
}
