package engineio

import (
	"fmt"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A PacketType is the first character of a packet, as a number.
type PacketType byte

// The types of packets.
const (
	Open    PacketType = iota // the server's handshake
	Close                     // ends a session, in long polling
	Ping                      // asks for a Pong; with the data "probe" begins an upgrade
	Pong                      // answers a Ping, with its data
	Message                   // carries a message
	Upgrade                   // ends an upgrade
	Noop                      // releases a pending poll
)

// String returns the protocol's name of the type.
func (t PacketType) String() string {
	switch t {
	case Open:
		return "open"
	case Close:
		return "close"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	case Message:
		return "message"
	case Upgrade:
		return "upgrade"
	case Noop:
		return "noop"
	}
	return fmt.Sprintf("PacketType(%d)", int(t))
}

// A Packet is one packet of Engine.IO.
type Packet struct {
	Type PacketType
	// Binary says that Data is no text. In V4 only a Message can be binary.
	Binary bool
	Data   []byte
}

// ParsePacket reads a packet from a WebSocket message. The packet's Data is a
// part of frame. Whether text is UTF-8 is not checked.
func ParsePacket(v Version, typ transport.MessageType, frame []byte) (Packet, error) {
	if typ != transport.Binary {
		return parseText(frame)
	}
	if v != V3 {
		return Packet{Type: Message, Binary: true, Data: frame}, nil
	}
	return parseBinaryV3(frame)
}

// parseText reads a packet that begins with its type as a digit.
func parseText(text []byte) (Packet, error) {
	if len(text) == 0 {
		return Packet{}, errEmptyPacket
	}
	t := PacketType(text[0] - '0')
	if t > Noop {
		return Packet{}, errPacketType
	}
	return Packet{Type: t, Data: text[1:]}, nil
}

// parseBinaryV3 reads a packet that begins with its type as a byte.
func parseBinaryV3(data []byte) (Packet, error) {
	if len(data) == 0 {
		return Packet{}, errEmptyPacket
	}
	t := PacketType(data[0])
	if t > Noop {
		return Packet{}, errPacketType
	}
	return Packet{Type: t, Binary: true, Data: data[1:]}, nil
}

var (
	errEmptyPacket = fmt.Errorf("%w: empty packet", ErrProtocol)
	errPacketType  = fmt.Errorf("%w: unknown type of packet", ErrProtocol)
)

// AppendPacket appends the WebSocket message of p to dst and returns its type
// with it. It does not check that p makes sense.
func AppendPacket(dst []byte, v Version, p Packet) (transport.MessageType, []byte) {
	switch {
	case !p.Binary:
		return transport.Text, append(append(dst, '0'+byte(p.Type)), p.Data...)
	case v == V3:
		return transport.Binary, append(append(dst, byte(p.Type)), p.Data...)
	}
	return transport.Binary, append(dst, p.Data...)
}
