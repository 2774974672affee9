package enginehttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// webSocket are the headers of a request for a WebSocket.
var webSocket = []string{
	"Connection", "keep-alive, Upgrade", "Upgrade", "websocket",
	"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==",
}

var messages = map[int]string{
	0: "Transport unknown", 1: "Session ID unknown", 2: "Bad handshake method", 3: "Bad request",
	5: "Unsupported protocol version",
}

// TestRequestsThatAreNoEngineIO has the answers of the Socket.IO 4 server.
func TestRequestsThatAreNoEngineIO(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		method, query string
		code          int
	}{
		{"GET", "", 0},
		{"GET", "EIO=4", 0},
		{"GET", "EIO=4&transport=foo", 0},
		{"GET", "EIO=4&transport=polling&sid=zzz", 1},
		{"GET", "EIO=4&transport=polling&sid=", 1},
		{"POST", "EIO=4&transport=polling&sid=zzz", 1},
		{"POST", "EIO=4&transport=polling", 2},
		{"OPTIONS", "EIO=4&transport=polling", 2},
		{"GET", "EIO=4&transport=websocket", 3},
		{"GET", "EIO=3&transport=polling", 5},
		{"GET", "EIO=5&transport=polling", 5},
		{"GET", "EIO=&transport=polling", 5},
		{"GET", "transport=polling", 5},
	} {
		t.Run(test.method+" "+test.query, func(t *testing.T) {
			t.Parallel()
			s := serve(t, &enginehttp.Options{RefuseV3: true})
			a, err := s.request(t.Context(), test.method, test.query, "")
			require.NoError(t, err)
			body := fmt.Sprintf(`{"code":%d,"message":"%s"}`, test.code, messages[test.code])
			require.Equal(t, answer{http.StatusBadRequest, "application/json", body, a.header}, a)
			require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		})
	}
}

func TestRequestsForAWebSocketThatAreNoEngineIO(t *testing.T) {
	t.Parallel()
	for query, code := range map[string]int{
		"":                                  0,
		"EIO=4&transport=foo":               0,
		"EIO=4&transport=websocket&sid=zzz": 1,
		"EIO=4&transport=polling":           3,
		"EIO=3&transport=websocket":         5,
		"transport=websocket":               5,
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			s := serve(t, &enginehttp.Options{RefuseV3: true})
			a, err := s.request(t.Context(), http.MethodGet, query, "", webSocket...)
			require.NoError(t, err)
			require.Equal(t, answer{http.StatusBadRequest, "text/html", messages[code], a.header}, a)
		})
	}
}

func TestASessionIsBoundToItsVersionAndTransport(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	for _, test := range []struct {
		method, query, body string
		header              []string
	}{
		{"GET", "EIO=3&transport=polling", `{"code":3,"message":"Bad request"}`, nil},
		{"POST", "EIO=3&transport=polling", `{"code":3,"message":"Bad request"}`, nil},
		{"GET", "transport=polling", `{"code":3,"message":"Bad request"}`, nil},
		{"GET", "EIO=4&transport=websocket", `{"code":3,"message":"Bad request"}`, nil},
		{"PUT", "EIO=4&transport=polling", `{"code":3,"message":"Bad request"}`, nil},
		{"GET", "EIO=3&transport=websocket", "Bad request", webSocket},
		{"GET", "EIO=4&transport=polling", "Bad request", webSocket},
	} {
		a, err := p.request(t.Context(), test.method, test.query+"&sid="+p.sid, "4x", test.header...)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, a.status, "%+v", test)
		require.Equal(t, test.body, a.body, "%+v", test)
	}
	p.post(t, "4alive")
	requireRead(t, p.conn, transport.Text, "alive")
}

func TestTheIDOfAWebSocketIsNoPollingSession(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	server, _ := s.dial(t, nil)
	p := &session{server: s, query: "EIO=4&transport=polling&sid=" + server.SID()}
	p.requireGone(t)
}

func TestMoreConnectionsThanTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, &enginehttp.Options{MaxConns: 2})
	s.session(t, engineio.V4)
	s.dial(t, nil)
	for _, transports := range [][]string{onlyPolling, onlyWebSocket} {
		_, err := enginehttp.Dial(t.Context(), s.URL, &enginehttp.Options{Transports: transports})
		var de *enginehttp.DialError
		require.ErrorAs(t, err, &de)
		require.Equal(t, http.StatusServiceUnavailable, de.StatusCode)
		require.Equal(t, "too many connections", de.Message)
	}
}

func TestMoreConnectionsOfOneAddressAreRefused(t *testing.T) {
	t.Parallel()
	gate := &wsconn.Gate{PerAddress: 2}
	s := serve(t, &enginehttp.Options{Gate: gate})
	polling := s.session(t, engineio.V4)
	s.dial(t, nil)
	for _, transports := range [][]string{onlyPolling, onlyWebSocket} {
		_, err := enginehttp.Dial(t.Context(), s.URL, &enginehttp.Options{Transports: transports})
		var de *enginehttp.DialError
		require.ErrorAs(t, err, &de)
		require.Equal(t, http.StatusTooManyRequests, de.StatusCode)
		require.Equal(t, "too many connections from this address", de.Message)
	}
	require.Equal(t, wsconn.GateStats{Addresses: 1, Connections: 2, Refused: 2}, gate.Stats())
	answer := polling.await(t)
	require.NoError(t, polling.conn.Write(transport.Text, []byte("hello")))
	require.Equal(t, "4hello", (<-answer).body, "polls are no connections")
}

func TestAConnectionOfAnAddressThatHasEndedMakesRoom(t *testing.T) {
	t.Parallel()
	gate := &wsconn.Gate{PerAddress: 1}
	h := enginehttp.Handler(func(_ context.Context, c transport.Conn) error {
		_, _, err := c.Read(nil)
		return err
	}, &enginehttp.Options{Gate: gate})
	s := httptest.NewServer(h)
	defer s.Close()
	for _, transports := range [][]string{onlyPolling, onlyWebSocket, upgrading, onlyWebSocket} {
		c, err := enginehttp.Dial(t.Context(), s.URL, &enginehttp.Options{Transports: transports})
		require.NoError(t, err)
		require.NoError(t, c.Close(transport.StatusNormal, ""))
		require.Eventually(t, func() bool { return gate.Stats() == wsconn.GateStats{} }, 10*time.Second, time.Millisecond)
	}
}

func TestARefusedHandshakeIsNoConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, &enginehttp.Options{MaxConns: 1})
	// An origin that may not connect, and a request that no WebSocket can answer.
	for _, header := range [][]string{
		append([]string{"Origin", "https://evil.example"}, webSocket...),
		append([]string{"Sec-WebSocket-Version", "12"}, webSocket[:4]...),
	} {
		a, err := s.request(t.Context(), http.MethodGet, "EIO=4&transport=websocket", "", header...)
		require.NoError(t, err)
		require.GreaterOrEqual(t, a.status, 400)
	}
	s.session(t, engineio.V4)
}

func TestTheEndOfServingIsToldWithACode(t *testing.T) {
	t.Parallel()
	for want, serving := range map[transport.StatusCode]func() error{
		transport.StatusNormal:        func() error { return nil },
		transport.StatusInternalError: func() error { panic("test") },
	} {
		s := serve(t, nil)
		s.handler = enginehttp.Handler(func(context.Context, transport.Conn) error { return serving() }, nil)
		c, err := enginehttp.Dial(t.Context(), s.URL, nil)
		require.NoError(t, err)
		_, _, err = c.Read(nil)
		require.Equal(t, &transport.CloseError{Code: want}, err)
		require.NoError(t, c.Close(transport.StatusNormal, ""))
	}
}

func patterns(patterns ...string) enginehttp.Options {
	return enginehttp.Options{OriginPatterns: patterns}
}

func TestPagesOfOtherHostsMayPollWhenTold(t *testing.T) {
	t.Parallel()
	const page = "https://page.example"
	for name, test := range map[string]struct {
		opts   enginehttp.Options
		origin string // of Access-Control-Allow-Origin
		creds  string
		vary   string
	}{
		"not by default":        {},
		"not by other patterns": {opts: patterns("other.example", "http://page.example", "["), vary: "Origin"},
		"by a pattern":          {opts: patterns("*.example"), origin: page, vary: "Origin"},
		"by scheme and host":    {opts: patterns("https://Page.example"), origin: page, vary: "Origin"},
		"any":                   {opts: enginehttp.Options{AllowAnyOrigin: true}, origin: "*"},
		"any with credentials": {
			opts: enginehttp.Options{AllowAnyOrigin: true, AllowCredentials: true}, origin: page, creds: "true", vary: "Origin",
		},
		"by a pattern with credentials": {
			opts:   enginehttp.Options{OriginPatterns: []string{"page.example"}, AllowCredentials: true},
			origin: page, creds: "true", vary: "Origin",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, &test.opts)
			a, err := s.request(t.Context(), http.MethodGet, "EIO=4&transport=polling", "", "Origin", page)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, a.status)
			s.opened(t, engineio.V4, a)
			require.Equal(t, test.origin, a.header.Get("Access-Control-Allow-Origin"))
			require.Equal(t, test.creds, a.header.Get("Access-Control-Allow-Credentials"))
			require.Equal(t, test.vary, a.header.Get("Vary"))

			a, err = s.request(t.Context(), http.MethodOptions, "EIO=4&transport=polling", "",
				"Origin", page, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-token")
			require.NoError(t, err)
			require.Equal(t, test.origin, a.header.Get("Access-Control-Allow-Origin"))
			if test.origin == "" {
				require.Equal(t, http.StatusBadRequest, a.status)
				return
			}
			require.Equal(t, http.StatusNoContent, a.status)
			require.Empty(t, a.body)
			require.Equal(t, "GET,POST", a.header.Get("Access-Control-Allow-Methods"))
			require.Equal(t, "x-token", a.header.Get("Access-Control-Allow-Headers"))
			require.Equal(t, test.creds, a.header.Get("Access-Control-Allow-Credentials"))
		})
	}
}

func TestRequestsWithoutAnOriginNeedNoLeave(t *testing.T) {
	t.Parallel()
	s := serve(t, &enginehttp.Options{AllowAnyOrigin: true})
	a, err := s.request(t.Context(), http.MethodGet, "EIO=4&transport=polling", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status)
	s.opened(t, engineio.V4, a)
	require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
}

func TestPagesOfOtherHostsMayUseAWebSocketWhenTold(t *testing.T) {
	t.Parallel()
	header := http.Header{"Origin": {"https://page.example"}}
	for _, test := range []struct {
		opts    enginehttp.Options
		allowed bool
	}{
		{enginehttp.Options{}, false},
		{enginehttp.Options{OriginPatterns: []string{"page.example"}}, true},
		{enginehttp.Options{AllowAnyOrigin: true}, true},
	} {
		s := serve(t, &test.opts)
		c, err := enginehttp.Dial(t.Context(), s.URL, &enginehttp.Options{Header: header})
		if !test.allowed {
			var de *enginehttp.DialError
			require.ErrorAs(t, err, &de)
			require.Equal(t, http.StatusForbidden, de.StatusCode)
			continue
		}
		require.NoError(t, err)
		server := <-s.conns
		closed := make(chan error, 1)
		go func() { closed <- c.Close(transport.StatusNormal, "") }()
		_, _, err = server.Read(nil)
		require.Error(t, err)
		require.NoError(t, <-closed)
	}
}
