package msejsonrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A raw peer is the far end of a connection that a server or a client has.
type raw struct {
	transport.Conn
	t      *testing.T
	served chan error // what Serve returns
}

func serveRaw(t *testing.T, s *Server) *raw { return serveWith(t, t.Context(), s) }

func serveWith(t *testing.T, ctx context.Context, s *Server) *raw {
	near, far := transport.Pipe()
	r := &raw{near, t, make(chan error, 1)}
	go func() { r.served <- s.Serve(ctx, far) }()
	return r
}

func (r *raw) say(messages ...string) *raw {
	r.t.Helper()
	for _, m := range messages {
		require.NoError(r.t, r.Write(transport.Text, []byte(m)))
	}
	return r
}

func (r *raw) hear(messages ...string) *raw {
	r.t.Helper()
	for _, m := range messages {
		_, got, err := r.Read(nil)
		require.NoError(r.t, err)
		require.JSONEq(r.t, m, string(got))
	}
	return r
}

// answer hears a message in the background and says the answer to it, unless that is "".
func (r *raw) answer(question, answer string) {
	go func() {
		_, got, err := r.Read(nil)
		if err == nil && answer != "" {
			err = r.Write(transport.Text, []byte(answer))
		}
		if err != nil || question != string(got) {
			r.t.Errorf("%s: %s %v", question, got, err)
		}
	}()
}

// answerPing answers a ping in the background, whatever its id.
func (r *raw) answerPing() {
	go func() {
		_, got, err := r.Read(nil)
		m, decodeErr := Decode(got)
		ping, ok := m.(*Ping)
		if err != nil || decodeErr != nil || !ok {
			r.t.Errorf("no ping: %s %v", got, err)
			return
		}
		if err := r.Write(transport.Text, []byte(wireText(ping.Pong()))); err != nil {
			r.t.Errorf("no pong: %v", err)
		}
	}()
}

func (r *raw) closed(code transport.StatusCode) {
	r.t.Helper()
	_, got, err := r.Read(nil)
	closed, ok := errors.AsType[*transport.CloseError](err)
	require.True(r.t, ok, "%s %v", got, err)
	require.Equal(r.t, code, closed.Code)
}

// authorize lets a raw peer authenticate, activate start as well.
func (r *raw) authorize() *raw { return r.say(wireAuth).hear(wireAuthenticated) }
func (r *raw) activate() *raw  { return r.authorize().say(wireStart).hear(wireStarted) }

// anybody admits every token as its own user of one room.
func anybody(_ context.Context, _ *ServerSession, auth *Auth) (*Identity, error) {
	return &Identity{UserID: auth.Token, RoomID: "r", Role: RoleUser}, nil
}

// closeServer closes a server and demands that it has forgotten everybody.
func closeServer(t *testing.T, s *Server) {
	t.Helper()
	require.NoError(t, s.Close())
	require.Empty(t, slices.Collect(s.Sessions()))
	requireNothingLeft(t, s.machine)
}

func TestClientAndServer(t *testing.T) {
	t.Parallel()
	for _, form := range []Form{FormString, FormObject} {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(&ServerOptions{
				ServerConfig: ServerConfig{WhoAmI: true, Chat: true},
				Form:         form,
				Authenticate: anybody,
				Handle: func(ctx context.Context, s *ServerSession) error {
					for m, err := range s.Messages(ctx) {
						if err != nil {
							return err
						}
						switch m := m.(type) {
						case *SDPOffer:
							d, err := m.Description()
							if err != nil {
								return err
							}
							err = errors.Join(
								s.SendOffer(SessionDescription{Type: "answer", SDP: "answer to " + d.SDP}),
								s.SendCandidate(ICECandidateInit{Candidate: "candidate:s"}),
								s.Chat("welcome", []byte(`[1]`), s.Identity().UserID))
							if err != nil {
								return err
							}
						case *ICECandidate:
							return nil
						}
					}
					return nil
				},
			})
			join := func(token string) (*Client, chan error) {
				near, far := transport.Pipe()
				served := make(chan error, 1)
				go func() { served <- s.Serve(t.Context(), far) }()
				c, err := Connect(t.Context(), near, &ClientOptions{Token: token, Form: form})
				require.NoError(t, err)
				return c, served
			}
			ann, annServed := join("ann")
			bob, bobServed := join("bob")
			require.NoError(t, ann.Ping(t.Context()))
			i, err := ann.WhoAmI(t.Context())
			require.NoError(t, err)
			require.Equal(t, &Identity{UserID: "ann", RoomID: "r", Role: RoleUser}, i)
			require.NoError(t, bob.Chat("hi", nil, "ann"))
			hearMessages(t, ann, `{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":["ann"],"message":"hi"}}`)

			require.NoError(t, ann.SendOffer(SessionDescription{Type: "offer", SDP: "v=0"}))
			m, err := ann.Next(t.Context())
			require.NoError(t, err)
			d, err := m.(*SDPOffer).Description()
			require.NoError(t, err)
			require.Equal(t, "answer to v=0", d.SDP)
			m, err = ann.Next(t.Context())
			require.NoError(t, err)
			candidate, err := m.(*ICECandidate).Init()
			require.NoError(t, err)
			require.Equal(t, "candidate:s", candidate.Candidate)
			hearMessages(t, ann,
				`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":["ann"],"message":"welcome","attachment":[1]}}`)

			// Its Handle returns with the candidate.
			require.NoError(t, ann.SendCandidate(ICECandidateInit{Candidate: "candidate:c"}))
			<-ann.Done()
			require.NoError(t, ann.Err())
			require.NoError(t, <-annServed)
			require.NoError(t, bob.Disconnect())
			require.NoError(t, <-bobServed)
			closeServer(t, s)
		})
	}
}

func TestRule29AnswersNeverOvertake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			ServerConfig: ServerConfig{WhoAmI: true},
			Authenticate: func(ctx context.Context, s *ServerSession, auth *Auth) (*Identity, error) {
				time.Sleep(3 * time.Second)
				return anybody(ctx, s, auth)
			},
			AuthorizeStart: func(context.Context, *ServerSession) error {
				time.Sleep(2 * time.Second)
				return nil
			},
			Handle: func(ctx context.Context, s *ServerSession) error {
				hearMessages(t, s, wireOffer, wireCandidate)
				<-ctx.Done()
				return nil
			},
		})
		r := serveRaw(t, s)
		begin := time.Now()
		go func() { // without waiting for an answer; the carrier makes it wait
			for _, m := range []string{
				wireAuth, wirePing, `{"id":4,"method":"whoami","jsonrpc":"2.0"}`, wireStart,
				wireOffer, wirePing, wireCandidate, `garbage`, wirePing,
			} {
				if err := r.Write(transport.Text, []byte(m)); err != nil {
					t.Errorf("%s: %v", m, err)
				}
			}
		}()
		r.hear(wireAuthenticated, wirePong,
			`{"id":4,"jsonrpc":"2.0","result":{"domain":"","agent":"","role":"user","userId":"T","roomId":"r",`+
				`"ipAddress":"","tokenIssued":"","validFrom":"","validTo":""}}`,
			wireStarted, wirePong, wireError(nil, ErrParse), wirePong)
		require.Equal(t, 5*time.Second, time.Since(begin))
		closeServer(t, s)
	})
}

func TestServerRefusesAsTheApplicationSays(t *testing.T) {
	t.Parallel()
	refusal := &Error{Code: -4002, Message: "Pay first", Data: []byte(`{"price":5}`)}
	for name, tt := range map[string]struct {
		err  error
		said *Error
		log  string
	}{
		"in its words":                {refusal, refusal, ""},
		"in its words, within":        {fmt.Errorf("db: %w", refusal), refusal, ""},
		"as the document does":        {ErrAuthorizationFailed, ErrAuthorizationFailed, ""},
		"without a word":              {errors.New("database is down"), ErrInternal, "database is down"},
		"in words that are not JSON":  {&Error{Code: 1, Message: "x", Data: []byte(`{`)}, ErrInternal, "error.data"},
		"in words that are not UTF-8": {&Error{Code: 1, Message: "\xff"}, ErrInternal, "error.message"},
	} {
		for _, starting := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", starting: ", starting), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var log bytes.Buffer
					opts := &ServerOptions{
						ServerConfig: ServerConfig{AuthAttempts: -1},
						Authenticate: anybody, Logger: slog.New(slog.NewTextHandler(&log, nil)),
						Handle: func(context.Context, *ServerSession) error { panic("handles a session that was not started") },
					}
					if starting {
						opts.AuthorizeStart = func(context.Context, *ServerSession) error { return tt.err }
					} else {
						opts.Authenticate = func(context.Context, *ServerSession, *Auth) (*Identity, error) {
							return &Identity{UserID: "u"}, tt.err
						}
					}
					s := NewServer(opts)
					r := serveRaw(t, s)
					if starting {
						r.authorize().say(wireStart).hear(wireError(2, tt.said)).say(wireStart).hear(wireError(2, tt.said))
					} else {
						r.say(wireAuth).hear(wireError(1, tt.said)).say(wireAuth).hear(wireError(1, tt.said))
						require.Nil(t, slices.Collect(s.Sessions())[0].Identity())
					}
					r.say(wirePing).hear(wirePong)
					closeServer(t, s)
					if tt.log == "" {
						require.Empty(t, log.String())
					} else {
						require.Equal(t, 2, strings.Count(log.String(), tt.log), log.String())
					}
					require.NotContains(t, log.String(), "token")
				})
			})
		}
	}
}

func TestServerWithoutAuthenticateRefusesEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(nil)
		r := serveRaw(t, s).say(wirePing).hear(wirePong)
		for range DefaultAuthAttempts {
			r.say(wireAuth).hear(wireError(1, ErrAuthorizationFailed))
		}
		r.closed(transport.StatusPolicyViolation)
		require.NoError(t, <-r.served)
		closeServer(t, s)
	})
}

func TestAllowAllAdmitsEverybodyAsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Authenticate: AllowAll})
		r := serveRaw(t, s).activate()
		require.Equal(t, &Identity{}, slices.Collect(s.Sessions())[0].Identity())
		r.say(wireOffer, wireCandidate, wirePing).hear(wirePong) // discarded, as there is no Handle
		closeServer(t, s)
	})
}

func TestIdentityWhoseEndCannotBeReadIsAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := NewServer(&ServerOptions{
			Authenticate: func(context.Context, *ServerSession, *Auth) (*Identity, error) {
				return &Identity{ValidTo: "tomorrow"}, nil
			},
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		r := serveRaw(t, s)
		r.say(wireAuth).hear(wireError(1, ErrInternal))
		closeServer(t, s)
		require.Contains(t, log.String(), "ValidTo")
	})
}

func TestSlowHookDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(&ServerOptions{Authenticate: func(_ context.Context, _ *ServerSession, auth *Auth) (*Identity, error) {
			if auth.Token == "slow" {
				<-release
			}
			return nil, nil
		}})
		slow := serveRaw(t, s).say(`{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"slow","version":"1.0"}}`)
		synctest.Wait()
		serveRaw(t, s).activate().say(wirePing).hear(wirePong)
		state, ok := slices.Collect(s.Sessions())[0].State()
		require.True(t, ok)
		require.Equal(t, ServerNew, state)
		said := make(chan struct{})
		go func() { // what it says while the hook thinks waits, and is no offence
			slow.say(wirePing)
			close(said)
		}()
		synctest.Wait()
		close(release)
		slow.hear(wireAuthenticated, wirePong)
		<-said
		closeServer(t, s)
	})
}

func TestHooksContextEnds(t *testing.T) {
	t.Parallel()
	for _, starting := range []bool{false, true} {
		setUp := func() (s *Server, ended chan time.Duration) {
			ended = make(chan time.Duration, 1)
			hang := func(ctx context.Context) error {
				begin := time.Now()
				<-ctx.Done()
				ended <- time.Since(begin)
				return nil // too late to agree
			}
			opts := &ServerOptions{
				Authenticate: AllowAll,
				Handle:       func(context.Context, *ServerSession) error { panic("handles a session that has ended") },
			}
			if starting {
				opts.AuthorizeStart = func(ctx context.Context, _ *ServerSession) error { return hang(ctx) }
			} else {
				opts.Authenticate = func(ctx context.Context, _ *ServerSession, _ *Auth) (*Identity, error) { return nil, hang(ctx) }
			}
			return NewServer(opts), ended
		}
		ask := func(r *raw) *raw {
			if starting {
				return r.authorize().say(wireStart)
			}
			return r.say(wireAuth)
		}
		t.Run(fmt.Sprint("with the server, starting: ", starting), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, ended := setUp()
				r := ask(serveRaw(t, s))
				synctest.Wait()
				closeServer(t, s)
				require.Zero(t, <-ended)
				r.closed(transport.StatusGoingAway)
				require.NoError(t, <-r.served)
			})
		})
		t.Run(fmt.Sprint("with Serve's, starting: ", starting), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, ended := setUp()
				ctx, cancel := context.WithCancel(t.Context())
				r := ask(serveWith(t, ctx, s))
				synctest.Wait()
				cancel()
				require.Zero(t, <-ended)
				r.closed(transport.StatusGoingAway)
				require.ErrorIs(t, <-r.served, context.Canceled)
				closeServer(t, s)
			})
		})
		t.Run(fmt.Sprint("with its time, starting: ", starting), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, ended := setUp()
				r := ask(serveRaw(t, s))
				if starting {
					require.Equal(t, DefaultStartTimeout, <-ended)
				} else {
					require.Equal(t, DefaultAuthTimeout, <-ended)
				}
				r.closed(transport.StatusPolicyViolation)
				require.NoError(t, <-r.served)
				closeServer(t, s)
			})
		})
	}
}

func TestPanicOfAHookLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(o *ServerOptions){
		"Authenticate": func(o *ServerOptions) {
			o.Authenticate = func(context.Context, *ServerSession, *Auth) (*Identity, error) { panic("oops") }
		},
		"AuthorizeStart": func(o *ServerOptions) {
			o.AuthorizeStart = func(context.Context, *ServerSession) error { panic("oops") }
		},
		"Handle": func(o *ServerOptions) {
			o.Handle = func(context.Context, *ServerSession) error { panic("oops") }
		},
		"Handle, later": func(o *ServerOptions) {
			o.Handle = func(ctx context.Context, s *ServerSession) error {
				_, _ = s.Next(ctx)
				panic("oops")
			}
		},
		"OnIgnored": func(o *ServerOptions) {
			o.OnIgnored = func(*ServerSession, Violation) { panic("oops") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handled := make(chan error, 1)
				opts := &ServerOptions{
					ServerConfig: ServerConfig{Chat: true},
					Authenticate: AllowAll,
					Handle: func(ctx context.Context, s *ServerSession) error {
						hearMessages(t, s, wireOffer)
						_, err := s.Next(ctx)
						handled <- err
						return err
					},
				}
				change(opts)
				s := NewServer(opts)
				var log bytes.Buffer
				near, far := transport.Pipe()
				r := &raw{near, t, make(chan error, 1)}
				go func() {
					transport.Serve(t.Context(), far, slog.New(slog.NewTextHandler(&log, nil)), s.Serve)
					r.served <- nil
				}()
				for _, m := range []string{wireAuth, wireStart, wireOffer, `{"id":null,"method":"novelty","jsonrpc":"2.0"}`} {
					if r.Write(transport.Text, []byte(m)) != nil {
						break
					}
					if m == wireAuth || m == wireStart {
						_, _, _ = r.Read(nil)
					}
				}
				r.closed(transport.StatusInternalError)
				require.NoError(t, <-r.served)
				require.Contains(t, log.String(), "oops")
				if name == "OnIgnored" {
					require.Equal(t, io.EOF, <-handled, "the other hook has ended before")
				}
				closeServer(t, s)
			})
		})
	}
}

func TestHandleEndsTheConnectionWhenItReturns(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		code transport.StatusCode
	}{
		"in order": {nil, transport.StatusNormal},
		"failed":   {errors.New("no more media ports"), transport.StatusInternalError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s := NewServer(&ServerOptions{
					Authenticate: AllowAll,
					Handle: func(_ context.Context, s *ServerSession) error {
						require.NoError(t, s.SendOffer(SessionDescription{SDP: "v=0"}))
						return tt.err
					},
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				r := serveRaw(t, s).activate().hear(wireOffer) // what is queued goes out before
				r.closed(tt.code)
				require.NoError(t, <-r.served)
				closeServer(t, s)
				if tt.err == nil {
					require.Empty(t, log.String())
				} else {
					require.Contains(t, log.String(), "no more media ports")
				}
			})
		})
	}
}

func TestHandleHearsOfTheEndOfItsConnection(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end func(s *Server, r *raw, cancel func())
		err func(err error) bool // of Next
	}{
		"disconnect":      {func(_ *Server, r *raw, _ func()) { r.say(wireDisconnect) }, isEOF},
		"close":           {func(_ *Server, r *raw, _ func()) { _ = r.Close(1000, "") }, isEOF},
		"going away":      {func(_ *Server, r *raw, _ func()) { _ = r.Close(1001, "") }, isEOF},
		"the server":      {func(s *Server, _ *raw, _ func()) { go s.Close() }, isEOF},
		"the application": {func(s *Server, _ *raw, _ func()) { slices.Collect(s.Sessions())[0].Close(4000, "enough") }, isEOF},
		"cut": {func(_ *Server, r *raw, _ func()) { _ = r.Close(1006, "") }, func(err error) bool {
			e, ok := errors.AsType[*transport.CloseError](err)
			return ok && e.Code == transport.StatusAbnormal
		}},
		"Serve's context": {func(_ *Server, _ *raw, cancel func()) { cancel() }, func(err error) bool {
			return errors.Is(err, context.Canceled)
		}},
	} {
		for _, own := range []bool{false, true} { // whether it reads with a context of its own
			t.Run(fmt.Sprint(name, ", own: ", own), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var log bytes.Buffer
					handled := make(chan struct{})
					s := NewServer(&ServerOptions{
						Authenticate: AllowAll,
						Logger:       slog.New(slog.NewTextHandler(&log, nil)),
						Handle: func(ctx context.Context, s *ServerSession) error {
							defer close(handled)
							<-ctx.Done()
							if own {
								ctx = t.Context()
							}
							hearMessages(t, reader{s, ctx}, wireOffer, wireCandidate) // what came before the end is not lost
							_, err := s.Next(ctx)
							require.True(t, tt.err(err), "%v", err)
							for _, again := range s.Messages(ctx) {
								require.Equal(t, err, again)
							}
							_, ok := s.State()
							require.False(t, ok)
							require.Nil(t, s.Identity())
							require.Error(t, s.SendCandidate(ICECandidateInit{}))
							return err
						},
					})
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					r := serveWith(t, ctx, s).activate().say(wireOffer, wireCandidate)
					synctest.Wait()
					tt.end(s, r, cancel)
					<-handled
					<-r.served
					closeServer(t, s)
					require.Empty(t, log.String(), "the end of the connection is no failure of the session")
				})
			})
		}
	}
}

func isEOF(err error) bool { return err == io.EOF }

// A reader reads a session with a context of its own.
type reader struct {
	session *ServerSession
	ctx     context.Context
}

func (r reader) Next(context.Context) (Message, error) { return r.session.Next(r.ctx) }

func TestEndOfAnotherContextDoesNotHurtTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Authenticate: AllowAll,
			Handle: func(ctx context.Context, s *ServerSession) error {
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				_, err := s.Next(short)
				require.Equal(t, context.DeadlineExceeded, err)
				require.NoError(t, s.SendCandidate(ICECandidateInit{Candidate: "candidate:1"}))
				hearMessages(t, reader{s, ctx}, wireOffer)
				for m := range s.Messages(ctx) {
					require.Equal(t, wireCandidate, wireText(m))
					break
				}
				hearMessages(t, reader{s, ctx}, wireCandidate)
				return nil
			},
		})
		r := serveRaw(t, s).activate().hear(wireCandidate).say(wireOffer, wireCandidate, wireCandidate)
		r.closed(transport.StatusNormal)
		closeServer(t, s)
	})
}

func TestApplicationThatDoesNotReadEndsItsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, handled := make(chan struct{}), make(chan struct{})
		var log bytes.Buffer
		s := NewServer(&ServerOptions{
			Authenticate: AllowAll, Inbox: 2,
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Handle: func(ctx context.Context, s *ServerSession) error {
				if s.ID() != 1 {
					<-ctx.Done()
					return nil
				}
				defer close(handled)
				<-release
				hearMessages(t, reader{s, ctx}, wireOffer, wireCandidate)
				_, err := s.Next(ctx)
				require.Equal(t, ErrSlowConsumer, err)
				return err
			},
		})
		r := serveRaw(t, s).activate()
		other := serveRaw(t, s).activate()
		r.say(wireOffer, wireCandidate, wirePing).hear(wirePong).say(wireCandidate)
		r.closed(transport.StatusInternalError)
		other.say(wirePing).hear(wirePong)
		close(release)
		<-handled
		require.ErrorIs(t, <-r.served, ErrSlowConsumer)
		closeServer(t, s)
		require.Equal(t, 1, strings.Count(log.String(), "level="), log.String())
		require.Contains(t, log.String(), "too slow")
	})
}

func TestOnExpiredHearsOnceAtTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		type expiry struct {
			id    PeerID
			after time.Duration
		}
		expired := make(chan expiry, 10)
		s := NewServer(&ServerOptions{
			Authenticate: func(_ context.Context, _ *ServerSession, auth *Auth) (*Identity, error) {
				return &Identity{ValidTo: NewDate(time.Now().Add(30 * time.Second))}, nil
			},
			Handle: func(ctx context.Context, s *ServerSession) error {
				for range s.Messages(ctx) {
					require.NoError(t, s.SendCandidate(ICECandidateInit{Candidate: "candidate:1"}))
				}
				return nil
			},
			OnExpired: func(s *ServerSession) {
				expired <- expiry{s.ID(), time.Since(begin)}
				if s.ID() == 2 {
					s.Close(4001, "expired")
				}
			},
		})
		goesOn := serveRaw(t, s).activate()
		time.Sleep(time.Second)
		isClosed := serveRaw(t, s).activate()
		serveRaw(t, s).authorize() // never active: nobody hears of it
		left := serveRaw(t, s).activate()
		require.NoError(t, left.Close(1000, ""))
		require.Equal(t, expiry{1, 30 * time.Second}, <-expired)
		require.Equal(t, expiry{2, 31 * time.Second}, <-expired)
		isClosed.closed(4001)
		time.Sleep(time.Hour)
		require.Empty(t, expired)
		goesOn.say(wireOffer).hear(wireCandidate).say(wireStart).hear(wireError(2, ErrUnauthorizedAccess))
		closeServer(t, s)
	})
}

func TestOnIgnoredHearsOfWhatCannotBeAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan Violation, 10)
		s := NewServer(&ServerOptions{
			ServerConfig: ServerConfig{Violations: 2},
			OnIgnored: func(s *ServerSession, v Violation) {
				_, _ = s.State() // it is called under no lock
				require.Equal(t, s.ID(), v.Peer)
				heard <- v
			},
		})
		r := serveRaw(t, s).say(wireOffer, wirePong, `{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":7}`)
		r.closed(transport.StatusPolicyViolation)
		synctest.Wait()
		for _, typ := range []string{"sdpOffer", "response", "sdpOffer"} {
			require.Equal(t, typ, (<-heard).Type)
		}
		require.Empty(t, heard)
		closeServer(t, s)
	})
}

func TestFloodIsPacedAndThenCutOffWhileOthersAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Authenticate: AllowAll,
			Limits:       Limits{Messages: 10, MessageBurst: 20, Patience: 2 * time.Second},
		})
		flood := serveRaw(t, s).activate()
		go func() { // it reads what there is
			for {
				if _, _, err := flood.Read(nil); err != nil {
					return
				}
			}
		}()
		begin := time.Now()
		go func() {
			for n := 0; n < 1<<20 && flood.Write(transport.Text, []byte(wirePing)) == nil; n++ {
			}
		}()
		other := serveRaw(t, s).activate()
		for range 4 {
			time.Sleep(300 * time.Millisecond)
			before := time.Now()
			other.say(wirePing).hear(wirePong)
			require.Zero(t, time.Since(before))
		}
		require.ErrorIs(t, <-flood.served, ErrFlood)
		require.InDelta(t, 2, time.Since(begin).Seconds(), 0.2)
		require.Less(t, s.Stats().MessagesWritten, uint64(60), "its burst and its rate, and the other's")
		other.say(wirePing).hear(wirePong)
		closeServer(t, s)
	})
}

func TestServerBoundsMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		s := NewServer(&ServerOptions{Authenticate: func(_ context.Context, _ *ServerSession, auth *Auth) (*Identity, error) {
			asked = len(auth.Token)
			return nil, nil
		}})
		auth := func(n int) string {
			const rest = len(`{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"","version":"1.0"}}`)
			return wireText(&Auth{ID: NumberID(1), Token: strings.Repeat("x", n-rest), Version: Version})
		}
		r := serveRaw(t, s).say(auth(DefaultMessageBytes)).hear(wireAuthenticated)
		require.Greater(t, asked, DefaultMessageBytes-100)
		r.say(auth(DefaultMessageBytes + 1))
		r.closed(transport.StatusMessageTooBig)
		require.NoError(t, <-r.served)
		closeServer(t, s)

		s = NewServer(&ServerOptions{MessageBytes: -1, QueueBytes: -1, Limits: Limits{Bytes: -1}})
		serveRaw(t, s).say(auth(4 << 20)).hear(wireError(1, ErrAuthorizationFailed))
		closeServer(t, s)
	})
}

func TestServerHoldsSoManyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Connections: 2, Authenticate: AllowAll})
		one, two := serveRaw(t, s), serveRaw(t, s)
		synctest.Wait()
		three := serveRaw(t, s)
		three.closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-three.served, ErrTooManyConnections)
		require.NoError(t, one.Close(transport.StatusNormal, ""))
		require.NoError(t, <-one.served)
		four := serveRaw(t, s).activate()
		closeServer(t, s)
		two.closed(transport.StatusGoingAway)
		four.closed(transport.StatusGoingAway)
	})
}

func TestServerCloseEndsEverybodyWith1001AfterWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Authenticate: AllowAll})
		active, authorized, fresh := serveRaw(t, s).activate(), serveRaw(t, s).authorize(), serveRaw(t, s)
		synctest.Wait()
		require.NoError(t, s.Send(1, NewSDPOffer(SessionDescription{SDP: "v=0"}, FormString)))
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		require.Empty(t, closed, "Close waits for what is queued")
		active.hear(wireOffer)
		require.NoError(t, <-closed)
		for _, r := range []*raw{active, authorized, fresh} {
			r.closed(transport.StatusGoingAway)
			require.NoError(t, <-r.served)
		}
		late := serveRaw(t, s)
		late.closed(transport.StatusGoingAway)
		require.ErrorIs(t, <-late.served, ErrServerClosed)
		closeServer(t, s)
	})
}

func TestServeTellsWhyAConnectionEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Authenticate: AllowAll})
		for code, orderly := range map[transport.StatusCode]bool{1000: true, 1001: true, 1005: true, 1006: false, 4000: false} {
			r := serveRaw(t, s).activate()
			require.NoError(t, r.Close(code, ""))
			err := <-r.served
			if orderly {
				require.NoError(t, err)
				continue
			}
			closed, ok := errors.AsType[*transport.CloseError](err)
			require.True(t, ok)
			require.Equal(t, code, closed.Code)
			require.ErrorContains(t, err, "msejsonrpc: serve: ")
		}
		closeServer(t, s)
	})
}

func TestSlowPeerIsDroppedAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{ServerConfig: ServerConfig{Chat: true}, QueueMessages: 4, Authenticate: anybody})
		begin := time.Now()
		mute, good, author := serveRaw(t, s).activate(), serveRaw(t, s).activate(), serveRaw(t, s).activate()
		for n := range 10 {
			chat := fmt.Sprintf(`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":[],"message":"%d"}}`, n)
			author.say(chat)
			good.hear(chat)
		}
		synctest.Wait() // the end comes beside a write that is under way
		mute.closed(transport.StatusTryAgainLater)
		require.ErrorIs(t, <-mute.served, ErrSlowPeer)
		require.Zero(t, time.Since(begin), "nobody waited")
		author.say(wirePing).hear(wirePong)
		require.Equal(t, 2, s.machine.Len())
		closeServer(t, s)
	})
}

func TestServerTellsWhatItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Authenticate: anybody})
		active := serveRaw(t, s).activate()
		authorized := serveRaw(t, s).authorize()
		fresh := serveRaw(t, s)
		synctest.Wait()
		var sessions []string
		for sess := range s.Sessions() {
			state, ok := sess.State()
			require.True(t, ok)
			sessions = append(sessions, fmt.Sprint(sess.ID(), " ", state, " ", sess.Identity()))
		}
		require.Equal(t, []string{
			"1 active user T of room r in domain ", "2 authorized user T of room r in domain ", "3 new <nil>",
		}, sessions)
		require.Equal(t, Stats{
			MessagesRead: 3, BytesRead: uint64(2*len(wireAuth) + len(wireStart)),
			MessagesWritten: 3, BytesWritten: uint64(2*len(wireAuthenticated) + len(wireStarted)),
		}, s.Stats())

		first := slices.Collect(s.Sessions())[0]
		first.Close(4000, "enough")
		active.closed(4000)
		require.NoError(t, <-active.served)
		_, ok := first.State()
		require.False(t, ok)
		require.Nil(t, first.Identity())
		require.ErrorIs(t, first.SendCandidate(ICECandidateInit{}), transport.ErrClosed)
		closeServer(t, s)
		authorized.closed(transport.StatusGoingAway)
		fresh.closed(transport.StatusGoingAway)
	})
}

func TestSessionSendsDescriptionsAfterStartOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Authenticate: AllowAll, Form: FormObject})
		r := serveRaw(t, s)
		synctest.Wait()
		sess := slices.Collect(s.Sessions())[0]
		for range 2 {
			for _, err := range []error{sess.SendOffer(SessionDescription{SDP: "v=0"}), sess.SendCandidate(ICECandidateInit{})} {
				e, ok := errors.AsType[*StateError](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, []string{"active"}, e.Required)
			}
			if state, _ := sess.State(); state == ServerNew {
				r.authorize()
			}
		}
		r.say(wireStart).hear(wireStarted)
		require.NoError(t, sess.SendOffer(SessionDescription{Type: "offer", SDP: "v=0"}))
		r.hear(`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"type":"offer","sdp":"v=0"}}}`)
		for _, m := range []Message{&SDPOffer{}, &Chat{To: []string{""}}, &Unknown{}, &Response{}, &Reconnected{}} {
			for _, err := range []error{sess.Send(m), s.Send(1, m)} {
				_, ok := errors.AsType[*ValidationError](err)
				require.True(t, ok, "%#v: %v", m, err)
			}
		}
		require.NoError(t, sess.Send(&Unknown{Type: "novelty"}))
		require.NoError(t, s.Send(1, &Unknown{Type: "novelty"}))
		r.hear(`{"id":null,"method":"novelty","jsonrpc":"2.0"}`, `{"id":null,"method":"novelty","jsonrpc":"2.0"}`)
		require.Equal(t, ErrUnknownPeer, s.Send(2, &Unknown{Type: "novelty"}))
		require.NoError(t, r.Close(transport.StatusNormal, ""))
		require.NoError(t, <-r.served)
		require.Equal(t, ErrUnknownPeer, s.Send(1, &Unknown{Type: "novelty"}))
		closeServer(t, s)
	})
}

// badFrames makes frames that are random, or messages with something wrong.
func badFrames(r *rand.Rand) func() (transport.MessageType, []byte) {
	good := []string{
		wireAuth, wireStart, wirePing, wirePong, wireOffer, wireCandidate, wireDisconnect,
		`{"id":1,"method":"whoami","jsonrpc":"2.0"}`,
		`{"id":null,"method":"chat","jsonrpc":"2.0","params":{"to":["T"],"message":"m","attachment":{}}}`,
		`{"id":"x","method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"type":"answer","sdp":"v=0\r\n"}}}`,
		`{"id":1,"jsonrpc":"2.0","error":{"code":-6001,"message":"m","data":{"required":"auth"}}}`,
		`null`, `[]`, `{}`, `"\ud800"`, `1e999`, strings.Repeat("[", 10_000),
		strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100),
	}
	return func() (transport.MessageType, []byte) {
		var data []byte
		switch r.IntN(10) {
		case 0:
			data = make([]byte, r.IntN(200))
			for i := range data {
				data[i] = byte(r.Uint32())
			}
		case 1, 2, 3, 4: // as it is
			data = []byte(good[r.IntN(len(good))])
		default:
			data = []byte(good[r.IntN(len(good))])
			for range 1 + r.IntN(3) {
				i := r.IntN(len(data))
				switch r.IntN(4) {
				case 0:
					data[i] ^= 1 << r.IntN(8)
				case 1:
					data = append(data[:i], data[i+1:]...)
				case 2:
					data = slices.Insert(data, i, `{}[]",:\0ne`[r.IntN(11)])
				case 3:
					data = append(data, data[i:min(len(data), i+20)]...)
				}
				if len(data) == 0 {
					break
				}
			}
		}
		if r.IntN(200) == 0 {
			return transport.Binary, data
		}
		return transport.Text, data
	}
}

func TestServerSurvivesBadFrames(t *testing.T) {
	t.Parallel()
	const frames = 100_000
	s := NewServer(&ServerOptions{
		ServerConfig: ServerConfig{WhoAmI: true, Chat: true},
		Authenticate: anybody,
		Handle: func(ctx context.Context, s *ServerSession) error {
			for m, err := range s.Messages(ctx) {
				if err != nil {
					return err
				}
				_ = s.Send(m)
			}
			return nil
		},
		Limits: Limits{Messages: -1, Bytes: -1}, Inbox: -1, QueueMessages: -1, QueueBytes: -1,
	})
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 1))
			frame := badFrames(r)
			var conn *raw
			for range frames / 4 {
				if conn == nil {
					conn = serveRaw(t, s)
					go func(c *raw) { // read whatever comes
						var buf []byte
						var err error
						for err == nil {
							_, buf, err = c.Read(buf)
						}
					}(conn)
				}
				typ, data := frame()
				if conn.Write(typ, data) != nil { // refused: the next one comes
					<-conn.served
					conn = nil
				} else if r.IntN(1000) == 0 {
					_ = conn.Close(transport.StatusNormal, "")
					<-conn.served
					conn = nil
				}
			}
			if conn != nil {
				_ = conn.Close(transport.StatusNormal, "")
				<-conn.served
			}
		})
	}
	group.Wait()
	closeServer(t, s)
}

func TestClientSurvivesBadFrames(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	frame := badFrames(r)
	for range 300 {
		near, far := transport.Pipe()
		c, err := Connect(t.Context(), near, &ClientOptions{Inbox: -1, QueueMessages: -1, QueueBytes: -1})
		require.NoError(t, err)
		go func() { // read whatever comes
			var buf []byte
			var err error
			for err == nil {
				_, buf, err = far.Read(buf)
			}
		}()
		for range 100 {
			typ, data := frame()
			_ = c.Send(&Ping{})
			if far.Write(typ, data) != nil {
				break
			}
		}
		require.NoError(t, c.Close())
	}
}
