package unixpacket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A Listener accepts connections on a socket file. Its methods may be called
// concurrently.
type Listener struct {
	socket *net.UnixListener
	opts   *Options
	done   chan struct{}
	close  func() error // once
}

// Listen makes the socket file at path. It replaces one on which nobody listens
// any more, as a process that crashed leaves it, and fails when somebody does
// or when the file is no socket.
func Listen(path string, opts *Options) (*Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("unixpacket: %w", err)
	}
	socket, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		return nil, fmt.Errorf("unixpacket: %w", err)
	}
	l := &Listener{socket: socket, opts: opts.withDefaults(), done: make(chan struct{})}
	l.close = sync.OnceValue(func() error {
		close(l.done)
		return socket.Close()
	})
	return l, nil
}

// removeStale removes a socket file on which nobody listens.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // abstract addresses ("@name") are no files either
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen %s: not a socket", path)
	}
	c, err := net.Dial(network, path)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("listen %s: %w", path, syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return err
}

// Accept waits for the next connection. After Close it fails with an error that
// wraps net.ErrClosed.
func (l *Listener) Accept() (transport.Conn, error) {
	c, err := l.socket.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("unixpacket: %w", err)
	}
	return New(c, l.opts), nil
}

// Addr returns the address of the socket file.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Close stops accepting and removes the socket file. Accepted connections stay.
// Calls after the first return the same.
func (l *Listener) Close() error { return l.close() }

// The pauses after an Accept that failed, for example for want of file
// descriptors: the first one, doubled up to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Serve accepts connections and calls serve with each, in a goroutine of its
// own, until l is closed; then it returns nil, while connections that are being
// served stay. The context of serve ends when serve returns, and so does the
// connection. Errors and panics of serve are logged, unless an error only says
// that the connection had ended.
func Serve(l *Listener, serve func(context.Context, transport.Conn) error) error {
	pause := firstPause
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = firstPause
			go transport.Serve(context.Background(), conn, l.opts.Logger, serve)
			continue
		case errors.Is(err, net.ErrClosed):
			return nil
		case !temporary(err):
			return err
		}
		l.opts.Logger.Warn("unixpacket: accepting failed", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-l.done:
			return nil
		}
		pause = min(2*pause, lastPause)
	}
}

// temporary reports whether Accept may succeed later: the connection was given
// up before it was accepted, or something ran out.
func temporary(err error) bool {
	for _, e := range []error{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
