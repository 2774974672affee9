package explain

import (
	"bytes"
	"cmp"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/examples/internal/capture"
)

// hidden stands for a secret, as in the packages of the protocols.
const hidden = "[hidden]"

// clip cuts a text that is longer than so many bytes.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// problem returns an error as a problem, none for nil.
func problem(kind ProblemKind, err error) []Problem {
	if err == nil {
		return nil
	}
	return []Problem{{Kind: kind, Text: err.Error()}}
}

// undecodable is the arrow of data that are no message of the protocol.
func (r *Recording) undecodable(data []byte, err error) Arrow {
	return Arrow{Kind: Message, Name: "unreadable", Problems: problem(Undecodable, err),
		Detail: &Detail{Raw: r.unreadable(data)}}
}

// truncated is the arrow of a message of which a part was not recorded. What is missing
// cannot be judged.
func (r *Recording) truncated(e capture.Entry) Arrow {
	return Arrow{Kind: Message, Name: "message", About: "cut in the recording, " + strconv.Itoa(e.Cut) + " bytes",
		Size: e.Cut, Detail: &Detail{Raw: r.unreadable(e.Data)}}
}

// lifecycle returns the arrow of what happens alike in every protocol: a connection is
// opened or closed, something is noted. It returns none for other entries.
func (r *Recording) lifecycle(e capture.Entry) []Arrow {
	a := Arrow{Kind: Lifecycle}
	switch e.Kind {
	case capture.Open:
		a.Name, a.About = "open", r.address(e.URL)
		if e.Status >= http.StatusBadRequest {
			a.Name = "open refused"
			a.Problems = []Problem{{Kind: Refused, Text: statusText(e.Status)}}
		}
		a.Detail = r.headers(e)
		r.body(a.Detail, e)
	case capture.Close:
		a.Name, a.About = "closed", r.hidden(e.Reason)
		if e.Code != 0 {
			a.Name += " " + strconv.Itoa(e.Code)
		}
		if refusesByClosing(e.Code) {
			a.Problems = []Problem{{Kind: Refused, Text: strings.TrimSuffix(closeText(e.Code)+": "+a.About, ": ")}}
		}
	case capture.Note:
		a.Name, a.About = "note", r.hidden(e.Reason)
	default:
		return nil
	}
	return []Arrow{a}
}

// refusesByClosing reports whether a close code says that the other side has done something
// wrong, or that the own one fails.
func refusesByClosing(code int) bool {
	switch code {
	case 0, 1000, 1001, 1005, 1006, 1012:
		return false
	}
	return true
}

// closeCodes are the names that RFC 6455 gives to codes.
var closeCodes = map[int]string{
	1002: "protocol error", 1003: "unsupported data", 1007: "invalid payload", 1008: "policy violation",
	1009: "message too big", 1010: "extension missing", 1011: "internal error", 1013: "try again later",
}

func closeText(code int) string {
	return strings.TrimSuffix("closed with "+strconv.Itoa(code)+", "+closeCodes[code], ", ")
}

func statusText(code int) string {
	return strings.TrimSpace("HTTP " + strconv.Itoa(code) + " " + http.StatusText(code))
}

// carrier returns the arrow of an HTTP request or response that is told as such, none for
// other entries. Its body is in the detail where show says so.
func (r *Recording) carrier(e capture.Entry, show bool) []Arrow {
	a := Arrow{Kind: Carrier, About: r.address(e.URL), Detail: r.headers(e)}
	switch e.Kind {
	case capture.Request:
		a.Name = cmp.Or(e.Method, "request")
	case capture.Response:
		a.Name = "response"
		if e.Status != 0 {
			a.Name = statusText(e.Status)
		}
		if e.Status >= http.StatusBadRequest && !isAsset(e.URL) {
			a.Problems = []Problem{{Kind: Refused, Text: statusText(e.Status)}}
		}
	default:
		return nil
	}
	if show {
		r.body(a.Detail, e)
	}
	return []Arrow{a}
}

// isAsset reports whether an address is of a part of a page, which browsers ask for whether
// it exists or not.
func isAsset(address string) bool {
	name, _, _ := strings.Cut(address, "?")
	switch path.Ext(name) {
	case ".ico", ".png", ".svg", ".jpg", ".css", ".js", ".mjs", ".map", ".woff2", ".html", ".webmanifest":
		return true
	}
	return false
}

// body adds the body of HTTP to what stands above it.
func (r *Recording) body(d *Detail, e capture.Entry) {
	data := e.Data
	switch {
	case len(data) == 0:
		return
	case !r.Secrets && capture.SecretBody(e.URL):
		d.Raw += "\n" + hidden
		return
	}
	d.Raw += "\n" + r.unreadable(data)
	if bytes.HasPrefix(data, []byte("v=0")) { // of WHIP
		d.Folds = append(d.Folds, sdpFold("", string(data)))
	}
}

// secretWords are in the names of what is masked in headers and addresses, and in texts
// that cannot be read.
var secretWords = []string{"password", "token", "credential", "secret", "authori", "cookie", "auth", "apikey"}

func isSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}

// address returns a path and query with its secrets masked.
func (r *Recording) address(address string) string {
	path, query, ok := strings.Cut(address, "?")
	if r.Secrets {
		return address
	}
	if path = r.hidden(path); !ok {
		return path
	}
	members := strings.Split(query, "&")
	for i, member := range members {
		name, value, _ := strings.Cut(member, "=")
		if plain, err := url.QueryUnescape(name); err != nil || isSecret(plain) || capture.SecretName(plain) {
			members[i] = name + "=" + hidden
		} else if value != "" {
			members[i] = name + "=" + r.hidden(value)
		}
	}
	return path + "?" + strings.Join(members, "&")
}

// hidden returns a text with the secrets in the addresses in it masked.
func (r *Recording) hidden(text string) string {
	if r.Secrets {
		return text
	}
	return capture.HideInText(text, func(string) string { return hidden })
}

// headers returns what stands above the body of HTTP.
func (r *Recording) headers(e capture.Entry) *Detail {
	var b strings.Builder
	switch {
	case e.Kind == capture.Response:
		b.WriteString(statusText(e.Status) + "\n")
	case e.URL != "":
		b.WriteString(strings.TrimSpace(e.Method+" "+r.address(e.URL)) + "\n")
	}
	names := make([]string, 0, len(e.Header))
	for name := range e.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := r.hidden(e.Header[name])
		if !r.Secrets && (isSecret(name) || capture.SecretName(name)) {
			value = hidden
		}
		b.WriteString(name + ": " + value + "\n")
	}
	return &Detail{Raw: b.String()}
}

// text returns data as they are shown.
func text(data []byte) string {
	if utf8.Valid(data) {
		return string(data)
	}
	return strconv.Quote(string(data))
}

// unreadable returns data that no codec takes as they are shown: nobody knows where their
// secrets are, so that those in which there may be some are hidden.
func (r *Recording) unreadable(data []byte) string {
	if r.Secrets || len(data) == 0 {
		return text(data)
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 || bytes.Contains(data, []byte(`\u`)) || isSecret(string(data)) {
		return hidden
	}
	return text(data)
}

// masked returns data for people: with secrets masked by redact, or as they are.
func (r *Recording) masked(data []byte, redact func([]byte) []byte) []byte {
	if r.Secrets || redact == nil {
		return data
	}
	return redact(data)
}

// A pending remembers what waits for an answer, so that the answer can be called by what
// it answers. Of equal keys the oldest is taken first.
type pending[K comparable, V any] struct {
	keys   []K
	values []V
}

// maxPending is how many may wait; the oldest are forgotten.
const maxPending = 256

func (p *pending[K, V]) put(key K, value V) {
	if len(p.keys) >= maxPending {
		p.keys, p.values = slices.Delete(p.keys, 0, 1), slices.Delete(p.values, 0, 1)
	}
	p.keys, p.values = append(p.keys, key), append(p.values, value)
}

func (p *pending[K, V]) take(key K) (value V, ok bool) {
	i := slices.Index(p.keys, key)
	if i < 0 {
		return value, false
	}
	value = p.values[i]
	p.keys, p.values = slices.Delete(p.keys, i, i+1), slices.Delete(p.values, i, i+1)
	return value, true
}

// closedState is the state of both sides after the end of a connection, for those
// protocols whose machines have no name for it.
const closedState = "closed"

// joinedBy joins the texts that are not empty.
func joinedBy(separator string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), separator)
}

// short returns the beginning of an id.
func short(id string) string {
	const shown = 8
	if len(id) <= shown+4 {
		return id
	}
	return clip(id, shown+len("…"))
}

// textOf returns the text behind a pointer, "" for none.
func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// socket explains an entry of a protocol of which a connection is one WebSocket: over is set when
// that has ended, and states are those after the entry.
func (r *Recording) socket(
	e capture.Entry, over *bool, message func(capture.Entry) Arrow, states func() (client, server string),
) []Arrow {
	var arrows []Arrow
	switch e.Kind {
	case capture.Message:
		arrows = []Arrow{message(e)}
	case capture.Request, capture.Response:
		return r.carrier(e, true)
	case capture.Open:
		arrows = r.lifecycle(e)
		*over = e.Status >= 400
	case capture.Close:
		*over = true
		arrows = r.lifecycle(e)
	default:
		arrows = r.lifecycle(e)
	}
	for i := range arrows {
		arrows[i].Client, arrows[i].Server = states()
	}
	return arrows
}
