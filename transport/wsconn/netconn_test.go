package wsconn_test

import (
	"bytes"
	"net"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

func TestOwnedConnsAreBatchWriters(t *testing.T) {
	t.Parallel()
	a, b := pair(t, nil, nil)
	defer closeBoth(t, a, b)
	require.Implements(t, (*transport.BatchWriter)(nil), a)
	require.Implements(t, (*transport.BatchWriter)(nil), b)
}

func TestReadAndWriteDoNotAllocate(t *testing.T) {
	a, b := pair(t, &wsconn.Options{PingInterval: -1}, &wsconn.Options{PingInterval: -1})
	defer closeBoth(t, a, b)
	for _, size := range []int{150, 5500} {
		msg := bytes.Repeat([]byte("m"), size)
		batch := [][]byte{msg, msg}
		var buf []byte
		var err error
		keep := func(e error) {
			if err == nil {
				err = e
			}
		}
		read := func(c transport.Conn) {
			if err == nil {
				_, buf, err = c.Read(buf)
			}
		}
		allocs := testing.AllocsPerRun(200, func() {
			keep(a.Write(transport.Text, msg))
			read(b)
			keep(b.Write(transport.Binary, msg))
			read(a)
			keep(b.(transport.BatchWriter).WriteBatch(transport.Text, batch))
			read(a)
			read(a)
		})
		require.NoError(t, err)
		if !raceEnabled {
			require.Zero(t, allocs, "messages of %d bytes", size)
		}
	}
}

// countingConn counts the writes to a network connection.
type countingConn struct {
	net.Conn
	writes *int
	mu     *sync.Mutex
}

func (c countingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	*c.writes++
	c.mu.Unlock()
	return c.Conn.Write(p)
}

type countingListener struct {
	net.Listener
	writes int
	mu     sync.Mutex
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c, &l.writes, &l.mu}, nil
}

func (l *countingListener) reset() (writes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	writes, l.writes = l.writes, 0
	return writes
}

func TestBatchAndLargeMessageTakeOneSystemCall(t *testing.T) {
	t.Parallel()
	h, conns, _ := hold(t, nil)
	srv := httptest.NewUnstartedServer(h)
	l := &countingListener{Listener: srv.Listener}
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	a := dial(t, srv.URL, nil)
	b := (<-conns).conn
	defer closeBoth(t, a, b)
	l.reset()

	require.NoError(t, b.Write(transport.Text, make([]byte, 150)))
	require.Equal(t, 1, l.reset())
	require.NoError(t, b.Write(transport.Text, make([]byte, 5500)))
	require.Equal(t, 1, l.reset())
	msgs := make([][]byte, 20)
	for i := range msgs {
		msgs[i] = make([]byte, 150+200*i)
	}
	require.NoError(t, b.(transport.BatchWriter).WriteBatch(transport.Text, msgs))
	require.Equal(t, 1, l.reset())
	for range 22 {
		_, _, err := a.Read(nil)
		require.NoError(t, err)
	}
}
