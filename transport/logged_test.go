package transport_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/conntest"
)

// textLogger logs into the buffer, without times.
func textLogger(level slog.Level) (*slog.Logger, *bytes.Buffer) {
	var buf bytes.Buffer
	return slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})), &buf
}

// A scripted Conn reads what it is told and keeps what is written.
type scripted struct {
	reads   [][]byte
	written [][]byte
	closed  transport.StatusCode
}

func (c *scripted) Read(buf []byte) (transport.MessageType, []byte, error) {
	if len(c.reads) == 0 {
		return 0, nil, &transport.CloseError{Code: transport.StatusGoingAway, Reason: "bye"}
	}
	msg := append(buf[:0], c.reads[0]...)
	c.reads = c.reads[1:]
	return transport.Text, msg, nil
}

func (c *scripted) Write(_ transport.MessageType, msg []byte) error {
	if len(msg) == 0 {
		return errors.New("refused")
	}
	c.written = append(c.written, bytes.Clone(msg))
	return nil
}

func (c *scripted) Close(code transport.StatusCode, _ string) error {
	c.closed = code
	return nil
}

type scriptedBatch struct{ scripted }

func (c *scriptedBatch) WriteBatch(typ transport.MessageType, msgs [][]byte) error {
	for _, msg := range msgs {
		if err := c.Write(typ, msg); err != nil {
			return err
		}
	}
	return nil
}

func TestLoggedConnConforms(t *testing.T) {
	t.Parallel()
	l := slog.New(slog.DiscardHandler)
	conntest.Run(t, func(*testing.T) (a, b transport.Conn) {
		a, b = transport.Pipe()
		return transport.Logged(a, l, nil), transport.Logged(b, l, nil)
	}, &conntest.Options{NoUnreadMessages: true})
}

func TestLoggedTellsMessagesAndCloses(t *testing.T) {
	t.Parallel()
	l, out := textLogger(slog.LevelDebug)
	c := &scriptedBatch{scripted{reads: [][]byte{[]byte("secret")}}}
	logged := transport.Logged(c, l, func(msg []byte) []byte { return bytes.ReplaceAll(msg, []byte("secret"), []byte("***")) })

	_, msg, err := logged.Read(nil)
	require.NoError(t, err)
	require.Equal(t, "secret", string(msg))
	require.NoError(t, logged.Write(transport.Binary, []byte("a secret")))
	require.NoError(t, logged.(transport.BatchWriter).WriteBatch(transport.Text, [][]byte{[]byte("x"), []byte("yz")}))
	require.EqualError(t, logged.Write(transport.Text, nil), "refused")
	for range 2 {
		_, _, err = logged.Read(nil)
		require.ErrorContains(t, err, "bye")
	}
	require.NoError(t, logged.Close(4000, "done"))

	require.Equal(t, `level=DEBUG msg="transport: message" direction=in type=text length=6 body=***
level=DEBUG msg="transport: message" direction=out type=binary length=8 body="a ***"
level=DEBUG msg="transport: message" direction=out type=text length=1 body=x
level=DEBUG msg="transport: message" direction=out type=text length=2 body=yz
level=DEBUG msg="transport: writing failed" messages=1 error=refused
level=DEBUG msg="transport: reading ended" error="transport: peer closed the connection with 1001: bye"
level=DEBUG msg="transport: closing" code=4000 reason=done
`, out.String())
	require.Equal(t, [][]byte{[]byte("a secret"), []byte("x"), []byte("yz")}, c.written)
	require.Equal(t, transport.StatusCode(4000), c.closed)
}

func TestLoggedWithoutRedactLeavesTheBodyOut(t *testing.T) {
	t.Parallel()
	l, out := textLogger(slog.LevelDebug)
	require.NoError(t, transport.Logged(&scripted{}, l, nil).Write(transport.Text, []byte("secret")))
	require.Equal(t, "level=DEBUG msg=\"transport: message\" direction=out type=text length=6\n", out.String())
}

func TestLoggedIsABatchWriterWhenTheConnIs(t *testing.T) {
	t.Parallel()
	l, _ := textLogger(slog.LevelDebug)
	_, ok := transport.Logged(&scripted{}, l, nil).(transport.BatchWriter)
	require.False(t, ok)
	_, ok = transport.Logged(&scriptedBatch{}, l, nil).(transport.BatchWriter)
	require.True(t, ok)
	c := &scripted{}
	require.Same(t, c, transport.Logged(c, nil, nil))
}

func TestLoggedCostsNothingWithoutDebug(t *testing.T) {
	l, out := textLogger(slog.LevelInfo)
	c := transport.Logged(discard{}, l, func([]byte) []byte { panic("not to be called") })
	msg := []byte("message")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, _, _ = c.Read(msg)
		_ = c.Write(transport.Text, msg)
	}))
	require.NoError(t, c.Close(transport.StatusNormal, ""))
	require.Empty(t, out.String())
}

// discard is a Conn without a peer.
type discard struct{}

func (discard) Read(buf []byte) (transport.MessageType, []byte, error) {
	return transport.Text, buf, nil
}
func (discard) Write(transport.MessageType, []byte) error { return nil }
func (discard) Close(transport.StatusCode, string) error  { return nil }
