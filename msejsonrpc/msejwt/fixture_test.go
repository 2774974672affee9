package msejwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// newKeys returns a private key of each algorithm, whose ID is the algorithm in lower
// case and a suffix.
func newKeys(suffix string) map[Algorithm]Key {
	secret := make([]byte, 32)
	rand.Read(secret)
	onRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	onP256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	_, on25519, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	keys := make(map[Algorithm]Key)
	for a, key := range map[Algorithm]any{HS256: secret, RS256: onRSA, ES256: onP256, EdDSA: on25519} {
		keys[a] = Key{ID: strings.ToLower(string(a)) + suffix, Algorithm: a, Key: key}
	}
	return keys
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// ours are the keys that the tests' verifiers know, theirs those of somebody else.
var (
	ours   = sync.OnceValue(func() map[Algorithm]Key { return newKeys("-ours") })
	theirs = sync.OnceValue(func() map[Algorithm]Key { return newKeys("-theirs") })
)

// public returns what a server that only verifies knows of a key.
func public(k Key) Key {
	if s, ok := k.Key.(crypto.Signer); ok {
		switch pub := s.Public().(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			k.Key = pub
		}
	}
	return k
}

func allPublic() []Key {
	keys := make([]Key, len(algorithms))
	for i, a := range algorithms {
		keys[i] = public(ours()[a])
	}
	return keys
}

func verifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	if o.Keys == nil && o.Lookup == nil {
		o.Keys = allPublic()
	}
	v, err := New(&o)
	require.NoError(t, err)
	return v
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// forge makes a token of any header and payload without the library.
func forge(k Key, header, payload string) string {
	text := b64(header) + "." + b64(payload)
	return text + "." + b64(string(signature(k, text)))
}

func signature(k Key, text string) []byte {
	digest := sha256.Sum256([]byte(text))
	switch key := k.Key.(type) {
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	case *rsa.PrivateKey:
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
		must(err)
		return sig
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		must(err)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(text))
	}
	panic("no private key")
}

// members are those of a header or of claims, as JSON. An empty one leaves a member of
// the default out.
type members map[string]string

func (m members) over(defaults members) string {
	object := make(map[string]json.RawMessage)
	for _, from := range []members{defaults, m} {
		for name, value := range from {
			if object[name] = json.RawMessage(value); value == "" {
				delete(object, name)
			}
		}
	}
	b, err := json.Marshal(object)
	must(err)
	return string(b)
}

func header1(k Key, m members) string {
	return m.over(members{"alg": quote(string(k.Algorithm)), "typ": `"JWT"`, "kid": quote(k.ID)})
}

func payload(m members) string {
	return m.over(members{
		"domain": `"example.org"`, "agent": `"web"`, "role": `"user"`, "userId": `"u1"`, "roomId": `"r1"`,
		"iss": `"issuer"`, "aud": `"media"`, "exp": seconds(time.Minute),
	})
}

// seconds returns a date that far from now.
func seconds(d time.Duration) string {
	b, err := json.Marshal(time.Now().Add(d).Unix())
	must(err)
	return string(b)
}

func quote(text string) string {
	b, err := json.Marshal(text)
	must(err)
	return string(b)
}

// refused requires that a token is refused for a reason: an error, or a part of its text.
func refused(t testing.TB, v *Verifier, token string, reason any) {
	t.Helper()
	i, err := v.Authenticate(context.Background(), nil, &msejsonrpc.Auth{Token: token})
	require.Nil(t, i)
	require.IsType(t, new(RefusedError), err)
	require.ErrorIs(t, err, msejsonrpc.ErrAuthorizationFailed)
	require.ErrorIs(t, err, msejsonrpc.ErrNotAuthorized)
	switch reason := reason.(type) {
	case error:
		require.ErrorIs(t, err, reason)
	case string:
		require.Contains(t, err.Error(), reason)
	}
}

func taken(t testing.TB, v *Verifier, token string) *msejsonrpc.Identity {
	t.Helper()
	i, err := v.Authenticate(t.Context(), nil, &msejsonrpc.Auth{Token: token})
	require.NoError(t, err)
	require.NotNil(t, i)
	return i
}
