package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// A user says who may import a package directly, outside tests.
type user struct {
	imported string   // a path and everything below it
	by       []string // folders, in the notation of placeMatches
}

// users are the imports that are kept in few places; conntest and script are libraries
// for tests. A package of another module that
// no row names is not a dependency of this module.
var users = []user{
	{"net/http", []string{"transport/wsconn", "transport/engineio/enginehttp", "PROTOCOL/SHORThttp", "internal/httpbody/...", "examples/...", "internal/bench/...", "internal/interop/..."}},
	{"testing", []string{"transport/conntest", "internal/script", "internal/heard", "internal/pionpeer/piontest", "internal/repotest", "internal/interop/..."}},

	{"github.com/coder/websocket", []string{"transport/wsconn", "transport/engineio/enginehttp", "internal/bench/load"}},
	{"github.com/pion", []string{"PROTOCOL/SHORTpion", "internal/pionpeer/...", "internal/interop/...", "examples/..."}},
	{"github.com/go-json-experiment/json", []string{"internal/jsonx"}},
	{"github.com/golang-jwt/jwt", []string{"PROTOCOL/SHORTjwt", "internal/jwtclaims", "examples/..."}},
	{"golang.org/x/crypto", []string{"galene/galenegroup"}}, // how passwords are stored there
	{"github.com/stretchr/testify", []string{"transport/conntest", "internal/script", "internal/heard", "internal/pionpeer/piontest", "internal/interop/..."}},
}

// contents are the packages that import nothing but the standard library (without
// net/http), what is listed here and, where users names them, other modules.
var contents = map[string][]string{
	"PROTOCOL":             {"transport", "internal/alarm", "internal/jsonx", "internal/kept", "internal/link", "internal/calls", "internal/socketio"},
	"transport":            {},
	"transport/wsconn":     {"internal/httpbody", "transport"},
	"transport/conntest":   {"transport"},
	"transport/engineio":   {"transport"},
	"transport/unixpacket": {"transport"},
	"internal/httpbody":    {},
	"internal/jsonx":       {},
	"internal/kept":        {},
	"internal/link":        {"internal/kept", "transport"},
	"internal/alarm":       {},
	"internal/calls":       {},
	"internal/socketio":    {"transport", "transport/engineio", "internal/jsonx"},
	"internal/pionpeer":    {"internal/link"},
	"internal/jwtclaims":   {"internal/jsonx"},
	"msejsonrpc/msejwt":    {"msejsonrpc", "internal/jsonx", "internal/jwtclaims"},
	"galene/galenejwt":     {"galene", "internal/jsonx", "internal/jwtclaims"},
	"galene/galenegroup":   {"galene", "galene/galenejwt", "internal/jsonx"},
}

// unreachable are packages that must not come in by any way, so that nobody pays for
// what he does not use.
var unreachable = map[string][]string{
	"PROTOCOL":             {"net/http", "github.com/coder/websocket", "github.com/pion", "github.com/golang-jwt"},
	"transport":            {"net/http", "github.com"},
	"transport/engineio":   {"net/http", "github.com/coder/websocket", "github.com/pion"},
	"transport/unixpacket": {"net/http", "github.com/coder/websocket", "github.com/pion"},
	"transport/wsconn":     {"github.com/pion"},
	"PROTOCOL/SHORThttp":   {"github.com/pion", "github.com/golang-jwt"},
	"PROTOCOL/SHORTpion":   {"github.com/coder/websocket", "github.com/golang-jwt"},
	"PROTOCOL/SHORTjwt":    {"net/http", "github.com/coder/websocket", "github.com/pion"},
}

// placeMatches reports whether a folder is meant by a pattern: a folder, "folder/..."
// with everything below it, or one with PROTOCOL and SHORT in place of the names of
// any one protocol.
func placeMatches(pattern, dir string) bool {
	for name, short := range protocols {
		p := strings.NewReplacer("PROTOCOL", name, "SHORT", short).Replace(pattern)
		if base, ok := strings.CutSuffix(p, "/..."); ok && below(dir, base) || p == dir {
			return true
		}
	}
	return false
}

func below(p, base string) bool { return p == base || strings.HasPrefix(p, base+"/") }

// protocolOf returns the protocol that a folder belongs to, or "".
func protocolOf(dir string) string {
	top, _, _ := strings.Cut(dir, "/")
	if _, ok := protocols[top]; ok {
		return top
	}
	return ""
}

// ownPackage returns the folder of an import path of this module.
func ownPackage(imported string) (dir string, ok bool) {
	return strings.CutPrefix(imported, modulePath+"/")
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func importProblems(t *tree) []string {
	var problems []string
	for _, p := range t.packages {
		imports := t.imports(p.files)
		for _, imported := range slices.Sorted(maps.Keys(imports)) {
			if why := importProblem(p, imported); why != "" {
				problems = append(problems, fmt.Sprintf("%s: %s: %s", imports[imported], imported, why))
			}
		}
		imports = t.imports(p.tests)
		for _, imported := range slices.Sorted(maps.Keys(imports)) {
			if why := testImportProblem(p, imported); why != "" {
				problems = append(problems, fmt.Sprintf("%s: %s: %s", imports[imported], imported, why))
			}
		}
	}
	return problems
}

func importProblem(p *goPackage, imported string) string {
	if why := protocolImportProblem(p, imported); why != "" {
		return why
	}
	own, isOwn := ownPackage(imported)
	known := isOwn || isStandard(imported)
	for _, u := range users {
		if !below(imported, u.imported) {
			continue
		}
		known = true
		if !slices.ContainsFunc(u.by, func(place string) bool { return placeMatches(place, p.dir) }) {
			return "only for " + strings.Join(u.by, ", ")
		}
	}
	if !known && !p.nested {
		return "not a dependency of this module"
	}
	for place, allowed := range contents {
		if isOwn && placeMatches(place, p.dir) && !slices.Contains(allowed, own) {
			return fmt.Sprintf("%s imports no more of this module than %q", p.dir, allowed)
		}
	}
	return ""
}

func testImportProblem(p *goPackage, imported string) string {
	if below(imported, "github.com/go-json-experiment/json") && p.dir != "internal/jsonx" {
		return "only for internal/jsonx"
	}
	return protocolImportProblem(p, imported)
}

// protocolImportProblem keeps protocols out of each other and out of what they stand on.
func protocolImportProblem(p *goPackage, imported string) string {
	own, _ := ownPackage(imported)
	of := protocolOf(own)
	if of == "" || of == protocolOf(p.dir) || below(p.dir, "examples") || below(p.dir, "internal/interop") ||
		below(p.dir, "internal/bench") || p.dir == "internal/faults" {
		return ""
	}
	if protocolOf(p.dir) != "" {
		return "no protocol imports another"
	}
	return "what protocols stand on imports no protocol"
}

// A listed package is what go list tells about one.
type listed struct {
	ImportPath string
	Deps       []string
}

func dependencyProblems(packages []listed) []string {
	var problems []string
	for _, p := range packages {
		dir, ok := ownPackage(p.ImportPath)
		if !ok {
			continue
		}
		for place, never := range unreachable {
			if !placeMatches(place, dir) {
				continue
			}
			for _, dep := range p.Deps {
				if slices.ContainsFunc(never, func(n string) bool { return below(dep, n) && !below(dep, modulePath) }) {
					problems = append(problems, fmt.Sprintf("%s: depends on %s", dir, dep))
				}
			}
		}
	}
	slices.Sort(problems)
	return problems
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	require.Empty(t, importProblems(repository(t)))
}

func TestPackagesDependOnlyOnWhatTheyMay(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Deps", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		packages = append(packages, p)
	}
	require.Greater(t, len(packages), 1)
	require.Empty(t, dependencyProblems(packages))
}

func TestForbiddenImportsAreFound(t *testing.T) {
	t.Parallel()
	own := modulePath + "/"
	for _, c := range []struct{ file, imported, why string }{
		{"galene/client.go", "net/http", "only for"},
		{"galene/client.go", "net/http/httptest", "only for"},
		{"galene/client.go", "github.com/coder/websocket", "only for"},
		{"galene/client.go", "github.com/pion/webrtc/v4", "only for"},
		{"galene/client.go", "github.com/go-json-experiment/json", "only for"},
		{"msejsonrpc/server.go", "github.com/golang-jwt/jwt/v5", "only for"},
		{"msejsonrpc/msejwt/verifier.go", own + "transport/wsconn", "imports no more of this module"},
		{"msejsonrpc/msejwt/verifier.go", "github.com/coder/websocket", "only for"},
		{"galene/codec_test.go", "github.com/go-json-experiment/json", "only for"},
		{"galene/client.go", "github.com/stretchr/testify/require", "only for"},
		{"galene/client.go", "testing", "only for"},
		{"galene/client.go", "example.org/other", "not a dependency"},
		{"galene/client.go", own + "transport/wsconn", "imports no more of this module"},
		{"galene/client.go", own + "internal/pionpeer", "imports no more of this module"},
		{"galene/client.go", own + "cuttlefish", "no protocol imports another"},
		{"galene/client_test.go", own + "cuttlefish", "no protocol imports another"},
		{"galene/galenepion/peer.go", own + "cuttlefish/cuttlefishpion", "no protocol imports another"},
		{"galene/msepion/peer.go", "github.com/pion/webrtc/v4", "only for"},
		{"internal/link/link.go", own + "galene", "imports no protocol"},
		{"internal/link/link.go", own + "internal/jsonx", "imports no more of this module"},
		{"transport/pipe.go", own + "internal/link", "imports no more of this module"},
		{"transport/pipe.go", "github.com/coder/websocket", "only for"},

		{"galene/client.go", own + "internal/link", ""},
		{"galene/bench_test.go", "net/http", ""},
		{"galene/bench_test.go", "github.com/coder/websocket", ""},
		{"galene/client_test.go", "github.com/stretchr/testify/require", ""},
		{"galene/galenehttp/handler.go", "net/http", ""},
		{"galene/galenehttp/handler.go", own + "transport/wsconn", ""},
		{"msejsonrpc/msepion/peer.go", "github.com/pion/webrtc/v4", ""},
		{"msejsonrpc/msejwt/verifier.go", "github.com/golang-jwt/jwt/v5", ""},
		{"msejsonrpc/msejwt/verifier.go", own + "msejsonrpc", ""},
		{"examples/demo/main.go", "github.com/pion/webrtc/v4", ""},
		{"examples/demo/main.go", own + "galene", ""},
		{"internal/interop/peers/driver.go", "example.org/browser", ""},
	} {
		fake, err := readTree(fstest.MapFS{
			"internal/interop/go.mod": {Data: []byte("module x")},
			c.file:                    {Data: fmt.Appendf(nil, "package %s\nimport _ %q\n", path.Base(path.Dir(c.file)), c.imported)},
		})
		require.NoError(t, err)
		problems := importProblems(fake)
		if c.why == "" {
			require.Empty(t, problems, "%s may import %s", c.file, c.imported)
			continue
		}
		require.Len(t, problems, 1, "%s must not import %s", c.file, c.imported)
		require.Contains(t, problems[0], c.why)
		require.Contains(t, problems[0], c.file+":2:")
	}
}

func TestForbiddenDependenciesAreFound(t *testing.T) {
	t.Parallel()
	list := func(dir string, deps ...string) []string {
		return dependencyProblems([]listed{{modulePath + "/" + dir, deps}})
	}
	require.Len(t, list("galene", "fmt", "net/http", "github.com/pion/sdp/v3"), 2)
	require.Len(t, list("transport", "github.com/stretchr/testify/require"), 1)
	require.Len(t, list("msejsonrpc/msepion", "github.com/coder/websocket/internal/errd"), 1)
	require.Len(t, list("msejsonrpc", "github.com/golang-jwt/jwt/v5"), 1)
	require.Len(t, list("msejsonrpc/msejwt", "net/http", "github.com/golang-jwt/jwt/v5"), 1)
	require.Empty(t, list("galene", "fmt", "net/url", modulePath+"/transport", "github.com/go-json-experiment/json"))
	require.Empty(t, list("examples/demo", "net/http", "github.com/pion/webrtc/v4"))
}
