package galenejwt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"

	"github.com/golang-jwt/jwt/v5"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/jwtclaims"
)

// An Algorithm says how a token is signed.
type Algorithm string

// The algorithms that Galène knows.
const (
	HS256 Algorithm = "HS256" // HMAC: who verifies can sign as well
	HS384 Algorithm = "HS384"
	HS512 Algorithm = "HS512"
	ES256 Algorithm = "ES256" // ECDSA on P-256
	RS256 Algorithm = "RS256" // RSA, PKCS #1 v1.5
)

// method returns how the library signs, nil for an unknown algorithm.
func (a Algorithm) method() jwt.SigningMethod {
	switch a {
	case HS256:
		return jwt.SigningMethodHS256
	case HS384:
		return jwt.SigningMethodHS384
	case HS512:
		return jwt.SigningMethodHS512
	case ES256:
		return jwt.SigningMethodES256
	case RS256:
		return jwt.SigningMethodRS256
	}
	return nil
}

// secretBytes returns the size of a secret, which Galène wants to be that of the hash; 0
// for algorithms without one.
func (a Algorithm) secretBytes() int {
	switch a {
	case HS256:
		return 32
	case HS384:
		return 48
	case HS512:
		return 64
	}
	return 0
}

// MinRSABits and MaxRSABits are the sizes of the smallest and of the largest key for
// [RS256].
const (
	MinRSABits = 2048
	MaxRSABits = 16384
)

// A Key signs or verifies tokens by one algorithm. Its value is
//
//	HS256  []byte, of 32 bytes; HS384: 48; HS512: 64
//	ES256  *ecdsa.PublicKey or *ecdsa.PrivateKey, on P-256
//	RS256  *rsa.PublicKey or *rsa.PrivateKey, of at least 2048 bits
//
// Only a private one signs, each verifies. A Key may be used concurrently and must not be
// changed. Its texts and its log value hide it.
type Key struct {
	ID        string // kid; may be empty
	Algorithm Algorithm
	Key       any
}

// NewKey makes a private key.
func NewKey(algorithm Algorithm, id string) (Key, error) {
	k := Key{ID: id, Algorithm: algorithm}
	var err error
	switch n := algorithm.secretBytes(); {
	case n > 0:
		secret := make([]byte, n)
		rand.Read(secret)
		k.Key = secret
	case algorithm == ES256:
		k.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case algorithm == RS256:
		k.Key, err = rsa.GenerateKey(rand.Reader, MinRSABits)
	default:
		err = errAlgorithm(algorithm)
	}
	if err != nil {
		return Key{}, fmt.Errorf("galenejwt: %w", err)
	}
	return k, nil
}

func errAlgorithm(a Algorithm) error { return fmt.Errorf("unknown algorithm %.64q", string(a)) }

// A jwk is a JSON Web Key (RFC 7517). What it does not name, such as use and key_ops, is
// ignored, as by Galène.
type jwk struct {
	Type      string    `json:"kty"`
	Algorithm Algorithm `json:"alg"`
	ID        string    `json:"kid,omitempty"`

	Secret octets `json:"k,omitempty"` // oct

	Curve string `json:"crv,omitempty"` // EC
	X     octets `json:"x,omitempty"`
	Y     octets `json:"y,omitempty"`

	N octets `json:"n,omitempty"` // RSA
	E octets `json:"e,omitempty"`

	D octets `json:"d,omitempty"` // private, of EC and of RSA

	P octets `json:"p,omitempty"` // private, of RSA
	Q octets `json:"q,omitempty"`
}

// Octets are bytes in base64url.
type octets []byte

func (o *octets) UnmarshalJSON(data []byte) error {
	text, ok := jsonx.Text(data)
	if !ok {
		return jwtclaims.ErrType
	}
	if bytes.ContainsAny(text, "\r\n") { // which package base64 skips
		return errEncoding
	}
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil {
		return errEncoding
	}
	*o = b
	return nil
}

func (o octets) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawURLEncoding.EncodeToString(o))
}

// number returns the octets as a number.
func (o octets) number() *big.Int { return new(big.Int).SetBytes(o) }

// ParseKey reads a JSON Web Key as a group's file has it, public or private: of type oct,
// EC on P-256, or RSA, with its alg.
func ParseKey(data []byte) (Key, error) {
	k, err := parseKey(data)
	if err != nil {
		return Key{}, fmt.Errorf("galenejwt: key: %w", err)
	}
	return k, nil
}

func parseKey(data []byte) (Key, error) {
	var j jwk
	if err := jsonx.Unmarshal(data, &j); err != nil {
		return Key{}, err
	}
	if j.Algorithm.method() == nil {
		return Key{}, errAlgorithm(j.Algorithm)
	}
	k := Key{ID: j.ID, Algorithm: j.Algorithm}
	var err error
	switch j.Type {
	case "oct":
		k.Key = []byte(j.Secret)
	case "EC":
		k.Key, err = j.ecdsa()
	case "RSA":
		k.Key, err = j.rsa()
	default:
		err = fmt.Errorf("unknown type %.64q", j.Type)
	}
	if err == nil {
		_, err = k.verifying()
	}
	if err != nil {
		return Key{}, err
	}
	return k, nil
}

var (
	errCurve   = errors.New("ECDSA key is not on P-256")
	errNoMatch = errors.New("the halves of the key do not match")
	errNoRSA   = errors.New("not an RSA key")
)

func (j *jwk) ecdsa() (any, error) {
	const size = 32
	if j.Curve != "P-256" || len(j.X) > size || len(j.Y) > size {
		return nil, errCurve
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed
	copy(point[1+size-len(j.X):], j.X)
	copy(point[1+2*size-len(j.Y):], j.Y)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errCurve
	}
	if j.D == nil {
		return public, nil
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), j.D)
	if err != nil {
		return nil, errCurve
	}
	if !private.PublicKey.Equal(public) {
		return nil, errNoMatch
	}
	return private, nil
}

func (j *jwk) rsa() (any, error) {
	if len(j.N) > MaxRSABits/8 || len(j.E) > 4 {
		return nil, errNoRSA
	}
	e := j.E.number().Int64()
	if e < 3 || e > 1<<31-1 || e%2 == 0 {
		return nil, errNoRSA
	}
	public := &rsa.PublicKey{N: j.N.number(), E: int(e)}
	if j.D == nil {
		return public, nil
	}
	if len(j.D) > MaxRSABits/8 || len(j.P) == 0 || len(j.P) > MaxRSABits/8 || len(j.Q) == 0 || len(j.Q) > MaxRSABits/8 {
		return nil, errNoRSA
	}
	if _, err := rsaKey(public); err != nil {
		return nil, err
	}
	private := &rsa.PrivateKey{PublicKey: *public, D: j.D.number(), Primes: []*big.Int{j.P.number(), j.Q.number()}}
	if err := private.Validate(); err != nil {
		return nil, errNoMatch
	}
	private.Precompute()
	return private, nil
}

// JWK returns the key as a JSON Web Key, private if it is: a secret that must not get out.
// For a group's file use that of [Key.Public].
func (k Key) JWK() (json.RawMessage, error) {
	if _, err := k.verifying(); err != nil {
		return nil, fmt.Errorf("galenejwt: %w", err)
	}
	j := &jwk{Algorithm: k.Algorithm, ID: k.ID}
	switch key := k.Key.(type) {
	case []byte:
		j.Type, j.Secret = "oct", key
	case *ecdsa.PublicKey:
		j.point(key)
	case *ecdsa.PrivateKey:
		j.point(&key.PublicKey)
		d, err := key.Bytes()
		if err != nil {
			return nil, fmt.Errorf("galenejwt: %w", err)
		}
		j.D = d
	case *rsa.PublicKey:
		j.modulus(key)
	case *rsa.PrivateKey:
		if len(key.Primes) != 2 {
			return nil, fmt.Errorf("galenejwt: %w", errNoRSA)
		}
		j.modulus(&key.PublicKey)
		j.D, j.P, j.Q = key.D.Bytes(), key.Primes[0].Bytes(), key.Primes[1].Bytes()
	}
	return jsonx.Append(nil, "", "", j)
}

// point sets the members of a public key, which has been checked.
func (j *jwk) point(key *ecdsa.PublicKey) {
	j.Type, j.Curve = "EC", "P-256"
	if b, err := key.Bytes(); err == nil {
		j.X, j.Y = b[1:33], b[33:]
	}
}

func (j *jwk) modulus(key *rsa.PublicKey) {
	j.Type, j.N, j.E = "RSA", key.N.Bytes(), big.NewInt(int64(key.E)).Bytes()
}

// Public returns the part of the key that verifies. That of a secret is the secret.
func (k Key) Public() Key {
	switch key := k.Key.(type) {
	case *ecdsa.PrivateKey:
		k.Key = &key.PublicKey
	case *rsa.PrivateKey:
		k.Key = &key.PublicKey
	}
	return k
}

// Sign returns a token with these claims. It does not check whether a [Verifier] would
// take them; dates are cut to whole seconds.
func (k Key) Sign(c *Claims) (string, error) {
	token, err := k.sign(c)
	if err != nil {
		return "", fmt.Errorf("galenejwt: sign: %w", err)
	}
	return token, nil
}

func (k Key) sign(c *Claims) (string, error) {
	if _, err := k.verifying(); err != nil {
		return "", err
	}
	switch k.Key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
		return "", errPublicHalf
	}
	t := jwt.NewWithClaims(k.Algorithm.method(), &claimSet{*c})
	if k.ID != "" {
		t.Header["kid"] = k.ID
	}
	return t.SignedString(k.Key)
}

// verifying returns what the library verifies with. It fails for a key that is not of its
// algorithm, or too weak for it.
func (k Key) verifying() (any, error) {
	switch k.Algorithm {
	case HS256, HS384, HS512:
		if secret, ok := k.Key.([]byte); ok {
			if n := k.Algorithm.secretBytes(); len(secret) != n {
				return nil, fmt.Errorf("secret is not of %d bytes", n)
			}
			return bytes.Clone(secret), nil
		}
	case ES256:
		switch key := k.Key.(type) {
		case *ecdsa.PublicKey:
			return ecdsaKey(key)
		case *ecdsa.PrivateKey:
			if key != nil {
				return ecdsaKey(&key.PublicKey)
			}
		}
	case RS256:
		switch key := k.Key.(type) {
		case *rsa.PublicKey:
			return rsaKey(key)
		case *rsa.PrivateKey:
			if key != nil {
				return rsaKey(&key.PublicKey)
			}
		}
	default:
		return nil, errAlgorithm(k.Algorithm)
	}
	return nil, fmt.Errorf("a %T is no key for %s", k.Key, k.Algorithm)
}

func rsaKey(key *rsa.PublicKey) (any, error) {
	if key == nil || key.N == nil || key.N.BitLen() < MinRSABits || key.N.BitLen() > MaxRSABits {
		return nil, fmt.Errorf("RSA key is not of %d to %d bits", MinRSABits, MaxRSABits)
	}
	return key, nil
}

func ecdsaKey(key *ecdsa.PublicKey) (any, error) {
	if key == nil || key.Curve != elliptic.P256() || *key == (ecdsa.PublicKey{Curve: elliptic.P256()}) {
		return nil, errCurve
	}
	if _, err := key.Bytes(); err != nil {
		return nil, errCurve
	}
	return key, nil
}

// String names the key.
func (k Key) String() string { return fmt.Sprintf("%s key %q", string(k.Algorithm), k.ID) }

// GoString hides the key as String does.
func (k Key) GoString() string { return k.String() }

// LogValue hides the key.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("algorithm", string(k.Algorithm)))
}
