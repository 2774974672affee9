package easyrtc

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

// serverScripts returns the scripts whose peers are clients of a server. Those of the
// client have names that begin with client.
func serverScripts(t *testing.T) []*script.Script {
	return slices.DeleteFunc(script.Load(t, "testdata/scripts"), func(s *script.Script) bool {
		return strings.HasPrefix(s.Name, "client")
	})
}

func TestScriptsOnTheServerMachine(t *testing.T) {
	t.Parallel()
	for _, s := range serverScripts(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newServerWire(readServerScene(t, s))
				if script.Updating() {
					s.Record(t, w)
				} else {
					s.Play(t, w)
				}
				w.end(t)
			})
		})
	}
}

func TestScriptsOnTheServer(t *testing.T) {
	t.Parallel()
	if script.Updating() {
		t.Skip("the machine writes the scripts")
	}
	for _, s := range serverScripts(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newServerPipes(readServerScene(t, s))
				defer p.finish(t)
				s.Play(t, p)
			})
		})
	}
}
