package easyrtc

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
	"github.com/rtcsignal/rtcsignal/internal/socketio"
	"github.com/rtcsignal/rtcsignal/transport"
)

// FuzzDecode checks that whatever decodes encodes, that what was encoded decodes to the
// same and encodes to the same bytes, with its attachments, that a relay writes the same,
// and that what Validate accepts it accepts again on the other side.
func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.Wire), bytes.Join(v.attachments, nil))
	}
	f.Add([]byte(`20["easyrtcCmd",{"msgType":"setRoomApiField","msgData":{"setRoomApiField":`+
		`{"roomName":"a","field":{"a":"\ud800\ud83d\ude00\"\u0007","b":[1.0,1e2,-0,1e400]}}}}]`), []byte{})
	f.Fuzz(func(t *testing.T, data, attachment []byte) {
		before := bytes.Clone(data)
		var binary [][]byte
		if p, err := socketio.Parse(data); err == nil {
			for range p.Attachments {
				binary = append(binary, bytes.Clone(attachment))
			}
		}
		m, err := DecodeBinary(data, binary)
		require.Equal(t, before, data)
		requireDecoderAgrees(t, data, binary, m, err)
		if err != nil {
			require.Nil(t, m)
			require.IsType(t, new(DecodeError), err)
			if e := err.(*DecodeError); e.ID != (ID{}) {
				require.NotEmpty(t, e.Code)
				require.NotEmpty(t, e.Event)
			}
			return
		}
		valid := m.Validate()
		if valid != nil {
			require.IsType(t, new(ValidationError), valid)
		}
		require.LessOrEqual(t, 0, size(m))
		b, err := Encode(m)
		require.NoError(t, err)
		again, err := DecodeBinary(b, attachments(m))
		require.NoError(t, err, "%s", b)
		require.Equal(t, reflect.TypeOf(m), reflect.TypeOf(again))
		require.Equal(t, attachments(m), attachments(again))
		same, err := Encode(again)
		require.NoError(t, err)
		require.Equal(t, string(b), string(same))
		if e, ok := valid.(*ValidationError); !ok || e.Code != "" && fromClients(m) {
			require.Equal(t, valid, again.Validate(), "%s", b)
		}
		if p := m.packet(); p != nil {
			require.Equal(t, p.ID, again.packet().ID)
			require.Equal(t, p.Ack, again.packet().Ack)
			require.Equal(t, m, clone(m))
		}
	})
}

// fromClients reports whether a message is one of those that a server checks.
func fromClients(m Message) bool {
	_, command := clientCommands[m.wireType()]
	return command || m.event() == EventAuth || m.event() == EventMsg
}

// requireDecoderAgrees demands that a Decoder makes the same of a packet, whether it trusts
// what it has checked or not.
func requireDecoderAgrees(t *testing.T, data []byte, binary [][]byte, want Message, wantErr error) {
	t.Helper()
	for _, trusted := range []bool{false, true} {
		d := Decoder{trusted: trusted}
		m, err := d.Decode(transport.Text, data)
		for _, part := range binary {
			if err == nil && m == nil {
				m, err = d.Decode(transport.Binary, part)
			}
		}
		require.Equal(t, wantErr == nil, err == nil, "%v", err)
		if err != nil {
			continue
		}
		b, err := Encode(m)
		require.NoError(t, err)
		plain, err := Encode(want)
		require.NoError(t, err)
		require.Equal(t, string(plain), string(b))
	}
}

// FuzzUnits checks that the length of an api field is that of what JavaScript writes, as
// far as encoding/json can tell.
func FuzzUnits(f *testing.F) {
	for _, text := range []string{
		`{"a":"é😀\u0061\n\u0007\/"}`, `[1.0,1e2,-0,1e21,1e-7]`, ` [ true , null , { } ] `, `"\ud800"`, `"\ud83d\ude00"`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if jsonx.Check(text) != nil {
			return
		}
		got := jsonUnits(text)
		var v any
		if json.Unmarshal(text, &v) != nil || bytes.Contains(text, []byte("-0")) || hasLoneSurrogate(text) {
			return
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		require.NoError(t, e.Encode(v))
		written := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
		// encoding/json escapes what JavaScript does not.
		written = bytes.ReplaceAll(written, []byte(`\u2028`), []byte("x"))
		written = bytes.ReplaceAll(written, []byte(`\u2029`), []byte("x"))
		require.Equal(t, units(string(written)), got, "%s", written)
	})
}

// hasLoneSurrogate reports whether a text may have half a character, which JavaScript
// writes as an escape.
func hasLoneSurrogate(text []byte) bool {
	lower := bytes.ToLower(text)
	return bytes.Contains(lower, []byte(`\ud`)) || bytes.Contains(lower, []byte(`\u202`))
}
