package galenehttp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
)

// groups are those of the traces, and some more.
func groups() galene.Groups {
	users := map[string]galene.MemoryUser{
		"alice": {Password: "apw", Set: "op"}, "bob": {Password: "bpw", Set: "present"}, "dave": {Password: "dpw", Set: "observe"},
	}
	anybody := &galene.MemoryUser{AnyPassword: true, Set: "present"}
	return galene.Groups{
		"test": {
			Group: galene.Group{DisplayName: "Test group", Description: "A group for traces", Public: true, AutoSubgroups: true},
			Users: users,
		},
		"open":     {Wildcard: anybody},
		"auth":     {Group: galene.Group{AuthServer: "https://auth.example.invalid/"}, Users: users},
		"portal":   {Group: galene.Group{AuthPortal: "https://portal.example.invalid/"}, Users: users},
		"redirect": {Group: galene.Group{Redirect: "https://example.invalid/group/elsewhere/"}},
		"listen":   {Wildcard: &galene.MemoryUser{AnyPassword: true, Set: "observe"}},
		"a b/ü?":   {Wildcard: anybody},
	}
}

var changed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// static are files of a web client.
func static() fstest.MapFS {
	fsys := fstest.MapFS{"embedded.js": {Data: []byte("embedded")}, "link.json/index.html/x": {Data: []byte("x"), ModTime: changed}}
	for name, text := range map[string]string{
		"galene.html": "<title>Galène</title>", "404.html": "<the 404.html page>\n", "index.html": "<title>Start</title>",
		"protocol.js": "'use strict';", "third-party/x/x.css": "p {}", "sub/index.html": "<title>Sub</title>",
		".git/config": "secret", "sub/.hidden": "secret",
	} {
		fsys[name] = &fstest.MapFile{Data: []byte(text), ModTime: changed}
	}
	return fsys
}

// A fixture is a server with its HTTP side in memory.
type fixture struct {
	testing.TB
	srv     *galene.Server
	handler *galenehttp.Handler
}

func newFixture(t testing.TB, srvOpts *galene.ServerOptions, opts *galenehttp.Options) *fixture {
	t.Helper()
	so := galene.ServerOptions{}
	if srvOpts != nil {
		so = *srvOpts
	}
	if so.Groups == nil {
		so.Groups = groups()
	}
	so.RefusalDelay = -1
	if opts == nil {
		opts = &galenehttp.Options{Static: static(), WHIP: true}
	}
	f := &fixture{TB: t, srv: galene.NewServer(&so)}
	f.handler = galenehttp.NewHandler(f.srv, opts)
	t.Cleanup(func() {
		require.NoError(t, f.handler.Close())
		require.NoError(t, f.srv.Close())
	})
	return f
}

// listen returns the address of the fixture on a real socket.
func (f *fixture) listen() string {
	f.Helper()
	return serve(f.TB, f.handler)
}

// serve returns the address of a handler on a real socket.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// do makes a request in memory.
func (f *fixture) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	f.Helper()
	return do(f.TB, f.handler, method, target, body, header...)
}

func do(t testing.TB, h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
