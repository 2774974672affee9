package msejwt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// verifies reports whether a signature is that of a key, without the library.
func verifies(k Key, text string, sig []byte) bool {
	digest := sha256.Sum256([]byte(text))
	switch key := public(k).Key.(type) {
	case []byte:
		return bytes.Equal(signature(k, text), sig)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig) == nil
	case *ecdsa.PublicKey:
		return len(sig) == 64 &&
			ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case ed25519.PublicKey:
		return ed25519.Verify(key, []byte(text), sig)
	}
	return false
}

func TestSignedTokensSayWhatTheClaimsSay(t *testing.T) {
	t.Parallel()
	eachAlgorithm(t, func(t *testing.T, k Key) {
		now := time.Now()
		for _, tt := range []struct {
			claims *Claims
			text   string
		}{
			{&Claims{}, `{}`},
			{
				&Claims{UserID: "u1", Audience: []string{"media"}, ExpiresAt: now.Add(time.Second)},
				`{"userId":"u1","aud":"media","exp":946684801}`,
			},
			{
				&Claims{
					Domain: "example.org", Agent: "mobile", Role: "admin", UserID: "u1", RoomID: "r\"<1>",
					ID: "t1", Issuer: "issuer", Subject: "s1", Audience: []string{"a", "b"},
					IssuedAt: now, NotBefore: now, ExpiresAt: now.Add(time.Minute),
					Extra: msejsonrpc.Fields{"tier": json.RawMessage(`[1]`)},
				},
				`{"domain":"example.org","agent":"mobile","role":"admin","userId":"u1","roomId":"r\"<1>",
				"jti":"t1","iss":"issuer","sub":"s1","aud":["a","b"],"iat":946684800,"nbf":946684800,"exp":946684860,"tier":[1]}`,
			},
		} {
			for _, id := range []string{k.ID, ""} {
				k := k
				k.ID = id
				token, err := k.Sign(tt.claims)
				require.NoError(t, err)
				parts := strings.Split(token, ".")
				require.Len(t, parts, 3)
				header, err := base64.RawURLEncoding.DecodeString(parts[0])
				require.NoError(t, err)
				want := `{"alg":"` + string(k.Algorithm) + `","typ":"JWT","kid":"` + id + `"}`
				require.JSONEq(t, strings.Replace(want, `,"kid":""`, "", 1), string(header))
				text, err := base64.RawURLEncoding.DecodeString(parts[1])
				require.NoError(t, err)
				require.JSONEq(t, tt.text, string(text))
				sig, err := base64.RawURLEncoding.DecodeString(parts[2])
				require.NoError(t, err)
				require.True(t, verifies(k, parts[0]+"."+parts[1], sig))
			}
			if tt.claims.UserID != "" {
				v := verifier(t, Options{Roles: []msejsonrpc.Role{"", "admin"}})
				token, err := k.Sign(tt.claims)
				require.NoError(t, err)
				got, err := v.Verify(t.Context(), token)
				require.NoError(t, err)
				for _, date := range []*time.Time{&got.IssuedAt, &got.NotBefore, &got.ExpiresAt} {
					*date = date.UTC()
				}
				want := *tt.claims
				for _, date := range []*time.Time{&want.IssuedAt, &want.NotBefore, &want.ExpiresAt} {
					*date = date.Round(0).UTC()
				}
				require.Equal(t, &want, got)
			}
		}
	})
}

func TestWhatCannotBeSignedIsNot(t *testing.T) {
	t.Parallel()
	k := ours()[HS256]
	for _, a := range algorithms {
		if a != HS256 {
			_, err := public(ours()[a]).Sign(&Claims{})
			require.ErrorIs(t, err, errPublicHalf)
		}
	}
	for _, bad := range []Key{
		{}, {Algorithm: "none"}, {Algorithm: HS256, Key: []byte("short")}, {Algorithm: RS256, Key: k.Key},
	} {
		_, err := bad.Sign(&Claims{})
		require.ErrorContains(t, err, "msejwt: sign: ")
	}
	for name, c := range map[string]*Claims{
		"a field twice":      {Extra: msejsonrpc.Fields{"userId": json.RawMessage(`"u1"`)}},
		"a registered claim": {Extra: msejsonrpc.Fields{"exp": json.RawMessage(`1`)}},
		"no JSON":            {Extra: msejsonrpc.Fields{"x": json.RawMessage(`{`)}},
		"a duplicate":        {Extra: msejsonrpc.Fields{"x": json.RawMessage(`{"a":1,"a":2}`)}},
		"no UTF-8":           {Domain: "\xff"},
		"before 1970":        {ExpiresAt: time.Unix(-1, 0)},
		"after 9998":         {ExpiresAt: time.Unix(253_370_764_800, 0)},
	} {
		_, err := k.Sign(c)
		require.Error(t, err, name)
	}
}

func TestKeysAreReadFromPEM(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		encode := func(typ string, der []byte, err error) []byte {
			require.NoError(t, err)
			return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
		}
		onRSA, onP256 := ours()[RS256].Key.(*rsa.PrivateKey), ours()[ES256].Key.(*ecdsa.PrivateKey)
		pkcs8 := func(key any) []byte { b, err := x509.MarshalPKCS8PrivateKey(key); return encode("PRIVATE KEY", b, err) }
		pkix := func(key any) []byte { b, err := x509.MarshalPKIXPublicKey(key); return encode("PUBLIC KEY", b, err) }
		sec1, err := x509.MarshalECPrivateKey(onP256)
		texts := map[Algorithm]map[string][]byte{
			RS256: {
				"PKCS #8": pkcs8(onRSA), "PKIX": pkix(&onRSA.PublicKey),
				"PKCS #1":        encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(onRSA), nil),
				"PKCS #1 public": encode("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&onRSA.PublicKey), nil),
			},
			ES256: {"PKCS #8": pkcs8(onP256), "PKIX": pkix(&onP256.PublicKey), "SEC 1": encode("EC PRIVATE KEY", sec1, err)},
			EdDSA: {"PKCS #8": pkcs8(ours()[EdDSA].Key), "PKIX": pkix(public(ours()[EdDSA]).Key)},
		}
		for of, forms := range texts {
			for form, text := range forms {
				k, err := ParseKey("k", of, text)
				require.NoError(t, err, "%s %s", of, form)
				token := forge(ours()[of], `{"alg":"`+string(of)+`"}`, payload(nil))
				taken(t, verifier(t, Options{Keys: []Key{k}}), token)
				_, err = k.Sign(&Claims{})
				require.Equal(t, strings.HasPrefix(form, "PKIX") || strings.HasSuffix(form, "public"), err != nil, form)
				for _, a := range algorithms {
					if a != of {
						_, err := ParseKey("k", a, text)
						require.ErrorContains(t, err, "msejwt: "+string(a)+` key "k": `)
					}
				}
			}
		}
		for name, text := range map[string][]byte{
			"nothing": nil, "no PEM": []byte("x"), "another type": encode("CERTIFICATE", nil, nil),
			"no DER": encode("PUBLIC KEY", []byte("x"), nil), "no private DER": encode("PRIVATE KEY", []byte("x"), nil),
		} {
			k, err := ParseKey("k", RS256, text)
			require.Error(t, err, name)
			require.Zero(t, k)
		}
	})
}

func TestKeysAreNotShown(t *testing.T) {
	t.Parallel()
	k := Key{ID: "k1", Algorithm: HS256, Key: []byte("correct horse battery staple, and more")}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "key", k)
	}
	text := fmt.Sprintf("%v %+v %#v %s %q %v %+v %#v", k, k, k, k, k, []Key{k}, &k, struct{ K Key }{k}) + log.String()
	require.Contains(t, text, `HS256 key "k1"`)
	require.NotContains(t, text, "horse")
	require.NotContains(t, text, fmt.Sprint([]byte("corr"))[1:10])
	require.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte("correct horse"))[:12])
}
