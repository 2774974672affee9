package capture

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/rtcsignal/rtcsignal/internal/jsonx"
)

// The limits of [Read].
const (
	MaxLine    = 32 << 20  // bytes of a line: a message of 16 MiB in base64, and more
	MaxFile    = 512 << 20 // bytes of a file
	MaxEntries = 1_000_000 // of a file
)

// version is that of the format of files.
const version = 1

// A File is a recording that was read.
type File struct {
	Protocol string // as in flags: "galene"; "" if the file does not say
	Target   string // the address of the server, "" if the file does not say
	Entries  []Entry
}

// A meta is the first line of a file.
type meta struct {
	Inspector int    `json:"inspector"`
	Protocol  string `json:"protocol,omitempty"`
	Target    string `json:"target,omitempty"`
}

// A line is an entry in a file. Their order in the file is their Seq.
type line struct {
	Time   string            `json:"time,omitempty"`
	Conn   string            `json:"conn,omitempty"`
	Kind   Kind              `json:"kind"`
	From   Side              `json:"from,omitempty"`
	Method string            `json:"method,omitempty"`
	URL    string            `json:"url,omitempty"`
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Text   string            `json:"text,omitempty"`   // Data that are UTF-8
	Base64 string            `json:"base64,omitempty"` // others
	Binary bool              `json:"binary,omitempty"`
	Cut    int               `json:"cut,omitempty"`
	Code   int               `json:"code,omitempty"`
	Reason string            `json:"reason,omitempty"`
}

// A Writer writes a file: lines of JSON, the first of which says what the recording is of. It
// is for one goroutine at a time.
type Writer struct {
	enc  *json.Encoder
	mask func(Entry) Entry
}

// NewWriter writes the first line of a file. What mask returns is written in place of an
// entry, without changing it; nil has all secrets written.
func NewWriter(w io.Writer, protocol, target string, mask func(Entry) Entry) (*Writer, error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(meta{version, protocol, target}); err != nil {
		return nil, err
	}
	return &Writer{enc, mask}, nil
}

// Write writes an entry. [Read] returns the same one, with a Seq from 1 on, as long as its
// texts are UTF-8; Data may be anything.
func (w *Writer) Write(e Entry) error {
	if w.mask != nil {
		e = w.mask(e)
	}
	l := line{
		Conn: e.Conn, Kind: e.Kind, From: e.From, Method: e.Method, URL: e.URL, Status: e.Status,
		Header: e.Header, Binary: e.Binary, Cut: e.Cut, Code: e.Code, Reason: e.Reason,
	}
	if !e.Time.IsZero() {
		l.Time = e.Time.UTC().Format(time.RFC3339Nano)
	}
	if readable(e.Data) {
		l.Text = string(e.Data)
	} else {
		l.Base64 = base64.StdEncoding.EncodeToString(e.Data)
	}
	return w.enc.Encode(l)
}

// maxText is how long a text may become by the escapes of JSON, which is more than the same
// in base64: the largest message fits a line in one of the two.
const maxText = MaxLine * 3 / 4

// readable reports whether data are written as text: if they are UTF-8, and not so full of
// what has to be escaped that they would not fit a line.
func readable(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	if len(data) <= maxText/6 { // the longest escape of a byte
		return true
	}
	escaped := len(data)
	for _, c := range data {
		switch {
		case c == '"', c == '\\':
			escaped++
		case c < ' ':
			escaped += 5
		case c == 0xE2: // it begins U+2028 and U+2029
			escaped += 3
		}
	}
	return escaped <= maxText
}

// entry returns what a line says.
func (l *line) entry() (Entry, error) {
	e := Entry{
		Conn: l.Conn, Kind: l.Kind, From: l.From, Method: l.Method, URL: l.URL, Status: l.Status,
		Header: l.Header, Binary: l.Binary, Cut: l.Cut, Code: l.Code, Reason: l.Reason,
	}
	switch l.Kind {
	case Open, Message, Close, Request, Response, Note:
	default:
		return e, fmt.Errorf("there is no kind %q", l.Kind)
	}
	switch l.From {
	case Client, Server, "":
	default:
		return e, fmt.Errorf("there is no side %q", l.From)
	}
	if l.Time != "" {
		t, err := time.Parse(time.RFC3339Nano, l.Time)
		if err != nil {
			return e, err
		}
		e.Time = t.UTC()
	}
	if l.Text != "" && l.Base64 != "" {
		return e, errors.New("text and base64 in one entry")
	}
	if l.Cut < 0 {
		return e, errors.New("a negative size")
	}
	if l.Text != "" {
		e.Data = []byte(l.Text)
	} else if l.Base64 != "" {
		data, err := base64.StdEncoding.DecodeString(l.Base64)
		if err != nil {
			return e, err
		}
		e.Data = data
	}
	if len(e.Header) == 0 {
		e.Header = nil
	}
	return e, nil
}

// WriteFile writes entries as a file.
func WriteFile(w io.Writer, f *File, mask func(Entry) Entry) error {
	buf := bufio.NewWriter(w)
	out, err := NewWriter(buf, f.Protocol, f.Target, mask)
	if err != nil {
		return err
	}
	for _, e := range f.Entries {
		if err := out.Write(e); err != nil {
			return err
		}
	}
	return buf.Flush()
}

// A format reads the lines of one kind of file. The first line is read as the others are.
type format interface {
	read(data []byte) error
}

// Read reads a file: one of a [Writer], or a trace in one of the four formats in which this
// module's protocols were recorded. It finds out which by the first line. The error says in
// which line it is.
func Read(r io.Reader) (*File, error) { return read(r, limits{MaxLine, MaxFile, MaxEntries}) }

type limits struct{ line, file, entries int }

func read(r io.Reader, limit limits) (*File, error) {
	f := &File{}
	b := &builder{file: f, last: make(map[string]int), names: make(map[string]int), asked: make(map[string][]Entry)}
	var lines format
	in := bufio.NewReaderSize(io.LimitReader(r, int64(limit.file)+1), 64<<10)
	var buf []byte
	total := 0
	for n := 1; ; n++ {
		var err error
		if buf, err = readLine(in, buf[:0], limit.line); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if total += len(buf); total > limit.file {
			return nil, fmt.Errorf("line %d: the file is longer than %d bytes", n, limit.file)
		}
		text := bytes.TrimSpace(buf)
		if n == 1 {
			text = bytes.TrimPrefix(text, []byte("\uFEFF"))
		}
		if len(text) == 0 {
			continue
		}
		if lines == nil {
			if lines, err = detect(b, text); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
		if err := lines.read(text); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(f.Entries) > limit.entries {
			return nil, fmt.Errorf("line %d: the file has more than %d entries", n, limit.entries)
		}
	}
	if lines == nil {
		return nil, errors.New("the file is empty")
	}
	for i := range f.Entries {
		f.Entries[i].Seq = i + 1
		if len(f.Entries[i].Data) == 0 {
			f.Entries[i].Data = nil
		}
	}
	return f, nil
}

// readLine returns the next line, appended to buf, with what ends it.
func readLine(in *bufio.Reader, buf []byte, limit int) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		buf = append(buf, part...)
		switch {
		case len(buf) > limit:
			return nil, fmt.Errorf("it is longer than %d bytes", limit)
		case err == nil:
			return buf, nil
		case err == io.EOF && len(buf) > 0:
			return buf, nil
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// detect finds out of which format the first line is.
func detect(b *builder, first []byte) (format, error) {
	members, err := membersOf(first)
	if err != nil {
		return nil, err
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if _, ok := members[name]; !ok {
				return false
			}
		}
		return true
	}
	event := ""
	if has("event") {
		if text, ok := jsonx.Text(members["event"]); ok {
			event = string(text)
		}
	}
	switch {
	case has("inspector"):
		return &ownFormat{builder: b}, nil
	case has("meta"), has("client", "frame"), has("client") && (event == "http" || event == "ws_open"):
		b.file.Protocol = "easyrtc"
		return &easyrtcTrace{builder: b}, nil
	case event == "meta", has("conn", "role"):
		b.file.Protocol = "cuttlefish"
		return &cuttlefishTrace{builder: b}, nil
	case has("peer", "kind", "body"):
		b.file.Protocol = "mediasoup"
		return &mediasoupTrace{builder: b}, nil
	case has("dir", "client"):
		b.file.Protocol = "galene"
		return &galeneTrace{builder: b}, nil
	}
	return nil, errors.New("this is no recording")
}

// membersOf returns the members of an object.
func membersOf(object []byte) (map[string]json.RawMessage, error) {
	if err := jsonx.Check(object); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, err
	}
	return members, nil
}

// An ownFormat reads what a [Writer] wrote.
type ownFormat struct {
	*builder
	begun bool
}

func (o *ownFormat) read(data []byte) error {
	if !o.begun {
		o.begun = true
		var m meta
		if err := jsonx.Unmarshal(data, &m); err != nil {
			return err
		}
		if m.Inspector != version {
			return fmt.Errorf("a file of version %d, which is not known", m.Inspector)
		}
		o.file.Protocol, o.file.Target = m.Protocol, m.Target
		return nil
	}
	var l line
	if err := jsonx.Unmarshal(data, &l); err != nil {
		return err
	}
	e, err := l.entry()
	if err != nil {
		return err
	}
	o.file.Entries = append(o.file.Entries, e)
	return nil
}

// A builder collects the entries of a file.
type builder struct {
	file  *File
	last  map[string]int     // the index of the newest entry of a connection
	names map[string]int     // how many connections a peer has had
	asked map[string][]Entry // the requests of a connection that were not answered yet
}

// maxAsked is how many requests of a connection wait for their answers; the oldest are forgotten.
const maxAsked = 64

// add takes an entry of a trace.
func (b *builder) add(e Entry) {
	if len(e.Data) == 0 {
		e.Data = nil
	}
	if len(e.Header) == 0 {
		e.Header = nil
	}
	if e.Kind == Request {
		if len(b.asked[e.Conn]) >= maxAsked {
			b.asked[e.Conn] = b.asked[e.Conn][1:]
		}
		b.asked[e.Conn] = append(b.asked[e.Conn], e)
	}
	b.file.Entries = append(b.file.Entries, e)
	b.last[e.Conn] = len(b.file.Entries) - 1
}

// answered returns the request of a connection that a response with this URL, or with any if
// it is "", answers.
func (b *builder) answered(conn, method, url string) Entry {
	for i, e := range b.asked[conn] {
		if (url == "" || url == e.URL) && (method == "" || method == e.Method) {
			b.asked[conn] = slices.Delete(b.asked[conn], i, i+1)
			return e
		}
	}
	return Entry{Method: method, URL: url}
}

// opened returns the newest entry of a connection, if that is its opening.
func (b *builder) opened(conn string) *Entry {
	if i, ok := b.last[conn]; ok && b.file.Entries[i].Kind == Open {
		return &b.file.Entries[i]
	}
	return nil
}

// connect returns the name of a peer's next connection.
func (b *builder) connect(peer string) string {
	b.names[peer]++
	return b.current(peer)
}

// current returns the name of a peer's newest connection.
func (b *builder) current(peer string) string {
	if n := b.names[peer]; n > 1 {
		return fmt.Sprintf("%s (%d)", peer, n)
	}
	return peer
}

// setHeader sets what was learned about an entry later.
func setHeader(e *Entry, name, value string) {
	header := maps.Clone(e.Header)
	if header == nil {
		header = make(map[string]string)
	}
	header[name] = value
	e.Header = header
}

// header returns the header of those pairs of names and values whose value is not empty.
func header(pairs ...string) map[string]string {
	h := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			h[pairs[i]] = pairs[i+1]
		}
	}
	return h
}
