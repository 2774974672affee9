package galenegroup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

const groupsDir = "testdata/groups"

func open(t testing.TB, opts *Options) *Store {
	t.Helper()
	s, err := Open(groupsDir, opts)
	require.NoError(t, err)
	return s
}

// with returns a store of one group, "g".
func with(text string) *Store {
	return New(fstest.MapFS{"g.json": {Data: []byte(text)}}, nil)
}

// join authenticates with a password.
func join(t testing.TB, s *Store, group, username, password string) (*galene.Grant, error) {
	t.Helper()
	g, err := s.Group(t.Context(), group)
	require.NoError(t, err)
	return s.Authenticate(t.Context(), g, galene.Credentials{Username: &username, Password: password})
}

func granted(t testing.TB, s *Store, group, username, password string, want ...galene.Permission) {
	t.Helper()
	grant, err := join(t, s, group, username, password)
	require.NoError(t, err, "%s: %s", group, username)
	require.Equal(t, username, grant.Username)
	require.ElementsMatch(t, want, grant.Permissions, "%s: %s", group, username)
}

func refused(t testing.TB, s *Store, group, username, password string) {
	t.Helper()
	grant, err := join(t, s, group, username, password)
	require.Equal(t, galene.ErrNotAuthorised, err, "%s: %s", group, username)
	require.Nil(t, grant)
}

func TestAGroupIsWhatItsFileSays(t *testing.T) {
	t.Parallel()
	s := open(t, &Options{CanChangePassword: true})
	g, err := s.Group(t.Context(), "lab")
	require.NoError(t, err)
	require.Equal(t, &galene.Group{
		Name: "lab", DisplayName: "Laboratory", Description: "For tests", Contact: "ada@example.org", Public: true,
		MaxClients: 20, HistoryAge: time.Hour,
		NotBefore: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Expires: g.Expires,
		AllowRecording: true, AutoSubgroups: true, Autolock: true, CanChangePassword: true,
		Codecs: []string{"opus", "vp8", "h264"}, Users: []string{"ada", "bob", "cy", "dan", "eve", "guest"},
	}, g)
	require.True(t, g.Expires.Equal(time.Date(2099, 12, 31, 22, 59, 59, 0, time.UTC)))

	g, err = s.Group(t.Context(), "elsewhere")
	require.NoError(t, err)
	require.Equal(t, &galene.Group{
		Name: "elsewhere", DisplayName: "Moved", Redirect: "https://galene.example.org/group/lab/", CanChangePassword: true,
	}, g)
	g, err = s.Group(t.Context(), "signed")
	require.NoError(t, err)
	require.Equal(t, "https://auth.example.org/", g.AuthServer)
	require.Equal(t, "https://portal.example.org/", g.AuthPortal)
}

func TestGroupsBelowAFileExistIfItSaysSo(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	g, err := s.Group(t.Context(), "lab/one/two")
	require.NoError(t, err)
	require.Equal(t, "lab/one/two", g.Name)
	require.Equal(t, "Laboratory", g.DisplayName)
	require.Empty(t, g.Description, "the parent's does not describe it")
	require.False(t, g.Public)
	granted(t, s, "lab/one", "dan", "dpw")

	d, err := s.Description("lab/one")
	require.NoError(t, err)
	require.Equal(t, "For tests", d.Description)

	g, err = s.Group(t.Context(), "sub/dir")
	require.NoError(t, err)
	require.Equal(t, "Below", g.DisplayName)
	for _, name := range []string{"sub", "sub/dir/x", "open/x", "nosuch", "labs", "la", "LAB", "lab.json", "README"} {
		_, err := s.Group(t.Context(), name)
		require.Equal(t, galene.ErrNoGroup, err, name)
		_, err = s.Description(name)
		require.Equal(t, galene.ErrNoGroup, err, name)
	}
	nearest := New(fstest.MapFS{
		"a.json":   {Data: []byte(`{"auto-subgroups":true}`)},
		"a/b.json": {Data: []byte(`{}`)},
	}, nil)
	_, err = nearest.Group(t.Context(), "a/c")
	require.NoError(t, err)
	_, err = nearest.Group(t.Context(), "a/b/c")
	require.Equal(t, galene.ErrNoGroup, err, "the nearest file decides")
}

func TestNoNameLeadsOutOfTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	groups := filepath.Join(dir, "groups")
	require.NoError(t, os.Mkdir(groups, 0o700))
	open := []byte(`{"auto-subgroups":true}`)
	for _, name := range []string{"secret.json", "groups/.hidden.json", "groups/in.json", "groups/a\\b.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), open, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(groups, "plain"), nil, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(groups, "folder.json"), 0o700))
	s, err := Open(groups, nil)
	require.NoError(t, err)
	for _, name := range []string{
		"", "/", "../secret", "in/../../secret", "./in", "in/", "/in", "in//x", "in/..", ".hidden", "in/.hidden", "..",
		`a\b`, "in\x00", "\xff", filepath.Join(dir, "secret"), "plain/x", "folder",
		strings.Repeat("x", 300), strings.Repeat("x/", 600) + "x", "in/" + strings.Repeat("x/", MaxNameDepth-1) + "x",
	} {
		_, err := s.Group(t.Context(), name)
		require.Equal(t, galene.ErrNoGroup, err, "%q", name)
		username := ""
		_, err = s.Authenticate(t.Context(), &galene.Group{Name: name}, galene.Credentials{Username: &username})
		require.Equal(t, galene.ErrNoGroup, err, "%q", name)
	}
	_, err = s.Group(t.Context(), "in/"+strings.Repeat("x/", MaxNameDepth-2)+"x")
	require.NoError(t, err)
	names, err := s.Names(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"in"}, names)
}

func TestUsersJoinWithTheirPasswords(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	granted(t, s, "lab", "ada", "apw", "record", "op", "present", "message", "caption", "token")
	granted(t, s, "lab", "bob", "bpw", "present", "message")
	granted(t, s, "lab", "cy", "U*U", "message", "caption")
	granted(t, s, "lab", "dan", "dpw")
	granted(t, s, "lab", "guest", "anything")
	for username, password := range map[string]string{
		"ada": "apW", "bob": "bpW", "cy": "U*V", "dan": "", "eve": "", "mallory": "apw", "": "apw", "Ada": "apw",
	} {
		refused(t, s, "lab", username, password)
	}
}

func TestTheWildcardUserIsEverybodyElse(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	granted(t, s, "open", "anybody", "anything", "token", "present", "message")
	granted(t, s, "open", "", "", "token", "present", "message")
	granted(t, s, "open", "ada", "apw", "op", "present", "message", "caption", "token")
	refused(t, s, "open", "ada", "anything") // a listed user needs his own
	granted(t, s, "shared", "anybody", "spw", "message")
	refused(t, s, "shared", "anybody", "apw")
	refused(t, s, "shared", "ada", "spw")
}

func TestFilesOfOldVersionsAreRead(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	op := []galene.Permission{"op", "present", "message", "caption", "token"}
	granted(t, s, "old", "ada", "apw", op...)
	refused(t, s, "old", "ada", "other") // the second one of that name
	granted(t, s, "old", "bob", "bpw", "present", "message")
	granted(t, s, "old", "cy", "anything", "message")
	granted(t, s, "old", "anybody", "anything", "present", "message") // the first one without a name
	granted(t, s, "old/x", "ada", "apw", op...)
}

func TestCredentialsWithoutANameAreRefused(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	g, err := s.Group(t.Context(), "open")
	require.NoError(t, err)
	_, err = s.Authenticate(t.Context(), g, galene.Credentials{})
	require.Equal(t, galene.ErrNotAuthorised, err)
}

func TestADescriptionIsTheSameWhileItsFileIs(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"g.json": {Data: []byte(`{"displayName":"one","auto-subgroups":true}`), ModTime: time.Unix(1e9, 0)}}
	s := New(fsys, nil)
	group := func(name string) *galene.Group {
		g, err := s.Group(t.Context(), name)
		require.NoError(t, err)
		return g
	}
	one, below := group("g"), group("g/x")
	require.Same(t, one, group("g"))
	require.Same(t, below, group("g/x"))
	require.NotSame(t, one, below)

	fsys["g.json"] = &fstest.MapFile{Data: []byte(`{"displayName":"two","auto-subgroups":true}`), ModTime: time.Unix(1e9+1, 0)}
	require.Equal(t, "two", group("g").DisplayName)
	require.Equal(t, "two", group("g/x").DisplayName)
	require.Equal(t, "one", one.DisplayName, "what was given out does not change")

	fsys["g.json"] = &fstest.MapFile{Data: []byte(`{"displayName":"three"}`), ModTime: time.Unix(1e9+1, 0)}
	require.Equal(t, "three", group("g").DisplayName, "the size alone")
	_, err := s.Group(t.Context(), "g/x")
	require.Equal(t, galene.ErrNoGroup, err)

	three := group("g")
	fsys["g.json"].ModTime = time.Unix(1e9+2, 0)
	require.Same(t, three, group("g"), "touched only")

	delete(fsys, "g.json")
	_, err = s.Group(t.Context(), "g")
	require.Equal(t, galene.ErrNoGroup, err)
	require.Empty(t, s.files, "what is gone is forgotten")
}

func TestAChangeWithinATickOfTheClockIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		fsys := fstest.MapFS{"g.json": {Data: []byte(`{"displayName":"one"}`), ModTime: now}}
		s := New(fsys, nil)
		one, err := s.Group(t.Context(), "g")
		require.NoError(t, err)
		same, err := s.Group(t.Context(), "g")
		require.NoError(t, err)
		require.Same(t, one, same)
		fsys["g.json"] = &fstest.MapFile{Data: []byte(`{"displayName":"two"}`), ModTime: now}
		two, err := s.Group(t.Context(), "g")
		require.NoError(t, err)
		require.Equal(t, "two", two.DisplayName)
	})
}

func TestAnUnsoundFileIsAnErrorUntilItIsMended(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"g.json": {Data: []byte(`{"users":{"ada":{"password":"s3cret","permissions":"king"}}}`)}}
	s := New(fsys, &Options{FileBytes: 100})
	for range 2 {
		_, err := s.Group(t.Context(), "g")
		require.ErrorContains(t, err, "g.json: users.ada.permissions: unknown permission")
		require.NotContains(t, err.Error(), "s3cret")
		require.NotErrorIs(t, err, galene.ErrNoGroup)
		_, ok := errors.AsType[*galene.Error](err)
		require.False(t, ok, "clients do not learn it")
	}
	names, err := s.Names(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"g"}, names)
	fsys["g.json"] = &fstest.MapFile{Data: []byte(`{}` + strings.Repeat(" ", 99))}
	_, err = s.Group(t.Context(), "g")
	require.ErrorContains(t, err, "larger than 100 bytes")
	fsys["g.json"] = &fstest.MapFile{Data: []byte(`{}` + strings.Repeat(" ", 98))}
	_, err = s.Group(t.Context(), "g")
	require.NoError(t, err)
}

// broken is a file system whose files fail in a way.
type broken struct {
	fs.FS
	err error
}

func (b broken) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: b.err}
}

func TestAFileThatCannotBeReadIsNotAMissingGroup(t *testing.T) {
	t.Parallel()
	_, err := New(broken{err: fs.ErrPermission}, nil).Group(t.Context(), "g")
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NotErrorIs(t, err, galene.ErrNoGroup)
	_, err = New(broken{err: fs.ErrPermission}, nil).Names(t.Context())
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = New(broken{err: fs.ErrNotExist}, nil).Group(t.Context(), "g")
	require.Equal(t, galene.ErrNoGroup, err)
}

func TestTheFolderMustExist(t *testing.T) {
	t.Parallel()
	_, err := Open(filepath.Join(t.TempDir(), "nosuch"), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Open(filepath.Join(groupsDir, "lab.json"), nil)
	require.Error(t, err)
}

func TestNamesAreThoseOfTheFilesThatAreNotHidden(t *testing.T) {
	t.Parallel()
	names, err := open(t, nil).Names(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"elsewhere", "lab", "old", "open", "shared", "signed", "sub/dir"}, names)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = open(t, nil).Names(ctx)
	require.ErrorIs(t, err, context.Canceled)
	hidden := New(fstest.MapFS{".git/a.json": {}, "a/.b.json": {}, "a/c.json": {}, "a/d.txt": {}}, nil)
	names, err = hidden.Names(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"a/c"}, names)
}

func TestEveryAttemptHashesOnceForEachKindOfPassword(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	var hashed []scheme
	match := s.match
	s.match = func(p Password, given string) bool {
		if kind, ok := p.scheme(); ok {
			hashed = append(hashed, kind)
		}
		return match(p, given)
	}
	want := map[string][]scheme{
		"lab":    {{PasswordPBKDF2, 1000, 1}, {PasswordBcrypt, 5, 0}},
		"open":   nil,
		"shared": {{PasswordPBKDF2, 1000, 1}},
	}
	for group, want := range want {
		for _, username := range []string{"ada", "bob", "cy", "dan", "eve", "guest", "nobody", ""} {
			for _, password := range []string{"bpw", "wrong"} {
				hashed = nil
				_, _ = join(t, s, group, username, password)
				require.ElementsMatch(t, want, hashed, "%s: %s", group, username)
			}
		}
	}
}

func TestNobodyHasTheDecoysPassword(t *testing.T) {
	t.Parallel()
	for _, s := range []scheme{{PasswordPBKDF2, 10, 1}, {PasswordPBKDF2, 10, 2}, {PasswordBcrypt, 4, 0}} {
		p := s.decoy()
		require.NoError(t, p.check())
		same, ok := p.scheme()
		require.True(t, ok)
		require.Equal(t, s, same)
		for _, password := range []string{"", "x", strings.Repeat("x", 100)} {
			require.False(t, p.Matches(password))
		}
	}
}

func TestNoMorePasswordsAreHashedAtOnceThanAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, attempts = 2, 5
		fsys := fstest.MapFS{"g.json": {Data: []byte(
			`{"users":{"a":{"password":{"type":"bcrypt","key":"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}}}}`)}}
		s := New(fsys, &Options{Hashes: limit})
		var mu sync.Mutex
		running, most := 0, 0
		release := make(chan struct{})
		s.match = func(Password, string) bool {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-release
			mu.Lock()
			running--
			mu.Unlock()
			return true
		}
		username := "a"
		authenticate := func(ctx context.Context) error {
			_, err := s.Authenticate(ctx, &galene.Group{Name: "g"}, galene.Credentials{Username: &username})
			return err
		}
		var all sync.WaitGroup
		for range attempts {
			all.Go(func() { require.NoError(t, authenticate(context.Background())) })
		}
		synctest.Wait()
		require.Equal(t, limit, running)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, authenticate(ctx), context.Canceled, "who has gone does not wait")
		close(release)
		all.Wait()
		require.Equal(t, limit, most)
	})
}

func TestTheNamesThatClientsChooseAreNotAllRemembered(t *testing.T) {
	t.Parallel()
	s := with(`{"auto-subgroups":true}`)
	for i := range 3 * maxGroups {
		_, err := s.Group(t.Context(), "g/"+strconv.Itoa(i))
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(s.files["g.json"].groups), maxGroups)
	require.Len(t, s.files, 1)
}

func TestAStoreIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "new"), []byte(text), 0o600))
		require.NoError(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "g.json")))
	}
	write(`{"auto-subgroups":true,"wildcard-user":{"password":"x"}}`)
	s, err := Open(dir, nil)
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				granted(t, s, "g", "ada", "x")
				granted(t, s, "g/y", "ada", "x")
			}
		})
	}
	all.Go(func() {
		for i := range 50 {
			write(`{"auto-subgroups":true,"wildcard-user":{"password":"x"},"comment":"` + strings.Repeat("x", i%3) + `"}`)
		}
	})
	all.Wait()
}
