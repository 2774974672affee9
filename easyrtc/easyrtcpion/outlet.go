package easyrtcpion

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

// maxOutlet is how much signaling of one call waits for the server's acknowledgements. A
// negotiation has an offer, an answer and the candidates of one host.
const maxOutlet = 1024

// An outlet sends the signaling of a call in its order and hears what the server says to
// it, which the negotiation must not wait for.
type outlet struct {
	call *Call
	wake chan struct{} // capacity 1: there is something to send

	mu    sync.Mutex
	queue []easyrtc.Message
}

func newOutlet(c *Call) *outlet { return &outlet{call: c, wake: make(chan struct{}, 1)} }

// add queues a message and never blocks.
func (o *outlet) add(m easyrtc.Message) error {
	o.mu.Lock()
	full := len(o.queue) >= maxOutlet
	if !full {
		o.queue = append(o.queue, m)
	}
	o.mu.Unlock()
	if full {
		return easyrtc.ErrTooManyCalls
	}
	signal(o.wake)
	return nil
}

// signal wakes who waits for c, a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run sends until the call ends.
func (o *outlet) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.call.peer.work.Go(func() {
		select {
		case <-o.call.gone:
			cancel()
		case <-ctx.Done():
		}
	})
	for {
		select {
		case <-o.wake:
		case <-ctx.Done():
			return
		}
		for m := range o.next {
			if err := o.send(ctx, m); err != nil {
				o.call.end(err, nil)
				return
			}
		}
	}
}

func (o *outlet) next(yield func(easyrtc.Message) bool) {
	for {
		o.mu.Lock()
		batch := o.queue
		o.queue = nil
		o.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, m := range batch {
			if !yield(m) {
				return
			}
		}
	}
}

// send waits for the server's word about a description, which may be that the other client
// is not there. What it says about a candidate comes too late to matter.
func (o *outlet) send(ctx context.Context, m easyrtc.Message) error {
	var err error
	switch m.(type) {
	case *easyrtc.Offer, *easyrtc.Answer:
		_, err = o.call.peer.client.Call(ctx, m)
	default:
		if ctx.Err() == nil {
			err = o.call.peer.client.Send(m)
		}
	}
	if _, refused := errors.AsType[*easyrtc.Error](err); err == nil || refused || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSignaling, err)
}
