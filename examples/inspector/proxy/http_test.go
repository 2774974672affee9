package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

type answer struct {
	*http.Response
	body string
}

// roundTrip makes a request on a connection of its own, and follows no redirection.
func roundTrip(t *testing.T, req *http.Request) *answer {
	t.Helper()
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return &answer{resp, string(body)}
}

func ask(t *testing.T, method, address, contentType, body string) *answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	require.NoError(t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return roundTrip(t, req)
}

// canned answers each path with a type of its own.
func canned(w http.ResponseWriter, r *http.Request) {
	types := map[string]string{
		"/page": "text/html; charset=utf-8", "/script.js": "text/javascript", "/image": "image/png",
		"/api": "application/json; charset=utf-8", "/sdp": "application/sdp", "/infra_config": "text/plain",
		"/socket.io/": "text/plain",
	}
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", types[r.URL.Path])
	w.Header().Set("X-Encoding", r.Header.Get("Accept-Encoding"))
	fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Host, body)
}

func TestPagesPassWithoutAWord(t *testing.T) {
	t.Parallel()
	r := before(t, http.HandlerFunc(canned))
	host := strings.TrimPrefix(r.target, "http://")
	for _, path := range []string{"/page", "/script.js", "/image"} {
		require.Equal(t, "GET "+path+"?a=;%20 "+host+" ", ask(t, "GET", r.url+path+"?a=;%20", "", "").body)
	}
	require.Zero(t, r.journal.Last())
}

func TestSignalingOverHTTPIsTakenDown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ method, path, contentType, body, conn string }{
		"JSON":              {"GET", "/api?x=1", "", "", "http"},
		"SDP":               {"GET", "/sdp", "", "", "http"},
		"by address":        {"GET", "/infra_config", "", "", "http"},
		"by method":         {"POST", "/page", "application/sdp", "v=0\r\n", "http"},
		"PATCH":             {"PATCH", "/group/x/.whip/1", "application/trickle-ice-sdpfrag", "a=b", "http"},
		"DELETE":            {"DELETE", "/group/x/.whip/1", "", "", "http"},
		"polling":           {"GET", "/socket.io/?EIO=4&transport=polling&sid=x", "", "", "1"},
		"polled binary":     {"POST", "/socket.io/?EIO=3&transport=polling&sid=x", "application/octet-stream", "\x00\xff", "1"},
		"polled connection": {"GET", "/polled_connections/abc/messages?start=0", "", "", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := before(t, http.HandlerFunc(canned))
			resp := ask(t, c.method, r.url+c.path, c.contentType, c.body)
			require.Equal(t, c.method+" "+c.path+" "+strings.TrimPrefix(r.target, "http://")+" "+c.body, resp.body)
			require.Empty(t, resp.Header.Get("X-Encoding"))
			entries, _ := r.journal.After(0)
			var data []byte
			if c.body != "" {
				data = []byte(c.body)
			}
			require.Equal(t, []capture.Entry{
				{Conn: c.conn, Kind: capture.Request, From: capture.Client, URL: c.path, Data: data},
				{
					Conn: c.conn, Kind: capture.Response, From: capture.Server, URL: c.path, Status: 200,
					Data: []byte(resp.body),
				},
			}, brief(entries))
			require.Equal(t, c.method, entries[0].Method)
			require.Equal(t, c.method, entries[1].Method)
			require.Equal(t, c.contentType, entries[0].Header["Content-Type"])
			require.Equal(t, resp.Header.Get("Content-Type"), entries[1].Header["Content-Type"])
		})
	}
}

func TestFilesThatAreSentAreNotTakenDown(t *testing.T) {
	t.Parallel()
	r := before(t, http.HandlerFunc(canned))
	require.Contains(t, ask(t, "POST", r.url+"/page", "image/png", "pixels").body, "pixels")
	entries, _ := r.journal.After(0)
	require.Len(t, entries, 2)
	require.Nil(t, entries[0].Data)
}

func TestAPendingRequestIsSeenBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	r := before(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		fmt.Fprint(w, "2")
	}))
	got := make(chan string, 1)
	go func() { got <- ask(t, "GET", r.url+"/socket.io/?EIO=4&transport=polling&sid=x", "", "").body }()
	require.Len(t, r.await(t, 1, ofKind(capture.Request)), 1)
	close(release)
	require.Equal(t, "2", <-got)
}

func TestAClientThatDoesNotWaitIsNoted(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	r := before(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/socket.io/?EIO=4&transport=polling&sid=x", nil)
	require.NoError(t, err)
	go func() {
		<-asked
		cancel()
	}()
	_, err = (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.Error(t, err)
	entries := r.await(t, 1, ofKind(capture.Note))
	require.Len(t, entries, 2)
	require.Equal(t, "1", entries[1].Conn)
	require.Contains(t, entries[1].Reason, "has not waited")
}

func TestAnAnswerThatBreaksOffBreaksOffForTheClient(t *testing.T) {
	t.Parallel()
	r := before(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, `{"half":`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/api", nil)
	require.NoError(t, err)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.Error(t, err)
	require.Equal(t, `{"half":`, string(body))
	entries := r.await(t, 1, ofKind(capture.Note))
	require.Equal(t, `{"half":`, string(entries[1].Data))
	require.Equal(t, 100, entries[1].Cut)
}

func TestBodiesPassWholeAndAreCutInTheJournal(t *testing.T) {
	t.Parallel()
	r := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, r.Body)
	}))
	long := strings.Repeat("0123456789abcdef", MaxData/16) + "the end"
	resp := ask(t, "POST", r.url+"/api", "application/json", long)
	require.True(t, resp.body == long, "%d bytes", len(resp.body))
	entries, _ := r.journal.After(0)
	require.Len(t, entries, 2)
	for _, e := range entries {
		require.True(t, string(e.Data) == long[:MaxData])
		require.Greater(t, e.Cut, MaxData)
	}
	require.Equal(t, len(long), entries[0].Cut)
}

func TestEventsStreamThrough(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	r := before(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 2 {
			fmt.Fprint(w, "data: x\n\n")
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/events", nil)
	require.NoError(t, err)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for range 2 {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "data: x\n", line)
		_, err = lines.ReadString('\n')
		require.NoError(t, err)
		next <- struct{}{}
	}
}

// status is Galène's status of a group, with the host of the server.
const status = `{"location":"http://%[1]s/group/lab/","endpoint":"ws://%[1]s/ws","authServer":"https://other/"}`

func TestClientsStayWithTheProxy(t *testing.T) {
	t.Parallel()
	r := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", strings.ReplaceAll(r.URL.Query().Get("to"), "HOST", r.Host))
		w.Header().Add("Set-Cookie", "io=a; Path=/; HttpOnly; Secure; SameSite=None; Domain=127.0.0.1")
		w.Header().Add("Set-Cookie", "b=\"c d\"; SameSite=Lax")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusFound)
		fmt.Fprintf(w, status, r.Host)
	}))
	host := strings.TrimPrefix(r.url, "http://")
	for to, want := range map[string]string{
		"http://HOST/a%2Fb?q=1#f":  "http://" + host + "/a%2Fb?q=1#f",
		"https://HOST/":            "http://" + host + "/",
		"wss://HOST/ws":            "ws://" + host + "/ws",
		"/group/x/.whip/1":         "/group/x/.whip/1",
		"below?x":                  "below?x",
		"https://elsewhere.org/ws": "https://elsewhere.org/ws",
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/group/lab/.status", nil)
		require.NoError(t, err)
		req.URL.RawQuery = "to=" + strings.NewReplacer("?", "%3F", "#", "%23", "%2F", "%252F").Replace(to)
		resp := roundTrip(t, req)
		require.Equal(t, want, resp.Header.Get("Location"))
		require.Equal(t, []string{"io=a; Path=/; HttpOnly", `b="c d"; SameSite=Lax`}, resp.Header.Values("Set-Cookie"))
		require.Equal(t, fmt.Sprintf(status, host), resp.body)
		require.Equal(t, int64(len(resp.body)), resp.ContentLength)
		entries, _ := r.journal.After(r.journal.Last() - 1)
		require.Contains(t, string(entries[0].Data), r.target, "the journal has what the server has said")
	}
}

func TestATargetBelowAPath(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://"+r.Host+"/base/x%2Fy/next")
		fmt.Fprint(w, r.RequestURI)
	}))
	t.Cleanup(web.Close)
	r := beforeAddress(t, &Options{Target: web.URL + "/base/x%2Fy/"})
	resp := ask(t, "GET", r.url+"/a%2Fb//c?q", "", "")
	require.Equal(t, "/base/x%2Fy/a%2Fb//c?q", resp.body)
	require.Equal(t, r.url+"/next", resp.Header.Get("Location"))
}

func TestTheOriginOfItsOwnPagesIsTheTargetsAndOfOthersWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		fmt.Fprint(w, r.Header.Get("Origin"))
	}))
	t.Cleanup(web.Close)
	for _, all := range []bool{false, true} {
		r := beforeAddress(t, &Options{Target: web.URL, RewriteOrigin: all})
		host := strings.TrimPrefix(r.url, "http://")
		port := host[strings.LastIndexByte(host, ':'):]
		for _, c := range []struct {
			host, origin string
			ours         bool
		}{
			{host, r.url, true},
			{"localhost" + port, "http://localhost" + port, true},
			{"localhost" + port, "http://LOCALHOST" + port, true},
			{host, "https://" + host, all},
			{host, "http://localhost" + port, all},
			{host, "http://page.example.org", all},
			{"page.example.org", "http://page.example.org", all}, // somebody's name for this machine
			{host, "null", all},
			{host, "http://%", all},
		} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/", nil)
			require.NoError(t, err)
			req.Host = c.host
			req.Header.Set("Origin", c.origin)
			resp := roundTrip(t, req)
			want := c.origin
			if c.ours {
				want = web.URL
			}
			require.Equal(t, want, resp.body, "%+v", c)
			require.Equal(t, c.origin, resp.Header.Get("Access-Control-Allow-Origin"))
		}
		require.Empty(t, ask(t, "GET", r.url+"/", "", "").body)
	}
}

func TestAProxyOfHTTPItIsNot(t *testing.T) {
	t.Parallel()
	r := before(t, http.HandlerFunc(canned))
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url, nil)
	require.NoError(t, err)
	req.URL.Opaque = "http://elsewhere.example.org/"
	require.Equal(t, http.StatusBadRequest, roundTrip(t, req).StatusCode)
}

func TestHeadersOfOtherProxiesPassAndUpgradesToOtherProtocolsDoNot(t *testing.T) {
	t.Parallel()
	r := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Values("X-Forwarded-For"), r.Header.Get("Upgrade"), r.Header.Get("Connection"))
	}))
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/infra_config", nil)
	require.NoError(t, err)
	req.Header = http.Header{
		"X-Forwarded-For": {"192.0.2.1", "192.0.2.2"}, "Connection": {"Upgrade"}, "Upgrade": {"h2c"},
	}
	require.Equal(t, "[192.0.2.1 192.0.2.2]", roundTrip(t, req).body)
}

func TestConnectionsHaveNumbersAndOtherRequestsTheAddressOfTheirClient(t *testing.T) {
	t.Parallel()
	var n names
	require.Equal(t, "1", n.next())
	require.Equal(t, "2", n.session("a"))
	n.bind("b", "1")
	n.bind("a", "1") // it has one already
	require.Equal(t, "1", n.session("b"))
	require.Equal(t, "2", n.session("a"))
	require.Equal(t, "http", n.host("192.0.2.1:80"))
	require.Equal(t, "http 2", n.host("[2001:db8::1]:80"))
	require.Equal(t, "http", n.host("192.0.2.1:81"))
	require.Equal(t, "http 3", n.host("no address"))
	for i := range maxSessions {
		n.session(fmt.Sprint("session ", i))
	}
	require.Len(t, n.sessions, maxSessions)
	require.Equal(t, fmt.Sprint(3+maxSessions), n.session("a"), "the oldest are forgotten")
}
