package galene

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
)

func TestASlowReaderIsDroppedAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const members, chats = 100, 300
		s := NewServer(&ServerOptions{
			Groups: Groups{"g": {Wildcard: &MemoryUser{AnyPassword: true, Set: "message"}}},
			Limits: Limits{Messages: -1, Bytes: -1}, QueueMessages: 2 * members,
		})
		var heard, farewells atomic.Int64 // by all who read
		var peers []*script.Line
		for i := range members {
			p := shake(serve(t, s), fmt.Sprint("c", i)).Say(joinOf("g", "u", ""))
			peers = append(peers, p)
			go func() {
				for {
					_, got, err := p.Read(nil)
					if err != nil {
						return
					}
					switch text := string(got); {
					case strings.Contains(text, `"type":"chat"`):
						heard.Add(1)
					case strings.Contains(text, `"kind":"delete","id":"slow"`):
						farewells.Add(1)
					}
				}
			}()
		}
		slow := shake(serve(t, s), "slow").Say(joinOf("g", "slow", ""))
		synctest.Wait()
		begin := time.Now()
		for i := range chats {
			peers[i%10].Say(`{"type":"chat","value":"` + strings.Repeat("x", 100) + `"}`)
			synctest.Wait() // all who read have read it
		}
		require.Zero(t, time.Since(begin), "nobody waited for it")
		require.EqualValues(t, members*chats, heard.Load())
		require.EqualValues(t, members, farewells.Load())
		require.ErrorIs(t, <-slow.Served, ErrSlowPeer)
		require.EqualValues(t, 1, s.Stats().Slow)
		closeServer(t, s)
	})
}

func TestABroadcastIsEncodedOnce(t *testing.T) {
	t.Parallel()
	m := &Chat{ID: "x", Value: NewText(strings.Repeat("x", 1000))}
	msg := share(m)
	first, err := appendMessage(nil, msg)
	require.NoError(t, err)
	m.Value = NewText("changed") // which would show if it were encoded again
	for range 3 {
		again, err := appendMessage(nil, msg)
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
	// The machine names the same message for everybody, one after the other, so the driver
	// shares it.
	machine := NewServerMachine(ServerConfig{})
	for id := range PeerID(5) {
		machine.Connect(serverDawn, id, Connection{})
		shakeHands(machine, id, fmt.Sprint("c", id))
		enterGroup(machine, id, "u", asOperator)
	}
	for _, step := range []Message{
		&Chat{Value: NewText("x")}, &UserMessage{Kind: "novelty"}, &GroupAction{Kind: GroupClearChat},
		&UserAction{Kind: UserSetData, Dest: "c0", Value: []byte(`{"x":1}`)},
	} {
		fx := machine.Receive(serverDawn, 0, step)
		require.Len(t, fx.Send, 5)
		for _, d := range fx.Send {
			require.Same(t, fx.Send[0].Message, d.Message)
		}
	}
	fx := machine.Disconnect(serverDawn, 0)
	require.Len(t, fx.Send, 4)
	for _, d := range fx.Send {
		require.Same(t, fx.Send[0].Message, d.Message)
	}
}

func TestBroadcastsCostNoAllocationForEachMember(t *testing.T) {
	// Not parallel: it counts allocations.
	allocations := func(members int) float64 {
		m := NewServerMachine(ServerConfig{HistoryMessages: 1})
		for id := range PeerID(members) {
			m.Connect(serverDawn, id, Connection{})
			shakeHands(m, id, fmt.Sprint("c", id))
			enterGroup(m, id, "u", asSpeaker)
		}
		chat := &Chat{Value: NewText("x")}
		return testing.AllocsPerRun(100, func() { m.Receive(serverDawn, 0, chat) })
	}
	require.InDelta(t, allocations(2), allocations(100), 2)
}

func TestAFloodIsPacedAndThenCutOffWhileOthersAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Groups: traceGroups(), Limits: Limits{Messages: 10, MessageBurst: 20, Patience: 2 * time.Second},
		})
		flood := shake(serve(t, s), "f")
		flood.Drain()
		begin := time.Now()
		go func() {
			for n := 0; n < 1<<20 && flood.Write(transport.Text, []byte(wirePing)) == nil; n++ {
			}
		}()
		other := shake(serve(t, s), "o")
		for range 4 {
			time.Sleep(300 * time.Millisecond)
			before := time.Now()
			other.Say(wirePing).Hear(wirePong)
			require.Zero(t, time.Since(before))
		}
		require.ErrorIs(t, <-flood.Served, ErrFlood)
		require.EqualValues(t, 1, s.Stats().Flooded)
		require.InDelta(t, 2, time.Since(begin).Seconds(), 0.2)
		require.Less(t, s.Stats().MessagesWritten, uint64(60), "its burst and its rate, and the other's")
		closeServer(t, s)
	})
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	chat := func(n int) string {
		const begin, end = `{"type":"chat","noecho":true,"value":"`, `"}`
		return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
	}
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Groups: traceGroups()})
		p := enter(serve(t, s), "a", "open", "ann", "", 0).Say(chat(DefaultMessageBytes), wirePing).Hear(wirePong)
		p.Say(chat(DefaultMessageBytes + 1))
		p.Closed(transport.StatusMessageTooBig, "")
		require.NoError(t, <-p.Served)
		// In the handshake as well.
		p = serve(t, s).Say(chat(DefaultMessageBytes + 1))
		p.Closed(transport.StatusMessageTooBig, "")
		require.EqualValues(t, 2, s.Stats().TooBig)
		closeServer(t, s)

		s = NewServer(&ServerOptions{Groups: traceGroups(), MessageBytes: 100})
		p = enter(serve(t, s), "a", "open", "ann", "", 0).Say(chat(100), wirePing).Hear(wirePong)
		p.Say(chat(101))
		p.Closed(transport.StatusMessageTooBig, "")
		closeServer(t, s)

		s = NewServer(&ServerOptions{Groups: traceGroups(), MessageBytes: -1, Limits: Limits{Bytes: -1}})
		enter(serve(t, s), "a", "open", "ann", "", 0).Say(chat(3<<20), wirePing).Hear(wirePong)
		closeServer(t, s)
	})
}

func TestBinaryFramesAreTakenForText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Groups: traceGroups()})
		p := serve(t, s)
		for _, m := range []string{`{"type":"handshake","version":["2"],"id":"a"}`, joinOf("open", "ann", "")} {
			require.NoError(t, p.Write(transport.Binary, []byte(m)))
		}
		p.Skip(3)
		require.NoError(t, p.Write(transport.Binary, []byte(wirePing)))
		typ, got, err := p.Read(nil)
		require.NoError(t, err)
		require.Equal(t, transport.Text, typ)
		require.JSONEq(t, wirePong, string(got))
		require.NoError(t, p.Write(transport.Binary, []byte{0xff}))
		p.Closed(transport.StatusInternalError, "")
		closeServer(t, s)
	})
}

func TestAServerHoldsSoManyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Connections: 2, Newcomers: -1, Groups: traceGroups()})
		a, _ := shake(serve(t, s), "a"), shake(serve(t, s), "b")
		c := serve(t, s)
		c.Closed(transport.StatusTryAgainLater, "")
		require.ErrorIs(t, <-c.Served, ErrTooManyConnections)
		require.EqualValues(t, 1, s.Stats().Refused)
		require.NoError(t, a.Close(transport.StatusNormal, ""))
		require.NoError(t, <-a.Served)
		shake(serve(t, s), "d")
		closeServer(t, s)
	})
}

func TestWhoNeverJoinsAGroupIsGivenUp(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{0: 5 * time.Minute, time.Minute: time.Minute, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(&ServerOptions{Groups: traceGroups(), ServerConfig: ServerConfig{JoinTimeout: timeout}})
			begin := time.Now()
			idle := shake(serve(t, s), "i")
			left := enter(serve(t, s), "l", "open", "ann", "", 0).Say(`{"type":"join","kind":"leave","group":"open"}`).Skip(1)
			ended := make(chan time.Duration, 1)
			go func() {
				<-idle.Served
				ended <- time.Since(begin)
			}()
			for time.Since(begin) < 10*time.Minute { // both show that they live
				time.Sleep(10 * time.Second)
				_ = idle.Write(transport.Text, []byte(wirePong))
				left.Say(wirePong)
			}
			if want > 0 {
				require.InDelta(t, want, <-ended, float64(ServerTick))
				idle.Closed(transport.StatusPolicyViolation, "no group joined")
			} else {
				idle.Say(wirePing).Hear(wirePong)
			}
			left.Say(wirePing).Hear(wirePong)
			closeServer(t, s)
		})
	}
}

func TestNewcomersMakeWayForNewcomersOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Newcomers: 1, Groups: traceGroups()})
		in := enter(serve(t, s), "a", "open", "ann", "", 0)
		first := shake(serve(t, s), "b").Say(joinOf("test", "bob", "wrong")).Skip(1)
		second := serve(t, s)
		first.Closed(transport.StatusTryAgainLater, "too many connections")
		require.ErrorIs(t, <-first.Served, ErrTooManyConnections)
		enter(second, "c", "test", "bob", "bpw", 0).Say(`{"type":"join","kind":"leave","group":"test"}`).Skip(1)
		shake(serve(t, s), "d")
		synctest.Wait()
		require.Len(t, slices.Collect(s.Sessions()), 3, "who is in stays, and who was")
		require.EqualValues(t, 1, s.Stats().Crowded)
		for _, p := range []*script.Line{in, second} {
			p.Say(wirePing).Hear(wirePong)
		}
		closeServer(t, s)
	})
}

func TestCloseEndsEverybodyAfterWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Groups: traceGroups()})
		var peers []*script.Line
		for i := range 3 {
			p := enter(serve(t, s), fmt.Sprint("c", i), "open", "u", "", i)
			for _, other := range peers {
				other.Skip(1)
			}
			peers = append(peers, p)
		}
		shaken, silent := shake(serve(t, s), "x"), serve(t, s)
		peers[0].Say(`{"type":"chat","value":"last words"}`)
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		for _, p := range peers {
			_, got, err := p.Read(nil)
			require.NoError(t, err)
			require.Contains(t, string(got), "last words")
			p.Drain()
			require.NoError(t, <-p.Served)
		}
		for _, p := range []*script.Line{shaken, silent} {
			p.Closed(transport.StatusGoingAway, "server closed")
			require.NoError(t, <-p.Served)
		}
		require.NoError(t, <-closed)
		late := serve(t, s)
		late.Closed(transport.StatusGoingAway, "")
		require.ErrorIs(t, <-late.Served, ErrServerClosed)
		closeServer(t, s)
	})
}

// serveRecovering serves a connection as the handlers of package transport do.
func serveRecovering(t *testing.T, s *Server, log *bytes.Buffer) *script.Line {
	near, far := transport.Pipe()
	p := &script.Line{Conn: near, TB: t, JSON: true, Served: make(chan error, 1)}
	go func() {
		transport.Serve(t.Context(), far, slog.New(slog.NewTextHandler(log, nil)), s.Serve)
		p.Served <- nil
	}()
	return p
}

func TestAPanicOfAStoreLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		groups := hookedGroups{GroupStore: traceGroups()}
		groups.authenticate = func(ctx context.Context, g *Group, c Credentials) (*Grant, error) {
			if c.Password == "panic" {
				panic("a bug of the store")
			}
			return groups.GroupStore.Authenticate(ctx, g, c)
		}
		s := NewServer(&ServerOptions{Groups: &groups})
		other := enter(serve(t, s), "o", "open", "o", "", 0)
		var log bytes.Buffer
		p := serveRecovering(t, s, &log)
		shake(p, "a").Say(joinOf("open", "a", "panic"))
		p.Closed(transport.StatusInternalError, "")
		<-p.Served
		require.Contains(t, log.String(), "a bug of the store")
		other.Say(wirePing).Hear(wirePong)
		closeServer(t, s)
	})
}

func TestServeTellsWhyAConnectionEnded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(p *script.Line)
		want func(err error) bool
	}{
		"by the client": {
			func(p *script.Line) { _ = p.Close(transport.StatusNormal, "bye") }, func(err error) bool { return err == nil },
		},
		"by the client, going away": {
			func(p *script.Line) { _ = p.Close(transport.StatusGoingAway, "") }, func(err error) bool { return err == nil },
		},
		"by the client's fault": {
			func(p *script.Line) { p.Say(`{"type":"novelty"}`).Drain() }, func(err error) bool { return err == nil },
		},
		"by nobody": {
			func(p *script.Line) { _ = p.Close(transport.StatusAbnormal, "") }, func(err error) bool {
				e, ok := errors.AsType[*transport.CloseError](err)
				return ok && e.Code == transport.StatusAbnormal
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(&ServerOptions{Groups: traceGroups()})
				p := enter(serve(t, s), "a", "open", "a", "", 0)
				tt.end(p)
				err := <-p.Served
				require.True(t, tt.want(err), "%v", err)
				closeServer(t, s)
			})
		})
	}
}

func TestASilentClientIsPingedAndThenGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Groups: traceGroups()})
		begin := time.Now()
		p := shake(serve(t, s), "a").Hear(wirePing)
		require.Equal(t, 30*time.Second, time.Since(begin), "the first tick after more than 20 s")
		p.Hear(wirePing)
		p.Closed(transport.StatusInternalError, "")
		require.Equal(t, 50*time.Second, time.Since(begin))
		begin = time.Now()
		p = serve(t, s)
		p.Closed(transport.StatusAbnormal, "")
		require.Equal(t, DefaultHandshakeTimeout, time.Since(begin))
		closeServer(t, s)
	})
}

func TestAServerSurvivesWhateverComes(t *testing.T) {
	t.Parallel()
	s := NewServer(&ServerOptions{
		Groups: traceGroups(), Router: newSwitchboard(), RefusalDelay: -1,
		Record: func(_ context.Context, _ string, conn transport.Conn) error {
			_ = conn.Write(transport.Text, []byte(`{"type":"handshake","version":["2"],"id":"rec"}`))
			_ = conn.Write(transport.Text, []byte(`{"type":"join","kind":"join","group":"x"}`))
			for {
				if _, _, err := conn.Read(nil); err != nil {
					return nil
				}
			}
		},
		Limits: Limits{Messages: -1, Bytes: -1}, Inbox: -1, QueueMessages: -1, QueueBytes: -1,
	})
	var clients atomic.Int64
	(&script.Storm{
		Frames: 20_000, Leave: 500,
		Open: func(*rand.Rand) *script.Line {
			p := serve(t, s)
			p.Drain()
			id := fmt.Sprint("c", clients.Add(1))
			_ = p.Write(transport.Text, fmt.Appendf(nil, `{"type":"handshake","version":["2"],"id":%q}`, id))
			_ = p.Write(transport.Text, []byte(joinOf("test", "alice", "apw")))
			return p
		},
		Frame: func(r *rand.Rand) func() script.Message {
			return func() script.Message {
				in := harmless[r.IntN(len(harmless))]
				if r.IntN(50) == 0 {
					in = serverStimuli[r.IntN(len(serverStimuli))]
				}
				text := strings.NewReplacer("SELF", "c1", "OTHER", "c2", "UP", "s1", "DOWN", "s2").Replace(in.wire)
				if r.IntN(100) == 0 && len(text) > 0 {
					text = text[:r.IntN(len(text))]
				}
				return script.Message{Data: []byte(text), Binary: r.IntN(2) == 0}
			}
		},
	}).Rage()
	closeServer(t, s)
}
