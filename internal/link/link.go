// Package link drives a [transport.Conn]. It is the only code of the module that
// reads from one, writes to one or closes one, so the rules that are easy to get
// wrong are kept in one place:
//
//   - one goroutine reads, and it never waits for the application;
//   - one goroutine writes, it exists only while something is queued, and what the
//     queue holds goes out together;
//   - the queue is bounded: a peer that does not read loses its connection, and
//     nobody waits for it;
//   - the end has one order: stop intake, write what is queued, close with the
//     code, wait; and one cause, the first.
//
// [Link] is one connection. [Endpoint] is the driver of a client's side: a machine,
// its connection, the inbox of the application, its clock and its reconnection.
package link

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// What ends a connection besides its peer and its owner.
var (
	// ErrSlowPeer: the peer does not read what is sent to it.
	ErrSlowPeer = errors.New("rtcsignal: peer is too slow")
	// ErrSlowConsumer: the application does not read its inbox.
	ErrSlowConsumer = errors.New("rtcsignal: application is too slow")
	// ErrFlood: the peer keeps sending faster than its limit.
	ErrFlood = errors.New("rtcsignal: peer sends too much")
)

// ErrMore is what a Decode returns for a part of a message that is not complete yet.
var ErrMore = errors.New("rtcsignal: message is not complete")

// The defaults of [Options].
const (
	DefaultQueueMessages = 256
	DefaultQueueBytes    = 1 << 20
)

const (
	// keepBuffer is the size in bytes up to which a frame's buffer is used again, and
	// with it the largest buffer of an idle connection.
	keepBuffer = 16 << 10
	// together is how many bytes, and a last message, go out with one write.
	together = 32 << 10
	// keepScratch is the size up to which a writer's buffer is used again.
	keepScratch = 128 << 10
)

// Options say how a [Link] writes messages of type M and what it tolerates. The
// zero value of a limit means its default, a negative one no limit.
type Options[M any] struct {
	// Append appends the encoding of m to dst. It is called by the writing
	// goroutine, under no lock. A message of which it appends nothing is left out; an
	// error, which Send's caller should have prevented, ends the connection.
	Append func(dst []byte, m M) ([]byte, error)
	// Parts, unless it is nil, returns the binary messages that belong to m: they go out
	// right behind its encoding.
	Parts func(m M) [][]byte
	// Done, unless it is nil, is called after Append: the message is not used any more.
	Done func(m M)
	// Size estimates the length of the encoding of m in bytes.
	Size func(m M) int
	// Type is the type of the messages written; the zero value means Text.
	Type transport.MessageType

	// QueueMessages is how many messages wait to be written, default 256, and
	// QueueBytes their size, default 1 MiB; one message of any size may always wait.
	// What is being written no longer waits.
	QueueMessages int
	QueueBytes    int
	Limits        Limits
	// Answer, unless it is nil, reports whether a message that was read answers one that was
	// written, in the protocols in which the peer owes that. As long as there are not more
	// of them, Limits count their bytes only.
	Answer   func(typ transport.MessageType, msg []byte) bool
	Counters *Counters // counts what goes in and out; may be shared; may be nil
}

// Counters count messages and bytes, over one connection or several, and the connections
// that a limit has ended.
type Counters struct {
	MessagesRead, MessagesWritten atomic.Uint64
	BytesRead, BytesWritten       atomic.Uint64

	Refused atomic.Uint64 // because there were too many
	Crowded atomic.Uint64 // newcomers that others have taken the place of
	Slow    atomic.Uint64 // with ErrSlowPeer
	Flooded atomic.Uint64 // with ErrFlood
	TooBig  atomic.Uint64 // with 1009, or transport.ErrMessageTooBig
}

// end counts a connection that has ended.
func (c *Counters) end(code transport.StatusCode, cause error) {
	switch {
	case errors.Is(cause, ErrSlowPeer):
		c.Slow.Add(1)
	case errors.Is(cause, ErrFlood):
		c.Flooded.Add(1)
	case code == transport.StatusMessageTooBig, errors.Is(cause, transport.ErrMessageTooBig):
		c.TooBig.Add(1)
	}
}

// A Link is one connection with its reader, its writer and its queue. Its methods
// may be called concurrently, Run once.
type Link[M any] struct {
	conn  transport.Conn
	opts  Options[M]
	pace  pacer
	start func() // write, as one value

	written  atomic.Uint64 // messages
	answered uint64        // of them; the reader's

	mu      sync.Mutex
	queue   []M
	spare   []M  // the queue's other half, while nothing is written from it
	bytes   int  // of the queue
	writing bool // a writer exists, or did until the end
	ending  bool
	code    transport.StatusCode
	reason  string
	cause   error
	closed  chan struct{} // after the writer's last word
	stop    chan struct{} // when ending begins
	onEnd   func()        // called when ending begins, under no lock; nil for nobody
}

// New returns the Link of a connection; opts must have Append and Size.
func New[M any](conn transport.Conn, opts Options[M]) *Link[M] {
	if opts.Type == 0 {
		opts.Type = transport.Text
	}
	if opts.QueueMessages == 0 {
		opts.QueueMessages = DefaultQueueMessages
	}
	if opts.QueueBytes == 0 {
		opts.QueueBytes = DefaultQueueBytes
	}
	if opts.Counters == nil {
		opts.Counters = new(Counters)
	}
	l := &Link[M]{
		conn: conn, opts: opts, pace: newPacer(opts.Limits),
		closed: make(chan struct{}), stop: make(chan struct{}),
	}
	l.start = l.write
	return l
}

// Send queues m and returns at once. A full queue ends the connection with
// [ErrSlowPeer]. After the end it returns the cause.
func (l *Link[M]) Send(m M) error {
	size := l.opts.Size(m)
	l.mu.Lock()
	if l.ending {
		defer l.mu.Unlock()
		return l.cause
	}
	full := l.opts.QueueMessages > 0 && len(l.queue) >= l.opts.QueueMessages ||
		l.opts.QueueBytes > 0 && len(l.queue) > 0 && l.bytes+size > l.opts.QueueBytes
	if full {
		l.mu.Unlock()
		l.Abort(transport.StatusTryAgainLater, "too slow", ErrSlowPeer)
		return ErrSlowPeer
	}
	l.queue = append(l.queue, m)
	l.bytes += size
	start := !l.writing
	l.writing = true
	l.mu.Unlock()
	if start {
		go l.start()
	}
	return nil
}

// Close ends the connection after what is queued has been written, and returns at
// once. The first cause stands: a later Close or Abort changes nothing. A nil cause
// is [transport.ErrClosed].
func (l *Link[M]) Close(code transport.StatusCode, reason string, cause error) {
	l.end(code, reason, cause, false)
}

// Abort is Close for a peer that does not deserve or cannot take what is queued.
func (l *Link[M]) Abort(code transport.StatusCode, reason string, cause error) {
	l.end(code, reason, cause, true)
}

func (l *Link[M]) end(code transport.StatusCode, reason string, cause error, drop bool) {
	if cause == nil {
		cause = transport.ErrClosed
	}
	l.mu.Lock()
	if l.ending {
		l.mu.Unlock()
		return
	}
	l.opts.Counters.end(code, cause)
	l.ending, l.code, l.reason, l.cause = true, code, reason, cause
	close(l.stop)
	if drop {
		l.queue = nil
	}
	busy := l.writing
	l.writing = true
	l.mu.Unlock()
	if l.onEnd != nil {
		l.onEnd()
	}
	switch {
	case !busy:
		go l.start()
	case drop:
		go l.conn.Close(code, reason) // the writer may be stuck in a Write
	}
}

// Run reads messages until the connection has ended on both sides and returns the
// first cause. receive must not keep msg.
func (l *Link[M]) Run(receive func(typ transport.MessageType, msg []byte)) error {
	return l.RunFrames(func(typ transport.MessageType, f *Frame) {
		receive(typ, f.Data)
		f.Free()
	})
}

// RunFrames is Run for a receive that owns the frames which it gets.
func (l *Link[M]) RunFrames(receive func(typ transport.MessageType, f *Frame)) error {
	read := l.reader()
	for {
		typ, f, err := read()
		if err != nil {
			l.Abort(transport.StatusAbnormal, "", err)
			break
		}
		l.opts.Counters.MessagesRead.Add(1)
		l.opts.Counters.BytesRead.Add(uint64(len(f.Data)))
		if wait, flood := l.pace.take(len(f.Data), l.owed(typ, f.Data)); flood {
			l.Abort(transport.StatusPolicyViolation, "too many messages", ErrFlood)
		} else if wait > 0 {
			l.pause(wait)
		}
		if l.Ending() {
			f.Free()
			continue
		}
		receive(typ, f)
	}
	<-l.closed
	return l.Err()
}

// reader returns what reads the next message, into a frame that is taken when the message
// begins to arrive, where the carrier can tell.
func (l *Link[M]) reader() func() (transport.MessageType, *Frame, error) {
	var f *Frame
	buffer := func() []byte {
		if f == nil {
			f = frames.Get().(*Frame)
		}
		return f.Data
	}
	return func() (transport.MessageType, *Frame, error) {
		typ, msg, err := transport.ReadLazy(l.conn, buffer)
		if err != nil {
			f.Free()
			return 0, nil, err
		}
		_ = buffer() // in case that nobody has asked
		read := f
		read.Data, f = msg, nil
		return typ, read, nil
	}
}

// owed reports whether a message is one that the peer had to send.
func (l *Link[M]) owed(typ transport.MessageType, msg []byte) bool {
	if l.opts.Answer == nil || l.answered >= l.written.Load() || !l.opts.Answer(typ, msg) {
		return false
	}
	l.answered++
	return true
}

// pause keeps the reader from reading, so that the carrier slows the peer down.
func (l *Link[M]) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.stop:
	}
}

// Ending reports whether the end has begun.
func (l *Link[M]) Ending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ending
}

// Err returns the cause of the end, or nil before it.
func (l *Link[M]) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// write sends what is queued and returns when nothing is. When the end has begun,
// it closes the connection.
func (l *Link[M]) write() {
	s := scratches.Get().(*scratch)
	defer s.free()
	for {
		l.mu.Lock()
		if len(l.queue) == 0 && !l.ending {
			l.writing = false
			if cap(l.spare) > 16 {
				l.spare = nil
			}
			l.mu.Unlock()
			return
		}
		if len(l.queue) == 0 {
			code, reason := l.code, l.reason
			l.mu.Unlock()
			_ = l.conn.Close(code, reason) // nothing is left to tell a peer whose carrier failed
			close(l.closed)
			return
		}
		batch := l.queue
		l.queue, l.spare, l.bytes = l.spare[:0], nil, 0
		l.mu.Unlock()

		var err error
		for rest := batch; len(rest) > 0 && err == nil; {
			rest = l.encode(s, rest)
			l.count(s)
			err = l.writeParts(s)
		}
		clear(batch)

		l.mu.Lock()
		l.spare = batch[:0]
		l.mu.Unlock()
		if err != nil {
			l.broken(err)
		}
	}
}

// broken takes a failed write. A peer that did not read in time is given up. Otherwise
// the carrier has ended, and it is the reader that learns why, from the peer's close.
func (l *Link[M]) broken(err error) {
	if errors.Is(err, transport.ErrWriteTimeout) {
		l.Abort(transport.StatusAbnormal, "", ErrSlowPeer)
		return
	}
	l.mu.Lock()
	l.queue = nil
	ending := l.ending
	l.mu.Unlock()
	if !ending {
		time.AfterFunc(transport.DefaultWriteTimeout, func() { l.Abort(transport.StatusAbnormal, "", err) })
	}
}

// A scratch is what a writer needs while it exists: the encoded messages of a
// batch, one behind the other.
type scratch struct {
	out   []byte
	ends  []int
	msgs  [][]byte
	parts []part
}

// A part is a binary message that goes out behind the first n encoded ones.
type part struct {
	n    int
	data []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) free() {
	if cap(s.out) <= keepScratch && cap(s.msgs) <= DefaultQueueMessages {
		clear(s.msgs)
		clear(s.parts)
		scratches.Put(s)
	}
}

// encode fills s with the first messages of a batch, as many as go out together, and
// returns the others.
func (l *Link[M]) encode(s *scratch, batch []M) (rest []M) {
	s.out, s.ends, s.msgs, s.parts = s.out[:0], s.ends[:0], s.msgs[:0], s.parts[:0]
	n := 0
	for ; n < len(batch) && len(s.out) < together; n++ {
		out, err := l.opts.Append(s.out, batch[n])
		if err != nil {
			l.Close(transport.StatusInternalError, "", err) // Abort would overtake the messages before it
			l.mu.Lock()
			l.queue = nil
			l.mu.Unlock()
			n = len(batch)
			break
		}
		var parts [][]byte
		if l.opts.Parts != nil {
			parts = l.opts.Parts(batch[n])
		}
		if l.opts.Done != nil {
			l.opts.Done(batch[n])
		}
		if len(out) == len(s.out) {
			continue
		}
		s.out = out
		s.ends = append(s.ends, len(out))
		for _, data := range parts {
			s.parts = append(s.parts, part{len(s.ends), data})
		}
	}
	start := 0
	for _, end := range s.ends {
		s.msgs = append(s.msgs, s.out[start:end:end])
		start = end
	}
	return batch[n:]
}

// count notes what is about to be written.
func (l *Link[M]) count(s *scratch) {
	messages, bytes := len(s.msgs)+len(s.parts), len(s.out)
	for _, p := range s.parts {
		bytes += len(p.data)
	}
	l.written.Add(uint64(messages))
	l.opts.Counters.MessagesWritten.Add(uint64(messages))
	l.opts.Counters.BytesWritten.Add(uint64(bytes))
}

// writeParts writes the encoded messages, and behind each the binary ones that belong to
// it.
func (l *Link[M]) writeParts(s *scratch) error {
	done := 0
	for _, p := range s.parts {
		if err := l.writeAll(s.msgs[done:p.n]); err != nil {
			return err
		}
		done = p.n
		if err := l.conn.Write(transport.Binary, p.data); err != nil {
			return err
		}
	}
	return l.writeAll(s.msgs[done:])
}

func (l *Link[M]) writeAll(msgs [][]byte) error {
	if b, ok := l.conn.(transport.BatchWriter); ok && len(msgs) > 1 {
		return b.WriteBatch(l.opts.Type, msgs)
	}
	for _, m := range msgs {
		if err := l.conn.Write(l.opts.Type, m); err != nil {
			return err
		}
	}
	return nil
}

// Orderly reports whether err is how a connection ends when nothing went wrong:
// closed by this side, or by the peer with 1000, 1001 or no code at all.
func Orderly(err error) bool {
	if errors.Is(err, transport.ErrClosed) || errors.Is(err, io.EOF) {
		return true
	}
	c, ok := errors.AsType[*transport.CloseError](err)
	return ok && (c.Code == transport.StatusNormal || c.Code == transport.StatusGoingAway || c.Code == transport.StatusNoStatus)
}
