package peer_test

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
	"github.com/rtcsignal/rtcsignal/internal/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

func TestProcessEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var p *peer.Process
	t.Run("short", func(t *testing.T) {
		p = peer.Start(t, exec.CommandContext(t.Context(), "sh", "-c", "echo started; exec sleep 60"))
		require.True(t, peer.Await(10*time.Second, func() bool { return p.Output() == "started\n" }))
		require.False(t, p.Ended())
	})
	require.True(t, p.Ended())
}

func TestProcessKeepsTheEndOfItsOutput(t *testing.T) {
	t.Parallel()
	p := peer.Start(t, exec.CommandContext(t.Context(), "sh", "-c", "head -c 100000 /dev/zero; echo last"))
	require.True(t, peer.Await(10*time.Second, p.Ended))
	require.Less(t, len(p.Output()), 100000)
	require.True(t, strings.HasSuffix(p.Output(), "last\n"))
}

func TestMissingPeerIsSkippedByName(t *testing.T) {
	t.Parallel()
	test := new(fakeTest)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		peer.Path(test, "peer of that name", "RTCSIGNAL_NO_SUCH_PEER")
	}()
	<-ended
	require.Equal(t, "no peer of that name: RTCSIGNAL_NO_SUCH_PEER is not set", test.skipped)
}

// A fakeTest keeps why it was skipped.
type fakeTest struct {
	testing.TB
	skipped string
}

func (*fakeTest) Helper() {}

func (f *fakeTest) Skipf(format string, args ...any) {
	f.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
