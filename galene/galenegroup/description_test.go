package galenegroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenejwt"
)

func files(t testing.TB) map[string][]byte {
	t.Helper()
	texts := make(map[string][]byte)
	for _, pattern := range []string{"*.json", "*/*.json"} {
		names, err := filepath.Glob(filepath.Join(groupsDir, pattern))
		require.NoError(t, err)
		for _, name := range names {
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			texts[name] = data
		}
	}
	require.Greater(t, len(texts), 5)
	return texts
}

func TestADescriptionIsWrittenAsItIsRead(t *testing.T) {
	t.Parallel()
	for name, data := range files(t) {
		d, err := ParseDescription(data)
		require.NoError(t, err, name)
		text, err := d.MarshalJSON()
		require.NoError(t, err, name)
		same, err := ParseDescription(text)
		require.NoError(t, err, name)
		require.Equal(t, d, same, name)
		if !strings.HasSuffix(name, "old.json") && !strings.HasSuffix(name, "lab.json") { // whose members have older forms
			require.JSONEq(t, string(data), string(text), name)
		}
	}
}

func TestADescriptionThatAProgramMakesIsOneOfAFile(t *testing.T) {
	t.Parallel()
	k, err := galenejwt.NewKey(galenejwt.ES256, "one")
	require.NoError(t, err)
	d := &Description{
		DisplayName: "Laboratory", MaxHistoryAge: time.Hour, NotBefore: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		Users: map[string]User{
			"ada": {Password: Password{Type: PasswordPlain, Key: "apw"}, Permissions: Permissions{Set: "op"}},
			"bob": {Permissions: Permissions{List: galene.Permissions{}}},
		},
		WildcardUser: &User{Password: Password{Type: PasswordWildcard}},
		AuthKeys:     []galenejwt.Key{k},
	}
	text, err := d.MarshalJSON()
	require.NoError(t, err)
	require.NotContains(t, string(text), `"d"`, "the private half is not for the file")
	d.AuthKeys[0] = k.Public()
	same, err := ParseDescription(text)
	require.NoError(t, err)
	require.Equal(t, d, same)

	for _, bad := range []*Description{
		{DisplayName: "\xff"},
		{Users: map[string]User{"a": {Permissions: Permissions{Set: "king"}}}},
		{Users: map[string]User{"a": {Permissions: Permissions{Set: "op", List: galene.Permissions{"op"}}}}},
		{WildcardUser: &User{Password: Password{Type: "md5"}}},
		{AuthKeys: []galenejwt.Key{{}}},
	} {
		_, err := bad.MarshalJSON()
		require.Error(t, err)
	}
}

func TestWhatIsWrongWithAFileIsNamed(t *testing.T) {
	t.Parallel()
	for text, reason := range map[string]string{
		`{`:                                      "not JSON",
		`[]`:                                     "not a JSON object",
		`null`:                                   "not a JSON object",
		`{} {}`:                                  "not JSON",
		"{\"comment\":\"\xff\"}":                 "invalid UTF-8",
		`{"public":1}`:                           "public: wrong JSON type",
		`{"public":true,"public":0}`:             "duplicate member name",
		`{"Public":true}`:                        `unknown member "Public"`,
		`{"colour":"red"}`:                       `unknown member "colour"`,
		`{"max-clients":"2"}`:                    "max-clients: wrong JSON type",
		`{"max-history-age":1e18}`:               "max-history-age",
		`{"expires":"tomorrow"}`:                 "expires",
		`{"expires":1}`:                          "expires",
		`{"users":[]}`:                           "users: wrong JSON type",
		`{"users":{"a":"x"}}`:                    "users.a: ",
		`{"users":{"a":{"pass":1}}}`:             `users["a"]: unknown member "pass"`,
		`{"wildcard-user":{"x":1}}`:              `wildcard-user: unknown member "x"`,
		`{"other":[{"user":"a"}]}`:               `other[0]: unknown member "user"`,
		`{"op":[{"username":1}]}`:                "op[0].username: wrong JSON type",
		`{"codecs":["opus",1]}`:                  "codecs[1]: wrong JSON type",
		`{"authKeys":[{"kty":"oct"}]}`:           "authKeys[0]: galenejwt: key: unknown algorithm",
		`{"users":{"a":{"permissions":"king"}}}`: "users.a.permissions: unknown permission",
		`{"users":{"a":{"permissions":""}}}`:     "users.a.permissions: unknown permission",
		`{"users":{"a":{"permissions":{"op":true}}}}`:                  "users.a.permissions: wrong JSON type",
		`{"users":{"a":{"permissions":[null]}}}`:                       "users.a.permissions: wrong JSON type",
		`{"wildcard-user":{"password":{"type":"pbkdf2"}}}`:             "wildcard-user.password: bad key",
		`{"wildcard-user":{"password":{"type":"md5","key":"s3cret"}}}`: "unknown type",
	} {
		d, err := ParseDescription([]byte(text))
		require.ErrorContains(t, err, reason, text)
		require.ErrorContains(t, err, "galenegroup: description: ")
		require.NotContains(t, err.Error(), "s3cret")
		require.Nil(t, d)
	}
}

func TestEveryNamedSetOfPermissionsIsRead(t *testing.T) {
	t.Parallel()
	const set = `{"allow-recording":%,"unrestricted-tokens":%,` +
		`"wildcard-user":{"password":{"type":"wildcard"},"permissions":"`
	for name, want := range map[string][2]galene.Permissions{
		"op": {
			{"op", "present", "message", "caption", "token"}, {"record", "op", "present", "message", "caption", "token"},
		},
		"present": {{"present", "message"}, {"token", "present", "message"}},
		"message": {{"message"}, {"message"}},
		"observe": {{}, {}},
		"caption": {{"caption"}, {"caption"}},
		"admin":   {{"admin"}, {"admin"}},
	} {
		for i, allowed := range []string{"false", "true"} {
			s := New(fstest.MapFS{"g.json": {Data: []byte(strings.ReplaceAll(set, "%", allowed) + name + `"}}`)}}, nil)
			grant, err := join(t, s, "g", "ada", "")
			require.NoError(t, err, name)
			require.Equal(t, want[i], grant.Permissions, name)
		}
	}
}

// FuzzParseDescription checks that what is read as a description can be written, is read
// the same, and makes a group.
func FuzzParseDescription(f *testing.F) {
	for _, data := range files(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDescription(data)
		if err != nil {
			require.Nil(t, d)
			return
		}
		text, err := d.MarshalJSON()
		require.NoError(t, err)
		same, err := ParseDescription(text)
		require.NoError(t, err)
		again, err := same.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, string(text), string(again))
		g := d.group("g", true)
		require.False(t, g.Public)
		require.Len(t, g.Users, len(d.Users))
		for name, u := range d.Users {
			require.Contains(t, g.Users, name)
			require.True(t, u.Permissions.Set == "" || u.Permissions.in(g) != nil)
		}
	})
}
