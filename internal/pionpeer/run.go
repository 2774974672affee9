package pionpeer

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
)

// A Handler is who [Run] gives the messages of a client to.
type Handler[M any] struct {
	Package string          // in errors and logs
	Closed  <-chan struct{} // closed when nothing more is to be handed on,
	Ended   <-chan struct{} // unless the client has ended, whose last messages are
	Handle  func(M) (handled bool, err error)
	Other   func(M)     // gets what is not handled; may be nil
	Shut    func(error) // hears why there are no more messages, unless ctx has ended
	Log     *slog.Logger
}

// Run hands on the messages of a client until they or ctx end, or the handler is closed. It
// returns nil after an orderly end, of which Shut hears disconnected, or the cause.
func Run[M any](
	ctx context.Context, messages func(context.Context) iter.Seq2[M, error], disconnected error, h Handler[M],
) error {
	open, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-h.Closed:
			select {
			case <-h.Ended:
			default:
				cancel(ErrClosed)
			}
		case <-open.Done():
		}
	}()
	for m, err := range messages(open) {
		if err != nil {
			switch {
			case context.Cause(open) == ErrClosed:
				err = ErrClosed
			case ctx.Err() == nil:
				h.Shut(err)
			}
			return fmt.Errorf("%s: %w", h.Package, err)
		}
		handled, err := h.Handle(m)
		if err != nil {
			h.Log.Warn(h.Package+": refused a message", "error", err)
		}
		if !handled && h.Other != nil {
			h.Other(m)
		}
	}
	h.Shut(disconnected)
	return nil
}
