package link

import (
	"context"
	"sync"
)

// An inbox holds what has arrived until the application asks for it. It is bounded,
// and whoever puts something into it never waits.
type inbox[M any] struct {
	mu    sync.Mutex
	queue []M
	limit int
	err   error
	wake  chan struct{} // holds a token while something is there
}

func newInbox[M any](limit int) *inbox[M] {
	return &inbox[M]{limit: limit, wake: make(chan struct{}, 1)}
}

// put reports false when the inbox is full.
func (b *inbox[M]) put(m M) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && len(b.queue) >= b.limit {
		return false
	}
	b.queue = append(b.queue, m)
	b.signal()
	return true
}

// end makes next fail with err once the inbox is empty.
func (b *inbox[M]) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.signal()
}

func (b *inbox[M]) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox[M]) next(ctx context.Context) (M, error) {
	var zero M
	for {
		if err := ctx.Err(); err != nil {
			return zero, err
		}
		b.mu.Lock()
		if len(b.queue) > 0 {
			m := b.queue[0]
			b.queue[0] = zero
			if b.queue = b.queue[1:]; len(b.queue) > 0 || b.err != nil {
				b.signal() // for the next of several readers
			} else if cap(b.queue) == 0 {
				b.queue = nil
			}
			b.mu.Unlock()
			return m, nil
		}
		if b.err != nil {
			b.signal()
			b.mu.Unlock()
			return zero, b.err
		}
		b.mu.Unlock()
		select {
		case <-b.wake:
		case <-ctx.Done():
			return zero, ctx.Err()
		}
	}
}
