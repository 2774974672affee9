package proxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A rig is a proxy before a target, both on ports of their own.
type rig struct {
	url, target string
	journal     *capture.Journal
	proxy       *Proxy
}

func before(t *testing.T, target http.Handler) *rig {
	web := httptest.NewServer(target)
	t.Cleanup(web.Close)
	return beforeAddress(t, &Options{Target: web.URL})
}

func beforeAddress(t *testing.T, opts *Options) *rig {
	opts.Journal = capture.NewJournal(nil)
	p, err := New(opts)
	require.NoError(t, err)
	web := httptest.NewServer(p)
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		web.Close()
	})
	return &rig{url: web.URL, target: opts.Target, journal: opts.Journal, proxy: p}
}

// await returns all entries as soon as there are n that match.
func (r *rig) await(t *testing.T, n int, match func(capture.Entry) bool) []capture.Entry {
	t.Helper()
	for e := range r.journal.Follow(t.Context(), 0) {
		if match(e) {
			if n--; n == 0 {
				entries, _ := r.journal.After(0)
				return entries
			}
		}
	}
	require.Fail(t, "the journal has not had it")
	return nil
}

func ofKind(k capture.Kind) func(capture.Entry) bool {
	return func(e capture.Entry) bool { return e.Kind == k }
}

// brief returns entries without what differs between runs.
func brief(entries []capture.Entry) []capture.Entry {
	var all []capture.Entry
	for _, e := range entries {
		all = append(all, capture.Entry{
			Conn: e.Conn, Kind: e.Kind, From: e.From, URL: e.URL, Status: e.Status,
			Data: e.Data, Binary: e.Binary, Cut: e.Cut, Code: e.Code, Reason: e.Reason,
		})
	}
	return all
}

// A backend is a handler whose WebSockets a test holds.
type backend struct {
	opts     *wsconn.Options
	conns    chan transport.Conn
	requests chan *http.Request
	raw      chan net.Conn
}

func newBackend(opts *wsconn.Options) *backend {
	if opts == nil {
		opts = &wsconn.Options{ReadLimit: -1, AllowAnyOrigin: true}
	}
	return &backend{
		opts: opts, conns: make(chan transport.Conn, 200), requests: make(chan *http.Request, 200),
		raw: make(chan net.Conn, 200),
	}
}

type rawHijacker struct {
	http.ResponseWriter
	raw net.Conn
}

func (h *rawHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.raw = raw
	return raw, brw, err
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := &rawHijacker{ResponseWriter: w}
	b.requests <- r
	c, err := wsconn.Accept(h, r, b.opts)
	if err == nil {
		b.raw <- h.raw
		b.conns <- c
	}
}

func dial(t *testing.T, address string, opts *wsconn.Options) transport.Conn {
	t.Helper()
	if opts == nil {
		opts = &wsconn.Options{ReadLimit: -1}
	}
	c, err := wsconn.Dial(t.Context(), address, opts)
	require.NoError(t, err)
	return c
}

// pair opens a WebSocket through the proxy.
func (r *rig) pair(t *testing.T, b *backend) (client, server transport.Conn) {
	t.Helper()
	client = dial(t, r.url+"/ws", nil)
	server = <-b.conns
	t.Cleanup(func() {
		go server.Close(transport.StatusNormal, "")
		client.Close(transport.StatusNormal, "")
		server.Close(transport.StatusNormal, "")
	})
	return client, server
}

func requireMessage(t *testing.T, c transport.Conn, typ transport.MessageType, want string) {
	t.Helper()
	got, msg, err := c.Read(nil)
	require.NoError(t, err)
	require.Equal(t, typ, got)
	require.True(t, want == string(msg), "%d bytes are not the %d of the message", len(msg), len(want))
}

func requireClosed(t *testing.T, c transport.Conn, code transport.StatusCode, reason string) {
	t.Helper()
	_, _, err := c.Read(nil)
	ce, ok := errors.AsType[*transport.CloseError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, transport.CloseError{Code: code, Reason: reason}, *ce)
}

// rawClient opens a WebSocket of which a test writes the bytes.
func rawClient(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	host := strings.TrimPrefix(address, "http://")
	c, err := net.Dial("tcp", host)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+host+"\r\nConnection: keep-alive, Upgrade\r\n"+
		"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	require.NoError(t, err)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	return c, in
}

// frame returns a frame with the length that it claims, masked with zeros if a client sends it.
func frame(first byte, claimed int, payload string, masked bool) []byte {
	b := binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(claimed))
	if masked {
		b[1] |= 0x80
		b = append(b, 0, 0, 0, 0)
	}
	return append(b, payload...)
}
