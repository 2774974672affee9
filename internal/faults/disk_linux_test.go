package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenegroup"
)

// fullDisk is the variable that makes a process of this test one for which the disk is full.
const fullDisk = "RTCSIGNAL_FAULTS_FULL_DISK"

// TestATokenThatDoesNotFitOnTheDiskIsAnError fills the disk by a limit of files' sizes, which
// holds for a whole process: the test starts one for it.
func TestATokenThatDoesNotFitOnTheDiskIsAnError(t *testing.T) {
	t.Parallel()
	if name := os.Getenv(fullDisk); name != "" {
		fillDisk(t, name)
		return
	}
	name := filepath.Join(t.TempDir(), "tokens.jsonl")
	tokens, err := galenegroup.OpenTokens(name)
	require.NoError(t, err)
	require.NoError(t, tokens.Put(t.Context(), invitation("first", "")))
	before, err := os.ReadFile(name)
	require.NoError(t, err)

	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	other.Env = append(os.Environ(), fullDisk+"="+name)
	out, err := other.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())

	after, err := os.ReadFile(name)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(after), string(before)), "what was there stays")
	again, err := galenegroup.OpenTokens(name)
	require.NoError(t, err, "what a full disk has left can be read")
	for _, s := range []*galenegroup.Tokens{tokens, again} {
		list, err := s.List(t.Context(), room)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "first", list[0].Token)
	}
	require.NoError(t, again.Put(t.Context(), invitation("second", "")), "there is room again")
	list, err := tokens.List(t.Context(), room)
	require.NoError(t, err)
	require.Len(t, list, 2)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*"))
	require.NoError(t, err)
	require.Equal(t, []string{name}, files, "nothing is left beside it")
}

// invitation is a token of at least the size of its padding.
func invitation(name, padding string) *galene.Token {
	username := padding
	return &galene.Token{
		Token: name, Group: room, Username: &username, Permissions: []galene.Permission{"message"},
		Expires: time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
	}
}

// fillDisk is what the other process does: it puts tokens where there is no room, by writing
// behind the others and by writing all of them anew.
func fillDisk(t *testing.T, name string) {
	signal.Ignore(syscall.SIGXFSZ)
	info, err := os.Stat(name)
	require.NoError(t, err)
	limit := syscall.Rlimit{Cur: uint64(info.Size()) + 100, Max: uint64(info.Size()) + 100}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	tokens, err := galenegroup.OpenTokens(name)
	require.NoError(t, err)
	for i := range 4 { // the first one leaves a part of itself, the others begin with that
		err = tokens.Put(context.Background(), invitation(fmt.Sprint("big", i), strings.Repeat("x", 500)))
		require.ErrorIs(t, err, syscall.EFBIG)
		_, err = tokens.Token(context.Background(), fmt.Sprint("big", i))
		require.ErrorIs(t, err, galene.ErrNoToken)
		first, err := tokens.Token(context.Background(), "first")
		require.NoError(t, err)
		require.Equal(t, room, first.Group)
	}
}
