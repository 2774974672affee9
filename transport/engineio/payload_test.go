package engineio_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// A body is one of testdata/payloads.json: what went between a genuine server
// and a genuine client, and the packets in it.
type body struct {
	Trace   string
	Version engineio.Version
	Text    string
	Octets  []byte // instead of Text
	Packets []struct {
		Type   engineio.PacketType
		Text   string
		Binary []byte
	}
}

func (b *body) packets() []engineio.Packet {
	var packets []engineio.Packet
	for _, p := range b.Packets {
		if p.Binary != nil {
			packets = append(packets, engineio.Packet{Type: p.Type, Binary: true, Data: p.Binary})
		} else {
			packets = append(packets, engineio.Packet{Type: p.Type, Data: []byte(p.Text)})
		}
	}
	return packets
}

func bodies(t testing.TB) []body {
	t.Helper()
	data, err := os.ReadFile("testdata/payloads.json")
	require.NoError(t, err)
	var bodies []body
	require.NoError(t, json.Unmarshal(data, &bodies))
	require.NotEmpty(t, bodies)
	return bodies
}

func TestPayloadsOfGenuinePeersAreRead(t *testing.T) {
	t.Parallel()
	for i, b := range bodies(t) {
		t.Run(fmt.Sprint(i, " ", b.Trace), func(t *testing.T) {
			t.Parallel()
			parse := func() ([]engineio.Packet, error) { return engineio.ParsePayload(b.Version, []byte(b.Text)) }
			if b.Octets != nil {
				parse = func() ([]engineio.Packet, error) { return engineio.ParseBinaryPayload(b.Octets) }
			}
			got, err := parse()
			require.NoError(t, err)
			require.Equal(t, b.packets(), got)
		})
	}
}

func TestPayloadsOfGenuinePeersAreWrittenAlike(t *testing.T) {
	t.Parallel()
	for _, b := range bodies(t) {
		if b.Octets == nil {
			require.Equal(t, b.Text, string(engineio.AppendPayload(nil, b.Version, b.packets()...)), b.Trace)
		}
	}
}

func TestTextOfSocketIO1IsReadAsItWasMeant(t *testing.T) {
	t.Parallel()
	found := 0
	for _, b := range bodies(t) {
		for _, p := range b.packets() {
			text := string(engineio.UndoDoubleUTF8(p.Data))
			if strings.HasPrefix(b.Trace, "easyrtc110_socketio1") && text != string(p.Data) {
				require.Contains(t, text, "é☕😀")
				found++
			} else {
				require.Equal(t, string(p.Data), text, b.Trace)
			}
		}
	}
	require.Equal(t, 2, found, "bodies of both directions")
	for _, text := range []string{"", "ascii", "é", "☕", "Ã", "Ã©☕", "caf\u00e9 \u00a9", "\xff"} {
		require.Equal(t, text, string(engineio.UndoDoubleUTF8([]byte(text))))
	}
	require.Equal(t, "é", string(engineio.UndoDoubleUTF8([]byte("Ã©"))))
}

func TestLengthsOfV3CountUTF16(t *testing.T) {
	t.Parallel()
	p := engineio.Packet{Type: engineio.Message, Data: []byte("é☕😀")}
	payload := engineio.AppendPayload(nil, engineio.V3, p, p)
	require.Equal(t, "5:4é☕😀5:4é☕😀", string(payload))
	got, err := engineio.ParsePayload(engineio.V3, payload)
	require.NoError(t, err)
	require.Equal(t, []engineio.Packet{p, p}, got)
}

func TestTextThatIsNotUTF8HasALengthInV3(t *testing.T) {
	t.Parallel()
	p := engineio.Packet{Type: engineio.Message, Data: []byte("a\xff\xfeb")}
	require.Equal(t, "4:4a\uFFFDb", string(engineio.AppendPayload(nil, engineio.V3, p)))
}

func TestBrokenPayloadsAreRefused(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("6\x1e", engineio.MaxPackets)
	for _, test := range []struct {
		name    string
		version engineio.Version
		body    string
	}{
		{"empty", engineio.V4, ""},
		{"empty packet at the end", engineio.V4, "40\x1e"},
		{"empty packet at the beginning", engineio.V4, "\x1e40"},
		{"unknown type", engineio.V4, "7"},
		{"type below the digits", engineio.V4, "/"},
		{"no base64", engineio.V4, "b*"},
		{"base64 with a line break", engineio.V4, "bAQ\nL/"},
		{"base64 without padding", engineio.V4, "bAQI"},
		{"too many packets", engineio.V4, many + "6"},
		{"empty", engineio.V3, ""},
		{"no length", engineio.V3, "40"},
		{"no digits", engineio.V3, ":40"},
		{"negative length", engineio.V3, "-2:40"},
		{"length with a sign", engineio.V3, "+2:40"},
		{"length zero", engineio.V3, "0:"},
		{"length beyond the end", engineio.V3, "3:40"},
		{"length short of the end", engineio.V3, "1:40"},
		{"length beyond all limits", engineio.V3, "99999999999999999999:40"},
		{"length in a surrogate pair", engineio.V3, "2:4😀"},
		{"length in bytes", engineio.V3, "3:4é"},
		{"text that is not UTF-8", engineio.V3, "2:4\xff"},
		{"binary without a type", engineio.V3, "1:b"},
		{"unknown type", engineio.V3, "1:7"},
		{"no base64", engineio.V3, "3:b4*"},
		{"too many packets", engineio.V3, strings.Repeat("1:6", engineio.MaxPackets+1)},
	} {
		_, err := engineio.ParsePayload(test.version, []byte(test.body))
		require.ErrorIs(t, err, engineio.ErrProtocol, "V%v: %s", test.version, test.name)
	}
	got, err := engineio.ParsePayload(engineio.V4, []byte(strings.TrimSuffix(many, "\x1e")))
	require.NoError(t, err)
	require.Len(t, got, engineio.MaxPackets)
}

func TestBrokenBinaryPayloadsAreRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":                  "",
		"no kind":                "\x02\x01\xff6",
		"no length":              "\x00\xff6",
		"no end of the length":   "\x00\x01",
		"length not of digits":   "\x00\x0a\xff6",
		"length beyond the end":  "\x00\x02\xff6",
		"length zero":            "\x00\x00\xff",
		"length beyond limits":   "\x00" + strings.Repeat("\x09", 30) + "\xff6",
		"unknown type":           "\x00\x01\xff7",
		"unknown type in binary": "\x01\x01\xff4",
		"no UTF-8":               "\x00\x02\xff4\xff",
		"too many packets":       strings.Repeat("\x00\x01\xff6", engineio.MaxPackets+1),
	} {
		_, err := engineio.ParseBinaryPayload([]byte(body))
		require.ErrorIs(t, err, engineio.ErrProtocol, name)
	}
	got, err := engineio.ParseBinaryPayload([]byte("\x01\x03\xff\x04\x00\xff"))
	require.NoError(t, err)
	require.Equal(t, []engineio.Packet{{Type: engineio.Message, Binary: true, Data: []byte{0, 0xff}}}, got)
}
