package faults

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A recording is what a client writes on its connection, from the request on.
type recording struct {
	mu     sync.Mutex
	bytes  []byte
	writes []int // how many bytes there were after each write
}

func (r *recording) tap(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes = append(r.bytes, p...)
	r.writes = append(r.writes, len(r.bytes))
}

func (r *recording) take() (bytes []byte, writes []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bytes), slices.Clone(r.writes)
}

// recorded returns what a guest writes who comes, is answered once, and has not left.
func (w *world) recorded(name string) (bytes []byte, writes []int) {
	w.t.Helper()
	var r recording
	guest := w.enter(visit{name: name, tap: func(c *wire) { c.out.tap = r.tap }})
	require.NoError(w.t, guest.roundTrip(w.t.Context(), "from "+name))
	bytes, writes = r.take()
	guest.end()
	synctest.Wait()
	return bytes, writes
}

// A stalled client has said something and does not go on. It reads.
type stalled struct {
	wire *wire
	gone chan struct{} // when the server has let it go
}

func (w *world) stall(bytes []byte) *stalled {
	w.t.Helper()
	c, err := w.wire()
	require.NoError(w.t, err)
	s := &stalled{wire: c, gone: make(chan struct{})}
	go func() {
		defer close(s.gone)
		buf := make([]byte, 256) // of which a test may have thousands
		for {
			if _, err := c.Read(buf); err != nil {
				_ = c.Close()
				return
			}
		}
	}()
	if len(bytes) > 0 {
		_, err = c.Write(bytes)
		require.NoError(w.t, err)
	}
	return s
}

// pongs is how long a connection stays on which nothing comes, by the defaults of all
// carriers, and how long it may take to close it.
const pongs = 45*time.Second + 2*5*time.Second

func TestAWriterThatStallsAnywhereIsLetGo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *protocol) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, p, settings{})
			host := w.host()
			bytes, writes := w.recorded("mimic")
			host.take()
			begin := time.Now()
			var all []*stalled
			for k := range len(bytes) {
				// All places in frames that are short, and around the ends of all.
				i, _ := slices.BinarySearch(writes, k)
				from := 0
				if i > 0 {
					from = writes[i-1]
				}
				if k-from > 150 && writes[i]-k > 20 && k%29 != 0 {
					continue
				}
				all = append(all, w.stall(bytes[:k]))
			}
			guest := w.enter(visit{name: "guest"})
			for i := range 6 { // while they are there
				require.NoError(t, guest.roundTrip(t.Context(), fmt.Sprint("beside ", i)))
				time.Sleep(10 * time.Second)
			}
			for _, s := range all {
				<-s.gone
			}
			require.LessOrEqual(t, time.Since(begin), max(p.silent, pongs)+10*time.Second)
			guest.end()
			w.requireAlone()
			require.NoError(t, host.err())
			host.end()
			w.stop()
			w.requireEmpty()
			t.Logf("%d places in %d bytes", len(all), len(bytes))
		})
	})
}
