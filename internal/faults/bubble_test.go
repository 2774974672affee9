package faults

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// bubble runs a test in a time of its own.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// requireAlone demands that nobody but the host is left, once all is done that is under way.
func (w *world) requireAlone() {
	w.t.Helper()
	w.requireLeft(1)
}

// requireEmpty demands that nobody is left.
func (w *world) requireEmpty() {
	w.t.Helper()
	w.requireLeft(0)
}

func (w *world) requireLeft(n int) {
	w.t.Helper()
	if w.real {
		require.Eventually(w.t, func() bool { return w.srv.sessions() == n && w.srv.members() == n },
			patience, 10*time.Millisecond)
	} else {
		synctest.Wait()
	}
	require.Equal(w.t, n, w.srv.sessions())
	require.Equal(w.t, n, w.srv.members())
}

// dialContext is for an HTTP client.
func (w *world) dialContext(context.Context, string, string) (net.Conn, error) {
	c, err := w.wire()
	if err != nil {
		return nil, err // not a nil *wire
	}
	return c, nil
}
