package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
)

// conformanceTool builds examples/conformance once.
var conformanceTool = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "conformance"), "./examples/conformance")
	build.Dir = "../.."
	if _, err := build.Output(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "conformance"))
})

// requireLike runs examples/conformance with a real server, which must do in every case what the
// tool knows of it, and nothing else. It returns the report.
func requireLike(t *testing.T, reference, protocol, url string, params ...string) *suite.Report {
	t.Helper()
	tool, err := conformanceTool()
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "conformance")
	require.NoError(t, os.WriteFile(program, tool, 0o700))
	args := []string{"-protocol", protocol, "-url", url, "-like", reference, "-timeout", "10s", "-json"}
	for _, p := range params {
		args = append(args, "-param", p)
	}
	out, err := exec.CommandContext(t.Context(), program, args...).Output()
	var report suite.Report
	require.NoError(t, json.Unmarshal(out, &report), "%s", out)
	for _, r := range report.Results {
		require.NotEqual(t, suite.Failed, r.Verdict, "%+v", r)
		if r.Verdict == suite.Known {
			t.Logf("known: %s: %s (%s)", r.Topic, r.Name, r.Why)
		}
	}
	require.NoError(t, err)
	t.Logf("%s: %+v", reference, report.Counts)
	return &report
}

func TestConformanceKnowsOpenEasyRTC(t *testing.T) {
	t.Parallel()
	server := startRealEasyRTC(t, easyrtc218, easyrtcSettings{})
	report := requireLike(t, "open-easyrtc", "easyrtc", server.url)
	require.Equal(t, 5, report.Counts.Known)
	require.Zero(t, report.Counts.Skipped)
}

func TestConformanceKnowsGalene(t *testing.T) {
	t.Parallel()
	server := startGalene(t)
	report := requireLike(t, "galene", "galene", server.ws(),
		"group=test", "op=alice", "oppassword=apw", "user=bob", "password=bpw")
	require.Equal(t, 6, report.Counts.Known)
	require.Zero(t, report.Counts.Skipped)
}

func TestConformanceKnowsTheOperatorOfCuttlefish(t *testing.T) {
	t.Parallel()
	op := startOperator(t, "")
	report := requireLike(t, "operator", "cuttlefish", op.url, "socket="+op.socket)
	require.Equal(t, 1, report.Counts.Known, "it has no endpoint of the document")
	require.Equal(t, 9, report.Counts.Passed)
}

func TestConformanceKnowsMediasoup(t *testing.T) {
	t.Parallel()
	server := startMediasoup(t, overProtoo)
	report := requireLike(t, "mediasoup", "mediasoup", server.url)
	require.Equal(t, 1, report.Counts.Known)
	require.Zero(t, report.Counts.Skipped)
}
