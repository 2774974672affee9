package galenegroup

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// A PasswordType says how a [Password] is compared.
type PasswordType string

// The types of passwords.
const (
	PasswordNone     PasswordType = ""         // nothing matches
	PasswordPlain    PasswordType = "plain"    // Key is the password
	PasswordWildcard PasswordType = "wildcard" // everything matches
	PasswordPBKDF2   PasswordType = "pbkdf2"   // Key and Salt are in hexadecimal
	PasswordBcrypt   PasswordType = "bcrypt"   // Key is in the format of bcrypt
)

// What [NewPassword] hashes with.
const (
	DefaultIterations = 600_000 // of PBKDF2 with SHA-256
	DefaultCost       = 12      // of bcrypt
)

// Bounds for what a file may say, beyond which a join would take minutes.
const (
	MaxIterations = 10_000_000
	MaxCost       = 18
	maxKeyBytes   = 64
	maxSaltBytes  = 1 << 10
)

// A Password is what a file keeps of a password. The zero value matches nothing. Its texts
// and its log value hide it.
type Password struct {
	Type       PasswordType
	Hash       string // of PBKDF2: "sha-256"
	Key        string
	Salt       string // of PBKDF2
	Iterations int    // of PBKDF2
}

const sha256Name = "sha-256"

// NewPassword returns what a file keeps of a password: itself with [PasswordPlain], or a
// hash with a salt of its own. bcrypt takes up to 72 bytes.
func NewPassword(typ PasswordType, password string) (Password, error) {
	return newPassword(typ, password, DefaultIterations, DefaultCost)
}

func newPassword(typ PasswordType, password string, iterations, cost int) (Password, error) {
	p := Password{Type: typ}
	switch typ {
	case PasswordPlain:
		p.Key = password
	case PasswordWildcard, PasswordNone:
	case PasswordPBKDF2:
		salt := make([]byte, 16)
		rand.Read(salt)
		key, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
		if err != nil {
			return Password{}, fmt.Errorf("galenegroup: password: %w", err)
		}
		p.Hash, p.Iterations = sha256Name, iterations
		p.Key, p.Salt = hex.EncodeToString(key), hex.EncodeToString(salt)
	case PasswordBcrypt:
		key, err := bcrypt.GenerateFromPassword([]byte(password), cost)
		if err != nil {
			return Password{}, fmt.Errorf("galenegroup: password: %w", err)
		}
		p.Key = string(key)
	default:
		return Password{}, fmt.Errorf("galenegroup: password: %w", errPasswordType(typ))
	}
	return p, nil
}

// Matches reports whether a password is the one that p was made of, in a time that depends
// on p alone. Those of p that are unsound match nothing.
func (p Password) Matches(password string) bool {
	switch p.Type {
	case PasswordPlain:
		own, given := sha256.Sum256([]byte(p.Key)), sha256.Sum256([]byte(password))
		return subtle.ConstantTimeCompare(own[:], given[:]) == 1
	case PasswordWildcard:
		return true
	case PasswordPBKDF2:
		key, salt, err := p.pbkdf2()
		if err != nil {
			return false
		}
		given, err := pbkdf2.Key(sha256.New, password, salt, p.Iterations, len(key))
		return err == nil && subtle.ConstantTimeCompare(key, given) == 1
	case PasswordBcrypt:
		if p.check() != nil {
			return false
		}
		return bcrypt.CompareHashAndPassword([]byte(p.Key), []byte(password)) == nil
	}
	return false
}

func errPasswordType(typ PasswordType) error { return fmt.Errorf("unknown type %.64q", string(typ)) }

var (
	errHash        = errors.New("hash is not sha-256")
	errIterations  = fmt.Errorf("iterations are not between 1 and %d", MaxIterations)
	errCost        = fmt.Errorf("cost is above %d", MaxCost)
	errKey         = errors.New("bad key")
	errSalt        = errors.New("bad salt")
	errSuperfluous = errors.New("more than its type has")
	errJSONType    = errors.New("wrong JSON type")
)

// pbkdf2 returns the key and the salt.
func (p Password) pbkdf2() (key, salt []byte, err error) {
	if p.Hash != sha256Name {
		return nil, nil, errHash
	}
	if p.Iterations < 1 || p.Iterations > MaxIterations {
		return nil, nil, errIterations
	}
	// Without a key everything would match, with a short one too much.
	if key, err = hex.DecodeString(p.Key); err != nil || len(key) < 8 || len(key) > maxKeyBytes {
		return nil, nil, errKey
	}
	if salt, err = hex.DecodeString(p.Salt); err != nil || len(salt) > maxSaltBytes {
		return nil, nil, errSalt
	}
	return key, salt, nil
}

// check returns why nothing could ever match.
func (p Password) check() error {
	switch p.Type {
	case PasswordPlain:
		if p.Hash != "" || p.Salt != "" || p.Iterations != 0 {
			return errSuperfluous
		}
	case PasswordWildcard, PasswordNone:
		if p != (Password{Type: p.Type}) {
			return errSuperfluous
		}
	case PasswordPBKDF2:
		_, _, err := p.pbkdf2()
		return err
	case PasswordBcrypt:
		cost, err := bcrypt.Cost([]byte(p.Key))
		switch {
		case err != nil:
			return errKey
		case cost > MaxCost:
			return errCost
		case p.Hash != "" || p.Salt != "" || p.Iterations != 0:
			return errSuperfluous
		}
	default:
		return errPasswordType(p.Type)
	}
	return nil
}

// A scheme is what the time of a comparison depends on.
type scheme struct {
	typ  PasswordType
	cost int // iterations or bcrypt's cost
	size int // of the key in blocks of the hash
}

// scheme returns that of a sound password, and false for those that cost nothing.
func (p Password) scheme() (s scheme, ok bool) {
	switch p.Type {
	case PasswordPBKDF2:
		const block = 2 * sha256.Size
		return scheme{p.Type, p.Iterations, (len(p.Key) + block - 1) / block}, true
	case PasswordBcrypt:
		cost, err := bcrypt.Cost([]byte(p.Key))
		return scheme{p.Type, cost, 0}, err == nil
	}
	return scheme{}, false
}

// decoy returns a password of the scheme that nobody has.
func (s scheme) decoy() Password {
	if s.typ == PasswordBcrypt {
		const digits = 22 + 31 // of salt and hash
		return Password{Type: s.typ, Key: fmt.Sprintf("$2a$%02d$%s", s.cost, strings.Repeat(".", digits))}
	}
	const salt = "00000000000000000000000000000000"
	key := make([]byte, s.size*sha256.Size)
	rand.Read(key)
	return Password{Type: s.typ, Hash: sha256Name, Key: hex.EncodeToString(key), Salt: salt, Iterations: s.cost}
}

// A wirePassword is a password as it stands in a file, unless that is a string.
type wirePassword struct {
	Type       PasswordType `json:"type,omitempty"`
	Hash       string       `json:"hash,omitempty"`
	Key        *string      `json:"key,omitempty"`
	Salt       string       `json:"salt,omitempty"`
	Iterations int          `json:"iterations,omitempty"`
	Extra      fields
}

// UnmarshalJSON reads a password: a string for a plain one, or an object.
func (p *Password) UnmarshalJSON(data []byte) error {
	if text, ok := jsonx.Text(data); ok {
		*p = Password{Type: PasswordPlain, Key: string(text)}
		return nil
	}
	if !jsonx.IsObject(data) {
		return errJSONType
	}
	var w wirePassword
	if err := jsonx.Unmarshal(data, &w); err != nil {
		return err
	}
	if err := w.Extra.none(); err != nil {
		return err
	}
	read := Password{Type: w.Type, Hash: w.Hash, Salt: w.Salt, Iterations: w.Iterations}
	needsKey := w.Type != PasswordWildcard && w.Type != PasswordNone
	if needsKey != (w.Key != nil) {
		return errKey
	}
	if w.Key != nil {
		read.Key = *w.Key
	}
	if err := read.check(); err != nil {
		return err
	}
	*p = read
	return nil
}

// MarshalJSON writes the password as Galène does: a plain one as a string.
func (p Password) MarshalJSON() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Type == PasswordPlain {
		return jsonx.AppendString(nil, p.Key)
	}
	w := &wirePassword{Type: p.Type, Hash: p.Hash, Salt: p.Salt, Iterations: p.Iterations}
	if p.Key != "" {
		w.Key = &p.Key
	}
	return jsonx.Append(nil, "", "", w)
}

// String tells the type.
func (p Password) String() string {
	if p.Type == PasswordNone {
		return "no password"
	}
	return string(p.Type) + " password"
}

// GoString hides the password as String does.
func (p Password) GoString() string { return p.String() }

// LogValue hides the password.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }
