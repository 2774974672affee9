package engineio

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// MaxPackets is how many packets a payload may have.
const MaxPackets = 10_000

// separator stands between the packets of a V4 payload.
const separator = 0x1e

// Digits of a length in a V3 payload that are read: more would be beyond any
// limit of a body.
const maxLengthDigits = 9

var (
	errTooManyPackets = fmt.Errorf("%w: more than %d packets in a payload", ErrProtocol, MaxPackets)
	errBase64         = fmt.Errorf("%w: bad base64", ErrProtocol)
	errLength         = fmt.Errorf("%w: bad length of a packet", ErrProtocol)
	errUTF8           = fmt.Errorf("%w: text that is not UTF-8", ErrProtocol)
)

// ParsePayload reads the body of a long-polling request or answer, which has
// one packet or more. Data of text packets are parts of body.
//
// In V4 the packets are separated by the byte 0x1E; whether they are UTF-8 is
// not checked. In V3 each is preceded by its length in UTF-16 code units.
func ParsePayload(v Version, body []byte) ([]Packet, error) {
	if v == V3 {
		return parsePayloadV3(body)
	}
	n := bytes.Count(body, []byte{separator}) + 1
	if n > MaxPackets {
		return nil, errTooManyPackets
	}
	packets := make([]Packet, 0, n)
	for range n {
		var text []byte
		text, body, _ = bytes.Cut(body, []byte{separator})
		p, err := parseV4(text)
		if err != nil {
			return nil, err
		}
		packets = append(packets, p)
	}
	return packets, nil
}

func parseV4(text []byte) (Packet, error) {
	if len(text) == 0 || text[0] != 'b' {
		return parseText(text)
	}
	data, err := decodeBase64(text[1:])
	return Packet{Type: Message, Binary: true, Data: data}, err
}

func parsePayloadV3(body []byte) ([]Packet, error) {
	var packets []Packet
	for {
		if len(packets) == MaxPackets {
			return nil, errTooManyPackets
		}
		digits, _, found := bytes.Cut(body[:min(len(body), maxLengthDigits+1)], []byte{':'})
		units, ok := decimal(digits)
		if !found || !ok {
			return nil, errLength
		}
		body = body[len(digits)+1:]
		n, err := utf16Prefix(body, units)
		if err != nil {
			return nil, err
		}
		p, err := parseV3(body[:n])
		if err != nil {
			return nil, err
		}
		packets = append(packets, p)
		if body = body[n:]; len(body) == 0 {
			return packets, nil
		}
	}
}

func parseV3(text []byte) (Packet, error) {
	if len(text) == 0 || text[0] != 'b' {
		return parseText(text)
	}
	p, err := parseText(text[1:])
	if err != nil {
		return Packet{}, err
	}
	p.Binary = true
	p.Data, err = decodeBase64(p.Data)
	return p, err
}

// decimal reads a number of one to nine ASCII digits.
func decimal(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || len(digits) > maxLengthDigits {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + int(d-'0')
	}
	return n, true
}

// utf16Prefix returns how many bytes of text make the given number of UTF-16
// code units.
func utf16Prefix(text []byte, units int) (n int, err error) {
	for units > 0 {
		if n == len(text) {
			return 0, errLength
		}
		if text[n] < utf8.RuneSelf {
			n++
			units--
			continue
		}
		r, size := utf8.DecodeRune(text[n:])
		if r == utf8.RuneError && size == 1 {
			return 0, errUTF8
		}
		n += size
		units -= utf16Units(r)
	}
	if units < 0 { // the length ends inside a surrogate pair
		return 0, errLength
	}
	return n, nil
}

func utf16Units(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}

func utf16Len(text []byte) (units int) {
	for len(text) > 0 {
		if text[0] < utf8.RuneSelf {
			text = text[1:]
			units++
			continue
		}
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		units += utf16Units(r)
	}
	return units
}

func decodeBase64(text []byte) ([]byte, error) {
	// The decoder would skip them.
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errBase64
	}
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(data, text)
	if err != nil {
		return nil, errBase64
	}
	return data[:n], nil
}

// ParseBinaryPayload reads a body of the type application/octet-stream, which
// servers and clients of V3 send to peers that take binary data: for each packet
// a byte 0 for text or 1 for binary, the digits of its length in bytes as bytes
// 0 to 9, the byte 0xFF and the packet. Data are parts of body.
func ParseBinaryPayload(body []byte) ([]Packet, error) {
	var packets []Packet
	for {
		if len(packets) == MaxPackets {
			return nil, errTooManyPackets
		}
		if len(body) == 0 || body[0] > 1 {
			return nil, errLength
		}
		binary := body[0] == 1
		n, size, ok := binaryLength(body[1:])
		if !ok {
			return nil, errLength
		}
		body = body[1+size:]
		if n > len(body) {
			return nil, errLength
		}
		parse := parseText
		if binary {
			parse = parseBinaryV3
		}
		p, err := parse(body[:n:n])
		if err != nil {
			return nil, err
		}
		if !binary && !utf8.Valid(p.Data) {
			return nil, errUTF8
		}
		packets = append(packets, p)
		if body = body[n:]; len(body) == 0 {
			return packets, nil
		}
	}
}

// binaryLength reads a length up to and including its end, the byte 0xFF.
func binaryLength(b []byte) (n, size int, ok bool) {
	for i, d := range b[:min(len(b), maxLengthDigits+1)] {
		switch {
		case d == 0xff:
			return n, i + 1, i > 0
		case d > 9:
			return 0, 0, false
		}
		n = 10*n + int(d)
	}
	return 0, 0, false
}

// AppendPayload appends the body that carries packets to dst.
//
// Text that is not UTF-8 is made so in V3, where it has no length. In V4 text
// must not contain the byte 0x1E, which would end its packet; JSON never does.
func AppendPayload(dst []byte, v Version, packets ...Packet) []byte {
	for i, p := range packets {
		if v == V3 {
			dst = appendV3(dst, p)
			continue
		}
		if i > 0 {
			dst = append(dst, separator)
		}
		if p.Binary {
			dst = base64.StdEncoding.AppendEncode(append(dst, 'b'), p.Data)
		} else {
			dst = append(append(dst, '0'+byte(p.Type)), p.Data...)
		}
	}
	return dst
}

func appendV3(dst []byte, p Packet) []byte {
	if p.Binary {
		n := 2 + base64.StdEncoding.EncodedLen(len(p.Data))
		dst = append(strconv.AppendInt(dst, int64(n), 10), ':', 'b', '0'+byte(p.Type))
		return base64.StdEncoding.AppendEncode(dst, p.Data)
	}
	data := p.Data
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	dst = append(strconv.AppendInt(dst, int64(1+utf16Len(data)), 10), ':', '0'+byte(p.Type))
	return append(dst, data...)
}

// UndoDoubleUTF8 returns what the text of a V3 payload means when the peer is a
// client of Socket.IO 1, which encodes text as UTF-8 twice. Nothing in the
// protocol tells such a client from one of Socket.IO 2, but its text has only
// characters up to U+00FF whose numbers are valid UTF-8. All other text, and
// ASCII, is returned as it is. A client of Socket.IO 2 that sends such text, as
// in "Ã©", is misunderstood.
func UndoDoubleUTF8(text []byte) []byte {
	first := bytes.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
	if first < 0 {
		return text
	}
	plain := append(make([]byte, 0, len(text)), text[:first]...)
	for rest := text[first:]; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r > 0xff {
			return text
		}
		plain = append(plain, byte(r))
		rest = rest[size:]
	}
	if !utf8.Valid(plain) {
		return text
	}
	return plain
}
