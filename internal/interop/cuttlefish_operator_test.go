package interop

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/cuttlefish/cuttlefishhttp"
	"github.com/rtcsignal/rtcsignal/internal/interop/peer"
)

func TestCuttlefishOurClientReachesOurDeviceThroughOperator(t *testing.T) {
	t.Parallel()
	operatorBin(t) // skips the whole test
	for _, via := range []cuttlefishhttp.Via{cuttlefishhttp.ViaWebSocket, cuttlefishhttp.ViaPolling} {
		t.Run(via.String(), func(t *testing.T) {
			t.Parallel()
			op := startOperator(t, "")
			dev := op.startDevice(t, 0)
			seen := converse(t, dev, startClient(t, op.url, via))
			t.Logf("operator (%s), our device and client over %s: %s", op.version, via, seen)
		})
	}
}

// An operator is today's signaling server of Cuttlefish, running.
type operator struct {
	url     string // without a slash at the end
	socket  string // of the devices
	version string
}

// operatorStart is how long it may take until it listens; 0.1 s is usual.
const operatorStart = 10 * time.Second

// operatorBin returns the program.
func operatorBin(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs(peer.Path(t, "Cuttlefish operator", "CUTTLEFISH_OPERATOR_BIN"))
	require.NoError(t, err)
	return bin
}

// startOperator starts the operator. With intercept, the folder that holds
// js/server_connector.js, it serves that file to pages.
func startOperator(t *testing.T, intercept string) *operator {
	t.Helper()
	bin := operatorBin(t)
	dir, err := os.MkdirTemp("", "cf") // the path of a socket has 107 bytes at most, those of t.TempDir are longer
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	if intercept != "" {
		intercept, err = filepath.Abs(intercept)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(intercept, filepath.Join(dir, "intercept")))
	}
	const attempts = 3 // the port may be taken before the operator has it
	for range attempts {
		port := peer.FreePort(t)
		op := &operator{
			url:     fmt.Sprintf("http://127.0.0.1:%d", port),
			socket:  filepath.Join(dir, "device"),
			version: buildVersion(bin),
		}
		cmd := exec.Command(bin, "-listen_addr", "127.0.0.1", "-http_port", fmt.Sprint(port),
			"-socket_path", op.socket, "-control_socket_path", filepath.Join(dir, "control"))
		cmd.Dir = dir
		process := peer.Start(t, cmd)
		listening := peer.Await(operatorStart, func() bool {
			return process.Ended() || op.listens(t.Context())
		})
		require.True(t, listening, "the operator does not listen")
		if !process.Ended() {
			return op
		}
		t.Logf("the operator has ended: %s", process.Output())
	}
	require.Fail(t, "the operator does not stay")
	return nil
}

// listens reports whether both of the operator's listeners, which start one by one,
// are there.
func (op *operator) listens(ctx context.Context) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixpacket", op.socket)
	if err != nil {
		return false
	}
	conn.Close()
	return statusOf(ctx, op.url+"/infra_config") == http.StatusOK
}

// startDevice registers a device at the operator's socket, and returns when clients can
// find it.
func (op *operator) startDevice(t *testing.T, filePort int) *device {
	t.Helper()
	d := startDevice(t, "unix://"+op.socket, filePort)
	require.True(t, peer.Await(patience, func() bool {
		return statusOf(t.Context(), op.url+"/devices/"+deviceID) == http.StatusOK
	}), "the operator does not know the device")
	return d
}

// statusOf returns the status of a GET, or 0 when there is no answer.
func statusOf(ctx context.Context, url string) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// buildVersion returns what a Go program tells about its source.
func buildVersion(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "unknown version"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version = s.Value
		}
	}
	return fmt.Sprintf("%s %s, %s", info.Path, version, info.GoVersion)
}
