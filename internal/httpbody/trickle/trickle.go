// Package trickle is a client of HTTP whose body does not end, for tests.
package trickle

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Length is how long a body is said to be. It is so short that net/http reads what is left of
// it after a request has been answered.
const Length = 10_000

// Send sends a request such as "POST /path" to a handler, in memory, inside a bubble of
// synctest, and a byte of its body each second. It returns the status of the answer and how
// many seconds it took until the server had given the connection up. Lines are those of the
// head.
func Send(h http.Handler, request string, lines ...string) (status, seconds int, err error) {
	l := &listener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	near, far := net.Pipe()
	l.conns <- far
	s := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	defer serving.Wait()
	defer s.Close()
	defer near.Close()

	answer := make(chan error, 1)
	serving.Go(func() {
		resp, err := http.ReadResponse(bufio.NewReader(near), nil)
		if err == nil {
			status = resp.StatusCode
			resp.Body.Close()
		}
		answer <- err
		_, _ = bufio.NewReader(near).ReadByte() // until the end
	})
	head := fmt.Sprintf("%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", request, Length)
	if len(lines) > 0 {
		head += strings.Join(lines, "\r\n") + "\r\n"
	}
	if _, err := near.Write([]byte(head + "\r\n")); err != nil {
		return 0, 0, err
	}
	for seconds < Length {
		_ = near.SetWriteDeadline(time.Now().Add(time.Hour))
		if _, err := near.Write([]byte("{")); err != nil {
			break
		}
		time.Sleep(time.Second)
		seconds++
	}
	near.Close()
	return status, seconds, <-answer
}

// A listener has one connection.
type listener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
