package transport

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// Logged returns a Conn that logs what c carries at level Debug: a record for
// each message with its direction ("in" or "out"), type, length in bytes and
// body, one for the end of reading, and one for each Close with its code and
// reason.
//
// The body is what redact makes of the message; it must neither change nor keep
// its argument. With a nil redact the body is left out, since signaling carries
// credentials. A nil logger returns c itself. While the logger does not take
// Debug records, a message costs one check of that.
//
// The result is a [BatchWriter] when c is one.
func Logged(c Conn, l *slog.Logger, redact func([]byte) []byte) Conn {
	if l == nil {
		return c
	}
	lc := &loggedConn{Conn: c, log: l, redact: redact}
	if b, ok := c.(BatchWriter); ok {
		return &loggedBatchConn{loggedConn: lc, batch: b}
	}
	return lc
}

type loggedConn struct {
	Conn
	log    *slog.Logger
	redact func([]byte) []byte
	ended  atomic.Bool // the end of reading was logged
}

// Unwrap returns the Conn that is logged, for those who ask it for more than a Conn has.
func (c *loggedConn) Unwrap() Conn { return c.Conn }

func (c *loggedConn) Read(buf []byte) (MessageType, []byte, error) {
	typ, msg, err := c.Conn.Read(buf)
	switch {
	case !c.enabled():
	case err == nil:
		c.message("in", typ, msg)
	case !c.ended.Swap(true):
		c.log.Debug("transport: reading ended", "error", err)
	}
	return typ, msg, err
}

func (c *loggedConn) Write(typ MessageType, msg []byte) error {
	err := c.Conn.Write(typ, msg)
	if c.enabled() {
		c.written(err, typ, msg)
	}
	return err
}

func (c *loggedConn) Close(code StatusCode, reason string) error {
	if c.enabled() {
		c.log.Debug("transport: closing", "code", int(code), "reason", reason)
	}
	return c.Conn.Close(code, reason)
}

func (c *loggedConn) enabled() bool {
	return c.log.Enabled(context.Background(), slog.LevelDebug)
}

// written logs messages that went out, or that they did not.
func (c *loggedConn) written(err error, typ MessageType, msgs ...[]byte) {
	if err != nil {
		c.log.Debug("transport: writing failed", "messages", len(msgs), "error", err)
		return
	}
	for _, msg := range msgs {
		c.message("out", typ, msg)
	}
}

func (c *loggedConn) message(direction string, typ MessageType, msg []byte) {
	attrs := []slog.Attr{
		slog.String("direction", direction),
		slog.String("type", typ.String()),
		slog.Int("length", len(msg)),
	}
	if c.redact != nil {
		attrs = append(attrs, slog.String("body", string(c.redact(msg))))
	}
	c.log.LogAttrs(context.Background(), slog.LevelDebug, "transport: message", attrs...)
}

type loggedBatchConn struct {
	*loggedConn
	batch BatchWriter
}

func (c *loggedBatchConn) WriteBatch(typ MessageType, msgs [][]byte) error {
	err := c.batch.WriteBatch(typ, msgs)
	if c.enabled() {
		c.written(err, typ, msgs...)
	}
	return err
}
