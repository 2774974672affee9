package msejwt

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// FuzzAuthenticate checks that no token is taken but those that were signed, whole.
func FuzzAuthenticate(f *testing.F) {
	v := verifier(f, Options{MaxTokenBytes: 1 << 20})
	signed := make(map[string]bool)
	for _, a := range algorithms {
		k := ours()[a]
		for _, token := range []string{
			forge(k, header1(k, nil), payload(members{"exp": "4102444800"})),
			forge(k, `{"alg":"`+string(a)+`"}`, payload(members{"exp": "4102444800", "aud": `["a","b"]`, "x": `{"y":[1]}`})),
		} {
			taken(f, v, token)
			signed[token] = true
			f.Add(token)
			f.Add(token[:strings.LastIndexByte(token, '.')+1])
			f.Add(token + ".")
		}
		f.Add(forge(theirs()[a], header1(k, nil), payload(nil)))
		f.Add(forge(k, header1(k, members{"crit": `["exp"]`}), payload(nil)))
	}
	f.Add(b64(`{"alg":"none"}`) + "." + b64(payload(nil)) + ".")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		i, err := v.Authenticate(t.Context(), nil, &msejsonrpc.Auth{Token: token})
		if signed[token] {
			require.NoError(t, err)
			return
		}
		require.Nil(t, i)
		require.IsType(t, new(RefusedError), err)
		require.ErrorIs(t, err, msejsonrpc.ErrAuthorizationFailed)
	})
}

// FuzzClaims checks what a token with a good signature says: whatever is taken has a
// user, a role and an end that a server understands, and can be signed again.
func FuzzClaims(f *testing.F) {
	k := ours()[HS256]
	v := verifier(f, Options{MaxTokenBytes: 1 << 20})
	for _, m := range []members{
		nil, {"exp": "253370764799"}, {"exp": "253370764800"}, {"exp": "1e300"}, {"exp": "4102444800.5"}, {"exp": "null"},
		{"aud": `["a"]`}, {"aud": "[]"}, {"userId": "", "sub": `"s"`}, {"x": `{"a":[]}`},
		{"nbf": "0", "iat": "-0"}, {"role": "null"},
	} {
		f.Add(header1(k, nil), payload(m))
	}
	f.Add(`{"alg":"HS256","alg":"none"}`, `{}`)
	f.Add(`{"alg":"HS256","kid":null}`, `null`)
	f.Add(`null`, `[]`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		token := forge(k, header, claims)
		i, err := v.Authenticate(t.Context(), nil, &msejsonrpc.Auth{Token: token})
		if err != nil {
			require.IsType(t, new(RefusedError), err)
			return
		}
		require.NotEmpty(t, i.UserID)
		require.Contains(t, []msejsonrpc.Role{"user", "admin", "super"}, i.Role)
		validTo, ok := i.ValidTo.Time()
		require.True(t, ok)
		require.True(t, validTo.After(time.Now().Add(-time.Second)))
		c, err := v.Verify(t.Context(), token)
		require.NoError(t, err)
		again, err := k.Sign(c)
		require.NoError(t, err)
		same, err := v.Verify(t.Context(), again)
		require.NoError(t, err)
		if len(c.Audience) == 0 {
			c.Audience, same.Audience = nil, nil
		}
		for name := range c.Extra { // the library compacts and escapes them
			require.Contains(t, same.Extra, name)
		}
		c.Extra, same.Extra = nil, nil
		require.Equal(t, c, same)
	})
}
