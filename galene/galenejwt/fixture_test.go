package galenejwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

var algorithms = []Algorithm{HS256, HS384, HS512, ES256, RS256}

// newKeys returns a private key of each algorithm, whose ID is the algorithm in lower
// case and a suffix.
func newKeys(suffix string) map[Algorithm]Key {
	keys := make(map[Algorithm]Key)
	for _, a := range algorithms {
		k, err := NewKey(a, strings.ToLower(string(a))+suffix)
		must(err)
		keys[a] = k
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

func verifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	if o.Keys == nil {
		for _, a := range algorithms {
			o.Keys = append(o.Keys, ours()[a].Public())
		}
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
	hash := map[Algorithm]crypto.Hash{HS384: crypto.SHA384, HS512: crypto.SHA512}[k.Algorithm]
	if hash == 0 {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write([]byte(text))
	switch key := k.Key.(type) {
	case []byte:
		mac := hmac.New(hash.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	case *rsa.PrivateKey:
		sig, err := rsa.SignPKCS1v15(nil, key, hash, h.Sum(nil))
		must(err)
		return sig
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
		must(err)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
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

// payload are claims that lead into the group "lab".
func payload(m members) string {
	return m.over(members{
		"sub": `"ada"`, "aud": `"https://galene.example.org/group/lab/"`, "permissions": `["present","message"]`,
		"iss": `"portal"`, "exp": seconds(time.Minute),
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
	c, err := v.Verify(token, "lab")
	require.Nil(t, c)
	require.IsType(t, new(RefusedError), err)
	require.ErrorIs(t, err, galene.ErrNotAuthorised)
	switch reason := reason.(type) {
	case error:
		require.ErrorIs(t, err, reason)
	case string:
		require.Contains(t, err.Error(), reason)
	}
}

func taken(t testing.TB, v *Verifier, token string) *Claims {
	t.Helper()
	c, err := v.Verify(token, "lab")
	require.NoError(t, err)
	require.NotNil(t, c)
	return c
}
