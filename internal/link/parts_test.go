package link

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// withParts writes a message as its text up to the first "+", and what follows each "+" as
// a binary message.
func withParts(counters *Counters) Options[string] {
	opts := plain()
	opts.Append = func(dst []byte, m string) ([]byte, error) {
		text, _, _ := strings.Cut(m, "+")
		return append(dst, text...), nil
	}
	opts.Parts = func(m string) (parts [][]byte) {
		for _, part := range strings.Split(m, "+")[1:] {
			parts = append(parts, []byte(part))
		}
		return parts
	}
	opts.Counters = counters
	return opts
}

// readFrames reads until the connection ends; a binary message is in brackets.
func readFrames(c transport.Conn) (read []string) {
	for {
		typ, msg, err := c.Read(nil)
		switch {
		case err != nil:
			return read
		case typ == transport.Binary:
			read = append(read, "["+string(msg)+"]")
		default:
			read = append(read, string(msg))
		}
	}
}

func TestPartsGoOutRightBehindTheirMessage(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(transport.Conn) transport.Conn{
		"one by one": func(c transport.Conn) transport.Conn { return c },
		"in a batch": func(c transport.Conn) transport.Conn { return &batching{Conn: c} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := transport.Pipe()
				var counters Counters
				l := New(wrap(near), withParts(&counters))
				done := make(chan error, 1)
				go func() { done <- l.Run(func(transport.MessageType, []byte) {}) }()
				for _, m := range []string{"a", "b+1+2", "c", "d", "e+3"} {
					require.NoError(t, l.Send(m))
				}
				l.Close(transport.StatusNormal, "", nil)
				require.Equal(t, []string{"a", "b", "[1]", "[2]", "c", "d", "e", "[3]"}, readFrames(far))
				require.ErrorIs(t, <-done, transport.ErrClosed)
				require.EqualValues(t, 8, counters.MessagesWritten.Load())
				require.EqualValues(t, 8, counters.BytesWritten.Load())
			})
		})
	}
}

// batching is a Conn with batches.
type batching struct{ transport.Conn }

func (b *batching) WriteBatch(typ transport.MessageType, msgs [][]byte) error {
	for _, m := range msgs {
		if err := b.Write(typ, m); err != nil {
			return err
		}
	}
	return nil
}

func TestAMessageMayComeInSeveralOfTheCarrier(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun string
		h := newHost(func(o *EndpointOptions[string]) {
			o.Decode = func(_ transport.MessageType, data []byte) (string, error) {
				if text, more := strings.CutSuffix(string(data), "…"); more {
					begun += text
					return "", ErrMore
				}
				text := begun + string(data)
				begun = ""
				return text, nil
			}
		})
		h.open(t)
		h.say(t, "one …", "and …", "the same", "another")
		for _, want := range []string{"one and the same", "another"} {
			require.Equal(t, want, h.next(t))
		}
		h.Close()
	})
}
