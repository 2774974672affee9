package easyrtc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// What one client shows of itself stands deeper in what the others get, and may be written
// at greater length than it counts.
func TestWhatAClientShowsCanBeToldToTheOthers(t *testing.T) {
	t.Parallel()
	nested := nestedArrays(60)
	long := "[1." + strings.Repeat("0", 100_000) + "]"
	for name, command := range map[string]string{
		"a nested field":    `"setRoomApiField","msgData":{"setRoomApiField":{"roomName":"default","field":` + nested + `}}`,
		"a long field":      `"setRoomApiField","msgData":{"setRoomApiField":{"roomName":"default","field":` + long + `}}`,
		"a nested presence": `"setPresence","msgData":{"setPresence":{"type":` + nested + `}}`,
		"a long presence":   `"setPresence","msgData":{"setPresence":{"type":` + long + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := NewServer(&ServerOptions{AllowAll: true})
				other := visit(t, server).enter("")
				other.drain()
				g := visit(t, server).enter("")
				g.say(`21["easyrtcCmd",{"msgType":` + command + `}]`)
				g.hear(refused(1, ErrBadSize))
				synctest.Wait()
				require.Len(t, server.hub.Sessions(), 2, "nobody has gone")
				late := visit(t, server).enter("")
				late.drain()
				g.drain()
				closeServer(t, server)
			})
		})
	}
}

func TestAHookCannotSayWhatAClientCannotBeTold(t *testing.T) {
	t.Parallel()
	server := NewServer(nil)
	deep := FieldMap{"deep": {FieldName: "deep", FieldValue: json.RawMessage(nestedArrays(60))}}
	require.Error(t, server.AddRoom("default", "default", deep))
	require.Error(t, server.AddApplication("default", deep))
	flat := FieldMap{"flat": {FieldName: "flat", FieldValue: json.RawMessage(nestedArrays(50))}}
	require.NoError(t, server.AddRoom("default", "default", flat))
}

func TestTheAnswerToAJoinOfManyRoomsIsBounded(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{})
	now := time.UnixMilli(1_700_000_000_000)
	login := (&Login{Rooms: []string{"r"}}).Message()
	for i := range 100 {
		name := fmt.Sprint("r", i)
		login.MsgData.RoomJoin[name] = RoomRequest{RoomName: name}
	}
	delete(login.MsgData.RoomJoin, "r")
	enter := func(id PeerID) []Delivery {
		m.Connect(now, id, Connection{})
		m.Receive(now, id, new(ConnectPacket))
		a := copied(login)
		a.ID = NumberID(0)
		return m.Decide(now, m.Receive(now, id, a).Ask[0].Ticket, Decision{}).Send
	}
	field := json.RawMessage(`["` + strings.Repeat("x", 4000) + `"]`)
	id, last := PeerID(0), Message(nil)
	for range 20 {
		id++
		for _, d := range enter(id) {
			if d.To == id && d.Message.packet() != nil && d.Message.packet().Ack {
				last = d.Message
			}
		}
		if _, ok := last.(*Token); !ok {
			break
		}
		require.Less(t, size(last), 2*maxAnswer)
		for name := range login.MsgData.RoomJoin {
			m.Receive(now, id, &SetRoomAPIField{Packet: Packet{ID: NumberID(1)}, MsgData: &SetRoomAPIFieldData{
				SetRoomAPIField: &RoomAPIField{RoomName: name, Field: field},
			}})
		}
	}
	require.IsType(t, new(ErrorMessage), last, "of so many rooms nobody can be told at once")
	require.Equal(t, CodeLoginGenFail, last.(*ErrorMessage).MsgData.ErrorCode)
	require.NotZero(t, len(m.Occupants("default", "r0")))

	fx := m.Receive(now, 1, &RoomJoin{Packet: Packet{ID: NumberID(2)}, MsgData: &RoomJoinData{RoomJoin: login.MsgData.RoomJoin}})
	fx = m.Decide(now, fx.Ask[0].Ticket, Decision{})
	for _, d := range fx.Send {
		require.Less(t, size(d.Message), 2*maxAnswer)
	}
}

func TestWhoConnectsAgainAndAgainMustLogInAtLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := NewServer(&ServerOptions{AllowAll: true})
		g := visit(t, server)
		g.drain()
		for range 100 {
			if g.Write(transport.Text, []byte("0")) != nil || g.Write(transport.Text, []byte("1")) != nil {
				break
			}
			time.Sleep(DefaultLoginTimeout - time.Second)
		}
		require.Error(t, g.Write(transport.Text, []byte("0")))
		require.NoError(t, <-g.served)
		closeServer(t, server)
	})
}

func TestALargeCredentialIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := NewServer(&ServerOptions{AllowAll: true})
		visit(t, server).enter(`,"credential":{"a":"b"}`)
		visit(t, server).enter(`,"credential":["` + strings.Repeat("x", MaxCredential) + `"]`)
		var kept []string
		for s := range server.Sessions() {
			kept = append(kept, string(s.Credential()))
		}
		require.Equal(t, []string{`{"a":"b"}`, ""}, kept)
		for s := range server.Sessions() {
			s.Close(transport.StatusNormal, "")
		}
		closeServer(t, server)
	})
}
