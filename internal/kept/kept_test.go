package kept_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/kept"
)

type person struct {
	Name  *string
	Roles []string
	Data  map[string]json.RawMessage
	other fmt.Stringer
}

type named string

func (n named) String() string { return string(n) }

func TestTheSizeIsWhatIsBehindTheValues(t *testing.T) {
	t.Parallel()
	name := "Anna"
	for what, c := range map[string]struct {
		value any
		least int
		most  int
	}{
		"nothing":       {nil, 0, 0},
		"a number":      {7, 0, 0},
		"a text":        {"hello", 5, 5},
		"no list":       {[]string(nil), 0, 0},
		"a list":        {[]string{"one", "two"}, 2*16 + 6, 2*16 + 6},
		"room in it":    {make([]byte, 1, 1000), 1000, 1000},
		"lists":         {[][]byte{make([]byte, 10), nil}, 2*24 + 10, 2*24 + 10},
		"an array":      {[2]string{"one", "three"}, 8, 8},
		"no map":        {map[string]bool(nil), 0, 0},
		"a map":         {map[string]bool{"key": true}, 3 + 17, 200},
		"a pointer":     {&name, 16 + 4, 16 + 4},
		"no pointer":    {(*string)(nil), 0, 0},
		"a struct":      {person{Name: &name}, 20, 20},
		"behind a face": {person{other: named(name)}, 20, 20},
		"all together": {&person{
			Name: &name, Roles: []string{"op"}, Data: map[string]json.RawMessage{"k": make(json.RawMessage, 500)},
		}, 500, 1000},
	} {
		n := kept.Size(c.value)
		require.GreaterOrEqual(t, n, c.least, what)
		require.LessOrEqual(t, n, c.most, what)
	}
	require.Equal(t, 6, kept.Size("one", 3, "two"))
}

type tree struct {
	Name     string
	Raw      json.RawMessage
	Some     *tree
	List     []tree
	Names    [2]string
	ByName   map[string]*tree
	Values   map[string]json.RawMessage
	Anything any
	hidden   string
}

// leaf returns a tree whose texts are all parts of one, and what becomes nil with that.
func leaf() (tree, weak.Pointer[byte]) {
	all := []byte("name" + `{"a":1}` + strings.Repeat(" ", 1000))
	text := unsafe.String(&all[0], len(all))
	return tree{
		Name: text[:4], Raw: all[4:11], Names: [2]string{text[1:2], text[2:3]},
		ByName: map[string]*tree{text[:1]: {Name: text[1:]}}, Values: map[string]json.RawMessage{text[:2]: all[4:11]},
		List: []tree{{Name: text[3:5]}}, Some: &tree{Name: text[:2]}, Anything: &tree{Name: text[:1]},
	}, weak.Make(&all[0])
}

func TestWhatHasTextsOfItsOwnDoesNotKeepThatOfItsMessage(t *testing.T) {
	t.Parallel()
	v, all := leaf()
	want, err := json.Marshal(v)
	require.NoError(t, err)
	runtime.GC()
	require.NotNil(t, all.Value(), "its parts hold it")
	kept.Own(&v, nil, (*tree)(nil), 7)
	runtime.GC()
	require.Nil(t, all.Value())
	got, err := json.Marshal(v)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))

	v, all = leaf()
	byName := map[string]*tree{"x": &v}
	kept.Own(byName)
	runtime.GC()
	require.Nil(t, all.Value())
	runtime.KeepAlive(byName)

	secret := tree{hidden: "stays"}
	kept.Own(&secret)
	require.Equal(t, tree{hidden: "stays"}, secret)
}

func TestABoundCountsSeldomAndBeforeItIsTooLate(t *testing.T) {
	t.Parallel()
	const limit, piece = 1 << 20, 1 << 10
	b := kept.NewBound(limit)
	var there []string
	counts := 0
	for len(there) < 10*limit/piece {
		there = append(there, strings.Repeat("x", piece))
		b.Keep(&there[len(there)-1])
		if err := b.Check(func() int { counts++; return kept.Size(there) }); err != nil {
			require.ErrorIs(t, err, kept.ErrTooMuch)
			break
		}
	}
	held := kept.Size(there)
	require.Greater(t, held, limit)
	require.LessOrEqual(t, held, limit+limit/4)
	require.LessOrEqual(t, counts, 8)
}

func TestABoundBearsForEverWhatIsReplaced(t *testing.T) {
	t.Parallel()
	const limit, piece = 1 << 20, 1 << 17
	b := kept.NewBound(limit)
	last, counts := "", 0
	for range 1000 {
		last = strings.Repeat("x", piece)
		b.Keep(&last)
		require.NoError(t, b.Check(func() int { counts++; return kept.Size(last) }))
	}
	require.NotZero(t, counts)
	require.Less(t, counts, 1000*piece/(limit/8))
}

func TestABoundHasADefaultAndMayBeNone(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{0: kept.DefaultBytes, 5: 5, -1: -1} {
		b := kept.NewBound(limit)
		require.Equal(t, want, b.Limit())
		b.Keep(&[]string{"more than five"})
		err := b.Check(func() int { return 14 })
		if limit == 5 {
			require.ErrorIs(t, err, kept.ErrTooMuch)
		} else {
			require.NoError(t, err)
		}
	}
	var zero kept.Bound
	require.Equal(t, kept.DefaultBytes, zero.Limit())
}

func BenchmarkSize(b *testing.B) {
	name := "Anna"
	p := &person{Name: &name, Roles: []string{"op", "present"}}
	b.ReportAllocs()
	for b.Loop() {
		kept.Size(p)
	}
}
