package link

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// admit is a step that admits members.
func (p *parlor) admit(ids ...uint64) {
	p.Step(func(time.Time) {
		for _, id := range ids {
			p.Admit(id)
		}
	})
}

// newCrowd returns a hub for some connections, of them some newcomers.
func newCrowd(connections, newcomers int) *parlor {
	p := newParlor(0)
	p.opts.Counters = new(Counters)
	p.Hub = NewHub[string, string](p, connections, newcomers)
	return p
}

func TestNewcomerThatHasWaitedLongestMakesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newCrowd(0, 2)
		a, b, c := p.visit(t, "a"), p.visit(t, "b"), p.visit(t, "c")
		a.closed(transport.StatusTryAgainLater, "too many connections")
		require.Equal(t, ErrTooManyConnections, <-a.served)
		require.ErrorIs(t, a.hooks.Err(), context.Canceled)
		require.Equal(t, []uint64{1}, p.departed(), "the machine hears of it")

		p.admit(2, 2, 1, 99) // twice, and those who are not there
		d, e := p.visit(t, "d"), p.visit(t, "e")
		c.closed(transport.StatusTryAgainLater, "too many connections")
		require.Equal(t, []string{"b", "d", "e"}, p.Sessions())
		require.NoError(t, d.Close(transport.StatusNormal, ""))
		<-d.served
		f := p.visit(t, "f")
		require.Equal(t, []string{"b", "e", "f"}, p.Sessions(), "who has gone is no newcomer")

		p.broadcast("all")
		for _, g := range []*guest{b, e, f} {
			g.hear("all")
		}
		require.EqualValues(t, 2, p.opts.Counters.Crowded.Load())
		require.Zero(t, p.opts.Counters.Refused.Load())
		p.Close()
		require.Zero(t, p.newcomers.Len())
	})
}

func TestNewcomersTakeHalfOfTheConnectionsUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ connections, newcomers, stay, crowded, refused int }{
		{4, 0, 2, 4, 0},
		{5, 0, 3, 3, 0},
		{1, 0, 1, 0, 5},
		{4, 3, 3, 3, 0},
		{4, -1, 4, 0, 2},
		{-1, 0, 6, 0, 0},
		{-1, 5, 5, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newCrowd(c.connections, c.newcomers)
			for range 6 {
				go drain(p.visit(t, "g"))
				synctest.Wait()
			}
			require.Len(t, p.Sessions(), c.stay, "%+v", c)
			require.EqualValues(t, c.crowded, p.opts.Counters.Crowded.Load(), "%+v", c)
			require.EqualValues(t, c.refused, p.opts.Counters.Refused.Load(), "%+v", c)
			p.Close()
		})
	}
}

func TestNewcomerThatDoesNotReadDelaysNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newCrowd(0, 1)
		p.greeting = "welcome" // which it does not read
		mute := p.visit(t, "mute")
		begin := time.Now()
		b := p.visit(t, "b")
		b.hear("welcome")
		require.ErrorIs(t, <-mute.served, ErrTooManyConnections)
		require.Zero(t, time.Since(begin))
		p.Close()
	})
}

// drain reads until the end.
func drain(g *guest) {
	for {
		if _, _, err := g.Read(nil); err != nil {
			return
		}
	}
}
