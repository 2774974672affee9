package galene

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// replayedReleases are the folders of testdata/traces, with what our client speaks to such
// a server.
var replayedReleases = map[string][]string{
	"v2": nil, "v1-0.7.2": nil,
	"v1-0.6.2": {"2", "1"}, "v1-0.4.4": {"2", "1"}, "v1-document": {"2", "1"},
}

// TestClientTakesPartInTheTraces gives a machine what each client of the traces heard, and
// lets it say what that client said. What it knows at the end of each connection must be
// what follows from the trace, and what it does not say or deliver is in a file in
// testdata/machines.
func TestClientTakesPartInTheTraces(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, release := range slices.Sorted(maps.Keys(replayedReleases)) {
		files, err := filepath.Glob(filepath.Join("testdata", "traces", release, "*.jsonl"))
		require.NoError(t, err)
		require.NotEmpty(t, files, release)
		for _, file := range files {
			lines := readReplay(t, file)
			for _, client := range clientsOf(lines) {
				r := &clientReplay{t: t, name: client, versions: replayedReleases[release], users: make(map[string]string)}
				r.where = fmt.Sprintf("%s/%s, %s", release, filepath.Base(file), client)
				for _, l := range lines {
					if l.Client == client {
						r.step(l)
					}
				}
				r.finish()
				if r.notes.Len() > 0 {
					fmt.Fprintf(&b, "%s\n%s", r.where, &r.notes)
				}
			}
		}
	}
	path := filepath.Join("testdata", "machines", "client-replay.txt")
	if script.Updating() {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "run with -update and read the difference")
}

// A replayLine is one line of a trace.
type replayLine struct {
	Dir    string          `json:"dir"`
	Client string          `json:"client"`
	Millis int64           `json:"t"`
	Msg    json.RawMessage `json:"msg"`
	Event  string          `json:"event"`
	Close  *struct {
		Code int `json:"code"`
	} `json:"close"`
}

func readReplay(t *testing.T, path string) (lines []replayLine) {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 4<<20)
	for s.Scan() {
		var l replayLine
		require.NoError(t, json.Unmarshal(s.Bytes(), &l), path)
		lines = append(lines, l)
	}
	require.NoError(t, s.Err())
	return lines
}

func clientsOf(lines []replayLine) (names []string) {
	for _, l := range lines {
		if !slices.Contains(names, l.Client) {
			names = append(names, l.Client)
		}
	}
	return names
}

// A clientReplay is one client of a trace, and what must be known of its group, which is
// kept in another way than the machine does.
type clientReplay struct {
	t        *testing.T
	where    string
	name     string
	versions []string
	notes    strings.Builder

	machine *ClientMachine // nil without a connection
	now     time.Time
	calls   int // that wait

	joined           *Joined // the last one
	joining          bool
	id               string
	members          int               // that were there
	users            map[string]string // what was said of them last, by id
	up, down, unsure []string          // streams
}

func (r *clientReplay) note(format string, args ...any) {
	fmt.Fprintf(&r.notes, "  "+format+"\n", args...)
}

func (r *clientReplay) step(l replayLine) {
	r.now = clientDawn.Add(time.Duration(l.Millis) * time.Millisecond)
	switch {
	case l.Event == "ws-open":
		r.finish()
	case l.Close != nil || strings.HasSuffix(l.Event, "close") || l.Event == "tcp-close-without-close-frame":
		r.finish()
	case l.Msg == nil: // what no client of ours says
	case l.Dir == "c2s":
		r.say(l.Msg)
	default:
		r.hear(l.Msg)
	}
}

// say lets the machine say what the client said.
func (r *clientReplay) say(text json.RawMessage) {
	msg, err := Decode(text)
	if err != nil {
		r.note("cannot say %s: %s", brevity(text), brevityOf(err))
		return
	}
	if h, ok := msg.(*Handshake); ok && r.machine == nil {
		r.id = h.ID
		r.machine = NewClientMachine(ClientConfig{Versions: r.versions, NewID: func() string { return h.ID }})
		fx := r.machine.Start(r.now)
		require.Len(r.t, fx.Send, 1, r.where)
		return
	}
	if r.machine == nil {
		r.note("does not begin with %s", msg.wireType())
		return
	}
	switch msg.(type) {
	case *Pong: // comes by itself
		return
	case *Close:
		if slices.Contains(r.unsure, streamOf(msg)) { // this one, too
			r.unsure = without(r.unsure, streamOf(msg))
			return
		}
	}
	fx, err := r.machine.Send(r.now, msg)
	if err != nil {
		r.note("does not say %s: %s", brevity(text), brevityOf(err))
		return
	}
	require.Len(r.t, fx.Send, 1, r.where)
	require.Empty(r.t, fx.Deliver, r.where)
	r.requireSays(text, fx.Send[0])
	switch msg := msg.(type) {
	case *Join:
		r.joining = true
		r.calls++
	case *Offer:
		if msg.Replace != "" {
			r.up = without(r.up, msg.Replace)
		}
		r.up = append(without(r.up, msg.ID), msg.ID)
	case *Close:
		r.up = without(r.up, msg.ID)
	}
	if answerTo(msg) != "" {
		r.calls++
	}
}

// requireSays demands that a message has every member of what the client said.
func (r *clientReplay) requireSays(text json.RawMessage, msg Message) {
	r.t.Helper()
	b, err := dialectOf(r.machine.Version()).Encode(msg)
	require.NoError(r.t, err, r.where)
	var want, got map[string]any
	require.NoError(r.t, json.Unmarshal(text, &want), r.where)
	require.NoError(r.t, json.Unmarshal(b, &got), r.where)
	for name, value := range want {
		if value != nil && value != "" {
			require.Equal(r.t, value, got[name], "%s: %s of %s", r.where, name, text)
		}
	}
}

// hear gives the machine what the client heard, and demands that the application hears it,
// or that there is a reason why it does not.
func (r *clientReplay) hear(text json.RawMessage) {
	if r.machine == nil {
		return // a client whose first message is not a handshake
	}
	msg, err := Decode(text)
	require.NoError(r.t, err, "%s: %s", r.where, text)
	known := r.machine.Group() != ""
	late := !known && !r.joining
	fx := r.machine.Receive(r.now, msg)
	for _, done := range fx.Done {
		r.calls--
		require.NotNil(r.t, done.Response, r.where)
	}
	heard := slices.Contains(fx.Deliver, msg) || len(fx.Done) > 0
	stream := streamOf(msg)
	switch msg := msg.(type) {
	case *Handshake:
		if fx.Close != nil {
			r.note("does not speak with a server of version %q", msg.Version)
			r.machine = nil
			return
		}
		require.Zero(r.t, fx, r.where)
		heard = true
	case *Ping:
		require.Equal(r.t, []Message{&Pong{}}, fx.Send, r.where)
		heard = true
	case *Pong:
		require.Zero(r.t, fx, r.where)
		heard = true
	case *Joined:
		r.hearJoined(msg)
	case *User:
		require.Equal(r.t, !late, heard, "%s: %s", r.where, text)
		r.hearUser(msg, text)
	case *Offer:
		if !heard {
			require.Contains(r.t, r.up, stream, r.where)
			break
		}
		r.down = append(without(without(r.down, stream), msg.Replace), stream)
	case *Answer, *Renegotiate:
		require.Equal(r.t, slices.Contains(r.up, stream), heard, "%s: %s", r.where, text)
	case *ICE:
		require.Equal(r.t, slices.Contains(r.up, stream) || slices.Contains(r.down, stream), heard, "%s: %s", r.where, text)
	case *Close:
		require.Equal(r.t, slices.Contains(r.down, stream), heard, "%s: %s", r.where, text)
		r.down = without(r.down, stream)
	case *Abort:
		require.Equal(r.t, slices.Contains(r.up, stream), heard, "%s: %s", r.where, text)
		if heard {
			require.Equal(r.t, []Message{&Close{ID: stream}}, fx.Send, r.where)
			r.up, r.unsure = without(r.up, stream), append(r.unsure, stream)
		}
	default:
		require.True(r.t, heard, "%s: %s", r.where, text)
	}
	if !heard {
		r.note("does not hear %s", brevity(text))
	}
	require.Nil(r.t, fx.Close, "%s: %s", r.where, text)
	r.compare()
}

func (r *clientReplay) hearJoined(msg *Joined) {
	switch msg.Kind {
	case JoinedJoin:
		if !r.joining {
			return
		}
		r.joining, r.joined = false, msg
		r.members = 1
		if msg.Status != nil && msg.Status.ClientCount != nil {
			r.members = *msg.Status.ClientCount
		}
	case JoinedFail, JoinedRedirect:
		r.joining = false
	case JoinedLeave:
		r.forget()
	case JoinedChange:
		if r.joined != nil {
			r.joined = msg
		}
	}
}

func (r *clientReplay) hearUser(msg *User, text json.RawMessage) {
	if r.joined == nil && !r.joining {
		return
	}
	if msg.Kind == UserDelete {
		delete(r.users, msg.ID)
		return
	}
	r.users[msg.ID] = string(text)
}

func (r *clientReplay) forget() {
	clear(r.users)
	r.joined, r.joining, r.up, r.down, r.unsure = nil, false, nil, nil, nil
}

// compare demands that the machine knows what follows from the trace.
func (r *clientReplay) compare() {
	r.t.Helper()
	m := r.machine
	require.Equal(r.t, slices.Sorted(maps.Keys(r.users)), slices.Sorted(maps.Keys(m.Users())), r.where)
	for id, text := range r.users {
		u, err := Decode([]byte(text))
		require.NoError(r.t, err)
		got := *m.Users()[id]
		u.(*User).Initial = got.Initial
		require.Equal(r.t, u, &got, r.where)
	}
	up, down := slices.Sorted(maps.Keys(m.up)), slices.Sorted(maps.Keys(m.down))
	require.ElementsMatch(r.t, r.up, up, r.where)
	require.ElementsMatch(r.t, r.down, down, r.where)
	if r.joined == nil {
		require.Empty(r.t, m.Group(), r.where)
		return
	}
	require.Contains(r.t, []ClientState{ClientJoined, ClientLeaving}, m.State(), r.where)
	require.Equal(r.t, r.joined.Group, m.Group(), r.where)
	require.ElementsMatch(r.t, r.joined.Permissions, m.Permissions(), r.where)
	require.Equal(r.t, r.joined.Status, m.Status(), r.where)
	if r.joined.Username != nil {
		require.Equal(r.t, *r.joined.Username, m.Username(), r.where)
	}
	require.Equal(r.t, r.id, m.ID(), r.where)
}

// finish ends the connection, if there is one.
func (r *clientReplay) finish() {
	if r.machine != nil {
		if g := r.machine.Group(); g != "" {
			r.requireInitial()
		}
		fx := r.machine.Lost(r.now)
		require.Len(r.t, fx.Done, r.calls, "%s: who waits is told", r.where)
		requireClientForgets(r.t, r.machine)
	}
	r.machine, r.calls = nil, 0
	r.forget()
}

// requireInitial demands that no more members count as those who were there than were.
func (r *clientReplay) requireInitial() {
	n := 0
	for _, u := range r.machine.Users() {
		if u.Initial {
			n++
		}
	}
	require.LessOrEqual(r.t, n, max(r.members, len(r.users)), r.where)
	require.LessOrEqual(r.t, r.machine.initial, 0, "%s: members that never came", r.where)
}

func without(list []string, s string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(other string) bool { return other == s })
}

// brevity is a message with nothing of it that differs from run to run.
func brevity(text json.RawMessage) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil {
		return string(text)
	}
	var b strings.Builder
	for _, name := range []string{"type", "kind", "id", "source", "username", "dest", "label", "request", "value"} {
		if v, ok := m[name]; ok && len(v) < 60 {
			fmt.Fprintf(&b, " %s %s", name, v)
		}
	}
	return strings.TrimSpace(b.String())
}

func brevityOf(err error) string {
	if e, ok := errors.AsType[*ValidationError](err); ok {
		return e.Field + ": " + e.Reason
	}
	return strings.TrimPrefix(err.Error(), "galene: ")
}
