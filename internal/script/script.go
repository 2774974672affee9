// Package script plays conversations that are written down in text files, on whatever
// can take part in one: a machine, a driver over a pipe, a real peer. It knows no
// protocol; the protocol's test gives it a [Target].
//
// A script is a txtar archive. Its last section, "script", holds one step a line:
//
//	d1 open device             a peer appears; the words after open are the target's
//	d1 > {"a":1}               it sends a text message
//	d1 >raw "\xff{"            the same, quoted as in Go
//	d1 >bin "{}"               it sends a binary message, quoted as in Go
//	d1 < {"b":[2]}             it receives this JSON value
//	d1 <raw "oops"             it receives this text
//	d1 closed 1008             its connection is closed with this code
//	d1 close 1000              it closes its connection
//	d1 quiet                   it receives nothing, said for the reader's sake
//	wait 30s                   time passes
//
// Blank lines and lines that begin with # are for people. What a step brings about
// stands between it and the next one, and it must be all that the peers receive: in
// order for each peer, in any order between them. Other sections, such as "config",
// are the target's as well.
//
// The package has what targets are made of: [ServerWire] and [ClientWire] around machines,
// [Ends] and [ClientPipes] around drivers; and what else the tests of several protocols
// share: a [Line] for tests without a script, a [Table] of what a machine does, [Vectors], a
// [Storm] of bad frames, and a [Crowd] for benchmarks.
package script

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rtcsignal/rtcsignal/transport"
)

// A Target takes part in a conversation on behalf of its peers.
type Target interface {
	// Open brings a peer into being. args are the words after open.
	Open(peer string, args []string) error
	// Send sends a message from a peer.
	Send(peer string, m Message) error
	// Close closes a peer's connection from the peer's side.
	Close(peer string, code int) error
	// Wait lets time pass.
	Wait(d time.Duration) error
	// Next returns the next thing that happened to a peer, and false when there is
	// none. expected says that the script has one, for targets that must wait for it.
	Next(peer string, expected bool) (Event, bool)
}

// A Message is what a peer sends.
type Message struct {
	Data   []byte
	Binary bool
}

// Type returns the type of the message on a connection.
func (m Message) Type() transport.MessageType {
	if m.Binary {
		return transport.Binary
	}
	return transport.Text
}

// An Event is what happens to a peer: a message, or the end of its connection.
type Event struct {
	Data   []byte
	Closed int // the close code; 0 for a message
}

// String returns the event as a script has it.
func (e Event) String() string {
	if e.Closed != 0 {
		return fmt.Sprintf("closed %d", e.Closed)
	}
	var line bytes.Buffer
	if json.Compact(&line, e.Data) != nil {
		return "<raw " + strconv.Quote(string(e.Data))
	}
	return "< " + line.String()
}

// equal compares messages as JSON values where they are JSON.
func (e Event) equal(other Event) bool {
	if e.Closed != 0 || other.Closed != 0 {
		return e.Closed == other.Closed
	}
	a, errA := value(e.Data)
	b, errB := value(other.Data)
	if errA != nil || errB != nil {
		return bytes.Equal(e.Data, other.Data)
	}
	return reflect.DeepEqual(a, b)
}

// value decodes JSON without passing numbers through a float64.
func value(data []byte) (v any, err error) {
	if !json.Valid(data) {
		return nil, fmt.Errorf("script: not JSON: %q", data)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return v, d.Decode(&v)
}

// A Script is one conversation.
type Script struct {
	Name     string // of the file, without the extension
	path     string
	head     []byte // of the file, up to the first step
	sections []File
	steps    []step
}

// Section returns a further section of the archive, or nil.
func (s *Script) Section(name string) []byte {
	i := slices.IndexFunc(s.sections, func(f File) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return s.sections[i].Data
}

// A step is one line.
type step struct {
	text string // as it stands in the file
	line int
	peer string
	verb verb
	args []string
	send Message
	want Event
	code int
	wait time.Duration
}

type verb int

const (
	comment verb = iota
	open
	send
	closes
	wait
	expect // a message or the end
	quiet
)

// Load reads the scripts of a folder, by name. There must be one at least.
func Load(t testing.TB, dir string) []*Script {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("script: no scripts in %s", dir)
	}
	var scripts []*Script
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := read(path, data)
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, s)
	}
	return scripts
}

const marked = "-- script --\n"

func read(path string, data []byte) (*Script, error) {
	base := filepath.Base(path)
	s := &Script{Name: strings.TrimSuffix(base, filepath.Ext(base)), path: path, sections: Parse(data)}
	at := bytes.Index(data, []byte(marked))
	if n := len(s.sections); at < 0 || s.sections[n-1].Name != "script" {
		return nil, fmt.Errorf("script: %s: the last section is not the script", base)
	}
	s.head = data[:at+len(marked)]
	line := bytes.Count(s.head, []byte("\n"))
	for text := range strings.Lines(string(data[len(s.head):])) {
		line++
		st, err := parseStep(strings.TrimRight(text, "\r\n"))
		if err != nil {
			return nil, fmt.Errorf("script: %s:%d: %w", base, line, err)
		}
		st.line = line
		s.steps = append(s.steps, st)
	}
	return s, nil
}

func parseStep(text string) (step, error) {
	st := step{text: text}
	words := strings.Fields(text)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return st, nil
	}
	if len(words) < 2 {
		return st, fmt.Errorf("%q is not a step", text)
	}
	var err error
	if words[0] == "wait" {
		st.verb = wait
		st.wait, err = time.ParseDuration(words[1])
		return st, err
	}
	st.peer = words[0]
	_, rest, _ := strings.Cut(text, words[1])
	rest = strings.TrimSpace(rest)
	switch words[1] {
	case "open":
		st.verb, st.args = open, words[2:]
	case ">":
		st.verb, st.send = send, Message{Data: []byte(rest)}
	case ">raw", ">bin":
		st.verb, st.send.Binary = send, words[1] == ">bin"
		st.send.Data, err = unquote(rest)
	case "<":
		st.verb, st.want = expect, Event{Data: []byte(rest)}
		if !json.Valid(st.want.Data) {
			err = fmt.Errorf("%q is not JSON", rest)
		}
	case "<raw":
		st.verb = expect
		st.want.Data, err = unquote(rest)
	case "closed":
		st.verb = expect
		if st.want.Closed, err = strconv.Atoi(rest); err == nil && st.want.Closed == 0 {
			err = fmt.Errorf("closed without a code")
		}
	case "close":
		st.verb = closes
		st.code, err = strconv.Atoi(rest)
	case "quiet":
		st.verb = quiet
	default:
		err = fmt.Errorf("%q is not a verb", words[1])
	}
	return st, err
}

func unquote(s string) ([]byte, error) {
	text, err := strconv.Unquote(s)
	if err != nil {
		return nil, fmt.Errorf("%s is not quoted as in Go", s)
	}
	return []byte(text), nil
}

// Play plays the script and fails t at the first step that turns out otherwise.
func (s *Script) Play(t testing.TB, target Target) {
	t.Helper()
	if err := s.play(target); err != nil {
		t.Fatal(err)
	}
}

func (s *Script) play(target Target) error {
	var peers []string
	for rest := s.steps; len(rest) > 0; {
		st := rest[0]
		if st.acts() {
			if err := st.do(target); err != nil {
				return s.failed(st, "%w", err)
			}
			rest = rest[1:]
		}
		if st.verb == open {
			peers = append(peers, st.peer)
		}
		n := slices.IndexFunc(rest, step.acts)
		if n < 0 {
			n = len(rest)
		}
		for _, want := range rest[:n] {
			if err := s.check(want, target); err != nil {
				return err
			}
		}
		for _, peer := range peers {
			if e, ok := target.Next(peer, false); ok {
				return s.failed(st, "and then, unexpected:\n\t%s %s", peer, e)
			}
		}
		rest = rest[n:]
	}
	return nil
}

func (s *Script) check(want step, target Target) error {
	switch want.verb {
	case expect:
		got, ok := target.Next(want.peer, true)
		if !ok {
			return s.failed(want, "nothing happened")
		}
		if !got.equal(want.want) {
			return s.failed(want, "instead:\n\t%s %s", want.peer, got)
		}
	case quiet:
		if got, ok := target.Next(want.peer, true); ok {
			return s.failed(want, "instead:\n\t%s %s", want.peer, got)
		}
	}
	return nil
}

func (s *Script) failed(st step, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s\n\t%w", s.path, st.line, st.text, fmt.Errorf(format, args...))
}

// acts reports whether a step does something.
func (st step) acts() bool {
	switch st.verb {
	case open, send, closes, wait:
		return true
	}
	return false
}

func (st step) do(target Target) error {
	switch st.verb {
	case open:
		return target.Open(st.peer, st.args)
	case send:
		return target.Send(st.peer, st.send)
	case closes:
		return target.Close(st.peer, st.code)
	}
	return target.Wait(st.wait)
}

var update = flag.Bool("update", false, "rewrite what the tests expect to what they get")

// Updating reports whether the tests run with -update: whoever plays scripts on the
// target that they are written after calls [Script.Record] then.
func Updating() bool { return *update }

// Record plays the script's acts and rewrites its file to what they bring about. The
// lines for people stay where they are.
func (s *Script) Record(t testing.TB, target Target) {
	t.Helper()
	out, err := s.record(target)
	if err == nil {
		err = os.WriteFile(s.path, out, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Script) record(target Target) ([]byte, error) {
	out := bytes.NewBuffer(slices.Clone(s.head))
	var peers []string
	heard := make(map[string]bool) // since the last act
	for _, st := range s.steps {
		if st.verb == comment || st.verb == quiet && !heard[st.peer] {
			fmt.Fprintln(out, st.text)
		}
		if !st.acts() {
			continue
		}
		if err := st.do(target); err != nil {
			return nil, s.failed(st, "%w", err)
		}
		if st.verb == open {
			peers = append(peers, st.peer)
		}
		fmt.Fprintln(out, st.text)
		clear(heard)
		for _, peer := range peers {
			for e, ok := target.Next(peer, false); ok; e, ok = target.Next(peer, false) {
				fmt.Fprintln(out, peer, e)
				heard[peer] = true
			}
		}
	}
	return out.Bytes(), nil
}
