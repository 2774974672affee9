package mediasoupproto

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// toldOf returns what the application hears of a peer that joins: joining is called before, joined
// while it is told of the join.
func toldOf(t *testing.T, joining, joined func(sess *ServerSession)) []string {
	t.Helper()
	var events []string // which are told one after the other here
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Authenticate: func(_ context.Context, sess *ServerSession, _ *Join) error {
				joining(sess)
				return nil
			},
			OnJoined: func(_ context.Context, sess *ServerSession) {
				events = append(events, "joining")
				joined(sess)
				events = append(events, "joined")
			},
			OnLeft: func(context.Context, *ServerSession, Departure) { events = append(events, "left") },
		})
		visit(t, s).says(`join#1 {"peerName":"alice","rtpCapabilities":@caps}`)
		synctest.Wait()
		require.NoError(t, s.Close())
	})
	return events
}

func TestAPeerThatIsThrownOutWhileItsJoinIsToldLeavesAfterwards(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"joining", "joined", "left"}, toldOf(t,
		func(*ServerSession) {},
		func(sess *ServerSession) { _ = sess.ClosePeer(nil) },
	))
}

func TestAPeerThatIsTooSlowForTheAnswerToItsJoinHasJoinedAndLeft(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"joining", "joined", "left"}, toldOf(t,
		func(sess *ServerSession) {
			for range 2 * DefaultQueueMessages { // of which nothing is read
				_ = sess.Send(&Application{Method: "x"})
			}
		},
		func(*ServerSession) {},
	))
}
