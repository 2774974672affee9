package easyrtc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// dialed returns options with which a client connects again, and the server's ends of
// these connections.
func dialed(t *testing.T) (*ClientOptions, <-chan *script.Line) {
	peers := make(chan *script.Line, 8)
	return &ClientOptions{Redial: func(context.Context) (transport.Conn, error) {
		near, far := transport.Pipe()
		peers <- &script.Line{Conn: far, TB: t}
		return near, nil
	}}, peers
}

// TestClientComesBackAsItWas lets a client with all that it can have lose its connection to
// a server, and looks at it with the eyes of another one.
func TestClientComesBackAsItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := NewServer(&ServerOptions{
			Authenticate: func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
				if l.Username == "alice" && string(l.Credential) != `{"p":1}` {
					return ErrLoginBadAuth
				}
				return nil
			},
			AuthorizeRoomJoin: func(_ context.Context, _ *ServerSession, r *RoomEntry) error {
				if r.Room == "secret" && string(r.Parameter) != `{"key":1}` {
					return ErrBadRoom
				}
				return nil
			},
		})
		var ends []transport.Conn // the client's
		dial := func(context.Context) (transport.Conn, error) {
			near, far := transport.Pipe()
			ends = append(ends, near)
			go func() { _ = s.Serve(context.Background(), far) }()
			return near, nil
		}
		connect := func(opts *ClientOptions) *Client {
			conn, err := dial(ctx)
			require.NoError(t, err)
			c, err := Connect(ctx, conn, opts)
			require.NoError(t, err)
			return c
		}
		bob := connect(nil)
		_, err := bob.Login(ctx, &Login{Application: "app", Username: "bob", Rooms: []string{"lobby"}})
		require.NoError(t, err)
		_, err = bob.JoinRoom(ctx, "secret", json.RawMessage(`{"key":1}`))
		require.NoError(t, err)

		alice := connect(&ClientOptions{Redial: dial})
		_, err = alice.Login(ctx, &Login{Application: "app", Username: "alice", Credential: json.RawMessage(`{"p":1}`), SessionID: "sid"})
		require.NoError(t, err)
		_, err = alice.JoinRoom(ctx, "secret", nil)
		require.ErrorIs(t, err, ErrBadRoom)
		_, err = alice.JoinRoom(ctx, "secret", json.RawMessage(`{"key":1}`))
		require.NoError(t, err)
		_, err = alice.JoinRoom(ctx, "lobby", nil)
		require.NoError(t, err)
		require.NoError(t, alice.LeaveRoom(ctx, "default"))
		require.NoError(t, alice.SetPresence(ctx, ShowDND, "busy"))
		require.NoError(t, alice.SetAPIField(ctx, "lobby", FieldMap{"k": {FieldName: "k", FieldValue: json.RawMessage("1")}}))
		before := alice.EasyrtcID()

		require.NoError(t, ends[1].Close(transport.StatusAbnormal, ""))
		var again *Reconnected
		for again == nil {
			m, err := alice.Next(ctx)
			require.NoError(t, err)
			again, _ = m.(*Reconnected)
		}
		synctest.Wait()
		id := alice.EasyrtcID()
		require.NotEqual(t, before, id)
		require.Equal(t, id, again.Token.MsgData.EasyrtcID)
		require.Equal(t, "sid", again.Token.MsgData.SessionData.EasyrtcSID)
		for _, room := range []string{"lobby", "secret"} {
			others := bob.Occupants(room)
			require.Len(t, others, 2, room)
			require.NotContains(t, others, before)
			require.Equal(t, "alice", *others[id].Username)
			require.Equal(t, ShowDND, others[id].Presence.Show)
			require.Equal(t, "busy", *others[id].Presence.Status)
			require.Contains(t, alice.Occupants(room), bob.EasyrtcID())
		}
		require.JSONEq(t, `{"k":{"fieldName":"k","fieldValue":1}}`, string(bob.Occupants("lobby")[id].APIField))
		require.Nil(t, bob.Occupants("secret")[id].APIField)
		require.Len(t, alice.Rooms(), 2)
		require.Empty(t, s.Occupants("app", "default"), "which it had left")
		require.Len(t, slices.Collect(s.Sessions()), 2)
		require.NoError(t, bob.SendTo(ctx, id, "hi", nil))
		require.NoError(t, alice.Close())
		require.NoError(t, bob.Close())
		require.NoError(t, s.Close())
		synctest.Wait()
		require.Zero(t, s.machine.Len())
		require.Empty(t, s.machine.ids)
	})
}

func TestReloginSaysWhatToLogInWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts, peers := dialed(t)
		attempts := 0
		opts.Relogin = func(_ context.Context, last *Authenticate) (*Authenticate, error) {
			attempts++
			require.Equal(t, APIVersion, *last.MsgData.APIVersion)
			switch attempts {
			case 1:
				return nil, errors.New("no credential now")
			case 2:
				return &Authenticate{}, nil // which no server would take
			case 3:
				return (&Login{Credential: json.RawMessage(`{"fresh":1}`)}).Message(), nil
			}
			return nil, nil
		}
		c, p := readyClient(t, opts)
		require.NoError(t, p.Close(transport.StatusAbnormal, ""))
		p = (<-peers).Hear("0")
		require.Equal(t, 3, attempts)
		fresh := `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta","credential":{"fresh":1},` +
			`"roomJoin":{"default":{"roomName":"default"}}}}]`
		p.Say(peerConnect).Hear(fresh).Say("30" + clientToken)
		m, err := c.Next(t.Context())
		require.NoError(t, err)
		require.IsType(t, new(Reconnected), m)
		require.NoError(t, p.Close(transport.StatusNormal, ""), "however orderly, the application has not closed it")
		p = (<-peers).Hear("0").Say(peerConnect).Hear(fresh)
		p.Drain()
		require.NoError(t, c.Close())
	})
}

func TestReloginIsNotAskedBeforeALogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts, peers := dialed(t)
		opts.Relogin = func(context.Context, *Authenticate) (*Authenticate, error) {
			t.Error("there is nothing to repeat")
			return nil, nil
		}
		c, p := connectedClient(t, opts)
		require.NoError(t, p.Close(transport.StatusAbnormal, ""))
		p = (<-peers).Hear("0").Say(peerConnect)
		synctest.Wait()
		require.Equal(t, ClientConnected, c.State())
		p.Answers(saidLogin, "30"+clientToken)
		_, err := c.Login(t.Context(), &Login{})
		require.NoError(t, err, "the application logs in")
		p.Drain()
		require.NoError(t, c.Close())
	})
}

func TestServerThatSendsAwayIsNotCalledAgain(t *testing.T) {
	t.Parallel()
	refusal := `30[{"msgType":"error","serverTime":5,"msgData":{"errorCode":"LOGIN_BAD_AUTH","errorText":"no"}}]`
	for name, tt := range map[string]struct {
		again bool // after a reconnection
		text  string
		want  error
	}{
		"thrown out":                   {false, "1", ErrDisconnected},
		"thrown out while it returns":  {true, "1", ErrDisconnected},
		"refused when it returns":      {true, refusal, ErrLoginBadAuth},
		"kept out of the namespace":    {true, `4{"message":"no"}`, ErrNamespace},
		"refused with another message": {true, `30[{"msgType":"error"}]`, ErrGenFail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts, peers := dialed(t)
				c, p := readyClient(t, opts)
				if tt.again {
					require.NoError(t, p.Close(transport.StatusAbnormal, ""))
					p = (<-peers).Hear("0")
					if tt.text[0] != '4' {
						p.Say(peerConnect)
						_, _, err := p.Read(nil)
						require.NoError(t, err)
					}
				}
				p.Say(tt.text)
				p.Closed(transport.StatusNormal)
				requireClientEnds(t, c, tt.want)
				time.Sleep(time.Hour)
				require.Empty(t, peers)
			})
		})
	}
}

func TestCallsAreNotRepeatedOnANewConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts, peers := dialed(t)
		c, p := readyClient(t, opts)
		done := make(chan error, 1)
		go func() {
			_, err := c.RoomList(t.Context())
			done <- err
		}()
		p.Hear(`21["easyrtcCmd",{"msgType":"getRoomList"}]`)
		require.NoError(t, p.Close(transport.StatusAbnormal, ""))
		require.ErrorIs(t, <-done, ErrConnectionLost)
		_, err := c.RoomList(t.Context())
		_, ok := errors.AsType[*StateError](err)
		require.True(t, ok, "%v", err)
		p = (<-peers).Hear("0").Say(peerConnect)
		_, _, err = p.Read(nil)
		require.NoError(t, err)
		p.Say("30" + clientToken)
		_, err = c.Next(t.Context())
		require.NoError(t, err)
		p.Answers(`21["easyrtcCmd",{"msgType":"getRoomList"}]`, `31[{"msgType":"roomList","msgData":{"roomList":{}}}]`)
		_, err = c.RoomList(t.Context())
		require.NoError(t, err)
		p.Drain()
		require.NoError(t, c.Close())
	})
}

func TestClientGivesUpAfterItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nowhere := errors.New("nowhere")
		attempts := 0
		c, p := readyClient(t, &ClientOptions{
			Redial:  func(context.Context) (transport.Conn, error) { attempts++; return nil, nowhere },
			Backoff: Backoff{Min: time.Second, Max: time.Second, Attempts: 5},
		})
		begin := time.Now()
		require.NoError(t, p.Close(transport.StatusAbnormal, ""))
		requireClientEnds(t, c, nowhere)
		require.Equal(t, 5, attempts)
		require.GreaterOrEqual(t, time.Since(begin), 2500*time.Millisecond)
		require.LessOrEqual(t, time.Since(begin), 5*time.Second)
	})
}

func TestConnectionThatBreaksWithinAMessageIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts, peers := dialed(t)
		c, p := readyClient(t, opts)
		p.Say(`52-["easyrtcMsg",{"msgType":"m","msgData":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]}]`)
		require.NoError(t, p.Write(transport.Binary, []byte{1}))
		require.NoError(t, p.Close(transport.StatusAbnormal, ""))
		p = (<-peers).Hear("0").Say(peerConnect)
		_, _, err := p.Read(nil)
		require.NoError(t, err)
		p.Say("30" + clientToken)
		m, err := c.Next(t.Context())
		require.NoError(t, err)
		require.IsType(t, new(Reconnected), m)
		p.Drain()
		require.NoError(t, c.Close())
	})
}

// TestNewConnectionMaySpeakAnotherVersion lets a client come back over Engine.IO 3, where the
// server speaks first.
func TestNewConnectionMaySpeakAnotherVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		peers := make(chan *script.Line, 1)
		c, p := readyClient(t, &ClientOptions{Redial: func(context.Context) (transport.Conn, error) {
			near, far := transport.Pipe()
			peers <- &script.Line{Conn: far, TB: t}
			return versioned{near, 3}, nil
		}})
		require.NoError(t, p.Close(transport.StatusAbnormal, ""))
		p = (<-peers).Say("0")
		_, _, err := p.Read(nil)
		require.NoError(t, err)
		p.Say("30" + clientToken)
		_, err = c.Next(t.Context())
		require.NoError(t, err)
		p.Drain()
		require.NoError(t, c.Close())
	})
}

func TestCloseEndsAClientThatConnectsAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		dial bool // Redial is waiting
	}{"between two attempts": {false}, "in Redial": {true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dialing := make(chan struct{})
				c, p := readyClient(t, &ClientOptions{Redial: func(ctx context.Context) (transport.Conn, error) {
					close(dialing)
					<-ctx.Done()
					return nil, ctx.Err()
				}})
				require.NoError(t, p.Close(transport.StatusAbnormal, ""))
				if tt.dial {
					<-dialing
				} else {
					synctest.Wait()
				}
				require.Equal(t, ClientIdle, c.State())
				require.NoError(t, c.Close())
				_, err := c.Next(t.Context())
				require.Equal(t, io.EOF, err)
				require.NoError(t, c.Err())
				requireClientForgets(t, c.machine)
			})
		})
	}
}
