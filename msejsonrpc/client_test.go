package msejsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

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
func connecting(t *testing.T, ctx context.Context, opts *ClientOptions) (*raw, <-chan connected) {
	near, far := transport.Pipe()
	result := make(chan connected, 1)
	go func() {
		c, err := Connect(ctx, near, opts)
		result <- connected{c, err}
	}()
	return &raw{Conn: far, t: t}, result
}

// connected is what Connect returns.
type connected struct {
	client *Client
	err    error
}

// activeClient returns a client that is active, and the server's end.
func activeClient(t *testing.T, opts ClientOptions) (*Client, *raw) {
	opts.Token = "T"
	r, result := connecting(t, t.Context(), &opts)
	r.hear(wireAuth).say(wireAuthenticated).hear(wireStart).say(wireStarted)
	c := <-result
	require.NoError(t, c.err)
	require.Equal(t, ClientActive, c.client.State())
	return c.client, r
}

// bareClient returns a client without a token, and the server's end.
func bareClient(t *testing.T, opts *ClientOptions) (*Client, *raw) {
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
		r.answer(wirePing, wirePong)
		require.NoError(t, c.Ping(t.Context()))

		r.answer(`{"id":4,"method":"whoami","jsonrpc":"2.0"}`, `{"id":4,"jsonrpc":"2.0","result":{"userId":"u","validTo":0}}`)
		i, err := c.WhoAmI(t.Context())
		require.NoError(t, err)
		require.Equal(t, &Identity{UserID: "u", ValidTo: "1970-01-01T00:00:00Z"}, i)

		require.NoError(t, c.SendOffer(SessionDescription{Type: "offer", SDP: "v=0"}))
		require.NoError(t, c.SendCandidate(ICECandidateInit{Candidate: "candidate:1"}))
		require.NoError(t, c.Chat("hi", json.RawMessage(`{"a":1}`), "u", "v"))
		require.NoError(t, c.Chat("all", nil))
		require.NoError(t, c.Send(&Unknown{Type: "novelty"}))
		r.hear(wireOffer, wireCandidate,
			`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":["u","v"],"message":"hi","attachment":{"a":1}}}`,
			`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"all"}}`,
			`{"id":null,"method":"novelty","jsonrpc":"2.0"}`)

		r.answer(`{"id":9,"method":"novelty","jsonrpc":"2.0"}`, `{"id":9,"jsonrpc":"2.0","result":null}`)
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
		r.say(heard...)
		hearMessages(t, c, heard...)
		require.Zero(t, c.Ignored())
		stats := c.Stats()
		require.EqualValues(t, 5+len(heard), stats.MessagesRead)
		require.EqualValues(t, 10, stats.MessagesWritten)

		require.NoError(t, c.Close())
		require.NoError(t, c.Close())
		r.closed(transport.StatusNormal)
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
		r.hear(`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"type":"answer","sdp":"v=0"}}}`,
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
		r.answer(`{"id":1,"method":"ping","jsonrpc":"2.0"}`, result(1, "pong"))
		require.NoError(t, c.Ping(t.Context()))

		// A refused token may be followed by another.
		r.answer(authAs(2, "bad"), wireError(2, ErrAuthorizationFailed))
		err := c.Auth(t.Context(), "bad")
		require.ErrorIs(t, err, ErrNotAuthorized)
		require.ErrorIs(t, err, ErrAuthorizationFailed)
		require.Equal(t, ClientConnected, c.State())
		r.answer(authAs(3, "good"), result(3, "authenticated"))
		require.NoError(t, c.Auth(t.Context(), "good"))
		require.Equal(t, ClientAuthorized, c.State())

		// A fresh token that is refused keeps the old one.
		r.answer(authAs(4, "bad"), wireError(4, ErrAuthorizationFailed))
		require.ErrorIs(t, c.Auth(t.Context(), "bad"), ErrNotAuthorized)
		require.Equal(t, ClientAuthorized, c.State())

		r.answer(startAs(5), wireError(5, ErrUnauthorizedAccess))
		err = c.Start(t.Context())
		require.ErrorIs(t, err, ErrNotAuthorized)
		require.ErrorIs(t, err, ErrUnauthorizedAccess)
		r.answer(startAs(6), result(6, "started"))
		require.NoError(t, c.Start(t.Context()))
		require.Equal(t, ClientActive, c.State())
		_, ok := errors.AsType[*StateError](c.Auth(t.Context(), "good"))
		require.True(t, ok)
		r.answer(wireDisconnect, "")
		require.NoError(t, c.Disconnect())
		r.closed(transport.StatusNormal)
	})
}

func TestClientWithNoStartStopsAfterAuth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, result := connecting(t, t.Context(), &ClientOptions{Token: "T", NoStart: true})
		r.hear(wireAuth)
		synctest.Wait()
		require.Empty(t, result)
		r.say(wireAuthenticated)
		got := <-result
		require.NoError(t, got.err)
		require.Equal(t, ClientAuthorized, got.client.State())
		r.say(`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"hi"}}`)
		hearMessages(t, got.client, `{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"hi"}}`)
		require.NoError(t, got.client.Close())
	})
}

func TestDisconnectSaysGoodbyeInEveryState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bare, r := bareClient(t, nil)
		r.answer(wireDisconnect, "")
		require.NoError(t, bare.Disconnect())
		r.closed(transport.StatusNormal)
		require.NoError(t, bare.Err())

		active, r := activeClient(t, ClientOptions{Redial: func(context.Context) (transport.Conn, error) {
			panic("connects again after its goodbye")
		}})
		waiting := make(chan error, 1)
		go func() { waiting <- active.Ping(t.Context()) }()
		r.hear(wirePing)
		r.answer(wireDisconnect, "")
		require.NoError(t, active.Disconnect())
		require.ErrorIs(t, <-waiting, ErrConnectionLost)
		r.closed(transport.StatusNormal)
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

// authorizedClient returns a client that may use each of verbs, as its request 2.
func authorizedClient(t *testing.T, opts ClientOptions) (*Client, *raw) {
	opts.Token, opts.NoStart, opts.Heartbeat = "T", true, -1
	r, result := connecting(t, t.Context(), &opts)
	r.hear(wireAuth).say(wireAuthenticated)
	c := <-result
	require.NoError(t, c.err)
	return c.client, r
}

func (r *raw) hearMethod(method string) *raw {
	r.t.Helper()
	_, data, err := r.Read(nil)
	require.NoError(r.t, err)
	m, err := Decode(data)
	require.NoError(r.t, err)
	require.Equal(r.t, method, m.wireType())
	require.Equal(r.t, NumberID(2), idOf(m))
	return r
}

func TestVerbsEndAsTheServerOrTheConnectionDoes(t *testing.T) {
	t.Parallel()
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	answers := map[string]struct {
		do   func(r *raw, cancel func())
		want func(err error) bool
		dead bool // the client has ended
	}{
		"refused": {func(r *raw, _ func()) { r.say(wireError(2, ErrUnauthorizedAccess)) }, is(ErrNotAuthorized), false},
		"out of order": {func(r *raw, _ func()) { r.say(wireError(2, CallOrderError("auth"))) },
			func(err error) bool { return errors.Is(err, ErrInvalidCallOrder) && errors.Is(err, ErrNotAuthorized) }, false},
		"no such method": {func(r *raw, _ func()) { r.say(wireError(2, ErrMethodNotFound)) }, is(ErrMethodNotFound), false},
		"invalid object": {func(r *raw, _ func()) {
			r.say(wireError(2, &Error{Code: CodeInvalidRequest, Message: "Invalid Request"}))
		},
			is(ErrInvalidObject), false},
		"with a fraction": {
			func(r *raw, _ func()) { r.say(`{"id":2.0,"jsonrpc":"2.0","error":{"code":-32603,"message":"x"}}`) }, is(ErrInternal), false,
		},
		"both": {func(r *raw, _ func()) { r.say(`{"id":2,"jsonrpc":"2.0","result":1,"error":{"code":1,"message":"x"}}`) },
			func(err error) bool { _, ok := errors.AsType[*ValidationError](err); return ok }, false},
		"neither": {func(r *raw, _ func()) { r.say(`{"id":2,"jsonrpc":"2.0"}`) },
			func(err error) bool { _, ok := errors.AsType[*DecodeError](err); return ok }, false},
		"a bad error": {func(r *raw, _ func()) { r.say(`{"id":2,"jsonrpc":"2.0","error":[]}`) },
			func(err error) bool { _, ok := errors.AsType[*DecodeError](err); return ok }, false},
		"closed":       {func(r *raw, _ func()) { _ = r.Close(1000, "") }, is(ErrConnectionLost), true},
		"cut":          {func(r *raw, _ func()) { _ = r.Close(1006, "") }, is(ErrConnectionLost), true},
		"garbage":      {func(r *raw, _ func()) { r.say(`garbage`) }, is(ErrConnectionLost), true},
		"the caller":   {func(_ *raw, cancel func()) { cancel() }, is(context.Canceled), false},
		"nothing ever": {func(*raw, func()) {}, is(ErrCallTimeout), false},
	}
	for method, verb := range verbs {
		for name, a := range answers {
			t.Run(method+", "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c, r := authorizedClient(t, ClientOptions{})
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					result := make(chan error, 1)
					go func() { result <- verb(ctx, c) }()
					r.hearMethod(method)
					begin := time.Now()
					a.do(r, cancel)
					err := <-result
					require.True(t, a.want(err), "%v", err)
					dead := a.dead
					if name == "nothing ever" {
						require.Equal(t, DefaultCallTimeout, time.Since(begin))
						dead = method == "auth" || method == "start" // where the server stands is not known
					}
					if !dead {
						r.answerPing()
						require.NoError(t, c.Ping(t.Context()))
						require.NoError(t, c.Close())
					}
					<-c.Done()
					require.Zero(t, c.calls.Len())
				})
			})
		}
	}
}

func TestVerbsDemandTheDocumentsResults(t *testing.T) {
	t.Parallel()
	for method, verb := range verbs {
		if method == "novelty" {
			continue // whose results are not known
		}
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, r := authorizedClient(t, ClientOptions{})
				result := make(chan error, 1)
				go func() { result <- verb(t.Context(), c) }()
				r.hearMethod(method).say(`{"id":2,"jsonrpc":"2.0","result":["ok"]}`)
				e, ok := errors.AsType[*UnexpectedResultError](<-result)
				require.True(t, ok)
				require.Equal(t, &UnexpectedResultError{Type: method, Result: json.RawMessage(`["ok"]`)}, e)
				require.Equal(t, ClientAuthorized, c.State())
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestCallDoesNotWaitForWhatHasNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := activeClient(t, ClientOptions{})
		for _, m := range []Message{
			&Disconnect{}, &Disconnect{ID: NumberID(9)}, &Chat{}, &SDPOffer{Offer: []byte(`"o"`), ID: NumberID(9)},
			&ICECandidate{Candidate: []byte(`""`)}, &Unknown{Type: "novelty"},
			&Response{ID: NumberID(1), Result: rawPong}, &Reconnected{},
		} {
			_, err := c.Call(t.Context(), m)
			_, ok := errors.AsType[*ValidationError](err)
			require.True(t, ok, "%T: %v", m, err)
		}
		require.Equal(t, ClientActive, c.State())
		require.Zero(t, c.calls.Len())
		require.NoError(t, c.Close())
	})
}

func TestResponseThatNobodyWaitsForComesWithNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{})
		require.NoError(t, c.Send(&Ping{}))
		r.hear(wirePing).say(wirePong)
		hearMessages(t, c, wirePong)
		ctx, cancel := context.WithCancel(t.Context())
		given := make(chan error, 1)
		go func() { given <- c.Ping(ctx) }()
		r.hear(`{"id":4,"method":"ping","jsonrpc":"2.0"}`)
		cancel()
		require.Equal(t, context.Canceled, <-given)
		r.say(result(4, "pong"))
		hearMessages(t, c, result(4, "pong"))
		require.NoError(t, c.Close())
	})
}

func TestCallsOfManyGoroutinesGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{})
		go func() { // answers come in another order than the requests
			var mu sync.Mutex
			for n := 0; ; n++ {
				_, data, err := r.Read(nil)
				if err != nil {
					return
				}
				m, err := Decode(data)
				u, ok := m.(*Unknown)
				if err != nil || !ok {
					t.Errorf("%s: %v", data, err)
					return
				}
				time.AfterFunc(time.Duration(n%7)*time.Millisecond, func() {
					mu.Lock()
					defer mu.Unlock()
					r.say(fmt.Sprintf(`{"id":%s,"jsonrpc":"2.0","result":%s}`, u.ID, u.Extra["params"]))
				})
			}
		}()
		var group sync.WaitGroup
		for worker := range 10 {
			group.Go(func() {
				for n := range 20 {
					want := fmt.Sprintf(`[%d,%d]`, worker, n)
					id := NumberID(uint64(1000 + worker*100 + n))
					response, err := c.Call(t.Context(), &Unknown{Type: "echo", ID: id, Extra: Fields{"params": json.RawMessage(want)}})
					if err != nil || string(response.Result) != want {
						t.Errorf("%s: %v %v", want, response, err)
						return
					}
				}
			})
		}
		group.Wait()
		require.NoError(t, c.Close())
	})
}

func TestTooManyCallsAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := activeClient(t, ClientOptions{})
		go func() {
			for {
				if _, _, err := r.Read(nil); err != nil {
					return
				}
			}
		}()
		for range DefaultPending {
			require.NoError(t, c.Send(&Ping{}))
		}
		require.Equal(t, ErrTooManyCalls, c.Ping(t.Context()))
		require.NoError(t, c.SendOffer(SessionDescription{SDP: "v=0"}))
		require.NoError(t, c.Close())
	})
}

func TestClientSaysWhatMayNotBeSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _ := activeClient(t, ClientOptions{})
		for _, m := range []Message{
			&SDPOffer{}, &SDPOffer{Offer: []byte(`{`)}, &ICECandidate{}, &ICECandidate{Candidate: []byte(`7`)},
			&Chat{To: []string{""}}, &Chat{Attachment: []byte(`{`)}, &Unknown{}, &Unknown{Type: "ping"},
			NewSDPOffer(SessionDescription{SDP: "\xff"}, FormString),
			NewICECandidate(ICECandidateInit{Candidate: "\xff"}, FormObject),
		} {
			_, ok := errors.AsType[*ValidationError](c.Send(m))
			require.True(t, ok, "%#v", m)
		}
		for _, m := range []Message{
			&Auth{Token: "T", Version: Version}, &Start{}, &Response{ID: NumberID(1), Result: rawPong}, &Reconnected{},
		} {
			_, ok := errors.AsType[*StateError](c.Send(m))
			require.True(t, ok, "%#v", m)
		}
		require.NoError(t, c.Close())
	})
}

func TestConnectSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	type act struct {
		name string
		do   func(r *raw, cancel func())
		want func(err error) bool
		code transport.StatusCode // that the server gets; 0 when it closed
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	frame := func(typ transport.MessageType, data string) func(*raw, func()) {
		return func(r *raw, _ func()) { _ = r.Write(typ, []byte(data)) }
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
			{"silence", func(*raw, func()) {}, is(ErrHandshakeTimeout), 1008},
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
			{"a close", func(r *raw, _ func()) { _ = r.Close(1008, "no") }, closedWith(1008), 0},
			{"an orderly close", func(r *raw, _ func()) { _ = r.Close(1000, "") }, closedWith(1000), 0},
			{"the caller", func(_ *raw, cancel func()) { cancel() }, is(context.Canceled), 1000},
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
					r.hear(wireAuth)
					if starting {
						time.Sleep(10 * time.Second)
						r.say(wireAuthenticated).hear(wireStart)
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
						r.closed(a.code)
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
		r.hear(wireAuth)
		require.ErrorIs(t, (<-result).err, ErrHandshakeTimeout)
		require.Equal(t, time.Second, time.Since(begin))

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r, result = connecting(t, ctx, &ClientOptions{Token: "T", HandshakeTimeout: -1, Heartbeat: -1})
		r.hear(wireAuth)
		require.ErrorIs(t, (<-result).err, context.DeadlineExceeded)

		c, r := activeClient(t, ClientOptions{CallTimeout: 3 * time.Second, Heartbeat: -1})
		r.answer(wirePing, "")
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
			r.hear(fmt.Sprintf(`{"id":%d,"method":"ping","jsonrpc":"2.0"}`, 3+n))
			require.Equal(t, time.Duration(n+1)*5*time.Second, time.Since(begin))
			r.say(fmt.Sprintf(`{"id":%d,"jsonrpc":"2.0","result":"pong"}`, 3+n))
		}
		r.hear(`{"id":6,"method":"ping","jsonrpc":"2.0"}`).closed(transport.StatusPolicyViolation)
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
				r.say(wireCandidate)
				require.NoError(t, r.Write(tt.typ, []byte(tt.data)))
				r.closed(tt.code)
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
		r.say(wireOffer, wireCandidate, result(7, "pong"), `{"id":null,"method":"auth","jsonrpc":"2.0"}`)
		r.say(`{"id":8,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":"v=0"}}`).
			hear(wireError(8, CallOrderError("start")))
		r.say(`{"id":"x","method":"novelty","jsonrpc":"2.0"}`).hear(wireError("x", ErrMethodNotFound))
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
			r.say(wireCandidate)
		}
		r.closed(transport.StatusPolicyViolation)
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
		r.closed(transport.StatusTryAgainLater)
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
		r.say(wireCandidate)
		hearMessages(t, c, wireCandidate)
		require.NoError(t, c.Close())
	})
}

// A dialer makes pipes and hands out their other ends.
type dialer struct {
	t    *testing.T
	ends chan *raw
}

func newDialer(t *testing.T) dialer { return dialer{t, make(chan *raw, 8)} }

func (d dialer) dial(context.Context) (transport.Conn, error) {
	near, far := transport.Pipe()
	d.ends <- &raw{Conn: far, t: d.t}
	return near, nil
}

func TestClientConnectsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		tokens := 0
		c, r := activeClient(t, ClientOptions{
			Redial: d.dial,
			RefreshToken: func(context.Context) (string, error) {
				tokens++
				return fmt.Sprint("fresh ", tokens), nil
			},
		})
		waiting := make(chan error, 1)
		go func() { waiting <- c.Ping(t.Context()) }()
		r.hear(wirePing)
		require.NoError(t, r.Close(1006, ""))
		require.Equal(t, ErrConnectionLost, <-waiting)
		synctest.Wait()
		require.Equal(t, ClientIdle, c.State())
		_, ok := errors.AsType[*StateError](c.Ping(t.Context()))
		require.True(t, ok, "no connection")
		begin := time.Now()
		r = <-d.ends
		require.InDelta(t, 0.75, time.Since(begin).Seconds(), 0.251)
		r.hear(authAs(4, "fresh 1"))
		require.Equal(t, ClientAuthenticating, c.State())
		_, ok = errors.AsType[*StateError](c.SendOffer(SessionDescription{SDP: "v=0"}))
		require.True(t, ok, "not active again")
		r.say(result(4, "authenticated")).hear(startAs(5))
		r.say(result(5, "started"), wireOffer)
		hearMessages(t, c, "reconnected", wireOffer)
		require.Equal(t, ClientActive, c.State())

		// A fault of the server's is no reason to give up.
		require.NoError(t, r.Close(1011, ""))
		r = <-d.ends
		r.hear(authAs(6, "fresh 2")).say(wireError(6, ErrInternal)).
			closed(transport.StatusNormal)
		r = <-d.ends
		r.hear(authAs(7, "fresh 3")).
			say(result(7, "authenticated")).hear(startAs(8))
		require.NoError(t, r.Write(transport.Text, []byte(`garbage`))) // nor is what it cannot spell
		r.closed(transport.StatusInvalidPayload)
		r = <-d.ends
		r.hear(authAs(9, "fresh 4")).
			say(result(9, "authenticated")).hear(startAs(10)).
			say(result(10, "started"))
		hearMessages(t, c, "reconnected")
		require.NoError(t, c.Close())
		require.NoError(t, c.Err())
	})
}

func TestClientConnectsAgainAfterASilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		c, r := activeClient(t, ClientOptions{Redial: d.dial})
		r.hear(wirePing).closed(transport.StatusPolicyViolation)
		r = <-d.ends
		r.hear(authAs(4, "T")).closed(transport.StatusPolicyViolation)
		(<-d.ends).hear(authAs(5, "T"))
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
					d := newDialer(t)
					c, r := activeClient(t, ClientOptions{Redial: d.dial})
					require.NoError(t, r.Close(1006, ""))
					id := 3
					r = (<-d.ends).hear(authAs(3, "T"))
					if starting {
						r.say(result(3, "authenticated")).hear(startAs(4))
						id = 4
					}
					r.say(wireError(id, refusal)).closed(transport.StatusNormal)
					<-c.Done()
					require.ErrorIs(t, c.Err(), ErrNotAuthorized)
					_, err := c.Next(t.Context())
					require.ErrorIs(t, err, ErrNotAuthorized)
					require.Empty(t, d.ends)
				})
			})
		}
	}
}

func TestClientWithoutATokenConnectsAgainWithoutAHandshake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(t)
		c, r := bareClient(t, &ClientOptions{Redial: d.dial})
		require.NoError(t, r.Close(1006, ""))
		r = <-d.ends
		hearMessages(t, c, "reconnected")
		require.Equal(t, ClientConnected, c.State())
		r.answer(wireAuth, wireAuthenticated)
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
		d := newDialer(t)
		asleep, r := activeClient(t, ClientOptions{Redial: d.dial})
		require.NoError(t, r.Close(1006, ""))
		synctest.Wait()
		require.NoError(t, asleep.Close())
		require.NoError(t, asleep.Err())
		require.Empty(t, d.ends)

		dialing, r := activeClient(t, ClientOptions{Redial: func(ctx context.Context) (transport.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		require.NoError(t, r.Close(1006, ""))
		time.Sleep(time.Minute)
		require.NoError(t, dialing.Close())
		require.NoError(t, dialing.Err())

		shaking, r := activeClient(t, ClientOptions{Redial: d.dial})
		require.NoError(t, r.Close(1006, ""))
		r = (<-d.ends).hear(authAs(3, "T"))
		require.NoError(t, shaking.Close())
		r.closed(transport.StatusNormal)
	})
}
