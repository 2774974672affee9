package msejwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// An Algorithm says how a token is signed.
type Algorithm string

// The algorithms that this package knows.
const (
	HS256 Algorithm = "HS256" // HMAC: who verifies can sign as well
	RS256 Algorithm = "RS256" // RSA, PKCS #1 v1.5
	ES256 Algorithm = "ES256" // ECDSA on P-256
	EdDSA Algorithm = "EdDSA" // Ed25519
)

var algorithms = []Algorithm{HS256, RS256, ES256, EdDSA}

// method returns how the library signs, nil for an unknown algorithm.
func (a Algorithm) method() jwt.SigningMethod {
	switch a {
	case HS256:
		return jwt.SigningMethodHS256
	case RS256:
		return jwt.SigningMethodRS256
	case ES256:
		return jwt.SigningMethodES256
	case EdDSA:
		return jwt.SigningMethodEdDSA
	}
	return nil
}

const (
	// MinSecretBytes is the size of the shortest secret for [HS256].
	MinSecretBytes = 32
	// MinRSABits is the size of the smallest key for [RS256].
	MinRSABits = 2048
)

// A Key signs or verifies tokens by one algorithm. Its value is
//
//	HS256  []byte, of at least 32 bytes
//	RS256  *rsa.PublicKey or *rsa.PrivateKey, of at least 2048 bits
//	ES256  *ecdsa.PublicKey or *ecdsa.PrivateKey, on P-256
//	EdDSA  ed25519.PublicKey or ed25519.PrivateKey
//
// Only a private one signs, each verifies. A Key may be used concurrently and must not be
// changed. Its texts and its log value hide it.
type Key struct {
	ID        string // kid; may be empty for the only key of its algorithm
	Algorithm Algorithm
	Key       any
}

// ParseKey reads a key in PEM: a public one as PKIX or PKCS #1, a private one as PKCS #8,
// PKCS #1 or SEC 1.
func ParseKey(id string, algorithm Algorithm, text []byte) (Key, error) {
	k := Key{ID: id, Algorithm: algorithm}
	block, _ := pem.Decode(text)
	if block == nil {
		return Key{}, fmt.Errorf("msejwt: %v: no PEM", k)
	}
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		k.Key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		k.Key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "PRIVATE KEY":
		k.Key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		k.Key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		k.Key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("PEM of type %.40q is no key", block.Type)
	}
	if err == nil {
		_, err = k.verifying()
	}
	if err != nil {
		return Key{}, fmt.Errorf("msejwt: %v: %w", k, err)
	}
	return k, nil
}

// Sign returns a token with these claims. It does not check whether a [Verifier] would
// take them; dates are cut to whole seconds.
func (k Key) Sign(c *Claims) (string, error) {
	token, err := k.sign(c)
	if err != nil {
		return "", fmt.Errorf("msejwt: sign: %w", err)
	}
	return token, nil
}

func (k Key) sign(c *Claims) (string, error) {
	if _, err := k.verifying(); err != nil {
		return "", err
	}
	switch k.Key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return "", errPublicHalf
	}
	t := jwt.NewWithClaims(k.Algorithm.method(), &claimSet{Claims: *c})
	if k.ID != "" {
		t.Header["kid"] = k.ID
	}
	return t.SignedString(k.Key)
}

// verifying returns what the library verifies with. It fails for a key that is not of its
// algorithm, or too weak for it.
func (k Key) verifying() (any, error) {
	switch k.Algorithm {
	case HS256:
		if secret, ok := k.Key.([]byte); ok {
			return secretKey(secret)
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
	case ES256:
		switch key := k.Key.(type) {
		case *ecdsa.PublicKey:
			return ecdsaKey(key)
		case *ecdsa.PrivateKey:
			if key != nil {
				return ecdsaKey(&key.PublicKey)
			}
		}
	case EdDSA:
		switch key := k.Key.(type) {
		case ed25519.PublicKey:
			if len(key) == ed25519.PublicKeySize {
				return slices.Clone(key), nil
			}
		case ed25519.PrivateKey:
			if len(key) == ed25519.PrivateKeySize {
				return key.Public(), nil
			}
		}
	default:
		return nil, fmt.Errorf("unknown algorithm %q", k.Algorithm)
	}
	return nil, fmt.Errorf("a %T is no key for %s", k.Key, k.Algorithm)
}

func secretKey(secret []byte) (any, error) {
	if len(secret) < MinSecretBytes {
		return nil, fmt.Errorf("secret shorter than %d bytes", MinSecretBytes)
	}
	// With a public key as secret everybody could sign.
	block, _ := pem.Decode(secret)
	_, err := x509.ParsePKIXPublicKey(secret)
	_, err1 := x509.ParsePKCS1PublicKey(secret)
	if block != nil || err == nil || err1 == nil {
		return nil, errors.New("an encoded key is no secret")
	}
	return slices.Clone(secret), nil
}

func rsaKey(key *rsa.PublicKey) (any, error) {
	if key == nil || key.N == nil || key.N.BitLen() < MinRSABits {
		return nil, fmt.Errorf("RSA key smaller than %d bits", MinRSABits)
	}
	return key, nil
}

func ecdsaKey(key *ecdsa.PublicKey) (any, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return nil, errors.New("ECDSA key is not on P-256")
	}
	empty := *key == ecdsa.PublicKey{Curve: elliptic.P256()} // for which Bytes panics
	if !empty {
		if _, err := key.Bytes(); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("ECDSA key is not on its curve")
}

// String names the key.
func (k Key) String() string { return fmt.Sprintf("%s key %q", k.Algorithm, k.ID) }

// GoString hides the key as String does.
func (k Key) GoString() string { return k.String() }

// LogValue hides the key.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("algorithm", string(k.Algorithm)))
}
