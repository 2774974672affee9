package wsconn

import (
	"net/http"
	"net/netip"
	"sync"
)

// DefaultPerAddress is how many connections a [Gate] lets in from one address.
const DefaultPerAddress = 100

// retryAfter is how many seconds a client is told to wait that a [Gate] refuses.
const retryAfter = "10"

// A Gate limits how many connections one address has at once, which keeps one peer from
// taking all the places of a server. Handlers share it through the Gate of their
// [Options]; a handler that calls [Accept] itself begins with [Gate.Enter]. What it keeps
// of an address goes with the last of its connections. The zero value is ready for use.
// Its fields must not be changed afterwards; its methods may be called concurrently.
//
// An address of IPv6 stands for its network of 64 bits, which is what one peer has. An
// address of IPv4 may stand for many: all who are behind one router, or everybody where
// there is a proxy and no Address. Hence nothing is limited without a Gate.
type Gate struct {
	// PerAddress is how many connections an address has at once, default
	// [DefaultPerAddress]; further requests are answered with 429. Negative values mean
	// no limit.
	PerAddress int
	// Address returns where a request comes from. It is for servers behind a proxy, which
	// find it in a header that the proxy sets; what a client can set is worth nothing.
	// Requests for which it returns an invalid address are counted together. Nil is the
	// other end of the network connection.
	Address func(r *http.Request) netip.Addr

	mu      sync.Mutex
	open    map[netip.Prefix]int
	refused uint64
}

// Enter counts the connection that a request asks for until leave is called, which may be
// done more than once. When the address has too many it answers the request and returns
// false. A nil Gate lets everybody in.
func (g *Gate) Enter(w http.ResponseWriter, r *http.Request) (leave func(), ok bool) {
	if g == nil || g.PerAddress < 0 {
		return func() {}, true
	}
	from := g.origin(r)
	if !g.count(from) {
		w.Header().Set("Retry-After", retryAfter)
		http.Error(w, "too many connections from this address", http.StatusTooManyRequests)
		return nil, false
	}
	return sync.OnceFunc(func() { g.leave(from) }), true
}

func (g *Gate) count(from netip.Prefix) bool {
	limit := g.PerAddress
	if limit == 0 {
		limit = DefaultPerAddress
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[from] >= limit {
		g.refused++
		return false
	}
	if g.open == nil {
		g.open = make(map[netip.Prefix]int)
	}
	g.open[from]++
	return true
}

func (g *Gate) leave(from netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[from]--; g.open[from] == 0 {
		delete(g.open, from)
	}
}

// origin returns what a request is counted by.
func (g *Gate) origin(r *http.Request) netip.Prefix {
	var addr netip.Addr
	if g.Address != nil {
		addr = g.Address(r)
	} else if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		addr = ap.Addr()
	}
	addr = addr.Unmap()
	p, _ := addr.Prefix(min(addr.BitLen(), 64)) // cannot fail, and has no zone
	return p
}

// A GateStats is what a [Gate] has counted.
type GateStats struct {
	Addresses   int    // that have a connection now
	Connections int    // that they have
	Refused     uint64 // since the beginning
}

// Stats returns what the gate has counted. It looks at each address.
func (g *Gate) Stats() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := GateStats{Addresses: len(g.open), Refused: g.refused}
	for _, n := range g.open {
		s.Connections += n
	}
	return s
}
