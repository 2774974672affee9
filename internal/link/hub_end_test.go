package link

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

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
