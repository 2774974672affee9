package socketio

import (
	"strings"
	"testing"

	"github.com/rtcsignal/rtcsignal/transport"
)

var benchTexts = []struct{ name, text string }{
	{"connect", `0{"sid":"lRHZ9Dz1uEQkzZxTAAAA"}`},
	{"event", `212["easyrtcCmd",{"msgType":"hangup","targetEasyrtcid":"LkNTMJ87kL9kEmai"}]`},
	{"acknowledgement", `312[{"msgType":"ack"}]`},
	{"offer", `212["easyrtcCmd",{"msgType":"offer","msgData":{"type":"offer","sdp":"` +
		strings.Repeat(`a=rtpmap:96 VP8/90000\r\n`, 240) + `"}}]`},
}

func BenchmarkParse(b *testing.B) {
	for _, tt := range benchTexts {
		text := []byte(tt.text)
		benchmark(b, tt.name, text, func() error { _, err := Parse(text); return err })
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, tt := range benchTexts {
		text := []byte(tt.text)
		p, err := Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		var queue []byte
		benchmark(b, tt.name, text, func() error { queue = Append(queue[:0], p); return nil })
	}
}

func BenchmarkArguments(b *testing.B) {
	for _, tt := range benchTexts[1:] {
		text := []byte(tt.text)
		p, err := Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		benchmark(b, tt.name, text, func() error { _, err := Arguments(p); return err })
	}
}

func BenchmarkAssembler(b *testing.B) {
	text, attachment := []byte(`51-12["easyrtcMsg",{"msgData":{"_placeholder":true,"num":0}}]`), make([]byte, 1000)
	benchmark(b, "attachment", attachment, func() error {
		var a Assembler
		if _, _, _, err := a.Feed(transport.Text, text); err != nil {
			return err
		}
		_, _, _, err := a.Feed(transport.Binary, attachment)
		return err
	})
}

func benchmark(b *testing.B, name string, text []byte, use func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if err := use(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
