package transport_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

func TestServeClosesAsTheResultSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve func(context.Context, transport.Conn) error
		code  transport.StatusCode
		log   string
	}{
		"nil":       {func(context.Context, transport.Conn) error { return nil }, 1000, ""},
		"peer left": {func(context.Context, transport.Conn) error { return &transport.CloseError{Code: 1006} }, 1000, ""},
		"closed":    {func(context.Context, transport.Conn) error { return transport.ErrClosed }, 1000, ""},
		"stuck":     {func(context.Context, transport.Conn) error { return transport.ErrWriteTimeout }, 1000, ""},
		"too big":   {func(context.Context, transport.Conn) error { return transport.ErrMessageTooBig }, 1000, ""},
		"error":     {func(context.Context, transport.Conn) error { return errors.New("broken") }, 1011, "error=broken"},
		"panic":     {func(context.Context, transport.Conn) error { panic("oops") }, 1011, "panic=oops stack="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, out := textLogger(slog.LevelDebug)
			conn := &scripted{}
			var ctx context.Context
			transport.Serve(t.Context(), conn, l, func(served context.Context, given transport.Conn) error {
				require.Same(t, conn, given)
				require.NoError(t, served.Err())
				ctx = served
				return c.serve(served, given)
			})
			require.Equal(t, c.code, conn.closed)
			require.ErrorIs(t, ctx.Err(), context.Canceled)
			if c.log == "" {
				require.Empty(t, out.String())
			} else {
				require.Contains(t, out.String(), c.log)
			}
		})
	}
}
