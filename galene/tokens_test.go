package galene

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTokensAreKeptInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := new(Tokens)
		at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
		_, err := s.Token(ctx, "a")
		require.ErrorIs(t, err, ErrNoToken)
		list, err := s.List(ctx, "g")
		require.NoError(t, err)
		require.Empty(t, list)
		for _, token := range []*Token{
			{Token: "later", Group: "g", Expires: at(2 * time.Hour)}, {Token: "expired", Group: "g", Expires: at(-time.Hour)},
			{Token: "b", Group: "g", Expires: at(time.Hour)}, {Token: "a", Group: "g", Expires: at(time.Hour)},
			{Token: "other", Group: "g/h", Expires: at(time.Hour)}, {Token: "never", Group: "g"},
		} {
			require.NoError(t, s.Put(ctx, token))
		}
		names := func(group string) (names []string) {
			list, err := s.List(ctx, group)
			require.NoError(t, err)
			for _, token := range list {
				names = append(names, token.Token)
			}
			return names
		}
		require.Equal(t, []string{"never", "expired", "a", "b", "later"}, names("g"))
		require.Equal(t, []string{"other"}, names("g/h"))
		got, err := s.Token(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, "g", got.Group)
		require.NoError(t, s.Put(ctx, &Token{Token: "a", Group: "g", Expires: at(3 * time.Hour)}))
		require.Equal(t, []string{"never", "expired", "b", "later", "a"}, names("g"))

		// A week after its end a token is forgotten, when another is put.
		time.Sleep(7*24*time.Hour - time.Hour)
		require.NoError(t, s.Put(ctx, &Token{Token: "new", Group: "h", Expires: at(time.Hour)}))
		require.Contains(t, names("g"), "expired")
		time.Sleep(time.Second)
		require.NoError(t, s.Put(ctx, &Token{Token: "new", Group: "h", Expires: at(time.Hour)}))
		require.NotContains(t, names("g"), "expired")
		require.Contains(t, names("g"), "never")
	})
}

func TestTokensMayBeUsedConcurrently(t *testing.T) {
	t.Parallel()
	s := new(Tokens)
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := range 100 {
				name := fmt.Sprint(n % 10)
				_ = s.Put(t.Context(), &Token{Token: name, Group: "g", Expires: "2099-01-01T00:00:00Z", IssuedAt: fmt.Sprint(i)})
				_, _ = s.Token(t.Context(), name)
				_, _ = s.List(t.Context(), "g")
			}
		})
	}
	group.Wait()
	list, err := s.List(t.Context(), "g")
	require.NoError(t, err)
	require.Len(t, list, 10)
}

func TestWhereAndWhenATokenLeads(t *testing.T) {
	t.Parallel()
	now := serverDawn
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339Nano) }
	for name, tt := range map[string]struct {
		token Token
		group string
		want  error
	}{
		"into its group":                   {Token{Group: "g", Expires: at(1)}, "g", nil},
		"until its end":                    {Token{Group: "g", Expires: at(0)}, "g", nil},
		"not after its end":                {Token{Group: "g", Expires: at(-1)}, "g", errTokenExpired},
		"not without an end":               {Token{Group: "g"}, "g", errTokenExpired},
		"not with a bad end":               {Token{Group: "g", Expires: "tomorrow"}, "g", errTokenExpired},
		"from its beginning":               {Token{Group: "g", Expires: at(1), NotBefore: at(0)}, "g", nil},
		"not before its beginning":         {Token{Group: "g", Expires: at(2), NotBefore: at(1)}, "g", errTokenEarly},
		"not with a bad beginning":         {Token{Group: "g", Expires: at(2), NotBefore: "x"}, "g", errTokenEarly},
		"not into another":                 {Token{Group: "g", Expires: at(1)}, "h", errTokenGroup},
		"not below":                        {Token{Group: "g", Expires: at(1)}, "g/h", errTokenGroup},
		"below, if it says so":             {Token{Group: "g", Expires: at(1), IncludeSubgroups: true}, "g/h", nil},
		"far below, if it says so":         {Token{Group: "g", Expires: at(1), IncludeSubgroups: true}, "g/h/i", nil},
		"itself, if it says so":            {Token{Group: "g", Expires: at(1), IncludeSubgroups: true}, "g", nil},
		"not beside, if it says so":        {Token{Group: "g", Expires: at(1), IncludeSubgroups: true}, "gh", errTokenGroup},
		"not above, if it says so":         {Token{Group: "g/h", Expires: at(1), IncludeSubgroups: true}, "g", errTokenGroup},
		"not below another, if it says so": {Token{Group: "g", Expires: at(1), IncludeSubgroups: true}, "h/g", errTokenGroup},
	} {
		require.Equal(t, tt.want, tt.token.Valid(tt.group, now), name)
	}
}

func TestATokenForSubgroupsLeadsIntoThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := new(Tokens)
		guest := "guest"
		for _, token := range []*Token{
			{Token: "below", Group: "test", IncludeSubgroups: true, Username: &guest, Permissions: Permissions{"message"}},
			{Token: "bad", Group: "test", Username: new(string)},
		} {
			token.Expires = time.Now().Add(time.Hour).Format(time.RFC3339)
			if token.Token == "bad" {
				*token.Username = "/x"
			}
			require.NoError(t, tokens.Put(t.Context(), token))
		}
		s := NewServer(&ServerOptions{Groups: traceGroups(), Tokens: tokens})
		p := shake(serve(t, s), "a")
		p.Say(`{"type":"join","kind":"join","group":"test/sub/sub","token":"below","username":"ignored"}`).
			Hear(`{"type":"joined","kind":"join","group":"test/sub/sub","username":"guest","permissions":["message"],
				"status":{"name":"test/sub/sub","displayName":"Test group","clientCount":1,"canChangePassword":true},"rtcConfiguration":{}}`)
		// A name in a token that is no name.
		shake(serve(t, s), "b").Say(`{"type":"join","kind":"join","group":"test","token":"bad"}`).
			Hear(`{"type":"joined","kind":"fail","group":"test","username":"/x","value":"not authorised"}`)
		p.Drain()
		closeServer(t, s)
	})
}
