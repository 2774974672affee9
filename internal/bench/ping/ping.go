// Package ping has clients and servers of three libraries for JSON-RPC 2.0 that ping each
// other: rtcsignal, github.com/creachadair/jrpc2 and golang.org/x/exp/jsonrpc2. Benchmarks and
// command load share it.
package ping

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/creachadair/jrpc2/handler"
	"golang.org/x/exp/jsonrpc2"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// A Session is a client and a server that have met.
type Session struct {
	// Ping sends a ping, waits for its answer and fails unless that is "pong". Several
	// goroutines may call it at once.
	Ping func(ctx context.Context) error
	// Close ends client and server, and waits for them.
	Close func() error
}

// A Library is one of them.
type Library struct {
	Name string
	// Memory and WebSocket open a session in this process, over WebSocket on loopback.
	Memory    func() (*Session, error)
	WebSocket func() (*Session, error)
}

// Libraries are all, this module first.
var Libraries = []Library{
	{"rtcsignal", overPipe, overWebSocket},
	{"jrpc2", jrpc2InMemory, jrpc2OverWebSocket},
	{"xexp", xexpInMemory, xexpOverWebSocket},
}

// pong checks an answer.
func pong(result string) error {
	if result != "pong" {
		return fmt.Errorf("ping answered with %q", result)
	}
	return nil
}

// dialed returns a client's connection to a server that serves each of its own with serve, and
// what ends that server.
func dialed(serve func(context.Context, transport.Conn) error) (conn transport.Conn, end func() error, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	web := &http.Server{Handler: wsconn.Handler(serve, nil), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	end = func() error {
		err := web.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}
	conn, err = wsconn.Dial(context.Background(), "ws://"+listener.Addr().String(), nil)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return conn, end, nil
}

// inOrder calls functions one after the other.
func inOrder(steps ...func() error) func() error {
	return func() (err error) {
		for _, step := range steps {
			err = errors.Join(err, step())
		}
		return err
	}
}

// rtcsignal.

func overPipe() (*Session, error) {
	srv := newServer()
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), far) }()
	return newSession(near, inOrder(func() error { return <-served }, srv.Close))
}

func overWebSocket() (*Session, error) {
	srv := newServer()
	conn, end, err := dialed(srv.Serve)
	if err != nil {
		return nil, errors.Join(err, srv.Close())
	}
	return newSession(conn, inOrder(srv.Close, end))
}

func newServer() *msejsonrpc.Server {
	return msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		AllowAll: true,
		Limits:   msejsonrpc.Limits{Messages: -1, Bytes: -1},
	})
}

// newSession starts a session over a connection. Ping of a client checks the answer.
func newSession(conn transport.Conn, end func() error) (*Session, error) {
	client, err := msejsonrpc.Connect(context.Background(), conn, &msejsonrpc.ClientOptions{Token: "token"})
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return &Session{client.Ping, inOrder(client.Close, end)}, nil
}

// connChannel is the channel of jrpc2, and of xexp, over a connection. Both have done with
// what Recv returned when they call it again.
type connChannel struct {
	conn transport.Conn
	buf  []byte
}

func (c *connChannel) Send(msg []byte) error { return c.conn.Write(transport.Text, msg) }

func (c *connChannel) Recv() ([]byte, error) {
	_, buf, err := c.conn.Read(c.buf)
	if err != nil {
		return nil, io.EOF
	}
	c.buf = buf
	return buf, nil
}

func (c *connChannel) Close() error { return c.conn.Close(transport.StatusNormal, "") }

// github.com/creachadair/jrpc2.

var jrpc2Methods = handler.Map{
	"ping": func(context.Context, *jrpc2.Request) (any, error) { return "pong", nil },
}

func jrpc2InMemory() (*Session, error) {
	near, far := channel.Direct()
	return jrpc2Session(near, ServeJRPC2(far).Wait), nil
}

func jrpc2OverWebSocket() (*Session, error) {
	conn, end, err := dialed(func(_ context.Context, conn transport.Conn) error {
		return ServeJRPC2(&connChannel{conn: conn}).Wait()
	})
	if err != nil {
		return nil, err
	}
	return jrpc2Session(&connChannel{conn: conn}, end), nil
}

// ServeJRPC2 starts a server of jrpc2 that answers pings, until the channel ends.
func ServeJRPC2(ch channel.Channel) *jrpc2.Server {
	return jrpc2.NewServer(jrpc2Methods, &jrpc2.ServerOptions{DisableBuiltin: true, Concurrency: 1}).Start(ch)
}

func jrpc2Session(ch channel.Channel, end func() error) *Session {
	client := jrpc2.NewClient(ch, nil)
	return &Session{func(ctx context.Context) error {
		var result string
		if err := client.CallResult(ctx, "ping", nil, &result); err != nil {
			return err
		}
		return pong(result)
	}, inOrder(client.Close, end)}
}

// golang.org/x/exp/jsonrpc2.

func xexpInMemory() (*Session, error) {
	near, far := channel.Direct()
	served := make(chan error, 1)
	go func() { served <- xexpServe(far) }()
	return xexpSession(near, func() error { return <-served })
}

func xexpOverWebSocket() (*Session, error) {
	conn, end, err := dialed(func(_ context.Context, conn transport.Conn) error {
		return xexpServe(&connChannel{conn: conn})
	})
	if err != nil {
		return nil, err
	}
	return xexpSession(&connChannel{conn: conn}, end)
}

// xexpServe answers until the peer closes the channel.
func xexpServe(ch channel.Channel) error {
	conn, err := xexpConnection(ch)
	if err != nil {
		return err
	}
	if err := conn.Wait(); err != io.EOF {
		return err
	}
	return conn.Close() // a Connection does not end the stream when its peer does
}

func xexpSession(ch channel.Channel, end func() error) (*Session, error) {
	conn, err := xexpConnection(ch)
	if err != nil {
		return nil, errors.Join(err, ch.Close(), end())
	}
	return &Session{func(ctx context.Context) error {
		var result string
		if err := conn.Call(ctx, "ping", nil).Await(ctx, &result); err != nil {
			return err
		}
		return pong(result)
	}, inOrder(conn.Close, end)}, nil
}

// xexpConnection is one side; both have the same methods.
func xexpConnection(ch channel.Channel) (*jsonrpc2.Connection, error) {
	return jsonrpc2.Dial(context.Background(), xexpDialer{ch}, jsonrpc2.ConnectionOptions{
		Framer: xexpFramer{ch}, Preempter: xexpMethods{},
	})
}

type xexpMethods struct{}

func (xexpMethods) Preempt(_ context.Context, req *jsonrpc2.Request) (any, error) {
	if req.Method != "ping" {
		return nil, jsonrpc2.ErrNotHandled
	}
	return "pong", nil
}

// xexpDialer has a stream already: of the channel only Close is used in this way, the
// messages go through xexpFramer.
type xexpDialer struct{ channel.Channel }

func (d xexpDialer) Dial(context.Context) (io.ReadWriteCloser, error) { return d, nil }

func (xexpDialer) Read([]byte) (int, error)  { return 0, errors.ErrUnsupported }
func (xexpDialer) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

// xexpFramer sends each message as one record of a channel.
type xexpFramer struct{ ch channel.Channel }

func (f xexpFramer) Reader(io.Reader) jsonrpc2.Reader { return xexpReader(f) }
func (f xexpFramer) Writer(io.Writer) jsonrpc2.Writer { return xexpWriter(f) }

type xexpReader struct{ ch channel.Channel }

func (r xexpReader) Read(context.Context) (jsonrpc2.Message, int64, error) {
	data, err := r.ch.Recv()
	if err != nil {
		return nil, 0, err
	}
	msg, err := jsonrpc2.DecodeMessage(data)
	return msg, int64(len(data)), err
}

type xexpWriter struct{ ch channel.Channel }

func (w xexpWriter) Write(_ context.Context, msg jsonrpc2.Message) (int64, error) {
	data, err := jsonrpc2.EncodeMessage(msg)
	if err != nil {
		return 0, err
	}
	return int64(len(data)), w.ch.Send(data)
}
