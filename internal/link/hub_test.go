package link

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A parlor is a machine of guests: it greets, tells everybody who has gone, and has one
// deadline, of which it notes when it was told. What a test does not set does nothing.
type parlor struct {
	*Hub[string, string]
	opts     Options[string]
	greeting string // to who comes
	farewell bool   // to those who stay

	// Under the hub's lock.
	here     []uint64
	came     []uint64
	gone     []uint64 // each Disconnect
	deadline time.Time
	expired  []time.Time
	expire   func(now time.Time)
}

func newParlor(connections int) *parlor {
	p := &parlor{opts: plain()}
	p.Hub = NewHub[string, string](p, connections, -1)
	return p
}

func (p *parlor) connect(id uint64) {
	p.here = append(p.here, id)
	p.came = append(p.came, id)
	if p.greeting != "" {
		p.Deliver(id, p.greeting)
	}
}

func (p *parlor) Disconnect(_ time.Time, id uint64) {
	p.gone = append(p.gone, id)
	i := slices.Index(p.here, id)
	if i < 0 {
		return
	}
	p.here = slices.Delete(p.here, i, i+1)
	if p.farewell {
		p.tell(fmt.Sprint("gone ", id))
	}
}

func (p *parlor) tell(m string) {
	for _, id := range p.here {
		p.Deliver(id, m)
	}
}

func (p *parlor) Deadline() (time.Time, bool) { return p.deadline, !p.deadline.IsZero() }

func (p *parlor) Expire(now time.Time) {
	p.expired = append(p.expired, now)
	p.deadline = time.Time{}
	if p.expire != nil {
		p.expire(now)
	}
}

// broadcast is a step that tells everybody.
func (p *parlor) broadcast(messages ...string) {
	p.Step(func(time.Time) {
		for _, m := range messages {
			p.tell(m)
		}
	})
}

// set is a step that gives the machine a deadline.
func (p *parlor) set(at time.Time) { p.Step(func(time.Time) { p.deadline = at }) }

// departed is whom the machine was told to have gone.
func (p *parlor) departed() (gone []uint64) {
	p.Locked(func() { gone = slices.Clone(p.gone) })
	return gone
}

// A guest is the far end of a member's connection.
type guest struct {
	transport.Conn
	t      *testing.T
	member Member[string, string]
	served chan error      // what Serve returns
	hooks  context.Context // set once run was called
}

// visit lets a guest in, whose connection is read until its end, and waits until it is.
func (p *parlor) visit(t *testing.T, name string) *guest {
	return p.serve(t.Context(), t, name, nil)
}

// serve is visit with what to do before the connection is read.
func (p *parlor) serve(
	ctx context.Context, t *testing.T, name string, hook func(ctx context.Context, g *guest),
) *guest {
	near, far := transport.Pipe()
	g := &guest{Conn: far, t: t, served: make(chan error, 1)}
	g.member.Session = name
	go func() {
		g.served <- p.Serve(ctx, near, &g.member, p.opts,
			func(time.Time) { p.connect(g.member.ID()) },
			func(hooks context.Context) error {
				g.hooks = hooks
				if hook != nil {
					hook(hooks, g)
				}
				return g.member.RunFrames(func(_ transport.MessageType, f *Frame) {
					m := string(f.Data)
					f.Free()
					p.broadcast(m)
				})
			})
	}()
	synctest.Wait()
	return g
}

func (g *guest) hear(messages ...string) {
	g.t.Helper()
	for _, want := range messages {
		_, got, err := g.Read(nil)
		require.NoError(g.t, err)
		require.Equal(g.t, want, string(got))
	}
}

func (g *guest) closed(code transport.StatusCode, reason string) {
	g.t.Helper()
	_, got, err := g.Read(nil)
	require.Equal(g.t, &transport.CloseError{Code: code, Reason: reason}, err, "%q", got)
}

func TestMembersAreNumberedInTheOrderInWhichTheyCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		a, b := p.visit(t, "a"), p.visit(t, "b")
		require.EqualValues(t, 1, a.member.ID())
		require.EqualValues(t, 2, b.member.ID())
		require.NoError(t, b.Close(transport.StatusNormal, ""))
		require.Equal(t, &transport.CloseError{Code: transport.StatusNormal}, <-b.served)
		require.EqualValues(t, 3, p.visit(t, "c").member.ID(), "a number is never used twice")
		require.Equal(t, []uint64{1, 2, 3}, p.came)
		require.Equal(t, []uint64{2}, p.departed())
		p.Locked(func() {
			require.Same(t, &a.member, p.Member(1))
			require.Nil(t, p.Member(2))
			require.Nil(t, p.Member(4))
		})
		p.Close()
	})
}

func TestSessionsAreInTheOrderInWhichTheyCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		require.Empty(t, p.Sessions())
		var want []string
		guests := make(map[string]*guest)
		for n := range 50 {
			name := fmt.Sprint(n)
			guests[name] = p.visit(t, name)
			want = append(want, name)
		}
		require.Equal(t, want, p.Sessions())
		for _, name := range []string{"0", "49", "20"} {
			require.NoError(t, guests[name].Close(transport.StatusNormal, ""))
			<-guests[name].served
			want = slices.DeleteFunc(want, func(other string) bool { return other == name })
		}
		require.Equal(t, want, p.Sessions())
		p.Close()
		require.Empty(t, p.Sessions())
	})
}

func TestFirstStepComesBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		p.greeting = "welcome"
		g := p.serve(t.Context(), t, "a", func(context.Context, *guest) { p.broadcast("hook") })
		require.NoError(t, g.Write(transport.Text, []byte("said")))
		g.hear("welcome", "hook", "said")
		p.Close()
	})
}

func TestOneOverTheLimitIsSentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(2)
		a, b := p.visit(t, "a"), p.visit(t, "b")
		for range 2 {
			over := p.visit(t, "over")
			over.closed(transport.StatusTryAgainLater, "")
			require.Equal(t, ErrTooManyConnections, <-over.served)
			require.Nil(t, over.hooks, "it was run")
		}
		require.Equal(t, []string{"a", "b"}, p.Sessions())
		require.Equal(t, []uint64{1, 2}, p.came, "the machine does not hear of it")
		require.Empty(t, p.departed())

		require.NoError(t, a.Close(transport.StatusNormal, ""))
		<-a.served
		p.visit(t, "c")
		require.Equal(t, []string{"b", "c"}, p.Sessions(), "there is room again")
		p.broadcast("all")
		b.hear("all")
		p.Close()
	})
}

func TestLimitHasADefaultAndMayBeNone(t *testing.T) {
	t.Parallel()
	for connections, limited := range map[int]bool{0: true, DefaultConnections: true, -1: false} {
		synctest.Test(t, func(t *testing.T) {
			p := newParlor(connections)
			absent := func(f func(id uint64)) { // many who do nothing
				p.Locked(func() {
					for n := range uint64(DefaultConnections - 1) {
						f(1_000_000 + n)
					}
				})
			}
			absent(func(id uint64) { p.members[id] = new(Member[string, string]) })
			p.greeting = "welcome"
			p.visit(t, "last").hear("welcome")
			over := p.visit(t, "over")
			if limited {
				over.closed(transport.StatusTryAgainLater, "")
			} else {
				over.hear("welcome")
			}
			absent(func(id uint64) { delete(p.members, id) })
			p.Close()
		})
	}
}

func TestStepsOfManyAreOneAfterTheOther(t *testing.T) {
	t.Parallel()
	const stayers, goers, steps = 4, 4, 200
	p := newParlor(0)
	p.opts.QueueMessages, p.opts.QueueBytes = -1, -1
	var peers []transport.Conn
	var serving, stepping, reading sync.WaitGroup
	serve := func() (id uint64, peer transport.Conn) {
		near, far := transport.Pipe()
		m := new(Member[string, string])
		entered := make(chan struct{})
		serving.Go(func() {
			_ = p.Serve(context.Background(), near, m, p.opts, func(time.Time) { p.connect(m.ID()); close(entered) },
				func(context.Context) error {
					return m.RunFrames(func(_ transport.MessageType, f *Frame) { f.Free() })
				})
		})
		<-entered
		return m.ID(), far
	}
	for range stayers {
		_, peer := serve()
		peers = append(peers, peer)
	}
	heard := make([][]string, stayers)
	for i, peer := range peers {
		reading.Go(func() { heard[i], _ = readAll(peer) })
	}
	said := 0 // under the hub's lock
	for range goers {
		stepping.Go(func() {
			for n := range steps {
				p.Step(func(now time.Time) {
					said++
					for id := range uint64(stayers) {
						p.Deliver(id+1, fmt.Sprint(said))
					}
					p.deadline = now.Add(time.Duration(n%3) * time.Microsecond)
				})
				_, _ = p.Send(uint64(stayers+1+n), "by the way")
				_ = p.Sessions()
			}
		})
		stepping.Go(func() { // others come and go
			for n := range steps / 10 {
				id, peer := serve()
				if n%2 == 0 {
					_ = peer.Close(transport.StatusNormal, "")
				} else {
					p.Step(func(time.Time) { p.End(id, transport.StatusNormal, "") })
					_, _ = readAll(peer)
				}
			}
		})
	}
	stepping.Wait()
	p.Close()
	serving.Wait()
	reading.Wait()
	require.Empty(t, p.Sessions())
	require.ElementsMatch(t, p.came, p.departed())
	require.Empty(t, p.here)
	require.Equal(t, goers*steps, said)
	for _, messages := range heard {
		require.Len(t, messages, goers*steps)
		for i, m := range messages {
			require.Equal(t, fmt.Sprint(i+1), m)
		}
	}
}
