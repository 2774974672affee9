package script

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// Server returns the scripts in testdata/scripts whose peers are clients of a server.
func Server(t *testing.T) []*Script { return named(t, false) }

// Client returns the scripts in testdata/scripts whose peers are servers of a client: their
// names begin with "client-".
func Client(t *testing.T) []*Script { return named(t, true) }

func named(t *testing.T, client bool) []*Script {
	return slices.DeleteFunc(Load(t, "testdata/scripts"), func(s *Script) bool {
		return strings.HasPrefix(s.Name, "client-") != client
	})
}

// Config reads the config section of a script, a JSON object, into the struct that v points
// to, and reports whether there is one.
func (s *Script) Config(t *testing.T, v any) bool {
	t.Helper()
	section := s.Section("config")
	if section == nil {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(section))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(v))
	return true
}

// A Begin makes the target of a script, inside a bubble of synctest, and says what is to be
// done with it at the end.
type Begin func(t *testing.T, s *Script) (target Target, end func(t *testing.T))

// OnMachine plays each script on a machine. With -update it writes what the machine says
// into the scripts first.
func OnMachine(t *testing.T, scripts []*Script, begin Begin) {
	t.Parallel()
	each(t, scripts, func(t *testing.T, s *Script) {
		target, end := begin(t, s)
		defer end(t)
		if Updating() {
			s.Record(t, target)
		} else {
			s.Play(t, target)
		}
	})
}

// OnDriver plays each script on a driver.
func OnDriver(t *testing.T, scripts []*Script, begin Begin) {
	t.Parallel()
	if Updating() {
		t.Skip("the machine writes the scripts")
	}
	each(t, scripts, func(t *testing.T, s *Script) {
		target, end := begin(t, s)
		defer end(t)
		s.Play(t, target)
	})
}

func each(t *testing.T, scripts []*Script, play func(*testing.T, *Script)) {
	for _, s := range scripts {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { play(t, s) })
		})
	}
}
