package galene

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultMessageBytes is the size of the largest message that a server takes, as in Galène.
// What a client is sent may be larger, see [ClientOptions].
const DefaultMessageBytes = 1 << 20

// The queues of a server's connection and of a client's application hold what a client is
// told when it joins: the history and all members of its group.
const (
	DefaultQueueMessages = 4096
	DefaultQueueBytes    = 4 << 20
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

// A shared message goes to many connections and is encoded once.
type shared struct {
	Message
	size int

	once sync.Once
	text []byte
	err  error
}

func share(m Message) *shared { return &shared{Message: m, size: size(m)} }

func (m *shared) append(dst []byte) ([]byte, error) {
	m.once.Do(func() { m.text, m.err = appendMessage(make([]byte, 0, m.size), m.Message) })
	return append(dst, m.text...), m.err
}

// linked is a client's machine as the driver sees it.
type linked struct{ *Client }

func (l linked) Start(now time.Time) link.Effects[Message] { return l.effects(l.machine.Start(now)) }

func (l linked) Receive(now time.Time, msg Message) link.Effects[Message] {
	return l.effects(l.machine.Receive(now, msg))
}

func (l linked) Malformed(now time.Time, err error) link.Effects[Message] {
	return l.effects(l.machine.Malformed(now, asDecodeError(err)))
}

func (l linked) Deadline() (time.Time, bool) { return l.machine.Deadline() }

func (l linked) Expire(now time.Time) link.Effects[Message] { return l.effects(l.machine.Expire(now)) }

// Lost also decides whether a new connection is of use.
func (l linked) Lost(now time.Time, cause error) link.Effects[Message] {
	fx := l.effects(l.machine.Lost(now))
	if c, ok := sentAway(cause); ok && fx.Close == nil {
		if link.Orderly(cause) { // as far as the carrier goes
			cause = &Error{Text: c.Reason}
		}
		fx.Close = &link.Closing{Code: transport.StatusNormal, Err: cause, Final: true}
	}
	return fx
}

// sentAway reports whether a server that ended a connection so will do it again: it closed
// with a reason, for something that the client said or is.
func sentAway(cause error) (c *transport.CloseError, ok bool) {
	c, ok = errors.AsType[*transport.CloseError](cause)
	return c, ok && (c.Code == transport.StatusNormal || c.Code == transport.StatusProtocolError) && c.Reason != ""
}

// effects gives the replies to those who wait for them. One that nobody waits for any more
// goes to the application like any other message, unless it does so anyway.
func (l linked) effects(fx Effects) link.Effects[Message] {
	out := link.Effects[Message]{Send: fx.Send, Deliver: fx.Deliver}
	for _, r := range fx.Done {
		if !l.calls.Resolve(r.Request, r) && r.Response != nil && !slices.Contains(fx.Deliver, r.Response) {
			out.Deliver = append(out.Deliver, r.Response)
		}
	}
	if c := fx.Close; c != nil {
		out.Close = &link.Closing{Code: c.Code, Reason: c.Reason, Err: c.Err, Final: c.Final}
	}
	return out
}

func asDecodeError(err error) *DecodeError {
	if e, ok := errors.AsType[*DecodeError](err); ok {
		return e
	}
	return &DecodeError{Err: err}
}
