package interop

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

// goClientLimit bounds a run of the Go client, which has no limit of its own.
const goClientLimit = 30 * time.Second

func TestCuttlefishGoClientReachesOurDeviceThroughOperator(t *testing.T) {
	t.Parallel()
	bin := goClient(t)
	op := startOperator(t, "")
	op.startDevice(t, 0)
	runGoClient(t, bin, op.url)
	t.Logf("operator: %s", op.version)
}

func TestCuttlefishGoClientReachesOurDeviceThroughOurServer(t *testing.T) {
	t.Parallel()
	bin := goClient(t)
	srv := startServer(t, nil)
	startDevice(t, srv.url, 0)
	runGoClient(t, bin, srv.url)
}

// goClient returns the program around the Go client library.
func goClient(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs(peer.Path(t, "Cuttlefish Go client", "CUTTLEFISH_GOCLIENT_BIN"))
	require.NoError(t, err)
	return bin
}

// runGoClient connects to the device through a server, and demands that what it sends on
// adb-channel comes back.
func runGoClient(t *testing.T, bin, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), goClientLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, url, deviceID)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	require.Equal(t, "ping\n", string(out))
	t.Logf("Go client (%s): echo after %v", buildVersion(bin), time.Since(start).Round(time.Millisecond))
}
