package wsconn

import (
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// The defaults of a [Gate].
const (
	// DefaultPerAddress is how many connections one address has at once.
	DefaultPerAddress = 100
	// DefaultPerSite is how many times as much as an address a network of 48 bits has.
	DefaultPerSite = 8
	// DefaultPerSecond is how many connections one address opens in a second for long.
	DefaultPerSecond = 10
)

const (
	// retryAfter is how many seconds a client is told to wait that has too many connections.
	retryAfter = "10"
	// maxIdle is how many places without a connection are remembered because they have had
	// one lately. Beyond that some are forgotten early, which is to their favour.
	maxIdle = 1 << 16
	// rarely is how much the idle places grow before the gate looks for those to forget.
	rarely = 1 << 10
)

// A Gate limits how many connections one address has at once and how often it opens one,
// which keeps one peer from taking all the places of a server, or all its time. Handlers
// share it through the Gate of their [Options]; a handler that calls [Accept] itself begins
// with [Gate.Enter]. The zero value is ready for use. Its fields must not be changed
// afterwards; its methods may be called concurrently.
//
// An address of IPv6 stands for its network of 64 bits, which is what one peer has at least;
// what many customers have is a network of 48 bits, a site, which has limits of its own. An
// address of IPv4 may stand for many: all who are behind one router, or everybody where
// there is a proxy and no Address. Hence nothing is limited without a Gate.
//
// What a Gate keeps of an address, some 100 bytes, is forgotten with the last of its
// connections, or when the time is over for which those that it has opened count.
type Gate struct {
	// PerAddress is how many connections an address has at once, default
	// [DefaultPerAddress]; further requests are answered with 429. Negative values mean
	// no limit.
	PerAddress int
	// PerSite is how many times as much as an address a site of IPv6 has, of connections at
	// once and of new ones; default [DefaultPerSite]. Negative values mean no limit.
	PerSite int
	// PerSecond is how many connections an address opens in a second for long, default
	// [DefaultPerSecond]; further requests are answered with 429. Negative values mean no
	// limit.
	PerSecond float64
	// Burst is how many it opens at once after a pause, since all who are behind it may come
	// back together; default PerAddress, and [DefaultPerAddress] at least.
	Burst int
	// Address returns where a request comes from. It is for servers behind a proxy, which
	// find it in a header that the proxy sets; what a client can set is worth nothing.
	// Requests for which it returns an invalid address are counted together. Nil is the
	// other end of the network connection.
	Address func(r *http.Request) netip.Addr

	mu      sync.Mutex
	places  map[netip.Prefix]*place // addresses and sites
	idle    int                     // of these have no connection
	sweep   int                     // idle ones at which to look for those to forget
	refused uint64
	hurried uint64
}

// A place is an address or a site.
type place struct {
	open int
	// opened is how many connections have been opened lately: it falls by the rate.
	opened float64
	at     time.Time // when opened was right
}

// Enter counts the connection that a request asks for until leave is called, which may be
// done more than once. When the address has too many, or opens them too quickly, it answers
// the request and returns false. A nil Gate lets everybody in.
func (g *Gate) Enter(w http.ResponseWriter, r *http.Request) (leave func(), ok bool) {
	if g == nil || g.PerAddress < 0 && g.PerSecond < 0 {
		return func() {}, true
	}
	from := g.origin(r)
	switch full, wait := g.count(from, time.Now()); {
	case full:
		w.Header().Set("Retry-After", retryAfter)
		http.Error(w, "too many connections from this address", http.StatusTooManyRequests)
		return nil, false
	case wait > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		http.Error(w, "too many new connections from this address", http.StatusTooManyRequests)
		return nil, false
	}
	return sync.OnceFunc(func() { g.leave(from, time.Now()) }), true
}

// An origin is where a connection comes from: its address and, for IPv6, its site.
type origin struct {
	places [2]netip.Prefix
	n      int // of them
}

// limits returns what the i-th place of an origin may have: connections at once, in a
// second, and without a pause. Negative numbers are no limit.
func (g *Gate) limits(i int) (open int, rate, burst float64) {
	open, rate = g.PerAddress, g.PerSecond
	if open == 0 {
		open = DefaultPerAddress
	}
	if rate == 0 {
		rate = DefaultPerSecond
	}
	burst = float64(g.Burst)
	if burst <= 0 {
		burst = float64(max(open, DefaultPerAddress))
	}
	if i > 0 {
		times := g.PerSite
		if times == 0 {
			times = DefaultPerSite
		}
		open, rate, burst = open*times, rate*float64(times), burst*float64(times)
	}
	return open, rate, burst
}

// count lets a connection in, or returns that there are too many or when to come again.
func (g *Gate) count(from origin, now time.Time) (full bool, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, at := range from.places[:from.n] {
		p := g.places[at]
		if p == nil {
			continue
		}
		limit, rate, burst := g.limits(i)
		if limit >= 0 && p.open >= limit {
			g.refused++
			return true, 0
		}
		if over := p.lately(now, rate) + 1 - burst; rate > 0 && over > 0 {
			wait = max(wait, time.Duration(over/rate*float64(time.Second)), 1)
		}
	}
	if wait > 0 {
		g.refused++
		g.hurried++
		return false, wait
	}
	if g.places == nil {
		g.places = make(map[netip.Prefix]*place)
	}
	for i, at := range from.places[:from.n] {
		p := g.places[at]
		switch {
		case p == nil:
			p = &place{at: now}
			g.places[at] = p
		case p.open == 0:
			g.idle--
		}
		if _, rate, _ := g.limits(i); rate > 0 {
			p.opened, p.at = p.lately(now, rate)+1, now
		}
		p.open++
	}
	return false, 0
}

// lately returns how many connections a place has opened lately.
func (p *place) lately(now time.Time, rate float64) float64 {
	return max(p.opened-max(now.Sub(p.at).Seconds(), 0)*rate, 0)
}

func (g *Gate) leave(from origin, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, at := range from.places[:from.n] {
		p := g.places[at]
		if p.open--; p.open > 0 {
			continue
		}
		if _, rate, _ := g.limits(i); rate <= 0 || p.lately(now, rate) == 0 {
			delete(g.places, at)
			continue
		}
		g.idle++
	}
	if g.idle > max(g.sweep, rarely) {
		g.forget(now)
	}
}

// forget drops what there is no need to remember, and more than that where it is too much.
func (g *Gate) forget(now time.Time) {
	drop := func(which func(i int, p *place) bool) {
		for at, p := range g.places {
			i := 0
			if isSite(at) {
				i = 1
			}
			if p.open == 0 && which(i, p) {
				delete(g.places, at)
				g.idle--
			}
		}
	}
	drop(func(i int, p *place) bool {
		_, rate, _ := g.limits(i)
		return p.lately(now, rate) == 0
	})
	if g.idle > maxIdle/2 {
		drop(func(int, *place) bool { return g.idle > maxIdle/2 })
	}
	g.sweep = 2 * g.idle
}

// networkBits and siteBits are the lengths of the prefixes of IPv6 that are counted.
const networkBits, siteBits = 64, 48

func isSite(at netip.Prefix) bool { return at.Addr().Is6() && at.Bits() == siteBits }

// origin returns what a request is counted by.
func (g *Gate) origin(r *http.Request) (from origin) {
	var addr netip.Addr
	if g.Address != nil {
		addr = g.Address(r)
	} else if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		addr = ap.Addr()
	}
	addr = addr.Unmap()
	from.places[0], _ = addr.Prefix(min(addr.BitLen(), networkBits)) // cannot fail, and has no zone
	from.n = 1
	if addr.Is6() && g.PerSite >= 0 {
		from.places[1], _ = addr.Prefix(siteBits)
		from.n = 2
	}
	return from
}

// A GateStats is what a [Gate] has counted.
type GateStats struct {
	Addresses   int    // that have a connection now
	Connections int    // that they have
	Idle        int    // addresses and sites that are remembered without one
	Refused     uint64 // since the beginning
	Hurried     uint64 // of these, because the address opened too many in a short time
}

// Stats returns what the gate has counted. It looks at each address.
func (g *Gate) Stats() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(time.Now())
	s := GateStats{Idle: g.idle, Refused: g.refused, Hurried: g.hurried}
	for at, p := range g.places {
		if p.open > 0 && !isSite(at) {
			s.Addresses++
			s.Connections += p.open
		}
	}
	return s
}
