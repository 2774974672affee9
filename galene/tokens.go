package galene

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Tokens is a [TokenStore] in memory, for 10,000 tokens. The zero value is ready. Tokens
// that have expired for a week are forgotten. Its methods may be called concurrently.
type Tokens struct {
	mu     sync.Mutex
	tokens map[string]*Token
}

const maxTokens = 10_000

var errManyTokens = &Error{ID: ErrorOther, Text: "too many tokens"}

// tokenMemory is how long a token stays after it has expired, as in Galène.
const tokenMemory = 7 * 24 * time.Hour

// Token returns a token by its name.
func (s *Tokens) Token(_ context.Context, token string) (*Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tokens[token]; ok {
		return t, nil
	}
	return nil, ErrNoToken
}

// Put stores a token.
func (s *Tokens) Put(_ context.Context, t *Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens == nil {
		s.tokens = make(map[string]*Token)
	}
	if _, ok := s.tokens[t.Token]; !ok && len(s.tokens) >= maxTokens {
		s.purge(time.Now())
		if len(s.tokens) >= maxTokens {
			return errManyTokens
		}
	}
	s.tokens[t.Token] = t
	return nil
}

// purge forgets tokens that have expired long ago. Called under the lock.
func (s *Tokens) purge(now time.Time) {
	for name, other := range s.tokens {
		if expires, err := time.Parse(time.RFC3339, other.Expires); err == nil && now.Sub(expires) > tokenMemory {
			delete(s.tokens, name)
		}
	}
}

// List returns the tokens of a group.
func (s *Tokens) List(_ context.Context, group string) ([]*Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge(time.Now())
	var list []*Token
	for _, t := range s.tokens {
		if t.Group == group {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *Token) int {
		x, _ := time.Parse(time.RFC3339, a.Expires)
		y, _ := time.Parse(time.RFC3339, b.Expires)
		return cmp.Or(x.Compare(y), cmp.Compare(a.Token, b.Token))
	})
	return list, nil
}
