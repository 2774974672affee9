package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// scripted is a target that answers the requests of each connection with bytes as they are.
func scripted(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(c, answer)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	return "http://" + listener.Addr().String()
}

func TestATargetThatAnswersGarbageIsABadGateway(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"nothing":          "",
		"no HTTP":          "\x00\x01\x02\r\n\r\n",
		"endless header":   "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 11<<20),
		"other protocol":   "HTTP/1.1 101 Switching Protocols\r\n\r\nunseen",
		"named protocol":   "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nunseen",
		"no status":        "HTTP/1.1 042 Odd\r\nContent-Length: 0\r\n\r\n",
		"two lengths":      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"newline in names": "HTTP/1.1 200 OK\r\nX\x00: y\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := beforeAddress(t, &Options{Target: scripted(t, answer)})
			for _, path := range []string{"/page", "/.status", "/socket.io/?EIO=4&transport=polling"} {
				a := ask(t, "GET", r.url+path, "", "")
				require.Equal(t, http.StatusBadGateway, a.StatusCode, path)
				require.NotContains(t, a.body, "unseen")
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/ws", nil)
			require.NoError(t, err)
			req.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
				"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
			}
			require.Equal(t, http.StatusBadGateway, roundTrip(t, req).StatusCode)
		})
	}
}

func TestAnAnswerIsNotTwo(t *testing.T) {
	t.Parallel()
	r := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	}))
	for name, request := range map[string]string{
		"two lengths": "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n" +
			"GET /smuggled HTTP/1.1\r\n\r\n",
		"odd encoding": "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" +
			"GET /smuggled HTTP/1.1\r\n\r\n",
		"line in path":  "GET /a\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
		"line in value": "GET /a HTTP/1.1\r\nHost: h\r\nX: a\rX-Smuggled: b\r\n\r\n",
		"line escaped":  "GET /a%0d%0aX-Smuggled:%20b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"half upgrade":  "GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade, close\r\nUpgrade: smuggled\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			require.NoError(t, err)
			defer c.Close()
			_, err = io.WriteString(c, request)
			require.NoError(t, err)
			require.NoError(t, c.(*net.TCPConn).CloseWrite())
			in := bufio.NewReader(c)
			for {
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					break
				}
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Empty(t, resp.Header.Values("X-Smuggled"))
				require.False(t, resp.StatusCode == http.StatusOK && strings.HasPrefix(string(body), "GET /smuggled"), "%s", body)
			}
		})
	}
}

// Ids are what clients make up, and are remembered: however long they are, they take little.
func TestMadeUpSessionsTakeLittleMemory(t *testing.T) {
	t.Parallel()
	var n names
	first := n.session(engineIO(strings.Repeat("a", 1<<20) + "1"))
	require.NotEqual(t, first, n.session(engineIO(strings.Repeat("a", 1<<20)+"2")))
	require.Equal(t, first, n.session(engineIO(strings.Repeat("a", 1<<20)+"1")))
	n.bind(polled(strings.Repeat("b", 1<<20)), "7")
	require.Equal(t, "7", n.session(polled(strings.Repeat("b", 1<<20))))
	for i := range 2 * maxSessions {
		n.session(fmt.Sprint(i))
	}
	require.LessOrEqual(t, len(n.sessions), maxSessions)
	require.LessOrEqual(t, len(n.oldest), maxSessions)
	for id := range n.sessions {
		require.LessOrEqual(t, len(id), maxID)
	}
}

func TestADocumentDoesNotGrowWithTheNameOfAHost(t *testing.T) {
	t.Parallel()
	full := strings.Repeat(`"http://TARGET/"`, 1000)
	var r *rig
	r = before(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.ReplaceAll(full, "TARGET", strings.TrimPrefix(r.target, "http://")))
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/g/.status", nil)
	require.NoError(t, err)
	req.Host = strings.Repeat("a", 10_000)
	require.Less(t, len(roundTrip(t, req).body), 100*1000)
}

// Connections that come and go, some in the midst of a request, leave nothing behind.
func TestConnectionsThatComeAndGoLeaveNothing(t *testing.T) {
	t.Parallel()
	b := newBackend(nil)
	r := before(t, b)
	host := strings.TrimPrefix(r.url, "http://")
	for i := range 150 {
		c, err := net.Dial("tcp", host)
		require.NoError(t, err)
		_, err = io.WriteString(c, []string{
			"", "GET", "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab", "\x16\x03\x01garbage\r\n\r\n",
		}[i%5])
		require.NoError(t, err)
		c.Close()
	}
	client := dial(t, r.url+"/ws", nil)
	require.NoError(t, client.Write(transport.Text, []byte("alive")))
	for c := range b.conns { // those of clients that have gone come first
		_, msg, err := c.Read(nil)
		if err == nil {
			require.Equal(t, "alive", string(msg))
			go c.Close(transport.StatusNormal, "")
			break
		}
	}
	requireClosed(t, client, transport.StatusNormal, "")
	require.NoError(t, r.proxy.Close())
	require.Empty(t, r.proxy.sessions)
}
