package msejsonrpc

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

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// authorizedClient returns a client that may use each of verbs, as its request 2.
func authorizedClient(t *testing.T, opts ClientOptions) (*Client, *script.Line) {
	opts.Token, opts.NoStart, opts.Heartbeat = "T", true, -1
	r, result := connecting(t, t.Context(), &opts)
	r.Hear(wireAuth).Say(wireAuthenticated)
	c := <-result
	require.NoError(t, c.err)
	return c.client, r
}

func hearMethod(r *script.Line, method string) *script.Line {
	r.TB.Helper()
	_, data, err := r.Read(nil)
	require.NoError(r.TB, err)
	m, err := Decode(data)
	require.NoError(r.TB, err)
	require.Equal(r.TB, method, m.wireType())
	require.Equal(r.TB, NumberID(2), idOf(m))
	return r
}

func TestVerbsEndAsTheServerOrTheConnectionDoes(t *testing.T) {
	t.Parallel()
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	answers := map[string]struct {
		do   func(r *script.Line, cancel func())
		want func(err error) bool
		dead bool // the client has ended
	}{
		"refused": {func(r *script.Line, _ func()) { r.Say(wireError(2, ErrUnauthorizedAccess)) }, is(ErrNotAuthorized), false},
		"out of order": {func(r *script.Line, _ func()) { r.Say(wireError(2, CallOrderError("auth"))) },
			func(err error) bool { return errors.Is(err, ErrInvalidCallOrder) && errors.Is(err, ErrNotAuthorized) }, false},
		"no such method": {func(r *script.Line, _ func()) { r.Say(wireError(2, ErrMethodNotFound)) }, is(ErrMethodNotFound), false},
		"invalid object": {func(r *script.Line, _ func()) {
			r.Say(wireError(2, &Error{Code: CodeInvalidRequest, Message: "Invalid Request"}))
		},
			is(ErrInvalidObject), false},
		"with a fraction": {
			func(r *script.Line, _ func()) {
				r.Say(`{"id":2.0,"jsonrpc":"2.0","error":{"code":-32603,"message":"x"}}`)
			}, is(ErrInternal), false,
		},
		"both": {func(r *script.Line, _ func()) {
			r.Say(`{"id":2,"jsonrpc":"2.0","result":1,"error":{"code":1,"message":"x"}}`)
		},
			func(err error) bool { _, ok := errors.AsType[*ValidationError](err); return ok }, false},
		"neither": {func(r *script.Line, _ func()) { r.Say(`{"id":2,"jsonrpc":"2.0"}`) },
			func(err error) bool { _, ok := errors.AsType[*DecodeError](err); return ok }, false},
		"a bad error": {func(r *script.Line, _ func()) { r.Say(`{"id":2,"jsonrpc":"2.0","error":[]}`) },
			func(err error) bool { _, ok := errors.AsType[*DecodeError](err); return ok }, false},
		"closed":       {func(r *script.Line, _ func()) { _ = r.Close(1000, "") }, is(ErrConnectionLost), true},
		"cut":          {func(r *script.Line, _ func()) { _ = r.Close(1006, "") }, is(ErrConnectionLost), true},
		"garbage":      {func(r *script.Line, _ func()) { r.Say(`garbage`) }, is(ErrConnectionLost), true},
		"the caller":   {func(_ *script.Line, cancel func()) { cancel() }, is(context.Canceled), false},
		"nothing ever": {func(*script.Line, func()) {}, is(ErrCallTimeout), false},
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
					hearMethod(r, method)
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
						answerPing(r)
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
				hearMethod(r, method).Say(`{"id":2,"jsonrpc":"2.0","result":["ok"]}`)
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
		r.Hear(wirePing).Say(wirePong)
		hearMessages(t, c, wirePong)
		ctx, cancel := context.WithCancel(t.Context())
		given := make(chan error, 1)
		go func() { given <- c.Ping(ctx) }()
		r.Hear(`{"id":4,"method":"ping","jsonrpc":"2.0"}`)
		cancel()
		require.Equal(t, context.Canceled, <-given)
		r.Say(result(4, "pong"))
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
					r.Say(fmt.Sprintf(`{"id":%s,"jsonrpc":"2.0","result":%s}`, u.ID, u.Extra["params"]))
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
