package galene

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A routerFunc is a MediaRouter that is a function.
type routerFunc func(ctx context.Context, m *MediaMember) error

func (f routerFunc) Serve(ctx context.Context, m *MediaMember) error { return f(ctx, m) }

// A switchboard is a media router that answers every offer and offers it to the other
// members that have requested anything.
type switchboard struct {
	mu      sync.Mutex
	members map[string]*MediaMember // by client id
	wants   map[string]bool
	heard   map[string][]string // what each member's Serve has read
	ended   map[string]error
}

func newSwitchboard() *switchboard {
	return &switchboard{
		members: make(map[string]*MediaMember), wants: make(map[string]bool),
		heard: make(map[string][]string), ended: make(map[string]error),
	}
}

func (b *switchboard) Serve(ctx context.Context, m *MediaMember) error {
	b.mu.Lock()
	b.members[m.ID] = m
	b.mu.Unlock()
	for {
		msg, err := m.Next(context.Background())
		b.mu.Lock()
		if err != nil {
			b.ended[m.ID] = errors.Join(err, ctx.Err())
			if b.members[m.ID] == m { // it may have come again meanwhile
				delete(b.members, m.ID)
			}
			b.mu.Unlock()
			return nil
		}
		b.heard[m.ID] = append(b.heard[m.ID], wireTextOf(msg))
		b.route(m, msg)
		b.mu.Unlock()
	}
}

func (b *switchboard) route(m *MediaMember, msg Message) {
	switch msg := msg.(type) {
	case *Request:
		b.wants[m.ID] = true
	case *Offer:
		if msg.SDP == "nonsense" {
			_ = m.Fail(msg.ID, "bad SDP")
			return
		}
		_ = m.Send(&Answer{ID: msg.ID, SDP: "answer to " + msg.SDP})
		for id, other := range b.members {
			if id != m.ID && b.wants[id] {
				_ = other.Send(&Offer{ID: msg.ID, Replace: msg.Replace, SDP: "server's " + msg.SDP})
			}
		}
	}
}

func (b *switchboard) member(id string) *MediaMember {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.members[id]
}

func (b *switchboard) said(id string) []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heard[id]
}

func TestTheMediaRouterMovesStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newSwitchboard()
		s := NewServer(&ServerOptions{Groups: traceGroups(), Router: b})
		alice := enter(serve(t, s), "a", "test", "alice", "apw", 0).Say(`{"type":"request","request":{"":["audio"]}}`)
		bob := enter(serve(t, s), "b", "test", "bob", "bpw", 1)
		alice.Skip(1)
		synctest.Wait()
		bob.Say(`{"type":"offer","id":"s","label":"camera","kind":"renegotiate","sdp":"v=0"}`).
			Hear(`{"type":"answer","id":"s","sdp":"answer to v=0"}`)
		alice.Hear(`{"type":"offer","id":"s","source":"b","username":"bob","label":"camera","sdp":"server's v=0"}`)
		alice.Say(`{"type":"answer","id":"s","sdp":"v=0 a"}`, `{"type":"ice","id":"s","candidate":{"candidate":"of a"}}`,
			`{"type":"renegotiate","id":"s"}`, `{"type":"requestStream","id":"s","request":["audio"]}`,
			`{"type":"answer","id":"other","sdp":"v=0"}`)
		alice.Hear(`{"type":"close","id":"other"}`)
		bob.Say(`{"type":"ice","id":"s","candidate":{"candidate":"of b"}}`, `{"type":"ice","id":"other","candidate":{}}`)
		require.Equal(t, []string{
			`{"type":"request","request":{"":["audio"]}}`,
			`{"type":"answer","id":"s","sdp":"v=0 a"}`, `{"type":"ice","id":"s","candidate":{"candidate":"of a"}}`,
			`{"type":"renegotiate","id":"s"}`, `{"type":"requestStream","id":"s","request":["audio"]}`,
		}, b.said("a"))
		require.Equal(t, []string{
			`{"type":"offer","id":"s","source":"b","username":"bob","sdp":"v=0","label":"camera"}`,
			`{"type":"ice","id":"s","candidate":{"candidate":"of b"}}`,
		}, b.said("b"))

		// What the server has for its members.
		require.NoError(t, b.member("b").Send(&ICE{ID: "s", Candidate: []byte(`{"candidate":"of the server"}`)}))
		require.NoError(t, b.member("b").Send(&Renegotiate{ID: "s"}))
		bob.Hear(`{"type":"ice","id":"s","candidate":{"candidate":"of the server"}}`, `{"type":"renegotiate","id":"s"}`)
		require.NoError(t, b.member("a").Send(&ICE{ID: "s", Candidate: []byte(`{"candidate":"of the server"}`)}))
		alice.Hear(`{"type":"ice","id":"s","candidate":{"candidate":"of the server"}}`)

		// A stream in place of another.
		bob.Say(`{"type":"offer","id":"t","replace":"s","label":"camera","sdp":"v=0 t"}`).Skip(1)
		alice.Hear(`{"type":"offer","id":"t","replace":"s","source":"b","username":"bob","label":"camera","sdp":"server's v=0 t"}`)
		require.ErrorIs(t, b.member("a").Send(&Close{ID: "s"}), ErrUnknownStream)

		// Its end.
		bob.Say(`{"type":"close","id":"t"}`)
		alice.Hear(`{"type":"close","id":"t"}`)
		require.Equal(t, `{"type":"close","id":"t"}`, last(b.said("b")))
		closeServer(t, s)
		require.Equal(t, map[string]error{"a": b.ended["a"], "b": b.ended["b"]}, b.ended)
		for _, err := range b.ended {
			require.ErrorIs(t, err, io.EOF)
			require.ErrorIs(t, err, context.Canceled)
		}
	})
}

func TestTheMediaRouterRefusesAndEndsStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newSwitchboard()
		s := NewServer(&ServerOptions{Groups: traceGroups(), Router: b})
		alice := enter(serve(t, s), "a", "test", "alice", "apw", 0).Say(`{"type":"request","request":{"":["audio"]}}`)
		bob := enter(serve(t, s), "b", "test", "bob", "bpw", 1)
		alice.Skip(1)
		synctest.Wait()
		bob.Say(`{"type":"offer","id":"s","sdp":"nonsense"}`).Hear(`{"type":"abort","id":"s"}`,
			`{"type":"usermessage","kind":"error","dest":"b","privileged":true,"value":"bad SDP"}`)
		require.Equal(t, `{"type":"close","id":"s"}`, last(b.said("b")), "it is told as for any end")
		bob.Say(`{"type":"offer","id":"s","sdp":"v=0"}`).Skip(1)
		alice.Skip(1)
		require.NoError(t, b.member("b").Fail("s", ""))
		bob.Hear(`{"type":"abort","id":"s"}`)
		alice.Hear(`{"type":"close","id":"s"}`)
		bob.Say(`{"type":"close","id":"s"}`) // as browsers answer
		bob.Say(`{"type":"offer","id":"t","sdp":"v=0"}`).Skip(1)
		alice.Skip(1)
		// For one receiver alone.
		require.NoError(t, b.member("a").Send(&Close{ID: "t"}))
		alice.Hear(`{"type":"close","id":"t"}`)
		// By an operator: the router is told.
		alice.Say(`{"type":"useraction","kind":"unpresent","dest":"b"}`).Skip(1)
		bob.Skip(4)
		require.Equal(t, `{"type":"close","id":"t"}`, last(b.said("b")))

		// Of what is gone, or was never there.
		for _, msg := range []Message{
			&Answer{ID: "t", SDP: "v=0"}, &ICE{ID: "t", Candidate: []byte(`{}`)}, &Close{ID: "t"}, &Abort{ID: "t"},
			&Renegotiate{ID: "t"}, &Offer{ID: "t", SDP: "v=0"}, &Chat{}, &Joined{Kind: JoinedJoin},
		} {
			require.ErrorIs(t, b.member("a").Send(msg), ErrUnknownStream, "%s", wireTextOf(msg))
			require.ErrorIs(t, b.member("b").Send(msg), ErrUnknownStream, "%s", wireTextOf(msg))
		}
		require.ErrorIs(t, b.member("b").Fail("t", "why"), ErrUnknownStream)
		var invalid *ValidationError
		require.ErrorAs(t, b.member("b").Send(&Answer{ID: "t"}), &invalid)
		alice.Say(wirePing).Hear(wirePong)
		bob.Say(wirePing).Hear(wirePong)

		// Of who has gone.
		gone := b.member("b")
		bob.Say(`{"type":"join","kind":"leave","group":"test"}`).Skip(1)
		alice.Skip(1)
		require.ErrorIs(t, gone.Send(&UserMessage{Kind: UserMessageError}), ErrUnknownStream)
		bob.Say(joinOf("test", "bob", "bpw")).Skip(3)
		alice.Skip(1)
		require.ErrorIs(t, gone.Send(&UserMessage{Kind: UserMessageError}), ErrUnknownStream, "another stay is another member")
		require.NoError(t, b.member("b").Send(&UserMessage{Kind: UserMessageError, Value: NewText("why")}))
		bob.Hear(`{"type":"usermessage","kind":"error","dest":"b","privileged":true,"value":"why"}`)
		closeServer(t, s)
	})
}

func TestNobodyReplacesTheStreamOfAnotherThroughTheRouter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newSwitchboard()
		s := NewServer(&ServerOptions{Groups: traceGroups(), Router: b})
		c := enter(serve(t, s), "c", "open", "c", "", 0).Say(`{"type":"request","request":{"":["audio"]}}`)
		a := enter(serve(t, s), "a", "open", "a", "", 1)
		c.Skip(1)
		x := enter(serve(t, s), "x", "open", "x", "", 2)
		c.Skip(1)
		a.Skip(1)
		synctest.Wait()
		a.Say(`{"type":"offer","id":"s","sdp":"v=0"}`).Skip(1)
		c.Hear(`{"type":"offer","id":"s","source":"a","username":"a","sdp":"server's v=0"}`)
		x.Say(`{"type":"offer","id":"t","replace":"s","sdp":"v=0 x"}`).Skip(1)
		c.Hear(`{"type":"offer","id":"t","source":"x","username":"x","sdp":"server's v=0 x"}`)
		// Whatever the router says.
		require.NoError(t, b.member("c").Send(&Offer{ID: "t", Replace: "s", SDP: "v=0"}))
		c.Hear(`{"type":"offer","id":"t","source":"x","username":"x","sdp":"v=0"}`)
		require.NoError(t, b.member("c").Send(&ICE{ID: "s", Candidate: []byte(`{}`)}))
		c.Skip(1)
		closeServer(t, s)
	})
}

func TestTheEndOfTheMediaIsTheEndOfTheConnection(t *testing.T) {
	t.Parallel()
	oops := errors.New("no more ports")
	for name, tt := range map[string]struct {
		serve  func(ctx context.Context, m *MediaMember) error
		logged string
	}{
		"by an error": {func(context.Context, *MediaMember) error { return oops }, "no more ports"},
		"by an error, later": {func(ctx context.Context, m *MediaMember) error {
			_, _ = m.Next(ctx)
			return oops
		}, "no more ports"},
		"by a panic": {func(context.Context, *MediaMember) error { panic("a bug of the router") }, "a bug of the router"},
		"by a panic, later": {func(ctx context.Context, m *MediaMember) error {
			_, _ = m.Next(ctx)
			panic("a bug of the router")
		}, "a bug of the router"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log, served bytes.Buffer
				s := NewServer(&ServerOptions{
					Groups: traceGroups(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Router: routerFunc(func(ctx context.Context, m *MediaMember) error {
						if m.ID == "other" {
							<-ctx.Done()
							return oops // after its time is over it is nobody's business
						}
						return tt.serve(ctx, m)
					}),
				})
				other := enter(serve(t, s), "other", "open", "o", "", 0)
				p := shake(serveRecovering(t, s, &served), "a").Say(joinOf("open", "a", ""))
				_ = p.Write(transport.Text, []byte(`{"type":"offer","id":"s","sdp":"v=0"}`))
				p.Drain()
				<-p.Served
				other.Hear(`{"type":"user","kind":"add","id":"a","username":"a","permissions":["present","message"]}`,
					`{"type":"user","kind":"delete","id":"a","username":"a"}`).Say(wirePing).Hear(wirePong)
				require.Contains(t, log.String()+served.String(), tt.logged)
				require.Equal(t, 1, bytes.Count([]byte(log.String()+served.String()), []byte(tt.logged+`"`))+
					bytes.Count([]byte(log.String()+served.String()), []byte(tt.logged+`\n`)), "it is told once")
				log.Reset()
				closeServer(t, s)
				require.Empty(t, log.String())
			})
		})
	}
}

func TestTheMediaMayEndBeforeTheMember(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Groups: traceGroups(), Router: routerFunc(func(context.Context, *MediaMember) error { return nil }), Inbox: 3,
		})
		p := enter(serve(t, s), "a", "open", "a", "", 0)
		synctest.Wait()
		for range 10 {
			p.Say(`{"type":"request","request":{}}`)
		}
		p.Say(`{"type":"offer","id":"s","sdp":"v=0"}`, `{"type":"request","request":{}}`, wirePing).Hear(wirePong)
		closeServer(t, s)
	})
}

func TestARouterThatDoesNotReadEndsItsMember(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := NewServer(&ServerOptions{
			Groups: traceGroups(), Inbox: 3, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Router: routerFunc(func(ctx context.Context, _ *MediaMember) error {
				<-ctx.Done()
				return nil
			}),
		})
		other := enter(serve(t, s), "o", "open", "o", "", 0)
		p := enter(serve(t, s), "a", "open", "a", "", 1)
		other.Skip(1)
		for range 3 {
			p.Say(`{"type":"request","request":{}}`)
		}
		p.Say(wirePing).Hear(wirePong).Say(`{"type":"request","request":{}}`)
		p.Closed(transport.StatusInternalError, "")
		<-p.Served
		other.Hear(`{"type":"user","kind":"delete","id":"a","username":"a"}`).Say(wirePing).Hear(wirePong)
		closeServer(t, s)
		require.Contains(t, log.String(), "too slow")
	})
}

func TestARouterDoesNotHoldUpTheNewsOfAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Groups: traceGroups(),
			Router: routerFunc(func(ctx context.Context, m *MediaMember) error {
				<-ctx.Done()
				time.Sleep(time.Minute) // it tears peer connections down
				return nil
			}),
		})
		other := enter(serve(t, s), "o", "open", "o", "", 0)
		p := enter(serve(t, s), "a", "open", "a", "", 1)
		other.Skip(1)
		begin := time.Now()
		require.NoError(t, p.Close(transport.StatusNormal, ""))
		other.Hear(`{"type":"user","kind":"delete","id":"a","username":"a"}`)
		require.Zero(t, time.Since(begin))
		require.NoError(t, <-p.Served)
		require.Equal(t, time.Minute, time.Since(begin), "Serve waits for it")
		other.Drain()
		closeServer(t, s)
	})
}

func TestMessagesOfAMemberEndWithItsStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := make(chan string, 10)
		s := NewServer(&ServerOptions{
			Groups: traceGroups(),
			Router: routerFunc(func(ctx context.Context, m *MediaMember) error {
				for msg, err := range m.Messages(ctx) {
					if err != nil {
						return err
					}
					got <- m.Group + " " + m.Username + " " + wireTextOf(msg)
				}
				got <- "end of " + m.Group
				return nil
			}),
		})
		p := enter(serve(t, s), "a", "open", "ann", "", 0)
		for _, group := range []string{"open", "test"} {
			p.Say(`{"type":"request"}`, fmt.Sprintf(`{"type":"join","kind":"leave","group":%q}`, group)).Skip(1)
			require.Equal(t, group+" ", (<-got)[:len(group)+1])
			require.Equal(t, "end of "+group, <-got)
			p.Say(joinOf("test", "bob", "bpw")).Skip(2)
		}
		closeServer(t, s)
	})
}

func TestRecordingsAreMadeByAHook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type recording struct {
			group string
			conn  transport.Conn
			end   chan error
		}
		recordings := make(chan *recording, 1)
		var log bytes.Buffer
		s := NewServer(&ServerOptions{
			Groups: traceGroups(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Record: func(_ context.Context, group string, conn transport.Conn) error {
				r := &recording{group, conn, make(chan error)}
				recordings <- r
				return <-r.end
			},
		})
		p := enter(serve(t, s), "a", "test", "alice", "apw", 0)
		begin := func() (*recording, *script.Line) {
			p.Say(`{"type":"groupaction","kind":"record"}`)
			r := <-recordings
			require.Equal(t, "test", r.group)
			rec := &script.Line{Conn: r.conn, TB: t, JSON: true}
			shake(rec, "rec").Say(`{"type":"join","kind":"join","group":"test"}`).Skip(3)
			p.Hear(`{"type":"user","kind":"add","id":"rec","username":"RECORDING","permissions":["system"]}`)
			return r, rec
		}
		gone := `{"type":"user","kind":"delete","id":"rec","username":"RECORDING"}`
		r, rec := begin()
		p.Say(`{"type":"groupaction","kind":"unrecord"}`).Hear(gone)
		rec.Closed(transport.StatusNormal, "")
		r.end <- nil

		r, _ = begin()
		r.end <- errors.New("disk full") // its connection ends with it
		p.Hear(gone)

		r, rec = begin()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		p.Drain()
		rec.Drain()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close does not wait for the recorder")
		default:
		}
		r.end <- nil
		require.NoError(t, <-closed)
		closeServer(t, s)
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("level=ERROR")), log.String())
		require.Contains(t, log.String(), "disk full")
	})
}

func TestAPanicOfARecorderEndsItsRecordingAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := NewServer(&ServerOptions{
			Groups: traceGroups(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Record: func(context.Context, string, transport.Conn) error { panic("a bug of the recorder") },
		})
		p := enter(serve(t, s), "a", "test", "alice", "apw", 0)
		for range 2 {
			p.Say(`{"type":"groupaction","kind":"record"}`, wirePing).Hear(wirePong)
			synctest.Wait()
		}
		closeServer(t, s)
		require.Equal(t, 2, bytes.Count(log.Bytes(), []byte("a bug of the recorder")))
	})
}

func TestTheContextOfARecordingEndsWithIt(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *Server, p *script.Line){
		"by an operator":      func(_ *Server, p *script.Line) { p.Say(`{"type":"groupaction","kind":"unrecord"}`) },
		"when nobody is left": func(_ *Server, p *script.Line) { _ = p.Close(transport.StatusNormal, "") },
		"with the server":     func(s *Server, _ *script.Line) { go s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan struct{})
				var log bytes.Buffer
				s := NewServer(&ServerOptions{
					Groups: traceGroups(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Record: func(ctx context.Context, _ string, _ transport.Conn) error { // which it does not even read
						<-ctx.Done()
						close(ended)
						return ctx.Err()
					},
				})
				p := enter(serve(t, s), "a", "test", "alice", "apw", 0).Say(`{"type":"groupaction","kind":"record"}`)
				synctest.Wait()
				end(s, p)
				<-ended
				p.Drain()
				closeServer(t, s)
				require.Empty(t, log.String())
			})
		})
	}
}

func TestARecorderThatFindsNoRoomMayBeCalledAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan error)
		s := NewServer(&ServerOptions{
			Groups: traceGroups(), Connections: 1,
			Record: func(_ context.Context, _ string, conn transport.Conn) error {
				_, _, err := conn.Read(nil)
				ends <- err
				return nil
			},
		})
		p := enter(serve(t, s), "a", "test", "alice", "apw", 0)
		for range 2 {
			p.Say(`{"type":"groupaction","kind":"record"}`)
			var closed *transport.CloseError
			require.ErrorAs(t, <-ends, &closed)
			require.Equal(t, transport.StatusTryAgainLater, closed.Code)
			synctest.Wait()
		}
		p.Say(wirePing).Hear(wirePong)
		closeServer(t, s)
	})
}
