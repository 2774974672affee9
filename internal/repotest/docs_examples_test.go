package repotest

import (
	"fmt"
	"go/ast"
	"go/doc"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// exampleOf are the main entries of a protocol package, each with the examples of which it has
// one at least.
var exampleOf = map[string][]string{
	"reading":            {"Decode"},
	"writing":            {"Encode"},
	"validation":         {"Message_validate", "Rules_Validate"},
	"the client":         {"Client", "Connect", "ConnectClient"},
	"the server":         {"Server"},
	"the client machine": {"ClientMachine"},
	"the server machine": {"ServerMachine"},
}

// missingExamples lists what protocol packages, and those below them, have no example of that
// runs and whose output is compared.
func missingExamples(t *tree) []string {
	var problems []string
	for _, p := range t.packages {
		protocol := protocolOf(p.dir)
		if protocol == "" || len(p.files) == 0 || slices.Contains(strings.Split(p.dir, "/"), "internal") {
			continue
		}
		run := runExamples(p)
		if len(run) == 0 {
			problems = append(problems, p.dir+": no example with its output")
		}
		if p.dir != protocol {
			continue
		}
		for _, what := range slices.Sorted(maps.Keys(exampleOf)) {
			if !slices.ContainsFunc(exampleOf[what], func(name string) bool { return run[name] }) {
				why := fmt.Sprintf("%s: no example of %s, such as Example%s", p.dir, what, exampleOf[what][0])
				problems = append(problems, why)
			}
		}
		if exports(p, "Redact") && !run["Redact"] {
			problems = append(problems, p.dir+": no ExampleRedact")
		}
	}
	return problems
}

// runExamples returns the names, without "Example", of those that go test runs.
func runExamples(p *goPackage) map[string]bool {
	run := map[string]bool{}
	for _, e := range doc.Examples(slices.Collect(maps.Values(p.tests))...) {
		if e.Output != "" || e.EmptyOutput {
			run[e.Name] = true
		}
	}
	return run
}

// exports reports whether a package has a function of that name.
func exports(p *goPackage, function string) bool {
	for _, f := range p.files {
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == function {
				return true
			}
		}
	}
	return false
}

func TestMainEntriesOfProtocolsHaveExamplesThatRun(t *testing.T) {
	t.Parallel()
	require.Empty(t, missingExamples(repository(t)))
}

func TestMissingExamplesAreFound(t *testing.T) {
	t.Parallel()
	examples := func(names ...string) string {
		source := []string{"package galene_test\n"}
		for _, name := range names {
			source = append(source, "func Example"+name+"() {\n\tprintln()\n\t// Output: x\n}\n")
		}
		return strings.Join(source, "")
	}
	whole := []string{"Decode", "Encode", "Message_validate", "Connect", "Server", "ClientMachine", "ServerMachine", "Redact"}
	for _, c := range []struct{ name, tests, below, want string }{
		{"all", examples(whole...), examples(""), ""},
		{"without one", examples(whole[1:]...), examples(""), "galene: no example of reading, such as ExampleDecode"},
		{"under another name", strings.Replace(examples(whole...), "Connect", "Client", 1), examples(""), ""},
		{"without Redact", examples(whole[:7]...), examples(""), "galene: no ExampleRedact"},
		{"one that does not run", strings.Replace(examples(whole...), "// Output: x", "// does it", 1), examples(""), "galene: no example of reading, such as ExampleDecode"},
		{"none below", examples(whole...), "package galenehttp\n", "galene/galenehttp: no example with its output"},
	} {
		fake, err := readTree(fstest.MapFS{
			"galene/codec.go":                   {Data: []byte("package galene\nfunc Redact() {}\n")},
			"galene/example_test.go":            {Data: []byte(c.tests)},
			"galene/galenehttp/dial.go":         {Data: []byte("package galenehttp\n")},
			"galene/galenehttp/example_test.go": {Data: []byte(c.below)},
			"galene/internal/x/x.go":            {Data: []byte("package x\n")},
			"transport/pipe.go":                 {Data: []byte("package transport\n")},
		})
		require.NoError(t, err)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		require.Equal(t, want, missingExamples(fake), c.name)
	}
}
