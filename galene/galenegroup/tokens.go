package galenegroup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// DefaultTokens is how many tokens a file holds at most.
const DefaultTokens = 100_000

// tokenMemory is how long a token stays after it has expired, as in Galène.
const tokenMemory = 7 * 24 * time.Hour

// Tokens are the invitations of a server in a file of Galène's, one JSON object a line. It
// is a [galene.TokenStore]. Tokens that have expired for a week are forgotten. Its methods
// may be called concurrently.
//
// A change of the file by somebody else, such as an editor, counts at once. No other server
// may write it at the same time. What a crash has left of a last line is not a token.
type Tokens struct {
	name string
	most int

	mu      sync.Mutex
	modTime time.Time
	size    int64
	torn    bool // the file ends in the middle of a token
	tokens  map[string]*galene.Token
}

// ErrTooManyTokens: the file holds as many tokens as it may.
var ErrTooManyTokens = &galene.Error{ID: galene.ErrorOther, Text: "too many tokens"}

// OpenTokens returns the tokens of a file. It fails for one that cannot be read; one that
// does not exist is made with its folder when a token is put into it.
func OpenTokens(name string) (*Tokens, error) {
	s := &Tokens{name: name, most: DefaultTokens}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// Token returns a token by its name.
func (s *Tokens) Token(_ context.Context, token string) (*galene.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return nil, err
	}
	if t, ok := s.tokens[token]; ok {
		return t, nil
	}
	return nil, galene.ErrNoToken
}

// List returns the tokens of a group.
func (s *Tokens) List(_ context.Context, group string) ([]*galene.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return nil, err
	}
	return sorted(s.tokens, func(t *galene.Token) bool { return t.Group == group }), nil
}

// sorted returns tokens, those that expire first before the others.
func sorted(tokens map[string]*galene.Token, which func(t *galene.Token) bool) []*galene.Token {
	var list []*galene.Token
	for _, t := range tokens {
		if which(t) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *galene.Token) int {
		x, _ := time.Parse(time.RFC3339, a.Expires)
		y, _ := time.Parse(time.RFC3339, b.Expires)
		return cmp.Or(x.Compare(y), cmp.Compare(a.Token, b.Token))
	})
	return list
}

// Put stores a token. It is on the disk when Put returns.
func (s *Tokens) Put(_ context.Context, t *galene.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return err
	}
	line, err := appendToken(nil, t)
	if err != nil {
		return fmt.Errorf("galenegroup: tokens: %w", err)
	}
	now := time.Now()
	kept := sorted(s.tokens, func(other *galene.Token) bool {
		expires, err := time.Parse(time.RFC3339, other.Expires)
		return other.Token != t.Token && (err != nil || now.Sub(expires) <= tokenMemory)
	})
	if len(kept) >= s.most {
		return ErrTooManyTokens
	}
	before := s.size
	if len(kept) == len(s.tokens) && !s.torn {
		err = s.add(line)
	} else {
		before, err = 0, s.rewrite(kept, line)
	}
	if err != nil {
		s.forget()
		return fmt.Errorf("galenegroup: tokens: %w", err)
	}
	s.remember(kept, t, before)
	return nil
}

// remember takes note of what has been written behind so many bytes, or in place of the
// file. The time of the file may not have changed, because clocks are coarse.
func (s *Tokens) remember(kept []*galene.Token, t *galene.Token, before int64) {
	written := *t
	tokens := make(map[string]*galene.Token, len(kept)+1)
	for _, other := range append(kept, &written) {
		tokens[other.Token] = other
	}
	info, err := os.Stat(s.name)
	if err != nil || before > 0 && info.Size() <= before {
		s.forget()
		return
	}
	s.modTime, s.size, s.torn, s.tokens = info.ModTime(), info.Size(), false, tokens
}

// forget makes the next call read the file.
func (s *Tokens) forget() { s.modTime, s.size, s.torn, s.tokens = time.Time{}, 0, false, nil }

// add writes a line behind the others.
func (s *Tokens) add(line []byte) error {
	if err := os.MkdirAll(filepath.Dir(s.name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(s.name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Sync(), f.Close())
}

// rewrite replaces the file.
func (s *Tokens) rewrite(kept []*galene.Token, line []byte) error {
	var text []byte
	var err error
	for _, t := range kept {
		if text, err = appendToken(text, t); err != nil {
			return err
		}
	}
	text = append(text, line...)
	f, err := os.CreateTemp(filepath.Dir(s.name), "tokens")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// appendToken appends the line of a token.
func appendToken(dst []byte, t *galene.Token) ([]byte, error) {
	dst, err := jsonx.Append(dst, "", "", t)
	return append(dst, '\n'), err
}

// load reads the file if it has changed. Called under the lock.
func (s *Tokens) load() error {
	info, err := os.Stat(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		s.forget()
		return nil
	}
	if err != nil {
		return fmt.Errorf("galenegroup: tokens: %w", err)
	}
	if s.tokens != nil && s.size == info.Size() && s.modTime.Equal(info.ModTime()) {
		return nil
	}
	data, err := os.ReadFile(s.name)
	if err != nil {
		return fmt.Errorf("galenegroup: tokens: %w", err)
	}
	tokens, torn, err := parseTokens(data)
	if err != nil {
		s.forget()
		return fmt.Errorf("galenegroup: tokens: %s: %w", s.name, err)
	}
	s.modTime, s.size, s.torn, s.tokens = info.ModTime(), info.Size(), torn, tokens
	return nil
}

// parseTokens reads tokens one after the other. Of two with one name the last one holds.
func parseTokens(data []byte) (tokens map[string]*galene.Token, torn bool, err error) {
	tokens = make(map[string]*galene.Token)
	decoder := json.NewDecoder(bytes.NewReader(data))
	for i := 1; ; i++ {
		var raw json.RawMessage
		switch err := decoder.Decode(&raw); {
		case errors.Is(err, io.EOF):
			return tokens, false, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return tokens, true, nil
		case err != nil:
			return nil, false, fmt.Errorf("token %d: not JSON", i)
		}
		t := new(galene.Token)
		if err := jsonx.Unmarshal(raw, t); err != nil {
			return nil, false, fmt.Errorf("token %d: %w", i, err)
		}
		if t.Token == "" {
			return nil, false, fmt.Errorf("token %d: it has no name", i)
		}
		tokens[t.Token] = t
	}
}
