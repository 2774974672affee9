package msejwt

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
)

// BenchmarkAuthenticate measures a token that is taken, and one whose signature is wrong.
func BenchmarkAuthenticate(b *testing.B) {
	v := verifier(b, Options{Issuer: "issuer", Audience: "media"})
	for _, a := range algorithms {
		k := ours()[a]
		token := forge(k, header1(k, nil), payload(members{"exp": seconds(time.Hour)}))
		wrong := forge(theirs()[a], header1(k, nil), payload(nil))
		b.Run(string(a)+"/taken", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := v.Authenticate(b.Context(), nil, &msejsonrpc.Auth{Token: token})
				require.NoError(b, err)
			}
		})
		b.Run(string(a)+"/refused", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := v.Authenticate(b.Context(), nil, &msejsonrpc.Auth{Token: wrong})
				require.Error(b, err)
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	c := &Claims{
		Domain: "example.org", Agent: "web", Role: "user", UserID: "u1", RoomID: "r1",
		Issuer: "issuer", Audience: []string{"media"}, ExpiresAt: time.Now().Add(time.Hour),
	}
	for _, a := range algorithms {
		k := ours()[a]
		b.Run(string(a), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := k.Sign(c)
				require.NoError(b, err)
			}
		})
	}
}
