package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Files returns the source files of the package that is tested, or those of its tests.
func Files(tb testing.TB, tests bool) []*ast.File {
	tb.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		tb.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		dir, err := os.Getwd()
		tb.Fatal("no files in", dir, err)
	}
	return files
}

// Types returns the doc comments of the types of the package that is tested, by name, and
// which of them have one of the methods: the members of its closed sets.
func Types(tb testing.TB, methods ...string) (docs map[string]string, members map[string]bool) {
	tb.Helper()
	docs, members = map[string]string{}, map[string]bool{}
	for _, f := range Files(tb, false) {
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if typ, ok := spec.(*ast.TypeSpec); ok {
						docs[typ.Name.Name] = decl.Doc.Text() + typ.Doc.Text()
					}
				}
			case *ast.FuncDecl:
				if decl.Recv != nil && slices.Contains(methods, decl.Name.Name) {
					members[receiver(decl)] = true
				}
			}
		}
	}
	return docs, members
}

// receiver returns the name of the type that has a method.
func receiver(method *ast.FuncDecl) string {
	typ := method.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}
