package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/creachadair/jrpc2"
	"github.com/creachadair/jrpc2/channel"
	"github.com/creachadair/jrpc2/handler"
	"github.com/stretchr/testify/require"
	"golang.org/x/exp/jsonrpc2"

	"github.com/rtcsignal/rtcsignal/msejsonrpc"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// An mseCaller sends a ping, waits for its answer and fails unless that is "pong".
type mseCaller func(ctx context.Context) error

// mseLibrary makes a client and a server of one library, joined in memory or over
// WebSocket on loopback, until the end of the test.
type mseLibrary struct {
	name      string
	memory    func(tb testing.TB) mseCaller
	webSocket func(tb testing.TB) mseCaller
}

var mseLibraries = []mseLibrary{
	{"rtcsignal", mseOverPipe, mseOverWebSocket},
	{"jrpc2", jrpc2InMemory, jrpc2OverWebSocket},
	{"xexp", xexpInMemory, xexpOverWebSocket},
}

// mseCarriers are the ways to join them.
var mseCarriers = []struct {
	name string
	join func(l mseLibrary, tb testing.TB) mseCaller
}{
	{"memory", func(l mseLibrary, tb testing.TB) mseCaller { return l.memory(tb) }},
	{"websocket", func(l mseLibrary, tb testing.TB) mseCaller { return l.webSocket(tb) }},
}

// pong checks an answer.
func pong(result string) error {
	if result != "pong" {
		return fmt.Errorf("ping answered with %q", result)
	}
	return nil
}

// dialed returns a client's connection to a server that serves each of its own with
// serve.
func dialed(tb testing.TB, serve func(context.Context, transport.Conn) error) transport.Conn {
	web := httptest.NewServer(wsconn.Handler(serve, nil))
	tb.Cleanup(web.Close)
	conn, err := wsconn.Dial(context.Background(), web.URL, nil)
	require.NoError(tb, err)
	return conn
}

// rtcsignal.

func mseOverPipe(tb testing.TB) mseCaller {
	srv := mseServer(tb)
	near, far := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), far) }()
	tb.Cleanup(func() { require.NoError(tb, <-served) })
	return mseClient(tb, near)
}

func mseOverWebSocket(tb testing.TB) mseCaller { return mseClient(tb, dialed(tb, mseServer(tb).Serve)) }

func mseServer(tb testing.TB) *msejsonrpc.Server {
	srv := msejsonrpc.NewServer(&msejsonrpc.ServerOptions{
		AllowAll: true,
		Limits:   msejsonrpc.Limits{Messages: -1, Bytes: -1},
	})
	tb.Cleanup(func() { require.NoError(tb, srv.Close()) })
	return srv
}

// mseClient returns a caller of a session that has started. Ping checks the answer.
func mseClient(tb testing.TB, conn transport.Conn) mseCaller {
	client, err := msejsonrpc.Connect(context.Background(), conn, &msejsonrpc.ClientOptions{Token: "token"})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	return client.Ping
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

func jrpc2InMemory(tb testing.TB) mseCaller {
	near, far := channel.Direct()
	srv := jrpc2Server(far)
	tb.Cleanup(func() { require.NoError(tb, srv.Wait()) })
	return jrpc2Client(tb, near)
}

func jrpc2OverWebSocket(tb testing.TB) mseCaller {
	conn := dialed(tb, func(_ context.Context, conn transport.Conn) error {
		return jrpc2Server(&connChannel{conn: conn}).Wait()
	})
	return jrpc2Client(tb, &connChannel{conn: conn})
}

func jrpc2Server(ch channel.Channel) *jrpc2.Server {
	return jrpc2.NewServer(jrpc2Methods, &jrpc2.ServerOptions{DisableBuiltin: true, Concurrency: 1}).Start(ch)
}

func jrpc2Client(tb testing.TB, ch channel.Channel) mseCaller {
	client := jrpc2.NewClient(ch, nil)
	tb.Cleanup(func() { require.NoError(tb, client.Close()) })
	return func(ctx context.Context) error {
		var result string
		if err := client.CallResult(ctx, "ping", nil, &result); err != nil {
			return err
		}
		return pong(result)
	}
}

// golang.org/x/exp/jsonrpc2.

func xexpInMemory(tb testing.TB) mseCaller {
	near, far := channel.Direct()
	served := make(chan error, 1)
	go func() { served <- xexpServe(far) }()
	tb.Cleanup(func() { require.NoError(tb, <-served) })
	return xexpClient(tb, near)
}

func xexpOverWebSocket(tb testing.TB) mseCaller {
	conn := dialed(tb, func(_ context.Context, conn transport.Conn) error { return xexpServe(&connChannel{conn: conn}) })
	return xexpClient(tb, &connChannel{conn: conn})
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

func xexpClient(tb testing.TB, ch channel.Channel) mseCaller {
	conn, err := xexpConnection(ch)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, conn.Close()) })
	return func(ctx context.Context) error {
		var result string
		if err := conn.Call(ctx, "ping", nil).Await(ctx, &result); err != nil {
			return err
		}
		return pong(result)
	}
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
