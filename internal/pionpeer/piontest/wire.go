package piontest

import (
	"context"
	"slices"
	"sync"

	"github.com/rtcsignal/rtcsignal/internal/heard"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A Wire is a client's end of a connection. It keeps what goes over it, and may hold back or
// drop what the client says. Its methods may be called concurrently.
type Wire[M any] struct {
	transport.Conn
	Theirs  transport.Conn   // the server's end
	Reached *heard.Record[M] // before anything is held back
	Said    *heard.Record[M] // as it went
	Heard   *heard.Record[M]

	decode func([]byte) (M, error)
	mu     sync.Mutex
	drop   func(M) bool // nil drops nothing
	hold   func(M) bool // nil holds nothing back
	queue  [][]byte
}

// Dial opens a connection to a server through a pipe.
func Dial[M any](serve func(context.Context, transport.Conn) error, decode func([]byte) (M, error)) *Wire[M] {
	ours, theirs := transport.Pipe()
	go func() { _ = serve(context.Background(), theirs) }()
	return &Wire[M]{
		Conn: ours, Theirs: theirs, decode: decode,
		Reached: heard.New[M](), Said: heard.New[M](), Heard: heard.New[M](),
	}
}

// Write writes what the client says.
func (w *Wire[M]) Write(typ transport.MessageType, msg []byte) error {
	m, err := w.decode(msg)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Reached.Add(m) // under the lock: unless it is held back, it is on its way before the next hold
	if w.drop != nil && w.drop(m) {
		return nil
	}
	if w.hold != nil && (len(w.queue) > 0 || w.hold(m)) {
		w.queue = append(w.queue, slices.Clone(msg))
		return nil
	}
	w.Said.Add(m)
	return w.Conn.Write(typ, msg)
}

// Read reads what the server says.
func (w *Wire[M]) Read(buf []byte) (transport.MessageType, []byte, error) {
	typ, msg, err := w.Conn.Read(buf)
	if err == nil {
		if m, err := w.decode(msg); err == nil {
			w.Heard.Add(m)
		}
	}
	return typ, msg, err
}

// Hold keeps everything back that is written from the next message on that which chooses,
// until Release.
func (w *Wire[M]) Hold(which func(M) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = which
}

// Release writes what was kept back, and keeps nothing back from now on.
func (w *Wire[M]) Release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.queue
	w.hold, w.queue = nil, nil
	for _, msg := range queue {
		if m, err := w.decode(msg); err == nil {
			w.Said.Add(m)
		}
		_ = w.Conn.Write(transport.Text, msg) // it may be over already
	}
}

// Drop drops what the function chooses from now on; nil drops nothing.
func (w *Wire[M]) Drop(which func(M) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop = which
}

// Cut breaks the connection.
func (w *Wire[M]) Cut() { _ = w.Theirs.Close(transport.StatusAbnormal, "") }
