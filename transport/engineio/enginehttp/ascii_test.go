package enginehttp

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

func TestEscapedTextMeansTheSameInJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "plain", "é", "a☕b😀c", "\u2028", "\uffff", "\x7f"} {
		b, err := json.Marshal(text)
		require.NoError(t, err)
		out := escaped(b)
		for _, c := range out {
			require.Less(t, c, byte(0x80), text)
		}
		var same string
		require.NoError(t, json.Unmarshal(out, &same))
		require.Equal(t, text, same)
	}
}

func TestOnlyTextOfOldVersionsIsEscaped(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version engineio.Version
		ascii   bool
		want    string
	}{
		{engineio.V3, true, `2["\u00e9\ud83d\ude00"]`},
		{engineio.V3, false, `2["é😀"]`},
		{engineio.V4, true, `2["é😀"]`},
	} {
		l := newLine(test.version, &Options{ASCII: test.ascii}, func() {})
		_, frame := engineio.AppendPacket(nil, test.version, engineio.Packet{Type: engineio.Message, Data: []byte(`2["é😀"]`)})
		require.NoError(t, l.Write(transport.Text, frame))
		typ, frame := engineio.AppendPacket(nil, test.version, engineio.Packet{Type: engineio.Message, Binary: true, Data: []byte("é")})
		require.NoError(t, l.Write(typ, frame))
		packets := l.take(0)
		require.Len(t, packets, 2)
		require.Equal(t, test.want, string(packets[0].Data))
		require.Equal(t, "é", string(packets[1].Data))
	}
}
