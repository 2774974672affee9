package faults

import (
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

// eventually waits, in real time, for what nobody tells of. Unlike require.Eventually it starts
// no goroutine.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	limit := time.After(patience)
	for !holds() {
		select {
		case <-again.C:
		case <-limit:
			t.Fatalf("%s: not in %v", what, patience)
		}
	}
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
		eventually(w.t, "an empty server", func() bool { return w.srv.sessions() == n && w.srv.members() == n })
	} else {
		time.Sleep(w.p.lingers)
		synctest.Wait()
	}
	require.Equal(w.t, n, w.srv.sessions())
	require.Equal(w.t, n, w.srv.members())
}
