package msejwt

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
)

// serve serves one connection and returns its far end.
func serve(t *testing.T, s *msejsonrpc.Server) (far transport.Conn, served chan error) {
	near, far := transport.Pipe()
	served = make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), near) }()
	return far, served
}

func sign(t testing.TB, k Key, c Claims) string {
	t.Helper()
	token, err := k.Sign(&c)
	require.NoError(t, err)
	return token
}

func TestTokenThatExpiresEndsTheEntitlementAndNotTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		expired := make(chan time.Time, 1)
		v := verifier(t, Options{Leeway: 10 * time.Second})
		s := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
			ServerConfig: msejsonrpc.ServerConfig{WhoAmI: true},
			Authenticate: v.Authenticate,
			OnExpired:    func(*msejsonrpc.ServerSession) { expired <- time.Now() },
		})
		start := time.Now()
		token := sign(t, ours()[ES256], Claims{UserID: "u1", Role: "user", IssuedAt: start, ExpiresAt: start.Add(time.Minute)})
		conn, served := serve(t, s)
		c, err := msejsonrpc.Connect(t.Context(), conn, &msejsonrpc.ClientOptions{Token: token})
		require.NoError(t, err)
		i, err := c.WhoAmI(t.Context())
		require.NoError(t, err)
		require.Equal(t, &msejsonrpc.Identity{
			Role: "user", UserID: "u1", TokenIssued: "2000-01-01T00:00:00Z", ValidTo: "2000-01-01T00:01:10Z",
		}, i)

		time.Sleep(70*time.Second - 1)
		_, err = c.WhoAmI(t.Context())
		require.NoError(t, err)
		require.Empty(t, expired)
		time.Sleep(time.Nanosecond)
		_, err = c.WhoAmI(t.Context())
		require.ErrorIs(t, err, msejsonrpc.ErrUnauthorizedAccess)
		require.Equal(t, start.Add(70*time.Second), <-expired)
		require.NoError(t, c.Ping(t.Context()))
		require.NoError(t, c.SendCandidate(msejsonrpc.ICECandidateInit{}))
		require.NoError(t, c.Disconnect())
		require.NoError(t, <-served)

		again, served := serve(t, s)
		_, err = msejsonrpc.Connect(t.Context(), again, &msejsonrpc.ClientOptions{Token: token})
		require.ErrorIs(t, err, msejsonrpc.ErrAuthorizationFailed)
		require.NoError(t, <-served)
		require.NoError(t, s.Close())
	})
}

func TestTokenThatIsTakenByTheLeewayMayStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
			Authenticate: verifier(t, Options{Leeway: 10 * time.Second}).Authenticate,
		})
		token := sign(t, ours()[EdDSA], Claims{UserID: "u1", Role: "user", ExpiresAt: time.Now()})
		time.Sleep(9 * time.Second)
		conn, served := serve(t, s)
		c, err := msejsonrpc.Connect(t.Context(), conn, &msejsonrpc.ClientOptions{Token: token})
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.NoError(t, <-served)
	})
}

func TestRefusalOnTheWireHoldsNoReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log, serverLog bytes.Buffer
		lost := errors.New("the list is lost")
		v := verifier(t, Options{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Revoked: func(_ context.Context, c *Claims) (bool, error) {
				return true, map[bool]error{true: lost}[c.ID == "t2"]
			},
		})
		s := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
			Authenticate: v.Authenticate, Logger: slog.New(slog.NewTextHandler(&serverLog, nil)),
		})
		conn, served := serve(t, s)
		say := func(token, answer string) {
			t.Helper()
			text := `{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"` + token + `","version":"1.0"}}`
			require.NoError(t, conn.Write(transport.Text, []byte(text)))
			_, got, err := conn.Read(nil)
			require.NoError(t, err)
			require.JSONEq(t, answer, string(got))
		}
		const (
			failed   = `{"id":1,"jsonrpc":"2.0","error":{"code":-4001,"message":"Authorization Failed"}}`
			internal = `{"id":1,"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"}}`
		)
		k, claims := ours()[HS256], Claims{UserID: "u1", Role: "user", ExpiresAt: time.Now().Add(time.Hour)}
		say(sign(t, theirs()[HS256], claims), failed)
		require.Contains(t, log.String(), "unknown key")
		say(sign(t, k, claims), failed)
		require.Contains(t, log.String(), "error=revoked session=1")
		claims.ID = "t2"
		for range 3 { // a fault is not the client's, and not counted
			say(sign(t, k, claims), internal)
		}
		require.Contains(t, serverLog.String(), "revocation check: the list is lost")
		say("x", failed)
		_, _, err := conn.Read(nil)
		closed, ok := errors.AsType[*transport.CloseError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, transport.StatusPolicyViolation, closed.Code)
		require.NoError(t, <-served)
		require.NotContains(t, log.String(), "list is lost")
	})
}
