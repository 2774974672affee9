package wsconn_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestDialErrorTellsTheServersAnswer(t *testing.T) {
	t.Parallel()
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, strings.Repeat("no such room ", 1000), http.StatusNotFound)
	}))
	_, err := wsconn.Dial(t.Context(), addr, nil)
	de, ok := errors.AsType[*wsconn.DialError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, http.StatusNotFound, de.StatusCode)
	require.Len(t, de.Body, 1024)
	require.True(t, strings.HasPrefix(de.Body, "no such room "))
	require.ErrorContains(t, err, "wsconn: dial: server answered 404 Not Found: ")
}

func TestDialErrorWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for name, addr := range map[string]string{"refused": "ws://" + l.Addr().String(), "scheme": "gopher://x", "address": "ws://[::1"} {
		_, err = wsconn.Dial(t.Context(), addr, nil)
		de, ok := errors.AsType[*wsconn.DialError](err)
		require.True(t, ok, "%s: %v", name, err)
		require.Zero(t, de.StatusCode)
		require.Empty(t, de.Body)
		require.Error(t, de.Unwrap())
	}
}

func TestDialIsBoundedByHandshakeTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts by itself, answers nothing
	require.NoError(t, err)
	defer l.Close()
	_, err = wsconn.Dial(t.Context(), "ws://"+l.Addr().String(), &wsconn.Options{HandshakeTimeout: 20 * time.Millisecond})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestConnOutlivesTheContextOfDial(t *testing.T) {
	t.Parallel()
	h, conns, _ := hold(t, nil)
	addr := serve(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := wsconn.Dial(ctx, addr, nil)
	require.NoError(t, err)
	b := (<-conns).conn
	defer closeBoth(t, a, b)
	cancel()
	require.NoError(t, a.Write(transport.Text, []byte("hello")))
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "hello", string(msg))
}

func TestDialSendsHeaderAndHostAndFollowsRedirects(t *testing.T) {
	t.Parallel()
	h, conns, _ := hold(t, nil)
	mux := http.NewServeMux()
	mux.Handle("/new", h)
	mux.Handle("/old", http.RedirectHandler("/new", http.StatusFound))
	addr := serve(t, mux)
	a := dial(t, addr+"/new", &wsconn.Options{Header: http.Header{"Authorization": {"Bearer x"}}, Host: "signal.example"})
	b := <-conns
	require.Equal(t, "Bearer x", wsconn.Request(b.ctx).Header.Get("Authorization"))
	require.Equal(t, "signal.example", wsconn.Request(b.ctx).Host)
	closeBoth(t, a, b.conn)

	a = dial(t, addr+"/old", nil)
	b = <-conns
	defer closeBoth(t, a, b.conn)
	require.NoError(t, a.(transport.BatchWriter).WriteBatch(transport.Text, [][]byte{[]byte("x"), []byte("y")}))
	_, msg, err := b.conn.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "x", string(msg))
}
