package galene

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

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
		var peers []*serverPeer
		for i := range members {
			p := serve(t, s).shake(fmt.Sprint("c", i)).say(joinOf("g", "u", ""))
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
		slow := serve(t, s).shake("slow").say(joinOf("g", "slow", ""))
		synctest.Wait()
		begin := time.Now()
		for i := range chats {
			peers[i%10].say(`{"type":"chat","value":"` + strings.Repeat("x", 100) + `"}`)
			synctest.Wait() // all who read have read it
		}
		require.Zero(t, time.Since(begin), "nobody waited for it")
		require.EqualValues(t, members*chats, heard.Load())
		require.EqualValues(t, members, farewells.Load())
		require.ErrorIs(t, <-slow.served, ErrSlowPeer)
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
		machine.Connect(dawn, id, Connection{})
		shakeHands(machine, id, fmt.Sprint("c", id))
		enterGroup(machine, id, "u", asOperator)
	}
	for _, step := range []Message{
		&Chat{Value: NewText("x")}, &UserMessage{Kind: "novelty"}, &GroupAction{Kind: GroupClearChat},
		&UserAction{Kind: UserSetData, Dest: "c0", Value: []byte(`{"x":1}`)},
	} {
		fx := machine.Receive(dawn, 0, step)
		require.Len(t, fx.Send, 5)
		for _, d := range fx.Send {
			require.Same(t, fx.Send[0].Message, d.Message)
		}
	}
	fx := machine.Disconnect(dawn, 0)
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
			m.Connect(dawn, id, Connection{})
			shakeHands(m, id, fmt.Sprint("c", id))
			enterGroup(m, id, "u", asSpeaker)
		}
		chat := &Chat{Value: NewText("x")}
		return testing.AllocsPerRun(100, func() { m.Receive(dawn, 0, chat) })
	}
	require.InDelta(t, allocations(2), allocations(100), 2)
}

func TestAFloodIsPacedAndThenCutOffWhileOthersAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{
			Groups: traceGroups(), Limits: Limits{Messages: 10, MessageBurst: 20, Patience: 2 * time.Second},
		})
		flood := serve(t, s).shake("f")
		flood.drain()
		begin := time.Now()
		go func() {
			for n := 0; n < 1<<20 && flood.Write(transport.Text, []byte(wirePing)) == nil; n++ {
			}
		}()
		other := serve(t, s).shake("o")
		for range 4 {
			time.Sleep(300 * time.Millisecond)
			before := time.Now()
			other.say(wirePing).hear(wirePong)
			require.Zero(t, time.Since(before))
		}
		require.ErrorIs(t, <-flood.served, ErrFlood)
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
		p := serve(t, s).enter("a", "open", "ann", "", 0).say(chat(DefaultMessageBytes), wirePing).hear(wirePong)
		p.say(chat(DefaultMessageBytes + 1))
		p.closed(transport.StatusMessageTooBig, "")
		require.NoError(t, <-p.served)
		// In the handshake as well.
		p = serve(t, s).say(chat(DefaultMessageBytes + 1))
		p.closed(transport.StatusMessageTooBig, "")
		closeServer(t, s)

		s = NewServer(&ServerOptions{Groups: traceGroups(), MessageBytes: 100})
		p = serve(t, s).enter("a", "open", "ann", "", 0).say(chat(100), wirePing).hear(wirePong)
		p.say(chat(101))
		p.closed(transport.StatusMessageTooBig, "")
		closeServer(t, s)

		s = NewServer(&ServerOptions{Groups: traceGroups(), MessageBytes: -1, Limits: Limits{Bytes: -1}})
		serve(t, s).enter("a", "open", "ann", "", 0).say(chat(3<<20), wirePing).hear(wirePong)
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
		p.skip(3)
		require.NoError(t, p.Write(transport.Binary, []byte(wirePing)))
		typ, got, err := p.Read(nil)
		require.NoError(t, err)
		require.Equal(t, transport.Text, typ)
		require.JSONEq(t, wirePong, string(got))
		require.NoError(t, p.Write(transport.Binary, []byte{0xff}))
		p.closed(transport.StatusInternalError, "")
		closeServer(t, s)
	})
}

func TestAServerHoldsSoManyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Connections: 2, Groups: traceGroups()})
		a, _ := serve(t, s).shake("a"), serve(t, s).shake("b")
		c := serve(t, s)
		c.closed(transport.StatusTryAgainLater, "")
		require.ErrorIs(t, <-c.served, ErrTooManyConnections)
		require.NoError(t, a.Close(transport.StatusNormal, ""))
		require.NoError(t, <-a.served)
		serve(t, s).shake("d")
		closeServer(t, s)
	})
}

func TestCloseEndsEverybodyAfterWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&ServerOptions{Groups: traceGroups()})
		var peers []*serverPeer
		for i := range 3 {
			p := serve(t, s).enter(fmt.Sprint("c", i), "open", "u", "", i)
			for _, other := range peers {
				other.skip(1)
			}
			peers = append(peers, p)
		}
		shaken, silent := serve(t, s).shake("x"), serve(t, s)
		peers[0].say(`{"type":"chat","value":"last words"}`)
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		for _, p := range peers {
			_, got, err := p.Read(nil)
			require.NoError(t, err)
			require.Contains(t, string(got), "last words")
			p.drain()
			require.NoError(t, <-p.served)
		}
		for _, p := range []*serverPeer{shaken, silent} {
			p.closed(transport.StatusGoingAway, "server closed")
			require.NoError(t, <-p.served)
		}
		require.NoError(t, <-closed)
		late := serve(t, s)
		late.closed(transport.StatusGoingAway, "")
		require.ErrorIs(t, <-late.served, ErrServerClosed)
		closeServer(t, s)
	})
}

// serveRecovering serves a connection as the handlers of package transport do.
func serveRecovering(t *testing.T, s *Server, log *bytes.Buffer) *serverPeer {
	near, far := transport.Pipe()
	p := &serverPeer{near, t, make(chan error, 1)}
	go func() {
		transport.Serve(t.Context(), far, slog.New(slog.NewTextHandler(log, nil)), s.Serve)
		p.served <- nil
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
		other := serve(t, s).enter("o", "open", "o", "", 0)
		var log bytes.Buffer
		p := serveRecovering(t, s, &log)
		p.shake("a").say(joinOf("open", "a", "panic"))
		p.closed(transport.StatusInternalError, "")
		<-p.served
		require.Contains(t, log.String(), "a bug of the store")
		other.say(wirePing).hear(wirePong)
		closeServer(t, s)
	})
}

func TestServeTellsWhyAConnectionEnded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(p *serverPeer)
		want func(err error) bool
	}{
		"by the client": {
			func(p *serverPeer) { _ = p.Close(transport.StatusNormal, "bye") }, func(err error) bool { return err == nil },
		},
		"by the client, going away": {
			func(p *serverPeer) { _ = p.Close(transport.StatusGoingAway, "") }, func(err error) bool { return err == nil },
		},
		"by the client's fault": {
			func(p *serverPeer) { p.say(`{"type":"novelty"}`).drain() }, func(err error) bool { return err == nil },
		},
		"by nobody": {
			func(p *serverPeer) { _ = p.Close(transport.StatusAbnormal, "") }, func(err error) bool {
				e, ok := errors.AsType[*transport.CloseError](err)
				return ok && e.Code == transport.StatusAbnormal
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(&ServerOptions{Groups: traceGroups()})
				p := serve(t, s).enter("a", "open", "a", "", 0)
				tt.end(p)
				err := <-p.served
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
		p := serve(t, s).shake("a").hear(wirePing)
		require.Equal(t, 30*time.Second, time.Since(begin), "the first tick after more than 20 s")
		p.hear(wirePing)
		p.closed(transport.StatusInternalError, "")
		require.Equal(t, 50*time.Second, time.Since(begin))
		begin = time.Now()
		p = serve(t, s)
		p.closed(transport.StatusAbnormal, "")
		require.Equal(t, DefaultHandshakeTimeout, time.Since(begin))
		closeServer(t, s)
	})
}

func TestAServerSurvivesWhateverComes(t *testing.T) {
	t.Parallel()
	const frames = 20_000
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
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 1))
			var p *serverPeer
			for n := range frames / 4 {
				if p == nil {
					p = serve(t, s)
					p.drain()
					id := fmt.Sprint("c", worker, "-", n)
					_ = p.Write(transport.Text, fmt.Appendf(nil, `{"type":"handshake","version":["2"],"id":%q}`, id))
					_ = p.Write(transport.Text, []byte(joinOf("test", "alice", "apw")))
				}
				in := harmless[r.IntN(len(harmless))]
				if r.IntN(50) == 0 {
					in = serverStimuli[r.IntN(len(serverStimuli))]
				}
				text := strings.NewReplacer("SELF", "c0-0", "OTHER", "c1-0", "UP", "s1", "DOWN", "s2").Replace(in.wire)
				if r.IntN(100) == 0 && len(text) > 0 {
					text = text[:r.IntN(len(text))]
				}
				typ := []transport.MessageType{transport.Text, transport.Binary}[r.IntN(2)]
				if p.Write(typ, []byte(text)) != nil { // refused: the next one comes
					<-p.served
					p = nil
				} else if r.IntN(500) == 0 {
					_ = p.Close(transport.StatusNormal, "")
					<-p.served
					p = nil
				}
			}
			if p != nil {
				_ = p.Close(transport.StatusNormal, "")
				<-p.served
			}
		})
	}
	group.Wait()
	closeServer(t, s)
}
