package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Table is what a machine does, state by state: what becomes of it, and behind that the
// stimuli that bring it about. It is compared with a file in testdata/machines, which is
// there to be read. The zero value is ready.
type Table struct {
	text    strings.Builder
	results []string // of the present state, in the order of their coming
	names   map[string][]string
}

// State begins a state.
func (b *Table) State(name string) {
	b.end()
	fmt.Fprintf(&b.text, "\n%s\n", name)
}

// Row adds a stimulus of the present state and what becomes of it.
func (b *Table) Row(name, result string) {
	if b.names == nil {
		b.names = make(map[string][]string)
	}
	if b.names[result] == nil {
		b.results = append(b.results, result)
	}
	b.names[result] = append(b.names[result], name)
}

// end ends a state.
func (b *Table) end() {
	for _, result := range b.results {
		fmt.Fprintf(&b.text, "  %s\n", result)
		line := "     "
		for i, name := range b.names[result] {
			if i > 0 {
				line += ";"
			}
			if len(line)+len(name) > 110 {
				fmt.Fprintln(&b.text, line)
				line = "     "
			}
			line += " " + name
		}
		fmt.Fprintln(&b.text, line)
	}
	b.results = nil
	clear(b.names)
}

// Compare demands that the table is that of a name in testdata/machines. With -update it is
// written there first.
func (b *Table) Compare(tb testing.TB, name string) {
	tb.Helper()
	b.end()
	path := filepath.Join("testdata", "machines", name+".txt")
	if Updating() {
		require.NoError(tb, os.WriteFile(path, []byte(b.text.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(tb, err)
	require.Equal(tb, string(want), b.text.String(), "run with -update and read the difference")
}
