package msejsonrpc

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestClientConnectsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		tokens := 0
		c, r := activeClient(t, ClientOptions{
			Redial: d.Dial,
			RefreshToken: func(context.Context) (string, error) {
				tokens++
				return fmt.Sprint("fresh ", tokens), nil
			},
		})
		waiting := make(chan error, 1)
		go func() { waiting <- c.Ping(t.Context()) }()
		r.Hear(wirePing)
		require.NoError(t, r.Close(1006, ""))
		require.Equal(t, ErrConnectionLost, <-waiting)
		synctest.Wait()
		require.Equal(t, ClientIdle, c.State())
		_, ok := errors.AsType[*StateError](c.Ping(t.Context()))
		require.True(t, ok, "no connection")
		begin := time.Now()
		r = <-d.Lines
		require.InDelta(t, 0.75, time.Since(begin).Seconds(), 0.251)
		r.Hear(authAs(4, "fresh 1"))
		require.Equal(t, ClientAuthenticating, c.State())
		_, ok = errors.AsType[*StateError](c.SendOffer(SessionDescription{SDP: "v=0"}))
		require.True(t, ok, "not active again")
		r.Say(result(4, "authenticated")).Hear(startAs(5))
		r.Say(result(5, "started"), wireOffer)
		hearMessages(t, c, "reconnected", wireOffer)
		require.Equal(t, ClientActive, c.State())

		// A fault of the server's is no reason to give up.
		require.NoError(t, r.Close(1011, ""))
		r = <-d.Lines
		r.Hear(authAs(6, "fresh 2")).Say(wireError(6, ErrInternal)).
			Closed(transport.StatusNormal)
		r = <-d.Lines
		r.Hear(authAs(7, "fresh 3")).
			Say(result(7, "authenticated")).Hear(startAs(8))
		require.NoError(t, r.Write(transport.Text, []byte(`garbage`))) // nor is what it cannot spell
		r.Closed(transport.StatusInvalidPayload)
		r = <-d.Lines
		r.Hear(authAs(9, "fresh 4")).
			Say(result(9, "authenticated")).Hear(startAs(10)).
			Say(result(10, "started"))
		hearMessages(t, c, "reconnected")
		require.NoError(t, c.Close())
		require.NoError(t, c.Err())
	})
}

func TestClientConnectsAgainAfterASilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		c, r := activeClient(t, ClientOptions{Redial: d.Dial})
		r.Hear(wirePing).Closed(transport.StatusPolicyViolation)
		r = <-d.Lines
		r.Hear(authAs(4, "T")).Closed(transport.StatusPolicyViolation)
		(<-d.Lines).Hear(authAs(5, "T"))
		require.NoError(t, c.Close())
	})
}

func TestRefusalOnANewConnectionIsFinal(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]*Error{
		"auth": ErrAuthorizationFailed, "right": ErrUnauthorizedAccess, "order": CallOrderError("auth"),
	} {
		for _, starting := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", starting: ", starting), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					d := script.NewDialer(t, true)
					c, r := activeClient(t, ClientOptions{Redial: d.Dial})
					require.NoError(t, r.Close(1006, ""))
					id := 3
					r = (<-d.Lines).Hear(authAs(3, "T"))
					if starting {
						r.Say(result(3, "authenticated")).Hear(startAs(4))
						id = 4
					}
					r.Say(wireError(id, refusal)).Closed(transport.StatusNormal)
					<-c.Done()
					require.ErrorIs(t, c.Err(), ErrNotAuthorized)
					_, err := c.Next(t.Context())
					require.ErrorIs(t, err, ErrNotAuthorized)
					require.Empty(t, d.Lines)
				})
			})
		}
	}
}

func TestClientWithoutATokenConnectsAgainWithoutAHandshake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		c, r := bareClient(t, &ClientOptions{Redial: d.Dial})
		require.NoError(t, r.Close(1006, ""))
		r = <-d.Lines
		hearMessages(t, c, "reconnected")
		require.Equal(t, ClientConnected, c.State())
		r.Answer(wireAuth, wireAuthenticated)
		require.NoError(t, c.Auth(t.Context(), "T"))
		require.NoError(t, c.Close())
	})
}

func TestClientGivesUpAfterItsAttempts(t *testing.T) {
	t.Parallel()
	down := errors.New("network is down")
	for name, opts := range map[string]ClientOptions{
		"to dial": {Redial: func(context.Context) (transport.Conn, error) { return nil, down }},
		"to get a token": {
			Redial:       func(context.Context) (transport.Conn, error) { panic("dials without a token") },
			RefreshToken: func(context.Context) (string, error) { return "", down },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts.Backoff = Backoff{Min: time.Second, Max: 2 * time.Second, Attempts: 3}
				c, r := activeClient(t, opts)
				begin := time.Now()
				require.NoError(t, r.Close(1006, ""))
				<-c.Done()
				require.ErrorIs(t, c.Err(), down)
				require.InDelta(t, 3.75, time.Since(begin).Seconds(), 1.251, "at least half of 1 + 2 + 2 s, at most all")
			})
		})
	}
}

func TestCloseEndsAClientThatConnectsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		asleep, r := activeClient(t, ClientOptions{Redial: d.Dial})
		require.NoError(t, r.Close(1006, ""))
		synctest.Wait()
		require.NoError(t, asleep.Close())
		require.NoError(t, asleep.Err())
		require.Empty(t, d.Lines)

		dialing, r := activeClient(t, ClientOptions{Redial: func(ctx context.Context) (transport.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		require.NoError(t, r.Close(1006, ""))
		time.Sleep(time.Minute)
		require.NoError(t, dialing.Close())
		require.NoError(t, dialing.Err())

		shaking, r := activeClient(t, ClientOptions{Redial: d.Dial})
		require.NoError(t, r.Close(1006, ""))
		r = (<-d.Lines).Hear(authAs(3, "T"))
		require.NoError(t, shaking.Close())
		r.Closed(transport.StatusNormal)
	})
}
