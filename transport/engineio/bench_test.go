package engineio_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

func BenchmarkPacket(b *testing.B) {
	frame := append([]byte("4"), bytes.Repeat([]byte("m"), 5500)...)
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(frame)))
		for b.Loop() {
			if _, err := engineio.ParsePacket(engineio.V4, transport.Text, frame); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Append", func(b *testing.B) {
		p := engineio.Packet{Type: engineio.Message, Data: frame[1:]}
		var buf []byte
		b.ReportAllocs()
		b.SetBytes(int64(len(frame)))
		for b.Loop() {
			_, buf = engineio.AppendPacket(buf[:0], engineio.V4, p)
		}
	})
}

func BenchmarkPayload(b *testing.B) {
	text := engineio.Packet{Type: engineio.Message, Data: bytes.Repeat([]byte("mé"), 500)}
	binary := engineio.Packet{Type: engineio.Message, Binary: true, Data: text.Data}
	packets := []engineio.Packet{text, binary, text, text, text}
	for _, v := range []engineio.Version{engineio.V3, engineio.V4} {
		payload := engineio.AppendPayload(nil, v, packets...)
		b.Run(fmt.Sprintf("ParseV%v", v), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				if _, err := engineio.ParsePayload(v, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("AppendV%v", v), func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				buf = engineio.AppendPayload(buf[:0], v, packets...)
			}
		})
	}
}

// BenchmarkMessage sends a message through both ends of a connection in memory,
// beside the same without Engine.IO.
func BenchmarkMessage(b *testing.B) {
	for _, size := range []int{150, 5500} {
		msg := bytes.Repeat([]byte("m"), size)
		b.Run(fmt.Sprintf("engineio/%d", size), func(b *testing.B) {
			x, y := transport.Pipe()
			made := make(chan *engineio.Conn)
			go func() {
				server, err := engineio.Server(x, nil)
				if err != nil || server.Write(transport.Text, nil) != nil {
					server = nil
				}
				made <- server
			}()
			client := engineio.Client(y, nil)
			_, _, err := client.Read(nil)
			server := <-made
			if err != nil || server == nil {
				b.Fatal(err)
			}
			stream(b, server, client, msg)
		})
		b.Run(fmt.Sprintf("pipe/%d", size), func(b *testing.B) {
			x, y := transport.Pipe()
			stream(b, x, y, msg)
		})
	}
}

// stream writes msg to from and reads it from to.
func stream(b *testing.B, from, to transport.Conn, msg []byte) {
	defer to.Close(transport.StatusNormal, "")
	ended := make(chan error, 1)
	next := make(chan struct{})
	go func() {
		for range next {
			if err := from.Write(transport.Text, msg); err != nil {
				ended <- err
				return
			}
		}
		ended <- from.Close(transport.StatusNormal, "")
	}()
	var buf []byte
	var err error
	b.ReportAllocs()
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		next <- struct{}{}
		if _, buf, err = to.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	close(next)
	if err := <-ended; err != nil && !errors.Is(err, transport.ErrClosed) {
		b.Fatal(err)
	}
}
