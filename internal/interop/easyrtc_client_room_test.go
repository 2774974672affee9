package interop

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

func TestEasyRTCClientFollowsItsRooms(t *testing.T) {
	setup := easyrtcSetup{refuse: []string{"closed"}, expect: map[string]string{"vault": `{"pin":1234}`}}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		alice, bob := s.login(t, "alice"), s.login(t, "bob")
		a, b := alice.EasyrtcID(), bob.EasyrtcID()
		alice.occupant("default", b, nil)
		require.Equal(t, []string{"alice", "bob"}, bob.usernames("default"))

		room, err := alice.JoinRoom(ctx, "den", nil)
		require.NoError(t, err)
		require.Equal(t, []string{a}, keys(room.ClientList))
		require.Equal(t, easyrtc.RoomStatusJoin, room.RoomStatus)
		room, err = bob.JoinRoom(ctx, "den", nil)
		require.NoError(t, err)
		require.Len(t, room.ClientList, 2)
		require.Len(t, bob.Rooms(), 2)
		o := alice.occupant("den", b, nil)
		require.Equal(t, "bob", *o.Username)
		require.Equal(t, bob.Occupants("den")[b].RoomJoinTime, o.RoomJoinTime)
		require.GreaterOrEqual(t, o.RoomJoinTime, room.ClientList[a].RoomJoinTime)

		before := room.ClientList[b].RoomJoinTime
		room, err = bob.JoinRoom(ctx, "den", nil)
		require.NoError(t, err, "once more")
		require.Len(t, room.ClientList, 2)
		require.Equal(t, before, room.ClientList[b].RoomJoinTime)

		_, err = bob.JoinRoom(ctx, "closed", nil)
		refused(t, easyrtc.CodeMsgRejectBadRoom, err)
		_, err = bob.JoinRoom(ctx, "vault", json.RawMessage(`{"pin":4321}`))
		refused(t, easyrtc.CodeMsgRejectBadRoom, err)
		_, err = bob.JoinRoom(ctx, "vault", json.RawMessage(`{"pin":1234}`))
		require.NoError(t, err)
		require.Equal(t, []string{"default", "den", "vault"}, keys(bob.Rooms()))

		list, err := alice.RoomList(ctx)
		require.NoError(t, err)
		require.Equal(t, easyrtc.ListedRoom{RoomName: "den", NumberClients: 2}, list["den"])
		require.Equal(t, easyrtc.ListedRoom{RoomName: "vault", NumberClients: 1}, list["vault"])
		require.Equal(t, 2, list["default"].NumberClients)

		require.NoError(t, bob.LeaveRoom(ctx, "den"))
		alice.gone("den", b)
		require.Equal(t, []string{"default", "vault"}, keys(bob.Rooms()))
		require.NoError(t, bob.LeaveRoom(ctx, "den"), "nobody minds")
		require.NoError(t, bob.LeaveRoom(ctx, "nowhere"))
		require.NotNil(t, alice.Occupants("default")[b])
		require.NoError(t, bob.Close())
		alice.gone("default", b)
		require.Equal(t, []string{a}, s.members("default"))
		list, err = alice.RoomList(ctx)
		require.NoError(t, err)
		require.Zero(t, list["vault"].NumberClients)
		require.Contains(t, list, "vault", "empty rooms stay")
	})
}

func TestEasyRTCClientJoinsAndLeavesSeveralRoomsAtOnce(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		alice, bob := s.login(t, "alice", "a", "b", "10", "9"), s.login(t, "bob", "9")
		requests := map[string]easyrtc.RoomRequest{}
		for _, name := range []string{"a", "b", "10", "new"} {
			requests[name] = easyrtc.RoomRequest{RoomName: name}
		}
		answer, err := bob.Call(ctx, &easyrtc.RoomJoin{MsgData: &easyrtc.RoomJoinData{RoomJoin: requests}})
		require.NoError(t, err)
		require.Equal(t, []string{"10", "a", "b", "new"}, keys(answer.(*easyrtc.RoomData).MsgData.RoomData))
		require.Equal(t, []string{"10", "9", "a", "b", "new"}, keys(bob.Rooms()))
		for _, name := range []string{"a", "b", "10"} {
			alice.occupant(name, bob.EasyrtcID(), nil)
			require.Len(t, bob.Occupants(name), 2)
		}
		delete(requests, "10")
		requests["never"] = easyrtc.RoomRequest{RoomName: "never"}
		answer, err = bob.Call(ctx, &easyrtc.RoomLeave{MsgData: &easyrtc.RoomLeaveData{RoomLeave: requests}})
		require.NoError(t, err)
		for name, room := range answer.(*easyrtc.RoomData).MsgData.RoomData {
			require.Contains(t, requests, name)
			require.Equal(t, easyrtc.RoomStatusLeave, room.RoomStatus)
		}
		require.Equal(t, []string{"10", "9"}, keys(bob.Rooms()))
		alice.gone("a", bob.EasyrtcID())
		alice.gone("b", bob.EasyrtcID())
		require.NotNil(t, alice.Occupants("10")[bob.EasyrtcID()])
	})
}

func TestEasyRTCClientSeesPresence(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		alice, bob := s.login(t, "alice", "a", "b"), s.login(t, "bob", "a", "b", "c")
		id := bob.EasyrtcID()
		require.NoError(t, bob.SetPresence(ctx, easyrtc.ShowDND, "busy ☕"))
		for _, room := range []string{"a", "b"} {
			o := alice.occupant(room, id, func(o *easyrtc.Occupant) bool { return o.Presence.Show == easyrtc.ShowDND })
			require.Equal(t, "busy ☕", *o.Presence.Status)
			require.Equal(t, "bob", *o.Username)
		}
		require.Equal(t, easyrtc.ShowDND, bob.Occupants("c")[id].Presence.Show)
		_, err := bob.Call(ctx, &easyrtc.SetPresence{MsgData: &easyrtc.SetPresenceData{
			SetPresence: &easyrtc.PresenceUpdate{Show: new(easyrtc.ShowAway)},
		}})
		require.NoError(t, err)
		o := alice.occupant("a", id, func(o *easyrtc.Occupant) bool { return o.Presence.Show == easyrtc.ShowAway })
		require.Equal(t, "busy ☕", *o.Presence.Status, "what is not said stays")
		carol := s.login(t, "carol", "b")
		require.Equal(t, easyrtc.ShowAway, carol.Occupants("b")[id].Presence.Show)
		require.NoError(t, bob.SetPresence(ctx, easyrtc.ShowChat, ""))
		o = carol.occupant("b", id, func(o *easyrtc.Occupant) bool { return o.Presence.Show == easyrtc.ShowChat })
		require.Empty(t, *o.Presence.Status)
	})
}

func TestEasyRTCClientSeesAPIFields(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		ctx := bounded(t)
		alice, bob := s.login(t, "alice", "a", "b"), s.login(t, "bob", "a", "b")
		id := bob.EasyrtcID()
		fields := fieldMap(map[string]string{"seat": "7", "mood": `{"x":[null,"☕"]}`})
		require.NoError(t, bob.SetAPIField(ctx, "a", fields))
		o := alice.occupant("a", id, func(o *easyrtc.Occupant) bool { return o.APIField != nil })
		got, err := o.APIFields()
		require.NoError(t, err)
		require.Equal(t, []string{"mood", "seat"}, keys(got))
		require.JSONEq(t, `{"x":[null,"☕"]}`, string(got["mood"].FieldValue))
		require.Nil(t, alice.Occupants("b")[id].APIField)
		require.Equal(t, o.APIField, bob.Occupants("a")[id].APIField, "one's own")

		require.NoError(t, bob.SetPresence(ctx, easyrtc.ShowDND, ""))
		o = alice.occupant("a", id, func(o *easyrtc.Occupant) bool { return o.Presence.Show == easyrtc.ShowDND })
		require.NotNil(t, o.APIField, "no change of it")

		require.NoError(t, bob.SetAPIField(ctx, "a", fieldMap(map[string]string{"seat": "8"})))
		o = alice.occupant("a", id, func(o *easyrtc.Occupant) bool {
			got, err := o.APIFields()
			return err == nil && len(got) == 1
		})
		require.JSONEq(t, `{"seat":{"fieldName":"seat","fieldValue":8}}`, string(o.APIField))
		carol := s.login(t, "carol", "a")
		require.JSONEq(t, string(o.APIField), string(carol.Occupants("a")[id].APIField))

		require.NoError(t, bob.SetAPIField(ctx, "a", nil))
		dave := s.login(t, "dave", "a")
		require.Nil(t, dave.Occupants("a")[id].APIField)

		refused(t, easyrtc.CodeMsgRejectBadRoom, bob.SetAPIField(ctx, "elsewhere", fields))
		const most = 4095 - len(`{"x":{"fieldName":"x","fieldValue":""}}`)
		text := func(n int) easyrtc.FieldMap {
			b := make([]byte, n)
			for i := range b {
				b[i] = 'x'
			}
			return fieldMap(map[string]string{"x": `"` + string(b) + `"`})
		}
		require.NoError(t, bob.SetAPIField(ctx, "b", text(most)))
		data := fmt.Sprintf(`{"setRoomApiField":{"roomName":"b","field":%s}}`, jsonOf(t, text(most+1)))
		_, err = bob.Call(ctx, &easyrtc.Unknown{ // past our own rules
			Event: easyrtc.EventCmd, Type: "setRoomApiField", Extra: easyrtc.Fields{"msgData": json.RawMessage(data)},
		})
		refused(t, easyrtc.CodeMsgRejectBadSize, err)
	})
}

func jsonOf(t *testing.T, fields easyrtc.FieldMap) json.RawMessage {
	t.Helper()
	b, err := fields.JSON()
	require.NoError(t, err)
	return b
}

func TestEasyRTCClientSeesFieldsOfRooms(t *testing.T) {
	setup := easyrtcSetup{roomField: map[string]string{"first": "1"}}
	onEasyRTC(t, setup, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice, bob := s.login(t, "alice"), s.login(t, "bob")
		s.setRoomField("default", "topic", `{"text":"news"}`)
		for _, c := range []*easyrtcClient{alice, bob} {
			hears(c, "field", func(m *easyrtc.RoomData) bool { return m.MsgData.RoomData["default"].Field != nil })
			field := c.Rooms()["default"].Field
			require.Equal(t, []string{"first", "topic"}, keys(field))
			require.JSONEq(t, `{"text":"news"}`, string(field["topic"].FieldValue))
			require.Len(t, c.Occupants("default"), 2, "who is there has not changed")
		}
		require.Len(t, s.login(t, "carol").Rooms()["default"].Field, 2)
	})
}

// TestEasyRTCClientsComeAndGo has a client watch a hundred others.
func TestEasyRTCClientsComeAndGo(t *testing.T) {
	onEasyRTC(t, easyrtcSetup{}, easyrtcVersions, func(t *testing.T, s *easyrtcServer) {
		alice, bob := s.login(t, "alice", "busy"), s.login(t, "bob", "quiet")
		ctx := bounded(t)
		for i := range 50 {
			_, err := bob.JoinRoom(ctx, "busy", nil)
			require.NoError(t, err)
			require.Len(t, bob.Occupants("busy"), 2, i)
			require.NoError(t, bob.LeaveRoom(ctx, "busy"))
		}
		for i := range 50 {
			c := s.connect(t, nil)
			c.enter(&easyrtc.Login{Username: fmt.Sprint("guest", i), Rooms: []string{"busy"}})
			require.Contains(t, c.Occupants("busy"), alice.EasyrtcID())
			alice.occupant("busy", c.EasyrtcID(), nil)
			require.NoError(t, c.Close())
			alice.gone("busy", c.EasyrtcID())
		}
		alice.settle()
		require.Equal(t, []string{alice.EasyrtcID()}, keys(alice.Occupants("busy")))
		require.Equal(t, []string{alice.EasyrtcID()}, s.members("busy"))
	})
}
