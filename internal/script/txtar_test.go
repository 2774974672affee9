package script

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseCutsAnArchiveIntoSections(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		archive string
		want    []File
	}{
		"empty":             {"", nil},
		"comment only":      {"a comment\nof two lines\n", nil},
		"sections in order": {"-- b --\n1\n-- a --\n2\n3\n", []File{{"b", []byte("1\n")}, {"a", []byte("2\n3\n")}}},
		"comment before":    {"# what\n-- a --\n1\n", []File{{"a", []byte("1\n")}}},
		"empty section":     {"-- a --\n-- b --\n", []File{{Name: "a"}, {Name: "b"}}},
		"same name twice":   {"-- a --\n1\n-- a --\n2\n", []File{{"a", []byte("1\n")}, {"a", []byte("2\n")}}},
		"no last newline":   {"-- a --\n1", []File{{"a", []byte("1\n")}}},
		"blank lines kept":  {"-- a --\n\n1\n\n", []File{{"a", []byte("\n1\n\n")}}},
		"spaces around":     {"--  a b  --\r\n1\n", []File{{"a b", []byte("1\n")}}},
		"not a marker":      {"-- a --\n--b --\n-- c--\n --d --\n--  --\n-- --\n", []File{{"a", []byte("--b --\n-- c--\n --d --\n--  --\n-- --\n")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, Parse([]byte(tt.archive)))
		})
	}
}

func TestParseDoesNotShareMemoryWithTheArchive(t *testing.T) {
	t.Parallel()
	archive := []byte("-- a --\n1\n")
	files := Parse(archive)
	clear(archive)
	require.Equal(t, []File{{"a", []byte("1\n")}}, files)
}
