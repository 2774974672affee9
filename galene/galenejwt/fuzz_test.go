package galenejwt

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

// FuzzVerify checks that no token is taken but those that were signed, whole.
func FuzzVerify(f *testing.F) {
	v := verifier(f, Options{MaxTokenBytes: 1 << 20})
	signed := make(map[string]bool)
	for _, a := range algorithms {
		k := ours()[a]
		for _, token := range []string{
			forge(k, header1(k, nil), payload(members{"exp": "4102444800"})),
			forge(k, `{"alg":"`+string(a)+`"}`, payload(members{"exp": "4102444800", "aud": `["a","/group/lab/"]`, "x": `{"y":[1]}`})),
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
		c, err := v.Verify(token, "lab")
		if signed[token] {
			require.NoError(t, err)
			return
		}
		require.Nil(t, c)
		require.IsType(t, new(RefusedError), err)
		require.ErrorIs(t, err, galene.ErrNotAuthorised)
	})
}

// FuzzClaims checks what a token with a good signature says: whatever is taken is for the
// group, ends, and can be signed again.
func FuzzClaims(f *testing.F) {
	k := ours()[HS256]
	v := verifier(f, Options{MaxTokenBytes: 1 << 20})
	for _, m := range []members{
		nil, {"exp": "253370764799"}, {"exp": "253370764800"}, {"exp": "1e300"}, {"exp": "4102444800.5"}, {"exp": "null"},
		{"aud": `["/group/lab/"]`}, {"aud": "[]"}, {"aud": `"/group/"`, "include-subgroups": "true"}, {"x": `{"a":[]}`},
		{"nbf": "0", "iat": "-0"}, {"permissions": "null"},
	} {
		f.Add(header1(k, nil), payload(m))
	}
	f.Add(`{"alg":"HS256","alg":"none"}`, `{}`)
	f.Add(`{"alg":"HS256","kid":null}`, `null`)
	f.Add(`null`, `[]`)
	f.Fuzz(func(t *testing.T, header, claims string) {
		c, err := v.Verify(forge(k, header, claims), "lab")
		if err != nil {
			require.IsType(t, new(RefusedError), err)
			return
		}
		require.NotEmpty(t, c.Audience)
		require.True(t, c.ExpiresAt.After(time.Now().Add(-Leeway-time.Second)))
		again, err := k.Sign(c)
		require.NoError(t, err)
		same, err := v.Verify(again, "lab")
		require.NoError(t, err)
		for name := range c.Extra { // the library compacts and escapes them
			require.Contains(t, same.Extra, name)
		}
		c.Extra, same.Extra = nil, nil
		if len(c.Permissions) == 0 {
			c.Permissions, same.Permissions = nil, nil
		}
		require.Equal(t, c, same)
	})
}

// FuzzParseKey checks that whatever is read as a key is written and read the same.
func FuzzParseKey(f *testing.F) {
	for _, a := range algorithms {
		for _, k := range []Key{ours()[a], ours()[a].Public()} {
			text, err := k.JWK()
			require.NoError(f, err)
			f.Add([]byte(text))
		}
	}
	f.Add([]byte(rfc7515))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseKey(text)
		if err != nil {
			require.Zero(t, k)
			return
		}
		written, err := k.JWK()
		require.NoError(t, err)
		same, err := ParseKey(written)
		require.NoError(t, err)
		again, err := same.JWK()
		require.NoError(t, err)
		require.Equal(t, string(written), string(again))
	})
}
