package easyrtc

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/script"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// A wireLine is one line of a trace: a frame, or something else that happened.
type wireLine struct {
	flow   string // the name of the file
	number int

	Meta *struct {
		ServerLib      string `json:"serverLib"`
		ServerSocketIO string `json:"serverSocketIO"`
	} `json:"meta"`
	Dir       string `json:"dir"` // c2s or s2c
	Client    string `json:"client"`
	Transport string `json:"transport"`
	Frame     string `json:"frame"`
	Binary    bool   `json:"binary"`
	Truncated bool   `json:"truncated"`
	HTTP      *struct {
		Method      string `json:"method"`
		URL         string `json:"url"`
		Status      int    `json:"status"`
		ContentType string `json:"contentType"`
		Request     string `json:"re"`
	} `json:"http"`
	Event string `json:"event"`
	URL   string `json:"url"`
}

func (l *wireLine) place() string { return fmt.Sprintf("%s:%d", l.flow, l.number) }

// readWire returns the lines of all traces, which must not be changed.
var readWire = sync.OnceValues(func() ([]wireLine, error) {
	return script.TraceLines(func(flow string, number int) wireLine { return wireLine{flow: flow, number: number} })
})

// A wireFrame is a frame that carries packets of Engine.IO: a WebSocket message, or a body.
type wireFrame struct {
	*wireLine
	version engineio.Version
	body    []byte
}

// carrier is what the packets of a frame belong to, in one direction.
func (f *wireFrame) carrier() string {
	return f.flow + " " + f.Client + " " + f.Dir + " " + f.Transport
}

// wireFrames returns the frames of all traces. What is no Engine.IO in them is left out:
// polls and their acknowledgements, and errors of HTTP.
func wireFrames(tb testing.TB) []wireFrame {
	tb.Helper()
	lines, err := readWire()
	require.NoError(tb, err)
	require.NotEmpty(tb, lines)
	version := map[string]engineio.Version{} // of a client's connection
	var frames []wireFrame
	for i := range lines {
		l := &lines[i]
		url := l.URL
		if l.HTTP != nil {
			url = l.HTTP.URL + l.HTTP.Request
		}
		of := l.flow + " " + l.Client
		switch {
		case strings.Contains(url, "EIO=3"):
			version[of] = engineio.V3
		case strings.Contains(url, "EIO=4"):
			version[of] = engineio.V4
		}
		f := wireFrame{wireLine: l, version: version[of], body: []byte(l.Frame)}
		switch {
		case l.Dir == "", l.Truncated:
			continue
		case l.HTTP != nil && (l.Frame == "" || l.HTTP.ContentType == "text/html" || l.HTTP.Status >= 300):
			continue
		}
		require.NotZero(tb, f.version, l.place())
		if l.Binary {
			f.body, err = base64.StdEncoding.DecodeString(l.Frame)
			require.NoError(tb, err, l.place())
			f.body = inflated(tb, f.body)
		}
		frames = append(frames, f)
	}
	return frames
}

// inflated returns a body that may have been compressed.
func inflated(tb testing.TB, body []byte) []byte {
	tb.Helper()
	if !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return body
	}
	r, err := gzip.NewReader(bytes.NewReader(body))
	require.NoError(tb, err)
	body, err = io.ReadAll(r)
	require.NoError(tb, err)
	return body
}

// packets returns the packets of a frame, and what they are written as again.
func (f *wireFrame) packets() (packets []engineio.Packet, again []byte, err error) {
	switch {
	case f.Transport == "websocket":
		typ := transport.Text
		if f.Binary {
			typ = transport.Binary
		}
		p, err := engineio.ParsePacket(f.version, typ, f.body)
		if err != nil {
			return nil, nil, err
		}
		_, again = engineio.AppendPacket(nil, f.version, p)
		return []engineio.Packet{p}, again, nil
	case f.Binary:
		packets, err = engineio.ParseBinaryPayload(f.body)
		return packets, nil, err
	}
	packets, err = engineio.ParsePayload(f.version, f.body)
	return packets, engineio.AppendPayload(nil, f.version, packets...), err
}

// noEngineIO are the frames that are none of Engine.IO, by flow and text.
var noEngineIO = map[string]string{
	"transport_ws_malformed_empty":            "",
	"transport_ws_malformed_garbage":          "hello",
	"transport_ws_malformed_unknown_eio_type": "9",
}

func TestTracesAreTheSameAgainInEngineIO(t *testing.T) {
	t.Parallel()
	unused := maps.Clone(noEngineIO)
	count, octets := 0, 0
	for _, f := range wireFrames(t) {
		packets, again, err := f.packets()
		if want, ok := noEngineIO[f.flow]; ok && want == f.Frame {
			require.ErrorIs(t, err, engineio.ErrProtocol, f.place())
			delete(unused, f.flow)
			continue
		}
		require.NoError(t, err, f.place())
		require.NotEmpty(t, packets, f.place())
		count++
		if f.HTTP != nil && f.Binary { // a form that servers of Socket.IO 1 and 2 write, and we only read
			octets++
			continue
		}
		require.Equal(t, string(f.body), string(again), f.place())
	}
	require.Greater(t, count, 4000)
	require.Equal(t, 50, octets)
	require.Empty(t, unused)
}

// A wireMessage is what an Engine.IO message of a trace carries.
type wireMessage struct {
	place, carrier, flow string
	dir                  string
	typ                  transport.MessageType
	data                 []byte
}

// wireMessages returns the messages of Engine.IO in all traces.
func wireMessages(tb testing.TB) []wireMessage {
	tb.Helper()
	var messages []wireMessage
	for _, f := range wireFrames(tb) {
		packets, _, err := f.packets()
		if err != nil {
			continue
		}
		for _, p := range packets {
			if p.Type != engineio.Message {
				continue
			}
			m := wireMessage{f.place(), f.carrier(), f.flow, f.Dir, transport.Text, p.Data}
			if p.Binary {
				m.typ = transport.Binary
			}
			messages = append(messages, m)
		}
	}
	return messages
}

// noPackets are the messages that are no packets of Socket.IO, by flow and beginning. The
// servers ended their connections but for one.
var noPackets = map[string]error{
	"transport_ws_malformed_unknown_sio_type 9":           socketio.ErrType,
	"transport_ws_malformed_huge_ack_id 2999999999999999": socketio.ErrID, // the server makes another number of it
	"transport_ws_malformed_huge_ack_id 3100000000000000": socketio.ErrID,
}

// noArguments are the packets in which there is no event, likewise.
var noArguments = map[string]error{
	"transport_ws_malformed_bad_json 20[\"easyrtcA":  jsonx.ErrSyntax,
	"transport_ws_malformed_reserved_event 20[\"dis": socketio.ErrPayload,
}

// except returns what is to come of a message that is an exception, and marks it as seen.
func (m *wireMessage) except(from, unused map[string]error) (want error) {
	for key, err := range from {
		if flow, begin, _ := strings.Cut(key, " "); flow == m.flow && strings.HasPrefix(string(m.data), begin) {
			delete(unused, key)
			return err
		}
	}
	return nil
}

// Every packet is written as it was read, byte for byte, and so are its attachments.
func TestTracesAreTheSameAgainInSocketIO(t *testing.T) {
	t.Parallel()
	unused := maps.Clone(noPackets)
	assemblers := map[string]*socketio.Assembler{}
	count, attached := 0, 0
	for _, m := range wireMessages(t) {
		a := assemblers[m.carrier]
		if a == nil {
			a = new(socketio.Assembler)
			assemblers[m.carrier] = a
		}
		text, attachments, ok, err := a.Feed(m.typ, m.data)
		var p socketio.Packet
		if err == nil && ok {
			p, err = socketio.Parse(text)
		}
		if want := m.except(noPackets, unused); want != nil {
			require.ErrorIs(t, err, want, m.place)
			continue
		}
		require.NoError(t, err, m.place)
		if !ok {
			continue
		}
		count++
		require.Len(t, attachments, p.Attachments, m.place)
		attached += len(attachments)
		if len(attachments) > 0 {
			require.Equal(t, string(m.data), string(attachments[len(attachments)-1]), m.place)
		}
		explicit := strings.Replace(string(text), "/,", "", 1) // the default namespace need not be named
		require.Equal(t, explicit, string(socketio.Append(nil, p)), m.place)
	}
	require.Greater(t, count, 3000)
	require.Greater(t, attached, 5)
	require.Empty(t, unused)
}

// A wirePacket is a packet of a trace with its message, or with the error of Decode.
type wirePacket struct {
	*wireMessage
	text    []byte // the packet
	message Message
	err     *DecodeError
}

// decodedOnce holds what wirePackets returns.
var decodedOnce struct {
	sync.Once
	packets []wirePacket
}

// wirePackets returns all messages of the traces but for those that are no packets. They
// must not be changed.
func wirePackets(tb testing.TB) []wirePacket {
	tb.Helper()
	decodedOnce.Do(func() { decodedOnce.packets = decodeWire(tb) })
	require.NotEmpty(tb, decodedOnce.packets)
	return decodedOnce.packets
}

func decodeWire(tb testing.TB) []wirePacket {
	tb.Helper()
	decoders, texts := map[string]*Decoder{}, map[string][]byte{}
	var packets []wirePacket
	messages := wireMessages(tb)
	for i := range messages {
		m := &messages[i]
		if m.except(noPackets, map[string]error{}) != nil {
			continue
		}
		d := decoders[m.carrier]
		if d == nil {
			d = &Decoder{Limit: DefaultMessageBytes}
			decoders[m.carrier] = d
		}
		if m.typ == transport.Text {
			texts[m.carrier] = m.data
		}
		before := bytes.Clone(m.data)
		decoded, err := d.Decode(m.typ, m.data)
		require.Equal(tb, before, m.data, m.place)
		p := wirePacket{wireMessage: m, text: texts[m.carrier], message: decoded}
		switch {
		case err != nil:
			require.IsType(tb, p.err, err, m.place)
			p.err = err.(*DecodeError)
		case decoded == nil:
			continue // its attachments are due
		}
		packets = append(packets, p)
	}
	return packets
}

// refusedByDecode are the codes with which the server refuses commands whose members are of
// the wrong type. Its answers are compared in another test.
var refusedByDecode = map[ErrorCode]bool{
	CodeLoginBadAuth: true, CodeLoginBadStructure: true, CodeMsgRejectBadStructure: true, CodeMsgRejectBadType: true,
	CodeMsgRejectTarget: true, CodeMsgRejectTargetRoom: true, CodeMsgRejectTargetGroup: true, CodeMsgRejectBadData: true,
}

func TestTracesDecodeAndEncodeToTheSameValue(t *testing.T) {
	t.Parallel()
	unused := maps.Clone(noArguments)
	types := map[string]int{}
	refused, attached := 0, 0
	for _, p := range wirePackets(t) {
		if want := p.except(noArguments, unused); want != nil {
			require.ErrorIs(t, p.err, want, p.place)
			require.Zero(t, p.err.ID, p.place)
			continue
		}
		if p.err != nil {
			require.Equal(t, "c2s", p.dir, "%s: %v", p.place, p.err)
			require.NotZero(t, p.err.ID, "%s: %v", p.place, p.err)
			require.True(t, refusedByDecode[p.err.Code], "%s: %v", p.place, p.err)
			refused++
			continue
		}
		types[fmt.Sprintf("%T", p.message)]++
		if p.dir == "s2c" {
			require.NoError(t, p.message.Validate(), p.place)
		}
		b, err := Encode(p.message)
		require.NoError(t, err, p.place)
		requireSamePacket(t, p.text, b, p.place)
		again, err := DecodeBinary(b, attachments(p.message))
		require.NoError(t, err, p.place)
		require.Equal(t, attachments(p.message), attachments(again), p.place)
		attached += len(attachments(again))
		same, err := Encode(again)
		require.NoError(t, err, p.place)
		require.Equal(t, string(b), string(same), p.place)
	}
	require.Greater(t, refused, 15)
	require.Greater(t, attached, 5)
	require.Empty(t, unused)
	for event, of := range constructors {
		for typ, construct := range of {
			if typ == "sessionData" { // no server application of the traces changes a session
				require.Zero(t, types["*easyrtc.SessionData"])
				continue
			}
			require.NotZero(t, types[fmt.Sprintf("%T", construct())], "no %s %s", event, typ)
		}
	}
}

// What Decode or Validate refuses, the server refused with the same code, and the other way
// round as long as it is the message itself that is wrong.
func TestTracesAreRefusedForTheReasonOfTheServer(t *testing.T) {
	t.Parallel()
	packets := wirePackets(t)
	agreed := map[ErrorCode]int{}
	for i, p := range packets {
		if p.dir != "c2s" {
			continue
		}
		var id ID
		var code ErrorCode
		var err error
		switch {
		case p.err != nil:
			id, code, err = p.err.ID, p.err.Code, p.err
		case p.message.packet() == nil || p.message.packet().Ack:
			continue
		default:
			id = p.message.packet().ID
			if err = p.message.Validate(); err != nil {
				require.IsType(t, new(ValidationError), err, p.place)
				code = err.(*ValidationError).Code
			}
		}
		answer, ok := answerTo(packets[i+1:], p.wireMessage, id)
		if !ok {
			continue
		}
		said := ErrorCode("")
		if e, isError := answer.(*ErrorMessage); isError {
			said = e.MsgData.ErrorCode
		}
		switch {
		case err == nil && saidOfContent[said]:
			require.Fail(t, "not refused", "%s: %s", p.place, said)
		case err != nil:
			require.Equal(t, said, code, "%s: %v", p.place, err)
		}
		agreed[code]++
	}
	for code := range saidOfContent {
		require.NotZero(t, agreed[code], code)
	}
	require.Greater(t, agreed[""], 500)
}

// saidOfContent are the codes of what is wrong in any state of the server.
var saidOfContent = map[ErrorCode]bool{
	CodeLoginBadStructure: true, CodeMsgRejectBadData: true, CodeMsgRejectBadStructure: true, CodeMsgRejectBadSize: true,
}

// answerTo returns the acknowledgement of an event.
func answerTo(rest []wirePacket, to *wireMessage, id ID) (Message, bool) {
	client, _, _ := strings.Cut(to.carrier, " c2s")
	for _, p := range rest {
		switch {
		case p.flow != to.flow:
			return nil, false
		case p.message == nil || !strings.HasPrefix(p.carrier, client+" s2c"):
			continue
		}
		if pkt := p.message.packet(); pkt != nil && pkt.Ack && pkt.ID == id {
			return p.message, true
		}
	}
	return nil, false
}

// requireSamePacket demands that two packets are of the same type, with the same id, and
// hold equal JSON.
func requireSamePacket(t *testing.T, want, got []byte, place string) {
	t.Helper()
	w, err := socketio.Parse(want)
	require.NoError(t, err, place)
	g, err := socketio.Parse(got)
	require.NoError(t, err, place)
	var wantValue, gotValue any
	if len(w.Data) > 0 || len(g.Data) > 0 {
		require.NoError(t, json.Unmarshal(w.Data, &wantValue), place)
		require.NoError(t, json.Unmarshal(g.Data, &gotValue), place)
	}
	require.Equal(t, wantValue, gotValue, place)
	w.Data, g.Data = nil, nil
	require.Equal(t, w, g, place)
}
