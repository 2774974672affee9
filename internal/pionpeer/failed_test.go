package pionpeer_test

import (
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/rtcsignal/rtcsignal/internal/pionpeer"
)

func TestSessionWhosePathIsLostFails(t *testing.T) {
	t.Parallel()
	for name, onFailed := range map[string]func() bool{"no hook": nil, "given up": func() bool { return false }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork()
			a, b := n.newSides(t, func(cfg *pionpeer.SessionConfig) { cfg.OnFailed = onFailed })
			connect(a, b)
			n.lose(true)
			require.ErrorIs(t, a.awaitEnd(), pionpeer.ErrFailed)
			a.awaitState(webrtc.PeerConnectionStateFailed)
			a.awaitState(webrtc.PeerConnectionStateClosed)
		})
	}
}

func TestSessionThatFindsNoPathFails(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	n.lose(true)
	a, b := n.newSides(t, func(*pionpeer.SessionConfig) {})
	a.begin()
	b.begin()
	a.Negotiate()
	require.ErrorIs(t, a.awaitEnd(), pionpeer.ErrFailed)
}

// The network is back before the session tries again.
func TestSessionThatRestartsLives(t *testing.T) {
	t.Parallel()
	n := newNetwork()
	n.lose(true)
	var a, b *side
	a, b = n.newSides(t, func(cfg *pionpeer.SessionConfig) {
		cfg.OnFailed = func() bool {
			n.lose(false)
			a.Restart()
			return true
		}
	})
	connect(a, b)
	a.requireEcho("found")
	n.lose(true)
	a.awaitState(webrtc.PeerConnectionStateFailed)
	a.awaitState(webrtc.PeerConnectionStateConnected)
	a.requireEcho("back")
	require.NoError(t, a.Err())
	require.NoError(t, b.Err())
}
