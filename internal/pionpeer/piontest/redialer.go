package piontest

import (
	"context"
	"sync"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A Redialer gives a client connections that a test can cut. Its methods may be called
// concurrently.
type Redialer struct {
	Dial func() transport.Conn

	mu   sync.Mutex
	last transport.Conn
}

// Redial opens a connection; it is a Redial of the options of every client.
func (r *Redialer) Redial(context.Context) (transport.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = r.Dial()
	return r.last, nil
}

// Cut ends the last connection without a goodbye.
func (r *Redialer) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.last.Close(transport.StatusAbnormal, "")
}
