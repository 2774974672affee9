package msejsonrpc

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchTexts are what connections mostly carry: heartbeats and their answers, one auth,
// then candidates and descriptions.
var benchTexts = []struct{ name, text string }{
	{"ping", `{"id":7,"method":"ping","jsonrpc":"2.0"}`},
	{"auth", `{"id":1,"method":"auth","jsonrpc":"2.0","params":{"token":"` +
		strings.Repeat("eyJhbGciOiJFUzI1NiIs", 35) + `","version":"1.0"}}`},
	{"pong", `{"id":7,"jsonrpc":"2.0","result":"pong"}`},
	{"iceCandidate", `{"id":null,"method":"iceCandidate","jsonrpc":"2.0","params":{"candidate":` +
		`"candidate:2878742611 1 udp 2130706431 192.0.2.2 53634 typ host generation 0 ufrag kkdDKGzywyAFaUsN"}}`},
	{"sdpOffer", `{"id":null,"method":"sdpOffer","jsonrpc":"2.0","params":{"offer":"` +
		strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 66) + `"}}`},
}

// flatMessage is one struct for all messages, read and written by encoding/json.
type flatMessage struct {
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method,omitempty"`
	JSONRPC string          `json:"jsonrpc"`
	Params  *flatParams     `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *flatError      `json:"error,omitempty"`
}

type flatParams struct {
	Token     string          `json:"token,omitempty"`
	Version   string          `json:"version,omitempty"`
	Candidate json.RawMessage `json:"candidate,omitempty"`
	Offer     json.RawMessage `json:"offer,omitempty"`
}

type flatError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func BenchmarkDecode(b *testing.B) {
	for _, tt := range benchTexts {
		text := []byte(tt.text)
		run := func(name string, decode func() error) {
			b.Run(tt.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					if err := decode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("rtcsignal", func() error { _, err := Decode(text); return err })
		run("encoding-json", func() error { return json.Unmarshal(text, new(flatMessage)) })
	}
}

// BenchmarkDecodeTyped goes down to the texts of descriptions and candidates. With
// encoding/json it takes two passes: one for the method, one for params of that method.
func BenchmarkDecodeTyped(b *testing.B) {
	for _, tt := range benchTexts {
		text := []byte(tt.text)
		run := func(name string, decode func() error) {
			b.Run(tt.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					if err := decode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("rtcsignal", func() error {
			m, err := Decode(text)
			switch m := m.(type) {
			case *ICECandidate:
				_, err = m.Init()
			case *SDPOffer:
				_, err = m.Description()
			}
			return err
		})
		run("encoding-json", func() error {
			var head struct {
				ID      json.RawMessage `json:"id"`
				Method  string          `json:"method"`
				JSONRPC string          `json:"jsonrpc"`
			}
			if err := json.Unmarshal(text, &head); err != nil {
				return err
			}
			switch head.Method {
			case "auth":
				return json.Unmarshal(text, new(struct {
					Params struct {
						Token   string `json:"token"`
						Version string `json:"version"`
					} `json:"params"`
				}))
			case "iceCandidate":
				return json.Unmarshal(text, new(struct {
					Params struct {
						Candidate string `json:"candidate"`
					} `json:"params"`
				}))
			case "sdpOffer":
				return json.Unmarshal(text, new(struct {
					Params struct {
						Offer string `json:"offer"`
					} `json:"params"`
				}))
			case "":
				return json.Unmarshal(text, new(struct {
					Result json.RawMessage `json:"result"`
					Error  *flatError      `json:"error"`
				}))
			}
			return json.Unmarshal(text, new(struct{}))
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, tt := range benchTexts {
		m, err := Decode([]byte(tt.text))
		require.NoError(b, err)
		var flat flatMessage
		require.NoError(b, json.Unmarshal([]byte(tt.text), &flat))
		run := func(name string, encode func() ([]byte, error)) {
			b.Run(tt.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(tt.text)))
				for b.Loop() {
					if _, err := encode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("rtcsignal", func() ([]byte, error) { return Encode(m) })
		var queue []byte
		run("rtcsignal-append", func() ([]byte, error) { // as a connection's writer does
			queue, err = appendMessage(queue[:0], m)
			return queue, err
		})
		run("encoding-json", func() ([]byte, error) { return json.Marshal(&flat) })
	}
}

// BenchmarkValidate is what a server does with each message after Decode, and a client
// before it sends one.
func BenchmarkValidate(b *testing.B) {
	for _, tt := range benchTexts {
		m, err := Decode([]byte(tt.text))
		require.NoError(b, err)
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(tt.text)))
			for b.Loop() {
				if err := m.Validate(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
