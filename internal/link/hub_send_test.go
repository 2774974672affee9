package link

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

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
