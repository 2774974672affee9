package faults

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tardy makes each connection late: every write by up to 400 ms, and one of twenty by up to
// some seconds more.
func tardy(seed uint64, seconds int) func(c *wire) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 4))
	delay := func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		d := time.Duration(r.IntN(400)) * time.Millisecond
		if r.IntN(20) == 0 {
			d += time.Duration(r.IntN(seconds*1000)) * time.Millisecond
		}
		return d
	}
	return func(c *wire) { c.in.delay, c.out.delay = delay, delay }
}

func TestLateMessagesComeInTheirOrder(t *testing.T) {
	t.Parallel()
	// All that the host says, acknowledgements included, has room in its queue.
	const guests, messages = 5, 20
	eachOf(t, carried, func(t *testing.T, p *protocol) {
		for seed := range uint64(3) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, p, settings{})
				seconds := 5
				if p.lingers > 0 {
					seconds = 2 // a request has the write time-out for its way and that of its answer
				}
				w.taps = tardy(seed, seconds)
				host := w.host()
				var all sync.WaitGroup
				parties := make([]*party, guests)
				errs := make([]error, guests)
				for i := range guests {
					all.Go(func() {
						name := fmt.Sprint("guest", i)
						guest, err := w.try(visit{name: name})
						parties[i], errs[i] = guest, err
						for k := 0; k < messages && errs[i] == nil; k++ {
							errs[i] = guest.say(fmt.Sprint(name, " ", k))
						}
						for k := 0; k < messages && errs[i] == nil; k++ {
							want := fmt.Sprint(answerMark, name, " ", k)
							var o occurrence
							o, errs[i] = guest.await(t.Context(), func(o occurrence) bool {
								var who string
								var n int
								_, err := fmt.Sscanf(o.text, answerMark+"%s %d", &who, &n)
								return err == nil && who == name
							})
							if errs[i] == nil && o.text != want {
								errs[i] = fmt.Errorf("%q in place of %q", o.text, want)
							}
						}
					})
				}
				all.Wait()
				for _, err := range errs {
					require.NoError(t, err, "the host: %v", host.err())
				}
				require.Equal(t, 1+guests, w.srv.sessions())
				require.Equal(t, 1+guests, w.srv.members())
				next := make(map[string]int)
				for _, o := range host.take() {
					if o.kind != said {
						continue
					}
					var who string
					var n int
					_, err := fmt.Sscanf(o.text, "%s %d", &who, &n)
					require.NoError(t, err)
					require.Equal(t, next[who], n, "order of %s", who)
					next[who]++
				}
				require.Len(t, next, guests)
				for _, guest := range parties {
					guest.end()
					require.NoError(t, guest.err())
				}
				time.Sleep(time.Minute) // until the last of their words has come
				w.requireAlone()
				host.end()
				w.stop()
				w.requireEmpty()
			})
		}
	})
}
