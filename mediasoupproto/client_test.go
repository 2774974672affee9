package mediasoupproto

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/calls"
	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// newClient returns a client that counts its requests, and the server's end.
func newClient(t *testing.T, opts *ClientOptions) (*Client, *script.Line) {
	t.Helper()
	near, far := transport.Pipe()
	c, err := connectCounted(t.Context(), near, opts)
	require.NoError(t, err)
	require.Equal(t, ClientNew, c.State())
	return c, &script.Line{Conn: far, TB: t, JSON: true}
}

// joinOf returns a join by a name.
func joinOf(t testing.TB, peer string) *Join {
	t.Helper()
	m, err := decodeOfClient([]byte(clientJoin))
	require.NoError(t, err)
	join := m.(*Join)
	join.Head, join.PeerName = Head{}, peer
	return join
}

// joinedClient returns a client that has joined as alice, where bob has the consumer 7.
func joinedClient(t *testing.T, opts *ClientOptions) (*Client, *script.Line) {
	t.Helper()
	c, p := newClient(t, opts)
	p.Answer(asked(1, clientJoin), granted(1, clientBob))
	joined, err := c.Join(t.Context(), joinOf(t, "alice"))
	require.NoError(t, err)
	require.Len(t, joined.Peers, 1)
	require.Equal(t, ClientJoined, c.State())
	return c, p
}

// asked is a request of mediasoup in the framing of protoo, and told a notification.
func asked(id int, payload string) string {
	return fmt.Sprintf(`{"request":true,"id":%d,"method":"mediasoup-request","data":%s}`, id, payload)
}

func told(payload string) string {
	return `{"notification":true,"method":"mediasoup-notification","data":` + payload + `}`
}

// granted is the answer to one request, and denied a refusal.
func granted(id int, result string) string {
	return fmt.Sprintf(`{"response":true,"id":%d,"ok":true,"data":%s}`, id, result)
}

func denied(id, code int, reason string) string {
	return fmt.Sprintf(`{"response":true,"id":%d,"errorCode":%d,"errorReason":%q}`, id, code, reason)
}

// clientHears demands what Next returns.
func clientHears(t *testing.T, c *Client, want ...string) {
	t.Helper()
	script.RequireNext(t, c, clientText, want...)
}

// requireClientEnds demands what Next and Err say of the end.
func requireClientEnds(t *testing.T, c *Client, want error) {
	t.Helper()
	script.RequireEnd(t, c, want)
	require.Zero(t, c.calls.Len())
	requireClientForgets(t, c.machine)
}

func TestClientUsesEveryVerb(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, nil)
		ctx := t.Context()

		p.Answer(asked(2, `{"method":"queryRoom","target":"room"}`), granted(2, clientRoom))
		room, err := c.QueryRoom(ctx)
		require.NoError(t, err)
		require.Equal(t, "opus", room.RTPCapabilities.Codecs[0].Name)
		require.Equal(t, room, c.Room())

		p.Answer(asked(3, clientTransports[2:]), granted(3, clientTransport))
		made, err := c.CreateTransport(ctx, &CreateTransport{ID: 1, Direction: DirectionSend, Options: new(TransportOptions)})
		require.NoError(t, err)
		require.Equal(t, &ICEParameters{UsernameFragment: "u", Password: "p"}, made.ICEParameters)
		require.Equal(t, DTLSRoleClient, made.DTLSParameters.Role)

		require.NoError(t, c.UpdateTransport(&UpdateTransport{ID: 1, DTLSParameters: &DTLSParameters{
			Role: DTLSRoleClient, Fingerprints: []Fingerprint{{Algorithm: "sha-256", Value: "AA:BB"}},
		}}))
		p.Hear(told(ofPeer("updateTransport", `,"id":1,"dtlsParameters":`+clientDTLS)))

		var params RTPParameters
		require.NoError(t, json.Unmarshal([]byte(clientMedia), &params))
		p.Answer(asked(4, clientProducer), granted(4, `{}`))
		require.NoError(t, c.CreateProducer(ctx, &CreateProducer{ID: 2, Kind: Audio, TransportID: 1, RTPParameters: &params}))

		p.Answer(asked(5, clientEnables[2:]),
			granted(5, `{"paused":true,"preferredProfile":"low","effectiveProfile":"high"}`))
		enabled, err := c.EnableConsumer(ctx, &EnableConsumer{ID: 7, TransportID: 3})
		require.NoError(t, err)
		require.Equal(t, &EnableConsumerResult{
			Paused: true, PreferredProfile: ProfileLow, EffectiveProfile: new(ProfileHigh),
		}, enabled)
		got := c.Peers()[0].Consumers[0]
		require.True(t, got.Paused, "the answer counts, not what was said before")
		require.Equal(t, ProfileLow, got.PreferredProfile)
		require.Equal(t, ProfileHigh, *got.EffectiveProfile)

		p.Answer(asked(6, `{"method":"restartTransport","target":"peer","id":1}`),
			granted(6, `{"iceParameters":{"usernameFragment":"v","password":"q"}}`))
		ice, err := c.RestartTransport(ctx, 1)
		require.NoError(t, err)
		require.Equal(t, &ICEParameters{UsernameFragment: "v", Password: "q"}, ice)

		p.Answer(`{"request":true,"id":7,"method":"change-display-name","data":{"displayName":"A"}}`,
			granted(7, `{"ok":[1]}`))
		result, err := c.Ask(ctx, "change-display-name", json.RawMessage(`{"displayName":"A"}`))
		require.NoError(t, err)
		require.JSONEq(t, `{"ok":[1]}`, string(result))

		require.NoError(t, c.CloseTransport(1, nil))
		require.NoError(t, c.CloseTransport(3, json.RawMessage(`"bye"`)))
		require.NoError(t, c.Leave(json.RawMessage(`{"w":1}`)))
		p.Hear(told(ofPeer("closeTransport", `,"id":1`)), told(ofPeer("closeTransport", `,"id":3,"appData":"bye"`)),
			told(ofPeer("leave", `,"appData":{"w":1}`)))
		require.Equal(t, ClientLeft, c.State())
		require.Empty(t, c.Peers())
		stats := c.Stats()
		require.EqualValues(t, 7, stats.MessagesRead)
		require.EqualValues(t, 11, stats.MessagesWritten)
		require.Zero(t, c.Ignored())
		require.NoError(t, c.Close())
		requireClientEnds(t, c, nil)
	})
}

func TestRefusalsAreErrorsOfTheirRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, nil)
		ctx := t.Context()
		for i, do := range []func() error{
			func() error { _, err := c.QueryRoom(ctx); return err },
			func() error {
				_, err := c.CreateTransport(ctx, &CreateTransport{ID: 1, Direction: DirectionRecv})
				return err
			},
			func() error { _, err := c.RestartTransport(ctx, 1); return err },
			func() error {
				m, err := decodeOfClient([]byte(clientProducer))
				require.NoError(t, err)
				return c.CreateProducer(ctx, m.(*CreateProducer))
			},
			func() error { _, err := c.EnableConsumer(ctx, &EnableConsumer{ID: 7, TransportID: 1}); return err },
			func() error { _, err := c.Ask(ctx, "ours", nil); return err },
		} {
			go func() {
				_, _, _ = p.Read(nil)
				p.Say(denied(2+i, 500, "Error: Transport not found"))
			}()
			err := do()
			require.ErrorIs(t, err, ErrTransportNotFound, "%d", i)
			refusal, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, CodeFailed, refusal.Code)
		}
		require.Equal(t, ClientJoined, c.State())
		require.NoError(t, c.Leave(nil))
		p.Hear(told(ofPeer("leave", "")))
		p.Answer(asked(8, clientJoin), denied(8, 403, ErrOtherName.Reason))
		_, err := c.Join(ctx, joinOf(t, "alice"))
		require.ErrorIs(t, err, ErrOtherName)
		require.Equal(t, ClientNew, c.State())
		require.NoError(t, c.Close())
	})
}

func TestCallIsForRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, nil)
		for _, m := range []Message{
			nil, new(Leave), &PauseProducer{ID: 1}, &Application{Method: "ours"}, &Unknown{Type: "novelty"},
			&Response{Head: Head{RequestID: "1"}}, new(Reconnected),
		} {
			_, err := c.Call(t.Context(), m)
			_, ok := errors.AsType[*ValidationError](err)
			require.True(t, ok, "%T: %v", m, err)
		}
		// One message is one request.
		m := new(QueryRoom)
		p.Drain()
		first := make(chan error, 1)
		go func() { _, err := c.Call(t.Context(), m); first <- err }()
		synctest.Wait()
		_, err := c.Call(t.Context(), m)
		require.ErrorIs(t, err, calls.ErrDuplicate)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-first, ErrConnectionLost)
		_, err = c.Call(t.Context(), m)
		require.ErrorIs(t, err, transport.ErrClosed)
	})
}

func TestGivenUpCallDoesNotHurt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := c.QueryRoom(ctx); done <- err }()
		p.Hear(asked(2, `{"method":"queryRoom","target":"room"}`))
		cancel()
		require.Equal(t, context.Canceled, <-done)
		require.Zero(t, c.calls.Len())
		_, err := c.Next(ctx)
		require.Equal(t, context.Canceled, err)
		p.Say(granted(2, clientRoom))
		synctest.Wait()
		require.NotNil(t, c.Room(), "what it said counts nevertheless")
		require.Zero(t, c.Ignored())
		require.NoError(t, c.Close())
	})
}

func TestAnswersMayComeInAnyOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, nil)
		const n = 50
		got := make([]string, n)
		var callers sync.WaitGroup
		for i := range n {
			callers.Go(func() {
				result, err := c.Ask(t.Context(), "ours", fmt.Appendf(nil, `{"n":%d}`, i))
				if err == nil {
					got[i] = string(result)
				}
			})
		}
		var requests []*Application
		for range n {
			_, data, err := p.Read(nil)
			require.NoError(t, err)
			m, err := Decode(data)
			require.NoError(t, err)
			requests = append(requests, m.(*Application))
		}
		for i := n - 1; i >= 0; i-- {
			b, err := Encode(&Response{Head: Head{RequestID: requests[i].RequestID}, Result: requests[i].Data})
			require.NoError(t, err)
			p.Say(string(b))
		}
		callers.Wait()
		for i := range n {
			require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, i), got[i])
		}
		require.NoError(t, c.Close())
	})
}

func TestRequestsHaveIDsOfSevenDigits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := transport.Pipe()
		c, err := Connect(t.Context(), near, nil)
		require.NoError(t, err)
		seen := map[ID]bool{}
		for range 20 {
			require.NoError(t, c.Send(new(QueryRoom)))
			_, data, err := far.Read(nil)
			require.NoError(t, err)
			m, err := Decode(data)
			require.NoError(t, err)
			id := m.head().RequestID
			require.Len(t, string(id), 7)
			require.False(t, seen[id])
			seen[id] = true
			n := NewID()
			require.True(t, 10_000_000 <= n && n <= 99_999_999)
		}
		require.NoError(t, c.Close())
	})
}

func TestManyGoroutinesUseOneClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, nil)
		var workers sync.WaitGroup
		for i := range 8 {
			workers.Go(func() {
				for n := range 20 {
					_ = c.Send(&PauseProducer{ID: uint32(n + 1)})
					_, _ = c.Ask(t.Context(), "ours", nil)
					_, _, _, _ = c.State(), c.Room(), c.Peers(), c.Stats()
					_, _ = c.Ignored(), c.Err()
					if i == 0 && n == 10 {
						_ = c.Leave(nil)
					}
				}
			})
		}
		go func() {
			for {
				_, data, err := p.Read(nil)
				if err != nil {
					return
				}
				if m, err := Decode(data); err == nil && m.head().RequestID != "" {
					b, _ := Encode(&Response{Head: Head{RequestID: m.head().RequestID}})
					_ = p.Write(transport.Text, b)
				}
			}
		}()
		workers.Wait()
		require.NoError(t, c.Close())
		require.NoError(t, c.Close(), "twice is once")
		requireClientEnds(t, c, nil)
	})
}

func TestConnectFailsOnlyByItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := transport.Pipe()
		require.NoError(t, far.Close(transport.StatusAbnormal, ""))
		c, err := Connect(t.Context(), near, nil)
		require.NoError(t, err, "it needs nothing of the server")
		<-c.Done()
		closed, ok := errors.AsType[*transport.CloseError](c.Err())
		require.True(t, ok)
		require.Equal(t, transport.StatusAbnormal, closed.Code)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		near, _ = transport.Pipe()
		c, err = Connect(ctx, near, nil)
		require.NoError(t, err)
		require.NoError(t, c.Close())
	})
}

func TestEndsAreToldToAClient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code    transport.StatusCode
		orderly bool
	}{
		"in order": {transport.StatusNormal, true}, "going away": {transport.StatusGoingAway, true},
		"cut":                   {transport.StatusAbnormal, false},
		"by a server of protoo": {CloseByServer, false}, "a policy": {transport.StatusPolicyViolation, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := joinedClient(t, nil)
				done := make(chan error, 1)
				go func() { _, err := c.QueryRoom(t.Context()); done <- err }()
				p.Hear(asked(2, `{"method":"queryRoom","target":"room"}`))
				p.Say(told(ofPeer("newPeer", `,"name":"carol","consumers":[]`)))
				require.NoError(t, p.Close(tt.code, "x"))
				require.ErrorIs(t, <-done, ErrConnectionLost)
				<-c.Done()
				require.Equal(t, tt.orderly, c.Err() == nil, "%v", c.Err())
				heard := 0
				for _, err := range c.Messages(t.Context()) {
					if err == nil {
						heard++
						continue
					}
					closed, ok := errors.AsType[*transport.CloseError](err)
					require.True(t, ok && !tt.orderly)
					require.Equal(t, tt.code, closed.Code)
				}
				require.Equal(t, 1, heard, "what came before the end is read")
				_, ok := errors.AsType[*StateError](c.Send(new(QueryRoom)))
				require.False(t, ok, "the cause of the end says more")
				requireClientForgets(t, c.machine)
			})
		})
	}
}

func TestAnswerThatDoesNotComeIsMissed(t *testing.T) {
	t.Parallel()
	for wait, opts := range map[time.Duration]*ClientOptions{
		DefaultCallTimeout: nil, time.Minute: {CallTimeout: time.Minute},
	} {
		t.Run(wait.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := joinedClient(t, opts)
				p.Drain()
				begin := time.Now()
				_, err := c.QueryRoom(t.Context())
				require.ErrorIs(t, err, ErrCallTimeout)
				require.Equal(t, wait, time.Since(begin))
				require.Equal(t, ClientJoined, c.State())
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestNegativeTimesOfAClientAreNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := joinedClient(t, &ClientOptions{CallTimeout: -1, HandshakeTimeout: -1, Pending: -1})
		p.Drain()
		for range 2 * DefaultPending / 16 {
			for range 16 {
				require.NoError(t, c.Send(new(QueryRoom)))
			}
			synctest.Wait() // until they are written
		}
		time.Sleep(1000 * time.Hour)
		c.end.Locked(func() { require.Len(t, c.machine.pending, 2*DefaultPending) })
		require.NoError(t, c.Close())
		requireClientEnds(t, c, nil)
	})
}
