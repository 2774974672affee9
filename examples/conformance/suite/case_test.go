package suite

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

var known = []string{Document, "real"}

func TestAFileHasCases(t *testing.T) {
	t.Parallel()
	cases, err := Parse("topic", `Words for people.

:: hello
%1 open %2
%1 < {"hi":"%2"}

== one
# a comment
&hello a room
a > label {"n":1}
a < {"x":1}
@real a closed
@real why it has a bad day
== two
only real
optional
needs user password
a open
wait 20ms
a <? {"y":2}
@document -
`, known)
	require.NoError(t, err)
	require.Len(t, cases, 2)
	one, two := cases[0], cases[1]
	require.Equal(t, "one", one.Name)
	require.Equal(t, "topic", one.Topic)
	require.Equal(t, "it has a bad day", one.why["real"])
	require.Len(t, one.acts, 3)
	require.Equal(t, []string{"room"}, one.acts[1].args)
	require.Equal(t, `{"hi":"room"}`, string(one.acts[1].wants(Document)[0].what.Data))
	require.Len(t, one.acts[2].wants(Document), 1)
	require.True(t, one.acts[2].wants("real")[0].what.Closed)
	require.True(t, two.optional)
	require.Equal(t, []string{"user", "password"}, two.needs)
	require.False(t, two.has(Document))
	require.Equal(t, 20*time.Millisecond, two.acts[2].wait)
	require.Empty(t, two.acts[2].wants(Document))
	require.True(t, two.acts[2].wants("real")[0].optional)
}

func TestAMistakeInAFileIsFound(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a verb":            "== c\na open\na shouts\n",
		"no peer":           "== c\nopen\n",
		"no JSON":           "== c\na open\na < {\n",
		"an escape":         "== c\na open\na >raw \"\\q\"\n",
		"a code":            "== c\na open\na closed x\n",
		"a status":          "== c\na open\na refused x\n",
		"a duration":        "== c\na open\nwait long\n",
		"a reference":       "== c\na open\n@nobody a quiet\n",
		"a scope":           "== c\nonly nobody\na open\n",
		"a fragment":        "== c\n&nothing\n",
		"a fragment's line": ":: f\na shouts\n\n== c\na open\n&f\n",
		"nothing done":      "== c\na < {}\n",
		"an empty case":     "== c\n== d\na open\n",
	} {
		_, err := Parse("topic", text, known)
		require.Error(t, err, name)
	}
}

func TestNamesOfCasesAreUnique(t *testing.T) {
	t.Parallel()
	p := &Protocol{References: []Reference{{Name: Document}}}
	files := fstest.MapFS{
		"cases/a.txt": {Data: []byte("== one\na open\n")},
		"cases/b.txt": {Data: []byte("== one\na open\n")},
	}
	require.ErrorContains(t, p.Load(files, "cases"), `"one"`)
	require.Error(t, p.Load(files, "nowhere"))
	p = &Protocol{References: []Reference{{Name: Document}}}
	delete(files, "cases/b.txt")
	require.NoError(t, p.Load(files, "cases"))
	require.Equal(t, "a", p.Cases[0].Topic)
}

func TestAPatternMatches(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, data string
		want          bool
	}{
		{`{"a":1}`, `{"a":1}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, `{"a":1,"b":2}`, false},
		{`{"a":1,"...":"..."}`, `{"b":2,"a":1}`, true},
		{`{"a":1,"b":1}`, `{"a":1}`, false},
		{`{"a":"$_"}`, `{"a":null}`, true},
		{`{"a":"$_"}`, `{}`, false},
		{`{"a":"$v"}`, `{"a":{"x":[1]}}`, true},
		{`{"a":"$v","b":"$v"}`, `{"a":1,"b":1}`, true},
		{`{"a":"$v","b":"$v"}`, `{"a":1,"b":2}`, false},
		{`{"a":"$given"}`, `{"a":"here"}`, true},
		{`{"a":"$given"}`, `{"a":"there"}`, false},
		{`{"a":"is $given"}`, `{"a":"is here"}`, true},
		{`{"a":"~^h.*e$"}`, `{"a":"here"}`, true},
		{`{"a":"~^$given$"}`, `{"a":"here"}`, true},
		{`{"a":"~x"}`, `{"a":"here"}`, false},
		{`{"a":"~x"}`, `{"a":7}`, false},
		{`[1,2]`, `[1,2]`, true},
		{`[1,2]`, `[1,2,3]`, false},
		{`[1,"..."]`, `[1,2,3]`, true},
		{`[1,"..."]`, `[]`, false},
		{`[1]`, `{}`, false},
		{`{}`, `[]`, false},
		{`1.0`, `1`, false},
		{`12345678901234567890`, `12345678901234567890`, true},
		{`{"a":1}`, `nonsense`, false},
		{`nonsense`, `nonsense`, true},
	} {
		_, got := values{"given": "here"}.match([]byte(test.pattern), []byte(test.data))
		require.Equal(t, test.want, got, "%s %s", test.pattern, test.data)
	}
}

func TestAMatchThatFailsGivesNoValues(t *testing.T) {
	t.Parallel()
	v := make(values)
	_, ok := v.match([]byte(`{"a":"$a","b":1}`), []byte(`{"a":5,"b":2}`))
	require.False(t, ok)
	require.Empty(t, v)
}

func TestNamesAreFilledIn(t *testing.T) {
	t.Parallel()
	v := values{"n": 7, "o": map[string]any{"x": "<&>"}}
	fresh := func(name string) any { return "new " + name }
	require.Equal(t, `{"a":7,"b":{"x":"\u003c\u0026\u003e"},"c":"no 7","d":"new z","e":"new z"}`,
		v.fill(`{"a":"$n","b":"$o","c":"no $n","d":"$z","e":"$z"}`, fresh))
}

func FuzzParse(f *testing.F) {
	f.Add("== one\na open\na > {\"n\":1}\n@real a closed 1000\n")
	f.Add(":: f\n%1 open\n\n== c\n&f a\n")
	f.Fuzz(func(t *testing.T, text string) {
		cases, err := Parse("topic", text, known)
		for _, c := range cases {
			require.NoError(t, err)
			require.NotEmpty(t, c.acts[1:])
		}
	})
}
