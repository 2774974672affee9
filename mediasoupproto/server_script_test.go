package mediasoupproto

import (
	"testing"

	"github.com/rtcsignal/rtcsignal/internal/script"
)

func TestScriptsOnTheServerMachine(t *testing.T) {
	script.OnMachine(t, script.Server(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		w := newServerWire(readServerScene(t, s))
		return w, w.end
	})
}

func TestScriptsOnTheServer(t *testing.T) {
	script.OnDriver(t, script.Server(t), func(t *testing.T, s *script.Script) (script.Target, func(*testing.T)) {
		p := newServerPipes(readServerScene(t, s))
		return p, p.end
	})
}
