package peer

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// maxOutput bounds what is kept of a program's output.
const maxOutput = 64 << 10

// A Process is a program that runs until its test ends. Its methods may be called
// concurrently.
type Process struct {
	done   chan struct{}
	output tail
}

// Start starts a program. It is killed, and waited for, when the test ends. Its output
// is logged when the test has failed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.WaitDelay = 5 * time.Second // children of the program may hold its output open
	require.NoError(t, cmd.Start())
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how a killed program ends says nothing
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails only after the end
		<-p.done
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(cmd.Path), p.Output())
		}
	})
	return p
}

// Ended reports whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Output returns the last part of what the program has written so far.
func (p *Process) Output() string { return p.output.String() }

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.data = append(w.data, b...)
	if over := len(w.data) - maxOutput; over > 0 {
		w.data = bytes.Clone(w.data[over:])
	}
	return len(b), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.data)
}
