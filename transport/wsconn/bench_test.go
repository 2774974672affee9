package wsconn_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
)

// BenchmarkRoundTrip sends a message to an echo server on loopback and back,
// beside the same with coder/websocket alone: Reader into a reused buffer, no
// deadline, no ping.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{150, 5500} {
		msg := bytes.Repeat([]byte("m"), size)
		b.Run(fmt.Sprintf("wsconn/%d", size), func(b *testing.B) { roundTripWsconn(b, msg) })
		b.Run(fmt.Sprintf("bare/%d", size), func(b *testing.B) { roundTripBare(b, msg) })
	}
}

func roundTripWsconn(b *testing.B, msg []byte) {
	srv := httptest.NewServer(wsconn.Handler(func(_ context.Context, c transport.Conn) error {
		var buf []byte
		for {
			typ, m, err := c.Read(buf)
			if err != nil {
				return err
			}
			if err := c.Write(typ, m); err != nil {
				return err
			}
			buf = m
		}
	}, nil))
	defer srv.Close()
	c, err := wsconn.Dial(b.Context(), srv.URL, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(transport.StatusNormal, "")
	var buf []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		if err := c.Write(transport.Text, msg); err != nil {
			b.Fatal(err)
		}
		if _, buf, err = c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func roundTripBare(b *testing.B, msg []byte) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		var buf []byte
		for {
			typ, m, err := readBare(ws, buf)
			if err != nil {
				return
			}
			if err := ws.Write(context.Background(), typ, m); err != nil {
				return
			}
			buf = m
		}
	}))
	defer srv.Close()
	ws, _, err := websocket.Dial(b.Context(), strings.Replace(srv.URL, "http", "ws", 1), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer ws.Close(websocket.StatusNormalClosure, "")
	var buf []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		if err := ws.Write(context.Background(), websocket.MessageText, msg); err != nil {
			b.Fatal(err)
		}
		if _, buf, err = readBare(ws, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func readBare(ws *websocket.Conn, buf []byte) (websocket.MessageType, []byte, error) {
	typ, r, err := ws.Reader(context.Background())
	if err != nil {
		return 0, nil, err
	}
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return typ, buf, nil
		}
		if err != nil {
			return 0, nil, err
		}
	}
}
