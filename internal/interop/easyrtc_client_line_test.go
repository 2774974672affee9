package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// ways returns how clients may come to the server.
func (s *easyrtcServer) ways() (ways []easyrtcWay) {
	switch {
	case s.real == nil, s.is(easyrtc218): // which lets Engine.IO 3 in when it is told to
		return easyrtcWays
	}
	return easyrtcWays[3:]
}

func TestEasyRTCClientSpeaksOverEveryTransport(t *testing.T) {
	setup := easyrtcSetup{io: `{"allowEIO3": true}`}
	versions := append([]easyrtcVersion{easyrtc2020}, easyrtcVersions...)
	onEasyRTC(t, setup, versions, func(t *testing.T, s *easyrtcServer) {
		alice := s.login(t, "alice")
		for i, way := range s.ways() {
			t.Run(way.name, func(t *testing.T) {
				bob := s.connectBy(t, way, nil)
				user := fmt.Sprint("bob", i)
				token := bob.enter(&easyrtc.Login{Username: user})
				require.Equal(t, "default", token.Application.ApplicationName)
				alice.occupant("default", bob.EasyrtcID(), nil)
				require.Equal(t, user, *alice.Occupants("default")[bob.EasyrtcID()].Username)

				const many = 100 // in order, both ways, while an upgrade is going on
				ctx := bounded(t)
				for n := range many {
					require.NoError(t, bob.Send(&easyrtc.Msg{
						MsgType: "up", TargetEasyrtcID: alice.EasyrtcID(), MsgData: json.RawMessage(fmt.Sprint(n)),
					}))
					require.NoError(t, alice.Send(&easyrtc.Msg{
						MsgType: "down", TargetEasyrtcID: bob.EasyrtcID(), MsgData: json.RawMessage(fmt.Sprint(n)),
					}))
				}
				for n := range many {
					m := hears(alice, "message", func(m *easyrtc.Msg) bool { return m.MsgType == "up" })
					require.Equal(t, fmt.Sprint(n), string(m.MsgData))
					require.Equal(t, bob.EasyrtcID(), m.SenderEasyrtcID)
					m = hears(bob, "message", func(m *easyrtc.Msg) bool { return m.MsgType == "down" })
					require.Equal(t, fmt.Sprint(n), string(m.MsgData))
				}

				for _, text := range []string{
					`"grüß ☕ 😀 Ã© <&> \u2028"`, `{"sdp":"v=0\r\n","empty":""}`, `null`, `[1e3,-0.5,true]`,
				} {
					require.NoError(t, bob.SendTo(ctx, alice.EasyrtcID(), "text", json.RawMessage(text)))
					require.JSONEq(t, text, string(hears(alice, "text", msgOf("text")).MsgData))
					require.NoError(t, alice.SendTo(ctx, bob.EasyrtcID(), "text", json.RawMessage(text)))
					require.JSONEq(t, text, string(hears(bob, "text", msgOf("text")).MsgData))
				}

				parts := [][]byte{{0, 1, 2, 4, 0x1e, 0xff}, make([]byte, 10_000)}
				data := json.RawMessage(`{"a":{"_placeholder":true,"num":0},"b":[{"_placeholder":true,"num":1}]}`)
				for _, pair := range [][2]*easyrtcClient{{alice, bob}, {bob, alice}} {
					m := &easyrtc.Msg{MsgType: "binary", TargetEasyrtcID: pair[1].EasyrtcID(), MsgData: data}
					m.Attachments = parts
					_, err := pair[0].Call(ctx, m)
					require.NoError(t, err)
					got := hears(pair[1], "binary", msgOf("binary"))
					require.Equal(t, parts, got.Attachments)
					require.JSONEq(t, string(data), string(got.MsgData))
				}

				conn, ok := bob.conn.(*enginehttp.Conn)
				require.True(t, ok)
				eventually(t, "transport "+way.ends, func() bool { return conn.Transport() == way.ends })
				require.Equal(t, way.version, conn.EngineIO())
				require.NotEmpty(t, conn.SID())
				require.NoError(t, bob.Close())
				alice.gone("default", bob.EasyrtcID())
			})
		}
	})
}

// msgOf matches messages of a type.
func msgOf(typ string) func(*easyrtc.Msg) bool {
	return func(m *easyrtc.Msg) bool { return m.MsgType == typ }
}

// TestEasyRTCClientOutlivesHeartbeats waits until a server has given up a client that does
// nothing for its heartbeat, and came later than the others.
func TestEasyRTCClientOutlivesHeartbeats(t *testing.T) {
	setup := easyrtcSetup{io: `{"pingInterval": 100, "pingTimeout": 900, "allowEIO3": true}`}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice := s.login(t, "alice")
		var clients []*easyrtcClient
		for _, way := range s.ways() {
			c := s.connectBy(t, way, nil)
			c.enter(&easyrtc.Login{})
			clients = append(clients, c)
		}
		mute, err := wsconn.Dial(bounded(t), s.url+"/socket.io/?transport=websocket&EIO="+s.way.version.String(), nil)
		require.NoError(t, err)
		limit := time.AfterFunc(patience, func() { _ = mute.Close(transport.StatusNormal, "") })
		defer limit.Stop()
		for err == nil {
			_, _, err = mute.Read(nil)
		}
		var closed *transport.CloseError
		require.ErrorAs(t, err, &closed, "the server does not want heartbeats")
		for i, c := range clients {
			require.NoError(t, c.SendTo(bounded(t), alice.EasyrtcID(), "still here", nil), s.ways()[i].name)
			hears(alice, "message", func(m *easyrtc.Msg) bool { return m.SenderEasyrtcID == c.EasyrtcID() })
		}
	})
}

// TestEasyRTCClientShowsThatItLives runs against the only versions that want to know. They
// give up another client that does not.
func TestEasyRTCClientShowsThatItLives(t *testing.T) {
	const interval = 500 * time.Millisecond
	setup := easyrtcSetup{stillAlive: interval}
	onEasyRTC(t, setup, []easyrtcVersion{easyrtc2017}, func(t *testing.T, s *easyrtcServer) {
		c := s.connect(t, nil)
		token := c.enter(&easyrtc.Login{Username: "alive"})
		require.NotNil(t, token.StillAliveInterval)
		require.EqualValues(t, interval.Milliseconds(), *token.StillAliveInterval)
		mute := s.raw(t)
		mute.login("default", "mute", "default")
		c.occupant("default", mute.id, nil)
		c.gone("default", mute.id)
		s.forget("Missed StillAliveTimer, fired disconnect")
		_, err := c.RoomList(bounded(t))
		require.NoError(t, err)
		require.Equal(t, []string{c.EasyrtcID()}, s.members("default"))
	})
}

func TestEasyRTCClientMayNotSayThatItLivesToServersThatDoNotAsk(t *testing.T) {
	versions := []easyrtcVersion{easyrtc218, easyrtc2020, easyrtc110}
	onEasyRTC(t, easyrtcSetup{}, versions, func(t *testing.T, s *easyrtcServer) {
		c := s.connect(t, nil)
		require.Nil(t, c.enter(&easyrtc.Login{}).StillAliveInterval)
		_, err := c.Call(bounded(t), &easyrtc.StillAlive{MsgData: json.RawMessage("{}")})
		if s.real == nil {
			require.NoError(t, err, "nobody minds an answer")
			return
		}
		refused(t, easyrtc.CodeMsgRejectBadType, err)
	})
}

// returning are options of a client that comes back.
func returning(s *easyrtcServer) *easyrtc.ClientOptions {
	return &easyrtc.ClientOptions{
		Redial:  s.dial,
		Backoff: easyrtc.Backoff{Min: 20 * time.Millisecond, Max: 100 * time.Millisecond, Attempts: 1000},
	}
}

func TestEasyRTCClientReturnsToARestartedServer(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		c := s.connect(t, returning(s))
		c.enter(&easyrtc.Login{Username: "bob", Rooms: []string{"den"}, SessionID: "session"})
		_, err := c.JoinRoom(ctx, "hall", nil)
		require.NoError(t, err)
		_, err = c.JoinRoom(ctx, "gone", nil)
		require.NoError(t, err)
		require.NoError(t, c.LeaveRoom(ctx, "gone"))
		require.NoError(t, c.SetAPIField(ctx, "hall", fieldMap(map[string]string{"seat": "7"})))
		require.NoError(t, c.SetPresence(ctx, easyrtc.ShowDND, "busy"))
		before := c.EasyrtcID()
		for range 2 {
			s.stop()
			s.run()
			again := hears[*easyrtc.Reconnected](c, "reconnection", nil)
			require.Equal(t, c.EasyrtcID(), again.Token.MsgData.EasyrtcID)
			require.NotEqual(t, before, c.EasyrtcID(), "a new id")
			before = c.EasyrtcID()
			require.Equal(t, easyrtc.ClientReady, c.State())
			require.Equal(t, []string{"den", "hall"}, keys(c.Rooms()))

			alice := s.login(t, "alice", "den", "hall")
			o := alice.occupant("hall", before, func(o *easyrtc.Occupant) bool { return o.APIField != nil })
			require.Equal(t, "bob", *o.Username)
			require.JSONEq(t, `{"seat":{"fieldName":"seat","fieldValue":7}}`, string(o.APIField))
			require.Equal(t, easyrtc.ShowDND, o.Presence.Show)
			require.Equal(t, "busy", *o.Presence.Status)
			require.NoError(t, alice.SendTo(bounded(t), before, "there you are", nil))
			hears(c, "message", msgOf("there you are"))
		}
	})
}

func TestEasyRTCClientReturnsWhenItsConnectionIsCut(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice := s.login(t, "alice")
		relogins := 0
		opts := returning(s)
		opts.Relogin = func(_ context.Context, last *easyrtc.Authenticate) (*easyrtc.Authenticate, error) {
			relogins++
			l := *last
			data := *l.MsgData
			data.Username = new("robert")
			l.MsgData = &data
			return &l, nil
		}
		bob := s.connect(t, opts)
		bob.enter(&easyrtc.Login{Username: "bob"})
		first := bob.EasyrtcID()
		alice.occupant("default", first, nil)
		s.cut(bob.conn)
		hears[*easyrtc.Reconnected](bob, "reconnection", nil)
		require.Equal(t, 1, relogins)
		second := bob.EasyrtcID()
		require.NotEqual(t, first, second)
		require.Equal(t, "robert", *alice.occupant("default", second, nil).Username)
		alice.gone("default", first)
	})
}

func TestEasyRTCClientDoesNotReturnToAServerThatRefusesIt(t *testing.T) {
	setup := easyrtcSetup{deny: []string{`{"token":"late"}`}}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		opts := returning(s)
		opts.Relogin = func(_ context.Context, last *easyrtc.Authenticate) (*easyrtc.Authenticate, error) {
			l := *last
			data := *l.MsgData
			data.Credential = json.RawMessage(`{"token":"late"}`)
			l.MsgData = &data
			return &l, nil
		}
		c := s.connect(t, opts)
		c.enter(&easyrtc.Login{Username: "bob", Credential: json.RawMessage(`{"token":"early"}`)})
		s.cut(c.conn)
		refused(t, easyrtc.CodeLoginBadAuth, c.ended())
	})
}

func TestEasyRTCClientThatIsThrownOutEnds(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice := s.login(t, "alice")
		bob := s.connect(t, returning(s))
		bob.enter(&easyrtc.Login{Username: "bob"})
		id := bob.EasyrtcID()
		alice.occupant("default", id, nil)
		s.throwOut(id)
		require.ErrorIs(t, bob.ended(), easyrtc.ErrDisconnected)
		alice.gone("default", id)
	})
}

// TestEasyRTCClientThatVanishesLeavesItsRooms cuts connections of every kind.
func TestEasyRTCClientThatVanishesLeavesItsRooms(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{io: `{"allowEIO3": true}`}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice := s.login(t, "alice")
		for _, way := range s.ways() {
			bob := s.connectBy(t, way, nil)
			bob.enter(&easyrtc.Login{})
			id := bob.EasyrtcID()
			alice.occupant("default", id, nil)
			_ = bob.conn.Close(transport.StatusAbnormal, "") // below the client, which says nothing
			alice.gone("default", id)
		}
	})
}
