package mediasoupproto

import (
	"errors"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// The size of the largest message that a side takes. The answer to a join holds all that a
// room tells, which ServerConfig.RoomBytes bounds.
const (
	DefaultMessageBytes       = 1 << 20 // a server
	DefaultClientMessageBytes = 16 << 20
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

// appender appends messages in a framing.
func appender(framing Framing) func(dst []byte, m Message) ([]byte, error) {
	return func(dst []byte, m Message) ([]byte, error) { return appendMessage(framing, dst, m) }
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

// Lost ends the client for good when the server has closed the connection with
// [CloseByServer], as clients of protoo do.
func (l linked) Lost(now time.Time, cause error) link.Effects[Message] {
	fx := l.machine.Lost(now)
	if c, ok := errors.AsType[*transport.CloseError](cause); ok && c.Code == CloseByServer {
		fx.Close = &CloseReason{Code: transport.StatusNormal, Err: cause, Final: true}
	}
	return l.effects(fx)
}

// effects gives the replies to those who wait for them.
func (l linked) effects(fx Effects) link.Effects[Message] {
	out := link.Effects[Message]{Send: fx.Send, Deliver: fx.Deliver}
	for _, r := range fx.Done {
		l.calls.Resolve(r.Request, r)
	}
	l.ignored.Add(uint64(len(fx.Ignored)))
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

// A shared notification goes to many peers: its payload is encoded once.
type shared struct {
	Message
	size int
	once sync.Once
	text []byte
	err  error
}

func newShared(m Message) *shared { return &shared{Message: m, size: size(m)} }

func (m *shared) append(dst []byte) ([]byte, error) {
	m.once.Do(func() { m.text, m.err = appendPayload(make([]byte, 0, m.size), m.Message) })
	return append(dst, m.text...), m.err
}

// A lateAnswer is the answer to a join, encoded when it is written: it may have megabytes, for
// which nobody else shall wait. Nothing in its result changes.
type lateAnswer struct {
	Message // a *Response without its result
	result  *JoinResult
	size    int
}

// response encodes the result.
func (m *lateAnswer) response() *Response {
	result, err := appendResult(m.result)
	if err != nil {
		return &Response{Head: *m.head(), Error: errInternal}
	}
	return &Response{Head: *m.head(), Result: result}
}
