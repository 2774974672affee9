package galene

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func serve(t *testing.T, s *Server) *script.Line { return serveIn(t, t.Context(), s) }

func serveIn(t *testing.T, ctx context.Context, s *Server) *script.Line {
	return script.Serve(t, ctx, s.Serve)
}

// shake shakes hands under an id.
func shake(p *script.Line, id string) *script.Line {
	p.TB.Helper()
	return p.Say(fmt.Sprintf(`{"type":"handshake","version":["2"],"id":%q}`, id)).Hear(`{"type":"handshake","version":["2"]}`)
}

func joinOf(group, username, password string) string {
	return fmt.Sprintf(`{"type":"join","kind":"join","group":%q,"username":%q,"password":%q}`, group, username, password)
}

// enter joins a group that has members, and hears of them.
func enter(p *script.Line, id, group, username, password string, members int) *script.Line {
	p.TB.Helper()
	return shake(p, id).Say(joinOf(group, username, password)).Skip(2 + members)
}

const (
	wirePing = `{"type":"ping"}`
	wirePong = `{"type":"pong"}`
)

// closeServer closes a server and demands that it has forgotten everybody.
func closeServer(t *testing.T, s *Server) {
	t.Helper()
	require.NoError(t, s.Close())
	require.Empty(t, slices.Collect(s.Sessions()))
	require.Empty(t, s.media)
	requireNobodyLeft(t, s.machine)
}

// A hookedGroups is a GroupStore whose methods may be replaced.
type hookedGroups struct {
	GroupStore
	group        func(ctx context.Context, name string) (*Group, error)
	authenticate func(ctx context.Context, g *Group, c Credentials) (*Grant, error)
	names        func(ctx context.Context) ([]string, error)
}

func (h hookedGroups) Group(ctx context.Context, name string) (*Group, error) {
	if h.group != nil {
		return h.group(ctx, name)
	}
	return h.GroupStore.Group(ctx, name)
}

func (h hookedGroups) Authenticate(ctx context.Context, g *Group, c Credentials) (*Grant, error) {
	if h.authenticate != nil {
		return h.authenticate(ctx, g, c)
	}
	return h.GroupStore.Authenticate(ctx, g, c)
}

func (h hookedGroups) Names(ctx context.Context) ([]string, error) {
	if h.names != nil {
		return h.names(ctx)
	}
	return h.GroupStore.Names(ctx)
}

// A hookedTokens is a TokenStore whose methods are one function.
type hookedTokens func(ctx context.Context) error

func (h hookedTokens) Token(ctx context.Context, _ string) (*Token, error)  { return nil, h(ctx) }
func (h hookedTokens) Put(ctx context.Context, _ *Token) error              { return h(ctx) }
func (h hookedTokens) List(ctx context.Context, _ string) ([]*Token, error) { return nil, h(ctx) }

func TestServerRefusesAsItsGroupStoreSays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err              error
		kind, text, id   string
		username, logged string
		delay            time.Duration
	}{
		"in its words":         {&Error{Text: "pay first"}, "fail", "pay first", "", "", "", 0},
		"in its words, within": {fmt.Errorf("db: %w", &Error{ID: "unpaid", Text: "pay first"}), "fail", "pay first", "unpaid", "", "", 0},
		"with a name":          {&Error{Text: "pay first", Username: "ann"}, "fail", "pay first", "", "ann", "", 0},
		"elsewhere":            {&Error{Redirect: "https://x.example"}, "redirect", "https://x.example", "", "", "", 0},
		"as Galène does":       {ErrNeedUsername, "fail", "username required", "need-username", "", "", 0},
		"for bad credentials":  {ErrNotAuthorised, "fail", "not authorised", "", "", "", DefaultRefusalDelay},
		"for bad credentials, within": {
			fmt.Errorf("db: %w", ErrNotAuthorised), "fail", "not authorised", "", "", "", DefaultRefusalDelay,
		},
		"without a word":              {errors.New("database is down"), "fail", "internal server error", "", "", "database is down", 0},
		"in words that are not UTF-8": {&Error{Text: "\xff"}, "fail", "internal server error", "", "", "error", 0},
	} {
		for _, hook := range []string{"group", "authenticate", "token"} {
			t.Run(name+", asked for "+hook, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var log bytes.Buffer
					groups := hookedGroups{GroupStore: Groups{"g": {Wildcard: &MemoryUser{AnyPassword: true}}}}
					opts := &ServerOptions{Groups: &groups, Logger: slog.New(slog.NewTextHandler(&log, nil))}
					credentials := `"password":"secret"`
					switch hook {
					case "group":
						groups.group = func(context.Context, string) (*Group, error) { return nil, tt.err }
					case "authenticate":
						groups.authenticate = func(context.Context, *Group, Credentials) (*Grant, error) { return nil, tt.err }
					case "token":
						opts.Tokens = hookedTokens(func(context.Context) error { return tt.err })
						credentials = `"token":"secret"`
					}
					s := NewServer(opts)
					p := shake(serve(t, s), "a")
					begin := time.Now()
					p.Say(`{"type":"join","kind":"join","group":"g","username":"u",` + credentials + `}`)
					id := ""
					if tt.id != "" {
						id = fmt.Sprintf(`"error":%q,`, tt.id)
					}
					p.Hear(fmt.Sprintf(`{"type":"joined","kind":%q,%s"group":"g","username":%q,"value":%q}`, tt.kind, id, tt.username, tt.text))
					require.Equal(t, tt.delay, time.Since(begin))
					p.Say(wirePing).Hear(wirePong)
					closeServer(t, s)
					if tt.logged == "" {
						require.Empty(t, log.String())
					} else {
						require.Contains(t, log.String(), tt.logged)
					}
					require.NotContains(t, log.String(), "secret")
				})
			})
		}
	}
}

func TestServerSaysWhenItsTokenStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := NewServer(&ServerOptions{
			Groups: traceGroups(), Tokens: hookedTokens(func(context.Context) error { return errors.New("disk full") }),
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		p := enter(serve(t, s), "a", "test", "alice", "apw", 0)
		failed := `{"type":"usermessage","kind":"token","error":"error","privileged":true,"value":"internal server error"}`
		p.Say(`{"type":"groupaction","kind":"maketoken","value":{"group":"test","expires":1000}}`).Hear(failed)
		p.Say(`{"type":"groupaction","kind":"edittoken","value":{"token":"t","expires":1000}}`).Hear(failed)
		p.Say(`{"type":"groupaction","kind":"listtokens"}`).
			Hear(`{"type":"usermessage","kind":"tokenlist","error":"error","privileged":true,"value":"internal server error"}`)
		closeServer(t, s)
		require.Equal(t, 3, bytes.Count(log.Bytes(), []byte("disk full")))
	})
}

func TestServerWithoutGroupsHasNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		shake(serve(t, s), "a").Say(joinOf("g", "u", "")).
			Hear(`{"type":"joined","kind":"fail","group":"g","username":"","value":"group does not exist"}`)
		list, err := s.PublicGroups(t.Context())
		require.NoError(t, err)
		require.Empty(t, list)
		closeServer(t, s)
	})
}

func TestSlowStoreDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		groups := hookedGroups{GroupStore: traceGroups()}
		groups.group = func(ctx context.Context, name string) (*Group, error) {
			if name == "wild" {
				<-release
			}
			return groups.GroupStore.Group(ctx, name)
		}
		s := NewServer(&ServerOptions{Groups: &groups})
		slow := shake(serve(t, s), "slow").Say(joinOf("wild", "w", "1234"))
		p := enter(serve(t, s), "a", "open", "ann", "", 0).Say(wirePing).Hear(wirePong)
		close(release)
		slow.Skip(2).Say(wirePing).Hear(wirePong)
		p.Say(wirePing).Hear(wirePong)
		closeServer(t, s)
	})
}

func TestEndOfTheContextEndsEveryWait(t *testing.T) {
	t.Parallel()
	block := func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for name, tt := range map[string]struct {
		opts func(o *ServerOptions)
		say  string
	}{
		"in the delay of a refusal": {func(o *ServerOptions) { o.RefusalDelay = time.Hour }, joinOf("test", "bob", "wrong")},
		"in Group": {func(o *ServerOptions) {
			o.Groups = hookedGroups{group: func(ctx context.Context, _ string) (*Group, error) { return nil, block(ctx) }}
		}, joinOf("test", "bob", "bpw")},
		"in Authenticate": {func(o *ServerOptions) {
			o.Groups = hookedGroups{GroupStore: traceGroups(), authenticate: func(ctx context.Context, _ *Group, _ Credentials) (*Grant, error) {
				return nil, block(ctx)
			}}
		}, joinOf("test", "bob", "bpw")},
		"in Token": {func(o *ServerOptions) { o.Tokens = hookedTokens(block) }, `{"type":"join","kind":"join","group":"test","token":"t"}`},
	} {
		for _, end := range []string{"of Serve", "of the connection", "of the server"} {
			t.Run(name+", the end "+end, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					opts := &ServerOptions{Groups: traceGroups()}
					tt.opts(opts)
					s := NewServer(opts)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					p := shake(serveIn(t, ctx, s), "a").Say(tt.say)
					synctest.Wait()
					begin := time.Now()
					switch end {
					case "of Serve":
						cancel()
						p.Closed(transport.StatusGoingAway, "")
						require.ErrorIs(t, <-p.Served, context.Canceled)
					case "of the connection":
						for sess := range s.Sessions() {
							sess.Close(transport.StatusNormal, "enough")
						}
						p.Closed(transport.StatusNormal, "enough")
						require.NoError(t, <-p.Served)
					case "of the server":
						closed := make(chan error, 1)
						go func() { closed <- s.Close() }()
						p.Closed(transport.StatusGoingAway, "server closed")
						require.NoError(t, <-closed)
						require.NoError(t, <-p.Served)
					}
					require.Zero(t, time.Since(begin))
					closeServer(t, s)
				})
			})
		}
	}
}

func TestConnectionCutWhileItsJoinIsDecidedLeavesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		groups := hookedGroups{GroupStore: traceGroups()}
		groups.authenticate = func(ctx context.Context, g *Group, c Credentials) (*Grant, error) {
			if *c.Username == "bob" {
				<-release // whatever becomes of the connection
			}
			return groups.GroupStore.Authenticate(ctx, g, c)
		}
		s := NewServer(&ServerOptions{Groups: &groups})
		alice := enter(serve(t, s), "a", "test", "alice", "apw", 0)
		bob := shake(serve(t, s), "b").Say(joinOf("test", "bob", "bpw"))
		require.NoError(t, bob.Close(transport.StatusNormal, ""))
		synctest.Wait()
		alice.Say(wirePing).Hear(wirePong) // nothing of bob
		go close(release)
		alice.Hear( // its reader finds the end when it has its answer
			`{"type":"user","kind":"add","id":"b","username":"bob","permissions":["present","message"]}`,
			`{"type":"user","kind":"delete","id":"b","username":"bob"}`)
		require.NoError(t, <-bob.Served)
		closeServer(t, s)
	})
}

func TestAMemberIsKickedByTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Groups: traceGroups()})
		p := enter(serve(t, s), "a", "open", "ann", "", 0)
		q := enter(serve(t, s), "b", "open", "ben", "", 1)
		p.Skip(1)
		sessions := slices.Collect(s.Sessions())
		require.Len(t, sessions, 2)
		sessions[1].Kick("maintenance")
		q.Hear(`{"type":"usermessage","kind":"kicked","dest":"b","privileged":true,"value":"maintenance"}`)
		q.Closed(transport.StatusNormal, "kicked out (maintenance)")
		require.NoError(t, <-q.Served)
		p.Hear(`{"type":"user","kind":"delete","id":"b","username":"ben"}`)
		sessions[1].Kick("again")
		require.ErrorIs(t, s.Send(sessions[1].ID(), &Ping{}), ErrUnknownPeer)
		_, ok := sessions[1].State()
		require.False(t, ok)
		_, ok = sessions[1].Member()
		require.False(t, ok)
		// Before the handshake nothing is said.
		r := serve(t, s)
		synctest.Wait()
		for sess := range s.Sessions() {
			if state, _ := sess.State(); state == ServerHandshaking {
				sess.Kick("x")
			}
		}
		r.Closed(transport.StatusNormal, "")
		closeServer(t, s)
	})
}

func TestSessionsTellWhoTheirUsersAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s := NewServer(&ServerOptions{
			Groups: traceGroups(),
			Address: func(ctx context.Context) net.Addr {
				if a, ok := ctx.Value(key{}).(net.Addr); ok {
					return a
				}
				return nil
			},
		})
		addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711}
		p := serveIn(t, context.WithValue(t.Context(), key{}, addr), s)
		synctest.Wait()
		sess := slices.Collect(s.Sessions())[0]
		state, ok := sess.State()
		require.True(t, ok)
		require.Equal(t, ServerHandshaking, state)
		shake(p, "a")
		state, _ = sess.State()
		require.Equal(t, ServerReady, state)
		p.Say(`{"type":"join","kind":"join","group":"test","username":"bob","password":"bpw","data":{"x":1}}`).Skip(2)
		state, _ = sess.State()
		require.Equal(t, ServerJoined, state)
		m, ok := sess.Member()
		require.True(t, ok)
		require.Equal(t, Member{
			Peer: sess.ID(), Group: "test", ID: "a", Username: "bob", Permissions: asSpeaker,
			Data: Fields{"x": []byte("1")}, Address: "192.0.2.1:4711",
		}, m)
		// Somebody without an address.
		alice := enter(serve(t, s), "b", "test", "alice", "apw", 1)
		p.Skip(1)
		alice.Say(`{"type":"useraction","kind":"identify","dest":"a"}`).
			Hear(`{"type":"usermessage","kind":"userinfo","privileged":true,"value":{"id":"a","username":"bob","address":"192.0.2.1:4711"}}`).
			Say(`{"type":"useraction","kind":"identify","dest":"b"}`).Skip(1).
			Hear(`{"type":"usermessage","kind":"userinfo","privileged":true,"value":{"id":"b","username":"alice"}}`)
		p.Skip(1)
		require.Positive(t, s.Stats().MessagesRead)
		require.Positive(t, s.Stats().BytesWritten)
		closeServer(t, s)
	})
}

func TestSendGoesPastTheMachine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Groups: traceGroups()})
		p := shake(serve(t, s), "a")
		sess := slices.Collect(s.Sessions())[0]
		require.NoError(t, sess.Send(&UserMessage{Kind: "novelty", Value: []byte(`7`)}))
		require.NoError(t, s.Send(sess.ID(), &Unknown{Type: "other"}))
		p.Hear(`{"type":"usermessage","kind":"novelty","value":7}`, `{"type":"other"}`)
		var invalid *ValidationError
		require.ErrorAs(t, sess.Send(&User{}), &invalid)
		require.ErrorAs(t, s.Send(sess.ID(), &User{}), &invalid)
		require.ErrorIs(t, s.Send(99, &Ping{}), ErrUnknownPeer)
		closeServer(t, s)
	})
}

func TestMembersHearOfAnUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Groups: traceGroups()})
		p := enter(serve(t, s), "a", "open", "ann", "", 0)
		desc := &Group{Name: "open", Description: "new", CanChangePassword: true}
		s.Update(desc)
		p.Hear(`{"type":"joined","kind":"change","group":"open","username":"ann","permissions":["present","message"],
			"status":{"name":"open","description":"new","clientCount":1,"canChangePassword":true},"rtcConfiguration":{}}`)
		s.Update(&Group{Name: "open", Description: "new", CanChangePassword: true}) // which says the same
		s.Update(&Group{Name: "elsewhere"})
		p.Say(wirePing).Hear(wirePong)
		// What the store says is told when somebody joins.
		q := shake(serve(t, s), "b").Say(joinOf("open", "ben", "")).Skip(3)
		p.Hear(`{"type":"joined","kind":"change","group":"open","username":"ann","permissions":["present","message"],
			"status":{"name":"open","clientCount":1,"canChangePassword":true},"rtcConfiguration":{}}`).Skip(1)
		// One that nobody may be in any more.
		s.Update(&Group{Name: "open", Autokick: true, CanChangePassword: true})
		for _, peer := range []*script.Line{p, q} {
			peer.Drain()
			require.NoError(t, <-peer.Served)
		}
		closeServer(t, s)
	})
}

func TestClientsAreToldTheLatestRTCConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Groups:       traceGroups(),
			ServerConfig: ServerConfig{RTCConfiguration: []byte(`{"iceTransportPolicy":"relay"}`)},
		})
		status := `"status":{"name":"open","clientCount":1,"canChangePassword":true}`
		hear := func(p *script.Line, kind, configuration string) {
			t.Helper()
			p.Hear(`{"type":"joined","kind":"` + kind + `","group":"open","username":"u","permissions":["present","message"],` + status +
				`,"rtcConfiguration":` + configuration + `}`)
		}
		p := shake(serve(t, s), "a").Say(joinOf("open", "u", ""))
		hear(p, "join", `{"iceTransportPolicy":"relay"}`)
		require.NoError(t, s.SetRTCConfiguration(&RTCConfiguration{ICEServers: []ICEServer{{URLs: []string{"stun:192.0.2.1"}}}}))
		p.Say(`{"type":"join","kind":"leave","group":"open"}`, joinOf("open", "u", "")).Skip(2)
		hear(p, "join", `{"iceServers":[{"urls":["stun:192.0.2.1"]}]}`)
		require.Error(t, s.SetRTCConfiguration(&RTCConfiguration{ICETransportPolicy: "\xff"}))
		require.NoError(t, s.SetRTCConfiguration(nil))
		p.Say(`{"type":"join","kind":"leave","group":"open"}`, joinOf("open", "u", "")).Skip(2)
		hear(p, "join", `{}`)
		closeServer(t, s)
	})
}

func TestServerTellsWhatGroupsItHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		groups := traceGroups()
		groups["moved"] = &MemoryGroup{Group: Group{
			Public: true, Redirect: "https://x.example/group/moved/", DisplayName: "Moved", AuthServer: "https://auth.example",
		}}
		groups["auth"] = &MemoryGroup{Group: Group{AuthServer: "https://auth.example", AuthPortal: "https://portal.example"}}
		groups["zoo"] = &MemoryGroup{Group: Group{Public: true}}
		failing := hookedGroups{GroupStore: groups}
		s := NewServer(&ServerOptions{Groups: &failing})
		none, one := 0, 1
		status := func(name string) *Status {
			t.Helper()
			st, err := s.Status(t.Context(), name)
			require.NoError(t, err)
			return st
		}
		require.Equal(t, &Status{
			Name: "test", DisplayName: "Test group", Description: "A group for traces", ClientCount: &none,
		}, status("test"))
		p := enter(serve(t, s), "a", "test", "alice", "apw", 0).Say(`{"type":"groupaction","kind":"lock"}`).Skip(1)
		q := enter(serve(t, s), "b", "test/sub", "alice", "apw", 0)
		require.Equal(t, &Status{
			Name: "test", DisplayName: "Test group", Description: "A group for traces", ClientCount: &one, Locked: true,
		}, status("test"))
		require.Equal(t, &Status{Name: "test/sub", DisplayName: "Test group"}, status("test/sub"))
		require.Equal(t, &Status{Name: "open"}, status("open"))
		require.Equal(t, &Status{Name: "moved", DisplayName: "Moved", Redirect: "https://x.example/group/moved/"}, status("moved"))
		require.Equal(t, &Status{Name: "auth", AuthServer: "https://auth.example", AuthPortal: "https://portal.example"}, status("auth"))
		for _, name := range []string{"nowhere", "", "/", "../test", "open/sub"} {
			_, err := s.Status(t.Context(), name)
			require.ErrorIs(t, err, ErrNoGroup, name)
		}
		list, err := s.PublicGroups(t.Context())
		require.NoError(t, err)
		var names []string
		for _, st := range list {
			names = append(names, st.Name)
		}
		require.Equal(t, []string{"test", "zoo"}, names, "by name, and nobody is told of the others")

		down := errors.New("database is down")
		failing.names = func(context.Context) ([]string, error) { return nil, down }
		_, err = s.PublicGroups(t.Context())
		require.ErrorIs(t, err, down)
		failing.names = func(context.Context) ([]string, error) { return []string{"test", "gone"}, nil }
		list, err = s.PublicGroups(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		failing.group = func(context.Context, string) (*Group, error) { return nil, down }
		_, err = s.PublicGroups(t.Context())
		require.ErrorIs(t, err, down)
		p.Drain()
		q.Drain()
		closeServer(t, s)
	})
}
