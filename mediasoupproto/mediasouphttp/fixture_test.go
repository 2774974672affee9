package mediasouphttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/mediasoupproto"
	"github.com/rtcsignal/rtcsignal/mediasoupproto/mediasouphttp"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// newServer returns a server that lets everybody in, unless opts say otherwise, and its address.
func newServer(
	t *testing.T, opts *mediasoupproto.ServerOptions, http *mediasouphttp.Options,
) (string, *mediasoupproto.Server) {
	t.Helper()
	o := mediasoupproto.ServerOptions{AllowAll: true}
	if opts != nil {
		o = *opts
	}
	if o.Connection == nil {
		o.Connection = mediasouphttp.Connection
	}
	srv := mediasoupproto.NewServer(&o)
	web := serve(t, mediasouphttp.NewHandler(srv, http))
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	return web, srv
}

// serve returns the address of a handler.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	return web.URL
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// address is URL without its error.
func address(t *testing.T, server, room, peerName string) string {
	t.Helper()
	a, err := mediasouphttp.URL(server, room, peerName)
	require.NoError(t, err)
	return a
}

// connect connects a client that ends with the test.
func connect(t *testing.T, url string, opts *mediasouphttp.DialOptions) *mediasoupproto.Client {
	t.Helper()
	client, err := mediasouphttp.Connect(bounded(t), url, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// capabilities are those of a peer that can receive what the room can do.
func capabilities() *mediasoupproto.RTPCapabilities { return mediasoupproto.DefaultCapabilities() }

// join joins by a name.
func join(t *testing.T, client *mediasoupproto.Client, peerName string) *mediasoupproto.JoinResult {
	t.Helper()
	_, err := client.QueryRoom(bounded(t))
	require.NoError(t, err)
	joined, err := client.Join(bounded(t), &mediasoupproto.Join{PeerName: peerName, RTPCapabilities: capabilities()})
	require.NoError(t, err)
	return joined
}

// next waits for a message of a type.
func next[T mediasoupproto.Message](t *testing.T, client *mediasoupproto.Client) T {
	t.Helper()
	for m, err := range client.Messages(bounded(t)) {
		require.NoError(t, err)
		if m, ok := m.(T); ok {
			return m
		}
	}
	var none T
	require.FailNow(t, "the client has ended", "%T has not come", none)
	return none
}

// A raw is a WebSocket without a client.
type raw struct {
	t    *testing.T
	conn transport.Conn
}

func dialRaw(t *testing.T, url string, subprotocols ...string) *raw {
	t.Helper()
	conn, err := wsconn.Dial(bounded(t), url, &wsconn.Options{Subprotocols: subprotocols})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(transport.StatusNormal, "") })
	return &raw{t, conn}
}

func (r *raw) writes(line string) {
	r.t.Helper()
	require.NoError(r.t, r.conn.Write(transport.Text, []byte(line)))
}

func (r *raw) reads(want string) {
	r.t.Helper()
	typ, got, err := r.conn.Read(nil)
	require.NoError(r.t, err)
	require.Equal(r.t, transport.Text, typ)
	require.Equal(r.t, want, string(got))
}

// closed reads until the connection is closed, and returns how.
func (r *raw) closed() *transport.CloseError {
	r.t.Helper()
	for {
		if _, _, err := r.conn.Read(nil); err != nil {
			var c *transport.CloseError
			require.ErrorAs(r.t, err, &c)
			return c
		}
	}
}
