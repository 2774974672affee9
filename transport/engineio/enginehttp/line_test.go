package enginehttp

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// TestWhatIsWrittenWhileTheQueueMovesComesAfterIt: that moment is too short to be
// met from outside.
func TestWhatIsWrittenWhileTheQueueMovesComesAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(engineio.V4, (*Options)(nil).withDefaults(), func() {})
		ws, peer := transport.Pipe()
		require.NoError(t, l.Write(transport.Text, []byte("4one")))
		moved := make(chan bool, 1)
		go func() { moved <- l.upgrade(ws) }()
		synctest.Wait() // until the peer reads
		require.NoError(t, l.Write(transport.Text, []byte("4two")))
		l.mu.Lock()
		require.Empty(t, l.take(0), "a late poll gets nothing of it")
		l.mu.Unlock()
		for _, want := range []string{"4one", "4two"} {
			_, frame, err := peer.Read(nil)
			require.NoError(t, err)
			require.Equal(t, want, string(frame))
		}
		require.True(t, <-moved)
		written := make(chan error, 1)
		go func() { written <- l.Write(transport.Text, []byte("4three")) }()
		_, frame, err := peer.Read(nil)
		require.NoError(t, err)
		require.Equal(t, "4three", string(frame))
		require.NoError(t, <-written)
		require.NoError(t, l.Close(transport.StatusGoingAway, ""))
		_, _, err = peer.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusGoingAway}, err)
	})
}

func TestALineThatEndsWhileTheQueueMovesIsNotUpgraded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(engineio.V4, (*Options)(nil).withDefaults(), func() {})
		ws, peer := transport.Pipe()
		require.NoError(t, l.Write(transport.Text, []byte("4one")))
		moved := make(chan bool, 1)
		go func() { moved <- l.upgrade(ws) }()
		synctest.Wait()
		require.Equal(t, lost(), l.end(lost()))
		_, _, err := peer.Read(nil)
		require.NoError(t, err)
		require.False(t, <-moved)
		require.False(t, l.upgrade(ws))
		_, _, err = l.Read(nil)
		require.Equal(t, lost(), err)
		require.NoError(t, l.Close(transport.StatusNormal, ""))
	})
}
