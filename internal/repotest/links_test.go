package repotest

import (
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/stretchr/testify/require"
)

// aTarget is what stands behind the text of a link: an address and perhaps a title.
const aTarget = `\(\s*<?([^()<>\s]*(?:\([^()\s]*\)[^()\s]*)?)>?(?:\s+"[^"]*")?\s*\)`

var (
	aLink        = regexp.MustCompile(`!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]` + aTarget)
	aPicture     = regexp.MustCompile(`!\[[^\[\]]*\]` + aTarget)
	aReference   = regexp.MustCompile(`^\s{0,3}\[[^\[\]]+\]:\s+<?([^<>\s]+)>?`)
	aHeading     = regexp.MustCompile(`^#{1,6}\s+(.+?)\s*#*$`)
	anInlineCode = regexp.MustCompile("`[^`]*`")
	aLinkText    = regexp.MustCompile(`\[([^\[\]]*)\]\([^()]*\)`)
	aDocLink     = regexp.MustCompile(`\[\*?((?:[a-z][\w./-]*\.)?[A-Z]\w*(?:\.[A-Z]\w*)?)\]`)
)

// linkProblems looks in every Markdown file for links to files and headings of this
// repository that are not there, and for code blocks that do not end. Addresses of other
// hosts are not looked up.
func linkProblems(t *tree) []string {
	headings := map[string]map[string]bool{}
	pages := map[string]string{}
	for _, name := range t.files {
		if path.Ext(name) != ".md" {
			continue
		}
		data, err := fs.ReadFile(t.fsys, name)
		if err != nil {
			return []string{err.Error()}
		}
		pages[name] = string(data)
		headings[name] = anchors(string(data))
	}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		for i, line := range prose(pages[name]) {
			for _, target := range targets(line) {
				if why := targetProblem(t, headings, name, target); why != "" {
					problems = append(problems, fmt.Sprintf("%s:%d: %s: %s", name, i+1, target, why))
				}
			}
		}
		if n := openFence(pages[name]); n > 0 {
			problems = append(problems, fmt.Sprintf("%s:%d: a code block that does not end", name, n))
		}
	}
	return problems
}

// fence returns the mark that begins or ends a code block, such as three backticks, and what
// stands behind it.
func fence(line string) (mark, info string) {
	text := strings.TrimLeft(line, " ")
	if len(line)-len(text) > 3 || !strings.HasPrefix(text, "```") && !strings.HasPrefix(text, "~~~") {
		return "", ""
	}
	info = strings.TrimLeft(text, text[:1])
	return text[:len(text)-len(info)], strings.TrimSpace(info)
}

// prose returns the lines of a page, those of its code blocks empty.
func prose(page string) []string {
	lines := strings.Split(page, "\n")
	open := ""
	for i, line := range lines {
		mark, info := fence(line)
		switch {
		case open == "" && mark != "":
			open = mark
		case open != "" && strings.HasPrefix(mark, open) && info == "":
			open = ""
		case open == "":
			continue
		}
		lines[i] = ""
	}
	return lines
}

// openFence returns the line, from 1, of a code block that does not end, or 0. A block that
// begins inside another one is a block that did not end.
func openFence(page string) int {
	open, at := "", 0
	for i, line := range strings.Split(page, "\n") {
		mark, info := fence(line)
		switch {
		case mark == "":
		case open == "":
			open, at = mark, i+1
		case strings.HasPrefix(mark, open) && info == "":
			open, at = "", 0
		case mark == open:
			return at
		}
	}
	return at
}

// targets returns what a line links to.
func targets(line string) []string {
	line = anInlineCode.ReplaceAllStringFunc(line, func(code string) string { return strings.Repeat("x", len(code)) })
	var all []string
	for _, m := range slices.Concat(aLink.FindAllStringSubmatch(line, -1), aPicture.FindAllStringSubmatch(line, -1)) {
		if !slices.Contains(all, m[1]) { // a picture may be a link, or in one
			all = append(all, m[1])
		}
	}
	if m := aReference.FindStringSubmatch(line); m != nil {
		all = append(all, m[1])
	}
	return all
}

func targetProblem(t *tree, headings map[string]map[string]bool, page, target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme != "" || u.Host != "":
		return ""
	case target == "":
		return "leads nowhere"
	}
	file := page
	if u.Path != "" {
		file = path.Join(path.Dir(page), u.Path)
	}
	isFile := slices.Contains(t.files, file)
	isFolder := file == "." ||
		slices.ContainsFunc(t.files, func(f string) bool { return strings.HasPrefix(f, file+"/") })
	switch {
	case path.IsAbs(u.Path) || strings.HasPrefix(file, ".."):
		return "leads out of the repository"
	case !isFile && !isFolder:
		return "no such file"
	case u.Fragment == "":
		return ""
	case headings[file] == nil:
		return "only Markdown files have headings"
	case !headings[file][u.Fragment]:
		return "no such heading"
	}
	return ""
}

// anchors returns what GitHub calls the headings of a page: small letters, hyphens for
// spaces, no punctuation, and a number behind those that come again.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, line := range prose(page) {
		m := aHeading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		text := strings.ReplaceAll(aLinkText.ReplaceAllString(m[1], "$1"), "`", "")
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, text)
		again := anchor
		for n := 1; all[again]; n++ {
			again = fmt.Sprintf("%s-%d", anchor, n)
		}
		all[again] = true
	}
	return all
}

// docLinkProblems looks in the doc comments of packages that others import for links such as
// [Client.Next] or [galene.Join] that lead to nothing of this module.
func docLinkProblems(t *tree) []string {
	names := map[string]map[string]bool{} // by the name of the package
	for _, p := range t.packages {
		if names[p.name] == nil {
			names[p.name] = map[string]bool{}
		}
		for _, f := range p.files {
			collectNames(f, names[p.name])
		}
	}
	var problems []string
	for _, p := range t.packages {
		if p.name == "main" || p.nested {
			continue
		}
		for _, file := range slices.Sorted(maps.Keys(p.files)) {
			f := p.files[file]
			for _, group := range docComments(f) {
				for line := range strings.Lines(group.Text()) {
					if strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ") {
						continue // code
					}
					for _, m := range aDocLink.FindAllStringSubmatch(line, -1) {
						if !leads(names, p.name, m[1]) {
							place := t.fset.Position(group.Pos())
							problems = append(problems, fmt.Sprintf("%s: [%s] leads nowhere", place, m[1]))
						}
					}
				}
			}
		}
	}
	return problems
}

// docComments are the comments of a file that go doc shows, and those of the members of its
// types.
func docComments(f *ast.File) []*ast.CommentGroup {
	var groups []*ast.CommentGroup
	add := func(g *ast.CommentGroup) {
		if g != nil && !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.File:
			add(n.Doc)
		case *ast.GenDecl:
			add(n.Doc)
		case *ast.FuncDecl:
			add(n.Doc)
			return false
		case *ast.TypeSpec:
			add(n.Doc)
		case *ast.ValueSpec:
			add(n.Doc)
			add(n.Comment)
			return false
		case *ast.Field:
			add(n.Doc)
			add(n.Comment)
		}
		return true
	})
	return groups
}

// collectNames adds the exported names of a file, and "Type.Member" of its types.
func collectNames(f *ast.File, names map[string]bool) {
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			name := decl.Name.Name
			if decl.Recv != nil {
				of, _, _ := strings.Cut(strings.TrimPrefix(typeForm(decl.Recv.List[0].Type), "*"), "[")
				name = of + "." + name
			}
			names[name] = true
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names[name.Name] = true
					}
				case *ast.TypeSpec:
					names[spec.Name.Name] = true
					for _, member := range typeMembers(spec.Type) {
						names[spec.Name.Name+"."+member] = true
					}
				}
			}
		}
	}
}

// typeMembers returns the fields and methods of a struct or an interface. The members of what
// it embeds are written as "*", because they may be anybody's.
func typeMembers(typ ast.Expr) []string {
	var list *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		list = typ.Fields
	case *ast.InterfaceType:
		list = typ.Methods
	default:
		return []string{"*"}
	}
	var members []string
	for _, field := range list.List {
		for _, name := range field.Names {
			members = append(members, name.Name)
		}
		if len(field.Names) == 0 {
			members = append(members, "*")
		}
	}
	return members
}

// leads reports whether a link finds a name. Packages that this module does not have are not
// looked at.
func leads(names map[string]map[string]bool, pkg, link string) bool {
	if link[0] >= 'a' && link[0] <= 'z' {
		i := strings.LastIndex(link, "/") + 1
		before, after, _ := strings.Cut(link[i:], ".")
		if names[before] == nil {
			return true
		}
		pkg, link = before, after
	}
	of, _, _ := strings.Cut(link, ".")
	return names[pkg][link] || names[pkg][of+".*"]
}

func TestLinksInMarkdownLeadSomewhere(t *testing.T) {
	t.Parallel()
	require.Empty(t, linkProblems(repository(t)))
}

func TestLinksInDocCommentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	require.Empty(t, docLinkProblems(repository(t)))
}

func TestBrokenLinksAreFound(t *testing.T) {
	t.Parallel()
	const marks = "```"
	for _, c := range []struct{ name, page, want string }{
		{"a file", "see [b](b.md) and ![c](docs/c.png \"a picture\")", ""},
		{"a folder", "see [docs](docs) and [docs](docs/)", ""},
		{"a heading of its own", "# A b, `C` & d!\n\nsee [a](#a-b-c--d)", ""},
		{"a heading elsewhere", "see [b](b.md#deux)", ""},
		{"a heading that comes again", "# One\n# One\nsee [second](#one-1)", ""},
		{"a heading with a link", "# The [page](b.md)\nsee [it](#the-page)", ""},
		{"other hosts", "[x](https://example.org/nothing#here) [y](mailto:a@example.org)", ""},
		{"a reference", "see [b]\n\n[b]: b.md", ""},
		{"code is no link", "`[x](y.md)`\n" + marks + "\n[x](y.md)\n" + marks, ""},
		{"a badge", "[![c](docs/c.png)](b.md)", ""},

		{"no file", "\nsee [x](c.md)", "a.md:2: c.md: no such file"},
		{"no file beside a good one", "[b](b.md) [x](c.md)", "a.md:1: c.md: no such file"},
		{"no heading", "see [x](b.md#trois)", "a.md:1: b.md#trois: no such heading"},
		{"no heading of its own", "# One\nsee [x](#two)", "a.md:2: #two: no such heading"},
		{"a heading in code", marks + "\n# One\n" + marks + "\n[x](#one)", "a.md:4: #one: no such heading"},
		{"a heading of a picture", "[x](docs/c.png#one)", "a.md:1: docs/c.png#one: only Markdown files have headings"},
		{"the parent", "[x](../other/b.md)", "a.md:1: ../other/b.md: leads out of the repository"},
		{"the root", "[x](/etc/hosts)", "a.md:1: /etc/hosts: leads out of the repository"},
		{"a bad reference", "[b]: c.md", "a.md:1: c.md: no such file"},
		{"a picture of a badge", "[![c](docs/d.png)](b.md)", "a.md:1: docs/d.png: no such file"},
		{"an open block", "x\n" + marks + "sh\nls\n", "a.md:2: a code block that does not end"},
		{"a block in a block", marks + "sh\nls\n" + marks + "go\n" + marks + "\n", "a.md:1: a code block that does not end"},
	} {
		fake, err := readTree(fstest.MapFS{
			"a.md":       {Data: []byte(c.page + "\n")},
			"b.md":       {Data: []byte("# Un\n\n## Deux\n")},
			"docs/c.png": {Data: []byte{0}},
		})
		require.NoError(t, err)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		require.Equal(t, want, linkProblems(fake), c.name)
	}
}

func TestBrokenLinksInDocCommentsAreFound(t *testing.T) {
	t.Parallel()
	const rest = `
type Client struct{ Err error; Options }
func (c *Client) Next() {}
type Options struct{ A int }
const Max = 1
`
	for link, want := range map[string]bool{
		"Client": true, "*Client": true, "Client.Next": true, "Client.Err": true, "Max": true, "Options.A": true,
		"Client.Embedded": true, "y.Server": true, "example.org/y.Server": true, "other.Thing": true,
		"Server": false, "*Server": false, "Options.B": false, "Max.A": false, "y.Client": false,
		"example.org/y.Client": false,
	} {
		for _, source := range []string{
			"// Package x has a [" + link + "].\npackage x\n" + rest,
			"// Package x has.\npackage x\n" + rest + "// F takes a [" + link + "].\nfunc F() {}\n",
			"// Package x has.\npackage x\n" + rest + "type T struct {\n\t// A is a [" + link + "].\n\tA int\n}\n",
			"// Package x has.\npackage x\n" + rest + "type T struct {\n\tA int // a [" + link + "]\n}\n",
		} {
			fake, err := readTree(fstest.MapFS{
				"x/x.go": {Data: []byte(source)},
				"y/y.go": {Data: []byte("// Package y is.\npackage y\ntype Server struct{}\n")},
			})
			require.NoError(t, err)
			require.Equal(t, want, len(docLinkProblems(fake)) == 0, "%s\n%s", link, source)
		}
	}
	code, err := readTree(fstest.MapFS{"x/x.go": {Data: []byte("// Package x is.\n//\n//\ta[Server]\npackage x\n")}})
	require.NoError(t, err)
	require.Empty(t, docLinkProblems(code))
}
