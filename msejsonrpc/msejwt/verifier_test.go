package msejwt

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
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

	"github.com/stretchr/testify/require"

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
