package explain

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
	"github.com/rtcsignal/rtcsignal/internal/script"
)

// traces are those that were read, by path.
var traces sync.Map

// readTrace returns the entries of a recording or trace, whose data must not be changed.
func readTrace(tb testing.TB, path string) []capture.Entry {
	tb.Helper()
	if entries, ok := traces.Load(path); ok {
		return slices.Clone(entries.([]capture.Entry))
	}
	data, err := os.ReadFile(path)
	require.NoError(tb, err)
	file, err := capture.Read(bytes.NewReader(data))
	require.NoError(tb, err, path)
	traces.Store(path, file.Entries)
	return slices.Clone(file.Entries)
}

// explained returns the arrows of a recording in a protocol, with secrets masked.
func explained(tb testing.TB, protocol string, entries []capture.Entry) []Arrow {
	tb.Helper()
	p, err := Find(protocol)
	require.NoError(tb, err)
	r := NewRecording(p)
	var arrows []Arrow
	for _, e := range entries {
		arrows = append(arrows, r.Explain(e)...)
	}
	return arrows
}

// message is an entry with a text message.
func message(conn string, from capture.Side, text string) capture.Entry {
	return capture.Entry{Conn: conn, Kind: capture.Message, From: from, Data: []byte(text)}
}

// opened is an entry that opens a connection.
func opened(conn, url string) capture.Entry {
	return capture.Entry{Conn: conn, Kind: capture.Open, From: capture.Client, URL: url}
}

// closed is an entry that closes a connection.
func closed(conn string, from capture.Side, code int, reason string) capture.Entry {
	return capture.Entry{Conn: conn, Kind: capture.Close, From: from, Code: code, Reason: reason}
}

// numbered gives entries their numbers.
func numbered(entries []capture.Entry) []capture.Entry {
	for i := range entries {
		entries[i].Seq = i + 1
	}
	return entries
}

// diagram writes arrows for people and for comparison: a line each, with its problems and
// the titles of its folds below.
func diagram(arrows []Arrow) string {
	var b strings.Builder
	for _, a := range arrows {
		direction := "--"
		switch a.From {
		case capture.Client:
			direction = "->"
		case capture.Server:
			direction = "<-"
		}
		line := fmt.Sprintf("%4d %s %s ", a.Seq, a.Conn, direction)
		if a.Kind != Message {
			line += string(a.Kind) + " "
		}
		line += a.Name
		if a.About != "" {
			line += " (" + a.About + ")"
		}
		if a.Who != "" {
			line += " {" + a.Who + "}"
		}
		if a.Ack {
			line += " ack"
		}
		if a.Client != "" || a.Server != "" {
			line += "  [" + a.Client + " | " + a.Server + "]"
		}
		fmt.Fprintln(&b, visible(line))
		for _, p := range a.Problems {
			fmt.Fprintln(&b, visible(fmt.Sprintf("         ! %s: %s", p.Kind, p.Text)))
		}
		if a.Detail == nil {
			continue
		}
		for _, f := range a.Detail.Folds {
			fmt.Fprintln(&b, visible("         + "+f.Title))
		}
	}
	return b.String()
}

// visible shows what would end a line or is not to be seen.
func visible(s string) string {
	q := fmt.Sprintf("%+q", s)
	if q[1:len(q)-1] == s {
		return s
	}
	return strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\0`).Replace(s)
}

// compare demands that text is that of a file in testdata. With -update it is written there
// first.
func compare(tb testing.TB, path, text string) {
	tb.Helper()
	path = filepath.Join("testdata", path)
	if script.Updating() {
		require.NoError(tb, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(tb, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(tb, err)
	require.Equal(tb, string(want), text, "run with -update and read the difference")
}

// compareDiagrams explains every recording in testdata/<protocol> and compares the diagram
// with the file of the same name and .txt.
func compareDiagrams(t *testing.T, protocol string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", protocol, "*.jsonl"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 4, protocol)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries := readTrace(t, file)
			compare(t, protocol+"/"+name+".txt", diagram(explained(t, protocol, entries)))
		})
	}
}

// compareProblems explains every trace of the real peers and compares all problems with
// those in testdata/<protocol>/problems.txt, each of which somebody has looked at. Traces
// are patterns from the root of the module.
func compareProblems(t *testing.T, protocol string, traces ...string) {
	t.Helper()
	var b strings.Builder
	count := 0
	for _, pattern := range traces {
		files, err := filepath.Glob(filepath.Join("..", "..", "..", filepath.FromSlash(pattern)))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			arrows := explained(t, protocol, readTrace(t, file))
			count += len(arrows)
			writeProblems(&b, file, arrows)
		}
	}
	require.Greater(t, count, 100)
	compare(t, protocol+"/problems.txt", b.String())
}

// writeProblems writes the problems of a file, if there are any.
func writeProblems(b *strings.Builder, file string, arrows []Arrow) {
	title := fmt.Sprintf("%s/%s\n", filepath.Base(filepath.Dir(file)), filepath.Base(file))
	for _, a := range arrows {
		for _, p := range a.Problems {
			b.WriteString(title)
			title = ""
			fmt.Fprintln(b, visible(fmt.Sprintf("  %d %s %s %s: %s: %s", a.Seq, a.Conn, a.From, a.Name, p.Kind, p.Text)))
		}
	}
}

// shown is everything of an arrow that a person can see.
func shown(a Arrow) string {
	var b bytes.Buffer
	fmt.Fprintln(&b, a.Name, a.About, a.Who, a.Problems)
	if d := a.Detail; d != nil {
		fmt.Fprintln(&b, string(d.Decoded), d.Raw)
		for _, f := range d.Folds {
			fmt.Fprintln(&b, f.Title, f.Text)
		}
	}
	return b.String()
}
