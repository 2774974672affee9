package engineio_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

// FuzzPayload checks that what is read can be written, and is read again as it
// was.
func FuzzPayload(f *testing.F) {
	for _, b := range bodies(f) {
		f.Add([]byte(b.Text), b.Version == engineio.V3)
		f.Add(b.Octets, true)
	}
	f.Fuzz(func(t *testing.T, body []byte, v3 bool) {
		v := engineio.V4
		if v3 {
			v = engineio.V3
		}
		if packets, err := engineio.ParsePayload(v, body); err == nil {
			requireRoundTrip(t, v, packets)
		}
		if packets, err := engineio.ParseBinaryPayload(body); err == nil {
			requireRoundTrip(t, engineio.V3, packets)
		}
		engineio.UndoDoubleUTF8(body)
		var h engineio.Handshake
		if h.UnmarshalJSON(body) == nil {
			data, err := h.MarshalJSON()
			require.NoError(t, err)
			again := engineio.Handshake{}
			require.NoError(t, again.UnmarshalJSON(data))
			require.Equal(t, h.SID, again.SID)
			require.Equal(t, h.PingInterval, again.PingInterval)
		}
	})
}

func requireRoundTrip(t *testing.T, v engineio.Version, packets []engineio.Packet) {
	t.Helper()
	require.NotEmpty(t, packets)
	require.LessOrEqual(t, len(packets), engineio.MaxPackets)
	again, err := engineio.ParsePayload(v, engineio.AppendPayload(nil, v, packets...))
	require.NoError(t, err)
	require.Equal(t, packets, again)
}

// FuzzPacket checks the same of single WebSocket messages, whose form is unique.
func FuzzPacket(f *testing.F) {
	for _, b := range bodies(f) {
		for _, p := range b.packets() {
			typ, frame := engineio.AppendPacket(nil, b.Version, p)
			f.Add(frame, b.Version == engineio.V3, typ == transport.Binary)
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte, v3, binary bool) {
		v, typ := engineio.V4, transport.Text
		if v3 {
			v = engineio.V3
		}
		if binary {
			typ = transport.Binary
		}
		p, err := engineio.ParsePacket(v, typ, frame)
		if err != nil {
			require.ErrorIs(t, err, engineio.ErrProtocol)
			return
		}
		gotTyp, got := engineio.AppendPacket(nil, v, p)
		require.Equal(t, typ, gotTyp)
		require.Equal(t, string(frame), string(got))
	})
}
