package jsonx

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// What follows reads text that the scanner has checked, and looks at no more of it than it
// must. Of any other text it makes no sense, without a panic.

// stringEnd returns the index behind the closing quote of the string that starts at i.
func stringEnd(data []byte, i int) int {
	i++
	if i+8 <= len(data) { // most are short
		switch mark := quoteOrSlash(binary.LittleEndian.Uint64(data[i:])); {
		case mark == 0:
		case data[i+bits.TrailingZeros64(mark)/8] == '"':
			return i + bits.TrailingZeros64(mark)/8 + 1
		}
	}
	for ; i < len(data); i++ {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			break
		}
		first := i + n
		for first > i && data[first-1] == '\\' {
			first--
		}
		if i += n; (i-first)%2 == 0 { // two backslashes are one
			return i + 1
		}
	}
	return len(data)
}

// quoteOrSlash is [special] for quotes and backslashes alone.
func quoteOrSlash(w uint64) uint64 {
	quote := w ^ (lows * '"')
	slash := w ^ (lows * '\\')
	return ((quote-lows)&^quote | (slash-lows)&^slash) & highs
}

// skip returns the end of the value that starts at i: of a string or a number at once, of
// a container where its brackets balance.
func skip(data []byte, i int) int {
	switch data[i] {
	case '"':
		return stringEnd(data, i)
	case '{', '[':
	default:
		for i < len(data) && !closes[data[i]] {
			i++
		}
		return i
	}
	for depth := 0; i < len(data); i++ {
		switch shape := shapes[data[i]]; {
		case shape == 0:
		case shape == quoted:
			i = stringEnd(data, i) - 1
		default:
			if depth += int(shape); depth == 0 {
				return i + 1
			}
		}
	}
	return len(data)
}

// shapes has the bytes in a container that do not just stand there: brackets, as what they
// add to the depth, and quotes.
var shapes = [256]int8{'{': 1, '[': 1, '}': -1, ']': -1, '"': quoted}

const quoted = 2

// closes has the bytes that may stand behind a number or a literal.
var closes = [256]bool{',': true, ']': true, '}': true, ' ': true, '\t': true, '\r': true, '\n': true}

// isEscaped reports whether the text between the quotes of a string holds escapes.
func isEscaped(text []byte) bool { return bytes.IndexByte(text, '\\') >= 0 }

// unquote appends what stands between the quotes of a string without its escapes, which is
// never longer: dst may be the beginning of text. A lone surrogate becomes U+FFFD, as in
// every decoder of Go.
func unquote(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 >= len(text) {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		if c := meanings[text[i+1]]; c != 0 {
			dst, text = append(dst, c), text[i+2:]
			continue
		}
		r, n := codePoint(text[i:])
		dst, text = utf8.AppendRune(dst, r), text[i+n:]
	}
}

// codePoint returns what the escape \u0000 at the start of text, or two of them, stand for,
// and their length.
func codePoint(text []byte) (r rune, n int) {
	r, n = unit(text), min(len(text), unitLength)
	if !utf16.IsSurrogate(r) {
		return r, n
	}
	if pair := utf16.DecodeRune(r, unit(text[n:])); pair != utf8.RuneError {
		return pair, n + unitLength
	}
	return utf8.RuneError, n
}

const unitLength = len(`\u0000`)

// unit returns the number in the escape \u0000 at the start of text, or U+FFFD if there is
// none.
func unit(text []byte) rune {
	if len(text) < unitLength || text[0] != '\\' || text[1] != 'u' {
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(string(text[2:unitLength]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
