package link

import "time"

// Limits bound what a peer may send. Over the limit the reader pauses first, so
// that the carrier's own flow control slows the peer; a peer that has kept the
// reader pausing for [Limits.Patience] in total without a quiet moment is cut off.
//
// Zero fields mean the defaults, a negative rate none.
type Limits struct {
	Messages     float64       // a second; default 100
	MessageBurst int           // default 200
	Bytes        float64       // a second; default 256 KiB
	ByteBurst    int           // default 2 MiB, so that two messages of the largest size pass
	Patience     time.Duration // default 10 s
}

// pacer is a token bucket for messages and one for bytes. It belongs to the reader.
type pacer struct {
	limits   Limits
	messages float64
	bytes    float64
	paused   time.Duration
	last     time.Time
}

func newPacer(l Limits) pacer {
	if l.Messages == 0 {
		l.Messages = 100
	}
	if l.MessageBurst == 0 {
		l.MessageBurst = 200
	}
	if l.Bytes == 0 {
		l.Bytes = 256 << 10
	}
	if l.ByteBurst == 0 {
		l.ByteBurst = 2 << 20
	}
	if l.Patience == 0 {
		l.Patience = 10 * time.Second
	}
	return pacer{limits: l, messages: float64(l.MessageBurst), bytes: float64(l.ByteBurst)}
}

// take accounts for a message of n bytes, of which only these count when it is free, and
// says how long to pause before the next one.
func (p *pacer) take(n int, free bool) (wait time.Duration, flood bool) {
	if p.limits.Messages < 0 && p.limits.Bytes < 0 {
		return 0, false
	}
	now := time.Now()
	if !p.last.IsZero() {
		passed := now.Sub(p.last).Seconds()
		p.messages = min(p.messages+passed*p.limits.Messages, float64(p.limits.MessageBurst))
		p.bytes = min(p.bytes+passed*p.limits.Bytes, float64(p.limits.ByteBurst))
	}
	p.last = now
	if !free {
		p.messages--
	}
	p.bytes -= float64(n)
	wait = max(owed(p.messages, p.limits.Messages), owed(p.bytes, p.limits.Bytes))
	if wait == 0 {
		if p.messages > float64(p.limits.MessageBurst)/2 {
			p.paused = 0
		}
		return 0, false
	}
	p.paused += wait
	return wait, p.paused > p.limits.Patience
}

// owed returns how long a bucket at rate takes to come out of its debt.
func owed(tokens, rate float64) time.Duration {
	if rate < 0 || tokens >= 0 {
		return 0
	}
	return time.Duration(-tokens / rate * float64(time.Second))
}

// Unlimited is no limit at all.
var Unlimited = Limits{Messages: -1, Bytes: -1}
