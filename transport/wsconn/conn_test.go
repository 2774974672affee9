package wsconn_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/conntest"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func requireAbnormal(t *testing.T, err error) {
	t.Helper()
	ce, ok := errors.AsType[*transport.CloseError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, transport.StatusAbnormal, ce.Code)
}

func TestDialedAndAcceptedConnConforms(t *testing.T) {
	t.Parallel()
	opts := &wsconn.Options{ReadLimit: 300_000, WriteTimeout: brief}
	for name, reversed := range map[string]bool{"client to server": false, "server to client": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conntest.Run(t, func(t *testing.T) (a, b transport.Conn) {
				a, b = pair(t, opts, opts)
				if reversed {
					return b, a
				}
				return a, b
			}, &conntest.Options{ReadLimit: int(opts.ReadLimit), WriteTimeout: brief})
		})
	}
}

func TestConnConformsOverTLS(t *testing.T) {
	t.Parallel()
	opts := &wsconn.Options{WriteTimeout: brief}
	for name, reversed := range map[string]bool{"client to server": false, "server to client": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conntest.Run(t, func(t *testing.T) (a, b transport.Conn) {
				h, conns, _ := hold(t, opts)
				srv := httptest.NewTLSServer(h)
				t.Cleanup(srv.Close)
				client := *opts
				client.TLSConfig = &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
				a = dial(t, srv.URL, &client)
				b = (<-conns).conn
				if reversed {
					return b, a
				}
				return a, b
			}, &conntest.Options{WriteTimeout: brief})
		})
	}
}

// TestAdaptedConnConforms has coder/websocket's own connections on both ends.
func TestAdaptedConnConforms(t *testing.T) {
	t.Parallel()
	opts := &wsconn.Options{ReadLimit: 300_000, WriteTimeout: brief}
	conntest.Run(t, func(t *testing.T) (a, b transport.Conn) {
		accepted, done := make(chan transport.Conn, 1), make(chan struct{})
		addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ws, err := websocket.Accept(w, r, nil)
			if err == nil {
				accepted <- wsconn.New(ws, opts)
				<-done
			}
		}))
		t.Cleanup(func() { close(done) })
		ws, _, err := websocket.Dial(t.Context(), addr, nil)
		require.NoError(t, err)
		return wsconn.New(ws, opts), <-accepted
	}, &conntest.Options{ReadLimit: int(opts.ReadLimit), WriteTimeout: brief})
}

func TestConnThroughAnHTTPClientConforms(t *testing.T) {
	t.Parallel()
	server := &wsconn.Options{WriteTimeout: brief}
	client := &wsconn.Options{WriteTimeout: brief, HTTPClient: &http.Client{Transport: &http.Transport{}}}
	conntest.Run(t, func(t *testing.T) (a, b transport.Conn) { return pair(t, client, server) }, &conntest.Options{WriteTimeout: brief})
}

func TestDefaultReadLimitIs1MiB(t *testing.T) {
	t.Parallel()
	a, b := pair(t, &wsconn.Options{ReadLimit: -1}, nil)
	defer closeBoth(t, a, b)
	written := make(chan error, 1)
	go func() {
		written <- errors.Join(a.Write(transport.Text, make([]byte, 1<<20)), a.Write(transport.Text, make([]byte, 1<<20+1)))
	}()
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Len(t, msg, 1<<20)
	_, _, err = b.Read(nil)
	require.ErrorIs(t, err, transport.ErrMessageTooBig)
	closed := make(chan error, 1)
	go func() { closed <- b.Close(transport.StatusNormal, "") }()
	_, _, err = a.Read(nil)
	ce, ok := errors.AsType[*transport.CloseError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, transport.StatusMessageTooBig, ce.Code)
	require.NoError(t, <-closed)
	<-written // fails or not, as the close frame comes during it or after
}

func TestNegativeReadLimitMeansNone(t *testing.T) {
	t.Parallel()
	a, b := pair(t, nil, &wsconn.Options{ReadLimit: -5})
	defer closeBoth(t, a, b)
	written := make(chan error, 1)
	go func() { written <- a.Write(transport.Text, make([]byte, 3<<20)) }()
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Len(t, msg, 3<<20)
	require.NoError(t, <-written)
}

// TestConnGoesWhenNobodyClosesIt: an application that forgets Close after a
// failed Read must not leave the connection behind.
func TestConnGoesWhenNobodyClosesIt(t *testing.T) {
	t.Parallel()
	p, b := rawPair(t, &wsconn.Options{ReadLimit: 10, WriteTimeout: brief})
	p.send(t, frame(0x81, 12, strings.Repeat("x", 12)))
	_, _, err := b.Read(nil)
	require.ErrorIs(t, err, transport.ErrMessageTooBig)
	first, payload := p.receive(t)
	require.Equal(t, byte(0x88), first)
	require.Equal(t, uint16(1009), binary.BigEndian.Uint16([]byte(payload)))
	_, err = p.r.ReadByte()
	require.Error(t, err, "the connection is cut")
}

func TestInvalidTextIsHandedOn(t *testing.T) {
	t.Parallel()
	a, b := pair(t, nil, nil)
	defer closeBoth(t, a, b)
	require.NoError(t, a.Write(transport.Text, []byte("a\xffb")))
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "a\xffb", string(msg))
}

func TestMessageTypesOfControlFramesAreRefused(t *testing.T) {
	t.Parallel()
	a, b := pair(t, nil, nil)
	defer closeBoth(t, a, b)
	require.ErrorContains(t, a.Write(8, nil), "no such type")
	require.NoError(t, a.Write(transport.Text, []byte("still open")))
	_, _, err := b.Read(nil)
	require.NoError(t, err)
}

func TestCloseSendsCodesAsTheyCanBeSent(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 100)
	for name, c := range map[string]struct {
		code   transport.StatusCode
		reason string
		want   *transport.CloseError
		err    string
	}{
		"application's":  {4999, "mine", &transport.CloseError{Code: 4999, Reason: "mine"}, ""},
		"without code":   {transport.StatusNoStatus, "not sent", &transport.CloseError{Code: transport.StatusNoStatus}, ""},
		"abrupt":         {transport.StatusAbnormal, "not sent", &transport.CloseError{Code: transport.StatusAbnormal}, ""},
		"reserved":       {1015, "", &transport.CloseError{Code: transport.StatusAbnormal}, "1015 cannot be sent"},
		"out of range":   {200, "", &transport.CloseError{Code: transport.StatusAbnormal}, "200 cannot be sent"},
		"long reason":    {4000, long, &transport.CloseError{Code: 4000, Reason: strings.Repeat("ä", 61)}, ""},
		"invalid reason": {4000, "a\xff", &transport.CloseError{Code: 4000, Reason: "a\uFFFD"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t, nil, nil)
			defer closeBoth(t, a, b)
			closed := make(chan error, 1)
			go func() { closed <- a.Close(c.code, c.reason) }()
			for range 3 {
				_, _, err := b.Read(nil)
				require.Equal(t, c.want, err)
			}
			err := <-closed
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
			_, _, err = a.Read(nil)
			require.ErrorIs(t, err, transport.ErrClosed)
			require.True(t, utf8.ValidString(c.want.Reason))
		})
	}
}

// TestCloseIsBoundedByWriteTimeout has peers that do not play along. The bound
// leaves room for a loaded machine, and is below the 5 s that coder/websocket
// alone takes for one step of the two.
func TestCloseIsBoundedByWriteTimeout(t *testing.T) {
	t.Parallel()
	const bound = 4 * time.Second
	opts := &wsconn.Options{WriteTimeout: brief}
	adapted := func(t *testing.T) transport.Conn {
		conns, done := make(chan transport.Conn, 1), make(chan struct{})
		addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ws, err := websocket.Accept(w, r, nil); err == nil {
				conns <- wsconn.New(ws, opts)
				<-done
			}
		}))
		t.Cleanup(func() { close(done) })
		dialRaw(t, addr)
		return <-conns
	}
	owned := func(t *testing.T) transport.Conn {
		_, b := rawPair(t, opts)
		return b
	}
	for kind, connect := range map[string]func(*testing.T) transport.Conn{"owned": owned, "adapted": adapted} {
		t.Run(kind+" with a reader", func(t *testing.T) {
			t.Parallel()
			c := connect(t)
			ended := make(chan error, 1)
			go func() {
				_, _, err := c.Read(nil)
				ended <- err
			}()
			start := time.Now()
			require.NoError(t, c.Close(transport.StatusNormal, ""))
			require.Less(t, time.Since(start), bound)
			require.ErrorIs(t, <-ended, transport.ErrClosed)
		})
		t.Run(kind+" without a reader", func(t *testing.T) {
			t.Parallel()
			c := connect(t)
			start := time.Now()
			require.NoError(t, c.Close(transport.StatusNormal, ""))
			require.Less(t, time.Since(start), bound)
		})
		t.Run(kind+" with a blocked writer", func(t *testing.T) {
			t.Parallel()
			c := connect(t)
			ended, begun := make(chan error, 1), make(chan struct{})
			go func() {
				close(begun)
				msg := make([]byte, 1<<20)
				var err error
				for range 1000 {
					if err = c.Write(transport.Text, msg); err != nil {
						break
					}
				}
				ended <- err
			}()
			<-begun
			start := time.Now()
			require.NoError(t, c.Close(transport.StatusNormal, ""))
			require.Less(t, time.Since(start), bound)
			require.Error(t, <-ended)
		})
	}
}

func TestPeerThatVanishesIsAbnormal(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string][]byte{
		"between messages":    nil,
		"in a header":         {0x81},
		"after a header":      frame(0x81, 100, ""),
		"in a payload":        frame(0x81, 100, strings.Repeat("x", 50)),
		"between fragments":   frame(0x01, 5, "hello"),
		"in a large payload":  frame(0x81, 100_000, strings.Repeat("x", 5000)),
		"in a control frame":  frame(0x89, 10, "hello"),
		"after a whole frame": frame(0x8a, 5, "hello"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := rawPair(t, nil)
			p.send(t, sent)
			require.NoError(t, p.Close())
			for range 3 {
				_, _, err := b.Read(nil)
				requireAbnormal(t, err)
			}
			requireAbnormal(t, b.Write(transport.Text, []byte("late")))
			require.NoError(t, b.Close(transport.StatusNormal, ""))
		})
	}
}

func TestPeerThatBreaksTheProtocolIsTold(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string][]byte{
		"reserved bit":     frame(0xc1, 0, ""),
		"unknown opcode":   frame(0x83, 0, ""),
		"long ping":        frame(0x89, 126, strings.Repeat("x", 126)),
		"short close":      frame(0x88, 1, "x"),
		"bad close code":   frame(0x88, 2, "\x00\x01"),
		"lone fragment":    frame(0x80, 0, ""),
		"interrupted":      append(frame(0x01, 1, "x"), frame(0x81, 1, "y")...),
		"split ping":       frame(0x09, 1, "x"),
		"reserved 1006":    frame(0x88, 2, "\x03\xee"),
		"negative payload": {0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := rawPair(t, &wsconn.Options{WriteTimeout: time.Hour}) // nothing here waits for it
			p.send(t, sent)
			_, _, err := b.Read(nil)
			require.Error(t, err)
			_, _, again := b.Read(nil)
			require.Equal(t, err, again)
			if name != "negative payload" { // coder/websocket drops that one without a word
				require.ErrorContains(t, err, "peer broke the WebSocket protocol")
				first, payload := p.receive(t)
				require.Equal(t, byte(0x88), first)
				require.Equal(t, uint16(1002), binary.BigEndian.Uint16([]byte(payload)))
			}
			require.NoError(t, p.Close())
			require.NoError(t, b.Close(transport.StatusProtocolError, ""))
		})
	}
}

func TestPeersReasonIsValidUTF8(t *testing.T) {
	t.Parallel()
	p, b := rawPair(t, nil)
	p.send(t, frame(0x88, 4, "\x0f\xa0a\xff"))
	_, _, err := b.Read(nil)
	require.Equal(t, &transport.CloseError{Code: 4000, Reason: "a\uFFFD"}, err)
}

func TestSubprotocolIsAgreedOn(t *testing.T) {
	t.Parallel()
	a, b := pair(t, &wsconn.Options{Subprotocols: []string{"x", "y"}}, &wsconn.Options{Subprotocols: []string{"y", "z"}})
	defer closeBoth(t, a, b)
	require.Equal(t, "y", wsconn.Subprotocol(a))
	require.Equal(t, "y", wsconn.Subprotocol(b))
	p, _ := transport.Pipe()
	require.Empty(t, wsconn.Subprotocol(p))
}
