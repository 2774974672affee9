package msejsonrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

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
						authorize(r).Say(wireStart).Hear(wireError(2, tt.said)).Say(wireStart).Hear(wireError(2, tt.said))
					} else {
						r.Say(wireAuth).Hear(wireError(1, tt.said)).Say(wireAuth).Hear(wireError(1, tt.said))
						require.Nil(t, slices.Collect(s.Sessions())[0].Identity())
					}
					r.Say(wirePing).Hear(wirePong)
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
		r := serveRaw(t, s).Say(wirePing).Hear(wirePong)
		for range DefaultAuthAttempts {
			r.Say(wireAuth).Hear(wireError(1, ErrAuthorizationFailed))
		}
		r.Closed(transport.StatusPolicyViolation)
		require.NoError(t, <-r.Served)
		closeServer(t, s)
	})
}

func TestAllowAllAdmitsEverybodyAsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		r := activate(serveRaw(t, s))
		require.Equal(t, &Identity{}, slices.Collect(s.Sessions())[0].Identity())
		r.Say(wireOffer, wireCandidate, wirePing).Hear(wirePong) // discarded, as there is no Handle
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
		r.Say(wireAuth).Hear(wireError(1, ErrInternal))
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
		slow := serveRaw(t, s).Say(`{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"slow","version":"1.0"}}`)
		synctest.Wait()
		activate(serveRaw(t, s)).Say(wirePing).Hear(wirePong)
		state, ok := slices.Collect(s.Sessions())[0].State()
		require.True(t, ok)
		require.Equal(t, ServerNew, state)
		said := make(chan struct{})
		go func() { // what it says while the hook thinks waits, and is no offence
			slow.Say(wirePing)
			close(said)
		}()
		synctest.Wait()
		close(release)
		slow.Hear(wireAuthenticated, wirePong)
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
				AllowAll: true,
				Handle:   func(context.Context, *ServerSession) error { panic("handles a session that has ended") },
			}
			if starting {
				opts.AuthorizeStart = func(ctx context.Context, _ *ServerSession) error { return hang(ctx) }
			} else {
				opts.Authenticate = func(ctx context.Context, _ *ServerSession, _ *Auth) (*Identity, error) { return nil, hang(ctx) }
			}
			return NewServer(opts), ended
		}
		ask := func(r *script.Line) *script.Line {
			if starting {
				return authorize(r).Say(wireStart)
			}
			return r.Say(wireAuth)
		}
		t.Run(fmt.Sprint("with the server, starting: ", starting), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, ended := setUp()
				r := ask(serveRaw(t, s))
				synctest.Wait()
				closeServer(t, s)
				require.Zero(t, <-ended)
				r.Closed(transport.StatusGoingAway)
				require.NoError(t, <-r.Served)
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
				r.Closed(transport.StatusGoingAway)
				require.ErrorIs(t, <-r.Served, context.Canceled)
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
				r.Closed(transport.StatusPolicyViolation)
				require.NoError(t, <-r.Served)
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
					AllowAll:     true,
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
				r := &script.Line{Conn: near, TB: t, JSON: true, Served: make(chan error, 1)}
				go func() {
					transport.Serve(t.Context(), far, slog.New(slog.NewTextHandler(&log, nil)), s.Serve)
					r.Served <- nil
				}()
				for _, m := range []string{wireAuth, wireStart, wireOffer, `{"id":null,"method":"novelty","jsonrpc":"2.0"}`} {
					if r.Write(transport.Text, []byte(m)) != nil {
						break
					}
					if m == wireAuth || m == wireStart {
						_, _, _ = r.Read(nil)
					}
				}
				r.Closed(transport.StatusInternalError)
				require.NoError(t, <-r.Served)
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
					AllowAll: true,
					Handle: func(_ context.Context, s *ServerSession) error {
						require.NoError(t, s.SendOffer(SessionDescription{SDP: "v=0"}))
						return tt.err
					},
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				r := activate(serveRaw(t, s)).Hear(wireOffer) // what is queued goes out before
				r.Closed(tt.code)
				require.NoError(t, <-r.Served)
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
		end func(s *Server, r *script.Line, cancel func())
		err func(err error) bool // of Next
	}{
		"disconnect":      {func(_ *Server, r *script.Line, _ func()) { r.Say(wireDisconnect) }, isEOF},
		"close":           {func(_ *Server, r *script.Line, _ func()) { _ = r.Close(1000, "") }, isEOF},
		"going away":      {func(_ *Server, r *script.Line, _ func()) { _ = r.Close(1001, "") }, isEOF},
		"the server":      {func(s *Server, _ *script.Line, _ func()) { go s.Close() }, isEOF},
		"the application": {func(s *Server, _ *script.Line, _ func()) { slices.Collect(s.Sessions())[0].Close(4000, "enough") }, isEOF},
		"cut": {func(_ *Server, r *script.Line, _ func()) { _ = r.Close(1006, "") }, func(err error) bool {
			e, ok := errors.AsType[*transport.CloseError](err)
			return ok && e.Code == transport.StatusAbnormal
		}},
		"Serve's context": {func(_ *Server, _ *script.Line, cancel func()) { cancel() }, func(err error) bool {
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
						AllowAll: true,
						Logger:   slog.New(slog.NewTextHandler(&log, nil)),
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
					r := activate(serveWith(t, ctx, s)).Say(wireOffer, wireCandidate)
					synctest.Wait()
					tt.end(s, r, cancel)
					<-handled
					<-r.Served
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
			AllowAll: true,
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
		r := activate(serveRaw(t, s)).Hear(wireCandidate).Say(wireOffer, wireCandidate, wireCandidate)
		r.Closed(transport.StatusNormal)
		closeServer(t, s)
	})
}

func TestApplicationThatDoesNotReadEndsItsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, handled := make(chan struct{}), make(chan struct{})
		var log bytes.Buffer
		s := NewServer(&ServerOptions{
			AllowAll: true, Inbox: 2,
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
		r := activate(serveRaw(t, s))
		other := activate(serveRaw(t, s))
		r.Say(wireOffer, wireCandidate, wirePing).Hear(wirePong).Say(wireCandidate)
		r.Closed(transport.StatusInternalError)
		other.Say(wirePing).Hear(wirePong)
		close(release)
		<-handled
		require.ErrorIs(t, <-r.Served, ErrSlowConsumer)
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
		goesOn := activate(serveRaw(t, s))
		time.Sleep(time.Second)
		isClosed := activate(serveRaw(t, s))
		authorize(serveRaw(t, s)) // never active: nobody hears of it
		left := activate(serveRaw(t, s))
		require.NoError(t, left.Close(1000, ""))
		require.Equal(t, expiry{1, 30 * time.Second}, <-expired)
		require.Equal(t, expiry{2, 31 * time.Second}, <-expired)
		isClosed.Closed(4001)
		time.Sleep(time.Hour)
		require.Empty(t, expired)
		goesOn.Say(wireOffer).Hear(wireCandidate).Say(wireStart).Hear(wireError(2, ErrUnauthorizedAccess))
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
		r := serveRaw(t, s).Say(wireOffer, wirePong, `{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":7}`)
		r.Closed(transport.StatusPolicyViolation)
		synctest.Wait()
		for _, typ := range []string{"sdpOffer", "response", "sdpOffer"} {
			require.Equal(t, typ, (<-heard).Type)
		}
		require.Empty(t, heard)
		closeServer(t, s)
	})
}
