package cuttlefish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/rtcsignal/rtcsignal/cuttlefish"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/wsconn"
	"github.com/stretchr/testify/require"
)

// relayWindow is how many messages of a pair are under way at once.
const relayWindow = 16

// BenchmarkRelay measures one forward from a client to its device. "bare" is a relay
// on coder/websocket that never looks at the bytes, with a reused buffer.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []struct {
		name    string
		payload string
	}{
		{"candidate", `{"type":"ice-candidate","candidate":{"candidate":"candidate:1 1 udp 2113937151 192.0.2.1 54400 typ host generation 0 ufrag abcd","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}`},
		{"offer", string(offerPayload(5500))},
	} {
		b.Run("pipe/"+size.name, func(b *testing.B) {
			srv := unlimitedServer()
			defer srv.Close()
			device, client := pipeTo(srv.ServeDevice), pipeTo(srv.ServeClient)
			relay(b, size.payload, device, client)
		})
		for _, pairs := range []int{1, 16} {
			b.Run(fmt.Sprintf("websocket/%s/%d", size.name, pairs), func(b *testing.B) {
				srv := unlimitedServer()
				defer srv.Close()
				mux := http.NewServeMux()
				mux.Handle("/register_device", wsconn.Handler(srv.ServeDevice, nil))
				mux.Handle("/connect_client", wsconn.Handler(srv.ServeClient, nil))
				relayOver(b, mux, size.payload, pairs)
			})
			b.Run(fmt.Sprintf("bare/%s/%d", size.name, pairs), func(b *testing.B) {
				relayOver(b, new(bareRelay), size.payload, pairs)
			})
		}
	}
}

func unlimitedServer() *cuttlefish.Server {
	return cuttlefish.NewServer(&cuttlefish.ServerOptions{Limits: cuttlefish.Limits{Messages: -1, Bytes: -1}})
}

func offerPayload(n int) json.RawMessage {
	line := "a=candidate:1 1 udp 2113937151 192.0.2.1 54400 typ host\r\n"
	b, err := cuttlefish.EncodePayload(&cuttlefish.Offer{SDP: strings.Repeat(line, n/len(line))})
	if err != nil {
		panic(err)
	}
	return b
}

func pipeTo(serve func(context.Context, transport.Conn) error) transport.Conn {
	a, b := transport.Pipe()
	go func() { _ = serve(context.Background(), b) }()
	return a
}

// rawConn is a load generator's end: a coder/websocket connection read with a reused
// buffer, so that it costs the same in front of both relays.
type rawConn struct{ *websocket.Conn }

func (c rawConn) Read(buf []byte) (transport.MessageType, []byte, error) {
	_, r, err := c.Reader(context.Background())
	if err != nil {
		return 0, nil, err
	}
	for buf = buf[:0]; ; {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return transport.Text, buf, nil
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

func (c rawConn) Write(_ transport.MessageType, msg []byte) error {
	return c.Conn.Write(context.Background(), websocket.MessageText, msg)
}

func (c rawConn) Close(transport.StatusCode, string) error { return c.CloseNow() }

func relayOver(b *testing.B, h http.Handler, payload string, pairs int) {
	web := httptest.NewServer(h)
	defer web.Close()
	dial := func(path string) transport.Conn {
		c, _, err := websocket.Dial(b.Context(), web.URL+path, nil)
		require.NoError(b, err)
		c.SetReadLimit(1 << 20)
		b.Cleanup(func() { c.CloseNow() })
		return rawConn{c}
	}
	conns := make([]transport.Conn, 0, 2*pairs)
	for range pairs {
		conns = append(conns, dial("/register_device"), dial("/connect_client"))
	}
	relay(b, payload, conns...)
}

// relay sends b.N forwards over pairs of a device and a client.
func relay(b *testing.B, payload string, conns ...transport.Conn) {
	type pair struct {
		client transport.Conn
		window chan struct{}
	}
	var pairs []pair
	for i := 0; i < len(conns); i += 2 {
		device, client := conns[i], conns[i+1]
		say := func(c transport.Conn, format string) {
			require.NoError(b, c.Write(transport.Text, fmt.Appendf(nil, format, i)))
		}
		hear := func(c transport.Conn) {
			_, _, err := c.Read(nil)
			require.NoError(b, err)
		}
		say(device, `{"message_type":"register","device_id":"cvd-%d"}`)
		hear(device) // config; the bare relay sends one as well
		say(client, `{"message_type":"connect","device_id":"cvd-%d"}`)
		hear(client) // config
		hear(client) // device_info
		p := pair{client, make(chan struct{}, relayWindow)}
		for range relayWindow {
			p.window <- struct{}{}
		}
		go func() {
			var buf []byte
			var err error
			for {
				if _, buf, err = device.Read(buf); err != nil {
					return
				}
				p.window <- struct{}{}
			}
		}()
		b.Cleanup(func() {
			_ = device.Close(transport.StatusNormal, "")
			_ = client.Close(transport.StatusNormal, "")
		})
		pairs = append(pairs, p)
	}
	frame := []byte(`{"message_type":"forward","payload":` + payload + `}`)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		p := pairs[n%len(pairs)]
		<-p.window
		if err := p.client.Write(transport.Text, frame); err != nil {
			b.Fatal(err)
		}
	}
	for _, p := range pairs {
		for range relayWindow {
			<-p.window
		}
	}
}

// A bareRelay moves what a client sends to the device that came before it.
type bareRelay struct{ device *websocket.Conn }

func (h *bareRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := context.Background()
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	hello := func() { _ = c.Write(ctx, websocket.MessageText, []byte(`{}`)) }
	conn := rawConn{c}
	_, buf, err := conn.Read(nil)
	if err != nil {
		return
	}
	hello()
	if r.URL.Path == "/register_device" {
		h.device = c
		_, _, _ = conn.Read(nil)
		return
	}
	device := h.device
	hello()
	for {
		if _, buf, err = conn.Read(buf); err != nil {
			return
		}
		if err := device.Write(ctx, websocket.MessageText, buf); err != nil {
			return
		}
	}
}
