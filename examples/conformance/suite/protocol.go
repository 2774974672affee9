package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Protocol is what the suite has for a protocol.
type Protocol struct {
	Name       string
	References []Reference // the document is the first
	Cases      []*Case
	Values     map[string]json.RawMessage // what names in all cases stand for
	// Dial connects a peer. args are the words after open. An error of *Refusal is an event.
	Dial func(ctx context.Context, server *Server, args []string) (Peer, error)
}

// A Reference is somebody whose behaviour is known.
type Reference struct {
	Name  string `json:"name"`  // as in files of cases
	Title string `json:"title"` // for people, with the version
}

// A Server is the one that is put to the test.
type Server struct {
	URL    string
	Params map[string]string // what the user has given besides, by the names of a case's needs
}

// A Peer is one connection to the server, for one goroutine at a time.
type Peer interface {
	// Send sends a text, of which label may be a part.
	Send(label, text string) error
	// SendRaw sends bytes as they are.
	SendRaw(data []byte, binary bool) error
	// Close closes the connection in order; Cut without a close frame.
	Close(code int) error
	Cut() error
	// Events has what happens to the peer; it is closed behind the last one. Heartbeats and
	// the like are not events.
	Events() <-chan Event
}

// An Event is what happens to a peer: a message, or the end.
type Event struct {
	Label   string
	Data    []byte // nil if there is only a label
	Closed  bool
	Code    int // of the end; 1006 without a close frame
	Refused int // the HTTP status with which a connection was refused
}

// String returns the event as a file of cases has it, in one line that does nothing to a
// terminal.
func (e Event) String() string {
	switch {
	case e.Refused != 0:
		return fmt.Sprint("refused ", e.Refused)
	case e.Closed:
		return fmt.Sprint("closed ", e.Code)
	case e.Data == nil:
		return "< " + printable(e.Label)
	case !json.Valid(e.Data):
		return printable(strings.TrimSpace("<raw "+e.Label)) + " " + strconv.Quote(string(e.Data))
	}
	return printable(strings.TrimSpace("< "+e.Label) + " " + string(e.Data))
}

// printable escapes what is not to be seen.
func printable(s string) string {
	if strings.IndexFunc(s, isOdd) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isOdd(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isOdd(r rune) bool { return !unicode.IsPrint(r) }

// A Refusal is a connection that an HTTP status has refused.
type Refusal struct{ Status int }

// Error says so.
func (r *Refusal) Error() string { return fmt.Sprintf("refused with status %d", r.Status) }

// Load reads the cases of a protocol from the files of a folder.
func (p *Protocol) Load(files fs.FS, dir string) error {
	var known []string
	for _, r := range p.References {
		known = append(known, r.Name)
	}
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, e := range entries {
		data, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		cases, err := Parse(strings.TrimSuffix(e.Name(), path.Ext(e.Name())), string(data), known)
		if err != nil {
			return err
		}
		for _, c := range cases {
			if seen[c.Name] {
				return fmt.Errorf("%s: there are two cases %q", c.Topic, c.Name)
			}
			seen[c.Name] = true
		}
		p.Cases = append(p.Cases, cases...)
	}
	return nil
}
