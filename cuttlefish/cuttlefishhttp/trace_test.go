package cuttlefishhttp_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/transport"
)

// replayed are the traces of today's operator whose requests are answered in memory:
// those without a WebSocket connection that opened, and without its control socket.
var replayed = []string{
	"go-device-oversized", "go-device-register-lenient", "go-http-info",
	"go-poll-typical-flow", "go-document-endpoints-absent", "go-ws-unknown-device",
}

// differences are the answers that are not the operator's, by trace and request. A body
// that is not given is a text of net/http or of the WebSocket library.
var differences = map[string]struct {
	status int
	body   string
	why    string
}{
	"go-http-info GET /devices/cvd-1": {
		200, `{"device_id":"cvd-1","group_name":"","adb_port":6520,"registration_info":{"adb_port":6520,"n":1}}`,
		"without a control socket the port can come from the device_info only"},
	"go-http-info GET /devices/cvd-1/connect": {
		426, "",
		"426 says what is missing"},
	"go-http-info GET /devices/cvd-1/files/client.html": {
		404, "404 page not found\n",
		"files come from the application; the proxy to the device is an option"},
	"go-http-info GET /register_device": {
		426, "",
		"the endpoints of the protocol document are here too"},
	"go-http-info GET /connect_client": {
		426, "",
		"the endpoints of the protocol document are here too"},
	"go-document-endpoints-absent GET /register_device": {
		501, "",
		"the endpoints of the protocol document are here too; no upgrade in memory"},
	"go-document-endpoints-absent GET /connect_client": {
		501, "",
		"the endpoints of the protocol document are here too; no upgrade in memory"},
	"go-device-register-lenient GET /devices/b/adb": {
		404, "404 page not found\n",
		"no adb over WebSocket here; the operator's handler panics"},
	"go-device-register-lenient GET /devices/b/openwrt/x": {
		404, "404 page not found\n",
		"no proxy to the router here; the operator's handler panics"},
	"go-device-oversized POST /polled_connections/ID/:forward 100014": {
		400, "Invalid request: payload is neither an object nor null\n",
		"a payload over polling is what it may be over the WebSocket"},
	"go-device-oversized POST /polled_connections/ID/:forward 300014": {
		413, "Request body too large\n",
		"the connection survives; the operator says that the device has disconnected"},
}

// A traceLine is a line of a trace.
type traceLine struct {
	Event       string `json:"event"`
	Dir         string `json:"dir"`
	Role        string `json:"role"`
	Conn        string `json:"conn"`
	Frame       string `json:"frame"`
	FrameBytes  int    `json:"frame_bytes"`
	Truncated   bool   `json:"frame_truncated_in_trace"`
	Method      string `json:"method"`
	Path        string `json:"path"`
	Status      int    `json:"status"`
	ContentType string `json:"content_type"`
	Transport   string `json:"transport"`
}

func readTrace(t *testing.T, name string) []traceLine {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "testdata", "traces", name+".jsonl"))
	require.NoError(t, err)
	defer file.Close()
	var lines []traceLine
	s := bufio.NewScanner(file)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var l traceLine
		require.NoError(t, json.Unmarshal(s.Bytes(), &l))
		lines = append(lines, l)
	}
	require.NoError(t, s.Err())
	return lines
}

// A replay sends what the peers of a trace sent, and compares what they got.
type replay struct {
	*fixture
	name    string
	devices map[string]*traceDevice
	id      string // of the polled connection, in the trace
	ours    string // the same one here
	request traceLine
	reply   *httptest.ResponseRecorder // to request
	used    map[string]bool
}

// A traceDevice reads at once what comes, as a device does.
type traceDevice struct {
	conn   transport.Conn
	frames chan string // closed at the end
}

func TestHandlerAnswersTracesAsTheOperator(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	for _, name := range replayed {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, &cuttlefish.ServerOptions{ICEServers: stun}, nil)
			r := &replay{fixture: f, name: name, devices: make(map[string]*traceDevice), used: used}
			answers := 0
			for _, line := range readTrace(t, name) {
				if r.step(line) {
					answers++
				}
				synctest.Wait()
			}
			require.NotZero(t, answers, "%s holds no answer", name)
		})
	}
	for request, d := range differences {
		require.True(t, used[request], "%s: no trace holds it", request)
		require.NotEmpty(t, d.why, request)
	}
}

// step takes a line, and reports whether it was an answer to a request.
func (r *replay) step(l traceLine) bool {
	switch {
	case l.Event == "http", l.Event == "open" && l.Transport == "ws":
		r.ask(l)
	case l.Event == "http-response", l.Event == "http-error", l.Event == "open-failed":
		r.answer(l)
		return true
	case l.Role == "device":
		r.device(l)
	}
	return false
}

func (r *replay) device(l traceLine) {
	d := r.devices[l.Conn]
	switch {
	case l.Event == "open":
		conn, end := transport.Pipe()
		go r.srv.ServeOperatorDevice(r.Context(), end)
		d = &traceDevice{conn, make(chan string, 64)}
		r.devices[l.Conn] = d
		r.Cleanup(func() { conn.Close(transport.StatusNormal, "") })
		go d.read()
	case l.Event == "close" && l.Dir == "c2s":
		require.NoError(r, d.conn.Close(transport.StatusNormal, ""))
	case l.Event == "close":
		for range d.frames {
		}
	case l.Frame == "" || l.Truncated:
	case l.Dir == "c2s":
		require.NoError(r, d.conn.Write(transport.Text, []byte(l.Frame)))
	default:
		require.JSONEq(r, l.Frame, <-d.frames, "%s: to %s", r.name, l.Conn)
	}
}

func (d *traceDevice) read() {
	defer close(d.frames)
	for {
		_, msg, err := d.conn.Read(nil)
		if err != nil {
			return
		}
		d.frames <- string(msg)
	}
}

// ask makes a request.
func (r *replay) ask(l traceLine) {
	method, path, body := l.Method, l.Path, l.Frame
	var header []string
	if l.Event == "open" {
		method = "GET"
		header = []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	}
	if l.Truncated {
		body += strings.Repeat("x", l.FrameBytes-len(body)-2) + `"}`
	}
	if r.id != "" {
		path = strings.Replace(path, r.id, r.ours, 1)
	}
	l.Method = method
	r.request, r.reply = l, r.do(method, path, body, header...)
}

// answer compares the answer to the last request with that of the trace.
func (r *replay) answer(l traceLine) {
	q, w := r.request, r.reply
	request := r.name + " " + q.Method + " " + q.Path
	if r.id != "" {
		request = strings.Replace(request, r.id, "ID", 1)
	}
	if q.Truncated {
		n, err := json.Marshal(q.FrameBytes)
		require.NoError(r, err)
		request += " " + string(n)
	}
	if d, ok := differences[request]; ok {
		r.used[request] = true
		require.Equal(r, d.status, w.Code, request)
		if d.body != "" {
			r.same(request, d.body, w.Body.String())
		}
		return
	}
	require.Equal(r, l.Status, w.Code, "%s: %s", request, w.Body)
	require.Equal(r, l.ContentType, w.Header().Get("Content-Type"), request)
	want := l.Frame
	if q.Method == "POST" && q.Path == "/polled_connections" && w.Code == http.StatusOK {
		r.id, r.ours = connectionID(r, want), connectionID(r, w.Body.String())
		want = strings.Replace(want, r.id, r.ours, 1)
	}
	r.same(request, want, w.Body.String())
}

func (r *replay) same(request, want, got string) {
	if json.Valid([]byte(want)) {
		require.JSONEq(r, want, got, request)
		require.True(r, strings.HasSuffix(got, "\n"), request)
		return
	}
	require.Equal(r, want, got, request)
}

func connectionID(r *replay, reply string) string {
	var m map[string]any
	require.NoError(r, json.Unmarshal([]byte(reply), &m))
	id, ok := m["connection_id"].(string)
	require.True(r, ok)
	return id
}
