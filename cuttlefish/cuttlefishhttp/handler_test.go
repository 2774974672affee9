package cuttlefishhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/unixpacket"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// socketPath returns a path that is short enough for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cf")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "dev")
}

// listenUnix serves devices on a socket and returns its address.
func (f *fixture) listenUnix() string {
	path := socketPath(f.T)
	l, err := unixpacket.Listen(path, nil)
	require.NoError(f, err)
	served := make(chan error)
	go func() { served <- unixpacket.Serve(l, f.srv.ServeOperatorDevice) }()
	f.Cleanup(func() {
		require.NoError(f, l.Close())
		require.NoError(f, <-served)
	})
	return "unix://" + path
}

func TestEveryFrontDoorLeadsToTheSameRegistry(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &cuttlefish.ServerOptions{ICEServers: stun}, nil)
	base, socket := f.listen(), f.listenUnix()
	for _, address := range []string{base, strings.Replace(base, "http", "ws", 1) + "/", socket} {
		scheme, _, _ := strings.Cut(address, ":")
		id := "a/b ü?" + scheme
		d, err := cuttlefishhttp.ConnectDevice(t.Context(), address, id, &cuttlefishhttp.DialDeviceOptions{
			Device: &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`{"n":1}`)},
		})
		require.NoError(t, err)
		require.Equal(t, stun, d.Config().ICEServers)
		go echo(d)
		for _, via := range []cuttlefishhttp.Via{
			cuttlefishhttp.ViaAuto, cuttlefishhttp.ViaDocument, cuttlefishhttp.ViaWebSocket, cuttlefishhttp.ViaPolling,
		} {
			c, err := cuttlefishhttp.ConnectClient(t.Context(), baseFor(address, base), id, &cuttlefishhttp.DialOptions{Via: via})
			require.NoError(t, err, via)
			require.Equal(t, stun, c.Config().ICEServers, via)
			require.JSONEq(t, `{"n":1}`, string(c.DeviceInfo()), via)
			m, err := c.Next(t.Context())
			require.NoError(t, err)
			require.IsType(t, (*cuttlefish.Config)(nil), m, via)
			m, err = c.Next(t.Context())
			require.NoError(t, err)
			require.IsType(t, (*cuttlefish.DeviceInfoMsg)(nil), m, via)
			for _, payload := range []string{`{"type":"request-offer"}`, `{"a": [1, 2.50]}`} {
				require.NoError(t, c.Forward(json.RawMessage(payload)))
				require.Equal(t, payload, string(next[*cuttlefish.DeviceMsg](t, c).Payload), via)
			}
			require.NoError(t, c.Close())
		}
		require.NoError(t, d.Close())
	}
}

// baseFor returns where the clients of a device at that address connect.
func baseFor(address, base string) string {
	if strings.HasPrefix(address, "unix:") {
		return base
	}
	return address
}

func TestHooksSeeTheRequestOfEveryFrontDoor(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]string)
	see := func(ctx context.Context) {
		mu.Lock()
		defer mu.Unlock()
		if r := wsconn.Request(ctx); r != nil {
			seen[r.URL.Path] = r.Header.Get("Authorization")
		}
	}
	f := newFixture(t, &cuttlefish.ServerOptions{
		AuthorizeDevice: func(ctx context.Context, _ *cuttlefish.ServerSession, _ *cuttlefish.Register) error {
			see(ctx)
			return nil
		},
		AuthorizeClient: func(ctx context.Context, _ *cuttlefish.ServerSession, _ *cuttlefish.Connect) error {
			see(ctx)
			return nil
		},
	}, nil)
	base := f.listen()
	header := http.Header{"Authorization": {"Bearer x"}}
	d, err := cuttlefishhttp.ConnectDevice(t.Context(), base, "d", &cuttlefishhttp.DialDeviceOptions{Header: header})
	require.NoError(t, err)
	defer d.Close()
	for _, via := range []cuttlefishhttp.Via{cuttlefishhttp.ViaDocument, cuttlefishhttp.ViaWebSocket, cuttlefishhttp.ViaPolling} {
		c, err := cuttlefishhttp.ConnectClient(t.Context(), base, "d", &cuttlefishhttp.DialOptions{Via: via, Header: header})
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	require.Equal(t, map[string]string{
		"/register_device":    "Bearer x",
		"/connect_client":     "Bearer x",
		"/devices/d/connect":  "Bearer x",
		"/polled_connections": "Bearer x",
	}, seen)
}

func TestOnlyClientsFromForeignPagesAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	base := f.listen()
	f.device("d", nil)
	for path, want := range map[string]int{"/register_device": 0, "/connect_client": 403, "/devices/d/connect": 403} {
		conn, err := wsconn.Dial(t.Context(), base+path, &wsconn.Options{Header: http.Header{"Origin": {"https://evil.example"}}})
		if want == 0 {
			require.NoError(t, err, path)
			require.NoError(t, conn.Close(transport.StatusNormal, ""))
			continue
		}
		dialErr, ok := errors.AsType[*wsconn.DialError](err)
		require.True(t, ok, path)
		require.Equal(t, want, dialErr.StatusCode, path)
	}
}

func TestSubprotocolOfOldDevicesIsAgreedToOnTheDocumentsEndpoints(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	base := f.listen()
	f.device("d", nil)
	for path, want := range map[string]string{
		"/register_device": "webrtc-operator", "/connect_client": "webrtc-operator", "/devices/d/connect": "",
	} {
		conn, err := wsconn.Dial(t.Context(), base+path, &wsconn.Options{Subprotocols: []string{"webrtc-operator"}})
		require.NoError(t, err, path)
		require.Equal(t, want, wsconn.Subprotocol(conn), path)
		require.NoError(t, conn.Close(transport.StatusNormal, ""))
	}
}

func TestOperatorsClientMaySend64KiB(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	base := f.listen()
	go echo(f.device("d", nil))
	conn, err := wsconn.Dial(t.Context(), base+"/devices/d/connect", nil)
	require.NoError(t, err)
	defer conn.Close(transport.StatusNormal, "")
	_, msg, err := conn.Read(nil)
	require.NoError(t, err)
	require.Equal(t, `{"device_info":{}}`, string(msg))

	payload := func(n int) []byte { return []byte(`{"x":"` + strings.Repeat("x", n-8) + `"}`) }
	require.NoError(t, conn.Write(transport.Text, payload(64<<10)))
	_, msg, err = conn.Read(nil)
	require.NoError(t, err)
	require.Equal(t, `{"message_type":"device_msg","payload":`+string(payload(64<<10))+`}`, string(msg))

	require.NoError(t, conn.Write(transport.Text, payload(64<<10+1)))
	_, _, err = conn.Read(nil)
	closed, ok := errors.AsType[*transport.CloseError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, transport.StatusMessageTooBig, closed.Code)
}

func TestOperatorsClientMayWaitForItsDeviceOverWebSocket(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &cuttlefish.ServerOptions{ServerConfig: cuttlefish.ServerConfig{WaitForDevice: true}}, nil)
	conn, err := wsconn.Dial(t.Context(), f.listen()+"/devices/late/connect", nil)
	require.NoError(t, err)
	defer conn.Close(transport.StatusNormal, "")
	f.device("late", &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`1`)})
	_, msg, err := conn.Read(nil)
	require.NoError(t, err)
	require.Equal(t, `{"device_info":1}`, string(msg))
}

func TestInfraConfigIsTheApplications(t *testing.T) {
	t.Parallel()
	turn := []cuttlefish.ICEServer{{URLs: []string{"turn:x"}, Username: "u", Credential: "c"}}
	f := newFixture(t, &cuttlefish.ServerOptions{ICEServers: stun}, &cuttlefishhttp.Options{
		Config: func(r *http.Request) (*cuttlefish.Config, error) {
			switch r.Header.Get("Authorization") {
			case "good":
				return &cuttlefish.Config{ICEServers: turn}, nil
			case "invalid":
				return &cuttlefish.Config{ICEServers: []cuttlefish.ICEServer{{}}}, nil
			case "broken":
				return nil, errors.New("secret detail")
			}
			return nil, &cuttlefish.Error{Text: "Who are you?"}
		},
	})
	for _, c := range []struct {
		who    string
		status int
		body   string
	}{
		{"good", 200, `{"message_type":"config","ice_servers":[{"urls":["turn:x"],"username":"u","credential":"c"}]}`},
		{"invalid", 500, "Internal Server Error"},
		{"broken", 500, "Internal Server Error"},
		{"nobody", 403, "Who are you?"},
	} {
		w := f.do("GET", "/infra_config", "", "Authorization", c.who)
		require.Equal(t, c.status, w.Code, c.who)
		require.Equal(t, c.body+"\n", w.Body.String(), c.who)
	}
}

func TestDevicesAreListed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	f.device("b\"/<", nil)
	f.device("a", &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`{"adb_port": 6520}`)})
	f.device("c", &cuttlefish.DeviceOptions{DeviceInfo: json.RawMessage(`{"adb_port":"6520"}`)})
	const b = `{"device_id":"b\"/<","group_name":"","adb_port":0`
	w := f.do("GET", "/devices", "")
	require.Equal(t, `[{"device_id":"a","group_name":"","adb_port":6520},`+b+`},{"device_id":"c","group_name":"","adb_port":0}]`+"\n", w.Body.String())
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.Equal(t, "[]\n", f.do("GET", "/devices?owner=me", "").Body.String())
	require.Equal(t, b+`,"registration_info":{}}`+"\n", f.do("GET", "/devices/"+url.PathEscape("b\"/<"), "").Body.String())
	require.Equal(t, http.StatusNotFound, f.do("POST", "/devices", "").Code)
}

func TestFilesOfADeviceComeFromTheApplication(t *testing.T) {
	t.Parallel()
	page := fstest.MapFS{"client.html": {Data: []byte("page")}, "js/server_connector.js": {Data: []byte("not this one")}}
	f := newFixture(t, nil, &cuttlefishhttp.Options{
		Files: func(id string) http.Handler {
			if id == "d" {
				return http.FileServerFS(page)
			}
			return nil
		},
		Fallback: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "fallback "+r.URL.Path, http.StatusTeapot)
		}),
	})
	f.device("d", nil)
	f.device("other", nil)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/devices/d/files/client.html":                 {200, "page"},
		"/devices/d/files/nope.html":                   {404, "404 page not found\n"},
		"/devices/d/files/":                            {404, "404 page not found\n"},
		"/devices/d/files":                             {418, "fallback /devices/d/files\n"},
		"/devices/other/files/client.html":             {404, "404 page not found\n"},
		"/devices/nobody/files/client.html":            {404, "404 page not found\n"},
		"/devices/nobody/files/js/server_connector.js": {404, "404 page not found\n"},
		"/elsewhere":                                   {418, "fallback /elsewhere\n"},
	} {
		w := f.do("GET", path, "")
		require.Equal(t, want.status, w.Code, path)
		require.Equal(t, want.body, w.Body.String(), path)
	}
	for _, id := range []string{"d", "other"} {
		w := f.do("GET", "/devices/"+id+"/files/js/server_connector.js", "")
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "text/javascript; charset=utf-8", w.Header().Get("Content-Type"))
		require.Contains(t, w.Body.String(), "export function deviceId()")
		require.Contains(t, w.Body.String(), "export async function createConnector(")
	}
}

func TestFilesComeFromTheDeviceOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.URL.RequestURI() + " " + r.Host + " " + r.Header.Get("Cookie") + r.Header.Get("Authorization")))
	}))
	t.Cleanup(files.Close)
	address, err := url.Parse(files.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(address.Port())
	require.NoError(t, err)
	for _, proxy := range []bool{false, true} {
		f := newFixture(t, nil, &cuttlefishhttp.Options{ProxyFiles: proxy})
		f.device("d", &cuttlefish.DeviceOptions{DevicePort: &port})
		f.device("none", nil)
		w := f.do("GET", "/devices/d/files/a/b%20c?x=1", "", "Cookie", "secret=1", "Authorization", "secret")
		if !proxy {
			require.Equal(t, http.StatusNotFound, w.Code)
			continue
		}
		require.Equal(t, "/a/b%20c?x=1 "+address.Host+" ", w.Body.String())
		require.Equal(t, http.StatusBadGateway, f.do("GET", "/devices/none/files/x", "").Code)
		require.Contains(t, f.do("GET", "/devices/d/files/js/server_connector.js", "").Body.String(), "export")
	}
}
