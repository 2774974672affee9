package easyrtc

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// overHTTP are the traces that are played request by request and frame by frame over
// HTTP: those in which there is more to a connection than a WebSocket of Engine.IO 4. Those
// of browsers are not among them: there two clients speak at once.
var overHTTP = []string{
	"auth_minimal", "auth_two_clients_delta", "disconnect_by_client_io", "eio3_*", "msg_binary_*", "msg_large_*", "msg_oversized_*", "msg_to_*", "order_*",
	"transport_polling_*", "transport_ws_*",
}

// notOverHTTP are those of them that are not.
var notOverHTTP = map[string]string{
	"eio3_compat_polling_upgrade_socketio2_client": overlaps,
	"transport_polling_raw":                        "it did not fetch the last answers",
	"transport_polling_upgrade_auth_during_probe":  overlaps,
	"transport_polling_upgrade_socketio_client":    overlaps,
	"eio3_compat_ws_pings":                         heartbeats,
	"transport_polling_default_pings":              heartbeats,
	"transport_polling_two_concurrent_gets":        "which of two requests comes first is not decided here",
	"transport_ws_default_ping_after_25s":          heartbeats,
	"transport_ws_no_pong_server_closes":           heartbeats,
	"transport_ws_ping_pong_300ms":                 heartbeats,
	"transport_ws_malformed_eio_close":             "our server closes the WebSocket, the original ignores the packet",
}

const (
	heartbeats = "heartbeats take their time"
	overlaps   = "when a poll ends during the change to a WebSocket is not decided here"
)

// TestServerDoesWhatTheOriginalDoesOverHTTP sends what the clients of a trace sent, as they
// sent it, and waits for what each of them heard at that place.
func TestServerDoesWhatTheOriginalDoesOverHTTP(t *testing.T) {
	t.Parallel()
	played := make(map[string]bool)
	for _, pattern := range overHTTP {
		paths, err := filepath.Glob(filepath.Join("testdata", "traces", pattern+".jsonl"))
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		for _, path := range paths {
			file := strings.TrimSuffix(filepath.Base(path), ".jsonl")
			played[file] = true
			if notOverHTTP[file] != "" {
				continue
			}
			t.Run(file, func(t *testing.T) {
				t.Parallel()
				r := &httpReplay{replay: replay{t: t, file: file, http: true}, clients: make(map[string]*httpClient)}
				r.read(path)
				r.play()
			})
		}
	}
	for file := range notOverHTTP {
		require.True(t, played[file], file)
	}
}

// An httpReplay is a replay whose clients use HTTP.
type httpReplay struct {
	replay
	url     string
	old     bool          // a connection of Engine.IO 3 is about to be opened
	opened  chan struct{} // gets a token when the ids of a connection have been made
	clients map[string]*httpClient
}

// An httpClient is a client of a trace.
type httpClient struct {
	version engineio.Version
	sid     atomic.Pointer[string] // of its session, if it polls
	ws      transport.Conn
	heard   chan string // the packets of messages, and how a WebSocket was closed
	work    sync.WaitGroup
}

func (r *httpReplay) play() {
	r.heard, r.wanted = make(map[string][]string), make(map[string][]string)
	r.used, r.ids, r.over = make(map[int]int), make(map[string]string), make(map[string]bool)
	r.opts.ICEServers = r.iceServers()
	r.opened = make(chan struct{}, 1000)
	id, sid := r.opts.NewID, r.opts.NewSID
	r.opts.NewID = func() string {
		if r.old {
			defer func() { r.opened <- struct{}{} }()
		}
		return id()
	}
	r.opts.NewSID = func() string {
		defer func() { r.opened <- struct{}{} }()
		return sid()
	}
	limit := r.opts.MessageBytes
	r.server = NewServer(&r.opts)
	h := httptest.NewServer(enginehttp.Handler(r.server.Serve, &enginehttp.Options{ReadLimit: limit}))
	r.url = h.URL
	defer func() {
		for _, c := range r.clients {
			if c.ws != nil {
				_ = c.ws.Close(transport.StatusNormal, "")
			}
		}
		require.NoError(r.t, r.server.Close())
		h.CloseClientConnections()
		for _, c := range r.clients {
			c.work.Wait()
		}
		h.Close()
	}()
	r.hearFirst()
	begin := 0
	for i, l := range r.lines {
		end := begin
		for ; end < len(r.steps) && r.steps[end].line == i; end++ {
			if st := r.steps[end]; st.what == "open" && st.eio == 3 || st.what == "say" && bytes.HasPrefix(st.data, []byte("0")) {
				r.foresee(end)
				r.old = st.eio == 3
			}
		}
		r.line(l, r.steps[begin:end])
		begin = end
	}
}

// hearFirst moves what a client hears after it has said goodbye, for the trace has it there,
// to where it says so: it would not wait for that any more.
func (r *httpReplay) hearFirst() {
	leaves := make(map[string]int) // steps
	for i := 0; i < len(r.steps); i++ {
		st := r.steps[i]
		at, left := leaves[st.client]
		switch {
		case st.what == "open", st.what == "say" && st.data[0] == '0':
			delete(leaves, st.client)
		case !left && (st.what == "say" && string(st.data) == "1" || st.what == "close"):
			leaves[st.client] = i
		case left && st.what == "hear":
			st.line = r.steps[at].line
			r.steps = slices.Insert(slices.Delete(r.steps, i, i+1), at, st)
			for client := range leaves {
				if leaves[client] >= at {
					leaves[client]++
				}
			}
		}
	}
}

// line plays one line of the trace.
func (r *httpReplay) line(l replayLine, steps []replayStep) {
	c := r.clients[l.Client]
	for _, st := range steps {
		if st.what == "open" {
			c = &httpClient{version: engineio.Version(st.eio), heard: make(chan string, 1000)}
			r.clients[l.Client] = c
		}
	}
	for len(steps) > 0 && steps[0].what == "hear" && l.Dir != "s2c" {
		r.hear(c, l.Client, maskPacket(steps[0].data))
		steps = steps[1:]
	}
	switch {
	case l.Event == "ws_open":
		r.dial(c, l.URL)
	case l.Event == "ws_close" && l.By == "client" && c.ws != nil:
		_ = c.ws.Close(transport.StatusCode(l.Code), "")
	case l.Dir == "c2s" && l.Transport == "websocket":
		typ, data := transport.Text, lengthened(l)
		if l.Binary {
			typ = transport.Binary
			data, _ = base64.StdEncoding.DecodeString(l.Frame)
		}
		_ = c.ws.Write(typ, data) // the end shows below
	case l.Dir == "c2s" && l.HTTP != nil && l.HTTP.Method == "GET":
		if len(steps) > 0 { // the first one
			c.work.Go(func() {
				for r.poll(c, l.HTTP.URL) {
				}
			})
		}
	case l.Dir == "c2s" && l.HTTP != nil:
		r.post(c, l)
	}
	if l.Dir == "s2c" && l.Transport == "polling" && ourSID.MatchString(l.Frame) && strings.Contains(l.Frame, `"pingInterval"`) {
		r.wait(c, "open")
	}
	for _, st := range steps {
		switch {
		case st.what == "open" && st.eio == 3, st.what == "say" && bytes.HasPrefix(st.data, []byte("0")) && r.nextSID != "":
			select {
			case <-r.opened:
			case <-time.After(10 * time.Second):
				require.Fail(r.t, "no id was made")
			}
		case st.what == "hear":
			r.hear(c, l.Client, maskPacket(st.data))
		case st.what == "closed":
			r.hear(c, l.Client, fmt.Sprint("closed ", st.code))
		}
	}
}

// wait demands what a client hears next.
func (r *httpReplay) wait(c *httpClient, want string) {
	select {
	case got := <-c.heard:
		if !strings.Contains(want, `"apiField"`) && strings.Contains(want, `"updateClient"`) {
			got = withoutAPIField(got)
		}
		require.Equal(r.t, want, got)
	case <-time.After(10 * time.Second):
		require.Fail(r.t, "nothing is heard", want)
	}
}

// hear demands that a client hears a packet.
func (r *httpReplay) hear(c *httpClient, client, packet string) {
	n := len(r.wanted[client])
	r.want(client, packet)
	for _, want := range r.wanted[client][n:] {
		r.wait(c, want)
	}
}

var traceSID = regexp.MustCompile(`&sid=([\w-]+)`)

// address is that of a request, with our id of the session.
func (r *httpReplay) address(c *httpClient, url string) string {
	return r.url + traceSID.ReplaceAllStringFunc(url, func(sid string) string {
		return "&sid=" + *c.sid.Load()
	})
}

func (r *httpReplay) dial(c *httpClient, url string) {
	ws, err := wsconn.Dial(r.t.Context(), r.address(c, url), &wsconn.Options{PingInterval: -1, ReadLimit: 1 << 22})
	require.NoError(r.t, err)
	c.ws = ws
	c.work.Go(func() {
		for {
			typ, data, err := ws.Read(nil)
			if err != nil {
				if code := codeOfClose(err); code != 0 {
					c.heard <- fmt.Sprint("closed ", code)
				}
				return
			}
			if p, err := engineio.ParsePacket(c.version, typ, data); err == nil && p.Type == engineio.Message {
				c.heard <- maskPacket(p.Data)
			}
		}
	})
}

var ourSID = regexp.MustCompile(`"sid":"([\w-]+)"`)

// poll polls once, and reports whether to do it again.
func (r *httpReplay) poll(c *httpClient, url string) bool {
	if sid := c.sid.Load(); sid != nil {
		url += "&sid=" + *sid
	}
	res, err := http.Get(r.url + url)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return false
	}
	packets, err := engineio.ParsePayload(c.version, body)
	if err != nil {
		r.t.Error(err)
	}
	for _, p := range packets {
		switch p.Type {
		case engineio.Open:
			c.sid.Store(new(string(ourSID.FindSubmatch(p.Data)[1])))
			c.heard <- "open"
		case engineio.Message:
			c.heard <- maskPacket(p.Data)
		case engineio.Noop, engineio.Close:
			return false
		}
	}
	return err == nil
}

func (r *httpReplay) post(c *httpClient, l replayLine) {
	body := lengthened(l)
	if l.Binary {
		body, _ = base64.StdEncoding.DecodeString(l.Frame)
	}
	res, err := http.Post(r.address(c, l.HTTP.URL), l.HTTP.ContentType, bytes.NewReader(body))
	require.NoError(r.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	if res.StatusCode == http.StatusOK {
		require.Equal(r.t, "ok", string(answer))
	}
}
