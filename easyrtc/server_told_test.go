package easyrtc

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// toldOf returns what the application hears of a client that logs in: entering is called before,
// entered while it is told of the login.
func toldOf(t *testing.T, entering, entered func(sess *ServerSession)) []string {
	t.Helper()
	var events []string // which are told one after the other here
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Authenticate: func(_ context.Context, sess *ServerSession, _ *LoginRequest) error {
				entering(sess)
				return nil
			},
			OnAuthenticated: func(_ context.Context, sess *ServerSession) {
				events = append(events, "entering")
				entered(sess)
				events = append(events, "entered")
			},
			OnDisconnected: func(context.Context, *ServerSession, ClientInfo) { events = append(events, "gone") },
		})
		visit(t, s).say("0", `20["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1"}}]`)
		synctest.Wait()
		require.NoError(t, s.Close())
	})
	return events
}

func TestAClientThatIsThrownOutWhileItsLoginIsToldGoesAfterwards(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"entering", "entered", "gone"}, toldOf(t,
		func(*ServerSession) {},
		func(sess *ServerSession) { sess.Disconnect() },
	))
}

func TestAClientThatIsTooSlowForTheAnswerToItsLoginHasComeAndGone(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"entering", "entered", "gone"}, toldOf(t,
		func(sess *ServerSession) {
			for range 2 * DefaultQueueMessages { // of which nothing is read
				_ = sess.Send(&Msg{MsgType: "x"})
			}
		},
		func(*ServerSession) {},
	))
}
