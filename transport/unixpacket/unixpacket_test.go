package unixpacket_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/conntest"
	"github.com/rtcsignal/rtcsignal/transport/unixpacket"
)

// socketPath returns the path of a socket file that does not exist yet. It is
// short, since the system limits such paths to about a hundred bytes.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "up")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return filepath.Join(dir, "s")
}

// requireSEQPACKET skips the test where the system has no such sockets.
func requireSEQPACKET(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unixpacket", socketPath(t))
	if err != nil {
		t.Skipf("this system has no unix SEQPACKET sockets: %v", err)
	}
	require.NoError(t, l.Close())
}

func listen(t *testing.T, opts *unixpacket.Options) *unixpacket.Listener {
	t.Helper()
	requireSEQPACKET(t)
	l, err := unixpacket.Listen(socketPath(t), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func dial(t *testing.T, l *unixpacket.Listener, opts *unixpacket.Options) transport.Conn {
	t.Helper()
	c, err := unixpacket.Dial(t.Context(), l.Addr().String(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(transport.StatusNormal, "")) })
	return c
}

// pair returns the two ends of a connection.
func pair(t *testing.T, opts *unixpacket.Options) (a, b transport.Conn) {
	t.Helper()
	l := listen(t, opts)
	a = dial(t, l, opts)
	b, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close(transport.StatusNormal, "")) })
	return a, b
}

func TestConnConforms(t *testing.T) {
	t.Parallel()
	requireSEQPACKET(t)
	opts := &unixpacket.Options{WriteTimeout: 200 * time.Millisecond}
	conntest.Run(t, func(t *testing.T) (a, b transport.Conn) { return pair(t, opts) }, &conntest.Options{
		NoCloseCodes:    true,
		NoMessageTypes:  true,
		NoEmptyMessages: true,
		WriteTimeout:    opts.WriteTimeout,
	})
}

func TestConnEndsOnDatagramOverLimit(t *testing.T) {
	t.Parallel()
	a, b := pair(t, &unixpacket.Options{ReadLimit: 1000})
	require.NoError(t, a.Write(transport.Text, make([]byte, 1000)))
	require.NoError(t, a.Write(transport.Text, make([]byte, 1001)))
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Len(t, msg, 1000)
	for range 2 {
		_, _, err = b.Read(nil)
		require.ErrorIs(t, err, transport.ErrMessageTooBig)
		require.ErrorIs(t, b.Write(transport.Text, []byte("x")), transport.ErrMessageTooBig)
	}
	_, _, err = a.Read(nil)
	require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
}

func TestWriteReportsAMessageThatTheCarrierDoesNotTake(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, nil)
	require.ErrorIs(t, a.Write(transport.Text, make([]byte, 64<<20)), transport.ErrMessageTooBig)
}

func TestEmptyMessageIsNotSent(t *testing.T) {
	t.Parallel()
	a, b := pair(t, nil)
	require.ErrorContains(t, a.Write(transport.Text, nil), "empty message")
	require.NoError(t, a.Write(transport.Text, []byte("still open")))
	_, msg, err := b.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "still open", string(msg))
}

func TestEmptyDatagramIsTheEnd(t *testing.T) {
	t.Parallel()
	l := listen(t, nil)
	raw, err := net.Dial("unixpacket", l.Addr().String())
	require.NoError(t, err)
	defer raw.Close()
	c, err := l.Accept()
	require.NoError(t, err)
	_, err = raw.Write(nil)
	require.NoError(t, err)
	_, _, err = c.Read(nil)
	require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
}

func TestReadDoesNotAllocateIntoABufferWithRoom(t *testing.T) {
	a, b := pair(t, nil)
	msg, buf := bytes.Repeat([]byte("m"), 5500), []byte(nil)
	var err error
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err == nil {
			err = a.Write(transport.Text, msg)
		}
		if err == nil {
			_, buf, err = b.Read(buf)
		}
	}))
	require.NoError(t, err)
	require.Less(t, cap(buf), 10_000, "the caller's buffer holds the message, not the limit")
}

func TestListenReplacesAStaleSocketFile(t *testing.T) {
	t.Parallel()
	requireSEQPACKET(t)
	path := socketPath(t)
	crashed, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	require.NoError(t, err)
	crashed.SetUnlinkOnClose(false)
	require.NoError(t, crashed.Close())
	require.FileExists(t, path)

	l, err := unixpacket.Listen(path, nil)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoFileExists(t, path)
}

func TestListenRefusesWhatIsNotStale(t *testing.T) {
	t.Parallel()
	l := listen(t, nil)
	_, err := unixpacket.Listen(l.Addr().String(), nil)
	require.ErrorContains(t, err, "address already in use")

	file := socketPath(t)
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o600))
	_, err = unixpacket.Listen(file, nil)
	require.ErrorContains(t, err, "not a socket")
	require.FileExists(t, file)

	stream := socketPath(t)
	other, err := net.Listen("unix", stream)
	require.NoError(t, err)
	defer other.Close()
	_, err = unixpacket.Listen(stream, nil)
	require.Error(t, err, "a live socket of another kind")
	require.FileExists(t, stream)
}

func TestDialReportsThatNobodyListens(t *testing.T) {
	t.Parallel()
	_, err := unixpacket.Dial(t.Context(), socketPath(t), nil)
	require.ErrorContains(t, err, "unixpacket: ")
}

func TestServeServesUntilTheListenerCloses(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(lockedWriter{&mu, &out}, nil))
	l := listen(t, &unixpacket.Options{Logger: logger})
	contexts := make(chan context.Context, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- unixpacket.Serve(l, func(ctx context.Context, c transport.Conn) error {
			for {
				_, msg, err := c.Read(nil)
				if err != nil {
					return err
				}
				switch string(msg) {
				case "panic":
					panic("asked to")
				case "context":
					contexts <- ctx
				}
				if err := c.Write(transport.Text, msg); err != nil {
					return err
				}
			}
		})
	}()
	echo := func(c transport.Conn, msg string) {
		t.Helper()
		require.NoError(t, c.Write(transport.Text, []byte(msg)))
		_, got, err := c.Read(nil)
		require.NoError(t, err)
		require.Equal(t, msg, string(got))
	}

	a, b := dial(t, l, nil), dial(t, l, nil)
	require.NoError(t, b.Write(transport.Text, []byte("panic")))
	_, _, err := b.Read(nil)
	require.Equal(t, &transport.CloseError{Code: transport.StatusAbnormal}, err)
	mu.Lock()
	require.Contains(t, out.String(), "asked to")
	mu.Unlock()
	echo(a, "context")

	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	require.NoError(t, <-ended)
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)

	echo(a, "still served")
	ctx := <-contexts
	require.NoError(t, ctx.Err())
	require.NoError(t, a.Close(transport.StatusNormal, ""))
	<-ctx.Done()
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}
