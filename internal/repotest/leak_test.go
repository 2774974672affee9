package repotest

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// leakVariable makes a second run of this test binary leave a goroutine behind.
const leakVariable = "REPOTEST_LEAVE_A_GOROUTINE"

func TestMain(m *testing.M) {
	if os.Getenv(leakVariable) != "" {
		os.Exit(run(m, 10*time.Millisecond))
	}
	Main(m)
}

func TestMainFailsWhenAGoroutineIsLeft(t *testing.T) {
	if os.Getenv(leakVariable) != "" {
		go leaveMe(make(chan struct{}))
		return
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestMainFailsWhenAGoroutineIsLeft$")
	cmd.Env = append(os.Environ(), leakVariable+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err, "%s", out)
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s", out)
	require.Contains(t, string(out), "repotest: goroutines left 10ms after the tests: 1\n")
	require.Contains(t, string(out), "repotest.leaveMe", "the stack names the culprit")
}

func leaveMe(forever chan struct{}) { <-forever }

func TestLeakedWaitsForAGoroutineThatEnds(t *testing.T) {
	before := goroutines()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		leaveMe(stop)
	}()
	left := leaked(before, 0)
	require.Len(t, left, 1)
	require.Contains(t, left[0], "TestLeakedWaitsForAGoroutineThatEnds.func")
	close(stop)
	<-ended
	require.Empty(t, leaked(before, grace))
}
