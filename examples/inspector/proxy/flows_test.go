package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// through runs a flow without a proxy, and through two proxies in a row. The flow must give
// the same, and both proxies must have taken down the same, byte for byte, in the same order
// for each direction of each connection.
func through(t *testing.T, target http.Handler, flow func(t *testing.T, url string) any) []capture.Entry {
	t.Helper()
	web := httptest.NewServer(target)
	t.Cleanup(web.Close)
	direct := flow(t, web.URL)
	inner := beforeAddress(t, &Options{Target: web.URL})
	outer := beforeAddress(t, &Options{Target: inner.url})
	require.Equal(t, direct, flow(t, outer.url))
	// Whatever is on its way has been when all is closed.
	require.NoError(t, outer.proxy.Close())
	require.NoError(t, inner.proxy.Close())
	far, _ := inner.journal.After(0)
	near, _ := outer.journal.After(0)
	require.NotEmpty(t, near)
	// What comes to one who has closed his connection may get as far as the first proxy, and
	// a request that nobody waits for as far as the other one.
	fars, nears := bodies(far), bodies(near)
	for by, got := range nears {
		want := fars[by]
		if strings.Contains(by, " message client") {
			require.Equal(t, want, got, by)
		}
		n := min(len(want), len(got))
		require.Equal(t, want[:n], got[:n], by)
		require.LessOrEqual(t, max(len(want), len(got))-n, 2, by)
	}
	return near
}

// bodies returns what each side has sent, by connection and by the kind of entries.
func bodies(entries []capture.Entry) map[string][]string {
	m := make(map[string][]string)
	for _, e := range entries {
		if e.Kind != capture.Message && e.Kind != capture.Request && e.Kind != capture.Response {
			continue
		}
		by := e.Conn + " " + string(e.Kind) + " " + string(e.From) + " " + e.Method
		m[by] = append(m[by], e.URL+" "+string(e.Data))
	}
	// What a group's status says is that of the server before which the proxy stands.
	for by := range m {
		if strings.HasPrefix(by, "http response") {
			delete(m, by)
		}
	}
	return m
}

// texts returns the messages of a connection, with an arrow for where each goes.
func texts(entries []capture.Entry, conn string) []string {
	var all []string
	for _, e := range entries {
		if e.Conn == conn && e.Kind == capture.Message {
			all = append(all, map[capture.Side]string{capture.Client: "> ", capture.Server: "< "}[e.From]+string(e.Data))
		}
	}
	return all
}

func TestCuttlefishPasses(t *testing.T) {
	t.Parallel()
	for _, via := range []cuttlefishhttp.Via{
		cuttlefishhttp.ViaDocument, cuttlefishhttp.ViaWebSocket, cuttlefishhttp.ViaPolling,
	} {
		t.Run(via.String(), func(t *testing.T) {
			t.Parallel()
			srv := cuttlefish.NewServer(&cuttlefish.ServerOptions{
				ICEServers: []cuttlefish.ICEServer{{URLs: []string{"stun:stun.example.org"}}},
			})
			handler := cuttlefishhttp.NewHandler(srv, nil)
			t.Cleanup(func() {
				require.NoError(t, handler.Close())
				require.NoError(t, srv.Close())
			})
			flows := 0
			entries := through(t, handler, func(t *testing.T, url string) any {
				ctx := t.Context()
				flows++ // the server may not have noticed yet that the device of the first one has gone
				id := fmt.Sprint("cvd-", flows)
				device, err := cuttlefishhttp.ConnectDevice(ctx, url, id, &cuttlefishhttp.DialDeviceOptions{
					Device: &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`{"displays":[]}`)},
				})
				require.NoError(t, err)
				client, err := cuttlefishhttp.ConnectClient(ctx, url, id, &cuttlefishhttp.DialOptions{Via: via})
				require.NoError(t, err)
				require.NoError(t, client.SendPayload(&cuttlefish.RequestOffer{}))
				var got []string
				for m, err := range device.Messages(ctx) {
					require.NoError(t, err)
					if m, ok := m.(*cuttlefish.ClientMsg); ok {
						got = append(got, string(m.Payload))
						require.NoError(t, device.Forward(m.ClientID, json.RawMessage(`{"type":"offer","sdp":"v=0"}`)))
						break
					}
				}
				for m, err := range client.Messages(ctx) {
					require.NoError(t, err)
					if m, ok := m.(*cuttlefish.DeviceMsg); ok {
						got = append(got, string(m.Payload))
						break
					}
				}
				got = append(got, string(client.DeviceInfo()), client.Config().ICEServers[0].URLs[0])
				require.NoError(t, client.Close())
				require.NoError(t, device.Close())
				return got
			})
			require.Equal(t, `> {"message_type":"register","device_id":"cvd-2","device_info":{"displays":[]}}`,
				texts(entries, "1")[0])
			if via == cuttlefishhttp.ViaPolling {
				var of []string
				for _, e := range entries {
					if e.Kind == capture.Request && e.Conn == "2" {
						path, _, _ := strings.Cut(e.URL, "?")
						of = append(of, e.Method+" "+path[strings.LastIndexByte(path, '/'):])
					}
				}
				require.Equal(t, "POST /polled_connections", of[0])
				require.Contains(t, of, "POST /:forward")
				require.Contains(t, of, "GET /messages")
			} else {
				require.NotEmpty(t, texts(entries, "2"))
			}
		})
	}
}

func TestEasyRTCPasses(t *testing.T) {
	t.Parallel()
	both := []string{enginehttp.Polling, enginehttp.WebSocket}
	for name, opts := range map[string]*enginehttp.Options{
		"WebSocket":             nil,
		"polling":               {Transports: both[:1]},
		"upgrade":               {Transports: both},
		"WebSocket, revision 3": {Version: engineio.V3},
		"polling, revision 3":   {Transports: both[:1], Version: engineio.V3},
		"upgrade, revision 3":   {Transports: both, Version: engineio.V3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
			t.Cleanup(func() { require.NoError(t, srv.Close()) })
			entries := through(t, easyrtchttp.NewHandler(srv, nil), func(t *testing.T, url string) any {
				ctx := t.Context()
				var got []string
				login := func(name string) *easyrtc.Client {
					client, token, err := easyrtchttp.Login(ctx, url, &easyrtc.Login{
						Application: "app", Username: name, Rooms: []string{"lobby"},
					}, &easyrtchttp.DialOptions{HTTP: opts})
					require.NoError(t, err)
					got = append(got, name, token.RoomData["lobby"].RoomName)
					return client
				}
				ada := login("ada")
				bob := login("bob")
				require.NoError(t, bob.SendTo(ctx, ada.EasyrtcID(), "hello", json.RawMessage(`"ä €"`)))
				for m, err := range ada.Messages(ctx) {
					require.NoError(t, err)
					if m, ok := m.(*easyrtc.Msg); ok {
						// What waits for a change to WebSocket is escaped, or is not.
						var text string
						require.NoError(t, json.Unmarshal(m.MsgData, &text))
						got = append(got, m.MsgType, text)
						break
					}
				}
				require.NoError(t, bob.Close())
				require.NoError(t, ada.Close())
				return got
			})
			// All of a client is one connection.
			var conns []string
			for _, e := range entries {
				if !slices.Contains(conns, e.Conn) {
					conns = append(conns, e.Conn)
				}
				if sid := capture.SessionInURL(e.URL); e.Kind == capture.Open {
					require.Equal(t, strings.HasPrefix(name, "upgrade"), sid != "")
				}
			}
			require.Equal(t, []string{"1", "2"}, conns)
		})
	}
}

func TestGalenePasses(t *testing.T) {
	t.Parallel()
	server := galene.NewServer(&galene.ServerOptions{
		Groups: galene.Groups{"lab": {
			Group: galene.Group{DisplayName: "Laboratory", Public: true},
			Users: map[string]galene.MemoryUser{"ada": {Password: "sesame", Set: "present"}},
		}},
		Address: galenehttp.Address,
	})
	handler := galenehttp.NewHandler(server, &galenehttp.Options{WHIP: true})
	t.Cleanup(func() {
		require.NoError(t, handler.Close())
		require.NoError(t, server.Close())
	})
	entries := through(t, handler, func(t *testing.T, url string) any {
		ctx := t.Context()
		public, err := galenehttp.PublicGroups(ctx, url, nil)
		require.NoError(t, err)
		require.Equal(t, url+"/group/lab/", public[0].Location)
		client, joined, err := galenehttp.Join(ctx, url+"/group/lab/", "ada", "sesame", nil)
		require.NoError(t, err)
		// There is no media engine that could take it.
		_, err = galenehttp.Publish(ctx, url+"/group/lab/", "v=0\r\n", nil)
		require.Error(t, err)
		got := []any{public[0].Name, joined.Status.DisplayName, joined.Permissions, err.Error()}
		require.NoError(t, client.Close())
		return got
	})
	require.Contains(t, strings.Join(texts(entries, "1"), "\n"), `"password":"sesame"`)
	var requests []string
	for _, e := range entries {
		if e.Kind == capture.Request {
			require.Equal(t, "http", e.Conn)
			requests = append(requests, e.Method+" "+e.URL)
		}
	}
	require.Equal(t, []string{
		"GET /public-groups.json", "GET /group/lab/.status", "POST /group/lab/.whip",
	}, requests)
}

func TestMediasoupPasses(t *testing.T) {
	t.Parallel()
	srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{AllowAll: true})
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	entries := through(t, mediasouphttp.NewHandler(srv, nil), func(t *testing.T, url string) any {
		ctx := t.Context()
		address, err := mediasouphttp.URL(url, "lobby", "bot")
		require.NoError(t, err)
		client, err := mediasouphttp.Connect(ctx, address, nil)
		require.NoError(t, err)
		room, err := client.QueryRoom(ctx)
		require.NoError(t, err)
		_, err = client.Join(ctx, &mediasoupproto.Join{PeerName: "bot", RTPCapabilities: room.RTPCapabilities})
		require.NoError(t, err)
		require.NoError(t, client.Close())
		_, err = mediasouphttp.Connect(ctx, url, nil)
		require.Error(t, err)
		return []any{room.RTPCapabilities, err.Error()}
	})
	require.Equal(t, mediasoupproto.Subprotocol, entries[0].Header[capture.AgreedSubprotocol])
	require.Contains(t, texts(entries, "1")[0], `"method":"queryRoom"`)
	refused := entries[slices.IndexFunc(entries, func(e capture.Entry) bool { return e.Conn == "2" })]
	require.Equal(t, http.StatusBadRequest, refused.Status)
	require.NotEmpty(t, refused.Header["X-Websocket-Reject-Reason"])
}

func TestMSEPasses(t *testing.T) {
	t.Parallel()
	srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{AllowAll: true})
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	entries := through(t, wsconn.Handler(srv.Serve, nil), func(t *testing.T, url string) any {
		conn, err := wsconn.Dial(t.Context(), url, nil)
		require.NoError(t, err)
		client, err := msejsonrpc.Connect(t.Context(), conn, &msejsonrpc.ClientOptions{Token: "let me in"})
		require.NoError(t, err)
		require.NoError(t, client.Ping(t.Context()))
		require.NoError(t, client.Close())
		return nil
	})
	require.Contains(t, texts(entries, "1")[0], `"let me in"`)
	require.Len(t, texts(entries, "1"), 6, "auth, start and ping with their answers")
}
