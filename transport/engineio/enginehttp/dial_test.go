package enginehttp_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// refused dials and returns the error.
func refused(t *testing.T, address string, opts *enginehttp.Options) *enginehttp.DialError {
	t.Helper()
	c, err := enginehttp.Dial(t.Context(), address, opts)
	require.Nil(t, c)
	de, ok := errors.AsType[*enginehttp.DialError](err)
	require.True(t, ok, "%v", err)
	require.Same(t, err, de, "not wrapped")
	return de
}

func TestAddressesOfADial(t *testing.T) {
	t.Parallel()
	urls := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		urls <- r.URL.String() + " " + r.Header.Get("X-Token")
		http.Error(w, `{"code":4,"message":"Forbidden"}`, http.StatusForbidden)
	}))
	t.Cleanup(s.Close)
	for _, test := range []struct {
		address, transport string
		v                  engineio.Version
		url                string
	}{
		{s.URL, enginehttp.WebSocket, 0, "/socket.io/?EIO=4&transport=websocket"},
		{s.URL + "/", enginehttp.Polling, 0, "/socket.io/?EIO=4&transport=polling"},
		{strings.Replace(s.URL, "http", "ws", 1), enginehttp.Polling, engineio.V3, "/socket.io/?EIO=3&transport=polling"},
		{s.URL + "/some/path", enginehttp.WebSocket, engineio.V3, "/some/path?EIO=3&transport=websocket"},
		{s.URL + "/some/path/?b=2&a=1&EIO=9#part", enginehttp.Polling, 0, "/some/path/?EIO=4&a=1&b=2&transport=polling"},
	} {
		de := refused(t, test.address, &enginehttp.Options{
			Transports: []string{test.transport}, Version: test.v, Header: http.Header{"X-Token": {"secret"}},
		})
		require.Equal(t, test.url+" secret", <-urls)
		require.Equal(t, http.StatusForbidden, de.StatusCode)
		require.Equal(t, 4, de.Code)
		require.Equal(t, "Forbidden", de.Message)
		require.Contains(t, de.Error(), "403 Forbidden (Forbidden)")
	}
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "ftp://127.0.0.1/", "%", "127.0.0.1"} {
		require.Zero(t, refused(t, address, nil).StatusCode, address)
	}
	for _, opts := range []enginehttp.Options{
		{Version: 5}, {Version: 2}, {Transports: []string{"webtransport"}},
		{Transports: []string{enginehttp.Polling, enginehttp.Polling}},
	} {
		require.Zero(t, refused(t, "http://127.0.0.1:1/", &opts).StatusCode, "%+v", opts)
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, transports := range [][]string{onlyPolling, onlyWebSocket, upgrading} {
		de := refused(t, closed.URL, &enginehttp.Options{Transports: transports})
		require.Zero(t, de.StatusCode)
		require.Equal(t, -1, de.Code)
		require.Error(t, de.Unwrap())
	}
}

func TestAnswersThatAreNoHandshake(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		body   string
		want   enginehttp.DialError
	}{
		{200, "", enginehttp.DialError{Code: -1}},
		{200, "40", enginehttp.DialError{StatusCode: 200, Code: -1}},
		{200, `0{"sid":""}`, enginehttp.DialError{StatusCode: 200, Code: -1}},
		{200, "<html>", enginehttp.DialError{Code: -1}},
		{204, "", enginehttp.DialError{StatusCode: 204, Code: -1}},
		{400, `{"code":5,"message":"Unsupported protocol version"}`,
			enginehttp.DialError{StatusCode: 400, Code: 5, Message: "Unsupported protocol version"}},
		{502, " bad gateway\n", enginehttp.DialError{StatusCode: 502, Code: -1, Message: "bad gateway"}},
		{500, strings.Repeat("x", 5000), enginehttp.DialError{StatusCode: 500, Code: -1, Message: strings.Repeat("x", 1024)}},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		}))
		got := refused(t, s.URL, &enginehttp.Options{Transports: onlyPolling})
		require.Error(t, got.Err)
		got.Err = nil
		require.Equal(t, test.want, *got)
		s.Close()
	}
}

func TestADialEndsWithItsContextOrInTime(t *testing.T) {
	t.Parallel()
	for _, transports := range [][]string{onlyPolling, onlyWebSocket} {
		arrived := make(chan struct{}, 2)
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-r.Context().Done()
		}))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		_, err := enginehttp.Dial(ctx, s.URL, &enginehttp.Options{Transports: transports})
		require.ErrorIs(t, err, context.Canceled)
		_, err = enginehttp.Dial(t.Context(), s.URL, &enginehttp.Options{Transports: transports, HandshakeTimeout: brief})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		s.Close()
	}
}

func TestAConnOutlivesTheContextOfItsDial(t *testing.T) {
	t.Parallel()
	for _, transports := range [][]string{onlyPolling, onlyWebSocket, upgrading} {
		s := serve(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		c, err := enginehttp.Dial(ctx, s.URL, &enginehttp.Options{Transports: transports})
		require.NoError(t, err)
		cancel()
		server := <-s.conns
		require.NoError(t, c.Write(transport.Text, []byte("hello")))
		requireRead(t, server, transport.Text, "hello")
		require.NoError(t, server.Write(transport.Text, []byte("hello")))
		requireRead(t, c, transport.Text, "hello")
		require.Equal(t, server.SID(), c.(*enginehttp.Conn).SID())
		ended := make(chan error, 1)
		go func() {
			_, _, err := server.Read(nil)
			ended <- err
		}()
		require.NoError(t, c.Close(transport.StatusNormal, ""))
		require.Error(t, <-ended)
	}
}

// refuseWebSockets answers what asks for a WebSocket with 400.
func refuseWebSockets(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Upgrade") == "" {
		return false
	}
	http.Error(w, "no WebSocket here", http.StatusBadRequest)
	return true
}

func TestWithoutAWebSocketPollingServes(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.before = refuseWebSockets
	server, client := s.dial(t, &enginehttp.Options{Transports: []string{enginehttp.WebSocket, enginehttp.Polling}})
	require.NoError(t, client.Write(transport.Text, []byte("hello")))
	requireRead(t, server, transport.Text, "hello")
	require.Equal(t, enginehttp.Polling, client.Transport())
	require.Equal(t, http.StatusBadRequest, refused(t, s.URL, nil).StatusCode)
}

func TestARefusedUpgradeLeavesPollingAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	tried := make(chan struct{}, 1)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if !refuseWebSockets(w, r) {
			return false
		}
		tried <- struct{}{}
		return true
	}
	server, client := s.dial(t, &enginehttp.Options{Transports: upgrading})
	<-tried
	for range 10 {
		require.NoError(t, client.Write(transport.Text, []byte("hello")))
		requireRead(t, server, transport.Text, "hello")
		require.NoError(t, server.Write(transport.Text, []byte("hello")))
		requireRead(t, client, transport.Text, "hello")
	}
	require.Equal(t, enginehttp.Polling, client.Transport())
}

// answerProbe accepts WebSockets in the place of the handler, answers the first
// packet and waits for the client to close.
func answerProbe(answer string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Upgrade") == "" {
			return false
		}
		ws, err := wsconn.Accept(w, r, nil)
		if err != nil {
			return true
		}
		if _, _, err = ws.Read(nil); err == nil {
			_ = ws.Write(transport.Text, []byte(answer))
			_, _, _ = ws.Read(nil)
		}
		_ = ws.Close(transport.StatusGoingAway, "")
		return true
	}
}

func TestAnUpgradeThatIsAnsweredWronglyLeavesPollingAlone(t *testing.T) {
	t.Parallel()
	for _, packet := range []string{"3", "6", "0{}", ""} {
		s := serve(t, nil)
		answered := make(chan struct{})
		probe := answerProbe(packet)
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if !probe(w, r) {
				return false
			}
			close(answered)
			return true
		}
		server, client := s.dial(t, &enginehttp.Options{Transports: upgrading})
		<-answered
		require.NoError(t, client.Write(transport.Text, []byte("hello")))
		requireRead(t, server, transport.Text, "hello")
		require.NoError(t, server.Write(transport.Text, []byte("hello")))
		requireRead(t, client, transport.Text, "hello")
		require.Equal(t, enginehttp.Polling, client.Transport())
	}
}

// TestAnUpgradeThatBreaksLateEndsTheClient: once it has stopped polling there is
// no way back.
func TestAnUpgradeThatBreaksLateEndsTheClient(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.before = answerProbe("3probe") // and the end after the client's "5"
	server, client := s.dial(t, &enginehttp.Options{Transports: upgrading})
	ended := make(chan error, 1)
	go func() {
		for {
			if _, _, err := client.Read(nil); err != nil {
				ended <- err
				return
			}
		}
	}()
	var err error
	for err == nil {
		select {
		case <-s.pending: // the poll that the upgrade waits for
			require.NoError(t, server.Write(transport.Text, []byte("hello")))
		case err = <-ended:
		}
	}
	ce, ok := errors.AsType[*transport.CloseError](err)
	require.True(t, ok)
	require.Equal(t, transport.StatusGoingAway, ce.Code)
	_, err = s.request(t.Context(), http.MethodPost, "EIO=4&transport=polling&sid="+server.SID(), "1")
	require.NoError(t, err)
}

func TestPostsKeepToTheServersLimit(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, v engineio.Version) {
		const limit = 1000
		s := serve(t, &enginehttp.Options{ReadLimit: limit})
		var posts, largest atomic.Int64
		s.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				posts.Add(1)
				largest.Store(max(largest.Load(), r.ContentLength)) // one at a time
			}
			return false
		}
		server, client := s.dial(t, &enginehttp.Options{Transports: onlyPolling, Version: v})
		batch := make([][]byte, 200)
		for i := range batch {
			batch[i] = fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", i))
		}
		require.NoError(t, client.WriteBatch(transport.Text, batch))
		require.NoError(t, client.WriteBatch(transport.Binary, batch))
		for _, typ := range []transport.MessageType{transport.Text, transport.Binary} {
			for _, want := range batch {
				requireRead(t, server, typ, string(want))
			}
		}
		require.LessOrEqual(t, largest.Load(), int64(limit))
		require.Less(t, posts.Load(), int64(len(batch)), "what waits goes together")
		if v == engineio.V4 {
			exact := strings.Repeat("y", limit-1)
			require.NoError(t, client.Write(transport.Text, []byte(exact)))
			requireRead(t, server, transport.Text, exact)
		}
		require.ErrorIs(t, client.Write(transport.Text, make([]byte, limit)), transport.ErrMessageTooBig)
		_, _, err := client.Read(nil)
		require.ErrorIs(t, err, transport.ErrMessageTooBig)
	})
}

// TestErrorsDoNotTellTheSessionID: with it anybody could take the session over.
func TestErrorsDoNotTellTheSessionID(t *testing.T) {
	t.Parallel()
	s := serve(t, &enginehttp.Options{WriteTimeout: brief})
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("sid") {
			return false
		}
		panic(http.ErrAbortHandler)
	}
	logged := make(lines, 10)
	opts := &enginehttp.Options{Transports: upgrading, Logger: slog.New(slog.NewTextHandler(logged, nil))}
	c, err := enginehttp.Dial(t.Context(), s.URL, opts)
	require.NoError(t, err)
	_, _, err = c.Read(nil)
	ce, ok := errors.AsType[*transport.CloseError](err)
	require.True(t, ok)
	require.Equal(t, transport.StatusAbnormal, ce.Code)
	server := <-s.conns
	require.NotContains(t, err.Error(), server.SID())
	line := <-logged
	require.Contains(t, line, "no upgrade")
	require.NotContains(t, line, server.SID())
	require.NoError(t, c.Close(transport.StatusNormal, ""))
	require.NoError(t, server.Close(transport.StatusNormal, ""))
}

// lines receives what is written to it.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// A script answers polls with fixed bodies and holds back the last ones.
func script(t *testing.T, contentType string, bodies ...string) *httptest.Server {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, "ok")
			return
		}
		i := int(n.Add(1)) - 1
		if i >= len(bodies) {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, bodies[i])
	}))
	t.Cleanup(s.Close)
	return s
}

func handshake(t *testing.T) string {
	t.Helper()
	data, err := json.Marshal(engineio.Handshake{
		SID: "x", PingInterval: engineio.DefaultPingInterval, PingTimeout: engineio.DefaultPingTimeout,
	})
	require.NoError(t, err)
	return "0" + string(data)
}

func octets(packets ...string) string {
	var b strings.Builder
	for _, p := range packets {
		b.WriteByte(0)
		for _, d := range fmt.Sprint(len(p)) {
			b.WriteByte(byte(d - '0'))
		}
		b.WriteString("\xff" + p)
	}
	return b.String()
}

// TestOctetStreamsOfOldServersAreRead: those of Socket.IO 1 answer so.
func TestOctetStreamsOfOldServersAreRead(t *testing.T) {
	t.Parallel()
	s := script(t, "application/octet-stream", octets(handshake(t), "40"), octets("4é☕😀")+"\x01\x02\xff\x04\x09")
	c, err := enginehttp.Dial(t.Context(), s.URL, &enginehttp.Options{Transports: upgrading, Version: engineio.V3})
	require.NoError(t, err)
	requireRead(t, c, transport.Text, "0")
	requireRead(t, c, transport.Text, "é☕😀")
	requireRead(t, c, transport.Binary, "\x09")
	require.Equal(t, enginehttp.Polling, c.(*enginehttp.Conn).Transport(), "the server offers nothing else")
	require.NoError(t, c.Close(transport.StatusNormal, ""))
}

func TestAFaultOfTheServerEndsAPollingClient(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		want error
	}{
		"unknown type":     {"7", engineio.ErrProtocol},
		"empty answer":     {"", engineio.ErrProtocol},
		"no UTF-8":         {"4\xff", engineio.ErrProtocol},
		"message too big":  {"4" + strings.Repeat("x", 1000), transport.ErrMessageTooBig},
		"answer too big":   {strings.Repeat("4x\x1e", 9999) + "4x", transport.ErrMessageTooBig},
		"second handshake": {handshake(t), engineio.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := script(t, "text/plain; charset=UTF-8", handshake(t), test.body)
			c, err := enginehttp.Dial(t.Context(), s.URL, &enginehttp.Options{Transports: onlyPolling, ReadLimit: 1000})
			require.NoError(t, err)
			for range 3 {
				_, _, err = c.Read(nil)
				require.ErrorIs(t, err, test.want)
				require.ErrorIs(t, c.Write(transport.Text, nil), test.want)
			}
			require.NoError(t, c.Close(transport.StatusNormal, ""))
		})
	}
}

func TestCloseOfTheServerEndsAPollingClient(t *testing.T) {
	t.Parallel()
	s := script(t, "text/plain; charset=UTF-8", handshake(t), "4last\x1e1\x1e4late")
	c, err := enginehttp.Dial(t.Context(), s.URL, &enginehttp.Options{Transports: onlyPolling})
	require.NoError(t, err)
	requireRead(t, c, transport.Text, "last")
	requireLost(t, c)
	require.NoError(t, c.Close(transport.StatusNormal, ""))
}

func TestAServerThatForgetsTheSessionEndsAPollingClient(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	var forget atomic.Bool
	polls := make(chan struct{}, 10)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			polls <- struct{}{}
		} else if forget.Load() {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"code":1,"message":"Session ID unknown"}`)
			return true
		}
		return false
	}
	server, client := s.dial(t, &enginehttp.Options{Transports: onlyPolling})
	require.NoError(t, server.Write(transport.Text, []byte("hello")))
	requireRead(t, client, transport.Text, "hello")
	for range 3 { // the handshake, the one that brought the message, and one that waits
		<-polls
	}
	forget.Store(true)
	require.NoError(t, client.Write(transport.Text, []byte("lost")))
	_, _, err := client.Read(nil)
	require.ErrorContains(t, err, "Session ID unknown")
	ce, ok := errors.AsType[*transport.CloseError](err)
	require.True(t, ok)
	require.Equal(t, transport.StatusAbnormal, ce.Code)
	// The aborted poll tells the server.
	requireLost(t, server)
}

func TestAPostThatHasNoAnswerEndsTheClient(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return true
	}
	server, client := s.dial(t, &enginehttp.Options{Transports: onlyPolling, WriteTimeout: brief})
	require.Equal(t, server.SID(), <-s.pending)
	require.NoError(t, client.Write(transport.Text, []byte("lost")))
	_, _, err := client.Read(nil)
	require.ErrorIs(t, err, transport.ErrWriteTimeout)
	require.ErrorIs(t, client.Write(transport.Text, nil), transport.ErrWriteTimeout)
	requireLost(t, server)
}

func TestDialUsesTheClientThatItIsGiven(t *testing.T) {
	t.Parallel()
	for _, transports := range [][]string{onlyPolling, onlyWebSocket, upgrading} {
		s := serve(t, nil)
		var used atomic.Bool
		base := &http.Transport{}
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			used.Store(true)
			return base.RoundTrip(r)
		})}
		server, c := s.dial(t, &enginehttp.Options{Transports: transports, HTTPClient: client})
		require.NoError(t, c.Write(transport.Text, []byte("hello")))
		requireRead(t, server, transport.Text, "hello")
		require.True(t, used.Load())
		if len(transports) == 2 {
			upgraded(t, server, c)
		}
		require.NoError(t, c.WriteBatch(transport.Text, [][]byte{[]byte("one"), []byte("two")}))
		requireRead(t, server, transport.Text, "one")
		requireRead(t, server, transport.Text, "two")
		t.Cleanup(base.CloseIdleConnections)
	}
}

func TestDialOverTLS(t *testing.T) {
	t.Parallel()
	for _, transports := range [][]string{onlyPolling, onlyWebSocket, upgrading} {
		s := serveWith(t, nil, func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.StartTLS()
		})
		roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		opts := &enginehttp.Options{Transports: transports, TLSConfig: &tls.Config{RootCAs: roots}}
		server, c := s.dial(t, opts)
		if len(transports) == 2 {
			upgraded(t, server, c)
		}
		require.NoError(t, c.Write(transport.Text, []byte("hello")))
		requireRead(t, server, transport.Text, "hello")
		require.Zero(t, refused(t, s.URL, &enginehttp.Options{Transports: transports}).StatusCode)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
