package msejsonrpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func serveRaw(t *testing.T, s *Server) *script.Line { return script.Serve(t, t.Context(), s.Serve) }

func serveWith(t *testing.T, ctx context.Context, s *Server) *script.Line {
	return script.Serve(t, ctx, s.Serve)
}

// answerPing answers a ping in the background, whatever its id.
func answerPing(r *script.Line) {
	go func() {
		_, got, err := r.Read(nil)
		m, decodeErr := Decode(got)
		ping, ok := m.(*Ping)
		if err != nil || decodeErr != nil || !ok {
			r.TB.Errorf("no ping: %s %v", got, err)
			return
		}
		if err := r.Write(transport.Text, []byte(wireText(ping.Pong()))); err != nil {
			r.TB.Errorf("no pong: %v", err)
		}
	}()
}

// authorize lets a client authenticate, activate start as well.
func authorize(r *script.Line) *script.Line { return r.Say(wireAuth).Hear(wireAuthenticated) }
func activate(r *script.Line) *script.Line  { return authorize(r).Say(wireStart).Hear(wireStarted) }

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
		r.Hear(wireAuthenticated, wirePong,
			`{"id":4,"jsonrpc":"2.0","result":{"domain":"","agent":"","role":"user","userId":"T","roomId":"r",`+
				`"ipAddress":"","tokenIssued":"","validFrom":"","validTo":""}}`,
			wireStarted, wirePong, wireError(nil, ErrParse), wirePong)
		require.Equal(t, 5*time.Second, time.Since(begin))
		closeServer(t, s)
	})
}

func TestServerCloseEndsEverybodyWith1001AfterWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		active, authorized, fresh := activate(serveRaw(t, s)), authorize(serveRaw(t, s)), serveRaw(t, s)
		synctest.Wait()
		require.NoError(t, s.Send(1, NewSDPOffer(SessionDescription{SDP: "v=0"}, FormString)))
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		require.Empty(t, closed, "Close waits for what is queued")
		active.Hear(wireOffer)
		require.NoError(t, <-closed)
		for _, r := range []*script.Line{active, authorized, fresh} {
			r.Closed(transport.StatusGoingAway)
			require.NoError(t, <-r.Served)
		}
		late := serveRaw(t, s)
		late.Closed(transport.StatusGoingAway)
		require.ErrorIs(t, <-late.Served, ErrServerClosed)
		closeServer(t, s)
	})
}

func TestServeTellsWhyAConnectionEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true})
		for code, orderly := range map[transport.StatusCode]bool{1000: true, 1001: true, 1005: true, 1006: false, 4000: false} {
			r := activate(serveRaw(t, s))
			require.NoError(t, r.Close(code, ""))
			err := <-r.Served
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

func TestServerTellsWhatItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Authenticate: anybody})
		active := activate(serveRaw(t, s))
		authorized := authorize(serveRaw(t, s))
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
		active.Closed(4000)
		require.NoError(t, <-active.Served)
		_, ok := first.State()
		require.False(t, ok)
		require.Nil(t, first.Identity())
		require.ErrorIs(t, first.SendCandidate(ICECandidateInit{}), transport.ErrClosed)
		closeServer(t, s)
		authorized.Closed(transport.StatusGoingAway)
		fresh.Closed(transport.StatusGoingAway)
	})
}

func TestSessionSendsDescriptionsAfterStartOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{AllowAll: true, Form: FormObject})
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
				authorize(r)
			}
		}
		r.Say(wireStart).Hear(wireStarted)
		require.NoError(t, sess.SendOffer(SessionDescription{Type: "offer", SDP: "v=0"}))
		r.Hear(`{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":{"type":"offer","sdp":"v=0"}}}`)
		for _, m := range []Message{&SDPOffer{}, &Chat{To: []string{""}}, &Unknown{}, &Response{}, &Reconnected{}} {
			for _, err := range []error{sess.Send(m), s.Send(1, m)} {
				_, ok := errors.AsType[*ValidationError](err)
				require.True(t, ok, "%#v: %v", m, err)
			}
		}
		require.NoError(t, sess.Send(&Unknown{Type: "novelty"}))
		require.NoError(t, s.Send(1, &Unknown{Type: "novelty"}))
		r.Hear(`{"id":null,"method":"novelty","jsonrpc":"2.0"}`, `{"id":null,"method":"novelty","jsonrpc":"2.0"}`)
		require.Equal(t, ErrUnknownPeer, s.Send(2, &Unknown{Type: "novelty"}))
		require.NoError(t, r.Close(transport.StatusNormal, ""))
		require.NoError(t, <-r.Served)
		require.Equal(t, ErrUnknownPeer, s.Send(1, &Unknown{Type: "novelty"}))
		closeServer(t, s)
	})
}
