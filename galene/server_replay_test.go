package galene

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

const serverTraces = "testdata/traces/v2"

// A traceLine is one line of a trace.
type traceLine struct {
	Dir    string
	Client string
	T      float64 // milliseconds
	Msg    json.RawMessage
	Raw    *string
	Close  *struct {
		Code   int
		Reason string
	}
	Event string
}

func readServerTrace(t *testing.T, path string) []traceLine {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var lines []traceLine
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, 4<<20)
	for scanner.Scan() {
		var l traceLine
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &l))
		lines = append(lines, l)
	}
	require.NoError(t, scanner.Err())
	return lines
}

func TestServerDoesWhatGalenesDoes(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(serverTraces, "*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	used := make(map[string]bool)
	for _, path := range paths {
		file := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		used[file] = true
		if why, ok := unreplayable[file]; ok {
			require.NotEmpty(t, why)
			continue
		}
		for name, target := range map[string]func(sc serverScene) replayTarget{
			"machine": func(sc serverScene) replayTarget { return newServerWire(sc) },
			"server":  func(sc serverScene) replayTarget { return newServerPipes(sc) },
		} {
			t.Run(file+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := &replay{t: t, file: file, lines: readServerTrace(t, path)}
					r.play(target)
				})
			})
		}
	}
	for file := range unreplayable {
		require.Contains(t, used, file)
	}
	for _, e := range replayExceptions {
		require.Contains(t, used, e.file)
		require.NotContains(t, unreplayable, e.file)
		require.NotEmpty(t, e.why)
	}
}

type replayTarget interface {
	script.Target
	end(t *testing.T)
}

// A replay plays what the clients of a trace did, and compares what each of them heard.
// With media it plays the media router, too: what the real server sent about streams, but
// for what follows from what the clients did.
type replay struct {
	t     *testing.T
	file  string
	lines []traceLine
	wire  *serverWire // the target when it is a machine
	media bool
	into  replayTarget

	now    float64             // milliseconds
	gone   map[string]bool     // who ended their connections
	heard  map[string][]string // what each heard, connection after connection
	wanted map[string][]string // what each must hear
	theirs map[string][]string // what it heard in the trace
	used   map[*replayException]int
}

func (r *replay) play(target func(sc serverScene) replayTarget) {
	time.Sleep(time.Until(time.Date(2026, 11, 20, 23, 35, 0, 0, time.UTC))) // tokens of the traces have dates
	r.theirs = make(map[string][]string)
	r.gone, r.heard, r.wanted = make(map[string]bool), make(map[string][]string), make(map[string][]string)
	r.used = make(map[*replayException]int)
	if move := replayOrder[r.file]; move != nil {
		r.lines = move(r.lines)
	}
	r.into = target(r.scene())
	if w, ok := r.into.(*serverWire); ok {
		r.wire, w.server.machine.cfg.Media = w, r.media
	}
	if r.media && r.wire == nil {
		r.into.end(r.t)
		r.t.Skip("the media router is played on the machine")
	}
	require.NoError(r.t, r.into.Open(recorder, nil))
	for i, l := range r.lines {
		require.NoError(r.t, r.into.Wait(time.Duration((l.T-r.now)*float64(time.Millisecond))))
		r.now = max(r.now, l.T)
		r.collect()
		if l.Dir == "s2c" {
			r.answer(i, l)
		} else {
			r.act(l)
		}
	}
	r.collect()
	r.compare()
	r.into.end(r.t)
}

// scene is what the real server was set up with, and the ids that it made.
func (r *replay) scene() serverScene {
	var ids []string
	var sc serverScene
	own := make(map[string]bool) // by the clients
	for _, l := range r.lines {
		var m struct {
			Type, ID, Kind, Dest, Error string
			RTCConfiguration            json.RawMessage
			Value                       json.RawMessage
		}
		if l.Msg == nil {
			continue
		}
		require.NoError(r.t, json.Unmarshal(l.Msg, &m))
		id := ""
		switch {
		case m.Type == "chat" && m.Dest == "":
			id = m.ID
		case m.Type == "usermessage" && m.Kind == "token" && m.Error == "" && l.Dir == "s2c" && m.Dest == "":
			var token Token
			require.NoError(r.t, json.Unmarshal(m.Value, &token))
			id = token.Token
		case m.Type == "joined" && sc.RTCConfiguration == nil:
			sc.RTCConfiguration = m.RTCConfiguration
		case m.Type == "answer" || m.Type == "abort" || strings.HasPrefix(r.file, "14"):
			r.media = true
		}
		if l.Dir == "c2s" {
			own[id] = true
		} else if !own[id] && id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	sc.NewID = func() string {
		if len(ids) == 0 {
			return "an id more than the real server made"
		}
		id := ids[0]
		ids = ids[1:]
		return id
	}
	return sc
}

// act plays a line of a client.
func (r *replay) act(l traceLine) {
	switch {
	case l.Event == "ws-open":
		r.gone[l.Client] = false
		require.NoError(r.t, r.into.Open(l.Client, []string{"127.0.0.1:4711"}))
	case l.Close != nil:
		r.gone[l.Client] = true
		_ = r.into.Close(l.Client, l.Close.Code)
	case strings.HasPrefix(l.Event, "ws-"): // which are none of the protocol's business
	case l.Msg != nil:
		before := 0
		if r.wire != nil {
			before = len(r.wire.routed)
		}
		r.send(l.Client, script.Message{Data: l.Msg})
		r.record(l.Msg)
		if r.media && r.wire != nil {
			r.routes(l, r.wire.routed[before:])
		}
	case l.Raw != nil:
		data := []byte(*l.Raw)
		if rest, ok := bytes.CutPrefix(data, []byte("<")); ok {
			size, err := strconv.Atoi(string(rest[:bytes.IndexByte(rest, ' ')]))
			require.NoError(r.t, err)
			const begin, end = `{"type":"chat","value":"`, `"}`
			data = []byte(begin + strings.Repeat("a", size-len(begin)-len(end)) + end)
		}
		r.send(l.Client, script.Message{Data: data, Binary: l.Event == "binary-frame"})
	default:
		r.send(l.Client, script.Message{})
	}
}

// routes demands that a message about a stream has been handed to the media router.
func (r *replay) routes(l traceLine, routed []MediaEvent) {
	msg, err := Decode(l.Msg)
	require.NoError(r.t, err)
	switch msg.(type) {
	case *Request, *RequestStream, *Offer, *Answer, *ICE, *Renegotiate, *Close, *Abort:
	default:
		return
	}
	for _, e := range routed {
		if e.Peer == r.wire.Peer(l.Client).ID && name(e.Message) == name(msg) && streamOf(e.Message) == streamOf(msg) {
			return
		}
	}
	require.Contains(r.t, unrouted[r.file], name(msg)+" "+streamOf(msg), "not handed to the router")
}

// unrouted are the messages about streams that are none of the media router's business.
var unrouted = map[string][]string{
	"38-unpresent": { // all of who has lost the permission
		"close stream-1", "offer stream-2", "ice stream-2", "close stream-2",
	},
}

func (r *replay) send(client string, m script.Message) {
	if err := r.into.Send(client, m); err != nil {
		// What it says after its end the real server has not heard, either.
		require.True(r.t, r.gone[client] || strings.HasPrefix(last(r.heard[client]), "closed"), "%s: %v", client, err)
	}
}

func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// record lets the recorder come that an action calls, under the id that it had.
func (r *replay) record(msg json.RawMessage) {
	if !bytes.Contains(msg, []byte(`"kind":"record"`)) {
		return
	}
	for _, l := range r.lines {
		if l.T >= r.now && l.Dir == "s2c" && bytes.Contains(l.Msg, []byte(`"username":"RECORDING"`)) {
			var u User
			require.NoError(r.t, json.Unmarshal(l.Msg, &u))
			if u.Kind != UserAdd {
				break
			}
			require.NotNil(r.t, r.into)
			for _, m := range []string{
				fmt.Sprintf(`{"type":"handshake","version":["2"],"id":%q}`, u.ID),
				`{"type":"join","kind":"join","group":"test","username":"x"}`,
			} {
				if r.into.Send(recorder, script.Message{Data: []byte(m)}) != nil {
					return // it was not called
				}
			}
			return
		}
	}
}

// answer plays what the media router did, and writes down what a client heard.
func (r *replay) answer(i int, l traceLine) {
	if strings.HasPrefix(l.Event, "ws-") {
		if l.Event == "ws-error" { // it cut the connection
			r.gone[l.Client] = true
			_ = r.into.Close(l.Client, 1006)
		}
		return
	}
	if l.Close != nil {
		if !r.gone[l.Client] { // otherwise it is the answer to its own
			if l.Close.Code != 1006 && l.Close.Reason != "" {
				r.want(l.Client, fmt.Sprintf(`{"reason":%q}`, l.Close.Reason))
			}
			r.want(l.Client, fmt.Sprint("closed ", l.Close.Code))
			r.gone[l.Client] = true
		}
		return
	}
	line := maskTrace(l.Msg)
	r.want(l.Client, line)
	r.theirs[l.Client] = append(r.theirs[l.Client], line)
	if !r.media || r.wire == nil || r.gone[l.Client] || times(r.heard[l.Client], line) >= times(r.theirs[l.Client], line) {
		return // the machine has said it
	}
	msg, err := Decode(l.Msg)
	require.NoError(r.t, err)
	switch m := msg.(type) {
	case *Offer, *Answer, *ICE, *Renegotiate, *Close, *Abort:
	case *UserMessage:
		if !r.abortedBefore(i) {
			return
		}
		m.Dest, m.Privileged = "", false
	default:
		return
	}
	p := r.wire.Peer(l.Client)
	fx, ok := r.wire.server.machine.Media(time.Now(), p.ID, msg)
	r.wire.apply(fx)
	if !ok {
		r.heard[l.Client] = append(r.heard[l.Client], "refused to the router: "+line)
	}
	r.collect()
}

func times(lines []string, line string) (n int) {
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}

// abortedBefore reports whether a line comes right behind the abort of a stream.
func (r *replay) abortedBefore(i int) bool {
	for j := i - 1; j >= 0; j-- {
		if l := r.lines[j]; l.Client == r.lines[i].Client && l.Dir == "s2c" {
			return bytes.Contains(l.Msg, []byte(`"type":"abort"`))
		}
	}
	return false
}

// want adds a line to what a client must hear.
func (r *replay) want(client, line string) {
	for i := range replayExceptions {
		e := &replayExceptions[i]
		if e.file == r.file && (e.client == "" || e.client == client) && strings.Contains(line, e.theirs) {
			r.used[e]++
			if e.nth != 0 && e.nth != r.used[e] {
				continue
			}
			if e.before != "" {
				r.wanted[client] = append(r.wanted[client], e.before)
				continue
			}
			if line = strings.ReplaceAll(line, e.theirs, e.ours); e.drop {
				return
			}
		}
	}
	if line != "" {
		r.wanted[client] = append(r.wanted[client], strings.Split(line, "\n")...)
	}
}

// collect writes down what the clients have heard.
func (r *replay) collect() {
	for _, l := range r.lines {
		for {
			e, ok := r.into.Next(l.Client, false)
			if !ok {
				break
			}
			if e.Closed != 0 {
				r.heard[l.Client] = append(r.heard[l.Client], fmt.Sprint("closed ", e.Closed))
				continue
			}
			r.heard[l.Client] = append(r.heard[l.Client], maskTrace(e.Data))
		}
	}
}

func (r *replay) compare() {
	clients := slices.Sorted(maps.Keys(r.wanted))
	for _, client := range clients {
		want, got := sortRosters(r.wanted[client]), sortRosters(r.heard[client])
		if len(got) > len(want) && r.gone[client] {
			// What came when it had just closed its connection, to the real server.
			for _, line := range got[len(want):] {
				require.Regexp(r.t, `"type":"close"|"kind":"delete"|"type":"ping"`, line, client)
			}
			got = got[:len(want)]
		}
		for i := range max(len(want), len(got)) {
			w, g := lineOf(want, i), lineOf(got, i)
			require.Equal(r.t, w, g, "%s of %s hears in its line %d", client, r.file, i)
		}
	}
	for client := range r.heard {
		require.True(r.t, slices.Contains(clients, client) || client == recorder, client)
	}
	for i := range replayExceptions {
		e := &replayExceptions[i]
		require.True(r.t, e.file != r.file || r.used[e] >= max(e.nth, 1), "an exception for nothing: %+v", e)
	}
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// sortRosters puts the members that a client hears of one after the other in an order, and
// the streams that end: the real server's is that of a map.
func sortRosters(lines []string) []string {
	sorted := slices.Clone(lines)
	for _, part := range []string{`"kind":"add"`, `"type":"close"`} {
		for i := 0; i < len(sorted); i++ {
			n := i
			for n < len(sorted) && strings.Contains(sorted[n], part) && sorted[n][0] == '{' {
				n++
			}
			slices.Sort(sorted[i:n])
			i = max(i, n-1)
		}
	}
	return sorted
}

// maskTrace returns a message without what no two servers write alike: times and
// descriptions, and the order of the members.
func maskTrace(data []byte) string {
	var v map[string]any
	if json.Unmarshal(data, &v) != nil {
		return string(data)
	}
	mask(v)
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func mask(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			mask(x)
		}
	case map[string]any:
		for name, x := range v {
			text, isText := x.(string)
			at, err := time.Parse(time.RFC3339, text)
			switch {
			case isText && err == nil && at.Year() == 2026:
				v[name] = "T"
			case name == "address" || name == "sdp" || len(text) > 10_000 || strings.Contains(text, "shortened"):
				v[name] = "masked"
			}
			mask(x)
		}
	}
}

// serverDawn is when the clocks of these tests begin: when those of synctest do.
var serverDawn = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// A replayException is where our server does otherwise than Galène's.
type replayException struct {
	file, client string // of every client if that is ""
	theirs       string // a part of what the client hears from the real one
	ours         string
	nth          int    // the only one that is meant; 0 means all
	before       string // a line that it hears from ours before that
	drop         bool   // it hears nothing in place of that
	why          string
}

// replayOrder says where the real server took the messages of several clients in another
// order than that in which they were sent.
var replayOrder = map[string]func(lines []traceLine) []traceLine{
	// A caption of alice's overtook what bob had said before.
	"07-chathistory-clearchat": func(lines []traceLine) []traceLine {
		return moved(lines, `"id":"m4"`, func(to int) bool { return strings.Contains(string(lines[to].Msg), `"id":"m2"`) })
	},
	// The end of bob's connection was noticed after that of alice's.
	"40-simulcast": func(lines []traceLine) []traceLine {
		bye := func(client string) func(l traceLine) bool {
			return func(l traceLine) bool { return l.Dir == "c2s" && l.Client == client && l.Close != nil }
		}
		i, j := slices.IndexFunc(lines, bye("bob")), slices.IndexFunc(lines, bye("alice"))
		line := lines[j]
		return slices.Insert(slices.Delete(slices.Clone(lines), j, j+1), i, line)
	},
}

// moved moves a message of a client to where the first line is that to says.
func moved(lines []traceLine, part string, to func(i int) bool) []traceLine {
	from := slices.IndexFunc(lines, func(l traceLine) bool {
		return l.Dir == "c2s" && strings.Contains(string(l.Msg), part)
	})
	for i := range lines {
		if to(i) {
			line := lines[from]
			line.T = lines[i].T
			return slices.Insert(slices.Delete(slices.Clone(lines), from, from+1), i, line)
		}
	}
	return lines
}

// unreplayable are the traces that a server without media and HTTP cannot be compared with.
var unreplayable = map[string]string{
	"17-server-shutdown":                    "our server says that it goes, with 1001",
	"18-timeouts":                           atTwenty,
	"42-whip":                               "the streams of WHIP come over HTTP",
	"50-browser-and-bot":                    "the other half of the session is in 52, with a clock of its own",
	"51-file-transfer":                      "the other half of the session is in 53, with a clock of its own",
	"52-stock-browser-client":               "the other half of the session is in 50",
	"53-stock-browser-client-file-transfer": "the other half of the session is in 51",
}

var replayExceptions = []replayException{
	{file: "06-chat", theirs: `"time":"T","type":"chat","value":"no source, no username"`,
		ours: `"source":"id-bob","time":"T","type":"chat","username":"bob","value":"no source, no username"`, why: named},
	{file: "06-chat", theirs: `"time":"T","type":"chat","username":"bob","value":"no source"`,
		ours: `"source":"id-bob","time":"T","type":"chat","username":"bob","value":"no source"`, why: named},
	{file: "06-chat", theirs: `"time":"T","type":"chathistory","value":"no source, no username"`,
		ours: `"source":"id-bob","time":"T","type":"chathistory","username":"bob","value":"no source, no username"`, why: named},
	{file: "06-chat", theirs: `"time":"T","type":"chathistory","username":"bob","value":"no source"`,
		ours: `"source":"id-bob","time":"T","type":"chathistory","username":"bob","value":"no source"`, why: named},
	{file: "06-chat", client: "dave", theirs: `{"type":"ping"}`, drop: true, why: atTwenty},
	{file: "07-chathistory-clearchat", theirs: `"time":"T","type":"chat","value":"anonymous is in history"`,
		ours: `"source":"id-bob","time":"T","type":"chat","username":"bob","value":"anonymous is in history"`, why: named},
	{file: "07-chathistory-clearchat", theirs: `"type":"chathistory","value":"anonymous is in history"`, nth: 3, drop: true,
		why: "it has a sender, whose messages were cleared"},
	{file: "07-chathistory-clearchat", theirs: `"time":"T","type":"chathistory","value":"anonymous is in history"`,
		ours: `"source":"id-bob","time":"T","type":"chathistory","username":"bob","value":"anonymous is in history"`, why: named},
	{file: "08-usermessage", theirs: `"value":"from bob: kicked"`, drop: true, why: reserved},
	{file: "08-usermessage", theirs: `"value":"from bob: token"`, drop: true, why: reserved},
	{file: "08-usermessage", client: "bob", theirs: `"value":"op broadcast"`,
		before: `{"dest":"id-bob","kind":"error","privileged":true,"type":"usermessage","value":"not authorised"}`, why: reserved},
	{file: "08-usermessage", client: "bob", theirs: `"value":"op broadcast"`,
		before: `{"dest":"id-bob","kind":"error","privileged":true,"type":"usermessage","value":"not authorised"}`, why: reserved},
	{file: "08-usermessage", theirs: `"time":"T","type":"usermessage","value":"no source"`,
		ours: `"source":"id-bob","time":"T","type":"usermessage","username":"bob","value":"no source"`, why: named},
	{file: "11-tokens", theirs: `"permissions":null`, ours: `"permissions":[]`, why: "no array is null with us"},
	{file: "14-malformed", client: "dupkey", theirs: `{"type":"pong"}`, ours: "closed 1011", why: stricter},
	{file: "14-malformed", client: "twovalues", theirs: `{"type":"pong"}`, ours: "closed 1011", why: stricter},
	{file: "14-malformed", theirs: `"time":"T","type":"chat","value":"masked"`,
		ours: `"source":"id-size-1MiB","time":"T","type":"chat","username":"size-1MiB","value":"masked"`, why: named},
	{file: "14-malformed", theirs: `"time":"T","type":"chathistory","value":"masked"`,
		ours: `"source":"id-size-1MiB","time":"T","type":"chathistory","username":"size-1MiB","value":"masked"`, why: named},
	{file: "32-request-changes", client: "alice", theirs: `{"candidate":{"candidate":"candidate:2070692838 1 udp 2130706431 192.0.2.2 35608`,
		ours: `refused to the router: {"candidate":{"candidate":"candidate:2070692838 1 udp 2130706431 192.0.2.2 35608`, why: early},
	{file: "32-request-changes", client: "alice", theirs: `{"candidate":{"candidate":"candidate:3932658255 1 udp 2130706431 fd00::2 46798`,
		ours: `refused to the router: {"candidate":{"candidate":"candidate:3932658255 1 udp 2130706431 fd00::2 46798`, why: early},
	{file: "32-request-changes", client: "alice", theirs: `{"id":"stream-1","type":"close"}`, nth: 3, drop: true, why: unknown},
	{file: "14-malformed", client: "uppercase", theirs: `{"type":"pong"}`, ours: `{"dest":"id-uppercase","kind":"error",` +
		`"privileged":true,"type":"usermessage","value":"unexpected message"}` + "\n" +
		`{"reason":"unexpected message"}` + "\nclosed 1002", why: stricter},
}

// Why our server does otherwise.
const (
	named    = "who sends is filled in, because what is anonymous looks like the server's"
	reserved = "what only a server says is not taken from clients, because other clients believe it"
	stricter = "our decoder is stricter"
	atTwenty = "whether a tick at 20 s finds more than 20 s of silence was left to the real server's scheduler"
	early    = "a candidate before its offer is of no use to a client that knows no such stream yet"
	unknown  = "nobody is told of the end of a stream that it does not have"
)
