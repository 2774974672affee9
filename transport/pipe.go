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

// A lane carries messages one way. The writer lends its slice on handoff and
// has it back when the reader, having copied it, signals taken.
type lane struct {
	handoff chan parcel
	taken   chan struct{}
}

type parcel struct {
	typ MessageType
	msg []byte
}

func newLane() lane {
	return lane{handoff: make(chan parcel), taken: make(chan struct{}, 1)}
}

type pipeEnd struct {
	*pipe
	peer    *pipeEnd
	in, out lane
	err     error       // why the connection ended, as this end sees it; read after done
	timer   *time.Timer // of the one writer, made when a Write first blocks
}

func (e *pipeEnd) Read(buf []byte) (MessageType, []byte, error) {
	// A peer that is blocked in Write when the pipe ends gets an error, so its
	// message must not arrive as well.
	select {
	case <-e.done:
		return 0, nil, e.err
	default:
	}
	select {
	case p := <-e.in.handoff:
		buf = append(buf[:0], p.msg...)
		e.in.taken <- struct{}{}
		return p.typ, buf, nil
	case <-e.done:
		return 0, nil, e.err
	}
}

func (e *pipeEnd) Write(typ MessageType, msg []byte) error {
	select {
	case <-e.done:
		return e.err
	default:
	}
	p := parcel{typ, msg}
	select {
	case e.out.handoff <- p:
	default:
		if err := e.wait(p); err != nil {
			return err
		}
	}
	<-e.out.taken
	return nil
}

// wait hands over a parcel that the peer is not yet waiting for.
func (e *pipeEnd) wait(p parcel) error {
	if e.timer == nil {
		e.timer = time.NewTimer(DefaultWriteTimeout)
	} else {
		e.timer.Reset(DefaultWriteTimeout)
	}
	defer e.timer.Stop()
	select {
	case e.out.handoff <- p:
		return nil
	case <-e.timer.C:
		e.end(ErrWriteTimeout, &CloseError{Code: StatusAbnormal})
	case <-e.done:
	}
	return e.err
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
