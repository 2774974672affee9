package explain

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// separator ends an entry in the input of the fuzz target.
var separator = []byte("\xff\n")

var fuzzKinds = [...]capture.Kind{
	capture.Message, capture.Open, capture.Close, capture.Request, capture.Response, capture.Note,
}

// fuzzInput writes entries as [fuzzEntries] reads them.
func fuzzInput(entries []capture.Entry) []byte {
	var b bytes.Buffer
	for i, e := range entries {
		var head byte
		for k, kind := range fuzzKinds {
			if kind == e.Kind {
				head = byte(k)
			}
		}
		if e.From == capture.Server {
			head |= 1 << 3
		}
		if e.Binary {
			head |= 1 << 4
		}
		if e.Method == "POST" {
			head |= 1 << 5
		}
		if e.Cut > 0 {
			head |= 1 << 6
		}
		b.WriteByte(head)
		b.WriteString(e.Conn[max(0, len(e.Conn)-1):])
		b.WriteByte('\n')
		b.WriteString(e.URL)
		b.WriteByte('\n')
		b.Write(e.Data)
		if i < len(entries)-1 {
			b.Write(separator)
		}
	}
	return b.Bytes()
}

// fuzzEntries makes entries of anything.
func fuzzEntries(input []byte) []capture.Entry {
	var entries []capture.Entry
	for part := range bytes.SplitSeq(input, separator) {
		if len(part) == 0 {
			continue
		}
		head := part[0]
		conn, rest, _ := bytes.Cut(part[1:], []byte{'\n'})
		url, data, _ := bytes.Cut(rest, []byte{'\n'})
		e := capture.Entry{
			Conn: string(conn), Kind: fuzzKinds[int(head&7)%len(fuzzKinds)], From: capture.Client,
			URL: string(url), Data: data, Binary: head&(1<<4) != 0, Method: "GET", Status: 200, Code: 1000,
		}
		if head&(1<<3) != 0 {
			e.From = capture.Server
		}
		if head&(1<<5) != 0 {
			e.Method = "POST"
		}
		if head&(1<<6) != 0 {
			e.Cut = len(data) + 1
		}
		if head&(1<<7) != 0 {
			e.Status, e.Code = 404, 1008
		}
		entries = append(entries, e)
	}
	return numbered(entries)
}

// Whatever is recorded, it has arrows that can be shown, and the same ones each time.
func FuzzExplain(f *testing.F) {
	for protocol := range tracesOf {
		files, err := filepath.Glob(filepath.Join("testdata", protocol, "*.jsonl"))
		require.NoError(f, err)
		for _, file := range files {
			entries := slices.DeleteFunc(readTrace(f, file), func(e capture.Entry) bool { return len(e.Data) > 400 })
			f.Add(fuzzInput(entries[:min(len(entries), 10)]))
		}
	}
	for _, entries := range secretsOf {
		f.Add(fuzzInput(entries))
	}
	f.Add([]byte("\x001\n\n{\"type\":\"offer\"}\xff\n\x082\n/x?EIO=4&transport=polling\n40\x1e2\x1eb"))
	f.Fuzz(func(t *testing.T, input []byte) {
		entries := fuzzEntries(input)
		for _, p := range Protocols {
			first, second := NewRecording(p), NewRecording(p)
			number := 0
			for _, e := range entries {
				data := bytes.Clone(e.Data)
				arrows := first.Explain(e)
				require.Equal(t, data, e.Data, "the data are not changed")
				for _, a := range arrows {
					number++
					checkArrow(t, p.Name, e, a, number)
				}
				if again := second.Explain(e); !reflect.DeepEqual(arrows, again) {
					require.Equal(t, arrows, again, p.Name)
				}
			}
		}
		Guess(entries)
	})
}

func checkArrow(t *testing.T, protocol string, e capture.Entry, a Arrow, number int) {
	t.Helper()
	require.Equal(t, number, a.Number)
	require.Equal(t, e.Seq, a.Seq)
	require.Contains(t, []Kind{Message, Carrier, Lifecycle}, a.Kind)
	require.NotEmpty(t, a.Name, "%s: %q", protocol, e.Data)
	require.LessOrEqual(t, len(a.Name), 80)
	require.LessOrEqual(t, len(a.About), 120)
	require.LessOrEqual(t, len(a.Problems), maxProblems)
	for _, p := range a.Problems {
		require.NotEmpty(t, p.Text, "%s: %q", protocol, e.Data)
	}
	_, err := json.Marshal(a)
	require.NoError(t, err)
	if d := a.Detail; d != nil {
		require.True(t, d.Decoded == nil || json.Valid(d.Decoded), "%s: %q: %q", protocol, e.Data, d.Decoded)
		require.LessOrEqual(t, len(d.Folds), 2*maxFolds)
	}
}
