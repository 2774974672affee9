package galenegroup

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

func openTokens(t testing.TB, name string) *Tokens {
	t.Helper()
	s, err := OpenTokens(name)
	require.NoError(t, err)
	return s
}

func tokenFile(t testing.TB) string { return filepath.Join(t.TempDir(), "var", "tokens.jsonl") }

// invitation is a token that ends that far from now.
func invitation(name, group string, in time.Duration) *galene.Token {
	return &galene.Token{
		Token: name, Group: group, Permissions: galene.Permissions{"present"},
		Expires: time.Now().Add(in).UTC().Format(time.RFC3339),
	}
}

func names(list []*galene.Token) (names []string) {
	for _, t := range list {
		names = append(names, t.Token)
	}
	return names
}

func lines(t testing.TB, name string) []string {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func TestTokensOutliveTheServer(t *testing.T) {
	t.Parallel()
	name := tokenFile(t)
	s := openTokens(t, name)
	_, err := s.Token(t.Context(), "one")
	require.Equal(t, galene.ErrNoToken, err)
	list, err := s.List(t.Context(), "lab")
	require.NoError(t, err)
	require.Empty(t, list)
	_, err = os.Stat(name)
	require.ErrorIs(t, err, os.ErrNotExist, "nothing is written before there is something")

	username, by := "zoe", "ada"
	want := invitation("one", "lab", time.Hour)
	want.IncludeSubgroups, want.Username, want.IssuedBy = true, &username, &by
	want.NotBefore, want.IssuedAt = want.Expires, want.Expires
	require.NoError(t, s.Put(t.Context(), want))
	for _, s := range []*Tokens{s, openTokens(t, name)} {
		got, err := s.Token(t.Context(), "one")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "nobody else may read it")
}

func TestTheFileIsThatOfGalene(t *testing.T) {
	t.Parallel()
	name := tokenFile(t)
	token := &galene.Token{Token: "one", Group: "lab", Expires: "2099-01-01T00:00:00Z"}
	require.NoError(t, openTokens(t, name).Put(t.Context(), token))
	require.Equal(t, []string{`{"token":"one","group":"lab","permissions":[],"expires":"2099-01-01T00:00:00Z"}`}, lines(t, name))

	theirs := `{"token":"eKZn1JWdITQ","group":"apigroup","permissions":["present"],"expires":"2099-01-01T00:00:00Z"}` +
		"\n" + `{"token":"two","group":"lab","includeSubgroups":true,"username":"","permissions":null,` +
		`"expires":"2098-01-01T01:00:00+01:00","not-before":"2024-01-01T00:00:00.123456789Z",` +
		`"issuedAt":"2024-01-01T00:00:00Z","issuedBy":"ada"}{"token":"new","group":"lab","permissions":[],"later":1}` + "\n"
	require.NoError(t, os.WriteFile(name, []byte(theirs), 0o600))
	s := openTokens(t, name)
	two, err := s.Token(t.Context(), "two")
	require.NoError(t, err)
	require.Equal(t, "", *two.Username)
	require.NoError(t, two.Valid("lab/x", time.Now()))
	list, err := s.List(t.Context(), "lab")
	require.NoError(t, err)
	require.Equal(t, []string{"new", "two"}, names(list))
}

func TestAnEditedTokenReplacesTheOldOne(t *testing.T) {
	t.Parallel()
	name := tokenFile(t)
	s := openTokens(t, name)
	for i := range 5 {
		require.NoError(t, s.Put(t.Context(), invitation(strconv.Itoa(i), "lab", time.Duration(10-i)*time.Hour)))
	}
	require.NoError(t, s.Put(t.Context(), invitation("x", "office", time.Minute)))
	for i := range 3 { // of the same size and, for a coarse clock, at the same time
		edited := invitation("2", "lab", time.Duration(20+i)*time.Hour)
		require.NoError(t, s.Put(t.Context(), edited))
		for _, s := range []*Tokens{s, openTokens(t, name)} {
			got, err := s.Token(t.Context(), "2")
			require.NoError(t, err)
			require.Equal(t, edited, got)
			list, err := s.List(t.Context(), "lab")
			require.NoError(t, err)
			require.Equal(t, []string{"4", "3", "1", "0", "2"}, names(list), "by their end")
		}
	}
	require.Len(t, lines(t, name), 6)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*"))
	require.NoError(t, err)
	require.Equal(t, []string{name}, left, "no temporary files")
}

func TestTokensAreForgottenAWeekAfterTheirEnd(t *testing.T) {
	t.Parallel()
	name := tokenFile(t)
	s := openTokens(t, name)
	require.NoError(t, s.Put(t.Context(), invitation("old", "lab", -8*24*time.Hour)))
	require.NoError(t, s.Put(t.Context(), invitation("revoked", "lab", -6*24*time.Hour)))
	require.NoError(t, s.Put(t.Context(), &galene.Token{Token: "endless", Group: "lab"}))
	_, err := s.Token(t.Context(), "old")
	require.Equal(t, galene.ErrNoToken, err)
	list, err := s.List(t.Context(), "lab")
	require.NoError(t, err)
	require.Equal(t, []string{"endless", "revoked"}, names(list))
	require.Len(t, lines(t, name), 2)
}

func TestAChangeByAnEditorIsSeen(t *testing.T) {
	t.Parallel()
	name := tokenFile(t)
	s := openTokens(t, name)
	require.NoError(t, s.Put(t.Context(), invitation("one", "lab", time.Hour)))
	two := `{"token":"two","group":"lab","permissions":[]}`
	require.NoError(t, os.WriteFile(name, []byte(two), 0o600))
	_, err := s.Token(t.Context(), "one")
	require.Equal(t, galene.ErrNoToken, err)
	_, err = s.Token(t.Context(), "two")
	require.NoError(t, err)
	require.NoError(t, s.Put(t.Context(), invitation("three", "lab", time.Hour)), "behind a line without its end")
	list, err := openTokens(t, name).List(t.Context(), "lab")
	require.NoError(t, err)
	require.Equal(t, []string{"two", "three"}, names(list))
	require.NoError(t, os.Remove(name))
	list, err = s.List(t.Context(), "lab")
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestWhatACrashLeftOfALineIsDropped(t *testing.T) {
	t.Parallel()
	name := tokenFile(t)
	s := openTokens(t, name)
	require.NoError(t, s.Put(t.Context(), invitation("one", "lab", time.Hour)))
	whole := lines(t, name)[0]
	require.NoError(t, os.WriteFile(name, []byte(whole+"\n"+whole[:20]), 0o600))
	s = openTokens(t, name)
	_, err := s.Token(t.Context(), "one")
	require.NoError(t, err)
	require.NoError(t, s.Put(t.Context(), invitation("two", "lab", 2*time.Hour)))
	require.Len(t, lines(t, name), 2)
	list, err := openTokens(t, name).List(t.Context(), "lab")
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, names(list))
}

func TestAnUnsoundFileOfTokensIsNotOverwritten(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"nonsense", `[]`, `null`, `{"token":1,"group":"lab","permissions":[]}`, `{"group":"lab","permissions":[]}`,
		`{"token":"one","token":"two","group":"lab","permissions":[]}`, `{"token":"one","group":"lab"}}`,
	} {
		name := tokenFile(t)
		s := openTokens(t, name)
		require.NoError(t, s.Put(t.Context(), invitation("one", "lab", time.Hour)))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		_, err := OpenTokens(name)
		require.ErrorContains(t, err, "token ", text)
		require.Error(t, s.Put(t.Context(), invitation("two", "lab", time.Hour)), text)
		_, err = s.Token(t.Context(), "one")
		require.Error(t, err, text)
		require.NotErrorIs(t, err, galene.ErrNoToken)
		_, err = s.List(t.Context(), "lab")
		require.Error(t, err, text)
		require.Equal(t, []string{text}, lines(t, name))
	}
	_, err := OpenTokens(t.TempDir())
	require.Error(t, err, "a folder")
}

func TestATokenThatCannotBeWrittenIsNotStored(t *testing.T) {
	t.Parallel()
	s := openTokens(t, tokenFile(t))
	require.Error(t, s.Put(t.Context(), invitation("\xff", "lab", time.Hour)))
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	blocked := &Tokens{name: filepath.Join(file, "tokens.jsonl"), most: 1}
	require.Error(t, blocked.Put(t.Context(), invitation("one", "lab", time.Hour)))
}

func TestAFileOfTokensDoesNotGrowWithoutEnd(t *testing.T) {
	t.Parallel()
	s := openTokens(t, tokenFile(t))
	require.Equal(t, DefaultTokens, s.most)
	s.most = 2
	require.NoError(t, s.Put(t.Context(), invitation("one", "lab", time.Hour)))
	require.NoError(t, s.Put(t.Context(), invitation("two", "lab", time.Hour)))
	require.Equal(t, ErrTooManyTokens, s.Put(t.Context(), invitation("three", "lab", time.Hour)))
	require.NoError(t, s.Put(t.Context(), invitation("two", "lab", -8*24*time.Hour)), "one that is there")
	require.NoError(t, s.Put(t.Context(), invitation("three", "lab", time.Hour)), "in place of the one that ended")
	list, err := s.List(t.Context(), "lab")
	require.NoError(t, err)
	require.Equal(t, []string{"one", "three"}, names(list))
}

func TestWhatIsStoredDoesNotChangeWithTheCallers(t *testing.T) {
	t.Parallel()
	s := openTokens(t, tokenFile(t))
	token := invitation("one", "lab", time.Hour)
	require.NoError(t, s.Put(t.Context(), token))
	token.Group = "office"
	got, err := s.Token(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, "lab", got.Group)
}

func TestTokensAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	name := tokenFile(t)
	s := openTokens(t, name)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			id := strconv.Itoa(i)
			for j := range 4 {
				require.NoError(t, s.Put(context.Background(), invitation(id, "lab", time.Duration(j+1)*time.Hour)))
				_, err := s.Token(context.Background(), id)
				require.NoError(t, err)
			}
		})
	}
	all.Wait()
	list, err := openTokens(t, name).List(t.Context(), "lab")
	require.NoError(t, err)
	require.Len(t, list, 8)
}

// FuzzParseTokens checks that the tokens of a file are written as they are read.
func FuzzParseTokens(f *testing.F) {
	f.Add([]byte(`{"token":"one","group":"lab","permissions":["op"],"expires":"2099-01-01T00:00:00Z"}` + "\n"))
	f.Add([]byte(`{"token":"one","group":"lab","permissions":null}{"token":"two","x":1}`))
	f.Add([]byte(`{"token":`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tokens, _, err := parseTokens(data)
		if err != nil {
			require.Nil(t, tokens)
			return
		}
		var text []byte
		for name, token := range tokens {
			require.Equal(t, name, token.Token)
			text, err = appendToken(text, token)
			require.NoError(t, err)
		}
		same, torn, err := parseTokens(text)
		require.NoError(t, err)
		require.False(t, torn)
		require.Len(t, same, len(tokens))
	})
}
