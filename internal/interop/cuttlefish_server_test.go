package interop

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
)

func TestCuttlefishOurClientReachesOurDeviceThroughOurServer(t *testing.T) {
	t.Parallel()
	for _, via := range []cuttlefishhttp.Via{cuttlefishhttp.ViaDocument, cuttlefishhttp.ViaWebSocket, cuttlefishhttp.ViaPolling} {
		t.Run(via.String(), func(t *testing.T) {
			t.Parallel()
			srv := startServer(t, nil)
			dev := startDevice(t, srv.url, 0)
			seen := converse(t, dev, startClient(t, srv.url, via))
			t.Logf("our server, our device and client over %s: %s", via, seen)
		})
	}
}

// A server is our server, listening on loopback.
type server struct {
	*cuttlefish.Server
	url string // without a slash at the end
}

// startServer starts our server with all its endpoints. page serves the browser page of
// every device and, as today's pages have their own place, the older pages as well.
func startServer(t *testing.T, page http.Handler) *server {
	t.Helper()
	s := cuttlefish.NewServer(nil)
	h := cuttlefishhttp.NewHandler(s, &cuttlefishhttp.Options{
		Files:    func(string) http.Handler { return page },
		Fallback: page,
	})
	listener := httptest.NewServer(h)
	t.Cleanup(func() {
		_ = s.Close() // connections first: httptest waits for the requests that they are
		_ = h.Close()
		listener.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return &server{s, listener.URL}
}

// clientDialects returns how each client that is connected at the moment speaks.
func (s *server) clientDialects() []cuttlefish.Dialect {
	var dialects []cuttlefish.Dialect
	for session := range s.Sessions() {
		if session.Role() == cuttlefish.RoleClient {
			dialects = append(dialects, session.Dialect())
		}
	}
	return dialects
}

// refuseUpgrades passes requests on to a server unless they ask for a WebSocket.
func refuseUpgrades(s *server) http.Handler {
	target, _ := url.Parse(s.url) // made by httptest
	proxy := httputil.NewSingleHostReverseProxy(target)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			http.Error(w, "no upgrades here", http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}
