package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/examples/conformance/suite"
	"github.com/rtcsignal/rtcsignal/examples/internal/explain"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// tested plays a case with a server and returns the report.
func tested(t *testing.T, protocol, which string, handler http.Handler) (failed bool, out string) {
	t.Helper()
	var b strings.Builder
	failed, err := run(t.Context(), []string{
		"-protocol", protocol, "-url", serve(t, handler), "-run", which + "$", "-quiet", "20ms", "-param", "token=T",
	}, &b)
	require.NoError(t, err)
	return failed, b.String()
}

// answering answers each message.
func answering(answer func(conn transport.Conn, msg []byte) error, subprotocols ...string) http.Handler {
	return wsconn.Handler(func(_ context.Context, conn transport.Conn) error {
		for {
			_, msg, err := conn.Read(nil)
			if err != nil {
				return err
			}
			if err := answer(conn, msg); err != nil {
				return err
			}
		}
	}, &wsconn.Options{Subprotocols: subprotocols})
}

const pong = `{"jsonrpc":"2.0","id":1,"result":"pong"}`

func TestAnAnswerInABinaryMessageIsNone(t *testing.T) {
	t.Parallel()
	for typ, want := range map[transport.MessageType]bool{transport.Text: false, transport.Binary: true} {
		failed, out := tested(t, "mse", "a ping is answered", answering(func(c transport.Conn, _ []byte) error {
			return c.Write(typ, []byte(pong))
		}))
		require.Equal(t, want, failed, out)
	}
}

// A server that breaks WebSocket, or floods, does not end a connection as it should: we do.
func TestGarbageIsNoEndOfAConnection(t *testing.T) {
	t.Parallel()
	huge := append([]byte{0x81, 127}, binary.BigEndian.AppendUint64(nil, 1<<30)...)
	for name, answer := range map[string][]byte{
		"reserved bits": {0xf1, 0x00}, "reserved opcode": {0x83, 0x00},
		"a GiB": append(huge, make([]byte, 5<<20)...), "an end": {0x88, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, out := tested(t, "cuttlefish", "a registration without an id is refused", rawAnswer(answer))
			require.Equal(t, name != "an end", failed, out)
			require.Equal(t, failed, strings.Contains(out, "what cannot be"), out)
		})
	}
}

// rawAnswer writes bytes behind the answer to the first message of a WebSocket.
func rawAnswer(answer []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: %s\r\n\r\n", acceptKey(r.Header.Get("Sec-WebSocket-Key")))
		in := bufio.NewReader(brw)
		if _, err := in.Discard(6); err != nil { // of its first frame
			return
		}
		const refusal = `{"error":"x"}`
		frames := append([]byte{0x81, byte(len(refusal))}, refusal...)
		if _, err := conn.Write(append(frames, answer...)); err != nil {
			return
		}
		_, _ = in.WriteTo(io.Discard) // until it has gone
	})
}

// acceptKey is the answer to the key of a handshake.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func TestAnAcknowledgementOfNothingIsNone(t *testing.T) {
	t.Parallel()
	for id, want := range map[uint64]bool{0: false, 7: true} {
		handler := enginehttp.Handler(func(_ context.Context, conn transport.Conn) error {
			for {
				_, msg, err := conn.Read(nil)
				if err != nil {
					return err
				}
				p, err := socketio.Parse(msg)
				if err != nil {
					return err
				}
				answer := `0{"sid":"x"}`
				if p.Type == socketio.Event {
					answer = fmt.Sprintf(`3%d[{"msgType":"error","serverTime":1,"msgData":`+
						`{"errorCode":"LOGIN_BAD_STRUCTURE","errorText":"x"}}]`, id)
				}
				if err := conn.Write(transport.Text, []byte(answer)); err != nil {
					return err
				}
				if p.Type == socketio.Event {
					if err := conn.Write(transport.Text, []byte("1")); err != nil {
						return err
					}
				}
			}
		}, nil)
		failed, out := tested(t, "easyrtc", "a login without data is refused", handler)
		require.Equal(t, want, failed, out)
	}
}

func TestAResponseToNothingIsNone(t *testing.T) {
	t.Parallel()
	const room = `{"rtpCapabilities":{"codecs":[],"headerExtensions":[],"fecMechanisms":[]},` +
		`"mandatoryCodecPayloadTypes":[]}`
	for id, want := range map[int]bool{1: false, 2: true} {
		failed, out := tested(t, "mediasoup", "a room says what it can do",
			answering(func(c transport.Conn, _ []byte) error {
				return c.Write(transport.Text, fmt.Appendf(nil, `{"response":true,"id":%d,"ok":true,"data":%s}`, id, room))
			}, "protoo"))
		require.Equal(t, want, failed, out)
	}
}

// A flood is neither kept nor waited for.
func TestAFloodEndsACase(t *testing.T) {
	t.Parallel()
	big := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	failed, out := tested(t, "mse", "a ping is answered", answering(func(c transport.Conn, _ []byte) error {
		for {
			if err := c.Write(transport.Text, big); err != nil {
				return err
			}
		}
	}))
	require.True(t, failed)
	require.Less(t, len(out), 100_000)
}

func TestTheMistakesOfAClientAreBounded(t *testing.T) {
	t.Parallel()
	w := &watch{out: io.Discard, conns: make(map[string]*suite.Result)}
	for range 10 * maxDiffers {
		w.see([]explain.Arrow{{Conn: "1", From: "client", Kind: explain.Carrier, Name: "ping",
			Problems: []explain.Problem{{Kind: explain.Illegal, Text: "x"}, {Kind: explain.Refused, Text: "y"}}}})
	}
	w.see([]explain.Arrow{{Conn: "2", From: "client", Kind: explain.Carrier, Name: "GET"}})
	require.Len(t, w.results, 1)
	require.Len(t, w.results[0].Differs, maxDiffers)
	w.missed(0)
	require.Len(t, w.results, 1)
	w.missed(3)
	require.Contains(t, w.results[1].Why, "3 entries")
}
