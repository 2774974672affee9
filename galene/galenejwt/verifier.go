package galenejwt

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

const (
	// DefaultMaxTokenBytes is the size of the longest token.
	DefaultMaxTokenBytes = 8 << 10
	// Leeway is how far the clock of who signs may be off, as in Galène.
	Leeway = 5 * time.Second
)

// Options say which tokens a [Verifier] takes. Zero fields mean the defaults; a key is
// required.
type Options struct {
	// Keys verify the tokens. Several may have the same ID, or none.
	Keys []Key
	// Host is what the host of a URL in aud must be, with its port if it has one: the
	// canonicalHost of Galène. Empty takes any, which is safe while no other server has
	// the same keys.
	Host          string
	MaxTokenBytes int // of the longest token; default 8 KiB
}

// A Verifier checks tokens. Its methods may be called concurrently.
type Verifier struct {
	opts   Options
	parser *jwt.Parser
	keys   []material
}

// A material is a key that has been checked, as the library wants it.
type material struct {
	id        string
	algorithm Algorithm
	key       any
}

// New returns a Verifier. It fails for keys with which tokens could be forged, or without
// any.
func New(opts *Options) (*Verifier, error) {
	v := new(Verifier)
	if opts != nil {
		v.opts = *opts
	}
	v.opts.MaxTokenBytes = cmp.Or(v.opts.MaxTokenBytes, DefaultMaxTokenBytes)
	if len(v.opts.Keys) == 0 {
		return nil, errors.New("galenejwt: no keys")
	}
	var methods []string
	for _, k := range v.opts.Keys {
		key, err := k.verifying()
		if err != nil {
			return nil, fmt.Errorf("galenejwt: %v: %w", k, err)
		}
		v.keys = append(v.keys, material{k.ID, k.Algorithm, key})
		methods = append(methods, string(k.Algorithm))
	}
	v.parser = jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(Leeway))
	return v, nil
}

// Verify returns what a token says if it leads into a group, of which it takes the name.
// The error is a [*RefusedError].
func (v *Verifier) Verify(token, group string) (*Claims, error) {
	c, err := v.verify(token, group)
	if err != nil {
		return nil, &RefusedError{Err: err}
	}
	return c, nil
}

func (v *Verifier) verify(token, group string) (*Claims, error) {
	switch {
	case len(token) > v.opts.MaxTokenBytes:
		return nil, errTooLong
	case strings.ContainsAny(token, "\r\n"): // which package base64 skips, even when it is strict
		return nil, errLineBreak
	}
	set := new(claimSet)
	if _, err := v.parser.ParseWithClaims(token, set, v.keySet); err != nil {
		return nil, err
	}
	if !galene.ValidName(group) || !v.audience(&set.Claims, group) {
		return nil, ErrAudience
	}
	return &set.Claims, nil
}

// audience reports whether claims are for a group of this server.
func (v *Verifier) audience(c *Claims, group string) bool {
	want := "/group/" + group + "/"
	return slices.ContainsFunc(c.Audience, func(aud string) bool {
		u, err := url.Parse(aud)
		switch {
		case err != nil:
			return false
		case v.opts.Host != "" && !strings.EqualFold(u.Host, v.opts.Host):
			return false
		case !c.IncludeSubgroups:
			return u.Path == want
		}
		return strings.HasPrefix(u.Path, "/group/") && strings.HasSuffix(u.Path, "/") && strings.HasPrefix(want, u.Path)
	})
}

// A header is that of a token. Members that it does not name, such as jwk and jku, say
// nothing here.
type header struct {
	Algorithm Algorithm       `json:"alg"`
	KeyID     string          `json:"kid,omitempty"`
	Critical  json.RawMessage `json:"crit,omitempty"`
}

// keySet returns what a token is verified with, by its header. The header is read once
// more, because the library takes the last of two members with one name.
func (v *Verifier) keySet(t *jwt.Token) (any, error) {
	encoded, _, _ := strings.Cut(t.Raw, ".")
	text, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	var h header
	if err := jsonx.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if h.Critical != nil {
		return nil, errCritical
	}
	var set jwt.VerificationKeySet
	for _, m := range v.keys {
		if m.algorithm == h.Algorithm && (h.KeyID == "" || m.id == h.KeyID) {
			set.Keys = append(set.Keys, m.key)
		}
	}
	if len(set.Keys) == 0 {
		return nil, fmt.Errorf("%w %.64q for %.64q", ErrUnknownKey, h.KeyID, string(h.Algorithm))
	}
	return set, nil
}
