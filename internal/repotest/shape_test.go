package repotest

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

//go:embed testdata/shape.go
var shapeTable string

// besidesProtocols are the folders of the root that hold packages and are no protocol.
var besidesProtocols = []string{"transport", "examples", "internal"}

// A requirement is a file that every protocol package has and what it declares.
type requirement struct {
	path         string // relative to the package; a folder ends in /
	declarations []declaration
	only         []string // packages for which it is meant; nil is all
	except       []string
}

// A declaration is a top-level name, or "Type.Method", with its form in words that two
// packages can be compared by.
type declaration struct {
	name    string
	form    string   // "func(context.Context) error", "struct", "var"
	members []string // of a struct or interface: "Type string", "Validate func() error"
	only    []string // packages for which it is meant; nil is all
	except  []string
}

func isFor(protocol string, only, except []string) bool {
	return (only == nil || slices.Contains(only, protocol)) && !slices.Contains(except, protocol)
}

var fileMarker = regexp.MustCompile(`(?m)^// -- (\S+) --(?: (only|except) (.+))?$`)

// readShape reads the table in testdata/shape.go.
func readShape(table string) ([]requirement, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "shape.go", table, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var shape []requirement
	var starts []int
	for _, m := range fileMarker.FindAllStringSubmatchIndex(table, -1) {
		if m[0] < fset.Position(f.Package).Offset {
			continue // the explanation of the table
		}
		starts = append(starts, m[0])
		r := requirement{path: table[m[2]:m[3]]}
		if m[4] >= 0 {
			names := strings.Fields(table[m[6]:m[7]])
			if table[m[4]:m[5]] == "only" {
				r.only = names
			} else {
				r.except = names
			}
		}
		shape = append(shape, r)
	}
	for _, decl := range f.Decls {
		i, _ := slices.BinarySearch(starts, fset.Position(decl.Pos()).Offset)
		r := &shape[i-1]
		for _, d := range declarations(decl) {
			d.only, d.except = directives(decl)
			r.declarations = append(r.declarations, d)
		}
	}
	return shape, nil
}

// directives returns the packages named by //shape:only and //shape:except before a declaration.
func directives(decl ast.Decl) (only, except []string) {
	var doc *ast.CommentGroup
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		doc = decl.Doc
	case *ast.GenDecl:
		doc = decl.Doc
	}
	if doc == nil {
		return nil, nil
	}
	for _, c := range doc.List {
		if names, ok := strings.CutPrefix(c.Text, "//shape:only "); ok {
			only = strings.Fields(names)
		}
		if names, ok := strings.CutPrefix(c.Text, "//shape:except "); ok {
			except = strings.Fields(names)
		}
	}
	return only, except
}

// declarations returns what one top-level declaration exports.
func declarations(decl ast.Decl) []declaration {
	var all []declaration
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		name := decl.Name.Name
		form := typeForm(decl.Type)
		if decl.Recv != nil {
			receiver := decl.Recv.List[0].Type
			name = strings.TrimPrefix(typeForm(receiver), "*") + "." + name
			form = "method of " + typeForm(receiver) + ": " + form
		}
		all = append(all, declaration{name: name, form: form})
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				all = append(all, typeDeclaration(spec))
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					all = append(all, declaration{name: name.Name, form: decl.Tok.String()})
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(d declaration) bool {
		return !slices.ContainsFunc(strings.Split(d.name, "."), ast.IsExported)
	})
}

func typeDeclaration(spec *ast.TypeSpec) declaration {
	d := declaration{name: spec.Name.Name}
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		d.form, d.members = "struct", memberForms(typ.Fields)
	case *ast.InterfaceType:
		d.form, d.members = "interface", memberForms(typ.Methods)
	default:
		d.form = "type " + typeForm(typ)
	}
	if spec.Assign.IsValid() {
		d.form = "alias of " + typeForm(spec.Type)
	}
	return d
}

func memberForms(list *ast.FieldList) []string {
	var forms []string
	for _, field := range list.List {
		for _, name := range field.Names {
			forms = append(forms, name.Name+" "+typeForm(field.Type))
		}
		if len(field.Names) == 0 {
			forms = append(forms, typeForm(field.Type))
		}
	}
	return forms
}

// typeForm writes a type without the names of parameters.
func typeForm(typ ast.Expr) string {
	f, ok := typ.(*ast.FuncType)
	if !ok {
		var b bytes.Buffer
		if err := printer.Fprint(&b, token.NewFileSet(), typ); err != nil {
			return err.Error()
		}
		return b.String()
	}
	form := "func(" + strings.Join(unnamed(f.Params), ", ") + ")"
	switch results := unnamed(f.Results); len(results) {
	case 0:
		return form
	case 1:
		return form + " " + results[0]
	default:
		return form + " (" + strings.Join(results, ", ") + ")"
	}
}

func unnamed(list *ast.FieldList) []string {
	if list == nil {
		return nil
	}
	var types []string
	for _, field := range list.List {
		types = append(types, slices.Repeat([]string{typeForm(field.Type)}, max(1, len(field.Names)))...)
	}
	return types
}

// shapeProblems compares every protocol package of a tree with the table, and the
// folders of its root with the protocols that are known.
func shapeProblems(t *tree, shape []requirement) []string {
	var problems []string
	found := map[string]bool{}
	for _, p := range t.packages {
		top, _, _ := strings.Cut(p.dir, "/")
		if _, ok := protocols[top]; !ok && !slices.Contains(besidesProtocols, top) {
			problems = append(problems, p.dir+": neither a known protocol nor one of "+strings.Join(besidesProtocols, ", "))
		}
		found[top] = true
	}
	for _, protocol := range slices.Sorted(maps.Keys(protocols)) {
		if !found[protocol] {
			continue
		}
		problems = append(problems, subPackageProblems(t, protocol)...)
		problems = append(problems, hookProblems(t, protocol)...)
		problems = append(problems, testFileProblems(t, protocol)...)
		for _, r := range shape {
			if !isFor(protocol, r.only, r.except) {
				continue
			}
			r.path = strings.ReplaceAll(r.path, "SHORT", protocols[protocol])
			problems = append(problems, requirementProblems(t, protocol, r)...)
		}
	}
	return problems
}

// subPackageProblems lists the packages below a protocol whose names do not tell at the
// place of use what they belong to.
func subPackageProblems(t *tree, protocol string) []string {
	var problems []string
	for _, p := range t.packages {
		if below(p.dir, protocol) && p.dir != protocol && !strings.HasPrefix(path.Base(p.dir), protocols[protocol]) {
			problems = append(problems, fmt.Sprintf("%s: the name does not begin with %q", p.dir, protocols[protocol]))
		}
	}
	return problems
}

// hookProblems lists the hooks of a server that do not begin with a context and with the
// session that they are about, as far as they have them.
func hookProblems(t *tree, protocol string) []string {
	p := t.pkg(protocol)
	if p == nil || p.files["server.go"] == nil {
		return nil
	}
	var problems []string
	for _, decl := range p.files["server.go"].Decls {
		for _, d := range declarations(decl) {
			if d.name != "ServerOptions" {
				continue
			}
			for _, member := range d.members {
				name, form, _ := strings.Cut(member, " func(")
				parameters := form[:max(0, strings.IndexByte(form, ')'))]
				if form == "" || parameters == "" {
					continue
				}
				list := strings.Split(parameters, ", ")
				place := slices.Index(list, "*ServerSession")
				ctx := slices.Index(list, "context.Context")
				if ctx > 0 || place > ctx+1 {
					problems = append(problems, fmt.Sprintf(
						"%s/server.go: the hook %s takes (%s), not the context and the session first", protocol, name, parameters))
				}
				if strings.Contains(form, ") error") || strings.Contains(form, ", error)") {
					if ctx < 0 {
						problems = append(problems, fmt.Sprintf("%s/server.go: the hook %s decides without a context", protocol, name))
					}
				}
			}
		}
	}
	return problems
}

// testFileProblems lists the tests of one side of a protocol whose files do not stand beside
// the others of that side: server_fuzz_test.go, not fuzz_server_test.go.
func testFileProblems(t *tree, protocol string) []string {
	p := t.pkg(protocol)
	if p == nil {
		return nil
	}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(p.tests)) {
		base := strings.TrimSuffix(name, "_test.go")
		about, side, found := strings.Cut(base, "_server")
		if !found {
			about, side, found = strings.Cut(base, "_client")
		}
		if !found || side != "" && side[0] != '_' || p.files[base+".go"] != nil {
			continue // or the test of a file of that name
		}
		if about != "client" && about != "server" {
			problems = append(problems, fmt.Sprintf("%s/%s: the name begins with the side that is tested", protocol, name))
		}
	}
	return problems
}

func requirementProblems(t *tree, protocol string, r requirement) []string {
	place := path.Join(protocol, r.path)
	if strings.HasSuffix(r.path, "/") {
		if entries, err := fs.ReadDir(t.fsys, place); err != nil || len(entries) == 0 {
			return []string{place + "/: missing or empty"}
		}
		return nil
	}
	if !slices.Contains(t.files, place) {
		return []string{place + ": missing"}
	}
	file := &ast.File{}
	if p := t.pkg(path.Dir(place)); p != nil && p.files[path.Base(place)] != nil {
		file = p.files[path.Base(place)]
	}
	var have []declaration
	for _, decl := range file.Decls {
		have = append(have, declarations(decl)...)
	}
	var problems []string
	last := -1
	for _, want := range r.declarations {
		if !isFor(protocol, want.only, want.except) {
			continue
		}
		want.form = strings.ReplaceAll(want.form, "PROTOCOL", protocol)
		i := slices.IndexFunc(have, func(d declaration) bool { return d.name == want.name })
		if i < 0 {
			problems = append(problems, fmt.Sprintf("%s: no %s (%s)", place, want.name, want.form))
			continue
		}
		if i < last {
			problems = append(problems, fmt.Sprintf("%s: %s belongs after %s", place, want.name, have[last].name))
		}
		last = max(last, i)
		if have[i].form != want.form {
			problems = append(problems, fmt.Sprintf("%s: %s is %q, want %q", place, want.name, have[i].form, want.form))
		}
		for _, member := range want.members {
			member = strings.ReplaceAll(member, "PROTOCOL", protocol)
			if !slices.Contains(have[i].members, member) {
				problems = append(problems, fmt.Sprintf("%s: %s has no member %q", place, want.name, member))
			}
		}
	}
	return problems
}

func TestProtocolPackagesHaveOneShape(t *testing.T) {
	t.Parallel()
	shape, err := readShape(shapeTable)
	require.NoError(t, err)
	r := repository(t)
	require.True(t, slices.ContainsFunc(r.packages, func(p *goPackage) bool { return protocolOf(p.dir) != "" }), "no protocol package")
	require.Empty(t, shapeProblems(r, shape))
}

const fakeTable = `package shape

// -- doc.go --

// -- codec.go --

type Message interface{ Validate() error }

type Fields map[string]json.RawMessage

type Unknown struct {
	Type  string
	Extra Fields
}

func Decode(data []byte) (Message, error)

func (u *Unknown) Validate() error

var ErrSlow error

//shape:except galene
func Connect(ctx context.Context, a, b int)

//shape:only galene
func Join()

// -- testdata/vectors/ --
// -- SHORTpion/ --

// -- SHORThttp/handler.go -- except galene

func NewHandler(srv *PROTOCOL.Server) *Handler

// -- group.go -- only galene
`

const fakeCodec = `package msejsonrpc

type Message interface {
	Validate() error
	wireType() string
}

type Fields map[string]json.RawMessage

type Unknown struct {
	Type  string ` + "`json:\"-\"`" + `
	Extra Fields
	More  int
}

func Decode(b []byte) (m Message, err error) { return nil, nil }

func (u *Unknown) Validate() error { return nil }

var (
	ErrOther = errors.New("other")
	ErrSlow  = errors.New("slow")
)

func Connect(context.Context, int, int) {}
`

const fakeServer = `package msejsonrpc

type ServerOptions struct {
	Logger       *slog.Logger
	Authenticate func(ctx context.Context, s *ServerSession, a *Auth) (*Identity, error)
	Connection   func(ctx context.Context) (Connection, error)
	OnExpired    func(s *ServerSession)
}
`

// fakeProtocol is a tree with one package that has the shape of fakeTable.
func fakeProtocol() fstest.MapFS {
	return fstest.MapFS{
		"msejsonrpc/doc.go":                   {Data: []byte("package msejsonrpc\n")},
		"msejsonrpc/codec.go":                 {Data: []byte(fakeCodec)},
		"msejsonrpc/testdata/vectors/a.txtar": {Data: []byte("-- wire --\n")},
		"msejsonrpc/msepion/peer.go":          {Data: []byte("package msepion\n")},
		"msejsonrpc/msehttp/handler.go":       {Data: []byte("package msehttp\nfunc NewHandler(*msejsonrpc.Server) *Handler { return nil }\n")},
		"msejsonrpc/server.go":                {Data: []byte(fakeServer)},
		"msejsonrpc/server_fuzz_test.go":      {Data: []byte("package msejsonrpc\n")},
		"msejsonrpc/ortc_client.go":           {Data: []byte("package msejsonrpc\n")},
		"msejsonrpc/ortc_client_test.go":      {Data: []byte("package msejsonrpc\n")},
		"msejsonrpc/whole_serverless_test.go": {Data: []byte("package msejsonrpc\n")},
		"transport/transport.go":              {Data: []byte("package transport\n")},
	}
}

func TestPackageOfTheTablesShapePasses(t *testing.T) {
	t.Parallel()
	shape, err := readShape(fakeTable)
	require.NoError(t, err)
	fake, err := readTree(fakeProtocol())
	require.NoError(t, err)
	require.Empty(t, shapeProblems(fake, shape))
}

func TestDifferingShapeIsFound(t *testing.T) {
	t.Parallel()
	shape, err := readShape(fakeTable)
	require.NoError(t, err)
	codec := func(old, differing string) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) {
			changed := strings.Replace(fakeCodec, old, differing, 1)
			require.NotEqual(t, fakeCodec, changed)
			fsys["msejsonrpc/codec.go"].Data = []byte(changed)
		}
	}
	hooks := func(old, differing string) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) {
			changed := strings.Replace(fakeServer, old, differing, 1)
			require.NotEqual(t, fakeServer, changed)
			fsys["msejsonrpc/server.go"].Data = []byte(changed)
		}
	}
	remove := func(name string) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) { delete(fsys, name) }
	}
	add := func(name, pkg string) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) { fsys[name] = &fstest.MapFile{Data: []byte("package " + pkg + "\n")} }
	}
	for name, c := range map[string]struct {
		change func(fstest.MapFS)
		want   string
	}{
		"a sixth protocol":            {add("sixth/doc.go", "sixth"), "sixth: neither a known protocol"},
		"a package below a sixth":     {add("sixth/sixthpion/peer.go", "sixthpion"), "sixth/sixthpion: neither a known protocol"},
		"a package in the root":       {add("root.go", "rtcsignal"), ".: neither a known protocol"},
		"a sub-package of other name": {add("msejsonrpc/pion/peer.go", "pion"), `msejsonrpc/pion: the name does not begin with "mse"`},
		"a missing file":              {remove("msejsonrpc/doc.go"), "msejsonrpc/doc.go: missing"},
		"a missing folder":            {remove("msejsonrpc/testdata/vectors/a.txtar"), "msejsonrpc/testdata/vectors/: missing"},
		"a missing sub-package":       {remove("msejsonrpc/msepion/peer.go"), "msejsonrpc/msepion/: missing"},
		"another function name":       {codec("func Decode", "func Parse"), "no Decode (func([]byte) (Message, error))"},
		"another variable name":       {codec("ErrSlow ", "ErrTooSlow "), "no ErrSlow (var)"},
		"another parameter":           {codec("b []byte", "b string"), `Decode is "func(string) (Message, error)"`},
		"another receiver":            {codec("u *Unknown", "u Unknown"), `Unknown.Validate is "method of Unknown: func() error"`},
		"another kind":                {codec("var (", "const ("), `ErrSlow is "const", want "var"`},
		"another underlying type":     {codec("json.RawMessage", "any"), `Fields is "type map[string]any"`},
		"an alias":                    {codec("Fields map", "Fields = map"), `Fields is "alias of map[string]json.RawMessage"`},
		"another field type":          {codec("Extra Fields", "Extra []byte"), `Unknown has no member "Extra Fields"`},
		"another field name":          {codec("Extra Fields", "Rest Fields"), `Unknown has no member "Extra Fields"`},
		"another interface":           {codec("Validate() error\n", "Check() error\n"), `Message has no member "Validate func() error"`},
		"another server's handler": {
			add("msejsonrpc/msehttp/handler.go", "msehttp\nfunc NewHandler(*galene.Server) *Handler { return nil }"),
			`NewHandler is "func(*galene.Server) *Handler", want "func(*msejsonrpc.Server) *Handler"`,
		},
		"a hook with its session last": {
			hooks("s *ServerSession, a *Auth", "a *Auth, s *ServerSession"), "the hook Authenticate takes (context.Context, *Auth, *ServerSession)",
		},
		"a hook with its context last": {hooks("ctx context.Context, s *ServerSession, a *Auth", "s *ServerSession, ctx context.Context"), "the hook Authenticate takes"},
		"a hook without a context":     {hooks("ctx context.Context, s *ServerSession, a *Auth", "s *ServerSession"), "the hook Authenticate decides without a context"},
		"a test beside the others":     {add("msejsonrpc/fuzz_server_test.go", "msejsonrpc"), "msejsonrpc/fuzz_server_test.go: the name begins with the side"},
		"another such test":            {add("msejsonrpc/hostile_client_end_test.go", "msejsonrpc"), "hostile_client_end_test.go: the name begins"},
		"another order":                {codec("package msejsonrpc\n", "package msejsonrpc\nfunc Connect(context.Context, int, int) {}\n"), "Connect belongs after ErrSlow"},
	} {
		fsys := fakeProtocol()
		c.change(fsys)
		fake, err := readTree(fsys)
		require.NoError(t, err, name)
		problems := shapeProblems(fake, shape)
		require.NotEmpty(t, problems, name)
		require.Contains(t, strings.Join(problems, "\n"), c.want, name)
	}
}

func TestExceptionsOfTheTableHoldForTheNamedPackageOnly(t *testing.T) {
	t.Parallel()
	shape, err := readShape(fakeTable)
	require.NoError(t, err)
	fsys := fstest.MapFS{}
	for name, file := range fakeProtocol() {
		name = strings.NewReplacer("msejsonrpc", "galene", "msepion", "galenepion").Replace(name)
		fsys[name] = file
	}
	fake, err := readTree(fsys)
	require.NoError(t, err)
	require.Equal(t, []string{
		"galene/msehttp: the name does not begin with \"galene\"", "galene/codec.go: no Join (func())", "galene/group.go: missing",
	}, shapeProblems(fake, shape))
}
