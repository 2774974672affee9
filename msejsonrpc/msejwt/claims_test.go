package msejwt

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jwtclaims"
	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

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
