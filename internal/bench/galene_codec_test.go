package bench

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/galene"
)

// A flatMessage is one struct for all messages, read with encoding/json: the usual way of
// Go programs that speak with Galène.
type flatMessage struct {
	Type             string          `json:"type"`
	Version          []string        `json:"version,omitempty"`
	Kind             string          `json:"kind,omitempty"`
	Error            string          `json:"error,omitempty"`
	ID               string          `json:"id,omitempty"`
	Replace          string          `json:"replace,omitempty"`
	Source           string          `json:"source,omitempty"`
	Dest             string          `json:"dest,omitempty"`
	Username         *string         `json:"username,omitempty"`
	Password         string          `json:"password,omitempty"`
	Token            string          `json:"token,omitempty"`
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
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
	Description string `json:"description,omitempty"`
	Locked      bool   `json:"locked,omitempty"`
	ClientCount *int   `json:"clientCount,omitempty"`
}

type flatCandidate struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid,omitempty"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex,omitempty"`
	UsernameFragment *string `json:"usernameFragment,omitempty"`
}

// galeneTexts are messages of a server, as Galène writes them.
var galeneTexts = []struct{ name, wire string }{
	{"user", `{"type":"user","kind":"add","id":"zG1nvPlHeAQ6bGX4vJVJjQ","username":"bob",` +
		`"permissions":["present","message"],"data":{"raisehand":true}}`},
	{"chat-300B", chatText(300)},
	{"chat-6kB", chatText(6000)},
	{"ice", `{"type":"ice","id":"kp9XNdjmb1mVzHJw9h3Yzw","candidate":{"candidate":"candidate:2878742611 1 udp ` +
		`2130706431 192.0.2.2 53634 typ host generation 0 ufrag kkdDKGzywyAFaUsN","sdpMid":"0","sdpMLineIndex":0,` +
		`"usernameFragment":"kkdDKGzywyAFaUsN"}}`},
	{"offer", `{"type":"offer","id":"kp9XNdjmb1mVzHJw9h3Yzw","source":"zG1nvPlHeAQ6bGX4vJVJjQ",` +
		`"username":"bob","sdp":"` +
		strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 66) +
		`","label":"camera"}`},
}

// chatText is a chat message of size bytes in all.
func chatText(size int) string {
	const head = `{"type":"chat","id":"cVYxwTwMAKjLBOkvRgpMGg","source":"zG1nvPlHeAQ6bGX4vJVJjQ",` +
		`"username":"bob","value":"`
	const tail = `","time":"2026-11-21T10:00:00Z"}`
	return head + strings.Repeat("well then ", size)[:size-len(head)-len(tail)] + tail
}

// A galeneChat is what a program wants of a chat message.
type galeneChat struct{ id, source, username, text, time string }

// chatOf returns a chat message as rtcsignal has it.
func chatOf(m *galene.Chat) galeneChat {
	text, _ := galene.Text(m.Value)
	c := galeneChat{id: m.ID, source: m.Source, text: text, time: string(m.Time)}
	if m.Username != nil {
		c.username = *m.Username
	}
	return c
}

// chat returns a chat message as the usual way has it.
func (m *flatMessage) chat() galeneChat {
	text, _ := m.Value.(string)
	c := galeneChat{id: m.ID, source: m.Source, text: text, time: m.Time}
	if m.Username != nil {
		c.username = *m.Username
	}
	return c
}

// galeneDecoders read a message as far as the application wants it, with the text of a
// chat and the members of a candidate, and return the length of the text that it carries.
var galeneDecoders = []struct {
	lib    string
	decode func(wire []byte) (carried int, err error)
}{{"rtcsignal", decodeGalene}, {"flat", decodeFlat}}

func decodeGalene(wire []byte) (int, error) {
	m, err := galene.Decode(wire)
	if err != nil {
		return 0, err
	}
	switch m := m.(type) {
	case *galene.User:
		return len(*m.Username), nil
	case *galene.Chat:
		return len(chatOf(m).text), nil
	case *galene.ICE:
		c, err := m.Init()
		return len(c.Candidate), err
	case *galene.Offer:
		return len(m.SDP), nil
	}
	return 0, nil
}

func decodeFlat(wire []byte) (int, error) {
	m := new(flatMessage)
	if err := json.Unmarshal(wire, m); err != nil {
		return 0, err
	}
	switch m.Type {
	case "user":
		return len(*m.Username), nil
	case "chat":
		return len(m.chat().text), nil
	case "ice":
		return len(m.Candidate.Candidate), nil
	case "offer":
		return len(m.SDP), nil
	}
	return 0, nil
}

// BenchmarkGaleneDecode measures what a client reads, without a connection.
func BenchmarkGaleneDecode(b *testing.B) {
	for _, tt := range galeneTexts {
		wire := []byte(tt.wire)
		for _, d := range galeneDecoders {
			b.Run(fmt.Sprintf("message=%s/lib=%s", tt.name, d.lib), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(wire)))
				for b.Loop() {
					if _, err := d.decode(wire); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestGaleneTextIsReadTheSameByEachLibrary(t *testing.T) {
	t.Parallel()
	for _, tt := range galeneTexts {
		m, err := galene.Decode([]byte(tt.wire))
		require.NoError(t, err, tt.name)
		var flat flatMessage
		require.NoError(t, json.Unmarshal([]byte(tt.wire), &flat), tt.name)
		switch m := m.(type) {
		case *galene.User:
			require.Equal(t, flat.ID, m.ID)
			require.Equal(t, flat.Username, m.Username)
			require.Len(t, m.Permissions, len(flat.Permissions))
			require.Len(t, m.Data, len(flat.Data))
		case *galene.Chat:
			require.Equal(t, flat.chat(), chatOf(m))
			require.NotEmpty(t, chatOf(m).text)
		case *galene.ICE:
			init, err := m.Init()
			require.NoError(t, err)
			require.Equal(t, flat.Candidate.Candidate, init.Candidate)
			require.Equal(t, flat.Candidate.SDPMid, init.SDPMid)
		case *galene.Offer:
			require.Equal(t, flat.SDP, m.SDP)
			require.Equal(t, flat.Label, m.Label)
		default:
			require.Fail(t, "not compared", tt.name)
		}
	}
	for _, tt := range galeneTexts {
		for _, d := range galeneDecoders {
			carried, err := d.decode([]byte(tt.wire))
			require.NoError(t, err, "%s by %s", tt.name, d.lib)
			require.NotZero(t, carried, "%s by %s", tt.name, d.lib)
		}
	}
	require.Len(t, galeneTexts[1].wire, 300)
	require.Len(t, galeneTexts[2].wire, 6000)
}
