package galenejwt

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

func TestATokenOfEachAlgorithmIsTaken(t *testing.T) {
	t.Parallel()
	v := verifier(t, Options{})
	for _, a := range algorithms {
		k := ours()[a]
		c := taken(t, v, forge(k, header1(k, nil), payload(nil)))
		require.Equal(t, "ada", c.Subject, a)
		require.Equal(t, galene.Permissions{"present", "message"}, c.Permissions, a)
		require.Equal(t, []string{"https://galene.example.org/group/lab/"}, c.Audience, a)
		require.Equal(t, "portal", c.Issuer, a)
		require.False(t, c.IncludeSubgroups, a)
	}
}

func TestWhatIsSignedIsWhatIsVerified(t *testing.T) {
	t.Parallel()
	v := verifier(t, Options{})
	now := time.Now().Truncate(time.Second)
	want := Claims{
		Subject: "ada", Audience: []string{"https://a.example/group/lab/", "https://b.example/group/x/"},
		Permissions: galene.Permissions{"op", "present"}, IncludeSubgroups: true, Issuer: "portal",
		IssuedAt: now.Add(-time.Minute), NotBefore: now.Add(-time.Second), ExpiresAt: now.Add(time.Hour),
		Extra: galene.Fields{"x": []byte(`{"y":[1]}`)},
	}
	for _, a := range algorithms {
		token, err := ours()[a].Sign(&want)
		require.NoError(t, err)
		require.Equal(t, &want, taken(t, v, token), a)
	}
}

func TestATokenWithoutPermissionsGivesNone(t *testing.T) {
	t.Parallel()
	v, k := verifier(t, Options{}), ours()[HS256]
	for _, permissions := range []string{"", "null", "[]"} {
		c := taken(t, v, forge(k, header1(k, nil), payload(members{"permissions": permissions, "sub": ""})))
		require.Empty(t, c.Permissions)
		require.Empty(t, c.Subject)
	}
	token, err := k.Sign(&Claims{Audience: []string{"/group/lab/"}, ExpiresAt: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	require.Empty(t, taken(t, v, token).Permissions)
}

func TestTheAudienceMustBeTheGroup(t *testing.T) {
	t.Parallel()
	const host = "galene.example.org"
	tests := []struct {
		aud, group string
		subgroups  bool
		host       string
		ok         bool
	}{
		{`"https://galene.example.org/group/lab/"`, "lab", false, "", true},
		{`"https://other.example/group/lab/"`, "lab", false, "", true},
		{`"/group/lab/"`, "lab", false, "", true},
		{`"https://galene.example.org/group/lab"`, "lab", false, "", false},
		{`"https://galene.example.org/group/lab/"`, "lab2", false, "", false},
		{`"https://galene.example.org/group/lab/"`, "la", false, "", false},
		{`"https://galene.example.org/group/LAB/"`, "lab", false, "", false},
		{`"https://galene.example.org/lab/"`, "lab", false, "", false},
		{`"https://galene.example.org/x/group/lab/"`, "lab", false, "", false},
		{`"https://galene.example.org/group/lab/../x/"`, "x", false, "", false},
		{`"https://galene.example.org/group/lab/"`, "lab/one", false, "", false},
		{`"https://galene.example.org/group/lab/one/"`, "lab/one", false, "", true},
		{`"https://galene.example.org/group/a%20b/"`, "a b", false, "", true},
		{`["https://x.example/group/x/","https://y.example/group/lab/"]`, "lab", false, "", true},
		{`["https://x.example/group/x/"]`, "lab", false, "", false},
		{`["https://[/","/group/lab/"]`, "lab", false, "", true},
		{`[]`, "lab", false, "", false},
		{``, "lab", false, "", false},
		{`"lab"`, "lab", false, "", false},

		{`"https://galene.example.org/group/lab/"`, "lab", true, "", true},
		{`"https://galene.example.org/group/lab/"`, "lab/one/two", true, "", true},
		{`"https://galene.example.org/group/lab/one/"`, "lab", true, "", false},
		{`"https://galene.example.org/group/lab"`, "lab/one", true, "", false},
		{`"https://galene.example.org/group/la"`, "lab", true, "", false},
		{`"https://galene.example.org/group/la/"`, "lab", true, "", false},
		{`"https://galene.example.org/group/"`, "lab", true, "", true},
		{`"https://galene.example.org/group/"`, "lab", false, "", false},
		{`"https://galene.example.org/"`, "lab", true, "", false},

		{`"https://galene.example.org/group/lab/"`, "lab", false, host, true},
		{`"https://Galene.Example.ORG/group/lab/"`, "lab", false, host, true},
		{`"https://other.example/group/lab/"`, "lab", false, host, false},
		{`"https://galene.example.org:8443/group/lab/"`, "lab", false, host, false},
		{`"https://galene.example.org:8443/group/lab/"`, "lab", false, host + ":8443", true},
		{`"/group/lab/"`, "lab", false, host, false},
		{`["https://other.example/group/lab/","https://galene.example.org/group/x/"]`, "lab", false, host, false},
	}
	k := ours()[HS256]
	for _, tt := range tests {
		v := verifier(t, Options{Host: tt.host})
		m := members{"aud": tt.aud}
		if tt.subgroups {
			m["include-subgroups"] = "true"
		}
		_, err := v.Verify(forge(k, header1(k, nil), payload(m)), tt.group)
		if tt.ok {
			require.NoError(t, err, "%+v", tt)
			continue
		}
		require.ErrorIs(t, err, ErrAudience, "%+v", tt)
		require.ErrorIs(t, err, galene.ErrNotAuthorised)
	}
}

func TestANameThatIsNoGroupIsNotInAnyAudience(t *testing.T) {
	t.Parallel()
	v, k := verifier(t, Options{}), ours()[HS256]
	for aud, group := range map[string]string{"/group//": "", "/group/../": "..", "/group/a//": "a/", `/group/a\b/`: `a\b`} {
		token := forge(k, header1(k, nil), payload(members{"aud": quote(aud)}))
		_, err := v.Verify(token, group)
		require.ErrorIs(t, err, ErrAudience, group)
	}
}

func TestDatesHaveALeewayOfFiveSeconds(t *testing.T) {
	t.Parallel()
	k := ours()[HS256]
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t, Options{})
		tests := []struct {
			claim  string
			offset time.Duration
			reason error // nil: taken
		}{
			{"exp", -4 * time.Second, nil},
			{"exp", -6 * time.Second, ErrExpired},
			{"nbf", 4 * time.Second, nil},
			{"nbf", 6 * time.Second, ErrNotValidYet},
			{"iat", 4 * time.Second, nil},
			{"iat", 6 * time.Second, errors.New("used before issued")},
		}
		for _, tt := range tests {
			token := forge(k, header1(k, nil), payload(members{tt.claim: seconds(tt.offset)}))
			switch {
			case tt.reason == nil:
				taken(t, v, token)
			case tt.claim == "iat":
				refused(t, v, token, tt.reason.Error())
			default:
				refused(t, v, token, tt.reason)
			}
		}
	})
}

func TestATokenWithoutAnEndIsRefused(t *testing.T) {
	t.Parallel()
	v, k := verifier(t, Options{}), ours()[HS256]
	refused(t, v, forge(k, header1(k, nil), payload(members{"exp": ""})), "exp")
	token, err := k.Sign(&Claims{Audience: []string{"/group/lab/"}})
	require.NoError(t, err)
	refused(t, v, token, "exp")
}

func TestClaimsOfAWrongTypeAreRefused(t *testing.T) {
	t.Parallel()
	v, k := verifier(t, Options{}), ours()[HS256]
	for claim, values := range map[string][]string{
		"exp":               {`"4102444800"`, "null", "true", "{}", "-1", "253370764800", "1e300"},
		"nbf":               {`"0"`, "null", "-1"},
		"iat":               {`"0"`, "null", "[]"},
		"sub":               {"1", "null", "[]"},
		"aud":               {"1", "null", "[1]", "[null]", "{}"},
		"permissions":       {`"op"`, "[1]", "[null]", `{"op":true}`, "true"},
		"include-subgroups": {`"true"`, "1", "null"},
		"iss":               {"1", "null"},
	} {
		for _, value := range values {
			refused(t, v, forge(k, header1(k, nil), payload(members{claim: value})), claim)
		}
	}
}

func TestTheSignatureMustBeOfAKnownKey(t *testing.T) {
	t.Parallel()
	v := verifier(t, Options{})
	for _, a := range algorithms {
		k, other := ours()[a], theirs()[a]
		refused(t, v, forge(other, header1(other, nil), payload(nil)), ErrUnknownKey)
		refused(t, v, forge(other, header1(k, nil), payload(nil)), ErrSignature)
		refused(t, v, forge(other, header1(other, members{"kid": ""}), payload(nil)), ErrSignature)

		token := forge(k, header1(k, nil), payload(nil))
		refused(t, v, token[:strings.LastIndexByte(token, '.')+1], ErrSignature)
		dot := strings.IndexByte(token, '.')
		changed := token[:dot+1] + b64(payload(members{"permissions": `["op"]`})) + token[strings.LastIndexByte(token, '.'):]
		refused(t, v, changed, ErrSignature)
	}
}

func TestATokenCannotChooseItsAlgorithm(t *testing.T) {
	t.Parallel()
	v := verifier(t, Options{})
	for _, none := range []string{"none", "None", "NONE", "", "HS256 ", "hs256"} {
		refused(t, v, b64(`{"alg":`+quote(none)+`}`)+"."+b64(payload(nil))+".", nil)
	}
	for _, a := range algorithms {
		for _, b := range algorithms {
			if a == b {
				continue
			}
			// Signed by the key of a, as which it says that of b.
			k := ours()[a]
			refused(t, v, forge(k, header1(k, members{"alg": quote(string(b))}), payload(nil)), ErrUnknownKey)
			refused(t, v, forge(k, header1(k, members{"alg": quote(string(b)), "kid": ""}), payload(nil)), ErrSignature)
		}
	}
	// A server that has only public keys does not take a secret made of one.
	only := verifier(t, Options{Keys: []Key{ours()[RS256].Public(), ours()[ES256].Public()}})
	public, err := ours()[RS256].Public().JWK()
	require.NoError(t, err)
	mac := Key{Algorithm: HS256, Key: []byte(public)}
	refused(t, only, forge(mac, `{"alg":"HS256"}`, payload(nil)), ErrSignature)
	refused(t, only, forge(mac, `{"alg":"HS256","kid":"rs256-ours"}`, payload(nil)), ErrSignature)
}

func TestKeysAreFoundByIDAndOtherwiseTriedInTurn(t *testing.T) {
	t.Parallel()
	a, b := ours()[HS256], theirs()[HS256]
	nameless := Key{Algorithm: HS256, Key: b.Key}
	both := verifier(t, Options{Keys: []Key{a, b}})
	for _, k := range []Key{a, b} {
		taken(t, both, forge(k, header1(k, nil), payload(nil)))
		taken(t, both, forge(k, header1(k, members{"kid": ""}), payload(nil)))
	}
	refused(t, both, forge(a, header1(b, nil), payload(nil)), ErrSignature)

	v := verifier(t, Options{Keys: []Key{a, nameless}})
	taken(t, v, forge(nameless, `{"alg":"HS256"}`, payload(nil)))
	refused(t, v, forge(b, header1(b, nil), payload(nil)), ErrUnknownKey)
	same := verifier(t, Options{Keys: []Key{a, {ID: a.ID, Algorithm: HS256, Key: b.Key}}})
	taken(t, same, forge(a, header1(a, nil), payload(nil)))
	taken(t, same, forge(b, header1(a, nil), payload(nil)))
}

func TestWhatIsNotAStrictTokenIsRefused(t *testing.T) {
	t.Parallel()
	v, k := verifier(t, Options{}), ours()[HS256]
	good := forge(k, header1(k, nil), payload(nil))
	taken(t, v, good)
	for _, token := range []string{
		"", ".", "..", "x", "a.b.c", good + ".", good + "=", " " + good, good + "\n",
		strings.Replace(good, ".", "\n.", 1), strings.Replace(good, ".", ".\r", 1), "Bearer " + good,
		forge(k, `null`, payload(nil)),
		forge(k, `[]`, payload(nil)),
		forge(k, `{"alg":"HS256","alg":"HS256"}`, payload(nil)),
		forge(k, `{"alg":"HS256","kid":null}`, payload(nil)),
		forge(k, `{"ALG":"HS256"}`, payload(nil)),
		forge(k, header1(k, members{"crit": `["exp"]`}), payload(nil)),
		forge(k, header1(k, nil), `null`),
		forge(k, header1(k, nil), `[]`),
		forge(k, header1(k, nil), payload(nil)+"{}"),
		forge(k, header1(k, nil), `{"sub":"ada",`+payload(nil)[1:]),
		forge(k, header1(k, nil), strings.Replace(payload(nil), `"aud"`, `"AUD"`, 1)),
		forge(k, header1(k, nil), payload(members{"x": strings.Repeat("[", 64) + strings.Repeat("]", 64)})),
	} {
		refused(t, v, token, nil)
	}
}

func TestALongTokenIsNotEvenParsed(t *testing.T) {
	t.Parallel()
	k := ours()[HS256]
	token := forge(k, header1(k, nil), payload(nil))
	taken(t, verifier(t, Options{MaxTokenBytes: len(token)}), token)
	refused(t, verifier(t, Options{MaxTokenBytes: len(token) - 1}), token, errTooLong)
	long := forge(k, header1(k, nil), payload(members{"x": quote(strings.Repeat("x", DefaultMaxTokenBytes))}))
	refused(t, verifier(t, Options{}), long, errTooLong)
	refused(t, verifier(t, Options{}), strings.Repeat("x", DefaultMaxTokenBytes+1), errTooLong)
}

func TestARefusalHoldsNothingOfTheToken(t *testing.T) {
	t.Parallel()
	v, k := verifier(t, Options{}), theirs()[HS256]
	const secret = "topsecret"
	for _, token := range []string{
		forge(k, header1(k, nil), payload(members{"sub": quote(secret)})),
		forge(ours()[HS256], header1(ours()[HS256], nil), payload(members{"aud": quote(secret)})),
		forge(ours()[HS256], header1(ours()[HS256], nil), payload(members{"exp": quote(secret)})),
		forge(ours()[HS256], header1(ours()[HS256], nil), `{"sub":"`+secret),
		secret, secret + "." + secret + "." + secret,
	} {
		_, err := v.Verify(token, "lab")
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
		refusal, ok := errors.AsType[*galene.Error](err)
		require.True(t, ok)
		require.Equal(t, galene.ErrNotAuthorised, refusal)
	}
}

func TestAVerifierNeedsSoundKeys(t *testing.T) {
	t.Parallel()
	_, err := New(nil)
	require.Error(t, err)
	_, err = New(&Options{Keys: []Key{{Algorithm: HS256, Key: make([]byte, 31)}}})
	require.Error(t, err)
	_, err = New(&Options{Keys: []Key{ours()[HS256], {Algorithm: ES256, Key: ours()[RS256].Key}}})
	require.Error(t, err)
}
