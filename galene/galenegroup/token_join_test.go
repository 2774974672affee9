package galenegroup

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
	"github.com/rtcsignal/rtcsignal/galene/galenejwt"
)

// signer is the private half of the first key of the group "signed".
var signer = galenejwt.Key{ID: "one", Algorithm: galenejwt.HS256, Key: make([]byte, 32)}

func sign(t testing.TB, k galenejwt.Key, c galenejwt.Claims) string {
	t.Helper()
	if c.Audience == nil {
		c.Audience = []string{"https://galene.example.org/group/signed/"}
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = time.Now().Add(time.Minute)
	}
	token, err := k.Sign(&c)
	require.NoError(t, err)
	return token
}

func TestATokenThatAKeyOfTheGroupSignedLeadsIn(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	present := galene.Permissions{"present"}
	presenter := func(username string) *galene.Grant { return &galene.Grant{Username: username, Permissions: present} }
	tests := []struct {
		name     string
		claims   galenejwt.Claims
		username *string
		want     *galene.Grant
		err      error
	}{
		{"names a user", galenejwt.Claims{Subject: "zoe", Permissions: present}, nil, presenter("zoe"), nil},
		{"overrides the client", galenejwt.Claims{Subject: "zoe"}, text("yan"), &galene.Grant{Username: "zoe"}, nil},
		{"may name a listed user", galenejwt.Claims{Subject: "ada"}, text("ada"), &galene.Grant{Username: "ada"}, nil},
		{"names nobody", galenejwt.Claims{Permissions: present}, text("yan"), presenter("yan"), nil},
		{"names nobody, nor does the client", galenejwt.Claims{}, nil, &galene.Grant{}, nil},
		{"anonymous", galenejwt.Claims{}, text(""), &galene.Grant{}, nil},
		{"names nobody, but the client a listed user", galenejwt.Claims{}, text("ada"), nil, galene.ErrDuplicateUsername},
		{"another group", galenejwt.Claims{Audience: []string{"/group/open/"}}, text("yan"), nil, galene.ErrNotAuthorised},
		{"expired", galenejwt.Claims{ExpiresAt: time.Now().Add(-time.Minute)}, text("yan"), nil, galene.ErrNotAuthorised},
	}
	s := open(t, nil)
	for _, tt := range tests {
		g, err := s.Group(t.Context(), "signed")
		require.NoError(t, err)
		c := galene.Credentials{Username: tt.username, Password: "apw", Token: sign(t, signer, tt.claims)}
		grant, err := s.Authenticate(t.Context(), g, c)
		if tt.err != nil {
			require.ErrorIs(t, err, tt.err, tt.name)
			require.Nil(t, grant, tt.name)
			continue
		}
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want.Username, grant.Username, tt.name)
		require.ElementsMatch(t, tt.want.Permissions, grant.Permissions, tt.name)
	}
}

func TestATokenBeatsThePassword(t *testing.T) {
	t.Parallel()
	s, ada := open(t, nil), "ada"
	for _, group := range []string{"signed", "lab"} { // lab has no keys
		g, err := s.Group(t.Context(), group)
		require.NoError(t, err)
		_, err = s.Authenticate(t.Context(), g, galene.Credentials{Username: &ada, Password: "apw", Token: "nonsense"})
		require.ErrorIs(t, err, galene.ErrNotAuthorised)
	}
	granted(t, s, "signed", "ada", "apw", "op", "present", "message", "caption", "token")
}

func TestATokenIsForOneGroupUnlessItSaysOtherwise(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	g, err := s.Group(t.Context(), "signed/below")
	require.NoError(t, err)
	_, err = s.Authenticate(t.Context(), g, galene.Credentials{Token: sign(t, signer, galenejwt.Claims{Subject: "zoe"})})
	require.ErrorIs(t, err, galenejwt.ErrAudience)
	grant, err := s.Authenticate(t.Context(), g, galene.Credentials{
		Token: sign(t, signer, galenejwt.Claims{Subject: "zoe", IncludeSubgroups: true}),
	})
	require.NoError(t, err)
	require.Equal(t, "zoe", grant.Username)
}

func TestTheHostOfATokenCountsIfItIsConfigured(t *testing.T) {
	t.Parallel()
	token := sign(t, signer, galenejwt.Claims{Subject: "zoe"})
	for host, ok := range map[string]bool{"": true, "galene.example.org": true, "other.example.org": false} {
		s := open(t, &Options{Host: host})
		g, err := s.Group(t.Context(), "signed")
		require.NoError(t, err)
		_, err = s.Authenticate(t.Context(), g, galene.Credentials{Token: token})
		if ok {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, galenejwt.ErrAudience)
	}
}

func TestATokenOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	g, err := s.Group(t.Context(), "signed")
	require.NoError(t, err)
	other, err := galenejwt.NewKey(galenejwt.HS256, "one")
	require.NoError(t, err)
	_, err = s.Authenticate(t.Context(), g, galene.Credentials{Token: sign(t, other, galenejwt.Claims{Subject: "zoe"})})
	require.ErrorIs(t, err, galenejwt.ErrSignature)
	require.ErrorIs(t, err, galene.ErrNotAuthorised)
}
