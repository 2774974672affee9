package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// errExited is the result of a function that ended its goroutine.
var errExited = errors.New("transport: the serving goroutine exited")

// Serve is what a listener does with a connection: it calls serve with a
// context that ends when serve does, and closes c afterwards: with 1000 after
// nil or an error that only says that the connection has ended, with 1011 after
// any other error or a panic. The latter two are logged; the peer is not told
// them. A nil logger discards.
func Serve(ctx context.Context, c Conn, l *slog.Logger, serve func(context.Context, Conn) error) {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := errExited
	defer func() {
		code := StatusInternalError
		if p := recover(); p != nil {
			l.Error("transport: serving panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		} else if err == nil || ended(err) {
			code = StatusNormal
		} else {
			l.Error("transport: serving failed", "error", err)
		}
		if err := c.Close(code, ""); err != nil {
			l.Debug("transport: closing failed", "error", err)
		}
	}()
	err = serve(ctx, c)
}

// ended reports whether err says no more than that the connection has ended.
func ended(err error) bool {
	if _, ok := errors.AsType[*CloseError](err); ok {
		return true
	}
	return errors.Is(err, ErrClosed) || errors.Is(err, ErrMessageTooBig) || errors.Is(err, ErrWriteTimeout)
}
