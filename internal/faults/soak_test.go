package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// soakMargin is by how much the memory in use may differ after two rounds of the same length:
// pools and maps keep what they have grown to, and what has expired has not been swept.
const soakMargin = 4 << 20

// TestSoak does not run beside others, because it looks at the heap and the goroutines of the
// process. Each protocol is soaked three times for a third of the time; what is left after the
// second and the third round is compared.
func TestSoak(t *testing.T) {
	for i := range carried {
		p := &carried[i]
		t.Run(p.name, func(t *testing.T) { soak(t, p) })
	}
}

func soak(t *testing.T, p *protocol) {
	goroutines := runtime.NumGoroutine()
	set := settings{
		limits:  link.Unlimited, // the host answers for many
		carrier: wsconn.Options{WriteTimeout: time.Second},
	}
	if p.lingers > 0 { // or each round would wait for those who have gone without a word
		set.pingInterval, set.pingTimeout = 500*time.Millisecond, max(2*time.Second, min(*soakFor/10, 20*time.Second))
		set.carrier = wsconn.Options{} // a request that takes a second is not stuck yet
	}
	w := newRealWorld(t, p, set)
	host := w.enter(visit{name: "host", host: true, comeback: true})
	host.hush()
	recorder := newTappedPlace(p, w.place)
	guest, err := p.enter(t.Context(), recorder.place, visit{name: "mimic"})
	require.NoError(t, err)
	require.NoError(t, guest.roundTrip(t.Context(), "hello"))
	bytes, _ := recorder.tap.take()
	guest.end()
	w.requireAlone()

	var did deeds
	var settled uint64
	for round := range 3 {
		did.rage(t, w, bytes, uint64(round), *soakFor/3)
		if round == 0 { // nothing is compared with it
			continue
		}
		w.requireAlone()
		fresh := w.enter(visit{name: fmt.Sprint("fresh", round)})
		require.NoError(t, fresh.roundTrip(t.Context(), fmt.Sprint("fresh ", round)), "a server that works")
		fresh.end()
		w.requireAlone()
		if round == 1 {
			settled = inUse()
		}
	}
	eventually(t, "memory as after the round before", func() bool { return inUse() < settled+soakMargin })
	t.Logf("%v; %d KiB in use, %d KiB a round before", &did, inUse()>>10, settled>>10)
	require.NoError(t, host.err())
	host.end()
	w.stop()
	w.requireEmpty()
	eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// deeds are what raging clients have done.
type deeds struct {
	visits, kills, halves, garbage, frames atomic.Int64
}

func (d *deeds) String() string {
	return fmt.Sprintf("%d visits, %d killed, %d halves, %d bad messages of %d",
		d.visits.Load(), d.kills.Load(), d.halves.Load(), d.frames.Load(), d.garbage.Load())
}

// rage has many clients do what comes to their minds for some time.
func (d *deeds) rage(t *testing.T, w *world, bytes []byte, seed uint64, long time.Duration) {
	const clients = 16
	end := time.Now().Add(long)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for k := 0; time.Now().Before(end); k++ {
				name := fmt.Sprintf("c%d-%d", i, k)
				switch n := r.IntN(10); {
				case n < 6:
					d.visit(t, w, r, name)
				case n < 8:
					d.half(w, r, bytes)
				default:
					d.noise(w, r)
				}
			}
		})
	}
	all.Wait()
}

// visit is a client that behaves, until it is killed maybe.
func (d *deeds) visit(t *testing.T, w *world, r *rand.Rand, name string) {
	tapped := newTappedPlace(w.p, w.place)
	guest, err := w.p.enter(t.Context(), tapped.place, visit{name: name})
	if err != nil {
		t.Errorf("%s was not let in: %v", name, err)
		return
	}
	d.visits.Add(1)
	for k := range r.IntN(4) {
		if err := guest.roundTrip(t.Context(), fmt.Sprint(name, " ", k)); err != nil {
			t.Errorf("%s was not answered: %v", name, err)
		}
	}
	if r.IntN(2) == 0 {
		d.kills.Add(1)
		tapped.kill()
	}
	guest.end()
}

// half sends the beginning of what a guest says, and breaks off.
func (d *deeds) half(w *world, r *rand.Rand, bytes []byte) {
	c, err := net.Dial("tcp", w.place.addr)
	if err != nil {
		return
	}
	_, _ = c.Write(bytes[:r.IntN(len(bytes))])
	if r.IntN(2) == 0 {
		_ = c.(*net.TCPConn).SetLinger(0) // a reset
	}
	_ = c.Close()
	d.halves.Add(1)
}

// noise sends damaged messages, as fast as it can, until it is sent away.
func (d *deeds) noise(w *world, r *rand.Rand) {
	c, err := w.p.dial(context.Background(), w.place, fmt.Sprint("noise", r.Uint32()), false)
	if err != nil {
		return
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for {
			if _, _, err := c.Read(nil); err != nil {
				return
			}
		}
	}()
	frame := script.BadFrames(r, noise, 3, 10)
	for range 1 + r.IntN(500) {
		m := frame()
		d.frames.Add(1)
		if c.Write(m.Type(), m.Data) != nil {
			break
		}
	}
	_ = c.Close(transport.StatusNormal, "")
	<-closed
	d.garbage.Add(1)
}

// noise is what is damaged.
var noise = []string{
	`{"message_type":"connect","device_id":"lobby"}`, `{"message_type":"forward","payload":{"a":[1,2]}}`,
	`40`, `420["easyrtcAuth",{"msgType":"authenticate","msgData":{"apiVersion":"1.1.1-beta"}}]`, `2`,
	`{"type":"handshake","version":["2"],"id":"x"}`, `{"type":"join","kind":"join","group":"lobby","username":"x"}`,
	`{"request":true,"id":1,"method":"mediasoup-request","data":{"method":"join","target":"room","peerName":"x"}}`,
	`{"jsonrpc":"2.0","method":"auth","id":1,"params":{"version":"1.0","token":"t"}}`,
}
