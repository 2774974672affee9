package msejsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// What the tests say and hear most.
const (
	wireAuth          = `{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"T","version":"1.0"}}`
	wireAuthenticated = `{"id":1,"jsonrpc":"2.0","result":"authenticated"}`
	wireStart         = `{"id":2,"method":"start","jsonrpc":"2.0"}`
	wireStarted       = `{"id":2,"jsonrpc":"2.0","result":"started"}`
	wirePing          = `{"id":3,"method":"ping","jsonrpc":"2.0"}`
	wirePong          = `{"id":3,"jsonrpc":"2.0","result":"pong"}`
	wireDisconnect    = `{"id":null,"method":"disconnect","jsonrpc":"2.0"}`
	wireOffer         = `{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":"v=0"}}`
	wireCandidate     = `{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":"candidate:1"}}`
)

func authAs(id uint64, token string) string {
	return wireText(&Auth{ID: NumberID(id), Token: token, Version: Version})
}

func startAs(id uint64) string { return wireText(&Start{ID: NumberID(id)}) }

func result(id uint64, text string) string {
	return wireText(&Response{ID: NumberID(id), Result: fmt.Appendf(nil, "%q", text)})
}

func wireError(id any, err *Error) string {
	data, _ := json.Marshal(id)
	parsed, _ := ParseID(data)
	return wireText(NewErrorResponse(parsed, err))
}

// connecting starts Connect over a pipe and returns the server's end and the result.
func connecting(t *testing.T, ctx context.Context, opts *ClientOptions) (*script.Line, <-chan connected) {
	near, far := transport.Pipe()
	result := make(chan connected, 1)
	go func() {
		c, err := Connect(ctx, near, opts)
		result <- connected{c, err}
	}()
	return &script.Line{Conn: far, TB: t, JSON: true}, result
}

// connected is what Connect returns.
type connected struct {
	client *Client
	err    error
}

// activeClient returns a client that is active, and the server's end.
func activeClient(t *testing.T, opts ClientOptions) (*Client, *script.Line) {
	opts.Token = "T"
	r, result := connecting(t, t.Context(), &opts)
	r.Hear(wireAuth).Say(wireAuthenticated).Hear(wireStart).Say(wireStarted)
	c := <-result
	require.NoError(t, c.err)
	require.Equal(t, ClientActive, c.client.State())
	return c.client, r
}

// bareClient returns a client without a token, and the server's end.
func bareClient(t *testing.T, opts *ClientOptions) (*Client, *script.Line) {
	r, result := connecting(t, t.Context(), opts)
	c := <-result
	require.NoError(t, c.err)
	require.Equal(t, ClientConnected, c.client.State())
	return c.client, r
}

// hearMessages demands the next messages of a [Client] or a [ServerSession].
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

func TestClientShakesHandsAndUsesEveryVerb(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{})
		r.Answer(wirePing, wirePong)
		require.NoError(t, c.Ping(t.Context()))

		r.Answer(`{"id":4,"method":"whoami","jsonrpc":"2.0"}`, `{"id":4,"jsonrpc":"2.0","result":{"userId":"u","validTo":0}}`)
		i, err := c.WhoAmI(t.Context())
		require.NoError(t, err)
		require.Equal(t, &Identity{UserID: "u", ValidTo: "1970-01-01T00:00:00Z"}, i)

		require.NoError(t, c.SendOffer(SessionDescription{Type: "offer", SDP: "v=0"}))
		require.NoError(t, c.SendCandidate(ICECandidateInit{Candidate: "candidate:1"}))
		require.NoError(t, c.Chat("hi", json.RawMessage(`{"a":1}`), "u", "v"))
		require.NoError(t, c.Chat("all", nil))
		require.NoError(t, c.Send(&Unknown{Type: "novelty"}))
		r.Hear(wireOffer, wireCandidate,
			`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":["u","v"],"message":"hi","attachment":{"a":1}}}`,
			`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"all"}}`,
			`{"id":null,"method":"novelty","jsonrpc":"2.0"}`)

		r.Answer(`{"id":9,"method":"novelty","jsonrpc":"2.0"}`, `{"id":9,"jsonrpc":"2.0","result":null}`)
		response, err := c.Call(t.Context(), &Unknown{Type: "novelty", ID: NumberID(9)})
		require.NoError(t, err)
		require.Equal(t, json.RawMessage(`null`), response.Result)

		heard := []string{
			wireOffer, wireCandidate,
			`{"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"type":"answer","sdp":"v=0"}}}`,
			`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"hi"}}`,
			`{"id":null,"method":"novelty","jsonrpc":"2.0","params":[1]}`,
			`{"id":null,"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"}}`,
		}
		r.Say(heard...)
		hearMessages(t, c, heard...)
		require.Zero(t, c.Ignored())
		stats := c.Stats()
		require.EqualValues(t, 5+len(heard), stats.MessagesRead)
		require.EqualValues(t, 10, stats.MessagesWritten)

		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
		r.Closed(transport.StatusNormal)
		<-c.Done()
		require.NoError(t, c.Err())
		_, err = c.Next(t.Context())
		require.Equal(t, io.EOF, err)
		require.ErrorIs(t, c.Ping(t.Context()), transport.ErrClosed)
		require.ErrorIs(t, c.Send(&Ping{}), transport.ErrClosed)
		require.Zero(t, c.calls.Len())
	})
}

func TestClientWritesObjectsIfToldTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{Form: FormObject})
		require.NoError(t, c.SendOffer(SessionDescription{Type: "answer", SDP: "v=0"}))
		require.NoError(t, c.SendCandidate(ICECandidateInit{}))
		r.Hear(`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"type":"answer","sdp":"v=0"}}}`,
			`{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":`+
				`{"candidate":"","sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null}}}`)
		require.NoError(t, c.Close())
	})
}

func TestClientWithoutATokenLeavesTheHandshakeToTheApplication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := bareClient(t, nil)
		for _, verb := range []func() error{
			func() error { return c.Start(t.Context()) },
			func() error { _, err := c.WhoAmI(t.Context()); return err },
			func() error { return c.Chat("hi", nil) },
			func() error { return c.SendOffer(SessionDescription{SDP: "v=0"}) },
			func() error { return c.SendCandidate(ICECandidateInit{}) },
		} {
			e, ok := errors.AsType[*StateError](verb())
			require.True(t, ok)
			require.Equal(t, ClientConnected, e.State)
		}
		r.Answer(`{"id":1,"method":"ping","jsonrpc":"2.0"}`, result(1, "pong"))
		require.NoError(t, c.Ping(t.Context()))

		// A refused token may be followed by another.
		r.Answer(authAs(2, "bad"), wireError(2, ErrAuthorizationFailed))
		err := c.Auth(t.Context(), "bad")
		require.ErrorIs(t, err, ErrNotAuthorized)
		require.ErrorIs(t, err, ErrAuthorizationFailed)
		require.Equal(t, ClientConnected, c.State())
		r.Answer(authAs(3, "good"), result(3, "authenticated"))
		require.NoError(t, c.Auth(t.Context(), "good"))
		require.Equal(t, ClientAuthorized, c.State())

		// A fresh token that is refused keeps the old one.
		r.Answer(authAs(4, "bad"), wireError(4, ErrAuthorizationFailed))
		require.ErrorIs(t, c.Auth(t.Context(), "bad"), ErrNotAuthorized)
		require.Equal(t, ClientAuthorized, c.State())

		r.Answer(startAs(5), wireError(5, ErrUnauthorizedAccess))
		err = c.Start(t.Context())
		require.ErrorIs(t, err, ErrNotAuthorized)
		require.ErrorIs(t, err, ErrUnauthorizedAccess)
		r.Answer(startAs(6), result(6, "started"))
		require.NoError(t, c.Start(t.Context()))
		require.Equal(t, ClientActive, c.State())
		_, ok := errors.AsType[*StateError](c.Auth(t.Context(), "good"))
		require.True(t, ok)
		r.Answer(wireDisconnect, "")
		require.NoError(t, c.Disconnect())
		r.Closed(transport.StatusNormal)
	})
}

func TestClientWithNoStartStopsAfterAuth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, result := connecting(t, t.Context(), &ClientOptions{Token: "T", NoStart: true})
		r.Hear(wireAuth)
		synctest.Wait()
		require.Empty(t, result)
		r.Say(wireAuthenticated)
		got := <-result
		require.NoError(t, got.err)
		require.Equal(t, ClientAuthorized, got.client.State())
		r.Say(`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"hi"}}`)
		hearMessages(t, got.client, `{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"hi"}}`)
		require.NoError(t, got.client.Close())
	})
}

func TestDisconnectSaysGoodbyeInEveryState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bare, r := bareClient(t, nil)
		r.Answer(wireDisconnect, "")
		require.NoError(t, bare.Disconnect())
		r.Closed(transport.StatusNormal)
		require.NoError(t, bare.Err())

		active, r := activeClient(t, ClientOptions{Redial: func(context.Context) (transport.Conn, error) {
			panic("connects again after its goodbye")
		}})
		waiting := make(chan error, 1)
		go func() { waiting <- active.Ping(t.Context()) }()
		r.Hear(wirePing)
		r.Answer(wireDisconnect, "")
		require.NoError(t, active.Disconnect())
		require.ErrorIs(t, <-waiting, ErrConnectionLost)
		r.Closed(transport.StatusNormal)
		require.NoError(t, active.Err())
		require.ErrorIs(t, active.Disconnect(), transport.ErrClosed)
	})
}

// verbs are those that wait, with the method that they send.
var verbs = map[string]func(ctx context.Context, c *Client) error{
	"ping":   func(ctx context.Context, c *Client) error { return c.Ping(ctx) },
	"auth":   func(ctx context.Context, c *Client) error { return c.Auth(ctx, "T") },
	"start":  func(ctx context.Context, c *Client) error { return c.Start(ctx) },
	"whoami": func(ctx context.Context, c *Client) error { _, err := c.WhoAmI(ctx); return err },
	"novelty": func(ctx context.Context, c *Client) error {
		_, err := c.Call(ctx, &Unknown{Type: "novelty", ID: NumberID(2)})
		return err
	},
}

func TestConnectSaysWhyItFailed(t *testing.T) {
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
	for _, starting := range []bool{false, true} { // for the answer to auth, to start
		id := 1
		if starting {
			id = 2
		}
		for _, a := range []act{
			{"silence", func(*script.Line, func()) {}, is(ErrHandshakeTimeout), 1008},
			{"answers to nothing", frame(transport.Text, result(99, "started")), is(ErrHandshakeTimeout), 1008},
			{"a message that is too early", frame(transport.Text, wireOffer), is(ErrHandshakeTimeout), 1008},
			{"an error about the connection", frame(transport.Text, wireError(nil, ErrParse)), is(ErrHandshakeTimeout), 1008},
			{"a refusal", frame(transport.Text, wireError(id, ErrAuthorizationFailed)), is(ErrNotAuthorized), 1000},
			{"no right", frame(transport.Text, wireError(id, ErrUnauthorizedAccess)), is(ErrNotAuthorized), 1000},
			{"a fault", frame(transport.Text, wireError(id, ErrInternal)), is(ErrInternal), 1000},
			{"another version", frame(transport.Text, wireError(id, unsupportedVersion)), is(ErrInvalidParams), 1000},
			{"another result", frame(transport.Text, fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","result":"ok"}`, id)),
				func(err error) bool { _, ok := errors.AsType[*UnexpectedResultError](err); return ok }, 1000},
			{"garbage", frame(transport.Text, `{"id":1,`), decode, 1007},
			{"a batch", frame(transport.Text, `[`+wireAuthenticated+`]`), decode, 1007},
			{"binary", frame(transport.Binary, wireAuthenticated), decode, 1003},
			{"too big", frame(transport.Text, `{"id":1,"result":"`+strings.Repeat("x", DefaultMessageBytes)+`"}`), decode, 1009},
			{"a close", func(r *script.Line, _ func()) { _ = r.Close(1008, "no") }, closedWith(1008), 0},
			{"an orderly close", func(r *script.Line, _ func()) { _ = r.Close(1000, "") }, closedWith(1000), 0},
			{"the caller", func(_ *script.Line, cancel func()) { cancel() }, is(context.Canceled), 1000},
		} {
			t.Run(fmt.Sprint(a.name, ", starting: ", starting), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					begin := time.Now()
					r, result := connecting(t, ctx, &ClientOptions{
						Token:  "T",
						Redial: func(context.Context) (transport.Conn, error) { panic("connects again before it was connected") },
					})
					r.Hear(wireAuth)
					if starting {
						time.Sleep(10 * time.Second)
						r.Say(wireAuthenticated).Hear(wireStart)
					}
					a.do(r, cancel)
					got := <-result
					require.Nil(t, got.client)
					require.True(t, a.want(got.err), "%v", got.err)
					require.ErrorContains(t, got.err, "msejsonrpc: connect: ")
					if a.code == 1008 {
						require.Equal(t, DefaultHandshakeTimeout, time.Since(begin), "of both together")
					}
					if a.code != 0 {
						r.Closed(a.code)
					}
				})
			})
		}
	}
}

func TestTimeoutsOfAClientAreOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r, result := connecting(t, t.Context(), &ClientOptions{Token: "T", HandshakeTimeout: time.Second})
		r.Hear(wireAuth)
		require.ErrorIs(t, (<-result).err, ErrHandshakeTimeout)
		require.Equal(t, time.Second, time.Since(begin))

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r, result = connecting(t, ctx, &ClientOptions{Token: "T", HandshakeTimeout: -1, Heartbeat: -1})
		r.Hear(wireAuth)
		require.ErrorIs(t, (<-result).err, context.DeadlineExceeded)

		c, r := activeClient(t, ClientOptions{CallTimeout: 3 * time.Second, Heartbeat: -1})
		r.Answer(wirePing, "")
		begin = time.Now()
		require.Equal(t, ErrCallTimeout, c.Ping(t.Context()))
		require.Equal(t, 3*time.Second, time.Since(begin))
		require.NoError(t, c.Close())
	})
}

func TestClientBeatsAndNoticesSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{Heartbeat: 5 * time.Second, CallTimeout: 2 * time.Second})
		begin := time.Now()
		for n := range 3 {
			r.Hear(fmt.Sprintf(`{"id":%d,"method":"ping","jsonrpc":"2.0"}`, 3+n))
			require.Equal(t, time.Duration(n+1)*5*time.Second, time.Since(begin))
			r.Say(fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","result":"pong"}`, 3+n))
		}
		r.Hear(`{"id":6,"method":"ping","jsonrpc":"2.0"}`).Closed(transport.StatusPolicyViolation)
		require.Equal(t, 22*time.Second, time.Since(begin))
		<-c.Done()
		require.Equal(t, ErrHeartbeat, c.Err())
		_, err := c.Next(t.Context())
		require.Equal(t, ErrHeartbeat, err)
	})
}

func TestFramesThatEndAClient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		typ  transport.MessageType
		data string
		code transport.StatusCode
	}{
		"garbage":      {transport.Text, `garbage`, 1007},
		"not UTF-8":    {transport.Text, "\"\xff\"", 1007},
		"an old style": {transport.Text, `{"id":1,"result":"pong"}`, 1007},
		"binary":       {transport.Binary, wirePong, 1003},
		"too big":      {transport.Text, wireText(&Unknown{Type: strings.Repeat("x", 100)}), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, r := activeClient(t, ClientOptions{MessageBytes: 100})
				r.Say(wireCandidate)
				require.NoError(t, r.Write(tt.typ, []byte(tt.data)))
				r.Closed(tt.code)
				var last error
				n := 0
				for m, err := range c.Messages(t.Context()) {
					if last = err; err == nil {
						n++
						require.Equal(t, wireCandidate, wireText(m))
					}
				}
				require.Equal(t, 1, n)
				_, ok := errors.AsType[*DecodeError](last)
				require.True(t, ok)
				require.Equal(t, last, c.Err())
				require.Equal(t, last, c.Send(&Ping{}))
			})
		})
	}
}

func TestClientCountsWhatItIgnores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := bareClient(t, nil)
		r.Say(wireOffer, wireCandidate, result(7, "pong"), `{"id":null,"method":"auth","jsonrpc":"2.0"}`)
		r.Say(`{"id":8,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":"v=0"}}`).
			Hear(wireError(8, CallOrderError("start")))
		r.Say(`{"id":"x","method":"novelty","jsonrpc":"2.0"}`).Hear(wireError("x", ErrMethodNotFound))
		synctest.Wait()
		require.EqualValues(t, 4, c.Ignored())
		require.NoError(t, c.Close())
		_, err := c.Next(t.Context())
		require.Equal(t, io.EOF, err, "nothing of it reached the application")
	})
}

func TestApplicationThatDoesNotReadEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{Inbox: 3})
		for range 4 {
			r.Say(wireCandidate)
		}
		r.Closed(transport.StatusPolicyViolation)
		<-c.Done()
		require.Equal(t, ErrSlowConsumer, c.Err())
		hearMessages(t, c, wireCandidate, wireCandidate, wireCandidate)
		_, err := c.Next(t.Context())
		require.Equal(t, ErrSlowConsumer, err)
	})
}

func TestServerThatDoesNotReadEndsTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{QueueMessages: 3})
		for range 3 {
			require.NoError(t, c.SendCandidate(ICECandidateInit{}))
		}
		require.ErrorIs(t, c.SendCandidate(ICECandidateInit{}), ErrSlowPeer)
		<-c.Done()
		require.Equal(t, ErrSlowPeer, c.Err())
		r.Closed(transport.StatusTryAgainLater)
	})
}

func TestServerThatNeverReadsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := activeClient(t, ClientOptions{Heartbeat: -1})
		begin := time.Now()
		err := c.Ping(t.Context())
		require.ErrorIs(t, err, ErrConnectionLost)
		require.Equal(t, transport.DefaultWriteTimeout, time.Since(begin))
		<-c.Done()
		require.ErrorIs(t, c.Err(), ErrSlowPeer)
	})
}

func TestEndOfNextsContextDoesNotHurtTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Next(ctx)
		require.Equal(t, context.DeadlineExceeded, err)
		r.Say(wireCandidate)
		hearMessages(t, c, wireCandidate)
		require.NoError(t, c.Close())
	})
}
