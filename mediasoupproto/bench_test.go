package mediasoupproto

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// benchText is a frame that connections carry often, from the traces.
type benchText struct {
	name string
	text []byte
}

// benchTexts returns the first message of each of some methods.
func benchTexts(tb testing.TB) (all []benchText) {
	tb.Helper()
	lines := wireLines(tb)
	for _, method := range []string{
		"pauseProducer", "enableConsumer", "createProducer", "newConsumer", "join", "transportStats",
	} {
		for i := range lines {
			l := &lines[i]
			if l.scripted() || !l.is("c2s", "request", method) && !l.is("c2s", "notification", method) &&
				!l.is("s2c", "notification", method) {
				continue
			}
			m, err := payloadOf(l)
			require.NoError(tb, err)
			b, err := Encode(m)
			require.NoError(tb, err)
			all = append(all, benchText{method, b})
			break
		}
	}
	require.Len(tb, all, 6)
	return all
}

func BenchmarkDecode(b *testing.B) {
	for _, tt := range benchTexts(b) {
		benchmarkText(b, tt.name+"/rtcsignal", tt.text, func() error { _, err := Decode(tt.text); return err })
		benchmarkText(b, tt.name+"/encoding-json", tt.text, func() error {
			return json.Unmarshal(tt.text, new(map[string]any))
		})
	}
}

// BenchmarkDecodeTyped has encoding/json read what Decode reads, in two passes: one for both
// methods, one for a struct.
func BenchmarkDecodeTyped(b *testing.B) {
	for _, tt := range benchTexts(b) {
		benchmarkText(b, tt.name+"/rtcsignal", tt.text, func() error { _, err := Decode(tt.text); return err })
		benchmarkText(b, tt.name+"/encoding-json", tt.text, func() error {
			var head struct {
				Request      bool            `json:"request"`
				Notification bool            `json:"notification"`
				ID           json.RawMessage `json:"id"`
				Method       string          `json:"method"`
				Data         struct {
					Method string `json:"method"`
				} `json:"data"`
			}
			if err := json.Unmarshal(tt.text, &head); err != nil {
				return err
			}
			typed := struct {
				Data Message `json:"data"`
			}{registry[head.Data.Method].construct()}
			return json.Unmarshal(tt.text, &typed)
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, tt := range benchTexts(b) {
		m, err := Decode(tt.text)
		require.NoError(b, err)
		benchmarkText(b, tt.name+"/rtcsignal", tt.text, func() error { _, err := Encode(m); return err })
		var queue []byte
		benchmarkText(b, tt.name+"/rtcsignal-append", tt.text, func() error { // as a connection's writer does
			queue, err = appendMessage(Protoo, queue[:0], m)
			return err
		})
		var flat map[string]any
		require.NoError(b, json.Unmarshal(tt.text, &flat))
		benchmarkText(b, tt.name+"/encoding-json", tt.text, func() error { _, err := json.Marshal(flat); return err })
	}
}

// BenchmarkValidate is what a server does with each message of a client, and a client with
// its own.
func BenchmarkValidate(b *testing.B) {
	for _, tt := range benchTexts(b) {
		m, err := Decode(tt.text)
		require.NoError(b, err)
		benchmarkText(b, tt.name, tt.text, m.Validate)
	}
}

// BenchmarkFramings is the same message in each framing.
func BenchmarkFramings(b *testing.B) {
	m, err := Decode(benchTexts(b)[2].text)
	require.NoError(b, err)
	for name, framing := range framings {
		text, err := EncodeFramed(framing, m)
		require.NoError(b, err)
		benchmarkText(b, name, text, func() error {
			_, err := DecodeFramed(framing, transport.Text, text)
			return err
		})
	}
}

// BenchmarkORTC is what a server computes for a producer, and then for each who receives it,
// and a client for its join.
func BenchmarkORTC(b *testing.B) {
	room, err := GenerateRoomRTPCapabilities(DefaultCodecs())
	require.NoError(b, err)
	device, p := capabilitiesOf(b, chromiumDevice), parametersFrom(b, cameraParameters)
	m, e := mapProducer(p, room)
	require.Nil(b, e)
	c := consumable(p, room, m)
	benchmarkText(b, "producer", nil, func() error {
		m, _ := mapProducer(p, room)
		consumable(p, room, m)
		return nil
	})
	benchmarkText(b, "consumer", nil, func() error { consumerParameters(c, room, 1, 2); return nil })
	benchmarkText(b, "client", nil, func() error { ExtendRTPCapabilities(device, room).RTPCapabilities(); return nil })
}

func benchmarkText(b *testing.B, name string, text []byte, use func() error) {
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
