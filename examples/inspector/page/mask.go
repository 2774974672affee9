package page

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// Mask returns an entry for a file that is given away: passwords, tokens and the credentials of
// TURN servers are asterisks in it, as many as they had bytes, so that the entry can still be
// read as what it was. What the application sends beside the protocol is not known here, and
// stays as it is. The entry itself is not changed.
func Mask(e capture.Entry) capture.Entry {
	switch {
	case capture.SecretBody(e.URL):
		e.Data = []byte(asterisks(string(e.Data)))
	case bytes.HasPrefix(e.Data, gzipped):
		e.Cut, e.Data = max(e.Cut, len(e.Data)), nil // whatever is in it
	default:
		e.Data = maskText(maskForm(maskAddresses(e.Data)), 0)
	}
	e.URL = capture.HideInText(e.URL, asterisks)
	e.Reason = string(maskText(maskAddresses([]byte(e.Reason)), 0))
	if len(e.Header) > 0 {
		header := make(map[string]string, len(e.Header))
		for name, value := range e.Header {
			header[name] = capture.HideInText(value, asterisks)
			if capture.SecretName(name) {
				header[name] = asterisks(value)
			}
		}
		e.Header = header
	}
	return e
}

// gzipped begins a body that somebody has compressed without being asked to.
var gzipped = []byte{0x1f, 0x8b}

func asterisks(s string) string { return strings.Repeat("*", len(s)) }

// maskAddresses masks what is secret in the addresses in a text.
func maskAddresses(data []byte) []byte {
	if bytes.IndexByte(data, '=') < 0 && bytes.IndexByte(data, '/') < 0 {
		return data
	}
	return []byte(capture.HideInText(string(data), asterisks))
}

// maskForm masks what is secret in a form: by its name, or because JSON with something secret
// is the value, as in those of Engine.IO for scripts.
func maskForm(data []byte) []byte {
	name, _, ok := bytes.Cut(data, []byte{'='})
	if !ok || len(name) > 200 || bytes.ContainsAny(name, "\"{[< \n") {
		return data
	}
	members := strings.Split(string(data), "&")
	for i, m := range members {
		name, value, _ := strings.Cut(m, "=")
		plain, err := url.QueryUnescape(name)
		inside, err2 := url.QueryUnescape(value)
		if err != nil || err2 != nil || capture.SecretName(plain) ||
			string(maskText([]byte(inside), 0)) != inside {
			members[i] = name + "=" + asterisks(value)
		}
	}
	return []byte(strings.Join(members, "&"))
}

// maxNested is how many messages within strings within messages are looked at; those that are
// further in are masked as a whole.
const maxNested = 4

// maskText masks the values of secret members in all JSON that is in a text, whatever is before
// it, between and behind: the prefixes and lengths of carriers stay right. What is no JSON after
// all, or ends in the midst of it, is masked as far as it goes.
func maskText(data []byte, nested int) []byte {
	m := masker{data: data, nested: nested, tokens: tokenKind.Match(data), login: loginMethod.Match(data)}
	for m.at < len(m.data) {
		if m.data[m.at] != '"' {
			m.at++
			continue
		}
		from := m.at
		m.skipString()
		to := m.at
		name, readable := unquote(m.data[from:to])
		m.skipSpace()
		if m.at < len(m.data) && m.data[m.at] == ':' {
			m.at++
			if capture.SecretName(name) || m.tokens && name == "value" || m.login && name == "params" && m.list() {
				m.maskValue()
			}
			continue
		}
		switch { // a message in a string
		case !strings.Contains(name, `"`):
		case !readable: // or of which the end is missing
			if capture.SecretName(name) {
				m.hide(from+1, to)
			}
		case nested < maxNested:
			m.maskNested(from, to, name)
		default:
			m.hide(from+1, to)
		}
	}
	return m.result()
}

// A masker goes through a text, which it copies before it changes it.
type masker struct {
	data   []byte
	at     int
	nested int
	copied bool
	edits  []edit
	tokens bool // there is one, or several, in Galène's value
	login  bool // params are that of MSE's login, where a list has no names
}

// What tells that a text has secrets that have no name.
var (
	tokenKind   = regexp.MustCompile(`(?i)"kind"\s*:\s*"[a-z]*token`)
	loginMethod = regexp.MustCompile(`(?i)"method"\s*:\s*"auth"`)
)

// list reports whether the value that begins here is an array.
func (m *masker) list() bool {
	m.skipSpace()
	return m.at < len(m.data) && m.data[m.at] == '['
}

// An edit puts a string in the place of another.
type edit struct {
	from, to int
	quoted   []byte
}

// result returns the text with its edits.
func (m *masker) result() []byte {
	if len(m.edits) == 0 {
		return m.data
	}
	var b bytes.Buffer
	at := 0
	for _, e := range m.edits {
		b.Write(m.data[at:e.from])
		b.Write(e.quoted)
		at = e.to
	}
	b.Write(m.data[at:])
	return b.Bytes()
}

// skipString goes behind a string that begins here, or to the end of the text.
func (m *masker) skipString() {
	for m.at++; m.at < len(m.data); m.at++ {
		switch m.data[m.at] {
		case '\\':
			m.at++
		case '"':
			m.at++
			return
		}
	}
	m.at = len(m.data)
}

func (m *masker) skipSpace() {
	for m.at < len(m.data) && strings.IndexByte(" \t\r\n", m.data[m.at]) >= 0 {
		m.at++
	}
}

// maskValue masks the value that begins here, with all that is in it but names.
func (m *masker) maskValue() {
	for depth := 0; m.at < len(m.data); {
		switch c := m.data[m.at]; {
		case c == '"':
			from := m.at
			m.skipString()
			to := m.at
			m.skipSpace()
			if depth == 0 || m.at >= len(m.data) || m.data[m.at] != ':' {
				m.hide(from+1, to)
			}
		case c == '{' || c == '[':
			depth++
			m.at++
		case c == '}' || c == ']':
			depth--
			m.at++
		case c >= '0' && c <= '9':
			m.own()
			m.data[m.at] = '1' // a number stays one
			m.at++
		case c == ',' && depth == 0:
			return
		default:
			m.at++
		}
		if depth < 0 {
			return
		}
	}
}

// hide masks the inside of a string.
func (m *masker) hide(from, to int) {
	if to > from && m.data[to-1] == '"' {
		to--
	}
	m.own()
	for i := from; i < to; i++ {
		m.data[i] = '*'
	}
}

// maskNested masks the text of a string.
func (m *masker) maskNested(from, to int, text string) {
	masked := maskText([]byte(text), m.nested+1)
	if string(masked) == text {
		return
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(string(masked)) != nil {
		return // a string always has a form
	}
	m.edits = append(m.edits, edit{from, to, bytes.TrimSpace(b.Bytes())})
}

func (m *masker) own() {
	if !m.copied {
		m.data, m.copied = slices.Clone(m.data), true
	}
}

// unquote returns what a string says, or what stands there, and false, if it is none.
func unquote(quoted []byte) (text string, ok bool) {
	if json.Unmarshal(quoted, &text) != nil {
		return string(quoted), false
	}
	return text, true
}
