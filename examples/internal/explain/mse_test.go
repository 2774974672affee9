package explain

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

func TestMSEDiagrams(t *testing.T) {
	t.Parallel()
	compareDiagrams(t, "mse")
}

// readScript returns the lines of a script of package msejsonrpc that were on a wire.
func readScript(tb testing.TB, path string) []capture.Entry {
	tb.Helper()
	data, err := os.ReadFile(path)
	require.NoError(tb, err)
	var entries []capture.Entry
	_, lines, ok := bytes.Cut(data, []byte("-- script --\n"))
	require.True(tb, ok, path)
	for line := range strings.Lines(string(lines)) {
		conn, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if len(conn) < 2 || conn[0] != 'c' {
			continue
		}
		act, text, _ := strings.Cut(rest, " ")
		e := message(conn, capture.Client, text)
		switch act {
		case ">":
		case ">raw", ">bin":
			text, err := strconv.Unquote(text)
			require.NoError(tb, err, line)
			e.Data, e.Binary = []byte(text), act == ">bin"
		case "<":
			e.From = capture.Server
		case "open":
			e = opened(conn, "/")
		case "close":
			e = closed(conn, capture.Client, 1000, "")
		case "closed":
			code, reason, _ := strings.Cut(text, " ")
			e = closed(conn, capture.Server, 0, reason)
			e.Code, err = strconv.Atoi(code)
			require.NoError(tb, err, line)
		default:
			continue
		}
		entries = append(entries, e)
	}
	return numbered(entries)
}

// There is no peer of which there could be traces: the scripts of the rules stand for them.
func TestMSEProblemsOfAllRules(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "msejsonrpc", "testdata", "scripts", "*.txtar"))
	require.NoError(t, err)
	var b strings.Builder
	for _, file := range files {
		writeProblems(&b, file, explained(t, "mse", readScript(t, file)))
	}
	compare(t, "mse/problems.txt", b.String())
}
