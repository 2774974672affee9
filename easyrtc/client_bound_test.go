package easyrtc

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// commanded is a command of the server without an id.
func commanded(msgType, data string) string {
	return `2["easyrtcCmd",{"msgType":"` + msgType + `","msgData":{` + data + `}}]`
}

// roomIs is what the server says of a room.
func roomIs(name, status, rest string) string {
	return commanded("roomData", fmt.Sprintf(`"roomData":{%q:{"roomName":%q,"roomStatus":%q%s}}`, name, name, status, rest))
}

func TestAServerThatDoesNotStopEndsTheClientOnceItWouldKeepTooMuch(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	for name, e := range map[string]script.Endless{
		"rooms": {Want: ErrTooMuchState, Say: func(i int) string {
			return roomIs(fmt.Sprint("r", i), "join", `,"clientList":{}`)
		}},
		"rooms that it changes first": {Want: ErrTooMuchState, Say: func(i int) string {
			return roomIs(fmt.Sprint("r", i), "update", "")
		}},
		"occupants": {Want: ErrTooMuchState, Say: func(i int) string {
			return roomIs("default", "update", fmt.Sprintf(
				`,"clientListDelta":{"updateClient":{"c%d":{"easyrtcid":"c%d","roomJoinTime":5}}}`, i, i))
		}},
		"api fields of occupants": {Want: ErrTooMuchState, Say: func(i int) string {
			return roomIs("default", "update", fmt.Sprintf(`,"clientListDelta":{"updateClient":{"c%d":{"easyrtcid":"c%d",`+
				`"apiField":{"a":{"fieldName":"a","fieldValue":"%s"}}}}}`, i, i, long))
		}},
		"fields of a room": {Want: ErrTooMuchState, Say: func(i int) string {
			return roomIs("default", "update", `,"field":{"f":{"fieldName":"f","fieldValue":"`+strings.Repeat(long, 4*i)+`"}}`)
		}},
		"fields of the session": {Want: ErrTooMuchState, Say: func(i int) string {
			return commanded("sessionData", `"sessionData":{"easyrtcsid":"s","field":{"f":{"fieldName":"f","fieldValue":"`+
				strings.Repeat(long, 4*i)+`"}}}`)
		}},
		"ICE servers": {Want: ErrTooMuchState, Say: func(i int) string {
			return commanded("iceConfig", `"iceConfig":{"iceServers":[`+strings.Repeat(`{"urls":"stun:a"},`, 50*i)+`{"urls":"stun:b"}]}`)
		}},
		"messages that nobody reads": {Unread: true, Want: ErrSlowConsumer, Say: func(int) string {
			return `2["easyrtcMsg",{"msgType":"m","msgData":"` + long + `"}]`
		}},

		"occupants that come and go": {Say: func(i int) string {
			if i%2 == 0 {
				return roomIs("default", "update", fmt.Sprintf(
					`,"clientListDelta":{"updateClient":{"c%d":{"easyrtcid":"c%d","username":"%s"}}}`, i, i, long))
			}
			return roomIs("default", "update", fmt.Sprintf(`,"clientListDelta":{"removeClient":{"c%d":{}}}`, i-1))
		}},
		"a room that is joined again and again": {Say: func(i int) string {
			return roomIs("r", "join", fmt.Sprintf(`,"clientList":{"c%d":{"easyrtcid":"c%d","username":"%s"}}`, i, i, long))
		}},
		"rooms that are left": {Say: func(i int) string {
			status, rest := "join", `,"clientList":{"c":{"easyrtcid":"c","username":"`+long+`"}}`
			if i%2 == 1 {
				status, rest = "leave", ""
			}
			return roomIs(fmt.Sprint("r", i/2), status, rest)
		}},
		"messages": {Say: func(int) string { return `2["easyrtcMsg",{"msgType":"m","msgData":"` + long + `"}]` }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := readyClient(t, &ClientOptions{StateBytes: 64 << 10, Inbox: -1})
				script.RequireEndless(t, e, p, c)
			})
		})
	}
}

// What a client keeps must not hold a megabyte of blanks, which is not counted.
func TestWhatAClientKeepsOfAMessageDoesNotKeepAllOfIt(t *testing.T) {
	t.Parallel()
	blanks := strings.Repeat(" ", 1<<20)
	for name, text := range map[string]string{
		"an occupant": roomIs("default", "update", `,~"clientListDelta":{"updateClient":{"b":{"easyrtcid":"b","username":"bob",`+
			`"apiField":{"a":1},"presence":{"show":"away","status":"s"},"x":1}}}`),
		"a room":      roomIs("r", "join", `,~"clientList":{"b":{"easyrtcid":"b"}},"field":{"f":{"fieldName":"f","fieldValue":[1]}}`),
		"a session":   commanded("sessionData", `~"sessionData":{"easyrtcsid":"s","field":{"f":{"fieldName":"f","fieldValue":[1]}}}`),
		"ICE servers": commanded("iceConfig", `~"iceConfig":{"iceServers":[{"urls":"turn:a","username":"u","credential":"c"}]}`),
	} {
		m := clientAfter(t, ClientConfig{}, "start", `> 0{"sid":"x"}`, "< "+clientLogin, "> 30"+clientToken)
		var d Decoder
		msg, err := d.Decode(transport.Text, []byte(strings.Replace(text, "~", blanks, 1)))
		require.NoError(t, err)
		all := weak.Make(textIn(msg))
		runtime.GC()
		require.NotNil(t, all.Value(), name)
		runtime.KeepAlive(msg)
		before := m.kept()
		m.Receive(clientDawn, msg)
		require.Greater(t, m.kept(), before, name)
		msg, d = nil, Decoder{}
		runtime.GC()
		require.Nil(t, all.Value(), name)
		runtime.KeepAlive(m)
	}
}

// textIn returns where some text of a message is.
func textIn(msg Message) *byte {
	switch msg := msg.(type) {
	case *RoomData:
		for _, r := range msg.MsgData.RoomData {
			return unsafe.StringData(r.RoomName)
		}
	case *SessionData:
		for _, f := range msg.MsgData.SessionData.Field {
			return unsafe.StringData(f.FieldName)
		}
	case *ICEConfig:
		return unsafe.StringData(msg.MsgData.ICEConfig.ICEServers[0].Username)
	}
	return nil
}

func TestATokenThatIsTooMuchEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connectedClient(t, &ClientOptions{
			StateBytes: 1 << 10,
			Redial:     func(context.Context) (transport.Conn, error) { panic("not again") },
		})
		name := strings.Repeat("x", 2000)
		p.Answer(saidLogin, "30"+strings.ReplaceAll(clientToken, `"me"`, `"`+name+`"`))
		_, err := c.Login(t.Context(), &Login{})
		require.NoError(t, err, "that it says so comes before")
		p.Closed(transport.StatusPolicyViolation, "too much state")
		<-c.Done()
		require.Equal(t, ErrTooMuchState, c.Err())
	})
}

func TestAServerCannotMakeTheClientSendWithoutEnd(t *testing.T) {
	t.Parallel()
	m := NewClientMachine(ClientConfig{CallTimeout: -1, Pending: 10})
	now := clientDawn
	m.Start(now)
	m.Receive(now, &ConnectPacket{Payload: []byte(`{"sid":"x"}`)})
	_, err := m.Send(now, (&Login{}).Message())
	require.NoError(t, err)
	interval := int64(1)
	m.Receive(now, &Token{Packet: Packet{ID: NumberID(0), Ack: true}, MsgData: &TokenData{StillAliveInterval: &interval}})
	require.Equal(t, ClientReady, m.State())
	sent := 0
	for range 100 { // none of which is acknowledged
		at, ok := m.Deadline()
		require.True(t, ok)
		sent += len(m.Expire(at).Send)
	}
	require.Equal(t, 10, sent)
}
