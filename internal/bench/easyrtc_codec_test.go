package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/easyrtc"
)

// An easyrtcStruct is one struct for the messages of EasyRTC below, read with
// encoding/json: the usual way of Go programs.
type easyrtcStruct struct {
	MsgType         string          `json:"msgType"`
	TargetEasyrtcID string          `json:"targetEasyrtcid,omitempty"`
	SenderEasyrtcID string          `json:"senderEasyrtcid,omitempty"`
	MsgData         json.RawMessage `json:"msgData,omitempty"`
	EasyrtcID       string          `json:"easyrtcid,omitempty"`
	ServerTime      int64           `json:"serverTime,omitempty"`
}

type easyrtcDescription struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

type easyrtcCandidate struct {
	Type      string  `json:"type"`
	Label     *int    `json:"label,omitempty"`
	ID        *string `json:"id,omitempty"`
	Candidate string  `json:"candidate"`
}

// easyrtcRooms is the msgData of roomData and of token.
type easyrtcRooms struct {
	RoomData    map[string]easyrtcRoom `json:"roomData"`
	Application *easyrtcApplication    `json:"application,omitempty"`
	EasyrtcID   string                 `json:"easyrtcid,omitempty"`
	ICEConfig   *easyrtcICE            `json:"iceConfig,omitempty"`
	ServerTime  int64                  `json:"serverTime,omitempty"`
}

type easyrtcApplication struct {
	ApplicationName string `json:"applicationName"`
}

type easyrtcICE struct {
	ICEServers []easyrtcICEServer `json:"iceServers"`
}

type easyrtcICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

type easyrtcRoom struct {
	RoomName   string                     `json:"roomName"`
	RoomStatus string                     `json:"roomStatus"`
	ClientList map[string]easyrtcOccupant `json:"clientList,omitempty"`
}

type easyrtcOccupant struct {
	EasyrtcID    string          `json:"easyrtcid"`
	RoomJoinTime int64           `json:"roomJoinTime,omitempty"`
	Presence     easyrtcPresence `json:"presence"`
	APIField     json.RawMessage `json:"apiField,omitempty"`
	Username     string          `json:"username,omitempty"`
}

type easyrtcPresence struct {
	Show   string  `json:"show"`
	Status *string `json:"status"`
}

// easyrtcTexts are what a browser gets: packets of Socket.IO.
var easyrtcTexts = []struct{ name, wire string }{
	{"candidate", `27["easyrtcCmd",{"senderEasyrtcid":"h4ZQKfhn9XzNhIyM","msgData":{"type":"candidate","label":0,` +
		`"id":"0","candidate":"candidate:2878742611 1 udp 2130706431 192.0.2.2 53634 typ host generation 0 ufrag ` +
		`kkdDKGzywyAFaUsN"},"easyrtcid":"WDN0wHPQG2NurE1h","msgType":"candidate","serverTime":1795219806729}]`},
	{"offer", `26["easyrtcCmd",{"senderEasyrtcid":"h4ZQKfhn9XzNhIyM","msgData":{"sdp":"v=0\r\n` +
		strings.Repeat(`a=rtpmap:96 VP8/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n`, 66) +
		`","type":"offer"},"easyrtcid":"WDN0wHPQG2NurE1h","msgType":"offer","serverTime":1795219806728}]`},
	{"roomData-10", `25["easyrtcCmd",{"msgData":{"roomData":` + easyrtcRoomOf(10) +
		`},"easyrtcid":"client-000000000","msgType":"roomData","serverTime":1795219806596}]`},
	{"token-10", `30[{"msgType":"token","msgData":{"roomData":` + easyrtcRoomOf(10) +
		`,"application":{"applicationName":"default"},"easyrtcid":"client-000000000","iceConfig":{"iceServers":` +
		`[{"urls":["stun:stun.example.org"]},{"urls":["turn:turn.example.org:443?transport=tcp"],` +
		`"username":"1700000000:alice","credential":"c2VjcmV0"}]},"serverTime":1795219806596}}]`},
}

// easyrtcRoomOf is a room of n clients as who has joined it sees it.
func easyrtcRoomOf(n int) string {
	clients := make([]string, n)
	for i := range clients {
		clients[i] = fmt.Sprintf(`"client-%09[1]d":{"easyrtcid":"client-%09[1]d","roomJoinTime":1795219806559,`+
			`"presence":{"show":"chat","status":null},"username":"user %[1]d"}`, i)
	}
	return `{"default":{"roomName":"default","roomStatus":"join","clientList":{` + strings.Join(clients, ",") + `}}}`
}

// An easyrtcRead is what a program wants of a message.
type easyrtcRead struct {
	typ     string
	text    string   // of a candidate or a description
	clients []string // their names, by the number in their ids
	servers int
}

func (r *easyrtcRead) name(id, username string) {
	if r.clients == nil {
		r.clients = make([]string, 10)
	}
	r.clients[id[len(id)-1]-'0'] = username
}

// easyrtcDecoders read a message as far as the application wants it.
var easyrtcDecoders = []struct {
	lib    string
	decode func(wire []byte) (easyrtcRead, error)
}{{"rtcsignal", decodeEasyRTC}, {"struct", decodeEasyRTCStruct}, {"map", decodeEasyRTCMap}}

func decodeEasyRTC(wire []byte) (r easyrtcRead, err error) {
	m, err := easyrtc.Decode(wire)
	if err != nil {
		return r, err
	}
	var rooms map[string]*easyrtc.Room
	switch m := m.(type) {
	case *easyrtc.Candidate:
		c, err := m.ICECandidate()
		if err != nil {
			return r, err
		}
		return easyrtcRead{typ: "candidate", text: c.Candidate}, nil
	case *easyrtc.Offer:
		d, err := m.SessionDescription()
		if err != nil {
			return r, err
		}
		return easyrtcRead{typ: "offer", text: d.SDP}, nil
	case *easyrtc.RoomData:
		r.typ, rooms = "roomData", m.MsgData.RoomData
	case *easyrtc.Token:
		r.typ, rooms = "token", m.MsgData.RoomData
		r.servers = len(m.MsgData.ICEConfig.ICEServers)
	}
	for id, o := range rooms["default"].ClientList {
		r.name(id, *o.Username)
	}
	return r, nil
}

// easyrtcArguments returns the JSON of a packet.
func easyrtcArguments(wire []byte) []byte { return wire[bytes.IndexByte(wire, '['):] }

func decodeEasyRTCStruct(wire []byte) (r easyrtcRead, err error) {
	var args []json.RawMessage
	if err := json.Unmarshal(easyrtcArguments(wire), &args); err != nil {
		return r, err
	}
	var m easyrtcStruct
	if err := json.Unmarshal(args[len(args)-1], &m); err != nil {
		return r, err
	}
	r.typ = m.MsgType
	switch m.MsgType {
	case "candidate":
		var c easyrtcCandidate
		err = json.Unmarshal(m.MsgData, &c)
		r.text = c.Candidate
	case "offer":
		var d easyrtcDescription
		err = json.Unmarshal(m.MsgData, &d)
		r.text = d.SDP
	default:
		var d easyrtcRooms
		err = json.Unmarshal(m.MsgData, &d)
		if d.ICEConfig != nil {
			r.servers = len(d.ICEConfig.ICEServers)
		}
		for id, o := range d.RoomData["default"].ClientList {
			r.name(id, o.Username)
		}
	}
	return r, err
}

func decodeEasyRTCMap(wire []byte) (r easyrtcRead, err error) {
	var args []any
	if err := json.Unmarshal(easyrtcArguments(wire), &args); err != nil {
		return r, err
	}
	m := args[len(args)-1].(map[string]any)
	data := m["msgData"].(map[string]any)
	r.typ = m["msgType"].(string)
	switch r.typ {
	case "candidate":
		r.text = data["candidate"].(string)
	case "offer":
		r.text = data["sdp"].(string)
	default:
		if ice, ok := data["iceConfig"].(map[string]any); ok {
			r.servers = len(ice["iceServers"].([]any))
		}
		room := data["roomData"].(map[string]any)["default"].(map[string]any)
		for id, o := range room["clientList"].(map[string]any) {
			r.name(id, o.(map[string]any)["username"].(string))
		}
	}
	return r, nil
}

// BenchmarkEasyRTCDecode measures what a client reads, without a connection.
func BenchmarkEasyRTCDecode(b *testing.B) {
	for _, tt := range easyrtcTexts {
		wire := []byte(tt.wire)
		for _, d := range easyrtcDecoders {
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

// easyrtcEncoders return functions that write a message again and again, from what an
// application has: a text for a candidate or a description, otherwise the whole message.
var easyrtcEncoders = []struct {
	lib     string
	encoder func(tb testing.TB, wire []byte) func() ([]byte, error)
}{{"rtcsignal", encodeEasyRTC}, {"struct", encodeEasyRTCStruct}, {"map", encodeEasyRTCMap}}

const easyrtcTarget = "WDN0wHPQG2NurE1h"

func encodeEasyRTC(tb testing.TB, wire []byte) func() ([]byte, error) {
	m, err := easyrtc.Decode(wire)
	require.NoError(tb, err)
	read, err := decodeEasyRTC(wire)
	require.NoError(tb, err)
	switch m := m.(type) {
	case *easyrtc.Candidate:
		return func() ([]byte, error) {
			c, err := easyrtc.NewCandidate(easyrtcTarget, read.text, 0, "0")
			if err != nil {
				return nil, err
			}
			c.ID = m.ID
			return easyrtc.Encode(c)
		}
	case *easyrtc.Offer:
		return func() ([]byte, error) {
			o, err := easyrtc.NewOffer(easyrtcTarget, read.text)
			if err != nil {
				return nil, err
			}
			o.ID = m.ID
			return easyrtc.Encode(o)
		}
	}
	return func() ([]byte, error) { return easyrtc.Encode(m) }
}

// easyrtcPacket writes a packet around an object, with the start of another one.
func easyrtcPacket(like []byte, object any) ([]byte, error) {
	start := like[:bytes.IndexByte(like, '{')]
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(start)+len(text)+1)
	return append(append(append(out, start...), text...), ']'), nil
}

func encodeEasyRTCStruct(tb testing.TB, wire []byte) func() ([]byte, error) {
	read, err := decodeEasyRTCStruct(wire)
	require.NoError(tb, err)
	var args []json.RawMessage
	require.NoError(tb, json.Unmarshal(easyrtcArguments(wire), &args))
	var m easyrtcStruct
	require.NoError(tb, json.Unmarshal(args[len(args)-1], &m))
	var rooms easyrtcRooms
	require.NoError(tb, json.Unmarshal(m.MsgData, &rooms))
	label, id := 0, "0"
	return func() ([]byte, error) {
		out, data := m, any(&rooms)
		switch read.typ {
		case "candidate":
			data = &easyrtcCandidate{Type: "candidate", Label: &label, ID: &id, Candidate: read.text}
			out = easyrtcStruct{MsgType: read.typ, TargetEasyrtcID: easyrtcTarget}
		case "offer":
			data = &easyrtcDescription{Type: "offer", SDP: read.text}
			out = easyrtcStruct{MsgType: read.typ, TargetEasyrtcID: easyrtcTarget}
		}
		text, err := json.Marshal(data)
		if err != nil {
			return nil, err
		}
		out.MsgData = text
		return easyrtcPacket(wire, &out)
	}
}

func encodeEasyRTCMap(tb testing.TB, wire []byte) func() ([]byte, error) {
	read, err := decodeEasyRTCMap(wire)
	require.NoError(tb, err)
	var args []any
	require.NoError(tb, json.Unmarshal(easyrtcArguments(wire), &args))
	return func() ([]byte, error) {
		var data map[string]any
		switch read.typ {
		case "candidate":
			data = map[string]any{"type": read.typ, "label": 0, "id": "0", "candidate": read.text}
		case "offer":
			data = map[string]any{"type": read.typ, "sdp": read.text}
		default:
			return easyrtcPacket(wire, args[len(args)-1])
		}
		return easyrtcPacket(wire, map[string]any{"msgType": read.typ, "targetEasyrtcid": easyrtcTarget, "msgData": data})
	}
}

// BenchmarkEasyRTCEncode measures what either side writes, without a connection.
func BenchmarkEasyRTCEncode(b *testing.B) {
	for _, tt := range easyrtcTexts {
		wire := []byte(tt.wire)
		for _, e := range easyrtcEncoders {
			b.Run(fmt.Sprintf("message=%s/lib=%s", tt.name, e.lib), func(b *testing.B) {
				encode := e.encoder(b, wire)
				b.ReportAllocs()
				b.SetBytes(int64(len(wire)))
				for b.Loop() {
					if _, err := encode(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestEasyRTCTextIsReadTheSameByEachLibrary(t *testing.T) {
	t.Parallel()
	for _, tt := range easyrtcTexts {
		want, err := decodeEasyRTC([]byte(tt.wire))
		require.NoError(t, err, tt.name)
		require.True(t, want.text != "" || len(want.clients) == 10 && want.clients[9] == "user 9", tt.name)
		for _, d := range easyrtcDecoders {
			read, err := d.decode([]byte(tt.wire))
			require.NoError(t, err, "%s by %s", tt.name, d.lib)
			require.Equal(t, want, read, "%s by %s", tt.name, d.lib)
		}
	}
}

func TestEasyRTCTextIsWrittenTheSameByEachLibrary(t *testing.T) {
	t.Parallel()
	for _, tt := range easyrtcTexts {
		want, err := encodeEasyRTC(t, []byte(tt.wire))()
		require.NoError(t, err, tt.name)
		wantArgs := string(easyrtcArguments(want))
		for _, e := range easyrtcEncoders {
			wire, err := e.encoder(t, []byte(tt.wire))()
			require.NoError(t, err, "%s by %s", tt.name, e.lib)
			require.Equal(t, want[:bytes.IndexByte(want, '{')], wire[:bytes.IndexByte(wire, '{')], "%s by %s", tt.name, e.lib)
			require.JSONEq(t, wantArgs, string(easyrtcArguments(wire)), "%s by %s", tt.name, e.lib)
		}
	}
}
