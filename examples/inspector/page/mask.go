package page

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// secretNames are parts of the names of what is secret in any of the protocols, in lower case:
// of members of messages, of headers and of what stands in an address. Who has the sid of an
// open session has the session; it has no other name.
var secretNames = []string{
	"password", "passwd", "token", "credential", "secret", "authorization", "cookie", "apikey",
	"easyrtcsid", "roomparameter", "appdata",
}

func isSecret(name string) bool {
	name = strings.ToLower(name)
	return name == "sid" ||
		slices.ContainsFunc(secretNames, func(part string) bool { return strings.Contains(name, part) })
}

// Mask returns an entry for a file that is given away: passwords, tokens and the credentials of
// TURN servers are asterisks in it, as many as they had bytes, so that the entry can still be
// read as what it was. What the application sends beside the protocol is not known here, and
// stays as it is. The entry itself is not changed.
func Mask(e capture.Entry) capture.Entry {
	e.URL = maskAddress(e.URL)
	e.Data = maskText(e.Data, 0)
	if slices.ContainsFunc(slices.Collect(maps.Keys(e.Header)), isSecret) {
		e.Header = maps.Clone(e.Header)
		for name, value := range e.Header {
			if isSecret(name) {
				e.Header[name] = strings.Repeat("*", len(value))
			}
		}
	}
	return e
}

// maskAddress masks the values of a query.
func maskAddress(address string) string {
	path, query, ok := strings.Cut(address, "?")
	if !ok {
		return address
	}
	members := strings.Split(query, "&")
	for i, m := range members {
		if name, value, ok := strings.Cut(m, "="); ok && isSecret(name) {
			members[i] = name + "=" + strings.Repeat("*", len(value))
		}
	}
	return path + "?" + strings.Join(members, "&")
}

// maxNested is how many messages within strings within messages are looked at.
const maxNested = 4

// maskText masks the values of secret members in all JSON that is in a text, whatever is before
// it, between and behind: the prefixes and lengths of carriers stay right. What is no JSON after
// all, or ends in the midst of it, is masked as far as it goes.
func maskText(data []byte, nested int) []byte {
	m := masker{data: data, nested: nested}
	for m.at < len(m.data) {
		if m.data[m.at] != '"' {
			m.at++
			continue
		}
		from := m.at
		m.skipString()
		to := m.at
		name := unquote(m.data[from:to])
		m.skipSpace()
		if m.at < len(m.data) && m.data[m.at] == ':' {
			m.at++
			if isSecret(name) {
				m.maskValue()
			}
			continue
		}
		if strings.ContainsAny(name, `"`) && nested < maxNested { // a message in a string
			m.maskNested(from, to, name)
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

// unquote returns what a string says, or what stands there if it is none.
func unquote(quoted []byte) string {
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return string(quoted)
	}
	return s
}
