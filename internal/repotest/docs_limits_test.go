package repotest

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// limited are the structs whose numbers and durations are limits.
var limited = []string{"ServerConfig", "ServerOptions", "ClientOptions", "DeviceOptions", "Limits"}

// limitProblems compares the tables of limits in the package comment of each protocol with
// the options that there are.
func limitProblems(t *tree) []string {
	var problems []string
	for _, protocol := range slices.Sorted(maps.Keys(protocols)) {
		p := t.pkg(protocol)
		if p == nil || p.files["doc.go"] == nil {
			continue // the shape tells that
		}
		report := func(format string, args ...any) {
			problems = append(problems, path.Join(protocol, "doc.go")+": "+fmt.Sprintf(format, args...))
		}
		listed := make(map[string]bool)
		for line := range strings.Lines(section(p.files["doc.go"].Doc.Text(), "Limits")) {
			if row, ok := strings.CutPrefix(line, "\t"); ok {
				name, _, _ := strings.Cut(strings.TrimSpace(row), " ")
				listed[name] = true
			}
		}
		delete(listed, "server") // the heads of the tables
		delete(listed, "client")
		there := limitsOf(p)
		for _, name := range slices.Sorted(maps.Keys(there)) {
			if !listed[name] {
				report("no limit %s", name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(listed)) {
			if !there[name] {
				report("there is no limit %s", name)
			}
		}
	}
	return problems
}

// limitsOf returns the names of the limits of a package; those of its Limits begin with that.
func limitsOf(p *goPackage) map[string]bool {
	all := make(map[string]bool)
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !slices.Contains(limited, spec.Name.Name) {
				return true
			}
			s, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range s.Fields.List {
				switch typeForm(field.Type) {
				case "int", "int64", "float64", "time.Duration":
				default:
					continue
				}
				for _, name := range field.Names {
					if spec.Name.Name == "Limits" {
						all["Limits."+name.Name] = true
					} else {
						all[name.Name] = true
					}
				}
			}
			return true
		})
	}
	return all
}

func TestLimitsAreListed(t *testing.T) {
	t.Parallel()
	require.Empty(t, limitProblems(repository(t)))
}

func TestLimitsThatAreNotListedAreFound(t *testing.T) {
	t.Parallel()
	fake, err := readTree(fstest.MapFS{
		"galene/doc.go": {Data: []byte("// Package galene is.\n//\n// # Limits\n//\n// These:\n//\n" +
			"//\tserver          default\n//\tRooms    of it  1\n//\tGone            2\n//\tLimits.Messages 3\npackage galene\n")},
		"galene/server.go": {Data: []byte("package galene\n\ntype ServerConfig struct {\n\tRooms, Peers int\n" +
			"\tWait time.Duration\n\tName string\n}\n\ntype Limits struct{ Messages float64 }\n\ntype Other struct{ N int }\n")},
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		"galene/doc.go: no limit Peers", "galene/doc.go: no limit Wait", "galene/doc.go: there is no limit Gone",
	}, limitProblems(fake))
}
