package faults

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// eachConnection is how much memory a connection may cost on both sides that has said
// nothing yet, with the network between them: an accepted WebSocket is about 12 KiB, and
// net/http keeps 8 KiB of buffers, a goroutine and a request for one that is not accepted.
const eachConnection = 48 << 10

// inUse returns what is alive on the heap, and what the stacks take.
func inUse() uint64 {
	for range 2 { // pools are emptied by the second one
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestMuteClientsCostLittleAndGo does not run beside others, because it looks at the heap.
func TestMuteClientsCostLittleAndGo(t *testing.T) {
	for i := range protocols {
		p := &protocols[i]
		t.Run(p.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { muteClients(t, p) })
		})
	}
}

func muteClients(t *testing.T, p *protocol) {
	w := newWorld(t, p, settings{})
	host := w.host()
	bytes, writes := w.recorded("mimic")
	n := many(1000)
	before := inUse()
	var all []*stalled
	for i := range n {
		upTo := writes[0] // the request, which makes a WebSocket
		if i%2 == 0 {
			upTo -= 10
		}
		all = append(all, w.stall(bytes[:upTo]))
	}
	synctest.Wait()
	require.GreaterOrEqual(t, w.srv.sessions(), n/2)
	during := inUse()
	for i := range 3 {
		guest := w.enter(visit{name: fmt.Sprint("guest", i)})
		require.NoError(t, guest.roundTrip(t.Context(), "hello"))
		guest.end()
	}
	require.Less(t, during, before+uint64(n)*eachConnection)

	begin := time.Now()
	for i, s := range all {
		<-s.gone
		if i%2 == 0 {
			require.LessOrEqual(t, time.Since(begin), p.silent+headerTimeout)
		}
	}
	require.LessOrEqual(t, time.Since(begin), p.silent+headerTimeout)
	t.Logf("%d bytes for each of %d, who were gone after %v", (during-before)/uint64(n), n, time.Since(begin))
	w.requireAlone()
	clear(all)
	w.mu.Lock()
	w.wires = nil
	w.mu.Unlock()
	after := inUse()
	require.Less(t, after, before+uint64(n)*eachConnection/4)
	require.NoError(t, host.err())
	host.end()
	w.stop()
	w.requireEmpty()
}
