package repotest

import (
	"go/ast"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// testMainProblems lists the packages whose tests do not look for goroutines that were
// left behind.
func testMainProblems(t *tree) []string {
	var problems []string
	for _, p := range t.packages {
		if len(p.tests) > 0 && !endsInMain(p) {
			problems = append(problems, p.dir+": no TestMain that calls repotest.Main")
		}
	}
	return problems
}

func endsInMain(p *goPackage) bool {
	for _, f := range p.tests {
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "TestMain" || fn.Recv != nil {
				continue
			}
			found := false
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					called := typeForm(call.Fun)
					found = found || called == "repotest.Main" || called == "Main" && p.name == "repotest"
				}
				return !found
			})
			return found
		}
	}
	return false
}

func TestEveryPackageWithTestsLooksForLeaks(t *testing.T) {
	t.Parallel()
	require.Empty(t, testMainProblems(repository(t)))
}

func TestMissingTestMainIsFound(t *testing.T) {
	t.Parallel()
	fake, err := readTree(fstest.MapFS{
		"good/a_test.go":      {Data: []byte("package good_test\nfunc TestMain(m *testing.M) { setUp(); repotest.Main(m) }\n")},
		"untested/a.go":       {Data: []byte("package untested\n")},
		"none/a_test.go":      {Data: []byte("package none\nfunc TestA(t *testing.T) {}\n")},
		"other/a_test.go":     {Data: []byte("package other\nfunc TestMain(m *testing.M) { m.Run() }\n")},
		"elsewhere/a_test.go": {Data: []byte("package elsewhere\nfunc TestA(t *testing.T) { repotest.Main(nil) }\n")},
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		"elsewhere: no TestMain that calls repotest.Main",
		"none: no TestMain that calls repotest.Main",
		"other: no TestMain that calls repotest.Main",
	}, testMainProblems(fake))
}
