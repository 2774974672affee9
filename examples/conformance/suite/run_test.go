package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A parrot answers what the first word of the arguments of its opening says for each message.
type parrot struct {
	answers []string
	events  chan Event
	end     sync.Once
	writing sync.WaitGroup
	done    chan struct{}
}

func dialParrot(_ context.Context, server *Server, args []string) (Peer, error) {
	switch args[0] {
	case "refuse":
		return nil, &Refusal{Status: 404}
	case "fail":
		return nil, errors.New("no parrot")
	}
	return &parrot{answers: args, events: make(chan Event, 64), done: make(chan struct{})}, nil
}

func (p *parrot) Send(label, text string) error {
	for _, a := range p.answers {
		switch {
		case a == "echo":
			p.events <- Event{Label: label, Data: []byte(text)}
		case a == "late":
			p.writing.Go(func() {
				select {
				case <-time.After(time.Second):
					p.events <- Event{Label: label, Data: []byte(text)}
				case <-p.done:
				}
			})
		case strings.HasPrefix(a, "close"):
			p.events <- Event{Closed: true, Code: 1000 + len(a) - len("close")}
		default:
			p.events <- Event{Data: []byte(a)}
		}
	}
	return nil
}

func (p *parrot) SendRaw(data []byte, binary bool) error { return p.Send("", string(data)) }

func (p *parrot) Close(int) error { return p.Cut() }

func (p *parrot) Cut() error {
	p.end.Do(func() {
		close(p.done)
		p.writing.Wait()
		close(p.events)
	})
	return nil
}

func (p *parrot) Events() <-chan Event { return p.events }

// play runs the cases of a file in a bubble.
func play(t *testing.T, text string, params map[string]string) map[string]*Result {
	t.Helper()
	results := make(map[string]*Result)
	synctest.Test(t, func(t *testing.T) {
		p := &Protocol{
			Name: "parrot", Dial: dialParrot,
			References: []Reference{{Name: Document, Title: "the document"}, {Name: "real", Title: "a real parrot"}},
			Values:     map[string]json.RawMessage{"thing": json.RawMessage(`{"is":[1]}`)},
		}
		var err error
		p.Cases, err = Parse("topic", text, known)
		require.NoError(t, err)
		all, err := Run(t.Context(), p, &Server{Params: params}, nil)
		require.NoError(t, err)
		for _, r := range all {
			results[r.Name] = r
		}
	})
	return results
}

func TestANameWithoutAValueIsGivenOneOfItsKind(t *testing.T) {
	t.Parallel()
	results := play(t, `
== kinds
a open echo
a > {"a":"$numberA","b":"$numberB","again":"$numberA","text":"$new","long":"$big20"}
a < {"a":"$numberA","b":"$numberB","again":"$numberA","text":"~^x[A-Z0-9]{12}$","long":"xxxxxxxxxxxxxxxxxxxx"}
== a number is no text
a open echo
a > "$number"
a < "~."
`, nil)
	require.Equal(t, Passed, results["kinds"].Verdict)
	require.Equal(t, Failed, results["a number is no text"].Verdict)
}

func TestAVerdictSaysWhoseBehaviourItIs(t *testing.T) {
	t.Parallel()
	results := play(t, `
== passes
a open echo
a > {"n":"$thing"}
a < {"n":{"is":[1]}}
== passes with a label
a open echo
a > call {"n":1}
a < call {"n":1}
== passes after a while
a open late
a > {}
a < {}
== passes in any order
a open [1] [2] [3] [4]
a > {}
a <* [3]
a <* [2]
a <* [1]
a < [4]
== passes without what may be left out
a open [2]
a > {}
a <? [1]
a < [2]
== passes with what may be left out
a open [1] [2]
a > {}
a <? [1]
a < [2]
== passes in silence
a open late
a > {}
a quiet
== passes with the values of both
a open echo
b open echo
a > {"id":"$id"}
a < {"id":"$id"}
b > {"id":"$id"}
b < {"id":"$id"}
== passes when it is closed and does not hear more
a open echo close
a > {}
a < {}
a closed
a > {}
== is known
a open echo
a > {}
a < {"other":1}
@real a < {}
@real why it is a parrot
== is of the real one alone
only real
a open echo
a > {}
a < {}
== fails
a open echo
a > {}
a < {"other":1}
@real a < {"another":1}
== fails for what comes in addition
a open [1] [2]
a > {}
a < [1]
== fails for what comes in another order
a open [2] [1]
a > {}
a < [1]
a < [2]
== fails for what does not come
a open echo
a > {}
a < {}
a < {}
== fails for a code
a open close
a > {}
a closed 1008
== fails for a group that is not whole
a open [4] [1]
a > {}
a <* [1]
a <* [2]
a < [4]
== fails to open
a open fail
== fails without a peer
a > {}
== needs more
needs wings
a open echo
== needs even more
needs wings beak
needs claws beak
a open echo
== is not offered
optional
a open refuse
a > {}
a < {}
== is refused as it should be
a open refuse
a refused 404
== is refused as it should not be
a open refuse
a refused 403
`, nil)
	require.Len(t, results, 24)
	for name, r := range results {
		want := Passed
		switch {
		case strings.HasPrefix(name, "fails"), name == "is refused as it should not be":
			want = Failed
		case name == "is known":
			want = Known
		case strings.HasPrefix(name, "needs "), name == "is not offered":
			want = Skipped
		}
		require.Equal(t, want, r.Verdict, "%s: %+v", name, r)
	}
	require.Equal(t, []string{"real"}, results["is known"].Like)
	require.Equal(t, "it is a parrot", results["is known"].Why)
	require.Equal(t, []Difference{{
		References: []string{Document}, Line: 50, After: "a > {}", Want: []string{`a < {"other":1}`}, Got: []string{"a < {}"},
	}}, results["is known"].Differs)
	require.Len(t, results["fails"].Differs, 2)
	require.Equal(t, []string{Document, "real"}, results["passes"].Like)
	require.Equal(t, "needs wings", results["needs more"].Why)
	require.Equal(t, "needs wings, beak, claws", results["needs even more"].Why)
}

func TestParamsAreValues(t *testing.T) {
	t.Parallel()
	results := play(t, `
== given
needs user
a open echo
a > {"user":"$user"}
a < {"user":"alice"}
`, map[string]string{"user": "alice"})
	require.Equal(t, Passed, results["given"].Verdict)
}

func TestARunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cases, err := Parse("topic", "== waits\na open late\na > {}\na < {}\n", known)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := &Protocol{References: []Reference{{Name: Document}}, Cases: cases, Dial: dialParrot}
	_, err = Run(ctx, p, &Server{}, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func reportOf(t *testing.T) *Report {
	t.Helper()
	results := play(t, `
== one
a open echo
a > {}
a < {}
== two
a open echo
a > {}
a < {"other":1}
@real a < {}
@real why it is a parrot
== three
a open echo
a > {}
a < {"<other>":1}
== four
needs wings
a open echo
`, nil)
	return NewReport(&Protocol{
		Name: "parrot", References: []Reference{{Document, "the document"}, {"real", "a real parrot"}},
	}, &Server{URL: "ws://parrot"}, []*Result{results["one"], results["two"], results["three"], results["four"]})
}

func TestAReportCounts(t *testing.T) {
	t.Parallel()
	r := reportOf(t)
	require.Equal(t, Counts{Passed: 1, Known: 1, Failed: 1, Skipped: 1}, r.Counts)
	r.Demand("real")
	require.Equal(t, Counts{Passed: 1, Known: 1, Failed: 1, Skipped: 1}, r.Counts)
	r.Demand(Document)
	require.Equal(t, Counts{Passed: 1, Failed: 2, Skipped: 1}, r.Counts)
}

func TestAReportIsForPeople(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	require.NoError(t, reportOf(t).WriteText(&b))
	require.Equal(t, `known   topic: two
        like a real parrot
        it is a parrot
        after    a > {}
        want     a < {"other":1}
        got      a < {}
failed  topic: three
        after    a > {}
        want     a < {"<other>":1}
        got      a < {}
skipped 1 case: needs wings
parrot, ws://parrot: 1 passed, 1 known difference, 1 failed, 1 skipped
`, b.String())
}

func TestAReportIsForPrograms(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	require.NoError(t, reportOf(t).WriteJSON(&b))
	var read Report
	require.NoError(t, json.Unmarshal(b.Bytes(), &read))
	require.Equal(t, Counts{Passed: 1, Known: 1, Failed: 1, Skipped: 1}, read.Counts)
	require.Contains(t, b.String(), `<other>`)

	b.Reset()
	require.NoError(t, reportOf(t).WriteJUnit(&b))
	var junit struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Text string `xml:",chardata"`
			} `xml:"failure"`
			Out string `xml:"system-out"`
		} `xml:"testcase"`
	}
	require.NoError(t, xml.Unmarshal(b.Bytes(), &junit))
	require.Equal(t, []int{4, 1, 1}, []int{junit.Tests, junit.Failures, junit.Skipped})
	require.Contains(t, junit.Cases[1].Out, "a real parrot")
	require.Contains(t, junit.Cases[2].Failure.Text, "<other>")
	require.Nil(t, junit.Cases[0].Failure)
}
