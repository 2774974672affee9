// Package peer finds and runs the programs that tests talk to.
package peer

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Path returns where a peer is: the value of an environment variable, a file or folder.
// Without the variable the test is skipped by the name of the peer; a value that leads
// nowhere fails it.
func Path(t testing.TB, what, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("no %s: %s is not set", what, variable)
	}
	_, err := os.Stat(path)
	require.NoError(t, err, variable)
	return path
}

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens, for programs that
// cannot tell which one they chose. Somebody else may take it in between.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().(*net.TCPAddr).Port
}

// Await asks every 10 ms whether something outside this process has happened, and
// reports false when it has not within limit.
func Await(limit time.Duration, happened func() bool) bool {
	deadline := time.Now().Add(limit)
	for !happened() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}
