package cuttlefishhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/transport"
)

const (
	// pollFailures is how many polls may fail in a row.
	pollFailures = 10
	// pollCount is how many messages a poll asks for.
	pollCount = 128
)

// poll opens a polled connection. The config and the device_info come first, as over
// the operator's WebSocket.
func (d *dialer) poll(ctx context.Context, config []byte) (transport.Conn, error) {
	if timeout := d.handshakeTimeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, cuttlefish.ErrHandshakeTimeout)
		defer cancel()
	}
	id, info, err := d.api.openPolled(ctx, d.deviceID)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return nil, err
	}
	first, err := cuttlefish.Encode(&cuttlefish.DeviceInfoMsg{DeviceInfo: info})
	if err != nil {
		return nil, err
	}
	p := &polling{
		api: &d.api, id: id, least: d.opts.PollMin, most: max(d.opts.PollMin, d.opts.PollMax),
		sent: make(chan struct{}, 1), queue: [][]byte{config, first},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// A polling connection is the client's end of a polled connection. It has no goroutine
// of its own: Read polls, and Write makes a request.
type polling struct {
	api         *api
	id          string
	least, most time.Duration
	ctx         context.Context // of the requests; ends with the connection
	cancel      context.CancelFunc
	sent        chan struct{} // after a message was sent: an answer may be near

	// Of the reader.
	queue    [][]byte // not yet handed out
	received int      // number of the next message to ask for
	delay    time.Duration
	failures int
	gone     error // the cause of the end once the queue is empty

	mu    sync.Mutex
	cause error
}

// errGone is the end of a polled connection whose device has left: the operator forgets
// the connection then and answers 404.
var errGone = &transport.CloseError{Code: transport.StatusNormal, Reason: "device disconnected"}

// Read returns the next message and polls until there is one: soon after messages came
// or were sent, then less and less often. A device that has left is reported with the
// error message that it means over a WebSocket.
func (p *polling) Read(buf []byte) (transport.MessageType, []byte, error) {
	for {
		if err := p.err(); err != nil {
			return 0, nil, err
		}
		if len(p.queue) > 0 {
			msg := p.queue[0]
			p.queue[0] = nil
			p.queue = p.queue[1:]
			return transport.Text, append(buf[:0], msg...), nil
		}
		if p.gone != nil {
			return 0, nil, p.end(p.gone)
		}
		p.wait()
		p.poll()
	}
}

// wait pauses between two polls.
func (p *polling) wait() {
	if p.delay == 0 {
		return
	}
	t := time.NewTimer(p.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return
	case <-p.ctx.Done():
		return
	case <-p.sent:
	}
	p.delay = p.least
	t.Reset(p.delay)
	select {
	case <-t.C:
	case <-p.ctx.Done():
	}
}

// poll asks for messages once.
func (p *polling) poll() {
	messages, err := p.fetch()
	if err == nil {
		p.failures = 0
		p.received += len(messages)
		p.queue = messages
	} else if p.failed(err) {
		return
	}
	if len(messages) > 0 {
		p.delay = p.least
	} else {
		p.delay = min(max(2*p.delay, p.least), p.most)
	}
}

func (p *polling) fetch() ([][]byte, error) {
	address := p.api.url("polled_connections", p.id, "messages") +
		"?start=" + strconv.Itoa(p.received) + "&count=" + strconv.Itoa(pollCount)
	ctx, cancel := context.WithTimeout(p.ctx, requestTimeout)
	defer cancel()
	answer, err := p.api.do(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, errors.New("answer to a poll is no array")
	}
	messages := make([][]byte, len(list))
	for i, m := range list {
		messages[i] = m
	}
	return messages, nil
}

// failed takes the failure of a poll and reports whether it was the last one.
func (p *polling) failed(err error) bool {
	p.failures++
	switch {
	case isGone(err):
		p.queue = [][]byte{[]byte(`{"error":"Device disconnected"}`)}
		p.gone = errGone
	case errors.Is(err, transport.ErrMessageTooBig):
		p.end(err)
	case p.failures >= pollFailures:
		p.end(fmt.Errorf("cuttlefishhttp: %d polls in a row failed: %w", p.failures, err))
	default:
		return false
	}
	return true
}

func isGone(err error) bool {
	e, ok := errors.AsType[*httpError](err)
	return ok && e.status == http.StatusNotFound
}

// Write sends one message. A server that is busy is asked again; no other request is
// repeated, because it may have been carried out.
func (p *polling) Write(_ transport.MessageType, msg []byte) error {
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(p.ctx, transport.DefaultWriteTimeout, transport.ErrWriteTimeout)
	defer cancel()
	address := p.api.url("polled_connections", p.id, ":forward")
	body := append(append([]byte(`{"payload":`), msg...), '}')
	for delay := p.least; ; delay *= 2 {
		_, err := p.api.do(ctx, http.MethodPost, address, body)
		if err == nil || isGone(err) {
			p.hurry()
		}
		switch {
		case err == nil:
			return nil
		case isGone(err):
			return errGone // the reader finds out by itself, after the last messages
		case ctx.Err() != nil:
			return p.end(context.Cause(ctx))
		case !isBusy(err):
			return p.end(fmt.Errorf("cuttlefishhttp: forward: %w", err))
		}
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return p.end(context.Cause(ctx))
		}
	}
}

// hurry lets the reader poll soon.
func (p *polling) hurry() {
	select {
	case p.sent <- struct{}{}:
	default:
	}
}

func isBusy(err error) bool {
	e, ok := errors.AsType[*httpError](err)
	return ok && e.status == http.StatusServiceUnavailable
}

// Close ends the connection and says goodbye to a server that understands it. The
// operator does not, and answers 404.
func (p *polling) Close(transport.StatusCode, string) error {
	if p.err() == nil && p.end(transport.ErrClosed) == transport.ErrClosed {
		ctx, cancel := context.WithTimeout(context.Background(), transport.DefaultWriteTimeout)
		defer cancel()
		_, _ = p.api.do(ctx, http.MethodDelete, p.api.url("polled_connections", p.id), nil)
	}
	return nil
}

// end ends the connection and returns why it ended first.
func (p *polling) end(cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause == nil {
		p.cause = cause
		p.cancel()
	}
	return p.cause
}

func (p *polling) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}
