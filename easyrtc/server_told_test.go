package easyrtc

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestAClientThatIsThrownOutWhileItsLoginIsToldGoesAfterwards(t *testing.T) {
	t.Parallel()
	var events []string // which are told one after the other here
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			AllowAll: true,
			OnAuthenticated: func(_ context.Context, sess *ServerSession) {
				events = append(events, "entering")
				sess.Disconnect()
				events = append(events, "entered")
			},
			OnDisconnected: func(context.Context, *ServerSession, ClientInfo) { events = append(events, "gone") },
		})
		visit(t, s).say("0", `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1"}}]`)
		synctest.Wait()
		require.NoError(t, s.Close())
	})
	require.Equal(t, []string{"entering", "entered", "gone"}, events)
}
