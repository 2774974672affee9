package faults

import (
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnErrorOfTheListenerHurtsNobodyWhoIsThere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *protocol) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, p, settings{})
			host := w.host()
			guest := w.enter(visit{name: "guest"})
			for range 10 { // as if there were no file descriptors left
				w.port.fail <- &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
			}
			require.NoError(t, guest.roundTrip(t.Context(), "during"))
			late := w.enter(visit{name: "late"})
			require.NoError(t, late.roundTrip(t.Context(), "after"))
			late.end()

			require.NoError(t, w.port.Close())
			<-w.served
			_, err := w.try(visit{name: "too late"})
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.NoError(t, guest.roundTrip(t.Context(), "without a listener"))
			time.Sleep(10 * time.Minute) // with pings
			synctest.Wait()
			require.NoError(t, guest.roundTrip(t.Context(), "much later"))
			guest.end()
			w.requireAlone()
			host.end()
			w.stop()
			w.requireEmpty()
		})
	})
}
