package jsonx

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Check reports what is wrong with data as one JSON value of any type.
func Check(data []byte) error { return CheckAt(data, 1) }

// CheckAt is [Check] for a value that will stand below others: a container in it is
// at that level of the whole text, 2 for a member of a message.
func CheckAt(data []byte, depth int) error {
	o := objects.Get().(*Object)
	defer o.Free()
	s := &o.scanner
	s.reset(data)
	end, err := s.value(s.space(0), depth)
	if err != nil {
		return err
	}
	return s.end(end)
}

// scanner checks a text in one pass. It allocates only for objects of more than
// [linear] members and for names written with escapes.
type scanner struct {
	data      []byte
	unescaped []byte // the names that were written with escapes, without them
	names     []span // of the open objects, innermost last
}

// A span is a part of the text, or of the names without their escapes. It is no slice so
// that what is kept of one text for the next holds no pointers.
type span struct {
	start, end int
	unescaped  bool
}

func (s *scanner) reset(data []byte) { s.data, s.unescaped, s.names = data, nil, s.names[:0] }

func (s *scanner) text(p span) []byte {
	if p.unescaped {
		return s.unescaped[p.start:p.end]
	}
	return s.data[p.start:p.end]
}

// name returns the name of a member from its JSON string.
func (s *scanner) name(start, end int, escaped bool) span {
	if !escaped {
		return span{start: start + 1, end: end - 1}
	}
	from := len(s.unescaped)
	s.unescaped = unquote(s.unescaped, s.data[start+1:end-1])
	return span{from, len(s.unescaped), true}
}

// linear is the size up to which an object's names are compared one by one.
const linear = 16

func (s *scanner) fail(i int, err error) error { return &Error{Offset: i, Err: err} }

// space returns the index of the first byte from i on that is not white space.
func (s *scanner) space(i int) int {
	for i < len(s.data) && (s.data[i] == ' ' || s.data[i] == '\n' || s.data[i] == '\t' || s.data[i] == '\r') {
		i++
	}
	return i
}

func (s *scanner) end(i int) error {
	if i = s.space(i); i < len(s.data) {
		return s.fail(i, ErrSyntax)
	}
	return nil
}

// value checks the value that starts at i and returns where it ends. depth is
// the level of a container that may start here.
func (s *scanner) value(i, depth int) (int, error) {
	if i >= len(s.data) {
		return i, s.fail(i, ErrSyntax)
	}
	switch c := s.data[i]; {
	case c == '"':
		end, _, err := s.str(i)
		return end, err
	case c == '{':
		return s.object(i, depth, nil)
	case c == '[':
		return s.array(i, depth)
	case c == 't':
		return s.literal(i, "true")
	case c == 'f':
		return s.literal(i, "false")
	case c == 'n':
		return s.literal(i, "null")
	default:
		return s.number(i)
	}
}

func (s *scanner) literal(i int, word string) (int, error) {
	if len(s.data)-i < len(word) || string(s.data[i:i+len(word)]) != word {
		return i, s.fail(i, ErrSyntax)
	}
	return i + len(word), nil
}

func (s *scanner) array(i, depth int) (int, error) {
	if depth > MaxDepth {
		return i, s.fail(i, ErrDepth)
	}
	i = s.space(i + 1)
	if i < len(s.data) && s.data[i] == ']' {
		return i + 1, nil
	}
	for {
		end, err := s.value(i, depth+1)
		if err != nil {
			return end, err
		}
		i = s.space(end)
		if i >= len(s.data) {
			return i, s.fail(i, ErrSyntax)
		}
		switch s.data[i] {
		case ',':
			i = s.space(i + 1)
		case ']':
			return i + 1, nil
		default:
			return i, s.fail(i, ErrSyntax)
		}
	}
}

// object checks the object that starts at i. It notes its members in o unless
// that is nil.
func (s *scanner) object(i, depth int, o *Object) (int, error) {
	if depth > MaxDepth {
		return i, s.fail(i, ErrDepth)
	}
	base := len(s.names)
	var set map[string]struct{}
	i = s.space(i + 1)
	if i < len(s.data) && s.data[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(s.data) || s.data[i] != '"' {
			return i, s.fail(i, ErrSyntax)
		}
		start := i
		end, escaped, err := s.str(i)
		if err != nil {
			return end, err
		}
		name := s.name(start, end, escaped)
		if set, err = s.note(name, base, set); err != nil {
			return start, s.fail(start, err)
		}
		i = s.space(end)
		if i >= len(s.data) || s.data[i] != ':' {
			return i, s.fail(i, ErrSyntax)
		}
		start = s.space(i + 1)
		end, err = s.value(start, depth+1)
		if err != nil {
			return end, err
		}
		if o != nil {
			o.members = append(o.members, member{name, start, end})
		}
		i = s.space(end)
		if i >= len(s.data) {
			return i, s.fail(i, ErrSyntax)
		}
		switch s.data[i] {
		case ',':
			i = s.space(i + 1)
		case '}':
			s.names = s.names[:base]
			return i + 1, nil
		default:
			return i, s.fail(i, ErrSyntax)
		}
	}
}

// note remembers a name of the innermost object, whose names begin at base. Past
// [linear] of them it uses a set, so that a large object costs linear time.
func (s *scanner) note(name span, base int, set map[string]struct{}) (map[string]struct{}, error) {
	text := s.text(name)
	if set != nil {
		if _, ok := set[string(text)]; ok {
			return set, ErrDuplicate
		}
		set[string(text)] = struct{}{}
		return set, nil
	}
	for _, other := range s.names[base:] {
		if other.end-other.start == len(text) && bytes.Equal(s.text(other), text) {
			return nil, ErrDuplicate
		}
	}
	s.names = append(s.names, name)
	if len(s.names)-base <= linear {
		return nil, nil
	}
	set = make(map[string]struct{}, 4*linear)
	for _, n := range s.names[base:] {
		set[string(s.text(n))] = struct{}{}
	}
	return set, nil
}

// Eight bytes at a time: the constants of the classic zero-byte test.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns a word whose lowest set bit is the high bit of the first of the
// eight bytes of w that ends or escapes a string, is a control character or begins a
// multi-byte rune. It is 0 when there is none.
func special(w uint64) uint64 {
	quote := w ^ (lows * '"')
	slash := w ^ (lows * '\\')
	return (w | (w - lows*0x20) | (quote - lows) | (slash - lows)) & highs
}

// str checks the string that starts at i with a quote and returns the index
// behind its closing quote and whether it holds escapes.
func (s *scanner) str(i int) (end int, escaped bool, err error) {
	data := s.data
	for i++; i < len(data); {
		for rest := data[i:]; len(rest) >= 8; rest = rest[8:] {
			if mark := special(binary.LittleEndian.Uint64(rest)); mark != 0 {
				i = len(data) - len(rest) + bits.TrailingZeros64(mark)/8
				break
			}
			i = len(data) - len(rest) + 8
		}
		if i >= len(data) {
			break
		}
		switch c := data[i]; {
		case c == '"':
			return i + 1, escaped, nil
		case c == '\\':
			escaped = true
			n := escape(data[i:])
			if n == 0 {
				return i, escaped, s.fail(i, ErrSyntax)
			}
			i += n
		case c < ' ':
			return i, escaped, s.fail(i, ErrSyntax)
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && n <= 1 {
				return i, escaped, s.fail(i, ErrUTF8)
			}
			i += n
		}
	}
	return i, escaped, s.fail(i, ErrSyntax)
}

// escape returns the length of the escape sequence at the start of b, or 0.
// Lone surrogates pass: JSON.stringify of the browsers writes them.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if meanings[b[1]] != 0 {
		return 2
	}
	if b[1] != 'u' || len(b) < 6 {
		return 0
	}
	for _, c := range b[2:6] {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return 0
		}
	}
	return 6
}

// meanings is what the escapes of two bytes stand for, by the second of them.
var meanings = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func (s *scanner) digits(i int) int {
	for i < len(s.data) && '0' <= s.data[i] && s.data[i] <= '9' {
		i++
	}
	return i
}

func (s *scanner) number(start int) (int, error) {
	i := start
	if s.data[i] == '-' {
		i++
	}
	first := i
	i = s.digits(i)
	if i == first || s.data[first] == '0' && i > first+1 {
		return start, s.fail(start, ErrSyntax)
	}
	if i < len(s.data) && s.data[i] == '.' {
		frac := i + 1
		if i = s.digits(frac); i == frac {
			return start, s.fail(start, ErrSyntax)
		}
	}
	if i < len(s.data) && (s.data[i] == 'e' || s.data[i] == 'E') {
		i++
		if i < len(s.data) && (s.data[i] == '+' || s.data[i] == '-') {
			i++
		}
		exp := i
		if i = s.digits(exp); i == exp {
			return start, s.fail(start, ErrSyntax)
		}
	}
	return i, nil
}
