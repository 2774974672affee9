package interop

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

func TestEasyRTCClientLogsInWithEverything(t *testing.T) {
	setup := easyrtcSetup{
		ice: []easyrtc.ICEServer{
			easyrtc.NewICEServer("stun:127.0.0.1:9"),
			{
				URLs:     easyrtc.URLs{List: []string{"turn:127.0.0.1:9", "turns:127.0.0.1:10"}},
				Username: "u", Credential: "p",
			},
		},
		applicationField: map[string]string{"motto": `"hello"`},
		roomField:        map[string]string{"seats": `{"n":4}`},
		connectionField:  map[string]string{"badge": `[1,null,"x"]`},
		sessionField:     map[string]string{"basket": `{"apples":2}`},
		expect:           map[string]string{"vault": `{"pin":1234}`},
	}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		watcher := s.connect(t, nil)
		watcher.enter(&easyrtc.Login{Application: "shop", Rooms: []string{"den"}})
		c := s.connect(t, nil)
		parameter := json.RawMessage(`{"pin":1234}`)
		token, err := c.Authenticate(bounded(t), &easyrtc.Authenticate{
			MsgData: &easyrtc.AuthenticateData{
				APIVersion:      new("any.version_at+all-1"),
				ApplicationName: new("shop"),
				EasyrtcSID:      new("abc.DEF_123-"),
				Username:        new("grüße ☕ <&>"),
				Credential:      json.RawMessage(`{"password":"right"}`),
				SetPresence:     &easyrtc.PresenceUpdate{Show: new(easyrtc.ShowAway), Status: new("at lunch")},
				RoomJoin: map[string]easyrtc.RoomRequest{
					"den": {RoomName: "den"}, "vault": {RoomName: "vault", RoomParameter: parameter},
				},
				SetUserCfg: json.RawMessage(`{"anything":"goes"}`),
			},
		})
		require.NoError(t, err)
		require.Equal(t, "shop", token.Application.ApplicationName)
		require.JSONEq(t, `"hello"`, string(token.Application.Field["motto"].FieldValue))
		require.JSONEq(t, `[1,null,"x"]`, string(token.Field["badge"].FieldValue))
		require.Equal(t, "badge", token.Field["badge"].FieldName)
		require.Equal(t, "abc.DEF_123-", token.SessionData.EasyrtcSID)
		require.JSONEq(t, `{"apples":2}`, string(token.SessionData.Field["basket"].FieldValue))
		require.Positive(t, token.ServerTime)
		require.Len(t, c.ICEServers(), 2)
		require.Equal(t, []string{"stun:127.0.0.1:9"}, c.ICEServers()[0].Addresses())
		require.Equal(t, []string{"turn:127.0.0.1:9", "turns:127.0.0.1:10"}, c.ICEServers()[1].Addresses())
		require.Equal(t, "u", c.ICEServers()[1].Username)
		require.Equal(t, "p", c.ICEServers()[1].Credential)

		require.Equal(t, []string{"den", "vault"}, keys(c.Rooms()))
		for name, room := range c.Rooms() {
			require.Equal(t, name, room.RoomName)
			require.JSONEq(t, `{"n":4}`, string(room.Field["seats"].FieldValue))
		}
		require.Equal(t, []string{c.EasyrtcID()}, keys(c.Occupants("vault")))
		require.Len(t, c.Occupants("den"), 2)
		for _, o := range []*easyrtc.Occupant{
			c.Occupants("den")[c.EasyrtcID()], watcher.occupant("den", c.EasyrtcID(), nil),
		} {
			require.Equal(t, "grüße ☕ <&>", *o.Username)
			require.Equal(t, easyrtc.ShowAway, o.Presence.Show)
			require.Equal(t, "at lunch", *o.Presence.Status)
			require.Positive(t, o.RoomJoinTime)
			require.Nil(t, o.APIField)
		}
		require.NotContains(t, watcher.Rooms(), "vault")
	})
}

func TestEasyRTCClientLogsInWithNothing(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		c := s.connect(t, nil)
		token := c.enter(&easyrtc.Login{})
		require.Equal(t, "default", token.Application.ApplicationName)
		require.Empty(t, token.Application.Field)
		require.Empty(t, token.Field)
		require.Nil(t, token.SessionData)
		require.NotNil(t, token.ICEConfig)
		require.Empty(t, c.ICEServers())
		require.Equal(t, []string{"default"}, keys(c.Rooms()))
		o := c.Occupants("default")[c.EasyrtcID()]
		require.Nil(t, o.Username)
		require.Equal(t, easyrtc.ShowChat, o.Presence.Show)
		require.Nil(t, o.Presence.Status)
	})
}

func TestEasyRTCClientMayBeInNoRoom(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{noDefaultRoom: true}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		c := s.connect(t, nil)
		require.Empty(t, c.enter(&easyrtc.Login{}).RoomData)
		require.NoError(t, c.SetPresence(ctx, easyrtc.ShowXA, ""))
		rooms, err := c.RoomList(ctx)
		require.NoError(t, err)
		require.Empty(t, rooms)
		refused(t, easyrtc.CodeMsgRejectTargetRoom, c.SendToRoom(ctx, "default", "x", nil))
	})
}

func TestEasyRTCClientIsToldWhyItMayNotLogIn(t *testing.T) {
	setup := easyrtcSetup{
		deny: []string{`{"password":"wrong"}`, `["wrong"]`}, refuse: []string{"closed"},
		expect: map[string]string{"vault": `{"pin":1234}`}, noNewApplications: true, noNewRooms: true,
	}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		watcher := s.login(t, "watcher")
		for _, c := range []struct {
			name  string
			login easyrtc.Login
			code  easyrtc.ErrorCode
		}{
			{"credential", easyrtc.Login{Credential: []byte(`{"password":"wrong"}`)}, easyrtc.CodeLoginBadAuth},
			{"array", easyrtc.Login{Credential: []byte(`["wrong"]`)}, easyrtc.CodeLoginBadAuth},
			{"application", easyrtc.Login{Application: "new"}, easyrtc.CodeLoginAppAuthFail},
			{"room", easyrtc.Login{Rooms: []string{"new"}}, easyrtc.CodeLoginBadRoom},
		} {
			t.Run(c.name, func(t *testing.T) {
				client := s.connect(t, nil)
				_, err := client.Login(bounded(t), &c.login)
				refused(t, c.code, err)
				refused(t, c.code, client.ended())
			})
		}
		require.Empty(t, watcher.settle(), "nobody has come")
	})
}

func TestEasyRTCClientIsNotLetIntoARoomAtItsLogin(t *testing.T) {
	setup := easyrtcSetup{refuse: []string{"closed"}, expect: map[string]string{"vault": `{"pin":1234}`}}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		for _, room := range []string{"closed", "vault"} {
			c := s.connect(t, nil)
			_, err := c.Login(bounded(t), &easyrtc.Login{Rooms: []string{room}})
			refused(t, easyrtc.CodeLoginGenFail, err)
		}
	})
}

func TestEasyRTCClientIsNotLetIntoAFullRoom(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{roomConnections: 2}, []easyrtcVersion{easyrtc218}, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		first := s.login(t, "first", "small")
		s.login(t, "second", "small")
		third := s.connect(t, nil)
		_, err := third.Login(ctx, &easyrtc.Login{Rooms: []string{"small"}})
		refused(t, easyrtc.CodeLoginGenFail, err)
		third = s.login(t, "third", "other")
		_, err = third.JoinRoom(ctx, "small", nil)
		refused(t, easyrtc.CodeMsgRejectBadRoom, err)
		_, err = first.JoinRoom(ctx, "small", nil)
		refused(t, easyrtc.CodeMsgRejectBadRoom, err) // although it is in there
		require.NoError(t, first.LeaveRoom(ctx, "small"))
		_, err = third.JoinRoom(ctx, "small", nil)
		require.NoError(t, err)
	})
}

func TestEasyRTCClientIsToldWhenThereAreNoICEServersForIt(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{iceFail: true}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		c := s.connect(t, nil)
		_, err := c.Login(bounded(t), &easyrtc.Login{})
		refused(t, easyrtc.CodeLoginGenFail, err)
	})
}

// TestEasyRTCClientLogsInAgain changes the credential of a connection. The server of 1.1.0
// does not let it, and that of 2.1.8 carries everything out twice from then on.
func TestEasyRTCClientLogsInAgain(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		alice := s.login(t, "alice", "den", "hall")
		bob := s.login(t, "bob", "den")
		id := bob.EasyrtcID()
		alice.occupant("den", id, nil)
		token, err := bob.Login(ctx, &easyrtc.Login{
			Username: "robert", Credential: json.RawMessage(`{"password":"new"}`), Rooms: []string{"hall"},
		})
		if s.is(easyrtc110) {
			refused(t, easyrtc.CodeLoginAppAuthFail, err)
			refused(t, easyrtc.CodeLoginAppAuthFail, bob.ended())
			return
		}
		require.NoError(t, err)
		require.Equal(t, id, token.EasyrtcID)
		require.Equal(t, []string{"den", "hall"}, keys(bob.Rooms()))
		require.Equal(t, "robert", *alice.occupant("hall", id, nil).Username)
		alice.settle()
		require.NoError(t, bob.SendTo(ctx, alice.EasyrtcID(), "once", nil))
		hears(alice, "message", msgOf("once"))
		again := len(alice.settle())
		if s.is(easyrtc218) {
			require.Positive(t, again)
			return
		}
		require.Zero(t, again)
	})
}

func TestEasyRTCSessionsAreShared(t *testing.T) {
	setup := easyrtcSetup{sessionField: map[string]string{"a": "1"}}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		var clients []*easyrtcClient
		for range 2 {
			c := s.connect(t, nil)
			token := c.enter(&easyrtc.Login{SessionID: "same"})
			require.Equal(t, "same", token.SessionData.EasyrtcSID)
			clients = append(clients, c)
		}
		other := s.connect(t, nil)
		other.enter(&easyrtc.Login{SessionID: "other"})
		s.setSessionField("same", "b", `{"x":[2]}`)
		for _, c := range clients {
			m := hears[*easyrtc.SessionData](c, "session", nil)
			require.Equal(t, "same", m.MsgData.SessionData.EasyrtcSID)
			require.Equal(t, easyrtc.SessionStatusUpdate, m.MsgData.SessionData.SessionStatus)
			require.Equal(t, []string{"a", "b"}, keys(m.MsgData.SessionData.Field))
			require.JSONEq(t, `{"x":[2]}`, string(c.Token().SessionData.Field["b"].FieldValue))
			require.Equal(t, c.EasyrtcID(), m.EasyrtcID)
		}
		for _, m := range other.settle() {
			require.IsType(t, &easyrtc.RoomData{}, m)
		}
	})
}
