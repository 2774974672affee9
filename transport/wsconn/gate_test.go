package wsconn_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// knock asks a gate for a connection from an address.
func knock(g *wsconn.Gate, remote string) (leave func(), answer *httptest.ResponseRecorder) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = remote
	w := httptest.NewRecorder()
	leave, _ = g.Enter(w, r)
	return leave, w
}

func requireRefused(t *testing.T, g *wsconn.Gate, remote string) {
	t.Helper()
	leave, w := knock(g, remote)
	require.Nil(t, leave)
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "10", w.Header().Get("Retry-After"))
}

func TestAnAddressHasSoManyConnectionsAndOthersTheirOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ one, same, other string }{
		"IPv4":            {"192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"},
		"IPv4 as IPv6":    {"192.0.2.1:1", "[::ffff:192.0.2.1]:2", "[::ffff:192.0.2.2]:1"},
		"IPv6":            {"[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::2]:1", "[2001:db8:0:2::1]:1"},
		"IPv6 and a zone": {"[fe80::1%eth0]:1", "[fe80::2%eth1]:1", "[fe80:0:0:1::1%eth0]:1"},
		"unknown":         {"@", "", "192.0.2.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := &wsconn.Gate{PerAddress: 2}
				first, _ := knock(g, c.one)
				second, _ := knock(g, c.same)
				requireRefused(t, g, c.one)
				requireRefused(t, g, c.same)
				other, _ := knock(g, c.other)
				require.Equal(t, wsconn.GateStats{Addresses: 2, Connections: 3, Refused: 2}, g.Stats())

				first()
				first() // counts once
				again, _ := knock(g, c.same)
				requireRefused(t, g, c.one)
				time.Sleep(time.Second) // what has been opened counts no more
				for _, leave := range []func(){second, again, other} {
					leave()
				}
				require.Equal(t, wsconn.GateStats{Refused: 3}, g.Stats(), "nothing is kept of who has gone")
			})
		})
	}
}

func TestAGateHasADefaultAndMayBeOpen(t *testing.T) {
	t.Parallel()
	g := new(wsconn.Gate)
	for range wsconn.DefaultPerAddress {
		leave, _ := knock(g, "192.0.2.1:1")
		require.NotNil(t, leave)
	}
	requireRefused(t, g, "192.0.2.1:1")
	for _, g := range []*wsconn.Gate{nil, {PerAddress: -1, PerSecond: -1}} {
		for range 2 * wsconn.DefaultPerAddress {
			leave, _ := knock(g, "192.0.2.1:1")
			leave()
			require.NotNil(t, leave)
		}
	}
}

func TestAServerBehindAProxySaysWhereARequestComesFrom(t *testing.T) {
	t.Parallel()
	g := &wsconn.Gate{PerAddress: 1, Address: func(r *http.Request) netip.Addr {
		addr, _ := netip.ParseAddr(r.Header.Get("X-Real-IP"))
		return addr
	}}
	enter := func(from string) bool {
		r := httptest.NewRequest(http.MethodGet, "/", nil) // all from the same address
		r.Header.Set("X-Real-IP", from)
		_, ok := g.Enter(httptest.NewRecorder(), r)
		return ok
	}
	require.True(t, enter("192.0.2.1"))
	require.False(t, enter("192.0.2.1"))
	require.True(t, enter("192.0.2.2"))
	require.True(t, enter("nonsense"))
	require.False(t, enter("other nonsense"), "who hides is not better off")
}

func TestManyEnterAndLeaveAGateAtOnce(t *testing.T) {
	t.Parallel()
	g := &wsconn.Gate{PerAddress: 3}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				if leave, _ := knock(g, "192.0.2.1:1"); leave != nil {
					leave()
				}
			}
		})
	}
	all.Wait()
	require.Zero(t, g.Stats().Connections)
	require.Zero(t, g.Stats().Addresses)
}

func TestHandlersShareAGate(t *testing.T) {
	t.Parallel()
	g := &wsconn.Gate{PerAddress: 2}
	h1, conns1, release1 := hold(t, &wsconn.Options{Gate: g})
	h2, conns2, release2 := hold(t, &wsconn.Options{Gate: g})
	addr1, addr2 := serve(t, h1), serve(t, h2)
	a1, a2 := dial(t, addr1, nil), dial(t, addr2, nil)
	b1, b2 := <-conns1, <-conns2
	for _, addr := range []string{addr1, addr2} {
		_, err := wsconn.Dial(t.Context(), addr, nil)
		de, ok := errors.AsType[*wsconn.DialError](err)
		require.True(t, ok)
		require.Equal(t, http.StatusTooManyRequests, de.StatusCode)
	}
	require.Equal(t, wsconn.GateStats{Addresses: 1, Connections: 2, Refused: 2}, g.Stats())
	require.NoError(t, b1.conn.Write(transport.Text, []byte("still here")))
	_, msg, err := a1.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "still here", string(msg))
	closeBoth(t, a1, b1.conn)
	closeBoth(t, a2, b2.conn)
	release1()
	release2()
}

func TestAHandshakeThatFailsLeavesTheGate(t *testing.T) {
	t.Parallel()
	g := new(wsconn.Gate)
	h, conns, _ := hold(t, &wsconn.Options{Gate: g, MaxConns: 1})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusUpgradeRequired, w.Code)
	require.Zero(t, g.Stats().Connections)

	addr := serve(t, h)
	a := dial(t, addr, nil)
	defer closeBoth(t, a, (<-conns).conn)
	_, err := wsconn.Dial(t.Context(), addr, nil)
	de, ok := errors.AsType[*wsconn.DialError](err)
	require.True(t, ok)
	require.Equal(t, http.StatusServiceUnavailable, de.StatusCode)
	s := g.Stats()
	require.Equal(t, wsconn.GateStats{Addresses: 1, Connections: 1, Idle: s.Idle}, s)
}

func BenchmarkGate(b *testing.B) {
	g := &wsconn.Gate{Burst: math.MaxInt}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		leave, _ := g.Enter(nil, r)
		leave()
	}
}
