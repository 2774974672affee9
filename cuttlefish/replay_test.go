package cuttlefish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// wholeFlows are the traces that say nothing about the machine's connections.
var wholeFlows = map[string]string{
	"cpp-large-messages":           "its frames are cut in the trace; the limits are tested in server_test.go",
	"cpp-polling":                  "HTTP, tested in cuttlefishhttp",
	"cpp-real-browser-poll":        "the client's end is HTTP, tested in cuttlefishhttp",
	"cpp-unknown-path":             "HTTP, tested in cuttlefishhttp",
	"go-control-pre-register":      "the control socket of today's operator is not part of the protocol",
	"go-device-oversized":          "its frames are cut in the trace; the limits are tested in server_test.go",
	"go-http-info":                 "HTTP, tested in cuttlefishhttp",
	"go-poll-typical-flow":         "the client's end is HTTP, tested in cuttlefishhttp",
	"go-real-browser-poll":         "the client's end is HTTP, tested in cuttlefishhttp",
	"go-real-goclient-poll":        "the client's end is HTTP and not in the trace",
	"go-document-endpoints-absent": "HTTP, tested in cuttlefishhttp",
	"go-ws-oversized":              "its frames are cut in the trace; the limits are tested in server_test.go",
	"go-ws-unknown-device":         "HTTP, tested in cuttlefishhttp",
	"go2021-polling":               "the client's end is HTTP, tested in cuttlefishhttp",
}

// An exception is where the machine's answer to a connection differs from the recorded
// one, after what both begin with and before what both end with.
type exception struct {
	flow, conn     string
	recorded, ours string // separated by spaces
	reason         string
}

var exceptions = []exception{
	{"cpp-client-bad-frames", "client-3", `{"error":"Invalid message format: '{"message_type":1}'"}`, `{"error":"Invalid message format: '{\"message_type\":1}'"}`, whyQuoted},
	{"cpp-device-bad-frames", "device-5", `{"error":"Invalid message format: '{"message_type":1}'"}`, `{"error":"Invalid message format: '{\"message_type\":1}'"}`, whyQuoted},
	{"cpp-device-bad-frames", "device-6", `{"error":"Invalid message format: '{"type":"register","device_id":"a"}'"}`, `{"error":"Invalid message format: '{\"type\":\"register\",\"device_id\":\"a\"}'"}`, whyQuoted},
	{"cpp-device-bad-frames", "device-9", recordedConfig, `{"error":"Received Invalid JSON"} closed-1007`, whyStrict},
	{"cpp-device-bad-frames", "device-10", recordedConfig, `{"error":"Received Invalid JSON"} closed-1007`, whyStrict},
	{"cpp-device-bad-frames", "device-11", `{"error":"Forward failed: Missing or invalid client id"}`, `{"error":"Received Invalid JSON"}`, whyStrict},
	{"cpp-device-bad-frames", "device-13", `{"error":"Unknown message type: nonsense"}`, `{"error":"Received Invalid JSON"} closed-1007`, whyStrict},
	{"cpp-device-leaves-client-attached", "client-1", `{"error":"Forward failed: Device disconnected"}`, `{"error":"Device disconnected"}`, "a client is told at once that its device has left, and not with its next forward"},
	{"cpp-register-duplicate-id", "client-1", `{"device_info":{"n":3},"message_type":"device_info"}`, `{"device_info":{"n":1},"message_type":"device_info"}`, whyTaken},
	{"cpp-register-duplicate-id", "device-1", "", `{"client_id":1,"message_type":"client_disconnected"}`, whyTaken},
	{"cpp-register-duplicate-id", "device-2", "", `{"error":"Device id already taken:  t-dup\n"}`, whyTaken},
	{"cpp-register-duplicate-id", "device-3", recordedConfig + ` {"client_id":1,"message_type":"client_disconnected"}`, `{"error":"Device id already taken:  t-dup\n"} closed-1008`, whyTaken},
	{"cpp-unicode-and-numbers", "device-1", `closed-1006`, `{"client_id":1,"message_type":"client_disconnected"}`, "the recorder closed the device with the client, and did not see the last message"},
	{"go-device-forward-errors", "client-2", "", `{"error":"Device disconnected"}`, whyRace},
	{"go-device-forward-errors", "client-8", "", `{"error":"Device disconnected"}`, whyRace},
	{"go-device-forward-errors", "client-12", "", `{"error":"Device disconnected"}`, whyRace},
	{"go-device-forward-errors", "client-6", `closed-1006`, `{"message_type":"device_msg","payload":{}}`, whyWhole},
	{"go-device-forward-errors", "device-6", `closed-0`, "", whyWhole},
	{"go-ws-typical-flow", "device-1", `{"error":"Client disconnected:  1\n"}`, `{"client_id":1,"message_type":"client_disconnected"}`, whyGone},
	{"go2021-typical-flow", "device-1", `{"error":"Client disconnected:  1\n"}`, `{"client_id":1,"message_type":"client_disconnected"} {"client_id":1,"message_type":"client_disconnected"} {"client_id":2,"message_type":"client_disconnected"}`, whyGone},
	{"go2021-device-errors", "device-1", `{"error":"First device message must be the registration"} closed-1005`, `{"error":"Forward failed: Unknown client 1"}`, "as in the C++ server, a device may register after a forward to nobody"},
	{"go2021-device-errors", "device-3", "", `{"error":"Missing device id in registration request"}`, whySilent},
	{"go2021-device-errors", "device-4", "", `{"error":"Received Invalid JSON"}`, whySilent},
	{"go2021-device-errors", "device-5", "", `{"error":"Invalid message format: '[]'"}`, whySilent},
	{"go2021-device-errors", "device-r1", `closed-1005`, "", "as in the C++ server, an unknown type leaves the connection open"},
	{"go2021-device-errors", "device-r5", `{"error":"Unrecognized message type:  register\n"}`, `{"error":"Device already registered: cvd-5"}`, "the C++ server's text says what is wrong"},
}

const recordedConfig = `{"ice_servers":[{"urls":["stun:stun.l.google.com:19302"]}],"message_type":"config"}`

// The reasons that several exceptions share.
const (
	whyQuoted = "the C++ server does not escape what it quotes, so its frame is not JSON"
	whyStrict = "only one JSON object is a message: no comments, no duplicate names, nothing behind it"
	whyTaken  = "a taken id is refused with the Go servers' text and its holder stays; the C++ server forgets the holder and lets a third device in"
	whyRace   = "the recorder closed first; the last message of today's operator and the end of its connection race"
	whyWhole  = "1.0 is an integer, as in the C++ server"
	whyGone   = "a client that has left is announced with client_disconnected; an error makes the real device reconnect"
	whySilent = "the Go server of 2021 closes without a word, the C++ server says why"
)

// texts pairs what the Go server of November 2021 says with what this package says in
// the document's dialect, which are the C++ server's words for the same.
var texts = []struct {
	recorded *regexp.Regexp
	ours     string
}{
	{regexp.MustCompile(`^Missing device_id$`), textNoDeviceID},
	{regexp.MustCompile(`^Device forward message missing client id$`), textNoClientID},
	{regexp.MustCompile(`^Device forward message missing payload$`), textNoPayload},
	{regexp.MustCompile(`^Client disconnected:  (\d+)\n$`), "Forward failed: Unknown client $1"},
	{regexp.MustCompile(`^Unknown device id:  (.*)\n$`), "Connection failed: Device not found: '$1'"},
	{regexp.MustCompile(`^Missing or invalid device_id$`), textConnectNoID},
	{regexp.MustCompile(`^Client forward message missing payload$`), textClientNoPay},
	{regexp.MustCompile(`^Unrecognized message type:  (.*)\n$`), "Unknown message type: $1"},
}

// closeCodes maps a recorded code to those of this package. The C++ server closes with
// 1000 whatever happened, the Go server of 2021 with an empty close frame, today's
// operator with none, or with 1009 for what its WebSocket library found too big. Here
// the code says why; which one it is, the scripts tell.
var closeCodes = map[int][]int{
	0:    {1000, 1003, 1007, 1008, 1013}, // the device socket has no codes
	1000: {1000, 1003, 1007, 1008, 1009, 1013},
	1005: {1000, 1003, 1007, 1008, 1009, 1013},
	1006: {1000, 1003, 1007, 1008, 1013},
	1009: {1009},
}

// A traceLine is one line of a trace.
type traceLine struct {
	Dir, Role, Conn, Event, Path, Transport string
	Frame                                   *string
	Binary                                  bool
	Code                                    int
}

func readTrace(t *testing.T, path string) []traceLine {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var lines []traceLine
	for line := range bytes.Lines(data) {
		var l traceLine
		require.NoError(t, json.Unmarshal(line, &l))
		lines = append(lines, l)
	}
	return lines
}

// A replay plays the peers' lines of a flow and keeps what was and what is answered.
type replay struct {
	*serverWire
	conns    []string // in order of appearance
	opened   map[string]bool
	left     map[string]bool // the peer has closed
	recorded map[string][]string
	ours     map[string][]string
}

func newReplay() *replay {
	return &replay{
		serverWire: newServerWire(serverScene{ICEServers: []ICEServer{{URLs: []string{"stun:stun.l.google.com:19302"}}}}),
		opened:     make(map[string]bool), left: make(map[string]bool),
		recorded: make(map[string][]string), ours: make(map[string][]string),
	}
}

// play takes one line and reports whether it is that line's turn: what was received has
// to be received again first.
func (r *replay) play(t *testing.T, l traceLine, operator, causal bool) bool {
	if l.Role != "device" && l.Role != "client" || strings.HasPrefix(l.Event, "http") {
		return true
	}
	switch {
	case l.Event == "open" || l.Dir == "c2s" && !r.opened[l.Conn]:
		r.opened[l.Conn] = true
		r.conns = append(r.conns, l.Conn)
		args := []string{l.Role}
		if operator {
			args = append(args, "operator")
		}
		if id, ok := strings.CutSuffix(strings.TrimPrefix(l.Path, "/devices/"), "/connect"); ok {
			args = append(args, id)
		}
		require.NoError(t, r.Open(l.Conn, args), "%+v", l)
		if l.Event != "open" {
			_ = r.Send(l.Conn, script.Message{Data: []byte(*l.Frame), Binary: l.Binary})
		}
	case l.Dir == "c2s" && l.Frame != nil:
		// Where this server has closed already, the lines after that are lost.
		_ = r.Send(l.Conn, script.Message{Data: []byte(*l.Frame), Binary: l.Binary})
	case l.Dir == "c2s" && l.Event == "close":
		r.left[l.Conn] = true
		_ = r.Close(l.Conn, 1000)
	case l.Frame != nil:
		if causal && len(r.recorded[l.Conn]) >= len(r.ours[l.Conn]) {
			return false
		}
		r.recorded[l.Conn] = append(r.recorded[l.Conn], canonical(*l.Frame))
	case l.Event == "close":
		// What follows the peer's own close is the answer to it, unless the server
		// had ended the connection without a word.
		if !r.left[l.Conn] || l.Code == 1006 {
			r.recorded[l.Conn] = append(r.recorded[l.Conn], fmt.Sprintf("closed-%d", l.Code))
		}
	}
	r.collect()
	return true
}

// collect keeps what the machine has answered.
func (r *replay) collect() {
	for _, conn := range r.conns {
		for e, ok := r.Next(conn, false); ok; e, ok = r.Next(conn, false) {
			line := canonical(string(e.Data))
			if e.Closed != 0 {
				line = fmt.Sprintf("closed-%d", e.Closed)
			}
			r.ours[conn] = append(r.ours[conn], line)
		}
	}
}

// canonical writes JSON with sorted names and numbers as the recorded servers hold
// them, as float64.
func canonical(frame string) string {
	var v any
	if json.Unmarshal([]byte(frame), &v) != nil {
		return frame
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// same compares two events.
func same(recorded, ours string) bool {
	if recorded == ours {
		return true
	}
	var was, is int
	if n, _ := fmt.Sscanf(recorded, "closed-%d", &was); n == 1 {
		n, _ = fmt.Sscanf(ours, "closed-%d", &is)
		for _, code := range closeCodes[was] {
			if n == 1 && code == is {
				return true
			}
		}
		return false
	}
	var a, b struct{ Error string }
	if json.Unmarshal([]byte(recorded), &a) != nil || json.Unmarshal([]byte(ours), &b) != nil {
		return false
	}
	for _, pair := range texts {
		if pair.recorded.MatchString(a.Error) && pair.recorded.ReplaceAllString(a.Error, pair.ours) == b.Error {
			return true
		}
	}
	return false
}

// differ strips what both lists begin and end with.
func differ(recorded, ours []string) (was, is []string) {
	for len(recorded) > 0 && len(ours) > 0 && same(recorded[0], ours[0]) {
		recorded, ours = recorded[1:], ours[1:]
	}
	for len(recorded) > 0 && len(ours) > 0 && same(recorded[len(recorded)-1], ours[len(ours)-1]) {
		recorded, ours = recorded[:len(recorded)-1], ours[:len(ours)-1]
	}
	return recorded, ours
}

func TestTracesReplayOnTheServerMachine(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/traces/*.jsonl")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	flows := make(map[string][]string) // a flow seen from both ends has two files
	for _, path := range paths {
		flow, _, _ := strings.Cut(filepath.Base(path), ".")
		flows[flow] = append(flows[flow], path)
	}
	for flow := range wholeFlows {
		require.Contains(t, flows, flow, "an exception without a trace")
	}
	want := make(map[[2]string]exception)
	for _, e := range exceptions {
		require.NotEmpty(t, e.reason, "%s %s", e.flow, e.conn)
		want[[2]string{e.flow, e.conn}] = e
	}
	for flow, files := range flows {
		if _, ok := wholeFlows[flow]; ok {
			continue
		}
		r := replayFlow(t, strings.HasPrefix(flow, "go-"), files)
		require.NotEmpty(t, r.conns, "%s has no connections", flow)
		for _, conn := range r.conns {
			e := want[[2]string{flow, conn}]
			delete(want, [2]string{flow, conn})
			was, is := differ(r.recorded[conn], r.ours[conn])
			require.Equal(t, [2]string{e.recorded, e.ours}, [2]string{strings.Join(was, " "), strings.Join(is, " ")},
				"%s, %s: recorded and ours", flow, conn)
		}
	}
	require.Empty(t, want, "exceptions that do not occur")
}

// replayFlow plays the files of a flow. Those of two ends are played turn by turn: what
// an end sends, it sends after it received what it had received then.
func replayFlow(t *testing.T, operator bool, files []string) *replay {
	r := newReplay()
	sides := make([][]traceLine, len(files))
	slices.Reverse(files) // "device" before "client": it was there first
	for i, path := range files {
		sides[i] = readTrace(t, path)
	}
	for moved := true; moved; {
		moved = false
		for i := range sides {
			for len(sides[i]) > 0 && r.play(t, sides[i][0], operator, len(files) > 1) {
				sides[i] = sides[i][1:]
				moved = true
			}
		}
		if !moved && len(sides) > 1 && len(sides[1]) == 0 && !r.left[r.conns[1]] {
			// The client's recorder did not see its own end.
			r.left[r.conns[1]] = true
			require.NoError(t, r.Close(r.conns[1], 1000))
			r.collect()
			moved = true
		}
	}
	for i := range sides {
		require.Empty(t, sides[i], "%s: an answer is missing", files[i])
	}
	return r
}
