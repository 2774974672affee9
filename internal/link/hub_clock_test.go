package link

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

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
