package wsconn_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// visits lets an address open n connections that end at once, and returns how many it got.
func visits(g *wsconn.Gate, remote string, n int) (admitted int) {
	for range n {
		if leave, _ := knock(g, remote); leave != nil {
			leave()
			admitted++
		}
	}
	return admitted
}

func TestAnAddressOpensSoManyConnectionsInASecond(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gate           *wsconn.Gate
		burst, another int // at first, and for each two seconds
	}{
		"by default":     {&wsconn.Gate{}, wsconn.DefaultPerAddress, 2 * wsconn.DefaultPerSecond},
		"a few at once":  {&wsconn.Gate{PerAddress: 3}, wsconn.DefaultPerAddress, 2 * wsconn.DefaultPerSecond},
		"many at once":   {&wsconn.Gate{PerAddress: 500}, 500, 2 * wsconn.DefaultPerSecond},
		"any at once":    {&wsconn.Gate{PerAddress: -1}, wsconn.DefaultPerAddress, 2 * wsconn.DefaultPerSecond},
		"as it is set":   {&wsconn.Gate{PerSecond: 2, Burst: 5}, 5, 4},
		"less than one":  {&wsconn.Gate{PerSecond: 0.5, Burst: 1}, 1, 1},
		"without sites":  {&wsconn.Gate{PerSite: -1, PerSecond: 2, Burst: 5}, 5, 4},
		"without a rate": {&wsconn.Gate{PerSecond: -1, Burst: 5}, 600, 600},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, remote := range []string{"192.0.2.1:1", "[2001:db8::1]:1", "unknown"} {
					require.Equal(t, c.burst, visits(c.gate, remote, 600), remote)
					for range 3 {
						time.Sleep(2 * time.Second)
						require.Equal(t, c.another, visits(c.gate, remote, 600), remote)
					}
					time.Sleep(time.Hour)
					require.Equal(t, c.burst, visits(c.gate, remote, 600), "after a pause")
				}
				time.Sleep(time.Hour)
				s := c.gate.Stats()
				require.Zero(t, s.Idle)
				require.Equal(t, s.Refused, s.Hurried)
			})
		})
	}
}

func TestWhoOpensTooManyIsToldWhenToComeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &wsconn.Gate{PerSecond: 0.25, Burst: 1}
		require.Equal(t, 1, visits(g, "192.0.2.1:1", 1))
		leave, w := knock(g, "192.0.2.1:1")
		require.Nil(t, leave)
		require.Equal(t, http.StatusTooManyRequests, w.Code)
		require.Equal(t, "4", w.Header().Get("Retry-After"))
		time.Sleep(3 * time.Second)
		_, w = knock(g, "192.0.2.1:1")
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		time.Sleep(time.Second)
		require.Equal(t, 1, visits(g, "192.0.2.1:1", 10), "to be refused costs nothing")
		require.Equal(t, 1, visits(g, "192.0.2.2:1", 1), "nor does another address pay")
	})
}

func TestASiteOfIPv6HasSoManyTimesAsMuchAsAnAddress(t *testing.T) {
	t.Parallel()
	network := func(site, n int) string { return fmt.Sprintf("[2001:db8:%x:%x::1]:1", site, n) }
	for name, c := range map[string]struct {
		gate  *wsconn.Gate
		total int // of a site
	}{
		"by default":      {&wsconn.Gate{PerAddress: 10}, 10 * wsconn.DefaultPerSite},
		"as it is set":    {&wsconn.Gate{PerAddress: 10, PerSite: 3}, 30},
		"without a limit": {&wsconn.Gate{PerAddress: 10, PerSite: -1}, 50 * 10},
		"new ones":        {&wsconn.Gate{PerAddress: -1, PerSite: 3, Burst: 10}, 30},
		"no limit at all": {&wsconn.Gate{PerAddress: -1, PerSite: -1, PerSecond: -1}, 50 * 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for site := range 2 { // each has its own
					var all []func()
					for n := range 50 {
						for range 20 {
							if leave, _ := knock(c.gate, network(site, n)); leave != nil {
								all = append(all, leave)
							}
						}
					}
					require.Len(t, all, c.total)
					time.Sleep(time.Hour)
					for _, leave := range all {
						leave()
					}
				}
				require.Zero(t, c.gate.Stats().Connections)
				require.Zero(t, c.gate.Stats().Idle)
			})
		})
	}
}

func TestAGateForgetsAddressesHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const remembered = 1 << 16
		g := &wsconn.Gate{PerSecond: 0.001}
		held, _ := knock(g, "192.0.2.1:1")
		rnd := rand.New(rand.NewPCG(1, 2))
		for range remembered { // each is an address and a site
			remote := fmt.Sprintf("[2001:%x:%x:%x::1]:1", rnd.IntN(1<<16), rnd.IntN(1<<16), rnd.IntN(1<<16))
			require.Equal(t, 1, visits(g, remote, 1))
		}
		s := g.Stats()
		require.LessOrEqual(t, s.Idle, remembered)
		require.Greater(t, s.Idle, remembered/4)
		require.Equal(t, 1, s.Connections, "who is there stays")
		time.Sleep(time.Hour)
		require.Equal(t, wsconn.GateStats{Addresses: 1, Connections: 1}, g.Stats())
		held()
		require.Zero(t, g.Stats())
	})
}
