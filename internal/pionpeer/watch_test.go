package pionpeer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
)

// A watched session is one whose states a test makes up, because the network cannot be in a bubble.
type watched struct {
	*Session
	now webrtc.PeerConnectionState
}

func newWatched(t *testing.T, cfg SessionConfig) *watched {
	t.Helper()
	cfg.Name, cfg.API = "testpion", LazyAPI(nil, webrtc.SettingEngine{})
	s, err := NewSession(cfg)
	require.NoError(t, err)
	w := &watched{Session: s}
	s.state = func() webrtc.PeerConnectionState { return w.now }
	s.Start()
	t.Cleanup(s.Close)
	synctest.Wait()
	return w
}

func (w *watched) become(states ...webrtc.PeerConnectionState) {
	for _, s := range states {
		w.now = s
		signal(w.changed)
		synctest.Wait()
	}
}

// requireEndAfter checks that the session ends over want after d and not before.
func (w *watched) requireEndAfter(t *testing.T, d time.Duration, want error) {
	t.Helper()
	time.Sleep(d - time.Nanosecond)
	synctest.Wait()
	require.NoError(t, w.Err())
	time.Sleep(time.Nanosecond)
	synctest.Wait()
	require.ErrorIs(t, w.Err(), want)
	<-w.Done()
}

func TestSessionThatIsNotConnectedInTimeEnds(t *testing.T) {
	t.Parallel()
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			newWatched(t, SessionConfig{}).requireEndAfter(t, DefaultConnectTimeout, ErrConnectTimeout)
		})
	})
	t.Run("option", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t, SessionConfig{ConnectTimeout: time.Hour})
			w.become(webrtc.PeerConnectionStateConnecting)
			w.requireEndAfter(t, time.Hour, ErrConnectTimeout)
		})
	})
}

func TestPatientSessionHasTheTimeToConnectFromTheFirstDescriptionOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, SessionConfig{Patient: true})
		time.Sleep(10 * DefaultConnectTimeout)
		synctest.Wait()
		require.False(t, w.isEnding())
		require.NoError(t, w.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: "x"}))
		require.NoError(t, w.Description(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: "x"}))
		w.requireEndAfter(t, DefaultConnectTimeout, ErrConnectTimeout)
	})
}

func TestSessionDoesWhatItIsToldBetweenTheStepsOfItsNegotiation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, SessionConfig{})
		did := make(chan bool, 1)
		require.NoError(t, w.Do(func() { did <- true }))
		require.True(t, <-did)
		w.Close()
		require.ErrorIs(t, w.Do(func() { did <- true }), ErrClosed)
		require.Empty(t, did)
	})
}

func TestConnectedSessionOutlivesTheTimeToConnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, SessionConfig{})
		w.become(webrtc.PeerConnectionStateConnected)
		time.Sleep(10 * DefaultConnectTimeout)
		w.become(webrtc.PeerConnectionStateDisconnected)
		time.Sleep(10 * DefaultConnectTimeout)
		synctest.Wait()
		require.False(t, w.isEnding())
	})
}

func TestSessionHasTheTimeToConnectForEachRecovery(t *testing.T) {
	t.Parallel()
	const (
		connected = webrtc.PeerConnectionStateConnected
		failed    = webrtc.PeerConnectionStateFailed
	)
	again := func() bool { return true }
	t.Run("from the first failure on", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t, SessionConfig{OnFailed: again})
			w.become(connected, failed)
			time.Sleep(10 * time.Second)
			w.become(webrtc.PeerConnectionStateConnecting, failed)
			w.requireEndAfter(t, DefaultConnectTimeout-10*time.Second, ErrFailed)
		})
	})
	t.Run("what is left of it when it never was connected", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWatched(t, SessionConfig{OnFailed: again})
			time.Sleep(10 * time.Second)
			w.become(failed)
			w.requireEndAfter(t, DefaultConnectTimeout-10*time.Second, ErrFailed)
		})
	})
	t.Run("as often as it succeeds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			failures := 0
			w := newWatched(t, SessionConfig{OnFailed: func() bool { failures++; return failures < 5 }})
			w.become(connected)
			for range 4 {
				w.become(failed)
				time.Sleep(DefaultConnectTimeout / 2)
				w.become(connected)
				time.Sleep(10 * DefaultConnectTimeout)
				synctest.Wait()
				require.False(t, w.isEnding())
			}
			w.become(failed)
			require.ErrorIs(t, w.Err(), ErrFailed)
		})
	})
}

func TestCloseWaitsForWhatTheSessionHasStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, SessionConfig{})
		release := make(chan struct{})
		w.spawn(func() { <-release })
		go w.Close()
		synctest.Wait()
		require.True(t, w.isEnding())
		select {
		case <-w.Done():
			require.Fail(t, "the end did not wait")
		default:
		}
		close(release)
		<-w.Done()
		w.spawn(func() { t.Error("started after the end") })
		synctest.Wait()
	})
}
