package easyrtchttp_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// newSite returns the address of a server that lets everybody in.
func newSite(t *testing.T, opts *easyrtc.ServerOptions, files *easyrtchttp.Options) (string, *easyrtc.Server) {
	t.Helper()
	if opts == nil {
		opts = &easyrtc.ServerOptions{AllowAll: true}
	}
	srv := easyrtc.NewServer(opts)
	web := httptest.NewServer(easyrtchttp.NewHandler(srv, files))
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		web.Close()
	})
	return web.URL, srv
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func get(t *testing.T, url, cookie string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(bounded(t), http.MethodGet, url, nil)
	require.NoError(t, err)
	if cookie != "" {
		r.Header.Set("Cookie", easyrtchttp.SessionCookie+"="+cookie)
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	http.DefaultClient.CloseIdleConnections()
	return answer, string(body)
}

func TestRefusedConnectionsAreLogged(t *testing.T) {
	t.Parallel()
	var ours, theirs bytes.Buffer
	logger := func(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
	for _, opts := range []*easyrtchttp.Options{
		{Logger: logger(&ours)},
		{Logger: logger(&ours), HTTP: &enginehttp.Options{Logger: logger(&theirs)}},
	} {
		url, _ := newSite(t, nil, opts)
		answer, _ := get(t, url+"/socket.io/?EIO=9&transport=polling", "")
		require.Equal(t, http.StatusBadRequest, answer.StatusCode)
	}
	require.Equal(t, 1, strings.Count(ours.String(), "request refused"))
	require.Equal(t, 1, strings.Count(theirs.String(), "request refused"))
}

func TestClientsMeetOverEveryTransportAndVersion(t *testing.T) {
	t.Parallel()
	url, _ := newSite(t, nil, nil)
	first, token, err := easyrtchttp.Login(bounded(t), url, &easyrtc.Login{Username: "first"}, nil)
	require.NoError(t, err)
	defer first.Close()
	for _, transports := range [][]string{
		{enginehttp.WebSocket}, {enginehttp.Polling}, {enginehttp.Polling, enginehttp.WebSocket},
	} {
		for _, version := range []engineio.Version{engineio.V3, engineio.V4} {
			name := strings.Join(transports, "+")
			client, _, err := easyrtchttp.Login(bounded(t), url, &easyrtc.Login{Username: "other"}, &easyrtchttp.DialOptions{
				HTTP: &enginehttp.Options{Version: version, Transports: transports},
			})
			require.NoError(t, err, name)
			require.NoError(t, client.SendTo(bounded(t), token.EasyrtcID, name, []byte(`"ça ☕😀"`)))
			for m, err := range first.Messages(bounded(t)) {
				require.NoError(t, err)
				if msg, ok := m.(*easyrtc.Msg); ok {
					require.Equal(t, name, msg.MsgType)
					require.Equal(t, client.EasyrtcID(), msg.SenderEasyrtcID)
					require.JSONEq(t, `"ça ☕😀"`, string(msg.MsgData))
					break
				}
			}
			require.NoError(t, client.Close(), name)
		}
	}
}

func TestHooksSeeTheRequestOfTheirConnection(t *testing.T) {
	t.Parallel()
	url, _ := newSite(t, &easyrtc.ServerOptions{
		Authenticate: func(ctx context.Context, _ *easyrtc.ServerSession, l *easyrtc.LoginRequest) error {
			l.Username = wsconn.Request(ctx).Header.Get("X-User")
			return nil
		},
	}, nil)
	for _, transports := range [][]string{{enginehttp.WebSocket}, {enginehttp.Polling}} {
		client, token, err := easyrtchttp.Login(bounded(t), url, &easyrtc.Login{}, &easyrtchttp.DialOptions{
			HTTP: &enginehttp.Options{Transports: transports, Header: http.Header{"X-User": {"ann"}}},
		})
		require.NoError(t, err)
		require.Equal(t, "ann", *token.RoomData["default"].ClientList[token.EasyrtcID].Username)
		require.NoError(t, client.Close())
	}
}

func TestALoginThatIsRefusedLeavesNoClient(t *testing.T) {
	t.Parallel()
	url, srv := newSite(t, &easyrtc.ServerOptions{}, nil) // lets nobody in
	client, token, err := easyrtchttp.Login(bounded(t), url, &easyrtc.Login{}, nil)
	require.ErrorIs(t, err, easyrtc.ErrLoginBadAuth)
	require.Nil(t, client)
	require.Nil(t, token)
	require.Empty(t, srv.Occupants("default", "default"))
	_, err = easyrtchttp.Connect(bounded(t), "http://127.0.0.1:1", nil)
	require.Error(t, err)
}

func TestALostConnectionIsOpenedAgainAndLoggedIn(t *testing.T) {
	t.Parallel()
	url, srv := newSite(t, nil, nil)
	client, token, err := easyrtchttp.Login(bounded(t), url, &easyrtc.Login{Rooms: []string{"lobby"}}, &easyrtchttp.DialOptions{
		Reconnect: true,
		Client:    &easyrtc.ClientOptions{Backoff: easyrtc.Backoff{Min: time.Millisecond, Max: time.Millisecond}},
	})
	require.NoError(t, err)
	defer client.Close()
	for s := range srv.Sessions() {
		s.Close(1011, "")
	}
	for m, err := range client.Messages(bounded(t)) {
		require.NoError(t, err)
		if again, ok := m.(*easyrtc.Reconnected); ok {
			require.NotEqual(t, token.EasyrtcID, again.Token.MsgData.EasyrtcID)
			require.Contains(t, client.Rooms(), "lobby")
			break
		}
	}
}

func TestFilesAreServedWhereBrowsersLookForThem(t *testing.T) {
	t.Parallel()
	url, _ := newSite(t, nil, &easyrtchttp.Options{
		SocketIO: fstest.MapFS{"socket.io.js": {Data: []byte("io")}},
		API:      fstest.MapFS{"easyrtc.js": {Data: []byte("easyrtc")}, "img/x.png": {Data: []byte("png")}},
		Static:   fstest.MapFS{"index.html": {Data: []byte("site")}},
	})
	for path, want := range map[string]string{
		"/socket.io/socket.io.js": "io", "/easyrtc/easyrtc.js": "easyrtc", "/easyrtc/img/x.png": "png", "/": "site",
	} {
		answer, body := get(t, url+path, "")
		require.Equal(t, http.StatusOK, answer.StatusCode, path)
		require.Equal(t, want, body)
		require.Empty(t, answer.Cookies(), "nobody asked for sessions")
	}
	answer, _ := get(t, url+"/socket.io", "")
	require.Equal(t, http.StatusNotFound, answer.StatusCode, "as on the real server")
	answer, body := get(t, url+"/socket.io/?EIO=4&transport=none", "")
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
	require.JSONEq(t, `{"code":0,"message":"Transport unknown"}`, body)

	bare, _ := newSite(t, nil, nil)
	for _, path := range []string{"/", "/easyrtc/easyrtc.js", "/socket.io/socket.io.js"} {
		answer, _ := get(t, bare+path, "")
		require.Equal(t, http.StatusNotFound, answer.StatusCode, path)
	}
}

func TestABrowserKeepsItsSession(t *testing.T) {
	t.Parallel()
	url, _ := newSite(t, nil, &easyrtchttp.Options{
		API: fstest.MapFS{"easyrtc.js": {Data: []byte("easyrtc")}}, Sessions: true,
	})
	answer, _ := get(t, url+"/easyrtc/easyrtc.js", "")
	require.Len(t, answer.Cookies(), 1)
	cookie := answer.Cookies()[0]
	require.Equal(t, easyrtchttp.SessionCookie, cookie.Name)
	require.False(t, cookie.HttpOnly, "easyrtc.js reads it")
	require.Equal(t, 2592000, cookie.MaxAge)
	require.Equal(t, "/", cookie.Path)

	again, _ := get(t, url+"/easyrtc/easyrtc.js", cookie.Value)
	require.Equal(t, cookie.Value, again.Cookies()[0].Value)
	other, _ := get(t, url+"/easyrtc/easyrtc.js", "not/a/session")
	require.NotEqual(t, "not/a/session", other.Cookies()[0].Value)

	client, token, err := easyrtchttp.Login(bounded(t), url, &easyrtc.Login{SessionID: cookie.Value}, nil)
	require.NoError(t, err)
	defer client.Close()
	require.Equal(t, cookie.Value, token.SessionData.EasyrtcSID)
}
