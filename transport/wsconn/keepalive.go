package wsconn

import (
	"context"
	"errors"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// ErrPongTimeout: the peer sent nothing for the pong time-out after a ping. The
// connection is cut. It wraps a *transport.CloseError with code 1006, which is
// what a peer that vanished amounts to.
var ErrPongTimeout error = pongTimeout{}

type pongTimeout struct{}

func (pongTimeout) Error() string { return "wsconn: peer did not answer a ping in time" }

func (pongTimeout) Unwrap() error { return &transport.CloseError{Code: transport.StatusAbnormal} }

// A keepalive pings the peer from a timer, so that an idle connection has no
// goroutine for it except while a pong is due.
type keepalive struct {
	interval, timeout time.Duration
	next              *time.Timer // nil without pings; guarded by conn.mu
}

func (c *conn) startKeepalive(o *Options) {
	if o.PingInterval < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interval, c.timeout = o.PingInterval, o.PongTimeout
	c.next = time.AfterFunc(c.interval, c.ping)
}

// stopKeepalive is called with mu held.
func (c *conn) stopKeepalive() {
	if c.next != nil {
		c.next.Stop()
	}
}

func (c *conn) ping() {
	c.heard.Store(false)
	if c.net != nil {
		c.net.heard.Store(false)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	err := c.ws.Ping(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		if !c.heard.Load() && (c.net == nil || !c.net.heard.Load()) {
			c.fail(ErrPongTimeout)
			return
		}
	case timedOut(err):
		c.fail(transport.ErrWriteTimeout)
		return
	default:
		return // the connection has ended, the reader says why
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.next.Reset(c.interval)
	}
}
