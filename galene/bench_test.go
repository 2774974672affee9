package galene

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// codecBenchTexts are what connections mostly carry: what people say, who comes and goes,
// then descriptions and candidates.
var codecBenchTexts = []struct{ name, text string }{
	{"ping", `{"type":"ping"}`},
	{"chat", `{"type":"chat","id":"Ru9Y7NBct9w","source":"5f3e0a2c9d5b4c6e8a7f1b2c3d4e5f60","username":"alice",` +
		`"privileged":true,"value":"It works for me. Does it for you?","time":"2026-11-20T23:53:46Z"}`},
	{"user", `{"type":"user","kind":"add","id":"5f3e0a2c9d5b4c6e8a7f1b2c3d4e5f60","username":"alice",` +
		`"permissions":["op","present","message","caption","token"],"data":{"raisehand":true}}`},
	{"joined", `{"type":"joined","kind":"join","username":"alice","permissions":["op","present","message","caption","token"],` +
		`"status":{"name":"test","displayName":"Test","description":"A group for tests","clientCount":7,"canChangePassword":true},` +
		`"group":"test","rtcConfiguration":{"iceServers":[{"urls":["turn:turn.example.org:443?transport=tcp"],` +
		`"username":"1700000000:galene","credential":"c2VjcmV0","credentialType":"password"}]}}`},
	{"offer", `{"type":"offer","id":"0c1d2e3f405162738495a6b7c8d9eafb","source":"5f3e0a2c9d5b4c6e8a7f1b2c3d4e5f60","username":"alice",` +
		`"sdp":"` + strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 64) +
		`","label":"camera"}`},
	{"ice", `{"type":"ice","id":"0c1d2e3f405162738495a6b7c8d9eafb","candidate":{"candidate":` +
		`"candidate:2070692838 1 udp 2130706431 192.0.2.2 47786 typ host ufrag jZLdsuxOcoEnMncg",` +
		`"sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}}`},
}

// flatMessage is one struct for all messages, read and written by encoding/json.
type flatMessage struct {
	Type             string          `json:"type"`
	Version          []string        `json:"version,omitempty"`
	Kind             string          `json:"kind,omitempty"`
	ID               string          `json:"id,omitempty"`
	Source           string          `json:"source,omitempty"`
	Dest             string          `json:"dest,omitempty"`
	Username         *string         `json:"username,omitempty"`
	Privileged       bool            `json:"privileged,omitempty"`
	Permissions      []string        `json:"permissions,omitempty"`
	Status           *flatStatus     `json:"status,omitempty"`
	Data             map[string]any  `json:"data,omitempty"`
	Group            string          `json:"group,omitempty"`
	Value            any             `json:"value,omitempty"`
	NoEcho           bool            `json:"noecho,omitempty"`
	Time             string          `json:"time,omitempty"`
	SDP              string          `json:"sdp,omitempty"`
	Candidate        *flatCandidate  `json:"candidate,omitempty"`
	Label            string          `json:"label,omitempty"`
	Request          any             `json:"request,omitempty"`
	RTCConfiguration json.RawMessage `json:"rtcConfiguration,omitempty"`
}

type flatStatus struct {
	Name              string `json:"name"`
	DisplayName       string `json:"displayName,omitempty"`
	Description       string `json:"description,omitempty"`
	ClientCount       *int   `json:"clientCount,omitempty"`
	CanChangePassword bool   `json:"canChangePassword,omitempty"`
}

type flatCandidate struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex"`
	UsernameFragment *string `json:"usernameFragment"`
}

func BenchmarkDecode(b *testing.B) {
	for _, tt := range codecBenchTexts {
		text := []byte(tt.text)
		benchmarkText(b, tt.name+"/rtcsignal", text, func() error { _, err := Decode(text); return err })
		benchmarkText(b, tt.name+"/encoding-json", text, func() error { return json.Unmarshal(text, new(flatMessage)) })
	}
}

// BenchmarkDecodeTyped goes down to the candidate, too. With encoding/json it takes two
// passes: one for the type, one for a struct of that type.
func BenchmarkDecodeTyped(b *testing.B) {
	for _, tt := range codecBenchTexts {
		text := []byte(tt.text)
		benchmarkText(b, tt.name+"/rtcsignal", text, func() error {
			m, err := Decode(text)
			if ice, ok := m.(*ICE); ok {
				_, err = ice.Init()
			}
			return err
		})
		benchmarkText(b, tt.name+"/encoding-json", text, func() error {
			var head struct {
				Type string `json:"type"`
			}
			if err := json.Unmarshal(text, &head); err != nil {
				return err
			}
			if head.Type == "ice" {
				return json.Unmarshal(text, new(flatICE))
			}
			return json.Unmarshal(text, registry[head.Type]())
		})
	}
}

type flatICE struct {
	ID        string        `json:"id"`
	Candidate flatCandidate `json:"candidate"`
}

// BenchmarkCheck is what a server does with each message in place of Decode.
func BenchmarkCheck(b *testing.B) {
	for _, tt := range codecBenchTexts {
		text := []byte(tt.text)
		benchmarkText(b, tt.name, text, func() error { return Check(text) })
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, tt := range codecBenchTexts {
		m, err := Decode([]byte(tt.text))
		require.NoError(b, err)
		var flat flatMessage
		require.NoError(b, json.Unmarshal([]byte(tt.text), &flat))
		text := []byte(tt.text)
		benchmarkText(b, tt.name+"/rtcsignal", text, func() error { _, err := Encode(m); return err })
		var queue []byte
		benchmarkText(b, tt.name+"/rtcsignal-append", text, func() error { // as a connection's writer does
			queue, err = appendMessage(queue[:0], m)
			return err
		})
		benchmarkText(b, tt.name+"/encoding-json", text, func() error { _, err := json.Marshal(&flat); return err })
	}
}

// BenchmarkValidate is what a client does with each message before it sends it.
func BenchmarkValidate(b *testing.B) {
	for _, tt := range codecBenchTexts {
		m, err := Decode([]byte(tt.text))
		require.NoError(b, err)
		benchmarkText(b, tt.name, []byte(tt.text), m.Validate)
	}
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
