package galenehttp_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestFilesOfTheClientAreServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	tests := []struct {
		path          string
		status        int
		body, control string
	}{
		{"/", 200, "<title>Start</title>", "max-age=1800"},
		{"/index.html", 200, "<title>Start</title>", "max-age=1800"},
		{"/protocol.js", 200, "'use strict';", "max-age=1800"},
		{"/third-party/x/x.css", 200, "p {}", "max-age=86400"},
		{"/embedded.js", 200, "embedded", "no-cache"},
		{"/sub/", 200, "<title>Sub</title>", "max-age=1800"},
		{"/sub", 308, "", ""},
		{"/third-party/", 403, "Forbidden\n", ""},
		{"/link.json/", 404, "<the 404.html page>\n", ""}, // its index.html is a folder
		{"/protocol.js/", 404, "<the 404.html page>\n", ""},
		{"/nosuch", 404, "<the 404.html page>\n", ""},
		{"/group", 404, "<the 404.html page>\n", ""},
		{"/.git/config", 404, "<the 404.html page>\n", ""},
		{"/sub/.hidden", 404, "<the 404.html page>\n", ""},
		{"/sub/../protocol.js", 404, "<the 404.html page>\n", ""},
		{"/../protocol.js", 404, "<the 404.html page>\n", ""},
		{"//protocol.js", 404, "<the 404.html page>\n", ""},
		{"/%00", 404, "<the 404.html page>\n", ""},
	}
	for _, tt := range tests {
		w := f.do("GET", "http://h"+tt.path, "")
		require.Equal(t, tt.status, w.Code, tt.path)
		require.NotContains(t, w.Body.String(), "secret")
		if tt.body != "" {
			require.Equal(t, tt.body, w.Body.String(), tt.path)
		}
		require.Equal(t, tt.control, w.Header().Get("Cache-Control"), tt.path)
		require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'self'", tt.path)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
		require.Equal(t, tt.status == 200 && tt.path != "/embedded.js", w.Header().Get("Etag") != "", tt.path)
	}
	require.Equal(t, "/sub/", f.do("GET", "http://h/sub", "").Header().Get("Location"))
	tag := f.do("GET", "http://h/protocol.js", "").Header().Get("Etag")
	require.Equal(t, http.StatusNotModified, f.do("GET", "http://h/protocol.js", "", "If-None-Match", tag).Code)
	require.Contains(t, f.do("GET", "http://h/protocol.js", "").Header().Get("Content-Type"), "javascript")
}

func TestWithoutTheClientThereAreNoPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, &galenehttp.Options{})
	for _, path := range []string{"/", "/protocol.js", "/group/test/", "/group/test/.whip", "/group/"} {
		w := f.do("GET", "http://h"+path, "")
		require.Equal(t, http.StatusNotFound, w.Code, path)
		require.Equal(t, "<p>Not found</p>\n", w.Body.String())
	}
	require.Equal(t, http.StatusOK, f.do("GET", "http://h/group/test/.status", "").Code)
}

func TestThePageOfAGroupIsFoundByEveryPathToIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	for path, location := range map[string]string{
		"/group/test":             "/group/test/",
		"/group/test?token=x&y=z": "/group/test/?token=x&y=z",
		"/group/test//":           "/group/test/",
		"/group/test/sub":         "/group/test/sub/",
		"/group/a%20b/%C3%BC%3F":  "/group/a%20b/%C3%BC%3F/",
		"/group/redirect/":        "https://example.invalid/group/elsewhere/",
		"/group/redirect":         "/group/redirect/",
	} {
		w := f.do("GET", "http://h"+path, "")
		require.Equal(t, http.StatusPermanentRedirect, w.Code, path)
		require.Equal(t, location, w.Header().Get("Location"), path)
	}
	for path, status := range map[string]int{
		"/group/test/": 200, "/group/test/sub/": 200, "/group/a%20b/%C3%BC%3F/": 200, "/group/open/": 200,
		"/group/nosuch/": 404, "/group/": 404, "/group//": 404, "/group/a%5Cb/": 404, "/group/open/sub/": 404,
		"/group/test/.hidden": 404, "/group/test/.status/": 404, "/group/test/.status/x": 404, "/group/.test/": 404,
	} {
		w := f.do("GET", "http://h"+path, "")
		require.Equal(t, status, w.Code, path)
		if status == 200 {
			require.Equal(t, "<title>Galène</title>", w.Body.String())
		}
	}
}

func TestThePageMayAskTheAuthorisationServerOfItsGroup(t *testing.T) {
	t.Parallel()
	const rest = "ws: wss: 'self'; img-src 'self'; media-src blob: 'self'; script-src 'unsafe-eval' 'self'; default-src 'self'"
	for server, source := range map[string]string{
		"":                                         "",
		"https://auth.example.org/a?b":             "https://auth.example.org/a ",
		"https://auth.example.org/;script-src *":   "",
		"https://auth.example.org/,x":              "",
		"javascript:alert(1)":                      "",
		"https://auth.example.org 'unsafe-inline'": "",
		"/relative":                                "",
	} {
		g := galene.Groups{"g": {Group: galene.Group{AuthServer: server}}}
		f := newFixture(t, &galene.ServerOptions{Groups: g}, nil)
		w := f.do("GET", "http://h/group/g/", "")
		require.Equal(t, []string{"connect-src " + source + rest}, w.Header().Values("Content-Security-Policy"), server)
	}
}

func TestTheAddressesOfAStatusAreThoseOfTheRequestOrTheProxy(t *testing.T) {
	t.Parallel()
	base := func(url string) *galenehttp.Options { return &galenehttp.Options{BaseURL: url, Static: static()} }
	tests := []struct {
		opts                        *galenehttp.Options
		request, location, endpoint string
	}{
		{nil, "http://h:81", "http://h:81/group/open/", "ws://h:81/ws"},
		{nil, "https://h", "https://h/group/open/", "wss://h/ws"},
		{base("https://p.example/"), "http://h:81", "https://p.example/group/open/", "wss://p.example/ws"},
		{base("http://p.example/x/galène/"), "http://h", "http://p.example/x/gal%C3%A8ne/group/open/", "ws://p.example/x/gal%C3%A8ne/ws"},
	}
	for _, tt := range tests {
		f := newFixture(t, nil, tt.opts)
		w := f.do("GET", tt.request+"/group/open/.status", "")
		require.Equal(t, http.StatusOK, w.Code)
		require.JSONEq(t, `{"name":"open","location":"`+tt.location+`","endpoint":"`+tt.endpoint+`"}`, w.Body.String())
	}
	f := newFixture(t, nil, base("http://p.example/x"))
	require.Equal(t, "/x/group/test/", f.do("GET", "http://h/group/test", "").Header().Get("Location"))
	require.Equal(t, "/x/group/test/.status", f.do("GET", "http://h/group/test/.status.json", "").Header().Get("Location"))
	require.Equal(t, "/x/sub/", f.do("GET", "http://h/sub", "").Header().Get("Location"))
	for _, bad := range []string{"ftp://h", "h", "://", "http://"} {
		require.Panics(t, func() { galenehttp.NewHandler(galene.NewServer(nil), base(bad)) }, bad)
	}
}

func TestTheStatusTellsHowManyAreInAPublicGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	address := f.listen()
	alice := "alice"
	client, status, err := galenehttp.Connect(t.Context(), address+"/group/test/", nil)
	require.NoError(t, err)
	defer client.Close()
	require.Equal(t, 0, *status.ClientCount)
	_, err = client.Join(t.Context(), &galene.Join{Group: "test", Username: &alice, Password: "apw"})
	require.NoError(t, err)
	status, err = galenehttp.Discover(t.Context(), address+"/group/test/", nil)
	require.NoError(t, err)
	require.Equal(t, 1, *status.ClientCount)
	status, err = galenehttp.Discover(t.Context(), address+"/group/open/", nil)
	require.NoError(t, err)
	require.Nil(t, status.ClientCount)
}

func TestOtherMethodsThanGetAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, nil)
	for _, path := range []string{"/", "/protocol.js", "/public-groups.json", "/group/test/", "/group/test", "/group/test/.status"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			w := f.do(method, "http://h"+path, "x")
			require.Equal(t, http.StatusMethodNotAllowed, w.Code, "%s %s", method, path)
			require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
		}
		w := f.do("HEAD", "http://h"+path, "")
		require.Contains(t, []int{200, 308}, w.Code, path)
		require.Empty(t, w.Body.String(), path)
	}
}

// failing is a store of groups that cannot be read.
type failing struct{ galene.Groups }

func (failing) Group(context.Context, string) (*galene.Group, error) {
	return nil, errors.New("s3cret of the disk")
}

func (failing) Names(context.Context) ([]string, error) { return nil, errors.New("s3cret of the disk") }

func TestAFailureIsNotToldToTheClient(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &galene.ServerOptions{Groups: failing{}}, nil)
	for _, path := range []string{"/public-groups.json", "/group/test/.status", "/group/test/", "/group/test/.whip"} {
		w := f.do("GET", "http://h"+path, "")
		require.Equal(t, http.StatusInternalServerError, w.Code, path)
		require.Equal(t, "Internal server error\n", w.Body.String())
	}
}

func TestForeignPagesCannotOpenTheWebSocket(t *testing.T) {
	t.Parallel()
	allow := &galenehttp.Options{WebSocket: &wsconn.Options{OriginPatterns: []string{"friend.example"}}}
	strict := newFixture(t, nil, nil).listen()
	friendly := newFixture(t, nil, allow).listen()
	for _, tt := range []struct {
		address, origin string
		ok              bool
	}{
		{strict, "", true}, {strict, strict, true}, {strict, "https://evil.example", false}, {strict, "https://friend.example", false},
		{friendly, friendly, true}, {friendly, "https://friend.example", true}, {friendly, "https://evil.example", false},
	} {
		header := http.Header{}
		if tt.origin != "" {
			header.Set("Origin", tt.origin)
		}
		status, err := galenehttp.Discover(t.Context(), tt.address+"/group/test/", nil)
		require.NoError(t, err)
		conn, err := galenehttp.Dial(t.Context(), status, &galenehttp.DialOptions{Header: header})
		if tt.ok {
			require.NoError(t, err, "%+v", tt)
			require.NoError(t, conn.Close(transport.StatusNormal, ""))
			continue
		}
		dialErr, ok := errors.AsType[*wsconn.DialError](err)
		require.True(t, ok, "%+v", tt)
		require.Equal(t, http.StatusForbidden, dialErr.StatusCode)
	}
}

func TestAMessageMayHaveOneMebibyteAndNoByteMore(t *testing.T) {
	t.Parallel()
	address := newFixture(t, nil, nil).listen()
	status, err := galenehttp.Discover(t.Context(), address+"/group/test/", nil)
	require.NoError(t, err)
	for extra, code := range map[int]transport.StatusCode{0: 0, 1: transport.StatusMessageTooBig} {
		conn, err := galenehttp.Dial(t.Context(), status, nil)
		require.NoError(t, err)
		require.NoError(t, conn.Write(transport.Text, []byte(`{"type":"handshake","version":["2"],"id":"a"}`)))
		_, _, err = conn.Read(nil)
		require.NoError(t, err)
		const begin, end = `{"type":"ping","x":"`, `"}`
		pad := strings.Repeat("x", 1<<20+extra-len(begin)-len(end))
		require.NoError(t, conn.Write(transport.Text, []byte(begin+pad+end)))
		_, msg, err := conn.Read(nil)
		if code == 0 {
			require.NoError(t, err)
			require.JSONEq(t, `{"type":"pong"}`, string(msg))
			require.NoError(t, conn.Close(transport.StatusNormal, ""))
			continue
		}
		closed, ok := errors.AsType[*transport.CloseError](err)
		require.True(t, ok, err)
		require.Equal(t, code, closed.Code)
		require.NoError(t, conn.Close(transport.StatusNormal, ""))
	}
}

func TestTheAddressOfAClientIsThatOfItsRequest(t *testing.T) {
	t.Parallel()
	require.Nil(t, galenehttp.Address(t.Context()))
	for remote, want := range map[string]net.Addr{
		"192.0.2.1:1234":      &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1234},
		"[2001:db8::1]:65535": &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 65535},
		"":                    nil, "@": nil, "host:1": nil, "192.0.2.1:x": nil,
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/ws", nil)
		r.RemoteAddr = remote
		require.Equal(t, want, galenehttp.Address(wsconn.WithRequest(r)), remote)
	}
	var mu sync.Mutex
	var seen []net.Addr
	f := newFixture(t, &galene.ServerOptions{Address: func(ctx context.Context) net.Addr {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, galenehttp.Address(ctx))
		return seen[len(seen)-1]
	}}, nil)
	client, _, err := galenehttp.Connect(t.Context(), f.listen()+"/group/open/", nil)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, seen, 1)
	require.True(t, seen[0].(*net.TCPAddr).IP.IsLoopback())
}

func TestGroupsOfAFileSystemWithoutTheirPageAre404(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil, &galenehttp.Options{Static: fstest.MapFS{}})
	require.Equal(t, http.StatusNotFound, f.do("GET", "http://h/group/test/", "").Code)
	require.Equal(t, http.StatusForbidden, f.do("GET", "http://h/", "").Code)
}
