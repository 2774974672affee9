package cuttlefishhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/transport"
)

// What a polled connection keeps of the messages that its client has acknowledged, for
// one that asks again because an answer got lost on its way.
const (
	keptMessages = 64
	keptBytes    = 64 << 10
)

// A mailbox is the server's end of a polled connection: a transport.Conn whose peer is
// the sequence of requests that name it. Reading yields the payloads that were
// forwarded, writing keeps messages until they are fetched.
//
// Messages are numbered from 0. Who asks for those from start on has acknowledged the
// ones before. Acknowledged messages give way to new ones; when those that are not
// fill the mailbox, its client has stopped polling, and the connection ends.
type mailbox struct {
	id         string
	idle       time.Duration
	limit      int // of messages that are not acknowledged
	limitBytes int
	kept       int // of those that are
	keptBytes  int
	forwarded  chan []byte
	opened     chan struct{} // closed when info is there
	done       chan struct{} // closed when cause is there

	mu       sync.Mutex
	info     json.RawMessage
	refusal  refusedError
	cause    error // why the connection ended, as Read says
	messages [][]byte
	bytes    int // of messages
	first    int // number of messages[0]
	acked    int // the number up to which they are acknowledged
	expiry   *time.Timer
}

// A refusedError says how the server refused a client.
type refusedError struct {
	text string
	code transport.StatusCode
}

func (e *refusedError) Error() string { return fmt.Sprintf("refused with %d: %s", e.code, e.text) }

// What keeps a payload from being delivered.
var (
	errEnded = errors.New("connection has ended")
	errBusy  = errors.New("server does not read")
)

func newMailbox(id string, o *Options) *mailbox {
	return &mailbox{
		id: id, idle: o.PolledIdle,
		limit: o.PolledMessages, limitBytes: o.PolledBytes,
		kept: min(keptMessages, o.PolledMessages), keptBytes: min(keptBytes, o.PolledBytes),
		forwarded: make(chan []byte), opened: make(chan struct{}), done: make(chan struct{}),
	}
}

// deviceInfo waits until the server has let the client in, and returns what the device
// has registered. From then on the connection ends when nobody asks for it.
func (b *mailbox) deviceInfo(ctx context.Context) (json.RawMessage, error) {
	select {
	case <-b.opened:
	case <-b.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.refusal.text != "":
		return nil, new(b.refusal)
	case b.cause != nil:
		return nil, errEnded
	}
	b.expiry = time.AfterFunc(b.idle, func() {
		b.end(&transport.CloseError{Code: transport.StatusGoingAway, Reason: "idle"})
	})
	return b.info, nil
}

// touch says that the client is still there, and reports whether the connection is.
func (b *mailbox) touch() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cause != nil {
		return false
	}
	if b.expiry != nil {
		b.expiry.Reset(b.idle)
	}
	return true
}

// deliver hands a payload to the reader. A reader that pauses because the client sends
// too much makes it wait, at most for the default write time-out.
func (b *mailbox) deliver(ctx context.Context, payload []byte) error {
	t := time.NewTimer(transport.DefaultWriteTimeout)
	defer t.Stop()
	select {
	case <-b.done:
		return errEnded
	default:
	}
	select {
	case b.forwarded <- payload:
		return nil
	case <-b.done:
		return errEnded
	case <-t.C:
		return errBusy
	case <-ctx.Done():
		return errBusy
	}
}

// from returns the messages from number start on, count of them unless that is
// negative. It returns false for messages that are no longer there.
func (b *mailbox) from(start, count int) ([][]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := b.first + len(b.messages)
	switch {
	case start < b.first:
		return nil, false
	case start > end:
		return nil, true
	}
	b.acked = max(b.acked, start)
	list := b.messages[start-b.first:]
	if count >= 0 && count < len(list) {
		list = list[:count]
	}
	list = slices.Clone(list)
	b.trim()
	return list, true
}

// trim lets go of acknowledged messages. Called under the lock.
func (b *mailbox) trim() {
	n := 0
	for b.first+n < b.acked && (len(b.messages)-n > b.kept || b.bytes > b.keptBytes) {
		b.bytes -= len(b.messages[n])
		n++
	}
	b.messages = slices.Delete(b.messages, 0, n)
	b.first += n
}

// Read returns the next payload that was forwarded.
func (b *mailbox) Read(buf []byte) (transport.MessageType, []byte, error) {
	select {
	case <-b.done:
		return 0, nil, b.err()
	default:
	}
	select {
	case payload := <-b.forwarded:
		return transport.Text, append(buf[:0], payload...), nil
	case <-b.done:
		return 0, nil, b.err()
	}
}

// Write keeps a message for the client. The device_info and a refusal become the
// answer to the request that opened the connection. A later device_info, of a device
// that came back, has no place in an answer and is left out.
func (b *mailbox) Write(_ transport.MessageType, msg []byte) error {
	m, err := cuttlefish.Decode(msg)
	if err != nil {
		return fmt.Errorf("cuttlefishhttp: write: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cause != nil {
		return b.cause
	}
	switch m := m.(type) {
	case *cuttlefish.DeviceInfoMsg:
		if b.info == nil {
			b.info = m.DeviceInfo
			close(b.opened)
		}
	case *cuttlefish.Error:
		if b.info == nil {
			b.refusal.text = m.Text
		}
	default:
		return b.keep(bytes.Clone(msg))
	}
	return nil
}

// keep appends a message. Called under the lock.
func (b *mailbox) keep(msg []byte) error {
	b.messages = append(b.messages, msg)
	b.bytes += len(msg)
	b.trim()
	if waiting := len(b.messages); waiting > b.limit || waiting > 1 && b.bytes > b.limitBytes {
		b.finish(transport.ErrWriteTimeout)
	}
	return b.cause
}

// Close ends the connection. The client learns the code only as the status of the
// answer to a request that is waiting for the device_info.
func (b *mailbox) Close(code transport.StatusCode, _ string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cause == nil {
		b.refusal.code = code
		b.finish(transport.ErrClosed)
	}
	return nil
}

// end ends the connection for the reason that its reader will see.
func (b *mailbox) end(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finish(cause)
}

// finish ends the connection once. Called under the lock.
func (b *mailbox) finish(cause error) {
	if b.cause != nil {
		return
	}
	b.cause = cause
	b.messages = nil
	close(b.done)
	if b.expiry != nil {
		b.expiry.Stop()
	}
}

func (b *mailbox) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cause
}
