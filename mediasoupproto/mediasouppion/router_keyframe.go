package mediasouppion

import "strings"

// A videoCodec is what a key frame is looked for in.
type videoCodec uint8

const (
	codecOther videoCodec = iota // any packet will do to begin with
	codecVP8
	codecVP9
	codecH264
	codecH265
)

// codecOf goes by the name or the MIME type.
func codecOf(name, mimeType string) videoCodec {
	if _, sub, ok := strings.Cut(mimeType, "/"); ok {
		name = sub
	}
	switch strings.ToLower(name) {
	case "vp8":
		return codecVP8
	case "vp9":
		return codecVP9
	case "h264":
		return codecH264
	case "h265":
		return codecH265
	}
	return codecOther
}

// beginsKeyFrame reports whether a decoder can begin with the packet.
func (c videoCodec) beginsKeyFrame(payload []byte) bool {
	switch c {
	case codecVP8:
		return keyVP8(payload)
	case codecVP9:
		return keyVP9(payload)
	case codecH264:
		return keyH264(payload)
	case codecH265:
		return keyH265(payload)
	}
	return true
}

// keyVP8 skips the payload descriptor of RFC 7741, with or without its extensions.
func keyVP8(b []byte) bool {
	if len(b) < 2 || b[0]&0x17 != 0x10 { // the start of the first partition
		return false
	}
	n := 1
	if b[0]&0x80 != 0 {
		x := b[1]
		n = 2
		if x&0x80 != 0 { // PictureID, of one or two bytes
			if len(b) <= n {
				return false
			}
			if b[n]&0x80 != 0 {
				n++
			}
			n++
		}
		if x&0x40 != 0 { // TL0PICIDX
			n++
		}
		if x&0x30 != 0 { // TID, KEYIDX
			n++
		}
	}
	return len(b) > n && b[n]&1 == 0
}

// keyVP9 looks for the start of a frame of the lowest layer that needs no other one.
func keyVP9(b []byte) bool {
	if len(b) == 0 || b[0]&0x48 != 0x08 {
		return false
	}
	if b[0]&0x20 == 0 { // no layers
		return true
	}
	n := 1
	if b[0]&0x80 != 0 {
		if len(b) <= n {
			return false
		}
		if b[n]&0x80 != 0 {
			n++
		}
		n++
	}
	return len(b) > n && b[n]&0x0e == 0
}

// keyH264 looks for parameter sets and pictures that need no other one, as RFC 6184 packs them.
func keyH264(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	switch kind := b[0] & 0x1f; kind {
	case 5, 7:
		return true
	case 24: // STAP-A
		for b = b[1:]; len(b) > 2; {
			size := int(b[0])<<8 | int(b[1])
			b = b[2:]
			if kind := b[0] & 0x1f; kind == 5 || kind == 7 {
				return true
			}
			if size == 0 || size > len(b) {
				return false
			}
			b = b[size:]
		}
	case 28, 29: // FU-A, FU-B
		kind := b[1] & 0x1f
		return b[1]&0x80 != 0 && (kind == 5 || kind == 7)
	}
	return false
}

// keyH265 is the same for RFC 7798.
func keyH265(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	key := func(kind byte) bool { return kind >= 16 && kind <= 21 || kind >= 32 && kind <= 34 }
	switch kind := b[0] >> 1 & 0x3f; kind {
	case 48: // aggregation
		return len(b) > 4 && key(b[4]>>1&0x3f)
	case 49: // fragment
		return b[2]&0x80 != 0 && key(b[2]&0x3f)
	default:
		return key(kind)
	}
}
