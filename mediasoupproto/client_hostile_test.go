package mediasoupproto

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

func TestMessageThatIsTooBigEndsTheConnection(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		limit, size int
		ends        bool
	}{
		"at the default": {0, DefaultClientMessageBytes, false}, "over the default": {0, DefaultClientMessageBytes + 1, true},
		"at a limit": {500, 500, false}, "over a limit": {500, 501, true},
		"without a limit": {-1, DefaultClientMessageBytes + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := newClient(t, &ClientOptions{MessageBytes: tt.limit})
				head, tail := `{"notification":true,"method":"ours","data":"`, `"}`
				p.Say(head + strings.Repeat("x", tt.size-len(head)-len(tail)) + tail)
				if tt.ends {
					p.Closed(transport.StatusMessageTooBig)
					<-c.Done()
					_, ok := errors.AsType[*DecodeError](c.Err())
					require.True(t, ok, "%v", c.Err())
					requireClientEnds(t, c, errTooBig)
					return
				}
				m, err := c.Next(t.Context())
				require.NoError(t, err)
				require.Len(t, m.(*Application).Data, tt.size-len(head)-len(tail)+2)
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestApplicationThatDoesNotReadLosesItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, &ClientOptions{Inbox: 4, Redial: func(context.Context) (transport.Conn, error) {
			t.Error("another connection does not help")
			return nil, errors.New("no")
		}})
		for i := range 5 {
			p.Say(told(ofPeer("newPeer", fmt.Sprintf(`,"name":"p%d","consumers":[]`, i))))
		}
		p.Closed(transport.StatusPolicyViolation)
		<-c.Done()
		for i := range 4 {
			clientHears(t, c, ofPeer("newPeer", fmt.Sprintf(`,"name":"p%d","consumers":[]`, i)))
		}
		requireClientEnds(t, c, ErrSlowConsumer)
	})
}

// What is ignored, and what is answered, needs no reader.
func TestNothingButNewsNeedsAReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, &ClientOptions{Inbox: 1})
		for i := range 100 {
			p.Say(told(ofPeer("novelty", "")), granted(1000+i, `{}`), told(ofPeer("peerClosed", `,"name":"x"`)), `garbage`)
			p.Say(asked(i, `{"method":"queryRoom"}`)).Hear(denied(i, 500, `Error: unknown request method "queryRoom"`))
		}
		synctest.Wait()
		require.EqualValues(t, 400, c.Ignored())
		require.Equal(t, ClientJoined, c.State())
		require.NoError(t, c.Close())
	})
}

func TestServerThatDoesNotReadIsLeft(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*ClientOptions{
		"too many": {QueueMessages: 8}, "too much": {QueueBytes: 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, _ := newClient(t, opts)
				waiting := make(chan error, 1)
				go func() { _, err := c.QueryRoom(t.Context()); waiting <- err }()
				synctest.Wait()
				var err error
				for range 100 {
					if err = c.Send(&Application{Method: "ours"}); err != nil {
						break
					}
				}
				require.ErrorIs(t, err, ErrSlowPeer)
				require.ErrorIs(t, <-waiting, ErrConnectionLost)
				requireClientEnds(t, c, ErrSlowPeer)
			})
		})
	}
}

// A server that asks and asks and does not read the answers blocks nobody.
func TestServerThatAsksAndDoesNotReadIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := newClient(t, nil)
		for i := 0; ; i++ {
			if err := p.Write(transport.Text, []byte(asked(i, `{"method":"queryRoom"}`))); err != nil {
				break
			}
			require.Less(t, i, 10*DefaultPending)
			if i%DefaultPending == 0 {
				synctest.Wait() // closing is a goroutine's work
			}
		}
		requireClientEnds(t, c, ErrSlowPeer)
	})
}

func TestAnswersCountOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := newClient(t, nil)
		p.Say(granted(1, clientBob), granted(2, clientRoom)) // before anybody has asked
		p.Answer(asked(1, `{"method":"queryRoom","target":"room"}`), granted(7, `{"x":1}`), granted(1, clientRoom),
			granted(1, `{}`), denied(1, 500, "no"))
		room, err := c.QueryRoom(t.Context())
		require.NoError(t, err)
		require.NotNil(t, room.RTPCapabilities)
		synctest.Wait()
		require.EqualValues(t, 5, c.Ignored())
		require.NotNil(t, c.Room().RTPCapabilities)

		// The id 1 as another number is another id.
		p.Answer(asked(2, clientJoin),
			`{"response":true,"id":2.0,"ok":true,"data":{}}`, `{"response":true,"id":"2","ok":true,"data":{}}`,
			`{"response":true,"id":2,"ok":true,"data":`+clientBob+`}`)
		_, err = c.Join(t.Context(), joinOf(t, "alice"))
		require.NoError(t, err)
		require.Equal(t, `bob[7]`, shortPeers(c.Peers()))
		require.NoError(t, c.Close())
	})
}

func TestIDsOfAServerAreEchoedAsTheyCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := newClient(t, nil)
		for _, id := range []string{"0", "-1", "1.5", "1e3", "12345678901234567890123456789012"} {
			p.Say(`{"request":true,"id":` + id + `,"method":"ours"}`)
			m, err := c.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, ID(id), m.head().RequestID)
			require.NoError(t, c.Send(&Response{Head: Head{RequestID: m.head().RequestID}}))
			_, got, err := p.Read(nil)
			require.NoError(t, err)
			require.Equal(t, `{"response":true,"id":`+id+`,"ok":true,"data":{}}`, string(got))
		}
		require.NoError(t, c.Close())
	})
}

// TestContextEndsEveryWait ends the context of each method that waits, which does not hurt
// the client.
func TestContextEndsEveryWait(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(ctx context.Context, c *Client) error{
		"QueryRoom": func(ctx context.Context, c *Client) error { _, err := c.QueryRoom(ctx); return err },
		"CreateTransport": func(ctx context.Context, c *Client) error {
			_, err := c.CreateTransport(ctx, &CreateTransport{ID: 1, Direction: DirectionSend})
			return err
		},
		"RestartTransport": func(ctx context.Context, c *Client) error { _, err := c.RestartTransport(ctx, 1); return err },
		"CreateProducer": func(ctx context.Context, c *Client) error {
			m, err := decodeOfClient([]byte(clientProducer))
			return errors.Join(err, c.CreateProducer(ctx, m.(*CreateProducer)))
		},
		"EnableConsumer": func(ctx context.Context, c *Client) error {
			_, err := c.EnableConsumer(ctx, &EnableConsumer{ID: 7, TransportID: 1})
			return err
		},
		"Ask":  func(ctx context.Context, c *Client) error { _, err := c.Ask(ctx, "ours", nil); return err },
		"Next": func(ctx context.Context, c *Client) error { _, err := c.Next(ctx); return err },
		"Messages": func(ctx context.Context, c *Client) error {
			for _, err := range c.Messages(ctx) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := joinedClient(t, nil)
				p.Drain()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- wait(ctx, c) }()
				synctest.Wait()
				require.Empty(t, done)
				cancel()
				require.ErrorIs(t, <-done, context.Canceled)
				require.Zero(t, c.calls.Len())
				require.Equal(t, ClientJoined, c.State())
				require.NoError(t, c.Close())
				requireClientEnds(t, c, nil)
			})
		})
	}
}

func TestJoinThatIsGivenUpGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := newClient(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := c.Join(ctx, joinOf(t, "alice")); done <- err }()
		p.Hear(asked(1, clientJoin))
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		_, err := c.Join(t.Context(), joinOf(t, "alice"))
		_, ok := errors.AsType[*StateError](err)
		require.True(t, ok, "%v", err)
		p.Say(granted(1, clientBob))
		synctest.Wait()
		require.Equal(t, ClientJoined, c.State())
		require.Equal(t, `bob[7]`, shortPeers(c.Peers()))
		require.NoError(t, c.Close())
	})
}

// A server can name tens of thousands of peers in one message: the client must not copy all that
// it has for each of them. Not parallel, because it counts allocations.
func TestManyPeersOfAJoinAreTakenOneByOne(t *testing.T) {
	const n = 3000
	joined := &JoinResult{}
	for i := range n {
		joined.Peers = append(joined.Peers, &PeerInfo{Name: fmt.Sprint(i)})
	}
	allocs := testing.AllocsPerRun(3, func() {
		m := NewClientMachine(ClientConfig{})
		var fx Effects
		m.entered(&fx, &Join{}, joined, nil, false)
		require.Len(t, m.Peers(), n)
	})
	require.Less(t, allocs, 2.5*n, "the peer and its name, and not the list as well")
}

func TestPeersOfAJoinThatMakeNoSenseAreLeftOut(t *testing.T) {
	t.Parallel()
	consumer := func(id uint32) *ConsumerInfo { return &ConsumerInfo{ID: id, RTPParameters: &RTPParameters{}} }
	m := NewClientMachine(ClientConfig{})
	var fx Effects
	m.entered(&fx, &Join{}, &JoinResult{Peers: []*PeerInfo{
		nil, {}, {Name: "ann", Consumers: []*ConsumerInfo{nil, {}, {ID: 5}, consumer(1), consumer(1)}},
		{Name: "ann", Consumers: []*ConsumerInfo{consumer(2)}}, {Name: "ben", Consumers: []*ConsumerInfo{consumer(1)}},
	}}, nil, false)
	require.Len(t, m.Peers(), 2)
	require.Equal(t, "ann", m.Peers()[0].Name)
	require.Len(t, m.Peers()[0].Consumers, 1)
	require.Equal(t, "ben", m.Peers()[1].Name)
	require.Empty(t, m.Peers()[1].Consumers)
	require.NotNil(t, m.consumer(1))
	require.Nil(t, m.consumer(2))

	before := m.Peers()
	require.False(t, m.addPeer(&PeerInfo{Name: "ann"}))
	require.True(t, m.addPeer(&PeerInfo{Name: "cleo"}))
	require.Len(t, before, 2)
	require.True(t, m.apply(&fx, &PeerClosed{Name: "ann"}))
	require.Equal(t, "ann", before[0].Name, "what has been handed out does not change")
	require.Nil(t, m.consumer(1))
}
