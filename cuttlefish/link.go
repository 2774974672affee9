package cuttlefish

import (
	"errors"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/link"
)

// A Backoff says how long to wait before a lost connection is opened again: Min,
// doubling up to Max, each time a random share between half of that and all of it.
// Zero fields mean 1 s, 30 s and 100 attempts without a success in between.
type Backoff struct {
	Min, Max time.Duration
	Attempts int
}

// Limits bound what a peer may send. Over them the reader pauses first, so that the
// carrier slows the peer down; a peer that has kept it pausing for Patience without
// a quiet moment is cut off with 1008. Zero fields mean the defaults, a negative rate
// none.
type Limits struct {
	Messages     float64       // a second; default 100
	MessageBurst int           // default 200
	Bytes        float64       // a second; default 256 KiB
	ByteBurst    int           // default 2 MiB
	Patience     time.Duration // default 10 s
}

// Stats counts what a client, a device or a server has read and written since it
// began, and what limits have ended.
type Stats struct {
	MessagesRead, MessagesWritten uint64
	BytesRead, BytesWritten       uint64

	// Connections that limits have refused or ended.
	Refused uint64 // because a server had too many
	Crowded uint64 // because a server had too many newcomers
	Slow    uint64 // because the peer did not read, see [ErrSlowPeer]
	Flooded uint64 // because it sent too fast, see [ErrFlood]
	TooBig  uint64 // because of the size of a message
}

func statsOf(c *link.Counters) Stats {
	return Stats{
		MessagesRead: c.MessagesRead.Load(), MessagesWritten: c.MessagesWritten.Load(),
		BytesRead: c.BytesRead.Load(), BytesWritten: c.BytesWritten.Load(),
		Refused: c.Refused.Load(), Crowded: c.Crowded.Load(),
		Slow: c.Slow.Load(), Flooded: c.Flooded.Load(), TooBig: c.TooBig.Load(),
	}
}

// machine is what [ClientMachine] and [DeviceMachine] have in common.
type machine interface {
	Start(now time.Time) Effects
	Receive(now time.Time, msg Message) Effects
	Malformed(now time.Time, err *DecodeError) Effects
	Deadline() (time.Time, bool)
	Expire(now time.Time) Effects
	Lost(now time.Time) Effects
}

// linked is a machine as the driver sees it.
type linked struct{ machine }

func (l linked) Start(now time.Time) link.Effects[Message] { return linkEffects(l.machine.Start(now)) }

func (l linked) Receive(now time.Time, msg Message) link.Effects[Message] {
	return linkEffects(l.machine.Receive(now, msg))
}

func (l linked) Malformed(now time.Time, err error) link.Effects[Message] {
	e, ok := errors.AsType[*DecodeError](err)
	if !ok {
		e = &DecodeError{Err: err}
	}
	return linkEffects(l.machine.Malformed(now, e))
}

func (l linked) Expire(now time.Time) link.Effects[Message] {
	return linkEffects(l.machine.Expire(now))
}

func (l linked) Lost(now time.Time, _ error) link.Effects[Message] {
	return linkEffects(l.machine.Lost(now))
}

func linkEffects(fx Effects) link.Effects[Message] {
	out := link.Effects[Message]{Send: fx.Send, Deliver: fx.Deliver}
	if c := fx.Close; c != nil {
		out.Close = &link.Closing{Code: c.Code, Reason: c.Reason, Err: c.Err, Final: c.Final}
	}
	return out
}
