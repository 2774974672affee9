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
	p.Hub = NewHub[string, string](p, connections)
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

func TestCloseEndsEverybodyWith1001AfterWhatIsQueuedAndWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		leaving := make(chan struct{})
		a := p.visit(t, "a")
		b := p.serve(t.Context(), t, "b", func(context.Context, *guest) { <-leaving }) // in a hook that takes its time
		p.broadcast("last")
		synctest.Wait()
		closed := make(chan struct{}, 2)
		for range 2 { // may be called by several
			go func() { p.Close(); closed <- struct{}{} }()
		}
		synctest.Wait()
		require.ErrorIs(t, b.hooks.Err(), context.Canceled)
		for _, g := range []*guest{a, b} {
			g.hear("last")
			g.closed(transport.StatusGoingAway, "server closed")
		}
		require.ErrorIs(t, <-a.served, transport.ErrClosed)
		synctest.Wait()
		require.Empty(t, closed, "a hook has not returned")
		close(leaving)
		<-closed
		<-closed
		require.Len(t, b.served, 1)
		require.ErrorIs(t, <-b.served, transport.ErrClosed)
		require.ElementsMatch(t, []uint64{1, 2}, p.departed())
		p.Close()
	})
}

func TestWhoComesAfterCloseIsSentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(1)
		p.Close()
		for range 2 { // the limit is no matter
			late := p.visit(t, "late")
			late.closed(transport.StatusGoingAway, "")
			require.Equal(t, ErrServerClosed, <-late.served)
		}
		require.Empty(t, p.came)
		require.Empty(t, p.departed())
		require.Empty(t, p.Sessions())
	})
}

func TestWhoComesWhileTheHubClosesIsSentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		leaving := make(chan struct{})
		p.serve(t.Context(), t, "slow to leave", func(context.Context, *guest) { <-leaving })
		go p.Close()
		synctest.Wait()
		late := p.visit(t, "late")
		late.closed(transport.StatusGoingAway, "")
		require.Equal(t, ErrServerClosed, <-late.served)
		close(leaving)
		p.Close()
	})
}

type key struct{}

func TestEndOfServesContextEndsTheConnectionAndTheHooksContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		other := p.visit(t, "other")
		g := p.serve(ctx, t, "a", func(ctx context.Context, g *guest) {
			<-ctx.Done()
			if !g.member.link.Ending() {
				t.Error("a hook that fails with its context could still be answered")
			}
		})
		require.Equal(t, "value", g.hooks.Value(key{}))
		p.broadcast("queued")
		cancel()
		g.hear("queued")
		g.closed(transport.StatusGoingAway, "")
		require.Equal(t, context.Canceled, <-g.served)
		require.Equal(t, []uint64{2}, p.departed())
		other.hear("queued")
		require.NoError(t, other.hooks.Err())
		p.Close()
	})
}

func TestConnectionOfAnEndedContextEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		g := p.serve(ctx, t, "a", nil)
		g.closed(transport.StatusGoingAway, "")
		require.Equal(t, context.Canceled, <-g.served)
		require.Equal(t, p.came, p.departed())
		p.Close()
	})
}

func TestEndOfServesContextAfterTheEndChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		ctx, cancel := context.WithCancel(t.Context())
		g := p.serve(ctx, t, "a", nil)
		require.NoError(t, g.hooks.Err())
		require.NoError(t, g.Close(4000, "enough"))
		require.Equal(t, &transport.CloseError{Code: 4000, Reason: "enough"}, <-g.served)
		require.ErrorIs(t, g.hooks.Err(), context.Canceled, "the hooks' context outlives the connection")
		cancel()
		synctest.Wait()
		require.Equal(t, []uint64{1}, p.departed())
		p.Close()
	})
}

func TestMachineHearsOfASlowMemberInTheSameStepAndNobodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		p.farewell = true
		p.opts.QueueMessages = 2
		slow := p.visit(t, "slow")
		p.opts.QueueMessages = -1
		a, b := p.visit(t, "a"), p.visit(t, "b")
		begin := time.Now()
		p.broadcast("1")
		synctest.Wait() // the writer is stuck with it
		p.broadcast("2", "3")
		require.Empty(t, p.departed())
		var here []uint64
		p.Step(func(time.Time) {
			p.tell("4")
			p.tell("5")
			require.Empty(t, p.gone, "the machine is not stepped within its step")
		})
		p.Locked(func() { here = slices.Clone(p.here) })
		require.Equal(t, []uint64{2, 3}, here)
		require.Contains(t, p.departed(), uint64(1))
		p.broadcast("6")
		for _, g := range []*guest{a, b} {
			g.hear("1", "2", "3", "4", "5", "gone 1", "6")
		}
		synctest.Wait() // its connection is closed beside the step
		slow.closed(transport.StatusTryAgainLater, "too slow")
		require.Equal(t, ErrSlowPeer, <-slow.served)
		require.Zero(t, time.Since(begin))
		require.Equal(t, []string{"a", "b"}, p.Sessions())
		p.Close()
	})
}

func TestSlowMembersMayBeFoundByTheNewsOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		p.farewell = true
		p.opts.QueueMessages = 1
		var guests []*guest
		for n := range 5 {
			guests = append(guests, p.visit(t, fmt.Sprint(n)))
		}
		p.opts.QueueMessages = -1
		reader := p.visit(t, "reader")
		p.broadcast("written")
		synctest.Wait()
		p.broadcast("queued")
		require.Empty(t, p.departed())
		p.Step(func(time.Time) { p.Deliver(1, "one too many") }) // and with the farewell everybody has one too many
		var here []uint64
		p.Locked(func() { here = slices.Clone(p.here) })
		require.Equal(t, []uint64{6}, here)
		for _, g := range guests {
			require.Equal(t, ErrSlowPeer, <-g.served)
		}
		reader.hear("written", "queued", "gone 1")
		var others []string
		for range 4 {
			_, m, err := reader.Read(nil)
			require.NoError(t, err)
			others = append(others, string(m))
		}
		require.ElementsMatch(t, []string{"gone 2", "gone 3", "gone 4", "gone 5"}, others)
		require.Equal(t, []string{"reader"}, p.Sessions())
		p.Close()
	})
}

func TestHooksOfASlowMemberAreToldToEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		p.opts.QueueMessages = 1
		leaving := make(chan struct{})
		g := p.serve(t.Context(), t, "slow", func(ctx context.Context, _ *guest) {
			select {
			case <-ctx.Done():
			case <-leaving:
			}
		})
		p.broadcast("written")
		synctest.Wait()
		p.broadcast("queued")
		require.NoError(t, g.hooks.Err())
		p.broadcast("one too many")
		if err := g.hooks.Err(); err == nil {
			t.Error("the connection has ended, and a hook still works for it")
		}
		close(leaving)
		require.Equal(t, ErrSlowPeer, <-g.served)
		p.Close()
	})
}

func TestEndClosesAfterWhatIsQueuedAndEndsTheHooksContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		g := p.serve(t.Context(), t, "a", func(ctx context.Context, _ *guest) { <-ctx.Done() })
		other := p.visit(t, "other")
		p.Step(func(time.Time) {
			p.Deliver(1, "refused")
			p.End(1, 4001, "because")
			p.End(1, 4002, "later")
			p.Deliver(1, "too late")
			p.End(7, 4003, "nobody")
			require.ErrorIs(t, g.hooks.Err(), context.Canceled)
		})
		g.hear("refused")
		g.closed(4001, "because")
		require.ErrorIs(t, <-g.served, transport.ErrClosed)
		require.Equal(t, []uint64{1}, p.departed())
		require.NoError(t, other.hooks.Err())
		require.Equal(t, []string{"other"}, p.Sessions())
		p.Close()
	})
}

func TestMemberCloseEndsTheConnectionAndTheHooksContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		g := p.serve(t.Context(), t, "a", func(ctx context.Context, _ *guest) { <-ctx.Done() })
		p.broadcast("queued")
		g.member.Close(4001, "because")
		require.ErrorIs(t, g.hooks.Err(), context.Canceled)
		g.hear("queued")
		g.closed(4001, "because")
		require.ErrorIs(t, <-g.served, transport.ErrClosed)
		g.member.Close(4002, "again")
		require.Equal(t, []uint64{1}, p.departed())
		p.Close()
	})
}

func TestHooksContextEndsWhenTheConnectionIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		near, far := transport.Pipe()
		var m Member[string, string]
		served := make(chan error, 1)
		go func() {
			served <- p.Serve(t.Context(), near, &m, p.opts, func(time.Time) { p.connect(m.ID()) },
				func(hooks context.Context) error {
					err := m.RunFrames(func(_ transport.MessageType, f *Frame) { f.Free() })
					<-hooks.Done() // what a hook beside the reader waits for
					return err
				})
		}()
		require.NoError(t, far.Close(4000, "enough"))
		require.Equal(t, &transport.CloseError{Code: 4000, Reason: "enough"}, <-served)
		p.Close()
	})
}

func TestMemberSendQueues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		g := p.visit(t, "a")
		require.NoError(t, g.member.Send("1"))
		require.NoError(t, g.member.Send("2"))
		g.member.Close(transport.StatusNormal, "")
		require.ErrorIs(t, g.member.Send("late"), transport.ErrClosed)
		g.hear("1", "2")
		g.closed(transport.StatusNormal, "")
		p.Close()
	})
}

func TestMemberMayBeEndedInItsFirstStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		near, far := transport.Pipe()
		g := &guest{Conn: far, t: t, served: make(chan error, 1)}
		go func() {
			g.served <- p.Serve(t.Context(), near, &g.member, p.opts, func(time.Time) {
				p.Deliver(g.member.ID(), "full")
				p.End(g.member.ID(), 4001, "no room")
			}, func(ctx context.Context) error {
				if ctx.Err() == nil {
					t.Error("hooks may begin")
				}
				return g.member.RunFrames(func(transport.MessageType, *Frame) { t.Error("it was heard") })
			})
		}()
		g.hear("full")
		g.closed(4001, "no room")
		require.ErrorIs(t, <-g.served, transport.ErrClosed)
		require.Equal(t, []uint64{1}, p.departed())
		p.Close()
	})
}

func TestDeliverToWhoHasGoneIsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		p.farewell = true
		gone, here := p.visit(t, "gone"), p.visit(t, "here")
		require.NoError(t, gone.Close(transport.StatusNormal, ""))
		<-gone.served
		here.hear("gone 1")
		p.Step(func(time.Time) {
			for _, id := range []uint64{0, 1, 3, 2} {
				p.Deliver(id, fmt.Sprint("to ", id))
			}
		})
		here.hear("to 2")
		require.Equal(t, []uint64{1}, p.departed())
		p.Close()
	})
}

func TestSendSaysWhetherThereIsSuchAMember(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		leaving := make(chan struct{})
		g := p.serve(t.Context(), t, "a", func(context.Context, *guest) { <-leaving })
		for _, id := range []uint64{0, 2} {
			ok, err := p.Send(id, "nobody")
			require.False(t, ok)
			require.NoError(t, err)
		}
		ok, err := p.Send(1, "hello")
		require.True(t, ok)
		require.NoError(t, err)
		g.hear("hello")
		g.member.Close(transport.StatusNormal, "")
		ok, err = p.Send(1, "late")
		require.True(t, ok, "it has not left")
		require.ErrorIs(t, err, transport.ErrClosed)
		close(leaving)
		<-g.served
		ok, err = p.Send(1, "later")
		require.False(t, ok)
		require.NoError(t, err)
		p.Close()
	})
}

func TestSendTellsOfASlowMember(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		p.opts.QueueMessages = 1
		g := p.visit(t, "slow")
		for range 2 {
			_, err := p.Send(1, "x")
			require.NoError(t, err)
			synctest.Wait()
		}
		_, err := p.Send(1, "x")
		require.Equal(t, ErrSlowPeer, err)
		require.Equal(t, ErrSlowPeer, <-g.served)
		require.Equal(t, []uint64{1}, p.departed())
		p.Close()
	})
}

// expiries is how long after begin the machine was told that its deadline has come.
func (p *parlor) expiries(begin time.Time) (all []time.Duration) {
	p.Locked(func() {
		for _, at := range p.expired {
			all = append(all, at.Sub(begin))
		}
	})
	return all
}

func TestMachineExpiresAtItsDeadlineExactly(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		set  []time.Duration // a step each; 0 is none
		want []time.Duration
	}{
		"none":           {[]time.Duration{0}, nil},
		"one":            {[]time.Duration{5}, []time.Duration{5}},
		"the same again": {[]time.Duration{5, 5}, []time.Duration{5}},
		"moved earlier":  {[]time.Duration{5, 2}, []time.Duration{2}},
		"put off":        {[]time.Duration{2, 5}, []time.Duration{5}},
		"cleared":        {[]time.Duration{5, 0}, nil},
		"set again":      {[]time.Duration{5, 0, 7}, []time.Duration{7}},
		"in the past":    {[]time.Duration{5, -1}, []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newParlor(0)
				begin := time.Now()
				for _, d := range tt.set {
					if d == 0 {
						p.set(time.Time{})
					} else {
						p.set(begin.Add(d))
					}
				}
				time.Sleep(time.Hour)
				require.Equal(t, tt.want, p.expiries(begin))
				p.Close()
			})
		})
	}
}

func TestEveryStepSetsTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		begin := time.Now()
		p.expire = func(now time.Time) { // its own
			p.tell("tick")
			if len(p.expired) < 3 {
				p.deadline = now.Add(time.Second)
			}
		}
		near, far := transport.Pipe()
		g := &guest{Conn: far, t: t, served: make(chan error, 1)}
		go func() {
			g.served <- p.Serve(t.Context(), near, &g.member, p.opts, func(now time.Time) { // the first one
				p.connect(g.member.ID())
				p.deadline = now.Add(time.Second)
			}, func(context.Context) error {
				return g.member.RunFrames(func(_ transport.MessageType, f *Frame) { f.Free() })
			})
		}()
		for n := range 3 {
			g.hear("tick")
			require.Equal(t, time.Duration(n+1)*time.Second, time.Since(begin))
		}
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, p.expiries(begin))
		p.Locked(func() { p.deadline = begin.Add(time.Minute) })
		require.NoError(t, g.Close(transport.StatusNormal, "")) // the last one
		<-g.served
		time.Sleep(time.Hour)
		require.Equal(t, time.Minute, p.expiries(begin)[3])
		p.Close()
	})
}

func TestMachineDoesNotExpireWhenAStepHasJustPutItOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		begin := time.Now()
		p.set(begin.Add(time.Second))
		p.Step(func(now time.Time) {
			time.Sleep(time.Second) // until the clock strikes
			p.deadline = begin.Add(time.Minute)
		})
		time.Sleep(time.Hour)
		require.Equal(t, []time.Duration{time.Minute}, p.expiries(begin))
		p.Close()
	})
}

func TestCloseStopsTheClock(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(p *parlor){
		"nothing more":        func(*parlor) {},
		"a step leaves it so": func(p *parlor) { p.set(time.Now().Add(time.Minute)) },
		"closing again":       (*parlor).Close,
	} {
		for _, visited := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, visited %t", name, visited), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := newParlor(0)
					if visited {
						p.visit(t, "a")
					}
					p.set(time.Now().Add(time.Minute))
					p.Close()
					after(p)
					time.Sleep(time.Hour)
					require.Empty(t, p.expiries(time.Time{}))
				})
			})
		}
	}
}

func TestClockRunsWhileCloseWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		begin := time.Now()
		leaving := make(chan struct{})
		p.serve(t.Context(), t, "a", func(context.Context, *guest) { <-leaving })
		p.set(begin.Add(time.Second))
		p.expire = func(time.Time) { close(leaving) }
		p.Close()
		require.Equal(t, time.Second, time.Since(begin))
	})
}

func TestMemberWhoseRunPanicsLeaves(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(p *parlor, g *guest) error{
		"before it reads": func(*parlor, *guest) error { panic("oops") },
		"while it reads": func(_ *parlor, g *guest) error {
			return g.member.RunFrames(func(transport.MessageType, *Frame) { panic("oops") })
		},
		"in a step": func(p *parlor, g *guest) error {
			return g.member.RunFrames(func(transport.MessageType, *Frame) {
				p.Step(func(time.Time) { panic("oops") })
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newParlor(0)
				p.farewell = true
				other := p.visit(t, "other")
				near, far := transport.Pipe()
				g := &guest{Conn: far, t: t}
				recovered := make(chan any, 1)
				go func() {
					defer func() {
						recovered <- recover()
						_ = near.Close(transport.StatusInternalError, "") // as transport.Serve does
					}()
					_ = p.Serve(t.Context(), near, &g.member, p.opts,
						func(time.Time) { p.connect(g.member.ID()) },
						func(hooks context.Context) error {
							g.hooks = hooks
							return where(p, g)
						})
				}()
				_ = g.Write(transport.Text, []byte("x"))
				require.Equal(t, "oops", <-recovered)
				other.hear("gone 2")
				require.Equal(t, []uint64{2}, p.departed())
				require.Equal(t, []string{"other"}, p.Sessions())
				require.ErrorIs(t, g.hooks.Err(), context.Canceled)
				p.Close() // would wait for it
			})
		})
	}
}

func TestMemberWhoseRunReturnsEarlyLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newParlor(0)
		near, _ := transport.Pipe()
		var m Member[string, string]
		err := p.Serve(t.Context(), near, &m, p.opts,
			func(time.Time) { p.connect(m.ID()) }, func(context.Context) error { return errRefused })
		require.Equal(t, errRefused, err)
		require.Equal(t, []uint64{1}, p.departed())
		require.Empty(t, p.Sessions())
		p.Close()
	})
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
