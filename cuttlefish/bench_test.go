package cuttlefish

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchCandidate and benchOffer are the two texts that a device's connection mostly
// consists of. The offer is a forward of 5.5 kB.
var (
	benchCandidate = []byte(`{"message_type":"forward","client_id":1,"payload":{"type":"ice-candidate","mid":"0","mLineIndex":0,` +
		`"candidate":"candidate:2878742611 1 udp 2130706431 192.0.2.2 53634 typ host generation 0 ufrag kkdDKGzywyAFaUsN"}}`)
	benchOffer = []byte(`{"message_type":"forward","client_id":1,"payload":{"type":"offer","sdp":"` +
		strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 66) + `"}}`)
)

var benchTexts = []struct {
	name string
	text []byte
}{{"candidate", benchCandidate}, {"offer", benchOffer}}

// flatRaw and flatMap are one struct for all messages, read by encoding/json: the way
// of the peers written in Go. frontend/src/liboperator decodes into a map.
type flatRaw struct {
	MessageType string          `json:"message_type"`
	DeviceID    string          `json:"device_id,omitempty"`
	DeviceInfo  json.RawMessage `json:"device_info,omitempty"`
	ClientID    int             `json:"client_id,omitempty"`
	ICEServers  []ICEServer     `json:"ice_servers,omitempty"`
	Payload     json.RawMessage `json:"payload,omitempty"`
	Error       string          `json:"error,omitempty"`
}

type flatMap struct {
	MessageType string         `json:"message_type"`
	DeviceID    string         `json:"device_id,omitempty"`
	ClientID    int            `json:"client_id,omitempty"`
	Payload     map[string]any `json:"payload,omitempty"`
}

func BenchmarkDecode(b *testing.B) {
	for _, tt := range benchTexts {
		run := func(name string, decode func() error) {
			b.Run(tt.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(tt.text)))
				for b.Loop() {
					require.NoError(b, decode())
				}
			})
		}
		run("rtcsignal", func() error { _, err := Decode(tt.text); return err })
		run("encoding-json", func() error { return json.Unmarshal(tt.text, new(flatRaw)) })
		run("encoding-json-map", func() error { return json.Unmarshal(tt.text, new(flatMap)) })
	}
}

// BenchmarkDecodeTyped goes down to the members of the payload. With encoding/json it takes
// two passes: one for both types, one for a struct.
func BenchmarkDecodeTyped(b *testing.B) {
	for _, tt := range benchTexts {
		run := func(name string, decode func() error) {
			b.Run(tt.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(tt.text)))
				for b.Loop() {
					if err := decode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("rtcsignal", func() error {
			m, err := Decode(tt.text)
			if err != nil {
				return err
			}
			_, err = DecodePayload(m.(*Forward).Payload)
			return err
		})
		run("encoding-json", func() error {
			var head struct {
				MessageType string `json:"message_type"`
				Payload     struct {
					Type string `json:"type"`
				} `json:"payload"`
			}
			if err := json.Unmarshal(tt.text, &head); err != nil {
				return err
			}
			if head.Payload.Type == "offer" {
				return json.Unmarshal(tt.text, new(flatForward[Offer]))
			}
			return json.Unmarshal(tt.text, new(flatForward[DeviceCandidate]))
		})
	}
}

type flatForward[P any] struct {
	ClientID *int `json:"client_id"`
	Payload  P    `json:"payload"`
}

func BenchmarkEncode(b *testing.B) {
	for _, tt := range benchTexts {
		m, err := Decode(tt.text)
		require.NoError(b, err)
		var raw flatRaw
		require.NoError(b, json.Unmarshal(tt.text, &raw))
		var asMap flatMap
		require.NoError(b, json.Unmarshal(tt.text, &asMap))
		run := func(name string, encode func() ([]byte, error)) {
			b.Run(tt.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(tt.text)))
				for b.Loop() {
					_, err := encode()
					require.NoError(b, err)
				}
			})
		}
		run("rtcsignal", func() ([]byte, error) { return Encode(m) })
		run("encoding-json", func() ([]byte, error) { return json.Marshal(&raw) })
		run("encoding-json-map", func() ([]byte, error) { return json.Marshal(&asMap) })
	}
}
