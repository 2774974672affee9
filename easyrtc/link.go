package easyrtc

import (
	"cmp"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// DefaultMessageBytes is the size of the largest message that a server takes, as in
// Socket.IO.
const DefaultMessageBytes = 1_000_000

// A Backoff says how long to wait before a lost connection is opened again: Min,
// doubling up to Max, each time a random share between half of that and all of it.
// Zero fields mean 1 s, 30 s and 100 attempts without a success in between.
type Backoff struct {
	Min, Max time.Duration
	Attempts int
}

// Limits bound what a peer may send. Of the acknowledgements that it owes only the bytes
// count. Over them the reader pauses first, so that the
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

// acknowledges reports whether a message is an acknowledgement.
func acknowledges(typ transport.MessageType, msg []byte) bool {
	if typ != transport.Text || len(msg) == 0 {
		return false
	}
	kind := socketio.Type(msg[0])
	return kind == socketio.Ack || kind == socketio.BinaryAck
}

// linked is a client's machine as the driver sees it.
type linked struct{ *Client }

// Start begins with a fresh decoder: the last connection may have ended within a message.
func (l linked) Start(now time.Time) link.Effects[Message] {
	l.decoder = Decoder{Limit: l.decoder.Limit}
	l.machine.SetEngineIO(l.engineIO)
	return l.effects(l.machine.Start(now))
}

func (l linked) Receive(now time.Time, msg Message) link.Effects[Message] {
	return l.effects(l.machine.Receive(now, msg))
}

func (l linked) Malformed(now time.Time, err error) link.Effects[Message] {
	return l.effects(l.machine.Malformed(now, asDecodeError(err)))
}

func (l linked) Deadline() (time.Time, bool) { return l.machine.Deadline() }

func (l linked) Expire(now time.Time) link.Effects[Message] { return l.effects(l.machine.Expire(now)) }

// Lost does not care about the cause: what the server has to say, it says before.
func (l linked) Lost(now time.Time, _ error) link.Effects[Message] {
	return l.effects(l.machine.Lost(now))
}

// effects gives the replies to those who wait for them.
func (l linked) effects(fx Effects) link.Effects[Message] {
	out := link.Effects[Message]{Send: fx.Send, Deliver: fx.Deliver}
	for _, r := range fx.Done {
		l.calls.Resolve(r.Request, r)
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

// decoded is what a Decoder has found, as a driver wants it.
func decoded(m Message, err error) (Message, error) {
	if m == nil && err == nil {
		return nil, link.ErrMore
	}
	return m, err
}

// A shared RoomData goes to many clients: what they all get is encoded once.
type shared struct {
	*RoomData
	common *common
}

// A common is the MsgData of RoomData for many.
type common struct {
	data *RoomDataData
	once sync.Once
	text []byte
	err  error
}

func (m *shared) append(dst []byte) ([]byte, error) {
	c := m.common
	c.once.Do(func() { c.text, c.err = jsonx.AppendAt(nil, c.data, 3) })
	dst = append(dst, `{"msgType":"roomData","msgData":`...)
	dst = append(dst, c.text...)
	dst = append(dst, `,"easyrtcid":`...)
	dst, err := jsonx.AppendString(dst, m.EasyrtcID)
	dst = append(dst, `,"serverTime":`...)
	dst = strconv.AppendInt(dst, m.ServerTime, 10)
	return append(dst, '}'), cmp.Or(c.err, err)
}
