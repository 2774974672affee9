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
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jwtclaims"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// eachAlgorithm runs a test for each, at midnight of 2000-01-01.
func eachAlgorithm(t *testing.T, test func(t *testing.T, k Key)) {
	for _, a := range algorithms {
		k := ours()[a]
		theirs() // outside the bubble, where others may wait for them
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(t, k) })
		})
	}
}

func TestIdentityIsWhatTheTokenSays(t *testing.T) {
	t.Parallel()
	eachAlgorithm(t, func(t *testing.T, k Key) {
		v := verifier(t, Options{
			Issuer: "issuer", Audience: "media",
			Address: func(context.Context) string { return "192.0.2.1" },
		})
		token := forge(k, header1(k, nil), payload(members{"iat": seconds(-time.Minute), "nbf": seconds(0)}))
		require.Equal(t, &msejsonrpc.Identity{
			Domain: "example.org", Agent: "web", Role: "user", UserID: "u1", RoomID: "r1", IPAddress: "192.0.2.1",
			TokenIssued: "1999-12-31T23:59:00Z", ValidFrom: "2000-01-01T00:00:00Z", ValidTo: "2000-01-01T00:01:00Z",
		}, taken(t, v, token))
	})
}

func TestGoodTokensAreTaken(t *testing.T) {
	t.Parallel()
	eachAlgorithm(t, func(t *testing.T, k Key) {
		v := verifier(t, Options{Issuer: "issuer", Audience: "media"})
		for name, tt := range map[string]struct{ header, claims members }{
			"as it is":                      {},
			"no kid":                        {header: members{"kid": ""}},
			"no typ":                        {header: members{"typ": ""}},
			"another typ":                   {header: members{"typ": `"at+jwt"`}},
			"unknown header":                {header: members{"x": `{"deep":[1]}`}},
			"somebody else's key in it":     {header: members{"jwk": `{"kty":"oct","k":"AAAA"}`, "x5c": `["AAAA"]`}},
			"address of keys in it":         {header: members{"jku": `"http://127.0.0.1:1/"`, "x5u": `"http://127.0.0.1:1/"`}},
			"several audiences":             {claims: members{"aud": `["other","media"]`}},
			"every role":                    {claims: members{"role": `"super"`}},
			"names of another case":         {claims: members{"Role": `"super"`, "EXP": `1`}},
			"sub in place of userId":        {claims: members{"userId": "", "sub": `"u1"`}},
			"userId before sub":             {claims: members{"sub": `"u2"`}},
			"fraction of a second":          {claims: members{"exp": seconds(time.Minute) + ".9"}},
			"exponent":                      {claims: members{"exp": "9.46684860e8"}},
			"last date":                     {claims: members{"exp": "253370764799"}},
			"dates of now":                  {claims: members{"iat": seconds(0), "nbf": seconds(0)}},
			"nothing but user and validity": {claims: members{"domain": "", "agent": "", "roomId": ""}},
			"escapes":                       {claims: members{"userId": `"\u00751"`}},
		} {
			i := taken(t, v, forge(k, header1(k, tt.header), payload(tt.claims)))
			require.Equal(t, "u1", i.UserID, name)
			require.NotEmpty(t, i.ValidTo, name)
			require.Nil(t, i.Extra, name)
			if tt.claims["role"] == "" {
				require.Equal(t, msejsonrpc.RoleUser, i.Role, name)
			}
		}
	})
}

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

func TestTokensWithOtherClaimsAreRefused(t *testing.T) {
	t.Parallel()
	eachAlgorithm(t, func(t *testing.T, k Key) {
		v := verifier(t, Options{Issuer: "issuer", Audience: "media"})
		for _, tt := range []struct {
			claims members
			reason any
		}{
			{members{"exp": ""}, "exp claim is required"},
			{members{"exp": quote(seconds(time.Minute))}, "exp: wrong JSON type"},
			{members{"exp": `"2100-01-01T00:00:00Z"`}, "exp: wrong JSON type"},
			{members{"exp": "null"}, "exp: wrong JSON type"},
			{members{"exp": "true"}, "exp: wrong JSON type"},
			{members{"exp": "[" + seconds(time.Minute) + "]"}, "exp: wrong JSON type"},
			{members{"exp": "{}"}, "exp: wrong JSON type"},
			{members{"exp": `""`}, "exp: wrong JSON type"},
			{members{"exp": "0"}, ErrExpired},
			{members{"exp": "-0"}, ErrExpired},
			{members{"exp": "1"}, ErrExpired},
			{members{"exp": "-1"}, jwtclaims.ErrRange},
			{members{"exp": "253370764800"}, jwtclaims.ErrRange},
			{members{"exp": "9223372036854775807"}, jwtclaims.ErrRange},
			{members{"exp": "99999999999999999999999"}, jwtclaims.ErrRange},
			{members{"exp": "1e300"}, jwtclaims.ErrRange},
			{members{"exp": "1e400"}, jwtclaims.ErrRange},
			{members{"exp": "-1e400"}, jwtclaims.ErrRange},
			{members{"exp": seconds(0)}, ErrExpired},
			{members{"exp": seconds(0) + ".999"}, ErrExpired},
			{members{"nbf": seconds(time.Second)}, ErrNotValidYet},
			{members{"nbf": quote(seconds(0))}, "nbf: wrong JSON type"},
			{members{"nbf": "1e400"}, jwtclaims.ErrRange},
			{members{"iat": seconds(time.Second)}, jwt.ErrTokenUsedBeforeIssued},
			{members{"iat": "null"}, "iat: wrong JSON type"},
			{members{"iat": "-1e400"}, jwtclaims.ErrRange},

			{members{"iss": ""}, "iss claim is required"},
			{members{"iss": `""`}, "iss claim is required"},
			{members{"iss": `"Issuer"`}, jwt.ErrTokenInvalidIssuer},
			{members{"iss": `["issuer"]`}, "iss: wrong JSON type"},
			{members{"iss": `null`}, "iss: wrong JSON type"},
			{members{"aud": ""}, "aud claim is required"},
			{members{"aud": "[]"}, "aud claim is required"},
			{members{"aud": `""`}, "aud claim is required"},
			{members{"aud": `"medi"`}, jwt.ErrTokenInvalidAudience},
			{members{"aud": `["other","Media"]`}, jwt.ErrTokenInvalidAudience},
			{members{"aud": `"other media"`}, jwt.ErrTokenInvalidAudience},
			{members{"aud": "null"}, "aud: wrong JSON type"},
			{members{"aud": `["media",null]`}, "aud: wrong JSON type"},
			{members{"aud": `["media",1]`}, "aud: wrong JSON type"},
			{members{"aud": `[["media"]]`}, "aud: wrong JSON type"},
			{members{"aud": `{"media":1}`}, "aud: wrong JSON type"},
			{members{"sub": "1"}, "sub: wrong JSON type"},
			{members{"jti": "1"}, "jti: wrong JSON type"},

			{members{"role": ""}, `role "" is not taken`},
			{members{"role": `"User"`}, `role "User" is not taken`},
			{members{"role": `"root"`}, `role "root" is not taken`},
			{members{"role": `["user"]`}, `"role": wrong JSON type`},
			{members{"role": `null`}, `"role": wrong JSON type`},
			{members{"userId": ""}, errNoUser},
			{members{"userId": "", "sub": `""`}, errNoUser},
			{members{"userId": `""`, "sub": `"u1"`}, errNoUser},
			{members{"userId": "1"}, `"userId": wrong JSON type`},
			{members{"userId": "null", "sub": `"u1"`}, `"userId": wrong JSON type`},
			{members{"domain": "{}"}, `"domain": wrong JSON type`},
			{members{"agent": "1"}, `"agent": wrong JSON type`},
			{members{"roomId": "1"}, `"roomId": wrong JSON type`},
		} {
			refused(t, v, forge(k, header1(k, nil), payload(tt.claims)), tt.reason)
		}

		good := payload(nil)
		inside := strings.TrimSuffix(strings.TrimPrefix(good, "{"), "}")
		for _, text := range []string{
			`{` + inside + `,"role":"super"}`, `{"role":"super",` + inside + `}`, `{` + inside + `,"ro\u006ce":"super"}`,
			`{` + inside + `,"exp":` + seconds(time.Hour) + `}`, `{` + inside + `,"x":{"a":1,"a":2}}`,
			`{` + inside + `,"x":"` + "\xff" + `"}`,
			`{` + inside + `,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
			good + good, good + " x", good[1:], good[:len(good)-1], "[" + good + "]", quote(good),
			"", " ", "null", "[]", "{}", "1", "true", `{"a":NaN}`, forge(k, header1(k, nil), good),
		} {
			refused(t, v, forge(k, header1(k, nil), text), nil)
			lenient := verifier(t, Options{AllowNoExpiry: true, Roles: []msejsonrpc.Role{""}})
			refused(t, lenient, forge(k, header1(k, nil), text), nil)
		}
	})
}

func TestTokenIsRefusedByItsLengthBeforeItIsRead(t *testing.T) {
	t.Parallel()
	v := verifier(t, Options{})
	token := strings.Repeat("eyJ.", 1<<20/4)
	refused(t, v, token, errTooLong)
	k := ours()[HS256]
	good := forge(k, header1(k, nil), payload(nil))
	taken(t, verifier(t, Options{MaxTokenBytes: len(good)}), good)
	refused(t, verifier(t, Options{MaxTokenBytes: len(good) - 1}), good, errTooLong)

	long := forge(k, header1(k, nil), payload(members{"x": quote(strings.Repeat("x", 1<<20))}))
	refused(t, v, long, errTooLong)
	taken(t, verifier(t, Options{MaxTokenBytes: 2 << 20}), long)
}

func TestDatesHoldToTheSecondOfTheLeeway(t *testing.T) {
	t.Parallel()
	for _, leeway := range []time.Duration{0, time.Second, 30 * time.Second, 30999 * time.Millisecond, MaxLeeway} {
		t.Run(leeway.String(), func(t *testing.T) {
			t.Parallel()
			eachAlgorithm(t, func(t *testing.T, k Key) {
				v := verifier(t, Options{Leeway: leeway})
				whole := leeway.Truncate(time.Second)
				token := forge(k, header1(k, nil), payload(members{
					"iat": seconds(2 * time.Hour), "nbf": seconds(3 * time.Hour), "exp": seconds(4 * time.Hour),
				}))
				start := time.Now()
				at := func(after time.Duration) { time.Sleep(time.Until(start.Add(after))) }

				at(2*time.Hour - whole - 1)
				refused(t, v, token, jwt.ErrTokenUsedBeforeIssued)
				at(2*time.Hour - whole)
				refused(t, v, token, ErrNotValidYet)
				_, err := v.Verify(t.Context(), token)
				require.NotErrorIs(t, err, jwt.ErrTokenUsedBeforeIssued)
				at(3*time.Hour - whole - 1)
				refused(t, v, token, ErrNotValidYet)
				at(3*time.Hour - whole)
				taken(t, v, token)
				at(4*time.Hour + whole - 1)
				i := taken(t, v, token)
				validTo, ok := i.ValidTo.Time()
				require.True(t, ok)
				require.True(t, validTo.Equal(start.Add(4*time.Hour+whole)), "%s", validTo)
				at(4*time.Hour + whole)
				refused(t, v, token, ErrExpired)
				at(4*time.Hour + whole + time.Second)
				refused(t, v, token, ErrExpired)
			})
		})
	}
}

func TestTokensOfTheStandardAreTaken(t *testing.T) {
	t.Parallel()
	raw := func(text string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(text)
		require.NoError(t, err)
		return b
	}
	number := func(text string) *big.Int { return new(big.Int).SetBytes(raw(text)) }
	onP256, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4},
		raw("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"), raw("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")))
	require.NoError(t, err)
	modulus := number("ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEz" +
		"P1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5" +
		"z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" +
		"FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ")
	// RFC 7515, appendix A: joe is the issuer, and the time is March 2011.
	const claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	for _, tt := range []struct {
		key   Key
		token string
	}{
		{
			Key{"", HS256, raw("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")},
			"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + claims + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
		},
		{
			Key{"", RS256, &rsa.PublicKey{E: 65537, N: modulus}},
			"eyJhbGciOiJSUzI1NiJ9." + claims + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7" +
				"AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4" +
				"BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K" +
				"0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv" +
				"hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB" +
				"p0igcN_IoypGlUPQGe77Rw",
		},
		{
			Key{"", ES256, onP256},
			"eyJhbGciOiJFUzI1NiJ9." + claims +
				".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
		},
	} {
		t.Run(string(tt.key.Algorithm), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				v := verifier(t, Options{
					Keys: []Key{tt.key}, Names: ClaimNames{UserID: "iss"}, Roles: []msejsonrpc.Role{""}, Issuer: "joe",
				})
				c, err := v.Verify(t.Context(), tt.token)
				require.NoError(t, err)
				require.Equal(t, &Claims{
					UserID: "joe", Issuer: "joe", ExpiresAt: time.Unix(1300819380, 0),
					Extra: msejsonrpc.Fields{"http://example.com/is_root": json.RawMessage("true")},
				}, c)
				time.Sleep(time.Until(c.ExpiresAt))
				refused(t, v, tt.token, ErrExpired)
			})
		})
	}
}

func TestKeyWithoutIDServesTokensWithoutKid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := ours()[EdDSA]
		k.ID = ""
		v := verifier(t, Options{Keys: []Key{public(k), ours()[HS256]}})
		taken(t, v, forge(k, `{"alg":"EdDSA"}`, payload(nil)))
		refused(t, v, forge(k, `{"alg":"EdDSA","kid":""}`, payload(nil)), ErrUnknownKey)
		refused(t, v, forge(k, `{"alg":"EdDSA","kid":"x"}`, payload(nil)), ErrUnknownKey)

		v = verifier(t, Options{Keys: []Key{ours()[EdDSA], theirs()[EdDSA]}})
		refused(t, v, forge(k, `{"alg":"EdDSA"}`, payload(nil)), ErrUnknownKey)
		taken(t, v, forge(k, header1(ours()[EdDSA], nil), payload(nil)))
	})
}

func TestLookupFindsTheKeysThatKeysLacks(t *testing.T) {
	t.Parallel()
	eachAlgorithm(t, func(t *testing.T, k Key) {
		var asked []string
		down := errors.New("the key server is down")
		v := verifier(t, Options{
			Algorithms: algorithms, // HS256 must be named
			Keys:       []Key{theirs()[k.Algorithm]},
			Lookup: func(_ context.Context, id string) (Key, error) {
				asked = append(asked, id)
				switch id {
				case k.ID:
					return public(k), nil
				case "down":
					return Key{}, down
				case "weak":
					return Key{Algorithm: HS256, Key: []byte("secret")}, nil
				}
				return Key{}, fmt.Errorf("no %s: %w", id, ErrUnknownKey)
			},
		})
		with := func(kid string) string {
			return forge(k, header1(k, members{"kid": kid}), payload(nil))
		}
		taken(t, v, with(quote(k.ID)))
		refused(t, v, with(`"other"`), ErrUnknownKey)
		for _, kid := range []string{`""`, "", quote(theirs()[k.Algorithm].ID)} {
			refused(t, v, with(kid), nil)
		}
		refused(t, v, forge(theirs()[HS256], `{"alg":"none","kid":"x"}`, payload(nil)), ErrSignature)
		require.Equal(t, []string{k.ID, "other"}, asked)
		for _, a := range algorithms {
			if a != k.Algorithm {
				refused(t, v, forge(k, header1(k, members{"alg": quote(string(a))}), payload(nil)), "the key is for")
			}
		}

		for kid, text := range map[string]string{"down": "key server is down", "weak": "shorter than 32 bytes"} {
			_, err := v.Authenticate(t.Context(), nil, &msejsonrpc.Auth{Token: with(quote(kid))})
			require.ErrorContains(t, err, "msejwt: key lookup: ")
			require.ErrorContains(t, err, text)
			require.NotErrorIs(t, err, msejsonrpc.ErrAuthorizationFailed, "the token is not to blame")
			_, isRefused := errors.AsType[*RefusedError](err)
			require.False(t, isRefused)
			require.Equal(t, kid == "down", errors.Is(err, down))
		}
	})
}

func TestSecretsAreLookedUpOnlyWhenTheirAlgorithmIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lookup := func(_ context.Context, id string) (Key, error) {
			for _, k := range ours() {
				if k.ID == id {
					return k, nil
				}
			}
			return Key{}, ErrUnknownKey
		}
		v := verifier(t, Options{Lookup: lookup})
		for _, a := range algorithms {
			token := forge(ours()[a], header1(ours()[a], nil), payload(nil))
			if a == HS256 {
				refused(t, v, token, ErrSignature)
				continue
			}
			taken(t, v, token)
			refused(t, verifier(t, Options{Lookup: lookup, Algorithms: []Algorithm{HS256}}), token, ErrSignature)
		}
	})
}

func TestRevokedTokensAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := ours()[HS256]
		down := errors.New("the list is lost")
		var asked []*Claims
		v := verifier(t, Options{Revoked: func(_ context.Context, c *Claims) (bool, error) {
			asked = append(asked, c)
			if c.ID == "t3" {
				return false, down
			}
			return c.ID == "t2", nil
		}})
		with := func(id string) string { return forge(k, header1(k, nil), payload(members{"jti": quote(id)})) }
		taken(t, v, with("t1"))
		refused(t, v, with("t2"), ErrRevoked)
		_, err := v.Authenticate(t.Context(), nil, &msejsonrpc.Auth{Token: with("t3")})
		require.ErrorIs(t, err, down)
		require.EqualError(t, err, "msejwt: revocation check: the list is lost")
		require.NotErrorIs(t, err, msejsonrpc.ErrAuthorizationFailed)
		require.Len(t, asked, 3)

		refused(t, v, forge(theirs()[HS256], header1(k, nil), payload(nil)), ErrSignature)
		refused(t, v, forge(k, header1(k, nil), payload(members{"exp": "1"})), ErrExpired)
		require.Len(t, asked, 3, "asked about what is invalid anyway")
	})
}

func TestTokenWithoutExpiryIsValidForEverWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := ours()[HS256]
		v := verifier(t, Options{AllowNoExpiry: true})
		require.Empty(t, taken(t, v, forge(k, header1(k, nil), payload(members{"exp": ""}))).ValidTo)
		refused(t, v, forge(k, header1(k, nil), payload(members{"exp": "1"})), ErrExpired)
		refused(t, v, forge(k, header1(k, nil), payload(members{"exp": "0"})), ErrExpired)
		refused(t, v, forge(k, header1(k, nil), payload(members{"exp": "null"})), jwtclaims.ErrType)
	})
}

func TestOnlyTheGivenRolesAreTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := ours()[HS256]
		with := func(role string) string { return forge(k, header1(k, nil), payload(members{"role": role})) }
		v := verifier(t, Options{Roles: []msejsonrpc.Role{"", "guest"}})
		require.Equal(t, msejsonrpc.Role("guest"), taken(t, v, with(`"guest"`)).Role)
		require.Empty(t, taken(t, v, with("")).Role)
		refused(t, v, with(`"user"`), "role")
		refused(t, verifier(t, Options{Roles: []msejsonrpc.Role{}}), with(`"user"`), "role")
	})
}

func TestNamedFurtherClaimsAreInTheIdentityAndNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := ours()[HS256]
		token := forge(k, header1(k, nil), payload(members{"tier": `{"a": 1}`, "email": `"u1@example.org"`}))
		v := verifier(t, Options{Extra: []string{"tier", "absent"}})
		require.Equal(t, msejsonrpc.Fields{"tier": json.RawMessage(`{"a":1}`)}, taken(t, v, token).Extra)
		require.Nil(t, taken(t, verifier(t, Options{}), token).Extra)
		c, err := v.Verify(t.Context(), token)
		require.NoError(t, err)
		require.Len(t, c.Extra, 2)
	})
}

func TestClaimsHaveTheNamesOfTheOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := ours()[HS256]
		v := verifier(t, Options{
			Names:  ClaimNames{Domain: "iss", UserID: "uid", Role: "https://example.org/role", RoomID: "room"},
			Issuer: "issuer",
		})
		claims := members{
			"uid": `"u9"`, "https://example.org/role": `"admin"`, "room": `"r9"`, // and userId, role and roomId
			"sub": `"s9"`,
		}
		i := taken(t, v, forge(k, header1(k, nil), payload(claims)))
		require.Equal(t, "admin u9 of room r9 in domain issuer", i.String())
		require.Equal(t, msejsonrpc.AgentWeb, i.Agent)
		other := verifier(t, Options{Names: ClaimNames{UserID: "sub", RoomID: "jti"}})
		i = taken(t, other, forge(k, header1(k, nil), payload(members{"sub": `"s1"`, "jti": `"t1"`})))
		require.Equal(t, "user s1 of room t1 in domain example.org", i.String())
		claims["uid"] = ""
		require.Equal(t, "s9", taken(t, v, forge(k, header1(k, nil), payload(claims))).UserID)
		claims["sub"] = ""
		refused(t, v, forge(k, header1(k, nil), payload(claims)), errNoUser)
	})
}

func TestRefusalsAreLoggedWithTheReasonAndWithoutTheToken(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	k := ours()[HS256]
	v := verifier(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	token := forge(k, header1(k, members{"kid": quote(strings.Repeat("k", 2000))}), payload(members{"userId": `"u77"`}))
	refused(t, v, token, ErrUnknownKey)
	require.Equal(t, 1, strings.Count(log.String(), "\n"))
	require.Contains(t, log.String(), `level=INFO msg="msejwt: a token was refused"`)
	require.Contains(t, log.String(), "unknown key")
	require.Less(t, log.Len(), 500)
	for part := range strings.SplitSeq(token, ".") {
		require.NotContains(t, log.String(), part[:20])
	}
	log.Reset()
	taken(t, v, forge(k, header1(k, nil), payload(nil)))
	_, err := v.Verify(t.Context(), token)
	require.Error(t, err)
	require.Empty(t, log.String())
}

func TestClientHearsNothingOfTheReason(t *testing.T) {
	t.Parallel()
	v := verifier(t, Options{})
	_, err := v.Authenticate(t.Context(), nil, &msejsonrpc.Auth{Token: "x"})
	say, ok := errors.AsType[*msejsonrpc.Error](err)
	require.True(t, ok)
	require.Same(t, msejsonrpc.ErrAuthorizationFailed, say)
	require.EqualError(t, err, "msejwt: token refused: token is malformed: token contains an invalid number of segments")
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

func TestVerifierKeepsNoPartOfItsOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := ours()[HS256]
		secret := bytes.Clone(k.Key.([]byte))
		o := &Options{Keys: []Key{{k.ID, HS256, secret}}, Extra: []string{"tier"}, Roles: []msejsonrpc.Role{"user"}}
		v, err := New(o)
		require.NoError(t, err)
		clear(secret)
		o.Extra[0], o.Roles[0], o.Keys[0].Algorithm = "email", "admin", "none"
		i := taken(t, v, forge(k, header1(k, nil), payload(members{"tier": "1", "email": "2"})))
		require.Contains(t, i.Extra, "tier")
	})
}

func TestVerifierIsForConcurrentUse(t *testing.T) {
	t.Parallel()
	v := verifier(t, Options{
		Keys:       allPublic(),
		Algorithms: algorithms,
		Lookup:     func(context.Context, string) (Key, error) { return public(theirs()[ES256]), nil },
		Revoked:    func(context.Context, *Claims) (bool, error) { return false, nil },
	})
	var wg sync.WaitGroup
	for n := range 4 * len(algorithms) {
		wg.Go(func() {
			k := ours()[algorithms[n%len(algorithms)]]
			user := fmt.Sprint("u", n)
			for range 20 {
				token, err := k.Sign(&Claims{UserID: user, Role: "user", ExpiresAt: time.Now().Add(time.Hour)})
				if err == nil {
					var c *Claims
					if c, err = v.Verify(t.Context(), token); err == nil && c.UserID != user {
						err = errors.New(c.UserID)
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := v.Verify(t.Context(), forge(k, header1(theirs()[ES256], nil), payload(nil))); err == nil {
					t.Error("taken")
				}
			}
		})
	}
	wg.Wait()
}
