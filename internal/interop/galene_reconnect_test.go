package interop

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

func TestGaleneClientReturnsToARestartedServer(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		c := s.connect(t, &galene.ClientOptions{
			Redial:  s.dial,
			Backoff: galene.Backoff{Min: 20 * time.Millisecond, Max: 100 * time.Millisecond, Attempts: 1000},
		})
		_, err := c.Join(bounded(t), &galene.Join{
			Group: "test", Username: new("bob"), Password: "bpw", Data: galene.Fields{"mood": json.RawMessage(`"good"`)},
		})
		require.NoError(t, err)
		require.NoError(t, c.Request(map[string][]galene.TrackKind{"": {galene.TrackAudio}}))
		before := c.ID()
		for range 2 {
			c.settle()
			s.stop()
			s.run()
			expect[*galene.Reconnected](c, "reconnection", nil)
			expect(c, "oneself", func(u *galene.User) bool { return u.Kind == galene.UserAdd && u.ID == c.ID() })
			require.NotEqual(t, before, c.ID(), "a new id")
			before = c.ID()
			require.Equal(t, galene.ClientJoined, c.State())
			require.Equal(t, "test", c.Group())
			require.Equal(t, "bob", c.Username())
			require.JSONEq(t, `"good"`, string(c.User(c.ID()).Data["mood"]))
		}
		alice := s.join(t, "test", "alice")
		require.NoError(t, alice.ChatTo(c.ID(), "there you are"))
		expect(c, "chat", chatOf(t, "there you are"))
	})
}

// TestGaleneClientReturnsWhenItsConnectionIsCut has a server that still knows the lost
// connection when the next one comes.
func TestGaleneClientReturnsWhenItsConnectionIsCut(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		alice := s.join(t, "test", "alice")
		rejoined := 0
		c := s.connect(t, &galene.ClientOptions{
			Redial: s.dial,
			Rejoin: func(_ context.Context, last *galene.Join) (*galene.Join, error) {
				rejoined++
				return last, nil
			},
			Backoff: galene.Backoff{Min: time.Millisecond},
		})
		c.enter("test", "bob")
		first := c.ID()
		expect(alice, "arrival", func(u *galene.User) bool { return u.ID == first })
		require.NoError(t, alice.UserAction(galene.UserOp, first))
		expect(c, "permission", func(m *galene.Joined) bool { return m.Permissions.Has(galene.PermissionOp) })

		s.cut(t, first)
		expect[*galene.Reconnected](c, "reconnection", nil)
		require.Equal(t, 1, rejoined)
		second := c.ID()
		require.NotEqual(t, first, second)
		require.False(t, c.Permissions().Has(galene.PermissionOp), "what the server says now")
		eventually(t, "roster", func() bool { return alice.User(first) == nil && alice.User(second) != nil })
	})
}

func TestGaleneClientDoesNotReturnToAGroupThatRefusesIt(t *testing.T) {
	onGalene(t, func(t *testing.T, s *galeneServer) {
		ctx := bounded(t)
		token := s.join(t, "test", "alice").invite(galene.TokenRequest{Username: new("guest")})
		alice := s.join(t, "test", "alice")
		c := s.connect(t, &galene.ClientOptions{Redial: s.dial, Backoff: galene.Backoff{Min: time.Millisecond}})
		_, err := c.Join(ctx, &galene.Join{Group: "test", Token: token.Token})
		require.NoError(t, err)
		_, err = alice.EditToken(ctx, &galene.TokenRequest{Token: token.Token, Expires: galene.TokenTime{In: -time.Hour}})
		require.NoError(t, err)
		s.cut(t, c.ID())
		require.ErrorIs(t, c.ended(), galene.ErrNotAuthorised)
	})
}
