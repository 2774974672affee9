package repotest

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

const examplesPage = "examples/README.md"

var (
	anEntry = regexp.MustCompile(`(?m)^\| \[([^\]]+)\]\(([^)]+)\) \|`)
	aFlag   = regexp.MustCompile(`(?:^|\s)--?([a-z][\w-]*)`)

	// aDefinition is a function of package flag that defines one.
	aDefinition = regexp.MustCompile(`^(Bool|BoolFunc|Duration|Float64|Func|Int|Int64|String|Text|Uint|Uint64)?(Var)?$`)
)

// examplesProblems compares the index of the examples with their folders, and the flags of
// the commands in all Markdown files with those of the programs.
func examplesProblems(t *tree) []string {
	var problems []string
	folders := map[string]bool{}
	for _, name := range t.files {
		rest, ok := strings.CutPrefix(name, "examples/")
		folder, _, isFolder := strings.Cut(rest, "/")
		if ok && isFolder && folder != "internal" && folder != "kit" {
			folders[folder] = true
		}
	}
	page, err := fs.ReadFile(t.fsys, examplesPage)
	if err != nil {
		return []string{err.Error()}
	}
	listed := map[string]bool{}
	for _, m := range anEntry.FindAllStringSubmatch(string(page), -1) {
		switch {
		case m[1] != m[2]:
			problems = append(problems, fmt.Sprintf("%s: [%s] leads to %s", examplesPage, m[1], m[2]))
		case listed[m[1]]:
			problems = append(problems, fmt.Sprintf("%s: %s is there twice", examplesPage, m[1]))
		case !folders[m[1]]:
			problems = append(problems, fmt.Sprintf("%s: there is no %s", examplesPage, m[1]))
		}
		listed[m[1]] = true
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if !listed[folder] {
			problems = append(problems, fmt.Sprintf("%s: %s is not in the index", examplesPage, folder))
		}
	}
	return append(problems, flagProblems(t)...)
}

func flagProblems(t *tree) []string {
	var problems []string
	for _, name := range t.files {
		if path.Ext(name) != ".md" || within(name, "testdata") {
			continue
		}
		data, err := fs.ReadFile(t.fsys, name)
		if err != nil {
			return []string{err.Error()}
		}
		for _, b := range fencedBlocks(string(data)) {
			if b.language != "sh" {
				continue
			}
			for line := range strings.SplitSeq(strings.ReplaceAll(b.code, "\\\n", " "), "\n") {
				line, _, _ = strings.Cut(line, " #")
				m := exampleCommand.FindStringSubmatch(line)
				if m == nil {
					continue
				}
				p := t.pkg(path.Clean(m[1]))
				if p == nil {
					continue // snippets tells that
				}
				has := flagsOf(p)
				for _, f := range aFlag.FindAllStringSubmatch(strings.TrimPrefix(line, m[0]), -1) {
					if !has[f[1]] {
						problems = append(problems, fmt.Sprintf("%s:%d: %s has no flag -%s", name, b.line, m[1], f[1]))
					}
				}
			}
		}
	}
	return problems
}

// flagsOf returns the flags that a command defines, with functions of package flag or methods
// of a flag set.
func flagsOf(p *goPackage) map[string]bool {
	flags := map[string]bool{}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			called, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !aDefinition.MatchString(called.Sel.Name) {
				return true
			}
			for _, arg := range call.Args[:min(2, len(call.Args))] {
				if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					name, _ := strconv.Unquote(lit.Value)
					flags[name] = true
					break
				}
			}
			return true
		})
	}
	return flags
}

// A shown program is a command of the page and the output that stands below it.
type shown struct{ dir, output string }

// shownCodecs are the commands of the page whose output is always the same: those of the codec.
func shownCodecs(page string) []shown {
	var all []shown
	blocks := fencedBlocks(page)
	for i, b := range blocks {
		command := strings.TrimSpace(b.code)
		m := exampleCommand.FindStringSubmatch(command)
		if b.language != "sh" || m == nil || m[0] != command || !strings.HasPrefix(m[1], "./examples/codec-") {
			continue
		}
		if i+1 < len(blocks) && blocks[i+1].language == "text" {
			all = append(all, shown{m[1], blocks[i+1].code})
		}
	}
	return all
}

// likeShown reports whether an output is as shown, where "…" stands for lines that are left out, and
// at the end of a line for the rest of it.
func likeShown(output, shown string) bool {
	var pattern strings.Builder
	for line := range strings.Lines(shown) {
		line = strings.TrimSuffix(line, "\n")
		before, cut := strings.CutSuffix(line, "…")
		switch {
		case line == "…":
			pattern.WriteString(`(?:[^\n]*\n)*?`)
		case cut:
			pattern.WriteString(regexp.QuoteMeta(before) + `[^\n]*\n`)
		default:
			pattern.WriteString(regexp.QuoteMeta(line) + `\n`)
		}
	}
	return regexp.MustCompile(`^` + pattern.String() + `$`).MatchString(output)
}

func TestEveryExampleIsInTheIndexAndItsFlagsExist(t *testing.T) {
	t.Parallel()
	require.Empty(t, examplesProblems(repository(t)))
}

func TestCodecExamplesPrintWhatTheIndexSays(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("../..", examplesPage))
	require.NoError(t, err)
	programs := shownCodecs(string(page))
	require.Len(t, programs, len(protocols), "each protocol has one")
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+string(filepath.Separator))
	for _, p := range programs {
		build.Args = append(build.Args, p.dir)
	}
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, p := range programs {
		t.Run(path.Base(p.dir), func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), filepath.Join(bin, path.Base(p.dir))).Output()
			require.NoError(t, err)
			like := likeShown(string(out), p.output)
			require.True(t, like, "%s prints\n%sand the index says\n%s", p.dir, out, p.output)
		})
	}
}

func TestDifferingIndexesOfExamplesAreFound(t *testing.T) {
	t.Parallel()
	const marks = "```"
	const index = "| [a](a) | does |\n| [b](b) | does |\n"
	for _, c := range []struct{ name, page, want string }{
		{"all", index, ""},
		{"one that is missing", "| [a](a) | does |\n", "examples/README.md: b is not in the index"},
		{"one that is not there", index + "| [c](c) | does |\n", "examples/README.md: there is no c"},
		{"one twice", index + "| [a](a) | does |\n", "examples/README.md: a is there twice"},
		{"one under another name", "| [b](a) | does |\n| [a](a) | does |\n| [b](b) | does |\n", "examples/README.md: [b] leads to a"},
		{"a flag", index + marks + "sh\ngo run ./examples/a -url x -n 3 -v # -w\n" + marks, ""},
		{"a flag in the next line", index + marks + "sh\ngo run ./examples/a \\\n\t-url x -w\n" + marks, "examples/README.md:3: ./examples/a has no flag -w"},
		{"a flag of another", index + marks + "sh\ngo run ./examples/b -url x\n" + marks, "examples/README.md:3: ./examples/b has no flag -url"},
	} {
		fake, err := readTree(fstest.MapFS{
			"examples/README.md":       {Data: []byte(c.page + "\n")},
			"examples/a/main.go":       {Data: []byte("package main\nvar u = flag.String(\"url\", \"-x\", \"\")\nfunc f(s *flag.FlagSet) { s.IntVar(&n, \"n\", 0, \"\"); s.Var(&v, \"v\", \"\") }\n")},
			"examples/b/main.go":       {Data: []byte("package main\n")},
			"examples/internal/x/x.go": {Data: []byte("package x\n")},
		})
		require.NoError(t, err)
		problems := examplesProblems(fake)
		if c.want == "" {
			require.Empty(t, problems, c.name)
			continue
		}
		// A wrong link also hides an entry.
		require.Contains(t, problems, c.want, c.name)
	}
}

func TestOutputsAreComparedLineByLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		output, shown string
		like          bool
	}{
		{"a\nb\n", "a\nb\n", true},
		{"a\nb\nc\n", "a\n…\nc\n", true},
		{"a\nc\n", "a\n…\nc\n", true},
		{"a b\nc\n", "a …\nc\n", true},
		{"a\nb\n", "…\n", true},
		{"a.b\n", "a.b\n", true},

		{"a\nb\n", "a\n", false},
		{"a\nb\n", "b\n", false},
		{"axb\n", "a.b\n", false},
		{"a\nb\nc\n", "a\n…\nd\n", false},
		{"a b\n", "b …\n", false},
		{"a\nc\n", "a …\n", false},
	} {
		require.Equal(t, c.like, likeShown(c.output, c.shown), "%q like %q", c.output, c.shown)
	}
	const marks = "```"
	page := marks + "sh\ngo run ./examples/codec-x\n" + marks + "\n" + marks + "text\nout\n" + marks + "\n" +
		marks + "sh\ngo run ./examples/codec-y -\n" + marks + "\n" + marks + "text\nother\n" + marks + "\n" +
		marks + "sh\ngo run ./examples/demo\n" + marks + "\n" + marks + "text\nother\n" + marks + "\n"
	require.Equal(t, []shown{{"./examples/codec-x", "out\n"}}, shownCodecs(page))
}
