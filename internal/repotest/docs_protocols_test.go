package repotest

import (
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// protocolHeadings are those of the package comment of each protocol, in this order. Others
// may stand between them.
var protocolHeadings = []string{
	"Roles", "States", "Layers", "Peers",
	"Differences from the document", "Differences from the real servers", "Limits",
}

// anEdge is a step of a machine from one state to another.
type anEdge struct{ machine, from, to string }

func (e anEdge) String() string { return fmt.Sprintf("%s: %s to %s", e.machine, e.from, e.to) }

// notStepped are the edges of diagrams that the tables in testdata/machines do not have, each
// with the reason.
var notStepped = map[string]map[anEdge]string{
	"cuttlefish": {
		{"server", "deciding", "waiting"}: "their server does not wait for devices",
		{"server", "waiting", "attached"}: "it is another connection that registers",
		{"server", "attached", "waiting"}: "it is another connection that leaves",
	},
}

// protocolDocProblems compares the package comment of each protocol with its headings, and
// its diagrams of states with state.go and the tables of its machines.
func protocolDocProblems(t *tree) []string {
	var problems []string
	for _, protocol := range slices.Sorted(maps.Keys(protocols)) {
		p := t.pkg(protocol)
		if p == nil || p.files["doc.go"] == nil {
			continue // the shape tells that
		}
		report := func(format string, args ...any) {
			problems = append(problems, path.Join(protocol, "doc.go")+": "+fmt.Sprintf(format, args...))
		}
		text := p.files["doc.go"].Doc.Text()
		for _, why := range headingProblems(text) {
			report("%s", why)
		}
		if !strings.Contains(introduction(text), "\n\t") {
			report("no usage before the first heading")
		}
		states := stateNames(p)
		drawn, err := diagramEdges(section(text, "States"), states)
		if err != nil {
			report("%v", err)
			continue
		}
		stepped, err := steppedEdges(t, protocol, states)
		if err != nil {
			report("%v", err)
			continue
		}
		for _, e := range sortedEdges(stepped) {
			if !drawn[e] {
				report("the diagram has no way of the %s", e)
			}
		}
		for _, e := range sortedEdges(drawn) {
			if _, excused := notStepped[protocol][e]; !stepped[e] && !excused {
				report("no table in testdata/machines has the way of the %s", e)
			}
		}
	}
	return problems
}

func headingProblems(text string) []string {
	var headings, problems []string
	for line := range strings.Lines(text) {
		if h, ok := strings.CutPrefix(line, "# "); ok {
			headings = append(headings, strings.TrimSpace(h))
		}
	}
	last := -1
	for _, want := range protocolHeadings {
		i := slices.Index(headings, want)
		switch {
		case i < 0:
			problems = append(problems, fmt.Sprintf("no heading %q", want))
		case i < last:
			problems = append(problems, fmt.Sprintf("%q belongs after %q", want, headings[last]))
		}
		last = max(last, i)
	}
	return problems
}

// introduction is what stands before the first heading, section what stands below one.
func introduction(text string) string {
	before, _, _ := strings.Cut(text, "\n# ")
	return before
}

func section(text, heading string) string {
	_, after, _ := strings.Cut(text, "\n# "+heading+"\n")
	before, _, _ := strings.Cut(after, "\n# ")
	return before
}

// stateNames returns the names of the states of each machine, from variables such as
// clientStates. The end of a server's connection has no state; it is called gone.
func stateNames(p *goPackage) map[string][]string {
	names := map[string][]string{}
	f := p.files["state.go"]
	if f == nil {
		return names
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		machine, ok := strings.CutSuffix(spec.Names[0].Name, "States")
		list, isList := spec.Values[0].(*ast.CompositeLit)
		if !ok || !isList {
			return true
		}
		for _, element := range list.Elts {
			if lit, ok := element.(*ast.BasicLit); ok {
				name, _ := strconv.Unquote(lit.Value)
				names[machine] = append(names[machine], name)
			}
		}
		return true
	})
	if names["server"] != nil {
		names["server"] = append(names["server"], "gone")
	}
	return names
}

var (
	aRole   = regexp.MustCompile(`^([a-z]+)\s+(.*)$`)
	anArrow = regexp.MustCompile(`\s*─([^─▶◀]+)─▶\s*`)
	aRemark = regexp.MustCompile(`\s*\([^()]*\)\s*$`)
	noState = []string{"idle", "closed", "gone"} // which "any" does not mean
)

// diagramEdges reads lines such as
//
//	client  idle ─start─▶ opening ─connect─▶ ready   (a remark)
//	        opening, ready ─error─▶ closed
//	        any ─lost─▶ idle
//
// A line without the name of a machine belongs to the one above. Other lines with arrows,
// such as those of streams, begin with a word that is no machine and are not read.
func diagramEdges(text string, states map[string][]string) (map[anEdge]bool, error) {
	edges := map[anEdge]bool{}
	machine := ""
	for line := range strings.Lines(text) {
		drawn, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "\t")
		if !ok {
			if strings.TrimSpace(line) != "" {
				machine = ""
			}
			continue
		}
		if m := aRole.FindStringSubmatch(drawn); m != nil && !strings.HasPrefix(drawn, " ") {
			machine, drawn = m[1], m[2]
		}
		names, known := states[machine]
		if !known || !anArrow.MatchString(drawn) {
			continue
		}
		var before []string
		for _, stop := range anArrow.Split(strings.TrimSpace(aRemark.ReplaceAllString(drawn, "")), -1) {
			var here []string
			for name := range strings.SplitSeq(stop, ",") {
				name = strings.TrimSpace(name)
				switch {
				case name == "any":
					for _, s := range names {
						if !slices.Contains(noState, s) {
							here = append(here, s)
						}
					}
				case slices.Contains(names, name):
					here = append(here, name)
				default:
					return nil, fmt.Errorf("the %s has no state %q", machine, name)
				}
			}
			for _, from := range before {
				for _, to := range here {
					edges[anEdge{machine, from, to}] = true
				}
			}
			before = here
		}
	}
	return edges, nil
}

// steppedEdges reads the tables of a protocol's machines: a line with a state, or with a state
// and what is particular about it, and below it what each stimulus led to, either one in a
// line or several of them indented below the state that they led to. A start, which begins
// anew in any state, counts as one from idle; a loss, which the driver tells of once, is not
// looked at from the end.
func steppedEdges(t *tree, protocol string, states map[string][]string) (map[anEdge]bool, error) {
	edges := map[anEdge]bool{}
	for _, name := range t.files {
		if path.Dir(name) != path.Join(protocol, "testdata/machines") {
			continue
		}
		machine, _, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".txt"), "-")
		names := states[machine]
		if names == nil {
			return nil, fmt.Errorf("%s: there are no states of a %s", name, machine)
		}
		inLine := regexp.MustCompile(`^  (.*?)\s(` + strings.Join(names, "|") + `)(, .*)?$`)
		below := regexp.MustCompile(`^  (` + strings.Join(names, "|") + `)( and ready)?(, .*)?$`)
		data, err := fs.ReadFile(t.fsys, name)
		if err != nil {
			return nil, err
		}
		var from, to string
		add := func(stimulus, to string) {
			e := anEdge{machine, from, to}
			if stimulus == "start" {
				e.from = "idle"
			} else if slices.Contains([]string{"closed", "gone"}, from) || !slices.Contains(names, from) {
				return
			}
			if e.from != e.to {
				edges[e] = true
			}
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimRight(line, "\n")
			switch {
			case line == "":
			case !strings.HasPrefix(line, " "):
				from = strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' })[0]
			case strings.HasPrefix(line, "      "):
				for stimulus := range strings.SplitSeq(line, ";") {
					if stimulus = strings.TrimSpace(stimulus); stimulus != "" {
						add(stimulus, to)
					}
				}
			case below.MatchString(line):
				to = below.FindStringSubmatch(line)[1]
			case inLine.MatchString(line):
				m := inLine.FindStringSubmatch(line)
				add(strings.TrimSpace(m[1]), m[2])
			case slices.Contains(names, from):
				return nil, fmt.Errorf("%s: no state in %q", name, line)
			}
		}
	}
	return edges, nil
}

func sortedEdges(edges map[anEdge]bool) []anEdge {
	return slices.SortedFunc(maps.Keys(edges), func(a, b anEdge) int { return strings.Compare(a.String(), b.String()) })
}

func TestPackageCommentsOfProtocolsAreAlikeAndTrueToTheirMachines(t *testing.T) {
	t.Parallel()
	require.Empty(t, protocolDocProblems(repository(t)))
}

const fakeDoc = `// Package galene speaks.
//
//	client, err := galene.Connect(ctx, conn, nil)
//
// # Roles
//
// # States
//
//	client  idle ─start─▶ opening ─connect─▶ ready   (at last)
//	        any ─error─▶ closed
//	        any ─lost─▶ idle
//	server  new ─join─▶ joined
//	        new, joined ─leave─▶ gone
//
// Of a stream:
//
//	sender  ─offer─▶ stable
//
// # Layers
//
// # Extra
//
// # Peers
//
// # Differences from the document
//
// # Differences from the real servers
//
// # Limits
package galene
`

const fakeStates = `package galene

var clientStates = [...]string{"idle", "opening", "ready", "closed"}
var serverStates = [...]string{"new", "joined"}
`

const fakeClientTable = `
idle
  start                                      opening, send {"a":1}
  lost                                       idle

opening
  start                                      opening
  connect                                    ready
  malformed: a very long name that leaves no room at all closed, error of a kind
  lost                                       idle

ready again
  start                                      opening
  lost                                       idle
  receive malformed                          closed

closed
  lost                                       idle
`

const fakeServerTable = `
new
  joined, send it {"joined":true}
      join; join again
  gone, close it 1000 ""
      leave;
      nothing
joined as an operator
  joined
      join
  joined and ready, send it {}
      ask
  gone, close it 1000 ""
      leave
`

func TestDifferingPackageCommentsOfProtocolsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, differing, want string }{
		{"the same", "", "", ""},
		{"a heading is missing", "// # Peers\n//\n", "", `no heading "Peers"`},
		{"headings in another order", "// # Layers\n//\n// # Extra\n//\n// # Peers\n", "// # Peers\n//\n// # Extra\n//\n// # Layers\n", `"Peers" belongs after "Layers"`},
		{"no usage", "//	client, err := galene.Connect(ctx, conn, nil)\n//\n", "", "no usage before the first heading"},
		{"a state of another name", "opening ─connect", "connecting ─connect", `the client has no state "connecting"`},
		{"a way less", "new, joined ─leave", "joined ─leave", "the diagram has no way of the server: new to gone"},
		{"a way less of many", "any ─error", "opening ─error", "the diagram has no way of the client: ready to closed"},
		{"a way more", "any ─lost─▶ idle", "any ─lost─▶ idle ─close─▶ closed", "no table in testdata/machines has the way of the client: idle to closed"},
	} {
		doc := strings.Replace(fakeDoc, c.old, c.differing, 1)
		if c.old != "" {
			require.NotEqual(t, fakeDoc, doc, c.name)
		}
		fake, err := readTree(fstest.MapFS{
			"galene/doc.go":                       {Data: []byte(doc)},
			"galene/state.go":                     {Data: []byte(fakeStates)},
			"galene/testdata/machines/client.txt": {Data: []byte(fakeClientTable)},
			"galene/testdata/machines/server.txt": {Data: []byte(fakeServerTable)},
		})
		require.NoError(t, err)
		problems := protocolDocProblems(fake)
		if c.want == "" {
			require.Empty(t, problems, c.name)
			continue
		}
		require.Equal(t, []string{"galene/doc.go: " + c.want}, problems, c.name)
	}
}
