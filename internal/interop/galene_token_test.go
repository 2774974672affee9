package interop

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

// invite has a member make a token for an hour.
func (c *galeneClient) invite(r galene.TokenRequest) *galene.Token {
	c.t.Helper()
	r.Expires = galene.TokenTime{In: time.Hour}
	token, err := c.MakeToken(bounded(c.t), &r)
	require.NoError(c.t, err)
	return token
}

func TestGaleneTokenLeadsIntoItsGroup(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.join(t, "test", "alice")
		before := time.Now()
		token := alice.invite(galene.TokenRequest{Permissions: galene.Permissions{galene.PermissionMessage, galene.PermissionPresent}})
		require.NotEmpty(t, token.Token)
		require.Equal(t, "test", token.Group)
		require.Nil(t, token.Username)
		require.Equal(t, []string{"message", "present"}, sorted(token.Permissions))
		require.Equal(t, "alice", *token.IssuedBy)
		require.False(t, token.IncludeSubgroups)
		expires, err := time.Parse(time.RFC3339, token.Expires)
		require.NoError(t, err)
		require.WithinRange(t, expires, before.Add(time.Hour-time.Second), time.Now().Add(time.Hour+time.Second))
		_, err = time.Parse(time.RFC3339, token.IssuedAt)
		require.NoError(t, err)

		guest := s.connect(t, nil)
		asked := 0
		joined, err := guest.JoinWithToken(bounded(t), "test", token.Token, func(context.Context) (string, error) {
			asked++
			return "guest", nil
		})
		require.NoError(t, err)
		require.Equal(t, 1, asked)
		require.Equal(t, "guest", *joined.Username)
		require.Equal(t, []string{"message", "present"}, sorted(joined.Permissions))
		u := expect(alice, "guest", func(u *galene.User) bool { return u.Kind == galene.UserAdd })
		require.Equal(t, guest.ID(), u.ID)

		anonymous := s.connect(t, nil)
		joined, err = anonymous.Join(bounded(t), &galene.Join{Group: "test", Token: token.Token, Username: new("")})
		require.NoError(t, err)
		require.Empty(t, *joined.Username)
	})
}

func TestGaleneTokenWithoutANameAsksForOne(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		token := s.join(t, "test", "alice").invite(galene.TokenRequest{})
		require.Empty(t, token.Permissions)
		c := s.connect(t, nil)
		_, err := c.Join(bounded(t), &galene.Join{Group: "test", Token: token.Token})
		require.ErrorIs(t, err, galene.ErrNeedUsername)
		_, err = c.Join(bounded(t), &galene.Join{Group: "test", Token: token.Token, Username: new("bob")})
		require.ErrorIs(t, err, galene.ErrDuplicateUsername)
		joined, err := c.Join(bounded(t), &galene.Join{Group: "test", Token: token.Token, Username: new("robert")})
		require.NoError(t, err)
		require.Empty(t, joined.Permissions)
	})
}

func TestGaleneTokenNamesItsUser(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		token := s.join(t, "test", "alice").invite(galene.TokenRequest{Username: new("guest")})
		require.Equal(t, "guest", *token.Username)
		for _, username := range []*string{nil, new("somebody"), new("")} {
			joined, err := s.connect(t, nil).Join(bounded(t), &galene.Join{Group: "test", Token: token.Token, Username: username})
			require.NoError(t, err)
			require.Equal(t, "guest", *joined.Username, "the token decides")
		}
	})
}

func TestGaleneTokenLeadsNowhereElse(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		token := s.join(t, "test", "alice").invite(galene.TokenRequest{Username: new("guest")})
		for _, group := range []string{"open", "test/room"} {
			_, err := s.connect(t, nil).Join(bounded(t), &galene.Join{Group: group, Token: token.Token})
			require.ErrorIs(t, err, galene.ErrNotAuthorised, group)
		}
	})
}

func TestGaleneTokenIsValidInItsTimeOnly(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice, c := s.join(t, "test", "alice"), s.connect(t, nil)
		ctx := bounded(t)
		refused := func(token *galene.Token) {
			t.Helper()
			for _, username := range []*string{nil, new("guest")} {
				_, err := c.Join(ctx, &galene.Join{Group: "test", Token: token.Token, Username: username})
				require.ErrorIs(t, err, galene.ErrNotAuthorised)
			}
		}
		token, err := alice.MakeToken(ctx, &galene.TokenRequest{
			Username: new("guest"), Expires: galene.TokenTime{At: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)},
		})
		require.NoError(t, err)
		refused(token)
		token, err = alice.MakeToken(ctx, &galene.TokenRequest{
			Username: new("guest"), Expires: galene.TokenTime{In: 2 * time.Hour}, NotBefore: galene.TokenTime{In: time.Hour},
		})
		require.NoError(t, err)
		require.NotEmpty(t, token.NotBefore)
		refused(token)

		token = alice.invite(galene.TokenRequest{Username: new("guest")})
		edited, err := alice.EditToken(ctx, &galene.TokenRequest{Token: token.Token, Expires: galene.TokenTime{In: -time.Hour}})
		require.NoError(t, err)
		require.Equal(t, token.Token, edited.Token)
		require.NotEqual(t, token.Expires, edited.Expires)
		require.Equal(t, "guest", *edited.Username)
		refused(token)
		_, err = alice.EditToken(ctx, &galene.TokenRequest{Token: token.Token, Expires: galene.TokenTime{In: time.Hour}})
		require.NoError(t, err)
		_, err = c.Join(ctx, &galene.Join{Group: "test", Token: token.Token})
		require.NoError(t, err)
	})
}

func TestGaleneExpiredTokenWithoutANameStillAsksForOne(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		token, err := s.join(t, "test", "alice").MakeToken(bounded(t), &galene.TokenRequest{Expires: galene.TokenTime{In: -time.Hour}})
		require.NoError(t, err)
		c := s.connect(t, nil)
		_, err = c.Join(bounded(t), &galene.Join{Group: "test", Token: token.Token, Username: new("guest")})
		require.ErrorIs(t, err, galene.ErrNotAuthorised)
		_, err = c.Join(bounded(t), &galene.Join{Group: "test", Token: token.Token})
		require.ErrorIs(t, err, galene.ErrNeedUsername, "that is asked first")
	})
}

func TestGaleneTokensAreListedByTheirExpiry(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.join(t, "test", "alice")
		ctx := bounded(t)
		list, err := alice.ListTokens(ctx)
		require.NoError(t, err)
		require.Empty(t, list)
		want := make([]string, 4)
		for _, hours := range []int{3, 1, 4, 2} {
			token, err := alice.MakeToken(ctx, &galene.TokenRequest{Expires: galene.TokenTime{In: time.Duration(hours) * time.Hour}})
			require.NoError(t, err)
			want[hours-1] = token.Token
		}
		s.join(t, "inviting", "bob").invite(galene.TokenRequest{}) // of another group
		list, err = alice.ListTokens(ctx)
		require.NoError(t, err)
		var got []string
		for _, token := range list {
			got = append(got, token.Token)
		}
		require.Equal(t, want, got)
	})
}

func TestGaleneWhoMayPresentMayInviteWhereTheGroupSaysSo(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		c := s.join(t, "inviting", "somebody")
		require.Equal(t, []string{"message", "present", "token"}, sorted(c.Permissions()))
		c.invite(galene.TokenRequest{Permissions: galene.Permissions{galene.PermissionPresent}})
		_, err := c.MakeToken(bounded(t), &galene.TokenRequest{
			Permissions: galene.Permissions{galene.PermissionOp}, Expires: galene.TokenTime{In: time.Hour},
		})
		require.Equal(t, &galene.Error{ID: galene.ErrorNotAuthorised, Text: "not authorised"}, err)
		var missing *galene.PermissionError
		_, err = c.ListTokens(bounded(t))
		require.ErrorAs(t, err, &missing)
	})
}

func TestGaleneEveryRefusedTokenActionSaysWhy(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		r := s.raw(t, "id-alice")
		r.handshake()
		r.join("test", "alice", "apw")
		alice := s.join(t, "test", "alice")
		r.read(func(line string) bool { return line != "" }) // her arrival
		token := alice.invite(galene.TokenRequest{}).Token
		foreign := s.join(t, "inviting", "bob").invite(galene.TokenRequest{}).Token
		for _, tt := range []struct{ name, kind, value, id, text string }{
			{"no value", "maketoken", `null`, "error", "bad token value"},
			{"text", "maketoken", `"x"`, "error", "bad token value"},
			{"list", "maketoken", `[]`, "error", "bad token value"},
			{"no group", "maketoken", `{"expires":1000}`, "error", "wrong group in token"},
			{"another group", "maketoken", `{"group":"open","expires":1000}`, "error", "wrong group in token"},
			{"number for a group", "maketoken", `{"group":1,"expires":1000}`, "error", "bad string value"},
			{"number for a user name", "maketoken", `{"group":"test","expires":1000,"username":1}`, "error", "bad string value"},
			{"text for permissions", "maketoken", `{"group":"test","expires":1000,"permissions":"op"}`, "error", "bad string list"},
			{"numbers for permissions", "maketoken", `{"group":"test","expires":1000,"permissions":[1]}`, "error", "bad string list"},
			{"text for a time", "maketoken", `{"group":"test","expires":"tomorrow"}`, "error", "bad time value"},
			{"boolean for a time", "maketoken", `{"group":"test","expires":true}`, "error", "bad time value"},
			{"no end", "maketoken", `{"group":"test"}`, "error", "token doesn't expire"},
			{"token given", "maketoken", `{"group":"test","expires":1000,"token":"mine"}`, "error", "client specified token"},
			{"user of the group", "maketoken", `{"group":"test","expires":1000,"username":"bob"}`, "error", "that username is taken"},
			{"more than one has", "maketoken", `{"group":"test","expires":1000,"permissions":["admin"]}`, "not-authorised", "not authorised"},
			{"unknown token", "edittoken", `{"token":"nope","expires":1000}`, "error", "file does not exist"},
			{"no token", "edittoken", `{"expires":1000}`, "error", "file does not exist"},
			{"group changed", "edittoken", `{"token":"` + token + `","group":"open"}`, "error", "this field cannot be edited"},
			{"permissions changed", "edittoken", `{"token":"` + token + `","permissions":["op"]}`, "error", "this field cannot be edited"},
			{"user name changed", "edittoken", `{"token":"` + token + `","username":"x"}`, "error", "this field cannot be edited"},
			{"token of another group", "edittoken", `{"token":"` + foreign + `","expires":1000}`, "", ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				if d, ok := deviations[tt.name]; ok && !s.real {
					tt.id, tt.text = d.ours[0], d.ours[1]
				}
				r.say(fmt.Appendf(nil, `{"type":"groupaction","kind":%q,"value":%s}`, tt.kind, tt.value), nil)
				said := r.replies()
				require.Len(t, said, 1)
				m, err := galene.Decode([]byte(said[0]))
				require.NoError(t, err)
				answer := m.(*galene.UserMessage)
				require.Equal(t, galene.UserMessageToken, answer.Kind)
				require.True(t, answer.Privileged)
				require.Empty(t, answer.Dest)
				require.Equal(t, tt.id, string(answer.Error))
				if tt.id == "" {
					_, err := answer.Token()
					require.NoError(t, err)
					return
				}
				require.Equal(t, tt.text, textOf(t, answer.Value))
			})
		}
	})
}
