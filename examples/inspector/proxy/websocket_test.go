package proxy

import (
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestMessagesPassBothWaysAndAreTakenDownOnceInOrder(t *testing.T) {
	t.Parallel()
	b := newBackend(nil)
	r := before(t, b)
	client, server := r.pair(t, b)
	long := strings.Repeat("0123456789abcdef", 2<<20/16)
	for i, m := range []struct {
		typ  transport.MessageType
		text string
	}{
		{transport.Text, `{"a":1}`}, {transport.Binary, "\x00\xff"}, {transport.Text, ""},
		{transport.Text, "not \xff UTF-8"}, {transport.Text, long}, {transport.Binary, ""},
	} {
		from, to, side := client, server, capture.Client
		if i%2 == 1 {
			from, to, side = server, client, capture.Server
		}
		for range 2 {
			written := make(chan error, 1)
			go func() { written <- from.Write(m.typ, []byte(m.text)) }()
			requireMessage(t, to, m.typ, m.text)
			require.NoError(t, <-written)
			// It was taken down before it was handed on.
			entries, _ := r.journal.After(r.journal.Last() - 1)
			require.Equal(t, side, entries[0].From)
			require.Equal(t, m.text, string(entries[0].Data))
			require.Equal(t, m.typ == transport.Binary, entries[0].Binary)
			from, to, side = to, from, side.Other()
		}
	}
	entries, _ := r.journal.After(0)
	require.Len(t, entries, 1+12)
	require.Equal(t, capture.Open, entries[0].Kind)
	for i, e := range entries {
		require.Equal(t, i+1, e.Seq)
		require.Equal(t, "1", e.Conn)
	}
}

func TestTheTargetIsAskedAsTheClientHasAsked(t *testing.T) {
	t.Parallel()
	for name, rewritten := range map[string]bool{"own origin": false, "target's origin": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(&wsconn.Options{Subprotocols: []string{"two", "three"}, AllowAnyOrigin: true})
			web := httptest.NewServer(b)
			t.Cleanup(web.Close)
			r := beforeAddress(t, &Options{Target: strings.Replace(web.URL, "http", "ws", 1), RewriteOrigin: rewritten})
			header := http.Header{
				"Origin": {"https://page.example.org"}, "Cookie": {"a=b; c=d"}, "Authorization": {"Bearer x"},
				"User-Agent": {"the client"}, "X-Own": {"1", "2"},
			}
			client := dial(t, r.url+"/some/%2Fpath/:here?q=1&q=%20;x&token=t", &wsconn.Options{
				Header: header, Subprotocols: []string{"one", "two"},
			})
			server := <-b.conns
			defer server.Close(transport.StatusAbnormal, "")
			defer client.Close(transport.StatusAbnormal, "")
			require.Equal(t, "two", wsconn.Subprotocol(client))
			require.Equal(t, "two", wsconn.Subprotocol(server))
			asked := <-b.requests
			require.Equal(t, "/some/%2Fpath/:here?q=1&q=%20;x&token=t", asked.RequestURI)
			require.Equal(t, strings.TrimPrefix(web.URL, "http://"), asked.Host)
			origin := "https://page.example.org"
			if rewritten {
				origin = web.URL
			}
			require.Equal(t, origin, asked.Header.Get("Origin"))
			require.Equal(t, "a=b; c=d", asked.Header.Get("Cookie"))
			require.Equal(t, "Bearer x", asked.Header.Get("Authorization"))
			require.Equal(t, "the client", asked.UserAgent())
			require.Equal(t, []string{"1", "2"}, asked.Header.Values("X-Own"))
			entries, _ := r.journal.After(0)
			require.Equal(t, "/some/%2Fpath/:here?q=1&q=%20;x&token=t", entries[0].URL)
			require.Equal(t, "two", entries[0].Header[capture.AgreedSubprotocol])
			require.Equal(t, "https://page.example.org", entries[0].Header["Origin"])
		})
	}
}

func TestATargetThatChecksOriginsTakesItsPagesThroughTheProxy(t *testing.T) {
	t.Parallel()
	b := newBackend(&wsconn.Options{})
	r := before(t, b)
	client := dial(t, r.url, &wsconn.Options{Header: http.Header{"Origin": {r.url}}})
	server := <-b.conns
	defer server.Close(transport.StatusAbnormal, "")
	defer client.Close(transport.StatusAbnormal, "")
	_, err := wsconn.Dial(t.Context(), r.url, &wsconn.Options{Header: http.Header{"Origin": {"http://other.example.org"}}})
	refused, ok := errors.AsType[*wsconn.DialError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, http.StatusForbidden, refused.StatusCode)
}

func TestAClientThatSaysNotWhoItIsRemainsUnknown(t *testing.T) {
	t.Parallel()
	b := newBackend(nil)
	r := before(t, b)
	rawClient(t, r.url)
	asked := <-b.requests
	require.Empty(t, asked.Header.Values("User-Agent"))
	require.Empty(t, asked.Header.Values("Origin"))
	require.Empty(t, asked.Header.Values("Sec-WebSocket-Protocol"))
	(<-b.conns).Close(transport.StatusAbnormal, "")
}

func TestClosesAreHandedOnAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, c := range []transport.CloseError{
		{Code: 1000, Reason: "bye"}, {Code: 1001}, {Code: 4000, Reason: "kicked: ä"},
		{Code: 3999, Reason: strings.Repeat("x", 123)}, {Code: 1011, Reason: "oh"}, {Code: 1005}, {Code: 1006},
	} {
		for _, from := range []capture.Side{capture.Client, capture.Server} {
			t.Run(fmt.Sprint(from, " ", c.Code), func(t *testing.T) {
				t.Parallel()
				b := newBackend(nil)
				r := before(t, b)
				client, server := r.pair(t, b)
				closing, told := client, server
				if from == capture.Server {
					closing, told = server, client
				}
				closed := make(chan error, 1)
				go func() { closed <- closing.Close(c.Code, c.Reason) }()
				requireClosed(t, told, c.Code, c.Reason)
				require.NoError(t, <-closed)
				entries := r.await(t, 1, ofKind(capture.Close))
				require.Equal(t, []capture.Entry{
					{Conn: "1", Kind: capture.Close, From: from, Code: int(c.Code), Reason: c.Reason},
				}, brief(entries[1:]))
			})
		}
	}
}

func TestWhatCameBeforeACloseArrives(t *testing.T) {
	t.Parallel()
	b := newBackend(nil)
	r := before(t, b)
	client, server := r.pair(t, b)
	closed := make(chan error, 1)
	go func() {
		var errs []error
		for range 50 {
			errs = append(errs, server.Write(transport.Text, []byte(strings.Repeat("m", 10_000))))
		}
		closed <- errors.Join(append(errs, server.Close(4000, "full"))...)
	}()
	for range 50 {
		requireMessage(t, client, transport.Text, strings.Repeat("m", 10_000))
	}
	requireClosed(t, client, 4000, "full")
	require.NoError(t, <-closed)
}

func TestHalfAMessageIsNone(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]capture.Side{"of a client": capture.Client, "of a server": capture.Server} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(nil)
			r := before(t, b)
			var told transport.Conn
			if from == capture.Client {
				raw, _ := rawClient(t, r.url)
				told = <-b.conns
				_, err := raw.Write(frame(0x81, 1000, "the beginning", true))
				require.NoError(t, err)
				require.NoError(t, raw.Close())
			} else {
				told = dial(t, r.url, nil)
				raw := <-b.raw
				_, err := raw.Write(frame(0x81, 1000, "the beginning", false))
				require.NoError(t, err)
				require.NoError(t, raw.Close())
				(<-b.conns).Close(transport.StatusAbnormal, "")
			}
			requireClosed(t, told, transport.StatusAbnormal, "")
			require.NoError(t, told.Close(transport.StatusAbnormal, ""))
			entries := r.await(t, 1, ofKind(capture.Close))
			require.Equal(t, []capture.Entry{
				{Conn: "1", Kind: capture.Close, From: from, Code: 1006},
			}, brief(entries[1:]))
		})
	}
}

func TestWhoBreaksTheRulesIsCutFromTheOtherSide(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]struct {
		frame []byte
		code  string
	}{
		"a reserved bit": {frame(0xc1, 1, "x", true), "\x03\xea"},
		"a message too large": {
			append([]byte{0x81, 0xff, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0}, make([]byte, MaxData+1)...), "\x03\xf1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(nil)
			r := before(t, b)
			raw, in := rawClient(t, r.url)
			server := <-b.conns
			go func() { _, _ = raw.Write(sent.frame) }() // fails when the proxy has had enough
			requireClosed(t, server, transport.StatusAbnormal, "")
			require.NoError(t, server.Close(transport.StatusAbnormal, ""))
			head := make([]byte, 4)
			_, err := in.Read(head)
			require.NoError(t, err)
			require.Equal(t, byte(0x88), head[0])
			require.Equal(t, sent.code, string(head[2:]))
			require.NoError(t, raw.Close())
			entries := r.await(t, 1, ofKind(capture.Close))
			require.Len(t, entries, 3)
			require.Equal(t, capture.Note, entries[1].Kind)
			require.Contains(t, entries[1].Reason, "the client's connection is cut")
			require.Equal(t, []capture.Entry{{Conn: "1", Kind: capture.Close, Code: 1006}}, brief(entries[2:]))
		})
	}
}

func TestARefusalIsHandedOn(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("Device not found\n", 200)
	for _, status := range []int{http.StatusFound, http.StatusNotFound, http.StatusServiceUnavailable, http.StatusOK} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			r := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Websocket-Reject-Reason", "no such room")
				w.Header().Set("Location", "http://"+r.Host+"/elsewhere")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/ws?x=y", nil)
			require.NoError(t, err)
			req.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
				"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
			}
			resp := roundTrip(t, req)
			require.Equal(t, status, resp.StatusCode)
			require.Equal(t, "no such room", resp.Header.Get("X-Websocket-Reject-Reason"))
			require.Equal(t, r.url+"/elsewhere", resp.Header.Get("Location"))
			require.Equal(t, body, resp.body)
			entries, _ := r.journal.After(0)
			require.Equal(t, []capture.Entry{
				{Conn: "1", Kind: capture.Open, From: capture.Client, URL: "/ws?x=y", Status: status, Data: []byte(body)},
			}, brief(entries))
			require.Equal(t, "no such room", entries[0].Header["X-Websocket-Reject-Reason"])
		})
	}
}

func TestATargetThatIsDownIsABadGateway(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close()
	r := beforeAddress(t, &Options{Target: web.URL})
	_, err := wsconn.Dial(t.Context(), r.url, nil)
	refused, ok := errors.AsType[*wsconn.DialError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, http.StatusBadGateway, refused.StatusCode)
	require.Contains(t, refused.Body, "there is no connection to the target")
	entries, _ := r.journal.After(0)
	require.Len(t, entries, 2)
	require.Equal(t, capture.Open, entries[0].Kind)
	require.Equal(t, http.StatusBadGateway, entries[0].Status)
	require.Equal(t, capture.Note, entries[1].Kind)
	require.Equal(t, "1", entries[1].Conn)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/page.html", nil)
	require.NoError(t, err)
	resp := roundTrip(t, req)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
	entries, _ = r.journal.After(2)
	require.Len(t, entries, 3)
	require.Equal(t, capture.Request, entries[0].Kind)
	require.Equal(t, capture.Note, entries[1].Kind)
	require.Equal(t, capture.Response, entries[2].Kind)
	require.Equal(t, capture.Side(""), entries[2].From)
	require.Equal(t, http.StatusBadGateway, entries[2].Status)
	require.Equal(t, resp.body, string(entries[2].Data))
}

func TestATargetThatBreaksTheHandshakeIsABadGateway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ key, header string }{
		"a wrong key":              {key: "another"},
		"a protocol nobody wanted": {header: "Sec-WebSocket-Protocol: x\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				raw, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer raw.Close()
				key := cmp.Or(c.key, r.Header.Get("Sec-WebSocket-Key")) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
				accept := sha1.Sum([]byte(key))
				_, _ = fmt.Fprintf(raw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"+
					"Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
					base64.StdEncoding.EncodeToString(accept[:]), c.header)
			}))
			_, err := wsconn.Dial(t.Context(), r.url, nil)
			refused, ok := errors.AsType[*wsconn.DialError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, http.StatusBadGateway, refused.StatusCode)
			entries, _ := r.journal.After(0)
			require.Len(t, entries, 2)
			require.Equal(t, http.StatusBadGateway, entries[0].Status)
			require.Equal(t, capture.Note, entries[1].Kind)
			require.Contains(t, entries[1].Reason, map[bool]string{true: "Accept", false: "Protocol"}[c.key != ""])
		})
	}
}

func TestAClientThatGoesBeforeTheTargetHasAnsweredIsNoted(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	r := before(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := wsconn.Dial(ctx, r.url, nil)
	require.ErrorIs(t, err, context.Canceled)
	entries := r.await(t, 1, ofKind(capture.Note))
	require.Len(t, entries, 1)
	require.Contains(t, entries[0].Reason, "the client has gone before")
}

func TestATargetOverTLS(t *testing.T) {
	t.Parallel()
	b := newBackend(nil)
	web := httptest.NewTLSServer(b)
	t.Cleanup(web.Close)
	web.Config.ErrorLog = nil
	trusting := beforeAddress(t, &Options{Target: strings.Replace(web.URL, "https", "wss", 1), Insecure: true})
	client := dial(t, trusting.url, nil)
	server := <-b.conns
	raw := <-b.raw
	require.NoError(t, server.Write(transport.Text, []byte("hello")))
	requireMessage(t, client, transport.Text, "hello")
	// The end of TLS inside a message is no end of that message.
	_, err := raw.Write(frame(0x81, 1000, "the beginning", false))
	require.NoError(t, err)
	require.NoError(t, raw.(*tls.Conn).Close())
	requireClosed(t, client, transport.StatusAbnormal, "")
	require.NoError(t, client.Close(transport.StatusAbnormal, ""))
	require.NoError(t, server.Close(transport.StatusAbnormal, ""))

	strict := beforeAddress(t, &Options{Target: web.URL})
	_, err = wsconn.Dial(t.Context(), strict.url, nil)
	refused, ok := errors.AsType[*wsconn.DialError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, http.StatusBadGateway, refused.StatusCode)
	require.Contains(t, refused.Body, "certificate")
}

func TestAHundredConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	r := before(t, wsconn.Handler(func(_ context.Context, c transport.Conn) error {
		for {
			typ, msg, err := c.Read(nil)
			if err != nil {
				return err
			}
			if err := c.Write(typ, msg); err != nil {
				return err
			}
		}
	}, nil))
	const conns, messages = 100, 20
	var all sync.WaitGroup
	failed := make(chan error, conns)
	for i := range conns {
		all.Go(func() {
			failed <- func() error {
				c, err := wsconn.Dial(t.Context(), fmt.Sprintf("%s/%d", r.url, i), nil)
				if err != nil {
					return err
				}
				for n := range messages {
					want := fmt.Sprint(i, " ", n)
					if err := c.Write(transport.Text, []byte(want)); err != nil {
						return err
					}
					if _, msg, err := c.Read(nil); err != nil || string(msg) != want {
						return fmt.Errorf("%q is not %q: %w", msg, want, err)
					}
				}
				return c.Close(transport.StatusNormal, "")
			}()
		})
	}
	all.Wait()
	for range conns {
		require.NoError(t, <-failed)
	}
	of := make(map[string][]string)
	names := make(map[string]string)
	for _, e := range r.await(t, conns, ofKind(capture.Close)) {
		switch e.Kind {
		case capture.Open:
			names[e.Conn] = strings.TrimPrefix(e.URL, "/")
		case capture.Message:
			of[e.Conn] = append(of[e.Conn], string(e.From)+" "+string(e.Data))
		}
	}
	require.Len(t, of, conns)
	for conn, got := range of {
		var want []string
		for n := range messages {
			m := fmt.Sprint(names[conn], " ", n)
			want = append(want, "client "+m, "server "+m)
		}
		require.Equal(t, want, got)
	}
}

func TestOneWhoDoesNotReadHoldsUpTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, err := New(&Options{Target: "ws://127.0.0.1", Journal: capture.NewJournal(nil)})
		require.NoError(t, err)
		side := func() (peer transport.Conn, s *socket) {
			peer, own := transport.Pipe()
			network, _ := net.Pipe()
			return peer, &socket{own, &rawConn{Conn: network}}
		}
		client, ofClient := side()
		server, ofServer := side()
		require.True(t, p.begin(&session{p: p, conn: "1", client: ofClient, target: ofServer}))

		require.NoError(t, client.Write(transport.Text, []byte("first")))
		written := make(chan error, 1)
		go func() { written <- client.Write(transport.Text, []byte("second")) }()
		synctest.Wait()
		require.Empty(t, written, "the proxy has taken a message though it could not hand on the one before")
		require.Equal(t, 1, p.journal.Last())
		// The other direction is not held up.
		go func() { _ = server.Write(transport.Text, []byte("other")) }()
		requireMessage(t, client, transport.Text, "other")
		requireMessage(t, server, transport.Text, "first")
		requireMessage(t, server, transport.Text, "second")
		require.NoError(t, <-written)

		require.NoError(t, client.Close(4000, "done"))
		requireClosed(t, server, 4000, "done")
		require.NoError(t, p.Close())
	})
}

func TestCloseEndsConnectionsAndRefusesOthers(t *testing.T) {
	t.Parallel()
	b := newBackend(nil)
	r := before(t, b)
	client, server := r.pair(t, b)
	closed := make(chan error, 1)
	go func() { closed <- r.proxy.Close() }()
	var both sync.WaitGroup
	both.Go(func() { requireClosed(t, client, transport.StatusGoingAway, "the inspector has ended") })
	both.Go(func() { requireClosed(t, server, transport.StatusGoingAway, "the inspector has ended") })
	both.Wait()
	require.NoError(t, <-closed)
	_, err := wsconn.Dial(t.Context(), r.url, nil)
	refused, ok := errors.AsType[*wsconn.DialError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, http.StatusServiceUnavailable, refused.StatusCode)
	entries, _ := r.journal.After(1)
	require.Equal(t, []capture.Entry{
		{Conn: "1", Kind: capture.Close, Code: 1001, Reason: "the inspector has ended"},
	}, brief(entries))
}

func TestTargetsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"", "127.0.0.1:8443", "ftp://h", "ws://", "ws://:80", "ws://u:p@h", "ws://h?q", "ws://h#f", "ws://h\x00",
	} {
		_, err := New(&Options{Target: target, Journal: capture.NewJournal(nil)})
		require.Error(t, err, "%q", target)
	}
}
