package suite

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A Report is what a run has found.
type Report struct {
	Protocol   string      `json:"protocol"`
	URL        string      `json:"url"`
	References []Reference `json:"references"`
	Counts     Counts      `json:"counts"`
	Results    []*Result   `json:"results"`
}

// Counts are numbers of cases.
type Counts struct {
	Passed  int `json:"passed"`
	Known   int `json:"known"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

// NewReport counts the results of a run.
func NewReport(p *Protocol, server *Server, results []*Result) *Report {
	r := &Report{Protocol: p.Name, URL: server.URL, References: p.References, Results: results}
	for _, result := range results {
		switch result.Verdict {
		case Passed:
			r.Counts.Passed++
		case Known:
			r.Counts.Known++
		case Failed:
			r.Counts.Failed++
		case Skipped:
			r.Counts.Skipped++
		}
	}
	return r
}

// Demand turns those cases into failures that are not like a reference, of those that it has.
// The document's name demands what the document says of every case.
func (r *Report) Demand(reference string) {
	for _, result := range r.Results {
		if (result.Verdict == Passed || result.Verdict == Known) && !slices.Contains(result.Like, reference) {
			result.Verdict = Failed
			result.Why = "it is not like " + reference + ": " + result.Why
		}
	}
	*r = *NewReport(&Protocol{Name: r.Protocol, References: r.References}, &Server{URL: r.URL}, r.Results)
}

// WriteJSON writes the report as one JSON value.
func (r *Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// WriteText writes what a person wants to know: everything but what passed, and the counts.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, result := range r.Results {
		switch result.Verdict {
		case Known, Failed:
			fmt.Fprintf(&b, "%-7s %s: %s\n", result.Verdict, result.Topic, result.Name)
			if len(result.Like) > 0 {
				fmt.Fprintf(&b, "        like %s\n", r.titles(result.Like))
			}
			if result.Why != "" {
				fmt.Fprintf(&b, "        %s\n", result.Why)
			}
			for _, d := range result.Differs {
				fmt.Fprintf(&b, "        after    %s\n", d.After)
				several(&b, "want", d.Want)
				several(&b, "got", d.Got)
			}
		}
	}
	for _, why := range r.skips() {
		fmt.Fprintf(&b, "%-7s %s\n", Skipped, why)
	}
	fmt.Fprintf(&b, "%s, %s: %d passed, %s, %d failed, %d skipped\n", r.Protocol, r.URL,
		r.Counts.Passed, count(r.Counts.Known, "known difference"), r.Counts.Failed, r.Counts.Skipped)
	_, err := io.WriteString(w, b.String())
	return err
}

// skips returns the reasons of skipped cases, each once, with their numbers.
func (r *Report) skips() []string {
	numbers := make(map[string]int)
	for _, result := range r.Results {
		if result.Verdict == Skipped {
			numbers[result.Why]++
		}
	}
	var all []string
	for _, why := range slices.Sorted(maps.Keys(numbers)) {
		all = append(all, fmt.Sprintf("%s: %s", count(numbers[why], "case"), why))
	}
	return all
}

// count says how many there are.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

func several(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		lines = []string{"nothing"}
	}
	for _, l := range lines {
		if r := []rune(l); len(r) > 400 {
			l = string(r[:400]) + "…"
		}
		fmt.Fprintf(b, "        %-8s %s\n", title, l)
		title = ""
	}
}

func (r *Report) titles(names []string) string {
	var titles []string
	for _, n := range names {
		for _, ref := range r.References {
			if ref.Name == n {
				titles = append(titles, ref.Title)
			}
		}
	}
	return strings.Join(titles, "; ")
}

// WriteJUnit writes the report in the form that servers for continuous integration read.
func (r *Report) WriteJUnit(w io.Writer) error {
	type message struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testCase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Time    float64  `xml:"time,attr"`
		Failure *message `xml:"failure,omitempty"`
		Skipped *message `xml:"skipped,omitempty"`
		Out     string   `xml:"system-out,omitempty"`
	}
	type testSuite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testCase `xml:"testcase"`
	}
	s := testSuite{
		Name: r.Protocol + " " + r.URL, Tests: len(r.Results), Failures: r.Counts.Failed, Skipped: r.Counts.Skipped,
	}
	for _, result := range r.Results {
		c := testCase{Class: r.Protocol + "." + result.Topic, Name: result.Name, Time: result.Took.Seconds()}
		var details strings.Builder
		for _, d := range result.Differs {
			fmt.Fprintf(&details, "after %s\n", d.After)
			several(&details, "want", d.Want)
			several(&details, "got", d.Got)
		}
		switch result.Verdict {
		case Failed:
			c.Failure = &message{"it does what nobody else does", details.String()}
			if result.Why != "" {
				c.Failure.Message = result.Why
			}
		case Known:
			c.Out = "like " + r.titles(result.Like) + ": " + result.Why + "\n" + details.String()
		case Skipped:
			c.Skipped = &message{Message: result.Why}
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	out := xml.NewEncoder(w)
	out.Indent("", "  ")
	if err := out.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
