package link

import "time"

// A clock calls a function at a deadline that may be moved often: one that is put off
// costs nothing, because the clock strikes early then, and is set again.
type clock struct {
	timer *time.Timer
	armed time.Time // when the timer strikes; zero when it does not
}

// set sets the clock to a deadline, or stops it without one. strike must call struck
// first, and set again at the end if the deadline has not come.
func (c *clock) set(at time.Time, ok bool, strike func()) {
	switch {
	case !ok:
		if !c.armed.IsZero() {
			c.timer.Stop()
			c.struck()
		}
	case !c.armed.IsZero() && !at.Before(c.armed):
	case c.timer == nil:
		c.armed = at
		c.timer = time.AfterFunc(time.Until(at), strike)
	default:
		c.armed = at
		c.timer.Reset(time.Until(at))
	}
}

// struck notes that the timer does not run.
func (c *clock) struck() { c.armed = time.Time{} }
