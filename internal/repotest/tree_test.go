package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/rtcsignal/rtcsignal"

// protocols are the protocol packages with the short name that begins the names of
// their sub-packages, as in msepion.
var protocols = map[string]string{
	"msejsonrpc":     "mse",
	"easyrtc":        "easyrtc",
	"mediasoupproto": "mediasoup",
	"galene":         "galene",
	"cuttlefish":     "cuttlefish",
}

// A tree is what the rules look at: the files of a repository and its Go packages.
type tree struct {
	fsys     fs.FS
	fset     *token.FileSet
	files    []string // every file, sorted
	packages []*goPackage
}

// A goPackage is one folder with Go files outside testdata, whatever module it is in
// and whatever its build constraints say.
type goPackage struct {
	dir    string               // "cuttlefish/cuttlefishpion"
	name   string               // of the package clause
	nested bool                 // belongs to a nested module
	files  map[string]*ast.File // by base name, without tests
	tests  map[string]*ast.File
}

// imports returns the import paths in files with the place of each.
func (t *tree) imports(files map[string]*ast.File) map[string]token.Position {
	all := make(map[string]token.Position)
	for _, f := range files {
		for _, spec := range f.Imports {
			all[strings.Trim(spec.Path.Value, `"`)] = t.fset.Position(spec.Pos())
		}
	}
	return all
}

func (t *tree) pkg(dir string) *goPackage {
	i := slices.IndexFunc(t.packages, func(p *goPackage) bool { return p.dir == dir })
	if i < 0 {
		return nil
	}
	return t.packages[i]
}

// readTree lists and parses a repository.
func readTree(fsys fs.FS) (*tree, error) {
	t := &tree{fsys: fsys, fset: token.NewFileSet()}
	modules := []string{}
	byDir := make(map[string]*goPackage)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || name == "internal/interop/artifacts"):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		t.files = append(t.files, name)
		if d.Name() == "go.mod" {
			modules = append(modules, path.Dir(name))
		}
		if path.Ext(name) != ".go" || within(name, "testdata") {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(t.fset, name, data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		p := byDir[dir]
		if p == nil {
			p = &goPackage{dir: dir, files: map[string]*ast.File{}, tests: map[string]*ast.File{}}
			byDir[dir] = p
			t.packages = append(t.packages, p)
		}
		if strings.HasSuffix(name, "_test.go") {
			p.tests[path.Base(name)] = f
		} else {
			p.files[path.Base(name)] = f
			p.name = f.Name.Name
		}
		return nil
	})
	for _, p := range t.packages {
		p.nested = slices.ContainsFunc(modules, func(m string) bool {
			return m != "." && (p.dir == m || strings.HasPrefix(p.dir, m+"/"))
		})
	}
	return t, err
}

// within reports whether one of the folders of a path has this name.
func within(name, folder string) bool {
	return slices.Contains(strings.Split(path.Dir(name), "/"), folder)
}

var readRepository = sync.OnceValues(func() (*tree, error) { return readTree(os.DirFS("../..")) })

// repository is the tree that this package is part of.
func repository(t *testing.T) *tree {
	t.Helper()
	r, err := readRepository()
	require.NoError(t, err)
	require.NotNil(t, r.pkg("internal/repotest"), "the rules look at the wrong folder")
	return r
}
