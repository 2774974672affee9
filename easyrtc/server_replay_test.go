package easyrtc

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// A replayLine is one line of a trace.
type replayLine struct {
	Meta *struct {
		EasyrtcOptions map[string]json.RawMessage
		Hooks          map[string]bool
	}
	Event, URL, By string
	Code           int
	Dir, Client    string
	Frame          string
	Binary         bool
	Transport      string
	HTTP           *struct {
		Method, URL, ContentType string
	}
	T float64 // milliseconds
}

// A replayStep is what happens to one client, above Engine.IO.
type replayStep struct {
	what   string // open, say, hear, close (by the client), closed (by the server)
	client string
	at     time.Duration
	data   []byte
	binary bool
	code   int
	eio    int // of open
}

// TestServerDoesWhatTheOriginalDoes plays what the clients of each trace did, and demands
// that each hears what it heard from open-easyrtc.
func TestServerDoesWhatTheOriginalDoes(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join("testdata", "traces", "*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	there := make(map[string]bool)
	for _, path := range paths {
		file := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		there[file] = true
		if why, ok := unreplayable[file]; ok {
			require.NotEmpty(t, why)
			continue
		}
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &replay{t: t, file: file}
				r.read(path)
				r.play()
			})
		})
	}
	for file := range unreplayable {
		require.True(t, there[file], file)
	}
	for file := range replayActions {
		require.True(t, there[file], file)
	}
	for _, e := range replayExceptions {
		require.True(t, there[e.file], e.file)
		require.NotContains(t, unreplayable, e.file)
		require.NotEmpty(t, e.why)
	}
}

type replay struct {
	t      *testing.T
	file   string
	steps  []replayStep
	opts   ServerOptions
	server *Server
	ends   script.Ends

	nextID, nextSID string
	heard, wanted   map[string][]string
	used            map[int]bool // exceptions
	done            map[int]bool // actions
}

var (
	replayID  = regexp.MustCompile(`"easyrtcid":"(\w+)","(?:iceConfig|msgType)"`)
	replaySID = regexp.MustCompile(`^0\{"sid":"([\w-]+)"\}$`)
)

// read reads a trace: what its server was set up with, and what happened to its clients.
func (r *replay) read(path string) {
	f, err := os.Open(path)
	require.NoError(r.t, err)
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 4<<20)
	versions := make(map[string]engineio.Version)
	for s.Scan() {
		var l replayLine
		require.NoError(r.t, json.Unmarshal(s.Bytes(), &l))
		at := time.Duration(l.T * float64(time.Millisecond))
		add := func(st replayStep) {
			st.client, st.at = l.Client, at
			r.steps = append(r.steps, st)
		}
		url := l.URL
		if l.HTTP != nil && l.Dir == "c2s" && l.HTTP.Method == "GET" {
			url = l.HTTP.URL
		}
		begins := (l.Event == "ws_open" || l.Frame == "" && l.Dir == "c2s") && strings.Contains(url, "transport=") &&
			!strings.Contains(url, "&sid=")
		switch {
		case l.Meta != nil:
			r.setUp(l.Meta.EasyrtcOptions, l.Meta.Hooks)
		case begins:
			versions[l.Client] = engineio.V4
			if strings.Contains(url, "EIO=3") {
				versions[l.Client] = engineio.V3
			}
			add(replayStep{what: "open", eio: int(versions[l.Client])})
		case l.Event == "ws_close" && l.By == "client":
			add(replayStep{what: "close", code: l.Code})
		case l.Event == "ws_close":
			add(replayStep{what: "closed", code: l.Code})
		case l.Dir != "":
			for _, p := range r.packets(l, versions[l.Client]) {
				switch {
				case p.Type == engineio.Close && l.Dir == "c2s" && l.Transport == "polling":
					add(replayStep{what: "close", code: int(transport.StatusNoStatus)})
				case p.Type != engineio.Message: // none of EasyRTC's business
				case l.Dir == "c2s":
					add(replayStep{what: "say", data: p.Data, binary: p.Binary})
				default:
					add(replayStep{what: "hear", data: p.Data, binary: p.Binary})
				}
			}
		}
	}
	require.NoError(r.t, s.Err())
}

// packets takes a frame of a trace apart.
func (r *replay) packets(l replayLine, v engineio.Version) []engineio.Packet {
	data := []byte(l.Frame)
	if l.Binary {
		var err error
		data, err = base64.StdEncoding.DecodeString(l.Frame)
		require.NoError(r.t, err)
	}
	switch {
	case l.Transport == "websocket":
		typ := transport.Text
		if l.Binary {
			typ = transport.Binary
		}
		p, err := engineio.ParsePacket(v, typ, data)
		require.NoError(r.t, err, "%s: %s", r.file, l.Frame)
		return []engineio.Packet{p}
	case l.Frame == "" || l.Frame == "ok":
		return nil
	case l.Binary:
		packets, err := engineio.ParseBinaryPayload(data)
		require.NoError(r.t, err)
		return packets
	}
	packets, err := engineio.ParsePayload(v, data)
	require.NoError(r.t, err, "%s: %s", r.file, l.Frame)
	return packets
}

// setUp takes the options of the real server.
func (r *replay) setUp(options map[string]json.RawMessage, hooks map[string]bool) {
	r.opts.AllowAll = true
	r.opts.LoginTimeout = -1 // the original waits for ever
	r.opts.NewID = func() string { return cmp.Or(r.nextID, "neverLoggedIn") }
	r.opts.NewSID = func() string { return r.nextSID }
	isOff := func(name string) bool { return string(options[name]) == "false" }
	r.opts.NoNewApplications = isOff("appAutoCreateEnable")
	r.opts.NoNewRooms = isOff("roomAutoCreateEnable")
	r.opts.NoDefaultRoom = isOff("roomDefaultEnable")
	if n := options["roomMaxConnection"]; n != nil {
		require.NoError(r.t, json.Unmarshal(n, &r.opts.RoomConnections))
	}
	for name, into := range map[string]*FieldMap{
		"appDefaultFieldObj": &r.opts.ApplicationField, "roomDefaultFieldObj": &r.opts.RoomField,
		"connectionDefaultFieldObj": &r.opts.ConnectionField,
	} {
		var fields map[string]struct {
			FieldValue  json.RawMessage
			FieldOption struct{ IsShared bool }
		}
		if options[name] == nil {
			continue
		}
		require.NoError(r.t, json.Unmarshal(options[name], &fields))
		*into = make(FieldMap)
		for name, f := range fields {
			if f.FieldOption.IsShared {
				into.Set(name, f.FieldValue)
			}
		}
	}
	if hooks["fields"] {
		r.opts.Authenticate = func(_ context.Context, l *LoginRequest) error {
			l.Field = FieldMap{"connField": {FieldName: "connField", FieldValue: []byte(`{"a":1}`)}}
			l.SessionField = FieldMap{"sessField": {FieldName: "sessField", FieldValue: []byte(`"sv"`)}}
			return nil
		}
	}
}

func (r *replay) play() {
	r.heard, r.wanted = make(map[string][]string), make(map[string][]string)
	r.used, r.done = make(map[int]bool), make(map[int]bool)
	r.opts.ICEServers = r.iceServers()
	r.server = NewServer(&r.opts)
	defer r.server.Close()
	begin := time.Now()
	for i, st := range r.steps {
		require.NoError(r.t, r.ends.Wait(st.at-time.Since(begin)))
		switch st.what {
		case "open":
			if st.eio == 3 {
				r.foresee(i)
			}
			r.ends.Connect(st.client, func(ctx context.Context, conn transport.Conn) error {
				return r.server.Serve(ctx, versioned{conn, st.eio})
			})
		case "say":
			if bytes.HasPrefix(st.data, []byte("0")) {
				r.foresee(i)
			}
			_ = r.ends.Send(st.client, script.Message{Data: st.data, Binary: st.binary}) // the end shows below
		case "close":
			_ = r.ends.Close(st.client, st.code)
		case "hear":
			r.act(st)
			r.want(st.client, maskPacket(st.data))
		case "closed":
			r.want(st.client, fmt.Sprint("closed ", st.code))
		}
		r.collect()
	}
	r.compare()
	require.NoError(r.t, r.server.Close())
	synctest.Wait()
	require.Zero(r.t, r.server.machine.Len())
	require.Empty(r.t, r.server.machine.ids)
}

// versioned is a connection that speaks some version of Engine.IO.
type versioned struct {
	transport.Conn
	version int
}

func (c versioned) EngineIO() engineio.Version { return engineio.Version(c.version) }

// iceServers returns those of the first token.
func (r *replay) iceServers() []ICEServer {
	for _, st := range r.steps {
		if st.what == "hear" {
			if m, err := Decode(st.data); err == nil {
				if token, ok := m.(*Token); ok {
					return token.MsgData.ICEConfig.ICEServers
				}
			}
		}
	}
	return nil
}

// foresee finds the ids that a client got whose connection is about to be opened.
func (r *replay) foresee(i int) {
	client := r.steps[i].client
	r.nextID, r.nextSID = "", ""
	for _, st := range r.steps[i+1:] {
		switch {
		case st.client != client:
		case st.what == "open", st.what == "say" && bytes.HasPrefix(st.data, []byte("0")):
			return
		case st.what == "hear":
			if m := replaySID.FindSubmatch(st.data); m != nil {
				r.nextSID = string(m[1])
			}
			if m := replayID.FindSubmatch(st.data); m != nil {
				r.nextID = string(m[1])
				return
			}
		}
	}
}

// A replayAction is what the server application did when a client was about to hear
// something.
type replayAction struct {
	before string // a part of it
	do     func(s *Server, easyrtcid string, m Message) error
}

// act does what the server application did.
func (r *replay) act(st replayStep) {
	for i, a := range replayActions[r.file] {
		if r.done[i] || !strings.Contains(string(st.data), a.before) {
			continue
		}
		r.done[i] = true
		m, err := Decode(st.data)
		require.NoError(r.t, err)
		id := ""
		for sess := range r.server.Sessions() { // of one of them, or of the only one that is still there
			if c, ok := sess.Client(); ok && (id == "" || strings.Contains(string(st.data), c.EasyrtcID)) {
				id = c.EasyrtcID
			}
		}
		require.NoError(r.t, a.do(r.server, id, m))
		synctest.Wait()
		return
	}
}

// want adds a line to what a client must hear.
func (r *replay) want(client, line string) {
	for i, e := range replayExceptions {
		if e.file == r.file && (e.client == "" || e.client == client) && strings.Contains(line, e.theirs) {
			r.used[i] = true
			if e.drop {
				return
			}
			line = strings.ReplaceAll(line, e.theirs, e.ours)
		}
	}
	r.wanted[client] = append(r.wanted[client], strings.Split(line, "\n")...)
}

// collect writes down what the clients have heard.
func (r *replay) collect() {
	for _, client := range slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, st := range r.steps {
			if !yield(st.client) {
				return
			}
		}
	})) {
		for e, ok := r.ends.Next(client, false); ok; e, ok = r.ends.Next(client, false) {
			if e.Closed != 0 {
				r.heard[client] = append(r.heard[client], fmt.Sprint("closed ", e.Closed))
			} else {
				r.heard[client] = append(r.heard[client], maskPacket(e.Data))
			}
		}
	}
}

func (r *replay) compare() {
	for _, client := range slices.Sorted(maps.Keys(r.wanted)) {
		want, got := r.wanted[client], r.heard[client]
		for i := range max(len(want), len(got)) {
			require.Equal(r.t, replayLineOf(want, i), replayLineOf(got, i), "%s of %s hears in its line %d", client, r.file, i)
		}
	}
	for client, lines := range r.heard {
		require.Len(r.t, lines, len(r.wanted[client]), client)
	}
	for i, e := range replayExceptions {
		require.True(r.t, e.file != r.file || r.used[i], "an exception for nothing: %+v", e)
	}
	require.Len(r.t, r.done, len(replayActions[r.file]), "an action that did not happen")
}

func replayLineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// maskPacket returns a packet without its times, and with the members of objects in
// order.
func maskPacket(data []byte) string {
	at := bytes.IndexAny(data, "[{")
	if at < 0 {
		return string(data)
	}
	var v any
	if json.Unmarshal(data[at:], &v) != nil {
		return "binary " + base64.StdEncoding.EncodeToString(data)
	}
	maskTimes(v)
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data[:at]) + string(b)
}

func maskTimes(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			maskTimes(x)
		}
	case map[string]any:
		for name, x := range v {
			if _, ok := x.(float64); ok && (name == "serverTime" || name == "roomJoinTime") {
				v[name] = "T"
			}
			maskTimes(x)
		}
	}
}

// A replayException is where our server does otherwise than the original.
type replayException struct {
	file, client string // of every client if that is ""
	theirs       string // a part of what the client hears from the original
	ours         string
	drop         bool // it hears nothing in place of that
	why          string
}

var replayExceptions = []replayException{}

// replayActions are what the server applications of the traces did.
var replayActions = map[string][]replayAction{}

// unreplayable are the traces that our server cannot be compared with in this way.
var unreplayable = map[string]string{}
