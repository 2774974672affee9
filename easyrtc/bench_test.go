package easyrtc

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
)

// codecBenchTexts are what connections mostly carry.
var codecBenchTexts = []struct{ name, text string }{
	{"ack", `312[{"msgType":"ack"}]`},
	{"candidate", `212["easyrtcCmd",{"msgType":"candidate","targetEasyrtcid":"LkNTMJ87kL9kEmai","msgData":{` +
		`"type":"candidate","label":0,"id":"0","candidate":"candidate:4397357 1 udp 2122063615 192.0.2.2 44391 typ host ` +
		`generation 0 ufrag U9Qy network-id 1"}}]`},
	{"offer", `212["easyrtcCmd",{"msgType":"offer","targetEasyrtcid":"LkNTMJ87kL9kEmai",` +
		`"msgData":{"type":"offer","sdp":"` +
		strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 75) + `"}}]`},
	{"roomData", `212["easyrtcCmd",{"msgType":"roomData","msgData":{"roomData":` +
		benchRoom("update", `"clientListDelta":{"updateClient":`, "}") +
		`},"easyrtcid":"LkNTMJ87kL9kEmai","serverTime":1795217512237}]`},
	{"token", `30[{"msgType":"token","msgData":{"roomData":` + benchRoom("join", `"clientList":`, "") +
		`,"application":{"applicationName":"app1"},"easyrtcid":"LkNTMJ87kL9kEmai","iceConfig":{"iceServers":[` +
		`{"urls":["turn:turn.example.org:443?transport=tcp"],"username":"1700000000:easyrtc","credential":"c2VjcmV0"}]},` +
		`"serverTime":1795217512225}}]`},
}

// benchRoom is a room with ten clients.
func benchRoom(status, begin, end string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"default":{"roomName":"default","roomStatus":"%s",%s{`, status, begin)
	for i := range 10 {
		if i > 0 {
			b.WriteByte(',')
		}
		id := fmt.Sprintf("oJMCzM1u7aJxoFV%d", i)
		fmt.Fprintf(&b, `"%s":{"easyrtcid":"%s","roomJoinTime":1795217512223,"presence":{"show":"chat","status":null},`+
			`"apiField":{"mediaIds":{"fieldName":"mediaIds","fieldValue":{"default":"stream"}}},"username":"alice"}`, id, id)
	}
	b.WriteString("}" + end + "}}")
	return b.String()
}

func BenchmarkDecode(b *testing.B) {
	for _, tt := range codecBenchTexts {
		text := []byte(tt.text)
		benchmarkText(b, tt.name+"/rtcsignal", text, func() error { _, err := Decode(text); return err })
		d := Decoder{Limit: DefaultMessageBytes, trusted: true}
		benchmarkText(b, tt.name+"/rtcsignal-server", text, func() error {
			_, err := d.Decode(transport.Text, text)
			return err
		})
		array := text[strings.IndexByte(tt.text, '['):]
		benchmarkText(b, tt.name+"/encoding-json", text, func() error { return json.Unmarshal(array, new([]any)) })
	}
}

// BenchmarkDecodeTyped goes down to the members of msgData. With encoding/json it takes two
// passes of the object: one for the type, one for a struct of that type.
func BenchmarkDecodeTyped(b *testing.B) {
	for _, tt := range codecBenchTexts[:3] {
		text := []byte(tt.text)
		array := text[strings.IndexByte(tt.text, '['):]
		benchmarkText(b, tt.name+"/rtcsignal", text, func() error {
			m, err := Decode(text)
			switch m := m.(type) {
			case *Offer:
				_, err = m.SessionDescription()
			case *Candidate:
				_, err = m.ICECandidate()
			}
			return err
		})
		benchmarkText(b, tt.name+"/encoding-json", text, func() error {
			var args []json.RawMessage
			if err := json.Unmarshal(array, &args); err != nil {
				return err
			}
			object := args[len(args)-1]
			var head struct {
				MsgType string `json:"msgType"`
			}
			if err := json.Unmarshal(object, &head); err != nil {
				return err
			}
			switch head.MsgType {
			case "offer":
				return json.Unmarshal(object, new(flatMessage[SessionDescription]))
			case "candidate":
				return json.Unmarshal(object, new(flatMessage[ICECandidate]))
			}
			return json.Unmarshal(object, new(flatMessage[json.RawMessage]))
		})
	}
}

type flatMessage[D any] struct {
	TargetEasyrtcID string `json:"targetEasyrtcid"`
	SenderEasyrtcID string `json:"senderEasyrtcid"`
	MsgData         D      `json:"msgData"`
	EasyrtcID       string `json:"easyrtcid"`
	ServerTime      int64  `json:"serverTime"`
}

func BenchmarkEncode(b *testing.B) {
	for _, tt := range codecBenchTexts {
		m, err := Decode([]byte(tt.text))
		require.NoError(b, err)
		encoded, err := Encode(m)
		require.NoError(b, err)
		require.Equal(b, tt.text, string(encoded))
		text := []byte(tt.text)
		benchmarkText(b, tt.name+"/rtcsignal", text, func() error { _, err := Encode(m); return err })
		var queue []byte
		benchmarkText(b, tt.name+"/rtcsignal-append", text, func() error { // as a connection's writer does
			queue, err = appendMessage(queue[:0], m)
			return err
		})
		var flat []any
		require.NoError(b, json.Unmarshal(text[strings.IndexByte(tt.text, '['):], &flat))
		benchmarkText(b, tt.name+"/encoding-json", text, func() error { _, err := json.Marshal(flat); return err })
	}
}

// BenchmarkValidate is what a server does with each message of a client, and a client with
// its own.
func BenchmarkValidate(b *testing.B) {
	for _, tt := range codecBenchTexts {
		m, err := Decode([]byte(tt.text))
		require.NoError(b, err)
		benchmarkText(b, tt.name, []byte(tt.text), m.Validate)
	}
}

// BenchmarkAttachment is a message with a binary attachment of 1 kB.
func BenchmarkAttachment(b *testing.B) {
	text := []byte(`51-12["easyrtcMsg",{"msgType":"m","targetRoom":"default","msgData":{"_placeholder":true,"num":0}}]`)
	attachment := make([]byte, 1000)
	d := Decoder{Limit: DefaultMessageBytes}
	benchmarkText(b, "decode", attachment, func() error {
		if _, err := d.Decode(transport.Text, text); err != nil {
			return err
		}
		_, err := d.Decode(transport.Binary, attachment)
		return err
	})
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
