package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/link"
	"github.com/rtcsignal/rtcsignal/transport"
)

// A flood is a client's connection to a server that, once it has said something with a mark in
// it, says that or something else again and again, as fast as it is read, and reads nothing any
// more.
type flood struct {
	transport.Conn
	mark []byte
	text []byte // what is said again; nil for what has the mark. The reader's
	kind transport.MessageType
	full chan struct{} // closed when it begins
	end  chan struct{} // closed with the connection
	once sync.Once
}

func newFlood(c transport.Conn, mark, text string) *flood {
	f := &flood{Conn: c, mark: []byte(mark), full: make(chan struct{}), end: make(chan struct{})}
	if text != "" {
		f.text, f.kind = []byte(text), transport.Text
	}
	return f
}

func (f *flood) Read(buf []byte) (transport.MessageType, []byte, error) {
	select {
	case <-f.end:
		return 0, nil, transport.ErrClosed
	case <-f.full:
		return f.kind, append(buf[:0], f.text...), nil
	default:
	}
	typ, msg, err := f.Conn.Read(buf)
	if err == nil && bytes.Contains(msg, f.mark) {
		if f.text == nil {
			f.kind, f.text = typ, bytes.Clone(msg)
		}
		close(f.full)
	}
	return typ, msg, err
}

// Write fails, as carriers do when nobody reads.
func (f *flood) Write(typ transport.MessageType, msg []byte) error {
	select {
	case <-f.full:
	default:
		return f.Conn.Write(typ, msg)
	}
	select {
	case <-f.end:
		return transport.ErrClosed
	case <-time.After(50 * time.Millisecond):
		return transport.ErrWriteTimeout
	}
}

func (f *flood) Close(code transport.StatusCode, reason string) error {
	f.once.Do(func() { close(f.end) })
	return f.Conn.Close(code, reason)
}

func (f *flood) Unwrap() transport.Conn { return f.Conn }

// victim makes a client that is flooded as soon as it has been answered: with a text, or with
// the answer, of about that size.
func (w *world) victim(ctx context.Context, name, text string, size int) (*voice, error) {
	conn, err := w.p.dial(ctx, w.place, name, false)
	if err != nil {
		return nil, err
	}
	said := name + strings.Repeat("x", size)
	v, err := w.p.join(ctx, newFlood(conn, answerMark+said, text), name, false, comeback{})
	if err != nil {
		return nil, err
	}
	if err := v.say(said); err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

// tooSlow reports whether a flood has ended a client: by what it is to hear, or by what it is to
// answer. Where both are many, it depends on the scheduler which are the first too many.
func tooSlow(err error) bool {
	return errors.Is(err, link.ErrSlowConsumer) || errors.Is(err, link.ErrSlowPeer)
}

// floodBytes is what the clients of all protocols keep at most for an application that does
// not read, by their defaults: 64 MiB, and some for the last message and how it is kept.
const floodBytes = 80 << 20

// TestAServerThatFloodsIsLeft does not run beside others, because it looks at the heap and the
// goroutines. A client beside, at a server that behaves, gets its answers all the time.
func TestAServerThatFloodsIsLeft(t *testing.T) {
	for i := range protocols {
		p := &protocols[i]
		t.Run(p.name, func(t *testing.T) {
			goroutines := runtime.NumGoroutine()
			bad := newRealWorld(t, p, settings{limits: link.Unlimited})
			good := newRealWorld(t, p, settings{limits: link.Unlimited})
			hosts := []*party{bad.host(), good.host()}
			for _, host := range hosts {
				host.hush()
			}
			beside := good.enter(visit{name: "beside"})
			require.NoError(t, beside.roundTrip(t.Context(), "before"))
			before := inUse()

			over := make(chan struct{})
			go func() {
				defer close(over)
				for i := range 2 {
					v, err := bad.victim(t.Context(), fmt.Sprint("victim", i), "", 8<<10)
					if err != nil {
						t.Error(err)
						return
					}
					<-v.done
					if !tooSlow(v.err()) {
						t.Errorf("a client that does not read has ended with %v", v.err())
					}
					if held := inUse(); held > before+floodBytes {
						t.Errorf("%d MiB are kept", (held-before)>>20)
					}
					_ = v.close()
				}
			}()
			trips := 0
			for done := false; !done; trips++ {
				select {
				case <-over:
					done = true
				default:
				}
				require.NoError(t, beside.roundTrip(t.Context(), fmt.Sprint("during ", trips)))
			}
			beside.end()
			for i, w := range []*world{bad, good} {
				w.requireAlone()
				require.NoError(t, hosts[i].err())
				hosts[i].end()
				w.stop()
				w.requireEmpty()
			}
			eventually(t, "memory as before", func() bool { return inUse() < before+soakMargin })
			eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines })
			t.Logf("%d answers beside the floods", trips)
		})
	}
}

// questions are what a client answers, by protocol. A client of Cuttlefish answers nothing.
var questions = map[string]string{
	"easyrtc":        `27["easyrtcMsg",{"msgType":"say","senderEasyrtcid":"bob","msgData":1}]`,
	"galene":         `{"type":"ping"}`,
	"mediasoupproto": `{"request":true,"id":7,"method":"what","data":{}}`,
	"msejsonrpc":     `{"jsonrpc":"2.0","id":7,"method":"what"}`,
}

func TestAServerThatOnlyAsksIsLeft(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *protocol) {
		question, ok := questions[p.name]
		if !ok {
			return
		}
		w := newRealWorld(t, p, settings{})
		host := w.host()
		v, err := w.victim(t.Context(), "victim", question, 1)
		require.NoError(t, err)
		reader := newParty(v, "victim", false)
		reader.hush()
		<-v.done
		require.True(t, tooSlow(v.err()), "%v", v.err())
		reader.end()
		w.requireAlone()
		host.end()
		w.stop()
		w.requireEmpty()
	})
}
