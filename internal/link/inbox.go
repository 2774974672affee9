package link

import (
	"context"
	"io"
	"iter"
	"sync"
)

// An Inbox holds what has arrived until the application asks for it. It is bounded,
// and whoever puts something into it never waits. Its methods may be called
// concurrently.
type Inbox[M any] struct {
	mu       sync.Mutex
	queue    []parcel[M]
	limit    int
	bytes    int // of the queue
	maxBytes int // negative without a limit
	err      error
	wake     chan struct{} // holds a token while something is there
}

// A parcel is a message in an [Inbox] with its size.
type parcel[M any] struct {
	m     M
	bytes int
}

// NewInbox returns an inbox for limit messages: 0 means [DefaultQueueMessages], a
// negative number any.
func NewInbox[M any](limit int) *Inbox[M] {
	if limit == 0 {
		limit = DefaultQueueMessages
	}
	return &Inbox[M]{limit: limit, maxBytes: -1, wake: make(chan struct{}, 1)}
}

// Put adds a message. It reports false when the inbox is full.
func (b *Inbox[M]) Put(m M) bool { return b.put(m, 0) }

// put is Put for a message of a size. One of any size may always wait.
func (b *Inbox[M]) put(m M, bytes int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && len(b.queue) >= b.limit {
		return false
	}
	if b.maxBytes >= 0 && len(b.queue) > 0 && bytes > b.maxBytes-b.bytes {
		return false
	}
	b.queue = append(b.queue, parcel[M]{m, bytes})
	b.bytes += bytes
	b.signal()
	return true
}

// End makes Next fail once the inbox is empty: with io.EOF after an orderly end or nil, with
// err otherwise.
func (b *Inbox[M]) End(err error) {
	if err == nil || Orderly(err) {
		err = io.EOF
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.signal()
}

func (b *Inbox[M]) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Next waits for the next message.
func (b *Inbox[M]) Next(ctx context.Context) (M, error) {
	var zero M
	for {
		if err := ctx.Err(); err != nil {
			b.signal() // the token that this reader may have taken, for another one
			return zero, err
		}
		b.mu.Lock()
		if len(b.queue) > 0 {
			p := b.queue[0]
			b.queue[0] = parcel[M]{}
			b.bytes -= p.bytes
			if b.queue = b.queue[1:]; len(b.queue) > 0 || b.err != nil {
				b.signal() // for the next of several readers
			} else if cap(b.queue) == 0 {
				b.queue = nil
			}
			b.mu.Unlock()
			return p.m, nil
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

// All returns what Next returns, see [Each].
func (b *Inbox[M]) All(ctx context.Context) iter.Seq2[M, error] { return Each(ctx, b.Next) }

// Each returns what next returns, one by one; the orderly end ends the sequence, any
// other error is its last element.
func Each[M any](ctx context.Context, next func(ctx context.Context) (M, error)) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		for {
			m, err := next(ctx)
			if err == io.EOF || !yield(m, err) || err != nil {
				return
			}
		}
	}
}
