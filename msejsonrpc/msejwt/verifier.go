package msejwt

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

const (
	// DefaultMaxTokenBytes is the size of the longest token.
	DefaultMaxTokenBytes = 8 << 10
	// MaxLeeway is the longest leeway: more is no difference between clocks.
	MaxLeeway = time.Hour
)

// Options say which tokens a [Verifier] takes. Zero fields mean the defaults; a key, or
// Lookup, is required.
type Options struct {
	// Keys verify the tokens. Their IDs must differ, and one without an ID must be the
	// only one of its algorithm.
	Keys []Key
	// Lookup returns the key of an ID that Keys does not have, for issuers that rotate
	// their keys, such as those with a JWK set. The ID comes from a token that has not
	// been verified: Lookup must remember what does not exist, too, or bound how often it
	// asks for it. It may be called concurrently. [ErrUnknownKey] refuses the token; any
	// other error, and a key that is not fit for its algorithm, are faults of the
	// server's.
	Lookup func(ctx context.Context, id string) (Key, error)
	// Algorithms are those that are taken. Nil means those of Keys and, with Lookup, the
	// ones with public keys: [RS256], [ES256] and [EdDSA].
	Algorithms []Algorithm

	Issuer   string // what iss must be; empty: anything
	Audience string // what aud must be or contain; empty: anything
	// Leeway is how far the clock of the issuer may be off, in whole seconds up to an
	// hour; default none. exp, nbf and iat are checked with it, and the Identity is valid
	// for as much longer: otherwise a client could authenticate and not start.
	Leeway        time.Duration
	AllowNoExpiry bool              // takes tokens without exp, which are valid for ever
	MaxTokenBytes int               // of the longest token; default 8 KiB
	Roles         []msejsonrpc.Role // that are taken, "" stands for none; nil: those of the protocol document
	Names         ClaimNames        // of the claims
	// Extra are the names of further claims that become members of Identity.Extra. There
	// the client sees them, if the server answers whoami. Nil: none.
	Extra []string

	// Revoked reports whether a token that is valid otherwise has been taken back. It may
	// be called concurrently. An error is a fault of the server's. Nil asks nobody.
	Revoked func(ctx context.Context, c *Claims) (bool, error)
	// Address returns the client's address for Identity.IPAddress, from the context that
	// the connection is served with. Nil leaves it empty.
	Address func(ctx context.Context) string

	Logger *slog.Logger // gets the refusals with their reasons at level Info; nil discards
}

// A Verifier checks tokens. Its methods may be called concurrently.
type Verifier struct {
	opts   Options
	log    *slog.Logger
	parser *jwt.Parser
	byID   map[string]material
	only   map[Algorithm]material // of the algorithms with one key
}

// A material is a key that has been checked, as the library wants it.
type material struct {
	algorithm Algorithm
	key       any
}

// New returns a Verifier. It fails for options with which tokens could be forged, or that
// could not take any.
func New(opts *Options) (*Verifier, error) {
	v := &Verifier{byID: make(map[string]material), only: make(map[Algorithm]material)}
	if opts != nil {
		v.opts = *opts
	}
	if err := v.configure(); err != nil {
		return nil, fmt.Errorf("msejwt: %w", err)
	}
	return v, nil
}

func (v *Verifier) configure() error {
	o := &v.opts
	if v.log = o.Logger; v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	o.MaxTokenBytes = cmp.Or(o.MaxTokenBytes, DefaultMaxTokenBytes)
	o.Leeway = o.Leeway.Truncate(time.Second)
	o.Extra = slices.Clone(o.Extra)
	switch {
	case o.MaxTokenBytes < 0:
		return errors.New("negative MaxTokenBytes")
	case o.Leeway < 0 || o.Leeway > MaxLeeway:
		return fmt.Errorf("leeway is not between 0 and %v", MaxLeeway)
	}
	if o.Roles = slices.Clone(o.Roles); o.Roles == nil {
		o.Roles = []msejsonrpc.Role{msejsonrpc.RoleUser, msejsonrpc.RoleAdmin, msejsonrpc.RoleSuper}
	}
	if err := v.configureNames(); err != nil {
		return err
	}
	if err := v.configureKeys(); err != nil {
		return err
	}
	methods := make([]string, len(o.Algorithms))
	for i, a := range o.Algorithms {
		methods[i] = string(a)
	}
	parsing := []jwt.ParserOption{
		jwt.WithValidMethods(methods), jwt.WithStrictDecoding(), jwt.WithIssuedAt(), jwt.WithLeeway(o.Leeway),
	}
	if !o.AllowNoExpiry {
		parsing = append(parsing, jwt.WithExpirationRequired())
	}
	if o.Issuer != "" {
		parsing = append(parsing, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		parsing = append(parsing, jwt.WithAudience(o.Audience))
	}
	v.parser = jwt.NewParser(parsing...)
	return nil
}

func (v *Verifier) configureNames() error {
	names, defaults := v.opts.Names.all(), defaultNames.all()
	for i, name := range names {
		*name = cmp.Or(*name, *defaults[i])
		if slices.Contains([]string{"aud", "exp", "nbf", "iat"}, *name) {
			return fmt.Errorf("%s means something else than Names says", *name)
		}
	}
	for _, extra := range v.opts.Extra {
		isOf := func(name *string) bool { return *name == extra }
		if jsonx.Declares(new(registered), extra) || jsonx.Declares(new(msejsonrpc.Identity), extra) ||
			slices.ContainsFunc(names, isOf) {
			return fmt.Errorf("%s has a field, but is in Extra", extra)
		}
	}
	return nil
}

func (v *Verifier) configureKeys() error {
	o := &v.opts
	if len(o.Keys) == 0 && o.Lookup == nil {
		return errors.New("neither Keys nor Lookup")
	}
	count := make(map[Algorithm]int)
	for _, k := range o.Keys {
		key, err := k.verifying()
		if err != nil {
			return fmt.Errorf("%v: %w", k, err)
		}
		m := material{k.Algorithm, key}
		if _, ok := v.byID[k.ID]; ok && k.ID != "" {
			return fmt.Errorf("two keys have the ID %q", k.ID)
		}
		if k.ID != "" {
			v.byID[k.ID] = m
		}
		v.only[k.Algorithm] = m
		count[k.Algorithm]++
	}
	for _, k := range o.Keys {
		if count[k.Algorithm] == 1 {
			continue
		}
		if k.ID == "" {
			return fmt.Errorf("%v: without an ID it must be the only one", k)
		}
		delete(v.only, k.Algorithm)
	}
	return v.configureAlgorithms(count)
}

func (v *Verifier) configureAlgorithms(keys map[Algorithm]int) error {
	o := &v.opts
	given := o.Algorithms
	o.Algorithms = nil
	for _, a := range algorithms {
		usable := keys[a] > 0 || o.Lookup != nil && (a != HS256 || given != nil)
		if usable && (given == nil || slices.Contains(given, a)) {
			o.Algorithms = append(o.Algorithms, a)
		}
	}
	for _, a := range given {
		switch {
		case !slices.Contains(algorithms, a):
			return fmt.Errorf("unknown algorithm %q", a)
		case !slices.Contains(o.Algorithms, a):
			return fmt.Errorf("no key for %s", a)
		}
	}
	for _, k := range o.Keys {
		if !slices.Contains(o.Algorithms, k.Algorithm) {
			return fmt.Errorf("%v: its algorithm is not in Algorithms", k)
		}
	}
	if len(o.Algorithms) == 0 {
		return errors.New("no algorithm")
	}
	return nil
}

// Authenticate is a hook for [msejsonrpc.ServerOptions]. It returns whom the token stands
// for, or a [*RefusedError]. Other errors are faults of the server's: of Lookup or
// Revoked.
func (v *Verifier) Authenticate(
	ctx context.Context, s *msejsonrpc.ServerSession, auth *msejsonrpc.Auth,
) (*msejsonrpc.Identity, error) {
	c, err := v.Verify(ctx, auth.Token)
	if err != nil {
		if refused, ok := errors.AsType[*RefusedError](err); ok {
			v.logRefusal(ctx, s, refused)
		}
		return nil, err
	}
	i := &msejsonrpc.Identity{
		Domain: c.Domain, Agent: c.Agent, Role: c.Role, UserID: c.UserID, RoomID: c.RoomID,
		TokenIssued: msejsonrpc.NewDate(c.IssuedAt), ValidFrom: msejsonrpc.NewDate(c.NotBefore),
	}
	if !c.ExpiresAt.IsZero() {
		i.ValidTo = msejsonrpc.NewDate(c.ExpiresAt.Add(v.opts.Leeway))
	}
	if v.opts.Address != nil {
		i.IPAddress = v.opts.Address(ctx)
	}
	for _, name := range v.opts.Extra {
		if value, ok := c.Extra[name]; ok {
			if i.Extra == nil {
				i.Extra = make(msejsonrpc.Fields)
			}
			i.Extra[name] = value
		}
	}
	return i, nil
}

func (v *Verifier) logRefusal(ctx context.Context, s *msejsonrpc.ServerSession, refused *RefusedError) {
	args := []any{"error", refused.Err}
	if s != nil {
		args = append(args, "session", s.ID())
	}
	v.log.InfoContext(ctx, "msejwt: a token was refused", args...)
}

// Verify returns what a token says, for uses other than auth. The errors are those of
// Authenticate; nothing is logged.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	c, err := v.verify(ctx, token)
	if err == nil {
		return c, nil
	}
	if fault, ok := errors.AsType[*faultError](err); ok {
		return nil, fault
	}
	return nil, &RefusedError{Err: err}
}

func (v *Verifier) verify(ctx context.Context, token string) (*Claims, error) {
	switch {
	case len(token) > v.opts.MaxTokenBytes:
		return nil, errTooLong
	case strings.ContainsAny(token, "\r\n"): // which package base64 skips, even when it is strict
		return nil, errLineBreak
	}
	set := &claimSet{names: v.opts.Names}
	_, err := v.parser.ParseWithClaims(token, set, func(t *jwt.Token) (any, error) { return v.key(ctx, t.Raw) })
	if err != nil {
		return nil, err
	}
	c := &set.Claims
	switch {
	case c.UserID == "":
		return nil, errNoUser
	case !slices.Contains(v.opts.Roles, c.Role):
		return nil, fmt.Errorf("role %.64q is not taken", c.Role)
	case v.opts.Revoked == nil:
		return c, nil
	}
	revoked, err := v.opts.Revoked(ctx, c)
	switch {
	case err != nil:
		return nil, &faultError{"revocation check", err}
	case revoked:
		return nil, ErrRevoked
	}
	return c, nil
}

// A header is that of a token. Members that it does not name, such as jwk and jku, say
// nothing here.
type header struct {
	Algorithm Algorithm       `json:"alg"`
	KeyID     *string         `json:"kid,omitempty"`
	Critical  json.RawMessage `json:"crit,omitempty"`
}

// key returns what a token is verified with, by its header. The header is read once more,
// because the library takes the last of two members with one name.
func (v *Verifier) key(ctx context.Context, token string) (any, error) {
	encoded, _, _ := strings.Cut(token, ".")
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
	m, err := v.find(ctx, &h)
	switch {
	case err != nil:
		return nil, err
	case m.algorithm != h.Algorithm:
		return nil, fmt.Errorf("the key is for %s, not for %.64q", m.algorithm, h.Algorithm)
	}
	return m.key, nil
}

func (v *Verifier) find(ctx context.Context, h *header) (material, error) {
	if h.KeyID == nil {
		if m, ok := v.only[h.Algorithm]; ok {
			return m, nil
		}
		return material{}, fmt.Errorf("%w: no kid, and not just one key for %.64q", ErrUnknownKey, h.Algorithm)
	}
	if m, ok := v.byID[*h.KeyID]; ok {
		return m, nil
	}
	if v.opts.Lookup != nil && *h.KeyID != "" {
		k, err := v.opts.Lookup(ctx, *h.KeyID)
		if err == nil {
			return v.found(k)
		}
		if !errors.Is(err, ErrUnknownKey) {
			return material{}, &faultError{"key lookup", err}
		}
	}
	return material{}, fmt.Errorf("%w %.64q", ErrUnknownKey, *h.KeyID)
}

func (v *Verifier) found(k Key) (material, error) {
	key, err := k.verifying()
	if err != nil {
		return material{}, &faultError{"key lookup", fmt.Errorf("%v: %w", k, err)}
	}
	return material{k.Algorithm, key}, nil
}
