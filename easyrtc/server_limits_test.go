package easyrtc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

func TestASlowReaderIsDroppedAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const members, messages = 99, 300
		s := NewServer(&ServerOptions{AllowAll: true, Limits: Limits{Messages: -1, Bytes: -1}, QueueMessages: 250})
		var heard, farewells atomic.Int64 // by all who read
		var guests []*guest
		for range members {
			g := visit(t, s)
			guests = append(guests, g.enter(""))
			go func() {
				for {
					_, got, err := g.Read(nil)
					if err != nil {
						return
					}
					switch text := string(got); {
					case strings.Contains(text, `"msgType":"m"`):
						heard.Add(1)
					case strings.Contains(text, `"removeClient":{"slow"`):
						farewells.Add(1)
					}
				}
			}()
		}
		s.opts.Authenticate = func(_ context.Context, _ *ServerSession, l *LoginRequest) error { l.EasyrtcID = "slow"; return nil }
		slow := visit(t, s).enter("") // which makes a room of 100
		synctest.Wait()
		require.Len(t, s.Occupants("default", "default"), 100)
		begin := time.Now()
		for i := range messages {
			guests[i%10].say(fmt.Sprintf(`2%d["easyrtcMsg",{"msgType":"m","targetRoom":"default","msgData":%d}]`, i+1, i))
			synctest.Wait() // all who read have read it
		}
		require.Zero(t, time.Since(begin), "nobody waited for it")
		require.EqualValues(t, (members-1)*messages, heard.Load())
		require.EqualValues(t, members, farewells.Load())
		require.ErrorIs(t, <-slow.served, ErrSlowPeer)
		require.EqualValues(t, 1, s.Stats().Slow)
		closeServer(t, s)
	})
}

func TestARoomIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		for range DefaultRoomConnections {
			visit(t, s).enter("").drain()
		}
		g := visit(t, s).say("0")
		_, _, err := g.Read(nil)
		require.NoError(t, err)
		g.say(saidLogin).hear(refused(0, ErrLoginGenFail), "1").drain()
		other := visit(t, s).enter(`,"roomJoin":{"other":{"roomName":"other"}}`)
		other.say(`21["easyrtcCmd",{"msgType":"roomJoin","msgData":{"roomJoin":{"default":{"roomName":"default"}}}}]`)
		other.hear(refused(1, ErrBadRoom))
		require.Len(t, s.Occupants("default", "default"), DefaultRoomConnections)
		require.Equal(t, DefaultRoomConnections+2, s.machine.Len())
		require.Len(t, s.machine.ids, DefaultRoomConnections+1, "who was refused has no id")
		closeServer(t, s)
	})
}

func TestAFloodIsPacedAndThenCutOffWhileOthersAreServed(t *testing.T) {
	t.Parallel()
	const ask = `21["easyrtcCmd",{"msgType":"getRoomList"}]`
	list := `31[{"msgData":{"roomList":{"default":{"numberClients":2,"roomName":"default"}}},"msgType":"roomList"}]`
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, Limits: Limits{Messages: 10, MessageBurst: 20, Patience: 2 * time.Second}})
		flood := visit(t, s).enter("")
		other := visit(t, s).enter("")
		_, _, err := flood.Read(nil)
		require.NoError(t, err)
		begin := time.Now()
		ended := make(chan transport.StatusCode, 1)
		go func() {
			for {
				if _, _, err := flood.Read(nil); err != nil {
					ended <- codeOfClose(err)
					return
				}
			}
		}()
		go func() {
			for flood.Write(transport.Text, []byte(ask)) == nil {
			}
		}()
		for range 4 {
			time.Sleep(300 * time.Millisecond)
			before := time.Now()
			other.say(ask).hear(list)
			require.Zero(t, time.Since(before))
		}
		other.drain()
		require.ErrorIs(t, <-flood.served, ErrFlood)
		require.EqualValues(t, 1, s.Stats().Flooded)
		require.Equal(t, transport.StatusPolicyViolation, <-ended)
		require.InDelta(t, 2, time.Since(begin).Seconds(), 0.2)
		require.Len(t, s.Occupants("default", "default"), 1)
		closeServer(t, s)
	})
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	message := func(n int) string {
		const begin, end = `21["easyrtcMsg",{"msgType":"m","msgData":"`, `"}]`
		return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
	}
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		g := visit(t, s).enter("").say(message(DefaultMessageBytes)).hear(`31[{"msgType":"ack"}]`)
		g.say(message(DefaultMessageBytes + 1)).closed(transport.StatusNoStatus)
		// The attachments count.
		g = visit(t, s).enter("").say(`52-1["easyrtcMsg",{"msgType":"m","msgData":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]}]`)
		require.NoError(t, g.Write(transport.Binary, make([]byte, DefaultMessageBytes/2)))
		require.NoError(t, g.Write(transport.Binary, make([]byte, DefaultMessageBytes/2)))
		g.closed(transport.StatusNoStatus)
		// So does the first message.
		visit(t, s).say(message(DefaultMessageBytes + 1)).closed(transport.StatusNoStatus)
		require.EqualValues(t, 3, s.Stats().TooBig)
		closeServer(t, s)

		s = NewServer(&ServerOptions{AllowAll: true, MessageBytes: -1, Limits: Limits{Bytes: -1}})
		visit(t, s).enter("").say(message(3 * DefaultMessageBytes)).hear(`31[{"msgType":"ack"}]`)
		closeServer(t, s)
	})
}

func TestAServerHoldsSoManyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, Connections: 2, Newcomers: -1})
		a, _ := visit(t, s).enter(""), visit(t, s).say("0")
		c := visit(t, s)
		c.closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-c.served, ErrTooManyConnections)
		require.EqualValues(t, 1, s.Stats().Refused)
		require.NoError(t, a.Close(transport.StatusNormal, ""))
		require.NoError(t, <-a.served)
		visit(t, s).enter("")
		closeServer(t, s)
	})
}

func TestNewcomersMakeWayForNewcomersOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, Newcomers: 1})
		in := visit(t, s).enter(`,"roomJoin":{"a":{"roomName":"a"}}`)
		first := visit(t, s).say("0")
		_, _, err := first.Read(nil)
		require.NoError(t, err)
		second := visit(t, s)
		first.closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-first.served, ErrTooManyConnections)
		second.enter(`,"roomJoin":{"b":{"roomName":"b"}}`)
		visit(t, s)
		synctest.Wait()
		require.Len(t, slices.Collect(s.Sessions()), 3, "who is in stays")
		require.EqualValues(t, 1, s.Stats().Crowded)
		for _, g := range []*guest{in, second} {
			g.say(`21["easyrtcMsg",{"msgType":"m","msgData":1}]`).hear(`31[{"msgType":"ack"}]`)
		}
		closeServer(t, s)
	})
}

func TestCloseEndsEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		logged, silent := visit(t, s).enter(""), visit(t, s)
		opened := visit(t, s).say("0")
		_, _, err := opened.Read(nil)
		require.NoError(t, err)
		require.NoError(t, s.SendTo(s.Occupants("default", "default")[0].EasyrtcID, &Msg{MsgType: "last words"}))
		synctest.Wait() // the silent one is there, too
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		_, got, err := logged.Read(nil)
		require.NoError(t, err)
		require.Contains(t, string(got), "last words")
		for _, g := range []*guest{logged, silent, opened} {
			g.closed(transport.StatusGoingAway)
			require.NoError(t, <-g.served)
		}
		require.NoError(t, <-closed)
		late := visit(t, s)
		late.closed(transport.StatusGoingAway)
		require.ErrorIs(t, <-late.served, ErrServerClosed)
		closeServer(t, s)
	})
}

func TestEndOfTheContextEndsEveryWait(t *testing.T) {
	t.Parallel()
	block := func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for name, opts := range map[string]*ServerOptions{
		"in no hook":      {AllowAll: true},
		"in Authenticate": {Authenticate: func(ctx context.Context, _ *ServerSession, _ *LoginRequest) error { return block(ctx) }},
		"in AuthorizeRoomCreate": {AllowAll: true, ServerConfig: ServerConfig{NoDefaultRoom: true},
			AuthorizeRoomCreate: func(ctx context.Context, _ *ServerSession, _ *RoomEntry) (FieldMap, error) { return nil, block(ctx) }},
		"in AuthorizeRoomJoin": {AllowAll: true, AuthorizeRoomJoin: func(ctx context.Context, _ *ServerSession, _ *RoomEntry) error { return block(ctx) }},
		"in ICEServersFor":     {AllowAll: true, ICEServersFor: func(ctx context.Context, _ *ServerSession, _ ClientInfo) ([]ICEServer, error) { return nil, block(ctx) }},
		"in OnAuthenticated":   {AllowAll: true, OnAuthenticated: func(ctx context.Context, _ *ServerSession) { _ = block(ctx) }},
	} {
		for _, end := range []string{"of Serve", "of the connection", "of the server"} {
			t.Run(name+", the end "+end, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := NewServer(opts)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					g := visitIn(t, ctx, s).say("0")
					_, _, err := g.Read(nil)
					require.NoError(t, err)
					g.say(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","roomJoin":{"r":{"roomName":"r"}}}}]`)
					synctest.Wait()
					begin := time.Now()
					ended := make(chan transport.StatusCode, 1)
					go func() {
						for {
							if _, _, err := g.Read(nil); err != nil {
								ended <- codeOfClose(err)
								return
							}
						}
					}()
					switch end {
					case "of Serve":
						cancel()
						require.ErrorIs(t, <-g.served, context.Canceled)
						require.Equal(t, transport.StatusGoingAway, <-ended)
					case "of the connection":
						slices.Collect(s.Sessions())[0].Close(transport.StatusNormal, "enough")
						require.NoError(t, <-g.served)
						require.Equal(t, transport.StatusNormal, <-ended)
					case "of the server":
						require.NoError(t, s.Close())
						require.NoError(t, <-g.served)
						require.Equal(t, transport.StatusGoingAway, <-ended)
					}
					require.Zero(t, time.Since(begin))
					closeServer(t, s)
				})
			})
		}
	}
}

func TestSlowHooksDelayNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(&ServerOptions{Authenticate: func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
			if l.Username == "slow" {
				<-release
			}
			return nil
		}})
		slow := visit(t, s).say("0")
		_, _, err := slow.Read(nil)
		require.NoError(t, err)
		slow.say(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","username":"slow"}}]`)
		const ask = `21["easyrtcCmd",{"msgType":"getRoomList"}]`
		list := `31[{"msgData":{"roomList":{"default":{"numberClients":1,"roomName":"default"}}},"msgType":"roomList"}]`
		other := visit(t, s).enter("").say(ask).hear(list)
		other.drain()
		close(release)
		_, got, err := slow.Read(nil)
		require.NoError(t, err)
		require.Contains(t, string(got), `"msgType":"token"`)
		closeServer(t, s)
	})
}

func TestConnectionCutWhileItsLoginIsDecidedLeavesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(&ServerOptions{Authenticate: func(_ context.Context, _ *ServerSession, l *LoginRequest) error {
			if l.Username == "bob" {
				<-release // whatever becomes of the connection
			}
			return nil
		}})
		alice := visit(t, s).enter("")
		bob := visit(t, s).say("0")
		_, _, err := bob.Read(nil)
		require.NoError(t, err)
		bob.say(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","username":"bob"}}]`)
		require.NoError(t, bob.Close(transport.StatusNormal, ""))
		synctest.Wait()
		close(release)
		synctest.Wait()
		require.NoError(t, <-bob.served)
		require.Len(t, s.Occupants("default", "default"), 1)
		alice.drain()
		closeServer(t, s)
	})
}

func TestServeTellsWhyAConnectionEnded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(g *guest)
		want func(err error) bool
	}{
		"by the client": {
			func(g *guest) { _ = g.Close(transport.StatusNormal, "bye") }, func(err error) bool { return err == nil },
		},
		"by the client without a code": {
			func(g *guest) { _ = g.say("1").Close(transport.StatusNoStatus, "") }, func(err error) bool { return err == nil },
		},
		"by the client's fault": {
			func(g *guest) { g.say(`garbage`).drain() }, func(err error) bool { return err == nil },
		},
		"by nobody": {
			func(g *guest) { _ = g.Close(transport.StatusAbnormal, "") },
			func(err error) bool { return codeOfClose(err) == transport.StatusAbnormal },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(&ServerOptions{AllowAll: true})
				g := visit(t, s).enter("")
				tt.end(g)
				err := <-g.served
				require.True(t, tt.want(err), "%v", err)
				closeServer(t, s)
			})
		})
	}
}

func TestSilentConnectionsAreGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		begin := time.Now()
		visit(t, s).closed(transport.StatusNoStatus)
		require.Equal(t, DefaultConnectTimeout, time.Since(begin))

		begin = time.Now()
		g := visit(t, s).say("0")
		_, _, err := g.Read(nil)
		require.NoError(t, err)
		_, got, err := g.Read(nil)
		require.NoError(t, err)
		require.Equal(t, DefaultLoginTimeout, time.Since(begin))
		require.Contains(t, string(got), `{"errorCode":"LOGIN_TIMEOUT","errorText":"Login has timed out. Socket will be disconnected."}`)
		g.hear("1").closed(transport.StatusNoStatus)

		// One that has logged in is not, and one that was thrown out is.
		g = visit(t, s).enter("")
		time.Sleep(24 * time.Hour)
		begin = time.Now()
		slices.Collect(s.Sessions())[0].Disconnect()
		g.hear("1").closed(transport.StatusNoStatus)
		require.Equal(t, DefaultConnectTimeout, time.Since(begin))
		closeServer(t, s)
	})
}

func TestTheApplicationSendsWhatItLikes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		g := visit(t, s).say("0")
		_, _, err := g.Read(nil)
		require.NoError(t, err)
		sess := slices.Collect(s.Sessions())[0]
		require.ErrorIs(t, sess.Send(&Msg{MsgType: "m"}), ErrUnknownPeer, "it has not logged in")
		_, ok := sess.Client()
		require.False(t, ok)
		g.say(`20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1","easyrtcsid":"sid"}}]`)
		_, _, err = g.Read(nil)
		require.NoError(t, err)
		info, ok := sess.Client()
		require.True(t, ok)
		id := info.EasyrtcID

		m := &Msg{MsgType: "m", MsgData: json.RawMessage(`{"a":1}`)}
		require.NoError(t, s.Send(sess.ID(), m))
		require.NoError(t, s.SendTo(id, m))
		require.Equal(t, &Msg{MsgType: "m", MsgData: json.RawMessage(`{"a":1}`)}, m, "it may be sent to others")
		require.NoError(t, sess.Send(&ForwardToURL{MsgData: &ForwardToURLData{ForwardToURL: &Forward{URL: "https://example.org/"}}}))
		require.NoError(t, sess.Send(&ErrorMessage{MsgData: NewError(CodeServerShutdown)}))
		require.NoError(t, sess.Send(&Unknown{Event: EventCmd, Type: "novelty"}))
		rest := `"easyrtcid":"` + id + `",`
		g.hear(
			`20["easyrtcMsg",{`+rest+`"msgData":{"a":1},"msgType":"m","serverTime":"T"}]`,
			`21["easyrtcMsg",{`+rest+`"msgData":{"a":1},"msgType":"m","serverTime":"T"}]`,
			`22["easyrtcCmd",{`+rest+`"msgData":{"forwardToUrl":{"url":"https://example.org/"}},"msgType":"forwardToUrl","serverTime":"T"}]`,
			`23["easyrtcCmd",{`+rest+`"msgData":{"errorCode":"SERVER_SHUTDOWN",`+
				`"errorText":"Server is being shutdown. Socket will be disconnected."},"msgType":"error","serverTime":"T"}]`,
			`24["easyrtcCmd",{"msgType":"novelty"}]`)
		for _, m := range []Message{&Msg{MsgData: json.RawMessage("{")}, new(ErrorMessage), new(ForwardToURL), &Unknown{Event: "disconnect"}} {
			_, ok := errors.AsType[*ValidationError](sess.Send(m))
			require.True(t, ok, "%T", m)
		}
		for _, m := range []Message{new(Ack), new(ConnectPacket), new(Reconnected)} {
			require.Error(t, sess.Send(m), "%T is no event", m)
		}
		require.ErrorIs(t, s.Send(99, m), ErrUnknownPeer)
		require.ErrorIs(t, s.SendTo("nobody", m), ErrUnknownPeer)

		field := FieldMap{"f": {FieldName: "f", FieldValue: json.RawMessage("1")}}
		require.NoError(t, s.AddRoom("default", "default", field))
		require.NoError(t, sess.SetSessionField(field))
		g.hear(
			`25["easyrtcCmd",{`+rest+`"msgData":{"roomData":{"default":{"field":{"f":{"fieldName":"f","fieldValue":1}},`+
				`"roomName":"default","roomStatus":"update"}}},"msgType":"roomData","serverTime":"T"}]`,
			`26["easyrtcCmd",{`+rest+`"msgData":{"sessionData":{"easyrtcsid":"sid","field":{"f":{"fieldName":"f","fieldValue":1}},`+
				`"sessionStatus":"update"}},"msgType":"sessionData","serverTime":"T"}]`)
		require.NoError(t, s.AddApplication("app", field))
		require.NoError(t, s.AddRoom("app", "lobby", field))
		require.Equal(t, map[string]ListedRoom{"default": {RoomName: "default"}, "lobby": {RoomName: "lobby"}}, s.Rooms("app"))
		require.Nil(t, s.Rooms("nowhere"))
		broken := FieldMap{"f": {FieldValue: json.RawMessage("{")}}
		for _, err := range []error{
			s.AddApplication("not a name", nil), s.AddApplication("app", broken), s.AddRoom("app", "", nil),
			s.AddRoom("not a name", "x", nil), s.AddRoom("app", "__proto__", nil), s.AddRoom("app", "x", broken), sess.SetSessionField(broken),
		} {
			_, ok := errors.AsType[*ValidationError](err)
			require.True(t, ok, "%v", err)
		}
		other := visit(t, s).enter(`,"applicationName":"app","roomJoin":{"lobby":{"roomName":"lobby"}}`)
		require.ErrorIs(t, slices.Collect(s.Sessions())[1].SetSessionField(field), ErrUnknownPeer, "it has none")
		other.drain()
		require.Positive(t, s.Stats().MessagesRead)
		g.drain()
		closeServer(t, s)
		require.ErrorIs(t, sess.Send(m), ErrUnknownPeer)
		_, ok = sess.State()
		require.False(t, ok)
	})
}
