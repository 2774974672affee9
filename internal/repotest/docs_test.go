package repotest

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// documentedElsewhere are methods whose contract is that of an interface: of the
// standard library or, for Validate, of Message.
var documentedElsewhere = []string{
	"Error", "Unwrap", "Is", "String", "LogValue", "ServeHTTP", "Validate",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText",
}

// docProblems looks for packages without a package comment and, outside internal
// folders and commands, for exported names without a comment.
func docProblems(t *tree) []string {
	var problems []string
	for _, p := range t.packages {
		if len(p.files) == 0 {
			continue
		}
		if why := packageCommentProblem(p); why != "" {
			problems = append(problems, p.dir+": "+why)
		}
		if p.name == "main" || slices.Contains(strings.Split(p.dir, "/"), "internal") {
			continue
		}
		d := docChecker{fset: t.fset}
		for _, name := range slices.Sorted(maps.Keys(p.files)) {
			for _, decl := range p.files[name].Decls {
				d.declaration(decl)
			}
		}
		problems = append(problems, d.problems...)
	}
	return problems
}

func packageCommentProblem(p *goPackage) string {
	want := "Package " + p.name + " "
	if p.name == "main" {
		want = "Command " + path.Base(p.dir) + " "
	}
	var comments []string
	for _, f := range p.files {
		if text := f.Doc.Text(); text != "" {
			comments = append(comments, text)
		}
	}
	switch {
	case len(comments) == 0:
		return "no package comment"
	case len(comments) > 1:
		return "more than one package comment"
	case !strings.HasPrefix(strings.ReplaceAll(comments[0], "\n", " "), want):
		return fmt.Sprintf("the package comment does not begin with %q", want)
	}
	return ""
}

// A docChecker collects the exported names that have no comment.
type docChecker struct {
	fset     *token.FileSet
	problems []string
}

func (d *docChecker) report(pos token.Pos, format string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf("%s: ", d.fset.Position(pos))+fmt.Sprintf(format, args...))
}

func (d *docChecker) declaration(decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		d.function(decl)
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				d.typ(decl, spec)
			case *ast.ValueSpec:
				d.values(decl, spec)
			}
		}
	}
}

func (d *docChecker) function(decl *ast.FuncDecl) {
	name := decl.Name.Name
	if !decl.Name.IsExported() {
		return
	}
	if decl.Recv != nil {
		receiver, _, _ := strings.Cut(strings.TrimPrefix(typeForm(decl.Recv.List[0].Type), "*"), "[")
		if !ast.IsExported(receiver) || decl.Doc == nil && slices.Contains(documentedElsewhere, name) {
			return
		}
	}
	d.comment(decl.Name, decl.Doc)
}

func (d *docChecker) typ(decl *ast.GenDecl, spec *ast.TypeSpec) {
	name := spec.Name.Name
	if !spec.Name.IsExported() {
		return
	}
	doc := spec.Doc
	if doc == nil && len(decl.Specs) == 1 {
		doc = decl.Doc
	}
	d.comment(spec.Name, doc)
	switch typ := spec.Type.(type) {
	case *ast.InterfaceType:
		if len(typ.Methods.List) > 1 { // the comment of the type tells of an only method
			d.members(name, typ.Methods)
		}
	case *ast.StructType:
		if isOptions(name) {
			d.members(name, typ.Fields)
		}
	}
}

// isOptions reports whether a struct configures something: the defaults and units of
// its fields are told nowhere else. A plain Config is a message.
func isOptions(name string) bool {
	return strings.HasSuffix(name, "Options") || strings.HasSuffix(name, "Config") && name != "Config"
}

// members reports the exported fields or methods of a type that have no comment. A
// comment covers the lines that follow without an empty line, as in a group of fields;
// a field with the name of its type is told about there.
func (d *docChecker) members(of string, list *ast.FieldList) {
	covered := -1 // the last line that a comment covers
	for _, field := range list.List {
		first, last := d.line(field.Pos()), d.line(field.End())
		if field.Doc != nil || field.Comment != nil || covered == first-1 {
			covered = last
			continue
		}
		for _, name := range field.Names {
			if name.IsExported() && !slices.Contains(documentedElsewhere, name.Name) && typeForm(field.Type) != name.Name {
				d.report(name.Pos(), "%s.%s has no comment", of, name.Name)
			}
		}
	}
}

// values reports constants and variables without a comment of their own, of their
// line or of their group.
func (d *docChecker) values(decl *ast.GenDecl, spec *ast.ValueSpec) {
	if decl.Doc != nil || spec.Doc != nil || spec.Comment != nil {
		return
	}
	for _, name := range spec.Names {
		if name.IsExported() {
			d.report(name.Pos(), "%s has no comment", name.Name)
		}
	}
}

// comment reports a name without a comment, or with one that begins with another word.
func (d *docChecker) comment(name *ast.Ident, doc *ast.CommentGroup) {
	text := doc.Text()
	if text == "" {
		d.report(name.Pos(), "%s has no comment", name.Name)
		return
	}
	words := strings.Fields(text)
	if slices.Contains([]string{"A", "An", "The"}, words[0]) && len(words) > 1 {
		words = words[1:]
	}
	if strings.TrimRight(words[0], ",.:;") != name.Name {
		d.report(name.Pos(), "the comment of %s begins with %q", name.Name, words[0])
	}
}

func (d *docChecker) line(pos token.Pos) int { return d.fset.Position(pos).Line }

func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	require.Empty(t, docProblems(repository(t)))
}

func TestMissingDocumentationIsFound(t *testing.T) {
	t.Parallel()
	const head = "// Package x is fake.\npackage x\n"
	for _, c := range []struct{ file, source, want string }{
		{"x/x.go", "package x\n", "x: no package comment"},
		{"x/x.go", "// This is x.\npackage x\n", `x: the package comment does not begin with "Package x "`},
		{"examples/demo/main.go", "// Package main runs.\npackage main\n", `examples/demo: the package comment does not begin with "Command demo "`},
		{"x/x.go", head + "func F() {}\n", "x/x.go:3:6: F has no comment"},
		{"x/x.go", head + "// Does it.\nfunc F() {}\n", `x/x.go:4:6: the comment of F begins with "Does"`},
		{"x/x.go", head + "type T struct{}\n", "x/x.go:3:6: T has no comment"},
		{"x/x.go", head + "// T is.\ntype T struct{}\nfunc (t *T) M() {}\n", "x/x.go:5:13: M has no comment"},
		{"x/x.go", head + "const C = 1\n", "x/x.go:3:7: C has no comment"},
		{"x/x.go", head + "var (\n\tV = 1 // is documented\n\tW = 2\n)\n", "x/x.go:5:2: W has no comment"},
		{"x/x.go", head + "// An I is.\ntype I interface {\n\t// L does.\n\tL()\n\n\tM()\n}\n", "x/x.go:8:2: I.M has no comment"},
		{"x/x.go", head + "// Options are.\ntype Options struct {\n\t// A is.\n\tA int\n\n\tB int\n}\n", "x/x.go:8:2: Options.B has no comment"},

		{"x/x.go", head + "func f() {}\ntype t struct{}\nfunc (t) M() {}\n", ""},
		{"x/x.go", head + "// A T is.\ntype T struct{ Field int }\nfunc (t *T) Error() string { return \"\" }\n", ""},
		{"x/x.go", head + "// An I does M.\ntype I interface{ M() }\n", ""},
		{"x/x.go", head + "// Kinds of things.\nconst (\n\tA = 1\n\tB = 2\n)\n", ""},
		{"x/x.go", head + "// Options are.\ntype Options struct {\n\t// The limits, in bytes.\n\tA int\n\tB int\n}\n", ""},
		{"x/x.go", head + "// Options are.\ntype Options struct{ Limits Limits }\n", ""},
		{"internal/x/x.go", head + "func F() {}\n", ""},
		{"examples/demo/main.go", "// Command demo runs.\npackage main\nfunc F() {}\n", ""},
	} {
		fake, err := readTree(fstest.MapFS{c.file: {Data: []byte(c.source)}})
		require.NoError(t, err)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		require.Equal(t, want, docProblems(fake), "%s", c.source)
	}
	fake, err := readTree(fstest.MapFS{"x/a.go": {Data: []byte(head)}, "x/b.go": {Data: []byte(head)}})
	require.NoError(t, err)
	require.Equal(t, []string{"x: more than one package comment"}, docProblems(fake))
}
