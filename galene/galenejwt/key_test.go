package galenejwt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rfc7515 is the key of RFC 7515, appendix A.3, and rfc7515Token what it signed there. It
// ended in 2011.
const (
	rfc7515 = `{"kty":"EC","crv":"P-256","alg":"ES256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
		"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	rfc7515Token = "eyJhbGciOiJFUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)

func TestTheTokenOfTheRFCHasAGoodSignatureAndHasExpired(t *testing.T) {
	t.Parallel()
	k, err := ParseKey([]byte(rfc7515))
	require.NoError(t, err)
	v := verifier(t, Options{Keys: []Key{k}})
	refused(t, v, rfc7515Token, ErrExpired)
	refused(t, v, rfc7515Token[:len(rfc7515Token)-2]+"1g", ErrSignature)
}

func TestAKeySurvivesItsJWK(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms {
		for _, k := range []Key{ours()[a], ours()[a].Public(), {Algorithm: a, Key: ours()[a].Key}} {
			text, err := k.JWK()
			require.NoError(t, err)
			var fields map[string]any
			require.NoError(t, json.Unmarshal(text, &fields))
			require.Equal(t, string(a), fields["alg"])
			same, err := ParseKey(text)
			require.NoError(t, err, a)
			require.Equal(t, k.ID, same.ID)
			require.Equal(t, k.Algorithm, same.Algorithm)
			require.IsType(t, k.Key, same.Key)
			again, err := same.JWK()
			require.NoError(t, err)
			require.Equal(t, string(text), string(again))
		}
		text, err := ours()[a].Public().JWK()
		require.NoError(t, err)
		require.NotContains(t, string(text), `"d"`)
		require.NotContains(t, string(text), `"p"`)
	}
}

// edit returns a JWK with some members changed; an empty value leaves one out.
func edit(t *testing.T, k Key, m members) string {
	t.Helper()
	text, err := k.JWK()
	require.NoError(t, err)
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &raw))
	defaults := make(members)
	for name, value := range raw {
		defaults[name] = string(value)
	}
	return m.over(defaults)
}

func TestUnsoundKeysAreRefused(t *testing.T) {
	t.Parallel()
	secret := func(n int) string { return quote(base64.RawURLEncoding.EncodeToString(make([]byte, n))) }
	oct, ec, rs := ours()[HS256], ours()[ES256], ours()[RS256]
	tests := map[string]string{
		"no alg":              edit(t, oct, members{"alg": ""}),
		"unknown alg":         edit(t, oct, members{"alg": `"HS1"`}),
		"none":                edit(t, oct, members{"alg": `"none"`}),
		"no type":             edit(t, oct, members{"kty": ""}),
		"unknown type":        edit(t, oct, members{"kty": `"OKP"`}),
		"alg of another type": edit(t, oct, members{"alg": `"ES256"`}),
		"no secret":           edit(t, oct, members{"k": ""}),
		"short secret":        edit(t, oct, members{"k": secret(31)}),
		"long secret":         edit(t, oct, members{"k": secret(33)}),
		"secret of 256":       edit(t, oct, members{"alg": `"HS384"`}),
		"padded":              edit(t, oct, members{"k": `"` + strings.Repeat("A", 43) + `="`}),
		"line break":          edit(t, oct, members{"k": `"\n` + strings.Repeat("A", 43) + `"`}),
		"not base64url":       edit(t, oct, members{"k": `"` + strings.Repeat("+", 43) + `"`}),
		"secret as number":    edit(t, oct, members{"k": "1"}),
		"kid as number":       edit(t, oct, members{"kid": "1"}),
		"secret for RSA":      edit(t, rs, members{"alg": `"HS256"`}),
		"wrong curve":         edit(t, ec, members{"crv": `"P-384"`}),
		"no curve":            edit(t, ec, members{"crv": ""}),
		"off the curve":       edit(t, ec, members{"y": secret(32)}),
		"long coordinate":     edit(t, ec, members{"x": secret(33)}),
		"no coordinate":       edit(t, ec, members{"x": "", "y": ""}),
		"other half":          edit(t, theirs()[ES256], members{"d": "", "x": "", "y": ""}),
		"no modulus":          edit(t, rs, members{"n": ""}),
		"small modulus":       edit(t, rs.Public(), members{"n": secret(128)}),
		"huge modulus":        edit(t, rs.Public(), members{"n": quote(strings.Repeat("_", 4*MaxRSABits/8))}),
		"no exponent":         edit(t, rs.Public(), members{"e": ""}),
		"exponent of 1":       edit(t, rs.Public(), members{"e": `"AQ"`}),
		"even exponent":       edit(t, rs.Public(), members{"e": `"AQAA"`}),
		"huge exponent":       edit(t, rs.Public(), members{"e": `"AQAAAAE"`}),
		"no primes":           edit(t, rs, members{"p": "", "q": ""}),
		"wrong prime":         edit(t, rs, members{"p": `"AQ"`}),
		"not JSON":            `{`,
		"null":                `null`,
		"duplicate":           `{"kty":"oct",` + edit(t, oct, nil)[1:],
	}
	for name, text := range tests {
		k, err := ParseKey([]byte(text))
		require.Error(t, err, name)
		require.Zero(t, k, name)
	}
	mixed := members{}
	var other map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(edit(t, theirs()[ES256], nil)), &other))
	mixed["d"] = string(other["d"])
	_, err := ParseKey([]byte(edit(t, ec, mixed)))
	require.ErrorIs(t, err, errNoMatch)
}

func TestWhatOtherProgramsAddToAKeyIsIgnored(t *testing.T) {
	t.Parallel()
	_, err := ParseKey([]byte(edit(t, ours()[ES256], members{"use": `"sig"`, "key_ops": `["verify"]`, "ext": "true"})))
	require.NoError(t, err)
	_, err = ParseKey([]byte(edit(t, ours()[RS256], members{"dp": `"AQ"`, "dq": `"AQ"`, "qi": `"AQ"`})))
	require.NoError(t, err)
}

func TestAPublicKeyCannotSign(t *testing.T) {
	t.Parallel()
	for _, a := range []Algorithm{ES256, RS256} {
		_, err := ours()[a].Public().Sign(&Claims{})
		require.ErrorIs(t, err, errPublicHalf)
	}
	for _, k := range []Key{
		{}, {Algorithm: "none"}, {Algorithm: HS256}, {Algorithm: HS256, Key: "text"},
		{Algorithm: ES256, Key: (*ecdsa.PrivateKey)(nil)},
		{Algorithm: ES256, Key: (*ecdsa.PublicKey)(nil)}, {Algorithm: ES256, Key: new(ecdsa.PublicKey)},
		{Algorithm: RS256, Key: (*rsa.PrivateKey)(nil)}, {Algorithm: RS256, Key: (*rsa.PublicKey)(nil)},
		{Algorithm: RS256, Key: new(rsa.PublicKey)},
	} {
		_, err := k.Sign(&Claims{})
		require.Error(t, err)
		_, err = k.JWK()
		require.Error(t, err)
	}
	_, err := NewKey("none", "")
	require.Error(t, err)
}

func TestClaimsThatCannotBeReadAreNotSigned(t *testing.T) {
	t.Parallel()
	k := ours()[HS256]
	for _, c := range []Claims{
		{Subject: "\xff"},
		{ExpiresAt: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{NotBefore: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Extra: map[string]json.RawMessage{"sub": []byte(`"x"`)}},
		{Extra: map[string]json.RawMessage{"x": []byte(`{`)}},
	} {
		_, err := k.Sign(&c)
		require.Error(t, err, "%+v", c)
	}
}

func TestTextsOfAKeyHideIt(t *testing.T) {
	t.Parallel()
	k := Key{ID: "one", Algorithm: HS256, Key: []byte(strings.Repeat("s3cr", 8))}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k)
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k), log.String()} {
		require.NotContains(t, text, "s3cr")
		require.NotContains(t, text, "115 51") // the bytes as numbers
		require.Contains(t, text, "one")
	}
}
