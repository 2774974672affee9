package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The peers of MSE JSON-RPC are two programs of this repository, in testdata/mse, because
// there is no other implementation of the protocol. They are made from its document, and
// what they send and receive is built and read by jsonrpc-lite, an implementation of
// JSON-RPC 2.0 that other people wrote.

// liteNode returns the program that runs them, Node.js. The test is skipped when it or
// what the programs import is not there.
func liteNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no Node.js: node is not in PATH")
	}
	for _, name := range []string{"jsonrpc-lite", "ws"} {
		if _, err := os.Stat(filepath.Join("node_modules", name)); err != nil {
			t.Skipf("%s is not installed: run npm ci in internal/interop", name)
		}
	}
	return node
}

// liteCommand returns the command that runs one of these programs.
func liteCommand(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{filepath.Join("testdata", "mse", program)}, args...)
	return exec.CommandContext(t.Context(), liteNode(t), args...)
}

// A liteReport is one line that such a program has written.
type liteReport struct {
	Step    int             `json:"step"`  // of the client
	Query   string          `json:"query"` // of the connection, at the server
	Kind    string          `json:"kind"`  // of a message, as jsonrpc-lite says; or versions, listening, closed
	Payload json.RawMessage `json:"payload"`
	Text    string          `json:"text"` // of the message, as it came
	// NullID is whether jsonrpc-lite called the message invalid, because its id is
	// null, and of this kind without it.
	NullID bool `json:"nullID"`
}

// liteReports reads what a program has written. The last line counts when it is whole.
func liteReports(t *testing.T, output string) []liteReport {
	t.Helper()
	var reports []liteReport
	for line := range strings.Lines(output) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var r liteReport
		require.NoError(t, json.Unmarshal([]byte(line), &r), "%s", output)
		reports = append(reports, r)
	}
	return reports
}

// String returns the report as the tests have it, with the members as JSON:
//
//	request ID METHOD PARAMS         success ID RESULT
//	notification METHOD PARAMS       error ID CODE MESSAGE DATA
//	null id: notification ...        closed CODE REASON
//	invalid TEXT
func (r liteReport) String() string {
	var p struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
		Result json.RawMessage `json:"result"`
		Error  struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}
	switch r.Kind {
	case "request", "notification", "success", "error", "closed":
		if err := json.Unmarshal(r.Payload, &p); err != nil {
			return err.Error()
		}
	}
	var text string
	switch r.Kind {
	case "request":
		text = fmt.Sprintf("request %s %s %s", p.ID, p.Method, p.Params)
	case "notification":
		text = fmt.Sprintf("notification %s %s", p.Method, p.Params)
	case "success":
		text = fmt.Sprintf("success %s %s", p.ID, p.Result)
	case "error":
		text = fmt.Sprintf("error %s %d %s %s", p.ID, p.Error.Code, p.Error.Message, p.Error.Data)
	case "closed":
		text = fmt.Sprintf("closed %d %s", p.Code, p.Reason)
	default:
		text = r.Kind + " " + r.Text
	}
	if r.NullID {
		text = "null id: " + text
	}
	return strings.TrimSpace(text)
}

// logLiteVersions logs the first report of a program.
func logLiteVersions(t *testing.T, reports []liteReport) {
	t.Helper()
	require.NotEmpty(t, reports)
	require.Equal(t, "versions", reports[0].Kind)
	var v struct {
		Node string `json:"node"`
		Lite string `json:"jsonrpc-lite"`
		WS   string `json:"ws"`
	}
	require.NoError(t, json.Unmarshal(reports[0].Payload, &v))
	t.Logf("jsonrpc-lite %s, ws %s, Node.js %s", v.Lite, v.WS, v.Node)
}

// jsonLines returns values as JSON, one a line.
func jsonLines[T any](t *testing.T, values []T) *bytes.Buffer {
	t.Helper()
	lines := new(bytes.Buffer)
	enc := json.NewEncoder(lines)
	for _, v := range values {
		require.NoError(t, enc.Encode(v))
	}
	return lines
}
