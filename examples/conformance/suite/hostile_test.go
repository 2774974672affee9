package suite

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASlowServerIsNotTakenForASilentOne(t *testing.T) {
	t.Parallel()
	results := play(t, `
== is slow
a open late
a > {}
a < {}
a > {}
a < {}
@real -
== says too much slowly
a open late
a > {}
a < {}
a > {}
`, nil)
	require.Equal(t, Passed, results["is slow"].Verdict)
	require.Equal(t, Failed, results["says too much slowly"].Verdict)
}

func TestWhatOnlyLooksLikeTheAnswerFails(t *testing.T) {
	t.Parallel()
	results := play(t, `
== a name is no expression
a open ".*" "anything"
a > {}
a < "$name"
a < "~^$name$"
== a name that comes twice
a open {"a":1,"a":1}
a > {}
a < {"a":1}
== a name in other letters
a open {"A":1}
a > {}
a < {"a":1}
== no UTF-8
a open "`+"\xff"+`"
a > {}
a < "$_"
== two values
a open {}{}
a > {}
a < {}
== another number
a open 1.0
a > {}
a < 1
== too deep
a open `+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`
a > {}
a < "$_"
`, nil)
	require.Len(t, results, 7)
	for name, r := range results {
		require.Equal(t, Failed, r.Verdict, name)
	}
}

func TestAReportDoesNothingToATerminal(t *testing.T) {
	t.Parallel()
	for _, e := range []Event{
		{Label: "\x1b[2Jx"}, {Label: "a\nb", Data: []byte("{}")}, {Data: []byte("{\n\"a\":\"\u009b\u202e\"}")},
		{Label: "\x1b", Data: []byte("\x1b\n")}, {Label: "\xff"},
	} {
		for _, r := range e.String() {
			require.False(t, isOdd(r), "%q", e.String())
		}
	}
	require.Equal(t, `< a {"b":1}`, Event{Label: "a", Data: []byte(`{"b":1}`)}.String())
	require.LessOrEqual(t, len(clip(strings.Repeat("é", maxGot))), maxGot+len("…"))
}
