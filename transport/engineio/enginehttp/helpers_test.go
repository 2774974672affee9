package enginehttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// brief is a time-out that tests wait for.
const brief = 200 * time.Millisecond

// The lists of transports of a Dial.
var (
	onlyWebSocket = []string{enginehttp.WebSocket}
	onlyPolling   = []string{enginehttp.Polling}
	upgrading     = []string{enginehttp.Polling, enginehttp.WebSocket}
)

// A server is a Handler on loopback whose connections the test gets.
type server struct {
	*httptest.Server
	handler http.Handler
	before  func(http.ResponseWriter, *http.Request) bool // may answer instead, and then returns true
	conns   chan *enginehttp.Conn
	pending chan string    // the id of a session whose poll has nothing to answer
	active  sync.WaitGroup // requests
}

// serve starts a server. Its connections stay until the test closes them, or
// has ended.
func serve(t *testing.T, opts *enginehttp.Options) *server {
	t.Helper()
	return serveWith(t, opts, func(s *httptest.Server) { s.Start() })
}

// serveWith is serve with an HTTP server that the test starts.
func serveWith(t *testing.T, opts *enginehttp.Options, start func(*httptest.Server)) *server {
	t.Helper()
	s := &server{conns: make(chan *enginehttp.Conn, 100), pending: make(chan string, 10_000)}
	ended := make(chan struct{})
	s.handler = enginehttp.Handler(func(_ context.Context, c transport.Conn) error {
		s.conns <- c.(*enginehttp.Conn)
		<-ended
		return nil
	}, opts)
	s.Server = httptest.NewUnstartedServer(s)
	start(s.Server)
	t.Cleanup(func() {
		close(ended)
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer s.active.Done()
	if s.before != nil && s.before(w, r) {
		return
	}
	if q := r.URL.Query(); r.Method == http.MethodGet && q.Get("transport") == enginehttp.Polling {
		r = r.WithContext(waiting{r.Context(), func() { s.pending <- q.Get("sid") }})
	}
	s.handler.ServeHTTP(w, r)
}

// waiting is the context of a request that tells when somebody waits for it.
type waiting struct {
	context.Context
	tell func()
}

func (w waiting) Done() <-chan struct{} {
	w.tell()
	return w.Context.Done()
}

// dial connects to s and returns both ends, which are closed after the test.
func (s *server) dial(t *testing.T, opts *enginehttp.Options) (server, client *enginehttp.Conn) {
	t.Helper()
	c, err := enginehttp.Dial(t.Context(), s.URL, opts)
	require.NoError(t, err)
	client, server = c.(*enginehttp.Conn), <-s.conns
	t.Cleanup(func() {
		closed := make(chan error)
		go func() { closed <- client.Close(transport.StatusNormal, "") }()
		server.Close(transport.StatusNormal, "")
		<-closed
	})
	return server, client
}

// versions runs a test for both versions of the protocol.
func versions(t *testing.T, test func(t *testing.T, v engineio.Version)) {
	for _, v := range []engineio.Version{engineio.V3, engineio.V4} {
		t.Run("EIO"+v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

// An answer is what a request got.
type answer struct {
	status      int
	contentType string
	body        string
	header      http.Header
}

// request sends a request to the path of Socket.IO.
func (s *server) request(ctx context.Context, method, query, body string, header ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.URL+"/socket.io/?"+query, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(data), resp.Header}, err
}

// A session is a polling session that a test makes by hand.
type session struct {
	*server
	conn  *enginehttp.Conn // the server's side
	query string
	sid   string
}

var handshakes = regexp.MustCompile(`^(\d+:)?0\{"sid":"([\w-]{20})","upgrades":\["websocket"\],` +
	`"pingInterval":\d+,"pingTimeout":\d+,"maxPayload":\d+\}$`)

func (s *server) session(t *testing.T, v engineio.Version) *session {
	t.Helper()
	query := "EIO=" + v.String() + "&transport=polling"
	a, err := s.request(t.Context(), http.MethodGet, query, "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.status)
	sid := s.opened(t, v, a)
	p := &session{server: s, conn: <-s.conns, query: query + "&sid=" + sid, sid: sid}
	require.Equal(t, p.sid, p.conn.SID())
	require.Equal(t, v, p.conn.EngineIO())
	require.Equal(t, enginehttp.Polling, p.conn.Transport())
	return p
}

// opened returns the id of the session that an answer opens, and has the client
// leave after the test: the server's Close would wait for a poll.
func (s *server) opened(t *testing.T, v engineio.Version, a answer) (sid string) {
	t.Helper()
	m := handshakes.FindStringSubmatch(a.body)
	require.NotNil(t, m, a.body)
	t.Cleanup(func() {
		bye := engineio.AppendPayload(nil, v, engineio.Packet{Type: engineio.Close})
		query := "EIO=" + v.String() + "&transport=polling&sid=" + m[2]
		_, err := s.request(context.Background(), http.MethodPost, query, string(bye))
		require.NoError(t, err)
	})
	return m[2]
}

func (p *session) get(t *testing.T) answer {
	t.Helper()
	a, err := p.request(t.Context(), http.MethodGet, p.query, "")
	require.NoError(t, err)
	return a
}

// poll gets what a poll must bring.
func (p *session) poll(t *testing.T) string {
	t.Helper()
	a := p.get(t)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "text/plain; charset=UTF-8", a.contentType)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	return a.body
}

// await begins a poll and returns once it is pending.
func (p *session) await(t *testing.T) <-chan answer {
	t.Helper()
	answers := make(chan answer, 1)
	go func() {
		a, err := p.request(t.Context(), http.MethodGet, p.query, "")
		if err != nil {
			a.body = err.Error()
		}
		answers <- a
	}()
	for sid := range p.pending {
		if sid == p.sid {
			break
		}
	}
	return answers
}

func (p *session) postAnswer(t *testing.T, body string, header ...string) answer {
	t.Helper()
	header = append([]string{"Content-Type", "text/plain;charset=UTF-8"}, header...)
	a, err := p.request(t.Context(), http.MethodPost, p.query, body, header...)
	require.NoError(t, err)
	return a
}

// post posts what must be taken.
func (p *session) post(t *testing.T, body string) {
	t.Helper()
	a := p.postAnswer(t, body)
	require.Equal(t, answer{http.StatusOK, "text/html", "ok", a.header}, a)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
}

// requireGone checks that the session is unknown by now.
func (p *session) requireGone(t *testing.T) {
	t.Helper()
	a := p.get(t)
	body := `{"code":1,"message":"Session ID unknown"}`
	require.Equal(t, answer{http.StatusBadRequest, "application/json", body, a.header}, a)
}

// requireRead checks the next message.
func requireRead(t *testing.T, c transport.Conn, typ transport.MessageType, want string) {
	t.Helper()
	got, msg, err := c.Read(nil)
	require.NoError(t, err)
	require.Equal(t, typ, got)
	require.Equal(t, want, string(msg))
}

// requireLost checks that the peer has gone without a word.
func requireLost(t *testing.T, c transport.Conn) {
	t.Helper()
	for range 3 {
		_, _, err := c.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
		require.Equal(t, err, c.Write(transport.Text, nil))
	}
}
