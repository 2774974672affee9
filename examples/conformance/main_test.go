package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/easyrtc/easyrtchttp"
	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/galene/galenepion"
	"github.com/rtcsignal/rtcsignal/internal/repotest"
	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/unixpacket"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestMain(m *testing.M) { repotest.Main(m) }

// serve starts a handler and returns its address.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	web := httptest.NewServer(handler)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return web.URL
}

// ours starts our server of each protocol and return the flags for it.
var ours = map[string]func(t *testing.T) []string{
	"cuttlefish": func(t *testing.T) []string {
		srv := cuttlefish.NewServer(nil)
		t.Cleanup(func() { require.NoError(t, srv.Close()) })
		operator := cuttlefishhttp.NewHandler(srv, nil)
		t.Cleanup(func() { require.NoError(t, operator.Close()) })
		dir, err := os.MkdirTemp("", "cf") // the path of a socket has 107 bytes at most
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
		socket := filepath.Join(dir, "device")
		listener, err := unixpacket.Listen(socket, nil)
		if err == nil {
			served := make(chan struct{})
			go func() {
				defer close(served)
				_ = unixpacket.Serve(listener, srv.ServeOperatorDevice) // ends with the listener
			}()
			t.Cleanup(func() {
				require.NoError(t, listener.Close())
				<-served
			})
		}
		args := []string{"-url", serve(t, operator)}
		if err == nil { // not every system has such sockets
			args = append(args, "-param", "socket="+socket)
		}
		return args
	},
	"easyrtc": func(t *testing.T) []string {
		srv := easyrtc.NewServer(&easyrtc.ServerOptions{AllowAll: true})
		t.Cleanup(func() { require.NoError(t, srv.Close()) })
		return []string{"-url", serve(t, easyrtchttp.NewHandler(srv, nil))}
	},
	"galene": func(t *testing.T) []string {
		router := galenepion.NewRouter(nil) // which looks at offers
		t.Cleanup(func() { require.NoError(t, router.Close()) })
		srv := galene.NewServer(&galene.ServerOptions{Router: router, Groups: galene.Groups{
			"test": {Group: galene.Group{AutoSubgroups: true}, Users: map[string]galene.MemoryUser{
				"alice": {Password: "apw", Set: "op"}, "bob": {Password: "bpw", Set: "present"},
			}},
		}})
		t.Cleanup(func() { require.NoError(t, srv.Close()) })
		handler := galenehttp.NewHandler(srv, nil)
		t.Cleanup(func() { require.NoError(t, handler.Close()) })
		return []string{
			"-url", serve(t, handler) + "/ws", "-param", "group=test", "-param", "op=alice",
			"-param", "oppassword=apw", "-param", "user=bob", "-param", "password=bpw",
		}
	},
	"mediasoup": func(t *testing.T) []string {
		srv := mediasoupproto.NewServer(&mediasoupproto.ServerOptions{AllowAll: true})
		t.Cleanup(func() { require.NoError(t, srv.Close()) })
		return []string{"-url", serve(t, mediasouphttp.NewHandler(srv, nil))}
	},
	"mse": func(t *testing.T) []string {
		srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
			Authenticate: func(_ context.Context, _ *msejsonrpc.ServerSession, m *msejsonrpc.Auth) (*msejsonrpc.Identity, error) {
				if m.Token != "T" {
					return nil, msejsonrpc.ErrAuthorizationFailed
				}
				return new(msejsonrpc.Identity), nil
			},
		})
		t.Cleanup(func() { require.NoError(t, srv.Close()) })
		return []string{"-url", serve(t, wsconn.Handler(srv.Serve, nil)), "-param", "token=T"}
	},
}

func TestOurServersPass(t *testing.T) {
	t.Parallel()
	require.Len(t, servers, len(protocols))
	for name, start := range ours {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			junit := filepath.Join(t.TempDir(), "report.xml")
			args := append([]string{"-protocol", name, "-like", "rtcsignal", "-json", "-junit", junit}, start(t)...)
			var out strings.Builder
			failed, err := run(t.Context(), args, &out)
			require.NoError(t, err)
			var report suite.Report
			require.NoError(t, json.Unmarshal([]byte(out.String()), &report))
			for _, r := range report.Results {
				require.NotEqual(t, suite.Failed, r.Verdict, "%+v", r)
			}
			require.False(t, failed)
			require.Greater(t, report.Counts.Passed, 10)
			if name != "cuttlefish" {
				require.Zero(t, report.Counts.Skipped)
			}
			data, err := os.ReadFile(junit)
			require.NoError(t, err)
			require.Contains(t, string(data), "<testcase")
		})
	}
}

func TestAServerThatDoesOtherwiseFails(t *testing.T) {
	t.Parallel()
	mute := wsconn.Handler(func(ctx context.Context, conn transport.Conn) error {
		for {
			if _, _, err := conn.Read(nil); err != nil {
				return err
			}
		}
	}, &wsconn.Options{Subprotocols: []string{"protoo"}})
	for name := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			failed, err := run(t.Context(), []string{
				"-protocol", name, "-url", serve(t, mute), "-timeout", "100ms", "-quiet", "10ms", "-param", "token=T",
				"-param", "group=g", "-param", "op=o", "-param", "oppassword=p", "-param", "user=u", "-param", "password=p",
			}, &out)
			require.NoError(t, err)
			require.True(t, failed)
			require.Contains(t, out.String(), "got      nothing")
		})
	}
}

func TestFlagsThatAreWrongAreErrors(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"another protocol":   {"-protocol", "nonsense", "-url", "ws://127.0.0.1:1"},
		"no address":         {"-protocol", "mse"},
		"another reference":  {"-protocol", "mse", "-url", "ws://127.0.0.1:1", "-like", "nobody"},
		"an expression":      {"-protocol", "mse", "-url", "ws://127.0.0.1:1", "-run", "("},
		"nothing to run":     {"-protocol", "mse", "-url", "ws://127.0.0.1:1", "-run", "^no such case$"},
		"a param of no name": {"-protocol", "mse", "-url", "ws://127.0.0.1:1", "-param", "x"},
	} {
		_, err := run(t.Context(), args, new(strings.Builder))
		require.Error(t, err, name)
	}
}

func TestAMissingProtocolIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-url", "ws://127.0.0.1:1"}} {
		_, err := run(t.Context(), args, new(strings.Builder))
		require.EqualError(t, err, "-protocol is missing: one of cuttlefish, easyrtc, galene, mediasoup, mse")
	}
}

// everything is what cases need.
var everything = []string{
	"-param", "token=T", "-param", "group=g", "-param", "op=o", "-param", "oppassword=p",
	"-param", "user=u", "-param", "password=p",
}

func TestNothingIsTestedWhereNoServerIs(t *testing.T) {
	t.Parallel()
	for name := range protocols {
		for what, test := range map[string]struct{ address, why string }{
			"a wrong path":  {serve(t, http.NotFoundHandler()) + "/wrong", "refused with status 404"},
			"a closed port": {"ws://127.0.0.1:1", "dial"},
		} {
			t.Run(name+" at "+what, func(t *testing.T) {
				t.Parallel()
				var out strings.Builder
				junit := filepath.Join(t.TempDir(), "report.xml")
				args := append([]string{"-protocol", name, "-url", test.address, "-junit", junit}, everything...)
				failed, err := run(t.Context(), args, &out)
				require.ErrorContains(t, err, "nothing could be tested: ")
				require.ErrorContains(t, err, test.why)
				require.NotEmpty(t, addresses[name])
				require.ErrorContains(t, err, addresses[name])
				require.False(t, failed)
				require.Empty(t, out.String())
				require.NoFileExists(t, junit)
			})
		}
	}
}

// A server that lets one connection in is there, whatever becomes of the others.
func TestAServerThatRefusesSomeConnectionsFails(t *testing.T) {
	t.Parallel()
	srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{AllowAll: true})
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	handler := wsconn.Handler(srv.Serve, nil)
	var first sync.Once
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		let := false
		first.Do(func() { let = true })
		if !let {
			http.NotFound(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	var out strings.Builder
	failed, err := run(t.Context(), append([]string{"-protocol", "mse", "-url", address}, everything...), &out)
	require.NoError(t, err)
	require.True(t, failed)
	require.Contains(t, out.String(), "refused 404")
}

// A case may be about refusals alone.
func TestARefusalAsItShouldBePasses(t *testing.T) {
	t.Parallel()
	failed, out := tested(t, "cuttlefish", "a client of a device that nobody knows is refused", http.NotFoundHandler())
	require.False(t, failed)
	require.Contains(t, out, "1 passed")
}

func TestNothingIsTestedWithoutWhatEveryCaseNeeds(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	failed, err := run(t.Context(), []string{
		"-protocol", "galene", "-url", "ws://127.0.0.1:1", "-run", "a wrong password is refused",
		"-param", "group=test",
	}, &out)
	require.EqualError(t, err,
		"nothing could be tested: the first case needs op, oppassword, user, password, which -param gives")
	require.False(t, failed)
	require.Empty(t, out.String())
}

func TestCasesAreListed(t *testing.T) {
	t.Parallel()
	for name := range protocols {
		var out strings.Builder
		_, err := run(t.Context(), []string{"-protocol", name, "-list"}, &out)
		require.NoError(t, err)
		require.Contains(t, out.String(), "@document")
		require.Greater(t, strings.Count(out.String(), "\n"), 10)
	}
}
