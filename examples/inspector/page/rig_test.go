package page

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// A rig is a page that is served.
type rig struct {
	t      *testing.T
	server *httptest.Server
}

func newRig(t *testing.T, opts *Options) *rig {
	t.Helper()
	s := httptest.NewServer(New(opts))
	t.Cleanup(func() {
		s.CloseClientConnections() // event streams end with their readers
		s.Close()
	})
	return &rig{t, s}
}

// ask sends a request and returns what comes back.
func (r *rig) ask(method, path, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+path, strings.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.server.Client().Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp, string(text)
}

// get returns the JSON of an answer.
func get[T any](r *rig, path string) T {
	r.t.Helper()
	resp, text := r.ask("GET", path, "")
	require.Equal(r.t, http.StatusOK, resp.StatusCode, text)
	require.Equal(r.t, "application/json", resp.Header.Get("Content-Type"))
	var v T
	require.NoError(r.t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// add sends a file and returns its id.
func (r *rig) add(query, file string) string {
	r.t.Helper()
	resp, text := r.ask("POST", "/api/recordings?"+query, file)
	require.Equal(r.t, http.StatusCreated, resp.StatusCode, text)
	var made struct{ ID string }
	require.NoError(r.t, json.Unmarshal([]byte(text), &made))
	return made.ID
}

// refused sends a file that is not taken, and returns why.
func (r *rig) refused(query, file string) string {
	r.t.Helper()
	resp, text := r.ask("POST", "/api/recordings?"+query, file)
	require.Equal(r.t, http.StatusBadRequest, resp.StatusCode, text)
	var why struct{ Error string }
	require.NoError(r.t, json.Unmarshal([]byte(text), &why))
	require.NotEmpty(r.t, why.Error)
	return why.Error
}

// An event is one of a stream.
type event struct {
	name, id, data string
}

// arrows returns the numbers of the arrows in an event.
func (e event) arrows(t *testing.T) []int {
	t.Helper()
	require.Equal(t, "arrows", e.name)
	var arrows []struct{ Number int }
	require.NoError(t, json.Unmarshal([]byte(e.data), &arrows))
	numbers := make([]int, len(arrows))
	for i, a := range arrows {
		numbers[i] = a.Number
	}
	return numbers
}

// A stream reads events.
type stream struct {
	t     *testing.T
	body  io.ReadCloser
	lines *bufio.Scanner
}

func (r *rig) stream(id string, headers ...string) *stream {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "GET", r.server.URL+"/api/recordings/"+id+"/arrows", nil)
	require.NoError(r.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.server.Client().Do(req)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { resp.Body.Close() })
	require.Equal(r.t, http.StatusOK, resp.StatusCode)
	require.Equal(r.t, "text/event-stream", resp.Header.Get("Content-Type"))
	s := bufio.NewScanner(resp.Body)
	s.Buffer(nil, 64<<20)
	return &stream{r.t, resp.Body, s}
}

// next returns the next event that is no comment.
func (s *stream) next() event {
	s.t.Helper()
	var e event
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				return e
			}
		}
	}
	require.FailNow(s.t, "the stream has ended", "%v", s.lines.Err())
	return e
}

// numbers reads events of arrows until there are n, and returns their numbers.
func (s *stream) numbers(n int) []int {
	s.t.Helper()
	var all []int
	for len(all) < n {
		all = append(all, s.next().arrows(s.t)...)
	}
	require.Len(s.t, all, n)
	return all
}

// upTo returns the numbers from one to another.
func upTo(from, to int) []int {
	var all []int
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

// chat is a message of Galène's.
func chat(text string) capture.Entry {
	return capture.Entry{Conn: "1", Kind: capture.Message, From: capture.Client,
		Data: fmt.Appendf(nil, `{"type":"chat","source":"s","dest":"","value":%q}`, text)}
}

const secretJoin = `{"type":"join","kind":"join","group":"g","username":"u","password":"hunter2"}`

// conversation is a recording of Galène's with a secret, something that cannot be read and a refusal.
func conversation() *capture.File {
	messages := []capture.Entry{
		{Kind: capture.Open, From: capture.Client, URL: "/ws?token=hunter2", Header: map[string]string{"Cookie": "hunter2"}},
		{Kind: capture.Message, From: capture.Client, Data: []byte(`{"type":"handshake","version":["2"],"id":"id-1"}`)},
		{Kind: capture.Message, From: capture.Server, Data: []byte(`{"type":"handshake","version":["2"]}`)},
		{Kind: capture.Message, From: capture.Client, Data: []byte(secretJoin)},
		{Kind: capture.Message, From: capture.Client, Data: []byte(`{"type":`)},
		{Kind: capture.Close, From: capture.Server, Code: 1000},
	}
	for i := range messages {
		messages[i].Seq, messages[i].Conn = i+1, "1"
	}
	return &capture.File{Protocol: "galene", Target: "ws://127.0.0.1:8443", Entries: messages}
}

// written returns a file as it is on disk.
func written(t *testing.T, f *capture.File) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, capture.WriteFile(&b, f, nil))
	return b.String()
}
