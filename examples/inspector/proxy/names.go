package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// maxSessions is how many sessions of polling are known at once. Nobody says when they end.
const maxSessions = 10_000

// names are those of the connections.
type names struct {
	mu       sync.Mutex
	last     int
	sessions map[string]string // the connection of a session
	oldest   []string          // the sessions in the order in which they came
	hosts    map[string]string // the connection of the other requests of an address
}

// next returns the name of a new connection.
func (n *names) next() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.number()
}

// number is called with mu held.
func (n *names) number() string {
	n.last++
	return strconv.Itoa(n.last)
}

// session returns the connection of a session, a new one if nobody has bound it.
func (n *names) session(id string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	id = keyOf(id)
	name := n.sessions[id]
	if name == "" {
		name = n.number()
		n.remember(id, name)
	}
	return name
}

// bind says to which connection a session belongs.
func (n *names) bind(id, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id = keyOf(id); n.sessions[id] == "" {
		n.remember(id, name)
	}
}

// maxID is more than any server gives a session for an id.
const maxID = 128

// keyOf returns an id as it is remembered: without what keeps alive the body that it came in,
// and short, whatever somebody has made up.
func keyOf(id string) string {
	if len(id) <= maxID {
		return strings.Clone(id)
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// remember is called with mu held.
func (n *names) remember(id, name string) {
	if n.sessions == nil {
		n.sessions = make(map[string]string)
	}
	n.sessions[id] = name
	if n.oldest = append(n.oldest, id); len(n.oldest) > maxSessions {
		delete(n.sessions, n.oldest[0])
		n.oldest = n.oldest[1:]
	}
}

// host returns the connection of requests that belong to no session.
func (n *names) host(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	name := n.hosts[host]
	if name == "" {
		name = "http"
		if len(n.hosts) > 0 {
			name = fmt.Sprintf("http %d", len(n.hosts)+1)
		}
		if n.hosts == nil {
			n.hosts = make(map[string]string)
		}
		if len(n.hosts) < maxSessions {
			n.hosts[host] = name
		}
	}
	return name
}
