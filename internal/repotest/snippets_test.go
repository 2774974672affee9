package repotest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

var (
	snippetComment = regexp.MustCompile(`^<!-- snippet: (\S+)#(\S+) -->$`)
	exampleCommand = regexp.MustCompile(`^go run (\./examples/\S+)`)
)

// snippetProblems compares the code in every Markdown file with the compiled code that
// it names, and looks for the examples that its commands run. A block of Go stands
// under a comment
//
//	<!-- snippet: examples/x/main.go#name -->
//
// and equals what is in that file between "// snippet:name" and "// end snippet".
func snippetProblems(t *tree) []string {
	var problems []string
	for _, name := range t.files {
		if path.Ext(name) != ".md" || within(name, "testdata") {
			continue
		}
		data, err := fs.ReadFile(t.fsys, name)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		for _, b := range fencedBlocks(string(data)) {
			var why string
			switch b.language {
			case "go":
				why = snippetProblem(t, b)
			case "sh":
				why = commandProblem(t, b)
			}
			if why != "" {
				problems = append(problems, fmt.Sprintf("%s:%d: %s", name, b.line, why))
			}
		}
	}
	return problems
}

// A fencedBlock is a code block of a Markdown file.
type fencedBlock struct {
	language string
	line     int    // of the opening fence, from 1
	above    string // the last line with text before the fence
	code     string
}

func fencedBlocks(markdown string) []fencedBlock {
	var blocks []fencedBlock
	var open bool
	var above string
	for i, line := range strings.Split(markdown, "\n") {
		line = strings.TrimSuffix(line, "\r")
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			open = true
			blocks = append(blocks, fencedBlock{language: language, line: i + 1, above: above})
		case fence:
			open, above = false, line
		case open:
			blocks[len(blocks)-1].code += line + "\n"
		case strings.TrimSpace(line) != "":
			above = line
		}
	}
	return blocks
}

func snippetProblem(t *tree, b fencedBlock) string {
	m := snippetComment.FindStringSubmatch(b.above)
	if m == nil {
		return "Go code without a snippet comment above it"
	}
	source, err := fs.ReadFile(t.fsys, m[1])
	if err != nil {
		return err.Error()
	}
	want, ok := region(string(source), m[2])
	if !ok {
		return fmt.Sprintf("%s has no whole region %q", m[1], m[2])
	}
	if b.code != want {
		return fmt.Sprintf("differs from %s#%s, which is\n%s", m[1], m[2], want)
	}
	return ""
}

// region returns the lines of a source between "// snippet:name" and "// end snippet",
// without the indent of the first comment.
func region(source, name string) (string, bool) {
	var indent string
	var inside bool
	var code strings.Builder
	for line := range strings.SplitSeq(source, "\n") {
		switch text := strings.TrimSpace(line); {
		case !inside && text == "// snippet:"+name:
			inside = true
			indent, _, _ = strings.Cut(line, "//")
		case inside && text == "// end snippet":
			return code.String(), true
		case inside:
			code.WriteString(strings.TrimPrefix(line, indent) + "\n")
		}
	}
	return "", false
}

func commandProblem(t *tree, b fencedBlock) string {
	for line := range strings.SplitSeq(b.code, "\n") {
		m := exampleCommand.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if p := t.pkg(path.Clean(m[1])); p == nil || p.name != "main" {
			return m[1] + " is not a command"
		}
	}
	return ""
}

func TestReadmeCodeIsCompiledCode(t *testing.T) {
	t.Parallel()
	r := repository(t)
	require.True(t, slices.Contains(r.files, "README.md"), "no README.md")
	require.Empty(t, snippetProblems(r))
}

func TestDifferingSnippetsAndCommandsAreFound(t *testing.T) {
	t.Parallel()
	const source = `package main

func main() {
	// snippet:use
	if true {
		println("a")
	}

	println("b")
	// end snippet
	// snippet:open
}
`
	const fence = "```"
	const comment = "<!-- snippet: examples/x/main.go#use -->\n"
	const code = "if true {\n\tprintln(\"a\")\n}\n\nprintln(\"b\")\n"
	for _, c := range []struct{ name, readme, want string }{
		{"equal code", comment + fence + "go\n" + code + fence, ""},
		{"an empty line below the comment", comment + "\n" + fence + "go\n" + code + fence, ""},
		{"another language", fence + "json\n{}\n" + fence, ""},
		{"an example", fence + "sh\ngo run ./examples/x -json\n" + fence, ""},

		{"changed code", comment + fence + "go\n" + code + "more()\n" + fence, "README.md:2: differs"},
		{"no comment", "text\n" + fence + "go\n" + code + fence, "README.md:2: Go code without"},
		{"a comment above another block", comment + fence + "go\n" + code + fence + "\n" + fence + "go\n" + code + fence, "Go code without"},
		{"a missing file", "<!-- snippet: examples/y/main.go#use -->\n" + fence + "go\n" + code + fence, "examples/y/main.go"},
		{"a missing region", "<!-- snippet: examples/x/main.go#other -->\n" + fence + "go\n" + code + fence, `no whole region "other"`},
		{"a region without end", "<!-- snippet: examples/x/main.go#open -->\n" + fence + "go\n" + fence, `no whole region "open"`},
		{"a missing example", fence + "sh\nls\ngo run ./examples/y\n" + fence, "./examples/y is not a command"},
		{"an example that is no command", fence + "sh\ngo run ./examples/lib\n" + fence, "./examples/lib is not a command"},
	} {
		fake, err := readTree(fstest.MapFS{
			"README.md":            {Data: []byte(c.readme + "\n")},
			"examples/x/main.go":   {Data: []byte(source)},
			"examples/lib/clip.go": {Data: []byte("package lib\n")},
		})
		require.NoError(t, err)
		problems := snippetProblems(fake)
		if c.want == "" {
			require.Empty(t, problems, c.name)
			continue
		}
		require.Len(t, problems, 1, c.name)
		require.Contains(t, problems[0], c.want, c.name)
	}
}
