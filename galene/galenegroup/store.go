package galenegroup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenejwt"
)

// What the name of a group may be, beyond [galene.ValidName].
const (
	MaxNameBytes = 1024
	MaxNameDepth = 32
)

// DefaultFileBytes is the size of the largest file of a group.
const DefaultFileBytes = 1 << 20

// Options say how a [Store] behaves. Zero fields mean the defaults.
type Options struct {
	// Host is what the host of a JSON Web Token's aud must be, with its port if it has
	// one. Empty takes any, which is safe while no other server has the same keys.
	Host string
	// CanChangePassword tells clients that they can change their passwords: that there
	// is Galène's API for it, which this module does not have.
	CanChangePassword bool

	FileBytes int // of the largest file; default 1 MiB
	Hashes    int // of passwords at once; default as many as there are processors
}

// A Store has the groups that are described in the files of a folder. It is a
// [galene.GroupStore]. Its methods may be called concurrently.
type Store struct {
	fsys   fs.FS
	opts   Options
	hashes chan struct{} // one for each that is being computed
	match  func(p Password, given string) bool

	mu    sync.Mutex
	files map[string]*file // by path; those that were there last
}

// A file is a file as it was read last. Its time and its groups are guarded by the store's
// lock; the rest does not change.
type file struct {
	modTime time.Time
	size    int64
	fresh   bool // it may have changed since without another time, because clocks are coarse
	sum     [sha256.Size]byte
	err     error // why it describes no group

	desc     *Description
	verifier *galenejwt.Verifier // nil without keys
	schemes  []decoy             // of its passwords
	groups   map[string]*galene.Group
}

// A decoy is hashed against in place of a user's password.
type decoy struct {
	scheme
	password Password
}

// maxGroups is how many groups of one file are remembered; clients choose the names of
// those below it.
const maxGroups = 1024

// Open returns the groups of a folder, which must exist.
func Open(dir string, opts *Options) (*Store, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return nil, fmt.Errorf("galenegroup: %w", err)
	}
	return New(os.DirFS(dir), opts), nil
}

// New returns the groups of a file system, whose files must have a time that changes when
// they do.
func New(fsys fs.FS, opts *Options) *Store {
	s := &Store{fsys: fsys, match: Password.Matches, files: make(map[string]*file)}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.FileBytes = cmp.Or(s.opts.FileBytes, DefaultFileBytes)
	s.hashes = make(chan struct{}, cmp.Or(max(s.opts.Hashes, 0), runtime.GOMAXPROCS(0)))
	return s
}

// Group returns the description of a group; the same one while its file has not changed.
func (s *Store) Group(_ context.Context, name string) (*galene.Group, error) {
	f, subgroup, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return s.group(f, name, subgroup), nil
}

func (s *Store) group(f *file, name string, subgroup bool) *galene.Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := f.groups[name]
	if !ok {
		if len(f.groups) >= maxGroups {
			clear(f.groups)
		}
		g = f.desc.group(name, subgroup)
		g.CanChangePassword = s.opts.CanChangePassword
		f.groups[name] = g
	}
	return g
}

// Description returns what the file of a group says, or the nearest one above it where that
// has auto-subgroups. It must not be changed.
func (s *Store) Description(name string) (*Description, error) {
	f, _, err := s.find(name)
	if err != nil {
		return nil, err
	}
	return f.desc, nil
}

// validName reports whether a name may be a file's. What it refuses would be an error of
// the file system, or not be a group's file.
func validName(name string) bool {
	if !galene.ValidName(name) || len(name) > MaxNameBytes || !utf8.ValidString(name) || strings.Contains(name, "\x00") {
		return false
	}
	elements := strings.Split(name, "/")
	return len(elements) <= MaxNameDepth && !slices.ContainsFunc(elements, func(e string) bool {
		const maxElement = 255 - len(".json") // as most file systems have it
		return strings.HasPrefix(e, ".") || len(e) > maxElement
	})
}

// find returns the file of a group or the nearest one above it.
func (s *Store) find(name string) (f *file, subgroup bool, err error) {
	if !validName(name) {
		return nil, false, galene.ErrNoGroup
	}
	for at := name; at != "."; at = path.Dir(at) {
		f, err := s.file(at + ".json")
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid), errors.Is(err, syscall.ENOTDIR):
			continue
		case err != nil:
			return nil, false, fmt.Errorf("galenegroup: group %q: %w", name, err)
		case f.err != nil:
			return nil, false, f.err
		case at != name && !f.desc.AutoSubgroups:
			return nil, false, galene.ErrNoGroup
		}
		return f, at != name, nil
	}
	return nil, false, galene.ErrNoGroup
}

// file returns a file as it is now.
func (s *Store) file(name string) (*file, error) {
	info, err := fs.Stat(s.fsys, name)
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		s.mu.Lock()
		delete(s.files, name)
		s.mu.Unlock()
		return nil, err
	}
	if f := s.remembered(name, info); f != nil {
		return f, nil
	}
	f, err := s.read(name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.files[name]; ok && old.sum == f.sum {
		old.modTime, old.size, old.fresh = f.modTime, f.size, f.fresh
		return old, nil
	}
	s.files[name] = f
	return f, nil
}

// remembered returns a file that has not changed, or nil.
func (s *Store) remembered(name string, info fs.FileInfo) *file {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[name]
	if !ok || f.fresh || f.size != info.Size() || !f.modTime.Equal(info.ModTime()) {
		return nil
	}
	return f
}

// coarse is longer than the clock of any file system ticks.
const coarse = 2 * time.Second

// read reads a file. What is wrong with its content is remembered with it.
func (s *Store) read(name string) (*file, error) {
	r, err := s.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	f := &file{modTime: info.ModTime(), size: info.Size(), groups: make(map[string]*galene.Group)}
	f.fresh = time.Since(f.modTime) < coarse
	data, err := io.ReadAll(io.LimitReader(r, int64(s.opts.FileBytes)+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > s.opts.FileBytes:
		f.err = fmt.Errorf("galenegroup: %s: larger than %d bytes", name, s.opts.FileBytes)
		return f, nil
	}
	f.sum = sha256.Sum256(data)
	if err := f.parse(data, s.opts.Host); err != nil {
		f.err = fmt.Errorf("galenegroup: %s: %w", name, err)
	}
	return f, nil
}

func (f *file) parse(data []byte, host string) error {
	d, err := parseDescription(data)
	if err != nil {
		return err
	}
	if len(d.AuthKeys) > 0 {
		if f.verifier, err = galenejwt.New(&galenejwt.Options{Keys: d.AuthKeys, Host: host}); err != nil {
			return err
		}
	}
	passwords := make([]Password, 0, len(d.Users)+1)
	for _, u := range d.Users {
		passwords = append(passwords, u.Password)
	}
	if d.WildcardUser != nil {
		passwords = append(passwords, d.WildcardUser.Password)
	}
	for _, p := range passwords {
		s, ok := p.scheme()
		if ok && !slices.ContainsFunc(f.schemes, func(d decoy) bool { return d.scheme == s }) {
			f.schemes = append(f.schemes, decoy{s, s.decoy()})
		}
	}
	f.desc = d
	return nil
}

// Authenticate compares a password, or checks a JSON Web Token. A refusal is
// [galene.ErrNotAuthorised], with the reason behind it for a token, or
// [galene.ErrDuplicateUsername].
func (s *Store) Authenticate(ctx context.Context, g *galene.Group, c galene.Credentials) (*galene.Grant, error) {
	f, subgroup, err := s.find(g.Name)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		return f.redeem(g.Name, c)
	}
	if c.Username == nil {
		return nil, galene.ErrNotAuthorised
	}
	u, known := f.desc.Users[*c.Username]
	if !known && f.desc.WildcardUser != nil {
		u = *f.desc.WildcardUser
	}
	right, err := s.matches(ctx, f, u.Password, c.Password)
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, galene.ErrNotAuthorised
	}
	permissions := u.Permissions.in(s.group(f, g.Name, subgroup))
	return &galene.Grant{Username: *c.Username, Permissions: permissions}, nil
}

// matches compares a password, once under each scheme of the file so that the time does not
// tell under which one, or whether there is such a user at all. The zero Password is that
// of a user who does not exist.
func (s *Store) matches(ctx context.Context, f *file, p Password, given string) (bool, error) {
	if len(f.schemes) > 0 {
		select {
		case s.hashes <- struct{}{}:
			defer func() { <-s.hashes }()
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	own, hashed := p.scheme()
	for _, d := range f.schemes {
		if !hashed || d.scheme != own {
			s.match(d.password, given)
		}
	}
	return s.match(p, given), nil
}

// redeem returns what a JSON Web Token gives. One that names nobody gives the name that the
// client wants, unless it is a user's who has a password; without one it is anonymous.
func (f *file) redeem(group string, c galene.Credentials) (*galene.Grant, error) {
	if f.verifier == nil {
		return nil, galene.ErrNotAuthorised
	}
	claims, err := f.verifier.Verify(c.Token, group)
	if err != nil {
		return nil, err
	}
	grant := &galene.Grant{Username: claims.Subject, Permissions: claims.Permissions}
	if grant.Username == "" && c.Username != nil {
		if _, ok := f.desc.Users[*c.Username]; ok {
			return nil, galene.ErrDuplicateUsername
		}
		grant.Username = *c.Username
	}
	return grant, nil
}

// Names returns the groups that have a file, in their order, those with an unsound file
// included.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	var names []string
	err := fs.WalkDir(s.fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && p == ".":
			return err
		case err != nil: // a folder that cannot be read has no groups
			return nil
		case p == ".":
		case d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.IsDir():
			if name, ok := strings.CutSuffix(p, ".json"); ok && validName(name) {
				names = append(names, name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("galenegroup: %w", err)
	}
	slices.Sort(names)
	return names, nil
}
