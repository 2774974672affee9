package enginehttp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// What one direction of a polling session holds back: a sender waits beyond
// this. A single packet may be of any size.
const (
	maxQueuedPackets = 1000
	maxQueuedBytes   = 256 << 10
)

// separator ends a packet in a polling payload of V4.
const separator = 0x1e

var errUpgraded = errors.New("enginehttp: the session has changed to WebSocket")

var errSeparator = errors.New("enginehttp: text with the byte 0x1E cannot be polled")

// A line is a polling session beneath the engineio.Conn of either side: a
// transport.Conn of packets in the form that WebSocket messages have. HTTP
// requests put packets in and take them out; after the upgrade the line hands
// everything on to the WebSocket connection.
//
// One goroutine writes at a time, which engineio.Conn sees to.
type line struct {
	version engineio.Version
	timeout time.Duration // of a Write
	limit   int           // size of the largest packet that may be written; 0 is none
	ascii   bool          // text is escaped
	over    func()        // called with mu held, perhaps more than once, when the line has ended

	up       atomic.Pointer[upgraded]
	drained  *upgraded // what Read uses once nothing of the polling is left; the reader's
	shutting sync.Once
	shutDown chan struct{} // closed when Close has returned once

	mu        sync.Mutex
	changed   chan struct{} // closed at the next change; nil while nobody waits
	in, out   queue
	switching bool  // what is queued is being moved to the WebSocket
	closing   bool  // a Close packet comes after out
	told      bool  // the peer has been told the end, or cannot be
	cause     error // why the line ended, the first reason only
}

// An upgraded is the WebSocket connection of a line.
type upgraded struct{ transport.Conn }

func newLine(v engineio.Version, o *Options, over func()) *line {
	return &line{
		version: v, timeout: o.WriteTimeout, ascii: o.ASCII && v == engineio.V3, over: over,
		shutDown: make(chan struct{}),
	}
}

// change wakes everybody who waits. It is called with mu held.
func (l *line) change() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wait returns a channel that is closed at the next change. It is called with
// mu held.
func (l *line) wait() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// Read returns what was received before the peer ended the line, but nothing
// any more when this side did.
func (l *line) Read(buf []byte) (transport.MessageType, []byte, error) {
	if l.drained != nil {
		return l.drained.Read(buf)
	}
	for {
		l.mu.Lock()
		if l.cause != nil && (!byPeer(l.cause) || l.in.empty()) {
			defer l.mu.Unlock()
			return 0, nil, l.cause
		}
		if !l.in.empty() {
			p := l.in.pop()
			l.change()
			l.mu.Unlock()
			typ, frame := engineio.AppendPacket(buf[:0], l.version, p)
			return typ, frame, nil
		}
		if l.drained = l.up.Load(); l.drained != nil {
			l.in = queue{}
			l.mu.Unlock()
			return l.drained.Read(buf)
		}
		changed := l.wait()
		l.mu.Unlock()
		<-changed
	}
}

// byPeer reports whether what came before the end is still to be read.
func byPeer(cause error) bool {
	_, ok := errors.AsType[*transport.CloseError](cause)
	return ok
}

func (l *line) Write(typ transport.MessageType, frame []byte) error {
	if up := l.up.Load(); up != nil {
		return up.Write(typ, frame)
	}
	return l.WriteBatch(typ, [][]byte{frame})
}

func (l *line) WriteBatch(typ transport.MessageType, frames [][]byte) error {
	var limit *time.Timer
	for len(frames) > 0 {
		if up := l.up.Load(); up != nil {
			return writeBatch(up.Conn, typ, frames)
		}
		n, changed, err := l.enqueue(typ, frames)
		if err != nil {
			return err
		}
		if frames = frames[n:]; changed == nil {
			continue
		}
		if limit == nil {
			limit = time.NewTimer(l.timeout)
			defer limit.Stop()
		}
		select {
		case <-changed:
		case <-limit.C:
			if err := l.end(transport.ErrWriteTimeout); err != nil {
				return err
			}
		}
	}
	return nil
}

// enqueue queues as many packets as there is room for. When some are left it
// returns a channel to wait for, unless the line was upgraded.
func (l *line) enqueue(typ transport.MessageType, frames [][]byte) (n int, changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; n < len(frames); n++ {
		if l.cause != nil {
			return n, nil, l.cause
		}
		p, err := engineio.ParsePacket(l.version, typ, frames[n])
		if err != nil {
			return n, nil, err
		}
		if l.ascii && !p.Binary {
			p.Data = escaped(p.Data)
		}
		if l.up.Load() != nil || !l.out.room(len(p.Data)) {
			break
		}
		if l.version == engineio.V4 && !p.Binary && bytes.IndexByte(p.Data, separator) >= 0 {
			return n, nil, errSeparator
		}
		if l.limit > 0 && payloadSize(l.version, p) > l.limit {
			return n, nil, l.endLocked(transport.ErrMessageTooBig)
		}
		p.Data = slices.Clone(p.Data)
		l.out.push(p)
	}
	if n > 0 {
		l.change()
	}
	if n < len(frames) && l.up.Load() == nil {
		changed = l.wait()
	}
	return n, changed, nil
}

func writeBatch(c transport.Conn, typ transport.MessageType, frames [][]byte) error {
	if b, ok := c.(transport.BatchWriter); ok {
		return b.WriteBatch(typ, frames)
	}
	for _, f := range frames {
		if err := c.Write(typ, f); err != nil {
			return err
		}
	}
	return nil
}

// Close tells the peer, which has the write time-out to fetch it and what was
// written before. Further calls wait for the first, on a channel: the time of a
// synctest bubble would not pass while they waited for the Once.
func (l *line) Close(code transport.StatusCode, reason string) error {
	first := false
	l.shutting.Do(func() { first = true })
	if !first {
		<-l.shutDown
		return nil
	}
	defer close(l.shutDown)
	return l.shut(code, reason)
}

func (l *line) shut(code transport.StatusCode, reason string) error {
	limit := time.NewTimer(l.timeout)
	defer limit.Stop()
	l.mu.Lock()
	if l.cause == nil {
		l.cause = transport.ErrClosed
		l.closing = true
		l.change()
	}
	for late := false; !late && !l.told && l.up.Load() == nil; {
		changed := l.wait()
		l.mu.Unlock()
		select {
		case <-changed:
		case <-limit.C:
			late = true
		}
		l.mu.Lock()
	}
	l.tell()
	l.over()
	up := l.up.Load()
	l.mu.Unlock()
	if up != nil {
		return up.Close(code, reason)
	}
	return nil
}

// end records why the line ended, with nothing more to tell the peer, and
// returns the first cause. After the upgrade it does nothing.
func (l *line) end(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.endLocked(cause)
}

func (l *line) endLocked(cause error) error {
	if l.up.Load() != nil {
		return l.cause
	}
	if l.cause == nil {
		l.cause = cause
	}
	l.out = queue{}
	l.tell()
	l.over()
	return l.cause
}

// closes reports whether packets, from take, are the last ones.
func closes(packets []engineio.Packet) bool {
	return len(packets) > 0 && packets[len(packets)-1].Type == engineio.Close
}

// tell notes that the peer knows of the end. It is called with mu held.
func (l *line) tell() {
	l.told = true
	l.change()
}

// lost is what the end of a line is to its reader when the peer caused it.
func lost() error { return &transport.CloseError{Code: transport.StatusAbnormal} }

// receive queues packets for Read and waits while there is no room. It ends the
// line when done is closed or the limit has passed meanwhile, and fails once the
// line has ended. A nil limit is none.
func (l *line) receive(packets []engineio.Packet, done <-chan struct{}, limit <-chan time.Time) error {
	for len(packets) > 0 {
		l.mu.Lock()
		if l.cause != nil {
			defer l.mu.Unlock()
			return l.cause
		}
		if l.up.Load() != nil { // nobody would read them
			l.mu.Unlock()
			return errUpgraded
		}
		n := 0
		for n < len(packets) && l.in.room(len(packets[n].Data)) {
			l.in.push(packets[n])
			n++
		}
		if packets = packets[n:]; n > 0 {
			l.change()
		}
		if len(packets) == 0 {
			l.mu.Unlock()
			return nil
		}
		changed := l.wait()
		l.mu.Unlock()
		select {
		case <-changed:
		case <-done:
			return l.end(lost())
		case <-limit:
			return l.end(ErrNotRead)
		}
	}
	return nil
}

// take returns what is to be sent now, of no more than limit bytes together if
// there is a limit. When this side has closed, a Close packet is last: once it
// is on its way, tell says so. It is called with mu held.
func (l *line) take(limit int) []engineio.Packet {
	if l.switching || l.told {
		return nil
	}
	packets := l.out.take(l.version, limit)
	if l.closing && l.out.empty() {
		packets = append(packets, engineio.Packet{Type: engineio.Close})
		l.closing = false
	}
	if len(packets) > 0 {
		l.change()
	}
	return packets
}

// upgrade moves the line to a WebSocket connection. It reports whether the line
// still wanted that; otherwise the connection is the caller's to end.
func (l *line) upgrade(ws transport.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told {
		return false
	}
	l.switching = true
	// What is written meanwhile comes after it.
	for !l.out.empty() {
		packets := l.out.take(l.version, 0)
		l.mu.Unlock()
		// When this fails, reading the connection tells why.
		flush(ws, l.version, packets)
		l.mu.Lock()
	}
	l.switching = false
	l.out = queue{}
	l.change()
	if l.told {
		return false
	}
	l.up.Store(&upgraded{ws})
	return true
}

// flush writes packets, those of a kind that follow each other together.
func flush(c transport.Conn, v engineio.Version, packets []engineio.Packet) {
	var frames [][]byte
	kind := transport.Text
	for _, p := range packets {
		typ, frame := engineio.AppendPacket(nil, v, p)
		if typ != kind && len(frames) > 0 {
			if writeBatch(c, kind, frames) != nil {
				return
			}
			frames = frames[:0]
		}
		kind, frames = typ, append(frames, frame)
	}
	if len(frames) > 0 {
		_ = writeBatch(c, kind, frames)
	}
}

// A queue is a bounded first-in, first-out list of packets.
type queue struct {
	packets []engineio.Packet
	bytes   int
}

func (q *queue) empty() bool { return len(q.packets) == 0 }

// room reports whether a packet of the given size may be pushed.
func (q *queue) room(size int) bool {
	return q.empty() || len(q.packets) < maxQueuedPackets && q.bytes+size <= maxQueuedBytes
}

func (q *queue) push(p engineio.Packet) {
	q.packets = append(q.packets, p)
	q.bytes += len(p.Data)
}

func (q *queue) pop() engineio.Packet {
	p := q.packets[0]
	q.packets[0] = engineio.Packet{}
	q.packets = q.packets[1:]
	q.bytes -= len(p.Data)
	if q.empty() {
		q.packets = nil
	}
	return p
}

// take removes and returns packets whose payload has no more than limit bytes,
// one at least, or all packets with limit 0.
func (q *queue) take(v engineio.Version, limit int) []engineio.Packet {
	n, size := len(q.packets), 0
	if limit > 0 {
		for i, p := range q.packets {
			if i > 0 {
				size++ // what separates them
			}
			if size += payloadSize(v, p); size > limit && i > 0 {
				n = i
				break
			}
		}
		n = min(n, maxQueuedPackets)
	}
	taken := q.packets[:n:n]
	q.packets = q.packets[n:]
	for _, p := range taken {
		q.bytes -= len(p.Data)
	}
	if q.empty() {
		q.packets = nil
	}
	return taken
}

// payloadSize returns how many bytes a packet takes in a payload, or a few more.
func payloadSize(v engineio.Version, p engineio.Packet) int {
	n := len(p.Data)
	if p.Binary {
		n = base64.StdEncoding.EncodedLen(n)
	}
	if v == engineio.V3 {
		return n + len("1000000000:b4")
	}
	return n + 1
}
