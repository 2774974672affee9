package faults

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/link"
)

// fullest returns the largest part of some moments that falls into any window of this
// length.
func fullest(moments []time.Time, window time.Duration) float64 {
	slices.SortFunc(moments, time.Time.Compare)
	most, from := 0, 0
	for i, m := range moments {
		for m.Sub(moments[from]) > window {
			from++
		}
		most = max(most, i-from+1)
	}
	return float64(most) / float64(max(len(moments), 1))
}

func TestTheFullestWindowIsFound(t *testing.T) {
	t.Parallel()
	at := func(ms ...int) (all []time.Time) {
		for _, n := range ms {
			all = append(all, dawn.Add(time.Duration(n)*time.Millisecond))
		}
		return all
	}
	require.Equal(t, 0.75, fullest(at(0, 3000, 3200, 3900), time.Second))
	require.Equal(t, 1.0, fullest(at(5), time.Second))
	require.Zero(t, fullest(nil, time.Second))
}

// A restart is how a server goes down, for how long, and what the clients make of it.
type restart struct {
	clients int
	crash   bool
	down    time.Duration
	backoff link.Backoff
	window  time.Duration
	part    float64 // of all attempts, that at most fall into one window
}

// Where there is presence, everybody who comes is told to everybody who is there: the work
// grows with the square of the number of clients.
func TestEverybodyComesBackAfterARestart(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]restart{
		"told":    {clients: 40, window: 100 * time.Millisecond, part: 0.6},
		"crashed": {clients: many(40), crash: true, window: 100 * time.Millisecond, part: 0.6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, p *protocol) {
				bubble(t, func(t *testing.T) { r.play(t, p) })
			})
		})
	}
}

// When to dial is the same code in all protocols: this is played in the one without presence.
// With the default Backoff, the first attempts of all fall into the half second that begins
// half a second after the loss, evenly. Whoever wants more of a spread sets Min.
func TestClientsDoNotComeBackAllAtOnce(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]restart{
		"at once":       {clients: many(200), crash: true, window: 100 * time.Millisecond, part: 0.35},
		"down for long": {clients: many(200), crash: true, down: 2 * time.Minute, window: time.Second, part: 0.2},
		"spread wide": {
			clients: many(200), backoff: link.Backoff{Min: 20 * time.Second}, window: time.Second, part: 0.25,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) { r.play(t, &mseRow) })
		})
	}
}

func (r restart) play(t *testing.T, p *protocol) {
	w := newWorld(t, p, settings{limits: link.Unlimited})
	host := w.enter(visit{name: "host", host: true, comeback: true, backoff: r.backoff})
	var guests []*party
	for i := range r.clients {
		guests = append(guests, w.enter(visit{name: fmt.Sprint("guest", i), comeback: true, backoff: r.backoff}))
	}
	synctest.Wait()
	require.Equal(t, 1+r.clients, w.srv.members())
	host.take()
	w.dialed()
	begin := time.Now()
	if r.crash {
		for _, c := range w.wires {
			c.reset()
		}
	}
	w.stop()
	time.Sleep(r.down)
	w.start()
	for _, member := range append(guests, host) {
		_, err := member.await(t.Context(), func(o occurrence) bool { return o.kind == back })
		require.NoError(t, err, member.name)
	}
	require.LessOrEqual(t, time.Since(begin)-r.down, 45*time.Second, "the longest pause, and the way")
	dialed := w.dialed()
	require.GreaterOrEqual(t, len(dialed), 1+r.clients)
	if r.down > 0 { // those who found it again
		dialed = slices.DeleteFunc(dialed, func(at time.Time) bool { return at.Before(begin.Add(r.down)) })
	}
	part := fullest(dialed, r.window)
	require.LessOrEqual(t, part, r.part, "of %d attempts in %v", len(dialed), r.window)
	for _, guest := range guests[:10] {
		require.NoError(t, guest.roundTrip(t.Context(), guest.name+" is back"))
	}
	synctest.Wait()
	require.Equal(t, 1+r.clients, w.srv.members())
	require.Equal(t, 1+r.clients, w.srv.sessions())
	t.Logf("all back after %v, %.0f %% of the attempts in the fullest %v", time.Since(begin), 100*part, r.window)
	w.stop()
	w.requireEmpty()
	for _, member := range append(guests, host) {
		member.end()
		require.NoError(t, member.err(), member.name)
	}
}
