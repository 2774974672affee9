package mediasoupproto

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// A wireLine is one line of a trace: a message, or something else that happened.
type wireLine struct {
	flow   string // the name of the file
	number int

	Dir  string          `json:"dir"` // c2s or s2c
	Peer string          `json:"peer"`
	Kind string          `json:"kind"`
	RID  json.RawMessage `json:"rid"`
	Body json.RawMessage `json:"body"`
}

func (l *wireLine) place() string { return fmt.Sprintf("%s:%d", l.flow, l.number) }

// is reports whether the line is a message of a kind and a method, or of any with "".
func (l *wireLine) is(dir, kind, method string) bool {
	if l.Dir != dir || l.Kind != kind {
		return false
	}
	var payload struct{ Method string }
	return method == "" || json.Unmarshal(l.Body, &payload) == nil && payload.Method == method
}

// scripted reports whether the client of the flow got its answers from a script.
func (l *wireLine) scripted() bool { return strings.HasPrefix(l.flow, "5") }

// readWire returns the lines of all traces, which must not be changed.
var readWire = sync.OnceValues(func() ([]wireLine, error) {
	return script.TraceLines(func(flow string, number int) wireLine { return wireLine{flow: flow, number: number} })
})

// wireLines returns the lines of all traces.
func wireLines(tb testing.TB) []wireLine {
	tb.Helper()
	lines, err := readWire()
	require.NoError(tb, err)
	require.Greater(tb, len(lines), 1000)
	return lines
}

// answerOf returns what answers the request in line i, or nil.
func answerOf(lines []wireLine, i int) *wireLine {
	for j := i + 1; j < len(lines) && lines[j].flow == lines[i].flow; j++ {
		l := &lines[j]
		answers := l.Dir == "s2c" && (l.Kind == "response" || l.Kind == "error")
		if answers && l.Peer == lines[i].Peer && string(l.RID) == string(lines[i].RID) {
			return l
		}
	}
	return nil
}

// refusal returns the reason that a line of kind error stands for.
func (l *wireLine) refusal(tb testing.TB) *Error {
	tb.Helper()
	require.Equal(tb, "error", l.Kind, l.place())
	var e struct{ Name, Message string }
	require.NoError(tb, json.Unmarshal(l.Body, &e), l.place())
	require.NotEmpty(tb, e.Message, l.place())
	return NewError(e.Name, e.Message)
}

// requireSameJSON demands that two texts are the same value.
func requireSameJSON(tb testing.TB, want, got []byte, place string) {
	tb.Helper()
	var wantValue, gotValue any
	require.NoError(tb, json.Unmarshal(want, &wantValue), place)
	require.NoError(tb, json.Unmarshal(got, &gotValue), place)
	require.Equal(tb, wantValue, gotValue, place)
}
