package enginehttp_test

import (
	"bytes"
	"context"
	"net/http/httptest"
	"testing"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio/enginehttp"
)

// BenchmarkRoundTrip sends a message to an echo server on loopback and back. An
// upgraded connection is to cost what a WebSocket does.
func BenchmarkRoundTrip(b *testing.B) {
	for name, transports := range map[string][]string{
		"WebSocket": onlyWebSocket, "Polling": onlyPolling, "Upgraded": upgrading,
	} {
		b.Run(name, func(b *testing.B) { roundTrip(b, transports) })
	}
}

func roundTrip(b *testing.B, transports []string) {
	srv := httptest.NewServer(enginehttp.Handler(func(_ context.Context, c transport.Conn) error {
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
	c, err := enginehttp.Dial(b.Context(), srv.URL, &enginehttp.Options{Transports: transports})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(transport.StatusNormal, "")
	var buf []byte
	msg := bytes.Repeat([]byte("m"), 150)
	trip := func() {
		if err := c.Write(transport.Text, msg); err != nil {
			b.Fatal(err)
		}
		if _, buf, err = c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	for trip(); c.(*enginehttp.Conn).Transport() != transports[len(transports)-1]; {
		trip()
	}
	b.ReportAllocs()
	for b.Loop() {
		trip()
	}
}
