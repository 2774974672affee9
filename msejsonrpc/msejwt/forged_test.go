package msejwt

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	eachAlgorithm(t, func(t *testing.T, k Key) {
		v := verifier(t, Options{Issuer: "issuer", Audience: "media"})
		good := payload(nil)
		other := theirs()[k.Algorithm]
		refused(t, v, forge(other, header1(k, nil), good), ErrSignature)
		refused(t, v, forge(other, header1(other, nil), good), ErrUnknownKey)
		refused(t, v, forge(other, header1(k, members{"kid": ""}), good), ErrSignature)
		refused(t, v, forge(other, header1(k, members{"jwk": jwkOf(other)}), good), ErrSignature)
		refused(t, v, forge(other, header1(other, members{"jwk": jwkOf(other)}), good), ErrUnknownKey)
		refused(t, v, forge(other, header1(other, members{"kid": "", "jwk": jwkOf(other)}), good), ErrSignature)

		unsigned := func(header string) string { return b64(header) + "." + b64(good) + "." }
		for _, none := range []string{"none", "None", "NONE", "nOnE", "none ", ""} {
			for _, kid := range []string{quote(k.ID), ""} {
				h := header1(k, members{"alg": quote(none), "kid": kid})
				refused(t, v, unsigned(h), nil)
				refused(t, v, forge(k, h, good), nil)
			}
		}
		refused(t, v, unsigned(header1(k, nil)), ErrSignature)
		for _, alg := range []string{"", "null", "1", "true", `["` + string(k.Algorithm) + `"]`, `{}`} {
			refused(t, v, forge(k, header1(k, members{"alg": alg}), good), "alg")
		}
		for _, alg := range []string{"HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "ES512", "A128KW", "dir"} {
			refused(t, v, forge(k, header1(k, members{"alg": quote(alg)}), good), "signing method")
		}
		for _, a := range algorithms {
			if a == k.Algorithm {
				continue
			}
			h := members{"alg": quote(string(a))}
			refused(t, v, forge(k, header1(k, h), good), fmt.Sprintf("the key is for %s, not for %q", k.Algorithm, a))
			refused(t, v, forge(k, header1(k, members{"alg": h["alg"], "kid": ""}), good), ErrSignature)
			refused(t, v, forge(k, header1(k, members{"kid": quote(ours()[a].ID)}), good), "the key is for")
			refused(t, v, forge(k, header1(ours()[a], nil), good), ErrSignature)
		}
		for _, kid := range []string{`""`, `"unknown"`, `"` + k.ID + ` "`, `"../../dev/null"`, quote(strings.ToUpper(k.ID))} {
			refused(t, v, forge(k, header1(k, members{"kid": kid}), good), ErrUnknownKey)
		}
		for _, kid := range []string{"null", "1", "true", "{}", `["` + k.ID + `"]`} {
			refused(t, v, forge(k, header1(k, members{"kid": kid}), good), "header: kid")
		}
		for _, crit := range []string{`["exp"]`, `["b64"]`, `[]`, `null`, `""`} {
			refused(t, v, forge(k, header1(k, members{"crit": crit, "b64": "false"}), good), errCritical)
		}
		alg := quote(string(k.Algorithm))
		for _, h := range []string{
			`{"alg":` + alg + `,"alg":` + alg + `}`, `{"alg":"none","alg":` + alg + `}`, `{"alg":` + alg + `,"alg":"none"}`,
			`{"alg":` + alg + `,"\u0061lg":` + alg + `}`, `{"alg":` + alg + `,"x":{"a":1,"a":2}}`,
			`{"ALG":` + alg + `}`, `{"alg":` + alg + `,"kid":"` + "\xff" + `"}`, `{"alg":` + alg + `}}`, `{"alg":` + alg,
			`{"alg":` + alg + `,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
			`null`, `[]`, `""`, `1`, ``, ` `, `{}`,
		} {
			refused(t, v, forge(k, h, good), nil)
		}
	})
}

func jwkOf(k Key) string {
	b, err := x509.MarshalPKIXPublicKey(public(k).Key)
	if err != nil {
		return `{"kty":"oct","alg":"HS256","k":"` + b64(string(k.Key.([]byte))) + `"}`
	}
	return `{"x5c":["` + base64.StdEncoding.EncodeToString(b) + `"]}`
}

func TestPublicKeyIsNotTakenForASecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, target := range []Algorithm{RS256, ES256, EdDSA} {
			k := public(ours()[target])
			der, err := x509.MarshalPKIXPublicKey(k.Key)
			require.NoError(t, err)
			text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			secrets := [][]byte{der, text, bytes.TrimSpace(text), []byte(base64.StdEncoding.EncodeToString(der))}
			switch key := k.Key.(type) {
			case *rsa.PublicKey:
				pkcs1 := x509.MarshalPKCS1PublicKey(key)
				secrets = append(secrets, pkcs1, key.N.Bytes(),
					pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}))
			case *ecdsa.PublicKey:
				point, err := key.Bytes()
				require.NoError(t, err)
				secrets = append(secrets, point)
			}
			for _, keys := range [][]Key{{k}, {{Algorithm: target, Key: k.Key}}, allPublic()} {
				v := verifier(t, Options{Keys: keys})
				for _, secret := range secrets {
					forger := Key{ID: k.ID, Algorithm: HS256, Key: secret}
					refused(t, v, forge(forger, header1(forger, nil), payload(nil)), nil)
					refused(t, v, forge(forger, header1(forger, members{"kid": ""}), payload(nil)), ErrSignature)
				}
			}
		}
	})
}

func TestTokensOfAnotherFormAreRefused(t *testing.T) {
	t.Parallel()
	eachAlgorithm(t, func(t *testing.T, k Key) {
		v := verifier(t, Options{})
		good := forge(k, header1(k, nil), payload(nil))
		taken(t, v, good)
		parts := strings.Split(good, ".")
		sig, err := base64.RawURLEncoding.DecodeString(parts[2])
		require.NoError(t, err)
		standard := base64.RawStdEncoding.EncodeToString(append([]byte{0xfb, 0xff}, sig...))
		nested := b64(`{"alg":"`+string(k.Algorithm)+`","kid":"`+k.ID+`","cty":"JWT"}`) + "." + b64(good)
		for name, token := range map[string]string{
			"empty": "", "a dot": ".", "two dots": "..", "three dots": "...", "one part": parts[0],
			"four parts": good + ".", "four parts, another": "." + good, "five parts": good + ".e30.e30",
			"space before": " " + good, "space behind": good + " ", "line break behind": good + "\n",
			"line break within":           parts[0] + "." + parts[1] + "\r\n." + parts[2],
			"line break in the signature": parts[0] + "." + parts[1] + "." + parts[2][:8] + "\n" + parts[2][8:],
			"padded":                      good + "=", "padded header": parts[0] + "=." + parts[1] + "." + parts[2],
			"standard alphabet":     parts[0] + "." + parts[1] + "." + standard,
			"more signature":        parts[0] + "." + parts[1] + "." + b64(string(sig)+"\x00"),
			"signature of zeros":    parts[0] + "." + parts[1] + "." + b64(string(make([]byte, len(sig)))),
			"ASN.1 signature":       parts[0] + "." + parts[1] + "." + b64(string(asn1Of(sig))),
			"NUL":                   good + "\x00",
			"header of another":     b64(`{"alg":"HS256"}`) + "." + parts[1] + "." + parts[2],
			"nested":                nested + "." + b64(string(signature(k, nested))),
			"bearer":                "Bearer " + good,
			"JSON serialization":    `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
			"detached payload":      parts[0] + ".." + parts[2],
			"quoted":                quote(good),
			"percent":               strings.ReplaceAll(good, ".", "%2e"),
			"full width":            strings.ReplaceAll(good, ".", "．"),
			"no UTF-8":              "\xff" + good,
			"twice":                 good + good,
			"two, by a comma":       good + "," + good,
			"of one byte too many":  good + strings.Repeat("A", DefaultMaxTokenBytes+1-len(good)),
			"of the longest length": good + strings.Repeat("A", DefaultMaxTokenBytes-len(good)),
		} {
			t.Log(name)
			refused(t, v, token, nil)
		}
		for end := range len(good) {
			refused(t, v, good[:end], nil)
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for i := range len(good) { // the next letter differs in the last bit, which may be no part of a byte
			if good[i] == '.' {
				continue
			}
			next := alphabet[strings.IndexByte(alphabet, good[i])^1]
			refused(t, v, good[:i]+string(next)+good[i+1:], nil)
		}
	})
}

func asn1Of(sig []byte) []byte {
	half := len(sig) / 2
	b, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
	must(err)
	return b
}

func TestOptionsWithWhichTokensCouldBeForgedAreRefused(t *testing.T) {
	t.Parallel()
	lookup := func(context.Context, string) (Key, error) { return Key{}, ErrUnknownKey }
	hs, rs, es, ed := ours()[HS256], ours()[RS256], ours()[ES256], ours()[EdDSA]
	der, err := x509.MarshalPKIXPublicKey(public(rs).Key)
	require.NoError(t, err)
	rsaPub := public(rs).Key.(*rsa.PublicKey)
	spki := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	smaller := &rsa.PublicKey{N: new(big.Int).Rsh(rsaPub.N, 1), E: 65537}
	onP384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	offCurve := onP384.PublicKey
	offCurve.Curve = elliptic.P256()
	with := func(a Algorithm, key any) Options { return Options{Keys: []Key{{"k", a, key}}} }
	of := func(given []Algorithm, keys ...Key) Options { return Options{Keys: keys, Algorithms: given} }
	unnamed := func(k Key) Key { k.ID = ""; return k }
	for name, tt := range map[string]struct {
		opts Options
		text string
	}{
		"no keys":                      {Options{}, "neither Keys nor Lookup"},
		"a short secret":               {with(HS256, make([]byte, 31)), "shorter than 32 bytes"},
		"no secret":                    {with(HS256, []byte(nil)), "shorter than 32 bytes"},
		"a secret as string":           {with(HS256, strings.Repeat("x", 32)), "a string is no key for HS256"},
		"PEM as secret":                {with(HS256, spki), "no secret"},
		"DER as secret":                {with(HS256, der), "no secret"},
		"PKCS #1 as secret":            {with(HS256, x509.MarshalPKCS1PublicKey(rsaPub)), "no secret"},
		"an RSA key for HS256":         {with(HS256, rsaPub), "a *rsa.PublicKey is no key for HS256"},
		"a secret for RS256":           {with(RS256, hs.Key), "a []uint8 is no key for RS256"},
		"a small RSA key":              {with(RS256, smaller), "smaller than 2048 bits"},
		"an RSA key without a modulus": {with(RS256, new(rsa.PublicKey)), "smaller than 2048 bits"},
		"no RSA key":                   {with(RS256, (*rsa.PublicKey)(nil)), "smaller than 2048 bits"},
		"no private RSA key":           {with(RS256, (*rsa.PrivateKey)(nil)), "no key for RS256"},
		"an RSA key as value":          {with(RS256, *rsaPub), "a rsa.PublicKey is no key for RS256"},
		"an ECDSA key for RS256":       {with(RS256, es.Key), "no key for RS256"},
		"an RSA key for ES256":         {with(ES256, rs.Key), "no key for ES256"},
		"another curve":                {with(ES256, onP384), "not on P-256"},
		"another public curve":         {with(ES256, &onP384.PublicKey), "not on P-256"},
		"off the curve":                {with(ES256, &offCurve), "not on its curve"},
		"no point":                     {with(ES256, &ecdsa.PublicKey{Curve: elliptic.P256()}), "not on its curve"},
		"an empty ECDSA key":           {with(ES256, new(ecdsa.PublicKey)), "not on P-256"},
		"no ECDSA key":                 {with(ES256, (*ecdsa.PublicKey)(nil)), "not on P-256"},
		"no private ECDSA key":         {with(ES256, (*ecdsa.PrivateKey)(nil)), "no key for ES256"},
		"a secret for EdDSA":           {with(EdDSA, hs.Key), "no key for EdDSA"},
		"half an Ed25519 key":          {with(EdDSA, public(ed).Key.(ed25519.PublicKey)[:16]), "no key for EdDSA"},
		"half a private Ed25519 key":   {with(EdDSA, ed.Key.(ed25519.PrivateKey)[:32]), "no key for EdDSA"},
		"nil":                          {with(EdDSA, nil), "a <nil> is no key for EdDSA"},
		"none":                         {with("none", nil), `unknown algorithm "none"`},
		"no algorithm":                 {with("", hs.Key), `unknown algorithm ""`},
		"another RSA algorithm":        {with("PS256", rs.Key), `unknown algorithm "PS256"`},
		"another case":                 {with("hs256", hs.Key), `unknown algorithm "hs256"`},
		"two keys of an ID":            {Options{Keys: []Key{hs, {hs.ID, RS256, rs.Key}}}, "two keys have the ID"},
		"two keys without an ID":       {Options{Keys: []Key{unnamed(hs), unnamed(theirs()[HS256])}}, "must be the only one"},
		"a key that is never taken":    {Options{Keys: []Key{hs, unnamed(theirs()[HS256])}}, "must be the only one"},
		"none as algorithm":            {of([]Algorithm{HS256, "none"}, hs), `unknown algorithm "none"`},
		"algorithm without a key":      {of([]Algorithm{HS256, RS256}, hs), "no key for RS256"},
		"key without its algorithm":    {of([]Algorithm{RS256}, hs, rs), "its algorithm is not in Algorithms"},
		"no algorithms":                {Options{Lookup: lookup, Algorithms: []Algorithm{}}, "no algorithm"},
		"negative leeway":              {Options{Keys: []Key{hs}, Leeway: -time.Second}, "leeway"},
		"too much leeway":              {Options{Keys: []Key{hs}, Leeway: MaxLeeway + time.Second}, "leeway"},
		"negative length":              {Options{Keys: []Key{hs}, MaxTokenBytes: -1}, "MaxTokenBytes"},
		"exp as user":                  {Options{Keys: []Key{hs}, Names: ClaimNames{UserID: "exp"}}, "exp means something else"},
		"role twice":                   {Options{Keys: []Key{hs}, Extra: []string{"role"}}, "role has a field"},
		"whoami's name":                {Options{Keys: []Key{hs}, Extra: []string{"ipAddress"}}, "ipAddress has a field"},
		"a registered name":            {Options{Keys: []Key{hs}, Extra: []string{"sub"}}, "sub has a field"},
	} {
		v, err := New(&tt.opts)
		require.Nil(t, v, name)
		require.ErrorContains(t, err, tt.text, name)
		require.ErrorContains(t, err, "msejwt: ", name)
	}
	_, err = New(nil)
	require.Error(t, err)
}
