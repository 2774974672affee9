package engineio

import (
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A heartbeat is one side's part in the heartbeats. All but pinger, which the
// reader may read as well, is guarded by Conn.mu.
type heartbeat struct {
	pinger            bool // this side pings
	interval, timeout time.Duration
	timer             *time.Timer // of the handshake, then of the heartbeats
	due               time.Time   // when the timer is to act: it may fire early
	waiting           bool        // a ping has no answer yet
	extended          bool        // the time-out of the ping has begun anew
}

func (c *Conn) startHeartbeat(pinger bool, interval, timeout time.Duration) {
	c.mu.Lock()
	c.pinger, c.interval, c.timeout = pinger, interval, timeout
	wait := interval
	if !pinger {
		wait += timeout
	}
	c.due = time.Now().Add(wait)
	c.mu.Unlock()
	c.startTimer(wait, c.beat)
}

// startTimer has f called after d in place of what the timer did until now.
func (c *Conn) startTimer(d time.Duration, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopTimer()
	if c.cause == nil {
		c.timer = time.AfterFunc(d, f)
	}
}

// stopTimer is called with mu held.
func (c *Conn) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// heard notes that a packet came.
func (c *Conn) heard(t PacketType) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cause != nil:
	case !c.pinger:
		if c.client || t == Ping {
			// The timer finds out when it fires: that is cheaper than to reset
			// it with each packet.
			c.due = time.Now().Add(c.interval + c.timeout)
		}
	case !c.waiting: // also a stray pong
	case t == Pong:
		c.waiting = false
		c.wait(c.interval)
	case !c.extended:
		c.extended = true
		c.wait(c.timeout)
	}
}

// wait is called with mu held.
func (c *Conn) wait(d time.Duration) {
	c.due = time.Now().Add(d)
	c.timer.Reset(d)
}

// beat is what the timer does.
func (c *Conn) beat() {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	if early := time.Until(c.due); early > 0 {
		c.timer.Reset(early)
		c.mu.Unlock()
		return
	}
	if c.waiting || !c.pinger {
		c.mu.Unlock()
		c.fail(ErrHeartbeat, transport.StatusNoStatus)
		return
	}
	c.waiting, c.extended = true, false
	c.wait(c.timeout)
	c.mu.Unlock()
	// A failure is the reader's to report, or the time-out's.
	_ = c.control(Packet{Type: Ping})
}
