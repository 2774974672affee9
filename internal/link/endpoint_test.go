package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

var (
	errRefused = errors.New("refused")
	errLate    = errors.New("handshake timed out")
	errNotText = errors.New("not text")
)

// A greeter says hello and is ready after "welcome". "no" is a refusal, "never" a final
// one; everything else is delivered, "ping" with an answer. It gives up after 10 s.
type greeter struct {
	ready    bool
	lost     []error
	deadline time.Time
}

func (g *greeter) Start(now time.Time) Effects[string] {
	g.deadline = now.Add(10 * time.Second)
	return Effects[string]{Send: []string{"hello"}}
}

func (g *greeter) Receive(_ time.Time, m string) Effects[string] {
	fx := Effects[string]{Deliver: []string{m}}
	switch m {
	case "welcome":
		g.ready, g.deadline = true, time.Time{}
	case "ping":
		fx.Send = []string{"pong"}
	case "no", "never":
		return Effects[string]{Close: &Closing{Code: 4000, Reason: m, Err: errRefused, Final: m == "never"}}
	}
	return fx
}

func (g *greeter) Malformed(_ time.Time, err error) Effects[string] {
	return Effects[string]{Close: &Closing{Code: transport.StatusInvalidPayload, Err: err}}
}

func (g *greeter) Deadline() (time.Time, bool) { return g.deadline, !g.deadline.IsZero() }

func (g *greeter) Expire(time.Time) Effects[string] {
	g.deadline = time.Time{}
	return Effects[string]{Close: &Closing{Code: transport.StatusPolicyViolation, Err: errLate}}
}

func (g *greeter) Lost(_ time.Time, cause error) Effects[string] {
	g.ready, g.deadline = false, time.Time{}
	g.lost = append(g.lost, cause)
	return Effects[string]{}
}

// A host hands out connections to one endpoint and keeps the other ends.
type host struct {
	*Endpoint[string]
	greeter *greeter
	peer    transport.Conn
	dialed  chan transport.Conn // the other ends of new connections
	dials   atomic.Int32
	refuse  atomic.Bool // to be dialed
}

func newHost(set func(*EndpointOptions[string])) *host {
	h := &host{greeter: new(greeter), dialed: make(chan transport.Conn, 8)}
	opts := EndpointOptions[string]{
		Options: plain(),
		Decode: func(typ transport.MessageType, data []byte) (string, error) {
			if typ != transport.Text {
				return "", errNotText
			}
			return string(data), nil
		},
		Ready: func() bool { return h.greeter.ready },
	}
	if set != nil {
		set(&opts)
	}
	h.Endpoint = NewEndpoint(h.greeter, opts)
	return h
}

// newRedialing returns an endpoint that connects again, a second after each failure.
func newRedialing() *host {
	var h *host
	h = newHost(func(opts *EndpointOptions[string]) {
		opts.Backoff = Backoff{Min: time.Second, Max: 4 * time.Second, Attempts: 3}
		opts.Redial = func(context.Context) (transport.Conn, error) {
			h.dials.Add(1)
			if h.refuse.Load() {
				return nil, errRefused
			}
			near, far := transport.Pipe()
			h.dialed <- far
			return near, nil
		}
	})
	return h
}

// dial returns the first connection.

func (h *host) dial() transport.Conn {
	near, far := transport.Pipe()
	h.peer = far
	return near
}

// redialed waits for the next connection.
func (h *host) redialed() { h.peer = <-h.dialed }

func (h *host) say(t *testing.T, messages ...string) {
	for _, m := range messages {
		require.NoError(t, h.peer.Write(transport.Text, []byte(m)))
	}
}

func (h *host) hear(t *testing.T, want string) {
	_, msg, err := h.peer.Read(nil)
	require.NoError(t, err)
	require.Equal(t, want, string(msg))
}

// open opens the endpoint and greets it.
func (h *host) open(t *testing.T) {
	conn := h.dial()
	go func() {
		_, _, _ = h.peer.Read(nil)
		_ = h.peer.Write(transport.Text, []byte("welcome"))
	}()
	require.NoError(t, h.Open(t.Context(), conn))
	require.Equal(t, "welcome", h.next(t))
}

func (h *host) next(t *testing.T) string {
	m, err := h.Next(t.Context())
	require.NoError(t, err)
	return m
}

func TestOpenWaitsUntilTheMachineIsReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(nil)
		conn := h.dial()
		opened := make(chan error, 1)
		go func() { opened <- h.Open(t.Context(), conn) }()
		h.hear(t, "hello")
		h.say(t, "soon")
		synctest.Wait()
		require.Empty(t, opened)
		h.say(t, "welcome")
		require.NoError(t, <-opened)
		time.Sleep(time.Hour) // the deadline of the handshake is over
		require.NoError(t, h.Err())
		require.Equal(t, "soon", h.next(t))
		require.Equal(t, "welcome", h.next(t))
		h.say(t, "ping")
		h.hear(t, "pong")
		h.Close()
	})
}

func TestOpenReturnsWhyItFailed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		act  func(t *testing.T, h *host, cancel func())
		want error
		code transport.StatusCode // that the peer gets
	}{
		"a refusal":       {func(t *testing.T, h *host, _ func()) { h.say(t, "no") }, errRefused, 4000},
		"garbage":         {func(t *testing.T, h *host, _ func()) { _ = h.peer.Write(transport.Binary, nil) }, errNotText, 1007},
		"silence":         {func(*testing.T, *host, func()) {}, errLate, 1008},
		"an orderly end":  {func(_ *testing.T, h *host, _ func()) { _ = h.peer.Close(1000, "") }, &transport.CloseError{Code: 1000}, 0},
		"the peer's end":  {func(_ *testing.T, h *host, _ func()) { _ = h.peer.Close(1011, "x") }, &transport.CloseError{Code: 1011, Reason: "x"}, 0},
		"the caller":      {func(_ *testing.T, _ *host, cancel func()) { cancel() }, context.Canceled, 1000},
		"its own closing": {func(_ *testing.T, h *host, _ func()) { go h.Close() }, transport.ErrClosed, 1000},
	} {
		for _, fresh := range []func() *host{func() *host { return newHost(nil) }, newRedialing} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					h := fresh()
					conn := h.dial()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					opened := make(chan error, 1)
					go func() { opened <- h.Open(ctx, conn) }()
					h.hear(t, "hello")
					tt.act(t, h, cancel)
					require.Equal(t, tt.want, <-opened)
					_, _, err := h.peer.Read(nil)
					if tt.code != 0 {
						closed, _ := errors.AsType[*transport.CloseError](err)
						require.Equal(t, tt.code, closed.Code)
					}
					<-h.Done()
					require.Zero(t, h.dials.Load(), "a session that never began does not begin again")
				})
			})
		}
	}
}

func TestCloseIsOrderlyAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(nil)
		h.open(t)
		h.say(t, "last")
		synctest.Wait()
		for range 2 {
			h.Close()
			<-h.Done()
			require.NoError(t, h.Err())
		}
		_, _, err := h.peer.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusNormal}, err)
		require.Equal(t, "last", h.next(t), "what has arrived may still be read")
		for range 2 {
			_, err = h.Next(t.Context())
			require.Equal(t, io.EOF, err)
		}
		err = h.Do(func(time.Time) (Effects[string], error) { panic("not to be called") })
		require.ErrorIs(t, err, transport.ErrClosed)
		require.Equal(t, io.EOF, h.Await(t.Context(), func() bool { return false }))
		require.NoError(t, h.Await(t.Context(), func() bool { return true }))
	})
}

func TestStopSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(nil)
		h.open(t)
		why := errors.New("why")
		require.NoError(t, h.Do(func(time.Time) (Effects[string], error) {
			return Effects[string]{Send: []string{"queued"}}, nil
		}))
		h.Stop(4001, "because", why)
		h.Stop(4002, "", errors.New("later"))
		h.hear(t, "queued")
		_, _, err := h.peer.Read(nil)
		require.Equal(t, &transport.CloseError{Code: 4001, Reason: "because"}, err)
		<-h.Done()
		require.Equal(t, why, h.Err())
		_, err = h.Next(t.Context())
		require.Equal(t, why, err)
		require.Equal(t, why, h.Await(t.Context(), func() bool { return false }))
	})
}

func TestDoReturnsTheStepsErrorAndCarriesNothingOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(nil)
		h.open(t)
		err := h.Do(func(time.Time) (Effects[string], error) {
			return Effects[string]{Send: []string{"unwanted"}}, errRefused
		})
		require.Equal(t, errRefused, err)
		h.Close()
		_, _, err = h.peer.Read(nil)
		require.Error(t, err)
	})
}

func TestFullInboxEndsTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(func(o *EndpointOptions[string]) { o.Inbox = 2 })
		h.open(t)
		h.say(t, "1", "2", "3")
		_, _, err := h.peer.Read(nil)
		require.Equal(t, &transport.CloseError{Code: transport.StatusPolicyViolation, Reason: "application too slow"}, err)
		<-h.Done()
		require.Equal(t, ErrSlowConsumer, h.Err())
		var got []string
		for m, err := range h.All(t.Context()) {
			if err != nil {
				require.Equal(t, ErrSlowConsumer, err)
				break
			}
			got = append(got, m)
		}
		require.Equal(t, []string{"1", "2"}, got)
	})
}

func TestNegativeInboxHasNoLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(func(o *EndpointOptions[string]) { o.Inbox = -1 })
		h.open(t)
		for n := range 2 * DefaultQueueMessages {
			h.say(t, fmt.Sprint(n))
		}
		for n := range 2 * DefaultQueueMessages {
			require.Equal(t, fmt.Sprint(n), h.next(t))
		}
		h.Close()
	})
}

func TestEndOfNextsContextDoesNotHurtTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(nil)
		h.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 1)
		go func() {
			_, err := h.Next(ctx)
			got <- err
		}()
		synctest.Wait()
		cancel()
		require.Equal(t, context.Canceled, <-got)
		for _, err := range h.All(ctx) {
			require.Equal(t, context.Canceled, err)
		}
		h.say(t, "after")
		require.Equal(t, "after", h.next(t))
		h.Close()
	})
}

func TestSeveralReadersShareTheInbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(nil)
		h.open(t)
		const readers = 4
		got := make(chan error, 2*readers)
		for range readers {
			go func() {
				for {
					_, err := h.Next(context.Background())
					got <- err
					if err != nil {
						return
					}
				}
			}()
		}
		h.say(t, "1", "2", "3", "4")
		synctest.Wait()
		for range 4 {
			require.NoError(t, <-got)
		}
		h.Close()
		for range readers {
			require.Equal(t, io.EOF, <-got, "each reader learns of the end")
		}
	})
}

func TestAllEndsWithoutAnErrorAfterAnOrderlyEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(nil)
		h.open(t)
		h.say(t, "1", "2")
		for m, err := range h.All(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, "1", m)
			break // harmless
		}
		require.NoError(t, h.peer.Close(transport.StatusGoingAway, ""))
		var got []string
		for m, err := range h.All(t.Context()) {
			require.NoError(t, err)
			got = append(got, m)
		}
		require.Equal(t, []string{"2"}, got)
		require.NoError(t, h.Err())
	})
}

func TestAwaitForgetsWhoGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(nil)
		h.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 3 {
			require.Equal(t, context.Canceled, h.Await(ctx, func() bool { return false }))
		}
		h.Locked(func() { require.Empty(t, h.waiting) })

		done := make(chan error, 1)
		seen := false
		go func() { done <- h.Await(t.Context(), func() bool { return seen }) }()
		synctest.Wait()
		h.Locked(func() { seen = true })
		h.say(t, "a step")
		require.NoError(t, <-done)
		h.Locked(func() { require.Empty(t, h.waiting) })
		h.Close()
	})
}

func TestLostConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newRedialing()
		h.open(t)
		begin := time.Now()
		require.NoError(t, h.peer.Close(1006, ""))
		synctest.Wait()
		require.Equal(t, []error{&transport.CloseError{Code: 1006}}, h.greeter.lost)
		require.NoError(t, h.Err())
		h.redialed()
		require.InDelta(t, 0.75, time.Since(begin).Seconds(), 0.251, "between half a second and a second")
		h.hear(t, "hello")
		h.say(t, "welcome", "again")
		require.Equal(t, "welcome", h.next(t))
		require.Equal(t, "again", h.next(t))
		h.Close()
		require.NoError(t, h.Err())
	})
}

func TestRefusalOnTheNewConnectionIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newRedialing()
		h.open(t)
		require.NoError(t, h.peer.Close(1006, ""))
		for range 2 {
			h.redialed()
			h.hear(t, "hello")
			h.say(t, "no")
		}
		h.redialed()
		h.hear(t, "hello")
		h.say(t, "welcome")
		require.Equal(t, "welcome", h.next(t))

		// Success starts the count of the attempts again.
		require.NoError(t, h.peer.Close(1006, ""))
		for range 3 {
			h.redialed()
			h.hear(t, "hello")
			h.say(t, "no")
		}
		<-h.Done()
		require.ErrorIs(t, h.Err(), errRefused)
		require.EqualError(t, h.Err(), "rtcsignal: no connection after 3 attempts: refused")
	})
}

func TestRedialGivesUpAfterItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newRedialing()
		h.open(t)
		h.refuse.Store(true)
		begin := time.Now()
		require.NoError(t, h.peer.Close(1006, ""))
		<-h.Done()
		require.EqualValues(t, 3, h.dials.Load())
		require.ErrorIs(t, h.Err(), errRefused)
		require.InDelta(t, 5.25, time.Since(begin).Seconds(), 1.76, "at least half of 1 + 2 + 4 s, at most all")
		_, err := h.Next(t.Context())
		require.Equal(t, h.Err(), err)
	})
}

func TestFinalClosingIsNotReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newRedialing()
		h.open(t)
		h.say(t, "never")
		<-h.Done()
		require.Equal(t, errRefused, h.Err())
		require.Zero(t, h.dials.Load())
	})
}

func TestCloseEndsTheBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newRedialing()
		h.open(t)
		require.NoError(t, h.peer.Close(1006, ""))
		synctest.Wait()
		begin := time.Now()
		h.Close()
		require.Zero(t, time.Since(begin))
		require.NoError(t, h.Err())
		require.Zero(t, h.dials.Load())
	})
}

func TestCloseEndsTheRedial(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"that gives up": false, "that connects nevertheless": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dialing := make(chan struct{})
				var h *host
				h = newHost(func(o *EndpointOptions[string]) {
					o.Redial = func(ctx context.Context) (transport.Conn, error) {
						close(dialing)
						<-ctx.Done()
						if !late {
							return nil, ctx.Err()
						}
						near, far := transport.Pipe()
						h.dialed <- far
						return near, nil
					}
				})
				h.open(t)
				require.NoError(t, h.peer.Close(1006, ""))
				<-dialing
				h.Close()
				require.NoError(t, h.Err())
				if late {
					h.redialed()
					_, _, err := h.peer.Read(nil)
					require.Equal(t, &transport.CloseError{Code: transport.StatusNormal}, err)
				}
			})
		})
	}
}

func TestBackoffDoublesUpToItsMaximum(t *testing.T) {
	t.Parallel()
	b := Backoff{}.withDefaults()
	require.Equal(t, Backoff{time.Second, 30 * time.Second, 100}, b)
	for attempt, full := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		full *= time.Second
		for range 100 {
			d := b.delay(attempt)
			require.GreaterOrEqual(t, d, full/2)
			require.LessOrEqual(t, d, full)
		}
	}
	require.LessOrEqual(t, b.delay(1000), 30*time.Second)
	require.GreaterOrEqual(t, Backoff{Min: 1 << 62, Max: time.Second}.delay(5), time.Second/2, "a product that overflows")
}
