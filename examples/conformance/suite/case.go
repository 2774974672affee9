package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Document is the name of the reference that is the protocol document.
const Document = "document"

// A Case is one conversation.
type Case struct {
	Name     string // unique in its protocol
	Topic    string // the file's name
	only     []string
	needs    []string
	optional bool
	why      map[string]string // by reference
	acts     []act
}

// An act is what the suite does, and what follows from it.
type act struct {
	line  int
	text  string
	peer  string
	verb  verb
	args  []string // of open
	text2 string   // of send: what is sent, with its label
	data  []byte   // of raw and binary
	code  int
	wait  time.Duration

	want map[string][]step // by reference; "" for those that have none of their own
}

type verb int

const (
	begin verb = iota // nothing: what comes before the first act
	open
	send
	sendRaw
	sendBinary
	closing
	cutting
	waiting
)

// A step is something that a peer hears.
type step struct {
	line     int
	text     string // as it stands in the file, without the reference
	peer     string
	what     Event // as a pattern
	anyCode  bool
	optional bool
	anyOrder bool
	quiet    bool
}

// Parse reads the cases of a file. known are the names of references.
func Parse(topic, text string, known []string) ([]*Case, error) {
	p := parser{known: known, topic: topic, fragments: make(map[string][]string)}
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\r\n")
		if err := p.read(l, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %q: %w", topic, line, l, err)
		}
	}
	cases := p.cases
	for _, c := range cases {
		if len(c.acts) == 1 {
			return nil, fmt.Errorf("%s: the case %q does nothing", topic, c.Name)
		}
	}
	return cases, nil
}

type parser struct {
	topic     string
	known     []string
	cases     []*Case
	c         *Case               // the last one
	fragments map[string][]string // by name
	fragment  string              // the name of the one that is being read
}

func (p *parser) read(l string, line int) error {
	blank := strings.TrimSpace(l) == ""
	if name, ok := strings.CutPrefix(l, ":: "); ok {
		p.fragment = name
		p.fragments[name] = []string{}
		return nil
	}
	if title, ok := strings.CutPrefix(l, "== "); ok {
		p.c = &Case{Name: strings.TrimSpace(title), Topic: p.topic, why: make(map[string]string)}
		p.c.acts = []act{{line: line, want: make(map[string][]step)}}
		p.cases = append(p.cases, p.c)
		p.fragment = ""
		return nil
	}
	switch {
	case blank:
		p.fragment = ""
		return nil
	case strings.HasPrefix(l, "#"):
		return nil
	case p.fragment != "":
		p.fragments[p.fragment] = append(p.fragments[p.fragment], l)
		return nil
	case p.c == nil:
		return nil
	}
	use, ok := strings.CutPrefix(l, "&")
	if !ok {
		return p.take(l, line)
	}
	words := strings.Fields(use)
	if len(words) == 0 || p.fragments[words[0]] == nil {
		return errors.New("there is no such fragment above")
	}
	for _, l := range p.fragments[words[0]] {
		for i, word := range words[1:] {
			l = strings.ReplaceAll(l, "%"+strconv.Itoa(i+1), word)
		}
		if err := p.take(l, line); err != nil {
			return fmt.Errorf("%q: %w", l, err)
		}
	}
	return nil
}

func (p *parser) names(list string) ([]string, error) {
	names := strings.Split(list, ",")
	for _, n := range names {
		if !slices.Contains(p.known, n) {
			return nil, fmt.Errorf("there is no reference %q", n)
		}
	}
	return names, nil
}

var errNoStep = errors.New("it is not a step")

func (p *parser) take(l string, line int) error {
	var err error
	switch first, rest, _ := strings.Cut(l, " "); {
	case first == "only":
		p.c.only, err = p.names(strings.TrimSpace(rest))
		return err
	case first == "optional":
		p.c.optional = true
		return nil
	case first == "needs":
		p.c.needs = append(p.c.needs, strings.Fields(rest)...)
		return nil
	case strings.HasPrefix(first, "@"):
		names, err := p.names(first[1:])
		if err != nil {
			return err
		}
		if why, ok := strings.CutPrefix(rest, "why "); ok {
			for _, n := range names {
				p.c.why[n] = why
			}
			return nil
		}
		return p.hear(names, rest, line)
	}
	if a, ok, err := parseAct(l); err != nil {
		return err
	} else if ok {
		a.line, a.text, a.want = line, l, make(map[string][]step)
		p.c.acts = append(p.c.acts, a)
		return nil
	}
	return p.hear([]string{""}, l, line)
}

// hear adds what references say.
func (p *parser) hear(names []string, l string, line int) error {
	last := &p.c.acts[len(p.c.acts)-1]
	if last.verb == begin {
		return errors.New("nothing has been done yet")
	}
	var steps []step
	if strings.TrimSpace(l) != "-" {
		s, err := parseStep(l)
		if err != nil {
			return err
		}
		s.line = line
		steps = append(steps, s)
	}
	for _, n := range names {
		last.want[n] = append(last.want[n], steps...)
		if last.want[n] == nil {
			last.want[n] = []step{}
		}
	}
	return nil
}

func parseAct(l string) (a act, ok bool, err error) {
	words := strings.Fields(l)
	if len(words) < 2 {
		return a, false, errNoStep
	}
	if words[0] == "wait" {
		a.verb = waiting
		a.wait, err = time.ParseDuration(words[1])
		return a, true, err
	}
	a.peer = words[0]
	_, rest, _ := strings.Cut(l, words[1])
	rest = strings.TrimSpace(rest)
	switch words[1] {
	case "open":
		a.verb, a.args = open, words[2:]
	case ">":
		a.verb, a.text2 = send, rest
	case ">raw", ">bin":
		a.verb = sendRaw
		if words[1] == ">bin" {
			a.verb = sendBinary
		}
		var text string
		text, err = strconv.Unquote(rest)
		a.data = []byte(text)
	case "close":
		a.verb = closing
		a.code, err = strconv.Atoi(rest)
	case "cut":
		a.verb = cutting
	default:
		return a, false, nil
	}
	return a, true, err
}

func parseStep(l string) (s step, err error) {
	words := strings.Fields(l)
	if len(words) < 2 {
		return s, errNoStep
	}
	s.text, s.peer = l, words[0]
	_, rest, _ := strings.Cut(l, words[1])
	rest = strings.TrimSpace(rest)
	switch words[1] {
	case "<", "<?", "<*":
		s.optional, s.anyOrder = words[1] == "<?", words[1] == "<*"
		s.what = parseMessage(rest)
		if s.what.Data != nil && !json.Valid(s.what.Data) {
			err = errors.New("what is received is not JSON")
		}
	case "<raw":
		var text string
		text, err = strconv.Unquote(rest)
		s.what.Data = []byte(text)
	case "refused":
		s.what.Refused, err = strconv.Atoi(rest)
	case "closed":
		s.what.Closed, s.anyCode = true, rest == ""
		if rest != "" {
			s.what.Code, err = strconv.Atoi(rest)
		}
	case "quiet":
		s.quiet = true
	default:
		return s, errNoStep
	}
	return s, err
}

// parseMessage splits a label from the JSON behind it.
func parseMessage(text string) Event {
	i := strings.IndexAny(text, `{["`)
	if i < 0 {
		if json.Valid([]byte(text)) {
			return Event{Data: []byte(text)}
		}
		return Event{Label: text}
	}
	return Event{Label: strings.TrimSpace(text[:i]), Data: []byte(text[i:])}
}

// wants returns what a reference says to an act.
func (a *act) wants(reference string) []step {
	if steps, ok := a.want[reference]; ok {
		return steps
	}
	return a.want[""]
}

// has reports whether a reference has a case.
func (c *Case) has(reference string) bool { return c.only == nil || slices.Contains(c.only, reference) }
