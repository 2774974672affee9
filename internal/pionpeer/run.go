package pionpeer

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
)

// A Handler is who [Run] gives the messages of a client to.
type Handler[M any] struct {
	Package string // in errors and logs
	Handle  func(M) (handled bool, err error)
	Other   func(M)     // gets what is not handled; may be nil
	Shut    func(error) // hears why there are no more messages, unless ctx has ended
	Log     *slog.Logger
}

// Run hands on the messages of a client until they or ctx end. It returns nil after an orderly
// end, of which Shut hears disconnected, or the cause.
func Run[M any](ctx context.Context, messages iter.Seq2[M, error], disconnected error, h Handler[M]) error {
	for m, err := range messages {
		if err != nil {
			if ctx.Err() == nil {
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
