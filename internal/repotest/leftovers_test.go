package repotest

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// A leftover is something that must not be in a file. Only lines with the hint are matched
// with the pattern: patterns are slow, above all under the race detector.
type leftover struct {
	hint    string
	pattern *regexp.Regexp
}

// leftovers are words of unfinished work and of the machine on which it was done.
// They are written so that this file does not contain them.
var leftovers = []leftover{
	{"TO" + "DO", regexp.MustCompile(`\bTO` + `DO\b`)},
	{"FIX" + "ME", regexp.MustCompile(`\bFIX` + `ME\b`)},
	{"X" + "XX", regexp.MustCompile(`\bX` + `XX\b`)},
	{"/" + "work/", regexp.MustCompile(`(^|[^\w.~/-])/` + `work/`)},
	{"/" + "root/", regexp.MustCompile(`(^|[^\w.~/-])/` + `root/`)},
	{"/" + "home/", regexp.MustCompile(`(^|[^\w.~/-])/` + `home/`)},
}

// registries are public hosts of packages, and settings that name another one.
var registries = []leftover{
	{"golang.org", regexp.MustCompile(`\b(proxy|sum)\.golang\.org\b`)},
	{"registry.", regexp.MustCompile(`\bregistry\.(npmjs\.org|yarnpkg\.com)\b`)},
	{"debian.org", regexp.MustCompile(`\b(deb|security)\.debian\.org\b`)},
	{"ubuntu.com", regexp.MustCompile(`\barchive\.ubuntu\.com\b`)},
	{"pypi" + ".org", regexp.MustCompile(`\bpypi\.org\b`)},
	{"GOPROXY" + "=", regexp.MustCompile(`\bGOPROXY=\w+:`)},
	{"--", regexp.MustCompile(`--(registry|index-url)\b`)},
}

// leftoverProblems looks for them in every text file. Sums of modules and corpora of
// fuzzing are random letters, in which only hosts are looked for.
func leftoverProblems(t *tree, hosts []string) []string {
	var problems []string
	for _, name := range t.files {
		data, err := fs.ReadFile(t.fsys, name)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		if bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
			continue // not a text
		}
		text := string(data)
		wanted := leftoversIn(name, text, hosts)
		if len(wanted) == 0 {
			continue
		}
		number := 0
		for line := range strings.Lines(text) {
			number++
			if slices.ContainsFunc(wanted, func(l leftover) bool { return l.in(line) }) {
				problems = append(problems, fmt.Sprintf("%s:%d: %.200s", name, number, strings.TrimSpace(line)))
			}
		}
	}
	return problems
}

// leftoversIn returns what a file may contain, judged by the hints, and must not.
func leftoversIn(name, text string, hosts []string) []leftover {
	all := slices.Clone(registries)
	for _, host := range hosts {
		all = append(all, leftover{host, regexp.MustCompile(regexp.QuoteMeta(host))})
	}
	if path.Base(name) != "go.sum" && !strings.Contains(name, "testdata/fuzz/") {
		all = append(all, leftovers...)
	}
	return slices.DeleteFunc(all, func(l leftover) bool { return !strings.Contains(text, l.hint) })
}

func (l leftover) in(line string) bool {
	return strings.Contains(line, l.hint) && l.pattern.MatchString(line)
}

// configuredHosts returns the hosts of the module proxies and npm registry that this
// machine uses.
func configuredHosts(t *testing.T) []string {
	t.Helper()
	proxies, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY").Output()
	require.NoError(t, err)
	var hosts []string
	for setting := range strings.FieldsFuncSeq(string(proxies)+","+os.Getenv("npm_config_registry"), func(r rune) bool {
		return r == ',' || r == '|' || r == '\n'
	}) {
		if u, err := url.Parse(setting); err == nil && u.Hostname() != "" && u.Hostname() != "localhost" && !strings.HasPrefix(u.Hostname(), "127.") {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

func TestNothingIsLeftOverFromTheWork(t *testing.T) {
	t.Parallel()
	require.Empty(t, leftoverProblems(repository(t), configuredHosts(t)))
}

func TestLeftoversAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"a.go", "package a\n// TO" + "DO: more\n", 1},
		{"a.sh", "FIX" + "ME\nX" + "XX\n", 2},
		{"a.md", "see /" + "work/main\n", 1},
		{"a.md", "`/" + "root/go`\n", 1},
		{".ci/run", "GOPROXY" + "=https://example.org\n", 1},
		{"package-lock.json", `"resolved": "https://registry.` + `npmjs.org/a"` + "\n", 1},
		{"go.mod", "proxy" + ".golang.org\nsum" + ".golang.org\n", 2},
		{"Dockerfile", "http://deb" + ".debian.org\nhttp://archive" + ".ubuntu.com\npypi" + ".org\n", 3},
		{"a.sh", "npm ci --reg" + "istry x\npip --index" + "-url x\n", 2},
		{"a/testdata/traces/a.jsonl", "a mirror.example.org\n", 1},

		{"a.go", "package a // path.Join(root, `work/`), TO" + "DOS, https://example.org/" + "root/\n", 0},
		{"go.sum", "h1:/X" + "XX/=\n", 0},
		{"a/testdata/fuzz/FuzzDecode/0", "TO" + "DO /" + "home/x\n", 0},
		{"clip.ivf", "\x00TO" + "DO\n", 0},
	} {
		fsys := fstest.MapFS{c.name: {Data: []byte(c.text)}}
		fake, err := readTree(fsys)
		require.NoError(t, err)
		require.Len(t, leftoverProblems(fake, []string{"mirror.example.org"}), c.want, "%s: %s", c.name, c.text)
	}
}
