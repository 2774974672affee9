package enginehttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

func TestPollsBringWhatWasWritten(t *testing.T) {
	t.Parallel()
	for v, want := range map[engineio.Version]string{
		engineio.V3: "5:4é☕😀6:b4AQL/2:40",
		engineio.V4: "4é☕😀\x1ebAQL/\x1e40",
	} {
		p := serve(t, nil).session(t, v)
		require.NoError(t, p.conn.Write(transport.Text, []byte("é☕😀")))
		require.NoError(t, p.conn.Write(transport.Binary, []byte{1, 2, 255}))
		require.NoError(t, p.conn.WriteBatch(transport.Text, [][]byte{[]byte("0")}))
		require.Equal(t, want, p.poll(t))
	}
}

func TestTextThatWouldEndItsPacketIsNotPolled(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	require.Error(t, p.conn.Write(transport.Text, []byte("a\x1e1")))
	require.NoError(t, p.conn.Write(transport.Binary, []byte{0x1e}))
	require.Equal(t, "bHg==", p.poll(t))
	p = serve(t, nil).session(t, engineio.V3)
	require.NoError(t, p.conn.Write(transport.Text, []byte("a\x1e1")))
	require.Equal(t, "4:4a\x1e1", p.poll(t))
}

// TestAPollOutlivesTheTimeoutsOfTheServer: an answer takes up to a ping interval.
func TestAPollOutlivesTheTimeoutsOfTheServer(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){
		"HTTP1": func(s *httptest.Server) { s.Start() },
		"HTTP2": func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.StartTLS()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := &enginehttp.Options{PingInterval: 3 * brief, PingTimeout: time.Minute}
			p := serveWith(t, opts, func(s *httptest.Server) {
				s.Config.ReadTimeout, s.Config.WriteTimeout = brief, brief
				start(s)
			}).session(t, engineio.V4)
			for range 2 {
				require.Equal(t, "2", p.poll(t))
				p.post(t, "3\x1e4alive")
				requireRead(t, p.conn, transport.Text, "alive")
			}
		})
	}
}

func TestAnEndedSessionIsForgotten(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.handler = enginehttp.Handler(func(_ context.Context, c transport.Conn) error {
		_, _, err := c.Read(nil)
		return err
	}, &enginehttp.Options{MaxConns: 1})
	for range 3 {
		var a answer
		for a.status != http.StatusOK { // the session before ends on its own
			var err error
			a, err = s.request(t.Context(), http.MethodGet, "EIO=4&transport=polling", "")
			require.NoError(t, err)
		}
		require.Equal(t, 1, enginehttp.Sessions(s.handler))
		query := "EIO=4&transport=polling&sid=" + s.opened(t, engineio.V4, a)
		a, err := s.request(t.Context(), http.MethodPost, query, "1")
		require.NoError(t, err)
		require.Equal(t, "ok", a.body)
	}
}

func TestAPendingPollIsAnsweredOnceThereIsSomething(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	for _, msg := range []string{"one", "two"} {
		pending := p.await(t)
		require.NoError(t, p.conn.Write(transport.Text, []byte(msg)))
		require.Equal(t, "4"+msg, (<-pending).body)
	}
}

func TestPostsBringMessages(t *testing.T) {
	t.Parallel()
	for v, bodies := range map[engineio.Version][]string{
		engineio.V3: {"5:4é☕😀6:b4AQL/2:40", "1:6", "3:4ab"},
		engineio.V4: {"4é☕😀\x1ebAQL/\x1e40", "6", "4ab"},
	} {
		p := serve(t, nil).session(t, v)
		for _, body := range bodies {
			p.post(t, body)
		}
		requireRead(t, p.conn, transport.Text, "é☕😀")
		requireRead(t, p.conn, transport.Binary, "\x01\x02\xff")
		requireRead(t, p.conn, transport.Text, "0")
		requireRead(t, p.conn, transport.Text, "ab")
	}
}

// TestTextThatSocketIO1EncodedTwiceIsRead: a body of socket.io-client 1.7.4.
func TestTextThatSocketIO1EncodedTwiceIsRead(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V3)
	var twice strings.Builder
	for _, b := range []byte("é☕😀") {
		twice.WriteRune(rune(b))
	}
	p.post(t, "15:42[\""+twice.String()+"\"]")
	requireRead(t, p.conn, transport.Text, `2["é☕😀"]`)
}

func TestOctetStreamsAreReadInV3(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V3)
	a := p.postAnswer(t, "\x00\x03\xff4é\x01\x02\xff\x04\x09", "Content-Type", "application/octet-stream")
	require.Equal(t, "ok", a.body)
	requireRead(t, p.conn, transport.Text, "é")
	requireRead(t, p.conn, transport.Binary, "\x09")
}

func TestASecondPollEndsTheSession(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	pending := p.await(t)
	second := p.get(t)
	require.Equal(t, answer{http.StatusBadRequest, "", "", second.header}, second)
	first := <-pending
	require.Equal(t, answer{http.StatusOK, "text/plain; charset=UTF-8", "1", first.header}, first)
	requireLost(t, p.conn)
	p.requireGone(t)
}

func TestAClientThatAbortsItsPollIsGone(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	ctx, abort := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := p.request(ctx, http.MethodGet, p.query, "")
		ended <- err
	}()
	require.Equal(t, p.sid, <-p.pending)
	abort()
	requireLost(t, p.conn)
	require.ErrorIs(t, <-ended, context.Canceled)
	p.requireGone(t)
}

func TestAClientThatClosesIsGone(t *testing.T) {
	t.Parallel()
	for v, packets := range map[engineio.Version][2]string{
		engineio.V3: {"5:4last1:15:4late", "1:6"},
		engineio.V4: {"4last\x1e1\x1e4late", "6"},
	} {
		p := serve(t, nil).session(t, v)
		pending := p.await(t)
		p.post(t, packets[0])
		require.Equal(t, packets[1], (<-pending).body)
		requireRead(t, p.conn, transport.Text, "last")
		requireLost(t, p.conn)
		p.requireGone(t)
	}
}

func TestCloseTellsThePollingClient(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	pending := p.await(t)
	require.NoError(t, p.conn.Close(transport.StatusGoingAway, "unseen"))
	require.Equal(t, "1", (<-pending).body)
	p.requireGone(t)
}

func TestCloseWaitsForThePollThatFetchesTheRest(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	require.NoError(t, p.conn.Write(transport.Text, []byte("last")))
	closed := make(chan error, 1)
	go func() { closed <- p.conn.Close(transport.StatusNormal, "") }()
	_, _, err := p.conn.Read(nil)
	require.ErrorIs(t, err, transport.ErrClosed)
	body := p.poll(t)
	if body == "4last" { // it came before Close
		body += "\x1e" + p.poll(t)
	}
	require.Equal(t, "4last\x1e1", body)
	require.NoError(t, <-closed)
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	p := serve(t, &enginehttp.Options{WriteTimeout: brief}).session(t, engineio.V4)
	require.NoError(t, p.conn.Close(transport.StatusNormal, ""))
	p.requireGone(t)
}

func TestAServerThatReturnsClosesTheSession(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.handler = enginehttp.Handler(func(_ context.Context, c transport.Conn) error {
		_, _, err := c.Read(nil)
		s.conns <- c.(*enginehttp.Conn)
		return err
	}, nil)
	a, err := s.request(t.Context(), http.MethodGet, "EIO=4&transport=polling", "")
	require.NoError(t, err)
	p := &session{server: s, sid: s.opened(t, engineio.V4, a)}
	p.query = "EIO=4&transport=polling&sid=" + p.sid
	pending := p.await(t)
	p.post(t, "4now")
	<-s.conns
	require.Equal(t, "1", (<-pending).body)
	p.requireGone(t)
}

func TestATooLargePostLeavesTheSessionAlone(t *testing.T) {
	t.Parallel()
	p := serve(t, &enginehttp.Options{ReadLimit: 100}).session(t, engineio.V4)
	a := p.postAnswer(t, "4"+strings.Repeat("x", 100))
	require.Equal(t, answer{http.StatusRequestEntityTooLarge, "", "", a.header}, a)
	fits := strings.Repeat("x", 99)
	p.post(t, "4"+fits)
	requireRead(t, p.conn, transport.Text, fits)
}

func TestBrokenPostsEndTheSession(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		v      engineio.Version
		body   string
		header []string
	}{
		{engineio.V4, "", nil},
		{engineio.V4, "4ok\x1e7", nil},
		{engineio.V3, "4ok", nil},
		{engineio.V4, "4ok", []string{"Content-Type", "application/octet-stream"}},
		{engineio.V3, "2:4a", []string{"Content-Type", "application/octet-stream"}},
	} {
		p := serve(t, nil).session(t, test.v)
		pending := p.await(t)
		a := p.postAnswer(t, test.body, test.header...)
		require.Equal(t, http.StatusBadRequest, a.status, "%q", test.body)
		_, _, err := p.conn.Read(nil)
		require.ErrorIs(t, err, engineio.ErrProtocol)
		require.Equal(t, http.StatusOK, (<-pending).status)
		p.requireGone(t)
	}
}

// TestFaultsBeyondTheTypeEndTheSession: what a Conn refuses on any carrier.
func TestFaultsBeyondTheTypeEndTheSession(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"2", "4\xff"} {
		p := serve(t, nil).session(t, engineio.V4)
		pending := p.await(t)
		p.post(t, body)
		_, _, err := p.conn.Read(nil)
		require.ErrorIs(t, err, engineio.ErrProtocol)
		require.Equal(t, "1", (<-pending).body)
		p.requireGone(t)
	}
}

// A slowBody is a request's body that comes when the test wants it.
type slowBody struct {
	io.ReadCloser
	read chan struct{} // receives when somebody reads
}

func (b slowBody) Read(p []byte) (int, error) {
	select {
	case b.read <- struct{}{}:
	default:
	}
	return b.ReadCloser.Read(p)
}

// slowPost begins a request whose body ends with the writer that it returns,
// once the server reads it.
func (p *session) slowPost(t *testing.T, ctx context.Context) (*io.PipeWriter, <-chan answer) {
	t.Helper()
	read := make(chan struct{}, 1)
	p.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.ContentLength < 0 {
			r.Body = slowBody{r.Body, read}
		}
		return false
	}
	body, w := io.Pipe()
	answers := make(chan answer, 1)
	go func() {
		defer close(answers)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/?"+p.query, body)
		if err != nil {
			return
		}
		if resp, err := p.Client().Do(r); err == nil {
			defer resp.Body.Close()
			data, _ := io.ReadAll(resp.Body)
			answers <- answer{status: resp.StatusCode, body: string(data)}
		}
	}()
	<-read
	return w, answers
}

func TestASecondPostEndsTheSession(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	w, first := p.slowPost(t, t.Context())
	second := p.postAnswer(t, "4second")
	require.Equal(t, answer{http.StatusBadRequest, "", "", second.header}, second)
	requireLost(t, p.conn)
	require.Equal(t, answer{status: http.StatusBadRequest}, <-first, "without the rest of its body")
	require.NoError(t, w.Close())
	p.requireGone(t)
}

func TestAClientThatAbortsItsPostIsGone(t *testing.T) {
	t.Parallel()
	p := serve(t, nil).session(t, engineio.V4)
	ctx, abort := context.WithCancel(t.Context())
	w, _ := p.slowPost(t, ctx)
	abort()
	requireLost(t, p.conn)
	require.NoError(t, w.Close())
}

func TestAPostWaitsForTheReader(t *testing.T) {
	t.Parallel()
	const messages = 5000 // more than are queued
	p := serve(t, nil).session(t, engineio.V4)
	var packets []engineio.Packet
	for i := range messages {
		packets = append(packets, engineio.Packet{Type: engineio.Message, Data: fmt.Append(nil, i)})
	}
	body := string(engineio.AppendPayload(nil, engineio.V4, packets...))
	answered := make(chan answer, 1)
	go func() {
		a, err := p.request(t.Context(), http.MethodPost, p.query, body)
		if err != nil {
			a.body = err.Error()
		}
		answered <- a
	}()
	for i := range messages {
		if i == messages/2 {
			require.Empty(t, answered)
		}
		requireRead(t, p.conn, transport.Text, fmt.Sprint(i))
	}
	require.Equal(t, "ok", (<-answered).body)
}

func TestAPostDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	p := serve(t, &enginehttp.Options{WriteTimeout: brief}).session(t, engineio.V4)
	a := p.postAnswer(t, strings.Repeat("4x\x1e", 4999)+"4x")
	require.Equal(t, http.StatusBadRequest, a.status)
	p.requireGone(t)
	for {
		_, _, err := p.conn.Read(nil)
		if err == nil {
			continue
		}
		require.ErrorIs(t, err, enginehttp.ErrNotRead)
		ce, ok := errors.AsType[*transport.CloseError](err)
		require.True(t, ok)
		require.Equal(t, transport.StatusAbnormal, ce.Code)
		return
	}
}

func TestHeartbeatsGoThroughPolls(t *testing.T) {
	t.Parallel()
	p := serve(t, &enginehttp.Options{PingInterval: time.Millisecond}).session(t, engineio.V4)
	ended := make(chan error, 1)
	go func() {
		_, _, err := p.conn.Read(nil)
		ended <- err
	}()
	for range 5 {
		require.Equal(t, "2", p.poll(t))
		p.post(t, "3")
	}
	p.post(t, "1")
	require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, <-ended)
}

func TestASilentClientEndsByHeartbeat(t *testing.T) {
	t.Parallel()
	const short = time.Millisecond
	opts := &enginehttp.Options{PingInterval: short, PingTimeout: short, WriteTimeout: brief}
	versions(t, func(t *testing.T, v engineio.Version) {
		p := serve(t, opts).session(t, v)
		_, _, err := p.conn.Read(nil)
		require.ErrorIs(t, err, engineio.ErrHeartbeat)
		require.NoError(t, p.conn.Close(transport.StatusNormal, ""))
		p.requireGone(t)
	})
}
