package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo is a target whose peers receive what they send, twice if it is binary, and are
// closed with 1008 by "bye". Time closes them all with 1001.
type echo struct {
	peers  []string
	events map[string][]Event
	log    []string
}

func newEcho() *echo { return &echo{events: make(map[string][]Event)} }

func (e *echo) Open(peer string, args []string) error {
	e.peers = append(e.peers, peer)
	e.log = append(e.log, fmt.Sprint("open ", peer, args))
	return nil
}

func (e *echo) Send(peer string, m Message) error {
	switch {
	case string(m.Data) == "fail":
		return errors.New("cannot send")
	case string(m.Data) == "bye":
		e.happen(peer, Event{Closed: 1008})
		return nil
	case m.Binary:
		e.happen(peer, Event{Data: m.Data})
	}
	e.happen(peer, Event{Data: m.Data})
	return nil
}

func (e *echo) Close(peer string, code int) error {
	e.log = append(e.log, fmt.Sprint("close ", peer, " ", code))
	return nil
}

func (e *echo) Wait(d time.Duration) error {
	e.log = append(e.log, "wait "+d.String())
	for _, peer := range e.peers {
		e.happen(peer, Event{Closed: 1001})
	}
	return nil
}

func (e *echo) Next(peer string, _ bool) (Event, bool) {
	all := e.events[peer]
	if len(all) == 0 {
		return Event{}, false
	}
	e.events[peer] = all[1:]
	return all[0], true
}

func (e *echo) happen(peer string, ev Event) { e.events[peer] = append(e.events[peer], ev) }

func parse(t *testing.T, steps string) *Script {
	s, err := read("dir/name.txtar", []byte("what it shows\n-- config --\n{}\n-- script --\n"+steps))
	require.NoError(t, err)
	return s
}

const conversation = `# a comment
a open x y
b open

a > {"n": 1, "m": [true]}
a < {"m":[true],"n":1}
b quiet
b >raw "\xff"
b <raw "\xff"
b >bin "{}"
b < {}
b < {}
a > bye
a closed 1008
b close 1000
wait 1m30s
a closed 1001
b closed 1001
`

func TestScriptPlays(t *testing.T) {
	t.Parallel()
	e := newEcho()
	s := parse(t, conversation)
	require.Equal(t, "name", s.Name)
	require.Equal(t, "{}\n", string(s.Section("config")))
	require.Nil(t, s.Section("other"))
	s.Play(t, e)
	require.Equal(t, []string{"open a[x y]", "open b[]", "close b 1000", "wait 1m30s"}, e.log)
}

func TestScriptFailsAtTheStepThatTurnsOutOtherwise(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ steps, want string }{
		"another value":       {"a open\na > {\"n\":1}\na < {\"n\":1.0}", "name.txtar:7: a < {\"n\":1.0}\n\tinstead:\n\ta < {\"n\":1}"},
		"a message for close": {"a open\na > 1\na closed 1000", "instead:\n\ta < 1"},
		"another code":        {"a open\na > bye\na closed 1000", "instead:\n\ta closed 1008"},
		"text for JSON":       {"a open\na > {\na < {}", "instead:\n\ta <raw \"{\""},
		"nothing":             {"a open\na < {}", "nothing happened"},
		"not quiet":           {"a open\na > 1\na quiet", "instead:\n\ta < 1"},
		"one more":            {"a open\na >bin \"1\"\na < 1", "name.txtar:6: a >bin \"1\"\n\tand then, unexpected:\n\ta < 1"},
		"another peer too":    {"a open\nb open\na > 1\nb quiet\na < 1\nwait 1s\na closed 1001", "unexpected:\n\tb closed 1001"},
		"the target":          {"a open\na > fail", "cannot send"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := parse(t, tt.steps).play(newEcho())
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestScriptRefusesWhatIsNoStep(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"a", "a jump", "a < {", "a <raw x", "a >raw \"", "a >bin 1", "a closed", "a closed 0", "a close now", "wait long", "wait",
	} {
		_, err := read("name.txtar", []byte("-- script --\na open\n"+line+"\n"))
		require.ErrorContains(t, err, "name.txtar:3: ", line)
	}
	for _, archive := range []string{"", "a open\n", "-- script --\na open\n-- config --\n"} {
		_, err := read("name.txtar", []byte(archive))
		require.EqualError(t, err, "script: name.txtar: the last section is not the script")
	}
}

func TestRecordRewritesWhatHappensAndNothingElse(t *testing.T) {
	t.Parallel()
	s := parse(t, conversation)
	out, err := s.record(newEcho())
	require.NoError(t, err)
	// White space within a message is all that recording normalizes.
	require.Equal(t, string(s.head)+strings.Replace(conversation, `< {"m":[true],"n":1}`, `< {"n":1,"m":[true]}`, 1), string(out))

	wrong := parse(t, "# first\na open\na < {}\na > 1\n# second\na quiet\na > bye\na < 2\n\na > fail\n")
	_, err = wrong.record(newEcho())
	require.ErrorContains(t, err, "name.txtar:14: a > fail\n\tcannot send")
	wrong.steps = wrong.steps[:len(wrong.steps)-1]
	out, err = wrong.record(newEcho())
	require.NoError(t, err)
	require.Equal(t, string(wrong.head)+"# first\na open\na > 1\na < 1\n# second\na > bye\na closed 1008\n\n", string(out))
}

func TestRecordWritesTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "one.txtar")
	require.NoError(t, os.WriteFile(path, []byte("-- script --\na open\na > 1\n"), 0o600))
	scripts := Load(t, dir)
	require.Len(t, scripts, 1)
	require.Error(t, scripts[0].play(newEcho()))
	scripts[0].Record(t, newEcho())
	again := Load(t, dir)[0]
	require.Equal(t, "one", again.Name)
	again.Play(t, newEcho())
}
