package link

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

func TestAnswersThatAPeerOwesAreNoFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := plain()
		opts.Limits = Limits{Messages: 1, MessageBurst: 2, Bytes: -1, Patience: 1}
		opts.Answer = func(_ transport.MessageType, msg []byte) bool { return msg[0] == 'a' }
		read := 0
		l, peer, end := run(opts, func(string) { read++ })
		say := func(text string) { require.NoError(t, peer.Write(transport.Text, []byte(text))) }
		for range 10 {
			require.NoError(t, l.Send("question"))
			_, _, err := peer.Read(nil)
			require.NoError(t, err)
			say("answer")
		}
		synctest.Wait()
		require.Equal(t, 10, read)
		require.False(t, l.Ending())

		go func() { _, _ = readAll(peer) }()
		for range 3 { // nobody has asked, and the burst is two
			say("answer")
			synctest.Wait()
		}
		require.ErrorIs(t, <-end, ErrFlood)
	})
}
