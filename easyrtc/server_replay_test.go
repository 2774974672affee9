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
		SocketIOOptions struct{ MaxHTTPBufferSize int }
		EasyrtcOptions  map[string]json.RawMessage
		Hooks           map[string]bool
	}
	Event, URL, By string
	Code           int
	Dir, Client    string
	Frame          string
	FrameLength    int // of a frame that the file has shortened
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
	line   int // of the file
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
	http   bool
	lines  []replayLine
	steps  []replayStep
	opts   ServerOptions
	server *Server
	ends   script.Ends

	nextID, nextSID string
	heard, wanted   map[string][]string
	over            map[string]bool   // whose rest is left out
	ids             map[string]string // of the clients
	used            map[int]int       // how often an exception was met
	done            map[int]bool      // actions
}

var (
	replayID  = regexp.MustCompile(`"easyrtcid":"(\w+)","(?:iceConfig|msgType)"`)
	replaySID = regexp.MustCompile(`^0\{"sid":"([\w-]+)"\}$`)
	eventID   = regexp.MustCompile(`^(2|5\d*-)\d+$`)
)

// read reads a trace: what its server was set up with, and what happened to its clients.
func (r *replay) read(path string) {
	f, err := os.Open(path)
	require.NoError(r.t, err)
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 4<<20)
	versions := make(map[string]engineio.Version)
	r.setUp(nil, nil)
	for s.Scan() {
		var l replayLine
		require.NoError(r.t, json.Unmarshal(s.Bytes(), &l))
		at := time.Duration(l.T * float64(time.Millisecond))
		r.lines = append(r.lines, l)
		add := func(st replayStep) {
			st.client, st.at, st.line = l.Client, at, len(r.lines)-1
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
			r.opts.MessageBytes = l.Meta.SocketIOOptions.MaxHTTPBufferSize
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
	if client := replayLate[r.file]; client != "" {
		of := func(what string) int {
			return slices.IndexFunc(r.steps, func(st replayStep) bool {
				return st.client == client && (st.what == what || string(st.data) == what && st.what == "say")
			})
		}
		st := r.steps[of("1")]
		r.steps = slices.Insert(slices.Delete(r.steps, of("1"), of("1")+1), of("close")-1, st)
	}
}

// packets takes a frame of a trace apart.
func (r *replay) packets(l replayLine, v engineio.Version) []engineio.Packet {
	data := lengthened(l)
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
		if err != nil {
			require.Contains(r.t, r.file, "malformed")
			return nil
		}
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

var replayTarget = regexp.MustCompile(`"targetEasyrtcid":"(\w+)"`)

// lengthened returns a frame as it was before the file shortened it: one with a text of
// many equal letters.
func lengthened(l replayLine) []byte {
	if l.FrameLength == 0 {
		return []byte(l.Frame)
	}
	end := `"}]`
	if l.Dir == "s2c" {
		end = `","easyrtcid":"` + replayTarget.FindStringSubmatch(l.Frame)[1] + `","serverTime":1795219620253}]`
	} else if !strings.Contains(l.Frame, `":"`) {
		end = `"]`
	}
	return []byte(l.Frame + strings.Repeat(l.Frame[len(l.Frame)-1:], l.FrameLength-len(l.Frame)-len(end)) + end)
}

// setUp takes the options of the real server.
func (r *replay) setUp(options map[string]json.RawMessage, hooks map[string]bool) {
	r.opts.AllowAll = r.file != "browser_auth_denied"
	r.opts.LoginTimeout = -1 // the original waits for ever
	strangers := 0
	r.opts.NewID = func() string {
		strangers++
		id := cmp.Or(r.nextID, fmt.Sprint("stranger", strangers))
		r.nextID = ""
		return id
	}
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
		r.opts.Authenticate = func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
			l.Field = FieldMap{"connField": {FieldName: "connField", FieldValue: []byte(`{"a":1}`)}}
			l.SessionField = FieldMap{"sessField": {FieldName: "sessField", FieldValue: []byte(`"sv"`)}}
			return nil
		}
	}
}

func (r *replay) play() {
	r.heard, r.wanted = make(map[string][]string), make(map[string][]string)
	r.ids, r.over = make(map[string]string), make(map[string]bool)
	r.used, r.done = make(map[int]int), make(map[int]bool)
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
				r.ids[client] = r.nextID
				return
			}
		}
	}
}

// replayLate are the clients that left at the time of another one, whose end the original
// noticed first.
var replayLate = map[string]string{"apifield_visible_to_later_joiner": "A"}

// A replayAction is what the server application did when a client was about to hear
// something.
type replayAction struct {
	before string // what it was, a part of it that ends in " or all
	do     func(r *replay, easyrtcid string, m Message) error
}

// act does what the server application did.
func (r *replay) act(st replayStep) {
	for i, a := range replayActions[r.file] {
		text := string(st.data)
		if r.done[i] || text != a.before && (len(a.before) == 1 || !strings.Contains(text, a.before)) {
			continue
		}
		r.done[i] = true
		m, err := Decode(st.data)
		require.NoError(r.t, err)
		require.NoError(r.t, a.do(r, r.ids[st.client], m))
		synctest.Wait()
	}
}

// want adds a line to what a client must hear.
func (r *replay) want(client, line string) {
	if r.over[client] {
		return
	}
	after := ""
	for i, e := range replayExceptions {
		if e.file == r.file && !(r.http && e.why == carrier) &&
			(e.client == "" || e.client == client) && strings.Contains(line, e.theirs) {
			if r.used[i]++; e.nth != 0 && e.nth != r.used[i] {
				continue
			}
			if e.drop {
				return
			}
			if e.after != "" {
				after = "\n" + e.after
				continue
			}
			if line = strings.ReplaceAll(line, e.theirs, e.ours); e.rest {
				r.over[client], line = true, e.ours
			}
		}
	}
	r.wanted[client] = append(r.wanted[client], strings.Split(line+after, "\n")...)
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
			w, g := replayLineOf(want, i), replayLineOf(got, i)
			if !strings.Contains(w, `"apiField"`) && strings.Contains(w, `"updateClient"`) {
				g = withoutAPIField(g) // the original leaves it out of some deltas
			}
			require.Equal(r.t, w, g, "%s of %s hears in its line %d", client, r.file, i)
		}
	}
	for client, lines := range r.heard {
		require.Len(r.t, lines, len(r.wanted[client]), client)
	}
	for i, e := range replayExceptions {
		require.True(r.t, e.file != r.file || r.used[i] > max(e.nth-1, 0), "an exception for nothing: %+v", e)
	}
	require.Len(r.t, r.done, len(replayActions[r.file]), "an action that did not happen")
}

// withoutAPIField returns a packet without its api fields.
func withoutAPIField(line string) string {
	at := strings.IndexByte(line, '[')
	var v any
	if at < 0 || json.Unmarshal([]byte(line[at:]), &v) != nil {
		return line
	}
	var leave func(v any)
	leave = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				leave(x)
			}
		case map[string]any:
			delete(v, "apiField")
			for _, x := range v {
				leave(x)
			}
		}
	}
	leave(v)
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return line[:at] + string(b)
}

func replayLineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// maskPacket returns a packet as timeless does, without the id of an event, too: the
// original counts those of all clients together.
func maskPacket(data []byte) string {
	text := timeless(data)
	if at := strings.IndexAny(text, "[{"); at >= 0 {
		return eventID.ReplaceAllString(text[:at], "${1}N") + text[at:]
	}
	return text
}

// timeless returns a packet without its times, and with the members of objects in order.
func timeless(data []byte) string {
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
	drop         bool   // it hears nothing in place of that
	nth          int    // the only one that is meant; 0 is all
	after        string // a line that it hears from ours after that
	rest         bool   // and nothing of what follows
	why          string
}

var replayExceptions = []replayException{
	{file: "auth_reauth_other_application", theirs: `31[{"msgData":{"application":{"applicationName":"appY"}`, rest: true,
		ours: `31[{"msgData":{"errorCode":"LOGIN_APP_AUTH_FAIL","errorText":"Authentication for application failed. ` +
			`Socket will be disconnected."},"msgType":"error","serverTime":"T"}]` + "\n1\nclosed 1005",
		why: "a connection stays in its application"},
	{file: "auth_reauth_same_socket", client: "B", theirs: `"msgType":"offer"`, nth: 2, drop: true, why: "each message is relayed once"},
	{file: "cmd_err_stillAlive_rejected", theirs: badType, ours: `[{"msgType":"ack"}]`, why: alive},
	{file: "msg_no_target_never_acked", client: "A", theirs: `"updateClient"`, nth: 2, after: `31[{"msgType":"ack"}]`,
		why: "who sends hears whether the server application has it"},
	{file: "msg_oversized_closes_websocket", theirs: "closed 1009", ours: "closed 1005", why: carrier},
	{file: "open2020_login_deltas_reauth_room", theirs: badType, ours: `[{"msgType":"ack"}]`, why: alive},
	{file: "room_name_prototype_key", theirs: `31[{"msgData":{"roomData":{}}`, ours: `31[{"msgData":{"roomData":{"constructor":` +
		`{"clientList":{"UBSS8g2TiDFhFJr3":{"easyrtcid":"UBSS8g2TiDFhFJr3","presence":{"show":"chat","status":null},` +
		`"roomJoinTime":"T"}},"roomName":"constructor","roomStatus":"join"}}}`, why: "the name of a room like any other"},
	{file: "transport_maxHttpBufferSize_handshake", theirs: "closed 1009", ours: "closed 1005", why: carrier},
	{file: "transport_polling_raw", theirs: `"roomList"`, after: `31[{"msgData":{"roomList":{"default":{"numberClients":1,` +
		`"roomName":"default"}}},"msgType":"roomList"}]` + "\n" + `32[{"msgData":{"iceConfig":{"iceServers":[` +
		`{"urls":["stun:stun.l.google.com:19302"]},{"urls":["stun:stun.sipgate.net"]},{"urls":["stun:217.10.68.152"]},` +
		`{"urls":["stun:stun.sipgate.net:10000"]},{"urls":["stun:217.10.68.152:10000"]}]}},"msgType":"iceConfig"}]`,
		why: "it did not fetch the last answers"},
	{file: "transport_ws_malformed_huge_ack_id", theirs: `3100000000000000000000[`, ours: "closed 1005", rest: true,
		why: "an id that JavaScript cannot hold"},
}

const badType = `[{"msgData":{"errorCode":"MSG_REJECT_BAD_TYPE","errorText":"Message rejected. The provided msgType is ` +
	`unsupported."},"msgType":"error","serverTime":"T"}]`

// Why our server does otherwise.
const (
	alive   = "nobody minds an answer, and old clients say that they are alive"
	carrier = "here the carrier has no limit, which would close with 1009"
)

// replayActions are what the server applications of the traces did.
var replayActions = map[string][]replayAction{
	"push_error":        {{`"SERVER_SHUTDOWN"`, pushed}, {`"MADE_UP"`, pushed}},
	"push_forwardToUrl": {{`"forwardToUrl"`, pushed}},
	"push_iceConfig":    {{`"iceConfig","`, pushed}},
	"room_fields_update_pushed_by_server": {{`"topic"`, func(r *replay, _ string, m Message) error {
		return r.server.AddRoom("app1", "default", m.(*RoomData).MsgData.RoomData["default"].Field)
	}}},
	"disconnect_by_server_socket_disconnect":      {{"1", thrownOut}},
	"disconnect_by_server_socket_disconnect_true": {{"1", thrownOut}},
	"disconnect_polling_client_vanishes": {{`"removeClient"`, func(r *replay, _ string, _ Message) error {
		return r.ends.Close("B", int(transport.StatusNoStatus))
	}}},
}

func pushed(r *replay, easyrtcid string, m Message) error { return r.server.SendTo(easyrtcid, m) }

func thrownOut(r *replay, easyrtcid string, _ Message) error {
	id, ok := r.server.Peer(easyrtcid)
	require.True(r.t, ok)
	for sess := range r.server.Sessions() {
		if sess.ID() == id {
			sess.Disconnect()
		}
	}
	return nil
}

// unreplayable are the traces that our server cannot be compared with in this way.
var unreplayable = map[string]string{
	"browser_reconnect_default_null_url":                ended,
	"browser_reconnect_explicit_url_reconnection_false": ended,
	"disconnect_server_process_exit":                    ended,
	"browser_old110_client_original_server":             earlier,
	"browser_old110_client_original_server_polling":     earlier,
	"easyrtc110_msg_room_not_member":                    earlier,
	"easyrtc110_reauth_disconnects":                     earlier,
	"easyrtc110_socketio1_polling_only_unicode":         earlier,
	"easyrtc110_socketio1_ws":                           earlier,
	"easyrtc110_socketio2_invalid_namespace":            earlier,
	"easyrtc110_socketio2_polling_upgrade":              earlier,
	"easyrtc110_socketio2_ws":                           earlier,
	"legacy2017_login_deltas_and_reauth":                earlier,
	"legacy2017_msg_room_not_member":                    earlier,
	"legacy2017_stillAlive_disabled_zero":               earlier,
	"legacy2017_stillAlive_kept_alive":                  earlier,
	"legacy2017_stillAlive_missed":                      earlier,
	"flood_1000_messages_no_rate_limit":                 "the file has a few of the frames",
	"transport_http_errors":                             below,
	"transport_ws_client_sends_ping_eio4":               below,
	"transport_ws_malformed_empty":                      below,
	"transport_ws_malformed_garbage":                    below,
	"transport_ws_malformed_unknown_eio_type":           below,
	"transport_ws_no_pong_server_closes":                below,
}

const (
	earlier = "an earlier release, which has other rules"
	ended   = "the process of the original ends"
	below   = "it is about Engine.IO alone"
)
