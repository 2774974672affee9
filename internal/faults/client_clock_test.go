package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eachClient runs a test for every machine of a client.
func eachClient(t *testing.T, test func(t *testing.T, fresh func() *clientMachine)) {
	for name, fresh := range newClientMachines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh)
		})
	}
}

// open makes the client a member.
func (r *clientMachine) open(now time.Time) {
	r.start(now)
	if r.enter != nil {
		r.enter(now)
	}
}

// tick expires what is due, as a driver does, again and again.
func (r *clientMachine) tick(t *testing.T, now time.Time) {
	t.Helper()
	for range 100 {
		at, ok := r.deadline()
		if !ok || now.Before(at) {
			return
		}
		r.expire(now)
	}
	t.Fatalf("the deadline stays in the past")
}

// pass lets time pass, second by second, and returns when it is then.
func (r *clientMachine) pass(t *testing.T, now time.Time, long time.Duration, each func(now time.Time)) time.Time {
	t.Helper()
	for end := now.Add(long); now.Before(end); {
		now = now.Add(time.Second)
		r.tick(t, now)
		if each != nil {
			each(now)
		}
	}
	return now
}

// requireTimely demands that all that a member times is on time from now on: its calls, and the
// heartbeats and the silence since it heard something last.
func (r *clientMachine) requireTimely(t *testing.T, now time.Time) {
	t.Helper()
	closed, heard := r.closed, r.heard
	r.hear(now)
	require.Equal(t, heard+1, r.heard)
	if r.patience > 0 {
		r.calls = 0
		require.NoError(t, r.call(now))
		second := now.Add(time.Second)
		require.NoError(t, r.call(second))
		now = r.pass(t, second, r.patience-2*time.Second, r.hear)
		require.Zero(t, r.calls, "calls have time")
		now = r.pass(t, now, 3*time.Second, r.hear)
		require.GreaterOrEqual(t, r.calls, 2, "calls that nobody answers are over")
		require.Equal(t, closed, r.closed)
	}
	sent, quiet := r.sent, now
	if r.beat > 0 {
		now = r.pass(t, now, r.beat+time.Second, nil)
		require.Equal(t, sent+1, r.sent, "a heartbeat when it is time")
	}
	if r.silence == 0 {
		r.pass(t, now, time.Hour, nil)
		require.Equal(t, closed, r.closed, "nobody is silent by these rules")
		return
	}
	now = r.pass(t, now, quiet.Add(r.silence-r.beat).Sub(now), nil)
	r.pass(t, now, r.beat+time.Second, nil)
	require.Equal(t, closed+1, r.closed, "a server that is silent is left")
}

// requireAgain demands that the client can come back.
func (r *clientMachine) requireAgain(t *testing.T, now time.Time) {
	t.Helper()
	r.lost(now)
	r.mute = false
	r.start(now)
	r.requireTimely(t, now)
}

// What was begun before a clock went back may last longer by as much, since a machine knows
// only what it is told. What begins afterwards is timed by the new time.
func TestAClientStaysTimelyWhenTheClockJumpsBack(t *testing.T) {
	t.Parallel()
	eachClient(t, func(t *testing.T, fresh func() *clientMachine) {
		for _, jump := range []time.Duration{time.Second, 5 * time.Hour, 30 * 24 * time.Hour} {
			r, now := fresh(), dawn
			r.open(now)
			if r.patience > 0 {
				require.NoError(t, r.call(now))
			}
			sent := r.sent
			now = now.Add(-jump)
			r.tick(t, now)
			r.expire(now) // which a driver would not ask for
			require.Zero(t, r.closed)
			require.Zero(t, r.calls)
			require.Equal(t, sent, r.sent, "nothing is due")
			r.requireTimely(t, now)
			r.requireAgain(t, now)
		}
	})
}

func TestAClientStaysTimelyWhenTheClockJumpsAhead(t *testing.T) {
	t.Parallel()
	eachClient(t, func(t *testing.T, fresh func() *clientMachine) {
		for _, jump := range []time.Duration{time.Minute, 5 * time.Hour, 30 * 24 * time.Hour} {
			r, now := fresh(), dawn
			r.open(now)
			if r.patience > 0 {
				require.NoError(t, r.call(now))
			}
			sent := r.sent
			now = now.Add(jump)
			r.tick(t, now)
			require.LessOrEqual(t, r.closed, 1)
			require.LessOrEqual(t, r.sent, sent+1, "no heartbeat for each interval that was jumped over")
			if r.closed > 0 {
				require.NotZero(t, r.silence, "nothing has an end that has come")
				r.requireAgain(t, now)
				continue
			}
			if r.patience > 0 {
				require.Equal(t, 1, r.calls)
			}
			r.pass(t, now, max(r.silence, time.Second), func(now time.Time) { r.hear(now) })
			now = now.Add(max(r.silence, time.Second))
			if r.closed == 0 {
				r.requireTimely(t, now)
			}
			r.requireAgain(t, now)
		}
	})
}

func TestANewcomerGivesUpOnceWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	eachClient(t, func(t *testing.T, fresh func() *clientMachine) {
		for _, jump := range []time.Duration{-5 * time.Hour, time.Minute, 5 * time.Hour} {
			r, now := fresh(), dawn
			if r.mute = true; r.handshake == 0 {
				continue // its handshake is a call of the application
			}
			r.start(now)
			r.tick(t, now)
			require.Zero(t, r.closed)
			now = now.Add(jump)
			r.tick(t, now)
			if jump < 0 {
				require.Zero(t, r.closed)
				now = now.Add(-jump + r.handshake)
				r.tick(t, now)
			}
			require.Equal(t, 1, r.closed)
			r.tick(t, now.Add(time.Hour))
			require.Equal(t, 1, r.closed, "once is enough")
			r.closed = 0
			r.lost(now)
			r.mute = false
			r.open(now)
			r.requireTimely(t, now)
		}
	})
}
