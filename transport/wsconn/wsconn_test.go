package wsconn_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// brief is a write time-out that tests can wait for.
const brief = 500 * time.Millisecond

// serve starts a server and returns its address.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// A held connection is one that a Handler's function keeps until the test ends.
type held struct {
	conn transport.Conn
	ctx  context.Context
}

// hold returns a handler that hands out its connections and keeps serving them
// until release is called, and by the end of the test.
func hold(t *testing.T, opts *wsconn.Options) (h http.Handler, conns <-chan held, release func()) {
	t.Helper()
	ch, done := make(chan held, 10), make(chan struct{})
	var serving sync.WaitGroup
	h = wsconn.Handler(func(ctx context.Context, c transport.Conn) error {
		serving.Add(1)
		defer serving.Done()
		ch <- held{c, ctx}
		<-done
		return nil
	}, opts)
	release = sync.OnceFunc(func() {
		close(done)
		serving.Wait()
	})
	t.Cleanup(release)
	return h, ch, release
}

func dial(t *testing.T, url string, opts *wsconn.Options) transport.Conn {
	t.Helper()
	c, err := wsconn.Dial(t.Context(), url, opts)
	require.NoError(t, err)
	return c
}

// pair returns the two ends of a connection; the test closes them.
func pair(t *testing.T, client, server *wsconn.Options) (a, b transport.Conn) {
	t.Helper()
	h, conns, _ := hold(t, server)
	a = dial(t, serve(t, h), client)
	return a, (<-conns).conn
}

// closeBoth ends a pair without waiting for one end's answer to the other.
func closeBoth(t *testing.T, a, b transport.Conn) {
	t.Helper()
	var wg sync.WaitGroup
	for _, c := range []transport.Conn{a, b} {
		wg.Go(func() { _ = c.Close(transport.StatusNormal, "") })
	}
	wg.Wait()
}

// A rawPeer speaks frames over a bare connection, so that it can misbehave.
type rawPeer struct {
	net.Conn
	r *bufio.Reader
}

// dialRaw connects a client that does nothing by itself.
func dialRaw(t *testing.T, addr string) *rawPeer {
	t.Helper()
	u, err := url.Parse(addr)
	require.NoError(t, err)
	c, err := net.Dial("tcp", u.Host)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	_, err = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", u.Host)
	require.NoError(t, err)
	p := &rawPeer{c, bufio.NewReader(c)}
	resp, err := http.ReadResponse(p.r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	return p
}

// frame returns a masked frame with its key zero, which claims a payload of
// the given length.
func frame(first byte, length int, payload string) []byte {
	f := []byte{first}
	switch {
	case length < 126:
		f = append(f, 0x80|byte(length))
	case length < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(length))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(length))
	}
	return append(append(f, 0, 0, 0, 0), payload...)
}

func (p *rawPeer) send(t *testing.T, f []byte) {
	t.Helper()
	_, err := p.Write(f)
	require.NoError(t, err)
}

// receive returns the next frame of less than 126 bytes.
func (p *rawPeer) receive(t *testing.T) (first byte, payload string) {
	t.Helper()
	var head [2]byte
	_, err := io.ReadFull(p.r, head[:])
	require.NoError(t, err)
	body := make([]byte, head[1])
	_, err = io.ReadFull(p.r, body)
	require.NoError(t, err)
	return head[0], string(body)
}

// rawPair returns a served connection and the client that it belongs to.
func rawPair(t *testing.T, opts *wsconn.Options) (*rawPeer, transport.Conn) {
	t.Helper()
	h, conns, _ := hold(t, opts)
	p := dialRaw(t, serve(t, h))
	return p, (<-conns).conn
}
