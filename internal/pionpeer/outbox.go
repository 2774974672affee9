package pionpeer

import (
	"sync"

	"github.com/pion/webrtc/v4"
)

const (
	// maxWaiting is how many messages of a data channel wait until it is open and its buffer has room.
	maxWaiting = 256
	// The buffer of a data channel in bytes: above the first nothing is added until it has sunk to the second. Pion's
	// own has no limit.
	bufferFull, bufferLow = 256 << 10, 64 << 10
)

// An Outbox writes text messages to a data channel in their order. They may be sent before the channel is open or even
// exists. Its methods may be called concurrently.
type Outbox struct {
	session *Session
	wake    chan struct{} // capacity 1: there is something to write

	mu      sync.Mutex
	waiting []string
	closed  bool
}

// NewOutbox returns an outbox for one data channel of s.
func NewOutbox(s *Session) *Outbox {
	return &Outbox{session: s, wake: make(chan struct{}, 1)}
}

// Send queues a message, of which it keeps a copy, and never blocks. It returns [ErrClosed] once the session is ending
// or the other side has closed the channel. When too many wait, it ends the session with [ErrSlowPeer] and returns it.
func (o *Outbox) Send(text []byte) error {
	o.mu.Lock()
	closed, full := o.closed, len(o.waiting) >= maxWaiting
	if !closed && !full {
		o.waiting = append(o.waiting, string(text))
	}
	o.mu.Unlock()
	switch {
	case closed || o.session.isEnding():
		return ErrClosed
	case full:
		o.session.End(ErrSlowPeer)
		return ErrSlowPeer
	}
	signal(o.wake)
	return nil
}

// Attach names the channel to write to, once. It takes over its OnOpen and OnBufferedAmountLow.
func (o *Outbox) Attach(ch *webrtc.DataChannel) {
	low := make(chan struct{}, 1)
	ch.SetBufferedAmountLowThreshold(bufferLow)
	ch.OnBufferedAmountLow(func() { signal(low) })
	ch.OnOpen(func() { o.session.spawn(func() { o.write(ch, low) }) })
}

func (o *Outbox) write(ch *webrtc.DataChannel, low <-chan struct{}) {
	for {
		for _, text := range o.take() {
			if err := ch.SendText(text); err != nil {
				o.close()
				return
			}
			for ch.BufferedAmount() > bufferFull {
				select {
				case <-low:
				case <-o.session.ending:
					return
				}
			}
		}
		select {
		case <-o.wake:
		case <-o.session.ending:
			return
		}
	}
}

func (o *Outbox) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	texts := o.waiting
	o.waiting = nil
	return texts
}

// close refuses further messages: the other side has closed the channel.
func (o *Outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.waiting = true, nil
}
