package transport

import (
	"sync"
	"time"
)

// Pipe returns the two ends of a connection in memory.
//
// It is unbuffered: Write returns when the peer's Read has taken the message,
// or fails with [ErrWriteTimeout] after [DefaultWriteTimeout], which breaks the
// pipe for both ends (the peer reads a [*CloseError] with [StatusAbnormal]).
// Inside a testing/synctest bubble a program over pipes is deterministic: the
// ends block on channels and timers only.
//
// After Close(code, reason) the peer's Read and Write fail with that code and
// reason, this end's with [ErrClosed], every time.
func Pipe() (a, b Conn) {
	p := &pipe{done: make(chan struct{})}
	ab, ba := newLane(), newLane()
	x := &pipeEnd{pipe: p, in: ba, out: ab}
	y := &pipeEnd{pipe: p, in: ab, out: ba}
	x.peer, y.peer = y, x
	return x, y
}

// A pipe is what both ends share: whether and when the connection ended.
type pipe struct {
	mu   sync.Mutex
	done chan struct{} // closed after both ends' err are set
}

// A lane carries messages one way. The reader lends its buffer, and the writer that
// takes it gives it back with a message in it, in any case.
type lane struct {
	lent  chan []byte // of one
	taken chan parcel // of one
}

type parcel struct {
	typ MessageType
	msg []byte
}

func newLane() lane {
	return lane{lent: make(chan []byte, 1), taken: make(chan parcel, 1)}
}

type pipeEnd struct {
	*pipe
	peer    *pipeEnd
	in, out lane
	err     error       // why the connection ended, as this end sees it; read after done
	timer   *time.Timer // of the one writer, made when a Write first blocks
}

func (e *pipeEnd) Read(buf []byte) (MessageType, []byte, error) {
	select {
	case <-e.done:
		return 0, nil, e.err
	default:
	}
	e.in.lent <- buf
	select {
	case p := <-e.in.taken:
		return p.typ, p.msg, nil
	case <-e.done:
	}
	// A Write that has succeeded is one that was read.
	select {
	case <-e.in.lent:
		return 0, nil, e.err
	case p := <-e.in.taken:
		return p.typ, p.msg, nil
	}
}

func (e *pipeEnd) Write(typ MessageType, msg []byte) error {
	select {
	case <-e.done:
		return e.err
	default:
	}
	var buf []byte
	select {
	case buf = <-e.out.lent:
	default:
		var err error
		if buf, err = e.wait(); err != nil {
			return err
		}
	}
	e.out.taken <- parcel{typ, append(buf[:0], msg...)}
	return nil
}

// wait waits until the peer reads.
func (e *pipeEnd) wait() ([]byte, error) {
	if e.timer == nil {
		e.timer = time.NewTimer(DefaultWriteTimeout)
	} else {
		e.timer.Reset(DefaultWriteTimeout)
	}
	defer e.timer.Stop()
	select {
	case buf := <-e.out.lent:
		return buf, nil
	case <-e.timer.C:
		e.end(ErrWriteTimeout, &CloseError{Code: StatusAbnormal})
	case <-e.done:
	}
	return nil, e.err
}

func (e *pipeEnd) Close(code StatusCode, reason string) error {
	e.end(ErrClosed, &CloseError{Code: code, Reason: reason})
	return nil
}

// end ends the connection for both; only the first call counts.
func (e *pipeEnd) end(own, peer error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return
	}
	e.err, e.peer.err = own, peer
	close(e.done)
}
