package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// come has a client come at a time, and enter the room.
func (r *machine) come(t *testing.T, now time.Time, id int) {
	t.Helper()
	r.connect(now, id)
	for _, text := range r.enter(id) {
		require.NoError(t, r.receive(now, id, text), text)
	}
}

// speak has a client say something at a time, and demands that somebody hears something.
func (r *machine) speak(t *testing.T, now time.Time, id int) {
	t.Helper()
	r.sent = 0
	require.NoError(t, r.receive(now, id, r.say(id)))
	require.NotZero(t, r.sent, "nobody has heard client %d", id)
}

// tick expires what is due, as a driver does, again and again.
func (r *machine) tick(t *testing.T, now time.Time) {
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

var dawn = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestNobodyIsLostWhenTheClockJumpsBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *protocol) {
		for _, jump := range []time.Duration{time.Second, time.Hour, 30 * 24 * time.Hour} {
			r, now := p.machine(), dawn
			for id := 1; id <= 5; id++ {
				r.come(t, now, id)
			}
			r.connect(now, 6) // says nothing yet
			now = now.Add(-jump)
			r.tick(t, now)
			require.Empty(t, r.closed)
			r.expire(now) // which a driver would not ask for
			require.Empty(t, r.closed)
			for id := 1; id <= 5; id++ {
				r.speak(t, now, id)
			}
			r.come(t, now, 7)
			r.speak(t, now, 7)
			for _, text := range r.enter(6) {
				require.NoError(t, r.receive(now, 6, text))
			}
			r.connect(now, 8)
			for id := 1; id <= 7; id++ {
				r.speak(t, now.Add(30*time.Second), id)
			}
			now = now.Add(46 * time.Second) // after which no newcomer may be silent
			r.tick(t, now)
			require.Equal(t, map[int]int{8: 1}, r.closed, "a time-out begins when its connection does")
			for id := 1; id <= 8; id++ {
				r.disconnect(now, id)
			}
			require.Zero(t, r.len())
		}
	})
}

func TestOnlyWhoWasToSpeakIsLostWhenTheClockJumpsAhead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *protocol) {
		for _, jump := range []time.Duration{time.Minute, 5 * time.Hour, 30 * 24 * time.Hour} {
			r, now := p.machine(), dawn
			for id := 1; id <= 5; id++ {
				r.come(t, now, id)
			}
			r.connect(now, 6)
			r.connect(now, 7)
			now = now.Add(jump)
			r.tick(t, now)
			gone := map[int]int{6: 1, 7: 1}
			for id := 1; id <= 5 && r.silence > 0 && jump > r.silence; id++ {
				gone[id] = 1 // as the protocol has it
			}
			require.Equal(t, gone, r.closed)
			r.come(t, now, 8)
			r.speak(t, now, 8)
			r.tick(t, now)
			require.NotContains(t, r.closed, 8)
			for id := 1; id <= 8; id++ {
				r.disconnect(now, id)
			}
			require.Zero(t, r.len())
		}
	})
}
