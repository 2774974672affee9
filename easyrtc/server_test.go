package easyrtc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A guest is a client's end of a server's connection.
type guest struct {
	transport.Conn
	t      *testing.T
	served chan error // what Serve returned
}

func visit(t *testing.T, s *Server) *guest { return visitIn(t, t.Context(), s) }

func visitIn(t *testing.T, ctx context.Context, s *Server) *guest {
	near, far := transport.Pipe()
	g := &guest{near, t, make(chan error, 1)}
	go func() { g.served <- s.Serve(ctx, far) }()
	return g
}

func (g *guest) say(packets ...string) *guest {
	g.t.Helper()
	for _, text := range packets {
		require.NoError(g.t, g.Write(transport.Text, []byte(text)))
	}
	return g
}

// hear demands packets, which are compared without their times.
func (g *guest) hear(packets ...string) *guest {
	g.t.Helper()
	for _, want := range packets {
		_, got, err := g.Read(nil)
		require.NoError(g.t, err, want)
		require.Equal(g.t, want, timeless(got))
	}
	return g
}

func (g *guest) closed(code transport.StatusCode) {
	g.t.Helper()
	_, got, err := g.Read(nil)
	closed, ok := errors.AsType[*transport.CloseError](err)
	require.True(g.t, ok, "%s %v", got, err)
	require.Equal(g.t, code, closed.Code)
}

func (g *guest) drain() {
	go func() {
		for {
			if _, _, err := g.Read(nil); err != nil {
				return
			}
		}
	}()
}

// enter logs in with the members of msgData besides apiVersion, and hears its token.
func (g *guest) enter(members string) *guest {
	g.t.Helper()
	g.say("0")
	_, _, err := g.Read(nil)
	require.NoError(g.t, err)
	g.say(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1"` + members + `}}]`)
	_, got, err := g.Read(nil)
	require.NoError(g.t, err)
	require.Contains(g.t, string(got), `30[{"msgType":"token"`)
	return g
}

// refused is an acknowledgement that says an error.
func refused(id int, err *Error) string {
	text := err.ErrorText
	if text == "" {
		text = err.ErrorCode.Text()
	}
	return fmt.Sprintf(`3%d[{"msgData":{"errorCode":%q,"errorText":%q},"msgType":"error","serverTime":"T"}]`, id, err.ErrorCode, text)
}

// closeServer closes a server whose clients have stopped reading, and demands that it has
// forgotten everybody.
func closeServer(t *testing.T, s *Server) {
	t.Helper()
	require.NoError(t, s.Close())
	synctest.Wait()
	require.Zero(t, s.machine.Len())
	require.Empty(t, s.machine.ids)
	require.Empty(t, s.gone)
	_, due := s.machine.Deadline()
	require.False(t, due, "a deadline for nobody")
}

// member returns a client of a server that has logged in.
func member(t *testing.T, s *Server, l *Login) *Client {
	t.Helper()
	near, far := transport.Pipe()
	go func() { _ = s.Serve(context.Background(), far) }()
	c, err := Connect(t.Context(), near, nil)
	require.NoError(t, err)
	_, err = c.Login(t.Context(), l)
	require.NoError(t, err)
	return c
}

func TestAuthenticateDecidesWhoAClientIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []LoginRequest
		s := NewServer(&ServerOptions{
			ServerConfig: ServerConfig{
				ConnectionField: FieldMap{"c": {FieldName: "c", FieldValue: json.RawMessage("1")}},
			},
			Authenticate: func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
				seen = append(seen, *l)
				if l.Again {
					l.Username = "renamed"
					return nil
				}
				l.EasyrtcID, l.Username = "given", "alice.verified"
				l.Field = FieldMap{"d": {FieldName: "d", FieldValue: json.RawMessage("2")}}
				l.SessionField = FieldMap{"s": {FieldName: "s", FieldValue: json.RawMessage("3")}}
				return nil
			},
		})
		c := member(t, s, &Login{Application: "app", Username: "alice", Credential: json.RawMessage(`{"p":1}`), SessionID: "sid"})
		require.Equal(t, "given", c.EasyrtcID())
		require.Len(t, c.Token().Field, 2)
		require.JSONEq(t, "3", string(c.Token().SessionData.Field["s"].FieldValue))
		require.Equal(t, "alice.verified", *c.Occupants("default")["given"].Username)
		require.Equal(t, "app", seen[0].Application)
		require.Equal(t, "alice", seen[0].Username)
		require.JSONEq(t, `{"p":1}`, string(seen[0].Credential))
		require.Equal(t, "sid", *seen[0].Message.MsgData.EasyrtcSID)
		require.NotEqual(t, "given", seen[0].EasyrtcID)

		_, err := c.Login(t.Context(), &Login{Application: "app", Rooms: []string{"more"}})
		require.NoError(t, err)
		require.True(t, seen[1].Again)
		require.Equal(t, "alice.verified", seen[1].Username)
		require.Equal(t, "given", seen[1].EasyrtcID)
		require.Equal(t, "given", c.EasyrtcID())
		require.Len(t, c.Rooms(), 2)
		require.Equal(t, "renamed", *c.Occupants("more")["given"].Username)
		id, ok := s.Peer("given")
		require.True(t, ok)
		sess := slices.Collect(s.Sessions())[0]
		require.Equal(t, id, sess.ID())
		info, ok := sess.Client()
		require.True(t, ok)
		require.Equal(t, ClientInfo{Application: "app", EasyrtcID: "given", EasyrtcSID: "sid", Username: "renamed",
			Rooms: []string{"default", "more"}}, info)
		require.JSONEq(t, `{"p":1}`, string(sess.Credential()))

		// Somebody else cannot have the id that is taken.
		other := visit(t, s).say("0")
		_, _, err = other.Read(nil)
		require.NoError(t, err)
		other.say(saidLogin).hear(refused(0, ErrLoginGenFail), "1").drain()
		require.NoError(t, c.Close())
		closeServer(t, s)
	})
}

func TestHooksSayWhatARefusedLoginHears(t *testing.T) {
	t.Parallel()
	mine := &Error{ErrorCode: "MY_CODE", ErrorText: "my text"}
	bug := errors.New("a secret of the store")
	for name, tt := range map[string]struct {
		hook   string
		err    error
		want   *Error
		logged bool
	}{
		"authenticate, nobody asked":      {"", nil, ErrLoginBadAuth, false},
		"authenticate, a code":            {"authenticate", ErrLoginBadAuth, ErrLoginBadAuth, false},
		"authenticate, a code of its own": {"authenticate", mine, mine, false},
		"authenticate, a code wrapped":    {"authenticate", fmt.Errorf("wrapped: %w", mine), mine, false},
		"authenticate, without a text":    {"authenticate", &Error{ErrorCode: "MY_CODE"}, &Error{ErrorCode: "MY_CODE"}, false},
		"authenticate, without a code":    {"authenticate", &Error{ErrorText: "x"}, ErrLoginBadAuth, true},
		"authenticate, no UTF-8":          {"authenticate", &Error{ErrorCode: "\xff"}, ErrLoginBadAuth, true},
		"authenticate, another error":     {"authenticate", bug, ErrLoginBadAuth, true},
		"roomCreate":                      {"roomCreate", mine, mine, false},
		"roomCreate, another error":       {"roomCreate", bug, ErrLoginGenFail, true},
		"roomJoin":                        {"roomJoin", mine, mine, false},
		"roomJoin, another error":         {"roomJoin", bug, ErrLoginGenFail, true},
		"ICE":                             {"ice", mine, mine, false},
		"ICE, another error":              {"ice", bug, ErrLoginGenFail, true},
		"a name that is none":             {"name", nil, ErrLoginBadAuth, true},
		"fields that are none":            {"fields", nil, ErrLoginBadAuth, true},
		"an id that is none":              {"id", nil, ErrLoginGenFail, false},
		"fields of a room that are none":  {"roomFields", nil, ErrLoginGenFail, true},
		"ICE servers that are none":       {"iceServers", nil, ErrLoginGenFail, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				opts := &ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil)), AllowAll: tt.hook != ""}
				broken := FieldMap{"x": {FieldValue: json.RawMessage("{")}}
				switch tt.hook {
				case "authenticate":
					opts.Authenticate = func(context.Context, *ServerSession, *LoginRequest) error { return tt.err }
				case "name":
					opts.Authenticate = func(_ context.Context, _ *ServerSession, l *LoginRequest) error { l.Username = "a\nb"; return nil }
				case "fields":
					opts.Authenticate = func(_ context.Context, _ *ServerSession, l *LoginRequest) error { l.Field = broken; return nil }
				case "id":
					opts.Authenticate = func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
						l.EasyrtcID = "not an id"
						return nil
					}
				case "roomCreate":
					opts.AuthorizeRoomCreate = func(context.Context, *ServerSession, *RoomEntry) (FieldMap, error) { return nil, tt.err }
				case "roomFields":
					opts.AuthorizeRoomCreate = func(context.Context, *ServerSession, *RoomEntry) (FieldMap, error) { return broken, nil }
				case "roomJoin":
					opts.AuthorizeRoomJoin = func(context.Context, *ServerSession, *RoomEntry) error { return tt.err }
				case "ice":
					opts.ICEServersFor = func(context.Context, *ServerSession, ClientInfo) ([]ICEServer, error) { return nil, tt.err }
				case "iceServers":
					opts.ICEServersFor = func(context.Context, *ServerSession, ClientInfo) ([]ICEServer, error) {
						return []ICEServer{{Username: "\xff"}}, nil
					}
				}
				s := NewServer(opts)
				g := visit(t, s).say("0")
				_, _, err := g.Read(nil)
				require.NoError(t, err)
				g.say(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","applicationName":"a","roomJoin":{"r":{"roomName":"r"}}}}]`)
				g.hear(refused(0, tt.want), "1")
				require.Nil(t, s.Rooms("a"), "nothing has come of it")
				_, ok := slices.Collect(s.Sessions())[0].Client()
				require.False(t, ok)
				require.Equal(t, tt.logged, log.Len() > 0, log.String())
				g.drain()
				closeServer(t, s)
			})
		})
	}
}

func TestRoomHooksDecideAboutEachRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		s := NewServer(&ServerOptions{
			AllowAll: true,
			AuthorizeRoomCreate: func(_ context.Context, _ *ServerSession, r *RoomEntry) (FieldMap, error) {
				asked = append(asked, "create "+r.Room)
				if r.Room == "uncreated" {
					return nil, &Error{ErrorCode: "NO_SUCH_ROOM", ErrorText: "no"}
				}
				return FieldMap{"by": {FieldName: "by", FieldValue: json.RawMessage(`"` + r.Client.Username + `"`)}}, nil
			},
			AuthorizeRoomJoin: func(_ context.Context, _ *ServerSession, r *RoomEntry) error {
				asked = append(asked, fmt.Sprintf("join %s %s", r.Room, r.Parameter))
				if r.Room == "secret" && string(r.Parameter) != `{"key":1}` {
					return ErrBadRoom
				}
				return nil
			},
		})
		c := member(t, s, &Login{Username: "alice"})
		require.Equal(t, []string{"join default "}, asked)
		asked = nil
		_, err := c.JoinRoom(t.Context(), "uncreated", nil)
		require.ErrorIs(t, err, &Error{ErrorCode: "NO_SUCH_ROOM"})
		require.NotContains(t, s.Rooms("default"), "uncreated")
		_, err = c.JoinRoom(t.Context(), "secret", json.RawMessage(`"text"`))
		require.ErrorIs(t, err, ErrBadRoom)
		require.NotContains(t, s.Rooms("default"), "secret")
		room, err := c.JoinRoom(t.Context(), "secret", json.RawMessage(`{"key":1}`))
		require.NoError(t, err)
		require.JSONEq(t, `"alice"`, string(room.Field["by"].FieldValue))
		require.Equal(t, []string{
			"create uncreated", "create secret", "join secret ", "create secret", `join secret {"key":1}`,
		}, asked)
		// Of several rooms those are joined that may be.
		_, err = c.Call(t.Context(), &RoomJoin{MsgData: &RoomJoinData{RoomJoin: roomRequests([]string{"a", "uncreated", "z"})}})
		require.ErrorIs(t, err, &Error{ErrorCode: "NO_SUCH_ROOM"})
		require.Equal(t, map[string]ListedRoom{
			"a": {RoomName: "a", NumberClients: 1}, "default": {RoomName: "default", NumberClients: 1},
			"secret": {RoomName: "secret", NumberClients: 1}, "z": {RoomName: "z", NumberClients: 1},
		}, s.Rooms("default"))
		require.NoError(t, c.Close())
		closeServer(t, s)
	})
}

func TestICEServersAreThoseOfTheHook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		var fails error
		s := NewServer(&ServerOptions{
			AllowAll: true, ServerConfig: ServerConfig{ICEServers: []ICEServer{NewICEServer("stun:192.0.2.9")}},
			ICEServersFor: func(_ context.Context, _ *ServerSession, c ClientInfo) ([]ICEServer, error) {
				if n++; c.Username == "nobody" {
					return nil, nil
				}
				server := NewICEServer("turn:192.0.2.1")
				server.Username, server.Credential = c.EasyrtcID, fmt.Sprint(n)
				return []ICEServer{server}, fails
			},
		})
		c := member(t, s, &Login{Username: "alice"})
		require.Equal(t, c.EasyrtcID(), c.ICEServers()[0].Username)
		servers, err := c.RefreshICE(t.Context())
		require.NoError(t, err)
		require.Equal(t, "2", servers[0].Credential)
		fails = errors.New("the store is down")
		_, err = c.RefreshICE(t.Context())
		require.ErrorIs(t, err, ErrGenFail)
		require.Equal(t, servers, c.ICEServers())
		other := member(t, s, &Login{Username: "nobody"})
		require.Equal(t, []string{"stun:192.0.2.9"}, other.ICEServers()[0].Addresses())
		require.NoError(t, other.Close())
		require.NoError(t, c.Close())
		closeServer(t, s)
	})
}

func TestMessagesWithoutATargetAreForTheApplication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			AllowAll: true,
			Message: func(_ context.Context, sess *ServerSession, m *Msg) (*Msg, error) {
				client, _ := sess.Client()
				switch m.MsgType {
				case "quiet":
					return nil, nil
				case "refused":
					return nil, &Error{ErrorCode: "MINE", ErrorText: "no"}
				case "failed":
					return nil, errors.New("the store is down")
				case "broken":
					return &Msg{MsgType: "x", MsgData: json.RawMessage("{")}, nil
				case "binary":
					return &Msg{MsgType: "x", MsgData: m.MsgData, Packet: Packet{Attachments: m.Attachments}}, nil
				}
				return &Msg{MsgType: "echo " + client.Username, MsgData: m.MsgData}, nil
			},
		})
		c := member(t, s, &Login{Username: "alice"})
		ctx := t.Context()
		answer, err := c.SendToServer(ctx, "hi", json.RawMessage(`[1]`))
		require.NoError(t, err)
		require.Equal(t, "echo alice", answer.(*Msg).MsgType)
		require.JSONEq(t, "[1]", string(answer.(*Msg).MsgData))
		answer, err = c.SendToServer(ctx, "quiet", nil)
		require.NoError(t, err)
		require.IsType(t, new(Ack), answer)
		_, err = c.SendToServer(ctx, "refused", nil)
		require.ErrorIs(t, err, &Error{ErrorCode: "MINE"})
		for _, typ := range []string{"failed", "broken"} {
			_, err = c.SendToServer(ctx, typ, nil)
			require.ErrorIs(t, err, ErrGenFail, typ)
		}
		answer, err = c.Call(ctx, &Msg{MsgType: "binary", MsgData: json.RawMessage(`{"_placeholder":true,"num":0}`),
			Packet: Packet{Attachments: [][]byte{{1, 2, 3}}}})
		require.NoError(t, err)
		require.Equal(t, [][]byte{{1, 2, 3}}, answer.(*Msg).Attachments)
		require.ErrorIs(t, c.SendTo(ctx, "nobody", "hi", nil), ErrGenFail, "which is none of the hook's business")
		require.NoError(t, c.Close())
		closeServer(t, s)
	})
}

func TestCommandsAreCarriedOutIfTheApplicationLetsThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		s := NewServer(&ServerOptions{
			AllowAll: true,
			AuthorizeCommand: func(_ context.Context, sess *ServerSession, m Message) error {
				asked = append(asked, fmt.Sprintf("%T", m))
				switch m := m.(type) {
				case *Msg:
					if m.TargetRoom != "" {
						return &Error{ErrorCode: "MUTED", ErrorText: "be quiet"}
					}
				case *GetRoomList:
					return errors.New("none of your business")
				case *RoomJoin:
					return ErrBadRoom
				}
				return nil
			},
		})
		alice, bob := member(t, s, &Login{Username: "alice"}), member(t, s, &Login{Username: "bob"})
		ctx := t.Context()
		require.ErrorIs(t, alice.SendToRoom(ctx, "default", "m", nil), &Error{ErrorCode: "MUTED"})
		require.NoError(t, alice.SendTo(ctx, bob.EasyrtcID(), "m", nil))
		_, err := alice.RoomList(ctx)
		require.ErrorIs(t, err, ErrGenFail)
		_, err = alice.JoinRoom(ctx, "x", nil)
		require.ErrorIs(t, err, ErrBadRoom)
		require.NotContains(t, s.Rooms("default"), "x")
		require.NoError(t, alice.SetPresence(ctx, ShowAway, ""))
		_, err = alice.SendToServer(ctx, "m", nil)
		require.NoError(t, err)
		// What is refused anyway is not asked about.
		require.ErrorIs(t, alice.SendTo(ctx, "nobody", "m", nil), ErrGenFail)
		require.Equal(t, []string{
			"*easyrtc.Msg", "*easyrtc.Msg", "*easyrtc.GetRoomList", "*easyrtc.RoomJoin", "*easyrtc.SetPresence", "*easyrtc.Msg",
		}, asked)
		for m, err := range bob.Messages(ctx) {
			require.NoError(t, err)
			if m, ok := m.(*Msg); ok {
				require.Equal(t, alice.EasyrtcID(), m.SenderEasyrtcID)
				break
			}
		}
		require.NoError(t, alice.Close())
		require.NoError(t, bob.Close())
		closeServer(t, s)
	})
}

func TestApplicationHearsOfLoginsAndTheirEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []string
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, fmt.Sprintf(format, args...))
		}
		news := func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			defer func() { heard = nil }()
			return heard
		}
		var server *Server
		server = NewServer(&ServerOptions{
			Authenticate: func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
				if l.Username == "eve" {
					return ErrLoginBadAuth
				}
				return nil
			},
			OnAuthenticated: func(_ context.Context, sess *ServerSession) {
				c, ok := sess.Client()
				note("in %s %v %d", c.Username, ok, len(server.Occupants("default", "default")))
			},
			OnDisconnected: func(_ context.Context, sess *ServerSession, c ClientInfo) {
				_, there := sess.Client()
				note("out %s %v %v %d", c.Username, c.Rooms, there, len(server.Occupants("default", "default")))
			},
		})
		auth := func(name string) string {
			return `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","username":"` + name + `"}}]`
		}
		g := visit(t, server).enter(`,"username":"alice"`)
		require.Equal(t, []string{"in alice true 1"}, news())
		g.say(auth("alice2"))
		_, _, err := g.Read(nil)
		require.NoError(t, err)
		require.Equal(t, []string{"in alice2 true 1"}, news(), "a login again is no end")
		g.say("1")
		require.Equal(t, []string{"out alice2 [default] false 0"}, news())
		g.enter(`,"username":"bob"`)
		require.Equal(t, []string{"in bob true 1"}, news(), "on the same connection")
		// Thrown out, it is told at once.
		sess := slices.Collect(server.Sessions())[0]
		sess.Disconnect()
		require.Equal(t, []string{"out bob [default] false 0"}, news())
		g.hear("1").enter(`,"username":"carol"`)
		require.Equal(t, []string{"in carol true 1"}, news())
		sess.Disconnect()
		require.Equal(t, []string{"out carol [default] false 0"}, news())
		g.hear("1")
		require.NoError(t, g.Close(transport.StatusNormal, ""))
		require.NoError(t, <-g.served)
		require.Empty(t, news())
		// A login that fails is none, but it is the end of one.
		g = visit(t, server).enter(`,"username":"dave"`)
		require.Equal(t, []string{"in dave true 1"}, news())
		g.say(auth("eve")).hear(refused(0, ErrLoginBadAuth), "1")
		require.Equal(t, []string{"out dave [default] false 0"}, news())
		g.drain()
		g = visit(t, server).enter(`,"username":"frank"`)
		require.Equal(t, []string{"in frank true 1"}, news())
		require.NoError(t, g.Close(transport.StatusAbnormal, ""))
		require.Error(t, <-g.served)
		require.Equal(t, []string{"out frank [default] false 0"}, news())
		closeServer(t, server)
		require.Empty(t, news())
	})
}

func TestAPanicOfAHookEndsItsConnectionOnly(t *testing.T) {
	t.Parallel()
	login := `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","username":"bad"}}]`
	for _, hook := range []string{"authenticate", "roomCreate", "roomJoin", "ice", "authenticated", "message", "command", "disconnected"} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				blow := func(at, name string) {
					if at == hook && name == "bad" {
						panic("a bug of the application")
					}
				}
				name := func(sess *ServerSession) string { c, _ := sess.Client(); return c.Username }
				opts := &ServerOptions{
					Authenticate: func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
						blow("authenticate", l.Username)
						return nil
					},
					AuthorizeRoomCreate: func(_ context.Context, _ *ServerSession, r *RoomEntry) (FieldMap, error) {
						blow("roomCreate", r.Client.Username)
						return nil, nil
					},
					AuthorizeRoomJoin: func(_ context.Context, _ *ServerSession, r *RoomEntry) error {
						blow("roomJoin", r.Client.Username)
						return nil
					},
					ICEServersFor: func(_ context.Context, _ *ServerSession, c ClientInfo) ([]ICEServer, error) {
						blow("ice", c.Username)
						return nil, nil
					},
					OnAuthenticated: func(_ context.Context, sess *ServerSession) { blow("authenticated", name(sess)) },
					Message: func(_ context.Context, sess *ServerSession, _ *Msg) (*Msg, error) {
						blow("message", name(sess))
						return nil, nil
					},
					AuthorizeCommand: func(_ context.Context, sess *ServerSession, _ Message) error { blow("command", name(sess)); return nil },
					OnDisconnected:   func(_ context.Context, _ *ServerSession, c ClientInfo) { blow("disconnected", c.Username) },
				}
				s := NewServer(opts)
				good := visit(t, s).enter(`,"username":"good"`)
				var log bytes.Buffer
				near, far := transport.Pipe()
				g := &guest{near, t, make(chan error, 1)}
				go func() {
					transport.Serve(t.Context(), far, slog.New(slog.NewTextHandler(&log, nil)), s.Serve)
					g.served <- nil
				}()
				g.drain()
				good.drain()
				_ = g.Write(transport.Text, []byte("0"))
				_ = g.Write(transport.Text, []byte(login))
				_ = g.Write(transport.Text, []byte(`21["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"new":{"roomName":"new"}}}}]`))
				_ = g.Write(transport.Text, []byte(`22["easyrtcMsg",{"msgType":"m"}]`))
				_ = g.Write(transport.Text, []byte(`1`))
				_ = g.Close(transport.StatusNormal, "")
				<-g.served
				require.Contains(t, log.String(), "a bug of the application")
				require.Len(t, s.Occupants("default", "default"), 1)
				require.NoError(t, s.SendTo(s.Occupants("default", "default")[0].EasyrtcID, &Msg{MsgType: "m"}))
				require.NoError(t, good.Write(transport.Text, []byte(`21["easyrtcCmd",{"msgType":"getRoomList"}]`)))
				closeServer(t, s)
			})
		})
	}
}

func TestARoomMayAskForTheCredential(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		server := NewServer(&ServerOptions{AllowAll: true, AuthorizeRoomJoin: func(_ context.Context, _ *ServerSession, r *RoomEntry) error {
			seen = append(seen, r.Room+" "+string(r.Credential))
			return nil
		}})
		g := visit(t, server).enter(`,"credential":{"key":1}`)
		g.say(`21["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"lobby":{"roomName":"lobby"}}}}]`)
		_, _, err := g.Read(nil)
		require.NoError(t, err)
		require.Equal(t, []string{`default {"key":1}`, `lobby {"key":1}`}, seen)
		g.drain()
		closeServer(t, server)
	})
}
