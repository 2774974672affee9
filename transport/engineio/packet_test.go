package engineio_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/transport"
	"github.com/rtcsignal/rtcsignal/transport/engineio"
)

func binary(data ...byte) engineio.Packet {
	return engineio.Packet{Type: engineio.Message, Binary: true, Data: append([]byte{}, data...)}
}

func TestPacketsOfWebSocketMessages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version engineio.Version
		typ     transport.MessageType
		frame   string
		packet  engineio.Packet
	}{
		{engineio.V4, transport.Text, "0{}", engineio.Packet{Type: engineio.Open, Data: []byte("{}")}},
		{engineio.V4, transport.Text, "1", engineio.Packet{Type: engineio.Close, Data: []byte{}}},
		{engineio.V4, transport.Text, "2probe", engineio.Packet{Type: engineio.Ping, Data: []byte("probe")}},
		{engineio.V3, transport.Text, "3probe", engineio.Packet{Type: engineio.Pong, Data: []byte("probe")}},
		{engineio.V3, transport.Text, "4é", engineio.Packet{Type: engineio.Message, Data: []byte("é")}},
		{engineio.V4, transport.Text, "5", engineio.Packet{Type: engineio.Upgrade, Data: []byte{}}},
		{engineio.V4, transport.Text, "6", engineio.Packet{Type: engineio.Noop, Data: []byte{}}},
		{engineio.V4, transport.Binary, "\x04\x01", binary(4, 1)},
		{engineio.V4, transport.Binary, "", binary()},
		{engineio.V3, transport.Binary, "\x04\x01", binary(1)},
	} {
		p, err := engineio.ParsePacket(test.version, test.typ, []byte(test.frame))
		require.NoError(t, err, "%q", test.frame)
		require.Equal(t, test.packet, p, "%q", test.frame)
		typ, frame := engineio.AppendPacket([]byte("before"), test.version, p)
		require.Equal(t, test.typ, typ)
		require.Equal(t, "before"+test.frame, string(frame))
	}
}

func TestBrokenPacketsAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version engineio.Version
		typ     transport.MessageType
		frame   string
	}{
		{engineio.V4, transport.Text, ""},
		{engineio.V3, transport.Text, ""},
		{engineio.V4, transport.Text, "7"},
		{engineio.V4, transport.Text, "/"},
		{engineio.V4, transport.Text, "b"},
		{engineio.V3, transport.Text, "\x04"},
		{engineio.V3, transport.Binary, ""},
		{engineio.V3, transport.Binary, "\x07"},
		{engineio.V3, transport.Binary, "4"},
	} {
		_, err := engineio.ParsePacket(test.version, test.typ, []byte(test.frame))
		require.ErrorIs(t, err, engineio.ErrProtocol, "%q", test.frame)
	}
}

func TestTypesOfPacketsHaveTheirNames(t *testing.T) {
	t.Parallel()
	var names []string
	for p := engineio.Open; p <= engineio.Noop+1; p++ {
		names = append(names, p.String())
	}
	require.Equal(t, []string{"open", "close", "ping", "pong", "message", "upgrade", "noop", "PacketType(7)"}, names)
}
