package mediasoupproto

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// redialed returns options with which a client connects again, and the server's ends of
// these connections.
func redialed(t *testing.T) (*ClientOptions, <-chan *script.Line) {
	lines := make(chan *script.Line, 8)
	return &ClientOptions{Redial: func(context.Context) (transport.Conn, error) {
		near, far := transport.Pipe()
		lines <- &script.Line{Conn: far, TB: t, JSON: true}
		return near, nil
	}}, lines
}

// cut ends a connection as a network does.
func cut(t *testing.T, p *script.Line) {
	t.Helper()
	require.NoError(t, p.Close(transport.StatusAbnormal, ""))
}

// rejoins is the server's part of a rejoin whose requests have the ids from id on.
func rejoins(p *script.Line, id int) {
	p.Hear(asked(id, `{"method":"queryRoom","target":"room"}`)).Say(granted(id, clientRoom))
	p.Hear(asked(id+1, clientJoin)).Say(granted(id+1, clientBob))
}

func reconnected(t *testing.T, c *Client) *Reconnected {
	t.Helper()
	m, err := c.Next(t.Context())
	require.NoError(t, err)
	require.IsType(t, new(Reconnected), m)
	return m.(*Reconnected)
}

// TestClientComesBack lets a client lose its connection to a server, and looks at it with the
// eyes of another one.
func TestClientComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := NewServer(&ServerOptions{AllowAll: true})
		var ends []transport.Conn
		dial := func(context.Context) (transport.Conn, error) {
			near, far := transport.Pipe()
			ends = append(ends, near)
			go func() { _ = s.Serve(context.Background(), far) }()
			return near, nil
		}
		enter := func(name string, opts *ClientOptions) *Client {
			conn, err := dial(ctx)
			require.NoError(t, err)
			c, err := Connect(ctx, conn, opts)
			require.NoError(t, err)
			room, err := c.QueryRoom(ctx)
			require.NoError(t, err)
			_, err = c.Join(ctx, &Join{
				PeerName: name, RTPCapabilities: room.RTPCapabilities, AppData: json.RawMessage(`{"of":"` + name + `"}`),
			})
			require.NoError(t, err)
			return c
		}
		bob := enter("bob", nil)
		alice := enter("alice", &ClientOptions{Redial: dial})
		require.Equal(t, "bob[]", shortPeers(alice.Peers()))
		_, err := alice.CreateTransport(ctx, &CreateTransport{ID: 1, Direction: DirectionSend})
		require.NoError(t, err)

		cut(t, &script.Line{Conn: ends[1], TB: t})
		again := reconnected(t, alice)
		require.NotNil(t, again.Room)
		require.Len(t, again.Joined.Peers, 1)
		require.Equal(t, ClientJoined, alice.State())
		require.Equal(t, "bob[]", shortPeers(alice.Peers()))
		for _, want := range []string{`newPeer`, `peerClosed`, `newPeer`} {
			m, err := bob.Next(ctx)
			require.NoError(t, err)
			require.Equal(t, want, m.wireType())
		}
		require.JSONEq(t, `{"of":"alice"}`, string(bob.Peers()[0].AppData))
		_, err = alice.RestartTransport(ctx, 1)
		require.ErrorIs(t, err, ErrTransportNotFound, "which was of the connection before")

		require.NoError(t, alice.Close())
		require.NoError(t, bob.Close())
		require.NoError(t, s.Close())
		synctest.Wait()
		require.Zero(t, s.machine.Len())
	})
}

// TestNameThatIsStillTakenIsAskedForAgain is about a server that does not notice that a
// connection was lost.
func TestNameThatIsStillTakenIsAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts, lines := redialed(t)
		opts.Backoff = Backoff{Min: time.Second, Max: 8 * time.Second}
		c, p := joinedClient(t, opts)
		begin := time.Now()
		cut(t, p)
		id := 2
		for range 4 {
			p = <-lines
			p.Hear(asked(id, `{"method":"queryRoom","target":"room"}`)).Say(granted(id, clientRoom))
			p.Hear(asked(id+1, clientJoin)).Say(denied(id+1, 500, `Error: duplicated Peer [peerName:"alice"]`))
			p.Closed(transport.StatusNormal)
			id += 2
		}
		p = <-lines
		waited := time.Since(begin)
		require.GreaterOrEqual(t, waited, (1+2+4+8+8)*time.Second/2)
		require.LessOrEqual(t, waited, (1+2+4+8+8)*time.Second)
		rejoins(p, id)
		reconnected(t, c)
		require.Equal(t, "bob[7]", shortPeers(c.Peers()))

		// After a success it begins with the least wait.
		begin = time.Now()
		cut(t, p)
		p = <-lines
		require.LessOrEqual(t, time.Since(begin), time.Second)
		rejoins(p, id+2)
		reconnected(t, c)
		require.NoError(t, c.Close())
	})
}

func TestRejoinSaysWhatToJoinWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts, lines := redialed(t)
		attempts := 0
		opts.Rejoin = func(_ context.Context, last *Join) (*Join, error) {
			attempts++
			require.Equal(t, "alice", last.PeerName)
			switch attempts {
			case 1:
				return nil, errors.New("no token now")
			case 2:
				return new(Join), nil // which no server would take
			case 3:
				join := *last
				join.AppData = json.RawMessage(`{"token":"fresh"}`)
				return &join, nil
			}
			require.JSONEq(t, `{"token":"fresh"}`, string(last.AppData))
			return nil, nil
		}
		c, p := joinedClient(t, opts)
		fresh := clientJoin[:len(clientJoin)-1] + `,"appData":{"token":"fresh"}}`
		for n := range 2 {
			cut(t, p)
			p = <-lines
			require.Equal(t, 3+n, attempts)
			id := 2 + 2*n
			p.Hear(asked(id, `{"method":"queryRoom","target":"room"}`)).Say(granted(id, clientRoom))
			p.Hear(asked(id+1, fresh)).Say(granted(id+1, `{"peers":[]}`))
			reconnected(t, c)
		}
		require.NoError(t, c.Close())
	})
}

func TestRejoinIsNotAskedOutOfTheRoom(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(c *Client, p *script.Line){
		"not joined": nil,
		"left": func(c *Client, p *script.Line) {
			require.NoError(p.TB, c.Leave(nil))
			p.Hear(told(ofPeer("leave", "")))
		},
		"closed": func(_ *Client, p *script.Line) { p.Say(told(ofPeer("closed", ""))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts, lines := redialed(t)
				opts.Rejoin = func(context.Context, *Join) (*Join, error) {
					t.Error("there is nothing to repeat")
					return nil, nil
				}
				var c *Client
				var p *script.Line
				if leave == nil {
					c, p = newClient(t, opts)
				} else {
					c, p = joinedClient(t, opts)
					leave(c, p)
				}
				synctest.Wait()
				cut(t, p)
				p = <-lines
				for {
					m, err := c.Next(t.Context())
					require.NoError(t, err)
					if again, ok := m.(*Reconnected); ok {
						require.Equal(t, new(Reconnected), again)
						break
					}
				}
				require.Equal(t, ClientNew, c.State())
				p.Drain()
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestClosedByAServerOfProtooIsTheEnd(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"joined": false, "while it comes back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts, lines := redialed(t)
				c, p := joinedClient(t, opts)
				if again {
					cut(t, p)
					p = (<-lines).Hear(asked(2, `{"method":"queryRoom","target":"room"}`))
				}
				require.NoError(t, p.Close(CloseByServer, CloseByServerReason))
				<-c.Done()
				closed, ok := errors.AsType[*transport.CloseError](c.Err())
				require.True(t, ok, "%v", c.Err())
				require.Equal(t, CloseByServer, closed.Code)
				time.Sleep(time.Hour)
				require.Empty(t, lines)
				requireClientForgets(t, c.machine)
			})
		})
	}
}

func TestForbiddenIsTheEnd(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]bool{"the join": false, "the question": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts, lines := redialed(t)
				c, p := joinedClient(t, opts)
				cut(t, p)
				p = (<-lines).Hear(asked(2, `{"method":"queryRoom","target":"room"}`))
				if query {
					p.Say(denied(2, 403, ErrNotAuthorised.Reason))
				} else {
					p.Say(granted(2, clientRoom)).Hear(asked(3, clientJoin)).Say(denied(3, 403, ErrNotAuthorised.Reason))
				}
				p.Closed(transport.StatusNormal)
				requireClientEnds(t, c, ErrNotAuthorised)
				time.Sleep(time.Hour)
				require.Empty(t, lines)
			})
		})
	}
}

func TestRequestsAreNotRepeatedOnANewConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts, lines := redialed(t)
		c, p := joinedClient(t, opts)
		done := make(chan error, 1)
		go func() { _, err := c.Ask(t.Context(), "ours", nil); done <- err }()
		p.Hear(`{"request":true,"id":2,"method":"ours","data":{}}`)
		cut(t, p)
		require.ErrorIs(t, <-done, ErrConnectionLost)
		refused := func(state ClientState) {
			t.Helper()
			_, err := c.Ask(t.Context(), "ours", nil)
			e, ok := errors.AsType[*StateError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, state, e.State)
			require.NotContains(t, e.Required, state.String())
		}
		refused(ClientIdle)
		p = (<-lines).Hear(asked(3, `{"method":"queryRoom","target":"room"}`))
		refused(ClientNew)
		p.Say(granted(3, clientRoom)).Hear(asked(4, clientJoin))
		refused(ClientJoining)
		p.Say(granted(4, clientBob))
		reconnected(t, c)
		p.Answer(`{"request":true,"id":5,"method":"ours","data":{}}`, granted(5, `{}`))
		_, err := c.Ask(t.Context(), "ours", nil)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	})
}

func TestClientGivesUpAfterItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nowhere := errors.New("nowhere")
		attempts := 0
		c, p := joinedClient(t, &ClientOptions{
			Redial:  func(context.Context) (transport.Conn, error) { attempts++; return nil, nowhere },
			Backoff: Backoff{Min: time.Second, Max: time.Second, Attempts: 5},
		})
		begin := time.Now()
		cut(t, p)
		requireClientEnds(t, c, nowhere)
		require.Equal(t, 5, attempts)
		require.GreaterOrEqual(t, time.Since(begin), 2500*time.Millisecond)
		require.LessOrEqual(t, time.Since(begin), 5*time.Second)
	})
}

func TestCloseEndsAClientThatConnectsAgain(t *testing.T) {
	t.Parallel()
	const betweenAttempts, inRedial, inRejoin, asking = 0, 1, 2, 3
	for name, at := range map[string]int{
		"between two attempts": betweenAttempts, "in Redial": inRedial, "in Rejoin": inRejoin,
		"asking about the room": asking,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				there := make(chan struct{}, 1)
				wait := func(ctx context.Context) error {
					there <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}
				opts := &ClientOptions{Redial: func(ctx context.Context) (transport.Conn, error) {
					if at == asking {
						near, far := transport.Pipe()
						line := &script.Line{Conn: far, TB: t}
						line.Drain()
						there <- struct{}{}
						return near, nil
					}
					return nil, wait(ctx)
				}}
				if at == inRejoin {
					opts.Rejoin = func(ctx context.Context, _ *Join) (*Join, error) { return nil, wait(ctx) }
				}
				c, p := joinedClient(t, opts)
				cut(t, p)
				if at != betweenAttempts {
					<-there
				}
				synctest.Wait()
				require.NotEqual(t, ClientJoined, c.State())
				require.NoError(t, c.Close())
				_, err := c.Next(t.Context())
				require.Equal(t, io.EOF, err)
				require.NoError(t, c.Err())
				requireClientForgets(t, c.machine)
			})
		})
	}
}
