package easyrtc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnApplicationInWhichNobodyIsMakesRoomForAnother(t *testing.T) {
	t.Parallel()
	m := NewServerMachine(ServerConfig{Applications: 2})
	now := time.UnixMilli(1_700_000_000_000)
	last := PeerID(0)
	login := func(application string) (PeerID, Message) {
		last++
		m.Connect(now, last, Connection{})
		m.Receive(now, last, &ConnectPacket{})
		a := (&Login{Application: application}).Message()
		a.ID = NumberID(0)
		fx := m.Receive(now, last, a)
		require.Len(t, fx.Ask, 1)
		fx = m.Decide(now, fx.Ask[0].Ticket, Decision{})
		return last, fx.Send[0].Message
	}
	a, answer := login("a")
	require.IsType(t, new(Token), answer)
	b, answer := login("b")
	require.IsType(t, new(Token), answer)
	_, answer = login("c")
	require.IsType(t, new(ErrorMessage), answer, "there is somebody in both")
	require.Equal(t, CodeLoginAppAuthFail, answer.(*ErrorMessage).MsgData.ErrorCode)

	m.Disconnect(now, b)
	_, answer = login("c")
	require.IsType(t, new(Token), answer)
	require.Nil(t, m.Rooms("b"))
	require.NotNil(t, m.Rooms("a"))
	m.Disconnect(now, a)
	require.NotNil(t, m.Rooms("a"), "until its name is needed")
	_, answer = login("default")
	require.IsType(t, new(Token), answer, "the server's own do not count")
	require.NotNil(t, m.Rooms("a"))
}
