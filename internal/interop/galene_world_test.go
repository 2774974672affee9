package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenehttp"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// galeneGroups are the groups of every server in these tests, ours and the real one.
func galeneGroups() galene.Groups {
	users := map[string]galene.MemoryUser{
		"alice": {Password: "apw", Set: "op"},
		"bob":   {Password: "bpw", Set: "present"},
		"carol": {Password: "cpw", Set: "message"},
		"dave":  {Password: "dpw", Set: "observe"},
		"erin":  {Password: "epw", Set: "caption"},
		"zed":   {Password: "zpw", Set: "admin"},
	}
	anybody := &galene.MemoryUser{AnyPassword: true, Set: "present"}
	group := func(g galene.Group) *galene.MemoryGroup {
		return &galene.MemoryGroup{Group: g, Users: users, Wildcard: anybody}
	}
	return galene.Groups{
		"test": {Users: users, Group: galene.Group{
			DisplayName: "Test", Description: "for tests", Public: true, AllowRecording: true, AutoSubgroups: true,
		}},
		"open":      group(galene.Group{}),
		"early":     group(galene.Group{NotBefore: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}),
		"late":      group(galene.Group{Expires: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}),
		"full":      group(galene.Group{MaxClients: 1}),
		"autolock":  group(galene.Group{Autolock: true}),
		"autokick":  group(galene.Group{Autokick: true}),
		"inviting":  group(galene.Group{UnrestrictedTokens: true}),
		"elsewhere": group(galene.Group{Redirect: "https://galene.example.org/group/there/"}),
	}
}

// groupFile describes a group as Galène's files do.
func groupFile(g *galene.MemoryGroup) object {
	file := object{}
	set := func(name string, value any, is bool) {
		if is {
			file[name] = value
		}
	}
	set("displayName", g.DisplayName, g.DisplayName != "")
	set("description", g.Description, g.Description != "")
	set("public", true, g.Public)
	set("allow-recording", true, g.AllowRecording)
	set("auto-subgroups", true, g.AutoSubgroups)
	set("unrestricted-tokens", true, g.UnrestrictedTokens)
	set("autolock", true, g.Autolock)
	set("autokick", true, g.Autokick)
	set("max-clients", g.MaxClients, g.MaxClients != 0)
	set("not-before", g.NotBefore, !g.NotBefore.IsZero())
	set("expires", g.Expires, !g.Expires.IsZero())
	set("redirect", g.Redirect, g.Redirect != "")
	user := func(u galene.MemoryUser) object {
		if u.AnyPassword {
			return object{"password": object{"type": "wildcard"}, "permissions": u.Set}
		}
		return object{"password": u.Password, "permissions": u.Set}
	}
	users := object{}
	for name, u := range g.Users {
		users[name] = user(u)
	}
	file["users"] = users
	if g.Wildcard != nil {
		file["wildcard-user"] = user(*g.Wildcard)
	}
	return file
}

// A galeneServer is a server of the protocol, listening on loopback.
type galeneServer struct {
	real bool
	addr string
	cuts lifelines
	stop func() // without telling anybody
	run  func() // after stop, at the same address
	ours *galene.Server
}

func (s *galeneServer) ws() string { return "ws://" + s.addr + "/ws" }

// onGalene runs a test against the real server and against ours.
func onGalene(t *testing.T, test func(t *testing.T, s *galeneServer)) {
	t.Helper()
	t.Parallel()
	t.Run("galene", func(t *testing.T) {
		t.Parallel()
		test(t, startGalene(t))
	})
	t.Run("ours", func(t *testing.T) {
		t.Parallel()
		test(t, startOurGalene(t, galene.ServerOptions{}))
	})
}

// galeneStart is how long it may take until the real server listens; 0.1 s is usual.
const galeneStart = 10 * time.Second

// writeGroups writes the files of the groups of these tests, and of others, to a folder.
func writeGroups(t *testing.T, dir string, others map[string]object) {
	t.Helper()
	files := maps.Clone(others)
	if files == nil {
		files = make(map[string]object)
	}
	for name, g := range galeneGroups() {
		files[name] = groupFile(g)
	}
	for name, file := range files {
		b, err := json.Marshal(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), b, 0o600))
	}
}

// startGalene starts the real server with the groups of these tests.
func startGalene(t *testing.T) *galeneServer {
	t.Helper()
	return startGaleneWith(t, nil)
}

// startGaleneWith starts it with other groups as well, and with arguments that come after
// those that it needs.
func startGaleneWith(t *testing.T, others map[string]object, args ...string) *galeneServer {
	t.Helper()
	bin, err := filepath.Abs(peer.Path(t, "Galène server", "GALENE_BIN"))
	require.NoError(t, err)
	dir := t.TempDir()
	for _, name := range []string{"groups", "data", "recordings", "static"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	writeGroups(t, filepath.Join(dir, "groups"), others)
	const attempts = 3 // the port may be taken before the server has it
	for range attempts {
		s := &galeneServer{real: true, addr: fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t))}
		var process *peer.Process
		s.run = func() {
			cmd := exec.Command(bin, append([]string{
				"-insecure", "-http", s.addr, "-turn", "", "-groups", "groups", "-data", "data",
				"-recordings", "recordings", "-static", "static",
			}, args...)...)
			cmd.Dir = dir
			process = peer.Start(t, cmd)
			s.stop = func() {
				require.NoError(t, cmd.Process.Kill())
				require.True(t, peer.Await(patience, process.Ended))
			}
			require.True(t, peer.Await(galeneStart, func() bool {
				return process.Ended() || statusOf(t.Context(), "http://"+s.addr+"/public-groups.json") == http.StatusOK
			}), "Galène does not listen")
		}
		s.run()
		t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
		if !process.Ended() {
			return s
		}
		t.Logf("Galène has ended: %s", process.Output())
	}
	require.Fail(t, "Galène does not stay")
	return nil
}

// startOurGalene starts our server with the groups of these tests, unless the options have
// others.
func startOurGalene(t *testing.T, opts galene.ServerOptions) *galeneServer {
	t.Helper()
	if opts.Groups == nil {
		opts.Groups = galeneGroups()
	}
	if opts.Record == nil {
		opts.Record = recordNothing
	}
	opts.Address = galenehttp.Address
	var static fs.FS // the web UI, if it is there
	if dir := os.Getenv("GALENE_STATIC"); dir != "" {
		static = os.DirFS(dir)
	}
	var logged strings.Builder // slog writes one record at a time
	opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	s := &galeneServer{addr: "127.0.0.1:0"}
	s.run = func() {
		var listener net.Listener
		require.True(t, peer.Await(patience, func() bool {
			var err error
			listener, err = net.Listen("tcp", s.addr)
			return err == nil
		}), "%s is taken", s.addr)
		if s.ours == nil { // afterwards it is the same, and clients may be reading it
			s.addr = listener.Addr().String()
		}
		server := galene.NewServer(&opts)
		s.ours = server
		handler := galenehttp.NewHandler(server, &galenehttp.Options{Static: static, WHIP: opts.Router != nil})
		web := &http.Server{Handler: handler}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = web.Serve(listener)
		}()
		s.stop = func() {
			_ = listener.Close()
			_ = server.Close()
			_ = handler.Close()
			_ = web.Close()
			<-done
		}
	}
	s.run()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("log of our server:\n%s", &logged)
		}
	})
	return s
}

// recordNothing is a recorder that only joins.
func recordNothing(ctx context.Context, group string, conn transport.Conn) error {
	c, err := galene.Connect(ctx, conn, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	name := "recorder"
	if _, err := c.Join(ctx, &galene.Join{Group: group, Username: &name}); err != nil {
		return err
	}
	for _, err := range c.Messages(ctx) {
		if err != nil {
			return nil // it has been sent away
		}
	}
	return nil
}

// dial opens a connection to the server, which can be cut.
func (s *galeneServer) dial(ctx context.Context) (transport.Conn, error) {
	var line net.Conn
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			line = conn
			return conn, err
		},
	}}
	conn, err := wsconn.Dial(ctx, s.ws(), &wsconn.Options{ReadLimit: 4 << 20, HTTPClient: client})
	if err != nil {
		return nil, err
	}
	return &lifeline{Conn: conn, line: line, all: &s.cuts}, nil
}

// lifelines are the connections to a server by the ids of their clients.
type lifelines struct {
	mu   sync.Mutex
	byID map[string]net.Conn
}

// A lifeline notes which client a connection is of.
type lifeline struct {
	transport.Conn
	line net.Conn
	all  *lifelines
}

func (l *lifeline) Write(typ transport.MessageType, msg []byte) error {
	if m, err := galene.Decode(msg); err == nil {
		if h, ok := m.(*galene.Handshake); ok {
			l.all.mu.Lock()
			if l.all.byID == nil {
				l.all.byID = make(map[string]net.Conn)
			}
			l.all.byID[h.ID] = l.line
			l.all.mu.Unlock()
		}
	}
	return l.Conn.Write(typ, msg)
}

// cut ends the connection of a client as a network does, without a word.
func (s *galeneServer) cut(t *testing.T, id string) {
	t.Helper()
	s.cuts.mu.Lock()
	defer s.cuts.mu.Unlock()
	require.Contains(t, s.cuts.byID, id)
	require.NoError(t, s.cuts.byID[id].Close())
}

// A galeneClient is our client, which keeps what it is told.
type galeneClient struct {
	*galene.Client
	*hearing[galene.Message]
}

// connect connects a client and reads what it is told.
func (s *galeneServer) connect(t *testing.T, opts *galene.ClientOptions) *galeneClient {
	t.Helper()
	c := s.unread(t, opts)
	c.listen(func() error { return c.all(c.Messages(context.Background())) }, c.Close)
	return c
}

// unread connects a client that is still to be listened to.
func (s *galeneServer) unread(t *testing.T, opts *galene.ClientOptions) *galeneClient {
	t.Helper()
	ctx := bounded(t)
	conn, err := s.dial(ctx)
	require.NoError(t, err)
	inner, err := galene.Connect(ctx, conn, opts)
	require.NoError(t, err)
	return &galeneClient{inner, newHearing(t, galene.Encode)}
}

// join connects a client that joins a group with its password.
func (s *galeneServer) join(t *testing.T, group, user string) *galeneClient {
	t.Helper()
	c := s.connect(t, nil)
	c.enter(group, user)
	return c
}

// passwordOf returns the password of a user of these tests, "" for anybody else.
func passwordOf(user string) string { return galeneGroups()["test"].Users[user].Password }

// enter joins a group with the password of a user, and waits until the client has been told
// of itself.
func (c *galeneClient) enter(group, user string) *galene.Joined {
	c.t.Helper()
	joined, err := c.Join(bounded(c.t), &galene.Join{Group: group, Username: &user, Password: passwordOf(user)})
	require.NoError(c.t, err)
	expect(c, "oneself", func(u *galene.User) bool { return u.Kind == galene.UserAdd && u.ID == c.ID() })
	return joined
}

// expect returns the next message of a type for which match, unless it is nil, says yes,
// after the last one that was expected.
func expect[E galene.Message](c *galeneClient, what string, match func(E) bool) E {
	c.t.Helper()
	return nextOf(c.hearing, what, match)
}

var galeneMarks atomic.Int64

// settle waits until the server has done everything that the client asked for before, and
// returns what the client was told since the last message that was expected.
func (c *galeneClient) settle() []galene.Message {
	c.t.Helper()
	mark := fmt.Sprint(galeneMarks.Add(1))
	require.NoError(c.t, c.SetData(galene.Fields{"mark": json.RawMessage(mark)}))
	from := c.seen
	expect(c, "mark", func(u *galene.User) bool { return u.ID == c.ID() && string(u.Data["mark"]) == mark })
	return c.before(from)
}

// refusal waits for an error of the server.
func (c *galeneClient) refusal() string {
	c.t.Helper()
	m := expect(c, "error", func(m *galene.UserMessage) bool {
		return m.Kind == galene.UserMessageError && m.Privileged && m.Source == ""
	})
	require.Equal(c.t, c.ID(), m.Dest)
	return textOf(c.t, m.Value)
}

func textOf(t *testing.T, value json.RawMessage) string {
	t.Helper()
	text, ok := galene.Text(value)
	require.True(t, ok, "%s is not a text", value)
	return text
}

// names returns the user names of the members whom the client knows, sorted.
func (c *galeneClient) names() []string {
	var names []string
	for _, u := range c.Users() {
		names = append(names, *u.Username)
	}
	slices.Sort(names)
	return names
}

// sorted returns permissions in an order in which they can be compared.
func sorted(p galene.Permissions) []string {
	names := []string{}
	for _, permission := range p {
		names = append(names, string(permission))
	}
	slices.Sort(names)
	return names
}

// keys are the names of a map, sorted.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sortedLines returns the lines of a text in their order.
func sortedLines(text string) []string {
	return slices.Sorted(slices.Values(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })))
}

// member returns a member of the group, once the client knows it.
func (c *galeneClient) member(id string) *galene.User {
	c.t.Helper()
	eventually(c.t, "member", func() bool { return c.User(id) != nil })
	return c.User(id)
}

// awaitEmpty waits until nobody is in a group any more, so that the next one may have the
// same id.
func (s *galeneServer) awaitEmpty(t *testing.T, group string) {
	t.Helper()
	count := func() (clients int) {
		r := s.raw(t, galene.NewID())
		r.handshake()
		await := func(kind galene.JoinedKind) (m *galene.Joined) {
			r.say(json.Marshal(object{"type": "join", "kind": kind, "group": group, "username": "probe", "password": ""}))
			r.read(func(line string) bool {
				decoded, err := galene.Decode([]byte(line))
				require.NoError(t, err)
				m, _ = decoded.(*galene.Joined)
				return m != nil
			})
			require.Equal(t, kind, m.Kind)
			return m
		}
		clients = *await(galene.JoinedJoin).Status.ClientCount
		await(galene.JoinedLeave) // the others must not hear of it later
		return clients
	}
	eventually(t, "empty group", func() bool { return count() == 1 })
}
