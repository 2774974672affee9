package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/internal/interop/chromium"
)

// easyrtcPageVersions are the versions of easyrtc.js that the servers are tested with.
var easyrtcPageVersions = []easyrtcVersion{easyrtc218, easyrtc2020, easyrtc110}

// TestEasyRTCPagesTalkThroughOurServer demands of our server what
// TestEasyRTCPagesTalkThroughTheRealServer has shown of real ones.
func TestEasyRTCPagesTalkThroughOurServer(t *testing.T) {
	browser := chromium.Start(t)
	for _, v := range easyrtcPageVersions {
		t.Run(v.name, func(t *testing.T) {
			easyrtcNode(t, v.easyrtc, v.client)
			for _, way := range easyrtcTransports {
				if v != easyrtc218 && way.name == "WebSocket" {
					continue
				}
				t.Run(way.name, func(t *testing.T) {
					s := startEasyRTCSite(t, easyrtc.ServerOptions{})
					talkThroughEasyRTC(t, browser, s, v, way.transports, way.ends)
				})
			}
		})
	}
}

// admitted is what lets a page in.
func admitted(user string, more wanted) wanted {
	o := wanted{"username": user, "credential": wanted{"password": "right"}}
	maps.Copy(o, more)
	return o
}

// withCamera is a page's wish to send its camera and its microphone.
var withCamera = wanted{"audio": true, "video": true}

// startEasyRTCPages starts a browser and our server.
func startEasyRTCPages(t *testing.T, opts easyrtc.ServerOptions) (*chromium.Browser, *easyrtcSite) {
	t.Helper()
	easyrtcNode(t, easyrtc218.easyrtc, easyrtc218.client)
	return chromium.Start(t), startEasyRTCSite(t, opts)
}

// enter opens a page and logs in.
func (s *easyrtcSite) enter(b *chromium.Browser, user string, more wanted) *easyrtcPage {
	s.t.Helper()
	p := openEasyRTCPage(s.t, b, s.url, easyrtc218)
	p.connect(admitted(user, more))
	return p
}

// TestEasyRTCPagesWhoseOffersCrossInTheServerMakeOneCall has the server hold back both offers
// until both pages have sent theirs.
func TestEasyRTCPagesWhoseOffersCrossInTheServerMakeOneCall(t *testing.T) {
	const rounds = 3
	browser, s := startEasyRTCPages(t, easyrtc.ServerOptions{})
	for _, way := range easyrtcTransports {
		t.Run(way.name, func(t *testing.T) {
			before, _ := s.gates.from(0)
			more := wanted{"audio": true, "video": true}
			if way.transports != nil {
				more["transports"] = way.transports
			}
			pages := []*easyrtcPage{s.enter(browser, "alice", more), s.enter(browser, "bob", more)}
			gates, _ := s.gates.from(len(before))
			require.Len(t, gates, len(pages))
			other := func(i int) *easyrtcPage { return pages[1-i] }
			for i, p := range pages {
				p.meets(other(i).id, "default")
			}
			for range rounds {
				var offered []<-chan struct{}
				for _, g := range gates {
					offered = append(offered, g.hold(`"msgType":"offer"`))
				}
				for i, p := range pages {
					p.forgets()
					p.does("call", other(i).id)
				}
				for _, o := range offered {
					awaitClosed(t, "offer", o)
				}
				for _, g := range gates {
					g.release(t)
				}
				for i, p := range pages {
					p.sees("open", wanted{"with": other(i).id})
					p.sees("stream", wanted{"from": other(i).id, "audio": 1, "video": 1})
					p.requireVideo(other(i).id)
				}
				for i, p := range pages { // the one with the smaller id gives in
					answers := chromium.Eval[int](p.Page, `user.entries('sent', {msgType: 'answer'}).length`)
					if p.id < other(i).id {
						require.Equal(t, 1, answers)
					} else {
						require.Zero(t, answers)
					}
				}
				pages[0].does("hangup", pages[1].id)
				pages[1].sees("close", wanted{"with": pages[0].id})
				for i, p := range pages {
					p.idles(other(i))
				}
			}
			for _, p := range pages {
				p.requireQuiet()
				p.does("disconnect")
			}
			eventually(t, "end of both", func() bool { return len(s.members("default")) == 0 })
		})
	}
}

// awaitClosed waits until a channel is closed.
func awaitClosed(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-bounded(t).Done():
		require.FailNow(t, "no "+what)
	}
}

func TestEasyRTCThreePagesCallEachOther(t *testing.T) {
	browser, s := startEasyRTCPages(t, easyrtc.ServerOptions{})
	var pages []*easyrtcPage
	for _, user := range []string{"alice", "bob", "carol"} {
		p := s.enter(browser, user, withCamera)
		for _, earlier := range pages {
			p.meets(earlier.id, "default")
			p.does("call", earlier.id) // who comes calls those who are there
		}
		pages = append(pages, p)
	}
	for _, p := range pages {
		for _, peer := range pages {
			if peer != p {
				p.sees("open", wanted{"with": peer.id})
				p.requireVideo(peer.id)
			}
		}
	}
	require.ElementsMatch(t, []string{pages[0].id, pages[1].id, pages[2].id}, s.members("default"))
	require.Empty(t, pages[2].asks("send", wanted{"targetRoom": "default"}, "chat", "to both").Code)
	for _, p := range pages[:2] {
		p.sees("message", wanted{"from": pages[2].id, "msgData": "to both"})
	}

	gone := pages[2].id
	pages[2].Run(`location.href = 'about:blank'`) // without a word
	for _, p := range pages[:2] {
		p.sees("close", wanted{"with": gone})
		p.Await(`!(` + quoted(t, gone) + ` in ` + p.js("occupants", "default") + `)`)
	}
	pages[0].requireVideo(pages[1].id)
	pages[1].requireVideo(pages[0].id)
	for _, p := range pages[:2] {
		p.requireQuiet()
	}
}

// TestEasyRTCPagesComeBackWhenTheServerStartsAgain is about pages that leave it to easyrtc.js
// where the server is, which connects again by itself, and one that says so, which does not.
func TestEasyRTCPagesComeBackWhenTheServerStartsAgain(t *testing.T) {
	browser, s := startEasyRTCPages(t, easyrtc.ServerOptions{})
	byItself := wanted{"audio": true, "video": true, "url": nil}
	alice, bob := s.enter(browser, "alice", byItself), s.enter(browser, "bob", byItself)
	carol := s.enter(browser, "carol", nil)
	for _, p := range []*easyrtcPage{bob, carol} {
		alice.meets(p.id, "default")
	}
	alice.does("call", bob.id)
	bob.sees("open", wanted{"with": alice.id})
	alice.sees("open", wanted{"with": bob.id})
	require.Empty(t, alice.asks("join", "den").Code)

	s.stop()
	for _, p := range []*easyrtcPage{alice, bob, carol} {
		p.sees("gone", nil)
	}
	alice.sees("close", wanted{"with": bob.id}) // easyrtc.js ends all calls
	bob.sees("close", wanted{"with": alice.id})

	s.start()
	for _, p := range []*easyrtcPage{alice, bob} {
		before := p.id
		p.forgets()
		p.Await(fmt.Sprintf(`user.id() && user.id() !== %q`, before))
		p.id = chromium.Eval[string](p.Page, p.js("id"))
	}
	carol.does("disconnect")
	carol.Await(`!easyrtc.webSocket`)
	carol.connect(admitted("carol", nil))
	for _, p := range []*easyrtcPage{alice, bob} {
		p.meets(carol.id, "default")
	}
	alice.meets(bob.id, "default")
	bob.meets(alice.id, "default")
	require.ElementsMatch(t, []string{alice.id, bob.id, carol.id}, s.members("default"))
	bob.does("call", alice.id)
	alice.sees("open", wanted{"with": bob.id})
	bob.sees("open", wanted{"with": alice.id})
	alice.requireVideo(bob.id)
	bob.requireVideo(alice.id)
}

// TestEasyRTCPageLogsInAgainOnTheSameConnection is what setCredential does.
func TestEasyRTCPageLogsInAgainOnTheSameConnection(t *testing.T) {
	var logins journal[easyrtc.LoginRequest]
	browser, s := startEasyRTCPages(t, easyrtc.ServerOptions{
		Authenticate: func(_ context.Context, _ *easyrtc.ServerSession, l *easyrtc.LoginRequest) error {
			logins.add(*l)
			if l.Again && string(l.Credential) != `{"renewed":1}` {
				return easyrtc.NewError(easyrtc.CodeLoginAppAuthFail)
			}
			return nil
		},
	})
	alice, bob := s.enter(browser, "alice", nil), s.enter(browser, "bob", nil)
	require.Empty(t, alice.asks("join", "den").Code)
	require.Empty(t, bob.asks("join", "den").Code)
	again := alice.asks("authenticate", wanted{"renewed": 1})
	require.Empty(t, again.Code, again.Text)
	require.JSONEq(t, quoted(t, alice.id), string(again.Value), "the id stays")
	all, _ := logins.from(0)
	require.Equal(t, []bool{false, false, true}, []bool{all[0].Again, all[1].Again, all[2].Again})
	require.JSONEq(t, `["default", "den"]`, chromium.Eval[string](alice.Page, `JSON.stringify(user.rooms())`))
	require.Equal(t, []string{alice.id, bob.id}, s.members("den"))

	alice.meets(bob.id, "default")
	alice.does("call", bob.id) // each message is carried out once, not once a login
	bob.sees("open", wanted{"with": alice.id})
	alice.sees("open", wanted{"with": bob.id})
	require.Empty(t, alice.asks("send", bob.id, "chat", "hello").Code)
	bob.sees("message", wanted{"msgData": "hello"})
	require.Empty(t, alice.asks("send", bob.id, "chat", "bye").Code)
	bob.sees("message", wanted{"msgData": "bye"})
	for _, entry := range []string{`'incoming'`, `'received', {msgType: 'offer'}`, `'message', {msgData: 'hello'}`} {
		require.Equal(t, 1, chromium.Eval[int](bob.Page, `user.entries(`+entry+`).length`), entry)
	}

	require.Equal(t, "LOGIN_APP_AUTH_FAIL", alice.asks("authenticate", wanted{"renewed": 2}).Code)
	alice.sees("gone", nil)
	bob.Await(`!(` + quoted(t, alice.id) + ` in ` + bob.js("occupants", "default") + `)`)
	eventually(t, "end of the other", func() bool { return slices.Equal(s.members("den"), []string{bob.id}) })
}

// TestEasyRTCPageHearsTheServerApplication is about what only an application sends.
func TestEasyRTCPageHearsTheServerApplication(t *testing.T) {
	field := func(value string) easyrtc.FieldMap {
		f := easyrtc.FieldMap{}
		f.Set("seat", json.RawMessage(value))
		return f
	}
	for _, v := range easyrtcPageVersions {
		t.Run(v.name, func(t *testing.T) {
			easyrtcNode(t, v.easyrtc, v.client)
			browser := chromium.Start(t)
			s := startEasyRTCSite(t, easyrtc.ServerOptions{
				ServerConfig: easyrtc.ServerConfig{
					ApplicationField: field(`{"of":"the application"}`), ConnectionField: field(`7`),
				},
				Message: func(_ context.Context, _ *easyrtc.ServerSession, m *easyrtc.Msg) (*easyrtc.Msg, error) {
					if m.MsgType == "wrong" {
						return nil, easyrtc.ErrBadData
					}
					return &easyrtc.Msg{MsgType: "heard", MsgData: m.MsgData}, nil
				},
			})
			p := openEasyRTCPage(t, browser, s.url, v)
			p.connect(admitted("alice", nil))
			p.Await(p.js("fields") + `.connection.seat?.fieldValue === 7`)
			p.Await(p.js("fields") + `.application.seat?.fieldValue.of === 'the application'`)
			require.NoError(t, s.signaling.AddRoom("default", "default", field(`[1]`)))
			p.Await(p.js("fields") + `.room?.seat?.fieldValue[0] === 1`)

			require.JSONEq(t, `["heard", {"a": [1]}]`, string(p.asks("sendServer", "question", wanted{"a": []int{1}}).Value))
			require.Equal(t, "MSG_REJECT_BAD_DATA", p.asks("sendServer", "wrong", "").Code)
			require.NoError(t, s.signaling.SendTo(p.id, &easyrtc.Msg{MsgType: "news", MsgData: json.RawMessage(`"of today"`)}))
			p.sees("server", wanted{"msgType": "news", "msgData": "of today"})
			require.NoError(t, s.signaling.SendTo(p.id, &easyrtc.ICEConfig{MsgData: &easyrtc.ICEConfigData{
				ICEConfig: &easyrtc.ICEServers{ICEServers: []easyrtc.ICEServer{easyrtc.NewICEServer("stun:127.0.0.1:2")}},
			}}))
			p.Await(`[` + p.js("ice") + `[0].urls].flat()[0] === 'stun:127.0.0.1:2'`)
			s.complain(p.id, "SERVER_SHUTDOWN", "soon")
			p.sees("error", wanted{"code": "SERVER_SHUTDOWN", "text": "soon"})
			require.NoError(t, s.signaling.SendTo(p.id, &easyrtc.ForwardToURL{MsgData: &easyrtc.ForwardToURLData{
				ForwardToURL: &easyrtc.Forward{URL: "#elsewhere"},
			}}))
			p.Await(`location.hash === '#elsewhere'`)

			for sess := range s.signaling.Sessions() {
				sess.Disconnect()
			}
			p.sees("gone", nil)
			eventually(t, "empty room", func() bool { return len(s.members("default")) == 0 })
		})
	}
}

// TestEasyRTCPagesOfOneBrowserShareTheirSession has pages load everything from where that of
// open-easyrtc is.
func TestEasyRTCPagesOfOneBrowserShareTheirSession(t *testing.T) {
	for _, v := range easyrtcPageVersions {
		t.Run(v.name, func(t *testing.T) {
			easyrtcNode(t, v.easyrtc, v.client)
			browser := chromium.Start(t)
			signaling := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
			t.Cleanup(func() { _ = signaling.Close() })
			script, err := os.ReadFile(filepath.Join("testdata", "easyrtc", "page.js"))
			require.NoError(t, err)
			web := httptest.NewServer(easyrtchttp.NewHandler(signaling, &easyrtchttp.Options{
				SocketIO: os.DirFS(filepath.Join("node_modules", v.client, "dist")),
				API:      os.DirFS(filepath.Join("node_modules", v.easyrtc, "api")),
				Static: fstest.MapFS{"page.js": {Data: script}, "page.html": {Data: []byte(`<!DOCTYPE html>
					<script src="/socket.io/socket.io.js"></script>
					<script src="/easyrtc/easyrtc.js"></script>
					<div id="videos"></div><script src="page.js"></script>`)}},
				Sessions: true,
			}))
			t.Cleanup(web.Close)
			var pages []*easyrtcPage
			for range 2 {
				p := openEasyRTCPage(t, browser, web.URL, v)
				p.connect(wanted{"url": nil})
				pages = append(pages, p)
			}
			cookie := chromium.Eval[string](pages[0].Page, `document.cookie`)
			sid, ok := strings.CutPrefix(cookie, easyrtchttp.SessionCookie+"=")
			require.True(t, ok, cookie)
			var sessions []*easyrtc.ServerSession
			for sess := range signaling.Sessions() {
				c, ok := sess.Client()
				require.True(t, ok)
				require.Equal(t, sid, c.EasyrtcSID)
				sessions = append(sessions, sess)
			}
			require.Len(t, sessions, len(pages))
			f := easyrtc.FieldMap{}
			f.Set("basket", json.RawMessage(`["apple"]`))
			require.NoError(t, sessions[0].SetSessionField(f))
			for _, p := range pages {
				p.Await(p.js("fields") + `.session?.basket?.fieldValue[0] === 'apple'`)
				p.requireQuiet()
			}
		})
	}
}

func TestEasyRTCPageHearsWhyItIsRefused(t *testing.T) {
	browser, s := startEasyRTCPages(t, easyrtc.ServerOptions{
		Authenticate: func(context.Context, *easyrtc.ServerSession, *easyrtc.LoginRequest) error {
			return easyrtc.NewError("NOT_TODAY")
		},
	})
	p := openEasyRTCPage(t, browser, s.url, easyrtc218)
	require.Equal(t, "NOT_TODAY", p.asks("connect", admitted("alice", nil)).Code)
	p.sees("gone", nil)
	require.Empty(t, s.members("default"))
}

// TestEasyRTCNetworkedAframeMeetsThroughOurServer demands of our server what
// TestEasyRTCNetworkedAframeMeetsThroughTheRealServer has shown of the real one.
func TestEasyRTCNetworkedAframeMeetsThroughOurServer(t *testing.T) {
	easyrtcNode(t, "networked-aframe")
	browser := chromium.Start(t)
	for _, adapter := range []string{"easyrtc", "wseasyrtc"} {
		t.Run(adapter, func(t *testing.T) {
			s := startEasyRTCSite(t, easyrtc.ServerOptions{
				ServerConfig: easyrtc.ServerConfig{NoDefaultRoom: true},
				Authenticate: func(context.Context, *easyrtc.ServerSession, *easyrtc.LoginRequest) error { return nil },
			})
			alice, bob := openNAFPage(t, browser, s.url), openNAFPage(t, browser, s.url)
			alice.enter(adapter, s.url, "scene")
			bob.enter(adapter, s.url, "scene")
			require.Equal(t, []string{alice.id, bob.id}, s.members("scene"))
			require.Empty(t, s.members("default"))
			alice.exchange(adapter, bob)
		})
	}
}
