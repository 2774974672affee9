package galenegroup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

func parsePassword(t testing.TB, text string) Password {
	t.Helper()
	var p Password
	require.NoError(t, json.Unmarshal([]byte(text), &p), text)
	return p
}

func TestANewPasswordMatchesItselfAlone(t *testing.T) {
	t.Parallel()
	for _, typ := range []PasswordType{PasswordPlain, PasswordPBKDF2, PasswordBcrypt} {
		p, err := newPassword(typ, "sesame", 1000, bcrypt.MinCost)
		require.NoError(t, err)
		require.NoError(t, p.check())
		require.True(t, p.Matches("sesame"), typ)
		require.False(t, p.Matches("sesamE"), typ)
		require.False(t, p.Matches(""), typ)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		require.Equal(t, p, parsePassword(t, string(text)))
		require.Equal(t, typ == PasswordPlain, strings.Contains(string(text), "sesame"))
	}
	p, err := NewPassword(PasswordWildcard, "sesame")
	require.NoError(t, err)
	require.True(t, p.Matches("anything"))
	p, err = NewPassword(PasswordNone, "sesame")
	require.NoError(t, err)
	require.False(t, p.Matches("sesame"))
	require.False(t, p.Matches(""))
	_, err = NewPassword("md5", "sesame")
	require.Error(t, err)
	_, err = NewPassword(PasswordBcrypt, strings.Repeat("x", 73))
	require.Error(t, err)
}

func TestTwoHashesOfAPasswordDiffer(t *testing.T) {
	t.Parallel()
	a, err := newPassword(PasswordPBKDF2, "sesame", 1, 0)
	require.NoError(t, err)
	b, err := newPassword(PasswordPBKDF2, "sesame", 1, 0)
	require.NoError(t, err)
	require.NotEqual(t, a.Key, b.Key)
	require.NotEqual(t, a.Salt, b.Salt)
}

// The hashes were made by other programs: Python's hashlib, and John the Ripper.
func TestHashesOfOtherProgramsMatch(t *testing.T) {
	t.Parallel()
	for text, password := range map[string]string{
		`{"type":"pbkdf2","hash":"sha-256","iterations":1000,"salt":"000102030405060708090a0b0c0d0e0f",
			"key":"139d206cfa116489117fc5112e7eff635709e144bfe169644e9f74dadf17d725"}`: "bpw",
		`{"type":"bcrypt","key":"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}`: "U*U",
		`{"type":"plain","key":"päss"}`: "päss",
		`"päss"`:                        "päss",
		`""`:                            "",
		`{"type":"wildcard"}`:           "anything",
	} {
		p := parsePassword(t, text)
		require.True(t, p.Matches(password), text)
		require.Equal(t, p.Type == PasswordWildcard, p.Matches(password+"x"), text)
	}
}

func TestPasswordsThatCouldNeverMatchOrAlwaysWouldAreRefused(t *testing.T) {
	t.Parallel()
	const key, salt = `"key":"0011223344556677"`, `"salt":"00"`
	require.NoError(t, json.Unmarshal([]byte(`{"type":"pbkdf2","hash":"sha-256","iterations":1,`+key+`,`+salt+`}`), new(Password)))
	for _, text := range []string{
		`1`, `true`, `[]`, `null`,
		`{"type":"md5","key":"x"}`, `{"type":"Plain","key":"x"}`, `{"key":"x"}`, `{"type":"plain"}`, `{"type":"plain","key":null}`,
		`{"type":"plain","key":1}`, `{"type":"plain","key":"x","salt":"00"}`, `{"type":"plain","key":"x","Salt":"00"}`,
		`{"type":"plain","key":"x","key":"y"}`, `{"type":"plain","key":"x","more":1}`,
		`{"type":"wildcard","key":"x"}`, `{"type":"wildcard","iterations":1}`,
		`{"type":"bcrypt"}`, `{"type":"bcrypt","key":""}`, `{"type":"bcrypt","key":"$2a$05$short"}`,
		`{"type":"bcrypt","key":"$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}`,
		`{"type":"bcrypt","key":"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW","salt":"00"}`,
		`{"type":"pbkdf2","hash":"sha-256","iterations":1,"key":"",` + salt + `}`,
		`{"type":"pbkdf2","hash":"sha-256","iterations":1,"key":"00",` + salt + `}`,
		`{"type":"pbkdf2","hash":"sha-256","iterations":1,"key":"` + strings.Repeat("00", 65) + `",` + salt + `}`,
		`{"type":"pbkdf2","hash":"sha-256","iterations":1,"key":"xy11223344556677",` + salt + `}`,
		`{"type":"pbkdf2","hash":"sha-256","iterations":1,` + key + `,"salt":"0"}`,
		`{"type":"pbkdf2","hash":"sha-256","iterations":1,` + key + `,"salt":"` + strings.Repeat("00", 1025) + `"}`,
		`{"type":"pbkdf2","hash":"sha-1","iterations":1,` + key + `,` + salt + `}`,
		`{"type":"pbkdf2","iterations":1,` + key + `,` + salt + `}`,
		`{"type":"pbkdf2","hash":"sha-256",` + key + `,` + salt + `}`,
		`{"type":"pbkdf2","hash":"sha-256","iterations":-1,` + key + `,` + salt + `}`,
		`{"type":"pbkdf2","hash":"sha-256","iterations":10000001,` + key + `,` + salt + `}`,
	} {
		var p Password
		require.Error(t, p.UnmarshalJSON([]byte(text)), text)
		require.Zero(t, p, text)
	}
}

func TestAnUnsoundPasswordMatchesNothing(t *testing.T) {
	t.Parallel()
	for _, p := range []Password{
		{}, {Type: "md5", Key: "x"}, {Type: PasswordPBKDF2}, {Type: PasswordBcrypt}, {Type: PasswordBcrypt, Key: "x"},
		{Type: PasswordPBKDF2, Hash: "sha-256", Iterations: 1}, // an empty key
		{Type: PasswordPBKDF2, Hash: "sha-256", Iterations: -1, Key: "0011223344556677"},
	} {
		require.False(t, p.Matches(""))
		require.False(t, p.Matches("x"))
		if p.Type != PasswordNone {
			_, err := json.Marshal(p)
			require.Error(t, err)
		}
	}
}

func TestTextsOfAPasswordHideIt(t *testing.T) {
	t.Parallel()
	p := Password{Type: PasswordPlain, Key: "s3cret"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "password", p)
	for _, text := range []string{
		fmt.Sprint(p), fmt.Sprintf("%+v", p), fmt.Sprintf("%#v", p), fmt.Sprintf("%v", User{Password: p}), log.String(),
	} {
		require.NotContains(t, text, "s3cret")
		require.Contains(t, text, "plain")
	}
	require.Equal(t, "no password", Password{}.String())
}
