package cuttlefish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// connecting starts ConnectClient over a pipe and returns the server's end, after it has
// heard the connect, and the result.
func connecting(t *testing.T, ctx context.Context, opts *ClientOptions) (*script.Line, <-chan connected[*Client]) {
	near, far := transport.Pipe()
	result := make(chan connected[*Client], 1)
	go func() {
		c, err := ConnectClient(ctx, near, "cvd-1", opts)
		result <- connected[*Client]{c, err}
	}()
	r := &script.Line{Conn: far, TB: t, JSON: true}
	if opts == nil || opts.Dialect == DialectDocument {
		r.Hear(sayConnect)
	}
	return r, result
}

// connected is what ConnectClient or ConnectDevice returns.
type connected[T any] struct {
	peer T
	err  error
}

// client returns a client that is ready and has read its handshake, and the server's end.
func client(t *testing.T, opts *ClientOptions) (*Client, *script.Line) {
	r, result := connecting(t, t.Context(), opts)
	r.Say(hearConfig, hearInfo)
	c := <-result
	require.NoError(t, c.err)
	hearMessages(t, c.peer, hearConfig, hearInfo)
	return c.peer, r
}

// hearMessages demands the next messages of a [Client] or a [Device].
func hearMessages(t *testing.T, from interface {
	Next(ctx context.Context) (Message, error)
}, want ...string) {
	t.Helper()
	for _, w := range want {
		m, err := from.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, w, wireText(m))
	}
}

func TestClientShakesHands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, result := connecting(t, t.Context(), nil)
		r.Say(`{"message_type":"config","ice_servers":[{"urls":["stun:a"]}]}`)
		time.Sleep(time.Hour) // the wait for the device is the server's
		require.Empty(t, result)
		r.Say(hearInfo)
		got := <-result
		require.NoError(t, got.err)
		c := got.peer
		require.Equal(t, ClientReady, c.State())
		require.Equal(t, []ICEServer{{URLs: []string{"stun:a"}}}, c.Config().ICEServers)
		require.JSONEq(t, `{"n":1}`, string(c.DeviceInfo()))
		hearMessages(t, c, `{"message_type":"config","ice_servers":[{"urls":["stun:a"]}]}`, hearInfo)

		require.NoError(t, c.Forward(json.RawMessage(`{"a":1}`)))
		r.Hear(`{"message_type":"forward","payload":{"a":1}}`)
		require.NoError(t, c.SendPayload(&RequestOffer{}))
		r.Hear(`{"message_type":"forward","payload":{"type":"request-offer"}}`)
		require.NoError(t, c.Send(&Unknown{Type: "novelty"}))
		r.Hear(`{"message_type":"novelty"}`)
		r.Say(`{"message_type":"device_msg","payload":[1]}`, `{"message_type":"novelty","b":2}`)
		hearMessages(t, c, `{"message_type":"device_msg","payload":[1]}`, `{"message_type":"novelty","b":2}`)
		stats := c.Stats()
		require.EqualValues(t, 4, stats.MessagesRead)
		require.EqualValues(t, 4, stats.MessagesWritten)

		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
		r.Closed(transport.StatusNormal)
		<-c.Done()
		require.NoError(t, c.Err())
		require.Equal(t, ClientIdle, c.State())
		_, err := c.Next(t.Context())
		require.Equal(t, io.EOF, err)
		require.ErrorIs(t, c.Forward([]byte(`1`)), transport.ErrClosed)
	})
}

func TestClientOfTheOperatorSpeaksItsDialect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, result := connecting(t, t.Context(), &ClientOptions{Dialect: DialectOperator})
		r.Say(`{"device_info":{"n":1}}`)
		got := <-result
		require.NoError(t, got.err)
		c := got.peer
		require.Nil(t, c.Config())
		hearMessages(t, c, hearInfo)
		require.NoError(t, c.SendPayload(&RequestOffer{}))
		r.Hear(`{"type":"request-offer"}`)
		for _, payload := range []string{`7`, `"x"`, `[]`} {
			_, ok := errors.AsType[*ValidationError](c.Forward([]byte(payload)))
			require.True(t, ok, payload)
		}
		_, ok := errors.AsType[*StateError](c.Send(&Unknown{Type: "novelty"}))
		require.True(t, ok)
		require.NoError(t, c.Close())
	})
}

func TestClientSaysWhatMayNotBeSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := client(t, nil)
		for _, m := range []Message{&Forward{}, &Forward{Payload: []byte(`{`)}, &Forward{ClientID: new(1), Payload: []byte(`1`)}, &Unknown{}} {
			_, ok := errors.AsType[*ValidationError](c.Send(m))
			require.True(t, ok, "%#v", m)
		}
		for _, m := range []Message{&Connect{DeviceID: "x"}, &DeviceMsg{Payload: []byte(`1`)}, &Error{Text: "x"}} {
			_, ok := errors.AsType[*StateError](c.Send(m))
			require.True(t, ok, "%#v", m)
		}
		_, ok := errors.AsType[*ValidationError](c.SendPayload(&Answer{}))
		require.True(t, ok)
		require.NoError(t, c.Close())
	})
}

func TestConnectClientSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	type act struct {
		name string
		do   func(r *script.Line, cancel func())
		want func(err error) bool
		code transport.StatusCode // that the server gets; 0 when it closed
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	frame := func(typ transport.MessageType, data string) func(*script.Line, func()) {
		return func(r *script.Line, _ func()) { _ = r.Write(typ, []byte(data)) }
	}
	decode := func(err error) bool { _, ok := errors.AsType[*DecodeError](err); return ok }
	closedWith := func(code transport.StatusCode) func(error) bool {
		return func(err error) bool {
			e, ok := errors.AsType[*transport.CloseError](err)
			return ok && e.Code == code
		}
	}
	acts := []act{
		{"a refusal", frame(transport.Text, `{"error":"Connection failed"}`), func(err error) bool {
			e, ok := errors.AsType[*Error](err)
			return ok && e.Text == "Connection failed"
		}, 1000},
		{"silence", func(*script.Line, func()) {}, is(ErrHandshakeTimeout), 1008},
		{"a wrong message", frame(transport.Text, `{"message_type":"device_msg","payload":1}`), func(err error) bool {
			_, ok := errors.AsType[*StateError](err)
			return ok
		}, 1002},
		{"garbage", frame(transport.Text, `{"error":"unescaped " quote"}`), decode, 1007},
		{"binary garbage", frame(transport.Binary, "\x00"), decode, 1007},
		{"a close", func(r *script.Line, _ func()) { _ = r.Close(1008, "no") }, closedWith(1008), 0},
		{"an orderly close", func(r *script.Line, _ func()) { _ = r.Close(1000, "") }, closedWith(1000), 0},
		{"the caller", func(_ *script.Line, cancel func()) { cancel() }, is(context.Canceled), 1000},
	}
	for _, waiting := range []bool{false, true} { // for the config, for the device_info
		for _, a := range acts {
			if waiting && a.name == "silence" {
				continue // that wait has no limit
			}
			t.Run(fmt.Sprint(a.name, ", config received: ", waiting), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					r, result := connecting(t, ctx, nil)
					if waiting {
						r.Say(hearConfig)
					}
					synctest.Wait()
					begin := time.Now()
					a.do(r, cancel)
					got := <-result
					require.Nil(t, got.peer)
					require.True(t, a.want(got.err), "%v", got.err)
					require.ErrorContains(t, got.err, `cuttlefish: connect to device "cvd-1": `)
					if a.name == "silence" {
						require.Equal(t, DefaultHandshakeTimeout, time.Since(begin))
					}
					if a.code != 0 {
						r.Closed(a.code)
					}
				})
			})
		}
	}
}

func TestHandshakeTimeoutIsAnOption(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, result := connecting(t, t.Context(), &ClientOptions{HandshakeTimeout: time.Minute})
		require.ErrorIs(t, (<-result).err, ErrHandshakeTimeout)
		require.Equal(t, time.Minute, time.Since(begin))

		_, result = connecting(t, t.Context(), &ClientOptions{Dialect: DialectOperator, HandshakeTimeout: time.Second})
		require.ErrorIs(t, (<-result).err, ErrHandshakeTimeout, "the operator answers at once")

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, result = connecting(t, ctx, &ClientOptions{HandshakeTimeout: -1})
		require.ErrorIs(t, (<-result).err, context.DeadlineExceeded)
	})
}

func TestErrorEndsAClientThatIsReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := client(t, nil)
		r.Say(`{"message_type":"device_msg","payload":1}`, `{"error":"Device disconnected"}`)
		r.Closed(transport.StatusNormal)
		var last error
		n := 0
		for m, err := range c.Messages(t.Context()) {
			if last = err; err == nil {
				n++
				require.Equal(t, `{"message_type":"device_msg","payload":1}`, wireText(m))
			}
		}
		require.Equal(t, 1, n)
		e, ok := errors.AsType[*Error](last)
		require.True(t, ok)
		require.Equal(t, "Device disconnected", e.Text)
		require.Equal(t, last, c.Err())
		require.Equal(t, last, c.Forward([]byte(`1`)))
	})
}

func TestApplicationThatDoesNotReadEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := client(t, &ClientOptions{Inbox: 3})
		for range 4 {
			r.Say(`{"message_type":"device_msg","payload":1}`)
		}
		r.Closed(transport.StatusPolicyViolation)
		<-c.Done()
		require.Equal(t, ErrSlowConsumer, c.Err())
	})
}

func TestServerThatDoesNotReadEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := client(t, &ClientOptions{QueueMessages: 3})
		for range 3 {
			require.NoError(t, c.Forward([]byte(`1`)))
		}
		require.ErrorIs(t, c.Forward([]byte(`1`)), ErrSlowPeer)
		<-c.Done()
		require.Equal(t, ErrSlowPeer, c.Err())
		r.Closed(transport.StatusTryAgainLater)
	})
}

func TestEndOfNextsContextDoesNotHurtTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := client(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Next(ctx)
		require.Equal(t, context.DeadlineExceeded, err)
		r.Say(`{"message_type":"device_msg","payload":1}`)
		hearMessages(t, c, `{"message_type":"device_msg","payload":1}`)
		require.NoError(t, c.Close())
	})
}

func TestClientConnectsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := script.NewDialer(t, true)
		c, r := client(t, &ClientOptions{Redial: d.Dial})
		require.NoError(t, r.Close(1006, ""))
		begin := time.Now()
		r = <-d.Lines
		require.InDelta(t, 0.75, time.Since(begin).Seconds(), 0.251)
		r.Hear(sayConnect)
		_, ok := errors.AsType[*StateError](c.Forward([]byte(`1`)))
		require.True(t, ok, "not ready again")
		r.Say(hearConfig, `{"message_type":"device_info","device_info":{"n":2}}`)
		hearMessages(t, c, hearConfig, "reconnected", `{"message_type":"device_info","device_info":{"n":2}}`)
		require.JSONEq(t, `{"n":2}`, string(c.DeviceInfo()))
		require.NoError(t, c.Forward([]byte(`1`)))
		r.Hear(`{"message_type":"forward","payload":1}`)

		// An error ends the connection, not the client.
		r.Say(`{"error":"Device disconnected"}`).Closed(transport.StatusNormal)
		(<-d.Lines).Hear(sayConnect).Say(`{"error":"Connection failed: Device not found: 'cvd-1'"}`).Closed(transport.StatusNormal)
		(<-d.Lines).Hear(sayConnect).Say(hearConfig, hearInfo)
		hearMessages(t, c, hearConfig, "reconnected", hearInfo)
		require.NoError(t, c.Close())
		require.NoError(t, c.Err())
	})
}

func TestClientGivesUpAfterItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("network is down")
		c, r := client(t, &ClientOptions{
			Redial:  func(context.Context) (transport.Conn, error) { return nil, down },
			Backoff: Backoff{Min: time.Second, Max: 2 * time.Second, Attempts: 3},
		})
		begin := time.Now()
		require.NoError(t, r.Close(1006, ""))
		<-c.Done()
		require.ErrorIs(t, c.Err(), down)
		require.InDelta(t, 3.75, time.Since(begin).Seconds(), 1.251, "at least half of 1 + 2 + 2 s, at most all")
	})
}
