package galene

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

func TestMessagesThatEndAClient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		data string
		code transport.StatusCode
	}{
		"garbage":        {`garbage`, 1007},
		"two objects":    {peerPing + peerPing, 1007},
		"a name twice":   {`{"type":"ping","type":"ping"}`, 1007},
		"no type":        {`{}`, 1007},
		"a wrong member": {`{"type":"chat","id":7}`, 1007},
		"too big":        {`{"type":"x","x":"` + strings.Repeat("x", 1000) + `"}`, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := joinedClient(t, ClientOptions{MessageBytes: 1000})
				p.Say(peerChat, tt.data).Closed(tt.code)
				var last error
				n := 0
				for m, err := range c.Messages(t.Context()) {
					if last = err; err == nil {
						n++
						require.Equal(t, peerChat, clientText(m))
					}
				}
				require.Equal(t, 1, n, "what came before is not lost")
				bad, ok := errors.AsType[*DecodeError](last)
				require.True(t, ok, "%v", last)
				require.Equal(t, bad, c.Err())
			})
		})
	}
}

func TestApplicationThatDoesNotReadEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{
			Inbox:  3,
			Redial: func(context.Context) (transport.Conn, error) { panic("connects again to be slow again") },
		})
		p.Say(peerChat, peerChat, peerChat).Say(peerPing).Hear(`{"type":"pong"}`) // until it is full
		p.Say(peerChat).Closed(transport.StatusPolicyViolation)
		<-c.Done()
		require.Equal(t, ErrSlowConsumer, c.Err())
		clientHears(t, c, peerChat, peerChat, peerChat)
		requireClientEnds(t, c, ErrSlowConsumer)
	})
}

func TestServerThatDoesNotReadEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{QueueMessages: 3})
		for range 3 {
			require.NoError(t, c.Chat("x"))
		}
		require.ErrorIs(t, c.Chat("x"), ErrSlowPeer)
		requireClientEnds(t, c, ErrSlowPeer)
		p.Closed(transport.StatusTryAgainLater)

		c, _ = joinedClient(t, ClientOptions{Heartbeat: -1})
		begin := time.Now()
		_, err := c.ListTokens(t.Context())
		require.ErrorIs(t, err, ErrConnectionLost)
		require.Equal(t, transport.DefaultWriteTimeout, time.Since(begin))
		requireClientEnds(t, c, ErrSlowPeer)
	})
}

func TestClientNoticesSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{Heartbeat: 2 * time.Second, Silence: 5 * time.Second})
		begin := time.Now()
		p.Hear(peerPing)
		require.Equal(t, 2*time.Second, time.Since(begin))
		p.Say(`{"type":"pong"}`).Hear(peerPing).Hear(peerPing).Closed(transport.StatusPolicyViolation)
		require.Equal(t, 7*time.Second, time.Since(begin))
		requireClientEnds(t, c, ErrHeartbeat)

		// Without either the connection lasts.
		c, p = joinedClient(t, ClientOptions{Heartbeat: -1, Silence: -1})
		time.Sleep(time.Hour)
		p.Say(peerChat)
		clientHears(t, c, peerChat)
		require.NoError(t, c.Close())
	})
}

func TestTimeoutsOfAClientAreOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p, result := clientConnects(t, t.Context(), ClientOptions{HandshakeTimeout: time.Second})
		p.Hear(clientHandshake)
		require.ErrorIs(t, (<-result).err, ErrHandshakeTimeout)
		require.Equal(t, time.Second, time.Since(begin))

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		p, result = clientConnects(t, ctx, ClientOptions{HandshakeTimeout: -1})
		p.Hear(clientHandshake)
		require.ErrorIs(t, (<-result).err, context.DeadlineExceeded)

		c, p := joinedClient(t, ClientOptions{CallTimeout: 3 * time.Second})
		p.Drain()
		begin = time.Now()
		_, err := c.ListTokens(t.Context())
		require.Equal(t, ErrCallTimeout, err)
		require.Equal(t, 3*time.Second, time.Since(begin))
		require.NoError(t, c.Close())

		c, p = joinedClient(t, ClientOptions{CallTimeout: -1, Heartbeat: -1, Silence: -1})
		p.Drain()
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = c.ListTokens(ctx)
		require.Equal(t, context.DeadlineExceeded, err)
		require.NoError(t, c.Close())
	})
}

func TestEndOfAContextDoesNotHurtTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, ClientOptions{})
		waits := map[string]func(ctx context.Context) error{
			"next":     func(ctx context.Context) error { _, err := c.Next(ctx); return err },
			"token":    func(ctx context.Context) error { _, err := c.ListTokens(ctx); return err },
			"identify": func(ctx context.Context) error { _, err := c.Identify(ctx, "b"); return err },
			"leave":    c.Leave,
		}
		for _, name := range []string{"next", "token", "identify", "leave"} {
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() { result <- waits[name](ctx) }()
			if name != "next" {
				_, _, err := p.Read(nil)
				require.NoError(t, err)
			}
			synctest.Wait()
			cancel()
			require.Equal(t, context.Canceled, <-result, name)
			require.Zero(t, c.calls.Len())
			p.Say(peerChat)
			clientHears(t, c, peerChat)
		}
		require.NoError(t, c.Close())
	})
}

func TestCloseEndsWhateverWaits(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(c *Client) error{
		"next":     func(c *Client) error { _, err := c.Next(context.Background()); return err },
		"make":     func(c *Client) error { _, err := c.MakeToken(context.Background(), &TokenRequest{}); return err },
		"list":     func(c *Client) error { _, err := c.ListTokens(context.Background()); return err },
		"identify": func(c *Client) error { _, err := c.Identify(context.Background(), "b"); return err },
		"leave":    func(c *Client) error { return c.Leave(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := joinedClient(t, ClientOptions{})
				p.Drain()
				result := make(chan error, 1)
				go func() { result <- wait(c) }()
				synctest.Wait()
				var closers sync.WaitGroup
				for range 3 {
					closers.Go(func() { _ = c.Close() })
				}
				closers.Wait()
				want := ErrConnectionLost
				if name == "next" {
					want = io.EOF
				}
				require.Equal(t, want, <-result)
				requireClientEnds(t, c, nil)
			})
		})
	}
}

func TestCloseEndsAJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := readyClient(t, ClientOptions{})
		result := make(chan error, 1)
		go func() {
			_, err := c.Join(context.Background(), &Join{Group: "g", Username: new("u")})
			result <- err
		}()
		p.Hear(clientJoin)
		require.NoError(t, c.Close())
		require.Equal(t, ErrConnectionLost, <-result)
		p.Closed(transport.StatusNormal)
		requireClientEnds(t, c, nil)
	})
}
