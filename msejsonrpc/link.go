package msejsonrpc

import (
	"errors"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/link"
)

// DefaultMessageBytes is the size of the largest message that both sides take. A session
// description with many media sections fits.
const DefaultMessageBytes = 256 << 10

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

// Stats counts what a client or a server has read and written since it began, and what
// limits have ended.
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

// linked is a client's machine as the driver sees it.
type linked struct{ *Client }

func (l linked) Start(now time.Time) link.Effects[Message] { return l.effects(l.machine.Start(now)) }

func (l linked) Receive(now time.Time, msg Message) link.Effects[Message] {
	return l.effects(l.machine.Receive(now, msg))
}

func (l linked) Malformed(now time.Time, err error) link.Effects[Message] {
	e, ok := errors.AsType[*DecodeError](err)
	if !ok {
		e = &DecodeError{Err: err, Code: CodeParseError}
	}
	return l.effects(l.machine.Malformed(now, e))
}

func (l linked) Deadline() (time.Time, bool) { return l.machine.Deadline() }

func (l linked) Expire(now time.Time) link.Effects[Message] { return l.effects(l.machine.Expire(now)) }

func (l linked) Lost(now time.Time, _ error) link.Effects[Message] {
	return l.effects(l.machine.Lost(now))
}

// effects gives the replies to those who wait for them. A response that nobody waits for
// goes to the application like any other message.
func (l linked) effects(fx Effects) link.Effects[Message] {
	out := link.Effects[Message]{Send: fx.Send, Deliver: fx.Deliver}
	for _, r := range fx.Done {
		if !l.calls.Resolve(r.Request, r) && r.Response != nil {
			out.Deliver = append(out.Deliver, r.Response)
		}
	}
	l.machine.carriedOut(fx.Done)
	l.ignored.Add(uint64(len(fx.Ignored)))
	if c := fx.Close; c != nil {
		out.Close = &link.Closing{Code: c.Code, Reason: c.Reason, Err: c.Err, Final: c.Final}
	}
	return out
}
